"""What a scenario file may say of its adversaries: one dataclass a kind. Intensity is in natural units (attempts a day,
victims, accounts), evasion in how each is hidden; `start_day` and `days` say when."""

from __future__ import annotations

from dataclasses import dataclass

from shoal.simulate.scenario.knobs import fraction, knob
from shoal.simulate.scenario.reactions import Budget

TOOLS = ("none", "common", "victim")
_TOOL = (
    "what the user agent shows: `none` a script's own name, `common` drawn as honest people's are, `victim` the very"
    " string of the victim's device"
)
FROM = ("hosting", "vpn", "residential", "mobile")
_FROM = "whose addresses: hosting companies, VPN exits, homes (a proxy network), or behind mobile carriers"


@dataclass(frozen=True)
class Adversary:
    """What all have."""

    id: str = knob("", "name of this attack, unique", required=True, pattern=r"[a-z0-9_\-]{1,64}")
    kind: str = knob("", "which kind", required=True)
    start_day: float = knob(0.0, "when it begins", 0, 3650, required=True)
    days: float = knob(2.0, "how long it goes on", 0.01, 3650)
    known_after_h: float = knob(48.0, "mean hours from harm to a label of it being known", 0, 24_000)
    budget: Budget = knob(Budget, "what he can afford when he is stopped")  # noqa: RUF009


@dataclass(frozen=True)
class Persistence(Adversary):
    """What an intruder does once inside."""

    app: float = fraction(0.5, "odds to authorize an application")
    mfa: float = fraction(0.3, "odds to enrol or remove a second factor")
    email: float = fraction(0.3, "odds to change the e-mail address")
    password: float = fraction(0.4, "odds to change the password")
    exfiltrate: float = fraction(0.7, "odds to download files in bulk")
    files: float = knob(120.0, "median number of files taken", 1, 100_000)
    share_out: float = fraction(0.35, "odds to share folders with a fresh outsider account")
    pause_s: float = knob(6.0, "mean seconds between two actions inside", 0.05, 86_400)
    dwell_h: float = knob(6.0, "mean hours from the login to the last action", 0.05, 24_000)
    recovers_h: float = knob(30.0, "mean hours until the owner takes the account back", 0.1, 24_000)


@dataclass(frozen=True)
class Stuffing(Persistence):
    """Credential stuffing: leaked pairs of name and password are tried on many accounts."""

    attempts: int = knob(5000, "attempts in all", 1, 100_000_000)
    hit_rate: float = fraction(0.004, "share of attempts with the right password")
    unknown_rate: float = fraction(0.35, "share of attempts on names that no account has")
    use_rate: float = fraction(0.4, "share of opened accounts that are used afterwards, the others are kept for sale")
    origin: str = knob("hosting", _FROM, choices=FROM)
    addresses: int = knob(8, "distinct addresses", 1, 1_000_000)
    tool: str = knob("common", _TOOL, choices=TOOLS)
    steady: float = fraction(0.5, "0: by day in bursts; 1: evenly (low and slow)")


@dataclass(frozen=True)
class Spraying(Stuffing):
    """Password spraying: a few common passwords on every account of chosen organisations, in rounds."""

    organisations: int = knob(3, "how many organisations, from the largest down", 1, 100_000)
    attempts: int = knob(1_000_000, "attempts at most", 1, 100_000_000)
    rounds: int = knob(3, "rounds; each tries every member once", 1, 1000)
    hit_rate: float = fraction(0.003, "share of attempts with the right password")
    unknown_rate: float = fraction(0.1, "share of attempts on names that no account has")


@dataclass(frozen=True)
class Takeover(Persistence):
    """Targeted takeover: the intruder holds the password (phished, bought) and comes as near as he can."""

    victims: int = knob(10, "accounts taken", 1, 1_000_000)
    near: str = knob(
        "country",
        "whence: `anywhere`; `country` of the victim; `city`; `network` (the victim's own provider)",
        choices=("anywhere", "country", "city", "network"),
    )
    origin: str = knob("residential", _FROM, choices=FROM)
    tool: str = knob("common", _TOOL, choices=TOOLS)
    failures: float = knob(0.5, "mean failed logins before the right one", 0, 100)
    passes_challenge: float = fraction(0.6, "odds to pass a challenge (second factor phished as well)")
    token: float = fraction(0.2, "odds to come with a stolen token instead of a login")


