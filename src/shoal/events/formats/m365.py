"""Microsoft 365 unified audit log: the CSV export with its `AuditData` column, and JSON records.

A CSV row's record is the JSON of its AuditData; the other columns are wrapping of the search or the tool that exported
it (they repeat or describe the record, and differ between exports of the same record), and are left out. JSON records
are the AuditData itself, or objects that hold it. Times have no zone: they are UTC by definition of the schema. The
tables are in `tables.m365`. A decoder holds no state between blocks.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

import orjson

from shoal.events.decode import MAX_LINE_BYTES, Decoded, event_table
from shoal.events.formats.mapping import Mapping, Reach, Values, keep_rows, overlay, pick, read_times, require
from shoal.events.formats.records import Intake, load_object, split_lines
from shoal.events.formats.tables.m365 import ANONYMOUS, BY_OPERATION, COLUMNS, OTHER, OUTCOMES, TYPES
from shoal.events.formats.values import BadValue

_MAPPING = Mapping(COLUMNS)
_DROPPED = frozenset({"CreationTime"})
_WRAPPERS = ("AuditData", "auditData", "auditdata")
csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))


class M365Decoder:
    """Decoder of unified audit log records; a block that begins with `{` is JSON lines, another one is CSV."""

    def __init__(self, source: str, partition: str) -> None:
        self._source, self._partition = source, partition

    def decode(self, block: bytes, offset: int) -> Decoded:
        """Decode a block of whole records; see `Decoder`. A CSV block begins with the header row."""
        intake = Intake(self._source, self._partition)
        if block.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
            lines = split_lines(block)
            for place, line in enumerate(lines, start=offset):
                _take(intake, place, line, line, wrapped=False)
            read = len(lines)
        else:
            read = _read_csv(intake, block, offset)
        return _decode_records(intake, read)


def csv_records(block: bytes) -> Iterator[bytes]:
    """The raw records of CSV text: lines joined while a quote is open; blank ones left out."""
    pending: list[bytes] = []
    quotes = 0
    for line in block.split(b"\n"):
        pending.append(line)
        quotes += line.count(b'"')
        if quotes % 2 == 0:
            record = b"\n".join(pending)
            pending, quotes = [], 0
            if record.strip():
                yield record
    if pending and b"\n".join(pending).strip():
        yield b"\n".join(pending)


def _fields(record: bytes) -> list[str]:
    rows = list(csv.reader([record.decode("utf-8").rstrip("\r")], strict=True))
    return rows[0] if len(rows) == 1 else []


def _read_csv(intake: Intake, block: bytes, offset: int) -> int:
    """Read the rows of a CSV block into the intake; returns how many there were."""
    records = csv_records(block.removeprefix(b"\xef\xbb\xbf"))
    try:
        header = [name.strip().lower() for name in _fields(next(records, b""))]
    except (csv.Error, UnicodeDecodeError):
        header = []
    column = header.index("auditdata") if "auditdata" in header else None
    read = 0
    for read, raw in enumerate(records, start=1):
        place = offset + read - 1
        if column is None:
            intake.refuse(place, "auditdata.missing", "the header has no AuditData column", raw)
            continue
        if len(raw) > MAX_LINE_BYTES:
            intake.refuse(place, "line.too_long", "the record is longer than 1 MiB", raw)
            continue
        try:
            fields = _fields(raw)
        except UnicodeDecodeError as error:
            intake.refuse(place, "utf8.invalid", f"byte {error.start} is not UTF-8", raw)
            continue
        except csv.Error as error:
            intake.refuse(place, "csv.malformed", str(error), raw)
            continue
        if len(fields) != len(header):
            detail = f"the row has {len(fields)} fields, the header {len(header)}"
            intake.refuse(place, "csv.malformed", detail, raw)
            continue
        text = fields[column].strip()
        if not text:
            intake.refuse(place, "auditdata.missing", "AuditData is empty", raw)
            continue
        _take(intake, place, text.encode("utf-8"), raw, wrapped=True)
    return read


def _take(intake: Intake, place: int, text: bytes, raw: bytes, *, wrapped: bool) -> None:
    """Add one record, taken out of its wrapping, to the intake; or a dead letter."""
    try:
        record = load_object(text)
        inner = next((record[name] for name in _WRAPPERS if name in record), None) if not wrapped else None
        if isinstance(inner, str):
            if not inner.strip():
                raise BadValue("auditdata.missing", "AuditData is empty")
            wrapped = True
            record = load_object(inner.encode("utf-8"))
        elif isinstance(inner, dict):
            record = inner
        elif not wrapped and any(name in record for name in _WRAPPERS):
            raise BadValue("auditdata.missing", "AuditData is not a text or object")
    except BadValue as bad:
        inside = wrapped and bad.reason in ("json.malformed", "json.not_object")
        intake.refuse(place, "auditdata.malformed" if inside else bad.reason, bad.detail, raw)
        return
    intake.records.append(record)
    intake.offsets.append(place)
    intake.raws.append(raw)


def _decode_records(intake: Intake, read: int) -> Decoded:
    records = intake.records
    bad: dict[int, BadValue] = {}
    reach = Reach(records)
    columns, kept = _MAPPING.read(reach)
    columns["time"] = read_times(reach.values("CreationTime"), bad, zone_required=False)
    require(columns["operation"], bad, "Operation")
    operations = [plain_operation(name) if name else "" for name in columns["operation"]]
    rows_of: dict[str, list[int]] = {}
    for row, operation in enumerate(operations):
        rows_of.setdefault(operation, []).append(row)
    count = len(records)
    for name in ("recipient", "permission", "file", "url", "external", "reason"):
        columns[name] = [None] * count
    columns["account"] = list(columns["actor"])
    overlay(columns, records, rows_of, BY_OPERATION)
    columns["type"] = [TYPES.get(operation, OTHER) for operation in operations]
    _outcomes(columns, reach)
    _agents(columns, reach)
    _outside(columns, reach, operations)
    columns["attributes"] = _MAPPING.rest_of(records, kept, _DROPPED)
    columns["offset"] = list(intake.offsets)
    rows = intake.drop(bad)
    events = event_table(keep_rows(columns, rows, count), intake.source, intake.partition)
    return Decoded(events=events, dead=tuple(intake.dead), read=read)


def plain_operation(operation: str) -> str:
    """The operation as the tables name it: no full stop or blank at the end, an en dash where exports differ."""
    return operation.strip().rstrip(".").rstrip().replace(" - ", " – ")


def _outcomes(columns: dict[str, Values], reach: Reach) -> None:
    """Outcome by ResultStatus, but a failed login says Success there; the reason of a failed login is its error."""
    outcomes: Values = []
    for row, status in enumerate(reach.values("ResultStatus")):
        if columns["type"][row] == "login.failed":
            outcomes.append("failure")
            columns["reason"][row] = columns["error"][row]
        elif status is None or status == "":
            outcomes.append("success")
        else:
            outcomes.append(OUTCOMES.get(status.lower()) if isinstance(status, str) else None)
    columns["outcome"] = outcomes


def _agents(columns: dict[str, Values], reach: Reach) -> None:
    """Directory records hold the user agent as JSON text inside an extended property."""
    agents = columns["user_agent"]
    for row, details in enumerate(reach.values("ExtendedProperties.@additionalDetails")):
        if agents[row] is None and isinstance(details, str) and "User-Agent" in details:
            try:
                agent = pick(orjson.loads(details), "User-Agent")
            except orjson.JSONDecodeError:
                continue
            agents[row] = agent if isinstance(agent, str) and agent else None


def _outside(columns: dict[str, Values], reach: Reach, operations: Sequence[str]) -> None:
    """`external`: a link for anyone, a guest, or a forward to another mail domain than the actor's."""
    targets = reach.values("TargetUserOrGroupType")
    for row, operation in enumerate(operations):
        if operation in ANONYMOUS:
            columns["external"][row] = True
        elif targets[row] is not None:
            columns["external"][row] = targets[row] == "Guest"
        elif columns["type"][row] == "rule.created" or operation == "Set-Mailbox":
            to, by = columns["recipient"][row], columns["actor"][row]
            if to is not None and by is not None and "@" in to and "@" in by:
                columns["external"][row] = any(
                    part.rpartition("@")[2].strip("> ;\"'") != by.rpartition("@")[2]
                    for part in to.split(";")
                    if "@" in part
                )


MARKS = (b'"CreationTime"', b'"Operation"', b'"Workload"', b'"OrganizationId"', b'"RecordType"')
"""Keys by which the format is known, where it is not by a column AuditData."""


def sniff(head: bytes) -> float:
    """How much the first bytes look like it: an AuditData column, or the common schema's fields."""
    if b"auditdata" in head[:4096].lower():
        return 1.0
    return sum(mark in head for mark in MARKS) / len(MARKS)
