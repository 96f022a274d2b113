"""The slow twins of the behaviour signals: dicts, lists and one row at a time.

`PlainBaseline` and `PlainSequence` take rows as dicts of column → id (None for null), with `as_of`, `still` and
`wanted`, and give the outputs of each row. Written from docs/behaviour.md; shares no code with the kernels but the
mixer, which is part of what decides which cells of a sketch two values share.
"""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

HOUR = 3_600_000_000
U64 = (1 << 64) - 1


def mix(a: int, b: int) -> int:
    z = ((a & U64) * 0x9E3779B97F4A7C15 + (b & U64)) & U64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & U64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & U64
    z ^= z >> 31
    return z - (1 << 64) if z >> 63 else z


def key_of(row: dict, columns: tuple[str, ...]) -> int | None:
    if len(columns) == 1:
        return row[columns[0]]
    ident = 0
    for k, name in enumerate(columns):
        if row[name] is None:
            return None
        ident = mix(row[name] ^ ident, k + 1)
    return ident


class Clock:
    """Which keys are kept: a list of slots, a hand, a second chance."""

    def __init__(self, most: int) -> None:
        self.most, self.slots, self.hand, self.again = most, [], 0, {}

    def meet(self, key: int, rows: dict) -> bool:
        """Makes room for a new key; gives whether it is new."""
        if key in rows:
            self.again[key] = True
            return False
        if len(self.slots) < self.most:
            self.slots.append(key)
        else:
            while self.again[self.slots[self.hand]]:
                self.again[self.slots[self.hand]] = False
                self.hand = (self.hand + 1) % self.most
            gone = self.slots[self.hand]
            del rows[gone], self.again[gone]
            self.slots[self.hand] = key
            self.hand = (self.hand + 1) % self.most
        self.again[key] = False
        return True


