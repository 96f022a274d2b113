"""The training frame: rows of a replay as one detector would have seen them, and where they come from.

A row is an event that the detector scores, with its inputs as the engine had them at that event, so that what is
learned from is what is served. `runtime` fills a frame from the journal; a notebook reads and writes it as Parquet.
Null is NaN; so are ±inf, which no histogram or tree can place (`infinite` counts them by column).

Rows stand in journal order and each once. A frame is never changed: `take` makes another. Knows no labels: see
`targets`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shoal.detectors.models.definition import Input, ModelDefinition
from shoal.errors import InvalidInput, Problem, Unsupported, Where, nearest_name
from shoal.events.schema import Kind

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FRAME_FORMAT, FRAME_VERSION = "shoal.training_frame", 1
KNOWN_SLICES: tuple[str, ...] = ("account_age_s", "mobile", "vpn")
"""Slice columns that evaluation has words for; any other is cut by its values (text) or into 0 and 1 (number)."""
_FIXED = ("seq", "as_of", "time", "subject", "account", "weight")
_KEY = FRAME_FORMAT.encode()


@dataclass(frozen=True)
class Provenance:
    """Which pack made the rows, and from which stretch of the journal (both ends inclusive)."""

    pack: str = ""
    pack_version: str = ""
    pack_hash: str = ""
    first_seq: int = 0
    last_seq: int = 0


@dataclass(frozen=True, eq=False)
class TrainingFrame:
    """Rows that a detector scores, `n` of them with `d` inputs.

    `seq` [n] strictly rising; `as_of`, `time` [n] µs UTC; `subject`, `account` [n] texts (null: unknown); `x` [n, d]
    in the order of `inputs`, whose names are those of `definition.inputs`; `weight` [n] 1 / the rate at which the row
    was sampled, over 0; `slices` name → numbers (NaN unknown; booleans as 0 and 1) or texts [n].

    Raises `InvalidInput` with all problems: `frame.inputs`, `frame.kind`, `frame.shape`, `frame.duplicate`,
    `frame.order`, `frame.weight`.
    """

    definition: ModelDefinition
    inputs: tuple[Input, ...]
    seq: Int64s
    as_of: Int64s
    time: Int64s
    subject: pa.Array
    account: pa.Array
    x: Floats
    weight: Floats
    slices: Mapping[str, Floats | pa.Array] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    infinite: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = [*_input_problems(self.definition, self.inputs), *_shape_problems(self)]
        if not problems:
            problems = _row_problems(self)
        if problems:
            raise InvalidInput(problems)
        endless = np.isinf(self.x)
        if endless.any():
            counts = endless.sum(axis=0)
            found = {one.name: int(count) for one, count in zip(self.inputs, counts, strict=True) if count}
            object.__setattr__(self, "x", np.where(endless, np.nan, self.x))
            object.__setattr__(self, "infinite", {**self.infinite, **found})

    def __len__(self) -> int:
        return len(self.seq)

    @cached_property
    def subjects(self) -> Int64s:
        """The subject of each row as a number from 0 [n]; -1 where it is unknown."""
        return codes_of(self.subject)

    @cached_property
    def groups(self) -> Int64s:
        """The account of each row as a number from 0 [n] (where it is unknown: its subject, then itself): what never
        stands on both sides of a split."""
        names = pc.coalesce(
            pc.binary_join_element_wise("a", self.account, ":"),
            pc.binary_join_element_wise("s", self.subject, ":"),
            pc.binary_join_element_wise("r", pa.array(self.seq).cast(pa.string()), ":"),
        )
        return codes_of(names)

    def group_names(self) -> list[str]:
        """The account (else subject, else row) behind each number of `groups`, for a stable hash."""
        first = np.unique(self.groups, return_index=True)[1]
        account, subject = self.account.take(pa.array(first)), self.subject.take(pa.array(first))
        return pc.coalesce(account, subject, pa.array(self.seq[first]).cast(pa.string())).to_pylist()  # type: ignore[no-any-return]

    def take(self, rows: Int64s | Bools) -> TrainingFrame:
        """The frame of some rows: indices, rising, or a mask [n]."""
        at = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        chosen = pa.array(at)
        slices = {
            name: values.take(chosen) if isinstance(values, pa.Array) else values[at]
            for name, values in self.slices.items()
        }
        return replace(
            self,
            seq=self.seq[at],
            as_of=self.as_of[at],
            time=self.time[at],
            subject=self.subject.take(chosen),
            account=self.account.take(chosen),
            x=self.x[at],
            weight=self.weight[at],
            slices=slices,
        )

    def to_table(self) -> pa.Table:
        """The frame as an Arrow table: fixed columns, `input:NAME`, `slice:NAME`; the rest in the schema's metadata."""
        columns: dict[str, Any] = {name: getattr(self, name) for name in _FIXED}
        columns |= {f"input:{one.name}": self.x[:, at] for at, one in enumerate(self.inputs)}
        columns |= {f"slice:{name}": values for name, values in self.slices.items()}
        return pa.table(columns).replace_schema_metadata({_KEY: json.dumps(_head(self)).encode()})

    @classmethod
    def from_table(cls, table: pa.Table) -> TrainingFrame:
        """The frame in a table that `to_table` made. Raises `InvalidInput` (`frame.format`), `Unsupported`."""
        head = _read_head(table)
        try:
            inputs = tuple(Input(**{**one, "kind": Kind[one["kind"]]}) for one in head["inputs"])
            definition = ModelDefinition(
                **{**head["definition"], **{k: tuple(head["definition"][k]) for k in ("inputs", "labels")}}
            )
            provenance = Provenance(**head["provenance"])
            numbers = {name: table[name].to_numpy() for name in ("seq", "as_of", "time", "weight")}
            texts = {name: table[name].combine_chunks().cast(pa.string()) for name in ("subject", "account")}
            columns = [table[f"input:{one.name}"].to_numpy() for one in inputs]
        except (KeyError, TypeError, ValueError, pa.ArrowInvalid) as error:
            problem = Problem(
                "frame.format", f"the table is no training frame: {error}", hint="write it with to_parquet"
            )
            raise InvalidInput(problem) from error
        x = np.column_stack(columns).astype(np.float64) if columns else np.zeros((table.num_rows, 0))
        slices = {name[6:]: _slice(table[name]) for name in table.column_names if name.startswith("slice:")}
        infinite = head.get("infinite", {})
        return cls(definition, inputs, x=x, **numbers, **texts, slices=slices, provenance=provenance, infinite=infinite)

    def to_parquet(self, path: Path) -> None:
        """Write the frame as one Parquet file."""
        pq.write_table(self.to_table(), path, compression="zstd")

    @classmethod
    def from_parquet(cls, path: Path) -> TrainingFrame:
        """Read what `to_parquet` wrote. Raises `InvalidInput` (`frame.read`, `frame.format`), `Unsupported`."""
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise InvalidInput(Problem("frame.read", f"{path} is no Parquet file: {error}")) from error
        return cls.from_table(table)


