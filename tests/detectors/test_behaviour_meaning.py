"""What the behaviour signals say: calibration, own history, peers, order, and what floods and clocks can do to them."""

import numpy as np
import pytest

from oracles.behaviour_streams import DAY, HOUR, US, event, feed, make
from shoal.detectors.behaviour import EntityBaseline, SequenceSurprise

START = 1_700_006_400 * US  # a Wednesday, 0:00 UTC
P_SELF, P_PEERS, P_WHEN, SURPRISE, EXPECTED, OBSERVED = range(6)
BITS, RATIO, MEAN_BITS, MEAN_RATIO, SESSION_MAX, P = range(6)


def working_weeks(accounts: int, weeks: int, mean, seed: int = 0, kind=lambda who: "web") -> list[dict]:
    """Each account downloads once a working day at 8 to 16 o'clock; `mean(who)` files, and a hundred now and then."""
    rng = np.random.default_rng(seed)
    rows = []
    for day in range(7 * weeks):
        if (day + 2) % 7 >= 5:
            continue
        for who in range(accounts):
            many = 1 + rng.poisson(mean(who) - 1) if rng.random() > 0.004 else 100
            begin = START + day * DAY + int(rng.uniform(8, 16) * HOUR)
            rows += [event(f"a{who}", begin + k * US, client=kind(who)) for k in range(many)]
    return sorted(rows, key=lambda row: row["as_of"])


