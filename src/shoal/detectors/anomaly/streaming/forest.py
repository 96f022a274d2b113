"""A random cut forest over a stream, as a plain class. Hot path.

Owns arrays of a fixed size: a ring of the last rows, trees over samples of it, a histogram of the last scores. Trees
are random cut trees (Guha, Mishra, Roy, Schrijvers, ICML 2016). There a tree is kept by inserting and removing single
rows, which gives the same distribution as drawing it anew from the rows it then holds; here it is drawn anew, one
tree after another, so that all are renewed within one window: a few comparisons a row in place of a tree's upkeep.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from shoal.detectors.anomaly.streaming import cuts_kernel as kernel
from shoal.detectors.contract import check_count, read_rows
from shoal.errors import Corrupt, InvalidInput, Problem, Where

Floats = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[np.generic]]
MAX_COLUMNS = 4096
MIN_WARM_UP = 16


class RandomCutForest:
    """Scores each row by how few random cuts of the last `window` rows set it apart, then learns it.

    `columns`: numbers in a row. `trees`: more are steadier and slower. `depth`: most cuts on a way. `window`: rows
    that are remembered. `warm_up`: rows before the first score; from them each column's measure is fixed for good: its
    median, and the distance of the quartiles (where that is 0 the standard deviation, where that is 0 too, 1). A value
    is then z / (1 + |z|), so that no outlier stretches the measure and far values keep their order. Values drifting
    far from the warm-up still part rows, less and less finely. Same rows and seed: same scores, bit for bit.

    >>> chance = np.random.default_rng(0)
    >>> forest = RandomCutForest(2, seed=7)
    >>> usual = forest.score_then_learn(chance.normal(size=(5000, 2)))
    >>> bool(np.isnan(usual[:256]).all()), bool(forest.score_then_learn([6.0, -6.0])[0] > np.nanmax(usual))
    (True, True)
    """

    def __init__(
        self, columns: int, *, trees: int = 32, depth: int = 8, window: int = 2048, warm_up: int = 256, seed: int = 0
    ) -> None:
        """Raises `InvalidInput` (`detector.setting`) for a setting out of range."""
        for name, value, low, high in (
            ("columns", columns, 1, MAX_COLUMNS),
            ("trees", trees, 1, 512),
            ("depth", depth, 1, 64),
            ("warm_up", warm_up, MIN_WARM_UP, 2**20),
            ("window", window, max(warm_up, trees, 2), 2**20),
            ("seed", seed, 0, 2**63 - 1),
        ):
            check_count(name, value, low, high)
        self.columns, self.trees, self.depth, self.window = columns, trees, depth, window
        self.warm_up, self.seed = warm_up, seed
        self._counters = np.zeros(5, np.int64)
        self._random = np.array([seed], np.uint64)
        self._early = np.zeros((warm_up, columns))
        self._centre, self._unit = np.zeros(columns), np.ones(columns)
        self._ring, self._rows = np.zeros((window, columns)), np.zeros(window, np.int64)
        self._cuts, self._roots = np.zeros((trees, kernel.NODES), kernel.NODE), np.zeros((trees, 2 * columns))
        self._cuts["column"] = -1
        self._block, self._above = np.zeros(kernel.BINS, np.int64), np.zeros(kernel.BINS, np.int64)

    @property
    def ready(self) -> bool:
        """Whether the warm-up is over."""
        return bool(self._counters[kernel.SEEN] == self.warm_up)

    def score_then_learn(self, x: npt.ArrayLike) -> Floats:
        """Scores of the rows `x` [n, d], or of one row [d], each before it is learned; in (0, 1), higher is worse.

        NaN during the warm-up, and for a row with a value that is not finite, which is not learned either. Raises
        `InvalidInput` (`detector.not_numbers`, `detector.shape`) before anything is learned.
        """
        return self.update(x)[0]

    def update(self, x: npt.ArrayLike, learn: npt.NDArray[np.bool_] | None = None) -> tuple[Floats, Floats]:
        """Scores as `score_then_learn`, and tails: the share of the last full window of scores that were at least as
        high, NaN before there is one. Only rows that `learn` marks are learned (None: all)."""
        rows = self._checked(x)
        marks = np.ones(len(rows), np.bool_) if learn is None else np.asarray(learn, np.bool_)
        if marks.shape != (len(rows),):
            problem = Problem("detector.shape", f"{marks.shape} marks", Where(path="learn"), allowed=f"{len(rows)}")
            raise InvalidInput(problem)
        score, tail = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
        done = 0 if self.ready else self._warm(rows, marks)
        if done < len(rows):
            kernel.stream(
                rows[done:], marks[done:], self._centre, self._unit, self._ring, self.depth, self._rows, self._random,
                self._counters, self._cuts, self._roots, self._block, self._above, score[done:], tail[done:],
            )  # fmt: skip
        return score, tail

    def _checked(self, x: npt.ArrayLike) -> Floats:
        single = isinstance(x, (np.ndarray, list, tuple)) and len(np.shape(x[:1])) == 1
        rows = read_rows(np.asarray(x)[None] if single else x)
        if rows.shape[1] != self.columns:
            message = f"the rows have {rows.shape[1]} columns"
            raise InvalidInput(Problem("detector.shape", message, Where(path="x"), allowed=f"{self.columns} columns"))
        return rows

    def _warm(self, rows: Floats, marks: npt.NDArray[np.bool_]) -> int:
        """Fill the warm-up, and where it is full fix the measure and draw the trees; how many rows it took."""
        fit = np.flatnonzero(marks & np.isfinite(rows).all(axis=1))
        seen = int(self._counters[kernel.SEEN])
        some = fit[: self.warm_up - seen]
        self._early[seen : seen + len(some)] = rows[some]
        self._counters[kernel.SEEN] += len(some)
        if not self.ready:
            return len(rows)
        self._centre[:], self._unit[:] = _measure(self._early)
        kernel.begin(
            self._early, self._centre, self._unit, self._ring, self.depth, self._rows, self._random, self._counters,
            self._cuts, self._roots,
        )  # fmt: skip
        self._early[:] = 0.0
        return int(some[-1]) + 1

    def snapshot(self) -> dict[str, npt.NDArray[np.generic]]:
        """The state as named arrays; equal states give equal arrays."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def _arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        fields = {name: self._cuts[name] for name in kernel.NODE.names or ()}
        return {
            "counters": self._counters, "random": self._random, "early": self._early, "centre": self._centre,
            "unit": self._unit, "ring": self._ring, "roots": self._roots, "block": self._block, "above": self._above,
            **fields,
        }  # fmt: skip

    def restore(self, arrays: Arrays) -> None:
        """Take over the state of a snapshot of a forest with the same settings; raises `Corrupt` where it is none."""
        mine = self._arrays()
        for name, array in mine.items():
            other = arrays.get(name)
            if other is None or other.shape != array.shape or other.dtype != array.dtype:
                raise Corrupt(f"the state of a random cut forest lacks a fitting array {name!r}")
        if not _sound(arrays, self.columns, self.warm_up, self.window, self.trees):
            raise Corrupt("the state of a random cut forest contradicts itself")
        for name, array in mine.items():
            array[...] = arrays[name]


