"""A world on disk: `events.ndjson` in the native format, `labels.parquet`, `truth.parquet`, `world.json`.

Late and duplicate records are part of the world's blocks; malformed ones exist only in the bytes written here, and
`world.json` counts them all, so that a reader's ledger can be checked. It is written last: a folder without it holds no
whole world. Holds no state.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from shoal.errors import InvalidInput, Problem, Where
from shoal.simulate.draws import DAY, generator
from shoal.simulate.world import Part, World

MANIFEST_VERSION = 1
_UNWRITTEN = frozenset({"source", "partition", "offset"})
_TIMES = frozenset({"time", "received"})
Compression = Literal["", "gz", "zst"]


@dataclass(frozen=True)
class Manifest:
    """What `world.json` says."""

    shoal_world: int
    name: str
    seed: int
    start: str
    days: int
    events_file: str
    lines: int  # records in the file: events + facts + malformed
    events: int  # duplicates included
    duplicates: int  # exact copies of earlier records
    late: int  # records delivered late, copies not counted
    facts: int
    malformed: int
    malformed_by_kind: dict[str, int]
    by_type: dict[str, int]  # of events, duplicates included
    labels: int
    truth_events: int


def write_world(
    world: World,
    folder: Path,
    *,
    compression: Compression = "",
    progress: Callable[[float], None] | None = None,
) -> Manifest:
    """Write the world into `folder` (made if need be). `progress` is told the share done, 0 to 1.

    Raises `InvalidInput` (`world.exists`) if the folder holds a world already, (`world.compression`) for a compression
    that is not known, (`world.folder`) if the folder cannot be made.
    """
    folder = Path(folder)
    if compression not in ("", "gz", "zst"):
        allowed = "'', 'gz', 'zst'"
        raise InvalidInput(Problem("world.compression", f"no compression {compression!r}", allowed=allowed))
    if (folder / "world.json").exists():
        hint = "choose another folder or remove this one"
        raise InvalidInput(Problem("world.exists", "there is a world already", Where(str(folder)), hint=hint))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(Problem("world.folder", error.strerror or str(error), Where(str(folder)))) from None
    name = "events.ndjson" + (f".{compression}" if compression else "")
    counts, kinds, types = Counter[str](), Counter[str](), Counter[str]()
    scenario = world.scenario
    rng = generator(world.seed, "malformed")
    with _opened(folder / name, compression) as stream:
        for part in world.parts():
            broken = malformed(rng, part.events, scenario.delivery.malformed_share)
            kinds.update(kind for _, kind, _ in broken)
            stream.write(interleave(part, [(place, line) for place, _, line in broken]))
            counts.update(
                events=part.events.num_rows, facts=part.facts.num_rows, duplicates=part.duplicates,
                late=part.late, malformed=len(broken),
            )  # fmt: skip
            for item in part.events["type"].value_counts().to_pylist():
                types[item["values"]] += item["counts"]
            if progress is not None and part.events.num_rows:
                reached = (part.events["received"][-1].as_py() - scenario.start) / (scenario.days * DAY)
                progress(min(max(reached, 0.0), 1.0))
    labels, truth = world.labels(), world.truth
    pq.write_table(labels, folder / "labels.parquet")
    pq.write_table(truth, folder / "truth.parquet")
    begins = datetime.fromtimestamp(scenario.start / 1e6, UTC).isoformat().replace("+00:00", "Z")
    manifest = Manifest(
        MANIFEST_VERSION, scenario.name, world.seed, begins, scenario.days, name,
        counts["events"] + counts["facts"] + counts["malformed"], counts["events"], counts["duplicates"],
        counts["late"], counts["facts"], counts["malformed"], dict(sorted(kinds.items())), dict(sorted(types.items())),
        labels.num_rows, truth.num_rows,
    )  # fmt: skip
    text = json.dumps(dataclasses.asdict(manifest), indent=2) + "\n"
    (folder / "world.json").write_text(text, encoding="utf-8")
    return manifest


def native_lines(table: pa.Table) -> bytes:
    """The events as native NDJSON: keys are column names, times ISO 8601, nulls left out.

    Rows of one pattern of nulls are written together by Polars, then put back in order. (The events package's own
    writer may take this function's place; the bytes mean the same.)
    """
    names = [name for name in table.column_names if name not in _UNWRITTEN]
    if not table.num_rows:
        return b""
    frame = cast(pl.DataFrame, pl.from_arrow(table.select(names)))
    iso = [
        pl.from_epoch(pl.col(name), time_unit="us").dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ").alias(name)
        for name in names
        if name in _TIMES
    ]
    frame = frame.with_columns(iso)
    pattern = np.zeros(table.num_rows, dtype=np.int64)
    for bit, name in enumerate(names):
        if frame[name].null_count():
            pattern |= frame[name].is_not_null().to_numpy().astype(np.int64) << bit
    values, group = np.unique(pattern, return_inverse=True)
    order = np.argsort(group, kind="stable")
    edges = np.searchsorted(group[order], np.arange(len(values) + 1))
    pieces: list[bytes] = []
    for i in range(len(values)):
        some = frame[order[edges[i] : edges[i + 1]]]
        buffer = io.BytesIO()
        some.select([column.name for column in some if not column.null_count()]).write_ndjson(buffer)
        pieces += buffer.getvalue().splitlines()
    lines: list[bytes] = [b""] * table.num_rows
    for place, line in zip(order.tolist(), pieces, strict=True):
        lines[place] = line
    return b"\n".join(lines) + b"\n"


def fact_lines(facts: pa.Table) -> list[bytes]:
    """Facts as native records."""
    out = []
    for row in facts.to_pylist():
        moment = datetime.fromtimestamp(row["time"] // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        row["time"] = f"{moment}.{row['time'] % 1_000_000:06d}Z"
        if row["name"] == "created":
            row["value"] = int(row["value"])
        elif row["name"] == "verified":
            row["value"] = row["value"] == "true"
        out.append(json.dumps({"record": "fact", **row}, separators=(",", ":")).encode())
    return out


def interleave(part: Part, broken: list[tuple[int, bytes]]) -> bytes:
    """The part's bytes: events with facts and broken lines before the rows where they stand."""
    whole = native_lines(part.events)
    inserted = sorted(
        [(int(place), 0, line) for place, line in zip(part.places.tolist(), fact_lines(part.facts), strict=True)]
        + [(place, 1, line) for place, line in broken],
        key=lambda item: item[:2],
    )
    if not inserted:
        return whole
    ends = np.flatnonzero(np.frombuffer(whole, dtype=np.uint8) == 10) + 1
    begins: npt.NDArray[np.int64] = np.concatenate([[0], ends])
    out, at = [], 0
    for place, _, line in inserted:
        stop = int(begins[min(place, len(begins) - 1)])
        out += [whole[at:stop], line, b"\n"]
        at = stop
    out.append(whole[at:])
    return b"".join(out)


def malformed(rng: np.random.Generator, events: pa.Table, share: float) -> list[tuple[int, str, bytes]]:
    """Broken lines: place, kind and bytes. Each is refused by a reader of the native format for the reason it names."""
    size = int(rng.binomial(events.num_rows, share))
    places = np.sort(rng.integers(0, max(events.num_rows, 1), size))
    kinds = ("cut", "not_json", "not_object", "time_missing", "time_wrong", "type_missing", "encoding")
    out = []
    for place in places.tolist():
        kind = kinds[int(rng.integers(0, len(kinds)))]
        whole = native_lines(events.slice(place, 1)).rstrip(b"\n")
        record = json.loads(whole)
        if kind == "cut":
            line = whole[: int(rng.integers(10, max(len(whole) - 2, 11)))]
        elif kind == "not_json":
            line = b"<html><body>502 Bad Gateway</body></html>"
        elif kind == "not_object":
            line = b'["' + record["event_id"].encode() + b'"]'
        elif kind == "encoding":
            line = whole.replace(b'"type":"', b'"type":"\xff\xfe', 1)
        else:
            if kind == "time_wrong":
                record["time"] = "yesterday"
            else:
                del record["time" if kind == "time_missing" else "type"]
            line = json.dumps(record, separators=(",", ":")).encode()
        out.append((int(place), kind, line))
    return out


@contextmanager
def _opened(path: Path, compression: Compression) -> Iterator[IO[bytes]]:
    """A stream to `path`; the same bytes in give the same bytes out."""
    with path.open("wb") as raw:
        if compression == "gz":
            with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as stream:
                yield cast(IO[bytes], stream)
        elif compression == "zst":
            with zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False) as stream:
                yield cast(IO[bytes], stream)
        else:
            yield raw
