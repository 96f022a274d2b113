"""A sequence model over event tokens per account, against all others: who types this, opens this, calls this?

An interpolated back-off n-gram model for each account (account → its peer group → all others), judged by the
log-likelihood ratio against the model of all others. Any token serves: commands, event types, API calls, pages. The
model owns its counts, bounded per account; it learns only when told to (`fit`, `update`), scoring never changes it.
Knows texts: no journal, no clock, no file.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from shoal.detectors.takeover.sessions.counts import Counts, Ngram, ngrams_of
from shoal.detectors.takeover.sessions.levels import Levels, SequenceOptions
from shoal.detectors.takeover.sessions.result import Problems, SessionReason, SessionScore, tail_of
from shoal.errors import InvalidInput, Problem, Where

LONGEST_TOKEN = 512


@dataclass
class _Account:
    """One account's counts, and the scores of its own sessions while they were held out."""

    counts: Counts = field(default_factory=Counts)
    scores: deque[float] = field(default_factory=deque)


class SequenceModel:
    """Fits, scores and updates; see the module. Accounts and tokens are texts.

    >>> model = SequenceModel().fit(["ann", "ann", "bob"], [["ls", "vi"], ["ls", "make"], ["top", "kill"]])
    >>> own, other = model.decision_function(["ann", "ann"], [["ls", "make"], ["top", "kill"]])
    >>> bool(own < 0 < other)
    True
    """

    def __init__(self, options: SequenceOptions | None = None, groups: Mapping[str, str] | None = None) -> None:
        self.options = options or SequenceOptions()
        self._group_of = dict(groups or {})
        self._accounts: dict[str, _Account] = {}
        self._groups: dict[str, Counts] = {}
        self._all = Counts()

    def fit(self, accounts: Sequence[str], sessions: Sequence[Sequence[str]]) -> SequenceModel:
        """Learn the history: one account and one token list a session, in time order; adds to what is known.

        Every session is then scored with itself taken out, which gives the account's held-out scores. Empty sessions
        are left out. Raises `InvalidInput` (with all problems) before anything is learned. About 10 µs a token.
        """
        check_sessions(accounts, sessions)
        history = [(a, ngrams_of(s, self.options.longest), s) for a, s in zip(accounts, sessions, strict=True) if s]
        for account, ngrams, _ in history:
            self._learn(account, ngrams, 1)
        for account, ngrams, tokens in history:
            state = self._accounts[account]
            if state.counts.sessions < 2 or any(ngram not in state.counts.ngrams for ngram in ngrams):
                continue  # alone, or partly forgotten: it cannot be taken out exactly
            self._learn(account, ngrams, -1)
            score = self.stream(account).extend(tokens)
            self._learn(account, ngrams, 1)
            self._keep(state, score)
        for account in {account for account, _, _ in history}:
            self._forget(account)
        return self

    def stream(self, account: str) -> SessionStream:
        """A running session of an account, to be given its tokens one by one."""
        return SessionStream(self, account)

    def decision_function(self, accounts: Sequence[str], sessions: Sequence[Sequence[str]]) -> npt.NDArray[np.float64]:
        """The score of each session, higher is worse, NaN where unknown; no row depends on another."""
        found = [judged.score for judged in self.judge(accounts, sessions, reasons=0)]
        return np.array([math.nan if score is None else score for score in found], dtype=np.float64)

    def judge(self, accounts: Sequence[str], sessions: Sequence[Sequence[str]], reasons: int = 3) -> list[SessionScore]:
        """Score, tail probability, basis and the most surprising tokens of each session."""
        check_sessions(accounts, sessions)
        return [self._judge(account, tokens, reasons) for account, tokens in zip(accounts, sessions, strict=True)]

    def score_tokens(self, account: str, tokens: Sequence[str]) -> npt.NDArray[np.float64]:
        """The surprise of each token in nats (mean log ratio of the n-grams that end there), higher is worse.

        Each occurrence is scored, repeated ones too; 0 for all where nothing is known of the account.
        """
        check_sessions([account], [tokens])
        longest, levels = self.options.longest, self.levels(account)
        out = np.zeros(len(tokens))
        for end in range(1, len(tokens) + 1):
            parts = [levels.ratio(tuple(tokens[end - n : end])) for n in range(1, min(longest, end) + 1)]
            out[end - 1] = sum(parts) / len(parts)
        return out

    def update(self, account: str, tokens: Sequence[str], *, force: bool = False) -> bool:
        """Learn one finished session if it looks like the account's own (or `force`); returns whether it did.

        A session scoring above the account's usual (`learn_quantile`, `learn_margin`) is not learned, so that an
        intruder does not become the owner. With too few held-out scores every session is learned: the account is
        young. An empty session changes nothing.
        """
        check_sessions([account], [tokens])
        if not tokens:
            return False
        state = self._accounts.get(account) or _Account()
        score = self.stream(account).extend(tokens)
        if not force and len(state.scores) >= self.options.least_held_out and score is not None:
            usual = float(np.quantile(np.asarray(state.scores), self.options.learn_quantile))
            if score > usual + self.options.learn_margin:
                return False
        self._learn(account, ngrams_of(tokens, self.options.longest), 1)
        self._keep(self._accounts[account], score)
        self._forget(account)
        return True

    def levels(self, account: str) -> Levels:
        """The counts that judge an account, from its own down to all others', as they stand."""
        state = self._accounts.get(account)
        own = state.counts if state else Counts()
        return Levels(self.options, own, self._groups.get(self._group_of.get(account, ""), Counts()), self._all)

    def ngrams_kept(self, account: str) -> int:
        """How many n-grams are kept of an account: at most `most_ngrams`."""
        return len(self._accounts[account].counts.ngrams) if account in self._accounts else 0

    def _judge(self, account: str, tokens: Sequence[str], most: int) -> SessionScore:
        if not tokens:
            return SessionScore(None, None, "empty", (SessionReason("the session has no tokens", 0.0),))
        stream = self.stream(account)
        score = stream.extend(tokens)
        if score is None:
            text = "nothing is known of this account or its peers"
            return SessionScore(None, None, stream.basis, (SessionReason(text, 0.0),))
        own = self._accounts.get(account)
        tail = tail_of(score, own.scores, self.options.least_held_out) if own else None
        return SessionScore(score, tail, stream.basis, tuple(stream.reasons(most)))

    def _learn(self, account: str, ngrams: list[Ngram], sign: int) -> None:
        state = self._accounts.setdefault(account, _Account())
        for counts in self._levels_of(account, state):
            counts.add(ngrams, sign)

    def _levels_of(self, account: str, state: _Account) -> list[Counts]:
        levels = [state.counts, self._all]
        if account in self._group_of:
            levels.append(self._groups.setdefault(self._group_of[account], Counts()))
        return levels

    def _keep(self, state: _Account, score: float | None) -> None:
        if score is not None:
            state.scores.append(score)
            while len(state.scores) > self.options.held_out:
                state.scores.popleft()

    def _forget(self, account: str) -> None:
        state = self._accounts[account]
        gone = state.counts.crowd(self.options.most_ngrams)
        for counts in self._levels_of(account, state) if gone else ():
            counts.drop(gone)  # from all levels alike: "others" is all less own


