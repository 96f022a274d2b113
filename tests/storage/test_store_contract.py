"""The contract of a store, run on SQLite and (marked `extras`) on a real PostgreSQL server."""

import json
import multiprocessing
import os
import signal
import sqlite3
import time
import traceback
from dataclasses import dataclass, replace

import pytest
import sqlalchemy as sa

from shoal.errors import Corrupt, InvalidInput, Permanent, Temporary, Unsupported
from shoal.events.identity import Identity
from shoal.storage.engines import connect, locks
from shoal.storage.migrations import tables
from shoal.storage.store import CommitBatch, DecisionRow, OutboxRow, SourceOffset, Store, StorePosition

ENGINES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.extras)]


@dataclass(frozen=True)
class Dead:
    source: str = "files"
    partition: str = "a"
    offset: int = 0
    reason: str = "json.malformed"
    detail: str = "no end"
    raw: bytes = b"{"


@dataclass(frozen=True)
class Counts:
    events: int = 0
    duplicates: int = 0
    controls: int = 0
    dropped_events: int = 0
    dropped_duplicates: int = 0
    dropped_controls: int = 0
    next_seq: int = 0


@pytest.fixture(params=ENGINES)
def place(request, tmp_path):
    """Where a new store may be: a path or a URL."""
    return tmp_path / "store.sqlite" if request.param == "sqlite" else request.getfixturevalue("postgres_database")


@pytest.fixture
def opener(place, tmp_path):
    opened = []

    def open_store(**settings):
        opened.append(Store.open(place, dead_letters=tmp_path / "dead-letters.ndjson", **settings))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


def raw_engine(place):
    """A connection of somebody else's."""
    return connect.engine_of(connect.place_of(place))


def decision(seq, subject="ann", tier=2, **changes):
    row = DecisionRow(seq, 0, 1000 + seq, f"e{seq}", "account", subject, sum(map(ord, subject)), "account_takeover",
                      tier, '["takeover.x"]', '["a reason"]', '["challenge"]', "file_sharing@1")  # fmt: skip
    return row._replace(**changes)


def action(seq, subject="ann", **changes):
    row = OutboxRow("account", sum(map(ord, subject)), "challenge", seq, 1000 + seq, subject, "account_takeover", 2,
                    5000, "planned", "{}")  # fmt: skip
    return row._replace(**changes)


def batch(low, high, **parts):
    return CommitBatch(low, StorePosition(high, 1, 100 * high, 7), **parts)


def test_all_of_a_batch_is_there_after_a_restart(opener):
    store = opener()
    assert store.position() is None
    rows = [decision(1), decision(1, "bob"), decision(4, tier=4)]
    store.commit(
        batch(
            0,
            6,
            ledger={"files": {"read": 5, "decided": 4, "duplicate": 1}, "": {"control": 1}},
            offsets=[SourceOffset("files", "a", 5), SourceOffset("files", "b", 2)],
            decisions=rows,
            outbox=[action(4), action(1, "bob")],
            dead=[Dead()],
        )
    )
    store.commit(batch(6, 9, ledger={"files": {"read": 3, "decided": 3}}, offsets=[SourceOffset("files", "a", 8)]))
    store.close()
    store = opener()
    assert store.position() == StorePosition(9, 1, 900, 7)
    assert store.read_ledger() == {"": {"control": 1}, "files": {"read": 8, "decided": 7, "duplicate": 1}}
    assert store.read_offsets("files") == [SourceOffset("files", "a", 8), SourceOffset("files", "b", 2)]
    assert store.read_offsets("other") == []
    assert store.read_decisions() == rows
    assert store.read_outbox() == [action(1, "bob"), action(4)]
    assert store.read_dead_counts() == {"files": {"json.malformed": 1}}
    assert store.read_dead_raw(store.read_dead()[0]) == b"{"


def test_decisions_are_found_by_subject_seq_and_tier(opener):
    store = opener()
    store.commit(batch(0, 9, decisions=[decision(s, "ann" if s % 2 else "bob", tier=s % 5) for s in range(9)]))
    ann = decision(0, "ann").subject_id
    assert [r.seq for r in store.read_decisions(subject_type="account", subject_id=ann)] == [1, 3, 5, 7]
    assert [r.seq for r in store.read_decisions(from_seq=3, to_seq=6)] == [3, 4, 5]
    assert [r.seq for r in store.read_decisions(min_tier=4)] == [4]
    assert [r.seq for r in store.read_decisions(limit=2)] == [0, 1]
    assert store.read_decisions(subject_type="link") == []


