"""Which `event_id` was accepted before (FEATURES.md, contract point 4). Hot path.

A row is a **duplicate** of an accepted event with the same `event_id` and the same body, a **conflict** with one that
has another body, else **new**. An accepted event counts while its `as_of` lies within the horizon (72 h of journal
time); beyond the hot hour (or beyond the last `max_hot_ids` records) only if its `time` is the same. Of several the
same body wins, then the largest seq. Duplicates and conflicts change nothing, not even the journal's time.

The ids of the hot hour and of the growing segment stand in one table in memory; older ones in the `.ids` files, which
are searched only where a segment's time range holds a row's `time`. A hash hit is confirmed on the stored row's text.
The index is derived from the journal and rebuilt on start. Accepted rows must be appended to the journal before the
next `check`. Verdicts do not depend on how rows were cut into batches, nor on restarts or segment sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.errors import InvalidInput, Problem
from shoal.events.identity import Identity
from shoal.events.schema import BY_NAME, Kind, Role
from shoal.storage import dedupe_kernel as kernel
from shoal.storage import frames as codec
from shoal.storage.catalog import Segment
from shoal.storage.dedupe_kernel import CONFLICT, DUPLICATE, NEW
from shoal.storage.frames import EVENTS, Int64s
from shoal.storage.ids import IdFile, open_ids
from shoal.storage.journal import Journal

__all__ = ["CONFLICT", "DUPLICATE", "HOUR_US", "NEW", "DedupeIndex", "DedupeStats", "Verdicts", "body_hashes"]

HOUR_US = 3_600_000_000
_MIN_CAPACITY = 1 << 12
_NONE = np.zeros(0, dtype=np.int64)
_NO_COLD = np.zeros((0, 3), dtype=np.int64)
_LONG_AGO = -(1 << 62)
NOT_BODY = frozenset({"event_id", "source", "partition", "offset", "received"})
"""Given columns that are not part of the body: the same event may be delivered again by another way."""


@dataclass(frozen=True)
class Verdicts:
    """Per row [n]: `verdict` (NEW, DUPLICATE, CONFLICT), the assigned `seq`, the
    `original` seq (-1 for new), and `as_of` (max of its time and the largest as_of of accepted events so far)."""

    verdict: npt.NDArray[np.int8]
    seq: Int64s
    original: Int64s
    as_of: Int64s
    next_seq: int


@dataclass(frozen=True)
class DedupeStats:
    """What the index holds. `hot_cut` says that more ids fell within the hot hour than `max_hot_ids`."""

    hot_ids: int
    hot_bytes: int
    resident_from: int
    cold_files: int
    cold_searches: int
    confirmed: int
    collisions: int
    hot_cut: bool


class DedupeIndex:
    """The index of one journal. See the module."""

    def __init__(self, journal: Journal, *, horizon_us: int, hot_us: int, max_hot_ids: int) -> None:
        """Use `DedupeIndex.open`."""
        self._journal = journal
        self.horizon_us, self.hot_us, self.max_hot_ids = horizon_us, hot_us, max_hot_ids
        self._as_of = _LONG_AGO if journal.last_as_of is None else journal.last_as_of
        self._count = 0
        self._resident_from = journal.next_seq
        self._cold: dict[int, IdFile] = {}
        self._searches = self._confirmed = self._collisions = 0
        self._load()

    @classmethod
    def open(
        cls, journal: Journal, *, horizon_us: int = 72 * HOUR_US, hot_us: int = HOUR_US, max_hot_ids: int = 50_000_000
    ) -> DedupeIndex:
        """Built from the journal (open for writing, nothing pending): hot rows are read, `.ids` files made where
        missing. Raises `InvalidInput` for settings out of range."""
        problems = []
        if not 0 < hot_us <= horizon_us:
            message = f"hot_us is {hot_us}, horizon_us {horizon_us}"
            problems.append(Problem("dedupe.window", message, allowed="0 < hot_us <= horizon_us"))
        if max_hot_ids < 1:
            problems.append(Problem("dedupe.max_hot_ids", f"max_hot_ids is {max_hot_ids}", allowed=">= 1"))
        if problems:
            raise InvalidInput(problems)
        return cls(journal, horizon_us=horizon_us, hot_us=hot_us, max_hot_ids=max_hot_ids)

    def _load(self) -> None:
        """Fill the table from the segments that are hot or growing."""
        hot_from = self._journal.next_seq - self.max_hot_ids
        resident: list[Segment] = []
        for segment in reversed(self._journal.segments):
            hot = segment.max_as_of is not None and segment.max_as_of >= self._as_of - self.hot_us
            if segment.sealed and not (hot and segment.next_seq > hot_from):
                break
            resident.append(segment)
            self._resident_from = segment.first_seq
        rows = sum(segment.rows(EVENTS) for segment in resident)
        self._table = _empty(_capacity(_MIN_CAPACITY, rows))
        for segment in resident:
            self._load_segment(segment)
        for segment in self._journal.segments:
            if segment.sealed and segment.first_seq < self._resident_from:
                self._id_file(segment)

    def _load_segment(self, segment: Segment) -> None:
        with segment.reader() as reader:
            for unit in reader.segment.units:
                for head in unit.heads:
                    if head.kind != EVENTS:
                        continue
                    frame = codec.decode_events(head, reader.payload(head), ["seq", "as_of", "time", "event_id"])
                    if "event_id" not in frame.table.column_names:
                        continue
                    ids, known = self._hashes(frame.table.column("event_id").combine_chunks())
                    keep = known.astype(np.bool_)
                    seqs, as_ofs = (codec.column_array(frame.table, name)[keep] for name in ("seq", "as_of"))
                    self._count += kernel.insert(
                        self._table, ids[keep], np.ascontiguousarray(seqs), np.ascontiguousarray(frame.bodies[keep]),
                        _times(frame.table)[keep], np.ascontiguousarray(as_ofs),
                    )  # fmt: skip

    def _hashes(self, texts: pa.Array) -> tuple[Int64s, npt.NDArray[np.uint8]]:
        known = np.ones(len(texts), dtype=np.uint8)
        if texts.null_count:
            known[:] = np.asarray(texts.is_valid())
        return self._journal.identity.ids_of(texts), known

    def advance(self, as_of: int) -> None:
        """A control record (a tick, a fact) moved the journal's time."""
        self._as_of = max(self._as_of, as_of)

    def check(
        self,
        event_ids: pa.Array,
        bodies: Int64s,
        times: Int64s,
        first_seq: int,
        *,
        id_hashes: Int64s | None = None,
        skip: Int64s | None = None,
    ) -> Verdicts:
        """Judge one batch in order and remember its new rows.

        `event_ids` texts [n] (a null is always new), `bodies` int64 [n] (`body_hashes`), `times` int64 µs [n], clamped.
        `first_seq` is the next free seq; `skip[i]` seqs are left free before row i (for control records that stand
        between). `id_hashes`: the ids of the texts, where the caller has them already. One kernel call, at most a few
        hundred ns a row; each hit costs a look at the stored row. Raises `InvalidInput` for arrays that do not fit.
        """
        texts = event_ids.combine_chunks() if isinstance(event_ids, pa.ChunkedArray) else event_ids
        n = len(texts)
        self._check_shapes(n, bodies=bodies, times=times, id_hashes=id_hashes, skip=skip)
        if id_hashes is None:
            ids, known = self._hashes(texts)
        else:
            ids, known = id_hashes, np.ones(n, dtype=np.uint8)
            if texts.null_count:
                known[:] = np.asarray(texts.is_valid())
        self._make_room(n)
        bodies, times = np.ascontiguousarray(bodies), np.ascontiguousarray(times)
        cold_start, cold = self._search_cold(texts, ids, known, times)
        rules = np.array(
            [self.horizon_us, self.hot_us, self.max_hot_ids, self._journal.first_seq], dtype=np.int64
        )  # fmt: skip
        verdict = np.empty(n, dtype=np.int8)
        seq, original, as_of, slots = (np.empty(n, dtype=np.int64) for _ in range(4))
        denied: list[tuple[int, int]] = []
        while True:
            deny = np.array(denied, dtype=np.int64).reshape(-1, 2)
            next_seq = kernel.judge(
                self._table, ids, known, bodies, times, _NONE if skip is None else skip, deny[:, 0].copy(),
                deny[:, 1].copy(), first_seq, self._as_of, rules, cold_start, cold, verdict, seq, original, as_of,
                slots,
            )  # fmt: skip
            wrong = self._collisions_in(texts, verdict, seq, original, first_seq)
            if not wrong:
                break
            kernel.undo(self._table, slots)
            denied += wrong
            self._collisions += len(wrong)
        new = verdict == NEW
        if new.any():
            self._as_of = int(as_of[new].max())
        self._count += int(np.count_nonzero(slots >= 0))
        return Verdicts(verdict, seq, original, as_of, int(next_seq))

    def _check_shapes(self, n: int, **arrays: Int64s | None) -> None:
        problems = [
            Problem("dedupe.shape", f"{name} is {array.dtype}{list(array.shape)}", allowed=f"int64[{n}]")
            for name, array in arrays.items()
            if array is not None and (array.dtype != np.int64 or array.shape != (n,))
        ]
        if problems:
            raise InvalidInput(problems)

    def _collisions_in(
        self, texts: pa.Array, verdict: npt.NDArray[np.int8], seq: Int64s, original: Int64s, first_seq: int
    ) -> list[tuple[int, int]]:
        """Hits whose stored row has another `event_id`: (row, seq) pairs that must not match."""
        rows = np.flatnonzero(verdict != NEW)
        if not len(rows):
            return []
        hits = original[rows]
        own = hits >= first_seq
        found = pa.nulls(0, pa.string())
        order = np.concatenate([rows[~own], rows[own]])
        parts = []
        if not own.all():
            unique, back = np.unique(hits[~own], return_inverse=True)
            stored = self._journal.rows(unique, ["event_id"]).column("event_id").combine_chunks()
            parts.append(stored.take(pa.array(back)))
        if own.any():
            new = np.flatnonzero(verdict == NEW)
            places = new[np.searchsorted(seq[new], hits[own])]
            parts.append(texts.take(pa.array(places)))
        found = pa.concat_arrays([part.cast(pa.string()) for part in parts])
        same = np.asarray(pa.compute.equal(found, texts.take(pa.array(order))).fill_null(False))
        self._confirmed += int(same.sum())
        return [(int(row), int(original[row])) for row in order[~same]]

    def _search_cold(
        self, texts: pa.Array, ids: Int64s, known: npt.NDArray[np.uint8], times: Int64s
    ) -> tuple[Int64s, Int64s]:
        """Confirmed entries of the same id and time that stand in `.ids` files alone."""
        rows, seqs = [], []
        if len(ids) and self._journal.first_seq < self._resident_from:
            low, high = int(times.min()), int(times.max())
            since = max(self._as_of, low) - self.horizon_us
            for segment in self._journal.segments:
                if segment.first_seq >= self._resident_from:
                    break
                if segment.max_time < low or segment.min_time > high or (segment.max_as_of or 0) < since:
                    continue
                inside = np.flatnonzero((times >= segment.min_time) & (times <= segment.max_time) & (known > 0))
                if len(inside):
                    self._searches += len(inside)
                    hit, seq = self._id_file(segment).find(ids[inside])
                    rows.append(inside[hit])
                    seqs.append(seq)
        if not rows or not sum(map(len, rows)):
            return _NONE, _NO_COLD
        return self._confirm_cold(texts, times, np.concatenate(rows), np.concatenate(seqs))

    def _confirm_cold(self, texts: pa.Array, times: Int64s, rows: Int64s, seqs: Int64s) -> tuple[Int64s, Int64s]:
        unique, back = np.unique(seqs, return_inverse=True)
        stored = self._journal.rows(unique, ["event_id", "time", "as_of", codec.BODY]).take(pa.array(back))
        same = pa.compute.equal(stored.column("event_id").combine_chunks(), texts.take(pa.array(rows)))
        good = np.asarray(same.fill_null(False)) & (_times(stored) == times[rows])
        self._confirmed += int(good.sum())
        self._collisions += int((~np.asarray(same.fill_null(False))).sum())
        columns = [seqs, codec.column_array(stored, codec.BODY), codec.column_array(stored, "as_of")]
        order = np.argsort(rows[good], kind="stable")
        cold = np.ascontiguousarray(np.stack([column[good][order] for column in columns], axis=1))
        starts = np.searchsorted(rows[good][order], np.arange(len(texts) + 1)).astype(np.int64)
        return starts, cold

    def _id_file(self, segment: Segment) -> IdFile:
        file = self._cold.get(segment.first_seq)
        if file is None:
            file = open_ids(segment, self._journal.identity)
            assert file is not None
            self._cold[segment.first_seq] = file
            kept = {s.first_seq for s in self._journal.segments}
            for gone in [first for first in self._cold if first not in kept]:
                del self._cold[gone]
        return file

    def _make_room(self, n: int) -> None:
        """Write the table anew when it is over 60 % full, without entries that are neither hot nor growing."""
        capacity = len(self._table)
        if (self._count + n) * 5 <= capacity * 3:
            return
        next_seq = self._journal.next_seq
        hot = int(kernel.first_hot(self._table, self._as_of - self.hot_us, next_seq))
        keep = max(min(self._journal.sealed_seq, max(hot, next_seq - self.max_hot_ids)), self._resident_from)
        left = int(kernel.count_from(self._table, keep))
        fresh = _empty(_capacity(capacity, left + n))
        self._count = int(kernel.move(self._table, fresh, keep))
        self._table, self._resident_from = fresh, keep

    def stats(self) -> DedupeStats:
        """What the index holds now."""
        cold = sum(1 for s in self._journal.segments if s.sealed and s.first_seq < self._resident_from)
        hot = int(kernel.first_hot(self._table, self._as_of - self.hot_us, self._journal.next_seq))
        return DedupeStats(
            self._count, self._table.nbytes, self._resident_from, cold, self._searches, self._confirmed,
            self._collisions, self._journal.next_seq - hot > self.max_hot_ids,
        )  # fmt: skip


