"""Graph networks beside trees: Tolokers, a temporal cut of Bitcoin-OTC, and one of a simulated run of operations.

Tolokers: the ten fixed splits, as `graph_tolokers` has them; published there (Platonov et al., ICLR 2023): GAT-sep
83.78 AUROC, SAGE 82.43. The part to choose by chooses the weight of the network's log odds beside the trees', by
average precision, and nothing else; the tests say what that added.

Temporal: fitted at a day on the graph of that day, scored on the graph of the end, on those who came later
(inductive). The weight is chosen the same way at an earlier day, on those who came between. Bitcoin-OTC: anchors by
their first rating given; labels are of the whole time, so only graph and accounts are honest about time there; and few
anchors come late. Simulated (`operations-dev-bulk`, not quick): operations of other days with other means; the accounts
of those that were over are the abusive labels, a draw of older accounts the honest ones.

The rule: the network enters the default only where it adds a point of average precision on a temporal split. The
simulated cut decides, where it was run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.compute as pc
from scipy import sparse
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks import graph_otc
from benchmarks.coordination_world import path_of
from benchmarks.graph_protocol import Board
from shoal.coordination.gnn import GnnClassifier
from shoal.coordination.graph import ATTRIBUTES, EntityGraph, GraphBuilder, default_columns, default_relations
from shoal.coordination.nodes import NodeClassifier, NodeGraph
from shoal.errors import MissingExtra
from shoal.events.attributes import extract
from shoal.events.identity import Identity
from shoal.expressions.frame import Layout
from shoal.simulate import read_scenario, simulate

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Figures = dict[str, float | None]
KEYS = ("gnn_tolokers_auroc", "gnn_tolokers_ap", *(f"gnn_added_ap_{one}" for one in ("tolokers", "otc", "operations")))
SHARES = np.linspace(0.0, 1.0, 11)
PUBLISHED = {"gat_sep_tolokers_auroc": 0.8378, "sage_tolokers_auroc": 0.8243}
ENTERS = 0.01
DAYS = ((4.2, 5.4), (5.4, 14.0))
"""Between the three operations of the run: the weight is chosen on the second, the figure is of the third."""
HONEST = 1000


def measure(quick: bool, data: Path) -> tuple[Figures, Figures]:
    """Figures and baselines; quick: one split of Tolokers with small networks, one cut."""
    graphs = data / "graphs"
    try:
        tolokers, alone = _tolokers(graphs / "tolokers.npz", quick, 1 if quick else 10)
        otc, others = _otc(graphs / "bitcoin_otc", quick)
        simulated, more = ({}, {}) if quick else _operations()
    except MissingExtra as error:
        print(f"{error}: the figures of graph networks are null")
        return dict.fromkeys(KEYS), {}
    figures: Figures = dict.fromkeys(KEYS) | tolokers | otc | simulated
    for line in card(figures).values():
        print(line)
    return figures, PUBLISHED | alone | others | more


def card(figures: Figures) -> dict[str, str]:
    """What the network added, in words, by place; and whether that brings it into the default."""
    found, enters = {}, False
    for name, place in (("tolokers", "Tolokers (no cut in time)"), ("otc", "Bitcoin-OTC cut at a date"),
                        ("operations", "simulated operations cut at a day")):  # fmt: skip
        added, low, high = (figures.get(f"gnn_added_ap_{name}{end}") for end in ("", "_low", "_high"))
        if added is None or low is None or high is None:
            found[name] = f"{place}: not measured in this run"
            continue
        found[name] = f"{place}: beside the trees the network added {added:+.4f} AP ({low:+.4f} to {high:+.4f})"
        enters = enters or (name != "tolokers" and added >= ENTERS and low > 0)
    verdict = "yes" if enters else "no"
    found["default"] = f"in the default: {verdict} (it must add {ENTERS:g} AP on a temporal split, beyond chance)"
    return found


def _model(kind: str, seed: int, quick: bool) -> GnnClassifier:
    if quick:
        return GnnClassifier(model=kind, hidden=32, epochs=40, patience=10, folds=2, seed=seed)  # type: ignore[arg-type]
    hidden = 64 if kind == "sage" else 32
    return GnnClassifier(model=kind, hidden=hidden, epochs=100, patience=25, folds=2, seed=seed)  # type: ignore[arg-type]


def _tolokers(path: Path, quick: bool, splits: int) -> tuple[Figures, Figures]:
    if not path.exists():
        print(f"no graph at {path}: the figures of networks on Tolokers are null")
        return {}, {}
    with np.load(path) as stored:
        held = {name: stored[name] for name in stored.files}
    y, edges = held["node_labels"].astype(np.int64), held["edges"]
    matrix = sparse.csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(y), len(y)))
    graph = NodeGraph(held["node_features"].astype(np.float64), {"worked": matrix + matrix.T})
    kinds = ("sage",) if quick else ("sage", "bwgnn")
    names = kinds if quick else (*kinds, "trees", "blend")
    auroc, ap = Board("Tolokers, networks, AUROC", names), Board("Tolokers, networks, AP", names)
    added: list[Floats] = []
    for split in range(splits):
        train, aside, test = (np.flatnonzero(held[f"{one}_masks"][split]) for one in ("train", "val", "test"))
        start, z = time.process_time(), {}
        for kind in kinds:
            z[kind] = _model(kind, split, quick).fit(graph, train, y[train]).decision_function(graph, np.arange(len(y)))
        spent = time.process_time() - start
        if not quick:
            z["trees"] = (
                NodeClassifier(seed=split).fit(graph, train, y[train]).decision_function(graph, np.arange(len(y)))
            )
            share = _share(y[aside], z["trees"][aside], z["sage"][aside])
            z["blend"] = _mixed(z["trees"], z["sage"], share)
            added.append(_draws(y[test], z["trees"][test], z["blend"][test], split))
            print(f"split {split}: weight of the network chosen on the part to choose by: {share:.1f}")
        print(f"split {split}: networks CPU {spent:.1f} s")
        for name in names:
            auroc.add(name, float(roc_auc_score(y[test], z[name][test])))
            ap.add(name, float(average_precision_score(y[test], z[name][test])))
    auroc.show()
    ap.show()
    figures: Figures = {"gnn_tolokers_auroc": auroc.mean("sage"), "gnn_tolokers_ap": ap.mean("sage")}
    if quick:
        return figures, {}
    figures |= {"gnn_bwgnn_tolokers_auroc": auroc.mean("bwgnn"), "gnn_bwgnn_tolokers_ap": ap.mean("bwgnn")}
    figures |= _added("tolokers", ap, added)
    return figures, {"gnn_trees_tolokers_auroc": auroc.mean("trees"), "gnn_trees_tolokers_ap": ap.mean("trees")}


@dataclass(frozen=True)
class Cut:
    """Graphs as of a day and later; who is fitted on (ids), and who came in between."""

    then: NodeGraph
    now: NodeGraph
    train: Ints
    later: Ints


def _cut(
    cuts: list[Cut], y: Ints, trees: NodeClassifier, networks: list[GnnClassifier], boards: tuple[Board, Board], at: int
) -> Floats:
    """Choose the weight at the first cut, score the second; what the blend added, drawn again."""
    scores = []
    for cut, asked in zip(cuts, (networks[:1], networks), strict=True):
        models = {"trees": trees} | {one.model: one for one in asked}
        scores.append({
            name: one.fit(cut.then, cut.train, y[cut.train]).decision_function(cut.now, cut.later)
            for name, one in models.items()
        })  # fmt: skip
    first = networks[0].model
    share = _share(y[cuts[0].later], scores[0]["trees"], scores[0][first])
    z, truth = scores[1], y[cuts[1].later]
    z["blend"] = _mixed(z["trees"], z[first], share)
    print(f"cut {at}: {truth.sum()} of {len(truth)} later ones abusive; weight of the network {share:.1f}")
    for name in boards[0].names:
        boards[0].add(name, float(average_precision_score(truth, z[name])))
        boards[1].add(name, float(roc_auc_score(truth, z[name])))
    return _draws(truth, z["trees"], z["blend"], at)


def _otc(folder: Path, quick: bool) -> tuple[Figures, Figures]:
    if not (folder / "ratings.parquet").exists():
        print(f"no ratings at {folder}: the figure of networks there is null")
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
        cuts = [
            _at(ratings, when, came, nodes, low, high, count)
            for low, high in ((before, cut), (cut, int(when.max()) + 1))
        ]
        trees = NodeClassifier(seed=at, columns="own")
        added.append(_cut(cuts, y, trees, [_model(kind, at, quick) for kind in kinds], (ap, auroc), at))
    ap.show()
    auroc.show()
    figures: Figures = {"gnn_otc_ap": ap.mean("sage"), "gnn_otc_auroc": auroc.mean("sage")}
    figures |= _added("otc", ap, added)
    return figures, {"gnn_trees_otc_ap": ap.mean("trees"), "gnn_trees_otc_auroc": auroc.mean("trees")}


def _at(ratings: pl.DataFrame, when: Ints, came: Ints, nodes: Ints, cut: int, end: int, count: int) -> Cut:
    then, now = (_graph(ratings.filter(pl.Series(when < one)), count) for one in (cut, end))
    return Cut(then, now, nodes[came[nodes] < cut], nodes[(came[nodes] >= cut) & (came[nodes] < end)])


def _graph(ratings: pl.DataFrame, count: int) -> NodeGraph:
    kinds = graph_otc.given(ratings, count)
    names = [name for part, _ in kinds.values() for name in part]
    columns = np.column_stack([one for _, one in kinds.values()])
    return NodeGraph(columns, graph_otc._relations(ratings, count), names=names)


def _operations() -> tuple[Figures, Figures]:
    """Cuts of a simulated run: the graph is read by `of_entities` as of each day."""
    world = simulate(read_scenario(path_of("dev", "bulk")))
    columns, relations, identity = default_columns(), default_relations(), Identity(b"benchmark-key-16")
    builder = GraphBuilder(relations, Layout.of(columns), identity)
    held = {one: (one, kind) for one, kind in columns.items() if one in builder.columns and one in ATTRIBUTES}
    for block in world.blocks():
        table = extract(block, held)
        builder.update(table.select([one for one in table.column_names if one in builder.columns]))
    graph = builder.graph()
    groups = world.groups().filter(pc.equal(world.groups()["kind"], "operation"))
    codes = graph.codes(identity.ids_of(groups["account"].combine_chunks()))
    y = np.zeros(graph.accounts, np.int64)
    y[codes[codes >= 0]] = 1
    came = np.full(graph.accounts, np.iinfo(np.int64).max)
    for edges in graph.relations.values():
        np.minimum.at(came, edges.account, edges.first)
    start, cuts = int(came.min()), []
    for day, until in DAYS:
        low, high = start + int(day * graph_otc.DAY_US), start + int(until * graph_otc.DAY_US)
        then, now = (_by_code(graph, one) for one in (low, high))
        older = np.flatnonzero((came < low) & (y == 0))
        honest = np.random.default_rng(0).choice(older, min(HONEST, len(older)), replace=False)
        train = np.sort(np.concatenate([honest, np.flatnonzero((came < low) & (y == 1))]))
        cuts.append(Cut(then, now, train, np.flatnonzero((came >= low) & (came < high))))
    names = ("sage", "trees", "blend")
    ap, auroc = Board("Simulated operations cut at a day, AP", names), Board("Simulated operations, AUROC", names)
    network = GnnClassifier(hidden=32, epochs=30, patience=10, folds=2, fan_out=8)
    # Compact, and without the line: twelve relations make thousands of columns, more than 90 abusive labels can tell
    # apart, and the line's cost is the cube of their number.
    trees = NodeClassifier(columns="compact", members=("trees", "belief"))
    drawn = _cut(cuts, y, trees, [network], (ap, auroc), 0)
    ap.show()
    auroc.show()
    figures: Figures = {"gnn_operations_ap": ap.mean("sage")}
    figures |= _added("operations", ap, [drawn])
    return figures, {"gnn_trees_operations_ap": ap.mean("trees")}


def _by_code(graph: EntityGraph, until: int) -> NodeGraph:
    """The graph as of a time, its nodes named by their codes."""
    found = NodeGraph.of_entities(graph, until=until)
    return NodeGraph(found.features, found.links, names=found.names)


def _share(y: Ints, trees: Floats, network: Floats) -> float:
    """The network's weight of best average precision, the least of those that tie."""
    return float(SHARES[int(np.argmax([average_precision_score(y, _mixed(trees, network, one)) for one in SHARES]))])


def _mixed(trees: Floats, network: Floats, share: float) -> Floats:
    return (1.0 - share) * trees + share * network


def _draws(y: Ints, trees: Floats, blend: Floats, seed: int, count: int = 300) -> Floats:
    """Average precision gained, on nodes drawn again (bootstrap)."""
    rng = np.random.default_rng(seed)
    found: list[float] = []
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
