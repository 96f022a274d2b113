"""The scenario reader: what it takes, and the exact problem that each malformed file gets."""

import dataclasses

import pytest

from shoal.errors import InvalidInput
from shoal.simulate.scenario import (
    ADVERSARIES,
    Scenario,
    builtin_scenario,
    builtin_scenarios,
    parse_scenario,
    read_scenario,
)
from shoal.simulate.scenario.schema import CALENDAR_KINDS
from shoal.simulate.truth import KINDS

HEAD = "shoal_scenario: 1\nname: x\nstart: 2025-03-03\n"

BAD = [
    # text after HEAD (or the whole text), slug, line, part of the message
    ("populaton: {}", "scenario.key", 4, "did you mean 'population'"),
    ("population: {accounts: 12}", "scenario.range", 4, "allowed: 20 to 5,000,000"),
    ("population:\n  accounts: many", "scenario.type", 5, "allowed: a whole number"),
    ("population: {accounts: 100.5}", "scenario.type", 4, "a whole number"),
    ('population: {accounts: "100"}', "scenario.type", 4, "a whole number"),
    ("population: {accounts: .nan}", "scenario.type", 4, "a whole number"),
    ("population: {signups_per_day: .inf}", "scenario.type", 4, "a number"),
    ("population: {signups_per_day: 1e400}", "scenario.range", 4, "1e400"),
    ("population: [1, 2]", "scenario.type", 4, "population is a list of 2"),
    ("population:", "scenario.type", 4, "population is nothing"),
    ("population: {mfa_share: 1.2}", "scenario.range", 4, "0.0 to 1.0"),
    ("population: {organisations: {shar: 1}}", "scenario.key", 4, "did you mean 'share'"),
    ("days: 3\ndays: 4", "scenario.key_twice", 5, "first on line 4"),
    ("days: 0", "scenario.range", 4, "1 to 3,650"),
    ("days: true", "scenario.type", 4, "a whole number"),
    ("homes: []", "scenario.range", 4, "1 to 400"),
    ("homes: [{country: DE}]", "scenario.required", 4, "'city' is missing"),
    ("homes: [{country: no, city: Oslo, lat: 60, lon: 10, utc_offset_h: 1}]", "scenario.pattern", 4, "NO in quotes"),
    ("homes: [{country: DE, city: X, lat: 99, lon: 0, utc_offset_h: 1}]", "scenario.range", 4, "-90 to 90"),
    ("activity: {rhythm_work: [1, 2]}", "scenario.type", 4, "a list of 24 numbers"),
    (f"activity: {{rhythm_work: [{', '.join(['0'] * 24)}]}}", "scenario.range", 4, "zero throughout"),
    ("activity: {uploads: 0}", "scenario.range", 1, "activity.uploads is 0"),
    ("calendar: [{kind: office_mov, day: 1}]", "scenario.choice", 4, "did you mean 'office_move'"),
    ("calendar: [{kind: holiday, day: 99}]", "scenario.range", 4, "after the end"),
    ("calendar: [{kind: holiday, day: 1, country: AQ}]", "scenario.choice", 4, "nobody lives in 'AQ'"),
    ("calendar: 3", "scenario.type", 4, "a list"),
    ("adversaries: [{id: a, start_day: 1}]", "scenario.required", 4, "'kind' is missing"),
    ("adversaries: [7]", "scenario.required", 4, "'kind' is missing"),
    ("adversaries: [{id: a, kind: phising, start_day: 1}]", "scenario.choice", 4, "did you mean 'phishing'"),
    ("adversaries: [{kind: phishing, start_day: 1}]", "scenario.required", 4, "'id' is missing"),
    ("adversaries: [{id: a b, kind: phishing, start_day: 1}]", "scenario.pattern", 4, "'a b'"),
    ("adversaries: [{id: a, kind: phishing, start_day: 14}]", "scenario.range", 4, "below 14"),
    ("adversaries: [{id: a, kind: phishing, start_day: 1, victims: 3}]", "scenario.key", 4, "no key 'victims'"),
    ("adversaries: [{id: a, kind: destruction, start_day: 1, extension: 'a\"b'}]", "scenario.pattern", 4, "extension"),
    ("adversaries: [{id: a, kind: destruction, start_day: 1, note: 3}]", "scenario.type", 4, "true, false"),
    (
        "adversaries:\n- {id: a, kind: phishing, start_day: 1}\n- {id: a, kind: malware, start_day: 1}",
        "scenario.id_twice", 6, "adversaries[1]",
    ),
    ("expect: [a]", "scenario.type", 4, "a mapping"),
    ("expect: {atacks: []}", "scenario.key", 4, "did you mean 'attacks'"),
    ("expect: {warm_up_days: 14, honest: {nothing_fires: true}}", "scenario.range", 4, "leaves no day"),
    ("expect: {attacks: [{attack: a, caught_share: 0.5}]}", "scenario.choice", 4, "no attack 'a' in this scenario"),
    ("expect:\n  attacks:\n  - kind: phishing\n    within_h: 1", "scenario.choice", 6, "no kind 'phishing'"),
    ("expect:\n  attacks:\n  - {caught_share: 0.5}", "scenario.expect", 6, "neither or both"),
    ("expect: {attacks: [{attack: a}]}", "scenario.expect", 4, "expects nothing"),
    ("expect: {attacks: [{attack: a, caught_share: 1.5}]}", "scenario.range", 4, "0.0 to 1.0"),
    ("expect: {attacks: [{attack: a, caught_share: null}]}", "scenario.type", 4, "a number"),
    ("expect: {attacks: [{attack: a, tier: alow, within_h: 1}]}", "scenario.choice", 4, "restrict"),
    ("expect: {honest: {kinds: [{kind: benign_travl, touched_share: 0}]}}", "scenario.choice", 4, "'benign_travel'"),
    ("expect: {honest: {kinds: [{kind: benign_travel}]}}", "scenario.required", 4, "'touched_share' is missing"),
    ("expect: {honest: {nothing_fires: 1}}", "scenario.type", 4, "true, false"),
    ("expect: {honest: {touched_per_10k_week: -1}}", "scenario.range", 4, "0 to"),
    ("quick: perhaps", "scenario.type", 4, "true, false"),
    ("reactions: {step_min: 0}", "scenario.range", 4, "0.1 to 1,440"),
    ("reactions: {challenges: {totp: {owner: 2}}}", "scenario.range", 4, "0.0 to 1.0"),
    (
        "adversaries: [{id: a, kind: phishing, start_day: 1, budget: {acounts: 3}}]", "scenario.key", 4,
        "did you mean 'accounts'",
    ),
    ("structure: {campus: {count: 1}}", "scenario.key", 4, "did you mean 'campuses'"),
    ("structure: {means: {card_shares: 0.1}}", "scenario.key", 4, "did you mean 'card_share'"),
    ("structure: {means: {card_share: 1.1}}", "scenario.range", 4, "0.0 to 1.0"),
    ("structure: {campuses: 2}", "scenario.type", 4, "a mapping"),
    ("structure: {campuses: {count: 0.5}}", "scenario.type", 4, "a whole number"),
    ("structure: {campuses: {addresses: 0}}", "scenario.range", 4, "1 to 1,024"),
    ("structure: {campuses: {meetings: 6}}", "scenario.range", 4, "1 to 5"),
    ("structure: {resellers: {customers: 0}}", "scenario.range", 4, "1 to 100,000"),
    ("structure: {teams: {spread_min: -1}}", "scenario.range", 4, "0.1 to"),
    ("structure: {onboardings: {size: many}}", "scenario.type", 4, "a number"),
    ("structure:\n  following:\n    channels: 1\n    channels: 2", "scenario.key_twice", 7, "first on line 6"),
    ("adversaries: [{id: a, kind: operations, start_day: 1}]", "scenario.choice", 4, "did you mean 'operation'"),
    ("adversaries: [{id: a, kind: operation, start_day: 1, accounts: 1}]", "scenario.range", 4, "2 to"),
    ("adversaries: [{id: a, kind: operation, start_day: 1, cell: 3}]", "scenario.key", 4, "did you mean 'cell_size'"),
    ("adversaries: [{id: a, kind: operation, start_day: 1, act: star}]", "scenario.choice", 4, "download, report"),
    ("adversaries: [{id: a, kind: operation, start_day: 1, camouflage: 2}]", "scenario.range", 4, "0.0 to 1.0"),
    ("adversaries: [{id: a, kind: operation, start_day: 1, address_reuse: 0.5}]", "scenario.range", 4, "1 to"),
    ("adversaries: [{id: a, kind: operation, start_day: 1, card_reuse: -1}]", "scenario.range", 4, "0 to"),
    (
        "adversaries:\n- {id: a, kind: operation, start_day: 1, aged_share: 0.6, hijacked_share: 0.5}",
        "scenario.range", 5, "1 together",
    ),
    ("title: [a]", "scenario.type", 4, "a text"),
    ("title: " + "x" * 2000, "scenario.range", 4, "2,000 characters"),
    ("a: [", "scenario.yaml", 5, "not YAML"),
    ("? {a: b}\n: 3", "scenario.key", 4, "no key ''"),
    ("a: &x [*x]", "scenario.key", 4, "no key 'a'"),
    ("a: " + "[" * 50_000, "scenario.yaml", 4, "nested too deeply"),
    ("a: \x07", "scenario.yaml", 0, "not YAML"),
]  # fmt: skip

