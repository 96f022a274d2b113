"""The journal: one order of three kinds of records, read from anywhere, sealed, retained; bad input is refused."""

import contextlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_parts import IDENTITY, content, events, open_journal, write_mixed

from shoal.errors import InvalidInput, Permanent, Temporary, Unsupported
from shoal.events.identity import Identity
from shoal.storage.frames import EVENTS, PACKED, ROWS, EventFrame
from shoal.storage.journal import Journal


def test_records_of_three_kinds_share_one_order(tmp_path):
    with open_journal(tmp_path) as journal:
        write_mixed(journal, 3)
        rows = content(journal.read())
        assert [row[0] for row in rows] == list(range(15))
        assert [row[1] for row in rows[:5]] == ["event", "facts", "event", "duplicate", "event"]
        assert rows[3] == (3, "duplicate", 0)
        assert rows[1] == (1, "facts", 1001, {"n": 1, "table": {"a": [1]}})
        assert rows[0][3] == 0
        assert rows[4][3] == 28
        assert journal.position.next_seq == journal.next_seq == journal.synced_seq == 15
        assert journal.last_as_of == 1014


def test_it_reads_the_same_after_a_restart_and_after_sealing(tmp_path):
    with open_journal(tmp_path) as journal:
        write_mixed(journal, 40)
        before = content(journal.read())
    with open_journal(tmp_path) as journal:
        assert content(journal.read()) == before
        journal.seal()
        assert content(journal.read()) == before
        assert len([head for unit in journal.segments[0].units for head in unit.heads]) == 3
        write_mixed(journal, 1)
    with open_journal(tmp_path, read_only=True) as journal:
        assert content(journal.read())[: len(before)] == before
        assert journal.next_seq == 205


@pytest.fixture(scope="module")
def sealed_and_growing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranges")
    with open_journal(folder) as journal:
        write_mixed(journal, 5)
        journal.seal()
        write_mixed(journal, 7)
    return folder


@settings(max_examples=40, deadline=None)
@given(low=st.integers(0, 60), size=st.integers(0, 60))
def test_it_reads_from_any_seq_to_any_other(sealed_and_growing, low, size):
    with open_journal(sealed_and_growing, read_only=True) as journal:
        whole = content(journal.read())
        part = [row for row in whole if low <= row[0] < low + size]
        assert content(journal.read(low, low + size)) == part
        groups = list(journal.read_groups(low, low + size, cut={"facts"}))
    for group in groups:
        kinds = (group.events is not None) + (group.duplicates is not None) + len(group.controls)
        assert not group.controls or (kinds == 1 and group.first_seq == group.last_seq)
    edges = [(group.first_seq, group.last_seq + 1) for group in groups]
    assert [seq for first, end in edges for seq in range(first, end)] == [row[0] for row in part]


def test_groups_join_what_was_synced_together_and_stand_alone_only_for_cutting_kinds(tmp_path):
    with open_journal(tmp_path) as journal:
        journal.append_events(events([0, 2, 4]))
        journal.append_control(1, 1001, "facts", {})
        journal.append_control(3, 1003, "packs", {"hash": "x"})
        journal.sync()
        groups = list(journal.read_groups())
    assert [(g.first_seq, g.last_seq, [c.kind for c in g.controls]) for g in groups] == [
        (0, 2, ["facts"]),
        (3, 3, ["packs"]),
        (4, 4, []),
    ]


def test_small_frames_are_rows_until_the_segment_is_sealed(tmp_path):
    with open_journal(tmp_path) as journal:
        for _ in range(300):
            journal.append_events(events([journal.next_seq]))
            journal.sync()
        journal.append_events(events(range(300, 556)))
        journal.sync()
        kinds = [head.encoding for unit in journal.segments[0].units for head in unit.heads]
        assert kinds == [ROWS] * 300 + [PACKED]
        one_row = journal.segments[0].units[0].heads[0].length
        assert one_row < 300
        size = journal.segments[0].length
        journal.seal()
        heads = [head for unit in journal.segments[0].units for head in unit.heads]
        assert [(head.kind, head.encoding, head.rows) for head in heads] == [(EVENTS, PACKED, 556)]
        assert journal.segments[0].length < size / 4


def test_a_segment_is_sealed_at_its_size_and_frames_of_a_batch_stay(tmp_path):
    rng = np.random.default_rng(0)
    with open_journal(tmp_path) as journal:
        for _ in range(12):
            first = journal.next_seq
            noise = pa.array([rng.bytes(12).hex() for _ in range(1000)])
            journal.append_events(events(range(first, first + 1000), session=noise))
            journal.sync()
        assert [segment.sealed for segment in journal.segments[:-1]] == [True] * (len(journal.segments) - 1)
        assert len(journal.segments) > 2
        assert journal.verify().ok
        assert journal.rows(np.array([11_999, 0, 5_000]), ["event_id"])["event_id"].to_pylist() == [
            "e11999", "e0", "e5000",
        ]  # fmt: skip
        total = sum(frame.table.num_rows for frame in journal.read() if isinstance(frame, EventFrame))
        assert total == 12_000


