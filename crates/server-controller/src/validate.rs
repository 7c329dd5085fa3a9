//! The second step, pure: which inputs are complete, which are ours to make, what is in the way.

mod conflicts;
pub(crate) mod database;
#[cfg(test)]
mod database_tests;

use std::collections::BTreeMap;

use api_types::conditions::Reason;
use api_types::names;
use api_types::names::Volume;
use api_types::v1alpha1::KERBEROS_IN_USE;
use configgen::{Check, Concern, Effect, Input, InputKind, JWT_KEY, PASSWORD_KEY};
use percona_bridge::{NotSupported, Source};
use resources::Instance;

use crate::observe::{HeldSecret, Observed, SecretState};
use crate::takeover;
use database::DatabaseView;

/// A Secret that the operator makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generated {
    /// The key that signs tokens.
    Jwt,
    /// The administrator's first password.
    Admin,
}

/// Why an input cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The condition that speaks of it.
    pub concern: Concern,
    /// Reason of that condition.
    pub reason: Reason,
    /// For people: what is missing and what to do.
    pub message: String,
}

/// An object with a name that we need and that is somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Kind of the object.
    pub kind: &'static str,
    /// Name of the object.
    pub name: String,
}

/// What the planner may rely on.
#[derive(Clone, Debug)]
pub struct Validated<'a> {
    /// The server.
    pub instance: Instance<'a>,
    /// Its control-plane database.
    pub source: Result<Source, NotSupported>,
    /// What is known of that database.
    pub database: DatabaseView,
    /// Secrets to make before anything else.
    pub make: Vec<Generated>,
    /// Inputs that cannot be used.
    pub problems: Vec<Problem>,
    /// Objects that are in the way.
    pub conflicts: Vec<Conflict>,
    /// Keyed digest of what a restart depends on; `None` while an input is missing.
    pub digest: Option<String>,
}

/// The object does not come from a cluster: it has no name, namespace or UID.
#[derive(Debug, thiserror::Error)]
#[error("the object has no name, namespace or UID")]
pub struct NotInCluster;

/// Judges what was observed.
///
/// # Errors
/// When the object does not come from a cluster.
pub fn validate(observed: &Observed) -> Result<Validated<'_>, NotInCluster> {
    let instance = Instance::of(&observed.server).ok_or(NotInCluster)?;
    let source = percona_bridge::source(
        instance.name,
        instance.spec,
        takeover::is_done(&observed.server),
    );
    let inputs = configgen::inputs(instance.name, instance.spec, source.as_ref().ok());
    let mut judged = Judged::default();
    for input in &inputs {
        judge(observed, &instance, input, &mut judged);
    }
    let Judged {
        make,
        mut problems,
        mut restart,
        jwt,
    } = judged;
    problems.dedup();
    let mut database = match &source {
        Ok(source) => database::view(observed, &instance, source, &mut problems),
        Err(_) => DatabaseView::default(),
    };
    for reference in database.connection.iter().flat_map(|known| &known.restart) {
        let secret = observed.secrets.get(&reference.name.0);
        if let Some(SecretState::Present(secret)) = secret
            && let Some(value) = secret.value(&reference.key.0)
        {
            let name = format!("{}/{}", reference.name, reference.key);
            restart.insert(name, value.to_vec());
        }
    }
    problems.extend(port_conflicts(observed));
    problems.extend(still_used(observed));
    let complete = make.is_empty() && problems.is_empty();
    let mut digest = match (&source, jwt) {
        (Ok(source), Some(key)) if complete => Some(configgen::restart_digest(
            &configgen::RestartSpec::of(instance.spec, source),
            &restart,
            &key,
        )),
        _ => None,
    };
    if let Ok(source) = &source {
        let before = problems.len();
        let wanted = digest.as_deref();
        database::try_logins(
            observed,
            &instance,
            source,
            wanted,
            &mut database,
            &mut problems,
        );
        if database.restarts {
            database::await_stores(observed, &mut problems);
        }
        if problems.len() > before {
            digest = None;
        }
    }
    let conflicts = conflicts::conflicts(observed, &instance);
    Ok(Validated {
        instance,
        source,
        database,
        make,
        problems,
        conflicts,
        digest,
    })
}

impl Validated<'_> {
    /// Whether the server would not start again for the sake of a port. Then everything by which the
    /// running one is reached stays, so that it can be mended.
    pub fn has_port_conflict(&self) -> bool {
        let mut problems = self.problems.iter();
        problems.any(|problem| problem.reason == Reason::PortConflict)
    }
}

