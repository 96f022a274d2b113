# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The one time-ordered log of live events: append at the head, expire at one tail a window, sweep behind. Hot path.

A record holds what expiry needs without hashing: its time, the rows of its keys (-1: that key was not counted), the
bits of the logged conditions, the pair words and the fixed-point values. A window's tail passes each record once; what
it finds 16 records ahead is prefetched. Records are never changed once written. The sweep walks the slabs a few rows
an event, and frees what can no longer be read: it never changes a value.
"""

from __future__ import annotations

from numba import njit

from shoal.features.descriptor import (
    BASE,
    BUCKET_PAIRS,
    COND_INLINE,
    E_COUNT,
    E_SUM,
    FAR,
    GENERATION,
    HEAD,
    K_GEN,
    K_KEEP,
    K_LIFE,
    K_LISTS,
    K_NLISTS,
    KEY_SPACE,
    KIND,
    LIFE_PAIRS,
    LIFE_US,
    LIST_BUCKET_PAIRS,
    LIST_DEQUE,
    LIST_WORDS,
    LIVE,
    LOG_BITS,
    N_SPACE,
    N_WINDOW,
    NONE,
    NOW,
    O_LOG_CONDS,
    O_SPACE,
    O_WINDOW,
    OP_A,
    OP_B,
    OP_C,
    OP_CELL,
    OP_CODE,
    OP_COND,
    OP_D,
    OP_E,
    OP_SPACE,
    OP_WORDS,
    P_KEY,
    P_NWINDOWS,
    P_WINDOWS,
    PIECE_MASK,
    PIECES,
    PW_WINDOW,
    PW_WORDS,
    REC_BYTES,
    ROW_BYTES,
    ROW_MARK,
    SPACE_WORDS,
    SWEEP,
    SWEPT,
    TEMPLATE,
    TIME_BITS,
    USED,
    W_NOPS,
    W_OPS,
    W_SPAN,
    W_TAIL,
    WINDOW_PAIRS,
    WINDOW_WORDS,
)
from shoal.features.kernel.access_kernel import copy_words, get, load32, load64, prefetch, put, store32, store64
from shoal.features.kernel.pair_kernel import drop_sketch, is_dead_mark, life_mark, pair_bucket_drop, pair_window_expire
from shoal.features.kernel.queue_kernel import drop_until
from shoal.features.kernel.table_kernel import remove, row_of

_AHEAD = 16
_TIME = (1 << TIME_BITS) - 1


@njit(cache=True, nogil=True)
def record_at(d, position):
    """The address of a log record."""
    bits = get(d, LOG_BITS)
    piece = load64(get(d, PIECES) + 8 * ((position >> bits) & get(d, PIECE_MASK)))
    return piece + (position & ((1 << bits) - 1)) * get(d, REC_BYTES)


@njit(cache=True, nogil=True)
def record_time(d, record):
    """The `as_of` of a record."""
    return (load64(record) & _TIME) + get(d, BASE)


@njit(cache=True, nogil=True)
def _has_bit(d, record, bit):
    if get(d, COND_INLINE):
        return (load64(record) >> (TIME_BITS + bit)) & 1
    return (load32(record + get(d, O_LOG_CONDS) + 4 * (bit >> 5)) >> (bit & 31)) & 1


@njit(cache=True, nogil=True)
def _prefetch_record(d, record, ops, count):
    for k in range(count):
        op = ops + k * OP_WORDS
        if get(d, op + OP_E):
            slot = load32(record + get(d, op + OP_A))
            if slot >= 0:
                prefetch(row_of(d, get(d, op + OP_SPACE), slot))
        if get(d, op + OP_CODE) > E_SUM:
            word = load32(record + get(d, op + OP_B))
            if word >= 0:
                prefetch(row_of(d, get(d, op + OP_C), word))


@njit(cache=True, nogil=True)
def _expire_record(d, record, position, ops, count):
    for k in range(count):
        op = ops + k * OP_WORDS
        slot = load32(record + get(d, op + OP_A))
        if slot < 0:
            continue
        row = row_of(d, get(d, op + OP_SPACE), slot)
        code = get(d, op + OP_CODE)
        if code == E_COUNT:
            if _has_bit(d, record, get(d, op + OP_COND)):
                cell = row + get(d, op + OP_CELL)
                store32(cell, load32(cell) - 1)
        elif code == E_SUM:
            at = record + get(d, op + OP_B)
            amount = load64(at) if get(d, op + OP_C) == 8 else load32(at)
            cell = row + get(d, op + OP_CELL)
            store64(cell, load64(cell) - amount)
        else:
            word = load32(record + get(d, op + OP_B))
            if word != -1:
                pair_window_expire(d, get(d, op + OP_C), get(d, op + OP_D), row, word, position)


@njit(cache=True, nogil=True)
def expire(d, as_of):
    """Move every window's tail to `as_of`, shortest window first."""
    head = get(d, HEAD)
    window = get(d, O_WINDOW)
    for _ in range(get(d, N_WINDOW)):
        tail = get(d, window + W_TAIL)
        limit = as_of - get(d, window + W_SPAN)
        ops, count = get(d, window + W_OPS), get(d, window + W_NOPS)
        while tail < head:
            record = record_at(d, tail)
            if record_time(d, record) > limit:
                break
            if tail + _AHEAD < head:
                _prefetch_record(d, record_at(d, tail + _AHEAD), ops, count)
            _expire_record(d, record, tail, ops, count)
            tail += 1
        put(d, window + W_TAIL, tail)
        window += WINDOW_WORDS


