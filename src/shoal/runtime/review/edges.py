"""Edges: where a rule's answer hangs on the last digits of a float.

Floats are equal within 1e-9 relative (docs/features.md), so another machine may compute a feature a hair away from what
was stored; a rule that compares it with a threshold may then flip without anything being wrong. `Edges` tells for each
row whether a comparison (or a rounding) in a rule's condition has operands that close, derived features included. It
evaluates the operands by programs of their own, on the frame as it was decided. Holds no state of the stream.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from shoal.events.schema import Kind
from shoal.expressions.compile import Expression, Scope, compile_expression, texts_read
from shoal.expressions.frame import Frame
from shoal.expressions.program import Program
from shoal.expressions.tree import Node, literal
from shoal.runtime.engine import Engine

NEAR = 1e-9
"""How far two floats may lie apart, relative to the larger one, and still be called equal."""
_PAIRED = frozenset({"eq", "ne", "lt", "le", "distinct", "between", "in", "nullif"})
_STEPS = {"floor": 0.0, "ceil": 0.0, "trunc": 0.0, "to_int": 0.0, "round": 0.5}
"""Operations that jump at a whole number, or half-way between two."""

Flags = npt.NDArray[np.bool_]


class Edges:
    """Edges of one engine's rules. Programs are built when a rule is first asked for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        kinds = dict(zip(engine.layout.names, engine.layout.kinds, strict=True))
        self._scope = Scope(kinds, frozenset(engine.lists))
        self._derived = {one.id: one.expression for one in engine.pack.features if one.expression}
        self._floats = {name for name in engine.computed.names if kinds[name] is Kind.FLOAT}
        self._probes: dict[int, _Probe] = {}

    def near(self, rule: int, frame: Frame) -> Flags:
        """bool [n]: on which rows of the frame the rule's answer hangs on a float within `NEAR`."""
        probe = self._probes.get(rule)
        if probe is None:
            probe = self._probes[rule] = _Probe(list(self._nodes(self._engine.rules.expressions[rule].root)), self)
        return probe.near(frame)

    def program(self, nodes: list[Node]) -> Program:
        """The values of these nodes."""
        wanted = [_expression(node) for node in nodes]
        return Program(wanted, self._engine.layout, self._engine.identity, self._engine.lists)

    def _nodes(self, root: Node, seen: frozenset[str] = frozenset()) -> Iterator[Node]:
        """Comparisons and roundings of floats that features gave, below `root` and in the derived features it reads."""
        for node in root.walk():
            if node.op in _PAIRED or node.op in _STEPS:
                if any(arg.kind is Kind.FLOAT and self._from_feature(arg) for arg in node.args):
                    yield node
            elif node.op == "column" and node.value in self._derived and node.value not in seen:
                yield from self._nodes(self._definition(str(node.value)), seen | {str(node.value)})

    def _definition(self, name: str) -> Node:
        return compile_expression(self._derived[name], self._scope).root

    def _from_feature(self, root: Node) -> bool:
        """Whether a float feature's last digits can be in this value: below a rounding they are gone."""
        waiting, seen = [root], {id(root)}
        while waiting:
            node = waiting.pop()
            if node.op == "column" and node.value in self._floats:
                return True
            for arg in node.args if node.op not in _STEPS else ():
                if id(arg) not in seen:
                    seen.add(id(arg))
                    waiting.append(arg)
        return False


class _Probe:
    """The operands of one rule's comparisons, and how they are held against each other."""

    def __init__(self, nodes: list[Node], edges: Edges) -> None:
        operands: list[Node] = []
        self._pairs: list[tuple[int, int]] = []
        self._steps: list[tuple[int, float]] = []
        for node in nodes:
            first = len(operands)
            if node.op in _STEPS:
                operands.append(node.args[0])
                self._steps.append((first, _STEPS[node.op]))
            else:
                others = [literal(value, Kind.FLOAT) for value in node.value[0]] if node.op == "in" else node.args[1:]
                operands += [node.args[0], *others]
                self._pairs += [(first, first + k) for k in range(1, len(others) + 1)]
        self._program = edges.program(operands) if operands else None

    def near(self, frame: Frame) -> Flags:
        found = np.zeros(frame.size, np.bool_)
        if self._program is None:
            return found
        raw, valid = self._program.run(frame)
        values, known = raw.view(np.float64), valid != 0
        for one, other in self._pairs:
            a, b = values[one], values[other]
            found |= known[one] & known[other] & (np.abs(a - b) <= NEAR * np.maximum(np.abs(a), np.abs(b)))
        for one, offset in self._steps:
            jump = np.rint(values[one] - offset) + offset
            found |= known[one] & (np.abs(values[one] - jump) <= NEAR * np.abs(values[one]))
        return found


def _expression(node: Node) -> Expression:
    nodes = list(node.walk())
    columns = frozenset(str(one.value) for one in nodes if one.op == "column")
    lists = frozenset(str(one.value) for one in nodes if one.op == "in_list")
    return Expression("", node.kind, node, columns, texts_read(node, frozenset()), lists)
