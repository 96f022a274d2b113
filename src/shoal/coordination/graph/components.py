"""Hard components: accounts held together by payment, telephone, attested device or recovery address, under a guard.

One wrong link (a reseller's card, a lost telephone) would chain two operations, or an operation and its victims, into
one. So beyond a size groups are joined only where a second hard relation ties the same two sides; what was refused is
returned and told. Rare entities are taken first; nothing depends on the order of accounts or events. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from shoal.coordination.graph import sharing_kernel as kernel
from shoal.coordination.graph.graph import Edges, EntityGraph
from shoal.coordination.graph.hubs import Hubs
from shoal.coordination.relations import Relation, Strength
from shoal.coordination.structure.union_kernel import find, flatten
from shoal.errors import InvalidInput, Problem, Where

Ints = npt.NDArray[np.int64]
MOST_SIDES = 64
"""An entity between more groups than this is looked at between neighbours (by their smallest account) only."""


@dataclass(frozen=True)
class Refusal:
    """An entity that would have joined groups of `sizes` accounts, the largest first, and was not let."""

    relation: str
    entity: int
    sizes: tuple[int, ...]
    words: str


@dataclass(frozen=True)
class HardComponents:
    """`label` int64 [accounts]: the smallest account code of its component. `refusals`: what was not joined."""

    label: Ints
    refusals: tuple[Refusal, ...]

    @property
    def sizes(self) -> Ints:
        """Accounts of the component of each account, int64 [accounts]."""
        sizes: Ints = np.bincount(self.label, minlength=len(self.label))[self.label]
        return sizes


def hard_components(graph: EntityGraph, hubs: Hubs, *, limit: int = 100) -> HardComponents:
    """Components of the hard relations of `graph`, over entities that are under their caps and worth something.

    `limit`: no merge makes a group of more accounts unless two hard relations tie the same two sides. Raises
    `InvalidInput` (`components.limit`) for a limit under 2.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 2:
        raise InvalidInput(Problem("components.limit", f"a limit of {limit!r}", Where(path="limit"), "2 or more"))
    parts = [
        _Joint(edges, np.flatnonzero(hubs.relations[name].value(own.popularity, own.stratum) > 0))
        for name, edges in graph.relations.items()
        if edges.relation.strength is Strength.HARD and (own := hubs.relations[name])
    ]
    return _Joining(graph.accounts, limit).run(parts)


class _Joint:
    """The entities of one relation that may join, and their accounts."""

    def __init__(self, edges: Edges, entities: Ints) -> None:
        self.relation: Relation = edges.relation
        self.ids = edges.entity_ids[entities]
        low, high = edges.entity_start[entities], edges.entity_start[entities + 1]
        self.start = np.concatenate([[0], np.cumsum(high - low)]).astype(np.int64)
        places = np.arange(int(self.start[-1])) - np.repeat(self.start[:-1] - low, high - low)
        self.members = edges.account[edges.by_entity[places]]


class _Joining:
    """Groups while they are joined."""

    def __init__(self, accounts: int, limit: int) -> None:
        self.limit = limit
        self.parent = np.arange(accounts, dtype=np.int32)
        self.sizes = np.ones(accounts, np.int64)

    def run(self, parts: list[_Joint]) -> HardComponents:
        start = np.concatenate([[0], *(np.diff(part.start) for part in parts)]).cumsum().astype(np.int64)
        members = np.concatenate([np.zeros(0, np.int64), *(part.members for part in parts)])
        number = np.repeat(np.arange(len(parts)), [len(part.ids) for part in parts])
        ids = np.concatenate([np.zeros(0, np.int64), *(part.ids for part in parts)])
        order = np.lexsort((ids, number, np.diff(start)))
        refused = np.zeros(len(ids), np.uint8)
        kernel.join_entities(self.parent, self.sizes, order, start, members, self.limit, refused)
        pending = {x: members[start[x] : start[x + 1]] for x in order[refused[order] == 1].tolist()}
        while pending := {x: accounts for x, accounts in pending.items() if len(self._sides(accounts)) > 1}:
            if not self._second(pending, number):
                break
        flatten(self.parent)
        refusals = [self._refusal(parts[number[x]].relation, int(ids[x]), accounts) for x, accounts in pending.items()]
        return HardComponents(self.parent.astype(np.int64), tuple(refusals))

    def _sides(self, accounts: Ints) -> list[int]:
        return sorted({int(find(self.parent, int(account))) for account in accounts.tolist()})

    def _second(self, pending: Mapping[int, Ints], number: Ints) -> bool:
        """Join the sides that two hard relations tie; whether there were any."""
        ties: dict[tuple[int, int], set[int]] = {}
        for x, accounts in pending.items():
            sides = self._sides(accounts)
            if len(sides) > MOST_SIDES:
                between = list(pairwise(sides))
            else:
                between = [(a, b) for i, a in enumerate(sides) for b in sides[i + 1 :]]
            for pair in between:
                ties.setdefault(pair, set()).add(int(number[x]))
        joined = False
        for (left, right), relations in ties.items():
            if len(relations) > 1:
                joined |= bool(kernel.join_sized(self.parent, self.sizes, left, right))
        return joined

    def _refusal(self, relation: Relation, entity: int, accounts: Ints) -> Refusal:
        sizes = sorted((int(self.sizes[side]) for side in self._sides(accounts)), reverse=True)
        told = ", ".join(str(size) for size in sizes[:3]) + (f" and {len(sizes) - 3} more" if len(sizes) > 3 else "")
        words = (
            f"{len(accounts)} accounts {relation.words or f'share {relation.id}'}, which would join groups of {told} "
            f"accounts into one of {sum(sizes)}, over the limit of {self.limit}; no second hard relation ties them"
        )
        return Refusal(relation.id, entity, tuple(sizes), words)
