"""A world on disk: `events.ndjson` in the native format, `labels.parquet`, `truth.parquet`, `world.json`.

Late and duplicate records are part of the world's blocks; malformed ones exist only in the bytes written here, and
`world.json` counts them all, so that a reader's ledger can be checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shoal.simulate.world import World


@dataclass(frozen=True)
class Manifest:
    """What `world.json` says."""

    name: str
    seed: int
    lines: int  # records in the file: events + facts + malformed
    events: int  # duplicates included
    duplicates: int
    late: int
    facts: int
    malformed: int
    by_type: dict[str, int]


def write_world(
    world: World,
    folder: Path,
    *,
    compression: Literal["", "gz", "zst"] = "",
    progress: Callable[[float], None] | None = None,
) -> Manifest:
    """Write the world into `folder` (made if need be; refused if it holds a world already). `progress` is told the
    share done, 0 to 1."""
    raise NotImplementedError
