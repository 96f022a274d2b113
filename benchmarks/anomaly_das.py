"""Alerts for few eyes: injected insiders and lateral movement in a service of 100,000 accounts, at a budget a day.

Each seed makes another world of `scenarios/alerts.yaml` (six quiet days, then ten with twelve attacks), written before
any detector was tried on it; seeds below 100 were looked at while directions were chosen, reports use those from 106
(101 to 105 were looked at before views were weighed by their size).
An attack is found by an alert about one of its accounts, on the day on which it begins or later. The same views, keys,
quiet time and budget serve the directed score, an isolation forest and the mean distance to 5 neighbours, the latter
two fitted on the quiet days; only the order of events within a view is theirs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from scipy.stats import beta

from shoal.detectors.anomaly.alerts import Alert, AlertBudget, View
from shoal.detectors.anomaly.alerts.rows import COLUMNS, DAY, ENTITIES, Log, rows_of
from shoal.detectors.anomaly.forest import Forest
from shoal.detectors.anomaly.neighbours import NearestNeighbours
from shoal.packs.load import load_pack
from shoal.runtime.judge.alerts import spend
from shoal.simulate import simulate
from shoal.simulate.scenario import read_scenario

SCENARIO = Path(__file__).parent / "scenarios" / "alerts.yaml"
LEARN_DAYS, REPORT_SEEDS = 6, 106
PER_DAY = (5, 10, 20, 40, 80, 160, 320)
KINDS = ("insider_exfiltration", "lateral_movement")
DECLARED = load_pack("file_sharing").views
VIEWS = tuple(one.view({}) for one in DECLARED)
"""The views of the pack that ships, as `shoal alerts` has them."""


@dataclass(frozen=True)
class World:
    """One seed's log and its attacks: id → (kind, first day, accounts)."""

    log: Log
    attacks: dict[str, tuple[str, int, frozenset[str]]]
    days: int


