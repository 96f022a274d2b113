"""Counts of n-grams with bounded memory: in how many sessions each token sequence of length 1..n was seen.

An n-gram counts once a session: people repeat a command in bursts, and a burst says little more than its first token
(the token-level counts rank intruders worse on every data set tried). Owned by one model; lives as long as it.
Knows tuples of texts only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

Ngram: TypeAlias = tuple[str, ...]


def ngrams_of(tokens: Sequence[str], longest: int) -> list[Ngram]:
    """The distinct n-grams of lengths 1 to `longest`, in order of first occurrence.

    >>> ngrams_of(["a", "b", "a"], 2)
    [('a',), ('b',), ('a', 'b'), ('b', 'a')]
    """
    found: dict[Ngram, None] = {}
    for end in range(1, len(tokens) + 1):
        for length in range(1, min(longest, end) + 1):
            found[tuple(tokens[end - length : end])] = None
    return list(found)


class Counts:
    """Session counts of n-grams, their sums by context (all but the last token), and the number of distinct tokens."""

    __slots__ = ("contexts", "ngrams", "sessions", "vocabulary")

    def __init__(self) -> None:
        self.ngrams: dict[Ngram, int] = {}
        self.contexts: dict[Ngram, int] = {}
        self.sessions = 0
        self.vocabulary = 0

    def add(self, ngrams: Iterable[Ngram], sign: int = 1) -> None:
        """Add (or with `sign` -1 take away) one session's distinct n-grams; what falls to 0 is forgotten."""
        self.sessions += sign
        for ngram in ngrams:
            self._shift(ngram, sign)

    def drop(self, gone: Iterable[tuple[Ngram, int]]) -> None:
        """Take away n-grams with their counts, where they are known."""
        for ngram, count in gone:
            if ngram in self.ngrams:
                self._shift(ngram, -count)

    def crowd(self, most: int) -> list[tuple[Ngram, int]]:
        """The n-grams to forget when there are more than `most`: down to ¾ of it, rarest and oldest first."""
        if len(self.ngrams) <= most:
            return []
        order = sorted(self.ngrams.items(), key=lambda item: item[1])  # stable: ties stay by age of the last sight
        return order[: len(order) - most * 3 // 4]

    def _shift(self, ngram: Ngram, by: int) -> None:
        context = ngram[:-1]
        before = self.ngrams.pop(ngram, 0)  # taken out and put back: the dict's order is that of the last sight
        count = before + by
        if count > 0:
            self.ngrams[ngram] = count
        if not context:
            self.vocabulary += (count > 0) - (before > 0)
        total = self.contexts.get(context, 0) + by
        if total > 0:
            self.contexts[context] = total
        else:
            self.contexts.pop(context, None)
