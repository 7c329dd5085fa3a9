//! Crashes after every write: each must end where the undisturbed run ends.

pub mod scenarios;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use controller_runtime::Seam;
use controller_runtime::seam::CrashAfter;
use futures::{StreamExt, TryStreamExt, stream};

use crate::audit::{Entry, Mark, listed};
use crate::end_state::EndState;
use crate::wait::{LIMIT, within};
use crate::{Controller, PodLog, Pods, SERVER, World};

/// Replays that run at the same time, each in a namespace of its own.
const AT_ONCE: u64 = 4;
/// Far more writes than any scenario takes.
const MOST: u64 = 80;
/// Time between two looks for the crash.
const PACE: Duration = Duration::from_millis(100);

/// Something that a controller brings to an end, and that a crash may interrupt anywhere.
#[async_trait(?Send)]
pub trait Scenario: Sync {
    /// A word for the names of its namespaces.
    fn name(&self) -> &'static str;

    /// Whether its pods run.
    fn pods(&self) -> Pods {
        Pods::None
    }

    /// What is there before the controller that crashes starts.
    async fn prepare(&self, _world: &World) -> Result<()> {
        Ok(())
    }

    /// What people and the rest of the cluster do, beginning as soon as that controller runs. It
    /// waits only for what any controller brings about.
    async fn act(&self, world: &World) -> Result<()>;

    /// Waits, in the undisturbed run, for what `act` does not wait for.
    async fn finished(&self, _world: &World) -> Result<()> {
        Ok(())
    }

    /// Removes what is not in the namespace.
    async fn clean(&self, _world: &World) -> Result<()> {
        Ok(())
    }
}

/// What a run cost, beside its end state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Objects that were created, Events apart.
    pub created: usize,
    /// Objects that were deleted.
    pub deleted: usize,
    /// Pods that there were since the controller started.
    pub pods: usize,
}

impl Cost {
    fn of(world: &World, since: Mark, pods: &PodLog) -> Result<Self> {
        let writes = world.writes(since)?;
        let count = |holds: fn(&Entry) -> bool| writes.iter().filter(|entry| holds(entry)).count();
        Ok(Cost {
            created: count(Entry::is_creation),
            deleted: count(Entry::is_deletion),
            pods: pods.count(SERVER),
        })
    }
}

/// Where the undisturbed run ended.
#[derive(Clone, Debug)]
pub struct Undisturbed {
    /// The end state.
    pub end: EndState,
    /// Writes that it took.
    pub writes: u64,
    /// What it cost.
    pub cost: Cost,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// After this many writes, before the next one is sent.
    After(u64),
    /// With this write: the API server did it, and the process never hears of it.
    LosingTheAnswerOf(u64),
}

impl Crash {
    fn seam(self) -> CrashAfter {
        match self {
            Crash::After(writes) => CrashAfter::writes(writes),
            Crash::LosingTheAnswerOf(write) => CrashAfter::losing_the_answer_of(write),
        }
    }
}

/// Runs a scenario without any crash.
///
/// # Errors
/// When it does not come to its end.
pub async fn undisturbed(scenario: &dyn Scenario) -> Result<Undisturbed> {
    let world = World::create(scenario.name(), scenario.pods()).await?;
    let result = async {
        scenario.prepare(&world).await?;
        let since = world.cluster.audit.mark()?;
        let pods = PodLog::watch(&world);
        let controller = Controller::start(&world).await?;
        scenario.act(&world).await?;
        scenario.finished(&world).await?;
        controller.quiet().await?;
        let writes = u64::try_from(controller.traffic.writes())?;
        let seen = world.writes(since)?;
        ensure!(
            seen.len() as u64 == writes,
            "{writes} writes were sent, the audit log has {}",
            listed(&seen)
        );
        Ok(Undisturbed {
            end: EndState::of(&world).await?,
            writes,
            cost: Cost::of(&world, since, &pods)?,
        })
    }
    .await;
    finish(scenario, &world).await?;
    result.with_context(|| format!("the undisturbed run of {}", scenario.name()))
}

async fn finish(scenario: &dyn Scenario, world: &World) -> Result<()> {
    world.remove().await?;
    scenario.clean(world).await
}

