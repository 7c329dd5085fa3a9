//! Connections to a pod through the Kubernetes API.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
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
            reader: Reader::Early(None),
            _forward: Forward(forwarder),
        }))
    }
}

/// Ends a forward that nobody uses any more: its task would otherwise wait for the pod to close the connection.
struct Forward(Portforwarder);

impl Drop for Forward {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One forwarded connection. That nobody listens on the port, or that the pod is gone, comes on a channel of its
/// own, after the connection seemed to stand: it becomes the error of the first request, whether that is still being
/// written or waits for its answer.
struct Forwarded<F> {
    bytes: DuplexStream,
    /// Ends with what the kubelet says, or with nothing when the forward is over.
    refusal: Option<BoxFuture<'static, Option<String>>>,
    reader: Reader,
    _forward: F,
}

/// The client speaks first, with and without TLS. What is read before is the end of a connection that was refused,
/// and a client that has asked nothing yet would take it for one that was closed while idle.
enum Reader {
    /// Nothing was written yet; who waits to read.
    Early(Option<Waker>),
    Asked,
}

impl<F> Forwarded<F> {
    fn refused(&mut self, context: &mut Context<'_>) -> Option<io::Error> {
        let refusal = self.refusal.as_mut()?;
        let Poll::Ready(said) = refusal.as_mut().poll(context) else {
            return None;
        };
        self.refusal = None;
        said.map(|text| io::Error::new(io::ErrorKind::ConnectionRefused, text))
    }
}

impl<F: Unpin> AsyncRead for Forwarded<F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Reader::Early(waiting) = &mut self.reader {
            *waiting = Some(context.waker().clone());
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.bytes).poll_read(context, buffer);
        if polled.is_ready() && buffer.filled().len() > before {
            return polled;
        }
        // The refusal is said before the connection ends, never after.
        match self.refused(context) {
            Some(error) => Poll::Ready(Err(error)),
            None => polled,
        }
    }
}

impl<F: Unpin> AsyncWrite for Forwarded<F> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Reader::Early(waiting) = std::mem::replace(&mut self.reader, Reader::Asked)
            && let Some(reader) = waiting
        {
            reader.wake();
        }
        match Pin::new(&mut self.bytes).poll_write(context, bytes) {
            Poll::Ready(Err(broken)) => Poll::Ready(Err(self.refused(context).unwrap_or(broken))),
            polled => polled,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::Arc, time::Duration};

    use adapter_client::{Client, HttpTransport, RetryPolicy};
    use futures::FutureExt;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::oneshot,
    };

    use super::*;

    const REFUSAL: &str = "connect: connection refused";

    /// When a connection comes apart, seen from the client, and with what words.
    #[derive(Clone, Copy)]
    enum Kubelet {
        RefusesBeforeTheRequest,
        RefusesWhileTheClientWaits,
        EndsWithoutAWord,
    }

    impl Kubelet {
        async fn forward(self) -> Forwarded<()> {
            let (bytes, mut far) = tokio::io::duplex(4096);
            let (say, said) = oneshot::channel();
            let ends = tokio::spawn(async move {
                if !matches!(self, Kubelet::RefusesBeforeTheRequest) {
                    far.read_u8().await.unwrap();
                }
                if !matches!(self, Kubelet::EndsWithoutAWord) {
                    say.send(REFUSAL.to_owned()).unwrap();
                }
            });
            if matches!(self, Kubelet::RefusesBeforeTheRequest) {
                ends.await.unwrap();
            }
            Forwarded {
                bytes,
                refusal: Some(said.map(Result::ok).boxed()),
                reader: Reader::Early(None),
                _forward: (),
            }
        }
    }

    #[async_trait]
    impl Dial for Kubelet {
        async fn dial(&self, _: &Target) -> io::Result<Box<dyn ByteStream>> {
            Ok(Box::new(self.forward().await))
        }
    }

    async fn told(kubelet: Kubelet) -> String {
        let limit = Duration::from_secs(5);
        let transport = HttpTransport::new(Arc::new(kubelet), None, limit).unwrap();
        let client = Client::builder("http://server:8080")
            .transport(Arc::new(transport))
            .retry(RetryPolicy {
                attempts: 1,
                ..RetryPolicy::default()
            })
            .build()
            .unwrap();
        client.server().health().await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn nothing_is_read_before_the_first_request_which_gets_the_refusal() {
        let mut forward = Kubelet::RefusesBeforeTheRequest.forward().await;
        assert!(futures::poll!(pin!(forward.read_u8())).is_pending());
        let refused = forward.write_all(b"GET").await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn who_waits_to_read_before_the_first_request_is_woken_by_it() {
        let (mut reads, mut writes) =
            tokio::io::split(Kubelet::RefusesWhileTheClientWaits.forward().await);
        let (read, written) = tokio::join!(reads.read_u8(), writes.write_all(b"GET"));
        written.unwrap();
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_refusal_is_told_whenever_it_comes() {
        for kubelet in [
            Kubelet::RefusesBeforeTheRequest,
            Kubelet::RefusesWhileTheClientWaits,
        ] {
            let text = told(kubelet).await;
            assert!(text.contains(REFUSAL), "{text}");
        }
        let text = told(Kubelet::EndsWithoutAWord).await;
        assert!(!text.is_empty() && !text.contains("not in time"), "{text}");
    }
}
