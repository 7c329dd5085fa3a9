//! What becomes of a share when its object goes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use api_types::annotations::ABANDON;
use api_types::{DittoFSShare, DittoServer};
use cluster_tests::adapters::Admin;
use cluster_tests::identity::granted;
use cluster_tests::shares::{self, SHARE, Stage, condition, gone, make, ready, ready_made};
use cluster_tests::wait::within;
use cluster_tests::world::merge;
use cluster_tests::{Outcome, Pods, SERVER, World, namespace, scenario};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::{gets, id, open};

fn delete_too() -> Value {
    let mut spec = open();
    merge(&mut spec, json!({"deletionPolicy": "Delete"}));
    spec
}

/// Names of what the server has at `path`.
async fn names(admin: &Admin, path: &str) -> Result<Vec<String>> {
    let list = admin.get(path).await?;
    let items = list.as_array().into_iter().flatten();
    let names = items.filter_map(|item| item["name"].as_str());
    Ok(names
        .map(|name| name.trim_start_matches('/').to_owned())
        .collect())
}

#[test]
fn a_retained_share_goes_on_and_the_same_object_finds_it_again() -> Outcome {
    scenario("retain", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let first = ready_made(world, SHARE, open()).await?;
        let nfs = shares::nfs(&first)?;
        gets("writing", async || nfs.write("a", b"a").await).await?;
        shares::let_go(world, SHARE).await?;
        gone(world, SHARE).await?;
        let text = gets("it is served without its object", async || {
            nfs.read("a").await
        })
        .await?;
        ensure!(text == b"a", "{text:?}");

        // Another object of that name in the server is a conflict: the marker is the first one's.
        make(world, "other", json!({"shareName": SHARE})).await?;
        condition(world, "other", "Exported", "False", "NameConflict").await?;
        shares::let_go(world, "other").await?;
        gone(world, "other").await?;

        let again = ready_made(world, SHARE, open()).await?;
        ensure!(id(&again)? == id(&first)?, "another share");
        let text = gets("it is the same share", async || nfs.read("a").await).await?;
        ensure!(text == b"a", "{text:?}");
        stage.shares.quiet().await
    })
}

#[test]
fn a_share_with_policy_delete_goes_with_its_stores_and_no_others() -> Outcome {
    scenario("delete", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let admin = &stage.admin;
        ready_made(world, SHARE, delete_too()).await?;
        let mut guest = open();
        let stores = json!({"metadataStore": {"type": "existing", "existing": {"name": SHARE}}});
        merge(&mut guest, stores);
        let guest = ready_made(world, "guest", guest).await?;
        ready_made(world, "music", delete_too()).await?;

        shares::let_go(world, "music").await?;
        gone(world, "music").await?;
        let left = names(admin, "/shares").await?;
        ensure!(!left.contains(&"music".to_owned()), "{left:?}");
        for path in ["/store/metadata", "/store/block/local"] {
            let left = names(admin, path).await?;
            ensure!(!left.contains(&"music".to_owned()), "{path}: {left:?}");
        }
        let settings = admin.get("/settings").await?.to_string();
        ensure!(!settings.contains("operator.share.music"), "{settings}");

        // Its metadata store is another share's too: that one goes on, and so does the store.
        shares::let_go(world, SHARE).await?;
        gone(world, SHARE).await?;
        let left = names(admin, "/shares").await?;
        ensure!(left == ["guest"], "{left:?}");
        let left = names(admin, "/store/metadata").await?;
        ensure!(left == [SHARE], "{left:?}");
        let nfs = shares::nfs(&guest)?;
        gets("the other share serves", async || {
            nfs.write("a", b"a").await
        })
        .await?;
        ready(world, "guest").await?;
        Ok(())
    })
}

#[test]
fn a_deletion_waits_for_a_server_that_is_away_until_a_person_gives_up() -> Outcome {
    scenario("away", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        ready_made(world, SHARE, delete_too()).await?;
        ready_made(world, "music", delete_too()).await?;
        world.change(json!({"spec": {"replicas": 0}})).await?;
        world.condition("Available", "False", "Stopped").await?;
        shares::let_go(world, SHARE).await?;
        shares::let_go(world, "music").await?;
        let waits = shares::fails(world, SHARE, "Ready");
        waits.await?;
        stage.shares.quiet().await?;
        let waiting = shares::get(world, SHARE).await?;
        ensure!(!waiting.finalizers().is_empty(), "nothing holds it");
        let said = shares::conditions(&waiting);
        ensure!(
            said.contains(ABANDON),
            "it does not say how to give up: {said}"
        );

        let annotations = json!({ ABANDON: "true" });
        shares::change(
            world,
            "music",
            json!({"metadata": {"annotations": annotations}}),
        )
        .await?;
        gone(world, "music").await?;
        ensure!(shares::get(world, SHARE).await.is_ok(), "both are gone");

        // The server is back: the deletion goes on by itself.
        world.change(json!({"spec": {"replicas": 1}})).await?;
        world.condition("Available", "True", "PodServing").await?;
        gone(world, SHARE).await?;
        let admin = Admin::of(world).await?;
        let left = names(&admin, "/shares").await?;
        ensure!(left == ["music"], "{left:?}");
        Ok(())
    })
}

