//! `spec.identity.ldap` and `spec.identity.kerberos`, brought to the server.
//!
//! LDAP is taken at once. Of Kerberos the machine account is; the rest at the server's next start, and
//! a server whose Kerberos is on does not start without its keytab. So Kerberos is switched on only
//! while the pod that serves has the files, after the status has said so, and is switched off before
//! they go (server contract 2.8 and 3.15, and tried with a server).

use adapter_client::{
    Applied, Client as RestClient, Error, KerberosConfig, LdapConfig, MachineAccount,
    ProviderConfig,
};
use api_types::reference::SecretKeyRef;
use api_types::v1alpha1::{Identity, KERBEROS_IN_USE, Kerberos, Ldap};
use configgen::paths;
use controller_runtime::rest::{Sessions, secrets};
use kube::ResourceExt;
use secrecy::SecretString;
use serde_json::Value;

use super::awaited::Starts;
use super::settings::{differing, json};
use super::tuning::{Ledger, Version};
use super::{identity, pod};
use crate::poll::Target;

/// What `pushed` calls the password of LDAP.
const LDAP_PASSWORD: &str = "identity.ldap.bindPasswordSecretRef";
/// What `pushed` calls the password of the machine account.
const MACHINE_PASSWORD: &str = "identity.kerberos.machineAccount.secretRef";

/// Whether the spec says anything of the providers.
pub(super) fn is_anything(identity: Option<&Identity>) -> bool {
    identity.is_some_and(|identity| identity.ldap.is_some() || identity.kerberos.is_some())
}

/// Brings what the spec of `target` says to the server, or only compares it where nothing may be
/// written; what is not in force, for people.
pub(super) async fn push(
    tools: &Sessions,
    target: &Target,
    client: &RestClient,
    ledger: &mut Ledger,
) -> Vec<String> {
    let identity = target.spec.identity.as_ref();
    let ldap = identity.and_then(|identity| identity.ldap.as_ref());
    let kerberos = identity.and_then(|identity| identity.kerberos.as_ref());
    let visit = Visit {
        tools,
        target,
        client,
    };
    let said = [
        visit.ldap(ldap, ledger).await.err(),
        visit.kerberos(kerberos, ledger).await.err(),
    ];
    said.into_iter().flatten().collect()
}

#[derive(Clone, Copy)]
struct Visit<'a> {
    tools: &'a Sessions,
    target: &'a Target,
    client: &'a RestClient,
}

