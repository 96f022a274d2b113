"""The contract of a stream: partitions that are polled, give raw records with offsets, and are resumed at one.

`StreamSource` is what Kafka, Kinesis, Pub/Sub, HTTP and followed files implement (tests/adapters holds one suite for
all of them). It speaks bytes and numbers only: decoding, merging and journalling stand above it. All methods are
called by one thread. Offsets are the source's own (a message's number, a line's place in bytes); they ascend within a
partition. A source keeps no place of its own: Shoal journals the offsets with the records and hands them to `seek`
on start, so `commit` may do nothing; where a broker keeps offsets too, it follows what was journalled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

ENDED = 2**62
"""The offset of a partition that has ended and was read whole: `seek` gives nothing more of it."""


@dataclass(frozen=True)
class RawBatch:
    """Records of one partition, in its order.

    `data`: one record a line, each ended by a newline, none blank; `offsets`: int64[n], of each record, ascending;
    `next_offset`: where reading goes on behind the batch, greater than all of them.
    """

    partition: str
    offsets: npt.NDArray[np.int64]
    next_offset: int
    data: bytes

    @classmethod
    def of(cls, partition: str, offsets: Sequence[int], records: Sequence[bytes], next_offset: int) -> RawBatch:
        """A batch of separate records (a broker's messages): a line break within one becomes a space, blank ones are
        left out."""
        lines = [record.replace(b"\n", b" ").replace(b"\r", b" ") for record in records]
        kept = [k for k, line in enumerate(lines) if line.strip(b" \t")]
        places = np.array([offsets[k] for k in kept], dtype=np.int64)
        return cls(partition, places, next_offset, b"".join(lines[k] + b"\n" for k in kept))


@dataclass(frozen=True)
class Polled:
    """What one poll gave.

    `idle`: partitions that hold nobody back now: read to their present end, and silent for as long as the source needs
    to be sure of it. One is idle until it gives a batch again, and need not be told twice. `ended`: partitions that
    will never give anything again (a file that was rotated away, a closed shard); told once, with or behind the last
    batch.
    """

    batches: tuple[RawBatch, ...] = ()
    idle: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()


class StreamSource(Protocol):
    """A source without an end. See the module."""

    @property
    def name(self) -> str:
        """The source's name in journal and ledger; the same after a restart, for the same partitions."""
        ...

    @property
    def format(self) -> str:
        """A name of `events.formats.FORMATS`: what the records are."""
        ...

    def seek(self, offsets: Mapping[str, int]) -> None:
        """Called once, before the first poll: go on at these offsets; partitions that are not named start at their
        beginning."""
        ...

    def partitions(self) -> frozenset[str]:
        """The partitions that are known now and have not ended. More may come."""
        ...

    def poll(self, timeout_s: float) -> Polled:
        """What has come, at once where there is something, else after at most `timeout_s`.

        A poll gives a bounded amount. Raises `Temporary` where trying again may help.
        """
        ...

    def commit(self, offsets: Mapping[str, int]) -> None:
        """All records of a partition below its offset (`ENDED`: all there were) are in Shoal's journal, for good."""
        ...

    def close(self) -> None:
        """Let go of files and connections. Closing twice is fine."""
        ...
