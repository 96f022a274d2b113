"""What can be asked of a fit, with the floors under which it is refused. Plain data, checked where it is made."""

from __future__ import annotations

from dataclasses import dataclass

from shoal.errors import InvalidInput, Problem, Where

MIN_ROWS, MIN_POSITIVE_ROWS = 200, 10
"""Usable rows, and positive ones among them, under which nothing is fitted."""
MIN_POSITIVE_SUBJECTS, MIN_HONEST_SUBJECTS = 10, 50
"""Subjects with a positive row, and without, under which nothing is fitted."""
MIN_TO_STOP = 3
"""Positive subjects under which a part cannot judge trees: no search, no early stopping."""
MIN_TO_FIT = 5
"""Positive subjects that the part to fit must hold."""
METHODS: tuple[str, ...] = ("isotonic", "venn_abers", "sigmoid")


@dataclass(frozen=True)
class FitSettings:
    """`seed`: of all draws. `trials`: settings of the trees that are tried (1: the defaults only), `trees` at most,
    `leaves` at most. `maturity_us`, `lead_us`: as in `read_targets`. `honest_per_positive`: rows of honest accounts
    that are kept a positive row (but never fewer than `honest_rows`), the rest being sampled out by account.
    `unlabelled`: "negative" takes presumed negatives for negatives, "weighted" corrects by Elkan and Noto's weights;
    `label_share` is then the share of abusive rows that get a label, where it is known better than it can be
    estimated. `method`: of calibration, None to choose among `METHODS`. `assured`: a level's threshold keeps the upper
    end of the honest rate's interval within the budget, not the rate that was seen.

    Raises `InvalidInput` (`fit.settings`) with all problems.
    """

    seed: int = 0
    trials: int = 9
    trees: int = 300
    leaves: int = 63
    patience: int = 30
    maturity_us: int | None = None
    lead_us: int = 0
    honest_per_positive: float = 50.0
    honest_rows: int = 20_000
    unlabelled: str = "negative"
    label_share: float | None = None
    method: str | None = None
    assured: bool = False

    def __post_init__(self) -> None:
        rules = (
            ("trials", 1 <= self.trials <= 200, "1 to 200"),
            ("trees", 1 <= self.trees <= 2000, "1 to 2,000"),
            ("leaves", 2 <= self.leaves <= 1024, "2 to 1,024"),
            ("patience", self.patience >= 1, "1 or more"),
            ("maturity_us", self.maturity_us is None or self.maturity_us >= 0, "0 or more"),
            ("lead_us", self.lead_us >= 0, "0 or more"),
            ("honest_per_positive", self.honest_per_positive > 0, "over 0"),
            ("honest_rows", self.honest_rows >= 0, "0 or more"),
            ("unlabelled", self.unlabelled in ("negative", "weighted"), "negative, weighted"),
            ("label_share", self.label_share is None or 0 < self.label_share <= 1, "over 0, at most 1"),
            ("method", self.method is None or self.method in METHODS, ", ".join(METHODS)),
        )
        problems = [
            Problem("fit.settings", f"{name} is {getattr(self, name)}", Where(path=name), allowed=allowed)
            for name, holds, allowed in rules
            if not holds
        ]
        if problems:
            raise InvalidInput(problems)
