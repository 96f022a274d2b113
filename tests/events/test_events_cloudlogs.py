"""Real audit logs through the readers. Needs the data folder (`SHOAL_DATA`, else ../shared/data)."""

import json
import os
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from shoal.adapters.files import FileSource
from shoal.events.decode import Decoded
from shoal.events.formats.values import parse_address

DATA = Path(os.environ.get("SHOAL_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "cloudlogs"
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the real logs are absent: set SHOAL_DATA (looked in {DATA})"),
]


def read(name: str) -> tuple[FileSource, list[Decoded], pa.Table]:
    source = FileSource([DATA / name])
    parts = list(source)
    assert all(part.balanced for part in parts)
    return source, parts, pa.concat_tables([part.events for part in parts], promote_options="default")


def test_cloudtrail_lab() -> None:
    source, _, events = read("cloudtrail_s3_lab.ndjson.gz")
    assert source.formats == {"cloudtrail_s3_lab.ndjson.gz": "cloudtrail"}
    assert (events.num_rows, source.records_dead) == (30_477, 0)
    assert len(set(events.column("event_id").to_pylist())) == 23_981
    assert events.column("ip").null_count == 28_542
    hosts = sum(1 for text in events.column("attributes").to_pylist() if '"sourceIPAddress"' in text)
    assert hosts == 28_542
    types = Counter(events.column("type").to_pylist())
    assert types["file.downloaded"] == 1_168
    assert types["file.uploaded"] == 15_079
    assert types["login.succeeded"] + types["login.failed"] == 5
    rows = [row for row in events.to_pylist() if row["ip"] == "3.238.12.183"]
    assert len(rows) == 37
    assert {row["account"] for row in rows} == {"jmerckle"}
    assert {"permission.granted", "credential.created"} <= {row["type"] for row in rows}
    assert any(row["outcome"] == "denied" for row in rows)


def test_repeated_records_are_alike() -> None:
    for name, distinct in (("cloudtrail_s3_lab.ndjson.gz", 23_981), ("m365_audit.csv.gz", 5_373)):
        _, _, events = read(name)
        bodies = {json.dumps(row, sort_keys=True) for row in events.drop(["offset"]).to_pylist()}
        assert len(bodies) == distinct


def test_m365_export() -> None:
    source, parts, events = read("m365_audit.csv.gz")
    assert source.records_read == 9_611
    assert [letter.reason for part in parts for letter in part.dead] == ["auditdata.missing"] * 3
    assert events.num_rows == 9_608
    types = Counter(events.column("type").to_pylist())
    assert (types["login.failed"], types["login.succeeded"]) == (368, 583)
    assert types["app.authorized"] == 292
    assert types["rule.created"] == 7
    assert all(parse_address(text) == text for text in set(events.column("ip").to_pylist()) - {None})
    logins = [row for row in events.to_pylist() if row["type"] == "login.failed"]
    assert all(row["outcome"] == "failure" and row["error"] and row["account"] for row in logins)


def test_stratus_records_keep_their_technique() -> None:
    source, _, events = read("stratus_cloudtrail.ndjson.gz")
    assert (events.num_rows, source.records_dead) == (310, 0)
    techniques = {json.loads(text)["technique"] for text in events.column("attributes").to_pylist()}
    assert len(techniques) == 35
    rows = {row["operation"]: row for row in events.to_pylist()}
    assert rows["ModifySnapshotAttribute"]["external"] is True
    assert rows["CreateRole"]["external"] is True
    assert rows["AttachUserPolicy"]["permission"].endswith("AdministratorAccess")
    assert rows["DeleteTrail"]["type"] == "logging.stopped"
