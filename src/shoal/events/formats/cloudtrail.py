"""AWS CloudTrail records: as lines, and as delivered (`{"Records": […]}`). Hot path.

The tables are in `tables.cloudtrail`; here is what a table cannot say: who acted, whether it went well, whether a grant
leaves the account. A record that is plain is decoded by a typed decoder that makes no objects for what goes to
`attributes` unread; others by the general one, with the same outcome. A decoder holds no state between blocks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from shoal.events.decode import Decoded, event_table, splice
from shoal.events.formats.cloudtrail_plain import Identities, PlainRecords
from shoal.events.formats.mapping import Mapping, Reach, Record, Values, keep_rows, overlay, pick, read_times, require
from shoal.events.formats.records import Intake, each_line
from shoal.events.formats.tables.cloudtrail import (
    ACL_PATHS,
    BY_OPERATION,
    COLUMNS,
    DENIED,
    LISTED,
    LISTING_PREFIXES,
    OTHER,
    POLICY_PATHS,
    RECIPIENT_IS_PRINCIPAL,
    TYPES,
)
from shoal.events.formats.values import BadValue

_MAPPING = Mapping(COLUMNS)
_VERSION = re.compile(r"\d{8}(v\d+)?$")
_DROPPED = frozenset({"eventTime"})
_ACCOUNT = re.compile(r"(?:arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:)?(\d{12})(?::.*)?", re.DOTALL)
_PUBLIC = frozenset({"*", "all", "0.0.0.0/0", "::/0"})
_PUBLIC_ACLS = ("public-read", "public-read-write", "authenticated-read")
_PUBLIC_GROUPS = ("/global/AllUsers", "/global/AuthenticatedUsers")


class CloudTrailDecoder:
    """Decoder of CloudTrail records; a line may be one record, or an object with a list of `Records`.

    With `general_only` the fast reader of plain records is left out: the slow twin, for tests.
    """

    def __init__(self, source: str, partition: str, *, general_only: bool = False) -> None:
        self._source, self._partition = source, partition
        self._general_only = general_only

    def decode(self, block: bytes, offset: int) -> Decoded:
        """Decode a block of lines; see `Decoder`. Each of the `Records` of a line counts as one record read."""
        intake = Intake(self._source, self._partition)
        plain = PlainRecords(_identities, _plain)
        place = offset
        for line in each_line(block):
            if not self._general_only and plain.add(line, place):
                place += 1
                continue
            for record in _expand(line):
                if self._general_only or record is line or not plain.add(record, place):
                    intake.read([record], place)
                place += 1
        general = decode_records(intake, place - offset)
        if self._general_only:
            return general
        events = splice(self._plain_events(plain), np.array(plain.places, dtype=np.int64), general.events)
        return Decoded(events=events, dead=general.dead, read=place - offset)

    def _plain_events(self, plain: PlainRecords) -> pa.Table:
        columns = plain.columns()
        kinds = map(_kind_of, columns["service"], columns["operation"], columns["error"])
        columns["type"], columns["outcome"] = zip(*kinds, strict=True) if plain.places else ((), ())
        columns["offset"] = plain.places
        return event_table(columns, self._source, self._partition)


def _expand(line: bytes) -> list[bytes]:
    """A line of `{"Records": […]}` as a line for each record; any other as it is."""
    if b'"Records"' in line[:4096]:
        try:
            body = orjson.loads(line)
        except orjson.JSONDecodeError:
            body = None
        if type(body) is dict and "eventName" not in body and type(body.get("Records")) is list:
            return [orjson.dumps(record) for record in body["Records"]]
    return [line]


def decode_records(intake: Intake, read: int) -> Decoded:
    """The objects of an intake as events."""
    records = intake.records
    bad: dict[int, BadValue] = {}
    reach = Reach(records)
    columns, kept = _MAPPING.read(reach)
    columns["time"] = read_times(reach.values("eventTime"), bad, zone_required=True)
    require(columns["operation"], bad, "eventName")
    operations = [_plain(name) if name else "" for name in columns["operation"]]
    rows_of: dict[str, list[int]] = {}
    for row, operation in enumerate(operations):
        rows_of.setdefault(operation, []).append(row)
    count = len(records)
    for name in ("recipient", "permission", "size_bytes", "file", "file_name", "method", "client", "external"):
        columns[name] = [None] * count
    overlay(columns, records, rows_of, BY_OPERATION)
    columns["outcome"] = [_outcome(error) for error in columns["error"]]
    columns["type"] = [
        _type_of(service, operation) for service, operation in zip(columns["service"], operations, strict=True)
    ]
    _actors(columns, reach)
    _logins(columns, records, rows_of.get("ConsoleLogin", ()))
    _objects(columns, reach)
    _outside(columns, records, rows_of)
    columns["attributes"] = _MAPPING.rest_of(records, kept, _DROPPED)
    columns["offset"] = list(intake.offsets)
    rows = intake.drop(bad)
    events = event_table(keep_rows(columns, rows, count), intake.source, intake.partition)
    return Decoded(events=events, dead=tuple(intake.dead), read=read)


@lru_cache(maxsize=4096)
def _plain(operation: str) -> str:
    """The operation without the API version that some services append (`ListFunctions20150331`)."""
    return _VERSION.sub("", operation) or operation


@lru_cache(maxsize=4096)
def _type_of(service: str | None, operation: str) -> str:
    name = (service or "").partition(".")[0]
    found = TYPES.get(f"{name}:{operation}") or TYPES.get(operation)
    if found:
        return found
    return LISTED if operation.startswith(LISTING_PREFIXES) else OTHER


@lru_cache(maxsize=4096)
def _outcome(error: str | None) -> str:
    if error is None:
        return "success"
    return "denied" if error.startswith(DENIED) or error.endswith(DENIED) else "failure"


@lru_cache(maxsize=8192)
def _kind_of(service: str | None, operation: str, error: str | None) -> tuple[str, str]:
    return _type_of(service, _plain(operation)), _outcome(error)


def _actors(columns: dict[str, Values], reach: Reach) -> None:
    """Who acted: the user, else the role session, else the ARN; a service acts as itself, for no account."""
    actors, accounts = [], []
    known: dict[tuple[Any, ...], tuple[str | None, str | None]] = {}
    names = ("type", "userName", "arn", "invokedBy", "principalId", "accountId")
    paths = [reach.values(f"userIdentity.{name}") for name in names]
    issuers = reach.values("userIdentity.sessionContext.sessionIssuer.userName")
    for identity in zip(*paths, issuers, strict=True):
        try:
            found = known.get(identity)
        except TypeError:  # a list or object where a text should be: it stays in attributes
            identity = tuple(part if type(part) is str else None for part in identity)
            found = known.get(identity)
        if found is None:
            found = known[identity] = _actor(*identity)
        actors.append(found[0])
        accounts.append(found[1])
    columns["actor"], columns["account"] = actors, accounts


def _actor(*identity: Any) -> tuple[str | None, str | None]:
    """(actor, account) of an identity: type, userName, arn, invokedBy, principalId, accountId, role of the session."""
    kind, user, arn, invoker, principal, account, role = (
        part if isinstance(part, str) and part else None for part in identity
    )
    if kind == "AWSService":
        return invoker or principal, None
    if user:
        return user, user
    if arn and ":assumed-role/" in arn:
        session = arn.partition(":assumed-role/")[2]
        return session, role or session.partition("/")[0]
    who = arn or principal or account or invoker
    return who, who


_identities = Identities(_actor)


def _logins(columns: dict[str, Values], records: Sequence[Record], rows: Sequence[int]) -> None:
    """ConsoleLogin says its outcome in its response, not as an error code."""
    for row in rows:
        record = records[row]
        good = pick(record, "responseElements.ConsoleLogin") == "Success" and columns["error"][row] is None
        columns["type"][row] = "login.succeeded" if good else "login.failed"
        columns["outcome"][row] = "success" if good else "failure"
        columns["method"][row] = "mfa" if pick(record, "additionalEventData.MFAUsed") == "Yes" else "password"
        mobile = columns["client"][row]
        columns["client"][row] = "mobile" if mobile == "Yes" else "web"


def _objects(columns: dict[str, Values], reach: Reach) -> None:
    """S3 objects: `file` is bucket/key."""
    buckets, keys = reach.values("requestParameters.bucketName"), reach.values("requestParameters.key")
    files, names = columns["file"], columns["file_name"]
    for row, key in enumerate(keys):
        if type(key) is str and key and type(buckets[row]) is str:
            files[row] = f"{buckets[row]}/{key}"
            names[row] = key.rpartition("/")[2] or None


def _outside(columns: dict[str, Values], records: Sequence[Record], rows_of: dict[str, list[int]]) -> None:
    """Whether a grant names another account or everyone: `external`, and the `recipient` where there is none yet."""
    for operation in RECIPIENT_IS_PRINCIPAL:
        for row in rows_of.get(operation, ()):
            to = columns["recipient"][row]
            if to is not None:
                columns["external"][row] = _is_outside(to, columns["org"][row])
    for operation, paths in POLICY_PATHS.items():
        for row in rows_of.get(operation, ()):
            for path in paths:
                _read_policy(columns, row, pick(records[row], path))
    for operation, paths in ACL_PATHS.items():
        for row in rows_of.get(operation, ()):
            texts = [orjson.dumps(pick(records[row], path)).decode() for path in paths]
            if any(acl in text for text in texts for acl in (*_PUBLIC_ACLS, *_PUBLIC_GROUPS)):
                columns["external"][row] = True
                columns["recipient"][row] = "*"


def _is_outside(principal: str, org: str | None) -> bool:
    if principal in _PUBLIC:
        return True
    match = _ACCOUNT.fullmatch(principal)
    return match is not None and match.group(1) != org


def _read_policy(columns: dict[str, Values], row: int, policy: Any) -> None:
    """Find the first principal outside the account in the Allow statements of a resource policy."""
    if isinstance(policy, str):
        try:
            policy = orjson.loads(policy)
        except orjson.JSONDecodeError:
            return
    statements = policy.get("Statement") if isinstance(policy, dict) else None
    for statement in statements if isinstance(statements, list) else [statements]:
        if not isinstance(statement, dict) or statement.get("Effect") != "Allow":
            continue
        principals = statement.get("Principal")
        found = principals.get("AWS") if isinstance(principals, dict) else principals
        for principal in found if isinstance(found, list) else [found]:
            if isinstance(principal, str):
                outside = _is_outside(principal, columns["org"][row])
                if outside or columns["external"][row] is None:
                    columns["external"][row] = outside
                if outside:
                    columns["recipient"][row] = principal
                    return


def sniff(head: bytes) -> float:
    """How much the first bytes look like CloudTrail."""
    marks = (b'"eventSource"', b'"eventName"', b'"awsRegion"', b'"eventTime"', b'"userIdentity"')
    return sum(mark in head for mark in marks) / len(marks)
