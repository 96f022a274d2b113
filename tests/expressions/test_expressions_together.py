"""What makes many rules cheap changes nothing: together = each alone = row by row = the slow twin.

Texts are read only where the rest of a condition leaves it open, null texts are left out, parts without columns are
computed once, equal parts are shared: each is held here against a way of computing that has none of it.
"""

from __future__ import annotations

from typing import Any

import expression_cases as cases
import numpy as np
import pytest
import test_expressions_duckdb as shared
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import expressions_oracle
from shoal.events.schema import Kind
from shoal.expressions.compile import compile_expression
from shoal.expressions.frame import Frame
from shoal.expressions.machine import stage
from shoal.expressions.machine.demand import MAX_LEVELS
from shoal.expressions.machine.fold import constant_parts, replace_parts
from shoal.expressions.program import Program
from shoal.expressions.tree import Node

IDENTITY, LAYOUT, SCOPE, LISTS = shared.IDENTITY, shared.LAYOUT, shared.SCOPE, shared.LISTS
CHEAP = [
    "i1 = 7",
    "i1 <> 7",
    "i2 > 10",
    "f1 <= 0.5",
    "2.5 > f2",
    "b1",
    "i1 IN (7, 10)",
    "t2 = 'a'",
    "b2 IS NULL",
    "i1 < 3 * 4",
]
TEXTS = [
    "t1 LIKE '%a%'", "t1 ILIKE 'A%'", "ends_with(t1, 'b')", "url_host(url) = 'host.example'", "length(t1) > 3",
    "file_extension(t1) IN ('pdf', 'c')", "coalesce(lower(t1), 'none') = 'none'", "t1 < t2", "t1 ILIKE '%É%'",
    "CASE WHEN b1 THEN t1 ELSE t2 END LIKE 'a%'", "substr(t1, 1, 1) BETWEEN 'a' AND 'm'", "(t1 || t2) LIKE '%a%'",
]  # fmt: skip


