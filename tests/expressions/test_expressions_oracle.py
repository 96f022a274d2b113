"""The machine against its slow twin, any cut into batches against the whole, and one program against many."""

from __future__ import annotations

from typing import Any

import expression_cases as cases
import numpy as np
import test_expressions_duckdb as shared
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import expressions_oracle
from shoal.events.schema import Kind
from shoal.expressions.compile import compile_expression
from shoal.expressions.frame import Frame
from shoal.expressions.program import Program

IDENTITY, LAYOUT, SCOPE, LISTS = shared.IDENTITY, shared.LAYOUT, shared.SCOPE, shared.LISTS


@settings(max_examples=100, deadline=None)
@given(cases.expressions(4), cases.rows())
def test_equal_to_the_slow_twin(text: str, rows: list[dict[str, Any]]) -> None:
    expression = compile_expression(text, SCOPE)
    for i, (got, row) in enumerate(zip(shared.ours([expression], rows)[0], rows, strict=True)):
        wanted = expressions_oracle.evaluate(expression.root, row, cases.LISTS)
        if expression.kind is Kind.TEXT and wanted is not None:
            wanted = IDENTITY.id_of(wanted)
        assert shared.same(expression.kind, got, wanted), (text, i, row, got, wanted)


@settings(max_examples=30, deadline=None)
@given(st.lists(cases.expressions(), min_size=1, max_size=5), cases.rows(), st.integers(1, 300), st.data())
def test_results_do_not_depend_on_the_cut(
    texts: list[str], few: list[dict[str, Any]], count: int, data: st.DataObject
) -> None:
    """One run over all rows, runs over parts (one row among them), and each expression alone: bit for bit the same."""
    rows = [few[i * 7 % len(few)] for i in range(count)]
    expressions = [compile_expression(text, SCOPE) for text in texts]
    program = Program(expressions, LAYOUT, IDENTITY, LISTS)
    values, valid = program.run(Frame.of_rows(rows, LAYOUT, IDENTITY))
    assert not values[valid == 0].any()
    cut = data.draw(st.integers(1, count))
    for start, stop in ((0, cut), (cut, count), (cut - 1, cut)):
        part = Frame.of_rows(rows[start:stop], LAYOUT, IDENTITY)
        got, good = program.run(part)
        assert np.array_equal(got, values[:, start:stop])
        assert np.array_equal(good, valid[:, start:stop])
    for i, expression in enumerate(expressions):
        got, good = Program([expression], LAYOUT, IDENTITY, LISTS).run(Frame.of_rows(rows, LAYOUT, IDENTITY))
        assert np.array_equal(got[0], values[i])
        assert np.array_equal(good[0], valid[i])


def test_remembered_texts_give_the_same() -> None:
    """Batches of one row, again and again, with texts that come back."""
    expressions = [
        compile_expression(text, SCOPE) for text in ("lower(t1)", "t1 LIKE '%a%'", "coalesce(t1, 'x') = 'x'")
    ]
    program = Program(expressions, LAYOUT, IDENTITY, LISTS)
    rows = [{"t1": text} for text in ("A", None, "b", "A", "é" * 600, None, "", "é" * 600)]
    values, valid = program.run(Frame.of_rows(rows, LAYOUT, IDENTITY))
    for i, row in enumerate(rows):
        got, good = program.run(Frame.of_rows([row], LAYOUT, IDENTITY))
        assert got[:, 0].tolist() == values[:, i].tolist()
        assert good[:, 0].tolist() == valid[:, i].tolist()
