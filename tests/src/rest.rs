//! The server's REST API, as far as these tests use it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Secret, Service};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::{SERVER, World, until};

/// The API of the server called [`SERVER`], through the cluster IP of its Service.
#[derive(Clone, Debug)]
pub struct Rest {
    client: Client,
    url: String,
}

impl Rest {
    /// The API that the Service of `world`'s server leads to.
    ///
    /// # Errors
    /// When there is no such Service.
    pub async fn of(world: &World) -> Result<Self> {
        Self::of_server(world, SERVER).await
    }

    /// As [`Rest::of`], of the server `server`.
    ///
    /// # Errors
    /// When there is no such Service.
    pub async fn of_server(world: &World, server: &str) -> Result<Self> {
        let service = world
            .api::<Service>()
            .get(&api_types::names::api_service(server))
            .await?;
        let address = service
            .spec
            .and_then(|spec| spec.cluster_ip)
            .context("the Service has no cluster IP")?;
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()?;
        Ok(Rest {
            client,
            url: format!("http://{address}:8080"),
        })
    }

    /// Waits until the server says through its Service that it is ready.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ready(&self) -> Result<()> {
        until("/health/ready answers through the Service", async || {
            Ok(
                match self
                    .client
                    .get(format!("{}/health/ready", self.url))
                    .send()
                    .await
                {
                    Ok(answer) if answer.status() == StatusCode::OK => Ok(()),
                    Ok(answer) => Err(answer.status().to_string()),
                    Err(error) => Err(format!("{error:?}")),
                },
            )
        })
        .await
    }

    /// Logs in; gives an access token.
    ///
    /// # Errors
    /// When the server does not take the password.
    pub async fn session(&self, user: &str, password: &str) -> Result<String> {
        let request = self.client.post(format!("{}/api/v1/auth/login", self.url));
        let answer = request
            .json(&json!({"username": user, "password": password}))
            .send()
            .await?;
        let answer: Value = answer
            .error_for_status()
            .with_context(|| format!("{user} cannot log in"))?
            .json()
            .await?;
        let token = answer["access_token"].as_str();
        Ok(token.context("an answer without a token")?.to_owned())
    }

    /// One request below `/api/v1`; gives the JSON of its answer, null where there is none.
    ///
    /// # Errors
    /// When the answer is no success.
    pub async fn call(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value> {
        let mut request = self
            .client
            .request(method, format!("{}/api/v1{path}", self.url))
            // With a bucket that does not answer, some calls take half a minute.
            .timeout(Duration::from_secs(60))
            .bearer_auth(token);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Logs in as `admin`; gives the status of the answer.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn log_in(&self, password: &str) -> Result<StatusCode> {
        let request = self.client.post(format!("{}/api/v1/auth/login", self.url));
        let answer = request
            .json(&json!({"username": "admin", "password": password}))
            .send()
            .await?;
        Ok(answer.status())
    }
}

/// The administrator's password in the generated Secret.
///
/// # Errors
/// When there is none.
pub async fn password(world: &World) -> Result<String> {
    password_of(world, SERVER).await
}

/// As [`password`], of the server `server`.
///
/// # Errors
/// When there is none.
pub async fn password_of(world: &World, server: &str) -> Result<String> {
    let secret = world
        .api::<Secret>()
        .get(&api_types::names::admin_secret(server))
        .await?;
    let bytes = secret
        .data
        .and_then(|mut data| data.remove("password"))
        .context("no key password")?;
    Ok(String::from_utf8(bytes.0)?)
}
