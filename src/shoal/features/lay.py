"""Laying out a plan: offsets of cells in rows, of fields in log records, and the descriptor's tables as int64 words.

A planned operation is a `Word`: a mapping from field to a number, or to a thing whose number is known only now (a
cell, a space, a fixed-point value, a window). `lay_tables` decides all offsets, then writes every table.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.features import descriptor as D  # noqa: N812 - a namespace of constants

if TYPE_CHECKING:
    from shoal.features.plan import Plan, Space

Word = dict[int, Any]


@dataclass(eq=False)
class Cell:
    """A cell of a row: its size in bytes, the value of its first word in a new row, and, once laid, its offset."""

    size: int
    initial: int
    offset: int = -1


@dataclass
class Row:
    """The cells of the rows of one space. 8-byte cells come first, so that all are aligned."""

    cells: list[Cell] = field(default_factory=list)
    size: int = D.ROW_CELLS
    template: bytes = b""

    def cell(self, size: int, initial: int = 0) -> Cell:
        """A new cell of 4 or a multiple of 8 bytes."""
        cell = Cell(size, initial)
        self.cells.append(cell)
        return cell

    def lay(self) -> None:
        """Give every cell its offset, and make the template of a new row."""
        offset = D.ROW_CELLS
        for cell in sorted(self.cells, key=lambda c: c.size == 4):
            cell.offset = offset
            offset += cell.size
        self.size = (offset + 7) & ~7
        template = bytearray(self.size)
        for cell in self.cells:
            struct.pack_into("<i" if cell.size == 4 else "<q", template, cell.offset, cell.initial)
        self.template = bytes(template)


class _Writer:
    """Appends tables behind the header and resolves what planned words refer to."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.words: list[int] = [0] * D.HEADER
        counted = {w[D.OP_COND] for ops in plan.expiry.values() for w in ops if w[D.OP_CODE] == D.E_COUNT}
        order = sorted(range(len(plan.conditions)), key=lambda c: (c not in counted, c))
        self.condition = {old: new for new, old in enumerate(order)}
        self.order, self.logged_conditions = order, len(counted)
        self.spans = sorted(plan.expiry)

    def block(self, count: int) -> int:
        """A new run of zero words; where it begins."""
        start = len(self.words)
        self.words.extend([0] * count)
        return start

    def run_of(self, numbers: Iterable[int]) -> int:
        """A new run of the given words; where it begins."""
        start = len(self.words)
        self.words.extend(numbers)
        return start

    def space_at(self, space: Space) -> int:
        """The word at which a space's record begins."""
        return self.words[D.O_SPACE] + space.number * D.SPACE_WORDS

    def value_at(self, number: int) -> int:
        """The word at which a fixed-point value's record begins."""
        return self.words[D.O_VALUE] + number * D.VALUE_WORDS

    def number(self, thing: Any) -> int:
        """What a planned word is as a number."""
        if isinstance(thing, int | np.integer):
            return int(thing)
        if isinstance(thing, Cell):
            return thing.offset
        if not isinstance(thing, tuple):
            return self.space_at(thing)
        name, what = thing[0], thing[1]
        if name == "value":
            return self.value_at(what)
        if name == "float":
            return int(struct.unpack("<q", struct.pack("<d", what))[0])
        if name == "word":
            return int(what.words[D.P_WORD])
        spans = sorted(span for span, _, _ in what.windows)
        if name == "nth":
            return spans.index(thing[2])
        return int(next(cell.offset for span, cell, _ in what.windows if span == spans[-1]))

    def operations(self, ops: list[Word]) -> int:
        """A table of operations; where it begins."""
        start = self.block(len(ops) * D.OP_WORDS)
        for k, op in enumerate(ops):
            for place, thing in op.items():
                number = self.condition[thing] if place == D.OP_COND else self.number(thing)
                self.words[start + k * D.OP_WORDS + place] = number
        return start


