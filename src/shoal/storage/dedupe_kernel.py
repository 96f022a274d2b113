# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The hot table of deduplication, and the hash of an event's body. Hot path.

The table is open addressing with linear probing over rows of five int64 (id, seq, body, time, as_of); seq -1 is an
empty slot. One id may stand in several slots. Nothing is ever removed singly: old entries go when the table is written
anew, and a batch is undone by emptying its slots in reverse. The arrays belong to `dedupe.DedupeIndex`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types, uint64

from shoal.events.identity import last_word, load_word

ID, SEQ, BODY, TIME, AS_OF = 0, 1, 2, 3, 4
NEW, DUPLICATE, CONFLICT = 0, 1, 2

_TABLE = types.int64[:, ::1]
_OUT = types.int64[::1]
_IN = types.Array(types.int64, 1, "C", readonly=True)  # Arrow's buffers are read-only; writable ones fit as well
_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
_WORDS = types.Array(types.uint64, 1, "C", readonly=True)
_COLD = types.Array(types.int64, 2, "C", readonly=True)
_I = types.int64


@njit(inline="always")
def _slot(key, mask):
    mixed = uint64(key)
    return np.int64((mixed ^ (mixed >> uint64(32))) & uint64(mask))


@njit(inline="always")
def _eligible(table_time, table_as_of, seq, time, now, own_seq, rules):
    """rules: horizon_us, hot_us, max_hot_ids, first kept seq."""
    if seq < rules[3] or now - table_as_of > rules[0]:
        return False
    if now - table_as_of <= rules[1] and own_seq - seq <= rules[2]:
        return True
    return table_time == time


@njit(inline="always")
def _denied(row, seq, deny_rows, deny_seqs):
    for k in range(len(deny_rows)):
        if deny_rows[k] == row and deny_seqs[k] == seq:
            return True
    return False


@njit(
    _I(
        _TABLE, _IN, _BYTES, _IN, _IN, _IN, _IN, _IN, _I, _I, _IN, _IN, _COLD, types.int8[::1], _OUT, _OUT, _OUT, _OUT
    ),
    cache=True,
    nogil=True,
)  # fmt: skip
def judge(table, ids, known, bodies, times, skip, deny_rows, deny_seqs, first_seq, as_of, rules, cold_start, cold,
          verdicts, seqs, originals, as_ofs, slots):  # fmt: skip
    """Judge rows in order and insert the new ones; returns the next seq.

    `skip` may be empty (all 0). `cold` holds confirmed entries of the same `event_id` and `time` from sealed segments
    (seq, body, as_of), those of row i at `cold_start[i] : cold_start[i + 1]` (`cold_start` empty: none). The outputs
    are [n]: verdict, seq, original (-1: new), as_of, and the slot taken (-1: none).
    """
    mask = table.shape[0] - 1
    seq = first_seq
    for row in range(len(ids)):
        if len(skip):
            seq += skip[row]
        now = max(as_of, times[row])
        same, other, place = np.int64(-1), np.int64(-1), np.int64(-1)
        if known[row]:
            place = _slot(ids[row], mask)
            while table[place, SEQ] >= 0:
                if table[place, ID] == ids[row]:
                    found = table[place, SEQ]
                    if _eligible(table[place, TIME], table[place, AS_OF], found, times[row], now, seq, rules):
                        if not _denied(row, found, deny_rows, deny_seqs):
                            if table[place, BODY] == bodies[row]:
                                same = max(same, found)
                            else:
                                other = max(other, found)
                place = (place + 1) & mask
            if len(cold_start):
                for k in range(cold_start[row], cold_start[row + 1]):
                    if _eligible(times[row], cold[k, 2], cold[k, 0], times[row], now, seq, rules):
                        if cold[k, 1] == bodies[row]:
                            same = max(same, cold[k, 0])
                        else:
                            other = max(other, cold[k, 0])
        slots[row] = -1
        as_ofs[row] = now
        if same >= 0:
            verdicts[row], seqs[row], originals[row] = DUPLICATE, seq, same
            seq += 1
        elif other >= 0:
            verdicts[row], seqs[row], originals[row] = CONFLICT, seq, other
            seq += 1
        else:
            verdicts[row], seqs[row], originals[row] = NEW, seq, -1
            as_of = now
            if place >= 0:
                table[place, ID], table[place, SEQ], table[place, BODY] = ids[row], seq, bodies[row]
                table[place, TIME], table[place, AS_OF] = times[row], now
                slots[row] = place
            seq += 1
    return seq


