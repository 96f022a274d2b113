"""Bursts in a stream of edges, counted exactly, a key at a time; and MIDAS-F as published, counted exactly."""
"""Bursts by loops, with exact binomial tails from sums of integers' logarithms."""

from __future__ import annotations

import math


class PlainBursts:
    """The twin of `EdgeBursts` without sketches: a dictionary for each of pairs, accounts and entities."""

    def __init__(self, tick_us, carry, spread, limit, least, half_life_ticks, warm_up):
        self.tick_us, self.carry, self.spread, self.limit, self.least = tick_us, carry, spread, limit, least
        self.keep = 0.5 ** (1 / half_life_ticks) if half_life_ticks else 1.0
        self.warm_up = warm_up
        self.now, self.sums = ({}, {}, {}), ({}, {}, {})
        self.tick = self.first = None
        self.past = 0.0

    def usual(self, sketch, key):
        return max(self.sums[sketch].get(key, 0.0) / self.past if self.past else 0.0, self.least)

    def end_tick(self, tick):
        steps, ready = tick - self.tick, self.tick - self.first >= self.warm_up
        for sketch in range(3):
            for key in {*self.now[sketch], *self.sums[sketch]}:
                usual, count = self.usual(sketch, key), self.now[sketch].get(key, 0.0)
                learned = (
                    min(count, usual + math.sqrt(self.limit * (usual + self.spread * usual**2))) if ready else count
                )
                left = count * self.carry**steps
                self.now[sketch][key] = left if left >= 2**-10 else 0.0
                self.sums[sketch][key] = (self.sums[sketch].get(key, 0.0) * self.keep + learned) * self.keep ** (
                    steps - 1
                )
        self.past = self.past * self.keep + 1.0
        for _ in range(steps - 1):
            self.past = self.past * self.keep + 1.0
        self.tick = tick

    def step(self, account, entity, time_us, learn=True):
        tick = time_us // self.tick_us
        event = learn and (self.tick is None or tick >= self.tick)
        if event and self.tick is None:
            self.tick = self.first = tick
        elif event and tick > self.tick:
            self.end_tick(tick)
        out = []
        for sketch, key in enumerate(((account, entity), account, entity)):
            count = self.now[sketch].get(key, 0.0) + 1.0
            if event:
                self.now[sketch][key] = count
            usual = self.usual(sketch, key)
            out.append(max(count - usual, 0.0) ** 2 / (usual + self.spread * usual**2))
        if self.tick is None or self.tick - self.first < self.warm_up:
            return [math.nan] * 3
        return out


class PublishedMidasF:
    """MIDAS-F (Bhatia et al., TKDD 2022): two-sided chi-squared of the running tick, conditional merge, decay."""

    def __init__(self, threshold=1000.0, decay=0.5):
        self.threshold, self.decay = threshold, decay
        self.now, self.total, self.tick = ({}, {}, {}), ({}, {}, {}), 1

    def score(self, sketch, key, tick):
        a, s = self.now[sketch].get(key, 0.0), self.total[sketch].get(key, 0.0)
        return 0.0 if s == 0.0 or tick <= 1 else (a + s - a * tick) ** 2 / (s * (tick - 1))

    def step(self, account, entity, tick):
        """`tick` counts from 1."""
        if tick > self.tick:
            for sketch in range(3):
                for key, count in self.now[sketch].items():
                    total = self.total[sketch].get(key, 0.0)
                    if self.score(sketch, key, self.tick) < self.threshold:
                        self.total[sketch][key] = total + count
                    elif self.tick > 1:
                        self.total[sketch][key] = total + total / (self.tick - 1)
                    self.now[sketch][key] = count * self.decay
            self.tick = tick
        scores = []
        for sketch, key in enumerate(((account, entity), account, entity)):
            self.now[sketch][key] = self.now[sketch].get(key, 0.0) + 1.0
            scores.append(self.score(sketch, key, tick))
        return max(scores)
from collections import defaultdict


def binomial_tail(count, trials, chance):
    """P(at least `count` of `trials`)."""
    return sum(math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(count, trials + 1))


def hypergeometric_tail(count, draws, marked, total):
    """P(at least `count` marked among `draws` of `total`, `marked` of them marked)."""
    ways = math.comb(total, draws)
    return sum(math.comb(marked, k) * math.comb(total - marked, draws - k) for k in range(count, draws + 1)) / ways


def mixed(account, thing):
    """The two numbers as one of 64 bits."""
    z = (account * 0x9E3779B97F4A7C15 + thing) % 2**64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


def plain_bursts(rows, windows, least, fdr):
    """(object, accounts in order of time) of each burst, sorted."""
    visits = defaultdict(list)
    for account, thing, time in rows:
        visits[thing, account].append(time)
    actions = sorted(
        (thing, sorted(own)[mixed(account, thing) % len(own)], account) for (thing, account), own in visits.items()
    )
    times = sorted(time for _, time, _ in actions)
    per = defaultdict(list)
    for thing, time, account in actions:
        per[thing].append((time, account))
    tests = []
    for window in windows:
        for thing, own in per.items():
            for start, _ in own:
                held = [a for t, a in own if start <= t <= start + window]
                everybody = sum(start <= t <= start + window for t in times)
                chance = (everybody - 1) / max(len(times) - 1, 1)
                if len(held) >= max(least, 2) and len(held) - 1 > (len(own) - 1) * chance:
                    p = binomial_tail(len(held) - 1, len(own) - 1, chance)
                else:
                    p = 1.0
                tests.append((p, thing, start, window))
    tests.sort(key=lambda one: one[0])
    passed = [i for i, one in enumerate(tests) if one[0] * len(tests) / (i + 1) <= fdr]
    told = tests[: passed[-1] + 1] if passed else []
    marked = defaultdict(list)
    for _, thing, start, window in told:
        marked[thing].append((start, start + window))
    out = []
    for thing, spans in marked.items():
        held, end = [], -1
        for span in sorted(spans):
            inside = [(t, a) for t, a in per[thing] if span[0] <= t <= span[1]]
            if held and inside[0][0] <= end and inside[0] in held:
                held = sorted(set(held) | set(inside))
            else:
                if held:
                    out.append((thing, sorted(a for _, a in held)))
                held = inside
            end = max(t for t, _ in held)
        out.append((thing, sorted(a for _, a in held)))
    return sorted(out)
