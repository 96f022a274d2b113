"""Four parts by time and by account: to fit, to stop, to calibrate, to test.

Two cuts of time make three blocks: `fit` has the first, `stop` and `calibrate` the second, `test` the last. An account
stands in one part only. Accounts with a positive row go where their abuse begins, so that none is wasted and none is
learned from before it happened; all other accounts are dealt by a keyed hash, and what a part did not get is made up
by a weight, so that each part weighs as the service does. A random split of rows would put the same account, and often
the same campaign's same minute, on both sides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoal.errors import InvalidInput, Problem
from shoal.learn.frame import Floats, Int64s, TrainingFrame
from shoal.learn.targets import Targets

ROLES: tuple[str, ...] = ("fit", "stop", "calibrate", "test")
BLOCKS: Mapping[str, int] = {"fit": 0, "stop": 1, "calibrate": 1, "test": 2}
POSITIVE_SHARES = (0.55, 0.80)
"""Shares of the positive accounts whose abuse begins before the first and before the second cut."""
HONEST_SHARES: Mapping[str, float] = {"fit": 0.40, "stop": 0.10, "calibrate": 0.30, "test": 0.20}
STOP_SHARE = 0.4
"""Of the positive accounts of the second block: to stop; the rest calibrates."""
EARLIEST, LATEST = 0.2, 0.9
"""Cuts stay within these shares of the matured span, so that no block is empty of honest rows."""


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of one part: indices into the frame, rising, and the weight of each (sampling included)."""

    rows: Int64s
    weight: Floats


@dataclass(frozen=True, eq=False)
class Split:
    """The parts by role, and the two cuts of time (µs UTC)."""

    parts: Mapping[str, Part]
    cuts_us: tuple[int, int]

    def __getitem__(self, role: str) -> Part:
        return self.parts[role]


def split_frame(frame: TrainingFrame, targets: Targets, seed: int = 0) -> Split:
    """The parts. `targets` of the same rows. Rows younger than the maturity window are in no part, so that positives
    that are known early do not stand alone there. Raises `InvalidInput` (`split.span`) for rows of one moment only."""
    mature = targets.usable & (frame.time <= targets.until_us - targets.maturity_us)
    rows = np.flatnonzero(mature)
    if not len(rows) or frame.time[rows].min() == frame.time[rows].max():
        raise InvalidInput(
            Problem(
                "split.span", "no matured rows, or all of one moment", hint="give a longer history or a later --until"
            )
        )
    groups = frame.groups
    positive = rows[targets.positive[rows]]
    begun = np.full(int(groups.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(begun, groups[positive], frame.time[positive])
    abusive = begun < np.iinfo(np.int64).max
    cuts = _cuts(frame.time[rows], begun[abusive])
    dealt = _dealt(frame.group_names(), seed)
    role = _roles(begun, abusive, cuts, dealt)
    block = np.searchsorted(np.array(cuts), frame.time, side="right")
    parts = {}
    for number, name in enumerate(ROLES):
        here = rows[(role[groups[rows]] == number) & (block[rows] == BLOCKS[name])]
        made_up = np.where(abusive[groups[here]], _up_weight(name), 1 / HONEST_SHARES[name])
        parts[name] = Part(here, frame.weight[here] * made_up)
    return Split(parts, cuts)


def _up_weight(name: str) -> float:
    """Accounts with abuse of the second block are shared by two parts, each of which stands for all of them."""
    return {"stop": 1 / STOP_SHARE, "calibrate": 1 / (1 - STOP_SHARE)}.get(name, 1.0)


def _cuts(times: Int64s, begun: Int64s) -> tuple[int, int]:
    first, last = int(times.min()), int(times.max())
    low, high = first + int(EARLIEST * (last - first)), first + int(LATEST * (last - first))
    wanted = np.quantile(begun, POSITIVE_SHARES) if len(begun) else (low, high)
    one = min(max(int(wanted[0]), low), high - 1)
    return one, min(max(int(wanted[1]), one + 1), high)


def _dealt(names: list[str], seed: int) -> Floats:
    """A number in [0, 1) for each group, by a hash of its name: the same account falls on the same side in every frame
    with the same seed."""
    key = seed.to_bytes(8, "little", signed=True)
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in names)
    return np.frombuffer(digests, "<u8").astype(np.float64) / 2.0**64


def _roles(
    begun: Int64s, abusive: npt.NDArray[np.bool_], cuts: tuple[int, int], dealt: Floats
) -> npt.NDArray[np.int64]:
    edges = np.cumsum([HONEST_SHARES[name] for name in ROLES])[:-1]
    role = np.searchsorted(edges, dealt, side="right")
    block = np.searchsorted(np.array(cuts), begun, side="right")
    # Every other place in an order of hashes, not a threshold: few positives would fall to one side by chance.
    middle = np.flatnonzero(abusive & (block == 1))
    middle = middle[np.argsort(dealt[middle], kind="stable")]
    to_stop = np.zeros(len(begun), np.bool_)
    to_stop[middle[: round(STOP_SHARE * len(middle))]] = True
    by_time = np.where(block == 0, 0, np.where(block == 2, 3, np.where(to_stop, 1, 2)))
    return np.where(abusive, by_time, role)
