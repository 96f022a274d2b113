"""What a scenario file may say of its adversaries: one dataclass a kind. Intensity is in natural units (attempts a day,
victims, accounts), evasion in how each is hidden; `start_day` and `days` say when."""

from __future__ import annotations

from dataclasses import dataclass

from shoal.simulate.scenario.knobs import fraction, knob
from shoal.simulate.scenario.reactions import Budget

TOOLS = ("none", "common", "victim", "single")
_TOOL = (
    "what the user agent shows: `none` a script's own name, `common` drawn as honest people's are, `victim` the very"
    " string of the victim's device, `single` one common browser throughout"
)
NEAR = ("anywhere", "country", "city", "network")
_NEAR = "whence: `anywhere`; `country` of the victim; `city`; `network` (the victim's own provider)"
FROM = ("hosting", "vpn", "residential", "mobile")
_VARIED = "share of the accounts made that are named as people are; the others are named by one template"
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
    systems: int = knob(0, "autonomous systems that the addresses belong to; 0: any number", 0, 10_000)
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
    near: str = knob("country", _NEAR, choices=NEAR)
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
    varied_names: float = fraction(0.2, _VARIED)


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
    encrypted: float = fraction(
        1.0, "how much of each file is encrypted; shows in `attributes.entropy` where the client states it"
    )


@dataclass(frozen=True)
class MfaFatigue(Persistence):
    """Push fatigue: the right password, then prompt after prompt until the owner accepts one."""

    victims: int = knob(10, "accounts attacked; only those whose second factor is a push", 1, 1_000_000)
    near: str = knob("country", _NEAR, choices=NEAR)
    origin: str = knob("vpn", _FROM, choices=FROM)
    tool: str = knob("common", _TOOL, choices=TOOLS)
    prompts: float = knob(25.0, "median prompts until one is accepted or the intruder gives up", 1, 10_000)
    prompt_gap_s: float = knob(45.0, "mean seconds between two prompts", 1, 86_400)
    accepts: float = fraction(0.4, "odds that the owner accepts at last")
    denies: float = fraction(0.5, "share of prompts that the owner denies; the others run out")
    night: float = fraction(0.6, "share of victims who are rung up between 0 and 5 o'clock of their own time")


@dataclass(frozen=True)
class SessionTheft(Persistence):
    """Token theft: a session that its owner has just begun is used by somebody else as well, without a login."""

    victims: int = knob(10, "accounts whose token is stolen", 1, 1_000_000)
    near: str = knob("country", _NEAR, choices=NEAR)
    origin: str = knob("hosting", _FROM, choices=FROM)
    tool: str = knob("common", _TOOL, choices=TOOLS)
    after_min: float = knob(
        20.0, "median minutes from the owner's login to the first use of the stolen token", 0.5, 100_000
    )
    owner_actions: float = knob(8.0, "mean actions of the owner in the same session, before and after", 0, 10_000)


@dataclass(frozen=True)
class AccountRecovery(Persistence):
    """The intruder holds the victim's mailbox: he resets the password, logs in and changes the address."""

    victims: int = knob(10, "accounts taken", 1, 1_000_000)
    near: str = knob("anywhere", _NEAR, choices=NEAR)
    origin: str = knob("vpn", _FROM, choices=FROM)
    tool: str = knob("common", _TOOL, choices=TOOLS)
    login_after_min: float = knob(2.0, "median minutes from the reset to the login", 0.1, 100_000)
    email_after_min: float = knob(6.0, "median minutes from the login to the change of the address", 0.1, 100_000)
    passes_challenge: float = fraction(0.85, "odds to pass a challenge; codes by e-mail come to him")


