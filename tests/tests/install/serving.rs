//! The controllers in the cluster do their work, with the rights and the way to the servers that they have there.

use anyhow::{Result, ensure};
use cluster_tests::deployed::{CONTROLLERS, alone, install};
use cluster_tests::installation::OPERATOR;
use cluster_tests::kubectl::kubectl;
use cluster_tests::shares::{self, SHARE, ready_made};
use cluster_tests::world::run;
use cluster_tests::{Outcome, Pods, scenario, until};
use serde_json::json;

#[test]
fn a_server_becomes_ready_and_its_share_is_written_and_read() -> Outcome {
    let _alone = alone();
    run(install)?;
    scenario("deployed", Pods::Run, async |world| {
        world.serve(json!({})).await?;
        let spec = json!({"access": {"defaultPermission": "read-write"}});
        let share = ready_made(world, SHARE, spec).await?;
        world.condition("Ready", "True", "AllReady").await?;
        let (nfs, smb) = (shares::nfs(&share)?, shares::smb(&share)?);
        // The node learns of a new pod a moment after the API server.
        until("a file is written over NFS", async || {
            let answer = nfs.write("hello", b"hello").await?;
            Ok(answer.map_err(|refusal| format!("{refusal:?}")))
        })
        .await?;
        let found = until("it is read over SMB", async || {
            let answer = smb.read("hello").await?;
            Ok(answer.map_err(|refusal| format!("{refusal:?}")))
        })
        .await?;
        ensure!(found == b"hello", "{found:?}");

        for controller in CONTROLLERS {
            let user = format!("system:serviceaccount:{OPERATOR}:dittofs-{controller}");
            let asked = world.cluster.audit.since(world.beginning, &user)?;
            let forwards = |entry: &&_| -> bool {
                let entry: &cluster_tests::audit::Entry = entry;
                entry.resource == "pods/portforward"
            };
            ensure!(
                !asked.iter().any(|entry| forwards(&entry)),
                "{controller} forwards ports in the cluster"
            );
            logs_are_clean(controller).await?;
        }
        Ok(())
    })
}

/// Every line is an object with a time and a message.
async fn logs_are_clean(controller: &str) -> Result<()> {
    let selector = format!("app.kubernetes.io/component={controller}");
    let text = kubectl(&["logs", "-n", OPERATOR, "-l", &selector, "--tail=-1"], "").await?;
    ensure!(!text.is_empty(), "{controller} says nothing");
    for line in text.lines() {
        let parsed: serde_json::Value = serde_json::from_str(line)
            .map_err(|error| anyhow::anyhow!("{controller}: {line:?}: {error}"))?;
        ensure!(
            parsed["timestamp"].is_string() && parsed["level"].is_string(),
            "{controller}: {line}"
        );
    }
    Ok(())
}
