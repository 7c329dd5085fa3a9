//! The pod that serves, read by name when it matters which files it has.

use api_types::conditions::Reason;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use controller_runtime::rest::{Sessions, Trouble};

use crate::poll::Target;

/// Name of the server's container.
const CONTAINER: &str = "dittofs";

/// Whether the pod of `target` serves, and has the Secret `secret` as files under `path`. The server
/// must not be told of files that it does not have: NFS would not be served without its certificate,
/// and with Kerberos the server would not start again without its keytab.
pub(super) async fn has_files(
    tools: &Sessions,
    target: &Target,
    path: &str,
    secret: &str,
) -> Result<bool, Trouble> {
    let api: Api<Pod> = Api::namespaced(tools.client.clone(), &target.namespace);
    let name = &target.api.pod_name;
    match api.get_opt(name).await {
        Ok(pod) => Ok(pod.is_some_and(|pod| serves(&pod) && mounts(&pod, path, secret))),
        Err(error) => {
            tracing::debug!(%error, "the pod cannot be read");
            Err(Trouble::new(
                Reason::InputUnreadable,
                format!(
                    "The API server does not give pod {name} to the adapter-controller: is the role dittofs-adapter-controller bound in this namespace?"
                ),
            ))
        }
    }
}

fn serves(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    let mut conditions = conditions.flatten();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn mounts(pod: &Pod, path: &str, secret: &str) -> bool {
    let Some(spec) = &pod.spec else {
        return false;
    };
    let container = spec.containers.iter().find(|one| one.name == CONTAINER);
    let mounts = container.into_iter().flat_map(|one| &one.volume_mounts);
    let mount = mounts.flatten().find(|mount| mount.mount_path == path);
    let mut volumes = spec.volumes.iter().flatten();
    let volume = mount.and_then(|mount| volumes.find(|volume| volume.name == mount.name));
    let source = volume.and_then(|volume| volume.secret.as_ref());
    source.is_some_and(|source| source.secret_name.as_deref() == Some(secret))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(more: Value) -> Pod {
        let mut pod = json!({
            "metadata": {"name": "files-0"},
            "spec": {
                "containers": [
                    {"name": "sidecar", "volumeMounts": [{"name": "other", "mountPath": "/nfs-tls"}]},
                    {"name": "dittofs", "volumeMounts": [{"name": "nfs-tls", "mountPath": "/nfs-tls"}]},
                ],
                "volumes": [{"name": "nfs-tls", "secret": {"secretName": "cert"}},
                    {"name": "other", "secret": {"secretName": "else"}}],
            },
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        pod.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn only_the_servers_own_container_counts_and_only_while_it_serves() {
        let ready = pod(json!({}));
        assert!(serves(&ready) && mounts(&ready, "/nfs-tls", "cert"));
        assert!(!mounts(&ready, "/nfs-tls", "else"));
        assert!(!mounts(&ready, "/kerberos", "cert"));
        assert!(!serves(&pod(json!({"status": {}}))));
        let leaving = json!({"name": "files-0", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        assert!(!serves(&pod(json!({ "metadata": leaving }))));
    }
}