@dataclass(frozen=True)
class AppConsent(Adversary):
    """Illicit consent: a malicious application is authorized by many, then reads their files by the API."""

    victims: int = knob(40, "people who authorize it", 1, 1_000_000)
    apps: int = knob(1, "applications, registered one after the other", 1, 15)
    lure_h: float = knob(12.0, "hours in which most of the grants of one application come", 0.05, 10_000)
    read_after_h: float = knob(2.0, "mean hours from the grant to the first file read", 0, 10_000)
    files: float = knob(150.0, "median number of files read", 1, 100_000)
    pause_s: float = knob(1.5, "mean seconds between two files", 0.01, 86_400)
    servers: int = knob(2, "hosted addresses that the application reads from", 1, 100_000)
    origin: str = knob("hosting", _FROM, choices=FROM)
    tool: str = knob("none", _TOOL, choices=TOOLS)
    revoked_h: float = knob(60.0, "mean hours until the owner revokes it", 0.1, 24_000)


@dataclass(frozen=True)
class Insider(Adversary):
    """Data theft by a member: the own account, device and network; data goes to an outsider account made for it."""

    insiders: int = knob(4, "members of organisations who do it", 1, 100_000)
    files: float = knob(400.0, "median number of files downloaded", 1, 100_000)
    others: float = fraction(0.6, "share of these files that belong to colleagues")
    sessions: int = knob(2, "sessions over which it is spread", 1, 1000)
    pause_s: float = knob(3.0, "mean seconds between two files", 0.05, 86_400)
    folders: float = knob(4.0, "mean folders shared with the outsider account", 0, 1000)
    outsider_age_h: float = knob(5.0, "mean hours from the outsider account's sign-up to the first share", 0.05, 24_000)
    collects: float = fraction(0.8, "share of the data that the outsider account downloads afterwards")
    away: float = fraction(0.5, "odds that a session takes place outside working hours, at home")


@dataclass(frozen=True)
class ReferralAbuse(Adversary):
    """Fake accounts accept invitations of a few others, for the bonus space that each is worth."""

    inviters: int = knob(3, "accounts that collect the bonus", 1, 100_000)
    invited: float = knob(20.0, "mean accounts that each of them invites", 1, 100_000)
    bonus_mb: int = knob(500, "bonus of an accepted invitation (`attributes.bonus_mb`)", 1, 1_000_000)
    aged: float = fraction(0.5, "share of collecting accounts that are honest people's own, not made for it")
    origin: str = knob("residential", _FROM, choices=FROM)
    addresses: int = knob(3, "distinct addresses of each ring", 1, 1_000_000)
    devices: int = knob(2, "distinct devices of each ring", 1, 1_000_000)
    tool: str = knob("common", _TOOL, choices=TOOLS)
    shared_domain: float = fraction(0.7, "share with e-mail addresses of one domain")
    alive: float = fraction(0.1, "share of invited accounts that upload a file, to look alive")
    varied_names: float = fraction(0.2, _VARIED)


@dataclass(frozen=True)
class QuotaAbuse(Adversary):
    """One person's many free accounts, each filled with large files by a program, read by link."""

    accounts: int = knob(20, "accounts filled", 1, 100_000)
    files: float = knob(120.0, "median number of large files in each", 1, 100_000)
    pause_s: float = knob(20.0, "mean seconds between two uploads", 0.05, 86_400)
    copies: float = fraction(0.3, "share of files that lie in several of the accounts")
    links: float = knob(6.0, "mean links made in each account", 0, 10_000)
    visits: float = knob(25.0, "median visits of a link", 1, 1_000_000)
    origin: str = knob("hosting", _FROM, choices=FROM)
    addresses: int = knob(2, "distinct addresses", 1, 1_000_000)
    tool: str = knob("none", _TOOL, choices=TOOLS)
    gap_h: float = knob(3.0, "mean hours between two sign-ups", 0.01, 10_000)
    varied_names: float = fraction(0.2, _VARIED)


@dataclass(frozen=True)
class InviteSpam(Adversary):
    """Invitations by the hundred to strangers' addresses; the invitation itself carries the lure."""

    senders: int = knob(6, "accounts that send", 1, 100_000)
    fresh: float = fraction(0.8, "share of senders that signed up for it; the others are hijacked accounts")
    age_days: float = knob(0.1, "mean days between a sender's sign-up and the first invitation", 0, 3650)
    invites: float = knob(300.0, "median invitations of each sender", 1, 1_000_000)
    pause_s: float = knob(4.0, "mean seconds between two of them", 0.05, 86_400)
    domains: int = knob(6, "mail domains that they go to", 1, 6)
    report_rate: float = fraction(0.01, "share of invitations that lead to a report of the sender")
    recovers_h: float = knob(30.0, "mean hours until a hijacked sender takes the account back", 0.1, 24_000)
    origin: str = knob("vpn", _FROM, choices=FROM)
    tool: str = knob("common", _TOOL, choices=TOOLS)


