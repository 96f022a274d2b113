# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
# ruff: noqa: SIM109 - Numba compiles a chain of comparisons, not a tuple
"""The loop over events: look ahead, expire, read, update, log, read. Hot path.

`run` takes events `start..stop` of the batch whose addresses stand in the descriptor and returns how far it came: it
stops before an event for which some slab lacks room and names it in `NEED`, so that memory grows between events only.
Keys are hashed and looked up a tile ahead, so that memory is asked for before it is needed; rows are freed only
between tiles. What a key is read as before this event and after it are two tables of reads around the updates.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from shoal.features.descriptor import (
    A_AS_OF,
    A_FLAGS,
    A_SHOAL,
    BASE,
    C_NOT_NULL,
    C_NOT_NULL_2,
    C_SHOAL,
    C_WHERE,
    CAP,
    CLAMPED_COUNT,
    COND_INLINE,
    COND_TABLE_WORDS,
    COND_WORDS,
    DECAY_STEP,
    HEAD,
    K_COUNT,
    K_GMASK,
    K_LMASK,
    K_PARTS,
    K_WMASK,
    K_WORD,
    KEY_SPACE,
    KIND,
    LIFE_PAIRS,
    LIVE,
    LOG_CONDS,
    LOG_LIMIT,
    N_COND,
    N_KEY,
    N_LUP,
    N_POST,
    N_PRE,
    N_SPACE,
    N_VALUE,
    N_WUP,
    NEED,
    NODES,
    NODES_PER_EVENT,
    NOW,
    O_COND,
    O_EVENT_CONDS,
    O_LOG_CONDS,
    O_LUP,
    O_POST,
    O_PRE,
    O_SPACE,
    O_VALUE,
    O_WUP,
    OP_A,
    OP_B,
    OP_C,
    OP_CELL,
    OP_CODE,
    OP_COND,
    OP_D,
    OP_SPACE,
    OP_WORDS,
    P_COND,
    P_FLOAT,
    P_INPUT,
    P_KEY,
    P_READ,
    P_SPAN,
    P_WORD,
    ROW_BYTES,
    ROW_MARK,
    S_IDS,
    S_LIVE,
    S_SLOTS,
    SEED,
    SKETCHES,
    SKETCHES_PER_EVENT,
    SPACE_WORDS,
    TILE,
    TIME_BITS,
    U_BUCKET,
    U_COUNT32,
    U_COUNT64,
    U_DECAY,
    U_DEQUE,
    U_EXTREME,
    U_FIRST,
    U_LAST,
    U_MOMENT,
    U_PAIR_BUCKET,
    U_PAIR_LIFE,
    U_PAIR_WINDOW,
    U_SUM,
    V_BYTES,
    V_CLAMPED,
    V_COND,
    V_FACTOR,
    V_FLOAT,
    V_INPUT,
    V_LARGEST,
    V_NOW,
    V_WORD,
    VALUE_WORDS,
)
from shoal.features.kernel.access_kernel import (
    as_float,
    get,
    load8,
    load32,
    load64,
    loadf,
    mix,
    prefetch,
    put,
    store32,
    store64,
    storef,
)
from shoal.features.kernel.pair_kernel import (
    bucket_of,
    pair_bucket_drop,
    pair_bucket_update,
    pair_life_update,
    pair_window_update,
)
from shoal.features.kernel.queue_kernel import beats, bucket_add, bucket_drop, deque_add, drop_until, node_at
from shoal.features.kernel.read_kernel import input_at, input_valid, input_value, moment_of, read_all, valid_at
from shoal.features.kernel.table_kernel import find, guess, home_of, insert, row_of
from shoal.features.kernel.window_kernel import begin_life, expire, is_over, record_at, reset_row, sweep

_NEGATIVE_ZERO = -(2**63)
SWEEP_EVENTS, SWEEP_NEW = 8, 2
"""The sweep looks at one row of each slab every so many events, and at so many for each row made."""


@njit(cache=True, nogil=True)
def _conditions(d, start, count):
    """Which conditions hold at each event of a tile (unknown counts as not true), one after the other, each column in
    a run."""
    words = get(d, COND_WORDS)
    out = get(d, O_EVENT_CONDS)
    at = get(d, O_COND)
    for k in range(count * words):
        put(d, out + k, 0)
    shoal = get(d, A_SHOAL) + start
    for number in range(get(d, N_COND)):
        where, first, second = get(d, at + C_WHERE), get(d, at + C_NOT_NULL), get(d, at + C_NOT_NULL_2)
        values, known = input_at(d, where, start), valid_at(d, where, start)
        there, also = valid_at(d, first, start), valid_at(d, second, start)
        without = get(d, at + C_SHOAL) == 0
        shift, place = number & 63, out + (number >> 6)
        for t in range(count):
            holds = 1
            if where >= 0:
                holds = (load64(values + 8 * t) != 0) & (load8(known + t) != 0)
            if first >= 0:
                holds &= load8(there + t) != 0
            if second >= 0:
                holds &= load8(also + t) != 0
            if without:
                holds &= load8(shoal + t) == 0
            put(d, place, get(d, place) | (holds << shift))
            place += words
        at += COND_TABLE_WORDS


@njit(cache=True, nogil=True)
def _holds(d, t, cond):
    return (get(d, get(d, O_EVENT_CONDS) + t * get(d, COND_WORDS) + (cond >> 6)) >> (cond & 63)) & 1


@njit(cache=True, nogil=True)
def _any_of(d, t, mask):
    words = get(d, COND_WORDS)
    at = get(d, O_EVENT_CONDS) + t * words
    for k in range(words):
        if get(d, at + k) & get(d, mask + k):
            return True
    return False


@njit(cache=True, nogil=True)
def _key_id(d, space, i):
    """The id of a key and whether it is there (no part null)."""
    at = get(d, space + K_PARTS)
    ident = get(d, SEED)
    for k in range(get(d, space + K_COUNT)):
        number = get(d, at + k)
        if not input_valid(d, number, i):
            return 0, False
        ident = mix(ident, input_value(d, number, i))
    return ident, True


@njit(cache=True, nogil=True)
def _pair_id(d, space, i, t):
    """The id of a pair and whether this event has to do with it."""
    key_space = get(d, space + P_KEY)
    number = get(d, space + P_INPUT)
    if load64(get(d, key_space + S_SLOTS) + 8 * t) == -2 or not input_valid(d, number, i):
        return 0, False
    if get(d, space + P_READ) == 0:
        late = load8(get(d, A_FLAGS) + i) & 1
        if not _holds(d, t, get(d, space + P_COND)) or (late and get(d, space + KIND) != LIFE_PAIRS):
            return 0, False
    value = input_value(d, number, i)
    if get(d, space + P_FLOAT) and value == _NEGATIVE_ZERO:
        value = 0
    return mix(load64(get(d, key_space + S_IDS) + 8 * t), value), True


@njit(cache=True, nogil=True)
def _look_ahead(d, start, count):
    """Conditions, ids and rows of a tile: each pass asks for the memory that the next one reads."""
    _conditions(d, start, count)
    spaces = get(d, N_SPACE)
    for number in range(spaces):
        space = get(d, O_SPACE) + number * SPACE_WORDS
        ids, slots = get(d, space + S_IDS), get(d, space + S_SLOTS)
        is_key = get(d, space + KIND) == KEY_SPACE
        for t in range(count):
            ident, there = _key_id(d, space, start + t) if is_key else _pair_id(d, space, start + t, t)
            store64(ids + 8 * t, ident)
            store64(slots + 8 * t, -1 if there else (-2 if is_key else -3))
            if there:
                prefetch(home_of(d, space, ident))
    for number in range(spaces):
        space = get(d, O_SPACE) + number * SPACE_WORDS
        ids, slots = get(d, space + S_IDS), get(d, space + S_SLOTS)
        size = get(d, space + ROW_BYTES)
        for t in range(count):
            if load64(slots + 8 * t) == -1:
                slot = guess(d, space, load64(ids + 8 * t))
                store64(slots + 8 * t, slot)
                if slot >= 0:
                    row = row_of(d, space, slot)
                    for line in range(0, size, 64):
                        prefetch(row + line)
    for number in range(spaces):
        space = get(d, O_SPACE) + number * SPACE_WORDS
        ids, slots = get(d, space + S_IDS), get(d, space + S_SLOTS)
        put(d, space + S_LIVE, get(d, space + LIVE))
        for t in range(count):
            slot, ident = load64(slots + 8 * t), load64(ids + 8 * t)
            if slot >= 0 and load64(row_of(d, space, slot)) != ident:
                store64(slots + 8 * t, find(d, space, ident))


@njit(cache=True, nogil=True)
def _look_at_queues(d, count):
    """Ask for the ends of the queues that a tile's rows own."""
    op = get(d, O_WUP)
    for _ in range(get(d, N_WUP)):
        code, space = get(d, op + OP_CODE), get(d, op + OP_SPACE)
        if code == U_DEQUE or code == U_BUCKET:
            slots, cell = get(d, space + S_SLOTS), get(d, op + OP_CELL)
            for t in range(count):
                slot = load64(slots + 8 * t)
                if slot >= 0:
                    ends = row_of(d, space, slot) + cell
                    if load32(ends) >= 0:
                        prefetch(node_at(d, load32(ends)))
                        prefetch(node_at(d, load32(ends + 4)))
        op += OP_WORDS


