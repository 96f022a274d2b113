"""StarScout: accounts suspected of selling stars, from their 15 counters of events and nothing else.

The labels are circular: one of the two heuristics behind them is low activity, so 62 % of the suspected only ever
starred, as 6 % of the others did; a 0 is an account of a random sample, not one that was looked at. The figure says how
well counters reproduce the heuristics. It is shown apart for accounts that did anything but star.

Ours: shares of events, their entropy, differences of logarithms for each pair of counters, how many accounts have the
very same counters (no label in it), and 20 nearest accounts by their counters as ties for the belief member.
"""

from __future__ import annotations

import time
from pathlib import Path

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import NearestNeighbors

from benchmarks.graph_protocol import Board, Dump
from shoal.coordination.nodes import NodeClassifier, NodeGraph

Floats = npt.NDArray[np.float64]
GOAL, NEIGHBOURS = 0.92, 20


def columns(counts: Floats, star: int) -> tuple[list[str], Floats]:
    """What is made of the counters [n, 15] of an account; nothing here reads a label."""
    total, width = counts.sum(axis=1), counts.shape[1]
    share, logs = counts / np.maximum(total, 1)[:, None], np.log1p(counts)
    entropy = -(share * np.log(share + 1e-12)).sum(axis=1)
    _, place, same = np.unique(counts, axis=0, return_inverse=True, return_counts=True)
    pairs = [(i, j) for i in range(width) for j in range(i)]
    rest = np.maximum(total - counts[:, star], 0.5)
    more = [
        total,
        entropy,
        (counts > 0).sum(axis=1),
        counts.max(axis=1),
        counts[:, star] / rest,
        np.log(same[place.ravel()]),
    ]
    names = [f"count{i}" for i in range(width)] + [f"share{i}" for i in range(width)]
    names += ["total", "entropy", "kinds", "most", "stars_to_rest", "same_counters"] + [
        f"log{i}-log{j}" for i, j in pairs
    ]
    return names, np.column_stack([counts, share, *more, *(logs[:, i] - logs[:, j] for i, j in pairs)])


def measure(quick: bool, data: Path, dump: Dump) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Figures and baselines of five folds (quick: the first of them)."""
    path = data / "graphs" / "starscout_accounts.parquet"
    if not path.exists():
        print(f"no accounts at {path}: starscout_auc is null")
        return {"starscout_auc": None}, {"starscout_counters_auc": None}
    started = time.process_time()
    table = pl.read_parquet(path)
    kinds = [name for name in table.columns if name not in ("account", "label")]
    counts, y = table.select(kinds).to_numpy().astype(np.float64), table["label"].to_numpy().astype(np.int64)
    names, x = columns(counts, kinds.index("WatchEvent"))
    logs = np.log1p(counts)
    near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(logs).kneighbors_graph(logs)
    graph = NodeGraph(x, {"alike": sparse.csr_matrix(((near + near.T) > 0).astype(np.float64))}, names=names)
    auc, precision = (Board(f"StarScout, {what} of five folds", ("ours", "trees")) for what in ("AUROC", "AUPRC"))
    active = Board("StarScout, AUROC among accounts that did anything but star", ("ours", "trees"))
    busy = counts.sum(axis=1) > counts[:, kinds.index("WatchEvent")]
    for at, (train, test) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(x, y)):
        if quick and at > 0:
            break
        model = NodeClassifier(seed=at, columns="own", members=("trees", "belief"), calibration="sigmoid")
        scores = {
            "ours": model.fit(graph, train, y[train]).decision_function(graph, test),
            "trees": _trees(counts[train], y[train], counts[test], at),
        }
        rows = busy[test]
        for name, score in scores.items():
            auc.add(name, float(roc_auc_score(y[test], score)))
            precision.add(name, float(average_precision_score(y[test], score)))
            active.add(name, float(roc_auc_score(y[test][rows], score[rows])))
        dump.add("starscout", test, at, y[test], scores)
    for board in (auc, precision, active):
        board.show()
    print("mind the labels: low activity is one of the two heuristics that made them, and a 0 is random, not checked")
    print(f"CPU {time.process_time() - started:.1f} s; goal {GOAL}: {'met' if auc.mean('ours') >= GOAL else 'MISSED'}")
    figures: dict[str, float | None] = {
        "starscout_auc": auc.mean("ours"), "starscout_ap": precision.mean("ours"),
        "starscout_active_auc": active.mean("ours"),
    }  # fmt: skip
    return figures, {
        "starscout_counters_auc": auc.mean("trees"), "starscout_counters_ap": precision.mean("trees"),
        "starscout_active_counters_auc": active.mean("trees"),
    }  # fmt: skip


def _trees(x: Floats, y: npt.NDArray[np.int64], wanted: Floats, seed: int) -> Floats:
    """The baseline: boosted trees on the counters as they are."""
    settings = {"objective": "binary", "learning_rate": 0.03, "num_leaves": 15, "bagging_fraction": 0.7,
                "bagging_freq": 1, "feature_fraction": 0.5, "lambda_l2": 5.0, "num_threads": 1, "verbosity": -1,
                "seed": seed}  # fmt: skip
    return np.asarray(lgb.train(settings, lgb.Dataset(x, y), 300).predict(wanted), dtype=np.float64)
