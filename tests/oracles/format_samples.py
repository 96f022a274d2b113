"""Records as the vendors document them, for the readers' tests: example names and reserved addresses only."""

import json
from typing import Any

WORKSPACE: dict[str, Any] = {
    "kind": "admin#reports#activity",
    "id": {"time": "2026-01-05T09:00:00.123Z", "uniqueQualifier": "-4821", "applicationName": "login",
           "customerId": "C03k8x2pq"},
    "etag": '"d7Rk/AbC"',
    "actor": {"callerType": "USER", "email": "Ann@example.com", "profileId": "104729385610473829156"},
    "ownerDomain": "example.com",
    "ipAddress": "192.0.2.7",
    "events": [{"type": "login", "name": "login_success", "parameters": [
        {"name": "login_type", "value": "google_password"},
        {"name": "login_challenge_method", "multiValue": ["password", "google_prompt"]},
        {"name": "is_suspicious", "boolValue": False}]}],
}  # fmt: skip

DROPBOX: dict[str, Any] = {
    "timestamp": "2026-01-05T09:00:00Z",
    "event_category": {".tag": "sharing"},
    "actor": {".tag": "user", "user": {".tag": "team_member", "account_id": "dbid:AAA", "display_name": "Ann",
                                       "email": "Ann@example.com", "team_member_id": "dbmid:AAA"}},
    "origin": {"geo_location": {"city": "Zurich", "region": "Zurich", "country": "CH", "ip_address": "192.0.2.7"},
               "access_method": {".tag": "end_user", "end_user": {".tag": "web", "session_id": "dbwsid:1"}}},
    "involve_non_team_member": True,
    "context": {".tag": "team_member", "account_id": "dbid:AAA", "display_name": "Ann", "email": "ann@example.com",
                "team_member_id": "dbmid:AAA"},
    "participants": [{".tag": "user", "user": {".tag": "non_team_member", "account_id": "dbid:BBB",
                                               "display_name": "Bo", "email": "bo@example.net"}}],
    "assets": [{".tag": "file", "path": {"contextual": "/plans/a.pdf", "namespace_relative":
                {"ns_id": "1", "relative_path": "/a.pdf", "is_shared_namespace": True}},
                "display_name": "a.pdf", "file_id": "id:F", "file_size": 1200}],
    "event_type": {".tag": "shared_content_add_member", "description": "Added users to a shared file/folder"},
    "details": {".tag": "shared_content_add_member_details", "shared_content_access_level": {".tag": "editor"}},
}  # fmt: skip


def activity(application: str, name: str, parameters: dict[str, Any], **changes: Any) -> bytes:
    """An activity of one event; a parameter's value says under which key it stands."""
    kinds = {bool: "boolValue", list: "multiValue", str: "value", int: "intValue"}
    listed = [
        {"name": key, kinds[type(value)]: str(value) if type(value) is int else value}
        for key, value in parameters.items()
    ]
    event = {"type": "t", "name": name, "parameters": listed}
    made = {**WORKSPACE, "id": {**WORKSPACE["id"], "applicationName": application}, "events": [event], **changes}
    return json.dumps({key: value for key, value in made.items() if value is not ...}).encode()


def team_event(tag: str, details: dict[str, Any] | None = None, **changes: Any) -> bytes:
    """An event of the team log."""
    made = {**DROPBOX, "event_type": {".tag": tag, "description": "…"},
            "details": {".tag": f"{tag}_details", **(details or {})}, **changes}  # fmt: skip
    return json.dumps({key: value for key, value in made.items() if value is not ...}).encode()
