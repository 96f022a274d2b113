"""Whether a model's metadata is sound: JSON to a verified `Metadata`, with every problem told at once.

The shape is msgspec's (strict, no unknown keys); what a shape cannot say stands here: order of calibration points and
thresholds, histograms, kinds, agreement with the trees and with the SHA-256 of the files. Reads no file.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

import msgspec

from shoal.detectors.models.definition import LEVELS, MAX_INPUTS
from shoal.detectors.models.metadata import (
    METADATA_FILE,
    MODEL_FORMAT,
    MODEL_VERSION,
    TREES_FILE,
    Calibration,
    InputColumn,
    Level,
    Metadata,
    Origin,
)
from shoal.detectors.models.trees import Trees
from shoal.errors import Corrupt, InvalidInput, Problem, Unsupported, Where, nearest_name
from shoal.events.schema import Kind

MAX_METADATA_BYTES = 8 << 20
KINDS = {kind.name.lower(): kind for kind in Kind if kind is not Kind.TEXT}
"""How `InputColumn.kind` is written."""
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+){0,4}\Z")
_HEX16, _HEX64 = re.compile(r"[0-9a-f]{16}\Z"), re.compile(r"[0-9a-f]{64}\Z")
_PLAIN_NAME = re.compile(r"Column_[0-9]+\Z")
_UNKNOWN = re.compile(r"unknown field `(.{1,60})`")
_FIELDS = tuple(
    name for struct in (Metadata, InputColumn, Calibration, Level, Origin) for name in struct.__struct_fields__
)
_decode = msgspec.json.Decoder(Metadata).decode


class _Head(msgspec.Struct):
    format: str = ""
    version: int = 0


_decode_head = msgspec.json.Decoder(_Head).decode


def read_metadata(files: Mapping[str, bytes], where: Where) -> Metadata:
    """The metadata among `files`, whole and sound in itself; the other files have the hashes that it states.

    Raises `Unsupported` (another format or version), `Corrupt` (a hash), `InvalidInput` (all else, all together).
    """
    problems = list(_names(files, where))
    if problems:
        raise InvalidInput(problems)
    metadata = _parse(files[METADATA_FILE], where)
    problems = list(_sound(metadata, where))
    if problems:
        raise InvalidInput(problems)
    found = hashlib.sha256(files[TREES_FILE]).hexdigest()
    if metadata.sha256[TREES_FILE] != found:
        raise Corrupt(
            f"{where}: {TREES_FILE} is not the file that {METADATA_FILE} was written for (SHA-256 {found[:16]}…, "
            f"stated {metadata.sha256[TREES_FILE][:16]}…); fetch both files again [model.hash]"
        )
    return metadata


def agree(metadata: Metadata, trees: Trees, where: Where) -> list[Problem]:
    """What the trees and the metadata disagree on: the number of inputs, and their names where the trees have any."""
    names = [column.name for column in metadata.inputs]
    at = where.at("inputs")
    if len(names) != trees.inputs:
        message = f"{len(names)} inputs are described, the trees have {trees.inputs}"
        return [Problem("model.inputs", message, at)]
    if all(_PLAIN_NAME.match(name) for name in trees.names):
        return []
    wrong = [i for i, name in enumerate(names) if re.sub(r"\s", "_", name) != trees.names[i]]
    message = "input {} is {!r} here and {!r} in the trees"
    hint = "the order of inputs is that of the columns that were fitted"
    return [Problem("model.inputs", message.format(i, names[i], trees.names[i]), at, hint=hint) for i in wrong[:5]]


def _names(files: Mapping[str, bytes], where: Where) -> Iterator[Problem]:
    known = (METADATA_FILE, TREES_FILE)
    for name in sorted(set(files) - set(known)):
        nearest = nearest_name(name, known)
        yield Problem("model.file", f"unknown file {name[:80]!r}", where, ", ".join(known), nearest)
    for name in known:
        if name not in files:
            yield Problem("model.file", f"there is no {name}", where, hint="a model is these two files")
    size = len(files.get(METADATA_FILE, b""))
    if size > MAX_METADATA_BYTES:
        yield Problem("model.size", f"{METADATA_FILE} has {size:,} bytes", where, f"at most {MAX_METADATA_BYTES:,}")


def _parse(data: bytes, where: Where) -> Metadata:
    try:
        head = _decode_head(data)
        if head.format != MODEL_FORMAT or head.version != MODEL_VERSION:
            raise Unsupported(
                f"{where}: format {head.format[:40]!r} version {head.version}; this release reads {MODEL_FORMAT!r} "
                f"version {MODEL_VERSION} [model.format]"
            )
        return _decode(data)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        unknown = _UNKNOWN.search(message)
        nearest = nearest_name(unknown[1], _FIELDS) if unknown else ""
        raise InvalidInput(Problem("model.shape", message, where.at(path.strip("`.")), nearest=nearest)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = "numbers are finite, the text is UTF-8"
        raise InvalidInput(Problem("model.json", f"not JSON: {error}", where, hint=hint)) from None
    except RecursionError:
        raise InvalidInput(Problem("model.json", "nested too deeply", where)) from None


def _sound(metadata: Metadata, where: Where) -> Iterator[Problem]:
    for path, text in (("name", metadata.name), ("threat", metadata.threat), ("subject", metadata.subject)):
        if not _NAME.match(text) or len(text) > 120:
            yield Problem("model.name", f"{text[:60]!r} is no name", where.at(path), "a-z, 0-9, _ and dots")
    if not _HEX16.match(metadata.definition):
        yield Problem("model.hash_form", f"{metadata.definition[:40]!r}", where.at("definition"), "16 hex digits")
    if set(metadata.sha256) != {TREES_FILE} or not all(_HEX64.match(one) for one in metadata.sha256.values()):
        yield Problem("model.hash_form", "not the SHA-256 of each other file", where.at("sha256"), TREES_FILE)
    try:
        if datetime.fromisoformat(metadata.made_at).tzinfo is None:
            raise ValueError
    except ValueError:
        allowed = "ISO 8601 with a time zone"
        yield Problem("model.time", f"{metadata.made_at[:40]!r} is no time", where.at("made_at"), allowed)
    if not metadata.labels or len(set(metadata.labels)) != len(metadata.labels):
        yield Problem("model.labels", "labels are none, or repeated", where.at("labels"))
    yield from _inputs(metadata.inputs, where.at("inputs"))
    yield from _calibration(metadata, where.at("calibration"))
    yield from _levels(metadata, where.at("levels"))
    yield from _origin(metadata, where.at("origin"))
    yield from _histogram(metadata.edges, metadata.shares, where)


def _inputs(inputs: Sequence[InputColumn], where: Where) -> Iterator[Problem]:
    if not 1 <= len(inputs) <= MAX_INPUTS:
        yield Problem("model.inputs", f"{len(inputs):,} inputs", where, f"1 to {MAX_INPUTS}")
    seen = set()
    for i, column in enumerate(inputs):
        at = where.at(column.name[:80] if column.name.isprintable() and column.name else str(i))
        if not column.name or column.name in seen:
            yield Problem("model.inputs", "an input without a name, or twice the same", at)
        seen.add(column.name)
        if column.kind not in KINDS:
            nearest = nearest_name(column.kind[:40], KINDS)
            yield Problem("model.kind", f"kind {column.kind[:40]!r}", at, ", ".join(KINDS), nearest)
        if not (column.name + column.hash + column.description + column.unit).isprintable():
            yield Problem("model.text", "a control character in its texts", at)
        if column.typical is not None and column.high is not None and column.typical > column.high:
            yield Problem("model.typical", f"typical {column.typical:g} is above high {column.high:g}", at)
        yield from _histogram(column.edges, column.shares, at)


def _histogram(edges: Sequence[float], shares: Sequence[float], where: Where) -> Iterator[Problem]:
    if not edges and not shares:
        return
    if len(shares) != len(edges) + 1:
        message = f"{len(edges)} edges and {len(shares)} shares"
        yield Problem("model.histogram", message, where.at("shares"), "one share more than edges")
    if not _rising(edges):
        yield Problem("model.histogram", "the edges do not rise", where.at("edges"), "strictly rising")
    if any(not 0.0 <= share <= 1.0 for share in shares) or not math.isclose(math.fsum(shares), 1.0, abs_tol=1e-6):
        yield Problem("model.histogram", "the shares do not add up to 1", where.at("shares"))


def _calibration(metadata: Metadata, where: Where) -> Iterator[Problem]:
    x, y = metadata.calibration.x, metadata.calibration.y
    if not x or len(x) != len(y):
        yield Problem("model.calibration", f"{len(x)} x and {len(y)} y", where, "as many of both, one or more")
    if not _rising(x):
        yield Problem("model.calibration", "x does not rise", where.at("x"), "strictly rising")
    if any(a > b for a, b in pairwise(y)):
        yield Problem("model.calibration", "y falls", where.at("y"), "a higher raw sum is never less probable")
    if not 0 <= metadata.calibration.positives <= metadata.calibration.rows:
        yield Problem("model.count", "more positives than rows, or fewer than none", where)


def _levels(metadata: Metadata, where: Where) -> Iterator[Problem]:
    ranks = [LEVELS.index(level.name) for level in metadata.levels]
    if not _rising(ranks):
        yield Problem("model.levels", "levels are out of order or repeated", where, ", ".join(LEVELS[1:]))
    for one, other in pairwise(metadata.levels):
        if other.threshold < one.threshold:
            message = f"threshold {other.threshold:g} is below {one.threshold:g} of {one.name}"
            yield Problem("model.levels", message, where.at(other.name), "never below a lower level's")
    for level in metadata.levels:
        if not 0.0 <= level.low <= level.honest <= level.high or level.budget < 0.0:
            yield Problem("model.levels", "not 0 ≤ low ≤ honest ≤ high, budget ≥ 0", where.at(level.name))


def _origin(metadata: Metadata, where: Where) -> Iterator[Problem]:
    origin = metadata.origin
    if not 0 <= origin.first_seq <= origin.last_seq:
        yield Problem("model.count", f"journal range {origin.first_seq} to {origin.last_seq}", where)
    pairs = (("rows", origin.positives, origin.rows), ("subjects", origin.positive_subjects, origin.subjects))
    for path, positives, count in pairs:
        if not 0 <= positives <= count:
            yield Problem("model.count", f"{positives:,} positives of {count:,}", where.at(path))


def _rising(numbers: Sequence[float]) -> bool:
    return all(a < b for a, b in pairwise(numbers))
