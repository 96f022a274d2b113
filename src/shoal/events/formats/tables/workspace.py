"""The Google Workspace mapping as data: columns ← record paths, and application and event name → event type.

Names are those of the Admin SDK Reports API, `activities.list`, for the applications login, user_accounts, drive,
token and admin. A record is one event of an activity, with the activity's other fields beside it and its `parameters`
as an object by name. `docs/formats.md` shows the same tables for people. Nothing here is computed.
"""

from __future__ import annotations

from shoal.events.formats.mapping import Column

COLUMNS: tuple[Column, ...] = (
    Column("operation", ("name",)),
    Column("service", ("id.applicationName",)),
    Column("org", ("id.customerId",)),
    Column("actor", ("actor.email", "actor.profileId", "actor.key"), "user"),
    Column("ip", ("ipAddress",), "address"),
    Column("asn", ("networkInfo.ipAsn.0",), "integer"),
    Column("country", ("networkInfo.regionCode",)),
    Column("region", ("networkInfo.subdivisionCode",)),
    Column("user_agent", ("parameters.user_agent",)),
    Column("app", ("parameters.client_id", "parameters.app_name", "parameters.originating_app_id",
                   "actor.applicationInfo.oauthClientId"), "words"),
    Column("owner", ("parameters.owner", "parameters.shared_drive_id"), "user"),
    Column("file", ("parameters.doc_id",)),
    Column("file_name", ("parameters.doc_title",)),
    Column("reason", ("parameters.login_failure_type",)),
    Column("method", ("parameters.login_challenge_method", "parameters.login_type"), "words"),
)  # fmt: skip
"""Column ← paths, for every event; the first that has a value wins."""

_AFFECTED = (Column("account", ("parameters.affected_email_address",), "user"),)
_USER = Column("account", ("parameters.USER_EMAIL",), "user")
_TO_USER = Column("recipient", ("parameters.USER_EMAIL",), "user")
_ACCESS = (
    Column("recipient", ("parameters.target_user", "parameters.target_domain", "parameters.target"), "user"),
    Column("permission", ("parameters.new_value", "parameters.added_role"), "words"),
)
_VISIBILITY = (
    Column("link", ("parameters.doc_id",)),
    Column("recipient", ("parameters.target_domain",), "user"),
    Column("permission", ("parameters.new_value", "parameters.visibility"), "words"),
)
_SCOPES = (Column("permission", ("parameters.scope",), "words"),)
_CLIENT = (
    Column("app", ("parameters.API_CLIENT_NAME", "parameters.OAUTH2_APP_ID"), "words"),
    Column("permission", ("parameters.API_SCOPES", "parameters.OAUTH2_SERVICE_NAME"), "words"),
)

BY_EVENT: dict[str, tuple[Column, ...]] = {
    "suspicious_login": _AFFECTED,
    "suspicious_login_less_secure_app": _AFFECTED,
    "suspicious_programmatic_login": _AFFECTED,
    "user_signed_out_due_to_suspicious_session_cookie": _AFFECTED,
    "account_disabled_generic": _AFFECTED,
    "account_disabled_hijacked": _AFFECTED,
    "account_disabled_password_leak": _AFFECTED,
    "account_disabled_spamming": _AFFECTED,
    "account_disabled_spamming_through_relay": _AFFECTED,
    "email_forwarding_out_of_domain": (
        Column("recipient", ("parameters.email_forwarding_destination_address",), "user"),
    ),
    "change_user_access": _ACCESS,
    "change_document_visibility": _VISIBILITY,
    "change_document_access_scope": _VISIBILITY,
    "change_owner": (Column("recipient", ("parameters.new_owner", "parameters.new_value"), "words"),),
    "shared_drive_membership_change": _ACCESS,
    "authorize": _SCOPES,
    "revoke": _SCOPES,
    "request": _SCOPES,
    "deny": _SCOPES,
    "CHANGE_PASSWORD": (_USER,),
    "CHANGE_PASSWORD_ON_NEXT_LOGIN": (_USER,),
    "CREATE_USER": (_USER,),
    "DELETE_USER": (_USER,),
    "SUSPEND_USER": (_USER,),
    "UNSUSPEND_USER": (_USER,),
    "UNDELETE_USER": (_USER,),
    "RESET_SIGNIN_COOKIES": (_USER,),
    "TURN_OFF_2_STEP_VERIFICATION": (_USER,),
    "CHANGE_RECOVERY_EMAIL": (_USER,),
    "CHANGE_RECOVERY_PHONE": (_USER,),
    "GRANT_ADMIN_PRIVILEGE": (_TO_USER,),
    "REVOKE_ADMIN_PRIVILEGE": (_TO_USER,),
    "GRANT_DELEGATED_ADMIN_PRIVILEGES": (_TO_USER, Column("permission", ("parameters.NEW_VALUE",), "words")),
    "ASSIGN_ROLE": (_TO_USER, Column("permission", ("parameters.ROLE_NAME",), "words")),
    "UNASSIGN_ROLE": (_TO_USER, Column("permission", ("parameters.ROLE_NAME",), "words")),
    "ADD_GROUP_MEMBER": (_TO_USER, Column("permission", ("parameters.GROUP_EMAIL",), "user")),
    "REMOVE_GROUP_MEMBER": (_TO_USER, Column("permission", ("parameters.GROUP_EMAIL",), "user")),
    "AUTHORIZE_API_CLIENT_ACCESS": _CLIENT,
    "REMOVE_API_CLIENT_ACCESS": _CLIENT,
    "ADD_TO_TRUSTED_OAUTH2_APPS": _CLIENT,
    "REMOVE_FROM_TRUSTED_OAUTH2_APPS": _CLIENT,
}
"""Event name → columns of its own."""

