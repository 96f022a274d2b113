"""The cloud_audit pack on real audit logs (skipped where the data folder is absent)."""

import gzip
import json
from collections import defaultdict

import pyarrow as pa
import pytest

from oracles.plain_runtime import PlainRuntime
from shoal.events.attributes import extract
from shoal.events.formats import FORMATS
from shoal.packs.load import load_pack

pytestmark = pytest.mark.data
PACK = load_pack("cloud_audit")


def findings(form, data, order="sorted"):
    decoded = FORMATS[form].decoder("test", "0").decode(data, 0)
    ids = decoded.events.column("event_id").to_pylist()
    first = list({name: i for i, name in reversed(list(enumerate(ids)))}.values())
    events = decoded.events.take(pa.array(sorted(first))).sort_by([("time", "ascending"), ("event_id", "ascending")])
    events = extract(events.combine_chunks(), {a.name: (a.path, a.kind) for a in PACK.attributes.values()})
    runtime = PlainRuntime(PACK)
    for start in range(0, events.num_rows, 4096):
        runtime.run(events.slice(start, 4096))
    return runtime.findings.ranked()


def read(folder, name):
    return gzip.decompress((folder / "cloudlogs" / name).read_bytes())


def test_the_intrusion_comes_first_and_the_bulk_read_below_it(data_folder):
    ranked = findings("cloudtrail", read(data_folder, "cloudtrail_s3_lab.ndjson.gz"))
    rules = [{rule.rule for rule in subject.rules} for subject in ranked]
    assert {
        "privilege.granted_to_oneself", "credential.created_for_oneself",
        "discovery.denied_enumeration", "discovery.identity_enumeration",
    } <= rules[0]  # fmt: skip
    bulk = next(i for i, names in enumerate(rules) if "collection.bulk_read" in names)
    assert bulk > 0
    assert ranked[bulk].rules[0].reason.startswith("1,168 different objects (1.9 MB) read within an hour")
    assert len(ranked) <= 2 + 5
    assert all(subject.subject.endswith(".amazonaws.com") is False for subject in ranked)


def test_the_spray_and_the_consent_are_named(data_folder):
    named = {
        rule.rule for subject in findings("m365", read(data_folder, "m365_audit.csv.gz")) for rule in subject.rules
    }
    assert {"credential.spray", "consent.application", "consent.broad_scopes"} <= named


def test_each_named_technique_has_a_finding(data_folder):
    by_technique = defaultdict(list)
    for line in read(data_folder, "stratus_cloudtrail.ndjson.gz").splitlines():
        by_technique[json.loads(line)["technique"]].append(line)
    assert len(by_technique) == 35
    missed = [name for name, lines in by_technique.items() if not findings("cloudtrail", b"\n".join(lines))]
    assert missed == []
