"""The signal kind `campaign`: what a published set of campaigns says of an event. Hot path.

Owns the tables that the last record took up, and learns nothing from events: between two records its columns are a
pure function of the event. Before a record was taken up, all columns are null. What a record must hold is said at
`TABLES`; who makes one (`coordination.campaigns`) does not know this module, nor this module it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from shoal.detectors.membership.lookup_kernel import look_up
from shoal.detectors.signals import Output, Setting, SettingValue, Signal, SignalDefinition
from shoal.errors import Corrupt, InvalidInput, Problem, nearest_name
from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.expressions.frame import Frame, Layout, Valid, Values
from shoal.expressions.program import ListLike
from shoal.features.engine import Stamps

Arrays = Mapping[str, npt.NDArray[np.generic]]

TABLES: Mapping[str, str] = {
    "accounts": "i",  # [members] keyed ids, ascending
    "account_campaign": "i",  # [members] place in `number`
    "account_belief": "f",  # [members] in [0, 1]
    "account_hub_share": "f",  # [members] in [0, 1]
    "columns": "U",  # [k] names of columns that hold entities
    "entity_column": "i",  # [entities] place in `columns`, ascending
    "entities": "i",  # [entities] keyed ids, ascending within a column
    "entity_campaign": "i",  # [entities] place in `number`
    "entity_weight": "f",  # [entities] in [0, 1]
    "number": "i",  # [campaigns] what a campaign is called in numbers
    "score": "f",  # [campaigns] in [0, 1]
    "size": "i",  # [campaigns] members
}
"""The arrays of a record by name, with the kind of their dtype."""


class CampaignMembership(Signal):
    """Whether the account belongs to a campaign that was found and published, and whether the event touches something
    that only a campaign's members have."""

    kind = "campaign"
    version = 1
    takes_tables = True
    settings: ClassVar[Mapping[str, Setting]] = {
        "account": Setting("columns", ("actor",), "the column that holds the account, one"),
        "entities": Setting(
            "columns", ("device", "ip", "file_sha256", "link"), "columns that hold what campaigns share"
        ),
    }

    def __init__(
        self, definition: SignalDefinition, layout: Layout, identity: Identity, lists: Mapping[str, ListLike]
    ) -> None:
        super().__init__(definition, layout, identity, lists)
        columns = dict(zip(layout.names, layout.kinds, strict=True))
        problems = self.problems(definition, columns)
        for key in ("account", "entities"):
            problems += [
                Problem("signal.unknown_column", f"no column {name!r}", definition.origin.at(key), "",
                        nearest_name(name, columns))
                for name in _names(definition.settings, key) if name not in columns
            ]  # fmt: skip
        if problems:
            raise InvalidInput(problems)
        self._account = layout.index[_names(definition.settings, "account")[0]]
        self._entities = _names(definition.settings, "entities")
        self._tables: dict[str, npt.NDArray[np.generic]] = {}
        self._rows = np.zeros(0, np.int64)
        self._starts = np.zeros(1, np.int64)

    @classmethod
    def outputs(cls, settings: Mapping[str, SettingValue]) -> Mapping[str, Output]:  # noqa: ARG003
        """Seven columns."""
        return {
            "number": Output(Kind.INT, "the campaign to which the account belongs, as a number"),
            "belief": Output(Kind.FLOAT, "the probability that the account belongs to it, 0 to 1"),
            "score": Output(Kind.FLOAT, "the probability that this campaign is abusive, 0 to 1"),
            "size": Output(Kind.INT, "members of this campaign", "accounts"),
            "hub_share": Output(Kind.FLOAT, "share of the account's ties that tie everybody, 0 to 1"),
            "touched": Output(Kind.INT, "another campaign, of which this event touches something rare, as a number"),
            "touch": Output(Kind.FLOAT, "how much that alone speaks for belonging to that campaign, 0 to 1"),
        }

    @classmethod
    def reads(cls, settings: Mapping[str, SettingValue]) -> frozenset[str]:
        """The columns of accounts and entities."""
        return frozenset((*_names(settings, "account"), *_names(settings, "entities")))

    @classmethod
    def problems(cls, definition: SignalDefinition, columns: Mapping[str, Kind]) -> list[Problem]:
        """More than one column of accounts, columns that are no texts."""
        found = []
        accounts = _names(definition.settings, "account")
        if len(accounts) != 1:
            where = definition.origin.at("account")
            found.append(Problem("signal.columns", f"{len(accounts)} columns of accounts", where, "one"))
        for key in ("account", "entities"):
            for name in _names(definition.settings, key):
                if name in columns and columns[name] is not Kind.TEXT:
                    message = f"{name} is of kind {columns[name].name.lower()}"
                    found.append(Problem("signal.column_kind", message, definition.origin.at(key), "text"))
        return found

    def take_up(self, arrays: Arrays, seq: int) -> str:  # noqa: ARG002 - the record's place changes nothing
        """Put published campaigns in force; empty arrays withdraw them. Returns "" or why they are not used."""
        if not arrays:
            self._tables = {}
            return ""
        try:
            self._take(_checked(arrays))
        except Corrupt as error:
            return str(error)
        return ""

    def _take(self, tables: dict[str, npt.NDArray[np.generic]]) -> None:
        self._tables = tables
        names = [str(name) for name in tables["columns"]]
        self._rows = np.array([self.layout.index[name] if name in self._entities else -1 for name in names], np.int64)
        self._starts = np.searchsorted(tables["entity_column"], np.arange(len(names) + 1)).astype(np.int64)

    def update(self, frame: Frame, stamps: Stamps, values: Values, valid: Valid) -> None:  # noqa: ARG002
        """See `Signal.update`."""
        n, tables = frame.size, self._tables
        values[:7, :n][valid[:7, :n] == 0] = 0
        if not tables or not n:
            return  # the columns are null, or what the test of a rule states
        valid[:7, :n] = 0
        values[:7, :n] = 0
        member, touched, strength = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
        look_up(
            frame.values, frame.valid, n, self._account, self._rows, tables["accounts"], tables["account_campaign"],
            self._starts, tables["entities"], tables["entity_campaign"], tables["entity_weight"], tables["score"],
            member, touched, strength,
        )  # fmt: skip
        inside = np.flatnonzero(member >= 0)
        if len(inside):
            at = member[inside]
            which = tables["account_campaign"][at]
            told = (
                tables["number"][which],
                _bits(tables["account_belief"][at]),
                _bits(tables["score"][which]),
                tables["size"][which],
                _bits(tables["account_hub_share"][at]),
            )
            for row, column in enumerate(told):
                values[row, inside], valid[row, inside] = column, 1
        near = np.flatnonzero(touched >= 0)
        if len(near):
            values[5, near], valid[5, near] = tables["number"][touched[near]], 1
            values[6, near], valid[6, near] = _bits(strength[near]), 1

    def snapshot(self) -> Arrays:
        """The tables as they were published; nothing where none are in force."""
        return dict(self._tables)

    def restore(self, arrays: Arrays) -> None:
        """See `Signal.restore`."""
        if arrays:
            self._take(_checked(arrays))
        else:
            self._tables = {}

    def warm(self) -> None:
        """Compile the kernel on one row."""
        ids, none = np.zeros(1, np.int64), np.zeros(1)
        look_up(
            ids.reshape(1, 1), np.zeros((1, 1), np.uint8), 1, 0, ids, ids, ids, np.zeros(2, np.int64), ids, ids,
            none, none, ids.copy(), ids.copy(), none.copy(),
        )  # fmt: skip


