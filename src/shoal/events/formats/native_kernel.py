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

BOOL, INT, FLOAT, TEXT, TIME, IP, ATTRIBUTES, RECORD = 0, 1, 2, 3, 4, 5, 6, 7  # kinds; the first five are schema.Kind
UNKNOWN = 254  # token column of an unknown field's key; its value follows
TEXT_SHIFT = 20  # texts are at most 64 KiB, so 20 bits hold a length
MAX_UNKNOWN = 32
MAX_LINE = 65536
MAX_TIME_US = 253_402_300_799_999_999
HASH_SLOTS = 512

_NL, _SPACE, _TAB, _CR, _QUOTE, _BACKSLASH = 10, 32, 9, 13, 34, 92
_COMMA, _COLON, _OPEN, _CLOSE, _MINUS, _DOT = 44, 58, 123, 125, 45, 46
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)


@njit(cache=True, nogil=True, inline="always")
def _skip(data, i):
    while data[i] == _SPACE or data[i] == _TAB or data[i] == _CR:
        i += 1
    return i


@njit(cache=True, nogil=True)
def utf8_step(data, i):
    """Bytes of the valid UTF-8 sequence at i whose first byte is not ASCII; 0 where it is not valid (RFC 3629)."""
    a, b = data[i], data[i + 1]
    if a < 0xC2 or b & 0xC0 != 0x80:
        return 0
    if a < 0xE0:
        return 2
    c = data[i + 2]
    if c & 0xC0 != 0x80:
        return 0
    if a < 0xF0:
        if (a == 0xE0 and b < 0xA0) or (a == 0xED and b >= 0xA0):
            return 0
        return 3
    d = data[i + 3]
    if a > 0xF4 or d & 0xC0 != 0x80 or (a == 0xF0 and b < 0x90) or (a == 0xF4 and b >= 0x90):
        return 0
    return 4


@njit(cache=True, nogil=True)
def _string_end(data, i):
    """Index of the quote that closes the text whose first byte is at i; -1 to decline."""
    while True:
        c = data[i]
        if c == _QUOTE:
            return i
        if c == _BACKSLASH or c < 32:
            return -1
        if c < 128:
            i += 1
        else:
            step = utf8_step(data, i)
            if step == 0:
                return -1
            i += step


@njit(cache=True, nogil=True)
def _read_int(data, i):
    """(value, next index) of an integer of at most 18 digits; next is -1 to decline."""
    negative = data[i] == _MINUS
    if negative:
        i += 1
    first = i
    value = np.int64(0)
    while 48 <= data[i] <= 57:
        value = value * 10 + (data[i] - 48)
        i += 1
        if i - first > 18:
            return value, -1
    if i == first or (data[first] == 48 and i - first > 1):
        return value, -1
    if data[i] == _DOT or data[i] == 101 or data[i] == 69:
        return value, -1
    return (-value if negative else value), i


@njit(cache=True, nogil=True)
def _number_end(data, i, canonical):
    """Next index after a number without exponent; -1 to decline.

    `canonical`: also decline what a JSON writer would write otherwise (more than 15 digits, 1.50, 0.00001).
    """
    start = i
    if data[i] == _MINUS:
        i += 1
    first = i
    while 48 <= data[i] <= 57:
        i += 1
    whole = i - first
    if whole == 0 or whole > 15 or (data[first] == 48 and whole > 1):
        return -1
    if data[i] == _DOT:
        i += 1
        point = i
        while 48 <= data[i] <= 57:
            i += 1
        fraction = i - point
        if fraction == 0 or fraction > 30:
            return -1
        if canonical:
            if whole + fraction > 15:
                return -1
            if data[i - 1] == 48 and fraction > 1:
                return -1
            if data[first] == 48 and data[point] == 48:
                return -1
    elif first > start and data[first] == 48:
        return -1
    if data[i] == 101 or data[i] == 69:
        return -1
    return i


@njit(cache=True, nogil=True, inline="always")
def _two(data, i):
    """The number of two digits at i; -1 where they are not digits."""
    a, b = np.int64(data[i]) - 48, np.int64(data[i + 1]) - 48
    if a < 0 or a > 9 or b < 0 or b > 9:
        return np.int64(-1)
    return a * 10 + b


@njit(cache=True, nogil=True)
def _days(year, month, day):
    """Days from 1970-01-01 (proleptic Gregorian; H. Hinnant, "chrono-compatible low-level date algorithms")."""
    y = year - 1 if month <= 2 else year
    era = y // 400
    yoe = y - era * 400
    doy = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468


