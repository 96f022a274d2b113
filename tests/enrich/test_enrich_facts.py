"""The fact table equals its slow twin, however the journal is cut, and tells what it did not take."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.facts_oracle import SlowFacts
from shoal.enrich.facts import SNAPSHOT_MAGIC, FactTable
from shoal.errors import Corrupt, InvalidInput, Unsupported
from shoal.events.identity import Identity
from shoal.events.schema import BY_NAME, check_table

IDENTITY = Identity(b"0123456789abcdef")
Row = dict[str, Any]
COLUMNS = (
    "type",
    "time",
    "actor",
    "account",
    "owner",
    "org",
    "recipient",
    "recipient_org",
    "link",
    "file",
    "file_sha256",
)
ADDED = (
    "account_created",
    "account_tier",
    "account_verified",
    "owner_created",
    "owner_tier",
    "recipient_created",
    "link_created",
)
FACT_TEXTS = ("subject_type", "subject", "name", "value")

PEOPLE = st.sampled_from([None, "ann", "bob", "x"])
SHA = st.sampled_from([None, "a" * 64, "b" * 64])
TYPES = st.sampled_from(
    [
        None,
        "account.created",
        "account.deleted",
        "link.created",
        "link.visited",
        "file.uploaded",
        "file.modified",
        "login.failed",
    ]
)
EVENT = st.fixed_dictionaries(
    {
        "type": TYPES,
        "time": st.one_of(st.none(), st.integers(-5, 2**50)),
        "actor": PEOPLE,
        "account": PEOPLE,
        "owner": PEOPLE,
        "org": st.sampled_from([None, "acme", "x"]),
        "recipient": PEOPLE,
        "recipient_org": st.sampled_from([None, "acme"]),
        "link": st.sampled_from([None, "x", "y"]),
        "file": st.sampled_from([None, "x", "f"]),
        "file_sha256": SHA,
        "account_tier": st.sampled_from([None, None, "pro"]),
    }
)
FACT = st.one_of(
    st.fixed_dictionaries(
        {
            "subject_type": st.sampled_from(["account", "link", "file"]),
            "subject": st.sampled_from(["ann", "bob", "x", "y", "f"]),
            "name": st.sampled_from(["created", "tier", "org", "verified", "owner", "sha256"]),
            "value": st.sampled_from([None, "5", "-7", "true", "false", "pro", "ann", "bob", "A" * 64, "acme"]),
            "row": st.integers(0, 12),
        }
    ),
    st.fixed_dictionaries(
        {
            "subject_type": st.sampled_from([None, "account", "org", ""]),
            "subject": st.sampled_from([None, "", "ann"]),
            "name": st.sampled_from([None, "created", "password", "verified"]),
            "value": st.sampled_from(["", "1.5", "05", "True", "9" * 19, "1", "٣"]),
            "row": st.integers(0, 12),
        }
    ),
)


def events_of(rows: list[Row], columns: tuple[str, ...] = (*COLUMNS, "account_tier")) -> pa.Table:
    return pa.table({name: pa.array([row.get(name) for row in rows], BY_NAME[name].kind.arrow) for name in columns})


def facts_of(rows: list[Row]) -> pa.Table:
    arrays = {name: pa.array([row[name] for row in rows], pa.string()) for name in FACT_TEXTS}
    arrays["time"] = pa.array([0] * len(rows), pa.int64())
    return pa.table({**arrays, "row": pa.array([row["row"] for row in rows], pa.int64())})


def rows_of(table: pa.Table) -> list[Row]:
    check_table(table)
    table.validate(full=True)
    return [{name: row.get(name) for name in (*COLUMNS, *ADDED)} for row in table.to_pylist()]


def state_of(table: FactTable) -> dict[str, Row]:
    names = [("account", s) for s in ("ann", "bob", "x")] + [(k, s) for k in ("link", "file") for s in ("x", "y", "f")]
    return {f"{kind} {subject}": table.get(kind, subject) for kind, subject in names}


@settings(max_examples=100, deadline=None)
@given(st.lists(EVENT, max_size=12), st.lists(FACT, max_size=10), st.lists(st.integers(0, 12), max_size=4))
def test_any_cut_equals_the_slow_twin(events: list[Row], facts: list[Row], cuts: list[int]) -> None:
    facts = [{**fact, "row": min(fact["row"], len(events))} for fact in facts]
    slow = SlowFacts()
    want, rejected = slow.join(events, facts)
    whole, pieces = FactTable(IDENTITY), FactTable(IDENTITY)
    assert rows_of(whole.join(events_of(events), facts_of(facts))) == [
        {n: row.get(n) for n in (*COLUMNS, *ADDED)} for row in want
    ]
    assert sorted(fact.index for fact in whole.rejected) == rejected
    found: list[Row] = []
    edges = sorted({0, len(events), *(min(cut, len(events)) for cut in cuts)})
    for start, stop in zip(edges, [*edges[1:], None], strict=True):
        # facts that stand at a cut go to the piece behind it; at the end, to an empty one
        some = [
            {**f, "row": f["row"] - start} for f in facts if f["row"] >= start and (stop is None or f["row"] < stop)
        ]
        found += rows_of(pieces.join(events_of(events[start:stop]), facts_of(some)))
        again = FactTable(IDENTITY)
        again.restore(pieces.snapshot())
        pieces = again
    assert found == [{n: row.get(n) for n in (*COLUMNS, *ADDED)} for row in want]
    assert (
        state_of(whole)
        == state_of(pieces)
        == {
            f"{k} {s}": slow.get(k, s)
            for k, s in [("account", s) for s in ("ann", "bob", "x")]
            + [(k, s) for k in ("link", "file") for s in ("x", "y", "f")]
        }
    )
    assert whole.snapshot() == pieces.snapshot()


def test_facts_out_of_row_order_are_put_in_order() -> None:
    table = FactTable(IDENTITY)
    facts = [
        {"subject_type": "account", "subject": "ann", "name": "tier", "value": value, "row": row}
        for value, row in (("late", 2), ("first", 0), ("second", 0))
    ]
    joined = table.join(events_of([{"account": "ann"}] * 2), facts_of(facts))
    assert joined.column("account_tier").to_pylist() == ["second", "second"]
    assert table.get("account", "ann") == {"tier": "late"}


def test_many_subjects_grow_the_table() -> None:
    table = FactTable(IDENTITY)
    for start in range(0, 3000, 700):
        rows = [{"type": "file.uploaded", "file": f"f{i}", "actor": f"a{i % 50}"} for i in range(start, start + 700)]
        table.join(events_of(rows))
    assert len(table) == 3500
    assert table.get("file", "f2999") == {"owner": "a49"}
    joined = table.join(events_of([{"file": f"f{i}"} for i in range(0, 3500, 7)]))
    assert joined.column("owner").to_pylist() == [f"a{i % 50}" for i in range(0, 3500, 7)]


def test_columns_that_nothing_is_known_of_are_not_added() -> None:
    events = events_of([{"type": "login.failed", "account": "ann"}], ("type", "account"))
    table = FactTable(IDENTITY)
    assert table.join(events).column_names == ["type", "account"]
    assert table.join(events.slice(0, 0)).num_rows == 0
    assert table.join(pa.table({"time": pa.array([1, 2], pa.int64())})).column_names == ["time"]


FINE = {"subject_type": "account", "subject": "Zoë", "name": "tier", "value": "pro", "row": 0}


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({"subject_type": "org"}, "fact.subject_type", "account, link, file"),
        ({"subject_type": None}, "fact.subject_type", "None"),
        ({"name": "sha256"}, "fact.name", "created, tier, org, verified"),
        ({"name": None}, "fact.name", "allowed"),
        ({"subject_type": "link", "name": "tier"}, "fact.name", "created, owner"),
        ({"subject": ""}, "fact.subject", "empty"),
        ({"subject": None}, "fact.subject", "null"),
        ({"subject": "x" * 1025}, "fact.subject", "1024"),
        ({"row": -1}, "fact.row", "0 to 1"),
        ({"row": 2}, "fact.row", "0 to 1"),
        ({"row": None}, "fact.row", "None"),
        ({"name": "created", "value": "2026-01-01"}, "fact.value", "microseconds"),
        ({"name": "created", "value": "1e6"}, "fact.value", "microseconds"),
        ({"name": "created", "value": "9" * 30}, "fact.value", "microseconds"),
        ({"name": "verified", "value": "yes"}, "fact.value", "true or false"),
        ({"value": ""}, "fact.value", "1 to 1024"),
        ({"value": "x" * 1025}, "fact.value", "1 to 1024"),
        ({"subject_type": "file", "name": "sha256", "value": "abc"}, "fact.value", "64 hex"),
        ({"subject_type": "file", "name": "sha256", "value": "g" * 64}, "fact.value", "64 hex"),
    ],
)
def test_malformed_facts_are_returned_with_reasons(change: Row, reason: str, words: str) -> None:
    table = FactTable(IDENTITY)
    joined = table.join(events_of([{"account": "Zoë"}]), facts_of([FINE, {**FINE, **change}, {**FINE, "name": "org"}]))
    assert [(fact.index, fact.reason) for fact in table.rejected] == [(1, reason)]
    assert words in table.rejected[0].detail
    assert "Zoë" not in table.rejected[0].detail
    assert joined.to_pylist()[0]["account_tier"] == "pro"
    assert table.get("account", "Zoë") == {"tier": "pro", "org": "pro"}
    table.join(events_of([]))
    assert table.rejected == ()


def test_a_table_of_facts_of_another_shape() -> None:
    table = facts_of([FINE]).drop_columns(["value"]).set_column(4, "row", pa.array(["0"]))
    with pytest.raises(InvalidInput) as caught:
        FactTable(IDENTITY).join(events_of([{}]), table)
    assert [p.slug for p in caught.value.problems] == ["facts.column"] * 2


def snapshot() -> bytes:
    table = FactTable(IDENTITY)
    table.join(events_of([{"type": "link.created", "link": "l", "actor": "ann", "time": 7}]))
    return table.snapshot()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", Corrupt),
        (b"junk", Corrupt),
        (SNAPSHOT_MAGIC, Corrupt),
        (snapshot()[:-1], Corrupt),
        (snapshot()[:-3] + b"abc", Corrupt),
        (snapshot() + b"x", Corrupt),
    ],
)
def test_broken_snapshots_leave_the_state(data: bytes, error: type[Exception]) -> None:
    table = FactTable(IDENTITY)
    table.restore(snapshot())
    with pytest.raises(error):
        table.restore(data)
    assert table.get("link", "l") == {"owner": "ann", "created": 7}
    assert table.snapshot() == snapshot()


def test_snapshots_of_other_versions_and_keys() -> None:
    import hashlib

    import msgpack

    body = msgpack.packb({"version": 99})
    later = SNAPSHOT_MAGIC + hashlib.blake2b(body, digest_size=16).digest() + body
    with pytest.raises(Unsupported, match="version 99"):
        FactTable(IDENTITY).restore(later)
    with pytest.raises(Corrupt, match="another identity key"):
        FactTable(Identity(b"fedcba9876543210")).restore(snapshot())


def test_get_of_what_is_not_known() -> None:
    table = FactTable(IDENTITY)
    assert table.get("account", "ann") == {}
    assert table.get("campaign", "ann") == {}


def test_erased_texts_are_gone_and_joins_go_on() -> None:
    table = FactTable(IDENTITY)
    table.join(events_of([{"type": "account.created", "account": "annabel", "time": 3, "org": "acme"}]))
    table.join(events_of([{"type": "link.created", "link": "l", "actor": "annabel"}, {"link": "l"}]))
    assert b"annabel" in table.snapshot()
    assert table.erase(IDENTITY.ids_of(pa.array(["annabel", "nobody"]))) == 1
    assert b"annabel" not in table.snapshot()
    again = FactTable(IDENTITY)
    again.restore(table.snapshot())
    for state in (table, again):
        (row,) = state.join(events_of([{"link": "l"}])).to_pylist()
        assert (row["owner"], row["owner_created"]) == (IDENTITY.erased("annabel"), 3)
        assert state.get("account", "annabel") == {"created": 3, "org": "acme"}
        state.join(events_of([{"type": "link.created", "link": "m", "actor": "bob"}]))
        assert state.get("link", "m") == {"owner": "bob"}
