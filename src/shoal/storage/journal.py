"""The journal: everything that happened, in one order, on disk, synced before it is acknowledged. Hot path.

A folder of segment files (`segments`), named by their first seq; the last one grows, the others are sealed. Records of
three kinds (events, duplicates, control records) share one seq order without gaps; what one `sync` writes is there
whole after a crash, or not at all. The `Journal` owns the folder through a lock while it is open for writing, and keeps
the heads of all frames in memory, not the records. It knows neither the store nor what a control record means.

One thread may append while another syncs what `end_group` closed.
"""

from __future__ import annotations

import bisect
import itertools
import re
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.errors import InvalidInput, Permanent, Problem, Temporary
from shoal.events.identity import Identity
from shoal.events.schema import check_table
from shoal.storage import frames as codec
from shoal.storage import report, sealing
from shoal.storage.catalog import SUFFIX, Dropped, Segment, SegmentLoad, Unit, load_segments
from shoal.storage.frames import ControlFrame, ControlRun, Frame, Group, Int64s
from shoal.storage.segments import AcknowledgedMark, Cut, EncodedFrame, FolderLock, SegmentWriter

__all__ = ["CUTTING_KINDS", "Cut", "Journal", "Position", "SegmentLoad"]

CUTTING_KINDS = frozenset({"packs", "lists", "models", "tables", "indicators"})
"""Control records that cut a batch (FEATURES.md, point 5)."""

_KIND_NAME = re.compile(r"[a-z][a-z0-9_.]{0,63}")


@dataclass(frozen=True)
class Position:
    """Where the journal ends: the segment (its first seq), the offset in its file and the next seq."""

    segment: int
    offset: int
    next_seq: int


class _OpenGroup:
    """What was appended and not yet closed."""

    def __init__(self, first_seq: int, as_of: int | None) -> None:
        self.first_seq = first_seq
        self.as_of = as_of
        self.frames: list[EncodedFrame] = []
        self.seqs: list[Int64s] = []
        self.as_ofs: list[tuple[Int64s, Int64s]] = []
        self.controls: list[ControlFrame | ControlRun] = []
        self.parts: list[bytes] = []

    def close(self) -> tuple[int, int | None]:
        """Check that the seqs have no gap and as_of never goes back; returns (next seq, largest as_of)."""
        if self.controls:
            order = sorted(range(len(self.controls)), key=lambda i: self.controls[i].first_seq)
            records = [self.controls[i] for i in order]
            self.frames.append(codec.encode_controls(records, [self.parts[i] for i in order]))
            single = [record for record in records if isinstance(record, ControlFrame)]
            if single:
                seqs = np.array([record.seq for record in single], dtype=np.int64)
                self.seqs.append(seqs)
                self.as_ofs.append((seqs, np.array([record.as_of for record in single], dtype=np.int64)))
            for run in (record for record in records if isinstance(record, ControlRun)):
                self.seqs.append(run.seqs)
                self.as_ofs.append((run.seqs, run.as_ofs))
            self.controls, self.parts = [], []
        problems = self._problems()
        if problems:
            raise InvalidInput(problems)
        self.frames.sort(key=lambda frame: (frame.head.first_seq, frame.head.kind))
        count = sum(len(seqs) for seqs in self.seqs)
        last = max((int(as_ofs[-1]) for _, as_ofs in self.as_ofs), default=None)
        return self.first_seq + count, last if self.as_of is None else max(self.as_of, last or self.as_of)

    def _problems(self) -> list[Problem]:
        problems = []
        seqs = self.seqs[0] if len(self.seqs) == 1 else np.sort(np.concatenate(self.seqs))
        wrong = np.flatnonzero(seqs != np.arange(self.first_seq, self.first_seq + len(seqs)))
        if len(wrong):
            at, expected = int(seqs[wrong[0]]), self.first_seq + int(wrong[0])
            message = f"the records between two syncs must fill the seqs without a gap: {at} where {expected} should be"
            problems.append(Problem("journal.seq_gap", message))
        if self.as_ofs:
            stamps = np.concatenate([as_ofs for _, as_ofs in self.as_ofs])
            if len(self.as_ofs) > 1:
                stamps = stamps[np.argsort(np.concatenate([at for at, _ in self.as_ofs]), kind="stable")]
            if np.any(np.diff(stamps) < 0) or (self.as_of is not None and int(stamps[0]) < self.as_of):
                problems.append(Problem("journal.as_of_order", "as_of goes back; the writer stamps it as a maximum"))
        return problems


