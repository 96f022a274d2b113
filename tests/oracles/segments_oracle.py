"""The plainest login_segments: dictionaries, sets of registers, one Python step a row; nothing is ever pushed out.

Written from docs/stuffing.md, to be compared with the kernels where their tables are large enough to lose nothing.
Hashes are used for the sketches alone, since their estimates decide when a campaign may be opened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DAY = 86_400_000_000
MINUTE = 60_000_000
WORD = (1 << 64) - 1
SHARES = (0.9, 0.4, 0.15, 0.05)
START = {"main": 0.4, "failing": 0.3, "strange": 0.9}
TESTS = tuple(START)


def mix(a: int, b: int) -> int:
    z = ((a & WORD) * 0x9E3779B97F4A7C15 + (b & WORD)) & WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z ^ (z >> 31)


class Sketch:
    """HyperLogLog of 128 registers."""

    def __init__(self) -> None:
        self.ranks: dict[int, int] = {}
        self.count = 0

    def add(self, value: int) -> None:
        bits = mix(value, 0x5EED)
        place, rest, rank = bits % 128, bits >> 7, 1
        while rank < 40 and rest % 2 == 0:
            rest, rank = rest // 2, rank + 1
        if rank <= self.ranks.get(place, 0):
            return
        self.ranks[place] = rank
        empty = 128 - len(self.ranks)
        raw = 0.7213 / (1 + 1.079 / 128) * 128 * 128 / (empty + sum(2.0**-r for r in self.ranks.values()))
        if raw <= 320 and empty:
            raw = 128 * math.log(128 / empty)
        self.count = math.floor(raw + 0.5)


@dataclass
class Counts:
    """Strangers' attempts, failures, and both, learned and waiting."""

    learned: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    waiting: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])

    def trials(self, test: str) -> float:
        strange, failed, both = self.learned
        return {"main": strange + failed - both, "failing": strange, "strange": failed}[test]

    def ratio(self, test: str, parent: float, strength: float) -> float:
        return (self.learned[2] + strength * parent) / (self.trials(test) + strength)

    def wait(self, failed: bool, known: bool) -> None:
        for place, hit in enumerate((not known, failed, failed and not known)):
            self.waiting[place] += hit

    def take(self, fade: float) -> None:
        self.learned = [old * fade + new for old, new in zip(self.learned, self.waiting, strict=True)]
        self.waiting = [0.0, 0.0, 0.0]


@dataclass
class Segment:
    counts: Counts = field(default_factory=Counts)
    proofs: dict[str, list[float]] = field(default_factory=lambda: {test: [0.0] * 4 for test in TESTS})
    day: int | None = None
    tested: int | None = None
    opened: int | None = None
    started: int = 0
    onset: float = 0.0
    failures: int = 0
    successes: int = 0
    own: int = 0
    tries: int = 0
    nameless: int = 0
    accounts: Sketch = field(default_factory=Sketch)
    networks: Sketch = field(default_factory=Sketch)
    lately: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])

    def proof(self, test: str) -> float:
        return sum(self.proofs[test])

    def begin(self, onset: float) -> None:
        self.onset, self.failures, self.successes, self.own, self.tries, self.nameless = onset, 0, 0, 0, 0, 0
        self.accounts, self.networks = Sketch(), Sketch()


