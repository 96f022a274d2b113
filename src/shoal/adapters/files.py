"""Files as a source: plain, gzip and Zstandard files, and standard input, decoded block by block.

Compressed streams are decompressed as they are read, under a bound on how much they may grow, so that a small hostile
file cannot fill the machine. The partition of a record is its file's name, its offset its number in the file. A file
that ends early or is damaged gives what could be read and one dead letter (`source.truncated`). A `FileSource` holds
one open file and its counters while it is iterated; it knows no journal.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import zstandard

from shoal.errors import InvalidInput, Problem, Where, nearest_name
from shoal.events.deadletters import DeadLetter, dead_letter, write_dead_letters
from shoal.events.decode import Decoded
from shoal.events.formats import FORMATS, guess_format
from shoal.events.framing import HEAD_BYTES, frame

STDIN = "-"
READ_BYTES = 1 << 18
STEP_BYTES = 1024  # of Zstandard input at once: a block of 4 bytes may give 128 KiB
BLOCK_BYTES = 1 << 22
MAX_RATIO = 1000
"""A compressed stream may grow to this many times its bytes (NDJSON logs reach about 100) …"""
FREE_BYTES = 1 << 26
"""… once it has given 64 MiB."""
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Overgrown(ValueError):  # noqa: N818 - becomes a dead letter
    """A compressed stream grew beyond the bound."""


class FileSource:
    """Iterates `Decoded` over files.

    `paths`: files, or `-` for standard input; `format`: a name of `FORMATS`, or "auto" (a guess from each file's first
    bytes). Raises `InvalidInput` with all problems at once for files that are not there and formats that are not known.
    `bytes_done` of `bytes_total` (compressed bytes; None with standard input) have been read.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        format: str = "auto",  # noqa: A002 - the word of the command line
        *,
        source: str = "files",
        block_bytes: int = BLOCK_BYTES,
        max_ratio: int = MAX_RATIO,
    ) -> None:
        self.paths = tuple(os.fspath(path) for path in paths)
        self.format = format
        self.source = source
        self._block_bytes = block_bytes
        self._max_ratio = max_ratio
        self._check()
        self.partitions = partition_names(self.paths)
        self.bytes_done = 0
        self.bytes_total: int | None = None
        if STDIN not in self.paths:
            self.bytes_total = sum(os.path.getsize(path) for path in self.paths)
        self.records_read = 0
        self.records_dead = 0
        self.formats: dict[str, str] = {}
        """Partition → format, known once the file has been begun."""

    def _check(self) -> None:
        problems = []
        if not self.paths:
            problems.append(Problem("files.none", "no file is given", hint="name files, or - for standard input"))
        if self.format != "auto" and self.format not in FORMATS:
            allowed = ", ".join([*FORMATS, "auto"])
            near = nearest_name(self.format, FORMATS)
            problems.append(Problem("files.format", f"no format {self.format!r}", allowed=allowed, nearest=near))
        for path in self.paths:
            if path != STDIN and not os.path.isfile(path):
                what = "is not a file" if os.path.exists(path) else "does not exist"
                problems.append(Problem("files.not_found", what, Where(file=path)))
            elif path != STDIN and not os.access(path, os.R_OK):
                problems.append(Problem("files.unreadable", "may not be read", Where(file=path)))
        if self.paths.count(STDIN) > 1:
            problems.append(Problem("files.stdin_twice", "standard input is named twice"))
        if problems:
            raise InvalidInput(problems)

    def __iter__(self) -> Iterator[Decoded]:
        """Decode all files, one after the other; each block's `Decoded` as it is ready."""
        for path, partition in zip(self.paths, self.partitions, strict=True):
            if path == STDIN:
                yield from self._read(sys.stdin.buffer, partition)
            else:
                with open(path, "rb") as stream:
                    yield from self._read(stream, partition)

    def _read(self, stream: BinaryIO, partition: str) -> Iterator[Decoded]:
        faults: list[str] = []
        chunks = _Peeked(self._chunks(stream, faults))
        name = self.format if self.format != "auto" else guess_format(chunks.head())
        if name is None:
            where = Where(file=partition)
            allowed = ", ".join(FORMATS)
            raise InvalidInput(
                Problem("files.unknown_format", "the format cannot be told from the file", where, allowed=allowed)
            )
        self.formats[partition] = name
        chosen = FORMATS[name]
        decoder = chosen.decoder(self.source, partition)
        offset = 0
        for block in frame(chunks, chosen.framing, self._block_bytes):
            decoded = decoder.decode(block, offset)
            offset += decoded.read
            self._count(decoded)
            yield decoded
        for fault in faults:
            letter = dead_letter(self.source, partition, offset, "source.truncated", fault, b"")
            decoded = Decoded(dead=(letter,), read=1)
            self._count(decoded)
            yield decoded

    def _count(self, decoded: Decoded) -> None:
        self.records_read += decoded.read
        self.records_dead += len(decoded.dead)

    def _chunks(self, stream: BinaryIO, faults: list[str]) -> Iterator[bytes]:
        """Decompressed chunks; what is wrong with the stream goes to `faults` and ends it."""
        try:
            yield from expand(self._raw(stream), self._max_ratio)
        except (zlib.error, zstandard.ZstdError, EOFError, Overgrown) as error:
            faults.append(str(error))

    def _raw(self, stream: BinaryIO) -> Iterator[bytes]:
        while chunk := stream.read(READ_BYTES):
            self.bytes_done += len(chunk)
            yield chunk


