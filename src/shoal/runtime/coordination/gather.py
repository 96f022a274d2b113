"""What a run reads of the journal: the entity graph, grown from where the last run stopped, and recent rows.

The graph's state lies in `campaigns/` of the deployment as ids, without any text: a cache with the journal position
that it rests on, made anew where it is missing, damaged, of other relations or of a journal that was cut behind it.
Rows with texts (sign-ups, means of payment, uploads of the last weeks) are read from the journal each time, since only
the journal knows what was erased.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.coordination.graph import EntityGraph, GraphBuilder
from shoal.errors import Corrupt, InvalidInput, Problem, ShoalError
from shoal.events.attributes import extract
from shoal.events.schema import Kind
from shoal.packs.pack import Pack
from shoal.runtime.columns import one_chunk
from shoal.runtime.home import Home
from shoal.runtime.ingest.writer import LABELS
from shoal.storage.frames import ControlFrame, EventFrame
from shoal.storage.journal import Journal

FORMAT, VERSION = "shoal.graph_cache", 1
RECENT_TYPES = ("account.created", "payment.added", "phone.verified", "recovery.changed", "file.uploaded")
"""Rows that are kept with their texts, of the last weeks."""
RECENT_COLUMNS = (
    "time", "type", "actor", "account", "cause", "ip", "network", "network_kind", "asn", "country", "user_agent",
    "ua_family", "ua_version", "ua_os", "device", "client", "domain", "file_name", "file_sha256", "attributes",
)  # fmt: skip
MARK_EVERY = 50_000
Moved = Callable[[int, int], None]


@dataclass
class Gathered:
    """What was read. `touched`: codes of accounts with edges that are new since the last run, None where all are.
    `recent`: tables of recent rows. `known`: labelled accounts, by keyed id: True where abusive. `records`: how many
    are new since the last run."""

    graph: EntityGraph
    touched: npt.NDArray[np.int64] | None
    recent: list[pa.Table]
    known: dict[int, bool]
    records: int
    builder: GraphBuilder
    marks: list[tuple[int, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def gather(
    home: Home, journal: Journal, pack: Pack, *, recent_us: int, anew: bool = False,
    moved: Moved = lambda _done, _total: None,
) -> Gathered:  # fmt: skip
    """Read the journal as far as it is new, and its last `recent_us` microseconds again.

    Raises `InvalidInput` (`campaigns.no_relations`) for a pack that ties nothing.
    """
    if not pack.relations:
        hint = "say in relations/*.yaml what ties accounts together (docs/coordination.md)"
        raise InvalidInput(Problem("campaigns.no_relations", f"the pack {pack.name} has no relations", hint=hint))
    notes: list[str] = []
    builder, marks, known = _fresh(home, pack), [(journal.first_seq, -1)], dict[int, bool]()
    begun = False
    if not anew:
        try:
            builder, marks, known = _restored(home, journal, pack)
            begun = True
        except FileNotFoundError:
            pass
        except ShoalError as error:
            notes.append(f"the graph is built anew: {error}")
    position = max(builder.read, journal.first_seq)
    since = (journal.last_as_of or 0) - recent_us
    start = max([seq for seq, as_of in marks if as_of < since], default=journal.first_seq)
    wanted = {one.name: (one.path, one.kind) for one in pack.attributes.values() if one.name in builder.columns}
    recent: list[pa.Table] = []
    for frame in journal.read(min(start, position)):
        if isinstance(frame, EventFrame):
            recent += _recent(frame.table, since)
            if frame.last_seq >= position:
                _grow(builder, frame, position, wanted)
                if frame.last_seq - marks[-1][0] >= MARK_EVERY:
                    marks.append((frame.last_seq + 1, _last(frame.table)))
        elif isinstance(frame, ControlFrame) and frame.kind == LABELS and frame.seq >= position:
            _note(known, home, frame.body)
        moved(frame.last_seq + 1, journal.next_seq)
    if builder.read < journal.next_seq:  # records that are no events stand at the end
        builder.update(pa.table({"time": pa.array([], pa.int64())}), read=journal.next_seq)
    touched = builder.touched_since(position) if begun else None
    records = journal.next_seq - position
    return Gathered(builder.graph(), touched, recent, known, records, builder, marks, notes)


def save(home: Home, found: Gathered) -> Path:
    """Write the graph's state beside the journal, so that the next run reads only what is new; returns the file."""
    folder = home.folder / "campaigns"
    folder.mkdir(exist_ok=True)
    path, aside = folder / "graph.npz", folder / f".graph.{os.getpid()}"
    head = {"format": FORMAT, "version": VERSION, "marks": found.marks}
    arrays: dict[str, npt.NDArray[Any]] = {
        "cache": np.frombuffer(json.dumps(head).encode(), np.uint8),
        "known": np.array(sorted(found.known.items()), np.int64).reshape(-1, 2),
        **found.builder.snapshot(),
    }
    with aside.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(path)
    return path


def _fresh(home: Home, pack: Pack) -> GraphBuilder:
    return GraphBuilder(pack.relations, pack.event_layout(), home.identity, pack.named_lists())


def _restored(home: Home, journal: Journal, pack: Pack) -> tuple[GraphBuilder, list[tuple[int, int]], dict[int, bool]]:
    """The builder as the last run left it; raises `FileNotFoundError`, or what is wrong with what it left."""
    path = home.folder / "campaigns" / "graph.npz"
    with path.open("rb") as stream:
        try:
            with np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            head = json.loads(arrays.pop("cache").tobytes())
            known = {int(account): bool(bad) for account, bad in arrays.pop("known")}
            told, marks = (head["format"], head["version"]), [(int(seq), int(at)) for seq, at in head["marks"]]
        except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise Corrupt(f"{path}: {error}") from error
    if told != (FORMAT, VERSION) or not marks:
        raise Corrupt(f"{path}: {told[0]} version {told[1]}")
    builder = _fresh(home, pack)
    builder.restore(arrays)
    if builder.read > journal.next_seq:
        raise Corrupt(f"{path}: it has read {builder.read:,} records, the journal has {journal.next_seq:,}")
    return builder, marks, known


def _note(known: dict[int, bool], home: Home, body: Mapping[str, Any]) -> None:
    """Take a label of an account in; one that is retracted is forgotten."""
    if body["subject_type"] == "account" and body["subject"]:
        account = home.identity.id_of(body["subject"])
        if body["retracted"]:
            known.pop(account, None)
        else:
            known[account] = not str(body["kind"]).startswith("benign")


def _grow(builder: GraphBuilder, frame: EventFrame, position: int, wanted: dict[str, tuple[str, Kind]]) -> None:
    table = frame.table
    if frame.first_seq < position:
        seqs = np.asarray(one_chunk(table, "seq"))
        table = table.slice(int(np.searchsorted(seqs, position)))
    names = [name for name in (*builder.columns, "attributes") if name in table.column_names]
    table = table.select(list(dict.fromkeys(names)))
    if wanted:
        table = extract(table, wanted)
    builder.update(table.drop_columns([name for name in ("attributes",) if name in table.column_names]), ids=frame.ids)


def _recent(table: pa.Table, since_us: int) -> list[pa.Table]:
    """The rows that are kept with their texts; none or one table."""
    if "type" not in table.column_names or _last(table) < since_us:
        return []
    chosen = pc.is_in(one_chunk(table, "type"), value_set=pa.array(RECENT_TYPES))
    found = table.filter(chosen).select([name for name in RECENT_COLUMNS if name in table.column_names])
    return [found] if found.num_rows else []


def _last(table: pa.Table) -> int:
    return int(one_chunk(table, "as_of")[-1].as_py())
