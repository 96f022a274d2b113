"""The card as page and as Markdown: whole, escaped, one file; shows weak models too."""

from __future__ import annotations

import doctest
import re
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from benchmarks.learn_world import make_world
from shoal.learn.evaluation.card import Card
from shoal.learn.fitting.fit import fit
from shoal.learn.fitting.settings import FitSettings
from shoal.reports import card as module
from shoal.reports.card import card_markdown, evaluation_markdown, write_card

HOSTILE = "<script>alert('x')</script> | $x^2$ {{ 7*7 }} `rm` [a](http://b)\n# head"


@pytest.fixture(scope="module")
def card() -> Card:
    world = make_world(1, accounts=700, hijacked=0.1)
    settings = FitSettings(trials=1, trees=30, leaves=8)
    return fit(world.frame, world.labels, until_us=world.end_us, made_at="2026-03-01T00:00:00Z", settings=settings).card


def test_the_examples_in_docstrings() -> None:
    assert doctest.testmod(module).failed == 0


def test_the_page_shows_all_of_it_and_fetches_nothing(card: Card, tmp_path: Path) -> None:
    text = write_card(tmp_path / "card.html", card).read_text()
    assert text == write_card(tmp_path / "again.html", card).read_text()
    for part in (
        card.model, "Limits", "Slices", "Calibration", "Does a score of 10% mean 10%?", "Cumulative gain",
        "logistic regression", "account younger than 7 days", "failures", "to judge: all figures here",
    ):  # fmt: skip
        assert part in text
    assert text.count("<svg") == 4
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href)=\"?https?:", text)
    for line in card.limits:
        assert line.split(":")[0] in text


def test_hostile_texts_stay_texts(card: Card, tmp_path: Path) -> None:
    inputs = [msgspec.structs.replace(one, description=HOSTILE) for one in card.metadata.inputs]
    metadata = msgspec.structs.replace(card.metadata, inputs=inputs, on=HOSTILE)
    importance = [replace(one, description=HOSTILE, name=HOSTILE[:40]) for one in card.importance]
    slices = [replace(one, name=HOSTILE) for one in card.evaluation.slices]
    evil = replace(
        card,
        metadata=metadata,
        importance=importance,
        description=HOSTILE,
        notes=[HOSTILE],
        evaluation=replace(card.evaluation, slices=slices),
    )
    text = write_card(tmp_path / "card.html", evil).read_text()
    assert "<script" not in text
    assert "49" not in re.findall(r"alert.{0,60}", text)[0]
    markdown = card_markdown(evil)
    assert "<script" not in markdown.replace("\\<script", "")
    assert "\n# head" not in markdown
    tables = [line for line in markdown.split("\n") if line.startswith("|")]
    for line in tables:  # a cell with a bar in it would make a column more
        assert len(re.findall(r"(?<!\\)\|", line)) in (3, 4, 5, 7, 8)


def test_markdown_has_the_same_figures(card: Card) -> None:
    text = card_markdown(card)
    for part in ("## Limits", "## Protocol", "## Slices", "## Calibration", "## Importance", card.model):
        assert part in text
    for level in card.evaluation.levels:
        assert f"| {level.name} | " in text


def test_a_judgement_alone(card: Card) -> None:
    text = evaluation_markdown(card.evaluation)
    assert text.startswith(f"# takeover.model, model {card.model}\n")
    for part in ("## What it catches", "## Slices", "## Calibration", "logistic regression"):
        assert part in text


def test_a_card_without_levels_slices_and_figures(card: Card, tmp_path: Path) -> None:
    bare = replace(
        card,
        metadata=msgspec.structs.replace(card.metadata, levels=[]),
        evaluation=replace(card.evaluation, levels=[], slices=[], slice_level=""),
        importance=[],
        description="",
    )
    assert "no level at which" in write_card(tmp_path / "card.html", bare).read_text()
    assert "## Slices" not in card_markdown(bare)
    assert "## Calibration" in card_markdown(bare)
