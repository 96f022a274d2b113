"""The event table: its columns, their kinds and their meaning. Version 1.

An event table is a `pyarrow.Table` whose columns are a subset of `EVENT_COLUMNS`, each of the Arrow type of its kind;
**a column that is absent is null in every row**. Texts are `pa.string()`, times int64 microseconds UTC, so that a
batch goes to the kernels without a copy. Readers produce `GIVEN` columns; the writer adds `FACT`, `ENRICHED` and
`STAMP` ones and journals all of them. This module holds no state and knows no format.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

import pyarrow as pa

from shoal.errors import InvalidInput, Problem, nearest_name

SCHEMA_VERSION = 1


class Kind(IntEnum):
    """The kinds of values; the numbers are persisted and used by the kernels."""

    BOOL = 0
    INT = 1
    FLOAT = 2
    TEXT = 3
    TIME = 4

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type in which a column of this kind is held."""
        return _ARROW[self]


_ARROW = {
    Kind.BOOL: pa.bool_(),
    Kind.INT: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.TEXT: pa.string(),
    Kind.TIME: pa.int64(),
}


class Role(Enum):
    """Who fills a column."""

    GIVEN = "given"  # by the source
    FACT = "fact"  # by the writer's join of facts, as of the event
    ENRICHED = "enriched"  # by the writer's enrichment; a value that the source gave stays
    STAMP = "stamp"  # by the writer, once


@dataclass(frozen=True)
class ColumnSpec:
    """One column of the event table. `entity` marks texts that name a person or thing (erasure, keys, explain)."""

    name: str
    kind: Kind
    role: Role
    doc: str
    entity: bool = False


def _columns() -> tuple[ColumnSpec, ...]:
    text, integer, number, moment, boolean = Kind.TEXT, Kind.INT, Kind.FLOAT, Kind.TIME, Kind.BOOL
    given, fact, enriched, stamp = Role.GIVEN, Role.FACT, Role.ENRICHED, Role.STAMP
    spec = ColumnSpec
    return (
        spec("seq", integer, stamp, "place in the journal, from 0, without gaps"),
        spec("as_of", moment, stamp, "time at which the event is evaluated: max(time, largest as_of before)"),
        spec("flags", integer, stamp, "bits of `Flag`: late, behind, clamped, erased"),
        spec("event_id", text, given, "the source's id of the event; else the hash of the record and its occurrence"),
        spec("source", text, given, "name of the source"),
        spec("partition", text, given, "part of the source (file, shard, topic partition)"),
        spec("offset", integer, given, "place in the partition"),
        spec("time", moment, given, "when it happened"),
        spec("received", moment, given, "when the service or we received it"),
        spec("type", text, given, "what happened, `thing.past_verb`; an open set"),
        spec("actor", text, given, "who did it; null for an anonymous visitor", entity=True),
        spec("account", text, given, "the account that the event is about", entity=True),
        spec("owner", text, given, "owner of the link or file", entity=True),
        spec("org", text, given, "organisation (tenant) of the account", entity=True),
        spec("session", text, given, "session of the actor", entity=True),
        spec("device", text, given, "device of the actor", entity=True),
        spec("ip", text, given, "address of the actor, IPv4 or IPv6 text, never a host name", entity=True),
        spec("link", text, given, "shared link", entity=True),
        spec("url", text, given, "URL in the event", entity=True),
        spec("domain", text, given, "host name in the event (of the URL, else given)", entity=True),
        spec("file", text, given, "file", entity=True),
        spec("file_sha256", text, given, "SHA-256 of the content, lower-case hex", entity=True),
        spec("recipient", text, given, "who is given something (share, invite, grant, verdict)", entity=True),
        spec("app", text, given, "third-party application", entity=True),
        spec("credential", text, given, "access key, token or password id", entity=True),
        spec("resource", text, given, "bucket, folder, mailbox, role, trail … acted on", entity=True),
        spec("operation", text, given, "API name as the service calls it"),
        spec("service", text, given, "API service as the provider calls it"),
        spec("error", text, given, "error code; null where it succeeded"),
        spec("outcome", text, given, "success, failure, denied, …"),
        spec("method", text, given, "how: password, sso, token, passkey, totp, push, …"),
        spec("client", text, given, "web, desktop, mobile, api, …"),
        spec("user_agent", text, given, "user agent as sent"),
        spec("referrer", text, given, "where a visitor came from"),
        spec("permission", text, given, "what was granted (role, scope, policy)"),
        spec("reason", text, given, "category given by a reporter or an outcome"),
        spec("file_name", text, given, "name of the file"),
        spec("size_bytes", integer, given, "size of what was moved"),
        spec("items", integer, given, "how many things the event covers, where it covers several"),
        spec("rtt_ms", number, given, "round-trip time to the client, as the service measured it, ms"),
        spec("recipient_org", text, given, "organisation of the recipient; null if outside or unknown"),
        spec(
            "external",
            boolean,
            given,
            "whether the other side is outside the account's organisation or circle",
        ),
        spec("cause", text, given, "`shoal` where our own enforcement caused it"),
        spec("attributes", text, given, "all further fields, as one JSON object"),
        spec("country", text, enriched, "ISO 3166-1 alpha-2 of the address"),
        spec("region", text, given, "cloud region or subdivision as given"),
        spec("lat", number, enriched, "latitude of the address, degrees"),
        spec("lon", number, enriched, "longitude of the address, degrees"),
        spec("asn", integer, enriched, "autonomous system of the address"),
        spec("network_kind", text, enriched, "home, mobile, office, vpn, hosting, unknown"),
        spec("network", text, enriched, "/24 or /48 prefix of the address", entity=True),
        spec("registered_domain", text, enriched, "domain registered under a public suffix (ICANN and private)"),
        spec("domain_suffix", text, enriched, "the public suffix of the domain, private ones included"),
        spec("ua_family", text, enriched, "browser or client family"),
        spec("ua_version", text, enriched, "its major version"),
        spec("ua_os", text, enriched, "operating system family"),
        spec("ua_device", text, enriched, "device class: desktop, mobile, tablet, bot, script, other"),
        spec("enrichment", text, enriched, "versions of the tables that enriched this row"),
        spec("account_created", moment, fact, "when the account was created"),
        spec("account_tier", text, fact, "plan of the account"),
        spec("account_verified", boolean, fact, "whether the account is verified"),
        spec("owner_created", moment, fact, "when the owner's account was created"),
        spec("owner_tier", text, fact, "plan of the owner's account"),
        spec("recipient_created", moment, fact, "when the recipient's account was created"),
        spec("link_created", moment, fact, "when the link was created"),
    )


