"""What a model file says of itself: JSON with a fixed shape, written by `learn` and verified by whoever loads it.

A model is two files: `model.txt` (trees in LightGBM's text format) and `model.json` (this). Nothing in it is code, and
nothing is read from it that its shape does not name.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

MODEL_FORMAT, MODEL_VERSION = "shoal.model", 1
TREES_FILE, METADATA_FILE = "model.txt", "model.json"
Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class InputColumn(Struct, forbid_unknown_fields=True, frozen=True):
    """One input, in the order of the trees' columns. `typical` and `high` are the median and the 99th percentile over
    benign training rows (null where it was never known), `missing` the share of rows in which it was null;
    `edges` and `shares` a histogram over training rows: shares [k + 1] of the cells that edges [k] cut."""

    name: str
    kind: str
    hash: str
    description: str = ""
    unit: str = ""
    typical: float | None = None
    high: float | None = None
    missing: Share = 0.0
    edges: list[float] = []
    shares: list[float] = []


class Calibration(Struct, forbid_unknown_fields=True, frozen=True):
    """From the trees' raw sum to a probability: linear between the points (`x` strictly rising, `y` not falling, in
    [0, 1]) and constant beyond them. `method` and `rows` say how they were made."""

    method: str
    x: list[float]
    y: list[Share]
    rows: int = 0
    positives: int = 0


class Level(Struct, forbid_unknown_fields=True, frozen=True):
    """`name` is one of `definition.LEVELS` but `allow`; a raw sum at or above `threshold` reaches it. `budget` is what
    the pack asked for, `honest` what was measured when it was chosen, both in honest subjects per 10,000 and week,
    with the interval [`low`, `high`] of the latter."""

    name: Literal["watch", "challenge", "restrict"]
    threshold: float
    budget: float
    honest: float
    low: float
    high: float


class Origin(Struct, forbid_unknown_fields=True, frozen=True):
    """What it was fitted on: pack, journal range, and what was known by `until_us`."""

    pack: str
    pack_version: str
    pack_hash: str
    first_seq: int
    last_seq: int
    until_us: int
    rows: int
    positives: int
    subjects: int
    positive_subjects: int


class Metadata(Struct, forbid_unknown_fields=True, frozen=True):
    """The whole of `model.json`. `definition` is `ModelDefinition.hash`; `protocol` and `metrics` are what the card
    shows; `edges`/`shares` the histogram of raw sums on the reference rows of monitoring; `sha256` covers every other
    file."""

    format: str
    version: int
    name: str
    threat: str
    made_at: str
    definition: str
    on: str
    subject: str
    labels: list[str]
    inputs: list[InputColumn]
    calibration: Calibration
    levels: list[Level]
    origin: Origin
    protocol: dict[str, str | float | int | bool]
    metrics: dict[str, float | None]
    edges: list[float]
    shares: list[float]
    sha256: dict[str, str]
    slices: list[dict[str, str | float | int | None]] = []


def encode(metadata: Metadata) -> bytes:
    """The JSON, indented, keys in a fixed order."""
    return msgspec.json.format(msgspec.json.encode(metadata), indent=1)
