"""Derived features: expressions over other features and event columns, evaluated after the kernel. Hot path.

Features that read other derived features run in later stages. Owns only scratch frames; holds no state of the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shoal.events.identity import Identity
from shoal.expressions.compile import Expression
from shoal.expressions.frame import Frame, Layout, Valid, Values
from shoal.expressions.program import Program
from shoal.features.plan import Plan


class _Stage:
    """Derived features that need only what stands before them."""

    def __init__(
        self,
        members: list[tuple[int, Expression]],
        columns: Mapping[str, int],
        features: Mapping[str, int],
        whole: Layout,
        identity: Identity,
        lists: Mapping[str, Any],
    ) -> None:
        read = sorted({name for _, expression in members for name in expression.columns})
        self.layout = Layout.of({name: whole.kind(name) for name in read})
        self.program = Program([expression for _, expression in members], self.layout, identity, lists)
        self.outputs = [number for number, _ in members]
        self.from_events = [(row, columns[name]) for row, name in enumerate(read) if name in columns]
        self.from_features = [(row, features[name]) for row, name in enumerate(read) if name not in columns]
        self.frame = Frame.empty(self.layout, 1)
        self.readers = {name: [number for number, one in members if name in one.columns] for name in read}

    def fill(self, frame: Frame, values: Values, valid: Valid, partial: Valid) -> None:
        size, own = frame.size, self.frame
        if size > own.values.shape[1]:
            own = self.frame = Frame.empty(self.layout, size)
        for row, source in self.from_events:
            own.values[row, :size] = frame.values[source, :size]
            own.valid[row, :size] = frame.valid[source, :size]
        for row, source in self.from_features:
            own.values[row, :size] = values[source, :size]
            own.valid[row, :size] = valid[source, :size]
        own.size, own.texts = size, frame.texts
        results, ok = self.program.run(own)
        for number, output in enumerate(self.outputs):
            values[output, :size], valid[output, :size] = results[number, :size], ok[number, :size]
            partial[output, :size] = 0
        for row, source in self.from_features:
            name = self.layout.names[row]
            for output in self.readers[name]:
                partial[output, :size] |= partial[source, :size]


class DerivedFeatures:
    """All derived features of a plan. `text_columns`: the columns whose texts a frame must carry for them."""

    def __init__(self, plan: Plan, layout: Layout, identity: Identity, lists: Mapping[str, Any]) -> None:
        numbers = {one.id: number for number, one in enumerate(plan.definitions)}
        whole = layout.with_columns({one.id: kind for one, kind in zip(plan.definitions, plan.kinds, strict=True)})
        depth: dict[str, int] = {}
        stages: dict[int, list[tuple[int, Expression]]] = {}
        for one, expression in plan.derived:
            depth[one.id] = 1 + max((depth.get(name, 0) for name in expression.columns), default=0)
            stages.setdefault(depth[one.id], []).append((numbers[one.id], expression))
        self.stages = []
        for _, members in sorted(stages.items()):
            stage = _Stage(members, layout.index, numbers, whole, identity, lists)
            self.stages.append(stage)
        self.text_columns: frozenset[str] = frozenset().union(*(s.program.text_columns for s in self.stages))

    def fill(self, frame: Frame, values: Values, valid: Valid, partial: Valid) -> None:
        """Write the derived rows of a block, from the event frame and the rows that the kernel wrote."""
        for stage in self.stages:
            stage.fill(frame, values, valid, partial)
