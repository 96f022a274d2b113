"""Rankings against scikit-learn, effective sizes, cells, calibration and levels."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from shoal.errors import InvalidInput
from shoal.learn.evaluation import monitor, rates
from shoal.learn.evaluation.ranking import Ranking, bootstrap, by_subject, limits
from shoal.learn.evaluation.rates import PER, WEEK_US, Cells, cells_of, effective_size, exact, rate_of
from shoal.learn.fitting.calibrate import apply, fit_calibration, points_of
from shoal.learn.fitting.levels import alert_threshold, fit_levels, honest_threshold
from shoal.learn.fitting.reference import edges_of, shares_of


@pytest.mark.parametrize("module", [rates, monitor])
def test_the_examples_in_docstrings(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(1, 4)), min_size=2, max_size=30))
def test_rankings_agree_with_scikit_learn(rows: list[tuple[int, bool, int]]) -> None:
    score, positive, weight = (np.array(column) for column in zip(*rows, strict=True))
    ranking, weight = Ranking.of(score.astype(float), positive), weight.astype(float)
    if positive.all() or not positive.any():
        assert np.isnan(ranking.auroc(weight))
        return
    assert ranking.auroc(weight) == pytest.approx(roc_auc_score(positive, score, sample_weight=weight))
    wanted = average_precision_score(positive, score, sample_weight=weight)
    assert ranking.average_precision(weight) == pytest.approx(wanted)
    for share in (0.0, 0.3, 1.0):
        best = 0.0
        for threshold in np.unique(score):
            hit = score >= threshold
            if weight[hit & ~positive].sum() <= share * weight[~positive].sum():
                best = max(best, weight[hit & positive].sum() / weight[positive].sum())
        assert ranking.recall_at(share, weight) == pytest.approx(best)


def test_the_gain_curve_of_a_perfect_score() -> None:
    positive = np.arange(1000) < 10
    x, y = Ranking.of(positive.astype(float), positive).gain(np.ones(1000))
    assert np.interp([0.0, 0.005, 0.011, 1.0], x, y) == pytest.approx([0.0, 0.5, 1.0, 1.0], abs=0.03)


def test_a_subject_is_judged_by_its_worst_row_while_abusive() -> None:
    # subject 1 is honest with 0.9 before it is abusive with 0.2; subject 2 is honest throughout
    found = by_subject(
        np.array([0.9, 0.2, 0.1, 0.3]),
        np.array([False, True, False, False]),
        np.array([1, 1, 2, 2]),
        np.array([1.0, 1.0, 2.0, 2.0]),
    )
    assert found.number.tolist() == [1, 2]
    assert found.score.tolist() == [0.2, 0.3]
    assert found.positive.tolist() == [True, False]
    assert found.weight.tolist() == [1.0, 2.0]


def test_effective_size_of_plain_weighted_and_clustered_rows() -> None:
    hit = np.arange(1000) % 4 == 0
    ones, alone = np.ones(1000), np.arange(1000)
    assert effective_size(hit, ones, alone) == pytest.approx(1000)
    pairs = effective_size(np.repeat(hit, 2), np.ones(2000), np.repeat(alone, 2))
    assert pairs == pytest.approx(1000)  # the same case twice is one case
    uneven = np.where(np.arange(1000) < 500, 1.0, 3.0)
    assert effective_size(hit, uneven, alone) == pytest.approx(800, rel=0.01)  # (Σw)² / Σw²
    assert effective_size(np.zeros(2000, bool), np.ones(2000), np.repeat(alone, 2)) == pytest.approx(1000)
    assert effective_size(np.zeros(0, bool), np.zeros(0), np.zeros(0, int)) == 0


def test_intervals_of_clustered_rates_cover() -> None:
    chance, covered = np.random.default_rng(0), 0
    for _ in range(300):
        tendency = chance.beta(0.5, 9.5, 200)  # subjects differ: their rows are alike; the mean is .05
        subject = np.repeat(np.arange(200), 5)
        rate = rate_of(chance.random(1000) < tendency[subject], np.ones(1000), subject)
        covered += rate.low <= 0.05 <= rate.high
    assert covered >= 279  # 95 % of 300, less three standard errors, is 274; the plain interval covers 240 times


def test_cells_count_subjects_by_week() -> None:
    score = np.array([1.0, 5.0, 2.0, 9.0, 3.0])
    subject = np.array([7, 7, 7, 8, 8])
    time = np.array([0, 1, WEEK_US, 2, WEEK_US * 2 - 1])
    found = cells_of(score, np.ones(5), subject, time, np.array([True, True, True, False, True]))
    assert sorted(zip(found.subject.tolist(), found.value.tolist(), strict=True)) == [(7, 2.0), (7, 5.0), (8, 3.0)]
    assert found.factor == 1.0
    assert found.rate(3.0).value == pytest.approx(PER * 2 / 3)
    short = cells_of(score, np.ones(5), subject, time // 14, np.ones(5, bool))
    assert short.factor == pytest.approx(7, rel=0.01)  # a day, scaled to the week


def cells(value: np.ndarray) -> Cells:
    return Cells(value, np.ones(len(value)), np.arange(len(value)), 1.0)


@pytest.mark.parametrize("ties", [False, True])
def test_the_budget_is_kept_on_fresh_subjects(ties: bool) -> None:
    """The promise: whatever the distribution, the true rate is above the budget in at most 2.5 % of draws."""
    chance, broken, used = np.random.default_rng(1), 0, []
    for _ in range(400):
        value = chance.normal(size=2000)
        value = np.round(value, 1) if ties else value
        found = honest_threshold(cells(value), 100.0, value)
        # rounded values: the rate of the rounded variable at or above the threshold
        at = np.ceil(round(found.threshold * 10, 6)) / 10 - 0.05 if ties else found.threshold
        true = stats.norm.sf(at)
        broken += true > 0.01
        used.append(true)
    assert broken <= 20  # 10 expected at most
    assert np.mean(used) > 0.002  # and the budget is not simply left unused


def test_without_a_promise_the_rate_seen_is_within_the_budget() -> None:
    value = np.random.default_rng(3).normal(size=2000)
    seen, assured = (honest_threshold(cells(value), 100.0, value, assured=one) for one in (False, True))
    assert seen.rate.hits == 20  # 1 % of 2,000
    assert seen.rate.high > 100.0 >= assured.rate.high
    assert seen.threshold < assured.threshold
    none = honest_threshold(cells(value), 4.9, value, assured=False)
    assert none.rate.hits == 0
    assert "2,041" in none.note


def test_a_budget_that_cannot_be_shown() -> None:
    value = np.linspace(0, 1, 100)
    found = honest_threshold(cells(value), 10.0, np.append(value, 3.0))
    assert found.rate.hits == 0
    assert found.threshold == 2.0  # halfway to the abusive row above
    assert "cannot be shown" in found.note
    assert "3,688" in found.note  # ln .025 / ln .999, and exact's own
    assert exact(0, 3688)[1] <= 0.001 < exact(0, 3680)[1]


def test_ties_stand_or_fall_together() -> None:
    value = np.concatenate([np.zeros(5000), np.full(40, 1.0), np.full(5, 2.0)])
    found = honest_threshold(cells(value), 40.0, value)
    assert found.rate.hits == 5  # 45 would be over 40 per 10,000 (89), and there is nothing between
    assert 1.0 < found.threshold <= 2.0


def test_levels_stand_in_order() -> None:
    value = np.random.default_rng(0).normal(size=20_000)
    levels, notes = fit_levels(cells(value), {"restrict": 50.0, "watch": 100.0}, value)
    assert [level.name for level in levels] == ["watch", "restrict"]
    assert levels[0].threshold < levels[1].threshold
    assert not notes
    for level in levels:
        assert level.low <= level.honest <= level.high <= level.budget
    levels, notes = fit_levels(cells(value), {"restrict": 100.0, "watch": 10.0}, value)
    assert levels[0].threshold == levels[1].threshold
    assert "laxer" in notes[0]


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan"), float("inf")])
def test_budgets_that_are_none(budget: float) -> None:
    with pytest.raises(InvalidInput, match=r"levels\.budget"):
        honest_threshold(cells(np.zeros(3)), budget, np.zeros(3))
    with pytest.raises(InvalidInput, match=r"levels\.budget"):
        alert_threshold(np.zeros(3), np.arange(3), np.arange(3), np.ones(3), budget)


def test_levels_without_honest_and_with_unknown_names() -> None:
    with pytest.raises(InvalidInput, match=r"levels\.no_honest"):
        honest_threshold(cells(np.zeros(0)), 10.0, np.zeros(0))
    with pytest.raises(InvalidInput, match=r"levels\.name"):
        fit_levels(cells(np.zeros(9)), {"allow": 1.0}, np.zeros(9))


def test_alerts_a_day() -> None:
    day = 86_400_000_000
    score = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    subject = np.array([0, 0, 1, 2, 3, 4])
    time = np.array([0, 1, 2, day, day + 1, day + 2])
    found = alert_threshold(score, subject, time, np.ones(6), 1.0)
    assert found.rate.value == 1.0
    assert sorted(subject[score >= found.threshold].tolist()) == [3, 4]
    assert alert_threshold(score, subject, time, np.ones(6), 99.0).threshold == 1.0


def sample(seed: int, n: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raw sums whose true probability is stairs: no sigmoid fits it."""
    chance = np.random.default_rng(seed)
    raw = chance.normal(-1, 2, n)
    true = np.array([0.03, 0.3, 0.4, 0.95])[np.searchsorted([-1.0, 1.0, 2.0], raw)]
    return raw, chance.random(n) < true, true


