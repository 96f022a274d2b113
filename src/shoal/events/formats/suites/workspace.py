"""Google Workspace: activities of the Admin SDK Reports API (login, user_accounts, drive, token, admin).

A block's lines are activities, or whole pages (`items`). An activity may tell several events; each is a record of its
own, with the activity's fields and its parameters as an object, so an activity of three events counts as three
records. The tables are in `tables.workspace`. A decoder holds no state between blocks.
"""

from __future__ import annotations

from typing import Any

from shoal.events.decode import Decoded, event_table
from shoal.events.formats.mapping import Mapping, Reach, Record, Values, keep_rows, overlay, read_times
from shoal.events.formats.records import Intake, load_object
from shoal.events.formats.suites.lines import decode_lines
from shoal.events.formats.tables import workspace as table
from shoal.events.formats.values import BadValue

_MAPPING = Mapping(table.COLUMNS)
_NO_FIELDS: frozenset[str] = frozenset()
_VALUES = ("value", "intValue", "boolValue", "multiValue", "multiIntValue", "messageValue", "multiMessageValue")
_INTEGERS = frozenset({"intValue", "multiIntValue"})


class WorkspaceDecoder:
    """Decoder of Reports API activities, one activity or page a line."""

    def __init__(self, source: str, partition: str) -> None:
        self._source, self._partition = source, partition

    def decode(self, block: bytes, offset: int) -> Decoded:
        """Decode a block of lines; see `Decoder`."""
        return decode_lines(Intake(self._source, self._partition), block, offset, _take, _decode_records)


def _take(intake: Intake, line: bytes, place: int) -> int:
    """Add the events of one line to the intake; returns the next free place."""
    try:
        top = load_object(line)
    except BadValue as bad:
        intake.refuse(place, bad.reason, bad.detail, line)
        return place + 1
    if "items" not in top and "events" not in top and top.get("kind") == "admin#reports#activities":
        return place  # a page without activities
    activities = top["items"] if type(top.get("items")) is list and "events" not in top else [top]
    for activity in activities:
        events = activity.get("events") if type(activity) is dict else None
        if type(events) is not list or not events:
            what = "an item is not an object" if type(activity) is not dict else "the activity has no list of events"
            intake.refuse(place, "type.wrong" if type(activity) is not dict else "type.missing", what, line)
            place += 1
            continue
        shared = {name: value for name, value in activity.items() if name != "events"}
        for number, event in enumerate(events):
            if type(event) is not dict:
                intake.refuse(place, "type.wrong", "an event of the activity is not an object", line)
            else:
                intake.records.append(_record(shared, event, number))
                intake.offsets.append(place)
                intake.raws.append(line)
            place += 1
    return place


def _record(shared: Record, event: Record, number: int) -> Record:
    """One event with its activity's fields; a name that both have stays the event's, the activity's as `activity_…`."""
    record = {(f"activity_{name}" if name in event else name): value for name, value in shared.items()}
    record.update(event)
    given = event.get("parameters")
    if type(given) is list:
        found = _parameters(given)
        if found is not None:
            record["parameters"] = found
    if number:
        record["event_number"] = number
    return record


def _parameters(given: list[Any]) -> Record | None:
    """The parameters as an object by name; None where they are not what the API documents (they stay as they are)."""
    found: Record = {}
    for entry in given:
        if type(entry) is not dict or type(entry.get("name")) is not str or entry["name"] in found:
            return None
        kind = next((name for name in _VALUES if name in entry), None)
        value = None if kind is None else entry[kind]
        if kind in _INTEGERS:  # the API writes 64-bit integers as texts
            value = [_integer(one) for one in value] if type(value) is list else _integer(value)
        found[entry["name"]] = value
    return found


def _integer(value: Any) -> Any:
    if type(value) is str and len(value) <= 20 and value.lstrip("-").isdecimal() and value.isascii():
        try:
            return int(value)
        except ValueError:
            return value
    return value


