"""Graph networks without PyTorch: draws, filters, exact scoring, files, and what is refused."""

import json
import sys

import numpy as np
import pytest
from scipy import sparse

from shoal.coordination.gnn import GnnClassifier, read_files, write_files
from shoal.coordination.gnn.draws import Drawer, blocks, whole
from shoal.coordination.gnn.inputs import around, inputs, raw
from shoal.coordination.gnn.labels import deal
from shoal.coordination.gnn.scoring import filters, hidden, score, shapes
from shoal.coordination.nodes import NodeGraph, Shared
from shoal.coordination.nodes.blend import Calibration
from shoal.coordination.nodes.links import Direct
from shoal.coordination.nodes.members import Scale
from shoal.coordination.nodes.spectral import wavelets
from shoal.errors import Corrupt, InvalidInput, MissingExtra, Unsupported


def _ties(n=40, seed=2, share=0.2):
    rng = np.random.default_rng(seed)
    return sparse.random(n, n, share, format="csr", random_state=rng, data_rvs=lambda k: rng.random(k) + 0.1)


def _shared(n=30, entities=12, seed=3):
    rng = np.random.default_rng(seed)
    return Shared(sparse.csr_matrix(rng.random((n, entities)) < 0.3), rng.random(entities) + 0.1)


def _graph(n=40):
    x = np.random.default_rng(1).normal(size=(n, 3))
    x[::7, 1] = np.nan
    return NodeGraph(x, {"to": _ties(n), "with": _shared(n)}, names=["a", "b", "c"])


def _fitted(model="sage", graph=None, **more):
    """A model as if fitted, of random arrays: what scoring and files do needs no training."""
    graph = graph or _graph()
    found = GnnClassifier(model=model, hidden=4, folds=2, **more)
    scale = Scale.of(raw(graph))
    seen = inputs(graph, scale, model)
    rng = np.random.default_rng(5)
    expected = shapes(model, seen.x.shape[1], len(seen.links), 4, found.layers)
    networks = [{name: rng.normal(size=shape).astype(np.float32) for name, shape in expected.items()} for _ in range(2)]
    found.restore(
        names=graph.names, relations=tuple((name, link.directed) for name, link in graph.links.items()),
        ids=np.arange(10), fold=np.arange(10) % 2, scale=scale, networks=networks,
        calibration=Calibration("sigmoid", np.zeros(1), np.array([0.3]), 0.7), report={"labels": 10},
    )  # fmt: skip
    return found


@pytest.mark.parametrize("link", [Direct(_ties()), _shared()], ids=["direct", "shared"])
def test_a_drawn_mean_is_exact_under_the_cap_and_right_on_average_over_it(link):
    drawer, n = Drawer(link), link.size
    x = np.random.default_rng(4).normal(size=(n, 2))
    exact = around(link, x)
    np.testing.assert_allclose(drawer.exact() @ x, exact, atol=1e-6)
    every = np.arange(n)

    def drawn(fan_out, seed):
        rows, columns, values = drawer.draw(every, fan_out, seed)
        assert (rows != columns).all()
        assert np.bincount(rows, minlength=n).max() <= fan_out
        return sparse.csr_matrix((values, (rows, columns)), shape=(n, n))

    np.testing.assert_allclose(drawn(10_000, 1) @ x, exact, atol=1e-12)
    some = drawn(3, 9)
    np.testing.assert_allclose(np.asarray(some.sum(axis=1)).ravel(), link.weight > 0)
    assert (some != drawn(3, 9)).nnz == 0
    assert (some != drawn(3, 10)).nnz
    mean = sum(drawn(3, seed) for seed in range(3000)) / 3000
    assert abs(mean - drawer.exact()).max() < 0.05  # six standard errors of a share of a half


def test_blocks_find_their_targets_and_reach_what_the_whole_reaches():
    drawers = [Drawer(Direct(_ties())), Drawer(_shared(40))]
    batch = np.array([7, 3, 21])
    found = blocks(drawers, batch, 2, 10_000, 0)
    x = np.random.default_rng(4).normal(size=(40, 2))
    np.testing.assert_array_equal(found[-1].sources[:3], batch)
    np.testing.assert_array_equal(found[0].sources[: found[0].targets], found[1].sources)
    exact = whole(drawers, 40, 2)
    for at in range(2):
        near = found[1].means[at] @ (found[0].means[at] @ x[found[0].sources])
        np.testing.assert_allclose(near, (exact[1].means[at] @ (exact[0].means[at] @ x))[batch], atol=1e-5)


