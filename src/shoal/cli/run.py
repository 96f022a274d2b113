"""`shoal run`: files through the whole engine, once or followed as they grow; then findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from shoal.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from shoal.runtime.deployment import Deployment
    from shoal.runtime.run import Progress, Read


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
    follow: bool = typer.Option(False, "--follow", help="Go on as the files grow, through rotation, until Ctrl-C."),
    merge_wait: float | None = typer.Option(
        None,
        "--merge-wait",
        min=0.0,
        max=3600.0,
        help="With --follow: seconds that a record waits for earlier ones of other files (0: as received).",
    ),
    history: History | None = typer.Option(
        None, "--history", help="Whether the files hold all there was (default: complete; with --follow unknown)."
    ),
    warm_up: bool | None = typer.Option(
        None,
        "--warm-up/--no-warm-up",
        help="Whether a changed pack replays the journal for its state, or its new features begin as partial; "
        "default: a replay where it is needed, possible and short.",
    ),
    allow_missing: bool = typer.Option(
        False, "--allow-missing", help="Go on without enrichment tables that cannot be read, as --follow always does."
    ),
    output: Output = typer.Option(Output.table, "--output", help="How findings are printed."),
    top: int = typer.Option(20, "--top", min=1, help="How many findings are printed."),
) -> None:
    """Read SOURCE… once through the whole engine, commit every decision, and print the findings.

    Run it again to go on where it stopped; what was read to its end is not read again. With --follow, it goes on with
    what the files are given, until it is interrupted.
    """
    import time

    from shoal.cli.findings import print_findings, print_totals
    from shoal.cli.formats import chosen_format
    from shoal.cli.show import progress_bars
    from shoal.clock import SystemClock
    from shoal.runtime.deployment import find_pack, open_deployment
    from shoal.runtime.home import open_home
    from shoal.runtime.run import check_paths, default_pack, guess_format, read_source
    from shoal.runtime.warm import warm

    if merge_wait is not None and not follow:
        raise InvalidInput(Problem("run.merge_wait", "--merge-wait is for --follow", hint="files are sorted whole"))
    paths = [Path(source) for source in sources]
    check_paths(paths)
    chosen = chosen_format(format.value, mapping)
    name = guess_format(paths) if chosen is None else chosen.name
    check_follow(follow, sources, name)
    folder, opened = find_pack(pack or default_pack(name)), open_home(home, create=True)
    with progress_bars() as progress:
        deployment = open_deployment(opened, progress.stage, allow_missing=follow or allow_missing)
        try:
            known = history or (History.unknown if follow else History.complete)
            deployment.publish(folder, history_complete=known is History.complete, warm_up=warm_up)
            warm(deployment.running, progress.stage)
            start = time.perf_counter()
            if follow:
                wait_s = 0.0 if as_received else merge_wait
                read = follow_files(deployment, paths, name, merge_wait_s=wait_s, progress=progress)
            else:
                clock = SystemClock()
                read = read_source(
                    deployment, paths, chosen or name, received=as_received, clock=clock, progress=progress
                )
            seconds = time.perf_counter() - start
            deployment.rest()
            found = deployment.findings(top)
        finally:
            deployment.close()
    _print_notes(deployment, read)
    if output in (Output.table, Output.summary):
        print_totals(deployment.committer.totals, seconds)
    print_findings(found.shown, found.total, output=output.value)


def _print_notes(deployment: Deployment, read: Read) -> None:
    from shoal.cli.show import err

    for note in deployment.notes:
        err.print(f"note: {note}", markup=False)
    if read.finished_before:
        err.print(f"{read.source} was read to its end before ({read.before:,} records); nothing new", markup=False)
    elif read.before:
        err.print(f"went on behind {read.before:,} records of an earlier run", markup=False)


def check_follow(follow: bool, sources: list[str], name: str) -> None:
    """Refuse what cannot be followed: standard input, tables, and formats of which a line may hold several records."""
    from shoal.events.formats import FORMATS

    if not follow:
        return
    if "-" in sources:
        raise InvalidInput(Problem("follow.stdin", "standard input cannot be resumed", hint="follow a file"))
    followed = [known for known, entry in FORMATS.items() if entry.record_a_line]
    if name not in followed:
        what = "a mapped table" if name not in FORMATS else f"a line of {name} may hold several records: it"
        raise InvalidInput(Problem("follow.format", f"{what} cannot be followed", allowed=", ".join(followed),
                                   hint="leave --follow out"))  # fmt: skip


@contextmanager
def until_interrupted() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or a stop (SIGTERM) has come; a second one is obeyed at once."""
    import signal

    asked: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def ask(number: int, _frame: object) -> None:
        asked.append(number)
        signal.signal(number, before[signal.Signals(number)])

    for wanted in (signal.SIGINT, signal.SIGTERM):
        before[wanted] = signal.signal(wanted, ask)
    try:
        yield lambda: bool(asked)
    finally:
        for wanted, handler in before.items():
            signal.signal(wanted, handler)


def follow_files(
    deployment: Deployment, paths: list[Path], name: str, *, merge_wait_s: float | None, progress: Progress
) -> Read:
    """Follow files until interrupted."""
    from shoal.adapters.follow import FollowSource
    from shoal.clock import SystemClock
    from shoal.runtime.ingest.follow import follow
    from shoal.runtime.run import Read

    source = FollowSource([str(path) for path in paths], name, clock=SystemClock())
    progress.stage("following; Ctrl-C stops")
    with until_interrupted() as stopped:
        told = follow(
            deployment, source, clock=SystemClock(), merge_wait_s=merge_wait_s, stopped=stopped,
            moved=lambda count: progress.moved(count, 0),
        )  # fmt: skip
    deployment.notes += source.notes
    if told.early:
        deployment.notes.append(f"{told.early:,} records were released before their wait was over (merge_rows)")
    return Read(told.source, told.now, told.before, False)
