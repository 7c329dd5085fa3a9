use std::collections::BTreeSet;

use api_types::v1alpha1::{ShareStores, ShareUsage};
use controller_runtime::rest::Trouble;
use serde_json::{Value, json};

use super::*;
use crate::wish::Pushed;

fn share(status: Value) -> DittoFSShare {
    serde_json::from_value(json!({
        "apiVersion": "dittofs.dittofs.com/v1alpha1", "kind": "DittoFSShare",
        "metadata": {"name": "films", "namespace": "media", "uid": "u1", "generation": 3},
        "spec": {"serverRef": {"name": "files"}}, "status": status}))
    .unwrap()
}

fn seen() -> Seen {
    Seen {
        generation: 3,
        fingerprint: 7,
        stores: None,
        exported: None,
        access: None,
        held_back: false,
        gone: false,
        id: Some("id".to_owned()),
        used: Some(ShareStores::default()),
        usage: Some(ShareUsage::default()),
        pushed: Pushed::new(),
        awaited: None,
        claims: Some(Vec::new()),
    }
}

fn view(seen: Option<Seen>, trouble: Option<Trouble>) -> View {
    View {
        seen,
        trouble,
        corrected: BTreeSet::new(),
    }
}

fn after(
    share: &DittoFSShare,
    asked: Result<u64, &Obstacle>,
    view: &View,
) -> Option<DittoFSShareStatus> {
    let visit = Visit {
        share,
        server: None,
        asked,
        view,
        domain: "cluster.local",
        usage_age: None,
    };
    status(visit, Timestamp::UNIX_EPOCH)
}

/// The statuses and reasons, by condition.
fn said(status: &DittoFSShareStatus) -> Vec<(String, String, String)> {
    let conditions = status.conditions.iter();
    conditions
        .map(|found| {
            (
                found.type_.clone(),
                found.status.clone(),
                found.reason.clone(),
            )
        })
        .collect()
}

fn has(status: &DittoFSShareStatus, kind: &str, is: &str, reason: &str) -> bool {
    let wanted = (kind.to_owned(), is.to_owned(), reason.to_owned());
    said(status).contains(&wanted)
}

#[test]
fn all_five_conditions_are_there_from_the_first_visit() {
    let fresh = share(json!({}));
    let gate = Obstacle::new(Reason::ServerMissing, "no");
    for (asked, view) in [
        (Err(&gate), View::default()),
        (Ok(7), View::default()),
        (Ok(7), view(Some(seen()), None)),
        (
            Ok(7),
            view(None, Some(Trouble::new(Reason::Unreachable, "no"))),
        ),
    ] {
        let status = after(&fresh, asked, &view).unwrap();
        assert_eq!(status.conditions.len(), 5, "{:?}", said(&status));
    }
}

#[test]
fn a_share_is_ready_once_everything_holds() {
    let status = after(&share(json!({})), Ok(7), &view(Some(seen()), None)).unwrap();
    assert!(
        has(&status, "Ready", "True", "AllReady"),
        "{:?}",
        said(&status)
    );
    let mut failing = seen();
    failing.access = Some(Obstacle::new(Reason::GranteeMissing, "no ann"));
    let status = after(&share(json!({})), Ok(7), &view(Some(failing), None)).unwrap();
    assert!(
        has(&status, "Ready", "False", "GranteeMissing"),
        "{:?}",
        said(&status)
    );
    assert!(has(&status, "Exported", "True", "Served"));
}

#[test]
fn a_status_is_not_written_while_the_work_on_a_change_is_under_way() {
    let first = after(&share(json!({})), Ok(7), &view(Some(seen()), None)).unwrap();
    let ready = share(serde_json::to_value(first).unwrap());
    assert!(after(&ready, Ok(8), &view(Some(seen()), None)).is_none());
    let again = after(&ready, Ok(7), &view(Some(seen()), None)).unwrap();
    assert_eq!(Some(again), ready.status, "nothing differs");
}

#[test]
fn a_server_that_cannot_be_asked_changes_what_is_said_of_the_server_alone() {
    let first = after(&share(json!({})), Ok(7), &view(Some(seen()), None)).unwrap();
    let ready = share(serde_json::to_value(first).unwrap());
    let trouble = Trouble::new(Reason::Unreachable, "nothing answers");
    for seen in [Some(seen()), None] {
        let status = after(&ready, Ok(7), &view(seen, Some(trouble.clone()))).unwrap();
        assert!(has(&status, "ServerReady", "False", "Unreachable"));
        assert!(
            has(&status, "Exported", "True", "Served"),
            "{:?}",
            said(&status)
        );
        assert!(has(&status, "Ready", "False", "Unreachable"));
        assert_eq!(status.share_id.as_deref(), Some("id"));
    }
}

#[test]
fn a_changed_spec_is_not_said_to_be_in_force_before_it_is() {
    let first = after(&share(json!({})), Ok(7), &view(Some(seen()), None)).unwrap();
    let mut changed = share(serde_json::to_value(first).unwrap());
    changed.metadata.generation = Some(4);
    let trouble = Trouble::new(Reason::Unreachable, "nothing answers");
    let status = after(&changed, Ok(8), &view(Some(seen()), Some(trouble))).unwrap();
    assert!(
        has(&status, "AccessApplied", "Unknown", "ViewOutdated"),
        "{:?}",
        said(&status)
    );
    assert_eq!(status.observed_generation, Some(3));
}

#[test]
fn a_paused_share_says_that_it_differs() {
    let mut held = seen();
    held.held_back = true;
    let status = after(&share(json!({})), Ok(7), &view(Some(held), None)).unwrap();
    assert!(
        has(&status, "AccessApplied", "False", "Paused"),
        "{:?}",
        said(&status)
    );
    assert!(has(&status, "Exported", "True", "Served"));
}

#[test]
fn the_way_out_of_a_deletion_is_told() {
    let mut deleted = share(json!({}));
    deleted.metadata.deletion_timestamp = Some(
        k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH),
    );
    let gate = Obstacle::new(Reason::ServerNotAvailable, "It does not serve.");
    let status = after(&deleted, Err(&gate), &View::default()).unwrap();
    let server = find(&status.conditions, ConditionType::ServerReady).unwrap();
    assert!(
        server.message.contains("dittofs.io/abandon"),
        "{}",
        server.message
    );
}
