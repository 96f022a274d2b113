"""How likely chance is to make a pair meet so often: p-values, false discoveries, likelihood ratios.

The null is a bipartite configuration model, taken from each side in turn: given where and how often account a acted,
and who else was there (`company`), account b, of k_b of all K places, is met

    λ = company_a · near · k_b / K

times, where `near` is the share of that company that comes within the window (measured over all). The larger λ of the
two sides counts, so a busy account, or one in busy places, must share more. The number of shared objects then has a
Poisson tail. q-values are those of Benjamini and Hochberg (1995) over *all* pairs of accounts, for a pair that never
met was tested, too: it has p = 1.

The likelihood ratio stands the same null against "one hand: any share of a's objects is as likely as any other"
(a uniform prior, integrated: a Bayes factor without a parameter to fit), and counts a rare place for more than a busy
one: under chance a meets b in a place in proportion to its company. Windows are mixed with equal weights, and the
lesser of the two sides counts. Strangers may also meet less often than λ (it is an upper estimate where places are few
and visited again and again), so meeting too seldom is never evidence. Where accounts have many places and meet in few,
exp of the ratio has a mean of at most 1 over strangers; compare it with ln of the pairs tested, not with 0.
Related: noise-corrected backbones (Coscia & Neffke, ICDE 2017), SynchroTrap (Cao et al., CCS 2014), Adamic & Adar
(2003) for the weight by rarity. Pure arrays; knows no SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, logsumexp
from scipy.stats import poisson

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
LEAST_EXPECTED = 1e-12


@dataclass(frozen=True)
class Side:
    """One account of each pair: `company` float64 [pairs, windows] (expected meetings with anybody), `room` float64
    [pairs] (company of all its places, near or not), `share` float64 [pairs] (its part of all places), `objects`
    int64 [pairs]."""

    company: Floats
    room: Floats
    share: Floats
    objects: Ints


def expected(a: Side, b: Side, inflation: Sequence[float]) -> Floats:
    """Objects that chance makes them share, float64 [pairs, windows]: the larger of the two sides."""
    larger = np.maximum(a.company * b.share[:, None], b.company * a.share[:, None])
    return np.asarray(np.maximum(larger * np.asarray(inflation), LEAST_EXPECTED))


def p_values(shared: Ints, chance: Floats) -> Floats:
    """P(at least so many shared objects by chance), float64 [pairs]: the least over windows, times their number."""
    tails = poisson.sf(shared - 1, chance)
    tails = np.where(shared > 0, tails, 1.0)
    return np.asarray(np.minimum(1.0, tails.min(axis=1, initial=1.0) * shared.shape[1]))


def q_values(p: Floats, tested: int) -> Floats:
    """Benjamini and Hochberg's q of p-values, of which `tested` - len(p) more are 1.

    >>> q_values(np.array([0.001, 0.5, 0.002]), 10).round(3).tolist()
    [0.01, 1.0, 0.01]
    """
    if not len(p):
        return np.zeros(0)
    order = np.argsort(p, kind="stable")
    raised = p[order] * tested / np.arange(1, len(p) + 1)
    out = np.empty(len(p))
    out[order] = np.minimum(1.0, np.minimum.accumulate(raised[::-1])[::-1])
    return out


def log_ratio(shared: Ints, logs: Floats, a: Side, b: Side, inflation: Sequence[float]) -> Floats:
    """ln P(meetings | one hand) / P(meetings | strangers), float64 [pairs].

    `logs` float64 [pairs, windows]: the sum over shared objects of ln(company there).
    """
    factor = np.asarray(inflation)
    sides = [_one_side(shared, logs, one, other, factor) for one, other in ((a, b), (b, a))]
    mixed = [logsumexp(side, axis=1) - np.log(shared.shape[1]) if len(side) else np.zeros(0) for side in sides]
    return np.asarray(np.minimum(*mixed))


def _one_side(shared: Ints, logs: Floats, one: Side, other: Side, factor: Floats) -> Floats:
    """Given the places of `one`: how much better one hand explains which of them `other` shares, by window."""
    trials = np.maximum(one.objects[:, None], shared).astype(np.float64)
    chance = np.maximum(one.company * other.share[:, None] * factor, LEAST_EXPECTED)
    each = np.clip(np.minimum(chance, shared) / trials, 1e-300, 0.5)
    missed = trials - shared
    count = betaln(shared + 1, missed + 1) - shared * np.log(each) - missed * np.log1p(-each)
    usual = np.log(np.maximum(one.room / np.maximum(one.objects, 1), 1e-300))
    return np.asarray(count + shared * usual[:, None] - logs)


def pairs_by_chance(company: Floats, share: Floats, least: int, bins: int = 40) -> float:
    """How many pairs the null expects with at least so many shared objects, of accounts with such company and share.

    Accounts are gathered into bins of like company and share, so that the cost is of bins, not of pairs.
    """
    if len(share) < 2:
        return 0.0
    at = [_binned(column, bins) for column in (company, share)]
    key = at[0] * (bins + 1) + at[1]
    _, place, count = np.unique(key, return_inverse=True, return_counts=True)
    mean_company = np.bincount(place, company) / count
    mean_share = np.bincount(place, share) / count
    one = np.outer(mean_company, mean_share)
    tail = poisson.sf(least - 1, np.maximum(one, one.T))
    pairs = np.outer(count, count) - np.diag(count)
    return float((tail * pairs).sum() / 2)


def _binned(column: Floats, bins: int) -> Ints:
    logs = np.log(np.maximum(column, 1e-12))
    low, high = logs.min(), logs.max()
    return np.asarray((logs - low) / max(high - low, 1e-12) * bins, np.int64)
