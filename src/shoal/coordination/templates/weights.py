"""How much a shared value speaks for one hand, learned without labels by a fixed point over pairs.

A pair is judged as in record linkage (Fellegi and Sunter, JASA 1969): the log-likelihood ratios of its families are
added. What sharing a value is worth is not set but learned (the idea of Ianus, CCS 2019, and UFA, 2021): a value whose
sharers also share other rare things is weighted up, one whose sharers have nothing else in common is weighted down,
however rare it is. For a value v that is the share of one-hand pairs among the pairs that share v, judged by all
*other* families of those pairs, shrunk to what holds of values of its field and popularity; where there is little to
learn from, rarity decides. Then all pairs are judged again, until nothing moves. Pure arrays; deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoal.coordination.templates.blocking import context, strangers
from shoal.coordination.templates.fields import FIELDS
from shoal.coordination.templates.settings import Settings
from shoal.coordination.templates.signups import Column, Ints, SignUps

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
MOST = 8.0
"""No family speaks louder than e^8 to one, hard ones apart."""
MOST_HARD = 14.0
LEAST = -3.0
UP = 1.2
"""Nothing is shared by more than all pairs of one hand, so rarity bounds what may be learned (`_rarity` says .3)."""
DOUBT = -4.0
STRANGERS = 8
CERTAIN = 1.6
UNKNOWN, APART = -2, -1


@dataclass(frozen=True)
class Weighed:
    """Pairs with their evidence. `families`: names; `shared` int64 [pairs, families]: place in `fields` of the finest
    field that both share, -1 apart, -2 not known of both. `llr` float64 [pairs, families]: its weight.
    `total` float64 [pairs]: their sum; `belief` float64 [pairs]: the probability of one hand."""

    left: Ints
    right: Ints
    families: tuple[str, ...]
    shared: Ints
    llr: Floats
    total: Floats
    belief: Floats
    rounds: int


@dataclass
class _Family:
    """One family over all pairs: which value (token) each pair shares, and what is known of tokens."""

    name: str
    hard: bool
    shared: Ints  # [pairs] field index, APART or UNKNOWN
    token: Ints  # [pairs] dense token, -1 where none is shared
    start: Floats  # [tokens] weight by rarity
    stratum: Ints  # [tokens]
    strata: int
    teaches: Bools  # [pairs] whether the pair was proposed by the very field that it shares
    apart: float


def weigh(signups: SignUps, left: Ints, right: Ints, by: Ints, settings: Settings) -> Weighed:
    """Judge pairs of sign-ups. `left`, `right`, `by` int64 [pairs]: rows, and the fields that proposed them. Cost:
    families × rounds passes over the pairs."""
    size = len(left)
    of = context(signups)
    null_left, null_right = strangers(signups, of, STRANGERS, settings.around_s * 1_000_000)
    left, right = np.concatenate([left, null_left]), np.concatenate([right, null_right])
    by = np.concatenate([by, np.zeros(len(null_left), np.int64)])
    null = np.arange(len(left)) >= size
    names = tuple(dict.fromkeys(field.family for field in FIELDS if field.family and field.name in signups.columns))
    families = [_family(name, signups, left, right, by, settings) for name in names]
    base = float(np.log(settings.prior / (1 - settings.prior)))
    llr = np.zeros((len(left), len(families)))
    weights = [family.start.copy() for family in families]
    for at, family in enumerate(families):
        llr[:, at] = _spoken(family, weights[at])
    total = llr.sum(axis=1)
    done = 0
    while done < settings.rounds:
        done += 1
        before = total
        for at, family in enumerate(families):
            if not len(family.start):
                continue
            others = total - llr[:, at]
            weights[at] = _learned(family, weights[at], others, null, of[left], base, settings.strength)
            family.apart = _apart(family, total + base, null)
            llr[:, at] = _spoken(family, weights[at])
            total = others + llr[:, at]
        if len(total) and np.abs(total - before).max() < 0.01:
            break
    shared = (
        np.stack([family.shared for family in families], axis=1) if families else np.zeros((len(left), 0), np.int64)
    )
    belief = _sigmoid(total + base)
    return Weighed(left[:size], right[:size], names, shared[:size], llr[:size], total[:size], belief[:size], done)


def _family(name: str, signups: SignUps, left: Ints, right: Ints, by: Ints, settings: Settings) -> _Family:
    shared = np.full(len(left), UNKNOWN, np.int64)
    token = np.full(len(left), -1, np.int64)
    starts: list[Floats] = []
    strata: list[Ints] = []
    tokens = kinds = 0
    members = [field for field in FIELDS if field.family == name and field.name in signups.columns]
    for field in reversed(members):  # the finest last, so that it has the last word
        column = signups.columns[field.name]
        known = (column.code[left] >= 0) & (column.code[right] >= 0)
        same = known & (column.code[left] == column.code[right])
        shared[known & (shared == UNKNOWN)] = APART
        rows = np.flatnonzero(same)
        shared[rows] = FIELDS.index(field)
        place, first, own = _tokens(column, left[rows], settings.chunk)
        token[rows] = tokens + own
        starts.append(_rarity(signups, column, first, rows[place], left, right, settings))
        stratum = _strata(signups, column, first)
        strata.append(kinds + stratum)
        tokens, kinds = tokens + len(first), kinds + int(stratum.max(initial=-1)) + 1
    hard = any(field.hard for field in members)
    teaches = (shared >= 0) & ((by >> np.maximum(shared, 0)) & 1 == 1)
    return _Family(name, hard, shared, token, np.concatenate(starts), np.concatenate(strata), kinds, teaches, -0.7)


def _tokens(column: Column, rows: Ints, chunk: int) -> tuple[Ints, Ints, Ints]:
    """Values cut into stretches of `chunk` sign-ups in a row: (place of a pair of each token, its value, token of each
    pair)."""
    order = np.argsort(column.code, kind="stable")
    arranged = column.code[order]
    begins = np.searchsorted(arranged, np.arange(column.size))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.where(arranged >= 0, begins[arranged], 0)
    key = column.code[rows] * (len(order) // chunk + 1) + rank[rows] // chunk
    _, place, own = np.unique(key, return_index=True, return_inverse=True)
    return place, column.code[rows][place], own.reshape(-1)


def _rarity(
    signups: SignUps, column: Column, value: Ints, pair: Ints, left: Ints, right: Ints, settings: Settings
) -> Floats:
    """The weight of a token before anything is learned: log of how often one hand shares it over how often strangers
    do, the latter by the value's share of the sign-ups outside of `around_s` of a pair that shares it."""
    if not len(value):
        return np.zeros(0)
    around = settings.around_s * 1_000_000
    low = np.searchsorted(signups.time, signups.time[left[pair]] - around)
    high = np.searchsorted(signups.time, signups.time[right[pair]] + around)
    order = np.argsort(column.code, kind="stable")
    key = column.code[order] * (signups.size + 1) + order
    here = np.searchsorted(key, value * (signups.size + 1) + high) - np.searchsorted(
        key, value * (signups.size + 1) + low
    )
    counts = np.bincount(column.code[column.code >= 0], minlength=column.size)[value]
    outside = signups.size - (high - low)
    usual = (counts - here + 20 * counts / signups.size) / (outside + 20)
    return np.clip(np.log(0.3 / usual), LEAST, MOST)


