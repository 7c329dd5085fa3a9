//! Setting a finalizer of ours on an object, and taking it off.

use std::sync::Arc;

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::{ApplyError, Primaries, Writable};

/// A finalizer of a controller.
#[derive(Clone, Copy, Debug)]
pub struct Finalizer {
    /// Its name.
    pub name: &'static str,
    /// The field manager that sets it.
    pub manager: &'static str,
}

impl Finalizer {
    /// Whether `object` carries it.
    pub fn is_on<K: Writable>(&self, object: &K) -> bool {
        object.finalizers().iter().any(|name| name == self.name)
    }

    /// Sets it on `object`, or takes it off, and returns the object as it is then. Other finalizers stay
    /// as they are.
    ///
    /// # Errors
    /// When the API server does not take it, for example because the object changed meanwhile. One that is
    /// gone is no error.
    pub async fn set<K: Writable>(
        &self,
        client: &Client,
        primaries: &Primaries<K>,
        object: &Arc<K>,
        present: bool,
    ) -> Result<Arc<K>, ApplyError> {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        // The status may have been written since the visit began.
        let latest = primaries
            .cached(&namespace, &name)
            .filter(|latest| latest.uid() == object.uid())
            .unwrap_or_else(|| Arc::clone(object));
        let mut finalizers: Vec<&str> = latest
            .finalizers()
            .iter()
            .map(String::as_str)
            .filter(|name| *name != self.name)
            .collect();
        if present {
            finalizers.push(self.name);
        }
        let patch = json!({"metadata": {
            "uid": latest.uid(),
            "resourceVersion": latest.resource_version(),
            "finalizers": finalizers,
        }});
        let api: Api<K> = Api::namespaced(client.clone(), &namespace);
        let parameters = PatchParams {
            field_manager: Some(self.manager.to_owned()),
            ..PatchParams::default()
        };
        let result = api.patch(&name, &parameters, &Patch::Merge(patch)).await;
        match result {
            // One that is being deleted may be gone by now, and is not to be remembered.
            Ok(written) if written.meta().deletion_timestamp.is_some() => Ok(Arc::new(written)),
            Ok(written) => Ok(primaries.remember(written)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(latest),
            Err(error) => {
                primaries.forget(&namespace, &name);
                Err(ApplyError::of(&K::kind(&()), &name, error))
            }
        }
    }
}
