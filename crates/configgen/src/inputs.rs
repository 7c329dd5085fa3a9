//! The Secrets that the server process takes: where each comes from, what makes it valid, and what
//! a new value costs.

use api_types::DittoServerSpec;
use api_types::names;
use api_types::reference::SecretKeyRef;
use api_types::v1alpha1::{Identity, Kerberos, Metrics, PodSettings};
use percona_bridge::Source;

/// What it takes for the server to use a new value. Source: server contract 1.3, 2.3, 2.7 and 2.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The process reads it at start: a new value restarts the server.
    Restart,
    /// The process reads it again when it changes.
    HotReload,
    /// The adapter-controller pushes it to the running process.
    Pushed,
    /// The process reads it at its first start only; later values have no effect.
    FirstStart,
}

/// What a value must be for the server to accept it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Anything.
    Present,
    /// At least one byte.
    NotEmpty,
    /// UTF-8 text whose length in bytes lies between the two, both included.
    Length(usize, usize),
}

/// The condition that speaks of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// ConfigReady.
    Config,
    /// DatabaseReady.
    Database,
}

/// The kinds of Secret values that the server process takes. Everything that makes them differ hangs
/// on this: a new kind does not compile before each is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InputKind {
    /// The key that signs tokens.
    TokenKey,
    /// The password that the administrator's account is made with.
    AdminPassword,
    /// The connection to PostgreSQL, or the CA of its server. Which keys of the Secret hold it is told by
    /// [`percona_bridge::connection`].
    DatabaseConnection,
    /// The API's certificate, or its key.
    ApiCertificate,
    /// The CA whose certificates the API asks its clients for.
    ClientCa,
    /// The token that the metrics endpoint asks for.
    MetricsToken,
    /// The metrics endpoint's certificate, or its key.
    MetricsCertificate,
    /// The certificate of NFS over TLS, or its key.
    NfsCertificate,
    /// The password for the LDAP directory.
    LdapPassword,
    /// The keytab of the server's Kerberos service.
    ServiceKeytab,
    /// The Kerberos configuration.
    Krb5Conf,
    /// The password of the server's account in the domain.
    MachinePassword,
    /// The keytab of the server's account in the domain.
    MachineKeytab,
    /// A variable that `spec.pod.env` adds.
    PodVariable,
}

impl InputKind {
    /// Every kind.
    pub const ALL: [InputKind; 14] = [
        InputKind::TokenKey,
        InputKind::AdminPassword,
        InputKind::DatabaseConnection,
        InputKind::ApiCertificate,
        InputKind::ClientCa,
        InputKind::MetricsToken,
        InputKind::MetricsCertificate,
        InputKind::NfsCertificate,
        InputKind::LdapPassword,
        InputKind::ServiceKeytab,
        InputKind::Krb5Conf,
        InputKind::MachinePassword,
        InputKind::MachineKeytab,
        InputKind::PodVariable,
    ];

    /// What it is, for people.
    pub fn what(self) -> &'static str {
        match self {
            InputKind::TokenKey => "the key that signs tokens",
            InputKind::AdminPassword => "the administrator's first password",
            InputKind::DatabaseConnection => "the connection to PostgreSQL",
            InputKind::ApiCertificate => "the API's certificate",
            InputKind::ClientCa => "the CA of client certificates",
            InputKind::MetricsToken => "the metrics token",
            InputKind::MetricsCertificate => "the metrics endpoint's certificate",
            InputKind::NfsCertificate => "the certificate of NFS over TLS",
            InputKind::LdapPassword => "the LDAP password",
            InputKind::ServiceKeytab => "the service keytab",
            InputKind::Krb5Conf => "krb5.conf",
            InputKind::MachinePassword => "the machine account's password",
            InputKind::MachineKeytab => "the machine account's keytab",
            InputKind::PodVariable => "a variable of pod.env",
        }
    }

    /// What a new value costs.
    pub fn effect(self) -> Effect {
        match self {
            InputKind::TokenKey
            | InputKind::DatabaseConnection
            | InputKind::ClientCa
            | InputKind::MetricsToken
            | InputKind::MetricsCertificate
            | InputKind::Krb5Conf
            | InputKind::MachinePassword
            | InputKind::MachineKeytab
            | InputKind::PodVariable => Effect::Restart,
            InputKind::ApiCertificate | InputKind::NfsCertificate | InputKind::ServiceKeytab => {
                Effect::HotReload
            }
            InputKind::LdapPassword => Effect::Pushed,
            InputKind::AdminPassword => Effect::FirstStart,
        }
    }
}

/// One value of a Secret that the server process takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// What it is.
    pub kind: InputKind,
    /// Where it comes from.
    pub reference: SecretKeyRef,
    /// Which condition speaks of it.
    pub concern: Concern,
    /// Whether the server cannot do without it.
    pub required: bool,
    /// What makes it valid.
    pub check: Check,
}