@njit(cache=True, nogil=True)
def _resolve(d, t, as_of):
    """Find the rows that earlier events of the tile made, and empty those whose lifetime is over."""
    for number in range(get(d, N_SPACE)):
        space = get(d, O_SPACE) + number * SPACE_WORDS
        at = get(d, space + S_SLOTS) + 8 * t
        slot = load64(at)
        if slot == -1 and get(d, space + LIVE) != get(d, space + S_LIVE):
            slot = find(d, space, load64(get(d, space + S_IDS) + 8 * t))
            store64(at, slot)
        if slot >= 0 and get(d, space + KIND) == KEY_SPACE:
            row = row_of(d, space, slot)
            if is_over(d, space, load64(row + ROW_MARK), as_of):
                reset_row(d, space, row)


@njit(cache=True, nogil=True)
def _make_rows(d, t, as_of, late):
    """Make or touch the rows of the keys that this event updates; whether the log needs a record of it."""
    logged = False
    for number in range(get(d, N_KEY)):
        space = get(d, O_SPACE) + number * SPACE_WORDS
        at = get(d, space + S_SLOTS) + 8 * t
        slot = load64(at)
        if slot == -2:
            continue
        windowed = not late and _any_of(d, t, get(d, space + K_WMASK))
        if not windowed and not _any_of(d, t, get(d, space + K_LMASK)):
            continue
        if slot < 0:
            slot = insert(d, space, load64(get(d, space + S_IDS) + 8 * t), as_of)
            store64(at, slot)
            begin_life(d, space, row_of(d, space, slot))
        else:
            store64(row_of(d, space, slot) + ROW_MARK, as_of)
        if windowed and get(d, space + K_WORD) >= 0 and _any_of(d, t, get(d, space + K_GMASK)):
            logged = True
    return logged


