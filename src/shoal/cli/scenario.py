"""`shoal scenario`: list, check and run scenarios with what they expect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from shoal.runtime.judge.scenario_run import ScenarioResult
    from shoal.simulate import Scenario

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.command("list")
def list_() -> None:
    """The scenarios that ship with Shoal."""
    from rich.table import Table

    from shoal.cli.show import out
    from shoal.simulate import builtin_scenario, builtin_scenarios

    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("scenario", no_wrap=True)
    for name in ("days", "accounts", "attacks", "expectations"):
        table.add_column(name, justify="right")
    table.add_column("quick")
    table.add_column("title")
    for name in builtin_scenarios():
        one = builtin_scenario(name)
        figures = (one.days, one.population.accounts, len(one.adversaries), one.expect.count)
        table.add_row(name, *(f"{figure:,}" for figure in figures), "yes" if one.quick else "", one.title)
    out.print(table)


@app.command()
def check(files: list[str] = typer.Argument(..., metavar="FILE…", help="Scenario files or shipped names.")) -> None:
    """Read scenario files; every mistake is told with file and line, and the exit code is 2."""
    from shoal.cli.show import out

    for name, one in zip(files, _read(files), strict=True):
        attacks, expected = len(one.adversaries), one.expect.count
        out.print(f"{name}: {one.name}, {one.days} days, {attacks} attacks, {expected} expectations", markup=False)


@app.command()
def run(
    files: list[str] = typer.Argument(None, metavar="[FILE]…", help="Scenario files or names; default: all shipped."),
    quick: bool = typer.Option(False, "--quick", help="Of the shipped ones only those marked `quick: true`."),
    pack: str = typer.Option("file_sharing", "--pack", "-p", help="The pack that decides."),
    seed: int = typer.Option(-1, "--seed", help="Another seed than each scenario's own."),
    rules: bool = typer.Option(False, "--rules", help="Also what each rule was worth over all of them."),
    to: Path = typer.Option(None, "--json", metavar="FILE", help="Write the results there as JSON."),
    keep: Path = typer.Option(None, "--keep", metavar="DIR", help="Keep worlds and deployments there, to look into."),
) -> None:
    """Run scenarios through the whole engine and compare with what they expect; exit code 1 on a miss.

    A scenario without expectations is left out, unless it is named. Files that are named always run.
    """
    from shoal.cli.show import err
    from shoal.packs.load import load_pack
    from shoal.runtime.deployment import find_pack
    from shoal.runtime.judge.scenario_run import with_seed
    from shoal.simulate import builtin_scenarios

    chosen = _read(files or list(builtin_scenarios()))
    if not files:
        chosen = [one for one in chosen if one.expect.count and (one.quick or not quick)]
    load_pack(find_pack(pack))  # a bad pack is told before the first world is made
    results = _run_all([with_seed(one, seed) for one in chosen], pack, keep)
    _print(results)
    if rules:
        _print_rules(results)
    if to is not None:
        _write(to, results)
    if not results:
        err.print("no scenario to run", markup=False)
    raise typer.Exit(0 if all(result.ok for result in results) else 1)


def _read(files: list[str]) -> list[Scenario]:
    """All scenarios, or the problems of all files together."""
    from shoal.errors import InvalidInput, Problem
    from shoal.simulate import builtin_scenario, read_scenario

    found: list[Scenario] = []
    problems: list[Problem] = []
    for name in files:
        path = Path(name)
        try:
            found.append(read_scenario(path) if path.suffix or path.exists() else builtin_scenario(name))
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput(problems)
    return found


def _run_all(scenarios: list[Scenario], pack: str, keep: Path | None) -> list[ScenarioResult]:
    import tempfile

    from shoal.cli.show import progress_bars
    from shoal.clock import SystemClock
    from shoal.runtime.judge.scenario_run import run_scenario
    from shoal.runtime.run import Progress

    results = []
    with progress_bars() as bars:
        for number, one in enumerate(scenarios):
            before = f"{one.name} ({number + 1} of {len(scenarios)}): "

            def stage(name: str, before: str = before) -> None:
                bars.stage(before + name)

            told = Progress(stage, bars.moved)
            with tempfile.TemporaryDirectory(prefix="shoal-scenario-") as aside:
                folder = Path(aside) if keep is None else keep / f"{number:02d}-{one.name}"
                results.append(run_scenario(one, folder, SystemClock(), told, pack=pack))
    return results


def _print(results: list[ScenarioResult]) -> None:
    from rich.table import Table

    from shoal.cli.show import out, span

    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("scenario", no_wrap=True)
    table.add_column("expectation")
    for name in ("wanted", "found"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ok")
    for result in results:
        for one in result.checks:
            found = "nothing" if one.found is None else f"{one.found:,.3g}" if one.found < 100 else f"{one.found:,.0f}"
            table.add_row(
                one.scenario, one.expectation, one.wanted, found, "yes" if one.ok else "[bold red]MISS[/bold red]"
            )
    out.print(table)
    for result in results:
        misses = sum(not one.ok for one in result.checks)
        told = f"{misses} of {len(result.checks)} missed" if misses else f"all {len(result.checks)} hold"
        events = f"{result.events:,} events in {span(result.seconds)}"
        out.print(f"{result.scenario} (seed {result.seed}, pack {result.pack}): {told}; {events}", markup=False)


def _print_rules(results: list[ScenarioResult]) -> None:
    from rich.table import Table

    from shoal.cli.judging import share_text
    from shoal.cli.show import out
    from shoal.runtime.judge.scenario_run import worth_of_rules

    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("rule", no_wrap=True)
    table.add_column("scenarios", justify="right")
    table.add_column("abusive among the subjects that it matched", justify="right")
    for rule, (scenarios, share) in worth_of_rules(results).items():
        table.add_row(rule, str(scenarios), share_text(share))
    out.print(table)


def _write(path: Path, results: list[ScenarioResult]) -> None:
    import dataclasses

    from shoal.errors import InvalidInput, Problem, Where

    body = {
        "format": "shoal.scenario_results",
        "version": 1,
        "ok": all(result.ok for result in results),
        "results": [{**dataclasses.asdict(result), "ok": result.ok} for result in results],
    }
    try:
        path.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        message = error.strerror or str(error)
        raise InvalidInput(Problem("scenario.results", message, Where(str(path)))) from None
