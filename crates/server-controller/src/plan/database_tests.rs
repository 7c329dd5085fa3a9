//! New credentials in a text with the whole connection: a trial login, then the Secret with its parts, then the metadata
//! stores, which are made of that Secret, then the pod.

use std::sync::Arc;

use api_types::DittoServer;
use api_types::conditions::Reason;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::json;

use super::*;
use crate::check::Trouble;
use crate::testing::{condition, planned, provisioned, reported, secret, with_stateful_set};

/// The database of the control plane in [`connected`].
const DATABASE: &str = "dittofs";

/// `world` with a person's Secret whose only key is a text with the whole connection.
fn connected(mut world: Observed, password: &str) -> Observed {
    let dsn = format!("postgres://files:{password}@db.example.org/{DATABASE}");
    secret(&mut world, "pg", &[("dsn", &dsn)]);
    world
}

/// `world` with the Secret that is made of that text.
fn derived(mut world: Observed, password: &str) -> Observed {
    let parts = [
        ("host", "db.example.org"),
        ("port", "5432"),
        ("database", DATABASE),
        ("user", "files"),
        ("password", password),
        ("sslmode", "require"),
    ];
    secret(&mut world, "files-database", &parts);
    world
}

/// `world` after a trial login with what the Secret says now.
fn tried(mut world: Observed, answer: Result<(), Reason>) -> Observed {
    let answer = answer.map_err(|reason| Trouble {
        reason,
        message: "m".to_owned(),
    });
    let trials = &mut world.database.trials;
    trials.insert(DATABASE.to_owned(), answer);
    world
}

/// A server before its first start, with everything that it needs.
fn prepared() -> Observed {
    let secret = json!({"name": "pg", "dsnKey": "dsn"});
    let database = json!({"secret": secret, "metadataDatabases": ["films"]});
    let world = provisioned(json!({ "database": database }));
    tried(derived(connected(world, "old"), "old"), Ok(()))
}

/// A server that runs with the password `old`.
fn running() -> Observed {
    let mut world = with_stateful_set(prepared());
    let mut server = DittoServer::clone(&world.server);
    server.status = Some(reported(&world));
    world.server = Arc::new(server);
    let Wish::Apply(config) = planned(&world).children.config else {
        panic!("applied")
    };
    world.live.config = Some(Arc::from(config));
    world.database.trials.clear();
    world
}

/// As [`running`], with the password `new` in the text that a person writes, which PostgreSQL takes.
fn rotated() -> Observed {
    tried(connected(running(), "new"), Ok(()))
}

/// `world` with a share whose metadata store still has the old password.
fn with_an_older_store(mut world: Observed) -> Observed {
    let outdated = &mut world.database.outdated;
    outdated.push("media/films".to_owned());
    world
}

fn template(plan: &Plan) -> &PodTemplateSpec {
    match &plan.children.stateful_set {
        Wish::Apply(set) => &set.spec.as_ref().unwrap().template,
        other => panic!("the StatefulSet shall be applied, not {other:?}"),
    }
}

#[test]
fn while_a_metadata_store_is_behind_neither_the_derived_secret_nor_the_pod_is_written() {
    let before = planned(&running());
    assert!(!before.connect, "it has what it needs");
    for world in [
        with_an_older_store(rotated()),
        // Also where the Secret was written and the process ended before the pod was.
        with_an_older_store(derived(rotated(), "new")),
    ] {
        let plan = planned(&world);
        assert!(!plan.connect);
        assert_eq!(template(&plan), template(&before));
        assert_eq!(plan.children.config, Wish::Leave);
        let status = reported(&world);
        let ready = condition(&status, "DatabaseReady");
        assert_eq!(ready, "False MetadataStoresPending");
        let mut said = status.conditions.iter();
        let said = said.find(|found| found.type_ == "DatabaseReady");
        assert!(said.unwrap().message.contains("media/films"));
    }
}

#[test]
fn the_secret_comes_first_and_the_pod_once_the_stores_follow_it() {
    let before = planned(&running());
    // No store has an older version: of the Secret as it is.
    assert!(planned(&rotated()).connect);
    // It is written: the stores that were made of the one before are behind now.
    let written = derived(rotated(), "new");
    let waiting = planned(&with_an_older_store(written.clone()));
    assert_eq!(template(&waiting), template(&before));
    // They have it.
    let plan = planned(&written);
    assert!(!plan.connect, "it is up to date");
    assert_ne!(template(&plan), template(&before));
    assert!(matches!(plan.children.config, Wish::Apply(_)));
}

#[test]
fn a_password_that_was_not_tried_or_is_refused_reaches_nothing() {
    let before = planned(&running());
    let untried = connected(running(), "new");
    let refused = tried(untried.clone(), Err(Reason::DatabaseLoginRefused));
    for (world, said) in [
        (untried, "Unknown DatabaseCheckPending"),
        (refused, "False DatabaseLoginRefused"),
    ] {
        let plan = planned(&world);
        assert!(!plan.connect);
        assert_eq!(template(&plan), template(&before));
        assert_eq!(condition(&reported(&world), "DatabaseReady"), said);
    }
}

#[test]
fn a_server_that_does_not_run_waits_for_no_store() {
    let world = with_an_older_store(prepared());
    assert_eq!(
        condition(&reported(&world), "DatabaseReady"),
        "True DatabaseAnswers"
    );
    template(&planned(&world));
}
