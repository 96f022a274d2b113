"""Relations that are computed, not read: accounts against the bands of their folder trees and of their links' visitors.

Two accounts share such an entity where their folder trees, or the visitors of their links, agree in a band of many
places: alike to a high degree, not merely in parts. A graph takes them beside those that events tell.
"""

from __future__ import annotations

import numpy as np

from shoal.coordination.content.sets import Ints, Sets
from shoal.coordination.content.similar import band_keys, rare_only
from shoal.coordination.graph import Edges, EntityGraph
from shoal.coordination.relations import Relation, Role

FOLDER_TREE = Relation("folder_tree", ("folder_tree",), words="file in folder trees of one pattern")
"""Accounts against bands of their folder trees."""
VISITORS = Relation(
    "visitors", ("visitors",), subject="owner", role=Role.MEANS, words="have links that the same accounts open"
)
"""Owners of links against bands of who opens them."""
BANDS, ROWS = 4, 6
"""Bands of the entities: 4 of 6 places tie 0.9 of the pairs that are 0.9 alike, and 0.06 of those that are half."""


def folder_edges(graph: EntityGraph, sets: Sets, *, least_items: int = 3, cap: int = 200, seed: int = 2) -> Edges:
    """Edges of accounts to the bands of their folder trees; trees of fewer than `least_items` rare paths give none,
    nor bands that one account alone has."""
    return _edges(graph, FOLDER_TREE, sets, None, least_items, cap, seed)


def visitor_edges(
    graph: EntityGraph, sets: Sets, owners: tuple[Ints, Ints], *, least_items: int = 3, cap: int = 200, seed: int = 3
) -> Edges:
    """Edges of the owners of links to the bands of their visitors. `sets`: visitors by link; `owners`: (link ids
    ascending, owner ids). Links without a known owner give none."""
    return _edges(graph, VISITORS, sets, owners, least_items, cap, seed)


def _edges(
    graph: EntityGraph,
    relation: Relation,
    sets: Sets,
    owners: tuple[Ints, Ints] | None,
    least_items: int,
    cap: int,
    seed: int,
) -> Edges:
    rare, _, _ = rare_only(sets, cap, 0.0, least_items)
    keys = band_keys(rare, BANDS, ROWS, seed).reshape(-1)
    account = np.repeat(graph.codes(rare.owner if owners is None else _owner(rare.owner, owners)), BANDS)
    if owners is not None:
        unknown = np.repeat(~np.isin(rare.owner, owners[0]), BANDS)
        account = np.where(unknown, -1, account)
    first, last = np.repeat(rare.first, BANDS), np.repeat(rare.last, BANDS)
    known = account >= 0
    account, keys, first, last = account[known], keys[known], first[known], last[known]
    order = np.lexsort((keys, account))
    account, keys, first, last = account[order], keys[order], first[order], last[order]
    new = np.r_[True, (account[1:] != account[:-1]) | (keys[1:] != keys[:-1])] if len(keys) else np.zeros(0, bool)
    begin = np.flatnonzero(new)
    if len(begin):
        first, last = np.minimum.reduceat(first, begin), np.maximum.reduceat(last, begin)
    count = np.diff(np.append(begin, len(keys)))
    account, keys = account[begin], keys[begin]
    entities, code, times = np.unique(keys, return_inverse=True, return_counts=True)
    joins = times[code.reshape(-1)] >= 2 if len(keys) else np.zeros(0, bool)
    account, first, last, count = account[joins], first[joins], last[joins], count[joins]
    entities, code = np.unique(keys[joins], return_inverse=True)
    code = code.reshape(-1).astype(np.int64)
    order = np.lexsort((code, account))
    start = np.concatenate([[0], np.cumsum(np.bincount(account, minlength=graph.accounts))]).astype(np.int64)
    return Edges(relation, entities, start, code[order], first[order], last[order], count[order].astype(np.int64))


def _owner(link: Ints, owners: tuple[Ints, Ints]) -> Ints:
    if not len(owners[0]):
        return np.zeros(len(link), np.int64)
    return owners[1][np.minimum(np.searchsorted(owners[0], link), len(owners[0]) - 1)]
