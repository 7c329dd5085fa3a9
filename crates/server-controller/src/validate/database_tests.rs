//! The database's part of a visit, over worlds with clusters, Secrets and answers.

use std::sync::Arc;

use api_types::DittoServer;
use api_types::annotations::{ACCEPT_DATABASE, SKIP_DATABASE_CHECK};
use api_types::conditions::Reason;
use percona_bridge::{CnpgCluster, PerconaPGCluster};
use serde_json::{Value, json};

use crate::check::Trouble;
use crate::observe::Observed;
use crate::plan::{Finalizer, Wish};
use crate::testing::{
    condition, left_claim, planned, provisioned, reported, secret, with_stateful_set,
};
use crate::validate::validate;

const PEM: &str = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";
const CREDENTIALS: &str = "files-postgres-pguser-dittofs";

/// A server with a cluster of the Percona operator, whose definition is installed.
fn percona(more: Value) -> Observed {
    let mut database = json!({"percona": {}});
    database
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let mut world = provisioned(json!({"database": database}));
    world.database.served.percona = true;
    world
}

fn with_cluster(mut world: Observed, uid: &str, status: Value) -> Observed {
    let labels = api_types::labels::standard("files", api_types::labels::Component::Database);
    let mut cluster: PerconaPGCluster = serde_json::from_value(json!({
        "metadata": {"name": "files-postgres", "namespace": "media", "uid": uid, "generation": 1, "resourceVersion": "1"},
    }))
    .unwrap();
    cluster.metadata.labels = Some(labels);
    cluster.status = status;
    world.database.live.percona = Some(Arc::new(cluster));
    world
}

fn with_secrets(mut world: Observed, password: &str) -> Observed {
    let parts = [
        ("host", "h"),
        ("port", "5432"),
        ("user", "dittofs"),
        ("password", password),
    ];
    secret(&mut world, CREDENTIALS, &parts);
    secret(
        &mut world,
        "files-postgres-cluster-cert",
        &[("ca.crt", PEM), ("tls.key", "k")],
    );
    world
}

fn answered(mut world: Observed, answer: Result<(), Reason>) -> Observed {
    let answer = answer.map_err(|reason| Trouble {
        reason,
        message: "m".to_owned(),
    });
    world.database.trials.insert("dittofs".to_owned(), answer);
    world
}

/// A world whose server runs with its database.
fn running(more: Value) -> Observed {
    let world = with_cluster(percona(more), "uid-a", json!({"state": "ready"}));
    let world = answered(with_secrets(world, "p"), Ok(()));
    let mut world = with_stateful_set(world);
    let mut server = DittoServer::clone(&world.server);
    server.status = Some(reported(&world));
    world.server = Arc::new(server);
    world.database.trials.clear();
    world
}

fn annotated(mut world: Observed, key: &str, value: &str) -> Observed {
    let mut server = DittoServer::clone(&world.server);
    let annotations = server.metadata.annotations.get_or_insert_default();
    annotations.insert(key.to_owned(), value.to_owned());
    world.server = Arc::new(server);
    world
}

fn said(world: &Observed) -> String {
    condition(&reported(world), "DatabaseReady")
}

fn starts(world: &Observed) -> bool {
    matches!(planned(world).children.stateful_set, Wish::Apply(_))
}

#[test]
fn a_cluster_with_data_of_another_major_version_is_not_written_to() {
    let of_version = |version: i32, more: Value| {
        let mut world = with_cluster(percona(more), "uid-a", json!({"state": "ready"}));
        let mut cluster = PerconaPGCluster::clone(world.database.live.percona.as_deref().unwrap());
        cluster.spec = json!({"postgresVersion": version});
        world.database.live.percona = Some(Arc::new(cluster));
        answered(with_secrets(world, "p"), Ok(()))
    };
    let world = of_version(16, json!({}));
    assert_eq!(said(&world), "False DatabaseVersionDiffers");
    assert_eq!(planned(&world).database.percona, Wish::Leave);
    assert!(!starts(&world));
    for same in [
        of_version(18, json!({})),
        of_version(
            16,
            json!({"percona": {"postgresVersion": 16, "image": "i:16"}}),
        ),
    ] {
        assert_eq!(said(&same), "True DatabaseAnswers");
        assert!(matches!(planned(&same).database.percona, Wish::Apply(_)));
    }
    // It only says so where the server runs.
    let mut world = running(json!({}));
    let mut cluster = PerconaPGCluster::clone(world.database.live.percona.as_deref().unwrap());
    cluster.spec = json!({"postgresVersion": 16});
    world.database.live.percona = Some(Arc::new(cluster));
    assert_eq!(said(&world), "False DatabaseVersionDiffers");
    assert!(validate(&world).unwrap().digest.is_some());
    assert_eq!(planned(&world).database.percona, Wish::Leave);
}

