"""Pages and plots: hostile texts stay texts, nothing is fetched, the same numbers give the same bytes."""

from __future__ import annotations

import doctest
import re
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import pytest

from shoal.errors import InvalidInput
from shoal.learn.intervals import Share
from shoal.reports import page, plots
from shoal.reports.plots import Bar, Line, Stretch

DAY = 86_400_000_000
START = 1_756_684_800_000_000

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</svg><iframe src='https://evil.example'>",
    "$\\frac{$",
    "_x_^{2}$$",
    "\x00\x1b[31mred",
    "a\u202eb",
    "x" * 5_000,
    "",
    "日本語 👀",
)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


def read(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    return tags


def pictures(text: str) -> list[str]:
    return [
        plots.bars([Bar(text, Share(3, 4), text), Bar("b", Share(0, 0))], title=text, xlabel=text, says=text),
        plots.timeline([Stretch(text, START, START + DAY, {text: [START]})], [text, "b"], title=text, says=text),
        plots.over_time([START], {text: [1], "b": [2]}, width_us=DAY, title=text, ylabel=text, says=text),
        plots.lines([Line(text, [1, 2], [0, 1], [0, 0], [1, 1])], title=text, xlabel=text, ylabel=text, says=text),
        plots.amounts([(text, 3.0), ("b", 0)], title=text, xlabel=text, says=text),
    ]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_a_text(text: str) -> None:
    for picture in pictures(text):
        found = read(picture)
        assert not found.tags & {"script", "iframe", "img", "object", "embed", "form"}
        assert not [name for name, _ in found.attributes if name.startswith("on")]


def test_a_page_fetches_nothing(tmp_path: Path) -> None:
    html = page.write_page(tmp_path / "page.html", "page", {}).read_text(encoding="utf-8")
    html += "".join(pictures("a"))
    found = read(html)
    assert not found.tags & {"script", "iframe", "img", "link"}
    assert "default-src 'none'" in html
    for name, value in found.attributes:
        if name in ("src", "href", "xlink:href") and value:
            assert value.startswith("#"), f"{name}={value} reaches outside"
    assert not re.search(r"url\((?!#)", html.replace("url('#", "url(#"))


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert pictures("a") == pictures("a")


def test_nothing_at_all_is_drawn_too() -> None:
    for picture in (
        plots.bars([], title="t", xlabel="x", says="s"),
        plots.timeline([], [], title="t", says="s"),
        plots.over_time([], {}, width_us=1, title="t", ylabel="y", says="s"),
        plots.lines([], title="t", xlabel="x", ylabel="y", says="s", spans=True),
        plots.amounts([], title="t", xlabel="x", says="s"),
    ):
        assert "<svg" in picture


def test_what_a_template_was_not_given_is_an_error(tmp_path: Path) -> None:
    environment = page._environment()
    with pytest.raises(jinja2.UndefinedError):
        environment.from_string("{{ missing }}").render()
    assert environment.from_string("{{ text }}").render(text="<b>") == "&lt;b&gt;"


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be written"):
        page.write_page(tmp_path / "no" / "page.html", "page", {})
    assert list(tmp_path.iterdir()) == []


def test_counts_per_interval() -> None:
    assert plots.hours([0, 5, 9, 10, 99], 0, 20, 10) == ([0, 10], [3, 1])
    assert plots.hours([], 0, 0, 10) == ([0], [0])


def test_the_examples_in_docstrings() -> None:
    assert doctest.testmod(page).failed == 0