@njit(cache=True, nogil=True)
def read_time(data, s, e):
    """Microseconds of `YYYY-MM-DDTHH:MM:SS[.f](Z|±HH:MM)` in data[s:e]; -1 to decline."""
    if e - s < 20 or e - s > 35:
        return np.int64(-1)
    century, year, month, day = _two(data, s), _two(data, s + 2), _two(data, s + 5), _two(data, s + 8)
    hour, minute, second = _two(data, s + 11), _two(data, s + 14), _two(data, s + 17)
    if century < 0 or year < 0 or hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return np.int64(-1)
    if data[s + 4] != _MINUS or data[s + 7] != _MINUS or data[s + 13] != _COLON or data[s + 16] != _COLON:
        return np.int64(-1)
    if data[s + 10] != 84 and data[s + 10] != _SPACE:
        return np.int64(-1)
    year += century * 100
    if year < 1970 or month < 1 or month > 12 or day < 1:
        return np.int64(-1)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if day > (29 if month == 2 and leap else _DAYS[month]):
        return np.int64(-1)
    i = s + 19
    micro = np.int64(0)
    if data[i] == _DOT:
        i += 1
        digits = 0
        while i < e and 48 <= data[i] <= 57:
            if digits < 6:
                micro = micro * 10 + (data[i] - 48)
            digits += 1
            i += 1
        if digits == 0 or digits > 9:
            return np.int64(-1)
        for _ in range(6 - digits):
            micro *= 10
    shift = np.int64(0)
    if data[i] == 90 and i + 1 == e:
        shift = 0
    elif (data[i] == 43 or data[i] == _MINUS) and i + 6 == e and data[i + 3] == _COLON:
        hours, minutes = _two(data, i + 1), _two(data, i + 4)
        if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
            return np.int64(-1)
        shift = hours * 60 + minutes
        if data[i] == _MINUS:
            shift = -shift
    else:
        return np.int64(-1)
    seconds = _days(year, month, day) * 86400 + hour * 3600 + (minute - shift) * 60 + second
    us = seconds * 1_000_000 + micro
    if us < 0 or us > MAX_TIME_US:
        return np.int64(-1)
    return us


@njit(cache=True, nogil=True)
def address_kind(data, s, e):
    """4: an IPv4 address in canonical form; 6: may be an IPv6 address (to be checked); 0: decline."""
    if e - s < 2 or e - s > 45:
        return 0
    part, digits, dots = 0, 0, 0
    i = s
    while i < e:
        c = data[i]
        if 48 <= c <= 57:
            if digits > 0 and part == 0:
                break
            part = part * 10 + (c - 48)
            digits += 1
            if part > 255 or digits > 3:
                break
        elif c == _DOT and digits > 0:
            dots += 1
            part, digits = 0, 0
        else:
            break
        i += 1
    if i == e and dots == 3 and digits > 0:
        return 4
    colons = 0
    for j in range(s, e):
        c = data[j]
        if c == _COLON:
            colons += 1
        elif not (48 <= c <= 57 or 97 <= c <= 102):
            return 0
    return 6 if colons >= 2 else 0


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
def _find_key(data, s, e, guess, keys, key_starts, slots):
    """Column of the key in data[s:e]; -1 unknown. `guess` is tried first: keys tend to come in one order."""
    size = e - s
    if guess >= 0 and key_starts[guess + 1] - key_starts[guess] == size:
        if _same(data, s, keys, key_starts[guess], size):
            return guess
    slot = key_hash(data, s, e)
    while slots[slot] >= 0:
        column = slots[slot]
        if key_starts[column + 1] - key_starts[column] == size and _same(data, s, keys, key_starts[column], size):
            return column
        slot = (slot + 1) % HASH_SLOTS
    return -1


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
        end = _string_end(data, i + 1)
        if end < 0:
            return -1
        end += 1
    elif c == 116 or c == 102 or c == 110:
        end = _literal_end(data, i)
    else:
        end = _number_end(data, i, True)
    if end < 0:
        return -1
    size = key_end - key_start
    count = 0
    for t in range(first, at):
        if tok_col[t] == UNKNOWN:
            count += 1
            start = tok_val[t] >> TEXT_SHIFT
            if (tok_val[t] & ((1 << TEXT_SHIFT) - 1)) == size and _same(data, key_start, data, start, size):
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
    i = _skip(data, i + 1)
    if data[i] == _CLOSE:
        return i + 1, at
    while True:
        if data[i] != _QUOTE:
            return -1, at
        key_end = _string_end(data, i + 1)
        if key_end < 0:
            return -1, at
        j = _skip(data, key_end + 1)
        if data[j] != _COLON:
            return -1, at
        j = _read_unknown(data, i + 1, key_end, _skip(data, j + 1), tok_col, tok_val, first, at)
        if j < 0:
            return -1, at
        at += 2
        i = _skip(data, j)
        if data[i] == _CLOSE:
            return i + 1, at
        if data[i] != _COMMA:
            return -1, at
        i = _skip(data, i + 1)


