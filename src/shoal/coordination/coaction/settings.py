"""What can be set about co-action, and how it is refused when it makes no sense.

Numbers from here are the only thing that is ever put into the SQL texts, so they are checked to be integers in range
before anything runs. Nothing is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from shoal.errors import InvalidInput, Problem, Where

SECOND = 1_000_000
LONGEST_S = 366 * 86_400


@dataclass(frozen=True)
class CoActionSettings:
    """How near two actions are one meeting, and how many meetings make a pair.

    `windows_s`: lengths in seconds, ascending, each a multiple of the one before. `cap`: a cell (one object, one
    window's length of time) with more accounts is too popular to be evidence. `least`: shared objects that a pair
    needs. `least_jaccard`: share of both accounts' objects that they must have in common. `fdr`: expected share of
    chance pairs among those that become evidence. `inflation`: by window, how far chance exceeds the model
    (`calibrate` measures it; empty: 1). `threads`: of the in-process engine. `memory_gb`: it spills to a temporary
    folder beyond that.
    """

    windows_s: tuple[int, ...] = (60, 600, 3_600, 86_400)
    cap: int = 20
    least: int = 3
    least_jaccard: float = 0.05
    fdr: float = 0.01
    inflation: tuple[float, ...] = ()
    threads: int = 2
    memory_gb: int = 3

    def __post_init__(self) -> None:
        problems = [*self._windows(), *self._whole(), *self._shares()]
        if problems:
            raise InvalidInput(problems)

    @property
    def windows(self) -> tuple[int, ...]:
        """Lengths in µs, ascending."""
        return tuple(window * SECOND for window in self.windows_s)

    @property
    def inflated(self) -> tuple[float, ...]:
        """The factor of each window."""
        return self.inflation or (1.0,) * len(self.windows_s)

    def _windows(self) -> list[Problem]:
        where = Where(path="windows_s")
        lengths = self.windows_s
        if not isinstance(lengths, tuple) or not 1 <= len(lengths) <= 8 or not all(map(_whole, lengths)):
            return [_wrong("coaction.windows", f"windows {lengths!r}", where, "1 to 8 whole numbers of seconds")]
        if any(not 1 <= length <= LONGEST_S for length in lengths):
            return [_wrong("coaction.windows", f"windows {lengths}", where, f"1 to {LONGEST_S} seconds")]
        found = []
        for shorter, longer in pairwise(lengths):
            if longer <= shorter or longer % shorter:
                hint = "cells of the shorter must fill those of the longer"
                told = f"{longer} s after {shorter} s"
                found.append(_wrong("coaction.windows", told, where, "ascending multiples", hint))
        return found

    def _whole(self) -> list[Problem]:
        bounds = {"cap": (2, 10_000), "least": (1, 1_000), "threads": (1, 256), "memory_gb": (1, 4_096)}
        return [
            _wrong(f"coaction.{name}", f"{name} is {getattr(self, name)!r}", Where(path=name), f"{low} to {high}")
            for name, (low, high) in bounds.items()
            if not _whole(getattr(self, name)) or not low <= getattr(self, name) <= high
        ]

    def _shares(self) -> list[Problem]:
        found = []
        for name, low in (("least_jaccard", 0.0), ("fdr", 1e-12)):
            value = getattr(self, name)
            if not _number(value) or not low <= value <= 1:
                found.append(_wrong(f"coaction.{name}", f"{name} is {value!r}", Where(path=name), f"{low:g} to 1"))
        factors = self.inflation
        if not isinstance(factors, tuple) or any(not _number(one) or not 1 <= one < 1e6 for one in factors):
            allowed = "numbers from 1 to a million"
            found.append(_wrong("coaction.inflation", f"inflation {factors!r}", Where(path="inflation"), allowed))
        elif factors and len(factors) != len(self.windows_s):
            told = f"{len(factors)} factors for {len(self.windows_s)} windows"
            found.append(_wrong("coaction.inflation", told, Where(path="inflation"), "one a window, or none"))
        return found


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong(slug: str, message: str, where: Where, allowed: str, hint: str = "") -> Problem:
    return Problem(slug, message, where, allowed=allowed, hint=hint)