def test_filters_are_the_beta_wavelets():
    link = Direct(_ties() + _ties().T)
    x = np.random.default_rng(4).normal(size=(40, 2))
    matrix = link.matrix.toarray()
    root = np.diag(1 / np.sqrt(matrix.sum(axis=1)))
    laplacian = np.eye(40) - root @ matrix @ root
    for order in (2, 3):
        for row, band in zip(filters(order), wavelets(link, x, order), strict=True):
            powers = sum(c * np.linalg.matrix_power(laplacian, k) for k, c in enumerate(row))
            np.testing.assert_allclose(powers @ x, band, atol=1e-9)


def test_hidden_layers_of_the_wavelets_read_bands_of_what_they_hold():
    graph = NodeGraph(np.random.default_rng(1).normal(size=(40, 3)), {"tied": _ties() + _ties().T})
    model = _fitted("bwgnn", graph)
    network = model.fitted()["networks"][0] | {"filters": filters(2).astype(np.float32)}
    seen = inputs(graph, model.fitted()["scale"], "bwgnn")
    h = seen.x.astype(float)
    for at in range(2):
        h = np.maximum(h @ network[f"mlp{at}.weight"] + network[f"mlp{at}.bias"], 0)
    parts = np.hstack([h, *wavelets(seen.links[0], h, 2)])
    expected = np.maximum(parts @ network["mix.weight"] + network["mix.bias"], 0)
    np.testing.assert_allclose(hidden(network, seen, "bwgnn"), expected, rtol=1e-4, atol=1e-5)


def test_nodes_fitted_on_are_scored_by_their_own_fold_and_new_ones_by_all():
    graph, model = _graph(), _fitted()
    state = model.fitted()
    seen = inputs(graph, state["scale"], "sage")
    raw_scores = np.array([score(one, seen, "sage") for one in state["networks"]])
    z = np.concatenate([raw_scores[np.arange(10) % 2, np.arange(10)], raw_scores.mean(axis=0)[10:]])
    np.testing.assert_allclose(model.decision_function(graph, range(40)), 0.7 * z + 0.3)
    p = model.predict_proba(graph, range(40))
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    np.testing.assert_array_equal(model.predict(graph, [30, 4]), (p[[30, 4], 1] > 0.5).astype(int))
    assert model.predict_proba(graph, []).shape == (0, 2)
    assert model.embeddings(graph, [3, 1], 1).shape == (2, 4)
    np.testing.assert_array_equal(model.embeddings(graph, [3], 1), model.embeddings(graph, range(40), 1)[[3]])


def test_folds_hold_both_classes_evenly():
    y = (np.arange(100) < 9).astype(int)
    fold = deal(y, 4, np.random.default_rng(0))
    assert set(np.bincount(fold)) == {25}
    assert set(np.bincount(fold[y == 1])) == {2, 3}


@pytest.mark.parametrize("model", ["sage", "bwgnn"])
def test_files_give_back_the_model_to_the_last_bit(model):
    graph, given = _graph(), _fitted(model)
    files = write_files(given)
    read = read_files(files)
    np.testing.assert_array_equal(read.decision_function(graph, range(40)), given.decision_function(graph, range(40)))
    assert read.get_params() == given.get_params()
    assert write_files(read) == files == write_files(_fitted(model))


