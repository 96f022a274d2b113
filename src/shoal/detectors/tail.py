"""Scores to tail probabilities: what share of usual rows scores at least as high.

A tail is made once from the training scores and never changes. Knows one array of scores and nothing of who made them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEAST = 1e-250
"""No scale lies below, so that no excess over it overflows."""
BEYOND = 0.9
"""The mean excess over this quantile is the scale of the continuation beyond the largest training score."""


@dataclass(frozen=True)
class Tail:
    """The training scores in order, and the scale of their upper tail.

    >>> tail = Tail.of(np.arange(1.0, 100.0))
    >>> tail.probability(np.array([0.0, 50.5, 99.0, 1000.0])).tolist()
    [1.0, 0.5, 0.02, 0.01]
    """

    scores: Floats
    scale: float

    @classmethod
    def of(cls, scores: Floats) -> Tail:
        """The tail of training scores [n], all finite."""
        ordered = np.sort(scores)
        edge = float(np.quantile(ordered, BEYOND))
        above = ordered[ordered > edge]
        scale = float((above - edge).mean()) if len(above) else 0.0
        return cls(ordered, max(scale, LEAST) if scale > 0 else max(float(np.abs(ordered).max()), 1.0))

    def probability(self, scores: Floats) -> Floats:
        """(1 + training scores at or above) / (n + 1): the conformal p-value; NaN stays NaN.

        Under exchangeability it is at most `a` with probability at most `a` when the training scores were made as those
        of new rows are, leave-one-out (Vovk, Gammerman, Shafer 2005; Bates et al., Annals of Statistics 2023).
        """
        n = len(self.scores)
        above = n - np.searchsorted(self.scores, scores, side="left")
        return np.where(np.isnan(scores), np.nan, (above + 1.0) / (n + 1.0))

    def surprise(self, scores: Floats) -> Floats:
        """Minus the natural logarithm of `probability`, growing on by an exponential tail beyond the largest.

        So two rows beyond all training rows keep their order. It orders and combines; it is no probability.
        """
        over = np.maximum(scores - self.scores[-1], 0.0) / self.scale
        return np.asarray(over - np.log(self.probability(scores)))
