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

from shoal.errors import Problem
from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.expressions.frame import Frame, Layout, Valid, Values
from shoal.expressions.program import Program
from shoal.features import descriptor as D  # noqa: N812 - a namespace of constants
from shoal.features.definitions import FeatureDefinition, refuse_problems
from shoal.features.derived import DerivedFeatures
from shoal.features.kernel.event_kernel import advance, run
from shoal.features.plan import US, Plan
from shoal.features.state import State, address_of

PARTIAL = 1
"""Bit of `FeatureBlock.partial`: the window is not covered yet; a lower bound for counts."""
CLAMPED = 2
"""Bit of `FeatureBlock.partial`: this event's value was beyond `largest` and was clamped."""
MAX_PAIR_CAP = 2**24
MAX_LIFETIME_S = 100 * 366 * 86_400
SWEEP_AT_TICK = 100_000
"""Rows of each slab that a tick sweeps."""
PAD = 72
"""Spare columns of new blocks, so that rows do not all fall into the same cache sets."""


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
        `folder`: where the log of live events is mapped, for this engine alone; None keeps it in memory. `pair_cap`:
        live pairs a key may have before its distinct counts move to a sketch. `lifetime_s`: how long lifetime state
        of an idle key lives.
        """
        _check_options(definitions, pair_cap, lifetime_s)
        known_lists = dict(lists or {})
        self.plan = Plan(definitions, layout, frozenset(known_lists))
        self.layout, self.identity = layout, identity
        self.history_complete, self.pair_cap, self.lifetime_s = history_complete, pair_cap, lifetime_s
        self.names = tuple(one.id for one in self.plan.definitions)
        self.kinds = self.plan.kinds
        self.state = State(self.plan, identity.id_of("features"), pair_cap, lifetime_s * US, folder)
        self._program = Program(self.plan.expressions, layout, identity, known_lists) if self.plan.expressions else None
        self._derived = DerivedFeatures(self.plan, layout, identity, known_lists) if self.plan.derived else None
        texts = self._program.text_columns if self._program is not None else frozenset()
        self.text_columns = texts | (self._derived.text_columns if self._derived is not None else frozenset())
        self._last_seq = -1
        self._since: dict[str, int] = {}
        self._complete = {one.id: history_complete for one in self.plan.kernel_features}
        self._results = np.zeros((len(self.plan.expressions), 1), np.int64)
        self._results_valid = np.zeros((len(self.plan.expressions), 1), np.uint8)

    def update(
        self, frame: Frame, stamps: Stamps, values: Values | None = None, valid: Valid | None = None
    ) -> FeatureBlock:
        """Read and update all features for `frame.size` events in `(as_of, seq)` order.

        `values` and `valid` ([F, >= n], rows contiguous) receive the result where given; else new arrays are made.
        Raises `InvalidInput` (`features.order`, `features.frame`) before any state changes.
        """
        block = self._new_block(frame.size, values, valid)
        if frame.size == 0:
            return block
        self._check(frame, stamps)
        if len(self._since) < len(self.plan.kernel_features):
            self._begin(int(stamps.as_of[0]))
        held = self.bind(frame, stamps, block)
        self.drive(0, frame.size)
        del held
        self._last_seq = int(stamps.seq[frame.size - 1])
        if self._derived is not None:
            self._derived.fill(frame, block.values, block.valid, block.partial)
        return block

    def advance(self, as_of: int) -> None:
        """Move time while the stream is idle (a journalled tick); memory of what expired may come back."""
        if len(self._since) < len(self.plan.kernel_features):
            self._begin(as_of)
        if as_of > int(self.state.words[D.NOW]):
            advance(self.state.d, as_of, SWEEP_AT_TICK)
            self.state.release()

    def bind(self, frame: Frame, stamps: Stamps, block: FeatureBlock) -> tuple[object, ...]:
        """Evaluate conditions and values, and give the kernel the batch's addresses.

        Returns what must stay alive while the kernel runs. `drive` may then take the batch in any pieces.
        """
        words = self.state.words
        if self._program is not None:
            if frame.size > self._results.shape[1]:
                shape = (len(self.plan.expressions), frame.size)
                self._results, self._results_valid = np.zeros(shape, np.int64), np.zeros(shape, np.uint8)
            self._program.run(frame, self._results, self._results_valid)
        place = int(words[D.O_INPUT])
        for source in self.plan.inputs:
            matrix = self._results if source.program else frame.values
            mask = self._results_valid if source.program else frame.valid
            words[place] = address_of(matrix) + source.row * matrix.strides[0]
            words[place + 1] = address_of(mask) + source.row * mask.strides[0]
            place += D.INPUT_WORDS
        as_of = np.ascontiguousarray(stamps.as_of, dtype=np.int64)
        time = np.ascontiguousarray(stamps.time, dtype=np.int64)
        flags = np.ascontiguousarray(stamps.flags).astype(np.uint8, copy=False)
        shoal = np.ascontiguousarray(stamps.shoal).astype(np.uint8, copy=False)
        for field, array in ((D.A_AS_OF, as_of), (D.A_TIME, time), (D.A_FLAGS, flags), (D.A_SHOAL, shoal)):
            words[field] = address_of(array)
        words[D.OUT_VALUES], words[D.OUT_VALUES_STEP] = address_of(block.values), block.values.strides[0]
        words[D.OUT_VALID], words[D.OUT_VALID_STEP] = address_of(block.valid), block.valid.strides[0]
        words[D.OUT_PARTIAL], words[D.OUT_PARTIAL_STEP] = address_of(block.partial), block.partial.strides[0]
        return frame.values, frame.valid, as_of, time, flags, shoal, block

    def drive(self, start: int, stop: int) -> None:
        """Run the kernel over events `start..stop` of the bound batch, growing memory where it asks."""
        d = self.state.d
        done = run(d, start, stop)
        while done < stop:
            self.state.make_room()
            done = run(d, done, stop)

    def warm(self) -> None:
        """Compile the kernels (or load them from the cache) on a small stream of their own."""
        raise NotImplementedError

    def sizes(self) -> dict[str, int]:
        """Live keys, pairs, nodes, sketches and logged events, their bytes, and counts of clamped values."""
        return self.state.sizes()

    def close(self) -> None:
        """Let go of the mapped log and its files."""
        self.state.close()

    def snapshot(self, path: Path, position: int) -> None:
        """Write the whole state and `position` aside, sync it, and rename it to the folder `path`."""
        raise NotImplementedError

    def restore(self, path: Path, *, new_partial: bool = False) -> int:
        """Take over the state of a snapshot and return its `position`. The engine must be new.

        Refuses (`InvalidInput`) definitions whose hash is not in the snapshot by name, unless `new_partial`: then
        those start empty and are `partial`. Raises `Corrupt` or `Unsupported` for a bad or other-version snapshot.
        """
        raise NotImplementedError

    def _new_block(self, size: int, values: Values | None, valid: Valid | None) -> FeatureBlock:
        count = len(self.names)
        if values is None:
            values = np.zeros((count, size + PAD), np.int64)[:, :size]
        if valid is None:
            valid = np.zeros((count, size + 8 * PAD), np.uint8)[:, :size]
        problems = []
        for name, array, kind in (("values", values, np.int64), ("valid", valid, np.uint8)):
            right = array.ndim == 2 and array.dtype == kind and array.shape[0] >= count and array.shape[1] >= size
            if not right or (size > 1 and array.strides[1] != array.itemsize) or not array.flags.writeable:
                text = f"{name} is {array.dtype} {array.shape}"
                allowed = f"{np.dtype(kind)} [{count}, >= {size}], rows contiguous and writeable"
                problems.append(Problem("features.frame", text, allowed=allowed))
        refuse_problems(problems)
        return FeatureBlock(values, valid, np.zeros((count, size + 8 * PAD), np.uint8)[:, :size])

    def _check(self, frame: Frame, stamps: Stamps) -> None:
        """Refuse a batch that is not of our layout or not in order, before any state changes."""
        size, problems = frame.size, []
        if frame.layout is not self.layout and frame.layout.names[: len(self.layout.names)] != self.layout.names:
            problems.append(Problem("features.frame", "the frame's columns are not those of the engine's layout"))
        for name in ("seq", "as_of", "time", "flags", "shoal"):
            if len(getattr(stamps, name)) < size:
                problems.append(Problem("features.frame", f"the stamp {name} has fewer than {size} rows"))
        refuse_problems(problems)
        seq, as_of = stamps.seq[:size], stamps.as_of[:size]
        now = int(self.state.words[D.NOW])
        if int(seq[0]) <= self._last_seq or (size > 1 and bool((seq[1:] <= seq[:-1]).any())):
            hint = f"the last seq seen is {self._last_seq}" if int(seq[0]) <= self._last_seq else ""
            problems.append(Problem("features.order", "seq does not increase", hint=hint))
        if int(as_of[0]) < now or (size > 1 and bool((as_of[1:] < as_of[:-1]).any())):
            problems.append(Problem("features.order", "as_of goes back", hint=f"time stands at {now}"))
        if int(as_of[size - 1]) - int(as_of[0]) >= 2**50 or abs(int(as_of[size - 1])) >= 2**60:
            problems.append(Problem("features.order", "as_of is beyond what the log can hold", allowed="±36,000 years"))
        refuse_problems(problems)

    def _begin(self, as_of: int) -> None:
        """Set since when each feature has been fed, and from when its history is known."""
        for number, one in enumerate(self.plan.definitions):
            if one.operation == "derived":
                continue
            start = self._since.setdefault(one.id, as_of)
            if self._complete[one.id]:
                cover = D.NONE
            elif one.operation == "decayed":
                cover = start + round(D.DECAY_COVER * (one.half_life_s or 0.0) * US)
            else:
                cover = D.FAR if one.window_s is None else start + one.window_s * US
            at = self.plan.read_at[number]
            self.state.words[at + D.R_COVER], self.state.words[at + D.R_SINCE] = cover, start


def _check_options(definitions: Sequence[FeatureDefinition], pair_cap: int, lifetime_s: int) -> None:
    problems = []
    if not 1 <= pair_cap <= MAX_PAIR_CAP:
        problems.append(Problem("features.pair_cap", f"a cap of {pair_cap} pairs", allowed=f"1 to {MAX_PAIR_CAP}"))
    longest = max(((one.window_s or 0) + (one.bucket_s or 0) for one in definitions), default=0)
    if not longest <= lifetime_s <= MAX_LIFETIME_S or lifetime_s < 1:
        allowed = f"from the longest window ({longest} s) to {MAX_LIFETIME_S} s"
        problems.append(Problem("features.lifetime", f"a lifetime of {lifetime_s} s", allowed=allowed))
    refuse_problems(problems)
