"""CloudTrail, Microsoft 365 and OCSF: malformed inputs, mappings, and the law of conservation for every format."""

import csv
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracles.format_samples import DROPBOX, WORKSPACE
from shoal.events.deadletters import REASONS
from shoal.events.formats import FORMATS, cloudtrail, guess_format
from shoal.events.formats.cloudtrail import CloudTrailDecoder
from shoal.events.formats.mapping import Column, Mapping
from shoal.events.schema import BY_NAME, check_table

CHECKED = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TRAIL = {
    "eventVersion": "1.08",
    "eventTime": "2024-01-01T00:00:00Z",
    "eventSource": "s3.amazonaws.com",
    "eventName": "GetObject",
    "awsRegion": "eu-west-1",
    "sourceIPAddress": "192.0.2.7",
    "userAgent": "aws-cli/2",
    "eventID": "e-1",
    "recipientAccountId": "111111111111",
    "userIdentity": {"type": "IAMUser", "userName": "alice", "arn": "arn:aws:iam::111111111111:user/alice",
                     "accountId": "111111111111", "accessKeyId": "AKIA1"},
    "requestParameters": {"bucketName": "b", "key": "x/y.txt"},
    "additionalEventData": {"bytesTransferredOut": 12.0},
    "responseElements": None,
}  # fmt: skip
AUDIT = {
    "CreationTime": "2024-01-01T00:00:00",
    "Id": "i-1",
    "Operation": "UserLoggedIn",
    "Workload": "AzureActiveDirectory",
    "OrganizationId": "o",
    "UserId": "Alice@Example.com",
    "ClientIP": "192.0.2.7:5678",
    "RecordType": 15,
    "ResultStatus": "Success",
}
OCSF = {
    "class_uid": 3002,
    "activity_id": 1,
    "status_id": 1,
    "time": 1704067200123,
    "metadata": {"uid": "m-1", "version": "1.4.0"},
    "user": {"name": "Alice@Example.com"},
    "src_endpoint": {"ip": "192.0.2.7"},
}


def trail(**changes: object) -> bytes:
    return json.dumps({name: value for name, value in {**TRAIL, **changes}.items() if value is not ...}).encode()


def audit(**changes: object) -> bytes:
    return json.dumps({name: value for name, value in {**AUDIT, **changes}.items() if value is not ...}).encode()


def ocsf(**changes: object) -> bytes:
    return json.dumps({name: value for name, value in {**OCSF, **changes}.items() if value is not ...}).encode()


def sheet(*rows: str, header: str = "CreationDate,AuditData,UserIds") -> bytes:
    return "\n".join([header, *rows]).encode()


def row(text: str) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(["1/1/2024", text, "alice"])
    return out.getvalue()


GOOD = {"cloudtrail": trail(), "m365": audit(), "ocsf": ocsf()}
LONG = "y" * 65537
MALFORMED = [
    *((name, line, reason) for name in GOOD for line, reason in [
        (b"{", "json.malformed"),
        (b"text", "json.malformed"),
        (b"5", "json.not_object"),
        (b"{\"x\":\"\xff\"}", "utf8.invalid"),
        (b'{"x":"\\ud800"}', "text.surrogate"),
        (b'{"x":"' + b"y" * (1 << 20) + b'"}', "line.too_long"),
        (b'{"x":' + b"[" * 64 + b"]" * 64 + b"}", "nesting.too_deep"),
    ]),
    ("cloudtrail", b"{}", "time.missing"),
    ("cloudtrail", b'{"Records":5}', "time.missing"),
    ("cloudtrail", trail(eventTime=...), "time.missing"),
    ("cloudtrail", trail(eventTime="noon"), "time.malformed"),
    ("cloudtrail", trail(eventTime=["x"]), "time.malformed"),
    ("cloudtrail", trail(eventTime="2024-01-01T00:00:00"), "time.zone_missing"),
    ("cloudtrail", trail(eventTime="1960-01-01T00:00:00Z"), "time.out_of_range"),
    ("cloudtrail", trail(eventName=...), "type.missing"),
    ("cloudtrail", trail(eventName=""), "type.missing"),
    ("cloudtrail", trail(eventName={"x": 1}), "type.missing"),
    ("cloudtrail", trail(userAgent=LONG), "text.too_long"),
    ("cloudtrail", trail(requestParameters={"bucketName": "\x01erased:0"}), "text.erased_mark"),
    ("m365", audit(CreationTime=...), "time.missing"),
    ("m365", audit(CreationTime=""), "time.missing"),
    ("m365", audit(CreationTime="4/16/2021 8:24:20 AM"), "time.malformed"),
    ("m365", audit(Operation=...), "type.missing"),
    ("m365", audit(UserId=LONG), "text.too_long"),
    ("m365", audit(UserId="\x01erased:0"), "text.erased_mark"),
    ("m365", b'{"AuditData":""}', "auditdata.missing"),
    ("m365", b'{"auditData":null}', "auditdata.missing"),
    ("m365", b'{"AuditData":"{"}', "auditdata.malformed"),
    ("m365", b'{"AuditData":"[]"}', "auditdata.malformed"),
    ("ocsf", ocsf(class_uid=...), "class.missing"),
    ("ocsf", ocsf(class_uid="3002"), "class.missing"),
    ("ocsf", ocsf(time=...), "time.missing"),
    ("ocsf", ocsf(time="x"), "time.malformed"),
    ("ocsf", ocsf(time=1.5), "time.malformed"),
    ("ocsf", ocsf(time=-1), "time.out_of_range"),
    ("ocsf", ocsf(time_dt="soon"), "time.malformed"),
    ("ocsf", ocsf(time_dt="2024-01-01T00:00:00"), "time.zone_missing"),
    ("ocsf", ocsf(user={"name": "\x01erased:0"}), "text.erased_mark"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "line", "reason"), MALFORMED)
