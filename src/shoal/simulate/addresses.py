"""The address plan: every address of the world, with its place, network and autonomous system.

All IPv4 space is 240.0.0.0/4 (reserved, RFC 1112) and all IPv6 space 3fff::/20 (documentation, RFC 9637), so nothing
here is anybody's; the autonomous system numbers are private ones (RFC 6996). Providers hold whole /24s, homes come over
IPv4 or a /48 of their own. The book is built once and does not change; the same seed gives the same book.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.simulate.catalogue import NETWORK_KINDS
from shoal.simulate.draws import Floats, Ints, generator, unit
from shoal.simulate.scenario import Scenario

SLOTS = 3
"""Addresses that a dynamic home moves between."""
_BASE = {"home": 240 << 24, "mobile": 248 << 24, "office": 250 << 24, "vpn": 251 << 24, "hosting": 252 << 24}
_ASN = {"home": 4_200_000_000, "mobile": 4_205_000_000, "vpn": 4_210_000_000, "hosting": 4_220_000_000}
_KIND = {kind: code for code, kind in enumerate(NETWORK_KINDS)}


@dataclass
class AddressBook:
    """Addresses by code 0..n-1, in arrays; and where each provider's begin."""

    text: pa.Array
    city: Ints
    asn: Ints
    kind: npt.NDArray[np.int8]
    lat: Floats
    lon: Floats
    country: Ints  # code into `countries`
    countries: tuple[str, ...]
    homes: Ints  # first address of each household; SLOTS of them each
    carriers: Ints  # [country, carrier] first address; 2 × `carrier_size` each, the second half for renumbering
    carrier_size: int
    offices: Ints  # first address of each organisation: 2 there, 2 where it may move to
    vpn: Ints  # all exit addresses, [provider, address]
    hosting: Ints  # [provider, address]
    residential: Ints  # addresses that homes may have, for visitors and proxy networks
    residential_v4: Ints
    campuses: Ints  # first address of each campus: its NAT addresses, then those of its dormitories


@dataclass
class _Builder:
    seed: int
    texts: list[str] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=lambda: {"city": [], "asn": [], "kind": [], "block": []})
    next_v4: dict[str, int] = field(default_factory=lambda: dict(_BASE))
    next_v6: int = 1
    count: int = 0

    def add(self, texts: list[str], city: Any, asn: Any, kind: str, block: Any) -> int:
        """Addresses of one kind; returns the code of the first."""
        first, size = self.count, len(texts)
        self.texts += texts
        for name, value in (("city", city), ("asn", asn), ("kind", _KIND[kind]), ("block", block)):
            self.columns[name].append(np.broadcast_to(np.asarray(value, dtype=np.int64), (size,)))
        self.count += size
        return first

    def v4(self, kind: str, hosts: Ints, city: Any, asn: Any) -> int:
        """Addresses at these offsets of a new run of whole /24s."""
        base = self.next_v4[kind]
        self.next_v4[kind] = base + ((int(hosts.max(initial=0)) >> 8) + 1 << 8)
        values = base + hosts
        texts = [f"{v >> 24}.{v >> 16 & 255}.{v >> 8 & 255}.{v & 255}" for v in values.tolist()]
        return self.add(texts, city, asn, kind, values >> 8)

    def v6(self, sites: int, city: Any, asn: Any) -> int:
        """SLOTS addresses in each of `sites` new /48s."""
        numbers = range(self.next_v6, self.next_v6 + sites)
        self.next_v6 += sites
        texts = [f"3fff:{n >> 16:x}:{n & 0xFFFF:x}:{s:x}::{s + 1:x}" for n in numbers for s in range(SLOTS)]
        return self.add(texts, city, asn, "home", -np.repeat(np.array(numbers, dtype=np.int64), SLOTS))