@dataclass(frozen=True)
class FakeAccounts(Adversary):
    """Accounts made in bulk that later act together."""

    accounts: int = knob(150, "accounts made", 2, 1_000_000)
    origin: str = knob("hosting", _FROM, choices=FROM)
    addresses: int = knob(6, "distinct addresses they share", 1, 1_000_000)
    devices: int = knob(5, "distinct devices they share", 1, 1_000_000)
    tool: str = knob("common", _TOOL, choices=TOOLS)
    shared_domain: float = fraction(0.6, "share with e-mail addresses of one domain; the others at common providers")
    age_days: float = knob(1.0, "mean days between sign-up and the first joint action", 0, 3650)
    campaigns: int = knob(4, "joint actions: all visit and download the same links within a short while", 0, 10_000)
    spread_min: float = knob(20.0, "minutes over which a joint action spreads", 0.1, 100_000)
    turnout: float = fraction(0.8, "share of the accounts that take part in each joint action")
    invites: float = knob(3.0, "mean invitations sent by each account (spam)", 0, 10_000)


@dataclass(frozen=True)
class LinkAttack(Adversary):
    """What phishing and malware have in common: owners spread links."""

    owners: int = knob(5, "accounts that spread links", 1, 100_000)
    fresh: float = fraction(1.0, "share of owners that signed up for it; the others are hijacked accounts")
    age_days: float = knob(0.2, "mean days between an owner's sign-up and the first link", 0, 3650)
    links: float = knob(3.0, "mean links of each owner", 1, 10_000)
    visits: float = knob(80.0, "median visits of a link", 1, 1_000_000)
    half_life_h: float = knob(5.0, "hours after which half of the visits have come", 0.01, 10_000)
    no_referrer: float = fraction(0.85, "share of visits without a referrer (from mail)")
    recovers_h: float = knob(30.0, "mean hours until a hijacked owner takes the account back", 0.1, 24_000)
    report_rate: float = fraction(0.02, "share of visits that lead to an abuse report")
    origin: str = knob("vpn", _FROM, choices=FROM)
    tool: str = knob("common", _TOOL, choices=TOOLS)


@dataclass(frozen=True)
class Phishing(LinkAttack):
    """Links to documents that ask for a password; visitors fall for it."""

    download_share: float = fraction(0.1, "share of visits that download")


@dataclass(frozen=True)
class Malware(LinkAttack):
    """Links to malicious files; few distinct contents under many names."""

    download_share: float = fraction(0.6, "share of visits that download")
    contents: int = knob(3, "distinct contents", 1, 10_000)
    recompiled: float = fraction(0.2, "share of links whose content is unique after all")


@dataclass(frozen=True)
class Destruction(Adversary):
    """Ransomware-like: a synchronised client overwrites, renames, deletes, on the victim's device and network."""

    victims: int = knob(4, "accounts hit", 1, 100_000)
    files: float = knob(300.0, "median number of files hit", 5, 1_000_000)
    per_minute: float = knob(60.0, "files a minute", 0.05, 100_000)
    rename: float = fraction(1.0, "share of files renamed after being overwritten")
    delete: float = fraction(0.2, "share of files deleted instead")
    extension: str = knob(
        "locked", "what is appended; `random`: another for each victim; `none`: names stay", pattern=r"[a-z0-9]{1,16}"
    )
    note: bool = knob(True, "whether a ransom note is uploaded into it")


ADVERSARIES: dict[str, type[Adversary]] = {
    "credential_stuffing": Stuffing,
    "password_spraying": Spraying,
    "account_takeover": Takeover,
    "fake_accounts": FakeAccounts,
    "phishing": Phishing,
    "malware": Malware,
    "destruction": Destruction,
}