def test_files_that_are_not_what_was_written_are_refused():
    files = write_files(_fitted())
    head = json.loads(files["gnn.json"])
    with_head = lambda **more: files | {"gnn.json": json.dumps(head | more).encode()}  # noqa: E731
    swapped = _fitted()
    swapped.fitted()["networks"][0]["0.self"] = np.zeros((1, 1), np.float32)
    broken = _fitted()
    broken.fitted()["networks"][1]["head.bias"][0] = np.nan
    twice = _fitted()
    twice.fitted()["ids"][1] = 0
    table = [
        ({}, InvalidInput, r"no gnn\.json"),
        (files | {"gnn.json": b"{"}, InvalidInput, r"gnn\.json"),
        (files | {"gnn.json": b"\xff"}, InvalidInput, r"gnn\.json"),
        (files | {"gnn.json": b"[]"}, InvalidInput, "not a graph network"),
        (with_head(format="shoal.nodes"), InvalidInput, "not a graph network"),
        (with_head(version=2), Unsupported, "version 2"),
        (with_head(extra=1), InvalidInput, "unknown field"),
        (with_head(parameters={"seed": 1}), InvalidInput, r"\[parameters\]"),
        (with_head(parameters=head["parameters"] | {"hidden": 0}), InvalidInput, "whole number from 2"),
        (with_head(parameters=head["parameters"] | {"hidden": 8}), InvalidInput, r"\[0/0\.self\]"),
        (with_head(parameters=head["parameters"] | {"folds": 3}), InvalidInput, r"\[2/0\.self\]"),
        (with_head(relations=[["to", True]]), InvalidInput, r"\[quantiles\]"),
        (with_head(calibration=["none", [], [], 1.0]), InvalidInput, r"\[calibration\]"),
        ({"gnn.json": files["gnn.json"]}, Corrupt, "missing"),
        (files | {"networks.npz": b"PK"}, Corrupt, "not what was written"),
        (write_files(swapped), InvalidInput, r"\[0/0\.self\]"),
        (write_files(broken), InvalidInput, r"\[1/head\.bias\]"),
        (write_files(twice), InvalidInput, r"\[ids\]"),
    ]
    for given, error, match in table:
        with pytest.raises(error, match=match):
            read_files(given)


@pytest.mark.parametrize(
    ("nodes", "y", "slug"),
    [
        (range(20), [1] * 20, "nodes.one_class"),
        (range(20), [0] * 20, "nodes.one_class"),
        (range(20), [1] * 3 + [0] * 17, "nodes.too_few_labels"),
        (range(20), [0, 1] * 9 + [0, 2], "nodes.labels"),
        (range(20), [0, 1] * 9 + [0, np.nan], "nodes.labels"),
        (range(20), [0, 1] * 9, "nodes.labels"),
        (range(25, 45), [0, 1] * 10, "nodes.unknown"),
        ([0] * 20, [0, 1] * 10, "nodes.ids"),
        (["a"] * 20, [0, 1] * 10, "nodes.ids"),
    ],
)
def test_labels_that_teach_nothing_are_refused(nodes, y, slug):
    with pytest.raises(InvalidInput) as error:
        GnnClassifier().fit(_graph(), np.array(nodes), y)
    assert slug in {one.slug for one in error.value.problems}


@pytest.mark.parametrize(
    "parameter",
    [
        {"model": "gat"}, {"hidden": 1}, {"hidden": 2.5}, {"layers": 1}, {"dropout": 0.95}, {"dropout": np.nan},
        {"epochs": 0}, {"epochs": True}, {"patience": 0}, {"learning_rate": 0}, {"weight_decay": -1}, {"fan_out": 0},
        {"batch": 1}, {"full_batch": -1}, {"folds": 1}, {"class_weight": "all"}, {"calibration": "beta"},
        {"seed": -1}, {"num_threads": 0}, {"device": "tpu"}, {"learning_rate": "fast"},
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_refused(parameter):
    with pytest.raises(InvalidInput) as error:
        GnnClassifier(**parameter).fit(_graph(), np.arange(20), [1] * 20)
    slugs = {one.slug: one.where.path for one in error.value.problems}
    assert slugs["nodes.parameter"] == next(iter(parameter))
    assert "nodes.one_class" in slugs  # all problems together
    with pytest.raises(InvalidInput, match="did you mean 'hidden'"):
        GnnClassifier().set_params(hiden=3)


def test_scoring_refuses_what_it_was_not_fitted_for():
    graph, model = _graph(), _fitted()
    with pytest.raises(InvalidInput, match="not fitted"):
        GnnClassifier().predict_proba(graph, [0])
    with pytest.raises(InvalidInput, match="not fitted"):
        write_files(GnnClassifier())
    with pytest.raises(InvalidInput, match=r"\[features\]"):
        model.predict_proba(NodeGraph(graph.features, graph.links), [0])
    with pytest.raises(InvalidInput, match=r"\[relations\]"):
        model.predict_proba(NodeGraph(graph.features, {"to": _ties()}, names=["a", "b", "c"]), [0])
    with pytest.raises(InvalidInput, match="not in the graph"):
        model.predict_proba(graph, [99])
    with pytest.raises(InvalidInput, match="from 0 to 1"):
        model.embeddings(graph, [0], network=2)


def test_without_the_extra_fitting_says_how_to_get_it_and_scoring_works(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'shoal\[gnn\]'"):
        GnnClassifier().fit(_graph(), np.arange(20), [0, 1] * 10)
    assert np.isfinite(_fitted().decision_function(_graph(), range(40))).all()
