"""The CloudTrail mapping as data: columns ← record paths, and operation → event type.

Paths are those of the CloudTrail record contents (AWS CloudTrail user guide, "CloudTrail record contents", event
version 1.08 to 1.11). `docs/formats.md` shows the same tables for people. Nothing here is computed.
"""

from __future__ import annotations

from shoal.events.formats.mapping import Column

COLUMNS: tuple[Column, ...] = (
    Column("event_id", ("eventID",)),
    Column("operation", ("eventName",)),
    Column("service", ("eventSource",)),
    Column("region", ("awsRegion",)),
    Column("ip", ("sourceIPAddress",), "address"),
    Column("user_agent", ("userAgent",)),
    Column("error", ("errorCode",)),
    Column("org", ("recipientAccountId", "userIdentity.accountId")),
    Column("credential", ("userIdentity.accessKeyId",)),
    Column("resource", (
        "requestParameters.bucketName", "requestParameters.roleArn", "requestParameters.keyId",
        "requestParameters.trailName", "requestParameters.roleName", "requestParameters.userName",
        "requestParameters.secretId", "requestParameters.functionName", "requestParameters.instanceId",
        "requestParameters.groupId", "requestParameters.snapshotId", "requestParameters.imageId",
        "requestParameters.dBSnapshotIdentifier", "requestParameters.dBInstanceIdentifier",
        "requestParameters.tableName", "requestParameters.groupName", "requestParameters.policyArn",
        "requestParameters.queueUrl", "requestParameters.topicArn", "requestParameters.modelId",
    )),
)  # fmt: skip
"""Column ← paths, for every operation; the first that has a value wins."""

_TO_USER = Column("recipient", ("requestParameters.userName", "responseElements.user.userName"))
_TO_ROLE = Column("recipient", ("requestParameters.roleName",))
_TO_GROUP = Column("recipient", ("requestParameters.groupName",))
_POLICY = Column("permission", ("requestParameters.policyArn", "requestParameters.policyName"))
_TRAIL = Column("resource", ("requestParameters.name", "requestParameters.trailName"))
_MFA = Column("credential", ("requestParameters.serialNumber", "userIdentity.accessKeyId"))

BY_OPERATION: dict[str, tuple[Column, ...]] = {
    "PutUserPolicy": (_TO_USER, _POLICY),
    "AttachUserPolicy": (_TO_USER, _POLICY),
    "PutUserPermissionsBoundary": (_TO_USER,),
    "PutRolePolicy": (_TO_ROLE, _POLICY),
    "AttachRolePolicy": (_TO_ROLE, _POLICY),
    "UpdateAssumeRolePolicy": (_TO_ROLE,),
    "CreateRole": (_TO_ROLE,),
    "PutGroupPolicy": (_TO_GROUP, _POLICY),
    "AttachGroupPolicy": (_TO_GROUP, _POLICY),
    "AddUserToGroup": (_TO_USER, Column("permission", ("requestParameters.groupName",))),
    "AddRoleToInstanceProfile": (
        Column("recipient", ("requestParameters.instanceProfileName",)),
        Column("permission", ("requestParameters.roleName",)),
    ),
    "CreatePolicyVersion": (_POLICY,),
    "SetDefaultPolicyVersion": (_POLICY,),
    "CreateAccessKey": (
        Column("recipient", ("requestParameters.userName", "responseElements.accessKey.userName")),
        Column("resource", ("responseElements.accessKey.accessKeyId", "requestParameters.userName")),
    ),
    "CreateLoginProfile": (_TO_USER,),
    "UpdateLoginProfile": (_TO_USER,),
    "CreateUser": (_TO_USER,),
    "DeleteUser": (_TO_USER,),
    "DeactivateMFADevice": (_TO_USER, _MFA),
    "EnableMFADevice": (_TO_USER, _MFA),
    "AddPermission": (
        Column("recipient", ("requestParameters.principal",)),
        Column("permission", ("requestParameters.action",)),
    ),
    "StopLogging": (_TRAIL,),
    "StartLogging": (_TRAIL,),
    "DeleteTrail": (_TRAIL,),
    "UpdateTrail": (_TRAIL,),
    "CreateTrail": (_TRAIL,),
    "DeleteResolverQueryLogConfig": (Column("resource", ("requestParameters.resolverQueryLogConfigId",)),),
    "DeleteFlowLogs": (Column("resource", ("requestParameters.DeleteFlowLogsRequest.FlowLogId.content",)),),
    "DeleteDetector": (Column("resource", ("requestParameters.detectorId",)),),
    "GetObject": (Column("size_bytes", ("additionalEventData.bytesTransferredOut",), "integer"),),
    "PutObject": (Column("size_bytes", ("additionalEventData.bytesTransferredIn",), "integer"),),
    "ConsoleLogin": (Column("client", ("additionalEventData.MobileVersion",)),),
    "ModifySnapshotAttribute": (
        Column("recipient", (
            "requestParameters.createVolumePermission.add.items.0.userId",
            "requestParameters.createVolumePermission.add.items.0.group",
        )),
        Column("permission", ("requestParameters.attributeType",)),
    ),
    "ModifyImageAttribute": (
        Column("recipient", (
            "requestParameters.launchPermission.add.items.0.userId",
            "requestParameters.launchPermission.add.items.0.group",
        )),
        Column("permission", ("requestParameters.attributeType",)),
    ),
    "ModifyDBSnapshotAttribute": (
        Column("recipient", ("requestParameters.valuesToAdd.0",)),
        Column("permission", ("requestParameters.attributeName",)),
    ),
    "AuthorizeSecurityGroupIngress": (
        Column("recipient", (
            "requestParameters.cidrIp",
            "requestParameters.ipPermissions.items.0.ipRanges.items.0.cidrIp",
            "requestParameters.ipPermissions.items.0.ipv6Ranges.items.0.cidrIpv6",
        )),
    ),
}  # fmt: skip
"""Operation (without version suffix) → columns that only it has, over the general ones."""

