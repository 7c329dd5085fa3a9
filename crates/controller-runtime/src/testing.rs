//! Scripted API servers for the tests of this crate. They inject faults; what
//! a real server does is tested against a real one.

use std::{future::Future, time::Duration};

use axum::body::Body;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use serde_json::{Value, json};

use crate::{Layers, client_over, seam};

/// A client whose requests are answered by a function of the request and its
/// JSON body (null when there is none).
pub(crate) fn client<F, Fut>(layers: Layers, answer: F) -> Client
where
    F: Fn(seam::Request, Value) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let answer = answer.clone();
        async move {
            let about = seam::Request::of(&request);
            let body = request.into_body().collect().await?.to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            Ok::<_, tower::BoxError>(answer(about, body).await)
        }
    });
    client_over(service, layers, Duration::from_secs(30))
}

/// An answer with a JSON body.
pub(crate) fn answer(status: StatusCode, body: &Value) -> Response<Body> {
    Response::builder()
        .status(status)
        .body(Body::from(body.to_string()))
        .unwrap()
}

/// An answer that refuses, as the API server words it.
pub(crate) fn refusal(code: u16, reason: &str) -> Response<Body> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason});
    answer(StatusCode::from_u16(code).unwrap(), &status)
}
