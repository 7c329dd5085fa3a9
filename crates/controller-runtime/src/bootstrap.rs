//! What `main` of every controller binary does.

use std::{future::Future, process::ExitCode, time::Duration};

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    Context, Fence, Gate, HttpServer, Layers, LeaseLost, Metrics, Readiness, Settings, Shutdown,
    client::{self, ConnectError},
    lease::{Elector, Held, LeaseConfig, identity},
    logs,
};

/// Namespace of the pod, as mounted into every pod with a service account
/// (<https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>).
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Longest time that the controller gets to end after a stop is asked for;
/// more than the run loop gives its reconciles.
const GRACE: Duration = Duration::from_secs(20);

/// What distinguishes one binary from another here.
#[derive(Clone, Copy, Debug)]
pub struct Binary {
    /// Name, such as `server-controller`: of the Lease, in Events, in logs.
    pub name: &'static str,
    /// Version, normally `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// Objects reconciled at the same time unless set otherwise.
    pub concurrency: u16,
}

/// Why a controller ended without being asked to.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("logging cannot be set up")]
    Logs(#[from] logs::LogError),
    #[error("the cluster cannot be reached")]
    Connect(#[from] ConnectError),
    #[error("the HTTP server failed")]
    Http(#[source] std::io::Error),
    #[error("signals cannot be received")]
    Signals(#[source] std::io::Error),
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    #[error("the controller failed")]
    Controller(#[source] anyhow::Error),
    #[error("the controller ended although nobody asked it to")]
    Ended,
    #[error("the controller did not stop in time")]
    Stuck,
}

/// Runs a controller until SIGTERM or SIGINT: logs, client, leader lease,
/// HTTP server, then `start`. A lost lease, an error of the controller or of
/// the HTTP server ends the process with exit code 1.
#[must_use]
pub fn main<F, E>(binary: Binary, settings: Settings, start: impl FnOnce(Context) -> F) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Into<anyhow::Error>,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report(binary, &error),
    };
    let result = runtime.block_on(process(binary, settings, start));
    runtime.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(binary, &failure),
    }
}

/// Says why the process ends, in the log and, should that not be set up, on
/// standard error.
fn report(binary: Binary, failure: &(dyn std::error::Error + 'static)) -> ExitCode {
    let mut text = failure.to_string();
    let mut next = failure.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    if tracing::dispatcher::has_been_set() {
        tracing::error!(binary = binary.name, error = text, "the process ends");
    } else {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            format!("{}: {text}\n", binary.name).as_bytes(),
        );
    }
    ExitCode::FAILURE
}

async fn process<F, E>(
    binary: Binary,
    settings: Settings,
    start: impl FnOnce(Context) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), E>>,
    E: Into<anyhow::Error>,
{
    logs::init(&settings)?;
    client::install_crypto();
    let shutdown = stop_on_signals()?;
    let metrics = Metrics::new();
    metrics.process().set_build(binary.name, binary.version);
    let readiness = Readiness::new();
    let fence = settings.leader_elect.then(Fence::default);
    let layers = Layers {
        seam: None,
        fence: fence.clone(),
        metrics: Some(metrics.api()),
    };
    let user_agent = format!("{}/{}", binary.name, binary.version);
    let client = client::connect(&settings, &user_agent, layers).await?;
    tracing::info!(
        binary = binary.name,
        version = binary.version,
        scope = ?settings.scope(),
        leader_elect = settings.leader_elect,
        "starting"
    );
    let context = Context {
        name: binary.name.to_owned(),
        client,
        scope: settings.scope(),
        concurrency: settings.concurrency.unwrap_or(binary.concurrency),
        settings,
        metrics,
        readiness,
        shutdown,
        fence: fence.clone(),
        lookup: None,
    };
    // Before anything is served: a process that has not seen the lease cannot take over, and is not ready.
    let election = fence.map(|fence| Election {
        seen: context.readiness.register("lease"),
        fence,
    });
    let serving = tokio::spawn(serve(context.clone()));
    let result = tokio::select! {
        result = lead(context.clone(), election, start) => result,
        served = serving => match served {
            Ok(Err(error)) => Err(Failure::Http(error)),
            _ => Err(Failure::Ended),
        },
    };
    context.shutdown.trigger();
    result
}

/// Serves HTTP until the process ends; a follower is served too, so that its
/// health can be asked.
async fn serve(context: Context) -> std::io::Result<()> {
    if let Some(address) = context.settings.http_address.0 {
        let server =
            HttpServer::bind(address, context.metrics.clone(), context.readiness.clone()).await?;
        tracing::info!(address = %server.address()?, "serving /metrics, /healthz and /readyz");
        // Probes are answered until the very end, so this one never stops by itself.
        return server.serve(Shutdown::new()).await;
    }
    std::future::pending().await
}

/// What a contender for the lease opens: the fence when it leads, the gate when it knows who does.
struct Election {
    fence: Fence,
    seen: Gate,
}

/// Runs the controller, under the lease if asked for.
async fn lead<F, E>(
    context: Context,
    election: Option<Election>,
    start: impl FnOnce(Context) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), E>>,
    E: Into<anyhow::Error>,
{
    let process = context.metrics.process();
    let Some(Election { fence, seen }) = election else {
        process.set_leader(true);
        return control(context, start).await;
    };
    let elector = Elector::new(context.client.clone(), lease_config(&context), fence).opening(seen);
    let mut held: Held = tokio::select! {
        held = elector.acquire() => held,
        () = context.shutdown.triggered() => return Ok(()),
    };
    process.set_leader(true);
    let result = tokio::select! {
        biased;
        result = control(context, start) => result,
        lost = held.keep() => return Err(lost.into()),
    };
    process.set_leader(false);
    if let Err(error) = held.release().await {
        tracing::warn!(%error, "the lease could not be released");
    }
    result
}

async fn control<F, E>(context: Context, start: impl FnOnce(Context) -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), E>>,
    E: Into<anyhow::Error>,
{
    let shutdown = context.shutdown.clone();
    let overdue = async {
        shutdown.triggered().await;
        tokio::time::sleep(GRACE).await;
    };
    let readiness = context.readiness.clone();
    let result = tokio::select! {
        result = start(context) => result.map_err(|error| Failure::Controller(error.into())),
        () = overdue => Err(Failure::Stuck),
    };
    readiness.set_dead("the controller has ended");
    match result {
        Ok(()) if !shutdown.is_triggered() => Err(Failure::Ended),
        result => result,
    }
}

fn lease_config(context: &Context) -> LeaseConfig {
    let settings = &context.settings;
    let namespace = settings.lease_namespace.clone().or_else(|| {
        let text = std::fs::read_to_string(NAMESPACE_FILE).ok()?;
        Some(text.trim().to_owned()).filter(|namespace| !namespace.is_empty())
    });
    LeaseConfig {
        namespace: namespace.unwrap_or_else(|| "default".to_owned()),
        name: settings
            .lease_name
            .clone()
            .unwrap_or_else(|| context.name.clone()),
        identity: identity(),
        duration: settings.lease_duration,
    }
}

/// Asks for a stop on SIGTERM and SIGINT.
fn stop_on_signals() -> Result<Shutdown, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
    let shutdown = Shutdown::new();
    let asked = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
        asked.trigger();
    });
    Ok(shutdown)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::{
        Layers, Scope,
        seam::Verb,
        testing::{answer, client, refusal},
    };

    fn context(broken: bool) -> Context {
        let client = client(Layers::default(), move |request, mut body| async move {
            body["metadata"]["resourceVersion"] = json!("1");
            match request.verb {
                Verb::Get => refusal(404, "NotFound"),
                Verb::Create => answer(StatusCode::OK, &body),
                _ if broken => refusal(500, "InternalError"),
                _ => answer(StatusCode::OK, &body),
            }
        });
        Context::for_test(client, Scope::Cluster)
    }

    fn election(context: &Context, fence: &Fence) -> Election {
        Election {
            fence: fence.clone(),
            seen: context.readiness.register("lease"),
        }
    }

    async fn until_stopped(context: Context) -> anyhow::Result<()> {
        context.shutdown.triggered().await;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_controller_that_ends_unasked_is_a_failure() {
        let ended = control(context(false), |_| async { anyhow::Ok(()) }).await;
        assert!(matches!(ended, Err(Failure::Ended)));
        let failed = control(context(false), |_| async { anyhow::bail!("no") }).await;
        assert!(matches!(failed, Err(Failure::Controller(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_it_well_unless_it_is_stuck() {
        let context = context(false);
        context.shutdown.trigger();
        assert!(control(context.clone(), until_stopped).await.is_ok());
        assert!(context.readiness.dead().is_some());
        let stuck = control(context, |_| std::future::pending::<anyhow::Result<()>>()).await;
        assert!(matches!(stuck, Err(Failure::Stuck)));
    }

    #[tokio::test]
    async fn a_lost_lease_ends_the_process() {
        let mut context = context(true);
        context.settings.lease_duration = Duration::from_millis(1500);
        let fence = Fence::default();
        let election = election(&context, &fence);
        let result = timeout(
            Duration::from_secs(60),
            lead(context, Some(election), until_stopped),
        )
        .await
        .unwrap();
        assert!(matches!(result, Err(Failure::LeaseLost(_))));
        assert!(fence.check().is_err());
    }

    #[tokio::test]
    async fn a_leader_stops_cleanly_and_closes_its_fence() {
        let context = context(false);
        let fence = Fence::default();
        let election = election(&context, &fence);
        assert_eq!(context.readiness.missing(), ["lease"]);
        let leading = tokio::spawn(lead(context.clone(), Some(election), until_stopped));
        while fence.check().is_err() {
            sleep(Duration::from_millis(10)).await;
        }
        context.readiness.ready().await;
        let leads = |context: &Context| {
            let text = context.metrics.encode().unwrap();
            text.lines().any(|line| line == "dittofs_operator_leader 1")
        };
        while !leads(&context) {
            sleep(Duration::from_millis(10)).await;
        }
        context.shutdown.trigger();
        leading.await.unwrap().unwrap();
        assert!(!leads(&context));
        assert!(fence.check().is_err());
    }
}
