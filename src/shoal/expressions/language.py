"""The bounds and the parser: from a text to one sqlglot tree, or problems.

sqlglot is used to parse only. The text is bounded and cut into tokens first (at most 16 KiB, 2,000 tokens, nesting 64),
every token is of an allowed type, and all words but the few reserved ones become plain names, so that the parser never
sees a statement's keyword and columns may be called `time`, `type` or `offset`. The parser's own functions are taken
out: every call arrives by its name. Knows nothing of types and columns, except the names to tell in hints.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from sqlglot import Dialect, exp, parser, tokens
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from shoal.errors import InvalidInput, Problem, Where
from shoal.expressions.tree import Scope

MAX_BYTES = 16 * 1024
MAX_TOKENS = 2_000
MAX_NESTING = 64

_T = TokenType
_RESERVED = frozenset(
    {
        _T.AND, _T.OR, _T.NOT, _T.IN, _T.IS, _T.NULL, _T.TRUE, _T.FALSE, _T.LIKE, _T.ILIKE, _T.BETWEEN, _T.CASE,
        _T.WHEN, _T.THEN, _T.ELSE, _T.END, _T.ESCAPE, _T.DISTINCT, _T.FROM, _T.INTERVAL,
    }
)  # fmt: skip
_SIGNS = frozenset(
    {
        _T.L_PAREN, _T.R_PAREN, _T.COMMA, _T.DOT, _T.EQ, _T.NEQ, _T.LT, _T.LTE, _T.GT, _T.GTE, _T.PLUS, _T.DASH,
        _T.STAR, _T.SLASH, _T.DIV, _T.MOD, _T.DPIPE, _T.DCOLON,
    }
)  # fmt: skip
_OPERANDS = frozenset({_T.NUMBER, _T.STRING, _T.VAR, _T.IDENTIFIER, _T.R_PAREN, _T.END, _T.NULL, _T.TRUE, _T.FALSE})
_TYPES = frozenset(
    {_T.INT, _T.BIGINT, _T.DOUBLE, _T.FLOAT, _T.TEXT, _T.VARCHAR, _T.BOOLEAN, _T.TIMESTAMP, _T.TIMESTAMPTZ}
)
_WORD = re.compile(r"[^\W\d]\w*")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_STATEMENT_WORDS = frozenset(
    {
        "select", "with", "insert", "update", "delete", "drop", "create", "alter", "attach", "copy", "pragma", "union",
        "intersect", "except", "values", "where", "group", "having", "order", "limit", "over", "window", "exists",
        "merge", "call", "execute", "set", "table", "join", "from",
    }
)  # fmt: skip
_TOKEN_HINTS = {
    _T.PLACEHOLDER: "there are no parameters: write the value",
    _T.PARAMETER: "there are no parameters or variables: write the value",
    _T.SEMICOLON: "one expression only, no statements",
}


class ShoalSql(Dialect):
    """sqlglot's default dialect with `//`, and without any function of its own."""

    class Tokenizer(tokens.Tokenizer):
        """The default tokenizer, which keeps `list(…)`, with `//` for the truncating division."""

        KEYWORDS = {**tokens.Tokenizer.KEYWORDS, "//": TokenType.DIV}  # noqa: RUF012 - sqlglot's own form

    class Parser(parser.Parser):
        """The default parser; all functions but the casts and EXTRACT come back as anonymous calls."""

        FUNCTIONS = {}  # noqa: RUF012
        NO_PAREN_FUNCTIONS = {}  # noqa: RUF012
        FUNCTION_PARSERS = {  # noqa: RUF012
            name: parse
            for name, parse in parser.Parser.FUNCTION_PARSERS.items()
            if name in ("CAST", "TRY_CAST", "EXTRACT")
        }
        NO_PAREN_FUNCTION_PARSERS = {  # noqa: RUF012
            "CASE": parser.Parser.NO_PAREN_FUNCTION_PARSERS["CASE"],
        }


_DIALECT = ShoalSql()
_RECURSION = Lock()


def parse(text: str, scope: Scope, where: Where) -> exp.Expression:
    """The one sqlglot node that `text` stands for. Raises `InvalidInput`."""
    checked = _bounded(text, where)
    given = _tokens(checked, scope, where)
    try:
        with _room_to_recurse():
            found: list[Any] = _DIALECT.parser().parse(given, checked)
    except ParseError as error:
        raise InvalidInput(_syntax_problems(error, where)) from None
    except RecursionError:
        raise InvalidInput(_too_deep(where)) from None
    except (SqlglotError, ValueError) as error:
        raise InvalidInput(Problem("expression.syntax", f"cannot be parsed: {error}", where)) from None
    if len(found) != 1 or not isinstance(found[0], exp.Expression):
        raise InvalidInput(Problem("expression.not_one", f"{len(found)} expressions where one is wanted", where))
    return found[0]


@contextmanager
def _room_to_recurse() -> Iterator[None]:
    """The parser takes some 15 calls for a level of nesting: more than Python's own limit allows for 64 of them."""
    with _RECURSION:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(max(before, 5_000))
        try:
            yield
        finally:
            sys.setrecursionlimit(before)


