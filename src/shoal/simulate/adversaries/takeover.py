"""Targeted takeover: the password (or a token) is in the intruder's hands, and he comes from near the victim."""

from __future__ import annotations

import numpy as np

from shoal.simulate.adversaries.intruder import Entries, live_inside, login_rows
from shoal.simulate.adversaries.stage import Stage
from shoal.simulate.draws import SECOND, micros, ragged, running
from shoal.simulate.people import DEVICES, device_code
from shoal.simulate.rows import Rows, rows


def plan_takeover(stage: Stage) -> list[Rows]:
    """A few failures, the login, then life inside."""
    spec, rng = stage.adversary, stage.rng
    victims = rng.permutation(stage.victims(spec.victims))
    size = len(victims)
    time = stage.moments(size)
    address = stage.near(spec.origin, spec.near, victims)
    agent = stage.agents(spec.tool, size, victims, time)
    token = rng.random(size) < spec.token
    own = device_code(victims, np.zeros(size, np.int64), np.zeros(size, np.int64))
    stolen = (1 << 57) + victims * DEVICES  # the session that the first device held at the start
    tries = Entries(
        victims, time, address, np.where(token, own, stage.codes(size)), agent,
        np.where(token, stolen, stage.codes(size)),
    )  # fmt: skip
    by_login = np.flatnonzero(~token)
    counts = rng.poisson(spec.failures, len(by_login))
    group, _ = ragged(counts)
    at = by_login[group]
    gaps = micros(rng.uniform(5, 40, len(at)))
    out = [
        rows(
            "login.failed", time[at] - 30 * SECOND - running(gaps, counts), account=victims[at],
            device=tries.device[at], address=address[at], agent=agent[at],
            method="password", reason="bad_password", outcome="failure", **stage.truth(),
        )
    ]  # fmt: skip
    more, inside = login_rows(stage, tries.some(by_login), passes=spec.passes_challenge)
    out += more
    carried = tries.some(token)
    out.append(rows("session.used", carried.time, **carried.who(), method="token", **stage.truth()))
    entered = np.concatenate([by_login[inside], np.flatnonzero(token)])
    return out + live_inside(stage, tries.some(entered))
