# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Native lines in one pass over their bytes: tokens, then Arrow buffers. Hot path. Holds no state.

`scan` walks a block and reads each line that is plain: an object of known keys with texts without escapes, integers,
floats, booleans, nulls and ISO times, and of unknown keys (or a flat `attributes` object) with scalars. Whatever is not
plain - an escape, a nested value, a wrong type, a key that stands twice, bad UTF-8, a fact - is declined: the line's
place is noted and the row reader reads it. So the kernel never judges; it only has to be right about what it accepts.
A line's tokens are (column, value): a text is start << TEXT_SHIFT | length; a float is kept as text (Arrow parses it);
an unknown field is two tokens, its key and its value, both as written.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from shoal.events.formats.values_kernel import (
    MAX_TIME_US,
    address_kind,
    load8,
    number_end,
    read_int,
    read_time,
    skip_space,
    store8,
    string_end,
)

BOOL, INT, FLOAT, TEXT, TIME, IP, ATTRIBUTES, RECORD, TYPE = 0, 1, 2, 3, 4, 5, 6, 7, 8  # the first five: schema.Kind
UNKNOWN = 254  # token column of an unknown field's key; its value follows
TEXT_SHIFT = 20  # texts are at most 64 KiB, so 20 bits hold a length
TEXT_MASK = (1 << TEXT_SHIFT) - 1
MAX_UNKNOWN = 32
MAX_LINE = 65536
HASH_SLOTS = 512
GAP = 8  # free bytes after each column's texts: copies go by eight

_NL, _QUOTE, _COMMA, _COLON, _OPEN, _CLOSE, _MINUS = 10, 34, 44, 58, 123, 125, 45


@njit(cache=True, nogil=True, inline="always")
def _same(data, s, keys, start, size):
    for j in range(size):
        if data[s + j] != keys[start + j]:
            return False
    return True


@njit(cache=True, nogil=True)
def key_hash(data, s, e):
    """Slot of a key in the hash table of known keys (FNV-1a)."""
    h = np.uint32(2166136261)
    for j in range(s, e):
        h = np.uint32((h ^ np.uint32(data[j])) * np.uint32(16777619))
    return np.int64(h % np.uint32(HASH_SLOTS))


@njit(cache=True, nogil=True)
def _find_key(data, s, e, keys, key_starts, slots):
    """Column of the key in data[s:e]; -1 unknown."""
    size = e - s
    slot = key_hash(data, s, e)
    while slots[slot] >= 0:
        column = slots[slot]
        if key_starts[column + 1] - key_starts[column] == size and _same(data, s, keys, key_starts[column], size):
            return column
        slot = (slot + 1) % HASH_SLOTS
    return -1


@njit(cache=True, nogil=True, inline="always")
def _is_next(data, i, guess, words, masks):
    """Whether `name":` of the guessed key stands at i."""
    return (
        load8(data, i) & masks[guess, 0] == words[guess, 0]
        and (masks[guess, 1] == 0 or load8(data, i + 8) & masks[guess, 1] == words[guess, 1])
        and (masks[guess, 2] == 0 or load8(data, i + 16) & masks[guess, 2] == words[guess, 2])
    )


@njit(cache=True, nogil=True)
def _literal_end(data, i):
    """Next index after true, false or null at i; -1 where none stands there."""
    if data[i] == 116 and data[i + 1] == 114 and data[i + 2] == 117 and data[i + 3] == 101:
        return i + 4
    if data[i] == 110 and data[i + 1] == 117 and data[i + 2] == 108 and data[i + 3] == 108:
        return i + 4
    if data[i] == 102 and data[i + 1] == 97 and data[i + 2] == 108 and data[i + 3] == 115 and data[i + 4] == 101:
        return i + 5
    return -1


@njit(cache=True, nogil=True)
def _read_unknown(data, key_start, key_end, i, tok_col, tok_val, first, at):
    """Add an unknown field whose value is at i: two tokens, as written; next index, or -1 to decline."""
    c = data[i]
    if c == _QUOTE:
        end = string_end(data, i + 1)
        if end < 0:
            return -1
        end += 1
    elif c == 116 or c == 102 or c == 110:
        end = _literal_end(data, i)
    else:
        end = number_end(data, i, True)
    if end < 0:
        return -1
    size = key_end - key_start
    count = 0
    for t in range(first, at):
        if tok_col[t] == UNKNOWN:
            count += 1
            start = tok_val[t] >> TEXT_SHIFT
            if (tok_val[t] & TEXT_MASK) == size and _same(data, key_start, data, start, size):
                return -1
    if count >= MAX_UNKNOWN:
        return -1
    tok_col[at] = UNKNOWN
    tok_val[at] = (np.int64(key_start) << TEXT_SHIFT) | size
    tok_col[at + 1] = UNKNOWN + 1
    tok_val[at + 1] = (np.int64(i) << TEXT_SHIFT) | (end - i)
    return end


