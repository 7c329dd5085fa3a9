//! How the kubelet finds out whether the server lives and serves (server contract 5.1 and 5.2).

use api_types::v1alpha1::ControlPlane;
use k8s_openapi::api::core::v1::{HTTPGetAction, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Seconds that a start may take: the API opens last, after every journal is replayed and every
/// remote store was tried; an unreachable S3 endpoint alone takes almost three minutes.
const STARTUP_BUDGET: i32 = 1800;
/// Seconds between two looks during a start.
const STARTUP_PERIOD: i32 = 2;

pub(crate) struct Probes {
    pub(crate) startup: Probe,
    pub(crate) liveness: Probe,
    pub(crate) readiness: Probe,
}

/// The three probes of a server with this control plane.
pub(crate) fn probes(control_plane: &ControlPlane) -> Probes {
    let health = |path| probe(control_plane, path);
    Probes {
        startup: Probe {
            period_seconds: Some(STARTUP_PERIOD),
            failure_threshold: Some(STARTUP_BUDGET / STARTUP_PERIOD),
            ..health("/health")
        },
        liveness: Probe {
            period_seconds: Some(10),
            failure_threshold: Some(6),
            ..health("/health")
        },
        readiness: Probe {
            period_seconds: Some(5),
            failure_threshold: Some(3),
            ..health("/health/ready")
        },
    }
}

fn probe(control_plane: &ControlPlane, path: &str) -> Probe {
    let port = IntOrString::Int(i32::from(control_plane.port));
    let mut probe = Probe {
        timeout_seconds: Some(5),
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