impl Input {
    fn new(kind: InputKind, reference: SecretKeyRef) -> Self {
        Input {
            kind,
            reference,
            concern: Concern::Config,
            required: true,
            check: Check::NotEmpty,
        }
    }

    fn check(self, check: Check) -> Self {
        Input { check, ..self }
    }
}

/// The key of the Secret with the token-signing key that the operator makes.
pub const JWT_KEY: &str = "jwt-secret";
/// The key of the Secret with the administrator's password that the operator makes.
pub const PASSWORD_KEY: &str = "password";

/// Every Secret value that the server called `server` takes.
pub fn inputs(server: &str, spec: &DittoServerSpec, source: Option<&Source>) -> Vec<Input> {
    let identity = spec.identity.clone().unwrap_or_default();
    let Identity {
        kind: _,
        jwt,
        admin,
        ldap,
        kerberos,
    } = identity;
    let mut inputs = vec![
        // Fewer than 32 characters end the process at start (contract 1.3).
        Input::new(
            InputKind::TokenKey,
            jwt.and_then(|jwt| jwt.secret_ref)
                .unwrap_or_else(|| SecretKeyRef::new(names::jwt_secret(server), JWT_KEY)),
        )
        .check(Check::Length(32, 4096)),
        // Other lengths end the first start after the account was made (contract 1.3).
        Input::new(
            InputKind::AdminPassword,
            admin
                .and_then(|admin| admin.password_secret_ref)
                .unwrap_or_else(|| SecretKeyRef::new(names::admin_secret(server), PASSWORD_KEY)),
        )
        .check(Check::Length(8, 72)),
    ];
    if let Some(source) = source {
        inputs.extend(source.secrets(server).into_iter().map(|name| Input {
            concern: Concern::Database,
            ..Input::new(
                InputKind::DatabaseConnection,
                SecretKeyRef::new(name, PASSWORD_KEY),
            )
        }));
    }
    let control_plane = &spec.control_plane;
    if let Some(secret) = &control_plane.cert_secret_name {
        for key in ["tls.crt", "tls.key"] {
            inputs.push(Input::new(
                InputKind::ApiCertificate,
                SecretKeyRef::new(secret.0.as_str(), key),
            ));
        }
        if let Some(secret) = &control_plane.client_ca_secret_name {
            inputs.push(Input::new(
                InputKind::ClientCa,
                SecretKeyRef::new(secret.0.as_str(), "ca.crt"),
            ));
        }
    }
    if let Some(metrics) = spec.metrics.as_ref().filter(|metrics| metrics.enabled) {
        inputs.extend(metrics_inputs(metrics));
    }
    let nfs = spec.adapters.as_ref().and_then(|all| all.nfs.as_ref());
    if let Some(tls) = nfs.and_then(|nfs| nfs.tls.as_ref()) {
        let of_clients = tls.client_ca_key.as_ref().map(|key| key.0.as_str());
        let keys = ["tls.crt", "tls.key"].into_iter().chain(of_clients);
        inputs.extend(keys.map(|key| {
            Input::new(
                InputKind::NfsCertificate,
                SecretKeyRef::new(tls.secret_name.0.as_str(), key),
            )
        }));
    }
    if let Some(password) = ldap
        .filter(|ldap| ldap.enabled == Some(true))
        .and_then(|ldap| ldap.bind_password_secret_ref)
    {
        inputs.push(Input::new(InputKind::LdapPassword, password));
    }
    if let Some(kerberos) = kerberos.filter(|kerberos| kerberos.enabled == Some(true)) {
        inputs.extend(kerberos_inputs(kerberos));
    }
    inputs.extend(spec.pod.iter().flat_map(variable_inputs));
    inputs
}

/// What the Prometheus endpoint takes, all of it at the start only.
fn metrics_inputs(metrics: &Metrics) -> impl Iterator<Item = Input> {
    let token = metrics.bearer_token_secret.clone();
    let token = token.map(|token| Input::new(InputKind::MetricsToken, token));
    let pair = metrics.cert_secret_name.iter().flat_map(|secret| {
        ["tls.crt", "tls.key"].map(|key| {
            Input::new(
                InputKind::MetricsCertificate,
                SecretKeyRef::new(secret.0.as_str(), key),
            )
        })
    });
    token.into_iter().chain(pair)
}

/// The Secrets behind the variables that the spec adds.
fn variable_inputs(pod: &PodSettings) -> impl Iterator<Item = Input> {
    pod.env.iter().filter_map(|variable| {
        let selector = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
        Some(Input {
            required: selector.optional != Some(true),
            ..Input::new(
                InputKind::PodVariable,
                SecretKeyRef::new(selector.name.as_str(), selector.key.as_str()),
            )
            .check(Check::Present)
        })
    })
}

