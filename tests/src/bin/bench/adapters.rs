//! What the adapter-controller costs with many servers that answer, refuse or hang, and whether a new
//! server waits for those that hang. The servers are listeners on this machine, without pods.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api_types::v1alpha1::AdapterKind;
use api_types::{DittoServer, names};
use cluster_tests::listeners::{Listener, Manner};
use cluster_tests::wait::within;
use cluster_tests::world::somebody;
use cluster_tests::{Pods, namespace};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::Api;
use kube::api::{ListParams, Patch, PostParams};
use serde_json::json;

use crate::requests::{Counts, counts};
use crate::speed::median;
use crate::{Bench, Process, servers};

/// Namespace of the servers.
const FLEET: &str = "bench-fleet";

/// Longest time until a fleet is known to the controller.
const LIMIT: Duration = Duration::from_secs(180);

/// Time in which what was begun with the last server comes to rest.
const SETTLE: Duration = Duration::from_secs(10);

/// What was measured.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Adapters {
    /// Servers in each fleet.
    pub(crate) servers: usize,
    /// A window with servers that answer.
    pub(crate) healthy: Window,
    /// One with servers at which nobody listens.
    pub(crate) refusing: Window,
    /// One with servers that take requests and say nothing.
    pub(crate) hanging: Window,
    /// Seconds until a new server has its Services, with no other server, each time.
    pub(crate) alone: Vec<f64>,
    /// The same while all servers of a fleet hang.
    pub(crate) while_others_hang: Vec<f64>,
}

/// A window in which nothing changes.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Window {
    /// Its length in seconds.
    pub(crate) seconds: f64,
    /// Writes to the API server.
    pub(crate) writes: usize,
    /// All requests to it by verb and resource.
    pub(crate) requests: Counts,
    /// Times that adapters were asked for; none is seen where nobody listens.
    pub(crate) polls: usize,
    /// Processor time in seconds; the kernel counts hundredths.
    pub(crate) processor: f64,
    /// Memory at its end.
    pub(crate) memory: crate::process::Memory,
}

impl Adapters {
    /// How much longer a new server waits while others hang.
    pub(crate) fn ratio(&self) -> f64 {
        median(&self.while_others_hang) / median(&self.alone)
    }
}

pub(crate) async fn measure(bench: &Bench) -> Result<Adapters> {
    let (healthy, _) = fleet(bench, Manner::Answers).await?;
    let (refusing, _) = fleet(bench, Manner::Refuses).await?;
    let (hanging, while_others_hang) = fleet(bench, Manner::Hangs).await?;
    begin(bench).await?;
    let process = Process::start(&bench.launcher).await?;
    let alone = newcomers(bench).await?;
    process.stop().await?;
    servers::clear(&bench.admin, FLEET).await?;
    Ok(Adapters {
        servers: bench.size.servers,
        healthy,
        refusing,
        hanging,
        alone,
        while_others_hang,
    })
}

/// The namespace, and the administrator's password that the servers name.
async fn begin(bench: &Bench) -> Result<()> {
    namespace::create(&bench.admin, FLEET, Pods::None).await?;
    let secrets: Api<Secret> = Api::namespaced(bench.admin.clone(), FLEET);
    let secret = json!({"metadata": {"name": "admin"}, "stringData": {"password": "of-admin"}});
    let secret: Secret = serde_json::from_value(secret)?;
    secrets.create(&PostParams::default(), &secret).await?;
    Ok(())
}

/// A window with a fleet of this manner; and, where it hangs, what a new server gets.
async fn fleet(bench: &Bench, manner: Manner) -> Result<(Window, Vec<f64>)> {
    begin(bench).await?;
    let process = Process::start(&bench.launcher).await?;
    let mut fleet = Vec::new();
    for index in 0..bench.size.servers {
        let listener = Listener::start(manner).await?;
        announce(bench, &servers::name(index), &listener).await?;
        fleet.push(listener);
    }
    known(bench, manner).await?;
    tokio::time::sleep(SETTLE).await;

    let mark = bench.requests.mark()?;
    let (began, before) = (tokio::time::Instant::now(), process.processor_time()?);
    tokio::time::sleep(bench.size.idle).await;
    let processor = process.processor_time()?.saturating_sub(before);
    let entries = bench.requests.since(mark)?;
    let polls = fleet.iter().map(|listener| listener.polls_since(began));
    let window = Window {
        seconds: bench.size.idle.as_secs_f64(),
        writes: entries.iter().filter(|entry| entry.is_write()).count(),
        requests: counts(&entries),
        polls: polls.sum(),
        processor: processor.as_secs_f64(),
        memory: process.memory()?,
    };
    let newcomers = if manner == Manner::Hangs {
        newcomers(bench).await?
    } else {
        Vec::new()
    };
    process.stop().await?;
    servers::clear(&bench.admin, FLEET).await?;
    Ok((window, newcomers))
}

/// A server that serves at `listener`, as its server-controller would say it; gives the moment in which
/// that was said.
async fn announce(bench: &Bench, name: &str, listener: &Listener) -> Result<Instant> {
    let server = servers::create(&bench.admin, FLEET, name).await?;
    let status = json!({"status": {
        "api": {"url": format!("http://{}", listener.address), "podName": names::pod(name),
            "adminSecretRef": {"name": "admin", "key": "password"}},
        "conditions": [{"type": "Available", "status": "True", "reason": "PodServing", "message": "",
            "observedGeneration": server.metadata.generation, "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    }});
    let api: Api<DittoServer> = Api::namespaced(bench.admin.clone(), FLEET);
    let said = Instant::now();
    api.patch_status(name, &somebody(), &Patch::Merge(status))
        .await?;
    Ok(said)
}

/// Waits until the controller has found out how each server does.
async fn known(bench: &Bench, manner: Manner) -> Result<()> {
    let api: Api<DittoServer> = Api::namespaced(bench.admin.clone(), FLEET);
    let expected = if manner == Manner::Answers {
        "True"
    } else {
        "False"
    };
    within(LIMIT, "every server is known", async || {
        let servers = api.list(&ListParams::default()).await?;
        let waiting = servers.iter().filter(|server| {
            let conditions = server.status.iter().flat_map(|status| &status.conditions);
            let mut conditions = conditions.filter(|one| one.type_ == "Authenticated");
            !conditions.any(|one| one.status == expected)
        });
        Ok(match waiting.count() {
            0 => Ok(()),
            left => Err(format!("{left} are not")),
        })
    })
    .await
}

/// Seconds until a new server that answers has its Services, one after the other. The first one of a
/// process is not counted: it pays for what is done once.
async fn newcomers(bench: &Bench) -> Result<Vec<f64>> {
    let mut seconds = Vec::new();
    let services: Api<Service> = Api::namespaced(bench.admin.clone(), FLEET);
    for index in 0..=bench.size.singles {
        let name = format!("newcomer-{index:03}");
        let listener = Listener::start(Manner::Answers).await?;
        let said = announce(bench, &name, &listener).await?;
        let end = said + LIMIT;
        let mut missing = AdapterKind::ALL.to_vec();
        while let Some(kind) = missing.last() {
            let service = services.get_opt(&names::adapter(&name, *kind)).await?;
            if service.is_some() {
                missing.pop();
            } else {
                ensure!(Instant::now() < end, "{name} gets no Services");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        if index > 0 {
            seconds.push(said.elapsed().as_secs_f64());
        }
    }
    seconds.first().context("no server was made")?;
    Ok(seconds)
}
