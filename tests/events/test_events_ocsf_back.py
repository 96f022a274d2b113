"""Events written as OCSF and read back: nothing that the engine reads is lost, and it decides alike."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.errors import InvalidInput
from shoal.events.formats import FORMATS
from shoal.events.formats.ocsf import write_ocsf
from shoal.events.formats.ocsf.write import class_of
from shoal.events.formats.tables import ocsf as tables
from shoal.events.schema import BY_NAME, GIVEN_COLUMNS, Kind

CHECKED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES = [spec.name for spec in GIVEN_COLUMNS if spec.name not in ("source", "partition", "offset", "attributes")]
TYPES = [*tables.CLASS_OF_TYPE, *tables.NEAR_CLASS, "abuse.reported", "ocsf_4001.activity_6", "x"]
TEXTS = st.one_of(
    st.sampled_from(
        ["ann", "Ann@Example.com", "bo", "https://example.com/x", "192.0.2.7", "success", "failure", "denied"]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x01"), max_size=8),
)
JSONS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(1 << 62), 1 << 62), st.text(max_size=4), st.floats(-1e9, 1e9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["a", "shoal", "time"]), inner)
    ),
    max_leaves=5,
)
VALUES = {
    Kind.TEXT: TEXTS,
    Kind.INT: st.one_of(st.integers(0, 100), st.integers(-(1 << 63), (1 << 63) - 1)),
    Kind.FLOAT: st.one_of(st.floats(-180, 180), st.sampled_from([47.5, -200.0, 1e300])),
    Kind.BOOL: st.booleans(),
    Kind.TIME: st.integers(0, 253_402_300_799_999_999),
}


def rows_of(table: pa.Table) -> list[dict]:
    found = []
    for row in table.to_pylist():
        kept = {name: value for name, value in row.items() if value is not None and name in NAMES}
        found.append({**kept, "attributes": json.loads(row.get("attributes") or "null")})
    return found


def table_of(rows: list[dict]) -> pa.Table:
    names = [name for name in (*NAMES, "attributes") if any(name in row for row in rows)]
    return pa.table({name: pa.array([row.get(name) for row in rows], BY_NAME[name].kind.arrow) for name in names})


@st.composite
def event_rows(draw: st.DrawFn) -> list[dict]:
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        row: dict = {"time": draw(VALUES[Kind.TIME]), "type": draw(st.sampled_from(TYPES))}
        for name in draw(st.lists(st.sampled_from(NAMES), max_size=12, unique=True)):
            if name == "ip":
                row[name] = draw(st.sampled_from(["192.0.2.7", "2001:db8::1"]))
            elif name not in ("time", "type"):
                row[name] = draw(VALUES[BY_NAME[name].kind])
        if draw(st.booleans()):
            row["attributes"] = json.dumps(draw(st.dictionaries(st.sampled_from(["a", "b", "metadata"]), JSONS)))
        rows.append(row)
    return rows


@CHECKED
@given(rows=event_rows())
def test_a_round_trip_loses_nothing(rows: list[dict]) -> None:
    table = table_of(rows)
    written = write_ocsf(table)
    decoded = FORMATS["ocsf"].decoder("s", "p").decode(written, 0)
    assert decoded.dead == ()
    assert rows_of(decoded.events) == rows_of(table)


def test_what_ocsf_has_a_place_for_stands_there() -> None:
    row = {"time": 1, "type": "file.downloaded", "actor": "ann", "account": "ann", "ip": "192.0.2.7", "file": "f",
           "file_name": "a.txt", "size_bytes": 3, "outcome": "success", "event_id": "e", "client": "web",
           "file_sha256": "a" * 64}  # fmt: skip
    record = json.loads(write_ocsf(table_of([row])))
    assert (record["class_uid"], record["activity_id"], record["type_uid"]) == (6006, 2, 600602)
    assert (record["time"], record["time_dt"], record["status_id"]) == (0, "1970-01-01T00:00:00.000001Z", 1)
    assert record["metadata"]["uid"] == "e"
    assert record["actor"]["user"]["name"] == "ann"
    assert record["src_endpoint"]["ip"] == "192.0.2.7"
    assert record["file"]["hashes"][0]["value"] == "a" * 64
    assert record["unmapped"]["shoal"]["columns"] == {"client": "web"}  # all else is read back from its own place


def test_types_of_foreign_classes_are_written_as_they_came() -> None:
    assert class_of("ocsf_4001.activity_6") == (4001, 6)
    assert class_of("permission.granted") == (3001, 7)
    assert class_of("nothing.known") == (6003, 99)


def test_user_access_and_entities_are_read() -> None:
    lines = [
        {"class_uid": 3005, "activity_id": 1, "time": 0, "user": {"name": "bo"}, "actor": {"user": {"name": "ann"}},
         "privileges": ["admin"]},
        {"class_uid": 3004, "activity_id": 4, "time": 0, "entity": {"uid": "k"}, "actor": {"user": {"name": "ann"}}},
    ]  # fmt: skip
    rows = FORMATS["ocsf"].decoder("s", "p").decode("\n".join(map(json.dumps, lines)).encode(), 0).events.to_pylist()
    assert [row["type"] for row in rows] == ["permission.granted", "entity.deleted"]
    assert (rows[0]["recipient"], rows[0]["permission"], rows[0]["account"]) == ("bo", "admin", "ann")
    assert rows[1]["resource"] == "k"


MARKED = {"class_uid": 6003, "activity_id": 99, "time": 0}
BAD_MARKS = [
    ({"version": 2}, "class.malformed"), ({"columns": []}, "class.malformed"), ({"more": 1}, "class.malformed"),
    ({"columns": {"nonsense": 1}}, "class.malformed"), ({"columns": {"attributes": {}}}, "class.malformed"),
    ({"columns": {"source": "x"}}, "class.malformed"), ({"columns": {"items": "x"}}, "type.wrong"),
    ({"columns": {"size_bytes": 1 << 63}}, "number.out_of_range"),
    ({"columns": {"received": "noon"}}, "time.malformed"),
    ({"columns": {"type": ""}}, "type.missing"), ({"attributes": [1]}, "attributes.not_object"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), BAD_MARKS)
def test_a_forged_mark_is_a_dead_letter(change: dict, reason: str) -> None:
    record = {**MARKED, "unmapped": {"shoal": {"format": "shoal.event", "version": 1, **change}}}
    decoded = FORMATS["ocsf"].decoder("s", "p").decode(json.dumps(record).encode(), 0)
    assert [letter.reason for letter in decoded.dead] == [reason]


def test_what_was_added_to_a_written_record_becomes_an_attribute() -> None:
    record = json.loads(write_ocsf(table_of([{"time": 1, "type": "a.b", "attributes": '{"x":1}'}])))
    record["enrichments"] = [1]
    row = FORMATS["ocsf"].decoder("s", "p").decode(json.dumps(record).encode(), 0).events.to_pylist()[0]
    assert json.loads(row["attributes"]) == {"x": 1, "enrichments": [1]}


def test_rows_that_cannot_be_written_are_told_together() -> None:
    deep = "[" * 63 + "]" * 63
    rows = [{"time": 1, "type": "a.b", "attributes": f'{{"x":{deep}}}'}, {"time": 2, "type": "a.b"}] * 2
    with pytest.raises(InvalidInput, match=r"row 0.*\n.*row 2"):
        write_ocsf(table_of(rows))
    with pytest.raises(InvalidInput, match="row 0 has no type"):
        write_ocsf(table_of([{"time": 1, "account": "a"}]).append_column("type", pa.array([None], pa.string())))


def test_a_run_over_native_lines_and_over_their_ocsf_decides_alike(tmp_path: Path) -> None:
    from oracles.runtime_stream import stream, write_lines
    from shoal.clock import SystemClock
    from shoal.runtime.deployment import find_pack, open_deployment
    from shoal.runtime.home import open_home
    from shoal.runtime.run import Progress, read_source
    from shoal.storage.decisions import DecisionLog

    native = write_lines(tmp_path / "a.ndjson", stream(rows=300))
    decoded = FORMATS["native"].decoder("s", "p").decode(native.read_bytes(), 0)
    other = tmp_path / "a.json"
    other.write_bytes(write_ocsf(decoded.events))
    found = []
    for name, path in (("native", native), ("ocsf", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "identity.key").write_text("00" * 16 + "\n")  # sketches depend on the key
        deployment = open_deployment(open_home(tmp_path / name, create=True))
        try:
            deployment.publish(find_pack("file_sharing"), history_complete=True)
            silent = Progress(lambda _: None, lambda _a, _b: None)
            read = read_source(deployment, [path], name, received=False, clock=SystemClock(), progress=silent)
        finally:
            deployment.close()
        log = DecisionLog.open(tmp_path / name / "decisions", read_only=True)
        found.append((read.now, pa.concat_tables(log.read()).to_pylist()))
        log.close()
    assert found[0][0] == 600
    assert len(found[0][1]) == 600
    assert found[0] == found[1]
