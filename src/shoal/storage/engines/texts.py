"""Texts as PostgreSQL can hold them, and columns of such texts.

PostgreSQL refuses U+0000 in a text, and one hostile file name or account name with it would stop the whole pipeline at
that batch for ever. There, U+0000 is stored as U+0010 `@` and U+0010 as U+0010 `P` (the names that terminals give
them: ^@ and ^P); readers get the text back. SQLite stores texts as they are. Owns no state.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

_BACK = {"\x10@": "\x00", "\x10P": "\x10"}
_ESCAPED = re.compile("\x10[@P]")


def escape(text: str) -> str:
    r"""The text without U+0000, one to one.

    >>> escape("a\x00b\x10")
    'a\x10@b\x10P'
    """
    if "\x00" in text or "\x10" in text:
        return text.replace("\x10", "\x10P").replace("\x00", "\x10@")
    return text


def unescape(text: str) -> str:
    """What `escape` was given."""
    return _ESCAPED.sub(lambda found: _BACK[found[0]], text) if "\x10" in text else text


def _binds(value: Any) -> Any:
    return escape(value) if isinstance(value, str) else value


def _reads(value: Any) -> Any:
    return unescape(value) if isinstance(value, str) else value


class StoredText(sa.types.TypeDecorator[str]):
    """A text of any length. On PostgreSQL escaped, and in the order of its code points whatever the locale says."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Order by code point, as SQLite does: a ledger must not depend on the server's locale."""
        return dialect.type_descriptor(sa.Text(collation="C") if dialect.name == "postgresql" else sa.Text())

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], Any] | None:
        """How a value is sent."""
        return _binds if dialect.name == "postgresql" else None

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], Any] | None:  # noqa: ARG002
        """How a value is read."""
        return _reads if dialect.name == "postgresql" else None
