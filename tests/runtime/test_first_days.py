"""The demo's way of learning: a world cut at a day, labels as records, and what learning adds to rules."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shoal.clock import SystemClock
from shoal.detectors.models.definition import Input, ModelDefinition
from shoal.events.formats.native import NativeDecoder
from shoal.events.schema import Kind
from shoal.learn.frame import TrainingFrame
from shoal.runtime.demo import run_demo
from shoal.runtime.learning.first_days import cut_events, label_lines, received_us
from shoal.runtime.learning.gain import Alone, gains
from shoal.runtime.review.scoring import Touch
from shoal.runtime.run import Progress
from shoal.simulate import builtin_scenario
from shoal.storage.store import DecisionRow

MOMENT = 1_767_603_600_000_000


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"type":"x","received":"2026-01-05T09:00:00.000001Z"}\n', MOMENT + 1),
        (b'{"received":"2026-01-05T10:00:00+01:00"}', MOMENT),
        (b'{"received":"2026-01-05T09:00:00"}', -1),
        (b'{"received":"yesterday"}', -1),
        (b'{"received":"\xff\xfe"}', -1),
        (b'{"received":"2026', -1),
        (b'{"record":"fact"}', -1),
        (b"", -1),
    ],
)
def test_when_a_line_was_received(line: bytes, expected: int) -> None:
    assert received_us(line) == expected


def test_a_file_is_cut_once_and_nothing_is_lost(tmp_path: Path) -> None:
    lines = [b'{"received":"2026-01-05T0%d:00:00Z"}\n' % hour for hour in range(8)] + [b"cut off"]
    whole, first, rest = (tmp_path / name for name in ("whole", "first", "rest"))
    whole.write_bytes(b"".join(lines))
    cut_events(whole, MOMENT - 5 * 3_600_000_000, first, rest)
    assert first.read_bytes() + rest.read_bytes() == b"".join(lines)
    assert first.read_bytes().count(b"\n") == 5
    assert not whole.exists()
    cut_events(whole, 0, first, rest)
    assert first.read_bytes().count(b"\n") == 5


def test_labels_known_by_then_become_records_that_the_native_format_reads() -> None:
    base = {"start": MOMENT, "end": None, "source": "s", "confidence": 0.5, "retracted": False, "attack": "x"}
    rows: list[dict[str, Any]] = [
        {**base, "subject_type": "account", "subject": "late", "kind": "phishing", "known_at": MOMENT + 9},
        {**base, "subject_type": "account", "subject": "b", "kind": "phishing", "known_at": MOMENT + 2},
        {**base, "subject_type": "link", "subject": "a", "kind": "benign_viral_link", "known_at": MOMENT + 1},
        {**base, "subject_type": "file_sha256", "subject": "c", "kind": "malware", "known_at": MOMENT},
        {**base, "subject_type": "account", "subject": "never", "kind": "phishing", "known_at": None},
    ]
    decoder = NativeDecoder("test", "p")
    found = decoder.decode(label_lines(rows, MOMENT + 5), 0)
    assert not found.dead
    assert [row["subject"] for row in found.labels.to_pylist()] == ["a", "b"]
    assert found.labels.to_pylist()[1]["start"] == MOMENT


def decision(seq: int, subject: str, tier: int = 2, threat: str = "takeover") -> Touch:
    row = DecisionRow(seq, 0, 100 + seq, f"e{seq}", "account", subject, 0, threat, tier, "[]", "[]", "[]", "p")
    return Touch(row, account=subject, actor=subject)


def test_gains_count_by_kind_and_at_equal_honest_cost() -> None:
    definition = ModelDefinition("m", "takeover", "true", ("x",), ("hijack",), budgets={"watch": 9.0})
    names = ["v1", "v2", "v3", "h1", "h2", "old"]
    numbers = np.arange(6)
    frame = TrainingFrame(
        definition, (Input("x", Kind.FLOAT),), numbers, numbers, numbers, pa.array(names), pa.array(names),
        np.array([[5.0], [4.0], [1.0], [3.0], [0.5], [9.0]]), np.ones(6),
    )  # fmt: skip
    label = {"subject_type": "account", "kind": "hijack", "start": 100, "end": None}
    labels = [{**label, "subject": name} for name in ("v1", "v2", "v3")] + [{**label, "subject": "old", "start": 1}]
    alone = Alone([decision(0, "v1"), decision(3, "h1", tier=1)], {"m": frame}, np.array([2]))
    both = [decision(0, "v1"), decision(1, "v2"), decision(4, "h2"), decision(2, "bystander"), decision(5, "old", 1)]
    model: Any = SimpleNamespace(raw=lambda x: x[:, 0])
    (found,) = gains(alone, {"m": model}, labels, both, from_us=50)
    assert (found.kind, found.subjects, found.rules, found.both) == ("hijack", 3, 1, 2)
    assert (found.honest, found.honest_both) == (0, 1), "what an attack did in somebody's name touches nobody"
    assert found.detector_alone == 2, "above the highest honest score of 3 lie v1 and v2"


def test_a_world_with_too_little_abuse_learns_nothing_and_says_so(tmp_path: Path) -> None:
    result = run_demo(builtin_scenario("tiny"), tmp_path, SystemClock(), Progress(lambda _: None, lambda _a, _b: None))
    assert result.learned is None
    assert any("was not fitted" in note for note in result.notes)
    assert result.page.exists()
