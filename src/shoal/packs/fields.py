"""Reading fields of a YAML tree: typed, with the place of every mistake.

A `Reader` is one mapping of the tree. Its methods take a key and give a checked value or, after noting a problem, the
default; `finish` refuses the keys that nobody asked for. All problems go to one list, so that a pack's are told
together. Holds no state beyond one mapping; knows nothing of packs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shoal.errors import Problem, Where, nearest_name
from shoal.packs.yamltree import Node

_UNITS_US = {
    "us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000,
    "w": 604_800_000_000,
}  # fmt: skip
_DURATION = re.compile(r"([+-]?)([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h|d|w)\Z")
MAX_DURATION_US = 4000 * 86_400_000_000
DURATION_FORM = "a number and a unit (s, m, h, d, w): 30s, 10m, 24h, 7d"


def duration_us(text: str) -> int | None:
    """Microseconds of a duration such as `10m` or `-400d`; None where it is none.

    >>> duration_us("10m"), duration_us("-1.5h"), duration_us("ten")
    (600000000, -5400000000, None)
    """
    found = _DURATION.match(text.strip())
    if found is None:
        return None
    value = float(found.group(2)) * _UNITS_US[found.group(3)]
    if value > MAX_DURATION_US:
        return None
    return round(value) * (-1 if found.group(1) == "-" else 1)


def moment_us(text: str) -> int | None:
    """Microseconds UTC of an ISO 8601 time with a zone, or of a date (its midnight UTC); None where it is none.

    >>> moment_us("2026-01-05T09:00:00Z"), moment_us("2026-01-05T09:00:00")
    (1767603600000000, None)
    """
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text.strip()):
            return None
        moment = moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


@dataclass
class Reader:
    """One mapping of the tree, read key by key."""

    node: Node
    file: str
    path: str
    problems: list[Problem]
    asked: set[str] = field(default_factory=set)

    @property
    def where(self) -> Where:
        """The place of the mapping."""
        return Where(self.file, self.node.line, self.path)

    def place(self, key: str) -> Where:
        """The place of one of its values."""
        child = self.node.entries.get(key)
        line = self.node.keys.get(key, child.line if child else self.node.line)
        file, path = self._home(key)
        return Where(file, line, path)

    def _home(self, key: str) -> tuple[str, str]:
        """The file and path where a value stands."""
        child = self.node.entries.get(key)
        if child is not None and child.home is not None:
            return child.home
        return self.file, f"{self.path}.{key}" if self.path else key

    def wrong(self, key: str, slug: str, message: str, allowed: str = "", nearest: str = "", hint: str = "") -> None:
        """Note a problem of one value."""
        self.problems.append(Problem(slug, message, self.place(key), allowed, nearest, hint))

    def has(self, key: str) -> bool:
        """Whether the key is given (and asks for it)."""
        self.asked.add(key)
        return key in self.node.entries

    def node_at(self, key: str, required: bool = False) -> Node | None:
        """The raw value of a key."""
        self.asked.add(key)
        found = self.node.entries.get(key)
        if found is None and required:
            self.problems.append(Problem("pack.missing_key", f"{key!r} is missing", self.where))
        return found

    def text(self, key: str, default: str = "", required: bool = False) -> str:
        """A text; a number is taken as it is written where it is unquoted."""
        found = self.node_at(key, required)
        if found is None:
            return default
        if found.kind not in ("text", "int", "float"):
            self.wrong(key, "pack.type", f"{key} is a {found.kind}", "a text", hint="quote it if it is meant as text")
            return default
        if required and not found.text.strip():
            self.wrong(key, "pack.empty", f"{key} is empty")
        return found.text.strip()

    def optional_text(self, key: str) -> str | None:
        """A text, or None where the key is absent."""
        return self.text(key) if self.has(key) else None

    def choice(self, key: str, options: Iterable[str], default: str = "", required: bool = False) -> str:
        """One of a closed set of words."""
        value = self.text(key, default, required)
        listed = tuple(options)
        if key in self.node.entries and value not in listed:
            near = nearest_name(value, listed)
            self.wrong(key, "pack.choice", f"{key}: {value!r}", ", ".join(listed), near)
            return default
        return value

    def integer(self, key: str, default: int, low: int, high: int, required: bool = False) -> int:
        """A whole number within bounds."""
        found = self.node_at(key, required)
        if found is None:
            return default
        if found.kind != "int" or not low <= int(found.text.replace("_", "")) <= high:
            self.wrong(
                key, "pack.number", f"{key}: {found.text or found.kind!r}", f"a whole number from {low} to {high}"
            )
            return default
        return int(found.text.replace("_", ""))

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """A number within bounds."""
        found = self.node_at(key)
        if found is None:
            return default
        value = float(found.text.replace("_", "")) if found.kind in ("int", "float") else float("nan")
        if not low <= value <= high:
            self.wrong(key, "pack.number", f"{key}: {found.text or found.kind!r}", f"a number from {low:g} to {high:g}")
            return default
        return value

    def boolean(self, key: str, default: bool) -> bool:
        """true or false."""
        found = self.node_at(key)
        if found is None:
            return default
        if found.kind != "bool":
            self.wrong(key, "pack.boolean", f"{key}: {found.text or found.kind!r}", "true, false")
            return default
        return found.text == "true"

    def seconds(self, key: str, default: int | None, required: bool = False) -> int | None:
        """A duration in whole seconds."""
        found = self.node_at(key, required)
        if found is None:
            return default
        value = duration_us(found.text) if found.kind == "text" else None
        if value is None or value < 0 or value % 1_000_000:
            self.wrong(key, "pack.duration", f"{key}: {found.text or found.kind!r}", DURATION_FORM)
            return default
        return value // 1_000_000

    def moment(self, key: str, required: bool = False) -> int | None:
        """A time in µs UTC."""
        found = self.node_at(key, required)
        if found is None:
            return None
        value = moment_us(found.text) if found.kind == "text" else None
        if value is None:
            self.wrong(key, "pack.time", f"{key}: {found.text or found.kind!r}", "2026-01-05 or 2026-01-05T09:00:00Z")
        return value

    def texts(self, key: str, required: bool = False) -> tuple[str, ...]:
        """A text or a list of texts."""
        found = self.node_at(key, required)
        if found is None:
            return ()
        items = found.items if found.kind == "sequence" else [found]
        out = []
        for item in items:
            if item.kind in ("mapping", "sequence", "null", "bool"):
                file, path = self._home(key)
                where = Where(file, item.line, path)
                self.problems.append(Problem("pack.type", f"{key} holds a {item.kind}", where, "texts"))
            else:
                out.append(item.text.strip())
        return tuple(out)

    def mapping(self, key: str, required: bool = False) -> Reader | None:
        """A nested mapping."""
        found = self.node_at(key, required)
        if found is None:
            return None
        return as_mapping(found, *self._home(key), self.problems)

    def mappings(self, key: str, required: bool = False) -> Sequence[Reader]:
        """A list of mappings."""
        found = self.node_at(key, required)
        if found is None:
            return ()
        file, path = self._home(key)
        if found.kind != "sequence":
            self.wrong(key, "pack.type", f"{key} is a {found.kind}", "a list")
            return ()
        readers = (as_mapping(item, file, f"{path}[{i}]", self.problems) for i, item in enumerate(found.items))
        return [reader for reader in readers if reader is not None]

    def children(self) -> Iterator[tuple[str, Reader]]:
        """Every key with its value as a mapping (for maps of id → definition)."""
        for key, node in self.node.entries.items():
            self.asked.add(key)
            reader = as_mapping(node, *self._home(key), self.problems)
            if reader is not None:
                node.line = self.node.keys[key]
                yield key, reader

    def finish(self, also: Iterable[str] = ()) -> None:
        """Refuse the keys that nobody asked for."""
        known = self.asked | set(also)
        for key in self.node.entries:
            if key not in known:
                allowed = ", ".join(sorted(known))
                near = nearest_name(key, known)
                self.wrong(key, "pack.unknown_key", f"no key {key!r} here", allowed, near)


def as_mapping(node: Node, file: str, path: str, problems: list[Problem]) -> Reader | None:
    """A node as a mapping, or None after noting that it is none."""
    if node.kind != "mapping":
        problems.append(Problem("pack.type", f"a {node.kind}", Where(file, node.line, path), "a mapping"))
        return None
    return Reader(node, file, path, problems)
