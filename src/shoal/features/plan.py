"""From definitions to tables: which spaces, cells, operations and reads the kernel works on.

A `Plan` is made once from checked definitions. Features on one key share a space (one lookup an event); features that
count the same thing share a cell, a fixed-point value, a condition or a pair space. The plan writes the descriptor's
tables (`descriptor.py`); it holds no state of the stream and knows no event.
"""

# ruff: noqa: ARG002 - the `_plan_…` of all operations are called alike
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from shoal.errors import InvalidInput, Problem
from shoal.events.schema import Kind
from shoal.expressions.compile import Expression, Scope, compile_expression
from shoal.expressions.frame import Layout
from shoal.features import descriptor as D  # noqa: N812 - a namespace of constants
from shoal.features.definitions import OPERATIONS, FeatureDefinition, check_definitions, refuse_problems
from shoal.features.lay import Cell, Row, Word, lay_tables

US = 1_000_000
BORN = {
    "account": "account_created",
    "owner": "owner_created",
    "recipient": "recipient_created",
    "link": "link_created",
}
"""Facts that tell since when a key's history can exist: a key born in our time has no unknown past."""


@dataclass(frozen=True)
class Source:
    """Where an input comes from: a row of the event frame, or a row of the program's results."""

    program: bool
    row: int
    kind: Kind


@dataclass
class Space:
    """A key space or pair space being planned: its row, and the words of its record."""

    kind: int
    row: Row
    words: dict[int, Any] = field(default_factory=dict)
    lists: list[tuple[int, Any, Any]] = field(default_factory=list)
    windowed: set[int] = field(default_factory=set)
    lifelong: set[int] = field(default_factory=set)
    logged: set[int] = field(default_factory=set)
    windows: list[tuple[int, Any, Any]] = field(default_factory=list)
    keep: int = 0
    life: bool = False
    number: int = -1


