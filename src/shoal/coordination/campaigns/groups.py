"""Groups: which tied accounts form one campaign, and how sure it is of each that it belongs.

Ties (pairs over the threshold) give connected components; within each, communities by the constant Potts model on the
pairs' probabilities; then accounts are pruned by score where scores are given, and peeled by belief until all that are
left belong. Belief is the posterior of *member* against *bridge* from how much of the rest an account is tied to, times
its strongest tie: an honest person who shares one thing with one member stays outside. Holds no state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoal.coordination.campaigns.fuse import CampaignSettings, Fused, sigmoid
from shoal.coordination.structure import communities, components
from shoal.errors import InvalidInput, Problem, Where

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

NEGLIGIBLE = 0.01
"""Pairs under this probability carry no weight in communities."""
MEMBER_PRIOR = 0.9
"""Prior that an account which a community holds is a member and no bridge."""
BRIDGE_RATE = 0.25
"""A bridge is tied to this share of what members are tied to."""
EFFECTIVE = 10.0
"""Ties count as at most so many independent trials: those over one shared entity come in bunches."""
SCORE_SPAN = 2.0
"""The most that an account's score moves its belief, in log-odds."""
MAX_ROUNDS = 12


@dataclass(frozen=True)
class Groups:
    """Disjoint groups of accounts. `account` int64 [members]: codes, sorted by (group, account); `group` int64
    [members], dense from 0 in the order of each group's first account; `belief` float64 [members]; `hard` bool
    [members]: a hard link holds it to another member; `tied` float64 [members]: the share of the rest, by
    probability, that it is tied to. `pair` int64: places of the fused pairs inside groups, `pair_group` their
    groups."""

    account: Ints
    group: Ints
    belief: Floats
    hard: Bools
    tied: Floats
    pair: Ints
    pair_group: Ints

    @property
    def count(self) -> int:
        """Number of groups."""
        return int(self.group[-1]) + 1 if len(self.group) else 0


def tied_components(fused: Fused, settings: CampaignSettings, among: Bools | None = None) -> Ints:
    """Component of each account over the pairs at or over the threshold, int64 [accounts]. `among` bool [accounts]:
    only these count."""
    keep = fused.posterior >= settings.threshold
    if among is not None:
        keep &= among[fused.left] & among[fused.right]
    return components(fused.accounts, fused.left[keep], fused.right[keep])


def pruned(fused: Fused, settings: CampaignSettings, scores: Floats | None) -> Bools:
    """Accounts that may be members, bool [accounts]: not far less suspicious than the mean, or held by a hard tie.

    Density alone is not abuse: the densest groups of honest services are offices and families.
    """
    allowed = np.ones(fused.accounts, bool)
    if scores is None:
        return allowed
    _check_scores(scores, fused.accounts)
    known = ~np.isnan(scores)
    if not known.any():
        return allowed
    allowed[known & (np.nan_to_num(scores) < settings.prune * float(scores[known].mean()))] = False
    strong = fused.hard & (fused.posterior >= settings.threshold)
    allowed[fused.left[strong]] = True
    allowed[fused.right[strong]] = True
    return allowed


def _check_scores(scores: Floats, accounts: int) -> None:
    problems = []
    at = Where(path="scores")
    if scores.shape != (accounts,):
        problems.append(Problem("campaigns.scores", f"{scores.shape} scores for {accounts} accounts", at))
    elif (known := scores[~np.isnan(scores)]).size and (known.min() < 0 or known.max() > 1):
        problems.append(Problem("campaigns.scores", "a score is no probability", at, allowed="0 to 1, NaN for unknown"))
    if problems:
        raise InvalidInput(problems)


def form(fused: Fused, settings: CampaignSettings, scores: Floats | None = None, among: Bools | None = None) -> Groups:
    """Groups of accounts that act as one: components, communities inside, pruned and peeled.

    `scores` float64 [accounts]: probability that an account is abusive, NaN unknown. `among` bool [accounts]: whole
    components that are to be formed, others are left aside; what comes out of one does not depend on the others.
    """
    allowed = pruned(fused, settings, scores)
    if among is not None:
        allowed &= among
    label = tied_components(fused, settings, allowed)
    sizes = np.bincount(label, minlength=1)
    label = np.where(sizes[label] >= settings.min_size, label, -1)
    inside = _inside(fused, label)
    inside = inside[fused.posterior[inside] >= NEGLIGIBLE]
    label = _communities(fused, settings, label, inside)
    lift = _lift(fused.accounts, scores)
    belief = np.zeros(fused.accounts)
    for _ in range(MAX_ROUNDS):
        label = _connected(fused, settings, label, inside)
        belief, _ = beliefs(fused, label, inside[label[fused.left[inside]] == label[fused.right[inside]]], lift)
        weak = (label >= 0) & (belief < settings.min_belief)
        if not weak.any():
            break
        label = np.where(_weakest(label, belief, weak), -1, label)
    else:
        label = np.where(belief < settings.min_belief, -1, label)
        label = _connected(fused, settings, label, inside)
    return _groups(fused, label, lift)


def _lift(accounts: int, scores: Floats | None) -> Floats:
    if scores is None or np.isnan(scores).all():
        return np.zeros(accounts)
    base = max(float(np.nanmean(scores)), 1e-9)
    lift = np.log(np.maximum(np.nan_to_num(scores, nan=base), 1e-9) / base)
    return np.clip(lift, -SCORE_SPAN, SCORE_SPAN)


