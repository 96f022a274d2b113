"""What a pack is once read: plain data, resolved and checked.

A pack is a folder of YAML that a team edits: `pack.yaml`, `features/*.yaml`, `signals/*.yaml`, `models/*.yaml`,
`relations/*.yaml`, `views/*.yaml`, `rules/*.yaml`, `policy.yaml`, `lists/`.
`load.load_pack` reads one; nothing here touches a disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from shoal.coordination.relations import Relation
from shoal.detectors.anomaly.alerts.definition import ViewDefinition
from shoal.detectors.models.definition import ModelDefinition
from shoal.detectors.signal_kinds import KINDS, signal_columns
from shoal.detectors.signals import SignalDefinition
from shoal.errors import Where
from shoal.events.schema import EVENT_COLUMNS, Kind
from shoal.expressions.frame import Layout
from shoal.features.definitions import FeatureDefinition
from shoal.policy.definitions import Policy, Tier
from shoal.ranges.lists import NamedList
from shoal.rules.rules import MATCHED, Rule

PACK_FORMAT, PACK_VERSION = "shoal.pack", 1


@dataclass(frozen=True)
class Attribute:
    """A column that the pack reads from the `attributes` JSON: `path` is dotted."""

    name: str
    path: str
    kind: Kind
    origin: Where = field(default_factory=Where)


@dataclass(frozen=True)
class ListDefinition:
    """A named list: `kind` is `text` or `address`; `version` is a hash of its entries."""

    name: str
    kind: Literal["text", "address"]
    entries: tuple[str, ...]
    version: str
    origin: Where = field(default_factory=Where)
    description: str = ""


@dataclass(frozen=True)
class Expectation:
    """What the rule must say at event number `at` of the expanded events: 1 matched, 0 not, 2 unknown.

    `tier` is the lowest tier that the row's decision must have (None: not asked).
    """

    at: int
    verdict: int
    tier: Tier | None = None
    origin: Where = field(default_factory=Where)


@dataclass(frozen=True)
class RuleTest:
    """A sequence of events with the expected verdicts over time."""

    rule: str
    name: str
    events: tuple[Mapping[str, Any], ...]  # expanded rows: column → value, `time` in µs
    facts: tuple[Mapping[str, Any], ...]  # rows of FACT_SCHEMA, known before the first event
    expect: tuple[Expectation, ...]
    origin: Where = field(default_factory=Where)

    @property
    def fires(self) -> bool:
        """Whether it expects a match somewhere; a near miss expects none."""
        return any(expectation.verdict == MATCHED for expectation in self.expect)


@dataclass(frozen=True)
class PackSettings:
    """Settings that belong to the pack, because its features were thought through with them."""

    lateness_s: int = 900


@dataclass(frozen=True)
class Source:
    """A folder that a pack was read from: its own, or that of a pack that it builds on.

    `extends` are the references that stand in its pack.yaml, each with the folder that it led to; `shown` is how the
    folder is named in messages.
    """

    name: str
    version: str
    folder: Path
    shown: str
    extends: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True)
class Pack:
    """A pack, read and checked."""

    name: str
    version: str
    description: str
    hash: str  # 16 hex, of what can change a decision
    attributes: Mapping[str, Attribute]
    settings: PackSettings
    features: tuple[FeatureDefinition, ...]
    feature_kinds: Mapping[str, Kind]
    rules: tuple[Rule, ...]
    policy: Policy
    lists: Mapping[str, ListDefinition]
    tests: tuple[RuleTest, ...]
    sources: tuple[Source, ...] = ()  # its own folder, then those of the packs that it builds on
    disabled: tuple[str, ...] = ()  # what it inherits and leaves out: `rules.link.reported`
    signals: tuple[SignalDefinition, ...] = ()
    models: tuple[ModelDefinition, ...] = ()
    relations: tuple[Relation, ...] = ()
    views: tuple[ViewDefinition, ...] = ()  # of the budget of alerts; they decide nothing

    @property
    def event_columns(self) -> dict[str, Kind]:
        """Event columns and the pack's attributes, with their kinds: what features may read."""
        return {c.name: c.kind for c in EVENT_COLUMNS} | {a.name: a.kind for a in self.attributes.values()}

    def event_layout(self) -> Layout:
        """The layout of `event_columns`."""
        return Layout.of(self.event_columns)

    def layout(self) -> Layout:
        """The layout of event columns, attributes and, behind them, what is computed: what rules and policy read."""
        return self.event_layout().with_columns(self.computed)

    @property
    def signal_kinds(self) -> dict[str, Kind]:
        """The columns of all signals (`<id>.<output>`) with their kinds."""
        return {name: one.kind for signal in self.signals for name, one in signal_columns(signal).items()}

    @property
    def model_kinds(self) -> dict[str, Kind]:
        """The columns of all fitted detectors (`<id>.score`, `<id>.level`) with their kinds."""
        return {name: kind for model in self.models for name, kind in model.columns.items()}

    @property
    def stated_kinds(self) -> dict[str, Kind]:
        """See `stated_kinds`."""
        return stated_kinds(self.signals, self.models)

    @property
    def computed(self) -> dict[str, Kind]:
        """All columns that the engine adds to an event, in their order: features, signals, fitted detectors."""
        return {**self.feature_kinds, **self.signal_kinds, **self.model_kinds}

    def named_lists(self) -> dict[str, NamedList]:
        """The lists, ready for conditions and allow entries."""
        return {one.name: NamedList.of(one.name, one.entries, one.version, one.kind) for one in self.lists.values()}

    @property
    def untested(self) -> tuple[str, ...]:
        """Rules that lack a test which fires or a near miss."""
        fires = {test.rule for test in self.tests if test.fires}
        misses = {test.rule for test in self.tests if not test.fires}
        return tuple(rule.id for rule in self.rules if rule.id not in fires or rule.id not in misses)


def stated_kinds(signals: Sequence[SignalDefinition], models: Sequence[ModelDefinition]) -> dict[str, Kind]:
    """Columns that come of what is published beside a pack (fitted detectors, tables that signals take up), so that the
    test of a rule states them."""
    published = {
        name: one.kind
        for signal in signals
        if KINDS[signal.kind].takes_tables
        for name, one in signal_columns(signal).items()
    }
    return published | {name: kind for model in models for name, kind in model.columns.items()}