class Plan:
    """The compiled form of a set of definitions. `table` is the descriptor's initial content; see the module."""

    def __init__(
        self, definitions: Sequence[FeatureDefinition], layout: Layout, list_names: frozenset[str] = frozenset()
    ) -> None:
        self.definitions = tuple(definitions)
        self.layout = layout
        self.columns: dict[str, Kind] = dict(zip(layout.names, layout.kinds, strict=True))
        self.scope = Scope(self.columns, list_names)
        self._problems = check_definitions(definitions, self.columns)
        self.inputs: list[Source] = []
        self.expressions: list[Expression] = []
        self.texts: dict[str, int] = {}
        self.conditions: list[tuple[int, int, int, int]] = []
        self.values: list[dict[str, Any]] = []
        self.keys: list[Space] = []
        self.pairs: list[Space] = []
        self.window_ops: list[Word] = []
        self.life_ops: list[Word] = []
        self.expiry: dict[int, list[Word]] = {}
        self.reads: list[tuple[FeatureDefinition, Word]] = []
        self._shared: dict[tuple[Any, ...], Any] = {}
        self.nodes_per_event = 0
        self.read_at: dict[int, int] = {}
        self.table: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.kernel_features = tuple(one for one in self.definitions if one.operation != "derived")
        refuse_problems([p for p in self._problems if p.slug in ("features.operation", "features.too_many")])
        kinds: dict[str, Kind] = {}
        for number, one in enumerate(self.definitions):
            if one.operation != "derived":
                kinds[one.id] = self._add(number, one)
        self.derived = self._derive(kinds)
        refuse_problems(self._problems)
        self.kinds = tuple(kinds[one.id] for one in self.definitions)
        self.spaces = self.keys + self.pairs
        lay_tables(self)

    # inputs, conditions, values

    def shared(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """The thing of this key, made where it is asked for the first time."""
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def column(self, name: str) -> int:
        """The input that reads a column of the event table (input 0 for an unknown one: a problem is noted then)."""

        def make() -> int:
            self.inputs.append(Source(False, self.layout.index[name], self.columns[name]))
            return len(self.inputs) - 1

        return int(self.shared(("column", name), make)) if name in self.columns else 0

    def _expression(self, text: str, one: FeatureDefinition, path: str, wanted: frozenset[Kind] | None) -> int:
        """The input that holds an expression's value; problems are noted, and input 0 stands for it."""
        text = text.strip()
        if text in self.columns:
            number, kind = self.column(text), self.columns[text]
        else:
            try:
                compiled = self.shared(
                    ("compiled", text), lambda: compile_expression(text, self.scope, one.origin.at(path))
                )
            except InvalidInput as error:
                self._problems += error.problems
                return 0
            kind = compiled.kind

            def make() -> int:
                self.expressions.append(compiled)
                self.inputs.append(Source(True, len(self.expressions) - 1, kind))
                return len(self.inputs) - 1

            number = int(self.shared(("expression", text), make))
        if wanted is not None and kind not in wanted:
            allowed = ", ".join(sorted(k.name.lower() for k in wanted))
            text = f"{one.id}: {path} is of kind {kind.name.lower()}"
            self._problems.append(Problem("features.kind", text, one.origin.at(path), allowed))
        return number

    def _condition(self, where: int, value: int, other: int, shoal: bool) -> int:
        def make() -> int:
            self.conditions.append((where, value, other, int(shoal)))
            return len(self.conditions) - 1

        return int(self.shared(("condition", where, value, other, shoal), make))

    def _fixed(self, one: FeatureDefinition, number: int, cond: int) -> int:
        """The fixed-point value of an input under a condition."""
        largest = round(one.largest * 10**one.places)

        def make() -> int:
            is_float = self.inputs[number].kind is Kind.FLOAT
            factor = float(10**one.places)
            self.values.append(
                {"input": number, "float": is_float, "factor": factor, "largest": largest, "cond": cond, "log": False}
            )
            return len(self.values) - 1

        return int(self.shared(("value", number, one.places, largest, cond), make))

    # spaces

    def _key_space(self, key: tuple[str, ...]) -> Space:
        def make() -> Space:
            space = Space(D.KEY_SPACE, Row(), {"parts": [self.column(name) for name in key]})  # type: ignore[dict-item]
            self.keys.append(space)
            return space

        found: Space = self.shared(("space", key), make)
        return found

    def _pair_space(self, kind: int, key: Space, number: int, cond: int, *more: Any) -> Space:
        def make() -> Space:
            space = Space(kind, Row(), {D.P_INPUT: number, D.P_COND: cond, D.P_READ: 0})
            space.words[D.P_FLOAT] = int(self.inputs[number].kind is Kind.FLOAT)
            for word in (D.P_SKETCH, D.P_PAIRS, D.P_COUNT, D.P_MOMENT, D.P_GEN, D.P_DISTINCT, D.P_HEAD, D.P_WORD):
                space.words[word] = -1
            space.words["key"] = key  # type: ignore[index]
            self.pairs.append(space)
            return space

        found: Space = self.shared(("pairs", kind, id(key), number, cond, *more), make)
        return found

    def _sketch_cell(self, key: Space, pairs: Space) -> None:
        if pairs.words[D.P_SKETCH] == -1:
            pairs.words[D.P_SKETCH] = key.row.cell(4, -1)
            if pairs.kind == D.LIFE_PAIRS:
                key.lists.append((D.LIST_SKETCH, pairs.words[D.P_SKETCH], 0))

    # one feature

    def _add(self, number: int, one: FeatureDefinition) -> Kind:
        """Plan one feature; returns the kind of its values."""
        operation = OPERATIONS[one.operation]
        before = len(self._problems)
        wanted = frozenset({Kind.INT, Kind.FLOAT, Kind.TIME}) if operation.value.startswith("number") else None
        if operation.name in ("sum", "mean", "decayed"):
            wanted = frozenset({Kind.INT, Kind.FLOAT})
        value = self._expression(one.value, one, "value", wanted) if one.value is not None else -1
        where = self._expression(one.where, one, "where", frozenset({Kind.BOOL})) if one.where is not None else -1
        if len(self._problems) > before or check_definitions([one], self.columns):
            return one.kind
        value_kind = self.inputs[value].kind if value >= 0 else None
        if operation.name == "speed":
            cond = self._condition(where, self.column("lat"), self.column("lon"), one.include_shoal)
        else:
            cond = self._condition(where, value, -1, one.include_shoal)
        space = self._key_space(one.key)
        read = getattr(self, f"_plan_{one.operation}")(one, space, cond, value)
        read.update({D.R_OUT: number, D.R_SPACE: space})
        read.setdefault(D.R_VALUE, -1)
        read.setdefault(D.R_E, -1)
        born = next((BORN[name] for name in one.key if BORN.get(name) in self.columns), None)
        read[D.R_BORN] = self.column(born) if born is not None else -1
        self.reads.append((one, read))
        return one.kind_of(value_kind)

    def _windowed(self, space: Space, cond: int, span: int, logged: bool) -> None:
        space.windowed.add(cond)
        if logged:
            space.logged.add(cond)
            self.expiry.setdefault(span, [])
        space.keep = max(space.keep, span)

    def _update(self, key: tuple[Any, ...], life: bool, word: Word) -> None:
        def make() -> bool:
            (self.life_ops if life else self.window_ops).append(word)
            return True

        self.shared(("update", *key), make)

    def _life(self, space: Space, cond: int) -> None:
        space.lifelong.add(cond)
        space.life = True

    def _count_cell(self, space: Space, cond: int, span: int | None) -> Cell:
        """The cell that counts events under a condition, in a window or for life."""

        def make() -> Cell:
            cell = space.row.cell(4 if span is not None else 8)
            word = {D.OP_SPACE: space, D.OP_COND: cond, D.OP_CELL: cell}
            if span is None:
                self._life(space, cond)
                self.life_ops.append({D.OP_CODE: D.U_COUNT64, **word})
            else:
                self._windowed(space, cond, span, True)
                self.window_ops.append({D.OP_CODE: D.U_COUNT32, **word})
                self.expiry[span].append({D.OP_CODE: D.E_COUNT, **word})
            return cell

        found: Cell = self.shared(("count", id(space), cond, span), make)
        return found

    def _sum_cell(self, space: Space, cond: int, span: int | None, fixed: int) -> Cell:
        def make() -> Cell:
            cell = space.row.cell(8)
            word = {D.OP_CODE: D.U_SUM, D.OP_SPACE: space, D.OP_COND: cond, D.OP_CELL: cell, D.OP_A: ("value", fixed)}
            if span is None:
                self._life(space, cond)
                self.life_ops.append(word)
            else:
                self._windowed(space, cond, span, True)
                self.values[fixed]["log"] = True
                self.window_ops.append(word)
                self.expiry[span].append({**word, D.OP_CODE: D.E_SUM})
            return cell

        found: Cell = self.shared(("sum", id(space), fixed, span), make)
        return found

    def _bucket_cell(self, one: FeatureDefinition, space: Space, cond: int, fixed: int) -> Word:
        assert one.window_s is not None
        assert one.bucket_s is not None
        bucket, count = one.bucket_s * US, one.window_s // one.bucket_s
        self._windowed(space, cond, (one.window_s + one.bucket_s) * US, False)

        def make() -> Cell:
            cell = space.row.cell(24, -1)
            space.lists.append((D.LIST_DEQUE, cell, 0))
            self.nodes_per_event += 1
            self.window_ops.append({D.OP_CODE: D.U_BUCKET, D.OP_SPACE: space, D.OP_COND: cond, D.OP_CELL: cell,
                                    D.OP_A: ("value", fixed) if fixed >= 0 else -1,
                                    D.OP_C: bucket, D.OP_D: count})  # fmt: skip
            return cell

        cell = self.shared(("bucket", id(space), cond, fixed, bucket, count), make)
        factor = self.values[fixed]["factor"] if fixed >= 0 else 1.0
        return {D.R_CELL: cell, D.R_A: bucket, D.R_B: count, D.R_C: ("float", factor), D.R_D: int(one.places > 0),
                D.R_E: D.HALF_OLDEST if one.oldest_bucket == "half" else -1, D.R_VALUE: fixed}  # fmt: skip

    def _plan_count(self, one: FeatureDefinition, space: Space, cond: int, value: int) -> Word:
        if one.bucket_s is not None:
            return {D.R_CODE: D.X_BCOUNT, **self._bucket_cell(one, space, cond, -1)}
        span = one.window_s * US if one.window_s is not None else None
        code = D.X_COUNT64 if span is None else D.X_COUNT32
        return {D.R_CODE: code, D.R_CELL: self._count_cell(space, cond, span)}

    def _plan_sum(self, one: FeatureDefinition, space: Space, cond: int, value: int) -> Word:
        fixed = self._fixed(one, value, cond)
        if one.bucket_s is not None:
            return {D.R_CODE: D.X_BSUM, **self._bucket_cell(one, space, cond, fixed)}
        span = one.window_s * US if one.window_s is not None else None
        return {D.R_CODE: D.X_SUM, D.R_CELL: self._sum_cell(space, cond, span, fixed), D.R_VALUE: fixed,
                D.R_A: ("float", self.values[fixed]["factor"]), D.R_B: int(one.places > 0)}  # fmt: skip

    def _plan_mean(self, one: FeatureDefinition, space: Space, cond: int, value: int) -> Word:
        fixed = self._fixed(one, value, cond)
        if one.bucket_s is not None:
            return {D.R_CODE: D.X_BMEAN, **self._bucket_cell(one, space, cond, fixed)}
        span = one.window_s * US if one.window_s is not None else None
        return {D.R_CODE: D.X_MEAN64 if span is None else D.X_MEAN32, D.R_CELL: self._count_cell(space, cond, span),
                D.R_A: ("float", self.values[fixed]["factor"]), D.R_B: self._sum_cell(space, cond, span, fixed),
                D.R_VALUE: fixed}  # fmt: skip

    def _extreme(self, one: FeatureDefinition, space: Space, cond: int, value: int, is_max: bool) -> Word:
        flags = int(self.inputs[value].kind is Kind.FLOAT) | (2 if is_max else 0)
        if one.window_s is None:

            def make_life() -> tuple[Cell, Cell]:
                cell, has = space.row.cell(8), space.row.cell(4)
                self._life(space, cond)
                self.life_ops.append({D.OP_CODE: D.U_EXTREME, D.OP_SPACE: space, D.OP_COND: cond, D.OP_CELL: cell,
                                      D.OP_A: value, D.OP_B: flags, D.OP_C: has})  # fmt: skip
                return cell, has

            cell, has = self.shared(("extreme", id(space), cond, value, flags), make_life)
            return {D.R_CODE: D.X_EXTREME, D.R_CELL: cell, D.R_A: has}
        bucket = (one.bucket_s or 0) * US
        span = one.window_s * US if not bucket else one.window_s // (one.bucket_s or 1)
        self._windowed(space, cond, one.window_s * US + bucket, False)

        def make() -> Cell:
            cell = space.row.cell(8, -1)
            space.lists.append((D.LIST_DEQUE, cell, 0))
            self.nodes_per_event += 1
            self.window_ops.append({D.OP_CODE: D.U_DEQUE, D.OP_SPACE: space, D.OP_COND: cond, D.OP_CELL: cell,
                                    D.OP_A: value, D.OP_B: flags, D.OP_C: bucket, D.OP_D: span})  # fmt: skip
            return cell

        cell = self.shared(("deque", id(space), cond, value, flags, bucket, span), make)
        return {D.R_CODE: D.X_DEQUE, D.R_CELL: cell, D.R_A: bucket, D.R_B: span}

    def _plan_min(self, one: FeatureDefinition, space: Space, cond: int, value: int) -> Word:
        return self._extreme(one, space, cond, value, False)

    def _plan_max(self, one: FeatureDefinition, space: Space, cond: int, value: int) -> Word:
        return self._extreme(one, space, cond, value, True)

    def _window_pairs(self, space: Space, cond: int, value: int, span: int, kind: str) -> tuple[Space, Cell, int]:
        """A pair space of the log, with the window `span` in it; the cell of its count."""
        pairs = self._pair_space(D.WINDOW_PAIRS, space, value, cond, kind)
        self._windowed(space, cond, span, True)

        def make() -> Cell:
            return space.row.cell(4)

        cell: Cell = self.shared(("pair window", id(pairs), span), make)
        if not any(known == span for known, _, _ in pairs.windows):
            pairs.windows.append((span, cell, -1))
            self.expiry[span].append({D.OP_CODE: D.E_PAIR, D.OP_SPACE: space, D.OP_C: pairs,
                                      D.OP_D: ("nth", pairs, span),
                                      D.OP_B: ("word", pairs)})  # fmt: skip
        self._update(("pairs", id(pairs)), False, {D.OP_CODE: D.U_PAIR_WINDOW, D.OP_SPACE: space, D.OP_COND: cond,
                                                   D.OP_A: pairs, D.OP_B: -1})  # fmt: skip
        return pairs, cell, span

    def _life_pairs(self, space: Space, cond: int, value: int) -> Space:
        pairs = self._pair_space(D.LIFE_PAIRS, space, value, cond)
        self._life(space, cond)
        if pairs.words[D.P_PAIRS] == -1:
            pairs.words[D.P_PAIRS] = space.row.cell(4)
            pairs.words[D.P_GEN] = self.shared(("generation", id(space)), lambda: space.row.cell(4))
            space.words[D.K_GEN] = pairs.words[D.P_GEN]
            self.life_ops.append({D.OP_CODE: D.U_PAIR_LIFE, D.OP_SPACE: space, D.OP_COND: cond, D.OP_A: pairs})
        return pairs

    def _plan_distinct(self, one: FeatureDefinition, space: Space, cond: int, value: int) -> Word:
        if one.window_s is None:
            pairs = self._life_pairs(space, cond, value)
            self._sketch_cell(space, pairs)
            return {D.R_CODE: D.X_DISTINCT_LIFE, D.R_CELL: pairs.words[D.P_PAIRS], D.R_A: pairs}
        if one.bucket_s is None:
            pairs, cell, span = self._window_pairs(space, cond, value, one.window_s * US, "distinct")
            self._sketch_cell(space, pairs)
            return {D.R_CODE: D.X_DISTINCT, D.R_CELL: cell, D.R_A: pairs, D.R_B: ("nth", pairs, span)}
        bucket, count = one.bucket_s * US, one.window_s // one.bucket_s
        pairs = self._pair_space(D.BUCKET_PAIRS, space, value, cond, bucket, count)
        self._windowed(space, cond, one.window_s * US + bucket, False)
        if pairs.words[D.P_HEAD] == -1:
            pairs.words |= {D.P_HEAD: space.row.cell(8, -1), D.P_DISTINCT: space.row.cell(4), D.P_BUCKET: bucket,
                            D.P_SPAN: count}  # fmt: skip
            self.nodes_per_event += 1
            self._sketch_cell(space, pairs)
            space.lists.append((D.LIST_BUCKET_PAIRS, pairs.words[D.P_HEAD], pairs))
            self.window_ops.append({D.OP_CODE: D.U_PAIR_BUCKET, D.OP_SPACE: space, D.OP_COND: cond, D.OP_A: pairs})
        return {D.R_CODE: D.X_DISTINCT_BUCKET, D.R_CELL: pairs.words[D.P_HEAD], D.R_A: pairs}

    def _plan_seen(self, one: FeatureDefinition, space: Space, cond: int, value: int) -> Word:
        pairs = self._life_pairs(space, cond, value)
        pairs.words[D.P_READ] = 1
        if one.window_s is not None and pairs.words[D.P_MOMENT] == -1:
            pairs.words[D.P_MOMENT] = pairs.row.cell(8, D.NONE)
        span = (one.window_s or 0) * US
        return {D.R_CODE: D.X_SEEN, D.R_CELL: 0, D.R_A: pairs, D.R_B: span, D.R_E: pairs.words[D.P_PAIRS]}

    def _plan_share(self, one: FeatureDefinition, space: Space, cond: int, value: int) -> Word:
        if one.window_s is None:
            pairs = self._life_pairs(space, cond, value)
            if pairs.words[D.P_COUNT] == -1:
                pairs.words[D.P_COUNT] = pairs.row.cell(8)
            cell, code, more = self._count_cell(space, cond, None), D.X_SHARE_LIFE, {D.R_E: pairs.words[D.P_PAIRS]}
        else:
            span = one.window_s * US
            pairs, _, _ = self._window_pairs(space, cond, value, span, "share")
            share = self.shared(("share", id(pairs), span), lambda: pairs.row.cell(4))
            pairs.windows = [(s, c, share if s == span else old) for s, c, old in pairs.windows]
            cell, code = self._count_cell(space, cond, span), D.X_SHARE_WINDOW
            more = {D.R_B: share, D.R_E: ("longest", pairs)}
        pairs.words[D.P_READ] = 1
        return {D.R_CODE: code, D.R_CELL: cell, D.R_A: pairs, **more}

    def _seen_last(self, space: Space, cond: int, name: str, size: int, word: Word) -> Cell:
        self._life(space, cond)

        def make() -> Cell:
            cell = space.row.cell(size, D.FAR if name == "first" else D.NONE)
            self.life_ops.append({D.OP_SPACE: space, D.OP_COND: cond, D.OP_CELL: cell, **word})
            return cell

        found: Cell = self.shared((name, id(space), cond), make)
        return found

    def _plan_last(self, one: FeatureDefinition, space: Space, cond: int, value: int) -> Word:
        cell = self._seen_last(space, cond, "last", 16, {D.OP_CODE: D.U_LAST, D.OP_A: value})
        return {D.R_CODE: D.X_LAST, D.R_CELL: cell, D.R_A: (one.window_s or 0) * US}

    def _plan_gap(self, one: FeatureDefinition, space: Space, cond: int, value: int) -> Word:
        cell = self._seen_last(space, cond, "moment", 8, {D.OP_CODE: D.U_MOMENT})
        return {D.R_CODE: D.X_GAP, D.R_CELL: cell, D.R_A: (one.window_s or 0) * US}

    def _plan_age(self, one: FeatureDefinition, space: Space, cond: int, value: int) -> Word:
        return {D.R_CODE: D.X_AGE, D.R_CELL: self._seen_last(space, cond, "first", 8, {D.OP_CODE: D.U_FIRST})}

    def _plan_speed(self, one: FeatureDefinition, space: Space, cond: int, value: int) -> Word:
        lat, lon = self.column("lat"), self.column("lon")
        cell = self._seen_last(space, cond, "place", 24, {D.OP_CODE: D.U_SPEED, D.OP_A: lat, D.OP_B: lon})
        return {D.R_CODE: D.X_SPEED, D.R_CELL: cell, D.R_A: lat, D.R_B: lon, D.R_C: (one.window_s or 0) * US}

    def _plan_decayed(self, one: FeatureDefinition, space: Space, cond: int, value: int) -> Word:
        half = round((one.half_life_s or 1.0) * US)
        space.windowed.add(cond)
        space.life = True

        def make() -> Cell:
            cell = space.row.cell(16)
            is_float = value >= 0 and self.inputs[value].kind is Kind.FLOAT
            self.window_ops.append({D.OP_CODE: D.U_DECAY, D.OP_SPACE: space, D.OP_COND: cond, D.OP_CELL: cell,
                                    D.OP_A: half, D.OP_B: value, D.OP_C: int(is_float)})  # fmt: skip
            return cell

        cell = self.shared(("decay", id(space), cond, value, half), make)
        return {D.R_CODE: D.X_DECAY, D.R_CELL: cell, D.R_A: half}

    # derived features

    def _derive(self, kinds: dict[str, Kind]) -> tuple[tuple[FeatureDefinition, Expression], ...]:
        """Compile derived features in an order in which each finds what it reads; problems are noted."""
        waiting = [one for one in self.definitions if one.operation == "derived" and (one.expression or "").strip()]
        ordered: list[tuple[FeatureDefinition, Expression]] = []
        while waiting:
            later: list[FeatureDefinition] = []
            failed: list[InvalidInput] = []
            names = {one.id for one in waiting}
            for one in waiting:
                scope = Scope({**self.columns, **kinds}, self.scope.lists)
                try:
                    compiled = compile_expression((one.expression or "").strip(), scope, one.origin.at("expression"))
                except InvalidInput as error:
                    failed.append(error)
                    later.append(one)
                    continue
                kinds[one.id] = compiled.kind
                ordered.append((one, compiled))
            if len(later) == len(waiting):
                for one, refusal in zip(later, failed, strict=True):
                    self._problems += refusal.problems
                    if any(name in (one.expression or "") for name in names):
                        hint = "it reads a derived feature that could not be compiled, or the two read each other"
                        text = f"{one.id}: its expression has no order of evaluation"
                        self._problems.append(Problem("features.order_of_derived", text, one.origin, hint=hint))
                break
            waiting = later
        return tuple(ordered)