fn kerberos_inputs(kerberos: Kerberos) -> Vec<Input> {
    let machine = kerberos
        .machine_account
        .filter(|account| account.enabled == Some(true))
        .unwrap_or_default();
    [
        (InputKind::ServiceKeytab, kerberos.keytab_secret_ref),
        (InputKind::Krb5Conf, kerberos.krb5_conf_secret_ref),
        (InputKind::MachinePassword, machine.secret_ref),
        (InputKind::MachineKeytab, machine.keytab_secret_ref),
    ]
    .into_iter()
    .filter_map(|(kind, reference)| Some(Input::new(kind, reference?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(spec: serde_json::Value) -> Vec<Input> {
        let spec: DittoServerSpec = serde_json::from_value(spec).unwrap();
        let source = percona_bridge::source("files", &spec, false).ok();
        inputs("files", &spec, source.as_ref())
    }

    fn named(inputs: &[Input]) -> Vec<String> {
        inputs
            .iter()
            .map(|i| format!("{}/{}", i.reference.name, i.reference.key))
            .collect()
    }

    #[test]
    fn a_plain_server_takes_the_two_secrets_that_the_operator_makes() {
        let inputs = of(serde_json::json!({"storage": {"metadataSize": "1Gi"}}));
        assert_eq!(
            named(&inputs),
            [
                "files-jwt-secret/jwt-secret",
                "files-admin-bootstrap-credentials/password"
            ]
        );
    }

    #[test]
    fn secrets_behind_added_variables_are_inputs_whose_new_values_restart() {
        let from = |optional: bool| serde_json::json!({"secretKeyRef": {"name": "s", "key": "k", "optional": optional}});
        let inputs = of(serde_json::json!({
            "storage": {"metadataSize": "1Gi"},
            "pod": {"env": [{"name": "A", "valueFrom": from(false)}, {"name": "B", "valueFrom": from(true)}, {"name": "C", "value": "c"}]},
        }));
        let added: Vec<_> = inputs[2..]
            .iter()
            .map(|input| (input.required, input.kind.effect()))
            .collect();
        assert_eq!(added, [(true, Effect::Restart), (false, Effect::Restart)]);
    }

    #[test]
    fn every_kind_of_input_comes_from_some_spec() {
        let reference = serde_json::json!({"name": "s", "key": "k"});
        let mut kinds: Vec<InputKind> = of(serde_json::json!({
            "storage": {"metadataSize": "1Gi"},
            "database": {"postgresSecretRef": reference},
            "controlPlane": {"certSecretName": "cert", "clientCASecretName": "ca"},
            "metrics": {"enabled": true, "bearerTokenSecret": reference, "certSecretName": "cert"},
            "identity": {
                "ldap": {"enabled": true, "url": "ldaps://x", "baseDN": "a", "bindDN": "b", "bindPasswordSecretRef": reference},
                "kerberos": {"enabled": true, "keytabSecretRef": reference, "krb5ConfSecretRef": reference,
                    "machineAccount": {"enabled": true, "secretRef": reference, "keytabSecretRef": reference}},
            },
            "adapters": {"nfs": {"tls": {"secretName": "cert"}}},
            "pod": {"env": [{"name": "A", "valueFrom": {"secretKeyRef": reference}}]},
        }))
        .into_iter()
        .map(|input| input.kind)
        .collect();
        kinds.sort();
        kinds.dedup();
        assert_eq!(kinds, InputKind::ALL);
    }

    #[test]
    fn disabled_sections_need_no_secret() {
        let reference = serde_json::json!({"name": "s", "key": "k"});
        let inputs = of(serde_json::json!({
            "storage": {"metadataSize": "1Gi"},
            "metrics": {"enabled": false, "bearerTokenSecret": reference, "certSecretName": "s"},
            "identity": {
                "ldap": {"enabled": false, "url": "ldaps://x", "baseDN": "a", "bindDN": "b", "bindPasswordSecretRef": reference},
                "kerberos": {"enabled": false, "keytabSecretRef": reference},
            },
        }));
        assert_eq!(inputs.len(), 2);
    }

    #[test]
    fn a_renewed_certificate_and_keytab_cost_no_restart() {
        let inputs = of(serde_json::json!({
            "storage": {"metadataSize": "1Gi"},
            "controlPlane": {"certSecretName": "cert", "clientCASecretName": "ca"},
            "metrics": {"enabled": true, "certSecretName": "metrics-cert"},
            "identity": {"kerberos": {"enabled": true, "servicePrincipal": "nfs/x", "keytabSecretRef": {"name": "kt", "key": "k"}}},
        }));
        let effect = |name: &str| {
            inputs
                .iter()
                .find(|i| i.reference.name.0 == name)
                .unwrap()
                .kind
                .effect()
        };
        assert_eq!(effect("cert"), Effect::HotReload);
        assert_eq!(effect("kt"), Effect::HotReload);
        assert_eq!(effect("ca"), Effect::Restart);
        assert_eq!(
            effect("metrics-cert"),
            Effect::Restart,
            "the endpoint reads it at its start only"
        );
    }
}