#[test]
fn no_cluster_is_asked_for_with_an_image_of_another_major_version() {
    let world = percona(json!({"percona": {"postgresVersion": 17}}));
    assert_eq!(said(&world), "False DatabaseVersionDiffers");
    assert_eq!(planned(&world).database.percona, Wish::Leave);
    let image = "percona/percona-distribution-postgresql:17.9-1";
    for image in [image, "example.org/own:1"] {
        let world = percona(json!({"percona": {"postgresVersion": 17, "image": image}}));
        assert_eq!(said(&world), "False DatabasePending");
        assert!(matches!(planned(&world).database.percona, Wish::Apply(_)));
    }
    // The image of a cluster that exists is nobody's to name.
    let world = percona(json!({"percona": {"postgresVersion": 17, "clusterRef": {"name": "c"}}}));
    assert_eq!(said(&world), "False DatabaseClusterMissing");
}

#[test]
fn the_first_start_waits_for_each_step_of_the_database() {
    let world = percona(json!({}));
    let plan = planned(&world);
    assert!(matches!(plan.database.percona, Wish::Apply(_)));
    assert_eq!(said(&world), "False DatabasePending");
    let world = with_cluster(world, "uid-a", Value::Null);
    assert_eq!(said(&world), "False DatabasePending");
    let world = with_cluster(world, "uid-a", json!({"state": "initializing"}));
    assert_eq!(said(&world), "False DatabasePending");
    let world = with_cluster(world, "uid-a", json!({"state": "ready"}));
    assert_eq!(said(&world), "False SecretMissing");
    let world = with_secrets(world, "p");
    assert_eq!(said(&world), "Unknown DatabaseCheckPending");
    let world = answered(world, Err(Reason::DatabaseLoginRefused));
    assert_eq!(said(&world), "False DatabaseLoginRefused");
    assert!(!starts(&world));
    let world = answered(world, Ok(()));
    assert_eq!(said(&world), "True DatabaseAnswers");
    assert!(starts(&world));
    let status = reported(&world).database.unwrap();
    assert_eq!(status.cluster_uid.as_deref(), Some("uid-a"));
    assert_eq!(status.secret_ref.unwrap().name.0, CREDENTIALS);
}

#[test]
fn without_the_operator_people_are_told_what_to_install() {
    let mut world = percona(json!({}));
    world.database.served.percona = false;
    assert_eq!(said(&world), "False DatabaseOperatorMissing");
    assert_eq!(planned(&world).database.percona, Wish::Leave);
    assert!(!starts(&world));
}

#[test]
fn an_operator_that_says_nothing_is_reported_with_the_newest_warning() {
    let mut world = with_cluster(percona(json!({})), "uid-a", Value::Null);
    world.database.is_silent = true;
    world.database.warning = Some("Missing image(s): postgres".to_owned());
    assert_eq!(said(&world), "False DatabaseOperatorNotResponding");
    let message = &validate(&world).unwrap().problems[0].message;
    assert!(message.contains("Missing image(s): postgres"), "{message}");
}

#[test]
fn a_database_that_comes_and_goes_changes_only_the_condition() {
    let before = running(json!({}));
    let plan = planned(&before);
    assert_eq!(said(&before), "True DatabaseAnswers");
    for (status, expected) in [
        (json!({"state": "initializing"}), "False DatabaseNotReady"),
        (json!({"state": "paused"}), "False DatabasePaused"),
        (Value::Null, "False DatabaseNotReady"),
    ] {
        let flapping = with_cluster(before.clone(), "uid-a", status);
        assert_eq!(said(&flapping), expected);
        assert_eq!(planned(&flapping), plan);
        assert!(validate(&flapping).unwrap().database.trials.is_empty());
    }
}

