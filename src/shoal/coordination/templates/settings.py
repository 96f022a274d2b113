"""What can be set of the search for sign-up templates, checked as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from shoal.errors import InvalidInput, Problem, Where


@dataclass(frozen=True)
class Settings:
    """How sign-ups are compared and gathered. Raises `InvalidInput` (`templates.setting`) with all problems.

    `neighbours`: with how many of the next sign-ups of the same value one is compared, so pairs grow with sign-ups and
    never with their square. `chunk`: so many sign-ups of one value in a row share one weight, which lets a popular
    value be rare on one day. `prior`: share of random pairs that have one hand behind them. `strength`: as how many
    pairs the other values of a field count beside a value's own. `around_s`: what is usual is asked outside of this
    much time around a pair. `rounds`: of the fixed point, at most. `belief`: above this a pair ties.
    `least`: the smallest cluster. `score`: what a cluster must reach to be told.
    """

    neighbours: int = 8
    chunk: int = 64
    prior: float = 1e-4
    strength: float = 4.0
    around_s: int = 2 * 86_400
    rounds: int = 12
    belief: float = 0.5
    least: int = 4
    score: float = 0.5

    def __post_init__(self) -> None:
        bounds = {
            "neighbours": (1, 256), "chunk": (8, 65_536), "prior": (1e-9, 0.5), "strength": (0.1, 1e4),
            "around_s": (0, 10**9), "rounds": (1, 1_000), "belief": (0.0, 1.0),
            "least": (2, 10**6), "score": (0.0, 1.0),
        }  # fmt: skip
        problems = []
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), bounds[field.name]
            whole = field.type == "int"
            right = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not right or (whole and value != int(value)) or not low <= value <= high:
                kind = "a whole number" if whole else "a number"
                allowed = f"{kind}, {low:g} to {high:g}"
                problems.append(
                    Problem("templates.setting", f"{field.name} is {value!r}", Where(path=field.name), allowed)
                )
        if problems:
            raise InvalidInput(problems)
