"""Framing: a stream of chunks becomes blocks of whole records, whatever the records are wrapped in.

Lines stay lines. The elements of a JSON array, or of the `Records` array of an object (CloudTrail's delivered files),
become lines. CSV records stay CSV, each block with the header row before them. A record longer than 1 MiB is cut just
behind that, so that memory is bounded and the decoder makes it a dead letter. What follows the end of an array, or an
array that does not end, is handed on as a line of its own, which the decoder refuses. A framer lives as long as its
stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np

from shoal.events import framing_kernel as kernel
from shoal.events.decode import MAX_LINE_BYTES

_RECORDS = re.compile(rb'\s*\{\s*"Records"\s*:\s*\[')
_ARRAY = re.compile(rb"\s*\[")
_BOM = b"\xef\xbb\xbf"
_CUT = MAX_LINE_BYTES + 1  # one byte too many: the decoder sees that it is too long
_SPANS = 4096
HEAD_BYTES = 65536


def frame(chunks: Iterable[bytes], framing: str, block_bytes: int) -> Iterator[bytes]:
    """Blocks of whole records of about `block_bytes` from a stream's chunks.

    `framing`: "lines"; "json" (lines, an array, or an object with `Records`, by the first bytes); or "csv" (CSV, or as
    "json" where the first byte is a bracket). Blocks end with a newline, the last one maybe not.
    """
    stream = iter(chunks)
    head = b""
    for chunk in stream:
        head += chunk
        if len(head) >= HEAD_BYTES:
            break
    head = head.removeprefix(_BOM)
    if framing != "lines":
        for pattern in (_RECORDS, _ARRAY):
            opening = pattern.match(head)
            if opening is not None:
                return _frame_array(head[opening.end() :], stream, block_bytes)
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


def _frame_array(head: bytes, stream: Iterator[bytes], block_bytes: int) -> Iterator[bytes]:
    """The elements of an array whose bracket is read, a line each."""
    state = kernel.new_state()
    spans = np.empty((_SPANS, 2), dtype=np.int64)
    out = bytearray()
    carried = b""  # the start of an element that goes on in the next chunk
    rest = bytearray()
    for chunk in _with_head(head, stream):
        if state[kernel.FINISHED]:
            rest += chunk[: _CUT - len(rest)]
            continue
        data = carried + chunk
        at = len(carried)
        array = np.frombuffer(data, dtype=np.uint8)
        while at < len(data) and not state[kernel.FINISHED]:
            at, found = kernel.elements(array, at, state, spans)
            for start, end in spans[:found].tolist():
                out += _as_line(data[start:end])
            if len(out) >= block_bytes:
                yield bytes(out)
                out.clear()
        if state[kernel.FINISHED]:
            rest += data[at:][:_CUT]
            carried = b""
        elif state[kernel.START] >= 0:
            carried = data[int(state[kernel.START]) :]
            if len(carried) > _CUT:  # too long whatever follows: keep what shows it
                carried = carried[:_CUT]
            state[kernel.START] = 0
        else:
            carried = b""
    trailing = _as_line(bytes(rest).lstrip(b" \t\r\n]}")) if rest.strip(b" \t\r\n]}") else b""
    if not state[kernel.FINISHED]:  # the array does not end
        out += _as_line(carried) if carried else b""
        if not carried or (state[kernel.DEPTH] == 0 and not state[kernel.IN_STRING]):
            out += (
                b"[\n"  # its last element is whole: the dead letter of this line is the sign that some may be missing
            )
    if out or trailing:
        yield bytes(out) + trailing


def _as_line(element: bytes) -> bytes:
    """An element as one line: in JSON a raw line break can only be white space."""
    return element[:_CUT].replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"
