//! `spec.access` of a share: who may use it, and how.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cidr, OperationName, bounded};
use crate::reference::SecretKeyRef;

/// Who may use the share, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShareAccess {
    /// What everybody may do who has no permission below. read-write also lets anonymous clients of SMB and NFS write.
    #[serde(default)]
    pub default_permission: Permission,
    /// Permissions of users, at most 256. One that is removed here is taken away; permissions that were never declared here stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub users: Vec<UserAccess>,
    /// Permissions of groups of the server, at most 256. One that is removed here is taken away; permissions that were never declared here stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub groups: Vec<GroupAccess>,
    /// Operations of NFS or SMB that are refused, at most 64; the server takes them at its next start. When absent they stay as people set them with the server's own tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub blocked_operations: Option<Vec<OperationName>>,
    /// How the share is exported over NFS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nfs: Option<NfsAccess>,
    /// How the share is served over SMB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smb: Option<SmbAccess>,
}

/// What somebody may do with a share, in the server's words.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// Nothing.
    #[default]
    None,
    /// Read.
    Read,
    /// Read and write.
    ReadWrite,
    /// Everything, permissions of files included.
    Admin,
}

/// What a user may do, and the user's account when the operator shall keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.passwordSecretRef) || !(self.name == 'admin' || self.name.startsWith('dittofs-'))").message("the accounts admin and dittofs-* are not for shares: choose another name, or remove passwordSecretRef"))]
#[x_kube(validation = Rule::new("has(self.passwordSecretRef) || !(has(self.uid) || has(self.gid))").message("uid and gid belong to an account that the operator keeps: set passwordSecretRef, or remove them"))]
#[x_kube(validation = Rule::new("(has(self.uid) || !has(oldSelf.uid)) && (has(self.gid) || !has(oldSelf.gid))").message("uid and gid cannot be removed: the server cannot take them back. Remove the user and add it again"))]
pub struct UserAccess {
    /// Name of the user in the server.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^/\x00-\x1f\x7f]+$"))]
    pub name: String,
    /// What the user may do.
    #[schemars(schema_with = "bounded::one::<Permission>")]
    pub permission: Permission,
    /// Password of 8 to 72 characters, in a Secret in the namespace of the DittoFSShare. With it the operator makes the account and keeps its password; without it the user must exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
    /// Numeric ID by which NFS clients name the user. Without one the user is known over SMB only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4294967294_u64), extend("format" = "int64"))]
    pub uid: Option<u32>,
    /// Numeric ID of the user's group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4294967294_u64), extend("format" = "int64"))]
    pub gid: Option<u32>,
}

/// What the members of a group may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupAccess {
    /// Name of the group in the server.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^/\x00-\x1f\x7f]+$"))]
    pub name: String,
    /// What its members may do.
    #[schemars(schema_with = "bounded::one::<Permission>")]
    pub permission: Permission,
}

/// How the share is exported over NFS. What is absent stays as it is in the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.netgroup) && has(self.clients))").message("netgroup and clients exclude each other: name a netgroup of the server, or list the addresses"))]
pub struct NfsAccess {
    /// Which users of clients become another one: root_to_guest is root_squash, none is no_root_squash, all_to_guest is all_squash of Linux; the admin modes let clients act as the administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<Squash>")]
    pub squash: Option<Squash>,
    /// Numeric ID of the anonymous user; 65534 in a new share.
    #[serde(
        default,
        rename = "anonymousUID",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 0, max = 4294967294_u64), extend("format" = "int64"))]
    pub anonymous_uid: Option<u32>,
    /// Numeric ID of the anonymous user's group; 65534 in a new share.
    #[serde(
        default,
        rename = "anonymousGID",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 0, max = 4294967294_u64), extend("format" = "int64"))]
    pub anonymous_gid: Option<u32>,
    /// Name of a netgroup of the server whose members may mount with NFSv3. NFSv4 and SMB are not held back by it: use a NetworkPolicy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^/\x00-\x1f\x7f]+$"))]
    pub netgroup: Option<String>,
    /// Ranges of addresses from which the share may be mounted with NFSv3, 1 to 256. NFSv4 and SMB are not held back by them: use a NetworkPolicy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-list-type" = "set"))]
    pub clients: Option<Vec<Cidr>>,
    /// Whether clients may name their users without proof (AUTH_SYS); the server takes it at its next start.
    #[serde(
        default,
        rename = "allowAuthSys",
        skip_serializing_if = "Option::is_none"
    )]
    pub allow_auth_sys: Option<bool>,
    /// Kerberos; the server takes it at its next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kerberos: Option<NfsKerberos>,
    /// Whether READDIRPLUS is refused; the server takes it at its next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable_readdirplus: Option<bool>,
}

/// Which users of NFS clients become another one, in the server's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Squash {
    /// Nobody: root is the administrator.
    None,
    /// Root becomes the administrator.
    RootToAdmin,
    /// Root becomes the anonymous user.
    RootToGuest,
    /// Everybody becomes the administrator.
    AllToAdmin,
    /// Everybody becomes the anonymous user.
    AllToGuest,
}

/// Kerberos of NFS clients. What is absent stays as it is in the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NfsKerberos {
    /// Whether clients must prove who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// What Kerberos must do at least: krb5 authentication, krb5i integrity too, krb5p privacy too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<KerberosLevel>")]
    pub min_level: Option<KerberosLevel>,
}

/// What Kerberos must do at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KerberosLevel {
    /// Authentication.
    Krb5,
    /// And integrity.
    Krb5i,
    /// And privacy.
    Krb5p,
}

/// How the share is served over SMB. What is absent stays as it is in the server, which takes these at its next start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SmbAccess {
    /// Whether clients must encrypt; needs SMB 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypt_data: Option<bool>,
    /// Whether folders show only what a user may read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_based_enumeration: Option<bool>,
    /// Whether clients get no notifications of changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_notify_disabled: Option<bool>,
    /// Whether files have no alternate data streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams_disabled: Option<bool>,
    /// Whether the share offers continuous availability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continuous_availability: Option<bool>,
    /// Whether symbolic links in the form of Minshall and French are understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_mfsymlink: Option<bool>,
    /// Whether the flag of inherited access rules is canonicalized as Windows does.
    #[serde(
        default,
        rename = "aclFlagInheritedCanonicalization",
        skip_serializing_if = "Option::is_none"
    )]
    pub acl_flag_inherited_canonicalization: Option<bool>,
}
