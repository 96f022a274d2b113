"""Laws of the journal, on generated records: what is read is what was written, however it was grouped, synced, sealed,
reopened; and a syncing thread beside an appending one changes nothing."""

import threading

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journal_parts import content, events, open_journal

from shoal.storage.dedupe import DUPLICATE, NEW, DedupeIndex

values = st.fixed_dictionaries(
    {},
    optional={
        "account": st.text(max_size=5),
        "size_bytes": st.integers(-(2**63), 2**63 - 1),
        "lat": st.floats(allow_nan=False),
        "external": st.booleans(),
        "received": st.integers(0, 2**50),
    },
)
bodies = st.dictionaries(st.text(max_size=3), st.one_of(st.none(), st.integers(-9, 9), st.text(max_size=3)), max_size=2)
record = st.one_of(
    st.tuples(st.just("event"), values),
    st.tuples(st.just("event"), values),
    st.tuples(st.just("duplicate"), st.integers(0, 10**6)),
    st.tuples(st.sampled_from(["facts", "packs"]), bodies),
)
TYPES = {"account": pa.string(), "size_bytes": pa.int64(), "lat": pa.float64(), "external": pa.bool_(),
         "received": pa.int64()}  # fmt: skip


def _append(journal, group, written):
    first = journal.next_seq
    table, seqs, pairs = [], [], []
    for i, (kind, value) in enumerate(group):
        seq = first + i
        if kind == "event":
            row = {"seq": seq, "as_of": 2 * seq, **value}
            table.append(row)
            seqs.append(seq)
            written.append((seq, "event", row, seq * 3))
        elif kind == "duplicate":
            if seq == 0:
                return _append(journal, [("facts", {})], written)
            pairs.append((seq, value % seq))
            written.append((seq, "duplicate", value % seq))
        else:
            journal.append_control(seq, 2 * seq, kind, value)
            written.append((seq, kind, 2 * seq, value))
    if table:
        names = {name for row in table for name in row}
        columns = {name: pa.array([row.get(name) for row in table], TYPES.get(name, pa.int64())) for name in names}
        journal.append_events(pa.table(columns), np.array(seqs, dtype=np.int64) * 3)
    if pairs:
        journal.append_duplicates(*(np.array(side, dtype=np.int64) for side in zip(*pairs, strict=True)))
    return None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    groups=st.lists(
        st.tuples(st.lists(record, min_size=1, max_size=8), st.sampled_from(["", "end", "sync", "seal", "reopen"])),
        max_size=10,
    ),
    low=st.integers(0, 40),
)
def test_what_is_read_is_what_was_written(tmp_path_factory, groups, low):
    folder = tmp_path_factory.mktemp("laws")
    written = []
    journal = open_journal(folder)
    try:
        for group, then in groups:
            _append(journal, group, written)
            journal.end_group()
            if then in ("sync", "seal", "reopen"):
                assert journal.sync().next_seq == len(written)
            if then == "seal":
                journal.seal()
            if then == "reopen":
                journal.close()
                journal = open_journal(folder)
        journal.sync()
        assert journal.cuts == ()
        assert content(journal.read()) == written
        low = min(low, len(written))
        assert content(journal.read(low)) == written[low:]
        groups = list(journal.read_groups(low))
        parts = [part for g in groups for part in (g.events, g.duplicates, *g.controls) if part is not None]
        assert content(parts) == written[low:]
        assert [g.first_seq for g in groups[1:]] == [g.last_seq + 1 for g in groups[:-1]]
        assert all(
            len(g.controls) == 1 and g.events is None for g in groups if any(c.kind == "packs" for c in g.controls)
        )
        wanted = [seq for seq, kind, *_ in written if kind == "event"][::-1]
        if wanted:
            assert journal.rows(np.array(wanted), ["as_of"])["as_of"].to_pylist() == [2 * seq for seq in wanted]
        report = journal.verify()
        assert report.ok
        assert report.events + report.duplicates + report.controls == len(written)
    finally:
        journal.close(discard=True)


def test_a_syncing_thread_beside_the_appending_one_changes_nothing(tmp_path):
    rng = np.random.default_rng(7)
    with open_journal(tmp_path) as journal:
        index = DedupeIndex.open(journal, horizon_us=10**9, hot_us=400)
        stop, failures = threading.Event(), []

        def sync_for_ever():
            try:
                while not stop.is_set():
                    journal.sync(open_group=False)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=sync_for_ever)
        thread.start()
        known, expected = {}, []
        try:
            for at in range(0, 12_000, 200):
                names = [f"{at + i}" if rng.random() < 0.7 or not at else f"{rng.integers(at)}" for i in range(200)]
                times = np.array([int(name) for name in names])
                found = index.check(pa.array(names), np.zeros(200, np.int64), times, journal.next_seq)
                for name, verdict, seq, original in zip(
                    names, found.verdict.tolist(), found.seq.tolist(), found.original.tolist(), strict=True
                ):
                    expected.append((DUPLICATE, known[name]) if name in known else (NEW, -1))
                    assert (verdict, original) == expected[-1]
                    known.setdefault(name, seq)
                new, twin = found.verdict == NEW, found.verdict == DUPLICATE
                noise = pa.array([rng.bytes(40).hex() for _ in range(int(new.sum()))], pa.string())
                table = events(found.seq[new], as_of=found.as_of[new], time=times[new], session=noise)
                table = table.set_column(2, "event_id", pa.array(names).filter(pa.array(new)))
                journal.append_events(table)
                journal.append_duplicates(found.seq[twin], found.original[twin])
                journal.end_group()
        finally:
            stop.set()
            thread.join()
        assert failures == []
        journal.sync()
        assert len(journal.segments) > 5
        assert index.stats().cold_searches > 0
        assert [row[0] for row in content(journal.read())] == list(range(12_000))
        assert journal.verify().ok
