"""Targets from labels: against a slow twin, by examples, and malformed labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.learn_oracle import slow_target
from shoal.detectors.models.definition import Input, ModelDefinition
from shoal.errors import InvalidInput
from shoal.events.labels import LABEL_SCHEMA
from shoal.events.schema import Kind
from shoal.learn.frame import FrameBuilder, Provenance, TrainingFrame
from shoal.learn.targets import DEFAULT_MATURITY_US, Standing, read_targets

NAMES = {
    Standing.POSITIVE: "positive",
    Standing.CONFIRMED: "confirmed",
    Standing.PRESUMED: "presumed",
    Standing.TOO_YOUNG: "young",
    Standing.OTHER_ABUSE: "other",
    Standing.NO_SUBJECT: "nobody",
    Standing.JUST_BEFORE: "just before",
}


def frame_of(accounts: list[str | None], times: list[int]) -> TrainingFrame:
    definition = ModelDefinition("a.model", "t", "true", ("x",), ("takeover", "theft"))
    builder = FrameBuilder(definition, [Input("x", Kind.FLOAT)])
    at = np.array(times, np.int64)
    builder.add(seq=np.arange(len(at)), as_of=at, time=at, subject=accounts, account=accounts, x=np.zeros((len(at), 1)))
    return builder.frame(Provenance())


def label(subject: str = "a", kind: str = "takeover", start: int | None = 10, end: int | None = 20, **more: Any) -> Any:
    given = {"subject_type": "account", "source": "s", "confidence": None, "known_at": 30, "retracted": False}
    return {**given, "offset": 0, "subject": subject, "kind": kind, "start": start, "end": end, **more}


def told(frame: TrainingFrame, labels: Any, until: int = 100, **more: Any) -> list[str]:
    targets = read_targets(frame, labels, until, **{"maturity_us": 40, **more})
    return [NAMES[Standing(int(one))] for one in targets.standing]


labels = st.builds(
    label,
    subject=st.sampled_from(["a", "b", "unknown"]),
    kind=st.sampled_from(["takeover", "theft", "spam", "benign", "benign_travel"]),
    start=st.none() | st.integers(0, 40),
    end=st.none() | st.integers(41, 90),
    source=st.sampled_from(["s", "t"]),
    confidence=st.none() | st.sampled_from([0.2, 0.5, 0.9]),
    known_at=st.none() | st.integers(0, 120),
    retracted=st.sampled_from([False, False, False, True]),
    subject_type=st.sampled_from(["account", "account", "account", "link"]),
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(labels, max_size=6),
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 130)), min_size=1, max_size=12),
)
def test_the_slow_twin(rows: list[Any], events: list[tuple[str | None, int]]) -> None:
    # A contradiction of equal rank is settled by the order in which labels stand: no twin can say more.
    ranked = {(row["subject"], row["confidence"] or 0.5, row["known_at"]): row for row in rows}
    rows = list(ranked.values())
    frame = frame_of([account for account, _ in events], [time for _, time in events])
    wanted = [slow_target(account, time, rows, 100, {"takeover", "theft"}, 40) for account, time in events]
    assert told(frame, rows) == wanted
    table = pa.Table.from_pylist(rows, schema=LABEL_SCHEMA)
    assert told(frame, table) == wanted


def test_a_takeover_covers_its_interval_only() -> None:
    frame = frame_of(["a"] * 5, [5, 10, 19, 20, 40])
    # before and after are known to be the owner's, but nothing is known of what came after the label itself
    assert told(frame, [label()]) == ["confirmed", "positive", "positive", "confirmed", "presumed"]


def test_labels_known_later_and_retractions() -> None:
    frame = frame_of(["a"], [15])
    assert told(frame, [label(known_at=101)]) == ["presumed"]
    assert told(frame, [label(), label(retracted=True, known_at=50)]) == ["presumed"]
    assert told(frame, [label(), label(retracted=True, known_at=50)], until=45) == ["positive"]  # not yet taken back
    assert told(frame, [label(), label(retracted=True, known_at=50, source="t")]) == ["positive"]  # another's


def test_contradictions_go_by_confidence_then_recency() -> None:
    frame = frame_of(["a"], [15])
    benign = label(kind="benign", known_at=40)
    assert told(frame, [label(), benign]) == ["confirmed"]
    assert told(frame, [label(confidence=0.8), benign]) == ["positive"]
    assert told(frame, [label(confidence=0.8), {**benign, "confidence": 0.9}]) == ["confirmed"]
    counts = read_targets(frame, [label(), benign], 100, maturity_us=0).counts
    assert counts["rows with contradicting labels"] == 1


def test_unknown_subjects_and_other_types_are_counted() -> None:
    frame = frame_of(["a", "b"], [15, 15])
    given = [label(), label("ghost"), label(subject_type="link"), label(known_at=None), label("b", kind="spam")]
    targets = read_targets(frame, given, 100, maturity_us=0)
    assert targets.counts["labels of subjects that the frame does not hold"] == 1
    assert targets.counts["labels of other subject types"] == 1
    assert targets.counts["labels known later, or never"] == 1
    assert targets.counts["other labels used"] == 1
    assert [NAMES[Standing(int(one))] for one in targets.standing] == ["positive", "other"]
    assert any("labels of subjects" in line for line in targets.words())


def test_the_lead_before_an_abuse_is_left_out() -> None:
    frame = frame_of(["a"] * 3, [3, 8, 12])
    assert told(frame, [label()], lead_us=5) == ["confirmed", "just before", "positive"]


def test_the_window_comes_from_the_delays_seen() -> None:
    day = 86_400_000_000
    accounts = [f"u{i}" for i in range(200)]
    frame = frame_of(accounts, [i * day for i in range(200)])
    late = [
        label(name, start=i * day, end=None, known_at=i * day + (1 + i % 5) * day)
        for i, name in enumerate(accounts[:100])
    ]
    targets = read_targets(frame, late, 200 * day)
    assert 4 * day <= targets.maturity_us <= 5 * day
    assert read_targets(frame, [], 200 * day).maturity_us == DEFAULT_MATURITY_US
    short = read_targets(frame, late[:12], 15 * day)
    assert short.maturity_us <= 5 * day  # a third of what was seen, at most


@pytest.mark.parametrize(
    ("row", "slug"),
    [
        ({"subject": "a"}, "labels.shape"),
        (label(subject_type="person"), "labels.subject"),
        (label(subject=None), "labels.subject"),
        (label(kind=""), "labels.kind"),
        (label(kind=None), "labels.kind"),
        (label(confidence=1.5), "labels.confidence"),
        (label(confidence=float("nan")), "labels.confidence"),
        (label(confidence=float("inf")), "labels.confidence"),
        (label(start=20, end=20), "labels.interval"),
        (label(start=20, end=10), "labels.interval"),
        (label(known_at=1.5), "labels.interval"),
        (label(start=float("nan")), "labels.interval"),
    ],
)
def test_malformed_labels(row: Any, slug: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_targets(frame_of(["a"], [15]), [label(), row], 100)
    assert [(one.slug, one.where.line) for one in caught.value.problems] == [(slug, 2)]


def test_all_problems_together_but_not_thousands() -> None:
    bad = [label(confidence=2.0)] * 50
    with pytest.raises(InvalidInput) as caught:
        read_targets(frame_of(["a"], [15]), bad, 100)
    assert len(caught.value.problems) == 21
    assert "30 problems more" in str(caught.value)
    with pytest.raises(InvalidInput, match=r"targets\.window"):
        read_targets(frame_of(["a"], [15]), [], 100, maturity_us=-1)
