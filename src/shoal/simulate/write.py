"""A world on disk: `events.ndjson` in the native format, `labels.parquet`, `truth.parquet`,
`groups.parquet`, `world.json`.

Late and duplicate records are part of the world's blocks; malformed ones exist only in the bytes written here, and
`world.json` counts them all, so that a reader's ledger can be checked. It is written last: a folder without it holds no
whole world. Holds no state.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal, cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from shoal.errors import InvalidInput, Problem, Where
from shoal.events.writers import write_native
from shoal.simulate.draws import DAY, Ints, generator
from shoal.simulate.world import Part, World

MANIFEST_VERSION = 1
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
    groups: int


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
            whole = write_native(part.events)
            begins = np.append(0, np.flatnonzero(np.frombuffer(whole, dtype=np.uint8) == 10) + 1)
            broken = malformed(rng, whole, begins, scenario.delivery.malformed_share)
            kinds.update(kind for _, kind, _ in broken)
            stream.write(interleave(part, whole, begins, [(place, line) for place, _, line in broken]))
            counts.update(
                events=part.events.num_rows, facts=part.facts.num_rows, duplicates=part.duplicates,
                late=part.late, malformed=len(broken),
            )  # fmt: skip
            for item in part.events["type"].value_counts().to_pylist():
                types[item["values"]] += item["counts"]
            if progress is not None and part.events.num_rows:
                reached = (part.events["received"][-1].as_py() - scenario.start) / (scenario.days * DAY)
                progress(min(max(reached, 0.0), 1.0))
    labels, truth, groups = world.labels(), world.truth, world.groups()
    pq.write_table(labels, folder / "labels.parquet")
    pq.write_table(truth, folder / "truth.parquet")
    pq.write_table(groups, folder / "groups.parquet")
    moment = datetime.fromtimestamp(scenario.start / 1e6, UTC).isoformat().replace("+00:00", "Z")
    manifest = Manifest(
        MANIFEST_VERSION, scenario.name, world.seed, moment, scenario.days, name,
        counts["events"] + counts["facts"] + counts["malformed"], counts["events"], counts["duplicates"],
        counts["late"], counts["facts"], counts["malformed"], dict(sorted(kinds.items())), dict(sorted(types.items())),
        labels.num_rows, truth.num_rows, groups.num_rows,
    )  # fmt: skip
    text = json.dumps(dataclasses.asdict(manifest), indent=2) + "\n"
    (folder / "world.json").write_text(text, encoding="utf-8")
    return manifest


def fact_lines(facts: pa.Table) -> list[bytes]:
    """Facts as native records."""
    frame = cast(pl.DataFrame, pl.from_arrow(facts))
    moment = pl.from_epoch(pl.col("time"), time_unit="us").dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ")
    bare = pl.col("name").is_in(["created", "verified"])  # a number, true or false
    quote = pl.when(bare).then(pl.lit("")).otherwise(pl.lit('"'))
    line = pl.concat_str(
        pl.lit('{"record":"fact","subject_type":"'), "subject_type", pl.lit('","subject":"'), "subject",
        pl.lit('","name":"'), "name", pl.lit('","value":'), quote, "value", quote, pl.lit(',"time":"'), moment,
        pl.lit('"}'),
    )  # fmt: skip
    return [text.encode() for text in frame.select(line).to_series().to_list()]


def interleave(part: Part, whole: bytes, begins: Ints, broken: list[tuple[int, bytes]]) -> bytes:
    """The part's bytes: its events (`whole`, whose lines begin at `begins`) with facts and broken lines before the rows
    where they stand."""
    facts = fact_lines(part.facts) if part.facts.num_rows else []
    inserted = sorted(
        [(int(place), 0, line) for place, line in zip(part.places.tolist(), facts, strict=True)]
        + [(place, 1, line) for place, line in broken],
        key=lambda item: item[:2],
    )
    out, at = [], 0
    for place, _, line in inserted:
        stop = int(begins[place])
        out += [whole[at:stop], line, b"\n"]
        at = stop
    out.append(whole[at:])
    return b"".join(out)


MALFORMED = ("cut", "not_json", "not_object", "time_missing", "time_wrong", "type_missing", "encoding")
"""Ways in which a line is broken."""


def malformed(rng: np.random.Generator, whole: bytes, begins: Ints, share: float) -> list[tuple[int, str, bytes]]:
    """Broken lines made from some of the lines of `whole`: place, kind and bytes. A reader of the native format must
    refuse each, for the reason that its kind names."""
    size = len(begins) - 1
    out = []
    for place in np.sort(rng.integers(0, max(size, 1), int(rng.binomial(size, share)))).tolist():
        kind = MALFORMED[int(rng.integers(0, len(MALFORMED)))]
        line = whole[int(begins[place]) : int(begins[place + 1]) - 1]
        record = json.loads(line)
        if kind == "cut":
            line = line[: int(rng.integers(10, len(line) - 2))]
        elif kind == "not_json":
            line = b"<html><body>502 Bad Gateway</body></html>"
        elif kind == "not_object":
            line = json.dumps([record["event_id"]]).encode()
        elif kind == "encoding":
            line = line.replace(b'"type":"', b'"type":"\xff\xfe', 1)
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
