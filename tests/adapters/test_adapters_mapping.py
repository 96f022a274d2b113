"""CSV and Parquet by a mapping file: the file checked, hostile tables, drafts, and a look at any file."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.format_samples import DROPBOX, WORKSPACE
from shoal.adapters.files import FileSource
from shoal.adapters.inspect import inspect_file
from shoal.adapters.mapping.draft import draft_mapping, guess_time
from shoal.adapters.mapping.mapfile import read_mapping
from shoal.adapters.mapping.source import MappedFormat, mapped_format
from shoal.errors import InvalidInput
from shoal.events.deadletters import DeadLetter
from shoal.events.formats.tabular.cells import read_time
from shoal.events.formats.tabular.plan import TimeFormat
from shoal.events.formats.values import BadValue

MAPPING = """\
format: shoal.mapping
version: 1
csv: {delimiter: semicolon}
nulls: ["-"]
time: {column: When, format: "%d.%m.%Y %H:%M:%S", zone: Europe/Zurich}
type:
  column: action
  rules:
    - when: "action = 'LOGIN' AND result <> 'ok'"
      is: login.failed
    - when: "mb > 100 AND User_ID LIKE 'a%'"
      is: file.huge
  values: {LOGIN: login.succeeded, GET: file.downloaded}
  default: api.called
kinds: {mb: float}
columns:
  account: {column: User ID, lower: true}
  ip: ip
  size_bytes: {column: mb, unit: MiB}
  org: {constant: example}
  outcome: {column: result, values: {ok: success, ko: failure}}
