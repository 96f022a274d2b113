"""Graphs made of a graph: as it was at a time, and with edges that were derived elsewhere. Pure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from shoal.coordination.graph.build import GraphBuilder
from shoal.coordination.graph.graph import Edges, EntityGraph
from shoal.coordination.graph.store import NO_KIND, Ties
from shoal.coordination.relations import Relation
from shoal.errors import InvalidInput, Problem, Where

Ints = npt.NDArray[np.int64]


def as_of(graph: EntityGraph | GraphBuilder, time: int) -> EntityGraph:
    """What of a graph was there at `time` (µs UTC): the edges first seen by then, under the same codes.

    Nothing of what came later shows through: `last` is cut to `time`, `count` is 1 where the pair was seen again later
    (how often by then is not kept), network kinds are left out where they may be younger, and accounts made later are
    there without a time and without edges. `read` is that of the whole graph.
    """
    whole = graph.graph() if isinstance(graph, GraphBuilder) else graph
    relations = {name: _until(edges, time) for name, edges in whole.relations.items()}
    created = np.where(whole.created > time, -1, whole.created)
    return replace(whole, created=created, relations=relations, now=min(whole.now, time))


def _until(edges: Edges, time: int) -> Edges:
    kept = edges.first <= time
    start = np.concatenate([[0], np.cumsum(kept)])[edges.account_start].astype(np.int64)
    last = edges.last[kept]
    count = np.where(last > time, 1, edges.count[kept])
    kinds = edges.kinds
    if kinds is not None:
        later = np.zeros(len(edges.entity_ids), np.bool_)
        later[edges.entity[edges.last > time]] = True
        kinds = np.where(later, 0, kinds).astype(np.uint8)
    return Edges(
        edges.relation, edges.entity_ids, start, edges.entity[kept], edges.first[kept], np.minimum(last, time), count,
        kinds,
    )  # fmt: skip


def _within(codes: Ints, size: int) -> bool:
    return int(codes.min()) >= 0 and int(codes.max()) < size


def edges_of(graph: EntityGraph, relation: Relation, accounts: Ints, entities: Ints, times: Ints) -> Edges:
    """Edges of a derived relation, from account codes of `graph`, entity ids and times (µs UTC), each int64 [n].

    Raises `InvalidInput` (`graph.pairs`) for arrays of unequal lengths and codes that the graph does not have.
    """
    where = Where(path=f"relations.{relation.id}")
    if not len(accounts) == len(entities) == len(times):
        sizes = f"{len(accounts)}, {len(entities)}, {len(times)}"
        raise InvalidInput(Problem("graph.pairs", f"arrays of lengths {sizes}", where, "one length"))
    if len(accounts) and not _within(accounts, graph.accounts):
        message = f"account codes from {accounts.min()} to {accounts.max()}"
        raise InvalidInput(Problem("graph.pairs", message, where, f"0 to {graph.accounts - 1}"))
    ties = Ties(relation, 0)
    own = [np.ascontiguousarray(array, np.int64) for array in (accounts, entities, times)]
    ties.add(own[0], own[1], np.ones(len(accounts), np.uint8), own[2], np.arange(len(accounts)), NO_KIND)
    return ties.edges(graph.accounts)


def with_edges(graph: EntityGraph, edges: Edges) -> EntityGraph:
    """The graph with one relation more. Raises `InvalidInput` (`graph.relation_taken`, `graph.edges`) where it has that
    relation already, or the edges are not of its accounts; all problems together."""
    where, problems = Where(path=f"relations.{edges.relation.id}"), []
    if edges.relation.id in graph.relations:
        problems.append(Problem("graph.relation_taken", "the graph has such a relation already", where))
    if len(edges.account_start) != graph.accounts + 1:
        message = f"edges of {len(edges.account_start) - 1} accounts"
        problems.append(Problem("graph.edges", message, where, f"of the graph's {graph.accounts}"))
    elif int(edges.account_start[-1]) != edges.size or np.any(np.diff(edges.account_start) < 0):
        problems.append(Problem("graph.edges", "the starts of accounts do not fit the edges", where))
    if edges.size and not _within(edges.entity, len(edges.entity_ids)):
        problems.append(Problem("graph.edges", "an entity code that has no id", where))
    if problems:
        raise InvalidInput(problems)
    return replace(graph, relations={**graph.relations, edges.relation.id: edges})
