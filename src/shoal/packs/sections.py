"""The files of a pack: YAML to the plain data of features, rules, policy and lists.

Each function reads one file's mapping through a `Reader`, notes every problem and returns what could be read. Whether
names exist is checked later, when all files are known (`resolve`). Holds no state, touches no disk.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from shoal.errors import InvalidInput, Problem
from shoal.events.schema import BY_NAME, Kind
from shoal.features.definitions import OLDEST_BUCKET, OPERATIONS, FeatureDefinition
from shoal.packs.fields import Reader
from shoal.packs.pack import Attribute, ListDefinition
from shoal.policy.definitions import ACTIONS, AllowEntry, PlannedAction, Role, Step, ThreatPolicy, Tier
from shoal.ranges.lists import NamedList
from shoal.rules.attack import TACTICS, TECHNIQUE_FORM
from shoal.rules.rules import SUBJECT_KINDS, OnUnknown, Rule, Severity

NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
RULE_ID = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\Z")
NAME_FORM = "lower-case letters, digits and _"
KINDS = {kind.name.lower(): kind for kind in Kind}
SEVERITIES = {severity.name.lower(): severity for severity in Severity}
TIERS = {tier.name.lower(): tier for tier in Tier}


def read_header(reader: Reader, form: str, version: int = 1) -> bool:
    """Check `format` and `version`; False where the file is not to be read."""
    found = reader.text("format", required=True)
    if found and found != form:
        reader.wrong("format", "pack.format", f"format {found!r}", form, hint="is the file in the right folder?")
        return False
    number = reader.integer("version", version, 0, 1_000_000, required=True)
    if number != version:
        reader.wrong("version", "pack.version", f"{form} version {number}", str(version))
        return False
    return bool(found)


def make_attribute(name: str, one: Reader) -> Attribute | None:
    """One of `attributes` in pack.yaml: column → path and type."""
    path = one.text("path", required=True)
    kind = one.choice("type", KINDS, required=True)
    one.finish()
    if not NAME.match(name) or name in BY_NAME:
        message = f"{name!r} is an event column" if name in BY_NAME else f"{name!r} is no column name"
        one.problems.append(Problem("pack.attribute_name", message, one.where, f"a new name of {NAME_FORM}"))
    elif path and "" in path.split("."):
        one.wrong("path", "pack.attribute_path", f"the path {path!r} has an empty part", "a.b.c")
    elif path and kind:
        return Attribute(name, path, KINDS[kind], one.where)
    return None


def read_settings(reader: Reader) -> int | None:
    """`settings` of pack.yaml: the lateness in seconds, None where it is not given."""
    section = reader.mapping("settings")
    if section is None:
        return None
    lateness = section.seconds("lateness", None)
    section.finish()
    return lateness


def definitions(reader: Reader, form: str, section: str) -> list[tuple[str, Reader]]:
    """The definitions of a file of `features/` or `rules/`: ids with their readers, in the order written."""
    if not read_header(reader, form):
        return []
    found = reader.mapping(section, required=True)
    reader.finish()
    return [] if found is None else list(found.children())


def make_feature(name: str, one: Reader) -> FeatureDefinition:
    """One feature."""
    if not NAME.match(name):
        message = f"{name!r} is no feature name"
        one.problems.append(Problem("pack.feature_name", message, one.where, NAME_FORM))
    operation = one.choice("operation", OPERATIONS, required=True)
    half_life = one.seconds("half_life", None)
    definition = FeatureDefinition(
        id=name,
        operation=operation,
        key=one.texts("key"),
        window_s=one.seconds("window", None),
        value=one.optional_text("value"),
        where=one.optional_text("where"),
        expression=one.optional_text("expression"),
        include_self=one.boolean("include_self", False) if one.has("include_self") else None,
        bucket_s=one.seconds("bucket", None),
        oldest_bucket=one.choice("oldest_bucket", OLDEST_BUCKET, "whole"),
        half_life_s=None if half_life is None else float(half_life),
        places=one.integer("places", 0, 0, 9),
        largest=one.number("largest", float(2**40), 0, float(2**52)),
        include_shoal=one.boolean("include_shoal", False),
        description=one.text("description"),
        unit=one.text("unit"),
        origin=one.where,
    )
    one.finish()
    return definition


def check_rule_id(name: str, one: Reader, stem: str) -> None:
    """The id of a rule begins with the name of its file."""
    if not RULE_ID.match(name) or name.partition(".")[0] != stem:
        hint = "the id of a rule begins with the name of its file"
        message = f"{name!r} is no rule id here"
        one.problems.append(Problem("pack.rule_name", message, one.where, f"{stem}.{NAME_FORM}", hint=hint))


def make_rule(name: str, one: Reader) -> Rule:
    """One rule; its tests are read by `testfile`."""
    technique = one.texts("technique")
    for each in technique:
        if not TECHNIQUE_FORM.match(each):
            one.wrong("technique", "pack.technique", f"{each!r} is no ATT&CK technique", "T1078 or T1078.004")
    severity = one.choice("severity", SEVERITIES, required=True)
    rule = Rule(
        id=name,
        title=one.text("title", required=True),
        condition=one.text("condition", required=True),
        subject=one.choice("subject", SUBJECT_KINDS, required=True),
        threat=one.text("threat", required=True),
        severity=SEVERITIES.get(severity, Severity.LOW),
        reason=one.text("reason", required=True),
        description=" ".join(one.text("description", required=True).split()),
        on_unknown=cast(OnUnknown, one.choice("on_unknown", ("ignore", "match", "defer"), "ignore")),
        family=one.text("family"),
        confidence=one.number("confidence", 0.5, 0, 1),
        technique=technique,
        tactic=one.choice("tactic", TACTICS, required=bool(technique)),
        false_positives=one.texts("false_positives", required=True),
        evasion=" ".join(one.text("evasion", required=True).split()),
        confirmed=one.boolean("confirmed", False),
        include_shoal=one.boolean("include_shoal", False),
        origin=one.where,
    )
    one.finish(also=("tests",))
    return rule


@dataclass(frozen=True)
class PolicyParts:
    """policy.yaml before its definitions are read; `evidence_s` is None where it is not given."""

    evidence_s: int | None
    threats: Sequence[tuple[str, Reader]]
    allow: Sequence[tuple[str, Reader]]


def read_policy(reader: Reader, inherits: bool) -> PolicyParts:
    """policy.yaml; a pack that builds on others need not name threats."""
    if not read_header(reader, "shoal.policy"):
        return PolicyParts(None, (), ())
    evidence_s = reader.seconds("evidence", None)
    section = reader.mapping("threats", required=not inherits)
    threats = [] if section is None else list(section.children())
    allow = [(one.text("id", required=True), one) for one in reader.mappings("allow")]
    reader.finish()
    return PolicyParts(evidence_s or None, threats, allow)


def make_threat(name: str, one: Reader) -> ThreatPolicy:
    """One threat of the policy."""
    role = one.choice("role", ("victim", "perpetrator"), "perpetrator", required=True)
    steps = []
    for step in one.mappings("steps", required=True):
        tier = step.choice("tier", TIERS, required=True)
        severity = step.choice("severity", SEVERITIES, required=True)
        rules = step.integer("rules", 1, 1, 63)
        step.finish()
        if tier and severity:
            steps.append(Step(TIERS[tier], SEVERITIES[severity], rules))
    actions = []
    for planned in one.mappings("actions"):
        action = planned.choice("action", ACTIONS, required=True)
        from_tier = planned.choice("from", TIERS, required=True)
        lease = planned.seconds("lease", 86_400)
        on = planned.choice("on", SUBJECT_KINDS)
        planned.finish()
        if lease is not None and lease < 1:
            planned.wrong("lease", "policy.lease", "a lease of 0 s", "1s or longer")
        elif action and from_tier and lease:
            actions.append(PlannedAction(action, TIERS[from_tier], lease, on, planned.where))
    description = " ".join(one.text("description").split())
    one.finish()
    return ThreatPolicy(name, cast(Role, role), tuple(steps), tuple(actions), description, one.where)


def make_allow(one: Reader) -> AllowEntry:
    """One allow entry of the policy."""
    entry = AllowEntry(
        id=one.text("id", required=True),
        column=one.text("column", required=True),
        list=one.text("list", required=True),
        owner=one.text("owner", required=True),
        expires=one.moment("expires", required=True) or 0,
        threats=frozenset(one.texts("threats")),
        actions=frozenset(one.texts("actions")),
        reason=one.text("reason", required=True),
        origin=one.where,
    )
    one.finish()
    return entry


def read_list(reader: Reader, name: str) -> ListDefinition | None:
    """A YAML file of `lists/`, or a text file in the same form."""
    if not read_header(reader, "shoal.list"):
        return None
    kind = reader.choice("kind", ("text", "address"), "text")
    entries = reader.texts("entries", required=True)
    description = " ".join(reader.text("description").split())
    reader.finish()
    return make_list(name, kind, entries, reader, description)


def make_list(
    name: str, kind: str, entries: Iterable[str], reader: Reader, description: str = ""
) -> ListDefinition | None:
    """A list of entries, checked by building it."""
    listed = tuple(sorted(set(entries)))
    if not NAME.match(name):
        reader.problems.append(Problem("pack.list_name", f"{name!r} is no list name", reader.where, NAME_FORM))
        return None
    form: Literal["text", "address"] = "address" if kind == "address" else "text"
    version = hashlib.sha256("\n".join((form, *listed)).encode()).hexdigest()[:16]
    try:
        NamedList.of(name, listed, version, form)
    except InvalidInput as error:
        for problem in error.problems:
            reader.problems.append(Problem(problem.slug, problem.message, reader.where, problem.allowed))
        return None
    return ListDefinition(name, form, listed, version, reader.where, description)
