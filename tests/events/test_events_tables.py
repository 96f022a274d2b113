"""Ids, attributes, dead letters and writers."""

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import Corrupt, InvalidInput
from shoal.events.attributes import extract
from shoal.events.deadletters import RAW_LIMIT_BYTES, DeadLetter, dead_letter, read_dead_letters, write_dead_letters
from shoal.events.formats import FORMATS
from shoal.events.ids import EventIds
from shoal.events.schema import Kind
from shoal.events.writers import ocsf_detection_finding, write_native


def table(*rows: dict) -> pa.Table:
    block = b"\n".join(json.dumps({"time": 1, "type": "a.b", **row}).encode() for row in rows)
    return FORMATS["native"].decoder("s", "p").decode(block, 0).events


def ids(*tables: pa.Table) -> list[str]:
    made = EventIds()
    return [event_id for part in tables for event_id in made.assign(part).column("event_id").to_pylist()]


class TestIds:
    def test_given_ids_stay_and_missing_ones_are_made(self) -> None:
        found = ids(table({"event_id": "given"}, {"actor": "x"}))
        assert found[0] == "given"
        assert found[1].startswith("h")

    def test_alike_records_are_told_apart_by_their_occurrence(self) -> None:
        found = ids(table({"actor": "x"}, {"actor": "y"}, {"actor": "x"}))
        assert found[0].partition(".")[0] == found[2].partition(".")[0] != found[1].partition(".")[0]
        assert [text[-2:] for text in found] == [".0", ".0", ".1"]

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.sampled_from([{"actor": "x"}, {"size_bytes": 3}, {"event_id": "e"}, {"lat": 0.5}]), max_size=8),
           st.integers(0, 8), st.integers(1, 5))  # fmt: skip
    def test_neither_cut_nor_place_nor_receipt_matters(self, rows: list[dict], at: int, received: int) -> None:
        whole = ids(table(*rows))
        cut = ids(table(*rows[:at]), table(*({**row, "received": received} for row in rows[at:])))
        assert cut == whole

    def test_an_absent_column_is_as_a_null(self) -> None:
        one = table({"actor": "x"})
        assert ids(one) == ids(one.append_column("file", pa.nulls(1, pa.string())))

    def test_the_counts_go_on_after_a_restart(self) -> None:
        first = EventIds()
        first.assign(table({"actor": "x"}))
        again = EventIds(first.state()).assign(table({"actor": "x"}))
        assert again.column("event_id").to_pylist()[0].endswith(".1")

    @pytest.mark.parametrize("state", [b"\xc0", b"\x80", b"\x81\xa6format\xa1x"])
    def test_a_foreign_state_is_refused(self, state: bytes) -> None:
        with pytest.raises(Corrupt):
            EventIds(state)


