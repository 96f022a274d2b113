"""Happenings on a date that add rows or marks of their own: migrations, campaigns, new applications, viral pictures.

What only changes how much people do, from where, or how a login goes is in `sessions`, `presence`, `habits` and
`people`. Each happening draws from a generator keyed by its place in the calendar; without it nothing changes.
"""

from __future__ import annotations

import numpy as np

from shoal.simulate.catalogue import EXT, SCRIPT_CLIENT, TYPE, VERSIONS
from shoal.simulate.draws import DAY, HOUR, MINUTE, SECOND, Ints, generator, micros, unit
from shoal.simulate.honest.actions import file_code
from shoal.simulate.honest.links import plan_visits
from shoal.simulate.honest.presence import Presence
from shoal.simulate.honest.programs import grant_rows, split_apps
from shoal.simulate.honest.sessions import Tokens, own_device
from shoal.simulate.render import extension_of
from shoal.simulate.rows import Rows, extra, length, rows, take
from shoal.simulate.scenario import Happening
from shoal.simulate.truth import MARK, LabelBook

BONUS_MB = 500
_REFERRED = 0.7
"""Share of a campaign's sign-ups that come by an invitation."""


def span(presence: Presence, happening: Happening) -> tuple[int, int]:
    """First moment and end, µs."""
    start = presence.scenario.start + int(happening.day * DAY)
    return start, start + int(happening.days * DAY)


