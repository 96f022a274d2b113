"""Publishing a pack: its files become one control record, so that every replay finds the pack as it stood.

The record holds the name, version, hash, what is known of the time before (`history`), how the engine got its state
(`state`, see `choose_state`) and the text of every file: its own, and under `parents/<n>/` those of each pack that it
builds on, with the references that lead there (`parents`). Reading it back writes the files to a temporary folder and
loads them with the one loader, which finds parents in the record alone; a hash that differs is refused. A record
without `parents` is of a pack that builds on none.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from shoal.errors import Corrupt, InvalidInput, Problem, Where
from shoal.features.plan import Plan
from shoal.packs.find import Found
from shoal.packs.inherit.references import Reference
from shoal.packs.load import load_pack
from shoal.packs.pack import Pack
from shoal.runtime.engine import Engine, columns_read

REPLAYED, CARRIED = "replayed", "carried"
_SUFFIXES = {".yaml", ".yml", ".txt"}
_PARENTS = "parents"


def pack_body(
    folder: Path, pack: Pack, *, history_complete: bool, revise: tuple[float, int], state: str = REPLAYED
) -> dict[str, Any]:
    """The body of the control record that publishes `pack`, read from `folder`. `revise`: how many seconds a
    provisional decision stays open, and how many do."""
    body: dict[str, Any] = {
        "name": pack.name,
        "version": pack.version,
        "hash": pack.hash,
        "history": "complete" if history_complete else "unknown",
        "state": state,
        "revise": list(revise),
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


def revise_of(body: Mapping[str, Any]) -> tuple[float, int] | None:
    """How a publication keeps provisional decisions open; None for one of a release that knew no revisions."""
    found = body.get("revise")
    return (float(found[0]), int(found[1])) if found else None


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


def choose_state(
    engine: Engine | None,
    pack: Pack,
    *,
    history_complete: bool,
    records: int,
    dropped: bool,
    warm_up_rows: int,
    asked: bool | None,
) -> str:
    """How `pack` gets its state when it takes over from `engine`: `replayed` or `carried`.

    Carried where every feature is known by its definition (nothing is lost, and leases are those of what was planned),
    where retention dropped records, where more than `warm_up_rows` records would have to be replayed, and where it is
    asked for (`asked` False: no warm-up; True: a replay). Raises `InvalidInput` where what is asked for cannot be.
    """
    if asked and dropped:
        raise InvalidInput(
            Problem(
                "publish.history_dropped",
                "a warm-up replays the journal from its first record, and retention has dropped some",
                hint="leave --warm-up away: features that stay keep their state, new ones begin as partial",
            )
        )
    if engine is None or (engine.features.now is None and not dropped) or asked:
        return REPLAYED
    problems = carry_problems(engine, pack)
    if problems and (dropped or asked is False):
        raise InvalidInput(problems)
    if dropped or asked is False:
        return CARRIED
    known = Counter(one.hash for part in engine.features.parts for one in part.plan.definitions)
    wanted = Counter(one.hash for one in pack.features if one.operation != "derived")
    whole = wanted <= known and engine.history_complete == history_complete
    whole = whole and {one.hash for one in pack.signals} <= {one.hash for one in engine.signals.definitions}
    return CARRIED if not problems and (whole or records > warm_up_rows) else REPLAYED


def carry_problems(engine: Engine, pack: Pack) -> list[Problem]:
    """Why `pack` cannot go on with the state of `engine`: all that its features read must still mean the same."""
    parts = [part.plan.definitions for part in engine.features.parts]
    definitions = [one for part in parts for one in part]
    hint = "keep it declared, or let the pack replay the journal (--warm-up)"
    problems = []
    for name in sorted(columns_read(definitions, engine.pack)):
        old, new = engine.pack.attributes.get(name), pack.attributes.get(name)
        if old and (new is None or (new.path, new.kind) != (old.path, old.kind)):
            what = "is gone" if new is None else "is declared otherwise"
            text = f"the attribute {name!r} {what}, and state that is carried over reads it"
            problems.append(Problem("publish.attribute", text, hint=hint))
    gone = sorted(set(engine.lists) - set(pack.lists))
    try:
        if not problems:
            made = Engine(pack, engine.identity, history_complete=False, carried=definitions)
            for part in parts:
                Plan(part, made.event_layout, frozenset(pack.lists))
            made.features.close()
    except InvalidInput as error:
        if not gone:
            raise
        text = f"the list {', '.join(map(repr, gone))} is gone, and state that is carried over reads it"
        problems += [Problem("publish.list", text, hint=hint), *error.problems]
    return problems
