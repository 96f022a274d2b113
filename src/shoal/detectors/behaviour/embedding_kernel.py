# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""From rows of tokens to the cells of their n-grams, and the running sum of an account's vector.

An n-gram's cell is a hash of its tokens. One that repeats the n-gram before it is passed over: a burst of a thousand
downloads says what its first two say. Knows arrays only.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from shoal.features.kernel.access_kernel import mix


@njit(cache=True, nogil=True)
def step(last, token, cells, out):
    """The cells of the n-grams that end at a token, the shortest first, -1 where it is passed over. `last` int64
    [longest] holds the tokens before, the newest first, and how many there are at its end; it is moved on."""
    longest = len(out)
    before = last[longest]
    address = np.int64(0)
    same = before > 0 and last[0] == token
    for n in range(longest):
        out[n] = -1
        if n > 0:
            if n > before:
                continue
            address = mix(address ^ last[n - 1], n)
        else:
            address = mix(token, 0x6E6772616D)
        # the n-gram before this one is the same where all its tokens are one token
        run = same and n < before
        for k in range(n + 1):
            if not run:
                break
            run = last[k] == token
        if not run:
            out[n] = (mix(address, n) >> 20) & (cells - 1)
    for k in range(longest - 1, 0, -1):
        last[k] = last[k - 1]
    last[0] = token
    last[longest] = min(before + 1, longest)


@njit(cache=True, nogil=True)
def cells_of(accounts, tokens, longest, cells):
    """Row and cell of every n-gram; `accounts` int64 [n], the rows of one account together and in time order. The rows
    of the answer count accounts in the order in which they come."""
    rows = np.empty(len(tokens) * longest, np.int64)
    places = np.empty(len(tokens) * longest, np.int64)
    last = np.zeros(longest + 1, np.int64)
    out = np.empty(longest, np.int64)
    used = 0
    row = -1
    for i in range(len(tokens)):
        if i == 0 or accounts[i] != accounts[i - 1]:
            row += 1
            last[:] = 0
        step(last, tokens[i], cells, out)
        for n in range(longest):
            if out[n] >= 0:
                rows[used] = row
                places[used] = out[n]
                used += 1
    return rows[:used], places[:used]
