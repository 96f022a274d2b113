"""How many events are at most as suspicious in every direction, exactly; and the detector made of it.

One direction is a search in a sorted array, two a sweep with a Fenwick tree (n log n), more are intersections of sets
of bits (n m d / 64 steps: 100,000 events in four directions against as many take about a second). Holds no state but
the fitted rows of a `Directed`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shoal.detectors.anomaly.alerts import dominance_kernel as kernel
from shoal.detectors.contract import RowDetector, check_count, read_rows
from shoal.errors import InvalidInput, Problem, Where

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MAX_DIRECTIONS = 16


def dominated(queries: npt.ArrayLike, reference: npt.ArrayLike | None = None) -> Ints:
    """For each query [m, d] the number of reference rows [n, d] that are at most as high in every column.

    Without `reference` the queries are counted among themselves, each without itself. Equal rows count. Infinite values
    are in order; NaN (unknown) is below all others: what is not known is not suspicious. Raises `InvalidInput`
    (`detector.not_numbers`, `detector.shape`).

    >>> dominated([[1, 1], [2, 2], [0, 3], [2, 2]]).tolist()
    [0, 2, 0, 2]
    """
    rows = _ordered(read_rows(queries))
    others = rows if reference is None else _ordered(read_rows(reference))
    if others.shape[1] != rows.shape[1]:
        message = f"the reference has {others.shape[1]} columns"
        raise InvalidInput(
            Problem("detector.shape", message, Where(path="reference"), allowed=f"{rows.shape[1]} columns")
        )
    counts = np.zeros(len(rows), np.int64)
    if len(rows) and len(others):
        if rows.shape[1] == 1:
            counts += np.searchsorted(np.sort(others[:, 0]), rows[:, 0], "right")
        elif rows.shape[1] == 2:
            _sweep(rows, others, counts)
        else:
            _intersect(rows, others, counts)
    return counts - 1 if reference is None else counts


def _ordered(rows: Floats) -> Floats:
    rows[np.isnan(rows)] = -np.inf
    return rows


def _sweep(rows: Floats, others: Floats, counts: Ints) -> None:
    order = np.argsort(others[:, 0], kind="stable")
    place = np.searchsorted(others[order, 0], rows[:, 0], "right")
    distinct = np.unique(others[:, 1])
    ranks = np.searchsorted(distinct, others[:, 1], "left") + 1
    query_ranks = np.searchsorted(distinct, rows[:, 1], "right")
    kernel.count_two(order, place, ranks, np.argsort(place, kind="stable"), query_ranks, len(distinct), counts)


def _intersect(rows: Floats, others: Floats, counts: Ints) -> None:
    directions = rows.shape[1]
    size = min(kernel.BLOCK, len(others))
    words = (size + 63) // 64
    sets = np.zeros((directions, size + 1, words), np.uint64)
    places = np.empty((directions, len(rows)), np.int64)
    for begin in range(0, len(others), size):
        block = others[begin : begin + size]
        for k in range(directions):
            order = np.argsort(block[:, k], kind="stable")
            kernel.fill_sets(order, sets[k])
            places[k] = np.searchsorted(block[order, k], rows[:, k], "right")
        kernel.count_block(places, sets, words, counts)


class Directed(RowDetector):
    """Directed anomaly scoring as a detector: the share of fitted rows that are at most as suspicious in every
    direction (Ho et al., USENIX Security 2017).

    `signs` says for each column which way is suspicious: +1 high values, -1 low ones (an empty list: all +1). A row
    that is extreme the harmless way gets nothing for it, unlike with a distance. Training scores leave the row out.
    Cost of a fit: n² d / 64 steps above two columns, else n log n.
    """

    def __init__(self, signs: Sequence[int] = ()) -> None:
        for i, sign in enumerate(signs):
            check_count(f"signs[{i}]", abs(sign), 1, 1)
        check_count("signs", len(signs), 0, MAX_DIRECTIONS)
        self.signs = tuple(signs)
        self._rows: Floats

    def _fit(self, x: Floats) -> Floats:
        if len(self.signs or x[0]) != x.shape[1] or x.shape[1] > MAX_DIRECTIONS:
            message = f"{len(self.signs) or 'no'} signs for {x.shape[1]} columns"
            allowed = f"a sign a column, at most {MAX_DIRECTIONS} columns"
            raise InvalidInput(Problem("detector.setting", message, Where(path="signs"), allowed=allowed))
        self._rows = self._turned(x)
        return np.asarray(dominated(self._rows) / (len(x) - 1))

    def _turned(self, x: Floats) -> Floats:
        return x * np.array(self.signs, np.float64) if self.signs else x

    def _score(self, x: Floats) -> Floats:
        return np.asarray(dominated(self._turned(x), self._rows) / len(self._rows))

    def evidence(self, row: npt.ArrayLike) -> str:
        """In words what the score of one row [d] says.

        >>> Directed().fit([[i, i % 7] for i in range(40)]).evidence([50, 3])
        'more suspicious than 24 of 40 events in every direction'
        """
        count = round(float(self.decision_function(np.asarray(row, dtype=np.float64)[None])[0]) * len(self._rows))
        return evidence(count, len(self._rows))


def evidence(count: int, events: int) -> str:
    """The sentence of an alert."""
    return f"more suspicious than {count:,} of {events:,} events in every direction"
