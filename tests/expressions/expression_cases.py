"""Strategies: typed expression texts and rows, for the tests that hold our evaluator equal to its oracles."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import strategies as st

from shoal.events.schema import Kind

COLUMNS: dict[str, Kind] = {
    "b1": Kind.BOOL, "b2": Kind.BOOL, "i1": Kind.INT, "i2": Kind.INT, "f1": Kind.FLOAT, "f2": Kind.FLOAT,
    "t1": Kind.TEXT, "t2": Kind.TEXT, "url": Kind.TEXT, "m1": Kind.TIME, "m2": Kind.TIME,
}  # fmt: skip
LISTS = {"office": frozenset({"a", "é", "Ab", "login.failed"}), "none": frozenset[str]()}

_INTS = [0, 1, -1, 2, 3, 7, -7, 10, 255, 2**31, 2**53 + 1, 2**62, -(2**62), 2**63 - 1, -(2**63), 3037000500]
_FLOATS = [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.1, 1e-300, 1e300, -1e300, 1.7e308, 2.0**53, 9.3e18, -9.3e18, 90.0]
_TEXTS = [
    "", "a", "A", "Ab", "ab", "aBc", "a%b", "a_b", "%", "_", "login.failed", "é", "É", "日本", "a\nb", " a ", "\t",
    "10", "-3",    "1.5", "1e3", ".5",
    "x\\y", "'", "[a]", "a.b.c", "report.PDF", "𝒳y",
]  # fmt: skip
_URLS = [
    "http://Ex.org/a/b.exe?q=1#f", "https://u:p@Host.example:8443/x", "ftp://h", "http://[::1]:80/p", "mailto:a@b",
    "http://good.example\\@evil.example/z", "//nohost", "http:///path", "javascript:alert(1)", "http://a@b@c/", "",
]  # fmt: skip
_TIMES = [0, 1, -1, 1_700_000_000_000_000, 1_709_164_800_000_000, -62_135_596_800_000_000, 253_402_300_799_999_999]
_CONSTANT_TEXTS = ["", "a", "A", "b", "Ab", "é", "日", "a%b", "login", "."]
_PATTERNS = ["%", "a%", "%b", "%a%", "a_b", "_", "__", "", "A%", "%é", "日_", "a!%b", "%!_%", "[a]", "%\\%", "É", "%.%"]
_REGEXES = ["^a", "b$", "[0-9]+", "a|b", "(?i)ab", "^.$", "\\.", "", "é"]


def rows() -> st.SearchStrategy[list[dict[str, Any]]]:
    """A handful of rows with nulls and extremes in every column."""
    values: dict[Kind, st.SearchStrategy[Any]] = {
        Kind.BOOL: st.booleans(),
        Kind.INT: st.sampled_from(_INTS) | st.integers(-100, 100),
        Kind.FLOAT: st.sampled_from([*_FLOATS, float("nan"), float("inf"), float("-inf")])
        | st.floats(-1e6, 1e6, allow_nan=False),
        Kind.TEXT: st.sampled_from(_TEXTS),
        Kind.TIME: st.sampled_from(_TIMES) | st.integers(0, 4_000_000_000_000_000),
    }
    row = {name: st.none() | values[kind] for name, kind in COLUMNS.items()}
    row["url"] = st.none() | st.sampled_from(_URLS)
    return st.lists(st.fixed_dictionaries(row), min_size=1, max_size=6)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _leaf(draw: st.DrawFn, kind: Kind) -> str:
    if kind is not Kind.BOOL and draw(st.integers(0, 5)) == 0:
        if kind is Kind.INT:
            number = draw(st.sampled_from(_INTS))
            return str(number) if number >= 0 else f"({number})"
        if kind is Kind.FLOAT:
            return f"({draw(st.sampled_from(_FLOATS))!r})"
        if kind is Kind.TEXT:
            return _quoted(draw(st.sampled_from(_CONSTANT_TEXTS)))
        return "CAST('2024-02-29T12:34:56.5+01:00' AS TIMESTAMP)"
    if draw(st.integers(0, 15)) == 0:
        return {Kind.BOOL: "NULL", Kind.INT: "CAST(NULL AS INT)", Kind.FLOAT: "CAST(NULL AS DOUBLE)"}.get(
            kind, "nullif(t1, t1)" if kind is Kind.TEXT else "nullif(m1, m1)"
        )
    return draw(st.sampled_from([name for name, k in COLUMNS.items() if k is kind]))


_FORMS: dict[Kind, list[str]] = {
    Kind.BOOL: [
        "({B} AND {B})", "({B} OR {B} OR {B})", "(NOT {B})", "({B} IS NULL)", "({X} IS NOT NULL)", "({B} IS TRUE)",
        "({B} IS NOT FALSE)", "({I} {c} {I})", "({F} {c} {F})", "({I} {c} {F})", "({T} {c} {T})", "({M} {c} {M})",
        "({B} = {B})", "({B} <> {B})", "({I} BETWEEN {I} AND {I})", "({T} BETWEEN {T} AND {T})",
        "({F} NOT BETWEEN {F} AND {I})", "({I} IN (1, -7, {n}))",
        "({F} NOT IN (0.5, 2, {n}))", "({T} IN ('a', 'é', NULL))",
        "({I} NOT IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, {n}))", "({T} NOT IN ('', 'Ab'))", "({B} IN (TRUE, {B}))",
        "({T} IN list('office'))", "({T} NOT IN list('none'))", "({I} IS DISTINCT FROM {I})", "({I} IN ({I}, 1))",
        "({F} IS NOT DISTINCT FROM {F})", "({B} IS DISTINCT FROM {B})", "({T} IS DISTINCT FROM {T})",
        "({T} LIKE {p})", "({T} NOT LIKE {p} ESCAPE '!')", "({T} ILIKE {p})", "starts_with({T}, {k})",
        "ends_with({T}, {k})", "contains({T}, {k})", "regexp_matches({T}, {r})", "CAST({I} AS BOOLEAN)",
        "CASE WHEN {B} THEN {B} ELSE {B} END", "coalesce({B}, {B})", "nullif({B}, {B})", "if({B}, {B}, {B})",
        "({M} > '2023-11-14T22:13:20Z')", "(url_host({T}) IS NULL)",
    ],
    Kind.INT: [
        "({I} + {I})", "({I} - {I})", "({I} * {I})", "({I} // {I})", "({I} % {I})", "(- {I})", "abs({I})",
        "least({I}, {I}, {I})", "greatest({I}, {I})", "length({T})", "strpos({T}, {k})", "hour({M})", "minute({M})",
        "second({M})", "dayofweek({M})", "CAST({F} AS INT)", "CAST({B} AS INT)", "CAST({T} AS INT)",
        "coalesce({I}, {I}, {I})", "nullif({I}, {I})", "CASE WHEN {B} THEN {I} WHEN {B} THEN {I} END", "round({I})",
        "CASE {I} WHEN 1 THEN {I} ELSE 2 END", "extract(hour FROM {M})",
    ],
    Kind.FLOAT: [
        "({F} + {F})", "({F} - {I})", "({F} * {F})", "({I} / {I})", "({F} / {F})", "({F} // {F})", "({F} % {F})",
        "(- {F})", "abs({F})", "least({F}, {I})", "greatest({F}, {F})", "floor({F})", "ceil({F})", "round({F})",
        "trunc({F})", "sqrt({F})", "({M} - {M})", "epoch({M})", "CAST({I} AS DOUBLE)", "CAST({T} AS DOUBLE)",
        "CAST({B} AS DOUBLE)", "coalesce({F}, {I})", "nullif({F}, {F})", "CASE WHEN {B} THEN {F} ELSE {I} END",
        "({M} - '2024-01-01')",
    ],
    Kind.TEXT: [
        "lower({T})", "upper({T})", "trim({T})", "substr({T}, 2)", "substr({T}, 1, 2)", "({T} || {T})",
        "concat({T}, '-', {T})", "url_host({T})", "url_scheme({T})", "url_path({T})", "file_extension({T})",
        "coalesce({T}, {T})", "nullif({T}, {T})", "CASE WHEN {B} THEN {T} ELSE {T} END", "CAST({I} AS TEXT)",
        "CAST({B} AS TEXT)",
    ],
    Kind.TIME: [
        "({M} + {F})", "({M} - INTERVAL '90' MINUTE)", "least({M}, {M})", "greatest({M}, {M}, {M})",
        "coalesce({M}, {M})", "CASE WHEN {B} THEN {M} END", "nullif({M}, {M})", "({I} + {M})",
    ],
}  # fmt: skip
_LETTERS = {"B": Kind.BOOL, "I": Kind.INT, "F": Kind.FLOAT, "T": Kind.TEXT, "M": Kind.TIME}


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> str:
    """A well-typed expression of any kind."""
    return _expression(draw, draw(st.sampled_from([Kind.BOOL, *Kind])), depth)


def _expression(draw: st.DrawFn, kind: Kind, depth: int) -> str:
    if depth == 0 or draw(st.integers(0, 9)) == 0:
        return _leaf(draw, kind)
    form = draw(st.sampled_from(_FORMS[kind]))
    made = ""
    while "{" in form:
        before, _, rest = form.partition("{")
        slot, _, form = rest.partition("}")
        made += before + _slot(draw, slot, depth - 1)
    return made + form


def _slot(draw: st.DrawFn, slot: str, depth: int) -> str:
    if slot == "X":
        return _expression(draw, draw(st.sampled_from(list(Kind))), depth)
    if slot in _LETTERS:
        return _expression(draw, _LETTERS[slot], depth)
    if slot == "c":
        return draw(st.sampled_from(["=", "<>", "<", "<=", ">", ">="]))
    if slot == "n":
        return draw(st.sampled_from(["NULL", "NULL", "1"])) if depth % 2 else "NULL"
    return _quoted(draw(st.sampled_from({"p": _PATTERNS, "k": _CONSTANT_TEXTS, "r": _REGEXES}[slot])))


def every_form() -> list[str]:
    """Each form once on plain columns, and once for each pattern or constant that it may take."""
    found = []
    for forms in _FORMS.values():
        for form in forms:
            for number in range(18 if any(slot in form for slot in ("{p}", "{k}", "{r}", "{c}")) else 2):
                found.append(_filled(form, number))
    return sorted(set(found))


def _filled(form: str, number: int) -> str:
    columns = {"B": ["b1", "b2"], "I": ["i1", "i2"], "F": ["f1", "f2"], "T": ["t1", "t2", "url"], "M": ["m1", "m2"]}
    others = {
        "c": ["=", "<>", "<", "<=", ">", ">="],
        "n": ["NULL", "1"] if "{T} IN" not in form else ["NULL"],
        "X": ["t1", "f1", "b1"],
        "p": [_quoted(text) for text in _PATTERNS],
        "k": [_quoted(text) for text in _CONSTANT_TEXTS],
        "r": [_quoted(text) for text in _REGEXES],
    }
    made, place = "", number // 6 if "{T} " in form else 0
    while "{" in form:
        before, _, rest = form.partition("{")
        slot, _, form = rest.partition("}")
        choices = columns.get(slot) or others[slot]
        made += before + choices[(place if slot in columns else number) % len(choices)]
        place += slot in columns
    return made + form


def extreme_rows(count: int = 240) -> list[dict[str, Any]]:
    """Rows that pair the extremes of each kind, always the same ones."""
    pools: dict[Kind, list[Any]] = {
        Kind.BOOL: [True, False, None],
        Kind.INT: [*_INTS, None, 5, -3],
        Kind.FLOAT: [*_FLOATS, None, float("nan"), float("inf"), 3.7, -7.5, 2.0],
        Kind.TEXT: [*_TEXTS, *_URLS, None],
        Kind.TIME: [*_TIMES, None],
    }
    random = Random(5)
    return [{name: random.choice(pools[kind]) for name, kind in COLUMNS.items()} for _ in range(count)]
