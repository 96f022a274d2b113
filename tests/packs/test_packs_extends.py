"""Packs that build on packs: inherited, overridden by id, never shadowed; every mistake by name and place."""

import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pack import FEATURES, FILES, RULES, write

from oracles.plain_runtime import PlainRuntime
from shoal.errors import Corrupt, InvalidInput
from shoal.packs.inherit.references import version_number
from shoal.packs.load import load_pack
from shoal.packs.testing import run_tests
from shoal.runtime.publish import pack_body, pack_of

HEAD = 'format: shoal.pack\nversion: 1\nname: {name}\npack_version: "2.1"\ndescription: a child\n'


def child(root, text="", name="child", extends="[../base]", files=None):
    """A pack beside the small one (in `base`) that builds on it."""
    if not (root / "base").exists():
        write(root / "base")
    folder = root / name
    for path, content in {
        "pack.yaml": HEAD.format(name=name) + f"extends: {extends}\n" + text,
        **(files or {}),
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return folder


def refused(folder):
    with pytest.raises(InvalidInput) as caught:
        load_pack(folder)
    return caught.value.problems


def results(pack):
    return [result.passed for result in run_tests(pack, PlainRuntime)]


def test_a_child_that_says_nothing_decides_as_its_parent_does(tmp_path):
    pack, base = load_pack(child(tmp_path)), load_pack(tmp_path / "base")
    assert (pack.name, pack.version, pack.hash) == ("child", "2.1", base.hash)
    assert pack.rules == tuple(replace(r, origin=pack.rules[0].origin) for r in base.rules)
    assert [source.name for source in pack.sources] == ["child", "small"]
    assert pack.settings == base.settings
    assert pack.policy.evidence_s == 43_200
    assert results(pack) == [True, True]


def test_own_definitions_stand_beside_inherited_ones_and_read_them(tmp_path):
    rules = (
        RULES.replace("login.many_failures", "team.few").replace(">= 3 AND", ">= 2 AND").replace("first: false, ", "")
    )
    pack = load_pack(child(tmp_path, files={"rules/team.yaml": rules}))
    assert [rule.id for rule in pack.rules] == ["login.many_failures", "team.few"]
    assert results(pack) == [True] * 4


OVERRIDE = """\
settings: {lateness: 1m}
overrides:
  features:
    failures_10m: {window: 20m}
  rules:
    login.many_failures:
      severity: medium
      condition: failures_10m >= 2 AND ip NOT IN list('offices')
      tests:
        - name: two
          each: {type: login.failed, ip: 203.0.113.7}
          events: [{repeat: 2, account: "u{i}"}]
          expect: {0: false, 1: challenge}
  threats:
    credential_attack:
      steps: [{tier: challenge, severity: medium}]
  lists:
    offices: {add: [198.51.100.0/24], remove: [192.0.2.0/24]}
  allow:
    a: {expires: 2028-01-01}
"""


def test_overrides_change_fields_and_the_hash(tmp_path):
    pack, base = load_pack(child(tmp_path, OVERRIDE)), load_pack(tmp_path / "base")
    rule = pack.rules[0]
    assert (rule.severity.name, rule.title) == ("MEDIUM", "Many failures")
    assert pack.features[0].window_s == 1200
    assert pack.lists["offices"].entries == ("198.51.100.0/24",)
    assert len(pack.policy.threats["credential_attack"].steps) == 1
    assert pack.policy.threats["credential_attack"].role == "perpetrator"
    assert pack.policy.allow[0].expires > base.policy.allow[0].expires
    assert pack.settings.lateness_s == 60
    assert pack.hash != base.hash
    assert [test.name for test in pack.tests] == ["two"]
    assert results(pack) == [True]


def test_null_takes_a_field_away(tmp_path):
    pack = load_pack(child(tmp_path, "overrides: {features: {failures_10m: {where: null}}}"))
    assert pack.features[0].where is None


def test_inherited_tests_are_run_against_the_overridden_rule(tmp_path):
    text = "overrides: {rules: {login.many_failures: {condition: failures_10m >= 4}}}"
    assert False in results(load_pack(child(tmp_path, text)))


def test_disabled_definitions_are_gone(tmp_path):
    pack = load_pack(child(tmp_path, "disable: {rules: [login.many_failures], allow: [a]}"))
    assert pack.rules == ()
    assert pack.tests == ()
    assert pack.policy.allow == ()
    assert set(pack.disabled) == {"rules.login.many_failures", "allow.a"}
    assert load_pack(child(tmp_path, "disable: [login.many_failures]", name="other")).rules == ()


def test_a_definition_is_replaced_where_the_pack_says_so(tmp_path):
    files = {"lists/offices.txt": "# kind: address\n198.51.100.7\n"}
    assert {p.slug for p in refused(child(tmp_path, files=files))} == {"pack.shadows"}
    pack = load_pack(child(tmp_path, "replaces: {lists: [offices]}", files=files))
    assert pack.lists["offices"].entries == ("198.51.100.7",)


def test_an_empty_list_can_be_added_to(tmp_path):
    write(tmp_path / "base", {"lists/offices.txt": "# kind: address\n"})
    pack = load_pack(child(tmp_path, "overrides: {lists: {offices: {add: 192.0.2.9}}}"))
    assert pack.lists["offices"].entries == ("192.0.2.9",)


def test_three_generations(tmp_path):
    child(tmp_path, "overrides: {rules: {login.many_failures: {severity: medium, title: Middle}}}", name="middle")
    text = "overrides: {rules: {login.many_failures: {severity: low}}}"
    pack = load_pack(child(tmp_path, text, name="leaf", extends="[../middle]"))
    assert (pack.rules[0].severity.name, pack.rules[0].title) == ("LOW", "Middle")
    assert [source.name for source in pack.sources] == ["leaf", "middle", "small"]


def test_a_built_in_pack_by_name_and_version(tmp_path):
    text = "overrides: {rules: {link.reported: {severity: high, on_unknown: defer}}}"
    pack = load_pack(child(tmp_path, text, extends="['file_sharing >=1']"))
    base = load_pack("file_sharing")
    assert [r.id for r in pack.rules] == [r.id for r in base.rules]
    changed = [r.id for r, old in zip(pack.rules, base.rules, strict=True) if r != old]
    assert changed == ["link.reported"]
    assert pack.hash != base.hash


O = "overrides: {rules: {login.many_failures: {"  # noqa: E741
BAD = [
    (
        "overrides: {rules: {login.many_failurs: {severity: low}}}",
        "pack.unknown_override",
        "child",
        7,
        "login.many_failures",
    ),
    ("overrides: {rulez: {a.b: {severity: low}}}", "pack.unknown_key", "child", 7, "rules"),
    (O + "severity: hihg}}}", "pack.choice", "child", 7, "high"),
    (O + "severty: high}}}", "pack.unknown_key", "child", 7, "severity"),
    (O + "condition: failures_10mm > 1}}}", "expression.unknown_column", "child", 7, "failures_10m"),
    (O + "reason: '{ipp} failed'}}}", "reason.unknown_column", "child", 7, "ip"),
    (O + "}}}", "pack.empty", "child", 7, ""),
    (O + "condition: null}}}", "pack.missing_key", "base", 4, ""),
    (
        O + "tests: [{name: x, each: {type: a, ipp: b}, events: [{}], expect: never}]}}}",
        "test.unknown_column",
        "child",
        7,
        "ip",
    ),
    ("overrides: {features: {failures_10m: {window: ten}}}", "pack.duration", "child", 7, ""),
    ("overrides: {features: {failures_10m: {key: ipp}}}", "features.unknown_column", "child", 7, "ip"),
    ("overrides: {lists: {offices: {remove: [192.0.3.0/24]}}}", "pack.unknown_override", "child", 7, "192.0.2.0/24"),
    ("overrides: {threats: {credential_attack: {role: thief}}}", "pack.choice", "child", 7, ""),
    ("overrides: {allow: {b: {owner: you}}}", "pack.unknown_override", "child", 7, ""),
    ("overrides: {rules: [a]}", "pack.type", "child", 7, ""),
    ("disable: [login.many_failuers]", "pack.unknown_override", "child", 7, "login.many_failures"),
    ("disable: {features: [failures_10m]}", "expression.unknown_column", "base", 12, ""),
    ("disable: {rule: [a.b]}", "pack.unknown_key", "child", 7, "rules"),
    ("disable: {lists: [offices]}", "allow.unknown_list", "base", 12, ""),
    ("disable: 5", "pack.type", "child", 7, ""),
    ("replaces: {rules: [login.many_failures]}", "pack.replaces_nothing", "child", 7, ""),
    ("replaces: {rules: [login.manyfailures]}", "pack.unknown_override", "child", 7, "login.many_failures"),
    ("disable: [login.many_failures]\n" + O + "severity: low}}}", "pack.overrides_disabled", "child", 8, ""),
]


@pytest.mark.parametrize(("text", "slug", "pack", "line", "near"), BAD, ids=lambda value: str(value)[:50])
def test_a_mistake_points_to_where_its_text_stands(tmp_path, text, slug, pack, line, near):
    problems = refused(child(tmp_path, text))
    found = [p for p in problems if p.slug == slug]
    assert found, [str(p) for p in problems]
    assert f"/{pack}/" in found[0].where.file
    assert found[0].where.line == line, str(found[0])
    assert found[0].nearest == near


def test_the_path_of_a_mistake_in_an_override_is_that_of_the_override(tmp_path):
    (problem,) = refused(child(tmp_path, O + "condition: failures_10m > > 1}}}"))
    assert problem.where.path == "overrides.rules.login.many_failures.condition"


REFERENCES = [
    ("[/etc/pack]", "pack.reference", "an absolute path"),
    ("[~/pack]", "pack.reference", "an absolute path"),
    ("['C:/packs/base']", "pack.reference", "an absolute path"),
    ("['https://example.org/p']", "pack.reference", "a URL"),
    ("['git+ssh://example.org/p']", "pack.reference", "a URL"),
    ("[base/pack]", "pack.reference", "./base/pack"),
    ("['']", "pack.reference", "names no pack"),
    ("['file_sharing >=one']", "pack.reference", "bounds no version"),
    ("['file_sharing >=1; rm']", "pack.reference", "bounds no version"),
    ("['file_sharing >=9']", "pack.parent_version", "file_sharing is"),
    ("[file_shring]", "pack.not_found", "file_sharing"),
    ("[../bass]", "pack.not_found", "base"),
    ("[../../elsewhere]", "pack.reference", "out of the repository"),
    ("[../base/../../../etc]", "pack.reference", "out of the repository"),
    ("[../linked]", "pack.file", "link"),
    ("['..\\base']", "pack.reference", "names no pack"),
    ("[./]", "pack.extends_cycle", "circle"),
    ("[../base, ../base]", "pack.extends_twice", "reached twice"),
    ("[{name: base}]", "pack.type", "mapping"),
    ("true", "pack.type", "bool"),
]


@pytest.mark.parametrize(("extends", "slug", "word"), REFERENCES)
def test_references_that_are_refused(tmp_path, extends, slug, word, monkeypatch):
    monkeypatch.setenv("SHOAL_PACKS", str(tmp_path / "none"))
    write(tmp_path / "base")
    os.symlink(tmp_path / "base", tmp_path / "linked")
    problems = refused(child(tmp_path, extends=extends))
    found = [p for p in problems if p.slug == slug]
    assert found, [str(p) for p in problems]
    assert word in str(found[0])
    assert found[0].where.line == 6


def test_a_repository_allows_paths_below_its_root(tmp_path):
    (tmp_path / ".git").mkdir()
    write(tmp_path / "shared" / "base")
    folder = child(tmp_path / "teams", extends="[../../shared/base]")
    assert load_pack(folder).sources[1].name == "small"


def test_circles_diamonds_and_depth(tmp_path):
    child(tmp_path, name="a", extends="[../b]")
    child(tmp_path, name="b", extends="[../a]")
    (problem,) = [p for p in refused(tmp_path / "a") if p.slug == "pack.extends_cycle"]
    assert "a → b → a" in problem.message
    child(tmp_path, name="left")
    child(tmp_path, name="right")
    found = refused(child(tmp_path, name="diamond", extends="[../left, ../right]"))
    assert "pack.extends_twice" in {p.slug for p in found}
    child(tmp_path, name="p0")
    for i in range(1, 10):
        child(tmp_path, name=f"p{i}", extends=f"[../p{i - 1}]")
    assert len(load_pack(tmp_path / "p6").sources) == 8
    assert "pack.extends_depth" in {p.slug for p in refused(tmp_path / "p9")}


def test_two_parents_that_define_one_id_must_be_told_apart(tmp_path):
    write(tmp_path / "twin", {"pack.yaml": FILES["pack.yaml"].replace("lateness: 5m", "lateness: 6m")})
    problems = refused(child(tmp_path, extends="[../base, ../twin]"))
    assert {p.slug for p in problems} == {"pack.conflict"}
    assert any("lateness" in p.message for p in problems)
    text = "settings: {lateness: 5m}\nreplaces: {features: [failures_10m]}"
    problems = refused(child(tmp_path, text, "second", "[../base, ../twin]", {"features/f.yaml": FEATURES}))
    assert "'failures_10m'" not in " ".join(p.message for p in problems if p.slug == "pack.conflict")


@pytest.mark.parametrize("key", ["overrides: {rules: {a.b: {title: x}}}", "disable: [a.b]", "replaces: {rules: [a.b]}"])
def test_changes_without_a_parent_are_refused(tmp_path, key):
    folder = write(tmp_path / "p", {"pack.yaml": FILES["pack.yaml"] + key + "\n"})
    assert "pack.no_parent" in {p.slug for p in refused(folder)}


def test_problems_of_a_parent_are_told_in_the_parent(tmp_path):
    write(tmp_path / "base", {"policy.yaml": FILES["policy.yaml"].replace("lease: 10m", "lease: ten")})
    (problem,) = refused(child(tmp_path))
    assert problem.where.file.endswith("base/policy.yaml")
    assert problem.where.line == 10


def test_a_publication_holds_the_parents_and_needs_them_no_more(tmp_path):
    child(tmp_path, OVERRIDE, name="middle")
    folder = child(tmp_path, "disable: {allow: [a]}", name="leaf", extends="[../middle]")
    pack = load_pack(folder)
    body = pack_body(folder, pack, history_complete=True, revise=(60.0, 10))
    (tmp_path / "base" / "policy.yaml").write_text("changed")
    again = pack_of(body)
    assert (again.hash, again.name, len(again.sources)) == (pack.hash, "leaf", 3)
    assert [rule.condition for rule in again.rules] == [rule.condition for rule in pack.rules]
    assert {name.split("/")[0] for name in body["files"]} == {"pack.yaml", "parents"}


def test_an_old_publication_without_parents_is_read(tmp_path):
    folder = write(tmp_path / "p")
    pack = load_pack(folder)
    body = pack_body(folder, pack, history_complete=True, revise=(60.0, 10))
    assert "parents" not in body
    assert pack_of(body).hash == pack.hash


def test_hostile_publications(tmp_path):
    folder = child(tmp_path)
    pack = load_pack(folder)
    body = pack_body(folder, pack, history_complete=True, revise=(60.0, 10))
    with pytest.raises(Corrupt):
        pack_of({**body, "files": body["files"] | {"parents/../../x.yaml": ""}})
    with pytest.raises(Corrupt):
        pack_of({**body, "parents": [{"of": "", "reference": "../base", "at": "/etc"}]})
    with pytest.raises(InvalidInput, match="the record holds no pack"):
        pack_of({**body, "parents": []})
    with pytest.raises(InvalidInput, match="other_release"):
        pack_of({**body, "hash": "0" * 16})


@pytest.mark.parametrize(("low", "high"), [("1.2", "1.10"), ("1", "1.0.1"), ("1.9.9", "2")])
def test_versions_are_numbers(low, high):
    assert version_number(low) < version_number(high)
    assert version_number("1.0") == version_number("1")
    assert version_number("1.0-beta") is None


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
    "null",
    "true",
    "-1",
    ", ",
    "a",
    "add",
    "rules",
    "extends: ",
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 12), st.sampled_from(SCRAPS)), max_size=4))
def test_whatever_a_child_says_is_read_or_refused(tmp_path_factory, edits):
    text = OVERRIDE + "disable: {lists: [offices], allow: [a]}\nreplaces: {features: [failures_10m]}\n"
    for place, length, scrap in edits:
        at = place % (len(text) + 1)
        text = text[:at] + scrap + text[at + length :]
    folder = child(tmp_path_factory.mktemp("pack"), text)
    problems = ()
    try:
        pack = load_pack(folder)
    except InvalidInput as error:
        pack, problems = None, error.problems
    assert bool(problems) is (pack is None)
    assert all(problem.slug and problem.message for problem in problems)
