"""The shape of a name or of an e-mail address: its pattern, never its text.

Accounts made in bulk are named by a template (`anna.keller84`, `anna.weber17`, …), people are not. What tells the two
apart is the pattern, so that is what an event carries, as `attributes.email_shape` and `attributes.name_shape` of
`account.created`: letters become `a` (`A` for a capital, `o` in scripts without case), digits `9`, and the length of a
run only its class, so that a shape says nothing about who it is. Whoever writes the events computes both where the
texts are, and need not pass the texts on. Pure functions; the tables of their tests are their specification.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

LENGTHS = (1, 4, 8)
"""Upper ends of the classes of a run of letters: 1, 2 to 4, 5 to 8, 9 and more letters are written as 1, 2, 3, 4."""
MOST_DIGITS = 5
"""Digits are written one for one up to here: 4 are often a year, 5 stand for all longer runs."""
MIXED = 4
"""Parts from which a word of letters and digits in turn (`k3x9q2`) counts as drawn at random, and is written as `x`."""
MOST_TEXT = 128
"""Characters that are looked at."""
MOST_PIECES = 12
"""Pieces of a shape; `~` stands for what follows."""
_KEPT = ".-_+'"


def email_shape(address: str) -> str | None:
    """The shape of the local part of an e-mail address (what stands before the last `@`, or all of a text without
    one), in lower case; None where there is nothing before it.

    >>> email_shape("Anna.Keller84@post.example"), email_shape("jkeller"), email_shape("k3x9q2zz1@post.example")
    ('aa.aaa99', 'aaa', 'xxxx')
    """
    local, at, _ = address.strip().rpartition("@")
    text = _plain(local if at else address).lower()
    return _written([piece for word in text.split() for piece in _pieces(word, cased=False)])


def name_shape(name: str) -> str | None:
    """The shape of a displayed name, with its capitals; words stand apart by one space. None of an empty one.

    >>> name_shape("Anna Keller"), name_shape("anna  keller"), name_shape("USER 4711"), name_shape("安娜")
    ('Aaa Aaaa', 'aa aaa', 'AA 9999', 'oo')
    """
    pieces: list[str] = []
    for word in _plain(name).split():
        pieces += [" "] * bool(pieces) + list(_pieces(word, cased=True))
    return _written(pieces)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text.strip()[:MOST_TEXT])


def _kind(character: str) -> str:
    if character.isdecimal():
        return "9"
    return "a" if unicodedata.category(character)[0] in "LM" else character


def _runs(word: str) -> Iterator[tuple[str, str]]:
    """Runs of letters (`a`) and of digits (`9`), and every other character for itself."""
    begin = 0
    for at in range(1, len(word) + 1):
        kind = _kind(word[begin])
        if at == len(word) or _kind(word[at]) != kind or kind not in ("a", "9"):
            yield kind, word[begin:at]
            begin = at


def _pieces(word: str, *, cased: bool) -> Iterator[str]:
    """The pieces of a word's shape: one a run, or one for a stretch that mixes letters and digits."""
    stretch: list[tuple[str, str]] = []
    for kind, run in [*_runs(word), ("", "")]:
        if kind in ("a", "9") and run:
            stretch.append((kind, run))
            continue
        if len(stretch) >= MIXED:
            yield "x" * _length(sum(len(part) for _, part in stretch))
        else:
            for of, part in stretch:
                yield "9" * min(len(part), MOST_DIGITS) if of == "9" else _letters(part, cased)
        stretch = []
        if run:
            yield kind if kind in _KEPT else "?"


def _letters(run: str, cased: bool) -> str:
    size = _length(len(run))
    if run.upper() == run.lower():
        return "o" * size
    if not cased or not run[0].isupper():
        return "a" * size
    if len(run) == 1:
        return "A"
    return "A" * size if run.isupper() else "A" + "a" * size


def _length(count: int) -> int:
    return 1 + sum(count > end for end in LENGTHS)


def _written(pieces: list[str]) -> str | None:
    if not pieces:
        return None
    return "".join(pieces[:MOST_PIECES]) + "~" * (len(pieces) > MOST_PIECES)
