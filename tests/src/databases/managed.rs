//! One managed cluster: a real PostgreSQL, and what its operator writes about it.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::Provider;
use crate::backends::postgres::{Postgres, identifier, literal};
use crate::certificates::Authority;
use crate::{World, random, until};

/// What the operator says of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Being made, or one instance restarts: it may well serve.
    Initializing,
    /// It serves.
    Ready,
    /// Stopped at somebody's wish.
    Paused,
    /// Said by Percona's operator up to 2.7.
    Error,
}

/// One managed cluster.
#[derive(Debug)]
pub struct Managed {
    /// What it is.
    pub provider: Provider,
    /// Name of the provider's object.
    pub name: String,
    /// What runs behind it.
    pub postgres: Postgres,
    world: World,
    provisioned: bool,
}

impl Managed {
    /// Starts PostgreSQL for the cluster `name`. Nothing is in the Kubernetes cluster yet.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn new(world: &World, provider: Provider, name: &str) -> Result<Self> {
        let managed = Managed {
            provider,
            name: name.to_owned(),
            postgres: Postgres::start(world).await?,
            world: world.clone(),
            provisioned: false,
        };
        Ok(managed)
    }

    /// The name by which the server reaches it.
    #[must_use]
    pub fn host(&self) -> String {
        let service = self.provider.service(&self.name);
        format!("{service}.{}.svc", self.world.namespace)
    }

    /// All names in its certificate.
    fn names(&self) -> Vec<String> {
        let service = self.provider.service(&self.name);
        let namespace = &self.world.namespace;
        vec![
            service.clone(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
        ]
    }

    /// The provider's object.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find(&self) -> Result<Option<DynamicObject>> {
        let objects = self.world.objects(&self.provider.resource());
        Ok(objects.get_opt(&self.name).await?)
    }

    /// Waits until somebody wishes for the cluster.
    ///
    /// # Errors
    /// When nobody does.
    pub async fn wanted(&self) -> Result<DynamicObject> {
        let kind = self.provider.resource().kind;
        until(&format!("there is {kind} {}", self.name), async || {
            let servers = self.world.report().await;
            Ok(self.find().await?.ok_or(servers))
        })
        .await
    }

    /// Waits until there is another object than the one with this UID.
    ///
    /// # Errors
    /// When nobody makes one.
    pub async fn made_again(&self, than: Option<String>) -> Result<()> {
        until("the cluster is wished for again", async || {
            let found = self.find().await?;
            Ok(match found {
                Some(found) if found.uid() != than => Ok(()),
                Some(_) => Err("the old one is there".to_owned()),
                None => Err("there is none".to_owned()),
            })
        })
        .await
    }

    /// A person makes the provider's object with these fields.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn by_hand(&self, spec: Value) -> Result<DynamicObject> {
        let resource = self.provider.resource();
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": resource.api_version, "kind": resource.kind,
            "metadata": {"name": self.name}, "spec": spec,
        }))?;
        let objects = self.world.objects(&resource);
        Ok(objects.create(&Default::default(), &object).await?)
    }

    /// What a person would write for a cluster with this user and these databases.
    #[must_use]
    pub fn spec(&self, user: &str, databases: &[&str]) -> Value {
        match self.provider {
            Provider::Percona => json!({
                "crVersion": "3.0.0", "image": "example.org/postgresql:18", "postgresVersion": 18,
                "instances": [{"name": "instance1", "replicas": 1, "dataVolumeClaimSpec": {
                    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
                "users": [{"name": user, "databases": databases}],
                "backups": {"enabled": false},
            }),
            Provider::CloudNative => json!({
                "instances": 1, "storage": {"size": "1Gi"},
                "bootstrap": {"initdb": {"database": databases.first(), "owner": user}},
            }),
        }
    }

    /// Waits for the wish, fulfils it and says so.
    ///
    /// # Errors
    /// When any of it fails.
    pub async fn serve(&mut self) -> Result<()> {
        self.provision().await?;
        self.report(Phase::Ready).await
    }

    /// Waits for the wish and fulfils it: users, databases, credentials, CA and address.
    ///
    /// # Errors
    /// When any of it fails.
    pub async fn provision(&mut self) -> Result<()> {
        let object = self.wanted().await?;
        let spec = &object.data["spec"];
        match self.provider {
            Provider::Percona => self.percona(spec).await?,
            Provider::CloudNative => self.cloud_native(spec).await?,
        }
        self.address_is(self.postgres.address()).await?;
        if !self.provisioned {
            self.authority_is(Authority::new(&self.name)?).await?;
        }
        self.provisioned = true;
        Ok(())
    }

    /// Users and databases are made; what leaves the list stays. A database belongs to the superuser,
    /// the user may connect to it, make schemas and has one of its own name.
    async fn percona(&self, spec: &Value) -> Result<()> {
        let none = json!([{"name": self.name, "databases": [self.name]}]);
        let users = match &spec["users"] {
            Value::Array(users) if !users.is_empty() => &spec["users"],
            _ => &none,
        };
        for user in users.as_array().into_iter().flatten() {
            let name = user["name"].as_str().context("a user without a name")?;
            let secret = user["secretName"].as_str().map(str::to_owned);
            let secret = secret.unwrap_or_else(|| self.provider.credentials(&self.name, name));
            let password = self.password(&secret).await?;
            self.postgres.role(name, &password).await?;
            let databases: Vec<&str> = user["databases"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            for database in &databases {
                self.postgres.database_of("postgres", database).await?;
                let (role, quoted) = (identifier(name), identifier(database));
                self.postgres
                    .run(&format!(
                        "GRANT ALL PRIVILEGES ON DATABASE {quoted} TO {role}"
                    ))
                    .await?;
                if spec["autoCreateUserSchema"] != false {
                    let schema = format!("CREATE SCHEMA IF NOT EXISTS {role} AUTHORIZATION {role}");
                    self.postgres.run_in(database, &schema).await?;
                }
                if user["grantPublicSchemaAccess"] == true {
                    let public = format!("GRANT CREATE, USAGE ON SCHEMA public TO {role}");
                    self.postgres.run_in(database, &public).await?;
                }
            }
            self.credentials_are(&secret, name, &password, databases.first().copied())
                .await?;
        }
        Ok(())
    }

    /// The first database is made, and belongs to its owner; then the statements of the spec run.
    async fn cloud_native(&self, spec: &Value) -> Result<()> {
        let first = &spec["bootstrap"]["initdb"];
        let database = first["database"].as_str().unwrap_or("app");
        let owner = first["owner"].as_str().unwrap_or(database);
        let secret = first["secret"]["name"].as_str().map(str::to_owned);
        let secret = secret.unwrap_or_else(|| self.provider.credentials(&self.name, owner));
        let password = self.password(&secret).await?;
        self.postgres.role(owner, &password).await?;
        let known = format!(
            "SELECT count(*) FROM pg_database WHERE datname = {}",
            literal(database)
        );
        if self.postgres.run(&known).await? == "0" {
            self.postgres.database_of(owner, database).await?;
            for (field, inside) in [
                ("postInitSQL", "postgres"),
                ("postInitApplicationSQL", database),
            ] {
                for statement in first[field].as_array().into_iter().flatten() {
                    let statement = statement.as_str().context("no statement")?;
                    self.postgres.run_in(inside, statement).await?;
                }
            }
        }
        self.credentials_are(&secret, owner, &password, Some(database))
            .await
    }

    /// The password in the Secret, where there is one; else a new one.
    async fn password(&self, secret: &str) -> Result<String> {
        let found = self.world.api::<Secret>().get_opt(secret).await?;
        let bytes = found
            .and_then(|secret| secret.data)
            .and_then(|mut data| data.remove("password"));
        match bytes {
            Some(bytes) => Ok(String::from_utf8(bytes.0)?),
            None => Ok(format!(
                "hidden-{}-{}",
                random::suffix()?,
                random::suffix()?
            )),
        }
    }

    async fn credentials_are(
        &self,
        secret: &str,
        user: &str,
        password: &str,
        database: Option<&str>,
    ) -> Result<()> {
        let host = self.host();
        let service = self.provider.service(&self.name);
        let namespace = &self.world.namespace;
        let (labels, values) = match self.provider {
            Provider::Percona => {
                let prefix = "postgres-operator.crunchydata.com";
                let mut labels = json!({
                    "app.kubernetes.io/managed-by": "percona-postgresql-operator",
                    "app.kubernetes.io/name": "percona-postgresql",
                    "app.kubernetes.io/part-of": "percona-postgresql",
                    "app.kubernetes.io/instance": self.name,
                });
                labels[format!("{prefix}/cluster")] = self.name.clone().into();
                labels[format!("{prefix}/role")] = "pguser".into();
                labels[format!("{prefix}/pguser")] = user.into();
                let mut values = json!({"host": host, "port": "5432", "user": user, "password": password,
                    "verifier": "SCRAM-SHA-256$4096:unused"});
                if let Some(database) = database {
                    let tail = format!("//{user}:{password}@{host}:5432/{database}");
                    values["dbname"] = database.into();
                    values["uri"] = format!("postgresql:{tail}").into();
                    values["jdbc-uri"] = format!(
                        "jdbc:postgresql://{host}:5432/{database}?password={password}&user={user}"
                    )
                    .into();
                }
                (labels, values)
            }
            Provider::CloudNative => {
                let database = database.context("a cluster without a database")?;
                let labels = json!({"cnpg.io/cluster": self.name, "cnpg.io/userType": "app", "cnpg.io/reload": "true"});
                let full = format!("{service}.{namespace}.svc.cluster.local");
                let values = json!({
                    "username": user, "user": user, "password": password, "dbname": database,
                    "host": service, "port": "5432",
                    "pgpass": format!("{service}:5432:{database}:{user}:{password}\n"),
                    "uri": format!("postgresql://{user}:{password}@{service}.{namespace}:5432/{database}"),
                    "jdbc-uri": format!("jdbc:postgresql://{service}.{namespace}:5432/{database}?password={password}&user={user}"),
                    "fqdn-uri": format!("postgresql://{user}:{password}@{full}:5432/{database}"),
                    "fqdn-jdbc-uri": format!("jdbc:postgresql://{full}:5432/{database}?password={password}&user={user}"),
                });
                (labels, values)
            }
        };
        self.secret(secret, labels, values).await
    }

    async fn secret(&self, name: &str, labels: Value, values: Value) -> Result<()> {
        let secrets = self.world.api::<Secret>();
        let body = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels},
            "stringData": values,
        });
        if secrets.get_opt(name).await?.is_some() {
            secrets
                .patch(name, &self.writer(), &Patch::Merge(body))
                .await?;
        } else {
            let secret: Secret = serde_json::from_value(body)?;
            secrets.create(&Default::default(), &secret).await?;
        }
        Ok(())
    }

    fn writer(&self) -> PatchParams {
        PatchParams {
            field_manager: Some(self.provider.manager().to_owned()),
            ..PatchParams::default()
        }
    }

    /// Makes the Service of the primary lead to `address`.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn address_is(&self, address: std::net::SocketAddr) -> Result<()> {
        let name = self.provider.service(&self.name);
        let force = PatchParams::apply(self.provider.manager()).force();
        // The operators' Services have endpoints written by hand too; theirs need no other port.
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"name": "postgres", "port": 5432, "targetPort": address.port()}]},
        });
        let services = self.world.api::<Service>();
        services
            .patch(&name, &force, &Patch::Apply(service))
            .await?;
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
            "ports": [{"name": "postgres", "port": address.port(), "protocol": "TCP"}],
            "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}],
        });
        let slices = self.world.api::<EndpointSlice>();
        slices.patch(&name, &force, &Patch::Apply(slice)).await?;
        Ok(())
    }

    /// Makes PostgreSQL's certificate one of `authority`, and shows the authority in its Secret.
    ///
    /// # Errors
    /// When either is not taken.
    pub async fn authority_is(&mut self, authority: Authority) -> Result<()> {
        let names = self.names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.postgres.certify(authority, &names).await?;
        self.show_authority().await
    }

    /// As [`Managed::authority_is`], with one whose time is over.
    ///
    /// # Errors
    /// When either is not taken.
    pub async fn authority_expires(&mut self) -> Result<()> {
        let names = self.names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let authority = Authority::expired(&self.name)?;
        self.postgres.certify_badly(authority, &names).await?;
        self.show_authority().await
    }

    async fn show_authority(&self) -> Result<()> {
        let authority = self.postgres.authority();
        let name = self.provider.authority(&self.name);
        let host = self.host();
        let values = match self.provider {
            Provider::Percona => authority.secret(&[&host])?,
            Provider::CloudNative => {
                json!({"ca.crt": authority.pem, "ca.key": "hidden-authority-key"})
            }
        };
        self.secret(&name, json!({}), values).await
    }

    /// Gives `user` another password, as the operator does it: the Secret first, then the role.
    ///
    /// # Errors
    /// When either is not taken.
    pub async fn rotate_password(&self, user: &str, database: &str) -> Result<String> {
        let password = format!("hidden-{}-{}", random::suffix()?, random::suffix()?);
        let secret = self.provider.credentials(&self.name, user);
        self.credentials_are(&secret, user, &password, Some(database))
            .await?;
        self.postgres.role(user, &password).await?;
        Ok(password)
    }

    /// Says what becomes of the wish as it is now.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn report(&self, phase: Phase) -> Result<()> {
        let object = self.find().await?.context("no such cluster")?;
        self.report_of(phase, object.metadata.generation).await
    }

    /// As [`Managed::report`], as if only the generation `seen` had been looked at; with `None` as an
    /// operator that does not say it yet, nor conditions (Percona's up to 2.6).
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn report_of(&self, phase: Phase, seen: Option<i64>) -> Result<()> {
        let healthy = phase == Phase::Ready;
        let ready = i64::from(healthy);
        let now = "2026-01-01T00:00:00Z";
        let status = match self.provider {
            Provider::Percona => {
                let state = match phase {
                    Phase::Initializing => "initializing",
                    Phase::Ready => "ready",
                    Phase::Paused => "paused",
                    Phase::Error => "error",
                };
                let conditions = json!([{"type": "ReadyForBackup", "status": "True", "reason": "AllConditionsAreMet",
                    "message": "", "lastTransitionTime": now}]);
                json!({"state": state, "host": self.host(), "observedGeneration": seen,
                    "conditions": seen.map(|_| conditions),
                    "postgres": {"size": 1, "ready": ready, "version": 18}})
            }
            Provider::CloudNative => {
                let words = match phase {
                    Phase::Initializing => "Waiting for the instances to become active",
                    Phase::Ready => "Cluster in healthy state",
                    Phase::Paused => "Cluster is hibernated",
                    Phase::Error => "Cluster is unrecoverable and needs manual intervention",
                };
                let (condition, reason) = if healthy {
                    ("True", "ClusterIsReady")
                } else {
                    ("False", "ClusterIsNotReady")
                };
                json!({"phase": words, "instances": 1, "readyInstances": ready,
                    "writeService": self.provider.service(&self.name),
                    "conditions": [{"type": "Ready", "status": condition, "reason": reason,
                        "message": words, "lastTransitionTime": now}]})
            }
        };
        let objects = self.world.objects(&self.provider.resource());
        let patch = Patch::Merge(json!({ "status": status }));
        objects
            .patch_status(&self.name, &self.writer(), &patch)
            .await?;
        Ok(())
    }

    /// The finalizers on the provider's object.
    ///
    /// # Errors
    /// When there is no object.
    pub async fn finalizers(&self) -> Result<BTreeSet<String>> {
        let object = self.find().await?.context("no such cluster")?;
        Ok(object.finalizers().iter().cloned().collect())
    }

    /// Waits until the object is being deleted; does what its finalizers ask for, and removes them. Gives them.
    ///
    /// # Errors
    /// When nobody deletes it.
    pub async fn finish_deletion(&self) -> Result<BTreeSet<String>> {
        let object = until("the cluster is being deleted", async || {
            let object = self.find().await?.context("it is gone already")?;
            Ok(match object.metadata.deletion_timestamp {
                Some(_) => Ok(object),
                None => Err("it is not".to_owned()),
            })
        })
        .await?;
        let finalizers: BTreeSet<String> = object.finalizers().iter().cloned().collect();
        let secrets = self.world.api::<Secret>();
        if finalizers.contains("percona.com/delete-pvc") {
            let users = format!("postgres-operator.crunchydata.com/cluster={}", self.name);
            let users = kube::api::ListParams::default().labels(&users);
            secrets
                .delete_collection(&Default::default(), &users)
                .await?;
        }
        if finalizers.contains("percona.com/delete-ssl") {
            let name = self.provider.authority(&self.name);
            secrets.delete(&name, &Default::default()).await?;
        }
        let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        let objects = self.world.objects(&self.provider.resource());
        objects.patch(&self.name, &self.writer(), &none).await?;
        self.gone().await?;
        Ok(finalizers)
    }

    /// Waits until the provider's object is gone.
    ///
    /// # Errors
    /// When it stays.
    pub async fn gone(&self) -> Result<()> {
        until("the provider's object is gone", async || {
            Ok(match self.find().await? {
                None => Ok(()),
                Some(object) => Err(format!("{:?}", object.metadata)),
            })
        })
        .await
    }

    /// Asserts that the user `name` of the file server is a row in the database `database`.
    ///
    /// # Errors
    /// When it is not.
    pub async fn holds_user(&self, database: &str, name: &str) -> Result<()> {
        until(&format!("{name} is a row"), async || {
            let users = self.postgres.users(database).await?;
            Ok(if users.iter().any(|user| user == name) {
                Ok(())
            } else {
                Err(format!("{users:?}"))
            })
        })
        .await
    }
}