def last_of_windows(rows, out):
    """The scores at the last event of each window, with its account and place."""
    found = {}
    for i, row in enumerate(rows):
        found[row["account"], row["as_of"] // DAY] = i
    return np.array(sorted(found.values()))


def test_probabilities_of_honest_windows_are_what_they_say():
    rows = working_weeks(60, 9, lambda who: [2, 5, 20][who % 3])
    out = feed(make(EntityBaseline, traits=("client",)), rows)
    ends = last_of_windows(rows, out)
    ends = ends[ends > len(rows) // 4]  # behind the first weeks
    assert len(ends) > 1500
    for column in (P_SELF, P_PEERS, P_WHEN):
        p = out[ends, column]
        assert (p > 0).all()
        assert (p <= 1).all()
        for level in (0.1, 0.02):
            room = 3 * np.sqrt(level / len(ends))
            assert (p <= level).mean() <= 1.3 * level + room
    assert (out[ends, P_SELF] <= 0.1).mean() > 0.04  # and it does say something


def test_the_same_burst_is_news_for_the_quiet_and_none_for_who_always_does_it():
    rows = working_weeks(60, 6, lambda who: 30 if who < 20 else 2)
    signal = make(EntityBaseline, traits=("client",))
    feed(signal, rows)
    at = START + 44 * DAY + 10 * HOUR
    burst = [event(who, at + k * US) for who in ("a1", "a40") for k in range(30)]
    burst.sort(key=lambda row: row["as_of"])
    out = feed(signal, burst)
    heavy, quiet = out[-2], out[-1]
    assert heavy[OBSERVED] == quiet[OBSERVED] == 30
    assert heavy[EXPECTED] > 15 > 4 > quiet[EXPECTED]
    assert quiet[P_SELF] < 0.02 < 0.2 < heavy[P_SELF]
    assert quiet[SURPRISE] > heavy[SURPRISE] + 0.5


def test_peers_are_those_who_behave_alike():
    rows = working_weeks(80, 6, lambda who: 30 if who % 2 else 2, kind=lambda who: "api" if who % 2 else "web")
    signal = make(EntityBaseline, traits=("type", "client"))
    feed(signal, rows)
    names = [f"a{who}" for who in range(80)]
    groups = signal.groups_of(np.array([signal.identity.id_of(name) for name in names]))
    assert not set(groups[::2]) & set(groups[1::2])
    assert 0 not in groups
    at = START + 44 * DAY + 10 * HOUR
    out = feed(signal, sorted((event(who, at + k * US, client=client) for who, client in (("a2", "web"), ("a3", "api"))
                               for k in range(30)), key=lambda row: row["as_of"]))  # fmt: skip
    assert out[-2][P_PEERS] < 0.05 < 0.2 < out[-1][P_PEERS]


def test_the_hour_that_an_account_never_keeps_is_rare():
    rows = working_weeks(40, 6, lambda who: 3)
    signal = make(EntityBaseline, traits=("client",))
    feed(signal, rows)
    out = feed(signal, [event("a1", START + 42 * DAY + 10 * HOUR), event("a2", START + 45 * DAY + 3 * HOUR)])
    assert out[0][P_WHEN] > 0.2
    assert out[1][P_WHEN] < 0.05


def test_without_history_nothing_is_claimed():
    out = feed(make(EntityBaseline, traits=("client",)), [event("new", START + k * US) for k in range(1000)])
    assert out[-1].tolist()[:4] == [1.0, 1.0, 1.0, 0.0]
    out = feed(make(SequenceSurprise), [event("new", START, "first.seen")])
    assert out[0][BITS] == 12.0  # a share of 1/4096: nobody has done anything yet
    assert out[0][P] == 1.0


def test_a_new_account_is_judged_by_its_peers():
    rows = working_weeks(60, 6, lambda who: 3)
    signal = make(EntityBaseline, traits=("client",), young=0)
    feed(signal, rows)
    at = START + 44 * DAY + 10 * HOUR
    usual = feed(signal, [event("new", at + k * US) for k in range(3)])[-1]
    much = feed(signal, [event("newer", at + 60 * US + k * US) for k in range(90)])[-1]
    assert usual[P_SELF] > 0.3
    assert much[P_SELF] < 0.02


@pytest.mark.parametrize("jump", [400 * DAY, 36_500 * DAY])
def test_a_jump_of_the_clock_makes_all_unknown_and_nothing_infinite(jump):
    rows = working_weeks(30, 4, lambda who: 3)
    for signal in (
        make(EntityBaseline, traits=("client",), half_life=86_400.0),
        make(SequenceSurprise, half_life=3600.0),
    ):
        feed(signal, rows)
        late = [event("a1", START + jump + k * US) for k in range(5)]
        out = feed(signal, late)
        assert np.isfinite(out).all()
        if isinstance(signal, EntityBaseline):
            assert out[-1][P_SELF] > 0.9
        feed(signal, [{**row, "as_of": row["as_of"] + jump + DAY} for row in rows])
        assert all(np.isfinite(a).all() for a in signal.snapshot().values() if a.dtype.kind == "f")


def test_amounts_can_be_bytes_and_huge_ones_do_not_break_the_sums():
    signal = make(EntityBaseline, traits=("client",), amount=("size_bytes",))
    rows = [event("a", START + k * DAY, size_bytes=10**6) for k in range(30)]
    out = feed(
        signal, [*rows, event("a", START + 30 * DAY, size_bytes=2**62), event("a", START + 30 * DAY, size_bytes=2**62)]
    )
    assert out[29][EXPECTED] == pytest.approx(10**6, rel=0.2)
    assert out[-1][OBSERVED] == 2.0**62
    after = feed(
        signal, [event("a", START + 31 * DAY, size_bytes=10**6), event("a", START + 32 * DAY, size_bytes=10**6)]
    )
    assert np.isfinite(after).all()


def habits(accounts: int, days: int, seed: int = 1) -> list[dict]:
    """Half of the accounts upload, then share; the others log in, then download."""
    rng = np.random.default_rng(seed)
    rows = []
    for day in range(days):
        for who in range(accounts):
            begin = START + day * DAY + int(rng.uniform(8, 16) * HOUR)
            names = ("file.uploaded", "link.created", "folder.shared") if who % 2 else (
                "login.succeeded", "file.downloaded", "file.renamed")  # fmt: skip
            rows += [event(f"a{who}", begin + k * US, name) for k, name in enumerate(names)]
    return sorted(rows, key=lambda row: row["as_of"])


def test_what_others_do_is_news_from_who_never_does_it_and_order_counts():
    signal = make(SequenceSurprise)
    feed(signal, habits(20, 20))
    at = START + 21 * DAY
    own = feed(
        signal, [event("a1", at + k, name) for k, name in enumerate(("file.uploaded", "link.created", "folder.shared"))]
    )
    foreign = feed(
        signal, [event("a3", at + 9 + k, name) for k, name in enumerate(("login.succeeded", "file.downloaded"))]
    )
    turned = feed(
        signal,
        [event("a5", at + 99 + k, name) for k, name in enumerate(("folder.shared", "link.created", "file.uploaded"))],
    )
    assert own[:, BITS].max() < 1.0
    assert foreign[0, BITS] > 4.0
    assert foreign[0, RATIO] > own[:, RATIO].max() + 0.5
    assert turned[:, BITS].min() > 2.0
    assert turned[-1, SESSION_MAX] == turned[:, BITS].max()
    assert foreign[-1, MEAN_RATIO] > own[-1, MEAN_RATIO]


def test_the_highest_of_a_session_ends_with_it():
    signal = make(SequenceSurprise)
    feed(signal, habits(20, 20))
    at = START + 21 * DAY
    odd = feed(signal, [event("a1", at, "app.authorized"), event("a1", at + 1800 * US, "file.uploaded")])
    assert odd[0, SESSION_MAX] == odd[1, SESSION_MAX] == odd[0, BITS] > 8
    later = feed(signal, [event("a1", at + 3601 * US, "file.uploaded")])
    assert later[0, SESSION_MAX] == later[0, BITS] < 2


def test_a_burst_does_not_drive_habits_out():
    calm, flooded = make(SequenceSurprise), make(SequenceSurprise)
    for signal in (calm, flooded):
        feed(signal, habits(20, 20))
    at = START + 21 * DAY
    feed(flooded, [event("a1", at + k * 1000, "file.downloaded") for k in range(5000)])
    feed(calm, [event("a1", at + k * 1000, "file.downloaded") for k in range(5)])
    rows = [
        event("a1", at + DAY + k, name) for k, name in enumerate(("file.uploaded", "link.created", "folder.shared"))
    ]
    a, b = feed(calm, rows), feed(flooded, rows)
    assert (b[:, BITS] < a[:, BITS] + 1.5).all()


def test_floods_of_keys_and_tokens_leave_the_living_and_the_frequent():
    baseline = make(EntityBaseline, traits=("client",), keys=64)
    order = make(SequenceSurprise, keys=64, shared_cells=256)
    rows = habits(20, 10)
    feed(baseline, [{**row, "type": "file.downloaded"} for row in rows])
    feed(order, rows)
    at = START + 11 * DAY
    flood = [event(f"x{k}", at + k, f"made.up{k}") for k in range(2000)]
    for k in range(0, 2000, 40):
        flood[k] = event("a1", at + k, "file.uploaded")
    feed(baseline, [{**row, "type": "file.downloaded"} for row in flood])
    feed(order, flood)
    for signal in (baseline, order):
        assert signal.keys == 64
        assert signal._rows.used * signal.bytes_per_key < 64 * 700
    ident = baseline.identity.id_of("a1")
    assert baseline.groups_of(np.array([ident]))[0] >= 0
    assert (order._rows.keys.ids[: order.keys] == ident).any()
    seen = feed(order, [event("nobody", at + DAY, "login.succeeded"), event("nobody2", at + DAY, "made.up5000")])
    assert seen[0, BITS] < seen[1, BITS] - 2  # everybody's frequent tokens are still known


def test_bytes_a_key_are_stated_and_bounded():
    assert make(EntityBaseline, traits=("type", "client", "org")).bytes_per_key == 425
    assert make(SequenceSurprise).bytes_per_key == 577
    rows = [event(f"a{k}", START + k * US) for k in range(5000)]
    signal = make(EntityBaseline, traits=("type", "client", "org"))
    feed(signal, rows)
    held = sum(a.nbytes for a in signal._rows.arrays.values()) + sum(a.nbytes for a in signal._rows.keys)
    assert held <= signal.bytes_per_key * max(2 * signal.keys, 1024) + 64
