"""The signal kind `campaign`: what a published set of campaigns says of an event. Hot path.

Has no state beside the published tables, and learns nothing from events: between two records its columns are a pure
function of the event. Before one was taken up, all columns are null. What tables must hold is said at `TABLES`; who
makes them (`coordination.campaigns`, through `runtime`) does not know this module, nor this module it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from shoal.detectors.membership.lookup_kernel import tell
from shoal.detectors.signals import Output, Setting, SettingValue, Signal, SignalDefinition
from shoal.errors import Corrupt, InvalidInput, Problem, nearest_name
from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.expressions.frame import Frame, Layout, Valid, Values
from shoal.expressions.program import ListLike
from shoal.features.engine import Stamps

Arrays = Mapping[str, npt.NDArray[np.generic]]
_tell: Any = tell

TABLES: Mapping[str, str] = {
    "accounts": "i",  # [members] keyed ids, ascending
    "account_campaign": "i",  # [members] place in `number`
    "account_belief": "f",  # [members] in [0, 1]
    "account_hub_share": "f",  # [members] in [0, 1]
    "entity_column": "i",  # [entities] place in the setting `entities`, ascending
    "entities": "i",  # [entities] keyed ids, ascending within a column
    "entity_campaign": "i",  # [entities] place in `number`
    "entity_weight": "f",  # [entities] in [0, 1]
    "number": "i",  # [campaigns] what a campaign is called in numbers
    "score": "f",  # [campaigns] in [0, 1]
    "size": "i",  # [campaigns] members
}
"""The arrays of a record by name, with the kind of their dtype."""
_TOGETHER = (
    ("accounts", "account_campaign", "account_belief", "account_hub_share"),
    ("entity_column", "entities", "entity_campaign", "entity_weight"),
    ("number", "score", "size"),
)


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
        self._rows = np.array([layout.index[name] for name in _names(definition.settings, "entities")], np.int64)
        self._tables: dict[str, npt.NDArray[np.generic]] = {}
        self._given: tuple[npt.NDArray[np.generic], ...] = ()

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

    def table_problems(self, arrays: Arrays) -> list[Problem]:
        """See `Signal.table_problems`."""
        return _problems(arrays, len(self._rows))

    def use_tables(self, arrays: Arrays, seq: int) -> None:  # noqa: ARG002 - the record's place changes nothing
        """See `Signal.use_tables`."""
        wanted = {"i": np.int64, "f": np.float64}
        self._tables = {
            name: np.ascontiguousarray(arrays[name], wanted[kind]) for name, kind in TABLES.items() if arrays
        }
        if arrays:
            places = np.arange(len(self._rows) + 1)
            starts = np.searchsorted(self._tables["entity_column"], places).astype(np.int64)
            self._given = _arguments(self._tables, starts)

    def update(self, frame: Frame, stamps: Stamps, values: Values, valid: Valid) -> None:  # noqa: ARG002
        """See `Signal.update`."""
        n = frame.size
        if not self._tables or not n:
            values[:7, :n][valid[:7, :n] == 0] = 0
            return  # the columns are null, or what the test of a rule states
        floats = values.view(np.float64)
        _tell(frame.values, frame.valid, n, self._account, self._rows, *self._given, values, floats, valid)

    def snapshot(self) -> Arrays:
        """Nothing: the stage keeps the tables."""
        return {}

    def restore(self, arrays: Arrays) -> None:
        """See `Signal.restore`."""
        if arrays:
            raise Corrupt(f"a signal of kind {self.kind} has no state: {', '.join(sorted(arrays))}")

    def warm(self) -> None:
        """Compile the kernel on one row."""
        kinds = {"i": np.zeros(1, np.int64), "f": np.zeros(1)}
        given = _arguments({name: kinds[kind] for name, kind in TABLES.items()}, np.zeros(2, np.int64))
        out = np.zeros((7, 1), np.int64)
        row, none = np.zeros((1, 1), np.int64), np.zeros((1, 1), np.uint8)
        _tell(row, none, 1, 0, row[0], *given, out, out.view(np.float64), np.zeros((7, 1), np.uint8))


def _arguments(tables: Arrays, starts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.generic], ...]:
    """The tables in the order in which the kernel takes them. `starts`: where each column's entities begin."""
    account = (tables[f"account_{name}"] for name in ("campaign", "belief", "hub_share"))
    entity = (tables[name] for name in ("entities", "entity_campaign", "entity_weight", "number", "score", "size"))
    return (tables["accounts"], *account, starts, *entity)


def _names(settings: Mapping[str, SettingValue], key: str) -> tuple[str, ...]:
    given = settings[key]
    return given if isinstance(given, tuple) else (str(given),)


def _problems(arrays: Arrays, columns: int) -> list[Problem]:
    """What is wrong with tables, all of it as far as it can be told."""
    found = [
        Problem("campaign.table", f"no column {name} of kind {kind}")
        for name, kind in TABLES.items()
        if name not in arrays or arrays[name].ndim != 1 or arrays[name].dtype.kind != kind
    ]
    found += [
        Problem("campaign.table", f"columns of unequal lengths: {', '.join(names)}")
        for names in _TOGETHER
        if not found and len({len(arrays[name]) for name in names}) != 1
    ]
    if found:
        return found
    campaigns = len(arrays["number"])
    for name, below in (("account_campaign", campaigns), ("entity_campaign", campaigns), ("entity_column", columns)):
        codes = np.asarray(arrays[name], np.int64)
        if len(codes) and not (codes.min() >= 0 and codes.max() < below):
            found.append(
                Problem("campaign.table", f"{name} names a place that there is not", allowed=f"0 to {below - 1}")
            )
    for name in ("account_belief", "account_hub_share", "entity_weight", "score"):
        values = np.asarray(arrays[name], np.float64)
        if not ((values >= 0) & (values <= 1)).all():
            found.append(Problem("campaign.table", f"{name} outside its range", allowed="0 to 1"))
    accounts = np.asarray(arrays["accounts"], np.int64)
    if (accounts[1:] <= accounts[:-1]).any():
        found.append(Problem("campaign.table", "accounts are not ascending"))
    column, entities = np.asarray(arrays["entity_column"], np.int64), np.asarray(arrays["entities"], np.int64)
    step = np.diff(column)
    if (step < 0).any() or ((step == 0) & (entities[1:] <= entities[:-1])).any():
        found.append(Problem("campaign.table", "entities are not ascending"))
    return found
