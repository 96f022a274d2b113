"""What a replay found: differences to what is stored, and counts.

Plain data that the checks of decisions (`replay`) and of revisions (`revisions`) fill. Knows no engine and no store.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_LISTED = 100


@dataclass(frozen=True)
class Difference:
    """One value that replay gives otherwise. `what` is a column, `feature:ID` or `decision`."""

    seq: int
    what: str
    stored: str
    replayed: str


@dataclass
class ReplayReport:
    """What a replay found. `differences` holds the first hundred, `count` all; `edges` counts floats that differ within
    1e-9, and `edge_rules` the rule answers and decisions that hang on such a float.

    `first`: the first record that was decided again; `cut`: the retention cut before it, in words.
    """

    events: int = 0
    revisions: int = 0
    vectors: int = 0
    decisions: int = 0
    erased: int = 0
    edges: int = 0
    edge_rules: int = 0
    count: int = 0
    first: int = 0
    cut: str = ""
    differences: list[Difference] = field(default_factory=list)
    only: int | None = None

    def add(self, difference: Difference) -> None:
        """Count a difference, and keep it while there is room. With `only`, those of that record alone count."""
        if self.only is not None and difference.seq != self.only:
            return
        self.count += 1
        if len(self.differences) < MAX_LISTED:
            self.differences.append(difference)
