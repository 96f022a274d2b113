"""One folder of a pack, read to definitions that are not yet understood: ids with the mapping that stands under each.

A pack comes from outside: links are not followed, sizes are bounded, and nothing in it is executed. What the mappings
mean is read when the packs that this one builds on are laid under it (`load`). All problems go to one list. Owns
nothing after the reading.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from shoal.errors import Problem, Where, nearest_name
from shoal.packs.fields import Reader, as_mapping
from shoal.packs.pack import PACK_FORMAT
from shoal.packs.sections import (
    NAME,
    NAME_FORM,
    check_rule_id,
    definitions,
    read_header,
    read_policy,
    read_settings,
)
from shoal.packs.yamltree import MAX_BYTES, Node, read_yaml

MAX_FILES = 500
SECTIONS = ("attributes", "features", "signals", "models", "relations", "views", "rules", "threats", "allow", "lists")
"""The kinds of definitions with ids, in the order in which they are read."""
_FOLDERS = ("features", "signals", "models", "relations", "views", "rules", "lists")
_DUPLICATES = {
    "features": ("features.duplicate_id", "feature"),
    "signals": ("pack.duplicate_signal", "signal"),
    "models": ("pack.duplicate_model", "model"),
    "relations": ("pack.duplicate_relation", "relation"),
    "views": ("pack.duplicate_view", "view"),
    "rules": ("pack.duplicate_rule", "rule"),
    "allow": ("pack.duplicate_allow", "allow entry"),
    "lists": ("pack.duplicate_list", "list"),
}


@dataclass
class Reading:
    """What one reading of a pack, with all that it builds on, collects: problems, and the places of fields."""

    problems: list[Problem] = field(default_factory=list)
    lines: dict[tuple[str, str], Where] = field(default_factory=dict)


@dataclass
class Raw:
    """One folder: `sections` by kind and id; scalars are None where they are not given."""

    folder: Path
    shown: str
    name: str = ""
    version: str = ""
    description: str = ""
    lateness_s: int | None = None
    evidence_s: int | None = None
    extends: list[tuple[str, Where]] = field(default_factory=list)
    sections: dict[str, dict[str, Reader]] = field(default_factory=lambda: {name: {} for name in SECTIONS})
    overrides: Reader | None = None
    disable: Reader | None = None
    replaces: Reader | None = None


def note_lines(tree: Node, file: str, lines: dict[tuple[str, str], Where]) -> None:
    """Note the line of every field of a file's definitions (three levels: section, id, field)."""
    for section, found in tree.entries.items():
        for name, definition in found.entries.items():
            for key in definition.entries:
                path = f"{section}.{name}.{key}"
                lines[file, path] = Where(file, definition.keys[key], path)


def read_folder(folder: Path, shown: str, reading: Reading) -> Raw | None:
    """Read all files of a folder; None where its pack.yaml tells nothing."""
    return _Folder(folder, shown, reading).read()


