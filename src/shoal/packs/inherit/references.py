"""How one pack names another: a name with an optional version, or a path inside the team's repository.

    extends:
      - file_sharing                 # ships with Shoal, or is installed
      - acme_base >=1.2, <2          # installed; the highest version that fits
      - ../base                      # a folder of the same repository

Absolute paths and URLs are refused: a pack must mean the same on every machine. Versions are numbers with dots, and
missing parts are zeros (1.2 = 1.2.0). Holds no state, touches no disk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shoal.errors import Problem, Where

REFERENCE_FORM = "a name (file_sharing), a name with versions (base >=1.2, <2) or a relative path (../base)"
_NAMED = re.compile(r"([a-z][a-z0-9_]*)\s*((?:==|!=|>=|<=|>|<).*)?\Z", re.S)
_BOUND = re.compile(r"(==|!=|>=|<=|>|<)\s*([0-9]{1,9}(?:\.[0-9]{1,9}){0,5})\Z")
_VERSION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,5}\Z")


@dataclass(frozen=True)
class Reference:
    """A reference as it is read: a relative `path`, or a `name` with `bounds` of its version."""

    text: str
    path: str = ""
    name: str = ""
    bounds: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def admits(self, version: str) -> bool:
        """Whether a version lies within the bounds.

        >>> base = read_reference("base >=1.2, <2", Where(), [])
        >>> [base.admits(v) for v in ("1.2.0", "1.10", "2.0", "beta")]
        [True, True, False, False]
        """
        if not self.bounds:
            return True
        number = version_number(version)
        return number is not None and all(_fits(number, sign, bound) for sign, bound in self.bounds)


def version_number(text: str) -> tuple[int, ...] | None:
    """A version as numbers without trailing zeros, for comparing; None where it is no such version."""
    if not _VERSION.match(text):
        return None
    parts = [int(part) for part in text.split(".")]
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


def _fits(number: tuple[int, ...], sign: str, bound: tuple[int, ...]) -> bool:
    return {
        "==": number == bound,
        "!=": number != bound,
        ">=": number >= bound,
        "<=": number <= bound,
        ">": number > bound,
        "<": number < bound,
    }[sign]


def read_reference(text: str, where: Where, problems: list[Problem]) -> Reference | None:
    """A reference, or None after noting what is wrong with it."""
    if "://" in text or text.startswith(("/", "~", "\\")) or re.match(r"[A-Za-z]:", text):
        kind = "a URL" if "://" in text else "an absolute path"
        hint = "install the pack and name it, or keep it in the same repository"
        problems.append(Problem("pack.reference", f"{text!r} is {kind}", where, REFERENCE_FORM, hint=hint))
        return None
    if text.startswith(("./", "../")) or text == "..":
        if "\\" in text or "\0" in text:
            problems.append(Problem("pack.reference", f"{text!r} is no path", where, REFERENCE_FORM))
            return None
        return Reference(text, path=text)
    found = _NAMED.match(text)
    if found is None:
        hint = f"a folder is written ./{text}" if "/" in text else ""
        problems.append(Problem("pack.reference", f"{text!r} names no pack", where, REFERENCE_FORM, hint=hint))
        return None
    bounds = []
    for part in (found.group(2) or "").split(","):
        bound = _BOUND.match(part.strip())
        if part.strip() and bound is None:
            allowed = ">=1.2, ==1.2, <2 with commas between"
            problems.append(Problem("pack.reference", f"{part.strip()!r} bounds no version", where, allowed))
            return None
        if bound is not None:
            bounds.append((bound.group(1), version_number(bound.group(2)) or ()))
    return Reference(text, name=found.group(1), bounds=tuple(bounds))
