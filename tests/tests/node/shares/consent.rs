//! A share in another namespace needs the consent of the server's owner, as long as it lives.

use std::time::Duration;

use anyhow::{Result, ensure};
use cluster_tests::shares::{self, SHARE, condition, ready};
use cluster_tests::{Controller, Outcome, Pods, World, adapters, scenario};
use serde_json::{Value, json};

use super::{gets, open};

fn of(server: &World) -> Value {
    let mut spec = open();
    spec["serverRef"] = json!({"namespace": server.namespace});
    spec
}

async fn allow(server: &World, namespaces: Value) -> Result<()> {
    let patch = json!({"spec": {"shares": {"allowedNamespaces": namespaces}}});
    server.change(patch).await?;
    Ok(())
}

#[test]
fn consent_is_needed_and_its_withdrawal_stops_changes_and_nothing_else() -> Outcome {
    scenario("consent", Pods::Run, async |server| {
        let other = World::create("guest", Pods::None).await?;
        let controller = Controller::shares_of(&[server, &other], Duration::from_secs(10)).await?;
        let (_servers, _adapters, admin) = adapters::served(server, json!({})).await?;
        shares::make(&other, SHARE, of(server)).await?;
        let message =
            condition(&other, SHARE, "ServerReady", "False", "NamespaceNotAllowed").await?;
        ensure!(message.contains("allowedNamespaces"), "{message}");
        controller.quiet().await?;
        let live = admin.get("/shares").await?;
        ensure!(live.as_array().is_none_or(Vec::is_empty), "{live}");

        // A share of the own namespace needs none.
        shares::ready_made(server, "own", open()).await?;

        allow(server, json!({"from": "All"})).await?;
        let found = ready(&other, SHARE).await?;
        let nfs = shares::nfs(&found)?;
        gets("writing", async || nfs.write("a", b"a").await).await?;

        allow(server, json!({"from": "Same"})).await?;
        condition(&other, SHARE, "ServerReady", "False", "NamespaceNotAllowed").await?;
        let patch = json!({"spec": {"quota": "9Mi"}});
        shares::change(&other, SHARE, patch).await?;
        condition(&other, SHARE, "ServerReady", "False", "NamespaceNotAllowed").await?;
        controller.quiet().await?;
        let live = admin.get("/shares/films").await?;
        ensure!(
            live["quota_bytes"].is_null(),
            "changed without consent: {live}"
        );
        let text = gets("it is served all the same", async || nfs.read("a").await).await?;
        ensure!(text == b"a", "{text:?}");

        let selector = json!({"from": "Selector", "selector": {"matchLabels": {"dittofs.test/namespace": "true"}}});
        allow(server, selector).await?;
        ready(&other, SHARE).await?;
        let live = admin.get("/shares/films").await?;
        ensure!(
            !live["quota_bytes"].is_null(),
            "not changed with consent: {live}"
        );
        let selector = json!({"from": "Selector", "selector": {"matchLabels": {"dittofs.test/namespace": "false"}}});
        allow(server, selector).await?;
        condition(&other, SHARE, "ServerReady", "False", "NamespaceNotAllowed").await?;

        // Nobody needs consent to go.
        shares::let_go(&other, SHARE).await?;
        shares::gone(&other, SHARE).await?;
        controller.quiet().await?;
        other.remove().await
    })
}
