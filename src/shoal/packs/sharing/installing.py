"""Export a pack to one file; install such a file where packs are found by name.

What is installed is checked first, in the place where it will stand: a pack with a problem, one that decides otherwise
here than where it was exported, and other content under a name and version that are taken are refused. Owns the folders
`<home>/<name>/<version>/` and the `.manifest.json` in each; a pack appears in one rename or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from shoal.errors import InvalidInput, Problem, Where
from shoal.packs.find import builtin_packs, find_parent, installed_packs, packs_home
from shoal.packs.load import load_pack
from shoal.packs.pack import Pack
from shoal.packs.sharing.bundle import (
    MAX_BUNDLE_BYTES,
    NAME_OF_FILE,
    VERSION_OF_PACK,
    Bundle,
    ParentNeeded,
    read_bundle,
    write_bundle,
)

KEPT_MANIFEST = ".manifest.json"


@dataclass(frozen=True)
class Installed:
    """An installed pack: its manifest and its folder; `fresh` is false where it already stood there."""

    manifest: dict[str, Any]
    folder: Path
    fresh: bool = True


def make_bundle(source: str | Path) -> Bundle:
    """The bundle of a sound pack. Raises `InvalidInput` where it is not, or where it builds on a pack by path."""
    pack = load_pack(source)
    own, problems = pack.sources[0], []
    files = {}
    for path in sorted(own.folder.rglob("*")):
        name = path.relative_to(own.folder).as_posix()
        if name.startswith(".") or path.is_dir():
            continue
        if path.is_symlink() or not NAME_OF_FILE.match(name):
            allowed = "letters, digits, _ - . and one of .yaml, .txt, .md"
            message = "a link" if path.is_symlink() else f"{name!r} cannot stand in a pack file"
            problems.append(Problem("packfile.name", message, Where(f"{own.shown}/{name}"), allowed))
        else:
            files[name] = path.read_bytes()
    for reference, folder in own.extends:
        if reference.startswith("."):
            name = next(source.name for source in pack.sources if source.folder == folder)
            message = f"it builds on {reference!r}, which nobody else has"
            hint = f"export and install that one too, and name it here: {name}"
            problems.append(Problem("packfile.path_parent", message, Where(f"{own.shown}/pack.yaml"), hint=hint))
    if not VERSION_OF_PACK.match(pack.version):
        message = f"pack_version {pack.version!r} is no version"
        allowed = "letters, digits, dots, + and -"
        problems.append(Problem("packfile.pack_version", message, Where(f"{own.shown}/pack.yaml"), allowed))
    if problems:
        raise InvalidInput(problems)
    return Bundle(pack.name, pack.version, pack.hash, _parents(pack), files)


def _parents(pack: Pack) -> tuple[ParentNeeded, ...]:
    needed = []
    for reference, folder in pack.sources[0].extends:
        parent = load_pack(folder)
        needed.append(ParentNeeded(reference, parent.name, parent.version, parent.hash))
    return tuple(needed)


def export_pack(source: str | Path, target: Path) -> tuple[Bundle, str]:
    """Write a pack to one file; returns its bundle and the SHA-256 of the file."""
    bundle = make_bundle(source)
    data = write_bundle(bundle)
    if len(data) > MAX_BUNDLE_BYTES:
        message = f"the pack file would have {len(data):,} bytes"
        raise InvalidInput(Problem("packfile.too_large", message, allowed=f"at most {MAX_BUNDLE_BYTES:,}"))
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        aside.write_bytes(data)
        aside.replace(target)
    except OSError as error:
        aside.unlink(missing_ok=True)
        message = f"{target} cannot be written: {error.strerror}"
        raise InvalidInput(Problem("packfile.write", message, hint="name another file")) from error
    return bundle, hashlib.sha256(data).hexdigest()


def read_pack_file(path: Path, sha256: str = "") -> Bundle:
    """Read a pack file, whose SHA-256 must be the given one where one is given."""
    shown = str(path)
    try:
        if path.stat().st_size > MAX_BUNDLE_BYTES:
            allowed = f"at most {MAX_BUNDLE_BYTES:,} bytes"
            raise InvalidInput(Problem("packfile.too_large", f"{path.stat().st_size:,} bytes", Where(shown), allowed))
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(Problem("packfile.read", f"{error.strerror}", Where(shown))) from error
    found = hashlib.sha256(data).hexdigest()
    if sha256 and sha256.lower() != found:
        message = f"its SHA-256 is {found}, not {sha256}"
        raise InvalidInput(Problem("packfile.sha256", message, Where(shown), hint="fetch it again; do not install it"))
    return read_bundle(data, shown)


def install_pack(path: Path, home: Path | None = None, *, sha256: str = "", replace: bool = False) -> Installed:
    """Check a pack file and install it below `home` (default: where packs are found by name)."""
    bundle = read_pack_file(path, sha256)
    if bundle.name in builtin_packs():
        message = f"{bundle.name!r} is the name of a pack that ships with Shoal, which would always be found first"
        raise InvalidInput(Problem("packfile.taken_name", message, Where(str(path)), hint="give it a name of its own"))
    home = (home or packs_home()).absolute()
    target = home / bundle.name / bundle.version
    manifest = bundle.manifest()
    if target.exists() and not replace:
        if _kept(target).get("content_sha256") == bundle.content:
            return Installed(manifest, target, fresh=False)
        message = f"{bundle.name} {bundle.version} is installed with other content"
        hint = "raise pack_version, or say --replace"
        raise InvalidInput(Problem("packfile.other_content", message, Where(str(target)), hint=hint))
    home.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".install-", dir=home))
    try:
        fresh = aside / bundle.name
        for name, data in bundle.files.items():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).write_bytes(data)
        _check(bundle, fresh, home, path)
        (fresh / KEPT_MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            os.replace(target, aside / "old")
        os.replace(fresh, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Installed(manifest, target)


def _check(bundle: Bundle, folder: Path, home: Path, path: Path) -> None:
    """The pack must be sound here, be what its manifest says, and decide here as it did where it was exported."""
    pack = load_pack(folder, partial(find_parent, home=home))
    where = Where(str(path))
    if (pack.name, pack.version) != (bundle.name, bundle.version):
        message = f"the manifest says {bundle.name} {bundle.version}, the pack {pack.name} {pack.version}"
        raise InvalidInput(Problem("packfile.manifest", message, where))
    if pack.hash == bundle.hash:
        return
    problems = []
    here = {source.folder: source for source in pack.sources[1:]}
    for needed, (_, parent) in zip(bundle.parents, pack.sources[0].extends, strict=False):
        other = load_pack(parent, partial(find_parent, home=home))
        if other.hash != needed.hash:
            message = f"it was exported over {needed.name} {needed.version} ({needed.hash})"
            message += f"; here that is {here[parent].version} ({other.hash})"
            hint = "install that version of it, or export the pack again over the one here"
            problems.append(Problem("packfile.other_parent", message, where, hint=hint))
    if not problems:
        message = f"it would decide otherwise here: {pack.hash}, not {bundle.hash}"
        problems = [Problem("packfile.other_hash", message, where, hint="export it again with this release")]
    raise InvalidInput(problems)


def _kept(folder: Path) -> dict[str, Any]:
    """The manifest that stands in an installed pack; empty where it cannot be read."""
    try:
        found = json.loads((folder / KEPT_MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def list_installed(home: Path | None = None) -> tuple[Installed, ...]:
    """The installed packs with their manifests (empty where a manifest cannot be read)."""
    return tuple(Installed(_kept(one.folder), one.folder) for one in installed_packs(home))
