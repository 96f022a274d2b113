# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""When an account logs in, by the hour of its week, and how far away it answers from, by the round-trip time. Hot path.

One table of open addressing holds three numbers a key, in forward-decayed units as in `likelihood_kernel`: of an
account its weight and the longitude of the last place that is trusted; of an account and hour the weight; of a network,
and of an account there, the moments of the logarithm of the round-trip time. Both columns compare what is usual for
everybody with what is usual for the account, each a proper distribution: over 168 hours, smoothed to the hours beside
and to the same hour of like days; over all times, a Student's t whose mean and spread back off from account to network
to all, mixed with what is usual one level up, so that no time says more than the logins that were counted.
`habits.py` owns the arrays and gives room when `run` asks for it.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from shoal.detectors.takeover.likelihood_kernel import (
    FULL,
    HOUR_US,
    MOST_HALF_LIVES,
    NONE,
    as_float,
    join,
    mix,
    place_of,
    put_float,
    trust_of,
)

# `head` float64
EPOCH, USED, WEEK_TOTAL, RTT_WEIGHT, RTT_SUM, RTT_SQUARES, HEAD = 0, 1, 2, 3, 4, 5, 6
# columns of `cells`
WEIGHT, SUM, SQUARES = 0, 1, 2
LON, PLACED = 1, 2
# rows of the frame, in `columns` int64
ACCOUNT, RTT, ASN, COUNTRY, COLUMNS = 0, 1, 2, 3, 4
WEEK_KEY, RTT_KEY, NOWHERE = 0x7765656B, 0x727474, 0x6E6F77
NEW_KEYS = 5
"""A login adds so many keys at most."""
HOURS = 168
HOUR_PRIOR, ALL_PRIOR = 4.0, 1.0
"""Logins that an account, and each hour of all, have before the first."""
SAME, BESIDE, SECOND, LIKE = 0.34, 0.17, 0.08, 0.16
"""How a login is spread over hours: its own, both beside, both next to these, and the same hour of like days together.
They sum to 1, so that smoothed weights sum to the weight."""
RTT_MEAN, RTT_SPREAD, RTT_KAPPA, RTT_DEGREES = math.log(100.0), 1.0, 2.0, 4.0
"""Before the first: the logarithm of 100 ms, give or take a factor of e; worth 2 logins for the mean and 4 for the
spread (normal-inverse-gamma; Murphy 2007, Conjugate Bayesian analysis of the Gaussian distribution)."""
LEAST_MS, MOST_MS = 0.1, 600_000.0
ANY_TIME = 1.0 / math.log(MOST_MS / LEAST_MS)
"""The density of a time of which nothing is known; worth one login of a network, as what is usual there is worth one
login of an account. Without it the tails of two fitted curves would be compared, which says nothing."""


@njit(cache=True, nogil=True)
def unit_at(head, half_life, as_of):
    """What a login of this moment weighs."""
    if half_life <= 0.0 or head[EPOCH] == NONE:
        return 1.0
    return 2.0 ** ((np.float64(as_of) - head[EPOCH]) / half_life)


@njit(cache=True, nogil=True)
def _renew(head, half_life, as_of, week, cells, keys):
    if head[EPOCH] == NONE:
        head[EPOCH] = np.float64(as_of)
        return
    if half_life <= 0.0:
        return
    steps = math.floor((np.float64(as_of) - head[EPOCH]) / half_life)
    if steps < MOST_HALF_LIVES:
        return
    factor = 2.0 ** (-min(steps, 1000.0))
    head[EPOCH] += steps * half_life
    head[WEEK_TOTAL:] *= factor
    week *= factor
    for at in range(len(keys)):
        if keys[at] == 0:
            continue
        placed = cells[at, PLACED] == NONE or cells[at, PLACED] == -NONE  # an account: its longitude does not decay
        cells[at, WEIGHT] *= factor
        if not placed:
            cells[at, SUM] *= factor
            cells[at, SQUARES] *= factor


