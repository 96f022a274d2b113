"""`login_likelihood`: against its slow twin, whatever the cut into batches, and what it refuses."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.likelihood_oracle import Twin
from shoal.detectors.signal_kinds import KINDS
from shoal.detectors.signals import SignalDefinition
from shoal.detectors.takeover.likelihood import NESTED, LoginLikelihood
from shoal.detectors.takeover.likelihood_kernel import chances
from shoal.errors import Corrupt, InvalidInput
from shoal.events.identity import Identity
from shoal.events.schema import EVENT_COLUMNS, Flag, Kind
from shoal.expressions.frame import Frame, Layout
from shoal.features.engine import Stamps

LAYOUT = Layout.of({column.name: column.kind for column in EVENT_COLUMNS})
IDENTITY = Identity(bytes(range(16)))
HOUR = 3_600_000_000
START = 1_700_000_000_000_000
HOME = {
    "ip": "192.0.2.7", "network": "192.0.2.0/24", "asn": 1, "country": "DE", "user_agent": "a", "ua_family": "Firefox",
    "ua_version": "1", "ua_os": "Linux", "ua_device": "desktop", "device": "d1", "method": "password",
}  # fmt: skip
AWAY = HOME | {"ip": "203.0.113.9", "network": "203.0.113.0/24", "asn": 2, "country": "BR", "device": "d2"}


def make(**given_settings: Any) -> LoginLikelihood:
    whole = {name: setting.default for name, setting in LoginLikelihood.settings.items()} | given_settings
    kind = KINDS["login_likelihood"]
    assert kind is LoginLikelihood
    return LoginLikelihood(SignalDefinition("login", "login_likelihood", whole), LAYOUT, IDENTITY, {})


def run(
    signal: LoginLikelihood, rows: Sequence[Mapping[str, Any]], first: int = 0, flags: int = 0, shoal: int = 0
) -> dict[str, list[Any]]:
    """The signal's columns for rows (which hold `time`), as Python values."""
    frame = Frame.of_rows(rows, LAYOUT, IDENTITY)
    outputs = signal.outputs(signal.definition.settings)
    values, valid = np.full((len(outputs), len(rows)), 7, np.int64), np.ones((len(outputs), len(rows)), np.uint8)
    times = np.array([row["time"] for row in rows], np.int64)
    marks = np.full(len(rows), flags, np.uint8), np.full(len(rows), shoal, np.uint8)
    signal.update(frame, Stamps(first + np.arange(len(rows)), times, times, *marks), values, valid)
    found = {}
    for at, (name, output) in enumerate(outputs.items()):
        cells = values[at].view(np.float64) if output.kind is Kind.FLOAT else values[at]
        found[name] = [cell if ok else None for cell, ok in zip(cells.tolist(), valid[at], strict=True)]
    return found


def login(account: str, hours: float, what: Mapping[str, Any] = HOME, kind: str = "login.succeeded") -> dict[str, Any]:
    return {"account": account, "type": kind, "time": START + int(hours * HOUR)} | dict(what)


