//! The providers' resource definitions, which a cluster has or has not.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use anyhow::{Context, Result};
use futures::future::{LocalBoxFuture, join_all};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::Provider;
use crate::cluster::{MANAGER, checkout};
use crate::identity::{ACCOUNT, may};
use crate::world::{Outcome, in_world, none_failed, run};
use crate::{Cluster, Pods, World, scenario, until};

/// Label of the definitions that the tests installed: no others are removed.
const OURS: &str = "dittofs.test/fixture";

/// Definitions belong to the whole cluster, and with one every object of its kind goes: held for
/// reading by whoever needs them, for writing by whoever removes one.
static PRESENT: RwLock<()> = RwLock::new(());

/// The definition of a provider's clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition(pub Provider);

impl Definition {
    /// Name of the CustomResourceDefinition.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Provider::Percona => "perconapgclusters.pgv2.percona.com",
            Provider::CloudNative => "clusters.postgresql.cnpg.io",
        }
    }

    /// The whole definition of the folder `DITTOFS_TEST_CRDS`, else the trimmed one of the checkout.
    fn document(self) -> Result<Value> {
        let file = match self.0 {
            Provider::Percona => "percona-perconapgclusters.yaml",
            Provider::CloudNative => "cnpg-clusters.yaml",
        };
        let folder = std::env::var_os("DITTOFS_TEST_CRDS")
            .map_or_else(|| checkout().join("tests/fixtures/crds"), PathBuf::from);
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text)?;
        let mut document = documents
            .into_iter()
            .find(|document| document["metadata"]["name"] == self.name())
            .with_context(|| format!("{file} does not define {}", self.name()))?;
        document["metadata"]["labels"] = json!({OURS: "true"});
        Ok(document)
    }

    /// Makes the API server serve the kind, unless it does.
    ///
    /// # Errors
    /// When it does not take the definition.
    pub async fn install(self, admin: &Client) -> Result<()> {
        if self.find(admin).await?.is_none() {
            let resource = ApiResource::erase::<CustomResourceDefinition>(&());
            let api: Api<DynamicObject> = Api::all_with(admin.clone(), &resource);
            let parameters = PatchParams::apply(MANAGER).force();
            api.patch(self.name(), &parameters, &Patch::Apply(self.document()?))
                .await?;
        }
        self.served(admin).await
    }

    async fn find(self, admin: &Client) -> Result<Option<CustomResourceDefinition>> {
        let api: Api<CustomResourceDefinition> = Api::all(admin.clone());
        Ok(api.get_opt(self.name()).await?)
    }

    async fn served(self, admin: &Client) -> Result<()> {
        until(&format!("{} is served", self.name()), async || {
            let found = self.find(admin).await?.context("it is gone")?;
            let conditions = found.status.and_then(|status| status.conditions);
            let served = conditions
                .iter()
                .flatten()
                .any(|condition| condition.type_ == "Established" && condition.status == "True");
            Ok(if served {
                Ok(())
            } else {
                Err(format!("{conditions:?}"))
            })
        })
        .await
    }

    /// Removes the definition, and with it every object of the kind; waits until it is gone.
    ///
    /// # Errors
    /// When it does not go, or when somebody else installed it.
    pub async fn remove(self, admin: &Client) -> Result<()> {
        let Some(found) = self.find(admin).await? else {
            return Ok(());
        };
        anyhow::ensure!(
            found.labels().contains_key(OURS),
            "the cluster has {} of somebody else, and this test would remove it",
            self.name()
        );
        let api: Api<CustomResourceDefinition> = Api::all(admin.clone());
        api.delete(self.name(), &DeleteParams::background()).await?;
        until(&format!("{} is gone", self.name()), async || {
            Ok(match self.find(admin).await? {
                None => Ok(()),
                Some(_) => Err("it is there".to_owned()),
            })
        })
        .await
    }
}

/// While it is there, no test removes a definition. Each test has a thread of its own, which it may block.
#[derive(Debug)]
#[must_use]
pub struct Present {
    _guard: RwLockReadGuard<'static, ()>,
}

/// Keeps every definition that is there. Called once by each test: who waits to remove one keeps others
/// from this.
pub fn present() -> Present {
    // A test that failed leaves nothing in here that could be broken.
    let _guard = PRESENT.read().unwrap_or_else(PoisonError::into_inner);
    Present { _guard }
}

/// Runs `test` in a world of its own, in a cluster that has the definitions of all providers, with a
/// server-controller that may follow them.
///
/// # Errors
/// Those of the test, and of the cluster.
pub fn with_definitions(
    name: &str,
    pods: Pods,
    test: impl AsyncFnOnce(&World) -> Result<()>,
) -> Outcome {
    let _present = present();
    scenario(name, pods, async |world| {
        equip(world).await?;
        test(world).await
    })
}

