"""A pack with rules that defer, and deployments for the tests of revisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from shoal.runtime.deployment import Deployment, open_deployment
from shoal.runtime.home import open_home
from shoal.runtime.ingest.follow import Followed, follow
from shoal.runtime.review.doctor import Checkup, check_up
from shoal.runtime.review.replay import ReplayReport, replay
from shoal.storage.decisions import DecisionLog
from shoal.storage.store import DecisionRow, OutboxRow, RevisionRow, Store
from shoal.testing import FakeClock, MemorySource

START = 1_767_571_200.0  # 2026-01-05
RULES: dict[str, dict[str, Any]] = {
    "far": {"subject": "account", "severity": "high", "condition": "country = 'XX'", "on_unknown": "defer"},
    "free": {"subject": "account", "severity": "medium", "condition": "account_tier = 'free'", "on_unknown": "defer"},
    "lent": {"subject": "owner", "severity": "low", "condition": "owner_tier = 'free'", "on_unknown": "defer"},
    "acme": {"subject": "account", "severity": "medium", "condition": "org = 'acme'", "on_unknown": "defer"},
    "any": {"subject": "account", "severity": "low", "condition": "account_day >= 1", "family": "any"},
}
ORDER = {"low": "watch", "medium": "challenge", "high": "restrict"}


def write_pack(folder: Path, *rules: str, attributes: bool = False) -> Path:
    """A small pack of some of `RULES` (none named: far and any)."""
    for name in ("features", "rules"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    threat = {
        "role": "perpetrator",
        "description": "any",
        "steps": [{"tier": tier, "severity": severity} for severity, tier in ORDER.items()],
        "actions": [
            {"action": "watch", "from": "watch", "lease": "1h"},
            {"action": "rate_limit", "from": "challenge", "lease": "4h"},
            {"action": "review", "from": "restrict", "lease": "1h"},
        ],
    }
    told = {}
    for name in rules or ("far", "any"):
        told[f"all.{name}"] = {
            "title": f"the rule {name}",
            "threat": "abuse",
            "reason": "{account} from {country}",
            "description": "as a team would write it",
            "false_positives": ["none"],
            "evasion": "none",
        } | RULES[name]
    head = {"name": "deferring", "pack_version": "1.0", "description": "rules that defer"}
    _write(folder / "pack.yaml", "shoal.pack", **head)
    features = {"account_day": {"operation": "count", "key": "account", "window": "24h"}}
    _write(folder / "features" / "all.yaml", "shoal.features", features=features)
    _write(folder / "policy.yaml", "shoal.policy", threats={"abuse": threat})
    _write(folder / "rules" / "all.yaml", "shoal.rules", rules=told)
    return folder


def _write(path: Path, kind: str, **content: Any) -> None:
    path.write_text(yaml.safe_dump({"format": kind, "version": 1, **content}, sort_keys=False), encoding="utf-8")


def event(name: str, at: float, **more: Any) -> dict[str, Any]:
    """A download at so many seconds."""
    return {"event_id": name, "time": round((START + at) * 1e6), "type": "file.downloaded", "actor": "a"} | more


def fact(subject: str, name: str, value: str, at: float, of: str = "account") -> dict[str, Any]:
    """A fact record."""
    told = {"record": "fact", "subject_type": of, "subject": subject, "name": name, "value": value}
    return told | {"time": round((START + at) * 1e6)}


def opened(folder: Path, pack: Path, *, allow_missing: bool = True) -> Deployment:
    """The deployment, with the pack in force."""
    deployment = open_deployment(open_home(folder, create=True), allow_missing=allow_missing)
    try:
        deployment.publish(pack, history_complete=True)
    except BaseException:
        deployment.close()
        raise
    return deployment


def feed(deployment: Deployment, records: list[dict[str, Any]], name: str = "memory", limit: int = 1000) -> Followed:
    """The records through the deployment, each delivered a second after its time."""
    clock = FakeClock(round(START * 1e6))
    script = [(record["time"] / 1e6 - START + 1, record) for record in records]
    source = MemorySource({"p": script}, clock, limit=limit, name=name)
    return follow(deployment, source, clock=clock, merge_wait_s=0)


def run(folder: Path, pack: Path, *parts: list[dict[str, Any]]) -> None:
    """Each part in a run of its own."""
    for number, records in enumerate(parts):
        deployment = opened(folder, pack)
        try:
            feed(deployment, records, name=f"part{number}")
        finally:
            deployment.close()


class Stored:
    """What a deployment holds."""

    def __init__(self, folder: Path) -> None:
        with Store.open(folder / "store.sqlite") as store:
            self.decisions: list[DecisionRow] = store.read_decisions()
            self.latest: list[DecisionRow] = store.read_decisions(latest=True)
            self.outbox: list[OutboxRow] = store.read_outbox()
            self.revisions: list[RevisionRow] = store.read_revisions()
            self.open = store.read_open()
            self.missing = store.read_missing_parts()
            self.counts: dict[str, int] = {}
            for counts in store.read_ledger().values():
                for name, count in counts.items():
                    self.counts[name] = self.counts.get(name, 0) + count
        log = DecisionLog.open(folder / "decisions", read_only=True)
        self.rows = pa.concat_tables(log.read()).combine_chunks()
        tables = list(log.read(revisions=True))
        self.log = pa.concat_tables(tables).combine_chunks() if tables else None
        log.close()

    def tiers(self) -> dict[int, int]:
        """seq → tier of each event behind its last revision."""
        found = dict(zip(self.rows["seq"].to_pylist(), self.rows["tier"].to_pylist(), strict=True))
        return found | {row.seq: row.tier for row in self.revisions}


def whole(folder: Path) -> tuple[Checkup, ReplayReport]:
    """The deployment, once the doctor and a replay have found nothing wrong."""
    home = open_home(folder, create=False)
    checkup, report = check_up(home), replay(home)
    assert checkup.problems == []
    assert (report.count, [str(one) for one in report.differences]) == (0, [])
    return checkup, report