def pick(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


rows_strategy = st.lists(
    st.fixed_dictionaries({
        "account": pick("ann", "bob", "cy"), "hours": st.floats(0, 900), "country": pick("DE", "FR", None),
        "type": pick("login.succeeded", "login.succeeded", "login.attempted", "login.failed", "file.uploaded"),
        "asn": pick(1, 2, None), "network": pick("n1", "n2", None), "ip": pick("i1", "i2", "i3", None),
        "ua_device": pick("desktop", "mobile", None), "ua_os": pick("Linux", "iOS", None),
        "ua_family": pick("Firefox", "Safari", None), "ua_version": pick("1", "2", None), "user_agent": pick("x", "y"),
        "device": pick("d", "e", None), "method": pick("password", "passkey"),
    }), min_size=1, max_size=22,
)  # fmt: skip


def in_order(given_rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    ordered = sorted(given_rows, key=lambda row: row["hours"])
    return [{**row, "time": START + int(row["hours"] * HOUR)} for row in ordered]


@settings(max_examples=60, deadline=None)
@given(rows_strategy, pick(0, 40 * 3600), pick(0.5, 1.0), pick(0.0, 2.0), pick(0.0, 1.5))
def test_values_are_those_of_the_definition(
    given_rows: list[dict[str, Any]], half_life: int, young: float, adapt: float, pair: float
) -> None:
    rows = in_order(given_rows)
    nested = run(make(half_life=half_life, young=young, adapt=adapt, pair=pair), rows)
    published = run(make(half_life=half_life, young=young, formula="published"), rows)
    twin = Twin(half_life * 1e6, young, adapt, pair)
    for at, row in enumerate(rows):
        if row["type"] == "file.uploaded":
            assert nested["total"][at] is None
            continue
        wanted = twin.score(row)
        for name in ("network", "user_agent", "pair", "prior"):
            assert nested[name][at] == pytest.approx(wanted[name], abs=1e-7), name
        for level in NESTED:
            if level.name in wanted:
                assert nested[level.name][at] == pytest.approx(wanted[level.name], abs=1e-7), level.name
            else:
                assert nested[level.name][at] is None
        whole = sum(wanted[name] for name in ("network", "user_agent", "pair", "prior"))
        assert nested["total"][at] == pytest.approx(whole, abs=1e-7)
        for name, number in twin.score_published(row).items():
            assert published[name][at] == pytest.approx(number, abs=1e-7), name
        if row["type"] == "login.succeeded":
            twin.learn(row)


@settings(max_examples=40, deadline=None)
@given(rows_strategy, st.lists(st.integers(0, 22), max_size=4), pick("nested", "published"))
def test_one_batch_is_many_batches_and_a_restored_state_goes_on(
    given_rows: list[dict[str, Any]], cuts: list[int], formula: str
) -> None:
    rows = in_order(given_rows)
    whole = make(formula=formula, half_life=90_000)
    wanted = run(whole, rows)
    signal, got = make(formula=formula, half_life=90_000), {name: [] for name in wanted}
    edges = [0, *sorted({cut for cut in cuts if cut < len(rows)}), len(rows)]
    for begin, end in itertools.pairwise(edges):
        for name, cells in run(signal, rows[begin:end], begin).items() if end > begin else ():
            got[name] += cells
        other = make(formula=formula, half_life=90_000)
        other.restore({name: array.copy() for name, array in signal.snapshot().items()})
        signal = other
    assert got == wanted
    for name, array in whole.snapshot().items():
        assert np.array_equal(array, signal.snapshot()[name]), name


def test_growing_tables_and_moving_epochs_change_nothing() -> None:
    """Thousands of accounts over hundreds of half-lives: one batch, many batches, and ratios that stay finite."""
    rng = np.random.default_rng(3)
    size = 6_000
    times = np.sort(rng.integers(0, 1200 * 24, size))
    rows = [
        login(f"u{user}", float(hours), {**HOME, "ip": f"i{ip}", "asn": int(ip % 9)})
        for hours, user, ip in zip(times, rng.integers(0, 1500, size), rng.integers(0, 4000, size), strict=True)
    ]
    whole = make(half_life=2 * 86_400)
    wanted = run(whole, rows)
    assert whole.snapshot()["own_keys"].size > 1024
    signal, got = make(half_life=2 * 86_400), []
    for begin in range(0, size, 701):
        got += run(signal, rows[begin : begin + 701], begin)["total"]
    assert got == wanted["total"]
    assert np.isfinite(np.array(got)).all()
    live = whole.snapshot()["head"][3]
    assert live < 6_000 * 14 / 3, "what has decayed away makes room"


def test_seen_unseen_and_how_the_account_lives() -> None:
    rows = [login("ann", 24 * day) for day in range(6)] + [
        login("ann", 145, AWAY, "login.failed"),
        login("ann", 145.5, AWAY, "login.attempted"),
        login("ann", 146, HOME, "login.attempted"),
    ]
    found = run(make(), rows)
    assert found["total"][7] > 2 > 0 > found["total"][8]
    assert (found["address_seen"][7], found["address_seen"][8], found["agent_seen"][7]) == (0, 1, 1)
    assert found["logins"][7] == 6
    assert found["failures"][7] == 1
    assert found["gap_min"][8] == pytest.approx(26 * 60)
    assert found["history_h"][8] == pytest.approx(146)
    assert found["gap_min"][0] is None
    assert found["address_accounts"][8] == 1


def test_a_changeable_account_is_less_surprising_when_it_changes() -> None:
    still = [login("ann", hour) for hour in range(12)]
    roams = [login("bob", hour + 0.5, {**HOME, "ip": f"192.0.2.{hour}"}) for hour in range(12)]
    new = HOME | {"ip": "192.0.2.99"}
    found = run(make(), [*sorted(still + roams, key=lambda r: r["time"]), login("ann", 13, new), login("bob", 13, new)])
    assert found["address"][-1] < found["address"][-2] - 0.5
    assert found["address_churn"][-1] > found["address_churn"][-2]


@pytest.mark.parametrize(
    ("kind", "flags", "shoal", "learned"),
    [
        ("login.succeeded", 0, 0, True),
        ("login.failed", 0, 0, False),
        ("login.attempted", 0, 0, False),
        ("challenge.failed", 0, 0, False),
        ("challenge.passed", 0, 0, False),
        ("login.succeeded", int(Flag.LATE), 0, False),
        ("login.succeeded", 0, 1, False),
    ],
)
def test_only_logins_that_nobody_doubts_teach(kind: str, flags: int, shoal: int, learned: bool) -> None:
    signal = make()
    run(signal, [login("ann", hour) for hour in range(5)])
    run(signal, [login("ann", 6, AWAY, kind)], 5, flags, shoal)
    after = run(signal, [login("ann", 7, AWAY, "login.attempted")], 6)
    assert after["address_seen"] == [1 if learned else 0]
    assert after["logins"] == [6 if learned else 5]


def test_speed_is_silent_where_an_address_does_not_tell_the_place() -> None:
    hamburg = HOME | {"lat": 53.55, "lon": 9.99, "network_kind": "home"}
    perth = HOME | {"lat": -31.95, "lon": 115.86, "network_kind": "home"}
    a, b, c = (math.radians(d) for d in (53.55, -31.95, 115.86 - 9.99))  # the law of cosines, on the mean sphere
    far = 6371.0088 * math.acos(math.sin(a) * math.sin(b) + math.cos(a) * math.cos(b) * math.cos(c))
    for kind, factor in (("home", 1.0), ("office", 1.0), ("unknown", 0.5), (None, 0.5)):
        found = run(make(), [login("ann", 0, hamburg), login("ann", 2, perth | {"network_kind": kind})])
        assert found["speed_kmh"][1] == pytest.approx((far - 50) / 2 * factor)
    for kind in ("vpn", "mobile", "hosting"):
        rows = [login("ann", 0, hamburg), login("ann", 1, perth | {"network_kind": kind}), login("ann", 2, hamburg)]
        found = run(make(), rows)
        assert found["speed_kmh"] == [None, None, 0.0], "and the place before it is kept"
    assert run(make(), [login("ann", 0, hamburg), login("ann", 1)])["speed_kmh"] == [None, None]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 500)), min_size=1, max_size=16),
    st.floats(0, 20), st.floats(0.01, 50),
)  # fmt: skip
def test_the_odds_of_a_level_sum_to_one_at_most(children: list[tuple[float, float]], more: float, churn: float) -> None:
    """Also with the values that were never seen: as many as the level can have."""
    parent, all_parent = sum(c for c, _ in children) + more, sum(c + a for c, a in children) + more
    whole = [(c, c + a) for c, a in children] + [(0.0, 0.0)] * (16 - len(children))
    odds = [chances(c, a, parent, all_parent, 16.0, churn) for c, a in whole]
    assert sum(common for common, _ in odds) <= 1 + 1e-12
    assert sum(usual for _, usual in odds) <= 1 + 1e-12
    assert all(common > 0 and usual > 0 for common, usual in odds)


