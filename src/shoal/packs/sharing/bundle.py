"""One file that holds a pack: a ZIP of stored (never compressed) entries, `manifest.json` first.

The same files give the same bytes on every machine: names sorted, times fixed, nothing compressed, and no other byte.
Reading trusts nothing: what is not byte for byte what `write_bundle` would have written is refused, after the checks
that can say what is wrong by name. Format `shoal.packfile`, version 1. Holds no state, touches no disk.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shoal.errors import InvalidInput, Problem, Unsupported, Where

BUNDLE_FORMAT, BUNDLE_VERSION = "shoal.packfile", 1
MANIFEST = "manifest.json"
MAX_BUNDLE_BYTES = 16 << 20
MAX_FILE_BYTES = 1 << 20
MAX_FILES = 500
NAME_OF_FILE = re.compile(r"(?:(?:features|rules|lists)/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\.(?:yaml|yml|txt|md)\Z")
VERSION_OF_PACK = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,63}\Z")
_PACK_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_HASH = re.compile(r"[0-9a-f]{16}\Z")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FILE_MODE = 0o100644 << 16
_LINK = 0o120000


@dataclass(frozen=True)
class ParentNeeded:
    """A pack that the bundled one builds on: how it names it, and what that was when the bundle was written."""

    reference: str
    name: str
    version: str
    hash: str


@dataclass(frozen=True)
class Bundle:
    """A pack as files, with what it says of itself."""

    name: str
    version: str
    hash: str
    parents: tuple[ParentNeeded, ...]
    files: Mapping[str, bytes]

    @property
    def content(self) -> str:
        """SHA-256 of all names and contents."""
        lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(self.files.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def manifest(self) -> dict[str, Any]:
        """The manifest as plain data."""
        return {
            "format": BUNDLE_FORMAT,
            "version": BUNDLE_VERSION,
            "name": self.name,
            "pack_version": self.version,
            "hash": self.hash,
            "content_sha256": self.content,
            "parents": [vars(parent) for parent in self.parents],
            "files": {
                name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                for name, data in sorted(self.files.items())
            },
        }


def write_bundle(bundle: Bundle) -> bytes:
    """The bytes of a bundle: a function of its contents alone."""
    manifest = json.dumps(bundle.manifest(), sort_keys=True, indent=1, ensure_ascii=True).encode() + b"\n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in ((MANIFEST, manifest), *sorted(bundle.files.items())):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 3, _FILE_MODE
            archive.writestr(entry, data)
    return stream.getvalue()


def _refuse(shown: str, slug: str, message: str, allowed: str = "", hint: str = "") -> InvalidInput:
    return InvalidInput(Problem(f"packfile.{slug}", message, Where(shown), allowed, hint=hint))


def read_bundle(data: bytes, shown: str) -> Bundle:
    """Read and check a bundle; `shown` names it in messages.

    Raises `InvalidInput` (slugs `packfile.*`), and `Unsupported` for a version of the format that is not known here.
    """
    if len(data) > MAX_BUNDLE_BYTES:
        raise _refuse(shown, "too_large", f"{len(data):,} bytes", f"at most {MAX_BUNDLE_BYTES:,} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries, shown)
            files = {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, RuntimeError) as error:
        raise _refuse(shown, "damaged", f"not a pack file: {error}", hint="export or fetch it again") from error
    manifest = _manifest(files.pop(MANIFEST), shown)
    bundle = _bundle(manifest, files, shown)
    if write_bundle(bundle) != data:
        raise _refuse(shown, "form", "the file holds bytes that do not belong in a pack file", hint="export it again")
    return bundle


def _check_entries(entries: list[zipfile.ZipInfo], shown: str) -> None:
    """Refuse by name what must not be in a bundle, before a byte of it is read."""
    if len(entries) > MAX_FILES + 1:
        raise _refuse(shown, "too_many", f"{len(entries):,} entries", f"at most {MAX_FILES}")
    seen: set[str] = set()
    for entry in entries:
        name = entry.filename
        told = repr(name[:100])
        if name.lower() in seen:
            raise _refuse(shown, "duplicate", f"{told} stands in it twice")
        seen.add(name.lower())
        if (entry.external_attr >> 16) & 0o170000 == _LINK:
            raise _refuse(shown, "link", f"{told} is a link", "plain files")
        if name != MANIFEST and not NAME_OF_FILE.match(name):
            allowed = "pack.yaml, policy.yaml, features/, rules/ and lists/ with .yaml, .yml and .txt, and .md"
            raise _refuse(shown, "name", f"{told} is no file of a pack", allowed)
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise _refuse(shown, "compressed", f"{told} is compressed", "stored entries")
        if entry.flag_bits & 0x1:
            raise _refuse(shown, "encrypted", f"{told} is encrypted")
        if entry.file_size > MAX_FILE_BYTES:
            raise _refuse(shown, "too_large", f"{told}: {entry.file_size:,} bytes", f"at most {MAX_FILE_BYTES:,} bytes")
    if MANIFEST not in seen:
        raise _refuse(shown, "manifest", "no manifest.json in it", hint="`shoal pack export` writes one")


def _manifest(data: bytes, shown: str) -> dict[str, Any]:
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _refuse(shown, "manifest", f"the manifest is not JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != BUNDLE_FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise _refuse(shown, "format", f"the manifest is of format {found!r}", BUNDLE_FORMAT)
    if manifest.get("version") != BUNDLE_VERSION:
        found = manifest.get("version")
        raise Unsupported(f"{shown}: {BUNDLE_FORMAT} version {found!r}; this release reads version {BUNDLE_VERSION}")
    return manifest


def _bundle(manifest: dict[str, Any], files: dict[str, bytes], shown: str) -> Bundle:
    """The bundle that a manifest and its files make; every field of the manifest is checked."""
    fields = {"name": _PACK_NAME, "pack_version": VERSION_OF_PACK, "hash": _HASH}
    for key, form in fields.items():
        if not isinstance(manifest.get(key), str) or not form.match(manifest[key]):
            raise _refuse(shown, "manifest", f"{key} is {str(manifest.get(key))[:100]!r}")
    try:
        parents = tuple(ParentNeeded(**parent) for parent in manifest["parents"])
        told = {name: (one["bytes"], one["sha256"]) for name, one in manifest["files"].items()}
    except (TypeError, KeyError, AttributeError) as error:
        raise _refuse(shown, "manifest", f"the manifest lacks or garbles a field: {error}") from error
    if not all(isinstance(text, str) and len(text) <= 200 for parent in parents for text in vars(parent).values()):
        raise _refuse(shown, "manifest", "a parent in the manifest is no text")
    for name in sorted(set(told) ^ set(files)):
        raise _refuse(shown, "files", f"{name!r} stands in {'the manifest' if name in told else 'the file'} alone")
    for name, data in sorted(files.items()):
        if told[name] != (len(data), hashlib.sha256(data).hexdigest()):
            raise _refuse(shown, "checksum", f"{name} is not what the manifest says", hint="fetch it again")
    return Bundle(manifest["name"], manifest["pack_version"], manifest["hash"], parents, files)
