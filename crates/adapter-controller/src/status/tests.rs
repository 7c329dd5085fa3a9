use api_types::conditions::Reason;
use serde_json::json;

use super::*;
use crate::poll::memory_tests::{answer, nfs, silence};
use crate::poll::{Found, Look, Seen, Serving};
use crate::testing::{looked_at, pause, planned, service};

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

/// The status after a visit that had nothing to write.
fn told(world: &Observed) -> Option<DittoServerStatus> {
    told_after(world, Vec::new())
}

/// The status after a visit with these failures.
fn told_after(world: &Observed, failures: Vec<ApplyError>) -> Option<DittoServerStatus> {
    let plan = planned(world);
    let applied = Applied {
        live: world.live.clone(),
        failures,
    };
    let visit = Visit {
        observed: world,
        plan: &plan,
        applied: &applied,
    };
    status(visit, now())
}

fn said(status: &DittoServerStatus, kind: ConditionType) -> (String, String) {
    let condition = find(&status.conditions, kind).unwrap();
    (condition.status.clone(), condition.reason.clone())
}

fn ready(looks: impl IntoIterator<Item = Look>) -> (String, String) {
    let status = told(&looked_at(json!({}), looks)).unwrap();
    said(&status, ConditionType::AdaptersReady)
}

fn verdict(status: &str, reason: Reason) -> (String, String) {
    (status.to_owned(), reason.as_str().to_owned())
}

fn serving(serving: Serving) -> Look {
    answer(vec![Seen {
        serving,
        ..nfs(true)
    }])
}

#[test]
fn each_state_of_the_adapters_has_its_reason() {
    let failed = Serving::Failed("not started".to_owned());
    let refused = Ok(Found {
        adapters: vec![nfs(true)],
        not_applied: vec!["The server did not take it.".to_owned()],
        pushed: Vec::new(),
    });
    let no_port = answer(vec![Seen {
        port: None,
        ..nfs(true)
    }]);
    let cases = [
        (
            vec![answer(vec![nfs(true)])],
            "True",
            Reason::AdaptersHealthy,
        ),
        (
            vec![answer(vec![nfs(false)])],
            "True",
            Reason::NoAdapterEnabled,
        ),
        (vec![answer(Vec::new())], "True", Reason::NoAdapterEnabled),
        (
            vec![serving(Serving::Starting)],
            "False",
            Reason::AdapterStarting,
        ),
        (vec![serving(failed)], "False", Reason::AdapterUnhealthy),
        (vec![no_port], "False", Reason::AdapterUnhealthy),
        (vec![refused], "False", Reason::SettingsNotApplied),
        (vec![silence()], "Unknown", Reason::ViewOutdated),
        (
            vec![answer(vec![nfs(true)]), silence()],
            "Unknown",
            Reason::ViewOutdated,
        ),
        (Vec::new(), "Unknown", Reason::NotPolledYet),
    ];
    for (looks, status, reason) in cases {
        let case = format!("{looks:?}");
        assert_eq!(ready(looks), verdict(status, reason), "{case}");
    }
}

#[test]
fn a_look_that_failed_keeps_what_the_status_says_of_the_adapters() {
    let mut world = looked_at(json!({}), [answer(vec![nfs(true)]), silence()]);
    let spec = json!({"type": "ClusterIP", "clusterIPs": ["10.0.0.7"],
        "ports": [{"name": "nfs", "port": 2049, "protocol": "TCP", "targetPort": 12049}]});
    service(&mut world, AdapterKind::Nfs, spec);
    let status = told(&world).unwrap();
    let adapters = status.adapters.as_deref().unwrap();
    let [nfs] = adapters else {
        panic!("{adapters:?}");
    };
    assert!(nfs.enabled && nfs.healthy);
    assert_eq!(nfs.service.as_ref().unwrap().port, 2049);
    assert_eq!(nfs.addresses.as_deref().unwrap()[0].value, "10.0.0.7");
    let authenticated = said(&status, ConditionType::Authenticated);
    assert_eq!(authenticated, verdict("False", Reason::Unreachable));

    // A process that starts anew has only the status.
    let mut server = world.server.as_ref().clone();
    let conditions = server.status.take().unwrap().conditions;
    server.status = Some(DittoServerStatus {
        conditions,
        ..status.clone()
    });
    let mut anew = looked_at(json!({}), [silence()]);
    anew.server = std::sync::Arc::new(server);
    anew.live = world.live.clone();
    assert_eq!(told(&anew).unwrap().adapters, status.adapters);
}