@njit(cache=True, nogil=True)
def clear_row(d, space, row):
    """Give back all that a key's row owns outside itself."""
    at = get(d, space + K_LISTS)
    for _ in range(get(d, space + K_NLISTS)):
        kind = get(d, at)
        if kind == LIST_DEQUE:
            drop_until(d, row + get(d, at + 1), FAR)
        elif kind == LIST_BUCKET_PAIRS:
            pair_bucket_drop(d, get(d, at + 2), row, FAR)
        else:
            drop_sketch(d, row, get(d, at + 1))
        at += LIST_WORDS


@njit(cache=True, nogil=True)
def begin_life(d, space, row):
    """Give a key's row the next generation, which the pairs of its former life do not have."""
    cell = get(d, space + K_GEN)
    if cell >= 0:
        generation = (get(d, GENERATION) + 1) & 0x7FFFFFFF
        put(d, GENERATION, generation)
        store32(row + cell, generation)


@njit(cache=True, nogil=True)
def is_over(d, space, touched, now):
    """Whether lifetime state last touched at `touched` has outlived its term."""
    return get(d, space + K_LIFE) != 0 and touched <= now - get(d, LIFE_US)


@njit(cache=True, nogil=True)
def reset_row(d, space, row):
    """Empty a key's row whose lifetime term is over, as if the key had never been seen."""
    clear_row(d, space, row)
    ident, mark = load64(row), load64(row + ROW_MARK)
    copy_words(get(d, space + TEMPLATE), row, get(d, space + ROW_BYTES) >> 3)
    store64(row, ident)
    store64(row + ROW_MARK, mark)
    begin_life(d, space, row)


@njit(cache=True, nogil=True)
def _is_garbage(d, space, kind, mark, now):
    if kind == KEY_SPACE:
        if get(d, space + K_LIFE):
            return is_over(d, space, mark, now)
        return mark <= now - get(d, space + K_KEEP)
    if kind == WINDOW_PAIRS:
        longest = get(d, space + P_WINDOWS) + (get(d, space + P_NWINDOWS) - 1) * PW_WORDS
        return mark < get(d, get(d, O_WINDOW) + get(d, longest + PW_WINDOW) * WINDOW_WORDS + W_TAIL)
    if kind == LIFE_PAIRS:
        key_space = get(d, space + P_KEY)
        slot = mark >> 32
        row = row_of(d, key_space, slot)
        touched = load64(row + ROW_MARK)
        return touched == NONE or life_mark(d, space, row, slot) != mark or is_over(d, key_space, touched, now)
    return kind == BUCKET_PAIRS and is_dead_mark(mark)


@njit(cache=True, nogil=True)
def sweep(d, rows, per_new):
    """Look at the next rows of every space, and free what can no longer be read.

    `rows`, and `per_new` for each row that was made since the last sweep: then what waits to be freed stays a fixed
    share of what lives, and a stream of known keys pays next to nothing.
    """
    now = get(d, NOW)
    for number in range(get(d, N_SPACE)):
        space = get(d, O_SPACE) + number * SPACE_WORDS
        kind = get(d, space + KIND)
        used = get(d, space + USED)
        slot = get(d, space + SWEEP)
        made = max(get(d, space + LIVE) - get(d, space + SWEPT), 0)
        for _ in range(min(rows + per_new * made, used)):
            slot = slot + 1 if slot + 1 < used else 0
            row = row_of(d, space, slot)
            mark = load64(row + ROW_MARK)
            if mark != NONE and _is_garbage(d, space, kind, mark, now):
                if kind == KEY_SPACE:
                    clear_row(d, space, row)
                remove(d, space, slot)
        put(d, space + SWEEP, slot)
        put(d, space + SWEPT, get(d, space + LIVE))
