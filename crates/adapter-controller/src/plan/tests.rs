use serde_json::{Value, json};

use super::*;
use crate::poll::memory_tests::{answer, nfs, silence};
use crate::poll::{Seen, Serving};
use crate::testing::{looked_at, planned, service};

const NFS: AdapterKind = AdapterKind::Nfs;

fn wished(world: &Observed) -> Wishes {
    planned(world).adapters.remove(&NFS).unwrap()
}

fn applied(wish: &Wish<Service>) -> &Service {
    match wish {
        Wish::Apply(service) => service,
        other => panic!("{other:?}"),
    }
}

fn ports(service: &Service) -> Vec<(i32, Option<u16>)> {
    let spec = service.spec.as_ref().unwrap();
    let ports = spec.ports.iter().flatten();
    ports
        .map(|port| {
            let target = port.target_port.as_ref();
            (port.port, target.and_then(resources::port_number))
        })
        .collect()
}

fn live() -> Value {
    json!({"type": "ClusterIP", "ports": [{"name": "nfs", "port": 2049, "protocol": "TCP", "targetPort": 12049}]})
}

#[test]
fn an_enabled_adapter_has_a_policy_and_a_service_at_the_standard_port() {
    let Wishes { service, policy } = wished(&looked_at(json!({}), [answer(vec![nfs(true)])]));
    assert_eq!(ports(applied(&service)), [(2049, Some(12049))]);
    assert!(matches!(policy, Wish::Apply(_)));
}

#[test]
fn before_the_first_answer_nothing_is_made_and_nothing_goes() {
    let mut world = looked_at(json!({}), []);
    assert_eq!(wished(&world).service, Wish::Leave);
    service(&mut world, NFS, live());
    assert_eq!(
        ports(applied(&wished(&world).service)),
        [(2049, Some(12049))],
        "what exists leads where it led"
    );
}

#[test]
fn an_adapter_whose_listener_fails_keeps_its_service() {
    let failed = Seen {
        serving: Serving::Failed("port taken".to_owned()),
        ..nfs(true)
    };
    let mut world = looked_at(json!({}), vec![answer(vec![failed]); 10]);
    service(&mut world, NFS, live());
    assert!(matches!(wished(&world).service, Wish::Apply(_)));
}

#[test]
fn a_service_goes_after_three_answers_without_its_adapter_and_not_before() {
    for (missing, goes) in [(1, false), (2, false), (3, true)] {
        for gone in [answer(vec![nfs(false)]), answer(Vec::new())] {
            let looks = [answer(vec![nfs(true)])];
            let looks = looks.into_iter().chain(vec![gone; missing]);
            let mut world = looked_at(json!({}), looks);
            service(&mut world, NFS, live());
            let Wishes { service, policy } = wished(&world);
            assert_eq!(service == Wish::Remove, goes, "after {missing}");
            let kept = matches!(policy, Wish::Apply(_));
            assert_eq!(kept, !goes, "the policy after {missing}");
        }
    }
}

#[test]
fn failed_looks_remove_nothing() {
    let looks = [answer(vec![nfs(true)])];
    let looks = looks.into_iter().chain(vec![silence(); 50]);
    let mut world = looked_at(json!({}), looks);
    service(&mut world, NFS, live());
    assert!(matches!(wished(&world).service, Wish::Apply(_)));
}

#[test]
fn a_changed_port_moves_the_target_and_nothing_else() {
    let moved = Seen {
        port: Some(2050),
        ..nfs(true)
    };
    let mut world = looked_at(json!({}), [answer(vec![moved])]);
    service(&mut world, NFS, live());
    assert_eq!(
        ports(applied(&wished(&world).service)),
        [(2049, Some(2050))]
    );
}

#[test]
fn a_service_keeps_its_type_until_the_spec_names_one() {
    let mut balanced = live();
    balanced["type"] = "LoadBalancer".into();
    for (spec, expected) in [
        (json!({}), "LoadBalancer"),
        (json!({"adapterServices": {"type": "NodePort"}}), "NodePort"),
    ] {
        let mut world = looked_at(spec, [answer(vec![nfs(true)])]);
        service(&mut world, NFS, balanced.clone());
        let wished = wished(&world);
        let spec = applied(&wished.service).spec.as_ref().unwrap();
        assert_eq!(spec.type_.as_deref(), Some(expected));
    }
}

