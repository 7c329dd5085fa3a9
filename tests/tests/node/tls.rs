//! TLS of the API, client certificates and the metrics token, tried from the outside.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster_tests::certificates::{Authority, Certificate};
use cluster_tests::pods::{another_pod, container_of, pod_of};
use cluster_tests::wait::within;
use cluster_tests::{Child, Controller, Outcome, PodLog, Pods, SERVER, World, scenario, until};
use k8s_openapi::api::core::v1::Secret;
use kube::api::Patch;
use reqwest::tls::TlsInfo;
use reqwest::{Client, Identity, StatusCode};
use serde_json::{Value, json};

/// A kubelet renews the files of a Secret with its next sync, which the kit asks for every 10 s.
const RENEWAL: Duration = Duration::from_secs(180);

/// Host names of the server's Services, as `status.api.url` has them.
fn hosts(world: &World) -> [String; 2] {
    [Child::Api, Child::Metrics].map(|child| {
        format!(
            "{}.{}.svc.cluster.local",
            child.name(SERVER),
            world.namespace
        )
    })
}

/// Where a Service leads, by its cluster IP.
async fn address(world: &World, service: Child, port: u16) -> Result<SocketAddr> {
    let service = world.child(service).await?;
    let ip = service.data["spec"]["clusterIP"]
        .as_str()
        .context("no cluster IP")?;
    Ok(SocketAddr::new(ip.parse()?, port))
}

/// Somebody who trusts one authority only, and shows a certificate if there is one.
#[derive(Clone)]
struct Caller {
    host: String,
    address: SocketAddr,
    authority: String,
    identity: Option<String>,
}

impl Caller {
    async fn new(
        world: &World,
        authority: &Authority,
        certificate: Option<&Certificate>,
    ) -> Result<Self> {
        let [host, _] = hosts(world);
        Ok(Caller {
            host,
            address: address(world, Child::Api, 8080).await?,
            authority: authority.pem.clone(),
            identity: certificate.map(|Certificate { pem, key }| format!("{pem}{key}")),
        })
    }

    /// A client that has met nobody: a resumed session shows no certificate.
    fn client(&self) -> Result<Client> {
        let authority = reqwest::Certificate::from_pem(self.authority.as_bytes())?;
        let mut client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .tls_certs_only([authority])
            .tls_info(true)
            .resolve(&self.host, self.address);
        if let Some(identity) = &self.identity {
            client = client.identity(Identity::from_pem(identity.as_bytes())?);
        }
        Ok(client.build()?)
    }
}

/// What the API says of its readiness, and the certificate that it shows, DER.
async fn ask(caller: &Caller) -> Result<(StatusCode, Vec<u8>)> {
    let url = format!("https://{}:8080/health/ready", caller.host);
    let answer = caller.client()?.get(url).send().await?;
    let shown = answer
        .extensions()
        .get::<TlsInfo>()
        .and_then(|info| info.peer_certificate())
        .context("no certificate was shown")?;
    Ok((answer.status(), shown.to_vec()))
}

/// Waits until the API is ready for `caller`; gives the certificate that it shows.
async fn serves(caller: &Caller) -> Result<Vec<u8>> {
    until("the API is ready", async || {
        Ok(match ask(caller).await {
            Ok((StatusCode::OK, shown)) => Ok(shown),
            other => Err(format!("{other:?}")),
        })
    })
    .await
}

async fn renew(world: &World, secret: &str, values: Value) -> Result<()> {
    let patch = Patch::Merge(json!({"stringData": values}));
    let secrets = world.api::<Secret>();
    secrets.patch(secret, &Default::default(), &patch).await?;
    Ok(())
}

#[test]
fn a_renewed_certificate_is_served_by_the_same_process() -> Outcome {
    scenario("renew", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        let pods = PodLog::watch(world);
        let [host, _] = hosts(world);
        let old = Authority::new("old")?;
        world.secret("cert", old.secret(&[&host])?).await?;
        let spec = json!({"controlPlane": {"certSecretName": "cert"}});
        world.serve(spec).await?;
        world.condition("Available", "True", "PodServing").await?;
        let api = world.server().await?.status.and_then(|status| status.api);
        let api = serde_json::to_value(api)?;
        ensure!(api["url"] == format!("https://{host}:8080"), "{api}");
        ensure!(
            api["caSecretRef"] == json!({"name": "cert", "key": "ca.crt"}),
            "{api}"
        );
        let trusts_old = Caller::new(world, &old, None).await?;
        let first = serves(&trusts_old).await?;

        // Under the same authority, then under another one, then back to something that works after
        // something that does not.
        renew(world, "cert", old.secret(&[&host])?).await?;
        let second = within(RENEWAL, "another certificate is shown", async || {
            let shown = serves(&trusts_old).await?;
            Ok(if shown != first {
                Ok(shown)
            } else {
                Err("the old one".to_owned())
            })
        })
        .await?;
        let new = Authority::new("new")?;
        renew(world, "cert", new.secret(&[&host])?).await?;
        let trusts_new = Caller::new(world, &new, None).await?;
        let third = within(RENEWAL, "the new authority is known", async || {
            Ok(ask(&trusts_new).await.map_err(|error| format!("{error:?}")))
        })
        .await?;
        ensure!(third.0 == StatusCode::OK && third.1 != second);
        ensure!(ask(&trusts_old).await.is_err(), "both are shown");

        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        controller.quiet().await?;
        ensure!(pods.count(SERVER) == 1, "{} pods", pods.count(SERVER));
        let restarts = container_of(&pod_of(world, SERVER).await?)?.restart_count;
        ensure!(restarts == 0, "{restarts} restarts");
        Ok(())
    })
}

