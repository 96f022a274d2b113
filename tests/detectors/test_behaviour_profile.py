"""`behaviour_embedding`: its plain twin, the laws of signals, what an embedding adds, and what it refuses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.behaviour_streams import DAY, IDENTITY, LAYOUT, US, event, make, streams
from oracles.profile_oracle import PlainProfile
from shoal.detectors.behaviour import BehaviourEmbedding, NgramEmbedding, PeerGroups, fit_profile
from shoal.detectors.signal_kinds import KINDS
from shoal.errors import Corrupt, InvalidInput
from shoal.events.schema import Flag
from shoal.expressions.frame import Frame
from shoal.features.engine import Stamps

AFTER = 10**15 + 3000 * 60 * US
SMALL = {"cells": 64, "dimensions": 3, "bag": 6, "recent": 4.0, "half_life": 86_400.0, "keys": 16, "token": ("type",)}


def small(**said) -> BehaviourEmbedding:
    signal = make(BehaviourEmbedding, **{**SMALL, **said})
    assert isinstance(signal, BehaviourEmbedding)
    return signal


def feed(signal: BehaviourEmbedding, rows: list[dict], cuts=()):
    """The outputs [n, 3 + dimensions], NaN where null."""
    width = 3 + signal.dimensions
    out = np.full((len(rows), width), np.nan)
    edges = [0, *sorted({c for c in cuts if 0 < c < len(rows)}), len(rows)]
    for start, end in itertools.pairwise(edges):
        piece = rows[start:end]
        at = np.array([r["as_of"] for r in piece], np.int64)
        flags = np.array([Flag.LATE if r["late"] else 0 for r in piece], np.uint8)
        stamps = Stamps(at, at, at, flags, np.array([r["shoal"] for r in piece], np.uint8))
        values, valid = np.zeros((width, len(piece) + 3), np.int64), np.full((width, len(piece) + 3), 7, np.uint8)
        signal.update(Frame.of_rows(piece, LAYOUT, IDENTITY), stamps, values, valid)
        assert (valid[:, len(piece) :] == 7).all()
        got = values[:, : len(piece)].view(np.float64).copy()
        got[0] = values[0, : len(piece)]
        out[start:end] = np.where(valid[:, : len(piece)] == 1, got, np.nan).T
    return out


def space(signal: BehaviourEmbedding, groups: int = 3, seed: int = 1) -> dict[str, np.ndarray]:
    """Any embedding of the right form."""
    rng = np.random.default_rng(seed)
    cells = int(signal.definition.settings["cells"])  # type: ignore[call-overload]
    weights = rng.normal(size=(cells, signal.dimensions))
    centres = rng.normal(size=(groups, signal.dimensions))
    return NgramEmbedding(weights, signal.longest).arrays() | PeerGroups(centres).arrays()


@pytest.mark.parametrize("said", [{}, {"longest": 1, "bag": 4}, {"longest": 3, "bag": 9, "recent": 1.0}])
@given(rows=streams(), at=st.integers(0, 40))
@settings(max_examples=15, deadline=None)
def test_it_is_its_plain_twin(said, rows, at):
    signal = small(**said)
    arrays = space(signal)
    at = min(at, len(rows))
    twin = PlainProfile(IDENTITY, longest=signal.longest, cells=64, bag=said.get("bag", 6),
                        recent=said.get("recent", 4.0), half_life=DAY, keys=16)  # fmt: skip
    expected = [twin.step(row, signal.dimensions) for row in rows[:at]]
    got = feed(signal, rows[:at])
    assert signal.take_up(arrays, 5) == ""
    twin.weights, twin.centres = arrays["embedding.weights"], arrays["groups.centres"]
    expected += [twin.step(row, signal.dimensions) for row in rows[at:]]
    got = np.vstack([got, feed(signal, rows[at:])])
    want = np.array(expected).reshape(len(rows), 3 + signal.dimensions)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    assert np.isnan(got[:at]).all(), "null until something is published"


def lived(accounts: int = 60, events: int = 40, seed: int = 0) -> list[dict]:
    """Accounts of two kinds: those who read, and those who write and share."""
    rng = np.random.default_rng(seed)
    kinds = [["login.succeeded", "file.downloaded"], ["file.uploaded", "link.created", "file.renamed"]]
    rows = []
    for k in range(events):
        for who in rng.permutation(accounts).tolist():
            mine = kinds[who % 2]
            rows.append(event(f"a{who}", (k * accounts + len(rows)) * 60 * US, mine[int(rng.integers(len(mine)))]))
    return [row | {"as_of": 10**15 + place * 60 * US} for place, row in enumerate(rows)]


def test_batches_and_snapshots_change_nothing():
    rows = lived(20, 20)
    whole, cut, again = small(), small(), small()
    arrays = space(whole)
    for signal in (whole, cut):
        signal.take_up(arrays, 1)
    want = feed(whole, rows)
    np.testing.assert_array_equal(feed(cut, rows[:200], cuts=[1, 2, 50, 133]), want[:200])
    saved = {name: array.copy() for name, array in cut.snapshot().items()}
    again.take_up(arrays, 1)
    again.restore(saved)
    np.testing.assert_array_equal(feed(again, rows[200:]), want[200:])
    assert all(np.array_equal(a, b) for a, b in zip(again.snapshot().values(), whole.snapshot().values(), strict=True))


def test_fitted_groups_are_kinds_and_an_account_that_changes_is_far_from_itself():
    rows = lived()
    signal = small(cells=256, bag=24, keys=256, half_life=60 * 86_400.0)
    feed(signal, rows)
    arrays = fit_profile(signal, groups=2)
    assert signal.take_up(arrays, 7) == ""
    after = feed(signal, [event(f"a{who}", AFTER, "file.downloaded" if who % 2 == 0 else "link.created")
                          for who in range(60)])  # fmt: skip
    groups = after[:, 0]
    assert len(set(groups[::2])) == len(set(groups[1::2])) == 1
    assert groups[0] != groups[1]
    assert np.median(after[:, 2]) < 0.2
    changed = feed(signal, [event("a0", AFTER + k * US, ("file.uploaded", "link.created")[k % 2])
                            for k in range(12)])  # fmt: skip
    assert changed[-1, 0] == groups[0], "its habits are what they were"
    assert changed[-1, 2] > max(1.0, after[:, 2].max())
    assert changed[-1, 1] > changed[0, 1]
    np.testing.assert_allclose((changed[:, 3:] ** 2).sum(axis=1), 1.0)


def test_fitting_depends_on_neither_the_order_of_accounts_nor_batches():
    rows = lived()
    one, other = small(cells=256, bag=24, keys=256), small(cells=256, bag=24, keys=256)
    feed(one, rows)
    feed(other, sorted(rows, key=lambda row: (row["account"], row["as_of"])), cuts=range(0, 2400, 7))
    first, second = fit_profile(one, groups=2), fit_profile(other, groups=2)
    for name in first:
        np.testing.assert_allclose(first[name], second[name], atol=1e-4)
    again = fit_profile(one, groups=2)
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)


def test_withdrawing_makes_it_null_and_late_and_own_rows_are_read_only():
    signal = small()
    signal.take_up(space(signal), 1)
    before = feed(signal, lived(4, 5))
    kept = {name: array.copy() for name, array in signal.snapshot().items()}
    still = feed(signal, [event("a1", AFTER, late=True), event("a2", AFTER, shoal=1), event("new", AFTER, late=True)])
    assert all(np.array_equal(kept[name], array) for name, array in signal.snapshot().items())
    assert not np.isnan(still[:2]).any()
    assert np.isnan(still[2]).all()
    assert not np.isnan(before[-1]).any()
    assert signal.take_up({}, 9) == ""
    assert np.isnan(feed(signal, [event("a1", AFTER)])).all()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"embedding.weights": np.zeros((64, 2))}, "dimensions is 2"),
        ({"embedding.weights": np.zeros((32, 3))}, "cells is 32"),
        ({"embedding.weights": np.full((64, 3), np.nan)}, "no matrix of finite numbers"),
        ({"embedding.weights": np.zeros((63, 3))}, "a power of two"),
        ({"embedding.head": np.array([1, 3])}, "longest is 3"),
        ({"embedding.head": np.array([9, 2])}, "another version"),
        ({"groups.centres": np.zeros((3, 4))}, "centres (3, 4)"),
        ({"groups.centres": np.zeros((257, 3))}, "centres (257, 3)"),
        ({"groups.centres": None}, "groups.centres is missing"),
        ({"more": np.zeros(1)}, "no such array: 'more'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_and_change_nothing(change, told):
    signal = small()
    sound = space(signal)
    signal.take_up(sound, 1)
    rows = lived(4, 5)
    hostile = {name: array for name, array in {**sound, **change}.items() if array is not None}
    assert told in signal.take_up(hostile, 2)
    other = small()
    other.take_up(sound, 1)
    np.testing.assert_array_equal(feed(signal, rows), feed(other, rows))


@pytest.mark.parametrize(
    ("said", "slug"),
    [({"groups": 0}, "embedding.setting"), ({"least": float("nan")}, "embedding.setting"),
     ({"most": 0}, "embedding.setting"), ({"least": 1e6}, "embedding.too_few"), ({"groups": 61}, "embedding.too_few")],
)  # fmt: skip
def test_bad_requests_for_a_fit(said, slug):
    signal = small(cells=256, bag=24, keys=256, half_life=60 * 86_400.0)
    feed(signal, lived(60, 5))
    with pytest.raises(InvalidInput) as error:
        fit_profile(signal, **said)
    assert error.value.problems[0].slug == slug


@pytest.mark.parametrize("said", [{"cells": 63}, {"dimensions": 0}, {"bag": 3}, {"recent": 0.1}, {"key": ()}, {"x": 1}])
def test_bad_settings(said):
    with pytest.raises(InvalidInput):
        small(**said)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("grams", lambda a: a + 64), ("before", lambda a: a + 3), ("lately", lambda a: a * np.nan),
     ("habit", lambda a: -a - 1), ("last", lambda a: a[:-1]), ("ids", lambda a: a * 0)],
)  # fmt: skip
def test_a_damaged_snapshot_is_refused(name, wrong):
    signal = small()
    feed(signal, lived(8, 5))
    saved = dict(signal.snapshot())
    with pytest.raises(Corrupt), np.errstate(all="ignore"):
        small().restore({**saved, name: wrong(saved[name])})


def test_memory_is_bounded_and_the_kind_is_known():
    signal = make(BehaviourEmbedding)
    assert isinstance(signal, BehaviourEmbedding)
    assert signal.bytes_per_key < 700
    assert KINDS["behaviour_embedding"] is BehaviourEmbedding
    few = small(keys=16)
    feed(few, lived(60, 4))
    assert few.keys == 16
