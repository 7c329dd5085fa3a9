//! How a controller reaches the REST API of a server: by its Service or by port-forward, and never
//! with a write after the lease is lost.

mod fenced;
mod port_forward;

use std::{path::Path, sync::Arc, time::Duration};

use adapter_client::{BuildError, Dial, HttpTransport, TcpDial, TlsSettings, Transport};
use clap::{Args, ValueEnum};
use kube::Client;

pub use fenced::Fenced;
use fenced::fenced;
pub use port_forward::PodDial;

use crate::{Context, Fence};

/// Where Kubernetes puts the token of a pod's service account.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The way to the servers' REST API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ApiTransport {
    /// By Service inside a cluster, by port-forward outside of one.
    #[default]
    Auto,
    /// To the URL in the server's status, with the names and routes of this machine.
    Service,
    /// Through the Kubernetes API to the pod; needs the right to create `pods/portforward`.
    PortForward,
}

/// Settings of a controller that talks to servers.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct RestSettings {
    /// How the REST API of the servers is reached
    #[arg(
        long,
        env = "DITTOFS_OPERATOR_API_TRANSPORT",
        value_enum,
        default_value_t
    )]
    pub api_transport: ApiTransport,
}

/// Opens ways to the servers of one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Servers {
    client: Client,
    fence: Option<Fence>,
    port_forward: bool,
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Servers")
            .field("port_forward", &self.port_forward)
            .finish_non_exhaustive()
    }
}

impl Servers {
    /// Ways as `settings` ask for. Once the lease of `context` is lost, no write is sent.
    #[must_use]
    pub fn new(context: &Context, settings: RestSettings) -> Self {
        Self {
            client: context.client.clone(),
            fence: context.fence.clone(),
            port_forward: by_port_forward(settings.api_transport, Path::new(TOKEN)),
        }
    }

    /// The way to the server whose pod is `pod` in `namespace`. `tls` is for `https` URLs; a connection must stand
    /// after `connect`. Sends nothing yet. `Host` header and TLS name are those of the URL on both ways.
    ///
    /// # Errors
    /// When the certificates in `tls` cannot be used.
    pub fn transport(
        &self,
        namespace: &str,
        pod: &str,
        tls: Option<&TlsSettings>,
        connect: Duration,
    ) -> Result<Arc<dyn Transport>, BuildError> {
        let dial: Arc<dyn Dial> = if self.port_forward {
            Arc::new(PodDial::new(self.client.clone(), namespace, pod))
        } else {
            Arc::new(TcpDial)
        };
        Ok(match &self.fence {
            Some(fence) => Arc::new(fenced(dial, tls, connect, fence.clone())?),
            None => Arc::new(HttpTransport::new(dial, tls, connect)?),
        })
    }
}

fn by_port_forward(choice: ApiTransport, token: &Path) -> bool {
    match choice {
        ApiTransport::Auto => !token.exists(),
        ApiTransport::Service => false,
        ApiTransport::PortForward => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_a_cluster_servers_are_reached_by_port_forward() {
        let inside = Path::new(env!("CARGO_MANIFEST_PATH"));
        let outside = Path::new("/nonexistent/token");
        assert!(by_port_forward(ApiTransport::Auto, outside));
        assert!(!by_port_forward(ApiTransport::Auto, inside));
        assert!(by_port_forward(ApiTransport::PortForward, inside));
        assert!(!by_port_forward(ApiTransport::Service, outside));
    }
}
