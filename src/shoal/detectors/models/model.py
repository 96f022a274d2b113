"""A fitted model as it is served: verified files in; raw sums, calibrated scores, levels and reasons out.

`Model.read` takes the bytes of the two files and refuses whatever does not fit together; from then on nothing is looked
up or checked again but the shape of what is scored. A `Model` never changes and has no state, so threads share it. It
knows no engine: `check` compares what it was fitted on with the inputs that an engine offers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from shoal.detectors.models.contributions import Paths, contributions
from shoal.detectors.models.definition import LEVELS, Input
from shoal.detectors.models.metadata import METADATA_FILE, TREES_FILE, Metadata, encode
from shoal.detectors.models.text import MAX_BYTES
from shoal.detectors.models.trees import Floats, Trees
from shoal.detectors.models.trees_kernel import calibrate, grade, judge
from shoal.detectors.models.verify import KINDS, MAX_METADATA_BYTES, agree, read_metadata
from shoal.detectors.models.words import phrase
from shoal.errors import InvalidInput, Problem, Where, nearest_name

Levels = npt.NDArray[np.int64]
LIMITS = {METADATA_FILE: MAX_METADATA_BYTES, TREES_FILE: MAX_BYTES}


@dataclass(frozen=True, eq=False)
class Model:
    """A fitted detector. `identity`: 16 hex digits over both files."""

    metadata: Metadata
    trees: Trees
    identity: str
    _paths: Paths = field(repr=False)
    _points: tuple[Floats, Floats] = field(repr=False)
    _thresholds: Floats = field(repr=False)

    @classmethod
    def read(cls, files: Mapping[str, bytes], where: str) -> Model:
        """Read and verify `model.txt` and `model.json`; `where` names them in errors.

        Raises `Unsupported` (another format, version or kind of trees), `Corrupt` (a hash), `InvalidInput` (all else,
        all problems together). Costs about 1 ms a tree.
        """
        place = Where(where)
        metadata = read_metadata(files, place)
        trees = Trees.read(files[TREES_FILE], Where(f"{where}/{TREES_FILE}" if where else TREES_FILE))
        problems = agree(metadata, trees, place)
        if problems:
            raise InvalidInput(problems)
        points = np.array(metadata.calibration.x), np.array(metadata.calibration.y)
        thresholds = np.full(len(LEVELS) - 1, np.inf)
        for level in metadata.levels:
            thresholds[LEVELS.index(level.name) - 1] = level.threshold
        return cls(metadata, trees, _identity(files), Paths.of(trees), points, thresholds)

    @classmethod
    def folder(cls, path: Path) -> Model:
        """Read the model in a folder; other files in it are left alone. Raises as `read`."""
        return cls.read(read_folder(path), str(path))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the columns of a row, in their order."""
        return tuple(column.name for column in self.metadata.inputs)

    def check(self, offered: Mapping[str, Input]) -> None:
        """Refuse to score with inputs that are not what the model was fitted on.

        Raises `InvalidInput` with one problem an input: `model.input_missing`, `model.input_kind`,
        `model.input_changed`.
        """
        problems = []
        for column in self.metadata.inputs:
            at = Where(path=f"{self.metadata.name} inputs {column.name}")
            found = offered.get(column.name)
            again = f"fit it again: shoal learn fit {self.metadata.name}"
            if found is None:
                message = f"the model reads {column.name!r}, which the pack does not offer"
                nearest = nearest_name(column.name, offered)
                hint = f"put the column back, or {again}"
                problems.append(Problem("model.input_missing", message, at, nearest=nearest, hint=hint))
            elif found.kind is not KINDS[column.kind]:
                message = f"{column.name!r} is of kind {found.kind.name.lower()}, the model was fitted on {column.kind}"
                problems.append(Problem("model.input_kind", message, at, allowed=column.kind, hint=again))
            elif found.hash != column.hash:
                message = f"{column.name!r} is defined otherwise ({found.hash}) than when the model was fitted"
                hint = f"restore its definition, or {again}"
                problems.append(Problem("model.input_changed", message, at, allowed=column.hash, hint=hint))
        if problems:
            raise InvalidInput(problems)

    def raw(self, x: npt.ArrayLike) -> Floats:
        """Raw sums [n] of the rows `x` float64 [n, d], NaN for missing; a row's sum does not depend on its neighbours.

        Raises `InvalidInput` (`model.rows`) where `x` has another shape.
        """
        return self.trees.raw(self._rows(x))

    def score(self, raw: npt.ArrayLike) -> Floats:
        """Calibrated probabilities [n] of raw sums [n]."""
        given = np.ascontiguousarray(raw, np.float64)
        out = np.empty(len(given))
        calibrate(given, *self._points, out)
        return out

    def level(self, raw: npt.ArrayLike) -> Levels:
        """Which of `LEVELS` each raw sum [n] reaches, as a number; a level that the model lacks is never reached."""
        given = np.ascontiguousarray(raw, np.float64)
        out = np.empty(len(given), np.int64)
        grade(given, self._thresholds, out)
        return out

    def judge(self, x: Floats, raw: Floats, score: Floats, level: Levels) -> None:
        """`raw`, `score` and `level` in one call, into the caller's arrays [n]: the engine's way in. Hot path.

        `x` must be float64 [n, d], C-contiguous; raises `InvalidInput` (`model.rows`) where d is not the model's.
        """
        t = self.trees
        if x.shape[1] != t.inputs:
            self._rows(x)
        judge(
            x, t.nodes, t.values, t.roots, t.depths, t.order, t.slots, t.starts, t.cuts,
            *self._points, self._thresholds, raw, score, level,
        )  # fmt: skip

    def contributions(self, x: npt.ArrayLike) -> Floats:
        """Exact SHAP values [n, d] of the rows `x` in units of the raw sum (path-dependent TreeSHAP)."""
        return contributions(self.trees, self._paths, self._rows(x))

    def reasons(self, x: npt.ArrayLike, top: int = 3) -> list[list[str]]:
        """For each row the inputs that raise its score most, in words, at most `top`, the weightiest first.

        Two equal contributions stand in the order of the inputs. A few ms a row for 300 trees: call it for rows
        above `watch` only.
        """
        rows = self._rows(x)
        shares = contributions(self.trees, self._paths, rows)
        columns = self.metadata.inputs
        out = []
        for row, share in zip(rows, shares, strict=True):
            order = [i for i in np.argsort(-share, kind="stable")[:top] if share[i] > 0.0]
            out.append([phrase(columns[i], float(row[i])) for i in order])
        return out

    def warm(self) -> None:
        """Compile the kernels, or load them from the cache."""
        for n in (1, 16):
            x = np.full((n, self.trees.inputs), np.nan)
            self.judge(x, np.empty(n), np.empty(n), np.empty(n, np.int64))
            self.level(self.raw(x))
            self.score(self.raw(x))
        self.reasons(x[:1])

    def _rows(self, x: npt.ArrayLike) -> Floats:
        rows = np.ascontiguousarray(x, np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.trees.inputs:
            message = f"rows of shape {' x '.join(map(str, rows.shape))}"
            raise InvalidInput(Problem("model.rows", message, Where(path="x"), f"n x {self.trees.inputs}"))
        return rows


def read_folder(path: Path) -> dict[str, bytes]:
    """The bytes of a model's two files; raises `InvalidInput` where one is absent or too large."""
    files, problems = {}, []
    for name, limit in LIMITS.items():
        file = path / name
        try:
            with file.open("rb") as stream:
                data = stream.read(limit + 1)
        except OSError as error:
            problems.append(Problem("model.file", f"cannot read {name}: {error.strerror}", Where(str(file))))
            continue
        if len(data) > limit:
            problems.append(Problem("model.size", f"{name} is too large", Where(str(file)), f"at most {limit:,} bytes"))
        files[name] = data
    if problems:
        raise InvalidInput(problems)
    return files


def write_model(trees: str, metadata: Metadata) -> dict[str, bytes]:
    """The two files of a model from a booster's text and its metadata, whose `sha256` is filled in here.

    They are read back before they are given out: raises as `Model.read`.
    """
    text = trees.encode()
    whole = msgspec.structs.replace(metadata, sha256={TREES_FILE: hashlib.sha256(text).hexdigest()})
    files = {TREES_FILE: text, METADATA_FILE: encode(whole)}
    Model.read(files, metadata.name)
    return files


def _identity(files: Mapping[str, bytes]) -> str:
    both = hashlib.sha256()
    for name in (METADATA_FILE, TREES_FILE):
        both.update(hashlib.sha256(files[name]).digest())
    return both.hexdigest()[:16]
