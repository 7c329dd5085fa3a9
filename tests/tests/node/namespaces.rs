//! Deletion of a whole namespace: nothing hangs but what shall, and that has a way out.

use anyhow::{Context, Result, ensure};
use api_types::DittoServer;
use cluster_tests::identity::granted;
use cluster_tests::wait::within;
use cluster_tests::{Controller, Outcome, Pods, SERVER, World, namespace, scenario, until};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{DeleteParams, Patch, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use std::time::Duration;

/// Kubernetes deletes pods first, and looks again with growing pauses.
const PATIENCE: Duration = Duration::from_secs(400);

/// The right to serve every namespace, for the account of one world: rights that hang on the
/// namespace of a server go with it.
struct Everywhere<'w> {
    world: &'w World,
    bindings: Api<ClusterRoleBinding>,
}

impl<'w> Everywhere<'w> {
    async fn grant(world: &'w World) -> Result<Self> {
        let (namespace, name) = world
            .identity
            .user
            .strip_prefix("system:serviceaccount:")
            .and_then(|user| user.split_once(':'))
            .context("no ServiceAccount")?;
        let binding = serde_json::from_value(json!({
            "metadata": {"name": world.namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": server_controller::rbac::NAME},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        }))?;
        let bindings: Api<ClusterRoleBinding> = Api::all(world.admin.clone());
        bindings.create(&PostParams::default(), &binding).await?;
        granted(&world.admin, &world.identity.user, "default").await?;
        Ok(Everywhere { world, bindings })
    }

    /// A namespace of its own, served by this account.
    async fn namespace(&self, name: &str) -> Result<World> {
        let world = World::create(name, Pods::Run).await?;
        Ok(World {
            identity: self.world.identity.clone(),
            ..world
        })
    }

    async fn withdraw(&self) -> Result<()> {
        let name = &self.world.namespace;
        self.bindings.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }
}

/// Starts a server with this retention policy and waits until it serves.
async fn serve(world: &World, when_deleted: &str) -> Result<()> {
    world
        .serve(json!({"storage": {"retentionPolicy": {"whenDeleted": when_deleted}}}))
        .await?;
    world.condition("Available", "True", "PodServing").await?;
    Ok(())
}

async fn goes(world: &World) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(world.admin.clone());
    within(PATIENCE, "the namespace is gone", async || {
        Ok(match namespaces.get_opt(&world.namespace).await? {
            None => Ok(()),
            Some(namespace) => Err(format!("{:?}", namespace.status)),
        })
    })
    .await
}

async fn with_the_operator(all: &Everywhere<'_>, when_deleted: &str) -> Result<()> {
    let world = all.namespace("ns-with").await?;
    let _controller = Controller::start(&world).await?;
    serve(&world, when_deleted).await?;
    namespace::delete(&world.admin, &world.namespace).await?;
    goes(&world).await
}

async fn without_the_operator(all: &Everywhere<'_>, when_deleted: &str) -> Result<()> {
    let world = all.namespace("ns-without").await?;
    let controller = Controller::start(&world).await?;
    serve(&world, when_deleted).await?;
    controller.stop().await?;
    namespace::delete(&world.admin, &world.namespace).await?;
    if when_deleted == "Delete" {
        waits(&world).await?;
        // As docs/server.md says.
        let patch = json!([{"op": "remove", "path": "/metadata/finalizers"}]);
        let servers = world.api::<DittoServer>();
        let patch: Patch<()> = Patch::Json(serde_json::from_value(patch)?);
        servers.patch(SERVER, &Default::default(), &patch).await?;
    }
    goes(&world).await
}

/// Waits until the namespace says that it waits for the server's finalizer, and for nothing else.
async fn waits(world: &World) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(world.admin.clone());
    until("the namespace says what it waits for", async || {
        let namespace = namespaces.get(&world.namespace).await?;
        let status = serde_json::to_string(&namespace.status)?;
        Ok(if status.contains("dittofs.dittofs.com/finalizer") {
            Ok(())
        } else {
            Err(status)
        })
    })
    .await?;
    let server = world.server().await?;
    ensure!(server.metadata.deletion_timestamp.is_some());
    ensure!(!server.finalizers().is_empty());
    Ok(())
}

/// An operator that is down, and comes back while the namespace waits for it.
async fn with_an_operator_that_comes_back(all: &Everywhere<'_>) -> Result<()> {
    let world = all.namespace("ns-back").await?;
    let controller = Controller::start(&world).await?;
    serve(&world, "Delete").await?;
    controller.stop().await?;
    namespace::delete(&world.admin, &world.namespace).await?;
    waits(&world).await?;
    let _controller = Controller::start(&world).await?;
    goes(&world).await
}

#[test]
fn a_namespace_goes_whatever_the_policy_and_whether_the_operator_runs() -> Outcome {
    scenario("ns", Pods::None, async |_| {
        let operator = World::create("ns-op", Pods::None).await?;
        let all = Everywhere::grant(&operator).await?;
        let outcome = tokio::try_join!(
            async {
                with_the_operator(&all, "Retain")
                    .await
                    .context("Retain, operator there")
            },
            async {
                with_the_operator(&all, "Delete")
                    .await
                    .context("Delete, operator there")
            },
            async {
                without_the_operator(&all, "Retain")
                    .await
                    .context("Retain, operator gone")
            },
            async {
                without_the_operator(&all, "Delete")
                    .await
                    .context("Delete, operator gone")
            },
            async {
                with_an_operator_that_comes_back(&all)
                    .await
                    .context("Delete, operator back")
            },
        );
        all.withdraw().await?;
        operator.remove().await?;
        outcome?;
        Ok(())
    })
}
