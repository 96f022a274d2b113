"""How an adversary begins again: with another victim, another account of his own, or the same link made anew.

Every function takes planned rows of one attack and gives new ones: the same deed at another time, with other codes.
What a burned account had still before it is carried over, so that a stopped adversary does not reach more people than
he had planned to reach; only an intruder with another victim begins from the beginning.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from shoal.simulate.catalogue import TYPE
from shoal.simulate.draws import MINUTE, Ints, generator
from shoal.simulate.honest.actions import file_code
from shoal.simulate.honest.presence import Presence
from shoal.simulate.people import DEVICES, People, device_code
from shoal.simulate.render import LIBRARY_BITS
from shoal.simulate.rows import Rows, concat, length, take
from shoal.simulate.truth import MARK

RECOVERY = MARK["recovery"]
VISITS = np.array([TYPE[name] for name in ("link.visited", "link.downloaded", "abuse.reported")])
_ENTRY = np.array([TYPE[n] for n in ("account.created", "session.started", "login.failed", "login.succeeded",
                                     "challenge.issued", "challenge.passed", "challenge.failed")])  # fmt: skip
_LINKED = TYPE["link.created"]


def units_of(block: Rows) -> Ints:
    """The account by which each row of an attack stands or falls: who acts; of visits by honest people the owner."""
    visit = np.isin(block["type"], VISITS) & (block["harmful"] == 0)
    by_account = np.where(block["account"] >= 0, block["account"], block["actor"])
    return np.where(visit, block["owner"], by_account).astype(np.int64)


@dataclass
class Codes:
    """New numbers and codes of one attack, which nobody else has."""

    seed: int
    index: int
    name: str
    used: int = 0
    draws: int = field(default=0)

    def numbers(self, size: int) -> Ints:
        """Numbers of rows."""
        return self._next((1 << 55) + (self.index << 36) + (1 << 35), size)

    def codes(self, size: int) -> Ints:
        """Codes of sessions, devices, links."""
        return self._next((1 << 56) + (self.index << 36) + (1 << 35), size)

    def _next(self, base: int, size: int) -> Ints:
        first = base + self.used
        self.used += size
        return np.arange(first, first + size, dtype=np.int64)

    def rng(self) -> np.random.Generator:
        """A generator for the next decision of this adversary."""
        self.draws += 1
        return generator(self.seed, "react", self.name, self.draws)


def other_victim(
    old: int, new: int, template: Rows, when: int, people: People, presence: Presence, codes: Codes
) -> Rows:
    """The whole deed against another victim, from `when` on; the intruder's own things are new, the victim's are the
    new victim's."""
    out = {name: column.copy() for name, column in template.items()}
    out["time"] = out["time"] + (when - int(out["time"].min()))
    for name in ("actor", "account", "owner"):
        out[name][out[name] == old] = new
    own_device, own_session = (
        device_code(np.array([old, new]), np.zeros(2, np.int64), np.zeros(2, np.int64)),
        ((1 << 57) + np.array([old, new]) * DEVICES),
    )
    _rename(out, "device", codes, {int(own_device[0]): int(own_device[1])})
    _rename(out, "session", codes, {int(own_session[0]): int(own_session[1])})
    at_home = (out["mark"] == RECOVERY) | (template["device"] == own_device[0])
    if at_home.any():
        who = np.full(int(at_home.sum()), new, dtype=np.int64)
        out["address"][at_home] = presence.home_address(who, out["time"][at_home])
    number = out["file"] & ((1 << LIBRARY_BITS) - 1)
    own = (out["file"] >= 0) & (out["file"] >> LIBRARY_BITS == old)
    library = max(int(people.library[new]), 1)
    planned = int(people.library[old])
    out["file"][own] = file_code(
        np.full(int(own.sum()), new), np.where(number[own] < planned, number[own] % library, number[own])
    )
    folders = out["resource"] >= 0
    out["resource"][folders] = new * 64 + out["resource"][folders] % 64
    out["number"] = codes.numbers(length(out))
    return out


