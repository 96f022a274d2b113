# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The machine's arithmetic and comparisons on integers and floats. Hot path.

See `machine_kernel` for registers and truth values. `exp`, `ln`, `pow` and the sines are libm's, called one by one.
The mean radius of the earth is that of IUGG (Moritz, Geodetic Reference System 1980, R1 = 6371.0088 km); the distance
is the haversine formula (Sinnott, Sky and Telescope 68, 1984).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

EARTH_RADIUS_KM = 6371.0088
INT_MIN = -(2**63)
TWO_63 = 9223372036854775808.0
(
    ADD_I, SUB_I, MUL_I, IDIV_I, MOD_I, NEG_I, ABS_I, LEAST_I, GREATEST_I, EQ_I, NE_I, LT_I, LE_I, DISTINCT_I, IN_I,
    I_TO_F, TIME_SUB, TIME_ADD, HOUR, MINUTE, SECOND, DAYOFWEEK, EPOCH,
) = range(32, 55)  # fmt: skip
(
    ADD_F, SUB_F, MUL_F, DIV_F, IDIV_F, MOD_F, NEG_F, ABS_F, LEAST_F, GREATEST_F, EQ_F, NE_F, LT_F, LE_F, DISTINCT_F,
    IN_F, F_TO_I, FLOOR, CEIL, ROUND, TRUNC, SQRT, LN, LOG10, EXP, POW, DISTANCE,
) = range(96, 123)  # fmt: skip
SECOND_US, MINUTE_US, HOUR_US, DAY_US = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000


@njit(cache=True, nogil=True, error_model="numpy")
def _divides(x, y):
    """Whether x // y exists in 64 bits."""
    return y != 0 and not (y == -1 and x == INT_MIN)


@njit(cache=True, nogil=True, error_model="numpy")
def _quotient(x, y):
    """x / y toward zero (Python's // goes down)."""
    q = x // y
    return q + 1 if q * y != x and (x < 0) != (y < 0) else q


@njit(cache=True, nogil=True, error_model="numpy")
def _product_fits(x, y):
    p = abs(float(x) * float(y))
    if p < 9.2e18:
        return True
    if p > 9.3e18 or x == INT_MIN or y == INT_MIN:
        return x == 1 or y == 1
    return (x * y) // y == x


@njit(cache=True, nogil=True, error_model="numpy")
def _distance_km(lat1, lon1, lat2, lon2):
    """Great-circle distance, NaN where a coordinate does not exist."""
    if not (abs(lat1) <= 90.0 and abs(lat2) <= 90.0 and abs(lon1) <= 180.0 and abs(lon2) <= 180.0):
        return math.nan
    half_lat = math.sin(math.radians(lat2 - lat1) / 2.0)
    half_lon = math.sin(math.radians(lon2 - lon1) / 2.0)
    h = half_lat * half_lat + math.cos(math.radians(lat1)) * math.cos(math.radians(lat2)) * half_lon * half_lon
    return 2.0 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, h)))


@njit(cache=True, nogil=True, error_model="numpy")
def _int_arithmetic(op, d, a, b, n, num, ok):
    if op == ADD_I:
        for i in range(n):
            x, y = num[a + i], num[b + i]
            r = x + y
            v = ok[a + i] & ok[b + i] & np.uint8(((x ^ r) & (y ^ r)) >= 0)
            num[d + i] = r
            ok[d + i] = v
    elif op == SUB_I:
        for i in range(n):
            x, y = num[a + i], num[b + i]
            r = x - y
            v = ok[a + i] & ok[b + i] & np.uint8(((x ^ y) & (x ^ r)) >= 0)
            num[d + i] = r
            ok[d + i] = v
    elif op == MUL_I:
        for i in range(n):
            x, y = num[a + i], num[b + i]
            v = ok[a + i] & ok[b + i] & np.uint8(_product_fits(x, y))
            num[d + i] = x * y
            ok[d + i] = v
    elif op == IDIV_I:
        for i in range(n):
            x, y = num[a + i], num[b + i]
            good = _divides(x, y)
            v = ok[a + i] & ok[b + i] & np.uint8(good)
            num[d + i] = _quotient(x, y) if good else 0
            ok[d + i] = v
    elif op == MOD_I:
        for i in range(n):
            x, y = num[a + i], num[b + i]
            good = _divides(x, y)
            v = ok[a + i] & ok[b + i] & np.uint8(good)
            num[d + i] = x - _quotient(x, y) * y if good else 0
            ok[d + i] = v
    elif op == NEG_I:
        for i in range(n):
            x = num[a + i]
            v = ok[a + i] & np.uint8(x != INT_MIN)
            num[d + i] = -x
            ok[d + i] = v
    elif op == ABS_I:
        for i in range(n):
            x = num[a + i]
            v = ok[a + i] & np.uint8(x != INT_MIN)
            num[d + i] = -x if x < 0 else x
            ok[d + i] = v
    else:
        for i in range(n):
            x, y = num[a + i], num[b + i]
            v, w = ok[a + i], ok[b + i]
            first = (x <= y) == (op == LEAST_I)
            r = (x if first else y) if v & w else (x if v else y)
            num[d + i] = r
            ok[d + i] = v | w


