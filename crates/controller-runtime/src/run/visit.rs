//! One visit of one object.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use kube::{Resource, runtime::reflector::ObjectRef};
use tracing::Instrument;

use super::{Outcome, Reconcile};
use crate::{fence::LeaseLost, logs, metrics::ReconcileResult};

/// A visit that has ended.
pub(super) struct Visit<K: kube::Resource<DynamicType = ()>> {
    pub(super) key: ObjectRef<K>,
    pub(super) result: Result<Outcome, Failure>,
    pub(super) duration: Duration,
}

/// How a visit failed; it is logged already.
pub(super) enum Failure {
    Error { lease_lost: bool },
    Panic,
}

impl Failure {
    pub(super) fn result(&self) -> ReconcileResult {
        match self {
            Self::Error { .. } => ReconcileResult::Error,
            Self::Panic => ReconcileResult::Panic,
        }
    }

    pub(super) fn is_lease_lost(&self) -> bool {
        matches!(self, Self::Error { lease_lost: true })
    }
}

pub(super) async fn visit<R: Reconcile>(
    reconciler: Arc<R>,
    key: ObjectRef<R::Object>,
    object: Arc<R::Object>,
) -> Visit<R::Object> {
    // Not `name`: in the JSON of a span that is the name of the span itself.
    let span = tracing::info_span!(
        "reconcile",
        kind = %R::Object::kind(&()),
        namespace = key.namespace.as_deref().unwrap_or_default(),
        object = key.name,
        id = logs::id()
    );
    let start = Instant::now();
    let result = async {
        match AssertUnwindSafe(reconciler.reconcile(object))
            .catch_unwind()
            .await
        {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(error)) => {
                let lease_lost = LeaseLost::is_cause_of(error.as_ref());
                tracing::warn!(error = format!("{error:#}"), "the reconcile failed");
                Err(Failure::Error { lease_lost })
            }
            Err(panic) => {
                tracing::error!(panic = message(panic.as_ref()), "the reconcile panicked");
                Err(Failure::Panic)
            }
        }
    }
    .instrument(span)
    .await;
    Visit {
        key,
        result,
        duration: start.elapsed(),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
