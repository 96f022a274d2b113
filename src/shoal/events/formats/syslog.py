"""Syslog messages whose text is JSON of one of our formats: RFC 5424, RFC 3164, a bare `<PRI>`, or a file's header.

The header is taken off (and the `@cee:` cookie, where one stands), its parts go beside the payload's own fields as
`syslog_host`, `syslog_time`, `syslog_app`, `syslog_priority` (so they become attributes; a field of that name in the
payload stands), and the format's own reader reads the rest. The time of an event is the payload's: the header's has
often no year and no zone. Messages of several formats may be mixed. A decoder holds no state between blocks but the
format that it saw last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson
import pyarrow as pa

from shoal.events.deadletters import CUT_NOTE, RAW_LIMIT_BYTES, DeadLetter, dead_letter
from shoal.events.decode import Decoded, Decoder, empty_events
from shoal.events.formats.records import split_lines
from shoal.events.formats.values import BadValue
from shoal.events.schema import GIVEN_COLUMNS

Inner = tuple[Callable[[str, str], Decoder], Callable[[bytes], float]]
"""A format inside: its decoder and its guess."""

_SP = rb"[ \t]+"
_ISO = rb"\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:?\d\d)?"
_BSD = rb"[A-Z][a-z]{2} [ \d]\d(?: \d{4})? \d\d:\d\d:\d\d(?:\.\d+)?"
_DATA = rb'(?:-|(?:\[[^\s\]="]+(?:\s+[^\s\]="]+="(?:[^"\\]|\\.)*")*\])+)'
_RFC5424 = re.compile(
    rb"<(?P<pri>\d{1,3})>[1-9]\d{0,2} (?P<time>-|" + _ISO + rb") (?P<host>\S{1,255}) (?P<app>\S{1,48})"
    rb" \S{1,128} \S{1,32} " + _DATA + rb"(?: (?:\xef\xbb\xbf)?(?P<text>.*))?",
    re.DOTALL,
)
_RFC3164 = re.compile(
    rb"(?:<(?P<pri>\d{1,3})>)?(?P<time>" + _BSD + rb"|" + _ISO + rb")" + _SP + rb"(?P<host>[^\s{]+)" + _SP
    + rb"(?:(?P<app>[^\s\[:{]+)(?:\[[^\]\s]*\])?:?[ \t]*)?(?P<text>(?:@cee:|\{).*)",
    re.DOTALL,
)  # fmt: skip
_BARE = re.compile(rb"<(?P<pri>\d{1,3})>[ \t]*(?:(?P<app>[^\s\[:{]+)(?:\[[^\]\s]*\])?:[ \t]*)?(?P<text>(?:@cee:|\{).*)",
                   re.DOTALL)  # fmt: skip
_COOKIE = b"@cee:"
_MOST_PRIORITY = 191  # RFC 5424, 6.2.1: 23 facilities, 8 severities
_HEADER = ("host", "time", "app")


def open_message(line: bytes) -> bytes:
    """The JSON of a message with the header's parts as its first fields; raises `BadValue` (`syslog.*`)."""
    line = line.strip(b" \t\r\0")
    if line.startswith(b"{"):
        return line
    found = _RFC5424.fullmatch(line) or _RFC3164.fullmatch(line) or _BARE.fullmatch(line)
    if found is None:
        raise BadValue("syslog.header", "no header of RFC 5424 or RFC 3164, nor a bare <PRI>, stands before JSON")
    parts = found.groupdict()
    text = (parts.get("text") or b"").removeprefix(_COOKIE).strip(b" \t\r\0")
    if not text.startswith(b"{"):
        raise BadValue("syslog.payload", "the message is not a JSON object")
    if parts["pri"] is not None and int(parts["pri"]) > _MOST_PRIORITY:
        raise BadValue("syslog.header", f"the priority is {int(parts['pri'])}, above {_MOST_PRIORITY}")
    added: dict[str, Any] = {}
    for name in _HEADER:
        value = parts.get(name)
        if value and value != b"-" and b'"syslog_%s"' % name.encode() not in text:
            try:
                added[f"syslog_{name}"] = value.decode("utf-8")
            except UnicodeDecodeError as error:
                raise BadValue("utf8.invalid", f"byte {error.start} of the header's {name} is not UTF-8") from error
    if parts["pri"] is not None and b'"syslog_priority"' not in text:
        added["syslog_priority"] = int(parts["pri"])
    if not added:
        return text
    rest = text[1:].lstrip()
    return orjson.dumps(added)[:-1] + (b"" if rest.startswith(b"}") else b",") + rest


