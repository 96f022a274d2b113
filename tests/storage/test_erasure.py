"""Erasure: texts go, ids, seqs and windows stay; a crash leaves each segment whole."""

import json

import numpy as np
import pyarrow as pa
import pytest
from journal_parts import IDENTITY, content, events, open_journal, write_mixed

from shoal.events.schema import ENTITY_COLUMNS, Flag
from shoal.storage import sealing
from shoal.storage.frames import EventFrame

PERSON = 'ann"é@example.org'
OTHERS = ["bob", None, "carl"]


def _people():
    attributes = [
        json.dumps({"note": f"by {PERSON} herself"}),
        json.dumps({"to": PERSON}, ensure_ascii=False),
        json.dumps({"to": f"not {PERSON}'s"}),
        json.dumps({"to": f"x{PERSON}"}),
    ]
    return events(
        range(4),
        account=pa.array([PERSON, *OTHERS]),
        actor=pa.array([PERSON, None, "bob", None]),
        recipient=pa.array(["bob", PERSON, None, None]),
        attributes=pa.array(attributes),
        flags=np.array([1, 0, 0, 0]),
    )


def test_texts_go_and_ids_stay(tmp_path):
    with open_journal(tmp_path) as journal:
        journal.append_events(_people(), np.arange(4))
        journal.append_control(4, 1004, "facts", {"who": [PERSON, "bob"], "t": pa.table({"subject": [PERSON, "x"]})})
        journal.append_control(5, 1005, "ticks", {"n": 1})
        journal.sync()
        before = {name: IDENTITY.ids_of(_people()[name].combine_chunks()).tolist() for name in ("account", "recipient")}
        done = journal.erase([PERSON])
        assert (done.segments, done.events, done.controls) == (1, 3, 1)
        frame, *controls = sorted(journal.read(), key=lambda f: not isinstance(f, EventFrame))
        mark = IDENTITY.erased(PERSON)
        assert frame.table["account"].to_pylist() == [mark, *OTHERS]
        assert frame.table["recipient"].to_pylist() == ["bob", mark, None, None]
        assert {n: IDENTITY.ids_of(frame.table[n].combine_chunks()).tolist() for n in before} == before
        assert frame.table["attributes"].to_pylist()[:3] == [None, None, None]
        assert frame.table["attributes"].to_pylist()[3:] == _people()["attributes"].to_pylist()[3:]
        assert frame.table["flags"].to_pylist() == [Flag.LATE | Flag.ERASED, Flag.ERASED, Flag.ERASED, 0]
        for name in ("seq", "as_of", "time", "event_id", "type"):
            assert frame.table[name].equals(_people()[name])
        assert frame.bodies.tolist() == [0, 1, 2, 3]
        assert controls[0].body["who"] == [mark, "bob"]
        assert controls[0].body["t"]["subject"].to_pylist() == [mark, "x"]
        assert journal.verify().ok
        assert journal.stats().erasures == 1
    with open_journal(tmp_path) as journal:
        assert journal.erase([PERSON]).segments == 0  # nothing is left of it


@pytest.mark.parametrize("column", ENTITY_COLUMNS)
def test_every_entity_column_is_erased(tmp_path, column):
    with open_journal(tmp_path) as journal:
        journal.append_events(events(range(2), **{column: pa.array(["gone", "here"])}))
        journal.erase(["gone"])
        [frame] = journal.read()
    assert frame.table[column].to_pylist() == [IDENTITY.erased("gone"), "here"]


def test_nothing_is_left_in_the_files(tmp_path):
    with open_journal(tmp_path, compression="none") as journal:
        journal.append_events(_people().slice(0, 3))
        journal.append_control(3, 1004, "facts", {"who": [PERSON], PERSON: pa.table({"subject": [PERSON]})})
        journal.erase([PERSON])
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("*"))
    for form in (PERSON, json.dumps(PERSON)[1:-1], json.dumps(PERSON, ensure_ascii=False)[1:-1]):
        assert form.encode() not in stored


def test_several_texts_go_at_once(tmp_path):
    with open_journal(tmp_path) as journal:
        journal.append_events(events(range(3), account=pa.array(["b", "a", "c"])))
        journal.erase({"a", "b"})
        [frame] = journal.read()
    assert frame.table["account"].to_pylist() == [IDENTITY.erased("b"), IDENTITY.erased("a"), "c"]


def test_segments_without_the_text_stay_untouched(tmp_path):
    with open_journal(tmp_path) as journal:
        write_mixed(journal, 3)
        journal.seal()
        path = journal.segments[0].path
        before = path.stat().st_ino
        first = journal.next_seq
        journal.append_events(events(range(first, first + 2), account=pa.array(["gone", "here"])))
        assert journal.erase(["gone"]).segments == 1
        assert path.stat().st_ino == before
        assert journal.next_seq == first + 2


def test_a_crash_within_an_erasure_leaves_the_old_or_the_new_segment(tmp_path, monkeypatch):
    class Crash(BaseException):
        pass

    def crash(*_args):
        raise Crash

    journal = open_journal(tmp_path)
    for start in (0, 2):
        journal.append_events(events(range(start, start + 2), account=pa.array(["gone", "here"])))
        journal.sync()
        journal.seal()
    real = sealing._Rewrite.finish
    calls = []

    def second_time(self, *args):
        calls.append(1)
        return crash() if len(calls) == 2 else real(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(sealing._Rewrite, "finish", second_time)
        with pytest.raises(Crash):
            journal.erase(["gone"])
    journal.close(discard=True)
    with open_journal(tmp_path) as journal:
        accounts = [row[2]["account"] for row in content(journal.read())]
        assert accounts == [IDENTITY.erased("gone"), "here", "gone", "here"]
        assert journal.erase(["gone"]).segments == 1
        assert "gone" not in str(content(journal.read()))
        assert journal.verify().ok
