"""A world of logins alone: who logs in when, from which network, with which user agent; and the four attackers.

The simulator lives through whole days of a service; for the curves of Wiefling et al. (TOPS 2022) only logins count, a
year of them, with the variety of networks and user agents that a national service sees. The numbers stand in a YAML
file (`WorldFile`), which is what is calibrated; nothing here knows a detector.

An account has a home provider and city, a carrier, perhaps an office and a VPN, and one or more devices. A home's
address changes with its lease inside the provider's blocks of the city; a device's version rises with time, its model
and system stay. Attackers know what the papers say: naive nothing (any address of any country, a user agent that
people use these days); vpn the country (a hosting or VPN exit there); targeted the city, the browser and the device
(an address of any provider of that city, a user agent that people with that browser and system use these days); very
targeted the provider and the very user agent that the victim uses at the time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import yaml
from msgspec import Meta, Struct

from benchmarks.takeover_rows import Logins, counted

Ints = npt.NDArray[np.int64]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1, le=10**7)]
Positive = Annotated[float, Meta(gt=0, le=1e6)]
DAY, SECOND = 86_400_000_000, 1_000_000
SPAN = 1 << 30
"""More seconds than a world has, with a fortnight to spare."""
START = 1_735_689_600_000_000
FAMILIES = (  # family, system, class, weight
    ("Chrome", "Windows", "desktop", 26.0), ("Mobile Safari", "iOS", "mobile", 22.0),
    ("Chrome Mobile", "Android", "mobile", 14.0), ("Edge", "Windows", "desktop", 10.0),
    ("Safari", "Mac OS X", "desktop", 8.0), ("Chrome", "Mac OS X", "desktop", 6.0),
    ("Firefox", "Windows", "desktop", 5.0), ("Samsung Internet", "Android", "mobile", 4.0),
    ("Chrome", "Linux", "desktop", 2.0), ("Mobile Safari", "iPadOS", "tablet", 2.0),
    ("Firefox Mobile", "Android", "mobile", 1.0),
)  # fmt: skip
HOUR_WEIGHT = np.array([1, 0.5, 0.3, 0.2, 0.3, 1, 3, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 7, 8, 8, 7, 5, 2], dtype=float)
ATTACKERS = ("naive", "vpn", "targeted", "very_targeted")


class WorldFile(Struct, forbid_unknown_fields=True, frozen=True):
    """What a world file says. Shares are of accounts (`…_users`, `…_share` of places) or of logins (`…_logins`)."""

    format: Literal["shoal.login-world"]
    version: Literal[1]
    accounts: Count
    days: Annotated[int, Meta(ge=1, le=1000)]
    logins_median: Positive  # logins of an account in the whole span
    logins_sigma: Annotated[float, Meta(ge=0, le=3)]
    countries: Annotated[int, Meta(ge=1, le=1000)]
    main_country: Share  # accounts that live in the first
    country_skew: Annotated[float, Meta(ge=0, le=3)]  # exponent of the sizes of the others
    cities: Annotated[int, Meta(ge=1, le=250)]  # of a country
    providers: Annotated[int, Meta(ge=1, le=900)]  # home providers of a country
    provider_skew: Annotated[float, Meta(ge=0, le=3)]  # exponent of their sizes
    blocks: Annotated[int, Meta(ge=1, le=250)]  # /24s that a provider has in a city
    lease_days: Positive
    carriers: Annotated[int, Meta(ge=1, le=900)]
    carrier_addresses: Count
    mobile_share: Share  # logins over the carrier, mean over accounts
    work_share: Share  # accounts with an office
    work_logins: Share
    away_share: Share  # logins from elsewhere: a friend's, a hotel, a journey
    vpn_users: Share
    vpn_logins: Share
    vpn_addresses: Count  # exits of a country
    devices: Annotated[float, Meta(ge=1, le=4)]  # mean number at a time
    second_device: Share  # logins with another than the first device, of those who have one
    new_device_days: Positive  # mean life of a device
    families: Annotated[int, Meta(ge=1, le=11)]  # how many of FAMILIES are in use, from the commonest down
    models: Annotated[int, Meta(ge=1, le=4000)]  # of each family: models and builds of systems that strings tell apart
    version_days: Annotated[float, Meta(ge=1, le=3650)]  # from one version to the next
    builds: Annotated[int, Meta(ge=1, le=60)]  # sub-versions of a version
    kept_versions: Annotated[int, Meta(ge=1, le=3000)]  # versions that the others are at
    updates: Share  # devices that take new versions; the others keep one


def read_world(path: Path) -> WorldFile:
    """The numbers of a world file; msgspec's error for anything else."""
    return msgspec.convert(yaml.safe_load(path.read_text()), WorldFile)


