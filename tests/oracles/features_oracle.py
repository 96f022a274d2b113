"""The slow twin of the feature engine: for each event, recompute every feature over the stored history.

Plain lists and loops, written from FEATURES.md's contract, sharing nothing with the engine but the definitions. A row
is a dict of event columns plus `as_of`, `time`, `late`, `shoal`. Conditions and values that are more than a column are
given as Python functions, by their text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

US = 1_000_000


@dataclass
class Update:
    as_of: int
    moment: int
    late: bool
    value: Any
    clamped: bool = False
    place: tuple = ()


@dataclass
class Oracle:
    """Features by definition; `functions` by text; see the module."""

    definitions: list
    functions: dict = field(default_factory=dict)
    history_complete: bool = True
    history: dict = field(default_factory=dict)
    start: int | None = None

    def evaluate(self, text, row):
        if text in self.functions:
            try:
                return self.functions[text](row)
            except TypeError:
                return None
        return row.get(text)

    def step(self, row) -> dict:
        """The features of one event, and then its place in history."""
        if self.start is None:
            self.start = row["as_of"]
        read: dict = {}
        for one in self.definitions:
            key = tuple(row.get(name) for name in one.key)
            if None in key:
                read[one.id] = (None, 0)
                continue
            past = self.history.setdefault((one.id, key), [])
            update = self.update_of(one, row)
            seen = [*past, update] if update is not None and one.includes_self else past
            read[one.id] = self.read(one, row, seen, update)
            if update is not None:
                past.append(update)
        return read

    def update_of(self, one, row):
        """What this event adds to a feature, or None."""
        if one.where is not None and self.evaluate(one.where, row) is not True:
            return None
        if row["shoal"] and not one.include_shoal:
            return None
        value, place, clamped = None, (), False
        if one.value is not None:
            value = self.evaluate(one.value, row)
            if value is None:
                return None
        if one.operation == "speed":
            place = (row.get("lat"), row.get("lon"))
            if None in place:
                return None
        if one.operation in ("sum", "mean"):
            scaled = value * 10**one.places
            largest = round(one.largest * 10**one.places)
            clamped = abs(scaled) > largest
            value = int(math.copysign(largest, scaled)) if clamped else round(scaled)
        moment = row["time"] if row["late"] else row["as_of"]
        return Update(row["as_of"], moment, row["late"], value, clamped, place)

    def window(self, one, as_of, updates):
        if one.window_s is None:
            return list(updates)
        if one.bucket_s is not None:
            width = one.bucket_s * US
            oldest = as_of // width - one.window_s // one.bucket_s
            return [u for u in updates if not u.late and u.as_of // width >= oldest]
        return [u for u in updates if not u.late and u.as_of > as_of - one.window_s * US]

    def oldest(self, one, as_of, updates):
        """What the oldest bucket holds of which only half counts."""
        if one.oldest_bucket != "half":
            return []
        width = one.bucket_s * US
        number = as_of // width - one.window_s // one.bucket_s
        return [u for u in updates if not u.late and u.as_of // width == number]

    def known(self, one, row):
        if self.history_complete:
            return True
        if one.operation == "decayed":
            if row["as_of"] >= self.start + round(20 * one.half_life_s * US):
                return True
        if one.window_s is not None and row["as_of"] >= self.start + one.window_s * US:
            return True
        born = row.get("account_created") if "account" in one.key else None
        return born is not None and born >= self.start

    def read(self, one, row, updates, update):
        value = getattr(self, f"_{one.operation}")(one, row, updates)
        flags = 0
        if not self.known(one, row):
            if one.operation in ("seen", "share", "age"):
                value = None
            if one.operation not in ("last", "gap", "speed") or value is None:
                flags |= 1
        if one.operation in ("sum", "mean"):
            flags |= 2 * (update is not None and update.clamped)
        return value, flags

    def _count(self, one, row, updates):
        return len(self.window(one, row["as_of"], updates)) - len(self.oldest(one, row["as_of"], updates)) // 2

    def _sum(self, one, row, updates):
        total = sum(u.value for u in self.window(one, row["as_of"], updates))
        total -= sum(u.value for u in self.oldest(one, row["as_of"], updates)) // 2
        return total / 10**one.places if one.places else total

    def _mean(self, one, row, updates):
        live, oldest = self.window(one, row["as_of"], updates), self.oldest(one, row["as_of"], updates)
        if not live:
            return None
        twice = 2 * sum(u.value for u in live) - sum(u.value for u in oldest)
        return twice / 10**one.places / (2 * len(live) - len(oldest))

    def _min(self, one, row, updates):
        return min((u.value for u in self.window(one, row["as_of"], updates)), default=None)

    def _max(self, one, row, updates):
        return max((u.value for u in self.window(one, row["as_of"], updates)), default=None)

    def _distinct(self, one, row, updates):
        return len({u.value for u in self.window(one, row["as_of"], updates)})

    def _decayed(self, one, row, updates):
        half = one.half_life_s * US
        amounts = ((1.0 if one.value is None else u.value, row["as_of"] - u.as_of) for u in updates if not u.late)
        return float(sum(amount * 2.0 ** (-age / half) for amount, age in amounts))

    def newest(self, one, row, updates):
        """The update seen last: of the largest moment, the later of two; None where the window has passed it."""
        best = None
        for u in updates:
            if best is None or u.moment >= best.moment:
                best = u
        if best is not None and one.window_s is not None and best.moment <= row["as_of"] - one.window_s * US:
            return None
        return best

    def _last(self, one, row, updates):
        best = self.newest(one, row, updates)
        return best.value if best is not None else None

    def _gap(self, one, row, updates):
        best = self.newest(one, row, updates)
        return (row["as_of"] - best.moment) / 1e6 if best is not None else None

    def _age(self, one, row, updates):
        return (row["as_of"] - min(u.moment for u in updates)) / 1e6 if updates else None

    def _seen(self, one, row, updates):
        value = self.evaluate(one.value, row)
        if value is None:
            return None
        moments = [u.moment for u in updates if u.value == value]
        if one.window_s is not None:
            moments = [m for m in moments if m > row["as_of"] - one.window_s * US]
        return bool(moments)

    def _share(self, one, row, updates):
        value = self.evaluate(one.value, row)
        live = self.window(one, row["as_of"], updates)
        if value is None or not live:
            return None
        return sum(u.value == value for u in live) / len(live)

    def _speed(self, one, row, updates):
        best = self.newest(one, row, updates)
        if best is None or row.get("lat") is None or row.get("lon") is None:
            return None
        moment = row["time"] if row["late"] else row["as_of"]
        lat1, lon1, lat2, lon2 = (math.radians(x) for x in (*best.place, row["lat"], row["lon"]))
        h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
        km = 2 * 6371.0088 * math.asin(math.sqrt(min(1.0, h)))
        return km / (max(abs(moment - best.moment), US) / 3.6e9)


def equal(a, b) -> bool:
    """Equal as FEATURES.md point 10 says: exact, and floats within 1e-9 relative."""
    if a is None or b is None:
        return a is b
    if isinstance(a, float) or isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return a == b
