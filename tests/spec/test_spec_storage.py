"""Spec: what counts as a duplicate, record by record; docs/journal.md says the same in words."""

import numpy as np
import pyarrow as pa
import pytest

from shoal.events.identity import Identity
from shoal.storage.dedupe import CONFLICT, DUPLICATE, HOUR_US, NEW, DedupeIndex
from shoal.storage.journal import Journal

IDENTITY = Identity(b"sixteen byte key")
MINUTE, HOUR, DAY = HOUR_US // 60, HOUR_US, 24 * HOUR_US

# what, (event_id, body, time), verdict, seq, original
STORY = [
    ("the first of its id", ("a", 1, 0), NEW, 0, -1),
    ("the same again", ("a", 1, 0), DUPLICATE, 1, 0),
    ("the same id with another body", ("a", 2, 0), CONFLICT, 2, 0),
    ("another id", ("b", 1, 5 * MINUTE), NEW, 3, -1),
    ("the same id and body, another time, within the hour", ("a", 1, 9 * MINUTE), DUPLICATE, 4, 0),
    ("another body and time, within the hour", ("a", 3, 9 * MINUTE), CONFLICT, 5, 0),
    ("a late delivery within the hour", ("b", 1, 5 * MINUTE), DUPLICATE, 6, 3),
    ("no id", (None, 7, 20 * MINUTE), NEW, 7, -1),
    ("no id, the same body", (None, 7, 20 * MINUTE), NEW, 8, -1),
    ("two days go by", ("c", 1, 2 * DAY), NEW, 9, -1),
    ("delivered again after two days", ("a", 1, 0), DUPLICATE, 10, 0),
    ("altered and delivered again after two days", ("a", 4, 0), CONFLICT, 11, 0),
    ("the same id at another time, beyond the hour", ("a", 1, 2 * DAY), NEW, 12, -1),
    ("of two accepted ones the same body wins", ("a", 1, 2 * DAY), DUPLICATE, 13, 12),
    ("72 hours of journal time after the first", ("d", 1, 3 * DAY), NEW, 14, -1),
    ("still within the horizon", ("a", 1, 0), DUPLICATE, 15, 0),
    ("a moment later", ("e", 1, 3 * DAY + 1), NEW, 16, -1),
    ("beyond the horizon", ("a", 1, 0), NEW, 17, -1),
]


@pytest.mark.parametrize("cut", [1, 4, len(STORY)])
def test_what_is_a_duplicate(tmp_path, cut):
    with Journal.open(tmp_path, identity=IDENTITY) as journal:
        index = DedupeIndex.open(journal)
        got = []
        for start in range(0, len(STORY), cut):
            part = STORY[start : start + cut]
            ids, bodies, times = zip(*(record for _, record, *_ in part), strict=True)
            texts = pa.array(ids, pa.string())
            found = index.check(texts, np.array(bodies), np.array(times), journal.next_seq)
            new, twin = found.verdict == NEW, found.verdict == DUPLICATE
            table = {
                "seq": found.seq[new],
                "as_of": found.as_of[new],
                "time": np.array(times)[new],
                "event_id": texts.filter(pa.array(new)),
            }
            journal.append_events(pa.table(table), np.array(bodies)[new])
            journal.append_duplicates(found.seq[twin], found.original[twin])
            for row in np.flatnonzero(found.verdict == CONFLICT).tolist():
                now = max([journal.last_as_of or 0, *found.as_of[:row][new[:row]].tolist()])
                journal.append_control(int(found.seq[row]), now, "conflict", {})
            journal.sync()
            got += zip(found.verdict.tolist(), found.seq.tolist(), found.original.tolist(), strict=True)
        assert [(what, *judged) for (what, *_), judged in zip(STORY, got, strict=True)] == [
            (what, *expected) for what, _, *expected in STORY
        ]
        stats = journal.stats()
        assert (stats.events, stats.duplicates, stats.controls, stats.next_seq) == (9, 6, 3, 18)
        assert journal.verify().ok


def test_duplicates_and_conflicts_do_not_move_the_journal_time(tmp_path):
    with Journal.open(tmp_path, identity=IDENTITY) as journal:
        index = DedupeIndex.open(journal)
        ids = pa.array(["a", "a", "a", "b"])
        found = index.check(ids, np.array([1, 1, 2, 1]), np.array([0, 50, 60, 10]), 0)
        assert found.verdict.tolist() == [NEW, DUPLICATE, CONFLICT, NEW]
        assert found.as_of.tolist()[3] == 10