EVENT_COLUMNS: tuple[ColumnSpec, ...] = _columns()
BY_NAME: dict[str, ColumnSpec] = {column.name: column for column in EVENT_COLUMNS}
GIVEN_COLUMNS: tuple[ColumnSpec, ...] = tuple(c for c in EVENT_COLUMNS if c.role in (Role.GIVEN, Role.ENRICHED))
"""What a source may give: the given columns, and enriched ones that it knows itself."""
ENTITY_COLUMNS: tuple[str, ...] = tuple(column.name for column in EVENT_COLUMNS if column.entity)


class Flag(IntEnum):
    """Bits of the `flags` stamp."""

    LATE = 1  # more than lateness_s behind as_of: lifetime and last-seen state only
    BEHIND = 2  # behind as_of, but less: counted at as_of
    CLAMPED = 4  # its time lay beyond the skew bound and was clamped
    ERASED = 8  # texts of this row were erased
    BAD_ORDER = 16  # reserved


def schema_of(names: list[str]) -> pa.Schema:
    """The Arrow schema of the named columns, in the order given."""
    return pa.schema([pa.field(name, BY_NAME[name].kind.arrow) for name in names])


def check_table(table: pa.Table) -> None:
    """Refuse a table that is not an event table: unknown columns or wrong types, all problems together.

    Raises `InvalidInput` (slugs `events.unknown_column`, `events.column_type`).
    """
    problems = []
    for field in table.schema:
        spec = BY_NAME.get(field.name)
        if spec is None:
            near = nearest_name(field.name, BY_NAME)
            problems.append(Problem("events.unknown_column", f"no event column {field.name!r}", nearest=near))
        elif field.type != spec.kind.arrow:
            problems.append(
                Problem(
                    "events.column_type",
                    f"column {field.name!r} is {field.type}",
                    allowed=str(spec.kind.arrow),
                )
            )
    if problems:
        raise InvalidInput(problems)