WHOLE = [
    ("", "scenario.empty", 0),
    ("# nothing", "scenario.empty", 0),
    ("[]", "scenario.type", 1),
    ("just text", "scenario.type", 1),
    ("shoal_scenario: 1\nname: x\n", "scenario.required", 1),
    ("shoal_scenario: 2\nname: x\nstart: 2025-01-01\n", "scenario.version", 1),
    ("shoal_scenario: 1\nname: X Y\nstart: 2025-01-01\n", "scenario.pattern", 2),
    ("shoal_scenario: 1\nname: x\nstart: soon\n", "scenario.moment", 3),
    ("shoal_scenario: 1\nname: x\nstart: 1066-10-14\n", "scenario.moment", 3),
    ("shoal_scenario: 1\nname: x\nstart: [2025]\n", "scenario.moment", 3),
]


def problems(text):
    with pytest.raises(InvalidInput) as caught:
        parse_scenario(text, "s.yaml")
    return caught.value.problems


@pytest.mark.parametrize(("text", "slug", "line", "message"), BAD, ids=[f"{i}-{b[1]}" for i, b in enumerate(BAD)])
def test_bad_field(text, slug, line, message):
    found = [p for p in problems(HEAD + text + "\n") if p.slug == slug]
    assert found, problems(HEAD + text + "\n")
    assert any(message in str(p) for p in found), found
    if line:
        assert found[0].where.line == line
    assert found[0].where.file == "s.yaml"


