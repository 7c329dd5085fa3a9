//! The server's environment: every secret value, by reference (server contract 1.3), and what the
//! spec adds.

use api_types::names;
use api_types::reference::SecretKeyRef;
use api_types::v1alpha1::Identity;
use configgen::{JWT_KEY, PASSWORD_KEY};
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, SecretKeySelector};
use percona_bridge::{Origin, Variable, Wiring};

use crate::{Instance, extras};

/// The variables of the server's container, in a fixed order.
pub(crate) fn environment(instance: &Instance<'_>, database: &Wiring) -> Vec<EnvVar> {
    let identity = instance.spec.identity.clone().unwrap_or_default();
    let Identity {
        kind: _,
        jwt,
        admin,
        ldap,
        kerberos,
    } = identity;
    let jwt = jwt
        .and_then(|jwt| jwt.secret_ref)
        .unwrap_or_else(|| SecretKeyRef::new(names::jwt_secret(instance.name), JWT_KEY));
    let admin = admin
        .and_then(|admin| admin.password_secret_ref)
        .unwrap_or_else(|| SecretKeyRef::new(names::admin_secret(instance.name), PASSWORD_KEY));
    let mut variables = vec![
        from_secret("DITTOFS_CONTROLPLANE_SECRET", &jwt, true),
        // A seed of the first start: a pod whose server knows its accounts starts without it.
        from_secret("DITTOFS_ADMIN_INITIAL_PASSWORD", &admin, false),
    ];
    variables.extend(database.variables.iter().map(of_database));
    if let Some(password) = ldap
        .filter(|ldap| ldap.enabled == Some(true))
        .and_then(|ldap| ldap.bind_password_secret_ref)
    {
        variables.push(from_secret("DITTOFS_LDAP_BIND_PASSWORD", &password, false));
    }
    if let Some(secret) = kerberos
        .filter(|kerberos| kerberos.enabled == Some(true))
        .and_then(|kerberos| kerberos.machine_account)
        .filter(|account| account.enabled == Some(true))
        .and_then(|account| account.secret_ref)
    {
        variables.push(from_secret(
            "DITTOFS_KERBEROS_MACHINE_ACCOUNT_SECRET",
            &secret,
            true,
        ));
    }
    for added in instance.spec.pod.iter().flat_map(|pod| &pod.env) {
        if variables.iter().all(|ours| ours.name != added.name) {
            variables.push(extras::variable(added.clone()));
        }
    }
    variables
}

fn of_database(variable: &Variable) -> EnvVar {
    let Variable { name, origin } = variable;
    match origin {
        Origin::Secret {
            reference,
            optional,
        } => from_secret(name, reference, !optional),
        Origin::Text(text) => EnvVar {
            name: (*name).to_owned(),
            value: Some(text.clone()),
            ..EnvVar::default()
        },
    }
}

fn from_secret(variable: &str, reference: &SecretKeyRef, required: bool) -> EnvVar {
    EnvVar {
        name: variable.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: reference.name.0.clone(),
                key: reference.key.0.clone(),
                optional: (!required).then_some(true),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}
