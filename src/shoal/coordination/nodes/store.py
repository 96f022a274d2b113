"""A fitted node classifier as files: `nodes.json` and LightGBM's own text, one for each booster. No pickle.

Takes and gives bytes by name; whoever calls writes them. Numbers are written so that they are read back to the last
bit: a model that was read scores as the one that was written. The labels that it was fitted on are in it (ids, classes,
folds), since scoring needs them: keep it as carefully as labels. A hash of each text says that it is whole, not who
made it: LightGBM reads the texts itself, so read none from strangers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import lightgbm as lgb
import msgspec
import numpy as np

from shoal.coordination.nodes.blend import Calibration
from shoal.coordination.nodes.classifier import NodeClassifier
from shoal.coordination.nodes.members import GRID, Forest, Line, Scale
from shoal.errors import Corrupt, InvalidInput, Problem, Unsupported, Where

FORMAT, VERSION, FILE = "shoal.nodes", 1, "nodes.json"
MAX_BYTES = 256 << 20
Numbers = list[float]
Grid = list[list[float | None]]


class _Fitted(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    version: int
    parameters: dict[str, Any]
    features: list[str]
    relations: list[tuple[str, bool]]
    ids: list[int]
    labels: list[int]
    folds: list[int]
    extent: str
    columns: list[str]
    members: list[str]
    unit: tuple[Numbers, Numbers]
    weights: Numbers
    calibration: tuple[str, Numbers, Numbers, float]
    boosters: list[list[str]]
    lines: list[tuple[Numbers, float]]
    quantiles: Grid | None
    belief_unit: tuple[Numbers, Numbers] | None
    report: dict[str, Any]


def write_files(model: NodeClassifier) -> dict[str, bytes]:
    """The files of a fitted classifier. Raises `InvalidInput` (`nodes.not_fitted`)."""
    state = model.fitted()
    texts = {
        f"trees_{fold}_{bag}.txt": text.encode()
        for fold, forest in enumerate(state["forests"])
        for bag, text in enumerate(forest.texts)
    }
    hashes = [
        [hashlib.sha256(texts[f"trees_{fold}_{bag}.txt"]).hexdigest() for bag in range(len(forest.texts))]
        for fold, forest in enumerate(state["forests"])
    ]
    scale, unit, belief, calibration = state["scale"], state["unit"], state["belief_unit"], state["calibration"]
    found = _Fitted(
        format=FORMAT,
        version=VERSION,
        parameters=model.get_params(),
        features=list(state["names"]),
        relations=list(state["relations"]),
        ids=state["ids"].tolist(),
        labels=state["y"].tolist(),
        folds=model.fold_.tolist(),
        extent=state["extent"],
        columns=list(model.columns_),
        members=list(state["used"]),
        unit=(unit[0].tolist(), unit[1].tolist()),
        weights=state["weights"].tolist(),
        calibration=(calibration.method, calibration.x.tolist(), calibration.y.tolist(), calibration.slope),
        boosters=hashes,
        lines=[(one.slopes.tolist(), one.intercept) for one in state["lines"]],
        quantiles=None if scale is None else [[None if v != v else v for v in row] for row in scale.quantiles.tolist()],
        belief_unit=None if belief is None else (belief[0].tolist(), belief[1].tolist()),
        report=model.report_,
    )
    return {FILE: msgspec.json.encode(found), **texts}


def read_files(files: Mapping[str, bytes], where: str = FILE) -> NodeClassifier:
    """The classifier that `write_files` wrote. Raises `InvalidInput` (`nodes.file`), `Unsupported` (another format or
    version) or `Corrupt` (a text that is missing, too many or not what was written)."""
    data = files.get(FILE, b"")
    place = Where(file=where)
    if not data or sum(map(len, files.values())) > MAX_BYTES:
        message = f"no {FILE}" if not data else "too large"
        raise InvalidInput(Problem("nodes.file", message, place, allowed=f"{FILE} and its texts, {MAX_BYTES:,} bytes"))
    try:
        head = msgspec.json.decode(data)
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise InvalidInput(Problem("nodes.file", "not a node classifier", place, allowed=f"format {FORMAT}"))
        if head.get("version") != VERSION:
            raise Unsupported(f"{where}: version {head.get('version')} of {FORMAT}; this release reads {VERSION}")
        found = msgspec.json.decode(data, type=_Fitted)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(Problem("nodes.file", str(error), place)) from None
    _check(found, place)
    forests = [_forest(files, fold, row, len(found.columns)) for fold, row in enumerate(found.boosters)]
    if len(files) != 1 + sum(map(len, found.boosters)):
        raise Corrupt(f"{where}: files beside those that it names")
    model = NodeClassifier().set_params(**(found.parameters | {"members": tuple(found.parameters["members"])}))
    method, x, y, slope = found.calibration
    quantiles = None if found.quantiles is None else np.array(found.quantiles, dtype=np.float64)
    model.restore(
        names=tuple(found.features),
        relations=tuple(found.relations),
        ids=np.array(found.ids, np.int64),
        y=np.array(found.labels, np.int64),
        fold=np.array(found.folds, np.int64),
        extent=found.extent,
        columns=tuple(found.columns),
        used=tuple(found.members),
        unit=(np.array(found.unit[0]), np.array(found.unit[1])),
        weights=np.array(found.weights),
        calibration=Calibration(method, np.array(x), np.array(y), slope),
        forests=forests,
        lines=[Line(np.array(slopes), intercept) for slopes, intercept in found.lines],
        scale=None if quantiles is None else Scale(quantiles),
        belief_unit=None
        if found.belief_unit is None
        else (np.array(found.belief_unit[0]), np.array(found.belief_unit[1])),
        report=found.report,
    )
    return model


def _forest(files: Mapping[str, bytes], fold: int, written: list[str], width: int) -> Forest:
    texts = []
    for bag, one in enumerate(written):
        name = f"trees_{fold}_{bag}.txt"
        data = files.get(name)
        if data is None or hashlib.sha256(data).hexdigest() != one:
            raise Corrupt(f"{name}: {'missing' if data is None else 'not what was written'}")
        texts.append(data.decode("utf-8", "replace"))
    try:
        forest = Forest(texts)
    except lgb.basic.LightGBMError as error:
        raise Corrupt(f"trees_{fold}: {error}") from None
    if forest.width > width:
        raise Corrupt(f"trees_{fold}: reads {forest.width} columns of {width}")
    return forest


def _check(found: _Fitted, place: Where) -> None:
    """Lengths that belong together, and folds, classes and members that there are."""
    models = max(found.folds, default=-1) + 1
    count = len(found.members)
    wide = len(found.columns)
    wrong = {
        "ids": len({len(found.ids), len(found.labels), len(found.folds)}) != 1 or len(set(found.ids)) != len(found.ids),
        "labels": not set(found.labels) <= {0, 1},
        "folds": not 2 <= models <= 50 or min(found.folds, default=0) < 0,
        "extent": found.extent not in ("full", "compact", "own"),
        "members": not found.members or not set(found.members) <= {"trees", "line", "belief"},
        "unit": any(len(one) != count for one in (*found.unit, found.weights)),
        "boosters": len(found.boosters) != (models if "trees" in found.members else 0) or not all(found.boosters),
        "lines": len(found.lines) != (models if "line" in found.members else 0)
        or any(len(slopes) > wide for slopes, _ in found.lines),
        "quantiles": ("line" in found.members) != (found.quantiles is not None)
        or (found.quantiles is not None and len(found.quantiles) != GRID)
        or any(len(row) != len(slopes) for row in found.quantiles or () for slopes, _ in found.lines),
        "belief_unit": ("belief" in found.members) != (found.belief_unit is not None),
        "calibration": not found.calibration[1] or len(found.calibration[1]) != len(found.calibration[2]),
        "parameters": set(found.parameters) != set(NodeClassifier.parameters()),
    }
    problems = [
        Problem("nodes.file", "does not fit the rest of the file", place.at(name)) for name, bad in wrong.items() if bad
    ]
    if problems:
        raise InvalidInput(problems)
