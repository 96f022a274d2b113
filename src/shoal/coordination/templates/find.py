"""From sign-ups to clusters and pair evidence: the room's front door.

`find` compares (blocking, weights), gathers obvious pairs into seeds, level by level from the surest to the doubtful,
grows each into a template (mixture), and keeps what gains more than its look-elsewhere cost. A `SignUpCluster` says who
belongs, how surely, and what they have in common, in numbers (`features`) and words. Pure; the same sign-ups give the
same clusters in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from shoal.coordination.evidence import PairEvidence, empty
from shoal.coordination.graph import EntityGraph
from shoal.coordination.templates.blocking import candidates, context
from shoal.coordination.templates.features import FEATURES, features_of
from shoal.coordination.templates.fields import HARD
from shoal.coordination.templates.mixture import Mixture, grow, settle
from shoal.coordination.templates.settings import Settings
from shoal.coordination.templates.signups import Ints, SignUps
from shoal.coordination.templates.weights import Floats, Weighed, weigh
from shoal.coordination.templates.words import words_of

SOURCE = "signup"
LEVELS = (1.0, 0.2, 0.04, 0.01)
"""Seeds are sought among pairs of at least this much of `Settings.belief`, one level after the other."""
MOST = 12.0
"""No pair is told to be likelier of one hand than e^12 to one by its sign-ups alone."""
TOLD = 1.0
"""Pairs of less evidence than this are not told."""
NEXT = 8
"""With how many of the next members each member of a cluster is paired."""
SEED = 3
COST, SLOPE = 4.0, 4.0
"""A cluster's score is one half where it gains `COST` nats for each nat of the number of sign-ups."""


@dataclass(frozen=True)
class SignUpCluster:
    """Sign-ups of one template. `rows` int64 [members]: places in the sign-up table, in order of time; `accounts`
    int64 [members]: keyed ids; `belief` float64 [members] in [0, 1]: how surely each belongs. `score` in [0, 1]: how
    surely the whole is no coincidence. `features`: numbers for a model of clusters, names in `FEATURES`.
    `words`: what they have in common, the most telling first."""

    rows: Ints
    accounts: Ints
    belief: Floats
    score: float
    first: int
    last: int
    features: Mapping[str, float]
    words: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self.rows)


@dataclass(frozen=True)
class Templates:
    """What was found among sign-ups: clusters by falling score, and the pairs that speak."""

    signups: SignUps
    clusters: tuple[SignUpCluster, ...]
    pairs: Weighed

    def evidence(self, graph: EntityGraph) -> tuple[PairEvidence, ...]:
        """The pairs as evidence over the accounts of a graph: source `signup`, apart those that share a card, phone or
        recovery address (`hard`). Pairs with an account that the graph does not know are left out.

        Within a cluster each member is tied to the next few, so that pairs grow with members, not with their square.
        """
        code = graph.codes(self.signups.account)
        left, right, llr, support, hard = self._told()
        one, other = code[left], code[right]
        known = (one >= 0) & (other >= 0)
        one, other = np.minimum(one, other), np.maximum(one, other)
        order = np.lexsort((other, one))
        order = order[known[order]]
        out = []
        for kind in (False, True):
            take = order[hard[order] == kind]
            if len(take):
                out.append(PairEvidence(SOURCE, one[take], other[take], llr[take], support[take], kind))
        return tuple(out) or (empty(SOURCE),)

    def table(self) -> pa.Table:
        """The clusters' features, one row a cluster: `cluster` (its place), `score`, and the names in `FEATURES`."""
        columns = {name: pa.array([one.features[name] for one in self.clusters], pa.float64()) for name in FEATURES}
        place = pa.array(range(len(self.clusters)), pa.int64())
        return pa.table(
            {"cluster": place, "score": pa.array([one.score for one in self.clusters], pa.float64()), **columns}
        )

    def _told(self) -> tuple[Ints, Ints, Floats, Ints, npt.NDArray[np.bool_]]:
        """Pairs that speak: (left row, right row, llr, families shared, hard), each once."""
        size = max(self.signups.size, 1)
        pairs = self.pairs
        shared = (pairs.shared >= 0) & (pairs.llr > 0)
        hard_at = [at for at, name in enumerate(pairs.families) if name in HARD]
        told = np.flatnonzero(pairs.total >= TOLD)
        hard_key = (
            (pairs.left * size + pairs.right)[shared[:, hard_at].any(axis=1)] if hard_at else np.zeros(0, np.int64)
        )
        key = [(pairs.left * size + pairs.right)[told]]
        llr = [np.minimum(pairs.total[told], MOST)]
        support = [np.maximum(shared[told].sum(axis=1), 1)]
        for cluster in self.clusters:
            for step in range(1, min(NEXT, cluster.size - 1) + 1):
                one, other = cluster.rows[:-step], cluster.rows[step:]
                both = np.clip(cluster.belief[:-step] * cluster.belief[step:] * cluster.score, 1e-9, 1 - 1e-6)
                key.append(one * size + other)
                llr.append(np.clip(np.log(both / (1 - both)) + MOST, 0, MOST))
                support.append(np.full(len(one), max(int(cluster.features["families"]), 1)))
        keys, values, counts = np.concatenate(key), np.concatenate(llr), np.concatenate(support)
        order = np.lexsort((-values, keys))
        _, first = np.unique(keys[order], return_index=True)
        best = order[first]
        return keys[best] // size, keys[best] % size, values[best], counts[best], np.isin(keys[best], hard_key)