def _bounded(text: object, where: Where) -> str:
    if not isinstance(text, str):
        raise InvalidInput(
            Problem(
                "expression.not_text", f"an expression is a text, not {type(text).__name__}", where, hint="quote it"
            )
        )
    if not text.strip():
        raise InvalidInput(Problem("expression.empty", "the expression is empty", where))
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInput(Problem("expression.characters", "the text is not valid Unicode", where)) from None
    if size > MAX_BYTES:
        raise InvalidInput(
            Problem(
                "expression.too_long", f"the expression has {size:,} bytes", where, allowed=f"at most {MAX_BYTES:,}"
            )
        )
    control = _CONTROL.search(text)
    if control:
        raise InvalidInput(
            Problem(
                "expression.characters", f"control character {control.group()!r} at character {control.start()}", where
            )
        )
    return text


def _tokens(text: str, scope: Scope, where: Where) -> list[Token]:
    """The tokens, bounded and checked, words turned into names."""
    try:
        given: list[Token] = _DIALECT.tokenize(text)
    except SqlglotError as error:
        raise InvalidInput(Problem("expression.syntax", f"cannot be read: {error}", where)) from None
    if len(given) > MAX_TOKENS:
        raise InvalidInput(
            Problem("expression.too_many_tokens", f"{len(given):,} tokens", where, allowed=f"at most {MAX_TOKENS:,}")
        )
    if not given:
        raise InvalidInput(Problem("expression.empty", "the expression is only a comment", where))
    problems: list[Problem] = []
    made: list[Token] = []
    for i, token in enumerate(given):
        after = given[i + 1].token_type if i + 1 < len(given) else None
        before = given[i - 1] if i else None
        word = text[token.start : token.end + 1] == token.text  # not the inside of N'…' and its like
        made.append(_plain(token, before, after, word, scope, where, problems))
    if _nesting(made) > MAX_NESTING:
        problems.append(_too_deep(where))
    if problems:
        raise InvalidInput(problems)
    return made


def _plain(
    token: Token,
    before: Token | None,
    after: TokenType | None,
    word: bool,
    scope: Scope,
    where: Where,
    problems: list[Problem],
) -> Token:
    """The token as the parser may see it; a problem where it is not part of the language."""
    kind, text = token.token_type, token.text
    follows = before.token_type if before is not None else None
    of_a_cast = kind is _T.ALIAS or (kind in _TYPES and follows in (_T.ALIAS, _T.DCOLON))
    if of_a_cast or (kind in _RESERVED and text.upper() == kind.name):
        return token
    if kind not in (_T.NUMBER, _T.STRING, _T.IDENTIFIER, _T.VAR) and kind not in _SIGNS:
        if not (word and _WORD.fullmatch(text)):
            message = f"{text!r} at character {token.start} is not part of the language"
            problems.append(Problem("expression.token", message, where, hint=_TOKEN_HINTS.get(kind, "")))
            return token
        token = Token(_T.VAR, text, token.line, token.col, token.start, token.end)
    statement = token.token_type is _T.VAR and text.lower() in _STATEMENT_WORDS and text not in scope.columns
    if statement and after is not _T.DOT and follows is not _T.DOT:
        message = f"{text!r} at character {token.start}: there are no statements, subqueries or window functions"
        problems.append(Problem("expression.statement", message, where))
    return token


def _nesting(given: list[Token]) -> int:
    """The deepest nesting: open brackets and CASEs, and the prefix operators that wait for their operand."""
    levels = [[0, 0]]  # of each open bracket: waiting prefixes, BETWEENs without their AND
    total = deepest = 0
    before: TokenType | None = None
    for token in given:
        kind = token.token_type
        if kind in (_T.L_PAREN, _T.CASE):
            levels.append([0, 0])
            total += 1
        elif kind in (_T.R_PAREN, _T.END) and len(levels) > 1:
            total -= 1 + levels.pop()[0]
        elif kind in (_T.NOT, _T.INTERVAL) or (kind in (_T.DASH, _T.PLUS) and before not in _OPERANDS):
            levels[-1][0] += 1
            total += 1
        elif kind is _T.BETWEEN:
            levels[-1][1] += 1
        elif kind is _T.AND and levels[-1][1]:
            levels[-1][1] -= 1
        elif kind in (_T.AND, _T.OR, _T.COMMA, _T.WHEN, _T.THEN, _T.ELSE):
            total -= levels[-1][0]
            levels[-1] = [0, 0]
        deepest = max(deepest, total)
        before = kind
    return deepest


def _too_deep(where: Where) -> Problem:
    return Problem(
        "expression.too_deep", "the expression is nested too deeply", where, allowed=f"at most {MAX_NESTING}"
    )


def _syntax_problems(error: ParseError, where: Where) -> list[Problem]:
    problems = []
    for entry in error.errors or [{}]:
        near = str(entry.get("highlight") or "").strip()
        what = str(entry.get("description") or "cannot be parsed").strip().rstrip(".")
        message = f"{what}, near {near!r}" if near else what
        problems.append(Problem("expression.syntax", message, where))
    return problems
