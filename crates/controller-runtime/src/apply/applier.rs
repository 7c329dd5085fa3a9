//! Server-side apply of children and status.

use std::{fmt::Debug, sync::Arc};

use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams, ValidationDirective},
    core::{ObjectMeta, params::Preconditions},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{ApplyError, difference, exact, memo::Memo};
use crate::{Watched, kinds::Writable, metrics::DriftMetrics};

/// What a write did.
#[derive(Clone, Debug)]
pub enum Applied<K> {
    /// Nothing differed, nothing was sent.
    Unchanged(Arc<K>),
    /// The object did not exist.
    Created(Arc<K>),
    /// The object was changed, or the server found nothing to change.
    Changed(Arc<K>),
}

impl<K> Applied<K> {
    /// The object as it is now.
    #[must_use]
    pub fn object(&self) -> &Arc<K> {
        let (Self::Unchanged(object) | Self::Created(object) | Self::Changed(object)) = self;
        object
    }

    /// Whether a request was sent.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self, Self::Unchanged(_))
    }
}

/// What a creation did.
#[derive(Clone, Debug)]
pub enum Made<K> {
    /// The object is new; this is how the server stored it.
    Created(Arc<K>),
    /// An object of this name existed and was left as it is.
    Existed,
}

/// What a deletion did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The server accepted the deletion; finalizers may keep the object.
    Accepted,
    /// The object did not exist any more.
    Absent,
}

/// Writes objects as one field manager. Cheap to clone.
#[derive(Clone)]
pub struct Applier {
    client: Client,
    manager: &'static str,
    memo: Arc<Memo>,
    drift: DriftMetrics,
}

impl Debug for Applier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Applier")
            .field("manager", &self.manager)
            .finish_non_exhaustive()
    }
}

/// Identity of an object to be written.
struct Target {
    kind: String,
    namespace: String,
    name: String,
}

impl Applier {
    /// Writes with this client as this field manager, of at most 128 characters.
    #[must_use]
    pub fn new(client: Client, manager: &'static str) -> Self {
        Self {
            client,
            manager,
            memo: Arc::default(),
            drift: DriftMetrics::default(),
        }
    }

    /// Counts there what it sets right after somebody else.
    #[must_use]
    pub fn counting(mut self, drift: DriftMetrics) -> Self {
        self.drift = drift;
        self
    }

