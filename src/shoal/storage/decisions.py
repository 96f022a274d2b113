"""Decision segments: every decision, in columns, in files of the journal's kind. Hot path.

Each `append` is one frame (an Arrow IPC stream of any schema with an ascending `seq`), each `sync` one unit that a
crash leaves whole or not at all. The store records the `DecisionMark` of each commit; on start `cut_to` takes the log
back to it, and what was decided past it is decided again. The `DecisionLog` owns its folder through a lock.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from shoal.errors import Corrupt, InvalidInput, Permanent, Problem
from shoal.storage import frames as codec
from shoal.storage.frames import ARROW, DECISIONS, REVISIONS
from shoal.storage.segments import (
    HEADER_BYTES,
    AcknowledgedMark,
    Cut,
    EncodedFrame,
    FolderLock,
    FrameHead,
    SegmentWriter,
    encode_frame,
    read_payload,
    scan,
    sync_folder,
)

FORMAT = "shoal.decisions"
SUFFIX = ".dec"


@dataclass(frozen=True)
class DecisionMark:
    """What the store records of the log: the last segment's number, its length in bytes, and the CRC-32 of its frames
    up to there."""

    segment: int
    length: int
    crc: int


@dataclass
class _File:
    path: Path
    number: int
    heads: list[FrameHead] = field(default_factory=list)
    length: int = HEADER_BYTES


class DecisionLog:
    """One writer's decision log, or a read-only view. See the module."""

    def __init__(self, folder: Path, *, segment_bytes: int, compression: str, read_only: bool) -> None:
        """Use `DecisionLog.open`."""
        self.folder, self.segment_bytes, self.read_only = folder, segment_bytes, read_only
        self._codec = codec.codec_of(compression)
        self._lock = None if read_only else FolderLock(folder)
        self._mark: AcknowledgedMark | None = None
        self._writer: SegmentWriter | None = None
        self._waiting: list[EncodedFrame] = []
        self._files: list[_File] = []
        self._crc = 0
        self._closed = False
        try:
            self.cuts: tuple[Cut, ...] = self._load()
            if not read_only:
                self._mark = AcknowledgedMark(folder, write=True)
                self._open_writer()
        except BaseException:
            self._release()
            raise

    @classmethod
    def open(
        cls, folder: str | Path, *, segment_bytes: int = 256 << 20, compression: str = "zstd", read_only: bool = False
    ) -> DecisionLog:
        """Open or create; a torn tail is cut and listed in `cuts`. Raises `Temporary` when another writer holds the
        folder, `Corrupt` for damage, `InvalidInput` for bad settings."""
        problems = []
        if not 64 << 10 <= segment_bytes <= 4 << 30:
            message = f"segment_bytes is {segment_bytes}"
            problems.append(Problem("decisions.segment_bytes", message, allowed="65536 to 4294967296"))
        if read_only and not Path(folder).is_dir():
            problems.append(Problem("decisions.no_folder", f"there is no decision log in {folder}"))
        if problems:
            raise InvalidInput(problems)
        return cls(Path(folder), segment_bytes=segment_bytes, compression=compression, read_only=read_only)

    def __enter__(self) -> DecisionLog:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(discard=kind is not None)

    def _load(self) -> tuple[Cut, ...]:
        cuts = []
        if not self.read_only:
            for left in self.folder.glob("*.tmp"):
                left.unlink()
        paths = sorted(self.folder.glob(f"*{SUFFIX}"))
        known = AcknowledgedMark(self.folder, write=False)
        for i, path in enumerate(paths):
            if not path.stem.isdigit():
                raise InvalidInput(Problem("decisions.stranger", f"{path} is no segment of a decision log"))
            last = i == len(paths) - 1
            number = int(path.stem)
            found = scan(path, FORMAT, payloads=last, acknowledged=known.of(number))
            if found.header.get("number") != number or (self._files and number != self._files[-1].number + 1):
                raise Corrupt(f"{path}: offset 0: segment {number} stands out of order")
            if found.cut and not last:
                raise Corrupt(f"{path}: offset {found.good}: {found.cut.reason}, with later segments behind it")
            if found.cut:
                cuts.append(found.cut)
            self._files.append(_File(path, number, found.frames, found.good))
        return tuple(cuts)

    def _open_writer(self) -> None:
        assert self._mark is not None
        if not self._files:
            self._start(0)
            return
        last = self._files[-1]
        self._writer = SegmentWriter(last.path, last.length)
        self._crc = _crc_of(last.path, last.length)
        self._mark.set(last.number, last.length)

    def _start(self, number: int) -> None:
        assert self._mark is not None
        if self._writer:
            self._writer.close()
        path = self.folder / f"{number:012d}{SUFFIX}"
        self._writer = SegmentWriter(path, 0, fresh={"format": FORMAT, "number": number})
        self._files.append(_File(path, number))
        self._crc = 0
        self._mark.set(number, HEADER_BYTES)

    @property
    def mark(self) -> DecisionMark:
        """Where the synced log ends."""
        if not self._files:
            return DecisionMark(0, HEADER_BYTES, 0)
        last = self._files[-1]
        crc = _crc_of(last.path, last.length) if self.read_only else self._crc
        return DecisionMark(last.number, last.length, crc)

    def append(self, table: pa.Table, *, revisions: bool = False) -> None:
        """Add decisions, or `revisions` of earlier ones, which are read apart: a table of any schema whose int64
        column `seq` does not go back and has no nulls (one event
        may have several rows). Not durable before `sync`. Raises `InvalidInput`."""
        self._check_open()
        if "seq" not in table.column_names or table.schema.field("seq").type != pa.int64() or table["seq"].null_count:
            raise InvalidInput(Problem("decisions.no_seq", "decisions need an int64 column 'seq' without nulls"))
        if table.num_rows == 0:
            return
        seqs = codec.column_array(table, "seq")
        if np.any(np.diff(seqs) < 0):
            raise InvalidInput(Problem("decisions.seq_order", "the seqs of decisions must not go back"))
        payload = codec.arrow_bytes(table, self._codec)
        head = FrameHead(REVISIONS if revisions else DECISIONS, ARROW, table.num_rows, int(seqs[0]), int(seqs[-1]))
        self._waiting.append(encode_frame(head, payload))

    def sync(self) -> DecisionMark:
        """Write and fsync what was appended; returns the mark for the store. `Temporary` when the disk refuses (then
        call it again)."""
        self._check_open()
        assert self._writer is not None
        assert self._mark is not None
        if self._waiting:
            if self._writer.length >= self.segment_bytes:
                self._start(self._files[-1].number + 1)
            heads, self._crc = self._writer.write_unit(self._waiting, crc=self._crc)
            self._waiting = []
            last = self._files[-1]
            last.heads += heads
            last.length = self._writer.length
            self._mark.set(last.number, last.length)
        return self.mark

    def cut_to(self, mark: DecisionMark | None) -> int:
        """Cut back to what the store recorded (None: to nothing); returns how many bytes went.

        Raises `Corrupt` when less is there than was recorded, or other bytes.
        """
        self._check_open()
        assert self._writer is not None
        assert self._mark is not None
        self._waiting = []
        first = self._files[0]
        mark = mark or DecisionMark(first.number, HEADER_BYTES, 0)
        target = next((file for file in self._files if file.number == mark.segment), None)
        if target is None or target.length < mark.length:
            raise Corrupt(f"{self.folder}: the store has recorded segment {mark.segment} up to {mark.length}; it is "
                          f"{'missing' if target is None else f'{target.length} long'}")  # fmt: skip
        if mark.length != HEADER_BYTES and mark.length not in {head.end for head in target.heads}:
            raise Corrupt(f"{target.path}: offset {mark.length}: the recorded length is no end of a frame")
        if _crc_of(target.path, mark.length) != mark.crc:
            raise Corrupt(f"{target.path}: offset {mark.length}: the recorded checksum differs")
        gone = self._files[self._files.index(target) + 1 :]
        cut = target.length - mark.length + sum(file.length for file in gone)
        if cut:
            self._writer.close()
            self._mark.set(mark.segment, mark.length)
            for file in reversed(gone):
                file.path.unlink()
            sync_folder(self.folder)
            del self._files[len(self._files) - len(gone) :]
            target.heads = [head for head in target.heads if head.end <= mark.length]
            target.length = mark.length
            self._writer = SegmentWriter(target.path, mark.length)
        self._crc = mark.crc
        return cut

    def read(
        self,
        from_seq: int = 0,
        to_seq: int | None = None,
        columns: Sequence[str] | None = None,
        *,
        revisions: bool = False,
    ) -> Iterator[pa.Table]:
        """Tables of the synced rows with `from_seq <= seq < to_seq`, in the order written; of `columns` those that are
        there. `revisions`: those instead of the first decisions. Raises `Corrupt` for damage."""
        kind = REVISIONS if revisions else DECISIONS
        wanted = None if columns is None else ["seq", *columns]
        for file in list(self._files):
            heads = [
                h
                for h in file.heads
                if h.kind == kind and h.last_seq >= from_seq and (to_seq is None or h.first_seq < to_seq)
            ]
            if not heads:
                continue
            with file.path.open("rb") as handle:
                for head in heads:
                    table = codec.arrow_table(read_payload(handle, head, file.path), wanted)
                    seqs = codec.column_array(table, "seq")
                    start = int(np.searchsorted(seqs, from_seq))
                    end = len(seqs) if to_seq is None else int(np.searchsorted(seqs, to_seq))
                    yield table.slice(start, end - start)

    def retain(self, before_seq: int) -> int:
        """Drop whole segments, all but the last, whose decisions lie before `before_seq`; returns how many."""
        self._check_open()
        gone = 0
        while len(self._files) > 1 and all(head.last_seq < before_seq for head in self._files[0].heads):
            self._files.pop(0).path.unlink()
            gone += 1
        if gone:
            sync_folder(self.folder)
        return gone

    def _check_open(self) -> None:
        if self.read_only or self._closed:
            raise Permanent(f"{self.folder}: the log is {'closed' if self._closed else 'open read-only'}")

    def close(self, *, discard: bool = False) -> None:
        """Sync (unless `discard`) and let go of the folder. Closing twice is fine."""
        if self._closed:
            return
        try:
            if not self.read_only and not discard:
                self.sync()
        finally:
            self._release()

    def _release(self) -> None:
        self._closed = True
        for part in (self._writer, self._mark):
            if part is not None:
                part.close()
        if self._lock:
            self._lock.release()


def _crc_of(path: Path, length: int) -> int:
    """The checksum of a segment's frames up to `length` bytes of the file."""
    crc, left = 0, length - HEADER_BYTES
    with path.open("rb") as file:
        file.seek(HEADER_BYTES)
        while left > 0:
            data = file.read(min(left, 1 << 20))
            if not data:
                break
            crc, left = zlib.crc32(data, crc), left - len(data)
    return crc
