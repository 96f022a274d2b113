"""The typed tree of an expression, in one monomorphic normal form.

A `Node` is immutable and knows its kind; all implicit conversions have been written out (`to_float`), so that whoever
walks the tree (the lowering to machine code, the DuckDB writer, the oracle of the tests) never decides about types.
`OPERATIONS` below names every operation there is. The tree holds no state and knows neither SQL nor Arrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shoal.events.schema import Kind

MAX_DEPTH = 100
"""Deepest tree that is accepted (a chain of AND, OR or || counts once)."""
MAX_OPERATIONS = 20_000
"""Largest tree that is accepted, written out (a CASE with an operand repeats it)."""


@dataclass(frozen=True)
class Scope:
    """What an expression may name: columns with their kinds, and named lists."""

    columns: Mapping[str, Kind]
    lists: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Node:
    """One operation on typed arguments. `value` is the literal, the column's name or the operation's constants."""

    op: str
    kind: Kind
    args: tuple[Node, ...] = ()
    value: Any = None

    def walk(self) -> Iterator[Node]:
        """This node and all below it, each once, parents first."""
        waiting, seen = [self], {id(self)}
        while waiting:
            node = waiting.pop()
            yield node
            for arg in reversed(node.args):
                if id(arg) not in seen:
                    seen.add(id(arg))
                    waiting.append(arg)

    def written_size(self) -> int:
        """How many operations the tree has when it is written out: a shared sub-tree counts each time."""
        sizes: dict[int, int] = {}
        waiting = [self]
        while waiting:
            node = waiting[-1]
            missing = [arg for arg in node.args if id(arg) not in sizes]
            if missing:
                waiting += missing
                continue
            sizes[id(waiting.pop())] = 1 + sum(sizes[id(arg)] for arg in node.args)
        return sizes[id(self)]


LEAVES = frozenset({"column", "literal", "null"})
LOGIC = frozenset({"and", "or", "not", "is_null", "is_true", "is_false"})
COMPARISONS = frozenset({"eq", "ne", "lt", "le", "distinct", "between", "in", "in_list"})
CHOICES = frozenset({"case", "coalesce", "nullif", "least", "greatest"})
ARITHMETIC = frozenset({"add", "sub", "mul", "div", "idiv", "mod", "neg", "abs", "time_add", "time_sub"})
MATHS = frozenset({"floor", "ceil", "round", "trunc", "sqrt", "ln", "log10", "exp", "pow", "distance_km"})
TIMES = frozenset({"hour", "minute", "second", "dayofweek", "epoch"})
CONVERSIONS = frozenset({"to_float", "to_int", "to_bool", "parse_int", "parse_float", "to_text"})
TEXTS = frozenset(
    {
        "like", "starts_with", "ends_with", "contains", "strpos", "regexp_matches", "length",
        "lower", "upper", "trim", "substr", "concat", "url_scheme", "url_host", "url_path", "file_extension",
    }
)  # fmt: skip
OPERATIONS = LEAVES | LOGIC | COMPARISONS | CHOICES | ARITHMETIC | MATHS | TIMES | CONVERSIONS | TEXTS

READS_TEXT = TEXTS | {"parse_int", "parse_float", "to_text"}
"""Operations that need the characters of a text (or make them), not only its id: they run on Arrow arrays.

A comparison by order (`lt`, `le`, `between`) of texts does too, and so does membership of a list of address ranges.
"""


def null(kind: Kind) -> Node:
    """The null of a kind."""
    return Node("null", kind)


def literal(value: bool | int | float | str, kind: Kind) -> Node:
    """A constant of a kind; a TIME is given in microseconds."""
    return Node("literal", kind, (), value)
