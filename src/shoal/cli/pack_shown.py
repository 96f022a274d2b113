"""What the verbs of `shoal pack` share: a pack read with its problems shown, and problems as plain data for CI."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.errors import Problem
    from shoal.packs.pack import Pack

PACK = typer.Argument(..., metavar="PACK", help="A pack's folder, or the name of one that ships or is installed.")
FOUND_PROBLEMS = 1
"""Exit code where problems were found, a test failed or packs differ; misuse is 2."""


def as_plain(problem: Problem) -> dict[str, Any]:
    """A problem as plain data."""
    return {
        "slug": problem.slug,
        "message": problem.message,
        "file": problem.where.file,
        "line": problem.where.line,
        "path": problem.where.path,
        "allowed": problem.allowed,
        "nearest": problem.nearest,
        "hint": problem.hint,
    }


def print_json(value: dict[str, Any]) -> None:
    """One JSON document on standard output."""
    import orjson

    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def read_pack(source: str) -> tuple[Pack | None, Sequence[Problem]]:
    """The pack, or its problems. A pack that is not there is misuse: it raises."""
    from shoal.errors import InvalidInput
    from shoal.packs.find import find_pack
    from shoal.packs.load import load_pack

    find_pack(source)
    try:
        return load_pack(source), ()
    except InvalidInput as error:
        return None, error.problems


def show_problems(problems: Sequence[Problem], word: str = "error") -> None:
    """Problems on standard error, one a line."""
    for problem in problems:
        print(f"{word}: {problem}", file=sys.stderr)