class TestAttributes:
    def test_paths_and_kinds(self) -> None:
        events = table({"x": {"n": 5, "f": 1, "t": "v", "b": True, "l": [{"k": "deep"}], "a.b": {"c": "dotted"}}}, {})
        found = extract(events, {
            "n": ("x.n", Kind.INT), "f": ("x.f", Kind.FLOAT), "t": ("x.t", Kind.TEXT), "b": ("x.b", Kind.BOOL),
            "k": ("x.l.0.k", Kind.TEXT), "d": ("x.a.b.c", Kind.TEXT),
        })  # fmt: skip
        names = ["n", "f", "t", "b", "k", "d"]
        assert found.select(names).to_pylist()[0] == dict(
            zip(names, [5, 1.0, "v", True, "deep", "dotted"], strict=True)
        )
        assert set(found.select(names).to_pylist()[1].values()) == {None}
        assert found.schema.field("n").type == pa.int64()

    @pytest.mark.parametrize(
        ("value", "kind"),
        [("5", Kind.INT), (5.5, Kind.INT), (True, Kind.INT), (2**70, Kind.INT), (True, Kind.FLOAT), (5, Kind.TEXT),
         ({}, Kind.TEXT), (1, Kind.BOOL), ("noon", Kind.TIME), (None, Kind.TEXT), ([1], Kind.TEXT)],
    )  # fmt: skip
    def test_another_type_gives_null(self, value: object, kind: Kind) -> None:
        assert extract(table({"x": value}), {"y": ("x", kind)}).column("y").to_pylist() == [None]

    def test_times_are_parsed(self) -> None:
        found = extract(table({"x": "1970-01-01T00:00:01Z"}), {"y": ("x", Kind.TIME)})
        assert found.column("y").to_pylist() == [1_000_000]

    def test_bad_declarations_are_told_together(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            extract(table({}), {"actor": ("x", Kind.TEXT), "y": ("a..b", Kind.TEXT)})
        assert [problem.slug for problem in caught.value.problems] == [
            "attributes.column_taken",
            "attributes.path_empty",
        ]


class TestDeadLetters:
    def test_they_are_read_back(self) -> None:
        letters = [
            DeadLetter("s", "p", 3, "json.malformed", "no", b"\xff\x00raw"),
            dead_letter("s", "p", 4, "x", "y", b""),
        ]
        assert list(read_dead_letters(write_dead_letters(letters))) == letters

    def test_long_ones_are_cut_and_say_so(self) -> None:
        letter = dead_letter("s", "p", 0, "x", "y", b"z" * (RAW_LIMIT_BYTES + 1))
        assert len(letter.raw) == RAW_LIMIT_BYTES
        assert "cut" in letter.detail

    @pytest.mark.parametrize("data", [b"{}", b"x", b'{"source":"s","partition":"p","offset":0,"reason":"r",'
                                      b'"detail":"d","raw_base64":"!"}'])  # fmt: skip
    def test_what_is_not_one_is_refused(self, data: bytes) -> None:
        with pytest.raises(Corrupt, match="line 1"):
            list(read_dead_letters(data))


class TestWriters:
    def test_nulls_and_places_are_left_out(self) -> None:
        events = table({"actor": "a", "x": {"y": 1}}, {"size_bytes": 5, "external": False, "lat": 1.5})
        assert write_native(events).decode().splitlines() == [
            '{"time":"1970-01-01T00:00:00.000001Z","type":"a.b","actor":"a","attributes":{"x":{"y":1}}}',
            '{"time":"1970-01-01T00:00:00.000001Z","type":"a.b","size_bytes":5,"external":false,"lat":1.5}',
        ]

    @given(st.lists(st.text(max_size=10), min_size=1, max_size=5))
    @settings(max_examples=50, deadline=None)
    def test_every_text_is_valid_json(self, texts: list[str]) -> None:
        events = pa.table({"time": pa.array([0] * len(texts)), "actor": pa.array(texts, pa.string())})
        assert [json.loads(line)["actor"] for line in write_native(events).splitlines()] == texts

    def test_odd_tables(self) -> None:
        assert write_native(table().slice(0, 0)) == b""
        assert write_native(pa.table({"offset": pa.array([1, 2])})) == b"{}\n{}\n"
        sliced = table({"actor": "a"}, {"actor": "b"}, {}).slice(1)
        assert [json.loads(line).get("actor") for line in write_native(sliced).splitlines()] == ["b", None]
        endless = pa.table({"lat": pa.array([float("nan"), float("inf"), 2.0])})
        assert write_native(endless) == b'{}\n{}\n{"lat":2}\n'
        with pytest.raises(InvalidInput):
            write_native(pa.table({"nonsense": [1]}))


FINDING = {
    "id": "f-1", "time": 1_704_067_200_123_456, "title": "Bulk read", "description": "Many objects", "severity": "high",
    "threat": "exfiltration", "tier": "restrict", "subject_type": "account", "subject": "alice",
    "rules": [{"id": "r.bulk", "title": "Bulk read", "technique": "T1530"}, {"id": "r.two", "title": "Two"}],
    "evidence": [{"reads": 1168}], "actions": ["revoke_sessions"],
}  # fmt: skip


class TestFindings:
    def test_a_finding_is_an_ocsf_detection_finding_and_read_back(self) -> None:
        written = ocsf_detection_finding(FINDING)
        assert (written["class_uid"], written["type_uid"], written["severity_id"]) == (2004, 200401, 4)
        assert written["finding_info"]["attacks"] == [{"technique": {"uid": "T1530"}}]
        assert [a["uid"] for a in written["finding_info"]["related_analytics"]] == ["r.two"]
        decoded = FORMATS["ocsf"].decoder("s", "p").decode(json.dumps(written).encode(), 0)
        event = decoded.events.to_pylist()[0]
        assert (event["type"], event["event_id"], event["time"]) == ("finding.created", "f-1", FINDING["time"])

    @pytest.mark.parametrize(
        ("change", "slug"),
        [({"id": None}, "finding.missing"), ({"time": "x"}, "finding.wrong"), ({"severity": "bad"}, "finding.wrong"),
         ({"rules": "x"}, "finding.wrong"), ({"rules": [{}]}, "finding.wrong"), ({"title": 5}, "finding.wrong"),
         ({"extra": 1}, "finding.unknown_key"), ({"time": -5}, "finding.wrong")],
    )  # fmt: skip
    def test_malformed_findings(self, change: dict, slug: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            ocsf_detection_finding({**FINDING, **change})
        assert [problem.slug for problem in caught.value.problems] == [slug]

    def test_all_problems_are_told_together(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            ocsf_detection_finding({})
        assert len(caught.value.problems) == 9
