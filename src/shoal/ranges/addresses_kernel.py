# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Address texts in bulk: IPv4 and IPv6 texts to 128-bit numbers, CIDRs to ranges, numbers to prefix texts. Hot path.

As strict as Python's `ipaddress` (its slow twin in the tests): no leading zeros in IPv4, one `::` at most, dotted IPv4
in the last place of IPv6, a zone (`%eth0`) is read over, nothing around the address. All addresses live in **one
128-bit space**, where IPv4 a.b.c.d is ::ffff:a.b.c.d. So an IPv4-mapped IPv6 text *is* the IPv4 address and has version
4: a dual-stack server logs either form for one client. Pure functions; nothing here knows a list or a table.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit, uint64

UInt64s = npt.NDArray[np.uint64]
Int8s = npt.NDArray[np.int8]
Int32s = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

V4_HIGH = 0xFFFF << 32
"""Bits 32 to 63 of the low half of every IPv4 address in the one space."""

OK, NOT_ADDRESS, BAD_PREFIX, HOST_BITS, LAST_BEFORE_FIRST, MIXED_VERSIONS = range(6)
"""States of a parsed range; see `parse_networks`."""

_NO_BYTES: Bytes = np.zeros(0, dtype=np.uint8)
_V4_HIGH = np.uint64(V4_HIGH)
_DOT, _COLON, _PERCENT, _SLASH, _DASH = 46, 58, 37, 47, 45


def text_buffers(texts: pa.Array) -> tuple[Bytes, Int32s]:
    """The bytes and int32 offsets [n + 1] of a `string` array, without a copy; a null has no bytes.

    Nulls of Arrow may hold bytes all the same; callers that care look at the validity.
    """
    if len(texts) == 0:
        return _NO_BYTES, np.zeros(1, dtype=np.int32)
    _, offsets, data = texts.buffers()
    edges = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return (np.frombuffer(data, dtype=np.uint8) if data is not None and data.size else _NO_BYTES), edges


