"""Lines of a block become JSON objects under the limits of the border; what cannot be is a dead letter. Hot path.

The checks that every JSON format shares: at most 1 MiB a line, UTF-8, nesting at most 64, texts at most 64 KiB, no text
with the mark of erased texts, an object at the top. `Intake` holds one block's dead letters and is thrown away with it.
Of a name that stands twice in one object the last value counts, as in most readers (RFC 8259 leaves it open).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from shoal.events.deadletters import DeadLetter, dead_letter
from shoal.events.decode import MAX_LINE_BYTES, MAX_NESTING, MAX_TEXT_BYTES
from shoal.events.formats.values import BadValue, refuse_marked

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ESCAPED_MARK = b"\\u0001"


def opening_brackets(line: bytes) -> int:
    """How many `{` and `[` a line has, in texts or not: a bound on how deep it is nested."""
    return line.count(b"{") + line.count(b"[")


def each_line(block: bytes) -> Iterator[bytes]:
    """The lines that `split_lines` gives, one at a time: what is done with each finds it in the processor's cache."""
    start = 3 if block.startswith(b"\xef\xbb\xbf") else 0
    find = block.find
    while start < len(block):
        end = find(b"\n", start)
        if end < 0:
            end = len(block)
        line = block[start:end]
        if line.strip(b" \t\r"):
            yield line
        start = end + 1


def split_lines(block: bytes) -> list[bytes]:
    """The lines of a block without the blank ones (and without a byte order mark at the start)."""
    if block.startswith(b"\xef\xbb\xbf"):
        block = block[3:]
    return [line for line in block.split(b"\n") if line.strip(b" \t\r")]


def load_object(line: bytes) -> dict[str, Any]:
    """The JSON object of one line; raises `BadValue` with the dead letter's reason."""
    if len(line) > MAX_LINE_BYTES:
        raise BadValue("line.too_long", "the record is longer than 1 MiB")
    if opening_brackets(line) > MAX_NESTING and _depth(line) > MAX_NESTING:
        raise BadValue("nesting.too_deep", f"objects and arrays are nested more than {MAX_NESTING} deep")
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _malformed(line, error) from error
    if type(value) is not dict:
        raise BadValue("json.not_object", f"the record is a JSON {type(value).__name__}")
    if len(line) > MAX_TEXT_BYTES:
        _refuse_long(value)
    if b"\\" in line and _ESCAPED_MARK in line:
        refuse_marked(value)
    return value


def _malformed(line: bytes, error: orjson.JSONDecodeError) -> BadValue:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as fault:
        return BadValue("utf8.invalid", f"byte {fault.start} is not UTF-8")
    if "surrogate" in error.msg:
        return BadValue("text.surrogate", error.msg)
    return BadValue("json.malformed", f"{error.msg} (column {error.colno})")


def _depth(line: bytes) -> int:
    depth = deepest = 0
    for byte in _STRING.sub(b"", line):
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest


def _refuse_long(value: Any) -> None:
    if isinstance(value, str):
        if len(value) > MAX_TEXT_BYTES // 4 and len(value.encode("utf-8")) > MAX_TEXT_BYTES:
            raise BadValue("text.too_long", "a text is longer than 64 KiB")
    elif isinstance(value, dict):
        for name, item in value.items():
            _refuse_long(name)
            _refuse_long(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_long(item)


class Intake:
    """One block's records on their way in: the objects that could be read, their places, and the dead letters."""

    def __init__(self, source: str, partition: str) -> None:
        self.source, self.partition = source, partition
        self.dead: list[DeadLetter] = []
        self.records: list[dict[str, Any]] = []
        self.offsets: list[int] = []
        self.raws: list[bytes] = []

    def refuse(self, offset: int, reason: str, detail: str, raw: bytes) -> None:
        """Add a dead letter."""
        self.dead.append(dead_letter(self.source, self.partition, offset, reason, detail, raw))

    def read(self, lines: list[bytes], offset: int) -> None:
        """Read lines whose first has the number `offset`."""
        for place, line in enumerate(lines, start=offset):
            try:
                record = load_object(line)
            except BadValue as bad:
                self.refuse(place, bad.reason, bad.detail, line)
                continue
            self.records.append(record)
            self.offsets.append(place)
            self.raws.append(line)

    def drop(self, bad: dict[int, BadValue]) -> list[int]:
        """Make the records at the given rows dead letters; returns the rows that remain, in order."""
        for row, fault in bad.items():
            self.refuse(self.offsets[row], fault.reason, fault.detail, self.raws[row])
        self.dead.sort(key=lambda letter: letter.offset)
        return [row for row in range(len(self.records)) if row not in bad]
