"""All signals of a pack at work: they fill their columns of the frame, and their state goes to disk together. Hot path.

Owns the state of the signals. A snapshot is a folder with `signals.json` (ids and hashes) and one `<id>.npz` each;
arrays alone, read without pickle.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from shoal.detectors.signal_kinds import KINDS, signal_columns
from shoal.detectors.signals import Signal, SignalDefinition
from shoal.errors import Corrupt, Unsupported
from shoal.events.identity import Identity
from shoal.expressions.frame import Frame, Layout
from shoal.expressions.program import ListLike
from shoal.features.engine import Stamps

INDEX = "signals.json"


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
        self._widths = [len(signal_columns(one)) for one in definitions]

    def update(self, frame: Frame, stamps: Stamps, first: int) -> None:
        """Read and learn all rows; the columns stand in the frame from row `first` of its matrices on."""
        if not frame.size:
            return
        for signal, width in zip(self.signals, self._widths, strict=True):
            signal.update(frame, stamps, frame.values[first : first + width], frame.valid[first : first + width])
            first += width

    def warm(self) -> None:
        """Compile all kernels."""
        for signal in self.signals:
            signal.warm()

    def snapshot(self, folder: Path) -> None:
        """Write the state into the new folder `folder`, synced."""
        folder.mkdir()
        for definition, signal in zip(self.definitions, self.signals, strict=True):
            with (folder / f"{definition.id}.npz").open("wb") as stream:
                np.savez(stream, allow_pickle=False, **dict(signal.snapshot()))
                stream.flush()
                os.fsync(stream.fileno())
        with (folder / INDEX).open("w", encoding="utf-8") as stream_:
            json.dump({one.id: one.hash for one in self.definitions}, stream_)
            stream_.flush()
            os.fsync(stream_.fileno())

    def restore(self, folder: Path, *, new_empty: bool = False) -> None:
        """Take over the state of a snapshot. Signals are known by their hash, under whatever id; one that is not there
        is refused (`Unsupported`), or begins empty where `new_empty`. Raises `Corrupt` for what is no snapshot."""
        known = saved_signals(folder)
        by_hash = {found: name for name, found in known.items()}
        for definition, signal in zip(self.definitions, self.signals, strict=True):
            name = definition.id if known.get(definition.id) == definition.hash else by_hash.get(definition.hash)
            if name is None:
                if new_empty:
                    continue
                raise Unsupported(f"{folder}: holds no state of the signal {definition.id}")
            path = folder / f"{name}.npz"
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    signal.restore({key: arrays[key] for key in arrays.files})
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                raise Corrupt(f"{path}: no state of a signal: {error}") from error


def saved_signals(folder: Path) -> dict[str, str]:
    """Ids and hashes of the signals whose state a snapshot holds; raises `Corrupt`."""
    try:
        found = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in found.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise Corrupt(f"{folder}: no snapshot of signals: {error}") from error