class SessionStream:
    """One running session: token in, score so far out. It holds the session's distinct n-grams and nothing else.

    It reads the model as it stands at each token; a session that should be judged by one state is streamed between
    two updates.
    """

    def __init__(self, model: SequenceModel, account: str) -> None:
        self._levels = model.levels(account)
        self._longest = model.options.longest
        self._tail: tuple[str, ...] = ()
        self._ratios: dict[Ngram, float] = {}
        self._repeats: dict[str, int] = {}
        self._sums = [0.0] * self._longest
        self._sizes = [0] * self._longest
        self.basis = self._levels.basis

    def push(self, token: str) -> float | None:
        """Take the next token; returns the session's score so far (mean over lengths of the mean log ratio, nats)."""
        check_sessions(["a"], [[token]])
        return self._push(token)

    def extend(self, tokens: Sequence[str]) -> float | None:
        """Take several tokens that were checked already; returns the score after the last."""
        for token in tokens:
            self._push(token)
        return self.score

    @property
    def score(self) -> float | None:
        """The score so far; `None` before the first token and where nothing is known of the account."""
        if not self._sizes[0] or self.basis == "none":
            return None
        means = [total / size for total, size in zip(self._sums, self._sizes, strict=True) if size]
        return sum(means) / len(means)

    def reasons(self, most: int) -> list[SessionReason]:
        """The n-grams that raise the score most, in words, with the nats that each adds."""
        used = sum(1 for size in self._sizes if size)
        rows = [(ratio / (self._sizes[len(n) - 1] * used), n) for n, ratio in self._ratios.items() if ratio > 0]
        rows.sort(key=lambda row: (-row[0], row[1]))
        return [SessionReason(self._levels.words(n, self._repeats[n[-1]]), amount) for amount, n in rows[:most]]

    def _push(self, token: str) -> float | None:
        self._repeats[token] = self._repeats.get(token, 0) + 1
        recent = (*self._tail, token)[-self._longest :]
        self._tail = recent
        for length in range(1, len(recent) + 1):
            ngram = recent[-length:]
            if ngram not in self._ratios:
                ratio = self._ratios[ngram] = self._levels.ratio(ngram)
                self._sums[length - 1] += ratio
                self._sizes[length - 1] += 1
        return self.score


def check_sessions(accounts: Sequence[str], sessions: Sequence[Sequence[str]]) -> None:
    """Refuse anything but one account (text) and one list of tokens (texts, 1 to 512 characters) a session."""
    if len(accounts) != len(sessions):
        text = f"{len(accounts)} accounts for {len(sessions)} sessions"
        raise InvalidInput(Problem("session.lengths", text, Where(path="accounts"), "one account a session"))
    problems = Problems()
    for row, (account, tokens) in enumerate(zip(accounts, sessions, strict=True)):
        if not isinstance(account, str) or not account:
            problems.add("session.account", f"{account!r} is not an account", f"accounts[{row}]", "texts, not empty")
        if isinstance(tokens, (str, bytes)) or not isinstance(tokens, Sequence):
            hint = "wrap a single token in a list"
            what = type(tokens).__name__
            problems.add(
                "session.tokens", f"{what} is not a list of tokens", f"sessions[{row}]", "lists of texts", hint
            )
            continue
        for place, token in enumerate(tokens):
            if not isinstance(token, str) or not 0 < len(token) <= LONGEST_TOKEN:
                shown = repr(token)[:60]
                where = f"sessions[{row}][{place}]"
                problems.add(
                    "session.token", f"{shown} is not a token", where, f"texts of 1 to {LONGEST_TOKEN} characters"
                )
    problems.throw()
