"""The text stage: the columns that the machine reads and that only characters can give. Hot path.

Runs before the machine, and computes a node only on the rows where it is wanted (`demand`). A node that reads one
column alone is computed once per distinct text where a batch repeats its texts, and remembered by text for batches of
one row; others are computed over their columns. What is remembered (bounded, by text) belongs to the stage and changes
speed only, never a result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.expressions.frame import Frame
from shoal.expressions.machine.text_kernel import code_rows, spread
from shoal.expressions.machine.texts import CHARACTERS, SEARCHES, buffers_of, matches
from shoal.expressions.tree import TEXTS, Node

EVERYWHERE = -1
_NO_ROWS = np.zeros(0, np.int64)
_STRICT = TEXTS | {"parse_int", "parse_float", "lt", "le", "in_list"}
Contains = Callable[[pa.Array], npt.NDArray[np.bool_]]
SMALL = 64
MAX_REMEMBERED, MAX_REMEMBERED_CHARACTERS = 4_096, 512


@dataclass
class _Column:
    """The nodes that read this column alone, each with its row and its guard, and what was found for its texts."""

    name: str
    nodes: list[tuple[Node, int, int]]
    strict: dict[int, bool] = field(default_factory=dict)
    """By row, whether null goes in, null comes out."""
    remembered: dict[str | None, dict[int, tuple[int, int]]] = field(default_factory=dict)


class TextStage:
    """Computes `nodes`, in the order of `rows` (row of the result by node).

    `guards` has by id of a node the number of the guard that says where it is wanted; a node that is not there is
    wanted everywhere. `inputs` are the nodes inside that the machine computes beforehand (conditions of a CASE of
    texts, numbers written as texts); the caller gives their values to `run`.
    """

    def __init__(
        self, nodes: Sequence[Node], identity: Identity, lists: Mapping[str, Contains], guards: Mapping[int, int]
    ) -> None:
        self.inputs: list[Node] = []
        self.text_columns: set[str] = set()
        self._identity = identity
        self._lists = lists
        self._columns: list[_Column] = []
        self._others: list[tuple[Node, int, int]] = []
        self._few, self._few_valid = np.zeros(1, np.int64), np.zeros(1, np.uint8)
        self.rows = self._plan(nodes, guards)

    def _plan(self, nodes: Sequence[Node], guards: Mapping[int, int]) -> dict[int, int]:
        """Give each node its row: nodes of one column alone stand together."""
        single: dict[str, list[Node]] = {}
        others: list[Node] = []
        for node in nodes:
            columns, inputs = self._reads(node)
            self.text_columns |= columns
            self.inputs += [found for found in inputs if found not in self.inputs]
            if len(columns) == 1 and not inputs:
                single.setdefault(next(iter(columns)), []).append(node)
            else:
                others.append(node)
        rows: dict[int, int] = {}
        for name, group in single.items():
            column = _Column(name, [])
            self._columns.append(column)
            for node in group:
                column.nodes.append((node, len(rows), guards.get(id(node), EVERYWHERE)))
                column.strict[len(rows)] = _is_strict(node)
                rows[id(node)] = len(rows)
        for node in others:
            self._others.append((node, len(rows), guards.get(id(node), EVERYWHERE)))
            rows[id(node)] = len(rows)
        return rows

    def _reads(self, node: Node) -> tuple[set[str], list[Node]]:
        """The text columns and the machine's values that a node reads."""
        if node.op == "column":
            return {str(node.value)}, []
        columns: set[str] = set()
        inputs: list[Node] = []
        for i, arg in enumerate(node.args):
            if self._by_machine(node, i):
                inputs.append(arg)
            else:
                below = self._reads(arg)
                columns |= below[0]
                inputs += below[1]
        return columns, inputs

    @staticmethod
    def _by_machine(node: Node, i: int) -> bool:
        return node.op == "to_text" or (node.op == "case" and i % 2 == 0 and i + 1 < len(node.args))

    def run(
        self,
        frame: Frame,
        inputs: Mapping[int, pa.Array],
        wanted: npt.NDArray[Any],
        values: npt.NDArray[Any],
        valid: npt.NDArray[Any],
    ) -> None:
        """Fill the rows of `values` and `valid` for the frame's rows; `inputs` by id of the node.

        `wanted` [guards, >= size] is not 0 where a guard is true; elsewhere the node is left null.
        """
        size = frame.size
        if size == 1:
            flags = wanted[:, 0].tolist()
            flags.append(1)  # at EVERYWHERE
            for column in self._columns:
                self._one(frame, column, flags, values, valid)
        else:
            for column in self._columns:
                self._many(frame, column, wanted, values, valid)
        for node, row, guard in self._others:
            columns = {name: _column(frame, name) for name in self.text_columns}
            few = _few(wanted, guard, size, None)
            if few is None:
                self._compute(node, columns, inputs, values[row, :size], valid[row, :size])
                continue
            valid[row, :size] = 0
            if len(few):
                taken = {name: texts.take(few) for name, texts in columns.items()}
                given = {key: array.take(few) for key, array in inputs.items()}
                self._scattered(node, taken, given, few, values[row], valid[row])

    def _many(
        self,
        frame: Frame,
        column: _Column,
        wanted: npt.NDArray[Any],
        values: npt.NDArray[Any],
        valid: npt.NDArray[Any],
    ) -> None:
        """Some rows: over the few that are wanted, else once per distinct text, else over the column."""
        size = frame.size
        texts = _column(frame, column.name)
        absent = texts.null_count == size
        known = frame.valid[frame.layout.index[column.name], :size] if texts.null_count else None
        chosen: dict[tuple[int, bool], npt.NDArray[Any] | None] = {}
        taken: dict[tuple[int, bool], pa.Array] = {}
        codes = source = None
        for node, row, guard in column.nodes:
            key = guard, column.strict[row]
            if key not in chosen:
                chosen[key] = _few(wanted, guard, size, known if key[1] else None)
            rows = _NO_ROWS if absent and key[1] else chosen[key]
            if rows is not None:
                found, good = values[row], valid[row]
                good[:size] = 0
                if not len(rows):
                    continue
                if key[1] and node.args[0].op == "column" and (node.op == "like" or node.op in SEARCHES):
                    found[rows] = matches(node.op, node.value, texts, rows)
                    good[rows] = 1
                    continue
                if key not in taken:
                    taken[key] = texts.take(pa.array(rows))
                self._scattered(node, {column.name: taken[key]}, {}, rows, found, good)
                continue
            if source is None:
                codes, firsts = self._coded(frame, column.name, texts) if size >= SMALL else (None, None)
                source = texts if codes is None else texts.take(firsts)
            if codes is None:
                self._compute(node, {column.name: source}, {}, values[row, :size], valid[row, :size])
            else:
                few, few_valid = self._few[: len(source)], self._few_valid[: len(source)]
                self._compute(node, {column.name: source}, {}, few, few_valid)
                spread(codes, self._few, self._few_valid, values[row], valid[row])

    def _scattered(
        self,
        node: Node,
        columns: Mapping[str, pa.Array],
        inputs: Mapping[int, pa.Array],
        rows: npt.NDArray[Any],
        values: npt.NDArray[Any],
        valid: npt.NDArray[Any],
    ) -> None:
        """One node over the columns' chosen rows, into its places."""
        found, good = np.empty(len(rows), np.int64), np.empty(len(rows), np.uint8)
        self._compute(node, columns, inputs, found, good)
        values[rows], valid[rows] = found, good

    def _one(
        self, frame: Frame, column: _Column, wanted: list[int], values: npt.NDArray[Any], valid: npt.NDArray[Any]
    ) -> None:
        """One row: what was found for the same text before, if it is remembered."""
        texts = text = known = None
        for node, row, guard in column.nodes:
            if not wanted[guard]:
                valid[row, 0] = 0
                continue
            if known is None:
                texts = _column(frame, column.name)
                text = texts[0].as_py()
                known = column.remembered.get(text)
                if known is None:
                    known = self._remember(column, text)
            found = known.get(row)
            if found is None:
                self._compute(node, {column.name: texts}, {}, values[row, :1], valid[row, :1])
                known[row] = int(values[row, 0]), int(valid[row, 0])
            else:
                values[row, 0], valid[row, 0] = found

    @staticmethod
    def _remember(column: _Column, text: str | None) -> dict[int, tuple[int, int]]:
        """Where to put what is found for a text; for a long one it is forgotten at once."""
        made: dict[int, tuple[int, int]] = {}
        if text is None or len(text) <= MAX_REMEMBERED_CHARACTERS:
            if len(column.remembered) >= MAX_REMEMBERED:
                column.remembered.clear()
            column.remembered[text] = made
        return made

    def _evaluate(self, node: Node, columns: Mapping[str, pa.Array], inputs: Mapping[int, pa.Array]) -> Any:
        if node.op == "column":
            return columns[str(node.value)]
        if node.op in ("literal", "null"):
            return pa.scalar(node.value if node.op == "literal" else None, node.kind.arrow)
        args = [
            inputs[id(arg)] if self._by_machine(node, i) else self._evaluate(arg, columns, inputs)
            for i, arg in enumerate(node.args)
        ]
        if node.op == "case":
            result = args[-1]
            for i in range(len(args) - 3, -1, -2):
                result = pc.if_else(pc.fill_null(args[i], False), args[i + 1], result)
            return result
        if node.op == "in_list":
            texts = self._array(args[0], 1)
            found = pa.array(self._lists[str(node.value)](texts), pa.bool_())
            found = pc.if_else(pc.is_valid(texts), found, pa.scalar(None, pa.bool_()))
            return found[0] if isinstance(args[0], pa.Scalar) else found
        return CHARACTERS[node.op](node.value, *args)

    def _coded(self, frame: Frame, name: str, texts: pa.Array) -> tuple[Any, Any]:
        """Codes of the rows and first row of each code, where the distinct texts are under a quarter of the rows."""
        size, row = frame.size, frame.layout.index[name]
        if texts.null_count == size:
            return np.zeros(size, np.int32), np.zeros(1, np.int32)
        most = size // 4
        if len(self._few) < most:
            self._few, self._few_valid = np.zeros(most, np.int64), np.zeros(most, np.uint8)
        codes, firsts = np.empty(size, np.int32), np.empty(most, np.int32)
        table = np.full(1 << (2 * most).bit_length(), -1, np.int32)
        data, offsets = buffers_of(texts)
        count = code_rows(frame.values[row, :size], frame.valid[row, :size], data, offsets, table, codes, firsts)
        return (None, None) if count < 0 else (codes, firsts[:count])

    @staticmethod
    def _array(result: Any, size: int) -> pa.Array:
        return pa.repeat(result, size) if isinstance(result, pa.Scalar) else result

    def _compute(
        self,
        node: Node,
        columns: Mapping[str, pa.Array],
        inputs: Mapping[int, pa.Array],
        values: npt.NDArray[Any],
        valid: npt.NDArray[Any],
    ) -> None:
        """One node over rows [n], into `values` and `valid` [n]."""
        if node.op == "like" or node.op in SEARCHES:  # without the way through Arrow's bits
            texts = self._array(self._evaluate(node.args[0], columns, inputs), len(values))
            values[:] = matches(node.op, node.value, texts)
            valid[:] = np.asarray(texts.is_valid()) if texts.null_count else 1
            return
        array = self._array(self._evaluate(node, columns, inputs), len(values))
        valid[:] = np.asarray(array.is_valid()) if array.null_count else 1
        if node.kind is Kind.TEXT:
            values[:] = self._identity.ids_of(array)
        elif node.kind is Kind.FLOAT:
            values[:] = np.asarray(pc.fill_null(array, 0.0)).view(np.int64)
        else:
            values[:] = np.asarray(pc.fill_null(array, False if node.kind is Kind.BOOL else 0), dtype=np.int64)


def _is_strict(node: Node) -> bool:
    """Whether a node is null wherever the column that it reads is null."""
    return node.op == "column" or (node.op in _STRICT and any(_is_strict(arg) for arg in node.args))


def _few(
    wanted: npt.NDArray[Any], guard: int, size: int, known: npt.NDArray[Any] | None
) -> npt.NDArray[np.int64] | None:
    """The rows where a guard is true and the text is known, if they are under a quarter of all; else None: all rows."""
    if guard == EVERYWHERE:
        if known is None:
            return None
        chosen = known
    else:
        chosen = wanted[guard, :size] if known is None else wanted[guard, :size] & known
    rows = np.flatnonzero(chosen.view(np.bool_))
    return rows if 4 * len(rows) < size or not len(rows) else None


def _column(frame: Frame, name: str) -> pa.Array:
    texts = frame.texts.get(name)
    if texts is None:
        return pa.nulls(frame.size, pa.string())
    return texts if len(texts) == frame.size else texts.slice(0, frame.size)
