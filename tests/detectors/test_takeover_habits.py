"""The hour of the week and the round-trip time in `login_likelihood`: its slow twin, laws, and what they tell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.habits_oracle import DAY, HOUR, Habits
from shoal.detectors.signals import SignalDefinition
from shoal.detectors.takeover import habits_kernel as K  # noqa: N812
from shoal.detectors.takeover.likelihood import LoginLikelihood
from shoal.errors import Corrupt
from shoal.events.identity import Identity
from shoal.events.schema import EVENT_COLUMNS, Kind
from shoal.expressions.frame import Frame, Layout
from shoal.features.engine import Stamps

LAYOUT = Layout.of({column.name: column.kind for column in EVENT_COLUMNS})
START = 20_000 * DAY  # a Wednesday
NAMES = ("hour_of_week", "rtt", "rtt_self", "rtt_network")


def make(**said: Any) -> LoginLikelihood:
    whole = {name: setting.default for name, setting in LoginLikelihood.settings.items()} | said
    return LoginLikelihood(SignalDefinition("login", "login_likelihood", whole, 2), LAYOUT, Identity(bytes(16)), {})


def run(signal: LoginLikelihood, rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    frame = Frame.of_rows(rows, LAYOUT, Identity(bytes(16)))
    outputs = signal.outputs(signal.definition.settings)
    values, valid = np.zeros((len(outputs), len(rows)), np.int64), np.zeros((len(outputs), len(rows)), np.uint8)
    times, none = np.array([row["time"] for row in rows], np.int64), np.zeros(len(rows), np.uint8)
    signal.update(frame, Stamps(times, times, times, none, none), values, valid)
    return {
        name: [cell if ok else None for cell, ok in zip(values[at].view(np.float64).tolist(), valid[at], strict=True)]
        for at, (name, output) in enumerate(outputs.items())
        if output.kind is Kind.FLOAT and name in NAMES
    }


def login(account: str, hours: float, rtt: float | None = None, **more: Any) -> dict[str, Any]:
    base = {"account": account, "type": "login.succeeded", "time": START + int(hours * HOUR), "rtt_ms": rtt, "asn": 1}
    return base | more


def pick(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


rows_strategy = st.lists(
    st.fixed_dictionaries({
        "account": pick("ann", "bob"), "hours": st.floats(0, 900), "asn": pick(1, 2, None), "country": pick("DE", None),
        "type": pick("login.succeeded", "login.succeeded", "login.attempted"),
        "rtt_ms": pick(None, 20.0, 25.0, 300.0, 1e-9, 0.0, -3.0, 1e9), "lat": pick(50.0, None),
        "lon": pick(8.0, -122.0, 179.9, None), "network_kind": pick("home", "vpn", "unknown", None),
    }), min_size=1, max_size=24,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rows_strategy, pick(0, 40 * 3600))
def test_values_are_those_of_the_definition(given_rows: list[dict[str, Any]], half_life: int) -> None:
    ordered = sorted(given_rows, key=lambda row: row["hours"])
    rows = [{**row, "time": START + int(row["hours"] * HOUR)} for row in ordered]
    got, twin = run(make(half_life=half_life), rows), Habits(half_life * 1e6)
    for at, row in enumerate(rows):
        for name, wanted in twin.score(row).items():
            assert got[name][at] == (None if wanted is None else pytest.approx(wanted, abs=1e-7)), name
        if row["type"] == "login.succeeded":
            twin.learn(row)


def test_smoothing_keeps_the_weight_and_the_hours_are_of_the_week() -> None:
    for hour in range(168):
        one = np.zeros(168)
        one[hour] = 1.0
        assert sum(K.spread(one, other) for other in range(168)) == pytest.approx(1.0)
    monday = 4 * DAY  # 1970-01-05
    assert K.hour_of(monday, 0.0, False) == 0
    assert K.hour_of(monday, -15.0, True) == 167
    assert K.hour_of(monday, 15.0, True) == 1
    assert K.hour_of(monday + 7 * DAY - 1, 0.0, False) == 167


def test_densities_are_proper() -> None:
    grid = np.linspace(-400, 400, 800_001)
    for mean, square, degrees in ((4.0, 0.3, 4.0), (2.0, 1.5, 9.5)):
        density = np.exp([K.log_t(y, mean, square, degrees) for y in grid[::20]])
        assert density.sum() * (grid[20] - grid[0]) == pytest.approx(1.0, abs=2e-3)


def test_an_unusual_hour_and_a_far_client_stand_out_and_others_do_not() -> None:
    signal = make()
    past = [login(f"u{who}", 24 * day + 9 + who % 3, 20.0 + who, lat=50.0, lon=8.0) for day in range(40)
            for who in range(6)]  # fmt: skip
    run(signal, sorted(past, key=lambda row: int(row["time"])))
    probe = {"type": "login.attempted", "lat": 50.0, "lon": 8.0}
    told = run(signal, [login("u0", 24 * 41 + 9, 20.5, **probe), login("u0", 24 * 41 + 9, 240.0, **probe),
                        login("u0", 24 * 41 + 21, 20.5, **probe), login("new", 24 * 41 + 9, 20.5, **probe),
                        login("u0", 24 * 41 + 9, 240.0, **{**probe, "asn": 9})])  # fmt: skip
    usual, far, night, new, elsewhere = range(5)
    assert told["rtt"][usual] < 0 < 3.5 < told["rtt"][far] < math.log(42)
    assert told["rtt_self"][far] > 5 > 1 > abs(told["rtt_self"][usual])
    assert told["rtt_network"][far] > 3
    assert told["hour_of_week"][night] > told["hour_of_week"][usual] + 1
    assert told["hour_of_week"][new] == pytest.approx(0.0)
    assert told["rtt"][new] == pytest.approx(0.0, abs=0.3)
    assert abs(told["rtt"][elsewhere]) < 0.5, "in a network where nothing is known of the account"


def test_a_place_is_remembered_for_logins_that_have_none() -> None:
    there, nowhere = make(half_life=0), make(half_life=0)
    past = [login("u", 24 * day + 20, lat=37.0, lon=-122.0, network_kind="home") for day in range(20)]
    run(there, past)
    run(nowhere, [{**row, "lat": None, "lon": None} for row in past])
    vpn = [login("u", 24 * 21 + 20, lat=1.0, lon=100.0, network_kind="vpn", type="login.attempted")]
    first, other = run(there, vpn)["hour_of_week"][0], run(nowhere, vpn)["hour_of_week"][0]
    assert first == pytest.approx(other, abs=0.2)
    assert first < -1


def test_tables_grow_batches_and_snapshots_change_nothing() -> None:
    rng = np.random.default_rng(5)
    rows = [login(f"u{rng.integers(900)}", float(h), float(rng.lognormal(4, 1)), asn=int(rng.integers(9)), lat=0.0,
                  lon=float(rng.integers(-180, 180))) for h in np.sort(rng.integers(0, 90 * 24, 5000))]  # fmt: skip
    whole, cut = make(half_life=3 * 86_400.0), make(half_life=3 * 86_400.0)
    want = run(whole, rows)
    got: dict[str, list[Any]] = {name: [] for name in NAMES}
    for begin in range(0, 5000, 611):
        other = make(half_life=3 * 86_400.0)
        other.restore({name: array.copy() for name, array in cut.snapshot().items()})
        cut = other
        for name, cells in run(cut, rows[begin : begin + 611]).items():
            got[name] += cells
    assert got == want
    assert all(np.array_equal(array, cut.snapshot()[name]) for name, array in whole.snapshot().items())
    assert all(value is None or math.isfinite(value) for cells in want.values() for value in cells)


def test_the_published_formula_has_none_of_it() -> None:
    signal = make(formula="published")
    assert not set(NAMES) & set(signal.outputs(signal.definition.settings))
    assert "rtt_ms" not in signal.reads(signal.definition.settings)
    assert not any(name.startswith("habits") for name in signal.snapshot())


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("habits_keys", lambda a: a[:-1]),
        ("habits_keys", np.zeros_like),
        ("habits_cells", lambda a: a * np.nan),
        ("habits_week", lambda a: a[:-1]),
        ("habits_head", lambda a: a + 1),
    ],
)
def test_a_damaged_snapshot_is_refused(name: str, wrong: Any) -> None:
    signal = make()
    run(signal, [login("u", hour, 20.0) for hour in range(9)])
    saved = dict(signal.snapshot())
    with pytest.raises(Corrupt):
        make().restore({**saved, name: wrong(saved[name])})
