"""A campaign's page: what it says, what it leaves out and says so, and that names from a log stay text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from shoal.reports.campaign import CampaignPage, Doubt, Row, Thing, draw, write_campaign

DAY = 86_400_000_000
START = 20_000 * DAY
THINGS = (Thing("payment", "a3f2", True, 2, 0, "pay with the same card"), Thing("ip", "203.0.113.7", False, 3, 9, "w"))
ROWS = (
    Row("ann", 0.9, True, START, (0, 1), (START + 5, START + DAY), "watch"),
    Row("bob", 0.8, True, None, (0, 1), ()),
    Row("eve", 0.5, False, START + DAY, (1,), (START + DAY,)),
)
PAGE = CampaignPage(
    "c0123456789ab", 0.97, 0.9, 0.99, ROWS, THINGS, ("2 of 3 pay with one card",), ("names look alike",),
    (("payment", 0.7), ("ip", 0.3)), START, START + 2 * DAY, ((START, 2), (START + DAY, 1)), 0.8,
    (Doubt("eve", 0.5, "shares an address only"),), ("members without the card are older",), ("c99",), 1234,
)  # fmt: skip


def test_the_page_says_all_of_it(tmp_path: Path) -> None:
    text = write_campaign(tmp_path / "c.html", PAGE).read_text(encoding="utf-8")
    for words in (
        "Campaign c0123456789ab: 3 accounts", "grown together from c99", "97%", "90% to 99%", "2 of 3 pay with",
        "names look alike", "payment 70%, ip 30%", "0.8", "shares an address only", "without the card are older",
        "203.0.113.7", "pay with the same card", "a hard link", "not seen", "watch", "1,234",
    ):  # fmt: skip
        assert words in text, words


def test_names_from_a_log_stay_text(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    page = replace(
        PAGE,
        members=(replace(ROWS[0], name=hostile),),
        things=(replace(THINGS[0], name=hostile, relation=hostile),),
        evidence=(hostile,),
        doubts=(Doubt(hostile, 0.1, hostile),),
    )
    text = write_campaign(tmp_path / "c.html", page).read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script" in text


def test_a_large_one_is_drawn_in_part_and_says_so() -> None:
    many = replace(PAGE, members=ROWS[:1] * 50, things=THINGS[:1] * 20)
    assert "Drawn are 40 of 50 members, 16 of 20 things." in draw(many)["ties"]
    assert "Drawn are" not in draw(PAGE)["ties"]


def test_an_empty_one_can_be_drawn() -> None:
    assert "<svg" in draw(replace(PAGE, members=(), things=(), growth=()))["ties"]
