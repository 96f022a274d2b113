"""From evidence about pairs to campaigns: fuse, form groups, judge each as a whole, tell why.

The one entry of the room (`find`); `incremental` calls the parts (`assemble`) for what was touched only. Pure: arrays
in, `Campaign`s out, the strongest first; the same input gives the same campaigns, ids included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from shoal.coordination.campaigns.campaign import Campaign, Member, SharedEntity
from shoal.coordination.campaigns.fuse import CampaignSettings, Fused, fuse
from shoal.coordination.campaigns.groups import Groups, form
from shoal.coordination.campaigns.identity import fresh_id
from shoal.coordination.campaigns.score import DAY_US, FEATURES, Features, features, unsupervised
from shoal.coordination.campaigns.shared import Shared, shared
from shoal.coordination.campaigns.words import Tellers, creation_words, joint_words
from shoal.coordination.evidence import PairEvidence
from shoal.coordination.graph.graph import EntityGraph
from shoal.errors import InvalidInput, Problem, Where

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

Describe = Callable[[Ints], Sequence[str]]
"""What the sign-ups of some accounts (ids) have in common, in words: `coordination.templates` gives one."""


class Judge(Protocol):
    """A fitted model of campaigns (`unit.UnitModel`)."""

    def predict(self, matrix: Floats) -> tuple[Floats, Floats, Floats]:
        """Probability, low and high for rows of `score.FEATURES`."""
        ...


@dataclass(frozen=True)
class Candidates:
    """Groups with all that is known of them, before any is told or left out: what a model is fitted on. The rows of
    `features.matrix` are the groups; `score`, `low`, `high` float64 [groups]."""

    graph: EntityGraph
    fused: Fused
    groups: Groups
    shared: Shared
    features: Features
    created: Ints
    score: Floats
    low: Floats
    high: Floats

    @property
    def count(self) -> int:
        """Number of candidates."""
        return self.groups.count

    def members(self, group: int) -> Ints:
        """Account codes of a candidate."""
        members: Ints = self.groups.account[self.groups.group == group]
        return members


def candidates(
    graph: EntityGraph,
    fused: Fused,
    settings: CampaignSettings,
    *,
    scores: Floats | None = None,
    created: Ints | None = None,
    model: Judge | None = None,
    caps: Mapping[str, float] | None = None,
    among: Bools | None = None,
) -> Candidates:
    """All groups, judged. `among` bool [accounts]: only these accounts, whole components; see `find` for the rest."""
    made = graph.created if created is None else created
    if made.shape != (graph.accounts,):
        where = Where(path="created")
        raise InvalidInput(Problem("campaigns.created", f"{made.shape} times for {graph.accounts} accounts", where))
    groups = form(fused, settings, scores, among)
    found = shared(graph, groups, settings, caps)
    judged = features(graph, fused, groups, found, scores, made)
    if model is not None:
        score, low, high = model.predict(judged.matrix)
    else:
        known = scores is not None and not np.isnan(scores).all()
        base = float(np.nanmean(scores)) if known and scores is not None else None
        score, low, high = unsupervised(judged, groups, graph.account_ids[groups.account], base)
    return Candidates(graph, fused, groups, found, judged, made, score, low, high)


def find(
    graph: EntityGraph,
    pairs: Sequence[PairEvidence],
    settings: CampaignSettings | None = None,
    *,
    scores: Floats | None = None,
    created: Ints | None = None,
    model: Judge | None = None,
    caps: Mapping[str, float] | None = None,
    describe: Describe | None = None,
) -> tuple[Campaign, ...]:
    """Campaigns of a graph, the most probable first.

    `pairs`: evidence of all sources, accounts as codes of `graph`. `scores` float64 [accounts]: probability that each
    is abusive, NaN unknown: prunes, and speaks in belief and score. `created` int64 [accounts]: µs, -1 unknown, in
    place of the graph's. `model`: learned from labelled campaigns; without it the score is unsupervised. `caps`:
    popularity from which an entity of a relation is a hub. `describe`: templates in words. Raises `InvalidInput` with
    all problems of the evidence. An empty graph, or no pairs, give no campaigns.
    """
    chosen = settings or CampaignSettings()
    fused = fuse(pairs, chosen, graph.accounts)
    made = candidates(graph, fused, chosen, scores=scores, created=created, model=model, caps=caps)
    return assemble(made, chosen, describe)


def assemble(made: Candidates, settings: CampaignSettings, describe: Describe | None = None) -> tuple[Campaign, ...]:
    """Campaign objects of the candidates that reach `min_score`, the most probable first."""
    tellers = Tellers(made.fused, made.groups, made.shared.relations)
    start = np.searchsorted(made.groups.group, np.arange(made.count + 1))
    told = [
        _campaign(made, settings, tellers, group, slice(int(start[group]), int(start[group + 1])), describe)
        for group in np.flatnonzero(made.score >= settings.min_score).tolist()
    ]
    return ranked(told)


def ranked(campaigns: Sequence[Campaign]) -> tuple[Campaign, ...]:
    """The most probable first, then the larger, then by id."""
    return tuple(sorted(campaigns, key=lambda one: (-one.score, -one.size, one.id)))


def _campaign(
    made: Candidates, settings: CampaignSettings, tellers: Tellers, group: int, span: slice, describe: Describe | None
) -> Campaign:
    members = _members(made, span)
    codes = made.groups.account[span]
    first = min(one.first for one in members)
    share = made.features.source_share[group]
    joint = float(made.features.matrix[group, FEATURES.index("targets_joint")])
    evidence = [
        *tellers.tell(group, len(members), share),
        *creation_words(made.created[codes], made.shared.first[span]),
        *joint_words(joint),
    ]
    days, counts = np.unique(made.shared.first[span] // DAY_US * DAY_US, return_counts=True)
    return Campaign(
        id=fresh_id(members, first),
        members=members,
        entities=_entities(made, settings, tellers, group),
        relations=tuple(
            (made.fused.sources[i], float(share[i])) for i in np.argsort(-share, kind="stable") if share[i] > 0
        ),
        first=first,
        last=max(one.last for one in members),
        growth=tuple(zip(days.tolist(), counts.tolist(), strict=True)),
        templates=tuple(describe(made.graph.account_ids[codes])) if describe else (),
        evidence=tuple(evidence),
        score=float(made.score[group]),
        low=float(made.low[group]),
        high=float(made.high[group]),
        expected_innocents=float(sum(1 - one.belief for one in members)),
        read=made.graph.read,
    )


def _members(made: Candidates, span: slice) -> tuple[Member, ...]:
    """Members, the surest first."""
    ids = made.graph.account_ids[made.groups.account[span]]
    hub = made.shared.hubs[span] / np.maximum(made.shared.edges[span], 1)
    rows = zip(
        ids.tolist(), made.groups.belief[span].tolist(), made.groups.hard[span].tolist(),
        made.shared.first[span].tolist(), made.shared.last[span].tolist(), hub.tolist(), strict=True,
    )  # fmt: skip
    return tuple(sorted((Member(*row) for row in rows), key=lambda one: (-one.belief, one.account)))


def _entities(made: Candidates, settings: CampaignSettings, tellers: Tellers, group: int) -> tuple[SharedEntity, ...]:
    """Shared entities, those first that say most: many members, hardly anybody else."""
    out = []
    for one in made.shared.relations:
        for row in tellers.rows(one.relation.id, group).tolist():
            out.append(
                SharedEntity(
                    one.relation.id, int(one.entity[row]), int(one.inside[row]), int(one.outside[row]),
                    float(one.weight[row]), int(one.first[row]), int(one.last[row]),
                )
            )  # fmt: skip
    out.sort(key=lambda one: (-one.weight * one.members, one.relation, one.entity))
    return tuple(out[: settings.max_entities])
