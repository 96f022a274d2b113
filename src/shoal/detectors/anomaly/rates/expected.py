"""What a count should be: level, season by hour of the week, spread; for many segments side by side.

A count is taken as negative binomial about level x season. The level is the decayed ratio of counts to season (a
Poisson rate with a memory of days), so it follows a trend. The season of a cell of the week is a mean over weeks,
shrunk: that of all events towards the hour of the day, that of a segment towards that of all, the more the fewer
events it has (as a gamma prior would). The spread is estimated for each span apart, since neighbouring hours err
together. What lies outside three deviations is cut to them before anything learns from it, so that an outage does not
become the rule; only a departure that lasts longer than `accept_h` does.
Owns the arrays of the segments, and grows them; knows no alarm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from shoal.detectors.contract import check_count

Floats = npt.NDArray[np.float64]
SPANS = (1, 3, 12)
"""Buckets that are summed and tested together: a jump shows at once, a small lasting change after some hours."""
PRIOR_EVENTS = 20.0
"""Events in a bucket at which a segment's own season weighs as much as twice that of all."""
LEAST_SPREAD = 0.0009
"""Squared relative deviation that is granted to any rate: 3 %."""
WEEK_DECAY = 0.9
CUT = 3.0


@dataclass(frozen=True)
class Settings:
    """How rates are watched. `bucket_s` divides an hour or is one. `alarms_per_month`: false alarms that are accepted,
    all segments of a measure together. A change is told only if it is at least `least_share` of what was expected and
    `least_events` events. `learn_h`: history before the first alarm (two weeks: each hour of the week twice).
    `half_life_h`: memory of the level. `accept_h`: how long a departure lasts until it is taken for the new rule."""

    bucket_s: int = 3600
    alarms_per_month: float = 1.0
    least_share: float = 0.25
    least_events: float = 15.0
    learn_h: float = 336.0
    half_life_h: float = 48.0
    accept_h: float = 60.0
    max_segments: int = 2000

    def __post_init__(self) -> None:
        """Raises `InvalidInput` (`detector.setting`)."""
        check_count("bucket_s", self.bucket_s, 60, 3600)
        check_count("bucket_s", 3600 % self.bucket_s, 0, 0)
        check_count("alarms_per_month", self.alarms_per_month, 1e-6, 1e4)
        check_count("least_share", self.least_share, 0, 1e6)
        check_count("least_events", self.least_events, 0, 1e12)
        check_count("learn_h", self.learn_h, 24, 10_000)
        check_count("half_life_h", self.half_life_h, 1, 10_000)
        check_count("accept_h", self.accept_h, 1, 10_000)
        check_count("max_segments", self.max_segments, 1, 100_000)


def tails(counts: Floats, means: Floats, spreads: Floats) -> tuple[Floats, Floats]:
    """P(Y >= count) and P(Y <= count) of negative binomials with these means and variance mean + spread mean²."""
    size = 1.0 / spreads
    means = np.maximum(means, 1e-9)
    share = means / (means + size)
    upper = np.where(counts > 0, betainc(np.maximum(counts, 1e-12), size, share), 1.0)
    lower = betainc(size, counts + 1.0, 1.0 - share)
    return np.asarray(upper), np.asarray(lower)


