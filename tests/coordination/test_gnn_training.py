"""Graph networks trained for real, small: what they learn, what they must not see, and that scoring is their twin."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from shoal.coordination.gnn import GnnClassifier, read_files, write_files
from shoal.coordination.gnn import networks as twin
from shoal.coordination.gnn.draws import Drawer, blocks, whole
from shoal.coordination.gnn.inputs import inputs, raw
from shoal.coordination.gnn.scoring import score
from shoal.coordination.nodes import NodeGraph, Shared
from shoal.coordination.nodes.members import Scale

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.extras

SMALL = {"hidden": 16, "epochs": 40, "patience": 10, "folds": 2}
DRAWN = {"full_batch": 0, "batch": 64, "fan_out": 5}


def _world(n=500, seed=1):
    """Two camps that tie among themselves; features say little."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.35).astype(int)
    chance = np.where(y[:, None] == y[None, :], 0.08, 0.02)
    ties = np.triu(rng.random((n, n)) < chance, 1).astype(float)
    x = rng.normal(size=(n, 3)) + 0.3 * y[:, None]
    return x, sparse.csr_matrix(ties + ties.T), y


@pytest.mark.parametrize("model", ["sage", "bwgnn"])
@pytest.mark.parametrize("way", [{}, DRAWN], ids=["whole", "drawn"])
def test_it_beats_a_regression_without_the_graph_on_nodes_that_were_not_there(model, way):
    x, ties, y = _world()
    train, test = np.arange(350), np.arange(350, 500)
    then, now = NodeGraph(x[:350], {"tied": ties[:350][:, :350]}), NodeGraph(x, {"tied": ties})
    found = GnnClassifier(model=model, **SMALL, **way).fit(then, train, y[train])
    reached = roc_auc_score(y[test], found.predict_proba(now, test)[:, 1])
    line = LogisticRegression().fit(x[train], y[train]).predict_proba(x[test])[:, 1]
    assert reached > 0.85
    assert reached > roc_auc_score(y[test], line) + 0.1
    assert found.report_["full_batch"] == (not way)


def test_nothing_is_scored_by_what_learned_from_its_label():
    x, ties, _ = _world(300)
    y = np.random.default_rng(3).integers(0, 2, 300)  # labels that nothing tells: only who remembers them scores well
    graph = NodeGraph(x, {"tied": ties})
    model = GnnClassifier(hidden=32, epochs=30, patience=30, folds=3, dropout=0.0).fit(graph, np.arange(300), y)
    assert 0.35 < roc_auc_score(y, model.decision_function(graph, np.arange(300))) < 0.65


@pytest.mark.parametrize("way", [{}, DRAWN], ids=["whole", "drawn"])
def test_the_same_input_gives_the_same_model_in_any_order_and_files_keep_it(way):
    x, ties, y = _world(200)
    graph = NodeGraph(x, {"tied": ties})
    model = GnnClassifier(hidden=8, epochs=6, folds=2, **way)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one = model.fit(graph, np.arange(150), y[:150])
    files = write_files(one)
    assert torch.equal(before, torch.random.get_rng_state())
    other = clone(model).fit(graph, np.arange(150)[::-1], y[:150][::-1])
    assert write_files(other) == files
    assert write_files(clone(model).set_params(seed=1).fit(graph, np.arange(150), y[:150])) != files
    every = np.arange(200)
    np.testing.assert_array_equal(read_files(files).predict_proba(graph, every), one.predict_proba(graph, every))


@pytest.mark.parametrize("kind", ["sage", "bwgnn"])
@pytest.mark.parametrize("drawn", [False, True])
def test_scoring_is_the_twin_of_training(kind, drawn):
    rng = np.random.default_rng(2)
    members = Shared(sparse.csr_matrix(rng.random((60, 9)) < 0.1), rng.random(9) + 0.1)
    graph = NodeGraph(rng.normal(size=(60, 3)), {"to": sparse.random(60, 60, 0.05, random_state=rng), "with": members})
    seen = inputs(graph, Scale.of(raw(graph)), kind)
    make = torch.Generator().manual_seed(1)
    network = twin.begin(torch, kind, seen, 8, 3, make, "cpu")
    drawers, depth = [Drawer(link) for link in seen.links], 2 if kind == "sage" else 3
    codes = np.array([5, 0, 33])
    found = blocks(drawers, codes, depth, 10_000, 0) if drawn else whole(drawers, 60, depth)
    with torch.no_grad():
        z = twin.forward(torch, network, twin.Plan(torch, found, seen, kind, "cpu"), kind, 0.0, make).numpy()
    expected = score(twin.arrays(network), seen, kind)
    np.testing.assert_allclose(z, expected[codes] if drawn else expected, rtol=1e-3, atol=1e-4)


def test_a_layer_is_pytorch_geometrics_sageconv():
    with warnings.catch_warnings():  # what it warns of at import is its own
        warnings.simplefilter("ignore")
        nn = pytest.importorskip("torch_geometric.nn")
    x, ties, _ = _world(80)
    seen = inputs(graph := NodeGraph(x, {"tied": ties}), Scale.of(raw(graph)), "sage")
    network = {name: one.detach() for name, one in
               twin.begin(torch, "sage", seen, 8, 2, torch.Generator().manual_seed(1), "cpu").items()}  # fmt: skip
    layer = nn.SAGEConv(seen.x.shape[1], 8)
    weights = {
        "lin_l.weight": network["0.view0"].T,
        "lin_l.bias": network["0.bias"],
        "lin_r.weight": network["0.self"].T,
    }
    layer.load_state_dict(weights)
    edges = torch.from_numpy(np.stack(ties.tocsr().nonzero()[::-1]).astype(np.int64))
    expected = layer(torch.from_numpy(seen.x), edges).detach().numpy()
    ours = seen.x @ network["0.self"].numpy() + seen.near[0] @ network["0.view0"].numpy() + network["0.bias"].numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", ["sage", "bwgnn"])
def test_odd_graphs_have_a_stated_outcome(model):
    """No relations, an empty one, unknown values, nodes alone: fitted on what there is."""
    x, ties, y = _world(120)
    x[::5, 0] = np.nan
    x[:, 2] = np.nan
    lonely = ties.tolil()
    lonely[:30] = 0
    lonely[:, :30] = 0
    for relations in ({}, {"none": sparse.csr_matrix((120, 120))}, {"tied": lonely.tocsr(), "one": ties}):
        for way in ({}, DRAWN):
            graph = NodeGraph(x, relations)
            found = GnnClassifier(model=model, hidden=8, epochs=3, folds=2, **way).fit(graph, np.arange(100), y[:100])
            assert np.isfinite(found.decision_function(graph, np.arange(120))).all()
