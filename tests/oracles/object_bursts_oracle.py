"""Bursts by loops, with exact binomial tails from sums of integers' logarithms."""

from __future__ import annotations

import math
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
