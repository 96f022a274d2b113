"""`sequence_surprise`: how unexpected an account's next event is, for itself, its peers and everybody, as a signal.

The streaming sister of `takeover.sessions.SequenceModel`: the same levels and priors over tokens made of event columns,
with bounded memory an account, in journal order. Owns the counts for as long as the pack that asked for it is in force.
Knows no event type but through its settings. See docs/behaviour.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from shoal.detectors.behaviour import sequence_kernel as K  # noqa: N812 - a namespace of constants
from shoal.detectors.behaviour.peers_kernel import CELLS, DAY_PARTS, Peers
from shoal.detectors.behaviour.rows import Array, Arrays, KeyedRows, expect
from shoal.detectors.behaviour.settings import checked, columns_of, micros_of, names_of, power_problems
from shoal.detectors.behaviour.tails_kernel import BINS
from shoal.detectors.signals import Output, Setting, SettingValue, Signal, SignalDefinition
from shoal.errors import Corrupt, Problem
from shoal.events.identity import Identity
from shoal.events.schema import Flag, Kind
from shoal.expressions.frame import Frame, Layout, Valid, Values
from shoal.expressions.program import ListLike
from shoal.features.engine import Stamps

DAY = 86_400.0
OUTPUTS = {
    "bits": Output(Kind.FLOAT, "surprise of this event after the ones before it, by the account's habits", "bits"),
    "ratio": Output(Kind.FLOAT, "how much likelier its peers would do this than this account", "bits"),
    "mean_bits": Output(Kind.FLOAT, "mean surprise of the account's last events", "bits"),
    "mean_ratio": Output(Kind.FLOAT, "how much likelier its peers would do what it did last, a mean", "bits"),
    "session_max": Output(Kind.FLOAT, "the most surprising event of the session so far", "bits"),
    "p": Output(Kind.FLOAT, "how often accounts like this one depart so far from their habits"),
}


class SequenceSurprise(Signal):
    """How unexpected what a key does next is, by its own habits and those of keys like it; docs/behaviour.md is the
    manual. All columns are null where the key is and on events that are no tokens; the last four also on late rows and
    on those that Shoal caused."""

    kind: ClassVar[str] = "sequence_surprise"
    settings: ClassVar[Mapping[str, Setting]] = {
        "key": Setting("columns", ("account",), "whose events follow one another", 1, 8),
        "when": Setting("condition", "type IS NOT NULL", "the events that are tokens"),
        "token": Setting("columns", ("type", "client"), "what a token is made of", 1, 8),
        "longest": Setting("integer", 3, "longest n-gram", 1, K.LONGEST),
        "gap": Setting("seconds", 1800.0, "silence after which a session is over", 1.0, 31 * DAY),
        "recent": Setting("integer", 16, "events of the means", 1, 256),
        "history": Setting("integer", 128, "tokens kept an account; a power of two", 8, 4096),
        "shared_cells": Setting("integer", 2**18, "n-grams kept of all and of groups; a power of two", 64, 2**26),
        "shared_memory": Setting("integer", 20_000_000, "events after which those counts are halved", 1000, 2**31),
        "half_life": Setting("seconds", 30 * DAY, "after which an observation of `p` counts half", 60.0, 3660 * DAY),
        "groups": Setting("integer", 16, "groups of peers, at most", 1, 256),
        "apart": Setting("number", 0.25, "squared Hellinger distance a trait that founds a group", 0.0, 2.0),
        "young": Setting("integer", 20, "events below which an account is among the young", 0, 1023),
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
        tokens = columns_of(said["token"], layout)
        sketch, groups = len(tokens) * CELLS + DAY_PARTS, whole["groups"]
        limits = [micros_of(said["gap"]), micros_of(said["half_life"])]
        limits += [whole[name] for name in ("keys", "longest", "recent", "shared_memory")]
        self._plan = K.Plan(
            columns_of(said["key"], layout), tokens, np.array(limits, np.int64), np.zeros((2, K.LONGEST))
        )
        columns = {
            "wholes": ("i8", K.WHOLES),
            "highest": ("f8", 0),
            "evidence": ("f8", 0),
            "ring": ("f4", 2 * whole["recent"]),
        }
        columns |= {"history": ("u2", whole["history"]), "cells": ("u2", sketch)}
        self._rows = KeyedRows(whole["keys"], columns, identity.id_of("behaviour.keys"))
        self._rows.reserve(1)  # so that a row to read stands there from the first event on
        many, shared = groups + 2, whole["shared_cells"]
        self._shared = K.Shared(
            np.zeros(shared, np.int64), np.zeros(shared, np.uint32), np.zeros(many, np.int64), np.zeros(2, np.int64),
            np.zeros((many, BINS)), np.zeros(many),
        )  # fmt: skip
        limits_of_peers = np.array([whole["young"], float(str(said["apart"])) * (len(tokens) + 1)], np.float64)
        self._peers = Peers(
            np.zeros(1, np.int64), np.zeros((groups, sketch)), np.zeros(groups), np.zeros(sketch), limits_of_peers
        )

    @classmethod
    def outputs(cls, settings: Mapping[str, SettingValue]) -> Mapping[str, Output]:  # noqa: ARG003
        """Six columns; see `OUTPUTS`."""
        return OUTPUTS

    @classmethod
    def reads(cls, settings: Mapping[str, SettingValue]) -> frozenset[str]:
        """The key and what tokens are made of."""
        said = {name: settings.get(name, setting.default) for name, setting in cls.settings.items()}
        return frozenset(column for name in ("key", "token") for column in names_of(said[name]))

    @classmethod
    def problems(cls, definition: SignalDefinition, columns: Mapping[str, Kind]) -> list[Problem]:  # noqa: ARG003
        """Sizes that are no powers of two."""
        return power_problems(definition, ("history", "shared_cells"))

    @property
    def bytes_per_key(self) -> int:
        """Bytes of state an account, table included; times `keys` it is the bound of memory beside the shared cells."""
        return self._rows.bytes_per_key

    @property
    def keys(self) -> int:
        """Accounts that have a history."""
        return self._rows.used

    def update(self, frame: Frame, stamps: Stamps, values: Values, valid: Valid) -> None:
        """See `Signal.update`. Late rows and those that Shoal caused are read and not learned."""
        size = frame.size
        if not size:
            return
        wanted = self.masks(frame)[0]
        still = ((np.asarray(stamps.flags) & int(Flag.LATE)) != 0) | (np.asarray(stamps.shoal) != 0)
        self._rows.reserve(size)
        held = self._rows.arrays
        accounts = K.Accounts(*(held[name] for name in K.Accounts._fields))  # type: ignore[arg-type]
        K.run(
            self._plan, self._rows.keys, accounts, self._shared, self._peers, frame.values, frame.valid, wanted,
            still.astype(np.uint8), np.ascontiguousarray(stamps.as_of, np.int64), size, values.view(np.float64), valid,
        )  # fmt: skip

    def snapshot(self) -> dict[str, Array]:
        """The rows of accounts, the shared counts, the groups."""
        out: dict[str, Array] = dict(self._rows.snapshot())
        out |= {f"shared.{name}": array.copy() for name, array in self._shared._asdict().items()}
        return out | {f"peers.{name}": getattr(self._peers, name).copy() for name in ("head", "centres", "mass")}

    def restore(self, arrays: Arrays) -> None:
        """Take over a snapshot made under the same settings; raises `Corrupt` where it does not fit."""
        found = {}
        for prefix, held, names in (
            ("shared", self._shared, self._shared._fields),
            ("peers", self._peers, ("head", "centres", "mass")),
        ):
            for name in names:
                mine = getattr(held, name)
                found[prefix, name] = expect(arrays, f"{prefix}.{name}", mine.dtype, mine.shape)
                if mine.dtype.kind == "f" and not np.isfinite(found[prefix, name].astype(np.float64)).all():
                    raise Corrupt(f"behaviour: {prefix}.{name} is not finite")
        used = int(found["peers", "head"][0])
        if not 0 <= used <= len(self._peers.mass):
            raise Corrupt("behaviour: the number of groups is out of range")
        wholes = arrays.get("wholes")
        if wholes is not None and wholes.ndim == 2 and wholes.shape[1] == K.WHOLES and len(wholes):
            recent = int(self._plan.limits[K.RECENT])
            for name, at, most in (("group", K.GROUP, used), ("place", K.PLACE, recent - 1), ("ring", K.SEEN, recent)):
                column = wholes[:, at].astype(np.int64)
                if column.min() < 0 or column.max() > most:
                    raise Corrupt(f"behaviour: a {name} is out of range")
        self._rows.restore(arrays)
        for (prefix, name), array in found.items():
            getattr(self._shared if prefix == "shared" else self._peers, name)[...] = array

    def warm(self) -> None:
        """Compile the kernels, or load them from the cache."""
        small = Layout.of({"account": Kind.TEXT, "type": Kind.TEXT})
        said: dict[str, SettingValue] = {"token": ("type",), "shared_cells": 64}
        one = SequenceSurprise(SignalDefinition("warm", self.kind, said), small, self.identity, {})
        frame = Frame.of_rows([{"account": "a", "type": "file.downloaded"}], small, self.identity)
        zero = np.zeros(1, np.int64)
        stamps = Stamps(zero, zero, zero, zero.astype(np.uint8), zero.astype(np.uint8))
        one.update(frame, stamps, np.zeros((6, 1), np.int64), np.zeros((6, 1), np.uint8))