def _lay_record(plan: Plan, writer: _Writer) -> None:
    """Offsets in a log record."""
    offset = 8
    for space in plan.keys:
        space.words[D.K_WORD] = -1
        if space.logged:
            space.words[D.K_WORD] = offset
            offset += 4
    inline = writer.logged_conditions <= D.INLINE_CONDS
    writer.words[D.COND_INLINE] = int(inline)
    writer.words[D.LOG_CONDS] = writer.logged_conditions
    writer.words[D.O_LOG_CONDS] = offset
    if not inline:
        offset += 4 * ((writer.logged_conditions + 31) // 32)
    for space in plan.pairs:
        if space.kind == D.WINDOW_PAIRS:
            space.words[D.P_WORD] = offset
            offset += 4
    for value in plan.values:
        value["word"], value["bytes"] = -1, 0
        if value["log"]:
            value["bytes"] = 4 if value["largest"] < 2**31 else 8
            value["word"] = offset
            offset += value["bytes"]
    writer.words[D.REC_BYTES] = (offset + 3) & ~3


def _masks(writer: _Writer, conditions: set[int]) -> list[int]:
    words = [0] * writer.words[D.COND_WORDS]
    for old in conditions:
        new = writer.condition[old]
        words[new >> 6] |= 1 << (new & 63)
    return [word - 2**64 if word >= 2**63 else word for word in words]


def _lay_spaces(plan: Plan, writer: _Writer) -> None:
    words = writer.words
    for space in plan.keys:
        at = writer.space_at(space)
        parts = space.words["parts"]  # type: ignore[index]
        words[at + D.K_PARTS], words[at + D.K_COUNT] = writer.run_of(parts), len(parts)
        words[at + D.K_KEEP], words[at + D.K_LIFE] = space.keep, int(space.life)
        words[at + D.K_WORD] = space.words[D.K_WORD]
        words[at + D.K_GEN] = writer.number(space.words.get(D.K_GEN, -1))
        lists = [writer.number(part) for entry in space.lists for part in entry]
        words[at + D.K_LISTS], words[at + D.K_NLISTS] = writer.run_of(lists), len(space.lists)
        words[at + D.K_WMASK] = writer.run_of(_masks(writer, space.windowed))
        words[at + D.K_LMASK] = writer.run_of(_masks(writer, space.lifelong))
        words[at + D.K_GMASK] = writer.run_of(_masks(writer, space.logged))
    for space in plan.pairs:
        at = writer.space_at(space)
        for place, thing in space.words.items():
            if isinstance(place, int):
                words[at + place] = writer.condition[thing] if place == D.P_COND else writer.number(thing)
        words[at + D.P_KEY] = writer.space_at(space.words["key"])  # type: ignore[index]
        run: list[int] = []
        for span, cell, share in sorted(space.windows, key=lambda window: window[0]):
            run += [writer.spans.index(span), cell.offset, writer.number(share)]
        words[at + D.P_WINDOWS], words[at + D.P_NWINDOWS] = writer.run_of(run), len(space.windows)
    for space in plan.spaces:
        at = writer.space_at(space)
        words[at + D.KIND], words[at + D.ROW_BYTES], words[at + D.FREE] = space.kind, space.row.size, -1


def _lay_pools(plan: Plan, writer: _Writer) -> None:
    words = writer.words
    windows = max((len(space.windows) or 1 for space in plan.pairs), default=1)
    sketched = [space for space in plan.pairs if words[writer.space_at(space) + D.P_SKETCH] >= 0]
    for field_, size in ((D.NODES, D.NODE_BYTES), (D.SKETCHES, D.SKETCH_NEWEST + windows * D.SKETCH_WINDOW_BYTES)):
        at = writer.block(D.SPACE_WORDS)
        words[field_] = at
        words[at + D.KIND], words[at + D.ROW_BYTES], words[at + D.FREE] = D.POOL, (size + 7) & ~7, -1
    words[D.NODES_PER_EVENT], words[D.SKETCHES_PER_EVENT] = plan.nodes_per_event, len(sketched)
    words[D.SKETCH_WINDOWS] = windows


def _lay_expiry(plan: Plan, writer: _Writer) -> None:
    words = writer.words
    start = writer.block(len(writer.spans) * D.WINDOW_WORDS)
    words[D.N_WINDOW], words[D.O_WINDOW] = len(writer.spans), start
    for number, span in enumerate(writer.spans):
        ops: list[Word] = []
        seen: set[int] = set()
        for planned in plan.expiry[span]:
            op = dict(planned)
            space = op[D.OP_SPACE]
            if op[D.OP_CODE] == D.E_SUM:
                value = plan.values[op[D.OP_A][1]]
                op[D.OP_B], op[D.OP_C] = value["word"], value["bytes"]
            op[D.OP_A] = space.words[D.K_WORD]
            op[D.OP_E] = int(space.number not in seen)
            seen.add(space.number)
            ops.append(op)
        at = start + number * D.WINDOW_WORDS
        words[at + D.W_SPAN], words[at + D.W_NOPS] = span, len(ops)
        words[at + D.W_OPS] = writer.operations(ops)


def lay_tables(plan: Plan) -> None:
    """Decide all offsets of a plan and write `plan.table`."""
    writer = _Writer(plan)
    words = writer.words
    for number, space in enumerate(plan.spaces):
        space.number = number
        space.row.lay()
    words[D.COND_WORDS] = max(1, (len(plan.conditions) + 63) // 64)
    _lay_record(plan, writer)
    words[D.N_SPACE], words[D.N_KEY] = len(plan.spaces), len(plan.keys)
    words[D.O_SPACE] = writer.block(len(plan.spaces) * D.SPACE_WORDS)
    words[D.N_INPUT], words[D.O_INPUT] = len(plan.inputs), writer.block(len(plan.inputs) * D.INPUT_WORDS)
    words[D.N_COND] = len(plan.conditions)
    words[D.O_COND] = writer.run_of(part for old in writer.order for part in plan.conditions[old])
    words[D.N_VALUE], words[D.O_VALUE] = len(plan.values), writer.block(len(plan.values) * D.VALUE_WORDS)
    for number, value in enumerate(plan.values):
        at = writer.value_at(number)
        words[at + D.V_INPUT], words[at + D.V_FLOAT] = value["input"], int(value["float"])
        words[at + D.V_FACTOR], words[at + D.V_LARGEST] = writer.number(("float", value["factor"])), value["largest"]
        words[at + D.V_COND] = writer.condition[value["cond"]]
        words[at + D.V_WORD], words[at + D.V_BYTES] = value["word"], value["bytes"]
    _lay_spaces(plan, writer)
    _lay_pools(plan, writer)
    _lay_expiry(plan, writer)
    words[D.N_WUP], words[D.O_WUP] = len(plan.window_ops), writer.operations(plan.window_ops)
    words[D.N_LUP], words[D.O_LUP] = len(plan.life_ops), writer.operations(plan.life_ops)
    for before, count, place in ((True, D.N_PRE, D.O_PRE), (False, D.N_POST, D.O_POST)):
        reads = [read for one, read in plan.reads if one.includes_self != before]
        reads.sort(key=lambda read: read[D.R_SPACE].number)  # a key's row is found once for all its reads
        words[count] = len(reads)
        words[place] = start = writer.block(len(reads) * D.READ_WORDS)
        for k, read in enumerate(reads):
            plan.read_at[read[D.R_OUT]] = start + k * D.READ_WORDS
            for field_, thing in read.items():
                words[start + k * D.READ_WORDS + field_] = writer.number(thing)
    words[D.O_EVENT_CONDS] = writer.block(D.TILE * words[D.COND_WORDS])
    plan.table = np.array(words, dtype=np.int64)