    /// The field manager.
    #[must_use]
    pub fn manager(&self) -> &'static str {
        self.manager
    }

    /// Makes the live object what we want, in the fields that we own, by one
    /// forced server-side apply; sends nothing when nothing differs. `live` is
    /// what [`Watched::get`] returned. An existing object is written only in
    /// the version and with the UID of `live`. The store must keep the
    /// managedFields of this manager (see [`crate::WatchOptions::managers`]).
    ///
    /// # Errors
    /// [`ApplyError`]
    pub async fn apply<K: Writable>(
        &self,
        watched: &Watched<K>,
        desired: &K,
        live: Option<&K>,
    ) -> Result<Applied<K>, ApplyError> {
        self.write(watched, to_json(desired)?, live, None).await
    }

    /// As [`Applier::apply`], for the status subresource of an existing
    /// object. Only `status` of `desired` is looked at.
    ///
    /// # Errors
    /// [`ApplyError`]; [`ApplyError::Conflict`] also when the object is gone.
    pub async fn apply_status<K: Writable>(
        &self,
        watched: &Watched<K>,
        desired: &K,
        live: &K,
    ) -> Result<Applied<K>, ApplyError> {
        let mut desired = to_json(desired)?;
        let status = desired
            .get_mut("status")
            .map_or_else(|| json!({}), Value::take);
        self.apply_status_value(watched, status, live).await
    }

    /// As [`Applier::apply_status`], from the fields of `status` as JSON: for a
    /// writer that owns only a part of a status whose type has required fields.
    ///
    /// # Errors
    /// [`ApplyError`]; [`ApplyError::Conflict`] also when the object is gone.
    pub async fn apply_status_value<K: Writable>(
        &self,
        watched: &Watched<K>,
        status: Value,
        live: &K,
    ) -> Result<Applied<K>, ApplyError> {
        let meta = live.meta();
        let desired = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": { "name": meta.name, "namespace": meta.namespace },
            "status": status,
        });
        self.write(watched, desired, Some(live), Some("status"))
            .await
    }

    /// Creates an object by POST and leaves an existing one as it is.
    ///
    /// # Errors
    /// [`ApplyError`]
    pub async fn create<K: Writable>(
        &self,
        watched: &Watched<K>,
        desired: &K,
    ) -> Result<Made<K>, ApplyError> {
        Ok(match self.create_unwatched(desired).await? {
            Some(object) => Made::Created(watched.remember(object)),
            None => Made::Existed,
        })
    }

    /// As [`Applier::create`], for a kind of which no full objects are kept;
    /// `None` when an object of this name existed.
    ///
    /// # Errors
    /// [`ApplyError`]
    pub async fn create_unwatched<K: Writable>(
        &self,
        desired: &K,
    ) -> Result<Option<K>, ApplyError> {
        let target = Target::of::<K>(desired)?;
        let parameters = PostParams {
            field_manager: Some(self.manager.to_owned()),
            ..PostParams::default()
        };
        match self.api::<K>(&target).create(&parameters, desired).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
            Err(error) => Err(ApplyError::of(&target.kind, &target.name, error)),
        }
    }

    /// Deletes exactly this object in exactly this version; dependents go in
    /// the background.
    ///
    /// # Errors
    /// [`ApplyError::Conflict`] when it changed or was replaced meanwhile.
    pub async fn delete<K: Writable>(
        &self,
        watched: &Watched<K>,
        live: &K,
    ) -> Result<Deleted, ApplyError> {
        self.delete_with(watched, live, DeleteParams::background())
            .await
    }

    /// As [`Applier::delete`], with parameters such as orphaning; their
    /// preconditions are replaced.
    ///
    /// # Errors
    /// [`ApplyError::Conflict`] when it changed or was replaced meanwhile.
    pub async fn delete_with<K: Writable>(
        &self,
        watched: &Watched<K>,
        live: &K,
        mut parameters: DeleteParams,
    ) -> Result<Deleted, ApplyError> {
        let target = Target::of::<K>(live)?;
        let meta = live.meta();
        if meta.uid.is_none() || meta.resource_version.is_none() {
            return Err(ApplyError::Malformed(format!(
                "{} {} was not read from the server",
                target.kind, target.name
            )));
        }
        parameters.preconditions = Some(Preconditions {
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
        });
        let result = self
            .api::<K>(&target)
            .delete(&target.name, &parameters)
            .await;
        watched.forget(&target.namespace, &target.name);
        self.memo.forget(meta.uid.as_deref());
        match result {
            Ok(_) => Ok(Deleted::Accepted),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Deleted::Absent),
            Err(error) => Err(ApplyError::of(&target.kind, &target.name, error)),
        }
    }

    async fn write<K: Writable>(
        &self,
        watched: &Watched<K>,
        mut desired: Value,
        live: Option<&K>,
        part: Option<&'static str>,
    ) -> Result<Applied<K>, ApplyError> {
        let target = Target::in_json::<K>(&desired)?;
        strip(&mut desired, part);
        let mut corrected = None;
        let mut drifted = None;
        if let Some(found) = live {
            if self.memo.holds(found.meta(), part, &desired) {
                return Ok(Applied::Unchanged(Arc::new(found.clone())));
            }
            let live_json = to_json(found)?;
            let Some(difference) = difference(&desired, &live_json, self.manager, part) else {
                self.memo.record(found.meta(), part, &desired);
                return Ok(Applied::Unchanged(Arc::new(found.clone())));
            };
            tracing::debug!(kind = target.kind, namespace = target.namespace, name = target.name, %difference, "applying");
            // It was as it shall be, and we want no other thing now.
            if self.memo.held(found.meta(), part, &desired) {
                drifted = Some(difference.path);
            }
            if let (None, Some(patch)) = (
                part,
                exact::correction(&target.kind, &desired, &live_json, self.manager),
            ) {
                let object = self.correct(watched, &target, patch, found).await?;
                let now = to_json(object.as_ref())?;
                // The rest may differ too: whoever looks next finds all of it done.
                if super::difference(&desired, &now, self.manager, part).is_none() {
                    self.count(&target.kind, drifted);
                    return Ok(Applied::Changed(object));
                }
                corrected = Some(object);
            }
        }
        let live = corrected.as_deref().or(live);
        let mut body = desired.clone();
        body["apiVersion"] = K::api_version(&()).into();
        body["kind"] = K::kind(&()).into();
        if let Some(live) = live {
            body["metadata"]["uid"] = json!(live.meta().uid);
            body["metadata"]["resourceVersion"] = json!(live.meta().resource_version);
        }
        let api = self.api::<K>(&target);
        let mut parameters = PatchParams::apply(self.manager).force();
        parameters.field_validation = Some(ValidationDirective::Strict);
        let result = match part {
            None => {
                api.patch(&target.name, &parameters, &Patch::Apply(&body))
                    .await
            }
            Some(_) => {
                api.patch_status(&target.name, &parameters, &Patch::Apply(&body))
                    .await
            }
        };
        match result {
            Ok(object) => {
                self.memo.record(object.meta(), part, &desired);
                self.count(&target.kind, drifted);
                let object = watched.remember(object);
                Ok(if live.is_some() {
                    Applied::Changed(object)
                } else {
                    Applied::Created(object)
                })
            }
            Err(error) => Err(self.failed(watched, &target, live.map(Resource::meta), error)),
        }
    }

    fn count(&self, kind: &str, drifted: Option<String>) {
        if let Some(path) = drifted {
            self.drift.corrected(kind, &path);
        }
    }

    /// Takes away what others put where only we write.
    async fn correct<K: Writable>(
        &self,
        watched: &Watched<K>,
        target: &Target,
        mut patch: Value,
        live: &K,
    ) -> Result<Arc<K>, ApplyError> {
        patch["metadata"]["uid"] = json!(live.meta().uid);
        patch["metadata"]["resourceVersion"] = json!(live.meta().resource_version);
        let parameters = PatchParams {
            field_manager: Some(self.manager.to_owned()),
            ..PatchParams::default()
        };
        let api = self.api::<K>(target);
        match api
            .patch(&target.name, &parameters, &Patch::Merge(&patch))
            .await
        {
            Ok(object) => Ok(watched.remember(object)),
            Err(error) => Err(self.failed(watched, target, Some(live.meta()), error)),
        }
    }

    /// After an unexpected answer nothing that we believed about the object counts.
    fn failed<K: Writable>(
        &self,
        watched: &Watched<K>,
        target: &Target,
        live: Option<&ObjectMeta>,
        error: kube::Error,
    ) -> ApplyError {
        let gone =
            live.is_some() && matches!(&error, kube::Error::Api(status) if status.code == 404);
        let error = if gone {
            ApplyError::Conflict {
                kind: target.kind.clone(),
                name: target.name.clone(),
            }
        } else {
            ApplyError::of(&target.kind, &target.name, error)
        };
        if error.is_conflict() {
            let version = live.and_then(|meta| meta.resource_version.as_deref());
            watched.forget_version(&target.namespace, &target.name, version);
        }
        error
    }

    fn api<K: Writable>(&self, target: &Target) -> Api<K> {
        Api::namespaced(self.client.clone(), &target.namespace)
    }
}

