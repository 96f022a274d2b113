# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Hash tables of accounts, entities and edges, and the making of a CSR from them. Hot path.

All tables are open addressing with linear probing over int32 numbers of rows (-1: empty), at most half full; rows stand
in the order in which they were first seen and are never removed, so that what is stored does not depend on the size of
a table or on the cut into batches. A slot is found by the keyed finaliser of MurmurHash3: whole numbers among the
entities may be chosen by an attacker. The arrays belong to `store`, which makes room before a kernel runs.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types, uint64

from shoal.features.kernel.access_kernel import prefetch

KEY, FIRST, LAST, COUNT, MADE = range(5)
"""Columns of an edge's row. KEY is account code x 2^32 + entity code; MADE the place of its first row in the
journal."""
UNKNOWN = -1
BLOCK, AHEAD = 64, 16
"""Rows that are taken at a time, and how far ahead memory is asked for."""

_I = types.int64
_SLOTS = types.int32[::1]
_OUT = types.int64[::1]
_ROWS = types.int64[:, ::1]
_IN = types.Array(types.int64, 1, "C", readonly=True)
_MASK = types.Array(types.uint8, 1, "C", readonly=True)
_FRAME = types.Array(types.int64, 2, "A", readonly=True)
_VALID = types.Array(types.uint8, 2, "A", readonly=True)
_TRUTH = types.Array(types.int8, 2, "A", readonly=True)


@njit(inline="always")
def _mix(value, seed):
    z = uint64(value) ^ uint64(seed)
    z = (z ^ (z >> uint64(33))) * uint64(0xFF51AFD7ED558CCD)
    z = (z ^ (z >> uint64(33))) * uint64(0xC4CEB9FE1A85EC53)
    return z ^ (z >> uint64(33))


@njit(inline="always")
def _first(value, seed, mask):
    return np.int64(_mix(value, seed) & uint64(mask))


@njit(types.void(_FRAME, _IN, _I, _OUT), cache=True, nogil=True)
def combine(values, columns, size, out):
    """Ids of entities of several columns: each value is mixed into what came before, so that their order counts."""
    for row in range(size):
        mixed = uint64(0)
        for k in range(len(columns)):
            mixed = _mix(np.int64(mixed) + values[columns[k], row], uint64(k + 1) * uint64(0x9E3779B97F4A7C15))
        out[row] = np.int64(mixed)


@njit(types.void(_FRAME, _VALID, _TRUTH, _I, _I, _IN, _I, _I, types.uint8[::1]), cache=True, nogil=True)
def hold(values, valid, truths, condition, subject, columns, loop, size, out):
    """Which rows are an edge: 1 yes, 0 no, 2 would be one of an account with itself.

    `condition` and `subject` are rows of `truths` and `valid`; row 0 of `truths` says what is left out for all."""
    for row in range(size):
        good = truths[0, row] != 1 and valid[subject, row] != 0
        if condition >= 0:
            good = good and truths[condition, row] == 1
        for k in range(len(columns)):
            good = good and valid[columns[k], row] != 0
        if good and loop and values[subject, row] == values[columns[0], row]:
            out[row] = 2
        else:
            out[row] = good


@njit(inline="always")
def _find(slots, ids, key, seed):
    """The number of `key` among `ids`, or the inverted place of the empty slot where it belongs."""
    mask = len(slots) - 1
    place = _first(key, seed, mask)
    while slots[place] >= 0:
        if ids[slots[place]] == key:
            return np.int64(slots[place])
        place = (place + 1) & mask
    return ~np.int64(place)


@njit(inline="always")
def _enter(slots, ids, used, key, seed):
    """The number of `key`, and how many ids there are now."""
    found = _find(slots, ids, key, seed)
    if found < 0:
        slots[~found] = used
        ids[used] = key
        return used, used + 1
    return found, used


@njit(types.void(_SLOTS, _OUT, _I, _I), cache=True, nogil=True)
def refill(slots, ids, used, seed):
    """Enter the numbers of `ids[:used]`, which are distinct, into empty slots."""
    mask, base = len(slots) - 1, slots.ctypes.data
    for row in range(used):
        prefetch(base + 4 * _first(ids[min(row + AHEAD, used - 1)], seed, mask))
        place = _first(ids[row], seed, mask)
        while slots[place] >= 0:
            place = (place + 1) & mask
        slots[place] = row


@njit(types.void(_SLOTS, _ROWS, _I, _I), cache=True, nogil=True)
def refill_rows(slots, rows, used, seed):
    """As `refill`, for the keys of edges."""
    mask, base = len(slots) - 1, slots.ctypes.data
    for row in range(used):
        prefetch(base + 4 * _first(rows[min(row + AHEAD, used - 1), KEY], seed, mask))
        place = _first(rows[row, KEY], seed, mask)
        while slots[place] >= 0:
            place = (place + 1) & mask
        slots[place] = row


@njit(_I(_SLOTS, _OUT, _I, _I, _IN, _OUT), cache=True, nogil=True)
def enter_ids(slots, ids, used, seed, wanted, codes):
    """Codes of the accounts `wanted`, new ones in their order; gives how many accounts there are now."""
    for row in range(len(wanted)):
        codes[row], used = _enter(slots, ids, used, wanted[row], seed)
    return used


@njit(inline="always")
def _born(created, code, time):
    if created[code] == UNKNOWN or time < created[code]:
        created[code] = time


