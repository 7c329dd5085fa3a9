//! What shall become of the database cluster, and of the Secret with the parts of a connection.

use api_types::names;
use percona_bridge::Source;
use resources::Database;
use secrecy::ExposeSecret;

use super::{DatabaseWishes, Wish, usable};
use crate::observe::{Observed, SecretState};
use crate::validate::{Validated, database};

/// The cluster. Never removed here: it goes with the server only, and only where the spec says so.
pub(super) fn wishes(observed: &Observed, validated: &Validated<'_>) -> DatabaseWishes {
    let mut wishes = Database {
        percona: Wish::Leave,
        cloudnative_pg: Wish::Leave,
    };
    let Some(Source::Managed(managed)) = usable(validated) else {
        return wishes;
    };
    let instance = &validated.instance;
    let facts = &observed.database;
    let live = facts.cluster(managed);
    let leaving = live.is_some_and(|live| live.meta.deletion_timestamp.is_some());
    let foreign = live.is_some() && !database::is_ours(observed, instance, managed);
    let aged = live.is_some_and(|live| managed.other_version(live).is_some())
        || managed.provider().mismatch().is_some();
    let lost = database::is_lost(observed, instance, managed);
    if !facts.serves(managed) || leaving || foreign || aged || lost {
        return wishes;
    }
    if let Some(cluster) = resources::percona_cluster(instance, managed, live) {
        wishes.percona = Wish::Apply(Box::new(cluster));
    }
    if let Some(cluster) = resources::cnpg_cluster(instance, managed, live) {
        wishes.cloudnative_pg = Wish::Apply(Box::new(cluster));
    }
    wishes
}

/// Whether the Secret with the parts of the connection differs from the text that they come from. It is left
/// alone while the running pod is: that would start again with it.
pub(super) fn connects(observed: &Observed, validated: &Validated<'_>) -> bool {
    let name = names::database_connection(validated.instance.name);
    let connection = validated.database.connection.as_ref();
    let Some(connection) = connection.filter(|connection| connection.secret == name) else {
        return false;
    };
    if validated.digest.is_none() {
        return false;
    }
    match observed.secrets.get(&name) {
        Some(SecretState::Present(secret)) => percona_bridge::derived(&connection.parts)
            .iter()
            .any(|(key, value)| secret.value(key) != Some(value.expose_secret().as_bytes())),
        Some(SecretState::Missing) | None => true,
        Some(SecretState::Refused(_)) => false,
    }
}
