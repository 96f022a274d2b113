"""Co-action: pairs of accounts that meet on the same objects more often than chance lets them.

Two actions on one object at most a window apart are a meeting, unless so many accounts acted there in that time that
it says nothing. A pair is given what it shares by window, what its rarity weighs, p and q against chance, and a
log-likelihood ratio. The counting is SQL (`texts`) on an engine of the caller's choice, the judging `significance`;
here they are joined. Pure: the same table gives the same answer on any engine, in any order of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.coordination.coaction import texts
from shoal.coordination.coaction.actions import checked, null_of
from shoal.coordination.coaction.engines import DuckEngine, Engine
from shoal.coordination.coaction.settings import CoActionSettings
from shoal.coordination.coaction.significance import Side, expected, log_ratio, p_values, pairs_by_chance, q_values
from shoal.coordination.evidence import PairEvidence

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
SMALL = 1_000_000  # actions up to which all objects are looked at for how near meetings are


@dataclass(frozen=True)
class Capped:
    """What was too popular to be evidence at a window: cells, and the accounts in them (summed over cells)."""

    window_s: int
    cells: int
    accounts: int


@dataclass(frozen=True)
class CoAction:
    """Pairs with at least `settings.least` shared objects, sorted by (left, right), `left < right`.

    `left`, `right` int64 [pairs]: account ids as given. `shared` int64 [pairs, windows]: objects on which they met
    within each window (a longer one counts those of the shorter). `chance` float64 [pairs, windows]: what the null
    expects. `weight` float64: the sum of 1 / log2(1 + company) over shared objects (2 accounts alone: 1). `jaccard`:
    shared objects of all that either acted upon. `p`, `q`, `llr`: see `significance`. `accounts`: with enough actions
    to be compared; `tested`: pairs of them. `read`: rows read. `members`: the accounts (all that were compared, or
    those in pairs) with their `share` of all places and the `company0` … that chance gives them by window.
    """

    settings: CoActionSettings
    left: Ints
    right: Ints
    shared: Ints
    chance: Floats
    weight: Floats
    jaccard: Floats
    p: Floats
    q: Floats
    llr: Floats
    accounts: int
    tested: int
    read: int
    capped: tuple[Capped, ...]
    members: pa.Table

    @property
    def size(self) -> int:
        """Number of pairs."""
        return len(self.left)

    @property
    def significant(self) -> npt.NDArray[np.bool_]:
        """Which pairs are evidence: q within the false-discovery rate, and enough in common for their activity."""
        return (self.q <= self.settings.fdr) & (self.jaccard >= self.settings.least_jaccard)

    def evidence(self) -> PairEvidence:
        """The significant pairs, as the fusion reads them; support is the shared objects of the longest window."""
        at = np.flatnonzero(self.significant)
        return PairEvidence("coaction", self.left[at], self.right[at], self.llr[at], self.shared[at, -1])


def coaction(
    events: pa.Table, settings: CoActionSettings | None = None, engine: Engine | None = None, *,
    everybody: bool = False,
) -> CoAction:  # fmt: skip
    """Pairs that co-act in a table of actions (`account`, `object`, `time` µs; int64).

    `engine`: DuckDB in this process where none is given (and closed again). `everybody`: `members` tells of all
    accounts that were compared. Raises `InvalidInput` for a table that
    cannot be read. Cost: some 4 CPU-seconds a million actions, 3 GB for ten million (`docs/adr/0009`).
    """
    settings = settings or CoActionSettings()
    rows = checked(events)
    own = engine is None
    used = engine or DuckEngine(settings)
    try:
        used.load("events", rows.table)
        return run(used, settings, ids=rows.ids, read=len(rows.time), everybody=everybody)
    finally:
        used.forget("events")
        if own:
            used.close()


def run(
    engine: Engine, settings: CoActionSettings, *, ids: Ints | None = None, read: int = 0, everybody: bool = False
) -> CoAction:
    """The same on an engine that knows a table `events` already, as on a lake that does not fit into one machine.

    Accounts there are codes from 0 to 2^31 - 1, the places of `ids` (none: the codes are the ids), and nothing is
    checked; `read`: how many rows it has, 0 for not counted. `everybody`: `members` tells of all accounts that were
    compared, not only of those in pairs.
    """
    windows, levels = settings.windows, len(settings.windows)
    made = _placed(engine, settings)
    try:
        engine.keep("candidates", texts.text(
            texts.CANDIDATES, meetings=texts.meetings(windows, "placed"), least=settings.least))  # fmt: skip
        engine.keep("members", texts.text(texts.MEMBERS))
        for level in range(levels):
            engine.keep(f"chosen{level}", texts.text(texts.CHOSEN, level=level))
        engine.keep("met", texts.text(texts.MEETINGS, meetings=texts.meetings(windows, "chosen")))
        pairs = engine.read(texts.pairs(windows, settings.least)).sort_by([("a", "ascending"), ("b", "ascending")])
        told = engine.read(texts.accounts(levels, "active" if everybody else "members")).sort_by("account")
        whole = engine.read(texts.text(texts.WHOLE, longest=levels - 1)).to_pylist()[0]
        objects = engine.read(texts.text(texts.OBJECTS, longest=levels - 1))
        near = _near(engine, settings, 1 if 0 < read <= SMALL else texts.SAMPLE)
        capped = tuple(
            Capped(window, *(int(value[0].as_py() or 0) for value in _capped(engine, level, settings).columns))
            for level, window in enumerate(settings.windows_s)
        )
    finally:
        for name in (*made, "candidates", "members", "met", *(f"chosen{i}" for i in range(levels))):
            engine.forget(name)
    return _judged(settings, ids, pairs, told, objects, near, Whole(whole["accounts"], whole["slots"], read, capped))


def calibrate(
    events: pa.Table, settings: CoActionSettings | None = None, seeds: Sequence[int] = (0,), *,
    within_s: int | None = None,
) -> CoActionSettings:  # fmt: skip
    """The settings with `inflation` measured: by window, how far chance exceeds the model in shuffled tables.

    Each seed runs `coaction` on `null_of(events, seed)`. What is expected is raised until the model expects as many
    pairs as were found, plus two standard errors; never lowered. Costs as much as one `coaction` a seed.
    """
    settings = replace(settings or CoActionSettings(), inflation=())
    found = np.zeros(len(settings.windows))
    expectation: list[tuple[Floats, Floats]] = []
    for seed in seeds:
        one = coaction(null_of(events, seed, within_s=within_s), settings, everybody=True)
        found += (one.shared >= settings.least).sum(axis=0)
        expectation.append(_model(one))
    factors = []
    for level, count in enumerate(found):
        wanted = (count + 2 * np.sqrt(count)) if count else 0.0
        factors.append(_factor(expectation, level, settings.least, float(wanted)))
    return replace(settings, inflation=tuple(factors))


def _factor(models: Sequence[tuple[Floats, Floats]], level: int, least: int, wanted: float) -> float:
    """The least factor ≥ 1 at which the models expect so many pairs together."""

    def told(factor: float) -> float:
        return sum(pairs_by_chance(company[:, level] * factor, share, least) for company, share in models)

    low, high = 1.0, 1.0
    while told(high) < wanted and high < 1e5:
        high *= 2
    for _ in range(20 if high > 1 else 0):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if told(middle) < wanted else (low, middle)
    return round(high, 3) if high > 1 else 1.0


def _model(found: CoAction) -> tuple[Floats, Floats]:
    """Company by window and share of places of all accounts compared."""
    columns = [found.members.column(f"company{i}").to_numpy() for i in range(len(found.settings.windows))]
    return np.column_stack(columns), found.members.column("share").to_numpy()


def _placed(engine: Engine, settings: CoActionSettings) -> list[str]:
    """Places of all windows, the longest first; each shorter one sees only what the longer could not settle."""
    engine.keep("active", texts.text(texts.ACTIVE, least=settings.least))
    engine.keep("kept", texts.text(texts.KEPT))
    made, pending = ["active", "kept"], "kept"
    for level in reversed(range(len(settings.windows))):
        window = settings.windows[level]
        engine.keep(f"presence{level}", texts.text(texts.PRESENCE, window=window, pending=pending))
        engine.keep(f"cells{level}", texts.text(texts.CELLS, level=level))
        engine.keep(f"live{level}", texts.text(texts.LIVE, level=level, cap=settings.cap, window=window))
        engine.keep(f"placed{level}", texts.text(texts.PLACED, level=level))
        engine.forget(f"live{level}")
        made += [f"presence{level}", f"cells{level}", f"placed{level}"]
        if level:
            engine.keep(f"deep{level}", texts.text(texts.DEEP, level=level, cap=settings.cap, window=window))
            engine.keep(f"pending{level}", texts.text(texts.PENDING, level=level, window=window, pending=pending))
            pending = f"pending{level}"
            made += [f"deep{level}", pending]
    return made


def _near(engine: Engine, settings: CoActionSettings, every: int) -> Floats:
    """Share of the company at a window's places that comes within each window, float64 [windows, windows]."""
    levels = len(settings.windows)
    out = np.zeros((levels, levels))
    for level in range(levels):
        engine.keep(f"sampled{level}", texts.text(texts.SAMPLED, level=level, every=every))
        counts = engine.read(texts.near(settings.windows, "sampled", level))
        room = engine.read(texts.text(texts.ROOM, level=level, placed="sampled")).column(0)[0].as_py()
        engine.forget(f"sampled{level}")
        for window in range(levels):
            met = counts.column(f"near{window}")[0].as_py()
            out[level, window] = (met + 1) / (
                room / 4 + 1
            )  # each meeting is in the company of two; company2 is doubled
    return np.minimum(out, 2.0)


