//! The ServiceAccount as which the controllers of a test run: least privilege, one namespace.

use anyhow::{Context, Result};
use api_types::v1alpha1::GROUP;
use controller_runtime::{Layers, client_from};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::PostParams;
use kube::{Api, Client, Config};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::until;

/// Name of the ServiceAccount of the server-controller.
pub(crate) const ACCOUNT: &str = "server-controller";
/// Name of the ServiceAccount of the adapter-controller.
const ADAPTERS: &str = "adapter-controller";
/// Name of the ServiceAccount of the share-controller.
const SHARES: &str = "share-controller";

/// An account that holds the generated role in one namespace.
#[derive(Clone)]
pub struct Identity {
    /// User name, as the audit log has it.
    pub user: String,
    config: Config,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Identity")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Makes the server-controller's account in `namespace`, binds it to the generated role and waits
    /// until the API server grants it.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn create(admin: &Client, config: &Config, namespace: &str) -> Result<Self> {
        let role = server_controller::rbac::NAME;
        Self::bound(admin, config, namespace, (ACCOUNT, role)).await
    }

    /// As [`Identity::create`], for the adapter-controller. Beside its role it may forward ports to
    /// pods: the tests run outside the cluster.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn of_adapters(admin: &Client, config: &Config, namespace: &str) -> Result<Self> {
        let role = adapter_controller::rbac::NAME;
        Self::that_forwards(admin, config, namespace, (ADAPTERS, role)).await
    }

    /// As [`Identity::of_adapters`], for the share-controller.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn of_shares(admin: &Client, config: &Config, namespace: &str) -> Result<Self> {
        let role = share_controller::rbac::NAME;
        Self::that_forwards(admin, config, namespace, (SHARES, role)).await
    }

    /// Gives the share-controller's account its role in another namespace too.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn also_in(&self, admin: &Client, namespace: &str) -> Result<()> {
        let subject = self.subject()?;
        let binding = json!({
            "metadata": {"name": format!("{SHARES}-of-another")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": share_controller::rbac::NAME},
            "subjects": [subject],
        });
        let binding: RoleBinding = serde_json::from_value(binding)?;
        Api::namespaced(admin.clone(), namespace)
            .create(&PostParams::default(), &binding)
            .await?;
        let shares = json!({"namespace": namespace, "verb": "patch", "group": GROUP, "resource": "dittofsshares", "subresource": "status"});
        may(admin, &self.user, namespace, shares).await
    }

    /// The account as the subject of a binding.
    ///
    /// # Errors
    /// When it is no ServiceAccount.
    pub fn subject(&self) -> Result<Value> {
        let (namespace, name) = self
            .user
            .strip_prefix("system:serviceaccount:")
            .and_then(|user| user.split_once(':'))
            .context("no ServiceAccount")?;
        Ok(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}))
    }

    async fn that_forwards(
        admin: &Client,
        config: &Config,
        namespace: &str,
        (account_name, role): (&str, &str),
    ) -> Result<Self> {
        let identity = Self::bound(admin, config, namespace, (account_name, role)).await?;
        let forwarding = format!("{account_name}-forwards-ports");
        let role: Role = serde_json::from_value(json!({
            "metadata": {"name": forwarding},
            "rules": [{"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]}],
        }))?;
        Api::namespaced(admin.clone(), namespace)
            .create(&PostParams::default(), &role)
            .await?;
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {"name": forwarding},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": forwarding},
            "subjects": [identity.subject()?],
        }))?;
        Api::namespaced(admin.clone(), namespace)
            .create(&PostParams::default(), &binding)
            .await?;
        let forward = json!({"namespace": namespace, "verb": "create", "group": "", "resource": "pods", "subresource": "portforward"});
        may(admin, &identity.user, namespace, forward).await?;
        Ok(identity)
    }

    async fn bound(
        admin: &Client,
        config: &Config,
        namespace: &str,
        (account_name, role): (&str, &str),
    ) -> Result<Self> {
        let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), namespace);
        let account = serde_json::from_value(json!({"metadata": {"name": account_name}}))?;
        accounts.create(&PostParams::default(), &account).await?;
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {"name": account_name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account_name, "namespace": namespace}],
        }))?;
        Api::namespaced(admin.clone(), namespace)
            .create(&PostParams::default(), &binding)
            .await?;
        let request: TokenRequest = serde_json::from_value(json!({"spec": {"audiences": []}}))?;
        let token = accounts
            .create_token_request(account_name, &PostParams::default(), &request)
            .await?
            .status
            .context("no token was given")?
            .token;
        let user = format!("system:serviceaccount:{namespace}:{account_name}");
        granted(admin, &user, namespace).await?;
        let mut config = config.clone();
        config.auth_info = kube::config::AuthInfo::default();
        config.auth_info.token = Some(SecretString::from(token));
        Ok(Identity { user, config })
    }

    /// A client of this account, as a controller would make it.
    ///
    /// # Errors
    /// When the configuration is unusable.
    pub fn client(&self, layers: Layers) -> Result<Client> {
        Ok(client_from(
            self.config.clone(),
            "dittofs-controller-tests",
            layers,
        )?)
    }
}

/// Waits until the ServiceAccount `user` has the controller's role in `namespace`.
///
/// # Errors
/// When it never has.
pub async fn granted(admin: &Client, user: &str, namespace: &str) -> Result<()> {
    let secrets =
        json!({"namespace": namespace, "verb": "create", "group": "", "resource": "secrets"});
    may(admin, user, namespace, secrets).await
}

/// Waits until the ServiceAccount `user` of `namespace` may do what `attributes` say: the
/// authorizer hears of a new binding a little later than its maker.
///
/// # Errors
/// When it never may.
pub async fn may(admin: &Client, user: &str, namespace: &str, attributes: Value) -> Result<()> {
    let reviews: Api<SubjectAccessReview> = Api::all(admin.clone());
    let review: SubjectAccessReview = serde_json::from_value(json!({"spec": {
        "user": user,
        "groups": ["system:authenticated", "system:serviceaccounts", format!("system:serviceaccounts:{namespace}")],
        "resourceAttributes": attributes,
    }}))?;
    until("the role is granted", async || {
        let status = reviews
            .create(&PostParams::default(), &review)
            .await?
            .status
            .context("a review without status")?;
        Ok(if status.allowed {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        })
    })
    .await
}
