"""Who in a campaign may be innocent: how many are expected, who they are likely to be, and what separates them.

A bulk action hits whole campaigns; before it, a person asks who is wrongly among them. Members are compared with the
rest of their campaign in what the graph knows: how much they are tied to, age, means of their own, hubs. The words are
checkable counts. Pure; knows no guard and no action.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoal.coordination.campaigns.campaign import Campaign
from shoal.coordination.campaigns.shared import gather
from shoal.coordination.campaigns.words import DAY_US, stretch
from shoal.coordination.graph.graph import EntityGraph
from shoal.coordination.relations import Role, Strength

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Innocent:
    """A member that may be innocent. `probability`: one minus belief times the campaign's score; `reasons`: what sets
    it apart from the rest, in words, empty where nothing does."""

    account: int
    probability: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Innocents:
    """`expected`: innocents that an action on all members would hit, with `low` and `high` from the interval of the
    campaign's score. `within`: those expected if the campaign is abusive. `likely`: members by probability of
    innocence, the most likely first. `separates`: what sets the doubtful apart as a whole, in words."""

    expected: float
    low: float
    high: float
    within: float
    likely: tuple[Innocent, ...]
    separates: tuple[str, ...]


@dataclass(frozen=True)
class _Facts:
    """Per member: how many others it shares anything with, age before the campaign's first tie (days, NaN unknown),
    means that it shares and has, hard means of its own, targets shared and had, whether all its ties are hubs."""

    others: Ints
    age_days: Floats
    means: Ints
    means_shared: Ints
    own_hard: dict[str, npt.NDArray[np.bool_]]
    targets: Ints
    targets_shared: Ints


DOUBT = 0.8
"""Members under this belief are the doubtful ones."""


def expected_innocents(campaign: Campaign) -> float:
    """Members that an action on the whole campaign would hit wrongly: the sum of 1 - belief · score."""
    return float(sum(1 - one.belief * campaign.score for one in campaign.members))


def who_innocent(campaign: Campaign, graph: EntityGraph, *, count: int = 10) -> Innocents:
    """The members most likely innocent, at most `count`, with reasons; members that the graph does not know are told
    by their belief only."""
    beliefs = np.array([one.belief for one in campaign.members])
    codes = graph.codes(np.array([one.account for one in campaign.members], np.int64))
    facts = _facts(campaign, graph, codes)
    order = np.lexsort((np.arange(len(beliefs)), -_strangeness(facts), beliefs))
    likely = tuple(
        Innocent(
            campaign.members[at].account,
            float(1 - beliefs[at] * campaign.score),
            _reasons(campaign, facts, at) if codes[at] >= 0 else (),
        )
        for at in order[:count].tolist()
    )
    total = float(beliefs.sum())
    return Innocents(
        expected_innocents(campaign), len(beliefs) - total * campaign.high, len(beliefs) - total * campaign.low,
        len(beliefs) - total, likely, _separates(beliefs, facts),
    )  # fmt: skip


def _facts(campaign: Campaign, graph: EntityGraph, codes: Ints) -> _Facts:
    n = len(codes)
    known = np.flatnonzero(codes >= 0)
    means, means_shared = np.zeros(n, np.int64), np.zeros(n, np.int64)
    targets, targets_shared = np.zeros(n, np.int64), np.zeros(n, np.int64)
    own_hard: dict[str, npt.NDArray[np.bool_]] = {}
    near = np.zeros((n, n), bool) if n <= 5_000 else None
    for name, edges in graph.relations.items():
        at, place = gather(edges, codes[known])
        member = known[place]
        entity = edges.entity[at]
        _, inverse, inside = np.unique(entity, return_inverse=True, return_counts=True)
        tied = inside[inverse] > 1 if len(at) else np.zeros(0, bool)
        target = edges.relation.role is Role.TARGET
        has, has_shared = (targets, targets_shared) if target else (means, means_shared)
        has += np.bincount(member, minlength=n)
        has_shared += np.bincount(member[tied], minlength=n)
        if edges.relation.strength is Strength.HARD and tied.any():
            some, shares = np.bincount(member, minlength=n) > 0, np.bincount(member[tied], minlength=n) > 0
            own_hard[name] = some & ~shares
        if near is not None and tied.any():
            for one in np.flatnonzero(inside > 1).tolist():
                who = member[inverse == one]
                near[np.ix_(who, who)] = True
    others = np.zeros(n, np.int64)
    if near is not None:
        np.fill_diagonal(near, False)
        others = near.sum(axis=1)
    created = np.where(codes >= 0, graph.created[codes] if graph.accounts else -1, -1)
    age = np.where(created >= 0, np.maximum(campaign.first - created, 0) / DAY_US, np.nan)
    return _Facts(others, age, means, means_shared, own_hard, targets, targets_shared)


def _strangeness(facts: _Facts) -> Floats:
    """How many facts speak for innocence: orders members of one belief."""
    age = np.nan_to_num(facts.age_days)
    out = (age > 3 * max(float(np.median(age)), 1.0)).astype(np.float64)
    for own in facts.own_hard.values():
        out += own
    return out + (facts.others < 0.5 * max(float(np.median(facts.others)), 1.0))


def _reasons(campaign: Campaign, facts: _Facts, at: int) -> tuple[str, ...]:
    member, size = campaign.members[at], campaign.size
    out = []
    median = float(np.median(facts.others))
    if facts.others[at] < 0.5 * median:
        out.append(
            f"shares something with {facts.others[at]} of {size - 1} others, the median member with {median:.0f}"
        )
    ages = facts.age_days[~np.isnan(facts.age_days)]
    age = facts.age_days[at]
    if not np.isnan(age) and len(ages) > 1 and age > 3 * max(float(np.median(ages)), 1.0):
        usual = stretch(int(max(float(np.median(ages)) * DAY_US, 60e6)))
        out.append(f"was {stretch(int(age * DAY_US))} old at the campaign's first tie, the median member {usual}")
    for name, own in facts.own_hard.items():
        if own[at]:
            out.append(f"has a {name} of its own, where others share theirs")
    if not member.hard and sum(one.hard for one in campaign.members) * 2 >= size:
        held = sum(one.hard for one in campaign.members)
        out.append(f"is held by no hard link, as {held} of {size} are")
    if facts.means[at] and not facts.means_shared[at] and np.median(facts.means_shared) > 0:
        out.append("shares none of its means (addresses, devices, clients …)")
    own_share = 1 - facts.targets_shared[at] / max(int(facts.targets[at]), 1)
    usual_share = float(np.median(1 - facts.targets_shared / np.maximum(facts.targets, 1)))
    if facts.targets[at] >= 4 and own_share > usual_share + 0.3:
        out.append(f"acts alone on {own_share:.0%} of what it acts upon, the median member on {usual_share:.0%}")
    if member.hub_share > 0.5:
        out.append(f"is tied by hubs: {member.hub_share:.0%} of what it touches is crowded")
    return tuple(out)


def _separates(beliefs: Floats, facts: _Facts) -> tuple[str, ...]:
    doubtful = beliefs < DOUBT
    if not doubtful.any() or doubtful.all():
        return ()
    count, out = int(doubtful.sum()), []
    told = (
        ("others that they share something with", facts.others.astype(np.float64), 1.0, "{:.0f}"),
        ("age at the first tie in days", facts.age_days, 5.0, "{:.0f}"),
        (
            "share of what they act upon that they act upon together",
            facts.targets_shared / np.maximum(facts.targets, 1),
            0.2,
            "{:.2f}",
        ),
        ("share of their means that they share", facts.means_shared / np.maximum(facts.means, 1), 0.2, "{:.2f}"),
    )
    for name, values, least, form in told:
        a, b = values[doubtful & ~np.isnan(values)], values[~doubtful & ~np.isnan(values)]
        if len(a) and len(b) and abs(float(np.median(a)) - float(np.median(b))) >= least:
            low, high = form.format(float(np.median(a))), form.format(float(np.median(b)))
            out.append(f"{name}: {low} in the median of the {count} doubtful, {high} of the rest")
    return tuple(out)
