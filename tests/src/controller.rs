//! The controllers in the test's own process.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use controller_runtime::metrics::ReconcileResult;
use controller_runtime::rest::{ApiTransport, RestSettings};
use controller_runtime::seam::Chain;
use controller_runtime::{Context, Fence, Layers, Metrics, Readiness, Scope, Seam, Shutdown};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::identity::Identity;
use crate::traffic::Traffic;
use crate::wait::LIMIT;
use crate::{World, until};

/// Time between two looks for a controller at rest.
const PACE: Duration = Duration::from_millis(50);

/// So many looks in a row without a request and without a visit that ended, and none of them with a request under
/// way: then a controller has nothing to do, for what would wake it reaches it within milliseconds. Looks are counted
/// and not time, of which a machine that stalls lets much pass while nobody does anything.
const QUIET: u32 = 16;

/// The least that the share-controller takes as the time between two comparisons.
const SHORTEST_LOOK: Duration = Duration::from_secs(10);

/// A running controller. Dropped, it ends at once, like a process that is killed.
#[derive(Debug)]
pub struct Controller {
    /// What it sent.
    pub traffic: Arc<Traffic>,
    metrics: Metrics,
    shutdown: Shutdown,
    task: JoinHandle<Result<()>>,
}

impl Controller {
    /// Starts a server-controller for the world's namespace and waits until its watches have synced.
    ///
    /// # Errors
    /// When they do not.
    pub async fn start(world: &World) -> Result<Self> {
        Self::start_behind(world, Vec::new()).await
    }

    /// As [`Controller::start`], with seams between it and the API server.
    ///
    /// # Errors
    /// When its watches do not sync.
    pub async fn start_behind(world: &World, seams: Vec<Arc<dyn Seam>>) -> Result<Self> {
        let (controller, ready) = Self::launch(world, seams)?;
        controller.synced(&ready).await?;
        Ok(controller)
    }

    /// Starts an adapter-controller for the world's namespace, which reaches servers by port-forward,
    /// and waits until its watches have synced.
    ///
    /// # Errors
    /// When they do not.
    pub async fn adapters(world: &World) -> Result<Self> {
        Self::adapters_by(world, ApiTransport::PortForward).await
    }

    /// As [`Controller::adapters`], with another way to the servers.
    ///
    /// # Errors
    /// When the watches do not sync.
    pub async fn adapters_by(world: &World, api_transport: ApiTransport) -> Result<Self> {
        let (controller, readiness) =
            Self::launch_adapters(world, api_transport, Vec::new()).await?;
        controller.synced(&readiness).await?;
        Ok(controller)
    }

    /// As [`Controller::adapters`], with seams between it and the API server, and without waiting.
    ///
    /// # Errors
    /// When no client can be made.
    pub async fn adapters_behind(world: &World, seams: Vec<Arc<dyn Seam>>) -> Result<Self> {
        let launched = Self::launch_adapters(world, ApiTransport::PortForward, seams);
        Ok(launched.await?.0)
    }

    async fn launch_adapters(
        world: &World,
        api_transport: ApiTransport,
        seams: Vec<Arc<dyn Seam>>,
    ) -> Result<(Self, Readiness)> {
        let identity = world.adapter_identity().await?;
        let (mut context, traffic) = context(world, identity, "adapter-controller", seams)?;
        context.concurrency = 32;
        let readiness = context.readiness.clone();
        let settings = RestSettings { api_transport };
        let controller = Controller {
            traffic,
            metrics: context.metrics.clone(),
            shutdown: context.shutdown.clone(),
            task: tokio::spawn(adapter_controller::run(context, settings)),
        };
        Ok((controller, readiness))
    }

    /// Starts a share-controller for the world's namespace, which reaches servers by port-forward and
    /// compares them with what is declared as often as it can; waits until its watches have synced.
    ///
    /// # Errors
    /// When they do not.
    pub async fn shares(world: &World) -> Result<Self> {
        Self::shares_of(&[world], SHORTEST_LOOK).await
    }

    /// As [`Controller::shares`], with a fence that every request to a server that changes something must pass.
    ///
    /// # Errors
    /// When the watches do not sync.
    pub async fn shares_within(world: &World, fence: Option<Fence>) -> Result<Self> {
        Self::shares_with(&[world], SHORTEST_LOOK, fence).await
    }

    /// As [`Controller::shares`], for the namespaces of several worlds, as the account of the first, and
    /// with this time between two comparisons.
    ///
    /// # Errors
    /// When the watches do not sync.
    pub async fn shares_of(worlds: &[&World], interval: Duration) -> Result<Self> {
        Self::shares_with(worlds, interval, None).await
    }

    async fn shares_with(
        worlds: &[&World],
        interval: Duration,
        fence: Option<Fence>,
    ) -> Result<Self> {
        let (world, others) = worlds.split_first().context("no world")?;
        let identity = world.share_identity().await?;
        for other in others {
            identity.also_in(&world.admin, &other.namespace).await?;
        }
        let (mut context, traffic) = context(world, identity, "share-controller", Vec::new())?;
        context.concurrency = 16;
        context.fence = fence;
        let namespaces = worlds.iter().map(|world| world.namespace.clone());
        context.scope = Scope::Namespaces(namespaces.collect());
        let readiness = context.readiness.clone();
        let settings = RestSettings {
            api_transport: ApiTransport::PortForward,
        };
        let controller = Controller {
            traffic,
            metrics: context.metrics.clone(),
            shutdown: context.shutdown.clone(),
            task: tokio::spawn(share_controller::run(context, settings, interval)),
        };
        controller.synced(&readiness).await?;
        Ok(controller)
    }