def test_rows_are_found_by_seq_synced_or_not(tmp_path):
    with open_journal(tmp_path) as journal:
        write_mixed(journal, 2)
        journal.append_events(events([10, 11]))
        journal.end_group()
        journal.append_events(events([12]))
        asked = np.array([12, 0, 10, 7, 0, 4])
        assert journal.rows(asked)["event_id"].to_pylist() == ["e12", "e0", "e10", "e7", "e0", "e4"]
        for seq in (1, 3, 13, -1):
            with pytest.raises(Permanent, match=f"record {seq} is no event"):
                journal.rows(np.array([0, seq]))
        assert journal.rows(np.zeros(0, np.int64)).num_rows == 0


def test_a_thread_may_sync_ended_groups_while_the_next_is_open(tmp_path):
    with open_journal(tmp_path) as journal:
        journal.append_events(events([0, 1]))
        assert journal.end_group() == 2
        journal.append_events(events([3]))  # its gap is not yet filled
        assert journal.sync(open_group=False).next_seq == 2
        journal.append_control(2, 1002, "ticks", {})
        assert journal.sync().next_seq == 4
        assert [row[1] for row in content(journal.read())] == ["event", "event", "ticks", "event"]


def test_retention_drops_whole_segments_behind_a_snapshot_and_keeps_the_counts(tmp_path):
    with open_journal(tmp_path) as journal:
        for _ in range(3):
            write_mixed(journal, 4)
            journal.seal()
        write_mixed(journal, 1)
        before = journal.stats()
        assert journal.retain(19) == 0
        assert journal.retain(41) == 2
        assert journal.first_seq == 40
        with pytest.raises(Permanent, match="below 40 were dropped"):
            next(journal.read(39))
        assert [row[0] for row in content(journal.read())] == list(range(40, 65))
        after = journal.stats()
        assert after.events + after.dropped_events == before.events == 39
        assert after.duplicates + after.dropped_duplicates == before.duplicates == 13
        assert after.controls + after.dropped_controls == before.controls == 13
        with pytest.raises(InvalidInput, match=r"journal\.retain"):
            journal.retain(66)
    with open_journal(tmp_path) as journal:
        assert (journal.first_seq, journal.next_seq) == (40, 65)
        assert journal.verify().ok


def test_an_interrupted_retention_is_finished_on_opening(tmp_path):
    with open_journal(tmp_path) as journal:
        for _ in range(3):
            write_mixed(journal, 2)
            journal.seal()
        saved = {path: path.read_bytes() for path in tmp_path.glob("*0.seg")}
        journal.retain(20)
    first = min(saved)
    first.write_bytes(saved[first])
    with open_journal(tmp_path) as journal:
        assert journal.first_seq == 20
        assert not first.exists()


def test_stats_count_what_is_there(tmp_path):
    with open_journal(tmp_path) as journal:
        assert journal.stats().bytes_per_event == 0.0
        write_mixed(journal, 4)
        journal.append_control(20, 2000, "ticks", {})
        journal.sync()
        stats = journal.stats()
    assert (stats.events, stats.duplicates, stats.controls) == (12, 4, 5)
    assert stats.control_kinds == {"facts": 4, "ticks": 1}
    assert (stats.first_as_of, stats.last_as_of) == (1000, 2000)
    assert (stats.first_time, stats.last_time) == (1000, 1019)
    assert stats.bytes == sum(path.stat().st_size for path in tmp_path.glob("*.seg"))
    assert stats.bytes_per_event == stats.bytes / 12


def test_one_writer_at_a_time_and_readers_beside(tmp_path):
    with open_journal(tmp_path) as journal:
        write_mixed(journal, 1)
        with pytest.raises(Temporary, match="another process writes here"):
            open_journal(tmp_path)
        with open_journal(tmp_path, read_only=True) as reader:
            assert reader.next_seq == 5
            write_mixed(journal, 60)
            journal.seal()
            assert [row[0] for row in content(reader.read())] == list(range(5))  # it notices the rewritten file
            with pytest.raises(Permanent, match="read-only"):
                reader.append_events(events([5]))
    open_journal(tmp_path).close()


def _append(**changes):
    return lambda journal: journal.append_events(events([0, 1], **changes))


def _control(*args):
    return lambda journal: journal.append_control(*args)


def _gap(journal):
    journal.append_events(events([0, 2]))
    journal.sync()


