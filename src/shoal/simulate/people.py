"""The people: accounts with their homes, organisations, circles, devices, networks and habits, as arrays by code.

Honest accounts come first (those that exist at the start, then those that will sign up, in order of time), then names
that people mistype, then what adversaries add (`add`), so that an honest code never depends on an attack. `People` is
filled while a world is built and not changed afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from shoal.simulate.catalogue import CLIENTS, MAIL_DOMAINS, MAIL_WEIGHTS, VERSIONS
from shoal.simulate.draws import DAY, HOUR, Bools, Floats, Ints, generator, mix, pick, unit
from shoal.simulate.names import NameBook
from shoal.simulate.scenario import Scenario

if TYPE_CHECKING:
    from shoal.simulate.communities import Communities

DEVICES = 4
"""Device slots of an account."""
GENERATIONS = 1 << 10
"""Devices that may follow one another in one slot."""
FREE, PLUS, BUSINESS = 0, 1, 2
TIERS = ("free", "plus", "business")


@dataclass
class People:
    """Arrays by account code, [accounts] unless said otherwise."""

    seed: int
    honest: int  # codes below are honest people
    mistyped: tuple[int, int]  # codes of names that no account has
    created: Ints  # µs; of a name that no account has: -1
    home: Ints  # city
    org: Ints  # organisation, -1 none
    group: Ints  # team or circle
    tier: npt.NDArray[np.int8]
    verified: Bools
    mail: Ints  # domain of the e-mail address: code into the world's domains
    # honest accounts only, [honest]
    rate: Floats  # sessions on a working day
    mfa: npt.NDArray[np.int8]  # 0 none, else code of the method
    passkey: Bools
    sso: Bools
    works: Bools  # follows working hours
    household: Ints
    static: Bools
    carrier: Ints
    vpn: Ints  # provider, -1 none
    vpn_share: Floats
    api: Bools
    library: Ints  # files at the start
    devices: Ints  # number of device slots in use
    family: Ints  # [honest, DEVICES] client family of each slot
    # organisations and groups
    org_home: Ints
    org_size: Ints
    member_order: Ints  # accounts arranged by group
    group_start: Ints  # [groups + 1]
    domains: list[str]
    verified_share: float
    settled: int  # codes below this exist at the start
    batch: Ints  # [honest] the onboarding by which it came, -1 none
    naming: Ints = field(default_factory=lambda: np.zeros(0, np.int64))  # of adversaries' accounts, from `honest` on
    names: NameBook = field(default_factory=lambda: NameBook(0))
    communities: Communities = field(init=False)  # set once, right after the people are built

    @property
    def count(self) -> int:
        """All codes, names that no account has included."""
        return len(self.created)

    def add(self, created: Ints, home: Ints, mail: Ints | int, *, exists: bool = True, naming: Ints | int = -1) -> Ints:
        """Accounts of adversaries; `exists=False`: names only; `naming`: how they are called (`NameBook`, -1: as
        people are). Returns their codes."""
        size, first = len(created), self.count
        grow = {
            "created": created if exists else np.full(size, -1),
            "home": home,
            "org": np.full(size, -1),
            "group": np.full(size, -1),
            "tier": np.zeros(size, np.int8),
            "verified": (unit(np.arange(first, first + size), self.seed + 9) < self.verified_share) & exists,
            "mail": np.broadcast_to(np.asarray(mail, dtype=np.int64), (size,)),
            "naming": np.broadcast_to(np.asarray(naming, dtype=np.int64), (size,)),
        }
        for name, more in grow.items():
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, more.astype(old.dtype)]))
        return np.arange(first, first + size, dtype=np.int64)

    def shapes(self, account: int) -> tuple[str, str]:
        """The shapes of an account's e-mail address and name."""
        naming = int(self.naming[account - self.honest]) if account >= self.honest else -1
        return self.names.shapes(account, int(self.org[account]), naming)

    def domain(self, name: str) -> int:
        """The code of a mail domain, added if it is new."""
        if name not in self.domains:
            self.domains.append(name)
        return self.domains.index(name)

    def mates(self, rng: np.random.Generator, accounts: Ints) -> Ints:
        """Another member of each account's team or circle; the account itself where it is alone."""
        group = self.group[accounts]
        start, size = self.group_start[group], self.group_start[group + 1] - self.group_start[group]
        return self.member_order[start + (rng.random(len(accounts)) * size).astype(np.int64)]


