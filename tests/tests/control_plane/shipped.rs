//! The files that people install, with the tool that they use.

use anyhow::{Context, Result, ensure};
use cluster_tests::cluster::{CRDS, checkout, yaml_of};
use cluster_tests::kubectl::kubectl;
use cluster_tests::world::{none_failed, run};
use cluster_tests::{Cluster, Outcome, Pods, random, scenario};
use serde_json::Value;

/// `kubectl apply` keeps a copy of the object in an annotation, which together may have 256 KiB.
#[test]
fn the_crds_are_small_enough_for_kubectl_apply() -> Outcome {
    Ok(run(async || {
        let cluster = Cluster::connect().await?;
        for plural in CRDS {
            fits(&cluster, plural).await?;
        }
        Ok(())
    })?)
}

async fn fits(cluster: &Cluster, plural: &str) -> Result<()> {
    let file = format!("deploy/crds/{plural}.yaml");
    // A copy under another group, so that the CRD of the other tests stays as it is.
    let group = format!("t{}.dittofs.test", random::suffix()?);
    let mut document: Value = yaml_of(&file)?.into_iter().next().context("no document")?;
    let name = format!("{plural}.{group}");
    document["metadata"]["name"] = name.clone().into();
    document["spec"]["group"] = group.into();
    let text = document.to_string();
    ensure!(text.len() < 200 << 10, "{file}: {} bytes", text.len());
    let outcome = async {
        for _ in 0..2 {
            kubectl(&["apply", "-f", "-"], &text).await?;
        }
        cluster.established(&name).await
    }
    .await;
    kubectl(
        &["delete", "crd", "--ignore-not-found", "--wait=false", &name],
        "",
    )
    .await?;
    outcome
}

#[test]
fn kubectl_explains_the_spec() -> Outcome {
    Ok(run(async || {
        Cluster::connect().await?;
        let mut failures = Vec::new();
        for (path, words) in [
            ("dittoserver", vec!["NFS and SMB file server"]),
            (
                "dittoserver.spec",
                vec![
                    "image",
                    "storage",
                    "-required-",
                    "replicas",
                    "0 stops it",
                    "disruption",
                    "identity",
                ],
            ),
            (
                "dittoserver.spec.storage",
                vec!["metadataSize", "/data/store/metadata", "contentSize"],
            ),
            (
                "dittoserver.spec.identity.jwt.secretRef",
                vec!["name", "key", "at least 32 characters"],
            ),
            (
                "dittoserver.status",
                vec!["conditions", "observedGeneration", "readyReplicas"],
            ),
            (
                "dittofsshare.spec",
                vec![
                    "serverRef",
                    "-required-",
                    "snapshotPolicy",
                    "At most 26",
                    "quota",
                ],
            ),
            (
                "dittofsshare.status.mounts",
                vec!["ready to paste", "command", "address"],
            ),
        ] {
            let text = kubectl(&["explain", path], "").await?;
            // Lines are wrapped.
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            failures.extend(
                words
                    .into_iter()
                    .filter(|word| !text.contains(word))
                    .map(|word| format!("{path}: {word:?} is not in: {text}")),
            );
        }
        none_failed(&failures)
    })?)
}

#[test]
fn the_samples_are_taken_as_they_are() -> Outcome {
    scenario("samples", Pods::None, async |world| {
        for entry in std::fs::read_dir(checkout().join("deploy/samples"))? {
            let path = entry?.path();
            let text = std::fs::read_to_string(&path)?;
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text)?;
            for mut document in documents {
                if document["kind"] == "Namespace" {
                    continue;
                }
                document["metadata"]["namespace"] = world.namespace.clone().into();
                kubectl(
                    &["apply", "--dry-run=server", "--validate=strict", "-f", "-"],
                    &document.to_string(),
                )
                .await
                .with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    })
}

#[test]
fn kubectl_shows_a_server_in_one_line() -> Outcome {
    scenario("columns", Pods::None, async |world| {
        let _controller = cluster_tests::Controller::start(world).await?;
        world.serve(serde_json::json!({"replicas": 0})).await?;
        world.condition("Ready", "False", "Stopped").await?;
        let text = kubectl(&["get", "ditto", "-n", &world.namespace], "").await?;
        let words: Vec<&str> = text.split_whitespace().collect();
        ensure!(
            words[..6] == ["NAME", "READY", "AVAILABLE", "PHASE", "REASON", "AGE"],
            "{text}"
        );
        ensure!(
            words[6..11] == ["files", "False", "False", "Stopped", "Stopped"],
            "{text}"
        );
        let scaled = kubectl(
            &[
                "scale",
                "dittoserver/files",
                "--replicas=1",
                "-n",
                &world.namespace,
            ],
            "",
        )
        .await?;
        ensure!(scaled.contains("scaled"), "{scaled}");
        ensure!(world.server().await?.spec.replicas == 1, "not scaled");
        Ok(()) as Result<()>
    })
}