class SyslogDecoder:
    """Decoder of messages, one a line; `formats`: what may stand inside, by name."""

    def __init__(self, source: str, partition: str, *, formats: Mapping[str, Inner]) -> None:
        self._source, self._partition = source, partition
        self._formats = formats
        self._decoders: dict[str, Decoder] = {}
        self._last = ""

    def decode(self, block: bytes, offset: int) -> Decoded:
        """Decode a block of messages; see `Decoder`. Runs of messages of one format are decoded together."""
        parts: list[Decoded] = []
        run: dict[bytes, bytes] = {}  # payload → the message that held it
        payloads: list[bytes] = []
        name, place = "", offset

        def close() -> None:
            nonlocal place
            if payloads:
                decoded = self._decoder(name).decode(b"\n".join(payloads), place)
                dead = tuple(_as_it_came(letter, run) for letter in decoded.dead)
                parts.append(replace(decoded, dead=dead))
                place += decoded.read
            payloads.clear()
            run.clear()

        for line in split_lines(block):
            try:
                payload = open_message(line)
                found = self._format_of(payload)
            except BadValue as bad:
                close()
                letter = dead_letter(self._source, self._partition, place, bad.reason, bad.detail, line)
                parts.append(Decoded(dead=(letter,), read=1))
                place += 1
                continue
            if found != name:
                close()
                name = found
            payloads.append(payload)
            run[payload[:RAW_LIMIT_BYTES]] = line
        close()
        return _joined(parts)

    def _decoder(self, name: str) -> Decoder:
        found = self._decoders.get(name)
        if found is None:
            found = self._decoders[name] = self._formats[name][0](self._source, self._partition)
        return found

    def _format_of(self, payload: bytes) -> str:
        """The format of a payload: the last one's where it looks wholly like it, else the best guess."""
        if self._last and self._formats[self._last][1](payload) >= 1.0:
            return self._last
        best, most = "", 0.0
        for name, (_, guess) in self._formats.items():
            score = guess(payload)
            if score > most:
                best, most = name, score
            if score >= 1.0:
                break
        if most < 0.5:
            raise BadValue("syslog.payload", f"the JSON is of no format that is known ({', '.join(self._formats)})")
        self._last = best
        return best


def _as_it_came(letter: DeadLetter, run: Mapping[bytes, bytes]) -> DeadLetter:
    """The dead letter with the whole message as its raw bytes."""
    line = run.get(letter.raw)
    if line is None:
        return letter
    return dead_letter(letter.source, letter.partition, letter.offset, letter.reason,
                       letter.detail.removesuffix(CUT_NOTE), line)  # fmt: skip


def _joined(parts: list[Decoded]) -> Decoded:
    """The outcomes of the runs, in order, as one."""
    if len(parts) == 1:
        return parts[0]
    events = [part.events for part in parts if part.events.num_rows]
    table = pa.concat_tables(events, promote_options="default").combine_chunks() if events else empty_events()
    names = [spec.name for spec in GIVEN_COLUMNS if spec.name in table.column_names]
    empty = Decoded()
    return Decoded(
        events=table.select(names),
        facts=pa.concat_tables([empty.facts, *(part.facts for part in parts)]).combine_chunks(),
        labels=pa.concat_tables([empty.labels, *(part.labels for part in parts)]).combine_chunks(),
        dead=tuple(letter for part in parts for letter in part.dead),
        read=sum(part.read for part in parts),
    )


def sniff(head: bytes, formats: Mapping[str, Inner]) -> float:
    """How much the first bytes look like it: the first line is a message, and what it holds a format."""
    counted = re.match(rb"\s*([1-9]\d{0,8}) (?=<\d{1,3}>)", head)
    if counted is not None:
        lines = [head[counted.end() : counted.end() + int(counted[1])].replace(b"\n", b" ")]
    else:
        lines = split_lines(head[:65536])
    if not lines:
        return 0.0
    first = lines[0]
    if first.lstrip()[:1] in (b"{", b"["):
        return 0.0
    try:
        payload = open_message(first)
    except BadValue:
        return 0.0
    return 1.0 if max(inner(payload) for _, inner in formats.values()) >= 0.5 else 0.4
