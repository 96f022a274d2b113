"""`shoal replay`: decide everything again and name every difference."""

from __future__ import annotations

from pathlib import Path

import typer


def replay(home: Path = typer.Argument(Path("shoal-data"), metavar="[DIR]", help="The deployment's folder.")) -> None:
    """Decide the journal's records again and name every difference to the stored decisions (exit code 1 if any)."""
    from shoal.cli.show import out, progress_bars
    from shoal.runtime.home import open_home
    from shoal.runtime.review.replay import replay as check

    opened = open_home(home, create=False)
    with progress_bars() as progress:
        progress.stage("replaying")
        report = check(opened, moved=progress.moved)
    out.print(
        f"replayed {report.events:,} events: {report.vectors:,} stored feature vectors and "
        f"{report.decisions:,} decisions above allow compared; {report.count:,} differences"
        + (f"; {report.revisions:,} revisions compared" if report.revisions else "")
        + (f"; {report.edges:,} floats within 1e-9 of what was stored" if report.edges else "")
        + (
            f"; {report.edge_rules:,} rule answers and decisions hang on such floats (edge)"
            if report.edge_rules
            else ""
        )
        + (f"; {report.erased:,} rows have erased texts and were left out" if report.erased else "")
    )
    if report.cut:
        out.print(f"what lies before {report.cut} is gone; it began with record {report.first:,}", markup=False)
    for difference in report.differences:
        out.print(
            f"  seq {difference.seq} {difference.what}: stored {difference.stored}, replayed {difference.replayed}",
            markup=False,
        )
    if report.count > len(report.differences):
        out.print(f"  … and {report.count - len(report.differences):,} more")
    if report.count:
        raise typer.Exit(1)