#[test]
fn nothing_waits_for_a_server_that_goes_too() -> Outcome {
    scenario("both", Pods::Run, async |world| {
        let _stage = Stage::set(world, json!({})).await?;
        ready_made(world, SHARE, delete_too()).await?;
        ready_made(world, "music", open()).await?;
        let servers = world.api::<DittoServer>();
        servers.delete(SERVER, &DeleteParams::foreground()).await?;
        for name in [SHARE, "music"] {
            shares::let_go(world, name).await?;
        }
        for name in [SHARE, "music"] {
            gone(world, name).await?;
        }
        Ok(())
    })
}

#[test]
fn a_namespace_with_shares_goes_while_the_controllers_run() -> Outcome {
    scenario("ns", Pods::None, async |_| {
        // Accounts and rights in the namespace itself would go with it. What these accounts may not do is
        // not looked at: a namespace that goes takes no events any more, and says Forbidden.
        let operator = World::create("ns-op", Pods::None).await?;
        let rights = Everywhere::grant(&operator).await?;
        let world = World {
            identity: operator.identity.clone(),
            adapters: Arc::clone(&operator.adapters),
            shares: Arc::clone(&operator.shares),
            ..World::create("ns-shares", Pods::Run).await?
        };
        let outcome = goes_with_its_shares(&world).await;
        rights.withdraw().await?;
        operator.remove().await?;
        outcome
    })
}

async fn goes_with_its_shares(world: &World) -> Result<()> {
    let _stage = Stage::set(world, json!({})).await?;
    ready_made(world, SHARE, delete_too()).await?;
    ready_made(world, "music", open()).await?;
    let all = world.api::<DittoFSShare>();
    let all = all.list(&ListParams::default()).await?;
    let held: Vec<String> = all
        .items
        .into_iter()
        .filter(|share| !share.finalizers().is_empty())
        .map(|share| share.name_any())
        .collect();
    // Retain has nothing to do at deletion, so nothing holds the object.
    ensure!(held == [SHARE], "held: {held:?}");
    namespace::delete(&world.admin, &world.namespace).await?;
    let namespaces: Api<Namespace> = Api::all(world.admin.clone());
    let limit = Duration::from_secs(400);
    within(limit, "the namespace is gone", async || {
        Ok(match namespaces.get_opt(&world.namespace).await? {
            None => Ok(()),
            Some(namespace) => Err(format!("{:?}", namespace.status)),
        })
    })
    .await
}

/// The roles of the three controllers of a world, in the whole cluster.
struct Everywhere {
    bindings: Api<ClusterRoleBinding>,
    names: Vec<String>,
    roles: Api<ClusterRole>,
    forwarding: String,
}

impl Everywhere {
    async fn grant(world: &World) -> Result<Self> {
        let bindings: Api<ClusterRoleBinding> = Api::all(world.admin.clone());
        let forwarding = format!("{}-forwards-ports", world.namespace);
        let roles: Api<ClusterRole> = Api::all(world.admin.clone());
        let role = serde_json::from_value(json!({
            "metadata": {"name": forwarding},
            "rules": [{"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]}],
        }))?;
        roles.create(&PostParams::default(), &role).await?;
        let mut names = Vec::new();
        for (identity, role) in [
            (&world.identity, server_controller::rbac::NAME),
            (
                world.adapter_identity().await?,
                adapter_controller::rbac::NAME,
            ),
            (world.adapter_identity().await?, &forwarding),
            (world.share_identity().await?, share_controller::rbac::NAME),
            (world.share_identity().await?, &forwarding),
        ] {
            let name = format!("{}-{}", world.namespace, names.len());
            let binding = serde_json::from_value(json!({
                "metadata": {"name": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [identity.subject()?],
            }))?;
            bindings.create(&PostParams::default(), &binding).await?;
            granted(&world.admin, &identity.user, "default").await?;
            names.push(name);
        }
        Ok(Everywhere {
            bindings,
            names,
            roles,
            forwarding,
        })
    }

    async fn withdraw(&self) -> Result<()> {
        for name in &self.names {
            self.bindings.delete(name, &DeleteParams::default()).await?;
        }
        let parameters = DeleteParams::default();
        self.roles.delete(&self.forwarding, &parameters).await?;
        Ok(())
    }
}