#[test]
fn ports_of_the_go_operator_stay_until_they_are_given_up() {
    let inherited = json!({"type": "LoadBalancer", "ports": [
        {"name": "adapter-nfs", "port": 12049, "protocol": "TCP", "targetPort": 12049},
        {"name": "portmapper", "port": 111, "protocol": "TCP", "targetPort": 10111},
        {"name": "portmapper-udp", "port": 111, "protocol": "UDP", "targetPort": 10111},
    ]});
    let moved = Seen {
        port: Some(2050),
        ..nfs(true)
    };
    let mut world = looked_at(json!({}), [answer(vec![moved.clone()])]);
    service(&mut world, NFS, inherited.clone());
    assert_eq!(
        ports(applied(&wished(&world).service)),
        [(2049, Some(2050)), (12049, Some(2050)), (111, Some(10111))],
    );
    let spec = json!({"adapterServices": {"legacyPorts": false}});
    let mut world = looked_at(spec, [answer(vec![moved])]);
    service(&mut world, NFS, inherited);
    assert_eq!(
        ports(applied(&wished(&world).service)),
        [(2049, Some(2050))]
    );
}

#[test]
fn somebody_elses_service_is_left_alone() {
    let mut world = looked_at(json!({}), [answer(vec![nfs(true)])]);
    service(&mut world, NFS, live());
    let slot = world.live.get_mut(&NFS).unwrap();
    let mut foreign = slot.service.as_deref().unwrap().clone();
    foreign.metadata.owner_references = None;
    foreign.metadata.labels = None;
    slot.service = Some(std::sync::Arc::new(foreign));
    assert_eq!(wished(&world).service, Wish::Conflict);
    let mut world = looked_at(json!({}), vec![answer(Vec::new()); 5]);
    let foreign = planned(&world);
    assert_eq!(foreign.adapters[&NFS].service, Wish::Leave);
    service(&mut world, AdapterKind::Smb, live());
}

#[test]
fn a_stopped_server_keeps_its_addresses_unless_it_gives_them_up() {
    for (spec, expected) in [
        (json!({"replicas": 0}), false),
        (
            json!({"replicas": 0, "adapterServices": {"whenStopped": "Release"}}),
            true,
        ),
        (
            json!({"adapterServices": {"whenStopped": "Release"}}),
            false,
        ),
    ] {
        let mut world = looked_at(spec.clone(), [answer(vec![nfs(true)])]);
        service(&mut world, NFS, live());
        assert_eq!(wished(&world).service == Wish::Remove, expected, "{spec}");
    }
}

#[test]
fn a_disabled_override_removes_at_once_and_a_paused_server_nothing() {
    let spec = json!({"adapterServices": {"overrides": [{"adapter": "nfs", "disabled": true}]}});
    let mut world = looked_at(spec, [answer(vec![nfs(true)])]);
    service(&mut world, NFS, live());
    assert_eq!(wished(&world).service, Wish::Remove);
    let mut server = world.server.as_ref().clone();
    let paused = [("dittofs.io/paused".to_owned(), "true".to_owned())];
    server.metadata.annotations = Some(paused.into());
    world.server = std::sync::Arc::new(server);
    assert_eq!(wished(&world).service, Wish::Leave);
}

#[test]
fn a_policy_that_is_not_wanted_any_more_stays_while_the_baseline_isolates_the_pod() {
    let spec = json!({"networkPolicy": {"enabled": false}});
    let moved = Seen {
        port: Some(2050),
        ..nfs(true)
    };
    let mut world = looked_at(spec, [answer(vec![moved])]);
    service(&mut world, NFS, live());
    let instance = resources::Instance::of(&world.server).unwrap();
    let target = AdapterTarget {
        kind: NFS,
        listen_port: 12049,
        live_type: None,
        legacy_ports: Vec::new(),
    };
    let policy = resources::adapter_policy(&instance, &target, true).unwrap();
    world.live.get_mut(&NFS).unwrap().policy = Some(std::sync::Arc::new(policy));
    let Wish::Apply(policy) = wished(&world).policy else {
        panic!("clients would be cut off");
    };
    let text = serde_json::to_string(&policy.spec).unwrap();
    assert!(text.contains("2050"), "it follows the adapter: {text}");
    world.isolated = false;
    assert_eq!(wished(&world).policy, Wish::Remove);
}

#[test]
fn a_spoilt_record_of_the_old_ports_takes_none_away() {
    let taken = json!({"type": "LoadBalancer", "ports": [
        {"name": "nfs", "port": 2049, "protocol": "TCP", "targetPort": 12049},
        {"name": "adapter-nfs", "port": 12049, "protocol": "TCP", "targetPort": 12049},
        {"name": "portmapper", "port": 111, "protocol": "TCP", "targetPort": 10111},
    ]});
    let mut world = looked_at(json!({}), [answer(vec![nfs(true)])]);
    service(&mut world, NFS, taken);
    let slot = world.live.get_mut(&NFS).unwrap();
    let spoilt = std::sync::Arc::make_mut(slot.service.as_mut().unwrap());
    let record = (LEGACY_PORTS.to_owned(), "[{".to_owned());
    spoilt.metadata.annotations = Some([record].into());
    assert_eq!(
        ports(applied(&wished(&world).service)),
        [
            (2049, Some(12049)),
            (12049, Some(12049)),
            (111, Some(10111))
        ],
    );
}
