"""The entity graph as arrays: what every finder reads. Immutable; built and grown by `graph.build`.

Accounts and entities are known by the keyed 64-bit ids of their texts (`events.identity`) and addressed by codes: the
place in `account_ids` and in each relation's `entity_ids`. Texts are not kept: who shows a campaign asks the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from shoal.coordination.relations import Relation

Ints = npt.NDArray[np.int64]
NETWORK_KINDS = ("unknown", "home", "mobile", "office", "vpn", "hosting")
"""What `Edges.kinds` counts; the numbers are persisted."""


@dataclass(frozen=True)
class Edges:
    """One relation: edge e ties an account to an entity, sorted by (account, entity), each pair once.

    `entity_ids` int64 [entities]: ids by entity code. `account_start` int64 [accounts + 1]: the edges of account a are
    `account_start[a]:account_start[a + 1]`. `entity` int64 [edges]: entity codes. `first`, `last` int64 [edges], µs
    UTC, and `count` int64 [edges]: when and how often the pair was seen. `kinds` uint8 [entities], of relations over
    addresses: the network kind last seen with the entity (a place in `NETWORK_KINDS`; 0: unknown).
    """

    relation: Relation
    entity_ids: Ints
    account_start: Ints
    entity: Ints
    first: Ints
    last: Ints
    count: Ints
    kinds: npt.NDArray[np.uint8] | None = None

    @property
    def size(self) -> int:
        """Number of edges."""
        return len(self.entity)

    @cached_property
    def account(self) -> Ints:
        """Account code of each edge, int64 [edges]."""
        return np.repeat(np.arange(len(self.account_start) - 1), np.diff(self.account_start))

    @cached_property
    def by_entity(self) -> Ints:
        """Edges arranged by (entity, account), int64 [edges]: the other side's CSR, with `entity_start`."""
        return np.argsort(self.entity, kind="stable")

    @cached_property
    def entity_start(self) -> Ints:
        """int64 [entities + 1]: the edges of entity x are
        `by_entity[entity_start[x]:entity_start[x + 1]]`."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.entity, minlength=len(self.entity_ids)))]).astype(
            np.int64
        )


@dataclass(frozen=True)
class EntityGraph:
    """Accounts and their relations. `created` int64 [accounts]: when the account was made, µs UTC, -1 unknown.
    `read`: how many records of the journal it has seen; `now`: the largest time among them, µs UTC."""

    account_ids: Ints
    created: Ints
    relations: Mapping[str, Edges]
    read: int = 0
    now: int = 0

    @property
    def accounts(self) -> int:
        """Number of accounts."""
        return len(self.account_ids)

    @cached_property
    def _order(self) -> Ints:
        return np.argsort(self.account_ids, kind="stable")

    def codes(self, ids: Ints) -> Ints:
        """Account codes of ids, int64 [n]; -1 for an account that it does not know."""
        if not self.accounts:
            return np.full(len(ids), -1, np.int64)
        arranged = self.account_ids[self._order]
        at = np.minimum(np.searchsorted(arranged, ids), self.accounts - 1)
        return np.where(arranged[at] == ids, self._order[at], -1)