@pytest.mark.parametrize("method", ["isotonic", "venn_abers", "sigmoid"])
def test_points_rise_and_do_not_fall(method: str) -> None:
    raw, positive, true = sample(0)
    x, y = points_of(method, raw, positive, np.ones(len(raw)), np.arange(len(raw)))
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) >= 0).all()
    assert 0 < y[0] <= y[-1] < 1  # no finite sample shows that something never happens
    assert len(x) <= 400
    assert np.abs(apply((x, y), raw) - true).mean() < (0.12 if method == "sigmoid" else 0.03)


def test_venn_abers_is_what_vovk_says() -> None:
    raw, positive, _ = sample(1, 60)
    weight, group = np.ones(60), np.arange(60)
    points = points_of("venn_abers", raw, positive, weight, group)
    for place in np.quantile(raw, [0.1, 0.5, 0.9]):
        at = raw[np.argmin(np.abs(raw - place))]
        p0, p1 = (
            IsotonicRegression().fit(np.append(raw, at), np.append(positive, said)).predict([at])[0]
            for said in (0.0, 1.0)
        )
        assert p0 <= p1
        assert apply(points, np.array([at]))[0] == pytest.approx(p1 / (1 - p0 + p1), abs=1e-9)


def test_the_better_method_is_chosen_and_few_accounts_get_a_sigmoid() -> None:
    raw, positive, _ = sample(2, 6000)
    calibration, choice = fit_calibration(raw, positive, np.ones(6000), np.arange(6000))
    assert choice.method in ("isotonic", "venn_abers")
    assert choice.log_loss[choice.method] < choice.log_loss["sigmoid"]
    assert calibration.positives == positive.sum()
    few = np.flatnonzero(positive)[:15]
    kept = np.sort(np.concatenate([np.flatnonzero(~positive), few]))
    chosen = fit_calibration(raw[kept], positive[kept], np.ones(len(kept)), kept)[1]
    assert chosen.method == "sigmoid"
    assert "too few" in chosen.why


