//! The operator of the commit before, then that of this checkout, then the one before again: no file server is
//! restarted, and no Service is made anew.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::DittoServer;
use cluster_tests::cluster::checkout;
use cluster_tests::deployed::{CONTROLLERS, leader, pods};
use cluster_tests::kubectl::kubectl;
use cluster_tests::pods::container_of;
use cluster_tests::shares::{self, SHARE};
use cluster_tests::wait::within;
use cluster_tests::{Cluster, Outcome, PodLog, Pods, SERVER, World, pages::Shell, until, world};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The sources of the commit before, which `hack/test` gives the node an image of.
const PREVIOUS: &str = "DITTOFS_TEST_PREVIOUS";

/// What the overlay `dev` runs.
const PRESENT_IMAGE: &str = "localhost/dittofs-operator:dev";
const PREVIOUS_IMAGE: &str = "localhost/dittofs-operator:previous";

/// A second server, with much of what the first has not.
const OTHER: &str = "more";

/// For two rollouts of three Deployments.
const PATIENCE: Duration = Duration::from_secs(400);

/// One version of the operator.
struct Version {
    overlay: PathBuf,
    image: &'static str,
}

impl Version {
    fn present() -> Self {
        Version {
            overlay: checkout().join("deploy/overlays/dev"),
            image: PRESENT_IMAGE,
        }
    }

    fn previous() -> Result<Self> {
        let sources = std::env::var_os(PREVIOUS).with_context(|| {
            format!(
                "{PREVIOUS} is not set: hack/test --only long builds the commit before, and sets it"
            )
        })?;
        Ok(Version {
            overlay: PathBuf::from(sources).join("deploy/overlays/dev"),
            image: PREVIOUS_IMAGE,
        })
    }

    /// Applies the overlay, without its resource definitions where `definitions` is false, and waits until none but
    /// its processes run and one of each controller leads.
    async fn install(&self, cluster: &Cluster, definitions: bool) -> Result<()> {
        let built = kubectl(&["kustomize", &self.overlay.to_string_lossy()], "").await?;
        let built = built.replace(PRESENT_IMAGE, self.image);
        let objects: Vec<Value> = serde_saphyr::from_multiple(&built)?;
        let objects: Vec<Value> = objects
            .into_iter()
            .filter(|object| definitions || object["kind"] != "CustomResourceDefinition")
            .collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        kubectl(&apply, &list.to_string()).await?;
        for controller in CONTROLLERS {
            within(
                PATIENCE,
                &format!("{controller} is {}", self.image),
                async || {
                    let pods = pods(cluster, controller).await?;
                    let right = pods.iter().filter(|pod| is_ready_from(pod, self.image));
                    Ok(if right.count() == 2 && pods.len() == 2 {
                        Ok(())
                    } else {
                        Err(format!("{} pods", pods.len()))
                    })
                },
            )
            .await?;
            let (_, pod) = leader(cluster, controller).await?;
            ensure!(is_ready_from(&pod, self.image), "{:?} leads", pod.metadata);
        }
        Ok(())
    }
}

fn is_ready_from(pod: &Pod, image: &str) -> bool {
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    container.and_then(|container| container.image.as_deref()) == Some(image)
        && pod.metadata.deletion_timestamp.is_none()
        && container_of(pod).is_ok_and(|status| status.ready)
}

/// What clients and data hang on: pods with their restarts, and UIDs of everything else, by kind and name.
type Belongings = BTreeMap<String, String>;

async fn belongings(world: &World) -> Result<Belongings> {
    let mut found = Belongings::new();
    for pod in world.api::<Pod>().list(&ListParams::default()).await? {
        let uid = pod.uid().unwrap_or_default();
        let restarts = container_of(&pod)?.restart_count;
        found.insert(
            format!("Pod {}", pod.name_any()),
            format!("{uid}, {restarts} restarts"),
        );
    }
    for service in world.api::<Service>().list(&ListParams::default()).await? {
        let spec = service.spec.clone().unwrap_or_default();
        let value = format!("{:?} {:?}", service.uid(), spec.cluster_ips);
        found.insert(format!("Service {}", service.name_any()), value);
    }
    uids::<StatefulSet>(world, &mut found).await?;
    uids::<PersistentVolumeClaim>(world, &mut found).await?;
    uids::<Secret>(world, &mut found).await?;
    Ok(found)
}

