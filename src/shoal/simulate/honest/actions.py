"""What people do in their sessions: files, shares, invitations, links; and, seldom, changes to their account.

Files live in a library of each account, numbered from 0; a file's code is `account << LIBRARY_BITS | number`. Its name,
kind, size and content follow from the code by hashing, so nothing is stored. A file's content as downloaded is its
first one; modifications carry new contents (see docs/simulator.md, limits).
"""

from __future__ import annotations

import numpy as np

from shoal.simulate.catalogue import CODE, MAIL_DOMAINS, POPULAR_APPS, TYPE
from shoal.simulate.draws import Ints, lognormal_counts, micros, pick, ragged, rank_within, running
from shoal.simulate.honest.presence import Presence
from shoal.simulate.honest.sessions import Sessions
from shoal.simulate.render import LIBRARY_BITS
from shoal.simulate.rows import Rows, rows, take
from shoal.simulate.scenario import Scenario

_KINDS = (
    "file.uploaded", "file.downloaded", "file.modified", "file.renamed", "file.deleted",
    "folder.shared", "invite.sent", "link.created",
)  # fmt: skip
_UPLOAD, _DOWNLOAD, _MODIFY, _RENAME, _DELETE, _SHARE, _INVITE, _LINK = range(len(_KINDS))
_CODES = np.array([TYPE[kind] for kind in _KINDS])


def file_code(account: Ints, number: Ints) -> Ints:
    """The code of a file."""
    return (np.asarray(account, dtype=np.int64) << LIBRARY_BITS) | number


def some_file(rng: np.random.Generator, owner: Ints, library: Ints) -> Ints:
    """A file of each owner, recent ones more often; of empty libraries the first number."""
    size = np.maximum(library[owner], 1)
    number = size - 1 - (size * rng.random(len(owner)) ** 2.5).astype(np.int64)
    return file_code(owner, np.maximum(number, 0))


def draw_actions(
    rng: np.random.Generator, scenario: Scenario, presence: Presence, table: Sessions, library: Ints, day: int
) -> tuple[list[Rows], Rows]:
    """Rows of the day's actions, and the rows of links created among them. `library` [honest] grows by the uploads."""
    activity = scenario.activity
    counts = lognormal_counts(rng, activity.actions_per_session, activity.actions_sigma, len(table))
    session, _ = ragged(counts)
    gaps = micros(np.exp(rng.normal(np.log(25), 1.1, len(session))))
    begun = table.start[session] + np.where(table.signup[session], 5_000_000, 1_000_000)
    time = begun + running(np.minimum(gaps, 1_800_000_000), counts)
    account = table.account[session]
    weights = (
        activity.uploads, activity.downloads, activity.modifies, activity.renames, activity.deletes,
        activity.shares, activity.invites, activity.links,
    )  # fmt: skip
    kind = pick(rng, weights, len(session))
    kind = np.where((library[account] == 0) & (kind != _SHARE) & (kind != _INVITE), _UPLOAD, kind)
    kept = time < table.start[session] + 10 * 3_600_000_000
    session, time, account, kind = session[kept], time[kept], account[kept], kind[kept]
    who = table.who(session)
    out, links = _file_rows(rng, scenario, presence, library, (time, account, kind, who))
    shares = np.flatnonzero(kind == _SHARE)
    out.append(share_rows(rng, presence, time[shares], take(who, shares), activity.outside_shares))
    invites = np.flatnonzero(kind == _INVITE)
    out.append(
        rows(
            "invite.sent", time[invites], **take(who, invites), invitee=rng.integers(0, 1 << 40, len(invites)),
            domain=rng.integers(0, len(MAIL_DOMAINS), len(invites)), external=1,
        )
    )  # fmt: skip
    links["link"] = ((day + 1) << 34) + np.arange(len(links["time"]))
    out.append(links)
    out.append(_app_rows(rng, scenario, table))
    out += account_changes(rng, scenario, presence, table)
    return out, links


