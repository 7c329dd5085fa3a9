//! The Percona operator for PostgreSQL. Source: page on managed PostgreSQL, sections 2 to 6.

use api_types::reference::SecretKeyRef;
use api_types::v1alpha1::{
    ClusterRef, DatabaseDeletion, DatabaseProvider, PerconaBackup, PerconaDatabase, SslMode,
};
use serde_json::{Value, json};

use crate::kinds::PerconaPGCluster;
use crate::provider::{ClusterState, Provider, Seen, major_of_tag};

/// Name of the one set of instances. A cluster that is made again finds its volumes by it, so it never changes.
const INSTANCES: &str = "instance1";
/// Name of the one repository of backups.
const REPOSITORY: &str = "repo1";
/// Key of the Secret with the repository's credentials: a file that pgBackRest reads.
const BACKUP_CREDENTIALS: &str = "s3.conf";

impl Provider for PerconaDatabase {
    fn provider(&self) -> DatabaseProvider {
        DatabaseProvider::Percona
    }

    fn kind(&self) -> &'static str {
        "PerconaPGCluster"
    }

    fn crd(&self) -> &'static str {
        PerconaPGCluster::CRD
    }

    fn operator(&self) -> &'static str {
        "Percona operator for PostgreSQL"
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
        match &self.secret_ref {
            Some(secret) => secret.name.0.clone(),
            None => format!("{cluster}-pguser-{}", self.user),
        }
    }

    fn authority(&self, cluster: &str) -> SecretKeyRef {
        SecretKeyRef::new(format!("{cluster}-cluster-cert"), "ca.crt")
    }

    fn sslmode(&self) -> SslMode {
        self.sslmode.unwrap_or(SslMode::VerifyFull)
    }

    fn deletion(&self) -> DatabaseDeletion {
        self.deletion_policy
    }

    fn finalizers(&self) -> &'static [&'static str] {
        // percona.com/delete-backups is never set: without a running pod it holds the object for ever.
        &["percona.com/delete-pvc", "percona.com/delete-ssl"]
    }

    fn backup_credentials(&self) -> Option<SecretKeyRef> {
        let backup = self.backup.as_ref().filter(|backup| backup.enabled)?;
        let secret = backup.credentials_secret_ref.as_ref()?;
        Some(SecretKeyRef::new(
            secret.name.0.as_str(),
            BACKUP_CREDENTIALS,
        ))
    }

    fn spec(&self, namespace: &str, cluster: &str, metadata: &[String]) -> Value {
        let PerconaDatabase {
            cluster_ref: _,
            user,
            database_name,
            secret_ref,
            cr_version,
            image,
            postgres_version,
            replicas,
            storage_size,
            storage_class_name,
            resources,
            // Becomes finalizers at the deletion.
            deletion_policy: _,
            backup,
            sslmode: _,
        } = self;
        let databases: Vec<&str> = std::iter::once(database_name.0.as_str())
            .chain(metadata.iter().map(String::as_str))
            .collect();
        let mut volume = json!({
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": storage_size}},
        });
        if let Some(class) = storage_class_name {
            volume["storageClassName"] = json!(class);
        }
        let mut instances = json!({
            "name": INSTANCES,
            "replicas": replicas,
            "dataVolumeClaimSpec": volume,
        });
        if let Some(resources) = resources {
            instances["resources"] = json!(resources);
        }
        let mut role = json!({
            "name": user,
            "databases": databases,
            // Other types hold symbols that a person's own tools may have to quote.
            "password": {"type": "AlphaNumeric"},
            // The server's tables lie in the schema public, whatever the role is called: a dump can be moved.
            "grantPublicSchemaAccess": true,
        });
        if let Some(secret) = secret_ref {
            role["secretName"] = json!(secret.name);
        }
        json!({
            "crVersion": cr_version,
            "image": image,
            "postgresVersion": postgres_version,
            "instances": [instances],
            "users": [role],
            "autoCreateUserSchema": false,
            "backups": backups(backup.as_ref(), namespace, cluster),
        })
    }

    fn mismatch(&self) -> Option<(i64, i64)> {
        let (wanted, of_image) = (self.version()?, major_of(&self.image)?);
        (of_image != wanted).then_some((wanted, of_image))
    }

    fn version(&self) -> Option<i64> {
        Some(self.postgres_version.into())
    }

    fn version_of(&self, seen: Seen<'_>) -> Option<i64> {
        seen.spec["postgresVersion"].as_i64()
    }

    fn state(&self, seen: Seen<'_>) -> ClusterState {
        let Some(state) = seen.status["state"]
            .as_str()
            .filter(|state| !state.is_empty())
        else {
            return ClusterState::Silent;
        };
        // Absent before 2.8.
        let behind = seen.status["observedGeneration"]
            .as_i64()
            .is_some_and(|seen_generation| Some(seen_generation) < seen.meta.generation);
        match state {
            "paused" | "stopping" => ClusterState::Paused,
            "ready" if behind => ClusterState::Starting(
                "its operator has not taken the last change of the object yet".to_owned(),
            ),
            "ready" => ClusterState::Ready,
            other => ClusterState::Starting(format!("its state is {other}")),
        }
    }

    fn adds_databases(&self) -> bool {
        true
    }
}

