"""The behaviour signals against their slow twins, and the laws of signals: cuts, snapshots, read before learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.behaviour_oracle import PlainBaseline, PlainSequence
from oracles.behaviour_streams import DAY, HOUR, US, as_floats, event, feed, make, plain_rows, streams
from shoal.detectors.behaviour import EntityBaseline, SequenceSurprise
from shoal.detectors.signal_kinds import KINDS
from shoal.errors import Corrupt, InvalidInput

SMALL = {"shared_cells": 4096, "keys": 64}


def downloads(row) -> bool:
    return row["type"] == "file.downloaded"


def same(got: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ({}, {}),
        ({"keys": 16, "season": "day", "young": 0}, {"keys": 16, "parts": 8, "young": 0}),
        ({"amount": ("size_bytes",), "season": "none", "key": ("account", "org")},
         {"amount": "size_bytes", "parts": 1, "key": ("account", "org")}),
        ({"amount": ("lat",), "season": "hour_of_week", "young": 3, "groups": 2, "apart": 0.05, "when_weight": 2.0},
         {"amount": "lat", "parts": 168, "young": 3, "groups": 2, "apart": 0.05, "when_weight": 2.0}),
    ],
)  # fmt: skip
@given(rows=streams())
@settings(max_examples=12, deadline=None)
def test_baseline_is_its_plain_twin(said, plain, rows):
    signal = make(EntityBaseline, **{"traits": ("type", "client"), "window": 1800.0, "half_life": 86_400.0, **said})
    twin = PlainBaseline(**{"window": 1800 * US, "half_life": DAY, "traits": ("type", "client"), **plain})
    same(feed(signal, rows), as_floats([twin.step(row) for row in plain_rows(rows, downloads)]))


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ({}, {}),
        ({"longest": 1, "recent": 3, "history": 8}, {"longest": 1, "recent": 3, "history": 8}),
        ({"longest": 4, "token": ("type", "client"), "history": 16, "young": 3, "groups": 2, "apart": 0.05},
         {"longest": 4, "token": ("type", "client"), "history": 16, "young": 3, "groups": 2, "apart": 0.05}),
    ],
)  # fmt: skip
@given(rows=streams())
@settings(max_examples=12, deadline=None)
def test_sequence_is_its_plain_twin(said, plain, rows):
    common = {"token": ("type",), "gap": 1800.0, "half_life": 86_400.0, "shared_memory": 1000, **SMALL}
    signal = make(SequenceSurprise, **{**common, **said})
    twin = PlainSequence(**{"gap": 1800 * US, "half_life": DAY, "shared_memory": 1000, **plain})
    same(feed(signal, rows), as_floats([twin.step(row) for row in plain_rows(rows, lambda row: row["type"])]))


def long_stream(seed: int, accounts: int = 40, events: int = 3000) -> list[dict]:
    rng = np.random.default_rng(seed)
    now, rows = 1_700_000_000 * US, []
    kinds = ["file.downloaded", "login.succeeded", "link.created", "file.uploaded"]
    for _ in range(events):
        now += int(rng.exponential(300)) * US
        who = int(rng.zipf(1.5)) % accounts
        kind = kinds[(who + int(rng.integers(0, 2))) % 4]
        late = bool(rng.random() < 0.02)
        rows.append(
            event(f"a{who}", now, kind, client=["web", "api"][who % 2], late=late, size_bytes=int(rng.zipf(1.3)))
        )
    return rows


def test_long_streams_are_the_twins_too_with_groups_and_driven_out_keys():
    rows = long_stream(1, events=1500)
    said = {
        "window": 3600.0,
        "half_life": 86_400.0,
        "traits": ("type", "client"),
        "young": 10,
        "apart": 0.1,
        "groups": 4,
    }
    signal = make(EntityBaseline, **said, keys=16)
    twin = PlainBaseline(window=HOUR, half_life=DAY, traits=("type", "client"), young=10, apart=0.1, groups=4, keys=16)
    same(feed(signal, rows), as_floats([twin.step(row) for row in plain_rows(rows, downloads)]))
    assert signal._rows.dropped > 50
    assert int(signal._peers.head[0]) > 1
    order = make(SequenceSurprise, token=("type", "client"), young=10, apart=0.1, groups=4, half_life=86_400.0, keys=16,
                 shared_cells=4096)  # fmt: skip
    twin = PlainSequence(gap=1800 * US, half_life=DAY, token=("type", "client"), young=10, apart=0.1, groups=4, keys=16)
    same(feed(order, rows), as_floats([twin.step(row) for row in plain_rows(rows, lambda row: row["type"])]))


KIND_SETTINGS = [(EntityBaseline, {"keys": 32}), (SequenceSurprise, {"keys": 32, "shared_cells": 128})]


@pytest.mark.parametrize(("kind", "said"), KIND_SETTINGS)
@given(rows=streams(), cuts=st.lists(st.integers(1, 300), max_size=8), single=st.booleans())
@settings(max_examples=15, deadline=None)
def test_the_cut_into_batches_changes_no_bit(kind, said, rows, cuts, single):
    said = {**said, "traits": ("type",)} if kind is EntityBaseline else {**said, "token": ("type",)}
    whole, parts = make(kind, **said), make(kind, **said)
    a, b = feed(whole, rows), feed(parts, rows, range(len(rows)) if single else cuts)
    assert a.tobytes() == b.tobytes()
    left, right = whole.snapshot(), parts.snapshot()
    assert left.keys() == right.keys()
    assert all(left[name].tobytes() == right[name].tobytes() for name in left)


@pytest.mark.parametrize(("kind", "said"), KIND_SETTINGS)
def test_a_restored_state_goes_on_bit_for_bit(kind, said):
    said = {**said, "traits": ("type", "client")} if kind is EntityBaseline else said
    rows = long_stream(2)
    through, before, after = make(kind, **said), make(kind, **said), make(kind, **said)
    expected = feed(through, rows)
    feed(before, rows[:1700])
    saved = before.snapshot()
    assert not any(array.dtype.hasobject for array in saved.values())
    after.restore(saved)
    assert feed(after, rows[1700:], first=1700).tobytes() == expected[1700:].tobytes()
    one, other = through.snapshot(), after.snapshot()
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)


@pytest.mark.parametrize(("kind", "said"), KIND_SETTINGS)
def test_late_rows_and_our_own_acts_are_read_and_not_learned(kind, said):
    said = {**said, "traits": ("type",)} if kind is EntityBaseline else said
    rows = long_stream(3, events=300)
    signal = make(kind, **said)
    feed(signal, [{**row, "late": False} for row in rows])
    before = signal.snapshot()
    now = rows[-1]["as_of"]
    seen = feed(signal, [event("a1", now, late=True), event("a1", now, shoal=1), event("stranger", now, late=True)])
    after = signal.snapshot()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)
    assert seen[0].tobytes() == seen[1].tobytes()


SETTINGS = [
    (EntityBaseline, {"windw": 3.0}, "no setting 'windw'; allowed: key, count, amount, window"),
    (EntityBaseline, {"window": 0.0}, "window is 0.0; allowed: a number from 1 to 2.6784e+06"),
    (EntityBaseline, {"window": float("nan")}, "window is nan"),
    (EntityBaseline, {"window": True}, "window is True"),
    (EntityBaseline, {"half_life": "30d"}, "half_life is '30d'; allowed: a number from 60"),
    (EntityBaseline, {"groups": 1.5}, "groups is 1.5; allowed: a whole number from 1 to 256"),
    (EntityBaseline, {"season": "moon"}, "season is 'moon'; allowed: none, day, week, hour_of_week"),
    (EntityBaseline, {"key": ()}, "key is (); allowed: 1 to 8 columns"),
    (EntityBaseline, {"key": ("acount",)}, "key: no column 'acount'; did you mean 'account'?"),
    (
        EntityBaseline,
        {"amount": ("type",), "traits": ()},
        "amount: 'type' is TEXT; allowed: a column of kind INT or FLOAT",
    ),
    (EntityBaseline, {"amount": "size_bytes"}, "amount is 'size_bytes'; allowed: a list of columns"),
    (EntityBaseline, {"count": 3, "traits": ()}, "count is 3; allowed: a condition"),
    (EntityBaseline, {"count": "typ = 'x'", "traits": ()}, "typ"),
    (SequenceSurprise, {"history": 100}, "history is 100; allowed: a power of two"),
    (SequenceSurprise, {"shared_cells": 1000}, "shared_cells is 1000; allowed: a power of two"),
    (SequenceSurprise, {"longest": 5}, "longest is 5; allowed: a whole number from 1 to 4"),
    (SequenceSurprise, {"token": ("type", "clint")}, "token: no column 'clint'; did you mean 'client'?"),
]


@pytest.mark.parametrize(("kind", "said", "message"), SETTINGS)
def test_settings_that_make_no_sense_are_refused(kind, said, message):
    with pytest.raises(InvalidInput) as caught:
        make(kind, **said)
    assert message in str(caught.value)


def test_all_problems_of_settings_come_together():
    with pytest.raises(InvalidInput) as caught:
        make(EntityBaseline, window=-1.0, groups=0, key=("nobody",), season="x")
    assert len(caught.value.problems) == 5  # the default trait network_kind is no column here either


BROKEN = [
    lambda s: s.pop("ids"),
    lambda s: s.update(ids=np.zeros(3, np.int64)),
    lambda s: s.update(ids=np.full_like(s["ids"], 5)),
    lambda s: s.update(head=s["head"] + np.array([10**6, 0, 0, 0])),
    lambda s: s.update(head=s["head"] + np.array([0, 0, 0, 1])),
    lambda s: s.update(head=s["head"] + np.array([0, -9, 0, 0])),
    lambda s: s.update(wholes=s["wholes"] + 99),
    lambda s: s.update(wholes=s["wholes"] - 99),
    lambda s: s.update(wholes=s["wholes"].astype(np.int32)),
    lambda s: s.update({"peers.head": np.array([99], np.int64)}),
    lambda s: s.update({"peers.centres": np.full_like(s["peers.centres"], np.nan)}),
    lambda s: s.update({"peers.mass": s["peers.mass"][:-1]}),
]


@pytest.mark.parametrize(("kind", "said"), KIND_SETTINGS)
@pytest.mark.parametrize("broken", range(len(BROKEN)))
def test_a_snapshot_that_is_none_of_this_is_corrupt_and_changes_nothing(kind, said, broken):
    said = {**said, "traits": ("type",)} if kind is EntityBaseline else said
    signal, fresh = make(kind, **said), make(kind, **said)
    feed(signal, long_stream(4, events=200))
    saved = dict(signal.snapshot())
    BROKEN[broken](saved)
    before = fresh.snapshot()
    with pytest.raises(Corrupt):
        fresh.restore(saved)
    after = fresh.snapshot()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


def test_kinds_are_registered_and_say_what_they_read():
    for name, kind in (("entity_baseline", EntityBaseline), ("sequence_surprise", SequenceSurprise)):
        assert KINDS[name] is kind
        assert list(kind.outputs({})) == list(kind.outputs({"key": ("org",)}))
        assert "org" in kind.reads({"key": ("org",)})
    assert EntityBaseline.reads({"amount": ("size_bytes",)}) == {
        "account",
        "type",
        "client",
        "network_kind",
        "size_bytes",
    }
    assert SequenceSurprise.reads({}) == {"account", "type", "client"}
