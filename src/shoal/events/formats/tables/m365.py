"""The Microsoft 365 mapping as data: columns ← record paths, and operation → event type.

Paths are those of the Office 365 Management Activity API schema (common schema and the Azure AD, Exchange and
SharePoint schemas). `docs/formats.md` shows the same tables for people. Nothing here is computed.
"""

from __future__ import annotations

from shoal.events.formats.mapping import Column

COLUMNS: tuple[Column, ...] = (
    Column("event_id", ("Id",)),
    Column("operation", ("Operation",)),
    Column("service", ("Workload",)),
    Column("org", ("OrganizationId",)),
    Column("actor", ("UserId",), "user"),
    Column("owner", ("MailboxOwnerUPN",), "user"),
    Column("ip", ("ClientIP", "ActorIpAddress", "ClientIPAddress"), "address"),
    Column("user_agent", ("UserAgent", "ExtendedProperties.@UserAgent", "ClientInfoString")),
    Column("error", ("LogonError",)),
    Column("session", ("SessionId", "DeviceProperties.@SessionId", "AppAccessContext.AADSessionId")),
    Column("device", ("DeviceProperties.@Id", "DeviceId")),
    Column("app", ("ApplicationId", "ClientAppId", "AppId")),
    Column("resource", ("ObjectId", "MailboxGuid")),
    Column("file_name", ("SourceFileName",)),
    Column("size_bytes", ("FileSizeBytes",), "integer"),
    Column("items", ("OperationCount",), "integer"),
    Column("link", ("UniqueSharingId",)),
)
"""Column ← paths, for every operation; the first that has a value wins."""

_TO_OBJECT = Column("recipient", ("ObjectId",), "user")
_ABOUT_OBJECT = Column("account", ("ObjectId",), "user")
_ROLE = Column("permission", ("ModifiedProperties.@Role.DisplayName", "ModifiedProperties.@Group.DisplayName"))
_RIGHTS = Column("permission", ("Parameters.@AccessRights",))
_TRUSTEE = Column("recipient", ("Parameters.@User", "Parameters.@Trustee"), "user")
_SERVICE_APP = ("ModifiedProperties.@ServicePrincipal.ObjectID", "ModifiedProperties.@TargetId.ServicePrincipalNames")
_FORWARD = Column("recipient", (
    "Parameters.@ForwardTo", "Parameters.@RedirectTo", "Parameters.@ForwardAsAttachmentTo",
    "Parameters.@BlindCopyTo", "Parameters.@RedirectMessageTo", "Parameters.@ForwardingSmtpAddress",
), "user")  # fmt: skip
_SHARE = (
    Column("recipient", ("TargetUserOrGroupName",), "user"),
    Column("permission", ("EventData",)),
    Column("url", ("ObjectId",), "web"),
)
_FILE = (Column("file", ("ObjectId",)), Column("url", ("ObjectId",), "web"))