class Journal:
    """One writer's journal, or a read-only view of it. See the module."""

    def __init__(self, folder: Path, load: SegmentLoad, identity: Identity, *, segment_bytes: int, codec_name: str,
                 read_only: bool, lock: FolderLock | None) -> None:  # fmt: skip
        """Use `Journal.open`."""
        self.folder, self.identity, self.read_only = folder, identity, read_only
        self.cuts: tuple[Cut, ...] = load.cuts
        self.segments: list[Segment] = load.segments
        self.dropped: Dropped = load.dropped
        self.segment_bytes = segment_bytes
        self._codec = codec.codec_of(codec_name)
        self._file_lock = lock
        self._state = threading.RLock()
        self._io = threading.RLock()
        self._schema: pa.Schema | None = None
        self._ended: list[EncodedFrame] = []
        self._writing: list[EncodedFrame] = []
        self._rows = sealing.RowCache()
        self._closed = False
        self._writer: SegmentWriter | None = None
        self._mark: AcknowledgedMark | None = None
        end = self.segments[-1].next_seq if self.segments else self.dropped.before_seq
        self._synced = end
        as_ofs = [segment.max_as_of for segment in self.segments if segment.max_as_of is not None]
        self._as_of: int | None = max(as_ofs, default=self.dropped.last_as_of)
        self._group = _OpenGroup(end, self._as_of)
        if not read_only:
            self._mark = AcknowledgedMark(folder, write=True)
            self._open_writer()

    @classmethod
    def open(cls, folder: str | Path, *, identity: Identity, segment_bytes: int = 256 << 20,
             compression: str = "zstd", read_only: bool = False) -> Journal:  # fmt: skip
        """Open or create; a torn tail is cut and listed in `cuts`.

        `segment_bytes`: a segment of that size is sealed (64 KiB to 4 GiB). `compression`: none, lz4 or zstd. Raises
        `Temporary` when another writer holds the folder (unless `read_only`), `Corrupt` naming file and offset for
        damage, `InvalidInput` for bad settings or another deployment's identity.
        """
        folder = Path(folder)
        problems = []
        if not 64 << 10 <= segment_bytes <= 4 << 30:
            message = f"segment_bytes is {segment_bytes}"
            problems.append(Problem("journal.segment_bytes", message, allowed="65536 to 4294967296"))
        if read_only and not folder.is_dir():
            problems.append(Problem("journal.no_folder", f"there is no journal in {folder}"))
        if problems:
            raise InvalidInput(problems)
        codec.codec_of(compression)
        lock = None if read_only else FolderLock(folder)
        try:
            load = load_segments(folder, identity, read_only=read_only)
            return cls(folder, load, identity, segment_bytes=segment_bytes, codec_name=compression,
                       read_only=read_only, lock=lock)  # fmt: skip
        except FileNotFoundError as error:
            if lock:
                lock.release()
            raise Temporary(f"{folder}: a file went while the journal was opened; open it again") from error
        except BaseException:
            if lock:
                lock.release()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(discard=kind is not None)

    @property
    def first_seq(self) -> int:
        """The first seq that is kept (0 until retention drops segments)."""
        return self.segments[0].first_seq if self.segments else self.dropped.before_seq

    @property
    def next_seq(self) -> int:
        """The seq that the next group starts with: all that was synced or closed by `end_group` lies below it."""
        return self._group.first_seq

    @property
    def synced_seq(self) -> int:
        """All records below it are durable."""
        return self._synced

    @property
    def last_as_of(self) -> int | None:
        """The largest `as_of` of the closed groups; None in an empty journal."""
        return self._group.as_of

    @property
    def sealed_seq(self) -> int:
        """All records below it stand in sealed segments."""
        last = self.segments[-1] if self.segments else None
        return self.first_seq if last is None else last.next_seq if last.sealed else last.first_seq

    @property
    def position(self) -> Position:
        """Where the journal ends on disk."""
        last = self.segments[-1] if self.segments else None
        return Position(last.first_seq, last.length, self._synced) if last else Position(0, 0, self._synced)

    def append_events(self, table: pa.Table, bodies: Int64s | None = None) -> None:
        """Add events: an event table whose `seq` is ascending and `as_of` never goes back; `bodies` are the body hashes
        that deduplication compares, int64[n]. Nothing is durable before `sync`. Raises `InvalidInput`."""
        self._check_open()
        if self._schema is None or not table.schema.equals(self._schema):
            check_table(table)
            self._schema = table.schema
        if table.num_rows == 0:
            return
        missing = [name for name in ("seq", "as_of") if name not in table.column_names or table[name].null_count]
        if missing:
            raise InvalidInput(Problem("journal.not_stamped", f"events without {' and '.join(missing)}"))
        if bodies is not None and (bodies.shape != (table.num_rows,) or bodies.dtype != np.int64):
            message = f"{bodies.dtype}{list(bodies.shape)} body hashes for {table.num_rows} events"
            raise InvalidInput(Problem("journal.bodies", message, allowed="int64, one an event"))
        seqs = codec.column_array(table, "seq")
        self._check_ascending(seqs)
        as_ofs = codec.column_array(table, "as_of")
        frame = codec.encode_events(table, bodies, self._codec)
        with self._state:
            self._group.frames.append(frame)
            self._group.seqs.append(seqs)
            self._group.as_ofs.append((seqs, as_ofs))

    def append_duplicates(self, seqs: Int64s, originals: Int64s) -> None:
        """Add duplicates: record `seqs[i]` repeats the event `originals[i]`, which lies before it; both int64[n]."""
        self._check_open()
        if seqs.shape != originals.shape or seqs.ndim != 1:
            raise InvalidInput(Problem("journal.duplicates", "seqs and originals differ in length"))
        if len(seqs) == 0:
            return
        seqs, originals = seqs.astype(np.int64), originals.astype(np.int64)
        self._check_ascending(seqs)
        if np.any(originals >= seqs) or np.any(originals < 0):
            raise InvalidInput(Problem("journal.duplicates", "a duplicate repeats a record that lies before it"))
        frame = codec.encode_duplicates(seqs, originals)
        with self._state:
            self._group.frames.append(frame)
            self._group.seqs.append(seqs)

    def append_control(self, seq: int, as_of: int, kind: str, body: Mapping[str, Any]) -> None:
        """Add one control record (facts, labels, lists, packs, models, ticks, part_missing, …); the body is a map of
        what msgpack can keep, and of Arrow tables. Raises `InvalidInput`."""
        self._check_open()
        if not _KIND_NAME.fullmatch(kind):
            raise InvalidInput(Problem("journal.control_kind", f"control kind {kind!r}", allowed=_KIND_NAME.pattern))
        self._check_ascending(np.array([seq], dtype=np.int64))
        record = ControlFrame(int(seq), int(as_of), kind, dict(body))
        part = codec.encode_control(record, self._codec)
        with self._state:
            self._group.controls.append(record)
            self._group.parts.append(part)

    def append_run(self, kind: str, seqs: Int64s, as_ofs: Int64s, table: pa.Table) -> None:
        """Add control records of one kind that have bodies of the same shape: record i has `seqs[i]` (ascending; other
        records may stand between), `as_ofs[i]` and row i of `table` for its body. One entry on disk, for the price of
        a few records. Kinds that cut a batch are appended singly. Raises `InvalidInput`."""
        self._check_open()
        if not _KIND_NAME.fullmatch(kind) or kind in CUTTING_KINDS:
            raise InvalidInput(Problem("journal.control_kind", f"control kind {kind!r}", allowed=_KIND_NAME.pattern))
        taken = [name for name in ("seq", "as_of") if name in table.column_names]
        if taken or seqs.shape != as_ofs.shape or seqs.shape != (table.num_rows,):
            message = f"{len(seqs)} seqs, {len(as_ofs)} as_ofs, {table.num_rows} bodies with the columns {taken}"
            raise InvalidInput(Problem("journal.run", message, allowed="one each, without columns seq and as_of"))
        if len(seqs) == 0:
            return
        self._check_ascending(seqs)
        run = ControlRun(kind, seqs.astype(np.int64), as_ofs.astype(np.int64), table)
        part = codec.encode_run(run, self._codec)
        with self._state:
            self._group.controls.append(run)
            self._group.parts.append(part)

    def end_group(self) -> int:
        """Close the open group, whose seqs must have no gap; returns `next_seq`.

        `sync(open_group=False)`, in another thread if you like, then makes durable what was closed. When the group is
        refused (`InvalidInput`) all of it is forgotten.
        """
        self._check_open()
        with self._state:
            group = self._group
            if group.frames or group.controls:
                self._group = _OpenGroup(group.first_seq, group.as_of)
                next_seq, as_of = group.close()
                self._ended += group.frames
                self._group = _OpenGroup(next_seq, as_of)
            return self._group.first_seq

    def sync(self, *, open_group: bool = True) -> Position:
        """Write and fsync what was appended; when it returns, the records are acknowledged.

        Raises `InvalidInput` for a gap in the open group, `Temporary` when the disk refuses (then nothing is lost:
        call it again).
        """
        with self._io:
            self._check_open()
            with self._state:
                if open_group:
                    self.end_group()
                self._writing, self._ended = self._ended, []
            if self._writing:
                self._write()
            return self.position

    def _write(self) -> None:
        assert self._writer is not None
        assert self._mark is not None
        segment = self.segments[-1]
        try:
            heads, _ = self._writer.write_unit(self._writing)
        except BaseException:
            with self._state:
                self._ended = self._writing + self._ended
                self._writing = []
            raise
        self._mark.set(segment.first_seq, self._writer.length)
        with self._state:
            segment.add(Unit.of(heads), self._writer.length)
            self._writing = []
            self._synced = segment.next_seq
        if self._writer.length >= self.segment_bytes:
            self.seal()

    def seal(self) -> None:
        """Rewrite the growing segment as a sealed one (small frames joined, row-wise ones as Arrow) and start the next.

        Called by `sync` at `segment_bytes`. A crash at any step leaves the old file or the new one.
        """
        with self._io:
            self._check_open()
            segment = self.segments[-1]
            if segment.sealed or not segment.units:
                return
            assert self._writer is not None
            self._writer.close()
            self._writer = None
            sealed = sealing.seal(segment, self.identity, self._codec)
            with self._state:
                self.segments[-1] = sealed
                self._rows.clear()
            self._open_writer()

    def _open_writer(self) -> None:
        assert self._mark is not None
        if self.segments and not self.segments[-1].sealed:
            segment = self.segments[-1]
            self._writer = SegmentWriter(segment.path, segment.length)
        else:
            first = self._synced
            path = self.folder / f"{first:020d}{SUFFIX}"
            header = sealing.new_header(first, self.identity)
            self._writer = SegmentWriter(path, 0, fresh=header)
            with self._state:
                self.segments.append(Segment(path, header, [], self._writer.length))
        self._mark.set(self.segments[-1].first_seq, self._writer.length)

    def read(self, from_seq: int | None = None, to_seq: int | None = None) -> Iterator[Frame]:
        """Synced frames with `from_seq <= seq < to_seq` (None: from the first kept one, to the end), ordered by first
        seq; within one sync the ranges of frames of different kinds may interleave. Raises `Permanent` for records
        that retention has dropped, `Corrupt` for damage."""
        for low, high, frames in self._unit_frames(from_seq, to_seq):
            for frame in frames:
                clipped = codec.clip(frame, low, high)
                if clipped is not None:
                    yield clipped

    def read_groups(self, from_seq: int | None = None, to_seq: int | None = None,
                    cut: Collection[str] = CUTTING_KINDS) -> Iterator[Group]:  # fmt: skip
        """The same, as contiguous groups; a control record whose kind is in `cut` stands in a group of its own."""
        for low, high, frames in self._unit_frames(from_seq, to_seq):
            controls = [f for f in frames if isinstance(f, ControlFrame) and low <= f.seq < high]
            cuts = [f.seq for f in controls if f.kind in cut]
            borders = sorted({low, high, *cuts, *(seq + 1 for seq in cuts)})
            for start, end in itertools.pairwise(borders):
                clipped = [part for f in frames if (part := codec.clip(f, start, end)) is not None]
                if clipped:
                    yield codec.group_of(clipped)

    def _unit_frames(self, from_seq: int | None, to_seq: int | None) -> Iterator[tuple[int, int, list[Frame]]]:
        low = self.first_seq if from_seq is None else from_seq
        high = self._synced if to_seq is None else min(to_seq, self._synced)
        if low < self.first_seq:
            raise Permanent(f"records below {self.first_seq} were dropped by retention; {low} was asked for")
        with self._state:
            segments = list(self.segments)
        start = max(bisect.bisect_right([s.first_seq for s in segments], low) - 1, 0)
        for segment in segments[start:]:
            if segment.first_seq >= high:
                return
            with segment.reader() as reader:
                for unit in reader.segment.units_from(low):
                    if unit.first_seq >= high:
                        return
                    frames = [frame for head in unit.heads for frame in codec.decode(head, reader.payload(head))]
                    frames.sort(key=lambda frame: frame.first_seq)
                    yield max(low, unit.first_seq), min(high, unit.last_seq + 1), frames

    def rows(self, seqs: Int64s, columns: Sequence[str] | None = None) -> pa.Table:
        """Events by seq, in the order asked, also those not yet synced; with their `seq`. `columns` None: all.

        Raises `Permanent` naming the first seq that is no event here.
        """
        with self._state:
            pending = [*self._writing, *self._ended, *self._group.frames]
            segments = list(self.segments)
        return self._rows.rows(segments, pending, np.asarray(seqs, dtype=np.int64), columns)

    def rows_apart(self, seqs: Int64s) -> pa.Table:
        """The same for any thread: without the cache that belongs to the writer's."""
        with self._state:
            pending = [*self._writing, *self._ended, *self._group.frames]
            segments = list(self.segments)
        return sealing.RowCache().rows(segments, pending, np.asarray(seqs, dtype=np.int64), None)

    def verify(self) -> report.Report:
        """Read everything again: checksums, heads, gaps, order of as_of, `.ids` files. Nothing is raised but listed."""
        return report.verify(self)

    def stats(self) -> report.Stats:
        """Segments, bytes, rows by kind, time range, bytes an event."""
        return report.stats(self)

    def retain(self, before_seq: int) -> int:
        """Drop whole sealed segments that lie before `before_seq`, the position of a snapshot; returns how many.

        What was dropped stays counted (`dropped`), so that the ledger still reconciles. Crash-safe.
        """
        with self._io:
            self._check_open()
            if before_seq > self._synced:
                message = f"the snapshot position {before_seq} lies past the journal's end {self._synced}"
                raise InvalidInput(Problem("journal.retain", message))
            gone = [s for s in self.segments if s.sealed and s.next_seq <= before_seq]
            if gone:
                dropped = self.dropped.plus(gone, report.count)
                dropped.write(self.folder)
                sealing.remove(gone)
                with self._state:
                    self.dropped = dropped
                    self.segments = self.segments[len(gone) :]
                    self._rows.clear()
            return len(gone)

    def erase(self, texts: Collection[str], identity: Identity | None = None) -> sealing.Erasure:
        """Rewrite segments without these texts (of a person or thing); the growing segment is sealed first.

        Each value of an entity column that equals one becomes its erased form, which keeps the id; `attributes` that
        mention one become null; the rows get `Flag.ERASED`. Control records lose the texts too. Seqs, as_of and ids
        stay. Crash-safe: done segment by segment, and safe to repeat.
        """
        wanted = frozenset(texts)
        if not wanted or "" in wanted or any(not isinstance(text, str) for text in wanted):
            raise InvalidInput(Problem("journal.erase", "nothing to erase, or an empty text"))
        with self._io:
            self.sync()
            self.seal()
            total = sealing.Erasure()
            for i, segment in enumerate(self.segments):
                if segment.sealed:
                    done, rewritten = sealing.erase(segment, wanted, identity or self.identity, self._codec)
                    total = total.plus(done)
                    with self._state:
                        self.segments[i] = rewritten
                        self._rows.clear()
            return total

    def _check_ascending(self, seqs: Int64s) -> None:
        if int(seqs[0]) < self._group.first_seq or np.any(np.diff(seqs) <= 0):
            message = f"seqs must ascend from {self._group.first_seq}; they start with {int(seqs[0])}"
            raise InvalidInput(Problem("journal.seq_order", message))

    def _check_open(self) -> None:
        if self.read_only or self._closed:
            raise Permanent(f"{self.folder}: the journal is {'closed' if self._closed else 'open read-only'}")

    def close(self, *, discard: bool = False) -> None:
        """Sync (unless `discard`) and let go of the folder. Closing twice is fine."""
        if self._closed:
            return
        try:
            if not self.read_only and not discard:
                self.sync()
        finally:
            self._closed = True
            for part in (self._writer, self._mark):
                if part is not None:
                    part.close()
            if self._file_lock:
                self._file_lock.release()
