"""The demo: a simulated world through the whole engine, and an honest account of what was caught.

Rules alone decide the first days; then detectors are fitted on what the journal holds and on the labels that were
known by then, published into the journal, and decide with the rules from there on. The only place beside `cli` that
knows the simulator. The world is written once into the demo's folder and kept; the run goes on where an earlier one
stopped, like any other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shoal.clock import Clock
from shoal.coordination.campaigns.campaign import Campaign
from shoal.detectors.models.model import Model
from shoal.learn.evaluation.card import Card
from shoal.learn.intervals import Share
from shoal.policy.findings import Ranked
from shoal.reports.campaign import write_campaign
from shoal.reports.demo import Added, Group, Learning, write_demo
from shoal.runtime.commit import Totals
from shoal.runtime.coordination.job import run as run_campaigns
from shoal.runtime.coordination.judged import Judged, judge
from shoal.runtime.coordination.published import newest
from shoal.runtime.coordination.story import read_pages
from shoal.runtime.deployment import Deployment, find_pack, open_deployment
from shoal.runtime.home import Home, open_home
from shoal.runtime.judge.evidence import Population, population, touches
from shoal.runtime.learning.first_days import FirstDays, cut_events, label_lines, learn_from, read_back
from shoal.runtime.learning.gain import Alone, Gain, gains, rules_alone
from shoal.runtime.learning.publish import publish_model
from shoal.runtime.review.attribution import attribute
from shoal.runtime.review.demopage import demo_page
from shoal.runtime.review.scoring import DAY_US, Score, Touch, score
from shoal.runtime.run import Progress, Read, read_source
from shoal.runtime.warm import warm
from shoal.simulate import Scenario, simulate, write_world
from shoal.storage.journal import Journal
from shoal.storage.store import DecisionRow

WORLD_MARK, LEARNED_MARK = "world.json", "learned.json"
CAMPAIGN_PAGES = 3
"""Campaigns of the demo that get a page of their own."""


@dataclass(frozen=True)
class Learned:
    """What learning added in the days from `from_us` on: by detector and kind, with the cards of the models; `touched`
    honest accounts per 10,000 and week in those days by rules alone, and with models."""

    from_us: int
    gains: list[Gain]
    cards: Mapping[str, Card]
    touched_alone: float
    touched: float


@dataclass(frozen=True)
class DemoResult:
    """What the demo ends with. `tiers` counts all decided events by tier (this run's and earlier ones'); `learned` is
    None where nothing was fitted."""

    read: Read
    totals: Totals
    tiers: dict[int, int]
    events: int
    seconds: float
    days: float
    score: Score
    worst: list[Ranked]
    notes: list[str]
    world: dict[str, object]
    page: Path
    learned: Learned | None = None
    campaigns: Sequence[Judged] = ()


@dataclass
class _Run:
    """One run of the demo, stage by stage."""

    scenario: Scenario
    folder: Path
    home: Home
    clock: Clock
    progress: Progress
    pack: str
    seconds: float = 0.0
    records: int = 0
    costs: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)

    def read(self, deployment: Deployment, source: Path) -> Read:
        """Read one file to its end."""
        start = time.perf_counter()
        read = read_source(deployment, [source], "native", received=True, clock=self.clock, progress=self.progress)
        self.seconds += time.perf_counter() - start
        self.records += read.now
        return read

    def opened(self) -> Deployment:
        """The deployment with the pack in force, its kernels compiled."""
        deployment = open_deployment(self.home, self.progress.stage)
        try:
            deployment.publish(find_pack(self.pack), history_complete=False)
            warm(deployment.running, self.progress.stage)
        except BaseException:
            deployment.close()
            raise
        return deployment

    def close(self, deployment: Deployment) -> None:
        """Close it and keep what it counted."""
        deployment.close()
        for name, cost in deployment.costs.items():
            self.costs[name] = self.costs.get(name, 0.0) + cost
        mine, theirs = self.totals, deployment.committer.totals
        mine.events, mine.actions, mine.open = mine.events + theirs.events, mine.actions + theirs.actions, theirs.open
        mine.tiers.update(theirs.tiers)
        mine.counts.update(theirs.counts)
        self.notes += deployment.notes


def make_world(scenario: Scenario, folder: Path, progress: Progress) -> dict[str, object]:
    """Write the world unless the folder holds it already; returns its manifest."""
    mark = folder / WORLD_MARK
    if not mark.exists():
        progress.stage(f"simulating {scenario.name}")
        write_world(simulate(scenario), folder, progress=lambda share: progress.moved(round(share * 1000), 1000))
    manifest: dict[str, object] = json.loads(mark.read_text(encoding="utf-8"))
    return manifest


def run_demo(
    scenario: Scenario,
    folder: Path,
    clock: Clock,
    progress: Progress,
    *,
    pack: str = "file_sharing",
    learn_days: float | None = None,
) -> DemoResult:
    """Simulate, decide, learn and score. The deployment lies in `folder/shoal`, the world in `folder/world`, models in
    `folder/models`. `learn_days`: how many days are learned from; None: four sevenths of them, 0: rules alone."""
    world = folder / "world"
    manifest = make_world(scenario, world, progress)
    run = _Run(scenario, folder, open_home(folder / "shoal", create=True), clock, progress, pack)
    days = scenario.days * 4 / 7 if learn_days is None else learn_days
    until = scenario.start + round(days * DAY_US)
    last = world / "events.ndjson"
    first_days: FirstDays | None = None
    if days > 0:
        first, last = world / "first.ndjson", world / "rest.ndjson"
        cut_events(world / "events.ndjson", until, first, last)
        first_days = _first_half(run, first, until)
    deployment = run.opened()
    try:
        for name, files in (first_days.models if first_days else {}).items():
            publish_model(deployment, name, files)
        _campaigns(run, deployment, only_first=True)
        read = run.read(deployment, last)
        found = _campaigns(run, deployment, only_first=not read.now)
        progress.stage("writing a snapshot")
        deployment.rest()
        worst = deployment.findings(10, per_threat=2).shown
        rules = {rule.id: rule.title for rule in deployment.running.pack.rules}
    finally:
        run.close(deployment)
    return _judged(run, read, worst, rules, manifest, first_days, until, found)


def _first_half(run: _Run, first: Path, until_us: int) -> FirstDays:
    """Rules alone decide the first days; then detectors are fitted on them, unless an earlier run did."""
    world = run.folder / "world"
    mark = run.folder / "models" / LEARNED_MARK
    if not mark.exists():
        deployment = run.opened()
        try:
            run.read(deployment, first)
            lines = world / "labels.ndjson"
            lines.write_bytes(label_lines(pq.read_table(world / "labels.parquet").to_pylist(), until_us))
            run.read(deployment, lines)
            position = deployment.journal.next_seq
            deployment.snapshot(position)
            snapshots = deployment.history.snapshots
            snapshots.pin(next(saved for saved in snapshots.engines() if saved.position == position))
        finally:
            run.close(deployment)
        found = learn_from(run.home, run.folder / "models", until_us, run.progress)
        run.notes += found.notes
        mark.parent.mkdir(exist_ok=True)
        mark.write_text(json.dumps({"position": position, "models": sorted(found.models)}), encoding="utf-8")
    told = json.loads(mark.read_text(encoding="utf-8"))
    return read_back(run.folder / "models", told["models"], told["position"])


def _judged(
    run: _Run,
    read: Read,
    worst: list[Ranked],
    rules: Mapping[str, str],
    manifest: dict[str, object],
    first_days: FirstDays | None,
    until_us: int,
    campaigns: Sequence[Campaign],
) -> DemoResult:
    progress, folder, home = run.progress, run.folder, run.home
    progress.stage("comparing with the truth")
    world = folder / "world"
    labels, truth = pq.read_table(world / "labels.parquet"), pq.read_table(world / "truth.parquet")
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    store = home.open_store(read_only=True)
    try:
        people = population(journal)
        first, last, events = people.first_us, people.last_us, people.events
        decided = list(touches(journal, store))
        found = score(labels, truth, decided, accounts=people.accounts, start_us=first, end_us=last)
        dead = store.read_dead_counts()
        tiers = _tiers([touch.row for touch in decided], events)
    finally:
        store.close()
        journal.close()
    learned = None
    if first_days is not None and first_days.models:
        progress.stage("deciding the rest again without models")
        attacks = {row["event_id"] for row in truth.to_pylist() if row["harmful"] and row["attack"]}
        alone = rules_alone(home, first_days.position, attacks, progress.moved)
        learned = _learned(first_days, alone, labels, truth, decided, people, until_us)
    groups = judge(campaigns, labels, home.identity)
    page = demo_page(
        run.scenario.title or run.scenario.name,
        found,
        attribute(labels, truth, decided, start_us=first),
        worst,
        rules,
        accounts=len(people.accounts),
        events=events,
        records=run.records,
        seconds=run.seconds,
        first_us=first,
        last_us=last,
        tiers=tiers,
        stages=run.costs,
        dead=dead,
        learning=None if learned is None else _shown(learned),
        groups=_groups(run, groups),
    )
    progress.stage("drawing the report")
    path = write_demo(folder / "report.html", page)
    days = (last - first) / DAY_US
    read = replace(read, now=run.records)
    return DemoResult(
        read, run.totals, tiers, events, run.seconds, days, found, worst, run.notes, manifest, path, learned, groups
    )


def _campaigns(run: _Run, deployment: Deployment, *, only_first: bool) -> Sequence[Campaign]:
    """Look for accounts that act as one, and publish them; with `only_first` not where some were published before."""
    known = newest(run.home, deployment.journal)
    if only_first and known is not None:
        return known.campaigns
    return run_campaigns(deployment, stage=run.progress.stage, moved=run.progress.moved).campaigns


def _groups(run: _Run, found: Sequence[Judged]) -> list[Group]:
    """Campaigns as the report shows them; the first few get a page of their own."""
    run.progress.stage("drawing campaigns")
    folder = run.folder / "campaigns"
    folder.mkdir(exist_ok=True)
    drawn = [one.campaign for one in found[:CAMPAIGN_PAGES]]
    _, pages = read_pages(run.home, drawn) if drawn else (None, [])
    files = {page.id: write_campaign(folder / f"{page.id}.html", page).name for page in pages}
    shown = []
    for one in found:
        page = f"campaigns/{files[one.campaign.id]}" if one.campaign.id in files else ""
        why = one.campaign.evidence[0] if one.campaign.evidence else ""
        shown.append(
            Group(
                one.campaign.id, one.campaign.score, Share(one.harmful, one.campaign.size), one.attack,
                Share(one.mine, one.of), one.campaign.expected_innocents, why, page,
            )
        )  # fmt: skip
    return shown


def _shown(learned: Learned) -> Learning:
    rows = [
        Added(
            one.detector,
            one.kind,
            Share(one.rules, one.subjects),
            Share(one.detector_alone, one.subjects),
            Share(one.both, one.subjects),
            one.honest,
            one.honest_both,
        )
        for one in learned.gains
    ]
    evaluations = {name: card.evaluation for name, card in learned.cards.items()}
    return Learning(learned.from_us, rows, evaluations, learned.touched_alone, learned.touched)


def _learned(
    first_days: FirstDays,
    alone: Alone,
    labels: pa.Table,
    truth: pa.Table,
    decided: Sequence[Touch],
    people: Population,
    until_us: int,
) -> Learned:
    models = {name: Model.read(files, name) for name, files in first_days.models.items()}
    also = {"account_takeover": ("data_theft",), "phishing": ("malware",)}
    found = gains(alone, models, labels.to_pylist(), decided, from_us=until_us, also=also)

    def honest(listed: Sequence[Touch]) -> float:
        late = [touch for touch in listed if touch.row.as_of >= until_us]
        told = score(labels, truth, late, accounts=people.accounts, start_us=until_us, end_us=people.last_us,
                     warm_up_us=0)  # fmt: skip
        return told.touched_per_10k_week

    return Learned(until_us, found, first_days.cards, honest(alone.touches), honest(decided))


def _tiers(rows: Sequence[DecisionRow], events: int) -> dict[int, int]:
    """Events by their highest tier."""
    if not rows:
        return {0: events}
    table = pa.table({"seq": [row.seq for row in rows], "tier": [row.tier for row in rows]})
    highest = table.group_by("seq").aggregate([("tier", "max")]).column("tier_max").to_numpy()
    values, counts = np.unique(highest, return_counts=True)
    tiers = {int(value): int(count) for value, count in zip(values, counts, strict=True)}
    return {0: events - sum(tiers.values()), **tiers}
