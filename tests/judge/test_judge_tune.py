"""Tuning: the curve of one threshold equals running the rule with each threshold; malformed questions are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from judged_history import DAY, START_US, event, label, run_history, write_pack
from typer.testing import CliRunner

from shoal.cli.app import app
from shoal.errors import InvalidInput
from shoal.events.schema import Kind
from shoal.expressions.compile import Scope, compile_expression
from shoal.learn.intervals import Share
from shoal.packs.load import load_pack
from shoal.runtime.home import Home
from shoal.runtime.judge.backtest import Window, backtest
from shoal.runtime.judge.tune import thresholds, tune


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Link k gets k reports; even ones are abusive, those of 5 and 7 benign, the others unlabelled."""
    root = tmp_path_factory.mktemp("tune")
    rows = []
    for k in range(1, 11):
        rows += [event(100 * k + i, 10 + 0.1 * k + i, "abuse.reported", link=f"l{k}", owner="o") for i in range(k)]
    return run_history(root / "home", write_pack(root / "pack", 4), rows)


LABELS = [label("link", f"l{k}", "phishing", START_US) for k in (2, 4, 6, 8, 10)]
LABELS += [label("link", f"l{k}", "benign", START_US) for k in (5, 7)]


def test_the_curve(home: Home, tmp_path: Path) -> None:
    pack = load_pack(write_pack(tmp_path / "p", 4))
    found = tune(home, pack, "r.link_reported", labels=LABELS)
    assert str(found.threshold) == "reports_1d >= 4"
    assert [point.threshold for point in found.points] == list(range(1, 11))
    assert found.now == found.points[3]
    assert (found.now.caught, found.now.touched, found.now.unknown) == (Share(4, 5), Share(2, 2), 1)  # l9
    for point in found.points:
        other = load_pack(write_pack(tmp_path / f"p{point.threshold}", int(point.threshold)))
        ran = backtest(home, other, window=Window(warm_up_us=0), labels=LABELS)
        assert ran.new.subjects == point.caught.successes + point.touched.successes + point.unknown
        assert ran.new.worth == point.precision


def test_labels_that_are_complete(home: Home, tmp_path: Path) -> None:
    pack = load_pack(write_pack(tmp_path / "p", 4))
    found = tune(home, pack, "r.link_reported", labels=LABELS, unlabelled_honest=True)
    assert (found.now.touched, found.now.unknown, found.subjects) == (Share(3, 5), 0, 10)


def test_matches_outside_the_labelled_time_are_not_catches(home: Home, tmp_path: Path) -> None:
    pack = load_pack(write_pack(tmp_path / "p", 4))
    later = [label("link", "l10", "phishing", START_US + 30 * DAY, START_US + 20 * DAY)]
    found = tune(home, pack, "r.link_reported", labels=later)
    assert found.now.caught == Share(0, 1)


def test_kinds_of_abuse(home: Home, tmp_path: Path) -> None:
    pack = load_pack(write_pack(tmp_path / "p", 4))
    more = [*LABELS, label("link", "l9", "malware", START_US)]
    found = tune(home, pack, "r.link_reported", labels=more, kinds=frozenset({"malware"}))
    assert found.now.caught == Share(1, 1)


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("n >= 3", ["n >= 3"]),
        ("2.5 < n AND t = 'a' AND x < 0.5", ["n >= 3", "x <= 0.5"]),
        ("t = 'a' AND (n > 3 AND x >= 2)", ["n >= 4", "x >= 2"]),
        ("n < 3", ["n <= 2"]),
        ("n >= 3 OR x >= 2", []),
        ("NOT n >= 3", []),
        ("n >= x", []),
    ],
)
def test_which_parts_are_thresholds(condition: str, found: list[str]) -> None:
    scope = Scope({"n": Kind.INT, "x": Kind.FLOAT, "t": Kind.TEXT})
    assert [str(one) for one in thresholds(compile_expression(condition, scope))] == found


BAD = [
    ("r.link_report", "", "tune.rule"),
    ("r.login_failures", "reports_1d", "tune.column"),
]


@pytest.mark.parametrize(("rule", "column", "slug"), BAD)
def test_malformed_questions(home: Home, tmp_path: Path, rule: str, column: str, slug: str) -> None:
    pack = load_pack(write_pack(tmp_path / "p", 4, 3))
    with pytest.raises(InvalidInput) as caught:
        tune(home, pack, rule, column)
    assert [problem.slug for problem in caught.value.problems] == [slug]


def test_the_command(home: Home, tmp_path: Path) -> None:
    pack = write_pack(tmp_path / "p", 4)
    arguments = ["pack", "tune", str(pack), "r.link_reported", "--out", str(home.folder)]
    ran = CliRunner().invoke(app, [*arguments, "--html", str(tmp_path / "t.html"), "--json", str(tmp_path / "t.json")])
    assert ran.exit_code == 0, ran.output
    assert "no subject of this kind is labelled abusive" in ran.output
    assert "reports_1d" in (tmp_path / "t.html").read_text()
