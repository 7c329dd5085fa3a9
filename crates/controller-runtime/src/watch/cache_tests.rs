//! What is believed of an object while the watch and our own writes race.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::{
    MANAGED_BY_SELECTOR, WatchOptions,
    cache::{Cache, Change},
    guard::Guard,
};
use crate::Scope;

fn cache() -> Cache<ConfigMap> {
    Cache::new(Scope::Cluster, WatchOptions::owned(&["us"]))
}

fn raw(name: &str, version: u64) -> Value {
    json!({"metadata": {
        "name": name, "namespace": "ns", "uid": name, "resourceVersion": version.to_string(),
        "labels": {MANAGED_BY_SELECTOR.0: MANAGED_BY_SELECTOR.1},
    }})
}

fn object(name: &str, version: u64) -> ConfigMap {
    serde_json::from_value(raw(name, version)).unwrap()
}

fn guarded(name: &str, version: u64) -> Guard<ConfigMap> {
    Guard(Ok(object(name, version)))
}

fn undecodable(name: &str, version: u64) -> Guard<ConfigMap> {
    let mut raw = raw(name, version);
    raw["data"] = json!("not a map");
    serde_json::from_value(raw).unwrap()
}

fn list(cache: &Cache<ConfigMap>, objects: Vec<Guard<ConfigMap>>) -> Vec<Change<ConfigMap>> {
    let mut changes = cache.take(0, Event::Init).0;
    for object in objects {
        changes.extend(cache.take(0, Event::InitApply(object)).0);
    }
    changes.extend(cache.take(0, Event::InitDone).0);
    changes
}

fn version(cache: &Cache<ConfigMap>, name: &str) -> Option<String> {
    cache.current("ns", name)?.metadata.resource_version.clone()
}

#[test]
fn our_own_write_is_believed_until_the_watch_has_caught_up() {
    let cache = cache();
    list(&cache, vec![guarded("a", 5)]);
    cache.remember(object("a", 8));
    assert_eq!(version(&cache, "a").as_deref(), Some("8"));
    cache.take(0, Event::Apply(guarded("a", 7)));
    assert_eq!(version(&cache, "a").as_deref(), Some("8"));
    let (changes, _) = cache.take(0, Event::Apply(guarded("a", 8)));
    assert_eq!(
        changes.len(),
        1,
        "others who share the object hear of our write"
    );
    cache.take(0, Event::Apply(guarded("a", 9)));
    assert_eq!(version(&cache, "a").as_deref(), Some("9"));
}

#[test]
fn an_older_answer_never_replaces_what_the_watch_has_delivered() {
    let cache = cache();
    list(&cache, vec![]);
    cache.take(0, Event::Apply(guarded("a", 12)));
    cache.remember(object("a", 11));
    assert_eq!(version(&cache, "a").as_deref(), Some("12"));
}

#[test]
fn a_child_deleted_before_our_answer_arrives_is_not_believed_to_exist() {
    let cache = cache();
    list(&cache, vec![]);
    cache.take(0, Event::Apply(guarded("a", 6)));
    cache.take(0, Event::Delete(guarded("a", 7)));
    cache.remember(object("a", 6));
    assert_eq!(version(&cache, "a"), None);
}

#[test]
fn a_remembered_child_goes_with_its_deletion() {
    let cache = cache();
    list(&cache, vec![]);
    cache.remember(object("a", 6));
    cache.take(0, Event::Delete(guarded("a", 7)));
    assert_eq!(version(&cache, "a"), None);
}

#[test]
fn a_successor_survives_the_late_news_of_its_predecessors_end() {
    let cache = cache();
    list(&cache, vec![guarded("a", 5)]);
    cache.remember(object("a", 8));
    cache.take(0, Event::Delete(guarded("a", 7)));
    assert_eq!(version(&cache, "a").as_deref(), Some("8"));
}

#[test]
fn any_later_event_ends_a_memory_that_the_watch_does_not_confirm() {
    let cache = cache();
    list(&cache, vec![]);
    cache.remember(object("a", 6));
    cache.take(0, Event::Apply(guarded("b", 9)));
    assert_eq!(version(&cache, "a"), None);
}