#[test]
fn only_clients_with_a_certificate_are_served_and_the_probes_go_on() -> Outcome {
    scenario("mtls", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        let pods = PodLog::watch(world);
        let [host, _] = hosts(world);
        let (servers, clients, others) = (
            Authority::new("servers")?,
            Authority::new("clients")?,
            Authority::new("others")?,
        );
        world.secret("cert", servers.secret(&[&host])?).await?;
        world.secret("ca", json!({"ca.crt": clients.pem})).await?;
        world
            .serve(json!({"controlPlane": {"certSecretName": "cert", "clientCASecretName": "ca"}}))
            .await?;
        world.condition("Available", "True", "PodServing").await?;
        world
            .condition("ConfigReady", "True", "ClientCertificateNotNamed")
            .await?;
        let ours = Caller::new(world, &servers, Some(&clients.issue(&["us"])?)).await?;
        let theirs = Caller::new(world, &servers, Some(&others.issue(&["them"])?)).await?;
        let nobody = Caller::new(world, &servers, None).await?;
        serves(&ours).await?;
        for (who, caller) in [("another authority's", &theirs), ("none", &nobody)] {
            let answer = ask(caller).await;
            ensure!(answer.is_err(), "served with {who}: {answer:?}");
        }

        // The certificate for the operator's other controllers is passed on, and restarts nothing.
        world
            .secret("client", clients.secret(&["operator"])?)
            .await?;
        world
            .change(json!({"spec": {"controlPlane": {"clientCertSecretName": "client"}}}))
            .await?;
        world
            .condition("ConfigReady", "True", "InputsComplete")
            .await?;
        let api = world.server().await?.status.and_then(|status| status.api);
        let api = serde_json::to_value(api)?;
        ensure!(api["clientCertSecretRef"]["name"] == "client", "{api}");
        controller.quiet().await?;
        ensure!(pods.count(SERVER) == 1, "{} pods", pods.count(SERVER));

        // The process reads the authority at its start: a new one restarts it.
        let before = pod_of(world, SERVER).await?.metadata.uid;
        renew(world, "ca", json!({"ca.crt": others.pem})).await?;
        another_pod(world, SERVER, before.as_deref()).await?;
        serves(&theirs).await?;
        let answer = ask(&ours).await;
        ensure!(answer.is_err(), "still served: {answer:?}");
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        controller.quiet().await?;
        ensure!(pods.count(SERVER) == 2, "{} pods", pods.count(SERVER));
        let restarts = container_of(&pod_of(world, SERVER).await?)?.restart_count;
        ensure!(restarts == 0, "the probes restarted it {restarts} times");
        Ok(())
    })
}

/// What the metrics endpoint answers.
async fn metrics(world: &World, token: Option<&str>) -> Result<(StatusCode, String)> {
    let address = address(world, Child::Metrics, 9191).await?;
    let client = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .pool_max_idle_per_host(0)
        .build()?;
    let mut request = client.get(format!("http://{address}/numbers"));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await?;
    Ok((answer.status(), answer.text().await?))
}

#[test]
fn metrics_are_served_with_the_token_and_refused_without() -> Outcome {
    scenario("token", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        let pods = PodLog::watch(world);
        world.secret("metrics", json!({"token": "one"})).await?;
        world
            .serve(
                json!({"metrics": {"enabled": true, "port": 9191, "path": "/numbers",
                "bearerTokenSecret": {"name": "metrics", "key": "token"}}}),
            )
            .await?;
        world.condition("Available", "True", "PodServing").await?;
        let served = async |token: &'static str| {
            until(&format!("metrics for {token}"), async || {
                Ok(match metrics(world, Some(token)).await {
                    Ok((StatusCode::OK, text)) => Ok(text),
                    other => Err(format!("{other:?}")),
                })
            })
            .await
        };
        let text = served("one").await?;
        ensure!(text.contains("# TYPE "), "no metrics: {text}");
        for token in [None, Some("two")] {
            let (status, _) = metrics(world, token).await?;
            ensure!(status == StatusCode::UNAUTHORIZED, "{token:?}: {status}");
        }

        // The process reads the token at its start: a new one restarts it, once.
        let before = pod_of(world, SERVER).await?.metadata.uid;
        renew(world, "metrics", json!({"token": "two"})).await?;
        another_pod(world, SERVER, before.as_deref()).await?;
        served("two").await?;
        let (status, _) = metrics(world, Some("one")).await?;
        ensure!(
            status == StatusCode::UNAUTHORIZED,
            "the old token: {status}"
        );
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        controller.quiet().await?;
        ensure!(pods.count(SERVER) == 2, "{} pods", pods.count(SERVER));
        Ok(())
    })
}
