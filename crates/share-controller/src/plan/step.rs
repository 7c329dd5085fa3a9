//! The requests that a share can need.

use adapter_client::{
    BlockStoreConfig, MetadataStoreConfig, NewShare, NfsOptionsChange, PermissionLevel,
    PolicyRules, ShareOptions, Tier, UserChange,
};
use api_types::conditions::Reason;
use secrecy::SecretString;

use crate::declared::Grantee;
use crate::marker::{Marker, StoreKind};
use crate::wish::Version;

/// What waits for a request, and is told of its refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The stores.
    Stores,
    /// The share itself.
    Share,
    /// Options, permissions, accounts, limits.
    Access,
}

impl Stage {
    /// The reason to give when the server refuses a request of this stage.
    pub fn refusal(self) -> Reason {
        match self {
            Stage::Stores => Reason::StoreRefused,
            Stage::Share => Reason::ShareRefused,
            Stage::Access => Reason::AccessRefused,
        }
    }
}

/// A request. It is about the share of the wish, and about objects that are called like it where no name
/// is given.
#[derive(Clone, Debug)]
pub enum Step {
    /// Writes the marker.
    PutMarker(Box<Marker>),
    /// Removes the marker.
    DeleteMarker,
    /// Makes the metadata store, from this version of its Secret.
    CreateMetadata(MetadataStoreConfig, Option<Version>),
    /// Gives the metadata store another password; the server takes it at its next start.
    UpdateMetadata(MetadataStoreConfig, Version),
    /// Removes the metadata store.
    DeleteMetadata,
    /// Makes a block store, from this version of its Secret.
    CreateBlock(BlockStoreConfig, Option<Version>),
    /// Changes the block store of this name.
    UpdateBlock(String, BlockStoreConfig, Option<Version>),
    /// Removes a block store.
    DeleteBlock(Tier),
    /// Makes the share.
    CreateShare(Box<NewShare>),
    /// Asks how the share does.
    ReadStatus,
    /// Removes a share that is not served and has no snapshots.
    RemoveUnloaded,
    /// Stops serving the share.
    Disable,
    /// Serves the share.
    Enable,
    /// Waits until everything is in the buckets.
    Drain,
    /// Removes the share.
    DeleteShare,
    /// Reads the permissions.
    ReadPermissions,
    /// Reads the NFS options.
    ReadNfs,
    /// Changes the NFS options.
    PatchNfs(NfsOptionsChange),
    /// Changes the options of the share.
    UpdateShare(Box<ShareOptions>),
    /// Makes the netgroup.
    CreateNetgroup,
    /// Adds a range of addresses to it.
    AddMember(String),
    /// Takes a member out of it, by its UUID.
    RemoveMember(String),
    /// Removes it.
    DeleteNetgroup,
    /// Makes an account.
    CreateUser {
        /// Name.
        name: String,
        /// Password.
        password: SecretString,
        /// The version of its Secret.
        version: Version,
        /// Numeric ID.
        uid: Option<u32>,
        /// Numeric ID of the group.
        gid: Option<u32>,
    },
    /// Changes an account.
    UpdateUser(String, UserChange),
    /// Gives an account a password, of this version of its Secret.
    SetPassword(String, SecretString, Version),
    /// Removes an account.
    DeleteUser(String),
    /// Gives a permission.
    Grant(Grantee, PermissionLevel),
    /// Takes a permission away.
    Revoke(Grantee),
    /// Sets the snapshot policy.
    PutPolicy(PolicyRules),
    /// Removes the snapshot policy.
    DeletePolicy,
}

