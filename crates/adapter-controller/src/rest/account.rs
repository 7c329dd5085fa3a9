//! Our account in the server.
//!
//! Its password is made here and lies in a Secret; nothing else is stored. The account is made, and
//! mended, as the administrator. A person who disables it has the last word.

use adapter_client::{
    Account, Adapter, Client as RestClient, Denial, Error, NewUser, Refusal, Role, User, UserChange,
};
use api_types::DittoServer;
use api_types::conditions::Reason;
use api_types::names;
use base64::Engine;
use k8s_openapi::api::core::v1::Secret;
use kube::Resource;
use secrecy::SecretString;

use super::{Open, Tools, secrets, trouble};
use crate::poll::{Target, Trouble};

/// Name of our account in every server.
pub const USER: &str = "dittofs-adapter-controller";

/// Key of the password in our Secret.
const PASSWORD_KEY: &str = "password";

/// The adapters, asked for with our account. When the account does not work it is made, or mended,
/// once; when its role is not `role` it gets that.
pub(super) async fn list(
    tools: &Tools,
    target: &Target,
    open: &mut Open,
    role: &Role,
) -> Result<Vec<Adapter>, Trouble> {
    let first = open.account.adapters().list().await;
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
    if !target.may_write {
        return match first {
            // Another role than needed is no reason not to look.
            Ok(adapters) => Ok(adapters),
            Err(_) => Err(Trouble::new(
                Reason::Paused,
                "The account does not work, and writes are stopped by the annotation dittofs.io/paused: remove it to have the account mended.",
            )),
        };
    }
    let password = password(tools, target).await?;
    let admin = admin(tools, target, &open.anonymous).await?;
    establish(&admin, &password, role, mend)
        .await
        .map_err(|error| trouble::of_admin(&error, &admin_secret(target)))?;
    // The role is part of the token, and a refused password is remembered: both begin anew.
    open.account = open.anonymous.with_account(Account::new(USER, password));
    let second = open.account.adapters().list().await;
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
pub(super) async fn admin(
    tools: &Tools,
    target: &Target,
    anonymous: &RestClient,
) -> Result<RestClient, Trouble> {
    let Some(reference) = &target.api.admin_secret_ref else {
        return Err(Trouble::new(
            Reason::SecretMissing,
            "status.api names no Secret with the administrator's password: is the server-controller running?",
        ));
    };
    let password = secrets::value(tools, target, reference).await?;
    let password = String::from_utf8(password).map_err(|_| {
        Trouble::new(
            Reason::SecretInvalid,
            format!("The password in Secret {} is not text.", reference.name),
        )
    })?;
    Ok(anonymous.with_account(Account::new("admin", SecretString::from(password))))
}

pub(super) fn admin_secret(target: &Target) -> String {
    let reference = target.api.admin_secret_ref.as_ref();
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
    password: &SecretString,
    role: &Role,
    mend: Mend,
) -> Result<(), Error> {
    let users = admin.users();
    let user = match users.get(USER).await {
        Ok(user) => user,
        Err(error) if error.is_not_found() => {
            let mut new = NewUser::new(USER, password.clone());
            new.role = match role {
                Role::Admin => Role::User,
                other => other.clone(),
            };
            new.display_name = "adapter-controller of the Kubernetes operator".to_owned();
            let made = users.create(&new).await?;
            return raise(admin, &made, role).await;
        }
        Err(error) => return Err(error),
    };
    let user = if mend == Mend::Password {
        let lowered = match user.role {
            Role::Admin => users.update(USER, &to(Role::User)).await?,
            _ => user,
        };
        users.set_password(USER, password).await?;
        lowered
    } else {
        user
    };
    raise(admin, &user, role).await
}

async fn raise(admin: &RestClient, user: &User, role: &Role) -> Result<(), Error> {
    if user.role != *role {
        admin.users().update(USER, &to(role.clone())).await?;
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
pub(super) async fn password(tools: &Tools, target: &Target) -> Result<SecretString, Trouble> {
    let name = names::adapter_credentials(&target.name);
    if let Some(secret) = secrets::find(tools, target, &name).await? {
        return stored(&secret, target, &name);
    }
    if !target.may_write {
        return Err(Trouble::new(
            Reason::Paused,
            "There is no account yet, and writes are stopped by the annotation dittofs.io/paused: remove it.",
        ));
    }
    let secret = made(target)?;
    let created = tools.applier.create_unwatched(&secret).await;
    let refused = |error: controller_runtime::ApplyError| {
        Trouble::new(
            Reason::ChildRefused,
            format!("Secret {name} cannot be made: {error}."),
        )
    };
    match created.map_err(refused)? {
        Some(secret) => stored(&secret, target, &name),
        // Somebody was quicker.
        None => stored(&secrets::read(tools, target, &name).await?, target, &name),
    }
}

fn stored(secret: &Secret, target: &Target, name: &str) -> Result<SecretString, Trouble> {
    if !instance(&server(target)).owns(secret) {
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

fn made(target: &Target) -> Result<Secret, Trouble> {
    let mut bytes = [0_u8; 24];
    getrandom::fill(&mut bytes).map_err(|error| {
        Trouble::new(
            Reason::ChildRefused,
            format!("The system gives no random bytes: {error}."),
        )
    })?;
    let password = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let server = server(target);
    Ok(resources::adapter_credentials(
        &instance(&server),
        &SecretString::from(password),
    ))
}

/// The server of a target, as far as its children need it.
fn server(target: &Target) -> DittoServer {
    let mut server: DittoServer = DittoServer::new(&target.name, (*target.spec).clone());
    server.meta_mut().namespace = Some(target.namespace.clone());
    server.meta_mut().uid = Some(target.uid.clone());
    server
}

fn instance(server: &DittoServer) -> resources::Instance<'_> {
    resources::Instance::of(server).expect("a target has a name, a namespace and a UID")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_an_orphaning_deletion_left_is_taken_up_and_one_of_others_is_not() {
        let target = crate::poll::target("files");
        let name = names::adapter_credentials("files");
        let ours = made(&target).unwrap();
        // As the API server would return it.
        let data = ours.string_data.clone().unwrap_or_default().into_iter();
        let data = data.map(|(key, value)| (key, k8s_openapi::ByteString(value.into_bytes())));
        let mut secret = ours.clone();
        secret.data.get_or_insert_default().extend(data);
        assert!(stored(&secret, &target, &name).is_ok());
        secret.metadata.owner_references = None;
        assert!(
            stored(&secret, &target, &name).is_ok(),
            "left without an owner"
        );
        secret.metadata.labels = None;
        let refused = stored(&secret, &target, &name).map(|_| ()).unwrap_err();
        assert_eq!(refused.reason, Reason::NameConflict);
    }
}
