"""Components: equal to plain walks, whatever the order and the cut; kept, touched, stored and refused."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.structure_oracle import plain_components
from shoal.coordination.structure import Components, components, numbered, unionfind
from shoal.coordination.structure.checks import MAX_NODES
from shoal.errors import Corrupt, InvalidInput


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 40))
    code = st.integers(0, n - 1)
    edges = draw(st.lists(st.tuples(code, code), max_size=60))
    return n, np.array([e[0] for e in edges], np.int64), np.array([e[1] for e in edges], np.int64)


@given(graphs(), st.sampled_from([np.int32, np.int64, np.uint8, np.uint64]), st.randoms())
@settings(max_examples=100, deadline=None)
def test_equal_to_plain_walks_in_any_order(graph, dtype, chance):
    n, left, right = graph
    expected = plain_components(n, left.tolist(), right.tolist())
    found = components(n, left.astype(dtype), right.astype(dtype))
    assert found.dtype == np.int64
    assert found.tolist() == expected
    order = list(range(len(left)))
    chance.shuffle(order)
    assert components(n, right[order], left[order].astype(dtype)).tolist() == expected
    dense, count = numbered(found)
    firsts = sorted(set(expected))
    assert count == len(firsts)
    assert dense.tolist() == [firsts.index(label) for label in expected]


@given(graphs(), st.lists(st.integers(0, 20), max_size=6))
@settings(max_examples=100, deadline=None)
def test_kept_components_are_those_at_once_and_know_what_was_touched(graph, cuts):
    n, left, right = graph
    kept, at, joined = Components(0), 0, 0
    for size in [*cuts, len(left)]:
        part = slice(at, at + size)
        kept.grow(max([kept.size, *(left[part] + 1).tolist(), *(right[part] + 1).tolist()]))
        before = kept.labels()
        kept.forget_touched()
        new = kept.add(left[part], right[part])
        joined += new
        labels = kept.labels()
        assert kept.touched().tolist() == sorted({int(labels[u]) for u in left[part]})
        changed = set(labels[: len(before)][labels[: len(before)] != before].tolist())
        assert changed <= set(kept.touched().tolist())
        again = Components(3)
        again.restore(kept.snapshot())
        assert all(
            a.tobytes() == b.tobytes() for a, b in zip(kept.snapshot().values(), again.snapshot().values(), strict=True)
        )
        kept, at = again, at + size
    kept.grow(n)
    expected = components(n, left, right)
    assert kept.labels().tolist() == expected.tolist()
    assert joined == n - numbered(expected)[1]
    assert [kept.find(x) for x in range(n)] == expected.tolist()


def test_stated_outcomes():
    assert components(0, [], []).tolist() == []
    assert components(1, [], []).tolist() == [0]
    assert components(3, [1, 1], [1, 1]).tolist() == [0, 1, 2], "self-loops join nothing"
    hub = components(1000, np.zeros(999, np.int32), np.arange(1, 1000, dtype=np.int32))
    assert not hub.any(), "a hub with everyone is one component"
    chain = components(100_000, np.arange(99_999), np.arange(1, 100_000))
    assert not chain.any()
    back = components(100_000, np.arange(99_999, 0, -1), np.arange(99_998, -1, -1))
    assert not back.any()
    kept = Components(3)
    assert kept.add([1], [1]) == 0
    assert kept.touched().tolist() == [1]
    kept.grow(2)
    assert kept.size == 3, "nothing shrinks"


MALFORMED = [
    ((-1, [], []), ["structure.nodes"], "-1 is no number of nodes"),
    ((True, [], []), ["structure.nodes"], "True"),
    ((2.0, [], []), ["structure.nodes"], "2.0"),
    ((MAX_NODES + 1, [], []), ["structure.nodes"], "2,147,483,646"),
    ((3, [0, 3, 7], [0, 1, -2]), ["structure.code_range", "structure.code_range"], "the first at 1: 3"),
    ((0, [0], [0]), ["structure.code_range", "structure.code_range"], "there are no nodes"),
    ((3, [0, 1], [1]), ["structure.lengths"], "2 codes in left and 1 in right"),
    ((3, [0.0], [1]), ["structure.codes"], "float64"),
    ((3, [None], ["a"]), ["structure.codes", "structure.codes"], "object"),
    ((3, [True], [False]), ["structure.codes", "structure.codes"], "bool"),
    ((3, [[0, 1]], [[1, 2]]), ["structure.codes", "structure.codes"], r"shape \(1, 2\)"),
    ((-1, ["a"], [1]), ["structure.nodes", "structure.codes"], "<U1"),
    ((3, np.array([2**63], np.uint64), np.array([1], np.uint64)), ["structure.code_range"], "out of range"),
]


@pytest.mark.parametrize(("given_", "slugs", "text"), MALFORMED)
def test_malformed_graphs_are_refused_with_all_problems(given_, slugs, text):
    with pytest.raises(InvalidInput, match=text) as caught:
        components(*given_)
    assert [problem.slug for problem in caught.value.problems] == slugs
    n, left, right = given_
    if slugs[0] != "structure.nodes":
        kept = Components(n)
        with pytest.raises(InvalidInput, match=text):
            kept.add(left, right)
        assert kept.labels().tolist() == list(range(n)), "nothing was added"
        assert not len(kept.touched())


def test_other_refusals():
    with pytest.raises(InvalidInput, match=r"structure\.nodes"):
        Components(-3)
    with pytest.raises(InvalidInput, match=r"structure\.nodes"):
        Components(3).grow(2**40)
    with pytest.raises(InvalidInput, match=r"structure\.code_range"):
        Components(3).find(3)


SNAPSHOTS = [
    ({"labels": np.array([0, 2, 2], np.int32)}, "smallest members"),
    ({"labels": np.array([0, 0, 1], np.int32)}, "smallest members"),
    ({"labels": np.array([0, -1, 2], np.int32)}, "smallest members"),
    ({"labels": np.array([0, 1, 2])}, "int32"),
    ({"touched": np.array([3], np.int32)}, "smallest members"),
    ({"touched": np.array([[0]], np.int32)}, "int32"),
    ({"format": np.array([2])}, "format 1"),
    ({"format": None}, "lacks format"),
    ({"labels": None}, "lacks labels"),
]


@pytest.mark.parametrize(("change", "text"), SNAPSHOTS)
def test_a_snapshot_that_is_none_is_refused(change, text):
    kept = Components(3)
    kept.add([0], [1])
    wrong = {k: v for k, v in {**kept.snapshot(), **change}.items() if v is not None}
    with pytest.raises(Corrupt, match=text):
        kept.restore(wrong)
    assert kept.labels().tolist() == [0, 0, 2]


def test_the_examples_in_docstrings():
    assert doctest.testmod(unionfind)[0] == 0
