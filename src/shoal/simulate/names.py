"""Names that people give themselves when they sign up, and the templates of those who sign up in bulk.

A name follows from the account's code alone, so that it shifts nothing else in the world. No text leaves the
simulator: an event carries the shapes of both (`events.shapes`), as a careful service would. `NameBook` holds the
templates of the world's attacks; `People` owns it. The weights of honest forms are assumptions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from shoal.events.shapes import email_shape, name_shape
from shoal.simulate.draws import Bools, Ints, generator, mix


def _list(text: str) -> list[str]:
    return text.split()


GIVEN = _list(
    "ada al amy ana anna anton ben bo carla carlos chen chris clara daniel david diego elena eli emma eva felix finn"
    " giulia hana hugo ida igor ines jack jan jo john jonas julia kai katharina kim lars laura lea leo lina lucas luis"
    " maria mariana mark marta mateo max mei mia mila mohamed nina noah nora olga oliver omar paul pedro peter priya"
    " rosa sam sara sebastian sofia stefan theo thomas tim tom vera victoria wei william yara yuki zoe alexander"
    " christina francesca jonathan margarethe"
)
SURNAMES = _list(
    "abe ali andersen bauer becker bianchi brown carvalho chen costa cruz diaz dubois eriksen evans fernandez ferrari"
    " fischer fox garcia gomez green hansen hartmann hoffmann horvat ivanova jansen jensen johnson jones kaya keller"
    " khan kim klein kowalski kumar lee lehmann lopez martin martinez meyer miller moreau mueller murphy nagy nguyen"
    " novak olsen papadopoulos park patel pereira perez popescu richter rossi roux russo ryan santos schmidt"
    " schneider schwarzenberg silva singh smith suzuki svensson takahashi taylor vandenberg virtanen wagner walker"
    " wang weber williams wilson wood wu yilmaz young zhang zimmermann"
)
WORDS = _list(
    "sunny tiger pixel lucky panda mango rocket shadow ninja coffee guitar flower moon star wolf ocean river cloud"
    " happy little cosmic velvet maple pepper"
)
_TWIST = "0123456789abcdefghijklmnopqrstuvwxyz"

HONEST = (
    # share, local part: g given, s surname, i and j their initials, w word, digits one for one, r drawn at random
    (21.0, "g.s"), (11.0, "gs"), (8.0, "gs99"), (6.0, "g.s99"), (4.0, "g_s"), (6.0, "g99"), (5.0, "g9999"),
    (3.0, "g999"), (6.0, "is"), (4.0, "is99"), (4.0, "s.g"), (2.0, "g-s"), (2.0, "gj"), (2.0, "gj99"), (4.0, "ww"),
    (4.0, "w99"), (3.0, "w9"), (3.0, "s"), (2.0, "g.s9"), (1.0, "i.s"), (1.0, "ww9999"), (1.0, "rrrrrrrrr"),
)  # fmt: skip
OFFICES = ("g.s", "is", "g")
"""How an organisation writes its members' addresses: one form each."""
HONEST_NAMES = (
    (66.0, "G S"), (9.0, "g s"), (7.0, "G"), (4.0, "g"), (4.0, "G J."), (3.0, "GG SS"), (3.0, "G G S"), (2.0, "W99"),
    (1.0, "w9"), (1.0, "S"),
)  # fmt: skip
"""What they call themselves: capitals begin with one, doubled letters are all capitals."""
TEMPLATES = ("g9999", "g.s99", "gs999", "w9999", "rrrrrrrrrr", "ww99", "s.g9999", "i.s999")
TEMPLATE_NAMES = ("G S", "G S", "G", "g s", "W9999")


@dataclass(frozen=True)
class Naming:
    """How an attack names its accounts."""

    local: str
    name: str


@dataclass
class NameBook:
    """The namings of a world's attacks, and which account has which (-1: a name as people have them)."""

    seed: int
    namings: list[Naming] = field(default_factory=list)
    of_attack: dict[str, int] = field(default_factory=dict)

    def template(self, attack: str) -> int:
        """The naming of an attack, drawn from a generator of its own when first asked for."""
        if attack not in self.of_attack:
            rng = generator(self.seed, "naming", attack)
            local, name = (words[int(rng.integers(0, len(words)))] for words in (TEMPLATES, TEMPLATE_NAMES))
            self.of_attack[attack] = len(self.namings)
            self.namings.append(Naming(local, name))
        return self.of_attack[attack]

    def draw(self, attack: str, size: int, varied: float, made: int) -> Ints:
        """The naming of each of `size` accounts of an attack that has made `made` before: the share `varied` of them
        are named as people are."""
        rng = generator(self.seed, "names", attack, made)
        own: Bools = rng.random(size) < varied
        return np.where(own, -1, self.template(attack)).astype(np.int64)

    def shapes(self, account: int, org: int, naming: int) -> tuple[str, str]:
        """The shapes of an account's e-mail address and name. Both are never empty."""
        word = int(mix(np.array([account]), self.seed * 8 + 44)[0])
        if naming >= 0:
            local, name = self.namings[naming].local, self.namings[naming].name
        else:
            local = OFFICES[org % len(OFFICES)] if org >= 0 else _weighted(HONEST, word & 0xFFFF)
            name = _weighted(HONEST_NAMES, word >> 16 & 0xFFFF)
        parts = _parts(word >> 32, int(mix(np.array([account]), self.seed * 8 + 45)[0]))
        return str(email_shape(_spelled(local.lower(), parts))), str(name_shape(_spelled(name, parts)))


def _weighted(forms: tuple[tuple[float, str], ...], part: int) -> str:
    """A form by its share, `part` being 0 to 65,535."""
    left = part / 65_536 * sum(share for share, _ in forms)
    for share, form in forms:
        left -= share
        if left < 0:
            return form
    return forms[-1][1]


def _parts(word: int, twist: int) -> dict[str, str]:
    given, surname = GIVEN[word % len(GIVEN)], SURNAMES[word // 128 % len(SURNAMES)]
    letters = "".join(_TWIST[(twist >> 6 * at & 63) % len(_TWIST)] for at in range(10))
    return {
        "g": given, "s": surname, "i": given[0], "j": surname[0], "w": WORDS[word // 16_384 % len(WORDS)], "r": letters,
        "9": f"{twist >> 32 & 0xFFFF:05d}",
    }  # fmt: skip


def _spelled(form: str, parts: dict[str, str]) -> str:
    """The text of a form. A letter that stands twice in capitals is a word in capitals; digits and `r` take one
    character each."""
    out, at, used = "", 0, {"9": 0, "r": 0}
    while at < len(form):
        sign = form[at]
        small = sign.lower()
        if sign in used:
            out += parts[sign][used[sign] % len(parts[sign])]
            used[sign] += 1
        elif small not in parts:
            out += sign
        elif sign != small and form[at : at + 2] == sign * 2:
            out, at = out + parts[small].upper(), at + 1
        else:
            out += parts[small].capitalize() if sign != small else parts[small]
        at += 1
    return out
