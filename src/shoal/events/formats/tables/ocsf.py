"""The OCSF mapping as data, both ways: class and activity ↔ event type, attribute paths ↔ columns.

Class and activity numbers are those of the Open Cybersecurity Schema Framework 1.4 (schema.ocsf.io): Authentication
3002, Account Change 3001, File Hosting Activity 6006, API Activity 6003, Detection Finding 2004. `docs/formats.md`
shows the same tables for people. Nothing here is computed.
"""

from __future__ import annotations

from shoal.events.formats.mapping import Column

VERSION = "1.4.0"
AUTHENTICATION, ACCOUNT_CHANGE, FILE_HOSTING, API_ACTIVITY, DETECTION_FINDING = 3002, 3001, 6006, 6003, 2004

COLUMNS: tuple[Column, ...] = (
    Column("event_id", ("metadata.uid", "finding_info.uid")),
    Column("actor", ("actor.user.name", "actor.user.email_addr", "actor.user.uid", "actor.invoked_by"), "user"),
    Column("account", ("user.name", "user.email_addr", "user.uid"), "user"),
    Column("owner", ("file.owner.name", "file.owner.email_addr", "file.owner.uid"), "user"),
    Column("org", ("cloud.account.uid", "metadata.tenant_uid", "actor.user.org.uid", "user.org.uid")),
    Column("session", ("session.uid", "actor.session.uid")),
    Column("device", ("device.uid", "src_endpoint.uid")),
    Column("ip", ("src_endpoint.ip", "device.ip"), "address"),
    Column("url", ("url.url_string", "http_request.url.url_string", "file.url.url_string"), "web"),
    Column("domain", ("url.hostname", "http_request.url.hostname", "src_endpoint.hostname")),
    Column("file", ("file.uid", "file.path")),
    Column("file_name", ("file.name",)),
    Column("size_bytes", ("file.size",), "integer"),
    Column("app", ("actor.app_uid", "actor.app_name")),
    Column("credential", ("actor.user.credential_uid", "user.credential_uid")),
    Column("resource", ("resources.0.uid", "resources.0.name", "resource.uid", "resource.name", "web_resources.0.uid",
                        "finding_info.title")),
    Column("operation", ("api.operation", "activity_name")),
    Column("service", ("api.service.name", "service.name")),
    Column("error", ("api.response.error", "status_code")),
    Column("method", ("auth_protocol",), "lower"),
    Column("user_agent", ("http_request.user_agent",)),
    Column("referrer", ("http_request.referrer",)),
    Column("permission", ("policy.name", "policy.uid")),
    Column("reason", ("status_detail",)),
    Column("country", ("src_endpoint.location.country", "device.location.country")),
    Column("region", ("cloud.region", "src_endpoint.location.region")),
    Column("lat", ("src_endpoint.location.lat",), "number"),
    Column("lon", ("src_endpoint.location.long",), "number"),
    Column("asn", ("src_endpoint.autonomous_system.number",), "integer"),
)  # fmt: skip
"""Column ← paths; the first that has a value wins. Time, type, outcome, hashes and coordinates are read apart."""

TYPES: dict[int, dict[int, str]] = {
    AUTHENTICATION: {
        1: "login.succeeded",  # login.failed where status_id is 2
        2: "session.ended",
        3: "session.started",
        4: "session.started",
        5: "session.used",
        6: "login.attempted",
    },
    ACCOUNT_CHANGE: {
        1: "account.created", 2: "account.enabled", 3: "password.changed", 4: "password.reset", 5: "account.disabled",
        6: "account.deleted", 7: "permission.granted", 8: "permission.revoked", 9: "account.locked",
        10: "mfa.enrolled", 11: "mfa.removed", 12: "account.unlocked",
    },
    FILE_HOSTING: {
        1: "file.uploaded", 2: "file.downloaded", 3: "file.modified", 4: "file.deleted", 5: "file.renamed",
        6: "file.copied", 7: "file.moved", 8: "file.restored", 9: "file.accessed", 10: "file.locked",
        11: "file.unlocked", 12: "folder.shared", 13: "folder.unshared", 14: "file.accessed", 15: "file.synced",
        16: "file.unsynced",
    },
    API_ACTIVITY: {1: "api.called", 2: "api.called", 3: "api.called", 4: "api.called"},
    DETECTION_FINDING: {1: "finding.created", 2: "finding.updated", 3: "finding.closed"},
}  # fmt: skip
"""Class → activity → event type. Another class or activity gives `ocsf_CLASS.activity_NUMBER`: nothing is guessed."""

CLASS_OF_TYPE: dict[str, tuple[int, int]] = {
    **{name: (uid, activity) for uid, table in TYPES.items() for activity, name in reversed(table.items())},
    "login.failed": (AUTHENTICATION, 1),
    "login.attempted": (AUTHENTICATION, 6),
}
"""Event type → (class, activity): the mapping back. All other types are API Activity with activity 99 (Other)."""

SEVERITIES: dict[str, int] = {
    "unknown": 0, "informational": 1, "low": 2, "medium": 3, "high": 4, "critical": 5, "fatal": 6,
}  # fmt: skip

OUTCOMES: dict[int, str] = {1: "success", 2: "failure"}
"""status_id → outcome."""
