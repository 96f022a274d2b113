"""The declarative mapping: a table of target column ← source paths and transform, run column by column. Hot path.

A path is dotted. A last part `@Name` (it may hold dots) reads a list of `{"Name": …, "Value" | "NewValue": …}` pairs
as an object; a part `0` takes the first of a list. The first path that gives a usable value wins. A top-level field
that becomes a column as it stands leaves `attributes`; everything else stays there, so that nothing is lost:
`rest_of` makes that text. Holds no state beyond its tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from shoal.events.formats.values import BadValue, parse_address, parse_time

Record = dict[str, Any]
Values = list[Any]
_NOTHING: Record = {}
_INT_LIMIT = 1 << 63


@dataclass(frozen=True)
class Column:
    """One line of a mapping table: `name` ← the first usable of `paths`, through the transform named."""

    name: str
    paths: tuple[str, ...]
    transform: str = "text"


def _text(value: Any) -> str | None:
    if type(value) is str:
        return value or None
    if type(value) is int:
        return str(value)
    return None


def _address(value: Any) -> str | None:
    return parse_address(value) if type(value) is str else None


def _lower(value: Any) -> str | None:
    return value.lower() if type(value) is str and value else None


def _integer(value: Any) -> int | None:
    if type(value) is float and value.is_integer() and abs(value) < 1 << 53:
        return int(value)
    return value if type(value) is int and -_INT_LIMIT <= value < _INT_LIMIT else None


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and abs(value) < 1e308 else None


def _boolean(value: Any) -> bool | None:
    if type(value) is str:
        return {"true": True, "false": False}.get(value.lower())
    return value if type(value) is bool else None


def _user(value: Any) -> str | None:
    """A user's name; an e-mail-like name (UPN) in lower case, since directories compare it so."""
    text = _text(value)
    return text.lower() if text is not None and "@" in text else text


def _web(value: Any) -> str | None:
    """The text where it is a web address."""
    return value if type(value) is str and value.startswith(("https://", "http://")) else None


def _words(value: Any) -> str | None:
    """A text, or a list of texts as one, parted by blanks."""
    if type(value) is list:
        return " ".join(value) or None if all(type(word) is str for word in value) else None
    return _text(value)


TRANSFORMS: dict[str, Callable[[Any], Any]] = {
    "text": _text,
    "address": _address,
    "lower": _lower,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "user": _user,
    "web": _web,
    "words": _words,
}
"""Name → function of one JSON value; None = not usable (the value stays in `attributes`)."""


def names_of(pairs: Any) -> Record:
    """A list of Name/Value pairs as an object; the first of a name counts."""
    found: Record = {}
    if type(pairs) is list:
        for pair in pairs:
            if type(pair) is dict:
                name = pair.get("Name")
                if type(name) is str and name not in found:
                    value = pair.get("Value")
                    found[name] = pair.get("NewValue") if value is None else value
    return found


def pick(record: Record, path: str) -> Any:
    """The value at a path of one record, or None."""
    value: Any = record
    path, _, pair = path.partition(".@")
    for part in path.split("."):
        if part == "0" and type(value) is list:
            value = value[0] if value else None
        elif type(value) is dict:
            value = value.get(part)
        else:
            return None
    return names_of(value).get(pair) if pair else value


class Reach:
    """The records of one block, with the parents of nested paths taken out once."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records
        self._parents: dict[str, Sequence[Record]] = {"": records}

    def values(self, path: str) -> Values:
        """The values at a path, a row each."""
        parent, _, name = path.partition(".@")
        if name:
            return [names_of(value).get(name) if value else None for value in self.values(parent)]
        parent, _, name = path.rpartition(".")
        if name == "0":
            return [value[0] if type(value) is list and value else None for value in self.values(parent)]
        return [record.get(name) for record in self._objects(parent)]

    def _objects(self, path: str) -> Sequence[Record]:
        found = self._parents.get(path)
        if found is None:
            found = [value if type(value) is dict else _NOTHING for value in self.values(path)]
            self._parents[path] = found
        return found


class Mapping:
    """A compiled mapping table."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        # a top-level field that one column takes first, and that no other line of the table reads
        firsts = [column.paths[0] for column in columns]
        self.taken = frozenset(path for path in firsts if "." not in path and firsts.count(path) == 1)

    def read(self, reach: Reach) -> tuple[dict[str, Values], dict[int, set[str]]]:
        """Column name → values; and for each row the taken fields that must stay in `attributes` after all."""
        kept: dict[int, set[str]] = {}
        return {column.name: self._read_column(column, reach, kept) for column in self.columns}, kept

    def _read_column(self, column: Column, reach: Reach, kept: dict[int, set[str]]) -> Values:
        transform = TRANSFORMS[column.transform]
        first = column.paths[0]
        given = reach.values(first)
        if column.transform == "text":
            values = [v if type(v) is str and v else None if v is None else transform(v) for v in given]
        else:
            values = [None if v is None else transform(v) for v in given]
        if first in self.taken:
            for row, (before, after) in enumerate(zip(given, values, strict=True)):
                if before is not after and before != after and before != "":
                    kept.setdefault(row, set()).add(first)
        for path in column.paths[1:]:
            if None not in values:
                break
            values = [
                transform(other) if value is None and other is not None else value
                for value, other in zip(values, reach.values(path), strict=True)
            ]
        return values

    def rest_of(
        self, records: Sequence[Record], kept: dict[int, set[str]], dropped: frozenset[str]
    ) -> list[str | None]:
        """The `attributes` text of each record: all fields but those taken (or `dropped`: read by the caller)."""
        taken = self.taken | dropped
        texts: list[str | None] = []
        for row, record in enumerate(records):
            out = taken - kept[row] if row in kept else taken
            rest = {name: value for name, value in record.items() if name not in out and value is not None}
            texts.append(orjson.dumps(rest).decode() if rest else None)
        return texts


def read_times(values: Values, bad: dict[int, BadValue], *, zone_required: bool) -> list[int | None]:
    """Microseconds of each row's time; a row whose time cannot be read goes to `bad`."""
    times: list[int | None] = []
    for row, value in enumerate(values):
        if value is None or value == "":
            bad.setdefault(row, BadValue("time.missing", "the record has no time"))
            times.append(None)
            continue
        try:
            times.append(parse_time(value, zone_required=zone_required))
        except BadValue as fault:
            bad.setdefault(row, fault)
            times.append(None)
    return times


def require(values: Values, bad: dict[int, BadValue], field: str) -> None:
    """Rows without a text that says what happened go to `bad` as `type.missing`."""
    for row, value in enumerate(values):
        if value is None:
            bad.setdefault(row, BadValue("type.missing", f"the record has no {field}"))


def overlay(columns: dict[str, Values], records: Sequence[Record], rows_of: dict[str, list[int]],
            table: dict[str, tuple[Column, ...]]) -> None:  # fmt: skip
    """Set the columns that only some operations have: operation → its own lines of mapping, over what stands there."""
    for operation, lines in table.items():
        rows = rows_of.get(operation)
        if not rows:
            continue
        reach = Reach([records[row] for row in rows])
        for line in lines:
            transform = TRANSFORMS[line.transform]
            target = columns[line.name]
            for path in reversed(line.paths):
                for row, value in zip(rows, reach.values(path), strict=True):
                    made = None if value is None else transform(value)
                    if made is not None:
                        target[row] = made


def keep_rows(columns: dict[str, Values], rows: list[int], count: int) -> dict[str, Values]:
    """The columns with only the given rows of `count`."""
    if len(rows) == count:
        return columns
    return {name: [values[row] for row in rows] for name, values in columns.items()}
