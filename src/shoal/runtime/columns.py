"""Arrow columns as single arrays. Hot path."""

from __future__ import annotations

import pyarrow as pa


def one_chunk(table: pa.Table, name: str) -> pa.Array:
    """A column as one Arrow array, without a copy where it has one chunk."""
    column = table.column(name)
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], type=column.type)
