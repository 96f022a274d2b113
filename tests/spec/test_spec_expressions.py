"""The page docs/expressions.md is true: every example is executed, by us and by DuckDB; every function is listed."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from shoal.events.identity import Identity
from shoal.events.schema import BY_NAME, Kind
from shoal.expressions.compile import Scope, compile_expression
from shoal.expressions.frame import Frame, Layout
from shoal.expressions.functions import FUNCTIONS
from shoal.expressions.kinds import time_of
from shoal.expressions.program import Program

PAGE = (Path(__file__).parents[2] / "docs" / "expressions.md").read_text(encoding="utf-8")
IDENTITY = Identity(b"0123456789abcdef")
KINDS = {name: spec.kind for name, spec in BY_NAME.items()}
LAYOUT = Layout.of(KINDS)


class TextList:
    kind = "text"

    def __init__(self, texts: frozenset[str]) -> None:
        self.texts = texts

    def contains(self, texts: pa.Array) -> Any:
        raise AssertionError("a list of texts is compared by id")


def _row() -> dict[str, Any]:
    found = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return dict(json.loads(found.group(1)))


GIVEN = _row()
LISTS = {name: TextList(frozenset(texts)) for name, texts in GIVEN.pop("lists").items()}
ROW = {name: time_of(value) if value and KINDS[name] is Kind.TIME else value for name, value in GIVEN.items()}
EXAMPLES = [
    (left.replace("\\|", "|"), json.loads(right))
    for left, right in re.findall(r"^\| `(.+?)` \| `(.+?)`[^|`]*\|$", PAGE, re.MULTILINE)
]


def test_the_page_has_its_examples() -> None:
    tables = [block for block in PAGE.split("\n\n") if block.startswith("| expression | value |")]
    assert len(tables) == 7
    assert sum(block.count("\n| ") for block in tables) == len(EXAMPLES) > 70


@pytest.fixture(scope="module")
def connection() -> Any:
    made = duckdb.connect()
    for name, found in LISTS.items():
        made.execute(f"SET VARIABLE list_{name} = ?::VARCHAR[]", [sorted(found.texts)])
    table = pa.table({name: pa.array([ROW.get(name)], kind.arrow) for name, kind in KINDS.items()})
    made.register("events", table)
    yield made
    made.close()


def _same(got: object, wanted: object) -> bool:
    if isinstance(got, float) and isinstance(wanted, float):
        return math.isclose(got, wanted, rel_tol=1e-12)
    return type(got) is type(wanted) and got == wanted


@pytest.mark.parametrize(("text", "wanted"), EXAMPLES, ids=[text for text, _ in EXAMPLES])
def test_example(connection: Any, text: str, wanted: object) -> None:
    expression = compile_expression(text, Scope(KINDS, frozenset(LISTS)))
    (value,), (known,) = Program([expression], LAYOUT, IDENTITY, LISTS).run(Frame.of_rows([ROW], LAYOUT, IDENTITY))
    raw: Any = value
    if expression.kind is Kind.FLOAT:
        raw = value.view(np.float64)
    elif expression.kind is Kind.BOOL:
        raw = value.astype(np.bool_)
    got = raw.tolist()[0] if known[0] else None
    theirs = connection.execute(f"SELECT {expression.duckdb()} FROM events").fetchone()[0]
    assert _same(theirs, wanted)
    assert _same(got, IDENTITY.id_of(wanted) if isinstance(wanted, str) else wanted)


def test_every_function_is_listed_as_it_is() -> None:
    rows = re.findall(r"^\| `(\w+)(\(.*?\))` \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    listed = {name: (name + rest, result, doc.replace("\\|", "|")) for name, rest, result, doc in rows}
    assert listed == {
        name: (f.signature, f.result.name if f.result is not None else "the same kind", f.doc)
        for name, f in FUNCTIONS.items()
    }
