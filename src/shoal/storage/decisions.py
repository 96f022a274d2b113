"""Decision segments in columns. Shape first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa


@dataclass(frozen=True)
class DecisionMark:
    """What the store records of the decision log: the last segment, its length in bytes and the checksum so far."""

    segment: int
    length: int
    crc: int


class DecisionLog:
    """See the module."""

    @classmethod
    def open(cls, folder: Path, *, segment_bytes: int = 256 << 20, read_only: bool = False) -> DecisionLog:
        """Open or create; a torn tail is cut and listed in `.cuts`."""
        raise NotImplementedError

    def append(self, table: pa.Table) -> None:
        """Add decisions: a table of any schema with an ascending int64 column `seq`."""
        raise NotImplementedError

    def sync(self) -> DecisionMark:
        """Write and fsync."""
        raise NotImplementedError

    def cut_to(self, mark: DecisionMark | None) -> int:
        """Cut back to what the store recorded (None: nothing); returns the bytes cut. `Corrupt` if less is there or
        the checksum differs."""
        raise NotImplementedError

    def read(self, from_seq: int = 0, to_seq: int | None = None) -> Iterator[pa.Table]:
        """Tables of the rows with `from_seq <= seq < to_seq`, in the order written."""
        raise NotImplementedError

    def close(self) -> None:
        """Sync and let go of the lock."""
        raise NotImplementedError
