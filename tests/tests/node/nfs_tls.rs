//! NFS over TLS: declared, renewed, taken back; and whatever is missing, the server serves.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::names;
use api_types::v1alpha1::AdapterKind::{Nfs, Smb};
use cluster_tests::adapters::{Admin, address, answers, served, told};
use cluster_tests::certificates::Authority;
use cluster_tests::pods::{another_pod, container_of, pod_of};
use cluster_tests::wait::within;
use cluster_tests::{Controller, Outcome, PodLog, Pods, SERVER, World, nfs_tls, scenario, until};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch};
use serde_json::{Value, json};

/// Name in the certificates.
const HOST: &str = "files.example.org";

/// A kubelet renews the files of a Secret with its next sync, which the kit asks for every 10 s.
const RENEWAL: Duration = Duration::from_secs(240);

fn declared(name: &str, mode: &str) -> Value {
    json!({"adapters": {"nfs": {"tls": {"secretName": name, "mode": mode}}}})
}

/// Where clients reach NFS.
async fn front(world: &World) -> Result<SocketAddr> {
    let (_, ip) = address(world, Nfs).await?;
    Ok(SocketAddr::new(ip.parse()?, 2049))
}

/// Waits until NFS is served over TLS with a certificate of `authority`; gives that.
async fn secured(world: &World, authority: &Authority) -> Result<Vec<u8>> {
    let front = front(world).await?;
    until("NFS over TLS is served", async || {
        let shown = nfs_tls::secured(front, HOST, &authority.pem).await;
        Ok(shown.map_err(|error| format!("{error:#}")))
    })
    .await
}

/// Waits until NFS is served without TLS. The node learns of a new pod or Service a moment after the API server.
async fn plain(world: &World) -> Result<()> {
    let front = front(world).await?;
    until("NFS is served without TLS", async || {
        let served = nfs_tls::plain(front).await;
        Ok(served.map_err(|error| format!("{error:#}")))
    })
    .await
}

/// Waits until the status says that this Secret is in use.
async fn in_use(world: &World, secret: Option<&str>) -> Result<()> {
    let what = format!("{secret:?} is in use");
    told(world, Nfs, &what, |nfs| {
        nfs.is_some_and(|nfs| nfs.tls_secret.as_deref() == secret)
    })
    .await
}

/// Whether the pod that runs mounts the certificate.
async fn is_mounted(world: &World) -> Result<bool> {
    let pod = pod_of(world, SERVER).await?;
    let container = container_of(&pod)?;
    ensure!(container.restart_count == 0, "{container:?}");
    let mut volumes = pod.spec.into_iter().flat_map(|spec| spec.volumes).flatten();
    Ok(volumes.any(|volume| volume.name == "nfs-tls"))
}

