//! What the spec declares of the adapters, brought to the server: read, compared, written where it
//! differs, read back.

use std::collections::BTreeMap;

use adapter_client::{
    Adapter, AdapterChange, AdapterSettings, Client as RestClient, Error, NewAdapter,
    NfsSettings as LiveNfs, SmbSettings as LiveSmb, WriteMode,
};
use api_types::v1alpha1::{AdapterKind, Adapters, DittoServerSpec, NfsAdapter, SmbAdapter};
use serde_json::Value;

use super::settings::{differing, json, nfs_patch, smb_patch};
use super::{kind_of, type_of};

/// Lowest port that the server, which does not run as root, can listen on.
const LOWEST_PORT: u16 = 1024;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    /// Whether anything was written that the list of adapters shows.
    pub(super) changed: bool,
    /// What is not in force, for people.
    pub(super) not_applied: Vec<String>,
}

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

/// The ports of the server that adapters must not have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken<'a> {
    /// What the server shall be.
    spec: &'a DittoServerSpec,
    /// Port of the API of the server that runs: it may not have been restarted for the spec yet.
    running_api: Option<u16>,
}

impl<'a> Taken<'a> {
    /// Of a server that shall be as `spec` says and is reached at `url`.
    pub(super) fn of(spec: &'a DittoServerSpec, url: &str) -> Self {
        let authority = url.split("://").nth(1).unwrap_or_default();
        let authority = authority.split('/').next().unwrap_or_default();
        let port = authority.rsplit(':').next().unwrap_or_default();
        Taken {
            spec,
            running_api: port.parse().ok(),
        }
    }
}

/// Whether anything is declared: empty sections ask for nothing, and need no administrator.
pub(super) fn is_anything(declared: &Adapters) -> bool {
    let Adapters { nfs, smb } = declared;
    let nfs = nfs.as_ref().and_then(|nfs| nfs.settings.as_ref());
    let smb = smb.as_ref().and_then(|smb| smb.settings.as_ref());
    let settings = [
        nfs.map(|nfs| json(&nfs_patch(nfs))),
        smb.map(|smb| json(&smb_patch(smb))),
    ];
    let mut settings = settings.into_iter().flatten();
    AdapterKind::ALL
        .into_iter()
        .any(|kind| Wish::of(declared, kind) != Wish::default())
        || settings.any(|patch| patch.as_object().is_none_or(|patch| !patch.is_empty()))
}

/// What of `declared` the server whose adapters are `adapters` does not have, for people. Writes nothing.
pub(super) async fn differences(
    client: &RestClient,
    declared: &Adapters,
    adapters: &[Adapter],
) -> Vec<String> {
    let rows = live_rows(adapters);
    let mut said: Vec<String> = AdapterKind::ALL
        .into_iter()
        .filter(|kind| differs(rows.get(kind).copied(), Wish::of(declared, *kind)))
        .map(|kind| format!("adapters.{} (enabled and port) differs.", kind.as_str()))
        .collect();
    let Adapters { nfs, smb } = declared;
    if let Some(settings) = nfs.as_ref().and_then(|nfs| nfs.settings.as_ref()) {
        said.extend(compare::<LiveNfs>(client, AdapterKind::Nfs, &nfs_patch(settings)).await);
    }
    if let Some(settings) = smb.as_ref().and_then(|smb| smb.settings.as_ref()) {
        said.extend(compare::<LiveSmb>(client, AdapterKind::Smb, &smb_patch(settings)).await);
    }
    said
}

/// Whether an adapter is another one than it shall be. One that is gone is, when it shall be on.
fn differs(row: Option<Row>, wish: Wish) -> bool {
    let Some(row) = row else {
        return wish.enabled == Some(true);
    };
    wish.enabled.is_some_and(|enabled| enabled != row.enabled)
        || (wish.port.is_some() && wish.port != row.port)
}