class _Peeked:
    """Chunks whose first bytes can be looked at before they are read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held: list[bytes] = []

    def head(self) -> bytes:
        """The first bytes; they are still given when iterated."""
        while sum(map(len, self._held)) < HEAD_BYTES:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._held.append(chunk)
        return b"".join(self._held)[:HEAD_BYTES]

    def __iter__(self) -> Iterator[bytes]:
        yield from self._held
        yield from self._chunks


def expand(raw: Iterator[bytes], max_ratio: int = MAX_RATIO) -> Iterator[bytes]:
    """Decompress a stream of bytes by its own first bytes (gzip, Zstandard, else as it is).

    Takes files of several gzip members or Zstandard frames. Raises `EOFError` where the stream ends early, `Overgrown`
    beyond the bound, `zlib.error` or `ZstdError` where it is damaged.
    """
    first = next(raw, b"")
    if first.startswith(_GZIP):
        return _expand(_chain(first, raw), _GzipMember, max_ratio)
    if first.startswith(_ZSTD):
        return _expand(_chain(first, raw), _ZstdFrame, max_ratio)
    return _chain(first, raw)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


class _GzipMember:
    """One gzip member: gives at most some bytes a step, so that memory stays bounded."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def step(self, data: bytes | memoryview) -> tuple[bytes, bytes | memoryview, bool]:
        """(bytes out, bytes not yet used, whether the member has ended)."""
        out = self._inflater.decompress(data, BLOCK_BYTES)
        if self._inflater.eof:
            return out, self._inflater.unused_data, True
        return out, self._inflater.unconsumed_tail, False


class _ZstdFrame:
    """One Zstandard frame, with a bound on its window (128 MiB)."""

    def __init__(self) -> None:
        self._inflater = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()

    def step(self, data: bytes | memoryview) -> tuple[bytes, bytes | memoryview, bool]:
        """(bytes out, bytes not yet used, whether the frame has ended); fed in small steps, as a block may grow."""
        view = memoryview(data)
        part, rest = view[:STEP_BYTES], view[STEP_BYTES:]
        out = self._inflater.decompress(part)
        if self._inflater.eof:
            return out, self._inflater.unused_data + bytes(rest), True
        return out, rest, False


def _expand(raw: Iterator[bytes], member: type[_GzipMember] | type[_ZstdFrame], max_ratio: int) -> Iterator[bytes]:
    used = given = 0
    current: _GzipMember | _ZstdFrame | None = None
    for chunk in raw:
        used += len(chunk)
        data: bytes | memoryview = chunk
        while data:
            if current is None:
                data = bytes(data).lstrip(b"\0")  # padding between members, as tape and some tools write it
                if not data:
                    break
                current = member()
            out, data, ended = current.step(data)
            given += len(out)
            if given > FREE_BYTES and given > used * max_ratio:
                raise Overgrown(f"the compressed stream grew to more than {max_ratio} times its size")
            if out:
                yield out
            if ended:
                current = None
    if current is not None:
        raise EOFError("the compressed stream ends early")


def partition_names(paths: Sequence[str]) -> tuple[str, ...]:
    """The files' names; with their folders where two files have the same name."""
    names = ["stdin" if path == STDIN else Path(path).name for path in paths]
    return tuple(path if names.count(name) > 1 else name for path, name in zip(paths, names, strict=True))


def save_dead_letters(letters: Iterable[DeadLetter], path: Path) -> int:
    """Append dead letters to an NDJSON file (made with mode 600: raw records may hold secrets); returns how many."""
    listed = list(letters)
    if listed:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as stream:
            stream.write(write_dead_letters(listed))
    return len(listed)
