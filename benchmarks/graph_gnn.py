"""Graph networks beside trees: Tolokers, and a temporal cut of Bitcoin-OTC.

Tolokers: the ten fixed splits, as `graph_tolokers` has them; published there (Platonov et al., ICLR 2023): GAT-sep 83.78
AUROC, SAGE 82.43. The part to choose by chooses the weight of the network's log odds beside the trees', by average
precision, and nothing else; the tests say what that added.

Bitcoin-OTC, cut at days of the ratings: fitted on the graph of the ratings given before the day, and the anchors who had
given one by then; scored on the graph of all ratings, the anchors who came later (inductive). The weight is chosen at a
cut before it, on anchors who came between. Its labels are of the whole time, not of the day: what is honest about time
here are graph and accounts, not labels.

The rule: the network enters the default only where it adds a point of average precision on a temporal split.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks import graph_otc
from benchmarks.graph_protocol import Board
from shoal.coordination.gnn import GnnClassifier
from shoal.coordination.nodes import NodeClassifier, NodeGraph
from shoal.errors import MissingExtra

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Figures = dict[str, float | None]
KEYS = ("gnn_tolokers_auroc", "gnn_tolokers_ap", "gnn_added_ap_tolokers", "gnn_added_ap_temporal")
SHARES = np.linspace(0.0, 1.0, 11)
PUBLISHED = {"gat_sep_tolokers_auroc": 0.8378, "sage_tolokers_auroc": 0.8243}
ENTERS = 0.01


def measure(quick: bool, data: Path) -> tuple[Figures, Figures]:
    """Figures and baselines; quick: one split of Tolokers with small networks, one cut."""
    graphs = data / "graphs"
    try:
        tolokers, alone = _tolokers(graphs / "tolokers.npz", quick)
        temporal, trees = _temporal(graphs / "bitcoin_otc", quick)
    except MissingExtra as error:
        print(f"{error}: the figures of graph networks are null")
        return dict.fromkeys(KEYS), {}
    figures: Figures = dict.fromkeys(KEYS) | tolokers | temporal
    for line in card(figures).values():
        print(line)
    return figures, PUBLISHED | alone | trees


def card(figures: Figures) -> dict[str, str]:
    """What the network added, in words, by place."""
    found = {}
    for name, place in (("tolokers", "Tolokers (not temporal)"), ("temporal", "Bitcoin-OTC cut at a date")):
        added, low, high = (figures.get(f"gnn_added_ap_{name}{end}") for end in ("", "_low", "_high"))
        if added is None or low is None or high is None:
            found[name] = f"{place}: not measured"
            continue
        found[name] = f"{place}: beside the trees the network added {added:+.4f} AP ({low:+.4f} to {high:+.4f})"
    added, low = figures.get("gnn_added_ap_temporal"), figures.get("gnn_added_ap_temporal_low")
    enters = added is not None and low is not None and added >= ENTERS and low > 0
    found["default"] = (
        f"in the default: {'yes' if enters else 'no'} (it must add {ENTERS:g} AP on a temporal split, beyond chance)"
    )
    return found


def _model(kind: str, seed: int, quick: bool) -> GnnClassifier:
    if quick:
        return GnnClassifier(model=kind, hidden=32, epochs=40, patience=10, folds=2, seed=seed)  # type: ignore[arg-type]
    return GnnClassifier(model=kind, epochs=150, patience=25, folds=3, seed=seed)  # type: ignore[arg-type]


def _tolokers(path: Path, quick: bool) -> tuple[Figures, Figures]:
    if not path.exists():
        print(f"no graph at {path}: the figures of networks on Tolokers are null")
        return {}, {}
    with np.load(path) as stored:
        held = {name: stored[name] for name in stored.files}
    y, edges = held["node_labels"].astype(np.int64), held["edges"]
    matrix = sparse.csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(y), len(y)))
    graph = NodeGraph(held["node_features"].astype(np.float64), {"worked": matrix + matrix.T})
    kinds = ("sage",) if quick else ("sage", "bwgnn")
    names = (*kinds, "trees", "blend")
    auroc, ap = Board("Tolokers, networks, AUROC", names), Board("Tolokers, networks, AP", names)
    added: list[Floats] = []
    for split in range(1 if quick else 10):
        train, aside, test = (np.flatnonzero(held[f"{one}_masks"][split]) for one in ("train", "val", "test"))
        start, z = time.process_time(), {}
        for kind in kinds:
            z[kind] = _model(kind, split, quick).fit(graph, train, y[train]).decision_function(graph, np.arange(len(y)))
        spent = time.process_time() - start
        trees = NodeClassifier(seed=split, columns="compact") if quick else NodeClassifier(seed=split)
        z["trees"] = trees.fit(graph, train, y[train]).decision_function(graph, np.arange(len(y)))
        share = _share(y[aside], z["trees"][aside], z["sage"][aside])
        z["blend"] = _mixed(z["trees"], z["sage"], share)
        print(
            f"split {split}: networks CPU {spent:.1f} s; weight of the network chosen on the part to choose by: {share:.1f}"
        )
        for name in names:
            auroc.add(name, float(roc_auc_score(y[test], z[name][test])))
            ap.add(name, float(average_precision_score(y[test], z[name][test])))
        added.append(_draws(y[test], z["trees"][test], z["blend"][test], split))
    auroc.show()
    ap.show()
    figures: Figures = {"gnn_tolokers_auroc": auroc.mean("sage"), "gnn_tolokers_ap": ap.mean("sage")}
    if not quick:
        figures |= {"gnn_bwgnn_tolokers_auroc": auroc.mean("bwgnn"), "gnn_bwgnn_tolokers_ap": ap.mean("bwgnn")}
    figures |= _added("tolokers", ap, added)
    return figures, {"gnn_trees_tolokers_auroc": auroc.mean("trees"), "gnn_trees_tolokers_ap": ap.mean("trees")}


def _temporal(folder: Path, quick: bool) -> tuple[Figures, Figures]:
    if not (folder / "ratings.parquet").exists():
        print(f"no ratings at {folder}: the temporal figure of networks is null")
        return {}, {}
    ratings, masks = pl.read_parquet(folder / "ratings.parquet"), pl.read_parquet(folder / "masks.parquet")
    anchors = masks.filter(pl.col("is_anchor") == 1).unique("node").sort("node")
    count = int(max(ratings["source"].max(), ratings["target"].max(), masks["node"].max())) + 1  # type: ignore[arg-type, type-var]
    y = np.zeros(count, np.int64)
    y[anchors["node"].to_numpy()] = anchors["label"].to_numpy()
    when = ratings["time"].cast(pl.Int64).to_numpy()
    came = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(came, ratings["source"].to_numpy().astype(np.int64), when)
    nodes = anchors["node"].to_numpy().astype(np.int64)
    nodes = nodes[came[nodes] < np.iinfo(np.int64).max]
    kinds = ("sage",) if quick else ("sage", "bwgnn")
    ap = Board("Bitcoin-OTC cut at a date, AP of anchors who came later", (*kinds, "trees", "blend"))
    auroc = Board("Bitcoin-OTC cut at a date, AUROC", (*kinds, "trees", "blend"))
    added: list[Floats] = []
    for at, part in enumerate((0.65,) if quick else (0.55, 0.65, 0.75)):
        before, cut = (int(np.quantile(came[nodes], one)) for one in (part * 0.75, part))
        share = _share(*_fitted_at(before, cut, ratings, when, came, nodes, y, ("sage",), at, quick))
        truth, trees, *others = _fitted_at(cut, None, ratings, when, came, nodes, y, kinds, at, quick)
        z = dict(zip(kinds, others, strict=True)) | {"trees": trees, "blend": _mixed(trees, others[0], share)}
        print(f"cut at {part:.0%} of the anchors: {truth.sum()} of {len(truth)} later ones abusive; weight {share:.1f}")
        for name in ap.names:
            ap.add(name, float(average_precision_score(truth, z[name])))
            auroc.add(name, float(roc_auc_score(truth, z[name])))
        added.append(_draws(truth, trees, z["blend"], at))
    ap.show()
    auroc.show()
    figures = {"gnn_temporal_ap": ap.mean("sage"), "gnn_temporal_auroc": auroc.mean("sage")} | _added(
        "temporal", ap, added
    )
    return figures, {"gnn_trees_temporal_ap": ap.mean("trees"), "gnn_trees_temporal_auroc": auroc.mean("trees")}


def _fitted_at(
    cut: int, until: int | None, ratings: pl.DataFrame, when: Ints, came: Ints, nodes: Ints, y: Ints,
    kinds: Iterable[str], seed: int, quick: bool,
) -> tuple[Ints, ...]:  # fmt: skip
    """Truth, and log odds of trees and networks, for the anchors who came in [cut, until): fitted at `cut`."""
    end = np.iinfo(np.int64).max if until is None else until
    then, now = (_graph(ratings.filter(pl.Series(when < one)), len(y)) for one in (cut, end))
    train, test = nodes[came[nodes] < cut], nodes[(came[nodes] >= cut) & (came[nodes] < end)]
    found = [y[test], NodeClassifier(seed=seed, columns="own").fit(then, train, y[train]).decision_function(now, test)]
    for kind in kinds:
        found.append(_model(kind, seed, quick).fit(then, train, y[train]).decision_function(now, test))
    return tuple(found)


def _graph(ratings: pl.DataFrame, count: int) -> NodeGraph:
    kinds = graph_otc.given(ratings, count)
    names = [name for part, _ in kinds.values() for name in part]
    columns = np.column_stack([one for _, one in kinds.values()])
    return NodeGraph(columns, graph_otc._relations(ratings, count), names=names)


def _share(y: Ints, trees: Floats, network: Floats) -> float:
    """The network's weight of best average precision, the least of those that tie."""
    return float(SHARES[int(np.argmax([average_precision_score(y, _mixed(trees, network, one)) for one in SHARES]))])


def _mixed(trees: Floats, network: Floats, share: float) -> Floats:
    return (1.0 - share) * trees + share * network


def _draws(y: Ints, trees: Floats, blend: Floats, seed: int, count: int = 300) -> Floats:
    """Average precision gained, on nodes drawn again (bootstrap)."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < count:
        rows = rng.integers(0, len(y), len(y))
        if 0 < y[rows].sum() < len(rows):
            found.append(average_precision_score(y[rows], blend[rows]) - average_precision_score(y[rows], trees[rows]))
    return np.array(found)


def _added(name: str, ap: Board, draws: list[Floats]) -> Figures:
    """What the blend added, and a 95 % interval: nodes drawn again in every split, the splits' mean."""
    low, high = np.quantile(np.mean(draws, axis=0), (0.025, 0.975))
    key = f"gnn_added_ap_{name}"
    return {key: ap.mean("blend") - ap.mean("trees"), f"{key}_low": float(low), f"{key}_high": float(high)}
