"""`shoal learn`: fit a detector on a deployment's own history, look at it, publish it, watch it.

A model is a folder: `model.txt` (trees), `model.json` (what it is), `card.html`, `card.md` and `card.json` (what it was
measured to do). Nothing decides with it before `publish` makes it a record of the journal.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from shoal.runtime.learning.frames import Gathered
    from shoal.runtime.learning.tables import PublishedTable
    from shoal.runtime.run import Progress

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
_HOME = typer.Option(Path("shoal-data"), "--home", "-h", help="The deployment's folder.")
_PACK = typer.Option("", "--pack", "-p", help="A pack's folder or name. Default: the one in force.")
_LABELS = typer.Option(None, "--labels", help="Labels beside those in the journal: Parquet or NDJSON.")
_LOGGED = typer.Option(
    False, "--logged", help="From the vectors that decisions stored (a weighted sample of what was allowed); no replay."
)
_FROM = typer.Option("", "--from", help="Rows from this time on (ISO 8601).")
_UNTIL = typer.Option("", "--until", help="Rows and labels up to this time. Default: the journal's last event.")


@app.command("fit")
def fit(
    detector: str = typer.Argument(..., metavar="DETECTOR", help="A fitted detector of the pack (models/*.yaml)."),
    out: Path = typer.Option(..., "--out", "-o", help="A new folder for the model and its card."),
    home: Path = _HOME,
    pack: str = _PACK,
    labels: Path = _LABELS,
    start: str = _FROM,
    until: str = _UNTIL,
    logged: bool = _LOGGED,
    maturity: str = typer.Option(
        "", "--maturity", help="Unlabelled rows younger than this say nothing. Default: from the labels' delays."
    ),
    share: float = typer.Option(1.0, "--share", help="Of subjects without labels keep this share, with weights."),
    trials: int = typer.Option(12, "--trials", min=1, max=200, help="How many settings of the trees to try."),
    seed: int = typer.Option(0, "--seed", help="The same seed and journal give the same model, to the byte."),
    unlabelled_positive: bool = typer.Option(
        False, "--pu", help="Correct for abuse that nobody reported (positive-unlabelled learning)."
    ),
    assured: bool = typer.Option(
        False, "--assured", help="Keep the upper end of the honest rate's interval within the budgets, not the rate."
    ),
) -> None:
    """Fit a detector on history: replay, label, split by time and account, search, calibrate, judge."""
    from shoal.cli.judging import parse_duration
    from shoal.cli.learn_shown import print_evaluation
    from shoal.cli.show import err, progress_bars
    from shoal.cli.show import out as console
    from shoal.clock import SystemClock
    from shoal.learn.fitting.fit import fit as fitted_on
    from shoal.learn.fitting.settings import FitSettings
    from shoal.runtime.learning.folder import write_model_folder

    settings = FitSettings(
        seed=seed,
        trials=trials,
        unlabelled="weighted" if unlabelled_positive else "negative",
        assured=assured,
        maturity_us=parse_duration(maturity, "--maturity") if maturity else None,
    )
    _check_new(out)
    with progress_bars() as progress:
        found = _gather(progress, home, [detector], pack, labels, start, until, share, logged)
        progress.stage("fitting")
        made_at = _iso(SystemClock().now_us())
        result = fitted_on(found.frames[detector], found.labels, until_us=found.last_us, made_at=made_at,
                           settings=settings)  # fmt: skip
    for note in result.notes:
        err.print(f"note: {note}", markup=False)
    write_model_folder(out, result.files, result.card)
    print_evaluation(result.evaluation)
    console.print(f"\nthe model and its card: {out}; to decide with it: shoal learn publish {out} --home {home}",
                  markup=False, soft_wrap=True)  # fmt: skip


@app.command("frame")
def frame(
    detector: str = typer.Argument(..., metavar="DETECTOR", help="A fitted detector of the pack."),
    out: Path = typer.Option(..., "--out", "-o", help="The Parquet file to write."),
    home: Path = _HOME,
    pack: str = _PACK,
    start: str = _FROM,
    until: str = _UNTIL,
    share: float = typer.Option(1.0, "--share", help="Of subjects without labels keep this share, with weights."),
    logged: bool = _LOGGED,
) -> None:
    """Write the training frame of a detector as Parquet, for a notebook."""
    from shoal.cli.show import out as console
    from shoal.cli.show import progress_bars

    with progress_bars() as progress:
        found = _gather(progress, home, [detector], pack, None, start, until, share, logged).frames[detector]
    found.to_parquet(out)
    console.print(f"{len(found):,} rows with {len(found.inputs)} inputs: {out}", markup=False)


@app.command("evaluate")
def evaluate(
    model: Path = typer.Argument(..., metavar="MODEL", help="A model's folder."),
    home: Path = _HOME,
    labels: Path = _LABELS,
    start: str = _FROM,
    until: str = _UNTIL,
) -> None:
    """Judge a model on history: ranking, recall at its levels, slices, beside trivial baselines."""
    from shoal.cli.learn_shown import print_evaluation
    from shoal.cli.show import progress_bars
    from shoal.learn.evaluation.evaluate import evaluate as judge

    read = _model(model)
    with progress_bars() as progress:
        found = _gather(progress, home, [read.metadata.name], "", labels, start, until, 1.0)
        progress.stage("judging")
        result = judge(read, found.frames[read.metadata.name], found.labels, until_us=found.last_us)
    print_evaluation(result)


@app.command("compare")
def compare(
    first: Path = typer.Argument(..., metavar="MODEL", help="A model's folder."),
    second: Path = typer.Argument(..., metavar="OTHER", help="Another model of the same detector."),
    home: Path = _HOME,
    labels: Path = _LABELS,
    start: str = _FROM,
    until: str = _UNTIL,
) -> None:
    """Compare two models of one detector on the same rows, with a paired bootstrap over subjects."""
    from shoal.cli.learn_shown import print_comparison
    from shoal.cli.show import progress_bars
    from shoal.errors import InvalidInput, Problem
    from shoal.learn.evaluation.compare import compare as judge

    one, other = _model(first), _model(second)
    if one.metadata.name != other.metadata.name:
        message = f"one is of {one.metadata.name!r}, the other of {other.metadata.name!r}"
        raise InvalidInput(Problem("learn.compare", message, hint="compare two models of one detector"))
    with progress_bars() as progress:
        found = _gather(progress, home, [one.metadata.name], "", labels, start, until, 1.0)
        progress.stage("judging")
        result = judge(one, other, found.frames[one.metadata.name], found.labels, until_us=found.last_us)
    print_comparison(result)


@app.command("monitor")
def monitor(
    detector: str = typer.Argument(..., metavar="DETECTOR", help="A detector with a model in force."),
    home: Path = _HOME,
    labels: Path = _LABELS,
    start: str = typer.Option("", "--from", help="Rows from this time on. Default: since it was published."),
    until: str = _UNTIL,
) -> None:
    """Watch a model in force: drift of its inputs and score, calibration on matured labels. Exits 1 on an alarm."""
    from shoal.cli.learn_shown import print_drift
    from shoal.cli.show import progress_bars
    from shoal.detectors.models.model import Model
    from shoal.learn.evaluation.monitor import monitor as watch

    told = _in_force(home, detector)
    start = start or _iso(told.as_of)
    with progress_bars() as progress:
        found = _gather(progress, home, [detector], "", labels, start, until, 1.0)
        progress.stage("judging")
        report = watch(Model.read(told.files, detector), found.frames[detector], found.labels, until_us=found.last_us)
    print_drift(report)
    if report.alarms:
        raise typer.Exit(1)


@app.command("card")
def card(
    model: Path = typer.Argument(..., metavar="MODEL", help="A model's folder."),
    markdown: bool = typer.Option(False, "--markdown", help="Print it as Markdown."),
) -> None:
    """Show a model's card again: draws card.html and card.md anew, or prints it."""
    from shoal.cli.show import out as console
    from shoal.errors import InvalidInput, Problem, Where
    from shoal.learn.evaluation.card import decode
    from shoal.reports.card import card_markdown
    from shoal.runtime.learning.folder import write_cards

    path = model / "card.json"
    if not path.is_file():
        raise InvalidInput(Problem("learn.card", "no card here", Where(str(path)), hint="shoal learn fit writes one"))
    found = decode(path.read_bytes())
    if markdown:
        typer.echo(card_markdown(found))
        return
    console.print(f"the card: {write_cards(model, found)}", markup=False, soft_wrap=True)


