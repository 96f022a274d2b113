# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
# ruff: noqa: SIM109 - Numba compiles a chain of comparisons, not a tuple
"""Reading features off a key's row: one function an operation family, all driven by the read table. Hot path.

A read never changes a value; queues may drop what has expired. Every read yields (bits, valid): a double is given by
its bits, null is valid 0. An absent row reads as its operation's value before the first update.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from shoal.features.descriptor import (
    A_AS_OF,
    A_FLAGS,
    A_TIME,
    DECAY_STEP,
    FAR,
    HALF_OLDEST,
    INPUT_WORDS,
    N_KEY_AT,
    N_SUM_AT,
    N_VALUE_AT,
    NONE,
    O_INPUT,
    O_VALUE,
    OUT_PARTIAL,
    OUT_PARTIAL_STEP,
    OUT_VALID,
    OUT_VALID_STEP,
    OUT_VALUES,
    OUT_VALUES_STEP,
    P_COUNT,
    P_HEAD,
    P_MOMENT,
    P_SPAN,
    PAIR_CAP,
    R_A,
    R_B,
    R_BORN,
    R_C,
    R_CELL,
    R_CODE,
    R_COVER,
    R_D,
    R_E,
    R_OUT,
    R_SINCE,
    R_SPACE,
    R_VALUE,
    READ_WORDS,
    ROW_MARK,
    S_SLOTS,
    V_CLAMPED,
    VALUE_WORDS,
    X_AGE,
    X_BCOUNT,
    X_BMEAN,
    X_BSUM,
    X_COUNT32,
    X_COUNT64,
    X_DECAY,
    X_DEQUE,
    X_DISTINCT,
    X_DISTINCT_BUCKET,
    X_DISTINCT_LIFE,
    X_EXTREME,
    X_GAP,
    X_LAST,
    X_MEAN32,
    X_MEAN64,
    X_SEEN,
    X_SHARE_LIFE,
    X_SHARE_WINDOW,
    X_SPEED,
    X_SUM,
)
from shoal.features.kernel.access_kernel import (
    as_float,
    as_int,
    get,
    load8,
    load32,
    load64,
    loadf,
    store8,
    store64,
)
from shoal.features.kernel.pair_kernel import (
    bucket_of,
    life_mark,
    pair_bucket_count,
    pair_bucket_drop,
    pair_life_count,
    pair_window_count,
)
from shoal.features.kernel.queue_kernel import bucket_drop, drop_until, node_at
from shoal.features.kernel.table_kernel import row_of

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the Earth (IUGG)."""
MIN_SPEED_US = 1_000_000
"""Two located events are taken to be at least this far apart in time, so that ties have a finite speed."""


@njit(cache=True, nogil=True)
def input_value(d, number, i):
    """The bits of input `number` at event `i`."""
    return load64(get(d, get(d, O_INPUT) + number * INPUT_WORDS) + 8 * i)


@njit(cache=True, nogil=True)
def input_valid(d, number, i):
    """Whether input `number` is not null at event `i`."""
    return load8(get(d, get(d, O_INPUT) + number * INPUT_WORDS + 1) + i) != 0


@njit(cache=True, nogil=True)
def input_at(d, number, i):
    """Where the bits of input `number` at event `i` stand."""
    return get(d, get(d, O_INPUT) + number * INPUT_WORDS) + 8 * i


@njit(cache=True, nogil=True)
def valid_at(d, number, i):
    """Where the valid byte of input `number` at event `i` stands."""
    return get(d, get(d, O_INPUT) + number * INPUT_WORDS + 1) + i


@njit(cache=True, nogil=True)
def moment_of(d, i):
    """When event `i` was last seen: its `as_of`, or its own time where it is late."""
    source = A_TIME if load8(get(d, A_FLAGS) + i) & 1 else A_AS_OF
    return load64(get(d, source) + 8 * i)


@njit(cache=True, nogil=True)
def distance_km(lat1, lon1, lat2, lon2):
    """Great-circle distance by the haversine formula."""
    a, b = math.radians(lat1), math.radians(lat2)
    half_lat = math.sin((b - a) / 2.0)
    half_lon = math.sin(math.radians(lon2 - lon1) / 2.0)
    h = half_lat * half_lat + math.cos(a) * math.cos(b) * half_lon * half_lon
    return 2.0 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, h)))


@njit(cache=True, nogil=True)
def decay_to(value, mark, as_of, half):
    """A forward-decayed weight kept at landmark `mark`, at `as_of`; all in µs."""
    step = DECAY_STEP * half
    landmark = as_of // step
    if landmark - mark > 32:
        return 0.0
    scaled = math.ldexp(value, -DECAY_STEP * (landmark - mark))
    return scaled * 2.0 ** (-(as_of - landmark * step) / half)


@njit(cache=True, nogil=True)
def _scaled(total, factor, as_double):
    return as_int(total / as_float(factor)) if as_double else total


