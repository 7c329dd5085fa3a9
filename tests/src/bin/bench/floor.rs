//! The raw client: makes the same objects as the controller as fast as the API server takes them.
//! It reads nothing, checks nothing, repeats nothing.

use anyhow::{Context, Result, ensure};
use cluster_tests::{Pods, namespace};
use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use crate::servers::{self, Copies, ORIGINAL};
use crate::{FLOOR, PRODUCT};

/// How many requests are under way at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Shape {
    /// Servers at the same time.
    pub(crate) servers: usize,
    /// Children of one server at the same time.
    pub(crate) children: usize,
}

/// The shapes of which the fastest is the floor.
pub(crate) const MANY: [Shape; 5] = [
    shape(4, 1),
    shape(8, 1),
    shape(16, 1),
    shape(32, 1),
    shape(8, 8),
];
/// The same for one server alone.
pub(crate) const ONE: [Shape; 3] = [shape(1, 1), shape(1, 3), shape(1, 8)];

const fn shape(servers: usize, children: usize) -> Shape {
    Shape { servers, children }
}

/// Makes `number` servers and their children, from the index `first` on.
pub(crate) async fn make(
    admin: &Client,
    copies: &Copies,
    shape: Shape,
    first: usize,
    number: usize,
) -> Result<()> {
    stream::iter(first..first + number)
        .map(Ok)
        .try_for_each_concurrent(shape.servers, |index| server(admin, copies, shape, index))
        .await
}

async fn server(admin: &Client, copies: &Copies, shape: Shape, index: usize) -> Result<()> {
    let name = servers::name(index);
    let path = format!("/apis/dittofs.dittofs.com/v1alpha1/namespaces/{FLOOR}/dittoservers");
    let manifest = servers::manifest(FLOOR, &name).to_string();
    let made: Value = serde_json::from_slice(&post(admin, &path, manifest).await?)?;
    let uid = made["metadata"]["uid"]
        .as_str()
        .context("a server without a UID")?
        .to_owned();
    stream::iter(&copies.children)
        .map(Ok)
        .try_for_each_concurrent(shape.children, |copy| {
            let path = copy.path.replace(PRODUCT, FLOOR);
            let text = copy
                .text
                .replace(PRODUCT, FLOOR)
                .replace(ORIGINAL, &name)
                .replace(&copies.uid, &uid);
            async move { post(admin, &path, text).await.map(|_| ()) }
        })
        .await
}

async fn post(admin: &Client, path: &str, text: String) -> Result<Vec<u8>> {
    let request = http::Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Body::from(text.into_bytes()))?;
    let answer = admin.send(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect_bytes().await?;
    ensure!(
        status == http::StatusCode::CREATED,
        "{path}: {status}: {}",
        String::from_utf8_lossy(&body)
    );
    Ok(body.to_vec())
}

/// A fresh namespace for the raw client.
pub(crate) async fn prepare(admin: &Client) -> Result<()> {
    namespace::create(admin, FLOOR, Pods::Run).await
}
