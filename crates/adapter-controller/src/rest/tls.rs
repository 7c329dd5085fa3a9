//! NFS over TLS: the server is told of its certificate once it has the files, and takes it back before
//! they go.
//!
//! The adapter loads the files at its start, and does not serve without them, so a change of the
//! setting starts it anew (server contract 3.7). It reads renewed files by itself. That the setting is
//! in use, or about to be, stands in the status before it is sent: while it does, the files stay.

use std::time::Duration;

use adapter_client::{Adapter, AdapterChange, AdapterType, Client as RestClient, Error, Serving};
use api_types::v1alpha1::{NfsAdapter, NfsTls};
use configgen::paths;
use controller_runtime::rest::{Sessions, Trouble, secrets};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::pod;
use super::tuning::Ledger;
use crate::poll::Target;

/// In the adapter's configuration while it is started anew, so that one that a process of ours has
/// switched off, and not on again before its end, is not taken for one that a person has switched off.
const RESTARTING: &str = "dittofs_operator_restarting";

/// Keys of the Secret.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Time between two starts of an adapter that does not serve with its certificate.
const REPAIR: Duration = Duration::from_secs(60);

/// How the setting stands after a look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The Secret whose files the server uses, or is about to.
    pub(super) in_use: Option<String>,
    /// Whether the adapter was written.
    pub(super) changed: bool,
    /// What is not in force, for people.
    pub(super) not_applied: Option<String>,
}

/// What to do.
#[derive(Debug, PartialEq)]
enum Step {
    /// The setting is as it shall be; this Secret is in use.
    Nothing(Option<String>),
    /// It shall be this; first the pod must have the files, and the status must say so.
    Set,
    /// The files shall be those of another Secret, under the same path.
    Rename,
    /// It shall go.
    Withdraw,
    /// The adapter was switched off to be started anew.
    Finish,
    /// The adapter does not serve, perhaps for want of the files.
    Repair,
}

/// Whether `adapter` is switched off by us, to be switched on again at once.
pub(super) fn is_restarting(adapter: &Adapter) -> bool {
    adapter.config.contains_key(RESTARTING)
}

/// The configuration with which the adapter uses the files.
fn section(wanted: &NfsTls) -> Value {
    let NfsTls {
        secret_name: _,
        mode,
        client_ca_key,
    } = wanted;
    let folder = paths::NFS_TLS;
    let mut section = json!({"cert_file": format!("{folder}/{CERTIFICATE}"), "key_file": format!("{folder}/{KEY}"),
        "mode": mode.unwrap_or_default().as_str()});
    if let Some(key) = client_ca_key {
        section["client_ca"] = format!("{folder}/{key}").into();
    }
    section
}

/// Whether the adapter uses our files. What people have configured by themselves is theirs.
fn uses_ours(row: &Adapter) -> bool {
    let folder = format!("{}/", paths::NFS_TLS);
    row.config.get("tls").is_some_and(|tls| {
        ["cert_file", "key_file", "client_ca"]
            .into_iter()
            .filter_map(|key| tls[key].as_str())
            .any(|path| path.starts_with(&folder))
    })
}

fn step(wanted: Option<&NfsTls>, row: &Adapter, told: Option<&str>) -> Step {
    if is_restarting(row) && !row.enabled {
        return Step::Finish;
    }
    let Some(tls) = wanted else {
        return if uses_ours(row) {
            Step::Withdraw
        } else {
            Step::Nothing(None)
        };
    };
    if row.config.get("tls") != Some(&section(tls)) {
        return Step::Set;
    }
    if told != Some(tls.secret_name.0.as_str()) {
        return Step::Rename;
    }
    match row.serving() {
        Serving::No => Step::Repair,
        Serving::Yes | Serving::Disabled | Serving::Undecided => {
            Step::Nothing(told.map(str::to_owned))
        }
    }
}

/// What of the setting the server does not have, for people. Writes nothing.
pub(super) fn difference(
    wanted: Option<&NfsTls>,
    row: Option<&Adapter>,
    told: Option<&str>,
) -> Option<String> {
    match row.map(|row| step(wanted, row, told)) {
        None | Some(Step::Nothing(_) | Step::Repair) => None,
        Some(Step::Set | Step::Rename | Step::Withdraw | Step::Finish) => {
            Some("adapters.nfs.tls differs.".to_owned())
        }
    }
}

