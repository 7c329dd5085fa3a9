//! What the server says in its log about requests of its REST API.

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;

use crate::{SERVER, World};

/// A request that the server has answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answered {
    /// `GET`, `PUT` and so on.
    pub method: String,
    /// Path below `/api/v1`.
    pub path: String,
    /// Status of the answer.
    pub status: u16,
}

impl Answered {
    /// Whether it changed something, a log-in apart.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.method != "GET" && !self.path.starts_with("/auth/")
    }

    /// Whether it is about shares and what belongs to them.
    #[must_use]
    pub fn is_about_shares(&self) -> bool {
        let parts = [
            "/shares",
            "/store/",
            "/settings",
            "/snapshot-policies",
            "/users",
            "/groups",
            "/adapters/nfs/netgroups",
        ];
        parts.iter().any(|part| self.path.starts_with(part))
    }
}

impl std::fmt::Display for Answered {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {} {}", self.method, self.path, self.status)
    }
}

/// Every request that the present pod of the server called [`SERVER`] has answered, in their order;
/// health checks are not among them.
///
/// # Errors
/// When the log cannot be read.
pub async fn answered(world: &World) -> Result<Vec<Answered>> {
    let pod = api_types::names::pod(SERVER);
    let log = world.api::<Pod>().logs(&pod, &LogParams::default()).await?;
    Ok(log.lines().filter_map(parse).collect())
}

/// A line such as `[…] [INFO] API request completed request_id=… method=GET path=/api/v1/shares status=200 …`.
fn parse(line: &str) -> Option<Answered> {
    let (_, fields) = line.split_once("API request completed ")?;
    let field = |name: &str| {
        let mut words = fields.split_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    };
    Some(Answered {
        method: field("method")?.to_owned(),
        path: field("path")?.strip_prefix("/api/v1")?.to_owned(),
        status: field("status")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_is_a_request() {
        let line = "[2026-11-21 18:38:41] [INFO] API request completed request_id=vm/h-2 method=PUT path=/api/v1/settings/a status=200 bytes=9 duration=1ms";
        let found = parse(line).unwrap();
        assert_eq!(found.to_string(), "PUT /settings/a 200");
        assert!(found.is_write() && found.is_about_shares());
        let health = "[DEBUG] API request completed method=GET path=/health status=200";
        assert_eq!(parse(health), None);
    }
}
