"""Which `event_id` was accepted before (FEATURES.md, contract point 4). Shape first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.events.identity import Identity
from shoal.storage.frames import Int64s
from shoal.storage.journal import Journal

NEW, DUPLICATE, CONFLICT = 0, 1, 2
HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Verdicts:
    """Per row: verdict (NEW, DUPLICATE, CONFLICT), assigned seq (-1 for a conflict: it is not accepted), the original
    seq (-1 for new), and as_of (for a new row the stamp: max(time, largest as_of so far))."""

    verdict: npt.NDArray[np.int8]
    seq: Int64s
    original: Int64s
    as_of: Int64s
    next_seq: int


class DedupeIndex:
    """See the module."""

    @classmethod
    def open(
        cls, journal: Journal, *, horizon_us: int = 72 * HOUR_US, hot_us: int = HOUR_US, max_hot_ids: int = 50_000_000
    ) -> DedupeIndex:
        """Built from the journal's segments and their `.ids` files."""
        raise NotImplementedError

    def check(
        self,
        event_ids: pa.Array,
        bodies: Int64s,
        times: Int64s,
        first_seq: int,
        *,
        id_hashes: Int64s | None = None,
        skip: Int64s | None = None,
    ) -> Verdicts:
        """Judge one batch in order and remember its new rows. `skip[i]` seqs are left free before row i (for control
        records that stand between)."""
        raise NotImplementedError

    def advance(self, as_of: int) -> None:
        """A control record (a tick) moved the journal's time."""
        raise NotImplementedError


def body_hashes(table: pa.Table, identity: Identity, leave_out: Sequence[str] = ()) -> Int64s:
    """The hash of each row's body: all given columns but event_id, source, partition, offset and received."""
    raise NotImplementedError
