"""Where people are: from which address and with which device somebody acts at a moment.

Homes have leases, phones are behind their carrier, members of organisations sit in the office during the day, some come
over a VPN, travellers sit elsewhere. `Presence` holds the journeys and the moves of one run through the world; it is
owned by `HonestWorld` and made anew for every run. Adversaries ask `home_address` to come near a victim.
"""

from __future__ import annotations

import numpy as np

from shoal.simulate.addresses import SLOTS, AddressBook
from shoal.simulate.catalogue import CLIENTS, SCRIPT_CLIENT
from shoal.simulate.draws import DAY, HOUR, Bools, Ints, mix, unit
from shoal.simulate.people import People
from shoal.simulate.scenario import Scenario

PHONE = np.array([client.phone for client in CLIENTS])
API = np.array([client.client == "api" for client in CLIENTS])


def by_city(book: AddressBook, cities: int) -> tuple[Ints, Ints]:
    """Residential addresses arranged by city, and where each city's begin."""
    city = book.city[book.residential]
    order = np.argsort(city, kind="stable")
    return book.residential[order], np.searchsorted(city[order], np.arange(cities + 1)).astype(np.int64)


class Presence:
    """Addresses of people in time."""

    def __init__(self, scenario: Scenario, people: People, book: AddressBook) -> None:
        self.scenario, self.people, self.book = scenario, people, book
        self.travel_city = np.full(people.honest, -1, dtype=np.int64)
        self.travel_until = np.zeros(people.honest, dtype=np.int64)
        self.moved_at = np.full(max(len(people.org_size), 1), np.iinfo(np.int64).max)
        self.renumbered_at = np.full(len(book.countries), np.iinfo(np.int64).max)
        self.offset = np.array([int(h.utc_offset_h * HOUR) for h in scenario.homes], dtype=np.int64)
        self.local, self.local_start = by_city(book, len(scenario.homes))
        self.city_country = book_country(book, scenario, np.arange(len(scenario.homes)))
        self.renumberings: list[tuple[int, str]] = []
        self.moved_to, self.house_country = self._other_houses()
        self.computer_of = self._computers()
        self.communities = people.communities
        self.studies = bool((self.communities.campus >= 0).any())
        for happening in scenario.calendar:
            moment = scenario.start + int(happening.day * DAY)
            if happening.kind == "office_move" and len(people.org_size):
                self.moved_at[min(happening.organisation, len(people.org_size) - 1)] = moment
            if happening.kind == "carrier_renumbering":
                chosen = [c for c in range(len(book.countries)) if happening.country in ("", book.countries[c])]
                self.renumbered_at[chosen] = moment
            if happening.kind == "provider_renumbering":
                self.renumberings.append((moment, happening.country))

    def renumbers(self, country: Ints, where: str) -> Bools:
        """Which of these countries a renumbering concerns."""
        found: Bools = np.full(len(country), True) if not where else country == self.book.countries.index(where)
        return found

    def _other_houses(self) -> tuple[Ints, Ints]:
        """For each household the one whose addresses it gets when its provider renumbers: of the same provider and
        city, half of them further on, so in another prefix where there is one; and its country."""
        book = self.book
        first = book.homes
        key = book.city[first] * (1 << 40) + book.asn[first]
        order = np.lexsort((np.arange(len(first)), key))
        arranged = key[order]
        start = np.searchsorted(arranged, arranged, side="left")
        size = np.searchsorted(arranged, arranged, side="right") - start
        place = np.arange(len(first)) - start
        target = np.empty(len(first), dtype=np.int64)
        target[order] = order[start + (place + size // 2) % np.maximum(size, 1)]
        return target, book.country[first]

    def _computers(self) -> Ints:
        """Whose computer each account uses: its own, or that of the first member of its household."""
        people, share = self.people, self.scenario.population.shared_device_share
        own = np.arange(people.honest)
        if share <= 0:
            return own
        members = np.flatnonzero(unit(people.household, 38) < share)
        houses, first = np.unique(people.household[members], return_index=True)
        own[members] = members[first[np.searchsorted(houses, people.household[members])]]
        return own

    def home_address(self, account: Ints, time: Ints) -> Ints:
        """The address of each account's home at that time: fixed, or one of its leases."""
        people, book = self.people, self.book
        lease = int(self.scenario.networks.lease_days * DAY)
        house = people.household[account]
        phase = (unit(house, 31) * lease).astype(np.int64)
        period = (time + phase) // lease
        slot = (mix(house * 100_003 + period, 32) % np.uint64(SLOTS)).astype(np.int64)
        for moment, where in self.renumberings:
            moved = (time >= moment) & self.renumbers(self.house_country[house], where)
            house = np.where(moved, self.moved_to[house], house)
        out: Ints = book.homes[house] + np.where(people.static[account], 0, slot)
        if self.studies:
            said, one = self.scenario.structure.campuses, self.communities
            door = (mix(account, 38) % np.uint64(said.dormitory_addresses)).astype(np.int64)
            rooms = book.campuses[np.maximum(one.campus[account], 0)] + said.addresses + door
            out = np.where(one.dormitory[account], rooms, out)
        return out

    def campus_address(self, account: Ints, time: Ints) -> Ints:
        """One of the NAT addresses of each student's campus; it stays for a day."""
        said = self.scenario.structure.campuses
        place = (mix(account * 1009 + time // DAY, 39) % np.uint64(said.addresses)).astype(np.int64)
        return self.book.campuses[np.maximum(self.communities.campus[account], 0)] + place

    def on_campus(self, account: Ints, time: Ints) -> Bools:
        """Whose place it is to be on a campus at that time: students, by day, on weekdays, unless they travel."""
        student = self.communities.campus[account] >= 0
        local = time + self.offset[self.people.home[account]]
        return student & is_weekday(local) & _between(local, 8, 18) & (self.travel_until[account] <= time)

    def carrier_address(self, rng: np.random.Generator, account: Ints, time: Ints) -> Ints:
        """One of the NAT addresses of the account's carrier; it tends to stay for some hours."""
        people, book = self.people, self.book
        country = book_country(book, self.scenario, people.home[account])
        sticky = mix(account * 1009 + time // (8 * HOUR), 33)
        drawn = np.where(rng.random(len(account)) < 0.75, sticky, mix(rng.integers(0, 1 << 62, len(account))))
        place = (drawn % np.uint64(book.carrier_size)).astype(np.int64)
        moved = np.where(time >= self.renumbered_at[country], book.carrier_size, 0)
        return book.carriers[country, people.carrier[account]] + place + moved

    def city_address(self, rng: np.random.Generator, city: Ints) -> Ints:
        """Some residential address of a city (a hotel, a friend, a proxy); of anywhere where nobody lives there."""
        start, size = self.local_start[city], self.local_start[city + 1] - self.local_start[city]
        inside = self.local[np.minimum(start + (rng.random(len(city)) * size).astype(np.int64), len(self.local) - 1)]
        anywhere = self.local[rng.integers(0, len(self.local), len(city))]
        return np.where(size > 0, inside, anywhere)

    def vpn_address(self, rng: np.random.Generator, account: Ints) -> Ints:
        """An exit of the account's VPN: mostly a favourite one."""
        exits = self.book.vpn.shape[1]
        favourite = (mix(account, 34) % np.uint64(exits)).astype(np.int64)
        place = np.where(rng.random(len(account)) < 0.7, favourite, rng.integers(0, exits, len(account)))
        return self.book.vpn[np.maximum(self.people.vpn[account], 0), place]

    def address(self, rng: np.random.Generator, account: Ints, time: Ints, family: Ints) -> Ints:
        """From where each account acts at that time with a client of that family."""
        people, book, size = self.people, self.book, len(account)
        phone, program = PHONE[family], API[family]
        travels = self.travel_until[account] > time
        out = self.home_address(account, time)
        city = np.where(travels, self.travel_city[account], people.home[account])
        out = np.where(travels, self.city_address(rng, city), out)
        local = time + self.offset[city]
        working = people.works[account] & is_weekday(local) & _between(local, 7, 19) & ~travels
        at_work = working & (rng.random(size) < np.where(phone, 0.45, 0.85))
        if len(book.offices):
            org = np.maximum(people.org[account], 0)
            place = (mix(account, 35) & np.uint64(1)).astype(np.int64)
            office = book.offices[org] + place + np.where(time >= self.moved_at[org], 2, 0)
            out = np.where(at_work, office, out)
        if self.studies:
            there = self.on_campus(account, time) & (rng.random(size) < self.scenario.structure.campuses.on_campus)
            out = np.where(there, self.campus_address(account, time), out)
            at_work = at_work | there
        odds = np.where(phone, min(1.0, self.scenario.networks.mobile_share * 2), 0.03)
        on_carrier = ~at_work & (rng.random(size) < odds)
        out = np.where(on_carrier, self.carrier_address(rng, account, time), out)
        hidden = ~on_carrier & (rng.random(size) < people.vpn_share[account])
        out = np.where(hidden, self.vpn_address(rng, account), out)
        if program.any():
            server = (mix(account, 36) % np.uint64(book.hosting.size)).astype(np.int64)
            out = np.where(program & people.api[account], book.hosting.ravel()[server], out)
        return out


def book_country(book: AddressBook, scenario: Scenario, city: Ints) -> Ints:
    """The country code of a city."""
    return np.array([book.countries.index(home.country) for home in scenario.homes], dtype=np.int64)[city]


def is_weekday(local: Ints) -> Bools:
    """Whether a local time is from Monday to Friday (1970-01-01 was a Thursday)."""
    return (local // DAY + 3) % 7 < 5


def _between(local: Ints, first: int, last: int) -> Bools:
    hour = local % DAY // HOUR
    return (hour >= first) & (hour < last)


def program_family(account: Ints) -> Ints:
    """The family of an honest person's own program."""
    return SCRIPT_CLIENT + (mix(account, 37) & np.uint64(1)).astype(np.int64)
