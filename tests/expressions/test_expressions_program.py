"""What a Program promises beside its values: lists, texts needed, arrays given, layouts refused, shared work."""

from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from shoal.errors import InvalidInput
from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.expressions.compile import Scope, compile_expression
from shoal.expressions.frame import Frame, Layout
from shoal.expressions.machine import machine_kernel, text_kernel
from shoal.expressions.machine.lower import Lowering
from shoal.expressions.machine.texts import CHARACTERS, FILE_EXTENSION, URL_HOST, URL_PATH, URL_SCHEME
from shoal.expressions.program import Program, warm

IDENTITY = Identity(b"0123456789abcdef")
COLUMNS = {"ip": Kind.TEXT, "name": Kind.TEXT, "n": Kind.INT, "x": Kind.FLOAT, "b": Kind.BOOL, "t": Kind.TIME}
LAYOUT = Layout.of(COLUMNS)
SCOPE = Scope(COLUMNS, frozenset({"office", "names"}))


class Ranges:
    """A list of address ranges, as `shoal.ranges` makes them."""

    kind = "address"
    texts: frozenset[str] = frozenset()

    def __init__(self, *ranges: str) -> None:
        self.ranges = [ipaddress.ip_network(text) for text in ranges]

    def contains(self, texts: pa.Array) -> npt.NDArray[np.bool_]:
        found = [t is not None and any(ipaddress.ip_address(t) in r for r in self.ranges) for t in texts.to_pylist()]
        return np.array(found, dtype=np.bool_)


class Names(Ranges):
    kind = "text"

    def __init__(self, *texts: str) -> None:
        self.texts = frozenset(texts)


LISTS: dict[str, Any] = {"office": Ranges("10.0.0.0/8", "2001:db8::/32"), "names": Names("a", "b")}


def run(texts: list[str], rows: list[dict[str, Any]]) -> list[list[Any]]:
    expressions = [compile_expression(text, SCOPE) for text in texts]
    frame = Frame.of_rows(rows, LAYOUT, IDENTITY)
    values, valid = Program(expressions, LAYOUT, IDENTITY, LISTS).run(frame)
    return [
        [v if ok else None for v, ok in zip(a.tolist(), b, strict=True)] for a, b in zip(values, valid, strict=True)
    ]


@pytest.mark.parametrize("repeated", [1, 100])
def test_lists_of_ranges(repeated: int) -> None:
    rows = [{"ip": ip} for ip in ("10.1.2.3", "11.0.0.1", None, "2001:db8::5")] * repeated
    inside, outside, computed = run(
        ["ip IN list('office')", "ip NOT IN list('office')", "coalesce(ip, '10.9.9.9') IN list('office')"], rows
    )
    assert inside == [1, 0, None, 1] * repeated
    assert outside == [0, 1, None, 0] * repeated
    assert computed == [1, 0, 1, 1] * repeated


def test_texts_needed() -> None:
    def needed(text: str) -> tuple[frozenset[str], frozenset[str]]:
        expression = compile_expression(text, SCOPE)
        return expression.text_columns, Program([expression], LAYOUT, IDENTITY, LISTS).text_columns

    nothing: frozenset[str] = frozenset()
    assert needed("name = 'a' OR name IN ('b', 'c') OR coalesce(ip, name) <> 'd'") == (nothing, nothing)
    assert needed("name LIKE 'a%'") == ({"name"}, {"name"})
    assert needed("ip IN list('office')") == ({"ip"}, {"ip"})
    assert needed("name IN list('names')") == ({"name"}, nothing)  # the kind of a list is known to the Program alone
    assert needed("length(CASE WHEN ip LIKE '1%' THEN name ELSE 'x' END) > 1") == ({"ip", "name"}, {"ip", "name"})
    assert needed("name < 'b'") == ({"name"}, {"name"})


def test_missing_texts_are_null() -> None:
    frame = Frame.of_rows([{"n": 1}, {"n": 2}], LAYOUT, IDENTITY)
    frame.texts = {}
    values, valid = Program([compile_expression("name LIKE 'a%'", SCOPE)], LAYOUT, IDENTITY).run(frame)
    assert valid.tolist() == [[0, 0]]
    assert values.tolist() == [[0, 0]]


def test_arrays_that_are_given_are_filled() -> None:
    program = Program([compile_expression("n + 1", SCOPE), compile_expression("x > 1", SCOPE)], LAYOUT, IDENTITY)
    frame = Frame.of_rows([{"n": 1, "x": 2.0}, {"n": None, "x": None}], LAYOUT, IDENTITY)
    values, valid = np.full((2, 8), 77, np.int64), np.full((2, 8), 77, np.uint8)
    got = program.run(frame, values, valid)
    assert got[0] is values
    assert got[1] is valid
    assert values.tolist() == [[2, 0] + [77] * 6, [1, 0] + [77] * 6]
    assert valid.tolist() == [[1, 0] + [77] * 6, [1, 0] + [77] * 6]
    assert program.kinds == (Kind.INT, Kind.BOOL)


def test_arrays_that_are_parts_of_others_are_filled() -> None:
    program = Program([compile_expression("n + 1", SCOPE)], LAYOUT, IDENTITY)
    frame = Frame.of_rows([{"n": 1}, {"n": None}], LAYOUT, IDENTITY)
    values, valid = np.full((2, 8), 77, np.int64), np.full((2, 8), 77, np.uint8)
    program.run(frame, values[1:, 3:6], valid[1:, 3:6])
    assert values[1].tolist() == [77, 77, 77, 2, 0, 77, 77, 77]
    assert valid[1].tolist() == [77, 77, 77, 1, 0, 77, 77, 77]
    assert (values[0] == 77).all()