def test_weights_count_as_rows_do() -> None:
    raw, positive, _ = sample(3, 800)
    twice = np.repeat(np.arange(800), np.where(positive, 1, 3))
    weight = np.where(positive, 1.0, 3.0)
    one = fit_calibration(raw, positive, weight, np.arange(800), method="isotonic")[0]
    other = fit_calibration(raw[twice], positive[twice], np.ones(len(twice)), twice, method="isotonic")[0]
    inside = slice(5, -5)  # the ends are cut by the number of rows
    assert one.x == other.x
    assert one.y[inside] == pytest.approx(other.y[inside])


def test_histograms_sum_to_one_and_give_frequent_values_a_cell() -> None:
    chance = np.random.default_rng(0)
    value = np.concatenate([np.zeros(900), chance.exponential(5, 100)])
    edges = edges_of(value, np.ones(1000))
    shares = shares_of(value, np.ones(1000), edges)
    assert shares.sum() == pytest.approx(1.0)
    assert shares[0] == pytest.approx(0.9)
    assert edges_of(np.full(9, 4.0), np.ones(9)).tolist() == []
    assert shares_of(np.full(9, 4.0), np.ones(9), np.zeros(0)).tolist() == [1.0]
    assert shares_of(np.zeros(0), np.zeros(0), np.zeros(0)).tolist() == []


def test_bootstrap_draws_subjects_not_rows() -> None:
    subject = np.repeat(np.arange(50), 20)
    value = np.repeat(np.random.default_rng(0).normal(size=50), 20)
    drawn = bootstrap(lambda weight: np.array([np.average(value, weights=weight)]), np.ones(1000), subject, 0, 400)
    assert drawn.std() == pytest.approx(value.std() / np.sqrt(50), rel=0.2)
    assert np.isnan(limits(np.full((9, 1), np.nan))[0][0])
