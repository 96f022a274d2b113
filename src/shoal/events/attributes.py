"""Attributes that a pack declares: JSON paths into the `attributes` text become typed columns.

A path is dotted (`requestParameters.bucketName`); a part of digits indexes a list; a name that holds dots is tried as a
whole first. A value that is absent, null or of another type gives null (the text itself stays in `attributes`, so
nothing is lost). Holds no state.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson
import pyarrow as pa

from shoal.errors import InvalidInput, Problem
from shoal.events.formats.values import BadValue, parse_time
from shoal.events.schema import BY_NAME, Kind

_MISSING = object()
_INT_LIMIT = 1 << 63


def extract(table: pa.Table, wanted: Mapping[str, tuple[str, Kind]]) -> pa.Table:
    """The table with one more column for each of `wanted` (name → (path, kind)).

    Raises `InvalidInput` (`attributes.column_taken`, `attributes.path_empty`) with all problems. Costs one JSON parse a
    row that has attributes.
    """
    problems = []
    for name, (path, _) in wanted.items():
        if name in BY_NAME or name in table.column_names:
            problems.append(Problem("attributes.column_taken", f"{name!r} is a column of the event table"))
        if not path or "" in path.split("."):
            problems.append(Problem("attributes.path_empty", f"the path of {name!r} has an empty part: {path!r}"))
    if problems:
        raise InvalidInput(problems)
    texts = table.column("attributes").to_pylist() if "attributes" in table.column_names else [None] * table.num_rows
    plans = [(path.split("."), kind) for path, kind in wanted.values()]
    columns: list[list[Any]] = [[None] * table.num_rows for _ in plans]
    for row, text in enumerate(texts):
        if text is None:
            continue
        document = _load(text)
        for column, (parts, kind) in zip(columns, plans, strict=True):
            value = _walk(document, parts)
            if value is not _MISSING:
                column[row] = _typed(value, kind)
    for name, column, (_, kind) in zip(wanted, columns, plans, strict=True):
        table = table.append_column(name, pa.array(column, kind.arrow))
    return table


def _load(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # valid JSON whose numbers are beyond a double
        return json.loads(text)


def _walk(value: Any, parts: list[str]) -> Any:
    if not parts:
        return value
    if isinstance(value, dict):
        for size in range(len(parts), 0, -1):  # the longest name that exists wins: names may hold dots
            name = ".".join(parts[:size])
            if name in value:
                found = _walk(value[name], parts[size:])
                if found is not _MISSING:
                    return found
        return _MISSING
    if isinstance(value, list) and parts[0].isdecimal() and parts[0].isascii():
        index = int(parts[0])
        return _walk(value[index], parts[1:]) if index < len(value) else _MISSING
    return _MISSING


def _typed(value: Any, kind: Kind) -> Any:
    """The value as its kind, else None."""
    if kind is Kind.BOOL:
        return value if isinstance(value, bool) else None
    if kind is Kind.TEXT:
        return value if isinstance(value, str) else None
    if kind is Kind.TIME:
        try:
            return parse_time(value, zone_required=True)
        except BadValue:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if kind is Kind.FLOAT:
        return float(value) if math.isfinite(value) else None
    return value if isinstance(value, int) and -_INT_LIMIT <= value < _INT_LIMIT else None
