"""Members of campaigns by name, as a table for whoever reviews or enforces elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from shoal.coordination.campaigns.campaign import Campaign
from shoal.errors import InvalidInput, Problem, Where
from shoal.runtime.coordination.story import read_members
from shoal.runtime.home import Home
from shoal.runtime.judge.backtest import published_pack
from shoal.storage.journal import Journal

SCHEMA = pa.schema(
    [
        ("account", pa.string()), ("campaign", pa.string()), ("belief", pa.float64()), ("hard", pa.bool_()),
        ("score", pa.float64()), ("members", pa.int64()), ("first", pa.timestamp("us", "UTC")),
        ("last", pa.timestamp("us", "UTC")), ("reason", pa.string()),
    ]
)  # fmt: skip
SUFFIXES = (".csv", ".json", ".parquet")


def members_table(home: Home, campaigns: Sequence[Campaign], least: float = 0.0) -> pa.Table:
    """One row a member that belongs with at least `least`, by campaign and falling belief (`SCHEMA`)."""
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    try:
        pack, _ = published_pack(home, journal)
        seen = read_members(home, journal, pack, campaigns)
    finally:
        journal.close()
    rows = [
        (seen.name(one.account), campaign.id, one.belief, one.hard, campaign.score, campaign.size, one.first, one.last,
         campaign.evidence[0] if campaign.evidence else "")
        for campaign in campaigns
        for one in campaign.members
        if one.belief >= least
    ]  # fmt: skip
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    return pa.table([pa.array(list(column), kind.type) for column, kind in zip(columns, SCHEMA, strict=True)], SCHEMA)


def write_table(table: pa.Table, path: Path) -> None:
    """Write by the ending of the name; raises `InvalidInput` (`export.suffix`, `export.write`)."""
    if path.suffix not in SUFFIXES:
        message = f"{path.name} has no ending that is known"
        raise InvalidInput(Problem("export.suffix", message, Where("FILE"), ", ".join(SUFFIXES)))
    try:
        if path.suffix == ".csv":
            pa_csv.write_csv(table.set_column(0, "account", _plain(table.column("account"))), path)
        elif path.suffix == ".parquet":
            pq.write_table(table, path)
        else:
            rows = [{k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in row.items()}
                    for row in table.to_pylist()]  # fmt: skip
            path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        hint = "name another file"
        raise InvalidInput(Problem("export.write", f"{path} cannot be written: {error.strerror}", hint=hint)) from error


def _plain(names: pa.ChunkedArray) -> pa.Array:
    """Names that no spreadsheet takes for a formula: one that begins like one gets an apostrophe before it."""
    return pa.array([f"'{name}" if name[:1] in "=+-@\t\r" else name for name in names.to_pylist()], pa.string())
