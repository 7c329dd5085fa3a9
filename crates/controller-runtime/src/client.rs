//! The Kubernetes client of a controller: time limits, the write fence,
//! metrics and the seam for tests, as layers around kube's own stack.

use std::{
    error::Error,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderValue, Response, StatusCode, header};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use tokio::sync::Semaphore;
use tower::{BoxError, Service};

use crate::{
    connections::Connections,
    fence::Fence,
    metrics::ApiMetrics,
    seam::{After, Before, ConnectionCut, Request, Seam},
    settings::Settings,
};

/// How long establishing a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Requests under way at the same time, watches and Leases apart. Each has a connection of its own
/// (HTTP/1.1), which costs a TLS handshake and memory on both sides; more than this makes no API
/// server faster.
const UNDER_WAY: usize = 16;

/// What stands between the process and the API server besides kube's own
/// stack. Default: nothing.
#[derive(Clone, Default)]
pub struct Layers {
    /// Hook for tests, where the network stands.
    pub seam: Option<Arc<dyn Seam>>,
    /// Checked just before each write, except writes of Leases; every connection ends when it has lapsed.
    pub fence: Option<Fence>,
    /// Counts requests.
    pub metrics: Option<Arc<ApiMetrics>>,
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig file could not be read or used.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[source] KubeconfigError),
    /// The kubeconfig file is no kubeconfig. What its parser says quotes the lines around, where a token may be.
    #[error(
        "the kubeconfig cannot be used: what is in line {line}, column {column} cannot be understood"
    )]
    Unparsable {
        /// Counted from 1; 0 when not known.
        line: u64,
        /// Counted from 1; 0 when not known.
        column: u64,
    },
    /// Neither a kubeconfig nor a service account was found.
    #[error("no way to reach a cluster was found")]
    Infer(#[source] kube::config::InferConfigError),
    /// The user agent holds characters that a header must not hold.
    #[error("the user agent is not a header value")]
    UserAgent(#[source] http::header::InvalidHeaderValue),
    /// The configuration was found but no client can be made from it.
    #[error("the client cannot be made")]
    Client(#[source] kube::Error),
}

/// A request took longer than the API time limit.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the Kubernetes API did not answer within {0:?}")]
pub struct ApiTimeout(pub Duration);

/// Makes the client that the settings describe. It does not talk to the
/// cluster yet.
///
/// # Errors
/// [`ConnectError`] when no usable configuration is found.
pub async fn connect(
    settings: &Settings,
    user_agent: &str,
    layers: Layers,
) -> Result<Client, ConnectError> {
    let config = configuration(settings).await?;
    build(config, user_agent, layers, settings.api_timeout)
}

/// Makes a client from a kube configuration, with the default time limit of 30 s
/// for requests.
///
/// # Errors
/// [`ConnectError`] when the configuration is unusable.
pub fn client_from(
    config: Config,
    user_agent: &str,
    layers: Layers,
) -> Result<Client, ConnectError> {
    build(config, user_agent, layers, Settings::default().api_timeout)
}

/// Makes a client over any HTTP service, such as a scripted stub in a test.
pub fn client_over<S, B>(service: S, layers: Layers, api_timeout: Duration) -> Client
where
    S: Service<http::Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: axum::body::HttpBody<Data = axum::body::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    layered(Client::new(service, "default"), layers, api_timeout)
}

async fn configuration(settings: &Settings) -> Result<Config, ConnectError> {
    let options = KubeConfigOptions {
        context: settings.context.clone(),
        ..KubeConfigOptions::default()
    };
    if let Some(path) = &settings.kubeconfig {
        let file = Kubeconfig::read_from(path).map_err(unusable)?;
        return Config::from_custom_kubeconfig(file, &options)
            .await
            .map_err(unusable);
    }
    if settings.context.is_some() {
        return Config::from_kubeconfig(&options).await.map_err(unusable);
    }
    Config::infer().await.map_err(|error| {
        let kubeconfig = error.source().and_then(|source| source.downcast_ref());
        match kubeconfig.and_then(place) {
            Some((line, column)) => ConnectError::Unparsable { line, column },
            None => ConnectError::Infer(error),
        }
    })
}

fn unusable(error: KubeconfigError) -> ConnectError {
    match place(&error) {
        Some((line, column)) => ConnectError::Unparsable { line, column },
        None => ConnectError::Kubeconfig(error),
    }
}

/// Line and column of what no parser understands, if that is what is wrong.
fn place(error: &KubeconfigError) -> Option<(u64, u64)> {
    let KubeconfigError::Parse(error) = error else {
        return None;
    };
    let place = error.location();
    Some(place.map_or((0, 0), |place| (place.line(), place.column())))
}

pub(crate) fn build(
    mut config: Config,
    user_agent: &str,
    layers: Layers,
    api_timeout: Duration,
) -> Result<Client, ConnectError> {
    install_crypto();
    let user_agent = HeaderValue::from_str(user_agent).map_err(ConnectError::UserAgent)?;
    config.headers.push((header::USER_AGENT, user_agent));
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // A read time limit would cut watches; `Layered` limits each request instead.
    config.read_timeout = None;
    config.write_timeout = Some(api_timeout);
    // kube would repeat writes below the fence; repetition is the reconcile's business.
    config.default_retry = false;
    let connections = Connections::behind(layers.fence.clone());
    let builder = ClientBuilder::try_from((config, connections)).map_err(ConnectError::Client)?;
    let inner = builder.build();
    Ok(layered(inner, layers, api_timeout))
}

/// Another client around a client.
fn layered(inner: Client, layers: Layers, api_timeout: Duration) -> Client {
    let namespace = inner.default_namespace().to_owned();
    let valid_until = *inner.valid_until();
    Client::new(
        Layered {
            inner,
            layers,
            api_timeout,
            slots: Arc::new(Semaphore::new(UNDER_WAY)),
        },
        namespace,
    )
    .with_valid_until(valid_until)
}

/// Makes ring the process-wide TLS provider unless one was chosen already.
pub(crate) fn install_crypto() {
    // An error means that a provider is installed, which is what we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Slots, metrics, fence, seam and time limit around a client, in this order
/// from the caller to the network.
#[derive(Clone)]
struct Layered {
    inner: Client,
    layers: Layers,
    api_timeout: Duration,
    slots: Arc<Semaphore>,
}

impl Layered {
    async fn answer(mut self, request: http::Request<Body>) -> Result<Response<Body>, BoxError> {
        let about = Request::of(&request);
        // Held until the answer is read. A lease must not wait for anything else, and a stream
        // would keep its slot for ever.
        let _slot = if about.is_stream || about.is_lease() {
            None
        } else {
            Some(Arc::clone(&self.slots).acquire_owned().await?)
        };
        let limit = self.api_timeout;
        let metrics = self.layers.metrics.take();
        let result = self.guarded(&about, request, limit).await;
        if let Some(metrics) = metrics {
            metrics.observe(about.verb, result.as_ref().ok().map(Response::status));
        }
        result
    }

    async fn guarded(
        self,
        about: &Request,
        request: http::Request<Body>,
        limit: Duration,
    ) -> Result<Response<Body>, BoxError> {
        if let Some(fence) = &self.layers.fence
            && about.is_write
            && !about.is_lease()
        {
            fence.check()?;
        }
        let seam = self.layers.seam;
        if let Some(seam) = &seam {
            match seam.before(about).await {
                Before::Pass => {}
                Before::Delay(time) => tokio::time::sleep(time).await,
                Before::Answer(code, status) => return made_up(code, &status),
                Before::Cut => return Err(ConnectionCut.into()),
            }
        }
        let answer = if about.is_stream && about.verb != crate::seam::Verb::Watch {
            send(self.inner, request, true).await?
        } else {
            let sent =
                tokio::time::timeout(limit, send(self.inner, request, about.is_stream)).await;
            sent.map_err(|_| ApiTimeout(limit))??
        };
        if let Some(seam) = &seam
            && seam.after(about, answer.status()).await == After::Cut
        {
            return Err(ConnectionCut.into());
        }
        Ok(answer)
    }
}

/// Sends a request. The body of an answer that is no stream is read to its
/// end here, so that the caller's time limit covers it.
async fn send(
    inner: Client,
    request: http::Request<Body>,
    stream: bool,
) -> Result<Response<Body>, BoxError> {
    let response = inner.send(request).await?;
    if stream && response.status().is_success()
        || response.status() == StatusCode::SWITCHING_PROTOCOLS
    {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = body.collect_bytes().await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

/// An answer that no server gave.
fn made_up(code: StatusCode, status: &kube::core::Status) -> Result<Response<Body>, BoxError> {
    let body = Body::from(serde_json::to_vec(status)?);
    let response = Response::builder()
        .status(code)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)?;
    Ok(response)
}

impl Service<http::Request<Body>> for Layered {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // The client below is asked when the request is sent.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}
