//! `spec.snapshotPolicies` of a DittoServer: the snapshot policies of shares to which no DittoFSShare gives one.
//! What to do about them is decided here. Pure.
//!
//! An entry of the server's key-value store lists the shares whose policy was set for a DittoServer. It is
//! written before the policy, so that what leaves the spec is taken back, and what people set is not.

use std::collections::{BTreeMap, BTreeSet};

use adapter_client::PolicyRules;
use api_types::v1alpha1::SnapshotPolicy;
use serde::{Deserialize, Serialize};

use crate::declared::{Unusable, rules_of};
use crate::drift::{self, PolicyChange};
use crate::marker::Marker;
use crate::world::{World, bare};

/// Key of the entry.
pub const KEY: &str = "operator.snapshot-policies";

/// The shares whose policy was set for the DittoServer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Their names, without the leading slash.
    #[serde(default)]
    pub shares: BTreeSet<String>,
}

impl Record {
    /// What the entry says; `None` when it cannot be read, and then nothing may be concluded from it. The server
    /// answers for an absent key with an empty value.
    pub fn read(value: &str) -> Option<Self> {
        if value.is_empty() {
            return Some(Record::default());
        }
        serde_json::from_str(value).ok()
    }

    /// The value to store.
    pub fn write(&self) -> String {
        // A list of strings.
        serde_json::to_string(self).expect("a record serializes")
    }
}

/// A request about the policies of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Writes the entry.
    Record(Record),
    /// Sets the policy of a share.
    Put(String, PolicyRules),
    /// Removes the policy of a share.
    Remove(String),
}

impl Step {
    /// The share that it is about.
    pub fn share(&self) -> Option<&str> {
        match self {
            Step::Record(_) => None,
            Step::Put(share, _) | Step::Remove(share) => Some(share),
        }
    }
}

/// Why a policy is not set, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The share.
    pub share: String,
    /// What is, and what to do.
    pub note: String,
}

/// What is to be done about the policies of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The requests that are left to send, in their order. After each of them it is decided anew.
    pub steps: Vec<Step>,
    /// Policies that cannot be set.
    pub refused: Vec<Refused>,
}

/// What is to be done so that the shares of a server with `world` have the policies `declared`; `of_shares` are the
/// shares to which a DittoFSShare gives one. Of several entries for one share the last counts.
pub fn plan(declared: &[SnapshotPolicy], of_shares: &BTreeSet<String>, world: &World) -> Plan {
    let mut plan = Plan::default();
    let Some(before) = Record::read(&world.policy_record) else {
        return plan;
    };
    let is_of_a_share = |share: &str| {
        of_shares.contains(share)
            || serde_json::from_str::<Marker>(world.marker(share)).is_ok_and(|marker| marker.policy)
    };
    let mut wanted: BTreeMap<String, PolicyRules> = BTreeMap::new();
    for policy in declared {
        let share = bare(&policy.share);
        let refuse = |note: String| Refused {
            share: share.to_owned(),
            note,
        };
        if is_of_a_share(share) {
            continue;
        }
        if !world.shares.contains_key(share) {
            plan.refused.push(refuse(format!(
                "spec.snapshotPolicies names the share {share}, which the server does not have: the policy is set once it is made."
            )));
            continue;
        }
        match rules(policy) {
            Ok(rules) => {
                wanted.insert(share.to_owned(), rules);
            }
            Err(unusable) => plan.refused.push(refuse(format!(
                "The entry of spec.snapshotPolicies for the share {share} is not used: {unusable}. Correct it."
            ))),
        }
    }
    // What an entry that cannot be used at the moment is for stays as it is.
    let named = |share: &String| declared.iter().any(|policy| bare(&policy.share) == share);
    let kept = before
        .shares
        .iter()
        .filter(|share| named(share) && world.shares.contains_key(*share) && !is_of_a_share(share));
    let next = Record {
        shares: wanted.keys().chain(kept).cloned().collect(),
    };
    let both = Record {
        shares: &before.shares | &next.shares,
    };
    if both != before {
        plan.steps.push(Step::Record(both));
    }
    for (share, rules) in wanted {
        if let PolicyChange::Put(rules) =
            drift::policy(Some(&rules), true, world.policies.get(&share))
        {
            plan.steps.push(Step::Put(share, rules));
        }
    }
    for share in before.shares.difference(&next.shares) {
        if world.policies.contains_key(share) && !is_of_a_share(share) {
            plan.steps.push(Step::Remove(share.clone()));
        }
    }
    if plan.steps.is_empty() && before != next {
        plan.steps.push(Step::Record(next));
    }
    plan
}

