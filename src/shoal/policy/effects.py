"""What an action stops: for a planned action on a subject, which later events would not have happened.

Used to judge a policy on history, where an action was never taken: the events of the lease that it would have stopped
are counted, nothing else is imagined (whether the adversary would have come back another way is for the closed loop
on the simulator). Actions that only ask, tell or record stop nothing here. Pure data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Effect:
    """Events whose `columns` name the subject are stopped, if their type is in `types` (empty: every type) and not
    before the action."""

    columns: tuple[str, ...]
    types: frozenset[str] = frozenset()


_CHANGES = frozenset({"file.uploaded", "file.modified", "file.renamed", "file.deleted"})
_SHARES = frozenset({"link.created", "folder.shared", "invite.sent"})
_SERVED = frozenset({"link.visited", "link.downloaded"})

EFFECTS: Mapping[tuple[str, str], Effect] = {
    ("suspend", "account"): Effect(("actor",)),
    ("read_only", "account"): Effect(("actor",), _CHANGES | _SHARES),
    ("stop_sharing", "account"): Effect(("actor",), _SHARES),
    ("stop_link", "link"): Effect(("link",), _SERVED),
    ("quarantine_file", "file"): Effect(("file",), frozenset({"file.downloaded", "link.downloaded"})),
    ("quarantine_file", "content"): Effect(("file_sha256",), frozenset({"file.downloaded", "link.downloaded"})),
    ("revoke_sessions", "session"): Effect(("session",)),
    ("revoke_credential", "credential"): Effect(("credential",)),
    ("revoke_apps", "app"): Effect(("app",)),
}
"""By (action, kind of subject). `revoke_sessions` on an account stops the session of the causing event; see
`causing_session`."""


def causing_session(action: str, kind: str) -> bool:
    """Whether the action ends the session in which its cause lies."""
    return action == "revoke_sessions" and kind == "account"
