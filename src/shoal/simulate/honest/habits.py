"""Honest behaviour that a careless rule takes for abuse: journeys, new devices, backups, spring cleaning, leaving.

Each leaves a label of a `benign_…` kind, so that an evaluation can say what it cost honest people.
"""

from __future__ import annotations

import numpy as np

from shoal.simulate.draws import DAY, SECOND, Ints, median_counts, micros, pick, ragged, running
from shoal.simulate.honest.actions import file_code
from shoal.simulate.honest.presence import Presence
from shoal.simulate.honest.sessions import Sessions, Tokens
from shoal.simulate.people import GENERATIONS
from shoal.simulate.rows import Rows, rows
from shoal.simulate.scenario import Scenario
from shoal.simulate.truth import MARK, LabelBook


def begin_journeys(
    rng: np.random.Generator, scenario: Scenario, presence: Presence, day_start: int, labels: LabelBook
) -> None:
    """Some set out today; `presence` knows it from then on."""
    people = presence.people
    odds = scenario.habits.travel_per_week / 7
    for happening in scenario.calendar:
        if happening.kind == "holiday" and happening.day <= (day_start - scenario.start) / DAY + 1e-9:
            inside = (day_start - scenario.start) / DAY < happening.day + happening.days
            odds *= happening.travel if inside else 1.0
    who = np.flatnonzero(rng.random(people.honest) < odds)
    who = who[(presence.travel_until[who] < day_start) & (people.created[who] < day_start)]
    weights = [home.weight for home in scenario.homes]
    to = pick(rng, weights, len(who))
    stay = (rng.exponential(scenario.habits.travel_days, len(who)) + 0.5) * DAY
    away = to != people.home[who]
    who, to, until = who[away], to[away], day_start + stay[away].astype(np.int64)
    presence.travel_city[who], presence.travel_until[who] = to, until
    for account, end in zip(who.tolist(), until.tolist(), strict=True):
        labels.add("account", account, "benign_travel", day_start, end, day_start, None)


def get_devices(
    rng: np.random.Generator, scenario: Scenario, presence: Presence, tokens: Tokens, day_start: int, labels: LabelBook
) -> None:
    """Some replace a device today: the slot loses its token, so the next visit is a login from an unknown device."""
    people = presence.people
    who = np.flatnonzero(rng.random(people.honest) < scenario.habits.new_device_per_month / 30)
    slot = (rng.random(len(who)) * people.devices[who]).astype(np.int64)
    tokens.session[who, slot] = 0
    tokens.generation[who, slot] = (tokens.generation[who, slot] + 1) % GENERATIONS
    for account in who.tolist():
        if people.created[account] < day_start:
            labels.add("account", account, "benign_new_device", day_start, day_start + 3 * DAY, day_start, None)


def bulk_rows(
    rng: np.random.Generator, scenario: Scenario, table: Sessions, library: Ints, gone: Ints, labels: LabelBook
) -> list[Rows]:
    """Backups, spring cleaning and leaving, in sessions of today. Leavers do not come back (`gone`)."""
    habits = scenario.habits
    a_week = 7 * max(scenario.activity.sessions_per_day, 1e-6)
    drawn = rng.random(len(table))
    odds = np.cumsum([habits.backups_per_week, habits.cleanings_per_week, habits.leavers_per_week]) / a_week
    what = np.searchsorted(odds, drawn, side="right")
    what[(library[table.account] < 20) | table.signup] = 3
    out: list[Rows] = []
    for code, kind in enumerate(("file.downloaded", "file.deleted", "file.downloaded")):
        at = np.flatnonzero(what == code)
        at = at[np.unique(table.account[at], return_index=True)[1]]
        owned = library[table.account[at]]
        counts = np.minimum(median_counts(rng, habits.bulk_files, 0.9, len(at), least=15), owned)
        counts = np.where(code == 2, np.minimum(owned, 20_000), counts)
        group, place = ragged(counts)
        pace = np.exp(rng.normal(np.log(0.9), 0.8, len(at)))  # seconds a file: a client, or a patient person
        gaps = micros(rng.exponential(1.0, len(group)) * pace[group])
        time = table.start[at][group] + 30 * SECOND + running(gaps, counts)
        offset = (rng.random(len(at)) * (owned - counts + 1)).astype(np.int64)
        mark = MARK["benign_bulk_delete" if code == 1 else "benign_bulk_download"]
        account = table.account[at][group]
        out.append(
            rows(
                kind, time, **table.who(at[group]), owner=account, external=0,
                file=file_code(account, offset[group] + place), mark=mark,
            )
        )  # fmt: skip
        ends = table.start[at] + 30 * SECOND + np.bincount(group, gaps, len(at)).astype(np.int64) + SECOND
        name = "benign_bulk_delete" if code == 1 else "benign_bulk_download"
        for account_code, start, end in zip(
            table.account[at].tolist(), table.start[at].tolist(), ends.tolist(), strict=True
        ):
            labels.add("account", account_code, name, start, end, end, None)
        if code == 2:
            gone[table.account[at]] = ends
    return out


def label_moves(scenario: Scenario, presence: Presence, labels: LabelBook) -> None:
    """Members of an organisation that moves: for three days their network is new."""
    people = presence.people
    for happening in scenario.calendar:
        if happening.kind == "office_move" and len(people.org_size):
            org = min(happening.organisation, len(people.org_size) - 1)
            moment = scenario.start + int(happening.day * DAY)
            for account in np.flatnonzero(people.org[: people.honest] == org).tolist():
                labels.add("account", account, "benign_office_move", moment, moment + 3 * DAY, moment, None)


def label_shared(presence: Presence, labels: LabelBook) -> None:
    """Members of households that use one computer with several accounts."""
    scenario = presence.scenario
    end = scenario.start + scenario.days * DAY
    leader = presence.computer_of
    away = np.flatnonzero(leader != np.arange(len(leader)))
    for account in np.unique(np.concatenate([away, leader[away]])).tolist():
        labels.add("account", account, "benign_shared_device", scenario.start, end, scenario.start, None)