@njit(cache=True, nogil=True)
def _mean(total, count, factor):
    return as_int(total / as_float(factor) / count) if count > 0 else 0


@njit(cache=True, nogil=True)
def _read_speed(d, op, i, row):
    lat, lon = get(d, op + R_A), get(d, op + R_B)
    if row == 0 or not (input_valid(d, lat, i) and input_valid(d, lon, i)):
        return 0, False
    at = row + get(d, op + R_CELL)
    before = load64(at)
    now = moment_of(d, i)
    span = get(d, op + R_C)
    if before == NONE or (span > 0 and before <= load64(get(d, A_AS_OF) + 8 * i) - span):
        return 0, False
    here = distance_km(
        loadf(at + 8), loadf(at + 16), as_float(input_value(d, lat, i)), as_float(input_value(d, lon, i))
    )
    return as_int(here / (max(abs(now - before), MIN_SPEED_US) / 3.6e9)), True


@njit(cache=True, nogil=True)
def _read_last(d, op, code, row, as_of):
    if row == 0:
        return 0, False
    at = row + get(d, op + R_CELL)
    moment = load64(at)
    span = get(d, op + R_A)
    if code == X_AGE:
        return as_int((as_of - moment) / 1e6), moment != FAR
    if moment == NONE or (span > 0 and moment <= as_of - span):
        return 0, False
    if code == X_LAST:
        return load64(at + 8), True
    return as_int((as_of - moment) / 1e6), True


@njit(cache=True, nogil=True)
def _read_pair(d, op, code, t, key_slot, row, as_of):
    space = get(d, op + R_A)
    slot = load64(get(d, space + S_SLOTS) + 8 * t)
    if slot == -3:
        return 0, False
    if code == X_SHARE_WINDOW:
        total = load32(row + get(d, op + R_CELL)) if row != 0 else 0
        if total <= 0:
            return 0, False
        count = load32(row_of(d, space, slot) + get(d, op + R_B)) if slot >= 0 else 0
        return as_int(count / total), True
    known = False
    if slot >= 0 and row != 0:
        known = load64(row_of(d, space, slot) + ROW_MARK) == life_mark(d, space, row, key_slot)
    if code == X_SEEN:
        span = get(d, op + R_B)
        if known and span > 0:
            known = load64(row_of(d, space, slot) + get(d, space + P_MOMENT)) > as_of - span
        return (1 if known else 0), True
    total = load64(row + get(d, op + R_CELL)) if row != 0 else 0
    if total <= 0:
        return 0, False
    count = load64(row_of(d, space, slot) + get(d, space + P_COUNT)) if known else 0
    return as_int(count / total), True


