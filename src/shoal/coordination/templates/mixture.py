"""From seeds to whole templates: which other sign-ups were made by the template that a few obvious ones show.

A template is a distribution over values for each family, and a stretch of time; ordinary life is another one. Starting
from seed groups, each sign-up is given to the template under which it is likelier than under ordinary life of its own
context (a mixture, by expectation and maximisation), never counting its own part in the template. So who shares no
address and no device with any one other is still found by name form, client and the network's customers together, and
a crowd that came on the same day is not: it is as likely under ordinary life. Pure arrays; deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoal.coordination.templates.fields import FIELDS, MEANS
from shoal.coordination.templates.signups import Column, Ints, SignUps

Floats = npt.NDArray[np.float64]
DOUBT = 3.0
"""A template counts as this many sign-ups of ordinary life that it may have caught."""
CONTEXT = 30.0
"""A context's own habits count fully from some tens of sign-ups on; before, those of all count with it."""
DISCOUNT = 0.5
PLACE = 10.0
ROUNDS = 12
MOST = 8.0
"""No family speaks louder than e^8 about one sign-up."""


@dataclass(frozen=True)
class Mixture:
    """`group` int64 [sign-ups]: number of the template, -1 ordinary life. `odds` float64 [sign-ups]: log odds of the
    template (for those of none: of the likeliest one; -inf without any). `parts` float64 [sign-ups, families]: what
    each family says of it."""

    group: Ints
    odds: Floats
    parts: Floats
    families: tuple[str, ...]


def grow(signups: SignUps, seed: Ints, context: Ints, least: int) -> Mixture:
    """Grow seed groups into templates. `seed` int64 [sign-ups]: group of each, -1 none; `context` int64 [sign-ups].
    Templates that keep fewer than `least` sign-ups are dropped. Cost: rounds × templates × sign-ups of their time."""
    families = tuple(dict.fromkeys(field.family for field in FIELDS if field.family and field.name in signups.columns))
    org = signups.columns.get("org")
    vouched = np.zeros(signups.size, bool) if org is None else org.code >= 0
    group = _dense(np.where(vouched, -1, seed))
    odds = np.full(signups.size, -np.inf)
    parts = np.zeros((signups.size, len(families)))
    usual = {name: np.zeros(0) for name in signups.columns}
    for _ in range(ROUNDS):
        free = group < 0
        usual = {name: _usual(column, context, free) for name, column in signups.columns.items() if column.field.family}
        new = np.full(signups.size, -1, np.int64)
        odds = np.full(signups.size, -np.inf)
        parts = np.zeros((signups.size, len(families)))
        claims = []
        for one in range(int(group.max(initial=-1)) + 1):
            rows, of, said = _judge(signups, families, group, one, usual)
            claims.append((rows, of))
            better = (of > odds[rows]) & ~vouched[rows]
            mine = rows[better]
            odds[mine], parts[mine] = of[better], said[better]
            new[mine] = np.where(of[better] > 0, one, -1)
        new = _dense(_merged(new, claims), least)
        if np.array_equal(new, group):
            break
        group = new
    return Mixture(group, odds, parts, families)


def _usual(column: Column, context: Ints, free: npt.NDArray[np.bool_]) -> Floats:
    """How usual each sign-up's value is in ordinary life of its context, [sign-ups]; 0 where it is not known."""
    known = free & (column.code >= 0)
    counts = np.bincount(column.code[known], minlength=column.size) + 0.5
    share = counts / counts.sum()
    contexts = int(context.max(initial=-1)) + 1
    sizes = np.bincount(context[known], minlength=contexts)
    cell = context * (column.size + 1) + np.maximum(column.code, 0)
    cells, place = np.unique(cell, return_inverse=True)
    inside = np.bincount(place.reshape(-1)[known], minlength=len(cells))[place.reshape(-1)]
    of = share[np.maximum(column.code, 0)]
    mixed = (inside + CONTEXT * of) / (sizes[context] + CONTEXT)
    return np.where(column.code >= 0, mixed, 0.0)


def _judge(
    signups: SignUps, families: tuple[str, ...], group: Ints, one: int, usual: dict[str, Floats]
) -> tuple[Ints, Floats, Floats]:
    """The log odds of a template against ordinary life for the sign-ups of its time: (rows, odds, parts)."""
    members = np.flatnonzero(group == one)
    first, last = signups.time[members[0]], signups.time[members[-1]]
    pad = (last - first) // 10 + 3_600_000_000
    rows = np.arange(np.searchsorted(signups.time, first - pad), np.searchsorted(signups.time, last + pad, "right"))
    own = group[rows] == one
    size = len(members) - own.astype(float)
    free = max(int((group[rows] < 0).sum()), 1)
    parts = np.zeros((len(rows), len(families)))
    for at, family in enumerate(families):
        ratio = np.ones(len(rows))
        columns = [signups.columns[f.name] for f in FIELDS if f.family == family and f.name in signups.columns]
        for column in reversed(columns):  # from the coarsest to the finest, each resting on the one before
            code = column.code[rows]
            counts = np.bincount(column.code[members][column.code[members] >= 0], minlength=column.size)
            mine = np.maximum(counts[np.maximum(code, 0)] - own - DISCOUNT, 0.0)
            p = usual[column.field.name][rows]
            finer = (mine / np.maximum(p, 1e-12) + DOUBT * ratio) / (size + DOUBT)
            ratio = np.where(code >= 0, finer, ratio)
        parts[:, at] = np.clip(np.log(ratio), -MOST, MOST)
    means = [at for at, family in enumerate(families) if family in MEANS]
    if means:  # they say one thing: the loudest speaks, the others are silent
        kept = parts[:, means]
        parts[:, means] = np.where(np.arange(len(means)) == kept.argmax(axis=1)[:, None], kept, 0.0)
    place = [at for at, family in enumerate(families) if family in ("network", "client")]
    if len(place) == 2:
        both = parts[:, place].clip(0).sum(axis=1)
        over = both > PLACE
        parts[np.ix_(over, place)] = np.where(
            parts[np.ix_(over, place)] > 0,
            parts[np.ix_(over, place)] * (PLACE / both[over])[:, None],
            parts[np.ix_(over, place)],
        )
    prior = np.log(np.maximum(size, 0.5) / free)
    return rows, prior + parts.sum(axis=1), parts


def _merged(group: Ints, claims: list[tuple[Ints, Floats]]) -> Ints:
    """Templates whose sign-ups are mostly as likely under another become that one."""
    to = np.arange(len(claims))
    size = np.bincount(group[group >= 0], minlength=len(claims))
    for one in np.argsort(size, kind="stable").tolist():
        if not size[one]:
            continue
        best, into = 0.5, one
        for other, (rows, of) in enumerate(claims):
            if to[other] == to[one] or size[other] < size[one] or other == one:
                continue
            mine = group[rows] == one
            share = float((of[mine] > 0).sum()) / size[one]
            if share > best:
                best, into = share, other
        to[one] = to[into]
    for _ in range(len(claims)):
        to = to[to]
    return np.where(group >= 0, to[np.maximum(group, 0)] if len(to) else group, -1)


def _dense(group: Ints, least: int = 1) -> Ints:
    """Groups numbered 0 … by their first sign-up; those under `least` dissolved."""
    out = np.full(len(group), -1, np.int64)
    kept = np.flatnonzero(group >= 0)
    if not len(kept):
        return out
    _, first, place, count = np.unique(group[kept], return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(np.where(count >= least, first, len(group) + first), kind="stable")
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    number[count < least] = -1
    out[kept] = number[place.reshape(-1)]
    return out
