"""Campaigns against the truth of a simulated world: how many members are of an attack, and of which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from shoal.coordination.campaigns.campaign import Campaign
from shoal.events.identity import Identity


@dataclass(frozen=True)
class Judged:
    """A campaign with what its members were. `harmful`: members whose account an attack made, hijacked or used;
    `attack`: the one that most of them are of (empty: none), `of`: how many accounts that attack has in all, and
    `mine`: how many of them are members."""

    campaign: Campaign
    harmful: int
    attack: str
    mine: int
    of: int


def judge(campaigns: Sequence[Campaign], labels: pa.Table, identity: Identity) -> list[Judged]:
    """Compare with the labels of a world (`simulate.truth.TRUTH_LABELS`), campaigns in their order."""
    attacks = _attacks(labels, identity)
    sizes: Counter[str] = Counter(name for names in attacks.values() for name in names)
    out = []
    for one in campaigns:
        held = [attacks.get(member.account, frozenset()) for member in one.members]
        counts = Counter(name for names in held for name in names)
        attack, mine = max(counts.items(), key=lambda pair: (pair[1], pair[0]), default=("", 0))
        out.append(Judged(one, sum(bool(names) for names in held), attack, mine, sizes[attack]))
    return out


def _attacks(labels: pa.Table, identity: Identity) -> Mapping[int, frozenset[str]]:
    """By account id, the attacks that it was part of."""
    found: dict[str, set[str]] = {}
    for row in labels.to_pylist():
        if row["subject_type"] == "account" and row["attack"] and not row["kind"].startswith("benign"):
            found.setdefault(row["subject"], set()).add(row["attack"])
    return {identity.id_of(name): frozenset(names) for name, names in found.items()}
