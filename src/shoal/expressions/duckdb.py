"""The same tree written as DuckDB SQL, so that our semantics come out: the oracle of the tests, and for hunting.

Over a table with the same columns, times as BIGINT microseconds. No sub-expression is written twice, so that the text
grows with the tree. Results of float operations pass through a filter that turns NaN and infinities into NULL; what
DuckDB raises (overflow, division by zero) is caught by TRY. No part depends on a setting of the session.
"""

from __future__ import annotations

from collections.abc import Callable

from shoal.events.schema import Kind
from shoal.expressions.machine.texts import FILE_EXTENSION, URL_HOST, URL_PATH, URL_SCHEME, WHITE
from shoal.expressions.tree import Node

_TYPES = {Kind.BOOL: "BOOLEAN", Kind.INT: "BIGINT", Kind.FLOAT: "DOUBLE", Kind.TEXT: "VARCHAR", Kind.TIME: "BIGINT"}
_INFIX = {
    "eq": "=", "ne": "<>", "lt": "<", "le": "<=", "distinct": "IS DISTINCT FROM", "add": "+", "sub": "-", "mul": "*",
    "div": "/", "mod": "%", "idiv": "//",
}  # fmt: skip
_POSTFIX = {"is_null": "IS NULL", "is_true": "IS TRUE", "is_false": "IS FALSE"}
_FLOAT_CALLS = frozenset({"floor", "ceil", "round", "trunc", "sqrt", "ln", "log10", "exp", "pow"})
_CALLS = {
    "coalesce": "coalesce", "nullif": "nullif", "least": "least", "greatest": "greatest", "length": "length",
    "lower": "lower", "upper": "upper", "starts_with": "starts_with", "ends_with": "ends_with", "contains": "contains",
    "strpos": "strpos", "regexp_matches": "regexp_matches", "substr": "substr",
}  # fmt: skip
_PARTS = {
    "url_scheme": (URL_SCHEME, True), "url_host": (URL_HOST, True), "url_path": (URL_PATH, False),
    "file_extension": (FILE_EXTENSION, True),
}  # fmt: skip


def write_duckdb(node: Node) -> str:
    """The DuckDB SQL of a typed tree."""
    args = [write_duckdb(arg) for arg in node.args]
    special = _SPECIAL.get(node.op)
    if special is not None:
        return special(node, args)
    if node.op in ("and", "or", "concat"):
        return "(" + {"and": " AND ", "or": " OR ", "concat": " || "}[node.op].join(args) + ")"
    if node.op in _POSTFIX:
        return f"({args[0]} {_POSTFIX[node.op]})"
    if node.op in _FLOAT_CALLS:
        return _finite(f"TRY({node.op}({', '.join(args)}))")
    if node.op in _CALLS:
        constants = [_text(v) if isinstance(v, str) else str(v) for v in _constants(node)]
        return f"{_CALLS[node.op]}({', '.join(args + constants)})"
    if node.op in _PARTS:
        pattern, lower = _PARTS[node.op]
        found = f"list_extract(regexp_extract_all({args[0]}, {_text(pattern)}, 1), 1)"
        return f"lower({found})" if lower else found
    made = f"({args[0]} {_INFIX[node.op]} {args[1]})"
    if node.kind is Kind.FLOAT:
        return _finite(f"TRY{made}")
    return f"TRY{made}" if node.kind is Kind.INT else made


def _constants(node: Node) -> tuple[object, ...]:
    return node.value if isinstance(node.value, tuple) else ()


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _finite(sql: str) -> str:
    return f"list_filter([{sql}], lambda v: isfinite(v))[1]"


def _literal(node: Node, _: list[str]) -> str:
    return _constant(node.value, node.kind)


def _constant(value: object, kind: Kind) -> str:
    if kind is Kind.TEXT:
        return _text(str(value))
    if kind is Kind.BOOL:
        return "TRUE" if value else "FALSE"
    return f"CAST('{value!r}' AS {_TYPES[kind]})"


def _column(node: Node, _: list[str]) -> str:
    return '"' + str(node.value).replace('"', '""') + '"'


def _case(_: Node, args: list[str]) -> str:
    branches = "".join(f" WHEN {args[i]} THEN {args[i + 1]}" for i in range(0, len(args) - 1, 2))
    return f"CASE{branches} ELSE {args[-1]} END"


