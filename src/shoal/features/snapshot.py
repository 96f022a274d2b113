"""Snapshots of an engine's state: a folder with a JSON manifest and raw slabs, each with its length and CRC-32.

Written aside, synced, then renamed, so that a folder of that name is whole or absent. The log's full pieces, which
never change again, are hard-linked where they are files; the piece being written is copied, so that what comes after a
snapshot cannot reach into it. Nothing is unpickled. Format `shoal.features`, version 2; addresses are never stored.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shoal.errors import Corrupt, Unsupported
from shoal.features import descriptor as D  # noqa: N812 - a namespace of constants
from shoal.features.definitions import FeatureDefinition
from shoal.features.kernel.table_kernel import rebuild
from shoal.features.part import Part
from shoal.features.state import State

FORMAT, VERSION = "shoal.features", 2
MANIFEST = "manifest.json"
_HEADER = (D.NOW, D.BASE, D.HEAD, D.CLAMPED_COUNT, D.DROPPED_PAIRS, D.GENERATION)
_SPACE = (D.USED, D.FREE, D.LIVE, D.SWEEP)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, data: Any) -> dict[str, int]:
    view = memoryview(data).cast("B")
    with path.open("wb") as out:
        out.write(view)
        out.flush()
        os.fsync(out.fileno())
    return {"bytes": len(view), "crc": zlib.crc32(view)}


def definition_json(one: FeatureDefinition) -> dict[str, Any]:
    """A definition as it stands in a manifest."""
    body = asdict(one)
    del body["origin"], body["description"], body["unit"]
    return body


def definition_of(body: Mapping[str, Any]) -> FeatureDefinition:
    """A definition read back from a manifest."""
    known = dict(body)
    known["key"] = tuple(known["key"])
    return FeatureDefinition(**known)


def _save_log(state: State, folder: Path, prefix: str) -> dict[str, dict[str, int]]:
    files: dict[str, dict[str, int]] = {}
    head, size = int(state.words[D.HEAD]), int(state.words[D.REC_BYTES])
    first = state.tail >> state.piece_bits
    for number, piece in sorted(state.pieces.items()):
        used = min(max(head - (number << state.piece_bits), 0), (1 << state.piece_bits)) * size
        if number < first or used == 0:
            continue
        target = folder / f"{prefix}log-{number:012d}.bin"
        name = target.name
        full = used == (1 << state.piece_bits) * size
        if full and piece.path is not None:
            piece.sync()
            if piece.crc is None:
                piece.crc = zlib.crc32(piece.bytes.tobytes())
            try:
                os.link(piece.path, target)
            except OSError:
                _write(target, piece.bytes)
            files[name] = {"bytes": used, "crc": piece.crc}
        else:
            files[name] = _write(target, piece.bytes[:used])
    return files


def _save_part(part: Part, folder: Path, prefix: str) -> dict[str, Any]:
    state, words = part.state, part.state.words
    files = _save_log(state, folder, prefix)
    spaces = []
    for number, space in enumerate(state.spaces + state.pools):
        used = int(words[space + D.USED]) * int(words[space + D.ROW_BYTES])
        name = f"{prefix}space-{number:03d}.bin"
        files[name] = _write(folder / name, state.rows[space][:used])
        spaces.append([int(words[space + field]) for field in _SPACE])
    start, count = int(words[D.O_WINDOW]), int(words[D.N_WINDOW])
    return {
        "definitions": [definition_json(one) for one in part.plan.definitions],
        "hashes": [one.hash for one in part.plan.definitions],
        "since": part.since,
        "complete": part.complete,
        "fingerprint": part.fingerprint,
        "header": [int(words[field]) for field in _HEADER],
        "spaces": spaces,
        "piece_bits": state.piece_bits,
        "tails": [int(words[start + k * D.WINDOW_WORDS + D.W_TAIL]) for k in range(count)],
        "files": files,
    }


def write_snapshot(path: Path, parts: list[Part], head: Mapping[str, Any]) -> None:
    """Write all parts and the engine's own figures `head` to the folder `path`, replacing what stands there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside, old = path.with_name(path.name + ".writing"), path.with_name(path.name + ".old")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    saved = [_save_part(part, aside, f"{number}-") for number, part in enumerate(parts)]
    body = json.dumps({"format": FORMAT, "version": VERSION, **head, "parts": saved}, sort_keys=True).encode()
    _write(aside / MANIFEST, b"%08x\n" % zlib.crc32(body) + body)
    _sync_folder(aside)
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    aside.rename(path)
    _sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def read_manifest(path: Path) -> tuple[Path, dict[str, Any]]:
    """The folder that holds the snapshot (`path`, or the one it was replacing) and its checked manifest.

    Raises `Corrupt` or `Unsupported`.
    """
    old = path.with_name(path.name + ".old")
    folder = old if not path.exists() and old.exists() else path
    try:
        raw = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise Corrupt(f"{folder}: no feature snapshot: {error}") from error
    check, _, body = raw.partition(b"\n")
    manifest: Any = None
    with contextlib.suppress(ValueError):
        if int(check, 16) == zlib.crc32(body):
            manifest = json.loads(body)
    if not isinstance(manifest, dict):
        raise Corrupt(f"{folder / MANIFEST}: the checksum does not match")
    if manifest.get("format") != FORMAT or manifest.get("version") != VERSION:
        known = f"{FORMAT} version {VERSION}"
        raise Unsupported(f"{folder}: {manifest.get('format')} version {manifest.get('version')}; this is {known}")
    return folder, manifest