fn rules(policy: &SnapshotPolicy) -> Result<PolicyRules, Unusable> {
    let SnapshotPolicy {
        share: _,
        interval,
        keep_last,
        ttl,
        name_prefix,
        enabled,
    } = policy;
    let rules = rules_of(
        "interval",
        interval,
        ttl.as_ref().map(|ttl| ("ttl", &*ttl.0)),
    )?;
    Ok(PolicyRules {
        // The schema lets no negative number through.
        keep_last: keep_last.map_or(0, |keep| u32::try_from(keep).unwrap_or(0)),
        enabled: enabled.unwrap_or(true),
        name_prefix: name_prefix.clone().unwrap_or_default(),
        ..rules
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::drift::fresh;

    fn policies(list: Value) -> Vec<SnapshotPolicy> {
        serde_json::from_value(list).unwrap()
    }

    fn world(shares: &[&str]) -> World {
        let mut world = World::default();
        for share in shares {
            world.shares.insert((*share).to_owned(), fresh::share());
        }
        world
    }

    /// Carries out what is planned until nothing is left, at most `most` requests.
    fn run(
        declared: &[SnapshotPolicy],
        of_shares: &BTreeSet<String>,
        world: &mut World,
        most: usize,
    ) -> Vec<Step> {
        let mut done = Vec::new();
        while done.len() < most {
            let plan = plan(declared, of_shares, world);
            let Some(step) = plan.steps.into_iter().next() else {
                break;
            };
            match &step {
                Step::Record(record) => world.policy_record = record.write(),
                Step::Put(share, rules) => {
                    let time = "2026-11-21T16:58:39Z";
                    let mut made = json!({"share": format!("/{share}"), "enabled": rules.enabled,
                        "interval": rules.interval.to_string(), "keep_last": rules.keep_last,
                        "name_prefix": rules.name_prefix, "created_at": time, "updated_at": time});
                    if let Some(ttl) = rules.ttl {
                        made["ttl"] = ttl.to_string().into();
                    }
                    let made = serde_json::from_value(made).unwrap();
                    world.policies.insert(share.clone(), made);
                }
                Step::Remove(share) => {
                    world.policies.remove(share);
                }
            }
            done.push(step);
            assert!(done.len() < 50, "it never ends: {done:?}");
        }
        done
    }

    const ALL: usize = usize::MAX;

    #[test]
    fn policies_are_set_noted_and_taken_back_and_those_of_people_stay() {
        let mut world = world(&["a", "b", "c"]);
        let none = BTreeSet::new();
        let declared = policies(json!([
            {"share": "/a", "interval": "@daily", "keepLast": 3, "namePrefix": "x", "ttl": "48h"},
            {"share": "b", "interval": "1h", "enabled": false}]));
        let by_hand = policies(json!([{"share": "c", "interval": "2h"}]));
        run(&by_hand, &none, &mut world, ALL);
        world.policy_record.clear();

        let steps = run(&declared, &none, &mut world, ALL);
        assert!(matches!(steps[0], Step::Record(_)), "the note first");
        assert_eq!(steps.len(), 3, "{steps:?}");
        assert_eq!(world.policies["a"].interval.to_string(), "86400s");
        assert!(!world.policies["b"].enabled);
        assert!(run(&declared, &none, &mut world, ALL).is_empty());
        // Somebody changes one.
        world.policies.remove("a");
        let steps = run(&declared, &none, &mut world, ALL);
        assert!(matches!(&steps[..], [Step::Put(share, _)] if share == "a"));

        run(&policies(json!([])), &none, &mut world, ALL);
        let left: Vec<&String> = world.policies.keys().collect();
        assert_eq!(left, ["c"]);
        assert_eq!(Record::read(&world.policy_record), Some(Record::default()));
    }

    #[test]
    fn a_crash_after_any_request_ends_in_the_same_state() {
        let none = BTreeSet::new();
        let one =
            policies(json!([{"share": "a", "interval": "1h"}, {"share": "b", "interval": "1h"}]));
        let other =
            policies(json!([{"share": "b", "interval": "2h"}, {"share": "c", "interval": "1h"}]));
        let mut start = world(&["a", "b", "c"]);
        run(&one, &none, &mut start, ALL);
        let mut expected = start.clone();
        let steps = run(&other, &none, &mut expected, ALL);
        assert!(steps.len() > 3, "{steps:?}");
        for after in 0..=steps.len() {
            let mut world = start.clone();
            run(&other, &none, &mut world, after);
            run(&other, &none, &mut world, ALL);
            assert_eq!(world, expected, "after {after}");
        }
    }

    #[test]
    fn the_policy_of_a_dittofsshare_goes_before_that_of_the_server() {
        let declared = policies(json!([{"share": "a", "interval": "1h"}]));
        let own = BTreeSet::from(["a".to_owned()]);
        let mut world = world(&["a"]);
        assert!(run(&declared, &own, &mut world, ALL).is_empty());
        // Of one that is not followed at the moment the marker tells.
        let marker = Marker {
            policy: true,
            ..Marker::default()
        };
        world.markers.insert("a".to_owned(), marker.write());
        assert!(run(&declared, &BTreeSet::new(), &mut world, ALL).is_empty());
        world.markers.clear();
        run(&declared, &BTreeSet::new(), &mut world, ALL);
        assert!(world.policies.contains_key("a"));
        // It gets one later: that is not taken away.
        let steps = run(&declared, &own, &mut world, ALL);
        assert!(matches!(&steps[..], [Step::Record(record)] if record.shares.is_empty()));
        assert!(world.policies.contains_key("a"));
    }

    #[test]
    fn of_what_cannot_be_set_is_told() {
        let declared = policies(json!([
            {"share": "gone", "interval": "1h"}, {"share": "a", "interval": "99999999999h"}]));
        let world = world(&["a"]);
        let plan = plan(&declared, &BTreeSet::new(), &world);
        assert!(plan.steps.is_empty(), "{plan:?}");
        let told: Vec<&str> = plan
            .refused
            .iter()
            .map(|told| told.share.as_str())
            .collect();
        assert_eq!(told, ["gone", "a"]);
    }

    #[test]
    fn a_note_that_cannot_be_read_leads_to_nothing() {
        let mut world = world(&["a"]);
        world.policy_record = "{".to_owned();
        let declared = policies(json!([{"share": "a", "interval": "1h"}]));
        let plan = plan(&declared, &BTreeSet::new(), &world);
        assert_eq!(plan, Plan::default());
    }
}
