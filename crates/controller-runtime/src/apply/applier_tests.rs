//! What the applier sends, and when it sends nothing.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use http::StatusCode;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use super::{Applied, Applier, ApplyError};
use crate::{
    Context, Layers, Scope, WatchOptions, Watched, seam,
    testing::{answer, client, refusal},
};

type Sent = Arc<Mutex<Vec<(seam::Request, Value)>>>;

fn object(version: &str, more: &Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "a", "namespace": "ns", "uid": "u", "resourceVersion": version,
        "labels": {"app.kubernetes.io/managed-by": "dittofs-operator"}}});
    for (field, value) in more.as_object().unwrap() {
        object[field] = value.clone();
    }
    object
}

fn typed(value: Value) -> ConfigMap {
    serde_json::from_value(value).unwrap()
}

/// A server whose patches always give this version and record no ownership,
/// as if it had defaults that we do not know.
fn world(version: &'static str) -> (Applier, Watched<ConfigMap>, Sent) {
    let sent = Sent::default();
    let seen = Arc::clone(&sent);
    let client = client(Layers::default(), move |request, body| {
        seen.lock().unwrap().push((request, body));
        async move {
            answer(
                StatusCode::OK,
                &object(version, &json!({"data": {"k": "v"}})),
            )
        }
    });
    let context = Context::for_test(client.clone(), Scope::Cluster);
    let (watched, _) =
        Watched::start::<ConfigMap>(&context, WatchOptions::owned(&["us"]), |_| Vec::new());
    (Applier::new(client, "us"), watched, sent)
}

#[tokio::test]
async fn a_creation_is_a_strict_forced_apply_without_a_version() {
    let (applier, watched, sent) = world("5");
    let mut desired = typed(object("1", &json!({"data": {"k": "v"}, "immutable": null})));
    desired.metadata.creation_timestamp =
        serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let created = applier.apply(&watched, &desired, None).await.unwrap();
    assert!(matches!(created, Applied::Created(_)));
    let (request, body) = sent.lock().unwrap()[0].clone();
    assert_eq!(request.path, "/api/v1/namespaces/ns/configmaps/a");
    for part in ["force=true", "fieldManager=us", "fieldValidation=Strict"] {
        assert!(request.query.contains(part), "{}", request.query);
    }
    let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v"}, "metadata": {
        "name": "a", "namespace": "ns", "labels": {"app.kubernetes.io/managed-by": "dittofs-operator"}}});
    assert_eq!(body, expected);
    assert_eq!(
        watched
            .cached("ns", "a")
            .unwrap()
            .metadata
            .resource_version
            .as_deref(),
        Some("5")
    );
}

#[tokio::test]
async fn a_change_names_the_version_and_the_identity_it_is_meant_for() {
    let (applier, watched, sent) = world("6");
    let live = typed(object("5", &json!({})));
    let desired = typed(object("1", &json!({"data": {"k": "v"}})));
    let changed = applier
        .apply(&watched, &desired, Some(&live))
        .await
        .unwrap();
    assert!(matches!(changed, Applied::Changed(_)));
    let metadata = sent.lock().unwrap()[0].1["metadata"].clone();
    assert_eq!(
        (&metadata["resourceVersion"], &metadata["uid"]),
        (&json!("5"), &json!("u"))
    );
}

#[tokio::test]
async fn a_write_that_changes_nothing_is_not_repeated() {
    let (applier, watched, sent) = world("5");
    let live = typed(object("5", &json!({"data": {"k": "v"}})));
    let desired = typed(object("1", &json!({"data": {"k": "v"}})));
    assert!(
        applier
            .apply(&watched, &desired, Some(&live))
            .await
            .unwrap()
            .is_write()
    );
    assert!(
        !applier
            .apply(&watched, &desired, Some(&live))
            .await
            .unwrap()
            .is_write()
    );
    assert_eq!(sent.lock().unwrap().len(), 1);
    let other = typed(object("1", &json!({"data": {"k": "w"}})));
    assert!(
        applier
            .apply(&watched, &other, Some(&live))
            .await
            .unwrap()
            .is_write()
    );
    let newer = typed(object("7", &json!({"data": {"k": "v"}})));
    assert!(
        applier
            .apply(&watched, &other, Some(&newer))
            .await
            .unwrap()
            .is_write()
    );
}