@njit(cache=True, nogil=True)
def _read_attributes(data, i, tok_col, tok_val, first, at):
    """Add the fields of a flat `attributes` object whose brace is at i; (next index or -1, next token)."""
    i = skip_space(data, i + 1)
    if data[i] == _CLOSE:
        return i + 1, at
    while True:
        if data[i] != _QUOTE:
            return -1, at
        key_end = string_end(data, i + 1)
        if key_end < 0:
            return -1, at
        j = skip_space(data, key_end + 1)
        if data[j] != _COLON:
            return -1, at
        j = _read_unknown(data, i + 1, key_end, skip_space(data, j + 1), tok_col, tok_val, first, at)
        if j < 0:
            return -1, at
        at += 2
        i = skip_space(data, j)
        if data[i] == _CLOSE:
            return i + 1, at
        if data[i] != _COMMA:
            return -1, at
        i = skip_space(data, i + 1)


@njit(cache=True, nogil=True)
def _read_value(data, i, column, kind, tok_col, tok_val, at):
    """Read the value of a known key at i; (next index or -1, next token)."""
    c = data[i]
    if c == 110:
        return _literal_end(data, i), at
    value = np.int64(0)
    if c == _QUOTE:
        end = string_end(data, i + 1)
        if end < 0:
            return -1, at
        start = i + 1
        if kind == TIME:
            value = read_time(data, start, end)
            if value < 0:
                return -1, at
        elif kind == TEXT or kind == IP or kind == TYPE:  # noqa: SIM109
            if kind == IP and address_kind(data, start, end) == 0:
                return -1, at
            if kind == TYPE and end == start:
                return -1, at
            value = (np.int64(start) << TEXT_SHIFT) | (end - start)
        elif kind == RECORD:
            ok = end - start == 5 and data[start] == 101 and data[start + 1] == 118 and data[start + 2] == 101
            if not ok or data[start + 3] != 110 or data[start + 4] != 116:
                return -1, at
            return end + 1, at
        else:
            return -1, at
        end += 1
    elif kind == BOOL:
        end = _literal_end(data, i)
        value = np.int64(1) if c == 116 else np.int64(0)
    elif kind == INT or kind == TIME:  # noqa: SIM109
        value, end = read_int(data, i)
        if kind == TIME and (value < 0 or value > MAX_TIME_US or data[i] == _MINUS):
            return -1, at
    elif kind == FLOAT:
        end = number_end(data, i, False)
        value = (np.int64(i) << TEXT_SHIFT) | (end - i)
    else:
        return -1, at
    tok_col[at] = column
    tok_val[at] = value
    return end, at + 1


@njit(cache=True, nogil=True)
def _scan_line(data, i, keys, key_starts, words, masks, kinds, slots, follows, needed, tok_col, tok_val, at):
    """Read one line at i; (next index or -1, next token)."""
    first = at
    seen = np.uint64(0)
    previous = len(kinds)
    i = skip_space(data, i)
    if data[i] != _OPEN:
        return -1, at
    i = skip_space(data, i + 1)
    while True:
        if data[i] != _QUOTE:
            return -1, at
        column = follows[previous]
        if column >= 0 and _is_next(data, i + 1, column, words, masks):
            key_end = i + 1 + key_starts[column + 1] - key_starts[column]
            j = key_end + 2
        else:
            key_end = string_end(data, i + 1)
            if key_end < 0:
                return -1, at
            column = _find_key(data, i + 1, key_end, keys, key_starts, slots)
            j = skip_space(data, key_end + 1)
            if data[j] != _COLON:
                return -1, at
            j += 1
        j = skip_space(data, j)
        if column < 0:
            j = _read_unknown(data, i + 1, key_end, j, tok_col, tok_val, first, at)
            at += 2
        else:
            bit = np.uint64(1) << np.uint64(column)
            if seen & bit:
                return -1, at
            before = at
            if kinds[column] == ATTRIBUTES and data[j] == _OPEN:
                j, at = _read_attributes(data, j, tok_col, tok_val, first, at)
            else:
                j, at = _read_value(data, j, column, kinds[column], tok_col, tok_val, at)
            seen |= bit
            if at == before and bit & needed:
                return -1, at
            follows[previous] = column
            previous = column
        if j < 0:
            return -1, at
        i = skip_space(data, j)
        if data[i] == _CLOSE:
            break
        if data[i] != _COMMA:
            return -1, at
        i = skip_space(data, i + 1)
    i = skip_space(data, i + 1)
    if data[i] != _NL or (seen & needed) != needed:
        return -1, at
    return i + 1, at


