"""Four parts by time and by account: to fit, to stop, to calibrate, to test.

Two cuts of time make three blocks: `fit` has the first, `stop` and `calibrate` the second, `test` the last. An account
stands in one part only. Honest accounts are dealt by a keyed hash, and what a part did not get is made up by a weight,
so that each part weighs as the service does. Abusive accounts are few, so of two ways the one that leaves more of them
in the poorest part is taken: `begin` puts each where its abuse begins, so that none is wasted (abuse that goes on
from an earlier block is then missing from the later one); `dealt` deals them as the honest ones, which wastes what an
account did in other blocks, but works where abuse lasts as long as the history. A random split of rows would put the
same account, and often the same minute of the same campaign, on both sides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shoal.errors import InvalidInput, Problem
from shoal.learn.frame import Bools, Floats, Int64s, TrainingFrame
from shoal.learn.targets import Targets

ROLES: tuple[str, ...] = ("fit", "stop", "calibrate", "test")
BLOCKS: Mapping[str, int] = {"fit": 0, "stop": 1, "calibrate": 1, "test": 2}
CUT_SHARES = (0.55, 0.80)
"""Shares of the abusive accounts before the first and before the second cut."""
HONEST_SHARES: Mapping[str, float] = {"fit": 0.30, "stop": 0.08, "calibrate": 0.42, "test": 0.20}
ABUSIVE_SHARES: Mapping[str, float] = {"fit": 0.45, "stop": 0.12, "calibrate": 0.20, "test": 0.23}
"""How accounts are dealt; honest ones are many, and levels need them in `calibrate`."""
STOP_SHARE = 0.4
"""With `begin`, of the abusive accounts of the second block: to stop; the rest calibrates."""
FIRST_CUT, SECOND_CUT = (0.2, 0.6), (0.35, 0.8)
"""Cuts stay within these shares of the matured span, and 15 % of it apart: each block needs honest weeks, too."""
APART = 0.15


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of one part: indices into the frame, rising, and the weight of each (sampling included)."""

    rows: Int64s
    weight: Floats


@dataclass(frozen=True, eq=False)
class Split:
    """The parts by role, the two cuts of time (µs UTC), and how abusive accounts were divided (`begin`, `dealt`).
    `honest`: rows of the honest accounts of `calibrate` up to the second cut, for levels: unseen accounts are what
    counts there, and each more narrows the interval."""

    parts: Mapping[str, Part]
    cuts_us: tuple[int, int]
    way: str
    honest: Part

    def __getitem__(self, role: str) -> Part:
        return self.parts[role]

    def without_stop(self, abusive: Bools) -> Split:
        """The same with the rows to stop given to calibration; `abusive`: of each row of the frame, whether its account
        has a positive row."""
        both = [self["stop"], self["calibrate"]]
        rows = np.concatenate([part.rows for part in both])
        shares = (ABUSIVE_SHARES, HONEST_SHARES)
        of = [
            np.where(abusive[part.rows], *(_share(self.way, name, one) for one in shares))
            for name, part in zip(("stop", "calibrate"), both, strict=True)
        ]
        plain = np.concatenate([part.weight * share for part, share in zip(both, of, strict=True)])
        whole = [sum(_share(self.way, name, one) for name in ("stop", "calibrate")) for one in shares]
        weight = plain / np.where(abusive[rows], *whole)
        order = np.argsort(rows, kind="stable")
        empty = Part(np.zeros(0, np.int64), np.zeros(0))
        merged = Part(rows[order], weight[order])
        return Split({**self.parts, "stop": empty, "calibrate": merged}, self.cuts_us, self.way, self.honest)


def abusive_rows(frame: TrainingFrame, targets: Targets) -> Bools:
    """Of each row of the frame, whether its account has a positive row [n]."""
    abusive = np.zeros(int(frame.groups.max(initial=-1)) + 1, np.bool_)
    abusive[frame.groups[targets.positive]] = True
    return abusive[frame.groups]


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
    dealt = _dealt(frame.group_names(), seed)
    ways = [_divide(way, frame, targets, rows, dealt) for way in ("begin", "dealt")]
    return max(ways, key=lambda one: _poorest(one, frame.groups, targets))


