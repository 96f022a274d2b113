"""The one way to import an optional part.

Heavy parts are extras of the distribution. `require` imports one or raises `MissingExtra` naming the command that
installs it.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from shoal.errors import MissingExtra

EXTRAS: dict[str, tuple[str, ...]] = {
    "gnn": ("torch", "torch_geometric"),
    "postgres": ("psycopg",),
    "spark": ("pyspark",),
}
"""Extra → the modules it brings; `shoal doctor` lists them."""


def require(module: str, extra: str) -> ModuleType:
    """Import `module`; raises `MissingExtra` with the install command when it is absent."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(f"{module} is needed here; install it with: pip install 'shoal[{extra}]'") from error


def installed() -> dict[str, bool]:
    """Extra → whether all its modules can be found (without importing them)."""
    return {extra: all(map(_found, modules)) for extra, modules in EXTRAS.items()}


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that a dotted name stands in is absent itself
        return False
