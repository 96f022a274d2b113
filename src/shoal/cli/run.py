"""`shoal run`: files through the whole engine, then findings."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer


class FormatName(StrEnum):
    """Formats that can be named; `auto` looks at the first bytes."""

    auto = "auto"
    native = "native"
    ocsf = "ocsf"
    cloudtrail = "cloudtrail"
    m365 = "m365"
    workspace = "workspace"
    dropbox = "dropbox"
    syslog = "syslog"


class History(StrEnum):
    """What is known of the time before the first record."""

    complete = "complete"
    unknown = "unknown"


class Output(StrEnum):
    """How findings are printed."""

    table = "table"
    ndjson = "ndjson"
    ocsf = "ocsf"
    summary = "summary"


def run(
    sources: list[str] = typer.Argument(..., metavar="SOURCE…", help="Files (.gz and .zst too), or - for stdin."),
    format: FormatName = typer.Option(FormatName.auto, "--format", "-f", help="What the files hold."),  # noqa: A002
    mapping: Path = typer.Option(None, "--mapping", "-m", help="A mapping file: the files are CSV or Parquet by it."),
    pack: str = typer.Option("", "--pack", "-p", help="A pack's folder or name; default: the one for the format."),
    home: Path = typer.Option(Path("shoal-data"), "--out", "-o", help="The deployment's folder; made if absent."),
    as_received: bool = typer.Option(False, "--as-received", help="Keep the files' order instead of sorting by time."),
    history: History = typer.Option(History.complete, "--history", help="Whether the files hold all there was."),
    output: Output = typer.Option(Output.table, "--output", help="How findings are printed."),
    top: int = typer.Option(20, "--top", min=1, help="How many findings are printed."),
) -> None:
    """Read SOURCE… once through the whole engine, commit every decision, and print the findings.

    Run it again to go on where it stopped; what was read to its end is not read again.
    """
    import time

    from shoal.cli.findings import print_findings, print_totals
    from shoal.cli.formats import chosen_format
    from shoal.cli.show import err, progress_bars
    from shoal.clock import SystemClock
    from shoal.runtime.deployment import find_pack, open_deployment
    from shoal.runtime.home import open_home
    from shoal.runtime.run import check_paths, default_pack, guess_format, read_source
    from shoal.runtime.warm import warm

    paths = [Path(source) for source in sources]
    check_paths(paths)
    chosen = chosen_format(format.value, mapping)
    name = guess_format(paths) if chosen is None else chosen.name
    folder = find_pack(pack or default_pack(name))
    with progress_bars() as progress:
        deployment = open_deployment(open_home(home, create=True), progress.stage)
        try:
            deployment.publish(folder, history_complete=history is History.complete)
            warm(deployment.running, progress.stage)
            start = time.perf_counter()
            read = read_source(
                deployment, paths, chosen or name, received=as_received, clock=SystemClock(), progress=progress
            )
            seconds = time.perf_counter() - start
            deployment.rest()
            found = deployment.findings(top)
        finally:
            deployment.close()
    for note in deployment.notes:
        err.print(f"note: {note}", markup=False)
    if read.finished_before:
        err.print(f"{read.source} was read to its end before ({read.before:,} records); nothing new", markup=False)
    elif read.before:
        err.print(f"went on behind {read.before:,} records of an earlier run", markup=False)
    if output in (Output.table, Output.summary):
        print_totals(deployment.committer.totals, seconds)
    print_findings(found.shown, found.total, output=output.value)
