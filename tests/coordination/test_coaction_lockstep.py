"""Bursts against their slow twin; groups without labels; what chance and odd tables give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_coaction import DAY, HOUR, SECOND, crew, crowd, table

from oracles.object_bursts_oracle import binomial_tail, hypergeometric_tail, plain_bursts
from shoal.coordination.coaction import LockstepSettings, lockstep, null_of
from shoal.coordination.coaction.bursts import find_bursts
from shoal.coordination.coaction.settings import CoActionSettings
from shoal.errors import InvalidInput

ROWS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 3), st.one_of(st.integers(0, 300), st.integers(100, 112))).map(
        lambda row: (row[0], row[1], row[2] * SECOND)
    ),
    max_size=60,
)


def crowds(groups=4, size=30, start=1_700_000_000 * SECOND, span=HOUR, first=50_000, seed=9):
    """Bought crowds: each of its own accounts, all on one object within an hour, and never seen again."""
    chance = np.random.default_rng(seed)
    return [
        (first + g * size + i, 900_000 + g, start + g * 2 * DAY + int(chance.integers(0, span)))
        for g in range(groups) for i in range(size)
    ]  # fmt: skip


@given(ROWS, st.integers(2, 4), st.sampled_from([0.02, 0.3]))
@settings(max_examples=80, deadline=None)
def test_bursts_are_those_of_the_loops(rows, least, fdr):
    columns = [np.array([row[i] for row in rows], np.int64) for i in range(3)]
    found = find_bursts(*columns, (5, 30), least, fdr)
    told = sorted(
        (int(thing), found.member[start:stop].tolist())
        for thing, start, stop in zip(found.object, found.member_start, found.member_start[1:], strict=False)
    )
    assert told == plain_bursts(rows, (5 * SECOND, 30 * SECOND), least, fdr)
    assert (found.first <= found.last).all()
    assert (found.q <= fdr).all()
    assert found.of.tolist() == [i for i, n in enumerate(found.accounts) for _ in range(n)]


def test_the_bound_is_above_the_exact_tail():
    for marked in (2, 7, 15):
        for count in range(1, 9):
            bound = binomial_tail(count, 8, marked / 40)
            if count > 8 * marked / 40 + 1:
                assert bound >= hypergeometric_tail(count, 8, marked, 40)


def test_bought_crowds_are_groups_and_people_are_not():
    rows = crowds() + crowd(accounts=2000, rows=4000)
    found = lockstep(table(rows))
    assert [len(one.accounts) for one in found.groups[:4]] == [30] * 4
    bought = {account for account, _, _ in crowds()}
    assert bought <= set(found.grouped.tolist())
    assert len(set(found.grouped.tolist()) - bought) <= 6  # one in a hundred of what is found
    assert found.share == len(found.grouped) / found.accounts
    one = found.groups[0]
    assert one.last - one.first <= HOUR
    assert (one.bursts, one.pairs, one.objects.tolist()) == (1, 0, [900_000])


def test_those_who_come_again_are_one_group():
    """Two crowds of the same accounts are one group; a shared passer-by ties nothing."""
    again = [(a, o + 77, t + 9 * DAY) for a, o, t in crowds(groups=1)]
    other = crowds(groups=2, seed=2, first=70_000, start=1_700_000_000 * SECOND + 20 * DAY)
    passer = [(1, 900_000, 1_700_000_000 * SECOND + 60 * SECOND), (1, 900_001, other[-1][2])]
    found = lockstep(table(crowds(groups=1) + again + other + passer + crowd(accounts=2000, rows=4000)))
    sizes = [len(group.accounts) for group in found.groups[:3]]
    assert sizes == [31, 31, 30]
    assert found.groups[0].bursts + found.groups[1].bursts == 3
    assert sum(1 in group.accounts for group in found.groups) == 2


def test_pairs_are_found_where_there_is_no_burst():
    rows = crew(accounts=range(2), objects=range(8), apart=30 * SECOND) + crowd(accounts=2000, rows=4000)
    found = lockstep(table(rows))
    group = next(one for one in found.groups if 0 in one.accounts)
    assert group.accounts.tolist() == [0, 1]
    assert (group.first, group.last, group.p, group.bursts, group.pairs) == (-1, -1, 1.0, 0, 1)
    alone = lockstep(table(rows), LockstepSettings(pairs=None))
    assert alone.pairs is None
    assert 0 not in alone.grouped


def test_dealt_anew_nothing_is_grouped():
    rows = table(crowds(groups=30) + crew(accounts=range(8)) + crowd(accounts=2000, rows=4000))
    assert lockstep(rows).share > 0.25
    assert np.mean([lockstep(null_of(rows, seed, times=True)).share for seed in range(4)]) <= 0.002


def test_regulars_are_no_burst():
    """Everybody comes again and again to one place: their first visits all lie at the beginning, and mean nothing."""
    chance = np.random.default_rng(1)
    regulars = zip(chance.integers(0, 100, 3000), np.full(3000, 5), chance.integers(0, 30 * DAY, 3000), strict=True)
    others = [(a + 500, o, int(chance.integers(0, 30 * DAY))) for a, o, _ in crowd(accounts=3000, rows=3000)]
    rows = [tuple(map(int, row)) for row in regulars] + others
    assert lockstep(table(rows), LockstepSettings((DAY // SECOND,), pairs=None)).share == 0


def test_everybody_at_once_is_no_burst():
    """A press day: all objects are busy at the same hour, none beyond the others."""
    chance = np.random.default_rng(0)
    rows = [(i, int(chance.integers(0, 20)), int(chance.integers(0, 30 * DAY))) for i in range(600)]
    rows += [(1000 + i, int(chance.integers(0, 20)), 15 * DAY + int(chance.integers(0, HOUR))) for i in range(600)]
    assert lockstep(table(rows), LockstepSettings(pairs=None)).share < 0.05


@pytest.mark.parametrize("rows", [
    [], [(1, 1, 0)], [(1, 1, 0)] * 50, [(a, a, 5) for a in range(30)], [(1, o, 5 + o) for o in range(200)],
    [(a, 1, 5 + a) for a in range(200)], [(a, 1, 5) for a in range(20)], [(1, 1, t * SECOND) for t in range(100)],
], ids=["empty", "one row", "one row repeated", "everybody acts on himself", "one account with everything",
        "one object with everyone", "one instant", "one account again and again"])  # fmt: skip
def test_odd_tables_have_no_groups(rows):
    found = lockstep(table(rows))
    assert (found.groups, found.share) == ((), 0.0)


@pytest.mark.parametrize(("change", "slug"), [
    ({"windows_s": ()}, "lockstep.windows"), ({"windows_s": (60, 60)}, "lockstep.windows"),
    ({"windows_s": (60.5,)}, "lockstep.windows"), ({"windows_s": [60]}, "lockstep.windows"),
    ({"windows_s": (-1,)}, "lockstep.windows"), ({"least": 1}, "lockstep.least"), ({"least": True}, "lockstep.least"),
    ({"fdr": 0}, "lockstep.fdr"), ({"fdr": "x"}, "lockstep.fdr"),
])  # fmt: skip
def test_broken_settings_are_refused(change, slug):
    with pytest.raises(InvalidInput) as caught:
        LockstepSettings(**change)
    assert [one.slug for one in caught.value.problems] == [slug]


def test_broken_tables_are_refused():
    with pytest.raises(InvalidInput):
        lockstep(table([(1, 1, -1)]))


def test_fdr_is_of_each_part():
    rows = table(crowds(groups=3) + crowd(accounts=2000, rows=4000))
    strict = LockstepSettings(fdr=1e-9, pairs=CoActionSettings(least=2))
    assert lockstep(rows, strict).bursts.size <= lockstep(rows).bursts.size
    assert lockstep(rows, strict).bursts.q.max() <= 1e-9