@pytest.mark.parametrize(("text", "slug", "line"), WHOLE)
def test_bad_file(text, slug, line):
    found = problems(text)
    assert slug in {p.slug for p in found}
    assert next(p for p in found if p.slug == slug).where.line == line


def test_all_problems_together():
    text = HEAD + "dayz: 3\npopulation: {accounts: 1, acounts: 2}\nadversaries: [{id: a, kind: q, start_day: 1}]\n"
    assert [p.slug for p in problems(text)] == ["scenario.key", "scenario.range", "scenario.key", "scenario.choice"]


def test_unreadable_files(tmp_path):
    cases = {"missing": None, "binary": b"\xff\xfe\x00", "large": b"# " + b"x" * (1 << 20)}
    slugs = {"missing": "scenario.unreadable", "binary": "scenario.encoding", "large": "scenario.too_large"}
    for name, raw in cases.items():
        path = tmp_path / name
        if raw is not None:
            path.write_bytes(raw)
        with pytest.raises(InvalidInput) as caught:
            read_scenario(path)
        assert [p.slug for p in caught.value.problems] == [slugs[name]]


def test_unknown_builtin_names_the_nearest():
    with pytest.raises(InvalidInput, match="did you mean 'fortnight'"):
        builtin_scenario("fortnigth")