TYPES: dict[str, str] = {
    "GetSessionToken": "session.started", "GetFederationToken": "session.started",
    "AssumeRole": "session.started", "AssumeRoleWithSAML": "session.started",
    "AssumeRoleWithWebIdentity": "session.started", "AssumeRoot": "session.started", "SwitchRole": "session.started",
    "CreateAccessKey": "credential.created", "CreateLoginProfile": "credential.created",
    "CreateServiceSpecificCredential": "credential.created", "UploadSSHPublicKey": "credential.created",
    "UploadSigningCertificate": "credential.created", "CreateKeyPair": "credential.created",
    "ImportKeyPair": "credential.created", "SendSSHPublicKey": "credential.created",
    "SendSerialConsoleSSHPublicKey": "credential.created", "CreateTrustAnchor": "credential.created",
    "CreateSAMLProvider": "credential.created", "CreateOpenIDConnectProvider": "credential.created",
    "DeleteAccessKey": "credential.deleted", "UpdateAccessKey": "credential.changed",
    "ChangePassword": "password.changed", "UpdateLoginProfile": "password.reset",
    "PutUserPolicy": "permission.granted", "AttachUserPolicy": "permission.granted",
    "PutRolePolicy": "permission.granted", "AttachRolePolicy": "permission.granted",
    "PutGroupPolicy": "permission.granted", "AttachGroupPolicy": "permission.granted",
    "AddUserToGroup": "permission.granted", "AddRoleToInstanceProfile": "permission.granted",
    "CreatePolicyVersion": "permission.granted", "SetDefaultPolicyVersion": "permission.granted",
    "UpdateAssumeRolePolicy": "permission.granted", "PutUserPermissionsBoundary": "permission.granted",
    "PutKeyPolicy": "permission.granted", "CreateGrant": "permission.granted", "AddPermission": "permission.granted",
    "CreateUser": "account.created", "DeleteUser": "account.deleted",
    "CreateRole": "role.created", "DeleteRole": "role.deleted",
    "DeactivateMFADevice": "mfa.removed", "DeleteVirtualMFADevice": "mfa.removed", "EnableMFADevice": "mfa.enrolled",
    "StopLogging": "logging.stopped", "DeleteTrail": "logging.stopped", "DeleteFlowLogs": "logging.stopped",
    "DeleteResolverQueryLogConfig": "logging.stopped", "DeleteDetector": "logging.stopped",
    "StopConfigurationRecorder": "logging.stopped", "DeleteConfigurationRecorder": "logging.stopped",
    "DeleteLogGroup": "logging.stopped", "DeleteLogStream": "logging.stopped",
    "UpdateTrail": "logging.changed", "PutEventSelectors": "logging.changed",
    "PutInsightSelectors": "logging.changed", "UpdateDetector": "logging.changed",
    "PutBucketLogging": "logging.changed", "StartLogging": "logging.changed", "CreateTrail": "logging.changed",
    "PutBucketPolicy": "folder.shared", "PutBucketAcl": "folder.shared", "PutObjectAcl": "file.shared",
    "DeletePublicAccessBlock": "folder.shared", "DeleteBucketPublicAccessBlock": "folder.shared",
    "ModifySnapshotAttribute": "resource.shared", "ModifyImageAttribute": "resource.shared",
    "ModifyDBSnapshotAttribute": "resource.shared", "ModifyDBClusterSnapshotAttribute": "resource.shared",
    "CreateResourceShare": "resource.shared", "PutResourcePolicy": "resource.shared",
    "SetRepositoryPolicy": "resource.shared",
    "s3:GetObject": "file.downloaded", "s3:GetObjectTorrent": "file.downloaded",
    "s3:PutObject": "file.uploaded", "s3:CopyObject": "file.uploaded",
    "s3:CompleteMultipartUpload": "file.uploaded",
    "s3:DeleteObject": "file.deleted", "s3:DeleteObjects": "file.deleted",
}  # fmt: skip
"""Operation, or `service:operation`, → event type. `ConsoleLogin` is login.succeeded or login.failed by its outcome."""

