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
from shoal.policy.policy import PolicyEngine
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
        count = len(self._rules.rules)
        fired = unpack_bits(hits.rules[shown], count)
        peaks = {
            rule: _peaks(frame, self._rules.reasons[rule].peak, hits.row[shown]).tolist()
            for rule in np.flatnonzero(fired.any(axis=1)).tolist()
        }
        told: dict[tuple[int, int], tuple[RuleHits, int]] = {}  # (rule, finding) → the hit at its peak in this batch
        homes = self._add(decisions, shown, fired, peaks, told)
        self._tell(frame, hits.row, told)
        outbox = decisions.outbox
        for hit, action in zip(outbox.hit.tolist(), outbox.action.tolist(), strict=True):
            if hit in homes:
                name = self._engine.actions[action]
                homes[hit].actions[name] = homes[hit].actions.get(name, 0) + 1

    def _add(
        self,
        decisions: Decisions,
        shown: npt.NDArray[np.intp],
        fired: npt.NDArray[np.bool_],
        peaks: Mapping[int, list[float]],
        told: dict[tuple[int, int], tuple[RuleHits, int]],
    ) -> dict[int, Finding]:
        """Walk the hits in order; notes in `told` which reasons have a new peak; returns hit → finding."""
        hits = decisions.hits
        parts = (hits.kind, hits.subject, hits.threat, hits.as_of, hits.seq, hits.tier, hits.severity, hits.suppressed)
        places, rules = np.nonzero(fired.T)
        ends = np.searchsorted(places, np.arange(1, len(shown) + 1)).tolist()
        listed, start, homes = rules.tolist(), 0, {}
        for place, (hit, kind, subject, threat, as_of, seq, tier, severity, suppressed) in enumerate(
            zip(shown.tolist(), *(part[shown].tolist() for part in parts), strict=True)
        ):
            finding = self._finding_of(kind, subject, threat, hits.text[hit], as_of)
            homes[hit] = finding
            finding.tier, finding.severity = max(finding.tier, tier), max(finding.severity, severity)
            finding.last = as_of
            finding.count += 1
            finding.suppressed += suppressed >= 0
            for rule in listed[start : ends[place]]:
                known = self._rule_of(finding, rule, as_of, seq)
                known.count += 1
                known.last = as_of
                peak = peaks[rule][place]
                if known.peak_seq < 0 or peak > known.peak:
                    known.peak, known.peak_seq = peak, seq
                    told[rule, id(known)] = (known, hit)
            start = ends[place]
        return homes

    def _finding_of(self, kind: int, subject: int, threat: int, text: str, as_of: int) -> Finding:
        names = self._engine.kinds[kind], self._engine.threats[threat]
        key = (names[0], subject, names[1])
        finding = self._found.get(key)
        if finding is None:
            role = self._engine.policy.threats[names[1]].role
            finding = self._found[key] = Finding(names[0], text, names[1], role, first=as_of)
        return finding

    def _rule_of(self, finding: Finding, rule: int, as_of: int, seq: int) -> RuleHits:
        spec = self._rules.rules[rule]
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
                first=as_of,
                first_seq=seq,
            )
        return known

    def _tell(
        self, frame: Frame, rows: npt.NDArray[np.int64], told: Mapping[tuple[int, int], tuple[RuleHits, int]]
    ) -> None:
        """Render the reasons that have a new peak, a rule at a time."""
        by_rule: dict[int, list[tuple[RuleHits, int]]] = {}
        for (rule, _), peak in told.items():
            by_rule.setdefault(rule, []).append(peak)
        for rule, found in by_rule.items():
            texts = self._rules.render_rows(rule, frame, rows[np.array([hit for _, hit in found], dtype=np.int64)])
            for (known, _), text in zip(found, texts, strict=True):
                known.reason = text

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
