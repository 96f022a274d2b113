"""Google Workspace, Dropbox and syslog-wrapped records: mappings, malformed inputs, pages, and guesses."""

import json
from pathlib import Path
from typing import Any

import pytest

from oracles.format_samples import DROPBOX, WORKSPACE, activity, team_event
from shoal.adapters.files import FileSource
from shoal.events.deadletters import REASONS
from shoal.events.decode import Decoded
from shoal.events.formats import FORMATS, guess_format, rank_formats
from shoal.events.formats.tables import dropbox, workspace
from shoal.events.schema import BY_NAME

NATIVE = b'{"time":"2026-01-05T09:00:00Z","type":"login.succeeded","account":"ann"}'
GOOD = {"workspace": json.dumps(WORKSPACE).encode(), "dropbox": json.dumps(DROPBOX).encode(),
        "syslog": b"<34>1 2026-01-05T09:00:00Z gw app 7 - - " + NATIVE}  # fmt: skip
PAGE = {"kind": "admin#reports#activities", "etag": '"x"', "items": [WORKSPACE, WORKSPACE]}
ANSWER = {"events": [DROPBOX, DROPBOX], "cursor": "c", "has_more": False}


def decode(name: str, block: bytes, offset: int = 0) -> Decoded:
    decoded = FORMATS[name].decoder("s", "p").decode(block, offset)
    assert decoded.balanced
    return decoded


def first(name: str, block: bytes) -> dict[str, Any]:
    decoded = decode(name, block)
    assert decoded.dead == ()
    row = decoded.events.to_pylist()[0]
    return {key: value for key, value in row.items() if value is not None and key not in ("source", "partition")}


