# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Pairs (key, value): exact distinct counts, `seen` and `share`, and the cap above which a key is sketched. Hot path.

Three kinds of pair space. *Window* pairs remember the log position of their newest event: the pair is in a window when
that is not behind the window's tail, and leaves it when the tail passes that event. *Life* pairs belong to one life of
their key's row (its generation). *Bucket* pairs remember their newest bucket; a list of (bucket, pair) hangs on the
key. A row that is found but no longer counts is treated as absent, so the sweep never changes a value.

A key with `PAIR_CAP` live pairs sketches what is new from then on: values seen again move from their pair into the
sketch, so the two stay disjoint and the count is their sum. When the sketch's longest window is empty it is given back.
"""

from __future__ import annotations

from numba import njit

from shoal.features.descriptor import (
    DROPPED_PAIRS,
    N_KEY_AT,
    N_VALUE_AT,
    NONE,
    O_WINDOW,
    P_BUCKET,
    P_COUNT,
    P_DISTINCT,
    P_GEN,
    P_HEAD,
    P_MOMENT,
    P_NWINDOWS,
    P_PAIRS,
    P_SKETCH,
    P_WINDOWS,
    PAIR_CAP,
    PW_CELL,
    PW_SHARE,
    PW_WINDOW,
    PW_WORDS,
    ROW_MARK,
    SKETCHES,
    W_TAIL,
    WINDOW_WORDS,
)
from shoal.features.kernel.access_kernel import get, load32, load64, put, store32, store64
from shoal.features.kernel.queue_kernel import node_at, pop_first, push
from shoal.features.kernel.sketch_kernel import cell_of, sketch_add, sketch_count, sketch_expire, sketch_is_empty
from shoal.features.kernel.table_kernel import give, insert, row_of, take

_DEAD = NONE + 1
_MOVED = NONE // 2


@njit(cache=True, nogil=True)
def _tail(d, window):
    return get(d, get(d, O_WINDOW) + window * WINDOW_WORDS + W_TAIL)


@njit(cache=True, nogil=True)
def _add32(at, amount):
    store32(at, load32(at) + amount)


@njit(cache=True, nogil=True)
def _start_sketch(d, row, cell):
    sketch = take(d, get(d, SKETCHES))
    store32(row + cell, sketch)
    return sketch


@njit(cache=True, nogil=True)
def drop_sketch(d, row, cell):
    """Give a key's sketch back, where it has one."""
    sketch = load32(row + cell)
    if sketch >= 0:
        give(d, get(d, SKETCHES), sketch)
        store32(row + cell, -1)


@njit(cache=True, nogil=True)
def _leave_windows(d, space, row, newest):
    """A pair's value moves to the sketch: take it out of the windows in which it counts."""
    at = get(d, space + P_WINDOWS)
    for _ in range(get(d, space + P_NWINDOWS)):
        if newest >= _tail(d, get(d, at + PW_WINDOW)):
            _add32(row + get(d, at + PW_CELL), -1)
        at += PW_WORDS


@njit(cache=True, nogil=True)
def pair_window_update(d, space, row, ident, slot, head):
    """Count a value at log position `head`; the word for the log: pair, -1 (none), or -2 - cell of the sketch."""
    first = get(d, space + P_WINDOWS)
    count = get(d, space + P_NWINDOWS)
    longest = first + (count - 1) * PW_WORDS
    keeps_sketch = get(d, space + P_SKETCH)
    pair, newest = 0, NONE
    if slot >= 0:
        pair = row_of(d, space, slot)
        newest = load64(pair + ROW_MARK)
    live = newest >= _tail(d, get(d, longest + PW_WINDOW))
    sketch = load32(row + keeps_sketch) if keeps_sketch >= 0 else -1
    if sketch < 0 and not live and load32(row + get(d, longest + PW_CELL)) >= get(d, PAIR_CAP):
        if keeps_sketch < 0:
            put(d, DROPPED_PAIRS, get(d, DROPPED_PAIRS) + 1)
            return -1
        sketch = _start_sketch(d, row, keeps_sketch)
    if sketch >= 0:
        if live:
            _leave_windows(d, space, row, newest)
            store64(pair + ROW_MARK, _DEAD)
        cell = cell_of(ident)
        sketch_add(row_of(d, get(d, SKETCHES), sketch), count, cell, head)
        return -2 - cell
    if slot < 0:
        slot = insert(d, space, ident, head)
        pair = row_of(d, space, slot)
    store64(pair + ROW_MARK, head)
    at = first
    for _ in range(count):
        if newest < _tail(d, get(d, at + PW_WINDOW)):
            _add32(row + get(d, at + PW_CELL), 1)
        share = get(d, at + PW_SHARE)
        if share >= 0:
            _add32(pair + share, 1)
        at += PW_WORDS
    return slot


@njit(cache=True, nogil=True)
def pair_window_expire(d, space, k, row, word, position):
    """The tail of the pair space's `k`-th window passes the record at `position`."""
    at = get(d, space + P_WINDOWS) + k * PW_WORDS
    if word >= 0:
        pair = row_of(d, space, word)
        if load64(pair + ROW_MARK) == position:
            _add32(row + get(d, at + PW_CELL), -1)
        share = get(d, at + PW_SHARE)
        if share >= 0:
            _add32(pair + share, -1)
        return
    cell = get(d, space + P_SKETCH)
    sketch = row_of(d, get(d, SKETCHES), load32(row + cell))
    is_longest = k == get(d, space + P_NWINDOWS) - 1
    sketch_expire(sketch, k, is_longest, -2 - word, position)
    if is_longest and sketch_is_empty(sketch, k):
        drop_sketch(d, row, cell)


