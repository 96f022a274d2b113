"""How long labels take: the share of labels that are known by the time a cohort has a given age.

A report or an appeal comes days after the decision. A label whose delay is longer than the time since the decision
has not been seen yet (the delays are right-truncated), so the plain distribution of the delays seen is too short. The
estimator here goes through reverse time, as for the incubation time of AIDS (Lagakos, Barraj and De Gruttola,
Biometrika 1988; Kalbfleisch and Lawless 1989): for delays x_i seen up to horizons t_i,

    F(x) = product over the distinct delays u > x of (1 - d(u) / r(u)),   d(u) = #{x_i = u},   r(u) = #{x_i <= u <=
    t_i}.

It is relative to the longest horizon: what takes longer than the whole history cannot be known from it. Pure: arrays
in, a curve out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoal.errors import InvalidInput, Problem

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DelayCurve:
    """The distribution of the delay of labels. `delays_us` ascending and distinct; `share[i]` of the labels that ever
    come within `horizon_us` have come after `delays_us[i]`. Made by `fit_delays`."""

    delays_us: Int64s
    share: Float64s
    horizon_us: int
    labels: int

    def maturity(self, age_us: int) -> float:
        """The share of labels known at this age, in [0, 1]; 0 where no label was ever seen."""
        at = int(np.searchsorted(self.delays_us, age_us, side="right"))
        return float(self.share[at - 1]) if at else 0.0

    def quantile_us(self, share: float) -> int | None:
        """The age at which `share` of the labels are known; None where no label was ever seen."""
        at = int(np.searchsorted(self.share, share - 1e-12))
        return int(self.delays_us[at]) if at < len(self.delays_us) else None


def fit_delays(delays_us: Int64s, horizons_us: Int64s) -> DelayCurve:
    """Fit the curve. `delays_us` [n]: known_at less the time of what the label is about, µs (under 0 counts as 0);
    `horizons_us` [n]: now less that time. Raises `InvalidInput` for a delay beyond its horizon (a label from the
    future) and for shapes that differ. O(n log n)."""
    if delays_us.shape != horizons_us.shape or delays_us.ndim != 1:
        raise InvalidInput(Problem("delays.shape", f"delays {delays_us.shape} and horizons {horizons_us.shape} differ"))
    delays = np.maximum(delays_us, 0)
    if bool((delays > horizons_us).any()):
        raise InvalidInput(
            Problem("delays.future", "a label is known after the report's time", hint="leave out labels known later")
        )
    if not len(delays):
        return DelayCurve(np.zeros(0, np.int64), np.zeros(0), 0, 0)
    distinct, counts = np.unique(delays, return_counts=True)
    seen = np.cumsum(counts)  # delays <= u
    gone = np.searchsorted(np.sort(horizons_us), distinct, side="left")  # horizons < u, whose delays are below u too
    factors = 1.0 - counts / (seen - gone)
    later = np.append(np.cumprod(factors[::-1])[::-1][1:], 1.0)  # product over the delays after u
    return DelayCurve(distinct.astype(np.int64), later, int(horizons_us.max()), len(delays))
