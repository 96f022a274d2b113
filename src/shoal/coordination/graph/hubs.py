"""Hubs: how far a shared entity speaks for one hand, by relation and popularity, and from where on it says nothing.

An address of a household, a campus or a carrier is shared by people who never met. What a shared entity is worth is the
probability that two of its accounts have one hand behind them, learned by relation, kind of network and popularity (in
octaves): a prior by the strength of the relation, shrunk towards what labelled accounts show; and where many entities
of an octave are shared, the prior is bounded by the abuse that can be expected at all (a popularity at which a large
part of the accounts live is how people live). The cap is where the odds fall under twice the base rate. What is capped
joins nobody and remains as `hub_share`. Frozen once learned; knows accounts by code and labels by id.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from shoal.coordination.graph.graph import NETWORK_KINDS, Edges, EntityGraph
from shoal.coordination.relations import Role, Strength
from shoal.errors import InvalidInput, Problem, Where

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

OCTAVES = 24
"""Popularities are told apart by their octave: 2-3, 4-7, … accounts; the last one is open."""
STRATA = 3
HOME, CROWD, HOSTING = range(STRATA)
_STRATUM = np.array([{"mobile": CROWD, "office": CROWD, "vpn": CROWD, "hosting": HOSTING}.get(kind, HOME)
                     for kind in NETWORK_KINDS])  # fmt: skip
_STRATUM_FACTOR = (1.0, 0.2, 2.0)
"""How much likelier one hand is behind an address than elsewhere, by kind of network (home and unknown: 1)."""
_PRIORS: Mapping[tuple[Strength, Role], tuple[float, ...]] = {
    (Strength.HARD, Role.MEANS): (0.30, 0.60, 0.85, 0.85, 0.85),
    (Strength.HARD, Role.TARGET): (0.30, 0.60, 0.85, 0.85, 0.85),
    (Strength.SOFT, Role.MEANS): (0.15, 0.25, 0.30, 0.25, 0.12),
    (Strength.SOFT, Role.TARGET): (0.05, 0.08, 0.10, 0.10, 0.05),
}
"""Prior probability of one hand in the octaves 2-3, 4-7, 8-15, 16-31, 32-63; halved with every octave behind. Couples
and families share in the first, hands at work in the next, crowds in the last."""
_SPREAD = (0.20, 0.25, 0.25, 0.15, 0.08, 0.04)
"""Share of the accounts of one hand whose shared things lie in each octave; halved with every octave behind."""
_REUSE = {Strength.HARD: 0.3, Strength.SOFT: 0.5}
"""Share of the accounts of one hand that share a thing of one relation at all."""
_RANGES: Mapping[str, tuple[float, float]] = {
    "expected_bad": (1e-6, 0.4), "partners": (1e-9, 1e3), "tolerance": (1.0, 1e4), "least_lift": (1.0, 1e3),
    "shrinkage": (0.0, 1e6), "half_life_s": (1.0, 1e12), "most_pairs": (0, 2**40), "relation_cap": (1.0, 100.0),
}  # fmt: skip


@dataclass(frozen=True)
class HubSettings:
    """How caps and weights are learned.

    `expected_bad`: share of accounts expected to be abusive, the base rate. `partners`: accounts with which a random
    account is expected to have one hand; the prior odds of a pair, as the fusion has them. `tolerance`: how many times
    more abuse than expected is thought possible where nobody has looked. `least_lift`: an entity counts while the odds
    that it means one hand are at least this many times the base. `shrinkage`: labelled entities that weigh as much as
    the prior. `half_life_s`: a soft shared entity counts half where this lies between its two accounts' uses.
    `most_pairs`: pairs of one relation that are made at most; the most popular entities are left out for it.
    `relation_cap`: shared entities of one relation together count at most this many times its best one.
    """

    expected_bad: float = 0.005
    partners: float = 0.05
    tolerance: float = 10.0
    least_lift: float = 2.0
    shrinkage: float = 4.0
    half_life_s: float = 30 * 86_400.0
    most_pairs: int = 10_000_000
    relation_cap: float = 1.5

    def __post_init__(self) -> None:
        problems = []
        for one in fields(self):
            low, high = _RANGES[one.name]
            value = getattr(self, one.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                message = f"{value!r} is no value of {one.name}"
                problems.append(Problem("hubs.setting", message, Where(path=one.name), f"{low:g} to {high:g}"))
        if problems:
            raise InvalidInput(problems)


@dataclass(frozen=True)
class Known:
    """Labelled accounts: `ids` int64 [n], each once, and whether each is abusive, `bad` bool [n]."""

    ids: Ints
    bad: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RelationHubs:
    """What was learned of one relation.

    `caps` int64 [strata]: entities with more accounts join nobody (1: none does), by kind of network (home or unknown;
    mobile, office, vpn; hosting). `why`: what set the largest cap: `learned`, `cold`, `given`, `pairs`. `odds` and
    `llr` float64 [strata, octaves]: log-odds that two accounts of an entity have one hand, and the log-likelihood ratio
    that the fusion gets for it (0 where the lift is too small). `alpha`: the relation's worth, such that
    `alpha / log(2 + n)` fits `llr`. `popularity` int64, `weight` float64, `stratum` int64 [entities]: accounts of each
    entity, `alpha · decay / log(2 + n)` (0 above the cap), and its kind of network. `labelled`: entities with two
    labelled accounts or more.
    """

    relation: str
    caps: Ints
    why: str
    odds: Floats
    llr: Floats
    alpha: float
    popularity: Ints
    weight: Floats
    stratum: Ints
    labelled: int

    @property
    def cap(self) -> int:
        """The largest cap."""
        return int(self.caps.max())

    def value(self, popularity: Ints, stratum: Ints | int = HOME) -> Floats:
        """The log-likelihood ratio of one shared entity of these popularities: that of its octave, and falling in a
        straight line over the logarithm where the next one is worth less; 0 above the cap and for one account."""
        place = np.log2(np.maximum(popularity, 1))
        own = np.clip(place.astype(np.int64) - 1, 0, OCTAVES - 1)
        part = np.clip(place - _CENTRES[own], 0.0, 1.0)
        kind = np.broadcast_to(np.asarray(stratum, np.int64), np.shape(popularity))
        here, behind = self.llr[kind, own], self.llr[kind, np.minimum(own + 1, OCTAVES - 1)]
        found = here + part * np.minimum(behind - here, 0.0)
        out: Floats = np.where((popularity >= 2) & (popularity <= self.caps[kind]), found, 0.0)
        return out


_CENTRES = np.log2(np.array([1.5 * 2**octave for octave in range(1, OCTAVES + 1)]) - 0.5)
"""Middles of the octaves, log2 of a number of accounts."""


@dataclass(frozen=True)
class Hubs:
    """Caps, weights and worth by relation. `hub_share` float64 [accounts]: share of an account's edges, over all
    relations, whose entity is above its cap. `grounds`: `labels`, or `cold start` where there were none of one class.
    `unknown`: labelled ids that the graph does not have."""

    settings: HubSettings
    relations: Mapping[str, RelationHubs]
    hub_share: Floats
    grounds: str
    unknown: int

    def llr(self, relation: str, popularity: npt.ArrayLike, kind: str = "unknown") -> Floats:
        """The log-likelihood ratio of one shared entity with `popularity` accounts, in a network of `kind` (one of
        `NETWORK_KINDS`). Raises KeyError for a relation that it does not know."""
        return self.relations[relation].value(np.asarray(popularity, np.int64), _STRATUM[NETWORK_KINDS.index(kind)])


def learn_hubs(graph: EntityGraph, known: Known | None = None, settings: HubSettings = HubSettings()) -> Hubs:
    """Learn caps and weights of all relations of a graph, from labelled accounts or (cold start) without any.

    Raises `InvalidInput` (`hubs.labels`) for labels of unequal lengths and for an id that stands twice. Labels of one
    class only are as none. Costs a pass over the edges of each relation.
    """
    labels, unknown = _labels(graph, known)
    relations = {name: _learn(edges, graph, labels, settings) for name, edges in graph.relations.items()}
    ties, capped = np.zeros(graph.accounts), np.zeros(graph.accounts)
    for name, edges in graph.relations.items():
        own = relations[name]
        above = own.popularity > np.maximum(own.caps[own.stratum], 1)
        ties += np.diff(edges.account_start)
        capped += np.bincount(edges.account[above[edges.entity]], minlength=graph.accounts)
    share: Floats = np.divide(capped, ties, out=np.zeros(graph.accounts), where=ties > 0)
    return Hubs(settings, relations, share, "cold start" if labels is None else "labels", unknown)


def _labels(graph: EntityGraph, known: Known | None) -> tuple[Floats | None, int]:
    """float64 [accounts]: 1 bad, 0 good, NaN unknown; None where a class has nobody. And how many ids are unknown."""
    if known is None:
        return None, 0
    ids, bad = np.asarray(known.ids, np.int64), np.asarray(known.bad)
    if ids.ndim != 1 or ids.shape != bad.shape or bad.dtype != np.bool_:
        message = f"ids of shape {ids.shape} and labels of {bad.dtype} {bad.shape}"
        raise InvalidInput(Problem("hubs.labels", message, allowed="int64 [n] and bool [n]"))
    if len(np.unique(ids)) != len(ids):
        raise InvalidInput(Problem("hubs.labels", "an account is labelled twice", allowed="each once"))
    codes = graph.codes(ids)
    labels = np.full(graph.accounts, np.nan)
    labels[codes[codes >= 0]] = bad[codes >= 0]
    unknown = int((codes < 0).sum())
    return (labels if 0 < np.nansum(labels) < np.isfinite(labels).sum() else None), unknown


def _learn(edges: Edges, graph: EntityGraph, labels: Floats | None, settings: HubSettings) -> RelationHubs:
    popularity = np.diff(edges.entity_start)
    stratum = np.zeros(len(popularity), np.int64) if edges.kinds is None else _STRATUM[edges.kinds]
    octave = np.clip(np.log2(np.maximum(popularity, 1)).astype(np.int64) - 1, -1, OCTAVES - 1)
    shared = octave >= 0
    entities = np.zeros((STRATA, OCTAVES))
    np.add.at(entities, (stratum[shared], octave[shared]), 1.0)
    chance = _cold(edges, graph.accounts, entities, settings)
    labelled = 0
    if labels is not None:
        chance, labelled = _shrunk(edges, labels, stratum, octave, chance, settings)
    odds = np.log(chance) - np.log1p(-chance)
    base = math.log(settings.expected_bad / (1 - settings.expected_bad))
    caps = np.array([_cap(odds[kind] - base, entities[kind], settings) for kind in range(STRATA)])
    llr = _worth(odds, base, graph.accounts, settings)
    llr[odds - base < math.log(settings.least_lift)] = 0.0
    useful = shared & (llr[stratum, np.maximum(octave, 0)] > 0) & (popularity <= caps[stratum])
    caps, why = _bounded(edges, popularity[useful], caps, "cold" if labels is None else "learned", settings)
    alpha = _alpha(llr, entities, caps)
    last = np.full(len(popularity), np.iinfo(np.int64).min)
    np.maximum.at(last, edges.entity, edges.last)
    decay = _decay(np.maximum(graph.now - last, 0), edges.relation.strength, settings)
    weight = np.where((popularity > 1) & (popularity <= caps[stratum]), alpha * decay / np.log(2.0 + popularity), 0.0)
    return RelationHubs(
        edges.relation.id, caps, why, odds, llr, alpha, popularity, weight, stratum, labelled,
    )  # fmt: skip


def _decay(gap_us: Ints, strength: Strength, settings: HubSettings) -> Floats:
    """How much a thing still counts, `gap_us` behind its last use; a hard one always does."""
    if strength is Strength.HARD:
        return np.ones(len(gap_us))
    decay: Floats = np.exp2(-gap_us / (settings.half_life_s * 1e6))
    return decay


def _cold(edges: Edges, accounts: int, entities: Floats, settings: HubSettings) -> Floats:
    """Probability of one hand by stratum and octave from priors and counts alone, in (0, 1).

    Of the entities of an octave, those of abusive hands are at most as many as the abuse that is expected there (times
    the tolerance, and two more, since hands are few) makes; where there are more, the rest is how people live."""
    relation = edges.relation
    levels, spread = _PRIORS[relation.strength, relation.role], _SPREAD
    octaves = np.arange(OCTAVES)
    late = np.maximum(octaves - (len(levels) - 1), 0)
    prior = np.array(levels)[np.minimum(octaves, len(levels) - 1)] * 0.5**late
    rate = np.array(spread)[np.minimum(octaves, len(spread) - 1)] * 0.5 ** np.maximum(octaves - len(spread) + 1, 0)
    expected = settings.expected_bad * _REUSE[relation.strength] * rate * accounts / (1.5 * 2.0 ** (octaves + 1))
    bound = (settings.tolerance * expected + 2.0) / np.maximum(entities, 1.0)
    factors = np.array(_STRATUM_FACTOR)[:, np.newaxis] if edges.kinds is not None else np.ones((STRATA, 1))
    chance: Floats = np.clip(prior * factors, 0.0, 0.9) * np.minimum(bound, 1.0)
    return np.maximum(chance, 1e-9)


def _shrunk(
    edges: Edges, labels: Floats, stratum: Ints, octave: Ints, cold: Floats, settings: HubSettings
) -> tuple[Floats, int]:
    """The chance by stratum and octave as labelled accounts show it, shrunk towards the cold one; entities counted.

    Each entity with two labelled accounts or more is one observation: the share of its labelled pairs that are both
    abusive. Accounts are weighted so that the labelled ones have the expected share of abusive ones."""
    own = labels[edges.account]
    bad = np.bincount(edges.entity, np.nan_to_num(own), len(octave))
    seen = np.bincount(edges.entity, np.isfinite(own), len(octave))
    base = float(np.nansum(labels) / np.isfinite(labels).sum())
    weight_bad, weight_good = settings.expected_bad / base, (1 - settings.expected_bad) / (1 - base)
    useful = (seen > 1) & (octave >= 0)
    bad, seen = bad[useful], seen[useful]
    both = bad * (bad - 1) / (seen * (seen - 1))
    weight = (bad * weight_bad + (seen - bad) * weight_good) / seen
    at = (stratum[useful], octave[useful])
    found, total, count = np.zeros(cold.shape), np.zeros(cold.shape), np.zeros(cold.shape)
    for into, values in ((found, weight * both), (total, weight), (count, np.ones(len(weight)))):
        np.add.at(into, at, values)
    mean = np.divide(found, total, out=np.zeros(cold.shape), where=total > 0)
    if settings.shrinkage == 0:
        return np.clip(np.where(count > 0, mean, cold), 1e-9, 1 - 1e-4), int(useful.sum())
    chance = (count * mean + settings.shrinkage * cold) / (count + settings.shrinkage)
    return np.clip(chance, 1e-9, 1 - 1e-4), int(useful.sum())


def _cap(lift: Floats, entities: Floats, settings: HubSettings) -> int:
    """The popularity above which the lift (log) is too small: the first octave behind the best one where it is.

    The best is looked for among octaves that have entities, where any has."""
    there = np.where(entities > 0, lift, -np.inf) if np.any(entities > 0) else lift
    best, least = int(np.argmax(there)), math.log(settings.least_lift)
    if lift[best] < least:
        return 1
    behind = np.flatnonzero(lift[best:] < least)
    return int(2 ** (best + 1 + int(behind[0])) - 1) if len(behind) else (2**62)


def _bounded(edges: Edges, popularity: Ints, caps: Ints, why: str, settings: HubSettings) -> tuple[Ints, str]:
    """The caps under the one that is given, and under the number of pairs that may be made of entities of these
    popularities."""
    given = edges.relation.cap
    if given is not None and given < int(caps.max()):
        caps, why, popularity = np.minimum(caps, given), "given", popularity[popularity <= given]
    sizes, number = np.unique(popularity, return_counts=True)
    pairs = np.cumsum(sizes.astype(np.float64) * (sizes - 1) / 2 * number)
    if len(pairs) and pairs[-1] > settings.most_pairs:
        fitting = sizes[pairs <= settings.most_pairs]
        return np.minimum(caps, int(fitting[-1]) if len(fitting) else 1), "pairs"
    return caps, why


def _worth(odds: Floats, base: float, accounts: int, settings: HubSettings) -> Floats:
    """Log-likelihood ratios in the units of the fusion: 0 where the odds are the base rate's, as much as a tie needs
    where they are even, and so that the posterior is the probability itself above that.

    Below even odds the base rate, not the far smaller share of all pairs, stands for strangers: people who share an
    address share the network, the provider and the client as well, and full ratios against random pairs would count
    that one fact again and again."""
    needed = max(-math.log(settings.partners / max(accounts - 1, 1)), 1.0)
    below = needed * (np.minimum(odds, 0.0) - base) / -base
    worth: Floats = np.maximum(below, 0.0) + np.maximum(odds, 0.0)
    return worth


def _alpha(llr: Floats, entities: Floats, caps: Ints) -> float:
    """The one number such that alpha / log(2 + n) fits the octaves under the cap best, weighted by their entities."""
    middle = 2.0**_CENTRES
    shape = np.broadcast_to(1.0 / np.log(2.0 + middle), llr.shape)
    counted = entities * (middle <= caps[:, np.newaxis])
    if not counted.sum():
        counted = 1.0 * (middle <= caps[:, np.newaxis]) * 0.5 ** np.arange(OCTAVES)
    total = float((counted * shape * shape).sum())
    return float((counted * shape * llr).sum()) / total if total else 0.0
