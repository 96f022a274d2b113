"""The decision log: what was synced is there, torn tails are cut, and `cut_to` goes back to what the store recorded."""

import numpy as np
import pyarrow as pa
import pytest

from shoal.errors import Corrupt, InvalidInput, Permanent, Temporary, Unsupported
from shoal.storage.decisions import DecisionLog, DecisionMark


def table(first, rows=4, **more):
    return pa.table({"seq": np.arange(first, first + rows), "tier": np.full(rows, 2, np.int8)} | more)


def open_log(folder):
    return DecisionLog.open(folder, segment_bytes=64 << 10)


def seqs(log, *args):
    return [seq for part in log.read(*args) for seq in part["seq"].to_pylist()]


def test_what_was_synced_is_read_back_in_any_range_and_schema(tmp_path):
    with open_log(tmp_path) as log:
        log.append(table(0))
        log.append(table(4, score=pa.array([0.5, None, 1.0, 0.0])))
        assert seqs(log) == []
        mark = log.sync()
        log.append(table(8))
        assert seqs(log) == list(range(8))
    with DecisionLog.open(tmp_path, read_only=True) as log:
        assert seqs(log, 3, 9) == list(range(3, 9))
        assert [part.column_names for part in log.read(0, 8, ["score"])] == [["seq"], ["seq", "score"]]
        assert log.mark.length > mark.length
        reader_mark = log.mark
    with open_log(tmp_path) as log:
        assert log.mark == reader_mark


def test_segments_follow_each_other(tmp_path):
    rng = np.random.default_rng(0)
    with open_log(tmp_path) as log:
        for i in range(60):
            log.append(table(i * 100, 100, noise=rng.random(100), more=rng.random(100)))
            mark = log.sync()
        assert mark.segment >= 1
        assert seqs(log) == list(range(6000))
        assert log.retain(5000) >= 1
        assert seqs(log, 5000) == list(range(5000, 6000))
    with open_log(tmp_path) as log:
        assert log.mark == mark


def test_it_is_cut_back_to_the_mark_of_the_store(tmp_path):
    rng = np.random.default_rng(0)
    marks = [None]
    with open_log(tmp_path) as log:
        for i in range(40):
            log.append(table(i * 100, 100, noise=rng.random(100), more=rng.random(100)))
            marks.append(log.sync())
        assert marks[-1].segment > 0
    for back in (40, 39, 20, 3, 0):
        with open_log(tmp_path) as log:
            cut = log.cut_to(marks[back])
            assert (cut == 0) == (back == 40)
            assert seqs(log) == list(range(100 * back))
            assert log.cut_to(marks[back]) == 0
            if back == 20:
                log.append(table(2000))
                after = log.sync()
        if back == 20:
            with open_log(tmp_path) as log:
                assert log.mark == after
                assert log.cut_to(after) == 0
                assert log.cut_to(marks[20]) > 0
    with open_log(tmp_path) as log:
        log.append(table(0))
        again = log.sync()
        log.append(table(4))
        assert log.cut_to(again) == 0  # what was not synced is forgotten
        assert log.sync() == again


def test_a_tail_torn_at_any_byte_is_cut(tmp_path):
    with open_log(tmp_path) as log:
        ends = [log.mark]
        for i in range(3):
            log.append(table(4 * i))
            log.append(table(4 * i + 2, 2))
            ends.append(log.sync())
    path = next(tmp_path.glob("*.dec"))
    whole = path.read_bytes()
    for size in range(ends[1].length, len(whole), 3):
        path.write_bytes(whole[:size])
        (tmp_path / "acknowledged").unlink(missing_ok=True)
        kept = max(mark.length for mark in ends if mark.length <= size)
        with open_log(tmp_path) as log:
            assert log.mark.length == kept
            assert log.mark in ends
            assert sum(cut.cut_bytes for cut in log.cuts) == size - kept
            with pytest.raises(Corrupt, match="the store has recorded"):
                log.cut_to(ends[-1])


def test_a_flipped_byte_is_refused(tmp_path):
    with open_log(tmp_path) as log:
        for i in range(3):
            log.append(table(4 * i))
            log.sync()
    path = next(tmp_path.glob("*.dec"))
    whole = path.read_bytes()
    for at in range(0, len(whole), 13):
        data = bytearray(whole)
        data[at] ^= 4
        path.write_bytes(data)
        with pytest.raises((Corrupt, Unsupported), match=path.name):
            open_log(tmp_path)


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (DecisionMark(7, 512, 0), "missing"),
        (DecisionMark(0, 10**6, 0), "long"),
        (DecisionMark(0, 513, 0), "no end of a frame"),
        ("other crc", "checksum differs"),
    ],
)
def test_a_mark_that_does_not_fit_is_refused(tmp_path, mark, message):
    with open_log(tmp_path) as log:
        log.append(table(0))
        mine = log.sync()
        mark = DecisionMark(mine.segment, mine.length, mine.crc ^ 1) if mark == "other crc" else mark
        with pytest.raises(Corrupt, match=message):
            log.cut_to(mark)
        assert seqs(log) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("bad", "slug"),
    [
        (pa.table({"tier": [1]}), "decisions.no_seq"),
        (pa.table({"seq": ["1"]}), "decisions.no_seq"),
        (pa.table({"seq": pa.array([1, None])}), "decisions.no_seq"),
        (pa.table({"seq": [2, 1]}), "decisions.seq_order"),
    ],
)
def test_bad_tables_are_refused(tmp_path, bad, slug):
    with open_log(tmp_path) as log, pytest.raises(InvalidInput, match=slug):
        log.append(bad)


def test_one_writer_and_no_journal_in_its_place(tmp_path):
    with open_log(tmp_path) as log, pytest.raises(Temporary, match="another process writes here"):
        open_log(tmp_path)
    with pytest.raises(Permanent, match="closed"):
        log.sync()
    with pytest.raises(InvalidInput, match="segment_bytes is 3"):
        DecisionLog.open(tmp_path, segment_bytes=3)
    with pytest.raises(InvalidInput, match="there is no decision log"):
        DecisionLog.open(tmp_path / "none", read_only=True)
