"""Snapshot and restore at any point go on as if nothing had happened; other definitions are refused or partial."""

from __future__ import annotations

import json
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracles.features_streams import LAYOUT, START, US, define, engine_of, every_operation, feed, stamp, streams
from shoal.errors import Corrupt, InvalidInput, Unsupported
from shoal.events.identity import Identity
from shoal.features.engine import FeatureEngine

QUIET = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DEFINITIONS = every_operation()


@pytest.mark.parametrize("mapped", [False, True])
@QUIET
@given(rows=streams(), data=st.data())
def test_restored_is_uninterrupted(mapped, rows, data):
    at = data.draw(st.integers(0, len(rows)))
    whole = feed(engine_of(DEFINITIONS, pair_cap=2, history_complete=False), rows)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        options = {"pair_cap": 2, "history_complete": False, "piece_bits": 2}
        first = engine_of(DEFINITIONS, **options, folder=root / "one" if mapped else None)
        before = feed(first, rows[:at])
        first.snapshot(root / "snap", at)
        # What the first engine does after the snapshot must not reach into it.
        feed(first, rows[at:], first=at)
        second = engine_of(DEFINITIONS, **{**options, "piece_bits": 3}, folder=root / "two" if mapped else None)
        assert second.restore(root / "snap") == at
        assert before + feed(second, rows[at:], first=at) == whole
        first.close()
        second.close()


def _rows(count, first=0):
    return stamp([
        {"account": "a", "ip": f"{i % 3}", "time": START + i * US, "size_bytes": i} for i in range(first, first + count)
    ])  # fmt: skip


@pytest.fixture
def taken(tmp_path):
    engine = engine_of([define("a.count", "count", window_s=60), define("a.gap", "gap")])
    feed(engine, _rows(10))
    engine.snapshot(tmp_path / "snap", 77)
    return tmp_path / "snap"


def test_position_and_order_go_on(taken):
    engine = engine_of([define("a.count", "count", window_s=60), define("a.gap", "gap")])
    assert engine.restore(taken) == 77
    with pytest.raises(InvalidInput, match="seq does not increase"):
        feed(engine, _rows(1, 10), first=9)
    assert feed(engine, _rows(1, 10), first=10)[0] == {"a.count": (11, 0), "a.gap": (1.0, 0)}


def test_other_definitions_are_refused_by_name(taken):
    engine = engine_of(
        [define("a.count", "count", window_s=61), define("a.last", "last", value="ip"), define("a.gap", "gap")]
    )
    with pytest.raises(InvalidInput) as caught:
        engine.restore(taken)
    assert [p.message.split(":")[0] for p in caught.value.problems] == ["a.count", "a.last"]
    assert {p.slug for p in caught.value.problems} == {"features.not_in_snapshot"}


def test_new_definitions_start_partial_beside_the_old(taken, tmp_path):
    wanted = [define("b.new", "count", window_s=30), define("a.gap", "gap"), define("b.seen", "seen", value="ip")]
    engine = engine_of(wanted)
    assert engine.restore(taken, new_partial=True) == 77
    assert feed(engine, _rows(1, 10), first=10)[0] == {"b.new": (1, 1), "a.gap": (1.0, 0), "b.seen": (None, 1)}
    engine.snapshot(tmp_path / "next", 78)
    again = engine_of(wanted)
    again.restore(tmp_path / "next")
    late = stamp([{"account": "a", "ip": "1", "time": START + 40 * US}])
    assert feed(again, late, first=11)[0] == {"b.new": (1, 0), "a.gap": (30.0, 0), "b.seen": (None, 1)}


def test_a_renamed_feature_keeps_its_state(taken):
    engine = engine_of([define("x.events", "count", window_s=60)])
    engine.restore(taken)
    assert feed(engine, _rows(1, 10), first=10)[0] == {"x.events": (11, 0)}


def test_a_snapshot_replaces_the_one_before(taken):
    engine = engine_of([define("a.gap", "gap")])
    feed(engine, _rows(2))
    engine.snapshot(taken, 2)
    assert engine_of([define("a.gap", "gap")]).restore(taken) == 2
    assert [p.name for p in taken.parent.iterdir()] == ["snap"]
    taken.rename(taken.with_name("snap.old"))  # killed between the two renames
    assert engine_of([define("a.gap", "gap")]).restore(taken) == 2


def _edit(path, change):
    manifest = json.loads((path / "manifest.json").read_bytes().partition(b"\n")[2])
    change(manifest)
    body = json.dumps(manifest).encode()
    (path / "manifest.json").write_bytes(b"%08x\n" % zlib.crc32(body) + body)


def _flip(name):
    def change(path):
        data = bytearray((path / name).read_bytes())
        data[-1] ^= 1
        (path / name).write_bytes(bytes(data))

    return change


BAD = [
    ("no manifest", lambda p: (p / "manifest.json").unlink(), Corrupt, "no feature snapshot"),
    ("a torn manifest", _flip("manifest.json"), Corrupt, "checksum"),
    ("an empty manifest", lambda p: (p / "manifest.json").write_bytes(b""), Corrupt, "checksum"),
    ("a flipped bit", _flip("0-space-000.bin"), Corrupt, "checksum"),
    ("a flipped bit in the log", _flip("0-log-000000000000.bin"), Corrupt, "checksum"),
    ("a lost file", lambda p: (p / "0-space-000.bin").unlink(), Corrupt, "space-000"),
    ("another version", lambda p: _edit(p, lambda m: m.update(version=9)), Unsupported, "version 9"),
    ("the version before", lambda p: _edit(p, lambda m: m.update(version=1)), Unsupported, "version 1; this is .* 2"),
    ("another format", lambda p: _edit(p, lambda m: m.update(format="x")), Unsupported, "x version 2"),
    ("another release", lambda p: _edit(p, lambda m: m["parts"][0].update(fingerprint="x")), Unsupported, "release"),
    ("another cap", lambda p: _edit(p, lambda m: m.update(pair_cap=1)), InvalidInput, "pair_cap = 1"),
]


@pytest.mark.parametrize(("change", "error", "match"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_snapshots(taken, change, error, match):
    change(taken)
    with pytest.raises(error, match=match):
        engine_of([define("a.count", "count", window_s=60)]).restore(taken)


def test_another_identity_is_refused(taken):
    other = FeatureEngine([define("a.gap", "gap")], LAYOUT, Identity(b"x" * 16), history_complete=True)
    with pytest.raises(InvalidInput, match="another identity"):
        other.restore(taken)


def test_only_a_new_engine_is_restored(taken):
    engine = engine_of([define("a.gap", "gap")])
    feed(engine, _rows(1))
    with pytest.raises(InvalidInput, match="no event"):
        engine.restore(taken)
