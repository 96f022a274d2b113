"""OCSF events as JSON: Authentication, Account Change, File Hosting Activity, API Activity, Detection Finding.

The tables are in `tables.ocsf`. `time` is milliseconds (OCSF timestamp_t); `time_dt` (ISO 8601, microseconds) is taken
where both stand. Classes that the table does not know keep their numbers as the event's type. Records that Shoal wrote
(`unmapped.shoal` with its format's version) give back what they were made of. A decoder holds no state.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from shoal.events.decode import Decoded, event_table
from shoal.events.formats.mapping import Mapping, Reach, Values, keep_rows
from shoal.events.formats.native_rows import KEYS, read_event
from shoal.events.formats.records import Intake, split_lines
from shoal.events.formats.tables.ocsf import ACCOUNT_CHANGE, AUTHENTICATION, COLUMNS, OUTCOMES, TYPES, USER_ACCESS
from shoal.events.formats.values import MAX_TIME_US, BadValue, parse_time

_MAPPING = Mapping(COLUMNS)
_SHA256 = 3  # algorithm_id of SHA-256 in OCSF fingerprints
_HEX64 = re.compile(r"[0-9a-f]{64}")
_DROPPED: frozenset[str] = frozenset()
MARK, MARK_VERSION = "shoal.event", 1
"""`unmapped.shoal` of a record that Shoal wrote: `{"format": MARK, "version": …, "columns": {}, "attributes": {}}`."""
OURS = frozenset({
    "class_uid", "class_name", "category_uid", "category_name", "activity_id", "activity_name", "type_uid", "type_name",
    "time", "time_dt", "severity_id", "severity", "status_id", "status", "status_code", "status_detail", "metadata",
    "actor", "user", "file", "device", "src_endpoint", "http_request", "resources", "api", "auth_protocol", "policy",
    "entity", "unmapped",
})  # fmt: skip
"""Fields that a written record may have; others that one has were added by someone and become attributes."""


class OcsfDecoder:
    """Decoder of OCSF events, one JSON object a line."""

    def __init__(self, source: str, partition: str) -> None:
        self._source, self._partition = source, partition

    def decode(self, block: bytes, offset: int) -> Decoded:
        """Decode a block of lines; see `Decoder`."""
        lines = split_lines(block)
        intake = Intake(self._source, self._partition)
        intake.read(lines, offset)
        return _decode_records(intake, len(lines))


def _decode_records(intake: Intake, read: int) -> Decoded:
    records = intake.records
    bad: dict[int, BadValue] = {}
    reach = Reach(records)
    columns, kept = _MAPPING.read(reach)
    columns["time"] = _times(reach, bad)
    columns["type"] = _types(reach, bad)
    columns["outcome"] = [OUTCOMES.get(status) if type(status) is int else None for status in reach.values("status_id")]
    columns["file_sha256"] = [_sha256(hashes) for hashes in reach.values("file.hashes")]
    columns["client"] = [None] * len(records)
    columns["recipient"] = [None] * len(records)
    _people(columns, reach)
    _places(columns, reach)
    columns["attributes"] = _MAPPING.rest_of(records, kept, _DROPPED)
    _given_back(columns, reach, bad)
    columns["offset"] = list(intake.offsets)
    rows = intake.drop(bad)
    events = event_table(keep_rows(columns, rows, len(records)), intake.source, intake.partition)
    return Decoded(events=events, dead=tuple(intake.dead), read=read)


def _times(reach: Reach, bad: dict[int, BadValue]) -> Values:
    times: Values = []
    for row, (ms, text) in enumerate(zip(reach.values("time"), reach.values("time_dt"), strict=True)):
        time = None
        try:
            if text is not None:
                time = parse_time(text, zone_required=True)
            elif ms is None:
                raise BadValue("time.missing", "the event has no time")
            elif type(ms) is not int:
                raise BadValue("time.malformed", "time is not an integer of milliseconds")
            elif not 0 <= ms <= MAX_TIME_US // 1000:
                raise BadValue("time.out_of_range", "time is not within 1970 to 9999 in milliseconds")
            else:
                time = ms * 1000
        except BadValue as fault:
            bad.setdefault(row, fault)
        times.append(time)
    return times


def _types(reach: Reach, bad: dict[int, BadValue]) -> Values:
    types: Values = []
    uids = (reach.values(name) for name in ("class_uid", "activity_id", "status_id"))
    for row, (class_uid, activity, status) in enumerate(zip(*uids, strict=True)):
        if type(class_uid) is not int:
            bad.setdefault(row, BadValue("class.missing", "the event has no class_uid"))
            types.append(None)
            continue
        number = activity if type(activity) is int else 0
        name = TYPES.get(class_uid, {}).get(number) or f"ocsf_{class_uid}.activity_{number}"
        types.append("login.failed" if name == "login.succeeded" and status == 2 else name)
    return types


def _sha256(hashes: Any) -> str | None:
    if type(hashes) is list:
        for entry in hashes:
            if type(entry) is dict and (entry.get("algorithm_id") == _SHA256 or entry.get("algorithm") == "SHA-256"):
                value = entry.get("value")
                if type(value) is str and _HEX64.fullmatch(value.lower()):
                    return value.lower()
    return None


def _people(columns: dict[str, Values], reach: Reach) -> None:
    """Who is the actor and whose account it is about: in Authentication both are `user` where no actor stands."""
    classes = reach.values("class_uid")
    actors, accounts, recipients = columns["actor"], columns["account"], columns["recipient"]
    for row, class_uid in enumerate(classes):
        if class_uid == AUTHENTICATION and actors[row] is None:
            actors[row] = accounts[row]
        elif class_uid in (ACCOUNT_CHANGE, USER_ACCESS) and columns["type"][row] in (
            "permission.granted",
            "permission.revoked",
        ):
            recipients[row] = accounts[row]
            accounts[row] = actors[row] or accounts[row]
        elif accounts[row] is None:
            accounts[row] = actors[row]


def _places(columns: dict[str, Values], reach: Reach) -> None:
    """`coordinates` ([longitude, latitude], GeoJSON order) where lat and long do not stand; both or none."""
    lat, lon = columns["lat"], columns["lon"]
    for row, pair in enumerate(reach.values("src_endpoint.location.coordinates")):
        if lat[row] is None and type(pair) is list and len(pair) == 2 and all(type(x) in (int, float) for x in pair):
            lon[row], lat[row] = float(pair[0]), float(pair[1])
        if lat[row] is None or lon[row] is None or abs(lat[row]) > 90 or abs(lon[row]) > 180:
            lat[row] = lon[row] = None


def _given_back(columns: dict[str, Values], reach: Reach, bad: dict[int, BadValue]) -> None:
    """What a record that Shoal wrote was made of: columns that OCSF has no place for, or holds otherwise."""
    for row, mark in enumerate(reach.values("unmapped.shoal")):
        if type(mark) is not dict or mark.get("format") != MARK or row in bad:
            continue
        given, attributes = mark.get("columns", {}), mark.get("attributes")
        try:
            if mark.get("version") != MARK_VERSION or type(given) is not dict or set(mark) - _PARTS:
                raise BadValue("class.malformed", f"unmapped.shoal is not version {MARK_VERSION} of {MARK}")
            unknown = sorted(set(given) - _COLUMNS)
            if unknown:
                raise BadValue("class.malformed", f"unmapped.shoal names {unknown[0][:40]!r}, which is no column")
            found = read_event({"time": columns["time"][row], "type": columns["type"][row], **given})
            further = attributes or {}
            if type(further) is not dict:
                raise BadValue("attributes.not_object", "the attributes of unmapped.shoal are not an object")
        except BadValue as fault:
            bad[row] = fault
            continue
        for name in given:
            if name not in columns:
                columns[name] = [None] * len(reach.records)
            columns[name][row] = found.get(name)
        record = reach.records[row]
        added = {name: value for name, value in record.items() if name not in OURS and name not in further}
        whole = {**further, **added}
        columns["attributes"][row] = orjson.dumps(whole).decode() if whole or attributes == {} else None


_COLUMNS = frozenset(KEYS) - {"attributes"}
_PARTS = frozenset({"format", "version", "columns", "attributes"})


MARKS = (b'"class_uid"', b'"activity_id"', b'"metadata"')
"""Keys by which the format is known."""


def sniff(head: bytes) -> float:
    """How much the first bytes look like OCSF."""
    return sum(mark in head for mark in MARKS) / len(MARKS)
