"""`shoal formats` and `shoal inspect`: what can be read and written, and how a file would be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from shoal.adapters.inspect import Inspection
    from shoal.events.formats import Format

app = typer.Typer(no_args_is_help=False, add_completion=False, rich_markup_mode=None)

WRITERS = (
    ("native", "Shoal events, NDJSON", "every column but the place; read back equal"),
    ("ocsf", "OCSF events, JSON", "every column but the place, in unmapped.shoal what OCSF lacks; read back equal"),
    ("ocsf-finding", "OCSF Detection Finding", "findings of `shoal run --output ocsf`"),
)  # fmt: skip


@app.callback(invoke_without_command=True)
def formats(
    context: typer.Context,
    as_json: bool = typer.Option(False, "--json", help="As one JSON object."),
) -> None:
    """List the formats that are read and written, with what each maps."""
    if context.invoked_subcommand is not None:
        return
    from shoal.cli.show import out
    from shoal.events.formats import FORMATS

    readers = [(entry.name, entry.title, entry.maps, entry.suffixes) for entry in FORMATS.values()]
    readers.append(("--mapping", "CSV or Parquet by a mapping file", "what the mapping file says",
                    (".csv", ".tsv", ".parquet")))  # fmt: skip
    if as_json:
        found = {
            "readers": [{"name": n, "title": t, "maps": m, "suffixes": list(s)} for n, t, m, s in readers],
            "writers": [{"name": n, "title": t, "maps": m} for n, t, m in WRITERS],
        }
        typer.echo(json.dumps(found, indent=2))
        return
    from rich.table import Table

    for title, listed in (("read", [entry[:3] for entry in readers]), ("written", list(WRITERS))):
        table = Table(title=title, title_justify="left", show_edge=False)
        for name in ("format", "what", "maps"):
            table.add_column(name, overflow="fold")
        for entry in listed:
            table.add_row(*entry)
        out.print(table)
        out.print()


@app.command("mapping-for")
def mapping_for(
    file: Path = typer.Argument(..., metavar="FILE", help="A CSV or Parquet file (.gz and .zst too for CSV)."),
    output: Path = typer.Option(None, "--out", "-o", help="Write the draft there; default: standard output."),
) -> None:
    """Draft a mapping file for FILE by guessing from its names and first rows; check every line of it."""
    from shoal.adapters.mapping.draft import draft_mapping
    from shoal.errors import InvalidInput, Problem, Where
    from shoal.runtime.run import check_paths

    check_paths([file])
    text = draft_mapping(file)
    if output is None:
        typer.echo(text, nl=False)
    elif output.exists():
        hint = "name another, or remove it"
        raise InvalidInput(Problem("mapping.exists", "a file of that name exists", Where(str(output)), hint=hint))
    else:
        output.write_text(text, encoding="utf-8")


def inspect(
    file: str = typer.Argument(..., metavar="FILE", help="A file (.gz and .zst too), or - for standard input."),
    format_name: str = typer.Option("auto", "--format", "-f", help="What it holds, instead of a guess."),
    mapping: Path = typer.Option(None, "--mapping", help="A mapping file, for CSV and Parquet."),
    rows: int = typer.Option(5, "--rows", min=0, max=100, help="How many records are shown side by side."),
    as_json: bool = typer.Option(False, "--json", help="As one JSON object."),
) -> None:
    """Say which format FILE seems to be, and show how its first records become events."""
    from shoal.adapters.inspect import inspect_file
    from shoal.errors import InvalidInput, Problem, Where
    from shoal.runtime.run import check_paths, default_pack

    check_paths([Path(file)])
    seen = inspect_file(file, chosen_format(format_name, mapping), rows)
    pack = default_pack(seen.format) if seen.format else ""
    if as_json:
        typer.echo(json.dumps(as_object(seen, pack), indent=2))
    else:
        print_inspection(seen, pack)
    if seen.format is None:
        hint = "name one with --format"
        if seen.looks_like_table:
            hint = f"it may be a table: `shoal formats mapping-for {file}` drafts a mapping file"
        raise InvalidInput(Problem("source.format", "looks like no format that is known", Where(file), hint=hint))


def chosen_format(name: str, mapping: Path | None) -> Format | None:
    """The format that options name; None for a guess. Raises `InvalidInput` for both at once and unknown names."""
    from shoal.adapters.mapping.mapfile import read_mapping
    from shoal.adapters.mapping.source import mapped_format
    from shoal.errors import InvalidInput, Problem, nearest_name
    from shoal.events.formats import FORMATS

    if mapping is not None:
        if name != "auto":
            raise InvalidInput(Problem("source.format", "--format and --mapping exclude each other"))
        return mapped_format(read_mapping(mapping))
    if name == "auto":
        return None
    if name not in FORMATS:
        raise InvalidInput(Problem("source.format", f"no format {name!r}", allowed=", ".join(["auto", *FORMATS]),
                                   nearest=nearest_name(name, FORMATS)))  # fmt: skip
    return FORMATS[name]


def as_object(seen: Inspection, pack: str) -> dict[str, Any]:
    """An inspection as plain values."""
    return {
        "file": seen.path,
        "format": seen.format,
        "scores": [{"format": name, "score": round(score, 3)} for name, score in seen.scores],
        "marks": seen.why or None,
        "compression": seen.compression or None,
        "pack": pack or None,
        "read": seen.read,
        "events": seen.events,
        "facts": seen.facts,
        "labels": seen.labels,
        "dead": dict(seen.dead),
        "dead_letters": [
            {"offset": letter.offset, "reason": letter.reason, "detail": letter.detail} for letter in seen.letters
        ],
        "types": dict(seen.types.most_common()),
        "whole_file": seen.whole,
        "fault": seen.fault or None,
        "records": [
            {
                "offset": record.offset,
                "columns": [
                    {"from": origin or None, "column": name, "value": value} for origin, name, value in record.lines
                ],
                "attributes": list(record.attributes),
            }
            for record in seen.shown
        ],
    }  # fmt: skip


def print_inspection(seen: Inspection, pack: str) -> None:
    """An inspection for people."""
    from rich.table import Table

    from shoal.cli.show import moment, out
    from shoal.events.formats import FORMATS
    from shoal.events.schema import BY_NAME, Kind

    known = FORMATS.get(seen.format or "")
    title = known.title if known is not None else "CSV or Parquet by a mapping file"
    if seen.format is not None:
        out.print(f"format: {seen.format} ({title}); pack: {pack}", markup=False, soft_wrap=True)
    likely = [f"{name} {score:.0%}" for name, score in seen.scores if score > 0][:4]
    out.print("guess: " + (", ".join(likely) or "none"), markup=False, soft_wrap=True)
    if seen.why:
        out.print(f"the first has: {seen.why}", markup=False, soft_wrap=True)
    if seen.compression:
        out.print(f"compressed: {seen.compression}", markup=False, soft_wrap=True)
    if seen.format is None:
        return
    part = "the whole file" if seen.whole else "the first part"
    out.print(f"{part}: {seen.read:,} records = {seen.events:,} events + {seen.facts:,} facts + {seen.labels:,} labels"
              f" + {sum(seen.dead.values()):,} dead letters", markup=False, soft_wrap=True)  # fmt: skip
    if seen.fault:
        out.print(f"the file is damaged: {seen.fault}", markup=False, soft_wrap=True)
    for record in seen.shown:
        table = Table(title=f"record {record.offset}", title_justify="left", show_edge=False)
        for name in ("source field", "column", "value"):
            table.add_column(name, overflow="fold")
        for origin, name, value in record.lines:
            shown = moment(value) if BY_NAME[name].kind is Kind.TIME else str(value)[:120]
            table.add_row(_plain(origin or "(made)"), name, _plain(shown))
        out.print(table)
        out.print("in attributes: " + (", ".join(record.attributes[:40]) or "nothing"), markup=False, soft_wrap=True)
        out.print()
    if seen.types:
        out.print(
            "by type: " + ", ".join(f"{name} {count:,}" for name, count in seen.types.most_common()), markup=False
        )
    for reason, count in seen.dead.most_common():
        first = next((letter for letter in seen.letters if letter.reason == reason), None)
        told = f": record {first.offset}, {first.detail}" if first is not None else ""
        out.print(f"dead {reason} {count:,}{told}", markup=False, soft_wrap=True)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape("".join(mark if mark.isprintable() else "�" for mark in text))