BY_OPERATION: dict[str, tuple[Column, ...]] = {
    "Consent to application": (
        Column("app", ("ObjectId",)),
        Column("permission", ("ModifiedProperties.@ConsentAction.Permissions",)),
    ),
    "Add service principal": (Column("app", ("ObjectId",)),),
    "Add delegated permission grant": (
        Column("app", _SERVICE_APP),
        Column("permission", ("ModifiedProperties.@DelegatedPermissionGrant.Scope",)),
    ),
    "Add app role assignment to service principal": (
        Column("app", _SERVICE_APP),
        Column("permission", ("ModifiedProperties.@AppRole.Value",)),
    ),
    "Add app role assignment grant to user": (
        Column("app", ("ModifiedProperties.@TargetId.ServicePrincipalNames", "ObjectId")),
        Column("permission", ("ModifiedProperties.@AppRole.Value",)),
        Column("recipient", ("ModifiedProperties.@User.UPN",), "user"),
    ),
    "Remove delegated permission grant": (Column("app", _SERVICE_APP),),
    "Remove service principal": (Column("app", ("ObjectId",)),),
    "Add member to role": (_TO_OBJECT, _ROLE),
    "Add eligible member to role": (_TO_OBJECT, _ROLE),
    "Add member to group": (_TO_OBJECT, _ROLE),
    "Add owner to group": (_TO_OBJECT, _ROLE),
    "Add owner to application": (_TO_OBJECT,),
    "Add owner to service principal": (_TO_OBJECT,),
    "Add-MailboxPermission": (_TRUSTEE, _RIGHTS),
    "Add-RecipientPermission": (_TRUSTEE, _RIGHTS),
    "Add-MailboxFolderPermission": (_TRUSTEE, _RIGHTS),
    "Add-RoleGroupMember": (Column("recipient", ("Parameters.@Member",), "user"),
                            Column("permission", ("Parameters.@Identity",))),
    "New-ManagementRoleAssignment": (_TRUSTEE, Column("permission", ("Parameters.@Role",))),
    "New-InboxRule": (_FORWARD,),
    "Set-InboxRule": (_FORWARD,),
    "New-TransportRule": (_FORWARD,),
    "Set-TransportRule": (_FORWARD,),
    "Set-Mailbox": (_FORWARD,),
    "Reset user password": (_ABOUT_OBJECT,),
    "Change user password": (_ABOUT_OBJECT,),
    "Add user": (_ABOUT_OBJECT,),
    "Delete user": (_ABOUT_OBJECT,),
    "Disable Strong Authentication": (_ABOUT_OBJECT,),
    "Enable Strong Authentication": (_ABOUT_OBJECT,),
    "SiteCollectionAdminAdded": (
        Column("recipient", ("TargetUserOrGroupName", "ModifiedProperties.@SiteAdmin"), "user"),
    ),
    "AddedToGroup": (Column("recipient", ("TargetUserOrGroupName",), "user"), Column("permission", ("EventData",))),
    "SharingSet": _SHARE, "SharingInvitationCreated": _SHARE, "AnonymousLinkCreated": _SHARE,
    "AnonymousLinkUpdated": _SHARE, "AnonymousLinkUsed": _SHARE, "SecureLinkCreated": _SHARE,
    "AddedToSecureLink": _SHARE, "CompanyLinkCreated": _SHARE,
    "FileDownloaded": _FILE, "FileAccessed": _FILE, "FileAccessedExtended": _FILE, "FilePreviewed": _FILE,
    "FileSyncDownloadedFull": _FILE, "FileSyncUploadedFull": _FILE, "FileUploaded": _FILE, "FileModified": _FILE,
    "FileModifiedExtended": _FILE, "FileDeleted": _FILE, "FileRecycled": _FILE, "FileRenamed": _FILE,
    "FileMoved": _FILE, "FileCopied": _FILE, "FileVersionsAllDeleted": _FILE, "FileMalwareDetected": _FILE,
    "FileDeletedFirstStageRecycleBin": _FILE, "FileDeletedSecondStageRecycleBin": _FILE,
}  # fmt: skip
"""Operation (without the final full stop) → columns that only it has, over the general ones."""

