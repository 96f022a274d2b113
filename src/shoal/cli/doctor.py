"""`shoal doctor`: is the deployment whole, and what is installed?"""

from __future__ import annotations

from pathlib import Path

import typer


def doctor(home: Path = typer.Argument(Path("shoal-data"), metavar="[DIR]", help="The deployment's folder.")) -> None:
    """Verify the journal, reconcile the ledger with it, and say which extras are installed (exit code 1 if unwell)."""
    from rich.table import Table

    from shoal import extras
    from shoal.cli.show import out
    from shoal.runtime.home import open_home
    from shoal.runtime.review.doctor import check_up

    for name, present in extras.installed().items():
        hint = "installed" if present else f"not installed; pip install 'shoal[{name}]'"
        out.print(f"extra {name} ({', '.join(extras.EXTRAS[name])}): {hint}", markup=False)
    if not (home / "format.json").exists():
        out.print(f"no deployment at {home}: name its folder to have it examined", markup=False)
        return
    found = check_up(open_home(home, create=False))
    out.print(
        f"journal: {found.records:,} records = {found.events:,} events + {found.duplicates:,} duplicates + "
        f"{found.controls:,} control records; {found.decided:,} events decided"
    )
    table = Table("source", *_COUNTS, box=None, header_style="bold")
    for source, counts in found.ledger.items():
        if source:
            table.add_row(source, *(f"{counts.get(name, 0):,}" for name in _COUNTS))
    out.print(table)
    for note in found.notes:
        out.print(f"note: {note}", markup=False)
    for problem in found.problems:
        out.print(f"problem: {problem}", markup=False, style="red")
    if found.problems:
        raise typer.Exit(1)
    out.print("every record is accounted for")


_COUNTS = ("read", "decided", "duplicate", "dead_lettered", "conflict", "facts", "labels", "late", "behind", "clamped")
