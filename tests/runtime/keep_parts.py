"""Packs and deployments for the tests of snapshots, publications and retention."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from oracles.runtime_stream import stream, write_lines
from shoal.clock import SystemClock
from shoal.runtime.deployment import Deployment, open_deployment
from shoal.runtime.home import open_home
from shoal.runtime.run import Progress, read_source

SILENT = Progress(lambda _: None, lambda _a, _b: None)
SMALL = {"batch_rows": 100, "segment_bytes": 65_536, "snapshot_rows": 300, "dedupe_horizon_s": 3600}
"""Settings under which the stream of the runtime's tests makes several segments and snapshots."""

FEATURES: dict[str, dict[str, Any]] = {
    "ip_events_1h": {"operation": "count", "key": "ip", "window": "1h"},
    "ip_failed_1h": {"operation": "count", "key": "ip", "window": "1h", "where": "type = 'login.failed'"},
    "ip_accounts_1h": {"operation": "distinct", "key": "ip", "value": "account", "window": "1h"},
    "account_day": {"operation": "count", "key": "account", "window": "24h"},
    "account_weight": {"operation": "decayed", "key": "account", "half_life": "6h"},
    "failed_share": {"operation": "derived", "expression": "ip_failed_1h / ip_events_1h"},
}
RULES: dict[str, tuple[str, str, str]] = {
    "stuffing": ("ip", "high", "ip_accounts_1h >= 20 AND failed_share >= 0.5"),
    "half": ("ip", "low", "failed_share >= 0.5 AND ip_events_1h >= 2"),
    "busy": ("account", "medium", "account_day >= 14"),
}


def write_pack(
    folder: Path,
    *,
    features: dict[str, dict[str, Any]] | None = None,
    rules: dict[str, tuple[str, str, str]] | None = None,
    title: str = "as a team writes it",
    attributes: dict[str, Any] | None = None,
    lists: dict[str, str] | None = None,
) -> Path:
    """Write a small pack; returns its folder."""
    for name in ("features", "rules", "lists"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    head: dict[str, Any] = {"format": "shoal.pack", "version": 1, "name": "small", "pack_version": "1.0"}
    head["description"] = "small"
    if attributes:
        head["attributes"] = attributes
    threat = {
        "role": "perpetrator",
        "description": "any",
        "steps": [
            {"tier": "watch", "severity": "low"},
            {"tier": "challenge", "severity": "medium", "rules": 1},
            {"tier": "restrict", "severity": "high"},
        ],
        "actions": [{"action": "watch", "from": "watch", "lease": "1h"}],
    }
    told = {
        name: {
            "title": title,
            "threat": "abuse",
            "subject": subject,
            "severity": severity,
            "condition": condition,
            "reason": "{account} from {ip}",
            "description": "as a team would write it",
            "false_positives": ["none"],
            "evasion": "none",
        }
        for name, (subject, severity, condition) in (rules or RULES).items()
    }
    _write(folder / "pack.yaml", head)
    _write(folder / "features" / "all.yaml", _with("shoal.features", features=copy.deepcopy(features or FEATURES)))
    _write(folder / "policy.yaml", _with("shoal.policy", threats={"abuse": threat}))
    _write(folder / "rules" / "all.yaml", _with("shoal.rules", rules={f"all.{k}": v for k, v in told.items()}))
    for name, text in (lists or {}).items():
        (folder / "lists" / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


def _with(name: str, **content: Any) -> dict[str, Any]:
    return {"format": name, "version": 1, **content}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def halves(folder: Path) -> tuple[Path, Path]:
    """The runtime's stream in two files, the second behind the first in time."""
    events = sorted(stream(), key=lambda event: str(event["time"]))
    return write_lines(folder / "one.ndjson", events[:900]), write_lines(folder / "two.ndjson", events[900:])


def later(folder: Path, days: int = 3) -> Path:
    """The stream again, some days later and under other ids."""
    found = []
    for event in stream():
        when = datetime.fromisoformat(str(event["time"]).replace("Z", "+00:00")) + timedelta(days=days)
        moved = {"event_id": f"later{days}-{event['event_id']}", "time": when.isoformat().replace("+00:00", "Z")}
        found.append({**event, **moved})
    return write_lines(folder / f"later{days}.ndjson", found)


def opened(folder: Path) -> Deployment:
    """The deployment of a folder."""
    return open_deployment(open_home(folder, create=True))


def feed(folder: Path, pack: Path, *sources: Path, warm_up: bool | None = None, complete: bool = True) -> list[str]:
    """Publish a pack and read sources; returns the deployment's notes."""
    deployment = opened(folder)
    try:
        deployment.publish(pack, history_complete=complete, warm_up=warm_up)
        for source in sources:
            read_source(deployment, [source], "native", received=False, clock=SystemClock(), progress=SILENT)
        deployment.rest()
    finally:
        deployment.close()
    return deployment.notes
