"""The one layout: two spaces a level, fields in the order of the documentation, comments where they were.

Kept as written: block or flow style, the order of definitions, quoted or plain, the folding of long texts, one blank
line. Made alike: indentation, the order of fields, spaces in flow collections (one that spans lines is joined where it
fits), quotes (double where that needs no escapes), two spaces before a trailing comment, the end of the file. After the
layout the meaning is compared with the original's; a file for which they differ is never written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shoal.errors import Problem, Where
from shoal.packs.layout.source import Lead, Value, read_document
from shoal.packs.yamltree import Node, read_yaml

WIDTH = 120
_HEAD = ("format", "version")
_ORDERS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("shoal.pack", (), (*_HEAD, "name", "pack_version", "description", "extends", "overrides", "replaces", "disable",
                        "settings", "attributes")),
    ("shoal.pack", ("attributes", "*"), ("path", "type")),
    ("shoal.features", (), (*_HEAD, "features")),
    ("shoal.features", ("features", "*"), (
        "operation", "key", "value", "window", "bucket", "oldest_bucket", "half_life", "where", "expression",
        "include_self", "include_shoal", "places", "largest", "description", "unit")),
    ("shoal.signals", (), (*_HEAD, "signals")),
    ("shoal.signals", ("signals", "*"), ("kind", "description")),
    ("shoal.models", (), (*_HEAD, "models")),
    ("shoal.models", ("models", "*"), (
        "threat", "description", "on", "subject", "labels", "inputs", "rising", "falling", "budgets")),
    ("shoal.relations", (), (*_HEAD, "relations")),
    ("shoal.relations", ("relations", "*"), (
        "columns", "on", "subject", "strength", "role", "cap", "words")),
    ("shoal.views", (), (*_HEAD, "views")),
    ("shoal.views", ("views", "*"), ("description", "rows", "on", "subject", "key", "high", "low")),
    ("shoal.rules", (), (*_HEAD, "rules")),
    ("shoal.rules", ("rules", "*"), (
        "title", "description", "threat", "subject", "severity", "confidence", "confirmed", "family", "technique",
        "tactic", "condition", "on_unknown", "include_shoal", "reason", "false_positives", "evasion", "tests")),
    ("shoal.rules", ("rules", "*", "tests", "[]"), ("name", "start", "facts", "each", "events", "expect")),
    ("shoal.policy", (), (*_HEAD, "evidence", "threats", "allow")),
    ("shoal.policy", ("threats", "*"), ("role", "description", "steps", "actions")),
    ("shoal.policy", ("threats", "*", "steps", "[]"), ("tier", "severity", "rules")),
    ("shoal.policy", ("threats", "*", "actions", "[]"), ("action", "from", "on", "lease")),
    ("shoal.policy", ("allow", "[]"), (
        "id", "column", "list", "owner", "expires", "threats", "actions", "reason")),
    ("shoal.list", (), (*_HEAD, "kind", "description", "entries")),
)  # fmt: skip


def canonical(text: str, file: str, problems: list[Problem]) -> str:
    """The canonical layout of a YAML file; notes its problems and returns it unchanged where it cannot be read."""
    noted = len(problems)
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    tree = read_yaml(text.encode(), file, problems)
    if tree is None or len(problems) > noted:
        return text
    if any(line.startswith(("%", "---", "...")) for line in text.splitlines()):
        hint = "a pack's file is one plain document"
        problems.append(Problem("fmt.document", "directives and document markers", Where(file), hint=hint))
        return text
    document = read_document(text)
    form = tree.entries["format"].text if "format" in tree.entries else ""
    lines = _Writer(form).root(document.root)
    lines += [line for lead in document.end for line in ([""] if lead.blank and lines else []) + [lead.text]]
    laid_out = "\n".join(lines).strip("\n") + "\n"
    again = read_yaml(laid_out.encode(), file, [])
    if again is None or not alike(tree, again) or comments(laid_out) != comments(text):
        hint = "it was left as it is; please report it with the file"
        problems.append(Problem("fmt.meaning", "the layout would change the meaning", Where(file), hint=hint))
        return text
    return laid_out


def alike(one: Node, other: Node) -> bool:
    """Whether two trees mean the same: kinds and texts of values, order of items and of definitions' ids alone."""
    if one.kind != other.kind:
        return False
    if one.kind == "mapping":
        return one.entries.keys() == other.entries.keys() and all(
            alike(value, other.entries[key]) for key, value in one.entries.items()
        )
    if one.kind == "sequence":
        return len(one.items) == len(other.items) and all(map(alike, one.items, other.items))
    return one.kind == "null" or one.text == other.text


