"""`shoal campaigns`: which accounts act as one, why we say so, and who among them may be innocent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from shoal.coordination.campaigns.campaign import Campaign
    from shoal.runtime.coordination.job import Run
    from shoal.runtime.coordination.published import Told
    from shoal.runtime.coordination.story import Seen
    from shoal.runtime.home import Home

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
_HOME = typer.Option(Path("shoal-data"), "--home", "-h", help="The deployment's folder.")
_CAMPAIGN = typer.Argument(..., metavar="CAMPAIGN", help="Its id, or the beginning of it.")


@app.command("run")
def run(
    home: Path = typer.Argument(Path("shoal-data"), metavar="[DIR]", help="The deployment's folder."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Look and show; publish nothing."),
    anew: bool = typer.Option(False, "--anew", help="Build graph and campaigns from the beginning of the journal."),
    recent: str = typer.Option("30d", "--recent", help="How far back sign-ups and folders are compared."),
    as_json: bool = typer.Option(False, "--json", help="One JSON document instead."),
) -> None:
    """Search the journal for accounts that act as one, and publish what is found; each run reads only what is new."""
    from shoal.cli.judging import parse_duration
    from shoal.cli.show import err, progress_bars
    from shoal.runtime.coordination.job import JobSettings, look
    from shoal.runtime.coordination.job import run as run_job
    from shoal.runtime.coordination.learned import read_model
    from shoal.runtime.deployment import open_deployment
    from shoal.runtime.home import open_home
    from shoal.runtime.judge.backtest import published_pack
    from shoal.storage.journal import Journal

    opened = open_home(home, create=False)
    model = read_model(opened)
    settings = JobSettings(recent_us=parse_duration(recent, "--recent"), anew=anew, model=model)
    with progress_bars() as progress:
        if dry_run:
            journal = Journal.open(opened.journal, identity=opened.identity, read_only=True)
            try:
                pack, _ = published_pack(opened, journal)
                found, _ = look(opened, journal, pack, settings, stage=progress.stage, moved=progress.moved)
            finally:
                journal.close()
        else:
            deployment = open_deployment(opened, progress.stage)
            try:
                found = run_job(deployment, settings, stage=progress.stage, moved=progress.moved)
            finally:
                deployment.close()
    for note in (*found.notes, *(["campaigns are judged by the model of `shoal campaigns fit`"] if model else [])):
        err.print(f"note: {note}", markup=False)
    if as_json:
        typer.echo(json.dumps(_run_json(found), indent=2))
    else:
        _print_run(found)


@app.command("fit")
def fit(
    home: Path = typer.Argument(Path("shoal-data"), metavar="[DIR]", help="The deployment's folder."),
    maturity: str = typer.Option("7d", "--maturity", help="Groups without a label count as benign if older."),
    recent: str = typer.Option("30d", "--recent", help="How far back sign-ups and folders are compared."),
) -> None:
    """Learn from this deployment's labels which groups are abusive as wholes; later runs judge by it."""
    from shoal.cli.judging import parse_duration
    from shoal.cli.show import out, progress_bars
    from shoal.runtime.coordination.job import JobSettings
    from shoal.runtime.coordination.learned import fit_model, model_path
    from shoal.runtime.home import open_home
    from shoal.runtime.judge.backtest import published_pack
    from shoal.storage.journal import Journal

    opened = open_home(home, create=False)
    settings = JobSettings(recent_us=parse_duration(recent, "--recent"))
    with progress_bars() as progress:
        progress.stage("gathering groups")
        journal = Journal.open(opened.journal, identity=opened.identity, read_only=True)
        try:
            pack, _ = published_pack(opened, journal)
            card = fit_model(opened, journal, pack, settings, parse_duration(maturity, "--maturity")).card
        finally:
            journal.close()
    said = f"{card.kind} on {card.campaigns} groups, {card.abusive} of them abusive"
    out.print(f"{said}: out-of-fold AUC {card.auc:.3f}, log loss {card.log_loss:.3f}", markup=False, soft_wrap=True)
    hint = "delete it to go back to the unsupervised score"
    out.print(f"kept in {model_path(opened)}; {hint}", markup=False, soft_wrap=True)


