"""Putting a source's records in one order before the writer stamps them.

A finite file is sorted by time first (ties by `event_id`), unless it is to be taken as received. Facts and labels
stand where their time, or as received their offset, puts them; each record of any kind takes one sequence number, so
the place in the ordered source of a journal that was cut anywhere is simply the count of its records. Holds no state
but what the spool keeps on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.adapters.spool import sorted_tables
from shoal.events.deadletters import DeadLetter
from shoal.events.decode import Decoded, empty_events
from shoal.runtime.columns import one_chunk

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ordered:
    """A block in order. `fact_rows[k]` is the row of `events` before which fact k stands (= n: behind all); labels
    likewise."""

    events: pa.Table
    facts: pa.Table
    fact_rows: Int64s
    labels: pa.Table
    label_rows: Int64s
    dead: tuple[DeadLetter, ...]
    dead_rows: Int64s

    @property
    def records(self) -> int:
        """Events, facts, labels and dead letters together."""
        return int(self.events.num_rows + self.facts.num_rows + self.labels.num_rows) + len(self.dead)

    def places(self) -> tuple[Int64s, Int64s, Int64s, Int64s]:
        """Place of each event, fact, label and dead letter in the block's one order, from 0.

        Before one row stand its facts, then its labels, then its dead letters.
        """
        if self.records == self.events.num_rows:
            none = np.zeros(0, np.int64)
            return np.arange(self.events.num_rows, dtype=np.int64), none, none, none
        counts = (self.facts.num_rows, self.labels.num_rows, len(self.dead), self.events.num_rows)
        rows = np.concatenate([self.fact_rows, self.label_rows, self.dead_rows, np.arange(self.events.num_rows)])
        ranks = np.repeat([0, 1, 2, 3], counts)
        order = np.lexsort((np.arange(len(rows)), ranks, rows))
        place = np.empty(len(rows), dtype=np.int64)
        place[order] = np.arange(len(rows))
        facts, labels, dead, events = np.split(place, np.cumsum(counts)[:-1])
        return events, facts, labels, dead

    def between(self, start: int, stop: int) -> Ordered:
        """The records at places `start … stop - 1` as a block of their own."""
        if start <= 0 and stop >= self.records:
            return self
        events, facts, labels, dead = (np.flatnonzero((places >= start) & (places < stop)) for places in self.places())
        first, count = (int(events[0]), len(events)) if len(events) else (0, 0)
        return Ordered(
            self.events.slice(first, count),
            self.facts.take(pa.array(facts)),
            np.clip(self.fact_rows[facts] - first, 0, count),
            self.labels.take(pa.array(labels)),
            np.clip(self.label_rows[labels] - first, 0, count),
            tuple(self.dead[k] for k in dead.tolist()),
            np.clip(self.dead_rows[dead] - first, 0, count),
        )


def as_received(blocks: Iterable[Decoded]) -> Iterator[Ordered]:
    """Blocks in the order in which the source gave them."""
    for block in blocks:
        offsets = np.asarray(one_chunk(block.events, "offset")) if block.events.num_rows else np.zeros(0, np.int64)
        dead = np.array([letter.offset for letter in block.dead], dtype=np.int64)
        yield Ordered(
            block.events,
            block.facts,
            _rows(offsets, _offsets(block.facts)),
            block.labels,
            _rows(offsets, _offsets(block.labels)),
            block.dead,
            _rows(offsets, dead),
        )


def by_time(blocks: Iterable[Decoded], *, memory_bytes: int, folder: Path) -> Iterator[Ordered]:
    """All blocks of a finite source, sorted by time; what does not fit `memory_bytes` is sorted in `folder`.

    Dead letters have no time that could be trusted: they stand first.
    """
    facts: list[pa.Table] = []
    labels: list[pa.Table] = []
    dead: list[DeadLetter] = []

    def events() -> Iterator[pa.Table]:
        for block in blocks:
            dead.extend(block.dead)
            facts.append(block.facts)
            labels.append(block.labels)
            if block.events.num_rows:
                yield block.events

    first = True
    waiting: pa.Table | None = None
    rest = (empty_events(), empty_events())
    for table in sorted_tables(events(), memory_bytes, folder):
        if first:  # all blocks have been read by now
            rest, first = (_sorted(facts, "time"), _sorted(labels, "known_at")), False
            yield _only_dead(dead)
        if waiting is not None:
            ordered, rest = _place(waiting, rest, everything=False)
            yield ordered
        waiting = table
    if first:
        rest = (_sorted(facts, "time"), _sorted(labels, "known_at"))
        yield _only_dead(dead)
    yield _place(waiting if waiting is not None else empty_events(), rest, everything=True)[0]


def _only_dead(dead: list[DeadLetter]) -> Ordered:
    none = np.zeros(0, np.int64)
    letters = tuple(sorted(dead, key=lambda letter: (letter.source, letter.partition, letter.offset)))
    empty = empty_events()
    return Ordered(empty, empty, none, empty, none, letters, np.zeros(len(letters), np.int64))


def _place(
    events: pa.Table, rest: tuple[pa.Table, pa.Table], *, everything: bool
) -> tuple[Ordered, tuple[pa.Table, pa.Table]]:
    times = np.asarray(one_chunk(events, "time"))
    taken, left, rows = [], [], []
    for table, column in zip(rest, ("time", "known_at"), strict=True):
        moments = np.asarray(one_chunk(table, column)) if table.num_rows else np.zeros(0, np.int64)
        count = len(moments) if everything else int(np.searchsorted(moments, times[-1], side="right"))
        taken.append(table.slice(0, count))
        left.append(table.slice(count))
        rows.append(np.searchsorted(times, moments[:count], side="left").astype(np.int64))
    none = np.zeros(0, np.int64)
    return Ordered(events, taken[0], rows[0], taken[1], rows[1], (), none), (left[0], left[1])


def _sorted(tables: list[pa.Table], column: str) -> pa.Table:
    tables = [table for table in tables if table.num_rows]
    if not tables:
        return empty_events()
    table = pa.concat_tables(tables)
    ties = [(name, "ascending") for name in table.column_names if name not in (column, "offset")]
    return table.take(pc.sort_indices(table, sort_keys=[(column, "ascending"), *ties])).combine_chunks()


def _offsets(table: pa.Table) -> Int64s:
    return np.asarray(one_chunk(table, "offset")) if table.num_rows else np.zeros(0, np.int64)


def _rows(offsets: Int64s, others: Int64s) -> Int64s:
    return np.searchsorted(offsets, others, side="left").astype(np.int64)
