"""The NDJSON file that keeps the raw bytes of dead letters, bounded in rows and bytes.

Its length belongs to the store's transaction: bytes past the recorded length are left from a crash and overwritten.
An erased letter's line is overwritten in place by one of the same length. The `Store` owns the file.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from shoal.errors import Corrupt, Temporary


class RawDeadLetter(Protocol):
    """What the store needs of `events.deadletters.DeadLetter`."""

    @property
    def source(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> str: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102
    @property
    def detail(self) -> str: ...  # noqa: D102
    @property
    def raw(self) -> bytes: ...  # noqa: D102


class DeadRow(NamedTuple):
    """A dead letter that is kept; the raw record stands at `file_offset` of the file."""

    source: str
    partition: str
    offset: int
    reason: str
    detail: str
    file_offset: int
    file_length: int


class DeadFile:
    """The file; `max_rows` and `max_bytes` bound what is kept."""

    def __init__(self, path: Path, max_rows: int, max_bytes: int) -> None:
        self.path, self._max_rows, self._max_bytes = path, max_rows, max_bytes

    def append(self, letters: Sequence[RawDeadLetter], kept: int, length: int) -> tuple[list[DeadRow], int]:
        """Write at `length`, fsynced, as many as there is room for; returns their rows and the new length."""
        rows: list[DeadRow] = []
        lines: list[bytes] = []
        for letter in letters:
            if kept + len(rows) >= self._max_rows:
                break
            line = _line(letter)
            if length + len(line) > self._max_bytes:
                break
            rows.append(
                DeadRow(letter.source, letter.partition, letter.offset, letter.reason, letter.detail, length, len(line))
            )
            lines.append(line)
            length += len(line)
        if rows:
            try:
                handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    os.ftruncate(handle, rows[0].file_offset)
                    data, at = b"".join(lines), rows[0].file_offset
                    while data:
                        done = os.pwrite(handle, data, at)
                        data, at = data[done:], at + done
                    os.fsync(handle)
                finally:
                    os.close(handle)
            except OSError as error:
                raise Temporary(f"{self.path}: {error.strerror}") from error
        return rows, length

    def raw(self, row: DeadRow) -> bytes | None:
        """The raw record; None where it was erased. Raises `Corrupt`."""
        try:
            with self.path.open("rb") as file:
                line = json.loads(os.pread(file.fileno(), row.file_length, row.file_offset))
        except (OSError, ValueError) as error:
            raise Corrupt(f"{self.path}: offset {row.file_offset}: no dead letter stands here") from error
        if line.get("erased"):
            return None
        if "raw" in line:
            return str(line["raw"]).encode()
        return base64.b64decode(line["raw_base64"])

    def erase(self, row: DeadRow, texts: Collection[str]) -> bool:
        """Overwrite a letter that mentions one of the texts; whether it did."""
        raw = self.raw(row)
        if raw is None or not any(form.encode() in raw for text in texts for form in forms_of(text)):
            return False
        blank = b'{"erased":true}'.ljust(row.file_length - 1) + b"\n"
        handle = os.open(self.path, os.O_RDWR)
        try:
            os.pwrite(handle, blank, row.file_offset)
            os.fsync(handle)
        finally:
            os.close(handle)
        return True


def forms_of(text: str) -> set[str]:
    """How a text may stand in a JSON text: as it is, or escaped."""
    return {text, *(json.dumps(text, ensure_ascii=flag)[1:-1] for flag in (False, True))}


def _line(letter: RawDeadLetter) -> bytes:
    try:
        raw = {"raw": letter.raw.decode()}
    except UnicodeDecodeError:
        raw = {"raw_base64": base64.b64encode(letter.raw).decode()}
    place = {"source": letter.source, "partition": letter.partition, "offset": letter.offset}
    return json.dumps({**place, "reason": letter.reason, "detail": letter.detail, **raw}).encode() + b"\n"
