//! The CloudNativePG operator. Source: page on managed PostgreSQL, section 9.

use api_types::reference::SecretKeyRef;
use api_types::v1alpha1::{
    CloudNativePgDatabase, ClusterRef, DatabaseDeletion, DatabaseProvider, SslMode,
};
use serde_json::{Value, json};

use crate::kinds::CnpgCluster;
use crate::provider::{ClusterState, Provider, Seen, major_of_tag};

/// Role that owns the databases.
const OWNER: &str = "dittofs";
/// Annotation that stops the instances, with the value `on`.
const HIBERNATION: &str = "cnpg.io/hibernation";

impl Provider for CloudNativePgDatabase {
    fn provider(&self) -> DatabaseProvider {
        DatabaseProvider::CloudNativePg
    }

    fn kind(&self) -> &'static str {
        "Cluster"
    }

    fn crd(&self) -> &'static str {
        CnpgCluster::CRD
    }

    fn operator(&self) -> &'static str {
        "CloudNativePG operator"
    }

    fn existing(&self) -> Option<&str> {
        self.cluster_ref
            .as_ref()
            .map(|ClusterRef { name }| name.0.as_str())
    }

    fn database(&self) -> &str {
        &self.database_name.0
    }

    fn credentials(&self, cluster: &str) -> String {
        format!("{cluster}-app")
    }

    fn authority(&self, cluster: &str) -> SecretKeyRef {
        SecretKeyRef::new(format!("{cluster}-ca"), "ca.crt")
    }

    fn sslmode(&self) -> SslMode {
        // Logins without TLS are taken, so it must be asked for.
        self.sslmode.unwrap_or(SslMode::VerifyFull)
    }

    fn deletion(&self) -> DatabaseDeletion {
        self.deletion_policy
    }

    fn finalizers(&self) -> &'static [&'static str] {
        // The volumes are owned by the Cluster and go with it.
        &[]
    }

    fn backup_credentials(&self) -> Option<SecretKeyRef> {
        None
    }

    fn spec(&self, _namespace: &str, _cluster: &str, metadata: &[String]) -> Value {
        let CloudNativePgDatabase {
            cluster_ref: _,
            database_name,
            instances,
            storage_size,
            storage_class_name,
            image_name,
            deletion_policy: _,
            sslmode: _,
        } = self;
        let mut initdb = json!({"database": database_name, "owner": OWNER});
        if !metadata.is_empty() {
            // Carried out once, when the cluster is made. Names need no escapes: the schema lets only letters,
            // digits, '-' and '_' through.
            let statements: Vec<String> = metadata
                .iter()
                .map(|name| format!("CREATE DATABASE \"{name}\" OWNER \"{OWNER}\""))
                .collect();
            initdb["postInitApplicationSQL"] = json!(statements);
        }
        let mut storage = json!({"size": storage_size});
        if let Some(class) = storage_class_name {
            storage["storageClass"] = json!(class);
        }
        let mut spec = json!({
            "instances": instances,
            "storage": storage,
            "bootstrap": {"initdb": initdb},
        });
        if *instances == 1 {
            // Its budget would keep the node of the only instance from being drained.
            spec["enablePDB"] = json!(false);
        }
        if let Some(image) = image_name {
            spec["imageName"] = json!(image);
        }
        spec
    }

    fn state(&self, seen: Seen<'_>) -> ClusterState {
        let annotations = seen.meta.annotations.as_ref();
        if annotations
            .and_then(|all| all.get(HIBERNATION))
            .map(String::as_str)
            == Some("on")
        {
            return ClusterState::Paused;
        }
        let conditions = seen.status["conditions"].as_array();
        let ready = conditions.and_then(|all| {
            let mut all = all.iter();
            all.find(|condition| condition["type"] == "Ready")
        });
        let phase = seen.status["phase"]
            .as_str()
            .filter(|phase| !phase.is_empty());
        match (ready, phase) {
            (Some(condition), _) if condition["status"] == "True" => ClusterState::Ready,
            // The phase is free text, and one of many; this one is exact.
            (None, Some("Cluster in healthy state")) => ClusterState::Ready,
            (None, None) => ClusterState::Silent,
            (_, Some(phase)) => ClusterState::Starting(format!("its phase is: {phase}")),
            (Some(_), None) => ClusterState::Starting("it is not ready".to_owned()),
        }
    }

    fn adds_databases(&self) -> bool {
        false
    }

    fn version(&self) -> Option<i64> {
        major_of(self.image_name.as_deref()?)
    }

    fn version_of(&self, seen: Seen<'_>) -> Option<i64> {
        let of_data = seen.status["pgDataImageInfo"]["majorVersion"].as_i64();
        of_data.or_else(|| major_of(seen.spec["imageName"].as_str()?))
    }

    fn keep(&self, spec: &mut Value, seen: Seen<'_>) {
        // One that was made from a backup has another beginning, and a Cluster has only one.
        let beginning = seen.spec["bootstrap"].as_object();
        if beginning.is_some_and(|beginning| !beginning.contains_key("initdb"))
            && let Some(spec) = spec.as_object_mut()
        {
            spec.remove("bootstrap");
        }
    }
}

/// Major version of PostgreSQL in the tag of an image, where it begins with one.
fn major_of(image: &str) -> Option<i64> {
    let (_, tag) = image.split('@').next()?.rsplit_once(':')?;
    major_of_tag(tag)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn database(spec: Value) -> CloudNativePgDatabase {
        serde_json::from_value(spec).unwrap()
    }

    fn state(meta: &ObjectMeta, status: Value) -> ClusterState {
        database(json!({})).state(Seen {
            meta,
            spec: &Value::Null,
            status: &status,
        })
    }

    #[test]
    fn one_instance_never_blocks_the_drain_of_its_node() {
        let spec = database(json!({})).spec("media", "c", &[]);
        assert_eq!(spec["enablePDB"], false);
        assert_eq!(
            spec["bootstrap"]["initdb"],
            json!({"database": "dittofs", "owner": "dittofs"})
        );
        let spec = database(json!({"instances": 3})).spec("media", "c", &[]);
        assert_eq!(spec.get("enablePDB"), None);
    }

    #[test]
    fn databases_of_metadata_stores_are_made_with_the_cluster() {
        let spec = database(json!({})).spec("media", "c", &["films".to_owned()]);
        let statements = &spec["bootstrap"]["initdb"]["postInitApplicationSQL"];
        assert_eq!(
            statements,
            &json!([r#"CREATE DATABASE "films" OWNER "dittofs""#])
        );
    }

    #[test]
    fn the_condition_goes_before_the_phase() {
        let meta = ObjectMeta::default();
        let ready = |status: &str| json!({"conditions": [{"type": "Ready", "status": status}], "phase": "Waiting for the instances to become active"});
        assert_eq!(state(&meta, ready("True")), ClusterState::Ready);
        assert!(
            matches!(state(&meta, ready("False")), ClusterState::Starting(text) if text.contains("Waiting"))
        );
        assert_eq!(state(&meta, Value::Null), ClusterState::Silent);
        assert_eq!(
            state(&meta, json!({"phase": "Cluster in healthy state"})),
            ClusterState::Ready
        );
        let hibernating = ObjectMeta {
            annotations: Some(BTreeMap::from([(HIBERNATION.to_owned(), "on".to_owned())])),
            ..ObjectMeta::default()
        };
        assert_eq!(state(&hibernating, ready("True")), ClusterState::Paused);
    }
}
