# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The timestamped sketch that takes over a key's distinct counts above the cap on pairs. Hot path.

A HyperLogLog whose every (register, rank) cell keeps the position of its newest event instead of a bit, so that the
register of a window falls back to the next live rank when the tail passes that event: exact expiry, one state for all
windows (idea: Chabchoub and Hébrail, Sliding HyperLogLog, ICDMW 2010). A histogram of registers per window is kept, so
that an estimate costs one pass over 24 counts: Ertl's improved raw estimator (arXiv:1702.01284, algorithm 6), which
needs no bias table. Standard error 1.04 / sqrt(1024) = 3.25 %.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from shoal.features.descriptor import (
    NONE,
    SKETCH_BITS,
    SKETCH_NEWEST,
    SKETCH_RANKS,
    SKETCH_REGISTERS,
    SKETCH_WINDOW_BYTES,
)
from shoal.features.kernel.access_kernel import load8, load32, load64, mix, store8, store32, store64

_TOP = 53 - SKETCH_BITS


@njit(cache=True, nogil=True)
def cell_of(ident):
    """The (register, rank) cell of a value's id."""
    bits = mix(ident, 0x5EED)
    register = bits & (SKETCH_REGISTERS - 1)
    rest = (bits >> SKETCH_BITS) & ((1 << (_TOP + 1)) - 1)
    rank = 1
    while rank < SKETCH_RANKS and (rest >> (_TOP + 1 - rank)) & 1 == 0:
        rank += 1
    return register * SKETCH_RANKS + rank - 1


@njit(cache=True, nogil=True)
def _set_register(base, register, old, new):
    hist = base + SKETCH_REGISTERS
    store32(hist + 4 * old, load32(hist + 4 * old) - 1)
    store32(hist + 4 * new, load32(hist + 4 * new) + 1)
    store8(base + register, new)


@njit(cache=True, nogil=True)
def sketch_add(sketch, windows, cell, position):
    """Note an event of this cell at `position`, in all windows."""
    store64(sketch + 8 * cell, position)
    register = cell // SKETCH_RANKS
    rank = cell - register * SKETCH_RANKS + 1
    for k in range(windows):
        base = sketch + SKETCH_NEWEST + k * SKETCH_WINDOW_BYTES
        old = load8(base + register)
        if old < rank:
            _set_register(base, register, old, rank)


@njit(cache=True, nogil=True)
def sketch_expire(sketch, k, is_longest, cell, position):
    """The tail of window `k` passes the event of this cell at `position`."""
    if load64(sketch + 8 * cell) != position:
        return
    register = cell // SKETCH_RANKS
    rank = cell - register * SKETCH_RANKS + 1
    base = sketch + SKETCH_NEWEST + k * SKETCH_WINDOW_BYTES
    if load8(base + register) == rank:
        lower = rank - 1
        while lower > 0 and load64(sketch + 8 * (register * SKETCH_RANKS + lower - 1)) <= position:
            lower -= 1
        _set_register(base, register, rank, lower)
    if is_longest:
        store64(sketch + 8 * cell, NONE)


@njit(cache=True, nogil=True)
def sketch_is_empty(sketch, k):
    """Whether no register of window `k` is set."""
    return load32(sketch + SKETCH_NEWEST + k * SKETCH_WINDOW_BYTES + SKETCH_REGISTERS) == SKETCH_REGISTERS


@njit(cache=True, nogil=True)
def _sigma(x):
    if x >= 1.0:
        return math.inf
    y, z = 1.0, x
    while True:
        x *= x
        before = z
        z += x * y
        y += y
        if z == before:
            return z


@njit(cache=True, nogil=True)
def _tau(x):
    if x <= 0.0 or x >= 1.0:
        return 0.0
    y, z = 1.0, 1.0 - x
    while True:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1.0 - x) * (1.0 - x) * y
        if z == before:
            return z / 3.0


@njit(cache=True, nogil=True)
def sketch_count(sketch, k):
    """The estimated number of different values in window `k`, a whole number."""
    hist = sketch + SKETCH_NEWEST + k * SKETCH_WINDOW_BYTES + SKETCH_REGISTERS
    m = float(SKETCH_REGISTERS)
    if load32(hist) == SKETCH_REGISTERS:
        return 0
    z = m * _tau(1.0 - load32(hist + 4 * SKETCH_RANKS) / m)
    for rank in range(SKETCH_RANKS - 1, 0, -1):
        z = 0.5 * (z + load32(hist + 4 * rank))
    z += m * _sigma(load32(hist) / m)
    return np.int64(math.floor(m * m / (2.0 * math.log(2.0) * z) + 0.5))
