"""The OCSF mapping as data, both ways: class and activity ↔ event type, attribute paths ↔ columns.

Class and activity numbers are those of the Open Cybersecurity Schema Framework 1.4 (schema.ocsf.io): Authentication
3002, Account Change 3001, Entity Management 3004, User Access Management 3005, File Hosting Activity 6006, API Activity
6003, Detection Finding 2004. `docs/formats.md`
shows the same tables for people. Nothing here is computed.
"""

from __future__ import annotations

from shoal.events.formats.mapping import Column

VERSION = "1.4.0"
ENTITIES, USER_ACCESS = 3004, 3005
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
                        "finding_info.title", "entity.uid", "entity.name")),
    Column("operation", ("api.operation", "activity_name")),
    Column("service", ("api.service.name", "service.name")),
    Column("error", ("api.response.error", "status_code")),
    Column("method", ("auth_protocol",), "lower"),
    Column("user_agent", ("http_request.user_agent",)),
    Column("referrer", ("http_request.referrer",)),
    Column("permission", ("policy.name", "policy.uid", "privileges.0")),
    Column("reason", ("status_detail",)),
    Column("country", ("src_endpoint.location.country", "device.location.country")),
    Column("region", ("cloud.region", "src_endpoint.location.region")),
    Column("lat", ("src_endpoint.location.lat",), "number"),
    Column("lon", ("src_endpoint.location.long",), "number"),
    Column("asn", ("src_endpoint.autonomous_system.number",), "integer"),
)  # fmt: skip
"""Column ← paths; the first that has a value wins. Time, type, outcome, hashes and coordinates are read apart."""

TYPES: dict[int, dict[int, str]] = {
    USER_ACCESS: {1: "permission.granted", 2: "permission.revoked"},
    ENTITIES: {
        1: "entity.created", 2: "entity.read", 3: "entity.updated", 4: "entity.deleted", 5: "entity.moved",
        6: "entity.enrolled", 7: "entity.unenrolled", 8: "entity.enabled", 9: "entity.disabled",
        10: "entity.activated", 11: "entity.deactivated", 12: "entity.suspended", 13: "entity.resumed",
    },
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

NEAR_CLASS: dict[str, tuple[int, int]] = {
    "credential.created": (ENTITIES, 1),
    "credential.changed": (ENTITIES, 3),
    "credential.deleted": (ENTITIES, 4),
    "rule.created": (ENTITIES, 1),
    "role.created": (ENTITIES, 1),
    "role.deleted": (ENTITIES, 4),
    "setting.changed": (ENTITIES, 3),
    "device.linked": (ENTITIES, 6),
    "device.unlinked": (ENTITIES, 7),
    "app.authorized": (ENTITIES, 6),
    "app.revoked": (ENTITIES, 7),
    "challenge.issued": (AUTHENTICATION, 99),
    "challenge.passed": (AUTHENTICATION, 99),
    "challenge.failed": (AUTHENTICATION, 99),
    "login.flagged": (AUTHENTICATION, 99),
    "session.revoked": (AUTHENTICATION, 99),
    "email.changed": (ACCOUNT_CHANGE, 99),
    "phone.changed": (ACCOUNT_CHANGE, 99),
    "link.created": (FILE_HOSTING, 12),
    "link.changed": (FILE_HOSTING, 99),
    "link.stopped": (FILE_HOSTING, 13),
    "link.visited": (FILE_HOSTING, 9),
    "link.downloaded": (FILE_HOSTING, 2),
    "file.shared": (FILE_HOSTING, 12),
    "file.unshared": (FILE_HOSTING, 13),
    "invite.sent": (FILE_HOSTING, 12),
}
"""Event type → the class and activity it is written as, where those say less than the type; the type itself stands in
`unmapped.shoal`, so our reader gives it back."""

CLASS_NAMES: dict[int, str] = {
    AUTHENTICATION: "Authentication", ACCOUNT_CHANGE: "Account Change", FILE_HOSTING: "File Hosting Activity",
    API_ACTIVITY: "API Activity", DETECTION_FINDING: "Detection Finding", ENTITIES: "Entity Management",
    USER_ACCESS: "User Access Management",
}  # fmt: skip

WRITTEN: dict[str, str] = {
    "event_id": "metadata.uid",
    "org": "metadata.tenant_uid",
    "actor": "actor.user.name",
    "account": "user.name",
    "owner": "file.owner.name",
    "session": "actor.session.uid",
    "device": "device.uid",
    "ip": "src_endpoint.ip",
    "url": "http_request.url.url_string",
    "domain": "http_request.url.hostname",
    "file": "file.uid",
    "file_name": "file.name",
    "size_bytes": "file.size",
    "app": "actor.app_uid",
    "credential": "actor.user.credential_uid",
    "resource": "resources.0.uid",
    "operation": "api.operation",
    "service": "api.service.name",
    "error": "status_code",
    "method": "auth_protocol",
    "user_agent": "http_request.user_agent",
    "referrer": "http_request.referrer",
    "permission": "policy.name",
    "reason": "status_detail",
    "country": "src_endpoint.location.country",
    "region": "src_endpoint.location.region",
    "lat": "src_endpoint.location.lat",
    "lon": "src_endpoint.location.long",
    "asn": "src_endpoint.autonomous_system.number",
}
"""Column → the path that it is written to; the hash of a file, outcome, type and time are written apart."""
