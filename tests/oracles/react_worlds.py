"""Reacting worlds for tests: the tiny scenario lived through with some enforcement, and its events with their truth."""

import polars as pl
import pyarrow as pa

from shoal.simulate import builtin_scenario
from shoal.simulate.react import ACTIONS_SCHEMA, ReactiveWorld

TINY = builtin_scenario("tiny")
HOUR = 3_600_000_000
LEASE = 90 * 24 * HOUR
FAILED = "login.failed"


def actions(*rows):
    """A table of actions; `until` is far away unless given."""
    full = [(*row, row[3] + LEASE) if len(row) == 4 else row for row in rows]
    return pa.Table.from_pylist([dict(zip(ACTIONS_SCHEMA.names, row, strict=True)) for row in full], ACTIONS_SCHEMA)


def frame(parts):
    """The events of parts, with their truth."""
    events = pl.from_arrow(pa.concat_tables([p.events for p in parts], promote_options="default"))
    truth = pl.from_arrow(pa.concat_tables([p.truth for p in parts]))
    marks = truth.select("event_id", "attack", "kind", "harmful").unique("event_id")
    wanted = [pl.lit(None, pl.String).alias(n) for n in ("cause", "operation") if n not in events.columns]
    return events.with_columns(wanted).join(marks, on="event_id", how="left")


def live(scenario, act=None, step=HOUR, until=None):
    """A world lived through; `act(world, part)` may give actions after each step."""
    world, parts = ReactiveWorld(scenario), []
    while not world.over:
        part = world.step(world.now + step)
        parts.append(part)
        found = act(world, part) if act else None
        if found is not None and found.num_rows:
            world.act(found)
        if until is not None and world.now >= until:
            break
    return world, parts


def once(moment, chosen):
    """Acts at the first step that ends at `moment` (hours) or later, on what `chosen(events so far)` says."""
    state = {"parts": [], "done": False}

    def act(world, part):
        state["parts"].append(part)
        if state["done"] or world.now < TINY.start + moment * HOUR:
            return None
        state["done"] = True
        return actions(*[(*row, world.now) for row in chosen(frame(state["parts"]))])

    return act


def busiest(events, column, **equal):
    """The value of a column that most rows have."""
    for name, value in equal.items():
        events = events.filter(pl.col(name) == value)
    counted = events.filter(pl.col(column).is_not_null()).group_by(column).len().sort("len", column, descending=True)
    return counted[column][0]
