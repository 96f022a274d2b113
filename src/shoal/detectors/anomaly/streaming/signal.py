"""The signal kind `stream_anomaly`: a random cut forest over numeric columns of the events that a condition picks.

Owns one `RandomCutForest`. A row where the condition does not hold (unknown counts as not), or where a column is null,
has null outputs and is not learned; a row that is late, or that Shoal itself caused, is scored and not learned. Until
the warm-up is over the score is null, and so is the tail for one further window.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from shoal.detectors.anomaly.streaming.forest import MAX_COLUMNS, MIN_WARM_UP, RandomCutForest
from shoal.detectors.signals import Output, Setting, SettingValue, Signal, SignalDefinition
from shoal.errors import InvalidInput, Problem, nearest_name
from shoal.events.identity import Identity
from shoal.events.schema import Flag, Kind
from shoal.expressions.frame import Frame, Layout, Valid, Values
from shoal.expressions.program import ListLike
from shoal.features.engine import Stamps

NUMERIC = (Kind.BOOL, Kind.INT, Kind.FLOAT)


class StreamAnomaly(Signal):
    """How unusual an event is among the last `window` ones, by several numbers together."""

    kind = "stream_anomaly"
    version = 1
    settings: ClassVar[Mapping[str, Setting]] = {
        "where": Setting("condition", "true", "which events are scored and learned"),
        "columns": Setting("columns", (), f"numeric columns that are looked at together, 1 to {MAX_COLUMNS}"),
        "trees": Setting("integer", 32, "trees of the forest: more are steadier and slower", 1, 512),
        "depth": Setting("integer", 8, "most cuts on a way through a tree", 1, 64),
        "window": Setting("integer", 2048, "events that are remembered", 32, 2**20),
        "warm_up": Setting(
            "integer", 256, "events before the first score, which fix each column's measure", MIN_WARM_UP, 2**20
        ),
        "seed": Setting("integer", 0, "of the random cuts", 0, 2**31 - 1),
    }

    def __init__(
        self, definition: SignalDefinition, layout: Layout, identity: Identity, lists: Mapping[str, ListLike]
    ) -> None:
        super().__init__(definition, layout, identity, lists)
        columns = dict(zip(layout.names, layout.kinds, strict=True))
        names = _names(definition.settings)
        absent = [name for name in names if name not in columns]
        problems = [
            Problem("signal.unknown_column", f"no column {name!r}", definition.origin.at("columns"), "",
                    nearest_name(name, columns))
            for name in absent
        ]  # fmt: skip
        problems += self.problems(definition, columns)
        if problems:
            raise InvalidInput(problems)
        self._rows = np.array([layout.index[name] for name in names], np.int64)
        self._floats = np.array([layout.kind(name) is Kind.FLOAT for name in names])
        asked = {name: _number(definition.settings, name) for name in ("trees", "depth", "window", "warm_up", "seed")}
        self._forest = RandomCutForest(len(names), **asked)

    @classmethod
    def outputs(cls, settings: Mapping[str, SettingValue]) -> Mapping[str, Output]:  # noqa: ARG003
        """`score` and `tail`."""
        return {
            "score": Output(Kind.FLOAT, "how few random cuts set the event apart from the last ones, 0 to 1"),
            "tail": Output(Kind.FLOAT, "share of the last full window of events that scored at least as high"),
        }

    @classmethod
    def reads(cls, settings: Mapping[str, SettingValue]) -> frozenset[str]:
        """The columns that it looks at."""
        return frozenset(_names(settings))

    @classmethod
    def problems(cls, definition: SignalDefinition, columns: Mapping[str, Kind]) -> list[Problem]:
        """Columns that are no numbers or given twice, none at all, a window smaller than what it must hold."""
        settings, where, found = definition.settings, definition.origin.at("columns"), []
        names = _names(settings)
        if not 1 <= len(names) <= MAX_COLUMNS:
            message = f"{len(names)} columns to look at"
            found.append(Problem("signal.columns", message, where, allowed=f"1 to {MAX_COLUMNS} numeric columns"))
        for name in names:
            if name in columns and columns[name] not in NUMERIC:
                message = f"{name} is of kind {columns[name].name.lower()}"
                found.append(Problem("signal.column_kind", message, where, "bool, int, float"))
        for name, count in Counter(names).items():
            if count > 1:
                found.append(Problem("signal.column_twice", f"{name!r} is named {count} times", where))
        window, least = _number(settings, "window"), max(_number(settings, "warm_up"), _number(settings, "trees"))
        if window < least:
            message = f"a window of {window} events is smaller than the warm-up or the number of trees"
            found.append(Problem("signal.window", message, definition.origin.at("window"), f"{least} or more"))
        return found

    def update(self, frame: Frame, stamps: Stamps, values: Values, valid: Valid) -> None:
        """See `Signal.update`."""
        size = frame.size
        valid[:2, :size] = 0
        values[:2, :size] = 0
        picked = np.flatnonzero((self.masks(frame)[0] == 1) & (frame.valid[self._rows, :size] == 1).all(axis=0))
        if not len(picked):
            return
        learn = (np.asarray(stamps.flags)[picked] & int(Flag.LATE) == 0) & (stamps.shoal[picked] == 0)
        score, tail = self._forest.update(self._numbers(frame, picked), learn)
        for row, found in enumerate((score, tail)):
            known = np.isfinite(found)
            valid[row, picked] = known
            values[row, picked] = np.where(known, found, 0.0).view(np.int64)

    def _numbers(self, frame: Frame, picked: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        out = np.empty((len(picked), len(self._rows)))
        for j, (row, is_float) in enumerate(zip(self._rows, self._floats, strict=True)):
            raw = frame.values[row, picked]
            out[:, j] = raw.view(np.float64) if is_float else raw
        return out

    def snapshot(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """See `Signal.snapshot`."""
        return self._forest.snapshot()

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """See `Signal.restore`."""
        self._forest.restore(arrays)

    def warm(self) -> None:
        """Compile the kernels on a small forest."""
        rows = np.zeros((MIN_WARM_UP + 4, len(self._rows)))
        RandomCutForest(len(self._rows), trees=1, window=32, warm_up=MIN_WARM_UP).score_then_learn(rows)


def _names(settings: Mapping[str, SettingValue]) -> tuple[str, ...]:
    given = settings["columns"]
    return given if isinstance(given, tuple) else (str(given),)


def _number(settings: Mapping[str, SettingValue], name: str) -> int:
    value = settings[name]
    assert not isinstance(value, (str, tuple)), name
    return int(value)
