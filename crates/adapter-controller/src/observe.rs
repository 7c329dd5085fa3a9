//! The first step: everything that a decision about one server needs to know. Reads only.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::names;
use api_types::{DittoServer, v1alpha1::AdapterKind};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::known::{has_own_services, is_paused, is_taken_over};
use crate::plan::{Stand, stand};
use crate::poll::Memory;
use crate::status::addresses;
use crate::watches::Watches;

/// The live children of one adapter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// Its Service.
    pub service: Option<Arc<Service>>,
    /// Its NetworkPolicy.
    pub policy: Option<Arc<NetworkPolicy>>,
}

/// Everything that a decision about one server needs to know.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The server.
    pub server: Arc<DittoServer>,
    /// What the looks at it have told.
    pub memory: Memory,
    /// The children of each adapter.
    pub live: BTreeMap<AdapterKind, Live>,
    /// Whether the server-controller's policy exists that admits nobody to the adapters.
    pub isolated: bool,
    /// What was last said of a load balancer that has had no address for too long.
    pub complaints: BTreeMap<AdapterKind, String>,
    /// Whether that could not be asked: what was said before stands.
    pub unasked: bool,
}

/// Something could not be read; nothing may be concluded.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be read")]
pub struct ObserveError {
    what: String,
    #[source]
    source: kube::Error,
}

fn failed(what: impl Into<String>) -> impl FnOnce(kube::Error) -> ObserveError {
    let what = what.into();
    move |source| ObserveError { what, source }
}

/// Reads the world of `server`: children from the stores; one that is needed and that no store has
/// by its name, so that somebody else's is seen.
///
/// # Errors
/// When a child cannot be read.
pub async fn observe(
    client: &Client,
    watches: &Watches,
    server: Arc<DittoServer>,
    memory: Memory,
    now: Timestamp,
) -> Result<Observed, ObserveError> {
    let namespace = server.namespace().unwrap_or_default();
    let name = server.name_any();
    let baseline = names::baseline_policy(&name);
    let mut observed = Observed {
        server,
        memory,
        live: BTreeMap::new(),
        isolated: watches.policies.cached(&namespace, &baseline).is_some(),
        complaints: BTreeMap::new(),
        unasked: false,
    };
    let untouched =
        is_paused(&observed.server) || observed.server.metadata.deletion_timestamp.is_some();
    // What the Go operator made carries none of our labels, so no store has it.
    let inherited = is_taken_over(&observed.server) && !has_own_services(&observed.server);
    for kind in AdapterKind::ALL {
        let child = names::adapter(&name, kind);
        let needed = matches!(stand(&observed, kind), Stand::Serve(_)) || inherited;
        let live = if needed && !untouched {
            let service = watches.services.get(&namespace, &child);
            let policy = watches.policies.get(&namespace, &child);
            Live {
                service: service.await.map_err(failed(format!("Service {child}")))?,
                policy: policy
                    .await
                    .map_err(failed(format!("NetworkPolicy {child}")))?,
            }
        } else {
            Live {
                service: watches.services.cached(&namespace, &child),
                policy: watches.policies.cached(&namespace, &child),
            }
        };
        observed.live.insert(kind, live);
    }
    for kind in addresses::overdue(&observed, now) {
        let service = observed.live[&kind].service.clone();
        if let Some(service) = service {
            match complaint(client, &namespace, &service).await {
                Ok(said) => observed.complaints.extend(said.map(|said| (kind, said))),
                // The quote is a help for people, and nothing to stop for.
                Err(error) => {
                    tracing::debug!(%error, "the Service's events cannot be read");
                    observed.unasked = true;
                }
            }
        }
    }
    Ok(observed)
}

/// What was last said of `service`. Events are the only place where a provider does.
async fn complaint(
    client: &Client,
    namespace: &str,
    service: &Service,
) -> Result<Option<String>, kube::Error> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let uid = service.uid().unwrap_or_default();
    let about = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
    let events = api.list(&about).await?;
    let last = events.items.into_iter().max_by_key(|event| {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        let series = event.event_time.as_ref().map(|time| time.0);
        (event.type_.as_deref() == Some("Warning"), last.or(series))
    });
    Ok(last.and_then(|event| event.message))
}