def _names(settings: Mapping[str, SettingValue], key: str) -> tuple[str, ...]:
    given = settings[key]
    return given if isinstance(given, tuple) else (str(given),)


def _bits(floats: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    return np.ascontiguousarray(floats, np.float64).view(np.int64)


def _checked(arrays: Arrays) -> dict[str, npt.NDArray[np.generic]]:
    """The tables as the kernel wants them; raises `Corrupt` for what is none."""
    tables: dict[str, npt.NDArray[np.generic]] = {}
    for name, kind in TABLES.items():
        if name not in arrays or arrays[name].ndim != 1 or arrays[name].dtype.kind != kind:
            raise Corrupt(f"campaigns: no column {name} of kind {kind}")
        wanted = {"i": np.int64, "f": np.float64}.get(kind)
        tables[name] = arrays[name] if wanted is None else np.ascontiguousarray(arrays[name], wanted)
    for names in (
        ("accounts", "account_campaign", "account_belief", "account_hub_share"),
        ("entity_column", "entities", "entity_campaign", "entity_weight"),
        ("number", "score", "size"),
    ):
        if len({len(tables[name]) for name in names}) != 1:
            raise Corrupt(f"campaigns: columns of unequal lengths: {', '.join(names)}")
    for name, below in (("account_campaign", "number"), ("entity_campaign", "number"), ("entity_column", "columns")):
        codes, count = np.asarray(tables[name], np.int64), len(tables[below])
        if len(codes) and not (codes.min() >= 0 and codes.max() < count):
            raise Corrupt(f"campaigns: {name} names a place outside {below}")
    for name in ("account_belief", "account_hub_share", "entity_weight", "score"):
        values = np.asarray(tables[name], np.float64)
        if not ((values >= 0) & (values <= 1)).all():
            raise Corrupt(f"campaigns: {name} outside 0 to 1")
    accounts = np.asarray(tables["accounts"], np.int64)
    column, entities = np.asarray(tables["entity_column"], np.int64), np.asarray(tables["entities"], np.int64)
    step = np.diff(column)
    if (accounts[1:] <= accounts[:-1]).any():
        raise Corrupt("campaigns: accounts are not ascending")
    if (step < 0).any() or ((step == 0) & (entities[1:] <= entities[:-1])).any():
        raise Corrupt("campaigns: entities are not ascending")
    return tables
