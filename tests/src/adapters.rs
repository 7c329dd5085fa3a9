//! The protocol adapters of the server called [`SERVER`], and what leads to them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use api_types::names;
use api_types::v1alpha1::{AdapterKind, AdapterStatus};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::rest::{Rest, password};
use crate::{Controller, SERVER, World, until};

/// Looks at the server every 10 s, the least that the schema takes.
#[must_use]
pub fn fast() -> Value {
    json!({"adapterDiscovery": {"pollingInterval": "10s", "pendingInterval": "1s"}})
}

/// Both controllers, and a server with the fields of `spec` whose adapters are ready.
///
/// # Errors
/// When it does not become ready.
pub async fn served(world: &World, spec: Value) -> Result<(Controller, Controller, Admin)> {
    let servers = Controller::start(world).await?;
    let adapters = Controller::adapters(world).await?;
    let mut whole = fast();
    crate::world::merge(&mut whole, spec);
    world.serve(whole).await?;
    world
        .condition("AdaptersReady", "True", "AdaptersHealthy")
        .await?;
    let admin = Admin::of(world).await?;
    Ok((servers, adapters, admin))
}

/// A person with the administrator's password.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The API.
    pub rest: Rest,
    token: String,
}

impl Admin {
    /// Logs in at the server of `world`.
    ///
    /// # Errors
    /// When the server does not take the password.
    pub async fn of(world: &World) -> Result<Self> {
        Self::of_password(world, &password(world).await?).await
    }

    /// Logs in at the server of `world` with this password.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn of_password(world: &World, password: &str) -> Result<Self> {
        let rest = Rest::of(world).await?;
        rest.ready().await?;
        let token = rest.session("admin", password).await?;
        Ok(Admin { rest, token })
    }

    /// Reads from the API.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.rest.call(&self.token, Method::GET, path, None).await
    }

    /// Changes something by PUT.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn put(&self, path: &str, body: Value) -> Result<Value> {
        let body = Some(body);
        self.rest.call(&self.token, Method::PUT, path, body).await
    }

    /// Changes a part of something by PATCH.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn patch(&self, path: &str, body: Value) -> Result<Value> {
        let body = Some(body);
        self.rest.call(&self.token, Method::PATCH, path, body).await
    }

    /// Makes, or does, something by POST.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn post(&self, path: &str, body: Value) -> Result<Value> {
        let body = Some(body);
        self.rest.call(&self.token, Method::POST, path, body).await
    }

    /// Deletes something.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn delete(&self, path: &str) -> Result<Value> {
        self.rest
            .call(&self.token, Method::DELETE, path, None)
            .await
    }
}

/// The Service of an adapter, if it exists.
///
/// # Errors
/// When it cannot be read.
pub async fn find(world: &World, kind: AdapterKind) -> Result<Option<Service>> {
    let name = names::adapter(SERVER, kind);
    Ok(world.api::<Service>().get_opt(&name).await?)
}

/// The Service of an adapter.
///
/// # Errors
/// When it does not exist.
pub async fn service(world: &World, kind: AdapterKind) -> Result<Service> {
    let found = find(world, kind).await?;
    found.with_context(|| format!("no Service of {}", kind.as_str()))
}

/// What clients hold on to: the UID of an adapter's Service and its cluster address.
///
/// # Errors
/// When it does not exist.
pub async fn address(world: &World, kind: AdapterKind) -> Result<(String, String)> {
    let service = service(world, kind).await?;
    let uid = service.uid().context("no UID")?;
    let spec = service.spec.context("no spec")?;
    Ok((uid, spec.cluster_ip.context("no address")?))
}

/// The ports of an adapter's Service: those that clients use, and where they lead in the pod.
///
/// # Errors
/// When it does not exist.
pub async fn ports(world: &World, kind: AdapterKind) -> Result<Vec<(i32, i32)>> {
    let spec = service(world, kind).await?.spec.unwrap_or_default();
    let ports = spec.ports.unwrap_or_default().into_iter();
    Ok(ports
        .map(|port| {
            let target = serde_json::to_value(&port.target_port).unwrap_or_default();
            let target = target
                .as_i64()
                .and_then(|target| i32::try_from(target).ok());
            (port.port, target.unwrap_or_default())
        })
        .collect())
}

/// Waits until an adapter's Service leads from these ports to those of the pod.
///
/// # Errors
/// When it does not.
pub async fn leads(world: &World, kind: AdapterKind, expected: &[(i32, i32)]) -> Result<()> {
    until("the ports of the Service", async || {
        Ok(match ports(world, kind).await {
            Ok(found) if found == expected => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await
}

/// Waits until a connection through an adapter's Service stands.
///
/// # Errors
/// When none does.
pub async fn answers(world: &World, kind: AdapterKind, port: u16) -> Result<()> {
    let (_, address) = address(world, kind).await?;
    let address = SocketAddr::new(address.parse()?, port);
    until(&format!("{address} answers"), async || {
        let limit = Duration::from_secs(10);
        let connect = tokio::net::TcpStream::connect(address);
        Ok(match tokio::time::timeout(limit, connect).await {
            Ok(Ok(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await
}

/// What the status says of an adapter.
///
/// # Errors
/// When the server cannot be read.
pub async fn status(world: &World, kind: AdapterKind) -> Result<Option<AdapterStatus>> {
    let status = world.server().await?.status.unwrap_or_default();
    let adapters = status.adapters.unwrap_or_default();
    Ok(adapters
        .into_iter()
        .find(|adapter| adapter.kind == kind.as_str()))
}

/// Waits until the status says of an adapter what `holds` asks for.
///
/// # Errors
/// When it does not.
pub async fn told(
    world: &World,
    kind: AdapterKind,
    what: &str,
    holds: impl Fn(Option<&AdapterStatus>) -> bool,
) -> Result<()> {
    until(what, async || {
        let found = status(world, kind).await?;
        Ok(if holds(found.as_ref()) {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        })
    })
    .await
}
