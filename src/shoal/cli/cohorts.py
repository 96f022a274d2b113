"""`shoal cohorts`: precision and recall of stored decisions, honest about labels that are not there yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from shoal.learn.cohorts import Cohort, CohortReport
    from shoal.learn.intervals import Share


def cohorts(
    home: Path = typer.Argument(Path("shoal-data"), metavar="[DIR]", help="The deployment's folder."),
    labels: Path = typer.Option(None, "--labels", help="Labels beside those in the journal: Parquet or NDJSON."),
    now: str = typer.Option("", "--now", help="As of this time (ISO 8601). Default: the journal's last event."),
    cohort: str = typer.Option("7d", "--cohort", help="Length of a cohort."),
    tier: str = typer.Option("challenge", "--tier", help="Decisions of at least this tier."),
    by_threat: bool = typer.Option(False, "--by-threat", help="A table for each threat."),
) -> None:
    """Judge stored decisions by cohort: labelled precision with intervals and bounds, recall, and what is too young."""
    from shoal.cli.judging import parse_duration, parse_moment, read_label_file
    from shoal.cli.show import out, progress_bars, span
    from shoal.errors import InvalidInput, Problem, Where
    from shoal.policy.definitions import Tier
    from shoal.runtime.home import open_home
    from shoal.runtime.judge.cohorts import judge_decisions

    names = [one.name.lower() for one in Tier if one]
    if tier not in names:
        raise InvalidInput(Problem("option.tier", f"no tier {tier!r}", Where("--tier"), ", ".join(names)))
    cohort_us, now_us = parse_duration(cohort, "--cohort"), parse_moment(now, "--now")
    rows = read_label_file(labels) if labels else []
    with progress_bars() as progress:
        progress.stage("judging")
        judged = judge_decisions(
            open_home(home, create=False), labels=rows, now_us=now_us, cohort_us=cohort_us, tier=Tier[tier.upper()]
        )
    delays = judged.by_threat[""].delays
    out.print(f"{judged.labels:,} labels are known by then", end="")
    half, most = delays.quantile_us(0.5), delays.quantile_us(0.9)
    if half is not None and most is not None:
        out.print(
            f"; of those about decided subjects, half came within {span(half / 1e6)}, "
            f"nine in ten within {span(most / 1e6)} (corrected for the short history)"
        )
    else:
        out.print("; none is about a subject that was decided on")
    for threat, report in judged.by_threat.items():
        if not threat or by_threat:
            out.print(f"\n[bold]{threat.replace('_', ' ') or 'all threats'}[/bold]")
            _print(report, recall=not threat)
    for challenge in judged.challenges:
        told = ", ".join(f"{name} {count:,}" for name, count in sorted(challenge.outcomes.items()))
        out.print(f"\nchallenges by {challenge.method}: {told}", markup=False)
        if challenge.intruders is not None and challenge.interval is not None:
            told = f"{challenge.intruders:.0%} intruders ({challenge.interval})"
            out.print(f"  speak for {told}, if the method errs as assumed", markup=False)


def _print(report: CohortReport, *, recall: bool) -> None:
    from rich.table import Table

    from shoal.cli.judging import share_text
    from shoal.cli.show import out

    table = Table(box=None, header_style="bold", padding=(0, 1))
    names = ["cohort", "decided", "abusive", "benign", "unknown", "precision", "bounds"]
    for name in [*names, "recall"] if recall else names:
        table.add_column(name, justify="left" if name == "cohort" else "right")
    for cohort in (*report.cohorts, report.ripe):
        if cohort.decided or cohort.begun or cohort is report.ripe:
            row = _row(cohort, "ripe" if cohort is report.ripe else "")
            table.add_row(*row[: len(table.columns)])
    out.print(table)
    for rule, share in sorted(report.by_rule.items(), key=lambda item: -item[1].total)[:8]:
        out.print(f"  {rule}: {share_text(share)}", markup=False)


def _row(cohort: Cohort, name: str) -> tuple[str, ...]:
    from shoal.cli.show import moment

    counts = tuple(f"{count:,}" for count in (cohort.decided, cohort.abusive, cohort.benign, cohort.unlabelled))
    first = (name or moment(cohort.start_us)[:10], *counts)
    if cohort.too_young:
        return (*first, "too young", cohort.too_young, "")
    low, high = cohort.bounds
    return (*first, _short(cohort.precision), f"{low:.0%}-{high:.0%}", _short(cohort.recall))


def _short(share: Share) -> str:
    low, high = share.wilson()
    return "-" if share.value is None else f"{share.value:.0%} ({low:.0%}-{high:.0%})"
