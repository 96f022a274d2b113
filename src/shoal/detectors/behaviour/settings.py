"""What a signal of this package is told: settings checked against their kinds and the layout, all problems together.

A pack's reader checks settings too; a signal made from Python has no reader before it. Holds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from shoal.detectors.signals import Setting, SettingValue, Signal, SignalDefinition
from shoal.errors import InvalidInput, Problem, nearest_name
from shoal.events.schema import Kind
from shoal.expressions.frame import Layout

US = 1_000_000


def checked(kind: type[Signal], definition: SignalDefinition, layout: Layout) -> SignalDefinition:
    """The definition with defaults filled in; raises `InvalidInput` (`signal.setting`, `signal.unknown_setting`,
    `signal.unknown_column`, and what the kind finds)."""
    settings, problems = kind.settings, []
    for name in definition.settings:
        if name not in settings:
            near = nearest_name(name, settings)
            where = definition.origin.at(name)
            problems.append(Problem("signal.unknown_setting", f"no setting {name!r}", where, ", ".join(settings), near))
    out = {name: definition.settings.get(name, setting.default) for name, setting in settings.items()}
    full = replace(definition, settings=out)
    for name, setting in settings.items():
        problems += _problems(name, setting, out[name], definition, layout)
    if not problems:
        problems += kind.problems(full, dict(zip(layout.names, layout.kinds, strict=True)))
    if problems:
        raise InvalidInput(problems)
    return full


def power_problems(definition: SignalDefinition, names: tuple[str, ...]) -> list[Problem]:
    """Settings that must be powers of two and are not."""
    found = []
    for name in names:
        value = definition.settings.get(name)
        if isinstance(value, int) and value > 0 and value & (value - 1):
            found.append(Problem("signal.setting", f"{name} is {value}", definition.origin.at(name), "a power of two"))
    return found


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


def number_problems(definition: SignalDefinition, name: str, columns: Mapping[str, Kind]) -> list[Problem]:
    """Columns of a setting that should hold numbers and do not."""
    numbers = "a column of kind INT or FLOAT"
    return [
        Problem("signal.column_kind", f"{name}: {one!r} is {columns[one].name}", definition.origin.at(name), numbers)
        for one in names_of(definition.settings.get(name, ()))
        if one in columns and columns[one] not in (Kind.INT, Kind.FLOAT)
    ]
