"""Framing: a stream of chunks becomes blocks of whole records, whatever the records are wrapped in.

Lines stay lines. The elements of a JSON array, or of the `Records` array of an object (CloudTrail's delivered files),
become lines; so do those of the pages of an API, one page after the other, whatever else a page says. Syslog messages
whose length is told before them (RFC 6587) become lines. CSV records stay CSV, each block with the header row before
them. A record longer than 1 MiB is cut just behind that, so that memory is bounded and the decoder makes it a dead
letter. What follows the end of an array, or an array that does not end, is handed on as a line of its own, which the
decoder refuses. A framer lives as long as its stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np

from shoal.events import framing_kernel as kernel
from shoal.events.decode import MAX_LINE_BYTES

_RECORDS = re.compile(rb'\s*\{\s*"Records"\s*:\s*\[')
_ARRAY = re.compile(rb"\s*\[")
_TEXT = rb'"(?:[^"\\]|\\.)*"'
_FIELD = rb"\s*" + _TEXT + rb"\s*:\s*(?:" + _TEXT + rb"|[-+.0-9eE]+|true|false|null)\s*"
_PAGE_END = re.compile(rb"(?:\s*,(?:" + _FIELD + rb"))*\s*\}\s*")
_COUNTED = re.compile(rb"\s*([1-9][0-9]{0,8}) (?=<[0-9]{1,3}>)")
_BOM = b"\xef\xbb\xbf"
_CUT = MAX_LINE_BYTES + 1  # one byte too many: the decoder sees that it is too long
_SPANS = 4096
HEAD_BYTES = 65536


def frame(chunks: Iterable[bytes], framing: str, block_bytes: int) -> Iterator[bytes]:
    """Blocks of whole records of about `block_bytes` from a stream's chunks.

    `framing`: "lines"; "json" (lines, an array, or an object with `Records`, by the first bytes); "json:NAME" (the same
    with the name of an API's list, in pages); "csv" (CSV, or as "json" where the first byte is a bracket); or "syslog"
    (lines, or messages with their lengths). Blocks end with a newline, the last one maybe not.
    """
    stream = iter(chunks)
    head = b""
    for chunk in stream:
        head += chunk
        if len(head) >= HEAD_BYTES:
            break
    head = head.removeprefix(_BOM)
    if framing == "syslog":
        return (_frame_counted if _COUNTED.match(head) else _frame_lines)(head, stream, block_bytes)
    if framing != "lines":
        listed = framing.partition(":")[2]
        page = _page_start(listed) if listed else None
        for pattern in (page or _RECORDS, _ARRAY):
            opening = pattern.match(head)
            if opening is not None:
                again = page if pattern is page else None
                return _frame_array(head[opening.end() :], stream, block_bytes, again)
    if framing == "csv" and head.lstrip()[:1] != b"{":
        return _frame_csv(head, stream, block_bytes)
    return _frame_lines(head, stream, block_bytes)


def _frame_lines(head: bytes, stream: Iterator[bytes], block_bytes: int) -> Iterator[bytes]:
    pending = bytearray()
    skipping = False
    for chunk in _with_head(head, stream):
        if skipping:  # inside a line that was too long: nothing until it ends
            end = chunk.find(b"\n")
            if end < 0:
                continue
            chunk, skipping = chunk[end:], False
        pending += chunk
        if len(pending) < block_bytes:
            continue
        end = pending.rfind(b"\n") + 1
        if end:
            yield bytes(pending[:end])
            del pending[:end]
        if len(pending) > _CUT and b"\n" not in pending:
            del pending[_CUT:]
            skipping = True
    if pending:
        yield bytes(pending)


def _with_head(head: bytes, stream: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from stream


def _frame_csv(head: bytes, stream: Iterator[bytes], block_bytes: int) -> Iterator[bytes]:
    """CSV: a record ends at a newline outside quotes. The header is the first record."""
    header: bytes | None = None
    pending = bytearray()
    for chunk in _with_head(head, stream):
        pending += chunk
        if header is None:
            end = _first_record_end(pending)
            if end < 0:
                if len(pending) > _CUT:
                    break
                continue
            header = bytes(pending[:end])
            del pending[:end]
        if len(pending) < block_bytes:
            continue
        end, _ = kernel.last_record_end(np.frombuffer(bytes(pending), dtype=np.uint8), 0, 0)
        if end < 0 and len(pending) > max(_CUT, block_bytes):  # a quote that never closes: give up at a line's end
            end = pending.rfind(b"\n") + 1 or len(pending)
        if end > 0:
            yield header + bytes(pending[:end])
            del pending[:end]
    if header is None:
        header = bytes(pending)
        pending.clear()
    if pending:
        yield header + bytes(pending)


def _first_record_end(data: bytearray) -> int:
    at = 0
    while True:
        end = data.find(b"\n", at)
        if end < 0:
            return -1
        if data.count(b'"', 0, end) % 2 == 0:
            return end + 1
        at = end + 1


def _page_start(listed: str) -> re.Pattern[bytes]:
    """An object's bracket, its plain fields, and the list of that name as far as its bracket."""
    return re.compile(rb"\s*\{(?:" + _FIELD + rb',)*\s*"' + listed.encode() + rb'"\s*:\s*\[')


def _next_page(rest: bytearray, page: re.Pattern[bytes]) -> bytes | None:
    """What follows the bracket of the next page's list in what stands behind a list; None where none is seen yet."""
    end = _PAGE_END.match(rest)
    opening = page.match(rest, end.end()) if end is not None else None
    return bytes(rest[opening.end() :]) if opening is not None else None


class _Elements:
    """The elements of an array whose bracket is read, gathered as lines in `out`."""

    def __init__(self) -> None:
        self.state = kernel.new_state()
        self.spans = np.empty((_SPANS, 2), dtype=np.int64)
        self.out = bytearray()
        self.carried = b""  # the start of an element that goes on in the next chunk
        self.rest = bytearray()  # what stands behind the array

    @property
    def finished(self) -> bool:
        """Whether the array has ended."""
        return bool(self.state[kernel.FINISHED])

    def take(self, chunk: bytes, block_bytes: int) -> Iterator[bytes]:
        """Scan a chunk as far as the array goes; gives blocks that are full."""
        data = self.carried + chunk
        at = len(self.carried)
        array = np.frombuffer(data, dtype=np.uint8)
        while at < len(data) and not self.finished:
            at, found = kernel.elements(array, at, self.state, self.spans)
            for start, end in self.spans[:found].tolist():
                self.out += _as_line(data[start:end])
            if len(self.out) >= block_bytes:
                yield bytes(self.out)
                self.out.clear()
        self.carried = b""
        if self.finished:
            self.rest += data[at:]
        elif self.state[kernel.START] >= 0:
            self.carried = data[int(self.state[kernel.START]) :]
            if len(self.carried) > _CUT:  # too long whatever follows: keep what shows it
                self.carried = self.carried[:_CUT]
            self.state[kernel.START] = 0

    def end(self) -> bytes:
        """What is left of an array that does not end, as lines that the decoder refuses."""
        if self.finished:
            return b""
        left = _as_line(self.carried) if self.carried else b""
        if not self.carried or (self.state[kernel.DEPTH] == 0 and not self.state[kernel.IN_STRING]):
            left += (
                b"[\n"  # its last element is whole: the dead letter of this line is the sign that some may be missing
            )
        return left


def _frame_array(
    head: bytes, stream: Iterator[bytes], block_bytes: int, page: re.Pattern[bytes] | None
) -> Iterator[bytes]:
    """The elements of an array whose bracket is read, a line each; with `page`, those of the pages that follow too."""
    scan = _Elements()
    for chunk in _with_head(head, stream):
        more: bytes | None = chunk
        while more is not None:
            if scan.finished:
                if len(scan.rest) < _CUT:
                    scan.rest += more
            else:
                yield from scan.take(more, block_bytes)
            more = _next_page(scan.rest, page) if page is not None and scan.finished else None
            if more is not None:
                out, scan = scan.out, _Elements()
                scan.out = out
    scan.out += scan.end()
    rest = bytes(scan.rest[:_CUT])
    closed = page is not None and _PAGE_END.fullmatch(rest) is not None
    trailing = b"" if closed or not rest.strip(b" \t\r\n]}") else _as_line(rest.lstrip(b" \t\r\n]}"))
    if scan.out or trailing:
        yield bytes(scan.out) + trailing


def _frame_counted(head: bytes, stream: Iterator[bytes], block_bytes: int) -> Iterator[bytes]:
    """Messages with their lengths before them, a line each; where no length stands, what follows is taken as lines."""
    pending, out, skip = bytearray(), bytearray(), 0
    chunks = _with_head(head, stream)
    for chunk in chunks:
        pending += chunk
        at = min(skip, len(pending))
        skip -= at
        while at < len(pending):
            counted = _COUNTED.match(pending, at)
            if counted is None:
                if len(pending) - at > 64:  # no length where one must stand
                    yield bytes(out)
                    yield from _frame_lines(bytes(pending[at:]), chunks, block_bytes)
                    return
                break
            size = int(counted[1])
            end = counted.end() + size
            if end > len(pending) and size <= _CUT:
                break
            out += _as_line(bytes(pending[counted.end() : min(end, counted.end() + _CUT)]))
            skip = max(end - len(pending), 0)
            at = min(end, len(pending))
        del pending[:at]
        if len(out) >= block_bytes:
            yield bytes(out)
            out.clear()
    left = pending.strip()
    if out or left:
        yield bytes(out) + (_as_line(bytes(left)) if left else b"")


def _as_line(element: bytes) -> bytes:
    """An element as one line: in JSON a raw line break can only be white space."""
    return element[:_CUT].replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"
