"""A made-up service with a known truth, for fitting and judging: honest accounts, hijacked ones, and labels that come
late, rarely and sometimes wrongly.

Each account acts at random times. A row's inputs are counts, ages, shares and constants of which some depend on
whether the account is in a stranger's hands; `probability` is the true chance that a row like this is abusive, by
Bayes from the densities that made it. It knows nothing of how models are fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoal.detectors.models.definition import Input, ModelDefinition
from shoal.events.labels import LABEL_SCHEMA
from shoal.events.schema import Kind
from shoal.learn.frame import FrameBuilder, Provenance, TrainingFrame

Floats = npt.NDArray[np.float64]
DAY_US = 86_400_000_000
START_US = 1_767_225_600_000_000  # 2026-01-01
NAMES = (
    "failures",
    "new_network",
    "distance",
    "hour_oddity",
    "downloads",
    "age_days",
    "constant",
    "noise_1",
    "noise_2",
)


@dataclass(frozen=True)
class World:
    """The frame with its labels (rows of `LABEL_SCHEMA`), and by row the truth and the true probability."""

    frame: TrainingFrame
    labels: list[dict[str, object]]
    abusive: npt.NDArray[np.bool_]
    probability: Floats
    end_us: int


def make_world(
    seed: int,
    *,
    accounts: int = 2000,
    hijacked: float = 0.05,
    days: int = 56,
    rows_per_week: float = 2.0,
    reported: float = 1.0,
    delay_days: float = 3.0,
    signal: float = 1.2,
    prefix: str = "a",
    budgets: dict[str, float] | None = None,
) -> World:
    """Draw a world. `reported`: the chance that a hijacked account is ever labelled; `signal`: how far abusive rows
    stand from honest ones."""
    chance = np.random.default_rng(seed)
    count = chance.poisson(rows_per_week * days / 7, accounts) + 1
    victim = chance.random(accounts) < hijacked
    begin = START_US + (chance.uniform(0.05, 0.95, accounts) * days * DAY_US).astype(np.int64)
    end = begin + (chance.uniform(1, 4, accounts) * DAY_US).astype(np.int64)
    account = np.repeat(np.arange(accounts), count)
    time = START_US + np.sort(chance.integers(0, days * DAY_US, len(account)))
    account = account[chance.permutation(len(account))]
    bursts = np.flatnonzero(victim)
    extra = chance.poisson(3, len(bursts)) + 1  # strangers are in a hurry
    more = np.repeat(bursts, extra)
    burst_times = begin[more] + (chance.random(len(more)) * (end[more] - begin[more])).astype(np.int64)
    account, time = np.concatenate([account, more]), np.concatenate([time, burst_times])
    order = np.argsort(time, kind="stable")
    account, time = account[order], time[order]
    abusive = victim[account] & (time >= begin[account]) & (time < end[account])
    x, log_ratio = _inputs(chance, abusive, account, accounts, signal)
    share = float(abusive.mean())
    probability = 1 / (1 + np.exp(-(np.log(share / (1 - share)) + log_ratio)))
    labels = _labels(chance, victim, begin, end, reported, delay_days, prefix)
    definition = ModelDefinition(
        "takeover.model",
        "account_takeover",
        "type = 'login.succeeded'",
        NAMES,
        ("account_takeover",),
        budgets=budgets or {"watch": 100.0, "challenge": 30.0},
        monotone={"failures": 1},
        description="Logins of a stranger (made-up data)",
    )
    inputs = [Input(name, Kind.FLOAT, description=name.replace("_", " ")) for name in NAMES]
    builder = FrameBuilder(definition, inputs)
    names = np.array([f"{prefix}{number}" for number in range(accounts)])
    builder.add(
        seq=np.arange(len(time)),
        as_of=time,
        time=time,
        subject=names[account],
        account=names[account],
        x=x,
        slices={
            "account_age_s": x[:, 5] * 86_400,
            "mobile": (account % 3 == 0).astype(np.float64),
            "vpn": (account % 5 == 0).astype(np.float64),
        },
    )
    frame = builder.frame(Provenance("made-up", "1", "0" * 16, 0, len(time) - 1))
    return World(frame, labels, abusive, probability, START_US + days * DAY_US)


# rates of failures and downloads, means of new_network, distance, hour_oddity (in units of `signal`)
USUAL, TRAVELLER = (0.3, 2.0, 0.0, 0.0, 0.0), (0.3, 2.0, 1.5, 1.5, 0.5)
NOISY, QUIET = (4.0, 2.0, 0.5, 0.5, 1.0), (0.3, 9.0, 1.5, 1.0, 0.0)
SHARES = {USUAL: 0.95, TRAVELLER: 0.05, NOISY: 0.5, QUIET: 0.5}
"""Shares among honest rows, and among abusive ones: no single input, and no sum of inputs, tells them apart."""


def _inputs(
    chance: np.random.Generator,
    abusive: npt.NDArray[np.bool_],
    account: npt.NDArray[np.int64],
    accounts: int,
    signal: float,
) -> tuple[Floats, Floats]:
    """Inputs, and the log of the likelihood ratio of abuse from the densities that they were drawn from."""
    n = len(abusive)
    second = chance.random(n) < np.where(abusive, SHARES[QUIET], SHARES[TRAVELLER])
    kinds = np.array([USUAL, TRAVELLER, NOISY, QUIET])
    drawn = kinds[2 * abusive + second]
    counts = chance.poisson(drawn[:, :2]).astype(np.float64)
    places = chance.normal(signal * drawn[:, 2:], 1.0)

    def density(kind: tuple[float, float, float, float, float]) -> Floats:
        rates, means = np.array(kind[:2]), signal * np.array(kind[2:])
        logs = (counts * np.log(rates) - rates).sum(axis=1) - ((places - means) ** 2).sum(axis=1) / 2
        return np.asarray(SHARES[kind] * np.exp(logs), np.float64)

    ratio = np.log(density(NOISY) + density(QUIET)) - np.log(density(USUAL) + density(TRAVELLER))
    age = chance.exponential(200, accounts)[account]
    noise = chance.normal(size=(n, 2))
    noise[chance.random(n) < 0.1, 0] = np.nan
    return np.column_stack([counts[:, 0], places, counts[:, 1], age, np.full(n, 7.0), noise]), ratio


def _labels(
    chance: np.random.Generator,
    victim: npt.NDArray[np.bool_],
    begin: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    reported: float,
    delay_days: float,
    prefix: str,
) -> list[dict[str, object]]:
    rows = []
    for number in np.flatnonzero(victim).tolist():
        told, delay = chance.random() < reported, int(chance.exponential(delay_days) * DAY_US)
        if told:
            values = (
                "account", f"{prefix}{number}", "account_takeover", int(begin[number]), int(end[number]), "support",
                0.9, int(begin[number]) + delay, False, number,
            )  # fmt: skip
            rows.append(dict(zip(LABEL_SCHEMA.names, values, strict=True)))
    return rows
