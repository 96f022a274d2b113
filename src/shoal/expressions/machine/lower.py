"""The lowering: from typed trees to the code of the register machine.

Equal sub-trees (of all expressions of one Program) become one value; values become registers, which are used again
after the last reading. What needs the characters of texts is not lowered: it becomes a column of the text stage, which
the machine loads. Works once per Program; owns nothing afterwards.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from shoal.events.schema import Kind
from shoal.expressions.compile import needs_characters
from shoal.expressions.frame import Layout
from shoal.expressions.machine import column_kernel as c
from shoal.expressions.machine import machine_kernel as m
from shoal.expressions.machine import numbers_kernel as k
from shoal.expressions.tree import Node

_INT: dict[str, int] = {
    "add": k.ADD_I, "sub": k.SUB_I, "mul": k.MUL_I, "idiv": k.IDIV_I, "mod": k.MOD_I, "neg": k.NEG_I,
    "abs": k.ABS_I, "least": k.LEAST_I, "greatest": k.GREATEST_I, "eq": k.EQ_I, "ne": k.NE_I, "lt": k.LT_I,
    "le": k.LE_I, "distinct": k.DISTINCT_I, "time_sub": k.TIME_SUB, "time_add": k.TIME_ADD, "hour": k.HOUR,
    "minute": k.MINUTE, "second": k.SECOND, "dayofweek": k.DAYOFWEEK, "epoch": k.EPOCH, "to_float": k.I_TO_F,
    "to_bool": m.I_TO_B, "coalesce": m.COALESCE_N, "is_null": m.NULL_N,
}  # fmt: skip
_FLOAT: dict[str, int] = {
    "add": k.ADD_F, "sub": k.SUB_F, "mul": k.MUL_F, "div": k.DIV_F, "idiv": k.IDIV_F, "mod": k.MOD_F,
    "neg": k.NEG_F, "abs": k.ABS_F, "least": k.LEAST_F, "greatest": k.GREATEST_F, "eq": k.EQ_F, "ne": k.NE_F,
    "lt": k.LT_F, "le": k.LE_F, "distinct": k.DISTINCT_F, "to_int": k.F_TO_I, "floor": k.FLOOR, "ceil": k.CEIL,
    "round": k.ROUND, "trunc": k.TRUNC, "sqrt": k.SQRT, "ln": k.LN, "log10": k.LOG10, "exp": k.EXP, "pow": k.POW,
    "distance_km": k.DISTANCE, "coalesce": m.COALESCE_N, "is_null": m.NULL_N,
}  # fmt: skip
_BOOL: dict[str, int] = {
    "and": m.AND, "or": m.OR, "not": m.NOT, "is_null": m.NULL_B, "is_true": m.IS_TRUE, "is_false": m.IS_FALSE,
    "eq": m.EQ_B, "ne": m.NE_B, "distinct": m.DISTINCT_B, "coalesce": m.COALESCE_B, "to_int": m.B_TO_I,
}  # fmt: skip
_COLUMN_INT = {"eq": c.EQ_CI, "ne": c.NE_CI, "lt": c.LT_CI, "le": c.LE_CI}
_COLUMN_FLOAT = {"eq": c.EQ_CF, "ne": c.NE_CF, "lt": c.LT_CF, "le": c.LE_CF}
_CONSTANT_INT = {"eq": c.EQ_CI, "ne": c.NE_CI, "lt": c.GT_CI, "le": c.GE_CI}
_CONSTANT_FLOAT = {"eq": c.EQ_CF, "ne": c.NE_CF, "lt": c.GT_CF, "le": c.GE_CF}
_FOLDED = frozenset({"and", "or", "coalesce", "least", "greatest"})


class Sharing:
    """Hash-consing: equal trees become one object."""

    def __init__(self) -> None:
        self._by_shape: dict[tuple[object, ...], Node] = {}
        self._by_id: dict[int, tuple[Node, Node]] = {}

    def share(self, node: Node) -> Node:
        """The one node that stands for all trees equal to `node`."""
        known = self._by_id.get(id(node))
        if known is not None:
            return known[1]
        args = tuple(self.share(arg) for arg in node.args)
        shape = (node.op, node.kind, repr(node.value), *map(id, args))
        made = self._by_shape.setdefault(shape, Node(node.op, node.kind, args, node.value))
        self._by_id[id(node)] = (node, made)  # holds `node`, so that its id is not given again
        self._by_id[id(made)] = (made, made)
        return made


@dataclass
class _Step:
    """One instruction on values (not yet registers); `target` None is a store."""

    op: int
    args: tuple[int, ...]
    aux: tuple[int, ...] = ()
    target: int | None = None


@dataclass
class Code:
    """What the machine needs: instructions, constants by register, pools, and the text stage's nodes."""

    instructions: npt.NDArray[np.int64]
    numbers: int
    truths: int
    number_constants: dict[int, int | None]
    truth_constants: dict[int, int]
    pool: npt.NDArray[np.int64]
    float_pool: npt.NDArray[np.float64]
    stage: tuple[Node, ...]


