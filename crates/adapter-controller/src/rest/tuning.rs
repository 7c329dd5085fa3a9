//! Declared settings of a protocol, brought to the server: read, compared, written where they differ,
//! read back.

use std::collections::BTreeMap;

use adapter_client::{Adapter, Client as RestClient, Error, WriteMode};
use api_types::v1alpha1::{AdapterKind, Adapters, PushedSecret};
use serde_json::Value;

use super::awaited::{Awaited, Starts};
use super::settings::{Declared, differing, json};
use crate::poll::Target;

/// What the server did not take, by what it is about: asked again only when it, or the server's own
/// value, is another one.
#[derive(Debug, Default)]
pub(super) struct Stuck(BTreeMap<&'static str, Attempt>);

#[derive(Debug, PartialEq)]
struct Attempt {
    wanted: Value,
    live: Value,
    message: String,
}

impl Stuck {
    /// It took it.
    pub(super) fn forget(&mut self, about: &'static str) {
        self.0.remove(about);
    }

    pub(super) fn message(
        &self,
        about: &'static str,
        wanted: &Value,
        live: &Value,
    ) -> Option<&str> {
        let attempt = self.0.get(about)?;
        let same = attempt.wanted == *wanted && attempt.live == *live;
        same.then_some(attempt.message.as_str())
    }

    pub(super) fn note(&mut self, about: &'static str, wanted: Value, live: Value, message: &str) {
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
    /// The same, as the status has it.
    pub(super) told: Awaited,
    /// The Secrets that it has, and those that it is about to get.
    pub(super) pushed: Vec<PushedSecret>,
    /// The Secrets that the spec names, as they were when something last changed.
    pub(super) versions: BTreeMap<String, Version>,
    /// When NFS was last started anew because of its certificate.
    pub(super) repaired: Option<tokio::time::Instant>,
}

/// Which Secret it is, and which of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// UID of the Secret.
    pub(super) uid: String,
    /// Its resourceVersion.
    pub(super) resource_version: String,
}

impl Ledger {
    /// That of a server of which `target` tells what an earlier process noted.
    pub(super) fn of(target: &Target) -> Self {
        Ledger {
            awaited: Awaited::of(&target.awaited),
            told: Awaited::of(&target.awaited),
            pushed: target.pushed.clone(),
            ..Ledger::default()
        }
    }

    /// Something changed: what was refused may be taken now, and Secrets may be other ones.
    pub(super) fn look_again(&mut self) {
        self.stuck = Stuck::default();
        self.versions.clear();
        self.repaired = None;
    }

    /// Notes `settings` as what is taken at a later start. Returns whether the status has the note, and they may be sent.
    pub(super) async fn await_start(
        &mut self,
        client: &RestClient,
        starts: Starts,
        settings: &[String],
    ) -> bool {
        if settings.is_empty() {
            return true;
        }
        // By our own clock where the server does not tell its own.
        let now = client.server().health().await;
        let now = now.map_or_else(|_| jiff::Timestamp::now(), |server| server.timestamp);
        self.awaited.note(starts, settings, now);
        self.told.has(starts, settings)
    }

    /// Drops the notes of what was started since, and of what is not declared any more.
    pub(super) async fn settle(
        &mut self,
        declared: Option<&Adapters>,
        adapters: &[Adapter],
        anonymous: &RestClient,
    ) {
        if declared.is_none() {
            for kind in AdapterKind::ALL {
                self.awaited.retain(Starts::Adapter(kind), |_| false);
            }
        }
        if self.awaited.is_empty() {
            return;
        }
        // Without an answer what is known stays.
        if let Ok(server) = anonymous.server().health().await {
            self.awaited.settle(adapters, &server);
        }
    }

    /// Whether `version` of a Secret is what the server has for `what`.
    fn has(&self, what: &str, version: &Version) -> bool {
        self.pushed.iter().any(|pushed| {
            pushed.what == what
                && pushed.secret_uid == version.uid
                && pushed.resource_version == version.resource_version
        })
    }

    /// Whether the server must be given `version` of a Secret for `what`; where there is none, none is
    /// noted any more.
    pub(super) fn is_renewed(&mut self, what: &str, version: Option<&Version>) -> bool {
        if version.is_none() {
            self.note(what, None);
        }
        version.is_some_and(|version| !self.has(what, version))
    }

    /// Notes that the server has `version` of a Secret for `what`; `None`: that it has none of ours.
    pub(super) fn note(&mut self, what: &str, version: Option<&Version>) {
        self.pushed.retain(|pushed| pushed.what != what);
        self.pushed.extend(version.map(|version| PushedSecret {
            what: what.to_owned(),
            secret_uid: version.uid.clone(),
            resource_version: version.resource_version.clone(),
        }));
        self.pushed.sort_by(|one, other| one.what.cmp(&other.what));
    }
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
    let about = match kind {
        AdapterKind::Nfs => "adapters.nfs.settings",
        AdapterKind::Smb => "adapters.smb.settings",
    };
    let at_start = S::taken_at_start(wanted);
    ledger
        .awaited
        .retain(Starts::Adapter(kind), |setting| at_start.contains(&setting));
    let live = match client.adapters().settings::<S>().await {
        Ok(live) => live,
        Err(error) => return Some(refused(kind, &error)),
    };
    let (wanted_json, live_json) = (json(wanted), json(&live));
    let mut later = differing(&wanted_json, &live_json);
    if later.is_empty() {
        ledger.stuck.forget(about);
        return None;
    }
    later.retain(|setting| running && at_start.contains(&setting.as_str()));
    if let Some(message) = ledger.stuck.message(about, &wanted_json, &live_json) {
        return Some(message.to_owned());
    }
    if !ledger
        .await_start(client, Starts::Adapter(kind), &later)
        .await
    {
        return Some(format!("{about} are about to be sent."));
    }
    let Ledger { stuck, .. } = &mut *ledger;
    let adapters = client.adapters();
    let message = match adapters.patch_settings::<S>(wanted, WriteMode::Store).await {
        Ok(after) => {
            let ignored = differing(&wanted_json, &json(&after));
            if ignored.is_empty() {
                tracing::info!(adapter = kind.as_str(), "the settings were set as declared");
                stuck.forget(about);
                // What starts in between may have started without them.
                ledger
                    .await_start(client, Starts::Adapter(kind), &later)
                    .await;
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
    // What it did not take is not awaited either.
    ledger.awaited.retain(Starts::Adapter(kind), |setting| {
        !later.iter().any(|it| it == setting)
    });
    Some(message)
}

fn refused(kind: AdapterKind, error: &Error) -> String {
    super::declared::refused(kind, "settings", error)
}
