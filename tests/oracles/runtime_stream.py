"""A small stream of events for the runtime's tests."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path


def stream(seed: int = 1, rows: int = 1200) -> list[dict[str, object]]:
    """Logins, failures, downloads and shares of forty accounts over two days, with one stuffing wave."""
    rng = random.Random(seed)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    found: list[dict[str, object]] = []
    for k in range(rows):
        when = start + timedelta(seconds=rng.randrange(2 * 86_400), microseconds=rng.randrange(3))
        account = f"user{rng.randrange(40)}"
        kind = rng.choice(["login.succeeded", "login.failed", "file.downloaded", "folder.shared", "link.visited"])
        found.append(
            {
                "event_id": f"e{k:05d}",
                "time": when.isoformat().replace("+00:00", "Z"),
                "type": kind,
                "account": account,
                "actor": None if kind == "login.failed" else account,
                "ip": f"198.51.100.{rng.randrange(30)}",
                "device": f"d{rng.randrange(60)}",
                "session": f"s{rng.randrange(200)}",
                "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "country": "DE",
                "odd_field": k,
            }
        )
    for k in range(300):
        when = start + timedelta(hours=20, seconds=2 * k)
        found.append(
            {
                "event_id": f"a{k:05d}",
                "time": when.isoformat().replace("+00:00", "Z"),
                "type": "login.failed",
                "account": f"victim{k}",
                "ip": "203.0.113.77",
                "user_agent": "python-requests/2.32",
                "network_kind": "hosting",
            }
        )
    return [{name: value for name, value in event.items() if value is not None} for event in found]


def write_lines(path: Path, events: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return path
