"""Fusion: the evidence of all sources about a pair, added up to the probability of one hand, with caps.

Log-likelihood ratios add where sources are independent. Two guards keep them from adding up to more than they know:
sources that see the same fact (an address, its network, its operator) form a **family**, of which only the strongest
counts, and each family is capped as a share of what a tie needs, so that no soft one decides alone however strong it
thinks it is. The prior is the expected number of accomplices of a random account. Settings of the room live here, too.
Holds no state; knows accounts as codes only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from shoal.coordination.evidence import PairEvidence
from shoal.errors import InvalidInput, Problem, Where

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FAMILIES: Mapping[str, str] = {
    "ip": "address", "network": "address", "asn": "address",
    "asn_client": "client", "user_agent": "client", "device": "client",
    "link": "target", "coaction": "timing",
    "content": "content", "file_content": "content", "folder_tree": "content", "visitors": "content",
    "signup": "signup", "email_shape": "signup", "inviter": "signup",
}  # fmt: skip
"""Sources that see the same fact; one that is not named is a family of its own. `coaction` stands beside `link` because
when accounts act says more than on what; its own test asks for three objects and the null of their crowd."""

_RANGES: Mapping[str, tuple[float, float]] = {
    "partners": (1e-9, 1e3), "threshold": (0.01, 0.999), "soft_cap": (0.05, 0.99), "hard_cap": (1.0, 10.0),
    "resolution": (1e-6, 1.0), "min_size": (2, 1_000_000), "min_belief": (0.0, 1.0), "min_score": (0.0, 1.0),
    "prune": (0.0, 1.0), "hub": (2, 1_000_000_000), "max_entities": (0, 1_000_000),
}  # fmt: skip


@dataclass(frozen=True)
class CampaignSettings:
    """How evidence becomes campaigns.

    `partners`: accounts that a random account is expected to have one hand with (the prior odds of a pair are this over
    the number of other accounts). `threshold`: probability from which a pair is tied. `soft_cap`, `hard_cap`: the most
    that a family of soft, or a hard source may give, as a share of what a tie needs; below 1, no soft one is enough.
    `resolution`: density under which a group falls apart (constant Potts model). `min_size`: the smallest campaign.
    `min_belief`: members under it are left out. `min_score`: campaigns under it are not told (0 gives all candidates).
    `prune`: accounts whose given score is under this share of the mean one, and that no hard link holds, are left out
    before groups are formed. `hub`: an entity with more accounts than this is a hub, where the relation has no cap.
    `max_entities`: shared entities that a campaign names, the rarest and most shared first.
    """

    partners: float = 0.05
    threshold: float = 0.5
    soft_cap: float = 0.8
    hard_cap: float = 1.5
    families: Mapping[str, str] = field(default_factory=lambda: dict(FAMILIES))
    resolution: float = 0.05
    min_size: int = 3
    min_belief: float = 0.4
    min_score: float = 0.5
    prune: float = 0.25
    hub: int = 200
    max_entities: int = 200

    def __post_init__(self) -> None:
        problems = []
        for one in fields(self):
            if one.name not in _RANGES:
                continue
            low, high = _RANGES[one.name]
            value = getattr(self, one.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                problems.append(
                    Problem(
                        "campaigns.setting",
                        f"{value!r} is no value of {one.name}",
                        Where(path=one.name),
                        allowed=f"{low:g} to {high:g}",
                    )
                )
        if problems:
            raise InvalidInput(problems)


@dataclass(frozen=True)
class Fused:
    """Pairs with all their evidence: `left < right`, sorted. `logit` float64 [pairs]: posterior log-odds of one hand;
    `hard` bool [pairs]: a hard link speaks for it. What each source gave after the caps stands in long form, one row
    for a pair and a source that counted: `row_pair`, `row_source` (place in `sources`), `row_llr`, `row_support`,
    `row_hard`. `needed`: log-likelihood ratio that a tie needs."""

    accounts: int
    left: Ints
    right: Ints
    logit: Floats
    hard: Bools
    sources: tuple[str, ...]
    needed: float
    row_pair: Ints
    row_source: Ints
    row_llr: Floats
    row_support: Ints
    row_hard: Bools

    @property
    def size(self) -> int:
        """Number of pairs."""
        return len(self.left)

    @cached_property
    def posterior(self) -> Floats:
        """Probability of one hand, float64 [pairs]: the weight of the pair in communities."""
        return sigmoid(self.logit)

    def chosen(self, keep: Bools) -> Fused:
        """The pairs of a mask bool [pairs] only."""
        place = np.cumsum(keep) - 1
        rows = keep[self.row_pair]
        return Fused(
            self.accounts, self.left[keep], self.right[keep], self.logit[keep], self.hard[keep], self.sources,
            self.needed, place[self.row_pair[rows]], self.row_source[rows], self.row_llr[rows],
            self.row_support[rows], self.row_hard[rows],
        )  # fmt: skip


def sigmoid(logit: Floats) -> Floats:
    """Probability of log-odds, without overflow.

    >>> sigmoid(np.array([0.0, -1000.0])).tolist()
    [0.5, 0.0]
    """
    out: Floats = np.exp(-np.logaddexp(0.0, -logit))
    return out


def needed_llr(accounts: int, settings: CampaignSettings) -> float:
    """Log-likelihood ratio that lifts a pair of strangers over the threshold; at least 1, so that caps mean something
    where there are hardly any accounts."""
    prior = math.log(settings.partners / max(accounts - 1, 1))
    return max(math.log(settings.threshold / (1 - settings.threshold)) - prior, 1.0)


def fuse(pairs: Sequence[PairEvidence], settings: CampaignSettings, accounts: int) -> Fused:
    """Add the evidence of all sources per pair, capped, onto the prior odds.

    `accounts`: how many there are, for the prior and to check codes. A source may stand several times (a relation and a
    finder of one name, a hard and a soft part): of one family the strongest counts. Raises `InvalidInput` with all
    problems: an llr that is no number, codes that are unknown, pairs that stand twice or in disorder. Costs one sort of
    all rows.
    """
    check(pairs, accounts)
    names = tuple(dict.fromkeys(one.source for one in pairs if one.size))
    needed = needed_llr(accounts, settings)
    place = {name: i for i, name in enumerate(names)}
    family_names: dict[str, int] = {}
    parts: list[tuple[Ints, Ints, Ints, Floats, Ints, Bools]] = []
    for one in pairs:
        if not one.size:
            continue
        name = settings.families.get(one.source, f"own:{one.source}")
        family = family_names.setdefault(name, len(family_names))
        cap = needed * (settings.hard_cap if one.hard else settings.soft_cap)
        ones = np.ones(one.size, np.int64)
        parts.append(
            (
                one.left.astype(np.int64) * accounts + one.right, ones * place[one.source], ones * family,
                np.clip(one.llr, -cap, cap), one.support.astype(np.int64), np.full(one.size, one.hard),
            )
        )  # fmt: skip
    if not parts:
        none, floats = np.zeros(0, np.int64), np.zeros(0)
        no = none.astype(bool)
        return Fused(accounts, none, none, floats, no, names, needed, none, none, floats, none, no)
    keys, source, family_of, llr, support, hard = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((source, -llr, family_of, keys))
    keys, family_of = keys[order], family_of[order]
    first = np.ones(len(keys), bool)
    first[1:] = (keys[1:] != keys[:-1]) | (family_of[1:] != family_of[:-1])
    order, keys = order[first], keys[first]
    distinct, row_pair = np.unique(keys, return_inverse=True)
    llr, hard = llr[order], hard[order]
    total: Floats = np.bincount(row_pair, llr, len(distinct)).astype(np.float64)
    held = np.bincount(row_pair[hard & (llr > 0)], minlength=len(distinct)) > 0
    prior = math.log(settings.threshold / (1 - settings.threshold)) - needed
    return Fused(
        accounts, distinct // accounts, distinct % accounts, total + prior, held, names, needed,
        row_pair.astype(np.int64), source[order], llr, support[order], hard,
    )  # fmt: skip


def check(pairs: Sequence[PairEvidence], accounts: int) -> None:
    """Raise `InvalidInput` with all that is wrong with the evidence."""
    problems: list[Problem] = []
    for one in pairs:
        at = Where(path=f"pairs.{one.source}")
        if not one.size:
            continue
        if not np.isfinite(one.llr).all():
            count = int((~np.isfinite(one.llr)).sum())
            problems.append(Problem("campaigns.llr", f"{count} pairs have an llr that is no finite number", at))
        low, high = int(min(one.left.min(), one.right.min())), int(max(one.left.max(), one.right.max()))
        if low < 0 or high >= accounts:
            problems.append(
                Problem(
                    "campaigns.unknown_account",
                    f"a pair names account code {low if low < 0 else high}",
                    at,
                    allowed=f"0 to {accounts - 1}" if accounts else "none: the graph is empty",
                )
            )
        if (one.left >= one.right).any():
            problems.append(Problem("campaigns.pair_order", "a pair has left ≥ right", at, hint="left < right"))
        keys = one.left.astype(np.int64) * max(accounts, 1) + one.right
        if (np.diff(keys) <= 0).any():
            problems.append(
                Problem("campaigns.pair_twice", "pairs stand twice or in disorder", at, hint="sort by (left, right)")
            )
        if (one.support < 0).any():
            problems.append(Problem("campaigns.support", "a pair has a negative support", at))
    if problems:
        raise InvalidInput(problems)
