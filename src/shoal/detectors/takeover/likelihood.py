"""Signal `login_likelihood`: how much likelier a login is from anybody than from the account's owner.

The log-likelihood ratio of Freeman et al. (NDSS 2016), log p(x) / p(x | account) + log p(account | attack) /
p(account | owner), with back-off for network and user agent, counted over successful logins in a stream. `nested`
backs off by a hierarchical Dirichlet chain with decayed counts and a concentration that each account teaches;
`published` is the formula of Wiefling et al. (TOPS 2022), kept to compare with. The object owns its tables for as long
as the engine lives; what it learns is told by events alone, never by Shoal's own verdicts. It knows no pack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from shoal.detectors.signals import Output, Setting, SettingValue, Signal, SignalDefinition
from shoal.detectors.takeover import likelihood_kernel as K  # noqa: N812 - a namespace of constants and kernels
from shoal.detectors.takeover.habits import OUTPUTS, READS, Habits
from shoal.errors import Corrupt
from shoal.events.identity import Identity
from shoal.events.schema import Flag, Kind
from shoal.expressions.frame import Frame, Layout, Valid, Values
from shoal.expressions.program import ListLike
from shoal.features.engine import Stamps

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
SMALLEST = 1024
FORGOTTEN = 2.0**-12
"""A value whose decayed weight is below this makes room for others when its table is full."""
PLACE_COLUMNS = ("lat", "lon", "network_kind")


@dataclass(frozen=True)
class Level:
    """One level of a chain: its `name` in outputs (empty: not shown), the event column (or `daypart`, `hour`), the
    coarser level in whose counts it lies, the level that its key is mixed with (a version says nothing without its
    family), its group, how many values it can have, and its weight in the published formula."""

    name: str
    column: str
    parent: int
    mixed: int
    group: int
    size: float
    weight: float = 0.0
    doc: str = ""


_NET, _AGENT, _OTHER = K.NETWORK, K.AGENT, K.OTHER
NESTED = (
    Level("country", "country", -1, -1, _NET, 2**8, doc="country of the address"),
    Level("asn", "asn", 0, 0, _NET, 2**14, doc="autonomous system of the address"),
    Level("prefix", "network", 1, -1, _NET, 2**16, doc="/24 or /48 of the address"),
    Level("address", "ip", 2, -1, _NET, 2**16, doc="address"),
    Level("device_class", "ua_device", -1, -1, _AGENT, 2**3, doc="device class of the user agent"),
    Level("os", "ua_os", 4, 4, _AGENT, 2**6, doc="operating system of the user agent"),
    Level("family", "ua_family", 5, 5, _AGENT, 2**8, doc="browser or client of the user agent"),
    Level("version", "ua_version", 6, 6, _AGENT, 2**10, doc="version of the browser or client"),
    Level("agent", "user_agent", 7, -1, _AGENT, 2**16, doc="user agent"),
    Level("daypart", "daypart", -1, -1, _OTHER, 2**4, doc="part of the day, weekend or not (UTC)"),
    Level("hour", "hour", 9, -1, _OTHER, 2**2, doc="hour of the day, weekend or not (UTC)"),
    Level("device", "device", -1, -1, _OTHER, 2**40, doc="device"),
    Level("method", "method", -1, -1, _OTHER, 2**4, doc="method of the login"),
)
PUBLISHED = (
    Level("country", "country", -1, -1, _NET, 2**8, 0.1, "country of the address"),
    Level("asn", "asn", -1, -1, _NET, 2**20, 0.3, "autonomous system of the address"),
    Level("address", "ip", -1, -1, _NET, 2**32, 0.6, "address"),
    Level("device_class", "ua_device", -1, -1, _AGENT, 2**3, 0.01, "device class of the user agent"),
    Level("os", "ua_os", -1, -1, _AGENT, 2**6, 0.19, "operating system of the user agent"),
    Level("", "ua_family", -1, -1, _OTHER, 2**8),
    Level("version", "ua_version", -1, 5, _AGENT, 2**16, 0.27, "browser or client and its version"),
    Level("agent", "user_agent", -1, -1, _AGENT, 2**24, 0.53, "user agent"),
)
"""Weights as Wiefling et al. set them: the address and the whole user agent count most, country and class least."""
CHURN = (3, 7)
"""The nested levels whose concentrations are shown: address and version."""
_LOGINS = "('login.attempted', 'login.succeeded', 'login.failed', 'challenge.issued')"


def levels_of(settings: Mapping[str, SettingValue]) -> tuple[Level, ...]:
    """The levels of the formula that the settings name."""
    return PUBLISHED if settings["formula"] == "published" else NESTED


class LoginLikelihood(Signal):
    """See the module's docstring; docs/takeover.md is the manual.

    A row teaches if `learns` holds, Shoal did not cause it and it is not late. A failed login or challenge never does;
    a challenge that was passed does, through the login that follows. Rows without an account are neither scored nor
    learned; a level whose column is null is left out of the row's sums.
    """

    kind = "login_likelihood"
    version = 2
    settings: ClassVar[Mapping[str, Setting]] = {
        "scores": Setting("condition", f"type in {_LOGINS}", "rows that get values"),
        "learns": Setting("condition", "type = 'login.succeeded'", "rows that are the owner's, as far as is known"),
        "fails": Setting("condition", "type in ('login.failed', 'challenge.failed')", "rows counted as failures"),
        "formula": Setting("word", "nested", "how levels are put together", allowed=("nested", "published")),
        "half_life": Setting("seconds", 180 * 86_400, "time in which a login loses half its weight; 0: never"),
        "young": Setting("number", 1.0, "logins that an account has before its first", 1e-6, 1e6),
        "adapt": Setting(
            "number", 2.0, "how many new values outweigh what is usual for all accounts; 0: all accounts alike", 0, 1e6
        ),
        "pair": Setting("number", 1.0, "how slowly user agents are tied to networks; 0: never", 0, 1e6),
    }

    def __init__(
        self, definition: SignalDefinition, layout: Layout, identity: Identity, lists: Mapping[str, ListLike]
    ) -> None:
        super().__init__(definition, layout, identity, lists)
        given, self._levels = definition.settings, levels_of(definition.settings)
        plain = self._levels is PUBLISHED
        made = {"daypart": K.DAYPART, "hour": K.HOUR}
        self._level_rows = np.array(
            [
                (made.get(one.column, layout.index.get(one.column, -1)), one.parent, one.mixed, one.group)
                for one in self._levels
            ],
            dtype=np.int64,
        )
        self._numbers = np.array([[one.size for one in self._levels], [one.weight for one in self._levels]])
        self._account = layout.index.get("account", -1)
        places = [layout.index.get(name, -1) for name in PLACE_COLUMNS]
        places += [identity.id_of(word) for word in ("home", "office", "unknown")]
        self._places = np.array(places, dtype=np.int64)
        self._options = np.zeros(K.OPTIONS)
        self._options[K.HALF_LIFE] = float(given["half_life"]) * 1e6  # type: ignore[arg-type]
        self._options[K.YOUNG] = float(given["young"])  # type: ignore[arg-type]
        self._options[K.STRENGTH] = float(given["adapt"])  # type: ignore[arg-type]
        self._options[K.PAIR] = 0.0 if plain else float(given["pair"])  # type: ignore[arg-type]
        self._options[K.PLAIN] = float(plain)
        self._options[K.PAIR_NETWORK], self._options[K.PAIR_AGENT] = 1, 6
        self._habits = None if plain else Habits(layout, self._places, self._options[K.HALF_LIFE])
        names = list(self.outputs(given))
        self._outputs = len(names)
        shown = [names.index(one.name) if one.name else -1 for one in self._levels]
        self._shown = np.array([*shown, names.index("logins"), *((-1, -1) if plain else CHURN)], dtype=np.int64)
        self._reset(SMALLEST, SMALLEST, SMALLEST)

    @classmethod
    def outputs(cls, settings: Mapping[str, SettingValue]) -> Mapping[str, Output]:
        """Log ratios in nats: above 0 speaks for somebody else."""
        nats = "nats"
        found = {
            "total": Output(Kind.FLOAT, "log-likelihood ratio of the login: network, user agent and account", nats),
            "network": Output(Kind.FLOAT, "the part of the network", nats),
            "user_agent": Output(Kind.FLOAT, "the part of the user agent", nats),
            "pair": Output(Kind.FLOAT, "the part of this user agent in this network, beyond each alone", nats),
            "prior": Output(Kind.FLOAT, "the part of the account: how seldom it logs in", nats),
        }
        for one in levels_of(settings):
            if one.name:
                found[one.name] = Output(Kind.FLOAT, f"log ratio of the {one.doc}", nats)
                found[f"{one.name}_seen"] = Output(Kind.BOOL, f"whether the account has logged in with this {one.doc}")
                found[f"{one.name}_accounts"] = Output(Kind.INT, f"accounts that have logged in with this {one.doc}")
        found["logins"] = Output(Kind.INT, "logins of the account so far", "logins")
        found["failures"] = Output(Kind.INT, "failures since the account's last login", "failures")
        found["gap_min"] = Output(Kind.FLOAT, "time since the account's last login", "min")
        found["history_h"] = Output(Kind.FLOAT, "time since the account's first login", "h")
        found["speed_kmh"] = Output(
            Kind.FLOAT, "speed from the last place that is trusted, weighted by the trust in both", "km/h"
        )
        if levels_of(settings) is NESTED:
            found["address_churn"] = Output(Kind.FLOAT, "how readily the account changes its address (logarithm)")
            found["version_churn"] = Output(Kind.FLOAT, "how readily the account changes its version (logarithm)")
            found |= OUTPUTS
        return found

    @classmethod
    def reads(cls, settings: Mapping[str, SettingValue]) -> frozenset[str]:
        """The account, the levels' columns and the place."""
        made = {one.column for one in levels_of(settings)} - {"daypart", "hour"}
        habits = READS if levels_of(settings) is NESTED else ()
        return frozenset({"account", *made, *PLACE_COLUMNS, *habits})

    def update(self, frame: Frame, stamps: Stamps, values: Values, valid: Valid) -> None:
        """See `Signal.update`. Cost: about 4 µs a row."""
        size = frame.size
        values[: self._outputs, :size] = 0
        valid[: self._outputs, :size] = 0
        if not size or self._account < 0:
            return
        asked = (self.masks(frame) == 1).astype(np.int8)
        late = (np.asarray(stamps.flags[:size]).astype(np.int64) & int(Flag.LATE)) != 0
        asked[1:, late | (np.asarray(stamps.shoal[:size]) != 0)] = 0
        out, ok = np.zeros((self._outputs, size), np.int64), np.zeros((self._outputs, size), np.uint8)
        as_of = np.ascontiguousarray(stamps.as_of[:size], dtype=np.int64)
        row = 0
        while True:
            row = K.run(
                frame.values, frame.valid, row, size, self._account, as_of, asked, self._level_rows, self._numbers,
                self._places, self._options, self._head, self._totals, self._account_keys, self._account_rows,
                self._rows, self._own_keys, self._own_cells, self._common_keys, self._common_cells, self._shown, out,
                ok,
            )  # fmt: skip
            if row == size:
                break
            self._make_room(int(as_of[row]))
        if self._habits is not None:
            first = self._outputs - len(OUTPUTS)
            self._habits.update(frame, as_of, asked, out[first:], ok[first:])
        values[: self._outputs, :size] = out
        valid[: self._outputs, :size] = ok

    def _reset(self, accounts: int, own: int, common: int) -> None:
        count = len(self._levels)
        self._head = np.zeros(K.HEAD)
        self._head[K.EPOCH] = K.NONE
        self._totals = np.zeros((count, 2))
        self._account_keys, self._account_rows = np.zeros(accounts, np.int64), np.zeros(accounts, np.int64)
        self._rows = np.zeros((int(accounts * K.FULL) + 1, K.ADAPT + 2 * count))
        self._own_keys, self._own_cells = np.zeros(own, np.int64), np.zeros((own, 1))
        self._common_keys, self._common_cells = np.zeros(common, np.int64), np.zeros((common, 2))

    def _make_room(self, as_of: int) -> None:
        """Larger tables where they are full; what has decayed away is dropped first."""
        head, count = self._head, len(self._levels)
        if head[K.ACCOUNTS_USED] + 1 > min(K.FULL * len(self._account_keys), len(self._rows)):
            keys, rows = np.zeros(2 * len(self._account_keys), np.int64), np.zeros((2 * len(self._account_rows), 1))
            old = np.zeros((len(self._account_rows), 1))
            old[:, 0] = self._account_rows
            K.refill(self._account_keys, old, keys, rows, -1.0)
            self._account_keys, self._account_rows = keys, rows[:, 0].astype(np.int64)
            more = np.zeros((int(len(keys) * K.FULL) + 1, self._rows.shape[1]))
            more[: len(self._rows)] = self._rows
            self._rows = more
        decays = self._options[K.HALF_LIFE] > 0
        least = FORGOTTEN * K.weight_at(head, self._options, as_of) if decays else -1.0
        if head[K.OWN_USED] + count + 1 > K.FULL * len(self._own_keys):
            self._own_keys, self._own_cells, head[K.OWN_USED] = _grown(self._own_keys, self._own_cells, least)
        if head[K.COMMON_USED] + count > K.FULL * len(self._common_keys):
            found = _grown(self._common_keys, self._common_cells, least)
            self._common_keys, self._common_cells, head[K.COMMON_USED] = found

    def snapshot(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """The tables as they stand."""
        used = int(self._head[K.ACCOUNTS_USED])
        return {
            "head": self._head.copy(), "totals": self._totals.copy(), "account_keys": self._account_keys.copy(),
            "account_rows": self._account_rows.copy(), "rows": self._rows[:used].copy(),
            "own_keys": self._own_keys.copy(), "own_cells": self._own_cells.copy(),
            "common_keys": self._common_keys.copy(), "common_cells": self._common_cells.copy(),
            **(self._habits.snapshot() if self._habits is not None else {}),
        }  # fmt: skip

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """See `Signal.restore`. Raises `Corrupt` for other names, kinds, shapes or counts that contradict them."""
        mine = self.snapshot()
        if set(arrays) != set(mine):
            raise Corrupt(f"login_likelihood: the snapshot holds {sorted(arrays)}, not {sorted(mine)}")
        for name, own in mine.items():
            other = arrays[name]
            same = other.dtype == own.dtype and other.ndim == own.ndim
            if not same or other.shape[1:] != own.shape[1:]:
                raise Corrupt(f"login_likelihood: {name} is {other.dtype} {other.shape}, not {own.dtype} {own.shape}")
        _check_state(arrays)
        if self._habits is not None:
            self._habits.restore(arrays)
        self._reset(*(len(arrays[f"{name}_keys"]) for name in ("account", "own", "common")))
        self._head[:], self._totals[:] = arrays["head"], arrays["totals"]
        self._account_keys[:], self._account_rows[:] = arrays["account_keys"], arrays["account_rows"]
        self._rows[: len(arrays["rows"])] = arrays["rows"]
        self._own_keys[:], self._own_cells[:] = arrays["own_keys"], arrays["own_cells"]
        self._common_keys[:], self._common_cells[:] = arrays["common_keys"], arrays["common_cells"]

    def warm(self) -> None:
        """See `Signal.warm`."""
        kept = self.snapshot()
        frame = Frame.empty(self.layout, 1)
        frame.size = 1
        zero = np.zeros(1, np.int64)
        stamps = Stamps(zero, zero, zero, zero.astype(np.uint8), zero.astype(np.uint8))
        self.update(frame, stamps, np.zeros((self._outputs, 1), np.int64), np.zeros((self._outputs, 1), np.uint8))
        K.refill(np.zeros(2, np.int64), np.zeros((2, 1)), np.zeros(2, np.int64), np.zeros((2, 1)), 0.0)
        K.count_kept(np.zeros(2, np.int64), np.zeros((2, 1)), 0.0)
        K.weight_at(self._head, self._options, 0)
        self.restore(kept)


def _grown(keys: Ints, cells: Floats, least: float) -> tuple[Ints, Floats, int]:
    """A table without entries below `least`, twice as large unless that alone made room enough."""
    kept = K.count_kept(keys, cells, least)
    size = len(keys) if kept <= K.FULL / 2 * len(keys) and len(keys) > 64 else 2 * len(keys)
    new_keys, new_cells = np.zeros(size, np.int64), np.zeros((size, cells.shape[1]))
    used = K.refill(keys, cells, new_keys, new_cells, least)
    return new_keys, new_cells, int(used)


def _check_state(arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Refuse tables whose sizes are no powers of two, whose counts are not those of the head, or numbers that no
    state has."""
    problems = []
    head = arrays["head"]
    counts = {"account": K.ACCOUNTS_USED, "own": K.OWN_USED, "common": K.COMMON_USED}
    for name, at in counts.items():
        keys = arrays[f"{name}_keys"]
        size = len(keys)
        cells = arrays["account_rows" if name == "account" else f"{name}_cells"]
        if size < 64 or size & (size - 1) or len(cells) != size:
            problems.append(f"{name} has {size} keys and {len(cells)} cells")
        elif len(head) != K.HEAD or np.count_nonzero(keys) != head[at] or head[at] > K.FULL * size + 1:
            problems.append(f"{name} does not hold as many entries as the head says")
    rows, used = arrays["account_rows"], arrays["rows"]
    if len(rows) and (int(rows.max()) >= max(len(used), 1) or int(rows.min()) < 0):
        problems.append("an account points behind the rows")
    if len(head) == K.HEAD and len(used) != head[K.ACCOUNTS_USED]:
        problems.append("there are not as many rows as accounts")
    for name in ("head", "totals", "rows", "own_cells", "common_cells"):
        if not np.isfinite(arrays[name]).all():
            problems.append(f"{name} holds a number that is not finite")
    if problems:
        raise Corrupt("login_likelihood: " + "; ".join(problems))
