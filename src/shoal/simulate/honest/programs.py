"""What honest programs and telephones do: hosted backup services, little-known applications, prompts that get lost.

All are off unless the scenario turns them on, and draw from generators of their own. Each marks its rows, since each is
what a careless rule takes for abuse.
"""

from __future__ import annotations

import numpy as np

from shoal.simulate.catalogue import BACKUP_APP, CODE, NICHE_APPS, SCRIPT_CLIENT, VERSIONS
from shoal.simulate.draws import DAY, HOUR, SECOND, Ints, generator, median_counts, micros, mix, ragged, running, unit
from shoal.simulate.honest.actions import file_code
from shoal.simulate.honest.presence import Presence
from shoal.simulate.honest.sessions import Tokens, own_device
from shoal.simulate.rows import Rows, rows, take
from shoal.simulate.truth import MARK, LabelBook

MALICIOUS = 15
"""How many of the little-known applications a world keeps for adversaries."""
_PUSH = CODE["method"]["push"]
_SESSIONS = 1 << 61
"""Sessions of programs have codes from here on: one for each account and application."""


def split_apps(seed: int) -> tuple[Ints, Ints]:
    """The little-known applications of a world that are honest, and those that adversaries may register: no name tells
    which is which."""
    apps = np.array(NICHE_APPS, dtype=np.int64)
    arranged = apps[np.argsort(mix(apps, seed * 8 + 93))]
    return arranged[MALICIOUS:], arranged[:MALICIOUS]


def read_rows(
    rng: np.random.Generator, presence: Presence, account: Ints, begin: Ints, counts: Ints, app: Ints, library: Ints,
    mark: int, pace_s: float,
) -> Rows:  # fmt: skip
    """Files read by an application's own servers in the name of its users, newest first."""
    book = presence.book
    counts = np.minimum(counts, np.maximum(library[account], 1))
    group, place = ragged(counts)
    time = begin[group] + running(micros(rng.exponential(pace_s, len(group))), counts)
    company = (mix(app, 91) % np.uint64(len(book.hosting))).astype(np.int64)
    first = (mix(app, 92) % np.uint64(max(book.hosting.shape[1] - 4, 1))).astype(np.int64)
    server = book.hosting[
        company[group], np.minimum(first[group] + rng.integers(0, 4, len(group)), book.hosting.shape[1] - 1)
    ]
    owner = account[group]
    number = np.maximum(library[owner] - 1 - place, 0)
    return rows(
        "file.downloaded", time, actor=owner, account=owner, session=(_SESSIONS + account * 128 + app)[group],
        address=server, agent=SCRIPT_CLIENT * VERSIONS + (app[group] & 1) * VERSIONS + 2, app=app[group], owner=owner,
        file=file_code(owner, number), external=0, mark=mark,
    )  # fmt: skip


