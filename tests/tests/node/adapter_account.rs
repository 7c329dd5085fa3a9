//! The adapter-controller's account in a real server: made, mended, and left alone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::names;
use api_types::v1alpha1::AdapterKind::Nfs;
use cluster_tests::adapters::{Admin, address, served};
use cluster_tests::world::somebody;
use cluster_tests::{Controller, Outcome, Pods, SERVER, World, scenario, until};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch};
use serde_json::{Value, json};

const USER: &str = "dittofs-adapter-controller";

/// The password that lies in our Secret.
async fn stored(world: &World) -> Result<String> {
    let name = names::adapter_credentials(SERVER);
    let secret = world.api::<Secret>().get(&name).await?;
    let mut data = secret.data.context("no data")?;
    let ByteString(password) = data.remove("password").context("no password")?;
    ensure!(data.is_empty(), "more than the password: {:?}", data.keys());
    Ok(String::from_utf8(password)?)
}

/// Waits until the password in our Secret opens the server with the account in `role`.
async fn works(world: &World, admin: &Admin, role: &str) -> Result<()> {
    until("the account works", async || {
        let password = stored(world).await?;
        if let Err(error) = admin.rest.session(USER, &password).await {
            return Ok(Err(format!("{error:#}")));
        }
        let user = admin.get(&format!("/users/{USER}")).await?;
        Ok(if user["role"] == role {
            Ok(())
        } else {
            Err(user.to_string())
        })
    })
    .await
}

/// Puts another administrator's password into the Secret, or the old one back.
async fn set_admin(world: &World, password: &str) -> Result<()> {
    let name = names::admin_secret(SERVER);
    let patch = json!({"stringData": {"password": password}});
    world
        .api::<Secret>()
        .patch(&name, &somebody(), &Patch::Merge(patch))
        .await?;
    Ok(())
}

#[test]
fn adapter_account_is_made_and_mended_whatever_people_do_to_it() -> Outcome {
    scenario("account", Pods::Run, async |world| {
        let (_servers, adapters, admin) = served(world, json!({})).await?;
        let nfs = address(world, Nfs).await?;
        works(world, &admin, "operator").await?;

        // Somebody changes its password: a controller without a session mends it.
        let path = format!("/users/{USER}");
        let other = json!({"new_password": "changed-by-a-person"});
        admin.post(&format!("{path}/password"), other).await?;
        adapters.stop().await?;
        let adapters = Controller::adapters(world).await?;
        works(world, &admin, "operator").await?;
        world
            .condition("Authenticated", "True", "AccountWorks")
            .await?;

        // Somebody deletes it, and then the Secret.
        admin.delete(&path).await?;
        adapters.stop().await?;
        let adapters = Controller::adapters(world).await?;
        works(world, &admin, "operator").await?;
        let name = names::adapter_credentials(SERVER);
        let secrets = world.api::<Secret>();
        let before = secrets.get(&name).await?.uid();
        secrets.delete(&name, &DeleteParams::default()).await?;
        until("there is another Secret", async || {
            let found = secrets.get_opt(&name).await?;
            let found = found.and_then(|secret| secret.uid());
            Ok(if found.is_some() && found != before {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            })
        })
        .await?;
        works(world, &admin, "operator").await?;
        world
            .condition("Authenticated", "True", "AccountWorks")
            .await?;

        // Somebody switches it off: that is the last word.
        admin.put(&path, json!({"enabled": false})).await?;
        adapters.stop().await?;
        let _adapters = Controller::adapters(world).await?;
        world
            .condition("Authenticated", "False", "Forbidden")
            .await?;
        admin.put(&path, json!({"enabled": true})).await?;
        world
            .condition("Authenticated", "True", "AccountWorks")
            .await?;
        ensure!(address(world, Nfs).await? == nfs, "another address");
        Ok(())
    })
}

