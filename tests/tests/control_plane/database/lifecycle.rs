//! What becomes of a database cluster with its server.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use api_types::{DittoServer, names};
use cluster_tests::audit::listed;
use cluster_tests::databases::{Provider, with_definitions};
use cluster_tests::world::none_failed;
use cluster_tests::{Controller, Outcome, Pods, World, until};
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

/// One deletion.
struct Row {
    server: &'static str,
    provider: Provider,
    fields: Value,
    /// Whether a person waits for everything that belongs to the server.
    foreground: bool,
    goes: bool,
}

fn rows() -> Vec<Row> {
    let row = |server, provider, fields, foreground, goes| Row {
        server,
        provider,
        fields,
        foreground,
        goes,
    };
    let (percona, cloud) = (Provider::Percona, Provider::CloudNative);
    vec![
        row("p-default", percona, json!({}), false, false),
        row(
            "p-retain",
            percona,
            json!({"deletionPolicy": "Retain"}),
            true,
            false,
        ),
        row(
            "p-delete",
            percona,
            json!({"deletionPolicy": "Delete"}),
            false,
            true,
        ),
        row(
            "p-delete-fg",
            percona,
            json!({"deletionPolicy": "Delete"}),
            true,
            true,
        ),
        row(
            "p-theirs",
            percona,
            json!({"clusterRef": {"name": "p-theirs-postgres"}}),
            true,
            false,
        ),
        row("c-default", cloud, json!({}), true, false),
        row(
            "c-delete",
            cloud,
            json!({"deletionPolicy": "Delete"}),
            false,
            true,
        ),
        row(
            "c-delete-fg",
            cloud,
            json!({"deletionPolicy": "Delete"}),
            true,
            true,
        ),
        row(
            "c-theirs",
            cloud,
            json!({"clusterRef": {"name": "c-theirs-postgres"}}),
            false,
            false,
        ),
    ]
}

fn field(provider: Provider) -> &'static str {
    match provider {
        Provider::Percona => "percona",
        Provider::CloudNative => "cloudnativePG",
    }
}

async fn cluster(world: &World, row: &Row) -> Result<Option<DynamicObject>> {
    let objects = world.objects(&row.provider.resource());
    Ok(objects
        .get_opt(&names::managed_database(row.server))
        .await?)
}

async fn made(world: &World, row: &Row) -> Result<DynamicObject> {
    until(&format!("the cluster of {}", row.server), async || {
        Ok(cluster(world, row)
            .await?
            .ok_or("it is not there".to_owned()))
    })
    .await
}

async fn server_gone(world: &World, server: &str) -> Result<()> {
    until(&format!("{server} is gone"), async || {
        let found = world.api::<DittoServer>().get_opt(server).await?;
        Ok(match found {
            None => Ok(()),
            Some(server) => Err(format!("{:?}", server.metadata.finalizers)),
        })
    })
    .await
}