#[test]
fn a_cluster_made_again_under_the_same_name_is_used_only_when_a_person_says_so() {
    let world = with_cluster(running(json!({})), "uid-b", json!({"state": "ready"}));
    let plan = planned(&world);
    assert_eq!(said(&world), "False DatabaseReplaced");
    assert_eq!(
        reported(&world).database.unwrap().cluster_uid.as_deref(),
        Some("uid-a")
    );
    assert!(plan.children.config == Wish::Leave);
    let other = annotated(world.clone(), ACCEPT_DATABASE, "uid-c");
    assert_eq!(said(&other), "False DatabaseReplaced");
    let accepted = annotated(world, ACCEPT_DATABASE, "uid-b");
    assert_eq!(said(&accepted), "True DatabaseAnswers");
    assert_eq!(
        reported(&accepted).database.unwrap().cluster_uid.as_deref(),
        Some("uid-b")
    );
}

#[test]
fn a_rotated_password_restarts_once_it_works() {
    let world = running(json!({}));
    let digest = validate(&world).unwrap().digest.unwrap();
    let rotated = with_secrets(world, "new");
    let validated = validate(&rotated).unwrap();
    assert_eq!(validated.digest, None);
    assert_eq!(validated.database.trials.len(), 1);
    assert_eq!(said(&rotated), "Unknown DatabaseCheckPending");
    let refused = answered(rotated.clone(), Err(Reason::DatabaseLoginRefused));
    assert_eq!(said(&refused), "False DatabaseLoginRefused");
    let works = answered(rotated, Ok(()));
    let renewed = validate(&works).unwrap().digest.unwrap();
    assert_ne!(renewed, digest);
}

#[test]
fn a_person_can_do_without_the_trial() {
    let world = with_cluster(percona(json!({})), "uid-a", json!({"state": "ready"}));
    let world = annotated(with_secrets(world, "p"), SKIP_DATABASE_CHECK, "true");
    assert!(starts(&world));
    assert!(validate(&world).unwrap().database.trials.is_empty());
}

#[test]
fn a_cluster_of_somebody_else_is_neither_used_nor_written() {
    let mut world = with_cluster(percona(json!({})), "uid-a", json!({"state": "ready"}));
    let mut foreign = PerconaPGCluster::clone(world.database.live.percona.as_ref().unwrap());
    foreign.metadata.labels = None;
    world.database.live.percona = Some(Arc::new(foreign));
    assert_eq!(said(&world), "False NameConflict");
    assert_eq!(planned(&world).database.percona, Wish::Leave);
}

#[test]
fn a_running_server_keeps_its_database_until_its_data_has_moved() {
    let world = running(json!({}));
    let sqlite = crate::testing::respecified(world.clone(), |spec| spec.database = None);
    assert_eq!(said(&sqlite), "False DatabaseKindChanged");
    assert_eq!(planned(&sqlite).children.config, Wish::Leave);
    let kept = reported(&sqlite).database.unwrap();
    assert_eq!(kept.cluster_uid.as_deref(), Some("uid-a"));
    let moved = crate::testing::respecified(world, |spec| {
        spec.database = serde_json::from_value(json!({"migratedFrom": "percona"})).unwrap();
    });
    assert_eq!(said(&moved), "True SqliteOnVolume");
}

#[test]
fn databases_of_metadata_stores_are_listed_with_what_a_login_says() {
    let mut world = running(json!({"metadataDatabases": ["films", "music"]}));
    world.database.trials.insert("films".to_owned(), Ok(()));
    let trouble = Trouble {
        reason: Reason::DatabaseNotFound,
        message: "there is none".to_owned(),
    };
    world
        .database
        .trials
        .insert("music".to_owned(), Err(trouble));
    let status = reported(&world).database.unwrap();
    let listed: Vec<(String, bool)> = status
        .metadata
        .unwrap()
        .into_iter()
        .map(|known| (known.name, known.ready))
        .collect();
    assert_eq!(
        listed,
        [("films".to_owned(), true), ("music".to_owned(), false)]
    );
    assert_eq!(said(&world), "False DatabaseNotFound");
    assert!(validate(&world).unwrap().digest.is_some());
}

#[test]
fn the_finalizer_is_there_only_for_a_cluster_that_goes_with_the_server() {
    assert_eq!(planned(&percona(json!({}))).finalizer, Finalizer::Keep);
    let world = percona(json!({"percona": {"deletionPolicy": "Delete"}}));
    assert_eq!(planned(&world).finalizer, Finalizer::Add);
}

