"""Single cells: times in any of a mapping's formats, numbers with units, truth values. Small caches only.

A cell is a text (CSV), or what Parquet holds: a number, a truth value, a list or an object. What cannot be read raises
`BadValue`. A local time that a clock change makes ambiguous is taken as the first, one that it leaves out as if the
clock had not been changed yet (`fold=0` of PEP 495).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from shoal.events.formats.tabular.plan import TIME_FORMATS, FieldPlan, TimeFormat
from shoal.events.formats.values import EPOCH, MAX_TIME_US, BadValue, parse_time
from shoal.events.schema import Kind

_US = timedelta(microseconds=1)
_TRUTHS = {"true": True, "false": False, "yes": True, "no": False, "t": True, "f": False, "y": True, "n": False,
           "1": True, "0": False}  # fmt: skip
_INT_LIMIT = 1 << 63
_MAX_DIGITS = 40


def read_time(value: Any, how: TimeFormat) -> int:
    """Microseconds UTC of a cell; raises `BadValue` (`time.*`)."""
    if type(value) in (int, float):
        return _unix(str(value), how)
    if type(value) is not str:
        raise BadValue("time.malformed", f"the time is a {type(value).__name__}")
    return _time_text(value.strip(), how)


@lru_cache(maxsize=65536)
def _time_text(text: str, how: TimeFormat) -> int:
    if how.format == "iso":
        return _iso(text, how.zone)
    if how.format in TIME_FORMATS:
        return _unix(text, how)
    try:
        moment = datetime.strptime(text, how.format)
    except ValueError as error:
        raise BadValue("time.malformed", f"{text[:40]!r} is not written as {how.format!r}") from error
    return _since(moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(how.zone or "UTC")), text)


def _iso(text: str, zone: str) -> int:
    if len(text) == 10 and text[4:5] == "-":
        text += "T00:00"
    try:
        return parse_time(text, zone_required=True)
    except BadValue as bad:
        if bad.reason != "time.zone_missing" or not zone:
            raise
    local = EPOCH + timedelta(microseconds=parse_time(text, zone_required=False))
    return _since(local.replace(tzinfo=ZoneInfo(zone)), text)


def _since(moment: datetime, text: str) -> int:
    try:
        us = (moment.astimezone(UTC) - EPOCH) // _US
    except OverflowError as error:
        raise BadValue("time.out_of_range", f"{text[:40]!r} is not within 1970 to 9999") from error
    if not 0 <= us <= MAX_TIME_US:
        raise BadValue("time.out_of_range", f"{text[:40]!r} is not within 1970 to 9999")
    return us


def _unix(text: str, how: TimeFormat) -> int:
    unit = TIME_FORMATS.get(how.format, 0)
    if unit == 0:
        raise BadValue("time.malformed", f"{text[:40]!r} is a number, the mapping says {how.format!r}")
    us = int(_number(text, "time.malformed") * unit)
    if not 0 <= us <= MAX_TIME_US:
        raise BadValue("time.out_of_range", f"{text[:40]!r} is not within 1970 to 9999")
    return us


def _number(text: str, slug: str) -> Decimal:
    plain = text.strip()
    try:
        if len(plain) > _MAX_DIGITS or not plain.isascii() or "_" in plain:
            raise InvalidOperation
        number = Decimal(plain)
        if not number.is_finite() or abs(number.adjusted()) > _MAX_DIGITS:
            raise InvalidOperation
    except InvalidOperation as error:
        raise BadValue(slug, f"{plain[:40]!r} is not a number") from error
    return number


def read_cell(value: Any, plan: FieldPlan) -> Any:
    """A cell as its column's kind; raises `BadValue` (`table.value`, `number.out_of_range`, `time.*`)."""
    kind = plan.kind
    if kind is Kind.TIME:
        return read_time(value, plan.time)
    if kind is Kind.TEXT:
        return _text(value, plan)
    if kind is Kind.BOOL:
        found = value if type(value) is bool else _TRUTHS.get(str(value).strip().lower())
        if found is None:
            raise BadValue("table.value", f"{plan.column}: {str(value)[:40]!r} is not true or false")
        return found
    if type(value) not in (str, int, float):
        raise BadValue("table.value", f"{plan.column} holds a {type(value).__name__}")
    try:
        number = _number(str(value), "table.value") * plan.unit
    except BadValue as bad:
        raise BadValue(bad.reason, f"{plan.column}: {bad.detail}") from bad
    if kind is Kind.FLOAT:
        return float(number)
    if number != number.to_integral_value() and plan.unit == 1:
        raise BadValue("table.value", f"{plan.column}: {str(value)[:40]!r} is not a whole number")
    if not -_INT_LIMIT <= number < _INT_LIMIT:
        raise BadValue("number.out_of_range", f"{plan.column} does not fit 64 bits")
    return int(number)


def _text(value: Any, plan: FieldPlan) -> str:
    if type(value) not in (str, int, float, bool):
        raise BadValue("table.value", f"{plan.column} holds a {type(value).__name__}, its column a text")
    text = value if type(value) is str else str(value).lower() if type(value) is bool else str(value)
    return text.lower() if plan.lower else text
