"""Intervals, delays, cohorts, challenge outcomes and threshold curves: laws, slow twins and malformed inputs."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from shoal.errors import InvalidInput
from shoal.learn import challenges, cohorts, curves, delays, intervals
from shoal.learn.challenges import ASSUMED, ChallengeErrors, intruders, posterior
from shoal.learn.cohorts import DAY_US, Decided, Label, Subject, judge, read_labels, report_cohorts
from shoal.learn.curves import threshold_curve
from shoal.learn.delays import fit_delays
from shoal.learn.intervals import Share


@pytest.mark.parametrize("module", [intervals, challenges, cohorts, curves, delays])
def test_the_examples_in_docstrings(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@given(st.integers(0, 300), st.integers(0, 300), st.sampled_from([0.8, 0.95, 0.99]))
def test_intervals_agree_with_scipy(successes: int, others: int, level: float) -> None:
    total = successes + others
    share = Share(successes, total)
    if not total:
        assert share.wilson(level) == share.exact(level) == (0.0, 1.0)
        return
    for ours, method in ((share.wilson(level), "wilson"), (share.exact(level), "exact")):
        theirs = stats.binomtest(successes, total).proportion_ci(level, method=method)
        assert math.isclose(ours.low, theirs.low, abs_tol=1e-9)
        assert math.isclose(ours.high, theirs.high, abs_tol=1e-9)


def test_the_exact_interval_covers() -> None:
    for true in (0.001, 0.05, 0.5):
        within = sum(
            stats.binom.pmf(k, 40, true)
            for k in range(41)
            if Share(k, 40).exact().low <= true <= Share(k, 40).exact().high
        )
        assert within >= 0.95


def test_a_share_behind_a_noisy_test() -> None:
    # 1,000 people, 200 intruders; 90 % of intruders and 10 % of owners fail: 180 + 80 failures.
    value, interval = Share(260, 1000).corrected(0.9, 0.9)
    assert value == pytest.approx(0.2)
    assert interval.low < 0.2 < interval.high
    assert Share(5, 100).corrected(0.9, 0.9)[0] == 0.0  # fewer failures than owners alone make


@pytest.mark.parametrize(
    ("make", "slug"),
    [
        (lambda: Share(3, 2), "share.counts"),
        (lambda: Share(-1, 2), "share.counts"),
        (lambda: Share(1, 2).wilson(1.0), "interval.level"),
        (lambda: Share(1, 2).exact(0.0), "interval.level"),
        (lambda: Share(1, 2).corrected(0.5, 0.5), "share.test"),
        (lambda: Share(1, 2).corrected(1.5, 0.9), "share.test"),
        (lambda: fit_delays(np.array([5]), np.array([4])), "delays.future"),
        (lambda: fit_delays(np.array([5]), np.array([7, 8])), "delays.shape"),
        (lambda: ChallengeErrors(0.9, 0.2, 0.1, 0.1), "challenge.errors"),
        (lambda: ChallengeErrors(0.1, 0.2, 0.1, 0.1), "challenge.useless"),
        (lambda: posterior(0.5, "laughed", ASSUMED["totp"]), "challenge.outcome"),
        (lambda: posterior(1.5, "passed", ASSUMED["totp"]), "challenge.prior"),
        (lambda: intruders({"won": 3}, ASSUMED["totp"]), "challenge.outcome"),
        (lambda: report_cohorts([], [], now_us=10, cohort_us=0), "cohorts.length"),
        (lambda: report_cohorts([decided("a", 11)], [], now_us=10), "cohorts.future"),
        (lambda: threshold_curve(np.zeros(2), np.zeros(3, np.int8)), "curve.shape"),
        (lambda: threshold_curve(np.zeros(1), np.array([2], np.int8)), "curve.label"),
        (lambda: threshold_curve(np.zeros(1), np.zeros(1, np.int8), thresholds=[math.nan]), "curve.threshold"),
    ],
)
def test_what_makes_no_sense_is_refused(make: object, slug: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make()  # type: ignore[operator]
    assert [problem.slug for problem in caught.value.problems] == [slug]


def test_delays_seen_through_a_window_are_corrected() -> None:
    rng = np.random.default_rng(7)
    window, mean = 10_000_000, 2_500_000
    horizons = rng.integers(0, window, 30_000)
    waits = rng.exponential(mean, 30_000).astype(np.int64)
    seen = waits <= horizons
    curve = fit_delays(waits[seen], horizons[seen])
    for age in (500_000, 2_000_000, 5_000_000):
        true = (1 - math.exp(-age / mean)) / (1 - math.exp(-window / mean))
        naive = float((waits[seen] <= age).mean())
        assert abs(curve.maturity(age) - true) < 0.02 < naive - true
    assert curve.quantile_us(0.5) == pytest.approx(mean * 0.68, rel=0.1)
    assert fit_delays(np.zeros(0, np.int64), np.zeros(0, np.int64)).maturity(5) == 0.0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=40))
def test_the_curve_equals_the_formula(pairs: list[tuple[int, int]]) -> None:
    seen = [(delay, horizon) for delay, horizon in pairs if delay <= horizon]
    curve = fit_delays(np.array([d for d, _ in seen], np.int64), np.array([h for _, h in seen], np.int64))
    for age in range(22):
        product = 1.0 if any(d <= age for d, _ in seen) else 0.0
        for u in sorted({d for d, _ in seen if d > age}):
            product *= 1 - sum(d == u for d, _ in seen) / sum(d <= u <= h for d, h in seen)
        assert curve.maturity(age) == pytest.approx(product)


def decided(name: str, at: int, *rules: str) -> Decided:
    return Decided(Subject("account", name), at, "account_takeover", rules)


def label(name: str, start: int, known: int, *, abusive: bool = True, end: int = 2**62) -> Label:
    return Label(Subject("account", name), "account_takeover" if abusive else "benign", abusive, start, end, known)


def row(subject: str, known: int | None, **more: object) -> dict[str, object]:
    return {
        "subject_type": "account", "subject": subject, "kind": "account_takeover", "start": 5, "end": None,
        "source": "desk", "confidence": 1.0, "known_at": known, "retracted": False, **more,
    }  # fmt: skip


def test_labels_as_they_stood() -> None:
    rows = [
        row("a", 10),
        row("b", 10),
        row("b", 20, retracted=True),
        row("c", 30),
        row("d", None),
        row("e", 10, kind="benign_travel"),
    ]
    assert sorted(one.subject.name for one in read_labels(rows, 15)) == ["a", "b", "e"]
    assert sorted(one.subject.name for one in read_labels(rows, 30)) == ["a", "c", "e"]
    assert [one.abusive for one in read_labels(rows, 30) if one.subject.name == "e"] == [False]
    again = [*rows, row("b", 25)]
    assert "b" in {one.subject.name for one in read_labels(again, 30)}, (
        "a label may be given again after its retraction"
    )


def test_a_decision_before_the_takeover_is_judged_by_the_interval() -> None:
    hijack = label("a", 10 * DAY_US, 20 * DAY_US, end=12 * DAY_US)
    assert judge(decided("a", 11 * DAY_US), [hijack]) is True
    assert judge(decided("a", 9 * DAY_US + 1), [hijack]) is True, "within the lead"
    assert judge(decided("a", 5 * DAY_US), [hijack]) is None
    assert judge(decided("a", 12 * DAY_US), [hijack]) is None
    assert judge(decided("a", 11 * DAY_US), [hijack, label("a", 0, 3, abusive=False)]) is True


def test_cohorts_count_what_is_known_and_say_what_is_too_young() -> None:
    week = 7 * DAY_US
    made = [decided(f"old{i}", i * DAY_US // 4, "r1") for i in range(20)]
    made += [decided(f"new{i}", 3 * week + i, "r1", "r2") for i in range(20)]
    known = [label(f"old{i}", i * DAY_US // 4, i * DAY_US // 4 + DAY_US, abusive=i < 15) for i in range(18)]
    known += [label("new0", 3 * week, 3 * week + 10)]
    known += [label("unseen", 2 * DAY_US, 5 * DAY_US)]
    report = report_cohorts(made, known, now_us=3 * week + 1000)
    first, *_, last = report.cohorts
    assert (first.decided, first.abusive, first.benign, first.unlabelled) == (20, 15, 3, 2)
    assert first.precision == Share(15, 18)
    assert first.bounds == pytest.approx((0.75, 0.85))
    assert first.recall == Share(15, 16), "fifteen of the labelled were caught, one never"
    assert not first.too_young
    assert (last.decided, last.abusive) == (20, 1)
    assert "of labels known" in last.too_young
    assert report.ripe.decided == 20
    assert report.by_rule == {"r1": Share(16, 19), "r2": Share(1, 1)}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60), st.booleans(), st.integers(0, 60)), max_size=40))
def test_every_subject_is_in_one_cohort(rows: list[tuple[int, int, bool, int]]) -> None:
    made = [decided(f"a{name}", at) for name, at, _, _ in rows]
    known = [label(f"a{name}", at, at + wait, abusive=bad) for name, at, bad, wait in rows if at + wait <= 61]
    report = report_cohorts(made, known, now_us=61, cohort_us=7, lead_us=3)
    assert sum(cohort.decided for cohort in report.cohorts) == len({name for name, *_ in rows})
    for cohort in report.cohorts:
        low, high = cohort.bounds
        value = cohort.precision.value
        assert 0 <= low <= high <= 1
        assert value is None or low - 1e-12 <= value <= high + 1e-12
        assert cohort.start_us < cohort.end_us <= 61


def test_challenge_outcomes_speak_of_a_cohort() -> None:
    errors = ChallengeErrors(owner_passed=0.9, owner_failed=0.05, intruder_passed=0.1, intruder_failed=0.6)
    value, interval = intruders({"passed": 740, "failed": 160, "abandoned": 100}, errors)  # 20 % intruders
    assert value == pytest.approx(0.2)
    assert interval.low < 0.2 < interval.high
    assert intruders({}, errors) == (None, (0.0, 1.0))
    assert (
        posterior(0.2, "passed", errors) < 0.2 < posterior(0.2, "abandoned", errors) < posterior(0.2, "failed", errors)
    )
    assert sum(errors.likelihood(outcome)[0] for outcome in challenges.OUTCOMES) == pytest.approx(1)


@given(
    st.lists(st.tuples(st.one_of(st.just(math.nan), st.integers(-5, 5)), st.sampled_from([1, 0, -1])), max_size=30),
    st.booleans(),
)
def test_the_threshold_curve_equals_counting(rows: list[tuple[float, int]], higher: bool) -> None:
    values = np.array([value for value, _ in rows], dtype=np.float64)
    known = np.array([code for _, code in rows], dtype=np.int8)
    for point in threshold_curve(values, known, thresholds=[-3, 0, 2.5], higher_is_worse=higher):
        hit = [code for value, code in rows if (value >= point.threshold if higher else value <= point.threshold)]
        assert point.caught == Share(hit.count(1), int((known == 1).sum()))
        assert point.touched == Share(hit.count(0), int((known == 0).sum()))
        assert point.unknown == hit.count(-1)
    auto = threshold_curve(values, known, higher_is_worse=higher)
    hits = [point.caught.successes + point.touched.successes + point.unknown for point in auto]
    assert hits == sorted(hits, reverse=True), "from the laxest to the strictest"