#[test]
fn a_text_with_a_connection_becomes_a_secret_before_the_pod() {
    let spec = json!({"database": {"secret": {"name": "pg", "dsnKey": "dsn"}}});
    let mut world = provisioned(spec);
    let dsn = "postgres://u:p@db.example.org/dittofs";
    secret(&mut world, "pg", &[("dsn", dsn)]);
    assert!(!planned(&world).connect);
    let mut world = answered(world, Ok(()));
    assert!(planned(&world).connect);
    let parts = [
        ("host", "db.example.org"),
        ("port", "5432"),
        ("database", "dittofs"),
        ("user", "u"),
        ("password", "p"),
        ("sslmode", "require"),
    ];
    secret(&mut world, "files-database", &parts);
    assert!(!planned(&world).connect);
    assert!(starts(&world));
}

/// A world whose server runs with a Cluster of CloudNativePG.
fn running_with_cnpg(settings: Value) -> Observed {
    let mut world = provisioned(json!({"database": {"cloudnativePG": settings}}));
    world.database.served.cloudnative_pg = true;
    let parts = [
        ("host", "h"),
        ("port", "5432"),
        ("user", "dittofs"),
        ("password", "p"),
    ];
    secret(&mut world, "files-postgres-app", &parts);
    secret(&mut world, "files-postgres-ca", &[("ca.crt", PEM)]);
    let mut cluster: CnpgCluster = serde_json::from_value(json!({
        "metadata": {"name": "files-postgres", "namespace": "media", "uid": "uid-a", "generation": 1, "resourceVersion": "1"},
        "spec": {"bootstrap": {"initdb": {}}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }))
    .unwrap();
    cluster.metadata.labels = Some(api_types::labels::standard(
        "files",
        api_types::labels::Component::Database,
    ));
    world.database.live.cloudnative_pg = Some(Arc::new(cluster));
    let mut world = with_stateful_set(answered(world, Ok(())));
    let mut server = DittoServer::clone(&world.server);
    server.status = Some(reported(&world));
    world.server = Arc::new(server);
    world.database.trials.clear();
    assert_eq!(said(&world), "True DatabaseAnswers");
    world
}

fn changed(mut world: Observed, change: impl FnOnce(&mut CnpgCluster)) -> Observed {
    let mut cluster = CnpgCluster::clone(world.database.live.cloudnative_pg.as_deref().unwrap());
    change(&mut cluster);
    world.database.live.cloudnative_pg = Some(Arc::new(cluster));
    world
}

fn wanted(world: &Observed) -> Option<Value> {
    match planned(world).database.cloudnative_pg {
        Wish::Apply(cluster) => Some(cluster.spec),
        _ => None,
    }
}

#[test]
fn a_cluster_that_is_gone_with_its_volumes_is_made_again_only_on_a_persons_word() {
    let mut world = running_with_cnpg(json!({}));
    world.database.live.cloudnative_pg = None;
    assert_eq!(said(&world), "False DatabaseClusterMissing");
    assert_eq!(wanted(&world), None);
    assert!(starts(&world), "the running pod stays");
    let emptied = annotated(world.clone(), ACCEPT_DATABASE, "empty");
    assert_eq!(
        wanted(&emptied).unwrap()["bootstrap"]["initdb"]["database"],
        "dittofs"
    );
    assert_eq!(said(&emptied), "False DatabaseNotReady");
    // Nor is one taken for new because the StatefulSet was deleted meanwhile.
    world.live.stateful_set = None;
    left_claim(&mut world);
    assert_eq!(said(&world), "False DatabaseClusterMissing");
    assert_eq!(wanted(&world), None);
    assert!(!starts(&world));
}

#[test]
fn a_cluster_that_a_person_restored_keeps_its_beginning() {
    let world = running_with_cnpg(json!({}));
    assert!(wanted(&world).unwrap()["bootstrap"].is_object());
    let restored = changed(world, |cluster| {
        cluster.spec = json!({"bootstrap": {"recovery": {"source": "backup"}}});
    });
    let spec = wanted(&restored).unwrap();
    assert!(spec.get("bootstrap").is_none(), "{spec}");
    assert_eq!(spec["instances"], 1);
}

#[test]
fn another_major_version_of_a_cloudnative_pg_image_is_not_written() {
    let settings = json!({"imageName": "postgresql:18.1-standard"});
    for older in [
        json!({"pgDataImageInfo": {"majorVersion": 17}}),
        json!({"pgDataImageInfo": {"majorVersion": 18}}),
    ] {
        let world = changed(running_with_cnpg(settings.clone()), |cluster| {
            let status = cluster.status.as_object_mut().unwrap();
            status.extend(older.as_object().unwrap().clone());
        });
        let differs = older["pgDataImageInfo"]["majorVersion"] == 17;
        assert_eq!(wanted(&world).is_none(), differs);
        assert_eq!(said(&world).contains("DatabaseVersionDiffers"), differs);
    }
    let by_image = changed(running_with_cnpg(settings), |cluster| {
        cluster.spec["imageName"] = json!("postgresql:17");
    });
    assert_eq!(said(&by_image), "False DatabaseVersionDiffers");
}

#[test]
fn the_latch_holds_while_the_claim_is_there_although_the_stateful_set_is_not() {
    let mut world = running(json!({}));
    world.live.stateful_set = None;
    left_claim(&mut world);
    let world = with_cluster(world, "uid-b", json!({"state": "ready"}));
    assert_eq!(said(&world), "False DatabaseReplaced");
    assert!(!starts(&world));
}

#[test]
fn another_database_of_the_same_cluster_is_not_the_servers() {
    let mut world = running(json!({}));
    let mut server = DittoServer::clone(&world.server);
    // By the older spelling, of which the schema does not know the name.
    let older = json!({"enabled": true, "databaseName": "other"});
    server.spec.percona = Some(serde_json::from_value(older).unwrap());
    server.spec.database = None;
    world.server = Arc::new(server);
    let world = answered(world, Ok(()));
    assert_eq!(said(&world), "False DatabaseNameChanged");
    assert!(validate(&world).unwrap().digest.is_none());
    assert_eq!(
        reported(&world).database.unwrap().name.as_deref(),
        Some("dittofs")
    );
}

#[test]
fn a_database_of_an_older_server_is_not_started_with_and_a_running_one_is_told() {
    let rivalled = |mut world: Observed| {
        world.database.rivals.push("films".to_owned());
        world
    };
    let fresh = with_cluster(percona(json!({})), "uid-a", json!({"state": "ready"}));
    let fresh = rivalled(answered(with_secrets(fresh, "p"), Ok(())));
    assert_eq!(said(&fresh), "False DatabaseInUse");
    assert!(!starts(&fresh));
    let runs = rivalled(running(json!({})));
    assert_eq!(said(&runs), "False DatabaseInUse");
    assert!(validate(&runs).unwrap().digest.is_some(), "it runs on");
}

#[test]
fn the_control_planes_database_is_none_for_metadata() {
    let mut world = provisioned(
        json!({"database": {"secret": {"name": "pg"}, "metadataDatabases": ["films"]}}),
    );
    let parts = [
        ("host", "h"),
        ("database", "films"),
        ("user", "u"),
        ("password", "p"),
    ];
    secret(&mut world, "pg", &parts);
    assert_eq!(said(&world), "False DatabaseInUse");
    assert!(!starts(&world));
}

#[test]
fn missing_credentials_of_backups_are_told_and_hold_up_only_a_first_start() {
    let backup = json!({"enabled": true, "bucket": "b", "endpoint": "e", "credentialsSecretRef": {"name": "s3"}});
    let settings = json!({"percona": {"backup": backup}});
    let told = |world: &Observed| {
        let conditions = reported(world).conditions;
        let found = conditions
            .into_iter()
            .find(|found| found.type_ == "DatabaseReady");
        found.unwrap().message
    };
    // A cluster may well wait for them itself, so they are named while it is not ready.
    let waiting = with_cluster(
        percona(settings.clone()),
        "uid-a",
        json!({"state": "initializing"}),
    );
    assert_eq!(said(&waiting), "False DatabasePending");
    assert!(
        told(&waiting).contains("Secret s3 is missing"),
        "{}",
        told(&waiting)
    );
    let ready = with_cluster(
        percona(settings.clone()),
        "uid-a",
        json!({"state": "ready"}),
    );
    let ready = answered(with_secrets(ready, "p"), Ok(()));
    assert_eq!(said(&ready), "False SecretMissing");
    assert!(!starts(&ready));
    let whole = "[global]\nrepo1-s3-key=a\nrepo1-s3-key-secret=b\n";
    let mut world = running(json!({}));
    let mut server = DittoServer::clone(&world.server);
    let database = server.spec.database.as_mut().unwrap();
    *database = serde_json::from_value(settings).unwrap();
    world.server = Arc::new(server);
    assert_eq!(said(&world), "False SecretMissing");
    let validated = validate(&world).unwrap();
    assert!(
        validated.digest.is_some(),
        "what changes the pod is not held up"
    );
    secret(&mut world, "s3", &[("s3.conf", whole)]);
    assert_eq!(said(&world), "True DatabaseAnswers");
}
