"""The relations of a file-sharing service: what ties accounts together where a team has not said it otherwise.

The attributes that they read are those of the documented events (`docs/events.md`): a pack declares them, and they
stand as columns in the tables that a builder reads. The same ties stand in the built-in pack, which a team edits; a
test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping

from shoal.coordination.relations import Relation, Role, Strength
from shoal.events.schema import BY_NAME, Kind

ATTRIBUTES: Mapping[str, Kind] = {
    "payment_hash": Kind.TEXT,
    "phone_hash": Kind.TEXT,
    "recovery_hash": Kind.TEXT,
    "invited_by": Kind.TEXT,
    "device_attested": Kind.BOOL,
    "email_shape": Kind.TEXT,
}
"""Attributes that the default relations read, by column; the path in `attributes` has the column's name."""


def default_relations() -> tuple[Relation, ...]:
    """Hard ones first. Folder trees and sets of downloaders are made elsewhere and joined with `with_edges`."""
    hard, target = Strength.HARD, Role.TARGET
    signup = "type = 'account.created'"
    return (
        Relation("payment", ("payment_hash",), "type = 'payment.added'", strength=hard, words="pay with the same card"),
        Relation("phone", ("phone_hash",), "type = 'phone.verified'", strength=hard,
                 words="verified the same telephone number"),
        Relation("recovery", ("recovery_hash",), "type = 'recovery.changed'", strength=hard,
                 words="can be recovered through the same address"),
        Relation("attested_device", ("device",), "device_attested", strength=hard,
                 words="were used on the same attested device"),
        Relation("device", ("device",), words="were used on the same device"),
        Relation("inviter", ("invited_by",), signup, words="were invited by the same account"),
        Relation("ip", ("ip",), words="came from the same address"),
        Relation("network", ("network",), words="came from the same network"),
        Relation("asn_client", ("asn", "user_agent"), words="use the same client in the same provider's network"),
        Relation("email_shape", ("domain", "email_shape"), signup,
                 words="signed up with addresses of one pattern at one domain"),
        Relation("file_content", ("file_sha256",), "type = 'file.uploaded'", role=target,
                 words="uploaded the same content"),
        Relation("link", ("link",), "type IN ('link.visited', 'link.downloaded')", role=target,
                 words="opened the same link"),
    )  # fmt: skip


def default_columns() -> dict[str, Kind]:
    """Event columns and the attributes above, with their kinds: a layout that the default relations compile for."""
    return {name: spec.kind for name, spec in BY_NAME.items()} | dict(ATTRIBUTES)
