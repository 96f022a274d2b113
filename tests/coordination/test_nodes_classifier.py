"""The node classifier: what it learns, what it must not see, what it refuses, and its files."""

import hashlib
import json

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

import shoal.coordination
from shoal.coordination.graph import Edges, EntityGraph
from shoal.coordination.nodes import NodeClassifier, NodeGraph, Shared, read_files, write_files
from shoal.coordination.nodes.blend import blend, calibrate, log_loss, sigmoid
from shoal.coordination.nodes.members import Line, Scale
from shoal.coordination.relations import Relation
from shoal.errors import Corrupt, InvalidInput, Unsupported

SMALL = {"trees": 12, "folds": 3}


def _world(n=240, seed=1):
    """Two camps that tie among themselves; features say almost nothing."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.35).astype(int)
    chance = np.where(y[:, None] == y[None, :], 0.08, 0.02)
    ties = np.triu(rng.random((n, n)) < chance, 1).astype(float)
    x = rng.normal(size=(n, 3)) + 0.3 * y[:, None]
    return x, sparse.csr_matrix(ties + ties.T), y


def test_ties_tell_what_features_do_not():
    x, ties, y = _world(500)
    train, test = np.arange(350), np.arange(350, 500)
    with_ties, without = NodeGraph(x, {"tied": ties}), NodeGraph(x, {})
    found = []
    for graph in (with_ties, without):
        model = NodeClassifier(trees=60).fit(graph, train, y[train])
        p = model.predict_proba(graph, test)
        np.testing.assert_allclose(p.sum(axis=1), 1.0)
        assert ((p > 0) & (p < 1)).all()
        np.testing.assert_array_equal(model.predict(graph, test), (p[:, 1] > 0.5).astype(int))
        found.append(roc_auc_score(y[test], p[:, 1]))
    assert found[0] > 0.85
    assert found[0] > found[1] + 0.1


def test_nothing_is_scored_by_what_learned_from_its_label():
    rng = np.random.default_rng(3)
    x, ties, _ = _world(300)
    y = rng.integers(0, 2, 300)  # labels that nothing tells: only who remembers them scores them well
    for columns in ("full", "compact"):
        graph = NodeGraph(x, {"tied": ties})
        model = NodeClassifier(columns=columns, trees=60, leaves=15, folds=5).fit(graph, np.arange(300), y)
        for score in model.member_scores(graph, np.arange(300)).values():
            assert 0.35 < roc_auc_score(y, score) < 0.65


def test_the_same_input_gives_the_same_model_in_any_order_and_codes():
    x, ties, y = _world()
    graph, nodes = NodeGraph(x, {"tied": ties}), np.arange(120)
    first = NodeClassifier(**SMALL).fit(graph, nodes, y[:120])
    again = NodeClassifier(**SMALL, num_threads=2).fit(graph, nodes[::-1], y[:120][::-1])
    np.testing.assert_array_equal(
        first.decision_function(graph, range(240)), again.decision_function(graph, range(240))
    )
    other = NodeClassifier(**SMALL, seed=5).fit(graph, nodes, y[:120])
    assert (first.decision_function(graph, range(240)) != other.decision_function(graph, range(240))).any()
    mixed = np.random.default_rng(0).permutation(240)
    turned = NodeGraph(x[mixed], {"tied": ties[mixed][:, mixed]}, ids=mixed)
    np.testing.assert_allclose(
        first.decision_function(turned, range(240)), first.decision_function(graph, range(240)), atol=1e-4
    )


def test_labels_find_their_nodes_in_a_later_graph_and_new_nodes_are_scored():
    x, ties, y = _world(300)
    early = NodeGraph(x, {"tied": ties}, ids=np.arange(1000, 1300)).keep(np.arange(1000, 1200))
    model = NodeClassifier(trees=60).fit(early, np.arange(1000, 1200), y[:200])
    late = NodeGraph(x, {"tied": ties}, ids=np.arange(1000, 1300))
    new = model.predict_proba(late, np.arange(1200, 1300))[:, 1]
    assert roc_auc_score(y[200:], new) > 0.8
    # An old node that left takes its label along: only who is there speaks.
    rest = late.keep(np.arange(1100, 1300))
    assert np.isfinite(model.predict_proba(rest, np.arange(1200, 1300))).all()


def test_scikit_learns_manners():
    model = NodeClassifier(trees=7, members=("trees", "line"), seed=4)
    copy = clone(model)
    assert copy is not model
    assert copy.get_params() == model.get_params()
    assert copy.set_params(seed=9).seed == 9
    assert shoal.coordination.NodeClassifier is NodeClassifier
    with pytest.raises(InvalidInput, match=r"did you mean 'seed'.*nodes\.parameter"):
        copy.set_params(sed=1)
    with pytest.raises(AttributeError):
        _ = shoal.coordination.Nothing


@pytest.mark.parametrize("members", [("trees",), ("line",), ("belief",), ("trees", "line", "belief")])
def test_files_give_back_the_model_to_the_last_bit(members):
    x, ties, y = _world()
    graph = NodeGraph(x, {"tied": ties}, names=["a", "b", "c"])
    model = NodeClassifier(**SMALL, members=members, bags=2).fit(graph, np.arange(150), y[:150])
    files = write_files(model)
    assert all(b"\x80\x04" not in data[:2] for data in files.values())
    assert len(files) == 1 + (6 if "trees" in members else 0)
    read = read_files(files)
    np.testing.assert_array_equal(read.decision_function(graph, range(240)), model.decision_function(graph, range(240)))
    assert read.report_ == model.report_
    assert read.get_params() == model.get_params()
    assert write_files(read) == files


def test_files_that_are_not_what_was_written_are_refused():
    x, ties, y = _world()
    graph = NodeGraph(x, {"tied": ties})
    files = write_files(NodeClassifier(trees=3, folds=2).fit(graph, np.arange(100), y[:100]))
    head = json.loads(files["nodes.json"])
    with_head = lambda **more: files | {"nodes.json": json.dumps(head | more).encode()}  # noqa: E731
    table = [
        ({}, InvalidInput, "no nodes.json"),
        (files | {"nodes.json": b"{"}, InvalidInput, r"nodes\.file"),
        (files | {"nodes.json": b"\xff"}, InvalidInput, r"nodes\.file"),
        (files | {"nodes.json": b"[]"}, InvalidInput, "not a node classifier"),
        (with_head(format="other"), InvalidInput, "not a node classifier"),
        (with_head(version=2), Unsupported, "version 2"),
        (with_head(extra=1), InvalidInput, "unknown field"),
        (with_head(ids=["a"]), InvalidInput, r"nodes\.file"),
        (with_head(ids=head["ids"][1:]), InvalidInput, r"\[ids\]"),
        (with_head(labels=[2] * 100), InvalidInput, r"\[labels\]"),
        (with_head(folds=[0] * 100), InvalidInput, r"\[folds\]"),
        (with_head(extent="wide"), InvalidInput, r"\[extent\]"),
        (with_head(members=["trees", "net"]), InvalidInput, r"\[members\]"),
        (with_head(weights=[1.0]), InvalidInput, r"\[unit\]"),
        (with_head(boosters=[]), InvalidInput, r"\[boosters\]"),
        (with_head(lines=[]), InvalidInput, r"\[lines\]"),
        (with_head(quantiles=None), InvalidInput, r"\[quantiles\]"),
        (with_head(belief_unit=None), InvalidInput, r"\[belief_unit\]"),
        (with_head(parameters={"seed": 1}), InvalidInput, r"\[parameters\]"),
        (files | {"trees_1_0.txt": files["trees_0_0.txt"]}, Corrupt, "not what was written"),
        ({name: data for name, data in files.items() if name != "trees_1_0.txt"}, Corrupt, "missing"),
        (files | {"more.txt": b""}, Corrupt, "beside"),
    ]
    junk = b"tree\nversion=v4\n"
    told = [[hashlib.sha256(junk).hexdigest()], head["boosters"][1]]
    table.append((with_head(boosters=told) | {"trees_0_0.txt": junk}, Corrupt, "trees_0"))
    for given, error, match in table:
        with pytest.raises(error, match=match):
            read_files(given)


def _good():
    x, ties, y = _world(60)
    return x, ties, y


@pytest.mark.parametrize(
    ("change", "slugs"),
    [
        ({"features": "text"}, ["nodes.features", "nodes.relation"]),
        ({"features": np.zeros(60)}, ["nodes.features", "nodes.relation"]),
        ({"features": np.zeros((0, 3))}, ["nodes.features", "nodes.relation"]),
        ({"features": np.full((60, 3), np.inf)}, ["nodes.infinite"] * 3),
        ({"names": ["a", "a", "b"]}, ["nodes.names"]),
        ({"names": ["a"]}, ["nodes.names"]),
        ({"relations": {"r": np.zeros((60, 60))}}, ["nodes.relation"]),
        ({"relations": {"r": sparse.eye(59)}}, ["nodes.relation"]),
        ({"relations": {"": sparse.eye(60)}}, ["nodes.relation"]),
        ({"relations": {"r": Shared(sparse.eye(59), np.ones(59))}}, ["nodes.relation"]),
        ({"relations": {"r": -sparse.eye(60)}}, ["nodes.weights"]),
        ({"relations": {"r": sparse.eye(60) * np.nan}}, ["nodes.weights"]),
        ({"ids": np.zeros(60, np.int64)}, ["nodes.ids"]),
        ({"ids": np.arange(59)}, ["nodes.ids"]),
        ({"ids": np.arange(60.0)}, ["nodes.ids"]),
        ({"times": [1, 2]}, ["nodes.times"]),
        ({"names": ["a"], "ids": np.arange(59), "relations": {"r": sparse.eye(59)}},
         ["nodes.names", "nodes.relation", "nodes.ids"]),
    ],
)  # fmt: skip
def test_graphs_that_are_none_are_refused(change, slugs):
    x, ties, _ = _good()
    whole = {"features": x, "relations": {"r": ties}} | change
    with pytest.raises(InvalidInput) as error:
        NodeGraph(whole.pop("features"), whole.pop("relations"), **whole)
    assert [problem.slug for problem in error.value.problems] == slugs


@pytest.mark.parametrize(
    ("nodes", "y", "slug"),
    [
        (np.arange(60), np.ones(60), "nodes.one_class"),
        (np.arange(60), np.zeros(60), "nodes.one_class"),
        (np.zeros(0, int), np.zeros(0, int), "nodes.one_class"),
        (np.arange(60), np.arange(60) < 4, "nodes.too_few_labels"),
        (np.arange(60), np.arange(60) % 3, "nodes.labels"),
        (np.arange(60), np.full(60, np.nan), "nodes.labels"),
        (np.arange(60), ["bad"] * 60, "nodes.labels"),
        (np.arange(60), np.arange(30) % 2, "nodes.labels"),
        (np.arange(1, 61), np.arange(60) % 2, "nodes.unknown"),
        (np.arange(60) // 2, np.arange(60) % 2, "nodes.ids"),
        (np.arange(60.0), np.arange(60) % 2, "nodes.ids"),
    ],
)
def test_labels_that_teach_nothing_are_refused(nodes, y, slug):
    x, ties, _ = _good()
    with pytest.raises(InvalidInput) as error:
        NodeClassifier().fit(NodeGraph(x, {"r": ties}), nodes, y)
    assert slug in [problem.slug for problem in error.value.problems]


@pytest.mark.parametrize(
    "parameter",
    [
        {"members": ()}, {"members": ("trees", "trees")}, {"members": ("forest",)}, {"columns": "all"},
        {"members": ("belief",), "labels": False}, {"calibration": "platt"}, {"wavelets": -1}, {"trees": 0},
        {"leaves": 1}, {"bags": 0}, {"folds": 1}, {"num_threads": 0}, {"seed": -1}, {"seed": 1.5}, {"bags": True},
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_refused(parameter):
    x, ties, y = _good()
    with pytest.raises(InvalidInput, match=r"nodes\.parameter"):
        NodeClassifier(**parameter).fit(NodeGraph(x, {"r": ties}), np.arange(60), y)


def test_scoring_refuses_what_it_was_not_fitted_for():
    x, ties, y = _good()
    graph = NodeGraph(x, {"r": ties})
    with pytest.raises(InvalidInput, match=r"nodes\.not_fitted"):
        NodeClassifier().predict_proba(graph, [1])
    with pytest.raises(InvalidInput, match=r"nodes\.not_fitted"):
        write_files(NodeClassifier())
    with pytest.raises(InvalidInput, match=r"nodes\.features"):
        NodeClassifier().fit(NodeGraph(np.zeros((60, 0)), {}), np.arange(60), y)
    model = NodeClassifier(**SMALL).fit(graph, np.arange(60), y)
    assert model.predict_proba(graph, []).shape == (0, 2)
    with pytest.raises(InvalidInput, match=r"nodes\.unknown"):
        model.predict_proba(graph, [60])
    with pytest.raises(InvalidInput, match=r"nodes\.times"):
        graph.before(5)
    for other in (NodeGraph(x[:, :2], {"r": ties}), NodeGraph(x, {"s": ties}), NodeGraph(x, {"r": sparse.triu(ties)})):
        with pytest.raises(InvalidInput, match=r"nodes\.mismatch"):
            model.predict_proba(other, [1])


def test_odd_graphs_have_a_stated_outcome():
    x, ties, y = _good()
    nodes = np.arange(60)
    hub = sparse.lil_matrix(ties)
    hub[0, 1:], hub[1:, 0] = 1.0, 1.0
    odd = x.copy()
    odd[:, 1], odd[::3, 2] = 7.0, np.nan
    loops = ties + 5 * sparse.eye(60)
    twice = sparse.coo_matrix((np.ones(4), ([0, 0, 1, 1], [1, 1, 0, 0])), shape=(60, 60))
    graph = NodeGraph(odd, {"hub": hub, "none": sparse.csr_matrix((60, 60)), "loops": loops})
    model = NodeClassifier(**SMALL).fit(graph, nodes, y)
    assert np.isfinite(model.decision_function(graph, nodes)).all()
    np.testing.assert_array_equal(graph.links["loops"].matrix.toarray(), ties.toarray())  # loops are dropped
    assert NodeGraph(x, {"r": twice}).links["r"].matrix[0, 1] == 2.0  # repeats are added up
    apart = sparse.block_diag([ties[:30][:, :30], sparse.csr_matrix((30, 30))])  # labels where nobody is tied
    graph = NodeGraph(x, {"r": apart})
    fitted = NodeClassifier(**SMALL, members=("belief",)).fit(graph, np.arange(30, 60), np.arange(30) % 2)
    assert np.ptp(fitted.decision_function(graph, nodes)) < 1e-6  # nobody hears of a label: all the same


def _entities(rng):
    """Forty accounts; an address of all, a card for each five, one address first seen late."""
    account = np.concatenate([np.arange(40), np.arange(40)])
    entity = np.concatenate([np.zeros(40, int), 1 + np.arange(40) // 20])
    edges = {}
    for name, who, what in (("address", account, entity), ("card", np.arange(40), np.arange(40) // 5)):
        order = np.lexsort((what, who))
        first = np.where(what[order] == 2, 500, 100)
        start = np.concatenate([[0], np.cumsum(np.bincount(who, minlength=40))])
        ids = np.arange(what.max() + 1)
        relation = Relation(name, (name,), cap=30)
        edges[name] = Edges(relation, ids, start, what[order], first, first, np.ones(len(who), np.int64))
    return EntityGraph(np.arange(40) + 7000, np.full(40, 50), edges)


def test_accounts_are_tied_through_what_they_share():
    entities = _entities(np.random.default_rng(0))
    graph = NodeGraph.of_entities(entities)
    assert graph.names == ("address.entities", "card.entities")
    np.testing.assert_array_equal(graph.ids, entities.account_ids)
    assert set(graph.links["address"].degree) == {19}  # the address of all forty is over the cap of 30
    assert set(graph.links["card"].degree) == {4}
    np.testing.assert_allclose(graph.links["card"].weight, 4 / np.log(2 + 5))
    early = NodeGraph.of_entities(entities, until=200)
    assert early.links["address"].degree.tolist() == [19] * 20 + [0] * 20
    given = NodeGraph.of_entities(entities, weights={"address": np.array([1.0, 0.0, 0.0])})
    assert set(given.links["address"].degree) == {39}
    y = (np.arange(40) // 5 % 2).astype(int)  # whole cards are abusive
    model = NodeClassifier(**SMALL).fit(graph, graph.ids[::2], y[::2])
    assert roc_auc_score(y[1::2], model.decision_function(graph, graph.ids[1::2])) > 0.9


def test_entity_weights_that_are_none_are_refused():
    entities = _entities(np.random.default_rng(0))
    for weights, slug in (
        ({"adress": np.ones(3)}, r"did you mean 'address'.*nodes\.relation"),
        ({"address": np.ones(2)}, r"nodes\.weights"),
        ({"address": -np.ones(3)}, r"nodes\.weights"),
        ({"card": np.full(8, np.nan)}, r"nodes\.weights"),
    ):
        with pytest.raises(InvalidInput, match=slug):
            NodeGraph.of_entities(entities, weights=weights)


def test_a_line_is_scikit_learns_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 4))
    y = (x[:, 0] - x[:, 1] + rng.normal(size=200) > 0).astype(int)
    for strength in (0.01, 1.0, 100.0):
        ours, theirs = Line.of(x, y, strength), LogisticRegression(C=strength, tol=1e-8, max_iter=1000).fit(x, y)
        np.testing.assert_allclose(ours.slopes, theirs.coef_[0], atol=1e-4)
        np.testing.assert_allclose(ours.intercept, theirs.intercept_[0], atol=1e-4)
    apart = Line.of(np.array([[-1.0], [-2.0], [1.0], [2.0]]), np.array([0, 0, 1, 1]), 1e6)
    assert np.isfinite(apart.slopes).all()  # separable, and yet it ends


def test_a_wide_line_is_the_same_line(monkeypatch):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 40))
    y = (x[:, 0] - x[:, 1] + rng.normal(size=300) > 0).astype(int)
    for strength in (0.01, 1.0):
        narrow = Line.of(x, y, strength)
        with monkeypatch.context() as patch:
            patch.setattr("shoal.coordination.nodes.members.WIDE", 10)
            wide = Line.of(x, y, strength)
        np.testing.assert_allclose(wide.slopes, narrow.slopes, atol=2e-4)
        assert wide.intercept == pytest.approx(narrow.intercept, abs=2e-4)


def test_normal_scores_are_of_ranks():
    x = np.array([[1.0, 5.0, np.nan], [2.0, 5.0, np.nan], [2.0, 5.0, np.nan], [1000.0, 5.0, np.nan]], np.float32)
    scores = Scale.of(x).apply(x)
    assert scores[0, 0] < scores[1, 0] == scores[2, 0] < scores[3, 0]
    assert abs(scores[1, 0]) < 0.1  # the tie is in the middle
    np.testing.assert_array_equal(scores[:, 1:], 0.0)
    wild = np.array([[np.nan, 9.0, 1.0], [1e30, -9.0, 2.0]], np.float32)
    assert np.isfinite(Scale.of(x).apply(wild)).all()


def test_calibration_says_what_happens_and_never_ties():
    rng = np.random.default_rng(4)
    z = np.sort(rng.normal(size=4000) * 2)
    y = (rng.random(4000) < sigmoid(0.5 * z - 1)).astype(int)
    for method in ("auto", "sigmoid", "isotonic"):
        found, _ = calibrate(z, y, method)
        told = found.apply(z)
        assert (np.diff(told) > 0).all()
        assert log_loss(told, y) < log_loss(0.5 * z - 1, y) + 0.002
        for part in np.array_split(np.arange(4000), 8):
            assert abs(sigmoid(told[part]).mean() - y[part].mean()) < 0.04
    assert calibrate(z, y, "none")[0].apply(z).tolist() == z.tolist()
    kinked = (rng.random(4000) < np.where(z > 1, 0.9, 0.1)).astype(int)  # no sigmoid
    assert calibrate(z, kinked, "auto")[0].method == "isotonic"


def test_a_blend_stands_only_where_it_helps():
    rng = np.random.default_rng(8)
    y = rng.integers(0, 2, 800)
    good, noise = y + rng.normal(size=800), rng.normal(size=800)
    other = y + rng.normal(size=800)
    weights, losses = blend(np.column_stack([good, other]), y, np.ones(2))
    assert losses["blend"] < losses["best"]
    assert (weights > 0).all()
    weights, _ = blend(np.column_stack([good, -good]), y, np.ones(2))
    assert weights[1] == 0.0
    weights, _ = blend(np.column_stack([good, noise]), y, np.ones(2))
    assert weights.tolist() == [1.0, 0.0]
    few, nothing = blend(np.column_stack([good, noise])[:90], y[:90], np.array([1.0, 3.0]))
    assert few.tolist() == [0.25, 0.75]  # too few to choose by: the shares as given
    assert nothing == {}
