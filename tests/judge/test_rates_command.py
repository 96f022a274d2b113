"""`shoal rates` on a journal: quiet where nothing moves, and the segment that moved where one does."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oracles.runtime_stream import write_lines
from shoal.cli.app import app
from shoal.clock import SystemClock
from shoal.errors import InvalidInput
from shoal.runtime.deployment import find_pack, open_deployment
from shoal.runtime.home import open_home
from shoal.runtime.run import Progress, read_source

START = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three weeks of logins, about ten an hour by day, and a wave of failures from Brazil in the third."""
    root, rng = tmp_path_factory.mktemp("rates"), random.Random(3)
    events: list[dict[str, object]] = []

    def add(when: datetime, kind: str, country: str) -> None:
        text = when.isoformat().replace("+00:00", "Z")
        account = f"u{rng.randrange(300)}"
        events.append({"event_id": f"e{len(events)}", "time": text, "type": kind, "account": account,
                       "country": country, "client": "web"})  # fmt: skip

    for hour in range(21 * 24):
        for _ in range(12 if 7 <= hour % 24 <= 21 else 4):
            when = START + timedelta(hours=hour, seconds=rng.randrange(3600))
            add(when, "login.failed" if rng.random() < 0.25 else "login.succeeded", rng.choice(["DE", "FR", "BR"]))
    for _ in range(400):
        add(START + timedelta(days=18, seconds=rng.randrange(7200)), "login.failed", "BR")
    source = write_lines(root / "events.ndjson", sorted(events, key=lambda event: str(event["time"])))
    deployment = open_deployment(open_home(root / "home", create=True))
    deployment.publish(find_pack("cloud_audit"), history_complete=True)
    silent = Progress(lambda _: None, lambda _a, _b: None)
    read_source(deployment, [source], "native", received=False, clock=SystemClock(), progress=silent)
    deployment.close()
    return root / "home"


def test_it_says_which_segment_moved(journal: Path) -> None:
    done = CliRunner().invoke(app, ["rates", str(journal), "--by", "country", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["measures"]
    assert found["logins"] == []
    assert found["sign-ups"] == []
    (alarm,) = found["failures"]
    assert alarm["up"]
    assert ["country", "BR"] in [mover["segment"] for mover in (alarm["main"], *alarm["movers"])]
    assert (
        (START + timedelta(days=18)).timestamp() * 1e6 - 3.6e9
        <= alarm["start"]
        <= 7.2e9 + (START + timedelta(days=18)).timestamp() * 1e6
    )
    shown = CliRunner().invoke(app, ["rates", str(journal)], env={"COLUMNS": "150"})
    assert "country BR" in shown.stdout


@pytest.mark.parametrize(
    ("words", "slug"),
    [
        (["--by", "contry"], "did you mean 'country'"),
        (["--by", "lat"], "rates.segment"),
        (["--learn", "soon"], "option.duration"),
        (["--learn", "1h"], "detector.setting"),
        (["--alarms", "0"], "detector.setting"),
    ],
)
def test_mistakes(journal: Path, words: list[str], slug: str) -> None:
    done = CliRunner().invoke(app, ["rates", str(journal), *words])
    assert isinstance(done.exception, InvalidInput)
    assert slug in str(done.exception)


def test_a_journal_without_such_events(tmp_path: Path) -> None:
    deployment = open_deployment(open_home(tmp_path / "home", create=True))
    deployment.close()
    done = CliRunner().invoke(app, ["rates", str(tmp_path / "home")])
    assert "rates.empty" in str(done.exception)
