"""Slow twins of `shoal.coordination.content`: dicts of sets, every pair, hashes with Python's integers."""

from __future__ import annotations

import math

WORD = (1 << 64) - 1


def mixed(value: int) -> int:
    x = value & WORD
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & WORD
    return x ^ (x >> 31)


def signature(items: set[int], multiply: list[int], add: list[int]) -> list[int]:
    return [
        min((((m * mixed(item) + a) & WORD) >> 32 for item in items), default=0xFFFFFFFF)
        for m, a in zip(multiply, add, strict=True)
    ]


def all_pairs(
    sets: dict[int, set[int]], cap: int, cap_share: float, least_items: int, one_hand: float, most_item: float
) -> dict[tuple[int, int], tuple[int, float, float]]:
    """(shared, similarity by rarity, llr) of every two owners that share a rare item, as `similar` means them."""
    holders: dict[int, int] = {}
    for items in sets.values():
        for item in items:
            holders[item] = holders.get(item, 0) + 1
    rare = {
        owner: {item for item in items if holders[item] <= max(cap, cap_share * len(sets))}
        for owner, items in sets.items()
    }
    rare = {owner: items for owner, items in rare.items() if len(items) >= least_items}
    count: dict[int, int] = {}
    for items in rare.values():
        for item in items:
            count[item] = count.get(item, 0) + 1
    share = {item: min(max(number / max(len(sets), 2), 1e-9), 0.999) for item, number in count.items()}
    out = {}
    owners = sorted(rare)
    for at, one in enumerate(owners):
        for other in owners[at + 1 :]:
            both = rare[one] & rare[other]
            if not both:
                continue
            apart = rare[one] ^ rare[other]
            inside = sum(math.log(1 / share[item]) for item in both)
            every = inside + sum(math.log(1 / share[item]) for item in apart)
            llr = sum(min(max(math.log(one_hand / share[item]), 0.0), most_item) for item in both)
            llr += sum(math.log((1 - one_hand) / (1 - min(share[item], one_hand))) for item in apart)
            out[one, other] = (len(both), inside / max(every, 1e-12), llr)
    return out