#[tokio::test]
async fn what_somebody_else_changed_is_counted_and_what_we_want_anew_is_not() {
    let (applier, watched, _) = world("5");
    let metrics = crate::Metrics::new();
    let applier = applier.counting(metrics.drift());
    let counted = || metrics.encode().unwrap().contains("drift_corrected_total{");
    let desired = typed(object("1", &json!({"data": {"k": "v"}})));
    applier.apply(&watched, &desired, None).await.unwrap();
    let more = typed(object("1", &json!({"data": {"k": "v", "l": "w"}})));
    let live = typed(object("5", &json!({"data": {"k": "v"}})));
    let applied = applier.apply(&watched, &more, Some(&live)).await.unwrap();
    assert!(applied.is_write() && !counted());
    let meddled = typed(object("6", &json!({"data": {"k": "x", "l": "w"}})));
    let applied = applier
        .apply(&watched, &more, Some(&meddled))
        .await
        .unwrap();
    assert!(applied.is_write());
    let text = metrics.encode().unwrap();
    let series = r#"drift_corrected_total{kind="ConfigMap",field="data.k"} 1"#;
    assert!(text.contains(series), "{text}");
}

#[tokio::test]
async fn status_goes_to_the_subresource_alone() {
    let (applier, watched, sent) = world("6");
    let live = typed(object("5", &json!({"data": {"k": "v"}})));
    applier
        .apply_status_value(&watched, json!({"phase": "Up", "gone": null}), &live)
        .await
        .unwrap();
    let (request, body) = sent.lock().unwrap()[0].clone();
    assert_eq!(request.resource, "configmaps/status");
    assert_eq!(body["status"], json!({"phase": "Up"}));
    assert!(body.get("data").is_none() && body["metadata"].get("labels").is_none());
    assert_eq!(body["metadata"]["resourceVersion"], "5");
}

#[tokio::test]
async fn a_conflict_makes_the_next_visit_read_afresh() {
    let gets = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&gets);
    let client = client(Layers::default(), move |request, _| {
        let is_get = request.verb == seam::Verb::Get;
        counted.fetch_add(usize::from(is_get), Ordering::SeqCst);
        async move {
            if is_get {
                answer(StatusCode::OK, &object("9", &json!({})))
            } else {
                refusal(409, "Conflict")
            }
        }
    });
    let context = Context::for_test(client.clone(), Scope::Cluster);
    let (watched, _) =
        Watched::start::<ConfigMap>(&context, WatchOptions::owned(&["us"]), |_| Vec::new());
    let applier = Applier::new(client, "us");
    let live = watched.remember(typed(object("5", &json!({}))));
    let desired = typed(object("1", &json!({"data": {"k": "v"}})));
    let error = applier
        .apply(&watched, &desired, Some(&live))
        .await
        .unwrap_err();
    assert!(error.is_conflict());
    let fresh = watched.get("ns", "a").await.unwrap().unwrap();
    assert_eq!(fresh.metadata.resource_version.as_deref(), Some("9"));
    assert_eq!(gets.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_cannot_be_addressed_or_was_never_read_is_refused_here() {
    let (applier, watched, sent) = world("5");
    let nameless = ConfigMap::default();
    let error = applier.apply(&watched, &nameless, None).await.unwrap_err();
    assert!(matches!(error, ApplyError::Malformed(_)));
    let mut unread = typed(object("5", &json!({})));
    unread.metadata.uid = None;
    let error = applier.delete(&watched, &unread).await.unwrap_err();
    assert!(matches!(error, ApplyError::Malformed(_)));
    assert!(sent.lock().unwrap().is_empty());
}
