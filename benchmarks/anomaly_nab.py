"""The Numenta Anomaly Benchmark's own score, on the series that are given (29 of its 58).

Scoring after Lavin and Ahmad, ICMLA 2015, and the published scorer: the first 15 % of a series (750 rows at most) are
probation; of the detections inside a window the earliest counts, by a sigmoid of its place; each one outside costs
0.11, less right behind a window; a window without any costs 1; 0 is a detector that never fires, 100 one that fires at
the first row of every window and nowhere else. One threshold for all series, chosen for the best total (as the
published board does). Standard profile only. Published figures are over all 58 series and cannot be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import erfc

from shoal.detectors.anomaly.streaming import RandomCutForest

Floats = npt.NDArray[np.float64]
FALSE_ALARM = 0.11


@dataclass(frozen=True)
class Series:
    """Values in order, seconds since the first, and the windows as (first row, last row)."""

    name: str
    value: Floats
    time: Floats
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        return min(math.floor(0.15 * len(self.value)), 750)


def read_series(folder: Path) -> list[Series]:
    """All series of `nab.parquet` by name."""
    table = pl.read_parquet(folder / "nab.parquet").with_columns(pl.col("series").cast(pl.String))
    windows = pl.read_parquet(folder / "nab_windows.parquet")
    out = []
    for (name,), part in sorted(table.group_by("series", maintain_order=True), key=lambda item: str(item[0])):
        moments = part["time"].dt.epoch("us").to_numpy()
        mine = windows.filter(pl.col("series") == name).sort("start")
        spans = [
            (int(np.searchsorted(moments, start)), int(np.searchsorted(moments, end, "right")) - 1)
            for start, end in zip(mine["start"].dt.epoch("us"), mine["end"].dt.epoch("us"), strict=True)
        ]
        seconds = (moments - moments[0]) / 1e6
        out.append(Series(str(name), part["value"].to_numpy().astype(float), seconds, tuple(dict.fromkeys(spans))))
    return out


def _sigmoid(place: npt.ArrayLike) -> Floats:
    place = np.asarray(place, np.float64)
    return np.asarray(np.where(place > 3, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(place, 3.0))) - 1.0))


def row_gains(series: Series) -> Floats:
    """What a detection at each row is worth: inside a window up to 1, outside a cost; of a window the best counts."""
    n = len(series.value)
    rows = np.arange(n, dtype=float)
    gain = np.full(n, -FALSE_ALARM)
    for first, last in series.windows:
        width = max(last - first, 1)
        after = rows > last
        gain[after] = FALSE_ALARM * _sigmoid((rows[after] - last) / width)
    for first, last in series.windows:
        inside = np.arange(first, last + 1)
        place = -(last - inside + 1.0) / (last - first + 1.0)
        gain[inside] = _sigmoid(place) / _sigmoid(-1.0)
    return gain


def nab_score(series: list[Series], scores: list[Floats]) -> tuple[float, float]:
    """The normalised standard score and its threshold; a NaN score never fires."""
    events: list[tuple[float, float, int]] = []  # score, gain, window (-1: none)
    windows = 0
    for one, found in zip(series, scores, strict=True):
        gain = row_gains(one)
        number = np.full(len(gain), -1)
        for first, last in one.windows:
            number[first : last + 1] = windows
            windows += 1
        fit = np.flatnonzero(np.isfinite(found) & (np.arange(len(gain)) >= one.probation))
        events += list(zip(found[fit].tolist(), gain[fit].tolist(), number[fit].tolist(), strict=True))
    events.sort(key=lambda event: -event[0])
    best: dict[int, float] = {}
    raw, top, threshold = -float(windows), -float(windows), math.inf
    for i, (score, worth, window) in enumerate(events):
        if window < 0:
            raw += worth
        elif window not in best:
            raw += worth + 1.0  # and it is not missed any more
            best[window] = worth
        elif worth > best[window]:
            raw += worth - best[window]
            best[window] = worth
        if (i + 1 == len(events) or events[i + 1][0] < score) and raw > top:
            top, threshold = raw, score
    return 100.0 * (top + windows) / (2.0 * windows), threshold


def windowed_gaussian(series: Series, window: int = 6400, step: int = 100) -> Floats:
    """The board's baseline: one less the normal tail of a value in the window before it."""
    out = np.full(len(series.value), np.nan)
    kept: list[float] = []
    waiting: list[float] = []
    mean, deviation = 0.0, 1.0
    for i, value in enumerate(series.value.tolist()):
        if kept:
            out[i] = 1.0 - 0.5 * erfc(abs(value - mean) / deviation / math.sqrt(2.0))
        if len(kept) < window:
            kept.append(value)
            fresh = True
        else:
            waiting.append(value)
            fresh = len(waiting) == step
            if fresh:
                kept, waiting = kept[step:] + waiting, []
        if fresh:
            known = np.array(kept)
            mean, deviation = float(known.mean()), float(known.std()) or 1e-6
    return out


def shingles(series: Series, length: int) -> Floats:
    """The last `length` values of each row; the first rows are NaN."""
    out = np.full((len(series.value), length), np.nan)
    for j in range(length):
        out[length - 1 :, j] = series.value[j : len(series.value) - length + 1 + j]
    return out


def forest_scores(series: Series, length: int = 1, seed: int = 0) -> Floats:
    """The random cut forest over shingles; the warm-up is half of the probation."""
    warm_up = max(series.probation // 2, 64)
    forest = RandomCutForest(length, warm_up=warm_up, window=2048, trees=32, seed=seed)
    return forest.score_then_learn(shingles(series, length))


def once(scores: Floats, rest: int) -> Floats:
    """Only what is higher than all of the `rest` rows before it stays: a detection is not told twice."""
    known = np.where(np.isfinite(scores), scores, -np.inf)
    most = np.full(len(scores), -np.inf)
    if len(scores) > rest:
        most[rest:] = sliding_window_view(known, rest).max(axis=1)[:-1]
    most[:rest] = np.concatenate([[-np.inf], np.maximum.accumulate(known[: rest - 1])])[: len(scores)]
    return np.where(known > most, scores, np.nan)


DETECTORS: dict[str, Callable[[Series], Floats]] = {
    "random cut forest": lambda series: once(forest_scores(series), max(series.probation, 20)),
    "windowed gaussian": windowed_gaussian,
    "windowed gaussian, told once": lambda series: once(windowed_gaussian(series), max(series.probation, 20)),
}
