"""The Dropbox mapping as data: columns ← record paths, and event type of the team log → our event type.

Names are those of the Dropbox Business API, `team_log/get_events` (namespace `team_log`). A union's `.tag` is read as
`tag`, so that a path can name it. `docs/formats.md` shows the same tables for people. Nothing here is computed.
"""

from __future__ import annotations

from shoal.events.formats.mapping import Column

_END_USER = "origin.access_method.end_user"

COLUMNS: tuple[Column, ...] = (
    Column("operation", ("event_type.tag",)),
    Column("service", ("event_category.tag",)),
    Column("actor", ("actor.user.email", "actor.admin.email", "actor.user.account_id", "actor.admin.account_id",
                     "actor.app.app_id", "actor.app.display_name", "actor.reseller.reseller_email"), "user"),
    Column("account", ("context.email", "context.account_id"), "user"),
    Column("owner", ("details.shared_link_owner.email", "details.shared_content_owner.email",
                     "details.shared_link_owner.account_id", "details.shared_content_owner.account_id"), "user"),
    Column("session", (f"{_END_USER}.session_id", "origin.access_method.sign_in_as.session_id",
                       "origin.access_method.admin_console.session_id",
                       "origin.access_method.content_manager.session_id",
                       "origin.access_method.enterprise_console.session_id")),
    Column("device", ("details.device_session_info.session_info.session_id",)),
    Column("ip", ("origin.geo_location.ip_address",), "address"),
    Column("country", ("origin.geo_location.country",)),
    Column("region", ("origin.geo_location.region",)),
    Column("client", (f"{_END_USER}.tag", "origin.access_method.tag")),
    Column("method", ("details.login_method.tag", "details.new_value.tag")),
    Column("file", ("assets.0.file_id", "assets.0.path.contextual")),
    Column("file_name", ("assets.0.display_name",)),
    Column("size_bytes", ("assets.0.file_size",), "integer"),
    Column("link", ("details.shared_content_link", "details.shared_link_url")),
    Column("url", ("details.shared_content_link", "details.shared_link_url"), "web"),
    Column("app", ("details.app_info.app_id", "details.app_info.display_name", "actor.app.app_id")),
    Column("error", ("details.error_details.technical_error_message", "details.error_details.user_friendly_message")),
    Column("permission", ("details.shared_content_access_level.tag", "details.shared_link_access_level.tag",
                          "details.new_access_level.tag", "details.new_value.tag")),
    Column("external", ("involve_non_team_member",), "boolean"),
)  # fmt: skip
"""Column ← paths, for every event; the first that has a value wins."""

OF_PARTICIPANT = Column(
    "recipient",
    ("participants.0.user.email", "participants.0.user.account_id", "participants.0.group.display_name",
     "participants.0.display_name", "details.invitees.0", "details.external_users.0.user_identifier"),
    "user",
)  # fmt: skip
"""The one whom an event is about, where it is not the actor: recipient of a share, or the member of `MEMBERS`."""

