"""Runs of control records in columns: each record keeps its own seq, and they read, clip, seal and erase as single
records do."""

import numpy as np
import pyarrow as pa
import pytest
from journal_parts import IDENTITY, events, open_journal

from shoal.errors import InvalidInput, Unsupported
from shoal.storage import frames as codec
from shoal.storage.frames import ControlFrame, ControlRun, Group


def facts(names):
    return pa.table({"subject": pa.array(names, pa.string()), "value": pa.array([f"v-{name}" for name in names])})


def mixed(journal, groups=3):
    """Groups of six: event, fact, event, two facts, a single label; seqs 6k … 6k + 5."""
    for _ in range(groups):
        at = journal.next_seq
        journal.append_events(events([at, at + 2]))
        seqs = np.array([at + 1, at + 3, at + 4])
        journal.append_run("facts", seqs, seqs + 1000, facts([f"u{seq}" for seq in seqs]))
        journal.append_control(at + 5, at + 1005, "labels", {"subject": f"l{at}"})
        journal.sync()


def records(groups):
    """(seq, as_of, kind, subject) of all control records, in seq order."""
    found = []
    for group in groups:
        assert isinstance(group, Group)
        found += [(c.seq, c.as_of, c.kind, c.body["subject"]) for c in group.controls]
        for run in group.runs:
            columns = (run.seqs.tolist(), run.as_ofs.tolist(), run.table.column("subject").to_pylist())
            found += [(seq, as_of, run.kind, subject) for seq, as_of, subject in zip(*columns, strict=True)]
    return sorted(found)


def wanted(groups=3):
    found = []
    for at in range(0, 6 * groups, 6):
        found += [(seq, seq + 1000, "facts", f"u{seq}") for seq in (at + 1, at + 3, at + 4)]
        found.append((at + 5, at + 1005, "labels", f"l{at}"))
    return found


def test_each_record_of_a_run_keeps_its_seq_however_it_is_read(tmp_path):
    with open_journal(tmp_path) as journal:
        mixed(journal)
        assert records(journal.read_groups()) == wanted()
        for low in range(18):
            for high in range(low, 19):
                part = [record for record in wanted() if low <= record[0] < high]
                assert records(journal.read_groups(low, high)) == part
    with open_journal(tmp_path) as journal:
        assert (journal.cuts, journal.next_seq, journal.last_as_of) == ((), 18, 1017)
        assert records(journal.read_groups()) == wanted()


def test_runs_are_counted_verified_and_sealed(tmp_path):
    with open_journal(tmp_path) as journal:
        mixed(journal)
        before = journal.stats()
        assert (before.events, before.controls, before.control_kinds) == (6, 12, {"facts": 9, "labels": 3})
        assert journal.verify().ok
        journal.seal()
        assert journal.stats().controls == 12
        assert journal.stats().control_kinds == {"facts": 9, "labels": 3}
        assert journal.verify().ok
        [frame] = [frame for frame in journal.read() if isinstance(frame, ControlRun)]
        assert frame.seqs.tolist() == [1, 3, 4, 7, 9, 10, 13, 15, 16]
        assert records(journal.read_groups()) == wanted()


def test_single_records_of_earlier_releases_stand_beside_runs(tmp_path):
    with open_journal(tmp_path) as journal:
        journal.append_control(0, 1000, "facts", {"subject": "old", "value": "v-old"})
        journal.sync()
        head = journal.segments[0].units[0].heads[0]
        assert head.encoding == codec.ROWS  # as before: an earlier release reads it
        journal.append_run("facts", np.array([1, 2]), np.array([1000, 1001]), facts(["new", "newer"]))
        journal.sync()
        journal.seal()
        found = records(journal.read_groups())
        assert found == [(0, 1000, "facts", "old"), (1, 1000, "facts", "new"), (2, 1001, "facts", "newer")]
        kinds = [type(frame) for frame in journal.read()]
        assert sorted(kind.__name__ for kind in kinds) == ["ControlFrame", "ControlRun"]


def test_erasure_takes_texts_out_of_runs(tmp_path):
    with open_journal(tmp_path) as journal:
        mixed(journal)
        done = journal.erase(["u3", "v-u9"])
        assert done.controls == 2
        subjects = {record[0]: record[3] for record in records(journal.read_groups())}
        assert subjects[3] == IDENTITY.erased("u3")
        assert [record for record in records(journal.read_groups()) if record[0] != 3] == [
            record for record in wanted() if record[0] != 3
        ]
        assert journal.verify().ok
        assert journal.erase(["u3"]).controls == 0


def test_gaps_and_order_are_checked_across_runs(tmp_path):
    with open_journal(tmp_path) as journal:
        journal.append_run("facts", np.array([0, 2]), np.array([5, 6]), facts(["a", "b"]))
        with pytest.raises(InvalidInput) as caught:
            journal.end_group()
        assert caught.value.problems[0].slug == "journal.seq_gap"
        journal.append_run("facts", np.array([0, 2]), np.array([5, 6]), facts(["a", "b"]))
        journal.append_control(1, 7, "labels", {})
        with pytest.raises(InvalidInput) as caught:
            journal.end_group()
        assert caught.value.problems[0].slug == "journal.as_of_order"


ONE = np.array([0])
BAD_RUNS = [
    ("Facts", ONE, ONE, facts(["a"]), "journal.control_kind"),
    ("packs", ONE, ONE, facts(["a"]), "journal.control_kind"),
    ("facts", ONE, np.array([0, 1]), facts(["a"]), "journal.run"),
    ("facts", ONE, ONE, facts(["a", "b"]), "journal.run"),
    ("facts", ONE, ONE, pa.table({"seq": [0]}), "journal.run"),
    ("facts", np.array([1, 1]), np.array([0, 0]), facts(["a", "b"]), "journal.seq_order"),
]


@pytest.mark.parametrize(("kind", "seqs", "as_ofs", "table", "slug"), BAD_RUNS)
def test_bad_runs_are_refused(tmp_path, kind, seqs, as_ofs, table, slug):
    with open_journal(tmp_path) as journal:
        with pytest.raises(InvalidInput) as caught:
            journal.append_run(kind, seqs, as_ofs, table)
        assert caught.value.problems[0].slug == slug
        journal.append_run("facts", seqs[:0], as_ofs[:0], facts([]))
        assert journal.end_group() == 0


def test_an_unknown_value_is_refused_by_its_number():
    import msgpack

    payload = msgpack.packb([["facts", msgpack.ExtType(9, b"")]])
    with pytest.raises(Unsupported, match="kind 9"):
        codec.decode_controls(payload)
    [record] = codec.decode_controls(msgpack.packb([[4, 5, "ticks", {}]]))
    assert record == ControlFrame(4, 5, "ticks", {})
