"""A slow twin of the blocking of sign-ups, and a small service whose sign-ups the tests of templates are made of."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from shoal.coordination.templates import SignUps, make_signups
from shoal.events.identity import Identity

IDENTITY = Identity(b"0123456789abcdef")
HOUR = 3_600_000_000
START = 1_700_000_000_000_000
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.2 Safari/605",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Mobile Safari/537.36",
)
OLD_CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/118.0.0.0 Safari/537.36"
MAILS = ("post.example", "webmail.example", "inbox.example", "letterbox.example")
FORMS = (
    "aaa",
    "aaaa",
    "aa.aaa",
    "aaa.aaa",
    "aaa99",
    "aaaa99",
    "aa99",
    "aa.aa",
    "aa9999",
    "aa.aaa99",
    "aa-aaa",
    "aa_aaa",
)
NAMES = ("Aaa Aaaa", "Aaaa Aaaa", "Aaa Aaa", "Aaa", "Aaa A.", "aa aaa", "Aaa Aaaaa", "Aaaa99")
Row = dict[str, object]


def person(rng: np.random.Generator, number: int, moment: int, *, mobile: bool | None = None) -> Row:
    """An honest sign-up: an address of its own at home, or one of few behind a telephone carrier."""
    phone = rng.random() < 0.25 if mobile is None else mobile
    net = int(rng.integers(0, 400))
    return {
        "account": f"p{number}",
        "time": moment,
        "ip": f"10.9.0.{rng.integers(1, 7)}" if phone else f"10.{net // 200}.{net % 200}.{rng.integers(1, 250)}",
        "network": "10.9.0.0/24" if phone else f"10.{net // 200}.{net % 200}.0/24",
        "asn": "64999" if phone else str(64500 + net % 40),
        "network_kind": "mobile" if phone else "home",
        "device": f"d{number}",
        "user_agent": AGENTS[3 + int(rng.integers(0, 2))] if phone else AGENTS[int(rng.choice(3, p=[0.5, 0.3, 0.2]))],
        "client": "mobile" if phone else "web",
        "domain": str(rng.choice(MAILS)),
        "email_shape": str(rng.choice(FORMS)),
        "name_shape": str(rng.choice(NAMES, p=[0.4, 0.2, 0.15, 0.05, 0.05, 0.05, 0.05, 0.05])),
        "country": "DE",
    }


def honest(rng: np.random.Generator, size: int, days: float) -> list[Row]:
    moments = np.sort(rng.integers(0, int(days * 24 * HOUR), size)) + START
    return [person(rng, number, int(moment)) for number, moment in enumerate(moments)]


def wave(rng: np.random.Generator, size: int, day: float, hours: float) -> list[Row]:
    """A press article: many within hours, most by telephone behind few addresses."""
    moments = np.sort(rng.integers(0, int(hours * HOUR), size)) + START + int(day * 24 * HOUR)
    return [
        person(rng, 10**6 + number, int(moment), mobile=bool(rng.random() < 0.7))
        for number, moment in enumerate(moments)
    ]


def farm(rng: np.random.Generator, name: str, size: int, day: float, days: float, *, networks: int = 3) -> list[Row]:
    """Accounts of one template: one old browser, one form of address, few rented networks."""
    moments = np.sort(rng.integers(0, int(days * 24 * HOUR), size)) + START + int(day * 24 * HOUR)
    rows = []
    for number, moment in enumerate(moments):
        net = int(rng.integers(0, networks))
        row = person(rng, 0, int(moment), mobile=False)
        row |= {
            "account": f"{name}{number}", "ip": f"192.0.{net}.{rng.integers(1, 5)}", "network": f"192.0.{net}.0/24",
            "asn": "65100", "network_kind": "hosting", "device": f"{name}-d{number}", "user_agent": OLD_CHROME,
            "email_shape": "aaaa9999", "name_shape": "Aaaa Aaaa",
        }  # fmt: skip
        rows.append(row)
    return rows


def table(rows: list[Row]) -> SignUps:
    """The sign-up table of rows; account `X` has the id `IDENTITY.id_of(X)`."""
    account = np.array([IDENTITY.id_of(str(row["account"])) for row in rows], np.int64)
    time = np.array([row["time"] for row in rows], np.int64)
    names = [name for name in dict.fromkeys(key for row in rows for key in row) if name not in ("account", "time")]
    values = {name: [None if row.get(name) is None else str(row[name]) for row in rows] for name in names}
    return make_signups(account, time, values, IDENTITY)


def ids(rows: list[Row]) -> set[int]:
    return {IDENTITY.id_of(str(row["account"])) for row in rows}


def candidates(signups: SignUps, neighbours: int, together: tuple[str, ...]) -> dict[tuple[int, int], set[str]]:
    """Pairs and the single fields that proposed them, by plain loops."""
    out: dict[tuple[int, int], set[str]] = {}
    evidence = {name: column for name, column in signups.columns.items() if column.field.family}
    keys: list[tuple[str, list[tuple[int, ...] | None]]] = [
        (name, [None if code < 0 else (code,) for code in column.code.tolist()]) for name, column in evidence.items()
    ]
    for one, other in combinations([name for name in together if name in evidence], 2):
        first, second = evidence[one], evidence[other]
        if first.field.family != second.field.family:
            both = zip(first.code.tolist(), second.code.tolist(), strict=True)
            keys.append(("", [None if min(pair) < 0 else pair for pair in both]))
    for name, values in keys:
        streams: dict[tuple[int, ...], list[int]] = {}
        for row, value in enumerate(values):
            if value is not None:
                streams.setdefault(value, []).append(row)
        for stream in streams.values():
            for at, left in enumerate(stream):
                for right in stream[at + 1 : at + 1 + neighbours]:
                    out.setdefault((left, right), set()).update({name} if name else ())
    org = signups.columns.get("org")
    if org is None:
        return out
    return {pair: by for pair, by in out.items() if org.code[pair[0]] < 0 or org.code[pair[0]] != org.code[pair[1]]}