"""
HEADER = "When;User ID;action;result;ip;mb;note"
GOOD = "05.01.2026 09:00:00;Ann;LOGIN;ok;192.0.2.7:99;1.5;x"


def mapping(folder: Path, text: str = MAPPING) -> MappedFormat:
    path = folder / "map.yaml"
    path.write_text(text, encoding="utf-8")
    return mapped_format(read_mapping(path))


def read(path: Path, chosen: MappedFormat, **options: int) -> tuple[list[dict], list[DeadLetter]]:
    rows: list[dict] = []
    dead: list[DeadLetter] = []
    for part in FileSource([path], chosen, **options):
        assert part.balanced
        rows += [{k: v for k, v in row.items() if v is not None} for row in part.events.to_pylist()]
        dead += part.dead
    return rows, dead


def table(folder: Path, *lines: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / "t.csv"
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode(encoding) for line in lines) + b"\n")
    return path


def test_rows_become_events(tmp_path: Path) -> None:
    lines = [HEADER, GOOD, "05.07.2026 09:00:00;ann;GET;ko;host;200;-", "05.01.2026 09:00:02;bo;LOGIN;ko;::1;-;"]
    rows, dead = read(table(tmp_path, *lines), mapping(tmp_path))
    assert dead == []
    assert rows[0] == {
        "source": "files", "partition": "t.csv", "offset": 0, "time": 1_767_600_000_000_000, "type": "login.succeeded",
        "account": "ann", "org": "example", "ip": "192.0.2.7", "outcome": "success", "size_bytes": 1_572_864,
        "attributes": '{"User ID":"Ann","action":"LOGIN","result":"ok","ip":"192.0.2.7:99","mb":"1.5","note":"x"}',
    }  # fmt: skip
    assert rows[1]["time"] == 1_783_234_800_000_000  # summer time: 07:00 UTC
    assert [row["type"] for row in rows] == ["login.succeeded", "file.huge", "login.failed"]
    assert "ip" not in rows[1]
    assert json.loads(rows[1]["attributes"])["ip"] == "host"


HOSTILE = [
    (b"1;2", "csv.malformed"),
    ((GOOD + ";x").encode(), "csv.malformed"),
    (b'05.01.2026 09:00:00;"Ann;LOGIN;ok;;1;x', "csv.malformed"),
    (b'05.01.2026 09:00:00;"Ann"x;LOGIN;ok;;1;x', "csv.malformed"),
    (GOOD.encode().replace(b"Ann", b"A\0n"), "csv.malformed"),
    (GOOD.encode().replace(b"Ann", b"A\xffn"), "utf8.invalid"),
    (GOOD.replace("Ann", "y" * 65537).encode(), "text.too_long"),
    (GOOD.replace("Ann", "y" * (1 << 20)).encode(), "line.too_long"),
    (GOOD.replace("Ann", "\x01erased:0").encode(), "text.erased_mark"),
    (GOOD.replace("05.01.2026 09:00:00", "").encode(), "time.missing"),
    (GOOD.replace("05.01.2026", "2026-01-05").encode(), "time.malformed"),
    (GOOD.replace("05.01.2026", "05.01.1960").encode(), "time.out_of_range"),
    (GOOD.replace("1.5", "one").encode(), "table.value"),
    (GOOD.replace("1.5", "nan").encode(), "table.value"),
    (GOOD.replace("1.5", "1e30").encode(), "number.out_of_range"),
]


@pytest.mark.parametrize(("line", "reason"), HOSTILE)
def test_each_malformed_row_is_a_dead_letter_with_its_reason(tmp_path: Path, line: bytes, reason: str) -> None:
    rows, dead = read(table(tmp_path, "\ufeff" + HEADER, GOOD, line, "", GOOD), mapping(tmp_path))
    assert [(letter.offset, letter.reason) for letter in dead] == [(1, reason)]
    assert dead[0].raw == line[: 64 * 1024]
    assert [row["offset"] for row in rows] == [0, 2]


def test_a_quote_that_the_next_line_closes_by_chance_costs_one_row(tmp_path: Path) -> None:
    odd = '05.01.2026 09:00:00;"Ann;LOGIN;ok;;1;x'
    rows, dead = read(table(tmp_path, HEADER, GOOD, odd, GOOD, odd, GOOD), mapping(tmp_path))
    assert (len(rows), len(dead)) == (3, 2)


def test_a_type_without_rule_value_and_default_is_a_dead_letter(tmp_path: Path) -> None:
    chosen = mapping(tmp_path, MAPPING.replace("  default: api.called\n", ""))
    _, dead = read(table(tmp_path, HEADER, GOOD.replace("LOGIN", "X")), chosen)
    assert [letter.reason for letter in dead] == ["type.missing"]


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "cp1252"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    chosen = mapping(tmp_path, MAPPING.replace("semicolon", f"semicolon, encoding: {encoding}"))
    path = tmp_path / "t.csv"
    path.write_bytes(f"{HEADER}\n{GOOD.replace('Ann', 'Änn')}\n".encode(encoding))
    rows, dead = read(path, chosen)
    assert (rows[0]["account"], dead) == ("änn", [])


def test_utf_16_that_ends_early_gives_what_it_holds_and_a_dead_letter(tmp_path: Path) -> None:
    chosen = mapping(tmp_path, MAPPING.replace("semicolon", "semicolon, encoding: utf-16"))
    path = tmp_path / "t.csv"
    path.write_bytes(f"{HEADER}\n{GOOD}\n".encode("utf-16")[:-1])
    rows, dead = read(path, chosen)
    assert (len(rows), [letter.reason for letter in dead]) == (1, ["source.truncated"])


def test_a_table_that_lacks_columns_is_refused_before_the_first_row(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(table(tmp_path, HEADER.replace("When", "when").replace("mb", "m"), GOOD), mapping(tmp_path))
    assert [problem.slug for problem in caught.value.problems] == ["mapping.column_absent"] * 2
    assert caught.value.problems[0].nearest == "when"


PROBLEMS = [
    ("format: shoal.mapping", "format: other", "mapping.wrong", 1),
    ("version: 1", "version: 2", "mapping.version", 2),
    ("version: 1", "versions: 1", "mapping.unknown_key", 2),
    ("semicolon", "semi", "mapping.wrong", 3),
    ('nulls: ["-"]', "nulls: x", "mapping.wrong", 4),
    ("Europe/Zurich", "Europe/Zürich", "mapping.zone", 5),
    (", zone: Europe/Zurich", "", "mapping.zone", 5),
    ('"%d.%m.%Y %H:%M:%S"', "isoo", "mapping.time_format", 5),
    ("result <> 'ok'", "result <> 5", "expression.type", 9),
    ("result <> 'ok'\"", "\"", "expression.", 9),
    ("when: \"action = 'LOGIN' AND result <> 'ok'\"", "when: \"action\"", "mapping.condition", 9),
    ("is: login.failed", "is: Login", "mapping.type_name", 9),
    ("  values: {LOGIN: login.succeeded,", "  values: {LOGIN: x,", "mapping.type_name", 13),
    ("default: api.called", "default: x", "mapping.type_name", 14),
    ("kinds: {mb: float}", "kinds: {mb: flot}", "mapping.wrong", 15),
    ("  account:", "  acount:", "mapping.unknown_column", 17),
    ("  account:", "  time:", "mapping.unknown_column", 17),
    ("lower: true", "lower: maybe", "mapping.wrong", 17),
    ("unit: MiB", "unit: Mib", "mapping.wrong", 19),
    ("  ip: ip", "  ip: {unit: MiB, column: ip}", "mapping.wrong", 18),
    ("{constant: example}", "{}", "mapping.missing", 20),
    ("  size_bytes: {column: mb, unit: MiB}", "  size_bytes: {constant: many}", "mapping.value", 19),
    ("columns:", "? [a]\n:", "yaml.key", 16),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "slug", "line"), PROBLEMS)
def test_each_mistake_is_told_at_its_line(tmp_path: Path, old: str, new: str, slug: str, line: int) -> None:
    assert old in MAPPING
    with pytest.raises(InvalidInput) as caught:
        mapping(tmp_path, MAPPING.replace(old, new, 1))
    told = [(problem.slug, problem.where.line) for problem in caught.value.problems]
    assert any(found.startswith(slug) and at == line for found, at in told), told


def test_all_mistakes_are_told_together(tmp_path: Path) -> None:
    text = "format: x\nversion: 9\ncolumns: {acount: a, ip: {constant: a, column: b}}\nrest: some\n"
    with pytest.raises(InvalidInput) as caught:
        mapping(tmp_path, text)
    assert len(caught.value.problems) == 7


def test_parquet_is_read_by_the_same_file(tmp_path: Path) -> None:
    chosen = mapping(tmp_path, "format: shoal.mapping\nversion: 1\ntime: {column: at, zone: Europe/Zurich}\n"
                               "type: {column: kind, values: {'1': login.succeeded}}\n"
                               "columns: {account: user, external: out, size_bytes: n}\n")  # fmt: skip
    path = tmp_path / "t.parquet"
    at = pa.array([1_767_603_600_000_000, 1_767_603_600_000_000, None], pa.timestamp("us"))
    pq.write_table(pa.table({"at": at, "kind": [1, 2, 1], "user": ["ann", "bo", "cy"], "out": [True, False, None],
                             "n": [1.0, 2.0, None], "list": [[1], [], None]}), path)  # fmt: skip
    rows, dead = read(path, chosen)
    assert [letter.reason for letter in dead] == ["type.missing", "time.missing"]
    assert [letter.offset for letter in dead] == [1, 2]
    assert rows == [{"source": "files", "partition": "t.parquet", "offset": 0, "time": 1_767_600_000_000_000,
                     "type": "login.succeeded", "account": "ann", "external": True, "size_bytes": 1,
                     "attributes": '{"kind":1,"list":[1]}'}]  # fmt: skip
    path.write_bytes(path.read_bytes()[:-20])
    rows, dead = read(path, chosen)
    assert (rows, [letter.reason for letter in dead]) == ([], ["source.truncated"])


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_parquet_say_their_own_zone(tmp_path: Path, unit: str) -> None:
    chosen = mapping(tmp_path, "format: shoal.mapping\nversion: 1\ntime: at\ntype: {default: a.b}\n")
    path = tmp_path / "t.parquet"
    at = pa.array([1_767_603_600], pa.timestamp("s")).cast(pa.timestamp(unit, "America/New_York"))
    pq.write_table(pa.table({"at": at}), path)
    rows, _ = read(path, chosen)
    assert rows[0]["time"] == 1_767_603_600_000_000


TIMES = [
    ("2026-01-05T09:00:00Z", TimeFormat(), 1_767_603_600_000_000),
    ("2026-01-05", TimeFormat(zone="UTC"), 1_767_571_200_000_000),
    ("1767603600.5", TimeFormat("unix_s"), 1_767_603_600_500_000),
    (1767603600123, TimeFormat("unix_ms"), 1_767_603_600_123_000),
    ("2026-10-25 02:30:00", TimeFormat(zone="Europe/Zurich"), 1_792_888_200_000_000),  # twice that night: the first
    ("05/Jan/2026:09:00:00 +0000", TimeFormat("%d/%b/%Y:%H:%M:%S %z"), 1_767_603_600_000_000),
    ("2026-01-05T09:00:00", TimeFormat(), "time.zone_missing"),
    ("x", TimeFormat("unix_s"), "time.malformed"), ("1e400", TimeFormat("unix_s"), "time.malformed"),
    ("1_0", TimeFormat("unix_s"), "time.malformed"), ("-5", TimeFormat("unix_s"), "time.out_of_range"),
    (5, TimeFormat(), "time.malformed"), ([], TimeFormat(), "time.malformed"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "how", "expected"), TIMES)
def test_times(value: object, how: TimeFormat, expected: int | str) -> None:
    if isinstance(expected, int):
        assert read_time(value, how) == expected
    else:
        with pytest.raises(BadValue) as caught:
            read_time(value, how)
        assert caught.value.reason == expected


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200), sizes=st.integers(20, 300))
def test_every_row_is_an_event_or_a_dead_letter(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, sizes: int
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    chosen = mapping(
        folder, "format: shoal.mapping\nversion: 1\ntime: {column: t, format: unix_s}\ntype: {default: a.b}\n"
    )
    path = table(folder, "t,u", "1,x", data, "2,y")
    rows, dead = read(path, chosen, block_bytes=sizes)
    assert sorted([row["offset"] for row in rows] + [letter.offset for letter in dead]) == list(
        range(len(rows) + len(dead))
    )


def test_a_draft_reads_the_table_that_it_was_drafted_from(tmp_path: Path) -> None:
    path = table(tmp_path, "Timestamp,User ID,Event,Source IP,Bytes,Team Colour",
                 *(f"2026-01-05 09:00:{s:02d},ann,{'login_failed' if s % 2 else 'file.download'},192.0.2.7,{s},red"
                   for s in range(20)))  # fmt: skip
    text = draft_mapping(path)
    assert '"Team Colour"' in text
    rows, dead = read(path, mapping(tmp_path, text))
    assert dead == []
    assert {row["type"] for row in rows} == {"login.failed", "file.downloaded"}
    assert (rows[0]["account"], rows[0]["ip"], rows[3]["size_bytes"]) == ("ann", "192.0.2.7", 3)


@pytest.mark.parametrize("data", [b"", b"\0\1\2", b"one\n", b"PAR1", b"\x1f\x8bxx"])
def test_what_is_no_table_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match=r"mapping\.no_table"):
        draft_mapping(path)


def test_times_are_guessed() -> None:
    assert guess_time(["1767603600", "1767603601"]) == TimeFormat("unix_s")
    assert guess_time(["2026-01-05T09:00:00Z"]) == TimeFormat()
    assert guess_time(["05.01.2026 09:00", "bad", "06.01.2026 09:00", "06.01.2026 09:01"]) == TimeFormat(
        "%d.%m.%Y %H:%M", "UTC"
    )
    assert guess_time(["12", "ann"]) is None


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_a_look_at_a_file(tmp_path: Path, pack: object) -> None:
    path = tmp_path / "a"
    path.write_bytes(pack(json.dumps(WORKSPACE).encode() + b"\n{\n" + json.dumps(WORKSPACE).encode()))  # type: ignore[operator]
    seen = inspect_file(str(path), rows=1)
    assert (seen.format, seen.read, seen.events, seen.whole) == ("workspace", 3, 2, True)
    assert dict(seen.dead) == {"json.malformed": 1}
    assert dict(seen.types) == {"login.succeeded": 2}
    lines = {column: origin for origin, column, _ in seen.shown[0].lines}
    assert (lines["ip"], lines["actor"], lines["time"], lines["org"]) == (
        "ipAddress", "actor.email", "id.time", "id.customerId",
    )  # fmt: skip
    assert "parameters" in seen.shown[0].attributes


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 99, b"{" * 99, b"\x1f\x8bxxx", b"PAR1", b"a,b\n1,2\n", b"<13>x", b'{"a":1}']
)
def test_a_look_never_fails(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    seen = inspect_file(str(path))
    assert seen.format is None
    assert seen.looks_like_table == (data in (b"PAR1", b"a,b\n1,2\n"))


def test_a_look_at_a_long_file_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(json.dumps({"events": [DROPBOX] * 9000, "cursor": ""}).encode())
    seen = inspect_file(str(path))
    assert seen.format == "dropbox"
    assert 0 < seen.read < 9000
    assert not seen.whole
