"""The feature engine: events in, a block of feature values out. Hot path.

`FeatureEngine` compiles definitions into a spec table once, owns the state (slabs, tables, the log of live events)
for its whole life, and drives one generic kernel over batches of any size: results do not depend on how the journal
was cut. It reads the writer's stamps and computes none. It knows no file format but its own snapshot, and no rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.expressions.frame import Frame, Layout, Valid, Values
from shoal.features.definitions import FeatureDefinition

PARTIAL = 1
"""Bit of `FeatureBlock.partial`: the window is not covered yet; a lower bound for counts."""
CLAMPED = 2
"""Bit of `FeatureBlock.partial`: this event's value was beyond `largest` and was clamped."""


@dataclass
class Stamps:
    """The writer's stamps of a batch, each [n]: `seq`, `as_of` and `time` int64, `flags` bits of `events.schema.Flag`,
    `shoal` 1 where our own enforcement caused the event."""

    seq: npt.NDArray[np.int64]
    as_of: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]
    flags: npt.NDArray[Any]
    shoal: npt.NDArray[np.uint8]


@dataclass
class FeatureBlock:
    """Feature values of a batch: `values` int64 [F, n] (floats by bit view), `valid` and `partial` uint8 [F, n]."""

    values: Values
    valid: Valid
    partial: Valid


class FeatureEngine:
    """All features of a pack over one ordered stream. See the module's docstring."""

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    text_columns: frozenset[str]

    def __init__(
        self,
        definitions: Sequence[FeatureDefinition],
        layout: Layout,
        identity: Identity,
        lists: Mapping[str, Any] | None = None,
        *,
        history_complete: bool,
        folder: Path | None = None,
        pair_cap: int = 4096,
        lifetime_s: int = 400 * 86_400,
    ) -> None:
        """Compile `definitions` against the event columns of `layout`; raises `InvalidInput` with all problems.

        `history_complete`: everything that ever happened to the keys is in the stream (finite files, tests).
        `folder`: where the log of live events is mapped; None keeps it in memory. `pair_cap`: live pairs a key may
        have before its distinct counts move to a sketch. `lifetime_s`: how long lifetime state of an idle key lives.
        """
        raise NotImplementedError

    def update(
        self, frame: Frame, stamps: Stamps, values: Values | None = None, valid: Valid | None = None
    ) -> FeatureBlock:
        """Read and update all features for `frame.size` events in `(as_of, seq)` order.

        `values` and `valid` ([F, >= n], rows contiguous) receive the result where given; else new arrays are made.
        Raises `InvalidInput` (`features.order`) where the stamps are not in order, before any state changes.
        """
        raise NotImplementedError

    def advance(self, as_of: int) -> None:
        """Move time while the stream is idle (a journalled tick); memory of what expired may come back."""
        raise NotImplementedError

    def snapshot(self, path: Path, position: int) -> None:
        """Write the whole state and `position` aside, sync it, and rename it to the folder `path`."""
        raise NotImplementedError

    def restore(self, path: Path, *, new_partial: bool = False) -> int:
        """Take over the state of a snapshot and return its `position`.

        Refuses (`InvalidInput`) definitions whose hash is not in the snapshot by name, unless `new_partial`: then
        those start empty and are `partial`. Raises `Corrupt` or `Unsupported` for a bad or other-version snapshot.
        """
        raise NotImplementedError

    def warm(self) -> None:
        """Compile the kernels (or load them from the cache) on a small stream of their own."""
        raise NotImplementedError
