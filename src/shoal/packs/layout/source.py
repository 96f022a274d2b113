"""YAML as it stands in the file: a tree of values with their texts, and the comments and blank lines between them.

PyYAML's events say where values begin and end; what lies between two values is white space, indicators and comments. A
comment behind a value on its line trails it, any other leads the value that comes next. Only files that `yamltree`
accepts come here (no anchors, tags or second documents). Holds no state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import yaml

Kind = Literal["mapping", "sequence", "scalar"]


@dataclass
class Lead:
    """A comment on a line of its own before a value; `blank`: a blank line stands before it."""

    text: str
    blank: bool


@dataclass
class Value:
    """A value: `entries` of a mapping, `items` of a sequence, or a scalar.

    `text` is the source of a scalar or of a whole collection in flow style; `column` is where it begins. `blank`: a
    blank line stands before it, behind its comments.
    """

    kind: Kind
    flow: bool = False
    style: str = ""  # of a scalar: empty (plain), ' " > |
    content: str = ""
    text: str = ""
    column: int = 0
    entries: list[tuple[Value, Value]] = field(default_factory=list)
    items: list[Value] = field(default_factory=list)
    lead: list[Lead] = field(default_factory=list)
    blank: bool = False
    trail: str = ""

    @property
    def block(self) -> bool:
        """Whether it is a collection in block style."""
        return self.kind != "scalar" and not self.flow

    def first(self) -> Value:
        """The first value in it that has a text of its own."""
        value = self
        while value.block:
            value = value.entries[0][0] if value.kind == "mapping" else value.items[0]
        return value


@dataclass
class Document:
    """A file: its root, and the comments behind its last value."""

    root: Value
    end: list[Lead]


def read_document(text: str) -> Document:
    """The tree of a file that `yamltree.read_yaml` has accepted."""
    root, leaves = _tree(text)
    place, before = 0, None
    for start, end, leaf in leaves:
        _between(text[place:start], before, leaf)
        place, before = end, leaf
    last = Value("scalar")
    _between(text[place:], before, last)
    return Document(root, last.lead)


def _tree(text: str) -> tuple[Value, list[tuple[int, int, Value]]]:
    """The root, and the values with a text of their own, with begin and end, in the order of the file."""
    stack: list[tuple[Value, list[Value], int]] = []  # collection, pending key, begin
    leaves: list[tuple[int, int, Value]] = []
    root: Value | None = None
    depth = 0  # of flow collections
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        done: Value | None = None
        start_mark, end_mark = event.start_mark, event.end_mark
        assert start_mark is not None
        assert end_mark is not None
        if isinstance(event, yaml.CollectionStartEvent):
            kind: Kind = "mapping" if isinstance(event, yaml.MappingStartEvent) else "sequence"
            stack.append((Value(kind, bool(event.flow_style), column=start_mark.column), [], start_mark.index))
            depth += bool(event.flow_style)
        elif isinstance(event, yaml.CollectionEndEvent):
            done, _, begin = stack.pop()
            if done.flow:
                depth -= 1
                done.text = text[begin : end_mark.index]
                if not depth:
                    leaves.append((begin, end_mark.index, done))
        elif isinstance(event, yaml.ScalarEvent):
            start, end = start_mark.index, end_mark.index
            done = Value("scalar", False, event.style or "", event.value, text[start:end], start_mark.column)
            if not depth:
                leaves.append((start, end, done))
        if done is None:
            continue
        if not stack:
            root = done
        elif stack[-1][0].kind == "sequence":
            stack[-1][0].items.append(done)
        elif stack[-1][1]:
            stack[-1][0].entries.append((stack[-1][1].pop(), done))
        else:
            stack[-1][1].append(done)
    assert root is not None
    return root, leaves


def _between(gap: str, before: Value | None, after: Value) -> None:
    """Hand the comments and blank lines between two values to them."""
    fragments = gap.split("\n")
    fresh = before is None or before.style in (">", "|")  # the gap begins at the begin of a line
    blank = False
    for number, fragment in enumerate(fragments):
        _, mark, comment = fragment.partition("#")
        if mark and number == 0 and not fresh and before is not None:
            before.trail = _comment(comment)
        elif mark:
            after.lead.append(Lead(_comment(comment), blank))
            blank = False
        elif not fragment.strip() and (number or fresh) and number < len(fragments) - 1:
            blank = True
    kept = before is not None and "+" in before.text.partition("\n")[0]  # its blank lines are its own
    if before is not None and before.style in (">", "|") and before.text.endswith("\n\n") and not kept:
        (after.lead[0] if after.lead else after).blank = True
    after.blank = after.blank or blank


def _comment(text: str) -> str:
    """A comment in its one form: a space behind the mark."""
    text = text.rstrip()
    return f"#{text}" if not text or text[0] in " #!" else f"# {text}"
