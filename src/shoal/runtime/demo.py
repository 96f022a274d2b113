"""The demo: a simulated world through the whole engine, and an honest account of what was caught.

The only place beside `cli` that knows the simulator. The world is written once into the demo's folder and kept; the
run goes on where an earlier one stopped, like any other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shoal.clock import Clock
from shoal.policy.findings import Ranked
from shoal.reports.demo import write_demo
from shoal.runtime.commit import Totals
from shoal.runtime.deployment import find_pack, open_deployment
from shoal.runtime.home import open_home
from shoal.runtime.judge.evidence import population, touches
from shoal.runtime.review.attribution import attribute
from shoal.runtime.review.demopage import demo_page
from shoal.runtime.review.scoring import DAY_US, Score, score
from shoal.runtime.run import Progress, Read, read_source
from shoal.runtime.warm import warm
from shoal.simulate import Scenario, simulate, write_world
from shoal.storage.journal import Journal
from shoal.storage.store import DecisionRow

WORLD_MARK = "world.json"


@dataclass(frozen=True)
class DemoResult:
    """What the demo ends with. `tiers` counts all decided events by tier (this run's and earlier ones')."""

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


def make_world(scenario: Scenario, folder: Path, progress: Progress) -> dict[str, object]:
    """Write the world unless the folder holds it already; returns its manifest."""
    mark = folder / WORLD_MARK
    if not mark.exists():
        progress.stage(f"simulating {scenario.name}")
        write_world(simulate(scenario), folder, progress=lambda share: progress.moved(round(share * 1000), 1000))
    manifest: dict[str, object] = json.loads(mark.read_text(encoding="utf-8"))
    return manifest


def run_demo(
    scenario: Scenario, folder: Path, clock: Clock, progress: Progress, *, pack: str = "file_sharing"
) -> DemoResult:
    """Simulate, decide and score. The deployment lies in `folder/shoal`, the world in `folder/world`."""
    world = folder / "world"
    manifest = make_world(scenario, world, progress)
    home = open_home(folder / "shoal", create=True)
    deployment = open_deployment(home, progress.stage)
    try:
        deployment.publish(find_pack(pack), history_complete=False)
        warm(deployment.running, progress.stage)
        start = time.perf_counter()
        source = world / "events.ndjson"
        read = read_source(deployment, [source], "native", received=True, clock=clock, progress=progress)
        seconds = time.perf_counter() - start
        progress.stage("writing a snapshot")
        deployment.rest()
        worst = deployment.findings(10, per_threat=2).shown
        rules = {rule.id: rule.title for rule in deployment.running.pack.rules}
    finally:
        deployment.close()
    progress.stage("comparing with the truth")
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
    page = demo_page(
        scenario.title or scenario.name,
        found,
        attribute(labels, truth, decided, start_us=first),
        worst,
        rules,
        accounts=len(people.accounts),
        events=events,
        records=read.now,
        seconds=seconds,
        first_us=first,
        last_us=last,
        tiers=tiers,
        stages=deployment.costs,
        dead=dead,
    )
    progress.stage("drawing the report")
    path = write_demo(folder / "report.html", page)
    totals = deployment.committer.totals
    days = (last - first) / DAY_US
    return DemoResult(read, totals, tiers, events, seconds, days, found, worst, deployment.notes, manifest, path)


def _tiers(rows: Sequence[DecisionRow], events: int) -> dict[int, int]:
    """Events by their highest tier."""
    if not rows:
        return {0: events}
    table = pa.table({"seq": [row.seq for row in rows], "tier": [row.tier for row in rows]})
    highest = table.group_by("seq").aggregate([("tier", "max")]).column("tier_max").to_numpy()
    values, counts = np.unique(highest, return_counts=True)
    tiers = {int(value): int(count) for value, count in zip(values, counts, strict=True)}
    return {0: events - sum(tiers.values()), **tiers}