async fn gone(world: &World, admin: &Admin) -> Result<()> {
    in_use(world, None).await?;
    until("the pod has no certificate any more", async || {
        Ok(match is_mounted(world).await {
            Ok(false) => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await?;
    world.condition("Ready", "True", "AllReady").await?;
    let row = admin.get("/adapters/nfs").await?;
    ensure!(
        row["config"]["tls"] == Value::Null && row["enabled"] == true,
        "{row}"
    );
    Ok(())
}

#[test]
fn nfs_over_tls_is_served_renewed_and_taken_back_under_one_address() -> Outcome {
    scenario("nfs-tls", Pods::Run, async |world| {
        let (_servers, _adapters, admin) = served(world, json!({})).await?;
        let pods = PodLog::watch(world);
        let (nfs, smb) = (address(world, Nfs).await?, address(world, Smb).await?);
        let front = front(world).await?;
        plain(world).await?;
        let authority = Authority::new("one")?;
        let refused = nfs_tls::secured(front, HOST, &authority.pem).await;
        ensure!(refused.is_err(), "there is TLS already");

        world.secret("cert", authority.secret(&[HOST])?).await?;
        let spec = json!({"spec": declared("cert", "Opportunistic")});
        world.change(spec).await?;
        in_use(world, Some("cert")).await?;
        let first = secured(world, &authority).await?;
        plain(world).await?;
        world.condition("Ready", "True", "AllReady").await?;
        ensure!(is_mounted(world).await?, "no files");

        // Another mode: the adapter is started anew, the pod is not.
        world
            .change(json!({"spec": declared("cert", "Require")}))
            .await?;
        until("clients without TLS are refused", async || {
            Ok(match nfs_tls::plain(front).await {
                Ok(()) => Err("served".to_owned()),
                Err(_) => Ok(()),
            })
        })
        .await?;
        secured(world, &authority).await?;
        world.condition("Ready", "True", "AllReady").await?;

        // Renewed: shown to the next client, and nothing is started anew.
        let before = admin.get("/adapters/nfs").await?["updated_at"].clone();
        let pod = pod_of(world, SERVER).await?.uid();
        let renewed = Patch::Merge(json!({"stringData": authority.secret(&[HOST])?}));
        let secrets = world.api::<Secret>();
        secrets.patch("cert", &Default::default(), &renewed).await?;
        within(RENEWAL, "another certificate is shown", async || {
            let shown = secured(world, &authority).await?;
            Ok(if shown == first {
                Err("the old one".to_owned())
            } else {
                Ok(())
            })
        })
        .await?;
        let after = admin.get("/adapters/nfs").await?["updated_at"].clone();
        ensure!(before == after, "the adapter was written: {before} {after}");
        ensure!(pod_of(world, SERVER).await?.uid() == pod, "another pod");
        ensure!(pods.count(SERVER) == 2, "{} pods", pods.count(SERVER));

        // Another Secret: one more pod, with the same setting.
        let other = Authority::new("two")?;
        world.secret("other", other.secret(&[HOST])?).await?;
        world
            .change(json!({"spec": declared("other", "Require")}))
            .await?;
        in_use(world, Some("other")).await?;
        secured(world, &other).await?;

        world.change(json!({"spec": {"adapters": null}})).await?;
        gone(world, &admin).await?;
        answers(world, Nfs, 2049).await?;
        plain(world).await?;
        ensure!(pods.count(SERVER) == 4, "{} pods", pods.count(SERVER));
        ensure!(address(world, Nfs).await? == nfs, "another address");
        ensure!(address(world, Smb).await? == smb, "SMB has another address");
        Ok(())
    })
}

#[test]
fn nfs_over_tls_asks_clients_for_a_certificate_once_authorities_are_named() -> Outcome {
    scenario("nfs-mutual", Pods::Run, async |world| {
        let authority = Authority::new("servers")?;
        let clients = Authority::new("clients")?;
        let mut values = authority.secret(&[HOST])?;
        values["clients.crt"] = clients.pem.clone().into();
        world.secret("cert", values).await?;
        let (_servers, _adapters, _admin) = served(world, declared("cert", "Require")).await?;
        in_use(world, Some("cert")).await?;
        secured(world, &authority).await?;
        let pods = PodLog::watch(world);
        let front = front(world).await?;
        let own = clients.issue(&["client.example.org"])?;
        let stranger = authority.issue(&["client.example.org"])?;
        let ask = async |own| nfs_tls::secured_as(front, HOST, &authority.pem, own).await;

        let key =
            |key: Value| json!({"spec": {"adapters": {"nfs": {"tls": {"clientCAKey": key}}}}});
        // A key that is not there is told, and nothing is sent.
        world.change(key("nothing".into())).await?;
        world
            .condition("AdaptersReady", "False", "SettingsNotApplied")
            .await?;
        secured(world, &authority).await?;
        world.change(key("clients.crt".into())).await?;
        until("clients without a certificate are refused", async || {
            Ok(match ask(None).await {
                Ok(_) => Err("served".to_owned()),
                Err(_) => Ok(()),
            })
        })
        .await?;
        until("clients with a certificate are served", async || {
            Ok(ask(Some(&own)).await.map_err(|error| format!("{error:#}")))
        })
        .await?;
        world.condition("Ready", "True", "AllReady").await?;
        ensure!(ask(None).await.is_err(), "served without a certificate");
        ensure!(
            ask(Some(&stranger)).await.is_err(),
            "served with another certificate"
        );
        ensure!(ask(Some(&own)).await.is_ok(), "not served any more");

        world.change(key(Value::Null)).await?;
        secured(world, &authority).await?;
        world.condition("Ready", "True", "AllReady").await?;
        ensure!(pods.count(SERVER) == 1, "{} pods", pods.count(SERVER));
        Ok(())
    })
}

#[test]
fn nfs_over_tls_without_its_secret_never_keeps_the_server_from_its_start() -> Outcome {
    scenario("nfs-no-cert", Pods::Run, async |world| {
        let (_servers, _adapters, admin) = served(world, json!({})).await?;
        let nfs = address(world, Nfs).await?;
        let uid = pod_of(world, SERVER).await?.uid();

        // Missing from the beginning: the pod that runs stays, and is not told.
        world
            .change(json!({"spec": declared("cert", "Require")}))
            .await?;
        world
            .condition("ConfigReady", "False", "SecretMissing")
            .await?;
        let message = world
            .condition("AdaptersReady", "False", "SettingsNotApplied")
            .await?;
        ensure!(message.contains("cert"), "{message}");
        let row = admin.get("/adapters/nfs").await?;
        ensure!(row["config"]["tls"] == Value::Null, "{row}");
        ensure!(pod_of(world, SERVER).await?.uid() == uid, "another pod");
        plain(world).await?;

        let authority = Authority::new("one")?;
        let values = authority.secret(&[HOST])?;
        world.secret("cert", values.clone()).await?;
        in_use(world, Some("cert")).await?;
        secured(world, &authority).await?;

        // Deleted, and the pod made anew: everything but NFS is served.
        let secrets = world.api::<Secret>();
        secrets.delete("cert", &DeleteParams::default()).await?;
        let uid = pod_of(world, SERVER).await?.uid();
        let pods = world.api::<Pod>();
        pods.delete(&names::pod(SERVER), &DeleteParams::default())
            .await?;
        another_pod(world, SERVER, uid.as_deref()).await?;
        world.condition("Available", "True", "PodServing").await?;
        answers(world, Smb, 445).await?;
        told(world, Nfs, "NFS is not served", |nfs| {
            nfs.is_some_and(|nfs| nfs.enabled && !nfs.healthy && nfs.tls_secret.is_some())
        })
        .await?;

        // Back: NFS is started anew once the pod has the files.
        world.secret("cert", values).await?;
        within(RENEWAL, "NFS over TLS is back", async || {
            let shown = nfs_tls::secured(front(world).await?, HOST, &authority.pem).await;
            Ok(shown.map_err(|error| format!("{error:#}")))
        })
        .await?;
        world.condition("Ready", "True", "AllReady").await?;
        ensure!(address(world, Nfs).await? == nfs, "another address");
        Ok(())
    })
}

#[test]
fn nfs_over_tls_keeps_its_files_until_the_adapter_controller_has_taken_it_back() -> Outcome {
    scenario("nfs-alone", Pods::Run, async |world| {
        let authority = Authority::new("one")?;
        world.secret("cert", authority.secret(&[HOST])?).await?;
        let (servers, adapters, admin) = served(world, declared("cert", "Require")).await?;
        in_use(world, Some("cert")).await?;
        secured(world, &authority).await?;
        let nfs = address(world, Nfs).await?;

        adapters.stop().await?;
        world.change(json!({"spec": {"adapters": null}})).await?;
        let message = world
            .condition("Progressing", "False", "RolloutBlocked")
            .await?;
        ensure!(message.contains("NFS over TLS"), "{message}");
        world
            .condition("ConfigReady", "False", "StillInUse")
            .await?;
        servers.quiet().await?;
        ensure!(is_mounted(world).await?, "the files are gone");

        // A pod that is made anew meanwhile has them, too.
        let uid = pod_of(world, SERVER).await?.uid();
        let pods = world.api::<Pod>();
        pods.delete(&names::pod(SERVER), &DeleteParams::default())
            .await?;
        another_pod(world, SERVER, uid.as_deref()).await?;
        world.condition("Available", "True", "PodServing").await?;
        ensure!(is_mounted(world).await?, "the files are gone");
        secured(world, &authority).await?;

        let _adapters = Controller::adapters(world).await?;
        gone(world, &admin).await?;
        plain(world).await?;
        ensure!(address(world, Nfs).await? == nfs, "another address");
        Ok(())
    })
}

#[test]
fn nfs_is_switched_on_again_after_a_crash_between_off_and_on() -> Outcome {
    scenario("nfs-between", Pods::Run, async |world| {
        let authority = Authority::new("one")?;
        world.secret("cert", authority.secret(&[HOST])?).await?;
        let (_servers, adapters, admin) = served(world, declared("cert", "Require")).await?;
        in_use(world, Some("cert")).await?;
        secured(world, &authority).await?;
        let nfs = address(world, Nfs).await?;

        // As a process leaves it that ends between its two writes.
        adapters.stop().await?;
        let mut config = admin.get("/adapters/nfs").await?["config"].clone();
        let config = config.as_object_mut().context("no configuration")?;
        config.insert("dittofs_operator_restarting".to_owned(), json!(true));
        let off = json!({"enabled": false, "config": config});
        admin.put("/adapters/nfs", off).await?;
        let _adapters = Controller::adapters(world).await?;
        secured(world, &authority).await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        let row = admin.get("/adapters/nfs").await?;
        ensure!(
            row["config"]["dittofs_operator_restarting"] == Value::Null,
            "{row}"
        );
        ensure!(address(world, Nfs).await? == nfs, "another address");
        Ok(())
    })
}
