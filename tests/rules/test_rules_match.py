"""Rules: three-valued matching, reasons in words, packed bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import InvalidInput, Where
from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.expressions.frame import Frame, Layout
from shoal.rules.reasons import MAX_TEXT, bytes_words, duration_words, number_words, parse_reason
from shoal.rules.rules import MATCHED, NOT_MATCHED, UNKNOWN, Rule, RuleSet, Severity, pack_bits, unpack_bits

IDENTITY = Identity(bytes(range(16)))
COLUMNS = {
    "type": Kind.TEXT, "ip": Kind.TEXT, "cause": Kind.TEXT, "size_bytes": Kind.INT, "share": Kind.FLOAT,
    "external": Kind.BOOL, "time": Kind.TIME,
}  # fmt: skip
LAYOUT = Layout.of(COLUMNS)


def rule(condition, reason="why", **more):
    return Rule("t.x", "x", condition, "ip", "spam", Severity.LOW, reason, **more)


def frame(*rows):
    return Frame.of_rows(rows, LAYOUT, IDENTITY)


def test_matched_not_and_unknown():
    rules = RuleSet(
        [rule("size_bytes > 10"), rule("external"), rule("type = 'a' OR size_bytes > 10")], LAYOUT, IDENTITY
    )
    rows = frame({"size_bytes": 11, "external": True}, {"size_bytes": 10, "type": "a"}, {"type": "b"})
    assert rules.match(rows).tolist() == [
        [MATCHED, NOT_MATCHED, UNKNOWN],
        [MATCHED, UNKNOWN, UNKNOWN],
        [MATCHED, MATCHED, UNKNOWN],
    ]
    assert rules.match(rows).dtype == np.int8


def test_what_shoal_caused_matches_only_rules_that_ask_for_it():
    rules = RuleSet([rule("type = 'a'"), rule("type = 'a'", include_shoal=True)], LAYOUT, IDENTITY)
    rows = frame({"type": "a"}, {"type": "a", "cause": "shoal"}, {"type": "a", "cause": "owner"})
    assert rules.match(rows).tolist() == [[1, 0, 1], [1, 1, 1]]


def test_one_row_is_what_it_is_among_many():
    conditions = ["size_bytes > 10", "external", "type LIKE 'a%' AND size_bytes > 2 * 5", "ip = 'x' OR external"]
    rules = RuleSet([rule(text, include_shoal=i % 2 == 1) for i, text in enumerate(conditions)], LAYOUT, IDENTITY)
    rows = [
        {"size_bytes": size, "external": external, "type": kind, "cause": cause}
        for size in (None, 10, 11)
        for external in (None, True, False)
        for kind in (None, "a1", "b")
        for cause in (None, "shoal", "owner")
    ]
    together = rules.match(frame(*rows))
    assert {MATCHED, NOT_MATCHED, UNKNOWN} <= set(together.ravel().tolist())
    for i, row in enumerate(rows):
        assert rules.match(frame(row))[:, 0].tolist() == together[:, i].tolist(), row


def test_all_problems_of_all_rules_together():
    where = Where("rules/a.yaml", 7)
    with pytest.raises(InvalidInput) as refused:
        RuleSet(
            [rule("sice_bytes > 1", origin=where), rule("size_bytes"), rule("external", reason="{shar} {ip")],
            LAYOUT,
            IDENTITY,
        )
    slugs = [problem.slug for problem in refused.value.problems]
    assert slugs == ["expression.unknown_column", "rule.condition_kind", "reason.unknown_column", "reason.brace"]
    assert str(refused.value.problems[0]).startswith("rules/a.yaml:7 [condition]")


def test_a_reason_in_words():
    template = "{size_bytes} things ({size_bytes:bytes}), {share:percent} {external}, from {ip} at {time} {{so}}"
    rules = RuleSet([rule("external", template)], LAYOUT, IDENTITY)
    rows = frame({"size_bytes": 1_234_567, "share": 0.256, "external": True, "ip": "203.0.113.7", "time": 0}, {})
    assert (
        rules.render(0, rows, 0)
        == "1,234,567 things (1.2 MB), 26 % yes, from 203.0.113.7 at 1970-01-01 00:00:00 UTC {so}"
    )
    assert rules.render(0, rows, 1) == "unknown things (unknown), unknown unknown, from unknown at unknown {so}"
    assert rules.text_columns >= {"ip"}


def test_an_attackers_text_stays_on_one_line_and_short():
    rules = RuleSet([rule("external", "{type}")], LAYOUT, IDENTITY)
    shown = rules.render(0, frame({"type": "a\x1b[2J\nb" + "x" * 500}), 0)
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert len(shown) == MAX_TEXT


@pytest.mark.parametrize(
    ("template", "slug"),
    [
        ("{", "reason.brace"),
        ("}", "reason.brace"),
        ("{}", "reason.place"),
        ("{ip.__class__}", "reason.place"),
        ("{ip!r}", "reason.place"),
        ("{0}", "reason.place"),
        ("{address}", "reason.unknown_column"),
        ("{share:precent}", "reason.style"),
        ("{ip:km}", "reason.style"),
        ("{external:number}", "reason.style"),
    ],
)
def test_templates_that_are_refused(template, slug):
    with pytest.raises(InvalidInput) as refused:
        parse_reason(template, COLUMNS, Where("r.yaml", 3))
    assert [problem.slug for problem in refused.value.problems] == [slug]


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (number_words(0), "0"),
        (number_words(-1500), "-1,500"),
        (number_words(0.00012), "0.00012"),
        (number_words(1e20), "100,000,000,000,000,000,000"),
        (duration_words(0), "0 seconds"),
        (duration_words(59), "59 seconds"),
        (duration_words(90), "1.5 minutes"),
        (duration_words(86_400), "1 day"),
        (bytes_words(0), "0 B"),
        (bytes_words(999), "999 B"),
        (bytes_words(5e15), "5,000 TB"),
    ],
)
def test_numbers_in_words(shown, words):
    assert shown == words


def test_the_peak_is_the_first_number():
    assert parse_reason("{ip} {share:percent} {size_bytes}", COLUMNS, Where()).peak == "share"
    assert parse_reason("{ip} {external}", COLUMNS, Where()).peak == ""


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 130), st.integers(0, 7), st.randoms(use_true_random=False))
def test_packed_bits_come_back(rules, rows, random):
    flags = np.array([[random.random() < 0.3 for _ in range(rows)] for _ in range(rules)], dtype=bool).reshape(
        rules, rows
    )
    words = pack_bits(flags)
    assert words.shape == (rows, (rules + 63) // 64)
    assert (unpack_bits(words, rules) == flags).all()