class Calendar:
    """The happenings of one run through the world."""

    def __init__(self, seed: int, presence: Presence, labels: LabelBook) -> None:
        self.seed, self.presence, self.labels = seed, presence, labels
        self.happenings = list(enumerate(presence.scenario.calendar))
        for _, happening in self.happenings:
            if happening.kind == "provider_renumbering":
                start, _ = span(presence, happening)
                country = presence.city_country[presence.people.home[: presence.people.settled]]
                for account in np.flatnonzero(presence.renumbers(country, happening.country)).tolist():
                    labels.add("account", account, "benign_renumbering", start, start + 3 * DAY, start, None)

    def day(self, day: int, tokens: Tokens, library: Ints, today: Rows) -> list[Rows]:
        """Rows that happenings add today; marks those of `today` that they explain."""
        out: list[Rows] = []
        incident = False
        for index, happening in self.happenings:
            rng = generator(self.seed, "calendar", index, day)
            begins = int(happening.day) == day
            if happening.kind == "migration" and begins:
                out += self._migration(rng, happening, tokens, library)
            elif happening.kind == "referral_campaign":
                out += self._referrals(rng, happening, day, tokens, today)
            elif happening.kind == "app_launch":
                out += self._launch(rng, index, happening, day, tokens, library)
            elif happening.kind in ("login_outage", "session_expiry"):
                incident = True
            if happening.kind == "product_launch" or (happening.kind == "press" and happening.mobile > 0):
                self._mark_wave(happening, today)
        if incident:
            some = take(today, today["mark"] == MARK["benign_incident"])
            for account, moment in zip(some["account"].tolist(), some["time"].tolist(), strict=True):
                self.labels.add("account", account, "benign_incident", moment, moment + HOUR, moment, None)
        return out

    def photo(self, day: int, made: Rows) -> list[Rows]:
        """Plans of visits of a picture that goes round: from telephones and chats, without referrer, mostly taken."""
        out = []
        for index, happening in self.happenings:
            if happening.kind != "viral_photo" or int(happening.day) != day or not length(made):
                continue
            rng = generator(self.seed, "calendar", index, "photo")
            people = self.presence.people
            fit = np.isin(extension_of(made["file"], self.seed), [EXT["jpg"], EXT["heic"], EXT["png"]])
            private = people.org[made["owner"]] < 0
            # the youngest account among those that fit: the hard case
            order = np.lexsort((-people.created[made["owner"]], ~private, ~fit))
            chosen = take(made, order[:1])
            time, owner, link = int(chosen["time"][0]), int(chosen["owner"][0]), int(chosen["link"][0])
            for subject_type, subject in (("link", link), ("account", owner)):
                self.labels.add(subject_type, subject, "benign_viral_link", time, time + 5 * DAY, time, None)
            out.append(
                plan_visits(
                    rng, self.presence, chosen, np.array([happening.visits]), half_life_h=7.0, member_share=0.12,
                    download_share=0.8, mates=0.05, no_referrer=0.8,
                )
            )  # fmt: skip
        return out

    def _mark_wave(self, happening: Happening, today: Rows) -> None:
        start, end = span(self.presence, happening)
        new = (today["type"] == TYPE["account.created"]) & (today["time"] >= start) & (today["time"] < end)
        today["mark"][new] = MARK["benign_signup_wave"]
        for account, moment in zip(today["account"][new].tolist(), today["time"][new].tolist(), strict=True):
            self.labels.add("account", account, "benign_signup_wave", moment, moment + 2 * DAY, moment, None)

    def _migration(self, rng: np.random.Generator, happening: Happening, tokens: Tokens, library: Ints) -> list[Rows]:
        """One member brings the files of the whole organisation, then gives them other names."""
        people = self.presence.people
        if not len(people.org_size):
            return []
        org = min(happening.organisation, len(people.org_size) - 1)
        members = np.flatnonzero(people.org[: people.settled] == org)
        admin = members[np.argmax(people.rate[members])]
        start, size = span(self.presence, happening)[0], happening.files
        account, mark = np.full(size, admin), MARK["benign_migration"]
        one = own_device(rng, self.presence, tokens, account[:1], np.array([start]))
        tool = np.full(size, SCRIPT_CLIENT * VERSIONS + VERSIONS + 2)  # a copying program at the office
        acts = {**take(one, np.zeros(size, np.int64)), "agent": tool}
        time = start + 30 * SECOND + np.cumsum(micros(rng.exponential(0.35, size)))
        file = file_code(account, library[admin] + np.arange(size))
        library[admin] += size
        shared = {"owner": account, "file": file, "external": np.zeros(size, np.int8)}
        later = int(time[-1]) + 20 * MINUTE + np.cumsum(micros(rng.exponential(0.25, size)))
        name = rng.integers(1 << 30, 1 << 60, size)
        end = int(later[-1]) + SECOND
        self.labels.add("account", int(admin), "benign_migration", start, end, end, None)
        return [
            rows("session.used", np.array([start]), **one, method="token", mark=mark),
            rows("file.uploaded", time, **acts, **shared, mark=mark),
            rows("file.renamed", later, **acts, **shared, name=name, mark=mark),
        ]

    def _referrals(
        self, rng: np.random.Generator, happening: Happening, day: int, tokens: Tokens, today: Rows
    ) -> list[Rows]:
        """Invitations before, and acceptance after, most of a campaign's sign-ups. Some people invite very many."""
        people = self.presence.people
        start, end = span(self.presence, happening)
        day_start = self.presence.scenario.start + day * DAY
        new = (today["type"] == TYPE["account.created"]) & (today["time"] >= start) & (today["time"] < end)
        new &= unit(today["account"], 61) < _REFERRED
        at = np.flatnonzero(new)
        account, time = today["account"][at].astype(np.int64), today["time"][at]
        keen = np.flatnonzero(people.rate[: people.settled] > 0.1)
        keen = keen if len(keen) else np.arange(people.settled)
        popular = keen[np.minimum((rng.pareto(1.1, len(at)) * 12).astype(np.int64), len(keen) - 1)]
        friend = people.mates(rng, account)
        known = (friend != account) & (people.created[friend] < day_start) & (friend < people.settled)
        inviter = np.where(known & (rng.random(len(at)) < 0.6), friend, popular)
        sent = np.maximum(time - micros(np.exp(rng.normal(np.log(2400), 1.0, len(at))) + 60), day_start + SECOND)
        sent = np.minimum(sent, time - SECOND)
        acts = own_device(rng, self.presence, tokens, inviter, sent)
        mark = MARK["benign_referral"]
        today["mark"][at] = mark
        for code, moment in zip(inviter.tolist(), sent.tolist(), strict=True):
            self.labels.add("account", code, "benign_referral", moment, moment + DAY, moment, None)
        for code, moment in zip(account.tolist(), time.tolist(), strict=True):
            self.labels.add("account", code, "benign_referral", moment, moment + DAY, moment, None)
        joined = {name: today[name][at] for name in ("actor", "account", "session", "device", "address", "agent")}
        number, domain = rng.integers(0, 1 << 40, len(at)), people.mail[account]
        accepted = time + micros(rng.uniform(5, 60, len(at)))
        bonus = extra("bonus_mb", np.full(len(at), BONUS_MB))
        return [
            rows("invite.sent", sent, **acts, invitee=number, domain=domain, external=1, mark=mark),
            rows("invite.accepted", accepted, **joined, recipient=inviter, extra=bonus, mark=mark),
        ]

    def _launch(
        self, rng: np.random.Generator, index: int, happening: Happening, day: int, tokens: Tokens, library: Ints
    ) -> list[Rows]:
        """A new application that many authorize within days; it reads files of most of them."""
        people = self.presence.people
        start, end = span(self.presence, happening)
        plan = generator(self.seed, "calendar", index, "plan")
        who = plan.permutation(np.flatnonzero(people.rate[: people.settled] > 0.1))[: happening.accounts]
        time = start + (plan.random(len(who)) ** 2 * (end - start)).astype(np.int64)
        day_start = self.presence.scenario.start + day * DAY
        today = (time >= day_start) & (time < day_start + DAY)
        who, time = who[today], np.maximum(time[today], day_start + 2 * MINUTE)
        app = np.full(len(who), split_apps(self.seed)[0][-1])
        for account, moment in zip(who.tolist(), time.tolist(), strict=True):
            self.labels.add("account", account, "benign_app_launch", moment, moment + 12 * HOUR, moment, None)
        mark = MARK["benign_app_launch"]
        return grant_rows(rng, self.presence, tokens, library, (who, time, app), mark, 0.8)


__all__ = ["Calendar", "span"]