_SELF_SERVICE: dict[str, str] = {
    "2sv_enroll": "mfa.enrolled",
    "2sv_disable": "mfa.removed",
    "password_edit": "password.changed",
    "recovery_email_edit": "email.changed",
    "recovery_phone_edit": "phone.changed",
    "recovery_secret_qa_edit": "recovery.changed",
    "titanium_enroll": "protection.enrolled",
    "titanium_unenroll": "protection.removed",
    "email_forwarding_out_of_domain": "rule.created",
}

TYPES: dict[str, dict[str, str]] = {
    "login": {
        "login_success": "login.succeeded",
        "login_failure": "login.failed",
        "login_challenge": "challenge.issued",
        "login_verification": "challenge.issued",
        "logout": "session.ended",
        "suspicious_login": "login.flagged",
        "suspicious_login_less_secure_app": "login.flagged",
        "suspicious_programmatic_login": "login.flagged",
        "user_signed_out_due_to_suspicious_session_cookie": "session.revoked",
        "gov_attack_warning": "account.warned",
        "account_disabled_generic": "account.disabled",
        "account_disabled_hijacked": "account.disabled",
        "account_disabled_password_leak": "account.disabled",
        "account_disabled_spamming": "account.disabled",
        "account_disabled_spamming_through_relay": "account.disabled",
        **_SELF_SERVICE,
    },
    "user_accounts": _SELF_SERVICE,
    "drive": {
        "view": "file.accessed",
        "preview": "file.accessed",
        "print": "file.accessed",
        "download": "file.downloaded",
        "upload": "file.uploaded",
        "create": "file.created",
        "copy": "file.copied",
        "source_copy": "file.copied",
        "edit": "file.modified",
        "rename": "file.renamed",
        "move": "file.moved",
        "trash": "file.deleted",
        "delete": "file.deleted",
        "untrash": "file.restored",
        "change_user_access": "file.shared",
        "change_document_visibility": "link.created",
        "change_document_access_scope": "link.changed",
        "change_owner": "file.transferred",
        "shared_drive_membership_change": "permission.granted",
        "request_access": "access.requested",
    },
    "token": {
        "authorize": "app.authorized",
        "revoke": "app.revoked",
        "request": "app.requested",
        "deny": "app.denied",
    },
    "admin": {
        "CHANGE_PASSWORD": "password.reset",
        "CHANGE_PASSWORD_ON_NEXT_LOGIN": "password.expired",
        "CREATE_USER": "account.created",
        "DELETE_USER": "account.deleted",
        "UNDELETE_USER": "account.restored",
        "SUSPEND_USER": "account.disabled",
        "UNSUSPEND_USER": "account.enabled",
        "RESET_SIGNIN_COOKIES": "session.revoked",
        "TURN_OFF_2_STEP_VERIFICATION": "mfa.removed",
        "CHANGE_RECOVERY_EMAIL": "email.changed",
        "CHANGE_RECOVERY_PHONE": "phone.changed",
        "GRANT_ADMIN_PRIVILEGE": "permission.granted",
        "REVOKE_ADMIN_PRIVILEGE": "permission.revoked",
        "GRANT_DELEGATED_ADMIN_PRIVILEGES": "permission.granted",
        "ASSIGN_ROLE": "permission.granted",
        "UNASSIGN_ROLE": "permission.revoked",
        "ADD_GROUP_MEMBER": "permission.granted",
        "REMOVE_GROUP_MEMBER": "permission.revoked",
        "AUTHORIZE_API_CLIENT_ACCESS": "app.authorized",
        "REMOVE_API_CLIENT_ACCESS": "app.revoked",
        "ADD_TO_TRUSTED_OAUTH2_APPS": "app.trusted",
        "REMOVE_FROM_TRUSTED_OAUTH2_APPS": "app.distrusted",
        "ALLOW_SERVICE_FOR_OAUTH2_ACCESS": "setting.changed",
        "DISALLOW_SERVICE_FOR_OAUTH2_ACCESS": "setting.changed",
        "ALLOW_STRONG_AUTHENTICATION": "setting.changed",
        "ENFORCE_STRONG_AUTHENTICATION": "setting.changed",
        "CHANGE_APPLICATION_SETTING": "setting.changed",
        "CREATE_APPLICATION_SETTING": "setting.changed",
        "DELETE_APPLICATION_SETTING": "setting.changed",
        "CHANGE_DOCS_SETTING": "setting.changed",
        "CHANGE_EMAIL_SETTING": "setting.changed",
        "CHANGE_GMAIL_SETTING": "setting.changed",
        "TOGGLE_SERVICE_ENABLED": "setting.changed",
        "EMAIL_LOG_SEARCH": "resource.listed",
        "DOWNLOAD_USERLIST_CSV": "resource.listed",
    },
}
"""Application → event name → event type."""

OTHER = "api.called"
"""All other events."""

CHALLENGES: dict[str, str] = {"challenge passed": "challenge.passed", "challenge failed": "challenge.failed"}
"""`login_challenge_status`, in lower case and without its full stop → the type of a challenge."""

ADMIN_ROLE = "admin"
"""The permission of GRANT_ADMIN_PRIVILEGE and its revocation, which name none."""

NO_ACCESS = frozenset({"none", ""})
"""A `new_value` of change_user_access that takes access away."""
OPEN = frozenset({"people_with_link", "public_on_the_web"})
"""Visibilities that reach anyone."""
CLOSED = frozenset({"private", "shared_internally", "shared_externally"})
"""Visibilities without a link."""
