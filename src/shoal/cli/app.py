"""The application: every verb registered in one place."""

from __future__ import annotations

import typer

from shoal import __version__
from shoal.cli import (
    alerts,
    backtest,
    campaigns,
    cohorts,
    demo,
    doctor,
    explain,
    formats,
    journal,
    learn,
    pack,
    rates,
    replay,
    run,
    scenario,
    simulate,
    warmup,
)

app = typer.Typer(
    name="shoal",
    help="Detects and stops account abuse on services where people keep and share files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"shoal {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Detects and stops account abuse on services where people keep and share files."""


app.command("run")(run.run)
app.command("replay")(replay.replay)
app.command("explain")(explain.explain)
app.command("backtest")(backtest.backtest)
app.command("cohorts")(cohorts.cohorts)
app.command("rates")(rates.rates)
app.command("alerts")(alerts.alerts)
app.command("doctor")(doctor.doctor)
app.command("warmup")(warmup.warmup)
app.command("simulate")(simulate.simulate)
app.command("demo")(demo.demo)
app.command("inspect")(formats.inspect)
app.add_typer(formats.app, name="formats", help="List the formats that are read and written; draft a mapping file.")
app.add_typer(campaigns.app, name="campaigns", help="Accounts that act as one: find, show, explain, export them.")
app.add_typer(journal.app, name="journal", help="Verify, measure, shorten and erase from a journal.")
app.add_typer(
    pack.app, name="pack", help="Write, check, test, compare, tune and share packs of features, rules and policy."
)
app.add_typer(learn.app, name="learn", help="Fit detectors on a deployment's history; judge, publish, watch them.")
app.add_typer(scenario.app, name="scenario", help="Scenarios with what they expect: list, check, run.")
