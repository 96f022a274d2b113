"""The folder of one deployment: where its key, journal, decisions, store, snapshots lie.

    HOME/format.json       name and version of this layout
    HOME/identity.key      the 16-byte key of the keyed hash, mode 0600, never rotated in place
    HOME/shoal.toml        settings (optional)
    HOME/journal/          segments, with the duplicates' hash files beside them
    HOME/decisions/        decision segments
    HOME/store.sqlite      position, ledger, decisions above allow, outbox (or a PostgreSQL database: `store_url`)
    HOME/snapshots/        engine-SEQ and facts-SEQ: state behind the journal's first SEQ records
    HOME/published/        packs whose record retention dropped from the journal
    HOME/dead-letters.ndjson  the raw bytes of what could not be processed
    HOME/state/            working files of the engine, made anew on start

Knows the places and the key, and opens the store, which alone may lie elsewhere.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import Corrupt, InvalidInput, Problem, Unsupported, Where
from shoal.events.identity import KEY_BYTES, Identity
from shoal.settings import Settings, read_settings
from shoal.storage.store import Store

FORMAT, VERSION = "shoal.home", 1
_BEFORE_MARK = {"identity.key", "identity.key.tmp", "shoal.toml", "format.json.tmp"}
"""What may lie in a folder that is to become a deployment: settings, and what a creation that was cut short left."""


@dataclass(frozen=True)
class Home:
    """An opened deployment folder."""

    folder: Path
    identity: Identity
    settings: Settings

    @property
    def journal(self) -> Path:
        """Folder of the journal's segments."""
        return self.folder / "journal"

    @property
    def decisions(self) -> Path:
        """Folder of the decision segments."""
        return self.folder / "decisions"

    @property
    def dead_letters(self) -> Path:
        """The NDJSON file of what could not be processed."""
        return self.folder / "dead-letters.ndjson"

    @property
    def snapshots(self) -> Path:
        """Folder of snapshots."""
        return self.folder / "snapshots"

    def open_store(self, *, read_only: bool = False) -> Store:
        """Open the store where the settings say: the database of `store_url`, else `store.sqlite` in the folder.

        A relative path in `store_url` is one in the deployment's folder. Raises what `Store.open` raises.
        """
        url = self.settings.store_url.get_secret_value()
        where = url if "://" in url else self.folder / (url or "store.sqlite")
        return Store.open(where, dead_letters=self.dead_letters, read_only=read_only)


def open_home(folder: Path, *, create: bool) -> Home:
    """Open `folder`; with `create`, an absent or empty one is made into a new deployment with a fresh key.

    Raises `InvalidInput` for a folder that is not a deployment, `Unsupported` for another version, `Corrupt` for a
    bad key file.
    """
    mark = folder / "format.json"
    if not mark.exists():
        if not create:
            raise InvalidInput(
                Problem(
                    "home.absent",
                    "no Shoal deployment here",
                    Where(str(folder)),
                    hint="make one with: shoal run SOURCE --out " + str(folder),
                )
            )
        if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - _BEFORE_MARK):
            raise InvalidInput(
                Problem(
                    "home.foreign",
                    "the folder is not empty and is no Shoal deployment",
                    Where(str(folder)),
                    hint="name a new or empty folder",
                )
            )
        _create(folder)
    _check_mark(mark)
    return Home(folder, _read_key(folder / "identity.key"), read_settings(folder / "shoal.toml"))


def _create(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / "identity.key.tmp"
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(Identity.generate().key.hex() + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    if not (folder / "identity.key").exists():
        os.replace(aside, folder / "identity.key")
    aside.unlink(missing_ok=True)
    aside = folder / "format.json.tmp"
    aside.write_text(json.dumps({"format": FORMAT, "version": VERSION}) + "\n", encoding="utf-8")
    os.replace(aside, folder / "format.json")


def _check_mark(mark: Path) -> None:
    try:
        content = json.loads(mark.read_text(encoding="utf-8"))
        name, version = content["format"], content["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{mark}: not the mark of a Shoal deployment") from error
    if (name, version) != (FORMAT, VERSION):
        raise Unsupported(f"{mark}: {name} version {version}; this release reads {FORMAT} version {VERSION}")


def _read_key(path: Path) -> Identity:
    try:
        text = path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except (OSError, ValueError) as error:
        raise Corrupt(f"{path}: the identity key cannot be read; restore it from a backup") from error
    if len(key) != KEY_BYTES:
        raise Corrupt(f"{path}: the identity key has {len(key)} bytes, not {KEY_BYTES}; restore it from a backup")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)
    return Identity(key)
