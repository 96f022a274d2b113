"""The page of a threshold's curve, from its plain form (`shoal pack tune --json`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shoal.reports import plots
from shoal.reports.page import write_page
from shoal.reports.plots import Line


def write_tuning(path: Path, found: Mapping[str, Any]) -> Path:
    """Draw and write the page; returns its path."""
    points, column = found["points"], found["threshold"]["column"]
    x = [point["threshold"] for point in points]
    rows = []
    for key, name in (("caught", "abusive subjects caught"), ("touched", "honest subjects touched")):
        if any(point[key]["total"] for point in points):
            y = [point[key]["value"] or 0.0 for point in points]
            rows.append(
                Line(name, x, y, [point[key]["low"] for point in points], [point[key]["high"] for point in points])
            )
    picture = plots.lines(
        rows,
        title=f"{found['rule']}: what other thresholds would have done",
        xlabel=f"threshold of {column}",
        ylabel="share of the labelled",
        shares=True,
        mark=found["threshold"]["value"],
        says=f"Bands are 95 % Wilson intervals; the upright line is the place now, {found['threshold']['value']:g}.",
    )
    return write_page(path, "tuning", {"found": found, "plot": picture})