def comments(text: str) -> list[str]:
    """The comments of a file, sorted, in their one form."""
    found: list[str] = []

    def walk(value: Value) -> None:
        found.extend(lead.text for lead in value.lead)
        found.extend([value.trail] if value.trail else [])
        if value.flow and _has_comment(value):
            found.extend(line.strip() for line in value.text.split("\n") if "#" in line)
        for key, child in value.entries if value.block else ():
            walk(key)
            walk(child)
        for child in value.items if value.block else ():
            walk(child)

    document = read_document(text)
    walk(document.root)
    return sorted(found + [lead.text for lead in document.end])


class _Writer:
    """Writes the values of one file of format `form`."""

    def __init__(self, form: str) -> None:
        self.form = form

    def root(self, value: Value) -> list[str]:
        """The whole document."""
        if value.block:
            return self.block(value, 0, ())
        return [*self.leads(value, 0, False), *self.inline("", value, 0, ())]

    def block(self, value: Value, indent: int, path: tuple[str, ...]) -> list[str]:
        """A mapping or sequence in block style."""
        lines: list[str] = []
        if value.kind == "sequence":
            for item in value.items:
                lines += self.leads(item.first(), indent, bool(lines))
                item.column = item.column if item.block else value.column
                lines += self.item(item, indent, (*path, "[]"))
            return lines
        for key, child in self.ordered(value, path):
            lines += self.leads(key, indent, bool(lines))
            if not child.block:
                lines += self.leads(child, indent, bool(lines))
                child.column = key.column
            lines += self.entry(key, child, indent, (*path, key.content))
        return lines

    def ordered(self, value: Value, path: tuple[str, ...]) -> list[tuple[Value, Value]]:
        """The entries of a mapping: fields in their order, unknown ones behind; ids as they stand."""
        for form, pattern, order in _ORDERS:
            same = form == self.form and len(pattern) == len(path)
            if same and all(part in ("*", name) for part, name in zip(pattern, path, strict=True)):
                rank = {name: i for i, name in enumerate(order)}
                return sorted(value.entries, key=lambda entry: rank.get(entry[0].content, len(rank)))
        return value.entries

    def leads(self, value: Value, indent: int, inner: bool) -> Iterator[str]:
        """The comments before a value, and at most one blank line before each; none at the begin of a collection."""
        for i, lead in enumerate(value.lead):
            if lead.blank and (inner or i):
                yield ""
            yield " " * indent + lead.text
        if value.blank and (inner or value.lead):
            yield ""
        value.lead, value.blank = [], False

    def item(self, item: Value, indent: int, path: tuple[str, ...]) -> list[str]:
        """One item of a sequence, behind its dash."""
        if not item.block:
            return self.inline(" " * indent + "-", item, indent, path)
        lines = self.block(item, indent + 2, path)
        lines[0] = " " * indent + "- " + lines[0].lstrip()
        return lines

    def entry(self, key: Value, value: Value, indent: int, path: tuple[str, ...]) -> list[str]:
        """One entry of a mapping."""
        head = " " * indent + _scalar(key) + ":"
        if value.block:
            trail = f"  {key.trail}" if key.trail else ""
            return [head + trail, *self.block(value, indent + 2, path)]
        value.trail = value.trail or key.trail
        return self.inline(head, value, indent, path)

    def inline(self, head: str, value: Value, indent: int, path: tuple[str, ...]) -> list[str]:
        """A scalar or a flow collection behind `head`, which belongs to an entry at `indent`."""
        trail = f"  {value.trail}" if value.trail else ""
        if value.style in (">", "|"):
            return _block_scalar(head, value, indent)
        if value.kind == "scalar" and "\n" not in value.text:
            text = _scalar(value)
            return [(f"{head} {text}".lstrip() if not head else f"{head} {text}".rstrip()) + trail]
        if value.kind == "scalar":
            first, *rest = [line.strip() for line in value.text.split("\n")]
            shifted = [" " * (indent + 2) + line if line else "" for line in rest]
        else:
            joined = self.flow(value, path)
            begin = f"{head} " if head else ""
            if "\n" not in value.text or (not _has_comment(value) and len(begin) + len(joined) <= WIDTH):
                return [begin + joined + trail]
            first, *rest = [line.rstrip() for line in value.text.split("\n")]
            shifted = _shifted(rest, indent)
        begin = f"{head} " if head else ""
        lines = [begin + first, *shifted]
        lines[-1] += trail
        return lines

    def flow(self, value: Value, path: tuple[str, ...]) -> str:
        """A flow collection on one line."""
        if value.kind == "scalar":
            return " ".join(_scalar(value).split("\n")) if "\n" not in value.text else value.text
        if value.kind == "sequence":
            return "[" + ", ".join(self.flow(item, (*path, "[]")) for item in value.items) + "]"
        entries = (
            f"{_scalar(key)}: {self.flow(child, (*path, key.content)) or 'null'}"
            for key, child in self.ordered(value, path)
        )
        return "{" + ", ".join(entries) + "}"


