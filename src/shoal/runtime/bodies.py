"""Body hashes: whether two records with one id say the same.

The hash covers what a source gave, but not where and when it was received (source, partition, offset, received), so
that a
redelivery compares equal. It is seeded, not keyed: it only ever compares records under the same id. Hot path.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.events.schema import BY_NAME, EVENT_COLUMNS, Kind, Role
from shoal.runtime.stamps_kernel import fold_numbers, fold_texts

_OUTSIDE = {"event_id", "source", "partition", "offset", "received"}
_BODY = tuple(c.name for c in EVENT_COLUMNS if c.role in (Role.GIVEN, Role.ENRICHED) and c.name not in _OUTSIDE)
_SALT = {name: np.uint64((place + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) for place, name in enumerate(_BODY)}
_NO_MASK = np.ones(1, dtype=np.bool_)
_NO_DATA = np.zeros(1, dtype=np.uint8)


def one_chunk(table: pa.Table, name: str) -> pa.Array:
    """A column as one Arrow array without a copy where it has one chunk."""
    column = table.column(name)
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], type=column.type)


def body_hashes(table: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The body hash of each row, [n] int64; absent and null columns do not change it."""
    out = np.zeros(table.num_rows, dtype=np.uint64)
    for name in table.column_names:
        salt = _SALT.get(name)
        if salt is None or not table.num_rows:
            continue
        array = one_chunk(table, name)
        if array.null_count == len(array):
            continue
        has_nulls = array.null_count > 0
        mask = np.asarray(array.is_valid()) if has_nulls else _NO_MASK
        kind = BY_NAME[name].kind
        if kind is Kind.TEXT:
            _, offsets, data = array.buffers()
            places = np.frombuffer(offsets, dtype=np.int32)[array.offset : array.offset + len(array) + 1]
            octets = np.frombuffer(data, dtype=np.uint8) if data is not None and data.size else _NO_DATA
            fold_texts(octets, places, mask, has_nulls, salt, out)
        else:
            filled = pc.fill_null(array, False if kind is Kind.BOOL else 0) if has_nulls else array
            numbers = np.asarray(filled)
            values = numbers.view(np.int64) if kind is Kind.FLOAT else numbers.astype(np.int64, copy=False)
            fold_numbers(values, mask, has_nulls, salt, out)
    return out.view(np.int64)
