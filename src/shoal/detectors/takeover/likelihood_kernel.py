# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Counts of logins by account and by value of each level, and the log ratios that they give. Hot path.

Three tables of open addressing with linear probing (an empty slot has key 0): `accounts` finds an account's row,
`own` the weight of (account, value), `common` the weight of a value and how many accounts have it. Weights are held
in forward-decayed units (Cormode et al., ICDE 2009): a login of now adds 2^(time since an epoch / half-life), so that
one factor a row brings all counts to the present; the epoch moves by whole half-lives, which is exact. Who calls owns
the arrays, gives room when `run` asks for it and calls again; where that happens depends on the rows alone, not on
the batches.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, uint64

# columns of an account's row
WEIGHT, LOGINS, FIRST, LAST, FAILURES, LAT, LON, PLACED, TRUST, ADAPT = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
# columns of `levels` int64 [levels, …]
COLUMN, PARENT, MIXED, GROUP = 0, 1, 2, 3
DAYPART, HOUR = -2, -3
"""Values of COLUMN that are made from the time instead of read."""
NETWORK, AGENT, OTHER = 0, 1, 2
# `head` float64: the state that is not in tables
EPOCH, TOTAL, ACCOUNTS_USED, OWN_USED, COMMON_USED, POPULATION, SPARE, HEAD = 0, 1, 2, 3, 4, 5, 6, 8
# `options` float64
HALF_LIFE, YOUNG, STRENGTH, PAIR, PLAIN, PAIR_NETWORK, PAIR_AGENT, OPTIONS = 0, 1, 2, 3, 4, 5, 6, 7
# what `scored` [SCORED] holds beside the levels
TOTAL_OUT, NETWORK_OUT, AGENT_OUT, PAIR_OUT, PRIOR_OUT, SCORED = 0, 1, 2, 3, 4, 5
NONE = -(2.0**62)
MOST_HALF_LIVES = 256.0
FULL = 0.6
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
EARTH_KM, SLACK_KM, LEAST_H = 6371.0088, 50.0, 1.0 / 60.0
BASE = 0.5
"""The concentration of a level before anything was seen."""
PRIOR_ROWS = 8.0
"""How many novelties the concentration over all accounts starts with."""


@njit(cache=True, nogil=True)
def mix(value):
    """splitmix64's finaliser, never 0."""
    z = uint64(value) + uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    z = z ^ (z >> uint64(31))
    if z == uint64(0):
        z = uint64(1)
    return np.int64(z)


@njit(cache=True, nogil=True)
def join(first, second):
    """One key of two, in which the order counts."""
    turned = (uint64(first) << uint64(23)) | (uint64(first) >> uint64(41))
    return mix(np.int64(turned ^ uint64(mix(second))))


@njit(cache=True, nogil=True)
def place_of(keys, key):
    """The slot of a key, or the empty one where it would stand."""
    mask = len(keys) - 1
    place = np.int64((uint64(key) >> uint64(20)) & uint64(mask))
    while keys[place] != 0 and keys[place] != key:
        place = (place + 1) & mask
    return place


@njit(cache=True, nogil=True)
def refill(old_keys, old_cells, keys, cells, least):
    """Move entries of weight `least` and more to an empty table; returns how many."""
    used = 0
    for at in range(len(old_keys)):
        if old_keys[at] != 0 and old_cells[at, 0] >= least:
            place = place_of(keys, old_keys[at])
            keys[place] = old_keys[at]
            cells[place, :] = old_cells[at, :]
            used += 1
    return used


@njit(cache=True, nogil=True)
def count_kept(keys, cells, least):
    """How many entries have weight `least` or more."""
    used = 0
    for at in range(len(keys)):
        if keys[at] != 0 and cells[at, 0] >= least:
            used += 1
    return used


@njit(cache=True, nogil=True)
def weight_at(head, options, as_of):
    """What a login of this moment weighs."""
    if options[HALF_LIFE] <= 0.0 or head[EPOCH] == NONE:
        return 1.0
    return 2.0 ** ((np.float64(as_of) - head[EPOCH]) / options[HALF_LIFE])


