"""A fitted model as a folder: its two files, and its card as page, Markdown and data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shoal.learn.evaluation.card import Card, encode
from shoal.reports.card import card_markdown, write_card


def write_model_folder(folder: Path, files: Mapping[str, bytes], card: Card) -> Path:
    """Write model.txt, model.json and card.html, card.md, card.json; returns the card's page."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "card.json").write_bytes(encode(card))
    return write_cards(folder, card)


def write_cards(folder: Path, card: Card) -> Path:
    """Draw card.html and card.md anew; returns the page."""
    (folder / "card.md").write_text(card_markdown(card), encoding="utf-8")
    return write_card(folder / "card.html", card)
