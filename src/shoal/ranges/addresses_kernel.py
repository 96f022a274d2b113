# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Address texts in bulk."""

from __future__ import annotations
import numpy as np
import numpy.typing as npt
import pyarrow as pa

UInt64s = npt.NDArray[np.uint64]
Int8s = npt.NDArray[np.int8]


def parse_addresses(texts: pa.Array) -> tuple[UInt64s, UInt64s, Int8s]:
    """(hi, lo, version): halves uint64[n] of the 128-bit address and 4, 6 or 0 (not an address, null)."""
    raise NotImplementedError


def prefix_texts(hi: UInt64s, lo: UInt64s, version: Int8s) -> pa.Array:
    """`a.b.c.0/24` or `x:y:z::/48` of each address; null where version is 0."""
    raise NotImplementedError
