//! The last step: writes the status where it differs, and an event for each transition.

use api_types::DittoServer;
use api_types::conditions::{self, ConditionType};
use api_types::v1alpha1::DittoServerStatus;
use controller_runtime::apply::{Applier, ApplyError};
use controller_runtime::{Events, Primaries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use kube::runtime::events::EventType;

/// Writes `status` over that of `server` where it differs.
///
/// # Errors
/// When the API server does not take it.
pub async fn report(
    applier: &Applier,
    servers: &Primaries<DittoServer>,
    events: &Events,
    server: &DittoServer,
    status: &DittoServerStatus,
) -> Result<(), ReportError> {
    let value = serde_json::to_value(status)?;
    let written = applier.apply_status_value(servers, value, server).await?;
    if written.is_write() {
        announce(events, server, status).await;
    }
    Ok(())
}

/// The status could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The API server does not take it.
    #[error("the status cannot be written")]
    Apply(#[from] ApplyError),
    /// It is not JSON.
    #[error("the status is not JSON")]
    Json(#[from] serde_json::Error),
}

/// An event for each condition whose reason changed: a warning when it turned bad, a normal one
/// when it turned good again.
async fn announce(events: &Events, server: &DittoServer, status: &DittoServerStatus) {
    let before: &[Condition] = server
        .status
        .as_ref()
        .map_or(&[], |status| status.conditions.as_slice());
    let about = server.object_ref(&());
    for (kind, good, first) in ANNOUNCED {
        let Some(now) = conditions::find(&status.conditions, kind) else {
            continue;
        };
        let was = conditions::find(before, kind);
        if was.is_some_and(|was| was.reason == now.reason) {
            continue;
        }
        // Of what nobody can tell there is no news.
        if now.status == "Unknown" {
            continue;
        }
        let is_good = now.status == good;
        if was.is_none() && (is_good || !first) {
            continue;
        }
        let severity = if is_good {
            EventType::Normal
        } else {
            EventType::Warning
        };
        events
            .transition(
                &about,
                kind.as_str(),
                severity,
                &now.reason,
                "Reconcile",
                &now.message,
            )
            .await;
    }
}

/// Conditions that are announced, their good status, and whether a bad one is news on the very
/// first visit.
const ANNOUNCED: [(ConditionType, &str, bool); 3] = [
    (ConditionType::AdaptersReady, "True", false),
    (ConditionType::AddressesReady, "True", false),
    (ConditionType::Authenticated, "True", false),
];
