"""Whether a policy fits the rules, columns and lists that it is to work with.

The pack reader and the policy engine ask the same questions here, so that neither accepts what the other refuses. All
problems are returned together; nothing is raised and nothing is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from shoal.errors import Problem, Where, nearest_name
from shoal.events.schema import Kind
from shoal.policy.definitions import ACTIONS, AllowEntry, PlannedAction, Policy, ThreatPolicy
from shoal.rules.rules import SUBJECT_KINDS, Rule

MAX_FAMILIES = 63


def policy_problems(
    policy: Policy, rules: Sequence[Rule], columns: Mapping[str, Kind], lists: Iterable[str]
) -> list[Problem]:
    """All problems of a policy beside its rules; an empty list where it fits."""
    problems: list[Problem] = []
    for threat in policy.threats.values():
        for action in threat.actions:
            problems.extend(_action_problems(threat, action, columns))
    for rule in rules:
        problems.extend(_rule_problems(rule, policy, columns))
    known_lists = frozenset(lists)
    for entry in policy.allow:
        problems.extend(_allow_problems(entry, policy, columns, known_lists))
    for threat_name in policy.threats:
        families = {rule.family or rule.id for rule in rules if rule.threat == threat_name}
        if len(families) > MAX_FAMILIES:
            where = policy.threats[threat_name].origin
            message = f"threat {threat_name!r} has {len(families)} rule families"
            problems.append(Problem("policy.too_many_families", message, where, f"at most {MAX_FAMILIES}"))
    return problems


def _action_problems(threat: ThreatPolicy, planned: PlannedAction, columns: Mapping[str, Kind]) -> list[Problem]:
    spec = ACTIONS.get(planned.action)
    where = planned.origin
    if spec is None:
        near = nearest_name(planned.action, ACTIONS)
        return [Problem("policy.unknown_action", f"no action {planned.action!r}", where, ", ".join(ACTIONS), near)]
    problems = []
    kind = SUBJECT_KINDS.get(planned.on, "") if planned.on else ""
    if planned.on and (not kind or (planned.on != "event" and planned.on not in columns)):
        problems.append(_no_subject("policy.unknown_subject", planned.on, where))
    elif kind and kind not in spec.kinds:
        allowed = ", ".join(sorted(spec.kinds))
        problems.append(Problem("policy.action_subject", f"{planned.action} cannot be taken on {kind}", where, allowed))
    accounts = not planned.on or kind == "account"
    if threat.role == "victim" and not spec.secures and accounts and planned.action != "watch":
        problems.append(
            Problem(
                "policy.victim_contained",
                f"{planned.action} contains a perpetrator, but the account of {threat.threat!r} is a victim",
                where,
                allowed=", ".join(name for name, other in ACTIONS.items() if other.secures),
                hint="secure the account; contain the attacker `on: ip`, `on: link`, …",
            )
        )
    return problems


def _no_subject(slug: str, name: str, where: Where) -> Problem:
    return Problem(
        slug,
        f"{name!r} names no subject",
        where,
        allowed=", ".join(SUBJECT_KINDS),
        nearest=nearest_name(name, SUBJECT_KINDS),
    )


def _rule_problems(rule: Rule, policy: Policy, columns: Mapping[str, Kind]) -> list[Problem]:
    problems = []
    if rule.subject not in SUBJECT_KINDS or (rule.subject != "event" and rule.subject not in columns):
        problems.append(_no_subject("rule.unknown_subject", rule.subject, rule.origin))
    if rule.threat not in policy.threats:
        message = f"rule {rule.id}: the policy says nothing about threat {rule.threat!r}"
        near = nearest_name(rule.threat, policy.threats)
        problems.append(Problem("rule.unknown_threat", message, rule.origin, ", ".join(policy.threats), near))
    return problems


def _allow_problems(
    entry: AllowEntry, policy: Policy, columns: Mapping[str, Kind], lists: frozenset[str]
) -> list[Problem]:
    problems = []
    if columns.get(entry.column) is not Kind.TEXT:
        texts = [name for name, kind in columns.items() if kind is Kind.TEXT]
        message = f"allow entry {entry.id!r}: no text column {entry.column!r}"
        problems.append(
            Problem("allow.unknown_column", message, entry.origin, nearest=nearest_name(entry.column, texts))
        )
    if entry.list not in lists:
        message = f"allow entry {entry.id!r}: no list {entry.list!r}"
        near = nearest_name(entry.list, lists)
        problems.append(Problem("allow.unknown_list", message, entry.origin, ", ".join(sorted(lists)), near))
    for slug, given, known in (
        ("allow.unknown_threat", entry.threats, tuple(policy.threats)),
        ("allow.unknown_action", entry.actions, tuple(ACTIONS)),
    ):
        for name in sorted(given - set(known)):
            message = f"allow entry {entry.id!r}: no {slug.rsplit('_', 1)[1]} {name!r}"
            problems.append(Problem(slug, message, entry.origin, ", ".join(known), nearest_name(name, known)))
    return problems
