"""Database errors as ours. Values are never shown, they may be personal; nor is a password.

SQLite's errors are told apart by their class, PostgreSQL's by their SQLSTATE (its manual, appendix A), of which the
first two characters are the class. Owns no state.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from shoal.errors import Corrupt, InvalidInput, Permanent, Problem, ShoalError, Temporary

_PASSES = ("08", "40", "53", "55", "57", "58")
"""Connection lost, rolled back by the server, out of resources, in use, operator's intervention, system error."""
_DAMAGED = ("XX", "42")
"""Corrupt data or index, or the tables are not those that the schema's version promises."""
_REFUSED = ("28", "3D", "3F")
"""Log-in refused; no such database or schema."""
_NO_RIGHT = "42501"


@contextmanager
def told_as_ours(where: str) -> Iterator[None]:
    """Raise what the database says as `Temporary`, `Permanent`, `InvalidInput` or `Corrupt`, saying `where`."""
    try:
        yield
    except DBAPIError as error:
        raise _ours(where, error) from None
    except UnicodeEncodeError:
        message = "a text holds half a surrogate pair, which no database stores"
        raise InvalidInput(Problem("store.text", f"{where}: {message}")) from None


def _ours(where: str, error: DBAPIError) -> ShoalError:
    cause = error.orig
    state = getattr(cause, "sqlstate", None)
    message = f"{where}: {_message(cause)}"
    if isinstance(error, IntegrityError):
        return Permanent(f"{where}: an entry is there already, or lacks a value: {_message(cause)}")
    if state is None or error.connection_invalidated:
        return Temporary(message) if isinstance(error, OperationalError) else Corrupt(message)
    if state == _NO_RIGHT or state[:2] in _REFUSED:
        return InvalidInput(Problem("store.refused", message, hint="the store's user must own its database or schema"))
    if state[:2] in _PASSES:
        return Temporary(message)
    return Corrupt(message) if state[:2] in _DAMAGED else Permanent(message)


def _message(cause: BaseException | None) -> str:
    """What the driver says, without the DETAIL in which PostgreSQL repeats values."""
    diagnosis = getattr(cause, "diag", None)
    return str(getattr(diagnosis, "message_primary", None) or cause).strip()
