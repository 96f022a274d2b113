"""Names of accounts: people's are many, a template's few; all follow from the account's code."""

from collections import Counter

import pytest

from shoal.events.shapes import email_shape
from shoal.simulate.names import (
    GIVEN,
    HONEST,
    HONEST_NAMES,
    OFFICES,
    SURNAMES,
    TEMPLATE_NAMES,
    TEMPLATES,
    NameBook,
    Naming,
    _spelled,
)

PARTS = {"g": "anna", "s": "keller", "i": "a", "j": "k", "w": "tiger", "r": "k3x9q2zz1b", "9": "84071"}


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("g.s99", "anna.keller84"),
        ("gs9999", "annakeller8407"),
        ("is", "akeller"),
        ("gj99", "annak84"),
        ("ww9", "tigertiger8"),
        ("rrrr", "k3x9"),
        ("G S", "Anna Keller"),
        ("GG SS", "ANNA KELLER"),
        ("G J.", "Anna K."),
        ("W99", "Tiger84"),
        ("g-s", "anna-keller"),
        ("9999999", "8407184"),
    ],
)
def test_forms_are_spelled(form, text):
    assert _spelled(form, PARTS) == text


def test_every_form_has_shapes():
    for form in [*(f for _, f in HONEST), *OFFICES, *TEMPLATES]:
        assert email_shape(_spelled(form, PARTS))
    book = NameBook(1)
    for name in [*(f for _, f in HONEST_NAMES), *TEMPLATE_NAMES]:
        book.namings = [Naming("g", name)]
        assert all(book.shapes(7, -1, 0))
    assert all(word.isalpha() and word.islower() for word in (*GIVEN, *SURNAMES))


def test_people_have_many_shapes_and_templates_few():
    book = NameBook(5)
    honest = Counter(book.shapes(code, -1, -1)[0] for code in range(4000))
    assert len(honest) > 40
    assert honest.most_common(1)[0][1] < 4000 * 0.2
    for place in range(20):
        naming = book.template(f"attack-{place}")
        made = Counter(book.shapes(code, -1, naming)[0] for code in range(1000))
        assert made.most_common(1)[0][1] > 300
    assert len({naming.local for naming in book.namings}) > 3
    office = Counter(book.shapes(code, 4, -1)[0] for code in range(1000))
    assert len(office) < 15


def test_names_follow_from_code_and_seed():
    one, again, other = NameBook(5), NameBook(5), NameBook(6)
    assert [one.shapes(c, -1, -1) for c in range(50)] == [again.shapes(c, -1, -1) for c in range(50)]
    assert [one.shapes(c, -1, -1) for c in range(50)] != [other.shapes(c, -1, -1) for c in range(50)]
    assert one.template("b") == 0
    assert again.template("a") == 0
    assert again.namings[again.template("b")] == one.namings[0]  # whichever is asked for first


def test_varied_names():
    book = NameBook(5)
    assert set(book.draw("a", 50, 1.0, 0)) == {-1}
    assert set(book.draw("a", 50, 0.0, 0)) == {0}
    some = book.draw("a", 2000, 0.3, 0)
    assert 0.25 < (some == -1).mean() < 0.35
    assert (book.draw("a", 2000, 0.3, 2000) != some).any()
