"""A world on disk: the bytes, the manifest's counts, what is refused."""

import dataclasses
import gzip
import io
import json
from collections import Counter

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import zstandard

from oracles import simulate_oracle as oracle
from shoal.errors import InvalidInput
from shoal.events.schema import BY_NAME, Kind
from shoal.events.writers import write_native
from shoal.simulate import TRUTH_EVENTS, TRUTH_LABELS, builtin_scenario, simulate, write_world
from shoal.simulate.write import MALFORMED, malformed


@pytest.fixture(scope="module")
def scenario():
    tiny = builtin_scenario("tiny")
    delivery = dataclasses.replace(tiny.delivery, malformed_share=0.01, late_share=0.01, duplicate_share=0.01)
    return dataclasses.replace(tiny, delivery=delivery)


@pytest.fixture(scope="module")
def folder(scenario, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_world(simulate(scenario), folder)
    return folder


def read(folder):
    """Events, facts and broken lines, as a reader that trusts nobody finds them."""
    events, facts, broken = [], [], []
    for line in (folder / "events.ndjson").read_bytes().split(b"\n")[:-1]:
        try:
            record = json.loads(line)
        except ValueError:
            broken.append(line)
            continue
        if isinstance(record, dict) and record.get("record") == "fact":
            facts.append(record)
        elif isinstance(record, dict) and "T" in record.get("time", "") and "type" in record:
            events.append(record)
        else:
            broken.append(line)
    return events, facts, broken


def test_the_manifest_counts_what_is_there(folder):
    manifest = json.loads((folder / "world.json").read_text())
    events, facts, broken = read(folder)
    assert manifest["shoal_world"] == 1
    assert manifest["events"] == len(events)
    assert manifest["facts"] == len(facts)
    assert manifest["malformed"] == len(broken) == sum(manifest["malformed_by_kind"].values()) > 20
    assert set(manifest["malformed_by_kind"]) == set(MALFORMED)
    assert manifest["lines"] == len(events) + len(facts) + len(broken)
    assert manifest["by_type"] == dict(Counter(e["type"] for e in events))
    assert manifest["duplicates"] == len(events) - len({e["event_id"] for e in events}) > 20
    assert manifest["labels"] == pq.read_table(folder / "labels.parquet").num_rows
    assert manifest["truth_events"] == pq.read_table(folder / "truth.parquet").num_rows


def test_lines_are_the_blocks(folder, scenario):
    events, _, _ = read(folder)
    blocks = [json.loads(line) for block in simulate(scenario).blocks() for line in oracle.native_lines(block)]
    assert blocks == events
    for event in events[:500]:
        for name, value in event.items():
            if name == "attributes":
                assert list(value) == ["email_shape", "name_shape"]
                continue
            kind = BY_NAME[name].kind
            wanted = {Kind.TEXT: str, Kind.TIME: str, Kind.INT: int, Kind.FLOAT: float | int, Kind.BOOL: bool}[kind]
            assert isinstance(value, wanted), (name, value)


def test_facts_are_native_records(folder):
    _, facts, _ = read(folder)
    kinds = {"created": int, "tier": str, "verified": bool, "org": str, "owner": str}
    for fact in facts:
        assert list(fact) == ["record", "subject_type", "subject", "name", "value", "time"]
        assert type(fact["value"]) is kinds[fact["name"]]


def test_same_bytes_again(folder, scenario, tmp_path):
    write_world(simulate(scenario), tmp_path)
    for name in ("events.ndjson", "labels.parquet", "truth.parquet", "world.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_compressed_bytes_are_the_same_events(folder, scenario, tmp_path, compression):
    seen = []
    write_world(simulate(scenario), tmp_path / "a", compression=compression, progress=seen.append)
    write_world(simulate(scenario), tmp_path / "b", compression=compression)
    name = f"events.ndjson.{compression}"
    packed = (tmp_path / "a" / name).read_bytes()
    assert packed == (tmp_path / "b" / name).read_bytes()
    if compression == "gz":
        plain = gzip.decompress(packed)
    else:
        plain = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)).read()
    assert plain == (folder / "events.ndjson").read_bytes()
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_tables(folder):
    assert pq.read_schema(folder / "labels.parquet").equals(TRUTH_LABELS)
    assert pq.read_schema(folder / "truth.parquet").equals(TRUTH_EVENTS)


def test_each_kind_of_broken_line_is_broken(scenario):
    whole = write_native(next(iter(simulate(scenario).blocks())))
    begins = np.append(0, np.flatnonzero(np.frombuffer(whole, dtype=np.uint8) == 10) + 1)
    lines = malformed(np.random.default_rng(1), whole, begins, 0.3)
    assert {kind for _, kind, _ in lines} == set(MALFORMED)
    for _, kind, line in lines:
        assert b"\n" not in line
        try:
            record = json.loads(line)
        except ValueError:
            assert kind in ("cut", "not_json", "encoding")
            continue
        if kind == "not_object":
            assert isinstance(record, list)
        else:
            missing = {"time_missing": "time", "type_missing": "type"}.get(kind)
            assert (missing and missing not in record) or record.get("time") == "yesterday"


def test_refusals(folder, scenario, tmp_path):
    world = simulate(scenario)
    (tmp_path / "file").write_text("")
    cases = [
        (folder, "", "world.exists"),
        (tmp_path / "x", "bz2", "world.compression"),
        (tmp_path / "file" / "below", "", "world.folder"),
    ]
    for place, compression, slug in cases:
        with pytest.raises(InvalidInput) as caught:
            write_world(world, place, compression=compression)
        assert [p.slug for p in caught.value.problems] == [slug]


def test_polars_reads_it(folder):
    lines = [line for line in (folder / "events.ndjson").read_bytes().split(b"\n") if line.startswith(b'{"event_id"')]
    good = []
    for line in lines:
        try:
            json.loads(line)
            good.append(line)
        except ValueError:
            continue
    assert pl.read_ndjson(io.BytesIO(b"\n".join(good)), infer_schema_length=None).height == len(good)
