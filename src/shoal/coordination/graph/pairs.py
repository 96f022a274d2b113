"""Evidence of relations: for each pair of accounts that share an entity under its cap, how much that says.

One `PairEvidence` a relation, in the relation's own units of worth (`hubs`). Pure.
"""

from __future__ import annotations

import numpy as np

from shoal.coordination.evidence import PairEvidence, empty
from shoal.coordination.graph import sharing_kernel as kernel
from shoal.coordination.graph.graph import Edges, EntityGraph
from shoal.coordination.graph.hubs import Hubs, RelationHubs
from shoal.coordination.relations import Strength
from shoal.errors import InvalidInput, Problem, Where, nearest_name


def relation_pairs(graph: EntityGraph, hubs: Hubs) -> list[PairEvidence]:
    """One `PairEvidence` for each relation of `graph`, in their order; pairs about which it says nothing are left out.

    Several shared entities add up, to at most `relation_cap` times the relation's best one; a soft one counts less the
    longer ago the other account left it. `hubs` must have been learned from this graph (`hubs.graph` otherwise).
    At most `most_pairs` a relation, 32 bytes each.
    """
    _check(graph, hubs)
    return [_pairs(edges, hubs.relations[name], hubs) for name, edges in graph.relations.items()]


def _check(graph: EntityGraph, hubs: Hubs) -> None:
    problems = []
    for name, edges in graph.relations.items():
        own, where = hubs.relations.get(name), Where(path=f"relations.{name}")
        if own is None:
            near = nearest_name(name, hubs.relations)
            problems.append(Problem("hubs.graph", "nothing was learned of this relation", where, nearest=near))
        elif len(own.popularity) != len(edges.entity_ids):
            message = f"{len(edges.entity_ids)} entities, where it was learned from {len(own.popularity)}"
            problems.append(Problem("hubs.graph", message, where, hint="learn from the graph at hand"))
    if problems:
        raise InvalidInput(problems)


def _pairs(edges: Edges, own: RelationHubs, hubs: Hubs) -> PairEvidence:
    hard = edges.relation.strength is Strength.HARD
    worth = own.value(own.popularity, own.stratum)
    room = int((own.popularity * (own.popularity - 1) // 2)[worth > 0].sum())
    if not room:
        return empty(own.relation, hard=hard)
    left, right, support = (np.empty(room, np.int64) for _ in range(3))
    llr = np.empty(room)
    most = float(worth.max()) * hubs.settings.relation_cap
    half_life_us = 0.0 if hard else hubs.settings.half_life_s * 1e6
    size = kernel.shared_pairs(
        edges.account_start, edges.entity, edges.account, edges.first, edges.last, edges.by_entity, edges.entity_start,
        worth, half_life_us, most, left, right, llr, support,
    )  # fmt: skip
    return PairEvidence(own.relation, left[:size], right[:size], llr[:size], support[:size], hard)
