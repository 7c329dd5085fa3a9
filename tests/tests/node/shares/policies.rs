//! Snapshot policies that the DittoServer declares for shares without one of their own.

use anyhow::{Result, ensure};
use cluster_tests::adapters::Admin;
use cluster_tests::shares::{Stage, answers, becomes, ready_made};
use cluster_tests::{Controller, Outcome, Pods, World, scenario, until};
use k8s_openapi::api::events::v1::Event;
use serde_json::{Value, json};

use super::open;
use super::ownership::by_hand;

/// Waits until a share has a policy with this interval.
async fn every(admin: &Admin, share: &str, interval: &str) -> Result<()> {
    let path = format!("/shares/{share}/snapshot-policy");
    let what = format!("{share} has a snapshot every {interval}");
    answers(admin, &path, &what, |policy| policy["interval"] == interval).await?;
    Ok(())
}

/// Waits until a share has no policy.
async fn never(admin: &Admin, share: &str) -> Result<()> {
    let path = "/snapshot-policies";
    let name = format!("/{share}");
    let is_of = |policy: &Value| policy["share"] == name;
    answers(admin, path, &format!("{share} has no policy"), |list| {
        !list.as_array().is_some_and(|list| list.iter().any(is_of))
    })
    .await?;
    Ok(())
}

/// Waits until an event about the server names a share.
async fn told(world: &World, share: &str) -> Result<()> {
    until(&format!("an event names {share}"), async || {
        let events = world.api::<Event>().list(&Default::default()).await?;
        let notes = events.items.into_iter().filter_map(|event| {
            (event.reason.as_deref() == Some("SnapshotPolicyNotSet")).then_some(event.note)?
        });
        let notes: Vec<String> = notes.collect();
        Ok(if notes.iter().any(|note| note.contains(share)) {
            Ok(())
        } else {
            Err(notes.join("; "))
        })
    })
    .await
}

#[test]
fn snapshot_policies_of_the_server_hold_for_shares_that_have_none_of_their_own() -> Outcome {
    scenario("policies", Pods::Run, async |world| {
        let Stage {
            servers: _servers,
            adapters: _adapters,
            shares,
            admin,
        } = Stage::set(world, json!({})).await?;
        for share in ["people", "old"] {
            by_hand(&admin, share).await?;
        }
        let own = json!({"interval": "7h"});
        admin.put("/shares/people/snapshot-policy", own).await?;
        let policies = json!([
            {"share": "/old", "interval": "@daily", "keepLast": 3},
            {"share": "films", "interval": "2h", "enabled": false},
            {"share": "music", "interval": "3h"},
            {"share": "not-there", "interval": "4h"}]);
        // No DittoFSShare is there yet, as on a server of the Go operator.
        world
            .change(json!({"spec": {"snapshotPolicies": policies}}))
            .await?;
        every(&admin, "old", "24h0m0s").await?;
        told(world, "not-there").await?;
        ready_made(world, "films", open()).await?;
        let mut music = open();
        music["snapshotPolicy"] = json!({"interval": "6h"});
        ready_made(world, "music", music).await?;
        every(&admin, "films", "2h0m0s").await?;
        every(&admin, "music", "6h0m0s").await?;
        shares.quiet().await?;
        every(&admin, "music", "6h0m0s").await?;
        every(&admin, "people", "7h0m0s").await?;

        // It stays as declared, and comes when the share's own goes.
        let other = json!({"interval": "9h"});
        admin.put("/shares/old/snapshot-policy", other).await?;
        every(&admin, "old", "24h0m0s").await?;
        becomes(world, "music", json!({"snapshotPolicy": null})).await?;
        every(&admin, "music", "3h0m0s").await?;

        // What leaves the list is taken back, also when nobody was there to see it.
        let policies = json!([{"share": "films", "interval": "2h", "enabled": false}]);
        world
            .change(json!({"spec": {"snapshotPolicies": policies}}))
            .await?;
        never(&admin, "old").await?;
        never(&admin, "music").await?;
        shares.stop().await?;
        world
            .change(json!({"spec": {"snapshotPolicies": []}}))
            .await?;
        let again = Controller::shares(world).await?;
        never(&admin, "films").await?;
        again.quiet().await?;
        every(&admin, "people", "7h0m0s").await?;
        let note = admin.get("/settings/operator.snapshot-policies").await?;
        ensure!(note["value"] == r#"{"shares":[]}"#, "{note}");
        Ok(())
    })
}
