"""Logins of a simulated service with all that is known at the login, and within five minutes after it.

A world of the simulator with intruders (`account_takeover`) goes through the signal and the feature engine, as a pack
would have it; a row is a login that succeeded. `at_login` columns are known when the login is decided, `after` ones
five minutes later: what the session has done since. Nothing here looks at the truth but for the labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.takeover_rows import counted
from benchmarks.takeover_scores import IDENTITY, LAYOUT, columns_of, frame_of, signal_of
from shoal.enrich.enricher import Enricher
from shoal.events.schema import Kind
from shoal.features.definitions import FeatureDefinition
from shoal.features.engine import FeatureEngine
from shoal.simulate import Scenario, read_scenario, simulate

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
LOGINS = ("login.succeeded", "login.failed", "challenge.issued", "challenge.passed", "challenge.failed")
AFTER = {
    "downloads": ("file.downloaded",),
    "changes": ("password.changed", "email.changed", "mfa.enrolled", "mfa.removed"),
    "apps": ("app.authorized",),
    "shares": ("folder.shared", "link.created"),
    "uploads": ("file.uploaded", "file.modified", "file.renamed"),
    "deletions": ("file.deleted",),
}
"""What a session does, by kinds of events."""
WINDOW_US = 300_000_000
_FAILED = "type = 'login.failed'"
WINDOWS = (
    FeatureDefinition("ip_failed", "count", ("ip",), 3_600, where=_FAILED),
    FeatureDefinition("ip_accounts", "distinct", ("ip",), 86_400, value="account"),
    FeatureDefinition("network_failed", "count", ("network",), 3_600, where=_FAILED),
    FeatureDefinition("account_failed", "count", ("account",), 3_600, where=_FAILED),
    FeatureDefinition("account_failed_networks", "distinct", ("account",), 86_400, value="network", where=_FAILED),
    FeatureDefinition("account_challenged", "count", ("account",), 1_800, where="type = 'challenge.issued'"),
    FeatureDefinition("account_challenge_failed", "count", ("account",), 86_400, where="type = 'challenge.failed'"),
    FeatureDefinition("account_resets", "count", ("account",), 86_400, where="type = 'password.reset'"),
    FeatureDefinition("device_accounts", "distinct", ("device",), 86_400, value="account"),
    FeatureDefinition("network_new", "count", ("network",), 86_400, where="type = 'login.succeeded'"),
)  # fmt: skip
"""Windows beside the signal, as a pack would define them."""


@dataclass(frozen=True)
class Inside:
    """Logins that succeeded, by time: columns [n] (NaN where unknown), the attack of each (empty: honest), its account
    and event id; the published ratio beside."""

    at_login: dict[str, Floats]
    after: dict[str, Floats]
    attack: npt.NDArray[np.str_]
    account: npt.NDArray[np.str_]
    event: npt.NDArray[np.str_]
    published: Floats


def read_inside(given: Path | Scenario, seed: int, least: int = 1) -> Inside:
    """The logins of a scenario's world of accounts that have logged in `least` times before, from the first day of
    takeovers on (honest logins of earlier days would be told apart by how short all histories are)."""
    scenario = given if isinstance(given, Scenario) else read_scenario(given)
    world = simulate(scenario, seed=seed)
    kept_types = pa.array((*LOGINS, "password.reset", *(name for types in AFTER.values() for name in types)))
    parts, truths = [], []
    for part in world.parts():
        parts.append(part.events.filter(pc.is_in(part.events["type"], kept_types)))
        truths.append(part.truth)
    events = pa.concat_tables(parts, promote_options="default")
    events = events.take(pc.sort_indices(events, [("time", "ascending"), ("event_id", "ascending")]))
    truth = pa.concat_tables(truths)
    truth = truth.filter(pc.and_(truth["harmful"], pc.equal(truth["kind"], "account_takeover")))
    logins = events.filter(pc.is_in(events["type"], pa.array((*LOGINS, "password.reset"))))
    logins = Enricher().enrich(logins)
    frame, stamps = frame_of(logins)
    columns = columns_of(signal_of(), frame, stamps)
    published = columns_of(signal_of(formula="published", half_life=0), frame, stamps)["total"]
    engine = FeatureEngine(WINDOWS, LAYOUT, IDENTITY, history_complete=True)
    block = engine.update(frame, stamps)
    for row, name in enumerate(engine.names):
        raw = block.values[row, : frame.size]
        numbers = raw.view(np.float64) if engine.kinds[row] is Kind.FLOAT else raw.astype(np.float64)
        columns[name] = np.where(block.valid[row, : frame.size] == 1, numbers, np.nan)
    for kind in ("home", "mobile", "office", "vpn", "hosting"):
        columns[f"from_{kind}"] = np.asarray(pc.equal(logins["network_kind"], kind)).astype(float)
    success = np.asarray(pc.equal(logins["type"], "login.succeeded"))
    accounts = logins["account"].to_numpy(zero_copy_only=False).astype(str)
    _, codes = np.unique(accounts, return_inverse=True)
    before, _ = counted(codes, success)
    ids = logins["event_id"].to_numpy(zero_copy_only=False).astype(str)
    attacks = dict(zip(truth["event_id"].to_pylist(), truth["attack"].to_pylist(), strict=True))
    attack = np.array([attacks.get(one, "") for one in ids])
    starts = [one.start_day for one in scenario.adversaries if one.kind == "account_takeover"]
    since = scenario.start + int(min(starts, default=0) * 86_400e6)
    rows = np.flatnonzero(success & (before >= least) & (logins["time"].to_numpy() >= since))
    after = _after(events, logins, rows)
    return Inside({name: column[rows] for name, column in columns.items()}, after, attack[rows], accounts[rows],
                  ids[rows], published[rows])  # fmt: skip


def _after(events: pa.Table, logins: pa.Table, rows: Ints) -> dict[str, Floats]:
    """What the session of each login does in the five minutes after it."""
    sessions = pc.unique(pc.drop_null(logins["session"]))
    of_login = pc.index_in(logins["session"].take(pa.array(rows)), sessions).to_numpy(zero_copy_only=False)
    start = logins["time"].to_numpy()[rows]
    span = np.int64(1) << 52
    origin = int(start.min()) if len(start) else 0
    found = {}
    first = np.full(len(rows), np.inf)
    for name, types in AFTER.items():
        some = events.filter(pc.and_(pc.is_in(events["type"], pa.array(types)), pc.is_valid(events["session"])))
        of_event = pc.index_in(some["session"], sessions)
        known = np.asarray(pc.is_valid(of_event))
        key = np.sort(of_event.drop_null().to_numpy() * span + some["time"].to_numpy()[known] - origin)
        low_key = np.nan_to_num(of_login).astype(np.int64) * span + start - origin
        low, high = np.searchsorted(key, low_key), np.searchsorted(key, low_key + WINDOW_US)
        found[f"after_{name}"] = (high - low).astype(float)
        hit = high > low
        first[hit] = np.minimum(first[hit], (key[low[hit]] - low_key[hit]) / 1e6)
    found["after_first_s"] = np.where(np.isfinite(first), first, np.nan)
    return found
