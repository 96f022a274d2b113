"""Stored decisions judged by cohort, as of a stated time; outcomes of Shoal's own challenges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from judged_history import DAY, START_US, event, label, run_history, write_pack
from typer.testing import CliRunner

from shoal.cli.app import app
from shoal.errors import InvalidInput
from shoal.learn.intervals import Share
from shoal.runtime.home import Home
from shoal.runtime.judge.cohorts import judge_decisions


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Twenty links a week over three weeks, each reported once; challenges of fifty people beside."""
    root = tmp_path_factory.mktemp("cohorts")
    rows = []
    for week in range(3):
        for k in range(20):
            minutes = week * 7 * 1440 + k * 60
            rows.append(event(len(rows), minutes, "abuse.reported", link=f"w{week}l{k}", owner=f"o{k}"))
    for k in range(50):
        kind = "challenge.passed" if k < 40 else "challenge.failed"
        rows.append(event(len(rows), k, "challenge.issued", account=f"o{k}", method="totp", cause="shoal"))
        rows.append(event(len(rows), k, kind, account=f"o{k}", method="totp", cause="shoal"))
        rows.append(event(len(rows), k, kind, account=f"o{k}", method="totp"))
    for k in range(10):  # nobody answers; the last was issued just before the end
        minutes = 60 + k if k < 9 else 14 * 1440 + 19 * 60
        rows.append(event(len(rows), minutes, "challenge.issued", account=f"x{k}", method="totp", cause="shoal"))
    return run_history(root / "home", write_pack(root / "pack", 1), rows)


def labels() -> list[dict[str, object]]:
    """Each week's first fifteen links are labelled four days later, twelve of them abusive."""
    rows = []
    for week in range(3):
        for k in range(15):
            at = START_US + week * 7 * DAY + k * 60 * 60_000_000
            rows.append(label("link", f"w{week}l{k}", "phishing" if k < 12 else "benign", at + 4 * DAY, at))
    return rows


def test_only_what_was_known_by_then(home: Home) -> None:
    judged = judge_decisions(home, labels=labels(), now_us=START_US + 16 * DAY)
    first, second, third = judged.by_threat[""].cohorts
    assert judged.labels == 30
    assert (first.decided, first.abusive, first.benign) == (20, 12, 3)
    assert first.precision == Share(12, 15)
    assert not first.too_young
    assert not second.too_young
    assert (third.decided, third.abusive) == (20, 0)
    assert third.too_young == "0% of labels known"
    assert judged.by_threat["phishing"].ripe.precision == Share(24, 30)


def test_challenges_speak_for_themselves(home: Home) -> None:
    (challenge,) = judge_decisions(home).challenges
    assert challenge.method == "totp"
    assert challenge.outcomes == {"passed": 40, "failed": 10, "abandoned": 9}, (
        "the service's own challenges are not Shoal's"
    )
    # 19 of 59 did not pass; the assumed errors: 90 % of owners and 2 % of intruders pass.
    assert challenge.intruders == pytest.approx((19 / 59 + 0.9 - 1) / (0.98 + 0.9 - 1))
    assert challenge.interval is not None
    assert challenge.interval.low < challenge.intruders < challenge.interval.high


def test_the_command(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "labels.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in labels()))
    ran = CliRunner().invoke(app, ["cohorts", str(home.folder), "--labels", str(path), "--now", "2026-01-21"])
    assert ran.exit_code == 0, ran.output
    assert "too young" in ran.output
    assert "r.link_reported: 80% (24 of 30; 63%-90%)" in ran.output
    assert "challenges by totp: abandoned 10, failed 10, passed 40" in ran.output


@pytest.mark.parametrize(
    ("arguments", "slug"),
    [
        (["--tier", "severe"], "option.tier"),
        (["--cohort", "-1d"], "option.duration"),
        (["--now", "x"], "option.moment"),
    ],
)
def test_bad_options(home: Home, arguments: list[str], slug: str) -> None:
    ran = CliRunner().invoke(app, ["cohorts", str(home.folder), *arguments])
    assert isinstance(ran.exception, InvalidInput)
    assert [problem.slug for problem in ran.exception.problems] == [slug]