@app.command("list")
def list_(
    home: Path = typer.Argument(Path("shoal-data"), metavar="[DIR]", help="The deployment's folder."),
    least: float = typer.Option(0.0, "--least", min=0, max=1, help="Only those that score at least this."),
    as_json: bool = typer.Option(False, "--json", help="One JSON document instead."),
) -> None:
    """The campaigns in force, the most probable first."""
    from shoal.cli.show import moment, out

    _, told = _told(home)
    campaigns = [one for one in told.campaigns if one.score >= least] if told else []
    if as_json:
        typer.echo(json.dumps([_brief(one) for one in campaigns], indent=2))
        return
    if told is None:
        out.print("no campaigns were published here; find some with: shoal campaigns run", markup=False)
        return
    out.print(f"{len(campaigns)} campaigns, published by record {told.seq:,} at {moment(told.as_of)}", markup=False)
    _table(campaigns)


@app.command("show")
def show(
    campaign: str = _CAMPAIGN,
    home: Path = _HOME,
    html: Path = typer.Option(None, "--html", help="Draw its page, with the picture, into this file."),
    members: int = typer.Option(20, "--members", min=0, help="How many members to show."),
    as_json: bool = typer.Option(False, "--json", help="One JSON document instead."),
) -> None:
    """A campaign: evidence, members, what they share, and who may be innocent."""
    from shoal.cli.campaigns_shown import print_campaign
    from shoal.cli.show import out
    from shoal.reports.campaign import write_campaign
    from shoal.runtime.coordination.story import plain

    one, seen, page = _read(home, campaign)
    if html is not None:
        write_campaign(html, page)
    if as_json:
        typer.echo(json.dumps(plain(one, seen), indent=2))
        return
    print_campaign(page, members)
    if html is not None:
        out.print(f"\nthe page: {html}", markup=False, soft_wrap=True)


@app.command("explain")
def explain(
    account: str = typer.Argument(..., metavar="ACCOUNT", help="The account's name, as events have it."),
    home: Path = _HOME,
    as_json: bool = typer.Option(False, "--json", help="One JSON document instead."),
) -> None:
    """Why an account is said to belong to a campaign: what it shares, with whom, and what speaks against it."""
    from shoal.cli.campaigns_shown import print_account
    from shoal.cli.show import out

    opened, told = _told(home)
    wanted = opened.identity.id_of(account)
    campaigns = told.campaigns if told else ()
    mine = [one for one in campaigns for member in one.members if member.account == wanted]
    if not mine:
        if as_json:
            typer.echo(json.dumps({"account": account, "campaign": None}))
        else:
            out.print(f"{account} belongs to no published campaign", markup=False, soft_wrap=True)
        raise typer.Exit(1)
    one, seen, page = _read(home, mine[0].id)
    row = next(row for row in page.members if row.name == account or row.name == seen.name(wanted))
    if as_json:
        shared = [page.things[at].__dict__ for at in row.things]
        typer.echo(json.dumps({"account": account, "campaign": one.id, "belief": row.belief, "hard": row.hard,
                               "score": one.score, "shared": shared}, indent=2))  # fmt: skip
        return
    print_account(page, row, account)


@app.command("export")
def export(
    out: Path = typer.Argument(..., metavar="FILE", help="Where to write: .csv, .json, or .parquet."),
    home: Path = _HOME,
    campaign: list[str] = typer.Option([], "--campaign", "-c", help="Only these. Default: all."),
    least: float = typer.Option(0.0, "--belief", min=0, max=1, help="Only members that belong with at least this."),
) -> None:
    """The members of campaigns by name, one row each, for review or enforcement elsewhere."""
    from shoal.cli.show import out as console
    from shoal.runtime.coordination.exported import SUFFIXES, members_table, write_table
    from shoal.runtime.coordination.published import chosen

    opened, told = _told(home)
    listed = [chosen(told, name) for name in campaign] if campaign else list(told.campaigns if told else ())
    if out.suffix not in SUFFIXES:
        raise typer.BadParameter(f"{out.name}: the ending must be one of {', '.join(SUFFIXES)}")
    table = members_table(opened, listed, least)
    write_table(table, out)
    console.print(f"{table.num_rows:,} members of {len(listed)} campaigns: {out}", markup=False, soft_wrap=True)


