"""The main job: finite sources through the whole engine, once, and again from where it stopped.

`read_source` fingerprints the files, goes on where an earlier run of the same files stopped, and refuses nothing
silently: what was read, mapped, duplicate, conflicting, late and dead is counted in the ledger.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shoal.adapters.files import FileSource, expand
from shoal.clock import Clock
from shoal.errors import InvalidInput, Problem, Where
from shoal.events import formats
from shoal.events.decode import Decoded
from shoal.events.ids import EventIds
from shoal.runtime.deployment import Deployment
from shoal.runtime.ingest.order import Ordered, as_received, by_time
from shoal.runtime.ingest.writer import FINISHED, STARTED
from shoal.runtime.pipeline import feed

_HEAD_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 23
"""Decoded at once: about as many native records as are decided together; groups half as large cost a tenth more."""


@dataclass(frozen=True)
class Progress:
    """How the caller is told: a stage's name, and what is done of how much (0: not known)."""

    stage: Callable[[str], None]
    moved: Callable[[int, int], None]


@dataclass(frozen=True)
class Read:
    """What became of one source: records that went through now, and how many had gone through before."""

    source: str
    now: int
    before: int
    finished_before: bool


def fingerprint(paths: Sequence[Path], format_name: str, received: bool) -> str:
    """A name for exactly these files: their names, sizes, heads and tails, the format and the order in which they are
    taken."""
    digest = hashlib.sha256(f"{format_name}\0{received}".encode())
    for path in paths:
        size = path.stat().st_size
        digest.update(f"\0{path.name}\0{size}\0".encode())
        with path.open("rb") as stream:
            digest.update(stream.read(_HEAD_BYTES))
            if size > _HEAD_BYTES:
                stream.seek(max(_HEAD_BYTES, size - _HEAD_BYTES))
                digest.update(stream.read())
    return digest.hexdigest()[:16]


def guess_format(paths: Sequence[Path]) -> str:
    """The format that the first file's first bytes look like; raises `InvalidInput` where none does."""
    if str(paths[0]) == "-":
        return "native"
    head = b""
    with paths[0].open("rb") as stream:
        for chunk in expand(iter(lambda: stream.read(_HEAD_BYTES), b"")):
            head += chunk
            if len(head) >= _HEAD_BYTES:
                break
    name = formats.guess_format(head[:_HEAD_BYTES])
    if name is None:
        allowed = ", ".join(formats.FORMATS)
        raise InvalidInput(
            Problem(
                "source.format",
                "looks like no format that is known",
                Where(str(paths[0])),
                allowed,
                hint="name one with --format",
            )
        )
    return name


def default_pack(format_name: str) -> str:
    """The pack that ships for a format: audit logs of clouds get theirs, everything else file sharing."""
    return "cloud_audit" if format_name in ("cloudtrail", "m365") else "file_sharing"


def check_paths(paths: Sequence[Path]) -> None:
    """Refuse sources that are not readable files, all together."""
    problems = []
    for path in paths:
        if str(path) == "-":
            continue
        if not path.exists():
            problems.append(Problem("source.absent", "no such file", Where(str(path))))
        elif not path.is_file():
            problems.append(
                Problem(
                    "source.not_a_file", "is not a file", Where(str(path)), hint="name the files, for example DIR/*.gz"
                )
            )
    if problems:
        raise InvalidInput(problems)


def read_source(
    deployment: Deployment,
    paths: Sequence[Path],
    format_name: str,
    *,
    received: bool,
    clock: Clock,
    progress: Progress,
) -> Read:
    """Read files of one format to their end, or from where an earlier run stopped."""
    check_paths(paths)
    stdin = [str(path) for path in paths] == ["-"]
    mark = f"stdin-{clock.now_us()}" if stdin else fingerprint(paths, format_name, received)
    name = "stdin" if stdin else paths[0].name + (f"+{len(paths) - 1}" if len(paths) > 1 else "")
    source = f"{name}@{mark}"
    place = deployment.committer.place_of(source)
    if deployment.committer.finished(source):
        return Read(source, 0, place or 0, True)
    max_time = clock.now_us() if stdin else max(int(path.stat().st_mtime_ns // 1000) for path in paths)
    if place is None or deployment.committer.source != source:
        body = {"source": source, "format": format_name, "received": received, "max_time": max_time}
        deployment.process(deployment.writer.control(STARTED, body | {"paths": [str(path) for path in paths]}))
    place = place or 0
    files = FileSource([str(path) for path in paths], format_name, source=name, block_bytes=_BLOCK_BYTES)
    blocks = _identified(files, progress)
    spool = deployment.home.folder / "spool"
    shutil.rmtree(spool, ignore_errors=True)
    ordered: Iterator[Ordered]
    if received:
        ordered = as_received(blocks)
    else:
        spool.mkdir(parents=True)
        ordered = by_time(blocks, memory_bytes=deployment.home.settings.sort_memory_bytes, folder=spool)
    moved = [place]

    def done(count: int) -> None:
        moved[0] += count
        progress.moved(moved[0], 0)

    try:
        now = feed(deployment, ordered, skip=place, max_time=max_time, done=done)
    finally:
        shutil.rmtree(spool, ignore_errors=True)
    deployment.process(deployment.writer.control(FINISHED, {"source": source}))
    return Read(source, now, place, False)


def _identified(files: FileSource, progress: Progress) -> Iterator[Decoded]:
    ids = EventIds()
    progress.stage("reading")
    for block in files:
        progress.moved(files.bytes_done, files.bytes_total or 0)
        yield replace(block, events=ids.assign(block.events)) if block.events.num_rows else block
    progress.stage("deciding")
