"""Rule tests as they are written: a few lines of YAML that expand to events, facts and expected verdicts.

    tests:
      - name: twenty accounts in ten minutes
        each: {type: login.failed, ip: 203.0.113.7}       # columns that all events share
        events:
          - {repeat: 20, every: 20s, account: "user{i}"}  # {i} counts from 1 in texts
          - {name: visit, after: 1h, type: link.visited}
        expect: {0: false, 19: true, visit: false}        # or: never

An event stands one second after the one before, `after` a duration after it, or at `time` (a moment, or `+10m` after
the start of the test). `expect` maps a place (a number from 0, `first`, `last`, `all`, or the name of an event: its
last repetition) to `true`, `false` or `unknown`, or to a tier that the row's decision must reach. Holds no state.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal.errors import Problem, Where, nearest_name
from shoal.events.facts import FACT_NAMES, TIME_FACTS
from shoal.events.schema import BY_NAME, Kind, Role
from shoal.packs.fields import Reader, duration_us, moment_us
from shoal.packs.pack import Expectation, RuleTest
from shoal.packs.sections import TIERS
from shoal.packs.yamltree import Node
from shoal.rules.rules import MATCHED, NOT_MATCHED, UNKNOWN

START_US = 1_767_603_600_000_000  # Monday 2026-01-05 09:00:00 UTC
SECOND_US = 1_000_000
MAX_EVENTS = 20_000
VERDICTS = {"true": MATCHED, "false": NOT_MATCHED, "unknown": UNKNOWN}
_RESERVED = ("repeat", "every", "after", "name", "time")
_COUNTER = re.compile(r"\{i\}")


@dataclass
class _Building:
    """One test while it is read."""

    start: int
    columns: Mapping[str, Kind]
    rows: list[dict[str, Any]] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)


def read_tests(rule: str, reader: Reader, columns: Mapping[str, Kind]) -> list[RuleTest]:
    """The tests of one rule; `columns` are the event columns and attributes."""
    given = {
        name: kind for name, kind in columns.items() if name not in BY_NAME or BY_NAME[name].role is not Role.STAMP
    }
    return [_test(rule, one, given) for one in reader.mappings("tests")]


def _test(rule: str, one: Reader, columns: Mapping[str, Kind]) -> RuleTest:
    name = one.text("name", required=True)
    start = one.moment("start")
    building = _Building(START_US if start is None else start, columns)
    each = one.mapping("each")
    shared = {} if each is None else _columns(each, building, ())
    now = building.start - SECOND_US
    for event in one.mappings("events", required=True):
        now = _event(event, building, shared, now)
    if not building.rows:
        one.wrong("events", "test.empty", "a test without events")
    facts = _facts(one, building)
    expect = _expect(one, building)
    one.finish()
    return RuleTest(rule, name, tuple(building.rows), facts, expect, one.where)


def _event(one: Reader, building: _Building, shared: Mapping[str, Node], now: int) -> int:
    """Expand one event; returns the time of its last repetition."""
    count = one.integer("repeat", 1, 1, MAX_EVENTS)
    every = one.text("every", "1s")
    gap, after = duration_us(every), duration_us(one.text("after", "1s"))
    for key, value in (("every", gap), ("after", after)):
        if value is None or value < 0:
            one.wrong(key, "test.duration", f"{key}: {one.text(key)!r}", "30s, 10m, 24h, 7d")
    time = now + max(after or 0, 0)
    if one.has("time"):
        given = _moment(one.text("time"), building.start)
        if given is None:
            one.wrong("time", "test.time", f"time: {one.text('time')!r}", "+10m, -1d or 2026-01-05T09:00:00Z")
        time = time if given is None else given
    label = one.text("name")
    nodes = {**shared, **_columns(one, building, _RESERVED)}
    if len(building.rows) + count > MAX_EVENTS:
        one.wrong("repeat", "test.too_many", f"more than {MAX_EVENTS} events in a test", f"at most {MAX_EVENTS}")
        return time
    if "type" not in nodes:
        one.problems.append(Problem("test.no_type", "the event has no type", one.where))
    for i in range(count):
        row: dict[str, Any] = {"time": time + i * (gap or 0)}
        for column, node in nodes.items():
            row[column] = _value(node, building.columns[column], i + 1, building.start)
        building.rows.append(row)
    if label:
        building.names[label] = len(building.rows) - 1
    return time + (count - 1) * max(gap or 0, 0)


def _moment(text: str, start: int) -> int | None:
    """`+10m`, `-400d` (from the start of the test) or a moment."""
    offset = duration_us(text) if text[:1] in "+-" else None
    return start + offset if offset is not None else moment_us(text)


def _columns(one: Reader, building: _Building, reserved: tuple[str, ...]) -> dict[str, Node]:
    """The columns of an event, checked against their kinds; `name: null` takes a shared one away."""
    found = {}
    for key, node in one.node.entries.items():
        if key in reserved:
            continue
        one.asked.add(key)
        kind = building.columns.get(key)
        if kind is None:
            near = nearest_name(key, building.columns)
            one.wrong(key, "test.unknown_column", f"no event column {key!r}", nearest=near)
        elif _value(node, kind, 1, building.start) is _BAD:
            one.wrong(key, "test.value", f"{key}: {node.text or node.kind!r}", _FORMS[kind])
        else:
            found[key] = node
    one.finish(also=reserved)
    return found


class _Bad:
    """The mark of a value that is not of its column's kind."""