def _told(folder: Path) -> tuple[Home, Told | None]:
    """The deployment and its newest campaigns."""
    from shoal.runtime.coordination.published import newest
    from shoal.runtime.home import open_home
    from shoal.storage.journal import Journal

    opened = open_home(folder, create=False)
    journal = Journal.open(opened.journal, identity=opened.identity, read_only=True)
    try:
        return opened, newest(opened, journal)
    finally:
        journal.close()


def _read(folder: Path, name: str) -> tuple[Campaign, Seen, Any]:
    """A campaign with the names of its members, and its page."""
    from shoal.cli.show import progress_bars
    from shoal.runtime.coordination.published import chosen
    from shoal.runtime.coordination.story import read_pages

    opened, told = _told(folder)
    one = chosen(told, name)
    with progress_bars() as progress:
        progress.stage("reading its members' events")
        seen, (page,) = read_pages(opened, [one], moved=progress.moved)
    return one, seen, page


def _brief(one: Campaign) -> dict[str, Any]:
    return {
        "id": one.id, "members": one.size, "score": one.score, "low": one.low, "high": one.high,
        "expected_innocents": one.expected_innocents, "first": one.first, "last": one.last,
        "evidence": list(one.evidence), "merged_from": list(one.merged_from),
    }  # fmt: skip


def _table(campaigns: list[Campaign]) -> None:
    from rich.table import Table

    from shoal.cli.show import moment, out

    table = Table(box=None, pad_edge=False)
    table.add_column("campaign", no_wrap=True)
    for name in ("members", "score", "innocents"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("last seen", no_wrap=True)
    table.add_column("why", overflow="fold")
    for one in campaigns:
        why = one.evidence[0] if one.evidence else ""
        table.add_row(one.id, f"{one.size:,}", f"{one.score:.0%}", f"{one.expected_innocents:.1f}",
                      moment(one.last)[:16], why)  # fmt: skip
    if campaigns:
        out.print(table)


def _run_json(found: Run) -> dict[str, Any]:
    return {
        "campaigns": [_brief(one) for one in found.campaigns],
        "born": list(found.born), "retired": list(found.retired), "merged": [list(pair) for pair in found.merged],
        "records": found.records, "touched": found.touched, "accounts": found.graph.accounts, "seq": found.seq,
        "costs": [{"stage": one.stage, "cpu_s": one.cpu_s, "wall_s": one.wall_s} for one in found.costs],
    }  # fmt: skip


def _print_run(found: Run) -> None:
    from shoal.cli.show import out

    known = len(found.campaigns) - len(found.born)
    said = f"{len(found.campaigns)} campaigns: {len(found.born)} new, {known} known before"
    if found.retired:
        said += f"; {len(found.retired)} over"
    if found.merged:
        said += f"; {len(found.merged)} grown into another"
    out.print(said, markup=False)
    _table(list(found.campaigns))
    cost = ", ".join(f"{one.stage} {one.cpu_s:.1f} s" for one in found.costs)
    total = sum(one.cpu_s for one in found.costs)
    out.print(
        f"\n{found.records:,} new records, {found.touched:,} of {found.graph.accounts:,} accounts clustered anew; "
        f"{total:.1f} s of CPU: {cost}", markup=False, soft_wrap=True,
    )  # fmt: skip
    if found.seq is None:
        out.print("nothing was published (--dry-run)", markup=False)
    else:
        out.print(f"published by record {found.seq:,}; look at one with: shoal campaigns show CAMPAIGN", markup=False)
