"""Co-action against its slow twin; its statistics; what it makes of odd and of broken tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.coaction_oracle import plain_company, plain_pairs, plain_q, plain_ratio, plain_tail
from shoal.coordination.coaction import CoActionSettings, calibrate, coaction, null_of
from shoal.coordination.coaction.significance import Side, log_ratio, p_values, pairs_by_chance, q_values
from shoal.errors import InvalidInput

SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
SHORT = (2, 6, 24)


def table(rows):
    columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
    names = ("account", "object", "time")
    return pa.table({name: pa.array(column, pa.int64()) for name, column in zip(names, columns, strict=True)})


def crew(accounts=range(5), objects=range(10), start=1_700_000_000 * SECOND, apart=10 * SECOND):
    """Everybody acts on everything, `apart` after the one before; the objects a day and more apart."""
    return [
        (a, 1000 + o, start + i * 2 * DAY + j * apart) for i, o in enumerate(objects) for j, a in enumerate(accounts)
    ]


def crowd(accounts=400, rows=6000, objects=3000, seed=0, first=100):
    """People who act on what they like, over ten days."""
    chance = np.random.default_rng(seed)
    who, what = first + chance.integers(0, accounts, rows), 5000 + chance.zipf(1.5, rows) % objects
    when = 1_700_000_000 * SECOND + chance.integers(0, 10 * DAY, rows)
    return list(zip(who.tolist(), what.tolist(), when.tolist(), strict=True))


ROWS = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 4), st.integers(0, 90)).map(lambda r: (r[0], r[1], r[2] * SECOND)),
    max_size=90,
)


@given(ROWS, st.integers(2, 5), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_the_sql_finds_what_the_loops_find(rows, cap, least):
    found = coaction(table(rows), CoActionSettings(SHORT, cap=cap, least=least, threads=1))
    wanted = plain_pairs(rows, [w * SECOND for w in SHORT], cap, least)
    assert list(zip(found.left.tolist(), found.right.tolist(), strict=True)) == sorted(wanted)
    for i, pair in enumerate(sorted(wanted)):
        shared, weight = wanted[pair]
        assert tuple(found.shared[i].tolist()) == shared
        assert found.weight[i] == pytest.approx(weight, abs=1e-5 * max(1, sum(shared)))


@given(ROWS, st.integers(2, 5))
@settings(max_examples=30, deadline=None)
def test_company_is_who_else_was_there(rows, cap):
    found = coaction(table(rows), CoActionSettings(SHORT, cap=cap, least=1, threads=1), everybody=True)
    wanted = plain_company(rows, [w * SECOND for w in SHORT], cap, 1)
    slots = {account: told[0] for account, told in wanted.items()}
    members = found.members.sort_by("account")
    assert members["account"].to_pylist() == sorted(wanted)
    total = sum(slots.values())
    assert members["share"].to_pylist() == pytest.approx([slots[a] / total for a in sorted(slots)])
    raw = np.array([wanted[a][1] for a in sorted(wanted)]).reshape(-1, 3)
    company = np.column_stack([members[f"company{i}"].to_numpy() for i in range(3)])
    assert np.linalg.matrix_rank(np.column_stack([raw, company]), tol=1e-8) <= 3  # a mixture of it, the same for all
    assert ((raw.sum(axis=1) > 0) == (company.sum(axis=1) > 0)).all()


def test_who_acts_together_is_found_among_people():
    found = coaction(table(crew() + crowd()))
    good = found.significant
    assert {(a, b) for a, b in zip(found.left[good], found.right[good], strict=True)} == {
        (a, b) for a in range(5) for b in range(a + 1, 5)
    }
    evidence = found.evidence()
    assert evidence.source == "coaction"
    assert (evidence.support == 10).all()
    assert (evidence.llr > np.log(found.tested)).all()
    assert found.shared[good][0].tolist() == [10, 10, 10, 10]
    assert found.tested == found.accounts * (found.accounts - 1) // 2


def test_the_order_and_the_repetition_of_rows_change_nothing():
    rows = crew() + crowd(rows=2000)
    turned = rows[::-1] + rows[100:160]
    one, two = coaction(table(rows)), coaction(table(turned))
    keep = ("left", "right", "shared", "weight", "jaccard")
    assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in keep)
    again = coaction(table(rows))
    assert all(np.array_equal(getattr(one, name), getattr(again, name)) for name in (*keep, "p", "q", "llr", "chance"))


def test_ids_may_be_any_numbers():
    ids = np.random.default_rng(3).integers(-(2**63), 2**63 - 1, 600)
    rows = crew() + crowd()
    plain, keyed = coaction(table(rows)), coaction(table([(int(ids[a]), o - 2**62, t) for a, o, t in rows]))
    pairs = {tuple(sorted((int(ids[a]), int(ids[b])))) for a, b in zip(plain.left, plain.right, strict=True)}
    assert set(zip(keyed.left.tolist(), keyed.right.tolist(), strict=True)) == pairs
    assert (keyed.left < keyed.right).all()


def test_slow_company_is_told_from_quick():
    found = coaction(table(crew(apart=30 * MINUTE, accounts=range(2)) + crowd()))
    at = int(np.flatnonzero(found.significant)[0])
    assert found.shared[at].tolist() == [0, 0, 10, 10]


def test_a_pair_is_not_cut_by_a_border():
    noon = 20_000 * DAY
    rows = [(a, o, noon + o * 3 * DAY + (a - 1) * 5 * SECOND) for o in range(4) for a in (1, 2)]
    found = coaction(table(rows))  # five seconds before midnight and at midnight: all four buckets are cut there
    rows = [(a, o, noon + o * 3 * DAY + (a - 2) * 5 * SECOND) for o in range(4) for a in (1, 2)]
    cut = coaction(table(rows))
    assert found.shared.tolist() == cut.shared.tolist() == [[4, 4, 4, 4]]


def test_what_is_too_popular_is_no_evidence_and_is_counted():
    busy = [(a, 7 + o, 1_700_000_000 * SECOND + o * 5 * DAY + a * SECOND) for o in range(5) for a in range(40)]
    found = coaction(table(busy), CoActionSettings(cap=39))
    assert found.size == 0 or found.shared[:, 0].max() <= 5
    capped = {one.window_s: one.cells for one in found.capped}
    assert capped[86_400] == 5
    alone = coaction(table(busy), CoActionSettings(cap=40))
    assert alone.size == 40 * 39 // 2
    assert all(one.cells == 0 for one in alone.capped)


def test_busy_accounts_must_share_more():
    """Two who act on everything meet by chance; the same meetings of two quiet ones are no chance."""
    chance = np.random.default_rng(1)
    when = 1_700_000_000 * SECOND + chance.integers(0, 10 * DAY, 4000)
    busy = [
        (int(a), int(o), int(t))
        for a, o, t in zip(chance.integers(0, 8, 4000), chance.integers(0, 500, 4000), when, strict=True)
    ]
    quiet = [(a + 90, 9000 + o, 1_700_000_000 * SECOND + o * DAY) for o in range(6) for a in range(2)]
    found = coaction(table(busy + quiet))
    good = {(a, b) for a, b in zip(found.left[found.significant], found.right[found.significant], strict=True)}
    assert good == {(90, 91)}
    assert found.size == 29
    at = int(np.flatnonzero(found.left == 90)[0])
    assert found.llr[at] > 20 > 0 > np.delete(found.llr, at).max() - 5


@pytest.mark.parametrize("rows", [
    [], [(1, 1, 0)], [(1, 1, 0)] * 50, [(a, a, 5) for a in range(30)],
    [(a, 1, 5 + a) for a in range(200)], [(1, o, 5 + o) for o in range(200)], [(a, 1, 5) for a in range(20)],
], ids=["empty", "one row", "one row repeated", "everybody acts on himself", "one object with everyone",
        "one account with everything", "one instant"])  # fmt: skip
def test_odd_tables_have_no_pairs(rows):
    found = coaction(table(rows))
    assert found.size == 0
    assert found.evidence().size == 0
    assert found.read == len(rows)


def test_everything_at_one_instant():
    found = coaction(table([(a, o, 77) for a in range(6) for o in range(5)]))
    assert found.size == 15
    assert (found.shared == 5).all()
    assert np.isfinite(found.llr).all()
    assert found.significant.sum() == 0  # all do all: chance explains it


BAD = [
    (pa.table({"account": [1], "object": [1]}), "coaction.column", "time"),
    (pa.table({"acount": [1], "object": [1], "time": [1]}), "coaction.column", "account"),
    (pa.table([[1], [1], [1], [1]], names=["account", "account", "object", "time"]), "coaction.column", "account"),
    (pa.table({"account": ["a"], "object": [1], "time": [1]}), "coaction.type", "account"),
    (pa.table({"account": [1], "object": [1.5], "time": [1]}), "coaction.type", "object"),
    (pa.table({"account": [1], "object": pa.array([2**63], pa.uint64()), "time": [1]}), "coaction.type", "object"),
    (pa.table({"account": [1, None], "object": [1, 1], "time": [1, 1]}), "coaction.null", "account"),
    (pa.table({"account": [1], "object": pa.array([None], pa.int64()), "time": [1]}), "coaction.null", "object"),
    (pa.table({"account": [1, 2], "object": [1, 1], "time": [1, -5]}), "coaction.time", "time"),
    (pa.table({"account": [1], "object": [1], "time": [2**60]}), "coaction.time", "time"),
    ({"account": [1]}, "coaction.table", ""),
]


@pytest.mark.parametrize(("given_", "slug", "path"), BAD)
def test_broken_tables_are_refused(given_, slug, path):
    with pytest.raises(InvalidInput) as caught:
        coaction(given_)
    assert [(one.slug, one.where.path) for one in caught.value.problems] == [(slug, path)]


def test_all_problems_of_a_table_are_told_together():
    with pytest.raises(InvalidInput) as caught:
        coaction(pa.table({"account": [None], "object": ["x"], "time": [-1]}))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(("change", "slug"), [
    ({"windows_s": ()}, "coaction.windows"), ({"windows_s": (60, 90)}, "coaction.windows"),
    ({"windows_s": (60, 60)}, "coaction.windows"), ({"windows_s": ("60) OR (1=1",)}, "coaction.windows"),
    ({"windows_s": (0,)}, "coaction.windows"), ({"windows_s": [60]}, "coaction.windows"),
    ({"windows_s": (True,)}, "coaction.windows"), ({"windows_s": (10**12,)}, "coaction.windows"),
    ({"cap": 1}, "coaction.cap"), ({"cap": "3; DROP TABLE events"}, "coaction.cap"), ({"least": 0}, "coaction.least"),
    ({"fdr": 0}, "coaction.fdr"), ({"fdr": float("nan")}, "coaction.fdr"),
    ({"least_jaccard": 2}, "coaction.least_jaccard"),
    ({"inflation": (1.0,)}, "coaction.inflation"), ({"inflation": (0.5, 1, 1, 1)}, "coaction.inflation"),
    ({"threads": 0}, "coaction.threads"), ({"memory_gb": 0}, "coaction.memory_gb"),
])  # fmt: skip
def test_broken_settings_are_refused(change, slug):
    with pytest.raises(InvalidInput) as caught:
        CoActionSettings(**change)
    assert [one.slug for one in caught.value.problems] == [slug]


def test_tails_and_rates_are_those_of_the_definitions():
    shared, mean = np.array([[3, 5], [0, 1], [40, 60]]), np.array([[0.2, 0.9], [0.5, 0.7], [2.0, 9.0]])
    tails = [[plain_tail(int(n), m) for n, m in zip(*rows, strict=True)] for rows in zip(shared, mean, strict=True)]
    wanted = [min(1, 2 * min(row)) for row in tails]
    assert p_values(shared, mean) == pytest.approx(wanted, rel=1e-9)
    p = np.random.default_rng(0).beta(0.3, 3, 40)
    assert q_values(p, 60) == pytest.approx(plain_q(p.tolist(), 60))
    assert len(q_values(np.zeros(0), 10)) == 0


def test_the_ratio_is_the_integral_over_shares():
    one = Side(np.array([[0.3]]), np.array([2.0]), np.array([0.5]), np.array([10]))
    other = Side(np.array([[0.1]]), np.array([1.0]), np.array([0.2]), np.array([4]))
    logs = np.array([[0.7]])
    wanted = min(
        plain_ratio(3, 10, 0.3 * 0.2 / 10) + 3 * np.log(2.0 / 10) - 0.7,
        plain_ratio(3, 4, 0.1 * 0.5 / 4) + 3 * np.log(1.0 / 4) - 0.7,
    )
    assert log_ratio(np.array([[3]]), logs, one, other, (1.0,))[0] == pytest.approx(wanted, rel=1e-4)


def test_pairs_by_chance_are_the_sum_over_pairs():
    chance = np.random.default_rng(2)
    company, share = chance.lognormal(1, 1, 60), chance.dirichlet(np.ones(60))
    wanted = sum(plain_tail(2, max(company[i] * share[j], company[j] * share[i])) for i in range(60) for j in range(i))
    assert pairs_by_chance(company, share, 2, bins=400) == pytest.approx(wanted, rel=0.02)
    assert pairs_by_chance(company[:1], share[:1], 2) == 0


def test_shuffled_tables_keep_degrees_and_lose_pairs():
    rows = table(crew(accounts=range(12), objects=range(20)) + crowd())
    shuffled = null_of(rows, 5)
    for name in ("account", "object", "time"):
        assert sorted(shuffled[name].to_pylist()) == sorted(rows[name].to_pylist())
    assert shuffled.select(["object", "time"]).equals(rows.select(["object", "time"]))
    assert null_of(rows, 5).equals(shuffled)
    assert not null_of(rows, 6).equals(shuffled)
    assert coaction(rows).significant.sum() >= 66
    assert coaction(shuffled).significant.sum() == 0
    daily = null_of(rows, 5, within_s=86_400)
    day = lambda t: sorted(zip(t["account"].to_pylist(), [x // DAY for x in t["time"].to_pylist()], strict=True))  # noqa: E731
    assert day(daily) == day(rows)
    assert day(shuffled) != day(rows)
    moved = null_of(rows, 5, times=True)
    assert moved["object"].equals(rows["object"])
    assert not moved["time"].equals(rows["time"])
    with pytest.raises(InvalidInput):
        null_of(rows, 5, within_s=0)


def test_on_shuffled_tables_the_model_and_the_ratio_hold():
    """The model expects no fewer pairs than chance makes; a ratio of e^t comes to at most e^-t of the strangers."""
    rows = table(crowd(accounts=1500, rows=20_000, objects=3000, seed=4))
    set_ = CoActionSettings(least=1, least_jaccard=0, threads=1)
    ratios, tested, found, told = [], 0, np.zeros((4, 3)), np.zeros((4, 3))
    for seed in range(2):
        one = coaction(null_of(rows, seed), set_, everybody=True)
        company = np.column_stack([one.members[f"company{i}"].to_numpy() for i in range(4)])
        share = one.members["share"].to_numpy()
        for least in range(1, 4):
            found[:, least - 1] += (one.shared >= least).sum(axis=0)
            told[:, least - 1] += [pairs_by_chance(company[:, i], share, least) for i in range(4)]
        assert (one.q > 0.01).all()
        ratios.append(one.llr)
        tested += one.tested
    assert (found <= told + 3 * np.sqrt(told) + 1).all()
    assert (found[:, 0] >= 0.6 * told[:, 0]).all()  # and is no loose bound
    for level in range(12):
        assert (np.concatenate(ratios) >= level).sum() <= np.exp(-level) * tested


def test_meeting_less_than_chance_expects_is_never_evidence():
    side = Side(np.array([[40.0]]), np.array([40.0]), np.array([0.5]), np.array([40]))
    assert log_ratio(np.array([[8]]), np.array([[0.0]]), side, side, (1.0,))[0] < 0


def test_calibration_raises_what_is_expected_where_chance_exceeds_it():
    rows = table(crowd(accounts=100, rows=4000, objects=400, seed=6))
    got = calibrate(rows, CoActionSettings(threads=1), seeds=(1, 2))
    assert len(got.inflation) == 4
    assert all(1 <= one < 5 for one in got.inflation)
    plain, raised = coaction(rows), coaction(rows, CoActionSettings(inflation=(3.0, 3.0, 3.0, 3.0)))
    assert raised.chance == pytest.approx(3 * plain.chance)
    assert (raised.p >= plain.p).all()
    assert (raised.llr <= plain.llr).all()