/// What a test does with a world.
pub type Case = for<'w> fn(&'w World) -> LocalBoxFuture<'w, Result<()>>;

/// As [`with_definitions`], for several tests at the same time; what failed is told of all.
///
/// # Errors
/// Those of the tests, and of the cluster.
pub fn together(pods: Pods, cases: &[(&str, Case)]) -> Outcome {
    let _present = present();
    Ok(run(async || {
        let all = cases.iter().map(async |&(name, case)| {
            let outcome = in_world(name, pods, async |world| {
                equip(world).await?;
                case(world).await
            })
            .await;
            outcome.err().map(|error| format!("{name}: {error:#}"))
        });
        let failures: Vec<String> = join_all(all).await.into_iter().flatten().collect();
        none_failed(&failures)
    })?)
}

/// Installs the definitions, and lets the world's server-controller follow them.
async fn equip(world: &World) -> Result<()> {
    for provider in Provider::ALL {
        Definition(provider).install(&world.admin).await?;
    }
    grant(world).await
}

/// Runs `test`, and no other that needs a definition, in a cluster that has none at the beginning, with
/// a server-controller that may follow them.
///
/// # Errors
/// Those of the test, and of the cluster.
pub fn exclusively(
    name: &str,
    pods: Pods,
    test: impl AsyncFnOnce(&World) -> Result<()>,
) -> Outcome {
    let _alone = PRESENT.write().unwrap_or_else(PoisonError::into_inner);
    run(async || {
        let cluster = Cluster::connect().await?;
        for provider in Provider::ALL {
            Definition(provider).remove(&cluster.admin).await?;
        }
        Ok(())
    })?;
    scenario(name, pods, async |world| {
        grant(world).await?;
        test(world).await
    })
}

/// Gives the world's server-controller the generated roles for databases, as a namespaced installation
/// with the right to follow definitions: what they say of definitions in the whole cluster, and the rest in
/// the world's namespace. All of it goes with that namespace.
///
/// # Errors
/// When the API server does not take it.
pub async fn grant(world: &World) -> Result<()> {
    let namespace = Api::<Namespace>::all(world.admin.clone())
        .get(&world.namespace)
        .await?;
    let owner = json!([{
        "apiVersion": "v1", "kind": "Namespace", "name": world.namespace, "uid": namespace.uid(),
    }]);
    let subjects =
        json!([{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": world.namespace}]);
    let roles = server_controller::rbac::components();
    for (number, (_, mut role)) in roles.into_iter().enumerate() {
        let name = format!("{}-{number}", world.namespace);
        role.metadata = serde_json::from_value(json!({"name": name, "ownerReferences": owner}))?;
        Api::<ClusterRole>::all(world.admin.clone())
            .create(&PostParams::default(), &role)
            .await?;
        let reference =
            json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
        let inside: RoleBinding = serde_json::from_value(
            json!({"metadata": {"name": name}, "roleRef": reference, "subjects": subjects}),
        )?;
        world
            .api::<RoleBinding>()
            .create(&PostParams::default(), &inside)
            .await?;
        let is_of_definitions = |rule: &PolicyRule| {
            let groups = rule.api_groups.iter().flatten();
            groups
                .into_iter()
                .any(|group| group == "apiextensions.k8s.io")
        };
        let name = format!("{name}-definitions");
        let metadata = json!({"name": name, "ownerReferences": owner});
        let rules: Vec<PolicyRule> = role
            .rules
            .into_iter()
            .flatten()
            .filter(is_of_definitions)
            .collect();
        let role: ClusterRole =
            serde_json::from_value(json!({"metadata": metadata, "rules": rules}))?;
        Api::<ClusterRole>::all(world.admin.clone())
            .create(&PostParams::default(), &role)
            .await?;
        let everywhere: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": metadata, "subjects": subjects,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        }))?;
        Api::<ClusterRoleBinding>::all(world.admin.clone())
            .create(&PostParams::default(), &everywhere)
            .await?;
    }
    let user = &world.identity.user;
    for provider in Provider::ALL {
        let watch = json!({
            "verb": "watch", "group": "apiextensions.k8s.io",
            "resource": "customresourcedefinitions", "name": Definition(provider).name(),
        });
        may(&world.admin, user, &world.namespace, watch).await?;
        let resource = provider.resource();
        let delete = json!({
            "verb": "delete", "group": resource.group, "resource": resource.plural,
            "namespace": world.namespace,
        });
        may(&world.admin, user, &world.namespace, delete).await?;
    }
    Ok(())
}
