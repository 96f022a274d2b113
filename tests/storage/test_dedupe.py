"""Deduplication: equal to its slow twin for any batch cut, any restart, any segment size, and colliding hashes."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracles.storage_oracle import SlowDedupe
from shoal.errors import InvalidInput
from shoal.events.identity import Identity
from shoal.storage import dedupe
from shoal.storage.dedupe import CONFLICT, DUPLICATE, HOUR_US, NEW, DedupeIndex, body_hashes
from shoal.storage.journal import Journal

IDENTITY = Identity(b"sixteen byte key")
NAMES = {NEW: "new", DUPLICATE: "duplicate", CONFLICT: "conflict"}
WINDOW = {"horizon_us": 300, "hot_us": 40}


class Weak(Identity):
    """Every fourth id collides."""

    def ids_of(self, texts):
        return super().ids_of(texts) % 4


OPEN = []


@pytest.fixture(autouse=True)
def _close():
    yield
    while OPEN:
        OPEN.pop().journal.close(discard=True)


@pytest.fixture
def small_tables(monkeypatch):
    monkeypatch.setattr(dedupe, "_MIN_CAPACITY", 8)


class Writer:
    """The least of a writer: dedupe, stamp, append."""

    def __init__(self, folder, identity=IDENTITY, max_hot=10**9, **window):
        self.folder, self.identity, self.max_hot, self.window = folder, identity, max_hot, window or WINDOW
        self.open()
        OPEN.append(self)

    def open(self):
        self.journal = Journal.open(self.folder, identity=self.identity, segment_bytes=64 << 10)
        self.index = DedupeIndex.open(self.journal, max_hot_ids=self.max_hot, **self.window)

    def write(self, rows, *, sync=True):
        ids, bodies, times = zip(*rows, strict=True)
        bodies = np.array(bodies, dtype=np.int64)
        verdicts = self.index.check(
            pa.array(ids, pa.string()), bodies, np.array(times, dtype=np.int64), self.journal.next_seq
        )
        new, twin = verdicts.verdict == NEW, verdicts.verdict == DUPLICATE
        table = pa.table(
            {
                "seq": verdicts.seq[new],
                "as_of": verdicts.as_of[new],
                "event_id": pa.array(ids, pa.string()).filter(pa.array(new)),
                "time": np.array(times, dtype=np.int64)[new],
            }
        )
        self.journal.append_events(table, bodies[new])
        self.journal.append_duplicates(verdicts.seq[twin], verdicts.original[twin])
        for row in np.flatnonzero(verdicts.verdict == CONFLICT).tolist():
            now = max([self.journal.last_as_of or -(1 << 62), *verdicts.as_of[:row][new[:row]].tolist()])
            self.journal.append_control(int(verdicts.seq[row]), now, "conflict", {})
        self.journal.end_group()
        if sync:
            self.journal.sync()
        assert self.journal.next_seq == verdicts.next_seq
        told = zip(verdicts.verdict.tolist(), verdicts.seq.tolist(), verdicts.original.tolist(), strict=True)
        return [(NAMES[verdict], seq, original) for verdict, seq, original in told]

    def restart(self):
        self.journal.close()
        self.open()


rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.sampled_from([f"e{i}" for i in range(9)])),
        st.integers(0, 2),
        st.integers(0, 900),
    ),
    min_size=1,
    max_size=60,
)
steps = st.lists(st.sampled_from(["cut", "cut unsynced", "restart", "seal"]), min_size=0, max_size=12)


@pytest.mark.parametrize("identity", [IDENTITY, Weak(b"sixteen byte key")], ids=["true hash", "colliding hash"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows, mostly_forward=st.booleans(), steps=steps, max_hot=st.sampled_from([3, 10**9]), data=st.data())
def test_equals_the_slow_twin(small_tables, tmp_path_factory, identity, rows, mostly_forward, steps, max_hot, data):
    if mostly_forward:
        times = sorted(time for _, _, time in rows)
        rows = [(event_id, body, time) for (event_id, body, _), time in zip(rows, times, strict=True)]
    slow = SlowDedupe(max_hot=max_hot, **WINDOW)
    writer = Writer(tmp_path_factory.mktemp("j"), identity, max_hot)
    try:
        got = _run(writer, rows, steps, data)
    finally:
        writer.journal.close(discard=True)
    assert got == [slow.judge(*row) for row in rows]


def _run(writer, rows, steps, data):
    at, got = 0, []
    for step in [*steps, "last"]:
        size = len(rows) - at if step == "last" else data.draw(st.integers(0, len(rows) - at))
        if size:
            got += writer.write(rows[at : at + size], sync=step != "cut unsynced")
            at += size
        if step == "restart":
            writer.restart()
        if step == "seal":
            writer.journal.sync()
            writer.journal.seal()
    return got


def test_old_ids_are_found_in_the_sealed_files_and_leave_the_table(tmp_path):
    writer = Writer(tmp_path, horizon_us=72 * HOUR_US, hot_us=HOUR_US)
    for hour in range(12):
        writer.write([(f"h{hour}-{i}", i, hour * 2 * HOUR_US + i) for i in range(1500)])
        writer.journal.seal()
    assert writer.index.stats().hot_ids < 10 * 1500
    assert writer.write([("h0-7", 7, 7), ("h0-8", 9, 8), ("h0-9", 9, 10)]) == [
        ("duplicate", 18000, 7),
        ("conflict", 18001, 8),
        ("new", 18002, -1),  # another time: only within the hot hour
    ]
    assert writer.index.stats().cold_searches > 0
    writer.restart()
    assert writer.index.stats().hot_ids <= 1501
    assert writer.write([("h1-7", 7, 2 * HOUR_US + 7), ("h11-3", 3, 5)]) == [
        ("duplicate", 18003, 1507),
        ("duplicate", 18004, 16503),
    ]


@pytest.mark.parametrize("harm", ["removed", "flipped", "of another segment", "cut"])
def test_a_bad_id_file_is_written_anew(tmp_path, harm):
    writer = Writer(tmp_path)
    writer.write([(f"a{i}", i, i) for i in range(10)])
    writer.journal.seal()
    writer.write([(f"b{i}", i, 200 + i) for i in range(10)])
    writer.journal.seal()
    first, second = (segment.ids_path for segment in writer.journal.segments[:2])
    writer.journal.close()
    if harm == "removed":
        first.unlink()
    elif harm == "flipped":
        first.write_bytes(first.read_bytes()[:9] + b"\xff" + first.read_bytes()[10:])
    elif harm == "cut":
        first.write_bytes(first.read_bytes()[:-1])
    else:
        first.write_bytes(second.read_bytes())
    writer.open()
    assert writer.write([("a3", 3, 3)]) == [("duplicate", 20, 3)]
    assert writer.journal.verify().ok


def test_control_records_keep_their_seqs_free(tmp_path):
    writer = Writer(tmp_path)
    skip = np.array([2, 0, 1], dtype=np.int64)
    ids = pa.array(["a", "b", "a"])
    found = writer.index.check(ids, np.zeros(3, np.int64), np.array([1, 2, 3]), 0, skip=skip)
    assert found.seq.tolist() == [2, 3, 5]
    assert found.original.tolist() == [-1, -1, 2]
    assert found.next_seq == 6


@pytest.mark.parametrize(("later", "verdict"), [(40, "duplicate"), (41, "new")])
def test_the_hot_hour_includes_its_border(tmp_path, later, verdict):
    writer = Writer(tmp_path)
    assert writer.write([("a", 1, 0), ("a", 1, later)])[1][0] == verdict


def test_the_first_entry_that_stays_in_the_table_is_found(tmp_path):
    writer = Writer(tmp_path, horizon_us=72 * HOUR_US, hot_us=HOUR_US)
    for hour in range(12):
        again = [(f"h{hour - 1}-0", 0, (hour - 1) * 2 * HOUR_US)] if hour else []
        first = writer.journal.next_seq
        told = writer.write([*again, *((f"h{hour}-{i}", i, hour * 2 * HOUR_US + i) for i in range(1500))])
        if hour:
            assert told[0][:2] == ("duplicate", first)
        writer.journal.seal()


def test_a_far_row_behind_it_in_the_batch_does_not_hide_an_old_original(tmp_path):
    writer = Writer(tmp_path)
    writer.write([("a", 1, 0)])
    writer.journal.seal()
    writer.write([("b", 1, 200)])
    writer.restart()
    assert writer.index.stats().cold_files == 1
    assert writer.write([("a", 1, 0), ("c", 1, 900), ("a", 1, 0)]) == [
        ("duplicate", 2, 0),
        ("new", 3, -1),
        ("new", 4, -1),
    ]


def test_a_tick_moves_the_windows(tmp_path):
    writer = Writer(tmp_path)
    writer.write([("a", 1, 0)])
    writer.index.advance(41)
    assert writer.write([("a", 1, 1)])[0][0] == "new"


def test_the_hot_hour_may_be_cut_by_the_number_of_ids_and_says_so(tmp_path):
    writer = Writer(tmp_path, max_hot=5)
    writer.write([(f"a{i}", 0, i) for i in range(20)])
    assert writer.index.stats().hot_cut
    assert writer.write([("a1", 0, 99)])[0][0] == "new"
    assert writer.write([("a2", 0, 2)])[0][0] == "duplicate"  # the same time is looked for in the whole horizon


BAD = [
    ({"bodies": np.zeros(2, np.int64)}, "bodies is int64[2]; allowed: int64[3] [dedupe.shape]"),
    ({"bodies": np.zeros(3)}, "bodies is float64[3]; allowed: int64[3] [dedupe.shape]"),
    ({"times": np.zeros(4, np.int64)}, "times is int64[4]; allowed: int64[3] [dedupe.shape]"),
    ({"skip": np.zeros(1, np.int64)}, "skip is int64[1]; allowed: int64[3] [dedupe.shape]"),
    ({"id_hashes": np.zeros(1, np.int64)}, "id_hashes is int64[1]; allowed: int64[3] [dedupe.shape]"),
]


@pytest.mark.parametrize(("given_arrays", "message"), BAD)
def test_arrays_that_do_not_fit_are_refused(tmp_path, given_arrays, message):
    writer = Writer(tmp_path)
    arrays = {"bodies": np.zeros(3, np.int64), "times": np.zeros(3, np.int64)} | given_arrays
    with pytest.raises(InvalidInput) as caught:
        writer.index.check(pa.array(["a", "b", "c"]), first_seq=0, **arrays)
    assert str(caught.value) == message
    assert writer.index.stats().hot_ids == 0


@pytest.mark.parametrize(
    ("window", "slug"),
    [
        ({"horizon_us": 5, "hot_us": 6}, "dedupe.window"),
        ({"hot_us": 0}, "dedupe.window"),
        ({"max_hot_ids": 0}, "dedupe.max_hot_ids"),
    ],
)
def test_bad_settings_are_refused(tmp_path, window, slug):
    with Journal.open(tmp_path, identity=IDENTITY) as journal, pytest.raises(InvalidInput, match=slug):
        DedupeIndex.open(journal, **window)


def test_body_hashes_see_given_values_alone():
    base = pa.table(
        {"type": ["a", "a", None, "ab"], "size_bytes": [1, 1, 1, None], "external": [True, True, None, True]}
    )
    hashes = body_hashes(base, IDENTITY).tolist()
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    more = base.append_column("offset", pa.array([1, 2, 3, 4])).append_column("event_id", pa.array(list("wxyz")))
    more = more.append_column("account", pa.nulls(4, pa.string())).append_column("account_tier", pa.array(list("abcd")))
    assert body_hashes(more.select(more.column_names[::-1]), IDENTITY).tolist() == hashes
    assert body_hashes(base, Identity(b"another key 1234")).tolist() != hashes
    assert body_hashes(base.slice(1), IDENTITY).tolist() == hashes[1:]


def test_a_value_may_not_move_to_another_column():
    one = body_hashes(pa.table({"actor": ["x"], "account": ["y"]}), IDENTITY)
    other = body_hashes(pa.table({"actor": ["y"], "account": ["x"]}), IDENTITY)
    assert one[0] != other[0]
