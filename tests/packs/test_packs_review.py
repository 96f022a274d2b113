"""Warnings, differences, starters and the catalogue: each finding told, and nothing told of what is sound."""

import json

import pytest
from small_pack import FEATURES, FILES, POLICY, RULES, swap, write
from typer.testing import CliRunner

from oracles.plain_runtime import PlainRuntime
from shoal.cli.app import app
from shoal.errors import InvalidInput
from shoal.packs.cost import Load
from shoal.packs.fields import moment_us
from shoal.packs.load import builtin_packs, load_pack
from shoal.packs.review.diff import as_plain, diff_packs
from shoal.packs.review.warnings import warnings_of
from shoal.packs.starter import starter_files
from shoal.packs.testing import run_tests
from shoal.reports.catalogue import write_catalogue

NOW = moment_us("2026-06-01")
LEAN = FEATURES[: FEATURES.index("  failures_per_account")]  # the small pack without the feature that nothing reads
SECOND_RULE = RULES.partition("rules:\n")[2].replace("login.many_failures", "login.again")
NEAR_MISS = RULES[RULES.index("      - name: an office") :]
FIRING = RULES[RULES.index("      - name: three") : RULES.index("      - name: an office")]
IDLE = "  idle:\n    role: victim\n    steps: [{tier: watch, severity: low}]\n"

WARNINGS = [
    ({}, []),
    (swap("rules/login.yaml", NEAR_MISS, ""), ["check.no_near_miss"]),
    (swap("rules/login.yaml", FIRING, ""), ["check.no_firing_test"]),
    ({"features/f.yaml": LEAN + "  idle:\n    operation: age\n    key: ip\n"}, ["check.unread_feature"]),
    ({"lists/idle.txt": "a\n"}, ["check.unread_list"]),
    (swap("policy.yaml", "2027-01-01", "2026-06-30"), ["check.allow_ends"]),
    (swap("policy.yaml", "2027-01-01", "2026-07-02"), []),
    (swap("policy.yaml", "2027-01-01", "2025-01-01"), ["check.allow_ends"]),
    (swap("policy.yaml", "threats:\n", "threats:\n" + IDLE), ["check.idle_threat"]),
    (swap("rules/login.yaml", "severity: high", "severity: medium"), ["check.no_step"]),
    (swap("policy.yaml", "tier: restrict", "tier: allow"), ["check.no_step"]),
    ({"rules/login.yaml": RULES + SECOND_RULE}, ["check.same_condition"]),
    ({"rules/login.yaml": RULES + SECOND_RULE.replace(">= 3 AND", ">=   3  and")}, ["check.same_condition"]),
    ({"rules/login.yaml": RULES + SECOND_RULE.replace(">= 3 AND", ">= 4 AND")}, []),
    ({"rules/login.yaml": RULES + SECOND_RULE.replace("subject: ip", "subject: network")}, []),
]


@pytest.mark.parametrize(("files", "slugs"), WARNINGS, ids=lambda value: str(value)[-50:])
def test_warnings(tmp_path, files, slugs):
    found = warnings_of(load_pack(write(tmp_path, {"features/f.yaml": LEAN, **files})), NOW)
    assert [problem.slug for problem in found] == slugs, [str(p) for p in found]
    assert all(problem.where.line for problem in found)


@pytest.mark.parametrize("name", builtin_packs())
def test_the_packs_that_ship_smell_of_nothing(name):
    assert warnings_of(load_pack(name), moment_us("2026-11-22")) == ()


DAY = ("--as-of", "2026-06-01")


def run(*arguments):
    return CliRunner().invoke(app, ["pack", *map(str, arguments)])


