"""What of a sign-up can speak for one hand: its fields, and which of them say the same thing.

A `Field` is a column of the sign-up table. Fields of one `family` say the same thing more or less exactly (an address,
its network, its AS), so a pair is credited with the finest one that it shares and never twice. Pure declarations.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """One column of the sign-up table.

    `family`: fields that say the same; empty: context only, never evidence. `level`: 0 is the finest of the family.
    `attribute`: stands in `attributes` (of the sign-up, or of the account's later events `event`).
    `shown`: its texts name nobody and may be told in words. `hard`: an honest stranger cannot share it by chance.
    """

    name: str
    family: str = ""
    level: int = 0
    attribute: bool = False
    event: str = ""
    shown: bool = False
    hard: bool = False


FIELDS: tuple[Field, ...] = (
    Field("payment_hash", "payment", attribute=True, event="payment.added", hard=True),
    Field("phone_hash", "phone", attribute=True, event="phone.verified", hard=True),
    Field("recovery_hash", "recovery", attribute=True, event="recovery.changed", hard=True),
    Field("invited_by", "inviter", attribute=True),
    Field("ip", "network", 0),
    Field("network", "network", 1),
    Field("asn", "network", 2, shown=True),
    Field("device", "client", 0),
    Field("user_agent", "client", 1, shown=True),
    Field("domain", "domain", shown=True),
    Field("email_shape", "email", 0, attribute=True, shown=True),
    Field("email_form", "email", 1, shown=True),
    Field("name_shape", "name", 0, attribute=True, shown=True),
    Field("name_form", "name", 1, shown=True),
    Field("language", "language", attribute=True, shown=True),
    Field("country", shown=True),
    Field("network_kind", shown=True),
    Field("method", shown=True),
    Field("client", shown=True),
    Field("org"),
)
"""Every field, the means that cost money or a person first. `country`, `network_kind`, `method`, `client` and `org` are
context: what is usual is asked among sign-ups of the same context. A form is a shape with its runs of letters drawn
together (`aaa.aa9999` → `a.a9999`): what a template fixes, where a shape still tells how long the names are."""

BY_NAME = {field.name: field for field in FIELDS}
FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(field.family for field in FIELDS if field.family))
MEANS = frozenset({"payment", "phone", "recovery", "inviter"})
"""What somebody else may have brought along: a reseller, a parent or a friend pays, answers and invites. They say one
thing together, and alone they make no template."""
HARD = frozenset(field.family for field in FIELDS if field.hard)