def test_a_batch_fails_as_a_whole(opener):
    store = opener()
    store.commit(batch(0, 5, decisions=[decision(1)], outbox=[action(1)], ledger={"files": {"read": 5}}))
    with pytest.raises(Permanent, match="already"):
        store.commit(
            batch(
                5,
                9,
                decisions=[decision(6)],
                outbox=[action(6), action(1)],
                ledger={"files": {"read": 4}},
                offsets=[SourceOffset("files", "a", 9)],
                dead=[Dead()],
            )
        )
    assert store.position().next_seq == 5
    assert store.read_ledger() == {"files": {"read": 5}}
    assert [row.seq for row in store.read_decisions()] == [1]
    assert (store.read_outbox(), store.read_offsets(), store.read_dead()) == ([action(1)], [], [])
    store.commit(batch(5, 9, dead=[Dead(offset=8, raw=b"x")]))
    assert [store.read_dead_raw(row) for row in store.read_dead()] == [b"x"]


BAD = [
    (batch(3, 4), "starts with record 3; the store has decided up to 5"),
    (batch(7, 8), "starts with record 7; the store has decided up to 5"),
    (batch(0, 5), "starts with record 0; the store has decided up to 5"),
    (batch(5, 4), "store.backwards"),
    (batch(5, 6, ledger={"files": {"raed": 1}}), "did you mean 'read'"),
    (batch(5, 6, ledger={"files": {"read": -1}}), "store.ledger_count"),
    (batch(5, 6, outbox=[action(5, state="plannned")]), "did you mean 'planned'"),
    (batch(5, 6, decisions=[decision(5)[:4]]), "store.decision_row"),
]


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_bad_batches_are_refused(opener, bad, message):
    store = opener()
    store.commit(batch(0, 5))
    with pytest.raises(InvalidInput, match=message.replace("'", ".")):
        store.commit(bad)
    assert store.position().next_seq == 5


def test_all_problems_of_a_batch_are_told_together(opener):
    with pytest.raises(InvalidInput) as caught:
        opener().commit(batch(5, 4, ledger={"files": {"raed": -1}}, outbox=[action(5, state="x")]))
    assert len(caught.value.problems) == 4


def test_a_store_ahead_of_its_journal_refuses(opener):
    store = opener()
    store.check_against(0)
    store.commit(batch(0, 5))
    store.check_against(5)
    store.check_against(6)
    with pytest.raises(Corrupt, match="decided 5 records, its journal has only 4"):
        store.check_against(4)


def test_the_ledger_reconciles_or_tells_what_differs(opener):
    store = opener()
    ledger = {
        "files": {"read": 9, "decided": 5, "duplicate": 2, "dead_lettered": 1, "conflict": 1, "facts": 1, "late": 2},
        "": {"control": 3},
    }
    store.commit(batch(0, 10, ledger=ledger, dead=[Dead(reason="conflict")]))
    right = Counts(events=4, duplicates=2, controls=1, dropped_events=1, dropped_controls=2, next_seq=10)
    assert store.reconcile(right) == []
    for change, slugs in (
        ({"events": 3}, ["ledger.decided", "ledger.seqs"]),
        ({"duplicates": 3}, ["ledger.duplicate", "ledger.seqs"]),
        ({"dropped_controls": 0}, ["ledger.control", "ledger.seqs"]),
        ({"next_seq": 11}, ["ledger.behind"]),
        ({"next_seq": 9}, ["ledger.ahead"]),
    ):
        assert [problem.slug for problem in store.reconcile(replace(right, **change))] == slugs
    store.commit(batch(10, 10, ledger={"files": {"read": 1, "late": 9, "dead_lettered": 1}, "x": {"conflict": 1}}))
    assert {p.slug for p in store.reconcile(right)} == {"ledger.dead", "ledger.part"}


