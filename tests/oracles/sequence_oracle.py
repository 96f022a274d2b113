"""The slow twin of the sequence model: every count taken anew from the history, for each n-gram, by the definition."""

import math
from collections.abc import Sequence


def grams(tokens: Sequence[str], n: int) -> set[tuple[str, ...]]:
    return {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}


def score(
    history: Sequence[tuple[str, Sequence[str]]], account: str, tokens: Sequence[str], longest: int, own_prior: float,
    context_prior: float, unseen: float, clip: float,
) -> float:  # fmt: skip
    own = [s for a, s in history if a == account and s]
    others = [s for a, s in history if a != account and s]
    words = {t for _, s in history for t in s}

    def count(where: Sequence[Sequence[str]], gram: tuple[str, ...]) -> int:
        return sum(gram in grams(s, len(gram)) for s in where)

    def context(where: Sequence[Sequence[str]], begin: tuple[str, ...]) -> int:
        return sum(sum(g[:-1] == begin for g in grams(s, len(begin) + 1)) for s in where)

    trust = context(own, ()) / (context(own, ()) + own_prior)

    def chances(gram: tuple[str, ...]) -> tuple[float, float]:
        if len(gram) == 1:
            q = (count(others, gram) + unseen) / (context(others, ()) + unseen * (len(words) + 1))
            return (count(own, gram) + own_prior * q) / (context(own, ()) + own_prior), q
        p1, q1 = chances(gram[1:])
        q = (count(others, gram) + context_prior * q1) / (context(others, gram[:-1]) + context_prior)
        below = trust * p1 + (1 - trust) * q
        return (count(own, gram) + context_prior * below) / (context(own, gram[:-1]) + context_prior), q

    means = []
    for n in range(1, longest + 1):
        ratios = [min(clip, max(-clip, math.log(q / p))) for p, q in map(chances, grams(tokens, n))]
        if ratios:
            means.append(sum(ratios) / len(ratios))
    return sum(means) / len(means)
