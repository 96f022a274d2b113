"""The journal: everything that happened, in one order, on disk, synced before it is acknowledged.

Shape first; the body follows in the next commits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from shoal.events.identity import Identity
from shoal.storage.frames import Frame, Group, Int64s

CUTTING_KINDS = frozenset({"packs", "lists", "models", "indicators"})


@dataclass(frozen=True)
class Position:
    """Where the journal ends: the segment (its first seq), the offset in its file and the next seq."""

    segment: int
    offset: int
    next_seq: int


@dataclass(frozen=True)
class Cut:
    """A torn tail that was cut on opening (or is left out, when opened read-only)."""

    file: str
    kept_bytes: int
    cut_bytes: int
    reason: str
    lost_acknowledged: bool


class Journal:
    """One writer's journal in a folder. See the module."""

    cuts: tuple[Cut, ...]

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        identity: Identity,
        segment_bytes: int = 256 << 20,
        compression: str = "lz4",
        read_only: bool = False,
    ) -> Journal:
        """Open or create; takes the writer's lock (`Temporary` when another holds it) unless `read_only`."""
        raise NotImplementedError

    @property
    def first_seq(self) -> int:
        """The first seq that is kept (0 until retention drops segments)."""
        raise NotImplementedError

    @property
    def next_seq(self) -> int:
        """The seq that the next record must have."""
        raise NotImplementedError

    @property
    def last_as_of(self) -> int | None:
        """The largest `as_of` so far; None in an empty journal."""
        raise NotImplementedError

    def append_events(self, table: pa.Table, bodies: Int64s | None = None) -> None:
        """Add events (stamped: `seq`, `as_of`); with the body hash of each, int64[n]. Not durable before `sync`."""
        raise NotImplementedError

    def append_duplicates(self, seqs: Int64s, originals: Int64s) -> None:
        """Add duplicates: record `seqs[i]` repeats `originals[i]`."""
        raise NotImplementedError

    def append_control(self, seq: int, as_of: int, kind: str, body: Mapping[str, Any]) -> None:
        """Add one control record; the body is msgpack-able, values may be Arrow tables."""
        raise NotImplementedError

    def end_group(self) -> int:
        """Close the open group: its seqs must have no gap. Returns next_seq. A later `sync(open_group=False)` in
        another thread makes durable just the ended groups."""
        raise NotImplementedError

    def sync(self, *, open_group: bool = True) -> Position:
        """Write and fsync all that was appended; after it returns the records are acknowledged."""
        raise NotImplementedError

    def read(self, from_seq: int | None = None, to_seq: int | None = None) -> Iterator[Frame]:
        """Synced frames with `from_seq <= seq < to_seq`, ordered by first seq."""
        raise NotImplementedError

    def read_groups(
        self, from_seq: int | None = None, to_seq: int | None = None, cut: Collection[str] = CUTTING_KINDS
    ) -> Iterator[Group]:
        """The same in groups; a control record whose kind is in `cut` stands in a group of its own."""
        raise NotImplementedError

    def rows(self, seqs: Int64s, columns: Sequence[str] | None = None) -> pa.Table:
        """Events by seq, in the order asked; also those not yet synced."""
        raise NotImplementedError

    def close(self) -> None:
        """Sync and let go of the lock."""
        raise NotImplementedError