/// Brings the setting to the server. `row` is the NFS adapter, `declared` what the spec says of it.
pub(super) async fn push(
    tools: &Sessions,
    target: &Target,
    client: &RestClient,
    declared: Option<&NfsAdapter>,
    row: Option<&Adapter>,
    ledger: &mut Ledger,
) -> Outcome {
    let told = target.tls_secret.as_deref();
    let mut outcome = Outcome {
        in_use: told.map(str::to_owned),
        ..Outcome::default()
    };
    let wanted = declared.and_then(|nfs| nfs.tls.as_ref());
    let Some(row) = row else {
        // It comes back without the setting, with the server's next start.
        if wanted.is_none() {
            outcome.in_use = None;
        }
        return outcome;
    };
    let on = declared.and_then(|nfs| nfs.enabled).unwrap_or(true);
    let result = match (step(wanted, row, told), wanted) {
        (Step::Nothing(in_use), _) => {
            outcome.in_use = in_use;
            return outcome;
        }
        (Step::Finish, _) => {
            let mut config = row.config.clone();
            config.remove(RESTARTING);
            outcome.changed = true;
            switch(client, Some(on), config).await.map(|_| ())
        }
        (Step::Withdraw, _) => {
            let mut config = row.config.clone();
            config.remove("tls");
            outcome.changed = true;
            let withdrawn = start_with(client, row, config).await;
            if withdrawn.as_ref().is_ok_and(|row| !uses_ours(row)) {
                tracing::info!("NFS over TLS was taken back");
                outcome.in_use = None;
            }
            withdrawn.map(|_| ())
        }
        (Step::Set, Some(tls)) => {
            let ready = files(tools, target, tls).await;
            match ready {
                Err(trouble) => Err(trouble.message),
                Ok(()) if told != Some(tls.secret_name.0.as_str()) => {
                    // First the status, which keeps the files where they are.
                    outcome.in_use = Some(tls.secret_name.0.clone());
                    Err("adapters.nfs.tls is about to be sent.".to_owned())
                }
                Ok(()) => {
                    let mut config = row.config.clone();
                    config.insert("tls".to_owned(), section(tls));
                    outcome.changed = true;
                    let set = start_with(client, row, config).await;
                    if set.is_ok() {
                        tracing::info!("NFS over TLS was set as declared");
                    }
                    set.map(|_| ())
                }
            }
        }
        (Step::Rename, Some(tls)) => {
            let name = tls.secret_name.0.clone();
            match files(tools, target, tls).await {
                Ok(()) => {
                    outcome.in_use = Some(name);
                    Ok(())
                }
                // The setting is in use, whatever the status says: no file may go.
                Err(_) if told.is_none() => {
                    outcome.in_use = Some(name);
                    Ok(())
                }
                Err(trouble) => Err(trouble.message),
            }
        }
        (Step::Repair, Some(tls)) => {
            let due = ledger.repaired.is_none_or(|at| at.elapsed() >= REPAIR);
            match files(tools, target, tls).await {
                Err(trouble) => Err(trouble.message),
                Ok(()) if due => {
                    ledger.repaired = Some(Instant::now());
                    outcome.changed = true;
                    start_with(client, row, row.config.clone())
                        .await
                        .map(|_| ())
                }
                // What the server reports of its adapters says the rest.
                Ok(()) => Ok(()),
            }
        }
        (Step::Set | Step::Rename | Step::Repair, None) => Ok(()),
    };
    outcome.not_applied = result.err();
    outcome
}

/// Whether the server may be told of the files: the Secret is whole, and the pod that serves has it.
async fn files(tools: &Sessions, target: &Target, tls: &NfsTls) -> Result<(), Trouble> {
    let name = tls.secret_name.0.as_str();
    let secret = secrets::read(tools, &target.site(), name).await?;
    for key in [CERTIFICATE, KEY] {
        secrets::key(&secret, name, key)?;
    }
    if let Some(key) = &tls.client_ca_key {
        let authorities = secrets::key(&secret, name, &key.0)?;
        // With a file that has none the adapter does not start.
        let text = String::from_utf8_lossy(&authorities);
        if !text.contains("-----BEGIN CERTIFICATE-----") {
            return Err(Trouble::new(
                api_types::conditions::Reason::SettingsNotApplied,
                format!("Key {key} of Secret {name} has no certificate, PEM: correct it."),
            ));
        }
    }
    if pod::has_files(tools, target, paths::NFS_TLS, name).await? {
        return Ok(());
    }
    Err(Trouble::new(
        api_types::conditions::Reason::SettingsNotApplied,
        format!(
            "adapters.nfs.tls is sent once the pod that serves has Secret {name}: see Progressing."
        ),
    ))
}

/// Gives the adapter `config`, and starts it anew with it if it is switched on.
async fn start_with(
    client: &RestClient,
    row: &Adapter,
    config: Map<String, Value>,
) -> Result<Adapter, String> {
    if row.enabled {
        let mut off = config.clone();
        off.insert(RESTARTING.to_owned(), Value::Bool(true));
        switch(client, Some(false), off).await?;
        return switch(client, Some(true), config).await;
    }
    switch(client, None, config).await
}

