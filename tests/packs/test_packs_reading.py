"""Reading a pack refuses bad input with the exact error, all problems together, each with file and line."""

import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pack import FEATURES, FILES, PACK, POLICY, RULES, swap, write

from shoal.errors import InvalidInput
from shoal.events.schema import Kind
from shoal.packs.fields import duration_us, moment_us
from shoal.packs.load import builtin_packs, load_pack
from shoal.packs.yamltree import read_yaml


def refused(folder):
    with pytest.raises(InvalidInput) as caught:
        load_pack(folder)
    return caught.value.problems


def test_a_sound_pack(tmp_path):
    pack = load_pack(write(tmp_path))
    assert (pack.name, pack.version, pack.settings.lateness_s, pack.policy.evidence_s) == ("small", "1", 300, 43_200)
    assert pack.event_columns["bucket_name"] is Kind.TEXT
    assert pack.feature_kinds == {"failures_10m": Kind.INT, "failures_per_account": Kind.FLOAT}
    assert pack.lists["offices"].kind == "address"
    assert pack.untested == ()
    assert [len(test.events) for test in pack.tests] == [3, 3]
    assert pack.tests[0].events[2]["account"] == "u3"
    assert pack.tests[0].events[2]["time"] - pack.tests[0].events[0]["time"] == 120_000_000
    assert pack.layout().names[-2:] == ("failures_10m", "failures_per_account")
    assert str(pack.rules[0].origin).endswith("rules/login.yaml:4 [rules.login.many_failures]")


def test_the_oldest_bucket_is_read(tmp_path):
    text = FEATURES.replace("window: 10m", "window: 7d\n    bucket: 1d\n    oldest_bucket: half")
    one = load_pack(write(tmp_path, {"features/f.yaml": text})).features[0]
    assert (one.window_s, one.bucket_s, one.oldest_bucket) == (604_800, 86_400, "half")
    assert load_pack(write(tmp_path)).features[0].oldest_bucket == "whole"


