"""Ranking of findings: families count once, a chain of stages counts more."""

from shoal.policy.findings import RuleHits, rank, score


def hits(name, severity, confidence=0.5, tactic="discovery", family=""):
    return RuleHits(name, name, severity, tactic, (), family or name, confidence)


def test_the_score_counts_families_once_and_stages_more():
    one = [hits("a", 3)]
    assert score([*one, hits("b", 3, family="a")]) == score(one)
    assert score([*one, hits("b", 3)]) == 2 * score(one)
    assert score([*one, hits("b", 3, tactic="impact")]) == 3 * score(one)
    assert score([]) == 0
    assert rank([]) == []
