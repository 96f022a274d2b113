"""Files as a source: compression, framing, damage, limits, and the sorted spool."""

import gzip
import io
import json
import random
import stat
import sys
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracles.events_oracle import sort_rows
from shoal.adapters.files import FREE_BYTES, FileSource, expand, save_dead_letters
from shoal.adapters.spool import is_sorted, sort_table, sorted_tables
from shoal.errors import InvalidInput
from shoal.events import framing_kernel
from shoal.events.deadletters import DeadLetter, read_dead_letters
from shoal.events.framing import frame


def native(*times: int) -> bytes:
    return b"".join(b'{"time":%d,"type":"a.b"}\n' % time for time in times)


def record(number: int) -> dict:
    return {"eventTime": "2024-01-01T00:00:00Z", "eventName": "ListBuckets", "eventSource": "s3.amazonaws.com",
            "awsRegion": "x", "userIdentity": {}, "eventID": f'e{number}"\\}}]',
            "requestParameters": {"a": [1, {}]}}  # fmt: skip


def read(path: Path, name: str = "auto", **options: int) -> tuple[FileSource, list[dict], list[DeadLetter]]:
    source = FileSource([path], name, **options)
    rows: list[dict] = []
    dead: list[DeadLetter] = []
    total = 0
    for decoded in source:
        assert decoded.balanced
        rows += decoded.events.to_pylist()
        dead += decoded.dead
        total += decoded.read
    assert (source.records_read, source.records_dead) == (total, len(dead))
    assert source.bytes_done == source.bytes_total == path.stat().st_size
    return source, rows, dead


PACK = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".two.gz": lambda data: gzip.compress(data[:20]) + gzip.compress(data[20:]) + b"\0" * 100,
    ".zst": zstandard.compress,
    ".two.zst": lambda data: zstandard.compress(data[:20]) + zstandard.compress(data[20:]),
}


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("block_bytes", [1, 100, 1 << 22])
def test_files_plain_and_compressed(tmp_path: Path, suffix: str, block_bytes: int) -> None:
    path = tmp_path / f"events.ndjson{suffix}"
    path.write_bytes(PACK[suffix](native(*range(50))))
    source, rows, dead = read(path, block_bytes=block_bytes)
    assert [row["time"] for row in rows] == [row["offset"] for row in rows] == list(range(50))
    assert {row["partition"] for row in rows} == {path.name}
    assert dead == []
    assert source.formats == {path.name: "native"}


