//! Who the controller is: a ServiceAccount of its own with the role that is shipped.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cluster_tests::{Pods, namespace};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::PostParams;
use kube::config::Kubeconfig;
use kube::{Api, Client};
use serde_json::json;

/// Namespace of the accounts.
const PLACE: &str = "bench-operator";

/// Lifetime of its token in seconds: longer than any run.
const LIFETIME: i64 = 4 * 3600;

pub(crate) struct Account {
    /// User name, as the audit log has it.
    pub(crate) user: String,
    /// What it logs in with.
    pub(crate) kubeconfig: PathBuf,
}

impl Account {
    /// Makes the namespace of the accounts.
    pub(crate) async fn place(admin: &Client) -> Result<()> {
        namespace::create(admin, PLACE, Pods::None).await
    }

    /// An account called `name` with the role `role`.
    pub(crate) async fn create(
        admin: &Client,
        scratch: &Path,
        name: &str,
        role: &str,
    ) -> Result<Self> {
        let place = PLACE;
        let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), place);
        let account = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        accounts.create(&PostParams::default(), &account).await?;
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": {"name": format!("{place}-{name}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": place}],
        }))?;
        Api::all(admin.clone())
            .create(&PostParams::default(), &binding)
            .await?;
        let request: TokenRequest = serde_json::from_value(
            json!({"spec": {"audiences": [], "expirationSeconds": LIFETIME}}),
        )?;
        let token = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await?
            .status
            .context("no token was given")?
            .token;
        let kubeconfig = scratch.join(format!("kubeconfig-{name}"));
        write(&kubeconfig, &token)?;
        Ok(Account {
            user: format!("system:serviceaccount:{place}:{name}"),
            kubeconfig,
        })
    }
}

/// The kubeconfig of the environment with `token` in place of every other proof of identity.
fn write(file: &Path, token: &str) -> Result<()> {
    let mut config = serde_json::to_value(Kubeconfig::read()?)?;
    for user in config["users"].as_array_mut().into_iter().flatten() {
        user["user"] = json!({ "token": token });
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)?;
    // JSON is YAML.
    file.write_all(serde_json::to_string(&config)?.as_bytes())?;
    Ok(())
}
