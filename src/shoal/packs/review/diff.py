"""What differs between two packs, in what they mean: layout, comments and order of files do not count.

A feature whose definition (its hash) was there before, be it under another name, keeps its state; a new definition is
partial until its window has passed or history has been replayed. Holds no state, touches no disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal

from shoal.coordination.relations import Relation
from shoal.detectors.anomaly.alerts.definition import ViewDefinition
from shoal.detectors.models.definition import ModelDefinition
from shoal.features.definitions import FeatureDefinition
from shoal.packs.pack import ListDefinition, Pack, RuleTest
from shoal.policy.definitions import AllowEntry, PlannedAction, Step
from shoal.rules.rules import Rule

SAMPLES = 5
Kind = Literal["added", "removed", "changed"]


@dataclass(frozen=True)
class Change:
    """One thing that differs: `fields` are (name, before, after); `note` says what follows from it."""

    section: str  # pack settings attribute feature signal model rule threat action allow list
    id: str
    kind: Kind
    fields: tuple[tuple[str, str, str], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class PackDiff:
    """All that differs, and what becomes of the state of features (ids of the new pack; `dropped`: of the old)."""

    old: Pack
    new: Pack
    changes: tuple[Change, ...]
    kept: tuple[str, ...]
    partial: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def decides_alike(self) -> bool:
        """Whether both must decide the same: their hashes are of all that can change a decision."""
        return self.old.hash == self.new.hash


def diff_packs(old: Pack, new: Pack) -> PackDiff:
    """Compare two packs."""
    before, after = {f.hash for f in old.features}, {f.hash for f in new.features}
    changes: list[Change] = []
    for section, one, other in _sections(old, new):
        changes += _compare(section, one, other)
    changes = [_noted(change, old, new) for change in changes]
    return PackDiff(
        old,
        new,
        tuple(changes),
        tuple(f.id for f in new.features if f.hash in before),
        tuple(f.id for f in new.features if f.hash not in before),
        tuple(f.id for f in old.features if f.hash not in after),
    )


_Fields = Mapping[str, str]


def _sections(old: Pack, new: Pack) -> list[tuple[str, dict[str, _Fields], dict[str, _Fields]]]:
    read = (
        _head,
        _settings,
        _attributes,
        _features,
        _signals,
        _models,
        _relations,
        _views,
        _rules,
        _threats,
        _actions,
        _allow,
        _lists,
    )
    names = ("pack", "settings", "attribute", "feature", "signal", "model", "relation", "view", "rule", "threat",
             "action", "allow", "list")  # fmt: skip
    return [(name, one(old), one(new)) for name, one in zip(names, read, strict=True)]


def _compare(section: str, old: Mapping[str, _Fields], new: Mapping[str, _Fields]) -> list[Change]:
    changes = []
    for name in dict.fromkeys((*old, *new)):
        one, other = old.get(name), new.get(name)
        if one is None or other is None:
            changes.append(Change(section, name, "added" if one is None else "removed"))
            continue
        keys = dict.fromkeys((*one, *other))
        differ = tuple((key, one.get(key, ""), other.get(key, "")) for key in keys if one.get(key) != other.get(key))
        if section == "list" and differ:
            differ = _list_fields(one, other, differ)
        if differ:
            changes.append(Change(section, name, "changed", differ))
    return changes


def _noted(change: Change, old: Pack, new: Pack) -> Change:
    """A change of a feature, with what becomes of its state."""
    if change.section != "feature" or change.kind == "removed":
        return change
    one = next(f for f in new.features if f.id == change.id)
    same = [f.id for f in old.features if f.hash == one.hash]
    if change.id in same:
        note = "keeps its state"
    elif same:
        note = f"keeps the state of {same[0]}"
    else:
        note = "new definition: partial until its window has passed"
    return Change(change.section, change.id, change.kind, change.fields, note)


def _head(pack: Pack) -> dict[str, _Fields]:
    parents = ", ".join(f"{source.name} {source.version}" for source in pack.sources[1:])
    told = {"name": pack.name, "pack_version": pack.version, "description": pack.description}
    return {"pack": told | {"extends": parents, "disable": ", ".join(sorted(pack.disabled))}}


def _settings(pack: Pack) -> dict[str, _Fields]:
    return {"settings": {"lateness": _span(pack.settings.lateness_s), "evidence": _span(pack.policy.evidence_s)}}


def _attributes(pack: Pack) -> dict[str, _Fields]:
    return {one.name: {"path": one.path, "type": one.kind.name.lower()} for one in pack.attributes.values()}


def _plain(
    one: FeatureDefinition | ModelDefinition | Relation | ViewDefinition | Rule | AllowEntry, without: tuple[str, ...]
) -> dict[str, str]:
    """The fields of a definition as texts."""
    found = {}
    for field in fields(one):
        value: Any = getattr(one, field.name)
        if field.name in without:
            continue
        name = field.name.removesuffix("_s")
        if value is None:
            found[name] = ""
        elif field.name.endswith("_s"):
            found[name] = _span(value)
        elif isinstance(value, tuple | frozenset):
            found[name] = ", ".join(value if isinstance(value, tuple) else sorted(value))
        else:
            found[name] = " ".join(str(value).split()) if not isinstance(value, bool) else str(value).lower()
    return found


def _features(pack: Pack) -> dict[str, _Fields]:
    return {one.id: _plain(one, ("id", "origin")) for one in pack.features}


def _signals(pack: Pack) -> dict[str, _Fields]:
    return {
        one.id: {"kind": one.kind, "description": one.description}
        | {name: ", ".join(value) if isinstance(value, tuple) else str(value) for name, value in one.settings.items()}
        for one in pack.signals
    }


def _models(pack: Pack) -> dict[str, _Fields]:
    found: dict[str, _Fields] = {}
    for one in pack.models:
        budgets = ", ".join(f"{level} {budget:g}" for level, budget in one.budgets.items())
        monotone = ", ".join(f"{name} {'rising' if sign > 0 else 'falling'}" for name, sign in one.monotone.items())
        plain = _plain(one, ("id", "origin", "budgets", "monotone"))
        found[one.id] = plain | {"budgets": budgets, "monotone": monotone}
    return found


def _relations(pack: Pack) -> dict[str, _Fields]:
    return {
        one.id: _plain(one, ("id", "origin")) | {"strength": one.strength.value, "role": one.role.value}
        for one in pack.relations
    }


def _views(pack: Pack) -> dict[str, _Fields]:
    return {one.id: _plain(one, ("id", "origin")) for one in pack.views}


def _rules(pack: Pack) -> dict[str, _Fields]:
    tests: dict[str, list[str]] = {}
    for test in pack.tests:
        tests.setdefault(test.rule, []).append(_test_words(test))
    found: dict[str, _Fields] = {}
    for one in pack.rules:
        plain = _plain(one, ("id", "origin")) | {"severity": one.severity.name.lower()}
        found[one.id] = plain | {"tests": "; ".join(tests.get(one.id, ()))}
    return found


def _test_words(test: RuleTest) -> str:
    """A test by its name and a fingerprint of what it says."""
    expected = [(e.at, e.verdict, None if e.tier is None else int(e.tier)) for e in test.expect]
    said = repr(([sorted(row.items()) for row in test.events], [sorted(f.items()) for f in test.facts], expected))
    return f"{test.name} ({len(test.events)} events, {hashlib.sha256(said.encode()).hexdigest()[:6]})"


def step_words(step: Step) -> str:
    """A step of a policy in words."""
    rules = f" by {step.rules} rules" if step.rules > 1 else ""
    return f"{step.tier.name.lower()} from {step.severity.name.lower()}{rules}"


def _threats(pack: Pack) -> dict[str, _Fields]:
    return {
        name: {
            "role": one.role,
            "description": one.description,
            "steps": "; ".join(step_words(step) for step in one.steps),
        }
        for name, one in pack.policy.threats.items()
    }


def _actions(pack: Pack) -> dict[str, _Fields]:
    found: dict[str, _Fields] = {}
    for name, threat in pack.policy.threats.items():
        for one in threat.actions:
            place = f"{name}: {one.action}" + (f" on {one.on}" if one.on else "")
            while place in found:
                place += "'"
            found[place] = _action(one)
    return found


def _action(one: PlannedAction) -> _Fields:
    return {"from": one.from_tier.name.lower(), "lease": _span(one.lease_s)}


def _allow(pack: Pack) -> dict[str, _Fields]:
    found: dict[str, _Fields] = {}
    for one in pack.policy.allow:
        moment = datetime.fromtimestamp(one.expires / 1e6, UTC)
        found[one.id] = _plain(one, ("id", "origin")) | {"expires": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
    return found


def _lists(pack: Pack) -> dict[str, _Fields]:
    return {name: _list(one) for name, one in pack.lists.items()}


def _list(one: ListDefinition) -> _Fields:
    return {"kind": one.kind, "description": one.description, "entries": "\n".join(one.entries)}


def _list_fields(
    one: _Fields, other: _Fields, differ: tuple[tuple[str, str, str], ...]
) -> tuple[tuple[str, str, str], ...]:
    """Entries of a list as counts with samples."""
    before, after = set(one["entries"].splitlines()), set(other["entries"].splitlines())
    gone, come = sorted(before - after), sorted(after - before)
    told = tuple(change for change in differ if change[0] != "entries")
    if gone or come:
        told += (("entries", _sample("removed", gone, len(before)), _sample("added", come, len(after))),)
    return told


def _sample(verb: str, entries: list[str], total: int) -> str:
    more = f", … {len(entries) - SAMPLES:,} more" if len(entries) > SAMPLES else ""
    listed = f" ({', '.join(entries[:SAMPLES])}{more})" if entries else ""
    return f"{total:,} in all, {len(entries):,} {verb}{listed}"


def _span(seconds: float) -> str:
    """Seconds as a pack writes them."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def as_plain(found: PackDiff) -> dict[str, Any]:
    """The difference as plain data (format `shoal.pack_diff`, version 1)."""

    def head(pack: Pack) -> dict[str, str]:
        return {"name": pack.name, "version": pack.version, "hash": pack.hash}

    return {
        "format": "shoal.pack_diff",
        "version": 1,
        "old": head(found.old),
        "new": head(found.new),
        "equal": not found.changes,
        "decides_alike": found.decides_alike,
        "changes": [
            {
                "section": one.section,
                "id": one.id,
                "kind": one.kind,
                "note": one.note,
                "fields": [{"field": name, "old": old, "new": new} for name, old, new in one.fields],
            }
            for one in found.changes
        ],
        "state": {"kept": list(found.kept), "partial": list(found.partial), "dropped": list(found.dropped)},
    }
