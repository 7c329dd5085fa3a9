//! Reads that fail: no information is not "nothing".

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use cluster_tests::audit::listed;
use cluster_tests::faults::{Fault, Kind};
use cluster_tests::{Child, Controller, Outcome, Pods, SERVER, World, scenario, until};
use controller_runtime::Seam;
use controller_runtime::seam::{Request, Verb};
use serde_json::json;

const KINDS: [Kind; 4] = [
    Kind::Answer(500, "InternalError"),
    Kind::Answer(429, "TooManyRequests"),
    Kind::Answer(503, "ServiceUnavailable"),
    Kind::Cut,
];

fn reads_of(name: String) -> impl Fn(&Request) -> bool + Send + Sync + 'static {
    move |request| request.verb == Verb::Get && request.path.ends_with(&format!("/{name}"))
}

/// While reads of `child` fail, a new server is not begun; afterwards it is made as ever.
async fn nothing_before(world: &World, kind: Kind, child: Child) -> Result<()> {
    let fault = Fault::new(kind, reads_of(child.name(SERVER)));
    let controller =
        Controller::start_behind(world, vec![Arc::clone(&fault) as Arc<dyn Seam>]).await?;
    world.serve(json!({})).await?;
    // Two failed visits: the second one shows that the first left nothing behind.
    until("two visits failed", async || {
        Ok(if controller.failures() >= 2 {
            Ok(())
        } else {
            Err(format!("{} failures", controller.failures()))
        })
    })
    .await?;
    let writes = world.writes(world.beginning)?;
    ensure!(
        writes.is_empty(),
        "written without knowing: {}",
        listed(&writes)
    );
    ensure!(
        fault.count() >= 2,
        "the fault hit only {} requests",
        fault.count()
    );
    fault.end();
    world.settled(&controller).await?;
    world
        .condition("ConfigReady", "True", "InputsComplete")
        .await?;
    Ok(())
}

#[test]
fn nothing_is_made_while_a_secret_cannot_be_read() -> Outcome {
    scenario("no-secret", Pods::None, async |world| {
        nothing_before(world, KINDS[0], Child::Admin).await
    })
}

#[test]
fn nothing_is_made_while_the_api_server_is_overloaded() -> Outcome {
    scenario("overload", Pods::None, async |world| {
        nothing_before(world, KINDS[1], Child::Jwt).await
    })
}

#[test]
fn nothing_is_made_while_a_child_cannot_be_looked_up() -> Outcome {
    scenario("no-child", Pods::None, async |world| {
        nothing_before(world, KINDS[2], Child::StatefulSet).await
    })
}

#[test]
fn nothing_is_made_while_connections_break() -> Outcome {
    scenario("cut", Pods::None, async |world| {
        nothing_before(world, KINDS[3], Child::Config).await
    })
}

#[test]
fn a_running_server_is_untouched_while_its_secret_cannot_be_read() -> Outcome {
    scenario("blind", Pods::None, async |world| {
        let fault = Fault::new(Kind::Cut, reads_of(Child::Jwt.name(SERVER)));
        fault.end();
        let controller =
            Controller::start_behind(world, vec![Arc::clone(&fault) as Arc<dyn Seam>]).await?;
        world.serve(json!({})).await?;
        world.settled(&controller).await?;
        let generation = world.child(Child::StatefulSet).await?.metadata.generation;
        controller.crash().await;

        let fault = Fault::new(
            Kind::Answer(500, "InternalError"),
            reads_of(Child::Jwt.name(SERVER)),
        );
        let mark = world.cluster.audit.mark()?;
        let controller =
            Controller::start_behind(world, vec![Arc::clone(&fault) as Arc<dyn Seam>]).await?;
        until("two visits failed", async || {
            Ok(if controller.failures() >= 2 {
                Ok(())
            } else {
                Err(format!("{} failures", controller.failures()))
            })
        })
        .await?;
        let writes = world.writes(mark)?;
        ensure!(
            writes.is_empty(),
            "written without knowing: {}",
            listed(&writes)
        );
        fault.end();
        controller.quiet().await?;
        ensure!(
            world.child(Child::StatefulSet).await?.metadata.generation == generation,
            "the StatefulSet was changed"
        );
        Ok(())
    })
}

#[test]
fn a_secret_that_may_not_be_read_is_named() -> Outcome {
    scenario("forbidden", Pods::None, async |world| {
        let fault = Fault::new(
            Kind::Answer(403, "Forbidden"),
            reads_of("tokens".to_owned()),
        );
        let controller =
            Controller::start_behind(world, vec![Arc::clone(&fault) as Arc<dyn Seam>]).await?;
        world
            .secret("tokens", json!({"k": "0123456789abcdef0123456789abcdef"}))
            .await?;
        world
            .serve(json!({"identity": {"jwt": {"secretRef": {"name": "tokens", "key": "k"}}}}))
            .await?;
        let message = world
            .condition("ConfigReady", "False", "InputUnreadable")
            .await?;
        ensure!(
            message.contains("tokens"),
            "the Secret is not named: {message}"
        );
        ensure!(
            world.find(Child::StatefulSet).await?.is_none(),
            "the pod was made all the same"
        );
        fault.end();
        // The right to read it is not watched: the next change of the server brings the next look.
        world
            .change(json!({"metadata": {"annotations": {"example.org/look": "again"}}}))
            .await?;
        world
            .condition("ConfigReady", "True", "InputsComplete")
            .await?;
        world.settled(&controller).await
    })
}

/// Writes that fail, and answers that are lost, end where everything else ends.
#[test]
fn writes_that_fail_are_made_up_for() -> Outcome {
    scenario("writes", Pods::None, async |world| {
        for (number, kind) in KINDS.into_iter().enumerate() {
            let name = format!("s{number}");
            let hit = AtomicBool::new(false);
            // Every second write fails, beginning with the first.
            let fault = Fault::new(kind, move |request| {
                request.is_write && !hit.fetch_not(Ordering::SeqCst)
            });
            let controller =
                Controller::start_behind(world, vec![Arc::clone(&fault) as Arc<dyn Seam>]).await?;
            world
                .create_json::<api_types::DittoServer>(world.manifest_of(&name, json!({})))
                .await?;
            until("three writes failed", async || {
                Ok(if fault.count() >= 3 {
                    Ok(())
                } else {
                    Err(format!("{} failed", fault.count()))
                })
            })
            .await?;
            fault.end();
            world
                .condition_of(&name, "Progressing", "True", "RollingOut")
                .await?;
            world
                .condition_of(&name, "Degraded", "False", "AsExpected")
                .await?;
            controller.quiet().await?;
            controller.stop().await?;
        }
        Ok(())
    })
}