@njit(cache=True, nogil=True)
def _values(d, i, t):
    """The fixed-point values of an event; 0 where their condition does not hold."""
    at = get(d, O_VALUE)
    for _ in range(get(d, N_VALUE)):
        value, clamped = np.int64(0), 0
        if _holds(d, t, get(d, at + V_COND)):
            bits = input_value(d, get(d, at + V_INPUT), i)
            factor, largest = as_float(get(d, at + V_FACTOR)), get(d, at + V_LARGEST)
            scaled = (as_float(bits) if get(d, at + V_FLOAT) else float(bits)) * factor
            if abs(scaled) > largest:
                clamped = 1
                value = largest if scaled > 0 else -largest
            elif get(d, at + V_FLOAT):
                value = np.int64(np.rint(scaled))
            else:
                value = bits * int(factor)
        put(d, at + V_NOW, value)
        put(d, at + V_CLAMPED, clamped)
        if clamped:
            put(d, CLAMPED_COUNT, get(d, CLAMPED_COUNT) + 1)
        at += VALUE_WORDS


@njit(cache=True, nogil=True)
def _update_decay(d, op, i, row, as_of):
    at = row + get(d, op + OP_CELL)
    half, number = get(d, op + OP_A), get(d, op + OP_B)
    amount = 1.0
    if number >= 0:
        bits = input_value(d, number, i)
        amount = as_float(bits) if get(d, op + OP_C) else float(bits)
    step = DECAY_STEP * half
    landmark = as_of // step
    behind = landmark - load64(at + 8)
    held = math.ldexp(loadf(at), -DECAY_STEP * behind) if behind <= 32 else 0.0
    storef(at, held + amount * 2.0 ** ((as_of - landmark * step) / half))
    store64(at + 8, landmark)


