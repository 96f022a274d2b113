"""What a fitted detector is asked to do, as a pack says it; plain data.

A pack names the rows that the detector scores, the columns that it may read and the labels that it learns from. The
model itself is fitted by `learn`, published into the journal, and taken up where it stands there. Until one is
published, the columns `<id>.score` and `<id>.level` are null, and rules that read them say unknown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from shoal.errors import Where
from shoal.events.schema import Kind

LEVELS = ("allow", "watch", "challenge", "restrict")
"""`<id>.level` counts the budgets that the score is within: 0 allow, 1 watch, 2 challenge, 3 restrict."""
MAX_MODELS, MAX_INPUTS = 32, 256


@dataclass(frozen=True)
class ModelDefinition:
    """One fitted detector of a pack.

    `on`: condition over event columns, attributes and features; rows where it holds are scored, others have null
    scores. `inputs`: columns of kind BOOL, INT, FLOAT or TIME among event columns, attributes, features and signals.
    `labels`: kinds of abuse that count as positive. `subject`: the column that a label's subject is compared with
    (`account`, `link`, …). `budgets`: level name → how many honest subjects per 10,000 and week may reach it.
    `monotone`: input → +1 (more is never less suspicious) or -1.
    """

    id: str
    threat: str
    on: str
    inputs: tuple[str, ...]
    labels: tuple[str, ...]
    subject: str = "account"
    budgets: Mapping[str, float] = field(default_factory=dict)
    monotone: Mapping[str, int] = field(default_factory=dict)
    description: str = ""
    origin: Where = field(default_factory=Where)

    @property
    def columns(self) -> Mapping[str, Kind]:
        """The columns that it adds."""
        return {f"{self.id}.score": Kind.FLOAT, f"{self.id}.level": Kind.INT}

    @property
    def hash(self) -> str:
        """16 hex digits of what a model is fitted for; the description is not part of it."""
        body = [self.on.strip(), self.inputs, self.labels, self.subject, sorted(self.budgets.items())]
        return hashlib.sha256(json.dumps([*body, sorted(self.monotone.items())]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Input:
    """One input as the engine offers it: `hash` is that of the feature's or signal's definition (`column` for an
    event column), so that a model refuses a column whose meaning has changed under the same name."""

    name: str
    kind: Kind
    hash: str = "column"
    description: str = ""
    unit: str = ""