@njit(
    _I(_SLOTS, _OUT, _OUT, _I, _I, _FRAME, _VALID, _IN, types.uint8[:, ::1], _TRUTH, _IN, _I, _OUT, _ROWS),
    cache=True,
    nogil=True,
)  # fmt: skip
def enter_accounts(slots, ids, created, used, seed, values, valid, subjects, wanted, truths, special, size, times,
                   codes):  # fmt: skip
    """Codes of the subjects of each row, new ones in the order of the rows; gives how many accounts there are now.

    `wanted` uint8 [subjects, n]: whether a relation has an edge of it there. `special`: the rows of `account`, `actor`
    and `account_created` in the frame (-1: not there). Row 1 of `truths` says that an account was made."""
    for row in range(size):
        for k in range(len(subjects)):
            if wanted[k, row]:
                codes[k, row], used = _enter(slots, ids, used, values[subjects[k], row], seed)
        about = special[0] if special[0] >= 0 and valid[special[0], row] else special[1]
        if about < 0 or not valid[about, row]:
            continue
        if truths[1, row] == 1:
            code, used = _enter(slots, ids, used, values[about, row], seed)
            _born(created, code, times[row])
        if special[2] >= 0 and about == special[0] and valid[special[2], row]:
            code = _find(slots, ids, values[about, row], seed)
            if code >= 0:
                _born(created, code, values[special[2], row])
    return used


@njit(inline="always")
def _collect(ids, held, row, size, slots, seed, block, places):
    """Up to `BLOCK` rows that are edges, from `row` on: their numbers and first slots; the next row and how many."""
    mask, base, found = len(slots) - 1, slots.ctypes.data, 0
    while row < size and found < len(block):
        if held[row] == 1:
            block[found], places[found] = row, _first(ids[row], seed, mask)
            prefetch(base + 4 * places[found])
            found += 1
        row += 1
    return row, found


@njit(inline="always")
def _note(rows, at, time):
    rows[at, FIRST] = min(rows[at, FIRST], time)
    rows[at, LAST] = max(rows[at, LAST], time)
    rows[at, COUNT] += 1


@njit(types.UniTuple(_I, 2)(_SLOTS, _OUT, _I, _SLOTS, _ROWS, _I, _I, _IN, _IN, _MASK, _IN, _IN, _I, _MASK,
                            types.uint8[::1]), cache=True, nogil=True)  # fmt: skip
def enter_edges(entity_slots, entity_ids, entities, slots, rows, used, seed, codes, ids, held, times, places, size,
                kind, kinds):  # fmt: skip
    """Note the edges of `size` rows; gives how many entities and edges there are now.

    `kind` uint8 [n]: what kind of network the row names (0: none; empty: it never does), kept in `kinds` by entity.
    Rows are taken a block at a time, so that memory is asked for before it is needed: tables of millions of edges lie
    outside the processor's cache."""
    mask, base, rows_base, ids_base = len(slots) - 1, slots.ctypes.data, rows.ctypes.data, entity_ids.ctypes.data
    block, starts, keys = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    at_row = 0
    while at_row < size:
        at_row, found = _collect(ids, held, at_row, size, entity_slots, seed, block, starts)
        for k in range(found):
            if entity_slots[starts[k]] >= 0:
                prefetch(ids_base + 8 * entity_slots[starts[k]])
        for k in range(found):
            row = block[k]
            entity, entities = _enter(entity_slots, entity_ids, entities, ids[row], seed)
            if len(kind) and kind[row]:
                kinds[entity] = kind[row]
            keys[k] = (codes[row] << 32) | entity
            starts[k] = _first(keys[k], seed, mask)
            prefetch(base + 4 * starts[k])
        for k in range(found):
            if slots[starts[k]] >= 0:
                prefetch(rows_base + 40 * slots[starts[k]])
        for k in range(found):
            place, row = starts[k], block[k]
            while slots[place] >= 0 and rows[slots[place], KEY] != keys[k]:
                place = (place + 1) & mask
            if slots[place] >= 0:
                _note(rows, slots[place], times[row])
                continue
            slots[place] = used
            rows[used, KEY], rows[used, FIRST], rows[used, LAST], rows[used, COUNT] = keys[k], times[row], times[row], 1
            rows[used, MADE] = places[row]
            used += 1
    return entities, used


@njit(types.void(_SLOTS, _SLOTS, _ROWS, _SLOTS), cache=True, nogil=True)
def merge(old, new, rows, out):
    """Two lists of edges, each sorted by key, as one."""
    i, j = 0, 0
    for at in range(len(out)):
        if j == len(new) or (i < len(old) and rows[old[i], KEY] < rows[new[j], KEY]):
            out[at] = old[i]
            i += 1
        else:
            out[at] = new[j]
            j += 1


@njit(types.void(_SLOTS, _ROWS, _OUT, _OUT, _OUT, _OUT, _OUT), cache=True, nogil=True)
def arrange(order, rows, start, entity, first, last, count):
    """The CSR by account of the edges in their sorted order; `start` int64 [accounts + 1] must be zeros."""
    for at in range(len(order)):
        row = order[at]
        start[(rows[row, KEY] >> 32) + 1] += 1
        entity[at] = rows[row, KEY] & 0xFFFFFFFF
        first[at], last[at], count[at] = rows[row, FIRST], rows[row, LAST], rows[row, COUNT]
    for account in range(1, len(start)):
        start[account] += start[account - 1]