@njit(cache=True, nogil=True)
def _read_bucket(d, op, code, row, as_of):
    if row == 0:
        return 0, code != X_BMEAN
    if code == X_DISTINCT_BUCKET:
        space = get(d, op + R_A)
        if load32(row + get(d, space + P_HEAD)) >= 0:
            pair_bucket_drop(d, space, row, bucket_of(d, space, as_of) - get(d, space + P_SPAN) - 1)
        return pair_bucket_count(d, space, row), True
    ends = row + get(d, op + R_CELL)
    bucket_drop(d, ends, as_of // get(d, op + R_A) - get(d, op + R_B) - 1)
    count, total = load64(ends + 8), load64(ends + 16)
    old_count, old_total = np.int64(0), np.int64(0)
    if get(d, op + R_E) == HALF_OLDEST and load32(ends) >= 0:
        oldest = node_at(d, load32(ends))
        if load64(oldest + N_KEY_AT) == as_of // get(d, op + R_A) - get(d, op + R_B):
            old_count, old_total = load64(oldest + N_VALUE_AT), load64(oldest + N_SUM_AT)
    if code == X_BCOUNT:
        return count - (old_count >> 1), True
    if code == X_BSUM:
        return _scaled(total - (old_total >> 1), get(d, op + R_C), get(d, op + R_D)), True
    # Both doubled, so that halving rounds neither.
    return _mean(total + (total - old_total), count + (count - old_count), get(d, op + R_C)), count > 0


@njit(cache=True, nogil=True)
def _read_extreme(d, op, code, row, as_of):
    if row == 0:
        return 0, False
    at = row + get(d, op + R_CELL)
    if code == X_EXTREME:
        return load64(at), load32(row + get(d, op + R_A)) != 0
    bucket, span = get(d, op + R_A), get(d, op + R_B)
    drop_until(d, at, as_of - span if bucket == 0 else as_of // bucket - span - 1)
    first = load32(at)
    return (load64(node_at(d, first) + 8), True) if first >= 0 else (0, False)


@njit(cache=True, nogil=True)
def _read_sum(d, op, code, row):
    if row == 0:
        return 0, code == X_SUM
    if code == X_SUM:
        return _scaled(load64(row + get(d, op + R_CELL)), get(d, op + R_A), get(d, op + R_B)), True
    count = load32(row + get(d, op + R_CELL)) if code == X_MEAN32 else load64(row + get(d, op + R_CELL))
    return _mean(load64(row + get(d, op + R_B)), count, get(d, op + R_A)), count > 0


@njit(cache=True, nogil=True)
def _read_one(d, op, code, i, t, slot, row, as_of):
    if code == X_DISTINCT:
        return (
            pair_window_count(d, get(d, op + R_A), row, get(d, op + R_B), get(d, op + R_CELL)) if row != 0 else 0
        ), True
    if code == X_COUNT64:
        return (load64(row + get(d, op + R_CELL)) if row != 0 else 0), True
    if code == X_SUM or code == X_MEAN32 or code == X_MEAN64:
        return _read_sum(d, op, code, row)
    if code == X_LAST or code == X_GAP or code == X_AGE:
        return _read_last(d, op, code, row, as_of)
    if code == X_SEEN or code == X_SHARE_LIFE or code == X_SHARE_WINDOW:
        return _read_pair(d, op, code, t, slot, row, as_of)
    if code == X_DISTINCT_LIFE:
        return (pair_life_count(d, get(d, op + R_A), row, get(d, op + R_CELL)) if row != 0 else 0), True
    if code == X_SPEED:
        return _read_speed(d, op, i, row)
    if code == X_DEQUE or code == X_EXTREME:
        return _read_extreme(d, op, code, row, as_of)
    if code == X_DECAY:
        at = row + get(d, op + R_CELL)
        return (as_int(decay_to(loadf(at), load64(at + 8), as_of, get(d, op + R_A))) if row != 0 else 0), True
    return _read_bucket(d, op, code, row, as_of)


@njit(cache=True, nogil=True)
def _is_known(d, op, i, as_of):
    """Whether the key's history is known at event `i`: the window is covered, or the key was born in our time."""
    if as_of >= get(d, op + R_COVER):
        return True
    born = get(d, op + R_BORN)
    return born >= 0 and input_valid(d, born, i) and input_value(d, born, i) >= get(d, op + R_SINCE)


@njit(cache=True, nogil=True)
def _flags_of(d, op, code, i, row, ok, value_bits):
    """The bits of `partial`: 1 not covered (or the key is over its cap), 2 clamped."""
    flags = 0
    if not _is_known(d, op, i, load64(get(d, A_AS_OF) + 8 * i)):
        if not (code == X_LAST or code == X_GAP or code == X_SPEED) or not ok:
            flags = 1
    value = get(d, op + R_VALUE)
    if value >= 0 and get(d, get(d, O_VALUE) + value * VALUE_WORDS + V_CLAMPED):
        flags |= 2
    if (code == X_SEEN or code == X_SHARE_LIFE or code == X_SHARE_WINDOW) and row != 0 and value_bits == 0:
        # The key may have had this value after its cap on pairs was reached.
        if load32(row + get(d, op + R_E)) >= get(d, PAIR_CAP):
            flags |= 1
    return flags


@njit(cache=True, nogil=True)
def _is_plain(d, op, code, as_of):
    """Whether a read can have no flags: known history, no value to clamp, no cap on pairs."""
    return as_of >= get(d, op + R_COVER) and get(d, op + R_VALUE) < 0 and (code < X_SEEN or code > X_SHARE_WINDOW)


@njit(cache=True, nogil=True)
def read_all(d, op, count, i, t):
    """Run `count` reads from word `op` on for event `i` (number `t` of its tile); those of a space stand together."""
    as_of = load64(get(d, A_AS_OF) + 8 * i)
    values, values_step = get(d, OUT_VALUES) + 8 * i, get(d, OUT_VALUES_STEP)
    valid, valid_step = get(d, OUT_VALID) + i, get(d, OUT_VALID_STEP)
    partial, partial_step = get(d, OUT_PARTIAL) + i, get(d, OUT_PARTIAL_STEP)
    held, slot, row = -1, -2, 0
    for _ in range(count):
        space = get(d, op + R_SPACE)
        if space != held:
            held = space
            slot = load64(get(d, space + S_SLOTS) + 8 * t)
            row = row_of(d, space, slot) if slot >= 0 else 0
        value, ok, flags = 0, False, 0
        if slot != -2:
            code = get(d, op + R_CODE)
            if code == X_COUNT32:
                value, ok = (load32(row + get(d, op + R_CELL)) & 0xFFFFFFFF if row != 0 else 0), True
            else:
                value, ok = _read_one(d, op, code, i, t, slot, row, as_of)
            if not _is_plain(d, op, code, as_of):
                flags = _flags_of(d, op, code, i, row, ok, value)
                if flags & 1 and (code == X_SEEN or code == X_SHARE_LIFE or code == X_SHARE_WINDOW or code == X_AGE):
                    if not _is_known(d, op, i, as_of):
                        ok = False
        out = get(d, op + R_OUT)
        store64(values + out * values_step, value if ok else 0)
        store8(valid + out * valid_step, 1 if ok else 0)
        store8(partial + out * partial_step, flags)
        op += READ_WORDS