def test_each_malformed_record_is_a_dead_letter_with_its_reason(name: str, line: bytes, reason: str) -> None:
    block = GOOD[name] + b"\n" + line + b"\n\n" + GOOD[name] + b"\n"
    decoded = FORMATS[name].decoder("s", "p").decode(block, 5)
    assert [(letter.offset, letter.reason) for letter in decoded.dead] == [(6, reason)]
    assert decoded.dead[0].raw == line[: 64 * 1024]
    assert decoded.events.column("offset").to_pylist() == [5, 7]
    assert reason in REASONS
    assert decoded.balanced


BAD_ROWS = [
    ('1/1/2024,"",alice', "auditdata.missing"),
    ("1/1/2024,,alice", "auditdata.missing"),
    ("1/1/2024,{,alice", "auditdata.malformed"),
    ("1/1/2024,[],alice", "auditdata.malformed"),
    ("1/1/2024,{}", "csv.malformed"),
    ("1/1/2024,{},alice,bob", "csv.malformed"),
    ('1/1/2024,"{}"x,alice', "csv.malformed"),
    (row("y" * (1 << 20)), "line.too_long"),
    (row("{}"), "time.missing"),
]


@pytest.mark.parametrize(("text", "reason"), BAD_ROWS)
def test_each_malformed_csv_row_is_a_dead_letter_with_its_reason(text: str, reason: str) -> None:
    good = row(audit().decode())
    decoded = FORMATS["m365"].decoder("s", "p").decode(sheet(good, text, good), 0)
    assert [(letter.offset, letter.reason) for letter in decoded.dead] == [(1, reason)]
    assert decoded.dead[0].raw == text.encode()[: 64 * 1024]
    assert decoded.events.column("offset").to_pylist() == [0, 2]


def test_csv_that_is_not_an_export_is_all_dead() -> None:
    decoded = FORMATS["m365"].decoder("s", "p").decode(sheet("1,2", "3,4", header="a,b"), 0)
    assert [letter.reason for letter in decoded.dead] == ["auditdata.missing", "auditdata.missing"]
    unquoted = FORMATS["m365"].decoder("s", "p").decode(sheet('x,"open'), 0)
    assert [letter.reason for letter in unquoted.dead] == ["csv.malformed"]
    latin = FORMATS["m365"].decoder("s", "p").decode(sheet("x,y,z").replace(b"y", b"\xff"), 0)
    assert [letter.reason for letter in latin.dead] == ["utf8.invalid"]


def test_csv_fields_may_hold_line_breaks_and_any_case_of_the_header() -> None:
    pretty = json.dumps(AUDIT, indent=2)
    for header in ("CreationDate,AuditData,UserIds", "a,auditData,b", "\ufeffa,AUDITDATA,b"):
        block = sheet(row(pretty), row(pretty), header=header).replace(b"\n", b"\r\n")
        decoded = FORMATS["m365"].decoder("s", "p").decode(block, 0)
        assert decoded.read == decoded.events.num_rows == 2


