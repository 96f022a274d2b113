"""The demo's page from its results: scores, attribution and findings laid out as `reports.demo` shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import orjson

from shoal.learn.intervals import Share
from shoal.policy.definitions import Tier
from shoal.policy.findings import Ranked
from shoal.reports.demo import Attack, DemoPage, Group, Kind, Learning, RuleWorth, Story, Told
from shoal.runtime.review.attribution import Attribution
from shoal.runtime.review.scoring import Score

WARM_UP_DAYS = 3


def demo_page(
    title: str,
    found: Score,
    seen: Attribution,
    worst: Sequence[Ranked],
    rules: Mapping[str, str],
    *,
    accounts: int,
    events: int,
    records: int,
    seconds: float,
    first_us: int,
    last_us: int,
    tiers: Mapping[int, int],
    stages: Mapping[str, float],
    dead: Mapping[str, Mapping[str, int]],
    learning: Learning | None = None,
    groups: Sequence[Group] = (),
) -> DemoPage:
    """Lay out the page. `rules`: the pack's rule ids with their titles."""
    honest_rules: Counter[str] = Counter()
    for lists in found.touched.values():
        honest_rules.update({rule for text in lists for rule in orjson.loads(text)})
    reasons: Counter[str] = Counter()
    for counts in dead.values():
        reasons.update(counts)
    return DemoPage(
        title=title,
        accounts=accounts,
        events=events,
        records=records,
        seconds=max(seconds, 1e-9),
        start_us=first_us,
        end_us=last_us,
        tiers={_name(tier): count for tier, count in sorted(tiers.items())},
        kinds=[
            Kind(
                kind.kind,
                kind.attacks,
                kind.caught,
                kind.watched,
                Share(kind.subjects_caught, kind.subjects),
                Share(kind.events_flagged, kind.events),
                kind.delays_s,
            )
            for kind in found.kinds
        ],
        attacks=[
            Attack(one.attack, one.kind, one.start_us, one.end_us, {_name(t): at for t, at in one.first.items()})
            for one in seen.attacks
        ],
        decisions={_name(tier): times for tier, times in seen.times_by_tier.items()},
        rules=[
            RuleWorth(rule, rules.get(rule, rule), share)
            for rule, share in sorted(seen.rules.items(), key=lambda item: (-(item[1].value or 0), item[0]))
        ],
        silent=sorted(set(rules) - set(seen.rules)),
        honest=Share(len(found.touched), max(found.honest_accounts, len(found.touched))),
        honest_rate=found.touched_per_10k_week,
        honest_rules=honest_rules.most_common(8),
        honest_by_day=seen.honest_by_day,
        warm_up_days=WARM_UP_DAYS,
        stories=[_story(entry, seen) for entry in worst],
        stages=dict(stages) if records else {},
        dead=dict(reasons.most_common()),
        learning=learning,
        groups=groups,
    )


def _story(entry: Ranked, seen: Attribution) -> Story:
    return Story(
        entry.kind,
        entry.subject,
        _name(entry.tier),
        seen.truth_of(entry.kind, entry.subject),
        entry.first,
        entry.last,
        [Told(r.first, r.title, r.reason, r.count) for r in sorted(entry.rules, key=lambda r: r.first)],
        list(dict.fromkeys(name for finding in entry.findings for name in finding.actions)),
    )


def _name(tier: int) -> str:
    return Tier(tier).name.lower()
