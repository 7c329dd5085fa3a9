//! The adapter Services of the Go operator become ours while clients use them.

use anyhow::{Context, ensure};
use api_types::names;
use api_types::v1alpha1::AdapterKind::{self, Nfs, Smb};
use cluster_tests::adapters::{Admin, address, answers, leads};
use cluster_tests::predecessor::{self, PASSWORD};
use cluster_tests::{Controller, Outcome, Pods, SERVER, belongings, scenario, until};
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use serde_json::json;

use crate::takeover::in_use;

/// Its account in the server.
const ACCOUNT: &str = "k8s-operator";

#[test]
fn adapter_services_of_the_go_operator_keep_uid_address_and_ports() -> Outcome {
    scenario("adapter-takeover", Pods::Run, async |world| {
        let (rest, _) = in_use(world).await?;
        let token = rest.session("admin", PASSWORD).await?;
        let account =
            json!({"username": ACCOUNT, "password": "predecessor-account", "role": "operator"});
        let post = reqwest::Method::POST;
        rest.call(&token, post, "/users", Some(account)).await?;
        let policies = world.api::<NetworkPolicy>();
        let policy = names::adapter(SERVER, Nfs);
        let before = (
            address(world, Nfs).await?,
            address(world, Smb).await?,
            policies.get(&policy).await?.uid(),
        );

        // Its objects are taken over whichever controller is there first.
        let adapters = Controller::adapters(world).await?;
        let servers = Controller::start(world).await?;
        until("nothing of the predecessor is left", async || {
            let mut traces = predecessor::traces(world).await?;
            // Its condition of this name; the adapter-controller has one too.
            traces.retain(|trace| !trace.ends_with(": Authenticated"));
            Ok(if traces.is_empty() {
                Ok(())
            } else {
                Err(traces.join("\n"))
            })
        })
        .await?;
        servers.quiet().await?;
        leads(world, Nfs, &[(2049, 12049), (12049, 12049), (111, 10111)]).await?;
        leads(world, Smb, &[(445, 1445), (1445, 1445), (5357, 5357)]).await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        world.condition("Ready", "True", "AllReady").await?;
        // Through port 12049, as it was mounted.
        let address_of_nfs = names::adapter(SERVER, Nfs);
        belongings::there(world, &rest, PASSWORD, &address_of_nfs).await?;
        answers(world, Nfs, 2049).await?;

        until("the account and its Secret are gone", async || {
            let name = names::predecessor_account_secret(SERVER);
            let secret = world.api::<Secret>().get_opt(&name).await?;
            let admin = Admin::of_password(world, PASSWORD).await?;
            let users = admin.get("/users").await?.to_string();
            Ok(if secret.is_none() && !users.contains(ACCOUNT) {
                Ok(())
            } else {
                Err(format!("Secret {}, users {users}", secret.is_some()))
            })
        })
        .await?;
        for kind in AdapterKind::ALL {
            let name = names::adapter(SERVER, kind);
            let service = world.api::<Service>().get(&name).await?;
            let policy = policies.get(&name).await?;
            for entries in [&service.metadata, &policy.metadata] {
                let entries = entries.managed_fields.as_deref().unwrap_or_default();
                let mut managers = entries.iter().map(|entry| entry.manager.as_deref());
                ensure!(
                    managers.all(|manager| manager == Some("dittofs-adapter-controller")),
                    "{name}: {entries:?}"
                );
            }
            let ingress = policy.spec.and_then(|spec| spec.ingress);
            let admitted = serde_json::to_string(&ingress)?;
            for port in service.spec.and_then(|spec| spec.ports).unwrap_or_default() {
                let led_to = serde_json::to_string(&port.target_port)?;
                ensure!(
                    admitted.contains(&format!("\"port\":{led_to}")),
                    "{name} leads to {led_to}, and {admitted} is admitted"
                );
            }
            let text = serde_json::to_string(&service.metadata.annotations)?;
            ensure!(!text.contains("managed-annotations"), "{name}: {text}");
        }

        world
            .change(json!({"spec": {"adapterServices": {"legacyPorts": false}}}))
            .await?;
        leads(world, Nfs, &[(2049, 12049)]).await?;
        leads(world, Smb, &[(445, 1445)]).await?;
        let after = (
            address(world, Nfs).await?,
            address(world, Smb).await?,
            policies.get(&policy).await?.uid(),
        );
        ensure!(after == before, "{after:?} instead of {before:?}");
        adapters.quiet().await?;
        ensure!(adapters.failures() == 0, "{} failures", adapters.failures());
        let status = world.server().await?.status.context("no status")?;
        ensure!(status.adapters.is_some_and(|adapters| adapters.len() == 2));
        Ok(())
    })
}