def _capacity(least: int, rows: int) -> int:
    """A power of two of which `rows` fill at most 30 %."""
    while rows * 10 > least * 3:
        least *= 2
    return least


def _empty(capacity: int) -> npt.NDArray[np.int64]:
    table = np.empty((capacity, 5), dtype=np.int64)
    table[:, kernel.SEQ] = -1
    return table


def _times(table: pa.Table) -> Int64s:
    """The column `time`; rows without one count as long ago."""
    if "time" not in table.column_names:
        return np.full(table.num_rows, _LONG_AGO, dtype=np.int64)
    column = table.column("time")
    filled = column.fill_null(_LONG_AGO) if column.null_count else column
    return np.ascontiguousarray(filled.to_numpy())


def body_hashes(table: pa.Table, identity: Identity, leave_out: Sequence[str] = ()) -> Int64s:
    """The hash of each row's body, int64 [n]: all given columns but event_id, source, partition, offset and received.

    To be taken before facts and enrichment are joined. Keyed, 64 bits; a null column counts like an absent one, and
    the order of columns is of no matter. About 10 ns a value.
    """
    out = np.zeros(table.num_rows, dtype=np.uint64)
    skip = NOT_BODY | frozenset(leave_out)
    for name in sorted(set(table.column_names) - skip):
        spec = BY_NAME.get(name)
        if spec is None or spec.role in (Role.STAMP, Role.FACT) or not table.num_rows:
            continue
        column = _one_array(table.column(name))
        if column.null_count == len(column):
            continue
        key = _column_key(identity, name)
        valid = np.zeros(0, dtype=np.uint8)
        if column.null_count:
            valid = np.asarray(column.is_valid()).astype(np.uint8)
        if spec.kind is Kind.TEXT:
            _, offset_buffer, data_buffer = column.buffers()
            offsets = np.frombuffer(offset_buffer, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
            data = (
                np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer is not None and data_buffer.size else _BLANK
            )
            kernel.mix_texts(data, offsets, valid, key, out)
        else:
            filled = column.fill_null(0 if spec.kind is not Kind.BOOL else False) if column.null_count else column
            values = np.ascontiguousarray(filled.to_numpy(zero_copy_only=False))
            wide = values.astype(np.int64) if spec.kind is Kind.BOOL else values
            kernel.mix_numbers(wide.view(np.uint64), valid, key, out)
    return out.view(np.int64)


@lru_cache(maxsize=1024)
def _column_key(identity: Identity, name: str) -> np.uint64:
    return np.uint64(identity.id_of(f"body.{name}") & 0xFFFFFFFFFFFFFFFF)


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array, without a copy where it has one chunk."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


_BLANK = np.zeros(1, dtype=np.uint8)
