# ruff: noqa: RUF009
"""What a scenario file may say: frozen dataclasses whose fields carry their range and their meaning.

The reader (`read.py`) and the reference in docs/simulator.md are made from these; a knob is added here and nowhere
else. Shares are in [0, 1]; days count from the scenario's start and may be fractions. Version 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shoal.simulate.scenario.expect import Expectations
from shoal.simulate.scenario.knobs import fraction as fraction
from shoal.simulate.scenario.knobs import knob as knob
from shoal.simulate.scenario.reactions import Reactions
from shoal.simulate.scenario.structure import Structure

SCENARIO_VERSION = 1


@dataclass(frozen=True)
class Organisations:
    """Organisations: their members work together, from the same office network."""

    share: float = fraction(0.45, "share of accounts that belong to one")
    size_median: float = knob(18.0, "median number of members", 2, 100_000)
    size_sigma: float = knob(0.9, "spread of the size (of its logarithm)", 0, 3)
    sso_share: float = fraction(0.3, "share of organisations that log in by SSO (no passwords, no failures)")
    vpn_share: float = fraction(0.15, "share of organisations whose members often come over a VPN")


@dataclass(frozen=True)
class Population:
    """Who uses the service."""

    accounts: int = knob(20_000, "accounts that exist at the start", 20, 5_000_000)
    signups_per_day: float = knob(60.0, "new honest accounts a day", 0, 1_000_000)
    organisations: Organisations = knob(Organisations, "organisations")
    circle_size: float = knob(6.0, "mean size of the circles (family, friends, club) of private persons", 2, 200)
    household_share: float = fraction(0.3, "share of private persons who share a home network with another account")
    shared_device_share: float = fraction(
        0.0, "share of households whose members use one computer with several accounts"
    )
    plus_share: float = fraction(0.25, "share of private persons on the paid plan")
    verified_share: float = fraction(0.8, "share of accounts with a verified address")
    mfa_share: float = fraction(0.25, "share of accounts with a second factor")
    passkey_share: float = fraction(0.1, "share of accounts that log in by passkey")
    dormant_share: float = fraction(0.15, "share of accounts that almost never come")
    age_days_median: float = knob(500.0, "median age of the accounts at the start", 1, 10_000)


@dataclass(frozen=True)
class Home:
    """A city where people live."""

    country: str = knob("", "ISO 3166-1 alpha-2", required=True, pattern=r"[A-Z]{2}")
    city: str = knob("", "name, for the reader", required=True)
    lat: float = knob(0.0, "latitude, degrees", -90, 90, required=True)
    lon: float = knob(0.0, "longitude, degrees", -180, 180, required=True)
    utc_offset_h: float = knob(0.0, "local time less UTC, hours", -12, 14, required=True)
    weight: float = knob(1.0, "relative number of people", 0.000001, 1e9)


def _homes() -> tuple[Home, ...]:
    return (
        Home("DE", "Hamburg", 53.55, 9.99, 1.0, 3.0),
        Home("DE", "Leipzig", 51.34, 12.37, 1.0, 2.0),
        Home("FR", "Lyon", 45.76, 4.84, 1.0, 3.0),
        Home("GB", "Leeds", 53.8, -1.55, 0.0, 4.0),
        Home("IE", "Cork", 51.9, -8.47, 0.0, 1.0),
        Home("US", "Columbus", 39.96, -83.0, -5.0, 6.0),
        Home("US", "Portland", 45.52, -122.68, -8.0, 5.0),
        Home("CA", "Toronto", 43.65, -79.38, -5.0, 2.0),
        Home("BR", "Recife", -8.05, -34.88, -3.0, 2.0),
        Home("IN", "Pune", 18.52, 73.86, 5.5, 3.0),
        Home("JP", "Sapporo", 43.06, 141.35, 9.0, 2.0),
        Home("AU", "Perth", -31.95, 115.86, 8.0, 1.0),
        Home("PL", "Poznan", 52.41, 16.93, 1.0, 1.0),
        Home("NG", "Lagos", 6.52, 3.38, 1.0, 1.0),
    )


@dataclass(frozen=True)
class Vpn:
    """Commercial VPNs."""

    providers: int = knob(3, "number of providers", 1, 50)
    addresses: int = knob(24, "exit addresses of each provider", 1, 4096)
    user_share: float = fraction(0.06, "share of accounts that use one")
    session_share: float = fraction(0.5, "share of such an account's sessions that come over it")


@dataclass(frozen=True)
class Networks:
    """The address plan."""

    isps_per_country: int = knob(3, "home providers in each country", 1, 50)
    lease_days: float = knob(6.0, "days after which a dynamic home address changes", 0.25, 3650)
    static_share: float = fraction(0.4, "share of homes whose address stays")
    ipv6_share: float = fraction(0.2, "share of homes that come over IPv6")
    carriers_per_country: int = knob(2, "mobile carriers in each country", 1, 20)
    carrier_addresses: int = knob(12, "NAT addresses of each carrier (many people behind each)", 1, 4096)
    mobile_share: float = fraction(0.3, "share of sessions over the carrier, for those who have a phone")
    vpn: Vpn = knob(Vpn, "commercial VPNs")
    hosting_providers: int = knob(4, "hosting companies", 1, 50)
    hosting_addresses: int = knob(1024, "addresses of each hosting company", 16, 16_384)
    api_hosting_share: float = fraction(
        0.01, "share of accounts with an honest program of their own on a hosted server"
    )


@dataclass(frozen=True)
class Activity:
    """How much people do, and when."""

    sessions_per_day: float = knob(1.2, "mean sessions of an account on a working day", 0.001, 200)
    sessions_sigma: float = knob(1.0, "spread between accounts (of the logarithm): the heavy tail", 0, 3)
    actions_per_session: float = knob(4.0, "mean actions in a session", 0, 500)
    actions_sigma: float = knob(1.1, "spread between sessions (of the logarithm)", 0, 3)
    login_share: float = fraction(0.3, "share of sessions that begin with a login; the others use a kept token")
    weekend_private: float = knob(0.9, "factor on private sessions at weekends", 0, 10)
    weekend_work: float = knob(0.15, "factor on work sessions at weekends", 0, 10)
    rhythm_private: tuple[float, ...] = knob(
        (2, 1, 0.6, 0.4, 0.4, 0.8, 2, 4, 5, 5, 5, 5.5, 6, 5.5, 5, 5, 5.5, 7, 8.5, 10, 11, 10, 7, 4),
        "relative activity by local hour, private persons", 0, 1e6, length=24,
    )  # fmt: skip
    rhythm_work: tuple[float, ...] = knob(
        (0.3, 0.2, 0.1, 0.1, 0.2, 0.5, 2, 5, 9, 11, 11, 10, 6, 8, 10, 10, 9, 7, 3.5, 2, 1.8, 1.5, 1, 0.6),
        "relative activity by local hour, members of organisations", 0, 1e6, length=24,
    )  # fmt: skip
    uploads: float = knob(1.5, "relative frequency of uploads among actions", 0, 1e6)
    downloads: float = knob(4.0, "… of downloads", 0, 1e6)
    modifies: float = knob(3.0, "… of modifications", 0, 1e6)
    renames: float = knob(0.35, "… of renames", 0, 1e6)
    deletes: float = knob(0.5, "… of deletions", 0, 1e6)
    shares: float = knob(0.12, "… of folder shares", 0, 1e6)
    invites: float = knob(0.05, "… of invitations by e-mail", 0, 1e6)
    links: float = knob(0.25, "… of links created", 0, 1e6)
    shared_files: float = fraction(0.25, "share of file actions on files of the social group")
    outside_shares: float = fraction(0.12, "share of folder shares that go outside the organisation or circle")
    entropy_share: float = fraction(
        0.0, "share of desktop clients that state the entropy of what they upload (`attributes.entropy`)"
    )


@dataclass(frozen=True)
class Failures:
    """Honest failures at the login."""

    typo: float = fraction(0.07, "odds of a mistyped password per password login (then tried again)")
    forgotten: float = fraction(0.008, "odds of a forgotten password per password login (failures, then a reset)")
    gives_up: float = fraction(0.01, "odds that a person fails and goes away")
    wrong_name: float = fraction(0.006, "odds of a mistyped account name")
    challenge_share: float = fraction(0.35, "share of logins of accounts with a second factor that are challenged")
    challenge_new_device: float = fraction(0.5, "share of other logins from a new device that are challenged by e-mail")
    challenge_failed: float = fraction(0.04, "share of honest challenges that fail once")
    challenge_abandoned: float = fraction(0.04, "share of honest challenges given up, and passed at a later try")


@dataclass(frozen=True)
class Links:
    """What happens to shared links."""

    visits_mean: float = knob(5.0, "mean visits of a link", 0, 10_000)
    visits_sigma: float = knob(1.3, "spread between links (of the logarithm)", 0, 3)
    half_life_h: float = knob(14.0, "hours after which half of the visits have come", 0.01, 10_000)
    member_share: float = fraction(0.55, "share of visits by signed-in people")
    download_share: float = fraction(0.45, "share of visits that download")
    viral_per_week: float = knob(2.0, "links a week that go viral honestly", 0, 10_000)
    viral_visits: float = knob(800.0, "median visits of a viral link", 1, 10_000_000)
    false_reports_per_week: float = knob(10.0, "honest but wrong abuse reports a week, on honest links", 0, 1_000_000)


@dataclass(frozen=True)
class Habits:
    """Honest behaviour that a careless rule takes for abuse."""

    travel_per_week: float = fraction(0.012, "odds per account and week to begin a journey")
    travel_days: float = knob(4.0, "mean days of a journey", 0.2, 365)
    new_device_per_month: float = fraction(0.08, "odds per account and month of a new device")
    backups_per_week: float = fraction(0.002, "odds per account and week to download very many files")
    cleanings_per_week: float = fraction(0.0015, "odds per account and week to delete very many files")
    leavers_per_week: float = fraction(0.0005, "odds per account and week to download everything and leave")
    bulk_files: float = knob(250.0, "median number of files in such a bulk action", 10, 100_000)
    apps_per_week: float = fraction(0.006, "odds per account and week to authorize an application")
    password_changes_per_month: float = fraction(0.012, "odds per account and month to change the password")
    email_changes_per_month: float = fraction(0.003, "odds per account and month to change the e-mail address")
    mfa_changes_per_month: float = fraction(0.008, "odds per account and month to enrol or remove a second factor")
    backup_clients: float = fraction(0.0, "share of accounts that a hosted backup service reads every night by the API")
    backup_files: float = knob(
        40.0, "median files that such a backup reads in a night; once a week ten times that", 1, 1e5
    )
    push_trouble_per_month: float = fraction(
        0.0, "odds per account with push and month that a dozen prompts get lost before one is answered"
    )
    niche_apps_per_week: float = fraction(
        0.0, "odds per account and week to authorize an application that few people use"
    )


@dataclass(frozen=True)
class Moderation:
    """People who look at abuse reports. Off by default: no verdicts, no regular reporters."""

    review_share: float = fraction(
        0.0, "share of reports that get a verdict (`abuse.resolved`); 0: no moderation at all"
    )
    review_h: float = knob(10.0, "median hours from a report to its verdict", 0.01, 1000)
    wrong: float = fraction(0.03, "odds that a verdict is wrong")
    stops: bool = knob(True, "whether a link is stopped (`link.stopped`) once a report of it is upheld")
    reporters: int = knob(0, "people who report regularly", 0, 100_000)
    careful: float = fraction(0.6, "share of them who are nearly always right; the others nearly never")
    reports_per_week: float = knob(4.0, "mean reports a week of a regular reporter", 0.01, 10_000)
    finds: float = fraction(0.0, "share of harmful links that one of the regular reporters comes across")


CALENDAR_KINDS = (
    "office_move", "holiday", "press", "viral_link", "carrier_renumbering",
    "product_launch", "provider_renumbering", "referral_campaign", "migration", "app_launch",
    "login_outage", "session_expiry", "viral_photo",
)  # fmt: skip


@dataclass(frozen=True)
class Happening:
    """Something that happens to the honest world on a date."""

    kind: str = knob("", "what happens", required=True, choices=CALENDAR_KINDS)
    day: float = knob(0.0, "when it begins", 0, 3650, required=True)
    days: float = knob(
        1.0, "how long (holiday, press, product_launch, referral_campaign, app_launch, login_outage)", 0.01, 3650
    )
    organisation: int = knob(0, "which organisation, 0 the largest (office_move, migration)", 0, 1_000_000)
    country: str = knob(
        "", "where; empty: everywhere (holiday, carrier_renumbering, provider_renumbering)", pattern=r"([A-Z]{2})?"
    )
    factor: float = knob(
        1.0, "on sessions (holiday: of work; product_launch), on sign-ups (press, product_launch, referral_campaign)",
        0, 1000,
    )  # fmt: skip
    visits: int = knob(3000, "visits of the link (viral_link, viral_photo)", 1, 10_000_000)
    mobile: float = fraction(0.0, "share of the sign-ups that come by telephone, over few carriers (press)")
    travel: float = knob(1.0, "factor on journeys (holiday)", 0, 1000)
    accounts: int = knob(200, "how many people authorize the new application (app_launch)", 1, 1_000_000)
    files: int = knob(5000, "files imported and renamed (migration)", 1, 1_000_000)


@dataclass(frozen=True)
class Delivery:
    """How records reach us: disorder, lateness, doubles, broken lines."""

    disorder_s: float = knob(2.0, "mean delay of a record; the spread is the disorder", 0, 3600)
    late_share: float = fraction(0.002, "share of records that come late")
    late_h: float = knob(3.0, "mean hours of lateness", 0.01, 240)
    duplicate_share: float = fraction(0.001, "share of records delivered twice (the same bytes, up to late_h later)")
    malformed_share: float = fraction(0.0005, "share of broken lines written besides the records")


@dataclass(frozen=True)
class Scenario:
    """A whole scenario file."""

    shoal_scenario: int = knob(SCENARIO_VERSION, "version of this format", 1, 1_000_000, required=True)
    name: str = knob("", "short name", required=True, pattern=r"[a-z0-9_\-]{1,64}")
    start: int = knob(0, "first moment, a date or ISO 8601 in UTC; µs UTC once read", moment=True, required=True)
    title: str = knob("", "one line for people")
    days: int = knob(14, "how many days", 1, 3650)
    seed: int = knob(1, "default seed", 0, 2**31 - 1)
    population: Population = knob(Population, "who uses the service")
    structure: Structure = knob(Structure, "who shares what with whom")
    homes: tuple[Home, ...] = knob(_homes, "where people live", item=Home, least=1, most=400)
    networks: Networks = knob(Networks, "the address plan")
    activity: Activity = knob(Activity, "how much people do, and when")
    failures: Failures = knob(Failures, "honest failures at the login")
    links: Links = knob(Links, "what happens to shared links")
    habits: Habits = knob(Habits, "honest behaviour that looks bad")
    moderation: Moderation = knob(Moderation, "people who look at abuse reports")
    calendar: tuple[Happening, ...] = knob((), "happenings on a date", item=Happening, most=500)
    delivery: Delivery = knob(Delivery, "how records reach us")
    adversaries: tuple[Any, ...] = knob((), "attacks; each has an id and a kind", tagged="adversaries", most=2000)
    quick: bool = knob(False, "whether `shoal scenario run --quick` runs it")
    expect: Expectations = knob(Expectations, "what must be caught, by when, and at what honest cost")
    reactions: Reactions = knob(Reactions, "how the world answers to enforcement")
