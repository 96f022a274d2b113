"""`shoal pack tune`: where could a threshold stand, and what would that cost whom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from shoal.learn.curves import CurvePoint
    from shoal.learn.intervals import Share
    from shoal.runtime.judge.tune import Tuning


def tune(
    pack: str = typer.Argument(..., metavar="PACK", help="A pack's folder, or the name of one that ships with Shoal."),
    rule: str = typer.Argument(..., metavar="RULE", help="The rule's id."),
    threshold: str = typer.Option(
        "", "--threshold", "-t", help="The column of the threshold, where a rule has several."
    ),
    labels: Path = typer.Option(None, "--labels", help="Labels beside those in the journal: Parquet or NDJSON."),
    kinds: list[str] = typer.Option([], "--kind", help="Labels of abuse that count. Default: all."),
    unlabelled_honest: bool = typer.Option(
        False, "--unlabelled-honest", help="The labels are complete (a simulated world): whoever has none is honest."
    ),
    points: int = typer.Option(15, "--points", min=2, max=500, help="How many places to show."),
    home: Path = typer.Option(Path("shoal-data"), "--out", "-o", help="The deployment's folder."),
    as_json: Path = typer.Option(None, "--json", help="Also write the curve as JSON."),
    as_html: Path = typer.Option(None, "--html", help="Also write a page with the plot."),
) -> None:
    """Replay labelled history and show, for each place of a threshold, subjects caught and honest subjects touched."""
    import orjson

    from shoal.cli.judging import read_label_file
    from shoal.cli.show import out, progress_bars
    from shoal.packs.load import load_pack
    from shoal.reports.tuning import write_tuning
    from shoal.runtime.deployment import find_pack
    from shoal.runtime.home import open_home
    from shoal.runtime.judge.tune import tune as find

    rows = read_label_file(labels) if labels else []
    read = load_pack(find_pack(pack))
    opened = open_home(home, create=False)
    with progress_bars() as progress:
        progress.stage("replaying")
        found = find(
            opened,
            read,
            rule,
            threshold,
            labels=rows,
            kinds=frozenset(kinds),
            unlabelled_honest=unlabelled_honest,
            points=points,
            moved=progress.moved,
        )
    _print(found)
    plain = as_plain(found)
    if as_json:
        as_json.write_bytes(orjson.dumps(plain, option=orjson.OPT_INDENT_2))
        out.print(f"the curve: {as_json}", markup=False)
    if as_html:
        out.print(f"the page: {write_tuning(as_html, plain)}", markup=False)


def as_plain(found: Tuning) -> dict[str, Any]:
    """The curve as plain data, shares with their 95 % Wilson intervals."""

    def point(one: CurvePoint) -> dict[str, Any]:
        shares = {"caught": one.caught, "touched": one.touched, "precision": one.precision}
        return {"threshold": one.threshold, "unknown": one.unknown} | {
            name: {
                "successes": share.successes,
                "total": share.total,
                "value": share.value,
                "low": share.wilson().low,
                "high": share.wilson().high,
            }
            for name, share in shares.items()
        }

    return {
        "format": "shoal.tuning",
        "version": 1,
        "rule": found.rule,
        "threshold": {
            "column": found.threshold.column,
            "value": found.threshold.value,
            "higher_is_worse": found.threshold.higher_is_worse,
        },
        "subjects": found.subjects,
        "unlabelled_honest": found.unlabelled_honest,
        "now": point(found.now),
        "points": [point(one) for one in found.points],
    }


def _print(found: Tuning) -> None:
    from rich.table import Table

    from shoal.cli.show import out

    out.print(f"{found.rule}: {found.threshold}; {found.subjects:,} subjects of its kind in this history", markup=False)
    table = Table(box=None, header_style="bold", padding=(0, 1))
    for name in ("threshold", "abusive caught", "honest touched", "precision", "unlabelled"):
        table.add_column(name, justify="right")
    for point in [*found.points, None, found.now]:
        if point is None:
            table.add_section()
            continue
        table.add_row(
            f"{point.threshold:g}" + (" (now)" if point is found.now else ""),
            *(_share(share) for share in (point.caught, point.touched, point.precision)),
            f"{point.unknown:,}",
        )
    out.print(table)
    told = ", ".join(
        f"{share.total:,} {name}" for name, share in (("abusive", found.now.caught), ("honest", found.now.touched))
    )
    out.print(f"of {told} subjects; 95 % Wilson intervals", markup=False)
    if not found.now.caught.total:
        out.print("no subject of this kind is labelled abusive: the curve says only how many would be hit")


def _share(share: Share) -> str:
    if share.value is None:
        return "-"
    low, high = share.wilson()
    return f"{share.successes:,} = {share.value:.1%} ({low:.1%}-{high:.1%})"
