"""Demand: on which rows the value of a text operation can change the result of any expression.

`type = 'file.renamed' AND file_name LIKE '%.enc'` is false wherever the type is another, whatever the name is: LIKE is
wanted only where the rest of the AND is not false. `demands` derives such a guard for each node of the text stage from
the whole forest that reads it; a node that several expressions read is wanted where one of them wants it. Guards are
trees without texts, so the machine computes them beforehand, and cheaply. Works once per Program; knows trees alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shoal.events.schema import Kind
from shoal.expressions.tree import Node

MAX_LEVELS = 32
"""With so many operations above, a guard starts anew with the nearest ones (a wider guard is right, too)."""


def demands(roots: Sequence[Node], staged: Iterable[Node]) -> dict[int, Node | None]:
    """By id of each staged node its guard, or None where it is wanted on every row.

    `roots` are shared trees (equal sub-trees are one object), `staged` some of their nodes. A guard is a BOOL that is
    never null: true where the node's value matters. Where it is false, any value of the node gives the same results.
    """
    targets = {id(node) for node in staged}
    order = _parents_first(roots)
    holds: dict[int, bool] = {}
    for node in reversed(order):
        holds[id(node)] = id(node) in targets or any(holds[id(arg)] for arg in node.args)
    wanted: dict[int, list[Node] | None] = {id(root): None for root in roots}  # None: on every row
    levels: dict[int, int] = {}
    for node in order:
        if not holds[id(node)] or id(node) in targets or id(node) not in wanted:
            continue
        level = levels.get(id(node), 0)
        above = _either(wanted[id(node)]) if level < MAX_LEVELS else None
        here = _all([guard for guard in (above, _logic(node, holds)) if guard is not None])
        for i, arg in enumerate(node.args):
            if holds[id(arg)]:
                levels[id(arg)] = max(levels.get(id(arg), 0), level + 1)
                _add(wanted, id(arg), _choice(node, i, here, holds))
    return {id(node): _either(wanted[id(node)]) for node in order if id(node) in targets and id(node) in wanted}


def _parents_first(roots: Sequence[Node]) -> list[Node]:
    """All nodes, each once, none before one that reads it."""
    done: set[int] = set()
    after: list[Node] = []
    waiting = [(root, False) for root in roots]
    while waiting:
        node, left = waiting.pop()
        if left:
            after.append(node)
        elif id(node) not in done:
            done.add(id(node))
            waiting.append((node, True))
            waiting.extend((arg, False) for arg in node.args)
    after.reverse()
    return after


def _add(wanted: dict[int, list[Node] | None], key: int, guard: Node | None) -> None:
    """One more reader of a node, which wants it where `guard` is true."""
    if guard is None:
        wanted[key] = None
        return
    known = wanted.setdefault(key, [])
    if known is not None:
        known.append(guard)


def _either(readers: list[Node] | None) -> Node | None:
    """Where one of the readers wants it; None is everywhere."""
    if readers is None:
        return None
    return readers[0] if len(readers) == 1 else Node("or", Kind.BOOL, tuple(readers))


def _all(guards: Sequence[Node]) -> Node | None:
    """Where all guards are true; None is everywhere."""
    return Node("and", Kind.BOOL, tuple(guards)) if len(guards) > 1 else guards[0] if guards else None


def _logic(node: Node, holds: dict[int, bool]) -> Node | None:
    """Where the arguments without texts do not decide an AND or OR alone."""
    cheap = [arg for arg in node.args if not holds[id(arg)]]
    if node.op not in ("and", "or") or not cheap:
        return None
    together = cheap[0] if len(cheap) == 1 else Node(node.op, Kind.BOOL, tuple(cheap))
    decided = Node("is_false" if node.op == "and" else "is_true", Kind.BOOL, (together,))
    return Node("not", Kind.BOOL, (decided,))


def _choice(node: Node, place: int, here: Node | None, holds: dict[int, bool]) -> Node | None:
    """`here`, and for a value of a CASE only where its own condition, if that has no texts, is true."""
    if node.op != "case" or place % 2 == 0 or holds[id(node.args[place - 1])]:
        return here
    chosen = Node("is_true", Kind.BOOL, (node.args[place - 1],))
    return _all([chosen] if here is None else [here, chosen])
