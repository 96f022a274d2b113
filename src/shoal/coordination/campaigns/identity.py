"""Who a campaign is from run to run: it keeps its id while at least half of what ties it together persists.

Rules (issue of the room, and the practice of LinkedIn's and Facebook's cluster tracking): the weight of a campaign lies
on its hard-linked members, by belief, or on all where it has none. A split leaves the id with the larger part; a merge
keeps the older campaign and records the others in `merged_from`. New campaigns get an id from their own core and first
time, so that two runs over the same data agree. Pure; what was found earlier is handed in.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from shoal.coordination.campaigns.campaign import Campaign, Member
from shoal.errors import InvalidInput, Problem, Where

KEPT = 0.5
"""Share of an old campaign's weight that must be found again."""


@dataclass(frozen=True)
class Carried:
    """`campaigns`: the new ones with the ids they have from now on, in the order given. `retired`: old ones that no
    new one continues or has taken in, as they were. `merged`: id of each old campaign that another took in, and of
    that other one."""

    campaigns: tuple[Campaign, ...]
    retired: tuple[Campaign, ...]
    merged: tuple[tuple[str, str], ...]


def weights(campaign: Campaign) -> dict[int, float]:
    """What each member counts for the identity: its belief, of hard-linked members only where there are any."""
    hard = {one.account: one.belief for one in campaign.members if one.hard}
    return hard or {one.account: one.belief for one in campaign.members}


def fresh_id(members: Iterable[Member], first: int, salt: int = 0) -> str:
    """`c` and 12 hex digits of the core members (hard-linked, else all) and the first time."""
    listed = list(members)
    core = sorted(one.account for one in listed if one.hard) or sorted(one.account for one in listed)
    text = f"{first}:{salt}:" + ",".join(map(str, core))
    return "c" + hashlib.sha256(text.encode()).hexdigest()[:12]


def carry(old: Sequence[Campaign], new: Sequence[Campaign]) -> Carried:
    """Give `new` campaigns the ids of the `old` ones that they continue.

    Cost is that of the memberships that both have. The order of either does not matter. Raises `InvalidInput` where an
    account stands in two campaigns of one run, or an old id stands twice: then nobody could say who continues whom.
    """
    _check(old, "old")
    _check(new, "new")
    if len({one.id for one in old}) != len(old):
        raise InvalidInput(Problem("campaigns.id_twice", "an id stands twice", Where(path="old")))
    heir = _heirs(old, new)
    claims: dict[int, list[Campaign]] = defaultdict(list)
    for one in old:
        if one.id in heir:
            claims[heir[one.id]].append(one)
    kept: dict[int, Campaign] = {}
    merged = []
    for at in sorted(claims):
        ranked = sorted(claims[at], key=lambda one: (one.first, one.id))
        keeper, taken = ranked[0], ranked[1:]
        kept[at] = _continued(new[at], keeper, taken)
        merged += [(one.id, keeper.id) for one in taken]
    used = {one.id for one in old}
    out: list[Campaign | None] = [kept.get(at) for at in range(len(new))]
    for at in sorted(range(len(new)), key=lambda i: (new[i].first, sorted(m.account for m in new[i].members))):
        if out[at] is None:
            out[at] = replace(new[at], id=_unused(new[at], used))
            used.add(out[at].id)  # type: ignore[union-attr]
    retired = sorted((one for one in old if one.id not in heir), key=lambda one: one.id)
    return Carried(tuple(one for one in out if one is not None), tuple(retired), tuple(sorted(merged)))


def _heirs(old: Sequence[Campaign], new: Sequence[Campaign]) -> dict[str, int]:
    """Old id → place of the new campaign that holds most of its weight, where at least half of it is found again.

    Equal parts: the larger new campaign, then the one with the smallest member."""
    where = {member.account: at for at, one in enumerate(new) for member in one.members}
    heir = {}
    for one in old:
        held = weights(one)
        total = sum(held.values())
        parts: dict[int, float] = defaultdict(float)
        for account in sorted(held):
            if account in where:
                parts[where[account]] += held[account]
        if parts and sum(parts.values()) >= KEPT * total - 1e-12:
            heir[one.id] = min(parts, key=lambda at: (-round(parts[at], 9), -new[at].size, _smallest(new[at])))
    return heir


def _smallest(campaign: Campaign) -> int:
    return min(one.account for one in campaign.members)


def _continued(new: Campaign, keeper: Campaign, taken: Sequence[Campaign]) -> Campaign:
    names = dict.fromkeys((*keeper.merged_from, *new.merged_from))
    for one in taken:
        names.update(dict.fromkeys((*one.merged_from, one.id)))
    names.pop(keeper.id, None)
    first = min(new.first, keeper.first, *(one.first for one in taken))
    return replace(new, id=keeper.id, first=first, merged_from=tuple(names))


def _unused(campaign: Campaign, used: set[str]) -> str:
    salt = 0
    while (name := fresh_id(campaign.members, campaign.first, salt)) in used:
        salt += 1
    return name


def _check(campaigns: Sequence[Campaign], path: str) -> None:
    seen: dict[int, str] = {}
    problems = []
    for at, one in enumerate(campaigns):
        where = Where(path=f"{path}.{at}")
        if not one.members:
            problems.append(Problem("campaigns.no_members", f"campaign {one.id} has no members", where))
        for member in one.members:
            if member.account in seen:
                message = f"account {member.account} stands in {seen[member.account]} and {one.id}"
                problems.append(Problem("campaigns.member_twice", message, where))
            seen[member.account] = one.id
    if problems:
        raise InvalidInput(problems)


def lineage(campaigns: Sequence[Campaign]) -> Mapping[str, str]:
    """Ids that other campaigns took in → the id that stands for them now."""
    return {name: one.id for one in campaigns for name in one.merged_from}
