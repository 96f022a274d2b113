"""`behaviour_embedding`: what kind of account this is by what it does, and how far it is from that now, as a signal.

The online side of `NgramEmbedding` and `PeerGroups`: it keeps a bag of event n-grams for each account, and takes up an
embedding that was fitted on such bags and published (`fit_profile`, `shoal learn embed`). Bags are kept from the first
event on, columns are null until an embedding is there. Owns the bags for as long as the pack that asked for it is in
force. Knows no event type but through its settings. See docs/behaviour.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from shoal.detectors.behaviour import embedding_kernel as K  # noqa: N812 - a namespace of constants
from shoal.detectors.behaviour.embedding import LONGEST, MOST_CELLS, NgramEmbedding, PeerGroups
from shoal.detectors.behaviour.rows import Array, Arrays, KeyedRows
from shoal.detectors.behaviour.settings import checked, columns_of, micros_of, names_of, power_problems
from shoal.detectors.signals import Output, Setting, SettingValue, Signal, SignalDefinition
from shoal.errors import Corrupt, InvalidInput, Problem, Where
from shoal.events.identity import Identity
from shoal.events.schema import Flag, Kind
from shoal.expressions.frame import Frame, Layout, Valid, Values
from shoal.expressions.program import ListLike
from shoal.features.engine import Stamps

DAY = 86_400.0
MOST_GROUPS = 256


class BehaviourEmbedding(Signal):
    """What kind of account this is by the n-grams of its events, and how far what it does now lies from its habits and
    from its kind; docs/behaviour.md is the manual. All columns are null until an embedding is published, where the key
    is null, and on events that are no tokens."""

    kind: ClassVar[str] = "behaviour_embedding"
    takes_tables: ClassVar[bool] = True
    tables_measure: ClassVar[bool] = True
    settings: ClassVar[Mapping[str, Setting]] = {
        "key": Setting("columns", ("account",), "whose events follow one another", 1, 8),
        "when": Setting("condition", "type IS NOT NULL", "the events that are tokens"),
        "token": Setting("columns", ("type", "client"), "what a token is made of", 1, 8),
        "longest": Setting("integer", 2, "longest n-gram", 1, LONGEST),
        "cells": Setting("integer", 4096, "n-grams told apart, by hashing; a power of two", 16, MOST_CELLS),
        "dimensions": Setting("integer", 6, "numbers of a vector", 1, 64),
        "bag": Setting("integer", 48, "n-grams kept an account", 4, 1024),
        "recent": Setting("number", 16.0, "events of its own after which an event of late counts half", 0.5, 1e6),
        "half_life": Setting("seconds", 60 * DAY, "after which an event counts half as a habit", 60.0, 3660 * DAY),
        "keys": Setting("integer", 1_000_000, "accounts kept, at most; the idlest give way", 16, 2**28),
    }

    def __init__(
        self, definition: SignalDefinition, layout: Layout, identity: Identity, lists: Mapping[str, ListLike]
    ) -> None:
        """Raises `InvalidInput` with all problems of the settings."""
        full = checked(type(self), definition, layout)
        super().__init__(full, layout, identity, lists)
        said = full.settings
        whole = {name: int(str(said[name])) for name, one in type(self).settings.items() if one.kind == "integer"}
        self._longest, self._dimensions, self._cells = whole["longest"], whole["dimensions"], whole["cells"]
        self._plan = K.Plan(
            columns_of(said["key"], layout),
            columns_of(said["token"], layout),
            np.array([micros_of(said["half_life"]), whole["keys"], self._cells], np.int64),
            np.array([2.0 ** (-1.0 / float(str(said["recent"])))]),
            np.zeros(self._longest, np.int64),
        )
        bag = whole["bag"]
        columns = {"last": ("i8", 0), "before": ("i8", self._longest + 1), "grams": ("i4", bag)}
        columns |= {"lately": ("f4", bag), "habit": ("f4", bag)}
        self._rows = KeyedRows(whole["keys"], columns, identity.id_of("behaviour.keys"))
        self._space = self._no_space()

    def _no_space(self) -> K.Space:
        empty = np.zeros((0, self._dimensions))
        return K.Space(empty, empty, np.zeros((2, self._dimensions)))

    @classmethod
    def outputs(cls, settings: Mapping[str, SettingValue]) -> Mapping[str, Output]:
        """The group, two distances and as many numbers as there are dimensions."""
        many = int(str(settings.get("dimensions", cls.settings["dimensions"].default)))
        found = {
            "group": Output(Kind.INT, "which kind of account it is by its habits, the largest kind 0"),
            "from_group": Output(Kind.FLOAT, "how far what it does now is from its kind, 0 to 2"),
            "from_self": Output(Kind.FLOAT, "how far what it does now is from its habits, 0 to 2"),
        }
        return found | {
            f"c{k}": Output(Kind.FLOAT, f"number {k} of the vector of its habits, -1 to 1") for k in range(1, many + 1)
        }

    @classmethod
    def reads(cls, settings: Mapping[str, SettingValue]) -> frozenset[str]:
        """The key and what tokens are made of."""
        said = {name: settings.get(name, setting.default) for name, setting in cls.settings.items()}
        return frozenset(column for name in ("key", "token") for column in names_of(said[name]))

    @classmethod
    def problems(cls, definition: SignalDefinition, columns: Mapping[str, Kind]) -> list[Problem]:  # noqa: ARG003
        """Sizes that are no powers of two."""
        return power_problems(definition, ("cells",))

    @property
    def bytes_per_key(self) -> int:
        """Bytes of state an account, table included; times `keys` it is the bound of memory beside the embedding."""
        return self._rows.bytes_per_key

    @property
    def keys(self) -> int:
        """Accounts that have a bag."""
        return self._rows.used

    @property
    def dimensions(self) -> int:
        """Numbers of a vector."""
        return self._dimensions

    @property
    def longest(self) -> int:
        """Tokens of the longest n-gram."""
        return self._longest

    def bags(self) -> tuple[npt.NDArray[np.int64], sparse.csr_matrix]:
        """The ids of all accounts that are kept, int64 [accounts], and their habits as float64 [accounts, cells]."""
        used, held = self._rows.used, self._rows.arrays
        grams = held["grams"][:used].astype(np.int64)
        rows, places = np.nonzero(grams >= 0)
        habit = held["habit"][:used][rows, places].astype(np.float64)
        weights = sparse.csr_matrix((habit, (rows, grams[rows, places])), shape=(used, self._cells))
        return self._rows.keys.ids[:used].copy(), weights

    def update(self, frame: Frame, stamps: Stamps, values: Values, valid: Valid) -> None:
        """See `Signal.update`. The columns are those behind this event, where it is learned."""
        size = frame.size
        if not size:
            return
        wanted = self.masks(frame)[0]
        still = ((np.asarray(stamps.flags) & int(Flag.LATE)) != 0) | (np.asarray(stamps.shoal) != 0)
        self._rows.reserve(size)
        held = self._rows.arrays
        bags = K.Bags(*(held[name] for name in K.Bags._fields))  # type: ignore[arg-type]
        K.run(
            self._plan, self._rows.keys, bags, self._space, frame.values, frame.valid, wanted, still.astype(np.uint8),
            np.ascontiguousarray(stamps.as_of, np.int64), size, values.view(np.float64), values, valid,
        )  # fmt: skip

    def table_problems(self, arrays: Arrays) -> list[Problem]:
        """An embedding and groups for these settings, and nothing beside."""
        try:
            embedding = NgramEmbedding.of_arrays(arrays)
            groups = PeerGroups.of_arrays(arrays)
        except Corrupt as error:
            return [Problem("embedding.arrays", str(error), allowed="what fit_profile gives")]
        found = []
        asked = {"longest": self._longest, "cells": self._cells, "dimensions": self._dimensions}
        given = {"longest": embedding.longest, "cells": len(embedding.weights), "dimensions": embedding.dimensions}
        for name, value in asked.items():
            if given[name] != value:
                where = Where(path="embedding.weights")
                found.append(Problem("embedding.other", f"{name} is {given[name]}", where, f"{value}, as the signal's"))
        if groups.centres.shape[1] != embedding.dimensions or len(groups.centres) > MOST_GROUPS:
            allowed = f"1 to {MOST_GROUPS} centres of the embedding's {embedding.dimensions} dimensions"
            found.append(
                Problem("embedding.groups", f"centres {groups.centres.shape}", Where(path="groups.centres"), allowed)
            )
        known = embedding.arrays() | groups.arrays()
        found += [Problem("embedding.array", f"no such array: {name!r}", allowed=", ".join(known))
                  for name in arrays if name not in known]  # fmt: skip
        return found

    def use_tables(self, arrays: Arrays, seq: int) -> None:  # noqa: ARG002 - a record's place says nothing here
        """Take up an embedding; bags stay as they are."""
        if not arrays:
            self._space = self._no_space()
            return
        weights, centres = NgramEmbedding.of_arrays(arrays).weights, PeerGroups.of_arrays(arrays).centres
        self._space = K.Space(weights.copy(), centres.copy(), np.zeros((2, self._dimensions)))

    def snapshot(self) -> dict[str, Array]:
        """The bags."""
        return dict(self._rows.snapshot())

    def restore(self, arrays: Arrays) -> None:
        """Take over a snapshot made under the same settings; raises `Corrupt` where it does not fit."""
        grams, before = arrays.get("grams"), arrays.get("before")
        if grams is not None and grams.size and not -1 <= int(grams.min()) <= int(grams.max()) < self._cells:
            raise Corrupt("behaviour: an n-gram's cell is out of range")
        if before is not None and before.ndim == 2 and before.size:
            many = before[:, -1]
            if int(many.min()) < 0 or int(many.max()) > self._longest:
                raise Corrupt("behaviour: a number of tokens is out of range")
        for name in ("lately", "habit"):
            found = arrays.get(name)
            weights = np.zeros(0) if found is None or found.dtype.kind != "f" else found.astype(np.float64)
            if not bool((np.isfinite(weights) & (weights >= 0)).all()):
                raise Corrupt(f"behaviour: {name} is not finite, or below zero")
        self._rows.restore(arrays)

    def warm(self) -> None:
        """Compile the kernels, or load them from the cache."""
        small = Layout.of({"account": Kind.TEXT, "type": Kind.TEXT})
        said: dict[str, SettingValue] = {"token": ("type",), "cells": 16, "dimensions": 1}
        one = BehaviourEmbedding(SignalDefinition("warm", self.kind, said), small, self.identity, {})
        frame = Frame.of_rows([{"account": "a", "type": "file.downloaded"}], small, self.identity)
        zero = np.zeros(1, np.int64)
        stamps = Stamps(zero, zero, zero, zero.astype(np.uint8), zero.astype(np.uint8))
        one.update(frame, stamps, np.zeros((4, 1), np.int64), np.zeros((4, 1), np.uint8))


def fit_profile(
    signal: BehaviourEmbedding, *, groups: int = 8, least: float = 3.0, most: int = 200_000, seed: int = 0
) -> dict[str, npt.NDArray[np.generic]]:
    """An embedding and peer groups of the bags that a signal holds, as arrays for `publish_table`: what is fitted on is
    what is served.

    `least`: accounts whose habits weigh less are left out; `most`: of more accounts so many are taken, by their keyed
    id. The same bags and seed give the same arrays. Raises `InvalidInput` (`embedding.setting`; `embedding.too_few`
    where there are fewer accounts than groups, or no more than dimensions)."""
    problems = []
    for name, value, low, high in (
        ("groups", groups, 1, MOST_GROUPS),
        ("most", most, 1, 10**9),
        ("least", least, 0, 1e9),
    ):
        if not low <= value <= high:
            problems.append(
                Problem("embedding.setting", f"{name} is {value}", Where(path=name), f"{low:g} to {high:g}")
            )
    if problems:
        raise InvalidInput(problems)
    ids, bags = signal.bags()
    bags = bags[np.argsort(ids, kind="stable")]  # an order that neither batches nor evictions have a part in
    bags = bags[np.flatnonzero(np.asarray(bags.sum(axis=1)).ravel() >= least)[:most]]
    dimensions, longest = signal.dimensions, signal.longest
    if bags.shape[0] < max(groups, dimensions + 1):
        message = f"{bags.shape[0]} accounts with a weight of {least:g} or more are too few"
        allowed = f"{max(groups, dimensions + 1)} or more, for {dimensions} dimensions and {groups} groups"
        raise InvalidInput(Problem("embedding.too_few", message, Where(path="accounts"), allowed))
    embedding = NgramEmbedding.of_bags(bags, dimensions=dimensions, longest=longest, seed=seed)
    vectors = embedding.vectors(bags)
    known = (vectors != 0).any(axis=1)
    return embedding.arrays() | PeerGroups.fit(vectors[known], groups, seed).arrays()
