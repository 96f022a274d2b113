"""Bursts of edges: equal to plain counting, blind to the cut, better than counts; and as the signal `edge_burst`."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from oracles.bursts_oracle import PlainBursts, PublishedMidasF
from shoal.detectors.bursts import EdgeBursts, stream
from shoal.detectors.bursts.signal import EdgeBurst
from shoal.detectors.signal_kinds import KINDS, signal_columns
from shoal.detectors.signals import SignalDefinition
from shoal.errors import Corrupt, InvalidInput
from shoal.events.identity import Identity
from shoal.events.schema import Flag, Kind
from shoal.expressions.frame import Frame, Layout
from shoal.features.engine import Stamps

MINUTE = 60_000_000
WIDE = {"width": 2**16, "depth": 3}
SETTINGS = {"carry": 0.5, "spread": 0.25, "limit": 20.0, "least": 0.1, "half_life_ticks": 0.0, "warm_up": 3}


def edges(seed, count=300, gaps=(0.8, 0.15, 0.05)):
    """Few keys, several edges a tick, silent ticks, late edges among them; some are not to be learned."""
    chance = np.random.default_rng(seed)
    ticks = np.cumsum(chance.choice([0, 1, 7], count, p=gaps)) - 5
    times = ticks * MINUTE + np.sort(chance.integers(0, MINUTE, count)) * (chance.random() < 0.5)
    times = np.where(chance.random(count) < 0.05, times - 3 * MINUTE, times)
    return chance.zipf(1.6, count) % 9, chance.integers(0, 6, count), times, chance.random(count) < 0.9


@given(
    st.integers(0, 2**32), st.sampled_from([0.0, 0.5, 0.9]), st.sampled_from([0.0, 0.25]), st.sampled_from([1.0, 1e12]),
    st.sampled_from([0.0, 5.0]), st.sampled_from([0, 3]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_equal_to_plain_counting(seed, carry, spread, limit, half_life, warm_up):
    said = SETTINGS | {"carry": carry, "spread": spread, "limit": limit, "half_life_ticks": half_life,
                       "warm_up": warm_up}  # fmt: skip
    account, entity, times, learn = edges(seed)
    found = EdgeBursts(tick_us=MINUTE, seed=seed, **WIDE, **said).update(account, entity, times, learn)
    plain = PlainBursts(MINUTE, **said)
    expected = [plain.step(*row) for row in zip(*(x.tolist() for x in (account, entity, times, learn)), strict=True)]
    np.testing.assert_allclose(found, np.array(expected).T, rtol=1e-7, atol=1e-9)
    assert warm_up or np.isfinite(found[0]).sum() > 250


@given(st.integers(0, 1000), st.lists(st.integers(0, 60), max_size=12))
@settings(max_examples=40, deadline=None)
def test_any_cut_into_batches_gives_the_same(seed, cuts):
    account, entity, times, learn = edges(seed)
    small = {"width": 64, "depth": 2, **SETTINGS}
    whole, parts = EdgeBursts(tick_us=MINUTE, **small), EdgeBursts(tick_us=MINUTE, **small)
    expected = whole.update(account, entity, times, learn)
    found, at = [], 0
    for size in [*cuts, len(times)]:
        rows = slice(at, at + size)
        found.append(parts.update(account[rows], entity[rows], times[rows], learn[rows]))
        at += size
        again = EdgeBursts(tick_us=MINUTE, **small)
        again.restore(parts.snapshot())
        parts = again
    assert np.concatenate(found, axis=1).tobytes() == expected.tobytes()
    mine, other = whole.snapshot(), parts.snapshot()
    assert all(mine[name].tobytes() == other[name].tobytes() for name in mine)


def test_what_is_not_learned_changes_nothing():
    account, entity, times, _ = edges(4)
    one, other = EdgeBursts(tick_us=MINUTE, **SETTINGS), EdgeBursts(tick_us=MINUTE, **SETTINGS)
    one.update(account[:150], entity[:150], times[:150])
    other.update(account[:150], entity[:150], times[:150])
    asked = one.update(np.full(5, 3), np.full(5, 3), np.full(5, 2**50), np.zeros(5, np.bool_))
    assert len(set(asked[0].tolist())) == 1, "asked five times, told the same"
    late = one.update(np.full(5, 3), np.full(5, 3), np.full(5, times.min() - MINUTE))
    assert late.tobytes() == asked.tobytes()
    rest = slice(150, 300)
    same = [bursts.update(account[rest], entity[rest], times[rest]) for bursts in (one, other)]
    assert same[0].tobytes() == same[1].tobytes()


def test_a_sketch_overcounts_and_never_undercounts():
    chance = np.random.default_rng(2)
    account, entity = chance.integers(0, 400, 4000), chance.integers(0, 400, 4000)
    narrow = EdgeBursts(tick_us=MINUTE, width=64, depth=2, warm_up=0).update(account, entity, np.zeros(4000, np.int64))
    wide = EdgeBursts(tick_us=MINUTE, warm_up=0, **WIDE).update(account, entity, np.zeros(4000, np.int64))
    assert (narrow >= wide).all()
    assert (narrow > wide).any()


def test_a_burst_stands_out_does_not_become_usual_at_once_and_a_lasting_change_does():
    steady = np.repeat(np.arange(50), 20)
    bursts = EdgeBursts(tick_us=MINUTE, half_life_ticks=50.0)
    bursts.update(np.zeros(1000, np.int64), np.zeros(1000, np.int64), steady * MINUTE)

    def tick(number, count):
        zero = np.zeros(count, np.int64)
        return float(bursts.update(zero, zero, np.full(count, number * MINUTE))[0, -1])

    usual = tick(50, 20)
    first, second = tick(51, 400), tick(52, 400)
    assert usual < 1 < 100 < second
    assert second > 0.5 * first, "what was learned of the first burst is little"
    later = [tick(53 + k, 400) for k in range(200)]
    assert later[-1] < 2, "what lasts is usual in the end"
    assert np.argmax(np.array(later) < 2) > 20


def days(seed, ticks=600, swing=0.8):
    """Edges of 1,500 accounts to their few entities, more by day than by night, and bursts of three shapes: of a pair,
    of an entity with many accounts, of an account with many entities. Account, entity, tick, truth."""
    chance = np.random.default_rng(seed)
    account_rate, entity_rate = chance.pareto(1.2, 1500) + 0.05, chance.pareto(1.0, 500) + 0.05
    homes = chance.choice(500, size=(1500, 3), p=entity_rate / entity_rate.sum())
    busy = 20 * (1 + swing * np.sin(2 * np.pi * np.arange(ticks) / 144)) * chance.gamma(3, 1 / 3, ticks)
    parts = []
    for tick in range(ticks):
        size = chance.poisson(busy[tick])
        account = chance.choice(1500, size, p=account_rate / account_rate.sum())
        entity, truth = homes[account, chance.integers(0, 3, size)], np.zeros(size, np.int64)
        if tick > ticks // 4 and chance.random() < 0.05:
            many, shape = int(chance.integers(8, 30)), chance.integers(0, 3)
            one, other = chance.integers(0, 1500, many), chance.integers(0, 500, many)
            account = np.concatenate([account, one if shape == 1 else np.full(many, one[0])])
            entity = np.concatenate([entity, other if shape == 2 else np.full(many, other[0])])
            truth = np.concatenate([truth, np.ones(many, np.int64)])
        mixed = chance.permutation(len(truth))
        parts.append((account[mixed], entity[mixed], np.full(len(truth), tick), truth[mixed]))
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def counted(account, entity, tick):
    """The baseline: how often the pair, the account and the entity came in the tick so far; the largest."""
    seen, out = {}, np.empty(len(tick))
    for i, row in enumerate(zip(account.tolist(), entity.tolist(), tick.tolist(), strict=True)):
        most = 0
        for key in (row, (0, row[0], row[2], 0), (1, row[1], row[2], 0)):
            seen[key] = seen.get(key, 0) + 1
            most = max(most, seen[key])
        out[i] = most
    return out


@pytest.mark.parametrize("seed", [1, 2])
def test_injected_bursts_are_ranked_above_plain_counts_and_the_published_formula(seed):
    account, entity, tick, truth = days(seed)
    found = EdgeBursts(tick_us=MINUTE).update(account, entity, tick * MINUTE).max(axis=0)
    midas = PublishedMidasF()
    published = np.array([midas.step(a, e, t + 1) for a, e, t in zip(account.tolist(), entity.tolist(), tick.tolist(),
                                                                     strict=True)])  # fmt: skip
    judged = tick > 150
    ours, theirs, plain = (
        roc_auc_score(truth[judged], score[judged]) for score in (found, published, counted(account, entity, tick))
    )
    assert ours > 0.96
    assert ours > plain + 0.1
    assert ours > theirs + 0.1


MALFORMED = [
    (([0.5], [1], [2]), "detector.shape", "account is float64"),
    (([[1]], [1], [2]), "detector.shape", r"\(1, 1\)"),
    (([1], ["a"], [2]), "detector.shape", "entity is <U1"),
    (([1, 2], [1], [2]), "detector.shape", "as many of each"),
    (([1], [1], [None]), "detector.shape", "time_us is object"),
    (([1], [1], [2], np.array([1])), "detector.shape", "marks are int64"),
    (([1], [1], [2], np.array([True, False])), "detector.shape", "as many of each"),
]


@pytest.mark.parametrize(("given_", "slug", "text"), MALFORMED)
def test_malformed_edges_are_refused_and_not_learned(given_, slug, text):
    bursts = EdgeBursts(tick_us=MINUTE)
    with pytest.raises(InvalidInput, match=text) as caught:
        bursts.update(*given_)
    assert {problem.slug for problem in caught.value.problems} == {slug}
    assert bursts.snapshot()["head"][2] == 0
    assert not bursts.snapshot()["now"].any()


@pytest.mark.parametrize(
    "asked",
    [
        {"tick_us": 0}, {"tick_us": 1.5}, {"carry": 1.0}, {"carry": -0.1}, {"spread": float("nan")}, {"limit": 0.0},
        {"least": 0.0}, {"half_life_ticks": -1.0}, {"warm_up": -1}, {"width": 100}, {"width": 8}, {"depth": 0},
        {"depth": 8}, {"depth": 4, "width": 2**20}, {"seed": 2**70}, {"width": True}, {"carry": "x", "depth": None},
    ],
)  # fmt: skip
def test_settings_out_of_range(asked):
    said = {"tick_us": MINUTE, **asked}
    if asked == {"depth": 8}:
        assert EdgeBursts(**{**said, "width": 128}).state_bytes == 3 * 8 * 128 * 16
    with pytest.raises(InvalidInput, match=r"detector\.setting") as caught:
        EdgeBursts(**said)
    assert len(caught.value.problems) == (2 if "x" in asked.values() else 1)


def test_stated_outcomes():
    bursts = EdgeBursts(tick_us=MINUTE, warm_up=0)
    assert bursts.update([], [], []).shape == (3, 0)
    extreme = bursts.update([2**63 - 1, -(2**63)], [0, 0], [-(2**63), 2**62])
    assert np.isfinite(extreme).all(), "any ids, any time, any silence"
    hub = bursts.update(np.arange(5000), np.zeros(5000, np.int64), np.full(5000, 2**62))
    assert hub[2, -1] > hub[1, -1], "an entity with everybody bursts as an entity"
    assert np.isfinite(bursts.update([1], [1], [2**63 - 1])).all(), "the last microsecond that there is"
    own = bursts.update(np.full(9, 7), np.full(9, 7), np.full(9, 2**63 - 1))
    assert np.isfinite(own).all(), "an account that is its own entity is an edge like others"


@pytest.mark.parametrize("name", ["now", "sums", "past", "head"])
def test_a_state_that_does_not_fit_is_refused(name):
    bursts = EdgeBursts(tick_us=MINUTE, width=64)
    bursts.update(*edges(1)[:3])
    good = bursts.snapshot()
    fresh = EdgeBursts(tick_us=MINUTE, width=64)
    changes = (good[name][:1], good[name].astype(np.float32), np.full_like(good[name], -7))
    for wrong in ({k: v for k, v in good.items() if k != name}, *({**good, name: one} for one in changes)):
        with pytest.raises(Corrupt, match="edge bursts"):
            fresh.restore(wrong)
    with pytest.raises(Corrupt, match="identity"):
        EdgeBursts(tick_us=MINUTE, width=64, seed=5).restore(good)
    assert fresh.snapshot()["head"][2] == 0


def test_the_examples_in_docstrings():
    assert doctest.testmod(stream)[0] == 0


# --- as a signal

LAYOUT = Layout.of({"type": Kind.TEXT, "account": Kind.TEXT, "ip": Kind.TEXT, "device": Kind.TEXT})
IDENTITY = Identity(b"k" * 16)
SAID = {"when": "type = 'login.failed'", "tick": 60.0, "warm_up": 2, "half_life": 0.0, "width": 2**16, "depth": 3}


def definition(**asked):
    return SignalDefinition("together", "edge_burst", {**SAID, **asked})


def events(seed=0, count=250):
    chance = np.random.default_rng(seed)
    rows = [
        {
            "type": "login.failed" if chance.random() < 0.8 else "login.succeeded",
            "account": None if chance.random() < 0.05 else f"a{chance.integers(0, 9)}",
            "ip": None if chance.random() < 0.05 else f"10.0.0.{chance.integers(0, 5)}",
            "device": f"d{chance.integers(0, 3)}",
        }
        for _ in range(count)
    ]
    times = np.cumsum(chance.integers(0, 30_000_000, count)).astype(np.int64)
    flags = np.where(chance.random(count) < 0.1, int(Flag.LATE), 0).astype(np.uint8)
    return rows, times, flags, (chance.random(count) < 0.1).astype(np.uint8)


def run(signal, rows, times, flags, shoal, cuts=()):
    found, at = [], 0
    for size in [*cuts, len(rows)]:
        part = slice(at, at + size)
        if rows[part]:
            frame = Frame.of_rows(rows[part], LAYOUT, IDENTITY)
            stamps = Stamps(times[part], times[part], times[part], flags[part], shoal[part])
            values, valid = np.full((4, frame.size + 3), 7, np.int64), np.full((4, frame.size + 3), 7, np.uint8)
            signal.update(frame, stamps, values, valid)
            found.append((values[:, : frame.size], valid[:, : frame.size]))
        at += size
    return tuple(np.concatenate([part[i] for part in found], axis=1) for i in (0, 1))


@pytest.mark.parametrize("entity", [("ip",), ("ip", "device")])
def test_the_signal_is_plain_counting_of_the_rows_that_its_condition_picks(entity):
    rows, times, flags, shoal = events()
    values, valid = run(EdgeBurst(definition(entity=entity), LAYOUT, IDENTITY, {}), rows, times, flags, shoal)
    plain = PlainBursts(MINUTE, 0.5, 0.25, 100.0, 0.1, 0.0, 2)
    scored = 0
    for i, row in enumerate(rows):
        expected = [np.nan] * 3
        keys = tuple(row[name] for name in entity)
        if row["type"] == "login.failed" and row["account"] is not None and None not in keys:
            expected = plain.step(row["account"], keys, int(times[i]), not flags[i] and not shoal[i])
        known = not np.isnan(expected[0])
        assert valid[:, i].tolist() == [known] * 4
        if known:
            np.testing.assert_allclose(values[:, i].view(np.float64), [max(expected), *expected], rtol=1e-9)
            scored += 1
        else:
            assert not values[:, i].any()
    assert scored > 100


@given(st.integers(0, 50), st.lists(st.integers(1, 40), max_size=10))
@settings(max_examples=25, deadline=None)
def test_the_signal_does_not_see_the_cut(seed, cuts):
    some = events(seed, 150)
    small = definition(width=64, depth=2)
    whole, parts = EdgeBurst(small, LAYOUT, IDENTITY, {}), EdgeBurst(small, LAYOUT, IDENTITY, {})
    expected, found = run(whole, *some), run(parts, *some, cuts)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(expected, found, strict=True))
    mine, other = whole.snapshot(), parts.snapshot()
    assert all(mine[name].tobytes() == other[name].tobytes() for name in mine)
    again = EdgeBurst(small, LAYOUT, IDENTITY, {})
    again.warm()
    again.restore(mine)
    more = events(seed + 1, 60)
    assert run(again, *more)[0].tobytes() == run(whole, *more)[0].tobytes()


def test_the_kind_is_registered_with_its_columns():
    assert KINDS["edge_burst"] is EdgeBurst
    assert list(signal_columns(definition())) == [
        "together.score", "together.edge", "together.account", "together.entity",
    ]  # fmt: skip
    assert EdgeBurst.reads(definition(entity=("ip", "device")).settings) == {"account", "ip", "device"}
    assert EdgeBurst(definition(width=4096, depth=2), LAYOUT, IDENTITY, {}).state_bytes == 3 * 2 * 4096 * 16


REFUSED = [
    ({"account": ()}, {"signal.setting"}, "1 to 8 columns"),
    ({"entity": ("adress",)}, {"signal.unknown_column"}, "adress"),
    ({"acount": ("account",)}, {"signal.unknown_setting"}, "did you mean 'account'"),
    ({"tick": 0.1, "carry": 1.0}, {"signal.setting"}, "carry"),
    ({"width": 100}, {"signal.setting"}, "a power of two"),
    ({"width": 2**20, "depth": 4}, {"signal.setting"}, "4 rows of 1,048,576 cells"),
    ({"when": "typ = 'x'"}, {"expression.unknown_column"}, "type"),
    ({"least": float("nan")}, {"signal.setting"}, "least"),
]


@pytest.mark.parametrize(("asked", "slugs", "text"), REFUSED)
def test_settings_that_make_no_signal(asked, slugs, text):
    with pytest.raises(InvalidInput, match=text) as caught:
        EdgeBurst(definition(**asked), LAYOUT, IDENTITY, {})
    assert {problem.slug for problem in caught.value.problems} == slugs