def _in(node: Node, args: list[str]) -> str:
    constants, has_null = node.value
    members = [_constant(constant, node.args[0].kind) for constant in constants] + ["NULL"] * has_null
    return f"({args[0]} IN ({', '.join(members)}))"


def _like(node: Node, args: list[str]) -> str:
    pattern, escape, fold = node.value
    subject, wanted, by = (args[0], _text(pattern), _text(escape))
    if fold:
        subject, wanted, by = f"lower({subject})", f"lower({wanted})", _text(escape.lower())
    return f"({subject} LIKE {wanted}{f' ESCAPE {by}' if escape else ''})"


def _distance(_: Node, args: list[str]) -> str:
    lat1, lon1, lat2, lon2 = ("v[1]", "v[2]", "v[3]", "v[4]")
    haversine = (
        f"pow(sin(radians({lat2} - {lat1}) / 2), 2) + "
        f"cos(radians({lat1})) * cos(radians({lat2})) * pow(sin(radians({lon2} - {lon1}) / 2), 2)"
    )
    good = f"abs({lat1}) <= 90 AND abs({lat2}) <= 90 AND abs({lon1}) <= 180 AND abs({lon2}) <= 180"
    body = f"CASE WHEN {good} THEN 2 * 6371.0088::DOUBLE * asin(sqrt(least(1.0::DOUBLE, {haversine}))) END"
    return f"list_transform([[{', '.join(args)}]], lambda v: {body})[1]"


_SPECIAL: dict[str, Callable[[Node, list[str]], str]] = {
    "column": _column,
    "literal": _literal,
    "null": lambda node, _: f"CAST(NULL AS {_TYPES[node.kind]})",
    "not": lambda _, args: f"(NOT {args[0]})",
    "between": lambda _, args: f"({args[0]} BETWEEN {args[1]} AND {args[2]})",
    "in": _in,
    "in_list": lambda node, args: f"list_contains(getvariable({_text(f'list_{node.value}')})::VARCHAR[], {args[0]})",
    "case": _case,
    "like": _like,
    "neg": lambda _, args: f"TRY(-{args[0]})",
    "abs": lambda _, args: f"TRY(abs({args[0]}))",
    "idiv": lambda node, args: (
        _finite(f"trunc(TRY({args[0]} / {args[1]}))") if node.kind is Kind.FLOAT else f"TRY({args[0]} // {args[1]})"
    ),
    "time_sub": lambda _, args: f"(TRY({args[0]} - {args[1]}) / CAST('1e6' AS DOUBLE))",
    "time_add": lambda _, args: f"TRY({args[0]} + TRY(CAST(trunc({args[1]} * CAST('1e6' AS DOUBLE)) AS BIGINT)))",
    "hour": lambda _, args: f"TRY(hour(make_timestamp({args[0]})))",
    "minute": lambda _, args: f"TRY(minute(make_timestamp({args[0]})))",
    "second": lambda _, args: f"TRY(second(make_timestamp({args[0]})))",
    "dayofweek": lambda _, args: f"TRY(dayofweek(make_timestamp({args[0]})))",
    "epoch": lambda _, args: f"({args[0]} / CAST('1e6' AS DOUBLE))",
    "distance_km": _distance,
    "to_float": lambda _, args: f"CAST({args[0]} AS DOUBLE)",
    "to_int": lambda node, args: (
        f"CAST({args[0]} AS BIGINT)" if node.args[0].kind is Kind.BOOL else f"TRY(CAST(trunc({args[0]}) AS BIGINT))"
    ),
    "to_bool": lambda _, args: f"({args[0]} <> 0)",
    "to_text": lambda _, args: f"CAST({args[0]} AS VARCHAR)",
    "parse_int": lambda _, args: _parsed(args[0], "[+-]?[0-9]{1,40}", "BIGINT"),
    "parse_float": lambda _, args: _finite(
        _parsed(args[0], r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,5})?", "DOUBLE")
    ),
    "trim": lambda _, args: f"trim({args[0]}, {_text(WHITE)})",
}


def _parsed(sql: str, pattern: str, kind: str) -> str:
    trimmed = f"trim({sql}, {_text(WHITE)})"
    return f"TRY_CAST(list_filter([{trimmed}], lambda v: regexp_full_match(v, {_text(pattern)}))[1] AS {kind})"