SHAPES = {
    "lines": lambda records: "\n".join(json.dumps(r) for r in records),
    "array": lambda records: json.dumps(records),
    "pretty array": lambda records: json.dumps(records, indent=3),
    "records": lambda records: json.dumps({"Records": records}),
    "pretty records": lambda records: json.dumps({"Records": records}, indent=1),
    "crlf": lambda records: "\r\n".join(json.dumps(r) for r in records) + "\r\n",
    "bom": lambda records: "\ufeff" + json.dumps(records),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_shapes_of_json_files(tmp_path: Path, shape: str, block_bytes: int) -> None:
    path = tmp_path / "log.json"
    path.write_text(SHAPES[shape]([record(number) for number in range(20)]))
    source, rows, dead = read(path, block_bytes=block_bytes)
    assert source.formats == {"log.json": "cloudtrail"}
    assert [row["event_id"] for row in rows] == [record(number)["eventID"] for number in range(20)]
    assert [row["offset"] for row in rows] == list(range(20))
    assert dead == []


VALUES = st.recursive(
    st.one_of(st.integers(), st.text(max_size=4), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)
CHECKED = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    out, at = [], 0
    for size in sizes:
        out.append(data[at : at + size])
        at += size
    return [*out, data[at:]]


@CHECKED
@given(
    st.lists(VALUES, max_size=6), st.lists(st.integers(1, 9), max_size=40), st.sampled_from([None, 2]), st.booleans()
)
def test_arrays_are_framed_wherever_chunks_end(values: list, sizes: list[int], indent: int | None, wrap: bool) -> None:
    text = json.dumps(values, indent=indent)
    data = (f' {{"Records" : {text} }} \n' if wrap else f"\n{text} ").encode()
    framed = b"".join(frame(pieces(data, sizes), "json", 64))
    assert [json.loads(line) for line in framed.splitlines()] == values


@CHECKED
@given(
    st.lists(st.sampled_from(["plain", 'q"uote', "line\nbreak", ""]), max_size=8),
    st.lists(st.integers(1, 9), max_size=40),
)
def test_csv_is_framed_outside_quotes(values: list[str], sizes: list[int]) -> None:
    header = b'"a\nb",AuditData\n'
    rows = [f'"{value.replace(chr(34), chr(34) * 2)}",x\n'.encode() for value in values]
    blocks = list(frame(pieces(header + b"".join(rows), sizes), "csv", 8))
    assert all(block.startswith(header) for block in blocks)
    assert b"".join(block[len(header) :] for block in blocks) == b"".join(rows)


def test_framing_state_starts_between_elements() -> None:
    assert framing_kernel.new_state()[framing_kernel.START] == -1


@pytest.mark.parametrize(
    ("data", "events", "reasons"),
    [
        (b'[{"time":1', 0, ["json.malformed"]),
        (b"[", 0, ["json.malformed"]),
        (b"[]", 0, []),
        (json.dumps([record(1)]).encode()[:-1], 1, ["json.malformed"]),
        (json.dumps([record(1)]).encode() + b' {"more":1}', 1, ["time.missing"]),
        (json.dumps({"Records": [record(1)]}).encode() + b"garbage", 1, ["json.malformed"]),
        (json.dumps([record(1), 5, "x", None]).encode(), 1, ["json.not_object"] * 3),
        (b"", 0, []),
        (b"\n\n", 0, []),
    ],
)
def test_damaged_json_files(tmp_path: Path, data: bytes, events: int, reasons: list[str]) -> None:
    path = tmp_path / "log.json"
    path.write_bytes(data)
    _, rows, dead = read(path, "cloudtrail")
    assert len(rows) == events
    assert [letter.reason for letter in dead] == reasons


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_stream_that_ends_early_gives_what_it_holds_and_a_dead_letter(tmp_path: Path, suffix: str) -> None:
    whole = native(*(random.Random(1).randrange(10**9) for _ in range(40_000)))
    path = tmp_path / f"events.ndjson{suffix}"
    packed = PACK[suffix](whole)
    path.write_bytes(packed[: len(packed) // 2])
    source = FileSource([path], "native")
    parts = list(source)
    dead = [letter for part in parts for letter in part.dead]
    assert sum(part.events.num_rows for part in parts) > 5_000
    assert dead[-1].reason == "source.truncated"
    damaged = bytearray(packed)
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)
    assert [letter.reason for part in FileSource([path], "native") for letter in part.dead][-1] == "source.truncated"


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_small_hostile_file_cannot_grow_without_bound(pack: object) -> None:
    bomb = pack(b"\0" * (FREE_BYTES * 3))  # type: ignore[operator]
    sizes: list[int] = []
    with pytest.raises(ValueError, match="grew"):
        sizes.extend(len(chunk) for chunk in expand(iter([bomb]), max_ratio=20))
    assert sum(sizes) <= FREE_BYTES * 2


def test_a_line_without_end_takes_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson.gz"
    path.write_bytes(gzip.compress(native(1) + b"x" * (60 << 20) + b"\n" + native(2)))
    tracemalloc.start()
    _, rows, dead = read(path, "native", block_bytes=1 << 16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(row["time"], row["offset"]) for row in rows] == [(1, 0), (2, 2)]
    assert [(letter.offset, letter.reason) for letter in dead] == [(1, "line.too_long")]
    assert peak < 40 << 20


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(gzip.compress(native(1, 2)))

    monkeypatch.setattr(sys, "stdin", Stdin)
    source = FileSource(["-"], "native")
    assert source.bytes_total is None
    assert sum(part.events.num_rows for part in source) == 2


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "log").write_bytes(native(1))
    (tmp_path / "other").write_bytes(native(1))
    source = FileSource([tmp_path / "one" / "log", tmp_path / "two" / "log", tmp_path / "other"], "native")
    found = [part.events.column("partition").to_pylist()[0] for part in source]
    assert found == [str(tmp_path / "one" / "log"), str(tmp_path / "two" / "log"), "other"]


def test_wrong_requests_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        FileSource([tmp_path / "absent", tmp_path], "cloudtrial")
    assert [problem.slug for problem in caught.value.problems] == ["files.format", "files.not_found", "files.not_found"]
    assert caught.value.problems[0].nearest == "cloudtrail"
    with pytest.raises(InvalidInput, match="no file"):
        FileSource([])
    with pytest.raises(InvalidInput, match="twice"):
        FileSource(["-", "-"])
    (tmp_path / "odd").write_text("hello")
    with pytest.raises(InvalidInput, match="cannot be told"):
        list(FileSource([tmp_path / "odd"]))


def test_dead_letters_are_appended_to_a_private_file(tmp_path: Path) -> None:
    letters = [DeadLetter("s", "p", number, "json.malformed", "no", b"raw") for number in range(3)]
    path = tmp_path / "dead.ndjson"
    assert save_dead_letters([], path) == 0
    assert not path.exists()
    assert save_dead_letters(letters[:2], path) == 2
    assert save_dead_letters(letters[2:], path) == 1
    assert list(read_dead_letters(path.read_bytes())) == letters
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


ROWS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([None, "", "a", "b", "é"])), max_size=60)


