//! How the kubelet finds out whether the server lives and serves (server contract 5.1 and 5.2).

use api_types::v1alpha1::{ControlPlane, Probes as Wish, RepeatedProbe, StartupProbe};
use k8s_openapi::api::core::v1::{HTTPGetAction, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Seconds that a start may take: the API opens last, after every journal is replayed and every
/// remote store was tried; an unreachable S3 endpoint alone takes almost three minutes.
const STARTUP_BUDGET: i32 = 1800;
/// Seconds between two looks during a start.
const STARTUP_PERIOD: i32 = 2;
/// Seconds that an answer may take.
const TIMEOUT: i32 = 5;

pub(crate) struct Probes {
    pub(crate) startup: Probe,
    pub(crate) liveness: Probe,
    pub(crate) readiness: Probe,
}

/// The three probes of a server with this control plane, tuned by `wish`.
pub(crate) fn probes(control_plane: &ControlPlane, wish: Option<&Wish>) -> Probes {
    let Wish {
        startup,
        liveness,
        readiness,
    } = wish.cloned().unwrap_or_default();
    let StartupProbe {
        budget_seconds,
        period_seconds,
    } = startup.unwrap_or_default();
    let budget = budget_seconds.unwrap_or(STARTUP_BUDGET);
    let period = period_seconds.unwrap_or(STARTUP_PERIOD).max(1);
    Probes {
        startup: Probe {
            period_seconds: Some(period),
            // Rounded up: the budget is a promise.
            failure_threshold: Some(budget / period + i32::from(budget % period != 0)),
            ..probe(control_plane, "/health")
        },
        liveness: repeated(probe(control_plane, "/health"), liveness, 10, 6),
        readiness: repeated(probe(control_plane, "/health/ready"), readiness, 5, 3),
    }
}

fn repeated(probe: Probe, wish: Option<RepeatedProbe>, period: i32, failures: i32) -> Probe {
    let RepeatedProbe {
        period_seconds,
        timeout_seconds,
        failure_threshold,
    } = wish.unwrap_or_default();
    Probe {
        period_seconds: Some(period_seconds.unwrap_or(period)),
        timeout_seconds: Some(timeout_seconds.unwrap_or(TIMEOUT)),
        failure_threshold: Some(failure_threshold.unwrap_or(failures)),
        ..probe
    }
}

fn probe(control_plane: &ControlPlane, path: &str) -> Probe {
    let port = IntOrString::Int(i32::from(control_plane.port));
    let mut probe = Probe {
        timeout_seconds: Some(TIMEOUT),
        ..Probe::default()
    };
    if control_plane.client_ca_secret_name.is_some() {
        // The kubelet has no client certificate: it can only see whether the port is open.
        probe.tcp_socket = Some(TCPSocketAction { port, host: None });
    } else {
        let tls = control_plane.cert_secret_name.is_some();
        probe.http_get = Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port,
            scheme: Some(if tls { "HTTPS" } else { "HTTP" }.to_owned()),
            ..HTTPGetAction::default()
        });
    }
    probe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_gets_at_least_its_budget() {
        let wish = |budget, period| {
            let startup = StartupProbe {
                budget_seconds: budget,
                period_seconds: period,
            };
            let wish = Wish {
                startup: Some(startup),
                ..Wish::default()
            };
            let startup = probes(&ControlPlane::default(), Some(&wish)).startup;
            (
                startup.period_seconds.unwrap(),
                startup.failure_threshold.unwrap(),
            )
        };
        assert_eq!(wish(None, None), (2, 900));
        assert_eq!(wish(Some(601), None), (2, 301));
        assert_eq!(wish(None, Some(60)), (60, 30));
    }

    #[test]
    fn what_the_wish_leaves_open_stays_as_it_is_without_one() {
        let wish = Wish {
            liveness: Some(RepeatedProbe {
                failure_threshold: Some(20),
                ..RepeatedProbe::default()
            }),
            ..Wish::default()
        };
        let plain = probes(&ControlPlane::default(), None);
        let tuned = probes(&ControlPlane::default(), Some(&wish));
        assert_eq!(tuned.liveness.failure_threshold, Some(20));
        assert_eq!(tuned.liveness.period_seconds, plain.liveness.period_seconds);
        assert_eq!(tuned.readiness, plain.readiness);
        assert_eq!(tuned.startup, plain.startup);
    }
}
