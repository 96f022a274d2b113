"""The open set: provisional decisions that may still be revised, and the parts that are missing.

A function of the journal, like all state of an engine, and kept in its snapshots; it holds ids and numbers only (what
became known is read again from the journal's records), so that erasure need not look here. An entry leaves when a
revision leaves nothing deferred (*settled*), or without (*closed*): when it is older than the horizon in journal time,
when more than `most` are open (the oldest goes), or when another pack is published. The store mirrors it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

import msgpack
import numpy as np
import numpy.typing as npt

from shoal.errors import Corrupt, Unsupported
from shoal.runtime.revise.causes import Key, key_of

FORMAT, VERSION = "shoal.open_decisions", 1
Int64s = npt.NDArray[np.int64]
Hit = tuple[int, int, int, int]
"""Threat, kind, subject, tier, as the policy numbers them."""


@dataclass
class Entry:
    """One provisional decision: what is null, whom facts about it would name, and what was decided last.

    `waiting`: null columns and features that a deferring rule read; `keys`: columns that name the subjects of facts,
    with their ids; `causes`: seqs of the records that told something of it since; `wants`: parts that are back and
    whose
    columns are not journalled yet; `vector`: the feature values as stored.
    """

    seq: int
    as_of: int
    waiting: list[str]
    keys: dict[str, int]
    vector: bytes
    matched: list[int]
    unknown: list[int]
    tier: int
    hits: list[Hit]
    revision: int = 0
    causes: list[int] = field(default_factory=list)
    wants: list[str] = field(default_factory=list)

    def subjects(self) -> Iterable[Key]:
        """The subjects of facts that could tell something."""
        return (key_of(column, number) for column, number in self.keys.items())


@dataclass(frozen=True)
class MissingPart:
    """A part that is missing: since which record, which columns it feeds, and why."""

    name: str
    kind: str
    columns: tuple[str, ...]
    since: int
    why: str


class OpenSet:
    """See the module. `horizon_us`: how long an entry stays; `most`: how many do."""

    def __init__(self, horizon_us: int, most: int) -> None:
        self.horizon_us, self.most = horizon_us, most
        self.entries: dict[int, Entry] = {}
        self.parts: dict[str, MissingPart] = {}
        self._by_key: dict[Key, set[int]] = {}

    @property
    def wanted(self) -> set[Key]:
        """Subjects about which a fact would tell something."""
        return set(self._by_key)

    def about(self, subjects: Iterable[Key]) -> list[Entry]:
        """Entries that name one of these subjects, by seq."""
        return [self.entries[seq] for seq in sorted({s for key in subjects for s in self._by_key.get(key, ())})]

    def add(self, entry: Entry) -> list[int]:
        """Open one, behind all others; returns the seqs of those that are closed for it."""
        self.entries[entry.seq] = entry
        self.index(entry)
        gone = list(self.entries)[: max(len(self.entries) - self.most, 0)]
        for seq in gone:
            self.remove(seq)
        return gone

    def index(self, entry: Entry) -> None:
        """Take up the entry's keys (again, where it has new ones)."""
        for key in entry.subjects():
            self._by_key.setdefault(key, set()).add(entry.seq)

    def remove(self, seq: int) -> None:
        """Take one out."""
        entry = self.entries.pop(seq)
        for key in entry.subjects():
            found = self._by_key.get(key)
            if found is not None:
                found.discard(seq)
                if not found:
                    del self._by_key[key]

    def expire(self, as_of: int) -> list[int]:
        """Close what is older than the horizon at this time; returns their seqs."""
        gone = []
        for seq, entry in self.entries.items():
            if entry.as_of >= as_of - self.horizon_us:
                break
            gone.append(seq)
        for seq in gone:
            self.remove(seq)
        return gone

    def clear(self) -> list[int]:
        """Close all."""
        gone = list(self.entries)
        self.entries, self._by_key = {}, {}
        return gone

    def wants(self) -> dict[str, list[int]]:
        """Parts that are back → the open events whose columns are still to be joined."""
        found: dict[str, list[int]] = {}
        for entry in self.entries.values():
            for name in entry.wants:
                found.setdefault(name, []).append(entry.seq)
        return found

    def snapshot(self) -> bytes:
        """The set as bytes; equal sets give equal bytes."""
        packed: bytes = msgpack.packb(
            {
                "format": FORMAT,
                "version": VERSION,
                "entries": [asdict(entry) for entry in self.entries.values()],
                "parts": [asdict(self.parts[name]) for name in sorted(self.parts)],
            }
        )
        return packed

    def restore(self, data: bytes) -> None:
        """Take over a snapshot; raises `Corrupt` or `Unsupported`."""
        try:
            body = msgpack.unpackb(data, strict_map_key=False)
            told = (body["format"], body["version"])
            if told != (FORMAT, VERSION):
                raise Unsupported(f"open decisions: {told[0]} version {told[1]}")
            entries = [Entry(**{**one, "hits": [tuple(hit) for hit in one["hits"]]}) for one in body["entries"]]
            parts = [MissingPart(**{**one, "columns": tuple(one["columns"])}) for one in body["parts"]]
        except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
            raise Corrupt(f"the snapshot of open decisions is damaged: {error}") from error
        self.clear()
        self.entries = {entry.seq: entry for entry in entries}
        self.parts = {part.name: part for part in parts}
        for entry in entries:
            self.index(entry)
