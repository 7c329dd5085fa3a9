use serde_json::json;

use super::*;

fn spec(more: Value) -> DittoServerSpec {
    crate::testing::server(more).spec
}

fn rows(nfs: Option<Row>, smb: Option<Row>) -> BTreeMap<AdapterKind, Row> {
    let rows = [(AdapterKind::Nfs, nfs), (AdapterKind::Smb, smb)];
    rows.into_iter()
        .filter_map(|(kind, row)| Some((kind, row?)))
        .collect()
}

fn on(port: u16) -> Option<Row> {
    Some(Row {
        enabled: true,
        port: Some(port),
    })
}

fn wish(enabled: Option<bool>, port: Option<u16>) -> Wish {
    Wish { enabled, port }
}

fn nfs(rows: &BTreeMap<AdapterKind, Row>, wish: Wish) -> Step {
    nfs_of(
        &spec(json!({})),
        "http://files-api.media.svc:8080",
        rows,
        wish,
    )
}

fn nfs_of(
    spec: &DittoServerSpec,
    url: &str,
    rows: &BTreeMap<AdapterKind, Row>,
    wish: Wish,
) -> Step {
    step(Taken::of(spec, url), rows, AdapterKind::Nfs, wish)
}

#[test]
fn only_what_differs_is_sent() {
    let fresh = rows(on(12049), on(1445));
    assert_eq!(nfs(&fresh, wish(None, None)), Step::Nothing);
    assert_eq!(nfs(&fresh, wish(Some(true), Some(12049))), Step::Nothing);
    let Step::Change(_, change) = nfs(&fresh, wish(Some(true), Some(2049))) else {
        panic!("nothing is sent");
    };
    assert_eq!((change.enabled, change.port), (None, Some(2049)));
}

#[test]
fn empty_sections_declare_nothing() {
    let declares = |adapters: Value| is_anything(&serde_json::from_value(adapters).unwrap());
    for nothing in [
        json!({}),
        json!({"nfs": {}}),
        json!({"smb": {"settings": {}}}),
    ] {
        assert!(!declares(nothing.clone()), "{nothing}");
    }
    for something in [
        json!({"nfs": {"port": 2050}}),
        json!({"smb": {"enabled": false}}),
        json!({"nfs": {"settings": {"leaseTime": 60}}}),
    ] {
        assert!(declares(something.clone()), "{something}");
    }
}

#[test]
fn what_is_declared_is_compared_with_what_is() {
    assert!(!differs(on(12049), wish(None, None)));
    assert!(!differs(on(12049), wish(Some(true), Some(12049))));
    assert!(differs(on(12049), wish(Some(false), None)));
    assert!(differs(on(12049), wish(None, Some(2049))));
    assert!(differs(None, wish(Some(true), None)));
    assert!(!differs(None, wish(None, Some(2049))));
}

#[test]
fn a_port_that_something_else_has_is_never_sent() {
    let fresh = rows(on(12049), on(1445));
    for port in [1445, 8080, 111] {
        let step = nfs(&fresh, wish(None, Some(port)));
        assert!(matches!(step, Step::Wait(_)), "{port}: {step:?}");
    }
    let metrics = spec(json!({"metrics": {"enabled": true}}));
    let url = "http://files-api.media.svc:8080";
    let step = nfs_of(&metrics, url, &fresh, wish(None, Some(9090)));
    assert!(matches!(step, Step::Wait(_)));
    assert!(matches!(
        nfs(&fresh, wish(None, Some(9090))),
        Step::Change(..)
    ));
}

#[test]
fn an_adapter_on_a_low_port_can_be_switched_off_and_on() {
    let low = |enabled| {
        let port = Some(1023);
        rows(Some(Row { enabled, port }), None)
    };
    for enabled in [true, false] {
        let step = nfs(&low(!enabled), wish(Some(enabled), None));
        let Step::Change(_, change) = step else {
            panic!("{step:?}");
        };
        assert_eq!((change.enabled, change.port), (Some(enabled), None));
    }
    let step = nfs(&low(true), wish(None, Some(1022)));
    assert!(matches!(step, Step::Wait(_)), "{step:?}");
}

#[test]
fn a_port_that_the_api_gives_up_is_sent_only_after_its_restart() {
    let fresh = rows(on(12049), on(1445));
    let moved = spec(json!({"controlPlane": {"port": 12060}}));
    let at = |url: &str| nfs_of(&moved, url, &fresh, wish(None, Some(8080)));
    let Step::Wait(why) = at("https://files-api.media.svc.cluster.local:8080") else {
        panic!("NFS is moved to the port of the API");
    };
    assert!(why.contains("once the server has been restarted"), "{why}");
    let restarted = at("https://files-api.media.svc.cluster.local:12060");
    assert!(matches!(restarted, Step::Change(..)), "{restarted:?}");
}

#[test]
fn a_number_that_is_no_port_is_replaced() {
    let broken = Row {
        enabled: true,
        port: None,
    };
    let step = nfs(&rows(Some(broken), None), wish(None, Some(12049)));
    let Step::Change(_, change) = step else {
        panic!("{step:?}");
    };
    assert_eq!(change.port, Some(12049));
}

#[test]
fn an_adapter_that_is_gone_is_made_only_when_it_is_declared_to_be_on() {
    let gone = rows(None, on(1445));
    assert_eq!(nfs(&gone, wish(None, Some(12049))), Step::Nothing);
    assert_eq!(nfs(&gone, wish(Some(false), None)), Step::Nothing);
    let Step::Make(row) = nfs(&gone, wish(Some(true), None)) else {
        panic!("it is not made");
    };
    assert_eq!(row.port, Some(12049));
}
