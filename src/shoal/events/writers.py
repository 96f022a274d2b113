"""Writers: events as native NDJSON (columns at once: hot path), and findings as OCSF Detection Finding.

What is written is read back equal by the native reader, the place (source, partition, offset) aside: that belongs to
where a record is read. Holds no state.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal import __version__
from shoal.errors import InvalidInput, Problem, Where
from shoal.events.formats.tables.ocsf import SEVERITIES
from shoal.events.formats.tables.ocsf import VERSION as OCSF_VERSION
from shoal.events.schema import BY_NAME, Kind, check_table
from shoal.events.writer_kernel import ESCAPED, HEX_DIGITS, PLAIN, RAW, lines_size, write_lines

PLACE = frozenset({"source", "partition", "offset"})
_T = 10  # where `T` stands in an ISO time


def write_native(table: pa.Table) -> bytes:
    """The events as native NDJSON, a line each; a column whose value is null is left out of its row's line.

    Times are ISO 8601 with microseconds and `Z`; `attributes` is put in as the object that it is; floats that are not
    finite are left out; the place of a record (source, partition, offset) is not written. Raises `InvalidInput` for a
    table that is not an event table.
    """
    check_table(table)
    rows = table.num_rows
    if rows == 0:
        return b""
    columns = [_Flat(name, table.column(name)) for name in table.column_names if name not in PLACE]
    columns = [column for column in columns if column.valid.any()]
    if not columns:
        return b"".join([b"{}\n"] * rows)
    data = np.concatenate([column.data for column in columns])
    offsets = np.concatenate([column.offsets for column in columns])
    data_starts = np.cumsum([0, *(len(column.data) for column in columns[:-1])], dtype=np.int64)
    offset_starts = np.arange(len(columns), dtype=np.int64) * (rows + 1)
    valid = np.stack([column.valid for column in columns])
    names = [f'"{column.name}":'.encode() for column in columns]
    keys = np.frombuffer(b"".join(names), dtype=np.uint8).copy()
    key_ends = np.cumsum([len(name) for name in names], dtype=np.int64)
    modes = np.array([column.mode for column in columns], dtype=np.uint8)
    shape = (data, offsets, data_starts, offset_starts, valid, keys, key_ends, modes, rows)
    out = np.empty(lines_size(*shape), dtype=np.uint8)
    written = write_lines(*shape, out, HEX_DIGITS)
    lines: bytes = out[:written].tobytes()
    return lines


class _Flat:
    """One column as bytes, offsets and validity."""

    def __init__(self, name: str, column: pa.ChunkedArray) -> None:
        self.name = name
        kind = BY_NAME[name].kind
        array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        if kind is Kind.FLOAT:
            array = pc.if_else(pc.is_finite(array), array, None)
        if kind is Kind.TIME:
            array = array.cast(pa.timestamp("us", "UTC")).cast(pa.string())
        elif kind is not Kind.TEXT:
            array = array.cast(pa.string())
        self.valid: npt.NDArray[np.uint8] = np.ones(len(array), dtype=np.uint8)
        if array.null_count:
            self.valid = np.asarray(array.is_valid()).astype(np.uint8)
        self.offsets, self.data = _buffers(array)
        if kind is Kind.TIME:
            self.data = self.data.copy()
            self.data[self.offsets[:-1][self.valid.astype(bool)] + _T] = ord("T")
        self.mode = RAW
        if kind is Kind.TIME:
            self.mode = PLAIN
        elif kind is Kind.TEXT and name != "attributes":
            used = self.data
            special = (used < 32) | (used == 34) | (used == 92)
            self.mode = ESCAPED if special.any() else PLAIN


def _buffers(array: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Offsets (from 0) and bytes of a string array."""
    _, offsets_buffer, data_buffer = array.buffers()
    raw = np.frombuffer(offsets_buffer, dtype=np.int32)[array.offset : array.offset + len(array) + 1]
    start, end = int(raw[0]), int(raw[-1])
    data = np.frombuffer(data_buffer, dtype=np.uint8)[start:end] if data_buffer is not None else np.empty(0, np.uint8)
    return raw.astype(np.int64) - start, data


FINDING_KEYS = ("id", "time", "title", "description", "severity", "threat", "tier", "subject_type", "subject")
FINDING_LISTS = ("rules", "evidence", "actions")


