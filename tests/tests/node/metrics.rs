//! A scrape of the real server, done as the ServiceMonitor says.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster_tests::monitoring::{Definition, monitored};
use cluster_tests::rest::{Rest, password};
use cluster_tests::{Child, Controller, Outcome, Pods, World, kubectl, random, until};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::ResourceExt;
use kube::api::{DynamicObject, ListParams};
use reqwest::{Certificate, Client, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;

/// A CA, and a certificate of it for the name under which the metrics Service of `namespace` is
/// reached, as cert-manager would keep them.
async fn certificate(namespace: &str) -> Result<Value> {
    let folder = std::env::temp_dir().join(format!("dittofs-test-{}", random::suffix()?));
    std::fs::create_dir(&folder)?;
    let name = format!("files-metrics.{namespace}.svc");
    std::fs::write(folder.join("ext"), format!("subjectAltName=DNS:{name}"))?;
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let steps = [
        format!("req -x509 {key} -keyout ca.key -out ca.crt -days 2 -subj /CN=test-ca"),
        format!("req {key} -keyout tls.key -out tls.csr -subj /CN=files"),
        "x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out tls.crt".to_owned(),
    ];
    for step in steps {
        let mut command = Command::new("openssl");
        command.args(step.split_whitespace()).current_dir(&folder);
        kubectl::run(&mut command, "").await.context(step)?;
    }
    let mut values = json!({});
    for file in ["tls.crt", "tls.key", "ca.crt"] {
        values[file] = std::fs::read_to_string(folder.join(file))?.into();
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(values)
}

/// The value that a selector of a key of a Secret leads to.
async fn value(world: &World, selector: &Value) -> Result<Vec<u8>> {
    let name = selector["name"].as_str().context("no name")?;
    let key = selector["key"].as_str().context("no key")?;
    let secret = world.api::<Secret>().get(name).await?;
    let mut data = secret.data.context("an empty Secret")?;
    Ok(data.remove(key).context("no such key")?.0)
}

/// A scrape as the ServiceMonitor says.
struct Scrape {
    url: String,
    server_name: String,
    address: SocketAddr,
    ca: Certificate,
    token: String,
}

impl Scrape {
    /// Reads the ServiceMonitor as the Prometheus operator does: the Services that it selects, the
    /// port by its name, values by reference.
    async fn of(world: &World, monitor: &DynamicObject) -> Result<Self> {
        let labels = monitor.data["spec"]["selector"]["matchLabels"]
            .as_object()
            .context("no selector")?;
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect();
        let parameters = ListParams::default().labels(&labels.join(","));
        let services = world.api::<Service>().list(&parameters).await?.items;
        let names: Vec<String> = services.iter().map(ResourceExt::name_any).collect();
        ensure!(names == ["files-metrics"], "it selects {names:?}");
        let service = services[0].spec.clone().context("no spec")?;
        let endpoint = &monitor.data["spec"]["endpoints"][0];
        let port = service
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_deref() == endpoint["port"].as_str())
            .context("no port of this name")?
            .port;
        let tls = &endpoint["tlsConfig"];
        let server_name = tls["serverName"].as_str().context("no name")?.to_owned();
        let text = |field: &str| endpoint[field].as_str().unwrap_or_default().to_owned();
        Ok(Scrape {
            url: format!("{}://{server_name}:{port}{}", text("scheme"), text("path")),
            address: SocketAddr::new(
                service.cluster_ip.context("no address")?.parse()?,
                u16::try_from(port)?,
            ),
            ca: Certificate::from_pem(&value(world, &tls["ca"]["secret"]).await?)?,
            token: String::from_utf8(
                value(world, &endpoint["authorization"]["credentials"]).await?,
            )?,
            server_name,
        })
    }

    async fn get(&self, token: Option<&str>) -> Result<(StatusCode, String)> {
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .tls_certs_only([self.ca.clone()])
            .resolve(&self.server_name, self.address)
            .build()?;
        let mut request = client.get(&self.url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await?;
        Ok((answer.status(), answer.text().await?))
    }
}

/// Makes a share with a remote store, as the metrics of remote stores appear with the first one.
async fn share_with_remote_store(world: &World) -> Result<()> {
    let service = world
        .api::<Service>()
        .get(&Child::Api.name(cluster_tests::SERVER))
        .await?;
    let address = service.spec.and_then(|spec| spec.cluster_ip);
    let api = format!("http://{}:8080/api/v1", address.context("no address")?);
    let client = Client::builder().no_proxy().build()?;
    // The node learns of a new pod a moment after the API server.
    Rest::of(world).await?.ready().await?;
    let log_in = json!({"username": "admin", "password": password(world).await?});
    let answer = client.post(format!("{api}/auth/login")).json(&log_in);
    let answer: Value = answer.send().await?.error_for_status()?.json().await?;
    let token = answer["access_token"].as_str().context("no token")?;
    let store = |name: &str| json!({"name": name, "type": "memory", "config": "{}"});
    for (path, body) in [
        ("store/metadata", store("m")),
        ("store/block/local", store("l")),
        ("store/block/remote", store("r")),
        (
            "shares",
            json!({"name": "/s", "metadata_store_id": "m", "local_block_store": "l", "remote_block_store": "r"}),
        ),
    ] {
        let request = client.post(format!("{api}/{path}")).bearer_auth(token);
        let answer = request.json(&body).send().await?;
        ensure!(
            answer.status() == StatusCode::CREATED,
            "{path}: {}",
            answer.text().await?
        );
    }
    Ok(())
}

/// The metrics that the expressions of a PrometheusRule select.
fn metrics_of(rule: &DynamicObject) -> Result<BTreeSet<String>> {
    let rules = rule.data.pointer("/spec/groups/0/rules");
    let rules = rules.and_then(Value::as_array).context("no rules")?;
    let mut names = BTreeSet::new();
    for rule in rules {
        let expression = rule["expr"].as_str().context("no expression")?;
        let pieces: Vec<&str> = expression.split('{').collect();
        for piece in &pieces[..pieces.len() - 1] {
            let name = piece
                .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .next();
            names.extend(name.map(str::to_owned));
        }
    }
    Ok(names)
}

#[test]
fn a_scrape_as_the_service_monitor_says_has_every_metric_of_the_alerts() -> Outcome {
    monitored("scrape", Pods::Run, &Definition::ALL, async |world| {
        let pair = certificate(&world.namespace).await?;
        world.secret("metrics-cert", pair).await?;
        world
            .secret("scraper", json!({"token": "a-long-token"}))
            .await?;
        let controller = Controller::start(world).await?;
        world
            .serve(json!({"metrics": {
                "enabled": true, "port": 9191, "path": "/measured",
                "bearerTokenSecret": {"name": "scraper", "key": "token"}, "certSecretName": "metrics-cert",
            }}))
            .await?;
        world.condition("Available", "True", "PodServing").await?;
        share_with_remote_store(world).await?;

        // Both come once the controller knows their definitions, and nothing waits for them.
        let made = async |child: Child| {
            until(&format!("there is a {child:?}"), async || {
                Ok(world.find(child).await?.ok_or("none".to_owned()))
            })
            .await
        };
        let scrape = Scrape::of(world, &made(Child::Monitor).await?).await?;
        let wanted = metrics_of(&made(Child::Rule).await?)?;
        ensure!(
            wanted.contains("up") && wanted.contains("dittofs_remote_up") && wanted.len() >= 7,
            "{wanted:?}"
        );
        until("the scrape has every metric of the alerts", async || {
            let (status, text) = match scrape.get(Some(&scrape.token)).await {
                Ok(answer) => answer,
                Err(error) => return Ok(Err(format!("{error:#}"))),
            };
            ensure!(status == StatusCode::OK, "{status}: {text}");
            let missing: Vec<&String> = wanted
                .iter()
                // Prometheus itself makes this one.
                .filter(|name| *name != "up")
                .filter(|name| {
                    !text.lines().any(|line| {
                        let rest = line.strip_prefix(name.as_str());
                        rest.is_some_and(|rest| rest.starts_with([' ', '{']))
                    })
                })
                .collect();
            Ok(if missing.is_empty() {
                Ok(())
            } else {
                Err(format!("missing: {missing:?}"))
            })
        })
        .await?;

        for token in [None, Some("another")] {
            let (status, _) = scrape.get(token).await?;
            ensure!(
                status == StatusCode::UNAUTHORIZED,
                "with {token:?}: {status}"
            );
        }
        controller.stop().await
    })
}
