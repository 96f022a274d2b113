"""Names and types across the files of a pack: what each expression may read, and of what kind each feature is.

Features read event columns and attributes (never features, save the derived ones); rules read features too. All
problems are noted together. Holds no state, touches no disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from shoal.detectors.models.definition import ModelDefinition
from shoal.detectors.signals import SignalDefinition
from shoal.errors import InvalidInput, Problem, Where
from shoal.events.schema import Kind
from shoal.expressions.compile import Scope, compile_expression
from shoal.features.definitions import FeatureDefinition, check_definitions
from shoal.packs.pack import Attribute, ListDefinition, PackSettings
from shoal.policy.definitions import Policy
from shoal.rules.rules import Rule, compile_rules


def resolve_features(
    features: Sequence[FeatureDefinition], columns: Mapping[str, Kind], lists: frozenset[str], problems: list[Problem]
) -> dict[str, Kind]:
    """Check all features and return the kind of each that is sound."""
    problems.extend(check_definitions(features, columns))
    names = {feature.id for feature in features}
    scope = Scope(columns, lists)
    kinds: dict[str, Kind] = {}
    derived = [feature for feature in features if feature.operation == "derived"]
    for feature in features:
        if feature.operation == "derived":
            continue
        value = _kind(feature.value, scope, feature.origin.at("value"), names, problems)
        where = _kind(feature.where, scope, feature.origin.at("where"), names, problems)
        if feature.where is not None and where not in (None, Kind.BOOL):
            found = where.name.lower() if where else ""
            problems.append(
                Problem("features.where_kind", f"`where` is of kind {found}", feature.origin.at("where"), "bool")
            )
        kinds[feature.id] = feature.kind_of(value)
    plain = Scope({**columns, **kinds}, lists)
    for feature in derived:
        found_kind = _kind(feature.expression, plain, feature.origin.at("expression"), set(), problems)
        kinds[feature.id] = feature.kind_of(found_kind)
    return {feature.id: kinds[feature.id] for feature in features}


def _kind(text: str | None, scope: Scope, where: Where, features: set[str], problems: list[Problem]) -> Kind | None:
    if text is None or not text.strip():
        return None
    try:
        return compile_expression(text, scope, where).kind
    except InvalidInput as error:
        for problem in error.problems:
            named = next((f for f in features if f"no column {f!r}" in problem.message), "")
            if problem.slug == "expression.unknown_column" and named:
                message = f"{named} is a feature, and a feature reads event columns only"
                hint = "combine features in one with `operation: derived`"
                problem = replace(problem, slug="features.reads_feature", message=message, nearest="", hint=hint)
            problems.append(problem)
        return None


def resolve_rules(
    rules: Sequence[Rule],
    columns: Mapping[str, Kind],
    features: Mapping[str, Kind],
    lists: frozenset[str],
    problems: list[Problem],
) -> None:
    """Check conditions and reasons of all rules."""
    try:
        _, reasons = compile_rules(rules, {**columns, **features}, lists)
    except InvalidInput as error:
        problems.extend(error.problems)
        return
    for rule, reason in zip(rules, reasons, strict=True):
        for name in sorted(reason.columns & set(features)):
            if features[name] is Kind.TEXT:
                message = f"{name} is a feature of kind text: only its id is known"
                hint = "show the event's own column"
                problems.append(Problem("reason.text_feature", message, rule.origin.at("reason"), hint=hint))


def pack_hash(
    attributes: Mapping[str, Attribute],
    settings: PackSettings,
    features: Sequence[FeatureDefinition],
    rules: Sequence[Rule],
    policy: Policy,
    lists: Mapping[str, ListDefinition],
    signals: Sequence[SignalDefinition] = (),
    models: Sequence[ModelDefinition] = (),
) -> str:
    """16 hex digits of all that can change a decision; titles, descriptions and tests are left out."""
    body: dict[str, object] = {
        "attributes": {a.name: [a.path, a.kind.name] for a in attributes.values()},
        "settings": [settings.lateness_s],
        "features": {feature.id: feature.hash for feature in features},
        "rules": {
            r.id: [
                r.condition,
                r.on_unknown,
                r.subject,
                r.threat,
                int(r.severity),
                r.family,
                r.confirmed,
                r.include_shoal,
            ]
            for r in rules
        },
        "lists": {one.name: [one.kind, one.version] for one in lists.values()},
        "evidence": policy.evidence_s,
        "threats": {
            t.threat: [
                t.role,
                [[int(s.tier), int(s.severity), s.rules] for s in t.steps],
                [[a.action, int(a.from_tier), a.lease_s, a.on] for a in t.actions],
            ]
            for t in policy.threats.values()
        },
        "allow": [
            [e.id, e.column, e.list, e.expires, sorted(e.threats), sorted(e.actions)]
            for e in sorted(policy.allow, key=lambda entry: entry.id)
        ],
    }
    if signals:
        body["signals"] = {one.id: one.hash for one in signals}
    if models:
        body["models"] = {one.id: one.hash for one in models}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
