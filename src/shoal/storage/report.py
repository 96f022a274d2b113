"""What a journal holds, and whether it is sound: `stats` and `verify`.

Both only read, and work on a journal that another process is writing. `verify` reads every byte and lists what is wrong
as problems; it raises nothing. The ledger reconciles with `stats`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shoal.errors import Problem, ShoalError, Where
from shoal.storage import frames as codec
from shoal.storage import ids
from shoal.storage.catalog import Segment
from shoal.storage.frames import CONTROLS, DUPLICATES, EVENTS, ControlRun, DuplicateFrame, EventFrame
from shoal.storage.segments import NO_TIME_HIGH, NO_TIME_LOW, Cut, FrameHead

if TYPE_CHECKING:
    from shoal.storage.journal import Journal


@dataclass(frozen=True)
class Stats:
    """Counts of what is kept; times in µs, None where there are none. `dropped_*`: removed by retention."""

    segments: int
    sealed: int
    bytes: int
    id_bytes: int
    frames: int
    events: int
    duplicates: int
    controls: int
    control_kinds: dict[str, int]
    first_seq: int
    next_seq: int
    first_as_of: int | None
    last_as_of: int | None
    first_time: int | None
    last_time: int | None
    bytes_per_event: float
    erasures: int
    dropped_events: int
    dropped_duplicates: int
    dropped_controls: int
    cuts: tuple[Cut, ...]


@dataclass(frozen=True)
class Report:
    """The outcome of `verify`: what was read, and all that is wrong with it."""

    segments: int
    frames: int
    bytes: int
    events: int
    duplicates: int
    controls: int
    problems: tuple[Problem, ...]
    cuts: tuple[Cut, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong. A torn tail that was cut is no fault, unless acknowledged records are missing."""
        return not self.problems and not any(cut.lost_acknowledged for cut in self.cuts)


def count(segment: Segment, kind: int) -> int:
    """Records of one kind in a segment."""
    return segment.rows(kind)


def _heads(segment: Segment) -> Iterator[FrameHead]:
    for unit in segment.units:
        yield from unit.heads


def stats(journal: Journal) -> Stats:
    """See `Journal.stats`. Reads frame heads (in memory) and the control records."""
    kinds: Counter[str] = Counter()
    low_as_of, high_as_of, low_time, high_time = NO_TIME_LOW, NO_TIME_HIGH, NO_TIME_LOW, NO_TIME_HIGH
    frames = 0
    rows: Counter[int] = Counter()
    for segment in journal.segments:
        controls = []
        for head in _heads(segment):
            frames += 1
            rows[head.kind] += head.rows
            low_as_of, high_as_of = min(low_as_of, head.min_as_of), max(high_as_of, head.max_as_of)
            low_time, high_time = min(low_time, head.min_time), max(high_time, head.max_time)
            if head.kind == CONTROLS:
                controls.append(head)
        if controls:
            with segment.reader() as reader:
                for head in [h for h in _heads(reader.segment) if h.kind == CONTROLS]:
                    for record in codec.decode_controls(reader.payload(head)):
                        kinds[record.kind] += len(record.seqs) if isinstance(record, ControlRun) else 1
    size = sum(segment.length for segment in journal.segments)
    return Stats(
        segments=len(journal.segments),
        sealed=sum(segment.sealed for segment in journal.segments),
        bytes=size,
        id_bytes=sum(s.ids_path.stat().st_size for s in journal.segments if s.ids_path.exists()),
        frames=frames,
        events=rows[EVENTS],
        duplicates=rows[DUPLICATES],
        controls=rows[CONTROLS],
        control_kinds=dict(sorted(kinds.items())),
        first_seq=journal.first_seq,
        next_seq=journal.synced_seq,
        first_as_of=low_as_of if low_as_of <= high_as_of else None,
        last_as_of=high_as_of if low_as_of <= high_as_of else None,
        first_time=low_time if low_time <= high_time else None,
        last_time=high_time if low_time <= high_time else None,
        bytes_per_event=size / rows[EVENTS] if rows[EVENTS] else 0.0,
        erasures=sum(int(segment.header.get("erasures", 0)) for segment in journal.segments),
        dropped_events=journal.dropped.events,
        dropped_duplicates=journal.dropped.duplicates,
        dropped_controls=journal.dropped.controls,
        cuts=journal.cuts,
    )