@njit(cache=True, nogil=True)
def scan(data, size, keys, key_starts, words, masks, kinds, slots, needed, tok_col, tok_val, row_ends, row_lines, slow):
    """Read the lines of data[:size], which ends with a newline and 8 more bytes of padding.

    Fills tokens (`tok_col`, `tok_val`), for each plain row the end of its tokens and its line number, for each declined
    line (line number, start, end). Returns (lines, rows, declined).
    """
    follows = np.full(len(kinds) + 1, -1, dtype=np.int64)
    lines, rows, declined = 0, 0, 0
    i, at = 0, 0
    while i < size:
        start = skip_space(data, i)
        if data[start] == _NL:
            i = start + 1
            continue
        end, after = _scan_line(
            data, start, keys, key_starts, words, masks, kinds, slots, follows, needed, tok_col, tok_val, at
        )
        if end > 0 and end - i <= MAX_LINE:
            at = after
            row_ends[rows] = at
            row_lines[rows] = lines
            rows += 1
        else:
            end = start
            while data[end] != _NL:
                end += 1
            slow[declined, 0], slow[declined, 1], slow[declined, 2] = lines, i, end
            declined += 1
            end += 1
        lines += 1
        i = end
    return lines, rows, declined


@njit(cache=True, nogil=True)
def measure(tok_col, tok_val, row_ends, rows, kinds, sizes, counts):
    """For each column: values there (`counts`) and bytes of its texts (`sizes`), over the rows."""
    start = 0
    for row in range(rows):
        end = row_ends[row]
        further = np.int64(0)
        for t in range(start, end):
            column = tok_col[t]
            if column < UNKNOWN:
                counts[column] += 1
                kind = kinds[column]
                if kind == FLOAT or kind == TEXT or kind >= IP:  # noqa: SIM109
                    sizes[column] += tok_val[t] & TEXT_MASK
            elif column == UNKNOWN:
                further += (tok_val[t] & TEXT_MASK) + 4  # quotes, colon, comma or brace
            else:
                further += tok_val[t] & TEXT_MASK
        if further:
            counts[len(kinds)] += 1
            sizes[len(kinds)] += further + 1
        start = end


@njit(cache=True, nogil=True, inline="always")
def _copy(data, start, size, out, at):
    done = 0
    while done < size:
        store8(out, at + done, load8(data, start + done))
        done += 8
    return at + size


@njit(cache=True, nogil=True)
def _copy_further(data, tok_col, tok_val, start, end, out, at):
    """Write a row's unknown fields as one JSON object; returns the end."""
    before = at
    for t in range(start, end):
        if tok_col[t] == UNKNOWN:
            out[at] = _OPEN if at == before else _COMMA
            out[at + 1] = _QUOTE
            at = _copy(data, tok_val[t] >> TEXT_SHIFT, tok_val[t] & TEXT_MASK, out, at + 2)
            out[at] = _QUOTE
            out[at + 1] = _COLON
            at = _copy(data, tok_val[t + 1] >> TEXT_SHIFT, tok_val[t + 1] & TEXT_MASK, out, at + 2)
    if at > before:
        out[at] = _CLOSE
        at += 1
    return at


@njit(cache=True, nogil=True)
def build(data, tok_col, tok_val, row_ends, rows, kinds, slot_of, text, text_starts, offsets, numbers, valid):
    """Fill the Arrow buffers of the columns that occur.

    `slot_of[column]`: its row in `offsets` [S, rows + 1] and `valid` [S, bytes] (-1: does not occur; column
    len(kinds) is `attributes`); texts of slot s go to `text` from `text_starts[s]`; numbers to `numbers` [S, rows].
    """
    cursors = text_starts.copy()
    slots = len(text_starts)
    further = slot_of[len(kinds)]
    start = 0
    for row in range(rows):
        end = row_ends[row]
        bit = np.uint8(1 << (row & 7))
        has_further = False
        for t in range(start, end):
            column = tok_col[t]
            if column >= UNKNOWN:
                has_further = True
                continue
            slot = slot_of[column]
            kind = kinds[column]
            valid[slot, row >> 3] |= bit
            if kind == FLOAT or kind == TEXT or kind >= IP:  # noqa: SIM109
                cursors[slot] = _copy(data, tok_val[t] >> TEXT_SHIFT, tok_val[t] & TEXT_MASK, text, cursors[slot])
            else:
                numbers[slot, row] = tok_val[t]
        if has_further:
            valid[further, row >> 3] |= bit
            cursors[further] = _copy_further(data, tok_col, tok_val, start, end, text, cursors[further])
        for slot in range(slots):
            offsets[slot, row + 1] = cursors[slot] - text_starts[slot]
        start = end
