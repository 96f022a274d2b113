"""The demo's first half: labels that were known by its end are journalled, detectors are fitted on it and published.

What cannot be fitted (too little abuse is known yet) is told in a note, and the rules go on alone. Knows the journal
and files of a world, not the simulator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from shoal.detectors.models.model import read_folder
from shoal.errors import InvalidInput
from shoal.learn.evaluation.card import Card, decode
from shoal.learn.fitting.fit import fit
from shoal.learn.fitting.settings import FitSettings
from shoal.runtime.home import Home
from shoal.runtime.learning.folder import write_model_folder
from shoal.runtime.learning.frames import gather
from shoal.runtime.run import Progress

_RECEIVED = b'"received":"'


@dataclass(frozen=True)
class FirstDays:
    """`models`: files by detector; `cards`: what each was measured to do; `position`: the record behind which they
    decide; `notes`: what was not fitted, and why."""

    models: Mapping[str, Mapping[str, bytes]]
    cards: Mapping[str, Card]
    position: int = 0
    notes: Sequence[str] = field(default_factory=tuple)


def cut_events(source: Path, until_us: int, first: Path, rest: Path) -> None:
    """Divide a native file in two: the lines up to the first event that was received after `until_us`, and the others;
    the whole is then removed. Nothing is divided where both exist."""
    if first.exists() and rest.exists():
        source.unlink(missing_ok=True)
        return
    aside = [path.with_suffix(".tmp") for path in (first, rest)]
    with source.open("rb") as lines, aside[0].open("wb") as early, aside[1].open("wb") as late:
        out = early
        for line in lines:
            if out is early and received_us(line) > until_us:
                out = late
            out.write(line)
    for path, target in zip(aside, (first, rest), strict=True):
        path.replace(target)
    source.unlink()


def received_us(line: bytes) -> int:
    """When an event's line was received, µs; -1 for a line that does not say it."""
    at = line.find(_RECEIVED)
    end = line.find(b'"', at + len(_RECEIVED))
    if at < 0 or end < 0:
        return -1
    try:
        moment = datetime.fromisoformat(line[at + len(_RECEIVED) : end].decode("ascii").replace("Z", "+00:00"))
    except ValueError:
        return -1
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC) if moment.tzinfo else None
    return -1 if delta is None else (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def label_lines(rows: Sequence[Mapping[str, Any]], until_us: int) -> bytes:
    """Label records in the native format, those known by `until_us`, in the order in which they became known."""
    known = [row for row in rows if row["known_at"] is not None and row["known_at"] <= until_us]
    out = []
    for row in sorted(known, key=lambda row: (row["known_at"], row["subject_type"], row["subject"])):
        if row["subject_type"] in ("file_sha256", "app"):
            continue  # no subject of a label record
        record = {
            "record": "label",
            "subject_type": row["subject_type"],
            "subject": row["subject"],
            "kind": row["kind"],
            "source": row["source"],
            "confidence": row["confidence"],
            "known_at": moment(row["known_at"]),
        }
        record |= {name: moment(row[name]) for name in ("start", "end") if row[name] is not None}
        out.append(orjson.dumps(record) + b"\n")
    return b"".join(out)


def moment(time_us: int) -> str:
    """A time as the native format writes it."""
    seconds, rest = divmod(time_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


def learn_from(home: Home, folder: Path, until_us: int, progress: Progress) -> FirstDays:
    """Fit every detector of the pack in force on what the journal holds; models and cards go to `folder/<detector>`."""
    progress.stage("replaying the first days for training")
    gathered = gather(home, until_us=until_us, moved=progress.moved)
    models: dict[str, Mapping[str, bytes]] = {}
    cards: dict[str, Card] = {}
    notes: list[str] = []
    for name, frame in gathered.frames.items():
        progress.stage(f"fitting {name}")
        try:
            found = fit(frame, gathered.labels, until_us=until_us, made_at=moment(until_us),
                        settings=FitSettings(trials=4, trees=200))  # fmt: skip
        except InvalidInput as error:
            notes.append(f"{name} was not fitted: {error.problems[0].message}")
            continue
        models[name], cards[name] = found.files, found.card
        write_model_folder(folder / name, found.files, found.card)
        notes += [f"{name}: {note}" for note in found.notes]
    return FirstDays(models, cards, notes=notes)


def read_back(folder: Path, names: Sequence[str], position: int) -> FirstDays:
    """The models that `learn_from` wrote."""
    models = {name: read_folder(folder / name) for name in names}
    cards = {name: decode((folder / name / "card.json").read_bytes()) for name in names}
    return FirstDays(models, cards, position)