/// Which settings of a protocol differ, or why that cannot be told.
async fn compare<S: AdapterSettings>(
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

/// Brings what `declared` says to the server whose adapters are `adapters`.
pub(super) async fn push(
    client: &RestClient,
    taken: Taken<'_>,
    declared: &Adapters,
    adapters: &[Adapter],
    stuck: &mut Stuck,
) -> Pushed {
    let mut pushed = Pushed::default();
    rows(client, taken, declared, adapters, &mut pushed).await;
    let Adapters { nfs, smb } = declared;
    let exists = |kind| adapters.iter().any(|row| kind_of(&row.kind) == Some(kind));
    if let Some(settings) = nfs.as_ref().and_then(|nfs| nfs.settings.as_ref())
        && exists(AdapterKind::Nfs)
    {
        let about = (AdapterKind::Nfs, "settings");
        let said = settle::<LiveNfs>(client, about, &nfs_patch(settings), stuck).await;
        pushed.not_applied.extend(said);
    }
    if let Some(settings) = smb.as_ref().and_then(|smb| smb.settings.as_ref())
        && exists(AdapterKind::Smb)
    {
        let about = (AdapterKind::Smb, "settings");
        let said = settle::<LiveSmb>(client, about, &smb_patch(settings), stuck).await;
        pushed.not_applied.extend(said);
    }
    pushed
}

/// What an adapter is, as far as ports are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    enabled: bool,
    port: Option<u16>,
}

/// What the spec says of an adapter, as far as ports are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wish {
    enabled: Option<bool>,
    port: Option<u16>,
}

impl Wish {
    fn of(declared: &Adapters, kind: AdapterKind) -> Self {
        let Adapters { nfs, smb } = declared;
        let wish = match kind {
            AdapterKind::Nfs => nfs.as_ref().map(|nfs| {
                let NfsAdapter {
                    enabled,
                    port,
                    settings: _,
                } = nfs;
                (*enabled, *port)
            }),
            AdapterKind::Smb => smb.as_ref().map(|smb| {
                let SmbAdapter {
                    enabled,
                    port,
                    settings: _,
                } = smb;
                (*enabled, *port)
            }),
        };
        let (enabled, port) = wish.unwrap_or_default();
        Wish { enabled, port }
    }
}

/// What to do about an adapter.
#[derive(Debug, PartialEq)]
enum Step {
    /// It is as it shall be.
    Nothing,
    /// It is another one.
    Change(Row, AdapterChange),
    /// It is not there.
    Make(Row),
    /// The server must not be told, for this reason.
    Wait(String),
}

fn live_rows(adapters: &[Adapter]) -> BTreeMap<AdapterKind, Row> {
    let rows = adapters.iter().filter_map(|adapter| {
        let row = Row {
            enabled: adapter.enabled,
            port: adapter.port.number(),
        };
        Some((kind_of(&adapter.kind)?, row))
    });
    rows.collect()
}

async fn rows(
    client: &RestClient,
    taken: Taken<'_>,
    declared: &Adapters,
    adapters: &[Adapter],
    pushed: &mut Pushed,
) {
    let mut rows = live_rows(adapters);
    let mut failed = Vec::new();
    // A port that one adapter gives up in the first round is free for the other in the second.
    for is_last in [false, true] {
        for kind in AdapterKind::ALL {
            if failed.contains(&kind) {
                continue;
            }
            let result = match step(taken, &rows, kind, Wish::of(declared, kind)) {
                Step::Nothing => continue,
                Step::Wait(why) => {
                    if is_last {
                        pushed.not_applied.push(why);
                    }
                    continue;
                }
                Step::Change(row, change) => {
                    let update = client.adapters().update(&type_of(kind), &change).await;
                    update.map(|_| row)
                }
                Step::Make(row) => {
                    let new = NewAdapter {
                        kind: type_of(kind),
                        port: row.port.unwrap_or(first_port(kind)),
                        config: serde_json::Map::default(),
                    };
                    client.adapters().create(&new).await.map(|_| row)
                }
            };
            match result {
                Ok(row) => {
                    tracing::info!(adapter = kind.as_str(), "the adapter was set as declared");
                    rows.insert(kind, row);
                    pushed.changed = true;
                }
                Err(error) => {
                    failed.push(kind);
                    // Perhaps it was stored nevertheless.
                    pushed.changed |= error.is_outcome_unknown();
                    pushed
                        .not_applied
                        .push(refused(kind, "enabled and port", &error));
                }
            }
        }
    }
}

