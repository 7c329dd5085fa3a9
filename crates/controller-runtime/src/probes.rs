//! `/metrics`, `/healthz` and `/readyz`.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use crate::{Metrics, Readiness, Shutdown};

/// Content type of OpenMetrics text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Shown {
    metrics: Metrics,
    readiness: Readiness,
}

/// A bound but not yet serving HTTP server.
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
    router: Router,
}

impl HttpServer {
    /// Binds the address; port 0 picks a free port.
    ///
    /// # Errors
    /// The error of the operating system, such as an address in use.
    pub async fn bind(
        address: SocketAddr,
        metrics: Metrics,
        readiness: Readiness,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let router = Router::new()
            .route("/metrics", get(show_metrics))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .with_state(Shown { metrics, readiness });
        Ok(Self { listener, router })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until asked to stop.
    ///
    /// # Errors
    /// The error of the operating system.
    pub async fn serve(self, shutdown: Shutdown) -> std::io::Result<()> {
        axum::serve(self.listener, self.router)
            .with_graceful_shutdown(async move { shutdown.triggered().await })
            .await
    }
}

async fn show_metrics(State(shown): State<Shown>) -> impl IntoResponse {
    match shown.metrics.encode() {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], text),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain")],
            error.to_string(),
        ),
    }
}

async fn healthz(State(shown): State<Shown>) -> (StatusCode, String) {
    match shown.readiness.dead() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn readyz(State(shown): State<Shown>) -> (StatusCode, String) {
    let missing = shown.readiness.missing();
    if missing.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        let lines = missing
            .iter()
            .map(|name| format!("not synced: {name}\n"))
            .collect();
        (StatusCode::SERVICE_UNAVAILABLE, lines)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing_and_health_follows_the_run_loop() {
        let readiness = Readiness::new();
        let gate = readiness.register("services");
        let server = HttpServer::bind(
            ([127, 0, 0, 1], 0).into(),
            Metrics::new(),
            readiness.clone(),
        )
        .await
        .unwrap();
        let address = server.address().unwrap();
        let shutdown = Shutdown::new();
        let serving = tokio::spawn(server.serve(shutdown.clone()));

        let unready = fetch(address, "/readyz").await;
        assert!(unready.starts_with("HTTP/1.1 503") && unready.contains("not synced: services"));
        gate.open();
        assert!(fetch(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(fetch(address, "/metrics").await.contains("# EOF"));
        assert!(fetch(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        readiness.set_dead("the run loop ended");
        assert!(fetch(address, "/healthz").await.starts_with("HTTP/1.1 503"));

        shutdown.trigger();
        serving.await.unwrap().unwrap();
    }
}
