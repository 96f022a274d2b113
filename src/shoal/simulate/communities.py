"""Communities: who shares means and interests with whom in the honest world, by code.

Families on one card, couples on one telephone, companies, resellers, campuses with their classes, channels and those
who follow them. Built once after the people, from generators of their own, and not changed afterwards; empty where the
scenario's `structure` is off. `honest` lives by it, adversaries read what is public of it (the channels' posts).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from shoal.simulate.draws import (
    DAY,
    HOUR,
    Bools,
    Floats,
    Ints,
    generator,
    median_counts,
    mix,
    ragged,
    rank_within,
    unit,
)  # fmt: skip
from shoal.simulate.people import People
from shoal.simulate.rows import Rows
from shoal.simulate.scenario import Scenario, Structure
from shoal.simulate.truth import GROUP_KINDS

POSTS = 1 << 53
"""Links of channels have codes from here on."""
OWN_FILES = 1 << 22
"""Numbers of files from here on are those that communities open together."""
_HOUSE, _RESELLER, _COMPANY = 1 << 40, 1 << 41, 1 << 42
_FAMILY = 6
"""Members of a household who share a card or a recovery address, at most."""
ROLES = ("member", "teacher", "reseller", "channel", "lead", "fresh", "aged", "hijacked")


def _none(size: int) -> Ints:
    return np.full(size, -1, dtype=np.int64)


@dataclass
class Communities:
    """Arrays by honest account [honest] unless said otherwise; -1 is none."""

    wish: Structure
    card: Ints  # what each pays with, verifies, recovers by: a code
    phone: Ints
    recovery: Ints
    inviter: Ints
    reseller: Ints  # place in `resellers`
    resellers: Ints  # [resellers] accounts
    campus: Ints
    dormitory: Bools
    campus_city: Ints  # [campuses]
    class_campus: Ints  # [classes]
    teacher: Ints  # [classes]
    students: Ints  # of all classes, one after the other
    class_start: Ints  # [classes + 1]
    channels: Ints  # [channels] accounts
    fans: Ints  # of all channels, one after the other
    fan_start: Ints  # [channels + 1]
    posts: Rows  # time, link, owner, file, channel; by time
    mornings: Ints = field(default_factory=lambda: _none(0))  # teams that open files together

    @property
    def invites(self) -> bool:
        """Whether sign-ups say who invited them."""
        return self.wish.means.invited_share > 0 or len(self.resellers) > 0


def build_communities(scenario: Scenario, seed: int, people: People) -> Communities:
    """All communities of a scenario's people."""
    wish, size = scenario.structure, people.honest
    campus, dormitory, city = _campuses(scenario, seed, people)
    class_campus, teacher, students, class_start = _classes(wish, seed, people, campus, len(city))
    _mail(wish, seed, people, campus, len(city))
    resellers, reseller = _resellers(wish, seed, people)
    channels, fans, fan_start = _following(wish, seed, people)
    card, phone, recovery = _means(wish, people, resellers, reseller)
    return Communities(
        wish=wish, card=card, phone=phone, recovery=recovery,
        inviter=_inviters(wish, seed, people, resellers, reseller), reseller=reseller, resellers=resellers,
        campus=campus, dormitory=dormitory, campus_city=city, class_campus=class_campus, teacher=teacher,
        students=students, class_start=class_start, channels=channels, fans=fans, fan_start=fan_start,
        posts=_posts(scenario, seed, channels),
        mornings=_mornings(wish, people) if size else _none(0),
    )  # fmt: skip


def _private(people: People) -> Bools:
    return people.org[: people.honest] < 0


def _campuses(scenario: Scenario, seed: int, people: People) -> tuple[Ints, Bools, Ints]:
    """The campus of each account, who lives there, and the cities: those with most private persons."""
    wish, size = scenario.structure.campuses, people.honest
    campus, private = _none(size), _private(people)
    home = people.home[:size]
    by_city = np.bincount(home[private], minlength=len(scenario.homes))
    city = np.argsort(-by_city, kind="stable")
    city = city[np.arange(wish.count) % len(city)].astype(np.int64)
    rng = generator(seed, "communities", "campuses")
    for code, where in enumerate(city.tolist()):
        free = np.flatnonzero(private & (home == where) & (campus < 0))
        campus[rng.permutation(free)[: wish.students]] = code
    return campus, (campus >= 0) & (unit(np.arange(size), 201) < wish.dormitory_share), city


