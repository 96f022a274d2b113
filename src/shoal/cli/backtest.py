"""`shoal backtest`: what another pack would have done with this history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from shoal.runtime.judge.compare import Backtest


def backtest(
    pack: str = typer.Option(..., "--pack", "-p", help="The pack to judge: a folder, or one that ships."),
    against: str = typer.Option("", "--against", help="The pack to compare with. Default: the one in force."),
    start: str = typer.Option("", "--from", help="Count from this time (ISO 8601). Default: after the warm-up."),
    end: str = typer.Option("", "--to", help="Count up to this time. Default: the end."),
    warm_up: str = typer.Option("3d", "--warm-up", help="Both packs decide this long before it, uncounted."),
    labels: Path = typer.Option(None, "--labels", help="Labels beside those in the journal: Parquet or NDJSON."),
    home: Path = typer.Option(Path("shoal-data"), "--out", "-o", help="The deployment's folder."),
    as_json: Path = typer.Option(None, "--json", help="Also write the whole result as JSON."),
    as_html: Path = typer.Option(None, "--html", help="Also write a page with plots."),
    top: int = typer.Option(15, "--top", min=0, help="How many subjects to show."),
) -> None:
    """Replay history under two packs from the same position and show what would differ. Labels only score."""
    import orjson

    from shoal.cli.judging import parse_duration, parse_moment, read_label_file
    from shoal.cli.show import out, progress_bars
    from shoal.packs.load import load_pack
    from shoal.reports.backtest import write_backtest
    from shoal.runtime.deployment import find_pack
    from shoal.runtime.home import open_home
    from shoal.runtime.judge.backtest import Window, backtest

    window = Window(parse_moment(start, "--from"), parse_moment(end, "--to"), parse_duration(warm_up, "--warm-up"))
    new = load_pack(find_pack(pack))
    old = load_pack(find_pack(against)) if against else None
    rows = read_label_file(labels) if labels else []
    opened = open_home(home, create=False)
    with progress_bars() as progress:
        progress.stage("replaying both packs")
        found = backtest(opened, new, old, window=window, labels=rows, moved=progress.moved)
    plain = as_plain(found)
    _print(found, top)
    if as_json:
        as_json.write_bytes(orjson.dumps(plain, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))
        out.print(f"the whole result: {as_json}", markup=False)
    if as_html:
        out.print(f"the page: {write_backtest(as_html, plain)}", markup=False)


def as_plain(found: Backtest) -> dict[str, Any]:
    """The result as plain data: tiers by name, shares with their 95 % intervals."""
    from shoal.learn.cohorts import Subject
    from shoal.learn.intervals import Share
    from shoal.policy.definitions import Tier

    def plain(value: Any) -> Any:
        if isinstance(value, Share):
            low, high = value.wilson()
            return {"successes": value.successes, "total": value.total, "value": value.value, "low": low, "high": high}
        if isinstance(value, Tier):
            return value.name.lower()
        if isinstance(value, Subject):
            return {"type": value.type, "name": value.name}
        if hasattr(value, "__dataclass_fields__"):
            return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        return [plain(one) for one in value] if isinstance(value, list | tuple) else value

    whole: dict[str, Any] = {"format": "shoal.backtest", "version": 1, **plain(found)}
    for side in ("old", "new"):
        whole[side]["tiers"] = {Tier(tier).name.lower(): count for tier, count in whole[side]["tiers"].items()}
    return whole


def _print(found: Backtest, top: int) -> None:
    from shoal.cli.judging import share_text
    from shoal.cli.show import moment, out, span

    out.print(
        f"{found.events:,} events from {moment(found.from_us)} to {moment(found.to_us)}, after "
        f"{found.warm_up_events:,} of warm-up ({span(found.warm_up_us / 1e6)}); {found.labels:,} labels score"
    )
    for why, count in found.masked.items():
        out.print(f"  masked: {count:,} {why}", markup=False)
    if found.censored:
        out.print(
            f"  censored: {len(found.censored):,} subjects were acted on then; what they would have done is unknown"
        )
    for name, side in (("old", found.old), ("new", found.new)):
        stopped = ", ".join(f"{said} {count:,}" for said, count in side.stopped.items())
        out.print(f"\n[bold]{name}[/bold] {side.name} {side.version} ({side.hash})")
        out.print(
            f"  subjects at challenge or above: {side.subjects:,}; abusive among the labelled {share_text(side.worth)}"
        )
        out.print(f"  events that its actions would have stopped, by whose account: {stopped}")
    _print_rules(found)
    _print_moves(found)
    _print_subjects(found, top)


def _print_rules(found: Backtest) -> None:
    from rich.table import Table

    from shoal.cli.judging import share_text
    from shoal.cli.show import out

    differ = [rule for rule in found.rules if rule.status != "same" or rule.only_old or rule.only_new]
    out.print(f"\n[bold]Rules[/bold]: {len(found.rules) - len(differ)} alike")
    if differ:
        table = Table(box=None, header_style="bold", padding=(0, 1))
        for name in ("rule", "status", "old", "new", "only old", "only new", "worth, old", "worth, new"):
            table.add_column(name, justify="left" if name in ("rule", "status") else "right")
        for rule in differ:
            counts = (f"{n:,}" for n in (rule.old, rule.new, rule.only_old, rule.only_new))
            table.add_row(rule.rule, rule.status, *counts, share_text(rule.old_worth), share_text(rule.new_worth))
        out.print(table)


def _print_moves(found: Backtest) -> None:
    from shoal.cli.show import out

    out.print("\n[bold]Subjects over the line to challenge[/bold], by threat")
    for threat, moves in found.threats.items():
        told = "; ".join(
            f"{name} " + ", ".join(f"{said} {count:,}" for said, count in sorted(counts.items()))
            for name, counts in (("newly", moves.up), ("no longer", moves.down), ("still", moves.kept))
            if counts
        )
        out.print(f"  {threat.replace('_', ' ')}: {told}", markup=False)
    differ = {
        name: counts for name, counts in found.actions.items() if counts[0] != counts[1] or counts[2] or counts[3]
    }
    out.print(f"[bold]Actions[/bold]: {len(found.actions) - len(differ)} alike")
    for name, (old, new, only_old, only_new) in differ.items():
        out.print(f"  {name}: {old:,} → {new:,}; subjects only old {only_old:,}, only new {only_new:,}", markup=False)
    out.print("[bold]Accounts met with challenge or above[/bold], by plan")
    for plan, (acted, before, after, newly) in found.blast.items():
        out.print(f"  {plan}: {before:,} → {after:,} of {acted:,} that acted; {newly:,} newly", markup=False)


def _print_subjects(found: Backtest, top: int) -> None:
    from shoal.cli.show import out

    out.print(f"\n[bold]Subjects whose tier differs[/bold]: {len(found.subjects):,}")
    for flip in found.subjects[:top]:
        rules = ", ".join(sorted(set(flip.rules_old) ^ set(flip.rules_new))) or "the same rules, counted otherwise"
        out.print(
            f"  {flip.subject.type} {flip.subject.name}: {flip.old.name.lower()} → {flip.new.name.lower()} "
            f"({flip.threat.replace('_', ' ')}, {flip.said}{', censored' if flip.censored else ''}); {rules}",
            markup=False,
        )
    if len(found.subjects) > top:
        out.print(f"  … and {len(found.subjects) - top:,} more (--top, --json)")
