"""Adversaries: each kind plans all its events at once, from the people and the address plan alone.

An attack has its own generators and code ranges, so the honest world is the same with and without it. `PLANS` maps the
kinds of the scenario format to their planners; a new kind is a dataclass in `scenario.adversaries`, a planner here and
a word in `truth.KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from shoal.simulate.addresses import AddressBook
from shoal.simulate.adversaries.complaints import plan_brigading, plan_reupload, verdicts
from shoal.simulate.adversaries.credentials import plan_spraying, plan_stuffing
from shoal.simulate.adversaries.destruction import plan_destruction
from shoal.simulate.adversaries.exfiltration import plan_consent, plan_insiders
from shoal.simulate.adversaries.fakes import plan_fakes
from shoal.simulate.adversaries.growth import plan_quota, plan_referrals, plan_spam
from shoal.simulate.adversaries.identity import plan_fatigue, plan_recovery, plan_theft
from shoal.simulate.adversaries.lateral import plan_lateral
from shoal.simulate.adversaries.links import plan_malware, plan_phishing
from shoal.simulate.adversaries.operations import plan_operation
from shoal.simulate.adversaries.stage import Stage
from shoal.simulate.adversaries.takeover import plan_takeover
from shoal.simulate.communities import GroupBook
from shoal.simulate.honest import Presence
from shoal.simulate.people import People
from shoal.simulate.rows import Rows, concat, length, take
from shoal.simulate.scenario import Scenario
from shoal.simulate.truth import LabelBook

PLANS: dict[str, Callable[[Stage], list[Rows]]] = {
    "credential_stuffing": plan_stuffing,
    "password_spraying": plan_spraying,
    "account_takeover": plan_takeover,
    "fake_accounts": plan_fakes,
    "phishing": plan_phishing,
    "malware": plan_malware,
    "destruction": plan_destruction,
    "mfa_fatigue": plan_fatigue,
    "session_theft": plan_theft,
    "account_recovery": plan_recovery,
    "app_consent": plan_consent,
    "insider_exfiltration": plan_insiders,
    "referral_abuse": plan_referrals,
    "quota_abuse": plan_quota,
    "invite_spam": plan_spam,
    "report_brigading": plan_brigading,
    "reupload": plan_reupload,
    "lateral_movement": plan_lateral,
    "operation": plan_operation,
}


@dataclass
class Attacks:
    """All planned attacks: rows by time, labels, and the file-name suffixes that they use."""

    rows: Rows
    labels: LabelBook = field(default_factory=LabelBook)
    suffixes: list[str] = field(default_factory=list)
    groups: GroupBook = field(default_factory=GroupBook)

    def between(self, start: int, end: int) -> Rows:
        """Rows from `start` (µs, inclusive) to `end`."""
        first, last = np.searchsorted(self.rows["time"], [start, end])
        return take(self.rows, slice(int(first), int(last)))


def plan_attacks(scenario: Scenario, seed: int, people: People, book: AddressBook, presence: Presence) -> Attacks:
    """Plan every adversary of the scenario. Adds their accounts to `people`."""
    attacks = Attacks({})
    parts: list[Rows] = []
    for index, adversary in enumerate(scenario.adversaries):
        stage = Stage(scenario, seed, people, book, presence, attacks.labels, attacks.suffixes, index, adversary)
        stage.groups = attacks.groups
        planned = concat(verdicts(stage, PLANS[adversary.kind](stage)))
        planned["number"] = (1 << 55) + (index << 36) + np.arange(length(planned))
        planned["attack"][:] = index
        parts.append(planned)
    whole = concat(parts)
    attacks.rows = take(whole, np.argsort(whole["time"], kind="stable"))
    return attacks


__all__ = ["PLANS", "Attacks", "plan_attacks"]
