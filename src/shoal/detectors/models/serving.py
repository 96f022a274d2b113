"""The fitted detectors of a pack at work: which rows each scores, with which model, and why. Hot path.

Owns the models in force, one or none for each definition. A model is taken up where its record stands in the journal;
one that does not fit the columns any more is left out, and its columns are null. Knows no journal and no policy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shoal.detectors.models.definition import Input, ModelDefinition
from shoal.detectors.models.inputs import Columns
from shoal.detectors.models.metadata import METADATA_FILE, TREES_FILE
from shoal.detectors.models.model import Model
from shoal.errors import Corrupt, InvalidInput, Problem, ShoalError, nearest_name
from shoal.events.identity import Identity
from shoal.expressions.compile import Scope, compile_expression
from shoal.expressions.frame import Frame, Layout
from shoal.expressions.program import ListLike, Program

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class InForce:
    """A model in force: its files as they were published, and the record that did."""

    model: Model
    files: Mapping[str, bytes]
    seq: int


class Serving:
    """All fitted detectors of one pack for one layout (event columns, attributes, features, signals, their own
    columns). `offered`: the inputs that the engine has, by name."""

    def __init__(
        self,
        definitions: Sequence[ModelDefinition],
        layout: Layout,
        identity: Identity,
        lists: Mapping[str, ListLike],
        offered: Mapping[str, Input],
    ) -> None:
        self.definitions = {one.id: one for one in definitions}
        self.in_force: dict[str, InForce] = {}
        self._offered = offered
        kinds = dict(zip(layout.names, layout.kinds, strict=True))
        scope = Scope(kinds, frozenset(lists))
        conditions = [compile_expression(one.on, scope, one.origin.at("on")) for one in definitions]
        self._program = Program(conditions, layout, identity, lists) if conditions else None
        self._inputs = {one.id: Columns(one.inputs, layout) for one in definitions}

    def verify(self, name: str, files: Mapping[str, bytes]) -> Model:
        """The model, checked against the definition `name` and the columns; raises `InvalidInput`, `Corrupt` or
        `Unsupported`."""
        definition = self.definitions.get(name)
        if definition is None:
            near = nearest_name(name, self.definitions)
            message = f"the pack has no fitted detector {name!r}"
            raise InvalidInput(Problem("model.unknown", message, allowed=", ".join(self.definitions), nearest=near))
        model = Model.read(files, name)
        problems = []
        if model.metadata.name != name:
            problems.append(Problem("model.name", f"the model is of {model.metadata.name!r}, not of {name!r}"))
        given = [one.name for one in model.metadata.inputs]
        if given != list(definition.inputs) or model.metadata.on.strip() != definition.on.strip():
            hint = "fit it again for the pack as it is"
            message = f"the model was fitted for other inputs or other events than {name} of this pack"
            problems.append(Problem("model.definition", message, hint=hint))
        if problems:
            raise InvalidInput(problems)
        model.check(self._offered)
        return model

    def offer(self, offered: Mapping[str, Input]) -> list[str]:
        """The inputs mean something else from here on: models that were not fitted for that go out of force. Returns
        which, and why."""
        self._offered = offered
        notes = []
        for name, found in list(self.in_force.items()):
            try:
                found.model.check(offered)
            except InvalidInput as error:
                del self.in_force[name]
                notes.append(f"the model {name} published by record {found.seq} is not used any more: {error}")
        return notes

    def take_up(self, name: str, files: Mapping[str, bytes], seq: int) -> str:
        """Put a model in force, or withdraw the one that is (no files). Returns why it was not done, or nothing."""
        if not files:
            self.in_force.pop(name, None)
            return ""
        try:
            self.in_force[name] = InForce(self.verify(name, files), dict(files), seq)
        except ShoalError as error:
            self.in_force.pop(name, None)
            return f"the model {name} published by record {seq} is not used: {error}"
        return ""

    def score(self, frame: Frame, first: int) -> None:
        """Fill the columns of all models, from row `first` of the frame's matrices on (two a model). A detector
        without a model leaves them as the frame was filled: null, but in tests that state a score."""
        if not self.in_force or self._program is None:
            return
        wanted = self.rows(frame)
        size = frame.size
        for place, name in enumerate(self.definitions):
            found = self.in_force.get(name)
            if found is None:
                continue
            score, level = first + 2 * place, first + 2 * place + 1
            frame.valid[score : level + 1, :size] = 0
            rows = np.flatnonzero(wanted[place])
            count = len(rows)
            if count:
                raw, scores, levels = np.empty(count), np.empty(count), np.empty(count, np.int64)
                found.model.judge(self.matrix(name, frame, rows), raw, scores, levels)
                frame.values[score, rows] = scores.view(np.int64)
                frame.values[level, rows] = levels
                frame.valid[score, rows] = 1
                frame.valid[level, rows] = 1

    def rows(self, frame: Frame) -> npt.NDArray[np.bool_]:
        """bool [models, n]: which rows each detector scores."""
        assert self._program is not None, "the pack has no fitted detectors"
        truths = np.empty((len(self.definitions), frame.size), np.int8)
        self._program.truths(frame, truths)
        return np.asarray(truths == 1)

    def matrix(self, name: str, frame: Frame, rows: Rows) -> Floats:
        """The inputs of one detector on some rows: float64 [rows, inputs], NaN for null."""
        return self._inputs[name].read(frame, rows)

    def why(self, name: str, frame: Frame, rows: Rows, top: int = 3) -> list[list[str]]:
        """For each row the inputs that raised the score most, in words."""
        return self.in_force[name].model.reasons(self.matrix(name, frame, rows), top)

    def warm(self) -> None:
        """Compile the kernels of scoring, where a model is in force."""
        for found in self.in_force.values():
            found.model.warm()

    def write(self, folder: Path) -> dict[str, int]:
        """Keep the files of all models in force in `folder`; returns the records that published them."""
        for name, found in self.in_force.items():
            (folder / name).mkdir(parents=True)
            for file, data in found.files.items():
                with (folder / name / file).open("wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
        return {name: found.seq for name, found in self.in_force.items()}

    def read(self, folder: Path, published: Mapping[str, int]) -> list[str]:
        """Take up the models that `write` kept, as far as the pack has them; returns which are not used and why."""
        notes = []
        for name, seq in published.items():
            if name not in self.definitions:
                continue
            try:
                files = {file: (folder / name / file).read_bytes() for file in (TREES_FILE, METADATA_FILE)}
            except OSError as error:
                raise Corrupt(f"{folder / name}: {error}") from error
            note = self.take_up(name, files, int(seq))
            notes += [note] if note else []
        return notes