#[test]
fn a_server_that_does_not_serve_is_not_judged() {
    let mut world = looked_at(json!({}), []);
    let mut server = world.server.as_ref().clone();
    server.status = None;
    world.server = std::sync::Arc::new(server);
    let status = told(&world).unwrap();
    for kind in ConditionType::OF_ADAPTER_CONTROLLER {
        let expected = verdict("Unknown", Reason::ServerNotAvailable);
        assert_eq!(said(&status, kind), expected);
    }
}

#[test]
fn a_new_spec_is_spoken_of_only_after_a_look_at_it() {
    let mut world = looked_at(json!({}), [answer(vec![nfs(true)])]);
    let first = told(&world).unwrap();
    let mut server = world.server.as_ref().clone();
    server.metadata.generation = Some(2);
    let status = server.status.get_or_insert_default();
    status.conditions.extend(first.conditions);
    world.server = std::sync::Arc::new(server);
    assert_eq!(told(&world), None);
    world.memory.take_due(answer(vec![nfs(true)]), 2);
    let second = told(&world).unwrap();
    let ready = find(&second.conditions, ConditionType::AdaptersReady).unwrap();
    assert_eq!(ready.observed_generation, Some(2));
}

#[test]
fn a_late_address_is_reported_once_its_deadline_has_passed() {
    let spec = json!({"adapterServices": {"type": "LoadBalancer", "addressDeadlineSeconds": 60}});
    let mut world = looked_at(spec, [answer(vec![nfs(true)])]);
    let live = json!({"type": "LoadBalancer",
        "ports": [{"name": "nfs", "port": 2049, "protocol": "TCP", "targetPort": 12049}]});
    service(&mut world, AdapterKind::Nfs, live);
    let first = told(&world).unwrap();
    let pending = said(&first, ConditionType::AddressesReady);
    assert_eq!(pending, verdict("False", Reason::AddressPending));
    let wait = addresses::wake(&world, &world.live, Some(&first), now());
    assert_eq!(wait, Some(std::time::Duration::from_secs(60)));

    let mut server = world.server.as_ref().clone();
    let status = server.status.get_or_insert_default();
    status.conditions.extend(first.conditions);
    for condition in &mut status.conditions {
        condition.last_transition_time.0 = "2026-01-01T00:00:00Z".parse().unwrap();
    }
    world.server = std::sync::Arc::new(server);
    assert_eq!(addresses::overdue(&world, now()), [AdapterKind::Nfs]);
    let said_by_provider = "no address is left".to_owned();
    world.complaints.insert(AdapterKind::Nfs, said_by_provider);
    let late = told(&world).unwrap();
    let pending = said(&late, ConditionType::AddressesReady);
    assert_eq!(pending, verdict("False", Reason::ExternalIPPending));
    let condition = find(&late.conditions, ConditionType::AddressesReady).unwrap();
    assert!(condition.message.contains("no address is left"));
}

#[test]
fn an_adapter_on_a_port_of_the_server_itself_is_named_with_the_field() {
    let metrics = json!({"metrics": {"enabled": true, "port": 12049}});
    for (spec, field) in [
        (
            json!({"controlPlane": {"port": 12049}}),
            "controlPlane.port",
        ),
        (metrics, "metrics.port"),
    ] {
        let status = told(&looked_at(spec, [answer(vec![nfs(true)])])).unwrap();
        let ready = find(&status.conditions, ConditionType::AdaptersReady).unwrap();
        assert_eq!(ready.reason, Reason::AdapterUnhealthy.as_str());
        assert!(ready.message.contains(field), "{}", ready.message);
        assert!(ready.message.contains("might not start again"));
    }
}

#[test]
fn a_paused_server_is_not_ready_while_something_is_to_be_done() {
    let ready = |world: &Observed| {
        let status = told(world).unwrap();
        let ready = find(&status.conditions, ConditionType::AdaptersReady).unwrap();
        (ready.reason.clone(), ready.message.clone())
    };
    let spec = json!({"networkPolicy": {"enabled": false}});
    let mut world = looked_at(spec.clone(), [answer(vec![nfs(true)])]);
    world.isolated = false;
    pause(&mut world);
    let (reason, message) = ready(&world);
    assert_eq!(reason, Reason::Paused.as_str());
    assert!(message.contains("Service files-adapter-nfs"), "{message}");

    let live = json!({"type": "ClusterIP",
        "ports": [{"name": "nfs", "port": 2049, "protocol": "TCP", "targetPort": 12049}]});
    service(&mut world, AdapterKind::Nfs, live);
    assert_eq!(ready(&world).0, Reason::AdaptersHealthy.as_str());

    let differs = Ok(Found {
        adapters: vec![nfs(true)],
        not_applied: vec!["adapters.nfs (enabled and port) differs.".to_owned()],
        pushed: Vec::new(),
    });
    world.memory.take_due(differs, 1);
    let (reason, message) = ready(&world);
    assert_eq!(reason, Reason::Paused.as_str());
    assert!(message.contains("adapters.nfs"), "{message}");
}