@njit(cache=True, nogil=True, error_model="numpy")
def _known(d, a, b, n, ok, truth):
    """Make unknown what compares a null (a loop of its own: bytes alone are done 32 at a time)."""
    zero = np.uint8(0)
    for i in range(n):
        truth[d + i] = truth[d + i] & (zero - (ok[a + i] & ok[b + i]))


@njit(cache=True, nogil=True, error_model="numpy")
def _int_compare(op, d, a, b, n, num, ok, truth):
    two = np.uint8(2)
    if op == EQ_I:
        for i in range(n):
            truth[d + i] = two - np.uint8(num[a + i] == num[b + i])
    elif op == NE_I:
        for i in range(n):
            truth[d + i] = two - np.uint8(num[a + i] != num[b + i])
    elif op == LT_I:
        for i in range(n):
            truth[d + i] = two - np.uint8(num[a + i] < num[b + i])
    elif op == LE_I:
        for i in range(n):
            truth[d + i] = two - np.uint8(num[a + i] <= num[b + i])
    else:
        for i in range(n):
            v, w = ok[a + i], ok[b + i]
            truth[d + i] = two - ((v ^ w) | (v & w & np.uint8(num[a + i] != num[b + i])))
        return
    _known(d, a, b, n, ok, truth)


@njit(cache=True, nogil=True, error_model="numpy")
def _member(d, a, first, count, other, n, numbers, ok, truth, pool):
    """x IN (sorted constants); `other` is the truth where it is not among them."""
    if count <= 8:
        for i in range(n):
            truth[d + i] = 0
        for k in range(first, first + count):
            constant = pool[k]
            for i in range(n):
                truth[d + i] |= np.uint8(numbers[a + i] == constant)
        for i in range(n):
            truth[d + i] = ok[a + i] * (np.uint8(1) if truth[d + i] else np.uint8(other))
        return
    for i in range(n):
        x = numbers[a + i]
        low, high = first, first + count
        while low < high:
            middle = (low + high) >> 1
            if pool[middle] < x:
                low = middle + 1
            else:
                high = middle
        found = low < first + count and pool[low] == x
        truth[d + i] = ok[a + i] * (np.uint8(1) if found else np.uint8(other))


