# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Looking accounts and entities of published campaigns up, row by row. Hot path.

All tables are sorted arrays, searched by halves: a published campaign is replaced as a whole, so nothing is inserted.
"""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def _find(keys, low, high, key):
    """The place of `key` in the sorted `keys[low:high]`, -1 where it is not there."""
    end = high
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low if low < end and keys[low] == key else -1


@njit(cache=True, nogil=True)
def tell(
    values, valid, size, account_row, entity_rows, accounts, of_account, belief, hub_share, starts, entities, of_entity,
    weight, number, score, members, out, floats, told,
):  # fmt: skip
    """Write the columns of all rows into `out` int64 [7, ≥ n] (`floats`: the same memory as float64) and `told` uint8:
    number, belief, score, size and hub share of the account's campaign; and of the campaigns that its entities
    belong to, the account's own left out, number and weight times score of the one where this is largest."""
    for i in range(size):
        own = -1
        for column in range(7):
            out[column, i], told[column, i] = 0, 0
        if valid[account_row, i]:
            at = _find(accounts, 0, len(accounts), values[account_row, i])
            if at >= 0:
                own = of_account[at]
                out[0, i], out[3, i] = number[own], members[own]
                floats[1, i], floats[2, i], floats[4, i] = belief[at], score[own], hub_share[at]
                for column in range(5):
                    told[column, i] = 1
        best, which = 0.0, -1
        for j in range(len(entity_rows)):
            row = entity_rows[j]
            if not valid[row, i]:
                continue
            found = _find(entities, starts[j], starts[j + 1], values[row, i])
            if found < 0 or of_entity[found] == own:
                continue
            strength = weight[found] * score[of_entity[found]]
            if strength > best:
                best, which = strength, of_entity[found]
        if which >= 0:
            out[5, i], floats[6, i] = number[which], best
            told[5, i], told[6, i] = 1, 1
