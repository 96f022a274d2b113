# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Rows of text columns as JSON lines, columns at once. Hot path. Holds no state.

A column is three arrays: bytes, int64 offsets and a validity byte a row, side by side in flat arrays with a start for
each column; its key is ready as `"name":`; a mode says whether the value is put as it is or in quotes with escapes. Two
passes: the size, then the bytes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

RAW, PLAIN, ESCAPED = 0, 1, 2  # put as it is; in quotes; in quotes with escapes

_QUOTE, _BACKSLASH, _COMMA, _OPEN, _CLOSE, _NEWLINE = 34, 92, 44, 123, 125, 10
HEX_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8).copy()


@njit("int64(uint8[::1], int64, int64)", cache=True, nogil=True)
def escaped_size(data, start, end):
    """Bytes of a text once quotes, backslashes and control characters are escaped."""
    size = end - start
    for i in range(start, end):
        c = data[i]
        if c == _QUOTE or c == _BACKSLASH:  # noqa: SIM109
            size += 1
        elif c < 32:
            size += 5
    return size


@njit("int64(uint8[::1], int64, int64, uint8[::1], int64, uint8[::1])", cache=True, nogil=True)
def _put_escaped(data, start, end, out, at, digits):
    for i in range(start, end):
        c = data[i]
        if c == _QUOTE or c == _BACKSLASH:  # noqa: SIM109
            out[at] = _BACKSLASH
            out[at + 1] = c
            at += 2
        elif c < 32:
            out[at] = _BACKSLASH
            out[at + 1] = 117
            out[at + 2] = 48
            out[at + 3] = 48
            out[at + 4] = digits[c >> 4]
            out[at + 5] = digits[c & 15]
            at += 6
        else:
            out[at] = c
            at += 1
    return at


@njit("int64(uint8[::1], int64, int64, uint8[::1], int64)", cache=True, nogil=True)
def _put(data, start, end, out, at):
    for i in range(start, end):
        out[at] = data[i]
        at += 1
    return at


@njit(
    "int64(uint8[::1], int64[::1], int64[::1], int64[::1], uint8[:, ::1], uint8[::1], int64[::1], uint8[::1], int64)",
    cache=True,
    nogil=True,
)
def lines_size(data, offsets, data_starts, offset_starts, valid, keys, key_ends, modes, rows):  # noqa: ARG001 - called as write_lines is
    """Bytes that `write_lines` will write."""
    total = np.int64(0)
    for column in range(len(modes)):
        key_start = key_ends[column - 1] if column else 0
        key_size = key_ends[column] - key_start
        base, where = data_starts[column], offset_starts[column]
        for row in range(rows):
            if valid[column, row]:
                start, end = base + offsets[where + row], base + offsets[where + row + 1]
                total += key_size + 1
                if modes[column] == RAW:
                    total += end - start
                elif modes[column] == PLAIN:
                    total += end - start + 2
                else:
                    total += escaped_size(data, start, end) + 2
    return total + rows * 3


@njit(
    "int64(uint8[::1], int64[::1], int64[::1], int64[::1], uint8[:, ::1], uint8[::1], int64[::1], uint8[::1], int64,"
    " uint8[::1], uint8[::1])",
    cache=True,
    nogil=True,
)
def write_lines(data, offsets, data_starts, offset_starts, valid, keys, key_ends, modes, rows, out, digits):
    """Write one JSON object a row into `out`; returns the bytes written."""
    at = np.int64(0)
    for row in range(rows):
        out[at] = _OPEN
        at += 1
        first = True
        for column in range(len(modes)):
            if not valid[column, row]:
                continue
            if not first:
                out[at] = _COMMA
                at += 1
            first = False
            key_start = key_ends[column - 1] if column else 0
            at = _put(keys, key_start, key_ends[column], out, at)
            base, where = data_starts[column], offset_starts[column]
            start, end = base + offsets[where + row], base + offsets[where + row + 1]
            if modes[column] == RAW:
                at = _put(data, start, end, out, at)
            else:
                out[at] = _QUOTE
                at += 1
                if modes[column] == PLAIN:
                    at = _put(data, start, end, out, at)
                else:
                    at = _put_escaped(data, start, end, out, at, digits)
                out[at] = _QUOTE
                at += 1
        out[at] = _CLOSE
        out[at + 1] = _NEWLINE
        at += 2
    return at
