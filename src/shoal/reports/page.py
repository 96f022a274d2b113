"""One self-contained HTML file from a template.

The file holds its style and its pictures and fetches nothing: it can be mailed, archived and opened years later, and
a content security policy in it forbids what a hostile text might try. Templates lie in `templates/`, escape
everything by default, and refuse a name that was not given. Plots come in as `Markup` from `plots`, and nothing else
does. Written aside and renamed, so that a reader never sees half a page.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from shoal import __version__
from shoal.errors import InvalidInput, Problem

_SUFFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def render(template: str, **context: Any) -> str:
    """The HTML of `templates/<template>.html`, with `context` as its names. A missing name is an error."""
    return _environment().get_template(f"{template}.html").render(version=__version__, **context)


def write_page(path: Path, template: str, context: Mapping[str, Any]) -> Path:
    """Render and write `path`; returns it. Raises `InvalidInput` where it cannot be written."""
    text = render(template, **context)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise InvalidInput(
            Problem("report.write", f"{path} cannot be written: {error.strerror}", hint="name another file")
        ) from error
    return path


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("shoal.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    environment.filters.update(count=count, percent=percent, span=span, moment=moment, short=short)
    return environment


def count(value: float) -> str:
    """A number with thousands separated.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def short(value: float) -> str:
    """A number in three figures.

    >>> short(1234567), short(12.3456)
    ('1.23M', '12.3')
    """
    for size, suffix in _SUFFIXES:
        if abs(value) >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"


def percent(share: float | None, places: int = 0) -> str:
    """A share as a percentage; a dash where it is unknown.

    >>> percent(0.256), percent(None)
    ('26%', '–')
    """
    return "–" if share is None else f"{share:.{places}%}"


def span(seconds: float | None) -> str:
    """A length of time in the unit that a person would use; a dash where it is unknown.

    >>> span(42), span(5400), span(200000)
    ('42 s', '1.5 h', '2.3 d')
    """
    if seconds is None:
        return "–"
    for size, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if abs(seconds) >= size * 1.5 or (abs(seconds) >= size and unit != "d"):
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def moment(time_us: int | None) -> str:
    """A time in UTC to the second.

    >>> moment(0)
    '1970-01-01 00:00:00'
    """
    return "–" if time_us is None else datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
