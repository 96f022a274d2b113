"""Ties, places, wavelets and beliefs against their slow twins; and no column of a node has its own label in it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import oracles.nodes_oracle as oracle
from shoal.coordination.nodes import Direct, NodeGraph, Shared
from shoal.coordination.nodes.belief import propagate
from shoal.coordination.nodes.columns import labelled, structural
from shoal.coordination.nodes.links import balanced, mean
from shoal.coordination.nodes.spectral import wavelets
from shoal.coordination.nodes.topology import DAMPING, clustering, cores, page_rank, triangles
from shoal.errors import InvalidInput

FEW = settings(max_examples=60, deadline=None)


@st.composite
def worlds(draw):
    """(a link, its ties as a dense matrix, features with unknowns)"""
    n = draw(st.integers(2, 9))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (n, 2)).astype(float)
    x[rng.random(x.shape) < 0.2] = np.nan
    if draw(st.booleans()):
        members = (rng.random((n, 5)) < draw(st.sampled_from([0.1, 0.4, 1.0]))).astype(float)
        weights = rng.choice([0.0, 0.5, 1.0, 2.0], 5)
        return Shared(sparse.csr_matrix(members), weights), oracle.pairs_through(members, weights), x
    ties = rng.choice([0.0, 0.0, 1.0, 2.5], (n, n))
    ties = np.triu(ties, 1)
    ties = ties + ties.T
    return Direct(sparse.csr_matrix(ties)), ties, x


@FEW
@given(worlds())
def test_neighbourhoods_are_those_of_the_dense_matrix(world):
    link, ties, x = world
    np.testing.assert_allclose(link.weight, ties.sum(axis=1), atol=1e-12)
    filled = np.nan_to_num(x)
    np.testing.assert_allclose(link.sums(filled), ties @ filled, atol=1e-9)
    np.testing.assert_allclose(mean(link, x), oracle.neighbour_mean(ties, x), atol=1e-9)
    for ours, theirs in zip(link.extremes(x), oracle.neighbour_extremes(ties, x), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(balanced(link, filled), oracle.normalised(ties) @ filled, atol=1e-9)


@FEW
@given(worlds(), st.integers(1, 5))
def test_wavelets_are_the_polynomials_of_the_laplacian(world, order):
    link, ties, x = world
    filled = np.nan_to_num(x)
    bands = wavelets(link, filled, order)
    for band, ours in enumerate(bands):
        np.testing.assert_allclose(ours, oracle.wavelet(ties, filled, order, band), atol=1e-8)
    # The bands are a partition of unity but for their factor 2 / (order + 1).
    np.testing.assert_allclose(sum(bands) * 2 / (order + 1), filled, atol=1e-8)


@FEW
@given(worlds(), st.sampled_from([0.1, 0.4]), st.booleans())
def test_beliefs_are_the_solution_of_the_linear_system(world, coupling, echo):
    link, ties, x = world
    explicit = np.nan_to_num(x)
    told = link.echo is not None and echo
    ours = propagate(link, explicit, coupling, echo=echo, steps=120)
    np.testing.assert_allclose(ours, oracle.beliefs(ties, explicit, coupling, told), atol=1e-8)


@FEW
@given(worlds())
def test_places_are_those_of_the_slow_twins(world):
    link, ties, _ = world
    np.testing.assert_allclose(page_rank(link), oracle.page_rank(ties, DAMPING), atol=len(ties) * DAMPING**50)
    if isinstance(link, Direct):
        np.testing.assert_array_equal(triangles(link), oracle.triangles(ties))
        np.testing.assert_array_equal(cores(link), oracle.cores(ties))
        degree = (ties > 0).sum(axis=1)
        for i, share in enumerate(clustering(link, triangles(link))):
            assert np.isnan(share) == (degree[i] < 2)
            assert np.isnan(share) or share == oracle.triangles(ties)[i] / (degree[i] * (degree[i] - 1) / 2)
    else:
        whole = sparse.bmat([[None, link.members], [link.members.T, None]]).toarray()
        np.testing.assert_array_equal(cores(link), oracle.cores(whole)[: link.size])


def test_direction_matters_where_there_is_one():
    ties = np.zeros((4, 4))
    ties[0, 1], ties[1, 2], ties[2, 0], ties[2, 3] = 1.0, 2.0, 1.0, 1.0
    link = Direct(sparse.csr_matrix(ties))
    assert link.directed
    assert not link.both().directed
    np.testing.assert_array_equal(link.turned().matrix.toarray(), ties.T)
    np.testing.assert_array_equal(triangles(link), [1, 1, 1, 0])
    np.testing.assert_allclose(page_rank(link), oracle.page_rank(ties, DAMPING), atol=4 * DAMPING**50)
    names = structural(NodeGraph(np.ones((4, 1)), {"paid": link}, names=["age"])).names
    assert {"paid.out.mean1.age", "paid.in.mean1.age", "paid.out_degree", "paid.band0.age"} <= set(names)


def test_a_coupling_that_would_not_converge_is_refused():
    link = Direct(sparse.csr_matrix(np.array([[0.0, 1.0], [1.0, 0.0]])))
    for coupling, echo in ((0.0, False), (1.0, False), (0.62, True), (float("nan"), False)):
        with pytest.raises(InvalidInput, match=r"nodes\.coupling"):
            propagate(link, np.ones((2, 1)), coupling, echo=echo)


def _cases():
    rng = np.random.default_rng(5)
    n = 60
    ties = np.triu(rng.random((n, n)) < 0.15, 1).astype(float) * rng.random((n, n))
    members = (rng.random((n, 25)) < 0.1).astype(float)
    paid = (rng.random((n, n)) < 0.05) * rng.random((n, n))
    return NodeGraph(
        rng.normal(size=(n, 3)),
        {
            "tied": sparse.csr_matrix(ties + ties.T),
            "paid": sparse.csr_matrix(paid),
            "shared": Shared(sparse.csr_matrix(members), rng.random(25)),
        },
    )


@pytest.mark.parametrize("compact", [False, True])
def test_no_bit_of_a_nodes_own_label_is_in_its_columns(compact):
    graph, rng = _cases(), np.random.default_rng(6)
    known = rng.permutation(60)[:40]
    y = rng.integers(0, 2, 40)
    fold = np.full(60, -1)
    fold[known] = np.arange(40) % 8
    before = labelled(graph, known, y, fold, np.arange(60), compact=compact)
    spoken_of = 0
    for at in range(40):
        other = y.copy()
        other[at] = 1 - other[at]
        after = labelled(graph, known, other, fold, np.arange(60), compact=compact)
        own = fold == fold[known[at]]
        np.testing.assert_array_equal(before.matrix[own], after.matrix[own])  # nor of its fold's, to the last bit
        spoken_of += int((before.matrix[~own] != after.matrix[~own]).any())
    assert spoken_of == 40  # and the test would see a label that is read


def test_columns_of_labels_say_who_the_neighbours_are():
    ties = np.zeros((5, 5))
    for i, j in ((0, 1), (0, 2), (0, 3), (3, 4)):
        ties[i, j] = ties[j, i] = 1.0
    graph = NodeGraph(np.array([[1.0], [2.0], [4.0], [8.0], [16.0]]), {"tied": sparse.csr_matrix(ties)}, names=["age"])
    known, y = np.array([1, 2, 3]), np.array([1, 1, 0])
    columns = labelled(graph, known, y, np.array([-1, 0, 1, 2, -1]), np.array([0, 4, 1]))
    told = dict(zip(columns.names, columns.matrix.T, strict=True))
    base = 3 / 5  # (2 abusive + 1) / (3 + 2)
    np.testing.assert_allclose(told["tied.abusive_share"][:2], [(2 + base) / 4, base / 2], rtol=1e-6)
    np.testing.assert_allclose(told["tied.abusive_mean.age"], [3.0, np.nan, np.nan])
    np.testing.assert_allclose(told["tied.honest_mean.age"], [8.0, 8.0, np.nan])
    assert told["tied.belief0.9"][0] > 0 > told["tied.belief0.9"][1]


def test_kept_nodes_lose_the_ties_to_all_others():
    graph = _cases()
    codes = np.array([5, 3, 40, 17, 22, 9])
    part = graph.keep(codes)
    np.testing.assert_array_equal(part.ids, codes)
    for name, link in graph.links.items():
        whole = link.sums(np.eye(60))
        if name == "shared":
            whole = link.members[codes].toarray() @ np.diag(link.weights) @ link.members[codes].toarray().T
            np.fill_diagonal(whole, 0.0)
            np.testing.assert_allclose(part.links[name].sums(np.eye(6)), whole, atol=1e-12)
        else:
            np.testing.assert_array_equal(part.links[name].sums(np.eye(6)), whole[np.ix_(codes, codes)])