def test_after_warm_nothing_is_compiled() -> None:
    """Neither texts of a message (memory that may not be written) nor one row bring another compilation."""
    warm()
    kernels = [machine_kernel.run_code, text_kernel.match_rows, text_kernel.match_chosen]
    kernels += [text_kernel.part_rows, text_kernel.code_rows]
    before = [len(kernel.signatures) for kernel in kernels]
    assert all(before)
    texts = ["url_host(name) ILIKE 'a%'", "n = 3 AND name LIKE 'h%'"]
    program = Program([compile_expression(text, SCOPE) for text in texts], LAYOUT, IDENTITY)
    table = pa.table({"name": ["http://b/", "http://A/"] * 50, "n": range(100)})
    for size in (1, 2, 100):
        frame = Frame.empty(LAYOUT, size)
        frame.fill(table.slice(0, size), IDENTITY)
        assert program.run(frame)[0][0].tolist() == [0, 1] * (size // 2) + [0] * (size % 2)
    assert [len(kernel.signatures) for kernel in kernels] == before


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 1000])
def test_sizes_around_a_tile(size: int) -> None:
    frame = Frame.empty(LAYOUT, 1024)
    frame.size = size
    frame.values[LAYOUT.index["n"]] = np.arange(1024)
    frame.valid[LAYOUT.index["n"]] = 1
    values, valid = Program([compile_expression("n * 2", SCOPE)], LAYOUT, IDENTITY).run(frame)
    assert values.tolist() == [list(range(0, 2 * size, 2))]
    assert valid.all()
    assert values.shape == valid.shape == (1, size)


def test_no_expressions() -> None:
    values, valid = Program([], LAYOUT, IDENTITY).run(Frame.of_rows([{"n": 1}], LAYOUT, IDENTITY))
    assert values.shape == valid.shape == (0, 1)


def test_equal_parts_are_computed_once() -> None:
    texts = ["n * 2 > 5 AND b", "n * 2 > 5 OR b", "NOT (n * 2 > 5)"]
    lowering = Lowering(LAYOUT, IDENTITY.id_of, {})
    code = lowering.lower([compile_expression(text, SCOPE).root for text in texts])
    assert len(code.instructions) == 2 + 2 + 3 + 3  # loads, shared product and comparison, three roots, three stores


def test_registers_are_used_again() -> None:
    text = " AND ".join(f"n % {i} > {i // 2}" for i in range(1, 200))
    code = Lowering(LAYOUT, IDENTITY.id_of, {}).lower([compile_expression(text, SCOPE).root])
    assert code.numbers - len(code.number_constants) <= 4
    assert code.truths <= 4


def test_layouts_that_do_not_fit_are_refused() -> None:
    expression = compile_expression("n > 1 AND name = 'a' AND ip IN list('office')", SCOPE)
    layout = Layout.of({"n": Kind.FLOAT, "nam": Kind.TEXT, "ip": Kind.TEXT})
    with pytest.raises(InvalidInput) as caught:
        Program([expression], layout, IDENTITY, {"offices": LISTS["office"]})
    told = {problem.slug: problem for problem in caught.value.problems}
    assert set(told) == {"expression.type", "expression.unknown_column", "expression.unknown_list"}
    assert told["expression.unknown_column"].nearest == "nam"
    assert told["expression.unknown_list"].nearest == "offices"


def test_erased_texts_share_their_id_but_not_their_characters() -> None:
    erased = IDENTITY.erased("login.failed.x")
    rows = [{"name": text} for text in ("login.failed.x", erased)] * 100
    same, like, length = run(["name = 'login.failed.x'", "name LIKE 'login%'", "length(name) = 14"], rows)
    assert same == [1, 1] * 100
    assert like == [1, 0] * 100
    assert length == [1, 0] * 100


URLS = [
    "http://a.b/c?d#e", "http://A.b:1", "http://u@x", "http://u@", "http://@", "http://a@b@c:2/d", "http://[::1]/",
    "x:", "http:/\\h/p", "http:\\\\h\\p", "http:///p", "http://?q", "  http://sp/", "http://[a@b]/", "http://é.example/Ä?",
    "1:a", "", ":", "http", "http:", "http:/", "http://", "a.b", ".a", "a.", "a/.b", "a/b.c", "a\\b.C", "..",
    "a..b", "a\nb.c",    "http://a:b@c", "http://u@:80/", "http://[x", "a.É",
]  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "pattern"),
    [("url_scheme", URL_SCHEME), ("url_host", URL_HOST), ("url_path", URL_PATH), ("file_extension", FILE_EXTENSION)],
)
def test_parts_are_what_their_patterns_say(operation: str, pattern: str) -> None:
    import pyarrow.compute as pc

    named = pattern.replace("(", "(?P<part>", 1) if "(?:" not in pattern else pattern.replace("(\\[", "(?P<part>\\[", 1)
    texts = pa.array([None, *URLS, None], pa.string())
    wanted = pc.struct_field(pc.extract_regex(texts, named), [0])
    if operation != "url_path":
        wanted = pc.utf8_lower(wanted)
    assert CHARACTERS[operation](None, texts).to_pylist() == wanted.to_pylist()
    assert CHARACTERS[operation](None, texts.slice(3, 5)).to_pylist() == wanted.slice(3, 5).to_pylist()