async fn switch(
    client: &RestClient,
    enabled: Option<bool>,
    config: Map<String, Value>,
) -> Result<Adapter, String> {
    let change = AdapterChange {
        enabled,
        port: None,
        config: Some(config),
    };
    let written = client.adapters().update(&AdapterType::Nfs, &change).await;
    written.map_err(|error: Error| format!("The server did not take adapters.nfs.tls: {error}."))
}

#[cfg(test)]
mod tests {
    use api_types::reference::SecretKeyName;

    use super::*;

    fn tls(name: &str) -> NfsTls {
        serde_json::from_value(json!({ "secretName": name })).unwrap()
    }

    fn row(enabled: bool, config: Value, status: &str) -> Adapter {
        serde_json::from_value(
            json!({"id": "1", "type": "nfs", "enabled": enabled, "running": enabled,
            "port": 12049, "config": config, "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
            "status": {"status": status, "checked_at": "2026-01-01T00:01:00Z"}}),
        )
        .unwrap()
    }

    #[test]
    fn each_state_of_the_setting_has_its_step() {
        let cert = tls("cert");
        let ours = || json!({"tls": section(&tls("cert")), "else": 1});
        let theirs = json!({"tls": {"cert_file": "/mine/tls.crt", "key_file": "/mine/tls.key"}});
        let on = |config| row(true, config, "healthy");
        let in_use = || Step::Nothing(Some("cert".to_owned()));
        for (wanted, row, told, expected) in [
            (None, on(json!({})), None, Step::Nothing(None)),
            (None, on(json!({})), Some("cert"), Step::Nothing(None)),
            (None, on(theirs.clone()), None, Step::Nothing(None)),
            (None, on(ours()), Some("cert"), Step::Withdraw),
            (None, on(ours()), None, Step::Withdraw),
            (Some(&cert), on(json!({})), None, Step::Set),
            (Some(&cert), on(theirs), None, Step::Set),
            (Some(&cert), on(ours()), Some("cert"), in_use()),
            (Some(&cert), on(ours()), Some("old"), Step::Rename),
            (Some(&cert), on(ours()), None, Step::Rename),
            (
                Some(&cert),
                row(true, ours(), "unknown"),
                Some("cert"),
                Step::Repair,
            ),
            (
                Some(&cert),
                row(false, ours(), "unknown"),
                Some("cert"),
                in_use(),
            ),
        ] {
            assert_eq!(
                step(wanted, &row, told),
                expected,
                "{wanted:?} {row:?} {told:?}"
            );
        }
    }

    #[test]
    fn an_adapter_that_we_switched_off_and_not_on_again_is_switched_on() {
        let config = json!({"tls": section(&tls("cert")), RESTARTING: true});
        let off = row(false, config.clone(), "unknown");
        assert!(is_restarting(&off));
        assert_eq!(step(None, &off, None), Step::Finish);
        assert_eq!(step(Some(&tls("cert")), &off, Some("cert")), Step::Finish);
        let on = row(true, config, "healthy");
        assert_eq!(step(None, &on, None), Step::Withdraw);
    }

    #[test]
    fn another_mode_is_another_setting() {
        let mut require = tls("cert");
        require.mode = Some(api_types::v1alpha1::NfsTlsMode::Require);
        let row = row(true, json!({"tls": section(&tls("cert"))}), "healthy");
        assert_eq!(step(Some(&require), &row, Some("cert")), Step::Set);
        let said = difference(Some(&require), Some(&row), Some("cert"));
        assert_eq!(said.as_deref(), Some("adapters.nfs.tls differs."));
    }

    #[test]
    fn authorities_of_clients_are_set_and_taken_back_with_the_files_in_place() {
        let plain = tls("cert");
        let mut mutual = plain.clone();
        mutual.client_ca_key = Some(SecretKeyName("ca.crt".to_owned()));
        assert_eq!(section(&mutual)["client_ca"], "/nfs-tls/ca.crt");
        let of = |tls: &NfsTls| row(true, json!({"tls": section(tls)}), "healthy");
        let in_use = Step::Nothing(Some("cert".to_owned()));
        for (wanted, live, expected) in [
            (&mutual, of(&plain), Step::Set),
            (&plain, of(&mutual), Step::Set),
            (&mutual, of(&mutual), in_use),
        ] {
            assert_eq!(step(Some(wanted), &live, Some("cert")), expected);
        }
        assert_eq!(step(None, &of(&mutual), Some("cert")), Step::Withdraw);
    }
}
