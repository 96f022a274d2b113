"""`shoal alerts`: the few accounts a day that most deserve a look, and how each stands among the others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from shoal.runtime.judge.alerts import Reported


def alerts(
    home: Path = typer.Argument(Path("shoal-data"), metavar="[DIR]", help="The deployment's folder."),
    per_day: float = typer.Option(5.0, "--per-day", help="Alerts a day, counted over two weeks."),
    view: list[str] = typer.Option([], "--view", help="Only this view of the pack (views/*.yaml); may be repeated."),
    pack: str = typer.Option("", "--pack", "-p", help="A pack's folder or name. Default: the one in force."),
    learn: int = typer.Option(5, "--learn", min=0, max=366, help="Days of history before the first alert."),
    quiet: int = typer.Option(7, "--quiet", min=1, max=366, help="Days without a further alert about who had one."),
    days: int = typer.Option(7, "--days", min=1, max=100_000, help="Show the alerts of so many last days."),
    unfinished: bool = typer.Option(False, "--unfinished", help="Also look at the last day, which is not over."),
    as_json: bool = typer.Option(False, "--json", help="One JSON document instead."),
) -> None:
    """Rank the account-days of the pack's views by how many others are at most as suspicious in every direction, and
    spend a budget of alerts a day on the worst."""
    from shoal.cli.show import err, out, progress_bars
    from shoal.packs.load import load_pack
    from shoal.runtime.deployment import find_pack
    from shoal.runtime.home import open_home
    from shoal.runtime.judge.alerts import Budget, report

    read = load_pack(find_pack(pack)) if pack else None
    budget = Budget(per_day=per_day, learn_days=learn, quiet_days=quiet)
    with progress_bars() as progress:
        progress.stage("reading the journal")
        found = report(open_home(home, create=False), pack=read, views=view, budget=budget, unfinished=unfinished,
                       moved=progress.moved)  # fmt: skip
    if as_json:
        _print_json(found, days)
        return
    if found.last < found.learned:
        err.print(
            f"note: the first {learn} days are learned from; {found.last + 1 - found.first} are there", markup=False
        )
    shown = [alert for alert in found.alerts if alert.day > found.last - days]
    rows = ", ".join(f"{name} {count:,}" for name, count in found.rows.items())
    told = f"{len(shown)} alerts of the last {min(days, found.last + 1 - found.first)} days; account-days: {rows}"
    out.print(told, markup=False, soft_wrap=True)
    for alert in shown:
        key = "" if alert.key == alert.subject else f" of {alert.key}"
        out.print(f"{_day(alert.day)} [bold]{alert.view}[/bold] {alert.subject}{key}", highlight=False, soft_wrap=True)
        out.print(f"    {alert.evidence}", markup=False, highlight=False, soft_wrap=True)
        if alert.further:
            more = ", ".join(f"{subject} ({name})" for name, subject in alert.further[:5])
            rest = f" and {len(alert.further) - 5} more" if len(alert.further) > 5 else ""
            out.print(f"    with {more}{rest}", markup=False, highlight=False, soft_wrap=True)


def _day(number: int) -> str:
    from datetime import date, timedelta

    return (date(1970, 1, 1) + timedelta(days=number)).isoformat()


def _print_json(found: Reported, days: int) -> None:
    from shoal.cli.pack_shown import print_json

    shown = [
        {
            "day": _day(alert.day),
            "view": alert.view,
            "subject": alert.subject,
            "key": alert.key,
            "below": alert.below,
            "events": alert.events,
            "values": {name: None if value != value else value for name, value in alert.values.items()},
            "text": alert.evidence,
            "further": [{"view": name, "subject": subject} for name, subject in alert.further],
        }
        for alert in found.alerts
        if alert.day > found.last - days
    ]
    head = {"format": "shoal.alerts", "version": 1, "first": _day(found.first), "last": _day(found.last)}
    print_json(head | {"learned": _day(found.learned), "rows": dict(found.rows), "alerts": shown})
