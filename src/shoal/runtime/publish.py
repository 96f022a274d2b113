"""Publishing a pack: its files become one control record, so that every replay finds the pack as it stood.

The record holds the name, version, hash, what is known of the time before (`history`) and the text of every file.
Reading it back writes the files to a temporary folder and loads them with the one loader; a hash that differs is
refused.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from shoal.errors import Corrupt, InvalidInput, Problem
from shoal.packs.load import load_pack
from shoal.packs.pack import Pack

_SUFFIXES = {".yaml", ".yml", ".txt"}


def pack_body(folder: Path, pack: Pack, *, history_complete: bool) -> dict[str, Any]:
    """The body of the control record that publishes `pack`, read from `folder`."""
    files = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in _SUFFIXES
    }
    return {
        "name": pack.name,
        "version": pack.version,
        "hash": pack.hash,
        "history": "complete" if history_complete else "unknown",
        "files": files,
    }


def pack_of(body: Mapping[str, Any]) -> Pack:
    """The pack that a control record published."""
    with tempfile.TemporaryDirectory(prefix="shoal-pack-") as place:
        root = Path(place) / "pack"
        for name, text in body["files"].items():
            relative = PurePosixPath(name)
            if relative.is_absolute() or ".." in relative.parts:
                raise Corrupt(f"a published pack names the file {name!r}, outside its folder")
            target = root.joinpath(*relative.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        pack = load_pack(root)
    if pack.hash != body["hash"]:
        raise InvalidInput(
            Problem(
                "pack.other_release",
                f"pack {body['name']!r} was published as {body['hash']} and reads now as {pack.hash}",
                hint="replay it with the release that published it",
            )
        )
    return pack
