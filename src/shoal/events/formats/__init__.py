"""The formats that Shoal reads, by name: `FORMATS`, and a guess from the first bytes of a file.

A `Format` says how its records are framed and makes decoders; each format is one small module beside this one. To add a
format: a module with its mapping table and decoder, a line in `FORMATS`, a table of malformed inputs in the tests, a
section in docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from shoal.events.decode import Decoder
from shoal.events.formats import cloudtrail, m365, native, ocsf, syslog
from shoal.events.formats.suites import dropbox, workspace

LINES, JSON, CSV_OR_JSON = "lines", "json", "csv"
ITEMS, EVENTS, SYSLOG = "json:items", "json:events", "syslog"


@dataclass(frozen=True)
class Format:
    """One input format.

    `framing`: "lines" (one JSON object a line), "json" (lines, one array, or an object with a `Records` array, told
    apart by the first bytes), "json:NAME" (the same with pages of an API that hold a list NAME), "csv" (CSV with a
    header row, else as "json") or "syslog" (lines, or messages with their lengths). `suffixes`: usual file name endings
    before .gz or .zst. `decoder(source, partition)` makes a decoder; `sniff(head)` says in [0, 1] how much the first
    bytes look like it, by its `marks` first of all. `record_a_line`: whether a line is at most one record. `maps` says
    in a line what becomes of it.
    """

    name: str
    title: str
    framing: str
    suffixes: tuple[str, ...]
    decoder: Callable[[str, str], Decoder]
    sniff: Callable[[bytes], float]
    maps: str = ""
    marks: tuple[bytes, ...] = ()
    record_a_line: bool = True


_INSIDE: dict[str, syslog.Inner] = {
    "native": (native.NativeDecoder, native.sniff),
    "ocsf": (ocsf.OcsfDecoder, ocsf.sniff),
    "cloudtrail": (cloudtrail.CloudTrailDecoder, cloudtrail.sniff),
    "m365": (m365.M365Decoder, m365.sniff),
    "workspace": (workspace.WorkspaceDecoder, workspace.sniff),
    "dropbox": (dropbox.DropboxDecoder, dropbox.sniff),
}
"""What may stand inside a syslog message."""

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Format("native", "Shoal events, NDJSON", LINES, (".ndjson", ".jsonl"), native.NativeDecoder, native.sniff,
                   "events, facts and labels as they are"),
            Format("ocsf", "OCSF events, JSON", JSON, (".ndjson", ".json"), ocsf.OcsfDecoder, ocsf.sniff,
                   "authentication, account change, user access, entities, file hosting, API activity, findings",
                   marks=ocsf.MARKS),
            Format("cloudtrail", "AWS CloudTrail", JSON, (".json", ".ndjson"),
                   cloudtrail.CloudTrailDecoder, cloudtrail.sniff,
                   "sessions, keys, permissions, logging, sharing, S3 objects; other calls as api.called",
                   marks=cloudtrail.MARKS),
            Format("m365", "Microsoft 365 unified audit log", CSV_OR_JSON, (".csv", ".json", ".ndjson"),
                   m365.M365Decoder, m365.sniff,
                   "logins, applications, roles, mailboxes and rules, files, links, sharing",
                   marks=m365.MARKS),
            Format("workspace", "Google Workspace Reports API activities", ITEMS, (".json", ".ndjson"),
                   workspace.WorkspaceDecoder, workspace.sniff,
                   "login, user_accounts, drive, token and admin; other applications as api.called",
                   marks=workspace.MARKS, record_a_line=False),
            Format("dropbox", "Dropbox team event log", EVENTS, (".json", ".ndjson"),
                   dropbox.DropboxDecoder, dropbox.sniff,
                   "logins, devices, apps, second factors, members, files, sharing, links",
                   marks=dropbox.MARKS, record_a_line=False),
            Format("syslog", "Syslog with JSON of any of these", SYSLOG, (".log", ".syslog"),
                   partial(syslog.SyslogDecoder, formats=_INSIDE), partial(syslog.sniff, formats=_INSIDE),
                   "the payload's own mapping; the header's host, time, app and priority as attributes",
                   record_a_line=False),
        )
    }
)  # fmt: skip

SURE = 0.5
"""From this score on a guess counts."""


def rank_formats(head: bytes) -> list[tuple[str, float]]:
    """Every format with its score in [0, 1] for the first bytes (decompressed, some KiB), the likeliest first.

    A wrapping comes before what it wraps: where the bytes are syslog messages, the payload's format is a runner-up.
    """
    scores = {name: entry.sniff(head) for name, entry in FORMATS.items()}
    return sorted(scores.items(), key=lambda found: (-found[1], found[0] != "syslog"))


def guess_format(head: bytes) -> str | None:
    """The name of the format that the first bytes (decompressed, some KiB) look like most; None where none does."""
    name, score = rank_formats(head)[0]
    return name if score >= SURE else None
