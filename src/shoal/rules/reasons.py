"""Reasons: a rule's template in words, filled from the row that matched.

A template is text with `{column}` or `{column:style}` placeholders (`{{` and `}}` for braces). It is checked when the
rules are compiled and rendered only for rows that are shown to somebody. Styles of numbers: `number` (the default:
1,168 or 3.27), `percent` (of a ratio), `duration` (of seconds), `bytes`, `km`, `kmh`. Texts are cut at 120 characters
and stripped of control characters, because attackers choose them. Holds no state.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from shoal.errors import InvalidInput, Problem, Where, nearest_name
from shoal.events.schema import Kind
from shoal.expressions.frame import Frame

UNKNOWN_TEXT = "unknown"
MAX_TEXT = 120
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PLACE = re.compile(r"^([A-Za-z_][A-Za-z0-9_]*(?:\.[a-z][a-z0-9_]*)?)(?::([a-z]+))?$")


def number_words(value: float) -> str:
    """A number as people write it.

    >>> number_words(1168), number_words(3.274), number_words(0.5), number_words(1234.5)
    ('1,168', '3.27', '0.5', '1,234')
    """
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def duration_words(seconds: float) -> str:
    """Seconds in the largest unit that reads well.

    >>> duration_words(600), duration_words(3600), duration_words(86400 * 40), duration_words(25)
    ('10 minutes', '1 hour', '40 days', '25 seconds')
    """
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if abs(seconds) >= size or unit == "second":
            count = round(seconds / size, 0 if abs(seconds) >= 10 * size or seconds % size == 0 else 1)
            return f"{number_words(count)} {unit}{'' if count == 1 else 's'}"
    raise AssertionError("unreachable")


def bytes_words(size: float) -> str:
    """A size in decimal units.

    >>> bytes_words(512), bytes_words(1_900_000)
    ('512 B', '1.9 MB')
    """
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 1000 or unit == "TB":
            return f"{number_words(round(size, 1))} {unit}"
        size /= 1000
    raise AssertionError("unreachable")


def clean_text(text: str) -> str:
    """An outsider's text made safe to show on one line."""
    shown = text[: MAX_TEXT + 1]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)
    return shown if len(text) <= MAX_TEXT else shown[: MAX_TEXT - 1] + "…"


STYLES: Mapping[str, Callable[[float], str]] = {
    "number": number_words,
    "percent": lambda value: f"{number_words(round(100 * value, 1 if abs(value) < 0.1 else 0))} %",
    "duration": duration_words,
    "bytes": bytes_words,
    "km": lambda value: f"{value:,.0f} km",
    "kmh": lambda value: f"{value:,.0f} km/h",
}


def _time_words(value: float) -> str:
    try:
        return (_EPOCH + timedelta(microseconds=int(value))).strftime("%Y-%m-%d %H:%M:%S UTC")
    except OverflowError:
        return UNKNOWN_TEXT


@dataclass(frozen=True)
class Place:
    """One placeholder: the column, the style of its number ("" = by kind), and whether it shows a number."""

    column: str
    style: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Reason:
    """A checked template: literal texts, and between them places (one fewer)."""

    template: str
    texts: tuple[str, ...]
    places: tuple[Place, ...]
    columns: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", frozenset(place.column for place in self.places))

    def render(self, frame: Frame, row: int) -> str:
        """The template filled from one row; a null reads "unknown"."""
        return self.render_rows(frame, np.array([row], dtype=np.int64))[0]

    def render_rows(self, frame: Frame, rows: npt.NDArray[np.int64]) -> list[str]:
        """The template filled from some rows, a column at a time."""
        if not self.places:
            return [self.texts[0]] * len(rows)
        columns = [values_words(frame, rows, place.column, place.style) for place in self.places]
        pieces = [text.replace("%", "%%") for text in self.texts]
        form = "%s".join(pieces)
        return [form % shown for shown in zip(*columns, strict=True)]

    @property
    def peak(self) -> str:
        """The column of the first number shown: the larger it is, the more telling the reason ("" = none)."""
        return next((place.column for place in self.places if place.numeric), "")


def value_words(frame: Frame, row: int, column: str, style: str = "") -> str:
    """One value of a frame in words."""
    return values_words(frame, np.array([row], dtype=np.int64), column, style)[0]


def values_words(frame: Frame, rows: npt.NDArray[np.int64], column: str, style: str = "") -> list[str]:
    """The values of a column on some rows, in words."""
    index = frame.layout.index[column]
    kind = frame.layout.kinds[index]
    valid = frame.valid[index, rows].tolist()
    if kind is Kind.TEXT:
        texts = frame.texts.get(column)
        found = texts.take(rows).to_pylist() if texts is not None else [None] * len(rows)
        return [
            clean_text(text) if ok and text is not None else UNKNOWN_TEXT for text, ok in zip(found, valid, strict=True)
        ]
    raw = frame.values[index, rows]
    values = raw.view(np.float64).tolist() if kind is Kind.FLOAT else raw.tolist()
    words: Callable[[float], str] = STYLES[style or "number"]
    if kind is Kind.BOOL:
        words = _bool_words
    elif kind is Kind.TIME and not style:
        words = _time_words
    return [words(value) if ok else UNKNOWN_TEXT for value, ok in zip(values, valid, strict=True)]


def _bool_words(value: float) -> str:
    return "yes" if value else "no"


def parse_reason(template: str, kinds: Mapping[str, Kind], where: Where) -> Reason:
    """Check a template against the columns it may name.

    Raises `InvalidInput` (slugs `reason.brace`, `reason.place`, `reason.unknown_column`, `reason.style`).
    """
    problems: list[Problem] = []
    texts, places, at = [""], [], 0
    for token in _TOKEN.finditer(template):
        texts[-1] += template[at : token.start()]
        at = token.end()
        if token.group() in ("{{", "}}"):
            texts[-1] += token.group()[0]
        elif token.group() in ("{", "}"):
            problems.append(
                Problem("reason.brace", f"a lone {token.group()!r}", where, hint="write {{ or }} for a brace")
            )
        else:
            place = _place(token.group(1), kinds, where, problems)
            if place is not None:
                places.append(place)
                texts.append("")
    texts[-1] += template[at:]
    if problems:
        raise InvalidInput(problems)
    return Reason(template, tuple(texts), tuple(places))


def _place(inside: str, kinds: Mapping[str, Kind], where: Where, problems: list[Problem]) -> Place | None:
    found = _PLACE.match(inside)
    if found is None:
        problems.append(
            Problem("reason.place", f"{{{inside}}} is no placeholder", where, allowed="{column} or {column:style}")
        )
        return None
    column, style = found.group(1), found.group(2) or ""
    if column not in kinds:
        problems.append(
            Problem(
                "reason.unknown_column", f"no column or feature {column!r}", where, nearest=nearest_name(column, kinds)
            )
        )
        return None
    if style and (style not in STYLES or kinds[column] in (Kind.TEXT, Kind.BOOL)):
        allowed = (
            ", ".join(STYLES) if kinds[column] not in (Kind.TEXT, Kind.BOOL) else "no style for texts and booleans"
        )
        problems.append(
            Problem("reason.style", f"style {style!r} of {column}", where, allowed, nearest_name(style, STYLES))
        )
        return None
    return Place(column, style, kinds[column] in (Kind.INT, Kind.FLOAT))


def joined(reasons: Sequence[str]) -> str:
    """Several reasons as one sentence line."""
    return "; ".join(reasons)
