"""`shoal rates`: which rate of the service moved, when, and which segment moved it."""

from __future__ import annotations

from pathlib import Path

import typer


def rates(
    home: Path = typer.Argument(Path("shoal-data"), metavar="[DIR]", help="The deployment's folder."),
    by: list[str] = typer.Option([], "--by", help="Drill down by it. Default: country, network_kind, asn, client."),
    alarms_per_month: float = typer.Option(1.0, "--alarms", help="False alarms a month that are accepted, a measure."),
    learn: str = typer.Option("14d", "--learn", help="History before the first alarm."),
    least: int = typer.Option(200, "--least", min=1, help="Values with fewer events are counted together."),
    last: int = typer.Option(20, "--last", min=1, max=100_000, help="How many alarms of each measure to show."),
    as_json: bool = typer.Option(False, "--json", help="One JSON document instead."),
) -> None:
    """Watch logins, failures, sign-ups and downloads with season and trend; exit code 1 where the last day has an
    alarm."""
    from shoal.cli.judging import parse_duration
    from shoal.cli.show import moment, out, progress_bars
    from shoal.detectors.anomaly.rates import Settings
    from shoal.runtime.home import open_home
    from shoal.runtime.judge.rates import SEGMENTS, watch

    settings = Settings(alarms_per_month=alarms_per_month, learn_h=parse_duration(learn, "--learn") / 3.6e9)
    opened = open_home(home, create=False)
    with progress_bars() as progress:
        progress.stage("counting")
        found = watch(opened, segments=by or SEGMENTS, settings=settings, least=least, moved=progress.moved)
    if as_json:
        _print_json(found)
    else:
        for measure, alarms in found.items():
            out.print(f"[bold]{measure}[/bold]: {len(alarms)} alarms" if alarms else f"{measure}: no alarm")
            for alarm in alarms[-last:]:
                out.print(f"  {moment(alarm.start)} {alarm.text}", markup=False, soft_wrap=True)
    if any(_recent(alarm.start, opened) for alarms in found.values() for alarm in alarms):
        raise typer.Exit(1)


def _recent(start_us: int, home: object) -> bool:
    from shoal.runtime.home import Home
    from shoal.storage.journal import Journal

    assert isinstance(home, Home)
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    try:
        return start_us > (journal.last_as_of or 0) - 86_400_000_000
    finally:
        journal.close()


def _print_json(found: object) -> None:
    import dataclasses

    from shoal.cli.pack_shown import print_json

    assert isinstance(found, dict)
    measures = {
        name: [dataclasses.asdict(alarm) | {"text": alarm.text} for alarm in alarms] for name, alarms in found.items()
    }
    print_json({"format": "shoal.rates", "version": 1, "measures": measures})