def _decode_records(intake: Intake, read: int) -> Decoded:
    records = intake.records
    bad: dict[int, BadValue] = {}
    reach = Reach(records)
    columns, kept = _MAPPING.read(reach)
    columns["time"] = read_times(reach.values("id.time"), bad, zone_required=False)
    for row, name in enumerate(columns["operation"]):
        if name is None:
            bad.setdefault(row, BadValue("type.missing", "the event has no name"))
    for name in ("recipient", "permission", "link", "external"):
        columns[name] = [None] * len(records)
    columns["account"] = list(columns["actor"])
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(columns["operation"]):
        rows_of.setdefault(name, []).append(row)
    overlay(columns, records, rows_of, table.BY_EVENT)
    columns["event_id"] = _ids(reach)
    _types(columns, reach)
    columns["attributes"] = _MAPPING.rest_of(records, kept, _NO_FIELDS)
    columns["offset"] = list(intake.offsets)
    rows = intake.drop(bad)
    events = event_table(keep_rows(columns, rows, len(records)), intake.source, intake.partition)
    return Decoded(events=events, dead=tuple(intake.dead), read=read)


def _ids(reach: Reach) -> Values:
    """`application/time/qualifier`, which name an activity, and the number of the event where it is not the first."""
    paths = ("id.applicationName", "id.time", "id.uniqueQualifier", "event_number")
    ids: Values = []
    for application, time, qualifier, number in zip(*(reach.values(path) for path in paths), strict=True):
        if qualifier is None or type(qualifier) in (dict, list):
            ids.append(None)
        else:
            ids.append(f"{application}/{time}/{qualifier}" + (f"#{number}" if number else ""))
    return ids


def _types(columns: dict[str, Values], reach: Reach) -> None:
    """Types, and what depends on them: outcome, reason, sharing with outsiders."""
    applications = reach.values("id.applicationName")
    parameters = reach.values("parameters")
    types: Values = []
    outcomes: Values = []
    for row, name in enumerate(columns["operation"]):
        given = parameters[row] if type(parameters[row]) is dict else {}
        kind = table.TYPES.get(applications[row], {}).get(name) if type(applications[row]) is str else None
        kind = kind or table.OTHER
        outcome = "success"
        if kind == "challenge.issued":
            status = given.get("login_challenge_status")
            kind = table.CHALLENGES.get(status.lower().rstrip(". ") if type(status) is str else "", kind)
            outcome = {"challenge.passed": "success", "challenge.failed": "failure"}.get(kind, "")
        elif kind == "login.failed" or kind == "app.denied":
            outcome = "failure" if kind == "login.failed" else "denied"
        elif kind in ("login.flagged", "account.warned") or (kind == "account.disabled" and name != "SUSPEND_USER"):
            columns["reason"][row] = name
        elif kind in ("file.shared", "link.created", "link.changed", "permission.granted"):
            kind = _sharing(columns, row, kind, given)
        elif kind == "permission.revoked" or kind == "rule.created":
            _fill(columns, row, kind)
        elif type(name) is str and name.endswith("_blocked"):
            outcome = "denied"
        types.append(kind)
        outcomes.append(outcome or None)
    columns["type"], columns["outcome"] = types, outcomes


def _fill(columns: dict[str, Values], row: int, kind: str) -> None:
    if kind == "rule.created":
        columns["external"][row] = True
    elif columns["permission"][row] is None:
        columns["permission"][row] = table.ADMIN_ROLE


def _sharing(columns: dict[str, Values], row: int, kind: str, given: Record) -> str:
    """The type of a change of access: shared or not any more; and whether the other side is outside."""
    granted = columns["permission"][row]
    change = given.get("visibility_change")
    outside = {"external": True, "internal": False}.get(change) if type(change) is str else None
    if kind == "permission.granted":
        _fill(columns, row, kind)
        taken = "removed_role" in given and "added_role" not in given
        return "permission.revoked" if taken else kind
    if kind == "file.shared":
        to, owner = columns["recipient"][row], columns["owner"][row]
        if outside is None and to is not None and owner is not None and "@" in owner:
            outside = to.rpartition("@")[2] != owner.rpartition("@")[2]
        columns["external"][row] = outside
        thing = "folder" if given.get("doc_type") in ("folder", "shared_drive") else "file"
        return f"{thing}.unshared" if granted is None or granted in table.NO_ACCESS else f"{thing}.shared"
    columns["external"][row] = True if granted in table.OPEN else outside
    return "link.stopped" if kind == "link.created" and granted in table.CLOSED else kind


MARKS = (b'"applicationName"', b'"uniqueQualifier"', b'"events"', b'"customerId"')
"""Keys by which the format is known, where the API's own name for it does not stand."""


def sniff(head: bytes) -> float:
    """How much the first bytes look like it: the API's own names for activities, or the parts of an activity's id."""
    if b'"admin#reports#activit' in head:
        return 1.0
    return sum(mark in head for mark in MARKS) / len(MARKS)
