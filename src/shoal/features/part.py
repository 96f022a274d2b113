"""A part: a plan, its state and its program, driven together. Hot path.

An engine has one part. After a restore into other definitions it has a second: what the snapshot knew goes on in the
part it was in, and what is new starts empty in a part of its own, so that no state is ever bent to another plan.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shoal.events.identity import Identity
from shoal.expressions.frame import Frame, Layout, Valid, Values
from shoal.expressions.program import Program
from shoal.features import descriptor as D  # noqa: N812 - a namespace of constants
from shoal.features.definitions import FeatureDefinition
from shoal.features.kernel import forget_stale_code
from shoal.features.kernel.event_kernel import advance, run
from shoal.features.plan import US, Plan
from shoal.features.state import State, address_of

forget_stale_code(run.stats.cache_path)

SWEEP_AT_TICK = 100_000
"""Rows of each slab that a tick sweeps."""


@dataclass
class Batch:
    """The arrays of a batch as the kernel takes them, contiguous and of its types."""

    frame: Frame
    as_of: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]
    flags: npt.NDArray[np.uint8]
    shoal: npt.NDArray[np.uint8]
    values: Values
    valid: Valid
    partial: Valid


class Part:
    """Kernel features over one state. `outputs` says for each definition the row of the block, None to drop it."""

    def __init__(
        self,
        definitions: Sequence[FeatureDefinition],
        outputs: Sequence[int | None],
        layout: Layout,
        identity: Identity,
        lists: Mapping[str, Any],
        *,
        complete: Sequence[bool],
        options: Mapping[str, int],
        folder: Path | None,
        piece_bits: int | None = None,
    ) -> None:
        self.plan = Plan(definitions, layout, frozenset(lists))
        self.state = State(
            self.plan, identity.id_of("features"), options["pair_cap"], options["lifetime_s"] * US, folder, piece_bits
        )
        self.since: list[int | None] = [None] * len(definitions)
        self.complete = list(complete)
        self.outputs = list(outputs)
        self.program = Program(self.plan.expressions, layout, identity, lists) if self.plan.expressions else None
        self.text_columns = self.program.text_columns if self.program is not None else frozenset()
        self._results = np.zeros((len(self.plan.expressions), 1), np.int64)
        self._results_valid = np.zeros((len(self.plan.expressions), 1), np.uint8)
        self._aim()

    @property
    def fingerprint(self) -> str:
        """What a snapshot's slabs must have been laid out by."""
        body = self.plan.table.tobytes() + b"".join(space.row.template for space in self.plan.spaces)
        return hashlib.sha256(bytes([D.DESCRIPTOR_VERSION]) + body).hexdigest()[:16]

    def _aim(self) -> None:
        """Point each read at its row of the block, and leave out those that are dropped."""
        words, width = self.state.words, D.READ_WORDS
        for count, place in ((D.N_PRE, D.O_PRE), (D.N_POST, D.O_POST)):
            start, kept = int(words[place]), 0
            for k in range(int(words[count])):
                read = words[start + k * width : start + (k + 1) * width].copy()
                number = int(read[D.R_OUT])
                output = self.outputs[number]
                if output is None:
                    self.plan.read_at[number] = -1
                    continue
                read[D.R_OUT] = output
                self.plan.read_at[number] = start + kept * width
                words[start + kept * width : start + (kept + 1) * width] = read
                kept += 1
            words[count] = kept

    def begin(self, as_of: int) -> None:
        """Set since when each feature has been fed, where it is not set, and from when its history is known."""
        for number, one in enumerate(self.plan.definitions):
            start = self.since[number]
            if start is None:
                start = self.since[number] = as_of
            if self.complete[number]:
                cover = D.NONE
            elif one.operation == "decayed":
                cover = start + round(D.DECAY_COVER * (one.half_life_s or 0.0) * US)
            else:
                cover = D.FAR if one.window_s is None else start + one.window_s * US
            at = self.plan.read_at[number]
            if at >= 0:
                self.state.words[at + D.R_COVER], self.state.words[at + D.R_SINCE] = cover, start

    @property
    def begun(self) -> bool:
        """Whether every feature has a beginning."""
        return None not in self.since

    def bind(self, batch: Batch) -> None:
        """Evaluate conditions and values, and give the kernel the batch's addresses."""
        words, frame = self.state.words, batch.frame
        if self.program is not None:
            if frame.size > self._results.shape[1]:
                shape = (len(self.plan.expressions), frame.size)
                self._results, self._results_valid = np.zeros(shape, np.int64), np.zeros(shape, np.uint8)
            self.program.run(frame, self._results, self._results_valid)
        place = int(words[D.O_INPUT])
        for source in self.plan.inputs:
            matrix = self._results if source.program else frame.values
            mask = self._results_valid if source.program else frame.valid
            words[place] = address_of(matrix) + source.row * matrix.strides[0]
            words[place + 1] = address_of(mask) + source.row * mask.strides[0]
            place += D.INPUT_WORDS
        for field, array in (
            (D.A_AS_OF, batch.as_of),
            (D.A_TIME, batch.time),
            (D.A_FLAGS, batch.flags),
            (D.A_SHOAL, batch.shoal),
        ):
            words[field] = address_of(array)
        outputs: tuple[tuple[int, npt.NDArray[Any]], ...] = (
            (D.OUT_VALUES, batch.values),
            (D.OUT_VALID, batch.valid),
            (D.OUT_PARTIAL, batch.partial),
        )
        for field, matrix in outputs:
            words[field], words[field + 1] = address_of(matrix), matrix.strides[0]

    def drive(self, start: int, stop: int) -> None:
        """Run the kernel over events `start..stop` of the bound batch, growing memory where it asks."""
        d = self.state.d
        done = run(d, start, stop)
        while done < stop:
            self.state.make_room()
            done = run(d, done, stop)

    def advance(self, as_of: int) -> None:
        """Move time without an event."""
        advance(self.state.d, as_of, SWEEP_AT_TICK)
        self.state.release()