def _sizes(total: int, draw: npt.NDArray[np.int64]) -> Ints:
    """Group sizes that cover `total`: as many of `draw` as are needed."""
    ends = np.cumsum(draw)
    last = int(np.searchsorted(ends, total))
    sizes = draw[: last + 1].copy()
    if len(sizes):
        sizes[-1] -= int(ends[last]) - total
    return sizes[sizes > 0].astype(np.int64)


def signup_times(scenario: Scenario, seed: int) -> Ints:
    """When honest people sign up, µs, in order: by the rhythm of the hour, more after press articles."""
    out = []
    rhythm = np.array(scenario.activity.rhythm_private)
    for day in range(scenario.days):
        rng = generator(seed, "signups", day)
        factor = np.ones(24)
        for happening in scenario.calendar:
            if happening.kind in ("press", "product_launch", "referral_campaign"):
                hours = day * 24 + np.arange(24)
                inside = (hours >= happening.day * 24) & (hours < (happening.day + happening.days) * 24)
                factor[inside] *= happening.factor
        # rhythm of UTC: the mean over cities is flat enough; the press factor is kept by hour
        hourly = scenario.population.signups_per_day * (0.5 / 24 + 0.5 * rhythm / rhythm.sum()) * factor
        counts = rng.poisson(hourly)
        hours = np.repeat(np.arange(24), counts)
        moments = scenario.start + day * DAY + ((hours + rng.random(len(hours))) * HOUR).astype(np.int64)
        out.append(np.sort(moments))
    return np.concatenate(out) if out else np.zeros(0, dtype=np.int64)


