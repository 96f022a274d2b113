"""`shoal pack check | test | list`: packs of features, rules and policy."""

from __future__ import annotations

import typer

from shoal.cli import tune

app = typer.Typer(no_args_is_help=True)
app.command("tune")(tune.tune)
_PACK = typer.Argument(..., metavar="PACK", help="A pack's folder, or the name of one that ships with Shoal.")


@app.command("list")
def list_packs() -> None:
    """Show the packs that ship with Shoal."""
    from shoal.cli.show import out
    from shoal.packs.load import builtin_packs, load_pack

    for name in builtin_packs():
        pack = load_pack(name)
        out.print(f"{name} {pack.version}: {len(pack.features)} features, {len(pack.rules)} rules; {pack.description}")


@app.command()
def check(pack: str = _PACK) -> None:
    """Read a pack and show all its problems together, each with file and line."""
    from shoal.cli.show import out
    from shoal.packs.load import load_pack

    read = load_pack(pack)
    out.print(
        f"{read.name} {read.version} ({read.hash}): {len(read.features)} features, {len(read.rules)} rules, "
        f"{len(read.policy.threats)} threats, {len(read.lists)} lists, {len(read.tests)} tests; no problems"
    )
    for rule in read.untested:
        out.print(f"note: rule {rule} lacks a test that fires or a near miss", markup=False)


@app.command("test")
def run_rule_tests(
    pack: str = _PACK,
    rule: str = typer.Option("", "--rule", help="Only tests of rules whose id contains this."),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Name every test."),
) -> None:
    """Run the tests of a pack's rules on the real engine (exit code 1 if any fails)."""
    from shoal.cli.show import err, out
    from shoal.packs.load import load_pack
    from shoal.runtime.packtest import run_tests

    failed = count = 0
    for result in run_tests(load_pack(pack), only=rule):
        count += 1
        if not result.passed:
            failed += 1
            for problem in result.problems:
                err.print(str(problem), markup=False, style="red")
        elif verbose:
            out.print(f"ok {result.test.rule}: {result.test.name} ({result.seconds * 1e3:.0f} ms)", markup=False)
    out.print(f"{count - failed} passed, {failed} failed")
    if failed:
        raise typer.Exit(1)
