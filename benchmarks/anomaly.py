"""Unusual rows on ADBench sets: novelty without a leak, and unsupervised; our default against its parts.

Novelty (clean training): half of the ordinary rows train, the other half and all anomalies test; nothing is upsampled,
so no row stands on both sides. Unsupervised: all rows are fitted on and scored, labels only judge. Sets above `--rows`
rows are cut to a random subset of that size (ADBench's own rule, 10,000), the same for all. Means over seeds per set,
then over sets. Every second set by name was looked at while the default was chosen (`dev`), the others not (`held`).
Streams and rates: `anomaly_stream`; alerts at a budget: `anomaly_das`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import wilcoxon
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks import anomaly_das, anomaly_stream
from shoal.detectors.anomaly import Anomaly, Covariance, Forest, Histogram, NearestNeighbours, Tails
from shoal.detectors.contract import RowDetector

Floats = npt.NDArray[np.float64]
Makers = dict[str, Callable[[int], RowDetector]]
OURS = "shoal"
NOVELTY: Makers = {
    OURS: lambda seed: Anomaly("clean", seed=seed),
    "knn5": lambda _: NearestNeighbours(5),
    "knn5_range": lambda _: NearestNeighbours(5, scaling="range"),
    "iforest": lambda seed: Forest(100, seed=seed),
    "ecod": lambda _: Tails(),
    "mcd": lambda seed: Covariance(seed=seed),
    "hbos": lambda _: Histogram(),
}
UNSUPERVISED: Makers = {
    OURS: lambda seed: Anomaly("mixed", seed=seed),
    "knn5pct": lambda _: NearestNeighbours(0.05),
    "knn5pct_range": lambda _: NearestNeighbours(0.05, scaling="range"),
    "iforest": lambda seed: Forest(100, seed=seed),
    "ecod": lambda _: Tails(),
    "mcd": lambda seed: Covariance(seed=seed),
    "hbos": lambda _: Histogram(),
}
PAIRED = ("iforest", "ecod", "knn", "mcd")


@dataclass
class Protocol:
    """One protocol's results: per detector and set the AUROC and AP of each seed, and the predictions."""

    name: str
    makers: Makers
    results: dict[str, dict[str, list[tuple[float, float]]]] = field(default_factory=dict)
    predictions: list[pa.Table] = field(default_factory=list)
    cpu_s: dict[str, float] = field(default_factory=dict)

    def split(self, x: Floats, y: npt.NDArray[np.int64], seed: int) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Training rows and the indices of the test rows."""
        if self.name == "unsupervised":
            return x, np.arange(len(x))
        usual = np.random.default_rng(seed).permutation(np.flatnonzero(y == 0))
        half = len(usual) // 2
        return x[usual[:half]], np.concatenate([usual[half:], np.flatnonzero(y == 1)])

    def measure(
        self, name: str, x: Floats, y: npt.NDArray[np.int64], seed: int, ids: npt.NDArray[np.int64] | None
    ) -> None:
        """Fit and score every detector on one set and seed; with `ids`, keep the predictions under them."""
        train, test = self.split(x, y, seed)
        labels, columns = y[test], {}
        for key, make in self.makers.items():
            start = time.process_time()
            detector = make(seed).fit(train)
            own = self.name == "unsupervised"
            scores = detector.decision_scores_ if own else detector.decision_function(x[test])
            self.cpu_s[key] = self.cpu_s.get(key, 0.0) + time.process_time() - start
            pair = float(roc_auc_score(labels, scores)), float(average_precision_score(labels, scores))
            self.results.setdefault(key, {}).setdefault(name, []).append(pair)
            columns["score" if key == OURS else key] = scores
        if ids is not None:
            n = len(test)
            head = {"set": [name] * n, "id": ids[test], "split": np.full(n, seed), "label": labels}
            self.predictions.append(pa.table(head | columns))

    def means(self, key: str, sets: list[str]) -> Floats:
        """AUROC and AP of each set [sets, 2], means over seeds."""
        return np.array([np.mean(self.results[key][name], axis=0) for name in sets])

    def show(self, sets: list[str], groups: dict[str, list[str]]) -> None:
        """Print the set table, the means with their spread over seeds, and the paired comparison."""
        keys = list(self.makers)
        print(f"\n## {self.name}: AUROC / AP in points\n")
        print(f"{'set':18}" + "".join(f"{key:>15}" for key in keys))
        for name in sets:
            cells = [100 * np.mean(self.results[key][name], axis=0) for key in keys]
            print(f"{name:18}" + "".join(f"{cell[0]:9.2f}/{cell[1]:5.1f}" for cell in cells))
        for group, members in groups.items():
            cells = [100 * self.means(key, members).mean(axis=0) for key in keys]
            print(f"{f'mean {group} ({len(members)})':18}" + "".join(f"{c[0]:9.2f}/{c[1]:5.2f}" for c in cells))
        spreads = []
        for key in keys:
            runs = np.array([self.results[key][name] for name in sets])
            spreads.append(100 * runs.mean(axis=0).std(axis=0))
        print(f"{'sd over seeds':18}" + "".join(f"{s[0]:9.2f}/{s[1]:5.2f}" for s in spreads))
        print(f"{'CPU seconds':18}" + "".join(f"{self.cpu_s[key]:15.1f}" for key in keys))
        print("\nours against    wins/ties/losses AUROC   Wilcoxon p      wins/ties/losses AP   Wilcoxon p")
        ours = self.means(OURS, sets)
        for key in (key for key in keys if key.startswith(PAIRED)):
            away = ours - self.means(key, sets)
            cells = []
            for column in (0, 1):
                gain = away[:, column]
                tie = np.abs(gain) < 0.001
                won = f"{(gain[~tie] > 0).sum()}/{tie.sum()}/{(gain[~tie] < 0).sum()}"
                cells.append(f"{won:>24} {wilcoxon(gain).pvalue if np.any(gain) else 1.0:12.4g}")
            print(f"{key:15}" + "".join(cells))


def read_set(path: Path, rows: int, seed: int) -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A set, or a random subset of it that holds both classes; last which rows of the file they are."""
    with np.load(path) as stored:
        x, y = stored["X"].astype(np.float64), stored["y"].astype(np.int64)
    if len(x) <= rows:
        return x, y, np.arange(len(x))
    kept = np.random.default_rng(seed).permutation(len(x))[:rows]
    if not y[kept].any():  # 30 anomalies in 95,156 rows
        kept[0] = np.flatnonzero(y == 1)[0]
    return x[kept], y[kept], kept


