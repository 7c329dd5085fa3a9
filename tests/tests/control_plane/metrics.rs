//! What a running controller shows at `/metrics`, as Prometheus sees it.

use anyhow::{Context, Result, ensure};
use api_types::DittoServer;
use cluster_tests::process::{Account, Process};
use cluster_tests::scrape::Scrape;
use cluster_tests::{Child, Outcome, Pods, SERVER, World, scenario, until};
use kube::api::DeleteParams;
use serde_json::json;

const PROGRAM: &str = "server-controller";

async fn start(world: &World, name: &str) -> Result<(Process, Scrape)> {
    let account = Account::create(world, name).await?;
    let scrape = Scrape::new()?;
    let namespace = world.namespace.as_str();
    let arguments = [
        "--namespace",
        namespace,
        "--leader-elect",
        "--lease-namespace",
        namespace,
        // Who leads is not what is tried here: it stays so on a machine that stalls.
        "--lease-duration",
        "60s",
        "--http-address",
        &scrape.address(),
    ];
    let process = Process::start(PROGRAM, Some(&account), &arguments)?;
    until("the metrics are served", async || {
        Ok(match scrape.text().await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error:#}: {}", process.said())),
        })
    })
    .await?;
    Ok((process, scrape))
}

#[test]
fn the_metrics_of_a_controller_move_with_its_work() -> Outcome {
    scenario("metrics", Pods::None, async |world| {
        let (_leader, metrics) = start(world, "first").await?;
        let positive = |value: Option<f64>| value.is_some_and(|value| value > 0.0);
        metrics
            .becomes("leader", |leads| leads == Some(1.0))
            .await?;
        let lists = r#"api_requests_total{verb="list",code="2xx"}"#;
        metrics.becomes(lists, positive).await?;
        let (_standby, other) = start(world, "second").await?;
        ensure!(
            other.value("leader").await? == Some(0.0),
            "two lead: {}",
            other.text().await?
        );
        let build = metrics.text().await?;
        let build = build
            .lines()
            .find(|line| line.starts_with("dittofs_operator_build_info{"))
            .context("no build_info")?
            .to_owned();
        let version = format!(r#"version="{}""#, env!("CARGO_PKG_VERSION"));
        ensure!(
            build.contains(r#"controller="server-controller""#) && build.contains(&version),
            "{build}"
        );

        let ready = format!(
            r#"object_ready{{kind="DittoServer",namespace="{}",name="{SERVER}"}}"#,
            world.namespace
        );
        ensure!(metrics.value(&ready).await?.is_none(), "before it exists");
        world.serve(json!({})).await?;
        world.observed(SERVER).await?;
        // Nothing runs its pod here.
        metrics.becomes(&ready, |value| value == Some(0.0)).await?;
        let patches = r#"api_requests_total{verb="patch",code="2xx"}"#;
        metrics.becomes(patches, positive).await?;
        let visits = "reconcile_duration_seconds_count";
        let before = metrics.becomes(visits, positive).await?;

        until("the ConfigMap exists", async || {
            let found = world.find(Child::Config).await?;
            Ok(found.map(|_| ()).ok_or_else(|| "not yet".to_owned()))
        })
        .await?;
        let meddled = json!({"data": {"config.yaml": "somebody else's"}});
        world.meddle(Child::Config, &meddled).await?;
        let drift = r#"drift_corrected_total{kind="ConfigMap",field="data.config"}"#;
        metrics.becomes(drift, |value| value == Some(1.0)).await?;
        metrics.becomes(visits, |now| now > before).await?;

        world
            .api::<DittoServer>()
            .delete(SERVER, &DeleteParams::default())
            .await?;
        metrics.becomes(&ready, |value| value.is_none()).await?;
        let failing = "objects_backing_off";
        metrics.becomes(failing, |value| value == Some(0.0)).await?;
        Ok(())
    })
}
