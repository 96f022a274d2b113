"""What a feature is: its definition, the check of a whole set, its hash and the kind of its values.

A `FeatureDefinition` is plain data, as a pack gives it. It is known by its `hash`, made of what changes values only,
so that editing a title or an id invalidates no state. `check_definitions` finds all problems of a set together.
Nothing here holds state or knows the kernel; the behaviour of each operation for late, duplicate, future and
missing-field events is told in `OPERATIONS` and, as tables, in docs/features.md and tests/spec/test_spec_features.py.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shoal.errors import InvalidInput, Problem, Where, nearest_name
from shoal.events.schema import BY_NAME, Kind

HASH_VERSION = 1
MAX_FEATURES = 200
MAX_KEY_COLUMNS = 8
MAX_EXACT_S = 86_400
MAX_WINDOW_S = 400 * 86_400
MAX_BUCKETS = 1_000
MAX_SCALED = 2**52
OLDEST_BUCKET = ("whole", "half")
"""How the oldest bucket of a window, which the window's start cuts, may count."""
_HALVED = ("count", "sum", "mean")
_ID = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\Z")


@dataclass(frozen=True)
class Operation:
    """What an operation reads and how it behaves. `value`: 'none', 'number' or 'any'."""

    name: str
    value: str
    window: str  # 'optional': lifetime where absent; 'none'
    includes_self: bool
    choice: bool  # whether `include_self` may be given
    before: str  # what stands before the first update
    late: str  # what a late event updates
    doc: str


_WINDOW_LATE = "lifetime state only; a window does not count it"
_LAST_LATE = "at its own `time`: it replaces what was seen last only where it is newer"
_PAIR_LATE = "the pair is seen, at its own `time`"
_ALL = (
    Operation("count", "none", "optional", True, True, "0", _WINDOW_LATE, "how many events"),
    Operation("sum", "number", "optional", True, True, "0", _WINDOW_LATE, "sum of `value`, int64 fixed point"),
    Operation("mean", "number", "optional", True, True, "null", _WINDOW_LATE, "mean of `value`, from the exact sum"),
    Operation("min", "number", "optional", True, True, "null", _WINDOW_LATE, "smallest `value`"),
    Operation("max", "number", "optional", True, True, "null", _WINDOW_LATE, "largest `value`"),
    Operation("distinct", "any", "optional", True, True, "0", _WINDOW_LATE, "how many different values"),
    Operation("decayed", "number?", "none", True, True, "0", "nothing", "count or sum that halves each `half_life_s`"),
    Operation("last", "any", "optional", False, False, "null", _LAST_LATE, "the value before this event"),
    Operation("gap", "none", "optional", False, False, "null", _LAST_LATE, "seconds since the event before"),
    Operation("age", "none", "none", False, False, "null", "its `time` may be the first", "seconds since first seen"),
    Operation("seen", "any", "optional", False, False, "false", _PAIR_LATE, "whether the key had this value"),
    Operation("share", "any", "optional", False, False, "null", _WINDOW_LATE, "this value's share in the key's events"),
    Operation("speed", "none", "optional", False, False, "null", _LAST_LATE, "km/h from the located event before"),
    Operation("derived", "none", "none", True, False, "null", "nothing (no state)", "an expression over features"),
)  # fmt: skip
OPERATIONS: Mapping[str, Operation] = {operation.name: operation for operation in _ALL}
"""The operations by name."""


