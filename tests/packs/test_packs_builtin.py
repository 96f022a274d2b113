"""The packs that ship: every rule test passes on the real engine, and no test passes by accident."""

from dataclasses import replace

import pytest

from oracles.plain_runtime import PlainRuntime
from shoal.packs.load import builtin_packs, load_pack
from shoal.packs.testing import focus, run_test, run_tests
from shoal.rules.attack import TACTICS

PACKS = {name: load_pack(name) for name in builtin_packs()}
RULES = [(name, rule.id) for name, pack in PACKS.items() for rule in pack.rules]


def test_both_packs_ship():
    assert set(PACKS) == {"file_sharing", "cloud_audit"}


@pytest.mark.parametrize(("pack", "rule"), RULES)
def test_rule_tests_pass_on_the_real_engine(pack, rule):
    results = list(run_tests(PACKS[pack], PlainRuntime, [rule]))
    assert len(results) >= 2
    assert [str(problem) for result in results for problem in result.problems] == []


@pytest.mark.parametrize("name", PACKS)
def test_every_rule_has_a_test_that_fires_and_a_near_miss(name):
    assert PACKS[name].untested == ()


@pytest.mark.parametrize(("pack", "rule"), [RULES[0], RULES[20], RULES[-1]])
def test_a_rule_that_always_or_never_matches_fails_its_tests(pack, rule):
    part = focus(PACKS[pack], rule)
    for condition in ("true", "false"):
        broken = replace(part, rules=(replace(part.rules[0], condition=condition),))
        failed = [bool(run_test(broken, test, PlainRuntime(broken))) for test in part.tests]
        assert any(failed)


def test_sizes_that_were_promised():
    sharing, audit = PACKS["file_sharing"], PACKS["cloud_audit"]
    assert len(sharing.features) >= 25
    assert len(sharing.rules) >= 15
    assert len(audit.rules) >= 10


@pytest.mark.parametrize("name", PACKS)
def test_every_rule_tells_its_story(name):
    for rule in PACKS[name].rules:
        assert rule.description, rule.id
        assert rule.false_positives, rule.id
        assert rule.evasion, rule.id
        if rule.threat != "report_abuse":  # ATT&CK knows no technique for reports made to harm
            assert rule.technique, rule.id
        assert rule.tactic in TACTICS or not rule.technique, rule.id


@pytest.mark.parametrize("name", PACKS)
def test_every_feature_is_used_and_described(name):
    pack = PACKS[name]
    used = {feature.id for rule in pack.rules for feature in focus(pack, rule.id).features}
    assert used == {feature.id for feature in pack.features}
    assert all(feature.description for feature in pack.features)


@pytest.mark.parametrize("name", PACKS)
def test_no_rule_names_a_country(name):
    for rule in PACKS[name].rules:
        for word in ("country =", "country IN", "country <>", "region ="):
            assert word not in rule.condition, rule.id


def test_the_hash_follows_decisions_not_words():
    pack = PACKS["file_sharing"]
    assert pack.hash == load_pack("file_sharing").hash
    assert len(pack.hash) == 16
