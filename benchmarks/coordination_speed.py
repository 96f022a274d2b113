"""Speed of the algorithms behind campaigns: components, communities, dense blocks, bursts; cost against size.

Everything is process CPU time of one thread, the best of the rounds that the table states, on graphs made from a seed
outside the time. Baselines in the same run: SciPy's connected components, igraph's components and Leiden, leidenalg.
igraph and leidenalg are GPL and no part of Shoal: where they are not installed their figures are null. Runnable as
`python -m benchmarks.coordination_speed [--quick]`; `measure` gives the same to another benchmark.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module, util
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from sklearn.metrics import normalized_mutual_info_score

from shoal.coordination.structure import (
    communities,
    components,
    dense_blocks,
    numbered,
    peel_kernel,
    potts_quality,
    propagated,
)
from shoal.detectors.bursts import EdgeBursts

Ints = npt.NDArray[np.int64]
Table = dict[str, "float | None"]
GOALS = {
    "unionfind_10m_s": "≤ 0.2", "unionfind_100m_s": "≤ 6", "communities_10m_s": "≤ 40", "communities_nmi": "≥ 0.999",
    "peel_edges_per_s": "≥ 1.4 M", "stream_edges_per_cpu_s": "≥ 20 M",
    "quality_over_igraph": "≥ 0.999", "quality_seeded_over_igraph": "≥ 0.999",
}  # fmt: skip
MINUTE = 60_000_000
SIZE, INSIDE, RESOLUTION = 50, 0.75, 0.05
"""Planted communities: members of each, share of edges within them, and the resolution asked for."""


def cpu_s(work: Callable[[], Any], rounds: int = 1) -> tuple[float, Any]:
    """The least CPU time of the rounds, and what the last one gave."""
    least, given = math.inf, None
    for _ in range(rounds):
        given = None  # what the round before gave is let go outside the time
        begun = time.process_time()
        given = work()
        least = min(least, time.process_time() - begun)
    return least, given


def peak_mb() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def random_edges(nodes: int, edges: int, seed: int = 0) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Both ends of edges drawn evenly."""
    chance = np.random.default_rng(seed)
    return chance.integers(0, nodes, edges, np.int32), chance.integers(0, nodes, edges, np.int32)