@dataclass(frozen=True)
class FeatureDefinition:
    """One feature, as a pack defines it.

    `id` is permanent and dotted; `key` the event columns whose values together are the key (a null in any gives null);
    `window_s` the window `(as_of - window_s, as_of]` in seconds, None the lifetime; `value` and `where` expressions
    over event columns (never over features); `expression` is for `derived` alone, over features and event columns.
    `bucket_s` makes a window approximate: buckets of that many seconds, the oldest counted `whole` or, for what adds
    up, by `half` (`oldest_bucket`). `places` and `largest` bound the fixed point of `sum` and `mean`. Events caused by
    Shoal itself are left out unless `include_shoal`.
    """

    id: str
    operation: str
    key: tuple[str, ...] = ()
    window_s: int | None = None
    value: str | None = None
    where: str | None = None
    expression: str | None = None
    include_self: bool | None = None
    bucket_s: int | None = None
    oldest_bucket: str = "whole"
    half_life_s: float | None = None
    places: int = 0
    largest: float = float(2**40)
    include_shoal: bool = False
    description: str = ""
    unit: str = ""
    origin: Where = field(default_factory=Where)

    @property
    def hash(self) -> str:
        """16 hex digits of what changes values: not the id, the texts for people or the origin."""
        body: dict[str, object] = {"v": HASH_VERSION, "operation": self.operation}
        if self.operation == "derived":
            body["expression"] = (self.expression or "").strip()
        else:
            body |= {
                "key": list(self.key),
                "window_s": self.window_s,
                "bucket_s": self.bucket_s,
                "value": self.value.strip() if self.value is not None else None,
                "where": self.where.strip() if self.where is not None else None,
                "self": self.includes_self,
                "shoal": self.include_shoal,
            }
            if self.oldest_bucket != "whole":  # named only where it is not the default, so that old hashes stand
                body["oldest_bucket"] = self.oldest_bucket
            if self.operation == "decayed":
                body["half_life_s"] = float(self.half_life_s or 0.0)
            if self.operation in ("sum", "mean"):
                body |= {"places": self.places, "largest": float(self.largest)}
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def includes_self(self) -> bool:
        """Whether the event at which the feature is read counts."""
        if self.include_self is not None:
            return self.include_self
        operation = OPERATIONS.get(self.operation)
        return operation.includes_self if operation is not None else True

    @property
    def kind(self) -> Kind:
        """The kind of the values where it follows from the definition and the event table alone (see `kind_of`)."""
        spec = BY_NAME.get((self.value or "").strip())
        return self.kind_of(spec.kind if spec is not None else None)

    def kind_of(self, value_kind: Kind | None) -> Kind:
        """The kind of the values, given the kind of `value` (of `expression` for a derived feature)."""
        if self.operation in ("count", "distinct"):
            return Kind.INT
        if self.operation == "sum":
            return Kind.INT if self.places == 0 else Kind.FLOAT
        if self.operation == "seen":
            return Kind.BOOL
        if self.operation in ("last", "min", "max", "derived"):
            fallback = Kind.TEXT if self.operation == "last" else Kind.FLOAT
            return fallback if value_kind is None else value_kind
        return Kind.FLOAT


def _check_shape(one: FeatureDefinition, operation: Operation) -> list[Problem]:
    found: list[Problem] = []

    def wrong(slug: str, path: str, message: str, allowed: str = "", hint: str = "") -> None:
        found.append(Problem(f"features.{slug}", f"{one.id}: {message}", one.origin.at(path), allowed, hint=hint))

    derived = operation.name == "derived"
    if derived:
        for name in ("value", "where", "window_s", "bucket_s", "half_life_s"):
            if getattr(one, name) is not None:
                wrong("not_for_operation", name, f"a derived feature takes no {name}", hint="only `expression`")
        if one.oldest_bucket != "whole":
            wrong("not_for_operation", "oldest_bucket", "a derived feature has no buckets", hint="only `expression`")
        if one.key:
            wrong("not_for_operation", "key", "a derived feature takes no key", hint="only `expression`")
        if not (one.expression or "").strip():
            wrong("expression_missing", "expression", "a derived feature needs an expression")
    else:
        if one.expression is not None:
            wrong("not_for_operation", "expression", "`expression` is for derived features", hint="use `value`")
        if operation.value in ("number", "any") and not (one.value or "").strip():
            wrong("value_missing", "value", f"{operation.name} needs a value")
        if operation.value == "none" and one.value is not None:
            wrong("not_for_operation", "value", f"{operation.name} takes no value", hint="put the condition in `where`")
        if one.where is not None and not one.where.strip():
            wrong("where_empty", "where", "the condition is empty", hint="leave `where` out")
    if one.include_self is not None and not operation.choice:
        wrong("not_for_operation", "include_self", f"{operation.name} has no choice of include_self")
    return found


