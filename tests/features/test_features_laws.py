"""Laws of the engine: keys do not disturb each other, ticks and sweeps change nothing, the sketch keeps its error."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracles.features_oracle import Oracle, equal
from oracles.features_streams import (
    IDENTITY,
    LAYOUT,
    START,
    US,
    define,
    engine_of,
    every_operation,
    feed,
    rows_of,
    same_id,
    stamp,
    stamps_of,
    streams,
)  # fmt: skip
from shoal.errors import InvalidInput
from shoal.events.schema import Kind
from shoal.expressions.frame import Frame, Layout
from shoal.features.definitions import FeatureDefinition
from shoal.features.descriptor import SKETCH_ERROR

QUIET = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DEFINITIONS = every_operation()
BY_ACCOUNT = [one for one in DEFINITIONS if one.key == ("account",)]


@QUIET
@given(rows=streams(), shards=st.integers(2, 4))
def test_shards_by_key_are_one(rows, shards):
    whole = feed(engine_of(BY_ACCOUNT), rows)
    places = {name: k % shards for k, name in enumerate(["a", "b", "c", None])}
    for shard in range(shards):
        numbers = [k for k, row in enumerate(rows) if places[row["account"]] == shard]
        found = feed(engine_of(BY_ACCOUNT), [rows[k] for k in numbers])
        assert found == [whole[k] for k in numbers]


@QUIET
@given(rows=streams(), cap=st.integers(1, 3), data=st.data())
def test_cuts_pieces_and_ticks_change_nothing_above_the_cap(rows, cap, data):
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=8))
    engine = engine_of(DEFINITIONS, pair_cap=cap, piece_bits=1)
    found = []
    borders = sorted({0, *cuts, len(rows)})
    for start, stop in pairwise(borders):
        engine.advance(rows[start]["as_of"])  # a tick up to the next event
        found += feed(engine, rows[start:stop], first=start)
    assert found == feed(engine_of(DEFINITIONS, pair_cap=cap), rows)


def test_many_keys_grow_and_are_swept_without_changing_values():
    """Tables grow many times and rows are freed and taken again, while the oracle looks on."""
    rng = random.Random(3)
    rows, now = [], START
    for _ in range(6_000):
        now += rng.choice([0, US // 10, US, 3 * US])
        rows.append({"account": f"a{rng.randrange(900)}", "ip": f"i{rng.randrange(40)}", "time": now,
                     "size_bytes": rng.randrange(100), "external": rng.random() < 0.5})  # fmt: skip
    stamp(rows)
    definitions = [
        define("a.count", "count", window_s=60), define("a.ips", "distinct", window_s=60, value="ip"),
        define("a.max", "max", window_s=30, value="size_bytes", where="external"),
        define("i.sum", "sum", key="ip", window_s=60, value="size_bytes"),
        define("i.accounts", "distinct", key="ip", window_s=600, bucket_s=60, value="account"),
    ]  # fmt: skip
    engine = engine_of(definitions)
    found = feed(engine, rows, range(0, 6_000, 37))
    oracle = Oracle(definitions)
    for number, row in enumerate(rows[:4_000]):
        want = oracle.step(row)
        assert all(equal(want[one.id][0], found[number][one.id][0]) for one in definitions), number
    assert engine.sizes()["keys"] > 100
    for _ in range(3):
        now += 3_600 * US
        engine.advance(now)
    sizes = engine.sizes()
    assert (sizes["keys"], sizes["pairs"], sizes["nodes"], sizes["log_events"]) == (0, 0, 0, 0)


def test_the_log_gives_its_pieces_back(tmp_path):
    engine = engine_of([define("a.count", "count", window_s=60)], folder=tmp_path / "log", piece_bits=6)
    rows = stamp([{"account": "a", "time": START + k * US} for k in range(1_000)])
    feed(engine, rows)
    assert len(list(tmp_path.rglob("*.bin"))) <= 4
    assert engine.sizes()["log_events"] == 60
    engine.close()
    assert list(tmp_path.rglob("*.bin")) == []


def test_an_idle_keys_life_ends_at_its_term_and_not_with_the_sweep():
    definitions = [define("a.seen", "seen", value="ip"), define("a.gap", "gap"), define("a.n", "distinct", value="ip")]
    day = 86_400 * US
    for idle, known in ((10 * day - 1, True), (10 * day, False)):
        rows = stamp([{"account": "a", "ip": "x", "time": t} for t in (START, START + idle)])
        last = feed(engine_of(definitions, lifetime_s=10 * 86_400), rows)[-1]
        assert (last["a.seen"][0], last["a.gap"][0] is not None, last["a.n"][0]) == (known, known, 1)


@pytest.mark.parametrize("kind", [{"window_s": 3600}, {}, {"window_s": 7200, "bucket_s": 3600}])
def test_the_sketch_keeps_its_error(kind):
    """300 keys with 2,000 values each over a cap of 64: the mean square error is the stated one, without bias."""
    keys, values = 300, 2_000
    definition = define("a.n", "distinct", key="device", value="ip", **kind)
    layout = Layout.of({"device": Kind.TEXT, "ip": Kind.TEXT})
    from shoal.features.engine import FeatureEngine, Stamps

    engine = FeatureEngine([definition], layout, IDENTITY, history_complete=True, pair_cap=64)
    size = keys * values
    rng = np.random.default_rng(1)
    columns = np.stack([np.tile(np.arange(keys), values), rng.integers(-(2**62), 2**62, size)])
    as_of = START + np.arange(size) * 1_000
    zero = np.zeros(size, np.uint8)
    frame = Frame(layout, columns, np.ones(columns.shape, np.uint8), size)
    block = engine.update(frame, Stamps(np.arange(size), as_of, as_of, zero, zero))
    found = block.values[0, -keys:] / values - 1.0
    assert np.sqrt(np.mean(found**2)) < 1.15 * SKETCH_ERROR
    assert abs(found.mean()) < 4 * SKETCH_ERROR / np.sqrt(keys)
    assert np.array_equal(block.values[0, : 64 * keys], np.repeat(np.arange(1, 65), keys))  # exact up to the cap


def test_a_key_comes_back_from_its_sketch_when_its_window_is_empty():
    engine = engine_of([define("a.n", "distinct", value="ip", window_s=60)], pair_cap=8)
    rows = stamp([{"account": "a", "ip": f"{k}", "time": START} for k in range(500)])
    last = feed(engine, rows)[-1]["a.n"][0]
    assert abs(last / 500 - 1) < 4 * SKETCH_ERROR
    assert engine.sizes()["sketches"] == 1
    later = stamp([{"account": "a", "ip": f"{k % 3}", "time": START + 60 * US} for k in range(5)])
    assert [row["a.n"][0] for row in feed(engine, later, first=500)] == [1, 2, 3, 3, 3]
    assert engine.sizes()["sketches"] == 0


def test_derived_features_read_features_columns_and_each_other():
    definitions = [
        FeatureDefinition("r.twice", "derived", expression='"r.ratio" * 2'),
        define("a.failed", "count", window_s=60, where="external"),
        define("a.all", "count", window_s=60),
        FeatureDefinition("r.ratio", "derived", expression='"a.failed" / "a.all"'),
        FeatureDefinition("r.big", "derived", expression='"a.all" > size_bytes'),
    ]
    engine = engine_of(definitions, history_complete=False)
    rows = stamp(
        [{"account": a, "external": k % 2 == 0, "size_bytes": 2, "time": START + k} for k, a in enumerate("aaa")]
    )
    rows += stamp([{"account": None, "size_bytes": 2, "time": START + 9}])
    found = feed(engine, rows)
    assert [row["r.twice"] for row in found] == [(2.0, 1), (1.0, 1), (4 / 3, 1), (None, 0)]
    assert [row["r.big"][0] for row in found] == [False, False, True, None]
    assert engine.kinds == (Kind.FLOAT, Kind.INT, Kind.INT, Kind.FLOAT, Kind.BOOL)


BAD_STAMPS = [
    ("seq goes back", lambda s: s.seq.__setitem__(1, 0), "features.order"),
    ("as_of goes back", lambda s: s.as_of.__setitem__(1, START - 1), "features.order"),
    ("a stamp is short", lambda s: setattr(s, "time", s.time[:1]), "features.frame"),
]


@pytest.mark.parametrize(("change", "slug"), [row[1:] for row in BAD_STAMPS], ids=[row[0] for row in BAD_STAMPS])
def test_bad_stamps_are_refused_and_change_nothing(change, slug):
    engine = engine_of([define("a.count", "count", window_s=60)])
    rows = stamp([{"account": "a", "time": START + k} for k in range(3)])
    stamps = stamps_of(rows)
    change(stamps)
    frame = Frame.of_rows(rows, LAYOUT, IDENTITY)
    with pytest.raises(InvalidInput) as caught:
        engine.update(frame, stamps)
    assert {p.slug for p in caught.value.problems} == {slug}
    assert feed(engine, rows)[-1]["a.count"] == (3, 0)


BAD_FRAMES = [
    ("another layout", {"frame": Frame.empty(Layout.of({"x": Kind.INT}), 1)}, "columns"),
    ("values of floats", {"values": np.zeros((1, 3))}, "values is float64"),
    ("too few columns", {"valid": np.zeros((1, 2), np.uint8)}, "valid is uint8"),
]


@pytest.mark.parametrize(("given_", "match"), [row[1:] for row in BAD_FRAMES], ids=[row[0] for row in BAD_FRAMES])
def test_bad_frames_are_refused(given_, match):
    engine = engine_of([define("a.count", "count", window_s=60)])
    rows = stamp([{"account": "a", "time": START + k} for k in range(3)])
    arguments = {"frame": Frame.of_rows(rows, LAYOUT, IDENTITY), **given_}
    arguments["frame"].size = 3
    with pytest.raises(InvalidInput, match=match):
        engine.update(stamps=stamps_of(rows), **arguments)


def test_results_go_into_given_arrays():
    engine = engine_of([define("a.count", "count", window_s=60), define("a.gap", "gap")])
    rows = stamp([{"account": "a", "time": START + k} for k in range(3)])
    values, valid = np.full((4, 10), 9, np.int64), np.full((4, 10), 9, np.uint8)
    block = engine.update(Frame.of_rows(rows, LAYOUT, IDENTITY), stamps_of(rows), values, valid)
    assert block.values is values
    assert values[0, :3].tolist() == [1, 2, 3]
    assert (values[:, 3:] == 9).all()
    assert (valid[2:] == 9).all()
    assert [row["a.count"][0] for row in rows_of(engine, block, 3)] == [1, 2, 3]
    assert same_id("x", None) == IDENTITY.id_of("x")


def test_lists_and_text_functions_name_the_texts_they_need():
    engine = engine_of([define("a.n", "count", window_s=60, where="ip LIKE '10.%'")])
    assert engine.text_columns == {"ip"}
    rows = stamp([{"account": "a", "ip": ip, "time": START} for ip in ("10.0.0.1", "11.0.0.1", None, "10.9.9.9")])
    assert [row["a.n"][0] for row in feed(engine, rows)] == [1, 1, 1, 2]
