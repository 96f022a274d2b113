"""A pack with a signal and a fitted detector, and models of it, for the runtime's tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import lightgbm
import numpy as np
import yaml
from keep_parts import FEATURES, RULES, write_pack

from shoal.detectors.models.metadata import Calibration, InputColumn, Level, Metadata, Origin
from shoal.detectors.models.model import write_model
from shoal.detectors.signals import Output, Setting, SettingValue, Signal
from shoal.errors import Corrupt, Problem
from shoal.events.schema import Kind
from shoal.expressions.frame import Frame, Valid, Values
from shoal.features.engine import Stamps
from shoal.packs.learned.offer import offered_inputs
from shoal.packs.load import load_pack

INPUTS = ("ip_events_1h", "failed_share", "visits.seen")


class Visits(Signal):
    """How often a device was seen where a condition holds; a plain dictionary."""

    kind: ClassVar[str] = "visits"
    settings: ClassVar[Mapping[str, Setting]] = {
        "where": Setting("condition", "type = 'login.failed'", "what counts"),
        "step": Setting("integer", 1, "how much each counts", low=1, high=100),
    }

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.counts: dict[int, int] = {}

    @classmethod
    def outputs(cls, settings: Mapping[str, SettingValue]) -> Mapping[str, Output]:
        return {"seen": Output(Kind.INT, "failures of this device before")}

    @classmethod
    def reads(cls, settings: Mapping[str, SettingValue]) -> frozenset[str]:
        return frozenset({"device"})

    def update(self, frame: Frame, stamps: Stamps, values: Values, valid: Valid) -> None:
        row = self.layout.index["device"]
        holds = self.masks(frame)[0]
        for k in range(frame.size):
            key = int(frame.values[row, k])
            valid[0, k] = frame.valid[row, k]
            values[0, k] = self.counts.get(key, 0)
            if holds[k] == 1 and frame.valid[row, k]:
                self.counts[key] = self.counts.get(key, 0) + int(self.definition.settings["step"])  # type: ignore[arg-type]

    def snapshot(self) -> Mapping[str, Any]:
        pairs = sorted(self.counts.items())
        return {"keys": np.array([k for k, _ in pairs], np.int64), "counts": np.array([c for _, c in pairs], np.int64)}

    def restore(self, arrays: Mapping[str, Any]) -> None:
        self.counts = dict(zip(arrays["keys"].tolist(), arrays["counts"].tolist(), strict=True))


class Marked(Signal):
    """What a published table says of an account, and how often it was asked about marked ones since."""

    kind: ClassVar[str] = "marked"
    takes_tables: ClassVar[bool] = True
    settings: ClassVar[Mapping[str, Setting]] = {
        "step": Setting("integer", 1, "how much each event counts", low=1, high=100)
    }

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.marks: dict[int, float] | None = None
        self.asked = 0

    @classmethod
    def outputs(cls, settings: Mapping[str, SettingValue]) -> Mapping[str, Output]:
        return {"mark": Output(Kind.FLOAT, "its mark"), "asked": Output(Kind.INT, "events of marked ones before")}

    @classmethod
    def reads(cls, settings: Mapping[str, SettingValue]) -> frozenset[str]:
        return frozenset({"account"})

    def table_problems(self, arrays: Mapping[str, Any]) -> list[Problem]:
        if set(arrays) == {"ids", "marks"} and arrays["ids"].shape == arrays["marks"].shape:
            return []
        return [Problem("marked.arrays", "ids and marks of one length are wanted")]

    def use_tables(self, arrays: Mapping[str, Any], seq: int) -> None:
        self.marks = dict(zip(arrays["ids"].tolist(), arrays["marks"].tolist(), strict=True)) if arrays else None
        self.asked = 0  # of this table

    def update(self, frame: Frame, stamps: Stamps, values: Values, valid: Valid) -> None:
        row = self.layout.index["account"]
        for k in range(frame.size):
            mark = None if self.marks is None else self.marks.get(int(frame.values[row, k]))
            valid[:, k] = mark is not None
            values[0, k] = np.float64(mark or 0.0).view(np.int64)
            values[1, k] = self.asked
            if mark is not None:
                self.asked += int(self.definition.settings["step"])  # type: ignore[arg-type]

    def snapshot(self) -> Mapping[str, Any]:
        return {"asked": np.array([self.asked])}

    def restore(self, arrays: Mapping[str, Any]) -> None:
        if self.marks is None and int(arrays["asked"][0]):
            raise Corrupt("the tables come before the state")
        self.asked = int(arrays["asked"][0])


def marked_pack(folder: Path, *, step: int = 1, name: str = "marked", rule: str = "", **more: Any) -> Path:
    """`keep_parts`' pack with the signal `marked` under any name, and a rule that reads it."""
    condition = rule or f"{name}.mark >= 0.5 AND {name}.asked >= 3"
    rules = {**RULES, "marked": ("account", "medium", condition), **more.pop("rules", {})}
    write_pack(folder, rules=rules, features={**FEATURES, **more.pop("features", {})}, **more)
    (folder / "signals").mkdir(exist_ok=True)
    body = {"format": "shoal.signals", "version": 1, "signals": {name: {"kind": "marked", "step": step}}}
    (folder / "signals" / "all.yaml").write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
    return folder


