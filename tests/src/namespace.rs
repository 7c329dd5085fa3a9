//! A namespace of a test's own.

use anyhow::Result;
use k8s_openapi::api::core::v1::{Namespace, Pod, ResourceQuota};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::until;

/// Whether pods run in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pods {
    /// None is created: a quota refuses them. Everything else, claims included, is as usual.
    None,
    /// They run, under the Pod Security Standard `restricted`.
    Run,
}

/// Makes the namespace `name`, which enforces `restricted`.
///
/// # Errors
/// When the API server does not take it.
pub async fn create(admin: &Client, name: &str, pods: Pods) -> Result<()> {
    let namespace: Namespace = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {
            "pod-security.kubernetes.io/enforce": "restricted",
            "dittofs.test/namespace": "true",
        }},
    }))?;
    Api::all(admin.clone())
        .create(&PostParams::default(), &namespace)
        .await?;
    if pods == Pods::None {
        let quota: ResourceQuota = serde_json::from_value(json!({
            "metadata": {"name": "no-pods"},
            "spec": {"hard": {"pods": "0"}},
        }))?;
        Api::namespaced(admin.clone(), name)
            .create(&PostParams::default(), &quota)
            .await?;
        refuses_pods(admin, name).await?;
    }
    Ok(())
}

/// Waits until the quota holds: the API server hears of a new one a little later than its maker.
async fn refuses_pods(admin: &Client, namespace: &str) -> Result<()> {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"generateName": "quota-"},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "none", "image": "none", "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
            }}],
        },
    }))?;
    let pods: Api<Pod> = Api::namespaced(admin.clone(), namespace);
    let rehearsal = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    until("the quota refuses pods", async || {
        Ok(match pods.create(&rehearsal, &pod).await {
            Err(kube::Error::Api(status)) if status.message.contains("exceeded quota") => Ok(()),
            other => Err(format!("{:?}", other.err())),
        })
    })
    .await
}

/// Asks for the deletion of the namespace and does not wait for it.
///
/// # Errors
/// When the API server does not take it.
pub async fn delete(admin: &Client, name: &str) -> Result<()> {
    let api: Api<Namespace> = Api::all(admin.clone());
    api.delete(name, &DeleteParams::background()).await?;
    Ok(())
}