def _back(journal):
    journal.append_events(events([0, 1], as_of=np.array([5, 4])))
    journal.sync()


def _behind(journal):
    journal.append_events(events([0, 1]))
    journal.append_control(2, 1000, "ticks", {})
    journal.sync()


def _twice(journal):
    journal.append_events(events([0, 1]))
    journal.append_duplicates(np.array([1]), np.array([0]))
    journal.sync()


BAD = [
    (_append(seq=pa.array([0, None])), "journal.not_stamped"),
    (lambda j: j.append_events(events([0]).drop_columns(["as_of"])), "journal.not_stamped"),
    (_append(acount=pa.array(["a", "b"])), "did you mean 'account'"),
    (_append(account=pa.array([1, 2])), "events.column_type"),
    (_append(seq=np.array([1, 0])), "journal.seq_order"),
    (_append(seq=np.array([-1, 0])), "journal.seq_order"),
    (lambda j: j.append_events(events([0, 1]), np.zeros(3, np.int64)), "journal.bodies"),
    (lambda j: j.append_events(events([0, 1]), np.zeros(2)), "journal.bodies"),
    (lambda j: j.append_duplicates(np.array([0, 1]), np.array([0])), "journal.duplicates"),
    (lambda j: j.append_duplicates(np.array([1]), np.array([1])), "journal.duplicates"),
    (lambda j: j.append_duplicates(np.array([1]), np.array([-1])), "journal.duplicates"),
    (_control(0, 0, "Facts!", {}), "journal.control_kind"),
    (_control(0, 0, "facts", {"when": object()}), "journal.control_body"),
    (_control(0, 0, "facts", {"n": 2**70}), "journal.control_body"),
    (_control(-1, 0, "facts", {}), "journal.seq_order"),
    (_gap, "journal.seq_gap"),
    (_twice, "journal.seq_gap"),
    (_back, "journal.as_of_order"),
    (_behind, "journal.as_of_order"),
    (lambda j: j.erase([]), "journal.erase"),
    (lambda j: j.erase(["a", ""]), "journal.erase"),
]


@pytest.mark.parametrize(("act", "message"), BAD)
def test_bad_input_is_refused_and_leaves_the_journal_as_it_was(tmp_path, act, message):
    with open_journal(tmp_path) as journal:
        with pytest.raises(InvalidInput, match=message.replace("'", ".")):
            act(journal)
        with contextlib.suppress(InvalidInput):
            journal.end_group()  # what was accepted before the refusal
        first = journal.next_seq
        journal.append_events(events([first, first + 1]))
        assert journal.sync().next_seq == first + 2
        assert journal.verify().ok


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"segment_bytes": 1}, "segment_bytes is 1; allowed: 65536 to"),
        ({"compression": "gzip"}, "unknown compression 'gzip'; allowed: none, lz4, zstd"),
    ],
)
def test_bad_settings_are_refused(tmp_path, setting, message):
    with pytest.raises(InvalidInput, match=message):
        open_journal(tmp_path, **setting)


def test_reading_where_nothing_is_says_so(tmp_path):
    with pytest.raises(InvalidInput, match="there is no journal"):
        open_journal(tmp_path / "none", read_only=True)


def test_another_identity_or_a_strange_file_is_refused(tmp_path):
    open_journal(tmp_path).close()
    with pytest.raises(InvalidInput, match="another identity key"):
        open_journal(tmp_path, identity=Identity(b"another key 1234"))
    (tmp_path / "notes.seg").write_bytes(b"")
    with pytest.raises(InvalidInput, match="is no segment"):
        open_journal(tmp_path)


def test_a_later_version_is_refused_by_name(tmp_path):
    open_journal(tmp_path).close()
    path = next(tmp_path.glob("*.seg"))
    data = bytearray(path.read_bytes())
    data[8] = 9
    path.write_bytes(data)
    with pytest.raises(Unsupported, match="segment version 9; this release reads version 1"):
        open_journal(tmp_path)


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_every_compression_reads_back(tmp_path, compression):
    with open_journal(tmp_path, compression=compression) as journal:
        table = events(range(500))
        journal.append_events(table)
        journal.sync()
        [frame] = journal.read()
    assert frame.table.equals(table)
    assert frame.bodies.tolist() == [0] * 500


def test_a_closed_journal_says_so(tmp_path):
    journal = open_journal(tmp_path)
    journal.close()
    journal.close()
    with pytest.raises(Permanent, match="closed"):
        journal.sync()


def test_leaving_by_an_error_forgets_what_was_not_synced(tmp_path):
    def fail():
        with open_journal(tmp_path) as journal:
            journal.append_events(events([0]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with Journal.open(tmp_path, identity=IDENTITY) as journal:
        assert journal.next_seq == 0
