"""What a pack is once read: plain data, resolved and checked.

A pack is a folder of YAML that a team edits: `pack.yaml`, `features/*.yaml`, `rules/*.yaml`, `policy.yaml`, `lists/`.
`load.load_pack` reads one; nothing here touches a disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal.errors import Where
from shoal.events.schema import EVENT_COLUMNS, Kind
from shoal.expressions.frame import Layout
from shoal.policy.definitions import Policy
from shoal.rules.rules import Rule

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
    kind: str
    entries: tuple[str, ...]
    version: str
    origin: Where = field(default_factory=Where)


@dataclass(frozen=True)
class Expectation:
    """What a rule must say at event number `at` (an index into the expanded events; negative from the end)."""

    at: int
    matches: str  # 'true' | 'false' | 'unknown'
    rule: str
    tier: str = ""
    origin: Where = field(default_factory=Where)


@dataclass(frozen=True)
class RuleTest:
    """A sequence of events with the expected verdicts over time."""

    rule: str
    name: str
    events: tuple[Mapping[str, Any], ...]  # expanded rows: column → value, `time` in µs
    facts: tuple[Mapping[str, Any], ...]
    expect: tuple[Expectation, ...]
    origin: Where = field(default_factory=Where)


@dataclass(frozen=True)
class PackSettings:
    """Settings that belong to the pack, because its features were thought through with them."""

    lateness_s: int = 900


@dataclass(frozen=True)
class Pack:
    """A pack, read and checked."""

    name: str
    version: str
    description: str
    hash: str  # 16 hex, of what can change a decision
    attributes: Mapping[str, Attribute]
    settings: PackSettings
    features: tuple[Any, ...]  # features.definitions.FeatureDefinition
    rules: tuple[Rule, ...]
    policy: Policy
    lists: Mapping[str, ListDefinition]
    tests: tuple[RuleTest, ...]

    @property
    def event_columns(self) -> dict[str, Kind]:
        """Event columns and the pack's attributes, with their kinds: what features may read."""
        return {c.name: c.kind for c in EVENT_COLUMNS} | {a.name: a.kind for a in self.attributes.values()}

    def event_layout(self) -> Layout:
        """The layout of `event_columns`."""
        return Layout.of(self.event_columns)