def test_check_speaks_to_people_and_to_ci(tmp_path):
    sound = write(tmp_path / "a")
    found = run("check", sound, *DAY, "--costs", "--rate", "2000")
    assert found.exit_code == 0
    assert "1 rules" in found.output
    assert "failures_10m: " in found.output
    assert "at 2,000 events a second" in found.output
    smelly = write(tmp_path / "b", {"features/f.yaml": LEAN, "lists/idle.txt": "a\n"})
    found = run("check", smelly, *DAY)
    assert found.exit_code == 0
    assert "warning: " in found.output
    assert run("check", smelly, *DAY, "--strict").exit_code == 1
    told = json.loads(run("check", smelly, *DAY, "--json").stdout)
    assert (told["format"], told["version"], told["ok"]) == ("shoal.pack_check", 1, True)
    assert told["warnings"][0]["slug"] == "check.unread_list"
    assert not json.loads(run("check", smelly, *DAY, "--json", "--strict").stdout)["ok"]
    broken = write(tmp_path / "c", swap("rules/login.yaml", "severity: high", "severity: hihg"))
    found = run("check", broken)
    assert found.exit_code == 1
    assert "rules/login.yaml:9 [rules.login.many_failures.severity]" in found.output
    assert "did you mean 'high'?" in found.output
    found = run("check", broken, "--json")
    assert found.exit_code == 1
    (problem,) = json.loads(found.stdout)["problems"]
    assert (problem["line"], problem["nearest"], problem["slug"]) == (9, "high", "pack.choice")
    assert problem["path"] == "rules.login.many_failures.severity"
    assert json.loads(found.stdout)["pack"] is None


def test_the_day_of_a_check_can_be_given(tmp_path):
    sound = write(tmp_path / "a", {"features/f.yaml": LEAN})
    assert run("check", sound, "--strict", "--as-of", "2026-06-01").exit_code == 0
    found = run("check", sound, "--strict", "--as-of", "2026-12-31")
    assert found.exit_code == 1
    assert "error: " in found.output
    assert "ends on 2027-01-01" in found.output
    assert run("check", sound, "--as-of", "soon").exit_code == 2


def test_a_pack_that_is_not_there_is_misuse(tmp_path):
    for verb in ("check", "test"):
        found = run(verb, tmp_path / "nothing")
        assert isinstance(found.exception, InvalidInput)  # `main` makes exit code 2 of it
        assert found.exception.exit_code == 2


def test_test_speaks_to_ci(tmp_path):
    folder = write(tmp_path / "a", swap("rules/login.yaml", "last: restrict", "last: block"))
    found = run("test", folder, "--json")
    assert found.exit_code == 1
    told = json.loads(found.stdout)
    assert (told["format"], told["passed"], told["failed"]) == ("shoal.pack_tests", 1, 1)
    failed = next(one for one in told["tests"] if not one["passed"])
    assert failed["name"] == "three"
    assert failed["problems"][0]["slug"] == "test.failed"
    assert failed["problems"][0]["line"] == 21
    found = run("test", folder)
    assert found.exit_code == 1
    assert "1 passed, 1 failed" in found.output
    assert "expected tier block, found restrict" in found.output
    broken = write(tmp_path / "b", swap("policy.yaml", "lease: 10m", "lease: ten"))
    assert run("test", broken).exit_code == 1
    assert json.loads(run("test", broken, "--json").stdout)["problems"][0]["slug"] == "pack.duration"


def changes(tmp_path, files):
    old = load_pack(write(tmp_path / "old"))
    new = load_pack(write(tmp_path / "new", files))
    return diff_packs(old, new)


