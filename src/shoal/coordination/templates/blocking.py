"""Which sign-ups are compared at all: those that stand near each other among the sign-ups of one value.

For each field, and for each two fields of different families together, sign-ups are arranged by (value, time) and each
is paired with the next few of the same value (the sorted neighbourhood of Hernández and Stolfo, SIGMOD 1995). So the
number of pairs is at most sign-ups × keys × neighbours whatever anybody shares, and a value that everybody has costs
what any other costs. Pure arrays.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from shoal.coordination.templates.fields import FIELDS
from shoal.coordination.templates.signups import Column, Ints, SignUps

TOGETHER = ("network", "asn", "user_agent", "domain", "email_form", "name_form", "language")
"""Fields that are also asked two at a time: popular alone, rare together."""
DAY = 86_400_000_000


def candidates(signups: SignUps, neighbours: int) -> tuple[Ints, Ints, Ints]:
    """Pairs to compare: rows (left, right) with left < right, each once, sorted; and which single fields proposed it,
    as bits by the place in `FIELDS` (0: only two together did); int64 [pairs] each.

    Sign-ups of one organisation are not compared: what they share is explained by it. Cost: one sort for each key.
    """
    found, bits = [], []
    for place, field in enumerate(FIELDS):
        if field.family and field.name in signups.columns:
            found.append(_near(signups.columns[field.name].code, neighbours, signups.size))
            bits.append(np.full(len(found[-1]), 1 << place, np.int64))
    joint = [signups.columns[name] for name in TOGETHER if name in signups.columns]
    for one, other in combinations(joint, 2):
        if one.field.family != other.field.family:
            found.append(_near(_both(one, other), neighbours, signups.size))
            bits.append(np.zeros(len(found[-1]), np.int64))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)
    every = np.concatenate(found)
    order = np.argsort(every, kind="stable")
    keys, begin = np.unique(every[order], return_index=True)
    by = np.bitwise_or.reduceat(np.concatenate(bits)[order], begin) if len(keys) else keys
    left, right = keys // signups.size, keys % signups.size
    org = signups.columns.get("org")
    if org is not None:
        apart = (org.code[left] < 0) | (org.code[left] != org.code[right])
        left, right, by = left[apart], right[apart], by[apart]
    return left, right, by


def context(signups: SignUps, least: int = 30) -> Ints:
    """The context of each sign-up, int64 [sign-ups]: behind a telephone carrier or not, the same client and country;
    or, where that has fewer than `least` sign-ups, fewer of them. What sign-ups of one context share by chance is no
    evidence. Other kinds of network are no context: rented machines may well be all of one hand."""
    out = np.zeros(signups.size, np.int64)
    for name in ("network_kind", "client", "country"):
        column = signups.columns.get(name)
        if column is None:
            continue
        code = column.code + 1
        if name == "network_kind":
            code = np.isin(column.code, [at for at, text in enumerate(column.texts) if text == "mobile"]).astype(
                np.int64
            )
        _, finer = np.unique(out * (column.size + 1) + code, return_inverse=True)
        finer = finer.reshape(-1)
        big = np.bincount(finer)[finer] >= least
        out = np.where(big, finer + 1 + out.max(initial=0), out)
    _, dense = np.unique(out, return_inverse=True)
    return np.asarray(dense.reshape(-1), np.int64)


def strangers(signups: SignUps, context: Ints, each: int, around: int) -> tuple[Ints, Ints]:
    """Random pairs within each context, `each` a sign-up: what people share who have nothing to do with one another.

    More than `around` µs apart where the table is that long, and every day counts alike, so that a burst of sign-ups
    does not stand for what is usual. Drawn from a generator of a
    fixed seed: the same sign-ups give the same pairs.
    """
    rng = np.random.default_rng(20190519)
    day = (signups.time - signups.time.min(initial=0)) // DAY
    _, cell = np.unique(context * (int(day.max(initial=0)) + 1) + day, return_inverse=True)
    cell = cell.reshape(-1)
    weight = 1.0 / np.bincount(cell)[cell] if signups.size else np.zeros(0)
    found = []
    for one in range(int(context.max(initial=-1)) + 1):
        rows = np.flatnonzero(context == one)
        share = weight[rows] / weight[rows].sum()
        drawn = rng.choice(rows, (len(rows) * each, 2), p=share)
        apart = np.abs(signups.time[drawn[:, 0]] - signups.time[drawn[:, 1]])
        found.append(drawn[(drawn[:, 0] != drawn[:, 1]) & (apart > min(around, signups.span // 3))])
    pairs = np.sort(np.concatenate(found), axis=1) if found else np.zeros((0, 2), np.int64)
    return pairs[:, 0], pairs[:, 1]


def _both(one: Column, other: Column) -> Ints:
    """The code of two values together; -1 where either is unknown."""
    known = (one.code >= 0) & (other.code >= 0)
    return np.where(known, one.code * other.size + other.code, -1)


def _near(code: Ints, neighbours: int, size: int) -> Ints:
    """Each row with the next `neighbours` rows of its code, as left * size + right."""
    order = np.argsort(code, kind="stable")  # rows stand in order of time already
    order = order[np.searchsorted(code[order], 0) :]
    arranged = code[order]
    out = []
    for step in range(1, min(neighbours, len(order) - 1) + 1):
        same = np.flatnonzero(arranged[step:] == arranged[:-step])
        if not len(same):
            break
        out.append(order[same] * size + order[same + step])
    return np.concatenate(out) if out else np.zeros(0, np.int64)
