//! What a server has, as it was read at one time and changed by ourselves since. Pure.

use std::collections::{BTreeMap, BTreeSet};

use adapter_client::{
    BlockStore, MetadataStore, Netgroup, NfsOptions, Permission, Share, SnapshotPolicy, Tier, User,
};

use crate::marker::Marker;
use crate::wish;

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
    /// The shares whose snapshot policy was set for the DittoServer, as it is stored; empty when nothing is.
    pub policy_record: String,
    /// Its users.
    pub users: BTreeMap<String, User>,
    /// Names of its groups.
    pub groups: BTreeSet<String>,
    /// What no list tells, of the shares of which it was read.
    pub details: BTreeMap<String, Details>,
    /// UUIDs of the shares that this process made and that were not served since: they hold nothing.
    pub unserved: BTreeSet<String>,
    /// The DittoFSShares, as `namespace/name`, that keep an account which others want too, and of which is known
    /// that they do not exist in Kubernetes, or not for this share.
    pub absent: BTreeSet<String>,
}

/// The share that keeps an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// Its DittoFSShare, as `namespace/name`.
    pub owner: String,
    /// The Secret and the key of the password, as `name/key`; `None` when its marker does not tell.
    pub source: Option<String>,
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

    /// The markers of the other shares than `share`; `None` for one that cannot be read.
    fn other_markers(&self, share: &str) -> impl Iterator<Item = Option<Marker>> {
        self.markers
            .iter()
            .filter(move |(other, _)| *other != share)
            .map(|(_, value)| serde_json::from_str(value).ok())
    }

    /// Whose markers speak of the account `user`: first that of its keeper, if it has one, then those of all shares that
    /// ask for it. Each with its share.
    pub fn claimants(&self, user: &str) -> (Option<Claimant>, Vec<Claimant>) {
        let shown = self.users.get(user).map(|user| user.display_name.as_str());
        let by_name = shown.and_then(wish::keeper);
        let mut keeper = None;
        let mut all = Vec::new();
        for (share, value) in &self.markers {
            let Ok(marker) = serde_json::from_str::<Marker>(value) else {
                continue;
            };
            let asks = marker.passwords.contains_key(user);
            let keeps = marker.accounts.contains(user);
            let claimant = Claimant {
                namespace: marker.namespace,
                name: marker.name,
                share: share.clone(),
            };
            let bears_name = by_name == Some((claimant.namespace.as_str(), claimant.name.as_str()));
            if keeps && bears_name {
                keeper = Some(claimant.clone());
            }
            if asks {
                all.push(claimant);
            }
        }
        (keeper, all)
    }

    /// Whether another marker than that of `share` says that the account `user` was made for its share, or
    /// that it has a permission there.
    pub fn is_kept_by_another(&self, share: &str, user: &str) -> bool {
        self.other_markers(share).any(|marker| {
            marker
                .is_none_or(|marker| marker.accounts.contains(user) || marker.users.contains(user))
        })
    }

    /// The other share than `share` that keeps the account `user`: whose name the account bears, whose marker
    /// lists it, and whose DittoFSShare exists.
    pub fn keeper(&self, share: &str, user: &str) -> Option<Keeper> {
        let shown = &self.users.get(user)?.display_name;
        let (namespace, name) = wish::keeper(shown)?;
        let owner = format!("{namespace}/{name}");
        if self.absent.contains(&owner) {
            return None;
        }
        let mut markers = self.other_markers(share).flatten();
        let marker = markers.find(|marker| {
            marker.namespace == namespace && marker.name == name && marker.accounts.contains(user)
        })?;
        Some(Keeper {
            owner,
            source: marker.passwords.get(user).cloned(),
        })
    }

    /// The share other than `share` that takes over the account `user` of this namespace once nobody keeps it: of
    /// those that ask for it, and whose DittoFSShare exists, the first by name.
    pub fn heir(&self, share: &str, namespace: &str, user: &str) -> Option<Keeper> {
        let markers = self.other_markers(share).flatten();
        let heirs = markers.filter_map(|marker| {
            let source = marker.passwords.get(user)?.clone();
            let owner = format!("{}/{}", marker.namespace, marker.name);
            let may = marker.namespace == namespace && !self.absent.contains(&owner);
            may.then_some(Keeper {
                owner,
                source: Some(source),
            })
        });
        heirs.min_by(|one, other| one.owner.cmp(&other.owner))
    }
}

/// A DittoFSShare whose marker speaks of an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claimant {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The share.
    pub share: String,
}

/// Name of a share without its leading slash.
pub fn bare(name: &str) -> &str {
    name.trim_start_matches('/')
}
