"""`shoal simulate`: write a simulated world with its ground truth."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer


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
) -> None:
    """Write a simulated service's events (native NDJSON) and its ground truth (Parquet)."""
    from shoal.cli.show import out as console
    from shoal.cli.show import progress_bars
    from shoal.simulate import builtin_scenario, read_scenario, write_world
    from shoal.simulate import simulate as unroll

    named = Path(scenario)
    chosen = read_scenario(named) if named.suffix or named.exists() else builtin_scenario(scenario)
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
