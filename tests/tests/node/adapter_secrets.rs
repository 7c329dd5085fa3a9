//! Secrets stay where they belong, and the account goes with its server.

use anyhow::{Context, Result, ensure};
use api_types::DittoServer;
use api_types::names;
use cluster_tests::adapters::{Admin, served};
use cluster_tests::certificates::Authority;
use cluster_tests::{Controller, Outcome, Pods, SERVER, World, logs, scenario, until};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Secret};
use k8s_openapi::api::events::v1::Event as NewEvent;
use kube::api::{DeleteParams, Patch};
use serde_json::json;

use crate::adapter_account::USER;

/// Every value of every Secret of the namespace that is long enough to be told from other text.
async fn values(world: &World) -> Result<Vec<String>> {
    let secrets = world.api::<Secret>().list(&Default::default()).await?;
    let mut values = Vec::new();
    for secret in secrets {
        for (key, value) in secret.data.unwrap_or_default() {
            // Certificates are public.
            if key == "ca.crt" || key == "tls.crt" {
                continue;
            }
            let text = String::from_utf8(value.0)?;
            // One line of a key tells as much as all of them.
            let lines = text.lines().filter(|line| !line.starts_with("-----"));
            values.extend(lines.filter(|line| line.len() >= 8).map(str::to_owned));
        }
    }
    Ok(values)
}

#[test]
fn adapter_secrets_are_in_no_log_status_event_or_config_map() -> Outcome {
    scenario("secrets", Pods::Run, async |world| {
        logs::keep();
        world
            .secret("ldap", json!({"password": "the-word-for-ldap-1"}))
            .await?;
        world
            .secret(
                "cert",
                Authority::new("one")?.secret(&["files.example.org"])?,
            )
            .await?;
        let section = json!({"enabled": true, "url": "ldaps://127.0.0.1:1", "baseDN": "dc=example",
            "bindDN": "cn=files", "bindPasswordSecretRef": {"name": "ldap", "key": "password"}});
        let spec = json!({"identity": {"ldap": section}, "adapters": {"nfs": {"tls": {"secretName": "cert"}}}});
        let (_servers, adapters, admin) = served(world, spec).await?;
        let mut secrets = values(world).await?;
        ensure!(secrets.len() >= 5, "{} values", secrets.len());

        // What goes wrong is told with words of the server, and of the libraries.
        let wrong = Patch::Merge(json!({"stringData": {"password": "a-wrong-admin-word"}}));
        let name = names::admin_secret(SERVER);
        let right = cluster_tests::rest::password(world).await?;
        admin.delete(&format!("/users/{USER}")).await?;
        adapters.stop().await?;
        let api = world.api::<Secret>();
        api.patch(&name, &Default::default(), &wrong).await?;
        let adapters = Controller::adapters(world).await?;
        world
            .condition("Authenticated", "False", "Unauthorized")
            .await?;
        let right = Patch::Merge(json!({"stringData": {"password": right}}));
        api.patch(&name, &Default::default(), &right).await?;
        world
            .condition("Authenticated", "True", "AccountWorks")
            .await?;
        let refused = json!({"spec": {"identity": {"ldap": {"url": "ldaps://"}}}});
        world.change(refused).await?;
        adapters.quiet().await?;

        secrets.push("a-wrong-admin-word".to_owned());
        // What every token of the server begins with.
        secrets.push("eyJhbGciOi".to_owned());
        let listed = Default::default();
        let places = [
            ("a log", logs::so_far()),
            ("the status", serde_json::to_string(&world.server().await?)?),
            (
                "an event",
                serde_json::to_string(&world.api::<Event>().list(&listed).await?.items)?,
            ),
            (
                "an event",
                serde_json::to_string(&world.api::<NewEvent>().list(&listed).await?.items)?,
            ),
            (
                "a ConfigMap",
                serde_json::to_string(&world.api::<ConfigMap>().list(&listed).await?.items)?,
            ),
        ];
        ensure!(
            places[0].1.contains("the settings") || places[0].1.len() > 1000,
            "nothing is logged"
        );
        for (place, text) in places {
            for (number, secret) in secrets.iter().enumerate() {
                ensure!(!text.contains(secret), "value {number} is in {place}");
            }
        }
        Ok(())
    })
}

#[test]
fn adapter_account_is_gone_from_the_data_that_outlives_its_server() -> Outcome {
    scenario("gone", Pods::Run, async |world| {
        let (servers, adapters, admin) = served(world, json!({})).await?;
        admin.get(&format!("/users/{USER}")).await?;
        world
            .api::<DittoServer>()
            .delete(SERVER, &DeleteParams::default())
            .await?;
        until("it is gone", async || {
            let pod = names::pod(SERVER);
            let pod = world
                .api::<k8s_openapi::api::core::v1::Pod>()
                .get_opt(&pod)
                .await?;
            let server = world.api::<DittoServer>().get_opt(SERVER).await?;
            Ok(if pod.is_none() && server.is_none() {
                Ok(())
            } else {
                Err("not yet".to_owned())
            })
        })
        .await?;
        adapters.stop().await?;

        // The same data under a server of the same name: only people's accounts are in it.
        world.serve(cluster_tests::adapters::fast()).await?;
        world.condition("Available", "True", "PodServing").await?;
        let admin = Admin::of(world).await?;
        let users = admin.get("/users").await?;
        let users = users.as_array().context("no list")?;
        let names: Vec<_> = users.iter().map(|user| user["username"].clone()).collect();
        ensure!(names.contains(&json!("admin")), "{names:?}");
        ensure!(!names.contains(&json!(USER)), "{names:?}");
        servers.quiet().await
    })
}
