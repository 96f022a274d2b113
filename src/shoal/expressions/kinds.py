"""The rules of conversion: which kinds go together, and the constants that can be read as another kind.

INT becomes FLOAT where a FLOAT stands beside it; a text constant becomes a TIME where a TIME stands beside it; the bare
`NULL` becomes whatever is wanted. Nothing else is ever converted without a CAST. Pure functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from shoal.events.schema import Kind
from shoal.expressions.tree import Node, literal, null

UNTYPED = "untyped"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
INT_MIN, INT_MAX = -(2**63), 2**63 - 1


def untyped_null() -> Node:
    """The bare NULL, whose kind is decided by what stands beside it (BOOL where nothing does)."""
    return Node("null", Kind.BOOL, (), UNTYPED)


def is_untyped(node: Node) -> bool:
    """Whether a node is the bare NULL."""
    return node.op == "null" and node.value == UNTYPED


def is_text_constant(node: Node) -> bool:
    """Whether a node is a text constant."""
    return node.op == "literal" and node.kind is Kind.TEXT


def time_of(text: str) -> int | None:
    """Microseconds since 1970 of an ISO 8601 time (UTC where it names no zone); None where it is none.

    >>> time_of("1970-01-01T00:00:01Z")
    1000000
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def common_kind(nodes: Sequence[Node]) -> Kind | None:
    """The kind that all nodes can be read as; None where there is none."""
    kinds = {node.kind for node in nodes if not is_untyped(node)}
    if not kinds:
        return Kind.BOOL
    if len(kinds) == 1:
        return kinds.pop()
    if kinds == {Kind.INT, Kind.FLOAT}:
        return Kind.FLOAT
    if kinds == {Kind.TIME, Kind.TEXT}:
        texts = [node for node in nodes if node.kind is Kind.TEXT]
        if all(is_text_constant(node) and time_of(str(node.value)) is not None for node in texts):
            return Kind.TIME
    return None


def converted(node: Node, kind: Kind) -> Node | None:
    """The node read as `kind` without a CAST; None where that is not allowed."""
    if is_untyped(node):
        return null(kind)
    if node.kind is kind:
        return node
    if node.kind is Kind.INT and kind is Kind.FLOAT:
        if node.op == "literal" and isinstance(node.value, int):
            return literal(float(node.value), Kind.FLOAT)
        return Node("to_float", Kind.FLOAT, (node,))
    if kind is Kind.TIME and is_text_constant(node):
        moment = time_of(str(node.value))
        return None if moment is None else literal(moment, Kind.TIME)
    return None
