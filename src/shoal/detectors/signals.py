"""Signals: columns that need a memory of their own, which no window over one key can tell.

A feature is a window over the events of one key (`shoal.features`). A signal keeps another kind of state (login
histories with back-off, a sequence model, a forest over a stream) and is otherwise like it: it reads the frame and
the writer's stamps, adds columns in `seq` order, first reads its state and then learns from the row, and is a function
of the journal: its columns do not depend on how the journal was cut into batches, and its state can be written down
and taken back. Detectors and rules read signals as they read features. Knows no file, pack, clock or random source
(a signal that draws, draws from a seed among its settings).
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from shoal.errors import Problem, Where
from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.expressions.compile import Scope, compile_expression
from shoal.expressions.frame import Frame, Layout, Valid, Values
from shoal.expressions.program import ListLike, Program
from shoal.features.engine import Stamps

SettingValue = str | int | float | bool | tuple[str, ...]
Masks = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Setting:
    """One setting of a kind of signal. `seconds` is written as a duration (`30d`), `condition` as SQL over event
    columns and attributes, `columns` as a list of such columns, `word` as one of `allowed`."""

    kind: Literal["seconds", "number", "integer", "condition", "columns", "word"]
    default: SettingValue
    doc: str
    low: float = 0.0
    high: float = float(2**40)
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Output:
    """A column that a signal adds: its kind (BOOL, INT or FLOAT), and what it says in words for reasons and cards."""

    kind: Kind
    doc: str
    unit: str = ""


@dataclass(frozen=True)
class SignalDefinition:
    """A signal as a pack asks for it: `id` is the prefix of its columns (`<id>.<output>`), `settings` holds a value
    for each setting of its kind, `version` is that of the kind."""

    id: str
    kind: str
    settings: Mapping[str, SettingValue]
    version: int = 1
    description: str = ""
    origin: Where = field(default_factory=Where)

    @property
    def hash(self) -> str:
        """16 hex digits of what changes values: the kind, its version and the settings."""
        body = {
            "kind": self.kind,
            "version": self.version,
            "settings": {k: self.settings[k] for k in sorted(self.settings)},
        }
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


class Signal(ABC):
    """The state of one signal and its columns. A kind is a subclass, named in `signal_kinds.KINDS`.

    `update` may be called with 1 row or 100,000; the frame's rows are in seq order. A row whose event Shoal itself
    caused (`stamps.shoal`), or that is `Flag.LATE`, is read and not learned from, unless the kind says otherwise.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised when the same settings and events give other values or another state."""
    settings: ClassVar[Mapping[str, Setting]]
    takes_tables: ClassVar[bool] = False
    """Whether it takes up arrays that a record of the journal publishes (`take_up`)."""
    tables_measure: ClassVar[bool] = False
    """Whether its tables are a measure, as an embedding is, and no findings about somebody: columns then mean something
    else under other tables, and a training frame holds all of its rows under the tables in force at its end."""

    def __init__(
        self, definition: SignalDefinition, layout: Layout, identity: Identity, lists: Mapping[str, ListLike]
    ) -> None:
        self.definition, self.layout, self.identity = definition, layout, identity
        named = [name for name, setting in self.settings.items() if setting.kind == "condition"]
        scope = Scope(dict(zip(layout.names, layout.kinds, strict=True)), frozenset(lists))
        conditions = [
            compile_expression(str(definition.settings[name]), scope, definition.origin.at(name)) for name in named
        ]
        self._conditions = {name: row for row, name in enumerate(named)}
        self._program = Program(conditions, layout, identity, lists) if conditions else None

    @classmethod
    @abstractmethod
    def outputs(cls, settings: Mapping[str, SettingValue]) -> Mapping[str, Output]:
        """The columns, without the prefix, in their order."""

    @classmethod
    @abstractmethod
    def reads(cls, settings: Mapping[str, SettingValue]) -> frozenset[str]:
        """Event columns that it reads beside those of its conditions."""

    @classmethod
    def problems(cls, definition: SignalDefinition, columns: Mapping[str, Kind]) -> list[Problem]:  # noqa: ARG003
        """What is wrong with settings beyond what their own ranges say: columns of a kind that it cannot read, settings
        that contradict each other. Columns that do not exist are told elsewhere, and passed over here."""
        return []

    @abstractmethod
    def update(self, frame: Frame, stamps: Stamps, values: Values, valid: Valid) -> None:
        """Read and learn `frame.size` rows; write every output of every row into `values` int64 [outputs, ≥ n]
        (floats by bit view) and `valid` uint8 (0: null)."""

    @abstractmethod
    def snapshot(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """The state as named arrays (no object arrays); equal states give equal arrays."""

    @abstractmethod
    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take over the state of a snapshot; raises `Corrupt` where it is none of this kind."""

    def take_up(self, arrays: Mapping[str, npt.NDArray[np.generic]], seq: int) -> str:
        """Take up the arrays that record `seq` of the journal publishes, from the next row on; none of them: go back to
        before anything was published. Returns why they are not used (then nothing changes), or "".

        The stage keeps what was taken up beside the snapshot, and hands it back before `restore`. The arrays are
        read-only and stay as they are. A kind says what is wrong with arrays in `table_problems`, and takes sound ones
        in `use_tables`."""
        if not self.takes_tables:
            return f"a signal of kind {self.kind} takes up no tables"
        problems = self.table_problems(arrays) if arrays else []
        if problems:
            return "; ".join(str(problem) for problem in problems)
        self.use_tables(arrays, seq)
        return ""

    def table_problems(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> list[Problem]:  # noqa: ARG002
        """What is wrong with arrays that are offered (there is one at least). Must not raise, whatever they are."""
        return []

    def use_tables(self, arrays: Mapping[str, npt.NDArray[np.generic]], seq: int) -> None:
        """Use sound arrays from here on; none: nothing is published any more."""
        raise NotImplementedError

    def warm(self) -> None:  # noqa: B027 - a signal without kernels has nothing to compile
        """Compile the kernels (or load them from the cache) without touching the state."""

    def masks(self, frame: Frame) -> Masks:
        """int8 [conditions, n], in the order of the settings: 1 holds, 0 not, 2 unknown."""
        assert self._program is not None, "the kind has no condition"
        out = np.empty((len(self._conditions), frame.size), np.int8)
        self._program.truths(frame, out)
        return out

    @property
    def text_columns(self) -> frozenset[str]:
        """Columns whose texts the frame must carry."""
        return self._program.text_columns if self._program is not None else frozenset()