def _measure(rows: Floats) -> tuple[Floats, Floats]:
    """Centre and unit of each column of the warm-up rows."""
    low, centre, high = np.quantile(rows, [0.25, 0.5, 0.75], axis=0)
    largest = np.maximum(np.abs(rows).max(axis=0), 1e-300)
    spread = (rows / largest).std(axis=0) * largest
    unit = np.where(high - low > 0, high - low, spread)
    constant = rows.min(axis=0) == rows.max(axis=0)
    unit = np.where(constant | ~np.isfinite(unit) | (unit <= 0), 1.0, unit)
    return centre, unit


def _sound(arrays: Arrays, columns: int, warm_up: int, window: int, trees: int) -> bool:
    """Whether kernels may walk these arrays: no cut, child or counter points outside."""
    column, child, counters = (arrays[name].astype(np.int64) for name in ("column", "child", "counters"))
    unit = arrays["unit"].astype(np.float64)
    places = np.arange(column.shape[1])[None, :]
    forward = (child > places) & (child + 1 < column.shape[1])
    limits = np.array([2**62, trees - 1, warm_up, window - 1, window])
    return bool(
        ((column >= -1) & (column < columns)).all()
        and forward[column >= 0].all()
        and ((counters >= 0) & (counters <= limits)).all()
        and (np.isfinite(unit) & (unit > 0)).all()
    )
