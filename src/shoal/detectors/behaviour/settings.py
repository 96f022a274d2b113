"""What a signal of this package is told: settings checked against their kinds and the layout, all problems together.

A pack's reader checks settings too; a signal made from Python has no reader before it. Holds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from shoal.detectors.signals import Setting, SettingValue, SignalDefinition
from shoal.errors import InvalidInput, Problem, nearest_name
from shoal.events.schema import Kind
from shoal.expressions.frame import Layout

US = 1_000_000


def checked(
    definition: SignalDefinition, settings: Mapping[str, Setting], layout: Layout, powers: tuple[str, ...] = ()
) -> Mapping[str, SettingValue]:
    """The settings, defaults filled in; raises `InvalidInput` (`signal.setting`, `signal.unknown_setting`,
    `signal.unknown_column`). `powers`: settings that must be powers of two."""
    problems = []
    for name in definition.settings:
        if name not in settings:
            near = nearest_name(name, settings)
            where = definition.origin.at(name)
            problems.append(Problem("signal.unknown_setting", f"no setting {name!r}", where, ", ".join(settings), near))
    out = {name: definition.settings.get(name, setting.default) for name, setting in settings.items()}
    for name, setting in settings.items():
        problems += _problems(name, setting, out[name], definition, layout)
    for name in powers:
        value = out[name]
        if isinstance(value, int) and value > 0 and value & (value - 1):
            problems.append(
                Problem("signal.setting", f"{name} is {value}", definition.origin.at(name), "a power of two")
            )
    if problems:
        raise InvalidInput(problems)
    return out


def _problems(
    name: str, setting: Setting, value: SettingValue, definition: SignalDefinition, layout: Layout
) -> list[Problem]:
    where = definition.origin.at(name)

    def bad(allowed: str) -> list[Problem]:
        return [Problem("signal.setting", f"{name} is {value!r}", where, allowed)]

    if setting.kind in ("seconds", "number", "integer"):
        whole = setting.kind == "integer"
        allowed = f"{'a whole number' if whole else 'a number'} from {setting.low:g} to {setting.high:g}"
        right = isinstance(value, int) if whole else isinstance(value, int | float)
        if not right or isinstance(value, bool) or not math.isfinite(float(str(value))):
            return bad(allowed)
        return [] if setting.low <= float(str(value)) <= setting.high else bad(allowed)
    if setting.kind == "word":
        return [] if value in setting.allowed else bad(", ".join(setting.allowed))
    if setting.kind == "columns":
        if not isinstance(value, tuple) or not all(isinstance(one, str) for one in value):
            return bad("a list of columns")
        few = f"{setting.low:g} to {setting.high:g} columns" if setting.high < 2**40 else ""
        if few and not setting.low <= len(value) <= setting.high:
            return bad(few)
        unknown = [one for one in value if one not in layout.index]
        return [
            Problem(
                "signal.unknown_column", f"{name}: no column {one!r}", where, nearest=nearest_name(one, layout.names)
            )
            for one in unknown
        ]
    return [] if isinstance(value, str) else bad("a condition")


def columns_of(value: SettingValue, layout: Layout) -> npt.NDArray[np.int64]:
    """The rows of the frame in which the named columns stand."""
    assert isinstance(value, tuple)
    return np.array([layout.index[name] for name in value], np.int64)


def names_of(value: SettingValue) -> tuple[str, ...]:
    """The value of a setting of kind `columns`."""
    assert isinstance(value, tuple)
    return value


def micros_of(value: SettingValue) -> int:
    """Seconds as whole microseconds."""
    return round(float(str(value)) * US)


def number_problem(definition: SignalDefinition, name: str, column: str, kind: Kind) -> Problem:
    """A column that should hold numbers and does not."""
    message = f"{name}: {column!r} is {kind.name}"
    return Problem("signal.column_kind", message, definition.origin.at(name), "a column of kind INT or FLOAT")
