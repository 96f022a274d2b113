"""What `shoal learn` prints: evaluations, comparisons and drift reports as tables, with their intervals."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from shoal.cli.show import moment, out
from shoal.learn.evaluation.compare import Comparison
from shoal.learn.evaluation.figures import AtThreshold, Estimate, Evaluation
from shoal.learn.evaluation.monitor import DriftReport
from shoal.learn.evaluation.rates import Rate


def print_evaluation(found: Evaluation) -> None:
    """How well it ranks, beside baselines, what its levels do, and where it is worse."""
    out.print(
        f"{found.detector} ({found.model}): {found.rows:,} rows of {found.subjects:,} subjects from "
        f"{moment(found.first_us)[:10]} to {moment(found.last_us)[:10]}, {found.positive_subjects:,} of them abusive",
        markup=False,
    )
    table = _table("score", "AUROC by subject", "average precision", *_budgets(found))
    for one in found.ranked:
        recalls = [_estimate(recall) for recall in one.recalls]
        table.add_row(one.name, _estimate(one.subject_auroc), _estimate(one.subject_average_precision), *recalls)
    out.print(table)
    print_levels(found.levels)
    calibration = found.calibration
    out.print(
        f"calibration: expects {calibration.expected:.3%} abusive rows, {_rate(calibration.observed)} were; error "
        f"{calibration.error:.4f}, log loss {calibration.log_loss:.4f} (constant {calibration.log_loss_constant:.4f})",
        markup=False,
    )
    if found.slices:
        table = _table(f"slice, at {found.slice_level}", "subjects", "abusive", "caught", "honest per 10,000 and week")
        for part in found.slices:
            counts = (f"{part.subjects:,}", f"{part.positive_subjects:,}")
            table.add_row(part.name, *counts, _rate(part.recall), _per(part.honest))
        out.print(table)


def print_levels(levels: Iterable[AtThreshold]) -> None:
    """What each level does."""
    table = _table("level", "abusive caught", "honest per 10,000 and week", "budget", "precision", "subjects a day")
    for one in levels:
        precision = "-" if one.precision is None else f"{one.precision:.0%}"
        budget = "-" if one.budget is None else f"{one.budget:g}"
        table.add_row(one.name, _rate(one.recall), _per(one.honest), budget, precision, f"{one.subjects_a_day:,.1f}")
    if table.rows:
        out.print(table)


def print_comparison(found: Comparison) -> None:
    """Both models' figures with the paired interval of the difference."""
    told = f"{found.rows:,} rows of {found.subjects:,} subjects, {found.positive_subjects:,} of them abusive"
    out.print(f"{found.first} and {found.second} on {told}", markup=False)
    table = _table("figure", found.first, found.second, "difference", "")
    for one in found.differences:
        said = {1: "better", -1: "worse", 0: "cannot be told"}[one.surely]
        told = f"{one.difference:+.4f} ({one.low:+.4f} to {one.high:+.4f})"
        table.add_row(one.name, f"{one.first:.4f}", f"{one.second:.4f}", told, said)
    out.print(table)
    for note in found.notes:
        out.print(f"note: {note}", markup=False)


def print_drift(found: DriftReport) -> None:
    """What moved, whether it is calibrated, and the alarms."""
    out.print(
        f"{found.detector} ({found.model}): {found.rows:,} rows of {found.subjects:,} subjects from "
        f"{moment(found.first_us)[:10]} to {moment(found.last_us)[:10]}",
        markup=False,
    )
    table = _table("input", "stability index", "by chance up to", "unknown before", "now", "what moved most")
    for one in [found.score, *found.inputs[:10]]:
        index = f"{one.index:.3f}" + ("", " moved", " moved much")[one.alarm]
        shares = (f"{one.missing_before:.1%}", f"{one.missing_now:.1%}")
        table.add_row(one.name, index, f"{one.bound:.3f}", *shares, one.most)
    out.print(table)
    if found.expected is not None:
        told = f"expects {found.expected:.3%} abusive rows, {_rate(found.observed)} were"
        out.print(f"calibration on {found.matured:,} matured rows: {told}", markup=False)
    print_levels(found.levels)
    for note in found.notes:
        out.print(f"note: {note}", markup=False)
    for alarm in found.alarms:
        out.print(f"[bold red]alarm[/bold red] {alarm}")
    if not found.alarms:
        out.print("no alarm")


def _table(*names: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 1))
    for place, name in enumerate(names):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    return table


def _budgets(found: Evaluation) -> list[str]:
    return [f"caught at {budget:g}" for budget in found.model_ranked.budgets]


def _estimate(one: Estimate) -> str:
    if one.value is None:
        return "-"
    if one.low is None or one.high is None:
        return f"{one.value:.3f}"
    return f"{one.value:.3f} ({one.low:.3f}-{one.high:.3f})"


def _rate(one: Rate) -> str:
    return "-" if one.value is None else f"{one.value:.1%} ({one.low:.1%}-{one.high:.1%})"


def _per(one: Rate) -> str:
    return "-" if one.value is None else f"{one.value:.1f} ({one.low:.1f}-{one.high:.1f})"
