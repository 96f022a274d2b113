"""`shoal pack`: write, check, test, compare, show and share packs of features, rules and policy.

Exit codes of all verbs: 0; 1 where problems were found, a test failed, a file would be reformatted or packs differ; 2
for misuse (no such pack, a bad option).
"""

from __future__ import annotations

import typer

from shoal.cli import pack_author, pack_share, tune
from shoal.cli.pack_shown import FOUND_PROBLEMS, PACK, as_plain, print_json, read_pack, show_problems

app = typer.Typer(no_args_is_help=True)
app.command("tune")(tune.tune)
app.command("new")(pack_author.new)
app.command("fmt")(pack_author.fmt)
app.command("diff")(pack_author.diff)
app.command("docs")(pack_author.docs)
app.command("export")(pack_share.export)
app.command("install")(pack_share.install)
app.command("installed")(pack_share.installed)
_JSON = typer.Option(False, "--json", help="Print one JSON document instead, for CI.")


@app.command("list")
def list_packs() -> None:
    """Show the packs that ship with Shoal."""
    from shoal.cli.show import out
    from shoal.packs.load import builtin_packs, load_pack

    for name in builtin_packs():
        pack = load_pack(name)
        out.print(f"{name} {pack.version}: {len(pack.features)} features, {len(pack.rules)} rules; {pack.description}")


@app.command()
def check(
    pack: str = PACK,
    strict: bool = typer.Option(False, "--strict", help="Take warnings for problems."),
    rate: float = typer.Option(1_000.0, "--rate", min=0.001, help="Events a second that the costs are reckoned with."),
    keys: int = typer.Option(1_000_000, "--keys", min=1, help="Live keys of a kind that the costs are reckoned with."),
    costs: bool = typer.Option(False, "--costs", help="Show what each feature costs in memory."),
    as_of: str = typer.Option("", "--as-of", metavar="DATE", help="The day on which entries end soon. Default: today."),
    as_json: bool = _JSON,
) -> None:
    """Read a pack and show all its problems and warnings, each with file and line (exit code 1 if there are any)."""
    from shoal.clock import SystemClock
    from shoal.packs.cost import Load
    from shoal.packs.cost import costs as reckon
    from shoal.packs.fields import moment_us
    from shoal.packs.review.warnings import warnings_of

    now_us = moment_us(as_of) if as_of else SystemClock().now_us()
    if now_us is None:
        raise typer.BadParameter(f"--as-of {as_of!r}: a date such as 2026-01-05, or a time with its zone")
    read, problems = read_pack(pack)
    warnings = () if read is None else warnings_of(read, now_us)
    failed = bool(problems or (strict and warnings))
    listed, total = ((), "") if read is None else reckon(read, Load(rate, keys))
    if as_json:
        about = None if read is None else {"name": read.name, "version": read.version, "hash": read.hash}
        told = {"problems": [as_plain(one) for one in problems], "warnings": [as_plain(one) for one in warnings]}
        each = {cost.feature: cost.note for cost in listed}
        head = {"format": "shoal.pack_check", "version": 1, "pack": about, "ok": not failed}
        print_json(head | told | {"costs": {"total": total, "features": each}})
    else:
        show_problems(problems)
        show_problems(warnings, "error" if strict else "warning")
        _summary(read, len(problems), len(warnings))
        for line in [f"  {cost.feature}: {cost.note}" for cost in listed if costs] + [total] * bool(read):
            typer.echo(line)
    if failed:
        raise typer.Exit(FOUND_PROBLEMS)


def _summary(read: object, problems: int, warnings: int) -> None:
    from shoal.packs.pack import Pack

    if not isinstance(read, Pack):
        typer.echo(f"{problems} problem{'s' * (problems != 1)}")
        return
    parents = ", ".join(f"{source.name} {source.version}" for source in read.sources[1:])
    over = f" over {parents}" if parents else ""
    told = f"{warnings} warning{'s' * (warnings != 1)}" if warnings else "no problems"
    typer.echo(
        f"{read.name} {read.version} ({read.hash}){over}: {len(read.features)} features, {len(read.rules)} rules, "
        f"{len(read.policy.threats)} threats, {len(read.lists)} lists, {len(read.tests)} tests; {told}"
    )


@app.command("test")
def run_rule_tests(
    pack: str = PACK,
    rule: str = typer.Option("", "--rule", help="Only tests of rules whose id contains this."),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Name every test."),
    as_json: bool = _JSON,
) -> None:
    """Run the tests of a pack's rules, inherited ones too, on the real engine (exit code 1 if any fails)."""
    from shoal.cli.show import out
    from shoal.runtime.packtest import run_tests

    read, problems = read_pack(pack)
    results = []
    for result in () if read is None else run_tests(read, only=rule):
        results.append(result)
        if as_json:
            continue
        show_problems(result.problems)
        if verbose and result.passed:
            out.print(f"ok {result.test.rule}: {result.test.name} ({result.seconds * 1e3:.0f} ms)", markup=False)
    failed = sum(not result.passed for result in results)
    if as_json:
        head = {"format": "shoal.pack_tests", "version": 1, "passed": len(results) - failed, "failed": failed}
        plain = [
            {
                "rule": result.test.rule,
                "name": result.test.name,
                "file": result.test.origin.file,
                "line": result.test.origin.line,
                "passed": result.passed,
                "seconds": result.seconds,
                "problems": [as_plain(one) for one in result.problems],
            }
            for result in results
        ]
        print_json(head | {"problems": [as_plain(one) for one in problems], "tests": plain})
    else:
        show_problems(problems)
        if read is None:
            typer.echo(f"no test was run: {len(problems)} problem{'s' * (len(problems) != 1)}")
        else:
            typer.echo(f"{len(results) - failed} passed, {failed} failed")
    if failed or problems:
        raise typer.Exit(FOUND_PROBLEMS)