def test_dead_letters_are_bounded_but_all_counted(opener):
    store = opener(max_dead_rows=3, max_dead_bytes=1000)
    letters = [Dead(offset=i, raw=bytes([200 + i])) for i in range(5)]
    store.commit(batch(0, 0, dead=letters[:2]))
    store.commit(batch(0, 0, dead=letters[2:]))
    assert [row.offset for row in store.read_dead()] == [0, 1, 2]
    assert [store.read_dead_raw(row) for row in store.read_dead()] == [letter.raw for letter in letters[:3]]
    assert store.read_dead_counts() == {"files": {"json.malformed": 5}}


def test_the_raw_file_is_ndjson_and_what_a_crash_left_is_overwritten(opener, tmp_path):
    store = opener()
    store.commit(batch(0, 0, dead=[Dead(raw="é\n".encode())]))
    path = tmp_path / "dead-letters.ndjson"
    with path.open("ab") as file:
        file.write(b'{"half' * 99)
    store.commit(batch(0, 0, dead=[Dead(offset=1, raw=b"\xff")]))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["offset"], line.get("raw"), line.get("raw_base64")) for line in lines] == [
        (0, "é\n", None),
        (1, None, "/w=="),
    ]
    path.write_bytes(b"nothing")
    with pytest.raises(Corrupt, match="no dead letter stands here"):
        store.read_dead_raw(store.read_dead()[1])


def test_erasure_takes_a_person_out(opener):
    identity = Identity(b"sixteen byte key")
    store = opener()
    store.commit(
        batch(
            0,
            5,
            decisions=[
                decision(1, reasons='["seen with ann"]'),
                decision(2, "bob", reasons='["ann came"]'),
                decision(3, "bob"),
            ],
            outbox=[action(1, body='{"to": "ann"}'), action(3, "bob")],
            dead=[Dead(raw=b'{"account": "ann"'), Dead(raw=b"{", offset=1, detail="ann")],
        )
    )
    assert store.erase(["ann"], identity) == 4
    rows = store.read_decisions()
    assert [row.subject for row in rows] == [identity.erased("ann"), "bob", "bob"]
    assert [row.reasons for row in rows] == ["null", "null", '["a reason"]']
    assert rows[0].subject_id == decision(1).subject_id
    assert [(row.subject, row.body) for row in store.read_outbox()] == [(identity.erased("ann"), "null"), ("bob", "{}")]
    assert [store.read_dead_raw(row) for row in store.read_dead()] == [None, b"{"]
    assert [row.detail for row in store.read_dead()] == ["no end", ""]


def test_outbox_states_change_by_key(opener):
    store = opener()
    store.commit(batch(0, 5, outbox=[action(1), action(2)]))
    key = ("account", action(1).subject_id, "challenge", 1)
    assert store.set_outbox_state([key, ("account", 0, "challenge", 1)], "done") == 1
    assert [row.seq for row in store.read_outbox(state="planned")] == [2]
    assert [row.seq for row in store.read_outbox(subject_type="account", subject_id=action(1).subject_id)] == [1, 2]
    with pytest.raises(InvalidInput, match=r"store\.outbox_state"):
        store.set_outbox_state([key], "gone")


def test_readers_stand_beside_the_writer(opener):
    store = opener()
    store.commit(batch(0, 5))
    reader = opener(read_only=True)
    assert reader.position().next_seq == 5
    store.commit(batch(5, 6))
    assert reader.position().next_seq == 6
    with pytest.raises(Permanent, match="read-only"):
        reader.commit(batch(6, 7))


def test_a_file_that_is_no_store_is_refused(tmp_path):
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"this is no database at all" * 40)
    with pytest.raises(Corrupt, match="not a database"):
        Store.open(path)
    with pytest.raises(InvalidInput, match="there is no store"):
        Store.open(tmp_path / "none", read_only=True)


BAD_PLACES = [
    ("sqlite//://", InvalidInput, r"store\.url"),
    ("postgresql://u:secret@host:port/x", InvalidInput, r"store\.url.*|.*\[store\.url\]"),
    ("postgresq://u:secret@host/x", Unsupported, "did you mean .postgresql."),
    ("mysql+pymysql://u:secret@host/x", Unsupported, r"a store on .*allowed: sqlite://, postgresql://"),
    ("postgresql+asyncpg://u:secret@host/x", Unsupported, r"store\.engine"),
    ("secret://", Unsupported, r"store\.engine"),
]