/// Adapters, as the adapter-controller last saw them, on ports that the spec gives to another
/// listener. No rollout begins with them: the server launches adapters before its API, and ends when
/// that finds its port taken; without an API nobody can give the adapter another port.
fn port_conflicts(observed: &Observed) -> Vec<Problem> {
    let server = &observed.server;
    let adapters = server.status.iter().flat_map(|status| &status.adapters);
    adapters
        .flatten()
        .filter(|adapter| adapter.enabled)
        .filter_map(|adapter| {
            let port = u16::try_from(adapter.listen_port?).ok()?;
            let field = server.spec.listener_at(port)?;
            Some(Problem {
                concern: Concern::Config,
                reason: Reason::PortConflict,
                message: format!(
                    "The adapter {} has port {port}, which {field} gives to another listener: the server might not start again, so the running pod stays as it is. Change {field}, or give the adapter another port (spec.adapters, or the server's own tools).",
                    adapter.kind
                ),
            })
        })
        .collect()
}

/// Files that the running server uses by what its database says, and the spec no longer asks for. They
/// go once the adapter-controller has taken the setting back: without them NFS would not be served, and
/// with Kerberos the server would not start.
fn still_used(observed: &Observed) -> Vec<Problem> {
    let server = &observed.server;
    let Some(status) = &server.status else {
        return Vec::new();
    };
    let problem = |message: &str| Problem {
        concern: Concern::Config,
        reason: Reason::StillInUse,
        message: format!(
            "{message} It is taken back first, and the running pod stays as it is until then. If this does not pass, see to the adapter-controller, and to Authenticated."
        ),
    };
    let adapters = server.spec.adapters.as_ref();
    let nfs = adapters.and_then(|all| all.nfs.as_ref());
    let mut rows = status.adapters.iter().flatten();
    let tls =
        rows.any(|adapter| adapter.tls_secret.is_some()) && nfs.is_none_or(|nfs| nfs.tls.is_none());
    let identity = server.spec.identity.as_ref();
    let kerberos = identity.and_then(|identity| identity.kerberos.as_ref());
    let mut pushed = status.pushed.iter().flatten();
    let keytab = pushed.any(|pushed| pushed.what == KERBEROS_IN_USE)
        && kerberos.is_none_or(|kerberos| kerberos.enabled != Some(true));
    [
        tls.then(|| problem("The server uses the certificate of NFS over TLS.")),
        keytab.then(|| problem("The server uses the keytab of Kerberos.")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[derive(Default)]
struct Judged {
    make: Vec<Generated>,
    problems: Vec<Problem>,
    restart: BTreeMap<String, Vec<u8>>,
    jwt: Option<Vec<u8>>,
}

fn judge(observed: &Observed, instance: &Instance<'_>, input: &Input, judged: &mut Judged) {
    // Which keys of which Secrets make a connection is judged with the database.
    if input.kind == InputKind::DatabaseConnection {
        return;
    }
    let name = &input.reference.name.0;
    let generated = generated(instance, input);
    let mut problem = |reason, message: String| {
        judged.problems.push(Problem {
            concern: input.concern,
            reason,
            message,
        });
    };
    let secret = match observed.secrets.get(name) {
        Some(SecretState::Present(secret)) => secret,
        Some(SecretState::Refused(message)) => {
            return problem(
                Reason::InputUnreadable,
                format!(
                    "Secret {name} cannot be read: {message}. Let the server-controller's role read it."
                ),
            );
        }
        Some(SecretState::Missing) | None => {
            match generated {
                Some(Generated::Admin) if has_data(observed, instance) => problem(
                    Reason::AdminSecretMissing,
                    format!(
                        "Secret {name} is missing, and the server's data exists: it was made with a password that only this Secret held. Restore the Secret with the key {PASSWORD_KEY}, or create it with the administrator's present password."
                    ),
                ),
                Some(generated) => judged.make.push(generated),
                None if input.required => problem(
                    Reason::SecretMissing,
                    format!(
                        "Secret {name} is missing: create it with the key {} ({}).",
                        input.reference.key,
                        input.kind.what()
                    ),
                ),
                None => {}
            }
            return;
        }
    };
    if generated.is_some_and(|generated| !usable(observed, instance, generated, secret)) {
        return problem(
            Reason::NameConflict,
            format!(
                "Secret {name} belongs to somebody else: rename it, or name a Secret of your own in spec.identity."
            ),
        );
    }
    let Some(value) = secret.value(&input.reference.key.0) else {
        if input.required {
            problem(
                Reason::SecretKeyMissing,
                format!(
                    "Secret {name} has no key {}: add it ({}).",
                    input.reference.key,
                    input.kind.what()
                ),
            );
        }
        return;
    };
    if let Some(flaw) = flaw(input.check, value) {
        return problem(
            Reason::SecretInvalid,
            format!(
                "Key {} of Secret {name} ({}) {flaw}.",
                input.reference.key,
                input.kind.what()
            ),
        );
    }
    if is_jwt(instance, input) {
        judged.jwt = Some(value.to_vec());
    }
    if input.kind.effect() == Effect::Restart {
        judged
            .restart
            .insert(format!("{name}/{}", input.reference.key), value.to_vec());
    }
}

/// Whether data of this server exists that only the present password opens.
fn has_data(observed: &Observed, instance: &Instance<'_>) -> bool {
    let set = observed.live.stateful_set.as_deref();
    observed.claims.contains_key(&Volume::ControlPlane) || set.is_some_and(|set| instance.owns(set))
}

/// Whether a Secret with a name that is ours to make may be used: one that is ours, or a password
/// that a person put back for data that exists.
fn usable(
    observed: &Observed,
    instance: &Instance<'_>,
    generated: Generated,
    secret: &HeldSecret,
) -> bool {
    let put_back = generated == Generated::Admin
        && has_data(observed, instance)
        && secret
            .object
            .metadata
            .owner_references
            .iter()
            .flatten()
            .all(|owner| owner.controller != Some(true));
    instance.owns(&secret.object) || put_back
}

/// The input that is ours to make, if `input` is one.
fn generated(instance: &Instance<'_>, input: &Input) -> Option<Generated> {
    let (name, key) = (
        input.reference.name.0.as_str(),
        input.reference.key.0.as_str(),
    );
    if name == names::jwt_secret(instance.name) && key == JWT_KEY {
        Some(Generated::Jwt)
    } else if name == names::admin_secret(instance.name) && key == PASSWORD_KEY {
        Some(Generated::Admin)
    } else {
        None
    }
}

/// Whether `input` signs the server's tokens.
fn is_jwt(instance: &Instance<'_>, input: &Input) -> bool {
    let reference = instance
        .spec
        .identity
        .as_ref()
        .and_then(|identity| identity.jwt.as_ref())
        .and_then(|jwt| jwt.secret_ref.as_ref());
    match reference {
        Some(reference) => *reference == input.reference,
        None => generated(instance, input) == Some(Generated::Jwt),
    }
}

fn flaw(check: Check, value: &[u8]) -> Option<String> {
    match check {
        Check::Present => None,
        Check::NotEmpty => value.is_empty().then(|| "is empty".to_owned()),
        Check::Length(least, most) => match std::str::from_utf8(value) {
            Err(_) => Some("is not text".to_owned()),
            Ok(text) if (least..=most).contains(&text.len()) => None,
            Ok(_) => Some(format!("must have {least} to {most} characters")),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api_types::DittoServer;

    use super::*;
    use crate::testing::{empty, left_claim, provisioned, secret};
    use serde_json::json;

    fn reasons(observed: &Observed) -> Vec<Reason> {
        validate(observed)
            .unwrap()
            .problems
            .iter()
            .map(|problem| problem.reason)
            .collect()
    }

    #[test]
    fn a_fresh_server_gets_both_secrets_made_and_no_digest_before() {
        let world = empty(json!({}));
        let validated = validate(&world).unwrap();
        assert_eq!(validated.make, [Generated::Jwt, Generated::Admin]);
        assert_eq!(validated.digest, None);
        assert!(validate(&provisioned(json!({}))).unwrap().digest.is_some());
    }

    #[test]
    fn no_password_is_made_while_data_exists_that_another_one_opens() {
        let mut world = empty(json!({}));
        left_claim(&mut world);
        let validated = validate(&world).unwrap();
        assert_eq!(validated.make, [Generated::Jwt]);
        assert_eq!(reasons(&world), [Reason::AdminSecretMissing]);
    }

    #[test]
    fn a_missing_secret_is_named_with_its_key() {
        let world = provisioned(
            json!({"identity": {"jwt": {"secretRef": {"name": "mine", "key": "token"}}}}),
        );
        let validated = validate(&world).unwrap();
        assert_eq!(validated.problems[0].reason, Reason::SecretMissing);
        assert!(validated.problems[0].message.contains("Secret mine"));
        assert!(validated.problems[0].message.contains("key token"));
    }

    #[test]
    fn a_value_that_the_server_would_refuse_is_refused_before_the_first_start() {
        let mut world = provisioned(json!({}));
        secret(&mut world, "files-jwt-secret", &[("jwt-secret", "short")]);
        assert_eq!(reasons(&world), [Reason::SecretInvalid]);
        secret(&mut world, "files-jwt-secret", &[("other", "x")]);
        assert_eq!(reasons(&world), [Reason::SecretKeyMissing]);
    }

    #[test]
    fn what_the_running_server_uses_keeps_the_pod_as_it_is() {
        let tls = json!({"adapters": {"nfs": {"tls": {"secretName": "cert"}}}});
        let kerberos = json!({"identity": {"kerberos": {"enabled": true, "servicePrincipal": "nfs/x@Y",
            "keytabSecretRef": {"name": "kt", "key": "k"}}}});
        let row = json!({"adapters": [{"type": "nfs", "enabled": true, "healthy": true, "tlsSecret": "cert"}]});
        let latch = json!({"pushed": [{"what": KERBEROS_IN_USE, "secretUID": "u", "resourceVersion": "1"}]});
        let nothing = json!({});
        for (spec, status, used) in [
            (&nothing, &row, true),
            (&tls, &row, false),
            (&nothing, &nothing, false),
            (&nothing, &latch, true),
            (&kerberos, &latch, false),
        ] {
            let mut world = provisioned(spec.clone());
            secret(&mut world, "cert", &[("tls.crt", "c"), ("tls.key", "k")]);
            secret(&mut world, "kt", &[("k", "k")]);
            let mut server = DittoServer::clone(&world.server);
            server.status = serde_json::from_value(status.clone()).unwrap();
            world.server = Arc::new(server);
            let validated = validate(&world).unwrap();
            assert_eq!(validated.digest.is_none(), used, "{spec} {status}");
            let expected: &[Reason] = if used { &[Reason::StillInUse] } else { &[] };
            assert_eq!(reasons(&world), expected, "{spec} {status}");
        }
    }

    #[test]
    fn no_problem_message_holds_a_value() {
        let mut world = provisioned(json!({}));
        secret(&mut world, "files-jwt-secret", &[("jwt-secret", "hunter2")]);
        for problem in validate(&world).unwrap().problems {
            assert!(!problem.message.contains("hunter2"));
        }
    }

    #[test]
    fn a_secret_of_somebody_else_with_a_generated_name_is_not_used() {
        let mut world = provisioned(json!({}));
        let Some(SecretState::Present(found)) = world.secrets.get_mut("files-jwt-secret") else {
            panic!("the Secret is there");
        };
        Arc::make_mut(found).object.metadata.labels = None;
        assert_eq!(reasons(&world), [Reason::NameConflict]);
    }

    #[test]
    fn a_secret_that_may_not_be_read_is_not_a_missing_one() {
        let mut world = provisioned(json!({}));
        world.secrets.insert(
            "files-jwt-secret".to_owned(),
            SecretState::Refused("no".to_owned()),
        );
        let validated = validate(&world).unwrap();
        assert_eq!(validated.make, []);
        assert_eq!(reasons(&world), [Reason::InputUnreadable]);
    }

    #[test]
    fn the_digest_follows_a_rotated_token_key_and_not_the_first_password() {
        let digest = |world: &Observed| validate(world).unwrap().digest;
        let mut world = provisioned(json!({}));
        let before = digest(&world);
        secret(
            &mut world,
            "files-admin-bootstrap-credentials",
            &[("password", "another-password")],
        );
        assert_eq!(digest(&world), before);
        secret(
            &mut world,
            "files-jwt-secret",
            &[("jwt-secret", &"j".repeat(43))],
        );
        assert_ne!(digest(&world), before);
    }

    #[test]
    fn an_adapter_on_a_port_of_the_server_itself_is_a_problem_while_it_is_on() {
        let problems = |spec: serde_json::Value, enabled: bool| {
            let mut world = provisioned(spec);
            crate::testing::adapter(&mut world, 12049, enabled);
            reasons(&world)
        };
        let api = json!({"controlPlane": {"port": 12049}});
        assert_eq!(problems(api.clone(), true), [Reason::PortConflict]);
        assert_eq!(problems(api, false), []);
        let metrics = |enabled| json!({"metrics": {"enabled": enabled, "port": 12049}});
        assert_eq!(problems(metrics(true), true), [Reason::PortConflict]);
        assert_eq!(problems(metrics(false), true), []);
        assert_eq!(problems(json!({}), true), []);
    }

    #[test]
    fn a_password_that_a_person_put_back_is_used_while_data_exists() {
        let mut world = provisioned(json!({}));
        let Some(SecretState::Present(found)) =
            world.secrets.get_mut("files-admin-bootstrap-credentials")
        else {
            panic!("the Secret is there");
        };
        Arc::make_mut(found).object.metadata.labels = None;
        assert_eq!(
            reasons(&world),
            [Reason::NameConflict],
            "without data it is somebody else's"
        );
        left_claim(&mut world);
        assert_eq!(reasons(&world), []);
    }
}
