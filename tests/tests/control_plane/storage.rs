//! What of `spec.storage` can change.

use anyhow::{Result, ensure};
use api_types::DittoServer;
use cluster_tests::world::{none_failed, somebody};
use cluster_tests::{Outcome, Pods, SERVER, World, scenario};
use kube::api::Patch;
use serde_json::{Value, json};

use cluster_tests::manifests::violations;

/// What the API server says to a change of `spec.storage`; `None` when it takes it.
async fn said(world: &World, storage: &Value) -> Result<Option<String>> {
    let patch = json!({"spec": {"storage": storage}});
    let api = world.api::<DittoServer>();
    match api.patch(SERVER, &somebody(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

async fn all_refused(world: &World, cases: &[(Value, &str)]) -> Result<()> {
    let mut failures = Vec::new();
    for (storage, message) in cases {
        match said(world, storage).await? {
            None => failures.push(format!("{storage} is taken")),
            Some(said) if !said.contains(message) => {
                failures.push(format!("{storage} is refused with: {said}"));
            }
            Some(_) => {}
        }
    }
    none_failed(&failures)
}

#[test]
fn class_and_layout_are_fixed_and_sizes_only_grow() -> Outcome {
    scenario("storage-rules", Pods::None, async |world| {
        world
            .serve(json!({"storage": {
                "storageClassName": "expandable", "metadataSize": "1Gi", "contentSize": "1Gi", "controlPlaneSize": "1Gi",
            }}))
            .await?;
        all_refused(world, &violations::changes()).await?;
        for taken in [
            json!({"metadataSize": "1024Mi"}),
            json!({"metadataSize": "1Gi", "contentSize": "2Gi", "controlPlaneSize": "2Gi"}),
            json!({"retentionPolicy": {"whenDeleted": "Delete"}}),
            json!({"retentionPolicy": {"whenDeleted": "Retain"}}),
        ] {
            let said = said(world, &taken).await?;
            ensure!(said.is_none(), "{taken} is refused: {said:?}");
        }
        Ok(())
    })
}

#[test]
fn what_was_left_out_at_creation_cannot_be_added() -> Outcome {
    scenario("storage-unset", Pods::None, async |world| {
        let mut manifest = world.manifest(json!({}));
        manifest["spec"]["storage"] = json!({"metadataSize": "1Gi"});
        world.create_json::<DittoServer>(manifest).await?;
        all_refused(
            world,
            &[
                (
                    json!({"storageClassName": "standard"}),
                    "storageClassName cannot be changed",
                ),
                (
                    json!({"contentSize": "1Gi"}),
                    "contentSize cannot be added or removed later",
                ),
            ],
        )
        .await
    })
}