def planted(nodes: int, edges: int, seed: int = 0) -> tuple[Ints, Ints, Ints]:
    """Edges of planted communities, codes shuffled, and the truth."""
    chance = np.random.default_rng(seed)
    within = int(edges * INSIDE)
    group = chance.integers(0, nodes // SIZE, within) * SIZE
    ends = [
        np.concatenate([group + chance.integers(0, SIZE, within), chance.integers(0, nodes, edges - within)])
        for _ in range(2)
    ]
    code = chance.permutation(nodes)
    truth = np.empty(nodes, np.int64)
    truth[code] = np.arange(nodes) // SIZE
    return code[ends[0]], code[ends[1]], truth


def bipartite(edges: int, seed: int = 0) -> tuple[int, int, Ints, Ints, npt.NDArray[np.float64]]:
    """Accounts, entities of which few are popular, edges, scores; a ring of 500 accounts on 100 rare entities."""
    chance = np.random.default_rng(seed)
    accounts, entities = edges // 10, edges // 20
    account, entity = chance.integers(0, accounts, edges), (chance.random(edges) ** 3 * entities).astype(np.int64)
    account[-20_000:], entity[-20_000:] = (
        chance.integers(0, 500, 20_000),
        entities - 1 - chance.integers(0, 100, 20_000),
    )
    scores = np.clip(chance.normal(0.2, 0.1, accounts), 0, 1)
    scores[:500] = np.clip(chance.normal(0.6, 0.1, 500), 0, 1)
    return accounts, entities, account, entity, scores


def installed(name: str) -> Any:
    """A comparator's module, or None with a line that says so."""
    if util.find_spec(name) is None:
        print(f"{name} is not installed: its figures are null")
        return None
    return import_module(name)


def of_unionfind(quick: bool, figures: Table, baselines: Table, igraph: Any) -> None:
    """10 M edges among a million accounts, and SciPy and igraph on the same."""
    left, right = random_edges(1_000_000, 10_000_000)
    components(10, left[:5] % 10, right[:5] % 10)
    figures["unionfind_10m_s"], found = cpu_s(lambda: components(1_000_000, left, right), 3)

    def scipy_way() -> Any:
        ones = np.ones(len(left), np.int8)
        return connected_components(coo_matrix((ones, (left, right)), shape=(1_000_000,) * 2), directed=False)

    baselines["scipy_10m_s"], _ = cpu_s(scipy_way, 1 if quick else 2)
    sparse = random_edges(1_000_000, 600_000, 1)
    ones = np.ones(len(sparse[0]), np.int8)
    expected = connected_components(coo_matrix((ones, sparse), shape=(1_000_000,) * 2), directed=False)
    mine, count = numbered(components(1_000_000, *sparse))
    if len(np.unique(mine * np.int64(expected[0]) + expected[1])) != count or count != expected[0]:
        raise SystemExit("the components are not those of SciPy")
    print(f"{count:,} components of 600,000 edges, the same as SciPy's; one of 10 M edges: {not found.any()}")
    baselines["igraph_components_10m_s"] = None
    if igraph is not None and not quick:
        graph = igraph.Graph(n=1_000_000, edges=np.column_stack([left, right]))
        baselines["igraph_components_10m_s"], _ = cpu_s(graph.connected_components)


def of_communities(nodes: int, edges: int, igraph: Any, leidenalg: Any) -> dict[str, float | None]:
    """Leiden, label propagation and the comparators on planted communities; seconds, NMI and quality of each."""
    left, right, truth = planted(nodes, edges)
    out: dict[str, float | None] = {}

    def note(name: str, spent: float, labels: Any) -> None:
        labels = np.asarray(labels, np.int64)
        out[f"{name}_s"] = spent
        out[f"{name}_nmi"] = float(normalized_mutual_info_score(truth, labels))
        out[f"{name}_quality"] = potts_quality(labels, left, right, resolution=RESOLUTION)

    spent, found = cpu_s(lambda: communities(nodes, left, right, resolution=RESOLUTION))
    note("communities", spent, found.labels)
    spent, found = cpu_s(lambda: propagated(nodes, left, right))
    note("propagation", spent, found.labels)
    for name in ("igraph", "leidenalg"):
        out |= {f"{name}_s": None, f"{name}_nmi": None, f"{name}_quality": None}
    if igraph is not None:
        built, graph = cpu_s(lambda: igraph.Graph(n=nodes, edges=np.column_stack([left, right])))
        options = {"objective_function": "CPM", "resolution": RESOLUTION, "n_iterations": 2}
        spent, found = cpu_s(lambda: graph.community_leiden(**options))
        note("igraph", built + spent, found.membership)
        if leidenalg is not None and edges <= 1_000_000:
            kind = leidenalg.CPMVertexPartition
            spent, found = cpu_s(lambda: leidenalg.find_partition(graph, kind, resolution_parameter=RESOLUTION, seed=1))
            note("leidenalg", built + spent, found.membership)
    return out


def structureless(kind: str, seed: int) -> tuple[int, Ints, Ints, npt.NDArray[np.float64]]:
    """5,000 nodes and up to 30,000 weighted edges: drawn evenly, by a power law, or between neighbours on a plane."""
    chance = np.random.default_rng(seed)
    nodes, edges = 5_000, 30_000
    if kind == "plane":
        near = cKDTree(chance.random((nodes, 2)))
        left, right = np.repeat(np.arange(nodes), 6), near.query(near.data, 7)[1][:, 1:].ravel()
    else:
        odds = np.arange(1, nodes + 1) ** (-0.7 if kind == "power law" else 0.0)
        left, right = chance.choice(nodes, (2, edges), p=odds / odds.sum())
    pairs = np.unique(np.minimum(left, right) * nodes + np.maximum(left, right))
    left, right = pairs // nodes, pairs % nodes
    apart = left != right
    return nodes, left[apart], right[apart], chance.random(int(apart.sum())) + 0.5


def of_quality(figures: Table, igraph: Any) -> None:
    """Quality beside igraph's default of two rounds, on graphs without planted structure; means of five each."""
    heads = [f"{name:>18}" for name in ("by code", "seeded", "igraph, 2 rounds", "igraph, to the end")]
    print(f"\n{'quality, 5,000 nodes':22} {' '.join(heads)}")
    figures |= {"quality_over_igraph": None, "quality_seeded_over_igraph": None}
    ratios, seeded = [], []
    for kind in ("even", "power law", "plane"):
        found = []
        for seed in range(5):
            nodes, left, right, weight = structureless(kind, seed)
            options: dict[str, Any] = {"weight": weight, "resolution": RESOLUTION}
            tries = [communities(nodes, left, right, **options, seed=one, rounds=20).quality for one in (None, seed)]
            if igraph is not None:
                graph = igraph.Graph(n=nodes, edges=np.column_stack([left, right]))
                for rounds in (2, -1):
                    part = graph.community_leiden("CPM", weights=weight, resolution=RESOLUTION, n_iterations=rounds)
                    tries.append(potts_quality(np.array(part.membership), left, right, **options))
            found.append([float(one or 0.0) for one in tries])
        means = np.mean(found, axis=0)
        shown = [f"{one:,.1f}" for one in means] + ["-"] * (4 - len(means))
        print(f"{kind:22} {shown[0]:>18} {shown[1]:>18} {shown[2]:>18} {shown[3]:>18}")
        if igraph is not None:
            ratios.append(float(means[0] / means[2]))
            seeded.append(float(means[1] / means[2]))
    if ratios:
        figures |= {"quality_over_igraph": min(ratios), "quality_seeded_over_igraph": min(seeded)}


def of_peeling(edges: int, figures: Table) -> None:
    """One block of a bipartite graph without pruning: the whole call, and the peeling alone."""
    accounts, entities, account, entity, scores = bipartite(edges)
    inner: list[float] = []
    kernel = peel_kernel.peel

    def timed(*given: Any) -> Any:
        spent, out = cpu_s(lambda: kernel(*given))
        inner.append(spent)
        return out

    setattr(peel_kernel, "peel", timed)  # noqa: B010 - a compiled function gives way for a while
    try:
        spent, (block,) = cpu_s(lambda: dense_blocks(accounts, entities, account, entity, scores, least=0.0), 2)
        pruned, _ = cpu_s(lambda: dense_blocks(accounts, entities, account, entity, scores, least=0.4), 2)
    finally:
        setattr(peel_kernel, "peel", kernel)  # noqa: B010
    figures["peel_edges_per_s"] = edges / spent
    figures["peel_alone_edges_per_s"] = edges / min(inner[:2])
    figures["peel_pruned_edges_per_s"] = edges / pruned
    ring = int((block.accounts < 500).sum())
    print(f"the block of {edges:,} edges has {len(block.accounts):,} accounts, {ring:,} of the ring of 500")


def of_stream(edges: int, figures: Table) -> None:
    """Edges of 20,000 a tick through the default sketches."""
    chance = np.random.default_rng(1)
    account = chance.integers(0, 200_000, edges)
    entity = (chance.random(edges) ** 3 * 50_000).astype(np.int64)
    times = np.sort(chance.integers(0, edges // 20_000, edges)) * MINUTE
    learns, out = np.ones(edges, np.uint8), np.empty((3, edges))
    spent, _ = cpu_s(lambda: EdgeBursts(tick_us=MINUTE).run(account, entity, times, learns, out), 4)
    figures["stream_edges_per_cpu_s"] = edges / spent


def costs(quick: bool) -> list[tuple[str, int, float, float]]:
    """(algorithm, edges, seconds, peak MB so far) at growing sizes, the smallest first so that the peak is its own."""
    out = []

    def note(name: str, edges: int, work: Callable[[], Any]) -> None:
        spent = cpu_s(work, 2 if edges < 10**7 else 1)[0]
        out.append((name, edges, spent, peak_mb()))

    for edges in [10**power for power in ((5, 6) if quick else (5, 6, 7))]:
        nodes = edges // 10
        note("union-find", edges, partial(components, nodes, *random_edges(nodes, edges)))
        note("Leiden", edges, partial(communities, nodes, *planted(nodes, edges)[:2], resolution=RESOLUTION))
        note("peel", edges, partial(dense_blocks, *bipartite(edges), least=0.0))
    if not quick:
        note("union-find", 10**8, partial(components, 10**7, *random_edges(10**7, 10**8)))
    return out


def exponents(rows: list[tuple[str, int, float, float]]) -> dict[str, float]:
    """Least-squares slopes of log seconds against log edges."""
    out = {}
    for name in dict.fromkeys(row[0] for row in rows):
        points = [(edges, max(spent, 1e-4)) for one, edges, spent, _ in rows if one == name]
        across, up = np.log(np.array(points)).T
        out[name] = float(np.polyfit(across, up, 1)[0])
    return out


def measure(quick: bool) -> tuple[Table, Table]:
    """All figures and baselines; prints the tables that they come from."""
    figures: Table = {"unionfind_100m_s": None, "communities_10m_s": None, "communities_nmi": None}
    baselines: Table = {}
    igraph, leidenalg = installed("igraph"), installed("leidenalg")
    pair = np.array([0, 1])
    communities(2, pair, pair[::-1], resolution=1.0)  # kernels are loaded, or compiled, outside the time
    dense_blocks(2, 1, pair, pair * 0, pair + 0.0, least=0.0)
    rows = costs(quick)
    of_unionfind(quick, figures, baselines, igraph)
    sizes = [(20_000, 200_000), (100_000, 1_000_000)] if quick else [(100_000, 1_000_000), (1_000_000, 10_000_000)]
    print(f"\n{'edges':>12} {'':12} {'CPU s':>9} {'NMI':>9} {'quality':>14}")
    for nodes, edges in sizes:
        found = of_communities(nodes, edges, igraph, leidenalg if edges == sizes[0][1] else None)
        for name in ("communities", "propagation", "igraph", "leidenalg"):
            shown = [found[f"{name}_{key}"] for key in ("s", "nmi", "quality")]
            cells = ["-" if one is None else f"{one:,.{places}f}" for one, places in zip(shown, (2, 5, 1), strict=True)]
            print(f"{edges:>12,} {name:12} {cells[0]:>9} {cells[1]:>9} {cells[2]:>14}")
        short = {200_000: "200k", 1_000_000: "1m", 10_000_000: "10m"}[edges]
        figures[f"communities_{short}_s"] = found["communities_s"]
        figures["communities_nmi"], figures["communities_nmi_edges"] = found["communities_nmi"], edges
        figures[f"propagation_{short}_s"] = found["propagation_s"]
        baselines[f"igraph_leiden_{short}_s"] = found["igraph_s"]
        if edges == sizes[0][1]:
            baselines[f"leidenalg_{short}_s"] = found["leidenalg_s"]
    of_quality(figures, igraph)
    of_peeling(1_000_000 if quick else 10_000_000, figures)
    of_stream(2_000_000, figures)
    print(f"\n{'algorithm':12} {'edges':>12} {'CPU s':>9} {'peak MB of the process so far':>32}")
    for name, edges, spent, held in rows:
        print(f"{name:12} {edges:>12,} {spent:>9.3f} {held:>32,.0f}")
        if name == "union-find" and edges == 10**8:
            figures["unionfind_100m_s"] = spent
    for name, slope in exponents(rows).items():
        figures[f"exponent_{name.lower().replace('-', '')}"] = slope
    if quick:
        print("quick: communities of 10 M edges and components of 100 M are not run: their figures are null")
    return figures, baselines


def main() -> None:
    """Print the table and the line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--dump", default="")
    quick = parser.parse_args().quick
    figures, baselines = measure(quick)
    print()
    for name, value in (figures | baselines).items():
        shown = "-" if value is None else f"{value:,.3f}" if abs(value) < 1000 else f"{value:,.0f}"
        print(f"{name:32} {shown:>14}  {GOALS.get(name, '')}")
    print(json.dumps({"benchmark": "coordination_speed", "quick": quick, "figures": figures, "baselines": baselines}))


if __name__ == "__main__":
    main()
