"""`entity_baseline`: an account against itself and against its peers, as a signal.

How much of something (downloads, deletions, bytes) one key does in a window, judged by its own decayed history with
season and by a group of keys that behave alike. Owns the rows of keys, the groups and their histograms, for as long as
the pack that asked for it is in force. Knows no event type but through its settings. See docs/behaviour.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from shoal.detectors.behaviour import baseline_kernel as K  # noqa: N812 - a namespace of constants
from shoal.detectors.behaviour.peers_kernel import CELLS, DAY_PARTS, Peers
from shoal.detectors.behaviour.rows import Array, Arrays, KeyedRows, expect
from shoal.detectors.behaviour.settings import checked, columns_of, micros_of, names_of, number_problems
from shoal.detectors.behaviour.tails_kernel import BINS
from shoal.detectors.signals import Output, Setting, SettingValue, Signal, SignalDefinition
from shoal.errors import Corrupt, Problem
from shoal.events.identity import Identity
from shoal.events.schema import Flag, Kind
from shoal.expressions.frame import Frame, Layout, Valid, Values
from shoal.expressions.program import ListLike
from shoal.features.engine import Stamps

SEASONS = {"none": 1, "day": 8, "week": 16, "hour_of_week": 168}
DAY = 86_400.0
OUTPUTS = {
    "p_self": Output(Kind.FLOAT, "how often accounts like this one go so far beyond their own usual amount"),
    "p_peers": Output(Kind.FLOAT, "how often its peers reach this amount in a window at such a time"),
    "p_when": Output(Kind.FLOAT, "how often accounts like this one act at a time as rare for them"),
    "surprise": Output(Kind.FLOAT, "-log10 of the three probabilities combined"),
    "expected": Output(Kind.FLOAT, "the usual amount of this account in such a window"),
    "observed": Output(Kind.FLOAT, "the amount in the open window, this event included"),
}


class EntityBaseline(Signal):
    """How much a key does in a while, against its own past and against keys that behave like it; docs/behaviour.md is
    the manual. All columns are null where the key is, and all but `observed` while no window is open."""

    kind: ClassVar[str] = "entity_baseline"
    settings: ClassVar[Mapping[str, Setting]] = {
        "key": Setting("columns", ("account",), "what is compared with itself", 1, 8),
        "count": Setting("condition", "type = 'file.downloaded'", "the events that are counted"),
        "amount": Setting("columns", (), "a column of numbers to add up instead of counting", 0, 1),
        "window": Setting("seconds", 3600.0, "how long a window lasts from its first event", 1.0, 31 * DAY),
        "half_life": Setting("seconds", 30 * DAY, "after which a window counts half", 60.0, 3660 * DAY),
        "season": Setting("word", "week", "parts of the week told apart", allowed=tuple(SEASONS)),
        "traits": Setting("columns", ("type", "client", "network_kind"), "what peers have in common", 0, 8),
        "groups": Setting("integer", 16, "groups of peers, at most", 1, 256),
        "apart": Setting("number", 0.25, "squared Hellinger distance a trait that founds a group", 0.0, 2.0),
        "young": Setting("integer", 20, "events below which a key is among the young", 0, 1023),
        "when_weight": Setting("number", 0.1, "weight of `p_when` in `surprise`, the others 1", 0.0, 100.0),
        "keys": Setting("integer", 1_000_000, "keys kept, at most; the idlest give way", 16, 2**28),
    }

    def __init__(
        self, definition: SignalDefinition, layout: Layout, identity: Identity, lists: Mapping[str, ListLike]
    ) -> None:
        """Raises `InvalidInput` with all problems of the settings."""
        full = checked(type(self), definition, layout)
        super().__init__(full, layout, identity, lists)
        said = full.settings
        amount, traits = names_of(said["amount"]), columns_of(said["traits"], layout)
        floats = bool(amount) and layout.kind(amount[0]) is Kind.FLOAT
        parts, cells, groups = SEASONS[str(said["season"])], len(traits) * CELLS + DAY_PARTS, int(str(said["groups"]))
        weights = np.array([1.0, 1.0, float(str(said["when_weight"])) if parts > 1 else 0.0])
        most = int(str(said["keys"]))
        self._plan = K.Plan(
            columns_of(said["key"], layout),
            traits,
            np.array([layout.index[amount[0]] if amount else -1, floats], np.int64),
            np.array([micros_of(said["window"]), micros_of(said["half_life"]), most], np.int64),
            np.array([parts], np.int64),
            weights / weights.sum(),
        )
        columns = {"wholes": ("i8", K.WHOLES), "floats": ("f8", K.FLOATS), "parts": ("f4", 2 * parts)}
        self._rows = KeyedRows(most, {**columns, "cells": ("u2", cells)}, identity.id_of("behaviour.keys"))
        many = groups + 2  # the young and all
        self._groups = K.Groups(
            np.zeros(2, np.int64), np.zeros((many, 4, parts)), np.zeros((many, 3, BINS)),
            np.zeros(many),
        )  # fmt: skip
        limits = np.array([float(str(said["young"])), float(str(said["apart"])) * (len(traits) + 1)])
        self._peers = Peers(np.zeros(1, np.int64), np.zeros((groups, cells)), np.zeros(groups), np.zeros(cells), limits)

    @classmethod
    def outputs(cls, settings: Mapping[str, SettingValue]) -> Mapping[str, Output]:  # noqa: ARG003
        """Six columns; see `OUTPUTS`."""
        return OUTPUTS

    @classmethod
    def reads(cls, settings: Mapping[str, SettingValue]) -> frozenset[str]:
        """The key, the traits and the column of amounts."""
        said = {name: settings.get(name, setting.default) for name, setting in cls.settings.items()}
        return frozenset(column for name in ("key", "traits", "amount") for column in names_of(said[name]))

    @classmethod
    def problems(cls, definition: SignalDefinition, columns: Mapping[str, Kind]) -> list[Problem]:
        """A column of amounts that holds no numbers."""
        return number_problems(definition, "amount", columns)

    @property
    def bytes_per_key(self) -> int:
        """Bytes of state a key, table included; times `keys` it is the bound of memory."""
        return self._rows.bytes_per_key

    @property
    def keys(self) -> int:
        """Keys that have a history."""
        return self._rows.used

    def update(self, frame: Frame, stamps: Stamps, values: Values, valid: Valid) -> None:
        """See `Signal.update`. Late rows and those that Shoal caused are read and not learned."""
        size = frame.size
        if not size:
            return
        wanted = self.masks(frame)[0]
        still = ((np.asarray(stamps.flags) & int(Flag.LATE)) != 0) | (np.asarray(stamps.shoal) != 0)
        self._rows.reserve(size)
        arrays = self._rows.arrays
        accounts = K.Accounts(arrays["wholes"], arrays["floats"], arrays["parts"], arrays["cells"])  # type: ignore[arg-type]
        K.run(
            self._plan, self._rows.keys, accounts, self._groups, self._peers, frame.values, frame.valid,
            frame.values.view(np.float64), wanted, still.astype(np.uint8), np.ascontiguousarray(stamps.as_of, np.int64),
            size, values.view(np.float64), valid,
        )  # fmt: skip

    def groups_of(self, keys: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The peer group of each key by its id (for reports and tests): -1 where it is not kept."""
        ids = self._rows.keys.ids[: self._rows.used]
        order = np.argsort(ids, kind="stable")
        place = np.clip(np.searchsorted(ids, keys, sorter=order), 0, max(len(ids) - 1, 0))
        if not len(ids):
            return np.full(len(keys), -1, np.int64)
        rows = order[place]
        found = self._rows.arrays["wholes"][rows, K.GROUP]
        return np.where(ids[rows] == keys, found, -1).astype(np.int64)

    def snapshot(self) -> dict[str, Array]:
        """The rows of keys, the groups and their centres."""
        out: dict[str, Array] = dict(self._rows.snapshot())
        out |= {f"groups.{name}": array.copy() for name, array in self._groups._asdict().items()}
        return out | {f"peers.{name}": getattr(self._peers, name).copy() for name in ("head", "centres", "mass")}

    def restore(self, arrays: Arrays) -> None:
        """Take over a snapshot made under the same settings; raises `Corrupt` where it does not fit."""
        found = {}
        for prefix, held, names in (
            ("groups", self._groups, self._groups._fields),
            ("peers", self._peers, ("head", "centres", "mass")),
        ):
            for name in names:
                mine = getattr(held, name)
                found[prefix, name] = expect(arrays, f"{prefix}.{name}", mine.dtype, mine.shape)
                if mine.dtype.kind == "f" and not np.isfinite(found[prefix, name].astype(np.float64)).all():
                    raise Corrupt(f"behaviour: {prefix}.{name} is not finite")
        used = int(found["peers", "head"][0])
        wholes = arrays.get("wholes")
        if not 0 <= used <= len(self._peers.mass):
            raise Corrupt("behaviour: the number of groups is out of range")
        if wholes is not None and wholes.ndim == 2 and wholes.size:
            group, part = wholes[:, K.GROUP].astype(np.int64), wholes[:, K.PART].astype(np.int64)
            if group.min() < 0 or group.max() > used or part.min() < 0 or part.max() >= int(self._plan.season[0]):
                raise Corrupt("behaviour: a group or a part of the week is out of range")
        self._rows.restore(arrays)
        for (prefix, name), array in found.items():
            getattr(self._groups if prefix == "groups" else self._peers, name)[...] = array

    def warm(self) -> None:
        """Compile the kernels, or load them from the cache."""
        small = Layout.of({"account": Kind.TEXT, "type": Kind.TEXT})
        one = EntityBaseline(SignalDefinition("warm", self.kind, {"traits": ("type",)}), small, self.identity, {})
        frame = Frame.of_rows([{"account": "a", "type": "file.downloaded"}], small, self.identity)
        zero = np.zeros(1, np.int64)
        stamps = Stamps(zero, zero, zero, zero.astype(np.uint8), zero.astype(np.uint8))
        one.update(frame, stamps, np.zeros((6, 1), np.int64), np.zeros((6, 1), np.uint8))
