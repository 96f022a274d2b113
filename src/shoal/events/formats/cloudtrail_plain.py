"""The fast reader of plain CloudTrail records: typed, no objects for what goes to `attributes` unread. Hot path.

A record is plain where its fields are those of the documents with the types of the documents, its text is ASCII and
within the limits, and its operation needs nothing but the general mapping and S3's sizes. All others are declined and
read by `cloudtrail`, which this must equal in every column (the tests compare them; `attributes` may differ in the
order of its fields and in white space). The caches hold identities and operations, bounded.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
import orjson

from shoal.events.decode import MAX_NESTING, MAX_TEXT_BYTES
from shoal.events.formats.records import opening_brackets
from shoal.events.formats.tables.cloudtrail import (
    ACL_PATHS,
    BY_OPERATION,
    COLUMNS,
    FIELDS,
    POLICY_PATHS,
    RECIPIENT_IS_PRINCIPAL,
)
from shoal.events.formats.values import BadValue, parse_address, parse_time

_SIZED = {"GetObject": "bytesTransferredOut", "PutObject": "bytesTransferredIn"}
SPECIAL = frozenset({"ConsoleLogin", *BY_OPERATION, *POLICY_PATHS, *ACL_PATHS, *RECIPIENT_IS_PRINCIPAL} - set(_SIZED))
"""Operations that the general reader reads."""

_ABSENT = msgspec.Raw(b"")
_RAW_FIELDS = ("userIdentity", "requestParameters", "responseElements", "additionalEventData", *FIELDS)
_TEXTS = ("eventID", "eventTime", "eventName", "eventSource", "awsRegion", "sourceIPAddress", "userAgent", "errorCode",
          "recipientAccountId")  # fmt: skip
_Record: Any = msgspec.defstruct(
    "_Record",
    [*((name, str | None, None) for name in _TEXTS), *((name, msgspec.Raw, _ABSENT) for name in _RAW_FIELDS)],
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
)
_RESOURCES = next(column.paths for column in COLUMNS if column.name == "resource")
_Parameters: Any = msgspec.defstruct(
    "_Parameters",
    [("key", Any, None), *((path.removeprefix("requestParameters."), Any, None) for path in _RESOURCES)],
)
_Sizes: Any = msgspec.defstruct("_Sizes", [(name, Any, None) for name in _SIZED.values()])
_decode_record = msgspec.json.Decoder(_Record).decode
_decode_parameters = msgspec.json.Decoder(_Parameters | None).decode
_decode_sizes = msgspec.json.Decoder(_Sizes | None).decode
_encode = msgspec.json.Encoder().encode
_NO_PARAMETERS = _Parameters()
_NULL = b"null"

COLUMN_NAMES = ("time", "event_id", "operation", "service", "region", "ip", "user_agent", "error", "org", "credential",
                "resource", "actor", "account", "file", "file_name", "size_bytes", "attributes")  # fmt: skip


class Identities:
    """What the general reader says of an identity, kept by its bytes: they repeat."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self.read = lru_cache(maxsize=8192)(self._read)

    def _read(self, raw: bytes) -> tuple[str | None, str | None, str | None, str | None] | None:
        """(actor, account, org, credential); None to decline."""
        identity = orjson.loads(raw) if raw and raw != _NULL else {}
        if type(identity) is not dict:
            return None
        context = identity.get("sessionContext") or {}
        issuer = context.get("sessionIssuer") if type(context) is dict else None
        role = issuer.get("userName") if type(issuer) is dict else None
        names = ("type", "userName", "arn", "invokedBy", "principalId", "accountId")
        texts = [identity.get(name) for name in names]
        key = identity.get("accessKeyId")
        if any(text is not None and type(text) is not str for text in (*texts, role, key)):
            return None
        actor, account = self._actor(*texts, role)
        return actor, account, identity.get("accountId") or None, key or None


def read_plain(line: bytes, identities: Identities, plain_name: Any) -> tuple[Any, ...] | None:
    """The record's values in the order of COLUMN_NAMES; None to decline."""
    if len(line) > MAX_TEXT_BYTES or not line.isascii() or opening_brackets(line) > MAX_NESTING:
        return None
    if b"\\u0001" in line:
        return None
    try:
        record = _decode_record(line)
        name = record.eventName
        if not name or not record.eventTime or plain_name(name) in SPECIAL:
            return None
        identity = identities.read(bytes(record.userIdentity))
        raw = record.requestParameters
        parameters = (_NO_PARAMETERS if raw is _ABSENT else _decode_parameters(raw)) or _NO_PARAMETERS
        time = parse_time(record.eventTime, zone_required=True)
        size = None
        if name in _SIZED and record.additionalEventData is not _ABSENT:
            size = getattr(_decode_sizes(record.additionalEventData), _SIZED[name], None)
    except (msgspec.MsgspecError, orjson.JSONDecodeError, BadValue):
        return None
    if identity is None:
        return None
    if type(size) is float and size.is_integer() and abs(size) < 1 << 53:
        size = int(size)
    elif size is not None and (type(size) is not int or not -(1 << 63) <= size < 1 << 63):
        size = None
    address = record.sourceIPAddress
    ip = parse_address(address) if address else None
    bucket, key, resource, file = parameters.bucketName, parameters.key, None, None
    if type(bucket) is str and bucket:
        resource = bucket
    else:
        resource = _first_text(msgspec.structs.astuple(parameters)[1:])
    if type(key) is str and key and type(bucket) is str:
        file = f"{bucket}/{key}"
    values = (
        time, record.eventID or None, name, record.eventSource or None, record.awsRegion or None, ip,
        record.userAgent or None, record.errorCode or None, record.recipientAccountId or identity[2], identity[3],
        resource, identity[0], identity[1], file, (key.rpartition("/")[2] or None) if file else None, size,
    )  # fmt: skip
    return *values, _further(record, address if address != ip else None)


def _first_text(values: tuple[Any, ...]) -> str | None:
    """The first usable text, as the mapping's `text` transform takes it."""
    for value in values:
        if type(value) is str and value:
            return value
        if type(value) is int:
            return str(value)
    return None


def _further(record: Any, address: str | None) -> str | None:
    """The `attributes` text: the record without what became columns (it is emptied of them here); fields as written."""
    record.eventID = record.eventTime = record.eventName = record.eventSource = record.awsRegion = None
    record.userAgent = record.errorCode = record.recipientAccountId = None
    record.sourceIPAddress = address or None
    if bytes(record.responseElements) == _NULL:
        record.responseElements = _ABSENT
    text: str = _encode(record).decode()
    return text if text != "{}" else None