class Expected:
    """The segments' state. Row 0 is all events together; `update` takes one bucket of all rows."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.cells = 7 * 86_400 // settings.bucket_s
        self.day = 86_400 // settings.bucket_s
        self.seen = 0
        hours = settings.bucket_s / 3600
        self._decay = 0.5 ** (hours / settings.half_life_h)
        self._accept = settings.accept_h / hours
        self._sums, self._weights = np.zeros((0, self.cells)), np.zeros((0, self.cells))
        self._day_sums, self._day_weights = np.zeros(self.day), np.zeros(self.day)
        self._counted, self._season = np.zeros(0), np.zeros(0)
        self._spread = np.zeros((0, len(SPANS)))
        self._apart = np.zeros(0)  # how long, and to which side, a rate has been beyond the cut
        self._past = np.zeros((2, 0, SPANS[-1]))  # counts and means of the last buckets

    @property
    def size(self) -> int:
        """Rows."""
        return len(self._counted)

    def grow(self, size: int) -> None:
        """Rows for new segments, which had no event so far."""
        more = size - self.size
        if more <= 0:
            return
        self._sums = np.concatenate([self._sums, np.zeros((more, self.cells))])
        self._weights = np.concatenate([self._weights, np.zeros((more, self.cells))])
        self._counted = np.concatenate([self._counted, np.zeros(more)])
        known = self._season[:1] if len(self._season) else np.zeros(1)
        self._season = np.concatenate([self._season, np.repeat(known, more)])
        self._spread = np.concatenate([self._spread, np.full((more, len(SPANS)), 0.05)])
        self._apart = np.concatenate([self._apart, np.zeros(more)])
        self._past = np.concatenate([self._past, np.zeros((2, more, SPANS[-1]))], axis=1)

    def levels(self) -> Floats:
        """Events a bucket of each row, its season taken out."""
        return np.asarray((self._counted + 0.02) / (self._season + 1.0))

    def seasons(self, cell: int) -> Floats:
        """The factor of each row in one cell of the week."""
        hour = cell % self.day
        by_hour = (self._day_sums[hour] + 1.0) / (self._day_weights[hour] + 1.0)
        whole = (self._sums[0, cell] + by_hour) / (self._weights[0, cell] + 1.0)
        prior = 1.0 + PRIOR_EVENTS / (self.levels() + 0.05)
        out = (self._sums[:, cell] + prior * whole) / (self._weights[:, cell] + prior)
        out[0] = whole
        lifted: Floats = np.maximum(out, 1e-4)
        return lifted

    def update(self, cell: int, counts: Floats) -> tuple[Floats, Floats, Floats]:
        """Take one bucket [rows]; of each span that ends with it [rows, spans] the count, and the mean and the spread
        that were expected before it came."""
        seasons = self.seasons(cell)
        means = self.levels() * seasons
        self._past = np.roll(self._past, -1, axis=2)
        self._past[:, :, -1] = counts, means
        sums = np.stack([self._past[:, :, -span:].sum(axis=2) for span in SPANS], axis=2)
        spread = np.maximum(self._spread, LEAST_SPREAD)
        self._learn(cell, counts, means, seasons, sums)
        self.seen += 1
        return sums[0], np.maximum(sums[1], 1e-9), spread

    def _learn(self, cell: int, counts: Floats, means: Floats, seasons: Floats, sums: Floats) -> None:
        spread = np.maximum(self._spread, LEAST_SPREAD)
        deviation = np.sqrt(means + spread[:, 0] * means**2)
        away = np.sign(counts - means) * (np.abs(counts - means) > CUT * deviation + 1.0)
        self._apart = np.where(
            away == 0, self._apart * 0.5, np.where(away == np.sign(self._apart), self._apart, 0.0) + away
        )
        young = self.seen < self.settings.learn_h * 3600 / self.settings.bucket_s / 2
        free = (np.abs(self._apart) > self._accept) | young
        used = np.where(free, counts, np.clip(counts, means - CUT * deviation, means + CUT * deviation))
        used = np.maximum(used, 0.0)
        self._counted = self._counted * self._decay + used
        self._season = self._season * self._decay + seasons
        ratio = used / np.maximum(self.levels(), 0.02)
        self._sums[:, cell] = self._sums[:, cell] * WEEK_DECAY + ratio
        self._weights[:, cell] = self._weights[:, cell] * WEEK_DECAY + 1.0
        hour, decay = cell % self.day, WEEK_DECAY ** (1 / 7)
        self._day_sums[hour] = self._day_sums[hour] * decay + ratio[0]
        self._day_weights[hour] = self._day_weights[hour] * decay + 1.0
        totals, expected = sums[0], np.maximum(sums[1], 0.05)
        most = CUT**2 * (expected + np.maximum(self._spread, LEAST_SPREAD) * expected**2)
        squares = np.minimum((totals - expected) ** 2, most)
        excess = (squares - expected) / expected**2
        weight = 1.0 / min(self.seen + 1, 200)
        self._spread = np.maximum(self._spread + weight * (excess - self._spread), 0.0)
