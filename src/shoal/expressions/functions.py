"""The fixed set of functions: names, parameters, results, and a line of documentation each.

A parameter is a `Kind`, or one of: `number` (INT or FLOAT, kept as given), `ordered` (number or time, all of one kind),
`any` (all of one kind), `constant text`, `constant int`. `docs/expressions.md` lists this table, and a test holds the
two together. Holds no state; knows no SQL parser and no machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from shoal.events.schema import Kind

Parameter = Kind | Literal["number", "ordered", "any", "constant text", "constant int"]
_B, _I, _F, _T, _M = Kind.BOOL, Kind.INT, Kind.FLOAT, Kind.TEXT, Kind.TIME


@dataclass(frozen=True)
class Function:
    """One function. `result` None means the kind of its arguments; `rest` repeats the last parameter."""

    name: str
    op: str
    parameters: tuple[Parameter, ...]
    result: Kind | None
    doc: str
    optional: int = 0
    rest: bool = False

    @property
    def signature(self) -> str:
        """The call in words, for messages and for the manual."""
        words = [p.name if isinstance(p, Kind) else p for p in self.parameters]
        words = [f"[{w}]" if i >= len(words) - self.optional else w for i, w in enumerate(words)]
        return f"{self.name}({', '.join(words)}{', …' if self.rest else ''})"

    def accepts(self, count: int) -> bool:
        """Whether it may be called with `count` arguments."""
        least = len(self.parameters) - self.optional
        return count >= least if self.rest else least <= count <= len(self.parameters)


def _table() -> Iterable[Function]:
    make = Function
    yield make("abs", "abs", ("number",), None, "absolute value; null for the smallest INT")
    yield make("least", "least", ("ordered", "ordered"), None, "smallest of its arguments, nulls left out", rest=True)
    yield make("greatest", "greatest", ("ordered", "ordered"), None, "largest, nulls left out", rest=True)
    for name, doc in (
        ("floor", "next whole number below"),
        ("ceil", "next whole number above"),
        ("round", "nearest whole number, halves away from zero"),
        ("trunc", "next whole number toward zero"),
    ):
        yield make(name, name, ("number",), None, doc + "; keeps the kind")
    for name, op, doc in (
        ("sqrt", "sqrt", "square root"),
        ("ln", "ln", "natural logarithm"),
        ("log", "log10", "logarithm to base 10"),
        ("log10", "log10", "logarithm to base 10"),
        ("exp", "exp", "e to the power of x"),
    ):
        yield make(name, op, (_F,), _F, doc)
    for name in ("pow", "power"):
        yield make(name, "pow", (_F, _F), _F, "x to the power of y")
    yield make("distance_km", "distance_km", (_F, _F, _F, _F), _F, "great-circle distance of (lat, lon) and (lat, lon)")
    yield make("coalesce", "coalesce", ("any",), None, "first argument that is not null", rest=True)
    yield make("nullif", "nullif", ("any", "any"), None, "null where both are equal, else the first")
    yield make("if", "case", (_B, "any", "any"), None, "second argument where the first is true, else the third")
    for name, doc in (
        ("hour", "hour of the day in UTC, 0 to 23"),
        ("minute", "minute of the hour in UTC"),
        ("second", "second of the minute"),
        ("dayofweek", "day of the week in UTC, 0 is Sunday"),
    ):
        yield make(name, name, (_M,), _I, doc)
    yield make("epoch", "epoch", (_M,), _F, "seconds since 1970-01-01 UTC")
    yield from _text_functions()


def _text_functions() -> Iterable[Function]:
    make = Function
    yield make("length", "length", (_T,), _I, "number of characters (code points)")
    yield make("lower", "lower", (_T,), _T, "in lower case, character by character")
    yield make("upper", "upper", (_T,), _T, "in upper case, character by character")
    yield make("trim", "trim", (_T,), _T, "without spaces, tabs and line ends at both ends")
    for name in ("substr", "substring"):
        yield make(
            name, "substr", (_T, "constant int", "constant int"), _T, "characters from a place (1 is first)", optional=1
        )
    yield make("concat", "concat", (_T,), _T, "texts joined, the same as ||: null where one is null", rest=True)
    yield make("starts_with", "starts_with", (_T, "constant text"), _B, "whether it begins with the constant")
    yield make("ends_with", "ends_with", (_T, "constant text"), _B, "whether it ends with the constant")
    yield make("contains", "contains", (_T, "constant text"), _B, "whether the constant is in it")
    yield make("strpos", "strpos", (_T, "constant text"), _I, "place of the constant (1 is first), 0 where it is not")
    yield make(
        "regexp_matches", "regexp_matches", (_T, "constant text"), _B, "whether an RE2 pattern is found (linear time)"
    )
    yield make("url_scheme", "url_scheme", (_T,), _T, "scheme of a URL, lower case; null where there is none")
    yield make("url_host", "url_host", (_T,), _T, "host of a URL, lower case, without user and port")
    yield make("url_path", "url_path", (_T,), _T, "path of a URL, without query and fragment")
    yield make("file_extension", "file_extension", (_T,), _T, "what follows the last dot of a file's name, lower case")


FUNCTIONS: dict[str, Function] = {function.name: function for function in _table()}