@dataclass(frozen=True)
class ReportBrigading(Adversary):
    """A group of accounts reports honest links and their owners, to have them taken down."""

    targets: int = knob(3, "honest people reported", 1, 100_000)
    reporters: int = knob(25, "accounts that report", 2, 1_000_000)
    fresh: float = fraction(
        0.8, "share of reporters that signed up for it; the others are honest people's, talked into it"
    )
    age_days: float = knob(1.0, "mean days between sign-up and the report", 0, 3650)
    turnout: float = fraction(0.8, "share of the reporters that report each target")
    spread_min: float = knob(60.0, "minutes over which the reports of a target spread", 0.1, 100_000)
    visits_first: float = fraction(0.4, "share of reports before which the link was opened")
    origin: str = knob("residential", _FROM, choices=FROM)
    addresses: int = knob(8, "distinct addresses of the fresh reporters", 1, 1_000_000)
    tool: str = knob("common", _TOOL, choices=TOOLS)
    varied_names: float = fraction(0.2, _VARIED)


@dataclass(frozen=True)
class Reupload(Adversary):
    """A file that was removed comes back: other accounts upload the same content again."""

    contents: int = knob(3, "malicious contents, each removed once", 1, 10_000)
    removed_after_h: float = knob(5.0, "mean hours from the first upload to its removal", 0.05, 10_000)
    again: float = knob(6.0, "mean later uploads of each content, each by another account", 1, 10_000)
    wait_h: float = knob(8.0, "mean hours from the removal to a later upload", 0, 10_000)
    altered: float = fraction(0.0, "share of later uploads whose content was altered, so that the hash is another")
    visits: float = knob(40.0, "median visits of a link", 1, 1_000_000)
    download_share: float = fraction(0.6, "share of visits that download")
    report_rate: float = fraction(0.03, "share of visits that lead to an abuse report")
    origin: str = knob("vpn", _FROM, choices=FROM)
    tool: str = knob("common", _TOOL, choices=TOOLS)
    varied_names: float = fraction(0.2, _VARIED)


@dataclass(frozen=True)
class LateralMovement(Adversary):
    """From one hijacked account of an organisation to its colleagues', by found passwords, applications or shares."""

    footholds: int = knob(3, "accounts from which a chain starts, each in another organisation", 1, 100_000)
    hops: float = knob(4.0, "mean further accounts of each chain, one at least", 1, 1000)
    way: str = knob(
        "credentials",
        "how he goes on: `credentials` found in files, `apps` that colleagues let in, `sharing` of folders as a lure",
        choices=("credentials", "apps", "sharing"),
    )
    hop_h: float = knob(3.0, "mean hours between two accounts", 0, 10_000)
    reuse: float = fraction(0.8, "odds that the next account is entered from the device and address of the first")
    near: str = knob("country", _NEAR, choices=NEAR)
    origin: str = knob("vpn", _FROM, choices=FROM)
    tool: str = knob("common", _TOOL, choices=TOOLS)
    failures: float = knob(0.3, "mean failed logins before each entry", 0, 100)
    passes_challenge: float = fraction(0.8, "odds to pass a challenge")
    files: float = knob(60.0, "median number of files read in each account", 1, 100_000)
    others: float = fraction(0.4, "share of these files that belong to colleagues")
    pause_s: float = knob(8.0, "mean seconds between two files", 0.05, 86_400)
    recovers_h: float = knob(60.0, "mean hours until an owner takes the account back, or revokes the app", 0.1, 24_000)


