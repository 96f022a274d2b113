"""Formatting the files of packs: which they are, and writing those that change.

Folders of packs are given, or single files. A file is written aside and renamed, so that nobody sees half of one. Holds
no state.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import InvalidInput, Problem, Where
from shoal.packs.layout.canonical import canonical
from shoal.packs.yamltree import MAX_BYTES

_PATTERNS = (
    "pack.yaml",
    "policy.yaml",
    "features/*.yaml",
    "signals/*.yaml",
    "models/*.yaml",
    "relations/*.yaml",
    "views/*.yaml",
    "rules/*.yaml",
    "lists/*.yaml",
    "lists/*.txt",
)


@dataclass(frozen=True)
class Changed:
    """A file whose layout is not the canonical one."""

    path: Path
    before: str
    after: str

    def diff(self) -> str:
        """The change as a unified diff."""
        lines = (self.before.splitlines(keepends=True), self.after.splitlines(keepends=True))
        return "".join(difflib.unified_diff(*lines, f"{self.path} (as it is)", f"{self.path} (laid out)"))


def format_files(paths: Iterable[Path], *, write: bool) -> tuple[tuple[Changed, ...], tuple[Problem, ...]]:
    """Lay out files and the files of folders; returns what changes (written where `write`) and what cannot be read.

    Raises `InvalidInput` (`fmt.not_found`) where a path leads to no pack, before anything is written.
    """
    problems: list[Problem] = []
    changed = []
    found = _files(paths, problems)
    if problems:
        raise InvalidInput(problems)
    for path in found:
        one = _laid_out(path, problems)
        if one is None:
            continue
        changed.append(one)
        if write:
            _write(one, problems)
    return tuple(changed), tuple(problems)


def _files(paths: Iterable[Path], problems: list[Problem]) -> Sequence[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir() and (path / "pack.yaml").is_file():
            found |= {file: None for pattern in _PATTERNS for file in sorted(path.glob(pattern))}
        elif path.is_file() and path.suffix in (".yaml", ".txt"):
            found[path] = None
        else:
            allowed = "a folder with pack.yaml, or a .yaml or .txt file of one"
            problems.append(Problem("fmt.not_found", "no pack and no file of one", Where(str(path)), allowed))
    return tuple(found)


def _laid_out(path: Path, problems: list[Problem]) -> Changed | None:
    where = Where(str(path))
    if path.is_symlink() or path.stat().st_size > MAX_BYTES:
        problems.append(Problem("pack.file", "a link, or too large", where, "a plain file"))
        return None
    try:
        before = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        problems.append(Problem("yaml.encoding", "the file is not UTF-8", where))
        return None
    after = _text_list(before) if path.suffix == ".txt" else canonical(before, str(path), problems)
    return Changed(path, before, after) if after != before else None


def _text_list(text: str) -> str:
    """A list of one entry a line: no white space around, one line end at the end."""
    return "\n".join(line.strip() for line in text.splitlines()).strip("\n") + "\n"


def _write(one: Changed, problems: list[Problem]) -> None:
    aside = one.path.with_name(f".{one.path.name}.{os.getpid()}")
    try:
        aside.write_bytes(one.after.encode())
        aside.chmod(one.path.stat().st_mode & 0o777)
        aside.replace(one.path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        problems.append(Problem("fmt.write", f"it cannot be written: {error.strerror}", Where(str(one.path))))