RENAMED = {
    "features/f.yaml": FEATURES.replace("failures_10m", "fails_10m"),
    "rules/login.yaml": RULES.replace("failures_10m", "fails_10m"),
}
HEAD, LOGIN, COUNTS = "pack.yaml", "rules/login.yaml", "features/f.yaml"
RULE, ATTACK, COUNT = "login.many_failures", "credential_attack", "failures_10m"
DIFFERENCES = [
    (swap(HEAD, 'pack_version: "1"', 'pack_version: "2"'), [("pack", "pack", "changed", ["pack_version"])], True),
    (swap(HEAD, "lateness: 5m", "lateness: 6m"), [("settings", "settings", "changed", ["lateness"])], False),
    (swap("policy.yaml", "evidence: 12h", "evidence: 1d"),
     [("settings", "settings", "changed", ["evidence"])], False),
    (swap(HEAD, "bucketName,", "bucket,"), [("attribute", "bucket_name", "changed", ["path"])], False),
    (swap(COUNTS, "window: 10m", "window: 1h"), [("feature", COUNT, "changed", ["window"])], False),
    (swap(COUNTS, "failed logins", "bad logins"), [("feature", COUNT, "changed", ["description"])], True),
    (swap(LOGIN, ">= 3", ">= 4"), [("rule", RULE, "changed", ["condition"])], False),
    (swap(LOGIN, "severity: high", "severity: critical"),
     [("rule", RULE, "changed", ["severity"])], False),
    (swap(LOGIN, "title: Many", "title: Too many"), [("rule", RULE, "changed", ["title"])], True),
    (swap(LOGIN, "every: 1m", "every: 2m"), [("rule", RULE, "changed", ["tests"])], True),
    (swap("policy.yaml", "tier: restrict", "tier: block"),
     [("threat", ATTACK, "changed", ["steps"])], False),
    (swap("policy.yaml", "lease: 10m", "lease: 1h"),
     [("action", f"{ATTACK}: rate_limit", "changed", ["lease"])], False),
    (swap("policy.yaml", "expires: 2027-01-01", "expires: 2027-01-02"),
     [("allow", "a", "changed", ["expires"])], False),
    ({"lists/offices.txt": "# kind: address\n192.0.2.0/24\n198.51.100.0/24\n"},
     [("list", "offices", "changed", ["entries"])], False),
    ({"lists/more.txt": "a\n"}, [("list", "more", "added", [])], False),
    (swap(LOGIN, "condition: failures_10m >= 3 AND", "condition: failures_10m >= 3\n      AND"), [], True),
]  # fmt: skip


@pytest.mark.parametrize(("files", "expected", "alike"), DIFFERENCES, ids=lambda value: str(value)[:60])
def test_differences(tmp_path, files, expected, alike):
    found = changes(tmp_path, files)
    told = [(c.section, c.id, c.kind, [name for name, _, _ in c.fields]) for c in found.changes]
    assert told == expected
    assert found.decides_alike is alike


def test_what_becomes_of_state(tmp_path):
    found = changes(tmp_path, RENAMED)
    notes = {change.id: change.note for change in found.changes if change.section == "feature"}
    assert notes["fails_10m"] == "keeps the state of failures_10m"
    assert found.partial == ("failures_per_account",)  # its expression names the other feature
    found = changes(tmp_path / "b", swap("features/f.yaml", "window: 10m", "window: 20m"))
    assert found.partial == found.dropped == ("failures_10m",)
    assert found.kept == ("failures_per_account",)
    assert "partial until" in found.changes[0].note


def test_the_diff_command(tmp_path):
    old, new = write(tmp_path / "old"), write(tmp_path / "new", swap("rules/login.yaml", ">= 3", ">= 4"))
    found = run("diff", old, old)
    assert (found.exit_code, found.output) == (0, "no difference\n")
    found = run("diff", old, new)
    assert found.exit_code == 1
    assert "- failures_10m >= 3 AND" in found.output
    assert "+ failures_10m >= 4 AND" in found.output
    told = json.loads(run("diff", old, new, "--json").stdout)
    assert told == as_plain(diff_packs(load_pack(old), load_pack(new)))
    assert told["changes"][0]["fields"][0]["field"] == "condition"


def test_list_entries_are_told_as_counts_with_samples(tmp_path):
    many = "# kind: address\n" + "".join(f"198.51.100.{i}\n" for i in range(9))
    (change,) = changes(tmp_path, {"lists/offices.txt": many}).changes
    assert change.fields == (
        (
            "entries",
            "1 in all, 1 removed (192.0.2.0/24)",
            "9 in all, 9 added (198.51.100.0, 198.51.100.1, 198.51.100.2, 198.51.100.3, 198.51.100.4, … 4 more)",
        ),
    )


