"""Lockstep: groups of accounts from nothing but who acted on what and when; no labels.

Two kinds of sets are found, each against chance: the accounts of a burst (`bursts`: most accounts of a bought crowd act
once, so they share no second object) and the accounts tied by significant pairs (`find`: the few that act again and
again). Sets whose members overlap beyond chance are one group; an account that two sets merely share ties nothing, and
may be in two groups.

What the null is, and what it is not: times and accounts dealt anew under the same degrees. A group says that accounts
and times on an object are not independent of one another; it does not say that one hand moved them. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import hypergeom

from shoal.coordination.coaction.actions import checked
from shoal.coordination.coaction.bursts import Bursts, find_bursts
from shoal.coordination.coaction.find import CoAction, coaction
from shoal.coordination.coaction.settings import CoActionSettings
from shoal.coordination.coaction.significance import q_values
from shoal.errors import InvalidInput, Problem, Where

Ints = npt.NDArray[np.int64]
EVERYWHERE = 200  # an account in more sets than this ties none of them: it acts everywhere


def _pairs() -> CoActionSettings:
    return CoActionSettings(windows_s=(3_600, 86_400, 604_800), least=2)


@dataclass(frozen=True)
class LockstepSettings:
    """`windows_s`: lengths that a burst may have, up to eight, ascending. `least`: accounts that make one. `fdr`:
    false-discovery rate of bursts, of pairs and of overlaps, each. `pairs`: of co-action (None: bursts alone)."""

    windows_s: tuple[int, ...] = (3_600, 86_400, 604_800)
    least: int = 3
    fdr: float = 0.01
    pairs: CoActionSettings | None = field(default_factory=_pairs)

    def __post_init__(self) -> None:
        problems = []
        whole = isinstance(self.windows_s, tuple) and all(type(one) is int and one > 0 for one in self.windows_s)
        if not whole or not 1 <= len(self.windows_s) <= 8 or list(self.windows_s) != sorted(set(self.windows_s)):
            told, allowed = f"windows {self.windows_s!r}", "1 to 8 lengths in whole seconds, ascending"
            problems.append(Problem("lockstep.windows", told, Where(path="windows_s"), allowed=allowed))
        if type(self.least) is not int or not 2 <= self.least <= 1_000_000:
            problems.append(Problem("lockstep.least", f"least is {self.least!r}", Where(path="least"), allowed="≥ 2"))
        if not isinstance(self.fdr, float | int) or not 0 < self.fdr <= 1:
            problems.append(Problem("lockstep.fdr", f"fdr is {self.fdr!r}", Where(path="fdr"), allowed="above 0, to 1"))
        if problems:
            raise InvalidInput(problems)


@dataclass(frozen=True)
class Group:
    """Accounts in lockstep. `accounts`, `objects` int64, ascending (objects: of its bursts); `first`, `last` µs UTC of
    its bursts (-1: pairs alone); `p`: of its most telling burst, 1 for none; `bursts`, `pairs`: how many it is of."""

    accounts: Ints
    objects: Ints
    first: int
    last: int
    p: float
    bursts: int
    pairs: int


@dataclass(frozen=True)
class Lockstep:
    """Groups, the largest first. `accounts`: in the table; `grouped` int64: ids of those in a group, ascending."""

    groups: tuple[Group, ...]
    bursts: Bursts
    pairs: CoAction | None
    accounts: int
    grouped: Ints

    @property
    def share(self) -> float:
        """Part of the accounts that is grouped."""
        return len(self.grouped) / max(self.accounts, 1)


def lockstep(events: pa.Table, settings: LockstepSettings | None = None) -> Lockstep:
    """Groups in a table of actions (`account`, `object`, `time` µs; int64). Raises `InvalidInput` for a broken one.

    Cost: sorting the actions, and one `coaction` where pairs are asked for.
    """
    settings = settings or LockstepSettings()
    rows = checked(events)
    bursts = find_bursts(rows.account, rows.object, rows.time, settings.windows_s, settings.least, settings.fdr)
    pairs = coaction(events, settings.pairs) if settings.pairs is not None else None
    left = right = np.zeros(0, np.int64)
    if pairs is not None:
        good = pairs.q <= settings.fdr
        left, right = (np.searchsorted(rows.ids, one[good]) for one in (pairs.left, pairs.right))
    tied_of, tied = _tied(left, right)
    of = np.concatenate([bursts.of, tied_of + bursts.size])
    member = np.concatenate([bursts.member, tied])
    sets = int(of.max(initial=-1)) + 1
    label = _joined(of, member, sets, len(rows.ids), settings.fdr)
    groups = _groups(label, of, member, bursts, rows.ids, left, right)
    return Lockstep(groups, bursts, pairs, len(rows.ids), rows.ids[np.unique(member)])


def _tied(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """Accounts tied by pairs: the component of each, counted from 0, and the account."""
    present, place = np.unique(np.concatenate([left, right]), return_inverse=True)
    if not len(present):
        return present, present
    ends = place.reshape(2, -1)
    graph = coo_array((np.ones(ends.shape[1], np.int8), (ends[0], ends[1])), shape=(len(present), len(present)))
    _, label = connected_components(graph, directed=False)
    return label.astype(np.int64), present


def _joined(of: Ints, member: Ints, sets: int, accounts: int, fdr: float) -> Ints:
    """Which group each set is of: sets are joined that share two accounts or more, and more than chance lets them."""
    if not sets:
        return np.zeros(0, np.int64)
    size = np.bincount(of, minlength=sets)
    often = np.bincount(member, minlength=accounts)
    some = often[member] <= EVERYWHERE
    incidence = coo_array((np.ones(some.sum(), np.int32), (of[some], member[some])), shape=(sets, accounts)).tocsr()
    shared = (incidence @ incidence.T).tocoo()
    upper = (shared.row < shared.col) & (shared.data >= 2)
    one, other, both = shared.row[upper], shared.col[upper], shared.data[upper]
    p = hypergeom.sf(both - 1, accounts, size[one], size[other])
    good = q_values(np.asarray(p, np.float64), sets * (sets - 1) // 2) <= fdr
    graph = coo_array((np.ones(good.sum(), np.int8), (one[good], other[good])), shape=(sets, sets))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _groups(
    label: Ints, of: Ints, member: Ints, bursts: Bursts, ids: Ints, left: Ints, right: Ints
) -> tuple[Group, ...]:
    place = np.lexsort((member, label[of]))
    cuts = np.flatnonzero(np.diff(label[of][place])) + 1
    found = []
    for at, who in zip(np.split(place, cuts), np.split(member[place], cuts), strict=True):
        if not len(at):
            continue
        own = np.unique(of[at])
        own = own[own < bursts.size]
        accounts = np.unique(who)
        tied = int((np.isin(left, accounts) & np.isin(right, accounts)).sum()) if len(left) else 0
        found.append(Group(
            ids[accounts], np.unique(bursts.object[own]), int(bursts.first[own].min()) if len(own) else -1,
            int(bursts.last[own].max(initial=-1)), float(bursts.p[own].min(initial=1.0)), len(own), tied,
        ))  # fmt: skip
    return tuple(sorted(found, key=lambda one: (-len(one.accounts), int(one.accounts[0]))))
