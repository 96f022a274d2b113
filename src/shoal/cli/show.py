"""How the command line shows things: consoles, progress bars, times and numbers in words. Standard output carries
results, standard error everything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from shoal.runtime.run import Progress as Told

out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)

TIER_STYLES = {"allow": "", "watch": "cyan", "challenge": "yellow", "restrict": "magenta", "block": "bold red"}


def moment(time_us: int) -> str:
    """A time in words: `2026-01-05 09:00:00Z`."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span(seconds: float) -> str:
    """A duration in words: `45 s`, `12 min`, `3.5 h`, `2.1 d`."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (2 * 86_400, 3600, "h")):
        if seconds < limit:
            value = seconds / unit
            return f"{value:.0f} {name}" if value >= 10 or unit == 1 else f"{value:.1f} {name}"
    return f"{seconds / 86_400:.1f} d"


@contextmanager
def progress_bars() -> Iterator[Told]:
    """A progress bar on standard error, as `runtime` tells its progress."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[amount]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bars:
        task = bars.add_task("starting", total=None, amount="")

        def stage(name: str) -> None:
            bars.reset(task, description=name, total=None, amount="")

        def moved(done: int, total: int) -> None:
            amount = f"{done:,}" if not total or total < 1 << 20 else f"{done >> 20:,} of {total >> 20:,} MiB"
            bars.update(task, completed=done, total=total or None, amount=amount)

        yield Told(stage, moved)
