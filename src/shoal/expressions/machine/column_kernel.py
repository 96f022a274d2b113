# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""What a column of the frame and constants answer without a register between: the bulk of any rule. Hot path.

See `machine_kernel` for truth values. `a` is the place of the column's first value, `d` that of the register; a
comparison's constant is `b` itself for integers, text ids and times, and its place in the pool for floats. Whether the
value is known is put in by a second loop: bytes alone are done 32 at a time.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FIRST_COLUMN = 160
(
    EQ_CI, NE_CI, LT_CI, LE_CI, GT_CI, GE_CI, IN_CI, EQ_CF, NE_CF, LT_CF, LE_CF, GT_CF, GE_CF, IN_CF, NULL_C,
) = range(FIRST_COLUMN, FIRST_COLUMN + 15)  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _known(d, a, n, truth, valid):
    zero = np.uint8(0)
    for i in range(n):
        truth[d + i] = truth[d + i] & (zero - valid[a + i])


@njit(cache=True, nogil=True, error_model="numpy")
def _compare(op, d, a, constant, n, truth, values, valid):
    """A column against a constant; `op` as for integers."""
    two = np.uint8(2)
    if op == EQ_CI:
        for i in range(n):
            truth[d + i] = two - np.uint8(values[a + i] == constant)
    elif op == NE_CI:
        for i in range(n):
            truth[d + i] = two - np.uint8(values[a + i] != constant)
    elif op == LT_CI:
        for i in range(n):
            truth[d + i] = two - np.uint8(values[a + i] < constant)
    elif op == LE_CI:
        for i in range(n):
            truth[d + i] = two - np.uint8(values[a + i] <= constant)
    elif op == GT_CI:
        for i in range(n):
            truth[d + i] = two - np.uint8(values[a + i] > constant)
    else:
        for i in range(n):
            truth[d + i] = two - np.uint8(values[a + i] >= constant)
    _known(d, a, n, truth, valid)


@njit(cache=True, nogil=True, error_model="numpy")
def _member(d, a, begin, count, other, n, truth, values, valid, pool):
    """A column IN (sorted constants); `other` is the truth where it is not among them."""
    if count <= 8:
        one, miss = np.uint8(1), np.uint8(other)
        for i in range(n):
            truth[d + i] = 0
        for k in range(begin, begin + count):
            constant = pool[k]
            for i in range(n):
                truth[d + i] |= np.uint8(values[a + i] == constant)
        for i in range(n):
            truth[d + i] = truth[d + i] | (((truth[d + i] ^ one) << one) & miss)
    else:
        for i in range(n):
            x = values[a + i]
            low, high = begin, begin + count
            while low < high:
                middle = (low + high) >> 1
                if pool[middle] < x:
                    low = middle + 1
                else:
                    high = middle
            truth[d + i] = np.uint8(1) if low < begin + count and pool[low] == x else np.uint8(other)
    _known(d, a, n, truth, valid)


@njit(cache=True, nogil=True, error_model="numpy")
def run_column(op, d, a, b, c, e, n, truth, values, floats, valid, pool, float_pool):
    """One question to one column."""
    if op < IN_CI:
        _compare(op, d, a, b, n, truth, values, valid)
    elif op == IN_CI:
        _member(d, a, b, c, e, n, truth, values, valid, pool)
    elif op < IN_CF:
        _compare(op - EQ_CF + EQ_CI, d, a, float_pool[b], n, truth, floats, valid)
    elif op == IN_CF:
        _member(d, a, b, c, e, n, truth, floats, valid, float_pool)
    else:
        one = np.uint8(1)
        for i in range(n):
            truth[d + i] = one + valid[a + i]