async fn uids<K>(world: &World, found: &mut Belongings) -> Result<()>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    for object in world.api::<K>().list(&ListParams::default()).await? {
        let name = format!("{} {}", K::kind(&()), object.name_any());
        found.insert(name, object.uid().unwrap_or_default());
    }
    Ok(())
}

#[test]
fn another_version_of_the_operator_restarts_no_file_server() -> Outcome {
    Ok(world::run(async || {
        let previous = Version::previous()?;
        let cluster = Cluster::connect().await?;
        previous.install(&cluster, true).await?;
        let world = World::create("versions", Pods::Run).await?;
        let outcome = up_and_down(&world, &previous).await;
        world.remove().await?;
        gone(&world).await?;
        Shell::open("default")
            .await?
            .command("hack/uninstall")
            .await?;
        outcome
    })?)
}

async fn up_and_down(world: &World, previous: &Version) -> Result<()> {
    let pods = PodLog::watch(world);
    world.serve(json!({})).await?;
    let more = json!({
        "metrics": {"enabled": true},
        "logging": {"level": "DEBUG", "format": "text"},
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "adapterServices": {"type": "NodePort"},
        "adapters": {"nfs": {"settings": {"maxConnections": 99}}},
        "storage": {"retentionPolicy": {"whenDeleted": "Delete"}},
    });
    world
        .create_json::<DittoServer>(world.manifest_of(OTHER, more))
        .await?;
    let open = json!({"access": {"defaultPermission": "read-write"}});
    let share = shares::ready_made(world, SHARE, open.clone()).await?;
    let elsewhere = json!({"serverRef": {"name": OTHER}, "quota": "8Mi"});
    shares::ready_made(world, "music", elsewhere).await?;
    for server in [SERVER, OTHER] {
        world
            .condition_of(server, "Ready", "True", "AllReady")
            .await?;
    }
    let nfs = shares::nfs(&share)?;
    until("a file is written", async || {
        let answer = nfs.write("hello", b"hello").await?;
        Ok(answer.map_err(|refusal| format!("{refusal:?}")))
    })
    .await?;
    let before = belongings(world).await?;
    ensure!(before.len() >= 20, "{before:?}");

    for (number, version) in [&Version::present(), previous].into_iter().enumerate() {
        // As the page on operations says: definitions only grow, so they stay when one goes back.
        version.install(&world.cluster, number == 0).await?;
        works(world, number).await?;
        let now = belongings(world).await?;
        ensure!(
            now == before,
            "{}: {before:#?}, and now {now:#?}",
            version.image
        );
        for server in [SERVER, OTHER] {
            ensure!(
                pods.count(server) == 1,
                "{} pods of {server}",
                pods.count(server)
            );
        }
        let text = nfs.read("hello").await?;
        ensure!(text == Ok(b"hello".to_vec()), "{text:?}");
    }
    Ok(())
}

/// Each of the three controllers does what only it does, for objects that another version made; none of it restarts
/// a server.
async fn works(world: &World, number: usize) -> Result<()> {
    let (mark, disruption) = [("up", "Block"), ("down", "Allow")][number];
    for server in [SERVER, OTHER] {
        let patch = json!({"spec": {
            "disruption": disruption, "adapterServices": {"annotations": {"example.org/version": mark}},
        }});
        world.change_of(server, patch).await?;
        until("the budget follows the spec", async || {
            let budget = world.api::<PodDisruptionBudget>().get(server).await?;
            let spec = budget.spec.unwrap_or_default();
            Ok(if spec.min_available.is_some() == (disruption == "Block") {
                Ok(())
            } else {
                Err(format!("{spec:?}"))
            })
        })
        .await?;
        until("the Service of NFS follows the spec", async || {
            let name = format!("{server}-adapter-nfs");
            let service = world.api::<Service>().get(&name).await?;
            let found = service.annotations().get("example.org/version").cloned();
            Ok(if found.as_deref() == Some(mark) {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            })
        })
        .await?;
        world
            .condition_of(server, "Ready", "True", "AllReady")
            .await?;
    }
    for share in [SHARE, "music"] {
        let quota = json!({"quota": format!("{}Mi", 9 + number)});
        shares::becomes(world, share, quota).await?;
    }
    Ok(())
}

/// Waits until the namespace is gone: what the operator holds up would hang without it.
async fn gone(world: &World) -> Result<()> {
    let name = &world.namespace;
    let wait = format!("--timeout={}s", PATIENCE.as_secs());
    kubectl(&["wait", "--for=delete", "namespace", name, &wait], "").await?;
    Ok(())
}
