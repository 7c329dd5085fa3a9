//! Servers of the Go operator become ours where they are.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use api_types::names;
use cluster_tests::predecessor::{self, Features};
use cluster_tests::{Child, Controller, Outcome, Pods, SERVER, World, scenario, until};
use controller_runtime::Seam;
use controller_runtime::seam::CrashAfter;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret, Service};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, PropagationPolicy};

const EVERYTHING: Features = Features {
    metrics: true,
    percona: true,
    early: false,
};

/// Waits until nothing of the predecessor is left and the controller rests.
async fn taken_over(world: &World, controller: &Controller) -> Result<()> {
    until("nothing of the predecessor is left", async || {
        let traces = predecessor::traces(world).await?;
        Ok(if traces.is_empty() {
            Ok(())
        } else {
            Err(traces.join("\n"))
        })
    })
    .await?;
    controller.quiet().await
}

/// The UIDs of what holds data or an address.
async fn identities(world: &World) -> Result<Vec<(String, Option<String>)>> {
    let mut found = Vec::new();
    let claims = world.api::<PersistentVolumeClaim>();
    for claim in claims.list(&ListParams::default()).await? {
        found.push((claim.name_any(), claim.uid()));
    }
    for service in world.api::<Service>().list(&ListParams::default()).await? {
        let address = service
            .spec
            .as_ref()
            .and_then(|spec| spec.cluster_ip.clone());
        found.push((service.name_any(), service.uid()));
        found.push((format!("address of {}", service.name_any()), address));
    }
    for name in [names::jwt_secret(SERVER), names::admin_secret(SERVER)] {
        let secret = world.api::<Secret>().get_opt(&name).await?;
        found.push((name, secret.and_then(|secret| secret.uid())));
    }
    Ok(found)
}

async fn claims_made(world: &World) -> Result<()> {
    until("the claims exist", async || {
        let claims = world.api::<PersistentVolumeClaim>();
        let count = claims.list(&ListParams::default()).await?.items.len();
        Ok(if count == 3 {
            Ok(())
        } else {
            Err(count.to_string())
        })
    })
    .await
}

#[test]
fn nothing_of_the_go_operator_is_left_on_what_is_taken_over() -> Outcome {
    scenario("takeover", Pods::None, async |world| {
        let _kind = predecessor::install_database_kind(world).await?;
        predecessor::serve(world, EVERYTHING).await?;
        claims_made(world).await?;
        let traces = predecessor::traces(world).await?;
        ensure!(
            traces.len() > 25,
            "the fixture has lost its traces: {traces:?}"
        );
        let before = identities(world).await?;
        let adapters = predecessor::adapters(world).await?;

        let controller = Controller::start(world).await?;
        taken_over(world, &controller).await?;
        ensure!(identities(world).await? == before, "another object");
        ensure!(
            predecessor::adapters(world).await? == adapters,
            "an adapter's objects were touched"
        );
        let message = world
            .condition("DatabaseReady", "False", "DataStillInSQLite")
            .await?;
        ensure!(message.contains("/data/controlplane"), "{message}");
        let cluster = world
            .objects(&predecessor::database())
            .get(&names::managed_database(SERVER))
            .await?;
        ensure!(
            cluster.owner_references().is_empty(),
            "the database still goes with the server"
        );
        let set = serde_json::to_value(world.child(Child::StatefulSet).await?)?;
        let order: Vec<_> = set["spec"]["volumeClaimTemplates"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|claim| claim["metadata"]["name"].clone())
            .collect();
        ensure!(
            order == ["metadata", "content", "controlplane"],
            "{order:?}"
        );
        let account = world
            .api::<Secret>()
            .get(&names::predecessor_account_secret(SERVER))
            .await?;
        let keys: Vec<_> = account.data.unwrap_or_default().into_keys().collect();
        ensure!(keys == ["password", "username"], "{keys:?}");

        // Once: a restart of ours finds nothing more to do.
        controller.stop().await?;
        let mark = world.cluster.audit.mark()?;
        let again = Controller::start(world).await?;
        again.quiet().await?;
        let writes = world.writes(mark)?;
        ensure!(writes.is_empty(), "{writes:?}");
        Ok(())
    })
}

#[test]
fn the_password_of_an_early_release_is_kept_under_the_name_of_today() -> Outcome {
    scenario("takeover-early", Pods::None, async |world| {
        let features = Features {
            early: true,
            ..Features::default()
        };
        predecessor::serve(world, features).await?;
        let controller = Controller::start(world).await?;
        taken_over(world, &controller).await?;
        let password = cluster_tests::rest::password(world).await?;
        ensure!(password == predecessor::PASSWORD, "another password");
        let owners = world.child(Child::Admin).await?.owner_references().len();
        ensure!(owners == 0, "it goes with the server");
        Ok(())
    })
}

/// Starts a controller that dies after `writes` writes.
async fn interrupted(world: &World, writes: u64) -> Result<()> {
    let seam = Arc::new(CrashAfter::writes(writes));
    let first = Controller::start_behind(world, vec![Arc::clone(&seam) as Arc<dyn Seam>]).await?;
    until("the crash", async || {
        Ok(if seam.crashed() {
            Ok(())
        } else {
            Err("no crash".to_owned())
        })
    })
    .await?;
    first.crash().await;
    Ok(())
}

/// What must outlive the server, by name and UID.
async fn data(world: &World, percona: bool) -> Result<Vec<(String, Option<String>)>> {
    let mut found: Vec<_> = identities(world)
        .await?
        .into_iter()
        .filter(|(name, _)| name.ends_with("-0") || *name == names::admin_secret(SERVER))
        .collect();
    if percona {
        let name = names::managed_database(SERVER);
        let cluster = world
            .objects(&predecessor::database())
            .get_opt(&name)
            .await?;
        found.push((name, cluster.and_then(|cluster| cluster.uid())));
    }
    ensure!(
        found.iter().all(|(_, uid)| uid.is_some()),
        "something is lost: {found:?}"
    );
    ensure!(found.len() == 4 + usize::from(percona), "{found:?}");
    Ok(found)
}

async fn gone(world: &World) -> Result<()> {
    until("the server and what goes with it are gone", async || {
        let server = world
            .api::<api_types::DittoServer>()
            .get_opt(SERVER)
            .await?;
        let mut left: Vec<String> = server.iter().map(ResourceExt::name_any).collect();
        for child in [Child::StatefulSet, Child::Api, Child::Config, Child::Jwt] {
            left.extend(world.find(child).await?.map(|object| object.name_any()));
        }
        Ok(if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        })
    })
    .await
}

async fn deleted(world: &World, policy: PropagationPolicy) -> Result<()> {
    let parameters = DeleteParams {
        propagation_policy: Some(policy),
        ..DeleteParams::default()
    };
    world
        .api::<api_types::DittoServer>()
        .delete(SERVER, &parameters)
        .await?;
    Ok(())
}

/// The garbage collector acts at once, before any controller of ours runs again.
async fn collected(world: &World) -> Result<()> {
    until(
        "the garbage collector took what goes with the server",
        async || {
            let left = world.find(Child::Jwt).await?;
            Ok(match left {
                None => Ok(()),
                Some(_) => Err("the token key is still there".to_owned()),
            })
        },
    )
    .await
}

fn survives_foreground(features: Features, writes: u64) -> Outcome {
    scenario("takeover-fg", Pods::None, async |world| {
        let _kind = match features.percona {
            true => Some(predecessor::install_database_kind(world).await?),
            false => None,
        };
        predecessor::serve(world, features).await?;
        claims_made(world).await?;
        let before = data(world, features.percona).await?;
        interrupted(world, writes).await?;
        deleted(world, PropagationPolicy::Foreground).await?;
        collected(world).await?;
        ensure!(
            data(world, features.percona).await? == before,
            "another object"
        );
        let _controller = Controller::start(world).await?;
        gone(world).await?;
        ensure!(
            data(world, features.percona).await? == before,
            "another object"
        );
        Ok(())
    })
}

#[test]
fn a_foreground_deletion_after_the_first_write_loses_nothing() -> Outcome {
    survives_foreground(Features::default(), 1)
}

/// The administrator's Secret comes first: without it the data cannot be opened, while the Go
/// operator never put any data into the database.
#[test]
fn a_foreground_deletion_after_the_second_write_loses_no_managed_database() -> Outcome {
    survives_foreground(EVERYTHING, 2)
}

#[test]
fn a_server_that_was_deleted_before_ours_came_keeps_its_data() -> Outcome {
    for early in [false, true] {
        scenario("takeover-late", Pods::None, async |world| {
            let _kind = predecessor::install_database_kind(world).await?;
            let features = Features {
                early,
                ..EVERYTHING
            };
            predecessor::serve(world, features).await?;
            claims_made(world).await?;
            deleted(world, PropagationPolicy::Background).await?;
            let controller = Controller::start(world).await?;
            gone(world).await?;
            data(world, true).await?;
            let password = cluster_tests::rest::password(world).await?;
            ensure!(password == predecessor::PASSWORD, "another password");
            drop(controller);
            Ok(())
        })?;
    }
    Ok(())
}

/// Whatever write was its last, the next one goes on.
#[test]
fn an_interrupted_takeover_is_completed() -> Outcome {
    for writes in [3, 9, 11, 13] {
        scenario("takeover-crash", Pods::None, async |world| {
            let _kind = predecessor::install_database_kind(world).await?;
            predecessor::serve(world, EVERYTHING).await?;
            interrupted(world, writes).await?;
            let controller = Controller::start(world).await?;
            taken_over(world, &controller)
                .await
                .with_context(|| format!("after {writes} writes"))?;
            world
                .condition("DatabaseReady", "False", "DataStillInSQLite")
                .await?;
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn the_go_operator_can_have_its_server_back_and_give_it_again() -> Outcome {
    scenario("rollback", Pods::None, async |world| {
        let _kind = predecessor::install_database_kind(world).await?;
        predecessor::serve(world, EVERYTHING).await?;
        claims_made(world).await?;
        let before = identities(world).await?;
        let controller = Controller::start(world).await?;
        taken_over(world, &controller).await?;
        controller.stop().await?;

        predecessor::reconcile(world, EVERYTHING).await?;
        ensure!(identities(world).await? == before, "another object");
        let traces = predecessor::traces(world).await?;
        ensure!(
            traces.iter().any(|trace| trace.contains("DATABASE_URL")),
            "its StatefulSet is not as it wants it: {traces:?}"
        );

        let controller = Controller::start(world).await?;
        taken_over(world, &controller).await?;
        ensure!(identities(world).await? == before, "another object");
        Ok(())
    })
}

/// Claim templates cannot be changed, and ours carry labels.
#[test]
fn a_server_of_ours_goes_to_the_go_operator_once_its_statefulset_is_orphaned() -> Outcome {
    scenario("rollback-own", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(serde_json::json!({})).await?;
        world.settled(&controller).await?;
        claims_made(world).await?;
        controller.stop().await?;
        let before = identities(world).await?;

        let refused = predecessor::reconcile(world, Features::default()).await;
        let refused = format!("{:#}", refused.err().context("it was not refused")?);
        ensure!(refused.contains("StatefulSet files"), "{refused}");
        let set = Child::StatefulSet;
        world
            .objects(&set.resource())
            .delete(&set.name(SERVER), &DeleteParams::orphan())
            .await?;
        until("the StatefulSet is gone", async || {
            Ok(match world.find(set).await? {
                None => Ok(()),
                Some(_) => Err("still there".to_owned()),
            })
        })
        .await?;
        predecessor::reconcile(world, Features::default()).await?;
        let after = identities(world).await?;
        ensure!(
            before.iter().all(|kept| after.contains(kept)),
            "another object: {after:?}"
        );
        Ok(())
    })
}