class Programs:
    """The programs of one run through the world."""

    def __init__(self, seed: int, presence: Presence, labels: LabelBook) -> None:
        self.seed, self.presence, self.labels = seed, presence, labels
        people, scenario = presence.people, presence.scenario
        pool = np.arange(people.settled)
        chosen = unit(pool, 71) < scenario.habits.backup_clients
        self.backed_up = pool[chosen & (people.library[: people.settled] >= 20)]
        end = scenario.start + scenario.days * DAY
        for account in self.backed_up.tolist():
            labels.add("account", account, "benign_backup_client", scenario.start, end, scenario.start, None)

    def day(self, day: int, tokens: Tokens, library: Ints) -> list[Rows]:
        """The day's backups, grants and lost prompts."""
        out: list[Rows] = []
        if len(self.backed_up):
            out.append(self._backups(generator(self.seed, "backups", day), day, library))
        habits = self.presence.scenario.habits
        if habits.push_trouble_per_month > 0:
            out += self._lost_prompts(generator(self.seed, "lost prompts", day), day, tokens)
        if habits.niche_apps_per_week > 0:
            out += self._niche(generator(self.seed, "niche apps", day), day, tokens, library)
        return out

    def _backups(self, rng: np.random.Generator, day: int, library: Ints) -> Rows:
        """Every account at its own hour of the night; once a week a longer one."""
        scenario, account = self.presence.scenario, self.backed_up
        begin = scenario.start + day * DAY + ((1 + 5 * unit(account, 72)) * HOUR).astype(np.int64)
        begin = begin + micros(rng.uniform(0, 90, len(account)))
        weekly = (mix(account, 73) % np.uint64(7)).astype(np.int64) == day % 7
        counts = median_counts(rng, scenario.habits.backup_files, 0.6, len(account)) * np.where(weekly, 10, 1)
        app = np.full(len(account), BACKUP_APP)
        return read_rows(
            rng, self.presence, account, begin, counts, app, library, MARK["benign_backup_client"], pace_s=0.8
        )

    def _lost_prompts(self, rng: np.random.Generator, day: int, tokens: Tokens) -> list[Rows]:
        """A telephone without reception: prompts run out until one is answered, all from the owner's own device."""
        people, scenario = self.presence.people, self.presence.scenario
        odds = scenario.habits.push_trouble_per_month / 30
        who = np.flatnonzero((rng.random(people.settled) < odds) & (people.mfa[: people.settled] == _PUSH))
        who = who[~(people.sso | people.passkey)[who]]
        begin = scenario.start + day * DAY + ((7 + 14 * rng.random(len(who))) * HOUR).astype(np.int64)
        acts = own_device(rng, self.presence, tokens, who, begin)
        seen = {name: acts[name] for name in ("account", "device", "address", "agent")}
        counts = 5 + rng.poisson(7, len(who))
        group, _ = ragged(counts)
        issued = begin[group] + running(micros(rng.uniform(25, 90, len(group))), counts)
        mark = MARK["benign_repeated_challenge"]
        some = take(seen, group)
        ends = begin + np.bincount(group, minlength=len(who)).astype(np.int64) * 95 * SECOND
        for account, start, end in zip(who.tolist(), begin.tolist(), ends.tolist(), strict=True):
            self.labels.add("account", account, "benign_repeated_challenge", start, end, end, None)
        last = ends + micros(rng.uniform(1, 20, len(who)))
        method = {"method": np.full(len(who), _PUSH), "mark": np.full(len(who), mark)}
        pressed = rng.random(len(group)) < 0.12  # the wrong button
        denied = np.flatnonzero(pressed)
        reason = np.where(pressed, CODE["reason"]["challenge_failed"], CODE["reason"]["challenge_abandoned"])
        answer = issued[denied] + micros(rng.uniform(4, 20, len(denied)))
        wrong = {"method": "push", "outcome": "failure", "reason": "denied", "mark": mark}
        return [
            rows("challenge.issued", issued, **some, method="push", mark=mark),
            rows("challenge.failed", answer, **take(some, denied), **wrong),
            rows(
                "login.failed", issued + 60 * SECOND, **some, method="password", outcome="failure", reason=reason,
                mark=mark,
            ),
            rows("challenge.issued", last, **seen, **method),
            rows("challenge.passed", last + 8 * SECOND, **seen, **method, outcome="success"),
            rows("login.succeeded", last + 9 * SECOND, **acts, method="password", outcome="success", mark=mark),
        ]  # fmt: skip

    def _niche(self, rng: np.random.Generator, day: int, tokens: Tokens, library: Ints) -> list[Rows]:
        """Grants of applications that few others use; some then read files."""
        people, scenario = self.presence.people, self.presence.scenario
        who = np.flatnonzero(rng.random(people.settled) < scenario.habits.niche_apps_per_week / 7)
        time = scenario.start + day * DAY + ((7 + 15 * rng.random(len(who))) * HOUR).astype(np.int64)
        honest, _ = split_apps(self.seed)
        app = honest[rng.integers(0, len(honest) - 1, len(who))]
        for account, moment in zip(who.tolist(), time.tolist(), strict=True):
            self.labels.add("account", account, "benign_niche_app", moment, moment + 12 * HOUR, moment, None)
        return grant_rows(rng, self.presence, tokens, library, (who, time, app), MARK["benign_niche_app"], 0.4)


def grant_rows(
    rng: np.random.Generator, presence: Presence, tokens: Tokens, library: Ints, grants: tuple[Ints, Ints, Ints],
    mark: int, reads: float,
) -> list[Rows]:  # fmt: skip
    """People authorize applications (who, when, which); a share `reads` of these then fetches some files."""
    who, time, app = grants
    acts = own_device(rng, presence, tokens, who, time)
    scopes = np.array([CODE["permission"][word] for word in ("files.read", "files.write", "offline")])
    scope = scopes[np.minimum(rng.geometric(0.6, len(who)) - 1, 2)]
    some = np.flatnonzero(rng.random(len(who)) < reads)
    counts = median_counts(rng, 60, 0.8, len(some))
    begin = time[some] + micros(rng.exponential(900, len(some)) + 20)
    return [
        rows("session.used", time - micros(rng.uniform(10, 60, len(who))), **acts, method="token"),
        rows("app.authorized", time, **acts, app=app, permission=scope, mark=mark),
        read_rows(rng, presence, who[some], begin, counts, app[some], library, mark, pace_s=1.2),
    ]
