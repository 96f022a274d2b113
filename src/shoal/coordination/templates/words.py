"""What a cluster of sign-ups has in common, in sentences that a person can check against the sign-ups.

Texts of fields that name nobody are told as they are; addresses, devices, cards and inviters are counted, never shown.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from shoal.coordination.templates.signups import Ints, SignUps
from shoal.enrich.clients import read_client

_COUNTED = {
    "payment_hash": ("pay with", "card"),
    "phone_hash": ("verified", "telephone number"),
    "recovery_hash": ("name", "recovery address"),
    "device": ("came from", "device"),
    "ip": ("came from", "address"),
    "invited_by": ("were invited by", "account"),
}
_KINDS = {"hosting": "hosting", "mobile": "mobile", "vpn": "VPN", "office": "office", "home": "home"}
LEAST = 0.4
"""A text is told when this share of members has it."""
MOST = 8


def words_of(signups: SignUps, rows: Ints, features: Mapping[str, float]) -> tuple[str, ...]:
    """Sentences on one cluster, the most telling first."""
    size = len(rows)
    told: list[tuple[float, str]] = []
    for name, (verb, noun) in _COUNTED.items():
        column = signups.columns.get(name)
        if column is None:
            continue
        code = column.code[rows]
        counts = np.bincount(code[code >= 0], minlength=column.size)
        every = np.bincount(column.code[column.code >= 0], minlength=column.size)
        shared = (code >= 0) & (counts[code] >= 2)
        many, values = int(shared.sum()), int((counts >= 2).sum())
        if not many:
            continue
        outside = int((every - counts)[counts >= 2].sum())
        alone = "that nobody else uses" if not outside else f"that {outside} others use as well"
        told.append((many / size * 3 / (1 + outside / many), f"{many} of {size} {verb} {_count(values, noun)} {alone}"))
    told += _texts(signups, rows)
    told += _networks(signups, rows)
    told += _timing(features, size)
    return tuple(text for _, text in sorted(told, key=lambda one: (-one[0], one[1]))[:MOST])


def _texts(signups: SignUps, rows: Ints) -> list[tuple[float, str]]:
    """The most frequent client, mail form, name form, mail domain and language, where it is no matter of course."""
    out = []
    for name, said in (
        ("user_agent", "use {}"),
        ("email_shape", "have mail addresses of the form {}"),
        ("name_shape", "have names of the form {}"),
        ("domain", "have mail addresses at {}"),
        ("language", "ask for the language {}"),
    ):
        column = signups.columns.get(name)
        if column is None:
            continue
        code = column.code[rows]
        counts = np.bincount(code[code >= 0], minlength=column.size)
        if not counts.sum():
            continue
        top = int(counts.argmax())
        every = int((column.code == top).sum())
        share = counts[top] / len(rows)
        usual = (every - counts[top]) / max(signups.size - len(rows), 1)
        if share < LEAST or share < 2 * usual:
            continue
        text = _client(column.texts[top]) if name == "user_agent" else column.texts[top]
        beside = f" ({usual:.1%} of all others)" if usual >= 0.0005 else " (nobody else)"
        told = f"{int(counts[top])} of {len(rows)} {said.format(text)}{beside}"
        out.append((float(share * np.log((share + 0.001) / (usual + 0.001)) / 3), told))
    return out


def _networks(signups: SignUps, rows: Ints) -> list[tuple[float, str]]:
    network, kind = signups.columns.get("network"), signups.columns.get("network_kind")
    if network is None:
        return []
    known = network.code[rows] >= 0
    values = len(np.unique(network.code[rows][known]))
    if not values or values * 2 > len(rows):
        return []
    of = ""
    if kind is not None and (kind.code[rows] >= 0).any():
        counts = np.bincount(kind.code[rows][kind.code[rows] >= 0], minlength=kind.size)
        if counts.max() * 2 > len(rows):
            of = _KINDS.get(kind.texts[int(counts.argmax())], "")
    text = f"addresses of {_count(values, ' '.join(part for part in (of, 'network') if part))}"
    return [(0.5, f"{int(known.sum())} of {len(rows)} have {text}")]


def _timing(features: Mapping[str, float], size: int) -> list[tuple[float, str]]:
    if features["comb_evenness"] > 4 or features["comb_teeth"] > 6:
        return [(1.5, f"one every {_time(features['gap_median_s'])}, more evenly than people come")]
    if features["comb_density"] > 3:
        span = _time(features["span_h"] * 3600)
        return [(0.8, f"{size} within {span}, where ordinary life would bring few of this form")]
    return []


def _client(text: str) -> str:
    client = read_client(text)
    family = " ".join(part for part in (client.family, client.version) if part)
    return f"{family} on {client.os}" if family and client.os else family or text[:60]


def _count(many: int, noun: str) -> str:
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + ("es" if noun.endswith("ss") else "s")
    return f"{many} {noun if many == 1 else plural}"


def _time(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
