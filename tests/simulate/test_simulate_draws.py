"""Array functions against their slow twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import simulate_oracle as oracle
from shoal.simulate.draws import generator, mix, pick, ragged, rank_within, running, unit
from shoal.simulate.render import hex_texts

counts = st.lists(st.integers(0, 6), max_size=12)


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=20), st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_mix_is_splitmix64(codes, salt):
    assert mix(np.array(codes), salt).tolist() == [oracle.mix(code, salt) for code in codes]


def test_mix_is_unique_for_unique_codes():
    codes = np.arange(200_000)
    assert len(np.unique(mix(codes, 3))) == len(codes)


@given(counts)
@settings(max_examples=60, deadline=None)
def test_ragged(sizes):
    group, place = ragged(np.array(sizes, dtype=np.int64))
    assert (group.tolist(), place.tolist()) == oracle.ragged(sizes)


@given(counts, st.data())
@settings(max_examples=60, deadline=None)
def test_running_sums_inside_groups(sizes, data):
    values = data.draw(st.lists(st.integers(-50, 50), min_size=sum(sizes), max_size=sum(sizes)))
    found = running(np.array(values, dtype=np.int64), np.array(sizes, dtype=np.int64))
    assert found.tolist() == oracle.running(values, sizes)


@given(st.lists(st.integers(0, 5), max_size=40))
@settings(max_examples=60, deadline=None)
def test_rank_within(keys):
    assert rank_within(np.array(keys, dtype=np.int64)).tolist() == oracle.rank_within(keys)


@given(st.lists(st.tuples(st.integers(0, 2**63 - 1), st.booleans()), min_size=1, max_size=20), st.integers(1, 32))
@settings(max_examples=60, deadline=None)
def test_hex_texts(rows, digits):
    words = np.array([word for word, _ in rows], dtype=np.uint64)
    valid = np.array([kept for _, kept in rows])
    found = hex_texts("x-", [words, words + np.uint64(1)], digits, valid)
    found.validate(full=True)
    wanted = [oracle.hex_text("x-", [word, word + 1], digits) if kept else None for word, kept in rows]
    assert found.to_pylist() == wanted


def test_generators_differ_by_part_and_repeat():
    first = generator(1, "visits", 2).random(4)
    assert generator(1, "visits", 2).random(4).tolist() == first.tolist()
    for other in (generator(1, "visits", 3), generator(2, "visits", 2), generator(1, "actions", 2)):
        assert other.random(4).tolist() != first.tolist()


def test_pick_follows_the_weights():
    found = np.bincount(pick(generator(1, "t"), [1, 0, 3], 40_000), minlength=3) / 40_000
    assert found == pytest.approx([0.25, 0, 0.75], abs=0.01)


def test_unit_is_uniform():
    values = unit(np.arange(100_000), 9)
    assert np.histogram(values, 10, (0, 1))[0] == pytest.approx([10_000] * 10, rel=0.05)
