"""Fitted detectors on a made-up service whose truth is known: is the score a probability, is the budget kept, does the
correction for unreported abuse help?

Each seed draws a service, fits on it with the labels that were known by then, and judges on another service of the same
kind by the truth, never by labels. `budget_kept` is the share of seeds in which the true honest rate at a level is
within its budget, where that promise was asked for (`assured`); the baseline puts the threshold at the plain quantile.
Beside the refits, one model's scores of many accounts are drawn again as calibration sets, for more draws than there
are refits. `label_share_error` and the `pu_` figures are of services where four in ten hijacked accounts are reported.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.metrics import average_precision_score

from benchmarks.learn_world import World, make_world
from shoal.learn.evaluation.baselines import Baselines
from shoal.learn.evaluation.rates import PER, Cells, cells_of
from shoal.learn.fitting.calibrate import apply, points_of
from shoal.learn.fitting.fit import Fitted, fit
from shoal.learn.fitting.levels import honest_threshold
from shoal.learn.fitting.settings import FitSettings

Floats = npt.NDArray[np.float64]
BUDGETS = {"watch": 100.0, "challenge": 40.0}
MADE_AT = "2026-03-01T00:00:00Z"
GOALS = {"budget_kept": 0.95, "resampled_budget_kept": 0.95}


def fitted_on(world: World, **more: object) -> Fitted:
    settings = FitSettings(**more)  # type: ignore[arg-type]
    return fit(world.frame, world.labels, until_us=world.end_us, made_at=MADE_AT, settings=settings)


def excess(probability: Floats, truth: Floats) -> float:
    """Mean log loss above that of the truth itself, in thousandths of a nat a row."""
    p, q = np.clip(probability, 1e-9, 1 - 1e-9), np.clip(truth, 1e-12, 1 - 1e-12)
    return float(1000 * (q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))).mean())


def honest_cells(world: World, raw: Floats) -> Cells:
    frame = world.frame
    return cells_of(raw, frame.weight, frame.subjects, frame.time, ~world.abusive)


class Figures:
    """Figures by name, one a seed."""

    def __init__(self) -> None:
        self.found: dict[str, list[float]] = defaultdict(list)

    def add(self, name: str, value: float) -> None:
        self.found[name].append(value)

    def mean(self, name: str) -> float:
        return float(np.mean(self.found[name]))

    def show(self, names: list[str]) -> None:
        for name in names:
            values = self.found[name]
            print(f"{name:34}{np.mean(values):12.5f}{np.std(values):12.5f}   {len(values)} draws")


def judge(seed: int, accounts: int, fresh: World, figures: Figures, rows: list[pa.Table]) -> Fitted:
    """One refit, judged by the truth on fresh accounts beside its baselines."""
    world = make_world(seed, accounts=accounts, budgets=BUDGETS)
    start = time.process_time()
    found = fitted_on(world, assured=True)
    figures.add("fit_rows_per_cpu_s", len(world.frame) / (time.process_time() - start))
    raw = found.model.raw(fresh.frame.x)
    score, truth = found.model.score(raw), fresh.probability
    held = found.split["calibrate"]
    positive = found.targets.positive[held.rows]
    part = found.split["fit"]
    baselines = Baselines.fit(
        world.frame.x[part.rows], found.targets.positive[part.rows], part.weight, world.frame.definition.inputs
    )
    others = baselines.scores(fresh.frame.x)
    single, linear = others.values()
    linear_held = list(baselines.scores(world.frame.x[held.rows]).values())[1]
    weight = held.weight / held.weight.mean()
    points = points_of("sigmoid", linear_held, positive, weight, world.frame.groups[held.rows])
    figures.add("calibration_error", float(np.abs(score - truth).mean()))
    figures.add("log_loss_excess", excess(score, truth))
    figures.add("raw_sigmoid_log_loss_excess", excess(1 / (1 + np.exp(-raw)), truth))
    figures.add("logistic_log_loss_excess", excess(apply(points, linear), truth))
    figures.add("constant_log_loss_excess", excess(np.full(len(truth), truth.mean()), truth))
    figures.add("average_precision", float(average_precision_score(fresh.abusive, raw)))
    figures.add("bayes_average_precision", float(average_precision_score(fresh.abusive, truth)))
    figures.add("logistic_average_precision", float(average_precision_score(fresh.abusive, linear)))
    figures.add("best_input_average_precision", float(average_precision_score(fresh.abusive, single)))
    cells = honest_cells(fresh, raw)
    own = found.split.honest
    honest = cells_of(
        found.model.raw(world.frame.x[own.rows]),
        own.weight,
        world.frame.subjects[own.rows],
        world.frame.time[own.rows],
        ~found.targets.positive[own.rows],
    )
    for level in found.metadata.levels:
        figures.add("budget_kept", float((cells.rate(level.threshold).value or 0.0) <= level.budget))
        figures.add("budget_used", (cells.rate(level.threshold).value or 0.0) / level.budget)
        quantile = float(np.quantile(honest.value, 1 - level.budget / PER / honest.factor))
        figures.add("plain_quantile_budget_kept", float((cells.rate(quantile).value or 0.0) <= level.budget))
    number, label = np.arange(len(score)), fresh.abusive.astype(np.int8)
    columns = {"id": number, "split": np.full(len(score), seed), "label": label, "score": score}
    rows.append(pa.table(columns | {"truth": truth, "logistic": linear, "best_input": single}))
    return found


def resampled(found: Fitted, fresh: World, accounts: int, draws: int, figures: Figures) -> None:
    """One model: the threshold from accounts drawn out of many, the rate among all of them."""
    raw = found.model.raw(fresh.frame.x)
    whole = honest_cells(fresh, raw)
    names = np.unique(whole.subject)
    chance = np.random.default_rng(0)
    for _ in range(draws):
        drawn = np.isin(whole.subject, chance.choice(names, accounts, replace=False))
        part = Cells(whole.value[drawn], whole.weight[drawn], whole.subject[drawn], whole.factor)
        for budget in BUDGETS.values():
            threshold = honest_threshold(part, budget, raw).threshold
            figures.add("resampled_budget_kept", float((whole.rate(threshold).value or 0.0) <= budget))
            quantile = float(np.quantile(part.value, 1 - budget / PER / part.factor))
            figures.add("resampled_quantile_budget_kept", float((whole.rate(quantile).value or 0.0) <= budget))


def unreported(seed: int, accounts: int, figures: Figures) -> None:
    """Four in ten are ever reported: scores against the truth without and with the correction."""
    world = make_world(seed, accounts=accounts, hijacked=0.12, reported=0.4)
    fresh = make_world(seed + 5000, accounts=accounts, hijacked=0.12, prefix="f")
    for name, more in (
        ("pu_plain", {}),
        ("pu_corrected", {"unlabelled": "weighted"}),
        ("pu_told", {"unlabelled": "weighted", "label_share": 0.4}),
    ):
        found = fitted_on(world, trials=3, **more)
        raw = found.model.raw(fresh.frame.x)
        figures.add(f"{name}_log_loss_excess", excess(found.model.score(raw), fresh.probability))
        figures.add(f"{name}_average_precision", float(average_precision_score(fresh.abusive, raw)))
        if name == "pu_corrected":
            share = float(found.metadata.protocol["label_share"])
            figures.add("label_share_error", abs(share - 0.4))


def main() -> None:
    """Run and print; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few seeds, small services")
    parser.add_argument("--data", default="", help="not used: the data are made up")
    parser.add_argument("--dump", default="")
    parser.add_argument("--seeds", type=int, default=0, help="default 30; quick 5")
    options = parser.parse_args()
    seeds = options.seeds or (5 if options.quick else 30)
    accounts, many = (3000, 10_000) if options.quick else (4000, 20_000)
    figures, rows = Figures(), list[pa.Table]()
    fresh = make_world(9_999, accounts=many, prefix="fresh")
    found = [judge(seed, accounts, fresh, figures, rows) for seed in range(seeds)]
    resampled(found[0], fresh, 1500 if options.quick else 2500, 80 if options.quick else 200, figures)
    for seed in range(2 if options.quick else 10):
        unreported(seed, accounts, figures)
    print(f"{'figure':34}{'mean':>12}{'sd':>12}   (log loss above the truth's in thousandths)")
    figures.show(list(figures.found))
    for name, goal in GOALS.items():
        value = figures.mean(name)
        print(f"{name:34}{value:12.3f}   goal ≥ {goal}: {'met' if value >= goal else 'MISSED'}")
    gain = figures.mean("pu_plain_log_loss_excess") - figures.mean("pu_corrected_log_loss_excess")
    print(f"{'pu_log_loss_gain':34}{gain:12.3f}   goal > 0: {'met' if gain > 0 else 'MISSED'}")
    if options.dump:
        Path(options.dump).mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.concat_tables(rows), Path(options.dump) / "learn.takeover.parquet")
    against = (
        "raw_sigmoid_log_loss_excess", "logistic_log_loss_excess", "constant_log_loss_excess",
        "bayes_average_precision", "logistic_average_precision", "best_input_average_precision",
        "plain_quantile_budget_kept", "resampled_quantile_budget_kept", "pu_plain_log_loss_excess",
        "pu_plain_average_precision",
    )  # fmt: skip
    means = {name: round(figures.mean(name), 5) for name in figures.found}
    ours = {name: value for name, value in means.items() if name not in against} | {"pu_log_loss_gain": round(gain, 5)}
    baselines = {name: means[name] for name in against}
    print(json.dumps({"benchmark": "learn", "quick": options.quick, "figures": ours, "baselines": baselines}))


if __name__ == "__main__":
    main()