@njit(cache=True, nogil=True)
def pair_window_count(d, space, row, k, cell):
    """Different values in the `k`-th window of a pair space."""
    exact = load32(row + cell)
    keeps = get(d, space + P_SKETCH)
    if keeps >= 0 and load32(row + keeps) >= 0:
        return exact + sketch_count(row_of(d, get(d, SKETCHES), load32(row + keeps)), k)
    return exact


@njit(cache=True, nogil=True)
def life_mark(d, space, row, key_slot):
    """The mark of the pairs of this life of a key."""
    return (key_slot << 32) | (load32(row + get(d, space + P_GEN)) & 0xFFFFFFFF)


@njit(cache=True, nogil=True)
def pair_life_update(d, space, row, key_slot, ident, slot, moment):
    """Count a value in the key's life; `moment` is when it was seen."""
    mark = life_mark(d, space, row, key_slot)
    pairs = row + get(d, space + P_PAIRS)
    if slot < 0 or load64(row_of(d, space, slot) + ROW_MARK) != mark:
        if load32(pairs) >= get(d, PAIR_CAP):
            keeps = get(d, space + P_SKETCH)
            if keeps < 0:
                put(d, DROPPED_PAIRS, get(d, DROPPED_PAIRS) + 1)
            else:
                sketch = load32(row + keeps)
                if sketch < 0:
                    sketch = _start_sketch(d, row, keeps)
                sketch_add(row_of(d, get(d, SKETCHES), sketch), 1, cell_of(ident), 0)
            return
        _add32(pairs, 1)
        if slot < 0:
            slot = insert(d, space, ident, mark)
        else:
            pair = row_of(d, space, slot)
            store64(pair + ROW_MARK, mark)
            if get(d, space + P_COUNT) >= 0:
                store64(pair + get(d, space + P_COUNT), 0)
            if get(d, space + P_MOMENT) >= 0:
                store64(pair + get(d, space + P_MOMENT), NONE)
    pair = row_of(d, space, slot)
    counts = get(d, space + P_COUNT)
    if counts >= 0:
        store64(pair + counts, load64(pair + counts) + 1)
    seen = get(d, space + P_MOMENT)
    if seen >= 0 and load64(pair + seen) < moment:
        store64(pair + seen, moment)


@njit(cache=True, nogil=True)
def pair_life_count(d, space, row, cell):
    """Different values in the key's life."""
    exact = load32(row + cell)
    keeps = get(d, space + P_SKETCH)
    if keeps >= 0 and load32(row + keeps) >= 0:
        return exact + sketch_count(row_of(d, get(d, SKETCHES), load32(row + keeps)), 0)
    return exact


@njit(cache=True, nogil=True)
def pair_bucket_drop(d, space, row, limit):
    """Take values whose newest bucket is not after `limit` out of the key's count."""
    ends = row + get(d, space + P_HEAD)
    while load32(ends) >= 0:
        node = node_at(d, load32(ends))
        bucket = load64(node + N_KEY_AT)
        if bucket > limit:
            return
        word = load64(node + N_VALUE_AT)
        if word >= 0:
            pair = row_of(d, space, word)
            newest = load64(pair + ROW_MARK)
            if newest == bucket:
                _add32(row + get(d, space + P_DISTINCT), -1)
                store64(pair + ROW_MARK, _DEAD)
            elif newest == _MOVED + bucket:
                store64(pair + ROW_MARK, _DEAD)
        else:
            keeps = get(d, space + P_SKETCH)
            sketch = row_of(d, get(d, SKETCHES), load32(row + keeps))
            sketch_expire(sketch, 0, True, -2 - word, bucket)
            if sketch_is_empty(sketch, 0):
                drop_sketch(d, row, keeps)
        pop_first(d, ends)


@njit(cache=True, nogil=True)
def pair_bucket_update(d, space, row, ident, slot, bucket):
    """Count a value in `bucket`; what expired has been dropped before."""
    ends = row + get(d, space + P_HEAD)
    cell_count = row + get(d, space + P_DISTINCT)
    keeps = get(d, space + P_SKETCH)
    newest = load64(row_of(d, space, slot) + ROW_MARK) if slot >= 0 else _DEAD
    live = newest > _MOVED // 2
    sketch = load32(row + keeps)
    if sketch < 0 and not live and load32(cell_count) >= get(d, PAIR_CAP):
        sketch = _start_sketch(d, row, keeps)
    if sketch >= 0:
        if live:
            _add32(cell_count, -1)
            store64(row_of(d, space, slot) + ROW_MARK, _MOVED + newest)
        cell = cell_of(ident)
        at = row_of(d, get(d, SKETCHES), sketch)
        if load64(at + 8 * cell) != bucket:
            sketch_add(at, 1, cell, bucket)
            push(d, ends, bucket, -2 - cell)
        return
    if newest == bucket:
        return
    if not live:
        _add32(cell_count, 1)
    if slot < 0:
        slot = insert(d, space, ident, bucket)
    store64(row_of(d, space, slot) + ROW_MARK, bucket)
    push(d, ends, bucket, slot)


@njit(cache=True, nogil=True)
def pair_bucket_count(d, space, row):
    """Different values in the bucketed window; what expired has been dropped before."""
    exact = load32(row + get(d, space + P_DISTINCT))
    keeps = load32(row + get(d, space + P_SKETCH))
    return exact + sketch_count(row_of(d, get(d, SKETCHES), keeps), 0) if keeps >= 0 else exact


@njit(cache=True, nogil=True)
def bucket_of(d, space, as_of):
    """The bucket of a moment in a bucket pair space."""
    return as_of // get(d, space + P_BUCKET)


@njit(cache=True, nogil=True)
def is_dead_mark(mark):
    """Whether a bucket pair has left its key's list."""
    return mark == _DEAD
