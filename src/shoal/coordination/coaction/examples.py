"""What to show a person: where two accounts met, when, and who else was there.

For the few pairs of a campaign that is looked at; not for all pairs. The rarest places come first, then the shortest
times. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.coordination.coaction.actions import Actions, checked
from shoal.coordination.coaction.find import CoAction
from shoal.coordination.coaction.settings import CoActionSettings

Ints = npt.NDArray[np.int64]
NAMES = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True)
class Meeting:
    """Two accounts on one object: when each acted (µs UTC, the nearest two), and how many `others` acted there within
    the longest window of either."""

    left: int
    right: int
    object: int
    left_time: int
    right_time: int
    others: int

    @property
    def apart(self) -> int:
        """µs between the two."""
        return abs(self.left_time - self.right_time)


def examples(
    events: pa.Table, pairs: Iterable[tuple[int, int]], settings: CoActionSettings | None = None, at_most: int = 3
) -> dict[tuple[int, int], tuple[Meeting, ...]]:
    """Up to `at_most` meetings of each pair of account ids. Raises `InvalidInput` for a broken table; a pair that never
    met, or that it does not know, has none. Cost: one pass over the table, and the objects of these accounts."""
    settings = settings or CoActionSettings()
    rows = checked(events)
    wanted = [(int(a), int(b)) for a, b in pairs]
    own = _by_account(rows, {account for pair in wanted for account in pair})
    common = {pair: sorted(own.get(pair[0], {}).keys() & own.get(pair[1], {}).keys()) for pair in wanted}
    crowds = _by_object(rows, sorted({one for objects in common.values() for one in objects}))
    out = {}
    for (a, b), objects in common.items():
        met = [_nearest(a, b, one, own[a][one], own[b][one], crowds[one], settings.windows[-1]) for one in objects]
        near = [one for one in met if one.apart <= settings.windows[-1]]
        out[a, b] = tuple(sorted(near, key=lambda one: (one.others, one.apart, one.object))[:at_most])
    return out


def told(found: CoAction, pair: int) -> str:
    """A pair of `found`, by its place, in words.

    What it shares in the longest window, how much of that in the shortest one that holds most of it, and what chance
    expects.
    """
    counts, windows = found.shared[pair].tolist(), found.settings.windows_s
    text = f"acted on {counts[-1]} of the same objects within {_length(windows[-1])}"
    quick = next(i for i, count in enumerate(counts) if 2 * count >= counts[-1])
    if quick < len(counts) - 1:
        text += f", on {counts[quick]} of them within {_length(windows[quick])}"
    chance, share = found.chance[pair, -1], found.jaccard[pair]
    usual = f"{chance:.2g}" if chance >= 0.001 else "less than 0.001"
    return f"{text}; chance expects {usual}; that is {share:.0%} of what either acted on"


def _length(seconds: int) -> str:
    """A length of time in the largest unit that it fills."""
    unit, name = next((unit, name) for unit, name in NAMES if seconds % unit == 0)
    count = seconds // unit
    return f"{'an' if name == 'hour' else 'a'} {name}" if count == 1 else f"{count} {name}s"


def _by_account(rows: Actions, accounts: set[int]) -> dict[int, dict[int, Ints]]:
    """Account id → object → times, ascending."""
    ids = np.array(sorted(accounts), np.int64)
    at = np.flatnonzero(np.isin(rows.ids[rows.account], ids)) if len(rows.ids) else np.zeros(0, np.int64)
    order = at[np.lexsort((rows.time[at], rows.object[at], rows.account[at]))]
    who, what, when = rows.ids[rows.account[order]], rows.object[order], rows.time[order]
    cuts = np.flatnonzero((np.diff(who) != 0) | (np.diff(what) != 0)) + 1
    out: dict[int, dict[int, Ints]] = {}
    for account, thing, times in zip(
        who[_starts(cuts, who)], what[_starts(cuts, who)], np.split(when, cuts), strict=False
    ):
        out.setdefault(int(account), {})[int(thing)] = times
    return out


def _starts(cuts: Ints, column: Ints) -> Ints:
    return np.concatenate([[0], cuts]).astype(np.int64) if len(column) else np.zeros(0, np.int64)


def _by_object(rows: Actions, objects: Sequence[int]) -> dict[int, tuple[Ints, Ints]]:
    """Object → its accounts and times."""
    at = np.flatnonzero(np.isin(rows.object, np.array(objects, np.int64)))
    order = at[np.argsort(rows.object[at], kind="stable")]
    cuts = np.flatnonzero(np.diff(rows.object[order])) + 1
    return {
        int(rows.object[part[0]]): (rows.ids[rows.account[part]], rows.time[part])
        for part in np.split(order, cuts) if len(part)
    }  # fmt: skip


def _nearest(a: int, b: int, thing: int, left: Ints, right: Ints, crowd: tuple[Ints, Ints], window: int) -> Meeting:
    """The two actions on an object that are nearest in time (the earliest of equals)."""
    after = np.searchsorted(right, left)
    near = np.stack([np.clip(after - 1, 0, len(right) - 1), np.clip(after, 0, len(right) - 1)])
    side, at = np.unravel_index(int(np.argmin(np.abs(right[near] - left))), near.shape)
    mine, other = int(left[at]), int(right[near[side, at]])
    who, when = crowd
    there = who[(when >= min(mine, other) - window) & (when <= max(mine, other) + window)]
    return Meeting(a, b, thing, mine, other, len(set(there.tolist()) - {a, b}))
