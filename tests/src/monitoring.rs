//! The Prometheus operator's resource definitions, which a cluster has or has not.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use resources::{PrometheusRule, ServiceMonitor};
use serde_json::{Value, json};

use crate::cluster::{MANAGER, checkout};
use crate::identity::{ACCOUNT, may};
use crate::world::{Outcome, run};
use crate::{Child, Cluster, Pods, World, scenario, until};

/// Label of the definitions that the tests installed: no others are touched.
const OURS: &str = "dittofs.test/fixture";

/// Resource definitions belong to the whole cluster: one test at a time decides about them.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// One of the definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definition {
    /// ServiceMonitors.
    ServiceMonitors,
    /// PrometheusRules.
    PrometheusRules,
}

impl Definition {
    /// Both.
    pub const ALL: [Definition; 2] = [Definition::ServiceMonitors, Definition::PrometheusRules];

    /// The server's child of this kind.
    #[must_use]
    pub fn child(self) -> Child {
        match self {
            Definition::ServiceMonitors => Child::Monitor,
            Definition::PrometheusRules => Child::Rule,
        }
    }

    /// Name of the CustomResourceDefinition.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Definition::ServiceMonitors => ServiceMonitor::CRD,
            Definition::PrometheusRules => PrometheusRule::CRD,
        }
    }

    /// The whole definition of the folder `DITTOFS_TEST_CRDS`, else the trimmed one of the checkout.
    fn document(self) -> Result<Value> {
        let file = match self {
            Definition::ServiceMonitors => "prometheus-servicemonitors.yaml",
            Definition::PrometheusRules => "prometheus-prometheusrules.yaml",
        };
        let folder = std::env::var_os("DITTOFS_TEST_CRDS")
            .map_or_else(|| checkout().join("tests/fixtures/crds"), PathBuf::from);
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let mut document: Value = serde_saphyr::from_str(&text)?;
        document["metadata"]["labels"] = json!({OURS: "true"});
        Ok(document)
    }

    /// Makes the API server serve the kind.
    ///
    /// # Errors
    /// When it does not, or when somebody else installed the definition.
    pub async fn install(self, cluster: &Cluster) -> Result<()> {
        self.is_ours_or_absent(&cluster.admin).await?;
        let resource = ApiResource::erase::<CustomResourceDefinition>(&());
        let api: Api<DynamicObject> = Api::all_with(cluster.admin.clone(), &resource);
        let parameters = PatchParams::apply(MANAGER).force();
        api.patch(self.name(), &parameters, &Patch::Apply(self.document()?))
            .await?;
        cluster.established(self.name()).await
    }

    /// Removes the definition, and with it every object of the kind; waits until it is gone.
    ///
    /// # Errors
    /// When it does not go, or when somebody else installed it.
    pub async fn remove(self, cluster: &Cluster) -> Result<()> {
        if !self.is_ours_or_absent(&cluster.admin).await? {
            return Ok(());
        }
        let api: Api<CustomResourceDefinition> = Api::all(cluster.admin.clone());
        api.delete(self.name(), &DeleteParams::background()).await?;
        until(&format!("{} is gone", self.name()), async || {
            Ok(match api.get_opt(self.name()).await? {
                None => Ok(()),
                Some(_) => Err("it is there".to_owned()),
            })
        })
        .await
    }

    /// Whether it is there, made by a test.
    async fn is_ours_or_absent(self, admin: &Client) -> Result<bool> {
        let api: Api<CustomResourceDefinition> = Api::all(admin.clone());
        let Some(found) = api.get_opt(self.name()).await? else {
            return Ok(false);
        };
        ensure!(
            found.labels().contains_key(OURS),
            "the cluster has {} of somebody else, and these tests would remove it",
            self.name()
        );
        Ok(true)
    }
}

/// As [`scenario`], in a cluster that has exactly these definitions at the beginning, with a
/// controller that may follow them.
///
/// # Errors
/// Those of the test, and of the cluster.
pub fn monitored(
    name: &str,
    pods: Pods,
    installed: &[Definition],
    test: impl AsyncFnOnce(&World) -> Result<()>,
) -> Outcome {
    with_definitions(installed, || {
        scenario(name, pods, async |world| {
            grant(world).await?;
            test(world).await
        })
    })
}

/// Runs `test`, and no other of these, in a cluster that has exactly these definitions.
///
/// # Errors
/// Those of the test, and of the cluster.
pub fn with_definitions(installed: &[Definition], test: impl FnOnce() -> Outcome) -> Outcome {
    // A test that failed leaves nothing in here that could be broken.
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    run(async || {
        let cluster = Cluster::connect().await?;
        for definition in Definition::ALL {
            if installed.contains(&definition) {
                definition.install(&cluster).await?;
            } else {
                definition.remove(&cluster).await?;
            }
        }
        Ok(())
    })?;
    test()
}

/// Grants in the whole cluster what the generated role says of resource definitions; the rest of it
/// is bound in the world's namespace. Both objects go with that namespace.
async fn grant(world: &World) -> Result<()> {
    let namespace = Api::<Namespace>::all(world.admin.clone())
        .get(&world.namespace)
        .await?;
    let metadata = json!({"name": world.namespace, "ownerReferences": [{
        "apiVersion": "v1", "kind": "Namespace", "name": world.namespace, "uid": namespace.uid(),
    }]});
    let rules: Vec<PolicyRule> = server_controller::rbac::cluster_role()
        .rules
        .into_iter()
        .flatten()
        .filter(|rule| {
            let groups = rule.api_groups.iter().flatten();
            groups
                .into_iter()
                .any(|group| group == "apiextensions.k8s.io")
        })
        .collect();
    let role: ClusterRole = serde_json::from_value(json!({"metadata": metadata, "rules": rules}))?;
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": world.namespace},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": world.namespace}],
    }))?;
    Api::<ClusterRole>::all(world.admin.clone())
        .create(&PostParams::default(), &role)
        .await?;
    Api::<ClusterRoleBinding>::all(world.admin.clone())
        .create(&PostParams::default(), &binding)
        .await?;
    for definition in Definition::ALL {
        let watch = json!({
            "verb": "watch", "group": "apiextensions.k8s.io",
            "resource": "customresourcedefinitions", "name": definition.name(),
        });
        may(&world.admin, &world.identity.user, &world.namespace, watch).await?;
    }
    Ok(())
}
