//! What a server has, as it was read at one time and changed by ourselves since. Pure.

use std::collections::{BTreeMap, BTreeSet};

use adapter_client::{
    BlockStore, MetadataStore, Netgroup, NfsOptions, Permission, Share, SnapshotPolicy, Tier, User,
};

use crate::marker;

/// What a server has. Shares are known by their names without the leading slash.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// Its shares.
    pub shares: BTreeMap<String, Share>,
    /// Its metadata stores.
    pub metadata: BTreeMap<String, MetadataStore>,
    /// Its local block stores.
    pub local: BTreeMap<String, BlockStore>,
    /// Its remote block stores.
    pub remote: BTreeMap<String, BlockStore>,
    /// Its netgroups.
    pub netgroups: BTreeMap<String, Netgroup>,
    /// The snapshot policies of its shares.
    pub policies: BTreeMap<String, SnapshotPolicy>,
    /// The markers of its shares, as they are stored.
    pub markers: BTreeMap<String, String>,
    /// Its users.
    pub users: BTreeMap<String, User>,
    /// Names of its groups.
    pub groups: BTreeSet<String>,
    /// What no list tells, of the shares of which it was read.
    pub details: BTreeMap<String, Details>,
}

/// What no list tells of a share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// Its permissions, once read.
    pub permissions: Option<Vec<Permission>>,
    /// Its NFS options, once read.
    pub nfs: Option<NfsOptions>,
}

impl World {
    /// The block stores of a tier.
    pub fn blocks(&self, tier: Tier) -> &BTreeMap<String, BlockStore> {
        match tier {
            Tier::Local => &self.local,
            Tier::Remote => &self.remote,
        }
    }

    /// The block stores of a tier, to change.
    pub fn blocks_mut(&mut self, tier: Tier) -> &mut BTreeMap<String, BlockStore> {
        match tier {
            Tier::Local => &mut self.local,
            Tier::Remote => &mut self.remote,
        }
    }

    /// The marker of a share as it is stored; empty when there is none.
    pub fn marker(&self, share: &str) -> &str {
        self.markers.get(share).map_or("", String::as_str)
    }

    /// What is known of a share beyond the lists.
    pub fn details(&self, share: &str) -> Details {
        self.details.get(share).cloned().unwrap_or_default()
    }

    /// Whether another marker than that of `share` says that the account `user` was made for its share.
    pub fn is_kept_by_another(&self, share: &str, user: &str) -> bool {
        self.markers
            .iter()
            .filter(|(other, _)| *other != share)
            .any(|(_, value)| {
                serde_json::from_str::<marker::Marker>(value).map_or(true, |marker| {
                    marker.accounts.contains(user) || marker.users.contains(user)
                })
            })
    }
}

/// Name of a share without its leading slash.
pub fn bare(name: &str) -> &str {
    name.trim_start_matches('/')
}
