//! Everything that wakes the controller, and the stores it reads from.

use api_types::{DittoServer, labels, names};
use controller_runtime::{
    Context, Primaries, Primary, References, Remembered, Triggers, WatchOptions, Watched,
    reference_triggers,
};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::ObjectRef;

use crate::MANAGERS;
use crate::poll::Pollers;

/// The stores of everything that the controller reads.
#[derive(Clone, Debug)]
pub struct Watches {
    /// The servers themselves.
    pub servers: Primaries<DittoServer>,
    /// Their Services, those of the server-controller included.
    pub services: Watched<Service>,
    /// Their network policies.
    pub policies: Watched<NetworkPolicy>,
    /// The Secrets that open each server's API.
    pub references: References<DittoServer>,
}

impl Watches {
    /// Prepares every watch; they run while the returned parts are polled by the run loop. A Secret
    /// that opens a server's API makes `pollers` look at it at once when it changes.
    pub fn start(
        context: &Context,
        pollers: &Pollers,
    ) -> (Self, Primary<DittoServer>, Vec<Triggers<DittoServer>>) {
        let primary = Primary::new(context, MANAGERS);
        let references = References::new();
        let (services, service) = Watched::start(context, WatchOptions::owned(MANAGERS), instance);
        let (policies, policy) = Watched::start(context, WatchOptions::owned(MANAGERS), instance);
        let pollers = pollers.clone();
        let secret = reference_triggers::<Secret, _, _>(
            context,
            WatchOptions::all().named("secrets (metadata)"),
            references.clone(),
            // Values are read by name each time, so nothing is remembered.
            Remembered::<()>::new(),
        )
        .inspect(move |server| pollers.poke(server))
        .boxed();
        let watches = Watches {
            servers: primary.store(),
            services,
            policies,
            references,
        };
        (watches, primary, vec![service, policy, secret])
    }
}

/// The server that an adapter's object belongs to by its labels or its controller. Of what the
/// server-controller makes only the baseline policy is our business: ours may go once it is gone.
fn instance(meta: &ObjectMeta) -> Vec<ObjectRef<DittoServer>> {
    let labels = meta.labels.as_ref();
    let of_adapter = labels.is_some_and(|labels| labels.contains_key(labels::ADAPTER_TYPE));
    let named = meta
        .name
        .as_deref()
        .is_some_and(|name| name.contains("-adapter-"));
    let by_label = labels.and_then(|labels| labels.get(labels::INSTANCE));
    let is_baseline = by_label.is_some_and(|server| {
        meta.name.as_deref() == Some(names::baseline_policy(server).as_str())
    });
    if !of_adapter && !named && !is_baseline {
        return Vec::new();
    }
    let by_owner = meta
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.kind == "DittoServer" && owner.controller == Some(true))
        .map(|owner| &owner.name);
    let mut servers: Vec<&String> = by_label.into_iter().chain(by_owner).collect();
    servers.dedup();
    servers
        .into_iter()
        .map(|name| ObjectRef::new(name).within(meta.namespace.as_deref().unwrap_or_default()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_policy_wakes_us_and_the_other_children_of_the_server_do_not() {
        let woken = |name: &str| {
            let labels = labels::standard("files", labels::Component::Network);
            let meta = ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some("media".to_owned()),
                labels: Some(labels),
                ..ObjectMeta::default()
            };
            instance(&meta).len()
        };
        assert_eq!(woken(&names::baseline_policy("files")), 1);
        assert_eq!(woken("files-adapter-nfs"), 1);
        assert_eq!(woken("files-api"), 0);
        assert_eq!(woken("files"), 0);
    }
}