class _Folder:
    """One reading of one folder."""

    def __init__(self, folder: Path, shown: str, reading: Reading) -> None:
        self.raw = Raw(folder, shown)
        self.folder, self.shown, self.problems, self.lines = folder, shown, reading.problems, reading.lines
        self.count = 0

    def read(self) -> Raw | None:
        """Read pack.yaml, then the other files."""
        head = self._mapping(self.folder / "pack.yaml")
        if head is None or not self._head(head):
            return None
        self._check_entries()
        for section in ("features", "signals", "models", "relations", "views", "rules"):
            for path in self._files(section, (".yaml",)):
                reader = self._mapping(path)
                found = [] if reader is None else definitions(reader, f"shoal.{section}", section)
                for name, one in found:
                    if section == "rules":
                        check_rule_id(name, one, path.stem)
                self._add(section, found)
        self._lists()
        policy = self.folder / "policy.yaml"
        if not self.raw.extends or os.path.lexists(policy):
            reader = self._mapping(policy)
            if reader is not None:
                parts = read_policy(reader, bool(self.raw.extends))
                self.raw.evidence_s = parts.evidence_s
                self._add("threats", parts.threats)
                self._add("allow", parts.allow)
        return self.raw

    def _head(self, head: Reader) -> bool:
        if not read_header(head, PACK_FORMAT):
            return False
        raw = self.raw
        raw.name = head.text("name", required=True)
        if raw.name and not NAME.match(raw.name):
            head.wrong("name", "pack.name", f"{raw.name!r} is no pack name", NAME_FORM)
        raw.version = head.text("pack_version", required=True)
        raw.description = " ".join(head.text("description", required=True).split())
        attributes = head.mapping("attributes")
        if attributes is not None:
            self._add("attributes", attributes.children())
        raw.lateness_s = read_settings(head)
        raw.extends = [(text, head.place("extends")) for text in head.texts("extends")]
        for key in ("overrides", "replaces"):
            setattr(raw, key, head.mapping(key))
            if head.has(key) and not raw.extends:
                head.wrong(key, "pack.no_parent", f"{key} without a pack that this one builds on", hint="say `extends`")
        raw.disable = self._disable(head)
        head.finish()
        return True

    def _disable(self, head: Reader) -> Reader | None:
        """`disable`: a list of rule ids, or ids by section."""
        node = head.node_at("disable")
        if node is None:
            return None
        if not self.raw.extends:
            head.wrong(
                "disable", "pack.no_parent", "disable without a pack that this one builds on", hint="say `extends`"
            )
        if node.kind == "sequence":
            line = head.node.keys["disable"]
            node = Node("mapping", line, entries={"rules": node}, keys={"rules": line})
            return Reader(node, head.file, "disable", self.problems)
        return head.mapping("disable")

    def _add(self, section: str, found: Iterable[tuple[str, Reader]]) -> None:
        """Keep definitions by id; one that is given twice is refused with both places."""
        kept = self.raw.sections[section]
        for name, one in found:
            if name in kept:
                slug, word = _DUPLICATES[section]
                hint = f"first at {kept[name].where}"
                self.problems.append(Problem(slug, f"the {word} {name!r} is given twice", one.where, hint=hint))
            else:
                kept[name] = one

    def _name(self, path: Path) -> str:
        return f"{self.shown}/{path.relative_to(self.folder).as_posix()}"

    def _bytes(self, path: Path) -> bytes | None:
        """A file's bytes; links, odd files and large ones are refused."""
        where = Where(self._name(path))
        self.count += 1
        if self.count > MAX_FILES:
            if self.count == MAX_FILES + 1:
                self.problems.append(Problem("pack.too_many_files", "too many files", where, f"at most {MAX_FILES}"))
            return None
        if path.is_symlink() or not path.is_file():
            message = "a link or no plain file" if os.path.lexists(path) else "the file is missing"
            self.problems.append(Problem("pack.file", message, where, "a plain file"))
            return None
        if path.stat().st_size > MAX_BYTES:
            self.problems.append(
                Problem("yaml.too_large", f"{path.stat().st_size:,} bytes", where, f"at most {MAX_BYTES:,} bytes")
            )
            return None
        return path.read_bytes()

    def _mapping(self, path: Path) -> Reader | None:
        data = self._bytes(path)
        if data is None:
            return None
        tree = read_yaml(data, self._name(path), self.problems)
        if tree is None:
            return None
        note_lines(tree, self._name(path), self.lines)
        return as_mapping(tree, self._name(path), "", self.problems)

    def _files(self, folder: str, suffixes: tuple[str, ...]) -> list[Path]:
        """The files of a folder, sorted; others are refused."""
        root = self.folder / folder
        if root.is_symlink():
            self.problems.append(Problem("pack.file", "a link", Where(f"{self.shown}/{folder}"), "a folder"))
            return []
        found = []
        for path in sorted(root.iterdir()) if root.is_dir() else []:
            if path.suffix in suffixes:
                found.append(path)
            elif path.suffix != ".md":
                where = Where(self._name(path))
                self.problems.append(
                    Problem("pack.unknown_file", "the file is not read", where, ", ".join((*suffixes, ".md")))
                )
        return found

    def _check_entries(self) -> None:
        """Refuse files that would be ignored in silence."""
        known = ("pack.yaml", "policy.yaml", *_FOLDERS)
        for path in sorted(self.folder.iterdir()):
            if path.name not in known and path.suffix != ".md" and not path.name.startswith("."):
                near = nearest_name(path.name, known)
                where = Where(self._name(path))
                self.problems.append(
                    Problem("pack.unknown_file", "this is not read", where, ", ".join((*known, "*.md")), near)
                )

    def _lists(self) -> None:
        for path in self._files("lists", (".yaml", ".txt")):
            reader = self._text_list(path) if path.suffix == ".txt" else self._mapping(path)
            if reader is not None:
                self._add("lists", [(path.stem, reader)])

    def _text_list(self, path: Path) -> Reader | None:
        """One entry a line; `#` begins a comment; `# kind: address` in the first line makes it a list of ranges."""
        data = self._bytes(path)
        if data is None:
            return None
        try:
            lines = data.decode("utf-8").splitlines()
        except UnicodeDecodeError:
            self.problems.append(Problem("yaml.encoding", "the file is not UTF-8", Where(self._name(path))))
            return None
        kind = "address" if lines and lines[0].replace(" ", "") == "#kind:address" else "text"
        texts = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
        entries = Node("sequence", 1, items=[Node("text", number, text) for number, text in texts if text])
        values = {
            "format": Node("text", 1, "shoal.list"),
            "version": Node("int", 1, "1"),
            "kind": Node("text", 1, kind),
            "entries": entries,
        }
        tree = Node("mapping", 1, entries=values, keys=dict.fromkeys(values, 1))
        return Reader(tree, self._name(path), "", self.problems)
