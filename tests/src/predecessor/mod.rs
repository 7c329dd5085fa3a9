//! The Go operator, as far as its writes go: the same objects, by the same requests, under one field
//! manager. Whether ours takes them over is then decided by the real API server and the real `dfs`.

mod objects;

use anyhow::{Context, Result, ensure};
use api_types::DittoServer;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use kube::api::{ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::databases::{self, Present, Provider};
use crate::{SERVER, World};
use objects::Object;

/// Its field manager: what its programming library makes of the name of the program.
pub const MANAGER: &str = "manager";
/// The administrator's password that it generated: 24 characters.
pub const PASSWORD: &str = "UHJlZGVjZXNzb3ItcGFzc3c=";
/// Its finalizer.
pub const FINALIZER: &str = "dittofs.dittofs.com/finalizer";
/// What its condition `Ready` says; no condition of ours has this reason.
const REASON: &str = "OfThePredecessor";

/// What the server uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Features {
    /// Metrics, and so the Service for them.
    pub metrics: bool,
    /// A managed database, which it waits for and never uses.
    pub percona: bool,
    /// The administrator's Secret has the name that early releases gave it.
    pub early: bool,
}

impl Features {
    /// The part of a spec that asks for them.
    #[must_use]
    pub fn spec(self) -> Value {
        let mut spec = json!({});
        if self.metrics {
            spec["metrics"] = json!({"enabled": true});
        }
        if self.percona {
            spec["percona"] = json!({"enabled": true});
        }
        spec
    }
}

fn resource(kind: &str) -> Result<ApiResource> {
    Ok(match kind {
        "ConfigMap" => ApiResource::erase::<ConfigMap>(&()),
        "Secret" => ApiResource::erase::<Secret>(&()),
        "Service" => ApiResource::erase::<Service>(&()),
        "NetworkPolicy" => ApiResource::erase::<NetworkPolicy>(&()),
        "StatefulSet" => ApiResource::erase::<StatefulSet>(&()),
        "PerconaPGCluster" => database(),
        other => anyhow::bail!("it writes no {other}"),
    })
}

/// The kind of the managed database.
#[must_use]
pub fn database() -> ApiResource {
    Provider::Percona.resource()
}

/// Installs the resource definition of the managed database, which stays until the guard is dropped.
///
/// # Errors
/// When the API server does not take it.
pub async fn install_database_kind(world: &World) -> Result<Present> {
    let guard = databases::present();
    databases::Definition(Provider::Percona)
        .install(&world.admin)
        .await?;
    Ok(guard)
}

