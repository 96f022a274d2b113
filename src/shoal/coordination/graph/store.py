"""Where a graph grows: tables of accounts and of each relation's edges, and how they become arrays. Hot path.

One `Accounts` and one `Ties` a relation belong to a builder for its whole life. Room is made before a batch, so that
kernels never allocate. A `Ties` remembers the sorted order of the edges that it has arranged: the next time only the
new ones are sorted, and merged in. Knows no event and no text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from shoal.coordination.graph import ties_kernel as kernel
from shoal.coordination.graph.graph import Edges
from shoal.coordination.relations import Relation
from shoal.errors import Corrupt
from shoal.expressions.frame import Frame

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Arrays = Mapping[str, npt.NDArray[np.generic]]
NO_KIND: Bytes = np.zeros(0, np.uint8)
_SMALLEST = 1024
_T = TypeVar("_T", bound=np.generic)


class Accounts:
    """Accounts by code, in the order in which they were first seen, and when each was made (-1: unknown)."""

    def __init__(self, seed: int) -> None:
        self.seed, self.used = seed, 0
        self.slots: Codes = np.full(2 * _SMALLEST, -1, np.int32)
        self.ids, self.created = np.zeros(_SMALLEST, np.int64), np.full(_SMALLEST, -1, np.int64)

    def reserve(self, more: int) -> None:
        """Make room for `more` further accounts."""
        size = _grown(len(self.ids), self.used + more)
        if size == len(self.ids):
            return
        self.ids, self.created = _longer(self.ids, self.used, size), _longer(self.created, self.used, size, -1)
        self.slots = _slots(size)
        kernel.refill(self.slots, self.ids, self.used, self.seed)

    def enter(self, ids: Ints) -> Ints:
        """Codes of ids, int64 [n]; new ones are entered in their order."""
        self.reserve(len(ids))
        codes = np.empty(len(ids), np.int64)
        self.used = kernel.enter_ids(self.slots, self.ids, self.used, self.seed, ids, codes)
        return codes

    def enter_rows(
        self,
        frame: Frame,
        subjects: Ints,
        wanted: Bytes,
        truths: npt.NDArray[np.int8],
        special: Ints,
        times: Ints,
        codes: Ints,
    ) -> None:
        """Codes of the subjects of a frame's rows, into `codes`, and when accounts were made: see the kernel."""
        self.reserve((len(subjects) + 1) * frame.size)
        self.used = kernel.enter_accounts(
            self.slots, self.ids, self.created, self.used, self.seed, frame.values, frame.valid, subjects, wanted,
            truths, special, frame.size, times, codes,
        )  # fmt: skip


