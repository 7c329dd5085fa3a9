//! The admission policy that guards against deletion, as it is shipped.

use anyhow::{Result, ensure};
use api_types::DittoServer;
use cluster_tests::cluster::checkout;
use cluster_tests::kubectl::kubectl;
use cluster_tests::{Outcome, Pods, SERVER, World, namespace, scenario, until};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch};
use serde_json::{Value, json};

const POLICY: &str = "deploy/policies/deletion-protection.yaml";

fn annotation(value: Value) -> Patch<Value> {
    Patch::Merge(json!({"metadata": {"annotations": {"dittofs.io/deletion-protection": value}}}))
}

fn rehearsal() -> DeleteParams {
    DeleteParams {
        dry_run: true,
        ..DeleteParams::default()
    }
}

/// Installs the policy and waits until it guards the server of `world`. It guards only what carries
/// the annotation, so other tests do not notice it.
async fn installed(world: &World) -> Result<()> {
    let file = checkout().join(POLICY);
    kubectl(&["apply", "-f", &file.to_string_lossy()], "").await?;
    let servers = world.api::<DittoServer>();
    until("the policy is in force", async || {
        Ok(match servers.delete(SERVER, &rehearsal()).await {
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await
}

fn refused<T: std::fmt::Debug>(result: Result<T, kube::Error>, words: &[&str]) -> Result<()> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 403 => {
            for word in words {
                ensure!(
                    status.message.contains(word),
                    "{word:?} is not in: {}",
                    status.message
                );
            }
            Ok(())
        }
        other => anyhow::bail!("not refused: {other:?}"),
    }
}

#[test]
fn a_protected_server_cannot_be_deleted_until_the_annotation_goes() -> Outcome {
    scenario("guard", Pods::None, async |world| {
        let servers = world.api::<DittoServer>();
        let claims = world.api::<PersistentVolumeClaim>();
        world.serve(json!({})).await?;
        servers
            .patch(SERVER, &Default::default(), &annotation("true".into()))
            .await?;
        installed(world).await?;

        let remedy = format!(
            "kubectl annotate dittoservers {SERVER} -n {} dittofs.io/deletion-protection-",
            world.namespace
        );
        let result = servers.delete(SERVER, &DeleteParams::default()).await;
        refused(result, &["protected", &remedy])?;
        let every = servers
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await;
        refused(every, &["protected"])?;
        // Other changes go on, and the operator's own writes with them.
        world.change(json!({"spec": {"replicas": 0}})).await?;

        // A claim that carries the annotation is guarded too; others are not.
        let claim = |name: &str| {
            json!({"metadata": {"name": name}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}})
        };
        for name in ["guarded", "free"] {
            world
                .create_json::<PersistentVolumeClaim>(claim(name))
                .await?;
        }
        claims
            .patch("guarded", &Default::default(), &annotation("true".into()))
            .await?;
        let result = claims.delete("guarded", &DeleteParams::default()).await;
        refused(result, &["kubectl annotate persistentvolumeclaims guarded"])?;
        claims.delete("free", &DeleteParams::default()).await?;

        for value in [json!("false"), Value::Null] {
            servers
                .patch(SERVER, &Default::default(), &annotation(value))
                .await?;
            servers.delete(SERVER, &rehearsal()).await?;
        }
        servers.delete(SERVER, &DeleteParams::default()).await?;
        claims
            .patch("guarded", &Default::default(), &annotation(Value::Null))
            .await?;
        Ok(())
    })
}

/// Kubernetes deletes what a namespace holds object by object: the annotation on the server keeps
/// the server only. Its claims are kept by the annotation on the namespace.
#[test]
fn a_protected_namespace_keeps_everything_and_a_protected_server_only_itself() -> Outcome {
    scenario("guard-ns", Pods::None, async |world| {
        let namespaces: Api<Namespace> = Api::all(world.admin.clone());
        let servers = world.api::<DittoServer>();
        world.serve(json!({})).await?;
        servers
            .patch(SERVER, &Default::default(), &annotation("true".into()))
            .await?;
        installed(world).await?;
        namespaces
            .patch(
                &world.namespace,
                &Default::default(),
                &annotation("true".into()),
            )
            .await?;
        let result = namespaces
            .delete(&world.namespace, &DeleteParams::default())
            .await;
        refused(
            result,
            &[&format!(
                "kubectl annotate namespaces {} dittofs",
                world.namespace
            )],
        )?;

        // Without the annotation on the namespace the server alone is left, and the namespace says so.
        let other = World::create("guard-left", Pods::None).await?;
        let left = other.api::<DittoServer>();
        other.serve(json!({})).await?;
        let claim = json!({"metadata": {"name": "metadata-files-0"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}});
        other.create_json::<PersistentVolumeClaim>(claim).await?;
        left.patch(SERVER, &Default::default(), &annotation("true".into()))
            .await?;
        namespace::delete(&other.admin, &other.namespace).await?;
        until("the namespace says what keeps it", async || {
            let status = namespaces.get(&other.namespace).await?.status;
            let status = serde_json::to_string(&status)?;
            Ok(if status.contains("is protected") {
                Ok(())
            } else {
                Err(status)
            })
        })
        .await?;
        let server = other.server().await?;
        ensure!(server.metadata.deletion_timestamp.is_none(), "it is going");
        until("the claim is gone all the same", async || {
            let claims = other.api::<PersistentVolumeClaim>();
            let claim = claims.get_opt("metadata-files-0").await?;
            Ok(claim.map_or(Ok(()), |claim| Err(format!("{:?}", claim.metadata))))
        })
        .await?;
        left.patch(SERVER, &Default::default(), &annotation(Value::Null))
            .await?;
        for name in [&world.namespace, &other.namespace] {
            namespaces
                .patch(name, &Default::default(), &annotation(Value::Null))
                .await?;
        }
        servers
            .patch(SERVER, &Default::default(), &annotation(Value::Null))
            .await?;
        Ok(())
    })
}
