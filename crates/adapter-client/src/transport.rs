//! How requests reach the server, and the seams for other ways.

use std::{io, time::Duration};

use async_trait::async_trait;
use http::{Request, Response};
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

/// Carries one HTTP request to the server and its answer back.
///
/// This is the seam between the calls of this crate and the network. There are
/// two ways to bring one's own:
///
/// - A way to the server that is a **byte stream** (a tunnel, a Unix socket, the
///   port-forward of the Kubernetes API): implement [`Dial`] and give it to
///   [`crate::Builder::dial`] or [`crate::HttpTransport::new`]. TLS, HTTP/1.1,
///   keep-alive and the sorting of errors stay here, in one place, and are the
///   same for every way. Only the bytes take another road: the `Host` header
///   and the name that the certificate must bear remain those of the URL.
/// - A way that takes a **whole request** (a recorder, a fault injector, an HTTP
///   proxy with its own protocol): implement `Transport`. The request has an
///   absolute URI, all headers but `Host`, and a complete body. The answer is
///   complete as well, and `Limits` must be kept.
///
/// Wrapping works too: a `Transport` may hold an [`crate::HttpTransport`] and
/// look at what passes.
///
/// The kind of a [`TransportError`] matters. `Connect` and `Tls` promise that
/// the server has not seen the request; everything else leaves it open.
/// Dropping the returned future must close the connection that it uses.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends `request` and reads its answer to the end.
    ///
    /// # Errors
    /// When there is no complete answer. An HTTP status is never an error here.
    async fn send(
        &self,
        request: Request<Bytes>,
        limits: Limits,
    ) -> Result<Response<Bytes>, TransportError>;
}

/// Bounds of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the start until the last byte of the answer.
    pub total: Duration,
    /// Longest body of an answer, in bytes.
    pub body: usize,
}

/// Why there is no complete answer. Texts may come from the other side: they
/// are cleaned before they become part of an [`crate::Error`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection; nothing was sent.
    #[error("no connection: {0}")]
    Connect(String),
    /// The TLS handshake failed, or the server ended the connection with a TLS alert.
    #[error("no TLS connection: {0}")]
    Tls(String),
    /// The connection ended, or time was over, before an answer began.
    #[error("no answer: {0}")]
    Answer(String),
    /// The answer began and broke off.
    #[error("answer broken off: {0}")]
    Body(String),
    /// The answer's body is longer than this many bytes.
    #[error("answer longer than {0} bytes")]
    TooLong(usize),
    /// The answer is not HTTP.
    #[error("not HTTP: {0}")]
    NotHttp(String),
}

/// Where a URL leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A connection in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Opens connections. See [`Transport`] for when to implement it.
///
/// The time limit for connecting is kept by the caller, which drops the future.
/// Each connection serves several requests, one after the other, and is dropped
/// when it has been idle.
#[async_trait]
pub trait Dial: Send + Sync + 'static {
    /// A new connection to `target`, or to what stands for it.
    ///
    /// # Errors
    /// When there is none; the text is shown to people.
    async fn dial(&self, target: &Target) -> io::Result<Box<dyn ByteStream>>;
}

/// Opens TCP connections to the host and port of the URL, without any proxy.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpDial;

#[async_trait]
impl Dial for TcpDial {
    async fn dial(&self, target: &Target) -> io::Result<Box<dyn ByteStream>> {
        let stream = tokio::net::TcpStream::connect((target.host.as_str(), target.port)).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}
