# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The kernel of the fact table: one pass over a batch that applies facts and joins them, row by row. Hot path.

A record per subject (account, link or file) holds `created`, two text codes and two bits; the key of a record is the
keyed id of its subject, salted by the subject's type, so that one map serves all three. The arrays belong to
`facts.FactTable`, which has made room for every record that the pass may add. Order is everything: the facts that stand
before a row, then the facts that the row's own event tells, then the row is joined.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from shoal.enrich.pool_kernel import find, find_or_add

ACCOUNT, LINK, FILE = 0, 1, 2
"""Subject types; persisted in snapshots through the salts."""
SALTS = np.array([0x5C31_9D0F_62A7_48E3, 0x2F6B_E81D_9C54_7A39, 0x7D12_46B9_05EF_C3A5], dtype=np.int64)

CREATED, VERIFIED, FIRST, SECOND = 0, 1, 2, 3
"""Fields of a record. FIRST and SECOND: tier and org of an account, owner (and none) of a link, owner and sha256 of a
file."""

HAS_CREATED, HAS_VERIFIED, IS_VERIFIED = 1, 2, 4

NOTHING, ACCOUNT_CREATED, LINK_CREATED, FILE_UPLOADED, FILE_MODIFIED = 0, 1, 2, 3, 4
"""What an event tells of itself, by its type."""

OF_ACCOUNT, OF_ACTOR, OF_OWNER, OF_RECIPIENT, OF_LINK, OF_FILE = 0, 1, 2, 3, 4, 5
"""Rows of `ids` and `has`."""
TELLS_TIER, TELLS_ORG, TELLS_OWNER, TELLS_SHA, TELLS_DOER = 0, 1, 2, 3, 4
"""Rows of `told`: codes of the texts in an event that tells a fact, -1 where absent. DOER: the actor, else account."""
TIME_ACCOUNT, TIME_OWNER, TIME_RECIPIENT, TIME_LINK = 0, 1, 2, 3
"""Rows of `out_time` and `out_has`."""
TEXT_TIER, TEXT_ORG, TEXT_OWNER, TEXT_OWNER_TIER, TEXT_RECIPIENT_ORG, TEXT_SHA = 0, 1, 2, 3, 4, 5
"""Rows of `out_code`."""


@njit(inline="always")
def _set_created(created, flags, row, value):
    created[row] = value
    flags[row] |= HAS_CREATED


@njit(cache=True, nogil=True)
def _apply_fact(created, flags, codes, row, field, known, number, code):
    """Write one fact into a record; a fact without a value makes it unknown again."""
    if field == CREATED:
        if known:
            _set_created(created, flags, row, number)
        else:
            flags[row] &= ~np.uint8(HAS_CREATED)
            created[row] = 0
    elif field == VERIFIED:
        flags[row] &= ~np.uint8(HAS_VERIFIED | IS_VERIFIED)
        if known:
            flags[row] |= np.uint8(HAS_VERIFIED | (IS_VERIFIED if number else 0))
    else:
        codes[field - FIRST, row] = code if known else -1


@njit(cache=True, nogil=True)
def _apply_event(slots, keys, created, flags, codes, count, salts, op, i, ids, has, time, has_time, told):
    """Write what an event tells of itself; the new count of records."""
    if op == ACCOUNT_CREATED:
        subject = OF_ACCOUNT if has[OF_ACCOUNT, i] else OF_ACTOR
        if not has[subject, i]:
            return count
        row, count = find_or_add(slots, keys, count, ids[subject, i] ^ salts[ACCOUNT])
        if has_time[i]:
            _set_created(created, flags, row, time[i])
        if told[TELLS_TIER, i] >= 0:
            codes[0, row] = told[TELLS_TIER, i]
        if told[TELLS_ORG, i] >= 0:
            codes[1, row] = told[TELLS_ORG, i]
        return count
    subject = OF_LINK if op == LINK_CREATED else OF_FILE
    if not has[subject, i]:
        return count
    row, count = find_or_add(slots, keys, count, ids[subject, i] ^ salts[LINK if op == LINK_CREATED else FILE])
    if op == LINK_CREATED and has_time[i]:
        _set_created(created, flags, row, time[i])
    if op != FILE_MODIFIED:
        if told[TELLS_OWNER, i] >= 0:
            codes[0, row] = told[TELLS_OWNER, i]
        elif codes[0, row] < 0:
            codes[0, row] = told[TELLS_DOER, i]
    if op != LINK_CREATED:
        if told[TELLS_SHA, i] >= 0:
            codes[1, row] = told[TELLS_SHA, i]
        elif op == FILE_MODIFIED:
            codes[1, row] = -1
    return count


