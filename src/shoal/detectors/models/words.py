"""One input's value in words, as a reason: "failed logins in 10 min: 41 (usually 0, rarely above 2)".

What is usual is the median and the 99th percentile over benign training rows, from the model's metadata. Texts are for
people; nothing reads them back. Knows no model.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from shoal.detectors.models.metadata import InputColumn

_SECONDS = {"s": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_SPANS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_SHARES = frozenset({"probability", "share", "p"})


def phrase(column: InputColumn, value: float) -> str:
    """The description (or name), the value with its unit, and what is usual; NaN is "not known"."""
    head = column.description.rstrip(". ") or column.name
    if math.isnan(value):
        known = 100.0 * (1.0 - column.missing)
        return f"{head}: not known" + (f" (known in {_digits(known)} % of cases)" if column.missing < 0.5 else "")
    said, usual = show(column, value), _usual(column, value)
    return f"{head}: {said} ({usual})" if usual else f"{head}: {said}"


def show(column: InputColumn, value: float) -> str:
    """A value as people write it, by the column's kind and unit."""
    if column.kind == "bool":
        return "yes" if value else "no"
    if column.kind == "time":
        return _time(value)
    unit = column.unit.strip()
    if unit in _SECONDS:
        return _scaled(value * _SECONDS[unit], _SPANS, "s")
    if unit == "bytes":
        return _scaled(value, _SIZES, "bytes")
    if unit in _SHARES and 0.0 <= value <= 1.0:
        return f"{_digits(100.0 * value)} %"
    return f"{_digits(value)} {unit}".rstrip()


def _usual(column: InputColumn, value: float) -> str:
    if column.typical is None:
        return ""
    said, typical = show(column, value), show(column, column.typical)
    if column.kind == "bool":
        return "as usual" if said == typical else f"usually {typical}"
    if said == typical:
        return "as usual"
    if value < column.typical or column.high is None:
        return f"usually {typical}"
    high = show(column, column.high)
    return f"usually {typical}, rarely " + ("more" if high == typical else f"above {high}")


def _digits(value: float) -> str:
    """Three significant digits, whole numbers in full as long as people read them."""
    whole = abs(value) < 1e15 and (abs(float(f"{value:.3g}")) >= 1_000 or value == round(value))
    return f"{value + 0.0:,.0f}" if whole else f"{value:.3g}"


def _scaled(value: float, units: tuple[tuple[float, str], ...], plain: str) -> str:
    for size, unit in units:
        if abs(value) >= size:
            return f"{_digits(value / size)} {unit}"
    return f"{_digits(value)} {plain}"


def _time(value: float) -> str:
    try:
        return f"{datetime.fromtimestamp(value / 1e6, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{_digits(value)} µs"