TYPES: dict[str, str] = {
    "login_success": "login.succeeded",
    "login_fail": "login.failed",
    "sso_error": "login.failed",
    "logout": "session.ended",
    "sign_in_as_session_start": "session.started",
    "sign_in_as_session_end": "session.ended",
    "device_link_success": "device.linked",
    "device_link_fail": "device.refused",
    "device_unlink": "device.unlinked",
    "app_link_user": "app.authorized",
    "app_link_team": "app.authorized",
    "app_unlink_user": "app.revoked",
    "app_unlink_team": "app.revoked",
    "password_change": "password.changed",
    "password_reset": "password.reset",
    "password_reset_all": "password.reset",
    "tfa_change_status": "mfa.enrolled",
    "tfa_add_backup_phone": "mfa.enrolled",
    "tfa_add_security_key": "mfa.enrolled",
    "tfa_add_exception": "mfa.removed",
    "tfa_remove_backup_phone": "mfa.removed",
    "tfa_remove_security_key": "mfa.removed",
    "tfa_reset": "mfa.removed",
    "member_change_email": "email.changed",
    "member_change_status": "account.changed",
    "member_change_admin_role": "permission.granted",
    "member_delete_manual_contacts": "contacts.deleted",
    "group_add_member": "permission.granted",
    "group_remove_member": "permission.revoked",
    "file_add": "file.uploaded",
    "file_add_from_automation": "file.uploaded",
    "file_request_receive_file": "file.uploaded",
    "file_save_copy_reference": "file.uploaded",
    "file_copy": "file.copied",
    "shared_content_copy": "file.copied",
    "file_edit": "file.modified",
    "file_revert": "file.modified",
    "file_rename": "file.renamed",
    "file_move": "file.moved",
    "file_delete": "file.deleted",
    "file_permanently_delete": "file.deleted",
    "file_restore": "file.restored",
    "rewind_folder": "file.restored",
    "file_rollback_changes": "file.restored",
    "file_download": "file.downloaded",
    "shared_content_download": "file.downloaded",
    "file_preview": "file.accessed",
    "shared_content_view": "file.accessed",
    "create_folder": "folder.created",
    "shared_folder_create": "folder.shared",
    "shared_content_add_member": "folder.shared",
    "shared_content_add_invitees": "invite.sent",
    "sf_team_invite": "folder.shared",
    "sf_external_invite_warn": "invite.sent",
    "shared_content_remove_member": "folder.unshared",
    "shared_content_remove_invitees": "folder.unshared",
    "shared_content_unshare": "folder.unshared",
    "shared_content_change_member_role": "permission.granted",
    "shared_folder_transfer_ownership": "folder.transferred",
    "shared_link_create": "link.created",
    "shared_link_change_visibility": "link.changed",
    "shared_link_settings_change_audience": "link.changed",
    "shared_link_settings_remove_password": "link.changed",
    "shared_link_settings_remove_expiration": "link.changed",
    "shared_link_share": "invite.sent",
    "shared_link_view": "link.visited",
    "shared_link_download": "link.downloaded",
    "shared_link_copy": "link.downloaded",
    "shared_link_disable": "link.stopped",
    "shared_link_remove_visitor": "link.changed",
    "file_request_create": "request.created",
    "file_transfers_transfer_send": "link.created",
    "file_transfers_transfer_download": "link.downloaded",
    "file_transfers_transfer_view": "link.visited",
    "team_folder_permanently_delete": "folder.deleted",
    "export_members_report": "resource.listed",
    "team_activity_create_report": "resource.listed",
    "admin_alerting_triggered_alert": "alert.raised",
    "ransomware_alert_create_report": "resource.listed",
}
"""Event type of the log → our event type."""

OTHER = "api.called"
"""All other events."""

FAILURES = frozenset({"login_fail", "sso_error", "device_link_fail"})
"""Events that tell of something that did not succeed; all others did."""

MEMBERS = frozenset({
    "member_change_email", "member_change_status", "member_change_admin_role", "password_reset", "tfa_reset",
    "sign_in_as_session_start", "sign_in_as_session_end",
})  # fmt: skip
"""Events whose participant is the account that they are about."""

STATUSES: dict[str, str] = {
    "invited": "invite.sent", "active": "account.enabled", "not_joined": "account.created",
    "suspended": "account.disabled", "removed": "account.deleted", "moved_to_another_team": "account.moved",
}  # fmt: skip
"""`new_value` of member_change_status → event type; `active` after `invited` or `not_joined` is account.created."""

TFA_OFF = "disabled"
"""The `new_value` of tfa_change_status that takes the second factor away."""
NO_ROLE = "member_only"
"""The `new_value` of member_change_admin_role that takes a role away."""
FOLDERS = frozenset({"folder", "paper_folder"})
"""Tags of assets that are folders: they go to `resource`, not `file`."""
