"""Malformed and hostile expressions: a table of inputs and the problems that each gets."""

from __future__ import annotations

import pytest

from shoal.errors import InvalidInput, Where
from shoal.events.schema import BY_NAME, Kind
from shoal.expressions.compile import Scope, compile_expression

COLUMNS = {name: spec.kind for name, spec in BY_NAME.items()} | {"account.fails_1h": Kind.INT, "odd name": Kind.INT}
SCOPE = Scope(COLUMNS, frozenset({"office", "exits"}))

REFUSED: list[tuple[str, set[str]]] = [
    ("", {"empty"}),
    ("   \n", {"empty"}),
    ("-- only a comment", {"empty"}),
    ("/* a */", {"empty"}),
    ("items = 'x' || ", {"syntax"}),
    ("items >", {"syntax"}),
    ("(items > 1", {"syntax"}),
    ("items > 1)", {"syntax"}),
    ("'open", {"syntax"}),
    ("CASE WHEN external THEN 1", {"syntax"}),
    ("/* open", {"syntax", "empty"}),
    ("items = 1; drop table events", {"token", "statement"}),
    ("items = 1;", {"token"}),
    ("items = ?", {"token"}),
    ("items = @v", {"token"}),
    ("items = $1", {"unknown_column"}),
    ("items = :v", {"token"}),
    ("items = {{ x }}", {"token"}),
    ("{'a': 1}", {"token"}),
    ("[1, 2][1] = 1", {"token"}),
    ("items & 1 = 1", {"token"}),
    ("items | 1 = 1", {"token"}),
    ("items ^ 2", {"token"}),
    ("~items", {"token"}),
    ("!external", {"token"}),
    ("`items`", {"token"}),
    ("items # 1", {"token"}),
    ("attributes -> 'a'", {"token"}),
    ("f(x -> x + 1)", {"token"}),
    ("type = N'a'", {"token"}),
    ("N'type' = N'ip'", {"token"}),
    ("items <=> 1", {"token"}),
    ("type ~ 'a'", {"token"}),
    ("type \x00= 'a'", {"characters"}),
    ("type = '\x01erased:0011223344556677'", {"characters"}),
    ("type = '\ud800'", {"characters"}),
    ("SELECT 1", {"statement"}),
    ("(SELECT 1)", {"statement"}),
    ("items IN (SELECT items FROM events)", {"statement"}),
    ("EXISTS (SELECT 1)", {"statement"}),
    ("items = ANY (1, 2)", {"unknown_function"}),
    ("WITH x AS (SELECT 1) SELECT 1", {"statement"}),
    ("drop table events", {"statement"}),
    ("FROM events", {"node", "statement"}),
    ("count(*)", {"unknown_function"}),
    ("sum(items) OVER (PARTITION BY account)", {"statement", "token"}),
    ("coalesce(DISTINCT items)", {"node"}),
    ("items AS x", {"node", "syntax"}),
    ("items x", {"node", "syntax"}),
    ("1x", {"node"}),
    ("type r'a'", {"syntax"}),
    ("r'type'", {"node", "syntax"}),
    ("'a' 'b' = type", {"node"}),
    ("(items, items) = (1, 2)", {"node"}),
    ("*", {"node", "syntax"}),
    ("type COLLATE x", {"node", "syntax"}),
    ("time AT TIME ZONE 'UTC'", {"node", "syntax"}),
    ("DATE '2024-01-01'", {"node", "syntax", "unknown_column"}),
    ("items IS items", {"node"}),
    ("items IN items", {"node", "type"}),
    ("items IN ()", {"arguments", "syntax", "node"}),
    ("1 < items < 3", {"chained"}),
    ("items = items = external", {"chained"}),
    ("itemz > 1", {"unknown_column"}),
    ("Items > 1", {"unknown_column"}),
    ("events.items > 1", {"unknown_column"}),
    ("a.b.c.d > 1", {"unknown_column"}),
    ("a.b.c.d.e > 1", {"unknown_column", "node"}),
    ('"Items" > 1', {"unknown_column"}),
    ('"" > 1', {"unknown_column", "syntax"}),
    ("current_timestamp > time", {"unknown_column"}),
    ("now() > time", {"unknown_function"}),
    ("current_date", {"unknown_column"}),
    ("lenght(type) > 1", {"unknown_function"}),
    ("eval('x')", {"unknown_function"}),
    ("read_csv('/etc/passwd')", {"unknown_function"}),
    ("main.lower(type) = 'a'", {"node"}),
    ("random() > 0.5", {"unknown_function"}),
    ("length() = 1", {"arguments"}),
    ("length(type, type) = 1", {"arguments"}),
    ("coalesce()", {"arguments"}),
    ("least(1)", {"arguments"}),
    ("ip IN list('ofice')", {"unknown_list"}),
    ("ip IN list(office)", {"node"}),
    ("ip IN list()", {"node"}),
    ("ip IN list('office', 'exits')", {"node"}),
    ("ip IN lists('office')", {"node"}),
    ("items IN list('office')", {"type"}),
    ("list('office')", {"unknown_function"}),
    ("items = '1'", {"type"}),
    ("type > 1", {"type"}),
    ("external = 1", {"type"}),
    ("external > FALSE", {"type"}),
    ("external BETWEEN FALSE AND TRUE", {"type"}),
    ("external + 1", {"type"}),
    ("type + 'a'", {"type"}),
    ("type || items", {"type"}),
    ("- type", {"type"}),
    ("NOT items", {"type"}),
    ("items AND external", {"type"}),
    ("items IS TRUE", {"type"}),
    ("CASE WHEN items THEN 1 END", {"type"}),
    ("CASE WHEN external THEN 1 ELSE 'a' END", {"type"}),
    ("coalesce(items, 'a')", {"type"}),
    ("least('a', 'b')", {"type"}),
    ("abs(type)", {"type"}),
    ("hour(items)", {"type"}),
    ("items IN (1, 'a')", {"type"}),
    ("time + time > time", {"type"}),
    ("time * 2", {"type"}),
    ("time - 'yesterday' > 1", {"type"}),
    ("5 - time", {"type"}),
    ("time > 5", {"type"}),
    ("time > 'yesterday'", {"time"}),
    ("CAST('soon' AS TIMESTAMP)", {"time"}),
    ("CAST(type AS TIMESTAMP)", {"cast"}),
    ("CAST(items AS TIMESTAMP)", {"cast"}),
    ("CAST(lat AS TEXT)", {"cast"}),
    ("CAST(items AS DECIMAL(10, 2))", {"cast", "syntax"}),
    ("CAST(items AS VARCHAR(3))", {"cast"}),
    ("CAST(items AS STRUCT(a INT))", {"cast", "syntax", "statement"}),
    ("items::INT[]", {"token"}),
    ("items::JSON", {"cast", "syntax", "node"}),
    ("INTERVAL '1' MONTH < 5", {"interval"}),
    ("INTERVAL 'x' DAY < 5", {"interval"}),
    ("INTERVAL type DAY < 5", {"interval"}),
    ("99999999999999999999 > items", {"number"}),
    ("1e999 > lat", {"number"}),
    ("0x1F = items", {"syntax"}),
    ("type LIKE type", {"pattern"}),
    ("type LIKE 'a' ESCAPE 'ab'", {"pattern"}),
    ("type LIKE 'a!' ESCAPE '!'", {"pattern"}),
    ("type = 'a' ESCAPE '!'", {"pattern", "syntax"}),
    ("items LIKE 'a'", {"type"}),
    ("regexp_matches(type, '(')", {"pattern"}),
    ("regexp_matches(type, '(?=a)')", {"pattern"}),
    ("regexp_matches(type, 'a{1000}{1000}')", {"pattern"}),
    ("regexp_matches(type, type)", {"arguments"}),
    ("starts_with(type, type)", {"arguments"}),
    ("substr(type, 0)", {"arguments"}),
    ("substr(type, -1)", {"arguments"}),
    ("substr(type, items)", {"arguments"}),
    (f"type LIKE '{'a' * 1001}'", {"pattern"}),
    ("(" * 65 + "items" + ")" * 65, {"too_deep"}),
    ("(" * 900 + "items" + ")" * 900, {"too_deep"}),
    ("NOT " * 70 + "external", {"too_deep"}),
    ("- " * 70 + "items", {"too_deep"}),
    ("items = NOT " * 70 + "external", {"too_deep"}),
    ("NOT items BETWEEN 1 AND " * 70 + "1", {"too_deep"}),
    ("CASE WHEN " * 65 + "external" + " THEN TRUE END" * 65, {"too_deep"}),
    ("abs(" * 65 + "items" + ")" * 65, {"too_deep"}),
    ("items" + " + 1" * 500, {"too_deep"}),
    ("items" + "::INT" * 500, {"too_deep"}),
    ("INTERVAL " * 70 + "'1' DAY", {"too_deep"}),
    ("type = '" + "a" * 17_000 + "'", {"too_long"}),
    ("items IN (" + ",".join("1" * 1) * 1 + ",1" * 1000 + ")", {"too_many_tokens"}),
    ("CASE " * 9 + "items" + " WHEN 1 THEN 1 WHEN 2 THEN 2 WHEN 3 THEN 3 END" * 9, {"too_large"}),
    ("itemz > 1 AND foo(type) AND items > 'a' AND ip IN list('exit')",
     {"unknown_column", "unknown_function", "type", "unknown_list"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "slugs"), REFUSED, ids=[f"{i}:{text[:30]!r}" for i, (text, _) in enumerate(REFUSED)])
def test_refused(text: str, slugs: set[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        compile_expression(text, SCOPE, Where("rules.yaml", 12, "condition"))
    found = {problem.slug.removeprefix("expression.") for problem in caught.value.problems}
    assert found
    assert found <= slugs, caught.value.problems
    assert all(str(problem).startswith("rules.yaml:12 [condition]: ") for problem in caught.value.problems)


@pytest.mark.parametrize("given", [None, True, 5, 1.5, ["a"], {"a": 1}, b"items"])
def test_not_a_text(given: object) -> None:
    with pytest.raises(InvalidInput, match=r"expression\.not_text"):
        compile_expression(given, SCOPE)  # type: ignore[arg-type]


def test_all_problems_are_told_with_help() -> None:
    with pytest.raises(InvalidInput) as caught:
        compile_expression("itemz > 1 AND lenght(type) > 1 AND ip IN list('ofice') AND items > 'a'", SCOPE)
    told = {problem.slug: problem for problem in caught.value.problems}
    assert len(told) == 4
    assert told["expression.unknown_column"].nearest == "items"
    assert told["expression.unknown_function"].nearest == "length"
    assert told["expression.unknown_list"].nearest == "office"
    assert "INT and TEXT" in told["expression.type"].message


ACCEPTED = [
    'account.fails_1h > 1 AND "account.fails_1h" > 1 AND "odd name" = 1',
    "type /* why */ = 'a' -- because\n AND items = 1",
    "type = 'it''s' OR type = 'a;b' OR type = '-- no' OR type = 'SELECT'",
    "TYPE_ IS NULL".replace("TYPE_", "type"),
    "Not external Or LENGTH(type) = 1",
    "type == 'a' OR type != 'b'",
    " OR ".join(["items = 1"] * 400),
    " AND ".join(["external"] * 900),
    "(" * 64 + "items" + ")" * 64,
    "NOT " * 60 + "external",
    "items IN (" + ", ".join(str(i) for i in range(900)) + ")",
    "items = -9223372036854775808",
    "session = 'a' AND partition = 'b' AND \"offset\" = 1 AND file = 'f' AND link = 'l' AND method = 'm'",
    "offset = 1 AND resource = 'r' AND operation = 'o' AND permission = 'p' AND region = 'x' AND domain = 'd'",
    "time - account_created < INTERVAL 2 days",
    "NULL",
]


@pytest.mark.parametrize("text", ACCEPTED, ids=[text[:40] for text in ACCEPTED])
def test_accepted(text: str) -> None:
    assert compile_expression(text, SCOPE).text == text


def test_every_event_column_can_be_named() -> None:
    for name in COLUMNS:
        quoted = f'"{name}"' if " " in name else name
        assert compile_expression(f"{quoted} IS NULL", SCOPE).columns == {name}