def tables(rows: list[tuple], sizes: int) -> list[pa.Table]:
    out = []
    for at in range(0, len(rows), sizes):
        part = rows[at : at + sizes]
        columns = {
            "time": pa.array([row[0] for row in part], pa.int64()),
            "offset": pa.array(range(at, at + len(part))),
        }
        if any(row[1] is not None for row in part):
            columns["event_id"] = pa.array([row[1] for row in part], pa.string())
        out.append(pa.table(columns))
    return out


@CHECKED
@given(ROWS, st.integers(1, 9), st.sampled_from([1, 200, 1 << 30]))
def test_the_spool_sorts_as_python_does(
    tmp_path_factory: pytest.TempPathFactory, rows: list, sizes: int, memory: int
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    found = [row for part in sorted_tables(tables(rows, sizes), memory, folder) for row in part.to_pylist()]
    expected = sort_rows([{"time": t, "event_id": e, "offset": n} for n, (t, e) in enumerate(rows)])
    assert [(row["time"], row["offset"]) for row in found] == [(row["time"], row["offset"]) for row in expected]
    assert list(folder.iterdir()) == []


def test_more_runs_than_are_merged_at_once(tmp_path: Path) -> None:
    rng = random.Random(3)
    rows = [(rng.randrange(30), rng.choice("abc")) for _ in range(300)]
    found = [row["offset"] for part in sorted_tables(tables(rows, 2), 1, tmp_path) for row in part.to_pylist()]
    expected = sort_rows([{"time": t, "event_id": e, "offset": n} for n, (t, e) in enumerate(rows)])
    assert found == [row["offset"] for row in expected]


def test_what_is_sorted_is_not_copied() -> None:
    table = pa.table({"time": [1, 1, 2], "event_id": ["a", "b", "a"]})
    assert is_sorted(table)
    assert sort_table(table) is table
    assert not is_sorted(pa.table({"time": [1, 1], "event_id": ["b", "a"]}))


def test_a_spool_that_is_left_early_leaves_nothing(tmp_path: Path) -> None:
    rows = [(number % 7, "a") for number in range(100)]
    stream = sorted_tables(tables(rows, 5), 1, tmp_path)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []
