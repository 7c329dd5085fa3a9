//! The clusters that servers ask their providers for, on the providers' own schemas.

use anyhow::{Context, Result, ensure};
use api_types::DittoServer;
use cluster_tests::audit::listed;
use cluster_tests::databases::{Provider, with_definitions};
use cluster_tests::world::{none_failed, somebody};
use cluster_tests::{Controller, Outcome, Pods, SERVER, World, until};
use kube::ResourceExt;
use kube::api::{DynamicObject, Patch};
use serde_json::{Value, json};

/// Waits until a server's cluster is there.
async fn made(world: &World, provider: Provider, server: &str) -> Result<DynamicObject> {
    let objects = world.objects(&provider.resource());
    let name = api_types::names::managed_database(server);
    until(&format!("{name} is there"), async || {
        let report = world.api::<DittoServer>().get(server).await?;
        let found = objects.get_opt(&name).await?;
        Ok(found.ok_or(cluster_tests::world::conditions(report.status.as_ref())))
    })
    .await
}

fn many() -> Vec<String> {
    (0..64)
        .map(|number| format!("m{number}_{}", "x".repeat(55)))
        .collect()
}

/// Values by JSON pointer.
type Values = Vec<(&'static str, Value)>;

/// Specs of `spec.database`, by the name of the server, and what must be in the cluster then.
fn rows() -> Vec<(Provider, String, Value, Values)> {
    let percona = |name: &str, fields: Value| {
        (
            Provider::Percona,
            name.to_owned(),
            json!({"percona": fields}),
            Vec::new(),
        )
    };
    let cloud = |name: &str, fields: Value| {
        (
            Provider::CloudNative,
            name.to_owned(),
            json!({"cloudnativePG": fields}),
            Vec::new(),
        )
    };
    let long = "d".repeat(63);
    let mut rows = vec![
        percona("p-plain", json!({})),
        percona(
            "p-fields",
            json!({"user": "files-1", "databaseName": "files_1", "crVersion": "2.9.0",
            "image": "example.org/postgresql@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "postgresVersion": 15, "replicas": 5, "storageSize": "20Gi", "storageClassName": "fast",
            "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
            "sslmode": "require"}),
        ),
        percona(
            "p-backup",
            json!({"backup": {"enabled": true, "credentialsSecretRef": {"name": "s3"},
            "bucket": "b", "endpoint": "s3.example.org", "region": "eu-west-1",
            "fullSchedule": "0 2 * * *", "incrSchedule": "0 * * * *", "retentionDays": 30}}),
        ),
        percona(
            "p-long",
            json!({"user": "u".repeat(63), "databaseName": long}),
        ),
        percona(&"p".repeat(28), json!({})),
        cloud("c-plain", json!({})),
        cloud(
            "c-fields",
            json!({"databaseName": "files_1", "instances": 5, "storageSize": "20Gi",
            "storageClassName": "fast", "imageName": "example.org/postgresql:18", "sslmode": "verify-ca"}),
        ),
        cloud(&"c".repeat(41), json!({"databaseName": long})),
    ];
    for (provider, name) in [
        (Provider::Percona, "p-many"),
        (Provider::CloudNative, "c-many"),
    ] {
        let field = match provider {
            Provider::Percona => "percona",
            Provider::CloudNative => "cloudnativePG",
        };
        let database = json!({field: {}, "metadataDatabases": many()});
        rows.push((provider, name.to_owned(), database, Vec::new()));
    }
    let mut expect = |name: &str, what: Values| {
        for row in rows.iter_mut().filter(|row| row.1 == name) {
            row.3.clone_from(&what);
        }
    };
    expect(
        "p-plain",
        vec![
            ("/spec/crVersion", json!("3.0.0")),
            ("/spec/postgresVersion", json!(18)),
            ("/spec/instances/0/name", json!("instance1")),
            ("/spec/users/0/name", json!("dittofs")),
            ("/spec/users/0/databases", json!(["dittofs"])),
            ("/spec/users/0/password/type", json!("AlphaNumeric")),
            ("/spec/backups/enabled", json!(false)),
        ],
    );
    expect(
        "p-fields",
        vec![
            ("/spec/instances/0/replicas", json!(5)),
            (
                "/spec/instances/0/dataVolumeClaimSpec/resources/requests/storage",
                json!("20Gi"),
            ),
            (
                "/spec/instances/0/dataVolumeClaimSpec/storageClassName",
                json!("fast"),
            ),
            ("/spec/instances/0/resources/limits/memory", json!("1Gi")),
            ("/spec/users/0/databases", json!(["files_1"])),
        ],
    );
    expect(
        "p-backup",
        vec![
            ("/spec/backups/pgbackrest/repos/0/s3/bucket", json!("b")),
            (
                "/spec/backups/pgbackrest/repos/0/schedules/full",
                json!("0 2 * * *"),
            ),
            (
                "/spec/backups/pgbackrest/repos/0/schedules/incremental",
                json!("0 * * * *"),
            ),
        ],
    );
    expect(
        "c-plain",
        vec![
            ("/spec/instances", json!(1)),
            ("/spec/enablePDB", json!(false)),
            ("/spec/bootstrap/initdb/database", json!("dittofs")),
            ("/spec/bootstrap/initdb/owner", json!("dittofs")),
        ],
    );
    expect(
        "c-fields",
        vec![
            ("/spec/instances", json!(5)),
            ("/spec/storage/size", json!("20Gi")),
            ("/spec/storage/storageClass", json!("fast")),
            ("/spec/imageName", json!("example.org/postgresql:18")),
        ],
    );
    rows
}

#[test]
fn the_providers_schemas_take_what_servers_ask_for_and_a_settled_wish_costs_no_write() -> Outcome {
    with_definitions("db-objects", Pods::None, async |world| {
        let credentials = "[global]\nrepo1-s3-key=k\nrepo1-s3-key-secret=s\n";
        world.secret("s3", json!({"s3.conf": credentials})).await?;
        let controller = Controller::start(world).await?;
        let rows = rows();
        for (_, name, database, _) in &rows {
            let manifest = world.manifest_of(name, json!({ "database": database }));
            world
                .create_json::<DittoServer>(manifest)
                .await
                .with_context(|| name.clone())?;
        }
        let mut failures = Vec::new();
        for (provider, name, _, expected) in &rows {
            let outcome = async {
                let object = made(world, *provider, name).await?;
                ensure!(
                    object.owner_references().is_empty(),
                    "it would go with the server"
                );
                ensure!(object.finalizers().is_empty(), "{:?}", object.finalizers());
                for (pointer, value) in expected {
                    let found = object.data.pointer(pointer);
                    ensure!(
                        found == Some(value),
                        "{pointer}: {found:?} instead of {value}"
                    );
                }
                if name.ends_with("-many") {
                    let text = object.data["spec"].to_string();
                    let missing: Vec<_> = many()
                        .into_iter()
                        .filter(|name| !text.contains(name))
                        .collect();
                    ensure!(missing.is_empty(), "not asked for: {missing:?}");
                }
                anyhow::Ok(())
            };
            if let Err(error) = outcome.await {
                failures.push(format!("{name}: {error:#}"));
            }
        }
        none_failed(&failures)?;
        controller.quiet().await?;
        ensure!(
            controller.failures() == 0,
            "{} visits failed",
            controller.failures()
        );

        // Woken without anything to do, by the server and by its cluster.
        let mark = world.cluster.audit.mark()?;
        let visits = controller.visits();
        let note = Patch::Merge(json!({"metadata": {"annotations": {"example.org/note": "1"}}}));
        for (provider, name, _, _) in &rows {
            let cluster = api_types::names::managed_database(name);
            world
                .objects(&provider.resource())
                .patch(&cluster, &somebody(), &note)
                .await?;
            world
                .api::<DittoServer>()
                .patch(name, &somebody(), &note)
                .await?;
        }
        controller
            .visited_after(visits + rows.len() as u64 - 1)
            .await?;
        controller.quiet().await?;
        let writes = world.writes(mark)?;
        ensure!(writes.is_empty(), "written: {}", listed(&writes));
        Ok(())
    })
}

/// The fields that a manager owns in an object, the status apart.
fn owned(object: &DynamicObject, manager: &str) -> Result<Value> {
    let entries = object.metadata.managed_fields.iter().flatten();
    let mut found = entries
        .filter(|entry| entry.manager.as_deref() == Some(manager) && entry.subresource.is_none());
    let entry = found
        .next()
        .with_context(|| format!("{manager} owns nothing"))?;
    ensure!(found.next().is_none(), "{manager} has two entries");
    Ok(serde_json::to_value(&entry.fields_v1)?)
}

/// What a person sets beside our fields, what of ours they change, and where.
fn hands(provider: Provider) -> (Value, Values) {
    match provider {
        Provider::Percona => (
            json!({"metadata": {"labels": {"example.org/theirs": "yes"}}, "spec": {
                "patroni": {"dynamicConfiguration": {"postgresql": {"parameters": {"work_mem": "8MB"}}}},
                "clusterServiceDNSSuffix": "example.org", "tlsOnly": true,
            }}),
            vec![
                ("/spec/image", json!("example.org/another:1")),
                ("/spec/users/0/password/type", json!("ASCII")),
                ("/spec/instances/0/replicas", json!(3)),
            ],
        ),
        Provider::CloudNative => (
            json!({"metadata": {"labels": {"example.org/theirs": "yes"}}, "spec": {
                "postgresql": {"parameters": {"work_mem": "8MB"}}, "description": "theirs",
                "bootstrap": {"initdb": {"dataChecksums": true}},
            }}),
            vec![
                ("/spec/instances", json!(3)),
                ("/spec/storage/size", json!("11Gi")),
                ("/spec/enablePDB", json!(true)),
            ],
        ),
    }
}

/// `whole` as far as `part` has it.
fn part_of(whole: &Value, part: &Value) -> Value {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .map(|(key, value)| {
                (
                    key.clone(),
                    part_of(whole.get(key).unwrap_or(&Value::Null), value),
                )
            })
            .collect(),
        (whole, _) => whole.clone(),
    }
}

#[test]
fn what_a_person_changes_beside_our_fields_stays_and_ours_are_put_right_by_one_write() -> Outcome {
    with_definitions("db-hands", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        for (provider, server, field) in [
            (Provider::Percona, SERVER, "percona"),
            (Provider::CloudNative, "second", "cloudnativePG"),
        ] {
            let manifest = world.manifest_of(server, json!({"database": {field: {}}}));
            world.create_json::<DittoServer>(manifest).await?;
            made(world, provider, server).await?;
            controller.quiet().await?;
            let objects = world.objects(&provider.resource());
            let name = api_types::names::managed_database(server);
            let before = objects.get(&name).await?;
            let ours = owned(&before, server_controller::MANAGER)?;
            let (theirs, changes) = hands(provider);
            objects
                .patch(&name, &somebody(), &Patch::Merge(&theirs))
                .await?;
            controller.quiet().await?;
            for (pointer, value) in changes {
                let was = before.data.pointer(pointer).context(pointer)?.clone();
                ensure!(was != value, "{pointer} would not change");
                let live = objects.get(&name).await?;
                let mut spec = json!({"spec": live.data["spec"]});
                *spec.pointer_mut(pointer).context(pointer)? = value;
                let mark = world.cluster.audit.mark()?;
                objects
                    .patch(&name, &somebody(), &Patch::Merge(spec))
                    .await?;
                until(&format!("{pointer} is put right"), async || {
                    let live = objects.get(&name).await?;
                    let now = live.data.pointer(pointer).cloned();
                    Ok(if now.as_ref() == Some(&was) {
                        Ok(())
                    } else {
                        Err(format!("{now:?}"))
                    })
                })
                .await?;
                controller.quiet().await?;
                let writes = world.writes(mark)?;
                let to_it = writes.iter().filter(|entry| entry.name == name).count();
                ensure!(to_it == 1, "{pointer}: {}", listed(&writes));
            }
            let after = objects.get(&name).await?;
            ensure!(
                owned(&after, server_controller::MANAGER)? == ours,
                "{field}: other fields are ours than before"
            );
            let whole = serde_json::to_value(&after)?;
            let kept = part_of(&whole, &theirs);
            ensure!(kept == theirs, "{field}: {kept} instead of {theirs}");
        }
        Ok(())
    })
}

/// The default image goes with the default version only.
#[test]
fn a_version_without_its_image_is_said_and_no_cluster_is_made() -> Outcome {
    with_definitions("db-version", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world
            .serve(json!({"database": {"percona": {"postgresVersion": 17}}}))
            .await?;
        let message = world
            .condition("DatabaseReady", "False", "DatabaseVersionDiffers")
            .await?;
        ensure!(
            message.contains("17") && message.contains("18"),
            "{message}"
        );
        controller.quiet().await?;
        let clusters = world.objects(&Provider::Percona.resource());
        let name = format!("{SERVER}-postgres");
        ensure!(clusters.get_opt(&name).await?.is_none(), "it was made");

        let image = "percona/percona-distribution-postgresql:17.9-1";
        world
            .change(json!({"spec": {"database": {"percona": {"image": image}}}}))
            .await?;
        let cluster = until("the cluster is wished for", async || {
            Ok(clusters
                .get_opt(&name)
                .await?
                .ok_or("there is none".to_owned()))
        })
        .await?;
        ensure!(
            cluster.data["spec"]["postgresVersion"] == 17,
            "{:?}",
            cluster.data["spec"]
        );
        ensure!(
            cluster.data["spec"]["image"] == image,
            "{:?}",
            cluster.data["spec"]
        );
        Ok(())
    })
}
