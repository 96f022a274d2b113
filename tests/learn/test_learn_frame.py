"""Training frames: what is refused, Parquet and back, batches in any order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal.detectors.models.definition import Input, ModelDefinition
from shoal.errors import InvalidInput, ShoalError, Unsupported
from shoal.events.schema import Kind
from shoal.learn.frame import FrameBuilder, Provenance, TrainingFrame

DEFINITION = ModelDefinition("a.model", "threat", "true", ("one", "two"), ("bad",), budgets={"watch": 10.0})
INPUTS = (Input("one", Kind.FLOAT, description="first"), Input("two", Kind.INT, "abc"))


def columns(n: int = 6) -> dict[str, Any]:
    return {
        "seq": np.arange(n) * 3,
        "as_of": np.arange(n) * 10,
        "time": np.arange(n) * 10 - 1,
        "subject": [f"s{i % 3}" if i else None for i in range(n)],
        "account": [None if i % 2 else f"k{i % 3}" for i in range(n)],
        "x": np.arange(2.0 * n).reshape(n, 2),
        "weight": np.linspace(1, 2, n),
        "slices": {"vpn": [True, None] * (n // 2), "country": ["de", None, "fr"] * (n // 3), "age": np.arange(n) / 2},
    }


def make(**changes: Any) -> TrainingFrame:
    builder = FrameBuilder(DEFINITION, changes.pop("inputs", INPUTS))
    builder.add(**{**columns(), **changes})
    return builder.frame(Provenance("p", "1", "h", 0, 15))


def same(one: TrainingFrame, other: TrainingFrame) -> bool:
    tables = one.to_table(), other.to_table()
    assert tables[0].schema.equals(tables[1].schema, check_metadata=True)
    for name in tables[0].column_names:
        np.testing.assert_equal(tables[0][name].to_pylist(), tables[1][name].to_pylist())  # NaN equals NaN here
    return True


def test_parquet_and_back(tmp_path: Path) -> None:
    frame = make()
    frame.to_parquet(tmp_path / "f.parquet")
    back = TrainingFrame.from_parquet(tmp_path / "f.parquet")
    assert same(frame, back)
    assert back.definition == DEFINITION
    assert back.inputs == INPUTS
    assert back.provenance == frame.provenance
    assert back.definition.hash == DEFINITION.hash


def test_batches_in_any_order_are_one_frame() -> None:
    whole, table = make(), columns()
    builder = FrameBuilder(DEFINITION, INPUTS)
    for rows in ([4, 5], [0], [], [1, 2, 3]):
        part = {
            name: {key: [values[i] for i in rows] for key, values in value.items()}
            if name == "slices"
            else value[rows]
            if isinstance(value, np.ndarray)
            else [value[i] for i in rows]
            for name, value in table.items()
        }
        builder.add(**part)
    assert same(whole, builder.frame(whole.provenance))


def test_infinite_is_unknown_and_counted() -> None:
    x = columns()["x"].copy()
    x[2, 1], x[3, 1], x[4, 0] = np.inf, -np.inf, np.nan
    frame = make(x=x)
    assert frame.infinite == {"two": 2}
    assert np.isnan(frame.x).sum() == 3
    assert np.isinf(x).sum() == 2  # what was given stays as it was


def test_groups_are_accounts_then_subjects_then_rows() -> None:
    frame = make()
    # rows: (None, k0) (s1, None) (s2, k2) (s0, None) (s1, k1) (s2, None)
    assert len(set(frame.groups.tolist())) == 6
    assert frame.subjects.tolist() == [-1, 0, 1, 2, 0, 1]
    assert frame.group_names() == ["k0", "s1", "k2", "s0", "k1", "s2"]


def test_take_keeps_all_columns_together() -> None:
    part = make().take(np.array([1, 4]))
    assert part.seq.tolist() == [3, 12]
    assert part.subject.to_pylist() == ["s1", "s1"]
    assert part.slices["country"].to_pylist() == [None, None]
    assert part.x.tolist() == [[2.0, 3.0], [8.0, 9.0]]


@pytest.mark.parametrize(
    ("changes", "slug"),
    [
        ({"x": np.zeros((6, 3))}, "frame.shape"),
        ({"time": np.arange(5)}, "frame.shape"),
        ({"subject": ["a"]}, "frame.shape"),
        ({"weight": np.array([1, 1, 0, 1, 1, 1.0])}, "frame.weight"),
        ({"weight": np.array([1, 1, np.nan, 1, 1, 1.0])}, "frame.weight"),
        ({"weight": np.array([1, 1, np.inf, 1, 1, 1.0])}, "frame.weight"),
        ({"seq": np.array([0, 1, 1, 2, 3, 4])}, "frame.duplicate"),
        ({"inputs": INPUTS[:1], "x": np.zeros((6, 1))}, "frame.inputs"),
        ({"inputs": INPUTS[::-1]}, "frame.inputs"),
        ({"inputs": (INPUTS[0], Input("two", Kind.TEXT))}, "frame.kind"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], slug: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(**changes)
    assert [problem.slug for problem in caught.value.problems] == [slug]


def test_rows_out_of_order_and_no_rows() -> None:
    frame = make()
    with pytest.raises(InvalidInput, match=r"frame\.order"):
        replace(frame, seq=frame.seq[::-1])
    with pytest.raises(InvalidInput, match=r"frame\.empty"):
        FrameBuilder(DEFINITION, INPUTS).frame(Provenance())
    builder = FrameBuilder(DEFINITION, INPUTS)
    builder.add(**columns())
    builder.add(**{**columns(), "seq": np.arange(6) + 100, "slices": {}})
    with pytest.raises(InvalidInput, match=r"frame\.slices"):
        builder.frame(Provenance())


def test_a_missing_input_names_its_neighbour() -> None:
    with pytest.raises(InvalidInput) as caught:
        make(inputs=(INPUTS[0], Input("twoo", Kind.INT)))
    assert caught.value.problems[0].nearest == "twoo"


def _without(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata(None)


def _version_9(table: pa.Table) -> pa.Table:
    head = {k: v.replace(b'"version": 1', b'"version": 9') for k, v in table.schema.metadata.items()}
    return table.replace_schema_metadata(head)


def _broken_head(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata({k: v[:-5] for k, v in table.schema.metadata.items()})


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (_without, InvalidInput, "no training frame"),
        (_broken_head, InvalidInput, r"frame\.format"),
        (_version_9, Unsupported, "version 9"),
        (lambda table: table.drop_columns(["input:two"]), InvalidInput, r"frame\.format"),
        (lambda table: table.drop_columns(["seq"]), InvalidInput, r"frame\.format"),
    ],
)
def test_foreign_files(tmp_path: Path, change: Any, error: type[ShoalError], match: str) -> None:
    pq.write_table(change(make().to_table()), tmp_path / "x.parquet")
    with pytest.raises(error, match=match):
        TrainingFrame.from_parquet(tmp_path / "x.parquet")


def test_no_parquet_at_all(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"not a table")
    with pytest.raises(InvalidInput, match=r"frame\.read"):
        TrainingFrame.from_parquet(tmp_path / "x")
