"""The accounts of an operation: how they came to be, in which cell, with which addresses, devices, cards and names.

Sign-ups are dealt out to cells in order of time, so that a cell is made at one sitting where they come in bursts.
Addresses, devices, cards, telephones and templates belong to a cell; no two cells share any.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoal.simulate.adversaries.intruder import Entries, login_rows
from shoal.simulate.adversaries.stage import Stage
from shoal.simulate.catalogue import CLIENTS, CODE, MAIL_DOMAINS, MAIL_WEIGHTS, VERSIONS
from shoal.simulate.draws import DAY, MINUTE, SECOND, Ints, generator, micros, pick, rank_within
from shoal.simulate.honest.means import KINDS
from shoal.simulate.people import agent_code
from shoal.simulate.rows import Rows, concat, extra, rows

FRESH, AGED, HIJACKED = range(3)
ROLES = ("fresh", "aged", "hijacked")
_CARDS = 1 << 43
"""Cards, telephones and recovery addresses of operations have codes from here on."""
_WEB = np.array([c.weight if c.client == "web" and not c.phone else 0.0 for c in CLIENTS])
_APPS = np.array([c.weight if c.client == "mobile" else 0.0 for c in CLIENTS])
NEVER = 1 << 62


@dataclass
class Crew:
    """Arrays by member, [members]; by cell, and in it by time of sign-up."""

    account: Ints
    created: Ints  # µs; of hijacked ones the moment of the login
    ready: Ints  # from when it acts with the others
    until: Ints  # when an owner is back
    cell: Ints
    role: Ints
    session: Ints
    device: Ints
    agent: Ints
    addresses: Ints  # [members, 3]

    def __len__(self) -> int:
        return len(self.account)

    def who(self, rng: np.random.Generator, at: Ints, rotation: float) -> Rows:
        """Who acts, from which of the member's addresses."""
        turn = np.where(rng.random(len(at)) < rotation, rng.integers(0, self.addresses.shape[1], len(at)), 0)
        return {
            "actor": self.account[at], "account": self.account[at], "session": self.session[at],
            "device": self.device[at], "address": self.addresses[at, turn], "agent": self.agent[at],
        }  # fmt: skip


def gather(stage: Stage) -> tuple[list[Rows], Crew]:
    """All members, and the rows of their sign-ups and of logins to hijacked accounts."""
    spec, rng, size = stage.adversary, stage.rng, stage.adversary.accounts
    role = np.full(size, FRESH)
    chosen = rng.permutation(size)
    hijacked = round(size * spec.hijacked_share)
    role[chosen[:hijacked]] = HIJACKED
    role[chosen[hijacked : hijacked + round(size * spec.aged_share)]] = AGED
    cell = np.arange(size) // (spec.cell_size or size)
    created = stage.moments(size, spec.steady)
    before = stage.scenario.start - (np.exp(rng.normal(np.log(120), 0.9, size)) * DAY).astype(np.int64)
    created = np.where(role == AGED, before, created)
    address, device, agent, mutated = _means_of_work(stage, cell)
    account = np.full(size, -1, dtype=np.int64)
    victims = np.flatnonzero(role == HIJACKED)
    taken = rng.permutation(stage.victims(len(victims)))
    account[victims[: len(taken)]] = taken
    own = np.flatnonzero(role != HIJACKED)
    mail, naming = _names(stage, cell, mutated)
    account[own] = stage.people.add(
        created[own], stage.book.city[address[own, 0]], mail[own], naming=naming[own]
    )  # fmt: skip
    sleep = (rng.exponential(max(spec.sleep_days, 1e-3), size) * DAY).astype(np.int64)
    begin = np.maximum(created, stage.start)
    until = np.where(role == HIJACKED, begin + (rng.uniform(1, 4, size) * DAY).astype(np.int64), NEVER)
    ready = np.where(role == HIJACKED, begin, begin + sleep) + 10 * MINUTE
    crew = Crew(account, created, ready, until, cell, role, stage.codes(size), device, agent, address)
    rows_of_entry, inside = _enter(stage, crew, np.flatnonzero((role == HIJACKED) & (account >= 0)))
    kept = np.sort(np.concatenate([own, inside]))
    crew = Crew(*(getattr(crew, name)[kept] for name in Crew.__dataclass_fields__))
    _label(stage, crew)
    return [_sign_ups(stage, crew), *rows_of_entry], crew