class FrameBuilder:
    """Gathers rows batch by batch, in any order of batches, into one frame."""

    def __init__(self, definition: ModelDefinition, inputs: Sequence[Input]) -> None:
        self._definition, self._inputs = definition, tuple(inputs)
        self._parts: list[dict[str, Any]] = []
        self._slices: list[Mapping[str, Any]] = []

    def add(
        self,
        *,
        seq: Int64s,
        as_of: Int64s,
        time: Int64s,
        subject: Any,
        account: Any,
        x: Floats,
        weight: Floats | None = None,
        slices: Mapping[str, Any] | None = None,
    ) -> None:
        """Add rows; shapes as in `TrainingFrame`, `subject` and `account` any sequence of texts and None. Raises
        `InvalidInput` (`frame.shape`)."""
        given = {"as_of": as_of, "time": time, "subject": subject, "account": account, "x": x, "weight": weight}
        given |= {f"slices.{name}": values for name, values in (slices or {}).items()}
        sizes = {name: len(values) for name, values in given.items() if values is not None}
        problems = _size_problems(sizes, len(seq))
        if x.ndim != 2 or x.shape[1] != len(self._inputs):
            message = f"x is {x.shape}, the inputs are {len(self._inputs)}"
            problems.append(Problem("frame.shape", message, Where(path="x")))
        if problems:
            raise InvalidInput(problems)
        if not len(seq):
            return
        weight = np.ones(len(seq)) if weight is None else weight
        texts = {"subject": _texts(subject), "account": _texts(account)}
        self._parts.append({"seq": seq, "as_of": as_of, "time": time, "x": x, "weight": weight, **texts})
        self._slices.append(slices or {})

    def frame(self, provenance: Provenance) -> TrainingFrame:
        """All rows in journal order. Raises `InvalidInput`: `frame.empty`, `frame.slices` (batches that do not have
        the same slice columns), and as `TrainingFrame`."""
        if not self._parts:
            raise InvalidInput(
                Problem(
                    "frame.empty", f"no row of {self._definition.id!r}", hint=f"its condition: {self._definition.on}"
                )
            )
        names = list(self._slices[0])
        if any(set(one) != set(names) for one in self._slices):
            raise InvalidInput(Problem("frame.slices", "batches differ in their slice columns"))
        columns: dict[str, Any] = {
            name: np.concatenate([part[name] for part in self._parts])
            for name in ("seq", "as_of", "time", "x", "weight")
        }
        order = np.argsort(columns["seq"], kind="stable")
        columns = {name: values[order] for name, values in columns.items()}
        for name in ("subject", "account"):
            columns[name] = pa.concat_arrays([part[name] for part in self._parts]).take(pa.array(order))
        slices = {}
        for name in names:
            joined = pa.concat_arrays([_column(one[name]) for one in self._slices]).take(pa.array(order))
            slices[name] = _slice(pa.chunked_array([joined]))
        return TrainingFrame(self._definition, self._inputs, **columns, slices=slices, provenance=provenance)


