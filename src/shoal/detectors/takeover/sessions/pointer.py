"""A model of how each account moves its pointer, against others: gradient-boosted trees over strokes.

For each account one binary model of its strokes against a sample of other accounts'; a session's score is the mean
log-odds of its strokes. The model owns what it fitted; scoring changes nothing and sees one session at a time. Knows
pointer events only: no journal, no clock, no file.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier

from shoal.detectors.takeover.sessions.result import Problems, SessionReason, SessionScore, tail_of
from shoal.detectors.takeover.sessions.strokes import SAMPLING, STATISTICS, Floats, PointerEvents, stroke_statistics
from shoal.errors import InvalidInput, Problem, Where

NAMES = tuple(STATISTICS)
FLOOR = 1e-3
UNSPOKEN = frozenset({"kind", "direction"})


@dataclass(frozen=True)
class PointerOptions:
    """How a `PointerModel` is fitted.

    `rounds`, `leaves`, `rate`: of the boosting. `most_strokes`: strokes used of the account; of all others twice as
    many. `least_strokes`: an account with fewer is not fitted. `folds`: parts of the account's sessions for held-out
    scores (0: none, and no tail probabilities); `piece`: strokes of one held-out piece. `sampling`: whether to use the
    statistics that tell the pointing device more than the hand. `seed`: of the samples drawn.
    """

    rounds: int = 80
    leaves: int = 24
    rate: float = 0.12
    most_strokes: int = 5_000
    least_strokes: int = 100
    folds: int = 2
    piece: int = 50
    sampling: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        problems = Problems()
        low = {"rounds": 1, "leaves": 2, "most_strokes": 20, "least_strokes": 20, "folds": 0}
        for name, least in {**low, "piece": 1, "seed": 0}.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least or (name == "folds" and value == 1):
                problems.add("session.option", f"{value!r} is not allowed", name, f"whole numbers from {least}")
        if not 0 < self.rate <= 1:
            problems.add("session.option", f"{self.rate!r} is not allowed", "rate", "above 0, to 1")
        problems.throw()


@dataclass(frozen=True)
class _Boosted:
    """Trees, and the log-odds of "somebody else" among the strokes that they were fitted on.

    The share is taken out of the score afterwards: weighting rows instead makes scikit-learn's binning a hundred times
    slower.
    """

    trees: HistGradientBoostingClassifier
    share: float


@dataclass(frozen=True)
class _Fitted:
    model: _Boosted
    quartiles: Floats
    held_out: tuple[float, ...]


class PointerModel:
    """Fits and scores; see the module."""

    def __init__(self, options: PointerOptions | None = None) -> None:
        self.options = options or PointerOptions()
        wanted = [self.options.sampling or name not in SAMPLING for name in NAMES]
        self._columns = np.flatnonzero(wanted)
        self._fitted: dict[str, _Fitted] = {}

    def fit(
        self, accounts: Sequence[str], sessions: Sequence[PointerEvents], targets: Sequence[str] | None = None
    ) -> PointerModel:
        """Fit each of `targets` (default: all accounts) on its own sessions against the others'; replaces what was.

        Raises `InvalidInput` for unequal lengths, for unknown targets and where there are no others. An account with
        too few strokes is not fitted and scores `None`. About 1.5 s of CPU an account at the default sizes.
        """
        _check(accounts, sessions)
        return self.fit_strokes(accounts, [stroke_statistics(session) for session in sessions], targets)

    def fit_strokes(
        self, accounts: Sequence[str], strokes: Sequence[Floats], targets: Sequence[str] | None = None
    ) -> PointerModel:
        """The same for sessions whose `stroke_statistics` are at hand."""
        if len(set(accounts)) < 2:
            text = "there are no other accounts to tell the account from"
            raise InvalidInput(Problem("session.others", text, Where(path="accounts"), "two accounts or more"))
        problems = Problems()
        for row, target in enumerate(targets or ()):
            if target not in accounts:
                problems.add("session.target", f"{target!r} has no session", f"targets[{row}]", "accounts given")
        problems.throw()
        self._fitted = {}
        for account in sorted(set(targets if targets is not None else accounts)):
            own = [rows for name, rows in zip(accounts, strokes, strict=True) if name == account]
            others = np.concatenate([rows for name, rows in zip(accounts, strokes, strict=True) if name != account])
            if sum(map(len, own)) >= self.options.least_strokes and len(others) >= self.options.least_strokes:
                self._fitted[account] = self._fit_account(own, others)
        return self

    def decision_function(self, accounts: Sequence[str], sessions: Sequence[PointerEvents]) -> npt.NDArray[np.float64]:
        """The score of each session, higher is worse, NaN where unknown; no row depends on another."""
        found = [judged.score for judged in self.judge(accounts, sessions, reasons=0)]
        return np.array([math.nan if score is None else score for score in found], dtype=np.float64)

    def judge(self, accounts: Sequence[str], sessions: Sequence[PointerEvents], reasons: int = 3) -> list[SessionScore]:
        """Score, tail probability, basis and the statistics furthest from the account's own, for each session."""
        _check(accounts, sessions)
        pairs = zip(accounts, sessions, strict=True)
        return [self.judge_strokes(account, stroke_statistics(session), reasons) for account, session in pairs]

    def judge_strokes(self, account: str, strokes: Floats, reasons: int = 3) -> SessionScore:
        """The same for one session whose `stroke_statistics` are at hand."""
        fitted = self._fitted.get(account)
        if fitted is None:
            text = "this account was not fitted: it has too few pointer movements, or none"
            return SessionScore(None, None, "none", (SessionReason(text, 0.0),))
        if not len(strokes):
            return SessionScore(None, None, "empty", (SessionReason("the session has no pointer movement", 0.0),))
        score = float(self._log_odds(fitted.model, strokes).mean())
        tail = tail_of(score, fitted.held_out, 20)
        return SessionScore(score, tail, "account", tuple(_reasons(fitted.quartiles, strokes, reasons)))

    def _fit_account(self, own: list[Floats], others: Floats) -> _Fitted:
        options, chance = self.options, np.random.default_rng(self.options.seed)
        held_out: list[float] = []
        if options.folds > 1 and len(own) >= options.folds:
            for fold in range(options.folds):
                kept = np.concatenate([rows for place, rows in enumerate(own) if place % options.folds != fold])
                if len(kept) < options.least_strokes:
                    continue
                model = self._boost(kept, others, chance)
                for rows in own[fold :: options.folds]:
                    odds = self._log_odds(model, rows) if len(rows) else np.empty(0)
                    starts = range(0, len(odds) - options.piece + 1, options.piece)
                    held_out += [float(odds[start : start + options.piece].mean()) for start in starts]
        everything = np.concatenate(own)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a statistic that this account never has: all NaN
            quartiles = np.nanquantile(everything, [0.25, 0.5, 0.75], axis=0)
        model = self._boost(everything, others, chance)
        return _Fitted(model, quartiles, tuple(held_out))

    def _boost(self, own: Floats, others: Floats, chance: np.random.Generator) -> _Boosted:
        """Two strokes of others for each own: held-out and final models must be as lopsided, or scores differ."""
        options = self.options
        own = _sample(own, options.most_strokes, chance)
        others = _sample(others, 2 * len(own), chance)
        model = HistGradientBoostingClassifier(
            max_iter=options.rounds,
            max_leaf_nodes=options.leaves,
            learning_rate=options.rate,
            min_samples_leaf=min(40, max(5, len(own) // 20)),
            l2_regularization=1.0,
            early_stopping=False,
            random_state=options.seed,
        )
        rows = np.concatenate([own, others])[:, self._columns]
        model.fit(rows, np.r_[np.zeros(len(own), np.int64), np.ones(len(others), np.int64)])
        return _Boosted(model, math.log(len(others) / len(own)))

    def _log_odds(self, model: _Boosted, strokes: Floats) -> Floats:
        """Log-odds of "somebody else" of each stroke; bounded, so that no stroke outweighs the session."""
        odds: Floats = model.trees.decision_function(strokes[:, self._columns]) - model.share
        chance = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
        bounded: Floats = np.log(chance + FLOOR) - np.log(1 - chance + FLOOR)
        return bounded


def _sample(rows: Floats, most: int, chance: np.random.Generator) -> Floats:
    return rows if len(rows) <= most else rows[np.sort(chance.choice(len(rows), most, replace=False))]


def _reasons(quartiles: Floats, strokes: Floats, most: int) -> list[SessionReason]:
    """Statistics whose median in the session lies furthest outside the account's middle half, in its widths."""
    found: list[SessionReason] = []
    for column, name in enumerate(NAMES) if most else ():
        low, usual, high = quartiles[:, column]
        seen = strokes[:, column][~np.isnan(strokes[:, column])]
        if name in UNSPOKEN or not seen.size or not high > low:
            continue
        here = float(np.median(seen))
        away = max(low - here, here - high) / (high - low)
        if away > 0:
            text = f"{STATISTICS[name]}: {here:.3g} here; this account normally {usual:.3g} ({low:.3g} to {high:.3g})"
            found.append(SessionReason(text, float(away)))
    return sorted(found, key=lambda reason: -reason.amount)[:most]


def _check(accounts: Sequence[str], sessions: Sequence[PointerEvents]) -> None:
    if len(accounts) != len(sessions):
        text = f"{len(accounts)} accounts for {len(sessions)} sessions"
        raise InvalidInput(Problem("session.lengths", text, Where(path="accounts"), "one account a session"))
    problems = Problems()
    for row, account in enumerate(accounts):
        if not isinstance(account, str) or not account:
            problems.add("session.account", f"{account!r} is not an account", f"accounts[{row}]", "texts, not empty")
        if not isinstance(sessions[row], PointerEvents):
            what = type(sessions[row]).__name__
            problems.add("pointer.events", f"{what} is not PointerEvents", f"sessions[{row}]", "PointerEvents")
    problems.throw()
