//! What the Go operator left in a server that was taken over: its account, and the Secret with it.
//!
//! Removed last, when the server's Services are ours, so that going back stays possible until then.
//! Best effort: a left-over account does no harm.

use adapter_client::{Client as RestClient, Error};
use api_types::names;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, ResourceExt};

use controller_runtime::rest::{Sessions, Trouble, account, secrets, trouble};

use crate::poll::Target;

/// The account's name, unless the Secret has another.
const USER: &str = "k8s-operator";

/// Key of the account's name in the Secret.
const USERNAME_KEY: &str = "username";

/// Most looks that are let pass between two attempts.
const MOST_LOOKS: u32 = 64;

/// What is known of the leftovers of one server.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    gone: bool,
    attempts: u32,
    looks: u32,
}

impl Leftover {
    /// Something changed: what failed may go well now.
    pub(super) fn look_again(&mut self) {
        self.looks = 0;
    }

    /// Removes what is left, if it is time to try.
    pub(super) async fn remove(
        &mut self,
        tools: &Sessions,
        target: &Target,
        anonymous: &RestClient,
    ) {
        if self.gone {
            return;
        }
        if self.looks > 0 {
            self.looks -= 1;
            return;
        }
        match remove(tools, target, anonymous).await {
            Ok(()) => self.gone = true,
            Err(trouble) => {
                self.looks = (1 << self.attempts.min(6)).min(MOST_LOOKS);
                self.attempts = self.attempts.saturating_add(1);
                tracing::info!(
                    reason = trouble.reason.as_str(),
                    "the account of the Go operator is still there: {}",
                    trouble.message
                );
            }
        }
    }
}

async fn remove(tools: &Sessions, target: &Target, anonymous: &RestClient) -> Result<(), Trouble> {
    let name = names::predecessor_account_secret(&target.name);
    let Some(secret) = secrets::find(tools, &target.site(), &name).await? else {
        return Ok(());
    };
    let mut owners = secret.owner_references().iter();
    if !owners.any(|owner| owner.uid == target.uid) {
        // Of another server, or of a person.
        return Ok(());
    }
    let user = secrets::key(&secret, &name, USERNAME_KEY).ok();
    let user = user.and_then(|user| String::from_utf8(user).ok());
    let user = user.as_deref().unwrap_or(USER);
    if user != "admin" && user != tools.account.user {
        let admin = account::admin(tools, &target.site(), anonymous).await?;
        match admin.users().delete(user).await {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => {
                return Err(trouble::of_admin(
                    &error,
                    &account::admin_secret(&target.site()),
                ));
            }
        }
    }
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: secret.uid(),
            resource_version: secret.resource_version(),
        }),
        ..DeleteParams::background()
    };
    let api: Api<Secret> = Api::namespaced(tools.client.clone(), &target.namespace);
    match api.delete(&name, &parameters).await {
        Ok(_) => {
            tracing::info!(user, "the account of the Go operator is removed");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(secrets::unreadable(tools.account.controller, &name, &error)),
    }
}