/// Major version of PostgreSQL in one of Percona's images, which begin their tags with it, wherever they are
/// kept; of others nothing is known.
fn major_of(image: &str) -> Option<i64> {
    let (_, tag) = image.rsplit_once("percona-distribution-postgresql:")?;
    major_of_tag(tag)
}

fn backups(backup: Option<&PerconaBackup>, namespace: &str, cluster: &str) -> Value {
    let Some(backup) = backup.filter(|backup| backup.enabled) else {
        return json!({"enabled": false});
    };
    let PerconaBackup {
        enabled: _,
        image,
        credentials_secret_ref,
        bucket,
        endpoint,
        region,
        full_schedule,
        incr_schedule,
        retention_days,
    } = backup;
    let mut pgbackrest = json!({
        "image": image,
        "global": {
            "repo1-retention-full": retention_days.to_string(),
            // Days, not numbers of backups.
            "repo1-retention-full-type": "time",
            "repo1-path": format!("/pgbackrest/{namespace}/{cluster}/{REPOSITORY}"),
        },
        "repos": [{
            "name": REPOSITORY,
            "s3": {"bucket": bucket, "endpoint": endpoint, "region": region},
            "schedules": {"full": full_schedule, "incremental": incr_schedule},
        }],
    });
    if let Some(secret) = credentials_secret_ref {
        pgbackrest["configuration"] = json!([{"secret": {"name": secret.name}}]);
    }
    json!({"enabled": true, "pgbackrest": pgbackrest})
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn database(spec: Value) -> PerconaDatabase {
        serde_json::from_value(spec).unwrap()
    }

    fn state(status: Value) -> ClusterState {
        let meta = ObjectMeta {
            generation: Some(2),
            ..ObjectMeta::default()
        };
        database(json!({})).state(Seen {
            meta: &meta,
            spec: &Value::Null,
            status: &status,
        })
    }

    #[test]
    fn the_version_is_read_off_perconas_images_only() {
        for (image, major) in [
            (
                PerconaDatabase::IMAGE,
                Some(PerconaDatabase::POSTGRES_VERSION.into()),
            ),
            ("mirror:5000/p/percona-distribution-postgresql:17", Some(17)),
            (
                "percona-distribution-postgresql:16.11-1@sha256:00",
                Some(16),
            ),
            ("percona-distribution-postgresql:latest", None),
            ("example.org/postgresql:15", None),
        ] {
            assert_eq!(major_of(image), major, "{image}");
        }
    }

    #[test]
    fn the_smallest_cluster_names_its_images_and_makes_no_backups() {
        let spec = database(json!({})).spec("media", "files-postgres", &[]);
        assert_eq!(spec["image"], PerconaDatabase::IMAGE);
        assert_eq!(spec["crVersion"], "3.0.0");
        assert_eq!(spec["backups"], json!({"enabled": false}));
        assert_eq!(spec["instances"][0]["name"], "instance1");
        assert_eq!(spec["users"][0]["databases"], json!(["dittofs"]));
        assert_eq!(spec["users"][0].get("secretName"), None);
    }

    #[test]
    fn databases_of_metadata_stores_follow_the_control_planes_own() {
        let metadata = ["films".to_owned(), "music".to_owned()];
        let spec = database(json!({})).spec("media", "files-postgres", &metadata);
        assert_eq!(
            spec["users"][0]["databases"],
            json!(["dittofs", "films", "music"])
        );
    }

    #[test]
    fn backups_name_bucket_schedules_and_days() {
        let backup = json!({"enabled": true, "bucket": "b", "endpoint": "s3.example.org", "retentionDays": 9,
            "credentialsSecretRef": {"name": "s3"}});
        let database = database(json!({"backup": backup}));
        let spec = database.spec("media", "files-postgres", &[]);
        let pgbackrest = &spec["backups"]["pgbackrest"];
        assert_eq!(spec["backups"]["enabled"], true);
        assert_eq!(pgbackrest["repos"][0]["s3"]["endpoint"], "s3.example.org");
        assert_eq!(pgbackrest["repos"][0]["schedules"]["full"], "0 2 * * *");
        assert_eq!(pgbackrest["global"]["repo1-retention-full"], "9");
        assert_eq!(pgbackrest["configuration"][0]["secret"]["name"], "s3");
        assert_eq!(
            database.backup_credentials(),
            Some(SecretKeyRef::new("s3", "s3.conf"))
        );
    }

    #[test]
    fn every_state_of_every_release_is_understood() {
        assert_eq!(state(Value::Null), ClusterState::Silent);
        assert_eq!(state(json!({"conditions": []})), ClusterState::Silent);
        assert_eq!(
            state(json!({"state": "ready", "observedGeneration": 2})),
            ClusterState::Ready
        );
        // Before 2.8 there is no generation, before 2.7 there are no conditions.
        assert_eq!(state(json!({"state": "ready"})), ClusterState::Ready);
        assert!(matches!(
            state(json!({"state": "ready", "observedGeneration": 1})),
            ClusterState::Starting(_)
        ));
        for state_of_old in ["initializing", "error"] {
            assert!(matches!(
                state(json!({"state": state_of_old})),
                ClusterState::Starting(_)
            ));
        }
        for paused in ["paused", "stopping"] {
            assert_eq!(state(json!({"state": paused})), ClusterState::Paused);
        }
    }
}