#[test]
fn a_refused_child_is_told_with_the_words_of_the_api_server() {
    let status = kube::core::Status::failure("exceeded quota: services", "Forbidden");
    let failure = ApplyError::Api {
        kind: "Service".to_owned(),
        name: "files-adapter-nfs".to_owned(),
        source: kube::Error::Api(status.with_code(403).boxed()),
    };
    let world = looked_at(json!({}), [answer(vec![nfs(true)])]);
    let status = told_after(&world, vec![failure]).unwrap();
    let ready = find(&status.conditions, ConditionType::AdaptersReady).unwrap();
    assert_eq!(ready.reason, Reason::ChildRefused.as_str());
    assert!(
        ready.message.contains("exceeded quota"),
        "{}",
        ready.message
    );
}

fn balancer(port: i32) -> serde_json::Value {
    json!({"type": "LoadBalancer",
        "ports": [{"name": "nfs", "port": port, "protocol": "TCP", "targetPort": 12049}]})
}

/// `world` whose status says since half an hour that an address is missing.
fn long_pending(world: &mut Observed, message: &str) {
    let mut server = world.server.as_ref().clone();
    let condition = json!({"type": "AddressesReady", "status": "False",
        "reason": "ExternalIPPending", "message": message,
        "lastTransitionTime": "2026-01-01T00:30:00Z"});
    let status = server.status.get_or_insert_default();
    status
        .conditions
        .push(serde_json::from_value(condition).unwrap());
    world.server = std::sync::Arc::new(server);
}

#[test]
fn a_load_balancer_that_is_asked_for_and_not_there_is_waited_for() {
    let spec = json!({"adapterServices": {"type": "LoadBalancer"}});
    let world = looked_at(spec, [answer(vec![nfs(true)])]);
    let pending = said(&told(&world).unwrap(), ConditionType::AddressesReady);
    assert_eq!(pending, verdict("False", Reason::AddressPending));
    let world = looked_at(json!({}), [answer(vec![nfs(true)])]);
    let none = said(&told(&world).unwrap(), ConditionType::AddressesReady);
    assert_eq!(none, verdict("True", Reason::NoLoadBalancer));
}

#[test]
fn each_load_balancer_has_its_own_deadline() {
    let mut world = looked_at(json!({}), [answer(vec![nfs(true)])]);
    service(&mut world, AdapterKind::Nfs, balancer(2049));
    service(&mut world, AdapterKind::Smb, balancer(445));
    long_pending(&mut world, "");
    for (kind, made) in [
        (AdapterKind::Smb, "2026-01-01T00:29:00Z"),
        (AdapterKind::Nfs, "2026-01-01T00:59:00Z"),
    ] {
        let live = world.live.get_mut(&kind).unwrap();
        let service = std::sync::Arc::make_mut(live.service.as_mut().unwrap());
        let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(made.parse().unwrap());
        service.metadata.creation_timestamp = Some(time);
    }
    assert_eq!(addresses::overdue(&world, now()), [AdapterKind::Smb]);
    let status = told(&world).unwrap();
    let pending = find(&status.conditions, ConditionType::AddressesReady).unwrap();
    assert_eq!(pending.reason, Reason::ExternalIPPending.as_str());
    assert!(
        pending.message.contains("adapter-smb"),
        "{}",
        pending.message
    );
    assert!(
        !pending.message.contains("adapter-nfs"),
        "{}",
        pending.message
    );
    let wait = addresses::wake(&world, &world.live, Some(&status), now());
    assert_eq!(wait, Some(std::time::Duration::from_secs(240)));
}

#[test]
fn a_quote_stays_while_events_cannot_be_read() {
    let mut world = looked_at(json!({}), [answer(vec![nfs(true)])]);
    service(&mut world, AdapterKind::Nfs, balancer(2049));
    long_pending(&mut world, "the cluster says: no address is left");
    world.unasked = true;
    let status = told(&world).unwrap();
    let pending = find(&status.conditions, ConditionType::AddressesReady).unwrap();
    assert!(pending.message.contains("no address is left"));
}

#[test]
fn nothing_is_said_of_an_adapter_before_anything_is_known_of_it() {
    let mut world = looked_at(json!({}), []);
    service(&mut world, AdapterKind::Nfs, balancer(12049));
    assert_eq!(told(&world).unwrap().adapters, None);
}
