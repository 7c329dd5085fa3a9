//! Sets our finalizer on the server, and takes it off.

use std::sync::Arc;

use api_types::DittoServer;
use controller_runtime::{ApplyError, Finalizer, Primaries};
use kube::Client;

use crate::plan::FINALIZER;

const OURS: Finalizer = Finalizer {
    name: FINALIZER,
    manager: crate::MANAGER,
};

/// Sets our finalizer on `server`, or takes it off, and returns the server as it is then. Other
/// finalizers stay as they are.
///
/// # Errors
/// When the API server does not take it, for example because the server changed meanwhile. One that
/// is gone is no error.
pub async fn set(
    client: &Client,
    servers: &Primaries<DittoServer>,
    server: &Arc<DittoServer>,
    present: bool,
) -> Result<Arc<DittoServer>, ApplyError> {
    OURS.set(client, servers, server, present).await
}
