//! Metadata stores in PostgreSQL: never two in one database.

use api_types::conditions::Reason;
use serde_json::json;

use super::model::run;
use super::tests::{empty, wish_of};
use super::*;

/// What a DittoFSShare of this name wishes whose metadata store lies in the database `database`.
fn kept_in(name: &str, database: &str) -> Wish {
    let store = json!({"type": "postgres", "postgres": {"database": database}});
    wish_of(name, json!({ "metadataStore": store }))
}

/// A server with the share `films` in the database of the same name.
fn with_films() -> World {
    let mut world = empty();
    let (plan, _) = run(&kept_in("films", "films"), &mut world, usize::MAX);
    assert!(plan.is_clear(), "{plan:?}");
    world
}

#[test]
fn a_second_store_in_one_database_is_not_made() {
    let mut world = with_films();
    let before = world.metadata.clone();
    let second = kept_in("music", "films");
    // However often it is looked at, and whatever of its other stores is there by now.
    for _ in 0..2 {
        let (plan, steps) = run(&second, &mut world, usize::MAX);
        let stores = plan.stores.unwrap();
        assert_eq!(stores.reason, Reason::DatabaseInUse);
        assert!(stores.message.contains("store films"), "{}", stores.message);
        let exported = plan.exported.unwrap();
        assert_eq!(exported.reason, Reason::WaitingForStores);
        let made = |step: &Step| matches!(step, Step::CreateMetadata(..) | Step::CreateShare(_));
        assert!(!steps.iter().any(made), "{steps:?}");
    }
    assert_eq!(world.metadata, before);
    assert!(!world.shares.contains_key("music"));
    // Its removal takes nothing of the other one along.
    let gone = Wish {
        goal: Goal::Remove,
        ..second
    };
    assert!(run(&gone, &mut world, usize::MAX).0.gone);
    assert_eq!(world.metadata, before);
}

#[test]
fn a_database_of_its_own_is_used_and_the_one_in_use_goes_on() {
    let mut world = with_films();
    let (plan, _) = run(&kept_in("music", "music"), &mut world, usize::MAX);
    assert!(plan.is_clear(), "{plan:?}");
    assert!(world.metadata.contains_key("music"));
    // A store is not in its own way.
    let (plan, steps) = run(&kept_in("films", "films"), &mut world, usize::MAX);
    assert!(plan.is_clear(), "{plan:?}");
    assert!(steps.iter().all(Step::is_read), "{steps:?}");
}

#[test]
fn a_store_that_no_share_of_ours_made_counts_too() {
    let mut world = with_films();
    let mut store = world.metadata.remove("films").unwrap();
    store.name = "by-hand".to_owned();
    let mut alone = empty();
    alone.metadata.insert(store.name.clone(), store);
    let music = kept_in("music", "films");
    let plan = run(&music, &mut alone, usize::MAX).0;
    assert_eq!(plan.stores.unwrap().reason, Reason::DatabaseInUse);
    // Once it is gone, nothing stands in the way.
    alone.metadata.clear();
    let plan = run(&music, &mut alone, usize::MAX).0;
    assert!(plan.is_clear(), "{plan:?}");
}