@app.command("publish")
def publish(
    model: Path = typer.Argument(..., metavar="MODEL", help="A model's folder."),
    home: Path = _HOME,
) -> None:
    """Put a model in force: it is verified against the pack and becomes a record of the journal."""
    from shoal.cli.show import out as console
    from shoal.cli.show import progress_bars
    from shoal.runtime.deployment import open_deployment
    from shoal.runtime.home import open_home
    from shoal.runtime.learning.publish import publish_model

    read = _model(model)
    files = {name: (model / name).read_bytes() for name in ("model.txt", "model.json")}
    with progress_bars() as progress:
        deployment = open_deployment(open_home(home, create=False), progress.stage)
        try:
            made, seq = publish_model(deployment, read.metadata.name, files)
        finally:
            deployment.close()
    console.print(f"{made.metadata.name} ({made.identity}) decides from record {seq + 1:,} on", markup=False)


@app.command("embed")
def embed(
    signal: str = typer.Argument(..., metavar="SIGNAL", help="A signal of kind behaviour_embedding."),
    home: Path = _HOME,
    groups: int = typer.Option(8, "--groups", help="How many kinds of accounts to tell apart."),
    least: float = typer.Option(3.0, "--least", help="Leave out accounts that did less, in events."),
    seed: int = typer.Option(0, "--seed", help="The same seed and journal give the same embedding."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Fit and show; publish nothing."),
) -> None:
    """Fit an embedding of what accounts do, and publish it for a signal: its columns are known from there on."""
    from shoal.cli.show import out as console
    from shoal.cli.show import progress_bars
    from shoal.runtime.deployment import open_deployment
    from shoal.runtime.home import open_home
    from shoal.runtime.learning.embed import embed as embedded

    with progress_bars() as progress:
        deployment = open_deployment(open_home(home, create=False), progress.stage)
        try:
            progress.stage("fitting")
            found = embedded(deployment, signal, groups=groups, least=least, seed=seed, publish=not dry_run)
        finally:
            deployment.close()
    sizes = ", ".join(f"{size:,}" for size in found.sizes)
    console.print(
        f"{found.accounts:,} accounts in groups of {sizes}; {found.spread:.2f} from their centre", markup=False
    )
    if not dry_run:
        console.print(f"{signal} uses it from record {found.record + 1:,} on", markup=False)
    for name in found.out_of_force:
        console.print(f"the model {name} reads it and is out of force: shoal learn fit {name}", markup=False)


@app.command("withdraw")
def withdraw(
    detector: str = typer.Argument(
        ..., metavar="NAME", help="A detector with a model in force, or a signal with tables."
    ),
    home: Path = _HOME,
) -> None:
    """Take a model out of force, or a signal's published tables: its columns are unknown from here on."""
    from shoal.cli.show import out as console
    from shoal.cli.show import progress_bars
    from shoal.runtime.deployment import open_deployment
    from shoal.runtime.home import open_home
    from shoal.runtime.learning.publish import withdraw_model
    from shoal.runtime.learning.tables import withdraw_table

    with progress_bars() as progress:
        deployment = open_deployment(open_home(home, create=False), progress.stage)
        try:
            is_table = detector in deployment.running.signals.tables
            seq = (withdraw_table if is_table else withdraw_model)(deployment, detector)
        finally:
            deployment.close()
    console.print(f"{detector} decides nothing from record {seq + 1:,} on", markup=False)


@app.command("list")
def list_models(home: Path = _HOME) -> None:
    """List the models and the tables of signals that were published, and when."""
    from rich.table import Table

    from shoal.cli.show import moment
    from shoal.cli.show import out as console

    table = Table(box=None, header_style="bold", padding=(0, 1))
    for name in ("record", "as of", "detector", "model", ""):
        table.add_column(name)
    found = _published(home)
    last = {one.name: one.seq for one in found}
    for one in found:
        state = "withdrawn" if not one.files else "in force" if last[one.name] == one.seq else "replaced"
        table.add_row(f"{one.seq:,}", moment(one.as_of), one.name, one.identity or "-", state)
    tables = _published_tables(home)
    ends = {one.tables.signal: one.seq for one in tables if one.tables is not None}
    for other in tables:
        if other.tables is None:
            table.add_row(f"{other.seq:,}", moment(other.as_of), "-", "-", f"damaged: {other.why}")
            continue
        name = other.tables.signal
        state = "withdrawn" if not other.tables.arrays else "last" if ends[name] == other.seq else "replaced"
        table.add_row(f"{other.seq:,}", moment(other.as_of), name, other.tables.sha256[:16], f"tables, {state}")
    console.print(table if found or tables else "no model was published here")


def _gather(
    progress: Progress,
    home: Path,
    names: list[str],
    pack: str,
    labels: Path | None,
    start: str,
    until: str,
    share: float,
    logged: bool = False,
) -> Gathered:
    from shoal.cli.judging import parse_moment, read_label_file
    from shoal.errors import InvalidInput, Problem
    from shoal.packs.load import load_pack
    from shoal.runtime.deployment import find_pack
    from shoal.runtime.home import open_home
    from shoal.runtime.learning.frames import gather

    rows = read_label_file(labels) if labels else []
    first, last = parse_moment(start, "--from"), parse_moment(until, "--until")
    read = load_pack(find_pack(pack)) if pack else None
    opened = open_home(home, create=False)
    if logged:
        from shoal.runtime.learning.logged import gather_logged

        if pack or share != 1.0:
            told = "stored vectors are those of the pack in force, all of them"
            raise InvalidInput(Problem("learn.logged", told, hint="leave --pack and --share away"))
        progress.stage("reading stored vectors")
        return gather_logged(opened, names, from_us=first, until_us=last, labels=rows, moved=progress.moved)
    progress.stage("replaying")
    return gather(opened, names, pack=read, from_us=first, until_us=last, share=share, labels=rows,
                  moved=progress.moved)  # fmt: skip


def _model(folder: Path) -> Any:
    from shoal.detectors.models.model import Model

    return Model.folder(folder)


def _published(home: Path) -> list[Any]:
    from shoal.runtime.home import open_home
    from shoal.runtime.learning.publish import published
    from shoal.storage.journal import Journal

    opened = open_home(home, create=False)
    journal = Journal.open(opened.journal, identity=opened.identity, read_only=True)
    try:
        return list(published(journal))
    finally:
        journal.close()


def _published_tables(home: Path) -> list[PublishedTable]:
    from shoal.runtime.home import open_home
    from shoal.runtime.learning.tables import published_tables
    from shoal.storage.journal import Journal

    opened = open_home(home, create=False)
    journal = Journal.open(opened.journal, identity=opened.identity, read_only=True)
    try:
        return published_tables(journal)
    finally:
        journal.close()


def _in_force(home: Path, detector: str) -> Any:
    from shoal.errors import InvalidInput, Problem, nearest_name

    last = {one.name: one for one in _published(home)}
    found = last.get(detector)
    if found is None or not found.files:
        message = f"no model {detector!r} is in force"
        near = nearest_name(detector, last)
        raise InvalidInput(Problem("model.none", message, nearest=near, hint="see: shoal learn list"))
    return found


def _check_new(folder: Path) -> None:
    from shoal.errors import InvalidInput, Problem, Where

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(
            Problem("learn.folder", "the folder is not empty", Where(str(folder)), hint="name a new one")
        )


def _iso(time_us: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
