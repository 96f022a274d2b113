"""The merge: equal to its slow twin; what comes less than the wait out of order is as a sorted file."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.merge_oracle import PlainMerge
from shoal.adapters.source import ENDED
from shoal.events.deadletters import dead_letter
from shoal.events.decode import Decoded, event_table
from shoal.events.facts import FACT_SCHEMA
from shoal.events.labels import LABEL_SCHEMA
from shoal.runtime.ingest.merge import Merge
from shoal.runtime.ingest.order import by_time

WAIT = 10
ANY = 1 << 30


def block(partition, records):
    """(time, id, offset) as a decoded block."""
    columns = {
        "time": [time for time, _, _ in records],
        "type": ["x.done"] * len(records),
        "offset": [offset for _, _, offset in records],
        "event_id": [event_id for _, event_id, _ in records],
    }
    return Decoded(event_table(columns, "s", partition), read=len(records))


def drain(merge, now, limit=ANY):
    found = []
    while (release := merge.release(now, limit)) is not None:
        events = release.block.events
        found += zip(events.column("partition").to_pylist(), events.column("offset").to_pylist(), strict=True)
    return found


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.one_of(
            st.just("idle"),
            st.just("end"),
            st.lists(st.tuples(st.integers(0, 40), st.sampled_from("xyz")), min_size=1, max_size=4),
        ),
        st.integers(0, 6),
    ),
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(STEPS, st.integers(1, 12), st.integers(1, 12), st.integers(1, 5))
def test_the_merge_is_its_slow_twin(steps, wait, max_rows, limit):
    merge, plain = Merge(wait_us=wait, max_rows=max_rows, skew_us=1000), PlainMerge(wait, max_rows)
    now, offsets = 100, dict.fromkeys("abc", 0)
    for one in (merge, plain):
        one.know("abc")
    for name, what, passed in steps:
        now += passed
        if what == "idle":
            merge.idle([name])
            plain.idle.add(name)
        elif what == "end":
            merge.end([name])
            plain.ended.add(name)
        else:
            records = [(time, event_id, offsets[name] + k) for k, (time, event_id) in enumerate(what)]
            offsets[name] += len(what)
            merge.add(name, block(name, records), now, offsets[name])
            plain.add(name, records, now)
        assert drain(merge, now, limit) == plain.release(now)
        assert merge.rows == len(plain.held) <= max_rows
        assert merge.early == plain.early
        held = {name: sorted(r[3] for r in plain.held if r[2] == name) for name in "abc"}
        for name, place in merge.places().items():
            assert place.held.tolist() == held[name]
            assert place.read == (ENDED if name in plain.ended else offsets[name])


@st.composite
def deliveries(draw):
    """Sorted partitions, each record delivered in its partition's order with less than WAIT of skew to any other."""
    rows = draw(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("ab")), min_size=1, max_size=25))
    records = sorted((time, f"e{k:02d}", name) for k, (time, name) in enumerate(rows))
    arrivals = [(1000 + time + draw(st.integers(0, WAIT - 1)), time, key, name) for time, key, name in records]
    in_order, latest = [], dict.fromkeys("ab", 0)
    for arrival, time, key, name in arrivals:
        latest[name] = max(latest[name], arrival)
        in_order.append((latest[name], time, key, name))
    return records, sorted(in_order, key=lambda r: (r[0], r[3], r[1], r[2]))


@settings(max_examples=100, deadline=None)
@given(deliveries(), st.integers(1, 7))
def test_skew_below_the_wait_gives_the_order_of_a_sorted_file(case, limit):
    records, arrivals = case
    merge = Merge(wait_us=WAIT, max_rows=10_000, skew_us=10_000)
    merge.know("ab")
    offsets, found = dict.fromkeys("ab", 0), []
    by_key = {}
    for now in range(1000, 1000 + 30 + 3 * WAIT):
        for arrival, time, key, name in arrivals:
            if arrival == now:
                merge.add(name, block(name, [(time, key, offsets[name])]), now, offsets[name] + 1)
                by_key[name, offsets[name]] = (time, key, name)
                offsets[name] += 1
        found += [by_key[place] for place in drain(merge, now, limit)]
    assert found == records


