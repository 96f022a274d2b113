"""`shoal alerts` on a journal: an intruder who goes from account to account, views of one's own, and bad requests."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from oracles.runtime_stream import write_lines
from shoal.cli.app import app
from shoal.clock import SystemClock
from shoal.detectors.anomaly.alerts.rows import COLUMNS, DAY, KINDS, Log, rows_of
from shoal.errors import InvalidInput
from shoal.packs.load import load_pack
from shoal.runtime.deployment import open_deployment
from shoal.runtime.home import open_home
from shoal.runtime.judge.alerts import Budget, Reported, report
from shoal.runtime.run import Progress, read_source

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))
from keep_parts import write_pack

START = datetime(2026, 1, 5, tzinfo=UTC)
VIEWS: dict[str, dict[str, Any]] = {
    "entry": {"description": "new devices", "rows": "entry", "high": ["colleagues_on_device", "colleague_files"],
              "low": ["address_known_d"]},
    "reading": {"description": "much read", "rows": "reading", "high": ["colleagues", "colleague_files"]},
    "hand_over": {"description": "given away", "rows": "hand_over", "high": ["folders"], "low": ["recipient_age_d"]},
    "busy": {"description": "busy days", "on": "type = 'file.downloaded'", "high": ["account_day", "size_bytes"],
             "low": ["failed_share"]},
}  # fmt: skip


def with_views(folder: Path, views: dict[str, dict[str, Any]] | None = None) -> Path:
    write_pack(folder)
    (folder / "views").mkdir(exist_ok=True)
    body = {"format": "shoal.views", "version": 1, "views": VIEWS if views is None else views}
    (folder / "views" / "all.yaml").write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
    return folder


def history(seed: int = 3) -> list[dict[str, Any]]:
    """Twelve days of four organisations of ten; on the tenth an intruder goes through one of them."""
    rng, events = random.Random(seed), []

    def add(day: int, who: int, kind: str, **more: Any) -> None:
        when = START + timedelta(days=day, seconds=rng.randrange(86_000))
        name = f"o{who // 10}-{who}"
        events.append({"event_id": f"e{len(events)}", "time": when.isoformat().replace("+00:00", "Z"), "type": kind,
                       "account": name, "actor": name, "org": f"org{who // 10}", "device": f"d{who}",
                       "ip": f"10.0.{who // 10}.{1 + who % 3}", **more})  # fmt: skip

    def read(day: int, who: int, of: int, **more: Any) -> None:
        file = f"f{of}-{rng.randrange(40)}"
        add(day, who, "file.downloaded", owner=f"o{of // 10}-{of}", file=file, size_bytes=rng.randrange(1000), **more)

    for who in range(40):
        add(0, who, "account.created")
    for day in range(12):
        for who in range(40):
            add(day, who, "login.succeeded")
            for _ in range(rng.randrange(3)):
                read(day, who, 10 * (who // 10) + rng.randrange(10))
        for _ in range(3):  # somebody has a new telephone
            who = rng.randrange(40)
            add(day, who, "login.succeeded", device=f"new{day}-{rng.randrange(999)}")
        add(
            day, rng.randrange(40), "folder.shared", recipient=f"partner{rng.randrange(5)}", external=True, resource="r"
        )
    for who in range(10, 17):
        add(9, who, "login.succeeded", device="evil", ip="203.0.113.9")
        for k in range(6):
            read(9, who, 10 + (who + k) % 10, device="evil", ip="203.0.113.9")
    return sorted(events, key=lambda event: str(event["time"]))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("alerts")
    source = write_lines(root / "events.ndjson", history())
    deployment = open_deployment(open_home(root / "home", create=True))
    deployment.publish(with_views(root / "pack"), history_complete=True)
    silent = Progress(lambda _: None, lambda _a, _b: None)
    read_source(deployment, [source], "native", received=False, clock=SystemClock(), progress=silent)
    deployment.close()
    return root / "home"


def reported(home: Path, views: Sequence[str] = (), **more: Any) -> Reported:
    return report(open_home(home, create=False), views=views, **more)


def test_the_intruder_is_the_first_alert_of_his_day_with_whom_he_entered(home: Path) -> None:
    found = reported(home, ["entry"], budget=Budget(per_day=1, learn_days=5))
    nine = [alert for alert in found.alerts if alert.day - found.first == 9]
    assert (nine[0].key, nine[0].view) == ("org1", "entry")
    assert nine[0].below == nine[0].events, "all other entries are at most as suspicious in every direction"
    assert nine[0].values["colleagues on the same new device"] == 6
    assert nine[0].values["days that the organisation knows the address"] == 0
    assert len(nine[0].further) == 6
    assert "colleagues on the same new device 6" in nine[0].evidence
    assert found.alerts[0].day >= found.learned == found.first + 5
    per_day = [sum(alert.day == day for alert in found.alerts) for day in range(found.first, found.last + 1)]
    assert max(per_day) <= 2
    assert sum(per_day) <= 7


def test_rows_from_the_journal_are_rows_from_the_plain_events(home: Path) -> None:
    plain = [{name: event.get(name) for name in COLUMNS} for event in history()]
    times = [datetime.fromisoformat(event["time"].replace("Z", "+00:00")) for event in plain]
    micros = [int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) for moment in times]
    table = pl.DataFrame(
        [event | {"time": at} for event, at in zip(plain, micros, strict=True)], infer_schema_length=None
    )
    table = table.with_columns((pl.col("time") // DAY).alias("day"), pl.col("app").cast(pl.String))
    created = table.filter(pl.col("type") == "account.created").select("account", pl.col("time").alias("created"))
    first = int(table["day"][0])
    expected = {kind: rows_of(Log(table, created, first), kind) for kind in ("entry", "reading", "hand_over")}
    found = reported(home, ["entry", "reading", "hand_over"], unfinished=True)
    assert found.rows == {kind: rows.height for kind, rows in expected.items()}
    assert all(count > 5 for count in found.rows.values())
    told = [alert for alert in found.alerts if alert.view in expected]
    assert len(told) > 10
    for alert in told:
        row = expected[alert.view].row(
            by_predicate=(pl.col("day") == alert.day) & (pl.col("account") == alert.subject), named=True
        )
        assert row["key"] == alert.key
        words = KINDS[alert.view].columns
        mine = {words[name]: row[name] for name in words if words[name] in alert.values}
        assert {name: None if value != value else value for name, value in alert.values.items()} == mine


def test_a_view_over_the_engines_columns_takes_the_most_suspicious_value_of_a_day(home: Path) -> None:
    found = reported(home, ["busy"], budget=Budget(per_day=40, learn_days=0, quiet_days=1), unfinished=True)
    days = {(event["account"], event["time"][:10]) for event in history() if event["type"] == "file.downloaded"}
    assert found.rows == {"busy": len(days)}
    for alert in found.alerts[:20]:
        day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=alert.day)).date().isoformat()
        mine = [event for event in history() if event["account"] == alert.subject and event["time"][:10] == day
                and event["type"] == "file.downloaded"]  # fmt: skip
        assert alert.values[
            "bytes moved or stored" if "bytes moved or stored" in alert.values else _sized(alert)
        ] == max(event["size_bytes"] for event in mine)


def _sized(alert: Any) -> str:
    return next(name for name in alert.values if "size" in name or "byte" in name)


def test_unfinished_days_and_repeats(home: Path) -> None:
    over, all_days = reported(home), reported(home, unfinished=True)
    assert (over.last, all_days.last - over.last) == (all_days.last - 1, 1)
    assert repr(over.alerts) == repr([alert for alert in all_days.alerts if alert.day <= over.last])
    assert repr(reported(home)) == repr(over)


def test_the_command(home: Path) -> None:
    shown = CliRunner().invoke(app, ["alerts", str(home), "--per-day", "2", "--days", "5"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    assert "of org1" in shown.output
    told = json.loads(CliRunner().invoke(app, ["alerts", str(home), "--json", "--days", "99"]).stdout)
    assert (told["format"], told["version"], told["first"]) == ("shoal.alerts", 1, "2026-01-05")
    assert {"day", "view", "subject", "key", "below", "events", "values", "text", "further"} == set(told["alerts"][0])
    bad = CliRunner().invoke(app, ["alerts", str(home), "--view", "entri"])
    assert isinstance(bad.exception, InvalidInput)


@pytest.mark.parametrize(
    ("said", "slug"),
    [
        ({"views": ["entri"]}, "alerts.view"),
        ({"budget": Budget(per_day=0)}, "detector.setting"),
        ({"budget": Budget(window_days=0)}, "detector.setting"),
    ],
)
def test_bad_requests(home: Path, said: dict[str, Any], slug: str) -> None:
    with pytest.raises(InvalidInput) as error:
        report(open_home(home, create=False), **said)
    assert error.value.problems[0].slug == slug


def test_a_pack_without_views_and_a_journal_of_one_day(tmp_path: Path, home: Path) -> None:
    bare = load_pack(write_pack(tmp_path / "bare"))
    with pytest.raises(InvalidInput, match=r"alerts\.none"):
        report(open_home(home, create=False), pack=bare)
    deployment = open_deployment(open_home(tmp_path / "young", create=True))
    deployment.publish(with_views(tmp_path / "pack"), history_complete=True)
    deployment.close()
    with pytest.raises(InvalidInput, match=r"alerts\.empty"):
        reported(tmp_path / "young")


ROWS = {"description": "d", "rows": "entry", "high": ["colleagues_on_device"]}
ON = {"description": "d", "on": "type = 'file.downloaded'", "high": ["size_bytes"]}


@pytest.mark.parametrize(
    ("view", "slug"),
    [
        (ROWS | {"rows": "entri"}, "pack.choice"),
        (ROWS | {"on": "true"}, "view.rows"),
        ({"description": "d", "high": ["size_bytes"]}, "view.rows"),
        (ROWS | {"subject": "ip"}, "view.rows"),
        (ROWS | {"high": ["colleagues_on_devise"]}, "view.unknown_column"),
        (ROWS | {"high": []}, "view.directions"),
        (ROWS | {"low": ["colleagues_on_device"]}, "view.directions"),
        (ROWS | {"low": [f"c{k}" for k in range(17)]}, "view.directions"),
        (ROWS | {"descriptio": "d"}, "pack.unknown_key"),
        ({key: value for key, value in ROWS.items() if key != "description"}, "pack.missing_key"),
        (ON | {"on": "type = "}, "expression.syntax"),
        (ON | {"on": "size_bytes"}, "expression.condition_kind"),
        (ON | {"on": "nothing = 1"}, "expression.unknown_column"),
        (ON | {"subject": "size_bytes"}, "view.unknown_column"),
        (ON | {"key": "orgs"}, "view.unknown_column"),
        (ON | {"high": ["type"]}, "view.unknown_column"),
        (ON | {"low": ["account_dai"]}, "view.unknown_column"),
    ],
)
def test_bad_views(tmp_path: Path, view: dict[str, Any], slug: str) -> None:
    with pytest.raises(InvalidInput) as error:
        load_pack(with_views(tmp_path / "pack", {"one": view}))
    assert slug in {problem.slug for problem in error.value.problems}, error.value


def test_views_change_no_hash_and_are_inherited_and_compared(tmp_path: Path) -> None:
    from shoal.packs.review.diff import diff_packs

    bare, more = load_pack(write_pack(tmp_path / "bare")), load_pack(with_views(tmp_path / "more"))
    assert bare.hash == more.hash
    changes = diff_packs(bare, more).changes
    assert {(one.section, one.id, one.kind) for one in changes if one.section == "view"} == {
        ("view", name, "added") for name in VIEWS
    }
    assert {one.id for one in load_pack("file_sharing").views} == {"hand_over", "reading", "entry", "application"}
    assert all(set(one.columns) == set(KINDS[one.rows].columns) for one in load_pack("file_sharing").views)
