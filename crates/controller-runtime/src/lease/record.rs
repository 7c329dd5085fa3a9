//! What a Lease says.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};

use super::LeaseConfig;

/// The holder named, if any.
pub(super) fn holder(lease: &Lease) -> Option<&str> {
    let spec = lease.spec.as_ref()?;
    spec.holder_identity
        .as_deref()
        .filter(|holder| !holder.is_empty())
}

/// The duration that the holder promised to renew within.
pub(super) fn promised(lease: &Lease) -> Option<Duration> {
    let seconds = lease.spec.as_ref()?.lease_duration_seconds?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// A first Lease with this holder.
pub(super) fn new(config: &LeaseConfig) -> Lease {
    Lease {
        metadata: ObjectMeta {
            name: Some(config.name.clone()),
            namespace: Some(config.namespace.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            acquire_time: Some(now()),
            lease_transitions: Some(0),
            ..held(config)
        }),
    }
}

/// The Lease, renewed or taken over by this holder.
pub(super) fn taken(lease: &Lease, config: &LeaseConfig) -> Lease {
    let before = lease.spec.clone().unwrap_or_default();
    let mut next = lease.clone();
    next.spec = Some(if holder(lease) == Some(config.identity.as_str()) {
        LeaseSpec {
            acquire_time: before.acquire_time,
            lease_transitions: before.lease_transitions,
            ..held(config)
        }
    } else {
        LeaseSpec {
            acquire_time: Some(now()),
            lease_transitions: Some(
                before
                    .lease_transitions
                    .unwrap_or_default()
                    .saturating_add(1),
            ),
            ..held(config)
        }
    });
    next
}

/// The Lease without a holder.
pub(super) fn released(lease: &Lease) -> Lease {
    let mut next = lease.clone();
    let before = lease.spec.clone().unwrap_or_default();
    next.spec = Some(LeaseSpec {
        holder_identity: None,
        lease_duration_seconds: Some(1),
        renew_time: Some(now()),
        ..before
    });
    next
}

fn held(config: &LeaseConfig) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(config.identity.clone()),
        lease_duration_seconds: i32::try_from(config.duration.as_secs().max(1)).ok(),
        renew_time: Some(now()),
        ..LeaseSpec::default()
    }
}

/// Wall-clock time, shown to people only; nothing is decided by it.
fn now() -> MicroTime {
    MicroTime(Timestamp::now())
}
