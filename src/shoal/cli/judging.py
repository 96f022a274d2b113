"""What the judging verbs share: times, durations, label files, and shares in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shoal.errors import InvalidInput, Problem, Where
from shoal.events.labels import LABEL_COLUMNS, LABEL_SCHEMA
from shoal.learn.intervals import Share
from shoal.packs.fields import DURATION_FORM, duration_us, moment_us

MAX_LABELS = 50_000_000


def parse_duration(text: str, option: str) -> int:
    """A duration in µs. Raises `InvalidInput` naming the option."""
    found = duration_us(text)
    if found is None or found <= 0:
        raise InvalidInput(Problem("option.duration", f"{text!r} is no duration", Where(option), DURATION_FORM))
    return found


def parse_moment(text: str, option: str) -> int | None:
    """A moment in µs UTC; None for an empty text. Raises `InvalidInput` naming the option."""
    if not text:
        return None
    found = moment_us(text)
    if found is None:
        allowed = "ISO 8601: 2026-01-31, 2026-01-31T12:00:00Z"
        raise InvalidInput(Problem("option.moment", f"{text!r} is no time", Where(option), allowed))
    return found


def read_label_file(path: Path) -> list[dict[str, Any]]:
    """Label rows of a Parquet or NDJSON file, checked against the label schema.

    Raises `InvalidInput` with all problems: absent, neither format, a column that is missing or of another type, a
    kind of subject that no label is about."""
    import pyarrow as pa
    import pyarrow.json as pj
    import pyarrow.parquet as pq

    where = Where(str(path))
    if not path.is_file():
        raise InvalidInput(Problem("labels.absent", "no such file", where))
    wanted = pa.schema([field for field in LABEL_SCHEMA if field.name != "offset"])
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            table = pj.read_json(path, parse_options=pj.ParseOptions(explicit_schema=wanted))
    except (pa.ArrowInvalid, OSError) as error:
        allowed = "Parquet (.parquet) or NDJSON with the columns of labels"
        raise InvalidInput(Problem("labels.unreadable", str(error).splitlines()[0], where, allowed)) from error
    if table.num_rows > MAX_LABELS:
        raise InvalidInput(Problem("labels.many", f"{table.num_rows:,} rows", where, f"at most {MAX_LABELS:,}"))
    problems = []
    columns = {}
    for field in wanted:
        if field.name not in table.column_names:
            if field.name in ("subject_type", "subject", "kind", "known_at"):
                problems.append(Problem("labels.column", f"column {field.name!r} is missing", where, str(field.type)))
            columns[field.name] = pa.nulls(table.num_rows, field.type)
            continue
        try:
            columns[field.name] = table.column(field.name).cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            told = f"column {field.name!r} is {table.column(field.name).type}"
            problems.append(Problem("labels.type", told, where, str(field.type)))
    if problems:
        raise InvalidInput(problems)
    rows: list[dict[str, Any]] = pa.table(columns).to_pylist()
    for number, row in enumerate(rows, start=1):
        if row["subject_type"] not in LABEL_COLUMNS or not row["subject"] or not row["kind"]:
            told = f"row {number} is about {row['subject_type']!r} {row['subject']!r}, kind {row['kind']!r}"
            problems.append(Problem("labels.row", told, where, ", ".join(LABEL_COLUMNS)))
            if len(problems) == 20:
                break
    if problems:
        raise InvalidInput(problems)
    return rows


def share_text(share: Share) -> str:
    """A share in words, with its interval: `86 % (12 of 14; 60-96 %)`; a dash where nothing is known."""
    if not share.total:
        return "-"
    low, high = share.wilson()
    return f"{share.value:.0%} ({share.successes:,} of {share.total:,}; {low:.0%}-{high:.0%})"
