"""Publishing a pack: its files become one control record, so that every replay finds the pack as it stood.

The record holds the name, version, hash, what is known of the time before (`history`) and the text of every file: its
own, and under `parents/<n>/` those of each pack that it builds on, with the references that lead there (`parents`).
Reading it back writes the files to a temporary folder and loads them with the one loader, which finds parents in the
record alone; a hash that differs is refused. A record without `parents` is of a pack that builds on none.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from shoal.errors import Corrupt, InvalidInput, Problem, Where
from shoal.packs.find import Found
from shoal.packs.inherit.references import Reference
from shoal.packs.load import load_pack
from shoal.packs.pack import Pack

_SUFFIXES = {".yaml", ".yml", ".txt"}
_PARENTS = "parents"


def pack_body(folder: Path, pack: Pack, *, history_complete: bool) -> dict[str, Any]:
    """The body of the control record that publishes `pack`, read from `folder`."""
    body: dict[str, Any] = {
        "name": pack.name,
        "version": pack.version,
        "hash": pack.hash,
        "history": "complete" if history_complete else "unknown",
        "files": _texts(folder),
    }
    above = pack.sources[1:]
    places = {source.folder: f"{_PARENTS}/{i}" for i, source in enumerate(above)}
    for source in above:
        body["files"] |= {f"{places[source.folder]}/{name}": text for name, text in _texts(source.folder).items()}
    links = [
        {"of": places.get(source.folder, ""), "reference": reference, "at": places[parent]}
        for source in pack.sources
        for reference, parent in source.extends
    ]
    return body | {"parents": links} if links else body


def _texts(folder: Path) -> dict[str, str]:
    """The files of a pack that its loader may read."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in _SUFFIXES and not path.relative_to(folder).parts[0].startswith(".")
    }


def pack_of(body: Mapping[str, Any]) -> Pack:
    """The pack that a control record published."""
    with tempfile.TemporaryDirectory(prefix="shoal-pack-") as place:
        root = Path(place)
        for name, text in body["files"].items():
            target = _inside(root, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        links = {
            (_inside(root, link["of"]), link["reference"]): _inside(root, link["at"])
            for link in body.get("parents", ())
        }

        def recorded(reference: Reference, folder: Path, where: Where, problems: list[Problem]) -> Found | None:
            found = links.get((folder, reference.text))
            if found is None:
                problems.append(Problem("pack.not_found", f"the record holds no pack {reference.text!r}", where))
                return None
            return Found(found, found.name)

        pack = load_pack(root / "pack", recorded)
    if pack.hash != body["hash"]:
        raise InvalidInput(
            Problem(
                "pack.other_release",
                f"pack {body['name']!r} was published as {body['hash']} and reads now as {pack.hash}",
                hint="replay it with the release that published it",
            )
        )
    return pack


def _inside(root: Path, name: str) -> Path:
    """Where a file or folder of the record is written: parents beside the pack."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise Corrupt(f"a published pack names the file {name!r}, outside its folder")
    above = relative.parts[:1] == (_PARENTS,)
    return root.joinpath(*relative.parts) if above else root.joinpath("pack", *relative.parts)
