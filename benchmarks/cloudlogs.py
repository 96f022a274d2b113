"""Real audit logs through `cloud_audit`: what is found, in what order, and which techniques have a finding.

CloudTrail S3 lab, Microsoft 365 export (as delivered, sorted, reversed, shuffled) and the 35 technique-named
CloudTrail logs of Stratus Red Team. The baseline is the share of techniques that a list of single API names finds
(the ten most cited names), in the same run.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import random
import tempfile
from collections import defaultdict
from pathlib import Path

from shoal.clock import SystemClock
from shoal.policy.definitions import Tier
from shoal.policy.findings import Ranked
from shoal.runtime.deployment import find_pack, open_deployment
from shoal.runtime.home import open_home
from shoal.runtime.run import Progress, read_source

SILENT = Progress(lambda _: None, lambda _a, _b: None)
CITED = frozenset(
    (
        "CreateAccessKey",
        "CreateLoginProfile",
        "StopLogging",
        "DeleteTrail",
        "PutBucketPolicy",
        "AttachUserPolicy",
        "ConsoleLogin",
        "GetSecretValue",
        "ModifySnapshotAttribute",
        "UpdateAssumeRolePolicy",
    )
)


def findings(source: Path, format_name: str, folder: Path) -> tuple[list[Ranked], dict[str, int]]:
    """Run one log into a fresh deployment: ranked subjects and the ledger's counts."""
    deployment = open_deployment(open_home(folder, create=True))
    try:
        deployment.publish(find_pack("cloud_audit"), history_complete=True)
        read_source(deployment, [source], format_name, received=False, clock=SystemClock(), progress=SILENT)
        return deployment.findings(50).shown, dict(deployment.committer.totals.counts)
    finally:
        deployment.close()


def told(ranked: list[Ranked]) -> list[tuple[str, str, str, list[tuple[str, str]]]]:
    """What a person reads of findings, for comparison: kind, subject, tier, and each rule with its reason."""
    return [
        (r.kind, r.subject, Tier(r.tier).name.lower(), [(rule.rule, rule.reason) for rule in r.rules]) for r in ranked
    ]


def m365_orders(source: Path, folder: Path) -> dict[str, Path]:
    """The export as delivered, sorted by time, reversed and shuffled, as CSV files."""
    before = csv.field_size_limit(1 << 26)
    with gzip.open(source, "rt", encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        names, rows = list(reader.fieldnames or []), list(reader)
    csv.field_size_limit(before)

    def moment(row: dict[str, str]) -> str:
        return str(json.loads(row["AuditData"])["CreationTime"]) if row["AuditData"] else ""

    ordered = sorted(rows, key=moment)
    shuffled = rows[:]
    random.Random(11).shuffle(shuffled)
    paths = {}
    for name, chosen in (("delivered", rows), ("sorted", ordered), ("reversed", ordered[::-1]), ("shuffled", shuffled)):
        text = io.StringIO()
        writer = csv.DictWriter(text, names)
        writer.writeheader()
        writer.writerows(chosen)
        paths[name] = folder / f"{name}.csv"
        paths[name].write_text(text.getvalue(), encoding="utf-8")
    return paths


def stratus_logs(source: Path, folder: Path) -> dict[str, Path]:
    """One NDJSON file a technique."""
    lines: dict[str, list[str]] = defaultdict(list)
    with gzip.open(source, "rt", encoding="utf-8") as stream:
        for line in stream:
            lines[json.loads(line)["technique"]].append(line)
    paths = {}
    for technique, own in lines.items():
        paths[technique] = folder / f"{technique}.ndjson"
        paths[technique].write_text("".join(own), encoding="utf-8")
    return paths


def show(title: str, ranked: list[Ranked], counts: dict[str, int], limit: int = 8) -> None:
    print(f"\n## {title}\n")
    print(", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items() if count))
    for place, entry in enumerate(ranked[:limit], start=1):
        print(f"\n{place}. {entry.kind} `{entry.subject}`: {Tier(entry.tier).name.lower()}")
        for rule in entry.rules:
            print(f"   - {rule.title}: {rule.reason}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--dump", default="")
    options = parser.parse_args()
    logs = Path(options.data) / "cloudlogs"
    figures: dict[str, float | None] = dict.fromkeys(
        ("intruder_rank", "further_findings", "bulk_read_rank", "orders_alike", "techniques", "techniques_found")
    )
    baselines: dict[str, float | None] = {"cited_names_found": None}
    if not logs.is_dir():
        print(f"no data at {logs}: all figures are null")
    else:
        with tempfile.TemporaryDirectory(prefix="shoal-logs-") as place:
            _measure(logs, Path(place), figures, baselines)
    print(json.dumps({"benchmark": "cloudlogs", "quick": options.quick, "figures": figures, "baselines": baselines}))


def _measure(logs: Path, root: Path, figures: dict[str, float | None], baselines: dict[str, float | None]) -> None:
    ranked, counts = findings(logs / "cloudtrail_s3_lab.ndjson.gz", "cloudtrail", root / "trail")
    show("CloudTrail, S3 lab", ranked, counts)
    subjects = [entry.subject for entry in ranked]
    figures["intruder_rank"] = subjects.index("jmerckle") + 1 if "jmerckle" in subjects else None
    bulk = [k for k, entry in enumerate(ranked, start=1) if any("bulk" in rule.rule for rule in entry.rules)]
    figures["bulk_read_rank"] = bulk[0] if bulk else None
    figures["further_findings"] = len(subjects) - 2
    outcomes = {}
    for name, path in m365_orders(logs / "m365_audit.csv.gz", root).items():
        ranked, counts = findings(path, "m365", root / f"m365-{name}")
        outcomes[name] = told(ranked)
        if name == "delivered":
            show("Microsoft 365, as delivered", ranked, counts)
    figures["orders_alike"] = sum(outcome == outcomes["delivered"] for outcome in outcomes.values())
    found, cited = 0, 0
    paths = stratus_logs(logs / "stratus_cloudtrail.ndjson.gz", root)
    print(
        "\n## Stratus Red Team, one log a technique\n\n| technique | events | first finding | tier |\n|---|---|---|---|"
    )
    for technique, path in paths.items():
        ranked, counts = findings(path, "cloudtrail", root / f"stratus-{technique}")
        text = path.read_text(encoding="utf-8")
        cited += any(json.loads(line)["eventName"] in CITED for line in text.splitlines())
        found += bool(ranked)
        first = f"`{ranked[0].rules[0].rule}`" if ranked else "none"
        tier = Tier(ranked[0].tier).name.lower() if ranked else "allow"
        print(f"| {technique} | {counts['decided']} | {first} | {tier} |")
    figures["techniques"], figures["techniques_found"] = len(paths), found
    baselines["cited_names_found"] = cited
    print(f"\n{found} of {len(paths)} techniques have a finding; a list of ten much cited API names finds {cited}")


if __name__ == "__main__":
    main()
