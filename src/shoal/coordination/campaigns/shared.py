"""What members share: entities with inside and outside counts, first and last ties, and the share of hubs.

Reads the edges of members only (a gather over the account CSR), so that re-clustering a part costs that part; how many
accounts an entity has in all is counted once per relation. Holds no state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoal.coordination.campaigns.fuse import CampaignSettings
from shoal.coordination.campaigns.groups import Groups
from shoal.coordination.graph.graph import Edges, EntityGraph
from shoal.coordination.relations import Relation, Role

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class SharedOf:
    """Entities of one relation that two or more members of one group have, sorted by (group, entity): int64 arrays
    `group`, `entity` (id), `inside`, `outside`, `first`, `last`, and `weight` float64: the chance, by the rule of
    succession, that an account which touches the entity is of the group. `tie_member`, `tie_row`: which member (place
    in the groups' arrays) has which of these rows."""

    relation: Relation
    group: Ints
    entity: Ints
    inside: Ints
    outside: Ints
    first: Ints
    last: Ints
    weight: Floats
    tie_member: Ints
    tie_row: Ints


@dataclass(frozen=True)
class Shared:
    """All relations, and per member (arrays [members] in the order of the groups): `first`, `last` µs of its ties
    with other members (its own first and last events where it has none in the graph); `edges` and `hubs`: how many
    entities it touches, and how many of these are hubs; `lived_us`: from its first event to its last; and for means
    and targets apart: `means`, `targets` how many, `means_shared`, `targets_shared` the sum of the weights of those
    that it shares. `rarest`: the largest weight among what it shares."""

    relations: tuple[SharedOf, ...]
    first: Ints
    last: Ints
    edges: Ints
    hubs: Ints
    lived_us: Ints
    means: Ints
    targets: Ints
    means_shared: Floats
    targets_shared: Floats
    rarest: Floats


def gather(edges: Edges, accounts: Ints) -> tuple[Ints, Ints]:
    """Edges of some accounts: the place of each edge in `edges`, and which of `accounts` it belongs to."""
    start = edges.account_start[accounts]
    count = edges.account_start[accounts + 1] - start
    member = np.repeat(np.arange(len(accounts)), count)
    offset = np.arange(len(member)) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(start, count) + offset, member


def shared(
    graph: EntityGraph, groups: Groups, settings: CampaignSettings, caps: Mapping[str, float] | None = None
) -> Shared:
    """What the members of each group share. `caps`: popularity from which an entity of a relation is a hub."""
    n = len(groups.account)
    tie_first, tie_last = np.full(n, NEVER), np.full(n, -1, np.int64)
    seen_first, seen_last = np.full(n, NEVER), np.full(n, -1, np.int64)
    counts = {name: np.zeros(n, np.int64) for name in ("edges", "hubs", "means", "targets")}
    weights = {name: np.zeros(n) for name in ("means", "targets", "rarest")}
    found = []
    for name, edges in graph.relations.items():
        at, member = gather(edges, groups.account)
        if not len(at):
            continue
        popularity = np.diff(edges.entity_start)
        cap = (caps or {}).get(name, edges.relation.cap or settings.hub)
        counts["edges"] += np.bincount(member, minlength=n)
        counts["hubs"] += np.bincount(member[popularity[edges.entity[at]] > cap], minlength=n)
        np.minimum.at(seen_first, member, edges.first[at])
        np.maximum.at(seen_last, member, edges.last[at])
        one = _relation(edges, at, member, groups.group, popularity)
        side = "targets" if edges.relation.role is Role.TARGET else "means"
        counts[side] += np.bincount(member, minlength=n)
        if not len(one.group):
            continue
        tie_weight = one.weight[one.tie_row]
        weights[side] += np.bincount(one.tie_member, tie_weight, n)
        np.maximum.at(weights["rarest"], one.tie_member, tie_weight)
        place = at[_tied(edges, at, member, groups.group)]
        np.minimum.at(tie_first, one.tie_member, edges.first[place])
        np.maximum.at(tie_last, one.tie_member, edges.last[place])
        found.append(one)
    created = graph.created[groups.account] if n else np.zeros(0, np.int64)
    none = seen_last < 0
    seen_first[none] = np.maximum(created, 0)[none]
    seen_last[none] = seen_first[none]
    untied = tie_last < 0
    tie_first[untied], tie_last[untied] = seen_first[untied], seen_last[untied]
    begin = np.where((created >= 0) & (created < seen_first), created, seen_first)
    return Shared(
        tuple(found), tie_first, tie_last, counts["edges"], counts["hubs"], seen_last - begin, counts["means"],
        counts["targets"], weights["means"], weights["targets"], weights["rarest"],
    )  # fmt: skip


def _tied(edges: Edges, at: Ints, member: Ints, group: Ints) -> Bools:
    """Of the gathered edges, those to an entity that another member of the group has, too."""
    key = group[member] * max(len(edges.entity_ids), 1) + edges.entity[at]
    _, inverse, count = np.unique(key, return_inverse=True, return_counts=True)
    out: Bools = count[inverse] > 1
    return out


def _relation(edges: Edges, at: Ints, member: Ints, group: Ints, popularity: Ints) -> SharedOf:
    entities = max(len(edges.entity_ids), 1)
    tied = _tied(edges, at, member, group)
    at, member = at[tied], member[tied]
    key, row = np.unique(group[member] * entities + edges.entity[at], return_inverse=True)
    of, entity = key // entities, key % entities
    inside = np.bincount(row, minlength=len(key))
    outside = popularity[entity] - inside
    first, last = np.full(len(key), NEVER), np.full(len(key), -1, np.int64)
    np.minimum.at(first, row, edges.first[at])
    np.maximum.at(last, row, edges.last[at])
    weight = inside / (inside + outside + 1.0)
    return SharedOf(
        edges.relation, of, edges.entity_ids[entity] if len(key) else entity, inside.astype(np.int64), outside, first,
        last, weight, member, row.astype(np.int64),
    )  # fmt: skip
