"""The baseline's side: a typed tree as a Polars expression (the operations that the synthetic pack uses)."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import polars as pl

from shoal.events.schema import Kind
from shoal.expressions.tree import Node

_PAIRS: dict[str, Callable[[Any, Any], pl.Expr]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "time_sub": lambda a, b: (a - b) / 1e6,
}


def polars_expression(node: Node, lists: dict[str, list[str]]) -> pl.Expr:
    """The same condition for Polars; KeyError for an operation outside the synthetic pack."""
    value: Any = node.value
    if node.op == "column":
        return pl.col(str(value))
    if node.op == "literal":
        return pl.lit(value)
    args = [polars_expression(arg, lists) for arg in node.args]
    if node.op in _PAIRS:
        return _PAIRS[node.op](*args)
    single: dict[str, Callable[[], pl.Expr]] = {
        "and": lambda: reduce(lambda a, b: a & b, args),
        "or": lambda: reduce(lambda a, b: a | b, args),
        "not": lambda: ~args[0],
        "between": lambda: args[0].is_between(args[1], args[2]),
        "in": lambda: args[0].is_in(list(value[0])),
        "in_list": lambda: args[0].is_in(lists[str(value)]),
        "like": lambda: _like(args[0], value),
        "ends_with": lambda: args[0].str.ends_with(value[0]),
        "coalesce": lambda: pl.coalesce(args),
        "greatest": lambda: pl.max_horizontal(args),
        "abs": lambda: args[0].abs(),
        "to_float": lambda: args[0].cast(pl.Float64),
        "hour": lambda: pl.from_epoch(args[0], "us").dt.hour(),
        "file_extension": lambda: args[0].str.extract(r"[^/\\]\.([^./\\]+)$", 1).str.to_lowercase(),
        "url_scheme": lambda: args[0].str.extract(r"^\s*([A-Za-z][A-Za-z0-9+.\-]*):", 1).str.to_lowercase(),
    }
    made = single[node.op]()
    if node.kind is Kind.FLOAT:
        made = pl.when(made.is_finite()).then(made)
    return made


def _like(texts: pl.Expr, value: tuple[str, str, bool]) -> pl.Expr:
    pattern, _, fold = value
    if fold:
        texts, pattern = texts.str.to_lowercase(), pattern.lower()
    inner = pattern.strip("%")
    if pattern == f"%{inner}%":
        return texts.str.contains(inner, literal=True)
    return texts.str.starts_with(inner) if pattern.endswith("%") else texts.str.ends_with(inner)
