"""Frames of the journal: what a frame holds, and how its payload is written and read. Hot path.

Event frames are Arrow IPC streams (compressed); under `ROW_WISE_BELOW` rows they are msgpack rows, because a one-row
Arrow stream of 30 columns is 3 KB. Duplicate frames are pairs of int64. Control frames are lists of msgpack records,
in which an Arrow table is an extension value. A hidden column keeps the body hash of each event beside it, so that
deduplication can be rebuilt. This module holds no state and opens no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EventFrame:
    """Events of one frame, in `seq` order. `bodies` are their body hashes, 0 where the writer gave none."""

    first_seq: int
    last_seq: int
    table: pa.Table
    bodies: Int64s


@dataclass(frozen=True)
class DuplicateFrame:
    """Duplicates of one frame: record `seqs[i]` repeats the event that has `originals[i]`; both int64[n]."""

    first_seq: int
    last_seq: int
    seqs: Int64s
    originals: Int64s


@dataclass(frozen=True)
class ControlFrame:
    """One control record: facts, labels, lists, packs, models, ticks, part_missing, …; tables in `body` are Arrow."""

    seq: int
    as_of: int
    kind: str
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def first_seq(self) -> int:
        """Same as `seq`, so that all frames have a first and a last one."""
        return self.seq

    @property
    def last_seq(self) -> int:
        """Same as `seq`."""
        return self.seq


Frame = EventFrame | DuplicateFrame | ControlFrame


@dataclass(frozen=True)
class Group:
    """What was synced together: records `first_seq … last_seq` without a gap, their kinds interleaved by `seq`."""

    first_seq: int
    last_seq: int
    events: EventFrame | None
    duplicates: DuplicateFrame | None
    controls: tuple[ControlFrame, ...]
