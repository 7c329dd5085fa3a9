//! Whose certificates of a database are trusted: by the trial login of the controller as by the file server.

use anyhow::ensure;
use cluster_tests::backends::postgres::Postgres;
use cluster_tests::{Outcome, Pods, SERVER, scenario};

use super::{Own, had};

#[test]
fn a_certificate_that_is_named_as_its_own_ca_is_trusted() -> Outcome {
    scenario("own-ca", Pods::Run, async |world| {
        let mut postgres = Postgres::start(world).await?;
        postgres.certify_itself().await?;
        let own = Own::with(world, postgres).await?;
        let users = own.postgres.users("files").await?;
        ensure!(users.iter().any(|user| user == "alice"), "{users:?}");
        had(world, &own.log, SERVER, 1).await
    })
}
