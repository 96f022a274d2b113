"""The page of a backtest, from its plain form (`shoal backtest --json`): what would differ, for whom, and what labels
say.

Nothing is computed here but the layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from shoal.learn.intervals import Share
from shoal.reports import plots
from shoal.reports.page import write_page
from shoal.reports.plots import Bar

SAID = {"abusive": plots.BLUE, "benign": plots.VERMILION, "unlabelled": "#9aa5b1"}
SHOWN = 200


def write_backtest(path: Path, found: Mapping[str, Any]) -> Path:
    """Draw and write the page; returns its path."""
    differ = [rule for rule in found["rules"] if rule["status"] != "same" or rule["only_old"] or rule["only_new"]]
    context = {
        "found": found,
        "differ": differ,
        "subjects": found["subjects"][:SHOWN],
        "plots": {"moves": _moves(found), "worth": _worth(found), "stopped": _stopped(found)},
    }
    return write_page(path, "backtest", context)


def _moves(found: Mapping[str, Any]) -> Markup:
    rows = [(name.replace("_", " "), moves["up"], moves["down"]) for name, moves in found["threats"].items()]
    came = sum(sum(up.values()) for _, up, _ in rows)
    went = sum(sum(down.values()) for _, _, down in rows)
    return plots.moves(
        rows,
        SAID,
        title="Subjects over the line to challenge, by threat",
        xlabel="no longer met (left), newly met (right)",
        says=f"{came:,} subjects would be met newly and {went:,} no longer.",
    )


def _worth(found: Mapping[str, Any]) -> Markup:
    rows = []
    for name in ("old", "new"):
        worth = found[name]["worth"]
        rows.append(
            Bar(f"{name}: {found[name]['name']} {found[name]['version']}", Share(worth["successes"], worth["total"]))
        )
    return plots.bars(
        rows,
        title="Abusive among the labelled subjects at challenge or above",
        xlabel="share, with its 95 % Wilson interval",
        says="Subjects without a label are in neither bar.",
    )


def _stopped(found: Mapping[str, Any]) -> Markup:
    none: dict[str, int] = {}
    rows = [(name, found[name]["stopped"], none) for name in ("old", "new")]
    return plots.moves(
        rows,
        SAID,
        title="Events that the planned actions would have stopped",
        xlabel="events, by what labels say of the account that made them",
        says="Counted on history as it was: an adversary who is stopped may come back another way.",
    )
