"""Bursts in a stream of edges as a plain class: arrays in, arrays out. Hot path.

Owns the sketches, whose size is fixed: nothing grows with the number of accounts. What is told of a tick and a pair, an
account or an entity is how far its count stands above what was usual, in variances: sudden company, which windows over
one key do not tell from a key that is always busy. Knows no event, clock or file.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from shoal.detectors.bursts import bursts_kernel as K  # noqa: N812 - a namespace of constants
from shoal.errors import Corrupt, InvalidInput, Problem, Where

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[np.generic]]
MAX_BITS = 60
"""Bits of a key's hash that all rows of a sketch take together."""


class EdgeBursts:
    """Scores each edge by how unusually often its pair, its account and its entity come in the running tick.

    `tick_us`: length of a tick. `carry` in [0, 1): what a tick leaves to the next, so that a burst across a border is
    seen whole. `spread`: variance of counts beyond chance, in squares of the usual count: 0.25 says that the busiest
    keys vary by half of what they do. `limit`: a tick that scores more is learned as one that scores so much, so that a
    burst does not become usual at once. `least`: events a tick that are nothing of note for a key that never came.
    `half_life_ticks`: after so many, a tick counts half (0: never). `warm_up`: ticks before the first score. `width` (a
    power of two), `depth`: cells a row of a sketch, and rows. Same settings and edges: same scores, bit for bit.

    >>> bursts = EdgeBursts(tick_us=60_000_000, warm_up=5)
    >>> minutes = np.arange(100)
    >>> _ = bursts.update(minutes % 3, minutes % 5, minutes * 60_000_000)
    >>> many = bursts.update(np.full(30, 1), np.full(30, 2), np.full(30, 100 * 60_000_000))
    >>> bool(many[0, 0] < 10), bool(many[0, -1] > 1000)
    (True, True)
    """

    def __init__(
        self,
        *,
        tick_us: int,
        carry: float = 0.5,
        spread: float = 0.25,
        limit: float = 100.0,
        least: float = 0.1,
        half_life_ticks: float = 0.0,
        warm_up: int = 6,
        width: int = 4096,
        depth: int = 2,
        seed: int = 0,
    ) -> None:
        """Raises `InvalidInput` (`detector.setting`) with all settings out of range."""
        wholes = {"tick_us": (tick_us, 1, 2**53), "warm_up": (warm_up, 0, 2**40), "width": (width, 16, 2**24),
                  "depth": (depth, 1, 8), "seed": (seed, -(2**63), 2**63 - 1)}  # fmt: skip
        numbers = {"carry": (carry, 0.0, 0.99), "spread": (spread, 0.0, 1e6), "limit": (limit, 1e-3, 1e12),
                   "least": (least, 1e-6, 1e9), "half_life_ticks": (half_life_ticks, 0.0, 1e12)}  # fmt: skip
        problems = [
            Problem(
                "detector.setting", f"{name} is {value!r}", Where(path=name), f"a whole number, {low:,} to {high:,}"
            )
            for name, (value, low, high) in wholes.items()
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high
        ]
        problems += [
            Problem("detector.setting", f"{name} is {value!r}", Where(path=name), f"{low:g} to {high:g}")
            for name, (value, low, high) in numbers.items()
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high
        ]
        if not problems and width & (width - 1):
            problems.append(Problem("detector.setting", f"width is {width}", Where(path="width"), "a power of two"))
        if not problems and depth * (width.bit_length() - 1) > MAX_BITS:
            allowed = f"depth times the logarithm of width up to {MAX_BITS}"
            problems.append(Problem("detector.setting", f"{depth} rows of {width:,}", Where(path="depth"), allowed))
        if problems:
            raise InvalidInput(problems)
        keep = 0.5 ** (1.0 / half_life_ticks) if half_life_ticks else 1.0
        self._whole = np.array([tick_us, depth, width.bit_length() - 1, warm_up], np.int64)
        self._parts = np.array([carry, spread, limit, least, keep])
        self._now, self._sums = np.zeros(3 * depth * width), np.zeros(3 * depth * width)
        self._past, self._head = np.zeros(2), np.array([0, 0, 0, seed], np.int64)

    @property
    def state_bytes(self) -> int:
        """Bytes of state, whatever has been read."""
        return int(self._now.nbytes + self._sums.nbytes)

    def update(self, account: Ints, entity: Ints, time_us: Ints, learn: npt.NDArray[np.bool_] | None = None) -> Floats:
        """Read and learn edges in their order; scores of pair, account and entity, float64 [3, n].

        `account`, `entity`: any int64 ids [n]. `time_us`: int64 [n], not falling; an edge of a tick that is over is
        read and not learned, and so is one with False in `learn`. NaN until the warm-up is over. A score is
        (count - usual)^2 / (usual + spread usual^2), this edge included, and 0 for what is not above the usual. Raises
        `InvalidInput` (`detector.shape`), and then nothing is learned.
        """
        arrays = {"account": account, "entity": entity, "time_us": time_us}
        given = {name: np.asarray(array) for name, array in arrays.items()}
        problems = [
            Problem("detector.shape", f"{name} is {array.dtype} {array.shape}", Where(path=name), "int64 in one row")
            for name, array in given.items()
            if array.ndim != 1 or (array.size and array.dtype.kind != "i")
        ]
        marks = np.ones(len(given["account"]), np.bool_) if learn is None and not problems else np.asarray(learn)
        if not problems and len({len(one) for one in (*given.values(), marks)}) != 1:
            lengths = ", ".join(f"{len(one):,}" for one in (*given.values(), marks))
            problems.append(Problem("detector.shape", f"arrays of {lengths}", Where(path="account"), "as many of each"))
        if not problems and (marks.ndim != 1 or marks.dtype.kind != "b"):
            problems.append(Problem("detector.shape", f"marks are {marks.dtype}", Where(path="learn"), "bool"))
        if problems:
            raise InvalidInput(problems)
        out = np.empty((3, len(marks)))
        accounts, entities, times = (np.ascontiguousarray(one, np.int64) for one in given.values())
        self.run(accounts, entities, times, marks.astype(np.uint8), out)
        return out

    def run(self, accounts: Ints, entities: Ints, times: Ints, learns: npt.NDArray[np.uint8], out: Floats) -> None:
        """As `update`, of contiguous arrays that are known to be right."""
        K.run(self._now, self._sums, self._past, self._head, self._whole, self._parts, accounts, entities, times,
              learns, out)  # fmt: skip

    def snapshot(self) -> dict[str, npt.NDArray[np.generic]]:
        """The state as named arrays."""
        return {
            "now": self._now.copy(),
            "sums": self._sums.copy(),
            "past": self._past.copy(),
            "head": self._head.copy(),
        }

    def restore(self, arrays: Arrays) -> None:
        """Take over a snapshot made under the same settings; raises `Corrupt` where it does not fit."""
        mine = self.snapshot()
        for name, array in mine.items():
            found = arrays.get(name)
            if found is None or found.dtype != array.dtype or found.shape != array.shape:
                what = "missing" if found is None else f"{found.dtype} {found.shape}"
                raise Corrupt(f"edge bursts: {name} is {what}, not {array.dtype} {array.shape}")
            if array.dtype.kind == "f" and not bool((np.isfinite(found) & (np.asarray(found, np.float64) >= 0)).all()):
                raise Corrupt(f"edge bursts: {name} is not finite or below 0")
        head = np.asarray(arrays["head"], np.int64)
        if head[K.SEED] != self._head[K.SEED] or head[K.BEGUN] not in (0, 1) or head[K.TICK] < head[K.FIRST]:
            raise Corrupt("edge bursts: the head does not fit the settings or the identity")
        self._now[:], self._sums[:], self._past[:], self._head[:] = arrays["now"], arrays["sums"], arrays["past"], head
