//! Objects as a real API server (Kubernetes 1.36) stored them after one
//! server-side apply: what was sent and what came back
//! (`kubectl apply --server-side --field-manager=dittofs-test`, then
//! `kubectl get -o json --show-managed-fields`).

use serde_json::Value;

/// Field manager of the fixtures.
pub(super) const MANAGER: &str = "dittofs-test";

/// Name, what was applied, and the live object.
pub(super) fn all() -> Vec<(&'static str, Value, Value)> {
    macro_rules! fixtures {
        ($($name:literal),* $(,)?) => {
            vec![$(read($name, include_str!(concat!("fixtures/", $name, ".json")))),*]
        };
    }
    fixtures!(
        "configmap",
        "networkpolicy",
        "networkpolicy-deny",
        "pdb",
        "pvc",
        "secret",
        "service",
        "service-headless",
        "service-lb",
        "statefulset",
    )
}

/// One fixture by name.
pub(super) fn named(name: &str) -> (Value, Value) {
    let (_, desired, live) = all().into_iter().find(|(own, ..)| *own == name).unwrap();
    (desired, live)
}

fn read(name: &'static str, text: &str) -> (&'static str, Value, Value) {
    let mut fixture: Value = serde_json::from_str(text).unwrap();
    (name, fixture["desired"].take(), fixture["live"].take())
}
