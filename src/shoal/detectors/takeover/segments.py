"""Credential stuffing and password spraying, seen by segment: the signal `login_segments`.

Failures of honest people are a stable share of their logins. The signal learns that share for all logins and for the
segments of several segmentations at once (networks, user agents, organisations …), each drawn towards its parent's,
and tests every login against it, in all of its segments, by a sequential test whose false alarms are bounded over all
segments together. Logins in a segment under attack get the segment's evidence, the successful ones too: those are what
matters. The state has a fixed size, is owned by the signal for its life, and knows of people only 31 bits of keyed
hashes. `segments_layout` says what stands where; docs/stuffing.md what the columns mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from shoal.detectors.signals import Output, Setting, SettingValue, Signal, SignalDefinition
from shoal.detectors.takeover import segments_layout as L  # noqa: N812 - a namespace of constants
from shoal.detectors.takeover.segments_kernel import Plan, State, run
from shoal.errors import Corrupt, InvalidInput, Problem, nearest_name
from shoal.events.identity import Identity
from shoal.events.schema import Flag, Kind
from shoal.expressions.frame import Frame, Layout, Valid, Values
from shoal.expressions.program import ListLike
from shoal.features.engine import Stamps

CONDITIONS = ("failed", "succeeded", "attempted", "password_right", "familiar")
SEGMENTATIONS = tuple(f"by_{number}" for number in range(1, 9))
_BY: tuple[tuple[str, ...], ...] = (
    ("network_kind",), ("asn",), ("network",), ("user_agent",), ("ua_family", "network_kind"),
    ("user_agent", "asn"), ("country", "network_kind"), ("org",),
)  # fmt: skip


def _settings() -> dict[str, Setting]:
    day = 86_400.0
    out = {
        "failed": Setting(
            "condition",
            "type = 'login.failed' AND (reason IS NULL OR reason IN ('bad_password', 'unknown_account'))",
            "an attempt that failed for its name or password",
        ),
        "succeeded": Setting("condition", "type = 'login.succeeded'", "an attempt that succeeded"),
        "attempted": Setting("condition", "type = 'login.attempted'", "an attempt of which no outcome is known yet"),
        "password_right": Setting(
            "condition",
            "type IN ('challenge.issued', 'challenge.passed', 'challenge.failed')",
            "an event behind the right password that is no login; read, not learned from",
        ),
        "familiar": Setting(
            "condition",
            "type IN ('login.succeeded', 'session.started', 'session.used', 'account.created', 'challenge.passed')",
            "an event after which the account is known with the values of `known`",
        ),
        "known": Setting("columns", ("device", "network"), "an account is known with a value of any of these columns"),
    }
    for name, columns in zip(SEGMENTATIONS, _BY, strict=True):
        out[name] = Setting("columns", columns, "columns of a segmentation; none: not used")
    more = {
        "false_campaigns_per_month": Setting(
            "number", 1.0, "false campaigns a month that may be opened, over all segments", 1e-6, 1000
        ),
        "slack": Setting("number", 1.25, "factor on the odds of the usual within which nothing is evidence", 1, 100),
        "half_life_s": Setting("seconds", 10 * day, "half-life of what is learned as usual", day, 400 * day),
        "memory_s": Setting("seconds", 3 * day, "time in which evidence of the past fades (to 1/e)", 60, 400 * day),
        "quiet_s": Setting("seconds", day / 2, "a campaign without further evidence is over after this", 60, 400 * day),
        "absorb_s": Setting("seconds", 30 * day, "a campaign that lasts longer is learned as usual", day, 4000 * day),
        "retry_s": Setting("seconds", day / 4, "failures of one account within this time count once", 60, 30 * day),
        "known_s": Setting("seconds", 60 * day, "how long an account is known with a value", 3600, 4000 * day),
        "min_accounts": Setting("integer", 10, "different accounts tried before a campaign is opened", 1, 1_000_000),
        "hit_rate": Setting("number", 0.01, "supposed share of right passwords in a campaign", 0, 1),
        "hours": Setting("integer", 8, "parts of the day (UTC) whose usual shares are learned apart", 1, 24),
        "segments": Setting("integer", 32_768, "segments remembered, rounded up to a power of two", 64, 2**24),
        "pairs": Setting("integer", 2**20, "pairs of account and value remembered, likewise", 64, 2**30),
    }  # fmt: skip
    return out | more


_OUTPUTS: Mapping[str, Output] = {
    "in_campaign": Output(
        Kind.BOOL, "a campaign stands, and makes up a fifth or more of strangers' attempts like this"
    ),
    "probability": Output(Kind.FLOAT, "odds that this attempt is a campaign's, by the excess in its segments"),
    "log_e": Output(Kind.FLOAT, "evidence of a campaign in its segments; above 0 honest logins give it once a month"),
    "excess_ratio": Output(Kind.FLOAT, "share of strangers' attempts that failed, above what is usual in the segment"),
    "failures": Output(Kind.INT, "strangers' failed attempts in the segment since the evidence began to rise"),
    "expected_failures": Output(Kind.FLOAT, "how many of these honest people would have made"),
    "accounts": Output(Kind.INT, "different accounts tried in the segment"),
    "networks": Output(Kind.INT, "different networks from which they were tried"),
    "tries_per_account": Output(Kind.FLOAT, "failed attempts for each account tried in the segment"),
    "nameless_share": Output(Kind.FLOAT, "share of failures on accounts without any history"),
    "age_s": Output(Kind.FLOAT, "time since the campaign's evidence began to rise", "s"),
    "segmentation": Output(Kind.INT, "which segmentation shows it best; 0: all logins together"),
    "known": Output(Kind.BOOL, "the account is known with this device or network"),
    "spraying": Output(Kind.BOOL, "the campaign tries its accounts more than once each: spraying rather than stuffing"),
}


class LoginSegments(Signal):
    """Evidence of stuffing and spraying in the segments of a login. See the module's docstring."""

    kind: ClassVar[str] = "login_segments"
    version: ClassVar[int] = 1
    settings: ClassVar[Mapping[str, Setting]] = _settings()

    def __init__(
        self, definition: SignalDefinition, layout: Layout, identity: Identity, lists: Mapping[str, ListLike]
    ) -> None:
        """Compile the settings; raises `InvalidInput` with all problems (`signal.column`, `signal.columns`)."""
        _refuse(definition, layout)
        super().__init__(definition, layout, identity, lists)
        self._plan = _plan(definition.settings, layout)
        self._state = _new_state(definition.settings)
        self._out = np.zeros((L.OUTPUTS, 0), np.int64)
        self._mark = np.zeros((L.OUTPUTS, 0), np.uint8)

    @classmethod
    def outputs(cls, settings: Mapping[str, SettingValue]) -> Mapping[str, Output]:  # noqa: ARG003
        """The columns, in the order of `segments_layout`."""
        return _OUTPUTS

    @classmethod
    def reads(cls, settings: Mapping[str, SettingValue]) -> frozenset[str]:
        """The account, the columns of the segmentations and of `known`, and what networks are counted by."""
        named = [column for name in ("known", *SEGMENTATIONS) for column in _columns(settings, name)]
        return frozenset(["account", "network", "ip", *named])

    @classmethod
    def problems(cls, definition: SignalDefinition, columns: Mapping[str, Kind]) -> list[Problem]:
        """Columns that segments cannot be told by, lists that repeat one another, nothing to know an owner by."""
        return _problems(definition, columns)

    def update(self, frame: Frame, stamps: Stamps, values: Values, valid: Valid) -> None:
        """Read and learn a batch; about a microsecond a login."""
        size = frame.size
        if not size:
            return
        if self._out.shape[1] < size:
            self._out = np.zeros((L.OUTPUTS, size), np.int64)
            self._mark = np.zeros((L.OUTPUTS, size), np.uint8)
        learns = ((stamps.shoal[:size] == 0) & (stamps.flags[:size].astype(np.int64) & Flag.LATE == 0)).astype(np.uint8)
        as_of = np.ascontiguousarray(stamps.as_of[:size], dtype=np.int64)
        run(self._state, self._plan, frame.values, frame.valid, as_of, learns, self.masks(frame), size,
            self._out, self._out.view(np.float64), self._mark)  # fmt: skip
        values[: L.OUTPUTS, :size] = self._out[:, :size]
        valid[: L.OUTPUTS, :size] = self._mark[:, :size]

    def sizes(self) -> dict[str, int]:
        """Segments and pairs held, campaigns open and opened so far, what had to go while it still counted."""
        state = self._state
        return {
            "segments": int(np.count_nonzero(state.ids)),
            "pairs": int(np.count_nonzero(state.pairs)),
            "campaigns_open": int(np.count_nonzero(state.times[:, L.OPENED] != L.NONE)),
            "campaigns": int(state.figures[L.CAMPAIGNS]),
            "lost_segments": int(state.figures[L.LOST_SEGMENTS]),
            "lost_pairs": int(state.figures[L.LOST_PAIRS]),
            "bytes": sum(array.nbytes for array in state),
        }

    def snapshot(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """Copies of all arrays."""
        return {name: array.copy() for name, array in self._state._asdict().items()}

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take over a snapshot; raises `Corrupt` where its arrays are not those of these settings."""
        own = self._state._asdict()
        if set(arrays) != set(own):
            raise Corrupt(f"a snapshot of {self.kind} holds {sorted(own)}, not {sorted(arrays)}")
        for name, array in own.items():
            given = arrays[name]
            if given.dtype != array.dtype or given.shape != array.shape:
                raise Corrupt(
                    f"{self.kind}: {name} is {given.dtype} {list(given.shape)}, not {array.dtype} {list(array.shape)}"
                )
            if array.dtype == np.float64 and not bool(np.isfinite(given.astype(np.float64)).all()):
                raise Corrupt(f"{self.kind}: {name} holds a value that is not finite")
        for name, array in own.items():
            array[...] = arrays[name]

    def warm(self) -> None:
        """Compile the loop on no row at all."""
        empty = Frame.empty(self.layout, 1)
        run(self._state, self._plan, empty.values, empty.valid, np.zeros(0, np.int64), np.zeros(0, np.uint8),
            np.zeros((len(CONDITIONS), 0), np.int8), 0, self._out, self._out.view(np.float64), self._mark)  # fmt: skip


def _columns(settings: Mapping[str, SettingValue], name: str) -> tuple[str, ...]:
    value = settings[name]
    assert isinstance(value, tuple), f"{name} is a list of columns"
    return value


def _number(settings: Mapping[str, SettingValue], name: str) -> float:
    value = settings[name]
    assert isinstance(value, int | float), f"{name} is a number"
    return float(value)


def _problems(definition: SignalDefinition, columns: Mapping[str, Kind]) -> list[Problem]:
    """What is wrong with the lists of columns; columns that do not exist are passed over."""
    problems: list[Problem] = []
    seen: dict[frozenset[str], str] = {}
    for name in ("known", *SEGMENTATIONS):
        listed, where = _columns(definition.settings, name), definition.origin.at(name)
        for column in listed:
            if columns.get(column) in (Kind.FLOAT, Kind.TIME):
                message = f"{column} is {columns[column].name}"
                problems.append(Problem("signal.column", message, where, allowed="BOOL, INT or TEXT"))
        if len(set(listed)) < len(listed):
            problems.append(Problem("signal.columns", "a column is named twice", where))
        if name == "known" and not listed:
            hint = "name what tells an account's owner from a stranger"
            problems.append(Problem("signal.columns", "no column", where, hint=hint))
        if name != "known" and listed:
            same = seen.setdefault(frozenset(listed), name)
            if same != name:
                problems.append(Problem("signal.columns", f"the same columns as {same}", where))
    return problems


def _refuse(definition: SignalDefinition, layout: Layout) -> None:
    """All that is wrong with the columns that the settings name, those that do not exist included."""
    problems = _problems(definition, dict(zip(layout.names, layout.kinds, strict=True)))
    for name in ("known", *SEGMENTATIONS):
        for column in _columns(definition.settings, name):
            if column not in layout.index:
                near, where = nearest_name(column, layout.names), definition.origin.at(name)
                problems.append(Problem("signal.column", f"no column {column!r}", where, nearest=near))
    if "account" not in layout.index:
        problems.append(Problem("signal.column", "no column 'account'", definition.origin))
    if problems:
        raise InvalidInput(problems)


def _plan(settings: Mapping[str, SettingValue], layout: Layout) -> Plan:
    """The settings as the kernels read them."""
    groups: list[tuple[str, ...]] = [()]
    groups += [_columns(settings, name) for name in SEGMENTATIONS if _columns(settings, name)]
    parents = [0] * len(groups)
    for k, group in enumerate(groups):
        inside = [j for j in range(k) if set(groups[j]) < set(group)]
        parents[k] = max(inside, key=lambda j: (len(groups[j]), j), default=0)
    floats = np.zeros(6, np.float64)
    floats[L.HALF_LIFE_DAYS] = _number(settings, "half_life_s") / 86_400
    floats[L.SLACK] = _number(settings, "slack")
    floats[L.MEMORY_US] = _number(settings, "memory_s") * 1e6
    floats[L.QUIET_US] = _number(settings, "quiet_s") * 1e6
    floats[L.ALPHA] = _number(settings, "false_campaigns_per_month")
    floats[L.HIT_RATE] = _number(settings, "hit_rate")
    integers = np.zeros(8, np.int64)
    integers[L.RETRY_MIN] = int(_number(settings, "retry_s") // 60)
    integers[L.KNOWN_MIN] = int(_number(settings, "known_s") // 60)
    integers[L.ABSORB_US] = int(_number(settings, "absorb_s") * 1e6)
    integers[L.MIN_ACCOUNTS] = int(_number(settings, "min_accounts"))
    integers[L.HOURS] = int(_number(settings, "hours"))
    for at, name in ((L.ACCOUNT, "account"), (L.NETWORK, "network"), (L.ADDRESS, "ip")):
        integers[at] = layout.index.get(name, -1)
    rows = [[layout.index[column] for column in group] for group in groups]
    return Plan(
        floats,
        integers,
        np.cumsum([0, *(len(group) for group in rows)], dtype=np.int64),
        np.array([row for group in rows for row in group], dtype=np.int64),
        np.array(parents, dtype=np.int64),
        np.array([layout.index[column] for column in _columns(settings, "known")], dtype=np.int64),
    )


def _power(size: float) -> int:
    return int(1 << (int(size) - 1).bit_length())


def _new_state(settings: Mapping[str, SettingValue]) -> State:
    segments = _power(_number(settings, "segments")) + 1
    pairs = _power(_number(settings, "pairs"))
    return State(
        np.zeros(pairs, np.int64),
        np.zeros(max(pairs // 4, 64), np.int64),
        np.zeros(segments, np.int64),
        np.zeros((segments, L.CELLS), np.float64),
        np.full((segments, L.TIMES), L.NONE, np.int64),
        np.zeros((segments, 2 * L.REGISTERS), np.uint8),
        np.zeros((int(_number(settings, "hours")), 2 * L.COUNTS), np.float64),
        np.zeros(L.FIGURES, np.float64),
    )