class _Check:
    """The running state of one verification."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.frames = self.size = 0
        self.rows: Counter[int] = Counter()
        self.as_of = NO_TIME_HIGH
        self.expected = 0

    def wrong(self, slug: str, message: str, segment: Segment, head: FrameHead | None = None) -> None:
        place = f"offset {head.offset}" if head else ""
        self.problems.append(Problem(f"journal.{slug}", message, Where(str(segment.path), 0, place)))

    def unit(self, segment: Segment, heads: tuple[FrameHead, ...], payloads: list[bytes]) -> None:
        seqs, stamps, at = [], [], []
        for head, payload in zip(heads, payloads, strict=True):
            self.frames += 1
            self.rows[head.kind] += head.rows
            decoded = codec.decode(head, payload)
            count = 0
            for frame in decoded:
                if isinstance(frame, EventFrame):
                    own = codec.column_array(frame.table, "seq")
                    stamps.append(codec.column_array(frame.table, "as_of"))
                    at.append(own)
                elif isinstance(frame, DuplicateFrame):
                    own = frame.seqs
                    if np.any(frame.originals >= own):
                        self.wrong("duplicate_order", "a duplicate repeats a record behind it", segment, head)
                elif isinstance(frame, ControlRun):
                    own = frame.seqs
                    stamps.append(frame.as_ofs)
                    at.append(own)
                else:
                    own = np.array([frame.seq], dtype=np.int64)
                    stamps.append(np.array([frame.as_of], dtype=np.int64))
                    at.append(own)
                seqs.append(own)
                count += len(own)
            first = min((int(own[0]) for own in seqs[len(seqs) - len(decoded) :] if len(own)), default=None)
            if count != head.rows or first != head.first_seq:
                self.wrong("head", f"the head tells {head.rows} rows from {head.first_seq}", segment, head)
        every = np.sort(np.concatenate(seqs))
        if not np.array_equal(every, np.arange(self.expected, self.expected + len(every))):
            self.wrong("seq_gap", f"the seqs from {self.expected} on are not complete", segment, heads[0])
        self.expected = int(every[-1]) + 1
        if stamps:
            line = np.concatenate(stamps)[np.argsort(np.concatenate(at), kind="stable")]
            if np.any(np.diff(line) < 0) or line[0] < self.as_of:
                self.wrong("as_of_order", "as_of goes back", segment, heads[0])
            self.as_of = max(self.as_of, int(line.max()))


def verify(journal: Journal) -> Report:
    """See `Journal.verify`."""
    check = _Check()
    check.expected = journal.first_seq
    for segment in journal.segments:
        if segment.first_seq != check.expected:
            check.wrong("seq_gap", f"it starts with {segment.first_seq}, not {check.expected}", segment)
            check.expected = segment.first_seq
        check.size += segment.length
        try:
            with segment.reader() as reader:
                for unit in reader.segment.units:
                    try:
                        payloads = [reader.payload(head) for head in unit.heads]
                        check.unit(segment, unit.heads, payloads)
                    except (ShoalError, ValueError, TypeError, OSError) as error:
                        check.wrong("corrupt", str(error), segment, unit.heads[0])
                        check.expected = unit.last_seq + 1
        except (ShoalError, OSError) as error:
            check.wrong("corrupt", str(error), segment)
            check.expected = segment.next_seq
        if segment.sealed:
            found = ids.open_ids(segment, journal.identity, write=False)
            if found is None or not found.check():
                message = f"{segment.ids_path.name} is missing or damaged; it is written anew on the next start"
                check.wrong("ids", message, segment)
    return Report(
        len(journal.segments), check.frames, check.size, check.rows[EVENTS], check.rows[DUPLICATES],
        check.rows[CONTROLS], tuple(check.problems), journal.cuts,
    )  # fmt: skip
