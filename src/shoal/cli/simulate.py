"""`shoal simulate`: write a simulated world with its ground truth."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from shoal.runtime.judge.closed_loop import Loop
    from shoal.simulate import Scenario


class Compression(StrEnum):
    """How the events file is compressed."""

    none = "none"
    gz = "gz"
    zst = "zst"


def simulate(
    scenario: str = typer.Argument("fortnight", help="A scenario file, or the name of one that ships with Shoal."),
    out: Path = typer.Option(Path("world"), "--out", "-o", help="The folder to write; made if absent."),
    seed: int = typer.Option(-1, "--seed", help="Another seed than the scenario's own."),
    compression: Compression = typer.Option(Compression.none, "--compress", help="How to compress the events."),
    react: bool = typer.Option(False, "--react", help="Let a pack decide, and the world react to it."),
    pack: str = typer.Option("file_sharing", "--pack", "-p", help="The pack that decides (--react)."),
) -> None:
    """Write a simulated service's events (native NDJSON) and its ground truth (Parquet).

    With --react: the closed loop. A pack decides step by step and the world reacts to it; the harm prevented, what
    owners went through and what the attacks cost their makers are printed, against the same world without a policy
    and with an oracle, and written to closed_loop.json. The deployment lies in the folder's shoal/ afterwards.
    """
    from shoal.cli.show import out as console
    from shoal.cli.show import progress_bars
    from shoal.simulate import builtin_scenario, read_scenario, write_world
    from shoal.simulate import simulate as unroll

    named = Path(scenario)
    chosen = read_scenario(named) if named.suffix or named.exists() else builtin_scenario(scenario)
    if react:
        _close_the_loop(chosen, out, None if seed < 0 else seed, pack)
        return
    with progress_bars() as progress:
        progress.stage(f"simulating {chosen.name}")
        world = unroll(chosen, seed=None if seed < 0 else seed)
        manifest = write_world(
            world,
            out,
            compression="" if compression is Compression.none else compression.value,  # type: ignore[arg-type]
            progress=lambda share: progress.moved(round(share * 1000), 1000),
        )
    console.print(
        f"{out}: {manifest.events:,} events ({manifest.duplicates:,} duplicates, {manifest.late:,} late), "
        f"{manifest.facts:,} facts, {manifest.malformed:,} malformed lines",
        markup=False,
    )


def _close_the_loop(scenario: Scenario, folder: Path, seed: int | None, pack: str) -> None:
    import json

    from shoal.cli.show import out, progress_bars
    from shoal.errors import InvalidInput, Problem, Where
    from shoal.runtime.judge.closed_loop import run_loop

    result = folder / "closed_loop.json"
    if result.exists():
        hint = "choose another folder or remove this one"
        raise InvalidInput(Problem("loop.exists", "there is a result already", Where(str(result)), hint=hint))
    with progress_bars() as progress:
        loop = run_loop(scenario, folder, progress, seed=seed, pack=pack)
    result.write_text(json.dumps(loop.to_dict(), indent=2) + "\n", encoding="utf-8")
    _print_harm(loop)
    _print_cost(loop)
    _print_owners(loop)
    out.print(f"\nwritten: {result}", markup=False)


def _columns(*names: str) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("attack", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right")
    return table


def _print_harm(loop: Loop) -> None:
    """Each harm as: without a policy → with the pack (share prevented; what the oracle prevents)."""
    from shoal.cli.show import out

    def told(found: dict[str, float | None], unit: int = 1) -> str:
        before, after = found["open"], found["policy"]
        if not before and not after:
            return "-"
        shares = " / ".join("-" if found[k] is None else f"{found[k]:.0%}" for k in ("prevented", "possible"))
        return f"{(before or 0) / unit:,.0f} → {(after or 0) / unit:,.0f} ({shares})"

    out.print(f"[bold]Harm[/bold], without a policy → with {loop.pack} (share prevented / an oracle's)")
    table = _columns("harmful events", "MB taken", "visits of bad links", "accounts harmed or used")
    for row in loop.attacks():
        table.add_row(
            row["attack"], told(row["harmful"]), told(row["bytes_taken"], 1_000_000), told(row["visits"]),
            f"{row['victims']['open']} → {row['victims']['policy']} ({row['victims']['oracle']})",
        )  # fmt: skip
    out.print(table)


def _print_cost(loop: Loop) -> None:
    from shoal.cli.show import out

    out.print("\n[bold]What it cost the adversary[/bold]")
    table = _columns("attempts", "refused", "challenged", "passed", "retries", "accounts", "addresses", "per success")
    for row in loop.attacks():
        each = row["attempts_per_victim"]
        per = "-" if each is None else f"{each:,.1f}"
        table.add_row(row["attack"], *(f"{value:,}" for value in row["cost"].values()), per)
    out.print(table)


def _print_owners(loop: Loop) -> None:
    from shoal.cli.show import out

    out.print("\n[bold]What honest owners went through[/bold]")
    table = _columns(f"with {loop.pack}", "with an oracle")
    for name, told in (
        ("challenged", "asked for a proof"), ("passed", "… challenges passed"), ("failed", "… failed"),
        ("abandoned", "… given up"), ("signed_out", "signed out"), ("limited", "slowed or kept from something"),
        ("suspended", "closed"), ("notified", "told without cause"), ("denied", "events that did not happen"),
        ("bothered", "accounts bothered in all"), ("bothered_per_10k_week", "… per 10,000 and week"),
    ):  # fmt: skip
        table.add_row(told, *(f"{run['owners'][name]:,.4g}" for run in (loop.policy, loop.oracle)))
    table.columns[0].header = ""
    out.print(table)
