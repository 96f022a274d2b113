"""Pointer sessions: statistics by hand, what the model finds on made hands, fall-backs, and what is refused."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from shoal.detectors.takeover.sessions import PointerEvents, PointerModel, PointerOptions, stroke_statistics
from shoal.detectors.takeover.sessions.strokes import STATISTICS
from shoal.errors import InvalidInput

NAMES = list(STATISTICS)
SMALL = PointerOptions(rounds=8, leaves=8, piece=10, least_strokes=40)


def hand(seed: int, pace: float, wobble: float, strokes: int = 60, origin: float = 0.0) -> PointerEvents:
    """A made hand: straight strokes at a pace, with a wobble across, each ended by a click."""
    chance = np.random.default_rng(seed)
    rows: list[tuple[float, str, float, float]] = []
    now = 0.0
    for _ in range(strokes):
        turn, reach = chance.uniform(0, 2 * math.pi), chance.uniform(100, 500)
        x0, y0 = chance.uniform(300, 900, 2) + origin
        steps = max(6, int(reach / pace / 0.016))
        for along in np.linspace(0, 1, steps):
            off = chance.normal(0, wobble)
            x = x0 + along * reach * math.cos(turn) - off * math.sin(turn)
            rows.append((now, "move", x, y0 + along * reach * math.sin(turn) + off * math.cos(turn)))
            now += 16 + chance.integers(0, 3)
        for action in ("press", "release"):
            rows.append((now, action, rows[-1][2], rows[-1][3]))
            now += 80
        now += round(chance.uniform(100, 1500))
    t, action, x, y = zip(*rows, strict=True)
    return PointerEvents(t, action, x, y)


@pytest.fixture(scope="module")
def fitted() -> PointerModel:
    accounts, sessions = [], []
    for number in range(6):
        for account, pace, wobble in (("ann", 500, 0.5), ("bob", 800, 1.0), ("cy", 500, 2.0)):
            accounts.append(account)
            sessions.append(hand(seed_of(account, number), pace, wobble, strokes=40))
    return PointerModel(SMALL).fit([*accounts, "new"], [*sessions, hand(1, 500, 1, strokes=3)])


def seed_of(account: str, number: int) -> int:
    return sum(map(ord, account)) * 1000 + number


def test_statistics_of_a_stroke_by_hand() -> None:
    # 30 px right in 0.3 s at even pace, then pressed and held for 0.2 s
    events = PointerEvents(
        [0, 100, 200, 300, 400, 600], ["move"] * 4 + ["press", "release"], [0, 10, 20, 30, 30, 30], [5] * 6
    )
    (row,) = stroke_statistics(events)
    got = dict(zip(NAMES, row, strict=True))
    assert got["kind"] == 1
    assert got["duration"] == pytest.approx(0.6)
    assert got["length"] == 30
    assert got["straightness"] == 1
    assert got["deviation"] == 0
    assert got["turn_sum"] == 0
    assert got["speed_max"] == pytest.approx(100)
    assert got["speed_mean"] == pytest.approx(60)
    assert got["click_time"] == pytest.approx(0.2)
    assert got["click_pause"] == pytest.approx(0.1)
    assert got["horizontal"] == 1
    assert got["still"] == pytest.approx(2 / 5)
    assert math.isnan(got["rest"])
    assert got["acceleration_min"] == pytest.approx(-1000)
    assert got["direction"] == 4


def test_strokes_are_cut_by_releases_and_rest_and_are_blind_to_place() -> None:
    one = hand(3, 500, 1, strokes=5)
    rows = stroke_statistics(one)
    assert len(rows) == 5
    moved = PointerEvents(one.t_ms, one.action, np.asarray(one.x) + 700, np.asarray(one.y) + 90)
    np.testing.assert_allclose(stroke_statistics(moved), rows, rtol=1e-6, atol=1e-6)
    later = PointerEvents(np.asarray(one.t_ms) + 7_200_000.0, one.action, one.x, one.y)
    np.testing.assert_array_equal(stroke_statistics(later), rows)  # exact: rounding must not tell how late it is
    gone = np.asarray(one.x, dtype=np.float64).copy()
    gone[:10] = np.nan
    assert np.isfinite(stroke_statistics(PointerEvents(one.t_ms, one.action, gone, one.y))[:, 1:10]).all()


def test_hands_are_told_apart_with_tails_and_reasons(fitted: PointerModel) -> None:
    own = [hand(9_000 + i, 500, 0.5, strokes=12) for i in range(15)]
    other = [hand(9_100 + i, 500, 2.0, strokes=12) for i in range(15)]
    judged = fitted.judge(["ann"] * 30, own + other)
    assert roc_auc_score([0] * 15 + [1] * 15, [found.score for found in judged]) > 0.95
    assert all(found.tail is not None and found.basis == "account" for found in judged)
    assert np.mean([found.tail for found in judged[:15]]) > 0.2 > np.mean([found.tail for found in judged[15:]])
    texts = " ".join(reason.text for found in judged[15:] for reason in found.reasons)
    assert "this account normally" in texts
    assert "deviation" in texts


def test_zero_is_undecided_whatever_the_share_of_others() -> None:
    sessions = [hand(700 + i, 500, 1, strokes=40) for i in range(12)]  # one hand under four names: nothing to tell
    model = PointerModel(SMALL).fit(["a", "b", "c", "d"] * 3, sessions, ["a"])
    scores = model.decision_function(["a"] * 8, [hand(800 + i, 500, 1, strokes=40) for i in range(8)])
    assert abs(scores.mean()) < 0.3


def test_a_row_does_not_depend_on_its_batch(fitted: PointerModel) -> None:
    sessions = [hand(5, 500, 1, strokes=8), hand(6, 900, 3, strokes=8), PointerEvents([], [], [], [])]
    together = fitted.decision_function(["ann", "bob", "cy"], sessions)
    alone = [fitted.decision_function([a], [s])[0] for a, s in zip(("ann", "bob", "cy"), sessions, strict=True)]
    np.testing.assert_array_equal(together, alone)


def test_stated_fall_backs(fitted: PointerModel) -> None:
    nothing = PointerEvents([], [], [], [])
    one_event = PointerEvents([1], ["move"], [2], [3])
    still = PointerEvents(range(9), ["move"] * 9, [4] * 9, [4] * 9)
    unseen = PointerEvents(range(9), ["move"] * 9, [math.nan] * 9, [4] * 9)
    for session in (nothing, one_event, still, unseen):
        judged = fitted.judge(["ann"], [session])[0]
        assert (judged.score, judged.tail, judged.basis) == (None, None, "empty")
        assert "no pointer movement" in judged.reasons[0].text
    for stranger in ("nobody", "new"):
        judged = fitted.judge([stranger], [hand(5, 500, 1, strokes=8)])[0]
        assert (judged.score, judged.basis) == (None, "none")
        assert "was not fitted" in judged.reasons[0].text


@pytest.mark.parametrize(
    ("columns", "slug", "path"),
    [
        (([0, 1], ["move"], [1, 2], [1, 2]), "pointer.lengths", ""),
        (([[0]], ["move"], [1], [1]), "pointer.lengths", ""),
        ((["soon"], ["move"], [1], [1]), "pointer.type", "t_ms"),
        (([0, math.nan], ["move"] * 2, [1, 2], [1, 2]), "pointer.time", "t_ms[1]"),
        (([0, math.inf], ["move"] * 2, [1, 2], [1, 2]), "pointer.time", "t_ms[1]"),
        (([5, 9, 3], ["move"] * 3, [1, 2, 3], [1, 2, 3]), "pointer.time_back", "t_ms[2]"),
        (([0, 1], ["move", "mvoe"], [1, 2], [1, 2]), "pointer.action", "action[1]"),
        (([0, 1], ["move", "move"], [1, math.inf], [1, 2]), "pointer.place", "x[1]"),
    ],
)
def test_malformed_events(columns: Any, slug: str, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        PointerEvents(*columns)
    assert [(p.slug, p.where.path) for p in caught.value.problems] == [(slug, path)]


def test_malformed_calls() -> None:
    session = hand(1, 500, 1, strokes=5)
    table: list[tuple[list[Any], list[Any], Any, str]] = [
        (["a"], [session, session], None, "session.lengths"),
        ([""], [session], None, "session.account"),
        (["a"], [[1, 2]], None, "pointer.events"),
        (["a", "a"], [session, session], None, "session.others"),
        (["a", "b"], [session, session], ["c"], "session.target"),
    ]
    for accounts, sessions, targets, slug in table:
        with pytest.raises(InvalidInput) as caught:
            PointerModel(SMALL).fit(accounts, sessions, targets)
        assert [p.slug for p in caught.value.problems] == [slug]
    for wrong in ({"rounds": 0}, {"folds": 1}, {"rate": 0.0}, {"seed": -1}):
        with pytest.raises(InvalidInput):
            PointerOptions(**wrong)  # type: ignore[arg-type]
