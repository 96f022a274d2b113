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
def look_up(
    values, valid, size, account_row, entity_rows, accounts, of_account, starts, entities, of_entity, weight, score,
    member, touched, strength,
):  # fmt: skip
    """For each row: its account's place in `accounts` (`member`, -1: in none), and of the campaigns that its entities
    belong to the one of largest weight times score, the account's own left out (`touched`, -1: none; `strength`)."""
    for i in range(size):
        at = -1
        if valid[account_row, i]:
            at = _find(accounts, 0, len(accounts), values[account_row, i])
        member[i] = at
        own = of_account[at] if at >= 0 else -1
        best, which = 0.0, -1
        for j in range(len(entity_rows)):
            row = entity_rows[j]
            if row < 0 or not valid[row, i]:
                continue
            found = _find(entities, starts[j], starts[j + 1], values[row, i])
            if found < 0 or of_entity[found] == own:
                continue
            told = weight[found] * score[of_entity[found]]
            if told > best:
                best, which = told, of_entity[found]
        touched[i], strength[i] = which, best
