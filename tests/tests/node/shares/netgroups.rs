//! Addresses from which a share may be mounted: NFSv3 alone is held back by them.

use anyhow::ensure;
use cluster_tests::clients::Refusal;
use cluster_tests::shares::{self, SHARE, Stage, becomes, condition, ready_made};
use cluster_tests::{Outcome, Pods, scenario};
use serde_json::{Value, json};

use super::{ANONYMOUS, gets, refused};

/// Every address of the cluster and of this machine's link to it.
const IN: &str = "10.0.0.0/8";
/// Addresses of documents (RFC 5737), which nobody has.
const OUT: &str = "192.0.2.0/24";

fn clients(ranges: &[&str]) -> Value {
    json!({"access": {"defaultPermission": "read-write", "nfs": {"clients": ranges}}})
}

#[test]
fn addresses_hold_back_nfsv3_and_nothing_else_and_the_status_says_so() -> Outcome {
    scenario("clients", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let found = ready_made(world, SHARE, clients(&[OUT, IN])).await?;
        let nfs = shares::nfs(&found)?.by(ANONYMOUS);
        let smb = shares::smb(&found)?;
        gets("an address in the list", async || {
            nfs.write("a", b"a").await
        })
        .await?;
        let message = condition(world, SHARE, "AccessApplied", "True", "NFSv3Only").await?;
        ensure!(message.contains("NetworkPolicy"), "{message}");

        becomes(world, SHARE, clients(&[OUT])).await?;
        refused(
            "an address that is not in the list",
            &Refusal::Denied,
            async || nfs.list().await,
        )
        .await?;
        // What the condition warns of.
        let entries = gets("NFSv4 is not held back", async || nfs.v4().list().await).await?;
        ensure!(entries.iter().any(|entry| entry.name == "a"), "{entries:?}");
        let text = gets("SMB is not held back", async || smb.read("a").await).await?;
        ensure!(text == b"a", "{text:?}");

        // Not declared any more: everybody may mount again, and our netgroup goes.
        becomes(world, SHARE, json!({"access": {"nfs": null}})).await?;
        gets("no list", async || nfs.read("a").await).await?;
        let groups = stage.admin.get("/adapters/nfs/netgroups").await?;
        let none = groups.as_array().is_none_or(Vec::is_empty);
        ensure!(none, "{groups}");
        let reasons = found_reason(world).await?;
        ensure!(reasons != "NFSv3Only", "{reasons}");
        Ok(())
    })
}

async fn found_reason(world: &cluster_tests::World) -> anyhow::Result<String> {
    let share = shares::get(world, SHARE).await?;
    let conditions = share.status.map(|status| status.conditions);
    let mut conditions = conditions.into_iter().flatten();
    let found = conditions.find(|found| found.type_ == "AccessApplied");
    Ok(found.map(|found| found.reason).unwrap_or_default())
}

#[test]
fn a_netgroup_of_the_server_is_used_as_it_is() -> Outcome {
    scenario("netgroup", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let admin = &stage.admin;
        admin
            .post("/adapters/nfs/netgroups", json!({"name": "lan"}))
            .await?;
        let member = json!({"type": "cidr", "value": OUT});
        let members = "/adapters/nfs/netgroups/lan/members";
        let out = admin.post(members, member).await?;
        let spec =
            json!({"access": {"defaultPermission": "read-write", "nfs": {"netgroup": "lan"}}});
        let found = ready_made(world, SHARE, spec).await?;
        let nfs = shares::nfs(&found)?.by(ANONYMOUS);
        condition(world, SHARE, "AccessApplied", "True", "NFSv3Only").await?;
        refused("not in the netgroup", &Refusal::Denied, async || {
            nfs.list().await
        })
        .await?;

        // Its members are somebody else's.
        admin
            .post(members, json!({"type": "cidr", "value": IN}))
            .await?;
        gets("in the netgroup", async || nfs.list().await).await?;
        let id = out["id"].as_str().unwrap_or_default();
        let group = admin.get("/adapters/nfs/netgroups/lan").await?;
        ensure!(
            group["members"]
                .as_array()
                .is_some_and(|all| all.len() == 2),
            "{group}"
        );
        ensure!(group.to_string().contains(id), "{group}");

        let wrong = json!({"spec": {"access": {"nfs": {"netgroup": "there-is-none"}}}});
        shares::change(world, SHARE, wrong).await?;
        let message = shares::fails(world, SHARE, "AccessApplied");
        let message = message.await?;
        ensure!(message.contains("there-is-none"), "{message}");
        // As it was before: nobody else may mount it meanwhile.
        let options = admin.get("/shares/films/adapters/nfs/config").await?;
        ensure!(options["netgroup"] == "lan", "{options}");

        // The netgroup was not ours to remove.
        becomes(world, SHARE, json!({"access": {"nfs": null}})).await?;
        admin.get("/adapters/nfs/netgroups/lan").await?;
        let options = admin.get("/shares/films/adapters/nfs/config").await?;
        ensure!(options["netgroup"] == "", "{options}");
        Ok(())
    })
}