@njit(cache=True, nogil=True)
def renew(head, options, as_of, rows, cells, common_cells, totals, adapts):
    """Move the epoch forward by whole half-lives where weights would grow beyond bounds."""
    if head[EPOCH] == NONE:
        head[EPOCH] = np.float64(as_of)
        return
    if options[HALF_LIFE] <= 0.0:
        return
    steps = math.floor((np.float64(as_of) - head[EPOCH]) / options[HALF_LIFE])
    if steps < MOST_HALF_LIVES:
        return
    factor = 2.0 ** (-min(steps, 1000.0))
    head[EPOCH] += steps * options[HALF_LIFE]
    head[TOTAL] *= factor
    cells[:, 0] *= factor
    common_cells[:, 0] *= factor
    totals *= factor
    for row in range(np.int64(head[ACCOUNTS_USED])):
        rows[row, WEIGHT] *= factor
        for at in range(2 * adapts):
            rows[row, ADAPT + at] *= factor


@njit(cache=True, nogil=True)
def keys_of(values, valid, row, as_of, levels, keys):
    """The key of each level's value in this row; 0 where it is unknown."""
    for level in range(len(levels)):
        column = levels[level, COLUMN]
        if column in (DAYPART, HOUR):
            hour = (as_of // HOUR_US) % 24
            weekend = 1 if (as_of // DAY_US + 3) % 7 >= 5 else 0
            value = weekend * 24 + (hour // 4 if column == DAYPART else hour)
        elif column < 0 or valid[column, row] == 0:
            keys[level] = 0
            continue
        else:
            value = values[column, row]
        key = join(level + 1, value)
        mixed = levels[level, MIXED]
        if mixed >= 0 and keys[mixed] != 0:
            key = join(keys[mixed], key)
        keys[level] = key


@njit(cache=True, nogil=True)
def parent_of(levels, keys, level):
    """The nearest coarser level that is known in this row; -1: the account itself."""
    above = levels[level, PARENT]
    while above >= 0 and keys[above] == 0:
        above = levels[above, PARENT]
    return above


@njit(cache=True, nogil=True)
def concentration(novel, exposure, base, strength):
    """How readily new values come: novelties over exposure, drawn to `base` by `strength` novelties.

    One step towards the maximum likelihood of a Dirichlet process's concentration a, where a login shows a new value
    with odds a / (a + n): a = novelties / sum of 1 / (a + n).
    """
    return (novel + strength) / (exposure + strength / base)


@njit(cache=True, nogil=True)
def look_up(account, keys, own_keys, own_cells, common_keys, common_cells, seen, all_seen, shared):
    """Weights of this row's values: of the account, of all, and how many accounts have each."""
    for level in range(len(keys)):
        seen[level] = all_seen[level] = shared[level] = 0.0
        if keys[level] != 0:
            place = place_of(own_keys, join(account, keys[level]))
            if own_keys[place] != 0:
                seen[level] = own_cells[place, 0]
            place = place_of(common_keys, keys[level])
            if common_keys[place] != 0:
                all_seen[level], shared[level] = common_cells[place, 0], common_cells[place, 1]


@njit(cache=True, nogil=True)
def base_of(totals, level, scale, strength):
    """The concentration of a level over all accounts."""
    return concentration(totals[level, 0] * scale, totals[level, 1] * scale, BASE, max(strength, PRIOR_ROWS))


@njit(cache=True, nogil=True)
def chances(child, all_child, parent, all_parent, size, churn):
    """Odds of a value below its parent: over all accounts, and for the account. Over at most `size` values, whose
    weights add up to their parent's at most, each sums to 1 at most."""
    common = (all_child + 1.0 / size) / (max(all_parent, all_child) + 1.0)
    return common, (child + churn * common) / (max(parent, child) + churn)


@njit(cache=True, nogil=True)
def score_nested(
    levels, sizes, keys, seen, all_seen, state, mine, total, scale, totals, options, ratios, churn, scored
):
    """Log ratios by a chain of Dirichlet back-off, from the coarsest level to the finest.

    `mine`: the account's weight; `state` its row (empty: none). At each level, with c the weight of the value and n
    that of its parent: p(value | parent) = (C + 1/size) / (N + 1) over all accounts, p(value | parent, account) =
    (c + a p) / (n + a).
    """
    scored[:] = 0.0
    chance = 1.0  # of the agent down to the level of the pair, for this account
    for level in range(len(levels)):
        ratios[level] = 0.0
        base = base_of(totals, level, scale, options[STRENGTH])
        churn[level] = base
        if len(state) and options[STRENGTH] > 0.0:
            churn[level] = concentration(
                state[ADAPT + 2 * level] * scale, state[ADAPT + 2 * level + 1] * scale, base, options[STRENGTH]
            )
        if keys[level] == 0:
            continue
        above = parent_of(levels, keys, level)
        child, all_child = seen[level] * scale, all_seen[level] * scale
        parent, all_parent = (mine, total) if above < 0 else (seen[above] * scale, all_seen[above] * scale)
        common, usual = chances(child, all_child, parent, all_parent, sizes[level], churn[level])
        ratios[level] = math.log(common) - math.log(usual)
        group = levels[level, GROUP]
        if group == NETWORK:
            scored[NETWORK_OUT] += ratios[level]
        elif group == AGENT:
            scored[AGENT_OUT] += ratios[level]
            if level <= options[PAIR_AGENT]:
                chance *= usual
    return chance


@njit(cache=True, nogil=True)
def score_plain(levels, weights, sizes, keys, seen, all_seen, mine, total, scale, ratios, scored):
    """The published ratio: each level's probability on its own, interpolated with fixed weights; the account's are
    smoothed by one login drawn from all."""
    scored[:] = 0.0
    for group in range(2):
        common_sum, usual_sum, any_level = 0.0, 0.0, False
        for level in range(len(levels)):
            if levels[level, GROUP] != group:
                continue
            ratios[level] = 0.0
            if keys[level] == 0 or weights[level] == 0.0:
                continue
            common = (all_seen[level] * scale + 1.0 / sizes[level]) / (total + 1.0)
            usual = (seen[level] * scale + common) / (mine + 1.0)
            ratios[level] = math.log(common) - math.log(usual)
            common_sum += weights[level] * common
            usual_sum += weights[level] * usual
            any_level = True
        if any_level:
            scored[NETWORK_OUT + group] = math.log(common_sum) - math.log(usual_sum)


@njit(cache=True, nogil=True)
def score_pair(keys, account, own_keys, own_cells, seen, chance, scale, options):
    """How much the user agent is expected in this network, beyond how much it is expected anywhere."""
    network, agent = np.int64(options[PAIR_NETWORK]), np.int64(options[PAIR_AGENT])
    if options[PAIR] <= 0.0 or keys[network] == 0 or keys[agent] == 0:
        return 0.0
    place = place_of(own_keys, join(account, join(keys[network], keys[agent])))
    both = own_cells[place, 0] * scale if own_keys[place] != 0 else 0.0
    here = max(seen[network] * scale, both)
    return math.log(chance) - math.log((both + options[PAIR] * chance) / (here + options[PAIR]))


@njit(cache=True, nogil=True)
def add(keys, cells, key, weight):
    """Add weight to a key; returns 1 where it was new."""
    place = place_of(keys, key)
    fresh = keys[place] == 0
    if fresh:
        keys[place] = key
        cells[place, :] = 0.0
    cells[place, 0] += weight
    return 1 if fresh else 0


@njit(cache=True, nogil=True)
def learn(levels, keys, account, state, weight, own_keys, own_cells, common_keys, common_cells, seen, churn, totals,
          head, options):  # fmt: skip
    """Count a login; `seen` and `churn` are what was looked up for it before."""
    scale = 1.0 / weight
    for level in range(len(levels)):
        if keys[level] == 0:
            continue
        above = parent_of(levels, keys, level)
        parent = state[WEIGHT] if above < 0 else seen[above]
        if parent > 0.0 and options[PLAIN] == 0.0:
            novel = weight if seen[level] <= 0.0 else 0.0
            exposure = weight / (churn[level] + parent * scale)
            state[ADAPT + 2 * level] += novel
            state[ADAPT + 2 * level + 1] += exposure
            totals[level, 0] += novel
            totals[level, 1] += exposure
        fresh = add(own_keys, own_cells, join(account, keys[level]), weight)
        head[OWN_USED] += fresh
        head[COMMON_USED] += add(common_keys, common_cells, keys[level], weight)
        if fresh:
            common_cells[place_of(common_keys, keys[level]), 1] += 1.0
    network, agent = np.int64(options[PAIR_NETWORK]), np.int64(options[PAIR_AGENT])
    if options[PAIR] > 0.0 and keys[network] != 0 and keys[agent] != 0:
        head[OWN_USED] += add(own_keys, own_cells, join(account, join(keys[network], keys[agent])), weight)
    state[WEIGHT] += weight
    head[TOTAL] += weight


@njit(cache=True, nogil=True)
def distance_km(lat, lon, other_lat, other_lon):
    """Great-circle distance by the haversine formula."""
    a, b = math.radians(lat), math.radians(other_lat)
    half = math.sin((b - a) / 2) ** 2
    half += math.cos(a) * math.cos(b) * math.sin(math.radians(other_lon - lon) / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


@njit(cache=True, nogil=True)
def trust_of(values, valid, row, places):
    """How far the place of an address tells where a person is: 1 at home or in an office, .5 where nothing is known of
    the network, 0 over VPN, carrier NAT and hosting, or without a place."""
    lat, lon, kind = places[0], places[1], places[2]
    if lat < 0 or lon < 0 or valid[lat, row] == 0 or valid[lon, row] == 0:
        return 0.0
    if kind < 0 or valid[kind, row] == 0 or values[kind, row] == places[5]:
        return 0.5
    if values[kind, row] == places[3] or values[kind, row] == places[4]:
        return 1.0
    return 0.0


@njit(cache=True, nogil=True)
def as_float(values, column, row):
    """A float cell of the frame."""
    return values[column, row : row + 1].view(np.float64)[0]


@njit(cache=True, nogil=True)
def speed(state, values, valid, row, places, as_of):
    """Speed in km/h from the last trusted place, weighted by the trust in both; -1 where it is unknown."""
    trust = trust_of(values, valid, row, places)
    if trust == 0.0 or len(state) == 0 or state[PLACED] == NONE:
        return -1.0
    far = distance_km(state[LAT], state[LON], as_float(values, places[0], row), as_float(values, places[1], row))
    hours = max((np.float64(as_of) - state[PLACED]) / HOUR_US, LEAST_H)
    return max(far - SLACK_KM, 0.0) / hours * trust * state[TRUST]


@njit(cache=True, nogil=True)
def open_account(account, account_keys, account_rows, rows, head):
    """The row of an account, made where there is none."""
    place = place_of(account_keys, account)
    if account_keys[place] == 0:
        account_keys[place] = account
        account_rows[place] = np.int64(head[ACCOUNTS_USED])
        head[ACCOUNTS_USED] += 1
        fresh = rows[account_rows[place]]
        fresh[:] = 0.0
        fresh[LAST] = fresh[FIRST] = fresh[PLACED] = NONE
    return rows[account_rows[place]]


@njit(cache=True, nogil=True)
def note_success(state, values, valid, row, places, as_of, head):
    """What a login leaves in the account's row beside its counts."""
    if state[LOGINS] == 0.0:
        state[FIRST] = np.float64(as_of)
        head[POPULATION] += 1
    state[LOGINS] += 1
    state[LAST] = np.float64(as_of)
    state[FAILURES] = 0.0
    trust = trust_of(values, valid, row, places)
    if trust > 0.0:
        state[LAT], state[LON] = as_float(values, places[0], row), as_float(values, places[1], row)
        state[PLACED], state[TRUST] = np.float64(as_of), trust


@njit(cache=True, nogil=True)
def put_float(out, ok, column, row, number):
    """Write a float output."""
    out[column, row : row + 1].view(np.float64)[0] = number
    ok[column, row] = 1


@njit(cache=True, nogil=True)
def write(levels, keys, shown, seen, shared, ratios, churn, scored, state, fast, as_of, out, ok, row):
    """Write the outputs of a row: the five sums, then of each level its ratio and whether it was seen (`shown`: from
    which output on), then the account's."""
    for at in range(SCORED):
        put_float(out, ok, at, row, scored[at])
    for level in range(len(levels)):
        if shown[level] < 0:
            continue
        known = 1 if keys[level] != 0 else 0
        put_float(out, ok, shown[level], row, ratios[level])
        out[shown[level] + 1, row] = 1 if seen[level] > 0.0 else 0
        out[shown[level] + 2, row] = np.int64(shared[level])
        ok[shown[level] : shown[level] + 3, row] = known
    at = shown[len(levels)]
    out[at, row] = np.int64(state[LOGINS]) if len(state) else 0
    ok[at, row] = 1
    out[at + 1, row] = np.int64(state[FAILURES]) if len(state) else 0
    ok[at + 1, row] = 1
    if len(state) and state[LAST] != NONE:
        put_float(out, ok, at + 2, row, (np.float64(as_of) - state[LAST]) / 60e6)
        put_float(out, ok, at + 3, row, (np.float64(as_of) - state[FIRST]) / HOUR_US)
    if fast >= 0.0:
        put_float(out, ok, at + 4, row, fast)
    if shown[len(levels) + 1] >= 0:  # how readily this account changes: logarithms of two concentrations
        put_float(out, ok, at + 5, row, math.log(churn[shown[len(levels) + 1]]))
        put_float(out, ok, at + 6, row, math.log(churn[shown[len(levels) + 2]]))


@njit(cache=True, nogil=True)
def run(values, valid, first, size, account_column, as_ofs, asked, levels, numbers, places, options, head, totals,
        account_keys, account_rows, rows, own_keys, own_cells, common_keys, common_cells, shown, out, ok):  # fmt: skip
    """Score and learn rows `first` to `size`; returns the row at which room is needed, or `size`.

    `asked` int8 [3, n]: 1 where the row is scored, learned, counted as a failure. `numbers` float64 [2, levels]: size
    and weight of each level.
    """
    count = len(levels)
    keys = np.empty(count, np.int64)
    seen, all_seen, shared = np.empty(count), np.empty(count), np.empty(count)
    ratios, churn, scored = np.zeros(count), np.full(count, BASE), np.zeros(SCORED)
    nobody = np.empty(0, np.float64)
    sizes, weights = numbers[0], numbers[1]
    for row in range(first, size):
        scores, learns, fails = asked[0, row] == 1, asked[1, row] == 1, asked[2, row] == 1
        if valid[account_column, row] == 0 or not (scores or learns or fails):
            continue
        as_of = as_ofs[row]
        if learns or fails:
            full = head[ACCOUNTS_USED] + 1 > min(FULL * len(account_keys), len(rows))
            full |= head[OWN_USED] + count + 1 > FULL * len(own_keys)
            if full or head[COMMON_USED] + count > FULL * len(common_keys):
                return row
            renew(head, options, as_of, rows, own_cells, common_cells, totals, count)
        weight = weight_at(head, options, as_of)
        scale = 1.0 / weight
        account = mix(values[account_column, row])
        place = place_of(account_keys, account)
        state = rows[account_rows[place]] if account_keys[place] != 0 else nobody
        if scores or learns:
            keys_of(values, valid, row, as_of, levels, keys)
            look_up(account, keys, own_keys, own_cells, common_keys, common_cells, seen, all_seen, shared)
            mine, total = state[WEIGHT] * scale if len(state) else 0.0, head[TOTAL] * scale
            if options[PLAIN] > 0.0:
                score_plain(levels, weights, sizes, keys, seen, all_seen, mine, total, scale, ratios, scored)
            else:
                chance = score_nested(levels, sizes, keys, seen, all_seen, state, mine, total, scale, totals, options,
                                      ratios, churn, scored)  # fmt: skip
                scored[PAIR_OUT] = score_pair(keys, account, own_keys, own_cells, seen, chance, scale, options)
        if scores:
            people = max(head[POPULATION], 1.0)
            young = options[YOUNG]
            scored[PRIOR_OUT] = math.log((total + young * people) / people) - math.log(mine + young)
            scored[TOTAL_OUT] = scored[NETWORK_OUT] + scored[AGENT_OUT] + scored[PAIR_OUT] + scored[PRIOR_OUT]
            fast = speed(state, values, valid, row, places, as_of)
            write(levels, keys, shown, seen, shared, ratios, churn, scored, state, fast, as_of, out, ok, row)
        if fails and not learns:
            open_account(account, account_keys, account_rows, rows, head)[FAILURES] += 1
        if learns:
            state = open_account(account, account_keys, account_rows, rows, head)
            learn(levels, keys, account, state, weight, own_keys, own_cells, common_keys, common_cells, seen, churn,
                  totals, head, options)  # fmt: skip
            note_success(state, values, valid, row, places, as_of, head)
    return size
