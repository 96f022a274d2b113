"""Reading a pack: a folder, or the name of one that ships with Shoal, becomes a checked `Pack`.

A pack comes from outside: links are not followed, sizes are bounded, and nothing in it is executed. All problems of all
files are collected and raised together, each with file and line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from shoal.errors import InvalidInput, Problem, Where, nearest_name
from shoal.events.schema import EVENT_COLUMNS, Kind
from shoal.features.definitions import FeatureDefinition
from shoal.packs.fields import Reader, as_mapping
from shoal.packs.pack import PACK_FORMAT, Attribute, ListDefinition, Pack, PackSettings, RuleTest
from shoal.packs.resolve import pack_hash, resolve_features, resolve_rules
from shoal.packs.sections import (
    NAME,
    NAME_FORM,
    make_list,
    read_attributes,
    read_features,
    read_header,
    read_list,
    read_policy,
    read_rules,
    read_settings,
)
from shoal.packs.testfile import read_tests
from shoal.packs.yamltree import MAX_BYTES, Node, read_yaml
from shoal.policy.checks import policy_problems
from shoal.policy.definitions import Policy
from shoal.rules.rules import Rule

MAX_FILES = 500
MAX_RULES = 1_000
_FOLDERS = ("features", "rules", "lists")
_BUILTIN = Path(__file__).parent / "builtin"


def builtin_packs() -> tuple[str, ...]:
    """Names of the packs that ship with Shoal."""
    return tuple(sorted(path.parent.name for path in _BUILTIN.glob("*/pack.yaml")))


def load_pack(source: str | Path) -> Pack:
    """Read the pack in folder `source`, or the built-in pack of that name.

    Raises `InvalidInput` with all problems (slugs `pack.*`, `yaml.*`, `features.*`, `rule.*`, `reason.*`, `policy.*`,
    `allow.*`, `test.*`, `expression.*`). Costs about a second for 100 rules.
    """
    folder, shown = _find(source)
    loading = _Loading(folder, shown)
    pack = loading.read()
    if loading.problems or pack is None:
        problems = [loading.placed(problem) for problem in loading.problems]
        raise InvalidInput(sorted(problems, key=lambda p: (p.where.file, p.where.line)))
    return pack


def _find(source: str | Path) -> tuple[Path, str]:
    """The folder of a pack, and how it is named in messages."""
    if isinstance(source, str) and source in builtin_packs():
        return _BUILTIN / source, source
    folder = Path(source)
    if (folder / "pack.yaml").is_file():
        return folder, str(folder)
    known = builtin_packs()
    message = f"{folder}: no pack.yaml in this folder" if folder.is_dir() else f"no pack {str(source)!r}"
    allowed = f"a folder with pack.yaml, or {', '.join(known)}"
    raise InvalidInput(Problem("pack.not_found", message, Where(), allowed, nearest_name(str(source), known)))


def note_lines(tree: Node, file: str, lines: dict[tuple[str, str], int]) -> None:
    """Note the line of every field of a file's definitions (three levels: section, id, field)."""
    for section, definitions in tree.entries.items():
        for name, definition in definitions.entries.items():
            for key in definition.entries:
                lines[file, f"{section}.{name}.{key}"] = definition.keys[key]