def _check_window(one: FeatureDefinition, operation: Operation) -> list[Problem]:
    found: list[Problem] = []

    def wrong(slug: str, path: str, message: str, allowed: str = "", hint: str = "") -> None:
        found.append(Problem(f"features.{slug}", f"{one.id}: {message}", one.origin.at(path), allowed, hint=hint))

    bucketed = operation.name in ("count", "sum", "mean", "min", "max", "distinct")
    window, bucket = one.window_s, one.bucket_s
    if operation.name == "derived":
        return found
    if window is not None and operation.window == "none":
        wrong("not_for_operation", "window_s", f"{operation.name} takes no window")
    elif window is not None and not (isinstance(window, int) and 1 <= window <= MAX_WINDOW_S):
        wrong("window", "window_s", f"a window of {window} s", f"whole seconds from 1 to {MAX_WINDOW_S}")
    elif window is not None and bucket is None and window > MAX_EXACT_S and (bucketed or operation.name == "share"):
        wrong("window_needs_bucket", "window_s", f"an exact window of {window} s", f"at most {MAX_EXACT_S} s",
              "give hour or day buckets (bucket_s)" if bucketed else "or none, for the lifetime")  # fmt: skip
    if bucket is not None:
        if not bucketed or window is None:
            wrong("not_for_operation", "bucket_s", "buckets are for count, sum, mean, min, max, distinct with a window")
        elif not isinstance(bucket, int) or bucket < 60 or window % bucket or window // bucket > MAX_BUCKETS:
            wrong("bucket", "bucket_s", f"buckets of {bucket} s in a window of {window} s",
                  f"60 s or more, dividing the window, at most {MAX_BUCKETS} of them")  # fmt: skip
    if one.oldest_bucket not in OLDEST_BUCKET:
        near = nearest_name(str(one.oldest_bucket), OLDEST_BUCKET)
        text = f"{one.id}: the oldest bucket counts {one.oldest_bucket!r}"
        found.append(
            Problem("features.oldest_bucket", text, one.origin.at("oldest_bucket"), ", ".join(OLDEST_BUCKET), near)
        )
    elif one.oldest_bucket == "half" and (bucket is None or operation.name not in _HALVED):
        wrong("not_for_operation", "oldest_bucket", "half an oldest bucket is for buckets of count, sum and mean",
              hint="leave it out: the oldest bucket counts whole")  # fmt: skip
    if operation.name == "decayed":
        half = one.half_life_s
        if half is None or not (math.isfinite(half) and 1.0 <= half <= MAX_WINDOW_S):
            wrong("half_life", "half_life_s", f"a half-life of {half} s", f"1 to {MAX_WINDOW_S} seconds")
    elif one.half_life_s is not None:
        wrong("not_for_operation", "half_life_s", f"{operation.name} takes no half-life")
    if operation.name in ("sum", "mean"):
        if not (isinstance(one.places, int) and 0 <= one.places <= 9):
            wrong("places", "places", f"{one.places} decimal places", "0 to 9")
        elif not (math.isfinite(one.largest) and 0 < one.largest * 10**one.places <= MAX_SCALED):
            allowed = "0 < largest * 10^places <= 2^52"
            wrong("largest", "largest", f"largest {one.largest} at {one.places} places", allowed)
    return found


def problems_of(one: FeatureDefinition) -> list[Problem]:
    """All problems of one definition that can be seen without the columns it reads."""
    found: list[Problem] = []
    if not isinstance(one.id, str) or not _ID.match(one.id):
        found.append(
            Problem("features.id", f"the id {one.id!r} is not a name", one.origin.at("id"), "a-z, 0-9, _ and dots")
        )
    operation = OPERATIONS.get(one.operation)
    if operation is None:
        near = nearest_name(str(one.operation), OPERATIONS)
        text = f"{one.id}: no operation {one.operation!r}"
        found.append(Problem("features.operation", text, one.origin.at("operation"), ", ".join(OPERATIONS), near))
        return found
    if operation.name != "derived":
        if not one.key:
            found.append(Problem("features.key_missing", f"{one.id}: no key", one.origin.at("key"), "event columns"))
        elif len(one.key) > MAX_KEY_COLUMNS or len(set(one.key)) != len(one.key):
            text = f"{one.id}: the key {', '.join(one.key)}"
            allowed = f"at most {MAX_KEY_COLUMNS} different columns"
            found.append(Problem("features.key", text, one.origin.at("key"), allowed))
    return found + _check_shape(one, operation) + _check_window(one, operation)


def check_definitions(definitions: Sequence[FeatureDefinition], columns: Mapping[str, Kind]) -> list[Problem]:
    """All problems of a set: of each definition, and of ids and keys together. Expressions are checked when compiled.

    `columns` are the event columns (and declared attributes) that keys may name.
    """
    found: list[Problem] = []
    if len(definitions) > MAX_FEATURES:
        found.append(Problem("features.too_many", f"{len(definitions)} features", allowed=f"at most {MAX_FEATURES}"))
    known: dict[str, FeatureDefinition] = {}
    for one in definitions:
        found += problems_of(one)
        if one.id in known:
            text = f"the id {one.id!r} is given twice"
            hint = f"first at {known[one.id].origin}" if str(known[one.id].origin) else ""
            found.append(Problem("features.duplicate_id", text, one.origin.at("id"), hint=hint))
        elif one.id in columns:
            found.append(Problem("features.id_is_column", f"{one.id!r} is an event column", one.origin.at("id")))
        known.setdefault(one.id, one)
        for name in one.key:
            if name not in columns:
                text = f"{one.id}: no event column {name!r}"
                near = nearest_name(name, columns)
                found.append(Problem("features.unknown_column", text, one.origin.at("key"), nearest=near))
        if one.operation == "speed":
            for name in ("lat", "lon"):
                if columns.get(name) is not Kind.FLOAT:
                    text = f"{one.id}: speed needs the column {name!r}"
                    found.append(Problem("features.unknown_column", text, one.origin.at("operation")))
    return found


def refuse_problems(problems: Sequence[Problem]) -> None:
    """Raise `InvalidInput` where there are problems."""
    if problems:
        raise InvalidInput(problems)
