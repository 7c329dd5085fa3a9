//! The client: sends requests, repeats what may be repeated, sorts the answers.

use std::{fmt, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Request as HttpRequest, Response, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, RETRY_AFTER, USER_AGENT},
    uri::Scheme,
};
use hyper::body::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use crate::{
    answer, auth,
    clock::{Clock, SystemClock},
    error::{Error, Refusal, Stage},
    http_transport::HttpTransport,
    retry::{Jitter, RetryPolicy, random},
    route::{Access, Class, Request, Verb},
    session::{Account, Grant, Issuer, Session, Token},
    text::clean,
    tls::TlsSettings,
    transport::{Dial, Limits, TcpDial, Transport, TransportError},
    users::User,
};

/// How long calls may take, from sending until the last byte, repetitions
/// included. A renewal of the token before the call has `quick` for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A new connection, TLS handshake included.
    pub connect: Duration,
    /// Calls that only touch the server's database.
    pub quick: Duration,
    /// Calls that start, stop or probe something. The server itself takes 30 s
    /// to report the status of a share whose S3 endpoint is gone.
    pub slow: Duration,
    /// Restore of a snapshot; above the server's `snapshot.restore_http_timeout`.
    pub restore: Duration,
    /// Upload of everything; the server has no limit but gives up when nothing moves.
    pub drain: Duration,
}

impl Default for Timeouts {
    /// 5 s, 10 s, 60 s, 31 min, 24 h.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            quick: Duration::from_secs(10),
            slow: Duration::from_secs(60),
            restore: Duration::from_secs(31 * 60),
            drain: Duration::from_secs(24 * 3600),
        }
    }
}

impl Timeouts {
    fn of(&self, class: Class) -> Duration {
        match class {
            Class::Quick => self.quick,
            Class::Slow => self.slow,
            Class::Restore => self.restore,
            Class::Drain => self.drain,
        }
    }
}

/// The settings do not make a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Not `http://host[:port]` or `https://host[:port]`.
    #[error("{0:?} is not a URL such as https://host:8080")]
    Url(String),
    /// Certificates or key that cannot be used.
    #[error("TLS: {0}")]
    Tls(String),
}

/// A client of one server. Cheap to clone; clones share connections, account and tokens.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    session: Option<Arc<Session>>,
}

struct Shared {
    /// Scheme and authority, without a slash at the end.
    base: String,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    jitter: Jitter,
    retry: RetryPolicy,
    timeouts: Timeouts,
    longest_answer: usize,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("url", &self.shared.base)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// Makes a [`Client`].
#[must_use]
pub struct Builder {
    url: String,
    tls: TlsSettings,
    dial: Arc<dyn Dial>,
    transport: Option<Arc<dyn Transport>>,
    clock: Arc<dyn Clock>,
    jitter: Jitter,
    retry: RetryPolicy,
    timeouts: Timeouts,
    longest_answer: usize,
}

impl fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Builder")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// For `https` URLs: whom to trust, what to show.
    pub fn tls(mut self, tls: TlsSettings) -> Self {
        self.tls = tls;
        self
    }

    /// Another way to open connections; see [`Transport`].
    pub fn dial(mut self, dial: Arc<dyn Dial>) -> Self {
        self.dial = dial;
        self
    }

    /// Another way to send requests; `tls` and `dial` are then not used.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Another clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Another source of randomness for the delays between attempts.
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// How often calls are repeated.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// How long calls may take.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Longest body of an answer, in bytes; default 16 MiB.
    pub fn longest_answer(mut self, bytes: usize) -> Self {
        self.longest_answer = bytes;
        self
    }

    /// The client, without an account: for health, until [`Client::with_account`]. Sends nothing.
    ///
    /// # Errors
    /// When the URL or the certificates cannot be used.
    pub fn build(self) -> Result<Client, BuildError> {
        let base = base(&self.url).ok_or_else(|| BuildError::Url(shown(&self.url)))?;
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(HttpTransport::new(
                self.dial,
                base.starts_with("https:").then_some(&self.tls),
                self.timeouts.connect,
            )?),
        };
        Ok(Client {
            shared: Arc::new(Shared {
                base,
                transport,
                clock: self.clock,
                jitter: self.jitter,
                retry: self.retry,
                timeouts: self.timeouts,
                longest_answer: self.longest_answer,
            }),
            session: None,
        })
    }
}

/// Scheme, host and port of `url`; nothing when there is more to it.
fn base(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    let scheme = url.scheme()?;
    let authority = url.authority()?;
    let plain = (*scheme == Scheme::HTTP || *scheme == Scheme::HTTPS)
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && !authority.host().is_empty()
        && !authority.as_str().contains('@');
    plain.then(|| format!("{scheme}://{authority}"))
}

/// `url` without a user and password, which have no place in it.
fn shown(url: &str) -> String {
    let (start, rest) = url.split_at(url.find("://").map_or(0, |at| at + 3));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    clean(&format!("{start}{rest}"), &[])
}