@njit(cache=True, nogil=True)
def _read_value(data, i, column, kind, tok_col, tok_val, at):
    """Read the value of a known key at i; (next index or -1, next token, whether the address is to be checked)."""
    c = data[i]
    if c == 110:
        return _literal_end(data, i), at, False
    check = False
    value = np.int64(0)
    if c == _QUOTE:
        end = _string_end(data, i + 1)
        if end < 0:
            return -1, at, False
        start = i + 1
        if kind == TIME:
            value = read_time(data, start, end)
            if value < 0:
                return -1, at, False
        elif kind == TEXT or kind == IP:
            if kind == IP:
                family = address_kind(data, start, end)
                if family == 0:
                    return -1, at, False
                check = family == 6
            value = (np.int64(start) << TEXT_SHIFT) | (end - start)
        elif kind == RECORD:
            ok = end - start == 5 and data[start] == 101 and data[start + 1] == 118 and data[start + 2] == 101
            if not ok or data[start + 3] != 110 or data[start + 4] != 116:
                return -1, at, False
            return end + 1, at, False
        else:
            return -1, at, False
        end += 1
    elif kind == BOOL:
        end = _literal_end(data, i)
        value = np.int64(1) if c == 116 else np.int64(0)
    elif kind == INT or kind == TIME:
        value, end = _read_int(data, i)
        if kind == TIME and (value < 0 or value > MAX_TIME_US or data[i] == _MINUS):
            return -1, at, False
    elif kind == FLOAT:
        end = _number_end(data, i, False)
        value = (np.int64(i) << TEXT_SHIFT) | (end - i)
    else:
        return -1, at, False
    tok_col[at] = column
    tok_val[at] = value
    return end, at + 1, check


@njit(cache=True, nogil=True)
def _scan_line(data, i, keys, key_starts, kinds, slots, follows, needed, tok_col, tok_val, at):
    """Read one line at i; (next index or -1, next token, whether an address is to be checked)."""
    first = at
    check = False
    seen = np.uint64(0)
    previous = len(kinds)
    i = _skip(data, i)
    if data[i] != _OPEN:
        return -1, at, False
    i = _skip(data, i + 1)
    while True:
        if data[i] != _QUOTE:
            return -1, at, False
        key_end = _string_end(data, i + 1)
        if key_end < 0:
            return -1, at, False
        column = _find_key(data, i + 1, key_end, follows[previous], keys, key_starts, slots)
        j = _skip(data, key_end + 1)
        if data[j] != _COLON:
            return -1, at, False
        j = _skip(data, j + 1)
        if column < 0:
            j = _read_unknown(data, i + 1, key_end, j, tok_col, tok_val, first, at)
            at += 2
        else:
            bit = np.uint64(1) << np.uint64(column)
            if seen & bit:
                return -1, at, False
            before = at
            if kinds[column] == ATTRIBUTES and data[j] == _OPEN:
                j, at = _read_attributes(data, j, tok_col, tok_val, first, at)
            else:
                j, at, look = _read_value(data, j, column, kinds[column], tok_col, tok_val, at)
                check = check or look
            seen |= bit
            if at == before and bit & needed:
                return -1, at, False
            follows[previous] = column
            previous = column
        if j < 0:
            return -1, at, False
        i = _skip(data, j)
        if data[i] == _CLOSE:
            break
        if data[i] != _COMMA:
            return -1, at, False
        i = _skip(data, i + 1)
    i = _skip(data, i + 1)
    if data[i] != _NL or (seen & needed) != needed:
        return -1, at, False
    return i + 1, at, check


