"""`shoal pack new | fmt | diff | docs`: packs written, laid out, compared and shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from shoal.cli.pack_shown import FOUND_PROBLEMS, PACK, print_json

if TYPE_CHECKING:
    from shoal.packs.review.diff import PackDiff


def new(
    name: str = typer.Argument(..., metavar="NAME", help="The pack's name; its folder is made here."),
    copy_of: str = typer.Option("", "--from", metavar="PACK", help="Copy this pack under the new name."),
    extends: str = typer.Option("", "--extends", metavar="PACK", help="Build on this pack: a name or a path."),
    folder: Path = typer.Option(None, "--in", help="Make the folder in this one. Default: here."),
) -> None:
    """Make a small, commented pack that passes `check` and `test`."""
    from shoal.errors import InvalidInput, Problem, Where
    from shoal.packs.load import load_pack
    from shoal.packs.starter import check_name, child_files, copy_files, starter_files, write_files

    if copy_of and extends:
        raise typer.BadParameter("either --from or --extends")
    check_name(name)
    target = (folder or Path()) / name
    if copy_of:
        copied = load_pack(copy_of).sources[0]
        for reference, _ in copied.extends:
            if reference.startswith("."):
                message, hint = f"{copied.name} builds on {reference!r}, a folder beside it", "use --extends"
                raise InvalidInput(Problem("pack.path_parent", message, Where(copied.shown), hint=hint))
        files = copy_files(name, copied.folder)
    elif extends:
        parent = load_pack(extends)
        threat = next(iter(parent.policy.threats), "")
        files = child_files(name, _reference(extends, target), parent.name, threat)
    else:
        files = starter_files(name)
    write_files(target, files)
    made = load_pack(target)
    typer.echo(f"{target}: {made.name} {made.version}, {len(made.rules)} rules, {len(made.tests)} tests")
    typer.echo(f"next: shoal pack test {target}")


def _reference(given: str, target: Path) -> str:
    """How a new pack names its parent: by name, or by the path from its own folder."""
    import os

    from shoal.packs.find import builtin_packs

    if given in builtin_packs() or not (Path(given) / "pack.yaml").is_file():
        return given
    path = Path(os.path.relpath(Path(given).resolve(), target.absolute().parent.resolve() / target.name)).as_posix()
    return path if path.startswith("../") else f"./{path}"


def diff(
    old: str = typer.Argument(..., metavar="OLD", help="A pack's folder or name."),
    new: str = typer.Argument(..., metavar="NEW", help="A pack's folder or name."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document instead."),
) -> None:
    """Show what differs in what two packs mean (exit code 0: nothing, 1: something)."""
    from shoal.packs.load import load_pack
    from shoal.packs.review.diff import as_plain, diff_packs

    found = diff_packs(load_pack(old), load_pack(new))
    if as_json:
        print_json(as_plain(found))
    else:
        _print_diff(found)
    if found.changes:
        raise typer.Exit(FOUND_PROBLEMS)


_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


def _print_diff(found: PackDiff) -> None:
    from rich.text import Text

    from shoal.cli.show import out

    if not found.changes:
        out.print("no difference")
        return
    section = ""
    for change in found.changes:
        if change.section != section:
            section = change.section
            out.print(Text(section, style="bold"))
        sign, style = _SIGNS[change.kind]
        note = f"  ({change.note})" if change.note else ""
        out.print(Text(f"  {sign} {change.id}", style=style) + Text(note, style="dim"))
        for name, before, after in change.fields:
            out.print(Text(f"      {name}"), soft_wrap=True)
            for mark, text, hue in (("-", before, "red"), ("+", after, "green")):
                if text:
                    out.print(Text(f"        {mark} {text}", style=hue), soft_wrap=True)
    counts = {kind: sum(change.kind == kind for change in found.changes) for kind in _SIGNS}
    out.print(", ".join(f"{number} {kind}" for kind, number in counts.items()))
    alike = "both decide alike" if found.decides_alike else f"decisions may differ: {found.old.hash} → {found.new.hash}"
    out.print(alike)
    if found.partial or found.dropped:
        out.print(
            f"state: {len(found.kept)} features keep theirs, {len(found.partial)} begin partial, "
            f"{len(found.dropped)} are dropped"
        )


def docs(
    pack: str = PACK,
    html: Path = typer.Option(..., "--html", help="The page to write."),
    rate: float = typer.Option(1_000.0, "--rate", min=0.001, help="Events a second that the costs are reckoned with."),
    keys: int = typer.Option(1_000_000, "--keys", min=1, help="Live keys of a kind that the costs are reckoned with."),
) -> None:
    """Write a pack's catalogue as one HTML page: every rule's story, what it reads, what is done, and its tests."""
    from shoal.clock import SystemClock
    from shoal.packs.cost import Load
    from shoal.packs.load import load_pack
    from shoal.reports.catalogue import write_catalogue

    read = load_pack(pack)
    written = write_catalogue(html, read, Load(rate, keys), SystemClock().now_us())
    typer.echo(f"the catalogue of {read.name} {read.version}: {written}")


def fmt(
    packs: list[Path] = typer.Argument(..., metavar="PATH…", help="Folders of packs, or files of them."),
    check: bool = typer.Option(False, "--check", help="Write nothing; exit code 1 if a file would change."),
    diff: bool = typer.Option(False, "--diff", help="Show what would change; write nothing."),
) -> None:
    """Lay out the YAML files of packs in the one canonical way; comments and meaning stay."""
    import sys

    from shoal.cli.pack_shown import show_problems
    from shoal.packs.layout.files import format_files

    changed, problems = format_files(packs, write=not (check or diff))
    show_problems(problems)
    for one in changed:
        if diff:
            sys.stdout.write(one.diff())
        else:
            typer.echo(f"{'would change' if check else 'laid out'} {one.path}")
    if not diff:
        typer.echo(f"{len(changed)} file{'s' * (len(changed) != 1)} {'to change' if check else 'changed'}")
    if problems or (changed and check):
        raise typer.Exit(FOUND_PROBLEMS)
