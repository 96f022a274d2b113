"""The random cut forest over a stream: equal to its plain twin, whatever the cut into batches; and as a signal."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.stream_forest_oracle import PlainForest
from shoal.detectors.anomaly import streaming
from shoal.detectors.anomaly.streaming import RandomCutForest, cuts_kernel
from shoal.detectors.anomaly.streaming.signal import StreamAnomaly
from shoal.detectors.signal_kinds import KINDS, signal_columns
from shoal.detectors.signals import SignalDefinition
from shoal.errors import Corrupt, InvalidInput
from shoal.events.identity import Identity
from shoal.events.schema import Flag, Kind
from shoal.expressions.frame import Frame, Layout
from shoal.features.engine import Stamps

SMALL = {"trees": 5, "depth": 6, "window": 64, "warm_up": 20}


def rows(seed=0, count=300, columns=3):
    """Correlated, skewed, discrete and constant columns, a few outliers, a few unknown values."""
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(count, columns)) @ chance.normal(size=(columns, columns))
    x[:, 0] = chance.integers(0, 3, count)
    x[:, -1] = np.exp(x[:, -1])
    if columns > 2:
        x[:, 1] = 4.0
    x[chance.random(count) < 0.02] *= 50
    x[chance.random(count) < 0.03, 0] = np.nan
    return x


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(16, 90), st.integers(1, 9), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_equal_to_the_plain_twin_bit_for_bit(seed, columns, warm_up, depth, trees):
    x = rows(seed, 260, columns)
    learn = np.random.default_rng(seed + 1).random(len(x)) < 0.9
    window = max(64, warm_up)
    fast = RandomCutForest(columns, trees=trees, depth=depth, window=window, warm_up=warm_up, seed=seed)
    plain = PlainForest(columns, trees, depth, window, warm_up, seed)
    expected = np.array([plain.update(row.tolist(), mark) for row, mark in zip(x, learn, strict=True)])
    score, tail = fast.update(x, learn)
    assert score.tobytes() == np.ascontiguousarray(expected[:, 0]).tobytes()
    assert tail.tobytes() == np.ascontiguousarray(expected[:, 1]).tobytes()


@given(st.integers(0, 1000), st.lists(st.integers(1, 60), max_size=12))
@settings(max_examples=40, deadline=None)
def test_any_cut_into_batches_gives_the_same(seed, cuts):
    x = rows(seed)
    whole, parts = RandomCutForest(3, **SMALL), RandomCutForest(3, **SMALL)
    expected = whole.update(x)
    found, at = [], 0
    for size in [*cuts, len(x)]:
        found.append(parts.update(x[at : at + size]))
        at += size
        if at < len(x):  # and a restart in between
            again = RandomCutForest(3, **SMALL)
            again.restore(parts.snapshot())
            parts = again
    for i in (0, 1):
        assert np.concatenate([part[i] for part in found]).tobytes() == expected[i].tobytes()
    mine, other = whole.snapshot(), parts.snapshot()
    assert mine.keys() == other.keys()
    assert all(mine[name].tobytes() == other[name].tobytes() for name in mine)


def test_single_rows_are_as_a_batch():
    x = rows(3, 150)
    forest = RandomCutForest(3, **SMALL)
    one = np.concatenate([forest.score_then_learn(row) for row in x])
    listed = RandomCutForest(3, **SMALL)
    two = np.concatenate([listed.score_then_learn(row.tolist()) for row in x])
    assert one.tobytes() == two.tobytes() == RandomCutForest(3, **SMALL).score_then_learn(x).tobytes()


def test_it_finds_what_lies_apart_and_forgets_what_is_long_past():
    chance = np.random.default_rng(1)
    forest = RandomCutForest(2, seed=3)
    usual = forest.score_then_learn(chance.normal(size=(6000, 2)))
    worst = np.nanmax(usual)
    far = np.array([5.0, -5.0])
    assert forest.update(far, np.array([False]))[0][0] > worst
    assert forest.update(far, np.array([False]))[1][0] == 1 / 2049
    moved = forest.score_then_learn(chance.normal(size=(4500, 2)) + far)
    assert moved[:20].mean() > np.nanquantile(usual, 0.99)
    assert moved[-500:].mean() < np.nanmean(usual) + 0.05, "after two windows the new place is usual"
    assert forest.update([0.0, 0.0], np.array([False]))[0][0] > np.quantile(moved[-500:], 0.99)


def test_tails_are_about_uniform_on_a_steady_stream():
    forest = RandomCutForest(3, seed=1)
    _, tail = forest.update(np.random.default_rng(2).normal(size=(20_000, 3)))
    known = tail[np.isfinite(tail)]
    assert len(known) == 20_000 - 256 - 2048
    for share in (0.01, 0.1, 0.5):
        assert abs((known <= share).mean() - share) < 0.25 * share + 0.004


def test_a_row_that_is_not_learned_changes_nothing():
    x = rows(5, 200)
    x = x[np.isfinite(x).all(axis=1)]
    with_it, without = RandomCutForest(3, **SMALL), RandomCutForest(3, **SMALL)
    with_it.score_then_learn(x[:100])
    without.score_then_learn(x[:100])
    with_it.update(np.full((50, 3), 9.0), np.zeros(50, np.bool_))
    with_it.score_then_learn(np.full((5, 3), np.nan))
    assert with_it.score_then_learn(x[100:]).tobytes() == without.score_then_learn(x[100:]).tobytes()


MALFORMED = [
    ([[1.0, 2.0]], "detector.shape", "2 columns"),
    ([1.0, 2.0], "detector.shape", "2 columns"),
    (5.0, "detector.shape", "a single number"),
    (np.zeros((2, 2, 2)), "detector.shape", "2 x 2 x 2"),
    (["a", "b", "c"], "detector.not_numbers", "<U1"),
    ([[1, 2, 3], [4]], "detector.not_numbers", "inhomogeneous"),
    ([[None, 1, 2]], "detector.not_numbers", "object"),
]


@pytest.mark.parametrize(("given_rows", "slug", "text"), MALFORMED)
def test_malformed_rows_are_refused_and_learned_from_not_at_all(given_rows, slug, text):
    forest = RandomCutForest(3, **SMALL)
    forest.score_then_learn(rows(0, 50))
    before = {name: array.tobytes() for name, array in forest.snapshot().items()}
    with pytest.raises(InvalidInput, match=text) as caught:
        forest.score_then_learn(given_rows)
    assert [problem.slug for problem in caught.value.problems] == [slug]
    assert {name: array.tobytes() for name, array in forest.snapshot().items()} == before


def test_marks_must_fit_the_rows():
    with pytest.raises(InvalidInput, match="marks"):
        RandomCutForest(3, **SMALL).update(np.zeros((4, 3)), np.ones(3, np.bool_))


@pytest.mark.parametrize(
    "asked",
    [
        {"columns": 0}, {"columns": 5000}, {"trees": 0}, {"depth": 0}, {"depth": 65}, {"warm_up": 3}, {"seed": -1},
        {"window": 19}, {"window": 2**21}, {"trees": 65}, {"depth": float("nan")},
    ],
)  # fmt: skip
def test_settings_out_of_range(asked):
    with pytest.raises(InvalidInput, match=r"detector\.setting"):
        RandomCutForest(**{"columns": 3, **SMALL, **asked})


def test_extreme_values_are_scored():
    forest = RandomCutForest(2, **SMALL)
    x = np.random.default_rng(0).normal(size=(200, 2)) * [1e-300, 1e300]
    x[150:, 0] = 1.7e308
    with np.errstate(over="ignore"):
        assert np.isfinite(forest.score_then_learn(x)[20:]).all()
    alike = RandomCutForest(2, **SMALL)
    assert (alike.score_then_learn(np.ones((90, 2)))[20:] == 0.5).all(), "all alike is ordinary"
    assert alike.score_then_learn([1.0, 2.0])[0] == 1.0, "and a departure is the most unusual that there is"


@pytest.mark.parametrize("name", ["column", "child", "counters", "unit", "ring"])
def test_a_state_that_does_not_fit_is_refused(name):
    forest = RandomCutForest(3, **SMALL)
    forest.score_then_learn(rows(1, 200))
    good = forest.snapshot()
    wrong = dict(good)
    wrong[name] = np.full_like(good[name], 10_000) if name != "unit" else np.zeros_like(good[name])
    if name == "ring":
        wrong[name] = good[name][:5]
    fresh = RandomCutForest(3, **SMALL)
    with pytest.raises(Corrupt, match="random cut forest"):
        fresh.restore(wrong)
    with pytest.raises(Corrupt, match="lacks"):
        fresh.restore({k: v for k, v in good.items() if k != name})
    assert not fresh.ready


def test_the_examples_in_docstrings():
    assert doctest.testmod(streaming.forest, globs={"RandomCutForest": RandomCutForest, "np": np})[0] == 0


# --- as a signal

LAYOUT = Layout.of({"type": Kind.TEXT, "size_bytes": Kind.INT, "rate": Kind.FLOAT, "external": Kind.BOOL})
IDENTITY = Identity(b"k" * 16)


def definition(**asked):
    values = {name: setting.default for name, setting in StreamAnomaly.settings.items()}
    body = {"columns": ("size_bytes", "rate", "external"), "warm_up": 30, "window": 64, "trees": 4, **asked}
    return SignalDefinition("odd", "stream_anomaly", {**values, **body})


def events(count=240, seed=0):
    chance = np.random.default_rng(seed)
    some = [
        {
            "type": "file.downloaded" if chance.random() < 0.8 else "login.failed",
            "size_bytes": None if chance.random() < 0.05 else int(chance.lognormal(8, 2)),
            "rate": float(chance.normal()),
            "external": bool(chance.random() < 0.2),
        }
        for _ in range(count)
    ]
    flags = np.where(chance.random(count) < 0.1, int(Flag.LATE), 0).astype(np.uint8)
    shoal = (chance.random(count) < 0.1).astype(np.uint8)
    return some, flags, shoal


def run(signal, some, flags, shoal, cuts=()):
    found, at = [], 0
    for size in [*cuts, len(some)]:
        part = some[at : at + size]
        if not part:
            break
        frame = Frame.of_rows(part, LAYOUT, IDENTITY)
        order = np.arange(at, at + len(part), dtype=np.int64)
        stamps = Stamps(order, order, order, flags[at : at + size], shoal[at : at + size])
        values, valid = np.full((2, len(part) + 3), 7, np.int64), np.full((2, len(part) + 3), 7, np.uint8)
        signal.update(frame, stamps, values, valid)
        found.append((values[:, : len(part)], valid[:, : len(part)]))
        at += size
    return tuple(np.concatenate([part[i] for part in found], axis=1) for i in (0, 1))


def test_the_signal_scores_what_its_condition_picks_and_learns_what_is_no_exception():
    some, flags, shoal = events()
    signal = StreamAnomaly(definition(where="type = 'file.downloaded'"), LAYOUT, IDENTITY, {})
    values, valid = run(signal, some, flags, shoal)
    plain = PlainForest(3, 4, 8, 64, 30, 0)
    for i, row in enumerate(some):
        score = tail = float("nan")
        if row["type"] == "file.downloaded" and row["size_bytes"] is not None:
            numbers = [float(row["size_bytes"]), row["rate"], float(row["external"])]
            score, tail = plain.update(numbers, not flags[i] and not shoal[i])
        for place, expected in ((0, score), (1, tail)):
            assert valid[place, i] == np.isfinite(expected)
            assert values[place, i : i + 1].view(np.float64)[0] == (expected if np.isfinite(expected) else 0.0)
    assert valid[0].sum() > 80
    assert valid[1].sum() > 5


@given(st.integers(0, 50), st.lists(st.integers(1, 40), max_size=10))
@settings(max_examples=25, deadline=None)
def test_the_signal_does_not_see_the_cut(seed, cuts):
    some, flags, shoal = events(200, seed)
    whole = StreamAnomaly(definition(), LAYOUT, IDENTITY, {})
    parts = StreamAnomaly(definition(), LAYOUT, IDENTITY, {})
    expected, found = run(whole, some, flags, shoal), run(parts, some, flags, shoal, cuts)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(expected, found, strict=True))
    mine, other = whole.snapshot(), parts.snapshot()
    assert all(mine[name].tobytes() == other[name].tobytes() for name in mine)
    more = events(60, seed + 1)
    again = StreamAnomaly(definition(), LAYOUT, IDENTITY, {})
    again.warm()
    again.restore(mine)
    assert run(again, *more)[0].tobytes() == run(whole, *more)[0].tobytes()


def test_the_kind_is_registered_with_its_columns():
    assert KINDS["stream_anomaly"] is StreamAnomaly
    assert list(signal_columns(definition())) == ["odd.score", "odd.tail"]
    assert StreamAnomaly.reads(definition().settings) == {"size_bytes", "rate", "external"}
    assert set(StreamAnomaly.settings) == {"where", "columns", "trees", "depth", "window", "warm_up", "seed"}


REFUSED = [
    ({"columns": ()}, {"signal.columns"}, "0 columns"),
    ({"columns": ("type",)}, {"signal.column_kind"}, "of kind text"),
    ({"columns": ("rate", "rate")}, {"signal.column_twice"}, "named 2 times"),
    ({"columns": ("size_byte", "type")}, {"signal.unknown_column", "signal.column_kind"}, "did you mean 'size_bytes'"),
    ({"window": 32, "warm_up": 40}, {"signal.window"}, "40 or more"),
    ({"where": "sise_bytes > 3"}, {"expression.unknown_column"}, "size_bytes"),
]


@pytest.mark.parametrize(("asked", "slugs", "text"), REFUSED)
def test_settings_that_make_no_signal(asked, slugs, text):
    with pytest.raises(InvalidInput, match=text) as caught:
        StreamAnomaly(definition(**asked), LAYOUT, IDENTITY, {})
    assert {problem.slug for problem in caught.value.problems} == slugs


def test_the_kernel_draws_the_published_numbers():
    """SplitMix64 with seed 1234567: the first outputs of the reference implementation."""
    state = np.array([1234567], np.uint64)
    found = [int(cuts_kernel.draw(state) * 2**53) for _ in range(3)]
    assert found == [n >> 11 for n in (6457827717110365317, 3203168211198807973, 9817491932198370423)]