impl Client {
    /// A client of the server at `url`: `http://host[:port]` or `https://host[:port]`.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder {
            url: url.into(),
            tls: TlsSettings::default(),
            dial: Arc::new(TcpDial),
            transport: None,
            clock: Arc::new(SystemClock::default()),
            jitter: Arc::new(random),
            retry: RetryPolicy::default(),
            timeouts: Timeouts::default(),
            longest_answer: 16 * 1024 * 1024,
        }
    }

    /// A client that shares the connections of this one and acts as `account`.
    /// Logs in with the first call that needs it. One client per account: each
    /// has its own tokens.
    #[must_use]
    pub fn with_account(&self, account: Account) -> Self {
        Self {
            shared: self.shared.clone(),
            session: Some(Arc::new(Session::new(account))),
        }
    }

    /// Acts as `account` from now on, in all clones of this client. The same
    /// account again changes nothing; another one, or a new password, drops the
    /// tokens and the memory of a refused password. Without effect on a client
    /// that was made without an account.
    pub fn set_account(&self, account: Account) {
        if let Some(session) = &self.session {
            session.set_account(account);
        }
    }

    /// Lets the next call try a password once more that was refused, for
    /// instance after it was set right in the server.
    pub fn forget_refusal(&self) {
        if let Some(session) = &self.session {
            session.forget_refusal();
        }
    }

    /// The user, as the server described it when it gave the present tokens.
    #[must_use]
    pub fn user(&self) -> Option<User> {
        self.session.as_ref().and_then(|session| session.user())
    }

    /// The server's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.base
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        self.session.as_deref()
    }

    pub(crate) fn now(&self) -> Duration {
        self.shared.clock.now()
    }

    /// Sends `request` and reads the answer's body.
    pub(crate) async fn call<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        let answer = self.send(&request).await?;
        answer::decode(&request, &answer)
    }

    /// Sends `request` and ignores the body of a good answer.
    pub(crate) async fn call_empty(&self, request: Request) -> Result<(), Error> {
        self.send(&request).await.map(|_| ())
    }

    /// As [`Self::call`] for a list, which the server may write as `null`.
    pub(crate) async fn call_list<T: DeserializeOwned>(
        &self,
        request: Request,
    ) -> Result<Vec<T>, Error> {
        let list: Option<Vec<T>> = self.call(request).await?;
        Ok(list.unwrap_or_default())
    }

    /// As [`Self::call`], with the answer's headers.
    pub(crate) async fn call_with_headers<T: DeserializeOwned>(
        &self,
        request: Request,
    ) -> Result<(T, HeaderMap), Error> {
        let answer = self.send(&request).await?;
        Ok((answer::decode(&request, &answer)?, answer.headers().clone()))
    }

    /// The good answer to `request`: with a token when the route needs one, with
    /// a new one when the server refuses it, repeated while that helps.
    async fn send(&self, request: &Request) -> Result<Response<Bytes>, Error> {
        if request.unusable {
            return Err(Error::Invalid {
                call: request.route.call,
                status: StatusCode::BAD_REQUEST.as_u16(),
                detail: "a name is empty, is . or .., or has characters that the server misreads there: it cannot stand in a path of this API".into(),
                fields: Default::default(),
            });
        }
        if request.route.access == Access::Anonymous {
            return self.shared.repeat(request, None).await;
        }
        let Some(session) = &self.session else {
            return Err(Error::Unauthorized {
                call: request.route.call,
                refusal: Refusal::NoAccount,
                detail: "this call needs an account".into(),
            });
        };
        let token = session.token(&*self.shared, &*self.shared.clock).await?;
        match self.shared.repeat(request, Some(&token)).await {
            Err(Error::Unauthorized {
                refusal: Refusal::Token,
                ..
            }) => {
                session.refused(token.grant);
                let token = session.token(&*self.shared, &*self.shared.clock).await?;
                self.shared.repeat(request, Some(&token)).await
            }
            result => result,
        }
    }
}

impl Issuer for Shared {
    async fn log_in(&self, account: &Account) -> Result<Grant, Error> {
        tracing::debug!(url = self.base, user = account.username, "logging in");
        let request = auth::log_in_request(account);
        let answer = self.repeat(&request, None).await?;
        answer::decode(&request, &answer)
    }

    async fn refresh(&self, account: &Account, token: &SecretString) -> Result<Grant, Error> {
        tracing::debug!(
            url = self.base,
            user = account.username,
            "renewing the token"
        );
        let request = auth::refresh_request(token);
        let answer = self.repeat(&request, None).await?;
        answer::decode(&request, &answer)
    }
}