@njit(cache=True, nogil=True)
def scan(data, size, keys, key_starts, kinds, slots, needed, tok_col, tok_val, row_ends, row_lines, slow, checks):
    """Read the lines of data[:size], which ends with a newline and 8 more bytes of padding.

    Fills tokens (`tok_col`, `tok_val`), for each plain row the end of its tokens and its line number, for each declined
    line (line number, start, end), and the rows whose address is to be checked. Returns (lines, rows, declined, checks).
    """
    follows = np.full(len(kinds) + 1, -1, dtype=np.int64)
    lines, rows, declined, checked = 0, 0, 0, 0
    i, at = 0, 0
    while i < size:
        start = _skip(data, i)
        if data[start] == _NL:
            i = start + 1
            continue
        end, after, check = _scan_line(data, start, keys, key_starts, kinds, slots, follows, needed, tok_col, tok_val, at)
        if end > 0 and end - i <= MAX_LINE:
            if check:
                checks[checked] = rows
                checked += 1
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
    return lines, rows, declined, checked


@njit(cache=True, nogil=True)
def measure(tok_col, tok_val, row_ends, rows, keep, kinds, sizes, counts):
    """For each column: values there (`counts`) and bytes of its texts (`sizes`), over the rows with `keep`."""
    mask = (1 << TEXT_SHIFT) - 1
    start = 0
    for row in range(rows):
        end = row_ends[row]
        if keep[row]:
            further = np.int64(0)
            for t in range(start, end):
                column = tok_col[t]
                if column < UNKNOWN:
                    counts[column] += 1
                    kind = kinds[column]
                    if kind == TEXT or kind == IP or kind == FLOAT:
                        sizes[column] += tok_val[t] & mask
                elif column == UNKNOWN:
                    further += (tok_val[t] & mask) + 4  # quotes, colon, comma or brace
                else:
                    further += tok_val[t] & mask
            if further:
                counts[len(kinds)] += 1
                sizes[len(kinds)] += further + 1
        start = end


@njit(cache=True, nogil=True, inline="always")
def _copy(data, start, size, out, at):
    for j in range(size):
        out[at + j] = data[start + j]
    return at + size


@njit(cache=True, nogil=True)
def _copy_further(data, tok_col, tok_val, start, end, out, at):
    """Write a row's unknown fields as one JSON object; returns the end."""
    mask = (1 << TEXT_SHIFT) - 1
    before = at
    for t in range(start, end):
        if tok_col[t] == UNKNOWN:
            out[at] = _OPEN if at == before else _COMMA
            out[at + 1] = _QUOTE
            at = _copy(data, tok_val[t] >> TEXT_SHIFT, tok_val[t] & mask, out, at + 2)
            out[at] = _QUOTE
            out[at + 1] = _COLON
            at = _copy(data, tok_val[t + 1] >> TEXT_SHIFT, tok_val[t + 1] & mask, out, at + 2)
    if at > before:
        out[at] = _CLOSE
        at += 1
    return at


@njit(cache=True, nogil=True)
def build(data, tok_col, tok_val, row_ends, rows, keep, kinds, slot_of, text, text_starts, offsets, numbers, valid):
    """Fill the Arrow buffers of the columns that occur.

    `slot_of[column]`: its row in `offsets` [S, kept + 1] and `valid` [S, bytes] (-1: does not occur; column len(kinds) is
    `attributes`); texts of slot s go to `text` from `text_starts[s]`; numbers to `numbers` [S, kept].
    """
    mask = (1 << TEXT_SHIFT) - 1
    cursors = text_starts.copy()
    slots = len(text_starts)
    further = slot_of[len(kinds)]
    start, row_out = 0, 0
    for row in range(rows):
        end = row_ends[row]
        if keep[row]:
            bit = np.uint8(1 << (row_out & 7))
            has_further = False
            for t in range(start, end):
                column = tok_col[t]
                if column >= UNKNOWN:
                    has_further = True
                    continue
                slot = slot_of[column]
                kind = kinds[column]
                valid[slot, row_out >> 3] |= bit
                if kind == TEXT or kind == IP or kind == FLOAT:
                    cursors[slot] = _copy(data, tok_val[t] >> TEXT_SHIFT, tok_val[t] & mask, text, cursors[slot])
                else:
                    numbers[slot, row_out] = tok_val[t]
            if has_further:
                valid[further, row_out >> 3] |= bit
                cursors[further] = _copy_further(data, tok_col, tok_val, start, end, text, cursors[further])
            row_out += 1
            for slot in range(slots):
                offsets[slot, row_out] = cursors[slot] - text_starts[slot]
        start = end
