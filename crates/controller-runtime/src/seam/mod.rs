//! A place between the process and the API server where tests count, delay,
//! fail or cut requests. Nothing is installed there in production.

mod request;
mod tools;

use std::time::Duration;

use http::StatusCode;
use kube::core::Status;

pub use request::{Request, Verb};
pub use tools::{Chain, Counter, CrashAfter};

/// What happens to a request before it is sent.
#[derive(Clone, Debug)]
pub enum Before {
    /// It is sent.
    Pass,
    /// It is sent after this time.
    Delay(Duration),
    /// It is not sent; the caller gets this answer.
    Answer(StatusCode, Box<Status>),
    /// It is not sent; the caller sees a broken connection.
    Cut,
}

/// What happens to the answer of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The caller gets it.
    Pass,
    /// The caller sees a broken connection, although the server did its work.
    Cut,
}

/// A hook around every request of a client. It stands where the network
/// stands: requests that the [`crate::Fence`] stops never reach it.
#[async_trait::async_trait]
pub trait Seam: Send + Sync + 'static {
    /// Called before a request is sent.
    async fn before(&self, _request: &Request) -> Before {
        Before::Pass
    }

    /// Called once the server has answered; for a watch, once it has started.
    async fn after(&self, _request: &Request, _status: StatusCode) -> After {
        After::Pass
    }
}

/// The error that a cut request gives to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection was cut")]
pub struct ConnectionCut;
