//! What an adapter-controller leaves behind that ends between what it sends to a server and what it writes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use cluster_tests::adapters::{Admin, served};
use cluster_tests::{Controller, Outcome, Pods, World, scenario, until};
use controller_runtime::Seam;
use controller_runtime::seam::{Before, Request, Verb};
use serde_json::{Value, json};

const SETTINGS: &str = "/adapters/nfs/settings";

async fn udp(admin: &Admin) -> Result<Value> {
    Ok(admin.get(SETTINGS).await?["udp_enabled"].clone())
}

/// Cuts every write of a status from the moment at which the server has another setting.
struct Ends {
    admin: Admin,
    before: Value,
    cut: AtomicBool,
}

#[async_trait]
impl Seam for Ends {
    async fn before(&self, request: &Request) -> Before {
        if !request.path.ends_with("/status") || request.verb != Verb::Patch {
            return Before::Pass;
        }
        match udp(&self.admin).await {
            Ok(now) if now == self.before => Before::Pass,
            _ => {
                self.cut.store(true, Ordering::SeqCst);
                Before::Cut
            }
        }
    }
}

#[test]
fn adapter_crash_before_the_status_is_written_still_tells_that_a_start_is_awaited() -> Outcome {
    scenario("adapter-crash", Pods::Run, async |world| {
        let (_servers, adapters, admin) = served(world, json!({})).await?;
        let before = udp(&admin).await?;
        ensure!(before == json!(false), "{before}");
        adapters.stop().await?;
        let ends = Arc::new(Ends {
            admin: Admin::of(world).await?,
            before,
            cut: AtomicBool::new(false),
        });
        let seams: Vec<Arc<dyn Seam>> = vec![Arc::clone(&ends) as Arc<dyn Seam>];
        let first = Controller::adapters_behind(world, seams).await?;
        let settings = json!({"adapters": {"nfs": {"settings": {"udpEnabled": true}}}});
        world.change(json!({ "spec": settings })).await?;
        until("it has sent the setting", async || {
            let now = udp(&admin).await?;
            Ok(if now == json!(true) {
                Ok(())
            } else {
                Err(now.to_string())
            })
        })
        .await?;
        until("a status could not be written", async || {
            Ok(if ends.cut.load(Ordering::SeqCst) {
                Ok(())
            } else {
                Err("no".to_owned())
            })
        })
        .await?;
        first.crash().await;

        let second = Controller::adapters(world).await?;
        let message = world
            .condition("AdaptersReady", "False", "RestartAwaited")
            .await
            .context("the next process does not know of it")?;
        ensure!(message.contains("udp"), "{message}");
        second.quiet().await?;
        still_awaited(world).await
    })
}

async fn still_awaited(world: &World) -> Result<()> {
    world
        .condition("AdaptersReady", "False", "RestartAwaited")
        .await?;
    Ok(())
}
