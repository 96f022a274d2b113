"""What a policy says: tiers, threats, actions and allow-lists, as plain data read from a pack.

A *threat* names who the subject is in it: `victim` (its account is secured) or `perpetrator` (it is contained).
`steps` turn the severity of the strongest rule that matches now, and the number of independent rules (families) that
matched the same subject for the same threat within `evidence_s`, into a tier. `actions` are planned from a tier upward.
Nothing here decides; `policy.PolicyEngine` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

from shoal.errors import Where
from shoal.rules.rules import Severity

Role = Literal["victim", "perpetrator"]


class Tier(IntEnum):
    """How far a decision goes; the numbers are persisted."""

    ALLOW = 0
    WATCH = 1
    CHALLENGE = 2
    RESTRICT = 3
    BLOCK = 4


@dataclass(frozen=True)
class ActionSpec:
    """A known action: `secures` a victim or contains a perpetrator, and the kinds of subject it can be taken on."""

    name: str
    secures: bool
    kinds: frozenset[str]
    doc: str


def _actions() -> dict[str, ActionSpec]:
    account, session = frozenset({"account"}), frozenset({"account", "session"})
    anything = frozenset({"account", "ip", "network", "device", "session", "link", "app", "credential", "org"})
    listed = (
        ActionSpec("step_up", True, session | {"device"}, "ask for a second proof"),
        ActionSpec("revoke_sessions", True, session, "end all sessions"),
        ActionSpec("revert_contact", True, account, "put back e-mail and phone"),
        ActionSpec("revert_mfa", True, account, "put back the second factor"),
        ActionSpec("revoke_apps", True, account | {"app"}, "take back grants to applications"),
        ActionSpec("revoke_credential", True, account | {"credential"}, "disable access keys and tokens"),
        ActionSpec("restore_files", True, account | {"file"}, "bring back deleted or overwritten files"),
        ActionSpec("notify_owner", True, account, "tell the owner on a channel older than the takeover"),
        ActionSpec("review", True, anything | {"event", "resource", "file", "content", "domain", "url"}, "open a case"),
        ActionSpec("watch", False, anything | {"file", "content", "domain"}, "record and look closer"),
        ActionSpec("rate_limit", False, anything, "slow down"),
        ActionSpec("stop_link", False, frozenset({"link"}), "stop serving a link"),
        ActionSpec("stop_sharing", False, account, "no new links, shares or invitations"),
        ActionSpec("quarantine_file", False, frozenset({"file", "content"}), "keep a file from being downloaded"),
        ActionSpec("read_only", False, account, "no uploads, changes or deletions"),
        ActionSpec("suspend", False, account, "close the account pending review"),
    )
    return {spec.name: spec for spec in listed}


ACTIONS: Mapping[str, ActionSpec] = _actions()


@dataclass(frozen=True)
class Step:
    """At least this tier, where the strongest rule now has `severity` and `rules` independent ones have matched."""

    tier: Tier
    severity: Severity
    rules: int = 1


@dataclass(frozen=True)
class PlannedAction:
    """An action planned at `from_tier` and above; `on` is the column whose value it is taken on ("" = the subject)."""

    action: str
    from_tier: Tier
    lease_s: int
    on: str = ""
    origin: Where = field(default_factory=Where)


@dataclass(frozen=True)
class ThreatPolicy:
    """What is done about one threat."""

    threat: str
    role: Role
    steps: tuple[Step, ...]
    actions: tuple[PlannedAction, ...]
    description: str = ""
    origin: Where = field(default_factory=Where)


@dataclass(frozen=True)
class AllowEntry:
    """A scoped allow-list entry: rows whose `column` is in list `list` have actions suppressed, never their recording.

    `threats` and `actions` empty mean all. `expires` is µs UTC compared with `as_of`. Hits of a `confirmed` rule are
    never suppressed.
    """

    id: str
    column: str
    list: str
    owner: str
    expires: int
    threats: frozenset[str] = frozenset()
    actions: frozenset[str] = frozenset()
    reason: str = ""
    origin: Where = field(default_factory=Where)


@dataclass(frozen=True)
class Policy:
    """A pack's policy."""

    threats: Mapping[str, ThreatPolicy]
    allow: tuple[AllowEntry, ...] = ()
    evidence_s: int = 86_400
