//! Database providers of a DittoServer, as pure functions: from the spec to the one source of the
//! control-plane database, to the object that its operator is asked for, and to what the server must be told
//! about the connection.
//!
//! Facts about the operators: page on managed PostgreSQL, sections 2 to 5 and 9.

mod cloudnative_pg;
mod connection;
mod dsn;
mod kinds;
mod percona;
mod provider;
mod source;

pub use connection::{
    CA_FILE, Connection, Flaw, Lookup, Origin, Parts, Variable, Wiring, backups, connection,
    derived,
};
pub use dsn::{Dsn, DsnError};
pub use kinds::{CnpgCluster, PerconaPGCluster};
pub use provider::{ClusterState, Provider, Seen};
pub use source::{Managed, NotSupported, SecretSource, Source, data_still_in_sqlite, source};