def _weakest(label: Ints, belief: Floats, weak: Bools) -> Bools:
    """Of the weak members, those to drop in this round: the weaker half of each group's, at least one."""
    who = np.flatnonzero(weak)
    who = who[np.lexsort((who, belief[who], label[who]))]
    start = np.flatnonzero(np.r_[True, label[who][1:] != label[who][:-1]])
    size = np.diff(np.r_[start, len(who)])
    rank = np.arange(len(who)) - np.repeat(start, size)
    drop = np.zeros(len(label), bool)
    drop[who[rank < np.repeat((size + 1) // 2, size)]] = True
    return drop


def _inside(fused: Fused, label: Ints) -> Ints:
    """Places of the pairs whose ends have one label."""
    return np.flatnonzero((label[fused.left] == label[fused.right]) & (label[fused.left] >= 0))


def _connected(fused: Fused, settings: CampaignSettings, label: Ints, inside: Ints) -> Ints:
    """Labels split where a group is no longer connected by ties; what is then too small is left out (-1)."""
    pairs = inside[(fused.posterior[inside] >= settings.threshold) & (label[fused.left[inside]] >= 0)]
    pairs = pairs[label[fused.left[pairs]] == label[fused.right[pairs]]]
    out = components(fused.accounts, fused.left[pairs], fused.right[pairs])
    sizes = np.bincount(out, minlength=1)
    return np.where((label >= 0) & (sizes[out] >= settings.min_size), out, -1)


def _communities(fused: Fused, settings: CampaignSettings, label: Ints, inside: Ints) -> Ints:
    """Communities within components, by the constant Potts model; -1 stays -1."""
    members = np.flatnonzero(label >= 0)
    if not len(members):
        return label
    dense = np.full(fused.accounts, -1, np.int64)
    dense[members] = np.arange(len(members))
    found = communities(
        len(members), dense[fused.left[inside]], dense[fused.right[inside]], fused.posterior[inside],
        resolution=settings.resolution,
    )  # fmt: skip
    out = np.full(fused.accounts, -1, np.int64)
    out[members] = found.labels
    return out


def beliefs(fused: Fused, label: Ints, inside: Ints, lift: Floats) -> tuple[Floats, Floats]:
    """Degree of membership of each account of a group, and the share of the rest that it is tied to.

    Both float64 [accounts], 0 outside. `label` int64 [accounts], -1 outside; `inside`: places of the pairs within
    groups; `lift` float64 [accounts]: log-odds from the account's own score. A member of a group with tie rate d is
    expected to be tied to d of the rest, a bridge to a quarter of that; the ratio of the two binomials, over at most
    ten effective trials, gives the odds. What a member counts for its neighbours is its own belief (three rounds).
    """
    n = fused.accounts
    left, right, p = fused.left[inside], fused.right[inside], fused.posterior[inside]
    members = label >= 0
    groups = int(label.max()) + 1 if n and members.any() else 0
    strongest = np.zeros(n)
    np.maximum.at(strongest, left, p)
    np.maximum.at(strongest, right, p)
    belief = members.astype(np.float64)
    tied = np.zeros(n)
    if not groups:
        return belief, tied
    at = np.where(members, label, 0)
    sizes = np.bincount(label[members], minlength=groups)
    trials = np.minimum(np.maximum(sizes[at] - 1, 1), EFFECTIVE)
    start = np.log(MEMBER_PRIOR / (1 - MEMBER_PRIOR)) + lift
    for _ in range(3):
        mass = np.bincount(left, p * belief[right], n) + np.bincount(right, p * belief[left], n)
        total = np.bincount(at[members], belief[members], groups)
        tied = np.clip(mass / np.maximum(total[at] - belief, 1e-9), 0.0, 1.0)
        rate = np.bincount(at[members], (belief * tied)[members], groups) / np.maximum(total, 1e-9)
        rate = np.clip(rate, 0.02, 0.95)[at]
        odd = rate * BRIDGE_RATE
        ratio = trials * (tied * np.log(rate / odd) + (1 - tied) * np.log((1 - rate) / (1 - odd)))
        belief = np.where(members, strongest * sigmoid(start + ratio), 0.0)
    return belief, np.where(members, tied, 0.0)


def _groups(fused: Fused, label: Ints, lift: Floats) -> Groups:
    """The final arrays, groups in the order of their first accounts."""
    account = np.flatnonzero(label >= 0)
    none = np.zeros(0, np.int64)
    if not len(account):
        return Groups(none, none, np.zeros(0), none.astype(bool), np.zeros(0), none, none)
    inside = _inside(fused, label)
    belief, tied = beliefs(fused, label, inside, lift)
    held = np.zeros(fused.accounts, bool)
    strong = inside[fused.hard[inside]]
    held[fused.left[strong]] = True
    held[fused.right[strong]] = True
    _, first, dense = np.unique(label[account], return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    group = rank[dense]
    order = np.lexsort((account, group))
    account, group = account[order], group[order]
    of = np.full(fused.accounts, -1, np.int64)
    of[account] = group
    return Groups(
        account, group, belief[account], held[account], tied[account], inside, of[fused.left[inside]]
    )  # fmt: skip
