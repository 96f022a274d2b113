# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The register machine: runs the code of a Program over a frame in tiles of 256 rows. Hot path.

Two files of registers: numbers (`num`, int64; `flt` is the same memory as float64; `ok` the null masks, 1 where not
null) and truths (`truth`, uint8: 0 unknown, 1 true, 2 false), all held as bare addresses (`memory_kernel`). An
instruction is a row of six int64: operation, destination, and up to four operands; a register is named by the place of
its first value (its number × STRIDE). A destination is never one of the operands, so that loops can be vectorised.
Constants live in registers that no instruction writes. The caller owns all arrays. Overflow, division by zero, NaN and
infinities become null after each operation; no fast-math, no parallel loops.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from shoal.expressions.machine.column_kernel import (
    EQ_CI,
    FIRST_COLUMN,
    GE_CF,
    GE_CI,
    GT_CF,
    GT_CI,
    LE_CF,
    LE_CI,
    LT_CF,
    LT_CI,
    NE_CI,
    run_column,
)
from shoal.expressions.machine.memory_kernel import address, as_floats
from shoal.expressions.machine.numbers_kernel import run_float, run_int

WIDTH = 256
STRIDE = WIDTH + 8
"""Registers are padded: at a stride of a power of two all of them would fall on the same cache sets."""

LOAD_N, LOAD_B, LOAD_XN, LOAD_XB, STORE_N, STORE_B = range(6)
AND, OR, NOT, NULL_N, NULL_B, IS_TRUE, IS_FALSE = range(6, 13)
SELECT_N, SELECT_B, COALESCE_N, COALESCE_B, B_TO_I, I_TO_B = range(13, 19)
EQ_B, NE_B, DISTINCT_B, STORE_T = range(19, 23)
FIRST_INT, FIRST_FLOAT = 32, 96


@njit(cache=True, nogil=True, error_model="numpy")
def _load(op, d, a, n, num, ok, truth, values, valid):
    if op == LOAD_N:
        for i in range(n):
            num[d + i] = values[a + i]
        for i in range(n):
            ok[d + i] = valid[a + i]
    else:
        zero, two = np.uint8(0), np.uint8(2)
        for i in range(n):
            truth[d + i] = two - np.uint8(values[a + i] != 0)
        for i in range(n):
            truth[d + i] = truth[d + i] & (zero - valid[a + i])


@njit(cache=True, nogil=True, error_model="numpy")
def _store(op, d, a, n, num, ok, truth, out, out_valid):
    one, two = np.uint8(1), np.uint8(2)
    if op == STORE_N:
        for i in range(n):
            out[d + i] = num[a + i] if ok[a + i] else 0
        for i in range(n):
            out_valid[d + i] = ok[a + i]
    elif op == STORE_T:  # as rules count: 1 true, 0 false, 2 unknown
        for i in range(n):
            out_valid[d + i] = two - truth[a + i]
    else:
        for i in range(n):
            out[d + i] = truth[a + i] & one
        for i in range(n):
            out_valid[d + i] = (truth[a + i] & one) | (truth[a + i] >> one)


@njit(cache=True, nogil=True, error_model="numpy")
def _logic(op, d, a, b, n, ok, truth):
    one, two = np.uint8(1), np.uint8(2)
    if op == AND:
        for i in range(n):
            x, y = truth[a + i], truth[b + i]
            truth[d + i] = ((x & y) & one) | ((x | y) & two)
    elif op == OR:
        for i in range(n):
            x, y = truth[a + i], truth[b + i]
            truth[d + i] = ((x | y) & one) | ((x & y) & two)
    elif op == NOT:
        for i in range(n):
            x = truth[a + i]
            truth[d + i] = ((x & one) << one) | (x >> one)
    elif op == NULL_N:
        for i in range(n):
            truth[d + i] = one + ok[a + i]
    elif op == NULL_B:
        for i in range(n):
            truth[d + i] = one + (truth[a + i] != 0)
    elif op == IS_TRUE:
        for i in range(n):
            truth[d + i] = two - (truth[a + i] == one)
    elif op == IS_FALSE:
        for i in range(n):
            truth[d + i] = two - (truth[a + i] == two)
    elif op == DISTINCT_B:
        for i in range(n):
            truth[d + i] = two - (truth[a + i] != truth[b + i])
    elif op == EQ_B:
        for i in range(n):
            x, y = truth[a + i], truth[b + i]
            truth[d + i] = np.uint8((x != 0) & (y != 0)) * (two - (x == y))
    elif op == NE_B:
        for i in range(n):
            x, y = truth[a + i], truth[b + i]
            truth[d + i] = np.uint8((x != 0) & (y != 0)) * (two - (x != y))


@njit(cache=True, nogil=True, error_model="numpy")
def _choose(op, d, a, b, c, n, num, ok, truth):
    if op == SELECT_N:
        for i in range(n):
            t = truth[a + i] == 1
            r = num[b + i] if t else num[c + i]
            v = ok[b + i] if t else ok[c + i]
            num[d + i] = r
            ok[d + i] = v
    elif op == SELECT_B:
        for i in range(n):
            truth[d + i] = truth[b + i] if truth[a + i] == 1 else truth[c + i]
    elif op == COALESCE_N:
        for i in range(n):
            v = ok[a + i]
            r = num[a + i] if v else num[b + i]
            w = v | ok[b + i]
            num[d + i] = r
            ok[d + i] = w
    elif op == COALESCE_B:
        for i in range(n):
            truth[d + i] = truth[a + i] if truth[a + i] != 0 else truth[b + i]
    elif op == B_TO_I:
        for i in range(n):
            num[d + i] = truth[a + i] & 1
            ok[d + i] = truth[a + i] != 0
    elif op == I_TO_B:
        for i in range(n):
            truth[d + i] = ok[a + i] * np.uint8(2 - (num[a + i] != 0))


