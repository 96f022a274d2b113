"""What each action does to the world, as data. A new action is a row here and a word in `catalogue.ACTIONS`.

Effects: `ask` the next use of the account, session or device must pass a challenge; `end` sessions begun before it are
over; `limit` only so many events a minute pass; `stop` events of these types do not happen; `tell` the owner may come
and take the account back; `undo` harm of these types already done is mended; `note` nothing in the world changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from shoal.simulate.catalogue import TYPE

ACTIONS_SCHEMA = pa.schema(
    [
        ("subject_type", pa.string()),  # account, session, device, ip, network, link, file, content, …
        ("subject", pa.string()),  # as events have it
        ("action", pa.string()),  # a key of SEMANTICS
        ("as_of", pa.int64()),  # µs UTC: of the decision; the effect comes `reactions.delay_s` later
        ("until", pa.int64()),  # µs UTC: end of the lease
    ]
)
"""What `ReactiveWorld.act` takes."""


@dataclass(frozen=True)
class Semantics:
    """What one action does. `types`: the event types that a `stop` prevents or an `undo` mends; empty: all."""

    effect: str
    types: frozenset[int] = frozenset()


def _types(*names: str) -> frozenset[int]:
    return frozenset(TYPE[name] for name in names)


_SHARING = ("link.created", "folder.shared", "invite.sent")
SEMANTICS: Mapping[str, Semantics] = {
    "step_up": Semantics("ask"),
    "challenge": Semantics("ask"),
    "revoke_sessions": Semantics("end"),
    "revoke_credential": Semantics("end"),
    "rate_limit": Semantics("limit"),
    "stop_link": Semantics("stop", _types("link.visited", "link.downloaded")),
    "stop_sharing": Semantics("stop", _types(*_SHARING)),
    "quarantine_file": Semantics("stop", _types("file.downloaded", "link.downloaded")),
    "read_only": Semantics("stop", _types("file.uploaded", "file.modified", "file.renamed", "file.deleted", *_SHARING)),
    "suspend": Semantics("stop"),
    "notify_owner": Semantics("tell"),
    "revert_contact": Semantics("undo", _types("email.changed", "password.changed")),
    "revert_mfa": Semantics("undo", _types("mfa.enrolled", "mfa.removed")),
    "revoke_apps": Semantics("undo", _types("app.authorized")),
    "restore_files": Semantics("undo", _types("file.modified", "file.renamed", "file.deleted")),
    "review": Semantics("note"),
    "watch": Semantics("note"),
}
HELD = ("ask", "end", "limit", "stop")
"""Effects that last, and are looked up for each event."""
KINDS = ("account", "session", "device", "ip", "network", "link", "file", "content")
"""Subject types on which something can be held; actions on others change nothing here."""