@njit(cache=True, nogil=True)
def _update_pair(d, op, code, t, row, key_slot, as_of, moment):
    space = get(d, op + OP_A)
    ident = load64(get(d, space + S_IDS) + 8 * t)
    slot = load64(get(d, space + S_SLOTS) + 8 * t)
    if code == U_PAIR_WINDOW:
        return pair_window_update(d, space, row, ident, slot, get(d, HEAD))
    if code == U_PAIR_LIFE:
        pair_life_update(d, space, row, key_slot, ident, slot, moment)
        return -1
    bucket = bucket_of(d, space, as_of)
    pair_bucket_drop(d, space, row, bucket - get(d, space + P_SPAN) - 1)
    pair_bucket_update(d, space, row, ident, slot, bucket)
    return -1


@njit(cache=True, nogil=True)
def _update_windows(d, i, t, as_of):
    """All updates that a late event does not make."""
    op = get(d, O_WUP)
    for _ in range(get(d, N_WUP)):
        code, space = get(d, op + OP_CODE), get(d, op + OP_SPACE)
        slot = load64(get(d, space + S_SLOTS) + 8 * t)
        word = -1
        if slot >= 0 and _holds(d, t, get(d, op + OP_COND)):
            row = row_of(d, space, slot)
            cell = row + get(d, op + OP_CELL)
            if code == U_COUNT32:
                store32(cell, load32(cell) + 1)
            elif code == U_SUM:
                store64(cell, load64(cell) + get(d, get(d, op + OP_A) + V_NOW))
            elif code == U_PAIR_WINDOW or code == U_PAIR_BUCKET:
                word = _update_pair(d, op, code, t, row, slot, as_of, as_of)
            elif code == U_DECAY:
                _update_decay(d, op, i, row, as_of)
            elif code == U_DEQUE:
                bucket, span = get(d, op + OP_C), get(d, op + OP_D)
                key = as_of if bucket == 0 else as_of // bucket
                drop_until(d, cell, key - span if bucket == 0 else key - span - 1)
                deque_add(d, cell, key, input_value(d, get(d, op + OP_A), i), get(d, op + OP_B))
            elif code == U_BUCKET:
                bucket = as_of // get(d, op + OP_C)
                bucket_drop(d, cell, bucket - get(d, op + OP_D) - 1)
                value = get(d, op + OP_A)
                bucket_add(d, cell, bucket, get(d, value + V_NOW) if value >= 0 else 0)
        if code == U_PAIR_WINDOW:
            put(d, op + OP_B, word)
        op += OP_WORDS


@njit(cache=True, nogil=True)
def _update_extreme(d, op, i, row, cell):
    bits = input_value(d, get(d, op + OP_A), i)
    flags = get(d, op + OP_B)
    has = row + get(d, op + OP_C)
    if load32(has) == 0 or beats(bits, load64(cell), flags & 1, flags & 2):
        store64(cell, bits)
        store32(has, 1)


@njit(cache=True, nogil=True)
def _update_life(d, i, t, as_of):
    """The updates of lifetime and last-seen state, which late events make too."""
    moment = moment_of(d, i)
    op = get(d, O_LUP)
    for _ in range(get(d, N_LUP)):
        code, space = get(d, op + OP_CODE), get(d, op + OP_SPACE)
        slot = load64(get(d, space + S_SLOTS) + 8 * t)
        if slot >= 0 and _holds(d, t, get(d, op + OP_COND)):
            row = row_of(d, space, slot)
            cell = row + get(d, op + OP_CELL)
            if code == U_COUNT64:
                store64(cell, load64(cell) + 1)
            elif code == U_SUM:
                store64(cell, load64(cell) + get(d, get(d, op + OP_A) + V_NOW))
            elif code == U_PAIR_LIFE:
                _update_pair(d, op, code, t, row, slot, as_of, moment)
            elif code == U_FIRST:
                if moment < load64(cell):
                    store64(cell, moment)
            elif code == U_EXTREME:
                _update_extreme(d, op, i, row, cell)
            elif moment >= load64(cell):
                store64(cell, moment)
                if code != U_MOMENT:
                    store64(cell + 8, input_value(d, get(d, op + OP_A), i))
                    if code != U_LAST:
                        store64(cell + 16, input_value(d, get(d, op + OP_B), i))
        op += OP_WORDS