def _capped(engine: Engine, level: int, settings: CoActionSettings) -> pa.Table:
    return engine.read(texts.text(texts.CAPPED, level=level, cap=settings.cap))


@dataclass(frozen=True)
class Whole:
    """What was read in all: accounts compared, their places, rows, and what was capped."""

    accounts: int
    slots: int
    read: int
    capped: tuple[Capped, ...]


def _judged(
    settings: CoActionSettings, ids: Ints | None, pairs: pa.Table, told: pa.Table, objects: pa.Table, near: Floats,
    whole: Whole,
) -> CoAction:  # fmt: skip
    levels = len(settings.windows)
    room = np.column_stack([told.column(f"company{i}").to_numpy() for i in range(levels)]) / 2.0
    company, share = room @ near, told.column("slots").to_numpy() / max(whole.slots, 1)
    known = told.column("account").to_numpy()
    order = np.argsort(objects.column("account").to_numpy())
    with_objects, counts = (objects.column(name).to_numpy()[order] for name in ("account", "objects"))
    ends = [pairs.column(name).to_numpy() for name in ("a", "b")]
    at = [np.searchsorted(known, end) for end in ends]
    own = [counts[np.searchsorted(with_objects, end)] for end in ends]
    a, b = (Side(company[i], room[i].sum(axis=1), share[i], k) for i, k in zip(at, own, strict=True))
    shared = np.column_stack([pairs.column(f"shared{i}").to_numpy() for i in range(levels)]).astype(np.int64)
    logs = np.column_stack([pairs.column(f"logs{i}").to_numpy() for i in range(levels)]) / texts.UNIT
    chance = expected(a, b, settings.inflated)
    p, tested = p_values(shared, chance), whole.accounts * (whole.accounts - 1) // 2
    left, right, who = (ids[one] for one in (*ends, known)) if ids is not None else (*ends, known)
    columns = {f"company{i}": company[:, i] for i in range(levels)}
    return CoAction(
        settings, left, right, shared, chance, pairs.column("weight").to_numpy() / texts.UNIT,
        shared[:, -1] / (own[0] + own[1] - shared[:, -1]), p, q_values(p, tested),
        log_ratio(shared, logs, a, b, settings.inflated), whole.accounts, tested, whole.read, whole.capped,
        pa.table({"account": who, "share": share, **columns}),
    )  # fmt: skip
