"""`shoal demo`: four simulated weeks through the whole engine, with detectors learned on the way, then a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from shoal.runtime.demo import DemoResult
    from shoal.runtime.review.scoring import Score


def demo(
    folder: Path = typer.Option(Path("demo-out"), "--out", "-o", help="Where the world and the deployment lie."),
    scenario: str = typer.Option("four-weeks", "--scenario", help="A scenario file, or one that ships with Shoal."),
    pack: str = typer.Option("file_sharing", "--pack", "-p", help="The pack that decides."),
    learn_days: float = typer.Option(
        None, "--learn-days", min=0, max=3650, help="Days to learn from; 0: rules alone. Default: 4/7 of them."
    ),
) -> None:
    """Simulate a file-sharing service with its adversaries, decide every event, and compare with the truth."""
    from shoal.cli.findings import print_findings
    from shoal.cli.show import err, out, progress_bars
    from shoal.clock import SystemClock
    from shoal.runtime.demo import run_demo
    from shoal.simulate import builtin_scenario, read_scenario

    named = Path(scenario)
    chosen = read_scenario(named) if named.suffix or named.exists() else builtin_scenario(scenario)
    with progress_bars() as progress:
        result = run_demo(chosen, folder, SystemClock(), progress, pack=pack, learn_days=learn_days)
    for note in result.notes:
        err.print(f"note: {note}", markup=False)
    _print_speed(result)
    _print_kinds(result.score)
    _print_honest(result.score)
    _print_learned(result)
    _print_campaigns(result)
    out.print("\n[bold]The worst subjects[/bold] (at most two of a threat)")
    print_findings(result.worst, len(result.worst), output="table")
    out.print(f"\nThe whole report, with plots: {result.page}", markup=False, soft_wrap=True)
    home = folder / "shoal"
    first = result.worst[0].subject if result.worst else "ACCOUNT"
    out.print("\n[bold]What to try next[/bold]")
    for command, why in (
        (f"shoal explain {first} --out {home}", "why, with the events behind each count"),
        (f"shoal replay {home}", "decide everything again and compare"),
        (f"shoal learn card {folder / 'models' / 'takeover'}", "what a fitted detector was measured to do"),
        (f"shoal learn monitor takeover --home {home}", "has the world moved since it was fitted?"),
        (f"shoal campaigns list {home}", "which accounts act as one"),
        (f"shoal doctor {home}", "where did every record go?"),
        ("shoal pack test file_sharing", "the rules' own tests, on the same engine"),
        ("shoal run YOUR_LOG --format cloudtrail", "findings on your own audit log"),
    ):
        out.print(f"  .venv/bin/{command}", markup=False, style="cyan", soft_wrap=True)
        out.print(f"      {why}", markup=False)


def _print_speed(result: DemoResult) -> None:
    from shoal.cli.show import out, span
    from shoal.policy.definitions import Tier

    if result.read.now:
        rate = result.read.now / max(result.seconds, 1e-9)
        out.print(
            f"{result.read.now:,} records, {result.days:.1f} days of a service, were journalled and decided "
            f"in {span(result.seconds)}: {rate:,.0f} a second"
        )
    else:
        out.print(f"{result.events:,} events were decided by an earlier run; remove the folder to start over")
    counts = result.totals.counts
    if counts["read"]:
        out.print(
            f"  duplicates {counts['duplicate']:,}, late {counts['late']:,}, dead letters {counts['dead_lettered']:,} "
            f"of which conflicts {counts['conflict']:,}"
        )
    tiers = ", ".join(f"{Tier(tier).name.lower()} {count:,}" for tier, count in sorted(result.tiers.items()))
    out.print(f"  events by tier: {tiers}")


def _print_kinds(found: Score) -> None:
    from rich.table import Table

    from shoal.cli.show import out, span

    out.print("\n[bold]What was caught[/bold] (at `challenge` or above, on its events or about its subjects)")
    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("kind of attack", no_wrap=True)
    for name in ("attacks", "caught", "watched", "missed", "median time", "subjects", "caught", "events at it"):
        table.add_column(name, justify="right")
    for kind in found.kinds:
        delay = kind.median_delay_s
        table.add_row(
            kind.kind.replace("_", " "),
            str(kind.attacks),
            str(kind.caught),
            str(kind.watched),
            str(kind.attacks - kind.caught - kind.watched),
            "-" if delay is None else span(delay),
            f"{kind.subjects:,}",
            f"{kind.subjects_caught:,}",
            f"{kind.events_flagged / max(kind.events, 1):.0%} of {kind.events:,}",
        )
    out.print(table)
    missed = [name for kind in found.kinds for name in kind.missed]
    if missed:
        out.print(f"  not caught: {', '.join(missed)}", markup=False)


def _print_learned(result: DemoResult) -> None:
    from rich.table import Table

    from shoal.cli.show import moment, out

    learned = result.learned
    if learned is None:
        return
    out.print(f"\n[bold]What learning added[/bold] from {moment(learned.from_us)[:10]} on (fitted on the days before)")
    table = Table(box=None, header_style="bold", padding=(0, 1))
    for place, name in enumerate(("kind", "detector", "subjects", "rules", "detector*", "both", "honest", "with both")):
        table.add_column(name, justify="right" if place > 1 else "left", no_wrap=place < 2)
    for one in learned.gains:
        counts = (one.subjects, one.rules, one.detector_alone, one.both, one.honest, one.honest_both)
        words = (one.kind.replace("_", " "), one.detector.replace("_", " "))
        table.add_row(*words, *(f"{count:,}" for count in counts))
    out.print(table)
    out.print("  * alone, cut where it touches as many honest subjects as the rules of its threat do (`honest`)")
    out.print(
        f"  all rules alone touch {learned.touched_alone:.1f} honest accounts per 10,000 and week, "
        f"with detectors {learned.touched:.1f}"
    )


def _print_campaigns(result: DemoResult) -> None:
    from rich.table import Table

    from shoal.cli.show import out

    if not result.campaigns:
        return
    members = sum(one.campaign.size for one in result.campaigns)
    harmful = sum(one.harmful for one in result.campaigns)
    out.print(
        f"\n[bold]Accounts that act as one[/bold]: {len(result.campaigns)} campaigns with {members:,} members, of whom "
        f"{harmful:,} are of an attack ({harmful / members:.1%}); found without labels"
    )
    table = Table(box=None, header_style="bold", padding=(0, 1))
    for name in ("campaign", "score", "members", "of an attack", "which", "found of it"):
        table.add_column(name, justify="left" if name in ("campaign", "which") else "right", no_wrap=True)
    for one in result.campaigns[:10]:
        table.add_row(one.campaign.id, f"{one.campaign.score:.0%}", f"{one.campaign.size:,}", f"{one.harmful:,}",
                      one.attack or "-", f"{one.mine:,} of {one.of:,}" if one.attack else "-")  # fmt: skip
    out.print(table)
    if len(result.campaigns) > 10:
        out.print(f"  and {len(result.campaigns) - 10} more: shoal campaigns list", markup=False)


def _print_honest(found: Score) -> None:
    from collections import Counter

    import orjson

    from shoal.cli.show import out

    out.print("\n[bold]What it cost honest people[/bold] (after a warm-up of three days; an account counts once)")
    out.print(
        f"  {len(found.touched):,} of {found.honest_accounts:,} honest accounts met `challenge` or above: "
        f"{found.touched_per_10k_week:.1f} per 10,000 and week"
    )
    rules: Counter[str] = Counter()
    for lists in found.touched.values():
        rules.update({rule for text in lists for rule in orjson.loads(text)})
    for rule, count in rules.most_common(5):
        out.print(f"    {rule}: {count:,} accounts", markup=False)