def _zipf(rng: np.random.Generator, count: int, skew: float, size: int) -> Ints:
    weights = np.arange(1, count + 1, dtype=float) ** -skew
    return rng.choice(count, size, p=weights / weights.sum()).astype(np.int64)


class _Places:
    """Addresses as numbers: country, provider (kinds by range), city, block and host."""

    HOME, CARRIER, OFFICE, VPN = 0, 1000, 2000, 3000

    def __init__(self, world: WorldFile) -> None:
        self.world = world

    def home(self, rng: np.random.Generator, country: Ints, provider: Ints, city: Ints) -> Ints:
        """Any address of a provider in a city."""
        size = len(country)
        return self._address(
            country, provider, city, rng.integers(0, self.world.blocks, size), rng.integers(1, 255, size)
        )

    def leased(self, account: Ints, period: Ints, country: Ints, provider: Ints, city: Ints) -> Ints:
        """The address that an account's home holds in a lease: blocks change seldom, hosts always."""
        mixed = (account * 2_654_435_761 + period * 40_503) % 4_294_967_291
        block = (account * 7_919 + (mixed % 3)) % self.world.blocks
        return self._address(country, provider, city, block, 1 + mixed // 7 % 254)

    def carrier(self, rng: np.random.Generator, country: Ints, carrier: Ints) -> Ints:
        """An address of a carrier's NAT."""
        host = rng.integers(0, self.world.carrier_addresses, len(country))
        return self._address(country, self.CARRIER + carrier, 0 * country, host // 254, 1 + host % 254)

    def office(self, account: Ints, country: Ints, city: Ints) -> Ints:
        """The fixed address of an account's office: some accounts share one."""
        office = account // 6
        return self._address(country, self.OFFICE + office % 5, city, office // 5 % 200, 1 + office % 254)

    def vpn(self, rng: np.random.Generator, country: Ints) -> Ints:
        """An exit of a VPN or a server of a hosting company in a country."""
        host = rng.integers(0, self.world.vpn_addresses, len(country))
        return self._address(country, self.VPN + host % 7, 0 * country, host // 254, 1 + host % 254)

    def _address(self, country: Ints, provider: Ints, city: Ints, block: Ints, host: Ints) -> Ints:
        return (((country * 4096 + provider) * 256 + city) * 256 + block) * 256 + host


def _accounts(world: WorldFile, rng: np.random.Generator) -> dict[str, Ints]:
    size = world.accounts
    country = np.where(
        rng.random(size) < world.main_country, 0, 1 + _zipf(rng, max(world.countries - 1, 1), world.country_skew, size)
    )
    return {
        "country": country,
        "city": _zipf(rng, world.cities, 0.7, size),
        "provider": _zipf(rng, world.providers, world.provider_skew, size),
        "carrier": _zipf(rng, world.carriers, 0.5, size),
    }


def _honest(world: WorldFile, rng: np.random.Generator, who: dict[str, Ints]) -> dict[str, Ints]:
    """Accounts, times, addresses and devices of the honest logins."""
    size, places = world.accounts, _Places(world)
    rate = np.exp(rng.normal(np.log(world.logins_median), world.logins_sigma, size))
    account = np.repeat(np.arange(size), np.maximum(rng.poisson(rate), 2))
    day = rng.integers(0, world.days, len(account))
    hour = rng.choice(24, len(account), p=HOUR_WEIGHT / HOUR_WEIGHT.sum())
    time = START + day * DAY + hour * (DAY // 24) + rng.integers(0, DAY // 24, len(account))
    country, city = who["country"][account], who["city"][account]
    period = ((time - START) + (account * 1_000_003 % 997) * DAY // 10) // int(world.lease_days * DAY)
    address = places.leased(account, period, country, who["provider"][account], city)
    work = (rng.random(size) < world.work_share)[account] & (rng.random(len(account)) < world.work_logins)
    address = np.where(work, places.office(account, country, city), address)
    odds = rng.beta(0.6, 0.6 * (1 / max(world.mobile_share, 1e-6) - 1), size)[account]
    mobile = rng.random(len(account)) < odds
    address = np.where(mobile, places.carrier(rng, country, who["carrier"][account]), address)
    away = rng.random(len(account)) < world.away_share
    far = np.where(rng.random(len(account)) < 0.3, _zipf(rng, world.countries, 0.8, len(account)), country)
    other = places.home(rng, far, _zipf(rng, world.providers, world.provider_skew, len(account)),
                        _zipf(rng, world.cities, 0.7, len(account)))  # fmt: skip
    address = np.where(away, other, address)
    hidden = (rng.random(size) < world.vpn_users)[account] & (rng.random(len(account)) < world.vpn_logins)
    address = np.where(hidden, places.vpn(rng, country), address)
    more = rng.random(size) < world.devices - 1
    second = more[account] & (rng.random(len(account)) < world.second_device)
    life = int(world.new_device_days * DAY)
    slot = account * 2 + second
    generation = ((time - START) + (slot * 611_953 % 9973) * (life // 9973)) // life
    return {"account": account, "time": time, "address": address, "device": slot * 64 + generation, "kind": work * 1
            + mobile * 2 + hidden * 4 + away * 8}  # fmt: skip


def _agents(world: WorldFile, seed: int, device: Ints, time: Ints) -> Ints:
    """The user agent of each device at a time: family, model, version and build in one number."""
    known, place = np.unique(device, return_inverse=True)
    rng = np.random.default_rng([seed, 3])
    weights = np.array([row[3] for row in FAMILIES[: world.families]])
    family = rng.choice(len(weights), len(known), p=weights / weights.sum())
    model = _zipf(rng, world.models, 1.0, len(known))
    lag = rng.exponential(0.35 * world.version_days, len(known)) * DAY
    step = np.maximum(
        (time - START) + world.kept_versions * int(world.version_days * DAY) - lag[place].astype(np.int64), 0
    )
    version = step // int(world.version_days * DAY)
    kept = rng.integers(0, world.kept_versions, len(known))
    stays = rng.random(len(known)) >= world.updates
    version = np.where(stays[place], kept[place], version)
    step = np.where(stays[place], model[place] * 7_919 * DAY, step)
    build = step % int(world.version_days * DAY) * world.builds // int(world.version_days * DAY)
    found: Ints = ((family[place] * 4096 + model[place]) * 4096 + version) * 64 + build
    return found


def _similar(rng: np.random.Generator, pool: Ints, pool_time: Ints, key: Ints, pool_key: Ints, time: Ints) -> Ints:
    """For each moment a value that somebody with the same key (below 2^20) has within a fortnight of it."""
    order = np.lexsort((pool_time, pool_key))
    known = pool_key[order] * SPAN + (pool_time[order] - START) // SECOND
    since = (time - START) // SECOND
    low = np.searchsorted(known, key * SPAN + np.maximum(since - 14 * 86_400, 0))
    high = np.searchsorted(known, key * SPAN + since + 14 * 86_400)
    chosen = low + (rng.random(len(time)) * np.maximum(high - low, 1)).astype(np.int64)
    found: Ints = pool[order][np.minimum(chosen, len(order) - 1)]
    return found


def _probes(world: WorldFile, rng: np.random.Generator, who: dict[str, Ints], honest: dict[str, Ints], name: str
            ) -> dict[str, Ints]:  # fmt: skip
    """One attempt of an attacker on each account, a minute before one of its later logins."""
    places = _Places(world)
    order = np.lexsort((honest["time"], honest["account"]))
    account = honest["account"][order]
    first = np.searchsorted(account, np.arange(world.accounts))
    size = np.bincount(account, minlength=world.accounts)
    at = order[first + 1 + (rng.random(world.accounts) * (size - 1)).astype(np.int64)]
    victim, time = honest["account"][at], honest["time"][at] - 60_000_000
    country, city = who["country"][victim], who["city"][victim]
    pool = (honest["agent"], honest["time"])
    none = np.zeros(len(at), np.int64)
    if name == "naive":
        where = rng.integers(0, world.countries, len(at))
        provider = rng.integers(0, world.providers, len(at))
        address = places.home(rng, where, provider, rng.integers(0, world.cities, len(at)))
    elif name == "vpn":
        address = places.vpn(rng, country)
    elif name == "targeted":
        address = places.home(rng, country, rng.integers(0, world.providers, len(at)), city)
    else:
        address = places.home(rng, country, who["provider"][victim], city)
    if name in ("naive", "vpn"):
        agent = _similar(rng, *pool, none, np.zeros(len(pool[0]), np.int64), time)
    else:
        own = honest["agent"][at]
        agent = own if name == "very_targeted" else _similar(rng, *pool, own >> 30, pool[0] >> 30, time)
    return {"account": victim, "time": time, "address": address, "agent": agent,
            "device": np.full(len(at), 1 << 40) + np.arange(len(at)), "kind": none}  # fmt: skip


def make_logins(world: WorldFile, seed: int) -> Logins:
    """The world's honest logins and one probe of each attacker an account, by time."""
    rng = np.random.default_rng([seed, 1])
    who = _accounts(world, rng)
    honest = _honest(world, rng, who)
    honest["agent"] = _agents(world, seed, honest["device"], honest["time"])
    parts = [honest]
    for number, name in enumerate(ATTACKERS):
        parts.append(_probes(world, np.random.default_rng([seed, 10 + number]), who, honest, name))
    attacker = np.concatenate([np.full(len(part["time"]), number - 1) for number, part in enumerate(parts)])
    whole = {name: np.concatenate([part[name] for part in parts]) for name in honest}
    order = np.argsort(whole["time"], kind="stable")
    whole, attacker = {name: column[order] for name, column in whole.items()}, attacker[order]
    success = attacker < 0
    before, total = counted(whole["account"], success)
    return Logins(_table(whole, success), attacker, whole["account"], before, total, success)


def _texts(values: Ints, prefix: str) -> pa.Array:
    known, place = np.unique(values, return_inverse=True)
    return pa.array([f"{prefix}{value}" for value in known.tolist()]).take(pa.array(place))


def _table(rows: dict[str, Ints], success: npt.NDArray[np.bool_]) -> pa.Table:
    address, agent = rows["address"], rows["agent"]
    provider = address >> 24
    family = agent >> 30
    words = [pa.array([row[k] for row in FAMILIES]) for k in range(3)]
    version = agent >> 6
    return pa.table(
        {
            "event_id": _texts(np.arange(len(address)), "e"),
            "time": pa.array(rows["time"]),
            "type": pa.array(["login.attempted", "login.succeeded"]).take(pa.array(success.astype(np.int64))),
            "account": _texts(rows["account"], "u"),
            "device": _texts(rows["device"], "d"),
            "ip": _texts(address, "a"),
            "network": _texts(address >> 8, "n"),
            "asn": pa.array(provider),
            "country": _texts(provider // 4096, "c"),
            "user_agent": _texts(agent, "agent "),
            "ua_family": words[0].take(pa.array(family)),
            "ua_os": words[1].take(pa.array(family)),
            "ua_device": words[2].take(pa.array(family)),
            "ua_version": _texts(version % 4096, "v"),
        }
    )