def test_m365_json_may_wrap_its_record() -> None:
    block = b"\n".join([audit(), json.dumps({"AuditData": AUDIT}).encode(),
                        json.dumps({"auditData": json.dumps(AUDIT), "UserIds": "x"}).encode()])  # fmt: skip
    rows = FORMATS["m365"].decoder("s", "p").decode(block, 0).events.drop(["offset"]).to_pylist()
    assert rows[0] == rows[1] == rows[2]


def one(name: str, line: bytes) -> dict:
    decoded = FORMATS[name].decoder("s", "p").decode(line, 0)
    assert decoded.dead == ()
    check_table(decoded.events)
    return {key: value for key, value in decoded.events.to_pylist()[0].items() if value is not None}


ROLE = {"type": "AssumedRole", "arn": "arn:aws:sts::111111111111:assumed-role/ops/s1", "accountId": "111111111111",
        "accessKeyId": "ASIA1", "sessionContext": {"sessionIssuer": {"userName": "ops"}}}  # fmt: skip
PUBLIC = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}]}
OTHER = json.dumps({"Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::222222222222:root"}}})
OWN = json.dumps({"Statement": [{"Effect": "Allow", "Principal": {"AWS": "111111111111"}}]})
TRAIL_CASES = [
    ({}, {"type": "file.downloaded", "actor": "alice", "account": "alice", "file": "b/x/y.txt", "file_name": "y.txt",
          "resource": "b", "size_bytes": 12, "credential": "AKIA1", "org": "111111111111", "outcome": "success",
          "ip": "192.0.2.7", "operation": "GetObject", "service": "s3.amazonaws.com", "event_id": "e-1"}),
    ({"errorCode": "AccessDenied"}, {"outcome": "denied", "error": "AccessDenied"}),
    ({"errorCode": "Client.UnauthorizedOperation"}, {"outcome": "denied"}),
    ({"errorCode": "NoSuchKey"}, {"outcome": "failure"}),
    ({"userIdentity": ROLE}, {"actor": "ops/s1", "account": "ops", "credential": "ASIA1"}),
    ({"userIdentity": {"type": "AWSService", "invokedBy": "x.amazonaws.com"}}, {"actor": "x.amazonaws.com"}),
    ({"userIdentity": {"type": "Root", "arn": "arn:aws:iam::1:root"}}, {"actor": "arn:aws:iam::1:root"}),
    ({"eventName": "ConsoleLogin", "responseElements": {"ConsoleLogin": "Success"},
      "additionalEventData": {"MFAUsed": "Yes"}}, {"type": "login.succeeded", "method": "mfa", "client": "web"}),
    ({"eventName": "ConsoleLogin", "responseElements": {"ConsoleLogin": "Failure"}},
     {"type": "login.failed", "outcome": "failure", "method": "password"}),
    ({"eventName": "AssumeRole", "requestParameters": {"roleArn": "r"}}, {"type": "session.started", "resource": "r"}),
    ({"eventName": "CreateAccessKey", "requestParameters": {"userName": "bob"},
      "responseElements": {"accessKey": {"accessKeyId": "AKIA2"}}},
     {"type": "credential.created", "recipient": "bob", "resource": "AKIA2"}),
    ({"eventName": "PutUserPolicy", "requestParameters": {"userName": "bob", "policyName": "all"}},
     {"type": "permission.granted", "recipient": "bob", "permission": "all"}),
    ({"eventName": "AddUserToGroup", "requestParameters": {"userName": "bob", "groupName": "admins"}},
     {"type": "permission.granted", "recipient": "bob", "permission": "admins"}),
    ({"eventName": "StopLogging", "requestParameters": {"name": "t"}}, {"type": "logging.stopped", "resource": "t"}),
    ({"eventName": "ListFunctions20150331", "eventSource": "lambda.amazonaws.com"}, {"type": "resource.listed"}),
    ({"eventName": "GetObject", "eventSource": "other.amazonaws.com"}, {"type": "resource.listed"}),
    ({"eventName": "RunInstances"}, {"type": "api.called"}),
    ({"eventName": "PutBucketPolicy", "requestParameters": {"bucketName": "b", "bucketPolicy": PUBLIC}},
     {"type": "folder.shared", "external": True, "recipient": "*", "resource": "b"}),
    ({"eventName": "UpdateAssumeRolePolicy", "requestParameters": {"roleName": "r", "policyDocument": OTHER}},
     {"external": True, "recipient": "arn:aws:iam::222222222222:root"}),
    ({"eventName": "UpdateAssumeRolePolicy", "requestParameters": {"roleName": "r", "policyDocument": OWN}},
     {"external": False, "recipient": "r"}),
    ({"eventName": "PutBucketAcl", "requestParameters": {"bucketName": "b", "x-amz-acl": ["public-read"]}},
     {"external": True, "recipient": "*"}),
    ({"eventName": "AddPermission20150331v2", "requestParameters": {"functionName": "f", "principal": "*"}},
     {"type": "permission.granted", "external": True, "recipient": "*", "resource": "f"}),
    ({"eventName": "ModifySnapshotAttribute", "requestParameters": {
        "snapshotId": "s", "createVolumePermission": {"add": {"items": [{"userId": "222222222222"}]}}}},
     {"type": "resource.shared", "external": True, "recipient": "222222222222", "resource": "s"}),
    ({"eventName": "ModifyDBSnapshotAttribute", "requestParameters": {"valuesToAdd": ["111111111111"]}},
     {"type": "resource.shared", "external": False, "recipient": "111111111111"}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), TRAIL_CASES)
