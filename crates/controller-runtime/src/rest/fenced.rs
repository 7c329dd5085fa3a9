//! No REST write without the lease.

use adapter_client::{Limits, Transport, TransportError};
use async_trait::async_trait;
use http::{Method, Request, Response};

use crate::Fence;

/// A [`Transport`] that asks the fence just before each request that may change something, as the Kubernetes
/// client does. Logins are such requests too: a process that lost its lease has nothing to say to a server.
#[derive(Debug)]
pub struct Fenced<T> {
    inner: T,
    fence: Fence,
}

impl<T> Fenced<T> {
    /// `inner` behind `fence`.
    pub const fn new(inner: T, fence: Fence) -> Self {
        Self { inner, fence }
    }
}

#[async_trait]
impl<T: Transport> Transport for Fenced<T> {
    async fn send(
        &self,
        request: Request<axum::body::Bytes>,
        limits: Limits,
    ) -> Result<Response<axum::body::Bytes>, TransportError> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            // `Connect` promises that nothing was sent.
            self.fence
                .check()
                .map_err(|lost| TransportError::Connect(lost.to_string()))?;
        }
        self.inner.send(request, limits).await
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use axum::body::Bytes;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    #[async_trait]
    impl Transport for Counted {
        async fn send(
            &self,
            _: Request<Bytes>,
            _: Limits,
        ) -> Result<Response<Bytes>, TransportError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Response::new(Bytes::new()))
        }
    }

    #[tokio::test]
    async fn without_the_lease_reads_are_sent_and_writes_are_not() {
        let fence = Fence::default();
        let transport = Fenced::new(Counted::default(), fence.clone());
        let send = async |method: &str| {
            let request = Request::builder()
                .method(method)
                .uri("http://server")
                .body(Bytes::new())
                .unwrap();
            let limits = Limits {
                total: Duration::from_secs(1),
                body: 1,
            };
            transport.send(request, limits).await
        };
        assert!(send("GET").await.is_ok());
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            assert!(matches!(
                send(method).await,
                Err(TransportError::Connect(_))
            ));
        }
        assert_eq!(transport.inner.0.load(Ordering::Relaxed), 1);
        fence.extend(fence.clock().now() + Duration::from_secs(60));
        assert!(send("PUT").await.is_ok());
    }
}
