"""Dead letters: records that could not be read, with the reason, so that nothing is lost silently.

A dead letter keeps the place (source, partition, offset), a permanent reason slug, a sentence and the raw bytes, cut at
64 KiB. `REASONS` is the list of slugs and what each means; the tests hold it complete. Written as NDJSON with the raw
bytes in base64, so that a mended file can be made from it. Holds no state; knows no format and no disk.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from shoal.errors import Corrupt

RAW_LIMIT_BYTES = 64 * 1024
CUT_NOTE = " (raw bytes cut at 64 KiB)"

REASONS: dict[str, str] = {
    "line.too_long": "the record is longer than 1 MiB",
    "utf8.invalid": "the record is not UTF-8",
    "json.malformed": "the record is not JSON",
    "json.not_object": "the record is JSON, but not an object",
    "nesting.too_deep": "objects and arrays are nested more than 64 deep",
    "text.too_long": "a text is longer than 64 KiB",
    "text.erased_mark": "a text begins with the mark of erased texts, which only Shoal may write",
    "text.surrogate": "a text holds half a surrogate pair, which UTF-8 cannot hold",
    "time.missing": "the record has no time",
    "time.malformed": "its time is not ISO 8601, nor integer microseconds",
    "time.zone_missing": "its time has no zone",
    "time.out_of_range": "its time is before 1970 or after 9999",
    "type.missing": "the record does not say what happened",
    "type.wrong": "a known field holds a value of another JSON type",
    "number.out_of_range": "a number does not fit its column (64-bit integer, finite double)",
    "attributes.not_object": "`attributes` is not a JSON object",
    "attributes.conflict": "a field stands both in `attributes` and beside it",
    "record.unknown": "`record` is not event, fact or label",
    "fact.invalid": "a fact lacks a field, or holds an unknown subject type or name or a bad value",
    "label.invalid": "a label lacks a field, or holds a bad value",
    "csv.malformed": "the row does not fit the CSV header",
    "auditdata.missing": "the row's AuditData is empty",
    "auditdata.malformed": "the row's AuditData is not a JSON object",
    "class.missing": "an OCSF record without a class_uid",
    "class.malformed": "an OCSF record's unmapped.shoal is not what Shoal writes",
    "syslog.header": "the message has no syslog header that is known",
    "syslog.payload": "the message holds no JSON of a format that is known",
    "table.value": "a cell cannot be read as the mapping file says",
    "source.truncated": "the compressed stream ends early or is damaged",
    "conflict": "the id was accepted before with another body (given by the writer)",
}
"""Reason slug → what it means. Permanent: rules, dashboards and people read them."""


@dataclass(frozen=True)
class DeadLetter:
    """One record that could not be read. `raw` is at most 64 KiB; `detail` says when it was cut."""

    source: str
    partition: str
    offset: int
    reason: str
    detail: str
    raw: bytes


def dead_letter(source: str, partition: str, offset: int, reason: str, detail: str, raw: bytes) -> DeadLetter:
    """A dead letter with its raw bytes cut to the limit, and saying so."""
    if len(raw) > RAW_LIMIT_BYTES:
        raw, detail = raw[:RAW_LIMIT_BYTES], detail + CUT_NOTE
    return DeadLetter(source, partition, offset, reason, detail, raw)


def write_dead_letters(letters: Iterable[DeadLetter]) -> bytes:
    """The letters as NDJSON: `{"source", "partition", "offset", "reason", "detail", "raw_base64"}` a line."""
    lines = [
        msgspec.json.encode(
            {
                "source": letter.source,
                "partition": letter.partition,
                "offset": letter.offset,
                "reason": letter.reason,
                "detail": letter.detail,
                "raw_base64": base64.b64encode(letter.raw).decode("ascii"),
            }
        )
        for letter in letters
    ]
    return b"".join(line + b"\n" for line in lines)


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    source: str
    partition: str
    offset: int
    reason: str
    detail: str
    raw_base64: str


def read_dead_letters(data: bytes) -> Iterator[DeadLetter]:
    """The letters of NDJSON written by `write_dead_letters`; raises `Corrupt` naming the line that is not one."""
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            written = msgspec.json.decode(line, type=_Written)
            raw = base64.b64decode(written.raw_base64, validate=True)
        except (msgspec.MsgspecError, ValueError) as error:
            raise Corrupt(f"line {number} is not a dead letter: {error}") from error
        yield DeadLetter(written.source, written.partition, written.offset, written.reason, written.detail, raw)
