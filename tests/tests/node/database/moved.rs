//! Users and shares of the Go operator's servers stay in SQLite until a person has moved them.

use anyhow::ensure;
use cluster_tests::databases::{Managed, Provider, with_definitions};
use cluster_tests::pods::pod_of;
use cluster_tests::predecessor::{self, Features};
use cluster_tests::{Controller, Outcome, PodLog, Pods, SERVER, belongings};
use kube::ResourceExt;
use serde_json::json;

use super::{running, serves, sqlite_files};
use crate::takeover::{NFS, put_to_use};

#[test]
fn a_server_of_the_go_operator_leaves_sqlite_only_when_its_data_is_said_to_be_moved() -> Outcome {
    with_definitions("db-moved", Pods::Run, async |world| {
        let features = Features {
            percona: true,
            ..Features::default()
        };
        // Its server ran with SQLite while it asked for a database; that its pod waited for the database first
        // is left out here, because the program for it is not in the cluster.
        predecessor::wish(world, features).await?;
        predecessor::reconcile(world, Features::default()).await?;
        let (rest, _) = put_to_use(world).await?;
        let files = sqlite_files(world).await?;
        ensure!(files.len() == 1, "SQLite is not where it was: {files:?}");
        predecessor::reconcile(world, features).await?;
        let controller = Controller::start(world).await?;
        world
            .condition("DatabaseReady", "False", "DataStillInSQLite")
            .await?;
        running(world, SERVER).await?;
        controller.quiet().await?;
        let log = PodLog::watch(world);
        let pod = pod_of(world, SERVER).await?.uid();
        belongings::there(world, &rest, predecessor::PASSWORD, NFS).await?;

        // The database is there and ready: that alone changes nothing.
        let mut managed =
            Managed::new(world, Provider::Percona, &format!("{SERVER}-postgres")).await?;
        managed.serve().await?;
        let database = json!({
            "crVersion": "2.8.0", "postgresVersion": 16,
            "image": "percona/percona-distribution-postgresql:16.11-1",
        });
        let spec = json!({"database": {"percona": database}});
        world.change(json!({"spec": spec})).await?;
        let message = world
            .condition("DatabaseReady", "False", "DataStillInSQLite")
            .await?;
        ensure!(message.contains("migratedFrom"), "{message}");
        controller.quiet().await?;
        ensure!(pod_of(world, SERVER).await?.uid() == pod, "another pod");
        belongings::there(world, &rest, predecessor::PASSWORD, NFS).await?;

        // A person says that the data was moved.
        let moved = json!({"spec": {"database": {"migratedFrom": "sqlite"}}});
        world.change(moved).await?;
        managed.serve().await?;
        serves(world, SERVER).await?;
        ensure!(pod_of(world, SERVER).await?.uid() != pod, "the same pod");
        managed.holds_user("dittofs", "admin").await?;
        controller.quiet().await?;
        let pods = log.count(SERVER);
        ensure!(pods == 2, "{pods} pods instead of two");
        ensure!(
            sqlite_files(world).await? == files,
            "the old database is gone"
        );

        // Back again without a word about where the data is: the schema cannot know what a server with the older
        // field uses, and the controller does.
        let pod = pod_of(world, SERVER).await?.uid();
        let back = json!({"spec": {"percona": null, "database": null}});
        world.change(back).await?;
        let message = world
            .condition("DatabaseReady", "False", "DatabaseKindChanged")
            .await?;
        ensure!(message.contains("migratedFrom"), "{message}");
        controller.quiet().await?;
        ensure!(pod_of(world, SERVER).await?.uid() == pod, "another pod");
        managed.holds_user("dittofs", "admin").await
    })
}
