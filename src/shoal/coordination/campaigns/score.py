"""How likely a campaign is abusive: its features, and a score where nobody has labelled any.

A campaign is judged as one thing (cluster as unit: Xiao, Freeman, Hwa, AISec 2015): means over its members of what
each member shares, how young and how busy it is, and facts of the whole. Without labels a fixed sum of bounded terms
gives log-odds; its weights say what separates operations from families and offices, and were set by reasoning and on
scenarios of development, not fitted. Its interval is a Bayesian bootstrap over members (Rubin 1981), with draws from a
hash of the account so that a campaign's interval does not depend on the others. `unit` learns from labels instead.
Holds no state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoal.coordination.campaigns.fuse import Fused, sigmoid
from shoal.coordination.campaigns.groups import Groups
from shoal.coordination.campaigns.shared import Shared
from shoal.coordination.graph.graph import EntityGraph

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

DAY_US = 86_400_000_000
YOUNG_DAYS = 3.0
"""An account is young at its first tie with a decay of so many days."""
NEAR_S = 43_200
"""Accounts created within so many seconds of each other count as created together."""
DRAWS = 48

MEMBER_FEATURES = (
    "rarest", "means_joint", "targets_joint", "young", "created_near", "created_known", "hub_share", "belief", "hard",
    "busy", "lived", "score", "scored", "tied",
)  # fmt: skip
"""Of each member; a campaign has their means."""
GROUP_FEATURES = (
    "size", "families", "evidence", "hard_evidence", "timing_evidence", "target_evidence", "signup_evidence", "span",
    "growth_peak", "score_spread",
)  # fmt: skip
FEATURES = MEMBER_FEATURES + GROUP_FEATURES
"""Columns of `Features.matrix`, in order."""


@dataclass(frozen=True)
class Features:
    """`matrix` float64 [groups, features] in the order of `FEATURES`, without NaN; `members` float64 [members, member
    features]; `mean_score` float64 [groups]: the mean given score of members, NaN where none has one: the baseline
    that a model of campaigns must beat; `source_share` float64 [groups, sources]: share of the evidence by source."""

    matrix: Floats
    members: Floats
    mean_score: Floats
    source_share: Floats


def features(
    graph: EntityGraph, fused: Fused, groups: Groups, found: Shared, scores: Floats | None, created: Ints
) -> Features:
    """Features of each group. `scores` float64 [accounts] or None; `created` int64 [accounts], µs, -1 unknown."""
    members = _members(groups, found, scores, created)
    count = groups.count
    size = np.bincount(groups.group, minlength=count).astype(np.float64)
    means = np.stack(
        [np.bincount(groups.group, column, count) / np.maximum(size, 1) for column in members.T], axis=1
    ) if count else np.zeros((0, len(MEMBER_FEATURES)))  # fmt: skip
    share, hard_share = _source_share(fused, groups, count)
    timing, signup = (np.array([name == wanted for name in fused.sources], bool) for wanted in ("coaction", "signup"))
    target = np.array([_is_target(graph, name) for name in fused.sources], bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(share > 0, share * np.log(share), 0.0).sum(axis=1)
    tied = fused.logit[groups.pair] > 0
    pair_group, logit = groups.pair_group[tied], np.minimum(fused.logit[groups.pair][tied], 3 * fused.needed)
    ties = np.bincount(pair_group, minlength=count)
    first, last = _extent(groups.group, found.first, found.last, count)
    scored = _column(members, "scored")
    score = _column(members, "score")
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_score = np.bincount(groups.group, score * scored, count) / np.bincount(groups.group, scored, count)
    mean = np.nan_to_num(mean_score)
    spread = np.bincount(groups.group, scored * (score - mean[groups.group]) ** 2, count) / np.maximum(size, 1)
    whole = np.column_stack(
        [
            np.log2(np.maximum(size, 1)),
            np.exp(entropy),
            np.bincount(pair_group, logit, count) / np.maximum(ties, 1) / fused.needed,
            hard_share,
            share[:, timing].sum(axis=1),
            share[:, target].sum(axis=1),
            share[:, signup].sum(axis=1),
            np.log1p((last - first) / DAY_US),
            _peak(groups.group, found.first // DAY_US, count) / np.maximum(size, 1),
            np.sqrt(spread),
        ]
    )
    return Features(np.hstack([means, whole]), members, mean_score, share)


def _is_target(graph: EntityGraph, name: str) -> bool:
    return name in graph.relations and graph.relations[name].relation.role.value == "target"


def _column(members: Floats, name: str) -> Floats:
    return members[:, MEMBER_FEATURES.index(name)]


def _members(groups: Groups, found: Shared, scores: Floats | None, created: Ints) -> Floats:
    n = len(groups.account)
    made = created[groups.account] if n else np.zeros(0, np.int64)
    known = made >= 0
    age_days = np.maximum(found.first - made, 0) / DAY_US
    young = np.where(known, np.exp(-age_days / YOUNG_DAYS), 0.0)
    score = np.full(n, np.nan) if scores is None else scores[groups.account]
    return np.column_stack(
        [
            found.rarest,
            found.means_shared / np.maximum(found.means, 1),
            found.targets_shared / np.maximum(found.targets, 1),
            young,
            _created_near(groups.group, made, created),
            known,
            found.hubs / np.maximum(found.edges, 1),
            groups.belief,
            groups.hard,
            np.log1p(found.edges),
            np.log1p(found.lived_us / DAY_US),
            np.nan_to_num(score),
            ~np.isnan(score),
            groups.tied,
        ]
    ).astype(np.float64)


def _created_near(group: Ints, made: Ints, created: Ints) -> Floats:
    """Of each member: the share of the rest of its group made within half a day of it, over what is so of all
    accounts (a press wave makes many accounts in a day, too), in [0, 1]."""
    out = np.zeros(len(group))
    known = np.flatnonzero(made >= 0)
    if not len(known):
        return out
    seconds = made[known] // 1_000_000
    low = int(seconds.min()) - NEAR_S - 1
    stride = int(seconds.max()) - low + 2 * NEAR_S + 2
    key = group[known] * stride + (seconds - low)
    arranged = np.sort(key)
    near = np.searchsorted(arranged, key + NEAR_S, "right") - np.searchsorted(arranged, key - NEAR_S, "left") - 1
    size = np.bincount(group[known])[group[known]]
    everyone = np.sort(created[created >= 0] // 1_000_000)
    usual = np.searchsorted(everyone, seconds + NEAR_S, "right") - np.searchsorted(everyone, seconds - NEAR_S, "left")
    usual_share = (usual - near - 1) / np.maximum(len(everyone) - size, 1)
    out[known] = np.clip(near / np.maximum(size - 1, 1) - np.maximum(usual_share, 0.0), 0.0, 1.0)
    return out


def _source_share(fused: Fused, groups: Groups, count: int) -> tuple[Floats, Floats]:
    """Share of positive evidence by source within each group, float64 [groups, sources], rows summing to 1; and that
    of hard links, float64 [groups]."""
    of = np.full(fused.size, -1, np.int64)
    of[groups.pair] = groups.pair_group
    group = of[fused.row_pair]
    keep = (group >= 0) & (fused.row_llr > 0) & (fused.logit[fused.row_pair] > 0)
    width = max(len(fused.sources), 1)
    flat = np.bincount(group[keep] * width + fused.row_source[keep], fused.row_llr[keep], count * width)
    table = flat.reshape(count, width)[:, : len(fused.sources)]
    total = table.sum(axis=1, keepdims=True)
    total = np.where(total > 0, total, 1.0)
    firm = keep & fused.row_hard
    return np.asarray(table / total), np.bincount(group[firm], fused.row_llr[firm], count) / total[:, 0]


def _extent(group: Ints, first: Ints, last: Ints, count: int) -> tuple[Ints, Ints]:
    low, high = np.full(count, np.iinfo(np.int64).max), np.full(count, -1, np.int64)
    np.minimum.at(low, group, first)
    np.maximum.at(high, group, last)
    return low, high


def _peak(group: Ints, day: Ints, count: int) -> Ints:
    """The most members of a group whose first tie is of one day."""
    out = np.zeros(count, np.int64)
    pairs, sizes = np.unique(np.column_stack([group, day]), axis=0, return_counts=True)
    if len(pairs):
        np.maximum.at(out, pairs[:, 0], sizes)
    return out


BASE = -4.5
TERMS = (
    ("targets_joint", 5.0), ("means_joint", 0.5), ("rarest", 0.5), ("young", 1.2), ("created_near", 2.0),
    ("hub_share", -1.0), ("belief", 0.5), ("tied", 0.5),
)  # fmt: skip
"""Weights of member means in the score without labels."""
GROUP_TERMS = (
    ("size", 0.3, 4.0),
    ("timing_evidence", 3.5, 1.0),
    ("target_evidence", 0.5, 1.0),
    ("signup_evidence", 2.5, 1.0),
    ("hard_evidence", -1.5, 1.0),
)
"""Weights of facts of the whole, and the value over which they count no more. That hard links hold a group together
says who it is, not what it does: families and resellers share cards, too."""
SCORE_TERM = 1.5
"""Weight of the members' mean given score against the mean of all, in log-odds (bounded by two)."""


