"""A small history and two packs over it, for the tests of judging."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from oracles.runtime_stream import write_lines
from shoal.clock import SystemClock
from shoal.runtime.deployment import open_deployment
from shoal.runtime.home import Home, open_home
from shoal.runtime.run import Progress, read_source

START = datetime(2026, 1, 5, tzinfo=UTC)
START_US = int(START.timestamp() * 1e6)
MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
KEY = "000102030405060708090a0b0c0d0e0f"
SILENT = Progress(lambda _: None, lambda _a, _b: None)

PACK = 'format: shoal.pack\nversion: 1\nname: judged\npack_version: "{version}"\ndescription: for tests\n'
FEATURES = """\
format: shoal.features
version: 1
features:
  reports_1d: {operation: count, key: link, window: 1d, where: type = 'abuse.reported', description: reports}
  failures_1h: {operation: count, key: ip, window: 1h, where: type = 'login.failed', description: failures}
"""
RULE = """\
  {id}:
    title: {id}
    description: {id}
    threat: {threat}
    subject: {subject}
    severity: high
    condition: {condition}
    reason: "{id}"
    false_positives: [somebody]
    evasion: slowly
"""
POLICY = """\
format: shoal.policy
version: 1
threats:
  phishing:
    role: perpetrator
    steps: [{tier: restrict, severity: high}]
    actions: [{action: stop_link, from: challenge, lease: 2d}]
  credential_attack:
    role: perpetrator
    steps: [{tier: challenge, severity: high}]
    actions: [{action: rate_limit, from: challenge, lease: 1h}]
"""


def write_pack(folder: Path, reports: int, failures: int | None = None, version: str = "1") -> Path:
    """A pack that stops a link from so many reports on, and meets an address from so many failures on (None: has no
    such rule)."""
    rules = RULE.format(id="r.link_reported", threat="phishing", subject="link", condition=f"reports_1d >= {reports}")
    if failures is not None:
        condition = f"failures_1h >= {failures}"
        rules += RULE.format(id="r.login_failures", threat="credential_attack", subject="ip", condition=condition)
    for name, text in {
        "pack.yaml": PACK.format(version=version),
        "features/f.yaml": FEATURES,
        "rules/r.yaml": "format: shoal.rules\nversion: 1\nrules:\n" + rules,
        "policy.yaml": POLICY if failures is not None else POLICY[: POLICY.index("  credential_attack")],
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def event(number: int, minutes: float, kind: str, **columns: object) -> dict[str, object]:
    moment = (START + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
    return {"event_id": f"e{number:05d}", "time": moment, "type": kind, **columns}


def run_history(folder: Path, pack: Path, events: list[dict[str, object]]) -> Home:
    """A deployment that read the events under the pack."""
    folder.mkdir(parents=True)
    (folder / "identity.key").write_text(KEY + "\n")
    home = open_home(folder, create=True)
    deployment = open_deployment(home)
    try:
        deployment.publish(pack, history_complete=True)
        source = write_lines(folder.parent / f"{folder.name}.ndjson", events)
        read_source(deployment, [source], "native", received=False, clock=SystemClock(), progress=SILENT)
    finally:
        deployment.close()
    return home


def label(subject_type: str, subject: str, kind: str, known_us: int, start_us: int | None = None) -> dict[str, object]:
    return {
        "subject_type": subject_type, "subject": subject, "kind": kind, "start": start_us, "end": None,
        "source": "desk", "confidence": 1.0, "known_at": known_us, "retracted": False,
    }  # fmt: skip
