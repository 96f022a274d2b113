"""Which segments a journal's folder has, and where the units and frames stand in them.

Built by reading frame heads when the journal is opened, kept in memory by the `Journal`, changed only by it. A segment
that was rewritten since (sealed or erased, perhaps by another process) is noticed by its header and read again.
`Dropped` remembers what retention removed, so that counts still reconcile.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgpack

from shoal.errors import Corrupt, InvalidInput, Problem, Unsupported
from shoal.events.identity import Identity
from shoal.storage.frames import CONTROLS, DUPLICATES, EVENTS
from shoal.storage.segments import (
    FIRST,
    HEADER_BYTES,
    NO_TIME_HIGH,
    NO_TIME_LOW,
    AcknowledgedMark,
    Cut,
    FrameHead,
    pack_header,
    read_payload,
    scan,
    write_whole,
)

FORMAT = "shoal.journal"
SUFFIX = ".seg"
DROPPED_FORMAT, DROPPED_VERSION = "shoal.journal.dropped", 1


@dataclass(frozen=True)
class Unit:
    """Frames synced together; together they hold all seqs from first to last."""

    first_seq: int
    last_seq: int
    heads: tuple[FrameHead, ...]

    @classmethod
    def of(cls, heads: Sequence[FrameHead]) -> Unit:
        """The unit of these frames."""
        return cls(min(h.first_seq for h in heads), max(h.last_seq for h in heads), tuple(heads))


def units_of(heads: Sequence[FrameHead]) -> list[Unit]:
    """The frames of a file, grouped into units by their flags."""
    units: list[Unit] = []
    start = 0
    for i in range(1, len(heads) + 1):
        if i == len(heads) or heads[i].flags & FIRST:
            units.append(Unit.of(heads[start:i]))
            start = i
    return units


class Reader:
    """An open segment file and the index that fits it."""

    def __init__(self, file: BinaryIO, segment: Segment) -> None:
        self._file, self.segment = file, segment

    def payload(self, head: FrameHead) -> bytes:
        """A frame's payload; raises `Corrupt`."""
        return read_payload(self._file, head, self.segment.path)


@dataclass
class Segment:
    """One segment file and its index."""

    path: Path
    header: dict[str, Any]
    units: list[Unit]
    length: int
    min_time: int = NO_TIME_LOW
    max_time: int = NO_TIME_HIGH
    max_as_of: int | None = None
    _firsts: list[int] = field(default_factory=list, repr=False)
    _fresh: Segment | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        units, self.units = self.units, []
        for unit in units:
            self.add(unit, self.length)

    @property
    def first_seq(self) -> int:
        """The segment's first seq, which names the file."""
        return int(self.header["first_seq"])

    @property
    def next_seq(self) -> int:
        """The seq behind its last record."""
        return self.units[-1].last_seq + 1 if self.units else self.first_seq

    @property
    def sealed(self) -> bool:
        """Whether it is whole and closed."""
        return bool(self.header.get("sealed"))

    @property
    def ids_path(self) -> Path:
        """The sorted hash file beside it."""
        return self.path.with_suffix(".ids")

    def rows(self, kind: int) -> int:
        """Records of one kind of frame."""
        return sum(head.rows for unit in self.units for head in unit.heads if head.kind == kind)

    def add(self, unit: Unit, length: int) -> None:
        """A unit was appended; the file has this length now."""
        for head in unit.heads:
            self.min_time, self.max_time = min(self.min_time, head.min_time), max(self.max_time, head.max_time)
            if head.min_as_of <= head.max_as_of:
                known = self.max_as_of
                self.max_as_of = head.max_as_of if known is None else max(known, head.max_as_of)
        self._firsts.append(unit.first_seq)
        self.units.append(unit)
        self.length = length

    def units_from(self, seq: int) -> list[Unit]:
        """The units that hold `seq` or lie behind it."""
        return self.units[max(bisect.bisect_right(self._firsts, seq) - 1, 0) :]

    @contextlib.contextmanager
    def reader(self) -> Iterator[Reader]:
        """The open file, and this index; where the file was rewritten since, one that was read anew."""
        with self.path.open("rb") as file:
            now = os.pread(file.fileno(), HEADER_BYTES, 0)
            if now == pack_header(self.header):
                yield Reader(file, self)
                return
            if self._fresh is None or now != pack_header(self._fresh.header):
                self._fresh = load_segment(self.path, payloads=False)
            yield Reader(file, self._fresh)


