"""An adversary who is stopped: he waits, tries again, takes another address or account, or gives up.

One `Foe` is one attack of the scenario, with its budget, its planned rows by account, and what became of them. Its
randomness is keyed by the seed, its id and how often it has had to decide, so that the same stops give the same moves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shoal.simulate.catalogue import TYPE
from shoal.simulate.draws import HOUR, MINUTE, Ints
from shoal.simulate.react import clones
from shoal.simulate.react.ledger import AttackLedger
from shoal.simulate.rows import Rows, length, take
from shoal.simulate.scenario import FakeAccounts, LinkAttack
from shoal.simulate.scenario.reactions import Passing
from shoal.simulate.world import World

NEVER = 1 << 62
_LOGIN, _FAILED, _MADE = TYPE["login.succeeded"], TYPE["login.failed"], TYPE["account.created"]
_AUTOMATED = ("destruction",)
"""Kinds whose intruder is a program on the owner's device: it cannot answer a challenge."""
_GUESSERS = ("credential_stuffing", "password_spraying")
Row = dict[str, int]


@dataclass
class Foe:
    """One attack, reacting. `world` is not changed but for the accounts and labels that replacements need."""

    world: World
    index: int
    spec: Any
    codes: clones.Codes
    ledger: AttackLedger
    spares: list[int]
    born: list[Rows] = field(default_factory=list)  # new rows; the world takes them
    _grown: dict[int, Rows] = field(default_factory=dict)  # account → its rows, where some were added
    _arranged: Rows = field(default_factory=dict)
    _spans: dict[int, tuple[int, int]] = field(default_factory=dict)  # account → its rows in `_arranged`
    burned: dict[int, int] = field(default_factory=dict)  # account → since when nothing is done with it
    paused: dict[int, int] = field(default_factory=dict)
    returning: set[int] = field(default_factory=set)  # accounts to which he logs in again after a pause
    retried: dict[int, int] = field(default_factory=dict)
    moved: dict[int, tuple[int, int]] = field(default_factory=dict)  # address → from when another, which
    republished: set[int] = field(default_factory=set)  # links
    entered: set[int] = field(default_factory=set)
    first_stop: int | None = None
    accounts_left: int = 0
    addresses_left: int = 0

    @classmethod
    def of(cls, world: World, index: int, rows: Rows, spares: list[int]) -> Foe:
        """The adversary of `scenario.adversaries[index]`, whose planned rows are `rows`."""
        spec = world.scenario.adversaries[index]
        codes = clones.Codes(world.seed, index, spec.id)
        ledger = AttackLedger(spec.id, spec.kind)
        foe = cls(world, index, spec, codes, ledger, spares)
        foe.accounts_left, foe.addresses_left = spec.budget.accounts, spec.budget.addresses
        units = clones.units_of(rows)
        order = np.argsort(units, kind="stable")
        edges = np.flatnonzero(np.diff(units[order], prepend=-2))
        foe._arranged = take(rows, order)
        ends = [*edges[1:].tolist(), len(order)]
        foe._spans = dict(zip(units[order[edges]].tolist(), zip(edges.tolist(), ends, strict=True), strict=True))
        return foe

    def planned(self, unit: int) -> Rows:
        """All rows of an account, done and still to come; none of one with which nothing was planned."""
        if unit in self._grown:
            return self._grown[unit]
        return take(self._arranged, slice(*self._spans.get(unit, (0, 0))))

    def has(self, unit: int) -> bool:
        """Whether anything was planned with an account."""
        return unit in self._grown or unit in self._spans

    def tries(self, row: Row) -> bool:
        """Whether he does this at all, at this moment; may change the address from which he does it."""
        time, unit = row["time"], row["unit"]
        if self.ledger.stopped_at is not None and time >= self.ledger.stopped_at:
            return False
        if time >= self.burned.get(unit, NEVER) or time < self.paused.get(unit, 0):
            return False
        while row["address"] in self.moved:
            since, address = self.moved[row["address"]]
            if time < since:
                return False
            row["address"] = address
        return True

    def passes(self, passing: Passing, row: Row) -> float:
        """His odds to pass a challenge."""
        if row["unit"] >= self.world.people.honest:
            return passing.own
        if hasattr(self.spec, "passes_challenge"):
            return float(self.spec.passes_challenge)
        if self.spec.kind in _AUTOMATED or (self.spec.kind in _GUESSERS and row["type"] == _LOGIN):
            return passing.automated
        return passing.bulk

    def refused(self, row: Row, why: str, kind: str) -> None:
        """What he tried did not happen: `why` is the effect that stopped him, `kind` the subject it was held on."""
        self.ledger.refused += 1
        time, unit = row["time"], row["unit"]
        if not self._patient(time):
            return
        if kind in ("ip", "network"):
            self._move(row["address"], time)
        elif row["type"] != _FAILED and why != "limit":
            again = self.retried.get(unit, 0)
            useful = why == "ask" or (why == "end" and self._knows_password(unit))
            if useful and again < self.spec.budget.retries:
                self.retried[unit] = again + 1
                self.ledger.retries += 1
                self.paused[unit] = time + self._wait()
                self.returning.add(unit)
            else:
                self.burn(unit, time)

    def link_stopped(self, row: Row) -> None:
        """A visitor found one of his links stopped; it is made anew, by the same owner while he has retries."""
        link, unit, time = row["link"], row["unit"], row["time"]
        if link in self.republished or not self.has(unit) or not self._patient(time):
            return
        self.republished.add(link)
        again, when = self.retried.get(unit, 0), time + self._wait()
        if unit not in self.burned and again < self.spec.budget.retries:
            self.retried[unit] = again + 1
            self.ledger.retries += 1
            self._bear(unit, unit, clones.republished(self.planned(unit), link, time, when, self.codes), when)
        elif self.accounts_left and self.spares:
            self._carry_on(unit, time, when, {link})

    def burn(self, unit: int, time: int) -> None:
        """The account is of no more use to him; another takes its place if the budget has one."""
        if unit in self.burned:
            return
        self.burned[unit] = time
        self.ledger.accounts_burned += 1
        if not self.has(unit) or not self.accounts_left or not self._patient(time):
            return
        when = time + self._wait()
        if unit >= self.world.people.honest or isinstance(self.spec, LinkAttack | FakeAccounts):
            if self.spares:
                self._carry_on(unit, time, when, None)
            return
        victim = self._other_victim(unit)
        if victim is not None and when < self.world.scenario.start + self.world.scenario.days * 24 * HOUR:
            template = self.planned(unit)
            born = clones.other_victim(unit, victim, template, when, self.world.people, self.world.presence, self.codes)
            self.accounts_left -= 1
            self.ledger.accounts_replaced += 1
            self._bear(unit, victim, born, when)

    def _carry_on(self, unit: int, time: int, when: int, links: set[int] | None) -> None:
        account = self.spares.pop(0)
        template = self.planned(unit)
        born = clones.other_account(unit, account, template, time, when, self.codes, links)
        self.accounts_left -= 1
        self.ledger.accounts_replaced += 1
        self.world.people.created[account] = when
        self._bear(unit, account, born, when)

    def _bear(self, old: int, new: int, born: Rows, when: int) -> None:
        """New rows go into the world, and their labels into the truth."""
        if not length(born):
            return
        self.born.append(born)
        before = self.planned(new)
        first = int(self.planned(old)["time"].min())
        self._grown[new] = {name: np.concatenate([column, born[name]]) for name, column in before.items()}
        names: dict[tuple[str, int], int] = {("account", old): new} if new != old else {}
        if new != old:
            self.world.attacks.groups.takes_over(old, new, self.spec.id)
        rows = self.world.attacks.labels.rows
        rows += clones.labels_of(rows, self.spec.id, names, when - first)
        for link, time in zip(
            *(born[n][born["type"] == TYPE["link.created"]].tolist() for n in ("link", "time")), strict=True
        ):
            rows.append(("link", link, self.spec.kind, time, None, time, self.spec.id))

    def _other_victim(self, old: int) -> int | None:
        """An honest account that this adversary has not had, and nobody else plans to have."""
        people = self.world.people
        fit = people.rate[: people.settled] > 0.1
        fit &= people.library[: people.settled] > 0
        if self._knows_password(old):
            fit &= ~(people.sso | people.passkey)[: people.settled]
        taken = {row[1] for row in self.world.attacks.labels.rows if row[0] == "account"}
        taken |= self.entered | set(self._grown)
        pool = np.setdiff1d(np.flatnonzero(fit), np.array(sorted(taken), dtype=np.int64))
        return int(self.codes.rng().choice(pool)) if len(pool) else None

    def _move(self, address: int, time: int) -> None:
        """The address is burned: another of the same origin takes its place after a while."""
        if address in self.moved or address < 0 or not self.addresses_left:
            return
        other = self._other_address(address)
        self.ledger.addresses_burned += 1
        if other is not None:
            self.addresses_left -= 1
            self.ledger.addresses_replaced += 1
            self.moved[address] = (time + self._wait(), other)

    def _other_address(self, address: int) -> int | None:
        book = self.world.book
        pool: Ints = np.flatnonzero(book.kind == book.kind[address])
        used = set(self.moved) | {other for _, other in self.moved.values()} | {address}
        rng = self.codes.rng()
        for _ in range(20):
            other = int(pool[rng.integers(0, len(pool))])
            if other not in used:
                return other
        return None

    def _patient(self, time: int) -> bool:
        if self.first_stop is None:
            self.first_stop = time
        if time - self.first_stop > self.spec.budget.patience_h * HOUR and self.ledger.stopped_at is None:
            self.ledger.stopped_at = time
        return self.ledger.stopped_at is None

    def _wait(self) -> int:
        return MINUTE + int(self.codes.rng().exponential(self.spec.budget.delay_min) * MINUTE)

    def _knows_password(self, unit: int) -> bool:
        plan = self.planned(unit)
        return bool(np.any(((plan["type"] == _LOGIN) | (plan["type"] == _MADE)) & (plan["harmful"] > 0)))