def _grown(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    chain = st.lists(parts, min_size=2, max_size=4)
    return st.one_of(
        chain.map(lambda found: f"({' AND '.join(found)})"),
        chain.map(lambda found: f"({' OR '.join(found)})"),
        parts.map(lambda one: f"(NOT {one})"),
        parts.map(lambda one: f"({one} IS TRUE)"),
        st.tuples(parts, parts, parts).map(lambda three: "CASE WHEN {} THEN {} ELSE {} END".format(*three)),
    )


CONDITIONS = st.recursive(st.sampled_from([f"({text})" for text in CHEAP + TEXTS]), _grown, max_leaves=10)


def run(texts: list[str], rows: list[dict[str, Any]]) -> tuple[Any, Any]:
    program = Program([compile_expression(text, SCOPE) for text in texts], LAYOUT, IDENTITY, LISTS)
    return program.run(Frame.of_rows(rows, LAYOUT, IDENTITY))


@settings(max_examples=25, deadline=None)
@given(st.lists(CONDITIONS, min_size=1, max_size=4), cases.rows(), st.integers(0, 3))
def test_together_alone_row_by_row_and_the_twin(texts: list[str], few: list[dict[str, Any]], seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = [few[i] | ({} if random.random() < 0.1 else {"i1": 5}) for i in random.integers(0, len(few), 150)]
    rows += [row | {"i1": 7} for row in few]  # some rows, under a quarter, meet the rare condition
    expressions = [compile_expression(text, SCOPE) for text in texts]
    program = Program(expressions, LAYOUT, IDENTITY, LISTS)
    values, valid = program.run(Frame.of_rows(rows, LAYOUT, IDENTITY))
    truths = np.full((len(texts), len(rows)), 9, np.int8)
    program.truths(Frame.of_rows(rows, LAYOUT, IDENTITY), truths)
    assert np.array_equal(truths, np.where(valid == 0, 2, values))
    for number, expression in enumerate(expressions):
        alone, good = Program([expression], LAYOUT, IDENTITY, LISTS).run(Frame.of_rows(rows, LAYOUT, IDENTITY))
        assert np.array_equal(alone[0], values[number])
        assert np.array_equal(good[0], valid[number])
    for at in range(0, len(rows), 13):
        one, good = program.run(Frame.of_rows(rows[at : at + 1], LAYOUT, IDENTITY))
        assert one[:, 0].tolist() == values[:, at].tolist(), texts
        assert good[:, 0].tolist() == valid[:, at].tolist(), texts
        for number, expression in enumerate(expressions):
            wanted = expressions_oracle.evaluate(expression.root, rows[at], cases.LISTS)
            assert (bool(values[number, at]) if valid[number, at] else None) == wanted, (texts[number], rows[at])


def test_each_operation_on_few_rows_is_what_it_is_on_all() -> None:
    """Each form behind a rare condition, against the form alone: chosen rows, null texts left out, one row."""
    rows = cases.extreme_rows(300)
    for i, row in enumerate(rows):
        row["rare"] = i % 9 == 0
        if i % 3:
            row["t1"] = row["t2"] = None
    rows = [row | {"i2": 7 if row.pop("rare") else 8} for row in rows]
    forms = cases.every_form()
    guarded = [f"CASE WHEN i2 = 7 THEN ({form}) END" for form in forms]
    whole, good = run(forms, rows)
    few, few_good = run(guarded, rows)
    rare = np.array([row["i2"] == 7 for row in rows])
    assert np.array_equal(few_good, good * rare)
    assert np.array_equal(few, whole * rare)
    program = Program([compile_expression(form, SCOPE) for form in forms], LAYOUT, IDENTITY, LISTS)
    for at in range(0, len(rows), 4):
        one, one_good = program.run(Frame.of_rows(rows[at : at + 1], LAYOUT, IDENTITY))
        different = np.flatnonzero((one[:, 0] != whole[:, at]) | (one_good[:, 0] != good[:, at]))
        assert not len(different), (forms[different[0]], rows[at])


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each LIKE looked at."""
    looked: list[int] = []
    matches = stage.matches

    def counted(op: str, constants: Any, texts: Any, rows: Any = None) -> Any:
        looked.append(len(texts) if rows is None else len(rows))
        return matches(op, constants, texts, rows)

    monkeypatch.setattr(stage, "matches", counted)
    return looked


@pytest.mark.parametrize(
    ("texts", "looked"),
    [
        (["i1 = 1 AND t1 LIKE 'a%'"], [10]),
        (["t1 LIKE 'a%' AND b1 AND i1 = 1"], [10]),
        (["i1 <> 1 OR t1 LIKE 'a%'"], [10]),
        (["i1 = 1 AND (t1 LIKE 'a%' OR i2 = 1)"], [5]),
        (["CASE WHEN i1 = 1 THEN t1 LIKE 'a%' ELSE b1 END"], [10]),
        (["i1 = 1 AND t1 LIKE 'a%'", "i1 = 2 AND t1 LIKE 'a%'"], [20]),
        (["i1 = 1 AND NOT (t1 LIKE 'a%')", "i1 = 2 AND t1 LIKE 'b%'"], [10, 10]),
        (["i1 = -1 AND t1 LIKE 'a%'"], []),
        (["i1 = 1 AND t1 LIKE 'a%'", "t1 LIKE 'a%'"], [200]),
        (["t1 LIKE 'a%'"], [200]),
        (["t2 LIKE 'a%'"], [20]),
        (["coalesce(t2, 'a') LIKE 'a%'"], [21]),  # once per distinct text, null among them
        (["i1 IS NULL AND t1 LIKE 'a%'"], []),
    ],
)
def test_texts_are_read_where_they_matter(texts: list[str], looked: list[int], read: list[int]) -> None:
    rows = [
        {"i1": i // 10, "i2": i % 2, "b1": True, "t1": f"a{i}", "t2": None if i % 10 else f"b{i}"} for i in range(200)
    ]
    run(texts, rows)
    assert read == looked


def test_one_row_reads_no_text_that_does_not_matter(read: list[int]) -> None:
    program = Program([compile_expression("i1 = 1 AND t1 LIKE 'a%'", SCOPE)], LAYOUT, IDENTITY, LISTS)
    one: list[tuple[dict[str, Any], int]] = [
        ({"i1": 2}, 0), ({"i1": 1}, 1), ({"i1": 1, "t1": "b"}, 0), ({"t1": "a"}, 0), ({"i1": 1}, 1),
    ]  # fmt: skip
    for row, wanted in one:
        assert program.run(Frame.of_rows([{"t1": "a1"} | row], LAYOUT, IDENTITY))[0][0, 0] == wanted
    assert read == [1, 1, 1]  # a1, b, a; the second a1 is remembered


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch, read: list[int]) -> None:
    monkeypatch.setattr(stage, "MAX_REMEMBERED", 3)
    monkeypatch.setattr(stage, "MAX_REMEMBERED_CHARACTERS", 5)
    program = Program([compile_expression("t1 LIKE '%a%'", SCOPE)], LAYOUT, IDENTITY, LISTS)
    for text in ["a", "a", "bbbbbb", "bbbbbb", "c", "d", "a", "e", "a"]:
        got = program.run(Frame.of_rows([{"t1": text}], LAYOUT, IDENTITY))[0]
        assert got[0, 0] == ("a" in text)
    assert len(read) == 7  # a; b twice (too long); c, d; e after all was forgotten; a again


def test_guards_of_deep_conditions() -> None:
    """Deeper than guards are followed: wider guards, the same values."""
    text = "t1 LIKE '%a%'"
    for level in range(MAX_LEVELS // 2):  # three operations each
        text = f"i1 <> {level} AND (i2 = {level} OR NOT ({text}))"
    rows = [{"i1": i % 50, "i2": i % 47, "t1": "ab"[i % 2]} for i in range(300)]
    values, valid = run([text], rows)
    root = compile_expression(text, SCOPE).root
    for row, value, good in zip(rows, values[0].tolist(), valid[0].tolist(), strict=True):
        assert (bool(value) if good else None) == expressions_oracle.evaluate(root, row, cases.LISTS)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("i1 > 7 * 86400", ["mul"]),
        ("i1 > 7", []),
        ("f1 < 1 / 0", ["div"]),
        ("upper('a') = 'A' AND b1", ["eq"]),
        ("t1 = lower('A')", []),
        ("coalesce(nullif(1, 1), 2) + 1 > i1", ["add"]),
        ("'a' IN list('office')", []),
    ],
)
def test_parts_without_columns(text: str, parts: list[str]) -> None:
    root = compile_expression(text, SCOPE).root
    found = constant_parts([root])
    assert [part.op for part in found] == parts
    for part in found:
        assert all(node.op != "column" for node in part.walk())
    leaf = Node("null", Kind.INT)
    replaced = replace_parts(root, {id(part): leaf for part in found})
    assert [node.op for node in replaced.walk()].count("null") >= len(parts)
    assert constant_parts([replace_parts(root, {})]) == found
