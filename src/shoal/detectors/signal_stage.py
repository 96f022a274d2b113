"""All signals of a pack at work: they fill their columns of the frame, and their state goes to disk together. Hot path.

Owns the state of the signals and the published tables that they took up. A snapshot is a folder with `signals.json`
(ids and hashes), one `<id>.npz` each, and `tables/<id>.npz` where a signal uses tables; arrays alone, read without
pickle. The records that published the tables are told by `tables`, and kept by whoever keeps the snapshot.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shoal.detectors.signal_kinds import KINDS, signal_columns
from shoal.detectors.signal_tables import Arrays, digest, read_tables
from shoal.detectors.signals import Signal, SignalDefinition
from shoal.errors import Corrupt, InvalidInput, Problem, ShoalError, Unsupported, nearest_name
from shoal.events.identity import Identity
from shoal.expressions.frame import Frame, Layout
from shoal.expressions.program import ListLike
from shoal.features.engine import Stamps

INDEX, TABLES = "signals.json", "tables"


@dataclass(frozen=True)
class TakenUp:
    """The tables that a signal uses: the arrays, their SHA-256 and the record that published them."""

    arrays: Arrays
    sha256: str
    seq: int


class SignalStage:
    """The signals of a pack, in its order. `layout` is that of event columns and attributes."""

    def __init__(
        self,
        definitions: Sequence[SignalDefinition],
        layout: Layout,
        identity: Identity,
        lists: Mapping[str, ListLike],
    ) -> None:
        self.definitions = tuple(definitions)
        self.signals: list[Signal] = [KINDS[one.kind](one, layout, identity, lists) for one in definitions]
        self.tables: dict[str, TakenUp] = {}
        """By the id of the signal."""
        self._fixed: frozenset[str] = frozenset()
        self._given = (layout, identity, lists)
        self._widths = [len(signal_columns(one)) for one in definitions]

    def update(self, frame: Frame, stamps: Stamps, first: int) -> None:
        """Read and learn all rows; the columns stand in the frame from row `first` of its matrices on."""
        if not frame.size:
            return
        for signal, width in zip(self.signals, self._widths, strict=True):
            signal.update(frame, stamps, frame.values[first : first + width], frame.valid[first : first + width])
            first += width

    def take_up(self, body: Mapping[str, Any], seq: int) -> list[str]:
        """Take up the tables of a record's body, which is not trusted. A signal is known by id and hash, or by its hash
        under another id. Returns why they are not used, if they are not; then nothing changes."""
        try:
            found = read_tables(body)
        except ShoalError as error:
            return [f"the tables published by record {seq} are not used: {error}"]
        chosen = [one for one in self.definitions if one.hash == found.definition]
        chosen = [one for one in chosen if one.id == found.signal] or chosen
        if chosen and self._fixed.issuperset(one.id for one in chosen):
            return []
        if not chosen:
            return [f"the tables of {found.signal} published by record {seq} are not used: no signal is so defined now"]
        notes = (self._take(one.id, found.arrays, found.sha256, seq) for one in chosen)
        return [
            f"the tables of {found.signal} published by record {seq} are not used: {note}" for note in notes if note
        ]

    @property
    def measures(self) -> dict[str, str]:
        """By the id of the signal, the SHA-256 of the tables in use that are a measure (`Signal.tables_measure`)."""
        return {name: found.sha256 for name, found in self.tables.items() if name in self._measured()}

    def fix(self, records: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """Take up the last measure of each signal among these records (seq and body, in order) for good: further
        records of measures change nothing."""
        measured = self._measured()
        hashes = {one.hash for one in self.definitions if one.id in measured}
        for seq, body in records:
            if body.get("definition") in hashes:
                self.take_up(body, seq)
        self._fixed = measured

    def _measured(self) -> frozenset[str]:
        return frozenset(one.id for one in self.definitions if KINDS[one.kind].tables_measure)

    def verify(self, name: str, arrays: Arrays) -> SignalDefinition:
        """The definition of the signal `name`, which would take up these arrays; raises `InvalidInput`."""
        takers = [one.id for one in self.definitions if KINDS[one.kind].takes_tables]
        if name not in takers:
            message = f"the pack has no signal {name!r} that takes up tables"
            raise InvalidInput(
                Problem(
                    "tables.unknown", message, allowed=", ".join(takers) or "none", nearest=nearest_name(name, takers)
                )
            )
        definition = next(one for one in self.definitions if one.id == name)
        if arrays:
            problems = KINDS[definition.kind](definition, *self._given).table_problems(arrays)
            if problems:
                raise InvalidInput(problems)
        return definition

    def _take(self, name: str, arrays: Arrays, sha256: str, seq: int) -> str:
        signal = next(one for one in self.signals if one.definition.id == name)
        note = signal.take_up(arrays, seq)
        if note:
            return note
        if arrays:
            self.tables[name] = TakenUp(arrays, sha256, seq)
        else:
            self.tables.pop(name, None)
        return ""

    def warm(self) -> None:
        """Compile all kernels."""
        for signal in self.signals:
            signal.warm()

    def snapshot(self, folder: Path) -> None:
        """Write the state into the new folder `folder`, synced."""
        (folder / TABLES).mkdir(parents=True)
        for definition, signal in zip(self.definitions, self.signals, strict=True):
            _save(folder / f"{definition.id}.npz", signal.snapshot())
            if definition.id in self.tables:
                _save(folder / TABLES / f"{definition.id}.npz", self.tables[definition.id].arrays)
        with (folder / INDEX).open("w", encoding="utf-8") as stream_:
            json.dump({one.id: one.hash for one in self.definitions}, stream_)
            stream_.flush()
            os.fsync(stream_.fileno())

    def restore(self, folder: Path, tables: Mapping[str, int] | None = None, *, new_empty: bool = False) -> None:
        """Take over the state of a snapshot. Signals are known by their hash, under whatever id; one that is not there
        is refused (`Unsupported`), or begins empty where `new_empty`. `tables`: the records that published the tables
        of the snapshot, by the id that the signal had there. Raises `Corrupt` for what is no snapshot."""
        published = tables or {}
        known = saved_signals(folder)
        by_hash = {found: name for name, found in known.items()}
        for definition, signal in zip(self.definitions, self.signals, strict=True):
            name = definition.id if known.get(definition.id) == definition.hash else by_hash.get(definition.hash)
            if name is None:
                if new_empty:
                    continue
                raise Unsupported(f"{folder}: holds no state of the signal {definition.id}")
            if name in published:
                self._restore_tables(definition.id, folder / TABLES / f"{name}.npz", published[name])
            signal.restore(_load(folder / f"{name}.npz"))

    def _restore_tables(self, name: str, path: Path, seq: int) -> None:
        arrays = _load(path)
        for array in arrays.values():
            array.flags.writeable = False
        note = self._take(name, arrays, digest(arrays), seq)
        if note:
            raise Corrupt(f"{path}: {note}")


def _save(path: Path, arrays: Arrays) -> None:
    with path.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **dict(arrays))
        stream.flush()
        os.fsync(stream.fileno())


def _load(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise Corrupt(f"{path}: no arrays of a signal: {error}") from error


def saved_signals(folder: Path) -> dict[str, str]:
    """Ids and hashes of the signals whose state a snapshot holds; raises `Corrupt`."""
    try:
        found = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in found.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise Corrupt(f"{folder}: no snapshot of signals: {error}") from error
