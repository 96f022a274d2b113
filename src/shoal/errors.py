"""The one tree of errors, and the form in which a user's mistakes are told.

    ShoalError
    ├── Permanent              trying again does not help
    │   ├── InvalidInput       a user's mistake: carries Problems (exit code 2)
    │   ├── Corrupt            stored bytes that fail their checksum or version (exit code 3)
    │   ├── Unsupported        a format version or kind this release does not know (exit code 3)
    │   └── MissingExtra       an optional part is not installed (exit code 4)
    └── Temporary              trying again may help: a lock, a full disk, a slow peer (exit code 75)

A `Problem` says what is wrong, where, what is allowed, the nearest known name and what to do. Validation collects all
problems and raises them together in one `InvalidInput`. Nothing here knows a domain.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Where:
    """A place in what the user gave: a file, a line in it (1-based; 0 unknown) and a field path."""

    file: str = ""
    line: int = 0
    path: str = ""

    def __str__(self) -> str:
        place = (
            f"{self.file}:{self.line}"
            if self.file and self.line
            else self.file or (f"line {self.line}" if self.line else "")
        )
        return " ".join(part for part in (place, f"[{self.path}]" if self.path else "") if part)

    def at(self, path: str) -> Where:
        """The same place, one field further down."""
        return Where(self.file, self.line, f"{self.path}.{path}" if self.path else path)


@dataclass(frozen=True)
class Problem:
    """One mistake. `slug` is permanent and documented; `allowed`, `nearest` and `hint` help to mend it."""

    slug: str
    message: str
    where: Where = field(default_factory=Where)
    allowed: str = ""
    nearest: str = ""
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if str(self.where) else self.message
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        if self.nearest:
            text += f"; did you mean {self.nearest!r}?"
        if self.hint:
            text += f" ({self.hint})"
        return f"{text} [{self.slug}]"


class ShoalError(Exception):
    """The root of all errors that Shoal raises on purpose."""

    exit_code = 1


class Permanent(ShoalError):  # noqa: N818 - a kind of failure, not an error's name
    """Trying again does not help."""


class Temporary(ShoalError):  # noqa: N818
    """Trying again may help."""

    exit_code = 75


class InvalidInput(Permanent):
    """A user's mistake, with all its problems together."""

    exit_code = 2

    def __init__(self, problems: Problem | Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Corrupt(Permanent):
    """Stored bytes that fail their checksum, magic or order."""

    exit_code = 3


class Unsupported(Permanent):
    """A persisted version or kind that this release does not know."""

    exit_code = 3


class MissingExtra(Permanent):
    """An optional part is needed and not installed."""

    exit_code = 4


def nearest_name(name: str, known: Iterable[str]) -> str:
    """The known name most like `name`, or the empty string.

    >>> nearest_name("acount", ["account", "actor"])
    'account'
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else ""