@njit(cache=True, nogil=True)
def hour_of(as_of, longitude, known):
    """The hour of the week, 0 to 167 from Monday 0:00, by the sun where a longitude is known, else in UTC."""
    hours = as_of // HOUR_US + (np.int64(round(longitude / 15.0)) if known else 0)
    return np.int64((hours // 24 + 3) % 7 * 24 + hours % 24)


@njit(cache=True, nogil=True)
def spread(weights, hour):
    """The weight of an hour smoothed: `weights` float64 [168]."""
    day, at = hour // 24, hour % 24
    first, many = (5, 2) if day >= 5 else (0, 5)
    total = SAME * weights[hour]
    total += BESIDE * (weights[(hour + 1) % HOURS] + weights[(hour + HOURS - 1) % HOURS])
    total += SECOND * (weights[(hour + 2) % HOURS] + weights[(hour + HOURS - 2) % HOURS])
    for other in range(first, first + many):
        if other != day:
            total += LIKE / (many - 1) * weights[other * 24 + at]
    return total


@njit(cache=True, nogil=True)
def _own_week(account, hour, keys, cells, work):
    """The smoothed weight of an hour for an account; `work` float64 [168], scratch."""
    day, at = hour // 24, hour % 24
    for step in range(-2, 3):
        one = (hour + step + HOURS) % HOURS
        work[one] = 0.0
    first, many = (5, 2) if day >= 5 else (0, 5)
    for other in range(first, first + many):
        work[other * 24 + at] = 0.0
    for step in range(-2, 3):
        one = (hour + step + HOURS) % HOURS
        place = place_of(keys, join(account, join(WEEK_KEY, one)))
        work[one] = cells[place, WEIGHT] if keys[place] != 0 else 0.0
    for other in range(first, first + many):
        if other != day:
            place = place_of(keys, join(account, join(WEEK_KEY, other * 24 + at)))
            work[other * 24 + at] = cells[place, WEIGHT] if keys[place] != 0 else 0.0
    return spread(work, hour)


@njit(cache=True, nogil=True)
def log_t(y, mean, square, degrees):
    """Logarithm of the density of Student's t at `y`; `square` is the squared scale."""
    far = (y - mean) * (y - mean) / (degrees * square)
    whole = math.lgamma((degrees + 1.0) / 2.0) - math.lgamma(degrees / 2.0)
    return whole - 0.5 * math.log(degrees * math.pi * square) - (degrees + 1.0) / 2.0 * math.log1p(far)


@njit(cache=True, nogil=True)
def updated(mean, spread_, weight, sum_, squares):
    """The posterior of a prior (mean, squared spread) after weighted moments: mean, squared spread, squared scale and
    degrees of what is foretold."""
    if weight <= 0.0:
        return mean, spread_, spread_ * (RTT_KAPPA + 1.0) / RTT_KAPPA, RTT_DEGREES
    own = sum_ / weight
    within = max(squares - weight * own * own, 0.0)
    kappa, degrees = RTT_KAPPA + weight, RTT_DEGREES + weight
    middle = (RTT_KAPPA * mean + weight * own) / kappa
    between = RTT_KAPPA * weight * (own - mean) * (own - mean) / kappa
    square = (RTT_DEGREES * spread_ + within + between) / degrees
    return middle, square, square * (kappa + 1.0) / kappa, degrees


@njit(cache=True, nogil=True)
def _moments(keys, cells, key, scale):
    place = place_of(keys, key)
    if keys[place] == 0:
        return 0.0, 0.0, 0.0
    return cells[place, WEIGHT] * scale, cells[place, SUM] * scale, cells[place, SQUARES] * scale


@njit(cache=True, nogil=True)
def judge_rtt(y, head, keys, cells, network, own, scale):
    """The log ratio of a round-trip time, and its distances in deviations from the account's own and its network's."""
    mean, square, _, _ = updated(
        RTT_MEAN, RTT_SPREAD, head[RTT_WEIGHT] * scale, head[RTT_SUM] * scale, head[RTT_SQUARES] * scale
    )
    weight, total, squares = _moments(keys, cells, network, scale)
    mean, square, wide, degrees = updated(mean, square, weight, total, squares)
    anybody = (weight * math.exp(log_t(y, mean, wide, degrees)) + ANY_TIME) / (weight + 1.0)
    from_network = (y - mean) / math.sqrt(wide)
    weight, total, squares = _moments(keys, cells, own, scale)
    mean, square, wide, degrees = updated(mean, square, weight, total, squares)
    usual = (weight * math.exp(log_t(y, mean, wide, degrees)) + anybody) / (weight + 1.0)
    return math.log(anybody) - math.log(usual), (y - mean) / math.sqrt(wide), from_network


@njit(cache=True, nogil=True)
def _slot(head, keys, cells, key):
    place = place_of(keys, key)
    if keys[place] == 0:
        keys[place] = key
        cells[place, :] = 0.0
        head[USED] += 1.0
    return place


@njit(cache=True, nogil=True)
def _add(head, keys, cells, key, weight, y):
    place = _slot(head, keys, cells, key)
    cells[place, WEIGHT] += weight
    cells[place, SUM] += weight * y
    cells[place, SQUARES] += weight * y * y


@njit(cache=True, nogil=True)
def rtt_of(values, valid, column, row):
    """The logarithm of the round-trip time in ms, and whether there is one that can be."""
    if column < 0 or valid[column, row] == 0:
        return 0.0, False
    found = as_float(values, column, row)
    if not (found > 0.0 and found <= MOST_MS):  # NaN and infinite values are none either
        return 0.0, False
    return math.log(max(found, LEAST_MS)), True


@njit(cache=True, nogil=True)
def network_of(values, valid, columns, row):
    """The key of the network that round-trip times are compared in: the ASN, else the country, else nowhere."""
    if columns[ASN] >= 0 and valid[columns[ASN], row] != 0:
        return join(ASN, values[columns[ASN], row])
    if columns[COUNTRY] >= 0 and valid[columns[COUNTRY], row] != 0:
        return join(COUNTRY, values[columns[COUNTRY], row])
    return np.int64(NOWHERE)


@njit(cache=True, nogil=True)
def run(values, valid, first, size, as_ofs, asked, columns, places, half_life, head, week, keys, cells, work, out,
        ok):  # fmt: skip
    """Score and learn rows `first` to `size`; returns the row at which room is needed, or `size`. `asked` int8 [3, n]:
    1 where the row is scored, learned. Outputs [4, n]: hour of the week, round-trip time, its two distances."""
    for row in range(first, size):
        scores, learns = asked[0, row] == 1, asked[1, row] == 1
        if valid[columns[ACCOUNT], row] == 0 or not (scores or learns):
            continue
        if learns:
            if head[USED] + NEW_KEYS > FULL * len(keys):
                return row
            _renew(head, half_life, as_ofs[row], week, cells, keys)
        weight = unit_at(head, half_life, as_ofs[row])
        scale = 1.0 / weight
        account = mix(values[columns[ACCOUNT], row])
        mine = join(account, WEEK_KEY)
        place = place_of(keys, mine)
        known = keys[place] != 0
        placed = known and cells[place, PLACED] == NONE
        trusted = trust_of(values, valid, row, places) > 0.0
        longitude = as_float(values, places[1], row) if trusted else cells[place, LON] if placed else 0.0
        hour = hour_of(as_ofs[row], longitude, trusted or placed)
        y, there = rtt_of(values, valid, columns[RTT], row)
        network = join(RTT_KEY, network_of(values, valid, columns, row))
        own = join(account, network)
        if scores:
            common = (spread(week, hour) * scale + ALL_PRIOR) / (head[WEEK_TOTAL] * scale + ALL_PRIOR * HOURS)
            total = cells[place, WEIGHT] * scale if known else 0.0
            mine_here = _own_week(account, hour, keys, cells, work) * scale if known else 0.0
            usual = (mine_here + HOUR_PRIOR * common) / (total + HOUR_PRIOR)
            put_float(out, ok, 0, row, math.log(common) - math.log(usual))
            if there:
                ratio, from_self, from_network = judge_rtt(y, head, keys, cells, network, own, scale)
                put_float(out, ok, 1, row, ratio)
                put_float(out, ok, 2, row, from_self)
                put_float(out, ok, 3, row, from_network)
        if learns:
            place = _slot(head, keys, cells, mine)
            cells[place, WEIGHT] += weight
            if trusted:
                cells[place, LON], cells[place, PLACED] = longitude, NONE
            elif not placed:
                cells[place, LON], cells[place, PLACED] = 0.0, -NONE
            cells[_slot(head, keys, cells, join(account, join(WEEK_KEY, hour))), WEIGHT] += weight
            week[hour] += weight
            head[WEEK_TOTAL] += weight
            if there:
                head[RTT_WEIGHT] += weight
                head[RTT_SUM] += weight * y
                head[RTT_SQUARES] += weight * y * y
                _add(head, keys, cells, network, weight, y)
                _add(head, keys, cells, own, weight, y)
    return size