@dataclass(frozen=True)
class Operation(Adversary):
    """Accounts that one operator runs towards one end: made, bought or hijacked, whole or cut into cells that share
    nothing but his schedule, his contents and his targets."""

    accounts: int = knob(60, "accounts that take part", 2, 1_000_000)
    cell_size: int = knob(0, "accounts of a cell; 0: one whole", 0, 1_000_000)
    steady: float = fraction(0.5, "sign-ups over `days`. 0: in bursts of 45 minutes; 1: evenly (a drip)")
    aged_share: float = fraction(0.0, "share of accounts older than the world (bought, or kept for it)")
    hijacked_share: float = fraction(0.0, "share of accounts that are honest people's, taken over for some days")
    sleep_days: float = knob(0.5, "mean days that an account waits before it acts with the others", 0, 3650)
    origin: str = knob("residential", _FROM, choices=FROM)
    address_reuse: float = knob(4.0, "mean accounts of a cell on one address; 1: one or more each", 1, 1_000_000)
    rotation: float = fraction(0.3, "share of visits from another address than the account's first")
    device_reuse: float = knob(3.0, "mean accounts of a cell on one device; 1: one each", 1, 1_000_000)
    app_share: float = fraction(0.0, "share of cells that work with the mobile application, not a browser")
    mutation: float = fraction(
        0.2,
        "share of accounts whose name, client and mail domain, each for itself, are not those of the cell's template",
    )
    invited: float = fraction(0.0, "share of sign-ups that name an earlier account of the cell as inviter")
    card_reuse: float = knob(0.0, "mean accounts of a cell on one payment card; 0: no cards", 0, 1_000_000)
    phone_reuse: float = knob(0.0, "mean accounts of a cell on one verified telephone; 0: none", 0, 1_000_000)
    recovery_reuse: float = knob(0.0, "mean accounts of a cell on one recovery address; 0: none", 0, 1_000_000)
    hard_share: float = fraction(1.0, "share of accounts that give these, where there are any")
    act: str = knob(
        "mixed", "what they do together: `visit`, `download` or `report` the same links; `mixed`: any of these",
        choices=("visit", "download", "report", "mixed"),
    )  # fmt: skip
    actions: int = knob(8, "joint actions, each on another link", 0, 10_000)
    act_days: float = knob(30.0, "days over which these lie, at most", 0.05, 3650)
    turnout: float = fraction(0.8, "share of the accounts that take part in each")
    spread_min: float = knob(30.0, "minutes over which a cell's part of a joint action spreads", 0.1, 100_000)
    stagger_h: float = knob(0.0, "hours over which the cells follow one another", 0, 10_000)
    honest_targets: float = fraction(0.5, "share of the links that are honest people's; reports go to these only")
    camouflage: float = fraction(0.2, "share of the accounts' visits of links that serve as cover")
    popular: float = fraction(0.7, "share of these that go to what many open; the others to what few do")
    life: float = knob(0.2, "mean sessions a day in which an account does what people do", 0, 1000)
    uploads: float = knob(2.0, "mean files that each uploads", 0, 10_000)
    contents: int = knob(12, "contents that the operator hands out, each with its folder", 1, 100_000)
    content_share: float = fraction(0.4, "share of the uploads that are these")
    recovers_h: float = knob(40.0, "mean hours until an owner takes the account back", 0.1, 24_000)


ADVERSARIES: dict[str, type[Adversary]] = {
    "credential_stuffing": Stuffing,
    "password_spraying": Spraying,
    "account_takeover": Takeover,
    "fake_accounts": FakeAccounts,
    "phishing": Phishing,
    "malware": Malware,
    "destruction": Destruction,
    "mfa_fatigue": MfaFatigue,
    "session_theft": SessionTheft,
    "account_recovery": AccountRecovery,
    "app_consent": AppConsent,
    "insider_exfiltration": Insider,
    "referral_abuse": ReferralAbuse,
    "quota_abuse": QuotaAbuse,
    "invite_spam": InviteSpam,
    "report_brigading": ReportBrigading,
    "reupload": Reupload,
    "lateral_movement": LateralMovement,
    "operation": Operation,
}
