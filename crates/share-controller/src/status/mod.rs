//! What the status of a share says. Pure.

pub mod mounts;
#[cfg(test)]
mod tests;
pub mod usage;

use std::time::Duration;

use api_types::conditions::{ConditionType, Reason, Status, Verdict, find};
use api_types::v1alpha1::DittoFSShareStatus;
use api_types::{DittoFSShare, DittoServer, annotations};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::server::{Seen, View};
use crate::wish::{Obstacle, awaited_to_status, to_status};

/// What one visit found.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The share.
    pub share: &'a DittoFSShare,
    /// Its server.
    pub server: Option<&'a DittoServer>,
    /// Why the server is not asked; or the fingerprint of what is asked of it.
    pub asked: Result<u64, &'a Obstacle>,
    /// What is known of the share on the server.
    pub view: &'a View,
    /// DNS domain of the cluster.
    pub domain: &'a str,
    /// Time since the usage was last written by this process.
    pub usage_age: Option<Duration>,
}

/// The status after a visit; `None` when it stays as it is, because the work that it would speak of is
/// under way. `now` dates the conditions whose status changed.
pub fn status(visit: Visit<'_>, now: Timestamp) -> Option<DittoFSShareStatus> {
    let Visit { share, view, .. } = visit;
    let before = share.status.clone().unwrap_or_default();
    let previous: &[Condition] = &before.conditions;
    let current = match (visit.asked, &view.seen) {
        (Ok(fingerprint), Some(seen)) => seen.fingerprint == fingerprint,
        (Ok(_), None) => false,
        (Err(_), _) => true,
    };
    let complete = ConditionType::OF_SHARE
        .into_iter()
        .all(|kind| find(previous, kind).is_some());
    if !current && view.trouble.is_none() && complete {
        return None;
    }
    let generation = share.metadata.generation.unwrap_or_default();
    // What was found for another spec says nothing of this one.
    let seen = view
        .seen
        .as_ref()
        .filter(|seen| visit.asked.is_ok() && seen.generation == generation);
    let server = server_ready(visit);
    let mut verdicts = match (visit.asked, seen) {
        (Err(gate), _) => ConditionType::OF_SHARE
            .into_iter()
            .filter(|kind| !matches!(kind, ConditionType::ServerReady | ConditionType::Ready))
            .map(|kind| Verdict::new(kind, Status::Unknown, gate.reason, "See ServerReady."))
            .collect(),
        (Ok(_), Some(seen)) => told(visit, seen),
        (Ok(_), None) => unasked(previous, generation, view.trouble.is_some()),
    };
    verdicts.push(server);
    verdicts.push(ready(&verdicts));
    verdicts.sort_by_key(|verdict| verdict.kind.as_str());
    let conditions = verdicts
        .into_iter()
        .map(|verdict| verdict.over(previous, generation, now))
        .collect();
    let mut status = DittoFSShareStatus {
        observed_generation: seen
            .map(|seen| seen.generation)
            .or(before.observed_generation),
        share_name: Some(share.share_name().to_owned()),
        conditions,
        ..before.clone()
    };
    if let Some(seen) = seen {
        remember(&mut status, visit, seen);
    }
    Some(status)
}

/// What the last work on the share found, beside the conditions.
fn remember(status: &mut DittoFSShareStatus, visit: Visit<'_>, seen: &Seen) {
    let quota = visit
        .share
        .spec
        .quota
        .as_ref()
        .and_then(|quota| quota.bytes());
    // What was known of a share that is not there stays: it tells whose files were on which volumes.
    if let Some(id) = &seen.id {
        status.share_id = Some(id.clone());
    }
    if let Some(used) = &seen.used {
        status.stores = Some(used.clone());
    }
    if let Some(claims) = &seen.claims {
        status.claims = (!claims.is_empty()).then(|| claims.clone());
    }
    status.usage = usage::shown(
        status.usage.as_ref(),
        seen.usage.as_ref(),
        quota,
        visit.usage_age,
    );
    status.pushed = to_status(&seen.pushed);
    status.awaiting_restart = awaited_to_status(seen.awaited);
    let served = seen.exported.is_none() && seen.id.is_some();
    status.mounts = visit
        .server
        .filter(|_| served)
        .map(|server| mounts::mounts(server, visit.share.share_name(), visit.domain))
        .filter(|mounts| !mounts.is_empty());
}

fn server_ready(visit: Visit<'_>) -> Verdict {
    let verdict = |status, reason, message: &str| {
        Verdict::new(ConditionType::ServerReady, status, reason, message)
    };
    match (visit.asked, &visit.view.trouble, &visit.view.seen) {
        (Err(gate), _, _) => verdict(
            Status::False,
            gate.reason,
            &format!("{}{}", gate.message, give_up(visit.share)),
        ),
        (Ok(_), Some(trouble), _) => verdict(
            Status::False,
            trouble.reason,
            &format!("{}{}", trouble.message, give_up(visit.share)),
        ),
        (Ok(_), None, Some(_)) => verdict(
            Status::True,
            Reason::ServerAnswers,
            "The server can be asked and the share-controller's account works.",
        ),
        (Ok(_), None, None) => verdict(
            Status::Unknown,
            Reason::NotPolledYet,
            "The server is about to be asked for the first time.",
        ),
    }
}