def codes_of(texts: pa.Array) -> Int64s:
    """A number from 0 for each distinct text, in order of first appearance; -1 for null."""
    indices = texts.dictionary_encode().indices
    return pc.fill_null(indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)  # type: ignore[no-any-return]


def _texts(values: Any) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    array = values if isinstance(values, pa.Array) else pa.array(values, type=pa.string())
    return array.cast(pa.string())


def _column(values: Any) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    array = values if isinstance(values, pa.Array) else pa.array(values)
    return array.cast(pa.string() if pa.types.is_string(array.type) else pa.float64())


def _slice(values: pa.ChunkedArray) -> Floats | pa.Array:
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_string(whole.type) or pa.types.is_large_string(whole.type):
        return whole.cast(pa.string())
    return pc.fill_null(whole.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)


def _head(frame: TrainingFrame) -> dict[str, Any]:
    definition = frame.definition
    named = {
        "id": definition.id,
        "threat": definition.threat,
        "on": definition.on,
        "inputs": list(definition.inputs),
        "labels": list(definition.labels),
        "subject": definition.subject,
        "budgets": dict(definition.budgets),
        "monotone": dict(definition.monotone),
        "description": definition.description,
    }
    inputs = [
        {"name": one.name, "kind": one.kind.name, "hash": one.hash, "description": one.description, "unit": one.unit}
        for one in frame.inputs
    ]
    return {
        "version": FRAME_VERSION,
        "definition": named,
        "inputs": inputs,
        "provenance": vars(frame.provenance),
        "infinite": dict(frame.infinite),
    }


def _read_head(table: pa.Table) -> dict[str, Any]:
    text = (table.schema.metadata or {}).get(_KEY)
    if text is None:
        raise InvalidInput(Problem("frame.format", "the table is no training frame", hint="write it with to_parquet"))
    try:
        head: dict[str, Any] = json.loads(text)
        version = head["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(Problem("frame.format", f"the frame's head cannot be read: {error}")) from error
    if version != FRAME_VERSION:
        raise Unsupported(f"{FRAME_FORMAT} version {version}; this release reads {FRAME_VERSION}")
    return head


def _input_problems(definition: ModelDefinition, inputs: Sequence[Input]) -> list[Problem]:
    found, names = [], [one.name for one in inputs]
    for missing in [name for name in definition.inputs if name not in names]:
        found.append(
            Problem(
                "frame.inputs",
                f"{definition.id!r} wants the input {missing!r}, which the frame does not have",
                Where(path="inputs"),
                nearest=nearest_name(missing, names),
            )
        )
    if not found and tuple(names) != tuple(definition.inputs):
        found.append(
            Problem(
                "frame.inputs", "the frame's inputs are not those of the definition, in its order", Where(path="inputs")
            )
        )
    found += [
        Problem("frame.kind", f"the input {one.name!r} is a text", allowed="bool, int, float or time")
        for one in inputs
        if one.kind is Kind.TEXT
    ]
    return found


def _shape_problems(frame: TrainingFrame) -> list[Problem]:
    n, d = len(frame.seq), len(frame.inputs)
    sizes: dict[str, Any] = {name: len(getattr(frame, name)) for name in ("as_of", "time", "subject", "account")}
    sizes |= {"weight": len(frame.weight)} | {f"slices.{name}": len(values) for name, values in frame.slices.items()}
    found = _size_problems(sizes, n)
    if frame.x.shape != (n, d):
        found.append(Problem("frame.shape", f"x is {frame.x.shape}", Where(path="x"), allowed=f"({n}, {d})"))
    return found


def _size_problems(sizes: Mapping[str, int], n: int) -> list[Problem]:
    return [
        Problem("frame.shape", f"{name} has {size} rows, seq {n}", Where(path=name))
        for name, size in sizes.items()
        if size != n
    ]


def _row_problems(frame: TrainingFrame) -> list[Problem]:
    found, steps = [], np.diff(frame.seq)
    if len(np.unique(frame.seq)) < len(frame.seq):
        twice = frame.seq[:-1][steps == 0]
        which = f", seq {int(twice[0])} for one" if len(twice) else ""
        found.append(
            Problem("frame.duplicate", f"rows stand more than once{which}", hint="a replay gives each event once")
        )
    elif (steps < 0).any():
        found.append(Problem("frame.order", "rows do not stand in journal order", hint="sort them by seq"))
    bad = ~(np.isfinite(frame.weight) & (frame.weight > 0))
    if bad.any():
        found.append(
            Problem("frame.weight", f"{int(bad.sum())} weights are not over 0 and finite", allowed="1 / sampling rate")
        )
    return found
