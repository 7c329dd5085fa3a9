//! Which changes of the primaries themselves are worth a visit.

use std::{collections::HashMap, future, sync::Arc};

use futures::{Stream, StreamExt};
use kube::{Resource, runtime::reflector::ObjectRef};

use super::Reconcile;
use crate::{
    backoff::Backoff,
    metrics::ObjectMetrics,
    watch::{Primary, cache::Key},
};

/// Objects that appeared or changed in what is significant. Objects that are
/// gone are told to the reconciler and forgotten.
pub(super) fn significant_changes<R: Reconcile>(
    reconciler: Arc<R>,
    backoff: Arc<Backoff<ObjectRef<R::Object>>>,
    objects: ObjectMetrics,
    primary: Primary<R::Object>,
) -> impl Stream<Item = ObjectRef<R::Object>> {
    let mut last: HashMap<Key, (Option<String>, u64)> = HashMap::new();
    let kind = R::Object::kind(&());
    primary.changes.filter_map(move |change| {
        let (namespace, name) = &change.key;
        let key = ObjectRef::new(name).within(namespace);
        let woken = if change.gone {
            last.remove(&change.key);
            backoff.reset(&key);
            reconciler.gone(namespace, name);
            objects.set(&kind, namespace, name, None);
            None
        } else {
            // An object that cannot be decoded is left as it was.
            change.object.as_ref().and_then(|object| {
                objects.set(&kind, namespace, name, reconciler.ready(object));
                let now = (change.meta.uid.clone(), reconciler.significant(object));
                let before = last.insert(change.key.clone(), now.clone());
                (before.as_ref() != Some(&now)).then_some(key)
            })
        };
        future::ready(woken)
    })
}