/// Replays a scenario with a crash at every write, later and later until a run ends before its
/// crash, which so has covered every write. Gives the number of crashes.
///
/// # Errors
/// When a replay ends elsewhere than the undisturbed run.
pub async fn every_write(
    scenario: &dyn Scenario,
    crash: impl Fn(u64) -> Crash + Sync,
) -> Result<u64> {
    let expected = undisturbed(scenario).await?;
    // A lost answer needs a write; a crash before the first one does not.
    let first = u64::from(crash(1) != Crash::After(1));
    for batch in (first..MOST).step_by(usize::try_from(AT_ONCE)?) {
        let replays =
            (batch..batch + AT_ONCE).map(|n| recovers(scenario, crash(n), &expected, Vec::new()));
        let crashed: Vec<bool> = stream::iter(replays)
            .buffered(usize::try_from(AT_ONCE)?)
            .try_collect()
            .await?;
        let crashes = crashed.iter().take_while(|crashed| **crashed).count() as u64;
        if crashes < AT_ONCE {
            let covered = batch + crashes;
            // How often the status is written between depends on what else happens when, but each
            // creation and deletion is among the writes of every run.
            let least = expected.cost.created + expected.cost.deleted;
            ensure!(
                covered >= u64::try_from(least)?,
                "only {covered} writes were covered, although {least} objects come and go"
            );
            tracing::info!(
                scenario = scenario.name(),
                covered,
                expected = expected.writes
            );
            return Ok(covered - first);
        }
    }
    anyhow::bail!("no run of {} ended before its crash", scenario.name())
}

/// Runs a scenario with a crash, then goes on with a fresh controller behind `seams` until the end
/// state is the undisturbed one. Gives whether the crash came to pass: a run with fewer writes than
/// that ends undisturbed.
///
/// # Errors
/// When the end state, or what it cost, is another.
pub async fn recovers(
    scenario: &dyn Scenario,
    crash: Crash,
    expected: &Undisturbed,
    seams: Vec<Arc<dyn Seam>>,
) -> Result<bool> {
    recovers_within(LIMIT, scenario, crash, expected, seams).await
}

/// As [`recovers`], with a limit for the second controller.
///
/// # Errors
/// As [`recovers`].
pub async fn recovers_within(
    limit: Duration,
    scenario: &dyn Scenario,
    crash: Crash,
    expected: &Undisturbed,
    seams: Vec<Arc<dyn Seam>>,
) -> Result<bool> {
    let world = World::create(scenario.name(), scenario.pods()).await?;
    let result = replay(&world, limit, scenario, crash, expected, seams).await;
    let result = match result {
        Ok(crashed) => Ok(crashed),
        Err(error) => Err(error.context(world.report().await)),
    };
    let kept = result.is_err() && std::env::var_os("DITTOFS_TEST_KEEP").is_some();
    if !kept {
        finish(scenario, &world).await?;
    }
    result.with_context(|| {
        format!(
            "{}, {crash:?} of {} writes",
            scenario.name(),
            expected.writes
        )
    })
}

async fn replay(
    world: &World,
    limit: Duration,
    scenario: &dyn Scenario,
    crash: Crash,
    expected: &Undisturbed,
    seams: Vec<Arc<dyn Seam>>,
) -> Result<bool> {
    scenario.prepare(world).await?;
    let since = world.cluster.audit.mark()?;
    let pods = PodLog::watch(world);
    let seam = Arc::new(crash.seam());
    let first = Controller::start_behind(world, vec![Arc::clone(&seam) as Arc<dyn Seam>]);
    // A crash may come before the watches of the controller have synced.
    let first = tokio::select! {
        started = first => Some(started?),
        () = crashed(&seam) => None,
    };
    let mut act = scenario.act(world);
    let mut acted = false;
    let end = tokio::time::Instant::now() + 2 * LIMIT;
    let came = loop {
        tokio::select! {
            result = &mut act, if !acted => {
                result?;
                acted = true;
            }
            () = tokio::time::sleep(PACE) => {}
        }
        if seam.crashed() {
            tokio::time::timeout(LIMIT, crashed(&seam))
                .await
                .context("a write that was sent before the crash was never answered")?;
            break true;
        }
        if acted {
            let differences = EndState::of(world).await?.differences(&expected.end);
            ensure!(
                tokio::time::Instant::now() < end,
                "neither the crash nor the end came: {}",
                differences.join("\n")
            );
            if let (true, Some(first)) = (differences.is_empty(), &first) {
                // The crash may still come with an Event or a last write of the status.
                first.quiet().await?;
                if !seam.crashed() {
                    break false;
                }
            }
        }
    };
    if let Some(first) = first {
        first.crash().await;
    }

    let second = Controller::start_behind(world, seams).await?;
    if !acted {
        act.await?;
    }
    within(limit, "the end state is the undisturbed one", async || {
        let differences = EndState::of(world).await?.differences(&expected.end);
        Ok(if differences.is_empty() {
            Ok(())
        } else {
            Err(differences.join("\n"))
        })
    })
    .await?;
    second.quiet().await?;
    let differences = EndState::of(world).await?.differences(&expected.end);
    ensure!(
        differences.is_empty(),
        "the end state did not last:\n{}",
        differences.join("\n")
    );
    let cost = Cost::of(world, since, &pods)?;
    ensure!(
        cost == expected.cost,
        "it cost {cost:?} instead of {:?}: {}",
        expected.cost,
        listed(&world.writes(since)?)
    );
    Ok(came)
}

/// Waits for the crash, and until the API server has done what was sent before.
async fn crashed(seam: &CrashAfter) {
    while !seam.is_over() {
        tokio::time::sleep(PACE / 2).await;
    }
}
