"""Event tables as OCSF events: each row a record of the class that fits its type.

A row is put where the mapping has a place for it, and read back by our own reader: what comes back otherwise, and the
attributes, go into `unmapped.shoal`, so that a round trip loses nothing whatever the tables say. Types without a class
are API Activity, activity 99 (Other). Stamps and facts are not written: they are the writer's, not the event's.
Holds no state.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa

from shoal import __version__
from shoal.errors import InvalidInput, Problem, Where
from shoal.events.formats.ocsf.read import MARK, MARK_VERSION, OcsfDecoder
from shoal.events.formats.records import load_object
from shoal.events.formats.tables import ocsf as table
from shoal.events.formats.values import BadValue
from shoal.events.schema import BY_NAME, GIVEN_COLUMNS, Kind, check_table

_PLACE = frozenset({"source", "partition", "offset"})
_KEPT = tuple(spec.name for spec in GIVEN_COLUMNS if spec.name not in _PLACE and spec.name != "attributes")
_OTHER = (table.API_ACTIVITY, 99)
_NUMBERED = re.compile(r"ocsf_(\d{1,6})\.activity_(\d{1,6})", re.ASCII)
_STATUS = {"success": 1, "failure": 2}
_PATHS = {name: tuple(path.split(".")) for name, path in table.WRITTEN.items()}
_GRANTS = frozenset({"permission.granted", "permission.revoked"})
Row = dict[str, Any]


def write_ocsf(events: pa.Table) -> bytes:
    """The events as OCSF 1.4 records, one JSON object a line.

    `OcsfDecoder` reads them back equal in every given column but the place (source, partition, offset); attributes are
    equal as JSON. Raises `InvalidInput` for a table that is not an event table (`events.*`) or lacks `time` or `type`
    in a row, and for rows whose record would be refused by the reader's limits (`ocsf.unwritable`).
    """
    check_table(events)
    names = [name for name in (*_KEPT, "attributes") if name in events.column_names]
    rows = events.select(names).to_pylist()
    _check(rows)
    records = [_record(row) for row in rows]
    back = OcsfDecoder("", "").decode(b"\n".join(orjson.dumps(record) for record in records), 0)
    read = iter(back.events.to_pylist())
    refused = {letter.offset for letter in back.dead}
    lines = []
    problems = []
    for number, (row, record) in enumerate(zip(rows, records, strict=True)):
        found = next(read) if number not in refused else {"time": None, "type": None}
        record["unmapped"] = {"shoal": _unmapped(row, found)}
        line = orjson.dumps(record)
        fault = _refused(line)
        if fault is not None:
            problems.append(Problem("ocsf.unwritable", f"row {number}: {fault}", Where(path="attributes")))
        lines.append(line + b"\n")
    if problems:
        raise InvalidInput(problems)
    return b"".join(lines)


def _check(rows: list[Row]) -> None:
    problems = [
        Problem("ocsf.unwritable", f"row {number} has no {name}", Where(path=name))
        for number, row in enumerate(rows)
        for name in ("time", "type")
        if not row.get(name) and row.get(name) != 0
    ]
    if problems:
        raise InvalidInput(problems)


def _refused(line: bytes) -> str | None:
    """Why the reader would refuse a line, by its limits; None where it would not."""
    try:
        load_object(line)
    except BadValue as bad:
        return bad.detail
    return None


def class_of(kind: str) -> tuple[int, int]:
    """Class and activity that an event type is written as.

    >>> class_of("file.downloaded"), class_of("ocsf_4001.activity_6"), class_of("abuse.reported")
    ((6006, 2), (4001, 6), (6003, 99))
    """
    numbered = _NUMBERED.fullmatch(kind)
    if numbered is not None:
        return int(numbered[1]), int(numbered[2])
    return table.CLASS_OF_TYPE.get(kind) or table.NEAR_CLASS.get(kind) or _OTHER


def _record(row: Row) -> dict[str, Any]:
    """The record of one row, `unmapped` aside."""
    kind, time, outcome = row["type"], row["time"], row.get("outcome")
    class_uid, activity = class_of(kind)
    status = 2 if kind == "login.failed" else _STATUS.get(outcome or "", 0 if outcome is None else 99)
    record: dict[str, Any] = {
        "class_uid": class_uid,
        "category_uid": class_uid // 1000,
        "activity_id": activity,
        "type_uid": class_uid * 100 + activity,
        "time": time // 1000,
        "time_dt": _iso(time),
        "severity_id": 1,
        "status_id": status,
        "metadata": {
            "version": table.VERSION,
            "product": {"name": "Shoal", "vendor_name": "Shoal", "uid": "shoal", "version": __version__},
        },
    }
    if class_uid in table.CLASS_NAMES:
        record["class_name"] = table.CLASS_NAMES[class_uid]
    name = row.get("operation") or (kind if activity == _OTHER[1] else None)  # OCSF: the source's own word
    if name is not None:
        record["activity_name"] = name
    if status == 99:
        record["status"] = outcome
    people = dict(row)
    if class_uid == table.ACCOUNT_CHANGE and kind in _GRANTS:  # there `user` is the one who is given something
        people["account"] = row.get("recipient")
    for name, path in _PATHS.items():
        value = people.get(name)
        if value is not None:
            _put(record, path, value)
    digest = row.get("file_sha256")
    if digest is not None:
        _put(record, ("file", "hashes"), [{"algorithm": "SHA-256", "algorithm_id": 3, "value": digest}])
    if "file" in record:
        record["file"].setdefault("type_id", 0)
    if "device" in record:
        record["device"].setdefault("type_id", 0)
    return record


def _put(record: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set the value at a path; a part `0` is the one entry of a list."""
    for place, part in enumerate(path[:-1]):
        if part == "0":
            continue
        listed = path[place + 1] == "0"
        inner = record.setdefault(part, [{}] if listed else {})
        record = inner[0] if listed else inner
    record[path[-1]] = value


def _iso(time: int) -> str:
    moment = datetime.fromtimestamp(time // 1_000_000, UTC).replace(microsecond=time % 1_000_000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def _unmapped(row: Row, found: Row) -> dict[str, Any]:
    """What the reader would not give back from the record alone."""
    differing = {}
    for name in _KEPT:
        value = row.get(name)
        if value is not None and BY_NAME[name].kind is Kind.FLOAT and not -1e308 < value < 1e308:
            value = None
        if value != found.get(name):
            differing[name] = value
    made: dict[str, Any] = {"format": MARK, "version": MARK_VERSION}
    if differing:
        made["columns"] = differing
    if row.get("attributes") is not None:
        made["attributes"] = orjson.Fragment(row["attributes"])
    return made
