"""Streams: unusual rows (ADBench sets as streams in seeded order, NAB), and rates of a simulated service.

Rows: each is scored before it is learned; AUROC over the rows behind the first 256 (or a third of a small set), means
over sets. river's half-space trees run on the same streams where river is importable (25 trees of height 8, windows of
250, behind its min-max scaler), else their figures are null. `dev` sets (every second) were looked at while the forest
was made. NAB: its own standard score on the 29 series given (`anomaly_nab`). Rates: `scenarios/rates.yaml` by seed;
a false alarm is one that starts in no attack, outage or press day, nor within the 12 hours behind one.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.metrics import roc_auc_score

from benchmarks.anomaly_nab import DETECTORS, nab_score, read_series
from shoal.detectors.anomaly.rates import RateAlarm, count_buckets, watch_rates
from shoal.detectors.anomaly.streaming import RandomCutForest
from shoal.simulate import simulate
from shoal.simulate.scenario import read_scenario

Floats = npt.NDArray[np.float64]
Figures = dict[str, float | None]
SCENARIO = Path(__file__).parent / "scenarios" / "rates.yaml"
DAY = 86_400_000_000
MEASURES = {
    "logins": ("login.succeeded",), "failures": ("login.failed",), "sign-ups": ("account.created",),
    "downloads": ("file.downloaded", "link.downloaded"),
}  # fmt: skip
SEGMENTS = ("country", "network_kind", "client", "asn")


def speed(rows: int) -> float:
    """Events per CPU-second, scored and learned, 8 columns, default settings, batches of 4,096."""
    x = np.random.default_rng(0).normal(size=(rows, 8))
    RandomCutForest(8).score_then_learn(x[:600])
    forest = RandomCutForest(8)
    start = time.process_time()
    for at in range(0, rows, 4096):
        forest.score_then_learn(x[at : at + 4096])
    return rows / (time.process_time() - start)


def half_space(x: Floats, seed: int) -> tuple[Floats, float]:
    """river's scores of a stream, and its CPU seconds."""
    anomaly, scaling = import_module("river.anomaly"), import_module("river.preprocessing").MinMaxScaler()
    trees: Any = anomaly.HalfSpaceTrees(n_trees=25, height=8, window_size=250, seed=seed)
    out = np.zeros(len(x))
    rows = [dict(enumerate(row)) for row in x.tolist()]
    start = time.process_time()
    for i, row in enumerate(rows):
        scaling.learn_one(row)
        scaled = scaling.transform_one(row)
        out[i] = trees.score_one(scaled)
        trees.learn_one(scaled)
    return out, time.process_time() - start


