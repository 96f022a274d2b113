"""Makers of every implementation of the source contract, over the same partitions of lines."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from shoal.adapters.follow import FollowSource
from shoal.adapters.source import StreamSource
from shoal.testing import FakeClock, MemorySource


@dataclass
class Case:
    """A source under test. `open` makes it anew, as after a restart; `append` lets a partition grow."""

    clock: FakeClock
    make: Callable[[], StreamSource]
    append: Callable[[str, list[bytes]], None]
    opened: list[StreamSource] = field(default_factory=list)

    def open(self) -> StreamSource:
        self.opened.append(self.make())
        return self.opened[-1]

    def close(self) -> None:
        for source in self.opened:
            source.close()


def memory(folder: Path) -> Case:
    clock = FakeClock()
    arrived: list[tuple[str, bytes]] = []
    opened: list[MemorySource] = []

    def append(name: str, lines: list[bytes]) -> None:
        for line in lines:
            arrived.append((name, line))
            for source in opened:
                source.append(name, line)

    def open_one() -> MemorySource:
        source = MemorySource({"a": [], "b": []}, clock, ends=False, limit=5)
        for name, line in arrived:
            source.append(name, line)
        opened.append(source)
        return source

    return Case(clock, open_one, append)


def followed(folder: Path) -> Case:
    clock = FakeClock()
    paths = [folder / "a", folder / "b"]
    for path in paths:
        path.touch()

    def append(name: str, lines: list[bytes]) -> None:
        with (folder / name).open("ab") as stream:
            stream.write(b"".join(line + b"\n" for line in lines))

    return Case(clock, lambda: FollowSource(paths, clock=clock, read_bytes=64), append)


MAKERS = {"memory": memory, "follow": followed}
