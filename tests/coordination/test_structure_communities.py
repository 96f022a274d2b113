"""Communities: of the stated quality, connected, at an optimum, the same in company and after additions."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import normalized_mutual_info_score

from oracles.structure_oracle import plain_best, plain_components, plain_potts
from shoal.coordination.structure import Components, communities, partitions, potts_quality, propagated, recluster
from shoal.errors import InvalidInput


@st.composite
def graphs(draw, most=24):
    """n, left, right, weight, sizes: self-loops, repeated edges and edges of weight 0 among them."""
    n = draw(st.integers(1, most))
    code = st.integers(0, n - 1)
    edges = draw(st.lists(st.tuples(code, code, st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.25])), max_size=3 * n))
    left, right, weight = (np.array([e[k] for e in edges], t) for k, t in ((0, np.int64), (1, np.int64), (2, float)))
    sizes = np.array(draw(st.lists(st.sampled_from([0.5, 1.0, 1.0, 3.0]), min_size=n, max_size=n)))
    return n, left, right, weight, sizes


def random_graph(seed, n, m):
    chance = np.random.default_rng(seed)
    return chance.integers(0, n, m), chance.integers(0, n, m), chance.random(m) + 0.5


def planted(seed, groups, size, m, inside):
    """Edges of groups of equal size, a share `inside` of them within groups, codes shuffled; and the truth."""
    chance = np.random.default_rng(seed)
    n, within = groups * size, int(m * inside)
    group = chance.integers(0, groups, within)
    left = np.concatenate([group * size + chance.integers(0, size, within), chance.integers(0, n, m - within)])
    right = np.concatenate([group * size + chance.integers(0, size, within), chance.integers(0, n, m - within)])
    code = chance.permutation(n)
    truth = np.empty(n, np.int64)
    truth[code] = np.arange(n) // size
    return n, code[left], code[right], truth


def same_partition(one, other):
    return len({*zip(one, other, strict=True)}) == len(set(one)) == len(set(other))


@given(graphs(), st.sampled_from([0.0, 0.05, 0.4, 1.0, 3.0]), st.sampled_from([None, 0, 7]))
@settings(max_examples=100, deadline=None)
def test_quality_is_the_plain_one_and_communities_are_connected(graph, resolution, seed):
    n, left, right, weight, sizes = graph
    found = communities(n, left, right, weight, resolution=resolution, sizes=sizes, seed=seed)
    plain = plain_potts(found.labels, left, right, weight, resolution, sizes)
    assert found.quality == pytest.approx(plain, abs=1e-9)
    assert potts_quality(found.labels, left, right, weight, resolution=resolution, sizes=sizes) == found.quality
    assert found.quality >= -1e-12, "never worse than everybody alone"
    within = (found.labels[left] == found.labels[right]) & (weight > 0)
    assert plain_components(n, left[within].tolist(), right[within].tolist()) == found.labels.tolist()
    assert found.count == len(set(found.labels.tolist()))
    again = communities(n, left, right, weight, resolution=resolution, sizes=sizes, seed=seed)
    assert again.labels.tolist() == found.labels.tolist()
    assert again.quality == found.quality


@given(graphs(16), st.sampled_from([0.05, 0.4, 1.0]), st.sampled_from([None, 3]))
@settings(max_examples=60, deadline=None)
def test_at_the_end_no_node_and_no_community_gains_by_moving(graph, resolution, seed):
    n, left, right, weight, sizes = graph
    found = communities(n, left, right, weight, resolution=resolution, sizes=sizes, seed=seed, rounds=100)
    labels, best = found.labels, found.quality + 1e-9

    def quality(other):
        return plain_potts(other, left, right, weight, resolution, sizes)

    for v in range(n):
        for label in {*labels.tolist(), n}:
            moved = labels.copy()
            moved[v] = label
            assert quality(moved) <= best
    for one in set(labels.tolist()):
        for other in set(labels.tolist()):
            assert quality(np.where(labels == one, other, labels)) <= best


def test_the_best_of_all_partitions_is_nearly_always_found():
    missed = []
    for seed in range(40):
        left, right, weight = random_graph(seed, 7, 12)
        best = plain_best(7, left.tolist(), right.tolist(), weight.tolist(), 0.6, [1.0] * 7)
        tries = [communities(7, left, right, weight, resolution=0.6, seed=s).quality for s in range(3)]
        assert max(tries) >= 0.9 * best
        missed.append(max(tries) < best - 1e-9)
    assert sum(missed) <= 3


@given(st.integers(0, 10**6), st.sampled_from([None, 5]))
@settings(max_examples=30, deadline=None)
def test_quality_never_falls_below_where_it_began(seed, order):
    left, right, weight = random_graph(seed, 60, 200)
    start = np.random.default_rng(seed + 1).integers(0, 9, 60)
    before = potts_quality(start, left, right, weight, resolution=0.2)
    found = communities(60, left, right, weight, resolution=0.2, seed=order, start=start, rounds=1)
    assert found.quality >= before
    more = communities(60, left, right, weight, resolution=0.2, seed=order, start=found.labels)
    assert more.quality >= found.quality
    assert more.quality >= communities(60, left, right, weight, resolution=0.2, start=found.labels).quality - 1e-9
    settled = communities(60, left, right, weight, resolution=0.2, start=more.labels, rounds=50)
    still = communities(60, left, right, weight, resolution=0.2, start=settled.labels)
    assert still.labels.tolist() == settled.labels.tolist()
    assert still.rounds == 1


@given(graphs(), graphs(), st.sampled_from([0.1, 0.7]))
@settings(max_examples=100, deadline=None)
def test_communities_do_not_depend_on_other_components(one, other, resolution):
    n, left, right, weight, sizes = one
    m, left_, right_, weight_, sizes_ = other
    both = communities(
        n + m, np.concatenate([left, left_ + n]), np.concatenate([right, right_ + n]),
        np.concatenate([weight, weight_]), resolution=resolution, sizes=np.concatenate([sizes, sizes_]),
    )  # fmt: skip
    first = communities(n, left, right, weight, resolution=resolution, sizes=sizes)
    second = communities(m, left_, right_, weight_, resolution=resolution, sizes=sizes_)
    assert both.labels.tolist() == [*first.labels.tolist(), *(second.labels + n).tolist()]


@given(graphs(), st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_order_and_direction_of_edges_do_not_matter(graph, chance):
    n, left, right, weight, _ = graph
    order = list(range(len(left)))
    chance.shuffle(order)
    found = communities(n, left, right, weight, resolution=0.3)
    turned = communities(n, right[order].astype(np.int32), left[order].astype(np.int32), weight[order], resolution=0.3)
    assert turned.labels.tolist() == found.labels.tolist()


@given(st.integers(0, 10**6), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_touched_components_alone_give_what_all_would(seed, nights):
    chance = np.random.default_rng(seed)
    left, right, weight = random_graph(seed, 80, 70)
    kept, labels = Components(), np.zeros(0, np.int64)
    for night in range(nights):
        size, upto = 80 * (night + 1) // nights, len(left) * (night + 1) // nights
        kept.grow(size)
        new = slice(len(left) * night // nights, upto)
        inside = np.flatnonzero((left < size) & (right < size))
        fresh = inside[(inside >= new.start) & (inside < upto)]
        # edges whose nodes are not there yet come when they are
        late = inside[(inside < new.start) & (np.maximum(left[inside], right[inside]) >= 80 * night // nights)]
        kept.forget_touched()
        for some in (fresh, late):
            kept.add(left[some], right[some])
        known = inside[inside < upto]
        edges = chance.permutation(known)
        components = kept.labels()
        labels = recluster(labels, components, kept.touched(), left[edges], right[edges], weight[edges], resolution=0.3)
        whole = communities(size, left[known], right[known], weight[known], resolution=0.3)
        assert labels.tolist() == whole.labels.tolist()


@pytest.mark.parametrize("seed", [None, 1])
def test_planted_communities_are_found(seed):
    n, left, right, truth = planted(3, 60, 40, 24_000, 0.75)
    found = communities(n, left, right, resolution=0.06, seed=seed)
    assert normalized_mutual_info_score(truth, found.labels) > 0.999
    plain = propagated(n, left, right, seed=seed or 0)
    assert normalized_mutual_info_score(truth, plain.labels) > 0.99
    assert found.quality >= potts_quality(truth, left, right, resolution=0.06)


@given(graphs(), st.integers(0, 9), st.sampled_from([None, 1, 3]))
@settings(max_examples=100, deadline=None)
def test_label_propagation_ends_where_no_label_ties_more(graph, seed, largest):
    n, left, right, weight, _ = graph
    found = propagated(n, left, right, weight, seed=seed, largest=largest)
    labels = found.labels
    within = (labels[left] == labels[right]) & (weight > 0)
    assert plain_components(n, left[within].tolist(), right[within].tolist()) == labels.tolist()
    assert found.quality is None
    assert found.count == len(set(labels.tolist()))
    assert propagated(n, left, right, weight, seed=seed, largest=largest).labels.tolist() == labels.tolist()
    if largest is not None:
        assert np.bincount(labels).max() <= largest
        return
    ties = np.zeros((n, n))
    np.add.at(ties, (left, labels[right]), weight * (left != right))
    np.add.at(ties, (right, labels[left]), weight * (left != right))
    own = ties[np.arange(n), labels]
    assert (own >= ties.max(axis=1) - 1e-9).all(), "every node has a label that ties it most"


def test_stated_outcomes():
    assert communities(0, [], [], resolution=1.0).labels.tolist() == []
    assert communities(1, [], [], resolution=1.0).labels.tolist() == [0]
    assert communities(3, [0, 1, 2], [0, 1, 2], resolution=0.0).labels.tolist() == [0, 1, 2], "self-loops say nothing"
    assert communities(3, [0, 1], [1, 2], np.zeros(2), resolution=0.0).labels.tolist() == [0, 1, 2], "nor weight 0"
    assert communities(4, [0, 2], [1, 3], resolution=0.0).labels.tolist() == [0, 0, 2, 2], "components at 0"
    twice = communities(2, [0, 1], [1, 0], [0.3, 0.3], resolution=0.5)
    assert twice.labels.tolist() == [0, 0], "repeated edges add up"
    assert communities(2, [0], [1], [0.3], resolution=0.5).labels.tolist() == [0, 1]
    hub = communities(2001, np.zeros(2000, np.int64), np.arange(1, 2001), resolution=0.1)
    assert np.bincount(hub.labels).max() <= 21, "a hub with everyone joins at most what the resolution bears"
    assert not propagated(2001, np.zeros(2000, np.int64), np.arange(1, 2001)).labels.any(), "propagation joins all"
    assert np.bincount(propagated(2001, np.zeros(2000, int), np.arange(1, 2001), largest=50).labels).max() <= 50
    assert communities(2, [0], [1], [1e15], resolution=1e15).labels.tolist() in ([0, 0], [0, 1])
    heavy = communities(3, [0, 1], [1, 2], resolution=0.1, sizes=[100.0, 1.0, 1.0])
    assert heavy.labels.tolist() == [0, 1, 1], "who counts for many is joined by more only"


MALFORMED = [
    ({"resolution": -0.1}, ["structure.setting"], "resolution"),
    ({"resolution": float("nan")}, ["structure.setting"], "nan"),
    ({"resolution": float("inf")}, ["structure.setting"], "inf"),
    ({"resolution": "1"}, ["structure.setting"], "'1'"),
    ({"rounds": 0}, ["structure.setting"], "a whole number from 1"),
    ({"rounds": 1.5}, ["structure.setting"], "1.5"),
    ({"seed": -1}, ["structure.setting"], "seed"),
    ({"weight": [1.0, -1.0]}, ["structure.range"], "the first at 1: -1"),
    ({"weight": [np.nan, np.inf]}, ["structure.range"], "2 out of range"),
    ({"weight": [1.0]}, ["structure.lengths"], "weight"),
    ({"weight": ["a", "b"]}, ["structure.numbers"], "<U1"),
    ({"weight": [[1.0, 1.0]]}, ["structure.numbers"], r"\(1, 2\)"),
    ({"sizes": [1.0, 1.0]}, ["structure.lengths"], "sizes"),
    ({"sizes": [1.0, 1.0, np.nan]}, ["structure.range"], "nan"),
    ({"start": [0, 1]}, ["structure.lengths"], "2 labels"),
    ({"start": [0, 1, 3]}, ["structure.code_range"], "labels"),
    ({"start": [0.5, 1, 2]}, ["structure.codes"], "labels"),
    ({"left": [0, 5]}, ["structure.code_range"], "the first at 1: 5"),
    ({"left": [0, 1, 1]}, ["structure.lengths"], "3 codes"),
    ({"n": -1, "resolution": -1, "weight": [-1.0, 1.0], "seed": 1.5},
     ["structure.setting", "structure.nodes", "structure.range", "structure.setting"], "no number of nodes"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "slugs", "text"), MALFORMED)
def test_malformed_input_is_refused_with_all_problems(change, slugs, text):
    given_ = {"n": 3, "left": [0, 1], "right": [1, 2], "resolution": 0.5, **change}
    with pytest.raises(InvalidInput, match=text) as caught:
        communities(**given_)
    assert [problem.slug for problem in caught.value.problems] == slugs


def test_other_refusals():
    with pytest.raises(InvalidInput, match="largest"):
        propagated(2, [0], [1], largest=0)
    with pytest.raises(InvalidInput, match=r"structure\.code_range"):
        potts_quality(np.array([0, 7]), [0], [1], resolution=1.0)
    with pytest.raises(InvalidInput, match=r"up to 1"):
        recluster([0, 1], [0], [0], [], [], resolution=1.0)
    with pytest.raises(InvalidInput, match=r"touched"):
        recluster([0], [0], [4], [], [], resolution=1.0)


def test_the_examples_in_docstrings():
    assert doctest.testmod(partitions)[0] == 0
