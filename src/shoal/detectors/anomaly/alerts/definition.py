"""A view as a pack declares it: which rows of account-days are compared, and which way each number is suspicious.

Rows are either of a kind that this package makes from a log (`rows.KINDS`), or of the events of a condition, whose
columns take the most suspicious value of the day. Plain data; whether names exist is the pack's reader's to check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shoal.detectors.anomaly.alerts.budget import View
from shoal.detectors.anomaly.alerts.dominance import MAX_DIRECTIONS
from shoal.errors import Where

MAX_VIEWS = 16
__all__ = ["MAX_DIRECTIONS", "MAX_VIEWS", "ViewDefinition"]


@dataclass(frozen=True)
class ViewDefinition:
    """One view. Either `rows` (a name of `rows.KINDS`) or `on` (a condition over all columns) is given. `subject`: the
    column whose values are told apart by day; `key`: what one analyst looks into in a day (the subject where null);
    `high` and `low`: columns of which high or low values are suspicious."""

    id: str
    description: str
    rows: str = ""
    on: str = ""
    subject: str = "account"
    key: str = "org"
    high: tuple[str, ...] = ()
    low: tuple[str, ...] = ()
    origin: Where = field(default_factory=Where)

    @property
    def columns(self) -> tuple[str, ...]:
        """All of its directions, the high ones first."""
        return self.high + self.low

    def view(self, words: Mapping[str, str]) -> View:
        """The view for an `AlertBudget`, its directions in the words given (the column's name where there are none)."""
        signs = dict.fromkeys(self.high, 1) | dict.fromkeys(self.low, -1)
        return View(self.id, {words.get(name, name): sign for name, sign in signs.items()})
