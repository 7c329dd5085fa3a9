//! The adapter-controller and a server whose API wants TLS, and certificates of its clients.

use anyhow::ensure;
use api_types::v1alpha1::AdapterKind::Nfs;
use cluster_tests::adapters::{address, fast};
use cluster_tests::certificates::Authority;
use cluster_tests::world::merge;
use cluster_tests::{Controller, Outcome, Pods, SERVER, scenario};
use k8s_openapi::api::core::v1::Secret;
use kube::api::Patch;
use serde_json::json;

#[test]
fn adapter_polls_go_over_tls_with_a_client_certificate() -> Outcome {
    scenario("adapter-tls", Pods::Run, async |world| {
        let servers = Controller::start(world).await?;
        let adapters = Controller::adapters(world).await?;
        let host = format!("{SERVER}-api.{}.svc.cluster.local", world.namespace);
        let (authority, clients, others) = (
            Authority::new("servers")?,
            Authority::new("clients")?,
            Authority::new("others")?,
        );
        world.secret("cert", authority.secret(&[&host])?).await?;
        world.secret("ca", json!({"ca.crt": clients.pem})).await?;
        let mut spec = fast();
        let plane = json!({"controlPlane": {"certSecretName": "cert", "clientCASecretName": "ca"}});
        merge(&mut spec, plane);
        world.serve(spec).await?;

        // The API wants a certificate, and none is named for us.
        let message = world
            .condition("Authenticated", "False", "TLSError")
            .await?;
        ensure!(message.contains("clientCertSecretName"), "{message}");

        // One of another authority does no better.
        world.secret("client", others.secret(&["us"])?).await?;
        let named = json!({"spec": {"controlPlane": {"clientCertSecretName": "client"}}});
        world.change(named).await?;
        world
            .condition("Authenticated", "False", "TLSError")
            .await?;

        // The right one, in the same Secret: its change is noticed.
        let right = json!({"stringData": clients.secret(&["us"])?});
        world
            .api::<Secret>()
            .patch("client", &Default::default(), &Patch::Merge(right))
            .await?;
        world
            .condition("Authenticated", "True", "AccountWorks")
            .await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        world.condition("Ready", "True", "AllReady").await?;
        let nfs = address(world, Nfs).await?;

        // An authority that did not sign the server's certificate: what is known stays.
        let wrong = json!({"stringData": {"ca.crt": others.pem}});
        world
            .api::<Secret>()
            .patch("cert", &Default::default(), &Patch::Merge(wrong))
            .await?;
        world
            .condition("Authenticated", "False", "TLSError")
            .await?;
        world
            .condition("AdaptersReady", "Unknown", "ViewOutdated")
            .await?;
        ensure!(address(world, Nfs).await? == nfs, "another address");
        servers.quiet().await?;
        adapters.quiet().await
    })
}
