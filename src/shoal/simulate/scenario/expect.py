# ruff: noqa: RUF009
"""What a scenario expects of whoever watches its world: what must be caught, by when, and at what honest cost.

Plain data; the runtime evaluates it (`runtime.judge.scenario_run`). Nothing here knows a detector: an expectation
speaks of subjects, times and tiers. What is not said is not asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal.simulate.scenario.knobs import fraction, knob
from shoal.simulate.truth import BENIGN_KINDS

TIER_NAMES = ("watch", "challenge", "restrict", "block")
_ID = r"[a-z0-9_\-]{1,64}"


@dataclass(frozen=True)
class ExpectedAttack:
    """What is expected of one attack, or of every attack of one kind: `attack` or `kind`, and at least one of the
    other four."""

    attack: str = knob("", "id of the attack", pattern=_ID)
    kind: str = knob("", "kind of attack: each attack of it", pattern=r"[a-z_]{1,64}")
    tier: str = knob("challenge", "decisions from this tier upward count", choices=TIER_NAMES)
    caught_share: float | None = fraction(None, "share of its labelled subjects caught, at least")
    within_h: float | None = knob(
        None, "hours from the first harmful event to the first such decision, at most", 0, 100_000
    )
    harmful_before: int | None = knob(None, "harmful events before that decision, at most", 0, 1_000_000_000)


@dataclass(frozen=True)
class ExpectedBenign:
    """At what cost for one kind of honest behaviour."""

    kind: str = knob("", "kind of honest behaviour that looks bad", required=True, choices=BENIGN_KINDS)
    touched_share: float = fraction(
        0.0, "share of its labelled subjects touched while the label stands, at most", required=True
    )
    tier: str = knob("challenge", "decisions from this tier upward count", choices=TIER_NAMES)


@dataclass(frozen=True)
class ExpectedHonest:
    """At what cost for honest people as a whole."""

    tier: str = knob("challenge", "decisions from this tier upward count", choices=TIER_NAMES)
    touched_per_10k_week: float | None = knob(
        None, "honest accounts touched per 10,000 and week, at most", 0, 10_000_000
    )
    nothing_fires: bool = knob(False, "whether no decision of this tier may fall at all")
    kinds: tuple[ExpectedBenign, ...] = knob((), "honest behaviour that looks bad", item=ExpectedBenign, most=100)


@dataclass(frozen=True)
class Expectations:
    """All expectations of a scenario."""

    warm_up_days: float = knob(3.0, "days from the start whose decisions touch nobody (history is short)", 0, 3650)
    attacks: tuple[ExpectedAttack, ...] = knob((), "attacks", item=ExpectedAttack, most=2000)
    honest: ExpectedHonest = knob(ExpectedHonest, "honest people")

    @property
    def count(self) -> int:
        """How many single expectations there are."""
        asked = sum(value is not None for e in self.attacks for value in (e.caught_share, e.within_h, e.harmful_before))
        honest = self.honest
        return asked + len(honest.kinds) + (honest.touched_per_10k_week is not None) + honest.nothing_fires