BAD = [
    (swap("pack.yaml", "format: shoal.pack", "format: shoal.rules"), "pack.format", "pack.yaml", 1),
    (swap("pack.yaml", "version: 1", "version: 2"), "pack.version", "pack.yaml", 2),
    (swap("pack.yaml", "name: small", "name: Small Pack"), "pack.name", "pack.yaml", 3),
    (swap("pack.yaml", 'pack_version: "1"\n', ""), "pack.missing_key", "pack.yaml", 1),
    (swap("pack.yaml", "description: a small pack", "description: [a]"), "pack.type", "pack.yaml", 5),
    (swap("pack.yaml", "settings:", "setings:"), "pack.unknown_key", "pack.yaml", 8),
    (swap("pack.yaml", "lateness: 5m", "lateness: 5"), "pack.duration", "pack.yaml", 8),
    (swap("pack.yaml", "type: text", "type: string"), "pack.choice", "pack.yaml", 7),
    (swap("pack.yaml", "bucket_name:", "account:"), "pack.attribute_name", "pack.yaml", 7),
    (swap("pack.yaml", "requestParameters.bucketName", "a..b"), "pack.attribute_path", "pack.yaml", 7),
    ({"pack.yaml": "- a\n- b\n"}, "pack.type", "pack.yaml", 1),
    ({"pack.yaml": ""}, "yaml.empty", "pack.yaml", 0),
    ({"pack.yaml": b"name: \xff\n"}, "yaml.encoding", "pack.yaml", 1),
    ({"pack.yaml": "a: [1, 2\nb: 3\n"}, "yaml.syntax", "pack.yaml", 2),
    ({"pack.yaml": "a: &x 1\nb: *x\n"}, "yaml.anchor", "pack.yaml", 1),
    ({"pack.yaml": "a: !!python/object:os.system 1\n"}, "yaml.tag", "pack.yaml", 1),
    ({"pack.yaml": "a: 1\n<<: {b: 2}\n"}, "yaml.merge_key", "pack.yaml", 2),
    ({"pack.yaml": PACK + "name: again\n"}, "yaml.duplicate_key", "pack.yaml", 9),
    ({"pack.yaml": PACK + "---\nb: 2\n"}, "yaml.documents", "pack.yaml", 10),
    ({"pack.yaml": "a: " + "[" * 60 + "]" * 60}, "yaml.too_deep", "pack.yaml", 1),
    ({"pack.yaml": "? [a]\n: 1\n"}, "yaml.key", "pack.yaml", 1),
    ({"pack.yaml": "a: " + "x" * 40_000}, "yaml.too_large", "pack.yaml", 1),
    ({"pack.yaml": "#" * (1 << 20) + "#\n"}, "yaml.too_large", "pack.yaml", 0),
    ({"policy.yaml": None}, "pack.file", "policy.yaml", 0),
    ({"rule.yaml": "a: 1"}, "pack.unknown_file", "rule.yaml", 0),
    ({"rules/notes.txt": "a"}, "pack.unknown_file", "rules/notes.txt", 0),
    (swap("features/f.yaml", "operation: count", "operation: cuont"), "pack.choice", "features/f.yaml", 5),
    (swap("features/f.yaml", "key: ip", "key: ipp"), "features.unknown_column", "features/f.yaml", 6),
    (swap("features/f.yaml", "window: 10m", "window: ten"), "pack.duration", "features/f.yaml", 7),
    (swap("features/f.yaml", "10m\n", "10m\n    oldest_bucket: hale\n"), "pack.choice", "features/f.yaml", 8),
    (
        swap("features/f.yaml", "10m\n", "10m\n    oldest_bucket: half\n"),
        "features.not_for_operation",
        "features/f.yaml",
        8,
    ),
    (swap("features/f.yaml", "type = 'login", "tipe = 'login"), "expression.unknown_column", "features/f.yaml", 8),
    (swap("features/f.yaml", "type = 'login.failed'", "size_bytes + 1"), "features.where_kind", "features/f.yaml", 8),
    (
        swap("features/f.yaml", "type = 'login.failed'", "failures_per_account > 1"),
        "features.reads_feature",
        "features/f.yaml",
        8,
    ),
    (swap("features/f.yaml", "failures_10m:", "Failures:"), "pack.feature_name", "features/f.yaml", 4),
    (swap("features/f.yaml", "  failures_10m:\n", "  ip:\n"), "features.id_is_column", "features/f.yaml", 4),
    (swap("rules/login.yaml", "login.many_failures:", "other.many_failures:"), "pack.rule_name", "rules/login.yaml", 4),
    ({"rules/login2.yaml": RULES.replace("login.many", "login2.many")}, None, "", 0),
    (swap("rules/login.yaml", "    title: Many failures\n", ""), "pack.missing_key", "rules/login.yaml", 4),
    (swap("rules/login.yaml", "title:", "titel:"), "pack.unknown_key", "rules/login.yaml", 5),
    (swap("rules/login.yaml", "severity: high", "severity: hihg"), "pack.choice", "rules/login.yaml", 9),
    (swap("rules/login.yaml", "subject: ip", "subject: address"), "pack.choice", "rules/login.yaml", 8),
    (swap("rules/login.yaml", "threat: credential", "threat: credental"), "rule.unknown_threat", "rules/login.yaml", 4),
    (swap("rules/login.yaml", "technique: T1110", "technique: TA0006"), "pack.technique", "rules/login.yaml", 10),
    (swap("rules/login.yaml", "tactic: credential-access", "tactic: access"), "pack.choice", "rules/login.yaml", 11),
    (swap("rules/login.yaml", ">= 3 AND", ">= 3 ADN"), None, "rules/login.yaml", 12),
    (swap("rules/login.yaml", ">= 3 AND ip", "+ 3 AND ip"), "expression.type", "rules/login.yaml", 12),
    (
        swap("rules/login.yaml", "failures_10m >= 3 AND ip NOT IN list('offices')", "failures_10m"),
        "rule.condition_kind",
        "rules/login.yaml",
        12,
    ),
    (swap("rules/login.yaml", "list('offices')", "list('ofices')"), "expression.unknown_list", "rules/login.yaml", 12),
    (swap("rules/login.yaml", "{ip}", "{address}"), "reason.unknown_column", "rules/login.yaml", 13),
    (swap("rules/login.yaml", "{ip}", "{ip:percent}"), "reason.style", "rules/login.yaml", 13),
    (swap("rules/login.yaml", "{ip}", "{ip"), "reason.brace", "rules/login.yaml", 13),
    (swap("rules/login.yaml", "{ip}", "{ip or 1}"), "reason.place", "rules/login.yaml", 13),
    (swap("rules/login.yaml", "    false_positives: [an office]\n", ""), "pack.missing_key", "rules/login.yaml", 4),
    (swap("rules/login.yaml", "ip: 203.0.113.7", "ipp: 203.0.113.7"), "test.unknown_column", "rules/login.yaml", 18),
    (swap("rules/login.yaml", "type: login.failed, ip", "size_bytes: big, ip"), "test.value", "rules/login.yaml", 18),
    (swap("rules/login.yaml", "type: login.failed, ip", "ip"), "test.no_type", "rules/login.yaml", 20),
    (swap("rules/login.yaml", "every: 1m", "every: -1m"), "test.duration", "rules/login.yaml", 20),
    (swap("rules/login.yaml", "repeat: 3", "repeat: 3000000"), "pack.number", "rules/login.yaml", 20),
    (swap("rules/login.yaml", "{first: false", "{frist: false"), "test.place", "rules/login.yaml", 21),
    (swap("rules/login.yaml", "last: restrict", "last: restricted"), "test.verdict", "rules/login.yaml", 21),
    (swap("rules/login.yaml", "{repeat: 3,", "{time: noon,"), "test.time", "rules/login.yaml", 20),
    (swap("policy.yaml", "role: perpetrator", "role: thief"), "pack.choice", "policy.yaml", 6),
    (swap("policy.yaml", "action: rate_limit", "action: ratelimit"), "pack.choice", "policy.yaml", 10),
    (swap("policy.yaml", "lease: 10m", "lease: 0s"), "policy.lease", "policy.yaml", 10),
    (swap("policy.yaml", "from: challenge", "from: chalenge"), "pack.choice", "policy.yaml", 10),
    (swap("policy.yaml", "list: offices", "list: office"), "allow.unknown_list", "policy.yaml", 12),
    (swap("policy.yaml", "expires: 2027-01-01", "expires: someday"), "pack.time", "policy.yaml", 12),
    (swap("policy.yaml", "owner: me, ", ""), "pack.missing_key", "policy.yaml", 12),
    ({"lists/offices.txt": "# kind: address\nnot-an-address\n"}, None, "lists/offices.txt", 0),
    (
        {"lists/offices.yaml": "format: shoal.list\nversion: 1\nkind: address\nentries: [192.0.2.1]\n"},
        "pack.duplicate_list",
        "",
        0,
    ),
]


