"""Shapes of names and addresses: the tables are the specification."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.events.shapes import MOST_PIECES, email_shape, name_shape

EMAILS = [
    ("anna@post.example", "aa"),
    ("j@post.example", "a"),
    ("jo@x", "aa"),
    ("mila@x", "aa"),
    ("peter@x", "aaa"),
    ("jonathan@x", "aaa"),
    ("christina@x", "aaaa"),
    ("Anna.Keller@Post.Example", "aa.aaa"),
    ("anna_keller-weber+shop@x", "aa_aaa-aaa+aa"),
    ("anna7@x", "aa9"),
    ("anna84@x", "aa99"),
    ("anna123@x", "aa999"),
    ("anna1984@x", "aa9999"),
    ("anna19840@x", "aa99999"),
    ("anna1984051234@x", "aa99999"),
    ("84anna@x", "99aa"),
    ("4711@x", "9999"),
    ("a1b@x", "a9a"),  # three parts: a nickname
    ("a1b2@x", "xx"),  # four: drawn at random
    ("k3x9q2zz1@x", "xxxx"),
    ("k3x9q2.anna@x", "xxx.aa"),
    ("müller.zoë@x", "aaa.aa"),
    ("МАРИЯ@x", "aaa"),
    ("李小龍@x", "oo"),
    ("٣٤@x", "99"),  # other scripts' digits are digits
    ("ａｎｎａ@x", "aa"),  # and wide letters letters
    ("an/na@x", "aa?aa"),
    ("a..b@x", "a..a"),
    ('"odd @ one"@x', "?aa?aa?"),  # the last @ parts
    ("bare.name", "aa.aa"),
    ("  anna@x ", "aa"),
    ("@x", None),
    ("", None),
    ("   ", None),
    ("e\u0301va@x", "aa"),  # a mark belongs to its letter
]
NAMES = [
    ("Anna Keller", "Aaa Aaaa"),
    ("anna keller", "aa aaa"),
    ("ANNA KELLER", "AA AAA"),
    ("Anna", "Aaa"),
    ("Anna K.", "Aaa A."),
    ("Anna  de\tMarco", "Aaa aa Aaaa"),
    ("McDonald", "Aaaa"),
    ("iPhone", "aaa"),
    ("Jean-Luc O'Hara", "Aaa-Aaa A'Aaa"),
    ("User 4711", "Aaa 9999"),
    ("Anna1984", "Aaa9999"),
    ("K3x9q2", "xxx"),
    ("安娜", "oo"),
    ("🐟 shoal", "? aaa"),
    ("  ", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "shape"), EMAILS)
def test_shape_of_an_address(text, shape):
    assert email_shape(text) == shape


@pytest.mark.parametrize(("text", "shape"), NAMES)
def test_shape_of_a_name(text, shape):
    assert name_shape(text) == shape


def test_long_texts_are_cut():
    assert email_shape("a." * 60) == "a." * (MOST_PIECES // 2) + "~"
    assert email_shape("x" * 100_000) == "aaaa"
    assert name_shape(" ".join("ab" * 40)) == "a " * (MOST_PIECES // 2) + "~"


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_a_shape_never_holds_the_text(text):
    for shape in (email_shape(text), name_shape(text)):
        assert shape is None or (shape and set(shape) <= set("aAox9.-_+'? ~") and len(shape) <= 5 * MOST_PIECES + 1)


@given(st.text("abcdefgh", min_size=5, max_size=8), st.text("qrstuvwx", min_size=5, max_size=8))
@settings(max_examples=50, deadline=None)
def test_texts_of_one_pattern_have_one_shape(one, other):
    assert email_shape(f"{one}.{other}12@x") == email_shape(f"{other}.{one}98@y") == "aaa.aaa99"
