"""The manual of features, executed: a table of events in, a definition, a table of values out.

Each event is a line `second | account | ip | size | …`; seconds are after an arbitrary start, in the order in which the
writer stamped them. `late` means more than the source's lateness behind, `shoal` caused by our own enforcement. `null`
is the unknown. The docs page (docs/features.md) tells the same in words.
"""

from __future__ import annotations

import pytest

from oracles.features_streams import START, US, define, engine_of, feed, same_id

EVENTS = """
 at | account | ip | size | note
  0 | ann     | A  |   10 |
 10 | ann     | B  |   30 |
 10 | ann     | A  | null |
 70 | ann     | A  |    5 |
 70 | bob     | A  |    7 |
 80 | null    | A  |    9 |
 90 | ann     | C  |    1 | shoal
 95 | ann     | B  |   40 | late 20
100 | ann     | C  |    2 |
"""


def table(text):
    head, *lines = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    rows = []
    for line in lines:
        row = dict(zip(head, line, strict=True))
        late = row["note"].startswith("late")
        as_of = START + int(row["at"]) * US
        rows.append({
            "as_of": as_of,
            "time": START + int(row["note"].split()[1]) * US if late else as_of,
            "late": late,
            "shoal": int(row["note"] == "shoal"),
            "account": None if row["account"] == "null" else row["account"],
            "ip": row["ip"],
            "size_bytes": None if row["size"] == "null" else int(row["size"]),
        })  # fmt: skip
    return rows


N = None
#  at:                                                    0     10    10     70    70   80  90    95     100
#  who:                                                   ann   ann   ann    ann   bob  -   shoal late   ann
SPEC = [
    # A window is (as_of - 60 s, as_of]: at 70 the events of 10 are gone. Late and shoal's own events are not counted,
    # but every event whose key is there reads.
    (define("a.count", "count", window_s=60),            [1,    2,    3,     1,    1,   N,  1,    1,     2]),
    (define("a.count", "count", window_s=60, include_self=False),
                                                         [0,    1,    2,     0,    0,   N,  1,    1,     1]),
    (define("a.count", "count", window_s=60, include_shoal=True),
                                                         [1,    2,    3,     1,    1,   N,  2,    2,     3]),
    # For life, a late event counts.
    (define("a.count", "count"),                         [1,    2,    3,     4,    1,   N,  4,    5,     6]),
    # A null value adds nothing; a condition that is unknown counts as not true.
    (define("a.sum", "sum", value="size_bytes", window_s=60),
                                                         [10,   40,   40,    5,    7,   N,  5,    5,     7]),
    (define("a.count", "count", where="size_bytes > 6", window_s=60),
                                                         [1,    2,    2,     0,    1,   N,  0,    0,     0]),
    (define("a.mean", "mean", value="size_bytes", window_s=60),
                                                         [10.0, 20.0, 20.0,  5.0,  7.0, N,  5.0,  5.0,   3.5]),
    (define("a.min", "min", value="size_bytes", window_s=60),
                                                         [10,   10,   10,    5,    7,   N,  5,    5,     2]),
    (define("a.max", "max", value="size_bytes"),         [10,   30,   30,    30,   7,   N,  30,   40,    40]),
    (define("a.ips", "distinct", value="ip", window_s=60), [1,  2,    2,     1,    1,   N,  1,    1,     2]),
    (define("a.ips", "distinct", value="ip"),            [1,    2,    2,     2,    1,   N,  2,    2,     3]),
    # What was before this event. The late event (of second 20) is newer than nothing that was seen since 70 …
    (define("a.last", "last", value="ip"),               [N,    "A",  "B",   "A",  N,   N,  "A",  "A",   "A"]),
    (define("a.last", "last", value="ip", window_s=30),  [N,    "A",  "B",   N,    N,   N,  "A",  "A",   N]),
    (define("a.gap", "gap"),                             [N,    10.0, 0.0,   60.0, N,   N,  20.0, 25.0,  30.0]),
    # … but it is the newest event with a size over 9, so that gap sees it, at its own time.
    (define("a.gap", "gap", where="size_bytes > 9"),     [N,    10.0, 0.0,   60.0, N,   N,  80.0, 85.0,  80.0]),
    (define("a.age", "age"),                             [N,    10.0, 10.0,  70.0, N,   N,  90.0, 95.0,  100.0]),
    (define("a.seen", "seen", value="ip"),               [False, False, True, True, False, N, False, True, False]),
    (define("a.seen", "seen", value="ip", window_s=60),  [False, False, True, False, False, N, False, False, False]),
    # Share of this event's address in the account's events before it.
    (define("a.share", "share", value="ip"),             [N,    0.0,  0.5,   2/3,  N,   N,  0.0,  0.25,  0.0]),
    (define("a.share", "share", value="ip", window_s=60), [N,   0.0,  0.5,   N,    N,   N,  0.0,  0.0,   0.0]),
    # Halves every 10 seconds.
    (define("a.heat", "decayed", half_life_s=10.0),      [1.0,  1.5,  2.5,   1 + 2.5 / 64, 1.0, N,
                                                          (1 + 2.5 / 64) / 4, (1 + 2.5 / 64) / 2**2.5,
                                                          1 + (1 + 2.5 / 64) / 8]),
    # Whole buckets of a minute; START is 20 s into its minute, so at 40 a new one begins, and at 100 the next: the
    # oldest bucket that the window touches is counted whole.
    (define("a.count", "count", window_s=60, bucket_s=60), [1,  2,    3,     4,    1,   N,  4,    4,     2]),
    # … or by half, rounded up: it stands for events of which half are in the window, on average.
    (define("a.count", "count", window_s=60, bucket_s=60, oldest_bucket="half"),
                                                         [1,    2,    3,     3,    1,   N,  3,    3,     2]),
    # A tuple of columns is a key; a null in it gives null.
    (define("p.count", "count", key="account+ip", window_s=60), [1, 1, 2,    1,    1,   N,  0,    0,     1]),
    (define("i.count", "count", key="ip", window_s=60),  [1,    1,    2,     1,    2,   3,  0,    0,     1]),
]  # fmt: skip


