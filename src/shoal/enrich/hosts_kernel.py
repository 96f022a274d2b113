# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The host part of URLs in bulk, as a browser would find it. Hot path.

After the WHATWG URL standard's states "scheme" to "host": tabs and line ends are dropped, a special scheme may be
followed by any number of slashes and backslashes, user information ends at the last `@`, a port is cut. What is written
is the raw host with ASCII letters lowered; `hosts` normalises it once per distinct value. A URL without a scheme has a
host only if it begins with `//`. Pure functions.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numba import njit

from shoal.ranges.addresses_kernel import plain_texts, text_buffers

MAX_RAW_HOST = 1024
"""A raw host longer than this (a DNS name has 253 characters, percent-encoded at most thrice that) is no host."""

_SPECIAL = ("http", "https", "ftp", "ws", "wss")
_SCHEMES = np.zeros((len(_SPECIAL), 6), dtype=np.uint8)
for _row, _name in enumerate(_SPECIAL):
    _SCHEMES[_row, 0] = len(_name)
    _SCHEMES[_row, 1 : 1 + len(_name)] = np.frombuffer(_name.encode(), dtype=np.uint8)


def url_hosts(urls: pa.Array) -> pa.Array:
    """The raw host of each URL, ASCII letters lowered; null where there is none. About 1 ns a byte."""
    urls = plain_texts(urls)
    data, offsets = text_buffers(urls)
    size = len(urls)
    if size == 0:
        return pa.array([], pa.string())
    out = np.empty(int(offsets[-1]) - int(offsets[0]), dtype=np.uint8)
    edges = np.zeros(size + 1, dtype=np.int32)
    null = np.asarray(urls.is_null()) if urls.null_count else np.zeros(size, dtype=np.bool_)
    _hosts(data, offsets, null, _SCHEMES, out, edges)
    mask = pa.py_buffer(np.packbits(edges[1:] > edges[:-1], bitorder="little"))
    return pa.StringArray.from_buffers(size, pa.py_buffer(edges), pa.py_buffer(out[: edges[-1]].copy()), mask)


@njit(inline="always")
def _dropped(c):
    return c == 9 or c == 10 or c == 13


@njit(inline="always")
def _lower(c):
    return c + 32 if 65 <= c <= 90 else c


@njit(cache=True, nogil=True)
def _scheme(data, start, end, schemes):
    """(place behind the colon, 2 special | 1 other); (start, 0) where there is no scheme."""
    name = np.zeros(6, dtype=np.uint8)
    length = 0
    i = start
    while i < end:
        c = _lower(data[i])
        if _dropped(c):
            i += 1
            continue
        if c == 58:
            break
        letter = 97 <= c <= 122
        if not (letter or (length > 0 and (48 <= c <= 57 or c == 43 or c == 45 or c == 46))):
            return start, 0
        if length < 5:
            name[1 + length] = c
        length += 1
        i += 1
    if i == end or length == 0:
        return start, 0
    for row in range(schemes.shape[0]):
        if schemes[row, 0] == length:
            same = True
            for j in range(length):
                if schemes[row, 1 + j] != name[1 + j]:
                    same = False
            if same:
                return i + 1, 2
    return i + 1, 1


@njit(cache=True, nogil=True)
def _authority(data, start, end, special):
    """(start, end) of the authority; start = -1 where there is none."""
    i = start
    slashes = 0
    while i < end and (_dropped(data[i]) or data[i] == 47 or (special and data[i] == 92)):
        if not _dropped(data[i]):
            slashes += 1
        i += 1
        if not special and slashes == 2:
            break
    if not special and slashes < 2:
        return -1, -1
    stop = i
    while stop < end:
        c = data[stop]
        if c == 47 or c == 63 or c == 35 or (special and c == 92):
            break
        stop += 1
    return i, stop


@njit(cache=True, nogil=True)
def _host_ends(data, start, stop):
    """(start, end) of the host within an authority: behind the last @, before the port."""
    for i in range(stop - 1, start - 1, -1):
        if data[i] == 64:
            start = i + 1
            break
    inside = False
    for i in range(start, stop):
        if data[i] == 91:
            inside = True
        elif data[i] == 93:
            inside = False
        elif data[i] == 58 and not inside:
            return start, i
    return start, stop


@njit(cache=True, nogil=True)
def _hosts(data, offsets, null, schemes, out, edges):
    at = 0
    for row in range(len(null)):
        if not null[row]:
            start, end = offsets[row], offsets[row + 1]
            while start < end and data[start] <= 32:
                start += 1
            behind, kind = _scheme(data, start, end, schemes)
            first, stop = _authority(data, behind, end, kind == 2)
            if first >= 0:
                first, stop = _host_ends(data, first, stop)
                if stop - first <= MAX_RAW_HOST:
                    for i in range(first, stop):
                        if not _dropped(data[i]):
                            out[at] = _lower(data[i])
                            at += 1
        edges[row + 1] = at
