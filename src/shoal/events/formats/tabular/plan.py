"""A table's mapping, checked: which source column becomes which column of the event table, and how.

Made by `adapters.mapping` from a file; immutable. The conditions of type rules come compiled, as one function from a
table of the source columns that they read to a list of booleans (null: unknown) a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import pyarrow as pa

from shoal.events.schema import Kind

FORMAT, VERSION = "shoal.mapping", 1
MAX_COLUMNS = 2048
"""Columns that a table may have."""
DELIMITERS: Mapping[str, str] = MappingProxyType({"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"})
ENCODINGS: tuple[str, ...] = ("utf-8", "utf-16", "latin-1", "cp1252")
UNITS: Mapping[str, int] = MappingProxyType(
    {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
)
TIME_FORMATS: Mapping[str, int] = MappingProxyType({"iso": 0, "unix_s": 10**6, "unix_ms": 10**3, "unix_us": 1})
"""Names of time formats → microseconds of one unit (0: a text); any other format is a pattern of strptime."""

Evaluate = Callable[[pa.Table], Sequence[Sequence[bool | None]]]


@dataclass(frozen=True)
class TimeFormat:
    """How a time is written. `zone`: IANA name for times without one; "" where each says its own."""

    format: str = "iso"
    zone: str = ""


@dataclass(frozen=True)
class FieldPlan:
    """One column of ours: from a source column, through a map of values or a unit, or a constant."""

    name: str
    kind: Kind
    column: str = ""
    constant: str | int | float | bool | None = None
    values: Mapping[str, str] | None = None
    unit: int = 1
    lower: bool = False
    time: TimeFormat = TimeFormat()

    @property
    def as_it_stands(self) -> bool:
        """Whether the source's value is kept whole in the column, so that `attributes` need not hold it."""
        return self.values is None and not self.lower and self.unit == 1


@dataclass(frozen=True)
class TypePlan:
    """What happened: the first rule that holds, else the value of `column` in `values` (or itself), else `default`."""

    column: str = ""
    values: Mapping[str, str] | None = None
    rules: tuple[str, ...] = ()
    default: str = ""


@dataclass(frozen=True)
class TablePlan:
    """A whole mapping. `digest` names its content; `condition_kinds` are the columns that conditions read."""

    time: FieldPlan
    type: TypePlan
    fields: tuple[FieldPlan, ...]
    digest: str
    keep_rest: bool = True
    nulls: frozenset[str] = frozenset({""})
    delimiter: str = ","
    encoding: str = "utf-8"
    condition_kinds: Mapping[str, Kind] = field(default_factory=dict)
    evaluate: Evaluate | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Every source column that the mapping names, each once."""
        named = [self.time.column, self.type.column, *(plan.column for plan in self.fields), *self.condition_kinds]
        return tuple(dict.fromkeys(name for name in named if name))
