"""What differs between two packs that saw the same history: by rule, threat, action, subject and plan, with what labels
say.

`Stretch` is what one pass over the journal gathered, `compare` turns it and the two sides into a `Backtest`. A
subject is judged by the labels that stand at its first decision; precision is quoted among the labelled alone. Pure.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shoal.learn.cohorts import Decided, Label, Subject, judge
from shoal.learn.intervals import Share
from shoal.policy.definitions import Tier
from shoal.runtime.judge.side import Held, Side

SAID = {True: "abusive", False: "benign", None: "unlabelled"}


@dataclass(frozen=True)
class RuleFlip:
    """One rule in both packs: counted events that it matched, the ones that only one side matched, and the share of
    abusive among the labelled subjects of each side. `status`: same, changed, added or removed."""

    rule: str
    status: str
    old: int
    new: int
    only_old: int
    only_new: int
    old_worth: Share
    new_worth: Share


@dataclass(frozen=True)
class SubjectFlip:
    """One subject whose highest tier for a threat differs between the packs."""

    subject: Subject
    threat: str
    old: Tier
    new: Tier
    said: str
    censored: bool
    rules_old: tuple[str, ...]
    rules_new: tuple[str, ...]
    first_us: int


@dataclass(frozen=True)
class Moves:
    """How subjects moved for one threat, by what their labels say (abusive, benign, unlabelled): up and down over the
    line to `challenge`."""

    up: Mapping[str, int]
    down: Mapping[str, int]
    kept: Mapping[str, int]


@dataclass(frozen=True)
class SideSummary:
    """One pack over the stretch. `worth`: abusive among the labelled subjects at `challenge` or above; `stopped`:
    events that its actions would have stopped, by what is known of whoever made them."""

    name: str
    version: str
    hash: str
    tiers: Mapping[int, int]
    actions: Mapping[str, int]
    subjects: int
    worth: Share
    stopped: Mapping[str, int]


@dataclass
class Backtest:
    """All that a backtest found. `blast`: by plan, accounts that acted and those met with `challenge` or above by the
    old and by the new pack. `masked`: events left out, by why."""

    from_us: int
    to_us: int
    warm_up_us: int
    warm_up_events: int
    events: int
    masked: Mapping[str, int]
    labels: int
    old: SideSummary
    new: SideSummary
    rules: list[RuleFlip]
    threats: dict[str, Moves]
    actions: dict[str, tuple[int, int, int, int]]
    subjects: list[SubjectFlip]
    blast: dict[str, tuple[int, int, int, int]]
    censored: list[Subject]


@dataclass
class Stretch:
    """The clipped stretch (warm-up from `begin_us`, counted from `start_us` to `end_us`), and what one pass over the
    journal gathers beside the two sides."""

    begin_us: int
    start_us: int
    end_us: int
    masked: Counter[str] = field(default_factory=Counter)
    warm_up: int = 0
    events: int = 0
    last_us: int = 0
    only_old: Counter[str] = field(default_factory=Counter)
    only_new: Counter[str] = field(default_factory=Counter)
    censored: set[Subject] = field(default_factory=set)
    plans: dict[str, str] = field(default_factory=dict)
    labels: list[Mapping[str, Any]] = field(default_factory=list)


def compare(old: Side, new: Side, stretch: Stretch, labels: Sequence[Label]) -> Backtest:
    """The whole comparison; `labels` as they are known at the time of the report."""
    about: dict[Subject, list[Label]] = defaultdict(list)
    for label in labels:
        about[label.subject].append(label)

    def said(subject: Subject, threat: str, held: Held) -> bool | None:
        return judge(Decided(subject, held.first_us, threat), about.get(subject, ()))

    bad = {label.subject.name for label in labels if label.abusive and label.subject.type == "account"}
    good = {label.subject.name for label in labels if not label.abusive and label.subject.type == "account"} - bad
    return Backtest(
        from_us=stretch.start_us,
        to_us=stretch.last_us,
        warm_up_us=stretch.start_us - stretch.begin_us,
        warm_up_events=stretch.warm_up,
        events=stretch.events,
        masked=dict(stretch.masked),
        labels=len(labels),
        old=_summary(old, said, bad, good),
        new=_summary(new, said, bad, good),
        rules=_rules(old, new, stretch, said),
        threats=_threats(old, new, said),
        actions=_actions(old, new),
        subjects=_subjects(old, new, stretch, said),
        blast=_blast(old, new, stretch),
        censored=sorted(stretch.censored),
    )


Said = Callable[[Subject, str, Held], bool | None]


def _worth(verdicts: Iterable[bool | None]) -> Share:
    known = [verdict for verdict in verdicts if verdict is not None]
    return Share(sum(known), len(known))


def _summary(side: Side, said: Said, bad: set[str], good: set[str]) -> SideSummary:
    pack = side.engine.pack
    met = [(subject, threat, held) for (subject, threat), held in side.held.items() if held.challenged_us is not None]
    stopped = Counter(
        SAID[True] if who in bad else SAID[False] if who in good else SAID[None] for _, who in side.stopped
    )
    return SideSummary(
        pack.name,
        pack.version,
        pack.hash,
        dict(sorted(side.tiers.items())),
        dict(sorted(side.actions.items())),
        len(met),
        _worth(said(*one) for one in met),
        {name: stopped[name] for name in SAID.values()},
    )


def _rules(old: Side, new: Side, stretch: Stretch, said: Said) -> list[RuleFlip]:
    conditions = [
        {rule.id: (rule.condition, rule.threat, rule.subject, rule.severity) for rule in side.engine.pack.rules}
        for side in (old, new)
    ]
    verdicts: list[dict[str, list[bool | None]]] = []
    for side in (old, new):
        listed: dict[str, list[bool | None]] = defaultdict(list)
        for (subject, threat), held in side.held.items():
            verdict = said(subject, threat, held)
            for rule in held.rules:
                listed[rule].append(verdict)
        verdicts.append(listed)
    features = [{definition.id: definition.hash for definition in side.engine.pack.features} for side in (old, new)]
    changed = {name for name in features[0].keys() & features[1].keys() if features[0][name] != features[1][name]}
    flips = []
    for rule in sorted(conditions[0].keys() | conditions[1].keys()):
        before, after = conditions[0].get(rule), conditions[1].get(rule)
        if before is None or after is None:
            status = "added" if before is None else "removed"
        else:
            reads = bool(changed.intersection(re.findall(r"\w+", before[0])))
            status = "changed" if before != after or reads else "same"
        flips.append(
            RuleFlip(
                rule,
                status,
                old.rules[rule],
                new.rules[rule],
                stretch.only_old[rule],
                stretch.only_new[rule],
                _worth(verdicts[0][rule]),
                _worth(verdicts[1][rule]),
            )
        )
    return flips


def _threats(old: Side, new: Side, said: Said) -> dict[str, Moves]:
    counts: dict[str, tuple[Counter[str], Counter[str], Counter[str]]] = defaultdict(
        lambda: (Counter(), Counter(), Counter())
    )
    for key in old.held.keys() | new.held.keys():
        before, after = old.held.get(key), new.held.get(key)
        was = before is not None and before.challenged_us is not None
        now = after is not None and after.challenged_us is not None
        held = before or after
        if held is not None and (was or now):
            move = 2 if was and now else 0 if now else 1
            counts[key[1]][move][SAID[said(*key, held)]] += 1
    return {threat: Moves(dict(up), dict(down), dict(kept)) for threat, (up, down, kept) in sorted(counts.items())}


def _actions(old: Side, new: Side) -> dict[str, tuple[int, int, int, int]]:
    """Planned by old and by new, and subjects that only one of them plans it for."""
    subjects: list[dict[str, set[Subject]]] = []
    for side in (old, new):
        listed: dict[str, set[Subject]] = defaultdict(set)
        for (subject, _), held in side.held.items():
            for action in held.actions:
                listed[action].add(subject)
        subjects.append(listed)
    return {
        action: (
            old.actions[action],
            new.actions[action],
            len(subjects[0][action] - subjects[1][action]),
            len(subjects[1][action] - subjects[0][action]),
        )
        for action in sorted(old.actions.keys() | new.actions.keys())
    }


def _subjects(old: Side, new: Side, stretch: Stretch, said: Said) -> list[SubjectFlip]:
    flips = []
    for key in old.held.keys() | new.held.keys():
        before, after = old.held.get(key), new.held.get(key)
        was, now = before.tier if before else Tier.ALLOW, after.tier if after else Tier.ALLOW
        held = before or after
        if was == now or held is None:
            continue
        flips.append(
            SubjectFlip(
                key[0],
                key[1],
                was,
                now,
                SAID[said(*key, held)],
                key[0] in stretch.censored,
                tuple(sorted(before.rules)) if before else (),
                tuple(sorted(after.rules)) if after else (),
                min(side.first_us for side in (before, after) if side is not None),
            )
        )
    return sorted(
        flips, key=lambda flip: (-abs(flip.new - flip.old), -max(flip.new, flip.old), flip.subject, flip.threat)
    )


def _blast(old: Side, new: Side, stretch: Stretch) -> dict[str, tuple[int, int, int, int]]:
    """By plan: accounts that acted, met by old, met by new, newly met."""
    plan = {name: found for side in (old, new) for name, found in side.met.items() if found}
    of = {**{name: plan.get(name) or "unknown" for name in (*old.met, *new.met)}, **stretch.plans}
    acted, before, after = Counter(stretch.plans.values()), Counter[str](), Counter[str]()
    newly: Counter[str] = Counter()
    for name in old.met:
        before[of[name]] += 1
    for name in new.met:
        after[of[name]] += 1
        newly[of[name]] += name not in old.met
    return {p: (acted[p], before[p], after[p], newly[p]) for p in sorted(acted.keys() | before.keys() | after.keys())}
