"""Segment files: a versioned header, then frames with checksums, in sync units that are there whole or not at all.

The journal and the decision log both write these files. A header is 512 bytes (magic, version, checksum, a msgpack
map). A frame is a fixed head (kind, encoding, rows, seqs, time ranges, checksums of head and payload) and its payload.
The frames that one sync wrote are a *unit*: the first and the last carry a flag. A unit that has a later unit behind
it, or lies below the acknowledged mark, was acknowledged; damage there is `Corrupt`. Damage behind that is a torn tail:
a crash left it, nobody was told it was safe, and it is cut and reported. Nothing here knows what a payload means.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import msgpack

from shoal.errors import Corrupt, Permanent, Temporary, Unsupported

VERSION = 1
HEADER_BYTES = 512
FIRST, LAST = 1, 2
NO_TIME_LOW, NO_TIME_HIGH = (1 << 63) - 1, -(1 << 63)

_MAGIC = b"SHOALSEG"
_PREFIX = struct.Struct("<8sIII")  # magic, version, body length, body crc
_FRAME_MAGIC = b"\xf5Fr\x0a"
_HEAD = struct.Struct("<4sIBBHIqqqqqqII")
HEAD_BYTES = _HEAD.size
MAX_PAYLOAD = 1 << 30


@dataclass(frozen=True)
class FrameHead:
    """The head of one frame. `offset` is that of the head in its file; ranges are (low > high) where unknown."""

    kind: int
    encoding: int
    rows: int
    first_seq: int
    last_seq: int
    min_as_of: int = NO_TIME_LOW
    max_as_of: int = NO_TIME_HIGH
    min_time: int = NO_TIME_LOW
    max_time: int = NO_TIME_HIGH
    flags: int = 0
    length: int = 0
    crc: int = 0
    offset: int = 0

    @property
    def payload_offset(self) -> int:
        """Where the payload starts in the file."""
        return self.offset + HEAD_BYTES

    @property
    def end(self) -> int:
        """Where the next frame starts."""
        return self.offset + HEAD_BYTES + self.length


@dataclass(frozen=True)
class Cut:
    """A torn tail that was cut on opening (or is left out of a read-only view).

    `lost_acknowledged` says that bytes are missing which had been acknowledged: not a crash, but a truncated file.
    """

    file: str
    kept_bytes: int
    cut_bytes: int
    reason: str
    lost_acknowledged: bool = False

    def __str__(self) -> str:
        text = f"{self.file}: {self.cut_bytes} bytes cut at offset {self.kept_bytes}: {self.reason}"
        return text + ("; acknowledged records are missing" if self.lost_acknowledged else "")


@dataclass
class Scan:
    """What a segment file holds, up to `good` bytes; `cut` is set when something torn follows."""

    header: dict[str, Any]
    frames: list[FrameHead]
    good: int
    cut: Cut | None = None


@dataclass(frozen=True)
class EncodedFrame:
    """A frame ready to be written."""

    head: FrameHead
    payload: bytes | memoryview = field(repr=False)

    def packed(self, first: bool, last: bool) -> bytes:
        """The head's bytes, with the unit flags set."""
        head = replace(self.head, flags=(FIRST if first else 0) | (LAST if last else 0))
        return pack_head(head)


def encode_frame(head: FrameHead, payload: bytes | memoryview) -> EncodedFrame:
    """Add length and checksum to a head."""
    if len(payload) > MAX_PAYLOAD:
        raise Permanent(f"a frame of {len(payload)} bytes is over the limit of {MAX_PAYLOAD}; append smaller batches")
    return EncodedFrame(replace(head, length=len(payload), crc=zlib.crc32(payload)), payload)


def pack_head(head: FrameHead) -> bytes:
    """The bytes of a frame head, its own checksum last."""
    body = _HEAD.pack(
        _FRAME_MAGIC, head.length, head.kind, head.encoding, head.flags, head.rows, head.first_seq, head.last_seq,
        head.min_as_of, head.max_as_of, head.min_time, head.max_time, head.crc, 0,
    )  # fmt: skip
    packed: bytes = body[:-4] + zlib.crc32(body[:-4]).to_bytes(4, "little")
    return packed


def unpack_head(data: bytes | memoryview, offset: int) -> FrameHead | None:
    """The frame head in `data` (of `HEAD_BYTES`), or None if magic or checksum are wrong."""
    magic, length, kind, encoding, flags, rows, first, last, a0, a1, t0, t1, crc, head_crc = _HEAD.unpack(data)
    if magic != _FRAME_MAGIC or zlib.crc32(data[:-4]) != head_crc or length > MAX_PAYLOAD:
        return None
    return FrameHead(kind, encoding, rows, first, last, a0, a1, t0, t1, flags, length, crc, offset)


