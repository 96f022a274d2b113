"""The slow, correct reader of native lines: one Python object a line. The twin of the kernel, and its fallback.

It reads every line that the kernel declines (escapes, nested or unusual values, bad lines), so both must agree on all
that both can read; the tests compare them. Holds no state.
"""

from __future__ import annotations

import math
from typing import Any

import orjson

from shoal.events.facts import BOOL_FACTS, FACT_NAMES, TIME_FACTS
from shoal.events.formats.records import load_object
from shoal.events.formats.values import BadValue, parse_address, parse_time
from shoal.events.labels import LABEL_SUBJECTS
from shoal.events.schema import GIVEN_COLUMNS, Kind

PLACE = frozenset({"source", "partition", "offset"})
"""Where a record was read: set by the reader; in a line they are fields like any unknown one."""
KEYS: dict[str, Kind] = {spec.name: spec.kind for spec in GIVEN_COLUMNS if spec.name not in PLACE}
"""The keys of a native line, `record` aside, and their kinds."""
_TEXTS = frozenset(name for name, kind in KEYS.items() if kind is Kind.TEXT) - {"ip", "attributes"}
_INT_LIMIT = 1 << 63
_JSON = {str: "text", bool: "boolean", int: "number", float: "number", dict: "object", list: "array"}

EVENT, FACT, LABEL = "event", "fact", "label"


def read_line(line: bytes) -> tuple[str, dict[str, Any]]:
    """One line as (record kind, column → value); raises `BadValue` with the dead letter's reason."""
    record = load_object(line)
    kind = record.pop("record", None)
    if kind is None or kind == EVENT:
        return EVENT, read_event(record)
    if kind == FACT:
        return FACT, read_fact(record)
    if kind == LABEL:
        return LABEL, read_label(record)
    raise BadValue("record.unknown", f"record is {str(kind)[:40]!r}; allowed: event, fact, label")


def read_event(record: dict[str, Any]) -> dict[str, Any]:
    """The columns of an event record; unknown fields and host names in `ip` go to `attributes`."""
    row: dict[str, Any] = {}
    further: dict[str, Any] = {}
    for name, value in record.items():
        if type(value) is str and name in _TEXTS:
            row[name] = value
            continue
        kind = KEYS.get(name)
        if kind is None:
            _add(further, name, value)
        elif value is None:
            continue
        elif name == "attributes":
            if type(value) is not dict:
                raise BadValue("attributes.not_object", f"attributes is a JSON {_JSON[type(value)]}")
            for inner, item in value.items():
                _add(further, inner, item)
        elif name == "ip":
            address = parse_address(_typed(name, value, Kind.TEXT))
            if address is None:
                _add(further, name, value)
            else:
                row[name] = address
        else:
            row[name] = _typed(name, value, kind)
    if further:
        row["attributes"] = orjson.dumps(further).decode()
    if not row.get("type"):
        raise BadValue("type.missing", "the event has no type")
    if "time" not in row:
        raise BadValue("time.missing", "the event has no time")
    return row


def _add(further: dict[str, Any], name: str, value: Any) -> None:
    if name in further:
        raise BadValue("attributes.conflict", f"{name[:60]!r} stands both in attributes and beside it")
    further[name] = value


def _typed(name: str, value: Any, kind: Kind) -> Any:
    """The value of a known field as its column holds it."""
    if kind is Kind.TIME:
        if type(value) not in (str, int):
            raise BadValue("time.malformed", f"{name} is a JSON {_JSON[type(value)]}")
        return parse_time(value, zone_required=True)
    if kind is Kind.TEXT and type(value) is str:
        return value
    if kind is Kind.BOOL and type(value) is bool:
        return value
    if kind is Kind.INT and type(value) is int:
        if not -_INT_LIMIT <= value < _INT_LIMIT:
            raise BadValue("number.out_of_range", f"{name} does not fit 64 bits")
        return value
    if kind is Kind.FLOAT and type(value) in (int, float):
        if not math.isfinite(value):
            raise BadValue("number.out_of_range", f"{name} is not finite")
        return float(value)
    if kind is Kind.INT and type(value) is float and abs(value) >= _INT_LIMIT:
        raise BadValue("number.out_of_range", f"{name} does not fit 64 bits")
    raise BadValue("type.wrong", f"{name} is a JSON {_JSON[type(value)]}, its column holds {kind.name.lower()}")