def find(signups: SignUps, settings: Settings | None = None) -> Templates:
    """Clusters of sign-ups that were made by one template, without labels.

    Cost: some 0.2 ms of CPU a sign-up, in time and memory proportional to sign-ups × fields × neighbours.
    """
    settings = settings or Settings()
    left, right, by = candidates(signups, settings.neighbours)
    pairs = weigh(signups, left, right, by, settings)
    around = context(signups)
    group = np.full(signups.size, -1, np.int64)
    mixture = Mixture(group, np.full(signups.size, -np.inf), np.zeros((signups.size, 0)), ())
    for level in LEVELS:
        seeded = _seeded(group, pairs, settings.belief * level)
        mixture = grow(signups, seeded, around, settings.least)
        group = mixture.group
    mixture = settle(signups, mixture, around, settings.least)
    group = mixture.group
    found = [_cluster(signups, mixture, rows) for rows in _members(group)]
    kept = [one for one in found if one.score >= settings.score]
    kept.sort(key=lambda one: (-one.score, -one.size, one.first, int(one.accounts[0])))
    return Templates(signups, tuple(kept), pairs)


def _seeded(group: Ints, pairs: Weighed, belief: float) -> Ints:
    """The groups, and beside them those of free sign-ups that pairs of some belief tie together, three at least."""
    free = group < 0
    ties = (pairs.belief > belief) & free[pairs.left] & free[pairs.right]
    if not ties.any():
        return group
    shape = (len(group), len(group))
    matrix = coo_matrix((np.ones(int(ties.sum()), np.int8), (pairs.left[ties], pairs.right[ties])), shape=shape)
    _, label = connected_components(matrix, directed=False)
    big = free & (np.bincount(label)[label] >= SEED)
    return np.where(big, int(group.max(initial=-1)) + 1 + label.astype(np.int64), group)


def _members(group: Ints) -> list[Ints]:
    """The rows of each group, ascending, by their first."""
    rows = np.flatnonzero(group >= 0)
    rows = rows[np.argsort(group[rows], kind="stable")]
    return [part for part in np.split(rows, np.flatnonzero(np.diff(group[rows])) + 1) if len(part)]


def _cluster(signups: SignUps, mixture: Mixture, rows: Ints) -> SignUpCluster:
    odds, parts = mixture.odds[rows], mixture.parts[rows]
    features = features_of(signups, rows, odds, parts, mixture.families)
    # a template may be sought anywhere: what it gains must pay for having been chosen among so many
    cost = COST * np.log(max(signups.size, 2))
    score = float(1.0 / (1.0 + np.exp(np.clip(-(features["gain"] - cost) / SLOPE, -60, 60))))
    belief = 1.0 / (1.0 + np.exp(-np.clip(odds, -30, 30)))
    return SignUpCluster(
        rows, signups.account[rows], belief, score, int(signups.time[rows[0]]), int(signups.time[rows[-1]]), features,
        words_of(signups, rows, features),
    )  # fmt: skip
