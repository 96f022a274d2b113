"""YAML read as a tree in which every value knows its line.

Only what a person needs to write a pack: mappings, sequences and plain scalars of the YAML 1.2 core kinds (so `on`,
`no` and `2026-01-05` are texts). Anchors, aliases, tags, merge keys, several documents, repeated keys, deep nesting and
large files are refused: a pack comes from outside. The tree is built from parser events without recursion. Holds no
state and knows nothing of packs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import yaml

from shoal.errors import Problem, Where

MAX_BYTES = 1 << 20
MAX_DEPTH = 24
MAX_NODES = 100_000
MAX_SCALAR = 32_768

NodeKind = Literal["mapping", "sequence", "text", "int", "float", "bool", "null"]
_INT = re.compile(r"[-+]?[0-9](_?[0-9])*\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_PARSER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Node:
    """One value: a scalar's `text`, a sequence's `items`, or a mapping's `entries` (key → value; `keys` key → line).

    `home` is the file and path where a value stands that another pack put here (None: those of its mapping).
    """

    kind: NodeKind
    line: int
    text: str = ""
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    home: tuple[str, str] | None = None


def scalar_kind(text: str) -> NodeKind:
    """The kind of an unquoted scalar.

    >>> [scalar_kind(t) for t in ("10", "1_000", "0.5", "true", "null", "on", "10m", "2026-01-05")]
    ['int', 'int', 'float', 'bool', 'null', 'text', 'text', 'text']
    """
    if text in ("", "~", "null"):
        return "null"
    if text in ("true", "false"):
        return "bool"
    if _INT.match(text):
        return "int"
    return "float" if _FLOAT.match(text) else "text"


class _Refused(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


class _Builder:
    """Builds one document's tree from parser events, with an explicit stack."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file, self.problems = file, problems
        self.root: Node | None = None
        self.stack: list[tuple[Node, list[tuple[str, int]]]] = []  # open collection, its pending key
        self.nodes = 0

    def refuse(self, slug: str, message: str, line: int, **more: str) -> None:
        """Note a problem that does not stop the reading."""
        self.problems.append(Problem(slug, message, Where(self.file, line), **more))

    def stop(self, slug: str, message: str, line: int, **more: str) -> None:
        """Refuse the file."""
        raise _Refused(Problem(slug, message, Where(self.file, line), **more))

    def add(self, node: Node) -> None:
        """Put a finished scalar or a just opened collection where it belongs."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.stop("yaml.too_large", "too many values", node.line, allowed=f"at most {MAX_NODES}")
        if not self.stack:
            if self.root is not None:
                self.stop("yaml.documents", "a second document", node.line, allowed="one document a file")
            self.root = node
            return
        parent, pending = self.stack[-1]
        if parent.kind == "sequence":
            parent.items.append(node)
        elif pending:
            key, line = pending.pop()
            if key in parent.entries:
                first = parent.keys[key]
                self.refuse(
                    "yaml.duplicate_key", f"the key {key!r} is given twice", line, hint=f"first in line {first}"
                )
                return
            parent.entries[key], parent.keys[key] = node, line
        elif node.kind in ("mapping", "sequence"):
            self.stop("yaml.key", "a key that is no text", node.line, allowed="plain names as keys")
        elif node.text == "<<":
            self.stop("yaml.merge_key", "merge keys (<<) are not read", node.line, hint="write the values out")
        else:
            pending.append((node.text, node.line))

    def scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        """A scalar: its kind follows from its text where it is unquoted."""
        if len(event.value) > MAX_SCALAR:
            self.stop("yaml.too_large", "a value is too long", line, allowed=f"at most {MAX_SCALAR} characters")
        plain = event.implicit[0] and event.style in (None, "")
        self.add(Node(scalar_kind(event.value) if plain else "text", line, event.value))

    def feed(self, event: yaml.Event) -> None:
        """One parser event."""
        line = event.start_mark.line + 1 if event.start_mark is not None else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self.stop("yaml.anchor", "anchors and aliases are not read", line, hint="write the values out")
        tag = getattr(event, "tag", None)
        if tag:
            self.stop("yaml.tag", f"the tag {tag!r} is not read", line, hint="write plain values")
        if isinstance(event, yaml.ScalarEvent):
            self.scalar(event, line)
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(self.stack) >= MAX_DEPTH:
                self.stop("yaml.too_deep", "values are nested too deeply", line, allowed=f"at most {MAX_DEPTH} levels")
            node = Node("mapping" if isinstance(event, yaml.MappingStartEvent) else "sequence", line)
            self.add(node)
            self.stack.append((node, []))
        elif isinstance(event, yaml.CollectionEndEvent):
            self.stack.pop()


def read_yaml(data: bytes, file: str, problems: list[Problem]) -> Node | None:
    """Read one document; notes every problem and returns None where there is no tree to go on with.

    Slugs: `yaml.too_large`, `yaml.encoding`, `yaml.syntax`, `yaml.empty`, `yaml.anchor`, `yaml.tag`, `yaml.merge_key`,
    `yaml.duplicate_key`, `yaml.documents`, `yaml.too_deep`, `yaml.key`.
    """
    if len(data) > MAX_BYTES:
        problems.append(
            Problem("yaml.too_large", f"{len(data):,} bytes", Where(file), allowed=f"at most {MAX_BYTES:,} bytes")
        )
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        problems.append(Problem("yaml.encoding", "the file is not UTF-8", Where(file, line)))
        return None
    builder = _Builder(file, problems)
    try:
        for event in _events(text):
            builder.feed(event)
    except _Refused as refused:
        problems.append(refused.problem)
        return None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
        line = mark.line + 1 if mark is not None else 0
        problems.append(Problem("yaml.syntax", str(message), Where(file, line)))
        return None
    if builder.root is None or builder.root.kind == "null":
        problems.append(Problem("yaml.empty", "the file is empty", Where(file)))
        return None
    return builder.root


def _events(text: str) -> Iterator[yaml.Event]:
    loader = _PARSER(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()
