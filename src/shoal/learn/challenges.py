"""Outcomes of challenges as labels, with the errors that they have.

A challenge asks whoever acts to prove to be the owner. Owners pass mostly, some fail or give up; intruders fail
mostly, some pass (they hold the mailbox, or wear the owner down). So an outcome is a noisy label: here are the errors
of each method, what one outcome says of one subject (Bayes), and what many outcomes say of a cohort (Rogan and
Gladen).

The error rates are assumptions that a team replaces by its own audits; Google's field study (Doerfler et al., WWW
2019) shows how far they depend on the method and on the attacker. Nothing here is measured by Shoal. Pure: rates and
counts in, figures out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shoal.errors import InvalidInput, Problem
from shoal.learn.intervals import LEVEL, Interval, Share

OUTCOMES: tuple[str, ...] = ("passed", "failed", "abandoned")
"""How a challenge ends."""


@dataclass(frozen=True)
class ChallengeErrors:
    """Shares of owners and of intruders by outcome of one method; what is left to 1 is `abandoned`."""

    owner_passed: float
    owner_failed: float
    intruder_passed: float
    intruder_failed: float

    def __post_init__(self) -> None:
        for who, passed, failed in (
            ("owner", self.owner_passed, self.owner_failed),
            ("intruder", self.intruder_passed, self.intruder_failed),
        ):
            if not (0 <= passed <= 1 and 0 <= failed <= 1 and passed + failed <= 1):
                raise InvalidInput(
                    Problem("challenge.errors", f"{who}: {passed} passed and {failed} failed are no shares of one")
                )
        if self.owner_passed <= self.intruder_passed:
            raise InvalidInput(
                Problem(
                    "challenge.useless", "owners must pass more often than intruders, or the challenge says nothing"
                )
            )

    def likelihood(self, outcome: str) -> tuple[float, float]:
        """The shares of owners and of intruders who end so. Raises `InvalidInput` for an unknown outcome."""
        if outcome == "passed":
            return self.owner_passed, self.intruder_passed
        if outcome == "failed":
            return self.owner_failed, self.intruder_failed
        if outcome == "abandoned":
            return 1 - self.owner_passed - self.owner_failed, 1 - self.intruder_passed - self.intruder_failed
        raise InvalidInput(Problem("challenge.outcome", f"unknown outcome {outcome!r}", allowed=", ".join(OUTCOMES)))


ASSUMED: Mapping[str, ChallengeErrors] = {
    "email_code": ChallengeErrors(0.88, 0.04, 0.10, 0.45),
    "push": ChallengeErrors(0.92, 0.02, 0.05, 0.60),
    "totp": ChallengeErrors(0.90, 0.04, 0.02, 0.55),
}
"""Assumptions by method, for a team that has not audited its own. Stated wherever a figure rests on them."""


def posterior(prior: float, outcome: str, errors: ChallengeErrors) -> float:
    """The probability that whoever was challenged is an intruder, after the outcome. 0 <= `prior` <= 1.

    >>> round(posterior(0.5, "failed", ASSUMED["totp"]), 2)
    0.93
    """
    if not 0 <= prior <= 1:
        raise InvalidInput(Problem("challenge.prior", f"a prior of {prior} is no probability", allowed="0 to 1"))
    owner, intruder = errors.likelihood(outcome)
    weight = prior * intruder + (1 - prior) * owner
    return prior * intruder / weight if weight else prior


def intruders(
    outcomes: Mapping[str, int], errors: ChallengeErrors, level: float = LEVEL
) -> tuple[float | None, Interval]:
    """The share of intruders among all who were challenged, from counts by outcome, corrected for the errors.

    Not passing is the test's positive; its sensitivity is that of intruders, its specificity that of owners.
    None where nobody was challenged. Raises `InvalidInput` for an unknown outcome."""
    for outcome in outcomes:
        errors.likelihood(outcome)
    total = sum(outcomes.values())
    stopped = total - outcomes.get("passed", 0)
    return Share(stopped, total).corrected(1 - errors.intruder_passed, errors.owner_passed, level)
