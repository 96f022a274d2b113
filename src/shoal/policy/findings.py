"""Findings: decisions gathered by subject and threat over time, and ranked, for people to read.

`FindingLog` is an accumulator that its owner feeds with every batch's `Decisions` while the frame is there; it holds
one `Finding` for each (subject, threat) that reached `watch`, for as long as its owner keeps it. What it holds does
not depend on how the journal was cut: of each rule the text at its peak is kept (the row on which the first number of
its reason was largest; the first such row on ties).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from shoal.errors import Corrupt, Unsupported
from shoal.events.schema import Kind
from shoal.expressions.frame import Frame
from shoal.policy.decisions import Decisions
from shoal.policy.policy import PolicyEngine, rule_indices
from shoal.rules.attack import TACTICS
from shoal.rules.rules import RuleSet, Severity, unpack_bits

FORMAT, VERSION = "shoal.findings", 1
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
    suppressed: int = 0
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


class FindingLog:
    """Gathers findings; see the module's docstring."""

    def __init__(self, rules: RuleSet, engine: PolicyEngine) -> None:
        self._rules, self._engine = rules, engine
        self._found: dict[tuple[str, int, str], Finding] = {}

    def update(self, frame: Frame, decisions: Decisions) -> None:
        """Add a batch; the frame is the one that was decided."""
        hits = decisions.hits
        shown = np.flatnonzero(hits.tier > 0)
        if not len(shown):
            return
        keys = np.column_stack([hits.kind[shown], hits.subject[shown], hits.threat[shown]])
        unique, inverse = np.unique(keys, axis=0, return_inverse=True)
        order = np.argsort(inverse.reshape(-1), kind="stable")
        ends = np.cumsum(np.bincount(inverse.reshape(-1), minlength=len(unique)))
        fired = unpack_bits(hits.rules, len(self._rules.rules))
        homes = {}
        for group, end in enumerate(ends.tolist()):
            start = ends[group - 1] if group else 0
            mine = shown[order[start:end]]
            homes.update(dict.fromkeys(mine.tolist(), self._group(frame, decisions, mine, fired)))
        outbox = decisions.outbox
        for hit, action in zip(outbox.hit.tolist(), outbox.action.tolist(), strict=True):
            if hit in homes:
                name = self._engine.actions[action]
                homes[hit].actions[name] = homes[hit].actions.get(name, 0) + 1

    def _group(
        self, frame: Frame, decisions: Decisions, mine: npt.NDArray[np.int64], fired: npt.NDArray[np.bool_]
    ) -> Finding:
        """Add the hits of one (subject, threat)."""
        hits = decisions.hits
        one = int(mine[0])
        kind, threat = self._engine.kinds[hits.kind[one]], self._engine.threats[hits.threat[one]]
        key = (kind, int(hits.subject[one]), threat)
        finding = self._found.get(key)
        if finding is None:
            role = self._engine.policy.threats[threat].role
            finding = self._found[key] = Finding(kind, hits.text[one], threat, role, first=int(hits.as_of[one]))
        finding.tier = max(finding.tier, int(hits.tier[mine].max()))
        finding.severity = max(finding.severity, int(hits.severity[mine].max()))
        finding.last = int(hits.as_of[mine[-1]])
        finding.count += len(mine)
        finding.suppressed += int(np.count_nonzero(hits.suppressed[mine] >= 0))
        for rule in rule_indices(np.bitwise_or.reduce(hits.rules[mine], axis=0)):
            self._rule(frame, decisions, finding, rule, mine[fired[rule, mine]])
        return finding

    def _rule(
        self, frame: Frame, decisions: Decisions, finding: Finding, rule: int, mine: npt.NDArray[np.int64]
    ) -> None:
        """Add the hits of one rule within a finding, and its reason where this batch holds its peak."""
        hits, spec = decisions.hits, self._rules.rules[rule]
        known = finding.rules.get(spec.id)
        if known is None:
            known = finding.rules[spec.id] = RuleHits(
                spec.id,
                spec.title,
                int(spec.severity),
                spec.tactic,
                spec.technique,
                spec.family or spec.id,
                spec.confidence,
                first=int(hits.as_of[mine[0]]),
                first_seq=int(hits.seq[mine[0]]),
            )
        known.count += len(mine)
        known.last = int(hits.as_of[mine[-1]])
        values = _peaks(frame, self._rules.reasons[rule].peak, hits.row[mine])
        best = int(values.argmax())
        if known.peak_seq < 0 or values[best] > known.peak:
            known.peak, known.peak_seq = float(values[best]), int(hits.seq[mine[best]])
            known.reason = self._rules.render(rule, frame, int(hits.row[mine[best]]))

    def findings(self) -> list[Finding]:
        """All findings, by time of their first event."""
        return sorted(self._found.values(), key=lambda f: (f.first, f.kind, f.subject, f.threat))

    def ranked(self) -> list[Ranked]:
        """Findings grouped by subject, the one to look at first first."""
        return rank(self._found.values())

    def snapshot(self) -> bytes:
        """What was gathered, as versioned bytes."""
        rows = []
        for key, finding in sorted(self._found.items()):
            row = asdict(finding)
            row["rules"], row["actions"] = dict(sorted(row["rules"].items())), dict(sorted(row["actions"].items()))
            rows.append([*key, row])
        packed: bytes = msgpack.packb({"format": FORMAT, "version": VERSION, "findings": rows}, use_bin_type=True)
        return packed

    def restore(self, data: bytes) -> None:
        """Take over what `snapshot` wrote; raises `Corrupt` or `Unsupported` and then changes nothing."""
        try:
            body = msgpack.unpackb(data, raw=False, strict_map_key=False)
            form, version = body["format"], body["version"]
        except Exception as error:
            raise Corrupt("the findings cannot be read") from error
        if form != FORMAT:
            raise Corrupt("these are no findings")
        if version != VERSION:
            raise Unsupported(f"findings version {version!r}; this release reads {VERSION}")
        try:
            self._found = {(kind, subject, threat): _finding(row) for kind, subject, threat, row in body["findings"]}
        except (KeyError, TypeError, ValueError) as error:
            raise Corrupt(f"the findings are damaged: {error}") from error


def _finding(row: Mapping[str, Any]) -> Finding:
    rules = {name: RuleHits(**{**hits, "technique": tuple(hits["technique"])}) for name, hits in row["rules"].items()}
    return Finding(**{**row, "rules": rules})


def _peaks(frame: Frame, column: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
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
