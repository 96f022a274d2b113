"""What a campaign is once found: members, what they share, why we say so, and how sure we are.

Plain data, made by `campaigns.find` and carried from run to run by `campaigns.identity`; `runtime` writes it into the
journal and shows it. Accounts and entities stand as the keyed 64-bit ids of their texts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """An account of a campaign. `belief` in [0, 1]: degree of membership, the probability that it belongs.
    `hard`: held by a hard link to another member. `hub_share` in [0, 1]: share of its ties that are hubs."""

    account: int
    belief: float
    hard: bool
    first: int  # µs UTC, its first tie with another member
    last: int
    hub_share: float = 0.0


@dataclass(frozen=True)
class SharedEntity:
    """Something that members share. `outside`: accounts beside the members that have it, too. `weight` in [0, 1]:
    how far an account that touches it alone is likely to belong (rarity)."""

    relation: str
    entity: int
    members: int
    outside: int
    weight: float
    first: int
    last: int


@dataclass(frozen=True)
class Campaign:
    """Accounts that act as one.

    `id` is kept over nights (`c` and 12 hex digits). `score` in [0, 1] with its interval `low … high`: the probability
    that the campaign is abusive. `expected_innocents`: the sum of 1 - belief over its members. `relations`: share of
    the evidence by source, summing to 1. `growth`: members by day of their first tie, (day as µs UTC, count).
    `templates`: what sign-ups have in common, in words; `evidence`: why we say so, in words, the strongest first.
    `read`: records of the journal that it rests on.
    """

    id: str
    members: tuple[Member, ...]
    entities: tuple[SharedEntity, ...]
    relations: tuple[tuple[str, float], ...]
    first: int
    last: int
    growth: tuple[tuple[int, int], ...]
    templates: tuple[str, ...]
    evidence: tuple[str, ...]
    score: float
    low: float
    high: float
    expected_innocents: float
    read: int
    merged_from: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self.members)
