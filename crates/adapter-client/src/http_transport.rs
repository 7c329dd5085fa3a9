//! HTTP/1.1 with keep-alive over dialled connections, with or without TLS.

use std::{
    error::Error as StdError,
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use http::{Request, Response, Uri, uri::Scheme};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{
        Client, Error as ClientError,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::{
    client::BuildError,
    tls::{TlsSettings, describe},
    transport::{ByteStream, Dial, Limits, Target, Transport, TransportError},
};

/// Below the 60 s after which the server closes an idle connection.
const IDLE: Duration = Duration::from_secs(30);

/// Idle connections kept per server.
const KEPT: usize = 4;

/// The [`Transport`] of this crate: connections from a [`Dial`], rustls, hyper.
#[derive(Clone)]
pub struct HttpTransport {
    client: Client<Connector, Full<Bytes>>,
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpTransport")
            .finish_non_exhaustive()
    }
}

impl HttpTransport {
    /// Connections from `dial`, secured with `tls` for `https` URLs; without it
    /// those fail. Connecting, handshake included, ends after `connect`.
    ///
    /// # Errors
    /// When the certificates in `tls` cannot be used.
    pub fn new(
        dial: Arc<dyn Dial>,
        tls: Option<&TlsSettings>,
        connect: Duration,
    ) -> Result<Self, BuildError> {
        let tls = tls.map(TlsSettings::config).transpose()?;
        let connector = Connector {
            dial,
            tls: tls.map(TlsConnector::from),
            limit: connect,
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(KEPT)
            .build(connector);
        Ok(Self { client })
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        longest: usize,
        answered: &std::sync::atomic::AtomicBool,
    ) -> Result<Response<Bytes>, TransportError> {
        let answer = self
            .client
            .request(request.map(Full::new))
            .await
            .map_err(|error| no_answer(&error))?;
        answered.store(true, std::sync::atomic::Ordering::Relaxed);
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, longest)
            .collect()
            .await
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    TransportError::TooLong(longest)
                } else {
                    match cause(&*error) {
                        Cause::Parse(text) => TransportError::NotHttp(text),
                        Cause::Tls(text) => TransportError::Tls(text),
                        Cause::Connect(text) | Cause::Other(text) => TransportError::Body(text),
                    }
                }
            })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(
        &self,
        request: Request<Bytes>,
        limits: Limits,
    ) -> Result<Response<Bytes>, TransportError> {
        let answered = std::sync::atomic::AtomicBool::new(false);
        let exchange = self.exchange(request, limits.body, &answered);
        match tokio::time::timeout(limits.total, exchange).await {
            Ok(result) => result,
            Err(_) => {
                // Without the limit: it is what was left of a longer one, another number each time.
                let text = "not in time".to_owned();
                Err(if answered.load(std::sync::atomic::Ordering::Relaxed) {
                    TransportError::Body(text)
                } else {
                    TransportError::Answer(text)
                })
            }
        }
    }
}

fn no_answer(error: &ClientError) -> TransportError {
    match cause(error) {
        Cause::Tls(text) => TransportError::Tls(text),
        Cause::Connect(text) => TransportError::Connect(text),
        Cause::Parse(text) => TransportError::NotHttp(text),
        Cause::Other(text) if error.is_connect() => TransportError::Connect(text),
        Cause::Other(text) => TransportError::Answer(text),
    }
}

/// What lies below an error of hyper.
enum Cause {
    Connect(String),
    Tls(String),
    Parse(String),
    Other(String),
}

/// Finds the innermost telling error. A TLS alert that comes after the handshake
/// (TLS 1.3 asks for a client certificate that late) is an I/O error of the
/// connection with rustls' error inside.
fn cause(error: &(dyn StdError + 'static)) -> Cause {
    let mut next = Some(error);
    let mut last = error;
    while let Some(error) = next {
        last = error;
        if let Some(error) = error.downcast_ref::<ConnectError>() {
            return match error {
                ConnectError::Dial(text) => Cause::Connect(text.clone()),
                ConnectError::Tls(text) => Cause::Tls(text.clone()),
            };
        }
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Cause::Tls(describe(error));
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.is_parse()
        {
            return Cause::Parse(error.to_string());
        }
        // `source` of an I/O error skips the error that it wraps.
        next = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    Cause::Other(last.to_string())
}

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
enum ConnectError {
    #[error("{0}")]
    Dial(String),
    #[error("{0}")]
    Tls(String),
}

#[derive(Clone)]
struct Connector {
    dial: Arc<dyn Dial>,
    tls: Option<TlsConnector>,
    limit: Duration,
}

impl Connector {
    async fn connect(self, url: Uri) -> Result<TokioIo<Stream>, ConnectError> {
        let limit = self.limit;
        let over = |what: &str| format!("{what} not within {limit:?}");
        let end = tokio::time::Instant::now() + limit;
        let secure = url.scheme() == Some(&Scheme::HTTPS);
        let host = url.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let target = Target {
            host: host.to_owned(),
            port: url.port_u16().unwrap_or(if secure { 443 } else { 80 }),
        };
        let plain = tokio::time::timeout_at(end, self.dial.dial(&target))
            .await
            .map_err(|_| ConnectError::Dial(over("connected")))?
            .map_err(|error| ConnectError::Dial(error.to_string()))?;
        if !secure {
            return Ok(TokioIo::new(Stream(plain)));
        }
        let Some(tls) = &self.tls else {
            return Err(ConnectError::Tls("not set up for this client".into()));
        };
        let name = ServerName::try_from(target.host)
            .map_err(|error| ConnectError::Tls(error.to_string()))?;
        let stream = tokio::time::timeout_at(end, tls.connect(name, plain))
            .await
            // A server that is stuck accepts connections and says nothing: no fault of TLS.
            .map_err(|_| ConnectError::Dial(over("TLS handshake done")))?
            .map_err(handshake_error)?;
        Ok(TokioIo::new(Stream(Box::new(stream))))
    }
}

/// An error of the TLS library is a TLS error; a connection that breaks in the
/// handshake is not.
fn handshake_error(error: io::Error) -> ConnectError {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(error) => ConnectError::Tls(describe(error)),
        None => ConnectError::Dial(format!("in the TLS handshake: {error}")),
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        Box::pin(self.clone().connect(url))
    }
}

/// A connection as hyper's client wants it.
struct Stream(Box<dyn ByteStream>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl tokio::io::AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(context, buffer)
    }
}

impl tokio::io::AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(context)
    }
}