/// Decides what to do about the adapter `kind`. The server takes every port and, with a bad one, does
/// not start again (server contract, rule 11), so it is told only of good ones.
fn step(
    taken: Taken<'_>,
    rows: &BTreeMap<AdapterKind, Row>,
    kind: AdapterKind,
    wish: Wish,
) -> Step {
    let (before, after) = match rows.get(&kind) {
        Some(row) => {
            let after = Row {
                enabled: wish.enabled.unwrap_or(row.enabled),
                port: wish.port.or(row.port),
            };
            (Some(*row), after)
        }
        // It comes back with the server's next start; sooner only if that is declared.
        None if wish.enabled != Some(true) => return Step::Nothing,
        None => {
            let port = Some(wish.port.unwrap_or(first_port(kind)));
            let after = Row {
                enabled: true,
                port,
            };
            (None, after)
        }
    };
    if before == Some(after) {
        return Step::Nothing;
    }
    let name = kind.as_str();
    if let Some(port) = after.port {
        // What the server has and nobody declares is not ours to judge.
        let is_sent = before.is_none_or(|before| before.port != after.port);
        if is_sent && port < LOWEST_PORT {
            return Step::Wait(format!(
                "adapters.{name}.port {port} is not sent to the server: it cannot listen below {LOWEST_PORT}."
            ));
        }
        if after.enabled && taken.running_api == Some(port) && taken.spec.control_plane.port != port
        {
            return Step::Wait(format!(
                "The adapter {name} is given port {port} once the server has been restarted for controlPlane.port: until then its API has it."
            ));
        }
        if after.enabled
            && let Some(other) = listener(taken, rows, kind, port)
        {
            return Step::Wait(format!(
                "The adapter {name} is not given port {port}: {other} has it. Give one of them another port; to exchange two ports, go by a third one."
            ));
        }
    }
    match before {
        None => Step::Make(after),
        Some(before) => {
            let change = AdapterChange {
                enabled: (after.enabled != before.enabled).then_some(after.enabled),
                port: after.port.filter(|_| after.port != before.port),
                config: None,
            };
            Step::Change(after, change)
        }
    }
}

/// What else of the server listens on `port`.
fn listener(
    taken: Taken<'_>,
    rows: &BTreeMap<AdapterKind, Row>,
    kind: AdapterKind,
    port: u16,
) -> Option<String> {
    let spec = taken.spec;
    if spec.control_plane.port == port {
        return Some("the API".to_owned());
    }
    let mut metrics = spec.metrics.iter();
    if metrics.any(|metrics| metrics.enabled && metrics.port == port) {
        return Some("the metrics endpoint".to_owned());
    }
    let mut others = rows.iter().filter(|(other, _)| **other != kind);
    others
        .find(|(_, row)| row.enabled && row.port == Some(port))
        .map(|(other, _)| format!("the adapter {}", other.as_str()))
}

/// The port that a fresh server gives an adapter (server contract 3.7).
fn first_port(kind: AdapterKind) -> u16 {
    match kind {
        AdapterKind::Nfs => api_types::ports::NFS,
        AdapterKind::Smb => api_types::ports::SMB,
    }
}

/// Brings settings of a protocol to the server; what is not in force afterwards, for people.
async fn settle<S: AdapterSettings>(
    client: &RestClient,
    about: (AdapterKind, &'static str),
    wanted: &S::Patch,
    stuck: &mut Stuck,
) -> Option<String> {
    let (kind, what) = about;
    let live = match client.adapters().settings::<S>().await {
        Ok(live) => live,
        Err(error) => return Some(refused(kind, what, &error)),
    };
    let (wanted_json, live_json) = (json(wanted), json(&live));
    if differing(&wanted_json, &live_json).is_empty() {
        stuck.0.remove(&about);
        return None;
    }
    if let Some(message) = stuck.message(about, &wanted_json, &live_json) {
        return Some(message.to_owned());
    }
    let message = match client
        .adapters()
        .patch_settings::<S>(wanted, WriteMode::Store)
        .await
    {
        Ok(after) => {
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
            let message = refused(kind, what, &error);
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

fn refused(kind: AdapterKind, what: &str, error: &Error) -> String {
    format!(
        "The server did not take adapters.{} ({what}): {error}.",
        kind.as_str()
    )
}

#[cfg(test)]
mod tests;