@pytest.mark.parametrize(("where", "error", "message"), BAD_PLACES)
def test_bad_places_are_refused_without_telling_the_password(tmp_path, where, error, message):
    with pytest.raises(error, match=message) as caught:
        Store.open(where, dead_letters=tmp_path / "d")
    assert "u:secret" not in "".join(traceback.format_exception(caught.value))


def test_a_store_by_url_needs_a_place_for_dead_letters():
    with pytest.raises(InvalidInput, match=r"store\.dead_letters"):
        Store.open("sqlite://")


def test_a_later_schema_is_refused_and_an_old_one_only_read_only(opener, place):
    opener().close()
    engine = raw_engine(place)
    with engine.begin() as raw:
        raw.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Unsupported, match="schema 9999; this release knows up to"):
        opener()
    with engine.begin() as raw:
        raw.exec_driver_sql("DROP TABLE alembic_version")
    with pytest.raises(Unsupported, match="open it once for writing"):
        opener(read_only=True)
    engine.dispose()


def test_a_second_writer_is_refused_until_the_first_is_gone(opener, monkeypatch):
    monkeypatch.setattr(locks.Writer.__init__, "__kwdefaults__", {"wait_s": 0.2})
    first = opener()
    with pytest.raises(Temporary, match="another process writes"):
        opener()
    first.commit(batch(0, 5))
    reader = opener(read_only=True)
    first.close()
    second = opener()
    second.commit(batch(5, 6))
    assert reader.position().next_seq == 6
    for change in (lambda: reader.set_outbox_state([], "done"), lambda: reader.erase(["ann"], Identity(b"k" * 16))):
        with pytest.raises(Permanent, match="read-only"):
            change()


AWKWARD = ["a\x00b", "\x00", "\x10", "\x10@", "\x10P\x00@", "é\u0301", "🐟", "%_\\'\"", "\ufeff\x7f", "", "x" * 70_000]


def test_any_text_comes_back_as_it_was(opener):
    store = opener()
    rows = [
        decision(k, text, event_id=text, reasons=json.dumps([text]), subject_id=k) for k, text in enumerate(AWKWARD)
    ]
    acts = [action(k, text, subject_id=k, body=json.dumps({"to": text})) for k, text in enumerate(AWKWARD)]
    names = [text[:50] for text in AWKWARD]
    store.commit(
        batch(
            0,
            len(rows),
            decisions=rows,
            outbox=acts,
            ledger={name: {"read": k + 1} for k, name in enumerate(names)},
            offsets=[SourceOffset(name, name, k) for k, name in enumerate(names)],
            dead=[Dead(offset=k, detail=text, partition=text) for k, text in enumerate(AWKWARD)],
        )
    )
    assert store.read_decisions() == rows
    assert store.read_outbox() == acts
    assert store.read_ledger() == {name: {"read": k + 1} for k, name in enumerate(names)}
    assert [(row.detail, row.partition) for row in store.read_dead()] == [(text, text) for text in AWKWARD]
    for k, name in enumerate(names):
        assert store.read_offsets(name) == [SourceOffset(name, name, k)]
    for k, text in enumerate(AWKWARD):
        if text:
            assert store.erase([text], Identity(b"sixteen byte key")) >= 1
            assert store.read_decisions(from_seq=k, to_seq=k + 1)[0].subject != text
            assert store.read_decisions(from_seq=k, to_seq=k + 1)[0].reasons == "null"


def test_half_a_surrogate_pair_is_refused_and_changes_nothing(opener):
    store = opener()
    with pytest.raises(InvalidInput, match=r"store\.text"):
        store.commit(batch(0, 1, decisions=[decision(0, "\ud800")]))
    assert store.position() is None


def test_the_largest_numbers_are_kept(opener):
    store = opener()
    big, small = 2**63 - 1, -(2**63)
    rows = [decision(big - 2, subject_id=small, as_of=small), decision(big - 1, subject_id=big, as_of=big)]
    store.commit(batch(0, 5, ledger={"f": {"read": big - 1}}, offsets=[SourceOffset("f", "a", big)]))
    store.commit(CommitBatch(5, StorePosition(big, big, big, 2**32 - 1), decisions=rows, ledger={"f": {"read": 1}}))
    assert store.read_decisions() == rows
    assert store.read_decisions(subject_type="account", subject_id=small) == rows[:1]
    assert store.read_ledger() == {"f": {"read": big}}
    assert store.position() == StorePosition(big, big, big, 2**32 - 1)


