"""Decoding speed: native NDJSON against row-wise orjson and Polars' reader in the same run; the other formats.

The native lines are what a file-sharing service sends: 14 of the table's columns, ISO times, IPv4 and IPv6, 1 % of
lines with an unknown field, .2 % with escapes, .1 % malformed. All speeds are events per second of process CPU time,
the best of several rounds, rounds interleaved so that a busy machine hits all alike.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pyarrow as pa

from shoal.adapters.mapping.source import mapped_format
from shoal.events.formats import FORMATS, Format, native
from shoal.events.formats.ocsf import write_ocsf
from shoal.events.formats.tabular.plan import FieldPlan, TablePlan, TypePlan
from shoal.events.schema import Kind

BLOCK_BYTES = 1 << 22
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def make_lines(count: int, seed: int = 7) -> list[bytes]:
    """Native lines, malformed ones included."""
    rng = np.random.default_rng(seed)
    start = 1_700_000_000_000_000
    times = start + np.cumsum(rng.integers(10, 2000, count))
    accounts, devices = rng.integers(0, 100_000, count), rng.integers(0, 150_000, count)
    types = rng.choice(["login.succeeded", "login.failed", "file.downloaded", "file.uploaded", "link.visited"], count)
    sizes, quads, odds = rng.integers(100, 1 << 30, count), rng.integers(1, 255, (count, 4)), rng.random(count)
    lines = []
    for row in range(count):
        account = f"acct-{accounts[row]:06d}"
        ip = ".".join(str(q) for q in quads[row])
        if quads[row, 0] > 216:
            ip = f"2001:db8:{quads[row, 1]:x}::{quads[row, 2]:x}"
        event: dict[str, Any] = {
            "event_id": f"{row:08x}-{accounts[row]:06x}",
            "time": datetime.fromtimestamp(times[row] / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "type": str(types[row]),
            "actor": account,
            "account": account,
            "org": f"org-{accounts[row] % 900}",
            "session": f"s-{accounts[row] * 7 + 13:012x}",
            "device": f"d-{devices[row]:06x}",
            "ip": ip,
            "file": f"f-{sizes[row]:09x}",
            "outcome": "success",
            "client": "web",
            "user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36",
            "size_bytes": int(sizes[row]),
        }
        if odds[row] < 0.01:
            event["experiment"] = "b"
        elif odds[row] < 0.012:
            event["file_name"] = 'a "b" c.txt'
        line = orjson.dumps(event)
        if odds[row] > 0.999:
            line = line[:-20]
        lines.append(line + b"\n")
    return lines


def blocks_of(lines: list[bytes]) -> list[bytes]:
    """The lines in blocks as the file source cuts them."""
    blocks, current, size = [], [], 0
    for line in lines:
        current.append(line)
        size += len(line)
        if size >= BLOCK_BYTES:
            blocks.append(b"".join(current))
            current, size = [], 0
    return [*blocks, b"".join(current)] if current else blocks


def native_decode(blocks: list[bytes]) -> int:
    """Our reader: Arrow tables, dead letters, attributes."""
    decoder = FORMATS["native"].decoder("bench", "0")
    offset = 0
    for block in blocks:
        decoded = decoder.decode(block, offset)
        assert decoded.balanced
        offset += decoded.read
    return offset


def orjson_rows(blocks: list[bytes]) -> int:
    """The baseline: a dict a line with its time parsed; malformed lines counted; no table is made."""
    read = 0
    for block in blocks:
        rows = []
        for line in block.splitlines():
            read += 1
            try:
                row = orjson.loads(line)
                row["time"] = int((datetime.fromisoformat(row["time"]) - EPOCH).total_seconds() * 1_000_000)
            except (orjson.JSONDecodeError, KeyError, ValueError):
                continue
            rows.append(row)
    return read


def orjson_table(blocks: list[bytes]) -> int:
    """The same, and an Arrow table made of the rows."""
    read = 0
    for block in blocks:
        rows = []
        for line in block.splitlines():
            read += 1
            try:
                row = orjson.loads(line)
                row["time"] = int((datetime.fromisoformat(row["time"]) - EPOCH).total_seconds() * 1_000_000)
            except (orjson.JSONDecodeError, KeyError, ValueError):
                continue
            rows.append(row)
        names = dict.fromkeys(name for row in rows[:100] for name in row)
        pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
    return read


def polars_reader(blocks: list[bytes]) -> int:
    """Polars' reader with time parsing, on clean lines: one malformed line fails its whole buffer."""
    read = 0
    for block in blocks:
        frame = pl.read_ndjson(io.BytesIO(block))
        frame.with_columns(pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us"))
        read += frame.height
    return read


def cloudtrail_decode(blocks: list[bytes]) -> int:
    """The CloudTrail reader."""
    decoder = FORMATS["cloudtrail"].decoder("bench", "0")
    offset = 0
    for block in blocks:
        offset += decoder.decode(block, offset).read
    return offset


def decoder_of(chosen: Format) -> Callable[[list[bytes]], int]:
    """The reader of one format, as a job."""

    def run(blocks: list[bytes]) -> int:
        decoder = chosen.decoder("bench", "0")
        offset = 0
        for block in blocks:
            offset += decoder.decode(block, offset).read
        return offset

    return run


def suite_lines(count: int) -> dict[str, list[bytes]]:
    """Drive views, Dropbox downloads, and native lines inside syslog messages, as their vendors shape them."""
    made: dict[str, list[bytes]] = {"workspace": [], "dropbox": [], "syslog": [], "table": [b"at,user,what,ip,size\n"]}
    for row in range(count):
        when, who = (
            f"2026-01-05T{row // 3600 % 24:02d}:{row // 60 % 60:02d}:{row % 60:02d}.{row % 1000:03d}Z",
            row % 5000,
        )
        ip = f"192.0.2.{row % 250}"
        parameters = [{"name": "doc_id", "value": f"d{row}"}, {"name": "doc_title", "value": "Plan"},
                      {"name": "doc_type", "value": "document"}, {"name": "owner", "value": f"u{who}@example.com"},
                      {"name": "billable", "boolValue": True}, {"name": "visibility", "value": "private"}]  # fmt: skip
        activity = {
            "kind": "admin#reports#activity",
            "id": {"time": when, "uniqueQualifier": str(-row), "applicationName": "drive", "customerId": "C01"},
            "etag": f'"{row}"', "actor": {"email": f"u{who}@example.com", "profileId": str(who), "callerType": "USER"},
            "ipAddress": ip, "events": [{"type": "access", "name": "view", "parameters": parameters}],
        }  # fmt: skip
        user = {".tag": "team_member", "account_id": f"dbid:{who}", "display_name": "A", "email": f"u{who}@example.com"}
        session = {".tag": "end_user", "end_user": {".tag": "web", "session_id": f"dbwsid:{who}"}}
        event = {
            "timestamp": when[:19] + "Z", "event_category": {".tag": "file_operations"},
            "actor": {".tag": "user", "user": user}, "context": user,
            "origin": {"geo_location": {"country": "CH", "ip_address": ip}, "access_method": session},
            "involve_non_team_member": False, "participants": [],
            "assets": [
                {".tag": "file", "path": {"contextual": f"/a/{row}"}, "display_name": "a", "file_id": f"id:{row}"},
            ],
            "event_type": {".tag": "file_download", "description": "Downloaded files"},
            "details": {".tag": "file_download_details"},
        }  # fmt: skip
        native_line = {"time": when, "type": "login.succeeded", "account": f"u{who}", "ip": ip}
        made["workspace"].append(orjson.dumps(activity) + b"\n")
        made["dropbox"].append(orjson.dumps(event) + b"\n")
        made["syslog"].append(b"<34>1 %s gw app 7 - - %s\n" % (when.encode(), orjson.dumps(native_line)))
        made["table"].append(f"{when},u{who},login,{ip},{row}\n".encode())
    return made


def ocsf_write(blocks: list[bytes]) -> int:
    """Native lines written as OCSF (which reads them back to compare); the reading of the lines is in it."""
    count = 0
    for block in blocks:
        table = FORMATS["native"].decoder("bench", "0").decode(block, 0).events
        write_ocsf(table)
        count += table.num_rows
    return count


def suite_jobs(count: int) -> dict[str, Job]:
    """The readers of the suites' logs, of syslog and of mapped CSV, and the writer of OCSF."""
    plan = TablePlan(
        time=FieldPlan("time", Kind.TIME, "at"),
        type=TypePlan("what", {"login": "login.succeeded"}),
        fields=(FieldPlan("account", Kind.TEXT, "user"), FieldPlan("ip", Kind.TEXT, "ip"),
                FieldPlan("size_bytes", Kind.INT, "size")),
        digest="bench",
    )  # fmt: skip
    lines = suite_lines(count)
    jobs: dict[str, Job] = {
        name: (decoder_of(FORMATS[name]), blocks_of(lines[name])) for name in ("workspace", "dropbox", "syslog")
    }
    jobs["table"] = (decoder_of(mapped_format(plan)), [b"".join(lines["table"])])
    jobs["ocsf_write"] = (ocsf_write, blocks_of(make_lines(count // 4)))
    return jobs


Job = tuple[Callable[[list[bytes]], int], list[bytes]]


def measure(jobs: dict[str, Job], rounds: int) -> dict[str, float]:
    """Events per CPU-second of each job: the best of `rounds`, interleaved."""
    best: dict[str, float] = dict.fromkeys(jobs, 0.0)
    for _ in range(rounds):
        for name, (run, blocks) in jobs.items():
            start = time.process_time()
            count = run(blocks)
            best[name] = max(best[name], count / (time.process_time() - start))
    return best


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", default="../shared/data", type=Path)
    parser.add_argument("--dump", default=None, help="unused: no predictions are made here")
    options = parser.parse_args()
    count, rounds = (100_000, 4) if options.quick else (400_000, 6)
    lines = make_lines(count)
    clean = [line for line in lines if line.endswith(b"}\n")]
    native.warm()
    jobs: dict[str, Job] = {
        "native": (native_decode, blocks_of(lines)),
        "orjson": (orjson_rows, blocks_of(lines)),
        "orjson_table": (orjson_table, blocks_of(lines)),
        "polars": (polars_reader, blocks_of(clean)),
    }
    log = options.data / "cloudlogs" / "cloudtrail_s3_lab.ndjson.gz"
    if log.exists():
        jobs["cloudtrail"] = (cloudtrail_decode, blocks_of(gzip.decompress(log.read_bytes()).splitlines(keepends=True)))
    jobs |= suite_jobs(count // 5)
    speeds = measure(jobs, rounds)
    print(f"{count:,} native events, {sum(map(len, lines)) / count:.0f} B a line; events per CPU-second:")
    for name, speed in speeds.items():
        print(f"  {name:14} {speed:12,.0f}   {speed / speeds['orjson']:5.2f} x orjson rows")
    if "cloudtrail" not in speeds:
        print(f"cloudtrail_events_per_cpu_s is null: {log} is absent (give the data folder with --data)")
    figures = {
        "ndjson_vs_orjson": round(speeds["native"] / speeds["orjson"], 3),
        "ndjson_events_per_cpu_s": round(speeds["native"]),
        "cloudtrail_events_per_cpu_s": round(speeds["cloudtrail"]) if "cloudtrail" in speeds else None,
        "workspace_events_per_cpu_s": round(speeds["workspace"]),
        "dropbox_events_per_cpu_s": round(speeds["dropbox"]),
        "syslog_events_per_cpu_s": round(speeds["syslog"]),
        "table_events_per_cpu_s": round(speeds["table"]),
        "ocsf_write_events_per_cpu_s": round(speeds["ocsf_write"]),
    }
    baselines = {
        "orjson_events_per_cpu_s": round(speeds["orjson"]),
        "orjson_table_events_per_cpu_s": round(speeds["orjson_table"]),
        "polars_events_per_cpu_s": round(speeds["polars"]),
    }
    print(json.dumps({"benchmark": "decode", "quick": options.quick, "figures": figures, "baselines": baselines}))


if __name__ == "__main__":
    main()
