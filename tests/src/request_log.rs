//! What the server says in its log about requests of its REST API.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use serde_json::Value;

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
/// When the log cannot be read, or is not the JSON that a server writes unless its spec says otherwise:
/// it always holds some requests of the controllers.
pub async fn answered(world: &World) -> Result<Vec<Answered>> {
    let pod = api_types::names::pod(SERVER);
    let log = world.api::<Pod>().logs(&pod, &LogParams::default()).await?;
    let answered: Vec<Answered> = log.lines().filter_map(parse).collect();
    ensure!(!answered.is_empty(), "the server's log has no requests");
    Ok(answered)
}

/// A line such as `{"level":"INFO","msg":"API request completed","method":"GET","path":"/api/v1/shares","status":200}`.
fn parse(line: &str) -> Option<Answered> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line["msg"] != "API request completed" {
        return None;
    }
    Some(Answered {
        method: line["method"].as_str()?.to_owned(),
        path: line["path"].as_str()?.strip_prefix("/api/v1")?.to_owned(),
        status: line["status"].as_u64()?.try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_is_a_request() {
        let line = r#"{"time":"2026-11-21T19:46:07Z","level":"INFO","msg":"API request completed","request_id":"vm/h-2","method":"PUT","path":"/api/v1/settings/a","status":200,"bytes":30,"duration":"58µs"}"#;
        let found = parse(line).unwrap();
        assert_eq!(found.to_string(), "PUT /settings/a 200");
        assert!(found.is_write() && found.is_about_shares());
        for other in [
            r#"{"msg":"API request completed","method":"GET","path":"/health","status":200}"#,
            r#"{"msg":"Share created"}"#,
            "DittoFS - A modular virtual filesystem",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
