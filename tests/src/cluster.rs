//! The cluster under test, and what the product installs in it once.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use controller_runtime::{Layers, client_from};
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client, Config, Resource};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::audit::Audit;
use crate::until;

/// Field manager of everything that the harness applies.
pub const MANAGER: &str = "cluster-tests";

/// Plural names of the resources, which are also the names of the files in `deploy/crds`.
pub const CRDS: [&str; 2] = ["dittofsshares", "dittoservers"];

static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// The cluster under test. Belongs to the tokio runtime that made it.
#[derive(Clone)]
pub struct Cluster {
    /// A client that may do everything.
    pub admin: Client,
    /// How the API server is reached, as the administrator.
    pub config: Config,
    /// What the API server was asked.
    pub audit: Audit,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Cluster")
            .field("url", &self.config.cluster_url)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// The cluster that the environment names, with our CRDs and roles. A test without a cluster
    /// fails; it is never skipped.
    ///
    /// # Errors
    /// When there is no cluster, or it does not take what we install.
    pub async fn connect() -> Result<Self> {
        crate::logs::start();
        if std::env::var_os("KUBECONFIG").is_none() {
            bail!(
                "KUBECONFIG is not set, and these tests need a cluster: hack/cluster up; eval \"$(hack/cluster env)\""
            );
        }
        let config = Config::from_kubeconfig(&kube::config::KubeConfigOptions::default())
            .await
            .context("the kubeconfig cannot be used")?;
        let admin = client_from(config.clone(), "cluster-tests", Layers::default())?;
        let cluster = Cluster {
            admin,
            config,
            audit: Audit::from_environment()?,
        };
        INSTALLED.get_or_try_init(|| cluster.install()).await?;
        Ok(cluster)
    }

    /// Applies the CRDs and the roles as they are shipped. Doing it again changes nothing.
    async fn install(&self) -> Result<()> {
        for plural in CRDS {
            for document in yaml_of(&format!("deploy/crds/{plural}.yaml"))? {
                self.apply::<CustomResourceDefinition>(document).await?;
            }
        }
        for file in [
            "server-controller",
            "adapter-controller",
            "share-controller",
        ] {
            for document in yaml_of(&format!("deploy/rbac/{file}.yaml"))? {
                if document["kind"] == "ClusterRole" {
                    self.apply::<ClusterRole>(document).await?;
                }
            }
        }
        for plural in CRDS {
            self.established(&format!("{plural}.dittofs.dittofs.com"))
                .await?;
        }
        Ok(())
    }

    async fn apply<K: Resource<DynamicType = ()>>(&self, document: Value) -> Result<()> {
        let resource = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = Api::all_with(self.admin.clone(), &resource);
        let name = document["metadata"]["name"]
            .as_str()
            .context("a document without a name")?
            .to_owned();
        api.patch(
            &name,
            &PatchParams::apply(MANAGER).force(),
            &Patch::Apply(document),
        )
        .await?;
        Ok(())
    }

    /// Waits until the API server serves a CRD.
    ///
    /// # Errors
    /// When it does not.
    pub async fn established(&self, name: &str) -> Result<()> {
        let api: Api<CustomResourceDefinition> = Api::all(self.admin.clone());
        until(&format!("CRD {name} is served"), async || {
            let conditions = api
                .get(name)
                .await?
                .status
                .and_then(|status| status.conditions)
                .unwrap_or_default();
            let served = conditions
                .iter()
                .any(|condition| condition.type_ == "Established" && condition.status == "True");
            Ok(if served {
                Ok(())
            } else {
                Err(format!("{conditions:?}"))
            })
        })
        .await
    }
}

/// The checkout that these tests belong to.
#[must_use]
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The documents of a YAML file of the checkout.
///
/// # Errors
/// When it cannot be read.
pub fn yaml_of(file: &str) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(checkout().join(file))
        .with_context(|| format!("{file} cannot be read"))?;
    serde_saphyr::from_multiple(&text).with_context(|| format!("{file} is not YAML"))
}