def _mail(wish: Structure, seed: int, people: People, campus: Ints, count: int) -> None:
    """Domains of universities and of households, where private persons have their mail."""
    size, house, share = people.honest, people.household, wish.means.own_domain_share
    account, mail, first = np.arange(size), people.mail[:size], len(people.domains)
    people.domains += [f"campus{int(w % 10**7):07d}.example" for w in mix(np.arange(count), seed * 8 + 216)]
    studies = (campus >= 0) & (unit(account, 217) < wish.campuses.mail_share)
    mail = np.where(studies, first + campus, mail)
    own = np.unique(house[_private(people) & (unit(house, 218) < share)])
    first = len(people.domains)
    people.domains += [f"home{int(w % 10**7):07d}.example" for w in mix(own, seed * 8 + 219)]
    place = np.minimum(np.searchsorted(own, house), max(len(own) - 1, 0))
    has = _private(people) & ~studies & (own[place] == house) if len(own) else np.zeros(size, bool)
    people.mail[:size] = np.where(has, first + place, mail)


def _classes(wish: Structure, seed: int, people: People, campus: Ints, count: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Classes of each campus, whose teachers are settled accounts of it; and their students."""
    rng, said = generator(seed, "communities", "classes"), wish.campuses
    places, teachers, students, sizes = [], [], [], [0]
    for code in range(count):
        all_of = np.flatnonzero(campus == code)
        settled = all_of[all_of < people.settled]
        number = round(len(all_of) * said.classes / said.class_size)
        if not len(settled) or len(all_of) < 3:
            continue
        for _ in range(number):
            wanted = int(np.clip(rng.poisson(said.class_size), 2, len(all_of) - 1))
            teacher = int(rng.choice(settled))
            some = rng.permutation(all_of)[:wanted]
            some = some[some != teacher]
            places.append(code)
            teachers.append(teacher)
            students.append(np.sort(some))
            sizes.append(len(some))
    together = np.concatenate(students) if students else _none(0)
    start = np.cumsum(sizes).astype(np.int64)
    return np.array(places, dtype=np.int64), np.array(teachers, dtype=np.int64), together.astype(np.int64), start


def _resellers(wish: Structure, seed: int, people: People) -> tuple[Ints, Ints]:
    """The resellers, and whose customer each account is: half of them sign up while the world lasts, if so many do."""
    rng, said, size = generator(seed, "communities", "resellers"), wish.resellers, people.honest
    reseller, private = _none(size), np.flatnonzero(_private(people))
    settled = private[private < people.settled]
    keen = settled[people.rate[settled] > 0.1]
    resellers = rng.permutation(keen)[: said.count]
    new = rng.permutation(private[private >= people.settled])
    old = rng.permutation(settled[~np.isin(settled, resellers)])
    used = [0, 0]
    for code in range(len(resellers)):
        wanted = max(int(rng.poisson(said.customers)), 1)
        for place, pool in enumerate((new[: len(new) * 2 // 3], old)):
            some = pool[used[place] : used[place] + (wanted // 2 if place == 0 else wanted)]
            used[place] += len(some)
            wanted -= len(some)
            reseller[some] = code
    return resellers.astype(np.int64), reseller


def _means(wish: Structure, people: People, resellers: Ints, reseller: Ints) -> tuple[Ints, Ints, Ints]:
    """What each account pays with, verifies and recovers by; shared in families, companies and by resellers."""
    said, size = wish.means, people.honest
    account, house = np.arange(people.honest), people.household
    private, company = _private(people), people.org[: people.honest]
    crowded = np.bincount(house, minlength=int(house.max()) + 1)[house] > 1
    on = np.array([said.card_share > 0, said.phone_share > 0, said.recovery_share > 0])

    place = rank_within(house)

    def shared(odds: float, salt: int, most: int) -> Bools:
        return crowded & private & (unit(house, salt) < odds) & (place < most)

    card = np.where(private & (unit(account, 202) < said.card_share), account, -1)
    card = np.where(shared(said.family_cards, 203, _FAMILY) & on[0], _HOUSE + house, card)
    pays = (company >= 0) & (unit(company, 204) < said.company_cards) & (unit(account, 205) < 0.4)
    card = np.where(pays & on[0], _COMPANY + company, card)
    phone = np.where(unit(account, 206) < said.phone_share, account, -1)
    phone = np.where(shared(said.couple_phones, 207, 2) & on[1], _HOUSE + house, phone)
    recovery = np.where(unit(account, 208) < said.recovery_share, account, -1)
    recovery = np.where(shared(said.shared_recovery, 209, _FAMILY) & on[2], _HOUSE + house, recovery)
    if len(resellers):
        sold = reseller >= 0
        card = np.where(sold, _RESELLER + reseller, card)
        recovery = np.where(sold & (unit(account, 210) < wish.resellers.recovery_share), _RESELLER + reseller, recovery)
    assert len(card) == len(phone) == len(recovery) == size
    return card.astype(np.int64), phone.astype(np.int64), recovery.astype(np.int64)


def _inviters(wish: Structure, seed: int, people: People, resellers: Ints, reseller: Ints) -> Ints:
    """Who invited each new account: a friend, somebody who invites very many, or the reseller."""
    inviter, share = _none(people.honest), wish.means.invited_share
    new = np.arange(people.settled, people.honest)
    rng = generator(seed, "communities", "inviters")
    if share > 0 and people.settled and len(new):
        friend = people.mates(rng, new)
        popular = np.minimum((rng.pareto(1.1, len(new)) * 12).astype(np.int64), people.settled - 1)
        known = (friend < people.settled) & (rng.random(len(new)) < 0.7)
        chosen = np.where(known, friend, rng.permutation(people.settled)[popular])
        inviter[new] = np.where(rng.random(len(new)) < share, chosen, -1)
    sold = new[reseller[new] >= 0]
    inviter[sold] = resellers[reseller[sold]]
    return inviter


def _following(wish: Structure, seed: int, people: People) -> tuple[Ints, Ints, Ints]:
    """Channels and their followers; three in four live in the channel's country or its neighbours by code."""
    rng, said = generator(seed, "communities", "following"), wish.following
    pool = np.flatnonzero(_private(people)[: people.settled] & (people.library[: people.settled] > 20))
    channels = rng.permutation(pool)[: said.channels].astype(np.int64)
    active = np.flatnonzero(people.rate > 0.1)
    if not len(channels) or not len(active):
        return _none(0), _none(0), np.zeros(1, np.int64)
    counts = np.minimum(median_counts(rng, said.followers, 0.8, len(channels)), len(active))
    fans, sizes = [], [0]
    for channel, wanted in zip(channels.tolist(), counts.tolist(), strict=True):
        near: Floats = np.where(people.home[active] == people.home[channel], 4.0, 1.0)
        near = near * np.where(active == channel, 0.0, 1.0)
        order = np.argsort(-np.log(1 - rng.random(len(active))) / np.maximum(near, 1e-9))  # weighted, without return
        chosen = active[order[:wanted]]
        fans.append(np.sort(chosen[chosen != channel]))
        sizes.append(len(fans[-1]))
    return channels, np.concatenate(fans).astype(np.int64), np.cumsum(sizes).astype(np.int64)


def _posts(scenario: Scenario, seed: int, channels: Ints) -> Rows:
    """What the channels publish, when: by day, of their own country or not."""
    rng, said = generator(seed, "communities", "posts"), scenario.structure.following
    counts = rng.poisson(said.posts_per_day * scenario.days, len(channels))
    channel, place = ragged(counts.astype(np.int64))
    day = rng.integers(0, max(scenario.days, 1), len(channel))
    time = scenario.start + day * DAY + ((7 + 14 * rng.random(len(channel))) * HOUR).astype(np.int64)
    order = np.argsort(time, kind="stable")
    channel, time, place = channel[order], time[order], place[order]
    owner = channels[channel]
    file = (owner << 24) | (OWN_FILES + place)
    return {"time": time, "link": POSTS + np.arange(len(time)), "owner": owner, "file": file, "channel": channel}


def _mornings(wish: Structure, people: People) -> Ints:
    """Teams of organisations that open files together, three members at least."""
    size = np.diff(people.group_start)
    first = people.member_order[np.minimum(people.group_start[:-1], len(people.member_order) - 1)]
    work = people.org[first] >= 0
    chosen = unit(np.arange(len(size)), 211) < wish.teams.morning_share
    return np.flatnonzero(work & chosen & (size >= 3)).astype(np.int64)


@dataclass
class GroupBook:
    """Who is in which group, as codes: (account, kind, group, attack, role) with places in the lists of words."""

    rows: list[tuple[int, str, str, str | None, str]] = field(default_factory=list)

    def add(self, kind: str, group: str, accounts: Ints, attack: str | None = None, role: str = "member") -> None:
        """The members of a group in one role."""
        assert kind in GROUP_KINDS
        assert role in ROLES
        self.rows += [(account, kind, group, attack, role) for account in accounts.tolist()]

    def takes_over(self, old: int, new: int, attack: str) -> None:
        """`new` stands in for `old` in the groups of an attack; `old` stays what it was."""
        self.rows += [(new, *row[1:]) for row in self.rows if row[0] == old and row[3] == attack]

    def by(self, kind: str, prefix: str, accounts: Ints, code: Ints, least: int = 2) -> None:
        """One group for each code that `least` of the accounts have; -1 is none."""
        order = np.argsort(code, kind="stable")
        values, first, counts = np.unique(code[order], return_index=True, return_counts=True)
        for value, at, count in zip(values.tolist(), first.tolist(), counts.tolist(), strict=True):
            if value >= 0 and count >= least:
                self.add(kind, f"{prefix}-{value & (1 << 40) - 1}", accounts[order[at : at + count]])


def honest_groups(people: People, communities: Communities, country: Ints, carriers: int) -> GroupBook:
    """All groups of honest people. `country`: of each account's home; `carriers`: in each country."""
    book, account = GroupBook(), np.arange(people.honest)
    one = communities
    book.by("benign_household", "home", account, people.household)
    book.by("benign_office", "office", account, people.org[: people.honest])
    book.by("benign_carrier", "carrier", account, country * carriers + people.carrier)
    for kind, prefix, code in (
        ("benign_family", "card", one.card),
        ("benign_couple", "phone", one.phone),
        ("benign_family", "back", one.recovery),
    ):
        book.by(kind, prefix, account, np.where((code >= _HOUSE) & (code < _RESELLER), code - _HOUSE, -1))
    paid = np.where(one.card >= _COMPANY, one.card - _COMPANY, -1)
    book.by("benign_company_card", "company", account, paid)
    book.by("benign_onboarding", "onboarding", account, people.batch)
    book.by("benign_campus", "campus", account, one.campus)
    for place in range(len(one.teacher)):
        some = one.students[one.class_start[place] : one.class_start[place + 1]]
        book.add("benign_class", f"class-{place}", some)
        book.add("benign_class", f"class-{place}", one.teacher[place : place + 1], role="teacher")
    for place in range(len(one.resellers)):
        book.add("benign_reseller", f"reseller-{place}", np.flatnonzero(one.reseller == place))
        book.add("benign_reseller", f"reseller-{place}", one.resellers[place : place + 1], role="reseller")
    for place in range(len(one.channels)):
        book.add("benign_following", f"channel-{place}", one.fans[one.fan_start[place] : one.fan_start[place + 1]])
        book.add("benign_following", f"channel-{place}", one.channels[place : place + 1], role="channel")
    for team in one.mornings.tolist():
        members = people.member_order[people.group_start[team] : people.group_start[team + 1]]
        book.add("benign_team", f"team-{team}", members)
    return book


def morning_leads(people: People, teams: Ints) -> Ints:
    """Whose files each team opens: its first member by code, who has been here longest."""
    leads = [int(people.member_order[people.group_start[t] : people.group_start[t + 1]].min()) for t in teams.tolist()]
    return np.array(leads, dtype=np.int64)


def class_minutes(meetings: int, classes: int, seed: int) -> Ints:
    """When each class meets, minutes into the week (Monday 0:00, local time), [classes, meetings]: on different
    weekdays, at a full hour or a quarter past, from eight to five."""
    code = np.arange(classes)[:, None] * 8 + np.arange(meetings)[None, :]
    first = (mix(np.arange(classes), seed * 8 + 212) % np.uint64(5)).astype(np.int64)[:, None]
    weekday = (first + np.arange(meetings)[None, :] * (2 if meetings <= 2 else 1)) % 5
    quarter = (mix(code, seed * 8 + 213) % np.uint64(37)).astype(np.int64)
    return weekday * 1440 + 480 + quarter * 15


__all__ = ["OWN_FILES", "POSTS", "Communities", "GroupBook", "build_communities", "class_minutes",
           "honest_groups", "morning_leads"]  # fmt: skip
