//! What a controller gets to work with.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use kube::Client;

use crate::{Events, Fence, Metrics, Readiness, RunOptions, Scope, Settings, Shutdown};

/// What a controller gets to work with. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Name of the binary, also the controller named in Events.
    pub name: String,
    /// The Kubernetes client, with fence, time limits and metrics.
    pub client: Client,
    /// The part of the cluster that is served.
    pub scope: Scope,
    /// Command line and environment.
    pub settings: Settings,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What must be there before the process is ready.
    pub readiness: Readiness,
    /// The wish to stop.
    pub shutdown: Shutdown,
    /// Asked before each write that does not go through `client`, such as one over a server's REST API.
    /// Absent without a lease.
    pub fence: Option<Fence>,
    /// Objects reconciled at the same time.
    pub concurrency: u16,
    /// How names of hosts are looked up, where the resolver of the system does not know those of the cluster.
    pub lookup: Option<Lookup>,
}

/// The addresses of a host's name and a port.
pub type Lookup =
    Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

impl std::fmt::Debug for Context {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Context")
            .field("name", &self.name)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// A context for a controller that a test starts in its own process:
    /// no lease, no HTTP server, no log set-up, default settings.
    #[must_use]
    pub fn for_test(client: Client, scope: Scope) -> Self {
        Self {
            name: "test".to_owned(),
            client,
            scope,
            settings: Settings::default(),
            metrics: Metrics::new(),
            readiness: Readiness::new(),
            shutdown: Shutdown::new(),
            fence: None,
            concurrency: 8,
            lookup: None,
        }
    }

    /// Options for [`crate::run`]: this concurrency, readiness and metrics.
    #[must_use]
    pub fn run_options(&self) -> RunOptions {
        RunOptions {
            concurrency: self.concurrency,
            readiness: self.readiness.clone(),
            metrics: self.metrics.clone(),
        }
    }

    /// A writer of Events in the name of this controller.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.client.clone(), &self.name)
    }
}
