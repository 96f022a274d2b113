# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Bursts in a stream of edges: counts of the running tick against what was usual. Hot path.

After MIDAS-F (Bhatia, Liu, Hooi, Yoon, Shin and Faloutsos, TKDD 16(4), 2022; MIDAS, AAAI 2020), written from the
papers. Three count-min sketches, of edges, accounts and entities, one behind the other, in `now` float64
[3 * depth * width] (events of the running tick and, falling by `carry` with each tick, of those before) and `sums`
(what past ticks came to). `past` float64 [2] holds how many those are and the inverse of that. Ending a tick goes
through all cells, without a branch so that it takes several at once. The caller owns all arrays. What differs from the
papers is said in docs/coordination-structure.md.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from shoal.features.kernel.access_kernel import mix

TICK, FIRST, BEGUN, SEED = 0, 1, 2, 3
"""Places in `head` int64: the running tick, the first one, whether there was one, and the seed of the hash."""
TICK_US, DEPTH, BITS, WARM_UP = 0, 1, 2, 3
"""Places in `whole` int64: settings that are whole numbers."""
CARRY, SPREAD, LIMIT, LEAST, KEEP = 0, 1, 2, 3, 4
"""Places in `parts` float64: settings that are not."""
FORGOTTEN = 2.0**-10
"""What is left of a count below this is nothing."""
EDGE, ACCOUNT, ENTITY = 0, 1, 2
"""Sketches, and the rows of what is given out."""


@njit(["void(float64[::1], float64[::1], float64[::1], int64[::1], int64[::1], float64[::1], int64)"],
      cache=True, nogil=True)  # fmt: skip
def advance(now, sums, past, head, whole, parts, tick):
    """End the running tick and begin `tick`: learn the counts, those beyond the limit as the largest within it."""
    steps = tick - head[TICK]
    limit = parts[LIMIT] if head[TICK] - head[FIRST] >= whole[WARM_UP] else math.inf
    keep, carry, least, spread, share = parts[KEEP], parts[CARRY] ** steps, parts[LEAST], parts[SPREAD], past[1]
    idle = keep ** (steps - 1)
    for i in range(len(now)):
        usual = sums[i] * share
        usual = usual if usual > least else least
        most = usual + math.sqrt(limit * (usual + spread * usual * usual))
        left = now[i] * carry
        sums[i] = (sums[i] * keep + (now[i] if now[i] < most else most)) * idle
        now[i] = left if left >= FORGOTTEN else 0.0
    silent = float(steps - 1) if keep == 1.0 else (1.0 - idle) / (1.0 - keep)
    past[0] = (past[0] * keep + 1.0) * idle + silent
    past[1] = 1.0 / past[0]
    head[TICK] = tick


@njit(cache=True, nogil=True, inline="always")
def count(now, sums, first, key, depth, bits, event, parts, share):
    """Count `event` (1, or 0 to ask only) for a key of the sketch that begins at `first`; how far the count, this event
    included, is above the usual: squared, over a variance of usual + spread * usual^2; 0 below it."""
    held, total = math.inf, math.inf
    mask = (np.uint64(1) << bits) - np.uint64(1)
    for _ in range(depth):
        place = first + (key & mask)
        key >>= bits
        first += mask + np.uint64(1)
        found = now[place] + event
        now[place] = found
        held = found if found < held else held
        total = sums[place] if sums[place] < total else total
    usual = total * share
    usual = usual if usual > parts[LEAST] else parts[LEAST]
    over = held + (1.0 - event) - usual
    return over * over / (usual + parts[SPREAD] * usual * usual) if over > 0.0 else 0.0


@njit(["void(float64[::1], float64[::1], float64[::1], int64[::1], int64[::1], float64[::1], int64[::1], int64[::1],"
       " int64[::1], uint8[::1], float64[:, ::1])"], cache=True, nogil=True)  # fmt: skip
def run(now, sums, past, head, whole, parts, accounts, entities, times, learns, out):
    """Read and learn edges in their order; `out` float64 [3, n], NaN until the warm-up is over. An edge that is not to
    be learned, or of a tick that is over, is only read."""
    tick_us, depth, bits = whole[TICK_US], whole[DEPTH], np.uint64(whole[BITS])
    size = np.uint64(depth) << bits
    seed = head[SEED]
    begin, end = head[TICK] * tick_us, (head[TICK] + 1) * tick_us
    ready = head[BEGUN] and head[TICK] - head[FIRST] >= whole[WARM_UP]
    for i in range(len(times)):
        event = 1.0 if learns[i] and (times[i] >= begin or not head[BEGUN]) else 0.0
        if event and (times[i] >= end or not head[BEGUN]):
            tick = times[i] // tick_us
            if not head[BEGUN]:
                head[FIRST] = head[TICK] = tick
                head[BEGUN] = 1
            elif tick > head[TICK]:
                advance(now, sums, past, head, whole, parts, tick)
            begin, end = tick * tick_us, (tick + 1) * tick_us
            ready = tick - head[FIRST] >= whole[WARM_UP]
        account, entity = mix(accounts[i], seed), mix(entities[i], seed + 1)
        edge = mix(account ^ (entity * 3), seed + 2)
        of_edge = count(now, sums, np.uint64(EDGE) * size, np.uint64(edge), depth, bits, event, parts, past[1])
        of_account = count(now, sums, np.uint64(ACCOUNT) * size, np.uint64(account), depth, bits, event, parts, past[1])
        of_entity = count(now, sums, np.uint64(ENTITY) * size, np.uint64(entity), depth, bits, event, parts, past[1])
        out[EDGE, i] = of_edge if ready else math.nan
        out[ACCOUNT, i] = of_account if ready else math.nan
        out[ENTITY, i] = of_entity if ready else math.nan


@njit(["void(int64[:, ::1], uint8[:, ::1], int64[::1], int64, int64, int64[::1], uint8[::1])"], cache=True, nogil=True)
def keys_of(values, valid, columns, seed, size, out, known):
    """One id of the key columns of each row, and 1 in `known` where none of them is null."""
    for i in range(size):
        ident = values[columns[0], i]
        sound = valid[columns[0], i] != 0
        if len(columns) > 1:
            ident = seed
            for k in range(len(columns)):
                sound = sound and valid[columns[k], i] != 0
                ident = mix(values[columns[k], i] ^ ident, k + 1)
        out[i], known[i] = ident, sound
