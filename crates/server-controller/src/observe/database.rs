//! What is known of the server's database cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::v1alpha1::DatabaseProvider;
use api_types::{DittoFSShare, DittoServer};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use percona_bridge::{ClusterState, CnpgCluster, Managed, PerconaPGCluster, Seen, Source};
use resources::Database;

use super::{ObserveError, Observed, SecretState, failed, identity, installed};
use crate::check::Trouble;
use crate::watches::Watches;

/// Time that the operator of a database has for its first word about a cluster.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The live clusters; `None` where there is none.
pub type LiveClusters = Database<Option<Arc<PerconaPGCluster>>, Option<Arc<CnpgCluster>>>;

/// What is known of the server's database cluster.
#[derive(Clone, Debug, Default)]
pub struct DatabaseFacts {
    /// The cluster that the spec names, where it exists.
    pub live: LiveClusters,
    /// Which kinds of clusters can be read and written.
    pub served: Database<bool, bool>,
    /// The operator of the database has said nothing about the cluster for too long.
    pub is_silent: bool,
    /// The newest warning about the cluster; asked only where something seems wrong.
    pub warning: Option<String>,
    /// What trial logins have brought, by name of the database.
    pub trials: BTreeMap<String, Result<(), Trouble>>,
    /// DittoFSShares whose metadata stores have an older version of the credentials, as `namespace/name`; asked
    /// only where the pod shall be restarted.
    pub outdated: Vec<String>,
    /// Older DittoServers of the namespace that use the same database, by name.
    pub rivals: Vec<String>,
}

impl DatabaseFacts {
    /// Whether clusters of the kind of `managed` can be read and written.
    pub fn serves(&self, managed: &Managed) -> bool {
        match managed.provider().provider() {
            DatabaseProvider::CloudNativePg => self.served.cloudnative_pg,
            _ => self.served.percona,
        }
    }

    /// The cluster of `managed`, where it exists.
    pub fn cluster(&self, managed: &Managed) -> Option<Seen<'_>> {
        match managed.provider().provider() {
            DatabaseProvider::CloudNativePg => {
                self.live.cloudnative_pg.as_deref().map(|live| Seen {
                    meta: &live.metadata,
                    spec: &live.spec,
                    status: &live.status,
                })
            }
            _ => self.live.percona.as_deref().map(|live| Seen {
                meta: &live.metadata,
                spec: &live.spec,
                status: &live.status,
            }),
        }
    }
}

/// Reads what is known of the cluster behind `source`.
///
/// # Errors
/// When the API server does not answer.
pub(super) async fn facts(
    client: &Client,
    watches: &Watches,
    namespace: &str,
    server: &DittoServer,
    source: Option<&Source>,
    now: Timestamp,
) -> Result<DatabaseFacts, ObserveError> {
    let mut facts = DatabaseFacts {
        rivals: source.map_or_else(Vec::new, |source| {
            rivals(watches, namespace, server, source)
        }),
        served: Database {
            percona: watches.perconas().is_some(),
            cloudnative_pg: watches.cnpgs().is_some(),
        },
        ..DatabaseFacts::default()
    };
    let Some(Source::Managed(managed)) = source else {
        return Ok(facts);
    };
    let name = managed.cluster.clone();
    let what = "the database cluster";
    if managed.provider().provider() == DatabaseProvider::CloudNativePg {
        facts.live.cloudnative_pg = installed(watches.cnpgs(), namespace, name, true, what).await?;
    } else {
        facts.live.percona = installed(watches.perconas(), namespace, name, true, what).await?;
    }
    facts.is_silent = patience(&facts, managed, now) == Some(Duration::ZERO);
    if facts.is_silent {
        facts.warning = warning(client, namespace, &managed.cluster).await?;
    }
    Ok(facts)
}

/// The servers of the namespace that are older than `server` and use a database of its `source`. Each writes to
/// its database as if it were alone.
fn rivals(
    watches: &Watches,
    namespace: &str,
    server: &DittoServer,
    source: &Source,
) -> Vec<String> {
    // Most servers have a file of their own, and are spared the look at all others at each visit.
    if matches!(source, Source::Sqlite { .. }) {
        return Vec::new();
    }
    let age = |server: &DittoServer| (server.creation_timestamp(), server.name_any());
    let mut names: Vec<String> = watches
        .servers
        .list_cached()
        .into_iter()
        .filter(|other| {
            other.namespace().as_deref() == Some(namespace)
                && other.uid() != server.uid()
                && age(other) < age(server)
                && other.metadata.deletion_timestamp.is_none()
                && super::source(other).is_some_and(|other| other.shares_a_database(source))
        })
        .map(|other| other.name_any())
        .collect();
    names.sort();
    names
}

/// Time that the operator of a database still has for its first word; `None` where it has spoken.
pub fn patience(facts: &DatabaseFacts, managed: &Managed, now: Timestamp) -> Option<Duration> {
    let seen = facts.cluster(managed)?;
    if managed.provider().state(seen) != ClusterState::Silent {
        return None;
    }
    let created = seen.meta.creation_timestamp.as_ref()?.0;
    let age = Duration::try_from(now.duration_since(created)).unwrap_or_default();
    Some(PATIENCE.saturating_sub(age))
}

/// The DittoFSShares of `server` whose metadata stores lie in its databases and were last given another version
/// of the credentials than the one that is there, as `namespace/name`.
///
/// # Errors
/// When they cannot be listed.
pub async fn outdated_stores(
    apis: Vec<Api<DittoFSShare>>,
    observed: &Observed,
    secret: &str,
) -> Result<Vec<String>, ObserveError> {
    let Some(SecretState::Present(secret)) = observed.secrets.get(secret) else {
        return Ok(Vec::new());
    };
    let current = &secret.object.metadata;
    let (namespace, server) = identity(&observed.server);
    let mut outdated = Vec::new();
    for api in apis {
        let shares = api
            .list(&ListParams::default())
            .await
            .map_err(failed("the DittoFSShares"))?;
        for share in shares {
            let of = &share.spec.server_ref;
            let own = share.namespace().unwrap_or_default();
            let its_server = of.namespace.as_ref().unwrap_or(&own);
            let store = share.spec.metadata_store.postgres.as_ref();
            let in_database = store.is_some_and(|store| store.database.is_some());
            if !in_database || of.name.0 != server || *its_server != namespace {
                continue;
            }
            let pushed = share.status.iter().flat_map(|status| &status.pushed);
            let mut pushed = pushed.flatten().filter(|pushed| pushed.what == "database");
            let behind = pushed.any(|pushed| {
                Some(&pushed.secret_uid) != current.uid.as_ref()
                    || Some(&pushed.resource_version) != current.resource_version.as_ref()
            });
            if behind && share.metadata.deletion_timestamp.is_none() {
                outdated.push(format!("{own}/{}", share.name_any()));
            }
        }
    }
    outdated.sort();
    Ok(outdated)
}

/// The newest warning about the cluster, or about what its operator makes under the same name.
async fn warning(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<String>, ObserveError> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let about = ListParams::default().fields(&format!("involvedObject.name={name},type=Warning"));
    let events = api
        .list(&about)
        .await
        .map_err(failed("the events of the database cluster"))?;
    let last = events.items.into_iter().max_by_key(|event| {
        let at = event.last_timestamp.clone();
        at.or_else(|| event.first_timestamp.clone())
    });
    Ok(last.and_then(|event| event.message))
}
