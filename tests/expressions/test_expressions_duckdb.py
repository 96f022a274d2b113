"""Our evaluator against DuckDB, on generated expressions and rows."""

from __future__ import annotations

import math
from typing import Any

import duckdb
import expression_cases as cases
import pyarrow as pa
import pytest
from hypothesis import given, settings

from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.expressions.compile import Expression, Scope, compile_expression
from shoal.expressions.frame import Frame, Layout
from shoal.expressions.program import Program
from shoal.expressions.tree import OPERATIONS

IDENTITY = Identity(b"0123456789abcdef")
LAYOUT = Layout.of(cases.COLUMNS)
SCOPE = Scope(cases.COLUMNS, frozenset(cases.LISTS))


class TextList:
    kind = "text"

    def __init__(self, texts: frozenset[str]) -> None:
        self.texts = texts

    def contains(self, texts: pa.Array) -> Any:
        raise AssertionError("a list of texts is compared by id")


LISTS = {name: TextList(texts) for name, texts in cases.LISTS.items()}


@pytest.fixture(scope="module")
def connection() -> Any:
    made = duckdb.connect()
    made.execute("SET threads = 1")
    made.execute("SET TimeZone = 'Asia/Tokyo'")  # nothing may depend on it
    for name, texts in cases.LISTS.items():
        made.execute(f"SET VARIABLE list_{name} = ?::VARCHAR[]", [sorted(texts)])
    yield made
    made.close()


def ours(expressions: list[Expression], rows: list[dict[str, Any]]) -> list[list[object]]:
    frame = Frame.of_rows(rows, LAYOUT, IDENTITY)
    values, valid = Program(expressions, LAYOUT, IDENTITY, LISTS).run(frame)
    found = []
    for expression, numbers, good in zip(expressions, values, valid, strict=True):
        raw: Any = numbers
        if expression.kind is Kind.FLOAT:
            raw = numbers.view("float64")
        elif expression.kind is Kind.BOOL:
            raw = numbers.astype(bool)
        found.append([value if ok else None for value, ok in zip(raw.tolist(), good, strict=True)])
    return found


def same(kind: Kind, left: object, right: object) -> bool:
    if left is None or right is None:
        return left is right
    if kind is Kind.FLOAT:
        assert isinstance(left, float)
        assert isinstance(right, float)
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-300)
    return type(left) is type(right) and left == right


def theirs(connection: Any, expression: Expression, rows: list[dict[str, Any]]) -> list[object]:
    names = [(n, k) for n, k in cases.COLUMNS.items()]
    clean = [{n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in row.items()} for row in rows]
    table = pa.table({n: pa.array([row.get(n) for row in clean], k.arrow) for n, k in names})
    table = table.append_column("row_number", pa.array(range(len(rows))))
    connection.register("events", table)
    sql = f"SELECT {expression.duckdb()} FROM events ORDER BY row_number"
    got = [row[0] for row in connection.execute(sql).fetchall()]
    if expression.kind is Kind.TEXT:
        return [None if text is None else IDENTITY.id_of(text) for text in got]
    return got


@settings(max_examples=100, deadline=None)
@given(cases.expressions(), cases.rows())
def test_equal_to_duckdb(connection: Any, text: str, rows: list[dict[str, Any]]) -> None:
    expression = compile_expression(text, SCOPE)
    expected = theirs(connection, expression, rows)
    got = ours([expression], rows)[0]
    for i, (mine, wanted) in enumerate(zip(got, expected, strict=True)):
        assert same(expression.kind, mine, wanted), (text, rows[i], mine, wanted, expression.duckdb())


def test_every_form_on_extremes_is_equal_to_duckdb(connection: Any) -> None:
    """Nothing left to chance: each operation, on the same 240 rows of extremes and nulls."""
    rows = cases.extreme_rows()
    expressions = [compile_expression(text, SCOPE) for text in cases.every_form()]
    assert {node.op for e in expressions for node in e.root.walk()} >= OPERATIONS - {
        "ln",
        "log10",
        "exp",
        "pow",
        "distance_km",
    }
    wrong = []
    for expression, got in zip(expressions, ours(expressions, rows), strict=True):
        expected = theirs(connection, expression, rows)
        for i, (mine, wanted) in enumerate(zip(got, expected, strict=True)):
            if not same(expression.kind, mine, wanted):
                wrong.append((expression.text, rows[i], mine, wanted))
                break
    assert wrong == []


LIBM = ["ln(f1)", "log(f1)", "exp(f1 / 10)", "pow(f1, f2)", "pow(f1, i1)", "distance_km(f1, f2, f2, f1)", "sqrt(f1)"]


@settings(max_examples=40, deadline=None)
@given(cases.rows())
def test_mathematics_equal_to_duckdb(connection: Any, rows: list[dict[str, Any]]) -> None:
    expressions = [compile_expression(text, SCOPE) for text in LIBM]
    for expression, got in zip(expressions, ours(expressions, rows), strict=True):
        expected = theirs(connection, expression, rows)
        for i, (mine, wanted) in enumerate(zip(got, expected, strict=True)):
            assert same(Kind.FLOAT, mine, wanted), (expression.text, rows[i], mine, wanted)
