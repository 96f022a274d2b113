"""Alarms on rates: all events and each segment tested together, one alarm a change, with the segments that moved.

Owns the names of the segments and the alarms that are open. In each bucket every rate is tested to both sides and over
several spans; all tests of a bucket share its part of `alarms_per_month` (Bonferroni: half for all events, half for the
segments), so that more segments do not mean more false alarms. Changes of one bucket to one side are one alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoal.detectors.anomaly.rates.expected import SPANS, Expected, Floats, Settings, tails
from shoal.errors import InvalidInput, Problem, Where

Segment = tuple[str, str]
"""A dimension and its value: `("country", "BR")`."""
ALL: Segment = ("all", "")
MONTH_S = 30 * 86_400
QUIET = 0.01
"""An alarm ends when the rate has been no rarer than this for as long as the longest span is."""
MAX_MOVERS = 5


@dataclass(frozen=True)
class Mover:
    """A segment's part in a change: `share` is its part of the change of all events (above 1 where others moved the
    other way), `tail` how rare its own count is."""

    segment: Segment
    observed: float
    expected: float
    tail: float
    share: float

    @property
    def text(self) -> str:
        """`country BR: 512 instead of 40 (94 % of the change)`."""
        name = " ".join(part for part in self.segment if part)
        part = "" if self.segment == ALL else f" ({self.share:.0%} of the change)"
        return f"{name}: {self.observed:,.0f} instead of {self.expected:,.0f}{part}"


@dataclass(frozen=True)
class RateAlarm:
    """A rate went `up` or down at `start` (µs, of the bucket), summed over `buckets`. `main` is what the alarm was
    raised on, `movers` the segments that moved with it, the largest part of the change first."""

    start: int
    up: bool
    buckets: int
    main: Mover
    movers: tuple[Mover, ...]

    @property
    def text(self) -> str:
        """One line: what moved, by how much, and which segments."""
        return "; ".join([f"{'up' if self.up else 'down'}: {self.main.text}", *(mover.text for mover in self.movers)])


class RateWatch:
    """One measure of a service, a bucket at a time. See the package's docstring and `Settings`."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._expected = Expected(self.settings)
        self._rows: dict[Segment, int] = {ALL: 0}
        self._last: int | None = None
        self._open: dict[bool, int] = {}
        """For each side the buckets in a row in which all was quiet again."""

    def update(self, start: int, counts: Mapping[Segment, float], total: float | None = None) -> list[RateAlarm]:
        """One bucket that starts at `start` (µs UTC, a multiple of its length, later than the last one) and what was
        counted in it for each segment; those that are not named had nothing. `total`: all events (default: the largest
        sum over a dimension's segments). Buckets that are left out are counted as unknown, not as empty.

        Raises `InvalidInput`: `rates.start`, `rates.count`, `rates.segments`.
        """
        self._check(start, counts, total)
        if total is None:
            sums: dict[str, float] = {}
            for (dimension, _), count in counts.items():
                sums[dimension] = sums.get(dimension, 0.0) + count
            total = max(sums.values(), default=0.0)
        self._last = start
        seen = self._expected.seen
        for segment in sorted(set(counts) - set(self._rows)):
            self._rows[segment] = len(self._rows)
        self._expected.grow(len(self._rows))
        row = np.zeros(len(self._rows))
        row[0] = total
        for segment, count in counts.items():
            row[self._rows[segment]] = count
        cell = (start // (self.settings.bucket_s * 1_000_000)) % self._expected.cells
        observed, means, spread = self._expected.update(int(cell), row)
        if seen * self.settings.bucket_s < self.settings.learn_h * 3600:
            return []
        return self._alarms(start, observed, means, spread)

    def _alarms(self, start: int, observed: Floats, means: Floats, spread: Floats) -> list[RateAlarm]:
        settings, segments = self.settings, max(len(self._rows) - 1, 1)
        a_bucket = settings.alarms_per_month * settings.bucket_s / MONTH_S / (2 * len(SPANS))
        limits = np.full(len(self._rows), a_bucket / 2 / segments)
        limits[0] = a_bucket / 2
        change = np.abs(observed - means)
        large = (change >= settings.least_share * means) & (change >= settings.least_events)
        out = []
        for up, tail in zip((True, False), tails(observed, means, spread), strict=True):
            raised = (tail <= limits[:, None]) & large
            if up in self._open:
                calm = not (tail[:, 0] <= np.where(np.arange(len(tail)) == 0, QUIET, limits * 10)).any()
                self._open[up] = self._open[up] + 1 if calm and not raised.any() else 0
                if self._open[up] >= SPANS[-1]:
                    del self._open[up]
            elif raised.any():
                self._open[up] = 0
                out.append(self._told(start, up, tail, raised, observed, means, limits))
        return out

    def _told(
        self, start: int, up: bool, tail: Floats, raised: npt.NDArray[np.bool_], observed: Floats, means: Floats,
        limits: Floats,
    ) -> RateAlarm:  # fmt: skip
        rarity = np.where(raised, tail / limits[:, None], np.inf)
        row, span = (int(i) for i in np.unravel_index(np.argmin(rarity), rarity.shape))
        names = {place: segment for segment, place in self._rows.items()}
        whole = float(observed[0, span] - means[0, span])

        def mover(place: int) -> Mover:
            found, mean = float(observed[place, span]), float(means[place, span])
            share = (found - mean) / whole if whole else 0.0
            return Mover(names[place], found, mean, float(tail[place, span]), 1.0 if place == 0 else share)

        moved = np.flatnonzero(tail[1:, span] <= 0.01 / max(len(tail) - 1, 1)) + 1
        moved = moved[np.sign(observed[moved, span] - means[moved, span]) == (1 if up else -1)]
        order = moved[np.argsort(-np.abs(observed[moved, span] - means[moved, span]), kind="stable")]
        movers = tuple(mover(int(place)) for place in order if place != row)[:MAX_MOVERS]
        return RateAlarm(start, up, SPANS[span], mover(row), movers)

    def _check(self, start: int, counts: Mapping[Segment, float], total: float | None) -> None:
        problems, length = [], self.settings.bucket_s * 1_000_000
        if start % length or (self._last is not None and start <= self._last):
            allowed = f"a multiple of {length} µs" + ("" if self._last is None else f" after {self._last}")
            problems.append(Problem("rates.start", f"a bucket at {start}", Where(path="start"), allowed))
        given = [(f"counts[{segment!r}]", count) for segment, count in sorted(counts.items())]
        for path, count in [*given, *([] if total is None else [("total", total)])]:
            if not (np.isfinite(count) and count >= 0):
                problems.append(Problem("rates.count", f"a count of {count}", Where(path=path), "0 or more"))
        if ALL in counts:
            problems.append(Problem("rates.segments", f"{ALL!r} is the name of all events", Where(path="counts")))
        many = len(set(counts) | set(self._rows)) - 1
        if many > self.settings.max_segments:
            hint = "count rare values together, as one segment"
            allowed = f"at most {self.settings.max_segments}"
            problems.append(Problem("rates.segments", f"{many} segments", Where(path="counts"), allowed, hint=hint))
        if problems:
            raise InvalidInput(problems)


Bucket = tuple[int, Mapping[Segment, float], float]
"""Start (µs), counts by segment, all events."""


def watch_rates(buckets: Iterable[Bucket], settings: Settings | None = None) -> list[RateAlarm]:
    """All alarms of counted buckets, in their order; raises as `RateWatch.update`."""
    watch = RateWatch(settings)
    return [alarm for start, counts, total in buckets for alarm in watch.update(start, counts, total)]


def count_buckets(
    times: npt.NDArray[np.int64],
    columns: Mapping[str, Sequence[str | None]],
    bucket_s: int = 3600,
    least: int = 50,
    once: npt.NDArray[np.int64] | None = None,
) -> list[Bucket]:
    """Count events (µs UTC each, any order) by bucket and by the value of each column (None counts under none).

    Values with fewer than `least` events in all are counted together as `other`. Buckets without events, between the
    first and the last, are there and empty. With `once` (a number for whoever did it) everybody counts once a bucket
    and value, so that one person's backup is no wave.
    """
    if not len(times):
        return []
    length = bucket_s * 1_000_000
    places = times // length
    places = places - places.min()
    first, count = int(times.min() // length), int(places.max()) + 1
    who = np.arange(len(times)) if once is None else np.unique(once, return_inverse=True)[1]

    def counted(chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        pairs = places[chosen] * (len(times) + 1) + who[chosen]
        return np.bincount((pairs if once is None else np.unique(pairs)) // (len(times) + 1), minlength=count)

    totals = counted(np.ones(len(times), np.bool_))
    named: list[dict[Segment, float]] = [{} for _ in range(count)]
    for dimension in sorted(columns):
        values = np.array([value if value is not None else "" for value in columns[dimension]], dtype=np.str_)
        texts, codes, sizes = np.unique(values, return_inverse=True, return_counts=True)
        words = np.where(sizes < least, "other", texts)
        for word in sorted({str(w) for w, text in zip(words, texts, strict=True) if text != ""}):
            chosen = np.isin(codes, np.flatnonzero((words == word) & (texts != "")))
            for place, found in enumerate(counted(chosen)):
                named[place][dimension, word] = float(found)
    return [((first + i) * length, named[i], float(totals[i])) for i in range(count)]