def pack_header(header: Mapping[str, Any]) -> bytes:
    """The 512 bytes at the start of a segment file; `header` must name its `format`."""
    body: bytes = msgpack.packb(dict(header))
    if _PREFIX.size + len(body) > HEADER_BYTES:
        raise Permanent("the segment header is too large")
    return (_PREFIX.pack(_MAGIC, VERSION, len(body), zlib.crc32(body)) + body).ljust(HEADER_BYTES, b"\0")


def read_header(data: bytes | memoryview, path: Path, format_name: str) -> dict[str, Any]:
    """Parse a header; raises `Corrupt` or, for another version or format, `Unsupported`."""
    if len(data) < HEADER_BYTES:
        raise Corrupt(f"{path}: offset 0: the header is cut short")
    magic, version, length, crc = _PREFIX.unpack(data[: _PREFIX.size])
    if magic != _MAGIC:
        raise Corrupt(f"{path}: offset 0: this is not a segment file")
    if version != VERSION:
        raise Unsupported(f"{path}: segment version {version}; this release reads version {VERSION}")
    body = bytes(data[_PREFIX.size : _PREFIX.size + min(length, HEADER_BYTES)])
    padding = bytes(data[_PREFIX.size + len(body) : HEADER_BYTES])
    if len(body) != length or zlib.crc32(body) != crc or padding.strip(b"\0"):
        raise Corrupt(f"{path}: offset 0: the header fails its checksum")
    header: dict[str, Any] = msgpack.unpackb(body)
    if header.get("format") != format_name:
        raise Unsupported(f"{path}: format {header.get('format')!r}; expected {format_name!r}")
    return header


def scan(path: Path, format_name: str, *, payloads: bool, acknowledged: int = 0) -> Scan:
    """Read a segment's frame heads, and check payloads if asked.

    `acknowledged` is the number of bytes known to have been synced. A sealed file must be whole. Raises `Corrupt`
    naming file and offset for damage in acknowledged bytes.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        header = read_header(file.read(HEADER_BYTES), path, format_name)
        if size == HEADER_BYTES:
            view = mmap.mmap(-1, 1)
        else:
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with view:
            sealed = bool(header.get("sealed"))
            acknowledged = 0 if sealed else acknowledged  # a mark from before it was sealed
            result, bad, reason, short = _walk(memoryview(view), size, header, payloads)
            if sealed and (reason or size != header["length"]):
                raise Corrupt(f"{path}: offset {bad}: {reason or 'a sealed segment has another length than it says'}")
            lost = acknowledged > size
            if reason and not short and (bad < acknowledged or _later_unit(memoryview(view), bad, size)):
                raise Corrupt(f"{path}: offset {bad}: {reason}")
            if result.good < size or lost:
                result.cut = Cut(
                    str(path), result.good, size - result.good, reason or "truncated", result.good < acknowledged
                )
    return result


def _walk(view: memoryview, size: int, header: dict[str, Any], payloads: bool) -> tuple[Scan, int, str, bool]:
    """Frames up to the first bad one: (scan, offset of the bad one, what is wrong, whether it is merely incomplete)."""
    frames: list[FrameHead] = []
    whole, good, offset = 0, HEADER_BYTES, HEADER_BYTES
    reason, short = "", False
    try:
        while offset < size:
            if offset + HEAD_BYTES > size:
                reason, short = "the file ends within a frame head", True
                break
            head = unpack_head(view[offset : offset + HEAD_BYTES], offset)
            if head is None:
                reason = "a frame head fails its checksum"
                break
            if head.end > size:
                reason, short = "the file ends within a frame", True
                break
            if payloads and zlib.crc32(view[head.payload_offset : head.end]) != head.crc:
                reason = "a frame fails its checksum"
                break
            if bool(head.flags & FIRST) != (whole == len(frames)):
                reason = "a frame stands outside its unit"
                break
            frames.append(head)
            offset = head.end
            if head.flags & LAST:
                whole, good = len(frames), offset
        else:
            if whole < len(frames):
                reason, short = "the file ends within a unit", True
    finally:
        view.release()
    return Scan(header, frames[:whole], good), offset, reason, short


def _later_unit(view: memoryview, bad: int, size: int) -> bool:
    """Whether a whole frame that starts a later unit stands behind the bad one."""
    data = view.obj
    assert isinstance(data, mmap.mmap)
    try:
        at = data.find(_FRAME_MAGIC, bad + 1)
        while 0 <= at <= size - HEAD_BYTES:
            head = unpack_head(view[at : at + HEAD_BYTES], at)
            if head and head.flags & FIRST and head.end <= size:
                if zlib.crc32(view[head.payload_offset : head.end]) == head.crc:
                    return True
            at = data.find(_FRAME_MAGIC, at + 1)
        return False
    finally:
        view.release()


def read_payload(file: BinaryIO, head: FrameHead, path: Path) -> bytes:
    """A frame's payload, checked; raises `Corrupt`."""
    data = os.pread(file.fileno(), head.length, head.payload_offset)
    if len(data) != head.length or zlib.crc32(data) != head.crc:
        raise Corrupt(f"{path}: offset {head.offset}: a frame fails its checksum")
    return data


