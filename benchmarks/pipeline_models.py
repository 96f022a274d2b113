"""The pipeline's pack with a fitted detector: 300 trees of 63 leaves over 60 inputs, on logins and shares (a third of
the stream), and a rule that reads its level. The trees are grown on made-up rows in the range of the features."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import yaml

from benchmarks.synthetic_folder import write_pack
from shoal.detectors.models.metadata import (
    MODEL_FORMAT,
    MODEL_VERSION,
    Calibration,
    InputColumn,
    Level,
    Metadata,
    Origin,
)
from shoal.detectors.models.model import write_model
from shoal.packs.learned.offer import offered_inputs
from shoal.packs.load import load_pack

TREES, LEAVES, INPUTS = 300, 63, 60
ON = "type IN ('login.succeeded', 'login.failed', 'folder.shared')"
SHARE = 0.001
"""About so many of the scored rows reach the level whose reasons are computed."""


def write_modelled_pack(folder: Path) -> Path:
    """The synthetic pack with the detector `guess` and the rule `learned.guess`."""
    write_pack(folder)
    names = list(offered_inputs(load_pack(folder)))
    inputs = [*[name for name in names if name not in ("seq", "flags", "offset")]][:INPUTS]
    model = {
        "threat": "abuse",
        "description": "made up",
        "on": ON,
        "inputs": inputs,
        "labels": ["account_takeover"],
        "budgets": {"watch": 60, "challenge": 10},
    }
    rule = {
        "title": "a guess",
        "threat": "abuse",
        "subject": "account",
        "severity": "medium",
        "condition": "guess.level >= 1",
        "reason": "{guess.score:percent}",
        "description": "made up",
        "false_positives": ["synthetic"],
        "evasion": "synthetic",
    }
    (folder / "models").mkdir()
    parts = (("models", "guess", model, "models"), ("rules", "learned.guess", rule, "learned"))
    for section, name, content, file in parts:
        body = {"format": f"shoal.{section}", "version": 1, section: {name: content}}
        (folder / section / f"{file}.yaml").write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
    return folder


def model_files(folder: Path, seed: int = 5) -> dict[str, bytes]:
    """A model of `guess` for the pack in `folder`."""
    read = load_pack(folder)
    (definition,), offered = read.models, offered_inputs(read)
    chance = np.random.default_rng(seed)
    x = chance.poisson(3.0, (20_000, len(definition.inputs))).astype(np.float64) * chance.lognormal(0, 1, (20_000, 1))
    x[chance.random(x.shape) < 0.2] = np.nan
    told = np.nansum(x[:, ::3], axis=1)
    target = (told + chance.normal(0, 10, len(told)) > np.quantile(told, 0.95)).astype(np.int64)
    options = {"objective": "binary", "num_leaves": LEAVES, "num_threads": 1, "verbose": -1, "seed": seed}
    booster = lightgbm.train({**options, "deterministic": True}, lightgbm.Dataset(x, target), TREES)
    raw = np.asarray(booster.predict(x, raw_score=True))
    threshold = float(np.quantile(raw, 1 - SHARE))
    columns = [InputColumn(name, offered[name].kind.name.lower(), offered[name].hash) for name in definition.inputs]
    metadata = Metadata(
        MODEL_FORMAT, MODEL_VERSION, definition.id, "abuse", "2026-01-01T00:00:00Z", definition.hash, definition.on,
        "account", list(definition.labels), columns, Calibration("isotonic", [-8.0, 0.0, 8.0], [0.0, 0.5, 1.0]),
        [Level("watch", threshold, 60, 60, 50, 70)], Origin("synthetic", "1", read.hash, 0, 0, 0, 0, 0, 0, 0), {}, {},
        [], [1.0], {},
    )  # fmt: skip
    return write_model(booster.model_to_string(), metadata)
