"""Findings: decisions gathered by subject and threat over time, and ranked, for people to read.

The shapes and the ranking. `runtime.findings` gathers them from stored decisions; of each rule the text at its peak
is shown (the
row on which the first number of its reason was largest; the first such row on ties). Holds no state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from shoal.events.schema import Kind
from shoal.expressions.frame import Frame
from shoal.rules.attack import TACTICS
from shoal.rules.rules import Severity

WEIGHTS: Mapping[Severity, float] = {
    Severity.INFO: 0.5,
    Severity.LOW: 1.0,
    Severity.MEDIUM: 3.0,
    Severity.HIGH: 9.0,
    Severity.CRITICAL: 27.0,
}
"""What a rule adds to a rank, times its confidence; each step up weighs three times the one below."""
STAGE_BONUS = 0.5
"""Share that each further ATT&CK tactic adds: a chain of stages outranks one loud rule."""


@dataclass
class RuleHits:
    """One rule within a finding. `first_seq` and `peak_seq` are the events to look at."""

    rule: str
    title: str
    severity: int
    tactic: str
    technique: tuple[str, ...]
    family: str
    confidence: float
    count: int = 0
    first: int = 0
    last: int = 0
    first_seq: int = -1
    peak_seq: int = -1
    peak: float = -np.inf
    reason: str = ""


@dataclass
class Finding:
    """What is known against or about one subject for one threat; times are `as_of` in µs."""

    kind: str
    subject: str
    threat: str
    role: str
    tier: int = 0
    severity: int = 0
    first: int = 0
    last: int = 0
    count: int = 0
    rules: dict[str, RuleHits] = field(default_factory=dict)
    actions: dict[str, int] = field(default_factory=dict)  # action → how often planned

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons in words, the weightiest first."""
        ordered = sorted(self.rules.values(), key=lambda r: (-r.severity, r.first, r.rule))
        return tuple(f"{rule.title}: {rule.reason}" for rule in ordered)


@dataclass(frozen=True)
class Ranked:
    """All findings of one subject, and why it stands where it stands."""

    kind: str
    subject: str
    score: float
    severity: int
    tier: int
    stages: tuple[str, ...]  # ATT&CK tactics in the order of the chain
    first: int
    last: int
    count: int
    findings: tuple[Finding, ...]

    @property
    def rules(self) -> tuple[RuleHits, ...]:
        """The rules of all its findings, the weightiest first, each once."""
        found = {rule.rule: rule for finding in self.findings for rule in finding.rules.values()}
        return tuple(sorted(found.values(), key=lambda r: (-r.severity, r.first, r.rule)))


def peak_values(frame: Frame, column: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The values of a column on some rows; -inf where null or where there is no column."""
    if not column:
        return np.full(len(rows), -np.inf)
    index = frame.layout.index[column]
    raw = frame.values[index, rows]
    values = raw.view(np.float64) if frame.layout.kinds[index] is Kind.FLOAT else raw.astype(np.float64)
    return np.where(frame.valid[index, rows] != 0, values, -np.inf)


def score(rules: Iterable[RuleHits]) -> float:
    """How much a subject deserves a look: severity × confidence of each independent family, more for a chain of stages.

    A ranking device with round numbers of ours, not a probability.
    """
    best: dict[str, float] = {}
    stages = set()
    for rule in rules:
        weight = WEIGHTS[Severity(rule.severity)] * rule.confidence
        best[rule.family] = max(best.get(rule.family, 0.0), weight)
        if rule.tactic:
            stages.add(rule.tactic)
    return sum(best.values()) * (1 + STAGE_BONUS * max(0, len(stages) - 1))


def rank(findings: Iterable[Finding]) -> list[Ranked]:
    """Group findings by subject and put the weightiest first; ties by time, then by name."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.kind, finding.subject), []).append(finding)
    out = [_ranked(kind, subject, group) for (kind, subject), group in groups.items()]
    return sorted(out, key=lambda r: (-r.score, r.first, r.kind, r.subject))


def _ranked(kind: str, subject: str, group: Sequence[Finding]) -> Ranked:
    rules = [rule for finding in group for rule in finding.rules.values()]
    stages = sorted({rule.tactic for rule in rules if rule.tactic}, key=lambda tactic: TACTICS.get(tactic, 99))
    ordered = sorted(group, key=lambda f: (-f.severity, f.first, f.threat))
    return Ranked(
        kind,
        subject,
        score(rules),
        max(f.severity for f in group),
        max(f.tier for f in group),
        tuple(stages),
        min(f.first for f in group),
        max(f.last for f in group),
        sum(f.count for f in group),
        tuple(ordered),
    )