def sync_folder(folder: Path) -> None:
    """Make creations, renames and removals in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, parts: list[bytes | memoryview]) -> None:
    """Write a file so that a crash leaves the old one or the new one: aside, fsync, rename, fsync of the folder."""
    aside = path.with_name(path.name + ".tmp")
    with aside.open("wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync_folder(path.parent)


class SegmentWriter:
    """Appends units to one unsealed segment file. Owned by one journal or decision log."""

    def __init__(self, path: Path, length: int, *, fresh: Mapping[str, Any] | None = None) -> None:
        """Open for appending at `length` (what follows is cut), or create with the header `fresh`."""
        self.path = path
        if fresh is not None:
            write_whole(path, [pack_header(fresh)])
            length = HEADER_BYTES
        self._handle = os.open(path, os.O_RDWR)
        self.length = length
        if os.fstat(self._handle).st_size != length:
            os.ftruncate(self._handle, length)
            os.fsync(self._handle)

    def write_unit(self, frames: list[EncodedFrame], *, crc: int = 0) -> tuple[list[FrameHead], int]:
        """Append frames as one unit and fsync; returns their heads (placed) and the running checksum.

        A write that fails (a full disk) is undone, so that it can be tried again: `Temporary`.
        """
        heads, parts, offset = [], [], self.length
        for i, frame in enumerate(frames):
            packed = frame.packed(i == 0, i == len(frames) - 1)
            head = unpack_head(packed, offset)
            assert head is not None
            heads.append(head)
            parts += [packed, frame.payload]
            crc = zlib.crc32(frame.payload, zlib.crc32(packed, crc))
            offset = head.end
        try:
            _write_all(self._handle, parts, self.length)
            os.fsync(self._handle)
        except OSError as error:
            os.ftruncate(self._handle, self.length)
            raise Temporary(f"{self.path}: {error.strerror}") from error
        self.length = offset
        return heads, crc

    def close(self) -> None:
        """Close the file; all units are synced already."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _write_all(handle: int, parts: list[bytes | memoryview], offset: int) -> None:
    for start in range(0, len(parts), 512):
        waiting = [memoryview(part) for part in parts[start : start + 512] if len(part)]
        while waiting:
            done = os.pwritev(handle, waiting, offset)
            offset += done
            while waiting and done >= len(waiting[0]):
                done -= len(waiting.pop(0))
            if done:
                waiting[0] = waiting[0][done:]


class FolderLock:
    """The one writer's lock on a folder; falls with the process, however that ends."""

    def __init__(self, folder: Path, name: str = "writer.lock") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / name).open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise Temporary(
                f"{folder}: another process writes here (process {holder}); stop it or open read-only"
            ) from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Let go."""
        self._file.close()


_MARK = struct.Struct("<qqI")


class AcknowledgedMark:
    """A small file beside the segments: how much of which segment was acknowledged.

    It is written after each fsync and not synced itself, so it may be old but never ahead of the truth. It tells
    damage in acknowledged bytes from a torn tail where nothing else can: in the last unit.
    """

    def __init__(self, folder: Path, *, write: bool) -> None:
        self.path = folder / "acknowledged"
        self.segment, self.length = -1, 0
        data = self.path.read_bytes() if self.path.exists() else b""
        if len(data) == _MARK.size:
            segment, length, crc = _MARK.unpack(data)
            if zlib.crc32(data[:-4]) == crc:
                self.segment, self.length = segment, length
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644) if write else -1

    def of(self, segment: int) -> int:
        """Bytes of that segment known to be acknowledged."""
        return self.length if segment == self.segment else 0

    def set(self, segment: int, length: int) -> None:
        """Remember; costs one small write."""
        self.segment, self.length = segment, length
        body = _MARK.pack(segment, length, 0)[:-4]
        os.pwrite(self._handle, body + zlib.crc32(body).to_bytes(4, "little"), 0)

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