def _strata(signups: SignUps, column: Column, value: Ints) -> Ints:
    """Values of about the same popularity; addresses also by the kind of their network."""
    counts = np.bincount(column.code[column.code >= 0], minlength=column.size)
    stratum = np.minimum(np.log2(np.maximum(counts[value], 1)).astype(np.int64), 9)
    kind = signups.columns.get("network_kind")
    if column.field.family == "network" and kind is not None:
        last = np.full(column.size, -1, np.int64)
        known = column.code >= 0
        last[column.code[known]] = kind.code[known]
        stratum = stratum * (kind.size + 1) + last[value] + 1
    return stratum


def _spoken(family: _Family, weight: Floats) -> Floats:
    out = np.where(family.shared == APART, family.apart, 0.0)
    rows = family.token >= 0
    out[rows] = weight[family.token[rows]]
    return out


def _learned(
    family: _Family, weight: Floats, others: Floats, null: Bools, of: Ints, base: float, strength: float
) -> Floats:
    """The weights of a family's tokens from the evidence of all others: how far it exceeds what strangers of the same
    context have in common."""
    rows = np.flatnonzero(family.teaches)
    token = family.token[rows]
    spoken = _sigmoid(others + DOUBT)
    usual, spread = _usual(spoken, null, of)
    excess = (spoken[rows] - usual[of[rows]]) / (1 - usual[of[rows]])
    count = np.bincount(token, minlength=len(weight)).astype(float)
    hands = np.bincount(token, excess, minlength=len(weight))
    noise = np.sqrt(np.bincount(token, spread[of[rows]], minlength=len(weight)) * 2)
    rare = _sigmoid(base + family.start)
    kind = family.stratum
    size = np.bincount(kind, count, minlength=family.strata)
    expected = np.bincount(kind, rare * count, minlength=family.strata) / np.maximum(size, 1)
    stratum = (np.bincount(kind, hands, minlength=family.strata) + strength * expected) / (size + strength)
    share = (hands - CERTAIN * noise + strength * np.maximum(stratum[kind], 0)) / (count + strength)
    share = np.clip(share, 1e-6, 1 - 1e-6)
    most = MOST_HARD if family.hard else MOST
    return np.clip(np.log(share / (1 - share)) - base, 0.0, np.minimum(np.maximum(family.start + UP, 0.0), most))


def _usual(spoken: Floats, null: Bools, of: Ints) -> tuple[Floats, Floats]:
    """Mean and variance of what strangers have in common, by context, shrunk to those of all contexts."""
    contexts = int(of.max(initial=-1)) + 1
    found = spoken[null] if null.any() else np.zeros(1)
    count = np.bincount(of[null], minlength=contexts) + 50.0
    mean = (np.bincount(of[null], spoken[null], minlength=contexts) + 50 * found.mean()) / count
    square = (np.bincount(of[null], spoken[null] ** 2, minlength=contexts) + 50 * (found**2).mean()) / count
    return mean, np.maximum(square - mean**2, 0.0)


def _apart(family: _Family, odds: Floats, null: Bools) -> float:
    """What it says that both are known and differ: how much rarer that is among one-hand pairs than among strangers."""
    belief = _sigmoid(odds) * ~null
    known = family.shared != UNKNOWN
    apart = family.shared == APART
    hand = (belief[apart].sum() + 1) / (belief[known].sum() + 2)
    strangers = ((apart & null).sum() + 1) / ((known & null).sum() + 1)
    return float(np.clip(np.log(hand / strangers), LEAST, 0.0))


def _sigmoid(x: npt.ArrayLike) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(np.asarray(x, np.float64), -60, 60))))
