//! Declared settings of a protocol, brought to the server: read, compared, written where they differ,
//! read back.

use std::collections::BTreeMap;

use adapter_client::{Client as RestClient, Error, WriteMode};
use api_types::v1alpha1::AdapterKind;
use serde_json::Value;

use super::awaited::{Awaited, Starts};
use super::settings::{Declared, differing, json};

/// What the server did not take, by what it is about: asked again only when it, or the server's own
/// value, is another one.
#[derive(Debug, Default)]
pub(super) struct Stuck(BTreeMap<(AdapterKind, &'static str), Attempt>);

#[derive(Debug, PartialEq)]
struct Attempt {
    wanted: Value,
    live: Value,
    message: String,
}

impl Stuck {
    fn message(
        &self,
        about: (AdapterKind, &'static str),
        wanted: &Value,
        live: &Value,
    ) -> Option<&str> {
        let attempt = self.0.get(&about)?;
        let same = attempt.wanted == *wanted && attempt.live == *live;
        same.then_some(attempt.message.as_str())
    }

    fn note(
        &mut self,
        about: (AdapterKind, &'static str),
        wanted: Value,
        live: Value,
        message: &str,
    ) {
        let message = message.to_owned();
        let attempt = Attempt {
            wanted,
            live,
            message,
        };
        self.0.insert(about, attempt);
    }
}

/// What is remembered of a server between two looks.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// What it did not take.
    pub(super) stuck: Stuck,
    /// What it takes at a later start.
    pub(super) awaited: Awaited,
}

/// Which settings of a protocol differ, or why that cannot be told.
pub(super) async fn compare<S: Declared>(
    client: &RestClient,
    kind: AdapterKind,
    wanted: &S::Patch,
) -> Option<String> {
    let what = format!("adapters.{}.settings", kind.as_str());
    match client.adapters().settings::<S>().await {
        Ok(live) => {
            let fields = differing(&json(wanted), &json(&live));
            (!fields.is_empty()).then(|| format!("{what} differ: {}.", fields.join(", ")))
        }
        Err(error) => Some(format!("{what} cannot be compared: {error}.")),
    }
}

/// Brings settings of a protocol to the server; what is not in force afterwards, for people.
/// `running`: its adapter does, so that it does not take all of them.
pub(super) async fn settle<S: Declared>(
    client: &RestClient,
    kind: AdapterKind,
    wanted: &S::Patch,
    running: bool,
    ledger: &mut Ledger,
) -> Option<String> {
    let about = (kind, "settings");
    let Ledger { stuck, awaited } = ledger;
    let at_start = S::taken_at_start(wanted);
    awaited.retain(Starts::Adapter(kind), |setting| at_start.contains(&setting));
    let live = match client.adapters().settings::<S>().await {
        Ok(live) => live,
        Err(error) => return Some(refused(kind, &error)),
    };
    let (wanted_json, live_json) = (json(wanted), json(&live));
    let mut later = differing(&wanted_json, &live_json);
    if later.is_empty() {
        stuck.0.remove(&about);
        return None;
    }
    later.retain(|setting| running && at_start.contains(&setting.as_str()));
    if let Some(message) = stuck.message(about, &wanted_json, &live_json) {
        return Some(message.to_owned());
    }
    let adapters = client.adapters();
    let message = match adapters.patch_settings::<S>(wanted, WriteMode::Store).await {
        Ok(after) => {
            if !later.is_empty() {
                // By our own clock where the server does not tell its own.
                let now = client.server().health().await;
                let now = now.map_or_else(|_| jiff::Timestamp::now(), |server| server.timestamp);
                awaited.note(Starts::Adapter(kind), &later, now);
            }
            let ignored = differing(&wanted_json, &json(&after));
            if ignored.is_empty() {
                tracing::info!(adapter = kind.as_str(), "the settings were set as declared");
                stuck.0.remove(&about);
                return None;
            }
            format!(
                "The server keeps its own value for settings of {}: {}.",
                kind.as_str(),
                ignored.join(", ")
            )
        }
        Err(error) => {
            let message = refused(kind, &error);
            if !matches!(error, Error::Invalid { .. }) {
                // Perhaps it goes well next time.
                return Some(message);
            }
            message
        }
    };
    stuck.note(about, wanted_json, live_json, &message);
    Some(message)
}

fn refused(kind: AdapterKind, error: &Error) -> String {
    super::declared::refused(kind, "settings", error)
}