@njit(cache=True, nogil=True, error_model="numpy")
def _times(op, d, a, b, n, num, flt, ok):
    if op == TIME_SUB:
        for i in range(n):
            x, y = num[a + i], num[b + i]
            r = x - y
            v = ok[a + i] & ok[b + i] & np.uint8(((x ^ y) & (x ^ r)) >= 0)
            flt[d + i] = float(r) / 1e6
            ok[d + i] = v
    elif op == TIME_ADD:
        for i in range(n):
            x, s = num[a + i], flt[b + i] * 1e6
            good = s >= -TWO_63 and s < TWO_63
            y = np.int64(s) if good else 0
            r = x + y
            v = ok[a + i] & ok[b + i] & np.uint8(good and ((x ^ r) & (y ^ r)) >= 0)
            num[d + i] = r
            ok[d + i] = v
    elif op in (EPOCH, I_TO_F):
        scale = 1e6 if op == EPOCH else 1.0
        for i in range(n):
            v = ok[a + i]
            flt[d + i] = float(num[a + i]) / scale
            ok[d + i] = v
    else:
        unit = HOUR_US if op == HOUR else MINUTE_US if op == MINUTE else SECOND_US if op == SECOND else DAY_US
        cycle = 24 if op == HOUR else 7 if op == DAYOFWEEK else 60
        shift = 4 if op == DAYOFWEEK else 0  # 1970-01-01 was a Thursday
        for i in range(n):
            v = ok[a + i]
            num[d + i] = (num[a + i] // unit + shift) % cycle
            ok[d + i] = v


@njit(cache=True, nogil=True, error_model="numpy")
def run_int(op, d, a, b, c, e, n, num, flt, ok, truth, pool):
    """One operation on integers, text ids or times."""
    if op <= GREATEST_I:
        _int_arithmetic(op, d, a, b, n, num, ok)
    elif op <= DISTINCT_I:
        _int_compare(op, d, a, b, n, num, ok, truth)
    elif op == IN_I:
        _member(d, a, b, c, e, n, num, ok, truth, pool)
    else:
        _times(op, d, a, b, n, num, flt, ok)


@njit(cache=True, nogil=True, error_model="numpy")
def _float_arithmetic(op, d, a, b, n, flt, ok):
    if op == ADD_F:
        for i in range(n):
            r = flt[a + i] + flt[b + i]
            v = ok[a + i] & ok[b + i] & np.uint8(r - r == 0.0)
            flt[d + i] = r
            ok[d + i] = v
    elif op == SUB_F:
        for i in range(n):
            r = flt[a + i] - flt[b + i]
            v = ok[a + i] & ok[b + i] & np.uint8(r - r == 0.0)
            flt[d + i] = r
            ok[d + i] = v
    elif op == MUL_F:
        for i in range(n):
            r = flt[a + i] * flt[b + i]
            v = ok[a + i] & ok[b + i] & np.uint8(r - r == 0.0)
            flt[d + i] = r
            ok[d + i] = v
    elif op == DIV_F:
        for i in range(n):
            r = flt[a + i] / flt[b + i]
            v = ok[a + i] & ok[b + i] & np.uint8(r - r == 0.0)
            flt[d + i] = r
            ok[d + i] = v
    elif op in (LEAST_F, GREATEST_F):
        for i in range(n):
            x, y = flt[a + i], flt[b + i]
            v, w = ok[a + i], ok[b + i]
            first = (x <= y) == (op == LEAST_F)
            r = (x if first else y) if v & w else (x if v else y)
            flt[d + i] = r
            ok[d + i] = v | w
    else:
        for i in range(n):
            x, y = flt[a + i], flt[b + i]
            r = np.trunc(x / y) if op == IDIV_F else np.fmod(x, y) if op == MOD_F else x**y
            v = ok[a + i] & ok[b + i] & np.uint8(r - r == 0.0)
            flt[d + i] = r
            ok[d + i] = v


@njit(cache=True, nogil=True, error_model="numpy")
def _float_one(op, x):
    if op == NEG_F:
        return -x
    if op == ABS_F:
        return abs(x)
    if op == FLOOR:
        return np.floor(x)
    if op == CEIL:
        return np.ceil(x)
    if op == TRUNC:
        return np.trunc(x)
    if op == ROUND:
        whole = np.trunc(x)
        return whole + math.copysign(1.0, x) if abs(x - whole) >= 0.5 else whole
    if op == SQRT:
        return math.sqrt(x) if x >= 0.0 else math.nan
    if op == LN:
        return math.log(x) if x > 0.0 else math.nan
    if op == LOG10:
        return math.log10(x) if x > 0.0 else math.nan
    return math.exp(x)


@njit(cache=True, nogil=True, error_model="numpy")
def _float_compare(op, d, a, b, n, flt, ok, truth):
    two = np.uint8(2)
    if op == EQ_F:
        for i in range(n):
            truth[d + i] = two - np.uint8(flt[a + i] == flt[b + i])
    elif op == NE_F:
        for i in range(n):
            truth[d + i] = two - np.uint8(flt[a + i] != flt[b + i])
    elif op == LT_F:
        for i in range(n):
            truth[d + i] = two - np.uint8(flt[a + i] < flt[b + i])
    elif op == LE_F:
        for i in range(n):
            truth[d + i] = two - np.uint8(flt[a + i] <= flt[b + i])
    else:
        for i in range(n):
            v, w = ok[a + i], ok[b + i]
            truth[d + i] = two - ((v ^ w) | (v & w & np.uint8(flt[a + i] != flt[b + i])))
        return
    _known(d, a, b, n, ok, truth)


@njit(cache=True, nogil=True, error_model="numpy")
def run_float(op, d, a, b, c, e, n, num, flt, ok, truth, pool):
    """One operation on floats."""
    if op >= EQ_F and op <= DISTINCT_F:
        _float_compare(op, d, a, b, n, flt, ok, truth)
    elif op == IN_F:
        _member(d, a, b, c, e, n, flt, ok, truth, pool)
    elif op <= MOD_F or op in (LEAST_F, GREATEST_F, POW):
        _float_arithmetic(op, d, a, b, n, flt, ok)
    elif op == F_TO_I:
        for i in range(n):
            x = flt[a + i]
            good = x >= -TWO_63 and x < TWO_63
            v = ok[a + i] & np.uint8(good)
            num[d + i] = np.int64(x) if good else 0
            ok[d + i] = v
    elif op == DISTANCE:
        for i in range(n):
            r = _distance_km(flt[a + i], flt[b + i], flt[c + i], flt[e + i])
            v = ok[a + i] & ok[b + i] & ok[c + i] & ok[e + i] & np.uint8(r - r == 0.0)
            flt[d + i] = r
            ok[d + i] = v
    else:
        for i in range(n):
            r = _float_one(op, flt[a + i])
            v = ok[a + i] & np.uint8(r - r == 0.0)
            flt[d + i] = r
            ok[d + i] = v
