//! How a controller reaches the REST API of a server: by its Service or by port-forward, and never
//! with a write after the lease is lost.

pub mod account;
mod fenced;
mod port_forward;
mod reach;
pub mod secrets;
pub mod trouble;

use std::{path::Path, sync::Arc, time::Duration};

use adapter_client::{
    Account, BuildError, Client as RestClient, Dial, HttpTransport, TcpDial, TlsSettings, Transport,
};
use api_types::v1alpha1::ApiStatus;
use clap::{Args, ValueEnum};
use kube::Client;
use resources::Instance;

pub use account::OwnAccount;
pub use fenced::Fenced;
use fenced::fenced;
pub use port_forward::PodDial;
pub use trouble::Trouble;

use crate::{Applier, Context, Fence};

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

/// A server, as far as a session with it needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The server.
    pub instance: Instance<'a>,
    /// Where its API is.
    pub api: &'a ApiStatus,
    /// Whether anything may be written: in the server or in Kubernetes.
    pub may_write: bool,
}

/// What every session of a controller works with. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    /// The Kubernetes client.
    pub client: Client,
    applier: Applier,
    servers: Servers,
    /// The controller's account.
    pub account: OwnAccount,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Sessions")
            .field("account", &self.account.user)
            .finish_non_exhaustive()
    }
}

/// What is open while nothing that it depends on changes. Tokens are in its memory only.
#[derive(Clone, Debug)]
pub struct Open {
    /// A client without an account.
    pub anonymous: RestClient,
    /// A client with the controller's account.
    pub account: RestClient,
}

impl Sessions {
    /// Sessions for `account` that reach their servers as `rest` says; `manager` is the field manager of
    /// the Secret with the account's password.
    #[must_use]
    pub fn new(
        context: &Context,
        rest: RestSettings,
        manager: &'static str,
        account: OwnAccount,
    ) -> Self {
        Sessions {
            client: context.client.clone(),
            applier: Applier::new(context.client.clone(), manager)
                .counting(context.metrics.drift()),
            servers: Servers::new(context, rest),
            account,
        }
    }

    /// A client of the API of `site`, without an account.
    ///
    /// # Errors
    /// When the certificates that the status names cannot be had or used.
    pub async fn anonymous(&self, site: &Site<'_>) -> Result<RestClient, Trouble> {
        reach::client(self, site).await
    }

    /// Opens a session. The account's Secret is made when there is none; nothing is sent to the server.
    ///
    /// # Errors
    /// When a Secret cannot be had.
    pub async fn open(&self, site: &Site<'_>) -> Result<Open, Trouble> {
        let anonymous = reach::client(self, site).await?;
        let password = account::password(self, site).await?;
        let account = anonymous.with_account(Account::new(self.account.user, password));
        Ok(Open { anonymous, account })
    }
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