impl Target {
    fn of<K: Resource<DynamicType = ()>>(object: &K) -> Result<Self, ApplyError> {
        let meta = object.meta();
        Self::new::<K>(meta.namespace.as_deref(), meta.name.as_deref())
    }

    fn in_json<K: Resource<DynamicType = ()>>(object: &Value) -> Result<Self, ApplyError> {
        let text = |field: &str| object["metadata"].get(field).and_then(Value::as_str);
        Self::new::<K>(text("namespace"), text("name"))
    }

    fn new<K: Resource<DynamicType = ()>>(
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<Self, ApplyError> {
        let kind = K::kind(&()).into_owned();
        match (namespace, name) {
            (Some(namespace), Some(name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self {
                    kind,
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                })
            }
            _ => Err(ApplyError::Malformed(format!(
                "a {kind} without name or namespace"
            ))),
        }
    }
}

/// Removes what must not be applied: nulls, what the server sets, and the
/// part that is not meant.
fn strip(desired: &mut Value, part: Option<&str>) {
    without_nulls(desired);
    if let Some(object) = desired.as_object_mut()
        && part.is_none()
    {
        object.remove("status");
    }
    if let Some(metadata) = desired.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in [
            "managedFields",
            "resourceVersion",
            "uid",
            "generation",
            "creationTimestamp",
            "selfLink",
        ] {
            metadata.remove(field);
        }
    }
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

fn to_json<K: Serialize>(object: &K) -> Result<Value, ApplyError> {
    serde_json::to_value(object).map_err(|error| ApplyError::Malformed(error.to_string()))
}
