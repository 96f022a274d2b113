"""Followed files: growth, unfinished lines, rotation, truncation, restarts, and what is refused."""

import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shoal.adapters.follow import FollowSource
from shoal.adapters.source import ENDED
from shoal.errors import InvalidInput
from shoal.events.decode import MAX_LINE_BYTES
from shoal.testing import FakeClock


class Reader:
    """Reads a followed log and keeps its places, as the runtime does."""

    def __init__(self, *paths: Path, **options: float) -> None:
        self.paths, self.options, self.clock = paths, options, FakeClock()
        self.places: dict[str, int] = {}
        self.idle: frozenset[str] = frozenset()
        self.source = self.fresh()

    def fresh(self) -> FollowSource:
        return FollowSource(self.paths, clock=self.clock, **self.options)  # type: ignore[arg-type]

    def read(self, passed_s: float = 0.0) -> list[bytes]:
        self.clock.advance(passed_s)
        found = []
        for _ in range(20):
            polled = self.source.poll(0)
            self.idle = polled.idle
            for batch in polled.batches:
                found += batch.data.split(b"\n")[:-1]
                self.places[batch.partition] = batch.next_offset
            for name in polled.ended:
                self.places[name] = ENDED
        return found

    def restart(self) -> None:
        self.source.close()
        self.source = self.fresh()
        self.source.seek(self.places)


def append(path: Path, text: bytes) -> None:
    with path.open("ab") as stream:
        stream.write(text)


Follow = Callable[..., Reader]


@pytest.fixture
def follow() -> Iterator[Follow]:
    made: list[Reader] = []

    def make(*paths: Path, **options: float) -> Reader:
        made.append(Reader(*paths, **options))
        return made[-1]

    yield make
    for reader in made:
        reader.source.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_bytes(b"one\ntwo\n")
    return path


def test_a_line_is_a_record_once_its_newline_is_there(follow: Follow, log: Path) -> None:
    reader = follow(log)
    append(log, b"thr")
    assert reader.read() == [b"one", b"two"]
    append(log, b"ee")
    assert reader.read() == []
    reader.restart()
    append(log, b"\nfour\n")
    assert reader.read() == [b"three", b"four"]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_renamed_log_is_read_to_its_end_and_its_successor_from_the_start(
    follow: Follow, log: Path, restarts: bool
) -> None:
    reader = follow(log)
    assert reader.read() == [b"one", b"two"]
    append(log, b"three\nunfin")
    log.rename(log.with_suffix(".log.1"))
    log.write_bytes(b"next\n")
    if restarts:
        reader.restart()
    assert sorted(reader.read()) == [b"next", b"three"]
    append(log.with_suffix(".log.1"), b"ished\nlast words")
    assert reader.read() == [b"unfinished"]
    assert reader.read(10.0) == [b"last words"]
    assert len(reader.source.partitions()) == 1
    append(log, b"more\n")
    reader.restart()
    assert reader.read() == [b"more"]
    assert reader.source.notes == []


def test_a_log_that_is_gone_before_it_was_read_is_told(follow: Follow, log: Path) -> None:
    reader = follow(log)
    reader.read()
    other = log.with_name("new")
    other.write_bytes(b"next\n")
    other.rename(log)
    reader.restart()
    assert reader.read() == [b"next"]
    assert len(reader.source.notes) == 1
    assert "behind byte 8" in reader.source.notes[0]


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("text", [b"new\n", b"one\n", b"a line that is longer than all before\nand one more\n"])
def test_an_emptied_log_starts_anew(follow: Follow, log: Path, text: bytes, restarts: bool) -> None:
    reader = follow(log)
    reader.read()
    os.truncate(log, 0)
    if not restarts and not text.startswith(b"a"):
        assert reader.read() == []
    append(log, text)
    if restarts:
        reader.restart()
    assert reader.read() == text.splitlines()
    reader.restart()
    assert reader.read() == []
    append(log, b"z\n")
    assert reader.read() == [b"z"]


def test_a_removed_log_may_come_back(follow: Follow, log: Path) -> None:
    reader = follow(log)
    reader.read()
    log.unlink()
    assert reader.read() + reader.read(10.0) == []
    assert reader.source.partitions() == frozenset()
    log.write_bytes(b"back\n")
    assert reader.read() == [b"back"]


@pytest.mark.parametrize("chunk", [1 << 20, 100_000])
def test_a_line_that_is_too_long_is_cut_and_the_next_is_whole(follow: Follow, log: Path, chunk: int) -> None:
    append(log, b"x" * (2 * MAX_LINE_BYTES) + b"\nafter\n")
    reader = follow(log, read_bytes=chunk)
    one, two, long, after = [line for _ in range(4) for line in reader.read()]
    assert (one, two, after) == (b"one", b"two", b"after")
    assert MAX_LINE_BYTES < len(long) <= 2 * MAX_LINE_BYTES
    assert list(reader.places.values()) == [log.stat().st_size]


def test_a_silent_file_is_idle_after_a_while_and_not_before(follow: Follow, log: Path) -> None:
    reader = follow(log, idle_s=10)
    reader.read()
    reader.read(9.0)
    assert reader.idle == frozenset()
    reader.read(1.5)
    assert reader.idle == reader.source.partitions()
    append(log, b"x\n")
    assert reader.read() == [b"x"]
    assert reader.idle == frozenset()


def test_an_empty_log_becomes_a_partition_with_its_first_line(follow: Follow, tmp_path: Path) -> None:
    path = tmp_path / "new.log"
    path.touch()
    reader = follow(path)
    assert reader.read() == []
    assert reader.source.partitions() == frozenset()
    append(path, b"\xef\xbb\xbffirst\n")
    assert reader.read() == [b"first"]


def refused(folder: Path) -> list[tuple[list[Path], str, list[str]]]:
    packed = folder / "x.gz"
    packed.write_bytes(gzip.compress(b"x"))
    plain = folder / "plain"
    plain.touch()
    return [
        ([], "native", ["follow.none"]),
        ([folder / "absent"], "native", ["follow.not_found"]),
        ([folder], "native", ["follow.not_found"]),
        ([Path("-")], "native", ["follow.stdin"]),
        ([packed], "native", ["follow.compressed"]),
        ([plain, plain], "native", ["follow.twice"]),
        ([plain], "nativ", ["follow.format"]),
        ([folder / "absent", packed], "x", ["follow.format", "follow.not_found", "follow.compressed"]),
    ]


def test_what_cannot_be_followed_is_refused_with_all_problems(tmp_path: Path) -> None:
    for paths, name, slugs in refused(tmp_path):
        with pytest.raises(InvalidInput) as caught:
            FollowSource(paths, name, clock=FakeClock())
        assert [problem.slug for problem in caught.value.problems] == slugs
