//! `/metrics` of a controller that runs as a process of this machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Client;

use crate::{ports, until};

/// Where a controller shows its metrics.
#[derive(Clone, Debug)]
pub struct Scrape {
    client: Client,
    address: SocketAddr,
}

impl Scrape {
    /// A place that nobody uses now.
    ///
    /// # Errors
    /// When there is none.
    pub fn new() -> Result<Self> {
        let host = Ipv4Addr::LOCALHOST.into();
        let address = SocketAddr::new(host, ports::free(host)?);
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()?;
        Ok(Scrape { client, address })
    }

    /// Value of the option `--http-address`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Everything that is shown.
    ///
    /// # Errors
    /// When the controller does not answer.
    pub async fn text(&self) -> Result<String> {
        let url = format!("http://{}/metrics", self.address);
        let answer = self.client.get(url).send().await?.error_for_status()?;
        Ok(answer.text().await?)
    }

    /// The value of a series with all its labels as they are shown, without the prefix of all names;
    /// `None` while there is none.
    ///
    /// # Errors
    /// When the controller does not answer.
    pub async fn value(&self, series: &str) -> Result<Option<f64>> {
        let text = self.text().await?;
        let start = format!("dittofs_operator_{series} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&start));
        value
            .map(|value| value.parse().with_context(|| format!("{series} {value}")))
            .transpose()
    }

    /// Waits until the value of a series is as `wanted` says.
    ///
    /// # Errors
    /// When it does not become so.
    pub async fn becomes(
        &self,
        series: &str,
        wanted: impl Fn(Option<f64>) -> bool,
    ) -> Result<Option<f64>> {
        until(&format!("{series} is as it shall be"), async || {
            Ok(match self.value(series).await {
                Ok(value) if wanted(value) => Ok(value),
                seen => Err(format!("{seen:?}")),
            })
        })
        .await
    }
}