def _strict(record: dict[str, Any], slug: str, texts: tuple[str, ...], others: frozenset[str]) -> None:
    """Refuse a fact or label that lacks a text or has a field which is not its own."""
    for name in texts:
        if type(record.get(name)) is not str or not record[name]:
            raise BadValue(slug, f"{name} is missing or not a text")
    unknown = sorted(set(record) - set(texts) - others)
    if unknown:
        raise BadValue(slug, f"unknown field {unknown[0][:60]!r}")


def _moment(record: dict[str, Any], name: str, slug: str, *, needed: bool = False) -> int | None:
    value = record.get(name)
    if value is None:
        if needed:
            raise BadValue(slug, f"{name} is missing")
        return None
    try:
        return parse_time(value, zone_required=True)
    except BadValue as bad:
        raise BadValue(slug, f"{name}: {bad.detail}") from bad


_FACT_OTHERS = frozenset({"value", "time"})


def read_fact(record: dict[str, Any]) -> dict[str, Any]:
    """The columns of a fact record; raises `BadValue` (`fact.invalid`)."""
    slug = "fact.invalid"
    _strict(record, slug, ("subject_type", "subject", "name"), _FACT_OTHERS)
    names = FACT_NAMES.get(record["subject_type"])
    if names is None:
        raise BadValue(slug, f"subject_type is {record['subject_type'][:40]!r}; allowed: {', '.join(FACT_NAMES)}")
    name, value = record["name"], record.get("value")
    if name not in names:
        raise BadValue(slug, f"name is {name[:40]!r}; allowed: {', '.join(names)}")
    if value is not None:
        if name in TIME_FACTS:
            value = str(_moment(record, "value", slug))
        elif name in BOOL_FACTS:
            if type(value) is not bool:
                raise BadValue(slug, f"value of {name} is not true or false")
            value = "true" if value else "false"
        elif type(value) is not str:
            raise BadValue(slug, f"value of {name} is not a text")
    time = _moment(record, "time", slug, needed=True)
    return {**{k: record[k] for k in ("subject_type", "subject", "name")}, "value": value, "time": time}


_LABEL_OTHERS = frozenset({"start", "end", "confidence", "known_at", "retracted"})


def read_label(record: dict[str, Any]) -> dict[str, Any]:
    """The columns of a label record; raises `BadValue` (`label.invalid`)."""
    slug = "label.invalid"
    texts = ("subject_type", "subject", "kind", "source")
    _strict(record, slug, texts, _LABEL_OTHERS)
    if record["subject_type"] not in LABEL_SUBJECTS:
        allowed = ", ".join(LABEL_SUBJECTS)
        raise BadValue(slug, f"subject_type is {record['subject_type'][:40]!r}; allowed: {allowed}")
    start, end = _moment(record, "start", slug), _moment(record, "end", slug)
    if start is not None and end is not None and end < start:
        raise BadValue(slug, "end is before start")
    confidence = record.get("confidence")
    if confidence is not None and (type(confidence) not in (int, float) or not 0 <= confidence <= 1):
        raise BadValue(slug, "confidence is not a number in [0, 1]")
    retracted = record.get("retracted")
    if retracted is not None and type(retracted) is not bool:
        raise BadValue(slug, "retracted is not true or false")
    return {
        **{name: record[name] for name in texts},
        "start": start,
        "end": end,
        "confidence": None if confidence is None else float(confidence),
        "known_at": _moment(record, "known_at", slug, needed=True),
        "retracted": bool(retracted),
    }