def test_cloudtrail_mapping(changes: dict, expected: dict) -> None:
    found = one("cloudtrail", trail(**changes))
    assert {name: found.get(name) for name in expected} == expected


AUDIT_CASES = [
    ({}, {"type": "login.succeeded", "actor": "alice@example.com", "account": "alice@example.com", "ip": "192.0.2.7",
          "time": 1704067200000000, "outcome": "success", "org": "o", "event_id": "i-1"}),
    ({"ClientIP": "[2001:db8::1]:443"}, {"ip": "2001:db8::1"}),
    ({"ClientIP": "", "ActorIpAddress": "192.0.2.8"}, {"ip": "192.0.2.8"}),
    ({"Operation": "UserLoginFailed", "LogonError": "InvalidUserNameOrPassword"},
     {"type": "login.failed", "outcome": "failure", "error": "InvalidUserNameOrPassword",
      "reason": "InvalidUserNameOrPassword"}),
    ({"Operation": "Consent to application.", "ObjectId": "app-1", "ModifiedProperties": [
        {"Name": "ConsentAction.Permissions", "NewValue": "Mail.Read"}]},
     {"type": "app.authorized", "app": "app-1", "permission": "Mail.Read"}),
    ({"Operation": "Add member to role.", "ObjectId": "Bob@example.com", "ModifiedProperties": [
        {"Name": "Role.DisplayName", "NewValue": "Global Administrator"}]},
     {"type": "permission.granted", "recipient": "bob@example.com", "permission": "Global Administrator"}),
    ({"Operation": "New-InboxRule", "Parameters": [{"Name": "ForwardTo", "Value": "x@evil.test"}]},
     {"type": "rule.created", "recipient": "x@evil.test", "external": True}),
    ({"Operation": "New-InboxRule", "Parameters": [{"Name": "ForwardTo", "Value": "b@example.com"}]},
     {"type": "rule.created", "external": False}),
    ({"Operation": "Reset user password.", "ObjectId": "bob"}, {"type": "password.reset", "account": "bob"}),
    ({"Operation": "Update application – Certificates and secrets management "}, {"type": "credential.created"}),
    ({"Operation": "AnonymousLinkCreated", "UniqueSharingId": "l"},
     {"type": "link.created", "link": "l", "external": True}),
    ({"Operation": "FileDownloaded", "ObjectId": "https://h/f", "FileSizeBytes": 5},
     {"type": "file.downloaded", "file": "https://h/f", "url": "https://h/f", "size_bytes": 5}),
    ({"Operation": "MailItemsAccessed", "OperationCount": 3}, {"type": "mail.accessed", "items": 3}),
    ({"Operation": "Set-AdminAuditLogConfig"}, {"type": "logging.changed"}),
    ({"Operation": "Set-Mailbox", "ResultStatus": "False"}, {"type": "api.called", "outcome": "failure"}),
    ({"ExtendedProperties": [{"Name": "UserAgent", "Value": "curl"}]}, {"user_agent": "curl"}),
    ({"ExtendedProperties": [{"Name": "additionalDetails", "Value": '{"User-Agent":"curl"}'}]}, {"user_agent": "curl"}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), AUDIT_CASES)
def test_m365_mapping(changes: dict, expected: dict) -> None:
    found = one("m365", audit(**changes))
    assert {name: found.get(name) for name in expected} == expected


POLICY = {"class_uid": 3001, "activity_id": 7, "user": {"name": "bob"}, "actor": {"user": {"name": "root"}},
          "policy": {"name": "admin"}}  # fmt: skip