def _onboardings(scenario: Scenario, seed: int) -> tuple[Ints, Ints]:
    """When new colleagues sign up together, µs, and with which onboarding: within an hour of a working day."""
    said, rng = scenario.structure.onboardings, generator(seed, "onboardings")
    days = np.arange(scenario.days)
    working = days[((scenario.start // DAY + days + 3) % 7 < 5) & (days > 0)]
    if not said.count or not len(working):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    sizes = 2 + rng.poisson(max(said.size - 2, 0), said.count)
    which = np.repeat(np.arange(said.count), sizes)
    begin = scenario.start + rng.choice(working, said.count) * DAY
    begin = begin + ((13 + 2 * rng.random(said.count)) * HOUR).astype(np.int64)
    return begin[which] + (rng.random(len(which)) * said.spread_min * 60e6).astype(np.int64), which


def _newcomers(scenario: Scenario, seed: int) -> tuple[Ints, Ints]:
    """When honest people sign up, µs, in order; and by which onboarding, -1 none."""
    new = signup_times(scenario, seed)
    together, onboarding = _onboardings(scenario, seed)
    onboarding = np.concatenate([np.full(len(new), -1), onboarding])
    new = np.concatenate([new, together])
    order = np.argsort(new, kind="stable")
    return new[order], onboarding[order].astype(np.int64)


def _onboarded(scenario: Scenario, seed: int, org: Ints, organisations: int, onboarding: Ints) -> tuple[Ints, Ints]:
    """The organisation of each account, and the onboarding by which it came; `onboarding` is of the new accounts."""
    batch = np.full(len(org), -1, dtype=np.int64)
    if organisations and (onboarding >= 0).any():
        batch[len(org) - len(onboarding) :] = onboarding
        count = scenario.structure.onboardings.count
        chosen = generator(seed, "onboarding organisations").integers(0, organisations, count)
        org = np.where(batch >= 0, chosen[batch], org)
    return org, batch


def build_people(scenario: Scenario, seed: int) -> People:
    """All honest people of the world."""
    population, rng = scenario.population, generator(seed, "people")
    new, onboarding = _newcomers(scenario, seed)
    settled, total = population.accounts, population.accounts + len(new)
    age = np.exp(rng.normal(np.log(population.age_days_median), 1.0, settled))
    created = np.concatenate([scenario.start - ((np.maximum(age, 0.1) % 6000) * DAY).astype(np.int64), new])
    org, org_size = _organisations(scenario, rng, settled, total)
    org, batch = _onboarded(scenario, seed, org, len(org_size), onboarding)
    org_home = pick(rng, [h.weight for h in scenario.homes], len(org_size))
    home = pick(rng, [h.weight for h in scenario.homes], total)
    member = org >= 0
    away = rng.random(total) < 0.08  # members who live elsewhere
    home = np.where(member & ~away, org_home[org] if len(org_home) else home, home)
    near = member & (home == org_home[org]) if len(org_home) else member  # who lives elsewhere does not commute
    group = _groups(scenario, rng, org, home)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(int(group.max()) + 2))
    org_sso = rng.random(len(org_size)) < population.organisations.sso_share
    org_vpn = rng.random(len(org_size)) < population.organisations.vpn_share
    none = np.zeros(total, bool)
    sso = member & org_sso[org] if len(org_size) else none
    over_vpn = member & org_vpn[org] if len(org_size) else none
    private_vpn = rng.random(total) < scenario.networks.vpn.user_share
    uses = over_vpn | private_vpn
    dormant = rng.random(total) < population.dormant_share
    sigma = scenario.activity.sessions_sigma
    rate = np.exp(rng.normal(-sigma * sigma / 2, sigma, total))
    rate *= scenario.activity.sessions_per_day / (1 - 0.98 * population.dormant_share)
    devices = 1 + rng.binomial(DEVICES - 1, 0.4, total)
    household = _households(rng, total, home, member, population.household_share)
    chosen = np.where(rng.random(total) < 0.75, 4, 5)  # totp, push
    mails = pick(rng, MAIL_WEIGHTS, total)
    domains = [*MAIL_DOMAINS, *(f"org{int(w % 10**7):07d}.example" for w in mix(np.arange(len(org_size)), seed + 77))]
    people = People(
        seed=seed,
        honest=total,
        mistyped=(0, 0),
        created=created,
        home=home,
        org=org,
        group=group,
        tier=np.where(member, BUSINESS, np.where(rng.random(total) < population.plus_share, PLUS, FREE)).astype(
            np.int8
        ),
        verified=(rng.random(total) < population.verified_share) | member,
        mail=np.where(member, len(MAIL_DOMAINS) + org, mails),
        rate=np.where(dormant, rate * 0.02, rate),
        mfa=np.where(rng.random(total) < population.mfa_share, chosen, 0).astype(np.int8),
        passkey=rng.random(total) < population.passkey_share,
        sso=sso,
        works=near & (rng.random(total) < 0.92),
        household=household,
        static=unit(household, seed + 5) < scenario.networks.static_share,
        carrier=rng.integers(0, scenario.networks.carriers_per_country, total),
        vpn=np.where(uses, rng.integers(0, scenario.networks.vpn.providers, total), -1),
        vpn_share=np.where(uses, scenario.networks.vpn.session_share, 0.0),
        api=rng.random(total) < scenario.networks.api_hosting_share,
        library=np.clip(np.exp(rng.normal(np.log(250), 1.3, total)), 5, 200_000).astype(np.int64),
        devices=devices,
        family=_families(rng, total),
        org_home=org_home,
        org_size=org_size,
        member_order=order.astype(np.int64),
        group_start=starts.astype(np.int64),
        domains=domains,
        verified_share=population.verified_share,
        settled=settled,
        names=NameBook(seed),
        batch=batch,
    )
    people.library[settled:] = 0
    _telephones(scenario, people)
    names = people.add(np.zeros(max(20, settled // 20), np.int64), home[: max(20, settled // 20)], 0, exists=False)
    people.mistyped = (int(names[0]), int(names[-1]) + 1)
    return people


def _telephones(scenario: Scenario, people: People) -> None:
    """Sign-ups after an article that was read on the way: the first device is a telephone."""
    phones = np.flatnonzero([c.phone for c in CLIENTS])
    for happening in scenario.calendar:
        if happening.kind == "press" and happening.mobile > 0:
            start = scenario.start + int(happening.day * DAY)
            new = (people.created >= start) & (people.created < start + int(happening.days * DAY))
            code = np.flatnonzero(new & (unit(np.arange(people.honest), 41) < happening.mobile))
            people.family[code, 0] = phones[(mix(code, 42) % np.uint64(len(phones))).astype(np.int64)]


def _organisations(scenario: Scenario, rng: np.random.Generator, settled: int, total: int) -> tuple[Ints, Ints]:
    """The organisation of each account, -1 none; and their sizes at the start, from the largest down."""
    wish = scenario.population.organisations
    members = int(settled * wish.share)
    drawn = np.exp(rng.normal(np.log(wish.size_median), wish.size_sigma, max(members // 2, 1) + 1))
    sizes = np.sort(_sizes(members, np.clip(drawn, 2, max(settled // 4, 2)).astype(np.int64)))[::-1]
    org = np.full(total, -1, dtype=np.int64)
    org[rng.permutation(settled)[:members]] = np.repeat(np.arange(len(sizes)), sizes)
    if len(sizes):  # new colleagues: in proportion to the size
        joins = rng.random(total - settled) < wish.share * 0.5
        org[settled:] = np.where(joins, pick(rng, sizes, total - settled), -1)
    return org, sizes.astype(np.int64)


def _groups(scenario: Scenario, rng: np.random.Generator, org: Ints, home: Ints) -> Ints:
    """Teams of about eight inside organisations; circles, mostly of one city, among private persons."""
    group = np.zeros(len(org), dtype=np.int64)
    at = 0
    teams = np.flatnonzero(org >= 0)
    if len(teams):
        arranged = teams[np.lexsort((rng.random(len(teams)), org[teams]))]
        place = np.arange(len(arranged)) - np.searchsorted(org[arranged], org[arranged])
        pairs = org[arranged] * 100_000 + place // 8
        group[arranged] = np.unique(pairs, return_inverse=True)[1]
        at = int(group.max()) + 1
    private = np.flatnonzero(org < 0)
    if len(private):
        near = np.where(rng.random(len(private)) < 0.8, home[private], rng.integers(0, 1 << 20, len(private)))
        arranged = private[np.lexsort((rng.random(len(private)), near))]
        drawn = 1 + rng.poisson(scenario.population.circle_size - 1, len(private) + 1)
        sizes = _sizes(len(private), drawn.astype(np.int64))
        group[arranged] = at + np.repeat(np.arange(len(sizes)), sizes)
    return group


def _households(rng: np.random.Generator, total: int, home: Ints, member: Bools, shared: float) -> Ints:
    """Who lives on the same home network: mostly nobody, else two or three of one city."""
    household = np.arange(total, dtype=np.int64)
    joins = np.flatnonzero((rng.random(total) < shared) & ~member)
    arranged = joins[np.lexsort((rng.random(len(joins)), home[joins]))]
    same = home[arranged[1:]] == home[arranged[:-1]]
    joined = same & (rng.random(len(same)) < 0.65)
    leader = np.arange(len(arranged))
    leader[1:][joined] = -1
    leader = np.maximum.accumulate(leader)
    household[arranged] = arranged[leader]
    return np.unique(household, return_inverse=True)[1].astype(np.int64)


def _families(rng: np.random.Generator, total: int) -> Ints:
    """A client family for each device slot: a computer first, then a phone, then anything."""
    weights = np.array([c.weight for c in CLIENTS])
    phone = np.array([c.phone for c in CLIENTS])
    api = np.array([c.client == "api" for c in CLIENTS])
    out = np.empty((total, DEVICES), dtype=np.int64)
    for slot in range(DEVICES):
        computer = weights * ~phone * ~api
        if slot == 1:
            out[:, slot] = pick(rng, weights * phone, total)
        elif slot == 0:
            out[:, slot] = np.where(
                rng.random(total) < 0.8, pick(rng, computer, total), pick(rng, weights * phone, total)
            )
        else:
            out[:, slot] = pick(rng, weights * ~api, total)
    return out


def device_code(account: Ints, slot: Ints, generation: Ints) -> Ints:
    """The code of a person's device."""
    return (account * DEVICES + slot) * GENERATIONS + generation


def agent_code(family: Ints, device: Ints, start: int, time: Ints) -> Ints:
    """The user agent: a family at its version of that day. Most devices update; each is a little behind its family."""
    lag = unit(device, 21)
    step = np.clip((time - start) // DAY + (lag * 28).astype(np.int64), 0, None) // 28
    behind = np.where(unit(device, 22) < 0.12, 0, 2)
    return family * VERSIONS + np.clip(behind + step, 0, VERSIONS - 1)