class _Loading:
    """One reading of one folder."""

    def __init__(self, folder: Path, shown: str) -> None:
        self.folder, self.shown = folder, shown
        self.problems: list[Problem] = []
        self.count = 0
        self.lines: dict[tuple[str, str], int] = {}

    def placed(self, problem: Problem) -> Problem:
        """The problem with the line of the very value, found by the path of its field (`window_s`: window)."""
        where = problem.where
        line = self.lines.get((where.file, where.path)) or self.lines.get((where.file, where.path.removesuffix("_s")))
        return problem if line is None else replace(problem, where=Where(where.file, line, where.path))

    def read(self) -> Pack | None:
        """Read all files, then resolve names across them."""
        head = self._mapping(self.folder / "pack.yaml")
        if head is None or not read_header(head, PACK_FORMAT):
            return None
        name = head.text("name", required=True)
        if name and not NAME.match(name):
            head.wrong("name", "pack.name", f"{name!r} is no pack name", NAME_FORM)
        version = head.text("pack_version", required=True)
        description = " ".join(head.text("description", required=True).split())
        attributes, settings = read_attributes(head), read_settings(head)
        head.finish()
        self._check_entries()
        features = [f for path in self._files("features", (".yaml",)) for f in self._section(path, read_features)]
        rules: list[tuple[Rule, Reader]] = []
        for path in self._files("rules", (".yaml",)):
            reader = self._mapping(path)
            rules += [] if reader is None else read_rules(reader, path.stem)
        self._unique_rules([rule for rule, _ in rules])
        lists = self._lists()
        policy_reader = self._mapping(self.folder / "policy.yaml")
        policy = Policy({}) if policy_reader is None else read_policy(policy_reader)
        return self._resolve(name, version, description, attributes, settings, features, rules, policy, lists)

    def _resolve(
        self,
        name: str,
        version: str,
        description: str,
        attributes: dict[str, Attribute],
        settings: PackSettings,
        features: Sequence[FeatureDefinition],
        read: Sequence[tuple[Rule, Reader]],
        policy: Policy,
        lists: dict[str, ListDefinition],
    ) -> Pack:
        columns: dict[str, Kind] = {c.name: c.kind for c in EVENT_COLUMNS}
        columns |= {a.name: a.kind for a in attributes.values()}
        rules = tuple(rule for rule, _ in read)
        kinds = resolve_features(features, columns, frozenset(lists), self.problems)
        resolve_rules(rules, columns, kinds, frozenset(lists), self.problems)
        self.problems.extend(policy_problems(policy, rules, columns, lists))
        tests: list[RuleTest] = []
        for rule, reader in read:
            tests += read_tests(rule.id, reader, columns)
        return Pack(
            name=name,
            version=version,
            description=description,
            hash=pack_hash(attributes, settings, features, rules, policy, lists),
            attributes=attributes,
            settings=settings,
            features=tuple(features),
            feature_kinds=kinds,
            rules=rules,
            policy=policy,
            lists=lists,
            tests=tuple(tests),
        )

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

    def _section(self, path: Path, read: Callable[[Reader], list[FeatureDefinition]]) -> list[FeatureDefinition]:
        reader = self._mapping(path)
        return [] if reader is None else read(reader)

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

    def _unique_rules(self, rules: Sequence[Rule]) -> None:
        if len(rules) > MAX_RULES:
            self.problems.append(Problem("pack.too_many_rules", f"{len(rules)} rules", allowed=f"at most {MAX_RULES}"))
        first: dict[str, Rule] = {}
        for rule in rules:
            if rule.id in first:
                hint = f"first at {first[rule.id].origin}"
                self.problems.append(
                    Problem("pack.duplicate_rule", f"rule {rule.id!r} is given twice", rule.origin, hint=hint)
                )
            first.setdefault(rule.id, rule)

    def _lists(self) -> dict[str, ListDefinition]:
        found: dict[str, ListDefinition] = {}
        for path in self._files("lists", (".yaml", ".txt")):
            one: ListDefinition | None
            if path.suffix == ".txt":
                one = self._text_list(path)
            else:
                reader = self._mapping(path)
                one = None if reader is None else read_list(reader, path.stem)
            if one is None:
                continue
            if one.name in found:
                message = f"the list {one.name!r} is given twice"
                self.problems.append(
                    Problem("pack.duplicate_list", message, one.origin, hint=f"first at {found[one.name].origin}")
                )
            found[one.name] = one
        return found

    def _text_list(self, path: Path) -> ListDefinition | None:
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
        entries = [line.partition("#")[0].strip() for line in lines]
        reader = Reader(Node("mapping", 1), self._name(path), "", self.problems)
        return make_list(path.stem, kind, [entry for entry in entries if entry], reader)