@pytest.mark.parametrize(
    "arguments", [[], ["--extends", "file_sharing"], ["--extends", "cloud_audit"], ["--from", "cloud_audit"]]
)
def test_a_new_pack_is_sound_tested_and_laid_out(tmp_path, arguments):
    found = run("new", "ours", "--in", tmp_path, *arguments)
    assert found.exit_code == 0, found.output
    pack = load_pack(tmp_path / "ours")
    assert pack.name == "ours"
    own = [rule.id for rule in pack.rules if rule.id.startswith(("ours.", "logins."))]
    assert all(result.passed for result in run_tests(pack, PlainRuntime, own))
    assert warnings_of(pack, moment_us("2026-11-22")) == ()
    assert run("fmt", "--check", tmp_path / "ours").exit_code == 0
    again = run("new", "ours", "--in", tmp_path)
    assert "pack.exists" in str(again.exception)


def test_a_new_pack_over_one_in_the_same_repository(tmp_path):
    (tmp_path / ".git").mkdir()
    write(tmp_path / "base")
    assert run("new", "kid", "--in", tmp_path, "--extends", tmp_path / "base").exit_code == 0
    assert load_pack(tmp_path / "kid").sources[1].name == "small"


@pytest.mark.parametrize("name", ["Our Pack", "../x", "", "9a", "a" * 65, "a/b"])
def test_names_that_are_refused(tmp_path, name):
    assert "pack.name" in str(run("new", name, "--in", tmp_path).exception)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_a_pack_that_builds_on_a_folder_is_refused(tmp_path):
    write(tmp_path / "base")
    (tmp_path / "kid").mkdir()
    (tmp_path / "kid" / "pack.yaml").write_text(
        FILES["pack.yaml"].partition("attributes")[0].replace("small", "kid") + "extends: [../base]\n"
    )
    found = run("new", "copy", "--in", tmp_path / "base", "--from", tmp_path / "kid")
    assert "pack.path_parent" in str(found.exception)
    assert not (tmp_path / "base" / "copy").exists()


def test_from_and_extends_together_are_misuse(tmp_path):
    found = run("new", "a", "--in", tmp_path, "--from", "cloud_audit", "--extends", "cloud_audit")
    assert found.exit_code == 2


def test_the_starter_says_what_to_do():
    assert all(text.startswith("#") for text in starter_files("a").values())


def test_the_catalogue_tells_the_pack(tmp_path):
    hostile = swap("rules/login.yaml", "evasion: slowly", "evasion: <script>alert(1)</script>")
    pack = load_pack(write(tmp_path / "p", {**hostile, "lists/idle.txt": "a\n"}))
    page = write_catalogue(tmp_path / "x.html", pack, Load(), NOW).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    for text in ("Many failures", "failed logins", "T1110", "an office", "restrict", "rate_limit", "192.0.2.0/24"):
        assert text in page
    assert "how many events for the same ip within 10 minutes, where type = &#39;login.failed&#39;" in page
    assert "matches, restrict" in page
    assert "nothing reads the list" in page
    anchors = {part.partition('"')[0] for part in page.split('id="')[1:]}
    links = {part.partition('"')[0] for part in page.split('href="#')[1:]}
    assert links
    assert links <= anchors
    assert "http://" not in page
    assert "src=" not in page


def test_the_docs_command(tmp_path):
    found = run("docs", "file_sharing", "--html", tmp_path / "a.html")
    assert found.exit_code == 0
    page = (tmp_path / "a.html").read_text()
    assert all(rule.title.replace("'", "&#39;") in page for rule in load_pack("file_sharing").rules)
    assert "report.write" in str(run("docs", "file_sharing", "--html", tmp_path / "no" / "a.html").exception)


def test_the_small_pack_of_these_tests_is_what_the_others_use():
    assert FILES["policy.yaml"] == POLICY