def test_shipped_scenarios():
    assert {"fortnight", "quiet", "tiny"} <= set(builtin_scenarios())
    for name in builtin_scenarios():
        assert builtin_scenario(name).name == name
    assert builtin_scenario("quiet").adversaries == ()
    fortnight = builtin_scenario("fortnight")
    assert min(a.start_day for a in fortnight.adversaries) >= 3
    assert {a.kind for a in fortnight.adversaries} == {a.kind for a in builtin_scenario("tiny").adversaries}
    shipped = [builtin_scenario(name) for name in builtin_scenarios()]
    assert {a.kind for s in shipped for a in s.adversaries} == set(ADVERSARIES) == set(KINDS)
    assert {h.kind for s in shipped for h in s.calendar} == set(CALENDAR_KINDS)


def test_small_worlds_expect_something():
    small = [builtin_scenario(n) for n in builtin_scenarios() if n not in ("fortnight", "four-weeks", "quiet", "tiny")]
    assert len(small) >= 14
    for scenario in small:
        assert 1500 <= scenario.population.accounts <= 6000
        assert 4 <= scenario.days <= 8
        expect = scenario.expect
        assert expect.count, scenario.name
        if not scenario.adversaries:
            honest = expect.honest
            assert honest.nothing_fires or honest.touched_per_10k_week is not None
            continue
        assert {e.attack for e in expect.attacks} == {a.id for a in scenario.adversaries}, scenario.name
        assert expect.honest.touched_per_10k_week is not None
        assert min(a.start_day for a in scenario.adversaries) >= expect.warm_up_days


def test_defaults_lie_in_their_ranges():
    def check(cls, path):
        for item in dataclasses.fields(cls):
            meta, default = item.metadata, item.default
            assert meta["doc"], f"{path}.{item.name}"
            if item.default_factory is not dataclasses.MISSING:
                if dataclasses.is_dataclass(item.default_factory):
                    check(item.default_factory, f"{path}.{item.name}")
            elif isinstance(default, int | float) and meta.get("lo") is not None:
                assert meta["lo"] <= default <= meta["hi"], f"{path}.{item.name}"

    check(Scenario, "scenario")
    for name, cls in ADVERSARIES.items():
        check(cls, name)


def test_expectations_and_budgets_are_read():
    text = """adversaries: [{id: a, kind: phishing, start_day: 1, budget: {accounts: 7}}]
expect:
  warm_up_days: 1
  attacks:
  - {attack: a, caught_share: 0.5, within_h: 3, harmful_before: 10, tier: restrict}
  - {kind: phishing, within_h: 9}
  honest: {touched_per_10k_week: 5, kinds: [{kind: benign_travel, touched_share: 0.1}]}
reactions: {challenges: {email_code: {owner: 0.5}}}
"""
    found = parse_scenario(HEAD + text)
    first, second = found.expect.attacks
    assert (first.caught_share, first.within_h, first.harmful_before, first.tier) == (0.5, 3, 10, "restrict")
    assert (second.caught_share, second.within_h, second.harmful_before) == (None, 9, None)
    assert found.expect.count == 6
    assert found.adversaries[0].budget.accounts == 7
    passing = found.reactions.challenges
    assert (passing.email_code.owner, passing.email_code.bulk, passing.push.bulk) == (0.5, 0.27, 0.01)
    assert parse_scenario(HEAD).expect.count == 0


def test_moments():
    for text in ("2025-03-03", "2025-03-03T00:00:00Z", "2025-03-03T01:00:00+01:00", "'2025-03-03'"):
        assert parse_scenario(f"shoal_scenario: 1\nname: x\nstart: {text}\n").start == 1_740_960_000_000_000
