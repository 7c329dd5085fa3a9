//! Our account in the server.
//!
//! Its password is made here and lies in a Secret; nothing else is stored. The account is made, and
//! mended, as the administrator. A person who disables it has the last word.

use adapter_client::{
    Account, Client as RestClient, Denial, Error, NewUser, Refusal, Role, User, UserChange,
};
use api_types::conditions::Reason;
use base64::Engine;
use k8s_openapi::api::core::v1::Secret;
use secrecy::SecretString;

use super::{Open, Sessions, Site, Trouble, secrets, trouble};

/// The account that a controller has in every server.
#[derive(Clone, Copy, Debug)]
pub struct OwnAccount {
    /// Its name.
    pub user: &'static str,
    /// The controller whose it is.
    pub controller: &'static str,
    /// Name of the Secret with its password, from the server's.
    pub secret: fn(&str) -> String,
}

/// Key of the password in our Secret.
const PASSWORD_KEY: &str = "password";

/// The answer to `ask`, asked with our account. When the account does not work it is made, or mended,
/// once; when its role is not `role` it gets that.
///
/// # Errors
/// When the account does not work and cannot be mended, or the call fails.
pub async fn ask<T>(
    sessions: &Sessions,
    site: &Site<'_>,
    open: &mut Open,
    role: &Role,
    ask: impl AsyncFn(&RestClient) -> Result<T, Error>,
) -> Result<T, Trouble> {
    let first = ask(&open.account).await;
    let mend = match &first {
        Ok(_) if open.account.user().is_none_or(|user| user.role == *role) => None,
        Ok(_) => Some(Mend::Role),
        Err(Error::Unauthorized {
            refusal: Refusal::Password,
            ..
        }) => Some(Mend::Password),
        Err(Error::Forbidden {
            denial: Denial::MustChangePassword,
            ..
        }) => Some(Mend::Password),
        Err(Error::Forbidden {
            denial: Denial::Role,
            ..
        }) => Some(Mend::Role),
        Err(_) => None,
    };
    let Some(mend) = mend else {
        return first.map_err(|error| trouble::of(&error));
    };
    if !site.may_write {
        return match first {
            // Another role than needed is no reason not to look.
            Ok(answer) => Ok(answer),
            Err(_) => Err(Trouble::new(
                Reason::Paused,
                "The account does not work, and writes are stopped by the annotation dittofs.io/paused: remove it to have the account mended.",
            )),
        };
    }
    let password = password(sessions, site).await?;
    let admin = admin(sessions, site, &open.anonymous).await?;
    establish(&admin, sessions.account, &password, role, mend)
        .await
        .map_err(|error| trouble::of_admin(&error, &admin_secret(site)))?;
    // The role is part of the token, and a refused password is remembered: both begin anew.
    open.account = open
        .anonymous
        .with_account(Account::new(sessions.account.user, password));
    let second = ask(&open.account).await;
    second.map_err(|error| trouble::of(&error))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mend {
    /// The account may not exist, or has another password.
    Password,
    /// Only its role is another one.
    Role,
}

/// The administrator, with the password of the Secret that the server-controller names.
///
/// # Errors
/// When the password cannot be had.
pub async fn admin(
    sessions: &Sessions,
    site: &Site<'_>,
    anonymous: &RestClient,
) -> Result<RestClient, Trouble> {
    let Some(reference) = &site.api.admin_secret_ref else {
        return Err(Trouble::new(
            Reason::SecretMissing,
            "status.api names no Secret with the administrator's password: is the server-controller running?",
        ));
    };
    let password = secrets::value(sessions, site, reference).await?;
    let password = String::from_utf8(password).map_err(|_| {
        Trouble::new(
            Reason::SecretInvalid,
            format!("The password in Secret {} is not text.", reference.name),
        )
    })?;
    Ok(anonymous.with_account(Account::new("admin", SecretString::from(password))))
}

/// Name of that Secret.
#[must_use]
pub fn admin_secret(site: &Site<'_>) -> String {
    let reference = site.api.admin_secret_ref.as_ref();
    reference
        .map(|reference| reference.name.0.clone())
        .unwrap_or_default()
}

/// Makes the account, or gives an existing one the password and the role.
///
/// An administrator is made as a plain user first and raised afterwards: then it need not change its
/// password before it may do anything (server contract 3.3).
async fn establish(
    admin: &RestClient,
    own: OwnAccount,
    password: &SecretString,
    role: &Role,
    mend: Mend,
) -> Result<(), Error> {
    let users = admin.users();
    let name = own.user;
    let user = match users.get(name).await {
        Ok(user) => user,
        Err(error) if error.is_not_found() => {
            let mut new = NewUser::new(name, password.clone());
            new.role = match role {
                Role::Admin => Role::User,
                other => other.clone(),
            };
            new.display_name = format!("{} of the Kubernetes operator", own.controller);
            let made = users.create(&new).await?;
            return raise(admin, &made, role).await;
        }
        Err(error) => return Err(error),
    };
    let user = if mend == Mend::Password {
        let lowered = match user.role {
            Role::Admin => users.update(name, &to(Role::User)).await?,
            _ => user,
        };
        users.set_password(name, password).await?;
        lowered
    } else {
        user
    };
    raise(admin, &user, role).await
}

async fn raise(admin: &RestClient, user: &User, role: &Role) -> Result<(), Error> {
    if user.role != *role {
        let name = &user.username;
        admin.users().update(name, &to(role.clone())).await?;
    }
    Ok(())
}

fn to(role: Role) -> UserChange {
    UserChange {
        role: Some(role),
        ..UserChange::default()
    }
}

/// The password of our account; made, and stored by POST, when there is none yet.
pub(super) async fn password(
    sessions: &Sessions,
    site: &Site<'_>,
) -> Result<SecretString, Trouble> {
    let name = (sessions.account.secret)(site.instance.name);
    if let Some(secret) = secrets::find(sessions, site, &name).await? {
        return stored(&secret, site, &name);
    }
    if !site.may_write {
        return Err(Trouble::new(
            Reason::Paused,
            "There is no account yet, and writes are stopped by the annotation dittofs.io/paused: remove it.",
        ));
    }
    let secret = made(sessions.account, site)?;
    let created = sessions.applier.create_unwatched(&secret).await;
    let refused = |error: crate::ApplyError| {
        Trouble::new(
            Reason::ChildRefused,
            format!("Secret {name} cannot be made: {error}."),
        )
    };
    match created.map_err(refused)? {
        Some(secret) => stored(&secret, site, &name),
        // Somebody was quicker.
        None => stored(&secrets::read(sessions, site, &name).await?, site, &name),
    }
}

fn stored(secret: &Secret, site: &Site<'_>, name: &str) -> Result<SecretString, Trouble> {
    if !site.instance.owns(secret) {
        return Err(Trouble::new(
            Reason::NameConflict,
            format!(
                "Secret {name} is not of this server and is left untouched: rename or remove it, or give the DittoServer another name."
            ),
        ));
    }
    let value = secrets::key(secret, name, PASSWORD_KEY)?;
    let text = String::from_utf8(value).ok();
    // The bounds of the server (server contract 3.4).
    text.filter(|text| (8..=72).contains(&text.len()))
        .map(SecretString::from)
        .ok_or_else(|| {
            Trouble::new(
                Reason::SecretInvalid,
                format!(
                    "The password in Secret {name} does not have 8 to 72 characters: delete the Secret, it is made again."
                ),
            )
        })
}

fn made(own: OwnAccount, site: &Site<'_>) -> Result<Secret, Trouble> {
    let mut bytes = [0_u8; 24];
    getrandom::fill(&mut bytes).map_err(|error| {
        Trouble::new(
            Reason::ChildRefused,
            format!("The system gives no random bytes: {error}."),
        )
    })?;
    let password = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    Ok(resources::account_credentials(
        &site.instance,
        (own.secret)(site.instance.name),
        &SecretString::from(password),
    ))
}

#[cfg(test)]
mod tests {
    use api_types::names;
    use api_types::v1alpha1::ApiStatus;

    use super::*;

    const OWN: OwnAccount = OwnAccount {
        user: "dittofs-adapter-controller",
        controller: "adapter-controller",
        secret: names::adapter_credentials,
    };

    #[test]
    fn a_secret_that_an_orphaning_deletion_left_is_taken_up_and_one_of_others_is_not() {
        let spec = serde_json::json!({"storage": {"metadataSize": "1Gi"}});
        let spec = serde_json::from_value(spec).unwrap();
        let site = Site {
            instance: resources::Instance {
                name: "files",
                namespace: "media",
                uid: "u",
                spec: &spec,
            },
            api: &ApiStatus::default(),
            may_write: true,
        };
        let name = names::adapter_credentials("files");
        let ours = made(OWN, &site).unwrap();
        // As the API server would return it.
        let data = ours.string_data.clone().unwrap_or_default().into_iter();
        let data = data.map(|(key, value)| (key, k8s_openapi::ByteString(value.into_bytes())));
        let mut secret = ours.clone();
        secret.data.get_or_insert_default().extend(data);
        assert!(stored(&secret, &site, &name).is_ok());
        secret.metadata.owner_references = None;
        assert!(
            stored(&secret, &site, &name).is_ok(),
            "left without an owner"
        );
        secret.metadata.labels = None;
        let refused = stored(&secret, &site, &name).map(|_| ()).unwrap_err();
        assert_eq!(refused.reason, Reason::NameConflict);
    }
}
