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

/// Asked just before the first byte of a request that may change something is written: whether it may,
/// and if not, why.
pub type Gate = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

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
        Self::gated(dial, tls, connect, None)
    }

    /// As [`HttpTransport::new`], behind `gate`. Connecting takes its time, and who waits for it may have
    /// lost the right to write meanwhile. A request that the gate refuses is [`TransportError::Connect`].
    ///
    /// # Errors
    /// When the certificates in `tls` cannot be used.
    pub fn gated(
        dial: Arc<dyn Dial>,
        tls: Option<&TlsSettings>,
        connect: Duration,
        gate: Option<Gate>,
    ) -> Result<Self, BuildError> {
        let tls = tls.map(TlsSettings::config).transpose()?;
        let connector = Connector {
            dial,
            tls: tls.map(TlsConnector::from),
            limit: connect,
            gate,
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
                ConnectError::Dial(text) | ConnectError::Gate(text) => Cause::Connect(text.clone()),
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
    /// There is one, and nothing may be written to it.
    #[error("{0}")]
    Gate(String),
}

#[derive(Clone)]
struct Connector {
    dial: Arc<dyn Dial>,
    tls: Option<TlsConnector>,
    limit: Duration,
    gate: Option<Gate>,
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
            return Ok(TokioIo::new(Stream::new(plain, self.gate)));
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
        Ok(TokioIo::new(Stream::new(Box::new(stream), self.gate)))
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
struct Stream {
    inner: Box<dyn ByteStream>,
    gate: Option<Gate>,
    /// Bytes of a request were written, and none of its answer was read yet.
    asking: bool,
}

impl Stream {
    fn new(inner: Box<dyn ByteStream>, gate: Option<Gate>) -> Self {
        Stream {
            inner,
            gate,
            asking: false,
        }
    }

    /// Asks the gate, if `bytes` are the first of a request that may change something. One that has
    /// begun goes on: half of it would be no better.
    fn pass(&self, bytes: &[u8]) -> io::Result<()> {
        let reads = bytes.starts_with(b"GET ") || bytes.starts_with(b"HEAD ");
        match &self.gate {
            Some(gate) if !self.asking && !reads => {
                gate().map_err(|why| io::Error::other(ConnectError::Gate(why)))
            }
            _ => Ok(()),
        }
    }
}

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
        let before = buffer.filled().len();
        let polled = Pin::new(&mut *self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.asking = false;
        }
        polled
    }
}

impl tokio::io::AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Err(refused) = self.pass(bytes) {
            return Poll::Ready(Err(refused));
        }
        let polled = Pin::new(&mut *self.inner).poll_write(context, bytes);
        if matches!(polled, Poll::Ready(Ok(length)) if length > 0) {
            self.asking = true;
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A server at the other end of a pipe that keeps what it is sent and answers each request; the
    /// gate closes while somebody connects.
    struct Slow {
        closes: bool,
        open: Arc<AtomicBool>,
        heard: Arc<Mutex<String>>,
    }

    #[async_trait]
    impl Dial for Slow {
        async fn dial(&self, _: &Target) -> io::Result<Box<dyn ByteStream>> {
            let (near, mut far) = tokio::io::duplex(4096);
            let heard = Arc::clone(&self.heard);
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while let Ok(length) = far.read(&mut bytes).await {
                    if length == 0 {
                        break;
                    }
                    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                    heard.lock().unwrap().push_str(&text);
                    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                    far.write_all(answer).await.unwrap();
                }
            });
            if self.closes {
                self.open.store(false, Ordering::Relaxed);
            }
            Ok(Box::new(near))
        }
    }

    fn setup(closes: bool) -> (HttpTransport, Arc<AtomicBool>, Arc<Mutex<String>>) {
        let open = Arc::new(AtomicBool::new(true));
        let heard = Arc::new(Mutex::new(String::new()));
        let dial = Slow {
            closes,
            open: Arc::clone(&open),
            heard: Arc::clone(&heard),
        };
        let asked = Arc::clone(&open);
        let gate: Gate = Arc::new(move || {
            let open = asked.load(Ordering::Relaxed);
            open.then_some(()).ok_or_else(|| "closed".to_owned())
        });
        let limit = Duration::from_secs(60);
        let transport = HttpTransport::gated(Arc::new(dial), None, limit, Some(gate)).unwrap();
        (transport, open, heard)
    }

    async fn send(transport: &HttpTransport, method: &str) -> Result<(), TransportError> {
        let request = Request::builder().method(method).uri("http://server/x");
        let request = request.body(Bytes::from_static(b"body")).unwrap();
        let limits = Limits {
            total: Duration::from_secs(60),
            body: 100,
        };
        transport.send(request, limits).await.map(|_| ())
    }

    #[tokio::test]
    async fn a_gate_that_closes_while_connecting_lets_no_byte_of_a_write_out() {
        for method in ["PUT", "POST", "PATCH", "DELETE"] {
            let (transport, _, heard) = setup(true);
            let refused = send(&transport, method).await.unwrap_err();
            assert!(
                matches!(&refused, TransportError::Connect(why) if why == "closed"),
                "{refused:?}"
            );
            assert_eq!(*heard.lock().unwrap(), "", "{method}");
        }
        let (transport, _, heard) = setup(true);
        send(&transport, "GET").await.unwrap();
        assert!(heard.lock().unwrap().starts_with("GET /x"));
    }

    #[tokio::test]
    async fn a_connection_that_is_kept_asks_the_gate_again() {
        let (transport, open, heard) = setup(false);
        send(&transport, "PUT").await.unwrap();
        open.store(false, Ordering::Relaxed);
        send(&transport, "GET").await.unwrap();
        assert!(send(&transport, "PUT").await.is_err());
        open.store(true, Ordering::Relaxed);
        send(&transport, "PUT").await.unwrap();
        assert_eq!(heard.lock().unwrap().matches("PUT /x").count(), 2);
    }
}