def _has_comment(value: Value) -> bool:
    """Whether a flow collection holds a comment, or a text over several lines, and so cannot be joined."""
    if value.kind == "scalar":
        return "\n" in value.text
    parts = [part for entry in value.entries for part in entry] + value.items
    place, between = 0, ""
    for part in parts:
        at = value.text.find(part.text, place)
        between += value.text[place:at]
        place = at + len(part.text)
    return "#" in between + value.text[place:] or any(_has_comment(part) for part in parts)


def _shifted(lines: Sequence[str], indent: int) -> list[str]:
    """The further lines of a flow collection that keeps its lines: one level deeper, its end at the entry."""
    found = []
    for line in lines:
        text = line.strip()
        closes = text[:1] in ("]", "}")
        found.append(" " * (indent if closes else indent + 2) + text if text else "")
    return found


def _scalar(value: Value) -> str:
    """A scalar of one line: as written, in double quotes where it is quoted and they need no escapes."""
    if value.style == "'" and value.content.isprintable() and not set(value.content) & {'"', "\\"}:
        return f'"{value.content}"'
    return value.text


def _block_scalar(head: str, value: Value, indent: int) -> list[str]:
    """A `>` or `|` scalar, its lines moved as a whole."""
    header, _, body = value.text.partition("\n")
    mark, _, comment = header.partition("#")
    mark = mark.strip()
    lines = body.split("\n")
    if lines and not lines[-1].strip():
        lines.pop()
    if "+" not in mark:
        while lines and not lines[-1].strip():
            lines.pop()
    digits = [c for c in mark if c.isdigit()]
    if digits:
        target, width = indent + int(digits[0]), value.column + int(digits[0])
    else:
        target = indent + 2
        width = next((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), target)
    moved = [" " * target + line[width:] if line[width:] else "" for line in lines]
    shown = f"  # {comment.strip()}" if comment.strip() else ""
    return [f"{head} {mark}{shown}", *moved]


__all__ = ["Lead", "alike", "canonical", "comments"]