/// A person's cluster, as small as the schema takes it.
async fn by_hand(world: &World, row: &Row) -> Result<()> {
    let spec = match row.provider {
        Provider::Percona => json!({"postgresVersion": 18, "backups": {"enabled": false},
            "instances": [{"name": "instance1", "dataVolumeClaimSpec": {"accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}}}}]}),
        Provider::CloudNative => json!({"instances": 1, "storage": {"size": "1Gi"}}),
    };
    let resource = row.provider.resource();
    let object = serde_json::from_value(json!({
        "apiVersion": resource.api_version, "kind": resource.kind,
        "metadata": {"name": names::managed_database(row.server)}, "spec": spec,
    }))?;
    world
        .objects(&resource)
        .create(&Default::default(), &object)
        .await?;
    Ok(())
}

#[test]
fn a_cluster_goes_with_its_server_only_where_the_spec_says_so() -> Outcome {
    with_definitions("db-delete", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        let rows = rows();
        let servers = world.api::<DittoServer>();
        for row in &rows {
            if row.fields.get("clusterRef").is_some() {
                by_hand(world, row).await?;
            }
            let spec = json!({"database": {field(row.provider): row.fields}});
            world
                .create_json::<DittoServer>(world.manifest_of(row.server, spec))
                .await?;
        }
        let mut before = Vec::new();
        for row in &rows {
            let object = made(world, row).await?;
            ensure!(
                object.owner_references().is_empty(),
                "{} is owned",
                row.server
            );
            before.push(object.uid());
        }
        controller.quiet().await?;
        let mark = world.cluster.audit.mark()?;
        for row in &rows {
            let parameters = if row.foreground {
                DeleteParams::foreground()
            } else {
                DeleteParams::background()
            };
            servers.delete(row.server, &parameters).await?;
        }
        // Nobody plays the Percona operator: nothing answers its finalizers, and no server waits for it.
        for row in &rows {
            server_gone(world, row.server).await?;
        }
        controller.quiet().await?;
        let mut failures = Vec::new();
        for (row, uid) in rows.iter().zip(before) {
            if let Err(error) = ended(world, row, uid).await {
                failures.push(format!("{}: {error:#}", row.server));
            }
        }
        none_failed(&failures)?;
        let deletions = world.writes(mark)?;
        let plurals = ["perconapgclusters", "clusters"];
        let deletions: Vec<_> = deletions
            .iter()
            .filter(|entry| entry.is_deletion() && plurals.contains(&entry.resource.as_str()))
            .collect();
        ensure!(deletions.len() == 4, "deleted: {}", listed(deletions));
        Ok(())
    })
}

/// Whether the cluster of a server that is gone is as its policy says; ends what would hold the namespace.
async fn ended(world: &World, row: &Row, uid: Option<String>) -> Result<()> {
    let found = cluster(world, row).await?;
    if !row.goes {
        let object = found.context("it is gone")?;
        ensure!(object.uid() == uid, "it is another");
        ensure!(object.metadata.deletion_timestamp.is_none(), "it is going");
        ensure!(object.finalizers().is_empty(), "{:?}", object.finalizers());
        return Ok(());
    }
    match row.provider {
        Provider::CloudNative => ensure!(found.is_none(), "it is still there"),
        Provider::Percona => {
            let object = found.context("gone without its finalizers")?;
            ensure!(object.metadata.deletion_timestamp.is_some(), "it stays");
            let finalizers: BTreeSet<&str> = object
                .finalizers()
                .iter()
                .map(String::as_str)
                .filter(|name| name.starts_with("percona.com/"))
                .collect();
            let expected = BTreeSet::from(["percona.com/delete-pvc", "percona.com/delete-ssl"]);
            ensure!(finalizers == expected, "{finalizers:?}");
            let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            world
                .objects(&row.provider.resource())
                .patch(&object.name_any(), &PatchParams::default(), &none)
                .await?;
        }
    }
    Ok(())
}

/// A server that comes back takes the cluster that was left for it.
#[test]
fn a_server_made_again_adopts_the_cluster_that_was_left() -> Outcome {
    with_definitions("db-adopt", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        let rows: Vec<Row> = rows()
            .into_iter()
            .filter(|row| row.server.ends_with("-default"))
            .collect();
        for row in &rows {
            let spec = json!({"database": {field(row.provider): row.fields}});
            let manifest = world.manifest_of(row.server, spec);
            world.create_json::<DittoServer>(manifest.clone()).await?;
            let before = made(world, row).await?.uid();
            controller.quiet().await?;
            let servers = world.api::<DittoServer>();
            servers
                .delete(row.server, &DeleteParams::background())
                .await?;
            server_gone(world, row.server).await?;
            world.create_json::<DittoServer>(manifest).await?;
            until("the status names the cluster that was left", async || {
                let server = servers.get(row.server).await?;
                let database = server.status.and_then(|status| status.database);
                let uid = database.and_then(|database| database.cluster_uid);
                Ok(if uid.is_some() && uid == before {
                    Ok(())
                } else {
                    Err(format!("{uid:?} instead of {before:?}"))
                })
            })
            .await?;
            controller.quiet().await?;
            ensure!(made(world, row).await?.uid() == before, "another cluster");
        }
        Ok(())
    })
}

/// A cluster with the name that a server needs, and not the label of ours, is somebody else's.
#[test]
fn somebody_elses_cluster_of_the_same_name_is_left_alone() -> Outcome {
    with_definitions("db-foreign", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        for (server, provider) in [("p", Provider::Percona), ("c", Provider::CloudNative)] {
            let row = Row {
                server,
                provider,
                fields: json!({"deletionPolicy": "Delete"}),
                foreground: false,
                goes: false,
            };
            by_hand(world, &row).await?;
            let before = made(world, &row).await?;
            let spec = json!({"database": {field(provider): row.fields}});
            world
                .create_json::<DittoServer>(world.manifest_of(server, spec))
                .await?;
            let message = world
                .condition_of(server, "DatabaseReady", "False", "NameConflict")
                .await?;
            ensure!(message.contains(&before.name_any()), "{message}");
            controller.quiet().await?;
            let servers = world.api::<DittoServer>();
            servers.delete(server, &DeleteParams::background()).await?;
            server_gone(world, server).await?;
            let after = made(world, &row).await?;
            ensure!(
                after.resource_version() == before.resource_version(),
                "it was written to"
            );
        }
        Ok(())
    })
}