LISTING_PREFIXES = ("List", "Describe", "Get", "BatchGet", "Search", "Lookup")
LISTED, OTHER = "resource.listed", "api.called"

DENIED = ("AccessDenied", "Unauthorized", "Forbidden", "NotAuthorized", "Client.UnauthorizedOperation")
"""Error codes that begin or end so mean a refusal; all other errors are failures."""

POLICY_PATHS: dict[str, tuple[str, ...]] = {
    "PutBucketPolicy": ("requestParameters.bucketPolicy",),
    "UpdateAssumeRolePolicy": ("requestParameters.policyDocument",),
    "CreateRole": ("requestParameters.assumeRolePolicyDocument",),
    "PutKeyPolicy": ("requestParameters.policy",),
    "PutResourcePolicy": ("requestParameters.resourcePolicy", "requestParameters.policy"),
    "SetRepositoryPolicy": ("requestParameters.policyText",),
}
"""Operations that carry a resource policy (JSON text or object), read for principals outside the account."""
ACL_PATHS: dict[str, tuple[str, ...]] = {
    "PutBucketAcl": ("requestParameters.x-amz-acl", "requestParameters.AccessControlPolicy"),
    "PutObjectAcl": ("requestParameters.x-amz-acl", "requestParameters.AccessControlPolicy"),
}
RECIPIENT_IS_PRINCIPAL = frozenset(
    {
        "AddPermission",
        "ModifySnapshotAttribute",
        "ModifyImageAttribute",
        "ModifyDBSnapshotAttribute",
        "AuthorizeSecurityGroupIngress",
    }
)
"""Operations whose `recipient` is an account, a principal, a range or a group of everyone."""

FIELDS: tuple[str, ...] = (
    "eventVersion", "eventType", "eventCategory", "requestID", "sharedEventID", "readOnly", "managementEvent",
    "errorMessage", "apiVersion", "vpcEndpointId", "vpcEndpointAccountId", "sessionCredentialFromConsole", "tlsDetails",
    "resources", "serviceEventDetails", "addendum", "edgeDeviceDetails", "insightDetails",
)  # fmt: skip
"""Documented top-level fields that stay in `attributes` as they are (the fast decoder knows them by name)."""
