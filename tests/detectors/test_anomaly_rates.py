"""Rates with season and trend: what is expected, when an alarm is raised, and which segment it names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom

from oracles.rates_oracle import PlainRates
from shoal.detectors.anomaly.rates import RateWatch, Settings, count_buckets, watch_rates
from shoal.detectors.anomaly.rates.expected import Expected, tails
from shoal.errors import InvalidInput

HOUR = 3_600_000_000
START = 50 * 24  # hours; the first seven weeks are ordinary


def service(seed, days=56, base=400.0, changes=(), growth=0.003, spread=0.02, segments=6):
    """Hourly counts by country with a day, a week, noise beyond chance, growth; `changes`: (first hour, last hour,
    segment or None for all, factor on its own rate, share of all added)."""
    chance = np.random.default_rng(seed)
    hours = np.arange(days * 24)
    rate = base * (1 + 0.6 * np.sin((hours % 24 - 9) / 24 * 2 * np.pi)) * np.where((hours // 24) % 7 >= 5, 0.6, 1.0)
    rate *= np.exp(np.repeat(chance.normal(0, 0.05, days), 24)) * np.exp(growth * hours / 24)
    share = chance.dirichlet(np.full(segments, 4.0))
    out = []
    for hour in range(len(hours)):
        row = {}
        for segment in range(segments):
            mean = rate[hour] * share[segment] * chance.gamma(1 / spread, spread)
            for first, last, which, factor, added in changes:
                if first <= hour < last and which in (None, segment):
                    mean = mean * factor + added * rate[hour]
            row["country", f"C{segment}"] = float(chance.poisson(mean))
        out.append((hour * HOUR, row, sum(row.values())))
    return out


def test_tails_are_those_of_the_negative_binomial():
    counts, means = np.array([0.0, 1, 5, 40, 400]), np.array([3.0, 0.2, 5, 20, 500])
    spreads = np.array([0.01, 0.5, 0.05, 0.1, 0.02])
    upper, lower = tails(counts, means, spreads)
    size = 1 / spreads
    assert np.allclose(upper, nbinom.sf(counts - 1, size, size / (size + means)))
    assert np.allclose(lower, nbinom.cdf(counts, size, size / (size + means)))


@given(st.integers(0, 1000), st.integers(1, 3))
@settings(max_examples=8, deadline=None)
def test_expected_rates_are_those_of_the_plain_twin(seed, segments):
    chance = np.random.default_rng(seed)
    fast, whole = Expected(Settings(learn_h=100)), PlainRates(learn_h=100)
    plain = [whole, *(PlainRates(learn_h=100, whole=whole) for _ in range(segments))]
    fast.grow(segments + 1)
    for hour in range(400):
        rate = 30 * (1.5 + np.sin(hour / 24 * 2 * np.pi)) * (8 if 250 < hour < 340 else 1)
        counts = chance.poisson(rate, segments).astype(float)
        counts = np.concatenate([[counts.sum()], counts])
        found = fast.update(hour % 168, counts)
        for row, one in enumerate(plain):
            expected = one.update(hour % 168, float(counts[row]))
            assert np.allclose([part[row] for part in found], np.array(expected).T, rtol=1e-9)


def test_quiet_services_give_no_more_alarms_than_was_said():
    months = 0.0
    alarms = 0
    for seed in range(2):
        for world in (service(seed), service(seed, base=12, spread=0.05), service(seed, spread=0.1, growth=0.02)):
            alarms += len(watch_rates(world))
            months += (56 - 14) / 30
    assert alarms <= months, "one a month was accepted"


@pytest.mark.parametrize("seed", range(4))
def test_a_wave_from_one_country_is_told_with_its_size(seed):
    alarms = watch_rates(service(seed, changes=[(START, START + 8, 3, 1, 0.5)]))
    (alarm,) = [one for one in alarms if START * HOUR <= one.start < (START + 12) * HOUR]
    assert alarm.up
    assert alarm.start == START * HOUR
    moved = {mover.segment: mover for mover in (alarm.main, *alarm.movers)}
    assert ("country", "C3") in moved
    one = moved["country", "C3"]
    assert one.share > 0.5, "the day's own noise moves the others a little"
    assert one.observed > 2 * one.expected
    assert "country C3: " in alarm.text
    assert "% of the change" in alarm.text
    others = [mover for mover in alarm.movers if mover.segment not in (("country", "C3"), ("all", ""))]
    assert all(abs(mover.share) < 0.25 for mover in others)


@pytest.mark.parametrize("seed", range(4))
def test_an_outage_of_all_is_one_alarm_and_its_return_none(seed):
    alarms = watch_rates(service(seed, changes=[(START, START + 6, None, 0.05, 0)]))
    (alarm,) = [one for one in alarms if (START - 2) * HOUR <= one.start < (START + 48) * HOUR]
    assert not alarm.up
    assert alarm.main.segment == ("all", "")
    assert len(alarm.movers) == 5
    assert alarm.text.startswith("down: all: ")


def test_one_silent_country_is_seen_though_all_together_hardly_move():
    world = service(2, changes=[(START, START + 10, 4, 0.02, 0)])
    found = [one for one in watch_rates(world) if START * HOUR <= one.start < (START + 10) * HOUR]
    assert [one.main.segment for one in found] == [("country", "C4")]
    assert not found[0].up


def test_a_lasting_change_becomes_the_rule():
    world = service(1, days=90, changes=[(START, 10_000, None, 2.5, 0)])
    alarms = watch_rates(world)
    first = [one.start // HOUR for one in alarms if one.start >= START * HOUR]
    assert first[0] == START
    assert len([hour for hour in first if hour > START + 24 * 7]) == 0, "after a week nobody is told again"
    again = watch_rates(service(1, days=90, changes=[(START, 10_000, None, 2.5, 0), (1900, 1906, None, 0.1, 0)]))
    assert [one for one in again if one.start // HOUR in range(1900, 1903) and not one.up], "and a fall to the old is"


def test_a_bucket_at_a_time_is_the_same_and_nothing_given_is_changed():
    world = service(5, changes=[(START, START + 8, 3, 1, 0.5)])
    before = [(start, dict(counts), total) for start, counts, total in world]
    watch = RateWatch()
    single = [alarm for start, counts, total in world for alarm in watch.update(start, counts, total)]
    assert single == watch_rates(world) == watch_rates(world)
    assert single
    assert world == before
    shuffled = [(start, dict(reversed(counts.items())), total) for start, counts, total in world]
    assert watch_rates(shuffled) == single, "the order of segments is irrelevant"


def test_a_new_segment_that_brings_a_wave_is_named():
    world = service(3)
    for hour in range(START, START + 4):
        start, counts, total = world[hour]
        world[hour] = start, {**counts, ("country", "NEW"): 900.0}, total + 900
    (alarm,) = [one for one in watch_rates(world) if START * HOUR <= one.start < (START + 4) * HOUR]
    assert ("country", "NEW") in {mover.segment for mover in (alarm.main, *alarm.movers)}


def test_events_are_counted_by_hour_and_segment():
    times = np.array([5, HOUR + 1, 3 * HOUR, 3 * HOUR + 9, 3 * HOUR - 1], np.int64) + 100 * HOUR
    columns = {"country": ["BR", "DE", "BR", None, "FR"], "client": ["web"] * 5}
    assert count_buckets(times, columns, least=2) == [
        (100 * HOUR, {("client", "web"): 1, ("country", "BR"): 1, ("country", "other"): 0}, 1),
        (101 * HOUR, {("client", "web"): 1, ("country", "BR"): 0, ("country", "other"): 1}, 1),
        (102 * HOUR, {("client", "web"): 1, ("country", "BR"): 0, ("country", "other"): 1}, 1),
        (103 * HOUR, {("client", "web"): 2, ("country", "BR"): 1, ("country", "other"): 0}, 2),
    ]
    assert count_buckets(np.zeros(0, np.int64), {}) == []
    who = np.array([9, 9, 9, 9, 9])
    assert [total for _, _, total in count_buckets(times, columns, once=who)] == [1, 1, 1, 1]
    assert [counts["country", "BR"] for _, counts, _ in count_buckets(times, columns, least=1, once=who)] == [
        1,
        0,
        0,
        1,
    ]


REFUSED = [
    ((1, {}, 0), {"rates.start"}, "a multiple of 3600000000"),
    ((5 * HOUR, {}, 0), {"rates.start"}, "after 18000000000"),
    ((6 * HOUR, {("a", "b"): -1.0}, 0), {"rates.count"}, "a count of -1.0"),
    ((6 * HOUR, {("a", "b"): float("nan")}, float("inf")), {"rates.count"}, r"\[total\]: a count of inf"),
    ((6 * HOUR, {("all", ""): 1.0}, 1), {"rates.segments"}, "name of all"),
    ((6 * HOUR, {("a", str(n)): 1.0 for n in range(30)}, 1), {"rates.segments"}, "31 segments"),
]


@pytest.mark.parametrize(("bucket", "slugs", "text"), REFUSED)
def test_malformed_buckets_are_refused_and_change_nothing(bucket, slugs, text):
    watch = RateWatch(Settings(max_segments=20))
    watch.update(5 * HOUR, {("a", "b"): 3.0}, 3)
    with pytest.raises(InvalidInput, match=text) as caught:
        watch.update(*bucket)
    assert {problem.slug for problem in caught.value.problems} == slugs
    assert watch.update(6 * HOUR, {("a", "b"): 3.0}) == []


@pytest.mark.parametrize(
    "asked",
    [{"bucket_s": 7}, {"bucket_s": 7200}, {"bucket_s": 700}, {"alarms_per_month": 0}, {"least_share": -1},
     {"learn_h": 1}, {"half_life_h": float("nan")}, {"accept_h": 0}, {"max_segments": 0}],
)  # fmt: skip
def test_settings_out_of_range(asked):
    with pytest.raises(InvalidInput, match=r"detector\.setting"):
        Settings(**asked)