class Crowd:
    """Peer groups: leader clustering with moving centres."""

    def __init__(self, groups: int, young: int, apart: float) -> None:
        self.groups, self.young, self.apart = groups, young, apart
        self.centres: list[list[float]] = []
        self.mass: list[float] = []

    @staticmethod
    def note(sketch: dict, values: list[int | None], as_of: int) -> None:
        for b, value in enumerate(values):
            sketch["cells"][b][mix(0 if value is None else value, b + 1) & 15] += 1
        sketch["cells"][-1][as_of // (3 * HOUR) % 8] += 1
        sketch["events"] += 1
        if sketch["events"] >= 1024:
            sketch["events"] //= 2
            sketch["cells"] = [[count // 2 for count in block] for block in sketch["cells"]]

    @staticmethod
    def sketch(traits: int) -> dict:
        return {"events": 0, "cells": [[0] * 16 for _ in range(traits)] + [[0] * 8]}

    def group_of(self, sketch: dict) -> int:
        if sketch["events"] < self.young:
            return 0
        x = []
        for block in sketch["cells"]:
            whole = float(sum(block))
            x += [math.sqrt(count / whole) if whole else 0.0 for count in block]
        best, least = -1, math.inf
        for g, centre in enumerate(self.centres):
            distance = 0.0
            for a, b in zip(x, centre, strict=True):
                distance += (a - b) * (a - b)
            if distance < least:
                best, least = g, distance
        if least > self.apart and len(self.centres) < self.groups:
            best = len(self.centres)
            self.centres.append([0.0] * len(x))
            self.mass.append(0.0)
        step = 1.0 / (self.mass[best] + 1.0)
        self.centres[best] = [c + step * (a - c) for a, c in zip(x, self.centres[best], strict=True)]
        self.mass[best] = min(self.mass[best] + 1.0, 1000.0)
        return best + 1


class History:
    """Decayed values, each with its time: weights are made when they are read."""

    def __init__(self, half_life: int) -> None:
        self.half_life, self.items = half_life, []

    def add(self, value: float, now: int) -> None:
        self.items.append((value, now))

    def weights(self, now: int) -> list[tuple[float, float]]:
        return [(v, 2.0 ** (-(now - t) / self.half_life)) for v, t in self.items]


def bin_of(x: float, low: float, width: float) -> int:
    return min(max(int((x - low) / width) if x > low else 0, 0), 127)


def tail(own: list[tuple[float, float]], everyone: list[tuple[float, float]], x: float, low: float, width: float):
    at = bin_of(x, low, width)

    def read(pairs: list[tuple[float, float]]) -> tuple[float, float, float]:
        hist = [0.0] * 128
        for value, weight in pairs:
            hist[bin_of(value, low, width)] += weight
        above, mass = sum(hist[at:]), sum(hist)
        used = [k for k in range(128) if hist[k] > 1e-6]
        if above > 1e-6 or not used:
            return above, 1.0, mass
        top, k, seen = used[-1], used[-1], 0.0
        below = sum(hist[: top + 1])
        while True:
            seen += hist[k]
            if seen >= 0.05 * below or k == 0:
                break
            k -= 1
        excess = sum(hist[j] * (j - k + 0.5) for j in range(k, top + 1))
        return above, math.exp((top - at) / (excess / seen) * below / (below + 20.0)), mass

    above, end, mass = read(everyone)
    p_all = (above + end) / (mass + 1.0)
    above, end, mass = read(own)
    return min((above + end + 200.0 * p_all) / (mass + 1.0 + 200.0), 1.0)


def normal_score(t: float, nu: float) -> float:
    return math.copysign((8 * nu + 1) / (8 * nu + 3) * math.sqrt(nu * math.log1p(t * t / nu)), t)


class PlainBaseline:
    """`entity_baseline` from a list of all closed windows of each group."""

    def __init__(self, *, key=("account",), amount=None, window, half_life, parts=16, traits=(), groups=16, apart=0.25,
                 young=20, when_weight=0.1, keys=10**9):  # fmt: skip
        self.key, self.amount, self.window, self.half_life, self.parts = key, amount, window, half_life, parts
        self.traits, self.when = traits, when_weight if parts > 1 else 0.0
        self.clock, self.rows = Clock(keys), {}
        self.crowd = Crowd(groups, young, apart * (len(traits) + 1))
        self.closed = defaultdict(list)  # group (or "all") → (time, part, y, beside², error², deviate, apart, rarity)

    def part_of(self, time: int) -> int:
        hour, weekday = time // HOUR % 24, (time // (24 * HOUR) + 3) % 7
        return {1: 0, 8: hour // 3, 16: hour // 3 + 8 * (weekday >= 5), 168: weekday * 24 + hour}[self.parts]

    def weighed(self, group, now: int):
        return [(2.0 ** (-(now - one[0]) / self.half_life), one) for one in self.closed[group]]

    def prior(self, group: int, part: int, now: int) -> tuple[float, ...]:
        everyone, peers = self.weighed("all", now), self.weighed(group, now)

        def pooled(at: int) -> tuple[float, float]:
            whole = sum(w for w, _ in everyone)
            value = (sum(w * one[at] for w, one in everyone) + 1.0) / (whole + 1.0)
            value = (sum(w * one[at] for w, one in peers) + 10 * value) / (sum(w for w, _ in peers) + 10)
            here = [(w, one) for w, one in peers if one[1] == part]
            return (sum(w * one[at] for w, one in here) + 10 * value) / (sum(w for w, _ in here) + 10), value

        here, mean = pooled(2)
        return here, mean, max(pooled(3)[1], 0.04), max(pooled(4)[1], 0.04)

    def profile(self, group: int, now: int) -> list[float]:
        peers = self.weighed(group, now)
        mass = sum(w for w, _ in peers)
        return [(sum(w for w, one in peers if one[1] == k) + 10 / self.parts) / (mass + 10) for k in range(self.parts)]

    def judge(self, row: dict, now: int) -> None:
        part, group = row["part"], row["group"]
        here, mean, beside, spread = self.prior(group, part, now)
        profile = self.profile(group, now)
        aged = 0.0 if row["last"] is None else 2.0 ** (-(row["opened"] - row["last"]) / self.half_life)
        weight = aged * row["weight"]
        level = (aged * row["level"] + 2 * mean) / (weight + 2)
        expected = level + here - mean + aged * row["adds"][part] / (aged * row["parts"][part] + 4)
        y = math.log1p(row["amount"])
        variance = (20 * spread + aged * row["squares"]) / (20 + weight)
        deviate = normal_score((y - expected) / math.sqrt(variance * (1 + 1 / (weight + 2))), 20 + weight)
        shares = [(aged * row["parts"][k] + 8 * profile[k]) / (weight + 8) for k in range(self.parts)]
        rare = sum(share for share in shares if share <= shares[part] * (1 + 1e-9))
        rarity = -math.log10(min(max(rare, 1e-300), 1.0)) if self.parts > 1 else 0.0
        apart = (y - here) / math.sqrt(beside)
        row.update(y=y, error=y - expected, beside=y - here, deviate=deviate, apart=apart, rarity=rarity)
        out = []
        for x, at, low, width in ((deviate, 5, -4.0625, 0.125), (apart, 6, -4.0625, 0.125), (rarity, 7, 0, 0.0625)):
            own = [(one[at], w) for w, one in self.weighed(group, now)]
            everyone = [(one[at], w) for w, one in self.weighed("all", now)]
            out.append(max(tail(own, everyone, x, low, width), 1e-300))
        whole = 2 + self.when
        combined = 1 / ((1 / out[0] + 1 / out[1] + self.when / out[2]) / whole)
        row["scores"] = [*out, -math.log10(min(combined, 1.0)), max(math.expm1(expected), 0.0)]

    def close(self, row: dict, now: int) -> None:
        part, group = row["part"], row["group"]
        aged = 0.0 if row["last"] is None else 2.0 ** (-(row["opened"] - row["last"]) / self.half_life)
        weight = aged * row["weight"]
        gain = (weight + 2) / (weight + 3)
        squares = row["beside"] ** 2, gain * row["error"] ** 2
        one = (now, part, row["y"], *squares, row["deviate"], row["apart"], row["rarity"])
        self.closed[group].append(one)
        self.closed["all"].append(one)
        here, mean, _, _ = self.prior(group, part, now)
        adds = here - mean
        level = (aged * row["level"] + 2 * mean) / (weight + 2)
        for name in ("parts", "adds"):
            row[name] = [float(np.float32(aged * value)) for value in row[name]]
        mine = row["adds"][part] / (row["parts"][part] + 4)
        row["parts"][part] += 1.0
        row["adds"][part] = float(np.float32(row["adds"][part] + row["y"] - adds - level))
        row["weight"], row["level"] = weight + 1, aged * row["level"] + row["y"] - adds - mine
        row["squares"] = aged * row["squares"] + gain * row["error"] ** 2
        row["last"], row["opened"], row["amount"] = row["opened"], None, 0.0
        row["group"] = self.crowd.group_of(row["sketch"])

    def step(self, event: dict) -> list[float | None]:
        key, now = key_of(event, self.key), event["as_of"]
        if key is None:
            return [None] * 6
        if not event["still"]:
            if self.clock.meet(key, self.rows):
                zeros = [0.0] * self.parts
                self.rows[key] = {"opened": None, "last": None, "group": 0, "amount": 0.0, "weight": 0.0, "level": 0.0,
                                  "squares": 0.0, "parts": list(zeros), "adds": list(zeros), "scores": None,
                                  "sketch": Crowd.sketch(len(self.traits))}  # fmt: skip
            row = self.rows[key]
            if row["opened"] is not None and now - row["opened"] >= self.window:
                self.close(row, now)
            Crowd.note(row["sketch"], [event[name] for name in self.traits], now)
            more = 1.0 if self.amount is None else event[self.amount]
            if event["wanted"] and more is not None and more >= 0:
                if row["opened"] is None:
                    row["opened"], row["part"] = now, self.part_of(now)
                row["amount"] = min(row["amount"] + more, 2.0**62)
                self.judge(row, now)
        found = self.rows.get(key)
        if found is None or found["opened"] is None or now - found["opened"] >= self.window:
            return [None] * 5 + [0.0]
        return [*found["scores"], found["amount"]]


class PlainSequence:
    """`sequence_surprise` with unbounded shared counts."""

    START, ROOT = "start", "root"

    def __init__(self, *, key=("account",), token=("type",), longest=3, gap, recent=16, history=128, half_life,
                 groups=16, apart=0.25, young=20, keys=10**9, shared_memory=2**31):  # fmt: skip
        self.key, self.token, self.longest, self.gap, self.recent = key, token, longest, gap, recent
        self.history, self.half_life, self.shared_memory = history, half_life, shared_memory
        self.clock, self.rows = Clock(keys), {}
        self.crowd = Crowd(groups, young, apart * (len(token) + 1))
        self.counts = defaultdict(int)  # (group or "all", context, token or None for any)
        self.seen = defaultdict(list)  # group or "all" → (mean ratio, time)

    def token_of(self, event: dict) -> int:
        ident = 0
        for k, name in enumerate(self.token):
            value = event[name]
            ident = mix(ident ^ (0 if value is None else value), 2 * k + (value is not None))
        return ident

    @staticmethod
    def mark(token: int) -> int:
        return (token & (2**63 - 1)) % 65_535 + 1

    def own(self, kept: list[int], mark: int) -> list[tuple[int, int]]:
        """(context count, token count) for each length of context; 0 marks the beginning of a session."""

        def context(end: int, length: int) -> tuple | None:
            out = []
            for k in range(1, length + 1):
                if out and out[-1] == 0:
                    out.append(0)
                    continue
                if end - k < 0:
                    return None
                out.append(kept[end - k])
            return tuple(out)

        found = []
        for length in range(self.longest):
            wanted = context(len(kept), length)
            places = [
                p for p in range(len(kept)) if kept[p] != 0 and wanted is not None and context(p, length) == wanted
            ]
            found.append((len(places), sum(kept[p] == mark for p in places)))
        return found

    def judge(self, row: dict | None, token: int) -> tuple[float, float]:
        group = row["group"] if row else 0
        before = row["before"] if row else (self.START,) * 3
        own = self.own(row["kept"], self.mark(token)) if row else [(0, 0)] * self.longest
        trust = own[0][0] / (own[0][0] + 50.0)
        p_all, p_own, p_peers = 1 / 4096, 0.0, 0.0
        for k in range(self.longest):
            context = before[:k]
            prior = 2.0 if k else 1.0
            p_all = (self.counts["all", context, token] + prior * p_all) / (self.counts["all", context, None] + prior)
            seen, whole = self.counts[group, context, token], self.counts[group, context, None]
            p_peers = (seen + 20 * p_all) / (whole + 20)
            if k == 0:
                p_own = (own[0][1] + 50 * p_peers) / (own[0][0] + 50)
            else:
                p_own = (own[k][1] + 2 * (trust * p_own + (1 - trust) * p_peers)) / (own[k][0] + 2)
        return p_own, p_peers

    def learn(self, row: dict, token: int) -> None:
        mark = self.mark(token)
        if row["kept"][-4:] == [mark] * 4:
            return
        for k in range(self.longest):
            for level in ("all", row["group"]):
                self.counts[level, row["before"][:k], token] += 1
                self.counts[level, row["before"][:k], None] += 1
        row["kept"] = [*row["kept"], mark][-self.history :]
        if self.counts["all", (), None] >= self.shared_memory:
            self.counts = defaultdict(int, {name: count >> 1 for name, count in self.counts.items()})

    def step(self, event: dict) -> list[float | None]:
        key, now = key_of(event, self.key), event["as_of"]
        if key is None or not event["wanted"]:
            return [None] * 6
        token = self.token_of(event)
        if not event["still"]:
            if self.clock.meet(key, self.rows):
                self.rows[key] = {"last": None, "group": 0, "kept": [], "before": (self.START,) * 3, "most": 0.0,
                                  "evidence": 0.0, "ring": [], "sketch": Crowd.sketch(len(self.token))}  # fmt: skip
            row = self.rows[key]
            if row["last"] is None or now - row["last"] > self.gap:
                row["before"], row["most"] = (self.START,) * 3, 0.0
                if row["kept"][-1:] != [0]:
                    row["kept"] = [*row["kept"], 0][-self.history :]
        found = self.rows.get(key)
        own, peers = self.judge(found, token)
        share = 1 / (1 + math.exp(-(found["evidence"] if found else 0.0)))
        both = share * own + (1 - share) * peers
        bits, ratio = -math.log2(both), math.log2(peers / both)
        if event["still"]:
            return [bits, ratio, None, None, None, None]
        row["evidence"] = min(max(0.98 * row["evidence"] + math.log(own / peers), -8.0), 8.0)
        row["most"] = max(row["most"], bits)
        row["ring"] = [*row["ring"], (float(np.float32(bits)), float(np.float32(ratio)))][-self.recent :]
        mean_bits = sum(one[0] for one in row["ring"]) / len(row["ring"])
        mean_ratio = sum(one[1] for one in row["ring"]) / len(row["ring"])
        weighed = {
            level: [(v, 2.0 ** (-(now - t) / self.half_life)) for v, t in self.seen[level]]
            for level in ("all", row["group"])
        }
        p = tail(weighed[row["group"]], weighed["all"], mean_ratio, -4.0625, 0.125)
        for level in ("all", row["group"]):
            self.seen[level].append((mean_ratio, now))
        self.learn(row, token)
        row["before"] = (token, *row["before"][:2])
        row["last"] = now
        Crowd.note(row["sketch"], [event[name] for name in self.token], now)
        if row["sketch"]["events"] % 16 == 0:
            row["group"] = self.crowd.group_of(row["sketch"])
        return [bits, ratio, mean_bits, mean_ratio, row["most"], p]
