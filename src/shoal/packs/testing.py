"""Running the tests of a pack on a real engine.

The engine is given from outside (`runtime` assembles the one that production uses; the tests of this package assemble
facts, enrichment, features, rules and policy by hand), as a function that makes a fresh engine for a pack. Each test
runs from an empty state with complete history. Holds no state itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pyarrow as pa

from shoal.detectors.signal_kinds import signal_columns
from shoal.errors import Problem
from shoal.expressions.compile import Scope, compile_expression
from shoal.expressions.frame import Frame
from shoal.features.definitions import FeatureDefinition
from shoal.packs.pack import Expectation, Pack, RuleTest
from shoal.packs.testfile import failure
from shoal.policy.decisions import Decisions
from shoal.policy.definitions import Tier
from shoal.rules.reasons import parse_reason, value_words
from shoal.rules.rules import MATCHED, NOT_MATCHED, UNKNOWN, Matches

VERDICT_WORDS = {MATCHED: "matched", NOT_MATCHED: "did not match", UNKNOWN: "was unknown"}
FACT_COLUMNS = ("subject_type", "subject", "name", "value", "time", "row")


@dataclass(frozen=True)
class Outcome:
    """What an engine says about a table of events: rules in the pack's order, rows in the order given."""

    frame: Frame
    matches: Matches
    decisions: Decisions


class Engine(Protocol):
    """One run of a pack over one stream, from an empty state with complete history."""

    def run(self, events: pa.Table, facts: pa.Table) -> Outcome:
        """Decide `events` (given and enriched columns, attributes as columns; rows in journal order, never sorted).

        `facts` has the columns `FACT_COLUMNS`; `row` is the event before which a fact stands.
        """
        ...


@dataclass(frozen=True)
class TestResult:
    """One test of a rule and what went wrong in it."""

    test: RuleTest
    problems: tuple[Problem, ...]
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether all expectations were met."""
        return not self.problems


TestResult.__test__ = False  # type: ignore[attr-defined]  # not a class of tests


def focus(pack: Pack, rule_id: str) -> Pack:
    """The pack with one rule and the features that it needs; features and rules do not touch one another."""
    rule = next(rule for rule in pack.rules if rule.id == rule_id)
    kinds = {**pack.event_columns, **pack.computed}
    lists = frozenset(pack.lists)
    known: Mapping[str, FeatureDefinition] = {feature.id: feature for feature in pack.features}
    waiting = set(compile_expression(rule.condition, Scope(kinds, lists), rule.origin).columns)
    waiting |= parse_reason(rule.reason, kinds, rule.origin).columns
    read = frozenset(waiting)
    needed: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in known and name not in needed:
            needed.add(name)
            expression = known[name].expression
            if expression:
                waiting |= compile_expression(expression, Scope(kinds, lists), known[name].origin).columns
    features = tuple(feature for feature in pack.features if feature.id in needed)
    return replace(
        pack,
        features=features,
        feature_kinds={feature.id: pack.feature_kinds[feature.id] for feature in features},
        rules=(rule,),
        tests=tuple(test for test in pack.tests if test.rule == rule_id),
        signals=tuple(one for one in pack.signals if read & set(signal_columns(one))),
        models=tuple(replace(one, inputs=(), on="false") for one in pack.models if read & set(one.columns)),
    )


def event_table(pack: Pack, test: RuleTest) -> pa.Table:
    """The events of a test as a table; ids `e0`, `e1`, … where none are given. A test of a rule that reads a fitted
    detector, or published campaigns, states their columns: they are no part of a pack."""
    columns = pack.event_columns | pack.stated_kinds
    names = [name for name in columns if any(row.get(name) is not None for row in test.events)]
    table = {name: pa.array([row.get(name) for row in test.events], columns[name].arrow) for name in names}
    given = table.get("event_id", pa.nulls(len(test.events), pa.string())).to_pylist()
    ids = [text if text is not None else f"e{i}" for i, text in enumerate(given)]
    table["event_id"] = pa.array(ids, pa.string())
    return pa.table(table)


def fact_table(test: RuleTest) -> pa.Table:
    """The facts of a test, all before its first event."""
    kinds = {"time": pa.int64(), "row": pa.int64()}
    rows = [{**fact, "row": 0} for fact in test.facts]
    return pa.table({name: pa.array([r[name] for r in rows], kinds.get(name, pa.string())) for name in FACT_COLUMNS})


def run_test(pack: Pack, test: RuleTest, engine: Engine) -> tuple[Problem, ...]:
    """Run one test on a fresh engine of `pack`; the problems of expectations that were not met."""
    index = next(i for i, rule in enumerate(pack.rules) if rule.id == test.rule)
    outcome = engine.run(event_table(pack, test), fact_table(test))
    return tuple(_failures(pack, test, index, outcome))


def _failures(pack: Pack, test: RuleTest, index: int, outcome: Outcome) -> Iterator[Problem]:
    for expected in test.expect:
        found = int(outcome.matches[index, expected.at])
        if found != expected.verdict:
            message = f"{_event_words(test, expected)}: expected that it {VERDICT_WORDS[expected.verdict]}, "
            message += f"but it {VERDICT_WORDS[found]}; {_values(pack, index, outcome.frame, expected.at)}"
            yield failure(test, expected.origin, message)
        elif expected.tier is not None and outcome.decisions.tier[expected.at] < expected.tier:
            tier = Tier(int(outcome.decisions.tier[expected.at])).name.lower()
            message = f"{_event_words(test, expected)}: expected tier {expected.tier.name.lower()}, found {tier}"
            yield failure(test, expected.origin, message)


def _event_words(test: RuleTest, expected: Expectation) -> str:
    row = test.events[expected.at]
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row["time"])
    return f"event {expected.at} ({row.get('type')}, {moment:%Y-%m-%d %H:%M:%S})"


def _values(pack: Pack, index: int, frame: Frame, row: int) -> str:
    """The values that the condition read, for the person who mends the test."""
    kinds = {**pack.event_columns, **pack.computed}
    rule = pack.rules[index]
    columns = sorted(compile_expression(rule.condition, Scope(kinds, frozenset(pack.lists)), rule.origin).columns)
    return ", ".join(f"{name} = {value_words(frame, row, name)}" for name in columns)


def run_tests(
    pack: Pack,
    make_engine: Callable[[Pack], Engine],
    rules: Sequence[str] = (),
    clock: Callable[[], float] | None = None,
) -> Iterator[TestResult]:
    """Run the tests of the named rules (all where none are named), each on a fresh engine of what its rule needs."""
    for rule in pack.rules:
        if rules and rule.id not in rules:
            continue
        part = focus(pack, rule.id)
        for test in part.tests:
            start = clock() if clock else 0.0
            problems = run_test(part, test, make_engine(part))
            yield TestResult(test, problems, clock() - start if clock else 0.0)
