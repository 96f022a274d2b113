"""Scenarios with expectations through the whole engine: what was wanted, what was found, whether it holds.

`run_scenario` writes the world into a folder, lets a deployment beside it decide every event like any other source,
and compares with the truth (`review.scoring`, the one place where decisions are scored). The folder is the caller's.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shoal.clock import Clock
from shoal.learn.intervals import Share
from shoal.policy.definitions import Tier
from shoal.runtime.demo import make_world
from shoal.runtime.deployment import find_pack, open_deployment
from shoal.runtime.home import open_home
from shoal.runtime.judge.evidence import Population, population, touches
from shoal.runtime.review.attribution import attribute
from shoal.runtime.review.scoring import DAY_US, AttackScore, Score, Touch, score
from shoal.runtime.run import Progress, read_source
from shoal.runtime.warm import warm
from shoal.simulate import Scenario
from shoal.simulate.scenario import ExpectedAttack
from shoal.storage.journal import Journal


@dataclass(frozen=True)
class Check:
    """One expectation and what became of it. `found` is None where there was nothing to measure."""

    scenario: str
    expectation: str
    wanted: str
    found: float | None
    ok: bool


@dataclass(frozen=True)
class ScenarioResult:
    """What a scenario ended with."""

    scenario: str
    seed: int
    pack: str
    events: int
    seconds: float
    checks: tuple[Check, ...]
    rules: Mapping[str, Share]
    """For each rule that matched: the abusive among the subjects that it matched."""

    @property
    def ok(self) -> bool:
        """Whether every expectation holds."""
        return all(check.ok for check in self.checks)


def run_scenario(
    scenario: Scenario, folder: Path, clock: Clock, progress: Progress, *, pack: str = "file_sharing"
) -> ScenarioResult:
    """Simulate, decide and compare with what the scenario expects. `folder` must be empty or absent."""
    world = folder / "world"
    make_world(scenario, world, progress)
    home = open_home(folder / "shoal", create=True)
    deployment = open_deployment(home, progress.stage)
    begun = time.perf_counter()
    try:
        published = deployment.publish(find_pack(pack), history_complete=False)
        warm(deployment.running, progress.stage)
        begun = time.perf_counter()
        source = world / "events.ndjson"
        read_source(deployment, [source], "native", received=True, clock=clock, progress=progress)
    finally:
        deployment.close()
    seconds = time.perf_counter() - begun
    progress.stage("comparing with the truth")
    labels, truth = pq.read_table(world / "labels.parquet"), pq.read_table(world / "truth.parquet")
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    store = home.open_store(read_only=True)
    try:
        people, felt = population(journal), list(touches(journal, store))
    finally:
        store.close()
        journal.close()
    checks = check_expectations(scenario, labels, truth, felt, people)
    rules = attribute(labels, truth, felt, start_us=scenario.start).rules
    return ScenarioResult(scenario.name, scenario.seed, published.name, people.events, seconds, tuple(checks), rules)


def worth_of_rules(results: Iterable[ScenarioResult]) -> dict[str, tuple[int, Share]]:
    """Over all scenarios, for each rule: in how many it matched, and the abusive among the subjects that it matched."""
    found: dict[str, list[Share]] = {}
    for result in results:
        for rule, share in result.rules.items():
            found.setdefault(rule, []).append(share)
    return {
        rule: (len(shares), Share(sum(s.successes for s in shares), sum(s.total for s in shares)))
        for rule, shares in sorted(found.items())
    }


def check_expectations(
    scenario: Scenario, labels: pa.Table, truth: pa.Table, felt: list[Touch], people: Population
) -> list[Check]:
    """Each single expectation of the scenario against decisions and truth."""
    scores: dict[str, Score] = {}
    warm_up_us = round(scenario.expect.warm_up_days * DAY_US)
    end_us = scenario.start + scenario.days * DAY_US

    def at(tier: str) -> Score:
        if tier not in scores:
            scores[tier] = score(
                labels, truth, felt, accounts=people.accounts, start_us=scenario.start, end_us=end_us,
                warm_up_us=warm_up_us, tier=Tier[tier.upper()],
            )  # fmt: skip
        return scores[tier]

    out: list[Check] = []
    for wanted in scenario.expect.attacks:
        mine = {a.id for a in scenario.adversaries if wanted.attack in ("", a.id) and wanted.kind in ("", a.kind)}
        found = [attack for attack in at(wanted.tier).attacks if attack.attack in mine]
        out += _attack_checks(scenario.name, wanted, found)
    return out + _honest_checks(scenario, at)


def _attack_checks(name: str, wanted: ExpectedAttack, found: list[AttackScore]) -> list[Check]:
    """An attack without a harmful event or subject has nothing to catch: that is a miss, the scenario is at fault."""
    what, out = f"{wanted.attack or wanted.kind} at {wanted.tier}", []
    if wanted.caught_share is not None:
        subjects = sum(attack.subjects for attack in found)
        share = sum(attack.subjects_caught for attack in found) / subjects if subjects else None
        ok = share is not None and share >= wanted.caught_share
        out.append(Check(name, f"{what}: share of subjects caught", f"≥ {wanted.caught_share:g}", share, ok))
    if wanted.within_h is not None:
        delays = [attack.delay_s for attack in found]
        hours = [delay / 3600 for delay in delays if delay is not None]
        late = max(hours) if hours and len(hours) == len(delays) else None
        ok = late is not None and late <= wanted.within_h
        out.append(Check(name, f"{what}: hours to the first decision", f"≤ {wanted.within_h:g}", late, ok))
    if wanted.harmful_before is not None:
        before = max((float(attack.harmful_before) for attack in found), default=None)
        ok = before is not None and before <= wanted.harmful_before
        out.append(Check(name, f"{what}: harmful events before it", f"≤ {wanted.harmful_before:,}", before, ok))
    return out


def _honest_checks(scenario: Scenario, at: object) -> list[Check]:
    assert callable(at)
    honest, name, out = scenario.expect.honest, scenario.name, []
    if honest.touched_per_10k_week is not None:
        rate, most = at(honest.tier).touched_per_10k_week, honest.touched_per_10k_week
        what = f"honest accounts touched at {honest.tier}, per 10,000 and week"
        out.append(Check(name, what, f"≤ {most:g}", rate, rate <= most))
    for wanted in honest.kinds:
        subjects, touched = at(wanted.tier).benign.get(wanted.kind, (0, 0))
        share = touched / subjects if subjects else None
        ok = share is None or share <= wanted.touched_share
        what = f"share of {wanted.kind} touched at {wanted.tier}"
        out.append(Check(name, what, f"≤ {wanted.touched_share:g}", share, ok))
    if honest.nothing_fires:
        fired = at(honest.tier).fired
        out.append(Check(name, f"subjects with a decision at {honest.tier}", "0", float(fired), fired == 0))
    return out


def with_seed(scenario: Scenario, seed: int) -> Scenario:
    """The scenario with another seed; a negative one leaves it as it is."""
    return scenario if seed < 0 else dataclasses.replace(scenario, seed=seed)
