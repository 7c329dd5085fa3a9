//! A new password of a metadata store in PostgreSQL, from a Secret of the share's own.
//!
//! The server takes it at its next start only, does not look whether it works, and with one that does not it
//! does not start at all (server contract 3.9). So it is tried first, and what is due is told until the server
//! has started later.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adapter_client::{Client, Error, MetadataStoreConfig};
use api_types::conditions::Reason;
use api_types::names;
use tokio::time::timeout;

use super::{Key, Shared, Target};
use crate::carry_out::{Effect, carry_out};
use crate::plan::{Step, Turn};
use crate::wish::{DATABASE, Obstacle, Wish};

/// Longest time in which the server opens the store with the new password.
const TRIAL: Duration = Duration::from_secs(10);

/// What the servers' stores were last made of, as far as this process knows. A Secret gets another version with
/// each label, too, for which nothing must be started anew.
#[derive(Default)]
pub(super) struct Passwords(Mutex<HashMap<Key, u64>>);

impl Passwords {
    /// Notes what the store of the share has, once it has what the Secret says.
    pub(super) fn remember(&self, key: &Key, wish: &Wish, turn: &Turn) {
        let pushed = turn.pushed.get(DATABASE);
        if let Ok(stores) = &wish.stores
            && let (_, Some(config)) = &stores.metadata
            && pushed.is_some()
            && pushed == wish.versions.get(DATABASE)
        {
            self.known().insert(key.clone(), print(config));
        }
    }

    /// Forgets the shares that are not followed any more.
    pub(super) fn retain(&self, shared: &Shared) {
        let state = shared.state();
        self.known().retain(|key, _| state.shares.contains_key(key));
    }

    /// Sends `step` for the share of `wish`; a new password of its own only if the server can use it.
    ///
    /// # Errors
    /// What the calls say.
    pub(super) async fn carry_out(
        &self,
        client: &Client,
        key: &Key,
        wish: &Wish,
        step: Step,
    ) -> Result<Effect, Error> {
        let config = match &step {
            Step::UpdateMetadata(config, _) if wish.own_connection => config.clone(),
            _ => return carry_out(client, wish, step).await,
        };
        if self.known().get(key) == Some(&print(&config)) {
            return carry_out(client, wish, step).await;
        }
        try_out(client, &wish.declared.share, config).await?;
        let effect = carry_out(client, wish, step).await?;
        // Asked afterwards: a start in between is not taken for one that has the password.
        let now = client.server().health().await?.timestamp;
        Ok(Box::new(move |world, turn| {
            effect(world, turn);
            turn.awaited = Some(now);
        }))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the server open the store `name` with `config`. It does so before it looks whether the name is taken, and
/// the store that is opened beside the one in use stays idle until the server ends.
async fn try_out(
    client: &Client,
    name: &str,
    mut config: MetadataStoreConfig,
) -> Result<(), Error> {
    if let MetadataStoreConfig::Postgres {
        max_conns,
        min_conns,
        ..
    } = &mut config
    {
        *max_conns = Some(1);
        *min_conns = Some(1);
    }
    let stores = client.metadata_stores();
    match timeout(TRIAL, stores.create(name, &config)).await {
        // Taken: it could be opened.
        Ok(Ok(_) | Err(Error::Conflict { .. })) => Ok(()),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::Precondition {
            call: "metadata_stores.create",
            detail: "the database does not answer in time".to_owned(),
        }),
    }
}

/// Drops from `turn` what has been put in force by a start of the server.
///
/// # Errors
/// When the server does not say when it was started.
pub(super) async fn settle(client: &Client, wish: &Wish, turn: &mut Turn) -> Result<(), Error> {
    if let Some(since) = turn.awaited
        && (!wish.own_connection || client.server().health().await?.data.started_at > since)
    {
        turn.awaited = None;
    }
    Ok(())
}

/// What is said of a new password that the server could not use.
pub(super) fn refused(error: &Error) -> Obstacle {
    Obstacle::new(
        Reason::StoreRefused,
        format!(
            "The server cannot open the metadata store with the new values of its Secret, and keeps the old ones: {error}. Correct the Secret, or the role in PostgreSQL. It is tried again."
        ),
    )
}

/// What is said while the server has a new password and works with the old one.
pub(super) fn awaits(turn: &Turn, target: &Target) -> Option<Obstacle> {
    turn.awaited?;
    Some(Obstacle::new(
        Reason::ServerRestartNeeded,
        format!(
            "The server has the new password of the metadata store and takes it at its next start. Until then it can make no new connections where the old one is not valid any more, and it renews all of them within an hour. Start it at a time that suits its clients: kubectl delete pod -n {} {}",
            target.namespace,
            names::pod(&target.name)
        ),
    ))
}

/// Tells one configuration, password included, from another; kept in memory only.
fn print(config: &MetadataStoreConfig) -> u64 {
    let mut hasher = DefaultHasher::new();
    // What cannot be written is never the same.
    serde_json::to_string(config).ok().hash(&mut hasher);
    hasher.finish()
}
