"""Shares with their intervals.

A share without an interval is not quoted anywhere in Shoal. Two intervals are given: Wilson's score interval, the
default for reading, whose coverage is close to its level on average; and Clopper and Pearson's, never below its
level, for gates (expected innocents, a rule's promise). A share that an imperfect test measured is corrected as Rogan
and Gladen do.

Pure: numbers in, numbers out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

from scipy import stats

from shoal.errors import InvalidInput, Problem

LEVEL = 0.95
"""Confidence of an interval where nothing else is said."""


class Interval(NamedTuple):
    """A closed interval of shares, 0 <= low <= high <= 1."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.1%} to {self.high:.1%}"


@dataclass(frozen=True)
class Share:
    """`successes` out of `total`. With a total of 0 the share is unknown (`value` None) and its interval [0, 1].

    >>> Share(9, 10).value
    0.9
    >>> Share(0, 0).value is None
    True
    """

    successes: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.successes <= self.total:
            raise InvalidInput(
                Problem(
                    "share.counts", f"{self.successes} of {self.total} is no share", allowed="0 <= successes <= total"
                )
            )

    @property
    def value(self) -> float | None:
        """The share observed."""
        return self.successes / self.total if self.total else None

    def wilson(self, level: float = LEVEL) -> Interval:
        """Wilson's score interval (E. B. Wilson, JASA 1927), for 0 < `level` < 1.

        >>> print(Share(9, 10).wilson())
        59.6% to 98.2%
        """
        z = _z(level)
        if not self.total:
            return Interval(0.0, 1.0)
        n, p = self.total, self.successes / self.total
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        low = 0.0 if self.successes == 0 else max(0.0, centre - half)
        high = 1.0 if self.successes == n else min(1.0, centre + half)
        return Interval(low, high)

    def exact(self, level: float = LEVEL) -> Interval:
        """Clopper and Pearson's interval (Biometrika 1934): covers at least `level`, for any true share.

        >>> print(Share(0, 10).exact())
        0.0% to 30.8%
        """
        _z(level)
        if not self.total:
            return Interval(0.0, 1.0)
        alpha, k, n = 1 - level, self.successes, self.total
        low = 0.0 if k == 0 else float(stats.beta.ppf(alpha / 2, k, n - k + 1))
        high = 1.0 if k == n else float(stats.beta.ppf(1 - alpha / 2, k + 1, n - k))
        return Interval(low, high)

    def corrected(self, sensitivity: float, specificity: float, level: float = LEVEL) -> tuple[float | None, Interval]:
        """The true share behind one that a test of known errors measured, with its interval.

        Rogan and Gladen (Am. J. Epidemiology 1978): (p + specificity - 1) / (sensitivity + specificity - 1), cut to
        [0, 1]. It grows with p, so Wilson's limits go through the same formula; the errors are taken as known exactly.
        Raises `InvalidInput` when the test tells nothing (sensitivity + specificity <= 1).

        >>> round(Share(30, 100).corrected(0.9, 0.9)[0], 3)
        0.25
        """
        gain = sensitivity + specificity - 1
        if not (0 <= sensitivity <= 1 and 0 <= specificity <= 1) or gain <= 0:
            raise InvalidInput(
                Problem(
                    "share.test",
                    f"a test with sensitivity {sensitivity} and specificity {specificity} tells nothing",
                    allowed="both within [0, 1], their sum over 1",
                )
            )

        def through(share: float) -> float:
            return min(1.0, max(0.0, (share + specificity - 1) / gain))

        low, high = self.wilson(level)
        return (None if self.value is None else through(self.value)), Interval(through(low), through(high))


def _z(level: float) -> float:
    if not 0 < level < 1:
        raise InvalidInput(Problem("interval.level", f"a confidence of {level} is none", allowed="0 < level < 1"))
    return NormalDist().inv_cdf(0.5 + level / 2)
