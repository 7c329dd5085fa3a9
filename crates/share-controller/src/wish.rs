//! What a share shall be, with everything that its Kubernetes objects tell of it. Pure.

use std::collections::BTreeMap;

use api_types::conditions::Reason;
use api_types::v1alpha1::{AwaitedRestart, ClaimStatus, PushedSecret};
use jiff::Timestamp;
use secrecy::SecretString;

use crate::declared::Declared;
use crate::stores::Stores;

/// Why something cannot be as declared, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Reason of the condition.
    pub reason: Reason,
    /// What is, and what to do.
    pub message: String,
}

impl Obstacle {
    /// An obstacle.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Obstacle {
            reason,
            message: message.into(),
        }
    }
}

/// What is to be done about a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// It shall be as declared.
    Keep,
    /// It is only looked at: writes are stopped.
    Look,
    /// It shall go, with what was made for it.
    Remove,
}

/// A version of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// UID of the Secret.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

/// The versions of Secrets that the server has, by what they feed.
pub type Pushed = BTreeMap<String, Version>;

/// What [`Pushed`] calls the credentials of the bucket.
pub const BUCKET: &str = "bucket";
/// What [`Pushed`] calls the connection of the metadata store.
pub const DATABASE: &str = "database";

/// What [`Pushed`] calls the password of the account `user`.
pub fn account(user: &str) -> String {
    format!("account/{user}")
}

/// An account to be kept.
#[derive(Clone, Debug)]
pub struct Account {
    /// Name of the user.
    pub name: String,
    /// Numeric ID.
    pub uid: Option<u32>,
    /// Numeric ID of the group.
    pub gid: Option<u32>,
    /// The Secret and the key in it that the spec names for the password, as `name/key`.
    pub source: String,
    /// The password and the version of its Secret, or why it is not known.
    pub password: Result<(SecretString, Version), Obstacle>,
}

/// What a share shall be.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Namespace of the DittoFSShare.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Generation of its spec.
    pub generation: i64,
    /// Changes whenever anything of the wish does.
    pub fingerprint: u64,
    /// What is to be done.
    pub goal: Goal,
    /// Options, permissions, limits.
    pub declared: Declared,
    /// The stores, or why they are not known.
    pub stores: Result<Stores, Obstacle>,
    /// The accounts to keep.
    pub accounts: Vec<Account>,
    /// The versions of the Secrets that the stores were made of, by what they feed.
    pub versions: Pushed,
    /// The versions that the server has, as the status tells.
    pub pushed: Pushed,
    /// Whether the metadata store's connection comes from a Secret of the share's own, for which nobody restarts
    /// the server.
    pub own_connection: bool,
    /// When, by the server's clock, it was given a password that it takes at its next start, as the status tells.
    pub awaited: Option<Timestamp>,
    /// UUID of the share when it was last seen served.
    pub known_id: Option<String>,
    /// The claims that the share was made on.
    pub claims_before: Vec<ClaimStatus>,
    /// Those of the server's claims that the share lies on.
    pub claims: Vec<ClaimStatus>,
    /// Whether what has no marker of ours, or another's, is taken over.
    pub adopt: bool,
    /// Whether the share may be made again although its files are gone.
    pub recreate_empty: bool,
}

impl Wish {
    /// The DittoFSShare as people write it.
    pub fn owner(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether the spec still asks for what a Secret was pushed for.
    pub fn feeds(&self, what: &str) -> bool {
        what == BUCKET
            || what == DATABASE
            || self.accounts.iter().any(|kept| account(&kept.name) == what)
    }

    /// Name for people of an account that is kept for the share; by it such an account is known.
    pub fn display_name(&self) -> String {
        format!("{KEPT_BY}{}", self.owner())
    }
}

/// How [`Wish::display_name`] begins.
const KEPT_BY: &str = "kept by DittoFSShare ";

/// Namespace and name of the DittoFSShare that keeps, or kept, an account with this name for people.
pub fn keeper(display_name: &str) -> Option<(&str, &str)> {
    display_name.strip_prefix(KEPT_BY)?.split_once('/')
}

/// From the status and to it.
pub fn pushed_of(status: Option<&Vec<PushedSecret>>) -> Pushed {
    let pushed = status.into_iter().flatten();
    pushed
        .map(|secret| {
            let version = Version {
                uid: secret.secret_uid.clone(),
                resource_version: secret.resource_version.clone(),
            };
            (secret.what.clone(), version)
        })
        .collect()
}

/// What a start of the server puts in force, as the status calls it.
const SERVER: &str = "server";
/// The field whose Secret has the metadata store's password.
const PASSWORD: &str = "metadataStore.postgres.secretRef";

/// When the server was given a password that it takes at its next start, from the status.
pub fn awaited_of(notes: Option<&Vec<AwaitedRestart>>) -> Option<Timestamp> {
    let note = notes?.iter().find(|note| note.what == SERVER)?;
    note.since.parse().ok()
}

/// As the status has it.
pub fn awaited_to_status(awaited: Option<Timestamp>) -> Option<Vec<AwaitedRestart>> {
    let note = awaited.map(|since| AwaitedRestart {
        what: SERVER.to_owned(),
        settings: vec![PASSWORD.to_owned()],
        since: since.to_string(),
    });
    note.map(|note| vec![note])
}

/// As the status has it; nothing for nothing.
pub fn to_status(pushed: &Pushed) -> Option<Vec<PushedSecret>> {
    let list: Vec<PushedSecret> = pushed
        .iter()
        .map(|(what, version)| PushedSecret {
            what: what.clone(),
            secret_uid: version.uid.clone(),
            resource_version: version.resource_version.clone(),
        })
        .collect();
    (!list.is_empty()).then_some(list)
}