OCSF_CASES = [
    ({}, {"type": "login.succeeded", "actor": "alice@example.com", "account": "alice@example.com", "ip": "192.0.2.7",
          "time": 1704067200123000, "outcome": "success", "event_id": "m-1"}),
    ({"status_id": 2}, {"type": "login.failed", "outcome": "failure"}),
    ({"time_dt": "2024-01-01T00:00:00.000007Z"}, {"time": 1704067200000007}),
    (POLICY, {"type": "permission.granted", "recipient": "bob", "actor": "root", "account": "root",
              "permission": "admin"}),
    ({"class_uid": 6006, "activity_id": 2, "file": {"name": "f", "size": 3, "hashes": [
        {"algorithm_id": 3, "value": "AB" * 32}]}},
     {"type": "file.downloaded", "file_name": "f", "size_bytes": 3, "file_sha256": "ab" * 32}),
    ({"class_uid": 6003, "activity_id": 2, "api": {"operation": "List"}}, {"type": "api.called", "operation": "List"}),
    ({"class_uid": 2004, "activity_id": 1, "finding_info": {"title": "T"}}, {"type": "finding.created"}),
    ({"class_uid": 4001, "activity_id": 6}, {"type": "ocsf_4001.activity_6"}),
    ({"src_endpoint": {"location": {"coordinates": [10.0, 50.0], "country": "DE"}}},
     {"lat": 50.0, "lon": 10.0, "country": "DE"}),
    ({"src_endpoint": {"location": {"coordinates": [10.0, 95.0]}}}, {"lat": None, "lon": None}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), OCSF_CASES)
def test_ocsf_mapping(changes: dict, expected: dict) -> None:
    found = one("ocsf", ocsf(**changes))
    assert {name: found.get(name) for name in expected} == expected


def test_host_names_and_wrong_types_stay_in_attributes() -> None:
    found = one("cloudtrail", trail(sourceIPAddress="x.amazonaws.com", userAgent=["odd"], technique="t", awsRegion=7))
    further = json.loads(found["attributes"])
    assert "ip" not in found
    assert further["sourceIPAddress"] == "x.amazonaws.com"
    assert further["userAgent"] == ["odd"]
    assert further["technique"] == "t"
    assert further["requestParameters"] == TRAIL["requestParameters"]
    assert found["region"] == "7"
    assert further["awsRegion"] == 7
    assert "eventID" not in further
    mail = one("m365", audit())
    assert json.loads(mail["attributes"])["ClientIP"] == "192.0.2.7:5678"
    assert json.loads(mail["attributes"])["UserId"] == "Alice@Example.com"


def test_records_objects_are_expanded_and_each_counts() -> None:
    block = json.dumps({"Records": [TRAIL, {"eventName": 1}, "x", TRAIL]}).encode() + b"\n" + trail()
    decoded = FORMATS["cloudtrail"].decoder("s", "p").decode(block, 3)
    assert decoded.read == 5
    assert decoded.events.column("offset").to_pylist() == [3, 6, 7]
    assert [(letter.offset, letter.reason) for letter in decoded.dead] == [(4, "time.missing"), (5, "json.not_object")]


JSONS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8),
              st.sampled_from(["2024-01-01T00:00:00Z", "192.0.2.1", "Allow", "*", "arn:aws:iam::1:root"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(
        st.sampled_from(["Name", "Value", "AWS", "Statement", "Principal", "userName", "arn", "items", "x"]), inner,
        max_size=3)),
    max_leaves=6,
)  # fmt: skip
OPERATIONS = st.sampled_from(
    ["ConsoleLogin", "PutBucketPolicy", "GetObject", "ModifySnapshotAttribute", "CreateAccessKey", "UserLoggedIn",
     "New-InboxRule", "SharingSet", "Consent to application.", "PutBucketAcl", "AddPermission"]
)  # fmt: skip
GARBAGE = {
    "cloudtrail": (TRAIL, "eventName"),
    "m365": (AUDIT, "Operation"),
    "ocsf": (OCSF, "activity_name"),
    "workspace": (WORKSPACE, "kind"),
    "dropbox": (DROPBOX, "timestamp"),
    "syslog": (TRAIL, "eventName"),
    "native": ({"time": 0, "type": "a", "ip": "x", "actor": "b", "attributes": {}, "record": "event"}, "type"),
}