def _poorest(split: Split, groups: Int64s, targets: Targets) -> float:
    """Abusive accounts of the part that has fewest of what it should have."""
    return min(
        len(np.unique(groups[part.rows][targets.positive[part.rows]])) / ABUSIVE_SHARES[name]
        for name, part in split.parts.items()
    )


def _divide(way: str, frame: TrainingFrame, targets: Targets, rows: Int64s, dealt: Floats) -> Split:
    groups = frame.groups
    positive = rows[targets.positive[rows]]
    when, times = groups[positive], frame.time[positive]
    abusive = np.bincount(when, minlength=len(dealt)) > 0
    if way == "begin":
        place = np.full(len(dealt), np.iinfo(np.int64).max)
        np.minimum.at(place, when, times)
    else:
        counts = np.maximum(np.bincount(when, minlength=len(dealt)), 1)
        place = (np.bincount(when, (times - frame.time[0]) / 1.0, len(dealt)) / counts).astype(np.int64) + frame.time[0]
    cuts = _cuts(frame.time[rows], place[abusive])
    role = _deal(dealt, HONEST_SHARES)
    of_abusive = _by_begin(place, abusive, cuts, dealt) if way == "begin" else _spread(dealt, abusive)
    role = np.where(abusive, of_abusive, role)
    block = np.searchsorted(np.array(cuts), frame.time, side="right")
    parts = {}
    for number, name in enumerate(ROLES):
        here = rows[(role[groups[rows]] == number) & (block[rows] == BLOCKS[name])]
        share = np.where(abusive[groups[here]], _share(way, name, ABUSIVE_SHARES), _share(way, name, HONEST_SHARES))
        parts[name] = Part(here, frame.weight[here] / share)
    calibrating = (role[groups[rows]] == ROLES.index("calibrate")) & ~abusive[groups[rows]] & (block[rows] < 2)
    honest = rows[calibrating]
    return Split(parts, cuts, way, Part(honest, frame.weight[honest] / HONEST_SHARES["calibrate"]))


def _share(way: str, name: str, shares: Mapping[str, float]) -> float:
    """Of the accounts of its block, the share that a part has."""
    if way == "begin" and shares is ABUSIVE_SHARES:
        return {"stop": STOP_SHARE, "calibrate": 1 - STOP_SHARE}.get(name, 1.0)
    return shares[name]


def _cuts(times: Int64s, places: Int64s) -> tuple[int, int]:
    first, span = int(times.min()), int(times.max()) - int(times.min())
    if not len(places):
        places = times
    wanted = np.quantile(places, CUT_SHARES) - first
    one = min(max(float(wanted[0]), FIRST_CUT[0] * span), FIRST_CUT[1] * span)
    two = min(max(float(wanted[1]), SECOND_CUT[0] * span, one + APART * span), SECOND_CUT[1] * span)
    return first + max(1, int(one)), first + max(2, int(two))


def _dealt(names: list[str], seed: int) -> Floats:
    """A number in [0, 1) for each account, by a hash of its name: the same account falls on the same side in every
    frame with the same seed."""
    key = seed.to_bytes(8, "little", signed=True)
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in names)
    return np.frombuffer(digests, "<u8").astype(np.float64) / 2.0**64


def _deal(dealt: Floats, shares: Mapping[str, float]) -> Int64s:
    return np.searchsorted(np.cumsum([shares[name] for name in ROLES])[:-1], dealt, side="right").astype(np.int64)


def _spread(dealt: Floats, abusive: Bools) -> Int64s:
    """Abusive accounts by their place in the order of hashes, since few would fall to one side by chance."""
    at = np.flatnonzero(abusive)
    place = np.zeros(len(dealt))
    place[at[np.argsort(dealt[at], kind="stable")]] = (np.arange(len(at)) + 0.5) / max(1, len(at))
    return _deal(place, ABUSIVE_SHARES)


def _by_begin(begun: Int64s, abusive: Bools, cuts: tuple[int, int], dealt: Floats) -> Int64s:
    block = np.searchsorted(np.array(cuts), begun, side="right")
    middle = np.flatnonzero(abusive & (block == 1))
    middle = middle[np.argsort(dealt[middle], kind="stable")]
    to_stop = np.zeros(len(begun), np.bool_)
    to_stop[middle[: round(STOP_SHARE * len(middle))]] = True
    return np.where(block == 0, 0, np.where(block == 2, 3, np.where(to_stop, 1, 2))).astype(np.int64)
