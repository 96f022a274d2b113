"""What `login_likelihood` knows beside network and user agent: the hour of the week and the round-trip time of logins.

Owned by one `LoginLikelihood`, which says which rows are scored and learned; its tables are part of that signal's
snapshot. See `habits_kernel` for the distributions, docs/takeover.md for the columns.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from shoal.detectors.signals import Output
from shoal.detectors.takeover import habits_kernel as K  # noqa: N812 - a namespace of constants and kernels
from shoal.detectors.takeover.likelihood_kernel import FULL, NONE, count_kept, refill
from shoal.errors import Corrupt
from shoal.events.schema import Kind
from shoal.expressions.frame import Frame, Layout

Ints = npt.NDArray[np.int64]
READS = ("rtt_ms", "asn", "country")
SMALLEST, FORGOTTEN = 1024, 2.0**-12
OUTPUTS = {
    "hour_of_week": Output(Kind.FLOAT, "log ratio of the hour of the week, by the sun where a place is known", "nats"),
    "rtt": Output(Kind.FLOAT, "log ratio of the round-trip time, by the network and the account there", "nats"),
    "rtt_self": Output(Kind.FLOAT, "how much longer it answers than the account does in this network", "deviations"),
    "rtt_network": Output(Kind.FLOAT, "how much longer it answers than others in this network", "deviations"),
}
_STATE = ("head", "week", "keys", "cells")


class Habits:
    """The tables. `half_life_us`: 0 never forgets; `places` as `likelihood_kernel.trust_of` reads them."""

    def __init__(self, layout: Layout, places: Ints, half_life_us: float) -> None:
        self._columns = np.array([layout.index.get(name, -1) for name in ("account", *READS)], np.int64)
        self._places, self._half_life = places, half_life_us
        self._work = np.zeros(K.HOURS)
        self._reset(SMALLEST)

    def _reset(self, size: int) -> None:
        self.head, self.week = np.zeros(K.HEAD), np.zeros(K.HOURS)
        self.head[K.EPOCH] = NONE
        self.keys, self.cells = np.zeros(size, np.int64), np.zeros((size, 3))

    def update(
        self, frame: Frame, as_of: Ints, asked: npt.NDArray[np.int8], out: Ints, ok: npt.NDArray[np.uint8]
    ) -> None:
        """Score and learn the rows of a frame; `out` int64 and `ok` uint8 [4, n], zero before."""
        row = 0
        while True:
            row = K.run(
                frame.values, frame.valid, row, frame.size, as_of, asked, self._columns, self._places, self._half_life,
                self.head, self.week, self.keys, self.cells, self._work, out, ok,
            )  # fmt: skip
            if row == frame.size:
                return
            self._make_room(int(as_of[row]))

    def _make_room(self, as_of: int) -> None:
        decays = self._half_life > 0
        least = FORGOTTEN * K.unit_at(self.head, self._half_life, as_of) if decays else -1.0
        kept = count_kept(self.keys, self.cells, least)
        size = len(self.keys) if kept <= FULL / 2 * len(self.keys) else 2 * len(self.keys)
        keys, cells = np.zeros(size, np.int64), np.zeros((size, 3))
        self.head[K.USED] = refill(self.keys, self.cells, keys, cells, least)
        self.keys, self.cells = keys, cells

    def snapshot(self) -> dict[str, npt.NDArray[np.generic]]:
        """The tables as they stand, each under `habits_<name>`."""
        return {f"habits_{name}": getattr(self, name).copy() for name in _STATE}

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take over a snapshot's tables; raises `Corrupt` where counts contradict each other or numbers are none.
        Kinds and shapes but the first are checked by the signal."""
        head, week, keys, cells = (arrays[f"habits_{name}"] for name in _STATE)
        size, problems = len(keys), []
        if len(head) != K.HEAD or len(week) != K.HOURS or size < 64 or size & (size - 1) or len(cells) != size:
            problems.append(f"habits have {size} keys, {len(cells)} cells, {len(week)} hours")
        elif np.count_nonzero(keys) != head[K.USED] or head[K.USED] > FULL * size + 1:
            problems.append("habits do not hold as many entries as the head says")
        if not all(np.isfinite(array).all() for array in (head, week, cells)):
            problems.append("habits hold a number that is not finite")
        if problems:
            raise Corrupt("login_likelihood: " + "; ".join(problems))
        self._reset(size)
        self.head[:], self.week[:], self.keys[:], self.cells[:] = head, week, keys, cells
