"""Co-action in dicts and loops: each window by itself, no levels, no SQL; and its statistics by plain sums."""

from __future__ import annotations

import math
from collections import defaultdict


def plain_pairs(rows, windows, cap, least):
    """(a, b) → (shared objects by window, weight by rarity), of a list of (account, object, time µs)."""
    counts = defaultdict(int)
    for account, _, _ in rows:
        counts[account] += 1
    by_object = defaultdict(set)
    for account, thing, time in rows:
        if counts[account] >= least:
            by_object[thing].add((account, time))
    met = defaultdict(dict)  # pair → object → (shortest time between them, level and company of the longest window)
    for thing, actions in by_object.items():
        for level, window in enumerate(windows):
            cells = defaultdict(set)
            for account, time in actions:
                cells[time // window].add(account)
            sizes = {cell: len(who) for cell, who in cells.items() if len(who) <= cap}
            company = {cell: 2 * n - 2 + sizes.get(cell - 1, 0) + sizes.get(cell + 1, 0) for cell, n in sizes.items()}
            for a, x in actions:
                for b, y in actions:
                    here, there = x // window, y // window
                    if a < b and abs(x - y) <= window and here in sizes and there in sizes:
                        old = met[a, b].get(thing, (math.inf, (-1, 0)))
                        place = (level, max(company[here], company[there]))
                        met[a, b][thing] = (min(old[0], abs(x - y)), max(old[1], place))
    out = {}
    for pair, things in met.items():
        if len(things) >= least:
            shared = tuple(sum(apart <= window for apart, _ in things.values()) for window in windows)
            weight = sum(1 / math.log2(1 + max(company, 2) / 2) for _, (_, company) in things.values())
            out[pair] = (shared, weight)
    return out


def plain_company(rows, windows, cap, least):
    """Account → (places in the longest window, company by window): what it could have met there by chance."""
    counts = defaultdict(int)
    for account, _, _ in rows:
        counts[account] += 1
    todo = [row for row in rows if counts[row[0]] >= least]
    slots, company = defaultdict(int), defaultdict(lambda: [0.0] * len(windows))
    for account, _, _ in {(a, o, t // windows[-1]) for a, o, t in todo}:
        slots[account] += 1
    for level in reversed(range(len(windows))):
        window = windows[level]
        cells, often = defaultdict(set), defaultdict(int)
        for account, thing, time in todo:
            cells[thing, time // window].add(account)
            often[thing, time // window, account] += 1
        sizes = {cell: len(who) for cell, who in cells.items() if len(who) <= cap}
        for (thing, cell), n in sizes.items():
            near = sizes.get((thing, cell - 1), 0) + sizes.get((thing, cell + 1), 0)
            for account in cells[thing, cell]:
                company[account][level] += n - 1 + near / 2
        crowded = {cell for cell, who in cells.items() if len(who) > cap}
        deep = {(thing, cell + step) for thing, cell in crowded for step in (-1, 0, 1)}
        deep |= {(thing, cell) for (thing, cell, _), n in often.items() if n > 2}
        todo = [row for row in todo if (row[1], row[2] // window) in deep]
    return {account: (slots[account], tuple(company[account])) for account in slots}


def plain_tail(count, mean):
    """P(Poisson(mean) ≥ count), by the sum of its terms."""
    if count <= 0:
        return 1.0
    term = math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
    total, at = 0.0, count
    while term > total * 1e-17 or at < mean:
        total, at = total + term, at + 1
        term *= mean / at
    return total


def plain_q(p, tested):
    """Benjamini and Hochberg by the definition: the least rate at which each would be taken."""
    ranked = sorted(p) + [1.0] * (tested - len(p))
    rates = [
        min(1.0, min(value * tested / (i + 1) for i, value in enumerate(ranked) if i >= at)) for at in range(len(p))
    ]
    return [rates[sorted(p).index(one)] for one in p]


def plain_ratio(shared, trials, each, steps=20_000):
    """ln of the mean over shares r in (0, 1) of r^n (1-r)^(m-n), over the same at chance `each`."""
    total = 0.0
    for i in range(steps):
        share = (i + 0.5) / steps
        total += math.exp(shared * math.log(share) + (trials - shared) * math.log1p(-share))
    return math.log(total / steps) - shared * math.log(each) - (trials - shared) * math.log1p(-each)