def _read(folder: Path, name: str, files: Mapping[str, Mapping[str, int]]) -> npt.NDArray[np.uint8]:
    expected = files.get(name)
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise Corrupt(f"{folder / name}: {error}") from error
    if expected is None or len(data) < expected["bytes"] or zlib.crc32(data[: expected["bytes"]]) != expected["crc"]:
        raise Corrupt(f"{folder / name}: its length or checksum does not match the manifest")
    return np.frombuffer(data, dtype=np.uint8)[: expected["bytes"]]


def _load_log(state: State, folder: Path, prefix: str, saved: Mapping[str, Any]) -> None:
    """Bring back the live records, into pieces of this state's own size."""
    head, tail = int(state.words[D.HEAD]), state.tail
    size, bits, theirs = int(state.words[D.REC_BYTES]), state.piece_bits, int(saved["piece_bits"])
    if int(state.words[D.LOG_LIMIT]) == D.FAR:
        return
    for number in range(tail >> theirs, ((head - 1) >> theirs) + 1) if head > tail else range(0):
        data = _read(folder, f"{prefix}log-{number:012d}.bin", saved["files"])
        first, stop = number << theirs, (number << theirs) + len(data) // size
        position = max(first, tail >> bits << bits)
        while position < stop:
            target = position >> bits
            piece = state.pieces[target] if target in state.pieces else state.add_piece(target)
            offset = position - (target << bits)
            count = min((1 << bits) - offset, stop - position)
            source = data[(position - first) * size : (position - first + count) * size]
            piece.bytes[offset * size : (offset + count) * size] = source
            position += count
    current = head >> bits
    if current not in state.pieces and head & ((1 << bits) - 1):
        state.add_piece(current)
    state.words[D.LOG_LIMIT] = (current + (current in state.pieces)) << bits


def load_part(part: Part, folder: Path, number: int, saved: Mapping[str, Any]) -> None:
    """Fill a new part from the snapshot. Raises `Corrupt`, or `Unsupported` where another release laid it out."""
    state, words = part.state, part.state.words
    if part.fingerprint != saved["fingerprint"]:
        raise Unsupported(f"{folder}: its slabs were laid out by another release; rebuild the state by a replay")
    prefix, files = f"{number}-", saved["files"]
    for field, value in zip(_HEADER, saved["header"], strict=True):
        words[field] = value
    start = int(words[D.O_WINDOW])
    for k, tail in enumerate(saved["tails"]):
        words[start + k * D.WINDOW_WORDS + D.W_TAIL] = tail
    for k, (space, figures) in enumerate(zip(state.spaces + state.pools, saved["spaces"], strict=True)):
        data = _read(folder, f"{prefix}space-{k:03d}.bin", files)
        used = figures[0]
        if len(data) != used * int(words[space + D.ROW_BYTES]):
            raise Corrupt(f"{folder}: space {k} has {len(data)} bytes for {used} rows")
        state.grow_rows(space, max(used + used // 4, int(words[space + D.CAP])))
        state.rows[space][: len(data)] = data
        for field, value in zip(_SPACE, figures, strict=True):
            words[space + field] = value
        if space in state.tables:
            state.tables[space][:] = 0
            rebuild(state.d, space)
    _load_log(state, folder, prefix, saved)
    part.since, part.complete = list(saved["since"]), list(saved["complete"])
