//! The audit log of a whole run, read after all other tests: what the controllers' roles grant is what they need.
//!
//! A run of single tests uses fewer rights: `hack/test` runs this only after all of them.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use cluster_tests::asked::{self, Asked, CONTROLLERS, Right};
use cluster_tests::audit::{Audit, Mark};
use cluster_tests::world::{Outcome, none_failed};
use k8s_openapi::api::rbac::v1::PolicyRule;

/// Where the run began in the audit log, in bytes; absent: the whole log counts.
const FROM: &str = "DITTOFS_TEST_AUDIT_FROM";

/// Rights that no request shows, with the controller where others use them, and the reason why they are granted.
const SILENT: [(Option<&str>, &str, &str, &str, &str); 2] = [
    (
        None,
        "dittofs.dittofs.com",
        "dittoservers/finalizers",
        "update",
        "asked for by the admission plug-in OwnerReferencesPermissionEnforcement, which some clusters have, when an owner reference blocks the deletion of its owner",
    ),
    (
        Some("server-controller"),
        "dittofs.dittofs.com",
        "dittofsshares",
        "list",
        "the server-controller asks before it restarts a server with new credentials of a database in which shares keep their metadata",
    ),
];

fn all() -> Result<std::collections::BTreeMap<&'static str, Asked>> {
    let from = match std::env::var(FROM) {
        Ok(bytes) => Mark::at(bytes.parse().with_context(|| format!("{FROM}={bytes}"))?),
        Err(_) => Mark::default(),
    };
    let all = asked::since(&Audit::from_environment()?, from)?;
    for controller in CONTROLLERS {
        let requests: usize = all
            .get(controller)
            .map_or(0, |asked| asked.used.values().sum());
        ensure!(
            requests > 0,
            "the audit log has no request of the {controller}: this is for the end of a whole run of the tests"
        );
    }
    Ok(all)
}

/// Everything that is granted to a controller, its lease included.
fn granted(controller: &str) -> Result<BTreeSet<Right>> {
    let (cluster, lease) = match controller {
        "server-controller" => (
            server_controller::rbac::cluster_role(),
            server_controller::rbac::lease_role(),
        ),
        "adapter-controller" => (
            adapter_controller::rbac::cluster_role(),
            adapter_controller::rbac::lease_role(),
        ),
        "share-controller" => (
            share_controller::rbac::cluster_role(),
            share_controller::rbac::lease_role(),
        ),
        other => anyhow::bail!("no roles of {other} are known"),
    };
    let rules: Vec<PolicyRule> = [cluster.rules, lease.rules]
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    Ok(asked::rights_of(&rules))
}

#[test]
fn no_request_of_a_controller_was_denied() -> Outcome {
    let failures: Vec<String> = all()?
        .into_values()
        .flat_map(|asked| asked.denied)
        .collect();
    Ok(none_failed(&failures)?)
}

#[test]
fn no_right_of_a_controller_stayed_unused() -> Outcome {
    let mut failures = Vec::new();
    for (controller, asked) in all()? {
        for right in granted(controller)? {
            let (group, resource, verb) = &right;
            let is_silent = SILENT.iter().any(|(whose, of, what, how, _why)| {
                whose.is_none_or(|whose| whose == controller)
                    && (*of, *what, *how) == (group.as_str(), resource.as_str(), verb.as_str())
            });
            match (asked.used.contains_key(&right), is_silent) {
                (true, true) => failures.push(format!("{controller}: {right:?} is used after all")),
                (false, false) => failures.push(format!("{controller}: {right:?} was not used")),
                _ => {}
            }
        }
    }
    Ok(none_failed(&failures)?)
}

#[test]
fn secrets_were_listed_as_metadata_only() -> Outcome {
    let mut failures = Vec::new();
    for (controller, asked) in all()? {
        if asked.metadata_lists == 0 {
            failures.push(format!("{controller}: no list of Secrets at all"));
        }
        failures.extend(asked.whole_secrets);
    }
    Ok(none_failed(&failures)?)
}