#[test]
fn adapter_account_waits_for_the_right_administrators_password() -> Outcome {
    scenario("admin-password", Pods::Run, async |world| {
        // So rarely that only the change of the Secret can wake it.
        let rarely = json!({"adapterDiscovery": {"pollingInterval": "5m"}});
        let (_servers, adapters, admin) = served(world, rarely).await?;
        let nfs = address(world, Nfs).await?;
        let right = cluster_tests::rest::password(world).await?;
        adapters.stop().await?;
        admin.delete(&format!("/users/{USER}")).await?;
        set_admin(world, "not-the-password").await?;

        let adapters = Controller::adapters(world).await?;
        let message = world
            .condition("Authenticated", "False", "Unauthorized")
            .await?;
        let secret = names::admin_secret(SERVER);
        ensure!(message.contains(&secret), "{message}");
        world
            .condition("AdaptersReady", "Unknown", "ViewOutdated")
            .await?;
        ensure!(address(world, Nfs).await? == nfs, "another address");
        ensure!(!message.contains("not-the-password"), "{message}");
        // It knocks at intervals, not in a loop.
        adapters.quiet().await?;
        let mark = world.cluster.audit.mark()?;
        tokio::time::sleep(Duration::from_secs(8)).await;
        let writes = world.writes(mark)?;
        let writes: Vec<_> = writes
            .iter()
            .filter(|entry| entry.resource != "pods/portforward")
            .collect();
        ensure!(
            writes.is_empty(),
            "{}",
            cluster_tests::audit::listed(writes)
        );

        set_admin(world, &right).await?;
        world
            .condition("Authenticated", "True", "AccountWorks")
            .await?;
        works(world, &admin, "operator").await?;
        ensure!(address(world, Nfs).await? == nfs, "another address");
        Ok(())
    })
}

#[test]
fn adapter_settings_are_as_declared_and_otherwise_as_people_leave_them() -> Outcome {
    scenario("declared", Pods::Run, async |world| {
        let (_servers, _adapters, admin) = served(world, json!({})).await?;
        let nfs = address(world, Nfs).await?;
        let lease = async |expected: i64| {
            until(&format!("a lease of {expected} s"), async || {
                let settings = admin.get("/adapters/nfs/settings").await?;
                Ok(if settings["lease_time"] == expected {
                    Ok(())
                } else {
                    Err(settings["lease_time"].to_string())
                })
            })
            .await
        };
        let people = json!({"lease_time": 77, "max_clients": 500});
        let mut all = admin.get("/adapters/nfs/settings").await?;
        cluster_tests::world::merge(&mut all, people);
        admin.put("/adapters/nfs/settings", all).await?;

        let declared = json!({"adapters": {
            "nfs": {"port": 12060, "settings": {"leaseTime": 60, "blockedOperations": ["REMOVE"]}},
            "smb": {"enabled": false},
        }});
        world.change(json!({"spec": declared})).await?;
        lease(60).await?;
        cluster_tests::adapters::leads(world, Nfs, &[(2049, 12060)]).await?;
        cluster_tests::adapters::answers(world, Nfs, 2049).await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        works(world, &admin, "admin").await?;
        let smb = admin.get("/adapters/smb").await?;
        ensure!(smb["enabled"] == false, "{smb}");
        let settings = admin.get("/adapters/nfs/settings").await?;
        ensure!(settings["max_clients"] == 500, "not declared: {settings}");

        // What is declared is put back.
        let mut all = settings;
        cluster_tests::world::merge(&mut all, json!({"lease_time": 300}));
        admin.put("/adapters/nfs/settings", all).await?;
        admin.put("/adapters/nfs", json!({"port": 12061})).await?;
        lease(60).await?;
        cluster_tests::adapters::leads(world, Nfs, &[(2049, 12060)]).await?;

        // A port that another listener has is not sent: the server would store it.
        let version = admin.get("/adapters/smb").await?["updated_at"].clone();
        admin.put("/adapters/smb", json!({"enabled": true})).await?;
        let clash = json!({"spec": {"adapters": {"smb": {"enabled": null, "port": null}, "nfs": {"port": 1445}}}});
        world.change(clash).await?;
        let message = world
            .condition("AdaptersReady", "False", "SettingsNotApplied")
            .await?;
        ensure!(message.contains("1445"), "{message}");
        let row = admin.get("/adapters/nfs").await?;
        ensure!(row["port"] == 12060, "{row}");
        ensure!(version != Value::Null, "no time of change");

        // No longer declared: it stays, and the account may no longer change it.
        world.change(json!({"spec": {"adapters": null}})).await?;
        works(world, &admin, "operator").await?;
        lease(60).await?;
        ensure!(address(world, Nfs).await? == nfs, "another address");
        Ok(())
    })
}
