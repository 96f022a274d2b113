"""Components in SQL against SciPy's, on DuckDB; `test_coaction_spark` has the same on Spark."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from shoal.coordination.coaction import DuckEngine
from shoal.coordination.coaction.components import components
from shoal.errors import Permanent


def by_scipy(u, v, nodes):
    """The smallest node of each node's component, of nodes with an edge to another."""
    graph = coo_array((np.ones(len(u), np.int8), (u, v)), shape=(nodes, nodes))
    _, label = connected_components(graph, directed=False)
    least = np.full(label.max() + 1, nodes)
    np.minimum.at(least, label, np.arange(nodes))
    other = np.asarray(u) != np.asarray(v)
    present = np.unique(np.concatenate([np.asarray(u)[other], np.asarray(v)[other]]))
    return dict(zip(present.tolist(), least[label[present]].tolist(), strict=True))


def by_sql(engine, u, v, **more):
    engine.load("links", pa.table({"u": pa.array(u, pa.int64()), "v": pa.array(v, pa.int64())}))
    answer = components(engine, "links", **more)
    assert answer["node"].to_pylist() == sorted(answer["node"].to_pylist())
    return dict(zip(answer["node"].to_pylist(), answer["component"].to_pylist(), strict=True))


@pytest.fixture(scope="module")
def duck():
    engine = DuckEngine()
    yield engine
    engine.close()


EDGES = st.lists(st.tuples(st.integers(0, 25), st.integers(0, 25)), min_size=1, max_size=40)


@given(EDGES)
@settings(max_examples=25, deadline=None)
def test_components_are_those_of_scipy(duck, edges):
    u, v = map(list, zip(*edges, strict=True))
    assert by_sql(duck, u, v) == by_scipy(u, v, 26)


def test_shapes_that_are_hard(duck):
    line = list(range(300))
    assert set(by_sql(duck, line[:-1], line[1:], rounds=20).values()) == {0}
    assert set(by_sql(duck, [299] * 299, line[:-1]).values()) == {0}
    mixed = np.random.default_rng(0).permutation(300).tolist()
    assert set(by_sql(duck, mixed[:-1], mixed[1:], rounds=20).values()) == {0}
    assert by_sql(duck, [], []) == {}
    assert by_sql(duck, [5, 5], [5, 5]) == {}
    assert by_sql(duck, [-4, 2**62], [9, 9]) == {-4: -4, 9: -4, 2**62: -4}


def test_too_few_rounds_and_bad_names_are_refused(duck):
    with pytest.raises(Permanent):
        by_sql(duck, list(range(299)), list(range(1, 300)), rounds=2)
    with pytest.raises(ValueError):
        components(duck, "links; DROP TABLE links")
    with pytest.raises(ValueError):
        duck.keep("a b", "SELECT 1")