def other_account(
    old: int, new: int, template: Rows, stopped_at: int, when: int, codes: Codes, links: set[int] | None
) -> Rows:
    """What an account of the adversary's own had still before it, carried on by another that signs up at `when`.
    `links`: only these are made anew, although they were made already; None: all that is still to come."""
    entry = np.isin(template["type"], _ENTRY) & (template["harmful"] > 0)
    first = take(template, entry)
    parts = []
    if length(first):
        first = {**first, "time": first["time"] + (when - int(first["time"].min()))}
        parts.append(first)
    rest = take(template, ~entry & (template["mark"] != RECOVERY))
    parts.append(_rest(rest, stopped_at, when + MINUTE, links or set(), others=links is None))
    out = concat(parts)
    if new != old:
        for name in ("actor", "account", "owner"):
            out[name][out[name] == old] = new
        _rename(out, "session", codes, {}, harmful=True)
    made = np.unique(out["link"][out["type"] == _LINKED])
    _rename(out, "link", codes, {}, only=set(made.tolist()))
    out["number"] = codes.numbers(length(out))
    return out


def republished(template: Rows, link: int, stopped_at: int, when: int, codes: Codes) -> Rows:
    """A stopped link made anew by the same owner; who would still have come to the old one comes to the new one."""
    rest = take(template, ~np.isin(template["type"], _ENTRY) & (template["mark"] != RECOVERY))
    out = _rest(rest, stopped_at, when, {link}, others=False)
    _rename(out, "link", codes, {}, only={link})
    out["number"] = codes.numbers(length(out))
    return out


def _rest(rest: Rows, stopped_at: int, when: int, links: set[int], *, others: bool = True) -> Rows:
    """Rows after `stopped_at` and `when`; the making of `links` moved to `when`, of later ones not before it."""
    time, file, link, kind = rest["time"], rest["file"], rest["link"], rest["type"]
    again = np.isin(link, list(links))
    making = np.flatnonzero((kind == _LINKED) & (again | (others & (time > stopped_at))))
    upload = kind == TYPE["file.uploaded"]
    chosen: list[int] = []
    moved: list[int] = []
    opened = np.full(length(rest), 1 << 62, dtype=np.int64)
    for place in making.tolist():
        shift = max(0, when + 2 * MINUTE - int(time[place]))
        before = np.flatnonzero(upload & (file == file[place]) & (time <= time[place]))
        both = [*before[np.argsort(time[before])][-1:].tolist(), place]
        chosen += both
        moved += [int(time[one]) + shift for one in both]
        opened[link == link[place]] = int(time[place]) + shift
    visits = (link >= 0) & (kind != _LINKED)
    later = time > stopped_at
    kept = visits & later & (time > opened)
    if others:  # the rest of his life: as planned, once he is there again; joint visits of links that others made
        strange = visits & ~np.isin(link, link[kind == _LINKED])
        kept |= ((~visits & ~upload & (kind != _LINKED)) | strange) & later & (time > when)
    rows = np.concatenate([np.array(chosen, dtype=np.int64), np.flatnonzero(kept)])
    times = np.concatenate([np.array(moved, dtype=np.int64), time[kept]])
    return {**take(rest, rows), "time": times}


def _rename(
    out: Rows, column: str, codes: Codes, known: dict[int, int], *, only: set[int] | None = None, harmful: bool = False
) -> None:
    """Other codes for the codes of a column: as `known` says, else new ones. Those of honest people stay."""
    mine = (out[column] >= 0) & (out["mark"] != RECOVERY)
    if only is None or harmful:
        mine &= out["harmful"] > 0
    if only is not None:
        mine = (out[column] >= 0) & np.isin(out[column], list(only))
    old = np.unique(out[column][mine])
    fresh = codes.codes(len(old))
    table = {int(a): known.get(int(a), int(b)) for a, b in zip(old, fresh, strict=True)}
    out[column][mine] = np.array([table[int(a)] for a in out[column][mine]], dtype=out[column].dtype)


Label = tuple[str, int, str, int, int | None, int, str | None]


def labels_of(labels: list[Label], attack: str, old: dict[tuple[str, int], int], shift: int) -> list[Label]:
    """Labels of an attack's subjects for the subjects that took their place, `shift` µs later."""
    out: list[Label] = []
    for kind, subject, what, start, end, known, name in labels:
        new = old.get((kind, subject)) if name == attack else None
        if new is not None:
            out.append((kind, new, what, start + shift, None if end is None else end + shift, known + shift, name))
    return out
