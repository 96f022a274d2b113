"""The Frame: one batch as kernels see it. Hot path.

`values` is int64 [columns, capacity] (a float column holds float64 by bit view; a text column the keyed ids of
`events.identity`; bool 0 or 1; times microseconds), `valid` is uint8 [columns, capacity], 1 where not null. Each row
of the two matrices is one column and is contiguous. NaN and infinities are null. A Frame is owned by one pipeline and
reused from batch to batch; `size` says how many rows count. Texts themselves are kept beside, as Arrow arrays, only
for the columns on which a text function is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.events.identity import Hash, Identity
from shoal.events.schema import Kind

Values = npt.NDArray[np.int64]
Valid = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Layout:
    """Which column stands in which row of a Frame's matrices."""

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    index: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", {name: i for i, name in enumerate(self.names)})

    @classmethod
    def of(cls, columns: Mapping[str, Kind]) -> Layout:
        """A layout of the given columns, in their order."""
        return cls(tuple(columns), tuple(columns.values()))

    def kind(self, name: str) -> Kind:
        """The kind of a column; KeyError where there is none."""
        return self.kinds[self.index[name]]

    def with_columns(self, more: Mapping[str, Kind]) -> Layout:
        """This layout with further columns behind (names must be new)."""
        return Layout(self.names + tuple(more), self.kinds + tuple(more.values()))


@dataclass
class Frame:
    """A batch in kernel form; see the module's docstring."""

    layout: Layout
    values: Values
    valid: Valid
    size: int
    texts: dict[str, pa.Array] = field(default_factory=dict)

    @classmethod
    def empty(cls, layout: Layout, capacity: int) -> Frame:
        """A frame of all-null rows."""
        shape = (len(layout.names), capacity)
        return cls(layout, np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.uint8), 0)

    @classmethod
    def of_rows(cls, rows: Sequence[Mapping[str, object]], layout: Layout, identity: Identity) -> Frame:
        """A frame from Python rows (tests, single decisions); missing keys are null."""
        arrays = {
            name: pa.array([row.get(name) for row in rows], type=kind.arrow)
            for name, kind in zip(layout.names, layout.kinds, strict=True)
        }
        frame = cls.empty(layout, max(len(rows), 1))
        frame.fill(pa.table(arrays), identity)
        return frame

    def fill(self, table: pa.Table, identity: Hash) -> None:
        """Load a table: columns of the layout that the table lacks become null, columns the layout lacks are ignored.

        Grows the matrices when the table has more rows than their capacity. Columns of the layout that are computed
        later (features, …) are
        simply overwritten afterwards.
        """
        self.size = table.num_rows
        if self.size > self.values.shape[1]:
            grown = Frame.empty(self.layout, self.size)
            self.values, self.valid = grown.values, grown.valid
        self.texts = {}
        present = set(table.column_names)
        for row, (name, kind) in enumerate(zip(self.layout.names, self.layout.kinds, strict=True)):
            if name not in present:
                self.valid[row, : self.size] = 0
                continue
            column = table.column(name)
            array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which copies even one
            self.set_array(row, kind, array, identity)
            if kind is Kind.TEXT:
                self.texts[name] = array

    def set_array(self, row: int, kind: Kind, array: pa.Array, identity: Hash) -> None:
        """Write one Arrow array (of the kind's Arrow type) into matrix row `row`."""
        size = len(array)
        target, mask = self.values[row, :size], self.valid[row, :size]
        if array.null_count == size:
            mask[:] = 0
            return
        if array.null_count:
            mask[:] = np.asarray(array.is_valid())
        else:
            mask[:] = 1
        if kind is Kind.TEXT:
            target[:] = identity.ids_of(array)
        elif kind is Kind.FLOAT:
            numbers = np.asarray(pc.fill_null(array, 0.0), dtype=np.float64)
            finite = np.isfinite(numbers)
            mask[~finite] = 0
            target[:] = np.where(finite, numbers, 0.0).view(np.int64)
        else:
            target[:] = np.asarray(pc.fill_null(array, False if kind is Kind.BOOL else 0), dtype=np.int64)

    def python(self, name: str) -> list[object]:
        """A column as Python values (None for null; a text column gives ids). For tests and explanations."""
        row = self.layout.index[name]
        kind = self.layout.kinds[row]
        raw: npt.NDArray[np.generic] = self.values[row, : self.size]
        if kind is Kind.FLOAT:
            raw = raw.view(np.float64)
        elif kind is Kind.BOOL:
            raw = raw.astype(np.bool_)
        return [value if ok else None for value, ok in zip(raw.tolist(), self.valid[row, : self.size], strict=True)]