@pytest.mark.parametrize(("files", "slug", "file", "line"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_is_refused_by_name_and_place(tmp_path, files, slug, file, line):
    folder = write(tmp_path, files)
    if slug is None and not file:
        assert len(load_pack(folder).rules) == 2
        return
    problems = refused(folder)
    found = [p for p in problems if (slug is None or p.slug == slug) and p.where.file.endswith(file)]
    assert found, [str(p) for p in problems]
    if line:
        assert line in {p.where.line for p in found}, [str(p) for p in found]


def test_all_problems_of_all_files_are_told_together(tmp_path):
    files = {
        **swap("pack.yaml", "settings:", "setings:"),
        **swap("features/f.yaml", "type = ", "tipe = "),
        **swap("rules/login.yaml", "severity: high", "severity: hihg"),
        **swap("policy.yaml", "role: perpetrator", "role: thief"),
    }
    problems = refused(write(tmp_path, files))
    assert {p.slug for p in problems} >= {"pack.unknown_key", "expression.unknown_column", "pack.choice"}
    assert {p.where.file.rpartition("/")[2] for p in problems} >= {"pack.yaml", "f.yaml", "login.yaml", "policy.yaml"}
    near = {p.nearest for p in problems}
    assert {"settings", "high", "type"} <= near


def test_links_are_not_followed(tmp_path):
    secret = tmp_path / "secret.yaml"
    secret.write_text(POLICY)
    folder = write(tmp_path / "pack", {"policy.yaml": None})
    os.symlink(secret, folder / "policy.yaml")
    assert "pack.file" in {p.slug for p in refused(folder)}


def test_an_unknown_pack_names_the_known_ones(tmp_path):
    (problem,) = refused(tmp_path / "nothing")
    assert problem.slug == "pack.not_found"
    with pytest.raises(InvalidInput, match="did you mean 'file_sharing'"):
        load_pack("file_shring")
    assert builtin_packs() == ("cloud_audit", "file_sharing")


def test_a_rule_given_twice_in_two_files_names_both_places(tmp_path):
    folder = write(tmp_path)
    (folder / "features" / "g.yaml").write_text(FEATURES)
    problems = [p for p in refused(folder) if p.slug == "features.duplicate_id"]
    assert len(problems) == 2
    assert re.search(r"first at .*f.yaml:4", problems[0].hint)


@pytest.mark.parametrize(
    ("name", "old", "new", "same"),
    [
        ("rules/login.yaml", "title: Many failures", "title: Lots of failures", True),
        ("rules/login.yaml", "false_positives: [an office]", "false_positives: [a school]", True),
        ("features/f.yaml", "description: failed logins", "description: bad logins", True),
        ("rules/login.yaml", ">= 3", ">= 4", False),
        ("rules/login.yaml", "severity: high", "severity: low", False),
        ("features/f.yaml", "window: 10m", "window: 11m", False),
        ("policy.yaml", "lease: 10m", "lease: 11m", False),
        ("policy.yaml", "evidence: 12h", "evidence: 13h", False),
        ("lists/offices.txt", "192.0.2.0/24", "192.0.3.0/24", False),
        ("pack.yaml", "lateness: 5m", "lateness: 6m", False),
        ("pack.yaml", "requestParameters.bucketName", "requestParameters.bucket", False),
    ],
)
def test_the_hash_is_of_what_changes_decisions(tmp_path, name, old, new, same):
    before = load_pack(write(tmp_path / "a")).hash
    after = load_pack(write(tmp_path / "b", swap(name, old, new))).hash
    assert (before == after) is same


def test_text_is_only_what_is_quoted_or_no_other_kind():
    problems = []
    tree = read_yaml(b"a: on\nb: 'true'\nc: 1_000\nd: 1.5\ne: 2026-01-05\nf:\ng: true\n", "x", problems)
    assert problems == []
    assert {key: node.kind for key, node in tree.entries.items()} == {
        "a": "text", "b": "text", "c": "int", "d": "float", "e": "text", "f": "null", "g": "bool",
    }  # fmt: skip
    assert [node.line for node in tree.entries.values()] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "5y", "--5m", "1e3s", "5m5s", "999999d", "5M"])