def unsupervised(made: Features, groups: Groups, ids: Ints, base_score: float | None) -> tuple[Floats, Floats, Floats]:
    """Probability, in form, that each group is abusive, with the 5th and 95th percentile of the bootstrap.

    `ids` int64 [members]: account ids. `base_score`: mean given score of all accounts, or None. Float64 [groups] each.
    """
    count = groups.count
    if not count:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    fixed = np.full(count, BASE)
    for name, weight, top in GROUP_TERMS:
        fixed += weight * np.minimum(made.matrix[:, FEATURES.index(name)], top)
    if base_score is not None:
        ratio = np.log(np.maximum(np.nan_to_num(made.mean_score, nan=base_score), 1e-9) / max(base_score, 1e-9))
        fixed += SCORE_TERM * np.clip(ratio / 2.0, -2.0, 2.0)
    weights = np.zeros(len(MEMBER_FEATURES))
    for name, weight in TERMS:
        weights[MEMBER_FEATURES.index(name)] = weight
    each = made.members @ weights
    size = np.bincount(groups.group, minlength=count)
    logit = fixed + np.bincount(groups.group, each, count) / size
    draws = np.empty((DRAWS, count))
    for i in range(DRAWS):
        share = -np.log(_uniform(ids, i))
        draws[i] = fixed + np.bincount(groups.group, each * share, count) / np.bincount(groups.group, share, count)
    low, high = np.quantile(draws, (0.05, 0.95), axis=0)
    score = sigmoid(logit)
    return score, np.minimum(sigmoid(low), score), np.maximum(sigmoid(high), score)


def _uniform(ids: Ints, draw: int) -> Floats:
    """A number in (0, 1) for each id and draw, by SplitMix64 (Steele, Lea, Flood 2014)."""
    seed = np.uint64(((draw + 1) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
    value = ids.astype(np.int64).view(np.uint64) + seed
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    value ^= value >> np.uint64(31)
    out: Floats = ((value >> np.uint64(11)).astype(np.float64) + 0.5) / float(1 << 53)
    return out
