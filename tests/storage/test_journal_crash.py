"""Crashes and damage: torn tails are cut and told, damage in acknowledged bytes is refused by file and offset, and what
was acknowledged before a kill -9 is there."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from journal_parts import IDENTITY, content, events, open_journal, write_mixed

from shoal.errors import Corrupt, Temporary
from shoal.storage import segments
from shoal.storage.journal import Journal


@pytest.fixture
def written(tmp_path):
    """A closed journal of four units: (folder, path, offsets where a unit ends, content)."""
    folder = tmp_path / "j"
    with open_journal(folder) as journal:
        ends = [journal.position.offset]
        for _ in range(4):
            write_mixed(journal, 1)
            ends.append(journal.position.offset)
        rows = content(journal.read())
    return folder, next(folder.glob("*.seg")), ends, rows


def _reopen(folder, *, write=True):
    """What opening gives: (content, cuts); and it can be written and is sound afterwards."""
    with open_journal(folder) as journal:
        rows, cuts = content(journal.read()), journal.cuts
        if write:
            write_mixed(journal, 1)
            assert journal.verify().problems == ()
    return rows, cuts


@pytest.mark.parametrize("marked", [True, False], ids=["process crash", "power cut"])
def test_a_tail_torn_at_any_byte_is_cut_and_told(written, tmp_path, marked):
    folder, path, ends, rows = written
    whole = path.read_bytes()
    for size in range(ends[3] - 1, len(whole)):
        path.write_bytes(whole[:size])
        if not marked:
            (folder / "acknowledged").unlink(missing_ok=True)
        kept = max(end for end in ends if end <= size)
        found, cuts = _reopen(folder, write=size % 20 == 0)
        assert found == rows[: 5 * ends.index(kept)]
        if size == kept and not marked:
            assert cuts == ()
        else:
            [cut] = cuts
            assert (cut.kept_bytes, cut.cut_bytes, cut.lost_acknowledged) == (kept, size - kept, marked)
            assert str(cut.cut_bytes) in str(cut)
        if marked:  # as it was before the harm
            segments_mark(folder, len(whole))


def segments_mark(folder, length):
    mark = segments.AcknowledgedMark(folder, write=True)
    mark.set(0, length)
    mark.close()


def test_a_read_only_view_leaves_the_torn_tail_where_it_is(written):
    folder, path, ends, rows = written
    path.write_bytes(path.read_bytes()[:-3])
    size = path.stat().st_size
    with open_journal(folder, read_only=True) as journal:
        assert content(journal.read()) == rows[:15]
        assert journal.cuts[0].cut_bytes == size - ends[3]
        assert not journal.verify().ok  # acknowledged records are missing
    assert path.stat().st_size == size


def test_zeros_behind_the_last_unit_are_a_torn_tail(written):
    folder, path, _, rows = written
    with path.open("ab") as file:
        file.write(bytes(5000))
    found, [cut] = _reopen(folder)
    assert found == rows
    assert (cut.cut_bytes, cut.lost_acknowledged) == (5000, False)


def test_a_flipped_byte_anywhere_is_refused_by_file_and_offset(written):
    folder, path, ends, _ = written
    whole = path.read_bytes()
    for at in [*range(60), *range(500, len(whole), 7), len(whole) - 1]:
        data = bytearray(whole)
        data[at] ^= 0x40
        path.write_bytes(data)
        with pytest.raises((Corrupt, segments.Unsupported), match=str(path.name)) as caught:
            open_journal(folder)
        if at >= ends[0]:
            offset = int(str(caught.value).split("offset ")[1].split(":")[0])
            assert offset <= at
            assert offset >= max(end for end in ends if end <= at)
    path.write_bytes(whole)
    open_journal(folder).close()


def test_without_the_mark_only_the_last_unit_can_pass_for_a_torn_tail(written):
    folder, path, ends, rows = written
    whole = path.read_bytes()
    for at in range(ends[0], len(whole), 11):
        data = bytearray(whole)
        data[at] ^= 0x01
        path.write_bytes(data)
        (folder / "acknowledged").unlink(missing_ok=True)
        if at < ends[3]:
            with pytest.raises(Corrupt):
                open_journal(folder)
        else:
            with open_journal(folder) as journal:
                assert content(journal.read()) == rows[:15]
                assert journal.cuts[0].cut_bytes == len(whole) - ends[3]


def test_damage_in_a_sealed_segment_is_found_on_reading_and_by_verify(written):
    folder, path, _, _ = written
    with open_journal(folder) as journal:
        journal.seal()
        head = journal.segments[0].units[0].heads[0]
    data = bytearray(path.read_bytes())
    data[head.payload_offset + 5] ^= 1
    path.write_bytes(data)
    with open_journal(folder) as journal:
        with pytest.raises(Corrupt, match=rf"{path.name}: offset {head.offset}"):
            list(journal.read())
        report = journal.verify()
        assert [problem.slug for problem in report.problems] == ["journal.corrupt"]
        assert not report.ok
    path.write_bytes(data[:-1])
    with pytest.raises(Corrupt, match=path.name):
        open_journal(folder)


def test_verify_tells_of_a_gap_and_of_as_of_going_back(tmp_path, monkeypatch):
    with open_journal(tmp_path) as journal:
        write_mixed(journal, 1)
        monkeypatch.setattr("shoal.storage.journal._OpenGroup._problems", lambda _: [])
        journal.append_events(events([5, 7], as_of=np.array([1, 2])))
        journal.sync()
        slugs = [problem.slug for problem in journal.verify().problems]
    assert slugs == ["journal.seq_gap", "journal.as_of_order"]
    with pytest.raises(Corrupt, match="leave a gap"):
        open_journal(tmp_path)


def test_a_missing_segment_is_refused(tmp_path):
    with open_journal(tmp_path) as journal:
        for _ in range(3):
            write_mixed(journal, 1)
            journal.seal()
        write_mixed(journal, 1)
    paths = sorted(tmp_path.glob("*.seg"))
    for path, message in ((paths[1], "5 should come here"), (paths[-1], "acknowledged and is missing")):
        data = path.read_bytes()
        path.unlink()
        with pytest.raises(Corrupt, match=message):
            open_journal(tmp_path)
        path.write_bytes(data)
    open_journal(tmp_path).close()


@pytest.mark.parametrize("step", ["write", "fsync", "rename", "new segment", "ids"])
def test_a_crash_at_any_step_of_sealing_leaves_a_whole_journal(tmp_path, monkeypatch, step):
    class Crash(BaseException):
        pass

    def crash(*_args, **_kwargs):
        raise Crash

    folder = tmp_path / "j"
    journal = open_journal(folder)
    write_mixed(journal, 4)
    rows = content(journal.read())
    target = {
        "write": "shoal.storage.sealing.encode_group",
        "fsync": "shoal.storage.sealing.os.fsync",
        "rename": "shoal.storage.sealing.sync_folder",
        "new segment": "shoal.storage.journal.SegmentWriter",
        "ids": "shoal.storage.ids.Collector.write",
    }[step]
    with monkeypatch.context() as patched:
        patched.setattr(target, crash)
        with pytest.raises(Crash):
            journal.seal()
    copy = tmp_path / "after the crash"
    shutil.copytree(folder, copy)
    (copy / (next(folder.glob("*.seg")).name + ".tmp")).write_bytes(b"half")
    journal._closed = True
    journal._file_lock.release()
    journal._mark.close()
    with open_journal(copy) as again:
        assert content(again.read()) == rows
        write_mixed(again, 1)
        again.seal()
    with open_journal(copy) as again:
        assert len(content(again.read())) == 25
        assert not list(copy.glob("*.tmp"))


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    def full(handle, parts, offset):
        os.pwrite(handle, b"half a fra", offset)
        raise OSError(28, "No space left on device")

    with open_journal(tmp_path) as journal:
        write_mixed(journal, 1)
        journal.append_events(events([5, 6]))
        with monkeypatch.context() as patched:
            patched.setattr(segments, "_write_all", full)
            with pytest.raises(Temporary, match="No space left"):
                journal.sync()
        assert journal.synced_seq == 5
        assert journal.segments[-1].path.stat().st_size == journal.position.offset
        assert journal.rows(np.array([6]))["event_id"].to_pylist() == ["e6"]
        assert journal.sync().next_seq == 7
    with open_journal(tmp_path) as journal:
        assert (journal.next_seq, journal.cuts) == (7, ())


CHILD = """
import sys
sys.path[:0] = sys.argv[2:]
from journal_parts import open_journal, write_mixed, events
import pyarrow as pa, os
with open_journal(sys.argv[1]) as journal:
    while True:
        write_mixed(journal, 1, per_group=40)
        first = journal.next_seq
        noise = pa.array([os.urandom(20).hex() for _ in range(400)])
        journal.append_events(events(range(first, first + 400), session=noise))
        print(journal.sync().next_seq, flush=True)
"""


@pytest.mark.parametrize("delay", [0.02, 0.15, 0.3])
def test_what_was_acknowledged_before_a_kill_is_there(tmp_path, delay):
    paths = [os.path.dirname(__file__), os.path.abspath("src"), *sys.path]
    acknowledged = 0
    for _ in range(2):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "j"), *paths], stdout=subprocess.PIPE, text=True
        )
        told = child.stdout.readline()
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        told += child.stdout.read()
        child.wait()
        child.stdout.close()
        lines = told.splitlines(keepends=True)
        acknowledged = max(int(line) for line in lines if line.endswith("\n"))
        with Journal.open(tmp_path / "j", identity=IDENTITY, segment_bytes=64 << 10) as journal:
            assert journal.next_seq >= acknowledged
            assert all(not cut.lost_acknowledged for cut in journal.cuts)
            report = journal.verify()
            assert not [p for p in report.problems if p.slug != "journal.ids"]
            seqs = [row[0] for row in content(journal.read())]
            assert seqs == list(range(journal.next_seq))
    assert acknowledged
