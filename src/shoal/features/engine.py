"""The feature engine: events in, a block of feature values out. Hot path.

`FeatureEngine` compiles definitions into a spec table once, owns the state (slabs, tables, the log of live events)
for its whole life, and drives one generic kernel over batches of any size: results do not depend on how the journal
was cut. It reads the writer's stamps and computes none. It knows no file format but its own snapshot, and no rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shoal.errors import Problem
from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.expressions.frame import Frame, Layout, Valid, Values
from shoal.features import descriptor as D  # noqa: N812 - a namespace of constants
from shoal.features.definitions import FeatureDefinition, refuse_problems
from shoal.features.derived import DerivedFeatures
from shoal.features.part import Batch, Part
from shoal.features.plan import Plan
from shoal.features.snapshot import definition_of, load_part, read_manifest, write_snapshot

PARTIAL = 1
"""Bit of `FeatureBlock.partial`: the window is not covered yet; a lower bound for counts."""
CLAMPED = 2
"""Bit of `FeatureBlock.partial`: this event's value was beyond `largest` and was clamped."""
MAX_PAIR_CAP = 2**24
MAX_LIFETIME_S = 100 * 366 * 86_400
PAD = 72
"""Spare columns of new blocks, so that rows do not all fall into the same cache sets."""


@dataclass
class Stamps:
    """The writer's stamps of a batch, each [n]: `seq`, `as_of` and `time` int64, `flags` bits of `events.schema.Flag`,
    `shoal` 1 where our own enforcement caused the event."""

    seq: npt.NDArray[np.int64]
    as_of: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]
    flags: npt.NDArray[Any]
    shoal: npt.NDArray[np.uint8]


@dataclass
class FeatureBlock:
    """Feature values of a batch: `values` int64 [F, n] (floats by bit view), `valid` and `partial` uint8 [F, n]."""

    values: Values
    valid: Valid
    partial: Valid


