//! Sets our finalizer on the server, and takes it off.

use std::sync::Arc;

use api_types::DittoServer;
use controller_runtime::{ApplyError, Primaries};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::storage::failed;
use crate::observe::identity;
use crate::plan::FINALIZER;

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
    let (namespace, name) = identity(server);
    // The status may have been written since the visit began.
    let latest = servers
        .cached(&namespace, &name)
        .filter(|latest| latest.metadata.uid == server.metadata.uid)
        .unwrap_or_else(|| Arc::clone(server));
    let meta = &latest.metadata;
    let mut finalizers: Vec<&str> = meta
        .finalizers
        .iter()
        .flatten()
        .map(String::as_str)
        .filter(|name| *name != FINALIZER)
        .collect();
    if present {
        finalizers.push(FINALIZER);
    }
    let patch = json!({"metadata": {
        "uid": meta.uid,
        "resourceVersion": meta.resource_version,
        "finalizers": finalizers,
    }});
    let api: Api<DittoServer> = Api::namespaced(client.clone(), &namespace);
    let parameters = PatchParams {
        field_manager: Some(crate::MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let result = api.patch(&name, &parameters, &Patch::Merge(patch)).await;
    match result {
        // One that is being deleted may be gone by now, and is not to be remembered.
        Ok(written) if written.metadata.deletion_timestamp.is_some() => Ok(Arc::new(written)),
        Ok(written) => Ok(servers.remember(written)),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(latest),
        Err(error) => {
            servers.forget(&namespace, &name);
            Err(failed::<DittoServer>(&name, error))
        }
    }
}