@njit(cache=True, nogil=True)
def _join(slots, keys, created, flags, codes, salts, i, ids, has, pool_ids, out_time, out_has, out_code, out_verified):
    """Read the records that one event names."""
    if has[OF_ACCOUNT, i]:
        row = find(slots, keys, ids[OF_ACCOUNT, i] ^ salts[ACCOUNT])
        if row >= 0:
            out_time[TIME_ACCOUNT, i] = created[row]
            out_has[TIME_ACCOUNT, i] = flags[row] & HAS_CREATED
            out_code[TEXT_TIER, i] = codes[0, row]
            out_code[TEXT_ORG, i] = codes[1, row]
            if flags[row] & HAS_VERIFIED:
                out_verified[i] = 1 if flags[row] & IS_VERIFIED else 0
    owner_known, owner = has[OF_OWNER, i] != 0, ids[OF_OWNER, i]
    code = np.int32(-1)
    if has[OF_LINK, i]:
        row = find(slots, keys, ids[OF_LINK, i] ^ salts[LINK])
        if row >= 0:
            out_time[TIME_LINK, i] = created[row]
            out_has[TIME_LINK, i] = flags[row] & HAS_CREATED
            code = codes[0, row]
    if has[OF_FILE, i]:
        row = find(slots, keys, ids[OF_FILE, i] ^ salts[FILE])
        if row >= 0:
            out_code[TEXT_SHA, i] = codes[1, row]
            if code < 0:
                code = codes[0, row]
    if not owner_known and code >= 0:
        out_code[TEXT_OWNER, i] = code
        owner_known, owner = True, pool_ids[code]
    if owner_known:
        row = find(slots, keys, owner ^ salts[ACCOUNT])
        if row >= 0:
            out_time[TIME_OWNER, i] = created[row]
            out_has[TIME_OWNER, i] = flags[row] & HAS_CREATED
            out_code[TEXT_OWNER_TIER, i] = codes[0, row]
    if has[OF_RECIPIENT, i]:
        row = find(slots, keys, ids[OF_RECIPIENT, i] ^ salts[ACCOUNT])
        if row >= 0:
            out_time[TIME_RECIPIENT, i] = created[row]
            out_has[TIME_RECIPIENT, i] = flags[row] & HAS_CREATED
            out_code[TEXT_RECIPIENT_ORG, i] = codes[1, row]


@njit(cache=True, nogil=True)
def join_batch(state, count, salts, facts, events, pool_ids, out):
    """One pass over a batch; the new count of records.

    `state`: (slots, keys, created, flags, codes [2, r]); `facts`: (row, key, field, known, number, code), in order of
    row; `events`: (op, ids [6, n], has [6, n], time, has_time, told [5, n]); `out`: (out_time [4, n], out_has [4, n],
    out_code [6, n], out_verified [n]), prepared with 0, 0, -1 and -1.
    """
    slots, keys, created, flags, codes = state
    fact_row, fact_key, fact_field, fact_known, fact_number, fact_code = facts
    op, ids, has, time, has_time, told = events
    out_time, out_has, out_code, out_verified = out
    upcoming = 0
    for i in range(len(op) + 1):
        while upcoming < len(fact_row) and fact_row[upcoming] <= i:
            f = upcoming
            row, count = find_or_add(slots, keys, count, fact_key[f])
            _apply_fact(created, flags, codes, row, fact_field[f], fact_known[f], fact_number[f], fact_code[f])
            upcoming += 1
        if i == len(op):
            break
        if op[i] != NOTHING:
            count = _apply_event(
                slots, keys, created, flags, codes, count, salts, op[i], i, ids, has, time, has_time, told
            )
        _join(
            slots, keys, created, flags, codes, salts, i, ids, has, pool_ids, out_time, out_has, out_code, out_verified
        )
    return count
