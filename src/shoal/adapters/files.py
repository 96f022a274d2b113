"""Files as a source (being written)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shoal.events.decode import Decoded


class FileSource:
    """Iterates `Decoded` over files (plain, .gz, .zst) and `-` (stdin)."""

    def __init__(self, paths: Sequence[str], format: str, *, source: str = "files", block_bytes: int = 1 << 22) -> None:  # noqa: A002
        self.bytes_total: int | None = None
        self.bytes_done: int = 0

    def __iter__(self) -> Iterator[Decoded]:
        raise NotImplementedError