@dataclass(frozen=True)
class Dropped:
    """What retention removed, all of it below `before_seq`."""

    before_seq: int = 0
    events: int = 0
    duplicates: int = 0
    controls: int = 0
    last_as_of: int | None = None

    @classmethod
    def load(cls, folder: Path) -> Dropped:
        """Read the folder's record of it."""
        path = folder / "dropped"
        if not path.exists():
            return cls()
        data = path.read_bytes()
        if len(data) < 4 or zlib.crc32(data[4:]) != int.from_bytes(data[:4], "little"):
            raise Corrupt(f"{path}: offset 0: fails its checksum")
        body = msgpack.unpackb(data[4:])
        if (body.pop("format"), body.pop("version")) != (DROPPED_FORMAT, DROPPED_VERSION):
            raise Unsupported(f"{path}: this release reads {DROPPED_FORMAT} version {DROPPED_VERSION}")
        return cls(**body)

    def write(self, folder: Path) -> None:
        """Make it durable; before the segments are removed."""
        body = msgpack.packb({"format": DROPPED_FORMAT, "version": DROPPED_VERSION, **self.__dict__})
        write_whole(folder / "dropped", [zlib.crc32(body).to_bytes(4, "little"), body])

    def plus(self, segments: Sequence[Segment], count: Callable[[Segment, int], int]) -> Dropped:
        """This and the segments."""
        as_ofs = [s.max_as_of for s in segments if s.max_as_of is not None]
        return Dropped(
            segments[-1].next_seq,
            self.events + sum(count(s, EVENTS) for s in segments),
            self.duplicates + sum(count(s, DUPLICATES) for s in segments),
            self.controls + sum(count(s, CONTROLS) for s in segments),
            max(as_ofs, default=self.last_as_of),
        )


@dataclass(frozen=True)
class SegmentLoad:
    """What opening a folder found."""

    segments: list[Segment]
    dropped: Dropped
    cuts: tuple[Cut, ...]


def load_segment(path: Path, *, payloads: bool) -> Segment:
    """The index of one sealed segment."""
    found = scan(path, FORMAT, payloads=payloads)
    return Segment(path, found.header, units_of(found.frames), found.good)


def load_segments(folder: Path, identity: Identity, *, read_only: bool) -> SegmentLoad:
    """Index a folder: finishes what a crash interrupted (unless read-only), cuts are noted but not yet made."""
    if not read_only:
        for left in folder.glob("*.tmp"):
            left.unlink()
    dropped = Dropped.load(folder)
    mark = AcknowledgedMark(folder, write=False)
    segments: list[Segment] = []
    cuts: list[Cut] = []
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    if not paths and mark.segment >= 0:
        raise Corrupt(f"{folder}: the segment {mark.segment} was acknowledged and is missing")
    expected = dropped.before_seq
    for i, path in enumerate(paths):
        if not path.stem.isdigit():
            raise InvalidInput(Problem("journal.stranger", f"{path} is no segment of a journal"))
        if int(path.stem) < dropped.before_seq:
            if not read_only:
                path.unlink()
                path.with_suffix(".ids").unlink(missing_ok=True)
            continue
        first = int(path.stem)
        is_last = i == len(paths) - 1
        found = scan(path, FORMAT, payloads=is_last, acknowledged=mark.of(first))
        check_identity(found.header, path, identity)
        segment = Segment(path, found.header, units_of(found.frames), found.good)
        if segment.first_seq != first or first != expected:
            raise Corrupt(f"{path}: offset 0: it starts with seq {segment.first_seq}; {expected} should come here")
        _check_units(segment)
        if found.cut and not is_last:
            raise Corrupt(f"{path}: offset {found.good}: {found.cut.reason}, with later segments behind it")
        if found.cut:
            cuts.append(found.cut)
        segments.append(segment)
        expected = segment.next_seq
    if segments and mark.segment > segments[-1].first_seq:
        raise Corrupt(f"{folder}: the segment {mark.segment} was acknowledged and is missing")
    return SegmentLoad(segments, dropped, tuple(cuts))


def _check_units(segment: Segment) -> None:
    expected = segment.first_seq
    for unit in segment.units:
        if unit.first_seq != expected or sum(head.rows for head in unit.heads) != unit.last_seq - expected + 1:
            offset = unit.heads[0].offset
            raise Corrupt(f"{segment.path}: offset {offset}: seqs {unit.first_seq} to {unit.last_seq} leave a gap")
        expected = unit.last_seq + 1


def identity_check(identity: Identity) -> int:
    """A number that tells one deployment's identity from another's without revealing it."""
    return identity.id_of("shoal.journal.identity")


def check_identity(header: dict[str, Any], path: Path, identity: Identity) -> None:
    """Refuse a journal that was written under another key: its ids would mean nothing."""
    if header.get("identity") != identity_check(identity):
        raise InvalidInput(
            Problem(
                "journal.identity",
                f"{path} was written under another identity key",
                hint="give the key that is stored with this journal",
            )
        )
