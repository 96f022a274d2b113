"""Each event on its way meets what is held against it: it happens, happens otherwise, or does not happen.

`Reactor.judge` takes the rows that enforcement may concern, one after the other in order of delivery, and says whether
each still happens; it may give a row another session or address, and lets new rows be born (challenges, logins after a
revocation, what an adversary does instead). It owns the memory of sessions, challenges and limits.
"""

from __future__ import annotations

from typing import Any

from shoal.simulate.catalogue import CODE, TYPE
from shoal.simulate.draws import HOUR, MINUTE, SECOND, generator
from shoal.simulate.react.clones import RECOVERY
from shoal.simulate.react.foes import NEVER, Foe, Row
from shoal.simulate.react.holds import Hold, Holds
from shoal.simulate.react.ledger import Ledger
from shoal.simulate.world import World

_VISITS = (TYPE["link.visited"], TYPE["link.downloaded"])
_BEGIN = (TYPE["login.succeeded"], TYPE["session.started"], TYPE["account.created"])
_LOGIN, _MADE, _LINK, _RESET = (
    TYPE["login.succeeded"],
    TYPE["account.created"],
    TYPE["link.created"],
    TYPE["password.reset"],
)
_ISSUED, _PASSED, _FAILED = TYPE["challenge.issued"], TYPE["challenge.passed"], TYPE["challenge.failed"]
_SUCCESS, _FAILURE, _SHOAL = CODE["outcome"]["success"], CODE["outcome"]["failure"], CODE["cause"]["shoal"]
_EMAIL, _PASSWORD, _SSO = CODE["method"]["email_code"], CODE["method"]["password"], CODE["method"]["sso"]


