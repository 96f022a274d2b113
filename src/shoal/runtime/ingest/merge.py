"""Merging the partitions of a stream by event time, within a bounded wait.

A record is released when every partition that is not idle has shown a later one, or when it has waited `wait_us` since
it was received; what is released with it is all that stands before it in the order (time, event_id). So partitions
whose records come less than the wait out of order give the journal of a sorted file. `wait_us` 0: as received. At most
`max_rows` are held; beyond that the earliest are released early, and counted. A partition that goes back in time
holds itself back by as much, from then on. Facts count by their time, labels by `known_at`, dead letters by receipt.
The clock is an argument: what was decided by it stands in the journal's order, and is never computed again. The
merge owns the records that were read and not yet journalled; a restart reads those again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.adapters.source import ENDED
from shoal.events.deadletters import DeadLetter
from shoal.events.decode import Decoded, empty_events
from shoal.runtime.columns import one_chunk
from shoal.runtime.ingest.order import Ordered

Int64s = npt.NDArray[np.int64]
_FACT, _LABEL, _DEAD, _EVENT = range(4)  # of one moment in this order, as in a sorted file
_NEVER = -(2**62)


@dataclass
class _Partition:
    """What is known of one partition. `latest`: its largest time; `disorder`: how far it has gone back."""

    number: int
    read: int = 0
    latest: int = _NEVER
    disorder: int = 0
    idle: bool = False
    ended: bool = False


@dataclass(frozen=True)
class Place:
    """How far a partition is journalled: all below `read` (`ENDED`: all there was), but for `held`. Reading goes on at
    `next`."""

    read: int
    held: Int64s

    @property
    def next(self) -> int:
        """The offset to go on at."""
        return int(self.held[0]) if len(self.held) else self.read


@dataclass(frozen=True)
class Release:
    """Records that are journalled now: `block` in order, the latest time that each event may have, and the places of
    all partitions behind it. `early`: how many were released before their time, because too many were held."""

    block: Ordered
    bound_us: Int64s
    places: Mapping[str, Place]
    early: int


@dataclass
class _Held:
    """Keys of the rows held, and the rows of each kind (`row` is the place among its kind)."""

    time: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    received: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    part: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    offset: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    arrival: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    kind: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    row: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    events: pa.Table = field(default_factory=empty_events)
    facts: pa.Table | None = None
    labels: pa.Table | None = None
    dead: list[DeadLetter] = field(default_factory=list)

    KEYS = ("time", "received", "part", "offset", "arrival", "kind", "row")


class Merge:
    """Holds and releases. Not thread-safe."""

    def __init__(self, *, wait_us: int, max_rows: int, skew_us: int) -> None:
        """`wait_us` ≥ 0 and `max_rows` > 0 as in the module; `skew_us`: how far an event may lie ahead of its receipt;
        one that lies further is placed, and later clamped, there."""
        self.wait_us, self.max_rows, self.skew_us = wait_us, max_rows, skew_us
        self.early = 0
        self._partitions: dict[str, _Partition] = {}
        self._held = _Held()
        self._arrivals = 0

    @property
    def rows(self) -> int:
        """How many records are held."""
        return len(self._held.time)

    def know(self, partitions: Iterable[str]) -> None:
        """Partitions that exist: they hold the others back until they are idle or have given a record."""
        for name in partitions:
            self._partition(name)

    def _partition(self, name: str) -> _Partition:
        return self._partitions.setdefault(name, _Partition(len(self._partitions)))

    def add(self, partition: str, block: Decoded, received_us: int, next_offset: int) -> None:
        """Take a decoded block of one partition, received at `received_us`; `next_offset` lies behind it.

        Offsets in the block are the source's own.
        """
        part = self._partition(partition)
        part.read, part.idle = next_offset, False
        held, latest = self._held, received_us + self.skew_us
        kinds = (
            (_FACT, _numbers(block.facts, "time"), _numbers(block.facts, "offset"), _rows(held.facts)),
            (_LABEL, _numbers(block.labels, "known_at"), _numbers(block.labels, "offset"), _rows(held.labels)),
            (_DEAD, np.full(len(block.dead), received_us), _dead_offsets(block.dead), len(held.dead)),
            (_EVENT, _numbers(block.events, "time"), _numbers(block.events, "offset"), held.events.num_rows),
        )
        time = np.minimum(np.concatenate([times for _, times, _, _ in kinds]), latest)
        size = len(time)
        if not size:
            return
        offset = np.concatenate([offsets for _, _, offsets, _ in kinds])
        kind = np.repeat([kind for kind, *_ in kinds], [len(times) for _, times, _, _ in kinds])
        new = {
            "time": time, "received": np.full(size, received_us), "part": np.full(size, part.number), "offset": offset,
            "arrival": np.full(size, self._arrivals), "kind": kind,
            "row": np.concatenate([np.arange(len(times)) + start for _, times, _, start in kinds]),
        }  # fmt: skip
        self._arrivals += 1
        for name in _Held.KEYS:
            setattr(held, name, np.concatenate([getattr(held, name), new[name].astype(np.int64)]))
        held.events = _joined(held.events, block.events)
        held.facts, held.labels = _joined(held.facts, block.facts), _joined(held.labels, block.labels)
        held.dead += block.dead
        self._watch(part, time[kind == _EVENT][np.argsort(offset[kind == _EVENT], kind="stable")])

    def _watch(self, part: _Partition, times: Int64s) -> None:
        if len(times):
            before = np.maximum.accumulate(np.concatenate(([part.latest], times)))
            back = before[:-1] - times
            if part.latest == _NEVER:
                back[0] = 0
            part.disorder = max(part.disorder, int(back.max()))
            part.latest = int(before[-1])

    def idle(self, partitions: Iterable[str]) -> None:
        """These hold nobody back until they give a record again."""
        for name in partitions:
            self._partition(name).idle = True

    def end(self, partitions: Iterable[str]) -> None:
        """These give nothing any more."""
        for name in partitions:
            self._partition(name).ended = True

    def release(self, now_us: int, limit: int) -> Release | None:
        """What may go at `now_us`, at most `limit` records (ask again until there is None)."""
        held = self._held
        if not self.rows:
            return None
        early = 0
        if self.wait_us == 0:
            chosen = np.lexsort((held.offset, held.arrival))[:limit]
        else:
            over = max(0, self.rows - self.max_rows)
            order, ready = self._ready(now_us, over)
            chosen = order[: min(limit, max(ready, over))]
            early = max(0, min(len(chosen), over) - ready)
        if not len(chosen):
            return None
        self.early += early
        block, bound = self._block(chosen)
        self._drop(chosen)
        return Release(block, bound, self._places(), early)

    def _watermark(self) -> int:
        """Every partition that holds the others back has shown a record at this time, and none of it comes earlier."""
        waiting = [part for part in self._partitions.values() if not part.idle and not part.ended]
        return min((part.latest - part.disorder for part in waiting), default=2**62)

    def _ready(self, now_us: int, over: int) -> tuple[Int64s, int]:
        """Rows in order, as far as they are looked at, and how many of them may go (without the `over`)."""
        held, mark = self._held, self._watermark()
        due = held.received + self.wait_us <= now_us
        last = max(mark - 1, int(held.time[due].max()) if due.any() else _NEVER)
        if over:
            last = max(last, int(np.partition(held.time, over - 1)[over - 1]))
        rows = np.flatnonzero(held.time <= last)
        order = rows[self._order(rows)]
        ready = int(np.searchsorted(held.time[order], mark, side="left"))
        waited = np.flatnonzero(due[order])
        return order, max(ready, int(waited[-1]) + 1 if len(waited) else 0)

    def _order(self, rows: Int64s) -> Int64s:
        """Places of `rows` by (time, kind, event_id), then partition and offset."""
        held = self._held
        kinds, own = held.kind[rows], held.row[rows]
        ids = np.full(len(rows), "", dtype=object)
        tie = np.zeros(len(rows), dtype=np.int64)
        mine = np.flatnonzero(kinds == _EVENT)
        ids[mine] = held.events.column("event_id").take(pa.array(own[mine])).to_pylist() if len(mine) else []
        for kind, table in ((_FACT, held.facts), (_LABEL, held.labels)):
            mine = np.flatnonzero(kinds == kind)
            if len(mine) and table is not None:
                tie[mine] = _ranks(table.take(pa.array(own[mine])))
        names = sorted(self._partitions)
        rank = np.empty(len(names), dtype=np.int64)
        for place, name in enumerate(names):
            rank[self._partitions[name].number] = place
        keys = pa.table(
            {
                "time": held.time[rows], "kind": kinds, "id": pa.array(ids, pa.string()), "tie": tie,
                "part": rank[held.part[rows]], "offset": held.offset[rows],
            }
        )  # fmt: skip
        return np.asarray(pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names]))

    def _block(self, chosen: Int64s) -> tuple[Ordered, Int64s]:
        held = self._held
        kinds, own = held.kind[chosen], held.row[chosen]
        before = np.cumsum(kinds == _EVENT)
        of = [np.flatnonzero(kinds == kind) for kind in range(4)]
        facts, labels = (
            table.take(pa.array(own[of[kind]])) if table is not None else empty_events()
            for kind, table in ((_FACT, held.facts), (_LABEL, held.labels))
        )
        block = Ordered(
            held.events.take(pa.array(own[of[_EVENT]])).combine_chunks(),
            facts,
            before[of[_FACT]].astype(np.int64),
            labels,
            before[of[_LABEL]].astype(np.int64),
            tuple(held.dead[k] for k in own[of[_DEAD]].tolist()),
            before[of[_DEAD]].astype(np.int64),
        )
        return block, held.received[chosen][of[_EVENT]] + self.skew_us

    def _drop(self, chosen: Int64s) -> None:
        held = self._held
        keep = np.ones(self.rows, dtype=bool)
        keep[chosen] = False
        for name in _Held.KEYS:
            setattr(held, name, getattr(held, name)[keep])
        stay = [np.sort(held.row[held.kind == kind]) for kind in range(4)]
        held.events = held.events.take(pa.array(stay[_EVENT])).combine_chunks()
        held.facts = held.facts.take(pa.array(stay[_FACT])) if held.facts is not None else None
        held.labels = held.labels.take(pa.array(stay[_LABEL])) if held.labels is not None else None
        held.dead = [held.dead[k] for k in stay[_DEAD].tolist()]
        for kind in range(4):
            mine = held.kind == kind
            held.row[mine] = np.searchsorted(stay[kind], held.row[mine])

    def _places(self) -> dict[str, Place]:
        places = {}
        for name, part in self._partitions.items():
            held = np.sort(self._held.offset[self._held.part == part.number])
            places[name] = Place(ENDED if part.ended else part.read, held)
        return places

    def places(self) -> Mapping[str, Place]:
        """The places as they are now."""
        return self._places()


def _rows(table: pa.Table | None) -> int:
    return table.num_rows if table is not None else 0


def _joined(held: pa.Table | None, new: pa.Table) -> pa.Table | None:
    if not new.num_rows:
        return held
    return pa.concat_tables([held, new], promote_options="default") if held is not None and held.num_rows else new


def _numbers(table: pa.Table, name: str) -> Int64s:
    return np.asarray(one_chunk(table, name)) if table.num_rows else np.zeros(0, np.int64)


def _dead_offsets(dead: tuple[DeadLetter, ...]) -> Int64s:
    return np.array([letter.offset for letter in dead], dtype=np.int64)


def _ranks(table: pa.Table) -> Int64s:
    """The place of each fact or label among its like by what it says, so that ties do not depend on who came first."""
    keys = [(name, "ascending") for name in table.column_names if name != "offset"]
    order = np.asarray(pc.sort_indices(table, sort_keys=keys))
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks
