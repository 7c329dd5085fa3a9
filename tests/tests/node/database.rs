//! A server that keeps its control plane in PostgreSQL, with a real one behind it.

mod hardships;
mod latch;
mod moved;
mod shapes;
mod stores;
mod trust;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use api_types::DittoServer;
use cluster_tests::backends::postgres::Postgres;
use cluster_tests::pods::{another_pod, container_of, pod_of};
use cluster_tests::rest::{Rest, password_of};
use cluster_tests::world::somebody;
use cluster_tests::{Controller, PodLog, SERVER, World, until};
use k8s_openapi::api::core::v1::{
    ConfigMap, Event, PersistentVolume, PersistentVolumeClaim, Secret,
};
use kube::api::{ListParams, Patch};
use kube::{Api, ResourceExt};
use reqwest::Method;
use serde_json::{Value, json};

/// Waits until the server `name` serves, and its database has taken the login of the controller.
async fn serves(world: &World, name: &str) -> Result<()> {
    world
        .condition_of(name, "DatabaseReady", "True", "DatabaseAnswers")
        .await?;
    running(world, name).await
}

/// Waits until the pod of the server `name` is the one that its spec asks for, and serves.
async fn running(world: &World, name: &str) -> Result<()> {
    world
        .condition_of(name, "Available", "True", "PodServing")
        .await?;
    world
        .condition_of(name, "Progressing", "False", "RolloutComplete")
        .await?;
    Rest::of_server(world, name).await?.ready().await
}

/// Makes the user `user` over the REST API of the server `server`.
async fn make_user(world: &World, server: &str, user: &str) -> Result<()> {
    let rest = Rest::of_server(world, server).await?;
    rest.ready().await?;
    let password = password_of(world, server).await?;
    let token = rest.session("admin", &password).await?;
    let body = json!({"username": user, "password": "long-enough", "role": "user"});
    rest.call(&token, Method::POST, "/users", Some(body))
        .await?;
    Ok(())
}

/// Waits until another pod than `before` has taken the place of the server `server`, and asserts that it is the
/// `pods`th and the last.
async fn restarted(
    world: &World,
    controller: &Controller,
    log: &PodLog,
    server: &str,
    before: Option<&str>,
    pods: usize,
) -> Result<()> {
    another_pod(world, server, before).await?;
    serves(world, server).await?;
    controller.quiet().await?;
    had(world, log, server, pods).await
}

/// Waits until the user `user` can log in at the server `server`, whose database was away.
async fn found_again(world: &World, server: &str, user: &str) -> Result<()> {
    until("the server has found its database again", async || {
        Ok(logs_in(world, server, user)
            .await
            .map_err(|error| format!("{error:#}")))
    })
    .await
}

/// Whether the user `user` can log in at the server `server`.
async fn logs_in(world: &World, server: &str, user: &str) -> Result<()> {
    let rest = Rest::of_server(world, server).await?;
    rest.session(user, "long-enough").await?;
    Ok(())
}

/// The password with which [`Own`] begins.
const FIRST_PASSWORD: &str = "hidden-password-1";

/// A server that runs with a database of a person, whose connection is in the Secret `pg`.
struct Own {
    postgres: Postgres,
    /// What the Secret has at the beginning.
    values: Value,
    controller: Controller,
    log: PodLog,
}

impl Own {
    /// Starts the database and the server, and makes the user `alice` there.
    async fn start(world: &World) -> Result<Self> {
        Self::with(world, Postgres::start(world).await?).await
    }

    /// As [`Own::start`], with a database server that runs already.
    async fn with(world: &World, postgres: Postgres) -> Result<Self> {
        postgres.role("files", FIRST_PASSWORD).await?;
        postgres.database_of("files", "files").await?;
        let address = postgres.address();
        let values = json!({"host": address.ip().to_string(), "port": address.port().to_string(),
            "database": "files", "user": "files", "password": FIRST_PASSWORD,
            "sslrootcert": postgres.authority().pem});
        world.secret("pg", values.clone()).await?;
        let controller = Controller::start(world).await?;
        let log = PodLog::watch(world);
        world
            .serve(json!({"database": {"secret": {"name": "pg"}}}))
            .await?;
        serves(world, SERVER).await?;
        make_user(world, SERVER, "alice").await?;
        Ok(Own {
            postgres,
            values,
            controller,
            log,
        })
    }
}

/// Changes the Secret `pg` as a person does; gives the version that it has then.
async fn change_secret(world: &World, patch: Value) -> Result<Option<String>> {
    let secrets = world.api::<Secret>();
    let patch = Patch::Merge(patch);
    let patched = secrets.patch("pg", &somebody(), &patch).await?;
    Ok(patched.resource_version())
}

/// The SQLite files on the volumes of the world's servers.
async fn sqlite_files(world: &World) -> Result<Vec<String>> {
    let volumes: Api<PersistentVolume> = Api::all(world.admin.clone());
    let claims = world.api::<PersistentVolumeClaim>();
    // The folders of the volumes are the node's, whose files this machine sees through any of its processes.
    let state = std::env::var_os("DITTOFS_CLUSTER_STATE").context("no cluster of the kit")?;
    let kubelet = std::fs::read_to_string(Path::new(&state).join("pids/kubelet"))?;
    let process = kubelet.split_whitespace().next().context("no kubelet")?;
    let node = Path::new("/proc").join(process).join("root");
    let mut found = Vec::new();
    for claim in claims.list(&ListParams::default()).await? {
        let name = claim.spec.and_then(|spec| spec.volume_name);
        let Some(name) = name else { continue };
        let spec = volumes.get(&name).await?.spec.context("no spec")?;
        let folder = spec.host_path.context("a volume that is no folder")?.path;
        search(&node.join(folder.trim_start_matches('/')), &mut found)?;
    }
    Ok(found)
}

fn search(folder: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            search(&path, found)?;
        } else if kind.is_file() && std::fs::read(&path)?.starts_with(b"SQLite format 3\0") {
            found.push(path.display().to_string());
        }
    }
    Ok(())
}

/// Asserts that the server `server` had `pods` pods, and that none of its containers ended by itself.
async fn had(world: &World, log: &PodLog, server: &str, pods: usize) -> Result<()> {
    let count = log.count(server);
    ensure!(count == pods, "{count} pods instead of {pods}");
    let pod = pod_of(world, server).await?;
    ensure!(pod.metadata.deletion_timestamp.is_none(), "it is going");
    let restarts = container_of(&pod)?.restart_count;
    ensure!(restarts == 0, "its container ended {restarts} times");
    Ok(())
}

/// Asserts that none of `secrets` is where people without a right to Secrets can read it.
async fn nothing_leaks(world: &World, secrets: &[&str]) -> Result<()> {
    let all = ListParams::default();
    let texts = [
        serde_json::to_string(&world.api::<DittoServer>().list(&all).await?.items)?,
        serde_json::to_string(&world.api::<Event>().list(&all).await?.items)?,
        serde_json::to_string(&world.api::<ConfigMap>().list(&all).await?.items)?,
    ];
    for text in &texts {
        let leak = secrets.iter().find(|secret| text.contains(**secret));
        ensure!(leak.is_none(), "{leak:?} can be read");
    }
    Ok(())
}

/// The value of an environment variable in the pod template of the server `server`, where it is no
/// reference to a Secret.
async fn variable(world: &World, server: &str, name: &str) -> Result<Option<String>> {
    let pod = pod_of(world, server).await?;
    let spec = pod.spec.with_context(|| format!("{server} has no spec"))?;
    let variables = spec.containers.into_iter().flat_map(|c| c.env);
    let mut variables = variables.flatten();
    Ok(variables
        .find(|variable| variable.name == name)
        .and_then(|variable| variable.value))
}
