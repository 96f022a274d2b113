"""A first mapping file for a table, by guessing from names and from the first rows; a person goes on from there.

A guess needs a known name, or values that can hardly be anything else (addresses, times, hashes). What is not guessed
is listed as a comment, so that nothing is overlooked. Holds no state.
"""

from __future__ import annotations

import io
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import zstandard

from shoal.adapters.files import READ_BYTES, expand
from shoal.adapters.mapping.source import DAMAGED, PARQUET
from shoal.errors import InvalidInput, Problem, Where
from shoal.events.formats.m365 import csv_records
from shoal.events.formats.tabular.cells import read_time
from shoal.events.formats.tabular.decoder import fields_of, header_of, plain_values
from shoal.events.formats.tabular.plan import DELIMITERS, TimeFormat
from shoal.events.formats.values import BadValue, parse_address

BROKEN: tuple[type[Exception], ...] = (*DAMAGED, EOFError, ValueError, zlib.error, zstandard.ZstdError)
SAMPLE_ROWS = 500
SAMPLE_BYTES = 1 << 20
MOST_VALUES = 40
"""Distinct values up to which a column of types is drafted as a map."""

MOSTLY = 0.75
"""Share of a column's values that must be times for it to be one: a few bad rows must not hide it."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "event_id": ("eventid", "id", "uuid", "requestid", "logid"),
    "actor": ("actor", "actoremail", "actorid", "performedby", "initiator"),
    "account": (
        "account",
        "accountid",
        "user",
        "userid",
        "username",
        "useremail",
        "email",
        "login",
        "uid",
        "customerid",
    ),
    "owner": ("owner", "ownerid", "owneremail", "fileowner"),
    "org": ("org", "orgid", "organization", "organisation", "tenant", "tenantid", "company", "team", "teamid"),
    "session": ("session", "sessionid", "sid"),
    "device": ("device", "deviceid", "machineid", "clientid"),
    "ip": ("ip", "ipaddress", "ipaddr", "clientip", "sourceip", "srcip", "remoteip", "remoteaddr", "address"),
    "link": ("link", "linkid", "sharelink", "shareid"),
    "url": ("url", "uri", "href"),
    "file": ("file", "fileid", "objectid", "documentid", "docid", "path", "filepath"),
    "file_name": ("filename", "documentname", "title", "doctitle"),
    "file_sha256": ("sha256", "filesha256", "hash", "filehash"),
    "size_bytes": ("size", "sizebytes", "bytes", "filesize", "contentlength"),
    "recipient": ("recipient", "recipientemail", "sharedwith", "target", "targetuser", "grantee", "invitee"),
    "app": ("app", "appid", "application", "oauthclient"),
    "user_agent": ("useragent", "ua", "browser", "agent"),
    "outcome": ("outcome", "result", "status", "success"),
    "error": ("error", "errorcode", "failurereason"),
    "method": ("method", "authmethod", "loginmethod"),
    "client": ("client", "clienttype", "platform", "channel"),
    "country": ("country", "countrycode", "geocountry"),
    "referrer": ("referrer", "referer"),
}
"""Our column → names of source columns, in lower case and without other characters."""
_TIMES = ("time", "timestamp", "datetime", "date", "eventtime", "createdat", "created", "occurredat", "when", "ts")
_TYPES = ("type", "eventtype", "event", "action", "activity", "operation", "eventname", "verb")
_PATTERNS = ("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p",
             "%d/%b/%Y:%H:%M:%S %z", "%Y/%m/%d %H:%M:%S")  # fmt: skip
_WORDS: tuple[tuple[str, str], ...] = (
    (r"(login|signin|logon|auth).*(fail|error|denied|invalid)|fail.*(login|signin|logon)", "login.failed"),
    (r"log(out|off)|signout", "session.ended"),
    (r"login|signin|logon", "login.succeeded"),
    (r"(mfa|2fa|twofactor|2sv|totp).*(remove|disable|off)", "mfa.removed"),
    (r"mfa|2fa|twofactor|2sv|totp", "mfa.enrolled"),
    (r"passw.*reset|reset.*passw", "password.reset"),
    (r"passw", "password.changed"),
    (r"link.*(visit|view|open)", "link.visited"),
    (r"link.*download", "link.downloaded"),
    (r"link.*(creat|add)|(creat|add).*link", "link.created"),
    (r"invit", "invite.sent"),
    (r"share", "folder.shared"),
    (r"download|^get$", "file.downloaded"),
    (r"upload|^put$", "file.uploaded"),
    (r"rename", "file.renamed"),
    (r"delete|trash|remove", "file.deleted"),
    (r"edit|modif|update|write", "file.modified"),
    (r"view|preview|open|read", "file.accessed"),
    (r"signup|register", "account.created"),
)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass
class Sample:
    """The first rows of a table, by column."""

    columns: dict[str, list[Any]]
    delimiter: str = ","
    encoding: str = "utf-8"
    rows: int = 0
    notes: list[str] = field(default_factory=list)


def draft_mapping(path: Path) -> str:
    """The text of a mapping file for a CSV or Parquet file; raises `InvalidInput` where it is no table."""
    return write_draft(read_sample(path), path.name)


def read_sample(path: Path) -> Sample:
    """The first rows of a table; raises `InvalidInput` (`mapping.no_table`) where there are none."""
    try:
        with path.open("rb") as stream:
            head = b""
            for chunk in expand(iter(lambda: stream.read(READ_BYTES), b"")):
                head += chunk
                if len(head) >= SAMPLE_BYTES or head.startswith(PARQUET):
                    break
        sample = _of_parquet(path) if head.startswith(PARQUET) else sample_csv(head)
    except BROKEN as error:
        raise InvalidInput(Problem("mapping.no_table", f"cannot be read: {error}", Where(str(path)))) from error
    if not sample.columns or sample.rows == 0:
        raise InvalidInput(Problem("mapping.no_table", "holds no rows of a table", Where(str(path)),
                                   hint="CSV with a header row, or Parquet"))  # fmt: skip
    return sample


def _of_parquet(path: Path) -> Sample:
    with pq.ParquetFile(path) as table:
        batch = next(table.iter_batches(batch_size=SAMPLE_ROWS), None)
        if batch is None:
            return Sample({})
        columns = {name: plain_values(batch.column(at)) for at, name in enumerate(batch.schema.names)}
        return Sample(columns, rows=batch.num_rows)


def sample_csv(head: bytes) -> Sample:
    """The first rows of CSV text: encoding by its first bytes, the delimiter that gives most columns."""
    encoding = "utf-8"
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
        head = head[: len(head) // 2 * 2].decode("utf-16", "ignore").encode("utf-8")
    head = head.removeprefix(b"\xef\xbb\xbf")
    if len(head) >= SAMPLE_BYTES:
        head = head[: head.rfind(b"\n") + 1]
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            encoding, head = "cp1252", head.decode("cp1252", "replace").encode("utf-8")
    records = list(islice(csv_records(head), SAMPLE_ROWS + 1))
    if len(records) < 2:
        return Sample({})
    delimiter = max(DELIMITERS.values(), key=lambda mark: len(header_of(records[0], mark)))
    header = header_of(records[0], delimiter)
    if len(header) < 2:
        return Sample({})
    rows = []
    for raw in records[1:]:
        try:
            rows.append(fields_of(raw, delimiter, len(header)))
        except BadValue:
            continue
    columns = {name: [row[at] or None for row in rows] for at, name in enumerate(header)}
    return Sample(columns, delimiter, encoding, len(rows))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _seen(values: Sequence[Any]) -> list[Any]:
    return [value for value in values if value is not None][:100]


def guess_time(values: Sequence[Any]) -> TimeFormat | None:
    """The format in which nearly all of the values are times; None where there is none."""
    seen = _seen(values)
    if not seen:
        return None
    numbers = all(str(value).replace(".", "", 1).isdigit() for value in seen)
    if numbers:
        size = len(str(seen[0]).partition(".")[0])
        name = {10: "unix_s", 13: "unix_ms", 16: "unix_us"}.get(size)
        return TimeFormat(name) if name is not None else None
    for how in (
        TimeFormat(),
        TimeFormat(zone="UTC"),
        *(TimeFormat(mark, "" if "%z" in mark else "UTC") for mark in _PATTERNS),
    ):
        if sum(_is_time(value, how) for value in seen) >= MOSTLY * len(seen):
            return how
    return None


def _is_time(value: Any, how: TimeFormat) -> bool:
    try:
        read_time(value, how)
    except BadValue:
        return False
    return True


def guess_type(value: str) -> str | None:
    """The event type that a source's word means, by the words in it.

    >>> guess_type("LOGIN_FAILED"), guess_type("file.download"), guess_type("frobnicate")
    ('login.failed', 'file.downloaded', None)
    """
    plain = _plain(value)
    return next((name for pattern, name in _WORDS if re.search(pattern, plain)), None)


def guess_columns(sample: Sample, taken: set[str]) -> dict[str, str]:
    """Our column → source column, by names and then by values; columns in `taken` are left out."""
    found: dict[str, str] = {}
    for target, names in NAMES.items():
        for name in names:
            column = next((c for c in sample.columns if _plain(c) == name and c not in taken), None)
            if column is not None and _fits(target, sample.columns[column]):
                found[target] = column
                taken.add(column)
                break
    for column, values in sample.columns.items():
        seen = _seen(values)
        if column in taken or not seen or not all(type(value) is str for value in seen):
            continue
        if "ip" not in found and all(parse_address(value) is not None for value in seen):
            found["ip"] = column
        elif "file_sha256" not in found and all(_SHA256.fullmatch(value) for value in seen):
            found["file_sha256"] = column
    return found


def _fits(target: str, values: Sequence[Any]) -> bool:
    seen = _seen(values)
    if target == "ip":
        return any(type(value) is str and parse_address(value) is not None for value in seen)
    if target == "size_bytes":
        return all(str(value).isdigit() for value in seen)
    return not any(type(value) in (dict, list) for value in seen)


def write_draft(sample: Sample, name: str) -> str:
    """A sample's mapping as the text of a file, with what was not guessed as comments."""
    time = next(((c, how) for c in _by_name(sample, _TIMES) if (how := guess_time(sample.columns[c]))), None)
    if time is None:
        time = next(((c, how) for c in sample.columns if (how := guess_time(sample.columns[c]))), None)
    taken = {time[0]} if time else set()
    kind = next((c for c in _by_name(sample, _TYPES) if c not in taken), None)
    taken |= {kind} if kind else set()
    columns = guess_columns(sample, taken)
    out = io.StringIO()
    out.write(f"# drafted from the first {sample.rows} rows of {json.dumps(name)}: check every line\n")
    out.write("format: shoal.mapping\nversion: 1\n")
    if sample.delimiter != "," or sample.encoding != "utf-8":
        word = next(word for word, mark in DELIMITERS.items() if mark == sample.delimiter)
        out.write(f"csv: {{delimiter: {word}, encoding: {sample.encoding}}}\n")
    if time is None:
        out.write("time: {column: WHICH, format: iso}  # not guessed: no column holds times that are known\n")
    else:
        how = time[1]
        zone = f", zone: {how.zone}" if how.zone else ""
        note = "  # the times say no zone: check it" if how.zone else ""
        out.write(f"time: {{column: {_quoted(time[0])}, format: {_quoted(how.format)}{zone}}}{note}\n")
    _write_type(out, sample, kind)
    out.write("columns:\n" if columns else "columns: {}\n")
    for target, column in columns.items():
        out.write(f"  {target}: {_quoted(column)}\n")
    rest = [column for column in sample.columns if column not in taken | set(columns.values())]
    if rest:
        out.write("# not mapped, kept in attributes: " + ", ".join(json.dumps(column) for column in rest) + "\n")
    out.write("rest: keep\n")
    return out.getvalue()


def _write_type(out: io.StringIO, sample: Sample, kind: str | None) -> None:
    if kind is None:
        out.write("type: {default: api.called}  # not guessed: no column says what happened\n")
        return
    values = list(dict.fromkeys(str(value) for value in sample.columns[kind] if value is not None))
    out.write(f"type:\n  column: {_quoted(kind)}\n")
    if len(values) <= MOST_VALUES and any(guess_type(value) is not None for value in values):
        out.write("  values:\n")
        for value in values:
            found = guess_type(value)
            note = "" if found else "  # not guessed"
            out.write(f"    {_quoted(value)}: {found or 'api.called'}{note}\n")
    else:
        out.write("  values: {}\n".replace("{}", "{example: api.called}  # say what the values mean"))
    out.write("  default: api.called\n")


def _by_name(sample: Sample, names: Sequence[str]) -> list[str]:
    return [column for name in names for column in sample.columns if _plain(column) == name]


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text) else json.dumps(text, ensure_ascii=False)