@njit(cache=True, nogil=True)
def _append(d, t, as_of):
    """Write the event's record at the head of the log."""
    head = get(d, HEAD)
    record = record_at(d, head)
    if head == 0:
        put(d, BASE, as_of)
    conds = get(d, O_EVENT_CONDS) + t * get(d, COND_WORDS)
    logged = get(d, LOG_CONDS)
    word = as_of - get(d, BASE)
    if get(d, COND_INLINE):
        word |= (get(d, conds) & ((1 << logged) - 1)) << TIME_BITS
    else:
        for k in range((logged + 31) >> 5):
            bits = get(d, conds + (k >> 1)) >> (32 * (k & 1))
            store32(record + get(d, O_LOG_CONDS) + 4 * k, bits)
    store64(record, word)
    for number in range(get(d, N_KEY)):
        space = get(d, O_SPACE) + number * SPACE_WORDS
        place = get(d, space + K_WORD)
        if place >= 0:
            slot = load64(get(d, space + S_SLOTS) + 8 * t)
            counted = slot >= 0 and _any_of(d, t, get(d, space + K_GMASK))
            store32(record + place, slot if counted else -1)
    op = get(d, O_WUP)
    for _ in range(get(d, N_WUP)):
        if get(d, op + OP_CODE) == U_PAIR_WINDOW:
            store32(record + get(d, get(d, op + OP_A) + P_WORD), get(d, op + OP_B))
        op += OP_WORDS
    at = get(d, O_VALUE)
    for _ in range(get(d, N_VALUE)):
        place = get(d, at + V_WORD)
        if place >= 0:
            if get(d, at + V_BYTES) == 8:
                store64(record + place, get(d, at + V_NOW))
            else:
                store32(record + place, get(d, at + V_NOW))
        at += VALUE_WORDS
    put(d, HEAD, head + 1)


@njit(cache=True, nogil=True)
def _event(d, i, t):
    as_of = load64(get(d, A_AS_OF) + 8 * i)
    late = load8(get(d, A_FLAGS) + i) & 1
    put(d, NOW, as_of)
    expire(d, as_of)
    _resolve(d, t, as_of)
    _values(d, i, t)
    if get(d, N_PRE):
        read_all(d, get(d, O_PRE), get(d, N_PRE), i, t)
    logged = _make_rows(d, t, as_of, late)
    if not late:
        _update_windows(d, i, t, as_of)
        if logged:
            _append(d, t, as_of)
    _update_life(d, i, t, as_of)
    read_all(d, get(d, O_POST), get(d, N_POST), i, t)


@njit(cache=True, nogil=True)
def _lacking(d, count):
    """The word of a space without room for `count` events, 0 for the log, or -1."""
    if get(d, HEAD) + count > get(d, LOG_LIMIT):
        return 0
    for number in range(get(d, N_SPACE)):
        space = get(d, O_SPACE) + number * SPACE_WORDS
        if get(d, space + CAP) - get(d, space + LIVE) < count:
            return space
    nodes = get(d, NODES)
    if get(d, nodes + CAP) - get(d, nodes + LIVE) < count * get(d, NODES_PER_EVENT):
        return nodes
    return -1


@njit(cache=True, nogil=True)
def run(d, start, stop):
    """Read and update events `start..stop`; how far it came (`NEED` says what lacks where that is not `stop`)."""
    i = start
    sketches = get(d, SKETCHES)
    while i < stop:
        count = min(TILE, stop - i)
        sweep(d, (count + SWEEP_EVENTS - 1) // SWEEP_EVENTS, SWEEP_NEW)
        need = _lacking(d, count)
        if need >= 0:
            put(d, NEED, need)
            return i
        _look_ahead(d, i, count)
        if get(d, NODES_PER_EVENT):
            _look_at_queues(d, count)
        for t in range(count):
            if get(d, sketches + CAP) - get(d, sketches + LIVE) < get(d, SKETCHES_PER_EVENT):
                put(d, NEED, sketches)
                return i + t
            _event(d, i + t, t)
        i += count
    return i


@njit(cache=True, nogil=True)
def advance(d, as_of, rows):
    """Move time without an event, and sweep."""
    put(d, NOW, as_of)
    expire(d, as_of)
    sweep(d, rows, 0)
