"""How a field of a scenario carries its range and its meaning. Holds nothing; the reader and the reference read the
metadata that is put here."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def knob(default: Any, doc: str, lo: float | None = None, hi: float | None = None, **more: Any) -> Any:
    """A field of a scenario. `lo`, `hi`: allowed range, inclusive. `choices`: allowed texts. `length`: of a list.
    `required=True`: no default. A default of None: not said, and then not asked."""
    meta = {"doc": doc, "lo": lo, "hi": hi, **more}
    if more.get("required"):
        return field(metadata=meta)
    if isinstance(default, type) or callable(default):
        return field(default_factory=default, metadata=meta)
    return field(default=default, metadata=meta)


def fraction(default: float | None, doc: str, **more: Any) -> Any:
    """A share in [0, 1]."""
    return knob(default, doc, 0.0, 1.0, **more)
