//! A user, a share and a file in a running server: what must outlive whatever becomes of its objects.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use reqwest::Method;
use serde_json::json;
use tokio::process::Command;

use crate::rest::Rest;
use crate::{World, kubectl, until};

const USER: &str = "alice";
const USER_PASSWORD: &str = "alices-password";
const SHARE: &str = "team";
const TEXT: &str = "written before anything happened";

/// Makes them, as the administrator with this password; `address` is a Service that leads to NFS on
/// port 12049.
///
/// # Errors
/// When the server does not take them.
pub async fn make(world: &World, rest: &Rest, password: &str, address: &str) -> Result<()> {
    let token = rest.session("admin", password).await?;
    let post = async |path: &str, body| rest.call(&token, Method::POST, path, Some(body)).await;
    let user = json!({"username": USER, "password": USER_PASSWORD, "role": "user"});
    post("/users", user).await?;
    let store = |name: &str, kind: &str, path: &str| json!({"name": name, "type": kind, "config": json!({"path": path}).to_string()});
    let metadata = store("m1", "badger", "/data/store/metadata/team");
    post("/store/metadata", metadata).await?;
    post("/store/block/local", store("l1", "fs", "/data/store/block")).await?;
    let share = json!({
        "name": format!("/{SHARE}"), "metadata_store_id": "m1", "local_block_store": "l1",
        "default_permission": "read-write",
    });
    post("/shares", share).await?;
    let config = format!("/shares/{SHARE}/adapters/nfs/config");
    let squash = Some(json!({"squash": "none"}));
    rest.call(&token, Method::PATCH, &config, squash).await?;
    let file = tempfile(world)?;
    let url = url(world, address).await?;
    until("the file is written", async || {
        let mut copy = Command::new("nfs-cp");
        Ok(kubectl::run(copy.arg(&file).arg(&url), "")
            .await
            .map(|_| ())
            .map_err(|error| format!("{error:#}")))
    })
    .await?;
    std::fs::remove_file(file)?;
    there(world, rest, password, address).await
}

/// Whether all of them are there: the administrator and the user log in, the share is served, the
/// file reads as it was written.
///
/// # Errors
/// When one is not.
pub async fn there(world: &World, rest: &Rest, password: &str, address: &str) -> Result<()> {
    rest.ready().await?;
    let token = rest.session("admin", password).await?;
    rest.session(USER, USER_PASSWORD).await?;
    let path = format!("/shares/{SHARE}");
    let share = rest.call(&token, Method::GET, &path, None).await?;
    ensure!(share["enabled"] == true, "the share is {share}");
    let url = url(world, address).await?;
    until("the file reads as it was written", async || {
        let mut read = Command::new("nfs-cat");
        Ok(match kubectl::run(read.arg(&url), "").await {
            Ok(text) if text.contains(TEXT) => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await
}

fn tempfile(world: &World) -> Result<std::path::PathBuf> {
    let file = std::env::temp_dir().join(format!("{}-file", world.namespace));
    std::fs::write(&file, TEXT)?;
    Ok(file)
}

/// The file through the cluster IP of a Service. libnfs writes with version 3 only, and asks no
/// portmapper when it is told the ports.
async fn url(world: &World, address: &str) -> Result<String> {
    let service = world.api::<Service>().get(address).await?;
    let address = service
        .spec
        .and_then(|spec| spec.cluster_ip)
        .context("the Service has no cluster IP")?;
    Ok(format!(
        "nfs://{address}/{SHARE}/file?version=3&nfsport=12049&mountport=12049&uid=1000&gid=1000"
    ))
}
