//! Managed PostgreSQL: a real server, and the part that its provider's operator plays in the cluster.
//!
//! Names, keys, labels and states are those of the Percona operator 2.5 to 3.0 and of CloudNativePG
//! 1.27 to 1.30. Whether they suffice is decided by the real `dfs`.

mod definitions;
mod managed;
mod names;
mod silent;

pub use definitions::{
    Case, Definition, Present, exclusively, grant, present, together, with_definitions,
};
pub use managed::{Managed, Phase};
pub use names::names_of_services;
pub use silent::Silent;

use kube::api::{ApiResource, GroupVersionKind};

/// Whose operator runs PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provider {
    /// Percona Operator for PostgreSQL.
    Percona,
    /// CloudNativePG.
    CloudNative,
}

impl Provider {
    /// Both.
    pub const ALL: [Provider; 2] = [Provider::Percona, Provider::CloudNative];

    /// The kind of its clusters.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        let kind = match self {
            Provider::Percona => {
                GroupVersionKind::gvk("pgv2.percona.com", "v2", "PerconaPGCluster")
            }
            Provider::CloudNative => GroupVersionKind::gvk("postgresql.cnpg.io", "v1", "Cluster"),
        };
        ApiResource::from_gvk(&kind)
    }

    /// The field manager of its operator.
    #[must_use]
    pub fn manager(self) -> &'static str {
        match self {
            Provider::Percona => "percona-postgresql-operator",
            Provider::CloudNative => "cloudnative-pg",
        }
    }

    /// Name of the Secret with the password of `user` in `cluster`.
    #[must_use]
    pub fn credentials(self, cluster: &str, user: &str) -> String {
        match self {
            Provider::Percona => format!("{cluster}-pguser-{user}"),
            Provider::CloudNative => format!("{cluster}-app"),
        }
    }

    /// Name of the Secret with the CA of `cluster`, under the key `ca.crt`.
    #[must_use]
    pub fn authority(self, cluster: &str) -> String {
        match self {
            Provider::Percona => format!("{cluster}-cluster-cert"),
            Provider::CloudNative => format!("{cluster}-ca"),
        }
    }

    /// Name of the Service that leads to the instance that takes writes.
    #[must_use]
    pub fn service(self, cluster: &str) -> String {
        match self {
            Provider::Percona => format!("{cluster}-primary"),
            Provider::CloudNative => format!("{cluster}-rw"),
        }
    }
}