def test_what_is_no_duration(text):
    assert duration_us(text) is None


@pytest.mark.parametrize("text", ["", "noon", "2026-13-01", "2026-01-05T09:00:00", "2026", "09:00Z"])
def test_what_is_no_moment(text):
    assert moment_us(text) is None


SCRAPS = (
    "{",
    "}",
    "[",
    "]",
    ":",
    "- ",
    "\n",
    "  ",
    "#",
    "'",
    '"',
    "null",
    "true",
    "-1",
    "9e9",
    "{i}",
    "é",
    "\t",
    "&a",
    "*a",
    "!!x",
    "|",
    ">",
)


EDITS = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 12), st.sampled_from(SCRAPS)))


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 12), st.sampled_from(SCRAPS))),
)
def test_whatever_is_written_is_read_or_refused(tmp_path_factory, name, edits):
    text = FILES[name]
    for place, length, scrap in edits:
        at = place % (len(text) + 1)
        text = text[:at] + scrap + text[at + length :]
    folder = write(tmp_path_factory.mktemp("pack"), {name: text})
    problems, pack = (), None
    try:
        pack = load_pack(folder)
    except InvalidInput as error:
        problems = error.problems
    assert bool(problems) is (pack is None)
    assert all(problem.slug and problem.message for problem in problems)