TYPES: dict[str, str] = {
    "UserLoggedIn": "login.succeeded", "UserLoginFailed": "login.failed", "MailboxLogin": "login.succeeded",
    "TeamsSessionStarted": "session.started",
    "Update StsRefreshTokenValidFrom Timestamp": "session.revoked",
    "Consent to application": "app.authorized", "Add service principal": "app.authorized",
    "Add delegated permission grant": "app.authorized", "Add OAuth2PermissionGrant": "app.authorized",
    "Add app role assignment to service principal": "app.authorized",
    "Add app role assignment grant to user": "app.authorized",
    "Add app role assignment to group": "app.authorized",
    "Remove delegated permission grant": "app.revoked", "Remove service principal": "app.revoked",
    "Remove app role assignment from service principal": "app.revoked",
    "Update application – Certificates and secrets management": "credential.created",
    "Add service principal credentials": "credential.created",
    "Add member to role": "permission.granted", "Add eligible member to role": "permission.granted",
    "Add member to group": "permission.granted", "Add owner to group": "permission.granted",
    "Add owner to application": "permission.granted", "Add owner to service principal": "permission.granted",
    "Add-MailboxPermission": "permission.granted", "Add-RecipientPermission": "permission.granted",
    "Add-MailboxFolderPermission": "permission.granted", "ModifyFolderPermissions": "permission.granted",
    "AddFolderPermissions": "permission.granted", "Add-RoleGroupMember": "permission.granted",
    "New-ManagementRoleAssignment": "permission.granted", "SiteCollectionAdminAdded": "permission.granted",
    "AddedToGroup": "permission.granted",
    "New-InboxRule": "rule.created", "Set-InboxRule": "rule.created", "UpdateInboxRules": "rule.created",
    "New-TransportRule": "rule.created", "Set-TransportRule": "rule.created",
    "MailItemsAccessed": "mail.accessed", "Send": "mail.sent", "SendAs": "mail.sent", "SendOnBehalf": "mail.sent",
    "HardDelete": "mail.deleted", "SoftDelete": "mail.deleted", "MoveToDeletedItems": "mail.deleted",
    "Set-AdminAuditLogConfig": "logging.changed", "Set-MailboxAuditBypassAssociation": "logging.changed",
    "Remove-UnifiedAuditLogRetentionPolicy": "logging.changed",
    "Reset user password": "password.reset", "Change user password": "password.changed",
    "Set force change user password": "password.reset",
    "Add user": "account.created", "Delete user": "account.deleted", "New-Mailbox": "account.created",
    "Remove-Mailbox": "account.deleted",
    "Enable Strong Authentication": "mfa.enrolled", "User registered security info": "mfa.enrolled",
    "Disable Strong Authentication": "mfa.removed", "User deleted security info": "mfa.removed",
    "FileDownloaded": "file.downloaded", "FileSyncDownloadedFull": "file.downloaded",
    "FileAccessed": "file.accessed", "FileAccessedExtended": "file.accessed", "FilePreviewed": "file.accessed",
    "FileUploaded": "file.uploaded", "FileSyncUploadedFull": "file.uploaded", "FileCopied": "file.uploaded",
    "FileModified": "file.modified", "FileModifiedExtended": "file.modified",
    "FileRenamed": "file.renamed", "FileMoved": "file.renamed",
    "FileDeleted": "file.deleted", "FileRecycled": "file.deleted", "FileVersionsAllDeleted": "file.deleted",
    "FileDeletedFirstStageRecycleBin": "file.deleted", "FileDeletedSecondStageRecycleBin": "file.deleted",
    "SharingSet": "folder.shared", "SharingInheritanceBroken": "folder.shared",
    "AddedToSecureLink": "folder.shared",
    "SharingInvitationCreated": "invite.sent",
    "AnonymousLinkCreated": "link.created", "SecureLinkCreated": "link.created", "CompanyLinkCreated": "link.created",
    "AnonymousLinkUpdated": "link.created", "AnonymousLinkUsed": "link.visited", "SecureLinkUsed": "link.visited",
    "AnonymousLinkRemoved": "link.stopped", "SecureLinkDeleted": "link.stopped",
}  # fmt: skip
"""Operation (without the final full stop) → event type; all others are `api.called`."""

OTHER = "api.called"

OUTCOMES: dict[str, str] = {
    "success": "success", "succeeded": "success", "true": "success", "partiallysucceeded": "success",
    "failed": "failure", "failure": "failure", "false": "failure", "denied": "denied",
}  # fmt: skip
"""ResultStatus in lower case → outcome."""

ANONYMOUS = frozenset({"AnonymousLinkCreated", "AnonymousLinkUpdated", "AnonymousLinkUsed"})
"""Operations whose other side is anyone."""