def figures_of(novelty: Protocol, unsupervised: Protocol, groups: dict[str, list[str]]) -> tuple[dict, dict]:  # type: ignore[type-arg]
    """The JSON's figures and baselines; those of `dev` and `held` sets apart as well."""
    figures: dict[str, float | None] = {}
    baselines: dict[str, float | None] = {}
    for group, sets in groups.items():
        end = "" if group == "all" else f"_{group}"
        figures[f"novelty_auroc{end}"], figures[f"novelty_ap{end}"] = novelty.means(OURS, sets).mean(axis=0)
        figures[f"unsupervised_auroc{end}"], figures[f"unsupervised_ap{end}"] = unsupervised.means(OURS, sets).mean(
            axis=0
        )
        near = np.array([novelty.means(key, sets).mean(axis=0) for key in ("knn5", "knn5_range")]).max(axis=0)
        baselines[f"knn5_auroc{end}"], baselines[f"knn5_ap{end}"] = near
        for protocol in (novelty, unsupervised):
            others = {key: protocol.means(key, sets).mean(axis=0) for key in protocol.makers if key != OURS}
            best = max(others, key=lambda key: float(others[key][0]))
            baselines[f"best_{protocol.name}_auroc{end}"] = others[best][0]
            if not end:
                print(f"best baseline by AUROC, {protocol.name}: {best}")
                for key, value in others.items():
                    baselines[f"{protocol.name}_{key}_auroc"], baselines[f"{protocol.name}_{key}_ap"] = value
    return figures, baselines


def main() -> None:
    """Run and print; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, at most 400 rows a set")
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--dump", default="")
    parser.add_argument("--rows", type=int, default=0, help="most rows of a set (default 10,000; quick 400)")
    parser.add_argument("--seeds", type=int, default=0, help="default 3; quick 1")
    parser.add_argument("--only", choices=("all", "dev", "held"), default="all")
    options = parser.parse_args()
    rows, seeds = options.rows or (400 if options.quick else 10_000), options.seeds or (1 if options.quick else 3)
    figures: dict[str, float | None] = dict.fromkeys(("novelty_auroc", "novelty_ap", "unsupervised_auroc"))
    baselines: dict[str, float | None] = dict.fromkeys(("knn5_auroc", "knn5_ap", "best_unsupervised_auroc"))
    paths = sorted((Path(options.data) / "anomaly" / "adbench").glob("*.npz"), key=lambda path: path.name)
    groups = {"all": paths, "dev": paths[::2], "held": paths[1::2]}
    names = {group: [path.stem for path in groups[group]] for group in groups if options.only in ("all", group)}
    if options.only != "all":
        names = {"all": names[options.only]}
    if not paths:
        print(f"no sets at {options.data}/anomaly/adbench: all figures are null")
    else:
        protocols = Protocol("novelty", NOVELTY), Protocol("unsupervised", UNSUPERVISED)
        for path in groups[options.only]:
            for seed in range(seeds):
                x, y, ids = read_set(path, rows, seed)
                for protocol in protocols:
                    protocol.measure(path.stem, x, y, seed, ids if options.dump else None)
        for protocol in protocols:
            protocol.show(names["all"], names)
            if options.dump:
                Path(options.dump).mkdir(parents=True, exist_ok=True)
                pq.write_table(
                    pa.concat_tables(protocol.predictions), Path(options.dump) / f"anomaly.{protocol.name}.parquet"
                )
        print()
        figures, baselines = figures_of(*protocols, names)
        _goals(figures, baselines)
    for more, others in (
        anomaly_stream.measure(Path(options.data) / "anomaly", options.quick),
        anomaly_das.measure(*anomaly_das.size(options.quick), Path(options.dump) if options.dump else None),
    ):
        figures |= more
        baselines |= others
    rounded = [{k: None if v is None else round(float(v), 5) for k, v in part.items()} for part in (figures, baselines)]
    print(json.dumps({"benchmark": "anomaly", "quick": options.quick, "figures": rounded[0], "baselines": rounded[1]}))


def _goals(figures: dict[str, float | None], baselines: dict[str, float | None]) -> None:
    for key, against, goal in (
        ("novelty_auroc", "knn5_auroc", 0.014),
        ("novelty_ap", "knn5_ap", 0.023),
        ("unsupervised_auroc", "best_unsupervised_auroc", 0.022),
    ):
        ours, theirs = figures[key] or 0.0, baselines[against] or 0.0
        verdict = "met" if ours - theirs >= goal else "MISSED"
        print(f"{key:20} {ours:.4f}  {against:24} {theirs:.4f}  {ours - theirs:+.4f}  goal {goal:+.3f}  {verdict}")


if __name__ == "__main__":
    main()