@pytest.mark.parametrize("name", sorted(FORMATS))
@CHECKED
@given(data=st.data())
def test_read_is_events_plus_facts_plus_labels_plus_dead(name: str, data: st.DataObject) -> None:
    template, operation = GARBAGE[name]
    lines = []
    for _ in range(data.draw(st.integers(0, 4))):
        record = dict(template)
        record[operation] = data.draw(OPERATIONS)
        for key in data.draw(st.lists(st.sampled_from(sorted(template)), max_size=3)):
            record[key] = data.draw(JSONS)
        for key in data.draw(st.lists(st.sampled_from(
                ["requestParameters", "responseElements", "Parameters", "ModifiedProperties", "file", "actor",
                 "Records", "ExtendedProperties", "AuditData", "events", "items", "event_type",
                 "unmapped"]), max_size=2)):  # fmt: skip
            record[key] = data.draw(JSONS)
        lines.append(json.dumps(record).encode())
    lines += data.draw(st.lists(st.binary(max_size=12), max_size=3))
    block = b"\n".join(data.draw(st.permutations(lines)))
    decoded = FORMATS[name].decoder("s", "p").decode(block, 0)
    assert decoded.balanced
    check_table(decoded.events)
    places = [*decoded.events.column("offset").to_pylist(), *(letter.offset for letter in decoded.dead)]
    assert sorted(places) == list(range(decoded.read))
    assert all(letter.reason in REASONS for letter in decoded.dead)


@CHECKED
@given(data=st.data())
def test_plain_cloudtrail_records_read_as_the_general_reader_does(data: st.DataObject) -> None:
    lines = []
    for _ in range(data.draw(st.integers(1, 4))):
        record = {
            **TRAIL,
            "eventName": data.draw(st.sampled_from(["GetObject", "PutObject", "ListBuckets", "PutUserPolicy"])),
        }
        for key in data.draw(st.lists(st.sampled_from([*TRAIL, "errorCode", "resources", "technique"]), max_size=3)):
            record[key] = data.draw(JSONS)
        lines.append(json.dumps(record, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "surrogatepass"))
    fast = CloudTrailDecoder("s", "p").decode(b"\n".join(lines), 0)
    slow = CloudTrailDecoder("s", "p", general_only=True).decode(b"\n".join(lines), 0)
    assert fast.dead == slow.dead
    assert [opened(row) for row in fast.events.to_pylist()] == [opened(row) for row in slow.events.to_pylist()]


def opened(row: dict) -> dict:
    """A row without nulls, its attributes as an object without nulls at the top."""
    further = json.loads(row.pop("attributes", None) or "{}")
    kept = {name: value for name, value in row.items() if value is not None}
    return {**kept, "attributes": {name: value for name, value in further.items() if value is not None}}


def test_plain_records_are_read_by_the_fast_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudtrail.Intake, "read", lambda *_: pytest.fail("a plain record was declined"))
    assert CloudTrailDecoder("s", "p").decode(trail(), 0).events.num_rows == 1


def test_every_mapping_names_columns_of_the_event_table() -> None:
    from shoal.events.formats.tables import cloudtrail as cloudtrail_tables
    from shoal.events.formats.tables import m365 as m365_tables
    from shoal.events.formats.tables import ocsf as ocsf_tables

    tables = [*cloudtrail_tables.COLUMNS, *m365_tables.COLUMNS, *ocsf_tables.COLUMNS]
    for operations in (cloudtrail_tables.BY_OPERATION, m365_tables.BY_OPERATION):
        tables += [column for columns in operations.values() for column in columns]
    assert all(column.name in BY_NAME for column in tables)
    for operation in (*m365_tables.BY_OPERATION, *m365_tables.TYPES):
        assert operation == operation.strip().rstrip(".")


def test_a_field_that_two_columns_read_stays_in_attributes() -> None:
    mapping = Mapping([Column("actor", ("A",)), Column("account", ("A",)), Column("file", ("B",))])
    assert mapping.taken == {"B"}


@pytest.mark.parametrize(
    ("head", "name"),
    [(GOOD["cloudtrail"], "cloudtrail"), (GOOD["m365"], "m365"), (GOOD["ocsf"], "ocsf"),
     (b'{"time":"2024-01-01T00:00:00Z","type":"a.b"}', "native"), (sheet(row("{}")), "m365"),
     (b'{"Records":[' + GOOD["cloudtrail"], "cloudtrail"), (b"hello", None), (b"", None), (b'{"a":1}', None)],
)  # fmt: skip
def test_the_format_is_guessed_from_the_head(head: bytes, name: str | None) -> None:
    assert guess_format(head) == name
