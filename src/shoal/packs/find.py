"""Where packs are: those that ship with Shoal, folders on the disk, and those that were installed.

A name means a pack that ships; else, on the command line, a folder of that name; else an installed pack, the highest
version that fits. Installed packs lie in `<home>/<name>/<version>/`, where the home is `$SHOAL_PACKS` or
`$XDG_DATA_HOME/shoal/packs` or `~/.local/share/shoal/packs`. Holds no state; reads names of folders only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import InvalidInput, Problem, Where, nearest_name
from shoal.packs.inherit.references import Reference, read_reference, version_number

_BUILTIN = Path(__file__).parent / "builtin"


@dataclass(frozen=True)
class Found:
    """The folder of a pack, and how it is named in messages."""

    folder: Path
    shown: str


Resolver = Callable[[Reference, Path, Where, list[Problem]], Found | None]
"""Finds the pack that a reference in the pack.yaml of a folder names; notes a problem and returns None else."""


@dataclass(frozen=True)
class InstalledPack:
    """An installed pack, by its place; its files are not read."""

    name: str
    version: str
    folder: Path


def builtin_packs() -> tuple[str, ...]:
    """Names of the packs that ship with Shoal."""
    return tuple(sorted(path.parent.name for path in _BUILTIN.glob("*/pack.yaml")))


def packs_home() -> Path:
    """Where installed packs live."""
    given = os.environ.get("SHOAL_PACKS", "")
    if given:
        return Path(given)
    data = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data) if data else Path.home() / ".local" / "share") / "shoal" / "packs"


def installed_packs(home: Path | None = None) -> tuple[InstalledPack, ...]:
    """The installed packs, by name, the highest version first."""
    found = [
        InstalledPack(path.parent.parent.name, path.parent.name, path.parent)
        for path in (home or packs_home()).glob("*/*/pack.yaml")
        if not path.parent.name.startswith(".")
    ]
    by_version = sorted(found, key=lambda one: (version_number(one.version) or (-1,), one.version), reverse=True)
    return tuple(sorted(by_version, key=lambda one: one.name))


def find_pack(source: str | Path) -> Found:
    """The pack that a person named: built in, a folder, or installed. Raises `InvalidInput` (`pack.not_found`)."""
    if isinstance(source, str) and source in builtin_packs():
        return Found(_BUILTIN / source, source)
    folder = Path(source)
    if (folder / "pack.yaml").is_file():
        return Found(folder, str(folder))
    problems: list[Problem] = []
    if isinstance(source, str):
        reference = read_reference(source, Where(), problems)
        installed = None if reference is None or reference.path else _installed(reference)
        if installed is not None:
            return installed
    raise InvalidInput(_not_found(str(source), Where(), folder.is_dir()))


def _installed(reference: Reference, home: Path | None = None) -> Found | None:
    for one in (*(installed_packs(home) if home else ()), *installed_packs()):
        if one.name == reference.name and reference.admits(one.version):
            return Found(one.folder, f"{one.name}=={one.version}")
    return None


def _not_found(text: str, where: Where, is_folder: bool) -> Problem:
    known = list(dict.fromkeys((*builtin_packs(), *(one.name for one in installed_packs()))))
    message = f"{text}: no pack.yaml in this folder" if is_folder else f"no pack {text!r}"
    versions = ", ".join(one.version for one in installed_packs() if one.name == text.split("=")[0].rstrip("<>! "))
    hint = f"installed: {versions}" if versions else ""
    near = nearest_name(text, known)
    return Problem("pack.not_found", message, where, f"a folder with pack.yaml, or {', '.join(known)}", near, hint)


def find_parent(
    reference: Reference, folder: Path, where: Where, problems: list[Problem], home: Path | None = None
) -> Found | None:
    """The pack that `extends` in the pack.yaml of `folder` names; installed ones are sought in `home` first."""
    if reference.path:
        return _beside(reference.path, folder, where, problems, home)
    if reference.name in builtin_packs():
        return Found(_BUILTIN / reference.name, reference.name)
    found = _installed(reference, home)
    if found is None:
        problems.append(_not_found(reference.text, where, False))
    return found


def _beside(path: str, folder: Path, where: Where, problems: list[Problem], home: Path | None) -> Found | None:
    """A folder of the same repository: below the nearest `.git`, else below the pack's parent folder; no links."""
    here = folder.resolve()
    if any(here.is_relative_to(place.resolve()) for place in (packs_home(), home or _BUILTIN, _BUILTIN)):
        hint = "name the pack that it builds on"
        problems.append(Problem("pack.reference", "an installed pack has no neighbours by path", where, hint=hint))
        return None
    root = next((above for above in here.parents if (above / ".git").exists()), here.parent)
    target = Path(os.path.normpath(here / path))
    if not target.is_relative_to(root):
        problems.append(
            Problem("pack.reference", f"{path!r} leads out of the repository", where, f"a folder below {root}")
        )
        return None
    if target.resolve() != target:
        problems.append(Problem("pack.file", f"{path!r} goes through a link", where, "a plain folder"))
        return None
    if not (target / "pack.yaml").is_file():
        others = sorted(other.parent.name for other in target.parent.glob("*/pack.yaml"))
        near = nearest_name(target.name, others)
        problems.append(Problem("pack.not_found", f"{path!r}: no pack.yaml there", where, ", ".join(others), near))
        return None
    return Found(target, os.path.relpath(target) if target.is_relative_to(Path.cwd()) else str(target))
