"""The fast reader of plain CloudTrail records: typed, no objects for what goes to `attributes` unread. Hot path.

A record is plain where its fields are those of the documents with the types of the documents, its text is ASCII and
within the limits, and its operation needs nothing but the general mapping and S3's sizes. All others are declined and
read by `cloudtrail`, which this must equal in every column (the tests compare them; `attributes` may differ in the
order of its fields and in white space). The caches hold identities and operations, bounded. What is made for a row is a
few values in one list and bytes in one buffer: an object a row would cost a third more, in garbage collection.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import orjson
import pyarrow as pa

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

_ABSENT, _RAW_NULL = msgspec.Raw(b""), msgspec.Raw(b"null")
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
_encode_into = msgspec.json.Encoder().encode_into
_NO_PARAMETERS = _Parameters()
_NULL, _EMPTY = b"null", b"{}"

COLUMN_NAMES = ("time", "event_id", "operation", "service", "region", "ip", "user_agent", "error", "org", "credential",
                "resource", "actor", "account", "file", "file_name", "size_bytes")  # fmt: skip


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


class PlainRecords:
    """The plain records of one block, in columns."""

    def __init__(self, identities: Identities, plain_name: Any) -> None:
        self.places: list[int] = []
        self._identities, self._plain_name = identities.read, plain_name
        self._values: list[Any] = []
        self._texts = bytearray()
        self._ends = [0]

    def add(self, line: bytes, place: int) -> bool:
        """Read a line of the block; False where it is declined."""
        if len(line) > MAX_TEXT_BYTES or not line.isascii() or opening_brackets(line) > MAX_NESTING:
            return False
        if b"\\" in line and b"\\u0001" in line:
            return False
        try:
            record = _decode_record(line)
            name = record.eventName
            if not name or not record.eventTime or self._plain_name(name) in SPECIAL:
                return False
            identity = self._identities(bytes(record.userIdentity))
            if identity is None:
                return False
            raw = record.requestParameters
            parameters = (_NO_PARAMETERS if raw is _ABSENT else _decode_parameters(raw)) or _NO_PARAMETERS
            time = parse_time(record.eventTime, zone_required=True)
            size = _size_of(record, name) if name in _SIZED else None
        except (msgspec.MsgspecError, orjson.JSONDecodeError, BadValue):
            return False
        bucket, resource, file, file_name = parameters.bucketName, None, None, None
        if type(bucket) is str:
            key = parameters.key
            if type(key) is str and key:
                file, file_name = f"{bucket}/{key}", key.rpartition("/")[2] or None
        if type(bucket) is str and bucket:
            resource = bucket
        elif parameters is not _NO_PARAMETERS:
            resource = _first_text(msgspec.structs.astuple(parameters)[1:])
        address = record.sourceIPAddress
        ip = parse_address(address) if address else None
        self._values += (
            time, record.eventID or None, name, record.eventSource or None, record.awsRegion or None, ip,
            record.userAgent or None, record.errorCode or None, record.recipientAccountId or identity[2], identity[3],
            resource, identity[0], identity[1], file, file_name, size,
        )  # fmt: skip
        self._keep_rest(record, address if address != ip else None)
        self.places.append(place)
        return True

    def _keep_rest(self, record: Any, address: str | None) -> None:
        """The `attributes` text: the record without what became columns (it is emptied of them); fields as written."""
        record.eventID = record.eventTime = record.eventName = record.eventSource = record.awsRegion = None
        record.userAgent = record.errorCode = record.recipientAccountId = None
        record.sourceIPAddress = address or None
        if record.responseElements == _RAW_NULL:
            record.responseElements = _ABSENT
        texts = self._texts
        _encode_into(record, texts, -1)
        if texts.endswith(_EMPTY) and len(texts) - self._ends[-1] == len(_EMPTY):
            del texts[-len(_EMPTY) :]
        self._ends.append(len(texts))

    def columns(self) -> dict[str, Any]:
        """Column name → values, COLUMN_NAMES and `attributes`."""
        wide = len(COLUMN_NAMES)
        columns: dict[str, Any] = {name: self._values[place::wide] for place, name in enumerate(COLUMN_NAMES)}
        ends = np.array(self._ends, dtype=np.int32)
        given = np.packbits(ends[1:] > ends[:-1], bitorder="little")
        buffers = [pa.py_buffer(given), pa.py_buffer(ends), pa.py_buffer(self._texts)]
        columns["attributes"] = pa.Array.from_buffers(pa.string(), len(self.places), buffers)
        return columns


def _size_of(record: Any, name: str) -> int | None:
    """The bytes that S3 moved, where they are a whole number that fits."""
    if record.additionalEventData is _ABSENT:
        return None
    size = getattr(_decode_sizes(record.additionalEventData), _SIZED[name], None)
    if type(size) is float and size.is_integer() and abs(size) < 1 << 53:
        return int(size)
    return size if type(size) is int and -(1 << 63) <= size < 1 << 63 else None


def _first_text(values: tuple[Any, ...]) -> str | None:
    """The first usable text, as the mapping's `text` transform takes it."""
    for value in values:
        if type(value) is str and value:
            return value
        if type(value) is int:
            return str(value)
    return None