def changed(base: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({key: value for key, value in {**base, **changes}.items() if value is not ...}).encode()


ID = WORKSPACE["id"]
MALFORMED = [
    *((name, line, reason) for name in ("workspace", "dropbox") for line, reason in [
        (b"{", "json.malformed"), (b"5", "json.not_object"), (b"{\"x\":\"\xff\"}", "utf8.invalid"),
        (b'{"x":"\\ud800"}', "text.surrogate"), (b'{"x":"' + b"y" * (1 << 20) + b'"}', "line.too_long"),
        (b'{"x":' + b"[" * 64 + b"]" * 64 + b"}", "nesting.too_deep"),
    ]),
    ("workspace", b"{}", "type.missing"),
    ("workspace", changed(WORKSPACE, events=...), "type.missing"),
    ("workspace", changed(WORKSPACE, events=[]), "type.missing"),
    ("workspace", changed(WORKSPACE, events=[5]), "type.wrong"),
    ("workspace", changed(WORKSPACE, events=[{"type": "login"}]), "type.missing"),
    ("workspace", changed(WORKSPACE, id=...), "time.missing"),
    ("workspace", changed(WORKSPACE, id={**ID, "time": "noon"}), "time.malformed"),
    ("workspace", changed(WORKSPACE, id={**ID, "time": "1960-01-01T00:00:00Z"}), "time.out_of_range"),
    ("workspace", changed(WORKSPACE, ownerDomain="y" * 65537), "text.too_long"),
    ("workspace", changed(WORKSPACE, ownerDomain="\x01erased:0"), "text.erased_mark"),
    ("workspace", json.dumps({"items": [5]}).encode(), "type.wrong"),
    ("dropbox", b"{}", "time.missing"),
    ("dropbox", changed(DROPBOX, timestamp=...), "time.missing"),
    ("dropbox", changed(DROPBOX, timestamp=[]), "time.malformed"),
    ("dropbox", changed(DROPBOX, timestamp="2026-01-05T09:00:00"), "time.zone_missing"),
    ("dropbox", changed(DROPBOX, event_type=...), "type.missing"),
    ("dropbox", changed(DROPBOX, event_type={}), "type.missing"),
    ("dropbox", changed(DROPBOX, event_type={".tag": {"x": 1}}), "type.missing"),
    ("dropbox", json.dumps({"events": ["x"]}).encode(), "type.wrong"),
    ("syslog", b"hello", "syslog.header"),
    ("syslog", b"<34>1 2026-01-05T09:00:00Z gw app 7 - - hello", "syslog.payload"),
    ("syslog", b"<34>1 2026-01-05T09:00:00Z gw app 7 - -", "syslog.payload"),
    ("syslog", b"<999>1 2026-01-05T09:00:00Z gw app 7 - - " + NATIVE, "syslog.header"),
    ("syslog", b"<34>1 2026-01-05T09:00:00Z gw app 7 - [broken " + NATIVE, "syslog.header"),
    ("syslog", b"<34>1 2026-01-05T09:00:00Z g\xff app 7 - - " + NATIVE, "utf8.invalid"),
    ("syslog", b'<34>{"a":1}', "syslog.payload"),
    ("syslog", b'<34>Jan  5 09:00:00 gw app: {"time":"noon","type":"a.b"}', "time.malformed"),
    ("syslog", b'<34>Jan  5 09:00:00 gw app: {"time":1,"type":"a.b"', "json.malformed"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "line", "reason"), MALFORMED)
def test_each_malformed_record_is_a_dead_letter_with_its_reason(name: str, line: bytes, reason: str) -> None:
    decoded = decode(name, GOOD[name] + b"\n" + line + b"\n\n" + GOOD[name] + b"\n", 5)
    assert [(letter.offset, letter.reason) for letter in decoded.dead] == [(6, reason)]
    assert decoded.dead[0].raw == line[: 64 * 1024]
    assert decoded.events.column("offset").to_pylist() == [5, 7]
    assert reason in REASONS


WORKSPACE_EVENTS = [
    ("login", "login_success", {}, "login.succeeded", {"outcome": "success"}),
    ("login", "login_failure", {"login_failure_type": "x"}, "login.failed", {"outcome": "failure", "reason": "x"}),
    ("login", "login_challenge", {"login_challenge_status": "Challenge Passed."}, "challenge.passed", {}),
    ("login", "login_challenge", {"login_challenge_status": "Challenge Failed."}, "challenge.failed",
     {"outcome": "failure"}),
    ("login", "login_verification", {}, "challenge.issued", {}),
    ("login", "logout", {}, "session.ended", {}),
    ("login", "suspicious_login", {"affected_email_address": "Bo@example.com", "login_timestamp": 1767603600000000},
     "login.flagged", {"account": "bo@example.com", "reason": "suspicious_login"}),
    ("login", "account_disabled_hijacked", {"affected_email_address": "bo@example.com"}, "account.disabled",
     {"account": "bo@example.com", "reason": "account_disabled_hijacked"}),
    ("user_accounts", "2sv_enroll", {}, "mfa.enrolled", {}),
    ("user_accounts", "2sv_disable", {}, "mfa.removed", {}),
    ("user_accounts", "password_edit", {}, "password.changed", {}),
    ("user_accounts", "recovery_email_edit", {}, "email.changed", {}),
    ("user_accounts", "email_forwarding_out_of_domain", {"email_forwarding_destination_address": "x@example.net"},
     "rule.created", {"recipient": "x@example.net", "external": True}),
    ("drive", "view", {"doc_id": "d1", "doc_title": "a", "owner": "Bo@example.com"}, "file.accessed",
     {"file": "d1", "file_name": "a", "owner": "bo@example.com"}),
    ("drive", "download", {"doc_id": "d1"}, "file.downloaded", {}),
    ("drive", "upload", {"doc_id": "d1"}, "file.uploaded", {}),
    ("drive", "edit", {"doc_id": "d1"}, "file.modified", {}),
    ("drive", "rename", {"doc_id": "d1"}, "file.renamed", {}),
    ("drive", "trash", {"doc_id": "d1"}, "file.deleted", {}),
    ("drive", "delete", {"doc_id": "d1"}, "file.deleted", {}),
    ("drive", "change_user_access", {"doc_id": "d1", "doc_type": "folder", "owner": "ann@example.com",
     "target_user": "x@example.net", "new_value": "can_edit"}, "folder.shared",
     {"recipient": "x@example.net", "permission": "can_edit", "external": True}),
    ("drive", "change_user_access", {"doc_id": "d1", "owner": "ann@example.com", "target_user": "bo@example.com",
     "new_value": "can_view"}, "file.shared", {"external": False}),
    ("drive", "change_user_access", {"doc_id": "d1", "target_user": "bo@example.com", "new_value": "none"},
     "file.unshared", {}),
    ("drive", "change_document_visibility", {"doc_id": "d1", "new_value": ["people_with_link"]}, "link.created",
     {"link": "d1", "external": True, "permission": "people_with_link"}),
    ("drive", "change_document_visibility", {"doc_id": "d1", "new_value": "private"}, "link.stopped", {}),
    ("token", "authorize", {"client_id": "c1", "app_name": "n", "scope": ["a", "b"]}, "app.authorized",
     {"app": "c1", "permission": "a b"}),
    ("token", "revoke", {"client_id": "c1"}, "app.revoked", {}),
    ("admin", "CHANGE_PASSWORD", {"USER_EMAIL": "Bo@example.com"}, "password.reset", {"account": "bo@example.com"}),
    ("admin", "GRANT_ADMIN_PRIVILEGE", {"USER_EMAIL": "bo@example.com"}, "permission.granted",
     {"recipient": "bo@example.com", "permission": "admin"}),
    ("admin", "ASSIGN_ROLE", {"USER_EMAIL": "bo@example.com", "ROLE_NAME": "_SEED_ADMIN_ROLE"}, "permission.granted",
     {"permission": "_SEED_ADMIN_ROLE"}),
    ("admin", "SUSPEND_USER", {"USER_EMAIL": "bo@example.com"}, "account.disabled", {"account": "bo@example.com"}),
    ("admin", "ALLOW_STRONG_AUTHENTICATION", {}, "setting.changed", {}),
    ("admin", "SOMETHING_NEW", {}, "api.called", {"operation": "SOMETHING_NEW"}),
    ("groups", "login_success", {}, "api.called", {"service": "groups"}),
]  # fmt: skip


@pytest.mark.parametrize(("application", "name", "parameters", "kind", "columns"), WORKSPACE_EVENTS)
def test_workspace_events(
    application: str, name: str, parameters: dict[str, Any], kind: str, columns: dict[str, Any]
) -> None:
    row = first("workspace", activity(application, name, parameters))
    assert row["type"] == kind
    assert {key: row.get(key) for key in columns} == columns
    kept = json.loads(row["attributes"])
    assert kept["parameters"] == parameters
    assert row["time"] == 1_767_603_600_123_000


def test_every_documented_event_of_the_tables_is_read_as_its_type() -> None:
    varied = {"login_challenge", "login_verification", "change_user_access", "change_document_visibility"}
    for application, names in workspace.TYPES.items():
        for name, kind in names.items():
            if name not in varied:
                assert first("workspace", activity(application, name, {}))["type"] == kind
    for tag, kind in dropbox.TYPES.items():
        assert first("dropbox", team_event(tag))["type"] == kind


def test_an_activity_of_several_events_is_as_many_records_with_ids_of_their_own() -> None:
    event = WORKSPACE["events"][0]
    decoded = decode("workspace", changed(WORKSPACE, events=[event, 5, event]) + b"\n" + GOOD["workspace"], 10)
    assert decoded.read == 4
    assert decoded.events.column("offset").to_pylist() == [10, 12, 13]
    assert [letter.offset for letter in decoded.dead] == [11]
    ids = decoded.events.column("event_id").to_pylist()
    assert ids == [f"login/2026-01-05T09:00:00.123Z/-4821{end}" for end in ("", "#2", "")]


def test_parameters_that_are_not_as_documented_stay_as_they_are() -> None:
    odd = [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]
    row = first("workspace", changed(WORKSPACE, events=[{"name": "login_success", "parameters": odd}]))
    assert json.loads(row["attributes"])["parameters"] == odd


TEAM_EVENTS = [
    ("login_success", {"login_method": {".tag": "password"}}, {}, "login.succeeded", {"method": "password"}),
    ("login_fail", {"login_method": {".tag": "saml"}, "error_details": {"user_friendly_message": "no"}}, {},
     "login.failed", {"outcome": "failure", "error": "no"}),
    ("tfa_change_status", {"new_value": {".tag": "authenticator"}}, {}, "mfa.enrolled", {"method": "authenticator"}),
    ("tfa_change_status", {"new_value": {".tag": "disabled"}}, {}, "mfa.removed", {}),
    ("member_change_status", {"new_value": {".tag": "suspended"}}, {"context": ...}, "account.disabled",
     {"account": "bo@example.net", "actor": "ann@example.com"}),
    ("member_change_status", {"previous_value": {".tag": "invited"}, "new_value": {".tag": "active"}}, {},
     "account.created", {}),
    ("member_change_admin_role", {"new_value": {".tag": "team_admin"}}, {"context": ...}, "permission.granted",
     {"recipient": "bo@example.net", "permission": "team_admin"}),
    ("member_change_admin_role", {"new_value": {".tag": "member_only"}}, {}, "permission.revoked", {}),
    ("shared_content_add_member", {"shared_content_access_level": {".tag": "editor"}}, {}, "folder.shared",
     {"recipient": "bo@example.net", "permission": "editor", "file": "id:F", "size_bytes": 1200, "external": True,
      "session": "dbwsid:1", "client": "web", "country": "CH", "ip": "192.0.2.7", "account": "ann@example.com"}),
    ("shared_content_download", {"shared_content_link": "https://example.com/s/1",
     "shared_content_owner": {".tag": "team_member", "email": "Cy@example.com"}}, {}, "file.downloaded",
     {"link": "https://example.com/s/1", "url": "https://example.com/s/1", "owner": "cy@example.com"}),
    ("shared_link_view", {"shared_link_owner": {".tag": "team_member", "email": "cy@example.com"}},
     {"actor": {".tag": "anonymous"}, "context": {".tag": "anonymous"}, "participants": []}, "link.visited",
     {"owner": "cy@example.com", "link": "id:F", "actor": None, "account": None}),
    ("create_folder", {}, {"assets": [{".tag": "folder", "path": {"contextual": "/f"}}] * 2}, "folder.created",
     {"resource": "/f", "file": None, "items": 2}),
    ("app_link_user", {"app_info": {".tag": "user_linked_app", "app_id": "a1"}}, {}, "app.authorized", {"app": "a1"}),
    ("device_link_success", {"device_session_info": {".tag": "desktop_device_session", "session_info":
     {".tag": "desktop", "session_id": "dbdsid:9"}}}, {}, "device.linked", {"device": "dbdsid:9"}),
    ("something_new", {}, {}, "api.called", {"operation": "something_new"}),
]  # fmt: skip


@pytest.mark.parametrize(("tag", "details", "changes", "kind", "columns"), TEAM_EVENTS)
def test_dropbox_events(
    tag: str, details: dict[str, Any], changes: dict[str, Any], kind: str, columns: dict[str, Any]
) -> None:
    row = first("dropbox", team_event(tag, details, **changes))
    assert row["type"] == kind
    assert {key: row.get(key) for key in columns} == columns


def test_a_tag_is_renamed_as_a_key_and_nowhere_else() -> None:
    odd = '".tag": ".tag'
    row = first("dropbox", team_event("file_add", {"note": odd, "inner": {".tag": ".tag"}}))
    assert json.loads(row["attributes"])["details"] == {
        "tag": "file_add_details",
        "note": odd,
        "inner": {"tag": ".tag"},
    }


def test_every_mapping_names_columns_of_the_event_table() -> None:
    listed = [*workspace.COLUMNS, *dropbox.COLUMNS, dropbox.OF_PARTICIPANT]
    listed += [column for columns in workspace.BY_EVENT.values() for column in columns]
    assert all(column.name in BY_NAME for column in listed)
    assert set(workspace.BY_EVENT) <= {name for names in workspace.TYPES.values() for name in names}
    assert (dropbox.MEMBERS | dropbox.FAILURES) - set(dropbox.TYPES) == set()


WHOLE = [
    ("workspace", PAGE, 2),
    ("dropbox", ANSWER, 2),
    ("workspace", [WORKSPACE], 1),
    ("workspace", {"items": [WORKSPACE], "kind": PAGE["kind"], "nextPageToken": 'n"]}'}, 1),
]
PAGES = [
    *((name, page, events, indent) for name, page, events in WHOLE for indent in (None, 2)),
    ("workspace", {**PAGE, "items": []}, 0, None),
    ("workspace", {"kind": PAGE["kind"], "etag": "x"}, 0, None),
]


@pytest.mark.parametrize("block_bytes", [64, 1 << 20])
@pytest.mark.parametrize(("name", "page", "events", "indent"), PAGES)
def test_pages_of_an_api_one_or_several(
    tmp_path: Path, name: str, page: Any, events: int, indent: int | None, block_bytes: int
) -> None:
    path = tmp_path / "page.json"
    repeats = 3 if isinstance(page, dict) and events else 1
    path.write_text("\n".join([json.dumps(page, indent=indent)] * repeats))
    source = FileSource([path], name, block_bytes=block_bytes)
    parts = list(source)
    assert sum(part.events.num_rows for part in parts) == events * repeats
    assert source.records_dead == 0
    offsets = [offset for part in parts for offset in part.events.column("offset").to_pylist()]
    assert offsets == list(range(events * repeats))


@pytest.mark.parametrize("cut", [100, 900, 1500, 2300])
def test_a_page_that_ends_early_gives_what_it_holds_and_a_dead_letter(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "page.json"
    path.write_bytes(json.dumps({**PAGE, "items": [WORKSPACE] * 4}).encode()[:cut])
    source = FileSource([path], "workspace")
    parts = list(source)
    assert all(part.balanced for part in parts)
    assert source.records_dead == 1
    assert sum(part.events.num_rows for part in parts) == (cut - 70) // (len(json.dumps(WORKSPACE)) + 2)


HEADERS = [
    (b"<34>1 2026-01-05T09:00:00.5+01:00 gw app 7 ID [ex@32473 a=\"]\\\"\"][b@1] \xef\xbb\xbf",
     {"syslog_host": "gw", "syslog_time": "2026-01-05T09:00:00.5+01:00", "syslog_app": "app", "syslog_priority": 34}),
    (b"<34>1 - - - - - - @cee:", {"syslog_priority": 34}),
    (b"<34>Jan  5 09:00:00 gw app[12]: @cee: ", {"syslog_host": "gw", "syslog_time": "Jan  5 09:00:00",
                                                "syslog_app": "app", "syslog_priority": 34}),
    (b"Jan  5 09:00:00 gw app: ", {"syslog_host": "gw", "syslog_time": "Jan  5 09:00:00", "syslog_app": "app"}),
    (b"2026-01-05T09:00:00+00:00 gw app[1]: ", {"syslog_host": "gw", "syslog_time": "2026-01-05T09:00:00+00:00",
                                               "syslog_app": "app"}),
    (b"<13>", {"syslog_priority": 13}),
    (b"<13>app[9]: ", {"syslog_priority": 13, "syslog_app": "app"}),
    (b"", {}),
]  # fmt: skip


@pytest.mark.parametrize(("header", "attributes"), HEADERS)
def test_headers_of_syslog(header: bytes, attributes: dict[str, Any]) -> None:
    row = first("syslog", header + NATIVE)
    assert row["account"] == "ann"
    assert json.loads(row.get("attributes", "{}")) == attributes


def test_a_field_of_the_payload_stands_before_the_header() -> None:
    row = first("syslog", b"<13>Jan  5 09:00:00 gw app: " + NATIVE[:-1] + b',"syslog_host":"own"}')
    assert json.loads(row["attributes"])["syslog_host"] == "own"


def test_messages_of_several_formats_keep_their_order_and_places() -> None:
    event = WORKSPACE["events"][0]
    lines = [NATIVE, changed(WORKSPACE, events=[event, event]), b"nonsense", json.dumps(DROPBOX).encode(), NATIVE]
    decoded = decode("syslog", b"\n".join(b"<13>" + line for line in lines), 100)
    assert decoded.read == 6
    assert decoded.events.column("offset").to_pylist() == [100, 101, 102, 104, 105]
    assert [letter.offset for letter in decoded.dead] == [103]
    assert decoded.events.column("type").to_pylist()[3] == "folder.shared"


@pytest.mark.parametrize("sizes", [1, 7, 1 << 16])
def test_messages_with_their_lengths(tmp_path: Path, sizes: int) -> None:
    from shoal.events.framing import frame

    message = b"<34>1 2026-01-05T09:00:00Z gw app 7 - - " + NATIVE.replace(b",", b",\n")
    data = b"".join(b"%d %s" % (len(message), message) for _ in range(5))
    chunks = [data[at : at + sizes] for at in range(0, len(data), sizes)]
    block = b"".join(frame(chunks, "syslog", 200))
    assert decode("syslog", block).events.num_rows == 5
    path = tmp_path / "a.log"
    path.write_bytes(data + b"999999999 <34>1 cut")
    source = FileSource([path])
    assert sum(part.events.num_rows for part in source) == 5
    assert source.formats == {"a.log": "syslog"}
    assert source.records_dead == 1


NATIVES = b'{"time":"2026-01-05T09:00:00Z","type":"a.b"}'
SAMPLES = [
    (GOOD["workspace"], "workspace"), (json.dumps(PAGE).encode(), "workspace"),
    (json.dumps(PAGE, indent=1).encode(), "workspace"), (activity("drive", "view", {}, kind=...), "workspace"),
    (GOOD["dropbox"], "dropbox"), (json.dumps(ANSWER).encode(), "dropbox"),
    (json.dumps(ANSWER, indent=2).encode(), "dropbox"),
    (GOOD["syslog"], "syslog"), (b"<13>" + GOOD["dropbox"], "syslog"), (b"120 <13>" + GOOD["workspace"], "syslog"),
    (b"Jan  5 09:00:00 gw app: " + GOOD["workspace"], "syslog"), (NATIVES, "native"),
    (b"time,type\n1,2\n", None), (b"PAR1\x00", None), (b"<html>", None), (b"<13>hello", None),
]  # fmt: skip


@pytest.mark.parametrize(("head", "name"), SAMPLES)
def test_the_format_is_guessed_from_the_head(head: bytes, name: str | None) -> None:
    assert guess_format(head) == name
    assert [found for found, _ in rank_formats(head)].count("native") == 1
