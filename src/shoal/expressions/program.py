"""`Program`: many expressions, one machine code, one call a batch. Hot path.

A Program is built once for a layout, an identity and lists; it owns its registers, and is used by one thread at a time.
Results are functions of the row alone: they never depend on the cut into batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.errors import InvalidInput, Problem, nearest_name
from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.expressions.compile import Expression, Scope, compile_expression
from shoal.expressions.frame import Frame, Layout, Valid, Values
from shoal.expressions.machine.demand import demands
from shoal.expressions.machine.fold import constant, constant_parts, replace_parts
from shoal.expressions.machine.lower import Lowering, Sharing
from shoal.expressions.machine.machine_kernel import LOAD_XB, LOAD_XN, STORE_B, STORE_T, STRIDE, run_code
from shoal.expressions.machine.stage import SMALL, TextStage
from shoal.expressions.tree import Node

Truths = npt.NDArray[np.int8]
_NOWHERE = np.zeros((1, 1), np.int64)


class ListLike(Protocol):
    """What a Program asks of a named list (`shoal.ranges.lists.NamedList`)."""

    @property
    def kind(self) -> str:
        """`text` or `address`."""

    @property
    def texts(self) -> frozenset[str]:
        """The entries of a list of texts."""

    def contains(self, texts: pa.Array) -> npt.NDArray[np.bool_]:
        """Which of the texts are in the list; null is not."""


class Program:
    """Expressions compiled together; common sub-expressions are computed once.

    Raises `InvalidInput` where the layout lacks a column, holds it as another kind, or a list is missing
    (`expression.unknown_column`, `expression.type`, `expression.unknown_list`).
    """

    kinds: tuple[Kind, ...]
    text_columns: frozenset[str]
    """The columns whose texts a frame must carry; for all others ids will do."""

    def __init__(
        self,
        expressions: Sequence[Expression],
        layout: Layout,
        identity: Identity,
        lists: Mapping[str, ListLike] | None = None,
    ) -> None:
        named = lists or {}
        _check(expressions, layout, named)
        self.kinds = tuple(expression.kind for expression in expressions)
        wanted = {name for expression in expressions for name in expression.lists}
        roots = _fold([expression.root for expression in expressions], identity)
        self._machine = _Machine(roots, layout, identity, {name: named[name] for name in wanted})
        self.text_columns = frozenset(self._machine.text_columns)

    def run(self, frame: Frame, values: Values | None = None, valid: Valid | None = None) -> tuple[Values, Valid]:
        """Evaluate all expressions on the frame's rows.

        Gives `values` int64 [P, size] in the frame's encoding (0 where null) and `valid` uint8 [P, size]; arrays that
        are given are filled and returned (they may be wider than `size`).
        """
        size = frame.size
        if values is None or valid is None:
            count = len(self.kinds)
            values, valid = np.empty((count, size), np.int64), np.empty((count, size), np.uint8)
        elif not (values.flags.c_contiguous and valid.flags.c_contiguous):  # the machine is compiled for these alone
            values[:, :size], valid[:, :size] = self.run(frame)
            return values, valid
        self._machine.run(frame, values, valid, size)
        return values, valid

    def truths(self, frame: Frame, out: Truths) -> None:
        """Evaluate all expressions, which must be BOOL, on the frame's rows: 1 true, 0 false, 2 unknown.

        Fills `out` int8 [P, >= size], which must be contiguous: an eighth of the memory that `run` writes.
        """
        self._machine.run_truths(frame, out.view(np.uint8), frame.size)


class _Machine:
    """Code, registers and text stage for a list of trees."""

    def __init__(
        self, roots: Sequence[Node], layout: Layout, identity: Identity, lists: Mapping[str, ListLike]
    ) -> None:
        text_lists = {name: found for name, found in lists.items() if found.kind == "text"}
        ids = {name: _ids(identity, found.texts) for name, found in text_lists.items()}
        contains = {name: found.contains for name, found in lists.items() if found.kind != "text"}
        lowering = Lowering(layout, identity.id_of, ids, Sharing())
        shared = [lowering.sharing.share(root) for root in roots]
        code = lowering.lower(shared)
        self._stage: TextStage | None = None
        self.text_columns: set[str] = set()
        self._guards: _Machine | None = None
        self._inner: _Machine | None = None
        if code.stage:
            guards = self._guard(demands(shared, code.stage), lowering.sharing, layout, identity, lists)
            self._stage = TextStage(code.stage, identity, contains, guards)
            self.text_columns |= self._stage.text_columns
            for row in code.instructions:
                if row[0] in (LOAD_XN, LOAD_XB):
                    row[2] = self._stage.rows[id(code.stage[row[2]])]
            if self._stage.inputs:
                self._inner = _Machine(self._stage.inputs, layout, identity, lists)
                self.text_columns |= self._inner.text_columns
        self._num = np.zeros((max(code.numbers, 1), STRIDE), np.int64)
        self._ok = np.zeros((max(code.numbers, 1), STRIDE), np.uint8)
        self._truth = np.zeros((max(code.truths, 1), STRIDE), np.uint8)
        for register, bits in code.number_constants.items():
            self._num[register] = bits or 0
            self._ok[register] = bits is not None
        for register, truth in code.truth_constants.items():
            self._truth[register] = truth
        self._code, self._pool, self._float_pool = code.instructions, code.pool, code.float_pool
        self._truth_code = self._code.copy()
        self._truth_code[self._code[:, 0] == STORE_B, 0] = STORE_T
        self._extra = np.zeros((max(len(code.stage), 1), 1), np.int64)
        self._extra_valid = np.zeros((max(len(code.stage), 1), 1), np.uint8)

    def _guard(
        self,
        wanted: Mapping[int, Node | None],
        sharing: Sharing,
        layout: Layout,
        identity: Identity,
        lists: Mapping[str, ListLike],
    ) -> dict[int, int]:
        """Compile the guards of the text stage; gives the number of the guard by id of the node."""
        shared = {key: sharing.share(guard) for key, guard in wanted.items() if guard is not None}
        different = {id(guard): guard for guard in shared.values()}
        number = {key: i for i, key in enumerate(different)}
        self._wanted = np.zeros((len(different), 1), np.uint8)
        if different:
            self._guards = _Machine(list(different.values()), layout, identity, lists)
        return {key: number[id(guard)] for key, guard in shared.items()}

    def run(self, frame: Frame, values: Values, valid: Valid, size: int) -> None:
        """Evaluate all roots, into `values` and `valid`."""
        self._prepare(frame, size)
        self._execute(self._code, frame, values, valid, size)

    def run_truths(self, frame: Frame, truths: Valid, size: int) -> None:
        """Evaluate roots that are all BOOL: 1 true, 0 false, 2 unknown."""
        self._prepare(frame, size)
        self._execute(self._truth_code, frame, _NOWHERE, truths, size)

    def _execute(self, code: Values, frame: Frame, values: Values, valid: Valid, size: int) -> None:
        run_code(
            code, self._num, self._ok, self._truth, frame.values, frame.valid, self._extra, self._extra_valid,
            self._pool, self._float_pool, values, valid, size,
        )  # fmt: skip

    def _prepare(self, frame: Frame, size: int) -> None:
        """What the machine reads beside the frame: the text stage, on the rows that the guards name."""
        if self._stage is None:
            return
        if size > self._extra.shape[1]:
            self._extra = np.zeros((self._extra.shape[0], size), np.int64)
            self._extra_valid = np.zeros((self._extra.shape[0], size), np.uint8)
            self._wanted = np.zeros((self._wanted.shape[0], size), np.uint8)
        if self._guards is not None:
            self._guards.run_truths(frame, self._wanted, size)
        inputs = self._inputs(frame, size) if self._inner is not None else {}
        self._stage.run(frame, inputs, self._wanted, self._extra, self._extra_valid)

    def _inputs(self, frame: Frame, size: int) -> dict[int, pa.Array]:
        """What the text stage reads from the machine: BOOL or INT arrays by node."""
        assert self._stage is not None
        assert self._inner is not None
        nodes = self._stage.inputs
        values, valid = np.empty((len(nodes), size), np.int64), np.empty((len(nodes), size), np.uint8)
        self._inner.run(frame, values, valid, size)
        made = {}
        for node, numbers, good in zip(nodes, values, valid, strict=True):
            raw = numbers.astype(np.bool_) if node.kind is Kind.BOOL else numbers
            made[id(node)] = pa.array(raw, mask=good == 0)
        return made


def warm() -> None:
    """Compile all kernels of this package, or load them from Numba's cache: some ten seconds, or a quarter of one.

    Texts come in memory that may be written and in memory that may not (of a file or a message): both are compiled.
    """
    columns = {"text": Kind.TEXT, "name": Kind.TEXT}
    layout, scope = Layout.of(columns), Scope(columns)
    texts = ("text LIKE '%a%'", "url_host(text)", "text = 'a'", "name = 'b' AND name LIKE 'b%'")
    made = [compile_expression(text, scope) for text in texts]
    program = Program(made, layout, Identity(bytes(16)))
    table = pa.table({"text": ["http://a/"] * (2 * SMALL), "name": ["b"] + ["c"] * (2 * SMALL - 1)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    message = sink.getvalue().to_pybytes()
    for rows in (table, pa.ipc.open_stream(message).read_all()):
        for size in (1, 2 * SMALL):
            frame = Frame.empty(layout, size)
            frame.fill(rows.slice(0, size), Identity(bytes(16)))
            program.run(frame)


def _fold(roots: Sequence[Node], identity: Identity) -> list[Node]:
    """The trees with what is the same on every row computed."""
    parts = constant_parts(roots)
    if not parts:
        return list(roots)
    frame = Frame.empty(Layout((), ()), 1)
    frame.size = 1
    values, valid = np.zeros((len(parts), 1), np.int64), np.zeros((len(parts), 1), np.uint8)
    _Machine(parts, frame.layout, identity, {}).run(frame, values, valid, 1)
    found = zip(parts, values[:, 0].tolist(), valid[:, 0].tolist(), strict=True)
    made = {id(part): constant(part.kind, bits, bool(known)) for part, bits, known in found}
    return [replace_parts(root, made) for root in roots]


def _ids(identity: Identity, texts: frozenset[str]) -> list[int]:
    ids: list[int] = identity.ids_of(pa.array(sorted(texts), pa.string())).tolist()
    return ids


def _check(expressions: Sequence[Expression], layout: Layout, lists: Mapping[str, ListLike]) -> None:
    problems = []
    for expression in expressions:
        for node in expression.root.walk():
            name = str(node.value)
            if node.op == "column" and name not in layout.index:
                near = nearest_name(name, layout.names)
                problems.append(Problem("expression.unknown_column", f"the frame has no column {name!r}", nearest=near))
            elif node.op == "column" and layout.kind(name) is not node.kind:
                message = f"column {name!r} is {layout.kind(name).name} in the frame"
                problems.append(Problem("expression.type", message, allowed=node.kind.name))
            elif node.op == "in_list" and name not in lists:
                near = nearest_name(name, lists)
                problems.append(Problem("expression.unknown_list", f"there is no list {name!r}", nearest=near))
    if problems:
        raise InvalidInput(list(dict.fromkeys(problems)))
