"""What may make a provisional decision known: causes, read from the journal's records.

A *part* is what fills columns: an enrichment table, a fact source, a detector, an intel feed. Three control records
tell
of it: `part.missing` (from here on its columns are null), `part.back`, and `part.joined`, which carries the columns
that
the part now gives for the open events that it concerned. Facts, told by records or by events, are causes of their own.
All of them are read here from a group of the journal, checked, and put in seq order. Pure functions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import Corrupt
from shoal.events.identity import Identity
from shoal.events.schema import BY_NAME
from shoal.runtime.columns import one_chunk
from shoal.runtime.ingest.writer import FACTS
from shoal.storage.frames import ControlFrame, ControlRun, Group

MISSING, BACK, JOINED = "part.missing", "part.back", "part.joined"
PARTS = (MISSING, BACK, JOINED)
VERSION = 1
TABLE_PART = "enrichment table"
PART_KINDS = (TABLE_PART, "fact source", "detector", "intel feed")
MAX_NAME = 300

FILLS: Mapping[tuple[str, str], tuple[tuple[str, str], ...]] = {
    ("account", "created"): (
        ("account", "account_created"), ("owner", "owner_created"), ("recipient", "recipient_created"),
    ),
    ("account", "tier"): (("account", "account_tier"), ("owner", "owner_tier")),
    ("account", "org"): (("account", "org"), ("recipient", "recipient_org")),
    ("account", "verified"): (("account", "account_verified"),),
    ("link", "created"): (("link", "link_created"),),
    ("link", "owner"): (("link", "owner"),),
    ("file", "owner"): (("file", "owner"),),
    ("file", "sha256"): (("file", "file_sha256"),),
}  # fmt: skip
"""(subject type, fact) → the columns that it fills, each with the column that names the subject."""
SUBJECTS: Mapping[str, tuple[str, ...]] = {
    target: tuple(sorted({key for told in FILLS.values() for key, column in told if column == target}))
    for target in {column for told in FILLS.values() for _, column in told}
}
"""Column that facts fill → the columns that name the subject of such a fact."""
_TYPE_OF = {"account": "account", "owner": "account", "recipient": "account", "link": "link", "file": "file"}
_TELLING = pa.array(["account.created", "link.created", "file.uploaded", "file.modified"])

Key = tuple[str, int]
"""(subject type, keyed id)."""


def key_of(column: str, identity: int) -> Key:
    """The subject that a column of this name names."""
    return _TYPE_OF[column], identity


@dataclass(frozen=True)
class Fact:
    """One fact of a cause."""

    subject: Key
    name: str
    value: Any


@dataclass(frozen=True)
class Cause:
    """One record of the journal that tells something. `part` and `body`: of a part's record."""

    seq: int
    as_of: int
    facts: tuple[Fact, ...] = ()
    kind: str = FACTS
    part: str = ""
    columns: tuple[str, ...] = ()
    why: str = ""
    part_kind: str = ""
    rows: Mapping[int, Mapping[str, Any]] | None = None


def causes_of(group: Group, identity: Identity, wanted: Collection[Key]) -> list[Cause]:
    """The causes of a group in seq order: records of parts, and facts about `wanted` subjects."""
    found = [part_cause(frame) for frame in group.controls if frame.kind in PARTS]
    if wanted:
        found += _told_by_records(group, identity, wanted)
        if group.events is not None:
            found += _told_by_events(group.events.table, identity, wanted)
    return sorted(found, key=lambda cause: cause.seq)


def part_body(name: str, kind: str, columns: Collection[str], why: str = "") -> dict[str, Any]:
    """The body of a `part.missing` or `part.back` record."""
    return {"version": VERSION, "part": name, "kind": kind, "columns": sorted(columns), "why": why}


def joined_body(name: str, table: pa.Table) -> dict[str, Any]:
    """The body of a `part.joined` record. `table`: `seq` of events, and the columns that the part gives for them."""
    return {"version": VERSION, "part": name, "rows": table}


