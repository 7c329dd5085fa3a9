//! Names of the objects that belong to a `DittoServer`.
//!
//! They are the same as those of the Go operator, so that its objects are taken over.

use crate::v1alpha1::AdapterKind;

/// Longest name of a `DittoServer`, in characters: the longest suffix that a child adds
/// (`-admin-bootstrap-credentials` only for Secrets; `-adapter-<type>` for Services, whose names
/// are DNS labels) and the revision label of its pods must still fit 63.
pub const MAX_SERVER_NAME: usize = 50;

/// ConfigMap with the server's configuration file.
pub fn config(server: &str) -> String {
    format!("{server}-config")
}

/// Secret with the key that signs the server's tokens.
pub fn jwt_secret(server: &str) -> String {
    format!("{server}-jwt-secret")
}

/// Secret with the initial password of the account `admin`.
pub fn admin_secret(server: &str) -> String {
    format!("{server}-admin-bootstrap-credentials")
}

/// Name that early releases of the Go operator gave the Secret of [`admin_secret`].
pub fn early_admin_secret(server: &str) -> String {
    format!("{server}-admin-credentials")
}

/// Secret in which the Go operator kept its own account and its tokens.
pub fn predecessor_account_secret(server: &str) -> String {
    format!("{server}-operator-credentials")
}

/// Database cluster of a server with a managed database.
pub fn managed_database(server: &str) -> String {
    format!("{server}-postgres")
}

/// Secret with the parts of a connection that people gave as one text.
pub fn database_connection(server: &str) -> String {
    format!("{server}-database")
}

/// Headless Service that gives the pod its DNS name.
pub fn headless_service(server: &str) -> String {
    format!("{server}-headless")
}

/// Service of the REST API.
pub fn api_service(server: &str) -> String {
    format!("{server}-api")
}

/// Service of the Prometheus endpoint.
pub fn metrics_service(server: &str) -> String {
    format!("{server}-metrics")
}

/// Service, and NetworkPolicy, of a protocol adapter.
pub fn adapter(server: &str, kind: AdapterKind) -> String {
    format!("{server}-adapter-{}", kind.as_str())
}

/// Secret with the password of the adapter-controller's account in the server.
pub fn adapter_credentials(server: &str) -> String {
    format!("{server}-adapter-credentials")
}

/// Secret with the password of the share-controller's account in the server.
pub fn share_credentials(server: &str) -> String {
    format!("{server}-share-credentials")
}

/// ServiceMonitor of the Prometheus endpoint.
pub fn service_monitor(server: &str) -> String {
    metrics_service(server)
}

/// PrometheusRule with the server's alerts.
pub fn prometheus_rule(server: &str) -> String {
    metrics_service(server)
}

/// StatefulSet that runs the server.
pub fn stateful_set(server: &str) -> String {
    server.to_owned()
}

/// The one pod of the server: ordinal 0 of its StatefulSet.
pub fn pod(server: &str) -> String {
    format!("{server}-0")
}

/// NetworkPolicy that admits the API (and metrics) port.
pub fn baseline_policy(server: &str) -> String {
    format!("{server}-baseline")
}

/// PodDisruptionBudget of the server's pod.
pub fn disruption_budget(server: &str) -> String {
    server.to_owned()
}

/// Volume of a server that is kept on a claim of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volume {
    /// Metadata stores, mounted at `/data/store/metadata`.
    Metadata,
    /// File contents, mounted at `/data/store/block`.
    Content,
    /// The control-plane database, mounted at `/data/controlplane`.
    ControlPlane,
}

impl Volume {
    /// All volumes, in the order of the StatefulSet's claim templates.
    pub const ALL: [Volume; 3] = [Volume::Metadata, Volume::Content, Volume::ControlPlane];

    /// Name of the claim template and of the pod's volume.
    pub fn name(self) -> &'static str {
        match self {
            Volume::Metadata => "metadata",
            Volume::Content => "content",
            Volume::ControlPlane => "controlplane",
        }
    }

    /// Where the server finds it.
    pub fn mount_path(self) -> &'static str {
        match self {
            Volume::Metadata => "/data/store/metadata",
            Volume::Content => "/data/store/block",
            Volume::ControlPlane => "/data/controlplane",
        }
    }

    /// Name of the claim that the StatefulSet controller makes for the server's pod.
    pub fn claim(self, server: &str) -> String {
        format!("{}-{server}-0", self.name())
    }
}
