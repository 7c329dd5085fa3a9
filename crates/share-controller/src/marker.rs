//! The marker of a share in the server: whose it is, and what was set for it.
//!
//! It is an entry of the server's key-value store, written before what it tells of, so that a process that
//! ends in between leaves nothing behind that nobody knows. Share names hold no slash, which the keys of the
//! store cannot have.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::declared::Grantee;

/// Beginning of the keys of all markers.
const PREFIX: &str = "operator.share.";

/// Key of the marker of a share, whose name has no leading slash.
pub fn key(share: &str) -> String {
    format!("{PREFIX}{share}")
}

/// Name of the share that a key is about, if it is the key of a marker.
pub fn share_of(key: &str) -> Option<&str> {
    key.strip_prefix(PREFIX)
}

/// Who a share belongs to, and what was set for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Marker {
    /// Namespace of the DittoFSShare.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID. Another object of the same namespace and name takes the share over.
    pub uid: String,
    /// The stores that were made for the share, by kind.
    #[serde(default)]
    pub stores: BTreeSet<StoreKind>,
    /// Paths in the spec of the fields that were set.
    #[serde(default)]
    pub fields: BTreeSet<String>,
    /// Users with a permission from the spec.
    #[serde(default)]
    pub users: BTreeSet<String>,
    /// Groups with a permission from the spec.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// Users whose account was made.
    #[serde(default)]
    pub accounts: BTreeSet<String>,
    /// The Secret and the key, as `name/key`, that the spec names for the password of each account that it asks for,
    /// whether the account was made for this share or is kept by another of the namespace.
    #[serde(default)]
    pub passwords: BTreeMap<String, String>,
    /// Whether a netgroup was made.
    #[serde(default)]
    pub netgroup: bool,
    /// Whether a snapshot policy was set.
    #[serde(default)]
    pub policy: bool,
    /// UIDs of the claims that the share was made on, by their names.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
}

/// Kind of a store that is made for a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StoreKind {
    /// The metadata store.
    Metadata,
    /// The local block store.
    Local,
    /// The remote block store.
    Remote,
}

/// What a marker says to a DittoFSShare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// There is no marker: whatever is there was made by somebody else.
    None,
    /// The marker is the object's own, or that of an earlier one of the same namespace and name.
    Ours(Box<Marker>),
    /// The marker is another object's.
    Other {
        /// Namespace and name of that object, as `namespace/name`.
        owner: String,
    },
    /// Nobody can tell: the marker cannot be read.
    Unreadable,
}

impl Marker {
    /// What the value of a marker's key says to the DittoFSShare `namespace/name`. The server answers for
    /// an absent key with an empty value.
    pub fn read(value: &str, namespace: &str, name: &str) -> Ownership {
        if value.is_empty() {
            return Ownership::None;
        }
        match serde_json::from_str::<Marker>(value) {
            Err(_) => Ownership::Unreadable,
            Ok(marker) if marker.namespace == namespace && marker.name == name => {
                Ownership::Ours(Box::new(marker))
            }
            Ok(marker) => Ownership::Other {
                owner: format!("{}/{}", marker.namespace, marker.name),
            },
        }
    }

    /// The value to store.
    pub fn write(&self) -> String {
        // Strings, booleans, and sets and maps of strings only.
        serde_json::to_string(self).expect("a marker serializes")
    }

    /// Whom the spec gave a permission.
    pub fn grantees(&self) -> BTreeSet<Grantee> {
        let users = self.users.iter().cloned().map(Grantee::User);
        let groups = self.groups.iter().cloned().map(Grantee::Group);
        users.chain(groups).collect()
    }

    /// Both together: what is written before a change, so that neither the old nor the new is forgotten if
    /// the change does not come about.
    pub fn and(&self, other: &Marker) -> Marker {
        let Marker {
            namespace,
            name,
            uid,
            stores,
            fields,
            users,
            groups,
            accounts,
            passwords,
            netgroup,
            policy,
            claims,
        } = other;
        let union = |one: &BTreeSet<String>, other: &BTreeSet<String>| one | other;
        let newer = |one: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
            let mut both = one.clone();
            both.extend(other.clone());
            both
        };
        Marker {
            namespace: namespace.clone(),
            name: name.clone(),
            uid: uid.clone(),
            stores: &self.stores | stores,
            fields: union(&self.fields, fields),
            users: union(&self.users, users),
            groups: union(&self.groups, groups),
            accounts: union(&self.accounts, accounts),
            passwords: newer(&self.passwords, passwords),
            netgroup: self.netgroup || *netgroup,
            policy: self.policy || *policy,
            claims: newer(&self.claims, claims),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker() -> Marker {
        Marker {
            namespace: "media".into(),
            name: "films".into(),
            uid: "u1".into(),
            stores: [StoreKind::Metadata, StoreKind::Local].into(),
            fields: ["quota".to_owned()].into(),
            users: ["ann".to_owned()].into(),
            ..Marker::default()
        }
    }

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        let value = marker().write();
        assert_eq!(
            Marker::read(&value, "media", "films"),
            Ownership::Ours(Box::new(marker()))
        );
    }

    #[test]
    fn a_share_of_another_object_is_not_ours() {
        let owner = "media/films".to_owned();
        for (namespace, name) in [("media", "music"), ("other", "films")] {
            let found = Marker::read(&marker().write(), namespace, name);
            let owner = owner.clone();
            assert_eq!(found, Ownership::Other { owner });
        }
    }

    #[test]
    fn no_marker_and_one_that_cannot_be_read_are_not_the_same() {
        assert_eq!(Marker::read("", "media", "films"), Ownership::None);
        for value in ["{", "null", "{\"namespace\":\"media\"}"] {
            let found = Marker::read(value, "media", "films");
            assert_eq!(found, Ownership::Unreadable, "{value}");
        }
    }

    #[test]
    fn before_a_change_both_states_are_written() {
        let mut next = marker();
        next.uid = "u2".into();
        next.fields = ["readOnly".to_owned()].into();
        next.users = BTreeSet::new();
        next.policy = true;
        let both = marker().and(&next);
        assert_eq!(both.uid, "u2");
        assert_eq!(both.fields.len(), 2);
        assert!(both.users.contains("ann") && both.policy);
    }

    #[test]
    fn keys_lead_back_to_shares() {
        assert_eq!(share_of(&key("films.of-2026")), Some("films.of-2026"));
        assert_eq!(share_of("machine_sid"), None);
    }
}