class Reactor:
    """The reactions of one world."""

    def __init__(self, world: World, holds: Holds, foes: list[Foe], ledger: Ledger) -> None:
        self.world, self.holds, self.foes, self.ledger = world, holds, foes, ledger
        self.rules = world.scenario.reactions
        self.born: list[dict[str, int]] = []  # rows that come at once, with a `time`
        self.dead_links: set[int] = set()
        self.dead_accounts: set[int] = set()
        self.held_since: dict[int, int] = {}  # accounts in which an intruder is
        self.recovered: dict[int, set[int]] = {}  # account → numbers of the rows of an early recovery
        self.ended: set[int] = set()  # sessions that never began, or were cut
        self.renewed: dict[tuple[int, bool], tuple[int, int]] = {}  # (session, intruder's) → since when, which
        self._began: dict[int, int] = {}
        self._trusted: set[tuple[int, int, int]] = set()
        self._denied: dict[tuple[int, int, int], tuple[int, int]] = {}  # party → last time, attempts
        self._allowance: dict[tuple[str, int], tuple[float, int]] = {}
        self._sessions = 1 << 61

    def judge(self, row: Row) -> bool:
        """Whether the row happens; `row` may be changed. Copies of a row get the same verdict."""
        foe = self.foes[row["attack"]] if row["attack"] >= 0 else None
        adverse = foe is not None and row["harmful"] > 0
        if row["link"] in self.dead_links or row["actor"] in self.dead_accounts or row["account"] in self.dead_accounts:
            return self._gone(row, foe)
        if foe is not None and row["mark"] == RECOVERY:
            return self._recovers(row, foe)
        if foe is not None and adverse:
            if not foe.tries(row):
                return self._gone(row, foe)
            foe.ledger.attempts += 1
        ended_at = -1
        for kind, code, hold in self.holds.of(row, row["time"]):
            if hold.effect == "stop" or (hold.effect == "limit" and not self._allowed(kind, code, row["time"])):
                return self._refused(row, foe, hold, kind)
            if hold.effect == "ask" and row["actor"] >= 0 and not self._answers(row, foe if adverse else None, hold):
                return False
            if hold.effect == "end" and row["actor"] >= 0:
                ended_at = max(ended_at, hold.start)
        return self._in_session(row, foe if adverse else None, ended_at)

    def _gone(self, row: Row, foe: Foe | None) -> bool:
        """The row does not happen, nor what rests on it."""
        if foe is not None:
            foe.ledger.prevented += 1
        if row["type"] == _LINK:
            self.dead_links.add(row["link"])
        elif row["type"] == _MADE:
            self.dead_accounts.add(row["account"])
        elif row["type"] == _LOGIN:
            self.ended.add(row["session"])
        return False

    def _refused(self, row: Row, foe: Foe | None, hold: Hold, kind: str) -> bool:
        adverse = foe is not None and row["harmful"] > 0
        if foe is not None and adverse:
            foe.refused(row, hold.effect, kind)
        elif foe is not None:
            if row["type"] in _VISITS:
                foe.link_stopped(row)
        else:
            self._bother(row, "suspended" if hold.effect == "stop" and not hold.types else "limited")
        return self._gone(row, foe)

    def _bother(self, row: Row, how: str) -> None:
        """An honest person's event does not happen."""
        owners = self.ledger.owners
        owners.denied += 1
        person = row["actor"] if row["actor"] >= 0 else row["account"]
        if 0 <= person < self.world.people.honest and person not in self.held_since:
            getattr(owners, how).add(person)

    def _allowed(self, kind: str, code: int, time: int) -> bool:
        """A bucket that fills at the limit's rate and holds a minute's worth."""
        rate = self.rules.limit_per_min
        full = max(rate, 1.0)
        amount, last = self._allowance.get((kind, code), (full, time))
        amount = min(full, amount + max(0, time - last) / MINUTE * rate)
        passes = amount >= 1.0
        self._allowance[kind, code] = (amount - passes, max(time, last))
        return passes

    def _answers(self, row: Row, foe: Foe | None, hold: Hold) -> bool:
        """The party that uses the account is asked once; then it is trusted, or goes away for this visit."""
        party = (hold.number, row["device"], -1 if foe is None else foe.index)
        if party in self._trusted:
            return True
        last, attempts = self._denied.get(party, (-1, 0))
        time, rules = row["time"], self.rules
        if foe is None and last >= 0 and time - last < rules.visit_min * MINUTE:
            self._denied[party] = (max(last, time), attempts)
            self._bother(row, "challenged")
            return self._gone(row, None)
        people, account = self.world.people, row["actor"]
        method = int(people.mfa[account]) if account < people.honest and people.mfa[account] else _EMAIL
        passing = getattr(rules.challenges, {_EMAIL: "email_code", CODE["method"]["push"]: "push"}.get(method, "totp"))
        draws = generator(
            self.world.seed, "asked", account, row["device"] + 1, hold.start - self.world.scenario.start, attempts
        ).random(2)
        passes = bool(draws[0] < (passing.owner if foe is None else foe.passes(passing, row)))
        abandons = bool(draws[1] < rules.challenges.abandoned)
        begun = max(hold.start, time - 15 * SECOND) if passes else time
        self._event(_ISSUED, row, begun, method)
        if passes:
            self._event(_PASSED, row, max(begun, time - SECOND), method, outcome=_SUCCESS)
            self._trusted.add(party)
        elif not abandons:
            self._event(_FAILED, row, time + 5 * SECOND, method, outcome=_FAILURE)
        self._count_answer(row, foe, passes, abandons)
        if passes:
            return True
        self._denied[party] = (time, attempts + 1)
        if foe is not None:
            foe.refused(row, "ask", "account")
        else:
            self.ledger.owners.denied += 1
        return self._gone(row, foe)

    def _count_answer(self, row: Row, foe: Foe | None, passes: bool, abandons: bool) -> None:
        if foe is not None:
            foe.ledger.challenged += 1
            foe.ledger.passed += passes
        elif row["actor"] < self.world.people.honest and row["actor"] not in self.held_since:
            owners = self.ledger.owners
            owners.challenges += 1
            owners.challenged.add(row["actor"])
            owners.passed += passes
            owners.failed += not passes and not abandons
            owners.abandoned += not passes and abandons

    def _in_session(self, row: Row, foe: Foe | None, ended_at: int) -> bool:
        """An event in a session that is over needs a new login first."""
        session, time = row["session"], row["time"]
        if session < 0 or row["actor"] < 0:
            return True
        key = (session, foe is not None)
        since, other = self.renewed.get(key, (-1, -1))
        if other >= 0 and since >= ended_at:
            row["session"] = other
            return time >= since or self._gone(row, foe)
        if row["type"] in _BEGIN and session not in self.ended:
            self._began.setdefault(session, time)
            return True
        if session not in self.ended and self._began.get(session, time if ended_at < 0 else -1) >= ended_at:
            return True
        if foe is not None:
            if row["unit"] not in foe.returning:
                foe.refused(row, "end", "account")
                return self._gone(row, foe)
            foe.returning.discard(row["unit"])
        elif row["actor"] < self.world.people.honest and row["actor"] not in self.held_since:
            self.ledger.owners.signed_out.add(row["actor"])
        self._login(row, key, ended_at)
        return True

    def _login(self, row: Row, key: tuple[int, bool], ended_at: int) -> None:
        people = self.world.people
        method = _SSO if row["actor"] < people.honest and people.sso[row["actor"]] else _PASSWORD
        self._sessions += 1
        since = max(row["time"] - 6 * SECOND, ended_at)
        self.renewed[key] = (since, self._sessions)
        row["session"] = self._sessions
        same = {name: row[name] for name in ("actor", "account", "session", "device", "address", "agent")}
        truth = {name: row[name] for name in ("attack", "mark", "harmful")}
        self.born.append({**same, **truth, "time": since, "type": _LOGIN, "method": method, "outcome": _SUCCESS})
        self.born.append({**same, **truth, "time": since + SECOND, "type": TYPE["session.started"]})

    def _event(self, kind: int, row: Row, time: int, method: int, **more: int) -> None:
        same = {name: row[name] for name in ("device", "address", "agent", "attack", "mark")}
        account = {"account": row["actor"], "method": method, "cause": _SHOAL, "harmful": 0}
        self.born.append({**same, **account, **more, "time": time, "type": kind})

    def _recovers(self, row: Row, foe: Foe) -> bool:
        """The owner's recovery comes once, and only where there was an intruder."""
        early = self.recovered.get(row["account"])
        if row["account"] not in foe.entered or (early is not None and row["number"] not in early):
            return self._gone(row, foe)
        self.held_since.pop(row["account"], None)
        self._began.setdefault(row["session"], row["time"])
        return True

    def happened(self, row: Row) -> None:
        """A row of an attack that did happen: from a login on, the account is in the intruder's hands."""
        if row["attack"] >= 0 and row["harmful"] and row["actor"] >= 0:
            foe = self.foes[row["attack"]]
            foe.entered.add(row["unit"])
            foe.ledger.victims.add(row["unit"])
            if row["unit"] < self.world.people.honest:
                self.held_since.setdefault(row["unit"], row["time"])

    def told(self, account: int, at: int) -> None:
        """The owner is told. One whose account is held may take it back early; another is bothered."""
        if account not in self.held_since:
            if account < self.world.people.honest:
                self.ledger.owners.notified.add(account)
            return
        rng = generator(self.world.seed, "told", account, at - self.world.scenario.start)
        if account in self.recovered or rng.random() >= self.rules.owner_reads:
            return
        back = at + int(rng.exponential(self.rules.owner_reads_h) * HOUR) + MINUTE
        for foe in self.foes:
            if account in foe.entered:
                foe.burn(account, back)
                self._early(foe, account, back)

    def _early(self, foe: Foe, account: int, back: int) -> None:
        plan = foe.planned(account)
        mine = (plan["mark"] == RECOVERY) & (plan["account"] == account)
        if not mine.any() or int(plan["time"][mine].min()) <= back:
            return
        rows: dict[str, Any] = {name: column[mine].copy() for name, column in plan.items()}
        rows["time"] += back - int(rows["time"].min())
        rows["number"] = foe.codes.numbers(int(mine.sum()))
        self.recovered[account] = set(rows["number"].tolist())
        foe.born.append(rows)
        labels = self.world.attacks.labels.rows
        for place, label in enumerate(labels):
            if label[:2] == ("account", account) and label[6] == foe.spec.id and (label[4] or NEVER) > back:
                labels[place] = (*label[:4], back, *label[5:])
