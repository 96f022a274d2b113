# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""LIKE and the parts of URLs and file names, on the bytes of an Arrow string array. Hot path.

A pattern is two byte arrays: what each place wants (`WANT`: this byte, any character, any run) and the byte. Matching
keeps one place to return to (the last run), so that it costs at most text × pattern steps, whoever writes the text.
The scanners give the same as the regular expressions in `texts`, which say what they mean. No state, no allocation
but the caller's.
"""

from __future__ import annotations

import numpy as np
from numba import njit

WANT_BYTE, WANT_CHARACTER, WANT_RUN, WANT_NOTHING = 0, 1, 2, 9
ZERO, ONE = np.uint64(0), np.uint64(1)
SCHEME, HOST, PATH, EXTENSION = 0, 1, 2, 3
_SLASH, _BACKSLASH, _QUERY, _HASH, _COLON, _AT, _DOT, _OPEN, _CLOSE = 47, 92, 63, 35, 58, 64, 46, 91, 93


@njit(cache=True, nogil=True)
def _lower(c):
    return c + 32 if c >= 65 and c <= 90 else c


@njit(cache=True, nogil=True)
def _letter(c):
    return (c >= 97 and c <= 122) or (c >= 65 and c <= 90)


@njit(cache=True, nogil=True)
def _matches(data, at, end, want, pattern, tail, fold):
    """1 or 0. `tail` is where the plain bytes behind the last run begin (0 where there is no run).

    All places are uint64: an index that cannot be negative spares its test.
    """
    p, size = ZERO, np.uint64(len(want))
    in_run, run, back = False, ZERO, ZERO
    while at < end or (p < size and want[p] == WANT_RUN):
        kind = want[p] if p < size else WANT_NOTHING
        if kind == WANT_BYTE and (_lower(data[at]) if fold else data[at]) == pattern[p]:
            at += ONE
            p += ONE
        elif kind == WANT_RUN:
            if p + ONE == tail:  # only plain bytes are left: they stand at the end or nowhere
                if end - at < size - tail:
                    return 0
                at, in_run = end - (size - tail), False
                p += ONE
                continue
            in_run, run, back = True, p, at
            p += ONE
            if p < size and want[p] == WANT_BYTE:
                first = pattern[p]
                also = first - 32 if fold and first >= 97 and first <= 122 else first
                while at < end and data[at] != first and data[at] != also:
                    at += ONE
                back = at
        elif kind == WANT_CHARACTER:
            at += ONE
            while at < end and (data[at] & 0xC0) == 0x80:
                at += ONE
            p += ONE
        elif in_run:
            back += ONE
            while back < end and (data[back] & 0xC0) == 0x80:
                back += ONE
            at, p = back, run  # the run again, from one character further
        else:
            return 0
    return 1 if p == size else 0


@njit(cache=True, nogil=True)
def _tail(want):
    """Where the plain bytes behind the last run of a pattern begin; 0 where it has no run."""
    tail = len(want)
    while tail > 0 and want[tail - 1] == WANT_BYTE:
        tail -= 1
    return np.uint64(0 if tail > 0 and want[tail - 1] != WANT_RUN else tail)


@njit(cache=True, nogil=True)
def _is_ascii(data, begin, end):
    bits = np.uint8(0)
    for i in range(begin, end):
        bits |= data[i]
    return bits < 128


@njit(cache=True, nogil=True)
def match_rows(data, offsets, want, pattern, fold, out):
    """Whether each text matches, into `out` (uint8).

    Gives False, with `out` unfinished, where `fold` meets a text that is not ASCII (the caller must fold otherwise).
    """
    tail = _tail(want)
    if fold and not _is_ascii(data, offsets[0], offsets[len(out)]):
        return False
    for row in range(len(out)):
        begin, end = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        out[row] = _matches(data, begin, end, want, pattern, tail, fold)
    return True


@njit(cache=True, nogil=True)
def match_chosen(data, offsets, rows, want, pattern, fold, out):
    """`match_rows` for some rows of the texts alone: `out` is as long as `rows`."""
    tail = _tail(want)
    for i in range(len(rows)):
        row = rows[i]
        if fold and not _is_ascii(data, offsets[row], offsets[row + 1]):
            return False
        begin, end = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        out[i] = _matches(data, begin, end, want, pattern, tail, fold)
    return True


@njit(cache=True, nogil=True)
def code_rows(ids, valid, data, offsets, table, codes, firsts):
    """Number the distinct texts of a column: the code of each row, and the first row of each code.

    Rows are of one text where their ids, lengths and first bytes are (an erased text keeps its id, but begins with a
    mark that no other text begins with). Gives how many, or -1 where they are more than `firsts` holds. `table` is all
    -1, of a power of two, at least twice as long as `firsts`.
    """
    count, null_code = 0, -1
    last = len(table) - 1
    for row in range(len(codes)):
        if not valid[row]:
            if null_code < 0:
                if count == len(firsts):
                    return -1
                null_code, firsts[count] = count, row
                count += 1
            codes[row] = null_code
            continue
        key = ids[row]
        length = offsets[row + 1] - offsets[row]
        place = (key ^ (key >> 32)) & last
        while True:
            code = table[place]
            if code < 0:
                if count == len(firsts):
                    return -1
                table[place] = code = count
                firsts[count] = row
                count += 1
                break
            first = firsts[code]
            if ids[first] == key and offsets[first + 1] - offsets[first] == length:
                if length == 0 or data[offsets[first]] == data[offsets[row]]:
                    break
            place = (place + 1) & last
        codes[row] = code
    return count


@njit(cache=True, nogil=True)
def spread(codes, few, few_valid, values, valid):
    """Give each row what was found for its code."""
    for row in range(len(codes)):
        code = np.uint32(codes[row])
        values[row] = few[code]
        valid[row] = few_valid[code]


@njit(cache=True, nogil=True)
def _scheme_end(data, start, end):
    """Past white space and a scheme: (begin of the scheme, place of its colon), or (-1, -1)."""
    at = start
    while at < end and (data[at] == 32 or data[at] == 9 or data[at] == 10 or data[at] == 12 or data[at] == 13):
        at += 1
    begin = at
    if at >= end or not _letter(data[at]):
        return -1, -1
    while at < end:
        c = data[at]
        if not (_letter(c) or (c >= 48 and c <= 57) or c == 43 or c == 45 or c == _DOT):
            break
        at += 1
    if at < end and data[at] == _COLON:
        return begin, at
    return -1, -1


@njit(cache=True, nogil=True)
def _host(data, at, end):
    """The host in an authority data[at:end], or (-1, -1): behind the last @, up to the first colon, or in brackets."""
    for i in range(end - 1, at - 1, -1):
        if data[i] == _AT:
            found = _host_at(data, i + 1, end)
            if found[0] >= 0:
                return found
    return _host_at(data, at, end)


@njit(cache=True, nogil=True)
def _host_at(data, at, end):
    if at < end and data[at] == _OPEN:
        i = at + 1
        while i < end and data[i] != _CLOSE and data[i] != _AT:
            i += 1
        if i < end and data[i] == _CLOSE:
            return at, i + 1
    i = at
    while i < end and data[i] != _COLON and data[i] != _AT:
        i += 1
    return (at, i) if i > at else (-1, -1)


@njit(cache=True, nogil=True)
def _extension(data, start, end):
    """Behind the last dot, which is neither first in its name nor last."""
    i = end - 1
    while i >= start and data[i] != _DOT and data[i] != _SLASH and data[i] != _BACKSLASH:
        i -= 1
    if i - 1 < start or i + 1 >= end or data[i] != _DOT or data[i - 1] == _SLASH or data[i - 1] == _BACKSLASH:
        return -1, -1
    return i + 1, end


@njit(cache=True, nogil=True)
def _part(part, data, start, end):
    """Begin and end of the wanted part of data[start:end], or (-1, -1)."""
    if part == EXTENSION:
        return _extension(data, start, end)
    begin, colon = _scheme_end(data, start, end)
    if begin < 0 or part == SCHEME:
        return begin, colon
    at = colon + 3
    if at > end:
        return -1, -1
    for i in range(colon + 1, at):
        if data[i] != _SLASH and data[i] != _BACKSLASH:
            return -1, -1
    stop = at
    while (
        stop < end
        and data[stop] != _SLASH
        and data[stop] != _BACKSLASH
        and data[stop] != _QUERY
        and data[stop] != _HASH
    ):
        stop += 1
    if part == HOST:
        return _host(data, at, stop)
    at = stop
    while stop < end and data[stop] != _QUERY and data[stop] != _HASH:
        stop += 1
    return at, stop


@njit(cache=True, nogil=True)
def part_rows(part, lower, data, offsets, valid, out, out_offsets):
    """Copy the wanted part of each valid text to `out`; clears `valid` where there is none.

    With `lower`, ASCII letters are copied in lower case; gives whether other characters remain to be lowered.
    """
    other = False
    used = 0
    for row in range(len(valid)):
        out_offsets[row] = used
        if not valid[row]:
            continue
        begin, end = _part(part, data, offsets[row], offsets[row + 1])
        if begin < 0:
            valid[row] = 0
            continue
        for i in range(begin, end):
            c = data[i]
            other |= c >= 128
            out[used] = np.uint8(_lower(c)) if lower else c
            used += 1
    out_offsets[len(valid)] = used
    return other and lower