impl Shared {
    /// Sends `request` until it succeeds, fails for good, or time or attempts are used up.
    async fn repeat(
        &self,
        request: &Request,
        token: Option<&Token>,
    ) -> Result<Response<Bytes>, Error> {
        let end = self.clock.now() + self.timeouts.of(request.route.class);
        let mut attempt = 1;
        let mut perhaps_done = false;
        loop {
            let left = end.saturating_sub(self.clock.now());
            let error = match self.once(request, token, left).await {
                Ok(answer) => return Ok(answer),
                // A DELETE whose answer was lost has done it when its repetition finds nothing.
                Err(Error::NotFound { .. })
                    if perhaps_done && request.route.method == Verb::Delete =>
                {
                    return Ok(Response::new(Bytes::new()));
                }
                Err(error) => error,
            };
            perhaps_done |= error.is_outcome_unknown();
            let asked = match &error {
                Error::RateLimited { retry_after, .. } => *retry_after,
                _ => None,
            };
            // 429 says that the request was not carried out, whatever it was.
            let may_repeat = request.route.repeatable || matches!(error, Error::RateLimited { .. });
            if !may_repeat || !error.is_passing() {
                return Err(error);
            }
            let Some(delay) = self.retry.delay(attempt, asked, (self.jitter)()) else {
                return Err(error);
            };
            if self.clock.now() + delay >= end {
                return Err(error);
            }
            tracing::debug!(%error, ?delay, attempt, "repeating the call");
            self.clock.sleep(delay).await;
            attempt += 1;
        }
    }

    async fn once(
        &self,
        request: &Request,
        token: Option<&Token>,
        total: Duration,
    ) -> Result<Response<Bytes>, Error> {
        let limits = Limits {
            total,
            body: self.longest_answer,
        };
        let mut secrets = request.secrets.clone();
        secrets.extend(token.map(|token| token.secret.clone()));
        let answer = self
            .transport
            .send(self.http(request, token), limits)
            .await
            .map_err(|error| failed(request, error, &secrets))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let retry_after = retry_after(answer.headers());
        Err(answer::error(
            request,
            &answer,
            token.is_some(),
            retry_after,
            &secrets,
        ))
    }

    fn http(&self, request: &Request, token: Option<&Token>) -> HttpRequest<Bytes> {
        let mut http = HttpRequest::new(Bytes::from(request.body.clone().unwrap_or_default()));
        *http.method_mut() = request.route.method.method();
        *http.uri_mut() = format!("{}{}", self.base, request.path)
            .parse()
            // The base was parsed before, and everything else is percent-encoded.
            .expect("an encoded path makes a URL");
        let headers = http.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("dittofs-operator/", env!("CARGO_PKG_VERSION"))),
        );
        if request.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(token) = token {
            let bearer = format!("Bearer {}", token.secret.expose_secret());
            if let Ok(mut value) = HeaderValue::try_from(bearer) {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
        }
        http
    }
}

fn failed(request: &Request, error: TransportError, secrets: &[SecretString]) -> Error {
    let call = request.route.call;
    let unreachable = |stage, text: &str| Error::Unreachable {
        call,
        stage,
        detail: clean(text, secrets),
    };
    match error {
        TransportError::Connect(text) => unreachable(Stage::Connect, &text),
        TransportError::Answer(text) => unreachable(Stage::Answer, &text),
        TransportError::Body(text) => unreachable(Stage::Body, &text),
        TransportError::Tls(text) => Error::TlsError {
            call,
            detail: clean(&text, secrets),
        },
        TransportError::TooLong(_) | TransportError::NotHttp(_) => Error::Protocol {
            call,
            detail: clean(&error.to_string(), secrets),
        },
    }
}

/// `Retry-After`: seconds, or a date, which counts from the `Date` of the same
/// answer, so that the clocks of both sides need not agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| Some(headers.get(name)?.to_str().ok()?.trim());
    let asked = text(RETRY_AFTER)?;
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text| jiff::fmt::rfc2822::parse(text).ok();
    let delay = date(asked)?.duration_since(&date(text(DATE)?)?);
    // In the past: now.
    Some(Duration::try_from(delay).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_scheme_host_and_port() {
        assert_eq!(base("http://h:8080").as_deref(), Some("http://h:8080"));
        assert_eq!(base("https://[::1]:1/").as_deref(), Some("https://[::1]:1"));
        for bad in [
            "",
            "h:8080",
            "ftp://h",
            "http://h/x",
            "http://h?x=1",
            "http://u:p@h",
            "http://",
        ] {
            assert_eq!(base(bad), None, "{bad}");
        }
    }

    #[test]
    fn passwords_in_urls_are_not_shown() {
        for url in ["http://u:p@ss@h:1/x", "https://u:p@h", "u:p@h"] {
            let error = Client::builder(url).build().unwrap_err().to_string();
            assert!(!error.contains("u:p") && error.contains('h'), "{error}");
        }
    }

    #[test]
    fn the_server_says_when_to_come_back_in_seconds_or_by_its_own_clock() {
        let after = |asked: &str, date: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, asked.parse().unwrap());
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            retry_after(&headers)
        };
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        let (seconds, now) = (|seconds| Some(Duration::from_secs(seconds)), Some(date));
        assert_eq!(after("120", None), seconds(120));
        assert_eq!(after(" 0 ", now), seconds(0));
        assert_eq!(after("Wed, 21 Oct 2015 07:29:30 GMT", now), seconds(90));
        assert_eq!(after("Wed, 21 Oct 2015 07:00:00 GMT", now), seconds(0));
        for (asked, date) in [
            (date, None),
            ("soon", now),
            ("-1", now),
            ("1.5", now),
            (date, Some("today")),
        ] {
            assert_eq!(after(asked, date), None, "{asked}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
