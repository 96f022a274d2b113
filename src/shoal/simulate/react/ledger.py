"""What the reacting world counts: harm that happened, what owners went through, what adversaries spent.

Filled by `ReactiveWorld`, by attack and for all owners; plain numbers that can be written as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class AttackLedger:
    """One attack. `harmful` counts events of its own that happened; `visits` those of honest people to its links."""

    attack: str
    kind: str
    harmful: int = 0
    undone: int = 0  # harmful events that were mended afterwards
    bytes_taken: int = 0
    visits: int = 0
    visitors: set[int] = field(default_factory=set)
    victims: set[int] = field(default_factory=set)  # accounts in which it did harm
    attempts: int = 0  # events that it tried, refused ones included
    refused: int = 0
    prevented: int = 0  # planned events that were never tried any more
    challenged: int = 0
    passed: int = 0
    retries: int = 0
    accounts_burned: int = 0
    accounts_replaced: int = 0
    addresses_burned: int = 0
    addresses_replaced: int = 0
    stopped_at: int | None = None  # µs: when it gave up or had spent its budget

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers."""
        own = {name: value for name, value in vars(self).items() if not isinstance(value, set)}
        return {**own, "visitors": len(self.visitors), "victims": len(self.victims)}


@dataclass
class OwnerLedger:
    """Honest people whose account no adversary held at the time. Sets hold account codes, numbers count events."""

    accounts: int = 0
    weeks: float = 0.0
    challenged: set[int] = field(default_factory=set)
    challenges: int = 0
    passed: int = 0
    failed: int = 0
    abandoned: int = 0
    suspended: set[int] = field(default_factory=set)
    limited: set[int] = field(default_factory=set)
    notified: set[int] = field(default_factory=set)
    signed_out: set[int] = field(default_factory=set)
    denied: int = 0  # events that did not happen

    def bothered(self) -> set[int]:
        """All who felt anything."""
        return self.challenged | self.suspended | self.limited | self.notified | self.signed_out

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers; `bothered_per_10k_week`: accounts that felt anything, per 10,000 and week."""
        rate = len(self.bothered()) / max(self.accounts, 1) * 10_000 / max(self.weeks, 1e-9)
        own = {name: len(value) if isinstance(value, set) else value for name, value in vars(self).items()}
        return {**own, "bothered": len(self.bothered()), "bothered_per_10k_week": rate}


@dataclass
class Ledger:
    """The whole account of a world that reacted."""

    events: int = 0
    actions: dict[str, int] = field(default_factory=dict)  # by name, as handed in
    without_effect: int = 0  # actions on subjects that are not known or cannot be acted on
    attacks: dict[str, AttackLedger] = field(default_factory=dict)
    owners: OwnerLedger = field(default_factory=OwnerLedger)

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers."""
        return {
            "events": self.events,
            "actions": dict(sorted(self.actions.items())),
            "without_effect": self.without_effect,
            "attacks": {name: attack.to_dict() for name, attack in self.attacks.items()},
            "owners": self.owners.to_dict(),
        }
