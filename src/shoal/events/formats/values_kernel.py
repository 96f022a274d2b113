# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Single JSON values read in place from bytes: texts, numbers, times, addresses. Hot path. Holds no state.

Each reader accepts only the plain form of its value and declines everything else (-1 or 0), so that what it accepts is
certain to mean the same to the row reader. The bytes end with a newline and padding, so a reader may look some bytes
ahead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.cpython.unsafe.numbers import trailing_zeros as _trailing_zeros
from numba.extending import intrinsic

MAX_TIME_US = 253_402_300_799_999_999

_SPACE, _TAB, _CR, _QUOTE, _BACKSLASH, _COLON, _MINUS, _DOT = 32, 9, 13, 34, 92, 58, 45, 46
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)
_ONES, _HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_QUOTES, _BACKSLASHES = np.uint64(0x2222222222222222), np.uint64(0x5C5C5C5C5C5C5C5C)
_SPACES = np.uint64(0x2020202020202020)


def _load8(_context, array, index):
    """Eight bytes of a uint8 array from `index` on, as a little-endian uint64, aligned or not."""

    def generate(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        pointer = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(64).as_pointer())
        value = builder.load(pointer)
        value.align = 1
        return value

    return types.uint64(array, index), generate


def _store8(_context, array, index, value):  # noqa: ARG001 - a typing function: the value is in `args`
    """Write a uint64 as eight bytes of a uint8 array from `index` on, aligned or not."""

    def generate(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        pointer = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(64).as_pointer())
        builder.store(args[2], pointer).align = 1
        return context.get_dummy_value()

    return types.void(array, index, types.uint64), generate


load8: Any = intrinsic(_load8)
trailing_zeros: Any = _trailing_zeros
store8: Any = intrinsic(_store8)


@njit(cache=True, nogil=True, inline="always")
def skip_space(data, i):
    """Index of the first byte at or after i that is no white space within a line."""
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
def string_end(data, i):
    """Index of the quote that closes the text whose first byte is at i; -1 to decline."""
    while True:
        word = load8(data, i)
        quotes, backslashes = word ^ _QUOTES, word ^ _BACKSLASHES
        found = (quotes - _ONES) & ~quotes
        found |= (backslashes - _ONES) & ~backslashes
        found |= ((word - _SPACES) & ~word) | word
        found &= _HIGH  # the lowest bit marks the first byte that is a quote, a backslash, a control or not ASCII
        if found == 0:
            i += 8
            continue
        i += np.int64(trailing_zeros(found)) >> 3
        c = data[i]
        if c == _QUOTE:
            return i
        if c < 128:
            return -1
        step = utf8_step(data, i)
        if step == 0:
            return -1
        i += step


@njit(cache=True, nogil=True)
def read_int(data, i):
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
def number_end(data, i, canonical):
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
        pass
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
def _plain_v6(data, s, e):
    """Whether data[s:e] is an IPv6 address in canonical form (RFC 5952), and not an IPv4-mapped one."""
    groups = np.zeros(8, dtype=np.int64)
    count, gap = 0, -1
    i = s
    if data[i] == _COLON:
        if e - s < 2 or data[i + 1] != _COLON:
            return False
        gap = 0
        i += 2
    while i < e:
        if count == 8:
            return False
        value, digits = np.int64(0), 0
        while i < e and data[i] != _COLON:
            c = np.int64(data[i])
            digit = c - 48 if 48 <= c <= 57 else c - 87 if 97 <= c <= 102 else -1
            if digit < 0 or digits == 4 or (digits > 0 and value == 0):
                return False
            value = value * 16 + digit
            digits += 1
            i += 1
        if digits == 0:
            return False
        groups[count] = value
        count += 1
        if i < e:
            i += 1
            if i == e:
                return False
            if data[i] == _COLON:
                if gap >= 0:
                    return False
                gap = count
                i += 1
    if gap < 0 and count != 8:
        return False
    return _shortest(groups, count, gap)


@njit(cache=True, nogil=True)
def _shortest(groups, count, gap):
    """Whether the gap stands for the first longest run of two or more zero groups, and there is none without a gap."""
    hidden = 8 - count if gap >= 0 else 0
    if gap >= 0 and hidden < 2:
        return False
    if hidden:
        for j in range(count - 1, gap - 1, -1):
            groups[j + hidden] = groups[j]
        for j in range(gap, gap + hidden):
            groups[j] = 0
    best, best_at, run = 0, -1, 0
    for j in range(8):
        run = run + 1 if groups[j] == 0 else 0
        if run > best:
            best, best_at = run, j - run + 1
    if groups[5] == 0xFFFF and best_at == 0 and best == 5:
        return False
    return best < 2 if gap < 0 else best == hidden and best_at == gap


@njit(cache=True, nogil=True)
def address_kind(data, s, e):
    """4 or 6: an address in canonical form; 0: decline."""
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
    return 6 if _plain_v6(data, s, e) else 0
