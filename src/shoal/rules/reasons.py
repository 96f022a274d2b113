"""Reasons: a rule's template in words, filled from the row that matched.

A template is text with `{column}` or `{column:style}` placeholders (`{{` and `}}` for braces). It is checked when the
rules are compiled and rendered only for rows that are shown to somebody. Styles: `number` (default of numbers: 1,168 or
3.27), `percent`, `duration` (seconds in words), `bytes`, `km`. Holds no state.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """A checked template: literal parts and (column, style) places in turn."""

    template: str
    columns: tuple[str, ...] = ()
