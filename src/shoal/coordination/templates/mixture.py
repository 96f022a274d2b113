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
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from shoal.coordination.templates.fields import FIELDS, MEANS
from shoal.coordination.templates.signups import HOUR, Column, Ints, SignUps

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
DOUBT = 3.0
"""A template counts as this many sign-ups of ordinary life that it may have caught."""
CONTEXT = 30.0
"""A context's own habits count fully from some tens of sign-ups on; before, those of all count with it."""
DISCOUNT = 0.5
"""Taken from each count of a value (absolute discounting): what was seen with one other may be chance."""
PLACE = 12.0
"""An address and a device together say no more than this."""
COMMON = 0.0
"""What a household must have in common with the rest of a template to be of it, log odds a member."""
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
    mixture = Mixture(group, np.full(signups.size, -np.inf), np.zeros((signups.size, len(families))), families)
    for _ in range(ROUNDS):
        mixture = _round(signups, families, group, context, vouched, least, settled=False)
        if np.array_equal(mixture.group, group):
            break
        group = mixture.group
    return mixture


def settle(signups: SignUps, mixture: Mixture, context: Ints, least: int) -> Mixture:
    """Grown templates without the households that have nothing in common with the rest of one."""
    cut = _cut(signups, mixture.families, mixture.group, context, least)
    vouched = np.zeros(signups.size, bool)  # those have been left out before
    return _round(signups, mixture.families, cut, context, vouched, least, settled=True)


def _round(
    signups: SignUps,
    families: tuple[str, ...],
    group: Ints,
    context: Ints,
    vouched: Bools,
    least: int,
    *,
    settled: bool,
) -> Mixture:
    """Judge all sign-ups by the templates as they stand. `settled`: members may leave, nobody joins, none merge."""
    usual = _habits(signups, group, context)
    new = np.full(signups.size, -1, np.int64)
    odds = np.full(signups.size, -np.inf)
    parts = np.zeros((signups.size, len(families)))
    claims = []
    for one in range(int(group.max(initial=-1)) + 1):
        rows, of, said, _ = _judge(signups, families, group, one, usual)
        claims.append((rows, of))
        better = (of > odds[rows]) & ~vouched[rows]
        if settled:
            better &= group[rows] == one
        mine = rows[better]
        odds[mine], parts[mine] = of[better], said[better]
        new[mine] = np.where(of[better] > 0, one, -1)
    return Mixture(_dense(new if settled else _merged(new, claims), least), odds, parts, families)


def _habits(signups: SignUps, group: Ints, context: Ints) -> dict[str, Floats]:
    free = group < 0
    return {name: _usual(column, context, free) for name, column in signups.columns.items() if column.field.family}


def _cut(signups: SignUps, families: tuple[str, ...], group: Ints, context: Ints, least: int) -> Ints:
    """Take households out of templates with which they have nothing else in common; large ones stand for themselves."""
    usual = _habits(signups, group, context)
    out = group.copy()
    new = int(group.max(initial=-1)) + 1
    for one in range(new):
        rows, _, _, away = _judge(signups, families, group, one, usual)
        members = group[rows] == one
        block, _ = _blocks(signups, rows[members], rows[members])
        count = np.bincount(block)
        common = np.bincount(block, away[members]) / np.maximum(count, 1)
        alone = (common < COMMON)[block] & (len(count) > 1)
        out[rows[members][alone]] = new + block[alone]
        new += len(count)
    return _dense(out, least)


def _usual(column: Column, context: Ints, free: Bools) -> Floats:
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
) -> tuple[Ints, Floats, Floats, Floats]:
    """The log odds of a template against ordinary life for the sign-ups of its time: (rows, odds, parts, what each has
    in common with members beyond its own household)."""
    members = np.flatnonzero(group == one)
    first, last = signups.time[members[0]], signups.time[members[-1]]
    pad = (last - first) // 10 + HOUR
    rows = np.arange(np.searchsorted(signups.time, first - pad), np.searchsorted(signups.time, last + pad, "right"))
    own = group[rows] == one
    free = max(int((group[rows] < 0).sum()), 1)
    block, inside = _blocks(signups, members, rows)
    parts = np.zeros((len(rows), len(families)))
    away = np.zeros((len(rows), len(families)))
    for at, family in enumerate(families):
        columns = [signups.columns[f.name] for f in FIELDS if f.family == family and f.name in signups.columns]
        parts[:, at] = _said(columns, rows, members, usual, own)
        away[:, at] = _said(columns, rows, members, usual, (block, inside))
    _soften(families, parts)
    prior = np.log(np.maximum(len(members) - own, 0.5) / free)
    return rows, prior + parts.sum(axis=1), parts, away.sum(axis=1)


