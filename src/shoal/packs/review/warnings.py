"""What is allowed in a pack and yet smells: definitions that nothing reads, rules nobody tested, entries about to end.

Each warning is a `Problem` with a slug `check.*`, the place and what to do; none stops a pack from deciding. The time
is given, since allow entries end. Holds no state, touches no disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from shoal.errors import Problem
from shoal.expressions.compile import Expression, Scope, compile_expression
from shoal.packs.pack import Pack
from shoal.policy.definitions import Tier
from shoal.rules.reasons import parse_reason
from shoal.rules.rules import Rule

SOON_US = 30 * 86_400_000_000


@dataclass(frozen=True)
class Reads:
    """What the definitions of a pack read: expressions by rule, feature and fitted detector, and columns that reasons
    show."""

    conditions: Mapping[str, Expression]
    features: Mapping[str, tuple[Expression, ...]]
    reasons: Mapping[str, frozenset[str]]
    models: Mapping[str, Expression]

    def columns(self, rule: str) -> frozenset[str]:
        """The columns and features that a rule reads."""
        return self.conditions[rule].columns | self.reasons[rule]


def reads_of(pack: Pack) -> Reads:
    """Compile every expression of a pack (about a millisecond each)."""
    kinds, lists = {**pack.event_columns, **pack.computed}, frozenset(pack.lists)
    scope = Scope(kinds, lists)
    features = {
        one.id: tuple(
            compile_expression(text, scope, one.origin)
            for text in (one.value, one.where, one.expression)
            if text is not None and text.strip()
        )
        for one in pack.features
    }
    return Reads(
        {rule.id: compile_expression(rule.condition, scope, rule.origin) for rule in pack.rules},
        features,
        {rule.id: parse_reason(rule.reason, kinds, rule.origin).columns for rule in pack.rules},
        {one.id: compile_expression(one.on, scope, one.origin) for one in pack.models},
    )


def warnings_of(pack: Pack, now_us: int, reads: Reads | None = None) -> tuple[Problem, ...]:
    """All warnings of a sound pack, by place."""
    reads = reads or reads_of(pack)
    found = [*_untested(pack), *_unread(pack, reads), *_policy(pack), *_allow(pack, now_us), *_alike(pack, reads)]
    return tuple(sorted(found, key=lambda p: (p.where.file, p.where.line, p.slug)))


def _untested(pack: Pack) -> Iterator[Problem]:
    fires = {test.rule for test in pack.tests if test.fires}
    misses = {test.rule for test in pack.tests if not test.fires}
    for rule in pack.rules:
        if rule.id not in fires:
            hint = "a test that it fires shows that it can"
            yield Problem(
                "check.no_firing_test", f"rule {rule.id} has no test in which it fires", rule.origin, hint=hint
            )
        if rule.id not in misses:
            hint = "the honest event most like the attack, with `expect: never`"
            yield Problem("check.no_near_miss", f"rule {rule.id} has no test of a near miss", rule.origin, hint=hint)


def _unread(pack: Pack, reads: Reads) -> Iterator[Problem]:
    columns = {name for rule in pack.rules for name in reads.columns(rule.id)}
    columns |= {name for one in reads.features.values() for expression in one for name in expression.columns}
    columns |= {name for one in pack.models for name in one.inputs}
    columns |= {name for expression in reads.models.values() for name in expression.columns}
    lists = {entry.list for entry in pack.policy.allow}
    for expression in (*reads.conditions.values(), *(e for one in reads.features.values() for e in one)):
        lists |= expression.lists
    for feature in pack.features:
        if feature.id not in columns:
            message = f"no rule and no other feature reads {feature.id}"
            hint = "it costs memory on every event; drop or disable it"
            yield Problem("check.unread_feature", message, feature.origin, hint=hint)
    for name, one in pack.lists.items():
        if name not in lists:
            yield Problem("check.unread_list", f"nothing reads the list {name!r}", one.origin)


def _policy(pack: Pack) -> Iterator[Problem]:
    used = {rule.threat for rule in pack.rules}
    for name, threat in pack.policy.threats.items():
        if name not in used:
            yield Problem("check.idle_threat", f"no rule is of threat {name!r}", threat.origin)
    for rule in pack.rules:
        steps = pack.policy.threats[rule.threat].steps
        if not any(step.severity <= rule.severity and step.tier > Tier.ALLOW for step in steps):
            severity = rule.severity.name.lower()
            message = f"rule {rule.id} never decides: {rule.threat} has no step at severity {severity} or below"
            yield Problem("check.no_step", message, rule.origin, hint="add a step, or raise the severity")


def _allow(pack: Pack, now_us: int) -> Iterator[Problem]:
    for entry in pack.policy.allow:
        if entry.expires - now_us >= SOON_US:
            continue
        day = datetime.fromtimestamp(entry.expires / 1e6, UTC).date()
        verb = "ended" if entry.expires <= now_us else "ends"
        message, hint = f"allow entry {entry.id!r} {verb} on {day}", f"ask {entry.owner} whether it is still needed"
        yield Problem("check.allow_ends", message, entry.origin, hint=hint)


def _alike(pack: Pack, reads: Reads) -> Iterator[Problem]:
    """Rules whose conditions are the same once written in one way, about the same subject."""
    first: dict[tuple[str, str], Rule] = {}
    for rule in pack.rules:
        key = (reads.conditions[rule.id].duckdb(), rule.subject)
        if key in first:
            message = f"rule {rule.id} has the condition of {first[key].id}"
            yield Problem("check.same_condition", message, rule.origin, hint=f"the other is at {first[key].origin}")
        first.setdefault(key, rule)