@pytest.mark.parametrize(("definition", "wanted"), SPEC, ids=[f"{k}-{row[0].operation}" for k, row in enumerate(SPEC)])
def test_spec(definition, wanted):
    found = [row[definition.id][0] for row in feed(engine_of([definition]), table(EVENTS))]
    expected = [same_id(value, definition) for value in wanted]
    assert found == [pytest.approx(v, rel=1e-9) if isinstance(v, float) else v for v in expected]


def test_null_key_is_null_and_never_zero():
    found = feed(engine_of([define("a.count", "count", window_s=60)]), table(EVENTS))
    assert found[5]["a.count"] == (None, 0)


#  With an unknown history: a count is a lower bound, flagged until its window is covered; nothing is called new.
PARTIAL = [
    (define("a.count", "count", window_s=60),            [(1, 1), (2, 1), (3, 1), (1, 0)]),
    (define("a.count", "count"),                         [(1, 1), (2, 1), (3, 1), (4, 1)]),
    (define("a.seen", "seen", value="ip"),               [(N, 1), (N, 1), (N, 1), (N, 1)]),
    (define("a.seen", "seen", value="ip", window_s=60),  [(N, 1), (N, 1), (N, 1), (False, 0)]),
    (define("a.share", "share", value="ip"),             [(N, 1), (N, 1), (N, 1), (N, 1)]),
    (define("a.age", "age"),                             [(N, 1), (N, 1), (N, 1), (N, 1)]),
    (define("a.gap", "gap"),                             [(N, 1), (10.0, 0), (0.0, 0), (60.0, 0)]),
    (define("a.sum", "sum", value="size_bytes", window_s=60, largest=20), [(10, 1), (30, 3), (30, 1), (5, 0)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("definition", "wanted"), PARTIAL, ids=[f"{k}-{r[0].operation}" for k, r in enumerate(PARTIAL)]
)
def test_partial(definition, wanted):
    rows = table(EVENTS)[:4]
    assert [row[definition.id] for row in feed(engine_of([definition], history_complete=False), rows)] == wanted


def test_a_key_born_in_our_time_has_a_known_history():
    rows = table(EVENTS)[:2]
    for row in rows:
        row["account_created"] = rows[0]["as_of"]
    found = feed(engine_of([define("a.seen", "seen", value="ip")], history_complete=False), rows)
    assert [row["a.seen"] for row in found] == [(False, 0), (False, 0)]