/// How to end the wait of a deletion.
fn give_up(share: &DittoFSShare) -> String {
    if share.metadata.deletion_timestamp.is_none() {
        return String::new();
    }
    format!(
        " The deletion waits for it. To leave the share in the server and end the wait, set the annotation {}: \"true\".",
        annotations::ABANDON
    )
}

fn told(visit: Visit<'_>, seen: &Seen) -> Vec<Verdict> {
    let verdict = |kind, obstacle: &Option<Obstacle>, good: Reason, message: &str| match obstacle {
        Some(obstacle) => Verdict::new(
            kind,
            Status::False,
            obstacle.reason,
            obstacle.message.as_str(),
        ),
        None => Verdict::new(kind, Status::True, good, message),
    };
    let paused = Obstacle::new(
        Reason::Paused,
        "The server differs from the spec, and writes are stopped by the annotation dittofs.io/paused: remove it.",
    );
    let mut exported = seen.exported.clone();
    let mut access = seen.access.clone();
    if seen.held_back && seen.id.is_none() {
        exported.get_or_insert(paused.clone());
    }
    if seen.held_back {
        access.get_or_insert(paused);
    }
    if visit.share.metadata.deletion_timestamp.is_some() {
        exported.get_or_insert(Obstacle::new(
            Reason::RemovingShare,
            "The share is being removed from the server.",
        ));
    }
    if exported.is_none() && seen.id.is_none() {
        exported = Some(Obstacle::new(
            Reason::ShareNotLoaded,
            "The server does not have the share.",
        ));
    }
    if seen.id.is_none() {
        access.get_or_insert(Obstacle::new(
            Reason::WaitingForStores,
            "There is no share to set anything on: see Exported.",
        ));
    }
    let nfs = visit.share.spec.access.nfs.as_ref();
    let by_address = nfs.is_some_and(|nfs| nfs.clients.is_some() || nfs.netgroup.is_some());
    let (good, message) = if by_address {
        (
            Reason::NFSv3Only,
            "Everything is in force. The addresses in access.nfs hold back NFSv3 clients when they mount; NFSv4 and SMB clients are not held back by them: use a NetworkPolicy.",
        )
    } else {
        (
            Reason::AccessInForce,
            "Permissions, accounts, options and limits are as declared.",
        )
    };
    vec![
        verdict(
            ConditionType::StoresReady,
            &seen.stores,
            Reason::StoresInPlace,
            "The stores are as declared.",
        ),
        verdict(
            ConditionType::Exported,
            &exported,
            Reason::Served,
            "The server serves the share: status.mounts has the commands.",
        ),
        verdict(ConditionType::AccessApplied, &access, good, message),
    ]
}

/// Before the share was looked at for the first time by this process, or with this spec: while the server
/// cannot be asked, what was said of this spec before stands.
fn unasked(previous: &[Condition], generation: i64, troubled: bool) -> Vec<Verdict> {
    [
        ConditionType::StoresReady,
        ConditionType::Exported,
        ConditionType::AccessApplied,
    ]
    .into_iter()
    .map(|kind| {
        let before = find(previous, kind)
            .filter(|before| troubled && before.observed_generation == Some(generation));
        match before {
            Some(before) => kept(kind, before),
            None if troubled => Verdict::new(
                kind,
                Status::Unknown,
                Reason::ViewOutdated,
                "The server cannot be asked: see ServerReady.",
            ),
            None => Verdict::new(
                kind,
                Status::Unknown,
                Reason::NotPolledYet,
                "The server is about to be asked for the first time.",
            ),
        }
    })
    .collect()
}

/// A condition as it was.
fn kept(kind: ConditionType, before: &Condition) -> Verdict {
    let status = match before.status.as_str() {
        "True" => Status::True,
        "False" => Status::False,
        _ => Status::Unknown,
    };
    let reason = Reason::ALL
        .iter()
        .find(|reason| reason.as_str() == before.reason);
    let reason = *reason.unwrap_or(&Reason::NotPolledYet);
    Verdict::new(kind, status, reason, before.message.as_str())
}

/// All of it together: the first that does not hold says why.
fn ready(verdicts: &[Verdict]) -> Verdict {
    let order = [
        ConditionType::ServerReady,
        ConditionType::StoresReady,
        ConditionType::Exported,
        ConditionType::AccessApplied,
    ];
    let worst = order
        .into_iter()
        .filter_map(|kind| verdicts.iter().find(|verdict| verdict.kind == kind))
        .find(|verdict| verdict.status != Status::True);
    match worst {
        None => Verdict::new(
            ConditionType::Ready,
            Status::True,
            Reason::AllReady,
            "The share is served as declared.",
        ),
        Some(verdict) => Verdict::new(
            ConditionType::Ready,
            verdict.status,
            verdict.reason,
            format!("See {}.", verdict.kind.as_str()),
        ),
    }
}
