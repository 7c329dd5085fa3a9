//! Servers: their manifests, their children as the controller makes them, and their end.

use std::time::Duration;

use anyhow::{Context, Result};
use api_types::DittoServer;
use cluster_tests::wait::within;
use cluster_tests::world::IMAGE;
use cluster_tests::{Child, Pods, namespace};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::{Bench, PRODUCT, Process};

/// Name of the server that the copies are made from. No other text in its objects holds it.
pub(crate) const ORIGINAL: &str = "originalserver";

/// A server as small as they come.
pub(crate) fn manifest(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "dittofs.dittofs.com/v1alpha1",
        "kind": "DittoServer",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "image": IMAGE,
            "storage": {"metadataSize": "16Mi", "contentSize": "16Mi", "controlPlaneSize": "16Mi"},
        },
    })
}

pub(crate) fn name(index: usize) -> String {
    format!("server-{index:03}")
}

/// Makes a server as a person would.
pub(crate) async fn create(admin: &Client, namespace: &str, name: &str) -> Result<DittoServer> {
    let server: DittoServer = serde_json::from_value(manifest(namespace, name))?;
    let api = Api::namespaced(admin.clone(), namespace);
    Ok(api.create(&PostParams::default(), &server).await?)
}

/// A child as the raw client sends it: where to, and what.
pub(crate) struct Copy {
    /// Path of its collection.
    pub(crate) path: String,
    /// The object as JSON text, with the namespace, the name and the UID of its server.
    pub(crate) text: String,
}

/// What the raw client makes again and again.
pub(crate) struct Copies {
    /// UID of the server that the children name as their owner.
    pub(crate) uid: String,
    pub(crate) children: Vec<Copy>,
}

/// Lets the controller make one server, and takes its children as the pattern.
pub(crate) async fn copies(bench: &Bench) -> Result<Copies> {
    let admin = &bench.admin;
    namespace::create(admin, PRODUCT, Pods::Run).await?;
    let process = Process::start(&bench.launcher).await?;
    let mark = bench.requests.mark()?;
    let server = create(admin, PRODUCT, ORIGINAL).await?;
    bench.requests.quiet(mark, Duration::from_secs(2)).await?;
    let mut children = Vec::new();
    for child in Child::GENERATED.into_iter().chain(Child::APPLIED) {
        let resource = child.resource();
        let api: Api<DynamicObject> = Api::namespaced_with(admin.clone(), PRODUCT, &resource);
        let live = api.get(&child.name(ORIGINAL)).await?;
        let mut object = serde_json::to_value(live)?;
        object["apiVersion"] = json!(resource.api_version);
        object["kind"] = json!(resource.kind);
        children.push(Copy {
            path: api.resource_url().to_owned(),
            text: as_sent(object).to_string(),
        });
    }
    process.stop().await?;
    clear(admin, PRODUCT).await?;
    Ok(Copies {
        uid: server.metadata.uid.context("a server without a UID")?,
        children,
    })
}

/// An object without what the API server put into it.
fn as_sent(mut object: Value) -> Value {
    let metadata = [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "managedFields",
    ];
    let spec = ["clusterIPs", "healthCheckNodePort"];
    for (part, fields) in [("metadata", &metadata[..]), ("spec", &spec[..])] {
        for field in fields {
            if let Some(part) = object[part].as_object_mut() {
                part.remove(*field);
            }
        }
    }
    if let Some(whole) = object.as_object_mut() {
        whole.remove("status");
    }
    let address = object["spec"].get("clusterIP").and_then(Value::as_str);
    if address.is_some_and(|address| address != "None")
        && let Some(spec) = object["spec"].as_object_mut()
    {
        spec.remove("clusterIP");
    }
    object
}

/// Removes a namespace with everything in it, and waits until it is gone.
pub(crate) async fn clear(admin: &Client, name: &str) -> Result<()> {
    namespace::delete(admin, name).await?;
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    within(
        Duration::from_secs(180),
        "the namespace is gone",
        async || {
            Ok(match namespaces.get_opt(name).await? {
                None => Ok(()),
                Some(left) => Err(format!("{:?}", left.status)),
            })
        },
    )
    .await
}

/// Waits until the namespace's StatefulSets have the pods and claims that the cluster makes for
/// them, so that the cluster's own controllers are done.
pub(crate) async fn filled(admin: &Client, namespace: &str, servers: usize) -> Result<()> {
    use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
    let pods: Api<Pod> = Api::namespaced(admin.clone(), namespace);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(admin.clone(), namespace);
    within(
        Duration::from_secs(180),
        "pods and claims are there",
        async || {
            let pods = pods
                .list_metadata(&ListParams::default())
                .await?
                .items
                .len();
            let claims = claims
                .list_metadata(&ListParams::default())
                .await?
                .items
                .len();
            Ok(if pods >= servers && claims >= 3 * servers {
                Ok(())
            } else {
                Err(format!("{pods} pods, {claims} claims"))
            })
        },
    )
    .await
}
