"""Dropbox: the team event log (`team_log/get_events` and `get_events/continue`).

A block's lines are events, or whole answers (`events`, `cursor`, `has_more`). The tables are in `tables.dropbox`. The
log gives no id of an event: `EventIds` makes one. A decoder holds no state between blocks.
"""

from __future__ import annotations

import re

from shoal.events.decode import Decoded, event_table
from shoal.events.formats.mapping import (
    Mapping,
    Reach,
    Values,
    keep_rows,
    read_times,
    require,
)
from shoal.events.formats.records import Intake, load_object
from shoal.events.formats.suites.lines import decode_lines
from shoal.events.formats.tables import dropbox as table
from shoal.events.formats.values import BadValue

_MAPPING = Mapping(table.COLUMNS)
_PARTICIPANT = Mapping([table.OF_PARTICIPANT])
_DROPPED = frozenset({"timestamp"})
_TAG = re.compile(rb'"\.tag"(\s*:)')  # a quote inside a JSON text is escaped, so this is a key


class DropboxDecoder:
    """Decoder of team log events, one event or answer a line."""

    def __init__(self, source: str, partition: str) -> None:
        self._source, self._partition = source, partition

    def decode(self, block: bytes, offset: int) -> Decoded:
        """Decode a block of lines; see `Decoder`."""
        return decode_lines(Intake(self._source, self._partition), block, offset, _take, _decode_records)


def _take(intake: Intake, line: bytes, place: int) -> int:
    """Add the events of one line to the intake; returns the next free place."""
    try:
        top = load_object(_TAG.sub(rb'"tag"\1', line))
    except BadValue as bad:
        intake.refuse(place, bad.reason, bad.detail, line)
        return place + 1
    events = top["events"] if type(top.get("events")) is list and "event_type" not in top else [top]
    for event in events:
        if type(event) is dict:
            intake.records.append(event)
            intake.offsets.append(place)
            intake.raws.append(line)
        else:
            intake.refuse(place, "type.wrong", "an event of the answer is not an object", line)
        place += 1
    return place


def _decode_records(intake: Intake, read: int) -> Decoded:
    records = intake.records
    bad: dict[int, BadValue] = {}
    reach = Reach(records)
    columns, kept = _MAPPING.read(reach)
    columns["time"] = read_times(reach.values("timestamp"), bad, zone_required=True)
    require(columns["operation"], bad, "event_type")
    columns["recipient"], columns["resource"] = [None] * len(records), [None] * len(records)
    _people(columns, reach)
    _types(columns, reach)
    _assets(columns, reach)
    columns["attributes"] = _MAPPING.rest_of(records, kept, _DROPPED)
    columns["offset"] = list(intake.offsets)
    rows = intake.drop(bad)
    events = event_table(keep_rows(columns, rows, len(records)), intake.source, intake.partition)
    return Decoded(events=events, dead=tuple(intake.dead), read=read)


def _people(columns: dict[str, Values], reach: Reach) -> None:
    """Whose account it is: the context's, the participant's for what is done to a member, else the actor's."""
    others = _PARTICIPANT.read(reach)[0][table.OF_PARTICIPANT.name]
    actors, accounts, recipients = columns["actor"], columns["account"], columns["recipient"]
    for row, (operation, other) in enumerate(zip(columns["operation"], others, strict=True)):
        if operation in table.MEMBERS:
            accounts[row] = accounts[row] or other or actors[row]
            if operation == "member_change_admin_role":
                recipients[row] = accounts[row]
        else:
            accounts[row] = accounts[row] or actors[row]
            recipients[row] = other


def _types(columns: dict[str, Values], reach: Reach) -> None:
    """Types and outcomes; of a few events the type depends on the new value."""
    types: Values = []
    before = reach.values("details.previous_value.tag")
    for row, after in enumerate(reach.values("details.new_value.tag")):
        operation = columns["operation"][row]
        kind = table.TYPES.get(operation, table.OTHER)
        if operation == "member_change_status" and type(after) is str:
            kind = table.STATUSES.get(after, kind)
            if after == "active" and str(before[row]) in ("None", "invited", "not_joined"):
                kind = "account.created"
            elif after == "invited":
                columns["recipient"][row], columns["account"][row] = columns["account"][row], columns["actor"][row]
        elif operation == "tfa_change_status" and after == table.TFA_OFF:
            kind = "mfa.removed"
        elif operation == "member_change_admin_role" and after == table.NO_ROLE:
            kind = "permission.revoked"
        types.append(kind)
        if not (kind.startswith("mfa.") or columns["operation"][row] in ("login_success", "login_fail")):
            columns["method"][row] = None
        if not kind.startswith(("permission.", "folder.", "link.", "file.", "invite.")):
            columns["permission"][row] = None
    columns["type"] = types
    columns["outcome"] = ["failure" if name in table.FAILURES else "success" for name in columns["operation"]]


def _assets(columns: dict[str, Values], reach: Reach) -> None:
    """Folders are resources, not files; several assets are counted; a link without its text is named by its asset."""
    items: Values = []
    tags = reach.values("assets.0.tag")
    for row, assets in enumerate(reach.values("assets")):
        items.append(len(assets) if type(assets) is list and len(assets) > 1 else None)
        if type(tags[row]) is str and tags[row] in table.FOLDERS:
            columns["resource"][row], columns["file"][row] = columns["file"][row], None
        if columns["link"][row] is None and columns["type"][row].startswith("link."):
            columns["link"][row] = columns["file"][row] or columns["resource"][row]
    columns["items"] = items


MARKS = (b'"event_category"', b'"event_type"', b'".tag"', b'"timestamp"')
"""Keys by which the format is known."""


def sniff(head: bytes) -> float:
    """How much the first bytes look like it: the log's fields and its tagged unions."""
    return sum(mark in head for mark in MARKS) / len(MARKS)
