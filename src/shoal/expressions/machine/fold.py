"""Folding: parts of expressions that read no column become constants, once per Program.

The machine itself computes them (the Program gives the values), so a folded part is what it would have been on every
row, to the bit. Knows trees alone; owns nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from shoal.events.schema import Kind
from shoal.expressions.tree import Node, literal, null


def constant_parts(roots: Sequence[Node]) -> list[Node]:
    """The largest sub-trees without a column or a list, single constants and texts (which are only ids) left out."""
    reads: dict[int, bool] = {}

    def reads_row(node: Node) -> bool:
        if id(node) not in reads:
            below = [reads_row(arg) for arg in node.args]
            reads[id(node)] = node.op in ("column", "in_list") or any(below)
        return reads[id(node)]

    found: dict[int, Node] = {}
    waiting, seen = list(roots), set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if reads_row(node) or node.kind is Kind.TEXT:
            waiting.extend(node.args)
        elif node.args:
            found[id(node)] = node
    return list(found.values())


def constant(kind: Kind, bits: int, known: bool) -> Node:
    """The leaf for a value that the machine gave in its encoding."""
    if not known:
        return null(kind)
    if kind is Kind.FLOAT:
        return literal(struct.unpack("<d", struct.pack("<q", bits))[0], kind)
    return literal(bool(bits) if kind is Kind.BOOL else bits, kind)


def replace_parts(root: Node, by_id: Mapping[int, Node]) -> Node:
    """The tree with some of its nodes replaced; parts without any stay the same objects."""
    made: dict[int, Node] = dict(by_id)

    def replaced(node: Node) -> Node:
        if id(node) not in made:
            args = tuple(replaced(arg) for arg in node.args)
            same = all(new is old for new, old in zip(args, node.args, strict=True))
            made[id(node)] = node if same else Node(node.op, node.kind, args, node.value)
        return made[id(node)]

    return replaced(root)
