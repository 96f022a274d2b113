"""Counting dominated events, the directed detector, and a budget of alerts a day."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.detectors.anomaly.alerts import AlertBudget, Directed, View, dominance, dominated
from shoal.detectors.contract import Detector
from shoal.errors import InvalidInput


def plain_counts(rows, reference):
    """The definition, word for word."""
    rows, reference = np.where(np.isnan(rows), -np.inf, rows), np.where(np.isnan(reference), -np.inf, reference)
    return [sum(all(b <= a for a, b in zip(row, other, strict=True)) for other in reference) for row in rows]


def world(seed, count, columns, levels):
    chance = np.random.default_rng(seed)
    x = chance.integers(0, levels, (count, columns)).astype(float)
    x[chance.random(x.shape) < 0.05] = np.nan
    x[chance.random(x.shape) < 0.03] = np.inf
    x[chance.random(x.shape) < 0.03] = -np.inf
    return x


@given(
    st.integers(0, 10**6), st.integers(1, 5), st.integers(0, 70), st.integers(1, 150), st.sampled_from([2, 9, 10**6])
)
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_the_definition(seed, columns, queries, count, levels):
    rows, reference = world(seed, queries, columns, levels), world(seed + 1, count, columns, levels)
    assert dominated(rows, reference).tolist() == plain_counts(rows, reference)
    assert dominated(reference).tolist() == [n - 1 for n in plain_counts(reference, reference)]


@pytest.mark.parametrize("columns", [2, 3])
def test_more_rows_than_a_block(columns):
    x = np.random.default_rng(3).integers(0, 60, (9000, columns)).astype(float)
    some = x[::450]
    assert dominated(some, x).tolist() == [int((x <= row).all(axis=1).sum()) for row in some]


def test_the_two_ways_of_counting_agree():
    x = np.random.default_rng(4).normal(size=(6000, 2))
    assert (dominated(x) == dominated(np.column_stack([x, np.zeros(len(x))]))).all()


def test_counting_changes_nothing_that_it_was_given():
    x = world(1, 50, 3, 9)
    before = x.copy()
    dominated(x, x)
    assert np.array_equal(x, before, equal_nan=True)


@pytest.mark.parametrize(
    ("rows", "reference", "slug"),
    [
        ([[1.0, 2.0]], [[1.0]], "detector.shape"),
        ([1.0, 2.0], None, "detector.shape"),
        ([["a"]], None, "detector.not_numbers"),
        ([[1.0]], [[None]], "detector.not_numbers"),
    ],
)
def test_malformed_rows(rows, reference, slug):
    with pytest.raises(InvalidInput, match=slug.replace(".", r"\.")):
        dominated(rows, reference)


def test_the_detector_keeps_the_contract_and_minds_the_direction():
    x = np.random.default_rng(0).normal(size=(300, 3))
    detector = Directed([1, -1, 1]).fit(x)
    assert isinstance(detector, Detector)
    assert detector.decision_function([[9, -9, 9]])[0] == 1.0
    assert detector.decision_function([[9, 9, 9]])[0] == 0.0, "extreme the harmless way in one direction"
    together = detector.decision_function(x)
    assert together.tobytes() == np.concatenate([detector.decision_function(row[None]) for row in x]).tobytes()
    turned = x * [1, -1, 1]
    assert np.allclose(detector.decision_scores_, dominated(turned) / 299)
    assert np.isnan(detector.decision_function([[np.nan, 0, 0]])[0])
    assert detector.evidence([9, -9, 9]) == "more suspicious than 300 of 300 events in every direction"
    with pytest.raises(InvalidInput, match="2 signs for 3 columns"):
        Directed([1, 1]).fit(x)
    with pytest.raises(InvalidInput, match=r"signs\[1\]"):
        Directed([1, 0])


def test_the_examples_in_docstrings():
    assert doctest.testmod(dominance, globs={"dominated": dominated, "Directed": Directed})[0] == 0


# --- the budget

VIEWS = (View("taking", {"files": 1, "days known": -1}), View("entry", {"accounts of the device": 1}))


def some_days(seed, days=12, events=60):
    chance = np.random.default_rng(seed)
    return [
        {
            view.name: (
                [f"k{n}" for n in chance.integers(0, 40, events)],
                np.round(chance.exponential(5, (events, len(view.directions)))),
                [f"s{n}" for n in chance.integers(0, 200, events)],
            )
            for view in VIEWS
        }
        for _ in range(days)
    ]


def run(days, cuts=1, shuffle=None, **settings_):
    budget, out = (
        AlertBudget(VIEWS, **{"per_day": 3, "learn_days": 3, "quiet_days": 4, "window_days": 6} | settings_),
        [],
    )
    for number, day in enumerate(days):
        for name, (keys, values, subjects) in day.items():
            order = np.arange(len(keys)) if shuffle is None else np.random.default_rng(shuffle).permutation(len(keys))
            for part in np.array_split(order, cuts):
                budget.add(name, [keys[i] for i in part], values[part], [subjects[i] for i in part])
        out.append(budget.close(number))
    return out


@given(st.integers(0, 500), st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_pieces_and_their_order_within_a_day_do_not_matter(seed, cuts, shuffle):
    days = some_days(seed, 7, 30)
    assert run(days) == run(days, cuts, shuffle)


@given(st.integers(0, 500), st.sampled_from([1, 2.5, 4]))
@settings(max_examples=25, deadline=None)
def test_the_budget_holds_over_any_window_and_subjects_rest(seed, per_day):
    made = run(some_days(seed, 16), per_day=per_day)
    assert made[:3] == [[], [], []]
    counts = [len(alerts) for alerts in made]
    for last in range(3, 16):
        window = counts[max(last - 5, 3) : last + 1]
        assert sum(window) <= per_day * len(window)
        assert counts[last] <= 2 * per_day
    assert sum(counts) >= 0.8 * per_day * 13 - 3, "the budget is used"
    seen = {}
    for alerts in made:
        assert len({alert.key for alert in alerts}) == len(alerts), "one alert a key and day"
        for alert in alerts:
            assert alert.day - seen.get(alert.subject, -99) >= 4
        for alert in alerts:
            seen |= dict.fromkeys((alert.subject, *(name for _, name in alert.further)), alert.day)


def test_the_worst_in_every_direction_comes_first_with_its_reasons():
    days = some_days(1)
    keys, values, subjects = days[8]["taking"]
    days[8]["taking"] = ([*keys, "thief", "thief"], np.vstack([values, [[500, 0], [90, 0]]]), [*subjects, "him", "her"])
    first = run(days)[8][0]
    assert (first.view, first.key, first.subject) == ("taking", "thief", "him")
    assert first.further == (("taking", "her"),)
    assert first.below == first.events == 361
    assert first.evidence == "more suspicious than 361 of 361 events in every direction: files 500, days known 0"


def test_what_is_extreme_the_harmless_way_is_no_alert():
    days = some_days(2)
    keys, values, subjects = days[8]["taking"]
    days[8]["taking"] = ([*keys, "old"], np.vstack([values, [[500, 9000]]]), [*subjects, "him"])
    assert all(alert.key != "old" for alert in run(days, per_day=1)[8])


def test_unknown_values_are_not_suspicious():
    days = some_days(3)
    keys, values, subjects = days[8]["taking"]
    days[8]["taking"] = ([*keys, "dim"], np.vstack([values, [[np.nan, np.nan]]]), [*subjects, "him"])
    made = run(days, per_day=5)
    assert all(alert.key != "dim" for alerts in made for alert in alerts)


def test_days_without_events_pass():
    budget = AlertBudget(VIEWS, learn_days=1)
    assert budget.close(3) == []
    assert budget.close(9) == []
    budget.add("entry", ["a"], [[1.0]])
    (alert,) = budget.close(10)
    assert (alert.key, alert.subject, alert.below, alert.events) == ("a", "a", 0, 0)


def test_what_add_and_close_refuse():
    budget = AlertBudget(VIEWS)
    for given_call, slug, text in (
        (lambda: budget.add("entri", ["a"], [[1.0]]), "alerts.view", "did you mean 'entry'"),
        (lambda: budget.add("entry", ["a", "b"], [[1.0]]), "detector.shape", "2 keys"),
        (lambda: budget.add("entry", ["a"], [[1.0, 2.0]]), "detector.shape", "1 x 2 values"),
        (lambda: budget.add("entry", ["a"], [[1.0]], ["x", "y"]), "detector.shape", "2 subjects"),
        (lambda: budget.add("entry", ["a"], [["x"]]), "detector.not_numbers", "<U1"),
    ):
        with pytest.raises(InvalidInput, match=text) as caught:
            given_call()
        assert [problem.slug for problem in caught.value.problems] == [slug]
    budget.close(4)
    with pytest.raises(InvalidInput, match="day 4 is not after day 4"):
        budget.close(4)


@pytest.mark.parametrize(
    "asked",
    [{"per_day": 0}, {"window_days": 0}, {"learn_days": -1}, {"quiet_days": 0}, {"per_day": float("nan")}],
)
def test_settings_out_of_range(asked):
    with pytest.raises(InvalidInput, match=r"detector\.setting"):
        AlertBudget(VIEWS, **asked)


@pytest.mark.parametrize(
    "views", [(), (View("a", {}),), (View("a", {"x": 2}),), (View("a", {"x": 1}), View("a", {"y": 1}))]
)
def test_views_that_make_no_budget(views):
    with pytest.raises(InvalidInput, match=r"detector\.setting"):
        AlertBudget(views)
