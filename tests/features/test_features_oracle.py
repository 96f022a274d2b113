"""The kernel equals its slow twin on generated streams, and every cut into batches equals one batch."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracles.features_oracle import Oracle, equal
from oracles.features_streams import FUNCTIONS, engine_of, every_operation, feed, same_id, streams

QUIET = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DEFINITIONS = every_operation()


@pytest.mark.parametrize("complete", [True, False])
@QUIET
@given(rows=streams())
def test_the_kernel_equals_the_oracle(complete, rows):
    oracle = Oracle(DEFINITIONS, FUNCTIONS, history_complete=complete)
    wanted = [oracle.step(row) for row in rows]
    found = feed(engine_of(DEFINITIONS, history_complete=complete), rows)
    for number, (want, have) in enumerate(zip(wanted, found, strict=True)):
        for one in DEFINITIONS:
            value, flags = want[one.id]
            assert equal(same_id(value, one), have[one.id][0]), (number, one.id, value, have[one.id])
            assert flags == have[one.id][1], (number, one.id, "partial", value, flags, have[one.id])


@QUIET
@given(rows=streams(), data=st.data())
def test_any_cut_into_batches_is_one_batch(rows, data):
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=8))
    assert feed(engine_of(DEFINITIONS), rows) == feed(engine_of(DEFINITIONS), rows, cuts)
