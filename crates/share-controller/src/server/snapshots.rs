//! The work of a server's task on the snapshot policies that the DittoServer declares ([`crate::policies`]).

use std::collections::BTreeSet;

use adapter_client::{Client, Error};
use api_types::DittoServer;
use controller_runtime::rest::{Trouble, trouble};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::events::EventType;

use super::Target;
use super::worker::{Worker, is_of_the_server};
use crate::policies::{self, Record, Step, plan};

/// Reason of the event about a policy that is not set.
const NOT_SET: &str = "SnapshotPolicyNotSet";

/// Most policies of which an event tells at the same time.
const MOST_EVENTS: usize = 16;

impl Worker {
    /// Whether a server has no shares, declares no policies and needs none taken back.
    pub(super) fn is_idle(&self, target: &Target) -> bool {
        let no_shares = self.shared.state().shares.is_empty();
        let record = Record::read(&self.world().policy_record);
        let is_known = self.has_listed();
        no_shares
            && is_known
            && target.spec.snapshot_policies.is_empty()
            && record.is_none_or(|record| record.shares.is_empty())
    }

    /// Has the shares to which no DittoFSShare gives a policy have those of the DittoServer.
    pub(super) async fn keep_policies(
        &self,
        client: &Client,
        target: &Target,
    ) -> Result<(), Trouble> {
        if target.paused {
            return Ok(());
        }
        let of_shares: BTreeSet<String> = {
            let state = self.shared.state();
            let wishes = state.shares.values().map(|followed| &followed.wish);
            let with_policy = wishes.filter(|wish| wish.declared.policy.is_some());
            with_policy
                .map(|wish| wish.declared.share.clone())
                .collect()
        };
        let declared = &target.spec.snapshot_policies;
        let mut notes: Vec<(String, String)> = Vec::new();
        let mut refused: BTreeSet<String> = BTreeSet::new();
        // Each share needs two requests at most, and the record two.
        let most = 2 * (declared.len() + self.world().shares.len()) + 3;
        for _ in 0..most {
            let plan = plan(declared, &of_shares, &self.world());
            let mut steps = plan.steps.into_iter();
            let next = steps.find(|step| step.share().is_none_or(|share| !refused.contains(share)));
            let Some(step) = next else {
                let told = plan.refused.into_iter();
                notes.extend(told.map(|refused| (refused.share, refused.note)));
                break;
            };
            let share = step.share().map(str::to_owned);
            match self.set(client, step).await {
                Ok(()) => {}
                Err(error) if is_of_the_server(&error) => return Err(trouble::of(&error)),
                Err(error) => {
                    let Some(share) = share else {
                        // Without the record nothing is set: it is tried again with the next comparison.
                        tracing::warn!(%error, "the record of snapshot policies is refused");
                        break;
                    };
                    let note = format!(
                        "The server refuses what spec.snapshotPolicies says of the share {share}: {error}. It is tried again with each comparison."
                    );
                    refused.insert(share.clone());
                    notes.push((share, note));
                }
            }
        }
        self.tell(target, notes).await;
        Ok(())
    }

    async fn set(&self, client: &Client, step: Step) -> Result<(), Error> {
        match step {
            Step::Record(record) => {
                let value = record.write();
                client.settings().put(policies::KEY, &value).await?;
                self.world().policy_record = value;
            }
            Step::Put(share, rules) => {
                let policy = client.snapshot_policies().put(&share, &rules).await?;
                self.world().policies.insert(share, policy);
            }
            Step::Remove(share) => {
                match client.snapshot_policies().delete(&share).await {
                    Err(error) if !error.is_not_found() => return Err(error),
                    _ => {}
                }
                self.world().policies.remove(&share);
            }
        }
        Ok(())
    }

    /// An event about each policy that is not set, once; the API server keeps one for each reason and action, so the
    /// share is the action.
    async fn tell(&self, target: &Target, notes: Vec<(String, String)>) {
        let about = ObjectReference {
            api_version: Some(DittoServer::api_version(&()).into_owned()),
            kind: Some(DittoServer::kind(&()).into_owned()),
            namespace: Some(target.namespace.clone()),
            name: Some(target.name.clone()),
            uid: Some(target.uid.clone()),
            ..ObjectReference::default()
        };
        let troubled: BTreeSet<&String> = notes.iter().map(|(share, _)| share).collect();
        for policy in &target.spec.snapshot_policies {
            let share = crate::world::bare(&policy.share).to_owned();
            if !troubled.contains(&share) {
                // The next trouble with it is news again.
                self.events.settle(&about, &key(&share), "");
            }
        }
        for (share, note) in notes.iter().take(MOST_EVENTS) {
            let action: String = share.chars().take(128).collect();
            self.events
                .transition(
                    &about,
                    &key(share),
                    EventType::Warning,
                    NOT_SET,
                    &action,
                    note,
                )
                .await;
        }
    }
}

fn key(share: &str) -> String {
    format!("snapshot policy {share}")
}
