"""`shoal warmup`: compile the kernels once, for images and first runs."""

from __future__ import annotations

import time

import typer


def warmup(pack: str = typer.Option("file_sharing", "--pack", "-p", help="The pack to compile for.")) -> None:
    """Compile all kernels into the cache, so that the first run starts within seconds."""
    from shoal.cli.show import err, progress_bars
    from shoal.events.identity import Identity
    from shoal.packs.load import load_pack
    from shoal.runtime.deployment import find_pack
    from shoal.runtime.engine import Engine
    from shoal.runtime.warm import warm

    start = time.perf_counter()
    with progress_bars() as progress:
        warm(Engine(load_pack(find_pack(pack)), Identity.generate(), history_complete=True), progress.stage)
    err.print(f"compiled in {time.perf_counter() - start:.1f} s")
