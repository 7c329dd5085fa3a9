//! Annotations that people set on a `DittoServer` or `DittoFSShare`, and those that the operator keeps on children.

/// On a `DittoServer` or `DittoFSShare`: the value `"true"` stops every write of the operator for it except
/// status.
pub const PAUSED: &str = "dittofs.io/paused";

/// On a `DittoServer` that was made by the Go operator: it was taken over, by this version of ours.
pub const TAKEN_OVER: &str = "dittofs.io/taken-over";

/// On the pod template and the ConfigMap: keyed digest of everything whose change needs a restart.
pub const RESTART_DIGEST: &str = "dittofs.io/restart-digest";

/// On the StatefulSet and the ConfigMap: SHA-256 of the rendering as the operator sent it, by
/// which a later release tells its own older rendering from somebody else's edit.
pub const RENDERING: &str = "dittofs.io/rendering";

/// On the Service of an adapter that the Go operator made: the TCP ports that it had, which stay
/// beside the standard one until `adapterServices.legacyPorts` is false. A JSON list of
/// `{name, port, targetPort}`.
pub const LEGACY_PORTS: &str = "dittofs.io/legacy-ports";

/// On a `DittoFSShare`: with the value `"true"` a share, store, netgroup or account of the server that has no
/// marker of ours, or another's, is taken over.
pub const ADOPT: &str = "dittofs.io/adopt";

/// On a `DittoFSShare`: with the value `"true"` the share goes on although the volumes that held its files
/// were replaced.
pub const RECREATE_EMPTY: &str = "dittofs.io/recreate-empty";

/// On a `DittoFSShare` that is being deleted: with the value `"true"` its server is not waited for, and
/// what was made there stays.
pub const ABANDON: &str = "dittofs.io/abandon";

/// On a `DittoServer` whose database cluster was deleted and made again under the same name: the UID of the new
/// cluster, which the server shall use.
pub const ACCEPT_DATABASE: &str = "dittofs.io/accept-database";

/// On a `DittoServer`: with the value `"true"` the controller does not try to log in to the database before the
/// server starts, for a database that only the server's pod can reach.
pub const SKIP_DATABASE_CHECK: &str = "dittofs.io/skip-database-check";