def make_world(accounts: int, seed: int) -> World:
    """Simulate and keep the columns that the views read."""
    scenario = read_scenario(SCENARIO)
    scenario = dataclasses.replace(scenario, population=dataclasses.replace(scenario.population, accounts=accounts))
    world = simulate(scenario, seed=seed)
    parts, facts = [], []
    for part in world.parts():
        table = pl.from_arrow(part.events.select([name for name in COLUMNS if name in part.events.column_names]))
        assert isinstance(table, pl.DataFrame)
        parts.append(
            table.with_columns(
                pl.col("type").cast(pl.Categorical), *(_code(name) for name in table.columns if name in ENTITIES)
            )
        )
        facts.append(part.facts)
    events = pl.concat(parts, how="diagonal").with_columns(((pl.col("time") - scenario.start) // DAY).alias("day"))
    known = pl.from_arrow(pa.concat_tables(facts))
    assert isinstance(known, pl.DataFrame)
    created = known.filter(pl.col("subject_type") == "account", pl.col("name") == "created").select(
        pl.col("subject").alias("account"), pl.col("value").cast(pl.Int64).alias("created")
    )
    created = created.with_columns(_code("account"))
    labels = pl.from_arrow(world.labels())
    assert isinstance(labels, pl.DataFrame)
    attacks = {}
    labels = labels.with_columns(_code("subject"))
    mine = labels.filter(pl.col("kind").is_in(KINDS), pl.col("subject_type") == "account")
    for (attack, kind), some in mine.group_by("attack", "kind"):
        begun = (int(some["start"].min()) - scenario.start) // DAY  # type: ignore[arg-type]
        attacks[str(attack)] = str(kind), begun, frozenset(some["subject"].cast(pl.String).to_list())
    return World(Log(events, created.unique("account")), attacks, scenario.days)


def _code(name: str) -> pl.Expr:
    """A text as a 64-bit number: a tenth of the memory."""
    return pl.when(pl.col(name).is_not_null()).then(pl.col(name).hash(seed=0)).alias(name)


def alerts_of(rows: dict[str, pl.DataFrame], views: Iterable[View], days: int, per_day: float) -> list[Alert]:
    """All alerts of a world, day after day."""
    return spend(AlertBudget(tuple(views), per_day=per_day, learn_days=LEARN_DAYS), rows, range(days))


def view_rows(log: Log) -> dict[str, pl.DataFrame]:
    """The rows of each view, its directions in their order."""
    return {one.id: rows_of(log, one.rows).select("day", "key", "account", *one.columns) for one in DECLARED}


def found_in(world: World, alerts: list[Alert]) -> set[str]:
    """The attacks that an alert is about."""
    told = [(alert.day, subject) for alert in alerts for subject in (alert.subject, *(s for _, s in alert.further))]
    return {
        attack
        for attack, (_, begun, accounts) in world.attacks.items()
        if any(day >= begun and subject in accounts for day, subject in told)
    }


def by_distance(rows: dict[str, pl.DataFrame], name: str, seed: int) -> dict[str, pl.DataFrame]:
    """The same rows with one direction: the score of a detector that was fitted on the quiet days."""
    out = {}
    for view in VIEWS:
        table = rows[view.name]
        x = table.select(list(view.directions)).to_numpy()
        quiet = x[table["day"].to_numpy() < LEARN_DAYS]
        if len(quiet):  # a recipient whose age is unknown is an ordinary one
            middle = np.nanmedian(quiet, axis=0)
            x, quiet = np.where(np.isnan(x), middle, x), np.where(np.isnan(quiet), middle, quiet)
        if len(quiet) < 20:
            score = np.zeros(len(x))
        else:
            chosen = quiet[np.random.default_rng(seed).permutation(len(quiet))[:20_000]]
            detector = Forest(100, seed=seed) if name == "iforest" else NearestNeighbours(5)
            score = detector.fit(chosen).decision_function(x)
        out[view.name] = table.select("day", "key", "account", pl.Series("score", score))
    return out


def _predictions(world: World, alerts: list[Alert], seed: int) -> pl.DataFrame:
    """Every alert, its score and whether it is about an attack (`label`)."""
    every = frozenset().union(*(accounts for _, _, accounts in world.attacks.values()))
    told = [{a.subject, *(name for _, name in a.further)} for a in alerts]
    return pl.DataFrame({
        "id": [f"{a.day}/{a.view}/{a.subject}" for a in alerts], "split": [seed] * len(alerts),
        "label": [int(bool(names & every)) for names in told], "score": [a.below / max(a.events, 1) for a in alerts],
        "evidence": [a.evidence for a in alerts],
    })  # fmt: skip


def interval(hits: int, tries: int) -> tuple[float, float]:
    """Clopper-Pearson, 95 %."""
    low = float(beta.ppf(0.025, hits, tries - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, tries - hits)) if hits < tries else 1.0
    return low, high


@dataclass
class Tally:
    """Found and all attacks, alerts and days with a budget, and alerts that are about an attack, over seeds."""

    found: int = 0
    attacks: int = 0
    alerts: int = 0
    days: int = 0
    right: int = 0

    def count(self, world: World, alerts: list[Alert]) -> set[str]:
        hits = found_in(world, alerts)
        every = frozenset().union(*(accounts for _, _, accounts in world.attacks.values()))
        self.found, self.attacks = self.found + len(hits), self.attacks + len(world.attacks)
        self.alerts, self.days = self.alerts + len(alerts), self.days + world.days - LEARN_DAYS
        self.right += sum(bool({a.subject, *(s for _, s in a.further)} & every) for a in alerts)
        return hits

    @property
    def recall(self) -> float:
        return self.found / max(self.attacks, 1)


def size(quick: bool) -> tuple[int, list[int]]:
    """Accounts and seeds of a run; a quick one is another, smaller service, on which a budget of 5 says little."""
    return (3_000, [REPORT_SEEDS]) if quick else (100_000, list(range(REPORT_SEEDS, REPORT_SEEDS + 5)))


def measure(
    accounts: int, seeds: Iterable[int], dump: Path | None = None
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Run the worlds, print the tables; figures and baselines of the JSON."""
    single = tuple(View(view.name, {"score": 1}) for view in VIEWS)
    ours, others = Tally(), {(name, n): Tally() for name in ("iforest", "knn") for n in PER_DAY}
    missed: list[str] = []
    predictions: list[pl.DataFrame] = []
    kinds = {kind: [0, 0] for kind in KINDS}
    cpu = time.process_time()
    for seed in seeds:
        world = make_world(accounts, seed)
        rows = view_rows(world.log)
        made = alerts_of(rows, VIEWS, world.days, 5)
        hits = ours.count(world, made)
        if dump is not None:
            predictions.append(_predictions(world, made, seed))
        for attack, (kind, _, _) in sorted(world.attacks.items()):
            kinds[kind][0] += attack in hits
            kinds[kind][1] += 1
            missed += [] if attack in hits else [f"{seed}:{attack}"]
        for name in ("iforest", "knn"):
            scored = by_distance(rows, name, seed)
            for n in PER_DAY:
                others[name, n].count(world, alerts_of(scored, single, world.days, n))
        told = ", ".join(f"{name} at {n} {tally.found}" for (name, n), tally in others.items() if n in (5, 40))
        print(f"up to seed {seed}: directed {ours.found} of {ours.attacks}, {told}", flush=True)
    if dump is not None:
        dump.mkdir(parents=True, exist_ok=True)
        pl.concat(predictions).write_parquet(dump / "anomaly.alerts.parquet")
    low, high = interval(ours.found, ours.attacks)
    print(f"\n## alerts: {accounts:,} accounts, {ours.days} days with a budget, {ours.attacks} attacks\n")
    print("order             alerts/day   found      95 %          alerts about an attack")
    for name, tally in [("directed", ours), *((f"{name} at {n}", t) for (name, n), t in others.items())]:
        least, most = interval(tally.found, tally.attacks)
        per_day = tally.alerts / max(tally.days, 1)
        share = f"{tally.found:3}/{tally.attacks:<3} = {tally.recall:.3f} [{least:.3f}, {most:.3f}]"
        print(f"{name:18}{per_day:8.2f}   {share}   {tally.right}/{tally.alerts}")
    print("by kind:", ", ".join(f"{kind} {hit}/{every}" for kind, (hit, every) in kinds.items()))
    print("missed:", ", ".join(missed) or "none", f"; {time.process_time() - cpu:.0f} CPU seconds")
    figures: dict[str, float | None] = {
        "das_recall_at_5_per_day": ours.recall, "das_recall_low": low, "das_recall_high": high,
        "das_alerts_per_day": ours.alerts / max(ours.days, 1), "das_attacks": float(ours.attacks),
        "das_accounts": float(accounts),
        **{f"das_recall_{kind}": hit / max(every, 1) for kind, (hit, every) in kinds.items()},
    }  # fmt: skip
    baselines: dict[str, float | None] = {}
    for name in ("iforest", "knn"):
        baselines[f"{name}_recall_at_5_per_day"] = others[name, 5].recall
        enough = [n for n in PER_DAY if others[name, n].recall >= ours.recall]
        baselines[f"{name}_alerts_per_day_at_equal_recall"] = float(enough[0]) if enough else None
    return figures, baselines


def main() -> None:
    """Only this part of the anomaly benchmark; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=size(False)[1])
    options = parser.parse_args()
    print(json.dumps(measure(options.accounts, options.seeds)))


if __name__ == "__main__":
    main()