@njit(types.void(_TABLE, _IN), cache=True, nogil=True)
def undo(table, slots):
    """Empty the slots that a batch took, the last first: the table is then as before it."""
    for k in range(len(slots) - 1, -1, -1):
        if slots[k] >= 0:
            table[slots[k], SEQ] = -1


@njit(_I(_TABLE, _IN, _IN, _IN, _IN, _IN), cache=True, nogil=True)
def insert(table, ids, seqs, bodies, times, as_ofs):
    """Insert stored rows (on start); returns how many."""
    mask = table.shape[0] - 1
    for row in range(len(ids)):
        place = _slot(ids[row], mask)
        while table[place, SEQ] >= 0:
            place = (place + 1) & mask
        table[place, ID], table[place, SEQ], table[place, BODY] = ids[row], seqs[row], bodies[row]
        table[place, TIME], table[place, AS_OF] = times[row], as_ofs[row]
    return len(ids)


@njit(_I(_TABLE, _I, _I), cache=True, nogil=True)
def first_hot(table, since, default):
    """The smallest seq with `as_of >= since`."""
    found = default
    for place in range(table.shape[0]):
        if table[place, SEQ] >= 0 and table[place, AS_OF] >= since and table[place, SEQ] < found:
            found = table[place, SEQ]
    return found


@njit(_I(_TABLE, _TABLE, _I), cache=True, nogil=True)
def move(old, new, keep_from):
    """Move the entries with `seq >= keep_from` to an empty table; returns how many."""
    mask = new.shape[0] - 1
    count = 0
    for at in range(old.shape[0]):
        if old[at, SEQ] >= keep_from:
            place = _slot(old[at, ID], mask)
            while new[place, SEQ] >= 0:
                place = (place + 1) & mask
            for k in range(5):
                new[place, k] = old[at, k]
            count += 1
    return count


@njit(_I(_TABLE, _I), cache=True, nogil=True)
def count_from(table, keep_from):
    """How many entries have `seq >= keep_from`."""
    count = 0
    for place in range(table.shape[0]):
        if table[place, SEQ] >= keep_from and table[place, SEQ] >= 0:
            count += 1
    return count


@njit(inline="always")
def _mix(a, b):
    """One round of a multiply-and-fold hash (after wyhash, Wang Yi 2019), 64 bits."""
    value = (a ^ uint64(0x9E3779B97F4A7C15)) * (b | uint64(1))
    value ^= value >> uint64(32)
    value *= uint64(0xD6E8FEB86659FD93)
    return value ^ (value >> uint64(29))


@njit(
    types.void(_BYTES, types.Array(types.int32, 1, "C", readonly=True), _BYTES, types.uint64, types.uint64[::1]),
    cache=True,
    nogil=True,
)
def mix_texts(data, offsets, valid, key, out):
    """Fold a text column ([n+1] offsets; `valid` empty: no nulls) into the row hashes; null rows are untouched."""
    for row in range(len(out)):
        if len(valid) and not valid[row]:
            continue
        start, end = offsets[row], offsets[row + 1]
        value = _mix(out[row] ^ key, uint64(end - start) + key)
        at = start
        while at + 8 <= end:
            value = _mix(value ^ load_word(data, at), key)
            at += 8
        out[row] = _mix(value ^ last_word(data, at, end), key)


@njit(types.void(_WORDS, _BYTES, types.uint64, types.uint64[::1]), cache=True, nogil=True)
def mix_numbers(values, valid, key, out):
    """Fold a column of 64-bit numbers into the row hashes; null rows are untouched."""
    for row in range(len(out)):
        if len(valid) and not valid[row]:
            continue
        out[row] = _mix(out[row] ^ key, values[row] + key)
