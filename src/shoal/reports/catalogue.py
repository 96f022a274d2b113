"""The catalogue of a pack as one page: what it looks for, why, what it does about it, and the tests that show it.

Everything on the page is read from the pack: each rule's story with the features that it reads told in words, the way
from threat to tier to action, its tests as tables of events with the verdicts that they expect, the policy and the
lists. Knows packs and what lies below; holds no state.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shoal.detectors.signal_kinds import signal_columns
from shoal.features.definitions import FeatureDefinition
from shoal.packs.cost import Load, costs
from shoal.packs.pack import Pack, RuleTest
from shoal.packs.review.diff import step_words
from shoal.packs.review.warnings import Reads, reads_of, warnings_of
from shoal.policy.definitions import ACTIONS, Tier
from shoal.reports.page import write_page
from shoal.rules.reasons import duration_words
from shoal.rules.rules import MATCHED, NOT_MATCHED, Rule

SHOWN_EVENTS = 8
SHOWN_ENTRIES = 12
_VERDICTS = {MATCHED: "matches", NOT_MATCHED: "no match"}
_BREAKS = re.compile(r"\s+(?=(?:AND|OR)\b)")


@dataclass(frozen=True)
class Row:
    """Events of a test that are told on one line: their values and what is expected of them."""

    at: str
    values: tuple[str, ...]
    expected: str
    fires: bool


@dataclass(frozen=True)
class ShownTest:
    """One test as a table: what all its events share stands above it."""

    name: str
    fires: bool
    shared: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Story:
    """One rule with all that a reader needs beside it."""

    rule: Rule
    condition: str
    reads: tuple[tuple[FeatureDefinition, str], ...]
    columns: tuple[str, ...]
    tiers: tuple[tuple[str, str], ...]
    actions: tuple[str, ...]
    tests: tuple[ShownTest, ...]
    inherited: str


def write_catalogue(path: Path, pack: Pack, load: Load, now_us: int) -> Path:
    """Write the page; `load` is the rate that costs are reckoned with. Returns its path."""
    reads = reads_of(pack)
    listed, total = costs(pack, load)
    stories = [_story(pack, rule, reads) for rule in pack.rules]
    families: dict[str, list[Story]] = {}
    for story in stories:
        families.setdefault(story.rule.id.partition(".")[0], []).append(story)
    readers: dict[str, list[str]] = {feature.id: [] for feature in pack.features}
    for story in stories:
        for feature, _ in story.reads:
            readers[feature.id].append(story.rule.id)
    notes = {cost.feature: cost.note for cost in listed}
    context: dict[str, Any] = {
        "pack": pack,
        "families": families,
        "features": [(f, feature_words(f), notes[f.id], readers[f.id]) for f in pack.features],
        "threats": [(threat, _threat_rules(pack, name)) for name, threat in pack.policy.threats.items()],
        "lists": [
            (one, one.entries[:SHOWN_ENTRIES], _list_readers(pack, reads, name)) for name, one in pack.lists.items()
        ],
        "allow": [(e, datetime.fromtimestamp(e.expires / 1e6, UTC).date().isoformat()) for e in pack.policy.allow],
        "warnings": warnings_of(pack, now_us, reads),
        "total": total,
        "step_words": step_words,
        "action_words": action_words,
        "duration": duration_words,
        "anchor": anchor,
        "pretty": pretty,
        "signal_columns": signal_columns,
    }
    return write_page(path, "catalogue", context)


def anchor(kind: str, name: str) -> str:
    """The anchor of a definition on the page."""
    return f"{kind}-{re.sub(r'[^a-z0-9_]+', '-', name.lower())}"


def feature_words(feature: FeatureDefinition) -> str:
    """A feature's definition as a sentence.

    >>> feature_words(FeatureDefinition("a", "distinct", ("ip",), 3600, "account", "type = 'x'"))
    "how many different values of account for the same ip within 1 hour, where type = 'x'"
    """
    value = " ".join((feature.value or "").split())
    told = {
        "count": "how many events",
        "sum": f"the sum of {value}",
        "mean": f"the mean of {value}",
        "min": f"the smallest {value}",
        "max": f"the largest {value}",
        "distinct": f"how many different values of {value}",
        "decayed": f"{f'the sum of {value}' if value else 'a count'} that fades",
        "last": f"the {value} before this event",
        "gap": "seconds since the event before",
        "age": "seconds since it was first seen",
        "seen": f"whether this {value} was seen before",
        "share": f"the share of this {value} in the events",
        "speed": "km/h from the located event before",
        "derived": " ".join((feature.expression or "").split()),
    }[feature.operation]
    parts = [told]
    if feature.key:
        parts.append(f"for the same {' and '.join(feature.key)}")
    if feature.window_s is not None:
        bucket = f" in steps of {duration_words(feature.bucket_s)}" if feature.bucket_s else ""
        bucket += ", the oldest counted by half" if feature.oldest_bucket == "half" else ""
        parts.append(f"within {duration_words(feature.window_s)}{bucket}")
    if feature.half_life_s:
        parts.append(f"by half every {duration_words(feature.half_life_s)}")
    words = " ".join(parts)
    where = " ".join((feature.where or "").split())
    return f"{words}, where {where}" if where else words


def action_words(name: str) -> str:
    """What an action does."""
    return ACTIONS[name].doc


def pretty(condition: str) -> str:
    """A condition with its parts on lines of their own; what stands in quotes is left whole.

    >>> print(pretty("a > 1   AND (b = 'x AND y' OR c)"))
    a > 1
      AND (b = 'x AND y'
        OR c)
    """
    pieces = re.split(r"('(?:[^']|'')*')", " ".join(condition.split()) if "'" not in condition else condition)
    text = "".join(piece if i % 2 else _BREAKS.sub("\n", re.sub(r"\s+", " ", piece)) for i, piece in enumerate(pieces))
    lines, depth = [], 0
    for number, line in enumerate(text.strip().split("\n")):
        lines.append("  " * (depth + bool(number)) + line.strip())
        bare = re.sub(r"'(?:[^']|'')*'", "", line)
        depth = max(depth + bare.count("(") - bare.count(")"), 0)
    return _join_between("\n".join(lines))


def _join_between(text: str) -> str:
    """`BETWEEN a AND b` is one part."""
    return re.sub(r"(\bBETWEEN\s+\S+)\n\s+AND\b", r"\1 AND", text)


def _story(pack: Pack, rule: Rule, reads: Reads) -> Story:
    known = {feature.id: feature for feature in pack.features}
    waiting, seen = sorted(reads.columns(rule.id)), dict[str, None]()
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen[name] = None
        waiting += sorted(column for e in reads.features.get(name, ()) for column in e.columns if column in known)
    told = tuple((known[name], feature_words(known[name])) for name in seen if name in known)
    threat = pack.policy.threats[rule.threat]
    able = [step for step in threat.steps if step.severity <= rule.severity]
    alone = max((step.tier for step in able if step.rules == 1), default=Tier.ALLOW)
    tiers = [("alone", alone.name.lower())]
    for count in sorted({step.rules for step in able if step.rules > 1}):
        tier = max(step.tier for step in able if step.rules <= count)
        if tier > alone:
            tiers.append((f"as one of {count} rules", tier.name.lower()))
    highest = max((step.tier for step in able), default=Tier.ALLOW)
    actions = tuple(
        f"{one.action}{f' on {one.on}' if one.on else ''} from {one.from_tier.name.lower()}"
        for one in threat.actions
        if one.from_tier <= highest
    )
    tests = tuple(_test(test) for test in pack.tests if test.rule == rule.id)
    own = pack.sources[0].shown if pack.sources else ""
    inherited = next((s.name for s in pack.sources[1:] if rule.origin.file.startswith(f"{s.shown}/")), "")
    inherited = "" if own and rule.origin.file.startswith(f"{own}/") else inherited
    columns = tuple(name for name in seen if name not in known)
    return Story(rule, pretty(rule.condition), told, columns, tuple(tiers), actions, tests, inherited)


def _test(test: RuleTest) -> ShownTest:
    """A test as a table: columns that never differ above it, runs of like events on one line."""
    names = list(dict.fromkeys(name for row in test.events for name in row if name != "time"))
    values = {name: [_value(row.get(name), name) for row in test.events] for name in names}
    first = test.events[0]["time"] if test.events else 0
    same = [name for name in names if len(test.events) > 1 and len(set(values[name])) == 1]
    shared = ", ".join(f"{name} {values[name][0]}" for name in same)
    facts = ", ".join(f"{f['subject_type']} {f['subject']}: {f['name']} {_fact(f)}" for f in test.facts)
    shared = "; ".join(part for part in (shared, facts) if part)
    columns = tuple(name for name in names if name not in same)
    expected = {e.at: (_expected(e.verdict, e.tier), e.verdict == MATCHED) for e in test.expect}
    marks = _marks(test, len(test.events))
    rows, place = [], 0
    while place < len(test.events):
        end = place + 1
        while end < len(test.events) and end not in marks and place not in marks:
            end += 1
        told, fires = expected.get(place, ("", False))
        at = _clock(test.events[place]["time"] - first)
        if end - place > 1:
            at = f"{at} … {_clock(test.events[end - 1]['time'] - first)}"
        cells = tuple(_span_of([values[name][i] for i in (place, end - 1)], end - place) for name in columns)
        number = f"{place}" if end - place == 1 else f"{place}–{end - 1}"
        rows.append(Row(f"{number} · {at}", cells, told, fires))
        place = end
    if not test.fires and len(rows) > SHOWN_EVENTS:
        more = f"{len(rows) - SHOWN_EVENTS + 1} more"
        rows = [*rows[: SHOWN_EVENTS - 1], Row("…", ("…",) * len(columns), more, False)]
    return ShownTest(test.name, test.fires, shared, columns, tuple(rows))


def _marks(test: RuleTest, count: int) -> set[int]:
    """Events that get a line of their own: those of which something is expected, unless it is the same of all."""
    told = {e.at: (e.verdict, e.tier) for e in test.expect}
    if len(told) == count > SHOWN_EVENTS and len(set(told.values())) == 1:
        return {0, count - 1}
    return set(told) | {i for i in range(count) if count <= SHOWN_EVENTS}


def _expected(verdict: int, tier: Tier | None) -> str:
    return _VERDICTS.get(verdict, "unknown") + (f", {tier.name.lower()}" if tier is not None else "")


def _span_of(values: Sequence[str], count: int) -> str:
    first, last = values[0], values[-1]
    return first if count == 1 or first == last else f"{first} … {last}"


def _value(value: Any, name: str) -> str:
    if value is None:
        return "–"
    if name.endswith(("_created", "_time")):
        return f"{datetime.fromtimestamp(value / 1e6, UTC):%Y-%m-%d %H:%M}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fact(fact: Mapping[str, Any]) -> str:
    text = str(fact["value"])
    return f"{datetime.fromtimestamp(int(text) / 1e6, UTC):%Y-%m-%d %H:%M}" if re.fullmatch(r"\d{16}", text) else text


def _clock(offset_us: int) -> str:
    """A time after the first event: `+1:05:00`, with days where there are any."""
    sign = "−" if offset_us < 0 else "+"
    seconds = abs(offset_us) // 1_000_000
    days, rest = divmod(seconds, 86_400)
    return f"{sign}{f'{days}d ' if days else ''}{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"


def _threat_rules(pack: Pack, threat: str) -> list[Rule]:
    return [rule for rule in pack.rules if rule.threat == threat]


def _list_readers(pack: Pack, reads: Reads, name: str) -> list[str]:
    found = [rule for rule, expression in reads.conditions.items() if name in expression.lists]
    found += [feature for feature, listed in reads.features.items() if any(name in e.lists for e in listed)]
    return found + [f"allow entry {entry.id}" for entry in pack.policy.allow if entry.list == name]
