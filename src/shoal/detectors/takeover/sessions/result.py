"""What a session detector says of one session: score, tail probability, what it rests on, and why in words.

Values only; nothing here owns state. A score that cannot be had is `None`, never 0, and `basis` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shoal.errors import InvalidInput, Problem, Where

MOST_PROBLEMS = 20


@dataclass(frozen=True)
class SessionReason:
    """One cause of a score: in words, with the amount that it added to the score (higher is worse)."""

    text: str
    amount: float


@dataclass(frozen=True)
class SessionScore:
    """The judgement of one session.

    `score`: log-likelihood ratio of "somebody else" against "this account", higher is worse; `None` when unknown.
    `tail`: share of the account's own sessions that score as high or higher (held-out ones, add-one smoothed), in
    (0, 1]; `None` where there are too few. `basis` is what the score rests on: `account`, `group` (the account has no
    history: its peers against all), `none` (neither) or `empty` (nothing to score in the session).
    """

    score: float | None
    tail: float | None
    basis: str
    reasons: tuple[SessionReason, ...] = ()


def tail_of(score: float, held_out: Sequence[float], least: int) -> float | None:
    """Share of `held_out` scores at or above `score`, add-one smoothed: a conformal p-value (Vovk et al. 2005).

    `None` with fewer than `least` held-out scores.

    >>> tail_of(3.0, [1.0, 2.0, 4.0], 3)
    0.5
    """
    if len(held_out) < least:
        return None
    above = int(np.count_nonzero(np.asarray(held_out) >= score))
    return (above + 1) / (len(held_out) + 1)


class Problems:
    """Collects problems and raises them together; more than `MOST_PROBLEMS` are counted, not shown."""

    def __init__(self) -> None:
        self.found: list[Problem] = []
        self.count = 0

    def add(self, slug: str, message: str, path: str, allowed: str = "", hint: str = "") -> None:
        """Note one problem at a path such as `sessions[3]`."""
        self.count += 1
        if self.count <= MOST_PROBLEMS:
            self.found.append(Problem(slug, message, Where(path=path), allowed, "", hint))

    def throw(self) -> None:
        """Raise `InvalidInput` if there was a problem."""
        if not self.count:
            return
        rest = self.count - len(self.found)
        if rest:
            self.found.append(Problem("session.more", f"and {rest} more problems like these"))
        raise InvalidInput(self.found)
