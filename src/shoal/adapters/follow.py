"""Growing files as a stream: append-only NDJSON logs, each a partition, followed through rotation.

A file is known by its inode and its first line, not by its name: a log that is renamed and made anew (`create`), or
copied and emptied (`copytruncate`), goes on without a gap or a repeat. A line is a record once its newline is there;
what stands at the end of a rotated file without one is a record when the file has been quiet for `grace_s`. Offsets
are bytes. A `FollowSource` holds the open files and at most a line more than it has given away; it keeps no place on
disk. Files must be plain: what is compressed does not grow by lines.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np

from shoal.adapters.files import partition_names
from shoal.adapters.source import ENDED, Polled, RawBatch
from shoal.clock import Clock
from shoal.errors import InvalidInput, Problem, Where, nearest_name
from shoal.events.decode import MAX_LINE_BYTES
from shoal.events.formats import FORMATS

READ_BYTES = 1 << 20
_KEPT = MAX_LINE_BYTES + 1  # of a line that is too long: enough for the decoder to see that it is
_HEAD_BYTES = 4096
_BLANK = b" \t\r"


@dataclass
class _Tail:
    """One open file. `at`: offset behind the last line given; `pending`: what was read behind it, cut at `_KEPT` bytes
    in a line that is too long; `seen`: offset behind what was read."""

    path: str
    label: str
    stream: FileIO
    file: tuple[int, int]
    since_us: int
    partition: str = ""
    head: bytes = b""
    generation: int = 0
    at: int = 0
    seen: int = 0
    pending: bytes = b""
    rotated: bool = False


class FollowSource:
    """A `StreamSource` over growing files. See the module."""

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        format: str = "native",  # noqa: A002 - the word of the command line
        *,
        clock: Clock,
        idle_s: float = 10.0,
        grace_s: float = 5.0,
        read_bytes: int = READ_BYTES,
    ) -> None:
        """`paths`: files that exist now; `idle_s`: a file that is read to its end and was silent for so long is idle;
        `grace_s`: a rotated file that was silent for so long has ended. Raises `InvalidInput` with all problems."""
        self.paths = tuple(os.fspath(path) for path in paths)
        self.format = format
        self._check()
        self._clock, self._read_bytes = clock, read_bytes
        self._idle_us, self._grace_us = round(idle_s * 1e6), round(grace_s * 1e6)
        labels = partition_names(self.paths)
        self._labels = dict(zip(self.paths, labels, strict=True))
        mark = hashlib.sha256("\0".join([format, *sorted(map(os.path.abspath, self.paths))]).encode()).hexdigest()[:16]
        self.name = f"follow:{labels[0]}" + (f"+{len(labels) - 1}" if len(labels) > 1 else "") + f"@{mark}"
        self._known: dict[str, int] = {}
        self._tails: list[_Tail] | None = None
        self.notes: list[str] = []
        """What a person should know: a file that was not read to its end and is gone."""

    def _check(self) -> None:
        problems = []
        if not self.paths:
            problems.append(Problem("follow.none", "no file is given", hint="name the logs to follow"))
        if self.format not in FORMATS:
            near = nearest_name(self.format, FORMATS)
            allowed = ", ".join(FORMATS)
            problems.append(Problem("follow.format", f"no format {self.format!r}", allowed=allowed, nearest=near))
        for path in self.paths:
            where = Where(file=path)
            if path == "-":
                problems.append(Problem("follow.stdin", "standard input cannot be resumed", hint="follow a file"))
            elif not os.path.isfile(path):
                what = "is not a file" if os.path.exists(path) else "does not exist"
                problems.append(Problem("follow.not_found", what, where, hint="a log must be there to be followed"))
            elif not os.access(path, os.R_OK):
                problems.append(Problem("follow.unreadable", "may not be read", where))
            elif _compressed(path):
                problems.append(Problem("follow.compressed", "is compressed", where, hint="read it without --follow"))
        for path in {path for path in self.paths if self.paths.count(path) > 1}:
            problems.append(Problem("follow.twice", "is named twice", Where(file=path)))
        if problems:
            raise InvalidInput(problems)

    def seek(self, offsets: Mapping[str, int]) -> None:
        """Go on at these offsets; files that were rotated away since then are looked for beside their logs."""
        self._known = dict(offsets)

    def _begin(self) -> list[_Tail]:
        tails = [self._open(path, path) for path in self.paths]
        for tail in tails:
            self._identify(tail)
        current = {tail.partition for tail in tails}
        for partition, offset in self._known.items():
            if partition not in current and offset != ENDED and not self._newer(partition, current):
                older = self._rotated(partition)
                if older is None:
                    self.notes.append(f"{partition}: its file is gone; what stood behind byte {offset} was not read")
                else:
                    tails.append(older)
        return tails

    @staticmethod
    def _newer(partition: str, current: set[str]) -> bool:
        """Whether a later generation of the same file is read: it was emptied, so there is nothing left to look for."""
        return any(name.rpartition(".")[0] == partition.rpartition(".")[0] for name in current)

    def _open(self, path: str, log: str, *, rotated: bool = False) -> _Tail:
        stream = FileIO(path)
        status = os.fstat(stream.fileno())
        file = (status.st_dev, status.st_ino)
        return _Tail(path, self._labels[log], stream, file, self._clock.now_us(), rotated=rotated)

    def _identify(self, tail: _Tail) -> None:
        """Give the file its partition once its first line (or its first 4 KiB) is there, and go to its offset."""
        head = os.pread(tail.stream.fileno(), _HEAD_BYTES, 0)
        end = head.find(b"\n") + 1
        if not end and len(head) < _HEAD_BYTES and not tail.rotated:
            return
        tail.head = head[:end] if end else head
        digest = hashlib.blake2b(tail.head, digest_size=6).hexdigest()
        stem = f"{tail.label}#{tail.file[1]:x}.{digest}"
        known = [int(name.rpartition(".")[2]) for name in self._known if name.rpartition(".")[0] == stem]
        tail.generation = max(known, default=0)
        offset = self._known.get(f"{stem}.{tail.generation}", 0)
        if os.fstat(tail.stream.fileno()).st_size < offset:
            tail.generation, offset = tail.generation + 1, 0
        tail.partition = f"{stem}.{tail.generation}"
        tail.at = tail.seen = offset
        tail.pending = b""
        self._known.setdefault(tail.partition, offset)

    def _rotated(self, partition: str) -> _Tail | None:
        """The file of a partition that stands under its log's name no more: looked for among its siblings."""
        label, _, rest = partition.rpartition("#")
        inode = rest.partition(".")[0]
        for log in self.paths:
            if self._labels[log] != label:
                continue
            beside = Path(log)
            for path in sorted(beside.parent.glob(f"{_escaped(beside.name)}*")):
                if path.is_file() and f"{path.stat().st_ino:x}" == inode:
                    tail = self._open(os.fspath(path), log, rotated=True)
                    self._identify(tail)
                    if tail.partition == partition:
                        return tail
                    tail.stream.close()
        return None

    def partitions(self) -> frozenset[str]:
        """The files that are known by their first line."""
        if self._tails is None:
            self._tails = self._begin()
        return frozenset(tail.partition for tail in self._tails if tail.partition)

    def poll(self, timeout_s: float) -> Polled:
        """Up to 1 MiB of each file."""
        if self._tails is None:
            self._tails = self._begin()
        found = self._pass()
        if not found.batches and timeout_s > 0:
            time.sleep(timeout_s)
            again = self._pass()
            found = Polled(again.batches, found.idle | again.idle, found.ended | again.ended)
        return found

    def _pass(self) -> Polled:
        assert self._tails is not None
        now = self._clock.now_us()
        self._tails += list(self._turned())
        batches, idle, ended = [], set(), set()
        for tail in list(self._tails):
            if self._emptied(tail):
                if tail.partition:
                    ended.add(tail.partition)
                self._restart(tail)
            batch = self._read(tail)
            silent = now - tail.since_us
            if batch is None and tail.rotated and silent >= self._grace_us:
                batch = self._last_line(tail)
                self._tails.remove(tail)
                tail.stream.close()
                if tail.partition:
                    ended.add(tail.partition)
            elif batch is None and tail.partition and silent >= self._idle_us:
                idle.add(tail.partition)
            if batch is not None and len(batch.offsets):
                batches.append(batch)
        return Polled(tuple(batches), frozenset(idle), frozenset(ended))

    def _turned(self) -> Iterator[_Tail]:
        """Marks files that stand under their log's name no more as rotated, and opens what stands there now."""
        assert self._tails is not None
        for log in self.paths:
            tail = next((t for t in self._tails if t.path == log and not t.rotated), None)
            try:
                status = os.stat(log)
            except FileNotFoundError:
                status = None
            if tail is not None and (status is None or (status.st_dev, status.st_ino) != tail.file):
                tail.rotated, tail.since_us = True, self._clock.now_us()
                tail = None
            if tail is None and status is not None:
                try:
                    yield self._open(log, log)
                except FileNotFoundError:  # rotated again this very moment
                    continue

    def _emptied(self, tail: _Tail) -> bool:
        """Whether the file was emptied, and maybe filled again, since it was read."""
        size = os.fstat(tail.stream.fileno()).st_size
        if size < tail.seen:
            return True
        grown = size > tail.seen and tail.head
        return bool(grown) and os.pread(tail.stream.fileno(), len(tail.head), 0) != tail.head

    def _restart(self, tail: _Tail) -> None:
        if tail.partition:
            self._known[tail.partition] = ENDED
        tail.partition, tail.head, tail.at, tail.seen, tail.pending = "", b"", 0, 0, b""
        tail.since_us = self._clock.now_us()

    def _read(self, tail: _Tail) -> RawBatch | None:
        """The whole lines that came; None where nothing came at all."""
        if not tail.partition:
            self._identify(tail)
            if not tail.partition:
                return None
        chunk = os.pread(tail.stream.fileno(), self._read_bytes, tail.seen)
        if not chunk:
            return None
        tail.since_us = self._clock.now_us()
        skipped = tail.seen - tail.at - len(tail.pending)  # of a line that is too long
        tail.seen += len(chunk)
        end = chunk.rfind(b"\n") + 1
        if not end:
            room = max(0, _KEPT - len(tail.pending))
            tail.pending += chunk[:room]
            return RawBatch(tail.partition, np.zeros(0, np.int64), tail.at, b"")
        hidden = skipped + chunk.find(b"\n") if skipped else 0
        lines = chunk[chunk.find(b"\n") : end] if skipped else chunk[:end]
        batch = self._batch(tail, tail.pending + lines, hidden)
        tail.at, tail.pending = batch.next_offset, chunk[end:][:_KEPT]
        return batch

    def _batch(self, tail: _Tail, data: bytes, hidden: int) -> RawBatch:
        """Whole lines from `tail.at` on as a batch; `hidden`: bytes of the first line that are not in `data`."""
        offsets, kept, at = [], [], tail.at
        for line in data.removesuffix(b"\n").split(b"\n"):
            text = line.removeprefix(b"\xef\xbb\xbf") if at == 0 else line
            if text.strip(_BLANK):
                offsets.append(at)
                kept.append(text)
            at += len(line) + 1 + hidden
            hidden = 0
        if not data.endswith(b"\n"):
            at -= 1
        joined = b"".join(line + b"\n" for line in kept)
        return RawBatch(tail.partition, np.array(offsets, dtype=np.int64), at, joined)

    def _last_line(self, tail: _Tail) -> RawBatch | None:
        if not tail.partition or not tail.pending:
            return None
        return self._batch(tail, tail.pending, tail.seen - tail.at - len(tail.pending))

    def commit(self, offsets: Mapping[str, int]) -> None:
        """Nothing to do: the offsets stand in the journal."""

    def close(self) -> None:
        """Close the files."""
        for tail in self._tails or ():
            tail.stream.close()
        self._tails = []


def _compressed(path: str) -> bool:
    with open(path, "rb") as stream:
        head = stream.read(4)
    return head.startswith(b"\x1f\x8b") or head == b"\x28\xb5\x2f\xfd"


def _escaped(name: str) -> str:
    """A file's name as a pattern that matches it alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
