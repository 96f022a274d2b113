"""Probabilities of a token by one account and by all others: how the sequence model smooths and backs off.

Account → its peer group → all others → never seen; longer contexts back off to shorter ones. Reads counts that the
sequence model owns and changes nothing. Knows texts and counts only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from shoal.detectors.takeover.sessions.counts import Counts, Ngram
from shoal.detectors.takeover.sessions.result import Problems


@dataclass(frozen=True)
class SequenceOptions:
    """How a `SequenceModel` counts, smooths and learns; the defaults were chosen as docs/sessions.md tells.

    `longest`: longest n-gram (2: one token of context). `own_prior`, `context_prior`: weight of the level below in
    session counts, for single tokens and for tokens in context (Dirichlet smoothing, MacKay & Peto 1995).
    `group_prior`: the same between peer group and all others. `unseen`: count of a never seen token. `clip`: bound of
    one n-gram's log ratio, in nats. `most_ngrams`: bound of memory an account. `held_out`: own scores kept for tail
    probabilities, of which `least_held_out` are needed. `learn_quantile`, `learn_margin`: `update` learns a session
    whose score is at most that quantile of the held-out scores, plus the margin in nats.
    """

    longest: int = 2
    own_prior: float = 50.0
    context_prior: float = 2.0
    group_prior: float = 200.0
    unseen: float = 1.0
    clip: float = 9.0
    most_ngrams: int = 20_000
    held_out: int = 200
    least_held_out: int = 20
    learn_quantile: float = 0.98
    learn_margin: float = 0.0

    def __post_init__(self) -> None:
        problems = Problems()
        whole = {"longest": (1, 8), "most_ngrams": (16, 10**8), "held_out": (1, 10**6), "least_held_out": (1, 10**6)}
        for name, (low, high) in whole.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                problems.add("session.option", f"{value!r} is not allowed", name, f"whole numbers {low} to {high:,}")
        for name in ("own_prior", "context_prior", "group_prior", "unseen", "clip"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                problems.add("session.option", f"{value!r} is not allowed", name, "finite numbers above 0")
        if not 0 < self.learn_quantile <= 1:
            problems.add("session.option", f"{self.learn_quantile!r} is not allowed", "learn_quantile", "above 0, to 1")
        if not math.isfinite(self.learn_margin):
            problems.add("session.option", f"{self.learn_margin!r} is not allowed", "learn_margin", "finite numbers")
        problems.throw()


class Levels:
    """The counts that judge one account. `basis` says whose history stands for the account's: see `SessionScore`."""

    __slots__ = ("_all", "_group", "_options", "_own", "_trust", "basis")

    def __init__(self, options: SequenceOptions, own: Counts, group: Counts, everyone: Counts) -> None:
        self.basis = "account" if own.sessions > 0 else "group" if group.sessions > 0 else "none"
        if self.basis == "group":  # no history: the peers stand for the account, all outside the group for the others
            own, group = group, Counts()
        self._options, self._own, self._group, self._all = options, own, group, everyone
        known = own.contexts.get((), 0)
        self._trust = known / (known + options.own_prior)  # how far the account's own habits are known

    def ratio(self, ngram: Ngram) -> float:
        """log P(last token | context) by all others, less by this account, clipped; in nats, higher is worse."""
        own, others = self.probabilities(ngram)
        clip = self._options.clip
        return min(clip, max(-clip, math.log(others) - math.log(own)))

    def probabilities(self, ngram: Ngram) -> tuple[float, float]:
        """P(last token | context) by the account and by all others; each sums to 1 over known tokens and "unseen"."""
        if len(ngram) == 1:
            return self._token(ngram)
        own_shorter, others_shorter = self.probabilities(ngram[1:])
        context, prior = ngram[:-1], self._options.context_prior
        own, own_context = self._own.ngrams.get(ngram, 0), self._own.contexts.get(context, 0)
        seen = self._all.ngrams.get(ngram, 0) - own
        others = (seen + prior * others_shorter) / (self._all.contexts.get(context, 0) - own_context + prior)
        below = self._trust * own_shorter + (1 - self._trust) * others
        return (own + prior * below) / (own_context + prior), others

    def words(self, ngram: Ngram, times: int) -> str:
        """An n-gram's part in the score, in words with its counts."""
        own, own_sessions = self._own.ngrams.get(ngram, 0), self._own.sessions
        others = self._all.ngrams.get(ngram, 0) - own
        what = f"{ngram[-1]!r}" if len(ngram) == 1 else f"{ngram[-1]!r} after {' '.join(map(repr, ngram[:-1]))}"
        whose = "this account's" if self.basis == "account" else "its peers'"
        often = f" ({times} times here)" if times > 1 and len(ngram) == 1 else ""
        rest = self._all.sessions - own_sessions
        return f"{what}{often}: in {own:,} of {whose} {own_sessions:,} sessions, in {others:,} of {rest:,} of others"

    def _token(self, ngram: Ngram) -> tuple[float, float]:
        options, whole = self._options, self._all.contexts.get((), 0)
        own, own_whole = self._own.ngrams.get(ngram, 0), self._own.contexts.get((), 0)
        unseen = options.unseen
        seen = self._all.ngrams.get(ngram, 0) - own
        others = (seen + unseen) / (whole - own_whole + unseen * (self._all.vocabulary + 1))
        below = others
        peers = self._group.contexts.get((), 0) - own_whole
        if peers > 0:
            prior = options.group_prior
            below = (self._group.ngrams.get(ngram, 0) - own + prior * others) / (peers + prior)
        return (own + options.own_prior * below) / (own_whole + options.own_prior), others