    async fn synced(&self, ready: &Readiness) -> Result<()> {
        until("the watches of the controller have synced", async || {
            if self.task.is_finished() {
                bail!("the controller has ended");
            }
            Ok(if ready.is_ready() {
                Ok(())
            } else {
                Err(format!("missing: {:?}", ready.missing()))
            })
        })
        .await
    }

    /// As [`Controller::start_behind`], without waiting: the seams may keep it from ever syncing.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn launch(world: &World, seams: Vec<Arc<dyn Seam>>) -> Result<(Self, Readiness)> {
        let (context, traffic) = context(world, &world.identity, "server-controller", seams)?;
        let readiness = context.readiness.clone();
        let controller = Controller {
            traffic,
            metrics: context.metrics.clone(),
            shutdown: context.shutdown.clone(),
            task: tokio::spawn(server_controller::run(context)),
        };
        Ok((controller, readiness))
    }

    /// Number of visits that have ended, well or badly.
    #[must_use]
    pub fn visits(&self) -> u64 {
        let reconciles = self.metrics.reconciles();
        [
            ReconcileResult::Ok,
            ReconcileResult::Waiting,
            ReconcileResult::Error,
            ReconcileResult::Panic,
        ]
        .into_iter()
        .map(|result| reconciles.count(result))
        .sum()
    }

    /// Number of visits that ended badly.
    #[must_use]
    pub fn failures(&self) -> u64 {
        let reconciles = self.metrics.reconciles();
        reconciles.count(ReconcileResult::Error) + reconciles.count(ReconcileResult::Panic)
    }

    /// Waits until more visits than `before` have ended.
    ///
    /// # Errors
    /// When none ends.
    pub async fn visited_after(&self, before: u64) -> Result<()> {
        until("the controller has looked", async || {
            let visits = self.visits();
            Ok(if visits > before {
                Ok(())
            } else {
                Err(format!("{visits} visits"))
            })
        })
        .await
    }

    /// Waits until the controller has nothing more to do.
    ///
    /// # Errors
    /// When it does not come to rest.
    pub async fn quiet(&self) -> Result<()> {
        let end = Instant::now() + LIMIT;
        let state = || (self.traffic.mark(), self.visits());
        let mut last = state();
        let mut looks = 0;
        while looks < QUIET {
            tokio::time::sleep(PACE).await;
            looks += 1;
            if state() != last || self.traffic.under_way() > 0 {
                if Instant::now() > end {
                    let recent = self.traffic.since(last.0.saturating_sub(10));
                    let recent: Vec<String> = recent
                        .iter()
                        .map(|request| format!("{} {}", request.method, request.path))
                        .collect();
                    bail!(
                        "the controller does not come to rest; {} failures; last requests: {recent:?}",
                        self.failures()
                    );
                }
                last = state();
                looks = 0;
            }
        }
        Ok(())
    }

    /// As [`Controller::quiet`], of a controller that looks at servers all the time: until it writes nothing more.
    ///
    /// # Errors
    /// When it goes on writing.
    pub async fn writes_no_more(&self) -> Result<()> {
        let end = Instant::now() + LIMIT;
        let mut last = self.traffic.writes();
        let mut looks = 0;
        while looks < QUIET {
            tokio::time::sleep(PACE).await;
            looks += 1;
            let now = self.traffic.writes();
            if now != last || self.traffic.under_way() > 0 {
                if Instant::now() > end {
                    bail!("the controller goes on writing: {now} writes");
                }
                last = now;
                looks = 0;
            }
        }
        Ok(())
    }

    /// Stops the controller as a signal would and waits for its end.
    ///
    /// # Errors
    /// When it ends with an error.
    pub async fn stop(mut self) -> Result<()> {
        self.shutdown.trigger();
        (&mut self.task).await.context("the controller panicked")?
    }

    /// Ends the controller in the middle of whatever it does.
    pub async fn crash(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

/// What the controller `name` gets to work with: the world's namespace as `identity`, behind `seams`.
fn context(
    world: &World,
    identity: &Identity,
    name: &str,
    mut seams: Vec<Arc<dyn Seam>>,
) -> Result<(Context, Arc<Traffic>)> {
    let traffic = Arc::new(Traffic::default());
    // Last, so that it sees only what is really sent.
    seams.push(Arc::clone(&traffic) as Arc<dyn Seam>);
    let layers = Layers {
        seam: Some(Arc::new(Chain::new(seams))),
        ..Layers::default()
    };
    let client = identity.client(layers)?;
    let scope = Scope::Namespaces(vec![world.namespace.clone()]);
    let context = Context {
        name: name.to_owned(),
        lookup: Some(crate::databases::names_of_services(&world.admin)),
        ..Context::for_test(client, scope)
    };
    Ok((context, traffic))
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.task.abort();
    }
}