#[test]
fn what_a_list_lacks_is_gone_and_told() {
    let cache = cache();
    list(&cache, vec![guarded("a", 5), guarded("b", 6)]);
    cache.remember(object("c", 20));
    let changes = list(&cache, vec![guarded("b", 6)]);
    assert_eq!(changes.len(), 1, "what did not change is not told again");
    assert!(changes[0].gone && changes[0].key.1 == "a");
    assert_eq!(version(&cache, "a"), None);
    assert_eq!(version(&cache, "c"), None, "only a read by name can tell");
    assert_eq!(version(&cache, "b").as_deref(), Some("6"));
}

#[test]
fn a_write_during_a_list_outlives_the_older_listed_state() {
    let cache = cache();
    cache.take(0, Event::Init);
    cache.take(0, Event::InitApply(guarded("a", 5)));
    cache.remember(object("a", 9));
    cache.take(0, Event::InitDone);
    assert_eq!(version(&cache, "a").as_deref(), Some("9"));
}

#[test]
fn a_forgotten_object_is_unknown_until_the_watch_speaks() {
    let cache = cache();
    list(&cache, vec![guarded("a", 5)]);
    cache.forget("ns", "a");
    assert_eq!(version(&cache, "a"), None);
    cache.take(0, Event::Apply(guarded("a", 6)));
    assert_eq!(version(&cache, "a").as_deref(), Some("6"));
}

#[test]
fn a_conflict_hides_only_what_it_was_based_on() {
    let cache = cache();
    list(&cache, vec![guarded("a", 5)]);
    cache.forget_version("ns", "a", Some("4"));
    assert_eq!(
        version(&cache, "a").as_deref(),
        Some("5"),
        "the watch was faster"
    );
    cache.forget_version("ns", "a", Some("5"));
    assert_eq!(version(&cache, "a"), None);
}

#[test]
fn a_primary_is_never_hidden() {
    let scope = Scope::Cluster;
    let cache: Cache<ConfigMap> = Cache::new(scope, WatchOptions::all().primary());
    list(&cache, vec![guarded("a", 5)]);
    cache.forget("ns", "a");
    assert_eq!(version(&cache, "a").as_deref(), Some("5"));
}

#[test]
fn an_object_without_our_label_is_not_remembered() {
    let cache = cache();
    list(&cache, vec![guarded("a", 5)]);
    let mut bare = object("a", 6);
    bare.metadata.labels = None;
    cache.remember(bare);
    assert_eq!(
        version(&cache, "a"),
        None,
        "the watch will not tell of it, a read by name does"
    );
}

#[test]
fn an_undecodable_object_hides_only_itself_and_wakes_its_owner() {
    let cache = cache();
    let changes = list(&cache, vec![undecodable("a", 5), guarded("b", 6)]);
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0].meta.uid.as_deref(), Some("a"));
    assert_eq!(version(&cache, "a"), None);
    assert_eq!(version(&cache, "b").as_deref(), Some("6"));
    cache.take(0, Event::Apply(undecodable("b", 7)));
    assert_eq!(
        version(&cache, "b"),
        None,
        "an older state is not taken for the present"
    );
    cache.take(0, Event::Apply(guarded("b", 8)));
    assert_eq!(version(&cache, "b").as_deref(), Some("8"));
}

#[test]
fn only_our_managers_entries_are_kept() {
    let cache = cache();
    let mut raw = raw("a", 5);
    raw["metadata"]["managedFields"] = json!([
        {"manager": "us", "operation": "Apply"}, {"manager": "kubectl", "operation": "Update"}]);
    cache.remember(serde_json::from_value(raw).unwrap());
    let kept = cache
        .current("ns", "a")
        .unwrap()
        .metadata
        .managed_fields
        .clone()
        .unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].manager.as_deref(), Some("us"));
}

#[test]
fn namespaces_catch_up_one_by_one() {
    let scope = Scope::Namespaces(vec!["ns".into(), "other".into()]);
    let cache: Cache<ConfigMap> = Cache::new(scope, WatchOptions::owned(&[]));
    for index in [0, 1] {
        cache.take(index, Event::Init);
        let (_, all) = cache.take(index, Event::InitDone);
        assert_eq!(all, index == 1);
    }
    cache.remember(object("a", 6));
    let mut elsewhere = object("b", 50);
    elsewhere.metadata.namespace = Some("other".into());
    cache.take(1, Event::Apply(Guard(Ok(elsewhere))));
    assert_eq!(version(&cache, "a").as_deref(), Some("6"));
    assert_eq!(cache.all().len(), 2);
}
