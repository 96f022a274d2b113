"""What every adversary needs: his own randomness, times, addresses, devices, agents, accounts and code numbers.

One `Stage` is one adversary's instance. Its generator is keyed by the seed and the instance's id, not by its place in
the file, so that an attack is the same whichever others stand beside it (codes of accounts and numbers aside).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shoal.simulate.addresses import AddressBook
from shoal.simulate.catalogue import CLIENTS, MAIL_DOMAINS, MAIL_WEIGHTS, SCRIPT_CLIENT, VERSIONS
from shoal.simulate.communities import GroupBook
from shoal.simulate.draws import DAY, HOUR, MINUTE, Bools, Ints, generator, micros, pick
from shoal.simulate.honest.presence import Presence, book_country
from shoal.simulate.people import DEVICES, People, agent_code, device_code
from shoal.simulate.rows import Rows, rows
from shoal.simulate.scenario import Scenario
from shoal.simulate.truth import MARK, LabelBook

_BROWSER = 0
"""The commonest browser: the first of `CLIENTS`."""
_WEB_AGENTS = np.array([c.weight if c.client == "web" else 0.0 for c in CLIENTS])


class Stage:
    """One adversary at work."""

    def __init__(
        self, scenario: Scenario, seed: int, people: People, book: AddressBook, presence: Presence,
        labels: LabelBook, suffixes: list[str], index: int, adversary: Any,
    ) -> None:  # fmt: skip
        self.scenario, self.seed, self.people, self.book = scenario, seed, people, book
        self.presence, self.labels, self.suffixes = presence, labels, suffixes
        self.index, self.adversary = index, adversary
        self.rng = generator(seed, "adversary", adversary.id)
        self.start = scenario.start + int(adversary.start_day * DAY)
        self.end = self.start + int(adversary.days * DAY)
        self.world_end = scenario.start + scenario.days * DAY
        self.mark, self.recovery = MARK[adversary.kind], MARK["recovery"]
        self.victim_kind = "account_takeover"
        """Kind of the labels of hijacked accounts."""
        self.since: dict[int, int] = {}
        """From when on a hijacked account is under attack (µs), where that is before the login."""
        self._next = (1 << 56) + (index << 36)
        self._named = 0
        self.groups = GroupBook()
        """Who belongs to which cell; of all adversaries together, once the world plans them."""

    def codes(self, size: int) -> Ints:
        """Numbers that nobody else has: for sessions, devices, links, folders."""
        first = self._next
        self._next += size
        return np.arange(first, first + size, dtype=np.int64)

    def moments(self, size: int, steady: float = 1.0) -> Ints:
        """Times in the attack's span, sorted: a share `steady` spread evenly, the others in a few bursts."""
        span, rng = self.end - self.start, self.rng
        even = self.start + (rng.random(size) * span).astype(np.int64)
        bursts = max(1, int(np.ceil((self.end - self.start) / DAY)))
        width = min(45 * MINUTE, span)
        begins = self.start + (rng.random(bursts) * (span - width)).astype(np.int64)
        dense = begins[rng.integers(0, bursts, size)] + (rng.random(size) * width).astype(np.int64)
        return np.sort(np.where(rng.random(size) < steady, even, dense))

    def known(self, harm: int) -> int:
        """When a label about harm at this time would be known."""
        return int(harm + self.rng.exponential(max(self.adversary.known_after_h, 1e-6)) * HOUR)

    def label(self, subject_type: str, subject: int, kind: str, start: int, end: int | None) -> None:
        """A label of this attack, unless it lies after the end of the world."""
        if start < self.world_end:
            self.labels.add(subject_type, subject, kind, start, end, self.known(start), self.adversary.id)

    def victims(self, size: int, *, password: bool = True, files: int = 0) -> Ints:
        """Honest accounts that exist at the start and are in use; distinct; fewer if there are not so many."""
        people = self.people
        fit = people.rate[: people.settled] > 0.1
        if password:
            fit &= ~(people.sso | people.passkey)[: people.settled]
        fit &= people.library[: people.settled] >= files
        pool = np.flatnonzero(fit)
        chosen: Ints = np.sort(self.rng.permutation(pool)[:size])
        return chosen

    def pool(self, origin: str, size: int, systems: int = 0) -> Ints:
        """Up to `size` distinct addresses of that origin, of at most `systems` autonomous systems (0: of any)."""
        book = self.book
        source = {
            "hosting": book.hosting.ravel(),
            "vpn": book.vpn.ravel(),
            "residential": book.residential,
            "mobile": (book.carriers.ravel()[:, None] + np.arange(book.carrier_size)[None, :]).ravel(),
        }[origin]
        if systems:
            known = np.unique(book.asn[source])
            source = source[np.isin(book.asn[source], self.rng.permutation(known)[:systems])]
            return self.rng.permutation(source)[:size]
        if origin == "hosting" and size < book.hosting.shape[1]:  # few machines: at one company, near one another
            row: Ints = book.hosting[int(self.rng.integers(0, len(book.hosting)))]
            machines: Ints = row[self.rng.permutation(min(len(row), size * 3))[:size]]
            return machines
        if size * 4 > len(source):
            return self.rng.permutation(source)[:size]
        return np.unique(source[self.rng.integers(0, len(source), size)])

    def near(self, origin: str, how: str, victims: Ints) -> Ints:
        """An address of that origin for each victim, as near to it as `how` says."""
        book, people, rng, size = self.book, self.people, self.rng, len(victims)
        any_of = self.pool(origin, max(size * 2, 16))
        anywhere = any_of[rng.integers(0, len(any_of), size)]
        if how == "anywhere":
            return anywhere
        city = people.home[victims]
        country = book_country(book, self.scenario, city)
        if origin == "mobile":
            carrier = rng.integers(0, book.carriers.shape[1], size)
            return book.carriers[country, carrier] + rng.integers(0, book.carrier_size, size)
        if origin in ("vpn", "hosting"):
            return self._in_country((book.vpn if origin == "vpn" else book.hosting).ravel(), country, anywhere)
        if how == "country":
            cities = [
                np.flatnonzero(book_country(book, self.scenario, np.arange(len(self.scenario.homes))) == c)
                for c in country
            ]
            city = np.array([int(rng.choice(options)) for options in cities], dtype=np.int64).reshape(size)
        address = self.presence.city_address(rng, city)
        if how == "network":
            own = self.presence.home_address(victims, np.full(size, self.start))
            for _ in range(12):  # again until it is the victim's provider
                other = book.asn[address] != book.asn[own]
                address = np.where(other, self.presence.city_address(rng, city), address)
        return address

    def _in_country(self, source: Ints, country: Ints, anywhere: Ints) -> Ints:
        out = anywhere.copy()
        for code in np.unique(country).tolist():
            there = source[self.book.country[source] == code]
            rows = np.flatnonzero(country == code)
            if len(there):
                out[rows] = there[self.rng.integers(0, len(there), len(rows))]
        return out

    def agents(self, tool: str, size: int, victims: Ints | None = None, time: Ints | None = None) -> Ints:
        """User agents: a script's, drawn as people's, or those of the victims' own first device."""
        if tool == "none":
            return np.full(size, SCRIPT_CLIENT * VERSIONS + 3, dtype=np.int64)
        time = np.full(size, self.start) if time is None else time
        if tool == "single":
            return np.full(size, _BROWSER * VERSIONS + 2 + self.index % 3, dtype=np.int64)
        if tool == "victim" and victims is not None:
            known = np.minimum(victims, self.people.honest - 1)
            device = device_code(known, np.zeros(size, np.int64), np.zeros(size, np.int64))
            return agent_code(self.people.family[known, 0], device, self.scenario.start, time)
        family = pick(self.rng, _WEB_AGENTS, size)
        return agent_code(family, self.rng.integers(0, 1 << 60, size), self.scenario.start, time)

    def accounts(self, created: Ints, address: Ints, domain: Ints | int | None = None) -> Ints:
        """New accounts of the adversary, at home where their address is."""
        mail = pick(self.rng, MAIL_WEIGHTS, len(created)) if domain is None else domain
        varied = getattr(self.adversary, "varied_names", None)
        naming: Ints | int = -1
        if varied is not None:
            naming = self.people.names.draw(self.adversary.id, len(created), varied, self._named)
            self._named += len(created)
        return self.people.add(created, self.book.city[address], mail, naming=naming)

    def joined(
        self, created: Ints, address: Ints, device: Ints, agent: Ints, mail: Ints | int | None = None,
        method: str = "email",
    ) -> tuple[list[Rows], Rows]:  # fmt: skip
        """Accounts that sign up for the attack: their rows, and the columns that tell who acts."""
        size, rng = len(created), self.rng
        account = self.accounts(created, address, mail)
        who: Rows = {
            "actor": account, "account": account, "session": self.codes(size), "device": device,
            "address": address, "agent": agent,
        }  # fmt: skip
        said = {"method": method, "domain": self.people.mail[account], "outcome": "success"}
        out = [rows("account.created", created, **who, **said, **self.truth())]
        begun = created + micros(rng.uniform(1, 4, size))
        out.append(rows("session.started", begun, **who, **self.truth()))
        return out, who

    def own(self, accounts: Ints, time: Ints) -> Rows:
        """Who acts, where an honest account's own first device acts from where its owner is."""
        size = len(accounts)
        none = np.zeros(size, np.int64)
        family, device = self.people.family[accounts, 0], device_code(accounts, none, none)
        return {
            "actor": accounts, "account": accounts, "session": (1 << 57) + accounts * DEVICES, "device": device,
            "address": self.presence.address(self.rng, accounts, time, family),
            "agent": agent_code(family, device, self.scenario.start, time),
        }  # fmt: skip

    def common_mail(self, size: int) -> Ints:
        """Domains of common mail providers."""
        return self.rng.integers(0, len(MAIL_DOMAINS), size)

    def suffix(self, text: str) -> int:
        """The code of a file-name suffix."""
        if text not in self.suffixes:
            self.suffixes.append(text)
        return self.suffixes.index(text)

    def harmless(self, part: Rows) -> Rows:
        """Marks rows of honest people, or of the service, as belonging to this attack."""
        size = len(part["time"])
        return {**part, "mark": np.full(size, self.mark, np.int8), "harmful": np.zeros(size, np.int8)}

    def truth(self, harmful: bool | Bools = True) -> dict[str, Any]:
        """The columns that mark rows as this attack's."""
        return {"mark": self.mark, "harmful": harmful}