@njit(cache=True, nogil=True, error_model="numpy")
def _step(
    op, d, a, b, c, e, n, start, num, flt, ok, truth, frame, extra, pool, float_pool, output
):  # fmt: skip
    """One instruction on `n` rows from `start`."""
    if op >= FIRST_COLUMN:
        values, valid, stride = frame
        run_column(op, d, a * stride + start, b, c, e, n, truth, values, as_floats(values), valid, pool, float_pool)
    elif op >= FIRST_FLOAT:
        run_float(op, d, a, b, c, e, n, num, flt, ok, truth, float_pool)
    elif op >= FIRST_INT:
        run_int(op, d, a, b, c, e, n, num, flt, ok, truth, pool)
    elif op >= SELECT_N and op <= I_TO_B:
        _choose(op, d, a, b, c, n, num, ok, truth)
    elif op >= AND and op != STORE_T:
        _logic(op, d, a, b, n, ok, truth)
    elif op <= LOAD_B:
        values, valid, stride = frame
        _load(op, d, a * stride + start, n, num, ok, truth, values, valid)
    elif op <= LOAD_XB:
        values, valid, stride = extra
        _load(op - LOAD_XN, d, a * stride + start, n, num, ok, truth, values, valid)
    else:
        values, valid, stride = output
        _store(op, d * stride + start, a, n, num, ok, truth, values, valid)


@njit(cache=True, nogil=True, error_model="numpy")
def _one_row(code, count, num, flt, ok, truth, frame, extra, pool, float_pool, output):
    """All of `code` on row 0: the frequent operations without a call, which would cost more than they do."""
    values, valid, stride = frame
    floats = as_floats(values)
    out, out_valid, out_stride = output
    for k in range(0, 6 * count, 6):
        op, d, a, b = code[k], code[k + 1], code[k + 2], code[k + 3]
        at = a * stride
        if op == AND:
            x, y = truth[a], truth[b]
            truth[d] = ((x & y) & 1) | ((x | y) & 2)
        elif op == OR:
            x, y = truth[a], truth[b]
            truth[d] = ((x | y) & 1) | ((x & y) & 2)
        elif op == NOT:
            x = truth[a]
            truth[d] = ((x & 1) << 1) | (x >> 1)
        elif op == LOAD_N:
            num[d], ok[d] = values[at], valid[at]
        elif op == LOAD_B:
            truth[d] = valid[at] * (2 - (values[at] != 0))
        elif op == STORE_B:
            x = truth[a]
            out[d * out_stride], out_valid[d * out_stride] = x & 1, (x & 1) | (x >> 1)
        elif op == STORE_T:
            out_valid[d * out_stride] = 2 - truth[a]
        elif op == EQ_CI:
            truth[d] = valid[at] * (2 - (values[at] == b))
        elif op == NE_CI:
            truth[d] = valid[at] * (2 - (values[at] != b))
        elif op == LT_CI:
            truth[d] = valid[at] * (2 - (values[at] < b))
        elif op == LE_CI:
            truth[d] = valid[at] * (2 - (values[at] <= b))
        elif op == GT_CI:
            truth[d] = valid[at] * (2 - (values[at] > b))
        elif op == GE_CI:
            truth[d] = valid[at] * (2 - (values[at] >= b))
        elif op == LT_CF:
            truth[d] = valid[at] * (2 - (floats[at] < float_pool[b]))
        elif op == LE_CF:
            truth[d] = valid[at] * (2 - (floats[at] <= float_pool[b]))
        elif op == GT_CF:
            truth[d] = valid[at] * (2 - (floats[at] > float_pool[b]))
        elif op == GE_CF:
            truth[d] = valid[at] * (2 - (floats[at] >= float_pool[b]))
        else:
            c, e = code[k + 4], code[k + 5]
            _step(op, d, a, b, c, e, 1, 0, num, flt, ok, truth, frame, extra, pool, float_pool, output)


@njit(cache=True, nogil=True, error_model="numpy")
def run_code(
    code, numbers, known, truths, values, valid, extra, extra_valid, pool, float_pool, out, out_valid, size
):  # fmt: skip
    """Run `code` [steps, 6] over rows 0 to `size` of `values`/`valid` and `extra`/`extra_valid`, into `out`.

    Stores of kind STORE_T write to `out_valid` alone. Rows of all matrices are contiguous.
    """
    num, ok, truth = address(numbers), address(known), address(truths)
    flt = as_floats(num)
    frame = (address(values), address(valid), values.shape[1])
    beside = (address(extra), address(extra_valid), extra.shape[1])
    output = (address(out), address(out_valid), out_valid.shape[1])
    steps, count = address(code), code.shape[0]
    ints, floats = address(pool), address(float_pool)
    if size == 1:
        _one_row(steps, count, num, flt, ok, truth, frame, beside, ints, floats, output)
        return
    for start in range(0, size, WIDTH):
        n = min(WIDTH, size - start)
        for k in range(0, 6 * count, 6):
            _step(
                steps[k], steps[k + 1], steps[k + 2], steps[k + 3], steps[k + 4], steps[k + 5], n, start,
                num, flt, ok, truth, frame, beside, ints, floats, output,
            )  # fmt: skip