_BAD = _Bad()
_FORMS = {
    Kind.TEXT: "a text",
    Kind.INT: "a whole number",
    Kind.FLOAT: "a number",
    Kind.BOOL: "true, false",
    Kind.TIME: "+10m, -400d or 2026-01-05T09:00:00Z",
}


def _value(node: Node, kind: Kind, i: int, start: int) -> Any:
    if node.kind == "null":
        return None
    if node.kind in ("mapping", "sequence"):
        return _BAD
    text = _COUNTER.sub(str(i), node.text)
    if kind is Kind.TEXT:
        return text
    if kind is Kind.BOOL:
        return text == "true" if node.kind == "bool" else _BAD
    if kind is Kind.TIME:
        moment = _moment(text, start)
        return _BAD if moment is None else moment
    try:
        return int(text) if kind is Kind.INT else float(text)
    except ValueError:
        return _BAD


def _facts(one: Reader, building: _Building) -> tuple[Mapping[str, Any], ...]:
    """`facts: {account: {ann: {created: -400d, tier: free}}}`."""
    section = one.mapping("facts")
    found: list[Mapping[str, Any]] = []
    for subject_type, subjects in [] if section is None else section.children():
        if subject_type not in FACT_NAMES:
            assert section is not None
            near = nearest_name(subject_type, FACT_NAMES)
            section.wrong(subject_type, "test.fact", f"no facts of {subject_type!r}", ", ".join(FACT_NAMES), near)
            continue
        for subject, names in subjects.children():
            for name in names.node.entries:
                value = names.text(name)
                if name in TIME_FACTS:
                    moment = _moment(value, building.start)
                    if moment is None:
                        names.wrong(name, "test.value", f"{name}: {value!r}", _FORMS[Kind.TIME])
                    value = str(moment)
                if name not in FACT_NAMES[subject_type]:
                    allowed = ", ".join(FACT_NAMES[subject_type])
                    names.wrong(name, "test.fact", f"no fact {name!r} of {subject_type}", allowed)
                found.append(
                    {
                        "subject_type": subject_type,
                        "subject": subject,
                        "name": name,
                        "value": value,
                        "time": building.start,
                    }
                )
    return tuple(found)


def _expect(one: Reader, building: _Building) -> tuple[Expectation, ...]:
    last = len(building.rows) - 1
    node = one.node_at("expect", required=True)
    if node is None:
        return ()
    if node.kind == "text" and node.text == "never":
        return tuple(Expectation(i, NOT_MATCHED, None, one.place("expect")) for i in range(last + 1))
    section = one.mapping("expect")
    found: list[Expectation] = []
    for place, verdict in [] if section is None else section.node.entries.items():
        assert section is not None
        section.asked.add(place)
        where = section.place(place)
        rows = _rows(place, building, last)
        if rows is None:
            known = ("first", "last", "all", *building.names)
            allowed = f"0 to {last}, " + ", ".join(known)
            section.wrong(place, "test.place", f"no event {place!r}", allowed, nearest_name(place, known))
            continue
        if verdict.text in VERDICTS:
            found.extend(Expectation(row, VERDICTS[verdict.text], None, where) for row in rows)
        elif verdict.text in TIERS:
            found.extend(Expectation(row, MATCHED, TIERS[verdict.text], where) for row in rows)
        else:
            allowed = ", ".join((*VERDICTS, *TIERS))
            shown = verdict.text or verdict.kind
            section.wrong(place, "test.verdict", f"{place}: {shown!r}", allowed, nearest_name(shown, VERDICTS))
    return tuple(found)


def _rows(place: str, building: _Building, last: int) -> list[int] | None:
    if place in building.names:
        return [building.names[place]]
    if place in ("first", "last", "all") and last >= 0:
        return {"first": [0], "last": [last], "all": list(range(last + 1))}[place]
    if re.fullmatch(r"[0-9]{1,6}", place) and int(place) <= last:
        return [int(place)]
    return None


def failure(test: RuleTest, where: Where, message: str) -> Problem:
    """A failed expectation, as a problem with its place."""
    return Problem("test.failed", f"{test.rule}, {test.name!r}: {message}", where)
