"""The slow twin of the expression machine: one row at a time, Python values, None for null.

It walks the typed tree and follows docs/expressions.md word for word, without Arrow, NumPy or SQL. Plain beats fast.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from shoal.events.schema import Kind
from shoal.expressions.tree import Node

Row = Mapping[str, Any]
Lists = Mapping[str, frozenset[str]]
DAY_US = 86_400_000_000


def evaluate(node: Node, row: Row, lists: Lists) -> Any:
    """The value of a tree on one row."""
    value: Any = node.value
    if node.op == "column":
        return _given(row.get(str(value)))
    if node.op == "literal":
        return value
    if node.op == "null":
        return None
    args = [evaluate(arg, row, lists) for arg in node.args]
    if node.op in _TOTAL:
        return _TOTAL[node.op](args, value)
    if node.op == "in_list":
        return None if args[0] is None else args[0] in lists[str(value)]
    if any(arg is None for arg in args):
        return None
    if node.kind is Kind.INT and node.op in _INTEGER:
        result = _INTEGER[node.op](*args)
        return result if result is not None and -(2**63) <= result < 2**63 else None
    if node.kind is Kind.FLOAT and node.op in _FLOAT:
        try:
            return _given(_FLOAT[node.op](*args))
        except (ZeroDivisionError, OverflowError, ValueError):
            return None
    return _STRICT[node.op](args, value)


def _given(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _and(args: list[Any], _: Any) -> Any:
    return False if any(a is False for a in args) else None if None in args else True


def _or(args: list[Any], _: Any) -> Any:
    return True if any(a is True for a in args) else None if None in args else False


def _between(args: list[Any], _: Any) -> Any:
    x, low, high = args
    sides = [None if x is None or low is None else low <= x, None if x is None or high is None else x <= high]
    return _and(sides, None)


def _in(args: list[Any], value: Any) -> Any:
    constants, has_null = value
    if args[0] is None:
        return None
    return True if args[0] in constants else None if has_null else False


def _case(args: list[Any], _: Any) -> Any:
    for i in range(0, len(args) - 1, 2):
        if args[i] is True:
            return args[i + 1]
    return args[-1]


def _known(args: list[Any]) -> list[Any]:
    return [arg for arg in args if arg is not None]


_TOTAL: dict[str, Any] = {
    "and": _and,
    "or": _or,
    "is_null": lambda args, _: args[0] is None,
    "is_true": lambda args, _: args[0] is True,
    "is_false": lambda args, _: args[0] is False,
    "distinct": lambda args, _: (args[0] is None) != (args[1] is None) if None in args else args[0] != args[1],
    "between": _between,
    "in": _in,
    "case": _case,
    "coalesce": lambda args, _: next(iter(_known(args)), None),
    "nullif": lambda args, _: None if None not in args and args[0] == args[1] else args[0],
    "least": lambda args, _: min(_known(args), default=None),
    "greatest": lambda args, _: max(_known(args), default=None),
}


def _quotient(x: int, y: int) -> int | None:
    if y == 0:
        return None
    whole = abs(x) // abs(y)
    return whole if (x < 0) == (y < 0) else -whole


def _remainder(x: int, y: int) -> int | None:
    quotient = _quotient(x, y)
    return None if quotient is None or quotient == 2**63 else x - quotient * y


_INTEGER: dict[str, Any] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "idiv": _quotient,
    "mod": _remainder,
    "neg": lambda x: -x,
    "abs": abs,
}


def _round(x: float) -> float:
    whole = math.floor(abs(Fraction(x)) + Fraction(1, 2))
    return math.copysign(float(whole), x)


def _distance(lat1: float, lon1: float, lat2: float, lon2: float) -> float | None:
    if max(abs(lat1), abs(lat2)) > 90 or max(abs(lon1), abs(lon2)) > 180:
        return None
    a, b, c, d = map(math.radians, (lat1, lat2, lon1, lon2))
    h = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin((d - c) / 2) ** 2
    return 2 * 6371.0088 * math.asin(math.sqrt(min(1.0, h)))


_FLOAT: dict[str, Any] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "idiv": lambda x, y: float(math.trunc(x / y)) if math.isfinite(x / y) else None,
    "mod": math.fmod,
    "neg": lambda x: -x,
    "abs": abs,
    "floor": lambda x: float(math.floor(x)),
    "ceil": lambda x: float(math.ceil(x)),
    "round": _round,
    "trunc": lambda x: float(math.trunc(x)),
    "sqrt": math.sqrt,
    "ln": math.log,
    "log10": math.log10,
    "exp": math.exp,
    "pow": math.pow,
    "distance_km": _distance,
    "to_float": float,
    "time_sub": lambda x, y: (x - y) / 1e6 if -(2**63) <= x - y < 2**63 else None,
    "epoch": lambda x: x / 1e6,
}


def _time_add(args: list[Any], _: Any) -> int | None:
    try:
        moved = args[0] + math.trunc(args[1] * 1e6)
    except (OverflowError, ValueError):
        return None
    step = moved - args[0]
    return moved if -(2**63) <= moved < 2**63 and -(2**63) <= step < 2**63 else None


def _to_int(args: list[Any], _: Any) -> int | None:
    whole = math.trunc(args[0])
    return int(whole) if -(2**63) <= whole < 2**63 else None


def _like(args: list[Any], value: Any) -> bool:
    pattern, escape, fold = value
    text = args[0]
    if fold:
        text, pattern, escape = text.lower(), pattern.lower(), escape.lower()
    made, i = "", 0
    while i < len(pattern):
        if escape and pattern[i] == escape:
            i += 1
            made += re.escape(pattern[i])
        else:
            made += {"%": ".*", "_": "."}.get(pattern[i], re.escape(pattern[i]))
        i += 1
    return re.fullmatch(made, text, re.DOTALL) is not None


def _url(args: list[Any]) -> re.Match[str] | None:
    """Scheme, slashes, authority, path: as a browser cuts them (a backslash is a slash)."""
    return re.match(r"\s*([a-z][a-z0-9+.\-]*):(?:[/\\][/\\]([^/?#\\]*)([^?#]*))?", args[0], re.I | re.A)


def _host(args: list[Any], _: Any) -> str | None:
    found = _url(args)
    if found is None or found.group(2) is None:
        return None
    hosts = [found.group(2).rpartition("@")[2], found.group(2)]
    for host in hosts:
        match = re.match(r"\[[^\]@]*\]|[^:@]+", host)
        if match:
            return match.group().lower()
    return None


def _extension(args: list[Any], _: Any) -> str | None:
    name = re.split(r"[/\\]", args[0])[-1]
    stem, dot, extension = name.rpartition(".")
    return extension.lower() if dot and stem and extension else None


def _scheme(args: list[Any], _: Any) -> str | None:
    found = _url(args)
    return found.group(1).lower() if found else None


def _path(args: list[Any], _: Any) -> str | None:
    found = _url(args)
    return found.group(3) if found else None


def _parse_int(args: list[Any], _: Any) -> int | None:
    text = args[0].strip(" \t\n\r")
    number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,40}", text) else None
    return number if number is not None and -(2**63) <= number < 2**63 else None


def _parse_float(args: list[Any], _: Any) -> float | None:
    text = args[0].strip(" \t\n\r")
    good = re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,5})?", text)
    return _given(float(text)) if good else None


def _substr(args: list[Any], value: Any) -> str:
    start = value[0] - 1
    return str(args[0][start:] if len(value) == 1 else args[0][start : start + value[1]])


_STRICT: dict[str, Any] = {
    "not": lambda args, _: not args[0],
    "eq": lambda args, _: args[0] == args[1],
    "ne": lambda args, _: args[0] != args[1],
    "lt": lambda args, _: args[0] < args[1],
    "le": lambda args, _: args[0] <= args[1],
    "time_add": _time_add,
    "hour": lambda args, _: args[0] // 3_600_000_000 % 24,
    "minute": lambda args, _: args[0] // 60_000_000 % 60,
    "second": lambda args, _: args[0] // 1_000_000 % 60,
    "dayofweek": lambda args, _: (args[0] // DAY_US + 4) % 7,
    "to_int": _to_int,
    "to_bool": lambda args, _: args[0] != 0,
    "to_text": lambda args, _: str(args[0]).lower(),
    "parse_int": _parse_int,
    "parse_float": _parse_float,
    "like": _like,
    "starts_with": lambda args, value: args[0].startswith(value[0]),
    "ends_with": lambda args, value: args[0].endswith(value[0]),
    "contains": lambda args, value: value[0] in args[0],
    "strpos": lambda args, value: args[0].find(value[0]) + 1,
    "regexp_matches": lambda args, value: re.search(value[0].replace("$", r"\Z"), args[0]) is not None,
    "length": lambda args, _: len(args[0]),
    "lower": lambda args, _: args[0].lower(),
    "upper": lambda args, _: args[0].upper(),
    "trim": lambda args, _: args[0].strip(" \t\n\r"),
    "substr": _substr,
    "concat": lambda args, _: "".join(args),
    "url_scheme": _scheme,
    "url_host": _host,
    "url_path": _path,
    "file_extension": _extension,
}