def stream_auroc(folder: Path, rows: int, seeds: int) -> tuple[Figures, Figures]:
    """AUROC of the sets as streams: ours and river's, in all and of the sets that were not looked at."""
    paths = sorted(folder.glob("*.npz"), key=lambda path: path.name)
    with_river = find_spec("river") is not None
    ours, theirs, seconds, count = [], [], 0.0, 0
    print(f"\n## streams: AUROC in points, at most {rows} rows, {seeds} seed(s)\n")
    for path in paths:
        with np.load(path) as stored:
            x, y = stored["X"].astype(np.float64), stored["y"].astype(np.int64)
        mine, other = [], []
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(x))[:rows]
            warm = min(256, len(order) // 3)
            labels = y[order][warm:]
            if not 0 < labels.sum() < len(labels):
                continue
            forest = RandomCutForest(x.shape[1], warm_up=warm, seed=seed)
            mine.append(roc_auc_score(labels, forest.score_then_learn(x[order])[warm:]))
            if with_river:
                scores, cpu = half_space(x[order], seed)
                other.append(roc_auc_score(labels, scores[warm:]))
                seconds, count = seconds + cpu, count + len(order)
        ours.append(float(np.mean(mine)) if mine else np.nan)
        theirs.append(float(np.mean(other)) if other else np.nan)
        print(f"{path.stem:18}{100 * ours[-1]:9.2f}{100 * theirs[-1]:9.2f}")
    figures: Figures = {"stream_auroc": float(np.nanmean(ours)), "stream_auroc_held": float(np.nanmean(ours[1::2]))}
    baselines: Figures = dict.fromkeys(("river_auroc", "river_auroc_held", "river_events_per_cpu_s"))
    if with_river:
        baselines = {
            "river_auroc": float(np.nanmean(theirs)), "river_auroc_held": float(np.nanmean(theirs[1::2])),
            "river_events_per_cpu_s": count / seconds,
        }  # fmt: skip
    else:
        print("river is not installed: its figures are null")
    print(f"mean {100 * (figures['stream_auroc'] or 0):.2f}, held {100 * (figures['stream_auroc_held'] or 0):.2f}")
    return figures, baselines


def nab(folder: Path, only: Iterable[str] = tuple(DETECTORS)) -> dict[str, float]:
    """The standard score of each detector on the series given."""
    series = read_series(folder)
    out = {}
    windows = sum(len(one.windows) for one in series)
    print(f"\n## NAB: standard score, best single threshold, {len(series)} series, {windows} windows\n")
    for name in only:
        detect: Callable[..., Floats] = DETECTORS[name]
        scores = [detect(one) for one in series]
        out[name], threshold = nab_score(series, scores)
        held = nab_score(series[1::2], scores[1::2])[0]
        print(
            f"{name:30}{out[name]:7.1f}   every second series (not looked at): {held:5.1f}   threshold {threshold:.5g}"
        )
    print(
        "published, over all 58 series (not comparable): ARTime 74.9, HTM 70.5, random cut forest 51.7, Gaussian 39.6"
    )
    return out


def rates_world(seed: int, accounts: int) -> tuple[dict[str, list[RateAlarm]], list[tuple[str, float, float, str]]]:
    """Alarms of each measure, and what happened: name, first and last day, the measure that should tell it."""
    scenario = read_scenario(SCENARIO)
    scenario = dataclasses.replace(scenario, population=dataclasses.replace(scenario.population, accounts=accounts))
    kept = []
    for part in simulate(scenario, seed=seed).parts():
        table = pl.from_arrow(part.events.select(["time", "type", "actor", "ip", *SEGMENTS]))
        assert isinstance(table, pl.DataFrame)
        kept.append(table.filter(pl.col("type").is_in([name for names in MEASURES.values() for name in names])))
    events = pl.concat(kept).with_columns(pl.col("asn").cast(pl.String))
    alarms = {}
    for measure, types in MEASURES.items():
        some = events.filter(pl.col("type").is_in(types))
        columns = {name: some[name].to_list() for name in SEGMENTS}
        who = some.select(pl.coalesce("actor", "ip").hash(seed=0).reinterpret(signed=True)).to_series().to_numpy()
        once = who if measure == "downloads" else None  # how many download, not how much one does
        # measured in days from the start, so that the first bucket is the first hour of the world
        alarms[measure] = [
            dataclasses.replace(alarm, start=alarm.start - scenario.start)
            for alarm in watch_rates(count_buckets(some["time"].to_numpy(), columns, least=200, once=once))
        ]
    happened = [(one.id, one.start_day, one.start_day + one.days, "failures") for one in scenario.adversaries]
    for one in scenario.calendar:
        measure = "sign-ups" if one.kind == "press" else "logins"
        happened.append((f"{one.kind}-{one.day:g}", one.day, one.day + one.days, measure))
    return alarms, happened


def rates(seeds: Iterable[int], accounts: int) -> Figures:
    """Found waves and outages, hours until they are, and false alarms a month over all four measures."""
    print(f"\n## rates: {accounts:,} accounts, 4 measures by {', '.join(SEGMENTS)}\n")
    false, months = 0, 0.0
    found: dict[str, list[float | None]] = {}
    for seed in seeds:
        alarms, happened = rates_world(seed, accounts)
        months += (49 - 14) / 30
        for name, first, last, measure in happened:
            hits = [a for a in alarms[measure] if first - 1 / 24 <= a.start / DAY <= last + 0.1]
            found.setdefault(name, []).append(24 * max(hits[0].start / DAY - first, 0.0) + 1 if hits else None)
            if hits and seed == min(seeds):
                print(f"{name}: {measure} {hits[0].text}")
        for measure, raised in alarms.items():
            for alarm in raised:
                if not any(first - 1 / 24 <= alarm.start / DAY <= last + 0.5 for _, first, last, _ in happened):
                    false += 1
                    print(f"  false, day {alarm.start / DAY:.2f}: {measure} {alarm.text}")
    for name, hours in found.items():
        told = [hour for hour in hours if hour is not None]
        print(f"{name:20} {len(told)}/{len(hours)} found, hours at most: {max(told, default=float('nan')):.0f}")
    every = [hour for name, hours in found.items() if name not in ("wave-200", "wave-100") for hour in hours]
    figures: Figures = {
        "rates_found": sum(hour is not None for hour in every) / len(every), "rates_false_a_month": false / months,
    }  # fmt: skip
    print(f"waves of 400 and more, outages, press: {figures['rates_found']:.2f} found; false alarms a month, four "
          f"measures together: {figures['rates_false_a_month']:.2f} (accepted: 4)")  # fmt: skip
    return figures


def measure(data: Path, quick: bool) -> tuple[Figures, Figures]:
    """All parts; figures and baselines of the JSON."""
    figures: Figures = {"stream_events_per_cpu_s": speed(30_000 if quick else 400_000)}
    print(f"\nstream_events_per_cpu_s {figures['stream_events_per_cpu_s']:,.0f}  goal 100,000")
    baselines: Figures = {}
    if (data / "adbench").is_dir():
        more, others = stream_auroc(data / "adbench", 400 if quick else 10_000, 1 if quick else 3)
        figures, baselines = figures | more, baselines | others
    else:
        keys = ("stream_auroc", "stream_auroc_held")
        figures |= dict.fromkeys(keys)
        print("no ADBench sets: the figures of streams are null")
    names = ("random cut forest",) if quick else tuple(DETECTORS)
    scores = nab(data, names) if (data / "nab.parquet").is_file() else {}
    figures["nab_standard"] = scores.get("random cut forest")
    baselines["nab_windowed_gaussian"] = scores.get("windowed gaussian")
    return figures | rates((1,) if quick else (101, 102, 103), 1500 if quick else 8000), baselines


def main() -> None:
    """Only this part of the anomaly benchmark."""
    print(measure(Path("../shared/data/anomaly"), False))


if __name__ == "__main__":
    main()