def _means_of_work(stage: Stage, cell: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Addresses [members, 3], device and agent of each member, and which of name, client and mail domain it varies
    [members, 3]."""
    spec, rng, size = stage.adversary, stage.rng, len(cell)
    place = rank_within(cell)
    mutated = rng.random((size, 3)) < spec.mutation
    one = (place / spec.device_reuse).astype(np.int64)
    kit = np.unique(cell * (size + 1) + one, return_inverse=True)[1].ravel()
    if spec.address_reuse <= 1:
        spot = np.arange(size)[:, None] * 3 + np.arange(3)[None, :]
    else:  # the others of the three are those of the cell's next members
        several = np.ceil(np.bincount(cell)[cell] / spec.address_reuse).astype(np.int64)
        base = (place / spec.address_reuse).astype(np.int64) % several
        turn = (base[:, None] + np.arange(3)[None, :]) % several[:, None]
        spot = cell[:, None] * (size + 1) + turn
    spot = np.unique(spot, return_inverse=True)[1].reshape(size, 3)
    pool = rng.permutation(stage.pool(spec.origin, int((int(spot.max(initial=0)) + 1) * 1.3) + 8))
    app = generator(stage.seed, "operation apps", spec.id).random(int(cell.max(initial=0)) + 1) < spec.app_share
    template = np.where(app, pick(rng, _APPS, len(app)), pick(rng, _WEB, len(app)))
    version = rng.integers(1, 4, len(app))
    varied = np.where(app[cell], pick(rng, _APPS, size), pick(rng, _WEB, size))
    device = stage.codes(int(kit.max(initial=-1)) + 1)[kit]
    begin = np.full(size, stage.start)
    agent = agent_code(varied, device, stage.scenario.start, begin)
    agent = np.where(mutated[:, 1], agent, template[cell] * VERSIONS + version[cell])
    if spec.device_reuse > 1:  # one device, one client
        first = np.unique(kit, return_index=True)[1]
        agent = agent[first][kit]
    return pool[spot % max(len(pool), 1)], device, agent, mutated


def _names(stage: Stage, cell: Ints, mutated: Ints) -> tuple[Ints, Ints]:
    """The mail domain and the naming of each member: those of its cell, or as people have them."""
    spec, people, rng = stage.adversary, stage.people, stage.rng
    cells = int(cell.max(initial=-1)) + 1
    own = rng.random(cells) < 0.5  # a domain of the cell's own, or one provider
    words = rng.integers(0, 10**6, cells)
    domain = np.array([
        people.domain(f"mail{word:06d}.example") if private else word % len(MAIL_DOMAINS)
        for private, word in zip(own.tolist(), words.tolist(), strict=True)
    ], dtype=np.int64)  # fmt: skip
    mail = np.where(mutated[:, 2], pick(rng, MAIL_WEIGHTS, len(cell)), domain[cell])
    template = np.array([people.names.template(f"{spec.id}#{code}") for code in range(cells)], dtype=np.int64)
    return mail, np.where(mutated[:, 0], -1, template[cell])


def _enter(stage: Stage, crew: Crew, victims: Ints) -> tuple[list[Rows], Ints]:
    """Logins to accounts whose password he has; those that a challenge keeps out stay out."""
    if not len(victims):
        return [], victims
    tries = Entries(
        crew.account[victims], crew.created[victims], crew.addresses[victims, 0], crew.device[victims],
        crew.agent[victims], crew.session[victims],
    )  # fmt: skip
    out, inside = login_rows(stage, tries, passes=0.8)
    return out, victims[inside]


def _sign_ups(stage: Stage, crew: Crew) -> Rows:
    """`account.created` and `session.started` of the fresh ones, some invited by an earlier one of their cell."""
    spec, rng, truth = stage.adversary, stage.rng, stage.truth()
    at = np.flatnonzero(crew.role == FRESH)
    who, time = crew.who(rng, at, 0.0), crew.created[at]
    place = rank_within(crew.cell[at])
    before = at[np.maximum(np.arange(len(at)) - 1 - (rng.random(len(at)) * place).astype(np.int64), 0)]
    invited = (place > 0) & (rng.random(len(at)) < spec.invited) & (crew.cell[before] == crew.cell[at])
    method = np.where(invited, CODE["method"]["invite"], CODE["method"]["email"])
    inviter = np.where(invited, extra("invited_by", crew.account[before]), -1)
    mail = stage.people.mail[crew.account[at]]
    made = rows("account.created", time, **who, method=method, domain=mail, outcome="success", extra=inviter, **truth)
    begun = rows("session.started", time + micros(rng.uniform(1, 4, len(at))), **who, **truth)
    return concat([made, begun])


def _label(stage: Stage, crew: Crew) -> None:
    """Labels of the accounts that are the operator's own, and the cells of all."""
    for account, since, role in zip(crew.account.tolist(), crew.created.tolist(), crew.role.tolist(), strict=True):
        if role != HIJACKED:
            stage.label("account", account, "operation", since, None)
    for cell in np.unique(crew.cell).tolist():
        for role, name in enumerate(ROLES):
            some = crew.account[(crew.cell == cell) & (crew.role == role)]
            stage.groups.add("operation", f"{stage.adversary.id}#{cell}", some, stage.adversary.id, name)


def give_means(stage: Stage, crew: Crew) -> list[Rows]:
    """Cards, telephones and recovery addresses: so many accounts of a cell on each, given before they act."""
    spec, rng, out = stage.adversary, stage.rng, []
    at = np.flatnonzero((crew.role != HIJACKED) & (rng.random(len(crew)) < spec.hard_share))
    place = rank_within(crew.cell[at])
    for kind, (name, reuse) in enumerate(
        zip(KINDS, (spec.card_reuse, spec.phone_reuse, spec.recovery_reuse), strict=True)
    ):
        if reuse <= 0:
            continue
        number = crew.cell[at] * (len(crew) + 1) + (place / reuse).astype(np.int64)
        code = _CARDS + (stage.index << 33) + number + (kind << 56)
        latest = np.maximum(crew.ready[at], crew.created[at] + 5 * MINUTE)
        first = np.maximum(crew.created[at], stage.start)
        time = first + 90 * SECOND + (rng.random(len(at)) ** 2 * (latest - first)).astype(np.int64)
        who = crew.who(rng, at, 0.0)
        came = time - micros(rng.uniform(20, 80, len(at)))
        out.append(rows("session.used", came, **who, method="token", **stage.truth()))
        out.append(rows(name, time, **who, content=code, outcome="success", **stage.truth()))
    return out


__all__ = ["AGED", "FRESH", "HIJACKED", "NEVER", "Crew", "gather", "give_means"]
