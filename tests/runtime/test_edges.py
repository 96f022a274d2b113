"""Replay tells a rule that flips on the last digits of a float from one that differs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from keep_parts import SMALL, feed, write_pack

from oracles.runtime_stream import stream, write_lines
from shoal.events.identity import Identity
from shoal.expressions.frame import Frame
from shoal.features.engine import FeatureEngine
from shoal.packs.load import load_pack
from shoal.runtime.engine import Engine
from shoal.runtime.home import open_home
from shoal.runtime.review.edges import Edges
from shoal.runtime.review.replay import replay

Maker = Callable[..., Path]
FEATURES = {
    "events": {"operation": "count", "key": "account", "window": "1h"},
    "weight": {"operation": "decayed", "key": "account", "half_life": "6h"},
    "twice": {"operation": "derived", "expression": "2 * weight"},
    "heavy": {"operation": "derived", "expression": "2 * weight >= 1.0"},
}
VALUE = 0.5
NEAR_CASES = [
    ("weight >= 0.5", True),
    ("weight = 0.5", True),
    ("0.5 < weight AND account IS NOT NULL", True),
    ("weight >= 0.6", False),
    ("events >= 5", False),
    ("size_bytes >= 5", False),
    ("twice > 1.0", True),
    ("twice > 1.1", False),
    ("heavy", True),
    ("NOT heavy OR events > 3", True),
    ("weight BETWEEN 0.1 AND 0.5", True),
    ("weight BETWEEN 0.1 AND 0.9", False),
    ("weight IN (0.25, 0.5)", True),
    ("weight IN (0.25, 0.75)", False),
    ("floor(twice) = 1.0", True),
    ("floor(weight) = 0.0", False),
    ("round(weight) = 1.0", True),
    ("CAST(twice AS BIGINT) = 1", True),
    ("CASE WHEN weight < 0.5 THEN events > 2 ELSE events > 3 END", True),
    ("weight > events * 0.1", True),
]


@pytest.mark.parametrize(("condition", "near"), NEAR_CASES, ids=[case[0] for case in NEAR_CASES])
def test_which_comparisons_hang_on_a_float(tmp_path: Path, condition: str, near: bool) -> None:
    pack = load_pack(write_pack(tmp_path / "p", features=FEATURES, rules={"one": ("account", "low", condition)}))
    engine = Engine(pack, Identity(bytes(16)), history_complete=True)
    for nudge, wanted in ((0.0, near), (1e-12, near), (-1e-12, near), (1e-6, False)):
        weight = VALUE * (1 + nudge)
        row = {"account": "a", "size_bytes": 5, "events": 5, "weight": weight, "twice": 2 * weight, "heavy": True}
        frame = Frame.of_rows([{"account": "b"}, row], engine.layout, engine.identity)
        assert Edges(engine).near(0, frame).tolist() == [False, wanted], nudge


RULES = {
    "share": ("ip", "high", "failed_share >= 0.5 AND ip_events_1h >= 2"),
    "busy": ("account", "medium", "account_day >= 14"),
}


@pytest.mark.parametrize(("factor", "edge"), [(1 - 1e-12, True), (1 - 1e-6, False)])
def test_a_rule_that_flips_on_a_rounding_is_an_edge_and_no_difference(
    tmp_path: Path, home_folder: Maker, monkeypatch: pytest.MonkeyPatch, factor: float, edge: bool
) -> None:
    folder = home_folder("h", **SMALL)
    pack = write_pack(tmp_path / "pack", rules=RULES)
    feed(folder, pack, write_lines(tmp_path / "events.ndjson", stream()))
    assert replay(open_home(folder, create=False)).edge_rules == 0
    real = FeatureEngine.update

    def update(self: FeatureEngine, frame: Frame, stamps: object, values: np.ndarray, valid: np.ndarray) -> object:
        block = real(self, frame, stamps, values, valid)  # type: ignore[arg-type]
        if "failed_share" in self.names:
            row = block.values[self.names.index("failed_share"), : frame.size].view(np.float64)
            row *= factor
        return block

    monkeypatch.setattr(FeatureEngine, "update", update)
    report = replay(open_home(folder, create=False))
    if edge:
        assert (report.count, report.differences) == (0, [])
        assert report.edge_rules > 3
        assert report.edges > 0
    else:
        assert report.count > 3
        assert {one.what for one in report.differences} >= {"matched_0", "decision"}


def test_a_rule_that_differs_without_a_float_is_a_difference(
    tmp_path: Path, home_folder: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home_folder("h", **SMALL)
    feed(folder, write_pack(tmp_path / "pack", rules=RULES), write_lines(tmp_path / "events.ndjson", stream()))
    real = Engine.decide

    def decide(self: Engine, table: pa.Table, *more: Any) -> object:
        outcome = real(self, table, *more)
        outcome.decisions.matched[:, 0] ^= np.uint64(2)  # the rule `busy`, which reads whole numbers alone
        return outcome

    monkeypatch.setattr(Engine, "decide", decide)
    report = replay(open_home(folder, create=False))
    assert report.count >= 1500
    assert report.edge_rules == 0