@dataclass
class Lowering:
    """Lowers the roots of one Program. `list_ids` holds the ids of the lists of texts."""

    layout: Layout
    id_of: Callable[[str], int]
    list_ids: dict[str, list[int]]
    sharing: Sharing = field(default_factory=Sharing)
    stage: list[Node] = field(default_factory=list)
    _steps: list[_Step] = field(default_factory=list)
    _is_truth: list[bool] = field(default_factory=list)
    _values: dict[int, int] = field(default_factory=dict)
    _constants: dict[tuple[bool, int | None], int] = field(default_factory=dict)
    _shapes: dict[tuple[object, ...], int] = field(default_factory=dict)
    _pool: list[int] = field(default_factory=list)
    _float_pool: list[float] = field(default_factory=list)

    def lower(self, roots: Iterable[Node]) -> Code:
        """The code that stores the value of each root in the output row of its number."""
        for row, root in enumerate(roots):
            value = self._value(self.sharing.share(root))
            store = m.STORE_B if self._is_truth[value] else m.STORE_N
            self._steps.append(_Step(store, (value,), (row,)))
        return self._allocate()

    def _new(self, is_truth: bool) -> int:
        self._is_truth.append(is_truth)
        return len(self._is_truth) - 1

    def _emit(self, op: int, args: tuple[int, ...], is_truth: bool, aux: tuple[int, ...] = ()) -> int:
        shape = (op, args, aux)
        known = self._shapes.get(shape)
        if known is None:
            known = self._shapes[shape] = self._new(is_truth)
            self._steps.append(_Step(op, args, aux, known))
        return known

    def _constant(self, is_truth: bool, bits: int | None) -> int:
        key = (is_truth, bits)
        if key not in self._constants:
            self._constants[key] = self._new(is_truth)
        return self._constants[key]

    def _value(self, node: Node) -> int:
        known = self._values.get(id(node))
        if known is None:
            known = self._values[id(node)] = self._lowered(node)
        return known

    def _lowered(self, node: Node) -> int:
        is_truth = node.kind is Kind.BOOL
        if node.op == "column":
            return self._emit(m.LOAD_B if is_truth else m.LOAD_N, (), is_truth, (self._column(node),))
        if node.op == "null":
            return self._constant(is_truth, None)
        if node.op == "literal":
            return self._constant(is_truth, self._bits(node))
        if needs_characters(node, frozenset(self.list_ids)):
            self.stage.append(node)
            return self._emit(m.LOAD_XB if is_truth else m.LOAD_XN, (), is_truth, (len(self.stage) - 1,))
        if node.op == "in" or node.op == "in_list":
            return self._in(node)
        if node.op in _FOLDED:
            op, result = _operation(node.op, node.args[0].kind), self._value(node.args[0])
            for arg in node.args[1:]:
                result = self._emit(op, (result, self._value(arg)), is_truth)
            return result
        if node.op in _COLUMN_INT and node.args[0].kind is not Kind.BOOL:
            return self._compared(node.op, *node.args)
        if node.op == "between":
            low = self._compared("le", node.args[1], node.args[0])
            return self._emit(m.AND, (low, self._compared("le", node.args[0], node.args[2])), True)
        if node.op == "is_null" and node.args[0].op == "column":
            return self._emit(c.NULL_C, (), True, (self._column(node.args[0]),))
        args = [self._value(arg) for arg in node.args]
        if node.op == "case":
            result = args[-1]
            for i in range(len(args) - 3, -1, -2):
                result = self._emit(m.SELECT_B if is_truth else m.SELECT_N, (args[i], args[i + 1], result), is_truth)
            return result
        if node.op == "nullif":
            equal = self._emit(_operation("eq", node.args[0].kind), (args[0], args[1]), True)
            return self._emit(
                m.SELECT_B if is_truth else m.SELECT_N, (equal, self._constant(is_truth, None), args[0]), is_truth
            )
        if node.op == "to_float" and node.args[0].kind is Kind.BOOL:
            return self._emit(k.I_TO_F, (self._emit(m.B_TO_I, (args[0],), False),), False)
        return self._emit(_operation(node.op, node.args[0].kind), tuple(args), is_truth)

    def _column(self, node: Node) -> int:
        return self.layout.index[str(node.value)]

    def _compared(self, op: str, left: Node, right: Node) -> int:
        """A comparison by value; that of a column with a constant reads the column without a load."""
        is_float = left.kind is Kind.FLOAT
        if left.op == "column" and right.op == "literal":
            column, constant, table = left, right, _COLUMN_FLOAT if is_float else _COLUMN_INT
        elif right.op == "column" and left.op == "literal":
            column, constant, table = right, left, _CONSTANT_FLOAT if is_float else _CONSTANT_INT
        else:
            return self._emit(_operation(op, left.kind), (self._value(left), self._value(right)), True)
        bits = self._pooled(constant.value) if is_float else self._bits(constant)
        return self._emit(table[op], (), True, (self._column(column), bits))

    def _pooled(self, number: float) -> int:
        """The place of one float in the pool."""
        self._float_pool.append(float(number))
        return len(self._float_pool) - 1

    def _in(self, node: Node) -> int:
        subject = node.args[0]
        if node.op == "in_list":
            numbers: list[int] = self.list_ids[str(node.value)]
            other = 2
        else:
            constants, has_null = node.value
            other = 0 if has_null else 2
            if subject.kind is Kind.FLOAT:
                floats = sorted({float(constant) for constant in constants})
                first = len(self._float_pool)
                self._float_pool += floats
                return self._member(k.IN_F, c.IN_CF, subject, (first, len(floats), other))
            text = subject.kind is Kind.TEXT
            numbers = [self.id_of(constant) if text else int(constant) for constant in constants]
        numbers = sorted(set(numbers))
        first = len(self._pool)
        self._pool += numbers
        return self._member(k.IN_I, c.IN_CI, subject, (first, len(numbers), other))

    def _member(self, by_register: int, by_column: int, subject: Node, pooled: tuple[int, ...]) -> int:
        if subject.op == "column":
            return self._emit(by_column, (), True, (self._column(subject), *pooled))
        return self._emit(by_register, (self._value(subject),), True, pooled)

    def _bits(self, node: Node) -> int:
        if node.kind is Kind.TEXT:
            return self.id_of(str(node.value))
        if node.kind is Kind.FLOAT:
            return int(struct.unpack("<q", struct.pack("<d", node.value))[0])
        assert isinstance(node.value, int)
        return int(node.value)

    def _allocate(self) -> Code:
        """Give registers to values: constants keep theirs, all others give theirs back after the last reading."""
        last = {value: i for i, step in enumerate(self._steps) for value in step.args}
        free: tuple[list[int], list[int]] = ([], [])
        used = [0, 0]
        place: dict[int, int] = {}
        for (is_truth, _), value in self._constants.items():
            place[value] = used[is_truth]
            used[is_truth] += 1
        pinned = set(place)
        rows = []
        for i, step in enumerate(self._steps):
            operands = [place[value] * m.STRIDE for value in step.args]
            if step.target is not None:  # before its operands are free: it must be none of them
                is_truth = self._is_truth[step.target]
                if not free[is_truth]:
                    free[is_truth].append(used[is_truth])
                    used[is_truth] += 1
                place[step.target] = free[is_truth].pop()
                row = [step.op, place[step.target] * m.STRIDE, *operands, *step.aux]
            else:
                row = [step.op, step.aux[0], *operands]
            rows.append(row + [0] * (6 - len(row)))
            ended = [value for value in step.args if last[value] == i and value not in pinned]
            if step.target is not None and step.target not in last:
                ended.append(step.target)
            for value in dict.fromkeys(ended):
                free[self._is_truth[value]].append(place[value])
        return Code(
            np.array(rows, dtype=np.int64).reshape(-1, 6),
            used[False],
            used[True],
            {place[value]: bits for (is_truth, bits), value in self._constants.items() if not is_truth},
            {
                place[value]: 0 if bits is None else 1 if bits else 2
                for (is_truth, bits), value in self._constants.items()
                if is_truth
            },
            np.array(self._pool or [0], dtype=np.int64),
            np.array(self._float_pool or [0.0], dtype=np.float64),
            tuple(self.stage),
        )


def _operation(op: str, kind: Kind) -> int:
    """The machine's operation for an `op` whose first argument is of `kind`."""
    table = _BOOL if kind is Kind.BOOL else _FLOAT if kind is Kind.FLOAT else _INT
    return table[op]