def _file_rows(
    rng: np.random.Generator, scenario: Scenario, presence: Presence, library: Ints, acts: tuple[Ints, Ints, Ints, Rows]
) -> tuple[list[Rows], Rows]:
    """Uploads, downloads, changes; and the links created, as yet without their codes."""
    activity, people = scenario.activity, presence.people
    time, account, kind, who = acts
    owner = account.copy()
    reads = (kind == _DOWNLOAD) | (kind == _MODIFY)
    shared = reads & (rng.random(len(time)) < activity.shared_files)
    outside = shared & (rng.random(len(time)) < activity.outside_shares * 0.5) & (kind == _DOWNLOAD)
    at = np.flatnonzero(shared)
    owner[at] = people.mates(rng, account[at])
    at = np.flatnonzero(outside)
    owner[at] = rng.integers(0, people.settled, len(at))
    owner = np.where(library[owner] > 0, owner, account)
    external = (people.group[owner] != people.group[account]) & (
        (people.org[owner] != people.org[account]) | (people.org[owner] < 0)
    )
    file = some_file(rng, owner, library)
    up = np.flatnonzero(kind == _UPLOAD)
    file[up] = file_code(account[up], library[account[up]] + rank_within(account[up]))
    library += np.bincount(account[up], minlength=len(library)).astype(np.int64)
    plain = np.flatnonzero((kind <= _DELETE) & (kind != _MODIFY))
    out = []
    named = np.where(kind == _RENAME, rng.integers(1 << 30, 1 << 60, len(time)), -1)
    common = {"owner": owner, "file": file, "external": external.astype(np.int8), "name": named}
    out.append(rows(_CODES[kind[plain]], time[plain], **take(who, plain), **take(common, plain)))
    at = np.flatnonzero(kind == _MODIFY)
    content = rng.integers(1 << 40, 1 << 61, len(at))
    out.append(rows("file.modified", time[at], **take(who, at), **take(common, at), content=content))
    at = np.flatnonzero(kind == _LINK)
    words = np.array([CODE["permission"][w] for w in ("public", "password", "organisation")])
    permission = np.where(
        people.org[account[at]] >= 0, words[pick(rng, [5, 2, 4], len(at))], words[pick(rng, [9, 1, 0], len(at))]
    )
    del common["external"]
    return out, rows("link.created", time[at], **take(who, at), **take(common, at), permission=permission)


def share_rows(rng: np.random.Generator, presence: Presence, time: Ints, who: Rows, outside: float) -> Rows:
    """Folder shares to mates, and now and then to people outside."""
    people, account = presence.people, who["actor"].astype(np.int64)
    away = rng.random(len(time)) < outside
    recipient = np.where(away, rng.integers(0, people.settled, len(time)), people.mates(rng, account))
    kept = (recipient != account) & (people.created[recipient] < time)
    recipient, time, who, account = recipient[kept], time[kept], take(who, kept), account[kept]
    same_org = (people.org[recipient] == people.org[account]) & (people.org[account] >= 0)
    external = ~same_org & (people.group[recipient] != people.group[account])
    words = np.array([CODE["permission"]["view"], CODE["permission"]["edit"]])
    folder = account * 64 + (rng.random(len(time)) ** 2 * 24).astype(np.int64)
    return rows(
        "folder.shared", time, **who, owner=account, recipient=recipient, resource=folder,
        permission=words[rng.integers(0, 2, len(time))], external=external.astype(np.int8),
    )  # fmt: skip


def _app_rows(rng: np.random.Generator, scenario: Scenario, table: Sessions) -> Rows:
    """Applications that people connect; some are far more popular than others."""
    per_session = scenario.habits.apps_per_week / 7 / max(scenario.activity.sessions_per_day, 1e-6)
    at = np.flatnonzero(rng.random(len(table)) < per_session)
    time = table.start[at] + micros(rng.uniform(20, 400, len(at)))
    return app_rows(rng, time, table.who(at))


def app_rows(rng: np.random.Generator, time: Ints, who: Rows) -> Rows:
    """`app.authorized` for these actors: which application, which scope."""
    popularity = 1.0 / np.arange(1, POPULAR_APPS + 1)
    scopes = np.array([CODE["permission"][w] for w in ("files.read", "files.write", "offline")])
    scope = scopes[pick(rng, [5, 4, 2], len(time))]
    return rows("app.authorized", time, **who, app=pick(rng, popularity, len(time)), permission=scope)


def account_changes(rng: np.random.Generator, scenario: Scenario, presence: Presence, table: Sessions) -> list[Rows]:
    """Honest changes of password, e-mail address and second factor."""
    habits, people = scenario.habits, presence.people
    a_session = 30 * max(scenario.activity.sessions_per_day, 1e-6)
    out: list[Rows] = []
    at = np.flatnonzero(
        (rng.random(len(table)) < habits.password_changes_per_month / a_session) & ~people.sso[table.account]
    )
    out.append(
        rows(
            "password.changed",
            table.start[at] + micros(rng.uniform(30, 300, len(at))),
            **table.who(at),
            outcome="success",
        )
    )
    at = np.flatnonzero(rng.random(len(table)) < habits.email_changes_per_month / a_session)
    domain = pick(rng, np.ones(len(MAIL_DOMAINS)), len(at))
    out.append(
        rows("email.changed", table.start[at] + micros(rng.uniform(30, 300, len(at))), **table.who(at), domain=domain)
    )
    at = np.flatnonzero(rng.random(len(table)) < habits.mfa_changes_per_month / a_session)
    removes = people.mfa[table.account[at]] > 0
    kind = np.where(removes, TYPE["mfa.removed"], TYPE["mfa.enrolled"])
    method = np.where(removes, people.mfa[table.account[at]], CODE["method"]["totp"])
    out.append(rows(kind, table.start[at] + micros(rng.uniform(30, 300, len(at))), **table.who(at), method=method))
    return out