def part_cause(frame: ControlFrame) -> Cause:
    """A part's record, checked; raises `Corrupt`."""
    body = frame.body

    def bad(what: str) -> Corrupt:
        return Corrupt(f"record {frame.seq} ({frame.kind}): {what}")

    if body.get("version") != VERSION:
        raise bad(f"version {body.get('version')!r}; this release reads {VERSION}")
    name = body.get("part")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise bad("it names no part")
    if frame.kind == JOINED:
        table = body.get("rows")
        if not isinstance(table, pa.Table) or "seq" not in table.column_names:
            raise bad("it has no table of rows with a column seq")
        for field in table.schema:
            known = BY_NAME.get(field.name)
            if known is None or field.type != known.kind.arrow:
                raise bad(f"{field.name!r} of type {field.type} is no column of an event")
        seqs = one_chunk(table, "seq")
        if seqs.null_count or len(pc.unique(seqs)) < len(seqs) or (len(seqs) and pc.max(seqs).as_py() >= frame.seq):
            raise bad("its rows are not those of earlier events, each once")
        rows = {row.pop("seq"): {k: v for k, v in row.items() if v is not None} for row in table.to_pylist()}
        return Cause(frame.seq, frame.as_of, kind=JOINED, part=name, rows=rows)
    columns, kind = body.get("columns"), body.get("kind")
    if not isinstance(columns, list) or not columns or any(column not in BY_NAME for column in columns):
        raise bad("it names no columns of an event")
    if kind not in PART_KINDS:
        raise bad(f"{kind!r} is no kind of a part; allowed: {', '.join(PART_KINDS)}")
    why = str(body.get("why") or "")
    return Cause(frame.seq, frame.as_of, kind=frame.kind, part=name, columns=tuple(columns), why=why, part_kind=kind)


def read_cause(frame: ControlFrame | ControlRun, row: int, identity: Identity) -> Cause:
    """A record that was a cause before, read from the journal again."""
    if isinstance(frame, ControlRun):
        return _fact_cause(int(frame.seqs[row]), int(frame.as_ofs[row]), frame.table.slice(row, 1).to_pylist()[0],
                           identity)  # fmt: skip
    if frame.kind in PARTS:
        return part_cause(frame)
    return _fact_cause(frame.seq, frame.as_of, frame.body, identity)


def event_cause(table: pa.Table, row: int, identity: Identity) -> Cause:
    """The same for an event that told facts of itself."""
    one = table.slice(row, 1)
    return Cause(one["seq"][0].as_py(), one["as_of"][0].as_py(), _facts_told(one.to_pylist()[0], identity))


def _fact_cause(seq: int, as_of: int, body: Mapping[str, Any], identity: Identity) -> Cause:
    if body.get("value") is None or body.get("subject") is None:
        return Cause(seq, as_of)
    subject = str(body["subject_type"]), identity.id_of(str(body["subject"]))
    name, value = str(body["name"]), body["value"]
    if name == "created":
        value = int(value)
    elif name == "verified":
        value = value == "true"
    elif name == "sha256":
        value = value.lower()
    return Cause(seq, as_of, (Fact(subject, name, value),))


def _told_by_records(group: Group, identity: Identity, wanted: Collection[Key]) -> list[Cause]:
    found = []
    for frame in group.controls:
        if frame.kind == FACTS:
            found.append(_fact_cause(frame.seq, frame.as_of, frame.body, identity))
    ids = np.array([number for _, number in wanted], dtype=np.int64)
    for run in group.runs:
        if run.kind == FACTS:
            hit = np.flatnonzero(np.isin(identity.ids_of(one_chunk(run.table, "subject")), ids))
            found += [read_cause(run, row, identity) for row in hit.tolist()]
    return [cause for cause in found if any(fact.subject in wanted for fact in cause.facts)]


def _told_by_events(table: pa.Table, identity: Identity, wanted: Collection[Key]) -> list[Cause]:
    told = pc.is_in(table.column("type"), value_set=_TELLING)
    rows = np.flatnonzero(np.asarray(one_chunk(pa.table({"t": told}), "t").fill_null(False)))
    found = [event_cause(table, row, identity) for row in rows.tolist()]
    return [cause for cause in found if any(fact.subject in wanted for fact in cause.facts)]


def _facts_told(event: Mapping[str, Any], identity: Identity) -> tuple[Fact, ...]:
    """What an event tells of its own subjects, as the fact table takes it."""
    kind = event.get("type")
    doer = event.get("owner") or event.get("actor") or event.get("account")
    told: list[tuple[str, str, Any]] = []
    if kind == "account.created":
        told = [("account", "created", event.get("time")), ("account", "org", event.get("org")),
                ("account", "tier", event.get("account_tier"))]  # fmt: skip
    elif kind == "link.created":
        told = [("link", "created", event.get("time")), ("link", "owner", doer)]
    elif kind == "file.uploaded":
        told = [("file", "owner", doer), ("file", "sha256", event.get("file_sha256"))]
    elif kind == "file.modified":
        told = [("file", "sha256", event.get("file_sha256"))]
    return tuple(
        Fact((of, identity.id_of(str(event[of]))), name, value)
        for of, name, value in told
        if value is not None and event.get(of) is not None
    )


Reader = Callable[[int], Cause | None]
"""Reads the cause that stands at a seq; None where retention has dropped it."""
