//! Connections to a pod through the Kubernetes API.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use adapter_client::{ByteStream, Dial, Target};
use async_trait::async_trait;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::Portforwarder};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// Opens connections to the ports of one pod by the port-forward of the Kubernetes API. The host of the target is
/// not looked at; its port must be one of the pod, which holds for the API Service: it maps no ports.
///
/// Needs the right to create `pods/portforward`.
#[derive(Clone)]
pub struct PodDial {
    pods: Api<Pod>,
    pod: String,
}

impl std::fmt::Debug for PodDial {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PodDial")
            .field("pod", &self.pod)
            .finish_non_exhaustive()
    }
}

impl PodDial {
    /// Connections to `pod` in `namespace`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, pod: &str) -> Self {
        Self {
            pods: Api::namespaced(client, namespace),
            pod: pod.to_owned(),
        }
    }
}

#[async_trait]
impl Dial for PodDial {
    async fn dial(&self, target: &Target) -> io::Result<Box<dyn ByteStream>> {
        let mut forwarder = self
            .pods
            .portforward(&self.pod, &[target.port])
            .await
            .map_err(|error| {
                io::Error::other(format!("port-forward to pod {}: {error}", self.pod))
            })?;
        let (Some(bytes), Some(refusal)) = (
            forwarder.take_stream(target.port),
            forwarder.take_error(target.port),
        ) else {
            return Err(io::Error::other("the port-forward has no such port"));
        };
        Ok(Box::new(Forwarded {
            bytes,
            refusal: Some(Box::pin(refusal)),
            forwarder,
        }))
    }
}

/// One forwarded connection. That nobody listens on the port, or that the pod is gone, comes on a channel of its
/// own, after the connection seemed to stand: it becomes an error of the next read.
struct Forwarded {
    bytes: DuplexStream,
    /// Ends with what the kubelet says, or with nothing when the forward is over.
    refusal: Option<BoxFuture<'static, Option<String>>>,
    forwarder: Portforwarder,
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        // Its task would otherwise wait for the pod to close the connection.
        self.forwarder.abort();
    }
}

impl Forwarded {
    fn refused(&mut self, context: &mut Context<'_>) -> Option<io::Error> {
        let refusal = self.refusal.as_mut()?;
        let Poll::Ready(said) = refusal.as_mut().poll(context) else {
            return None;
        };
        self.refusal = None;
        said.map(|text| io::Error::new(io::ErrorKind::ConnectionRefused, text))
    }
}

impl AsyncRead for Forwarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(error) = self.refused(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.bytes).poll_read(context, buffer)
    }
}

impl AsyncWrite for Forwarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.bytes).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(context)
    }
}