fn writer() -> PostParams {
    PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// A person asks for a server, and the predecessor makes it.
///
/// # Errors
/// When the API server does not take something.
pub async fn serve(world: &World, features: Features) -> Result<()> {
    wish(world, features).await?;
    reconcile(world, features).await
}

/// A person asks for a server, and nobody makes it.
///
/// # Errors
/// When the API server does not take it.
pub async fn wish(world: &World, features: Features) -> Result<()> {
    let manifest = world.manifest(features.spec());
    let server: DynamicObject = serde_json::from_value(manifest)?;
    let person = PostParams {
        field_manager: Some("kubectl-create".to_owned()),
        ..PostParams::default()
    };
    world
        .objects(&ApiResource::erase::<DittoServer>(&()))
        .create(&person, &server)
        .await?;
    Ok(())
}

/// One pass of the predecessor: the finalizer, every object, the status.
///
/// # Errors
/// When the API server does not take something.
pub async fn reconcile(world: &World, features: Features) -> Result<()> {
    let servers = world.objects(&ApiResource::erase::<DittoServer>(&()));
    let mut server = servers.get(SERVER).await?;
    let finalizers = server.finalizers_mut();
    if !finalizers.iter().any(|name| name == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
    server.annotations_mut().insert(
        "dittofs.dittofs.com/auth-retry-count".to_owned(),
        "3".to_owned(),
    );
    // A field without a value is written as an empty object.
    if server.data["spec"]["service"].is_null() {
        server.data["spec"]["service"] = json!({});
    }
    let server = servers.replace(SERVER, &writer(), &server).await?;
    let uid = server.uid().context("a server without a UID")?;
    for object in objects::all(&uid, features) {
        write(world, object).await?;
    }
    status(world, features).await
}

/// Creates an object, or writes over exactly what it wrote over.
async fn write(world: &World, object: Object) -> Result<()> {
    let Object {
        kind,
        again,
        mut manifest,
    } = object;
    let resource = resource(kind)?;
    let api = world.objects(&resource);
    let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
    let Some(mut live) = api.get_opt(name).await? else {
        manifest["apiVersion"] = resource.api_version.clone().into();
        manifest["kind"] = resource.kind.clone().into();
        let mut writer = writer();
        if manifest["metadata"]["ownerReferences"].is_null() {
            // The database operator's, not its own.
            writer.field_manager = Some("percona".to_owned());
        }
        api.create(&writer, &serde_json::from_value(manifest)?)
            .await
            .with_context(|| format!("the predecessor's {kind} is not created"))?;
        return Ok(());
    };
    if !again {
        return Ok(());
    }
    let name = live.name_any();
    let labels = manifest["metadata"]["labels"].take();
    match kind {
        "ConfigMap" => live.data["data"] = manifest["data"].take(),
        "StatefulSet" => live.data["spec"] = manifest["spec"].take(),
        "NetworkPolicy" => {
            live.data["spec"] = manifest["spec"].take();
            live.metadata.labels = serde_json::from_value(labels)?;
        }
        "Service" => {
            for field in ["type", "selector", "ports"] {
                let wanted = manifest["spec"][field].take();
                if !wanted.is_null() {
                    live.data["spec"][field] = wanted;
                }
            }
            live.metadata.labels = serde_json::from_value(labels)?;
            let annotations = manifest["metadata"]["annotations"].as_object();
            for (key, value) in annotations.into_iter().flatten() {
                let value = value.as_str().unwrap_or_default().to_owned();
                live.annotations_mut().insert(key.clone(), value);
            }
        }
        other => anyhow::bail!("{other} is written once"),
    }
    api.replace(&name, &writer(), &live)
        .await
        .with_context(|| format!("the predecessor's {kind} {name} is refused"))?;
    Ok(())
}

async fn status(world: &World, features: Features) -> Result<()> {
    let servers = world.objects(&ApiResource::erase::<DittoServer>(&()));
    let mut server = servers.get(SERVER).await?;
    let mut kinds = vec![
        "ConfigReady",
        "Available",
        "Progressing",
        "Authenticated",
        "Ready",
    ];
    if features.percona {
        kinds.push("DatabaseReady");
    }
    let conditions: Vec<Value> = kinds
        .into_iter()
        .map(|kind| {
            json!({
                "type": kind, "status": if kind == "Progressing" { "False" } else { "True" }, "reason": REASON,
                "message": "of the predecessor", "lastTransitionTime": "2026-01-01T00:00:00Z",
                "observedGeneration": server.metadata.generation,
            })
        })
        .collect();
    server.data["status"] = json!({
        "observedGeneration": server.metadata.generation, "replicas": 1, "readyReplicas": 1,
        "availableReplicas": 1, "phase": "Running", "configHash": "9f86d081884c7d65",
        "conditions": conditions,
    });
    if features.percona {
        server.data["status"]["perconaClusterName"] =
            api_types::names::managed_database(SERVER).into();
    }
    servers
        .replace_status(SERVER, &writer(), &server)
        .await
        .context("the predecessor's status is refused")?;
    Ok(())
}

/// What is left of the predecessor on what the server-controller takes over: field entries, owner
/// references, environment, ports, annotations, conditions, tokens. One line each.
///
/// # Errors
/// When something cannot be read.
pub async fn traces(world: &World) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let server = world.server().await?;
    let uid = server.uid().unwrap_or_default();
    let mut objects = vec![("DittoServer".to_owned(), serde_json::to_value(&server)?)];
    for kind in crate::children::kinds() {
        for object in world.objects(&kind).list(&Default::default()).await? {
            let name = object.name_any();
            if !name.contains("-adapter-")
                && name != api_types::names::predecessor_account_secret(SERVER)
                && name != api_types::names::early_admin_secret(SERVER)
            {
                objects.push((
                    format!("{} {name}", kind.kind),
                    serde_json::to_value(&object)?,
                ));
            }
        }
    }
    let outliving = [
        format!("Secret {}", api_types::names::admin_secret(SERVER)),
        "PersistentVolumeClaim".to_owned(),
    ];
    for (name, object) in &objects {
        let entries = object["metadata"]["managedFields"].as_array();
        for entry in entries.into_iter().flatten() {
            if entry["manager"] == MANAGER {
                found.push(format!(
                    "{name}: {} of {MANAGER}: {}",
                    entry["operation"], entry["fieldsV1"]
                ));
            }
        }
        let text = object.to_string();
        for word in [
            "dittofs.io/config-hash",
            "auth-retry-count",
            "DATABASE_URL",
            "wait-for-postgres",
            "\"adapter-nfs\"",
            "adapter-wsd",
            "adapter-mdns",
            "metrics-service",
            "baseline-networkpolicy",
            "of-the-predecessor",
            REASON,
            "availableReplicas\":1,\"cond",
            "perconaClusterName",
            "Authenticated",
        ] {
            if text.contains(word) {
                found.push(format!("{name}: {word}"));
            }
        }
        let kept = outliving
            .iter()
            .any(|outliving| name.starts_with(outliving.as_str()));
        let owners = object["metadata"]["ownerReferences"].as_array();
        if kept
            && owners
                .into_iter()
                .flatten()
                .any(|owner| owner["uid"] == *uid)
        {
            found.push(format!("{name}: an owner reference"));
        }
    }
    if server.finalizers().iter().any(|name| name == FINALIZER) {
        found.push("DittoServer: its finalizer".to_owned());
    }
    let account = world
        .api::<Secret>()
        .get_opt(&api_types::names::predecessor_account_secret(SERVER))
        .await?;
    let keys = account.and_then(|secret| secret.data).unwrap_or_default();
    for key in keys.keys() {
        if key.ends_with("-token") || key == "server-url" {
            found.push(format!("its Secret: {key}"));
        }
    }
    Ok(found)
}

/// What is the predecessor's and another controller takes over: adapter Services and policies, by
/// kind and name, with their versions.
///
/// # Errors
/// When they cannot be read.
pub async fn adapters(world: &World) -> Result<Vec<(String, Option<String>)>> {
    let mut found = Vec::new();
    for kind in [
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
    ] {
        for object in world.objects(&kind).list(&Default::default()).await? {
            if object.name_any().contains("-adapter-") {
                found.push((
                    format!("{} {} {:?}", kind.kind, object.name_any(), object.uid()),
                    object.resource_version(),
                ));
            }
        }
    }
    ensure!(found.len() == 4, "adapters: {found:?}");
    Ok(found)
}
