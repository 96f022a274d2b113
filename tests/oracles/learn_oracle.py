"""The target of each row, one row and one label at a time: the plainest reading of `learn.targets`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DAY_US = 86_400_000_000


def slow_target(
    account: str | None,
    time: int,
    rows: Sequence[Mapping[str, Any]],
    until: int,
    kinds: set[str],
    maturity: int,
) -> str:
    """positive, confirmed, presumed, young, other or nobody."""
    if account is None:
        return "nobody"
    if time > until:
        return "young"
    standing: list[Mapping[str, Any]] = []
    known = [row for row in rows if row["known_at"] is not None and row["known_at"] <= until]
    for row in known:
        if row["retracted"] or row["subject"] != account or row["subject_type"] != "account":
            continue
        taken_back = any(
            other["retracted"]
            and all(other[k] == row[k] for k in ("subject_type", "subject", "kind", "source"))
            and (other["known_at"], True) > (row["known_at"], False)
            for other in known
        )
        if not taken_back:
            standing.append(row)
    inside = [
        row
        for row in standing
        if (row["start"] is None or row["start"] <= time) and (row["end"] is None or time < row["end"])
    ]
    if inside:
        best = max(
            inside,
            key=lambda row: (
                0.5 if row["confidence"] is None else row["confidence"],
                row["known_at"],
                not row["kind"].startswith("benign"),
            ),
        )
        if best["kind"] in kinds:
            return "positive"
        return "confirmed" if best["kind"].startswith("benign") else "other"
    if any(row["kind"] in kinds and time <= row["known_at"] for row in standing):
        return "confirmed"
    return "young" if time > until - maturity else "presumed"
