"""Replay: decide the journal's records again with the same engine and name every difference to what was stored.

Stored decisions are the truth of what was done; replay is the check. It reads the journal, the packs published in it,
the decision segments and the store, and writes nothing. Rows whose texts were erased are counted apart, since a rule
that reads a text cannot see it.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.errors import InvalidInput, Problem
from shoal.events.schema import Flag, Kind
from shoal.runtime.columns import one_chunk
from shoal.runtime.commit import decision_table, rows_of
from shoal.runtime.engine import Engine, Outcome
from shoal.runtime.home import Home
from shoal.runtime.ingest.writer import PACKS
from shoal.runtime.publish import pack_of
from shoal.storage.decisions import DecisionLog
from shoal.storage.frames import Group
from shoal.storage.journal import Journal
from shoal.storage.store import DecisionRow, Store

MAX_LISTED = 100


@dataclass(frozen=True)
class Difference:
    """One value that replay gives otherwise. `what` is a column, `feature:ID` or `decision`."""

    seq: int
    what: str
    stored: str
    replayed: str


@dataclass
class ReplayReport:
    """What a replay found. `differences` holds the first hundred, `count` all; `edges`: floats that differ within
    1e-9."""

    events: int = 0
    vectors: int = 0
    decisions: int = 0
    erased: int = 0
    edges: int = 0
    count: int = 0
    differences: list[Difference] = field(default_factory=list)

    def add(self, difference: Difference) -> None:
        """Count a difference, and keep it while there is room."""
        self.count += 1
        if len(self.differences) < MAX_LISTED:
            self.differences.append(difference)


def outcomes(
    journal: Journal, home: Home, *, until: int | None = None
) -> Iterator[tuple[Group, Outcome | None, Engine]]:
    """Every group of the journal, decided again by engines of the packs that were in force, from its first record
    on."""
    engine: Engine | None = None
    with tempfile.TemporaryDirectory(prefix="shoal-replay-") as place:
        for group in journal.read_groups(journal.first_seq, until):
            for frame in group.controls:
                if frame.kind == PACKS:
                    folder = Path(place) / str(frame.seq)
                    folder.mkdir()
                    complete = frame.body["history"] == "complete"
                    engine = Engine(pack_of(frame.body), home.identity, history_complete=complete, folder=folder)
                    for earlier in journal.read_groups(journal.first_seq, frame.seq):
                        if earlier.events is not None:
                            engine.decide(earlier.events.table)
            if engine is None:
                raise InvalidInput(Problem("pack.none", "the journal begins without a published pack"))
            yield group, (engine.decide(group.events.table) if group.events is not None else None), engine


def replay(home: Home, moved: Callable[[int, int], None] = lambda _a, _b: None) -> ReplayReport:
    """Check every stored decision; see the module's docstring."""
    report = ReplayReport()
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    store = home.open_store(read_only=True)
    log = DecisionLog.open(home.decisions, read_only=True)
    try:
        position = store.position()
        until = position.next_seq if position else 0
        for group, outcome, engine in outcomes(journal, home, until=until):
            moved(group.last_seq + 1, until)
            if outcome is not None:
                _compare(report, outcome, engine, log, store)
    finally:
        log.close()
        store.close()
        journal.close()
    return report


def _compare(report: ReplayReport, outcome: Outcome, engine: Engine, log: DecisionLog, store: Store) -> None:
    again = decision_table(outcome, sample_one_in=1)
    seqs = outcome.seq
    flags = np.asarray(one_chunk(outcome.table, "flags"))
    erased = (flags & int(Flag.ERASED)) != 0
    report.events += len(seqs)
    report.erased += int(erased.sum())
    first, last = int(seqs[0]), int(seqs[-1])
    tables = list(log.read(first, last + 1))
    stored = pa.concat_tables(tables).combine_chunks() if tables else again.slice(0, 0)
    have = np.asarray(one_chunk(stored, "seq")) if stored.num_rows else np.zeros(0, np.int64)
    for seq in np.setxor1d(have, seqs).tolist():
        side = ("no decision", "decided") if seq in set(seqs.tolist()) else ("decided", "no event")
        report.add(Difference(seq, "row", *side))
    both, left, right = np.intersect1d(have, seqs, return_indices=True)
    keep = ~erased[right]
    left, right, both = left[keep], right[keep], both[keep]
    for name in again.column_names:
        if name in ("seq", "features"):
            continue
        ours = np.asarray(one_chunk(again, name))[right]
        theirs = np.asarray(one_chunk(stored, name))[left] if name in stored.column_names else np.zeros_like(ours)
        for k in np.flatnonzero(ours != theirs).tolist():
            report.add(Difference(int(both[k]), name, str(theirs[k]), str(ours[k])))
    _compare_vectors(report, one_chunk(stored, "features"), left, one_chunk(again, "features"), right, both, engine)
    _compare_rows(report, outcome, engine, store, set(seqs[erased].tolist()))


def _compare_vectors(
    report: ReplayReport, stored: pa.Array, left: Any, again: pa.Array, right: Any, seqs: Any, engine: Engine
) -> None:
    mine, theirs = again.take(pa.array(right)), stored.take(pa.array(left))
    present = np.flatnonzero(np.asarray(theirs.is_valid()))
    report.vectors += len(present)
    for k in present.tolist():
        old, new = theirs[k].as_py(), mine[k].as_py()
        if old == new:
            continue
        before, after = vector_values(old, engine), vector_values(new, engine)
        for name in before:
            if nearly(before[name], after.get(name)):
                report.edges += before[name] != after.get(name)
            else:
                report.add(Difference(int(seqs[k]), f"feature:{name}", str(before[name]), str(after.get(name))))


def nearly(old: object, new: object) -> bool:
    """Whether two feature values are equal in the sense of docs/features.md: floats within 1e-9, else exactly."""
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=1e-9, abs_tol=0.0)
    return type(old) is type(new) and old == new


def vector_values(packed: bytes, engine: Engine) -> dict[str, object]:
    """The features of one stored vector by name (None: null; a text feature gives its id)."""
    names, kinds = engine.features.names, engine.features.kinds
    values = np.frombuffer(packed[: 8 * len(names)], dtype=np.int64)
    valid = np.frombuffer(packed[8 * len(names) :], dtype=np.uint8)
    found: dict[str, object] = {}
    for k, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        raw: Any = values[k : k + 1].view(np.float64)[0] if kind is Kind.FLOAT else values[k]
        found[name] = (bool(raw) if kind is Kind.BOOL else raw.item()) if valid[k] else None
    return found


def _compare_rows(report: ReplayReport, outcome: Outcome, engine: Engine, store: Store, erased: set[int]) -> None:
    seqs = outcome.seq
    stored = store.read_decisions(from_seq=int(seqs[0]), to_seq=int(seqs[-1]) + 1)
    decisions, _ = rows_of(outcome.table, outcome.decisions, engine)
    old = {_key(row): row for row in stored if row.seq not in erased}
    new = {_key(row): row for row in decisions if row.seq not in erased}
    report.decisions += len(new)
    for place in sorted(old.keys() | new.keys()):
        if old.get(place) != new.get(place):
            report.add(Difference(place[0], "decision", str(old.get(place)), str(new.get(place))))


def _key(row: DecisionRow) -> tuple[int, str, int, str]:
    return row.seq, row.subject_type, row.subject_id, row.threat
