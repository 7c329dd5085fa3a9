//! Names of Services, for controllers that run outside of the cluster and reach its addresses.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use controller_runtime::Lookup;
use futures::FutureExt;
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};

/// Gives names of Services the addresses that the DNS of the cluster would give them, and all others those
/// of this machine's.
#[must_use]
pub fn names_of_services(admin: &Client) -> Lookup {
    let admin = admin.clone();
    Arc::new(move |host, port| {
        let admin = admin.clone();
        async move {
            let labels: Vec<&str> = host.split('.').collect();
            let [name, namespace, "svc", ..] = labels[..] else {
                return Ok(tokio::net::lookup_host((host, port)).await?.collect());
            };
            let services: Api<Service> = Api::namespaced(admin, namespace);
            let service = services.get_opt(name).await.map_err(io::Error::other)?;
            let address = service
                .and_then(|service| service.spec)
                .and_then(|spec| spec.cluster_ip)
                .and_then(|address| address.parse().ok());
            let address = address.ok_or(io::ErrorKind::NotFound)?;
            Ok(vec![SocketAddr::new(address, port)])
        }
        .boxed()
    })
}
