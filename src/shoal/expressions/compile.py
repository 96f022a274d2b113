"""`compile_expression`: from a text that a person wrote to a typed, checked `Expression`.

The text is bounded and parsed (`language`), then resolved and typed against a `Scope` (`check`). All problems of a text
are raised together. What comes out is immutable and can be run (`program`) or written as DuckDB SQL (`duckdb`).
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal.errors import InvalidInput, Problem, Where
from shoal.events.schema import Kind
from shoal.expressions.check import Checker
from shoal.expressions.duckdb import write_duckdb
from shoal.expressions.language import parse
from shoal.expressions.tree import MAX_OPERATIONS, READS_TEXT, Node, Scope

__all__ = ["Expression", "Scope", "compile_expression"]


@dataclass(frozen=True)
class Expression:
    """A checked expression: its text, its kind, its typed tree, and what it reads."""

    text: str
    kind: Kind
    root: Node
    columns: frozenset[str]
    text_columns: frozenset[str]
    """The columns whose texts (not only their ids) are needed at run time, lists being of addresses at worst."""
    lists: frozenset[str]

    def duckdb(self) -> str:
        """The same expression as DuckDB SQL over a table of the same columns (times as microseconds).

        A named list `office` is read from DuckDB's variable `list_office`.
        """
        return write_duckdb(self.root)


def compile_expression(text: str, scope: Scope, where: Where = Where()) -> Expression:  # noqa: B008 - frozen
    """Parse, resolve and type one expression.

    Raises `InvalidInput` with every problem found (slugs `expression.*`), each at `where`. Costs about a millisecond.

    >>> scope = Scope({"size_bytes": Kind.INT, "external": Kind.BOOL})
    >>> compile_expression("size_bytes > 10 AND NOT external", scope).kind
    <Kind.BOOL: 0>
    """
    parsed = parse(text, scope, where)
    checker = Checker(scope, where)
    root = checker.check(parsed)
    if checker.problems or root is None:
        raise InvalidInput(checker.problems)
    size = root.written_size()
    if size > MAX_OPERATIONS:
        allowed = f"at most {MAX_OPERATIONS:,}"
        raise InvalidInput(Problem("expression.too_large", f"{size:,} operations when written out", where, allowed))
    nodes = list(root.walk())
    return Expression(
        text,
        root.kind,
        root,
        frozenset(str(node.value) for node in nodes if node.op == "column"),
        texts_read(root, frozenset()),
        frozenset(str(node.value) for node in nodes if node.op == "in_list"),
    )


def needs_characters(node: Node, text_lists: frozenset[str]) -> bool:
    """Whether a node's TEXT arguments are read as characters; lists in `text_lists` are compared by id."""
    if node.op in READS_TEXT:
        return True
    if node.op in ("lt", "le", "between"):
        return node.args[0].kind is Kind.TEXT
    return node.op == "in_list" and node.value not in text_lists


def texts_read(root: Node, text_lists: frozenset[str]) -> frozenset[str]:
    """The text columns whose characters are read somewhere below `root`."""
    found = set()
    waiting = [(root, False)]
    seen: set[tuple[int, bool]] = set()
    while waiting:
        node, reads = waiting.pop()
        if (id(node), reads) in seen:
            continue
        seen.add((id(node), reads))
        if node.op == "column" and node.kind is Kind.TEXT and reads:
            found.add(str(node.value))
        below = needs_characters(node, text_lists) or (reads and node.kind is Kind.TEXT)
        waiting.extend((arg, below) for arg in node.args)
    return frozenset(found)