impl Visit<'_> {
    async fn ldap(self, spec: Option<&Ldap>, ledger: &mut Ledger) -> Result<(), String> {
        const ABOUT: &str = "identity.ldap";
        let Some(spec) = spec else {
            ledger.note(LDAP_PASSWORD, None);
            return Ok(());
        };
        let live: Option<LdapConfig> = self.live(ABOUT).await?;
        let on = spec.enabled == Some(true);
        if live.is_none() && !on {
            return Ok(());
        }
        let reference = spec.bind_password_secret_ref.as_ref().filter(|_| on);
        let secret = self.version(reference, ledger).await?;
        let wanted = json(&identity::ldap(spec, live.as_ref(), None));
        let before = live.as_ref().map(json).unwrap_or_default();
        let fields = differing(&wanted, &before);
        let renewed = ledger.is_renewed(LDAP_PASSWORD, secret.as_ref());
        if fields.is_empty() && !renewed {
            ledger.stuck.forget(ABOUT);
            return Ok(());
        }
        self.may_write(ABOUT, &fields)?;
        if !renewed && let Some(said) = ledger.stuck.message(ABOUT, &wanted, &before) {
            return Err(said.to_owned());
        }
        let password = self.password(reference.filter(|_| renewed)).await?;
        let config = identity::ldap(spec, live.as_ref(), password);
        self.put(ABOUT, &config, wanted, before, ledger).await?;
        if renewed {
            ledger.note(LDAP_PASSWORD, secret.as_ref());
        }
        Ok(())
    }

    async fn kerberos(self, spec: Option<&Kerberos>, ledger: &mut Ledger) -> Result<(), String> {
        const ABOUT: &str = "identity.kerberos";
        let is_in_use = ledger.pushed.iter().any(|it| it.what == KERBEROS_IN_USE);
        let on = spec.filter(|spec| spec.enabled == Some(true));
        if spec.is_none() && !is_in_use {
            return Ok(());
        }
        let live: Option<KerberosConfig> = self.live(ABOUT).await?;
        let Some(spec) = on else {
            return self.kerberos_off(ABOUT, live, ledger).await;
        };
        let Some(keytab) = &spec.keytab_secret_ref else {
            // The schema asks for one.
            return Ok(());
        };
        let machine = spec.machine_account.as_ref();
        let machine = machine.filter(|account| account.enabled == Some(true));
        let reference = machine.and_then(|account| account.secret_ref.as_ref());
        let secret = self.version(reference, ledger).await?;
        let wanted = json(&identity::kerberos(spec, live.as_ref(), None));
        let before = live.as_ref().map(json).unwrap_or_default();
        let fields = differing(&wanted, &before);
        let renewed = ledger.is_renewed(MACHINE_PASSWORD, secret.as_ref());
        // A server that was made with the section uses the keytab without having been told of it.
        if live.as_ref().is_some_and(|live| live.enabled) && !is_in_use {
            let version = self.version(Some(keytab), ledger).await?;
            ledger.note(KERBEROS_IN_USE, version.as_ref());
        }
        if fields.is_empty() && !renewed {
            ledger.stuck.forget(ABOUT);
            return Ok(());
        }
        self.may_write(ABOUT, &fields)?;
        if !renewed && let Some(said) = ledger.stuck.message(ABOUT, &wanted, &before) {
            return Err(said.to_owned());
        }
        self.has_files(spec, keytab).await?;
        let mut told = self.target.pushed.iter();
        if !told.any(|it| it.what == KERBEROS_IN_USE) {
            // First the status, which keeps the files where they are.
            let version = self.version(Some(keytab), ledger).await?;
            ledger.note(KERBEROS_IN_USE, version.as_ref());
            return Err("identity.kerberos is about to be sent.".to_owned());
        }
        let password = self.password(reference.filter(|_| renewed)).await?;
        let config = identity::kerberos(spec, live.as_ref(), password);
        self.await_restart(ABOUT, &fields, ledger).await?;
        let put = self
            .put(ABOUT, &config, wanted.clone(), before.clone(), ledger)
            .await;
        if put.is_err() && ledger.stuck.message(ABOUT, &wanted, &before).is_some() {
            // What it did not take is not awaited either.
            forget(&fields, ledger);
        }
        let applied = put?;
        if renewed {
            ledger.note(MACHINE_PASSWORD, secret.as_ref());
        }
        self.was_sent(applied, &fields, ledger).await;
        Ok(())
    }

    /// Kerberos shall be off, and the keytab goes once it is.
    async fn kerberos_off(
        self,
        about: &'static str,
        live: Option<KerberosConfig>,
        ledger: &mut Ledger,
    ) -> Result<(), String> {
        if let Some(live) = live.filter(|live| live.enabled) {
            self.may_write(about, &["enabled".to_owned()])?;
            let off = KerberosConfig {
                enabled: false,
                machine_account: MachineAccount {
                    enabled: false,
                    ..live.machine_account.clone()
                },
                ..live.clone()
            };
            let (wanted, before) = (json(&off), json(&live));
            let fields = ["enabled".to_owned()];
            self.await_restart(about, &fields, ledger).await?;
            let applied = self.put(about, &off, wanted, before, ledger).await?;
            self.was_sent(applied, &fields, ledger).await;
        }
        ledger.note(KERBEROS_IN_USE, None);
        ledger.note(MACHINE_PASSWORD, None);
        Ok(())
    }

    /// The provider as the server has it; `None` when it has none.
    async fn live<C: ProviderConfig>(self, about: &str) -> Result<Option<C>, String> {
        match self.client.identity_providers().config::<C>().await {
            Ok(config) => Ok(Some(config)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(format!("{about} cannot be compared: {error}.")),
        }
    }

    fn may_write(self, about: &str, fields: &[String]) -> Result<(), String> {
        if self.target.may_write {
            return Ok(());
        }
        if fields.is_empty() {
            return Err(format!("{about}: the password differs."));
        }
        Err(format!("{about} differs: {}.", fields.join(", ")))
    }

    /// Writes a provider, and compares what the server has then.
    async fn put<C: ProviderConfig>(
        self,
        about: &'static str,
        config: &C,
        wanted: Value,
        before: Value,
        ledger: &mut Ledger,
    ) -> Result<Applied, String> {
        let refused = match self.client.identity_providers().put_config(config).await {
            Ok((stored, applied)) => {
                let ignored = differing(&wanted, &json(&stored));
                if ignored.is_empty() {
                    tracing::info!("{about} was set as declared");
                    ledger.stuck.forget(about);
                    return Ok(applied);
                }
                let ignored = ignored.join(", ");
                format!("The server keeps its own value for {about}: {ignored}.")
            }
            Err(error) => {
                let said = format!("The server did not take {about}: {error}.");
                if !matches!(error, Error::Invalid { .. }) {
                    // Perhaps it goes well next time.
                    return Err(said);
                }
                said
            }
        };
        ledger.stuck.note(about, wanted, before, &refused);
        Err(refused)
    }

    /// Notes what the server takes at its next start, before it is sent; an error while the status does not have the
    /// note.
    async fn await_restart(
        self,
        about: &str,
        fields: &[String],
        ledger: &mut Ledger,
    ) -> Result<(), String> {
        let fields = at_restart(fields);
        if ledger
            .await_start(self.client, Starts::Server, &fields)
            .await
        {
            return Ok(());
        }
        Err(format!("{about} is about to be sent."))
    }

    /// What the server has taken at once is awaited no longer; of the rest the time counts from now on.
    async fn was_sent(self, applied: Applied, fields: &[String], ledger: &mut Ledger) {
        if applied == Applied::AtRestart {
            let fields = at_restart(fields);
            ledger
                .await_start(self.client, Starts::Server, &fields)
                .await;
        } else {
            forget(fields, ledger);
        }
    }

    /// Whether the pod that serves has the files of Kerberos.
    async fn has_files(self, spec: &Kerberos, keytab: &SecretKeyRef) -> Result<(), String> {
        let krb5 = spec.krb5_conf_secret_ref.as_ref();
        let files = [(paths::KEYTAB, Some(keytab)), (paths::KRB5, krb5)];
        for (path, secret) in files {
            let Some(secret) = secret else {
                continue;
            };
            let name = secret.name.0.as_str();
            let has = pod::has_files(self.tools, self.target, path, name).await;
            if !has.map_err(|trouble| trouble.message)? {
                return Err(format!(
                    "identity.kerberos is sent once the pod that serves has Secret {name}: see Progressing."
                ));
            }
        }
        Ok(())
    }

    /// Which values the Secret of `reference` has; read once after each change.
    async fn version(
        self,
        reference: Option<&SecretKeyRef>,
        ledger: &mut Ledger,
    ) -> Result<Option<Version>, String> {
        let Some(reference) = reference else {
            return Ok(None);
        };
        let name = reference.name.0.as_str();
        if let Some(known) = ledger.versions.get(name) {
            return Ok(Some(known.clone()));
        }
        let secret = secrets::read(self.tools, &self.target.site(), name).await;
        let secret = secret.map_err(|trouble| trouble.message)?;
        let version = Version {
            uid: secret.uid().unwrap_or_default(),
            resource_version: secret.resource_version().unwrap_or_default(),
        };
        ledger.versions.insert(name.to_owned(), version.clone());
        Ok(Some(version))
    }

    /// The password that `reference` names, if it names any.
    async fn password(
        self,
        reference: Option<&SecretKeyRef>,
    ) -> Result<Option<SecretString>, String> {
        let Some(reference) = reference else {
            return Ok(None);
        };
        let value = secrets::value(self.tools, &self.target.site(), reference).await;
        let value = value.map_err(|trouble| trouble.message)?;
        let text = String::from_utf8(value)
            .map_err(|_| format!("The password in Secret {} is not text.", reference.name))?;
        Ok(Some(SecretString::from(text)))
    }
}

/// Awaits no restart for fields of Kerberos any more.
fn forget(fields: &[String], ledger: &mut Ledger) {
    let fields = at_restart(fields);
    let is_left = |noted: &str| !fields.iter().any(|field| field == noted);
    ledger.awaited.retain(Starts::Server, is_left);
}

/// Of fields of Kerberos those that the server takes at its next start, by their paths in the spec. The credentials of
/// the machine account are taken at once.
fn at_restart(fields: &[String]) -> Vec<String> {
    let fields = fields.iter().filter(|field| *field != "machine_account");
    fields
        .map(|field| format!("identity.kerberos.{field}"))
        .collect()
}
