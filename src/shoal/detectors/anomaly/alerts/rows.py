"""Rows of account-days for alerts, from the events of a service: what an analyst would compute from its log.

Four kinds, a row an account and day: what was handed to outsiders, what was read of colleagues, which new devices came
in, which applications were let in. The key of a row is the organisation (one analyst looks into it), else the account.
Days are causal: a row uses events up to the end of its day and no later ones. Entities are compared and never read, so
they may be texts or ids. Holds no state; knows tables, no journal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

DAY = 86_400_000_000
COLUMNS = (
    "time", "type", "account", "actor", "org", "device", "ip", "owner", "file", "recipient", "external", "app",
    "resource",
)  # fmt: skip
"""Event columns that the rows are made of."""
ENTITIES = ("account", "actor", "org", "device", "ip", "owner", "file", "recipient", "app", "resource")
"""Those of them that are compared and never read."""


@dataclass(frozen=True)
class Log:
    """Events of a service with `COLUMNS` and `day` (counted from `first_day`, the day that the log begins on), and when
    each account was created (`account`, `created` in µs)."""

    events: pl.DataFrame
    created: pl.DataFrame
    first_day: int = 0


@dataclass(frozen=True)
class RowKind:
    """A kind of row: what it is in words, and its columns with theirs."""

    doc: str
    columns: Mapping[str, str]
    make: Callable[[Log, pl.DataFrame, pl.DataFrame], pl.DataFrame]


def rows_of(log: Log, kind: str) -> pl.DataFrame:
    """A table of `day`, `key`, `account` and the columns of a kind (float64, null where unknown), sorted."""
    found = KINDS[kind]
    events = log.events.filter(pl.col("account").is_not_null())
    orgs = events.filter(pl.col("org").is_not_null()).group_by("account").agg(pl.col("org").sort_by("time").first())
    table = found.make(log, events, orgs).join(orgs, on="account", how="left")
    table = table.with_columns(pl.coalesce("org", "account").alias("key"))
    return table.select("day", "key", "account", *(pl.col(name).cast(pl.Float64) for name in found.columns)).sort(
        "day", "key", "account"
    )


def _reads(events: pl.DataFrame) -> pl.DataFrame:
    """Files read by account and day: all, of colleagues, owners."""
    return (
        events.filter(pl.col("type") == "file.downloaded", pl.col("actor").is_not_null())
        .group_by("account", "day")
        .agg(
            pl.col("file").n_unique().alias("files"),
            pl.col("file").filter(pl.col("owner") != pl.col("account")).n_unique().alias("colleague_files"),
            pl.col("owner").filter(pl.col("owner") != pl.col("account")).n_unique().alias("owners"),
        )
    )


def _trailing(table: pl.DataFrame, days: int, *columns: str) -> pl.DataFrame:
    """Sums over the last `days` days, the day included."""
    return (
        table.sort("account", "day")
        .rolling("day", period=f"{days}i", group_by="account")
        .agg(*(pl.col(name).sum() for name in columns))
    )


def _hand_over(log: Log, events: pl.DataFrame, orgs: pl.DataFrame) -> pl.DataFrame:  # noqa: ARG001
    shares = events.filter(pl.col("type") == "folder.shared", pl.col("external"), pl.col("recipient").is_not_null())
    pairs = shares.group_by("account", "recipient", "day").agg(
        pl.col("resource").n_unique().alias("folders"), pl.col("time").min()
    )
    used = events.filter(pl.col("ip").is_not_null()).group_by("account", "ip").agg(pl.col("day").min().alias("since"))
    common = (
        pairs.select("account", "recipient", "day")
        .join(used.rename({"account": "recipient", "since": "there"}), on="recipient")
        .join(used, on=["account", "ip"])
        .filter(pl.max_horizontal("since", "there") <= pl.col("day"))
        .group_by("account", "recipient", "day")
        .agg(pl.len().alias("common"))
    )
    created = log.created.rename({"account": "recipient"})
    read = _trailing(_reads(events), 7, "files").rename({"files": "read"})
    pairs = pairs.join(common, on=["account", "recipient", "day"], how="left").join(created, on="recipient", how="left")
    pairs = pairs.with_columns(((pl.col("time") - pl.col("created")) / DAY).alias("age"), pl.col("common").fill_null(0))
    best = (
        pairs.sort("account", "day", "common", "age", descending=[False, False, True, False])
        .group_by("account", "day", maintain_order=True)
        .first()
    )
    best = best.sort("day").join_asof(read.sort("day"), on="day", by="account", tolerance=6, check_sortedness=False)
    return best.select(
        "day", "account",
        pl.col("common").alias("common_addresses"),
        pl.col("age").alias("recipient_age_d"),
        "folders",
        pl.col("read").fill_null(0).alias("files_read_7d"),
    )  # fmt: skip


def _reading(log: Log, events: pl.DataFrame, orgs: pl.DataFrame) -> pl.DataFrame:  # noqa: ARG001
    """Three days together; the usual is the most of any three days that ended before them."""
    table = _trailing(_reads(events).join(orgs, on="account"), 3, "files", "colleague_files", "owners").sort(
        "account", "day"
    )
    most = table.with_columns(pl.col("colleague_files").cum_max().over("account").alias("most"))
    most = most.select("account", (pl.col("day") + 3).alias("day"), "most").sort("day")
    table = table.sort("day").join_asof(most, on="day", by="account", check_sortedness=False)
    return table.filter(pl.col("colleague_files") > 0).select(
        "day", "account",
        pl.col("owners").alias("colleagues"),
        pl.col("colleague_files").alias("colleague_files"),
        (pl.col("colleague_files") / (pl.col("most").fill_null(0) + 3)).alias("times_usual"),
    )  # fmt: skip


def _entry(log: Log, events: pl.DataFrame, orgs: pl.DataFrame) -> pl.DataFrame:
    used = events.filter(pl.col("device").is_not_null(), pl.col("actor").is_not_null())
    first = (
        used.sort("time")
        .group_by("account", "device", maintain_order=True)
        .agg(pl.col("time").first(), pl.col("day").first(), pl.col("ip").first())
    )
    first = (
        first.join(log.created, on="account", how="left")
        .filter(pl.col("time") - pl.col("created") > DAY, pl.col("day") > log.first_day)
        .join(orgs, on="account")
    )
    every = (
        used.group_by("device", "account", "day")
        .len()
        .join(orgs, on="account")
        .select("device", "org", pl.col("account").alias("other"), pl.col("day").alias("then"))
    )
    fan = first.join(every, on=["device", "org"]).filter(
        pl.col("other") != pl.col("account"), pl.col("then").is_between(pl.col("day") - 6, pl.col("day"))
    )
    fan = fan.group_by("account", "device").agg(pl.col("other").n_unique().alias("fan"))
    seen = used.join(orgs, on="account").group_by("org", "ip").agg(pl.col("day").min().alias("since"))
    read = (
        used.filter(pl.col("type") == "file.downloaded", pl.col("owner") != pl.col("account"))
        .group_by("account", "device", "day")
        .agg(pl.col("file").n_unique().alias("read"))
    )
    table = (
        first.join(fan, on=["account", "device"], how="left")
        .join(seen, on=["org", "ip"], how="left")
        .join(read, on=["account", "device", "day"], how="left")
    )
    age = pl.col("day") - pl.col("since")
    known = pl.when(age < 7).then(0).otherwise(age)  # an intruder's second day makes his address no older
    return table.group_by("account", "day").agg(
        pl.col("fan").max().fill_null(0).alias("colleagues_on_device"),
        known.min().alias("address_known_d"),
        pl.col("read").max().fill_null(0).alias("colleague_files"),
    )


def _application(log: Log, events: pl.DataFrame, orgs: pl.DataFrame) -> pl.DataFrame:  # noqa: ARG001
    every = events.filter(pl.col("type") == "app.authorized").select("account", "app", "day").unique()
    every = every.join(orgs, on="account", how="left")
    users = every.rename({"org": "theirs", "account": "other", "day": "then"})
    grants = every.filter(pl.col("org").is_not_null())
    with_it = (
        grants.join(users, on="app")
        .filter(pl.col("then") <= pl.col("day"), pl.col("other") != pl.col("account"))
        .with_columns((pl.col("theirs").eq_missing(pl.col("org"))).alias("mate"))
        .group_by("account", "app", "day")
        .agg(
            pl.col("other").filter(pl.col("mate")).n_unique().alias("mates"),
            pl.col("other").filter(~pl.col("mate")).n_unique().alias("strangers"),
        )
    )
    table = grants.join(with_it, on=["account", "app", "day"], how="left")
    table = table.with_columns(pl.col("mates", "strangers").fill_null(0))
    share = (pl.col("mates") + 1) / (pl.col("mates") + pl.col("strangers") + 1)
    best = table.with_columns(share.alias("share")).sort(
        "account", "day", "mates", "share", descending=[False, False, True, True]
    )
    return best.group_by("account", "day", maintain_order=True).first().select(
        "day", "account", pl.col("mates").alias("colleagues"),
        pl.col("share").alias("colleague_share"),
    )  # fmt: skip


KINDS: Mapping[str, RowKind] = {
    "hand_over": RowKind(
        "an account that shared a folder with somebody outside, and its likeliest confederate of that day",
        {
            "common_addresses": "common addresses with the recipient",
            "recipient_age_d": "days of age of the recipient",
            "folders": "folders",
            "files_read_7d": "files read in 7 days",
        },
        _hand_over,
    ),
    "reading": RowKind(
        "an account of an organisation that read files of colleagues, three days together",
        {
            "colleagues": "colleagues read from",
            "colleague_files": "files of colleagues",
            "times_usual": "times the usual",
        },
        _reading,
    ),
    "entry": RowKind(
        "an account of an organisation on a device that it was never seen on before",
        {
            "colleagues_on_device": "colleagues on the same new device",
            "address_known_d": "days that the organisation knows the address",
            "colleague_files": "files of colleagues read",
        },
        _entry,
    ),
    "application": RowKind(
        "an account of an organisation that let an application in, and the one with most colleagues",
        {"colleagues": "colleagues with it", "colleague_share": "share of its users who are colleagues"},
        _application,
    ),
}
"""What a view may say under `rows`."""
