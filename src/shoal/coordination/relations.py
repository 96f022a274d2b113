"""Relations: what can tie two accounts together, as a team declares it.

A relation names the columns of events whose combined value is an entity (an address, a card, a file's content), which
events count, who the subject is, and how far a shared entity is to be trusted. Nothing is computed here; the graph is
built from these, and a campaign's evidence is worded with them. Source of the split into hard and soft links: the
practice described by DataVisor, LinkedIn and PayPal; a hard link is one that an honest stranger cannot share by
chance and that costs money or a person to obtain.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import Enum

from shoal.errors import Where


class Strength(Enum):
    """How far a shared entity speaks for one owner."""

    HARD = "hard"  # payment, verified phone, attested device, recovery address
    SOFT = "soft"  # all else: addresses, clients, contents, links


class Role(Enum):
    """What the entity is to the account."""

    MEANS = "means"  # what the account has or uses: shared by those who share means
    TARGET = "target"  # what the account acts upon: shared by those who act together


@dataclass(frozen=True)
class Relation:
    """Accounts against one type of entity.

    `columns`: event columns or attributes; the entity is their combined value, and a row with a null in any of them is
    no edge. `on`: an SQL condition over event columns and attributes, empty for all events. `subject`: the column that
    holds the account. `cap`: entities with more accounts than this join nobody, whatever is learned (None: learned).
    `words`: how a shared entity is told to a person, after "both" ("pay with the same card").
    """

    id: str
    columns: tuple[str, ...]
    on: str = ""
    subject: str = "actor"
    strength: Strength = Strength.SOFT
    role: Role = Role.MEANS
    cap: int | None = None
    words: str = ""
    origin: Where = field(default_factory=Where)

    @property
    def hash(self) -> str:
        """16 hex digits of what changes edges: columns, condition and subject."""
        body = {"columns": list(self.columns), "on": self.on, "subject": self.subject}
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
