"""Backtests: two packs over one history from the same position; what Shoal did then is masked, labels only score."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from judged_history import DAY, HOUR, MINUTE, START_US, event, label, run_history, write_pack
from typer.testing import CliRunner

from shoal.cli.app import app
from shoal.cli.backtest import as_plain
from shoal.errors import InvalidInput
from shoal.learn.cohorts import Subject
from shoal.learn.intervals import Share
from shoal.packs.load import load_pack
from shoal.policy.definitions import Tier
from shoal.runtime.home import Home
from shoal.runtime.judge.backtest import Window, backtest

EARLY = Window(warm_up_us=0)


def history() -> list[dict[str, object]]:
    """Two links: `bad` gets three reports, then is visited; `odd` two, then is visited. One noisy address."""
    rows = []
    for link, reports, owner in (("bad", 3, "mallory"), ("odd", 2, "olga")):
        rows += [("abuse.reported", 10 + k, {"link": link, "owner": owner}) for k in range(reports)]
        rows += [("link.visited", 20 + k, {"link": link, "owner": owner, "actor": f"v{k}"}) for k in range(5)]
    rows += [("login.failed", 30 + k, {"ip": "192.0.2.1", "account": f"a{k}"}) for k in range(4)]
    rows += [("login.succeeded", 40, {"ip": "192.0.2.1", "account": "ann", "actor": "ann"})]
    plan = {"record": "fact", "subject_type": "account", "subject": "ann", "name": "tier", "value": "plus"}
    plan["time"] = "2026-01-04T00:00:00Z"
    return [plan, *(event(k, minutes, kind, **columns) for k, (kind, minutes, columns) in enumerate(rows))]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    root = tmp_path_factory.mktemp("backtest")
    return run_history(root / "home", write_pack(root / "live", 3), history())


def packs(tmp_path: Path) -> tuple[Path, Path]:
    return write_pack(tmp_path / "old", 3), write_pack(tmp_path / "new", 2, 3, version="2")


def test_what_differs(home: Home, tmp_path: Path) -> None:
    labels = [
        label("link", "bad", "phishing", START_US + DAY),
        label("link", "odd", "benign", START_US + DAY),
        label("account", "mallory", "phishing", START_US + DAY),
    ]
    _, new = packs(tmp_path)
    found = backtest(home, load_pack(new), window=EARLY, labels=labels)
    assert (found.events, found.warm_up_events, found.labels) == (20, 0, 3)
    rules = {rule.rule: rule for rule in found.rules}
    reported = rules["r.link_reported"]
    # `bad` matches at its third report and at five visits; from two on so does `odd`, and `bad` one event sooner.
    assert (reported.status, reported.old, reported.new) == ("changed", 6, 13)
    assert (reported.only_old, reported.only_new) == (0, 7)
    assert (reported.old_worth, reported.new_worth) == (Share(1, 1), Share(1, 2))
    failures = rules["r.login_failures"]
    assert (failures.status, failures.old, failures.new) == ("added", 0, 3)
    moves = found.threats
    assert (moves["phishing"].up, moves["phishing"].kept) == ({"benign": 1}, {"abusive": 1})
    assert moves["credential_attack"].up == {"unlabelled": 1}
    flips = {flip.subject: flip for flip in found.subjects}
    assert (flips[Subject("link", "odd")].old, flips[Subject("link", "odd")].new) == (Tier.ALLOW, Tier.RESTRICT)
    assert flips[Subject("ip", "192.0.2.1")].said == "unlabelled"
    assert Subject("link", "bad") not in flips
    assert found.actions["stop_link"] == (1, 2, 0, 1)
    assert found.old.stopped == {"abusive": 0, "benign": 0, "unlabelled": 5}, "the visits to `bad` are by strangers"
    assert found.new.stopped == {"abusive": 0, "benign": 0, "unlabelled": 10}
    assert (found.old.worth, found.new.worth) == (Share(1, 1), Share(1, 2))
    # Who feels it: the links' owners, and whoever acts from the noisy address; not the accounts that it tried.
    assert found.blast == {"plus": (1, 0, 1, 1), "unknown": (5, 1, 2, 1)}


def test_a_pack_against_itself_differs_in_nothing(home: Home, tmp_path: Path) -> None:
    old, _ = packs(tmp_path)
    found = backtest(home, load_pack(old), load_pack(old), window=EARLY)
    assert not found.subjects
    assert all(rule.status == "same" and not rule.only_old and not rule.only_new for rule in found.rules)
    assert found.old == found.new


def test_the_warm_up_is_decided_and_not_counted(home: Home, tmp_path: Path) -> None:
    old, new = packs(tmp_path)
    window = Window(from_us=START_US + 20 * MINUTE, warm_up_us=HOUR)
    found = backtest(home, load_pack(new), load_pack(old), window=window)
    assert (found.events, found.warm_up_events) == (15, 5)
    assert {rule.rule: rule.old for rule in found.rules}["r.link_reported"] == 5, (
        "the reports before it count in the window"
    )
    cold = backtest(home, load_pack(new), load_pack(old), window=Window(START_US + 20 * MINUTE, None, 0))
    assert (cold.events, cold.warm_up_events) == (15, 0)
    assert {rule.rule: rule.old for rule in cold.rules}["r.link_reported"] == 0
    short = backtest(home, load_pack(new), load_pack(old), window=Window(None, START_US + 24 * MINUTE, 0))
    assert (short.events, short.to_us) == (15, START_US + 24 * MINUTE)


def test_what_shoal_caused_is_masked_and_its_subjects_censored(tmp_path: Path) -> None:
    rows = history()
    rows.append(event(90, 15, "action.applied", link="bad", cause="shoal", reason="stop_link"))
    rows.append(event(91, 15.5, "abuse.reported", link="odd", cause="shoal"))
    old, new = packs(tmp_path)
    home = run_history(tmp_path / "home", old, rows)
    found = backtest(home, load_pack(new), load_pack(old), window=EARLY)
    assert found.events == 20
    assert found.masked == {"outcomes of actions": 1, "events that Shoal caused": 1}
    assert found.censored == [Subject("link", "bad")]
    assert not any(flip.censored for flip in found.subjects), "only subjects that differ are listed"


def test_labels_in_the_journal_score_and_change_no_decision(tmp_path: Path) -> None:
    old, new = packs(tmp_path)
    said = {"record": "label", "subject_type": "link", "subject": "odd", "kind": "phishing", "source": "desk"}
    said |= {"known_at": "2026-01-05T01:00:00Z", "start": "2026-01-05T00:00:00Z"}
    home = run_history(tmp_path / "home", old, history())
    home_told = run_history(tmp_path / "told", old, [*history(), said])
    bare = as_plain(backtest(home, load_pack(new), load_pack(old), window=EARLY))
    scored = as_plain(backtest(home_told, load_pack(new), load_pack(old), window=EARLY))
    assert [(f["subject"], f["old"], f["new"]) for f in bare["subjects"]] == [
        (f["subject"], f["old"], f["new"]) for f in scored["subjects"]
    ]
    assert bare["threats"]["phishing"]["up"] == {"unlabelled": 1}
    assert scored["threats"]["phishing"]["up"] == {"abusive": 1}


@pytest.mark.parametrize(
    ("window", "slug"),
    [
        (Window(START_US + 10 * DAY), "backtest.empty"),
        (Window(None, START_US - DAY), "backtest.empty"),
        (Window(START_US + DAY, START_US), "backtest.window"),
    ],
)
def test_a_stretch_that_makes_no_sense(home: Home, tmp_path: Path, window: Window, slug: str) -> None:
    old, _ = packs(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        backtest(home, load_pack(old), window=window)
    assert [problem.slug for problem in caught.value.problems] == [slug]


def test_the_command(home: Home, tmp_path: Path) -> None:
    _, new = packs(tmp_path)
    labels = tmp_path / "labels.ndjson"
    labels.write_text(json.dumps(label("link", "odd", "benign", START_US)) + "\n")
    arguments = ["backtest", "--pack", str(new), "--out", str(home.folder), "--warm-up", "1s", "--labels", str(labels)]
    arguments += ["--json", str(tmp_path / "b.json"), "--html", str(tmp_path / "b.html")]
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 0, ran.output
    assert "link odd: allow → restrict (phishing, benign)" in ran.output
    whole = json.loads((tmp_path / "b.json").read_text())
    assert (whole["format"], whole["version"]) == ("shoal.backtest", 1)
    assert whole["new"]["worth"]["total"] == 1
    page = (tmp_path / "b.html").read_text()
    assert "allow → restrict" in page
    assert "<script" not in page


BAD = [
    (["--warm-up", "soon"], "option.duration"),
    (["--warm-up", "0s"], "option.duration"),
    (["--from", "yesterday"], "option.moment"),
    (["--to", "2026-01-05T00:00:00"], "option.moment"),
    (["--labels", "absent.parquet"], "labels.absent"),
]


@pytest.mark.parametrize(("arguments", "slug"), BAD)
def test_bad_options(home: Home, tmp_path: Path, arguments: list[str], slug: str) -> None:
    _, new = packs(tmp_path)
    ran = CliRunner().invoke(app, ["backtest", "--pack", str(new), "--out", str(home.folder), *arguments])
    assert isinstance(ran.exception, InvalidInput)
    assert [problem.slug for problem in ran.exception.problems] == [slug]


LABEL_FILES = {
    "not JSON at all": ("labels.ndjson", "labels.unreadable"),
    '{"subject_type": "link", "subject": "a", "kind": 5, "known_at": 1}\n': ("labels.ndjson", "labels.unreadable"),
    '{"subject_type": "planet", "subject": "a", "kind": "x", "known_at": 1}\n': ("labels.ndjson", "labels.row"),
    '{"subject_type": "link", "subject": "", "kind": "x", "known_at": 1}\n': ("labels.ndjson", "labels.row"),
    "PAR1": ("labels.parquet", "labels.unreadable"),
}


@pytest.mark.parametrize("text", LABEL_FILES)
def test_bad_label_files(tmp_path: Path, text: str) -> None:
    from shoal.cli.judging import read_label_file

    name, slug = LABEL_FILES[text]
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput) as caught:
        read_label_file(tmp_path / name)
    assert [problem.slug for problem in caught.value.problems] == [slug]


def test_what_rules_are_worth_over_several_worlds() -> None:
    from shoal.runtime.judge.scenario_run import ScenarioResult, worth_of_rules

    results = [
        ScenarioResult("a", 1, "p", 10, 1.0, (), {"r1": Share(1, 2), "r2": Share(0, 1)}),
        ScenarioResult("b", 1, "p", 10, 1.0, (), {"r1": Share(3, 3)}),
    ]
    assert worth_of_rules(results) == {"r1": (2, Share(4, 5)), "r2": (1, Share(0, 1))}