def test_missing_columns_and_missing_accounts() -> None:
    rows = [login("ann", 0), {"type": "login.succeeded", "time": START + 1}, login("ann", 1, {}), login("ann", 2)]
    found = run(make(), rows)
    assert found["total"][1] is None
    assert found["network"][2] == found["user_agent"][2] == 0.0
    assert found["address"][2] is None
    assert found["logins"][3] == 2
    narrow = Layout.of({"type": Kind.TEXT, "account": Kind.TEXT})
    given_settings = {name: setting.default for name, setting in LoginLikelihood.settings.items()}
    signal = LoginLikelihood(SignalDefinition("l", "login_likelihood", given_settings), narrow, IDENTITY, {})
    signal.warm()


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("head", lambda a: a[:-1], "head"),
        ("own_keys", lambda a: a[:1000], "own has 1000 keys"),
        ("own_keys", lambda a: a * 0, "own does not hold as many"),
        ("common_cells", lambda a: a[:, :1], "common_cells is float64"),
        ("rows", lambda a: a.astype(np.float32), "rows is float32"),
        ("rows", lambda a: a[:0], "points behind the rows"),
        ("account_rows", lambda a: a - 1, "points behind the rows"),
        ("totals", lambda a: a * np.nan, "not finite"),
        ("totals", lambda a: None, "the snapshot holds"),
    ],
)
def test_a_snapshot_that_is_none_is_refused(name: str, change: Any, text: str) -> None:
    signal = make()
    run(signal, [login("ann", 0), login("bob", 1), login("ann", 2)])
    arrays = dict(signal.snapshot())
    changed = change(arrays.pop(name))
    if changed is not None:
        arrays[name] = changed
    before = signal.snapshot()
    with pytest.raises(Corrupt, match=text):
        signal.restore(arrays)
    assert all(np.array_equal(array, signal.snapshot()[key]) for key, array in before.items()), "nothing was taken"


@pytest.mark.parametrize("setting", ["scores", "learns", "fails"])
def test_a_bad_condition_is_refused(setting: str) -> None:
    with pytest.raises(InvalidInput, match="no_such_column"):
        make(**{setting: "no_such_column = 1"})


def test_warming_changes_no_state() -> None:
    signal = make()
    run(signal, [login("ann", 0)])
    before = signal.snapshot()
    signal.warm()
    assert all(np.array_equal(array, signal.snapshot()[name]) for name, array in before.items())