def plain_texts(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One contiguous `string` array of whatever text array came (chunked, large, dictionary)."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.chunk(0) if texts.num_chunks == 1 else texts.combine_chunks()  # which copies even one chunk
    return texts if texts.type == pa.string() else texts.cast(pa.string())


def parse_addresses(texts: pa.Array) -> tuple[UInt64s, UInt64s, Int8s]:
    """Read address texts.

    `texts`: a text array of n values. Returns (hi, lo, version): the halves of the 128-bit address, uint64[n], and
    int8[n]: 4, 6, or 0 where the text is null or no address (hi and lo are 0 there). About 30 ns a text.
    """
    texts = plain_texts(texts)
    data, offsets = text_buffers(texts)
    size = len(texts)
    hi, lo, version = np.zeros(size, np.uint64), np.zeros(size, np.uint64), np.zeros(size, np.int8)
    _parse_all(data, offsets, hi, lo, version)
    if texts.null_count:
        null = np.asarray(texts.is_null())
        hi[null], lo[null], version[null] = 0, 0, 0
    return hi, lo, version


def parse_networks(texts: pa.Array) -> tuple[UInt64s, UInt64s, UInt64s, UInt64s, Int8s]:
    """Read ranges: an address, a CIDR (prefix length only, no host bits) or `first-last`.

    Returns (first_hi, first_lo, last_hi, last_lo, state), state int8[n] being `OK` or why not: `NOT_ADDRESS` (nulls
    too), `BAD_PREFIX`, `HOST_BITS`, `LAST_BEFORE_FIRST`, `MIXED_VERSIONS`.
    """
    texts = plain_texts(texts)
    data, offsets = text_buffers(texts)
    size = len(texts)
    ends = np.zeros((4, size), dtype=np.uint64)
    state = np.zeros(size, dtype=np.int8)
    _parse_ranges(data, offsets, ends, state)
    if texts.null_count:
        state[np.asarray(texts.is_null())] = NOT_ADDRESS
    return ends[0], ends[1], ends[2], ends[3], state


def prefix_texts(hi: UInt64s, lo: UInt64s, version: Int8s) -> pa.Array:
    """The network of each address as text: `a.b.c.0/24`, or `x:y:z::/48` in canonical form; null where version is 0."""
    size = len(version)
    out = np.empty(size * 20, dtype=np.uint8)  # the longest: xxxx:xxxx:xxxx::/48
    offsets = np.zeros(size + 1, dtype=np.int32)
    _write_prefixes(hi, lo, version, out, offsets)
    mask = None
    if not version.all():
        mask = pa.py_buffer(np.packbits(version != 0, bitorder="little"))
    used = pa.py_buffer(out[: offsets[-1]].copy())
    return pa.StringArray.from_buffers(size, pa.py_buffer(offsets), used, mask)


@njit(cache=True, nogil=True)
def _parse_ipv4(data, start, end):
    """(value, ok) of dotted decimal in data[start:end]."""
    value = uint64(0)
    octet, digits, dots = np.int64(0), 0, 0
    first = 0
    for i in range(start, end):
        c = data[i]
        if 48 <= c <= 57:
            if digits == 0:
                first = c
            elif first == 48 or digits == 3:
                return uint64(0), False
            octet = octet * 10 + (np.int64(c) - 48)
            digits += 1
        elif c == _DOT:
            if digits == 0 or octet > 255 or dots == 3:
                return uint64(0), False
            value = (value << uint64(8)) | uint64(octet)
            octet, digits = np.int64(0), 0
            dots += 1
        else:
            return uint64(0), False
    if dots != 3 or digits == 0 or octet > 255:
        return uint64(0), False
    return (value << uint64(8)) | uint64(octet), True


@njit(inline="always")
def _hex_digit(c):
    if 48 <= c <= 57:
        return np.int64(c) - 48
    if 97 <= c <= 102:
        return np.int64(c) - 87
    if 65 <= c <= 70:
        return np.int64(c) - 55
    return np.int64(-1)


@njit(cache=True, nogil=True)
def _without_zone(data, start, end):
    """The end of the address proper, or -1 where the zone is empty, doubled or holds a slash."""
    for i in range(start, end):
        if data[i] == _PERCENT:
            if i + 1 == end:
                return -1
            for j in range(i + 1, end):
                if data[j] == _PERCENT or data[j] == _SLASH:
                    return -1
            return i
    return end


@njit(cache=True, nogil=True)
def _parse_ipv6(data, start, end):
    """(hi, lo, ok) of an IPv6 text without a zone."""
    zero = uint64(0)
    groups = np.zeros(8, dtype=np.uint64)
    count, gap = 0, -1
    i = start
    if end - start < 2:
        return zero, zero, False
    if data[i] == _COLON:
        if data[i + 1] != _COLON:
            return zero, zero, False
        gap = 0
        i += 2
    while i < end:
        value, digits = uint64(0), 0
        at = i
        while i < end:
            digit = _hex_digit(data[i])
            if digit < 0:
                break
            value = (value << uint64(4)) | uint64(digit)
            digits += 1
            i += 1
            if digits > 4:
                return zero, zero, False
        if i < end and data[i] == _DOT:
            tail, ok = _parse_ipv4(data, at, end)
            if not ok or count > 6:
                return zero, zero, False
            groups[count] = tail >> uint64(16)
            groups[count + 1] = tail & uint64(0xFFFF)
            count += 2
            i = end
            break
        if digits == 0 or count == 8:
            return zero, zero, False
        groups[count] = value
        count += 1
        if i == end:
            break
        if data[i] != _COLON or i + 1 == end:
            return zero, zero, False
        i += 1
        if data[i] == _COLON:
            if gap >= 0:
                return zero, zero, False
            gap = count
            i += 1
    if gap < 0:
        if count != 8:
            return zero, zero, False
    else:
        if count > 7:
            return zero, zero, False
        moved = count - gap
        for j in range(moved):
            groups[7 - j] = groups[count - 1 - j]
        for j in range(gap, 8 - moved):
            groups[j] = zero
    hi, lo = zero, zero
    for j in range(4):
        hi = (hi << uint64(16)) | groups[j]
        lo = (lo << uint64(16)) | groups[j + 4]
    return hi, lo, True


@njit(cache=True, nogil=True)
def parse_one(data, start, end):
    """(hi, lo, version) of data[start:end]; version 0 = not an address."""
    zero = uint64(0)
    colon = False
    for i in range(start, min(end, start + 5)):
        if data[i] == _COLON:
            colon = True
            break
    if not colon:
        value, ok = _parse_ipv4(data, start, end)
        if not ok:
            return zero, zero, np.int8(0)
        return zero, value | _V4_HIGH, np.int8(4)
    stop = _without_zone(data, start, end)
    if stop < 0:
        return zero, zero, np.int8(0)
    hi, lo, ok = _parse_ipv6(data, start, stop)
    if not ok:
        return zero, zero, np.int8(0)
    if hi == zero and (lo >> uint64(32)) == uint64(0xFFFF):
        return hi, lo, np.int8(4)
    return hi, lo, np.int8(6)


@njit(cache=True, nogil=True)
def _parse_all(data, offsets, hi, lo, version):
    for row in range(len(version)):
        hi[row], lo[row], version[row] = parse_one(data, offsets[row], offsets[row + 1])


@njit(cache=True, nogil=True)
def _parse_prefix(data, start, end):
    """A decimal prefix length without leading zeros, or -1."""
    if end <= start or end - start > 3 or (data[start] == 48 and end - start > 1):
        return -1
    value = np.int64(0)
    for i in range(start, end):
        if data[i] < 48 or data[i] > 57:
            return -1
        value = value * 10 + (np.int64(data[i]) - 48)
    return value


@njit(cache=True, nogil=True)
def _host_masks(length):
    """(hi, lo) masks of the host bits of a 128-bit prefix length."""
    ones = ~uint64(0)
    if length >= 128:
        return uint64(0), uint64(0)
    if length > 64:
        return uint64(0), ones >> uint64(length - 64)
    if length == 64:
        return uint64(0), ones
    return ones >> uint64(length), ones


@njit(cache=True, nogil=True)
def _parse_range(data, start, end):
    """(first_hi, first_lo, last_hi, last_lo, state) of an address, a CIDR or `first-last`."""
    zero = uint64(0)
    for i in range(start, end):
        if data[i] == _DASH:
            hi, lo, version = parse_one(data, start, i)
            last_hi, last_lo, last_version = parse_one(data, i + 1, end)
            if version == 0 or last_version == 0:
                return zero, zero, zero, zero, NOT_ADDRESS
            if version != last_version:
                return zero, zero, zero, zero, MIXED_VERSIONS
            if last_hi < hi or (last_hi == hi and last_lo < lo):
                return zero, zero, zero, zero, LAST_BEFORE_FIRST
            return hi, lo, last_hi, last_lo, OK
        if data[i] == _SLASH:
            hi, lo, version = parse_one(data, start, i)
            if version == 0:
                return zero, zero, zero, zero, NOT_ADDRESS
            length = _parse_prefix(data, i + 1, end)
            dotted = True
            for j in range(start, i):
                if data[j] == _COLON:
                    dotted = False
            if length < 0 or length > (32 if dotted else 128):
                return zero, zero, zero, zero, BAD_PREFIX
            mask_hi, mask_lo = _host_masks(length + 96 if dotted else length)
            if (hi & mask_hi) != zero or (lo & mask_lo) != zero:
                return zero, zero, zero, zero, HOST_BITS
            return hi, lo, hi | mask_hi, lo | mask_lo, OK
    hi, lo, version = parse_one(data, start, end)
    if version == 0:
        return zero, zero, zero, zero, NOT_ADDRESS
    return hi, lo, hi, lo, OK


@njit(cache=True, nogil=True)
def _parse_ranges(data, offsets, ends, state):
    for row in range(len(state)):
        a, b, c, d, found = _parse_range(data, offsets[row], offsets[row + 1])
        ends[0, row], ends[1, row], ends[2, row], ends[3, row] = a, b, c, d
        state[row] = found


@njit(inline="always")
def _write_decimal(out, at, value):
    if value >= 100:
        out[at] = 48 + value // 100
        at += 1
    if value >= 10:
        out[at] = 48 + value // 10 % 10
        at += 1
    out[at] = 48 + value % 10
    return at + 1


@njit(inline="always")
def _write_hex(out, at, value):
    begun = False
    for shift in (12, 8, 4, 0):
        digit = (value >> shift) & 15
        if digit or begun or shift == 0:
            out[at] = 48 + digit if digit < 10 else 87 + digit
            at += 1
            begun = True
    return at


@njit(cache=True, nogil=True)
def _write_prefixes(hi, lo, version, out, offsets):
    at = 0
    for row in range(len(version)):
        if version[row] == 4:
            value = np.int64(lo[row] & uint64(0xFFFFFFFF))
            for shift in (24, 16, 8):
                at = _write_decimal(out, at, (value >> shift) & 255)
                out[at] = _DOT
                at += 1
            for c in (48, _SLASH, 50, 52):
                out[at] = c
                at += 1
        elif version[row] == 6:
            top = np.int64(hi[row] >> uint64(16))
            for shift in (32, 16, 0):
                if top & ((np.int64(1) << (shift + 16)) - 1) == 0:
                    break
                at = _write_hex(out, at, (top >> shift) & 0xFFFF)
                if shift:
                    out[at] = _COLON
                    at += 1
            if at > offsets[row] and out[at - 1] == _COLON:
                at -= 1
            for c in (_COLON, _COLON, _SLASH, 52, 56):
                out[at] = c
                at += 1
        offsets[row + 1] = at
