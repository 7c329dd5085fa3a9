//! Addresses from outside: load balancers that are late, servers that are stopped.

use std::time::Duration;

use anyhow::ensure;
use api_types::names;
use api_types::v1alpha1::AdapterKind::{Nfs, Smb};
use cluster_tests::adapters::{address, find, leads, served, told};
use cluster_tests::wait::within;
use cluster_tests::world::somebody;
use cluster_tests::{Outcome, Pods, SERVER, scenario, until};
use k8s_openapi::api::core::v1::{Event, Service};
use kube::ResourceExt;
use kube::api::Patch;
use serde_json::json;

#[test]
fn adapter_addresses_that_are_late_are_reported_with_the_providers_words() -> Outcome {
    scenario("late", Pods::Run, async |world| {
        let spec = json!({"adapterServices": {"addressDeadlineSeconds": 30,
            "overrides": [{"adapter": "nfs", "type": "LoadBalancer", "loadBalancerClass": "example.org/nobody"}]}});
        let (_servers, adapters, _) = served(world, spec).await?;
        world
            .condition("AddressesReady", "False", "AddressPending")
            .await?;
        // No part of it: clients inside the cluster are served.
        world.condition("Ready", "True", "AllReady").await?;
        let before = address(world, Nfs).await?;
        let name = names::adapter(SERVER, Nfs);
        let service = world.api::<Service>().get(&name).await?;
        world
            .create_json::<Event>(json!({
                "metadata": {"name": "provider"}, "type": "Warning", "reason": "AllocationFailed",
                "message": "no available IPs in pool public",
                "involvedObject": {"kind": "Service", "namespace": world.namespace, "name": name, "uid": service.uid()},
            }))
            .await?;
        let limit = Duration::from_secs(240);
        let message = within(limit, "the deadline is reported", async || {
            let status = world.server().await?.status.unwrap_or_default();
            let mut conditions = status.conditions.into_iter();
            let found = conditions.find(|condition| condition.type_ == "AddressesReady");
            Ok(match found {
                Some(found) if found.reason == "ExternalIPPending" => Ok(found.message),
                other => Err(format!("{other:?}")),
            })
        })
        .await?;
        for part in [
            "files-adapter-nfs",
            "no available IPs in pool public",
            "MetalLB",
        ] {
            ensure!(message.contains(part), "{message}");
        }
        adapters.quiet().await?;

        let given = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}});
        world
            .api::<Service>()
            .patch_status(&name, &somebody(), &Patch::Merge(given))
            .await?;
        world
            .condition("AddressesReady", "True", "AddressesAssigned")
            .await?;
        told(world, Nfs, "the address is in the status", |nfs| {
            let addresses = nfs.and_then(|nfs| nfs.addresses.clone());
            let mut addresses = addresses.into_iter().flatten();
            addresses
                .any(|address| address.value == "192.0.2.7" && address.kind == "LoadBalancerIP")
        })
        .await?;
        ensure!(address(world, Nfs).await? == before, "another address");

        // Another type: in place.
        world
            .change(json!({"spec": {"adapterServices": {"overrides": [{"adapter": "nfs", "type": "NodePort", "port": 12049}]}}}))
            .await?;
        leads(world, Nfs, &[(12049, 12049)]).await?;
        world
            .condition("AddressesReady", "True", "NoLoadBalancer")
            .await?;
        told(world, Nfs, "a node port", |nfs| {
            let service = nfs.and_then(|nfs| nfs.service.as_ref());
            service.is_some_and(|service| service.kind == "NodePort" && service.node_port.is_some())
        })
        .await?;
        ensure!(address(world, Nfs).await? == before, "another address");
        Ok(())
    })
}

#[test]
fn adapter_addresses_of_a_stopped_server_stay_unless_it_releases_them() -> Outcome {
    scenario("stopped", Pods::Run, async |world| {
        let (servers, adapters, _) = served(world, json!({})).await?;
        let before = address(world, Nfs).await?;
        world.change(json!({"spec": {"replicas": 0}})).await?;
        world
            .condition("AdaptersReady", "Unknown", "ServerNotAvailable")
            .await?;
        world.condition("Ready", "False", "Stopped").await?;
        servers.quiet().await?;
        adapters.quiet().await?;
        ensure!(address(world, Nfs).await? == before, "another address");

        let release = json!({"spec": {"adapterServices": {"whenStopped": "Release"}}});
        world.change(release).await?;
        until("no Service is left", async || {
            let left = [find(world, Nfs).await?, find(world, Smb).await?];
            let left: Vec<_> = left.iter().flatten().map(ResourceExt::name_any).collect();
            Ok(if left.is_empty() {
                Ok(())
            } else {
                Err(left.join(", "))
            })
        })
        .await?;

        // They are there before the pod is.
        world.change(json!({"spec": {"replicas": 1}})).await?;
        leads(world, Nfs, &[(2049, 12049)]).await?;
        leads(world, Smb, &[(445, 1445)]).await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        world.condition("Ready", "True", "AllReady").await?;
        Ok(())
    })
}

#[test]
fn adapter_objects_go_with_their_server_and_its_account_before_it() -> Outcome {
    scenario("adapter-end", Pods::Run, async |world| {
        let (_servers, _adapters, _) = served(world, json!({})).await?;
        world
            .api::<api_types::DittoServer>()
            .delete(SERVER, &Default::default())
            .await?;
        until("nothing of the adapters is left", async || {
            let services = world.api::<Service>().list(&Default::default()).await?;
            let policies = world
                .api::<k8s_openapi::api::networking::v1::NetworkPolicy>()
                .list(&Default::default())
                .await?;
            let secret = names::adapter_credentials(SERVER);
            let secret = world
                .api::<k8s_openapi::api::core::v1::Secret>()
                .get_opt(&secret)
                .await?;
            let left: Vec<String> = services
                .iter()
                .map(ResourceExt::name_any)
                .chain(policies.iter().map(ResourceExt::name_any))
                .chain(secret.iter().map(ResourceExt::name_any))
                .collect();
            Ok(if left.is_empty() {
                Ok(())
            } else {
                Err(left.join(", "))
            })
        })
        .await
    })
}