def test_skew_of_the_wait_and_more_shows():
    merge = Merge(wait_us=WAIT, max_rows=100, skew_us=1000)
    merge.know("ab")
    merge.add("a", block("a", [(50, "later", 0)]), 100, 1)
    assert drain(merge, 109) == []
    assert drain(merge, 110) == [("a", 0)]
    merge.add("b", block("b", [(40, "earlier", 0)]), 111, 1)
    assert drain(merge, 121) == [("b", 0)]


def test_an_idle_partition_holds_nobody_back_until_it_speaks():
    merge = Merge(wait_us=WAIT, max_rows=100, skew_us=1000)
    merge.know("ab")
    merge.add("a", block("a", [(50, "x", 0), (51, "y", 1)]), 100, 2)
    assert drain(merge, 100) == []
    merge.idle(["b"])
    assert drain(merge, 100) == [("a", 0)]  # the one at 51 waits for a later one of its own partition
    merge.add("b", block("b", [(52, "z", 0)]), 101, 1)
    assert drain(merge, 101) == []
    merge.end(["a"])
    merge.idle(["b"])
    assert drain(merge, 101) == [("a", 1), ("b", 0)]


def test_without_a_wait_records_go_as_received():
    merge = Merge(wait_us=0, max_rows=100, skew_us=1000)
    merge.add("b", block("b", [(9, "x", 0), (3, "y", 1)]), 10, 2)
    merge.add("a", block("a", [(5, "z", 0)]), 10, 1)
    assert drain(merge, 10, 2) == [("b", 0), ("b", 1), ("a", 0)]


def test_a_far_future_time_waits_as_if_it_were_at_the_skew():
    merge = Merge(wait_us=WAIT, max_rows=100, skew_us=20)
    merge.add("a", block("a", [(10**15, "far", 0), (105, "near", 1)]), 100, 2)
    release = merge.release(110, ANY)
    assert release.block.events.column("event_id").to_pylist() == ["near", "far"]
    assert release.bound_us.tolist() == [120, 120]


def test_facts_labels_and_dead_letters_stand_where_a_sorted_file_has_them(tmp_path):
    facts = [("account", "u", "tier", value, time, offset) for value, time, offset in (("b", 5, 1), ("a", 5, 2))]
    labels = [("account", "u", "benign", None, None, "x", 1.0, 6, False, 3)]
    made = Decoded(
        block("a", [(5, "e5", 0), (7, "e7", 4)]).events,
        pa.table(list(zip(*facts, strict=True)), schema=FACT_SCHEMA),
        pa.table([[value] for value in labels[0]], schema=LABEL_SCHEMA),
        (dead_letter("s", "a", 5, "json.malformed", "", b"x"),),
        6,
    )
    merge = Merge(wait_us=WAIT, max_rows=100, skew_us=1000)
    merge.add("a", made, 100, 6)
    merge.end(["a"])
    got = merge.release(100, ANY).block
    sorted_file = by_time([Decoded(made.events, made.facts, made.labels, (), 5)], memory_bytes=1 << 30, folder=tmp_path)
    *_, want = sorted_file
    assert got.facts.equals(want.facts)
    assert (got.fact_rows.tolist(), got.label_rows.tolist()) == (want.fact_rows.tolist(), want.label_rows.tolist())
    assert got.facts.column("value").to_pylist() == ["a", "b"]
    assert (got.fact_rows.tolist(), got.label_rows.tolist(), got.dead_rows.tolist()) == ([0, 0], [1], [2])
    assert merge.rows == 0


@pytest.mark.parametrize("rows", [3, 1])
def test_too_many_are_released_early_and_counted(rows):
    merge = Merge(wait_us=WAIT, max_rows=rows, skew_us=1000)
    merge.know("ab")
    merge.add("a", block("a", [(time, str(time), k) for k, time in enumerate((9, 7, 8, 6))]), 100, 4)
    assert drain(merge, 100) == [("a", 3), ("a", 1), ("a", 2)][: 4 - rows]
    assert (merge.rows, merge.early) == (rows, 4 - rows)
    assert np.array_equal(merge.places()["a"].held, [[0], [0, 1, 2]][rows > 1])