class Oracle:
    """The signal. `settings` as in a pack, `by` the segmentations in use."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.s = settings
        self.groups = [(), *(settings[f"by_{n}"] for n in range(1, 9) if settings[f"by_{n}"])]
        self.segments: dict[Any, Segment] = {(0,): Segment()}
        self.hours = [Counts() for _ in range(settings["hours"])]
        self.known: dict[Any, int] = {}
        self.tried: dict[int, int] = {}
        self.sum = self.days = self.today = 0.0
        self.day = 0
        self.campaigns = 0

    def parent(self, k: int) -> int:
        best = 0
        for j in range(k):
            if set(self.groups[j]) < set(self.groups[k]) and len(self.groups[j]) >= len(self.groups[best]):
                best = j
        return best

    def recent(self, table: Mapping[Any, int], key: Any, now: int, ttl_s: float) -> bool:
        return key in table and now // MINUTE - table[key] <= ttl_s // 60

    def keys(self, row: Mapping[str, Any]) -> list[Any]:
        out: list[Any] = []
        for k, group in enumerate(self.groups):
            seen = tuple(row[name] for name in group)
            out.append(None if group and all(value is None for value in seen) else (k, *seen))
        return out

    def fade(self, one: Segment, now: int) -> float:
        since = 0 if one.tested is None else now - one.tested
        if one.opened is not None:
            return math.exp(-7.0 * since / (self.s["quiet_s"] * 1e6))
        return math.exp(-since / (self.s["memory_s"] * 1e6))

    def is_open(self, one: Segment, now: int) -> bool:
        return one.opened is not None and one.proof("main") * self.fade(one, now) >= math.exp(-5.0)

    def ratios(self, keys: Sequence[Any]) -> list[dict[str, float]]:
        out: list[dict[str, float]] = []
        for k, key in enumerate(keys):
            above = out[self.parent(k)] if k else START
            one = self.segments.get(key)
            strength = 8.0 if k else 20.0
            out.append({t: one.counts.ratio(t, above[t], strength) if one else above[t] for t in TESTS})
        return out

    def update(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """`row`: now, learns, the five conditions by name, and ids of columns (None for null)."""
        asked = row["failed"] or row["succeeded"] or row["attempted"] or row["password_right"]
        familiar = row["familiar"] and row["learns"]
        if row["account"] is None or not (asked or familiar):
            return None
        out, now, account = None, row["now"], row["account"]
        if asked:
            known = any(
                self.recent(self.known, (name, account, row[name]), now, self.s["known_s"])
                for name in self.s["known"]
                if row[name] is not None
            )
            failed, succeeded = row["failed"], row["succeeded"] and not row["failed"]
            trial = row["learns"] and (failed or (succeeded and not known))
            if trial and failed:
                trial = not self.recent(self.tried, account, now, self.s["retry_s"])
            keys = self.keys(row)
            if trial:
                for key in keys:
                    if key is not None:
                        self.segments.setdefault(key, Segment())
            outcome = "failed" if failed else "open" if row["attempted"] and not succeeded else "right"
            out = self.answer(keys, known, outcome, now)
            if trial:
                if failed:
                    self.tried[account] = now // MINUTE
                self.learn(row, keys, failed, known, now)
            elif failed and not known and row["learns"]:
                for key in keys:
                    if key in self.segments and self.segments[key].failures:
                        self.segments[key].tries += 1
        if familiar:
            self.known["person", account] = now // MINUTE
            for name in self.s["known"]:
                if row[name] is not None:
                    self.known[name, account, row[name]] = now // MINUTE
        return out

    def expected(self, one: Segment, ratio: Mapping[str, float]) -> float:
        by_success = one.successes * ratio["failing"] / max(1 - ratio["failing"], 0.03)
        by_failure = one.own * ratio["strange"] / max(1 - ratio["strange"], 0.03)
        return min(max(by_success, by_failure) + 0.5, one.failures + 0.5)

    def parts(self, keys: Sequence[Any], ratios: Sequence[Mapping[str, float]], now: int) -> list[float]:
        out: list[float] = []
        for k, key in enumerate(keys):
            above, strength = (out[self.parent(k)], 3.0) if k else (0.0, 1.0)
            one = self.segments.get(key)
            if one is None:
                out.append(above)
                continue
            fade = self.lately(one, now)
            failures, successes, own = (value * fade for value in one.lately)
            by_success = successes * ratios[k]["failing"] / max(1 - ratios[k]["failing"], 0.03)
            by_failure = own * ratios[k]["strange"] / max(1 - ratios[k]["strange"], 0.03)
            excess = max(failures - max(by_success, by_failure), 0.0)
            out.append((excess + strength * above) / (failures + successes + strength))
        return out

    def lately(self, one: Segment, now: int) -> float:
        return 1.0 if one.tested is None else math.exp(-(now - one.tested) / (self.s["quiet_s"] * 1e6))

    def odds(self, part: float, known: bool, outcome: str, failing: float) -> float:
        if known:
            return 0.001 * part
        hit = self.s["hit_rate"]
        ratio = {"failed": (1 - hit) / max(failing, 0.01), "open": 1.0, "right": hit / max(1 - failing, 0.01)}[outcome]
        return float(part * ratio / (part * ratio + 1 - part))

    def answer(self, keys: Sequence[Any], known: bool, outcome: str, now: int) -> dict[str, Any]:
        ratios = self.ratios(keys)
        parts = self.parts(keys, ratios, now)
        logits = [math.log(kept / (1 - kept)) for kept in (min(max(share, 1e-4), 0.999) for share in parts)]
        moves = [value - logits[0] for value in logits]
        part = 1 / (1 + math.exp(-(logits[0] + max(moves) + min(moves))))
        most, any_open = 0.0, False
        lead: tuple[float, int] | None = None
        for k, key in enumerate(keys):
            one = self.segments.get(key)
            if one is None or not one.failures:
                continue
            opened = self.is_open(one, now)
            if one.opened is not None and not opened:
                continue  # over, though no trial has closed it yet
            weight = one.proof("main") * self.fade(one, now)
            any_open = any_open or opened
            most = max(most, weight)
            rank = 1e6 * (1 + parts[k]) if opened else weight
            if lead is None or rank >= lead[0]:
                lead = rank, k
        likely = self.odds(part, known, outcome, ratios[0]["failing"])
        likely *= 1.0 if any_open else most / (1 + most)
        out: dict[str, Any] = {
            "in_campaign": any_open and not known and part >= 0.2,
            "known": known,
            "probability": likely,
            "log_e": math.log(most) if most > 1e-13 else -30.0,
        }
        if lead is None:
            return out
        k = lead[1]
        one = self.segments[keys[k]]
        out |= {
            "excess_ratio": one.failures / (one.failures + one.successes) - ratios[k]["failing"],
            "failures": one.failures,
            "expected_failures": self.expected(one, ratios[k]),
            "accounts": one.accounts.count,
            "networks": one.networks.count,
            "tries_per_account": one.tries / max(one.accounts.count, 1),
            "nameless_share": one.nameless / one.failures,
            "segmentation": k,
        }
        if self.is_open(one, now):
            out |= {"age_s": (now - one.started) / 1e6, "spraying": one.tries >= 2 * max(one.accounts.count, 1)}
        return out

    def budget(self) -> float:
        month = max(30 * self.sum / self.days, 1000.0) if self.days else 100_000.0
        return float(self.s["false_campaigns_per_month"] / (month * len(self.groups)))

    def count_trial(self, day: int) -> None:
        if not self.today and not self.days:
            self.day = day
        if day > self.day:
            fade = 2.0 ** (-(day - self.day) / (self.s["half_life_s"] / 86_400))
            self.sum, self.days = (self.sum + self.today) * fade, (self.days + day - self.day) * fade
            self.today, self.day = 0.0, day
        self.today += 1

    def learn(self, row: Mapping[str, Any], keys: Sequence[Any], failed: bool, known: bool, now: int) -> None:
        budget, day = self.budget(), now // DAY
        self.count_trial(day)
        hour = self.hours[now % DAY * len(self.hours) // DAY]
        rows = [(k, self.segments[key]) for k, key in enumerate(keys) if key is not None]
        for k, one in rows:
            one.day = day if one.day is None else one.day
            held = one.opened is None and one.proof("main") >= 50 * budget
            if day > one.day and not held:
                fade = 2.0 ** (-(day - one.day) / (self.s["half_life_s"] / 86_400))
                for counts in [one.counts, *(self.hours if k == 0 else [])]:
                    counts.take(fade)
                one.day = day
        ratios = self.ratios(keys)
        odds = {}
        for test in TESTS:
            usual = ratios[0][test]
            here = hour.ratio(test, usual, 50.0)
            odds[test] = self.s["slack"] * here / (1 - here) * (1 - usual) / usual
        nameless = not self.recent(self.known, ("person", row["account"]), now, self.s["known_s"])
        clean = True
        for k, one in rows:
            self.test(one, ratios[k], odds, failed, known, now, budget)
            self.count(one, row, failed, known, nameless)
            self.open_or_close(k, one, now, budget)
            clean = clean and (one.opened is None or now - one.opened > self.s["absorb_s"] * 1e6)
        if clean:
            for counts in [*(one.counts for _, one in rows), hour]:
                counts.wait(failed, known)

    def test(
        self, one: Segment, ratio: Mapping[str, float], odds: Mapping[str, float], failed: bool, known: bool, now: int,
        budget: float,
    ) -> None:  # fmt: skip
        if one.opened is not None and not self.is_open(one, now):
            self.close(one)
        fade = self.fade(one, now)
        one.proofs = {test: [value * fade for value in values] for test, values in one.proofs.items()}
        one.lately = [value * self.lately(one, now) for value in one.lately]
        one.tested = now
        evidence = one.proof("main")
        if failed and not known and one.opened is None and evidence <= max(10 * budget, one.onset):
            one.begin(evidence)
            one.started = now
        for name, asks in (("main", True), ("failing", not known), ("strange", failed)):
            if asks:
                usual = ratio[name]
                high = min(usual + 2 * math.sqrt(usual * (1 - usual) / (one.counts.trials(name) + 9.0)), 0.97)
                worst = high / (1 - high) * odds[name]
                limit = min(max(worst / (1 + worst), 0.001), 0.97)
                others = [limit + share * (0.98 - limit) for share in SHARES]
                hit = failed and not known
                one.proofs[name] = [
                    min((old + budget / 4) * (q / limit if hit else (1 - q) / (1 - limit)), math.exp(2.0))
                    for old, q in zip(one.proofs[name], others, strict=True)
                ]

    def count(self, one: Segment, row: Mapping[str, Any], failed: bool, known: bool, nameless: bool) -> None:
        for place, hit in enumerate((failed and not known, not failed, failed and known)):
            one.lately[place] += hit
        if failed and not known:
            one.failures, one.tries, one.nameless = one.failures + 1, one.tries + 1, one.nameless + nameless
            one.accounts.add(row["account"])
            network = row["ip"] if row["network"] is None else row["network"]
            if network is not None:
                one.networks.add(network)
        elif one.failures:
            one.successes += not failed and not known
            one.own += failed

    def open_or_close(self, k: int, one: Segment, now: int, budget: float) -> None:
        weight = one.proof("main")
        guarded = min(one.proof("failing"), one.proof("strange")) >= 1000 * budget
        if one.opened is None and weight >= 1 and guarded and one.accounts.count >= self.s["min_accounts"]:
            one.opened = now
            self.campaigns += 1
            for counts in [one.counts, *(self.hours if k == 0 else [])]:
                counts.waiting = [0.0, 0.0, 0.0]
        elif one.opened is not None and weight < math.exp(-5.0):
            self.close(one)

    def close(self, one: Segment) -> None:
        one.opened = None
        one.proofs = {test: [0.0] * 4 for test in TESTS}
        one.begin(0.0)
