"""Reading a pack: a folder, or the name of one that ships with Shoal, becomes a checked `Pack`.

All problems of all files are collected and raised together, each with file and line.
"""

from __future__ import annotations

from pathlib import Path

from shoal.packs.pack import Pack


def builtin_packs() -> tuple[str, ...]:
    """Names of the packs that ship with Shoal."""
    root = Path(__file__).parent / "builtin"
    return tuple(sorted(p.parent.name for p in root.glob("*/pack.yaml")))


def load_pack(source: str | Path) -> Pack:
    """Read the pack in folder `source`, or the built-in pack of that name; raises `InvalidInput` with all problems."""
    raise NotImplementedError