def _said(
    columns: list[Column], rows: Ints, members: Ints, usual: dict[str, Floats], less: Bools | tuple[Ints, Ints]
) -> Floats:
    """What a family says of each row: log of how often the template has its value over how usual that is. `less`: the
    rows that are members themselves, or (block of each row, block of each member) to leave out the whole block."""
    ratio = np.ones(len(rows))
    if isinstance(less, tuple):
        blocks = int(max(less[0].max(initial=-1), less[1].max(initial=-1))) + 2
        size = len(members) - np.bincount(less[1], minlength=blocks)[less[0]].astype(float)
    else:
        size = len(members) - less.astype(float)
    for column in reversed(columns):  # from the coarsest to the finest, each resting on the one before
        code, of = column.code[rows], column.code[members]
        counts = np.bincount(of[of >= 0], minlength=column.size)[np.maximum(code, 0)]
        if isinstance(less, tuple):
            mine = counts - _counted(less[1][of >= 0] * column.size + of[of >= 0], less[0] * column.size + code)
        else:
            mine = counts - less
        p = usual[column.field.name][rows]
        finer = (np.maximum(mine - DISCOUNT, 0.0) / np.maximum(p, 1e-12) + DOUBT * ratio) / (size + DOUBT)
        ratio = np.where(code >= 0, finer, ratio)
    return np.asarray(np.clip(np.log(ratio), -MOST, MOST))


def _counted(keys: Ints, wanted: Ints) -> Ints:
    """How often each of `wanted` stands among `keys`."""
    values, counts = np.unique(keys, return_counts=True)
    if not len(values):
        return np.zeros(len(wanted), np.int64)
    at = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    return np.where(values[at] == wanted, counts[at], 0)


def _blocks(signups: SignUps, members: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Members that one address or device ties together are a block, as a household is: (block of each row, of each
    member). Who is no member is of the block whose address or device it has; else of none (the last number)."""
    place = np.arange(len(members))
    left, right = [], []
    known = [signups.columns[name] for name in ("ip", "device") if name in signups.columns]
    for column in known:
        code = column.code[members]
        order = np.argsort(code, kind="stable")
        same = (code[order][1:] == code[order][:-1]) & (code[order][1:] >= 0)
        left.append(place[order][1:][same])
        right.append(place[order][:-1][same])
    shape = (len(members), len(members))
    one, other = (np.concatenate(side) if side else np.zeros(0, np.int64) for side in (left, right))
    number, inside = connected_components(
        coo_matrix((np.ones(len(one), np.int8), (one, other)), shape=shape), directed=False
    )
    block = np.full(len(rows), number, np.int64)
    for column in known:
        of = np.full(column.size, number, np.int64)
        code = column.code[members]
        of[code[code >= 0]] = inside[code >= 0]
        there = column.code[rows]
        block = np.where((block == number) & (there >= 0), of[np.maximum(there, 0)], block)
    return block, inside.astype(np.int64)


def _soften(families: tuple[str, ...], parts: Floats) -> None:
    """In place. Means say one thing: the loudest speaks. An address and a device mostly say one thing, too: together
    no more than `PLACE`."""
    means = [at for at, family in enumerate(families) if family in MEANS]
    if means:
        kept = parts[:, means]
        parts[:, means] = np.where(np.arange(len(means)) == kept.argmax(axis=1)[:, None], kept, 0.0)
    place = [at for at, family in enumerate(families) if family in ("network", "client")]
    said = parts[:, place].clip(0).sum(axis=1)
    scale = np.minimum(PLACE / np.maximum(said, 1e-12), 1.0)
    parts[:, place] = np.where(parts[:, place] > 0, parts[:, place] * scale[:, None], parts[:, place])


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