def ocsf_detection_finding(finding: Mapping[str, Any], version: str = __version__) -> dict[str, Any]:
    """A finding as an OCSF 1.4 Detection Finding (class 2004, activity Create), ready for a JSON encoder.

    `finding` has: `id` text; `time` int64 microseconds UTC; `title`, `description` texts; `severity` one of
    informational, low, medium, high, critical, fatal, unknown; `threat` text (kind of abuse); `tier` text (allow,
    watch, challenge, restrict, block); `subject_type`, `subject` texts; and lists: `rules` of {`id`, `title`,
    `technique` (ATT&CK id or null)}, `evidence` of objects (facts in words, event ids, counts), `actions` of texts.
    Raises `InvalidInput` with all problems (`finding.missing`, `finding.wrong`, `finding.unknown_key`).
    """
    _check_finding(finding)
    ms = finding["time"] // 1000
    rules = finding.get("rules") or []
    severity = finding["severity"]
    info: dict[str, Any] = {
        "uid": finding["id"],
        "title": finding["title"],
        "desc": finding["description"],
        "types": [finding["threat"]],
        "created_time": ms,
        "product_uid": "shoal",
    }
    if rules:
        analytics = [{"uid": rule["id"], "name": rule.get("title", ""), "type_id": 1, "type": "Rule"} for rule in rules]
        info["analytic"], info["related_analytics"] = analytics[0], analytics[1:]
        techniques = dict.fromkeys(rule["technique"] for rule in rules if rule.get("technique"))
        if techniques:
            info["attacks"] = [{"technique": {"uid": technique}} for technique in techniques]
    return {
        "class_uid": 2004, "class_name": "Detection Finding", "category_uid": 2, "category_name": "Findings",
        "activity_id": 1, "activity_name": "Create", "type_uid": 200401, "type_name": "Detection Finding: Create",
        "time": ms,
        "time_dt": datetime.fromtimestamp(finding["time"] // 1_000_000, UTC)
        .replace(microsecond=finding["time"] % 1_000_000)
        .strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "severity_id": SEVERITIES[severity], "severity": severity.capitalize(),
        "status_id": 1, "status": "New",
        "metadata": {
            "version": OCSF_VERSION, "uid": finding["id"],
            "product": {"name": "Shoal", "vendor_name": "Shoal", "uid": "shoal", "version": version},
        },
        "finding_info": info,
        "resources": [{"type": finding["subject_type"], "uid": finding["subject"], "name": finding["subject"]}],
        "evidences": [{"data": item} for item in finding.get("evidence") or []],
        "unmapped": {"shoal": {"tier": finding["tier"], "actions": list(finding.get("actions") or [])}},
    }  # fmt: skip


def _check_finding(finding: Mapping[str, Any]) -> None:
    problems = []
    for key in FINDING_KEYS:
        value = finding.get(key)
        if value is None:
            problems.append(Problem("finding.missing", f"the finding has no {key}", Where(path=key)))
        elif key == "time":
            if type(value) is not int or value < 0:
                problems.append(Problem("finding.wrong", "time is not microseconds", Where(path=key)))
        elif not isinstance(value, str):
            problems.append(Problem("finding.wrong", f"{key} is not a text", Where(path=key)))
        elif key == "severity" and value not in SEVERITIES:
            allowed = ", ".join(SEVERITIES)
            problems.append(Problem("finding.wrong", f"severity is {value!r}", Where(path=key), allowed=allowed))
    for key in FINDING_LISTS:
        value = finding.get(key)
        if value is not None and not isinstance(value, list | tuple):
            problems.append(Problem("finding.wrong", f"{key} is not a list", Where(path=key)))
        elif key == "rules":
            for number, rule in enumerate(value or []):
                if not isinstance(rule, Mapping) or not isinstance(rule.get("id"), str):
                    problems.append(Problem("finding.wrong", "a rule has no id", Where(path=f"rules.{number}")))
    for key in sorted(set(finding) - set(FINDING_KEYS) - set(FINDING_LISTS)):
        problems.append(Problem("finding.unknown_key", f"a finding has no {key!r}", Where(path=key)))
    if problems:
        raise InvalidInput(problems)
