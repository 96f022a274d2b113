"""The signal kind `edge_burst`: sudden company between accounts and entities, from the events that a condition picks.

Owns one `EdgeBursts`, whose size is fixed by its settings. A row where the condition does not hold (unknown counts as
not) or where a key column is null has null outputs and is not learned; a row that is late, or that Shoal itself caused,
is scored and not learned. Until the warm-up is over all columns are null. The hash is seeded by the identity, so that
nobody outside can choose keys that meet in one cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from shoal.detectors.behaviour.settings import checked, columns_of, micros_of, names_of, power_problems
from shoal.detectors.bursts.bursts_kernel import keys_of
from shoal.detectors.bursts.stream import MAX_BITS, EdgeBursts
from shoal.detectors.signals import Output, Setting, SettingValue, Signal, SignalDefinition
from shoal.errors import Problem
from shoal.events.identity import Identity
from shoal.events.schema import Flag, Kind
from shoal.expressions.frame import Frame, Layout, Valid, Values
from shoal.expressions.program import ListLike
from shoal.features.engine import Stamps

OUTPUTS = {
    "score": Output(Kind.FLOAT, "the largest of the three", "variances"),
    "edge": Output(Kind.FLOAT, "how far this pair's count in the tick stands above its usual one", "variances"),
    "account": Output(Kind.FLOAT, "the same of the account with any entity", "variances"),
    "entity": Output(Kind.FLOAT, "the same of the entity with any account", "variances"),
}


class EdgeBurst(Signal):
    """How suddenly an account and an entity come together: counts of the running tick against the usual ones, for the
    pair, the account and the entity; docs/coordination-structure.md is the manual."""

    kind: ClassVar[str] = "edge_burst"
    settings: ClassVar[Mapping[str, Setting]] = {
        "account": Setting("columns", ("account",), "who acts; several columns are one key together", 1, 8),
        "entity": Setting("columns", ("ip",), "what is acted on or with; several columns are one key together", 1, 8),
        "when": Setting("condition", "type IS NOT NULL", "the events that are edges"),
        "tick": Setting("seconds", 600.0, "length of a tick", 1.0, 86_400.0),
        "carry": Setting("number", 0.5, "what a tick leaves to the next", 0.0, 0.99),
        "spread": Setting("number", 0.25, "variance of counts beyond chance, in squares of the usual", 0.0, 1e6),
        "limit": Setting("number", 100.0, "score beyond which no more of a tick is learned", 1e-3, 1e12),
        "least": Setting("number", 0.1, "events a tick that count as usual for a key that never came", 1e-6, 1e9),
        "half_life": Setting(
            "seconds", 14 * 86_400.0, "after which a tick counts half; 0: never", 0.0, 3660 * 86_400.0
        ),
        "warm_up": Setting("integer", 6, "ticks before the first score", 0, 2**20),
        "width": Setting("integer", 4096, "cells a row of a sketch; a power of two", 16, 2**24),
        "depth": Setting("integer", 2, "rows of a sketch", 1, 8),
    }

    def __init__(
        self, definition: SignalDefinition, layout: Layout, identity: Identity, lists: Mapping[str, ListLike]
    ) -> None:
        """Raises `InvalidInput` with all problems of the settings."""
        full = checked(type(self), definition, layout)
        super().__init__(full, layout, identity, lists)
        said = full.settings
        self._account, self._entity = columns_of(said["account"], layout), columns_of(said["entity"], layout)
        self._seed = identity.id_of("bursts.keys")
        whole = {name: int(str(said[name])) for name in ("warm_up", "width", "depth")}
        part = {name: float(str(said[name])) for name in ("carry", "spread", "limit", "least")}
        tick_us = micros_of(said["tick"])
        self._bursts = EdgeBursts(tick_us=tick_us, half_life_ticks=micros_of(said["half_life"]) / tick_us,
                                  seed=self._seed, **whole, **part)  # type: ignore[arg-type]  # fmt: skip

    @classmethod
    def outputs(cls, settings: Mapping[str, SettingValue]) -> Mapping[str, Output]:  # noqa: ARG003
        """Four columns; see `OUTPUTS`."""
        return OUTPUTS

    @classmethod
    def reads(cls, settings: Mapping[str, SettingValue]) -> frozenset[str]:
        """The columns of both keys."""
        said = {name: settings.get(name, cls.settings[name].default) for name in ("account", "entity")}
        return frozenset(column for value in said.values() for column in names_of(value))

    @classmethod
    def problems(cls, definition: SignalDefinition, columns: Mapping[str, Kind]) -> list[Problem]:  # noqa: ARG003
        """A width that is no power of two, or more rows than a hash has bits for."""
        found = power_problems(definition, ("width",))
        width, depth = (definition.settings.get(name, cls.settings[name].default) for name in ("width", "depth"))
        if not found and isinstance(width, int) and isinstance(depth, int):
            if depth * (width.bit_length() - 1) > MAX_BITS:
                allowed = f"depth times the binary logarithm of width up to {MAX_BITS}"
                where = definition.origin.at("depth")
                found.append(Problem("signal.setting", f"{depth} rows of {width:,} cells", where, allowed))
        return found

    @property
    def state_bytes(self) -> int:
        """Bytes of state, whatever has been read."""
        return self._bursts.state_bytes

    def update(self, frame: Frame, stamps: Stamps, values: Values, valid: Valid) -> None:
        """See `Signal.update`."""
        size = frame.size
        valid[:4, :size] = 0
        values[:4, :size] = 0
        account, known = self._keys(frame, self._account)
        entity, known_too = self._keys(frame, self._entity)
        picked = np.flatnonzero((self.masks(frame)[0] == 1) & known & known_too)
        if not len(picked):
            return
        learn = (np.asarray(stamps.flags)[picked] & int(Flag.LATE) == 0) & (np.asarray(stamps.shoal)[picked] == 0)
        times = np.ascontiguousarray(np.asarray(stamps.as_of)[picked], np.int64)
        out = np.empty((3, len(picked)))
        self._bursts.run(account[picked], entity[picked], times, learn.astype(np.uint8), out)
        ready = ~np.isnan(out[0])
        for row, scores in enumerate((out.max(axis=0), *out)):
            valid[row, picked] = ready
            values[row, picked] = np.where(ready, scores, 0.0).view(np.int64)

    def _keys(
        self, frame: Frame, columns: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        out, known = np.empty(frame.size, np.int64), np.empty(frame.size, np.uint8)
        keys_of(frame.values, frame.valid, columns, self._seed, frame.size, out, known)
        return out, known == 1

    def snapshot(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """See `Signal.snapshot`."""
        return self._bursts.snapshot()

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """See `Signal.restore`."""
        self._bursts.restore(arrays)
