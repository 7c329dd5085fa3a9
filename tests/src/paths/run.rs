//! Servers that are changed step by step, beside fresh ones.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::DittoServer;
use futures::future::join_all;
use kube::api::{Patch, PostParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::fields::smallest;
use super::state::Snapshot;
use super::{Refused, Steps};
use crate::wait::{LIMIT, within};
use crate::world::{in_world, manifest_in, merge, none_failed, somebody};
use crate::{Controller, Pods, World};

/// Namespaces, and controllers, at the same time.
const WORKERS: usize = 4;

/// Servers of a worker that change at the same time.
const BATCH: usize = 8;

/// Time between two looks at everything.
const PACE: Duration = Duration::from_millis(500);

/// Far beyond what a batch takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// Takes a server through each of `changes`; after each of the last two steps, children and
/// status must be those of a fresh server with the same spec.
///
/// # Errors
/// What differs.
pub async fn check(name: &str, changes: &[Steps]) -> Result<()> {
    let shares = (0..WORKERS).map(|worker| {
        let share: Vec<Steps> = (changes.iter().skip(worker).step_by(WORKERS))
            .cloned()
            .collect();
        in_world(name, Pods::None, async move |world: &World| {
            walk(world, &share).await
        })
    });
    let results = join_all(shares).await;
    let failures: Vec<String> = (results.into_iter())
        .filter_map(|result| Some(format!("{:#}", result.err()?)))
        .collect();
    none_failed(&failures)
}

async fn walk(world: &World, changes: &[Steps]) -> Result<()> {
    inputs(world).await?;
    let controller = Controller::start(world).await?;
    let mut servers = Servers {
        world,
        controller: &controller,
        fresh: BTreeMap::new(),
        made: 0,
    };
    let mut differences = Vec::new();
    for batch in changes.chunks(BATCH) {
        differences.extend(servers.walk(batch).await?);
    }
    none_failed(&differences)?;
    let failures = controller.failures();
    ensure!(failures == 0, "{failures} visits failed");
    Ok(())
}

/// The servers of a namespace.
struct Servers<'w> {
    world: &'w World,
    controller: &'w Controller,
    /// Fresh ones by their spec: many changes end in the same one.
    fresh: BTreeMap<String, String>,
    made: usize,
}

/// Which server shall be as which fresh one, after what.
type Expected = Vec<(String, String, String)>;

impl Servers<'_> {
    /// Gives what differs from fresh servers.
    async fn walk(&mut self, changes: &[Steps]) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for change in changes {
            names.push(self.create(change.a.clone()).await?);
        }
        settled(self.world, self.controller).await?;
        let mut expected = Expected::new();
        for (change, name) in changes.iter().zip(&names) {
            replace(self.world, name, change.b.clone()).await?;
            if !change.exclusive {
                let fresh = self.fresh(&change.b).await?;
                expected.push((name.clone(), fresh, format!("{} was changed", change.name)));
            }
        }
        settled(self.world, self.controller).await?;
        let mut differences = equal(self.world, &expected).await?;
        expected.clear();
        for (change, name) in changes.iter().zip(&names) {
            replace(self.world, name, change.unset.clone()).await?;
            if !change.remembered {
                let fresh = self.fresh(&change.unset).await?;
                expected.push((name.clone(), fresh, format!("{} was unset", change.name)));
            }
        }
        settled(self.world, self.controller).await?;
        differences.extend(equal(self.world, &expected).await?);
        Ok(differences)
    }

    /// A server that never had another spec.
    async fn fresh(&mut self, spec: &Value) -> Result<String> {
        let key = spec.to_string();
        if let Some(name) = self.fresh.get(&key) {
            return Ok(name.clone());
        }
        let name = self.create(spec.clone()).await?;
        self.fresh.insert(key, name.clone());
        Ok(name)
    }

    /// Makes a server with exactly this spec.
    async fn create(&mut self, spec: Value) -> Result<String> {
        let name = format!("server-{:04}", self.made);
        self.made += 1;
        let mut manifest = manifest_in(&self.world.namespace, &name, json!({}));
        manifest["spec"] = spec;
        self.world
            .create_json::<DittoServer>(manifest)
            .await
            .with_context(|| format!("{name} is refused"))?;
        Ok(name)
    }
}

/// The Secrets that specs refer to, with every key.
async fn inputs(world: &World) -> Result<()> {
    for name in ["one", "two"] {
        let keys = [
            "host",
            "database",
            "user",
            "password",
            "keytab",
            "tls.crt",
            "tls.key",
            "ca.crt",
            "clients.crt",
        ];
        let values = keys.map(|key| {
            (
                key.to_owned(),
                format!("{name}-{key}-{}", "x".repeat(32)).into(),
            )
        });
        world
            .secret(name, Value::Object(values.into_iter().collect()))
            .await?;
    }
    Ok(())
}

/// Gives the server `name` exactly this spec.
async fn replace(world: &World, name: &str, spec: Value) -> Result<()> {
    let patch = json!([{"op": "replace", "path": "/spec", "value": spec}]);
    let patch = Patch::Json::<()>(serde_json::from_value(patch)?);
    let api = world.api::<DittoServer>();
    api.patch(name, &somebody(), &patch)
        .await
        .with_context(|| format!("{name} cannot be changed"))?;
    Ok(())
}

async fn settled(world: &World, controller: &Controller) -> Result<()> {
    within(
        PATIENCE,
        "every status is of its present generation",
        async || {
            let snapshot = Snapshot::of(world).await?;
            Ok(if snapshot.is_observed() {
                Ok(())
            } else {
                Err("not yet".to_owned())
            })
        },
    )
    .await?;
    controller.quiet().await
}

/// Waits until each server is as the fresh one beside it: what other controllers do may take its time.
/// Gives what differs in the end.
async fn equal(world: &World, expected: &Expected) -> Result<Vec<String>> {
    let end = Instant::now() + LIMIT;
    loop {
        let snapshot = Snapshot::of(world).await?;
        let mut lines = Vec::new();
        for (changed, fresh, step) in expected {
            let found = snapshot
                .state(changed)?
                .differences(&snapshot.state(fresh)?);
            let said = |line| format!("after {step} ({changed}, {fresh}): {line}");
            lines.extend(found.into_iter().map(said));
        }
        if lines.is_empty() || Instant::now() > end {
            return Ok(lines);
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Each of `refused` must be refused by the API server, in its words.
///
/// # Errors
/// What is taken, or refused in other words.
pub async fn check_refused(world: &World, refused: &[Refused]) -> Result<()> {
    let mut failures = Vec::new();
    for (index, field) in refused.iter().enumerate() {
        let name = format!("refused-{index:03}");
        let mut before = smallest();
        merge(&mut before, field.from.clone());
        let mut after = before.clone();
        merge(&mut after, field.to.clone());
        let mut manifest = manifest_in(&world.namespace, &name, json!({}));
        manifest["spec"] = before;
        let stored: Value = {
            let made = world.create_json::<DittoServer>(manifest).await?;
            serde_json::to_value(made)?
        };
        let mut changed = stored;
        changed["spec"] = after;
        let changed: DittoServer = serde_json::from_value(changed)?;
        let api = world.api::<DittoServer>();
        match api.replace(&name, &PostParams::default(), &changed).await {
            Err(kube::Error::Api(status)) if status.message.contains(&field.message) => {}
            other => failures.push(format!("{}: {other:?}", field.at)),
        }
    }
    none_failed(&failures)
}
