"""Directions of suspicion from the events of a service, as a practitioner would compute them from its log.

Four views, a row an account and day: what was handed to outsiders, what was read, which new devices came in, which
applications were let in. The key of a row is the organisation (one analyst looks into it), else the account. Days are
causal: a row uses events up to the end of its day and no later ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from shoal.detectors.anomaly.alerts import View

DAY = 86_400_000_000
COLUMNS = (
    "time",
    "type",
    "account",
    "actor",
    "org",
    "device",
    "ip",
    "owner",
    "file",
    "recipient",
    "external",
    "app",
    "resource",
)
CODED = ("account", "actor", "org", "device", "ip", "owner", "file", "recipient", "app", "resource")
"""Columns that are compared and never read: kept as numbers."""
VIEWS = (
    View("hand-over", {
        "common addresses with the recipient": 1, "days of age of the recipient": -1, "folders": 1,
        "files read in 7 days": 1,
    }),
    View("reading", {"colleagues read from": 1, "files of colleagues": 1, "times the usual": 1}),
    View("entry", {
        "colleagues on the same new device": 1, "days that the organisation knows the address": -1,
        "files of colleagues read": 1,
    }),
    View("application", {"colleagues with it": 1, "share of its users who are colleagues": 1}),
)  # fmt: skip


@dataclass(frozen=True)
class Log:
    """Events of a service with `day` counted from its start, and when each account was created."""

    events: pl.DataFrame
    created: pl.DataFrame  # account, created


def view_rows(log: Log) -> dict[str, pl.DataFrame]:
    """For each view a table `day`, `key`, `account` and its directions in their order."""
    events = log.events.filter(pl.col("account").is_not_null())
    orgs = events.filter(pl.col("org").is_not_null()).group_by("account").agg(pl.col("org").first())
    reads = _reads(events)
    made = {
        "hand-over": _hand_over(log, events, reads),
        "reading": _reading(reads, orgs),
        "entry": _entry(log, events, orgs),
        "application": _application(events, orgs),
    }
    out = {}
    for view in VIEWS:
        table = (
            made[view.name].join(orgs, on="account", how="left")
            if "org" not in made[view.name].columns
            else made[view.name]
        )
        table = table.with_columns(pl.coalesce("org", "account").alias("key"))
        out[view.name] = table.select(
            "day", "key", "account", *(pl.col(name).cast(pl.Float64) for name in view.directions)
        ).sort("day", "key", "account")
    return out


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


def _hand_over(log: Log, events: pl.DataFrame, reads: pl.DataFrame) -> pl.DataFrame:
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
    read = _trailing(reads, 7, "files").rename({"files": "read"})
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
        pl.col("common").alias("common addresses with the recipient"),
        pl.col("age").alias("days of age of the recipient"),
        "folders",
        pl.col("read").fill_null(0).alias("files read in 7 days"),
    )  # fmt: skip


def _reading(reads: pl.DataFrame, orgs: pl.DataFrame) -> pl.DataFrame:
    """Three days together; the usual is the most of any three days that ended before them."""
    table = _trailing(reads.join(orgs, on="account"), 3, "files", "colleague_files", "owners").sort("account", "day")
    most = table.with_columns(pl.col("colleague_files").cum_max().over("account").alias("most"))
    most = most.select("account", (pl.col("day") + 3).alias("day"), "most").sort("day")
    table = table.sort("day").join_asof(most, on="day", by="account", check_sortedness=False)
    return table.filter(pl.col("colleague_files") > 0).select(
        "day", "account",
        pl.col("owners").alias("colleagues read from"),
        pl.col("colleague_files").alias("files of colleagues"),
        (pl.col("colleague_files") / (pl.col("most").fill_null(0) + 3)).alias("times the usual"),
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
        .filter(pl.col("time") - pl.col("created") > DAY, pl.col("day") > 0)
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
        pl.col("fan").max().fill_null(0).alias("colleagues on the same new device"),
        known.min().alias("days that the organisation knows the address"),
        pl.col("read").max().fill_null(0).alias("files of colleagues read"),
    )


def _application(events: pl.DataFrame, orgs: pl.DataFrame) -> pl.DataFrame:
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
        "day", "account", pl.col("mates").alias("colleagues with it"),
        pl.col("share").alias("share of its users who are colleagues"),
    )  # fmt: skip