class FeatureEngine:
    """All features of a pack over one ordered stream. See the module's docstring."""

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    text_columns: frozenset[str]

    def __init__(
        self,
        definitions: Sequence[FeatureDefinition],
        layout: Layout,
        identity: Identity,
        lists: Mapping[str, Any] | None = None,
        *,
        history_complete: bool,
        folder: Path | None = None,
        pair_cap: int = 4096,
        lifetime_s: int = 400 * 86_400,
        piece_bits: int | None = None,
    ) -> None:
        """Compile `definitions` against the event columns of `layout`; raises `InvalidInput` with all problems.

        `history_complete`: everything that ever happened to the keys is in the stream (finite files, tests).
        `folder`: where the log of live events is mapped, for this engine alone; None keeps it in memory. `pair_cap`:
        live pairs a key may have before its distinct counts move to a sketch. `lifetime_s`: how long lifetime state
        of an idle key lives. `piece_bits`: the log's pieces have 2^piece_bits records (None: fit for the place).
        """
        self.definitions = tuple(definitions)
        self.layout, self.identity, self._lists = layout, identity, dict(lists or {})
        self.history_complete, self._folder = history_complete, folder
        self._piece_bits = piece_bits
        self._options = {"pair_cap": pair_cap, "lifetime_s": lifetime_s}
        whole = Plan(definitions, layout, frozenset(self._lists))
        _check_options(definitions, pair_cap, lifetime_s)
        self.names = tuple(one.id for one in self.definitions)
        self.kinds = whole.kinds
        self._rows = {one.id: row for row, one in enumerate(self.definitions)}
        kernel = [one for one in self.definitions if one.operation != "derived"]
        self._derived = DerivedFeatures(whole, layout, identity, self._lists) if whole.derived else None
        self.parts = [self._new_part(kernel, [self._rows[one.id] for one in kernel], history_complete, 0)]
        texts = self.parts[0].text_columns
        self.text_columns = texts | (self._derived.text_columns if self._derived is not None else frozenset())
        self._last_seq = -1
        self._now = D.NONE

    @property
    def now(self) -> int | None:
        """The `as_of` of the last event or tick; None before the first."""
        return None if self._now == D.NONE else self._now

    def _new_part(
        self, definitions: Sequence[FeatureDefinition], outputs: Sequence[int | None], complete: bool, number: int
    ) -> Part:
        folder = None if self._folder is None else self._folder / f"part-{number}"
        flags = [complete] * len(definitions)
        return Part(definitions, outputs, self.layout, self.identity, self._lists, complete=flags,
                    options=self._options, folder=folder, piece_bits=self._piece_bits)  # fmt: skip

    def update(
        self, frame: Frame, stamps: Stamps, values: Values | None = None, valid: Valid | None = None
    ) -> FeatureBlock:
        """Read and update all features for `frame.size` events in `(as_of, seq)` order.

        `values` and `valid` ([F, >= n], rows contiguous) receive the result where given; else new arrays are made.
        Raises `InvalidInput` (`features.order`, `features.frame`) before any state changes.
        """
        batch = self.bind(frame, stamps, values, valid)
        size = frame.size
        if size:
            for part in self.parts:
                part.drive(0, size)
            self._last_seq, self._now = int(stamps.seq[size - 1]), int(stamps.as_of[size - 1])
            if self._derived is not None:
                self._derived.fill(frame, batch.values, batch.valid, batch.partial)
        return FeatureBlock(batch.values, batch.valid, batch.partial)

    def bind(self, frame: Frame, stamps: Stamps, values: Values | None = None, valid: Valid | None = None) -> Batch:
        """Check a batch, evaluate its conditions and values, and give the kernel its addresses.

        What `update` does before the kernel runs; benchmarks and profiles drive the kernel themselves. The batch must
        stay alive while it is driven.
        """
        block = self._new_block(frame.size, values, valid)
        if frame.size:
            self._check(frame, stamps)
        batch = Batch(
            frame,
            np.ascontiguousarray(stamps.as_of, dtype=np.int64),
            np.ascontiguousarray(stamps.time, dtype=np.int64),
            np.ascontiguousarray(stamps.flags).astype(np.uint8, copy=False),
            np.ascontiguousarray(stamps.shoal).astype(np.uint8, copy=False),
            block.values,
            block.valid,
            block.partial,
        )
        if frame.size:
            for part in self.parts:
                if not part.begun:
                    part.begin(int(batch.as_of[0]))
                part.bind(batch)
        return batch

    def advance(self, as_of: int) -> None:
        """Move time while the stream is idle (a journalled tick); memory of what expired may come back."""
        if as_of <= self._now:
            return
        self._now = as_of
        for part in self.parts:
            if not part.begun:
                part.begin(as_of)
            part.advance(as_of)

    def warm(self) -> None:
        """Compile the kernels (or load them from the cache) on one event of a throw-away engine."""
        layout = Layout.of({"account": Kind.TEXT, "size_bytes": Kind.INT})
        one = FeatureDefinition("warm", "count", ("account",), 60, where="size_bytes > 1")
        small = FeatureEngine([one], layout, self.identity, history_complete=True)
        frame = Frame.of_rows([{"account": "a", "size_bytes": 2}], layout, self.identity)
        zero = np.zeros(1, np.int64)
        small.update(frame, Stamps(zero, zero, zero, zero.astype(np.uint8), zero.astype(np.uint8)))
        small.advance(1)

    def sizes(self) -> dict[str, int]:
        """Live keys, pairs, nodes, sketches and logged events, their bytes, and counts of clamped values."""
        total: dict[str, int] = {}
        for part in self.parts:
            for name, figure in part.state.sizes().items():
                total[name] = total.get(name, 0) + figure
        return total

    def close(self) -> None:
        """Let go of the mapped log and its files."""
        for part in self.parts:
            part.state.close()

    def snapshot(self, path: Path, position: int) -> None:
        """Write the whole state and `position` aside, sync it, and rename it to the folder `path`."""
        head = {"position": position, "last_seq": self._last_seq, "now": self._now, **self._options}
        # The key itself is never written: a snapshot only knows that it was made under the same one.
        head["identity"] = self.identity.id_of("features.identity")
        write_snapshot(path, self.parts, head)

    def restore(self, path: Path, *, new_partial: bool = False) -> int:
        """Take over the state of a snapshot and return its `position`. The engine must not have seen events.

        Refuses (`InvalidInput`) definitions whose hash is not in the snapshot by name, unless `new_partial`: then
        those start empty and are `partial`. Raises `Corrupt` or `Unsupported` for a bad or other-version snapshot.
        """
        if self._now != D.NONE:
            refuse_problems([Problem("features.not_new", "only an engine that has seen no event can be restored")])
        folder, manifest = read_manifest(path)
        self._check_manifest(manifest)
        waiting = {one.id: one for one in self.definitions if one.operation != "derived"}
        wanted: list[tuple[list[FeatureDefinition], list[int | None]]] = []
        for saved in manifest["parts"]:
            known = [definition_of(body) for body in saved["definitions"]]
            wanted.append(
                (known, [self._match(old.id, name, waiting) for old, name in zip(known, saved["hashes"], strict=True)])
            )
        if waiting and not new_partial:
            hint = "replay the journal from its start, or start the new ones as partial"
            refuse_problems([
                Problem("features.not_in_snapshot", f"{one.id}: not in the snapshot", one.origin, hint=hint)
                for one in waiting.values()
            ])  # fmt: skip
        self.close()
        parts: list[Part] = []
        for number, (saved, (known, outputs)) in enumerate(zip(manifest["parts"], wanted, strict=True)):
            if any(output is not None for output in outputs):
                part = self._new_part(known, outputs, False, len(parts))
                load_part(part, folder, number, saved)
                if int(manifest["now"]) != D.NONE:
                    part.begin(int(manifest["now"]))
                parts.append(part)
        if waiting:
            fresh = list(waiting.values())
            parts.append(self._new_part(fresh, [self._rows[one.id] for one in fresh], False, len(parts)))
        self.parts = parts
        self._last_seq, self._now = int(manifest["last_seq"]), int(manifest["now"])
        return int(manifest["position"])

    def _match(self, name: str, known: str, waiting: dict[str, FeatureDefinition]) -> int | None:
        """The block row of the definition that goes on with a saved one: of the same hash, by name where it can."""
        same = [one.id for one in waiting.values() if one.hash == known]
        if not same:
            return None
        chosen = name if name in same else same[0]
        del waiting[chosen]
        return self._rows[chosen]

    def _check_manifest(self, manifest: Mapping[str, Any]) -> None:
        problems = []
        if manifest["identity"] != self.identity.id_of("features.identity"):
            problems.append(Problem("features.other_identity", "the snapshot was made under another identity key"))
        for name, value in self._options.items():
            if manifest[name] != value:
                text = f"the snapshot was made with {name} = {manifest[name]}, not {value}"
                problems.append(Problem("features.other_option", text))
        refuse_problems(problems)

    def _new_block(self, size: int, values: Values | None, valid: Valid | None) -> FeatureBlock:
        count = len(self.names)
        if values is None:
            values = np.zeros((count, size + PAD), np.int64)[:, :size]
        if valid is None:
            valid = np.zeros((count, size + 8 * PAD), np.uint8)[:, :size]
        problems = []
        for name, array, kind in (("values", values, np.int64), ("valid", valid, np.uint8)):
            right = array.ndim == 2 and array.dtype == kind and array.shape[0] >= count and array.shape[1] >= size
            if not right or (size > 1 and array.strides[1] != array.itemsize) or not array.flags.writeable:
                text = f"{name} is {array.dtype} {array.shape}"
                allowed = f"{np.dtype(kind)} [{count}, >= {size}], rows contiguous and writeable"
                problems.append(Problem("features.frame", text, allowed=allowed))
        refuse_problems(problems)
        return FeatureBlock(values, valid, np.zeros((count, size + 8 * PAD), np.uint8)[:, :size])

    def _check(self, frame: Frame, stamps: Stamps) -> None:
        """Refuse a batch that is not of our layout or not in order, before any state changes."""
        size, problems = frame.size, []
        if frame.layout is not self.layout and frame.layout.names[: len(self.layout.names)] != self.layout.names:
            problems.append(Problem("features.frame", "the frame's columns are not those of the engine's layout"))
        for name in ("seq", "as_of", "time", "flags", "shoal"):
            if len(getattr(stamps, name)) < size:
                problems.append(Problem("features.frame", f"the stamp {name} has fewer than {size} rows"))
        refuse_problems(problems)
        seq, as_of = stamps.seq[:size], stamps.as_of[:size]
        now = self._now
        if int(seq[0]) <= self._last_seq or (size > 1 and bool((seq[1:] <= seq[:-1]).any())):
            hint = f"the last seq seen is {self._last_seq}" if int(seq[0]) <= self._last_seq else ""
            problems.append(Problem("features.order", "seq does not increase", hint=hint))
        if int(as_of[0]) < now or (size > 1 and bool((as_of[1:] < as_of[:-1]).any())):
            problems.append(Problem("features.order", "as_of goes back", hint=f"time stands at {now}"))
        if int(as_of[size - 1]) - int(as_of[0]) >= 2**50 or abs(int(as_of[size - 1])) >= 2**60:
            problems.append(Problem("features.order", "as_of is beyond what the log can hold", allowed="±36,000 years"))
        refuse_problems(problems)


def _check_options(definitions: Sequence[FeatureDefinition], pair_cap: int, lifetime_s: int) -> None:
    problems = []
    if not 1 <= pair_cap <= MAX_PAIR_CAP:
        problems.append(Problem("features.pair_cap", f"a cap of {pair_cap} pairs", allowed=f"1 to {MAX_PAIR_CAP}"))
    longest = max(((one.window_s or 0) + (one.bucket_s or 0) for one in definitions), default=0)
    if not longest <= lifetime_s <= MAX_LIFETIME_S or lifetime_s < 1:
        allowed = f"from the longest window ({longest} s) to {MAX_LIFETIME_S} s"
        problems.append(Problem("features.lifetime", f"a lifetime of {lifetime_s} s", allowed=allowed))
    refuse_problems(problems)
