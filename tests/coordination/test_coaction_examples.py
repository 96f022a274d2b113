"""Meetings that a person can check, and pairs in words."""

from __future__ import annotations

import itertools

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_coaction import DAY, MINUTE, SECOND, crew, crowd, table

from shoal.coordination.coaction import CoActionSettings, Meeting, coaction, examples, told
from shoal.errors import InvalidInput

ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 60).map(lambda t: t * SECOND)), max_size=40
)


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_meetings_are_the_nearest_of_the_table(rows):
    found = examples(table(rows), itertools.combinations(range(5), 2), CoActionSettings((2, 10)), at_most=9)
    for (a, b), met in found.items():
        wanted = {}
        for (x, o, t), (y, p, u) in itertools.product(rows, rows):
            if (x, y) == (a, b) and o == p and abs(t - u) <= 10 * SECOND:
                wanted[o] = min(wanted.get(o, 10**12), abs(t - u))
        assert {one.object: one.apart for one in met} == wanted
        assert [one.others for one in met] == sorted(one.others for one in met)
        for one in met:
            assert {(a, one.object, one.left_time), (b, one.object, one.right_time)} <= set(rows)
            low, high = sorted((one.left_time, one.right_time))
            there = {x for x, o, t in rows if o == one.object and low - 10 * SECOND <= t <= high + 10 * SECOND}
            assert one.others == len(there - {a, b})


def test_the_rarest_come_first_and_strangers_have_none():
    start = 1_700_000_000 * SECOND
    rows = [(1, 5, start), (2, 5, start + MINUTE), (1, 6, start + DAY), (2, 6, start + DAY), (3, 6, start + DAY)]
    found = examples(table(rows), [(1, 2), (1, 99), (3, 2)])
    assert found[1, 2] == (Meeting(1, 2, 5, start, start + MINUTE, 0), Meeting(1, 2, 6, start + DAY, start + DAY, 1))
    assert found[1, 99] == ()
    assert [one.object for one in found[3, 2]] == [6]
    assert examples(table(rows), [(1, 2)], at_most=1)[1, 2][0].object == 5
    assert examples(table([]), [(1, 2)]) == {(1, 2): ()}
    with pytest.raises(InvalidInput):
        examples(pa.table({"account": [1]}), [(1, 2)])


def test_a_pair_in_words():
    found = coaction(table(crew(accounts=range(2), apart=5 * MINUTE) + crowd()))
    at = int(found.significant.argmax())
    assert told(found, at) == (
        "acted on 10 of the same objects within a day, on 10 of them within 10 minutes; "
        "chance expects 0.019; that is 100% of what either acted on"
    )
    slow = coaction(table(crew(accounts=range(2), apart=90 * MINUTE) + crowd()), CoActionSettings((60, 3600, 172_800)))
    text = told(slow, int(slow.significant.argmax()))
    assert text.startswith("acted on 10 of the same objects within 2 days; chance")