class Ties:
    """The edges of one relation as they are noted: entities by code and edges by row, in the order first seen."""

    def __init__(self, relation: Relation, seed: int, *, kinds: bool = False) -> None:
        self.relation, self.seed, self.has_kinds = relation, seed, kinds
        self.entities = self.used = self.loops = 0
        self.entity_slots: Codes = _slots(_SMALLEST)
        self.slots: Codes = _slots(_SMALLEST)
        self.entity_ids = np.zeros(_SMALLEST, np.int64)
        self.kinds: Bytes = np.zeros(_SMALLEST if kinds else 0, np.uint8)
        self.rows: Ints = np.zeros((_SMALLEST, 5), np.int64)
        self._order: Codes = np.zeros(0, np.int32)

    def add(self, codes: Ints, ids: Ints, held: Bytes, times: Ints, places: Ints, kind: Bytes) -> None:
        """Note the rows with `held` 1: account codes, entity ids, times (µs) and places in the journal, each [n]."""
        more = int(np.count_nonzero(held == 1))
        self.loops += int(np.count_nonzero(held == 2))
        if not more:
            return
        self._reserve(more)
        self.entities, self.used = kernel.enter_edges(
            self.entity_slots, self.entity_ids, self.entities, self.slots, self.rows, self.used, self.seed, codes, ids,
            held, times, places, len(held), kind if self.has_kinds else NO_KIND, self.kinds,
        )  # fmt: skip

    def since(self, place: int) -> Ints:
        """Account codes of the edges first seen at `place` of the journal or behind, each once, ascending."""
        made = self.rows[: self.used, kernel.MADE]
        new = self.rows[int(np.searchsorted(made, place)) : self.used, kernel.KEY]
        return np.unique(new >> 32)

    def edges(self, accounts: int) -> Edges:
        """The edges as arrays. Costs a sort of the edges that are new since the last call, and a pass over all."""
        known, used = len(self._order), self.used
        if known < used:
            new = (known + np.argsort(self.rows[known:used, kernel.KEY])).astype(np.int32)
            order = np.empty(used, np.int32)
            kernel.merge(self._order, new, self.rows, order)
            self._order = order
        start = np.zeros(accounts + 1, np.int64)
        entity, first, last, count = (np.empty(used, np.int64) for _ in range(4))
        kernel.arrange(self._order, self.rows, start, entity, first, last, count)
        kinds = self.kinds[: self.entities].copy() if self.has_kinds else None
        return Edges(self.relation, self.entity_ids[: self.entities].copy(), start, entity, first, last, count, kinds)

    def snapshot(self) -> dict[str, npt.NDArray[np.generic]]:
        """What it holds, by name."""
        return {
            "entities": self.entity_ids[: self.entities].copy(),
            "kinds": self.kinds[: self.entities].copy(),
            "edges": self.rows[: self.used].copy(),
            "loops": np.array([self.loops], np.int64),
        }

    def restore(self, arrays: Arrays, prefix: str, accounts: int) -> None:
        """Take over a snapshot; raises `Corrupt` where it does not hold together."""
        entities = expect(arrays, f"{prefix}entities", np.dtype("i8"), (None,))
        kinds = expect(arrays, f"{prefix}kinds", np.dtype("u1"), (len(entities) if self.has_kinds else 0,))
        rows = expect(arrays, f"{prefix}edges", np.dtype("i8"), (None, 5))
        loops = expect(arrays, f"{prefix}loops", np.dtype("i8"), (1,))
        key, made = rows[:, kernel.KEY], rows[:, kernel.MADE]
        sound = (
            len(np.unique(entities)) == len(entities)
            and len(np.unique(key)) == len(key)
            and bool(np.all((key >= 0) & (key >> 32 < accounts) & ((key & 0xFFFFFFFF) < len(entities))))
            and bool(np.all(np.diff(made) >= 0))
            and bool(np.all((rows[:, kernel.FIRST] <= rows[:, kernel.LAST]) & (rows[:, kernel.COUNT] > 0)))
            and int(loops[0]) >= 0
        )
        if not sound:
            raise Corrupt(f"graph: the edges of {self.relation.id} in the snapshot do not hold together")
        self.entities = self.used = 0
        self._order = np.zeros(0, np.int32)
        self._reserve(max(len(rows), len(entities)))
        self.entities, self.used, self.loops = len(entities), len(rows), int(loops[0])
        self.entity_ids[: self.entities], self.rows[: self.used] = entities, rows
        if self.has_kinds:
            self.kinds[: self.entities] = kinds
        self.entity_slots, self.slots = _slots(len(self.entity_ids)), _slots(len(self.rows))
        kernel.refill(self.entity_slots, self.entity_ids, self.entities, self.seed)
        kernel.refill_rows(self.slots, self.rows, self.used, self.seed)

    def _reserve(self, more: int) -> None:
        size = _grown(len(self.entity_ids), self.entities + more)
        if size != len(self.entity_ids):
            self.entity_ids = _longer(self.entity_ids, self.entities, size)
            if self.has_kinds:
                self.kinds = _longer(self.kinds, self.entities, size)
            self.entity_slots = _slots(size)
            kernel.refill(self.entity_slots, self.entity_ids, self.entities, self.seed)
        size = _grown(len(self.rows), self.used + more)
        if size != len(self.rows):
            rows = np.zeros((size, 5), np.int64)
            rows[: self.used] = self.rows[: self.used]
            self.rows, self.slots = rows, _slots(size)
            kernel.refill_rows(self.slots, self.rows, self.used, self.seed)


def expect(
    arrays: Arrays, name: str, dtype: np.dtype[np.generic], shape: tuple[int | None, ...]
) -> npt.NDArray[np.int64]:
    """An array of a snapshot (None: any length); raises `Corrupt` where it is missing or is of another form."""
    found = arrays.get(name)
    if found is None:
        raise Corrupt(f"graph: the snapshot lacks {name}")
    fits = len(found.shape) == len(shape) and all(b is None or a == b for a, b in zip(found.shape, shape, strict=True))
    if found.dtype != dtype or not fits:
        raise Corrupt(f"graph: {name} of the snapshot is {found.dtype} {found.shape}, not {dtype} {shape}")
    return found  # type: ignore[return-value]


def _grown(size: int, wanted: int) -> int:
    while size < wanted:
        size *= 2
    return size


def _slots(rows: int) -> Codes:
    return np.full(2 * rows, -1, np.int32)


def _longer(array: npt.NDArray[_T], used: int, size: int, fill: int = 0) -> npt.NDArray[_T]:
    grown = np.full(size, fill, array.dtype)
    grown[:used] = array[:used]
    return grown
