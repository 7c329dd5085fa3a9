//! The resource definitions only grow: what the last release took and stored, this one takes and stores.
//!
//! `last-release` holds the definitions of the last release; before the first one, those that were published last.
//! Making a release copies `deploy/crds` there.

mod narrowing;

use std::path::Path;

use api_types::{DittoFSShare, DittoServer};
use kube::CustomResourceExt;
use serde_json::Value;

#[test]
fn whatever_the_last_release_took_is_taken() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compatibility/last-release");
    let mut compared = 0;
    let mut found = Vec::new();
    for crd in [DittoServer::crd(), DittoFSShare::crd()] {
        let file = folder.join(format!("{}.yaml", crd.spec.names.plural));
        let text = std::fs::read_to_string(&file).unwrap();
        let old: Value = serde_saphyr::from_str(&text).unwrap();
        let new = serde_json::to_value(&crd).unwrap();
        found.extend(narrowing::between(&old, &new));
        compared += 1;
    }
    assert_eq!(compared, std::fs::read_dir(&folder).unwrap().count());
    assert!(
        found.is_empty(),
        "objects of the last release would be refused or would lose fields:\n{}",
        found.join("\n")
    );
}
