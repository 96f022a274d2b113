"""A fitted graph network as files: `gnn.json` and its arrays, `networks.npz` (NumPy's open format, no pickle in it).

Takes and gives bytes by name; whoever calls writes them. A model that was read scores as the one that was written, to
the last bit. Ids and folds of the nodes fitted on are in it, labels are not. A hash says that the arrays are whole, not
who made them.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from shoal.coordination.gnn.classifier import GnnClassifier
from shoal.coordination.gnn.scoring import shapes
from shoal.coordination.nodes.blend import Calibration
from shoal.coordination.nodes.members import GRID, Scale
from shoal.errors import Corrupt, InvalidInput, Problem, Unsupported, Where

FORMAT, VERSION, FILE, ARRAYS = "shoal.gnn", 1, "gnn.json", "networks.npz"
MAX_BYTES = 256 << 20
_STAMP = (1980, 1, 1, 0, 0, 0)


class _Fitted(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    version: int
    parameters: dict[str, Any]
    features: list[str]
    relations: list[tuple[str, bool]]
    calibration: tuple[str, list[float], list[float], float]
    arrays_sha256: str
    report: dict[str, Any]


def write_files(model: GnnClassifier) -> dict[str, bytes]:
    """The files of a fitted model; the same model gives the same bytes. Raises `InvalidInput` (`nodes.not_fitted`)."""
    state = model.fitted()
    held = {"ids": state["ids"], "folds": state["fold"], "quantiles": state["scale"].quantiles}
    for at, network in enumerate(state["networks"]):
        held |= {f"{at}/{name}": one for name, one in network.items()}
    packed = _pack(held)
    calibration = state["calibration"]
    head = _Fitted(
        format=FORMAT,
        version=VERSION,
        parameters=model.get_params(),
        features=list(state["names"]),
        relations=list(state["relations"]),
        calibration=(calibration.method, calibration.x.tolist(), calibration.y.tolist(), calibration.slope),
        arrays_sha256=hashlib.sha256(packed).hexdigest(),
        report=state["report"],
    )
    return {FILE: msgspec.json.encode(head), ARRAYS: packed}


def read_files(files: Mapping[str, bytes], where: str = FILE) -> GnnClassifier:
    """The model that `write_files` wrote. Raises `InvalidInput` (`nodes.file`), `Unsupported` (another format or
    version) or `Corrupt` (arrays that are missing or not what was written)."""
    data, place = files.get(FILE, b""), Where(file=where)
    if not data or sum(map(len, files.values())) > MAX_BYTES:
        message = f"no {FILE}" if not data else "too large"
        raise InvalidInput(Problem("nodes.file", message, place, allowed=f"{FILE} and {ARRAYS}, {MAX_BYTES:,} bytes"))
    try:
        head = msgspec.json.decode(data)
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise InvalidInput(Problem("nodes.file", "not a graph network", place, allowed=f"format {FORMAT}"))
        if head.get("version") != VERSION:
            raise Unsupported(f"{where}: version {head.get('version')} of {FORMAT}; this release reads {VERSION}")
        found = msgspec.json.decode(data, type=_Fitted)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(Problem("nodes.file", str(error), place)) from None
    packed = files.get(ARRAYS)
    if packed is None or hashlib.sha256(packed).hexdigest() != found.arrays_sha256:
        raise Corrupt(f"{where}: {ARRAYS} {'missing' if packed is None else 'is not what was written'}")
    model, held = _model(found, place), _unpack(packed, where)
    _check(found, model, held, place)
    method, x, y, slope = found.calibration
    model.restore(
        names=tuple(found.features),
        relations=tuple(found.relations),
        ids=held["ids"],
        fold=held["folds"],
        scale=Scale(held["quantiles"]),
        networks=[
            {name.split("/", 1)[1]: one for name, one in held.items() if name.startswith(f"{at}/")}
            for at in range(model.folds)
        ],
        calibration=Calibration(method, np.array(x), np.array(y), slope),
        report=found.report,
    )
    return model


def _pack(held: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """An npz without the time of writing in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, array in held.items():
            one = io.BytesIO()
            np.lib.format.write_array(one, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _STAMP), one.getvalue())
    return out.getvalue()


def _unpack(packed: bytes, where: str) -> dict[str, npt.NDArray[Any]]:
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            if sum(one.file_size for one in archive.infolist()) > MAX_BYTES:
                raise Corrupt(f"{where}: {ARRAYS} unpacks to more than {MAX_BYTES:,} bytes")
        with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise Corrupt(f"{where}: {ARRAYS}: {error}") from None


def _model(found: _Fitted, place: Where) -> GnnClassifier:
    """An unfitted model of these parameters."""
    if set(found.parameters) != set(GnnClassifier.parameters()):
        message = "does not fit this release's parameters"
        raise InvalidInput(Problem("nodes.file", message, place.at("parameters")))
    model = GnnClassifier().set_params(**found.parameters)
    if problems := model.problems():
        raise InvalidInput([Problem("nodes.file", str(one), place.at("parameters")) for one in problems])
    return model


def _check(found: _Fitted, model: GnnClassifier, held: Mapping[str, npt.NDArray[Any]], place: Where) -> None:
    """Arrays of the shapes that this model has, all finite where they must be."""
    ways = sum(2 if directed and model.model == "sage" else 1 for _, directed in found.relations)
    columns = len(found.features) + 2 * sum(2 if directed else 1 for _, directed in found.relations)
    width = columns + len(found.features)
    expected = shapes(model.model, width, ways, model.hidden, model.layers)
    wanted = {f"{at}/{name}": shape for at in range(model.folds) for name, shape in expected.items()}
    wrong = {name for name, shape in wanted.items() if name not in held or held[name].shape != shape}
    wrong |= set(held) - set(wanted) - {"ids", "folds", "quantiles"}
    wrong |= {
        name
        for name in wanted
        if name not in wrong and not (held[name].dtype == np.float32 and np.isfinite(held[name]).all())
    }
    ids, folds, quantiles = (held.get(name, np.zeros(0)) for name in ("ids", "folds", "quantiles"))
    if ids.dtype != np.int64 or ids.ndim != 1 or len(np.unique(ids)) != len(ids):
        wrong.add("ids")
    if folds.dtype != np.int64 or folds.shape != ids.shape or not ((folds >= 0) & (folds < model.folds)).all():
        wrong.add("folds")
    if quantiles.dtype != np.float64 or quantiles.shape != (GRID, columns) or np.isinf(quantiles).any():
        wrong.add("quantiles")
    _, x, y, _ = found.calibration
    if not x or len(x) != len(y):
        wrong.add("calibration")
    if wrong:
        raise InvalidInput([Problem("nodes.file", "does not fit the rest", place.at(one)) for one in sorted(wrong)])