def build_addresses(
    scenario: Scenario, seed: int, household_city: Ints, organisation_city: Ints, countries: tuple[str, ...],
    campus_city: Ints,
) -> AddressBook:  # fmt: skip
    """The address plan for these households, organisations and campuses (their cities, as indices into
    `scenario.homes`)."""
    networks = scenario.networks
    rng = generator(seed, "addresses")
    book = _Builder(seed)
    city_country = np.array([countries.index(home.country) for home in scenario.homes], dtype=np.int64)
    homes = np.zeros(len(household_city), dtype=np.int64)
    isp = np.minimum(rng.geometric(0.45, len(household_city)) - 1, networks.isps_per_country - 1)
    six = rng.random(len(household_city)) < networks.ipv6_share
    group = (household_city * networks.isps_per_country + isp) * 2 + six
    order = np.argsort(group, kind="stable")
    edges = np.flatnonzero(np.diff(group[order], prepend=-1))
    for start, end in zip(edges, np.append(edges[1:], len(order)), strict=True):
        members = order[start:end]
        city, provider = int(household_city[members[0]]), int(isp[members[0]])
        asn = _ASN["home"] + int(city_country[city]) * 100 + provider
        slots = len(members) * SLOTS
        if six[members[0]]:
            first = book.v6(len(members), city, asn)
        else:  # the leases of a home lie anywhere in the provider's block of the city
            hosts = rng.permutation(slots + slots // 3 + 200)[:slots].astype(np.int64)
            first = book.v4("home", hosts + (hosts // 254) * 2 + 1, city, asn)
        homes[members] = first + np.arange(len(members)) * SLOTS
    residential = np.arange(book.count, dtype=np.int64)
    carriers = _carriers(scenario, book, city_country, len(countries))
    offices = _offices(book, organisation_city, city_country, rng)
    vpn, hosting = _rented(scenario, book, rng)
    campuses = _campuses(scenario, book, campus_city, city_country)
    columns: dict[str, Ints] = {name: np.concatenate(parts) for name, parts in book.columns.items()}
    place = columns["city"]
    spread = np.where(columns["kind"] == _KIND["mobile"], 0.0, 0.3)
    lat = np.array([home.lat for home in scenario.homes])[place] + (unit(columns["block"], 11) - 0.5) * spread
    lon = np.array([home.lon for home in scenario.homes])[place] + (unit(columns["block"], 12) - 0.5) * spread
    v4 = residential[columns["block"][: len(residential)] > 0]
    return AddressBook(
        text=pa.array(book.texts, pa.string()),
        city=place,
        asn=columns["asn"],
        kind=columns["kind"].astype(np.int8),
        lat=np.round(np.clip(lat, -90, 90), 4).astype(np.float64),
        lon=np.round(np.clip(lon, -180, 180), 4).astype(np.float64),
        country=city_country[place],
        countries=countries,
        homes=homes,
        carriers=carriers,
        carrier_size=networks.carrier_addresses,
        offices=offices,
        vpn=vpn,
        hosting=hosting,
        residential=residential,
        residential_v4=v4 if len(v4) else residential,
        campuses=campuses,
    )


def _carriers(scenario: Scenario, book: _Builder, city_country: Ints, countries: int) -> Ints:
    """Carriers put all their people behind few addresses, located at the country's first city."""
    networks = scenario.networks
    out = np.zeros((countries, networks.carriers_per_country), dtype=np.int64)
    for country in range(countries):
        gateway = int(np.flatnonzero(city_country == country)[0])
        for carrier in range(networks.carriers_per_country):
            asn = _ASN["mobile"] + country * 100 + carrier
            hosts = np.arange(networks.carrier_addresses, dtype=np.int64) + 10
            out[country, carrier] = book.v4("mobile", hosts, gateway, asn)
            book.v4("mobile", hosts, gateway, asn)  # the range to which a carrier may renumber: follows at once
    return out


def _offices(book: _Builder, organisation_city: Ints, city_country: Ints, rng: np.random.Generator) -> Ints:
    """Two addresses for each organisation, and two more with another provider, to which it may move."""
    size = len(organisation_city)
    if not size:
        return np.zeros(0, dtype=np.int64)
    city = np.repeat(organisation_city, 4)
    asn = _ASN["home"] + city_country[city] * 100 + 50 + np.tile([0, 0, 1, 1], size)
    place = rng.permutation(size).astype(np.int64)
    hosts = (place[:, None] * 4 + np.arange(2)[None, :]) + 8
    far = hosts + (size * 4 // 256 + 2) * 256
    return book.v4("office", np.concatenate([hosts, far], axis=1).ravel(), city, asn) + np.arange(size) * 4


def _campuses(scenario: Scenario, book: _Builder, campus_city: Ints, city_country: Ints) -> Ints:
    """The few addresses of each campus, and those of its dormitories, which count as homes."""
    said, out = scenario.structure.campuses, []
    for code, city in enumerate(campus_city.tolist()):
        asn = _ASN["home"] + int(city_country[city]) * 100 + 70 + code
        out.append(book.v4("office", np.arange(said.addresses, dtype=np.int64) + 20, city, asn))
        book.v4("home", np.arange(said.dormitory_addresses, dtype=np.int64) + 20, city, asn)  # follows at once
    return np.array(out, dtype=np.int64)


def _rented(scenario: Scenario, book: _Builder, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """VPN exits, spread over the cities, and hosting, each company in few cities."""
    networks, cities = scenario.networks, len(scenario.homes)
    weights = np.array([home.weight for home in scenario.homes])
    vpn, hosting = [], []
    for provider in range(networks.vpn.providers):
        size = networks.vpn.addresses
        where = rng.choice(cities, size, p=weights / weights.sum())
        hosts = np.arange(size, dtype=np.int64) * 4 + 5
        first = book.v4("vpn", hosts, where, _ASN["vpn"] + provider)
        vpn.append(first + np.arange(size))
    for company in range(networks.hosting_providers):
        size = networks.hosting_addresses
        where = rng.choice(cities, min(3, cities), replace=False)[(np.arange(size) // 64) % min(3, cities)]
        first = book.v4("hosting", np.arange(size, dtype=np.int64) + 4, where, _ASN["hosting"] + company)
        hosting.append(first + np.arange(size))
    return np.array(vpn, dtype=np.int64), np.array(hosting, dtype=np.int64)
