"""`shoal journal verify | stats | retain | erase`: look at a journal, drop what is old, and take texts out of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from shoal.runtime.keep.retain import Cut
    from shoal.storage.journal import Journal

app = typer.Typer(no_args_is_help=True)
_HOME = typer.Argument(Path("shoal-data"), metavar="[DIR]", help="The deployment's folder.")


def _open(home: Path) -> Journal:
    from shoal.runtime.home import open_home
    from shoal.storage.journal import Journal

    opened = open_home(home, create=False)
    return Journal.open(opened.journal, identity=opened.identity, read_only=True)


@app.command()
def verify(home: Path = _HOME) -> None:
    """Check every frame's checksum, the numbering and the order of times (exit code 1 if anything is wrong)."""
    from shoal.cli.show import out

    journal = _open(home)
    report = journal.verify()
    journal.close()
    out.print(
        f"{report.segments} segments, {report.frames:,} frames, {report.bytes:,} bytes: {report.events:,} events, "
        f"{report.duplicates:,} duplicates, {report.controls:,} control records"
    )
    for cut in report.cuts:
        lost = ", acknowledged records are missing" if cut.lost_acknowledged else ""
        out.print(f"torn tail in {cut.file}: {cut.cut_bytes:,} bytes ({cut.reason}){lost}", markup=False)
    for problem in report.problems:
        out.print(f"problem: {problem}", markup=False, style="red")
    if not report.ok:
        raise typer.Exit(1)
    out.print("the journal is sound")


@app.command()
def stats(home: Path = _HOME) -> None:
    """Show segments, bytes, records by kind and the range of times."""
    from shoal.cli.show import moment, out

    journal = _open(home)
    found = journal.stats()
    journal.close()
    lines = {
        "segments": f"{found.segments} ({found.sealed} sealed)",
        "bytes": f"{found.bytes:,} ({found.bytes_per_event:.0f} an event), and {found.id_bytes:,} of id hashes",
        "records": f"{found.first_seq:,} to {found.next_seq - 1:,} in {found.frames:,} frames",
        "events": f"{found.events:,}",
        "duplicates": f"{found.duplicates:,}",
        "control records": ", ".join(f"{kind} {count:,}" for kind, count in found.control_kinds.items()) or "none",
        "times": "none"
        if found.first_time is None
        else f"{moment(found.first_time)} to {moment(found.last_time or 0)}",
        "erasures": f"{found.erasures}",
    }
    if found.first_seq:
        gone = found.dropped_events + found.dropped_duplicates + found.dropped_controls
        lines["dropped"] = f"{gone:,} records by retention, {found.dropped_events:,} of them events"
    for name, text in lines.items():
        out.print(f"{name:16} {text}", markup=False)


@app.command()
def retain(
    home: Path = _HOME,
    keep: str = typer.Option("", "--keep", metavar="PERIOD", help="What is kept, like 30d; default: the setting."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show what would go."),
) -> None:
    """Drop whole segments that are older than PERIOD (journal time), behind a snapshot of the state there.

    What is kept still replays and explains; decisions above allow stay in the store.
    """
    from shoal.cli.show import out, progress_bars
    from shoal.errors import InvalidInput, Problem
    from shoal.runtime.deployment import open_deployment
    from shoal.runtime.home import open_home
    from shoal.runtime.keep.history import cut_in_words
    from shoal.runtime.keep.retain import parse_period, plan

    opened = open_home(home, create=False)
    if not keep and not opened.settings.retention_s:
        hint = "for example --keep 30d, or retention_s in shoal.toml"
        raise InvalidInput(Problem("retain.no_period", "no period was given", hint=hint))
    seconds = parse_period(keep) if keep else opened.settings.retention_s
    if dry_run:
        journal = _open(home)
        cut = plan(journal, seconds, opened.settings.dedupe_horizon_s)
        journal.close()
        _print_cut(cut, "would go")
        return
    with progress_bars() as progress:
        deployment = open_deployment(opened, progress.stage)
        try:
            cut = plan(deployment.journal, seconds, opened.settings.dedupe_horizon_s)
            deployment.retain(cut, progress.stage)
            words = cut_in_words(deployment.journal)
        finally:
            deployment.close()
    _print_cut(cut, "are gone")
    if cut.segments:
        out.print(f"kept is what lies behind {words}", markup=False)


def _print_cut(cut: Cut, told: str) -> None:
    from shoal.cli.show import moment, out

    if not cut.segments:
        out.print("nothing is older: no sealed segment lies wholly before the period")
        return
    until = moment(cut.last_as_of) if cut.last_as_of is not None else "no time"
    out.print(
        f"{cut.segments} segments of {cut.bytes:,} bytes {told}: {cut.records:,} records ({cut.events:,} events, "
        f"{cut.duplicates:,} duplicates, {cut.controls:,} control records) up to {until}",
        markup=False,
    )


@app.command()
def erase(
    texts: list[str] = typer.Argument(..., metavar="TEXT…", help="Exact texts: an account, an address, a device …"),
    home: Path = typer.Option(Path("shoal-data"), "--out", "-o", help="The deployment's folder."),
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
) -> None:
    """Take texts of a person or thing out of journal, store and snapshots; their keyed ids stay, so replays stay
    whole."""
    from shoal.cli.show import out
    from shoal.runtime.home import open_home
    from shoal.runtime.review.erase import erase as take_out

    opened = open_home(home, create=False)
    if not yes:
        typer.confirm(f"Erase {len(texts)} text(s) from {home}? This cannot be undone.", abort=True)
    done = take_out(opened, texts)
    out.print(
        f"erased from {done.events:,} events in {done.segments} segments and {done.store_rows:,} rows of the store"
    )