def test_texts_are_in_the_order_of_their_code_points_and_decisions_in_that_of_the_commit(opener):
    names = ["a", "B", "_c", "ä", "A", "b.c", "bc", "Z", "-"]
    store = opener()
    subjects = ["zoe", "ann", "Bob", "ann", "carl"]
    store.commit(
        batch(
            0,
            1,
            offsets=[SourceOffset("s", name, 1) for name in names],
            outbox=[action(0, action=name) for name in names],
            decisions=[decision(0, name, tier=4 - k % 2) for k, name in enumerate(subjects)],
        )
    )
    assert [row.partition for row in store.read_offsets()] == sorted(names)
    assert [row.action for row in store.read_outbox()] == sorted(names)
    store.erase(["Bob"], Identity(b"sixteen byte key"))
    wanted = [name if name != "Bob" else Identity(b"sixteen byte key").erased("Bob") for name in subjects]
    assert [row.subject for row in store.read_decisions()] == wanted


def test_erasure_tells_case_apart_and_finds_escaped_forms(opener):
    store = opener()
    reasons = ['["ANN came"]', json.dumps(['o"ann said']), json.dumps(["von Köln"]), '["100% ann"]']
    store.commit(batch(0, 9, decisions=[decision(k, "bob", reasons=text) for k, text in enumerate(reasons)]))
    for text, left in (("ann", [0, 2]), ('o"ann', [0, 2]), ("Köln", [0]), ("%", [0]), ("_", [0])):
        store.erase([text], Identity(b"sixteen byte key"))
        assert [row.seq for row in store.read_decisions() if row.reasons != "null"] == left


def test_a_busy_database_is_temporary(tmp_path, monkeypatch):
    path = tmp_path / "store.sqlite"
    real = sa.create_engine
    monkeypatch.setattr(sa, "create_engine", lambda url, connect_args: real(url, connect_args={"timeout": 0.05}))
    with Store.open(path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Temporary, match="locked"):
            store.commit(batch(0, 1))
        other.execute("ROLLBACK")
        other.close()
        store.commit(batch(0, 1))


def test_the_migrations_build_the_tables_that_the_code_knows(opener, place):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    def named(thing, name, kind, reflected, compared):
        return not (kind == "column" and name == tables.ROW_NUMBER.name and reflected)

    def otherwise(context, inspected, known, inspected_type, known_type):
        def name(kind):  # PostgreSQL's VARCHAR without a length is its TEXT
            return kind.compile(engine.dialect).replace("TEXT", "VARCHAR")

        return name(inspected_type) != name(known_type)

    opener().close()
    engine = raw_engine(place)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": named, "compare_type": otherwise})
        assert context.get_current_revision() == tables.HEAD
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def _commit_for_ever(place, dead, ready):
    store = Store.open(place, dead_letters=dead)
    at = store.position().next_seq if store.position() else 0
    while True:
        rows = [decision(at + i) for i in range(20)]
        acts = [action(at, f"s{at}")]
        store.commit(batch(at, at + 20, decisions=rows, outbox=acts, ledger={"f": {"read": 20, "decided": 20}},
                           dead=[Dead(offset=at)]))  # fmt: skip
        at += 20
        ready.value = at


def test_a_kill_leaves_whole_batches(opener, place, tmp_path):
    context = multiprocessing.get_context("spawn")
    for delay in (0.01, 0.1):
        ready = context.Value("q", 0)
        child = context.Process(target=_commit_for_ever, args=(place, tmp_path / "dead-letters.ndjson", ready))
        child.start()
        while not ready.value and child.is_alive():
            time.sleep(0.01)
        time.sleep(delay)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        child.close()
        with opener(max_dead_rows=10**6) as store:
            at = store.position().next_seq
            assert at >= ready.value > 0
            assert len(store.read_decisions()) == at
            assert len(store.read_outbox()) == at // 20
            assert store.read_ledger() == {"f": {"read": at, "decided": at}}
            assert [store.read_dead_raw(row) for row in store.read_dead()] == [b"{"] * (at // 20)