impl Step {
    /// What tells one request for a share from another.
    pub fn id(&self) -> String {
        match self {
            Step::PutMarker(marker) => format!("marker {}", marker.write()),
            Step::DeleteMarker => "no marker".to_owned(),
            Step::CreateMetadata(..) => "metadata store".to_owned(),
            Step::UpdateMetadata(_, version) => {
                format!("metadata store {}", version.resource_version)
            }
            Step::DeleteMetadata => "no metadata store".to_owned(),
            Step::CreateBlock(config, _) => format!("{} store", config.tier().as_str()),
            Step::UpdateBlock(_, config, _) => {
                format!("other {} store", config.tier().as_str())
            }
            Step::DeleteBlock(tier) => format!("no {} store", tier.as_str()),
            Step::CreateShare(_) => "share".to_owned(),
            Step::ReadStatus => "status".to_owned(),
            Step::RemoveUnloaded => "unloaded".to_owned(),
            Step::Disable => "disable".to_owned(),
            Step::Enable => "enable".to_owned(),
            Step::Drain => "drain".to_owned(),
            Step::DeleteShare => "no share".to_owned(),
            Step::ReadPermissions => "permissions".to_owned(),
            Step::ReadNfs => "NFS".to_owned(),
            Step::PatchNfs(change) => format!("NFS options {change:?}"),
            Step::UpdateShare(options) => format!("options {options:?}"),
            Step::CreateNetgroup => "netgroup".to_owned(),
            Step::AddMember(value) => format!("member {value}"),
            Step::RemoveMember(id) => format!("no member {id}"),
            Step::DeleteNetgroup => "no netgroup".to_owned(),
            Step::CreateUser { name, .. } => format!("user {name}"),
            Step::UpdateUser(name, change) => format!("other user {name} {change:?}"),
            Step::SetPassword(name, _, _) => format!("password {name}"),
            Step::DeleteUser(name) => format!("no user {name}"),
            Step::Grant(grantee, level) => format!("grant {grantee} {}", level.as_str()),
            Step::Revoke(grantee) => format!("no grant {grantee}"),
            Step::PutPolicy(rules) => format!("policy {rules:?}"),
            Step::DeletePolicy => "no policy".to_owned(),
        }
    }

    /// What it is about, for people.
    pub fn about(&self) -> String {
        match self {
            Step::PutMarker(_) | Step::DeleteMarker => "the mark of who owns the share".to_owned(),
            Step::CreateMetadata(..) | Step::UpdateMetadata(..) | Step::DeleteMetadata => {
                "the metadata store".to_owned()
            }
            Step::CreateBlock(config, _) | Step::UpdateBlock(_, config, _) => {
                format!("the {} block store", config.tier().as_str())
            }
            Step::DeleteBlock(tier) => format!("the {} block store", tier.as_str()),
            Step::CreateShare(_)
            | Step::ReadStatus
            | Step::RemoveUnloaded
            | Step::Drain
            | Step::DeleteShare => "the share".to_owned(),
            Step::Disable | Step::Enable => "whether the share is served".to_owned(),
            Step::ReadPermissions => "the permissions".to_owned(),
            Step::ReadNfs | Step::PatchNfs(_) => "the NFS options".to_owned(),
            Step::UpdateShare(_) => "the options of the share".to_owned(),
            Step::CreateNetgroup | Step::DeleteNetgroup => "the netgroup".to_owned(),
            Step::AddMember(value) => format!("the range {value} of the netgroup"),
            Step::RemoveMember(_) => "a range of the netgroup".to_owned(),
            Step::CreateUser { name, .. } | Step::UpdateUser(name, _) | Step::DeleteUser(name) => {
                format!("the account {name}")
            }
            Step::SetPassword(name, _, _) => format!("the password of {name}"),
            Step::Grant(grantee, _) | Step::Revoke(grantee) => {
                format!("the permission of {grantee}")
            }
            Step::PutPolicy(_) | Step::DeletePolicy => "the snapshot policy".to_owned(),
        }
    }

    /// The marker `marker` without what this request was to make, and did not because somebody else has made it
    /// meanwhile; `None` when the request makes nothing that the marker lists.
    pub fn unclaimed(&self, mut marker: Marker) -> Option<Marker> {
        let listed = match self {
            Step::CreateMetadata(..) => marker.stores.remove(&StoreKind::Metadata),
            Step::CreateBlock(config, _) => marker.stores.remove(&match config.tier() {
                Tier::Local => StoreKind::Local,
                Tier::Remote => StoreKind::Remote,
            }),
            Step::CreateNetgroup => std::mem::take(&mut marker.netgroup),
            Step::CreateUser { name, .. } => marker.accounts.remove(name),
            _ => false,
        };
        listed.then_some(marker)
    }

    /// Whether it changes nothing.
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            Step::ReadStatus | Step::ReadPermissions | Step::ReadNfs | Step::Drain
        )
    }
}