def learned_pack(folder: Path, *, step: int = 1, **more: Any) -> Path:
    """`keep_parts`' pack with the signal `visits`, the detector `guess`, and a rule that reads it."""
    rules = {**RULES, "guessed": ("account", "medium", "guess.level >= 2"), **more.pop("rules", {})}
    write_pack(folder, rules=rules, features={**FEATURES, **more.pop("features", {})}, **more)
    signals = {"visits": {"kind": "visits", "step": step}}
    model = {
        "threat": "abuse",
        "description": "whether a login is a guess",
        "on": "type IN ('login.failed', 'login.succeeded')",
        "inputs": list(INPUTS),
        "labels": ["account_takeover"],
        "budgets": {"watch": 50, "challenge": 10},
    }
    for name, content in (("signals", signals), ("models", {"guess": model})):
        (folder / name).mkdir(exist_ok=True)
        body = {"format": f"shoal.{name}", "version": 1, name: content}
        (folder / name / "all.yaml").write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
    return folder


def model_files(pack: Path, seed: int = 1, hashes: Mapping[str, str] | None = None, **changed: Any) -> dict[str, bytes]:
    """A model of `guess`: made-up data, more failures are worse. `changed`: fields of the metadata; `hashes`: of inputs
    that mean something else than the pack alone says."""
    hashes = hashes or {}
    rng = np.random.default_rng(seed)
    definition = load_pack(pack).models[0]
    columns = [rng.integers(0, 60, 800), rng.random(800), rng.integers(0, 12, 800)]
    columns += [np.zeros(800)] * (len(definition.inputs) - len(columns))
    x = np.column_stack(columns).astype(np.float64)
    target = (x[:, 1] + x[:, 2] / 12 + rng.normal(0, 0.2, 800) > 1.1).astype(int)
    options = {"objective": "binary", "num_leaves": 7, "num_threads": 1, "verbose": -1, "seed": seed}
    text = lightgbm.train(options, lightgbm.Dataset(x, target), 12).model_to_string()
    read = load_pack(pack)
    definition, offered = read.models[0], offered_inputs(read)
    fields: dict[str, Any] = {
        "format": "shoal.model",
        "version": 1,
        "name": "guess",
        "threat": "abuse",
        "made_at": "2026-01-01T00:00:00Z",
        "definition": definition.hash,
        "on": definition.on,
        "subject": "account",
        "labels": list(definition.labels),
        "inputs": [
            InputColumn(name, offered[name].kind.name.lower(), hashes.get(name, offered[name].hash), f"the {name}")
            for name in definition.inputs
        ],
        "calibration": Calibration("isotonic", [-4.0, 0.0, 4.0], [0.02, 0.5, 0.97]),
        "levels": [Level("watch", -0.5, 50, 40, 30, 50), Level("challenge", 0.5, 10, 8, 5, 12)],
        "origin": Origin("small", "1.0", read.hash, 0, 1, 0, 800, 100, 40, 4),
        "protocol": {},
        "metrics": {},
        "edges": [],
        "shares": [1.0],
        "sha256": {},
    }
    return write_model(text, Metadata(**{**fields, **changed}))
