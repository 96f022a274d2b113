"""`shoal pack export | install | installed`: packs as one file."""

from __future__ import annotations

from pathlib import Path

import typer

from shoal.cli.pack_shown import PACK, print_json


def export(
    pack: str = PACK,
    file: Path = typer.Argument(..., metavar="FILE", help="The file to write: NAME.shoalpack."),
) -> None:
    """Write a sound pack to one file, the same bytes on every machine, and show its SHA-256."""
    from shoal.packs.sharing.installing import export_pack

    bundle, sha256 = export_pack(pack, file)
    typer.echo(f"{sha256}  {file}")
    typer.echo(f"{bundle.name} {bundle.version} ({bundle.hash}), {len(bundle.files)} files")
    for parent in bundle.parents:
        typer.echo(f"it needs {parent.reference}; here that is {parent.version} ({parent.hash})")


def install(
    file: Path = typer.Argument(..., metavar="FILE", help="A pack file."),
    into: Path = typer.Option(None, "--into", help="Install here. Default: $SHOAL_PACKS, or the user's data folder."),
    sha256: str = typer.Option("", "--sha256", help="Refuse the file unless this is its SHA-256."),
    replace: bool = typer.Option(False, "--replace", help="Replace other content of the same name and version."),
) -> None:
    """Check a pack file and install it, so that it is found by its name."""
    from shoal.packs.sharing.installing import install_pack

    found = install_pack(file, into, sha256=sha256, replace=replace)
    manifest = found.manifest
    what = f"{manifest['name']} {manifest['pack_version']} ({manifest['hash']})"
    typer.echo(f"{'installed' if found.fresh else 'already installed'} {what} in {found.folder}")


def installed(
    into: Path = typer.Option(None, "--into", help="Look here. Default: $SHOAL_PACKS, or the user's data folder."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document instead."),
) -> None:
    """Show the installed packs, the highest version of each first."""
    from shoal.packs.find import packs_home
    from shoal.packs.sharing.installing import list_installed

    found = list_installed(into)
    if as_json:
        packs = [{"folder": str(one.folder), "manifest": one.manifest} for one in found]
        print_json({"format": "shoal.installed_packs", "version": 1, "packs": packs})
        return
    for one in found:
        parents = ", ".join(parent["reference"] for parent in one.manifest.get("parents", ()))
        over = f", over {parents}" if parents else ""
        name, version = one.folder.parent.name, one.folder.name
        typer.echo(f"{name} {version} ({one.manifest.get('hash', 'no manifest')}{over}) in {one.folder}")
    if not found:
        typer.echo(f"no pack is installed in {into or packs_home()}")
