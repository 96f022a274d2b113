# ruff: noqa: RUF009
"""What a scenario may say of the structure of the honest world: who shares means, addresses and interests with whom.

All of it is off by default, so that older worlds stay as they were. These groups are the hard negatives of any search
for accounts that act as one: they share cards, telephones, addresses or what they look at, and are nobody's operation.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal.simulate.scenario.knobs import fraction, knob


@dataclass(frozen=True)
class Means:
    """Cards, telephones and recovery addresses, as the service knows them: by a hash."""

    card_share: float = fraction(
        0.0, "share of private accounts that add a payment card while the world lasts (`payment.added`)"
    )
    phone_share: float = fraction(0.0, "share of accounts that verify a telephone (`phone.verified`)")
    recovery_share: float = fraction(0.0, "share of accounts that set a recovery address (`recovery.changed`)")
    family_cards: float = fraction(0.3, "share of households whose members all pay with one card, where there are any")
    couple_phones: float = fraction(0.1, "share of households of which two members verify one telephone")
    shared_recovery: float = fraction(0.15, "share of households in which one address recovers all accounts")
    company_cards: float = fraction(0.05, "share of organisations whose members add the company's card")
    attested_share: float = fraction(
        0.0, "share of devices with an application that attest themselves (`attributes.device_attested`)"
    )
    invited_share: float = fraction(
        0.0, "share of honest sign-ups that name who invited them (`attributes.invited_by`)"
    )
    own_domain_share: float = fraction(
        0.0, "share of private households with a mail domain of their own, as of other small ones"
    )
    folder_share: float = fraction(0.0, "share of devices that state the folder of an upload (`attributes.folder`)")


@dataclass(frozen=True)
class Campuses:
    """Universities: thousands behind few addresses, who open the same material in the same minutes."""

    count: int = knob(0, "campuses, in the cities with most people", 0, 50)
    students: int = knob(1500, "students of each, as far as the city has private persons", 2, 1_000_000)
    addresses: int = knob(4, "NAT addresses of each campus", 1, 1024)
    dormitory_share: float = fraction(0.4, "share of students who live in its dormitories")
    dormitory_addresses: int = knob(2, "NAT addresses of the dormitories", 1, 1024)
    on_campus: float = fraction(0.55, "share of a student's sessions by day that come from the campus")
    lab_computers: int = knob(40, "computers that stand in its rooms, used by whoever comes", 0, 100_000)
    lab_share: float = fraction(0.1, "share of a student's sessions by day on one of these")
    mail_share: float = fraction(0.5, "share of students whose mail address is the university's")
    class_size: float = knob(30.0, "mean number of students of a class", 2, 10_000)
    classes: int = knob(3, "classes of each student", 0, 50)
    meetings: int = knob(2, "meetings of a class in a week, each with new material", 1, 5)
    turnout: float = fraction(0.6, "share of a class that opens the material of a meeting")
    spread_min: float = knob(12.0, "mean minutes from the meeting's begin to a student's visit", 0.1, 100_000)


@dataclass(frozen=True)
class Resellers:
    """People who run other people's accounts: one card and one recovery address for all of them."""

    count: int = knob(0, "resellers", 0, 10_000)
    customers: float = knob(40.0, "mean number of customers of each", 1, 100_000)
    recovery_share: float = fraction(0.6, "share of customers whose recovery address is the reseller's")
    sets_up: float = fraction(0.5, "share of cards and addresses entered on the reseller's own device")


@dataclass(frozen=True)
class Following:
    """Accounts that publish links regularly, and people who open what they publish soon after."""

    channels: int = knob(0, "accounts that publish", 0, 100_000)
    followers: float = knob(120.0, "median number of followers of each", 1, 1_000_000)
    posts_per_day: float = knob(0.7, "mean links a day of each", 0, 1000)
    turnout: float = fraction(0.3, "share of the followers who open a link")
    spread_min: float = knob(90.0, "mean minutes from the link to a follower's visit", 0.1, 100_000)


@dataclass(frozen=True)
class Teams:
    """Teams of organisations that open the same files every working morning."""

    morning_share: float = fraction(0.0, "share of teams that do")
    files: int = knob(2, "files of a morning, one of them the same every day", 1, 100)
    turnout: float = fraction(0.7, "share of a team that opens each")
    spread_min: float = knob(15.0, "mean minutes from a quarter to nine to a visit", 0.1, 1000)


@dataclass(frozen=True)
class Onboardings:
    """Organisations whose new members sign up together: one office, one mail domain, one way to write a name."""

    count: int = knob(0, "onboardings while the world lasts", 0, 10_000)
    size: float = knob(25.0, "mean number of those who come by one", 2, 100_000)
    spread_min: float = knob(40.0, "minutes within which they sign up", 0.1, 600)


@dataclass(frozen=True)
class Structure:
    """Who shares what with whom."""

    means: Means = knob(Means, "cards, telephones, recovery addresses, attested devices, invitations, folders")
    campuses: Campuses = knob(Campuses, "universities")
    resellers: Resellers = knob(Resellers, "people who run other people's accounts")
    following: Following = knob(Following, "accounts that publish, and those who follow them")
    onboardings: Onboardings = knob(Onboardings, "organisations whose new members sign up together")
    teams: Teams = knob(Teams, "teams that open the same files in the morning")
