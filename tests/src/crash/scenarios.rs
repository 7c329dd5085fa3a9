//! What a server goes through in its life, each as something that a crash may interrupt.

use anyhow::{Context, Result};
use api_types::names;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::Scenario;
use crate::databases::{Definition, Provider};
use crate::pods::{another_pod, pod_of};
use crate::predecessor::{self, Features};
use crate::{Child, Controller, Pods, SERVER, World, until};

/// Makes a server with `spec`, and waits until nothing is left to do.
async fn served(world: &World, pods: Pods, spec: Value) -> Result<()> {
    let controller = Controller::start(world).await?;
    world.serve(spec).await?;
    world.settled(&controller).await?;
    if pods == Pods::Run {
        running(world).await?;
        controller.quiet().await?;
    } else {
        claims_made(world).await?;
    }
    controller.stop().await
}

async fn running(world: &World) -> Result<()> {
    world.condition("Available", "True", "PodServing").await?;
    world
        .condition("Progressing", "False", "RolloutComplete")
        .await?;
    world
        .condition("StorageReady", "True", "ClaimsBound")
        .await?;
    Ok(())
}

async fn claims_made(world: &World) -> Result<()> {
    until("the claims exist", async || {
        let claims = world.api::<PersistentVolumeClaim>();
        let count = claims.list(&ListParams::default()).await?.items.len();
        Ok(if count == 3 {
            Ok(())
        } else {
            Err(count.to_string())
        })
    })
    .await
}

async fn made(world: &World) -> Result<()> {
    world.observed(SERVER).await?;
    until("the StatefulSet exists", async || {
        Ok(match world.find(Child::StatefulSet).await? {
            Some(_) => Ok(()),
            None => Err("none".to_owned()),
        })
    })
    .await?;
    claims_made(world).await
}

/// A server comes to be.
#[derive(Clone, Copy, Debug)]
pub struct Create;

#[async_trait(?Send)]
impl Scenario for Create {
    fn name(&self) -> &'static str {
        "create"
    }

    async fn act(&self, world: &World) -> Result<()> {
        world.serve(json!({})).await?;
        Ok(())
    }

    async fn finished(&self, world: &World) -> Result<()> {
        made(world).await
    }
}

/// One edit changes every child, and another one takes some of them away again.
#[derive(Clone, Copy, Debug)]
pub struct Change;

#[async_trait(?Send)]
impl Scenario for Change {
    fn name(&self) -> &'static str {
        "change"
    }

    async fn prepare(&self, world: &World) -> Result<()> {
        served(world, self.pods(), json!({})).await
    }

    async fn act(&self, world: &World) -> Result<()> {
        world
            .change(json!({"spec": {
                "logging": {"level": "DEBUG"},
                "controlPlane": {"port": 8081},
                "service": {"type": "NodePort", "annotations": {"example.org/a": "b"}},
                "disruption": "Block",
                "metrics": {"enabled": true},
            }}))
            .await?;
        world.observed(SERVER).await?;
        world
            .change(json!({"spec": {
                "service": null,
                "metrics": null,
                "networkPolicy": {"enabled": false},
            }}))
            .await?;
        world.observed(SERVER).await
    }
}

/// A volume grows. The storage driver's part is played: nothing in the kit expands volumes.
#[derive(Clone, Copy, Debug)]
pub struct Grow;

const GROWN: &str = "32Mi";

impl Grow {
    fn volumes(world: &World) -> Api<PersistentVolume> {
        Api::all(world.admin.clone())
    }

    fn volume(world: &World, claim: &str) -> String {
        format!("{}-{claim}", world.namespace)
    }

    /// Volumes for the claims, which wait for a pod that never comes.
    async fn bind(world: &World) -> Result<()> {
        let claims = world.api::<PersistentVolumeClaim>();
        for claim in claims.list(&ListParams::default()).await? {
            let name = claim.name_any();
            let volume = serde_json::from_value(json!({
                "metadata": {"name": Self::volume(world, &name)},
                "spec": {
                    "capacity": {"storage": "16Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "expandable",
                    "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/tmp/never-used"},
                    "claimRef": {"namespace": world.namespace, "name": name, "uid": claim.uid()},
                },
            }))?;
            Self::volumes(world)
                .create(&PostParams::default(), &volume)
                .await?;
        }
        until("the claims are bound", async || {
            let claims = claims.list(&ListParams::default()).await?;
            let bound = claims.iter().all(|claim| {
                let status = claim.status.as_ref();
                status.and_then(|status| status.phase.as_deref()) == Some("Bound")
            });
            Ok(if bound {
                Ok(())
            } else {
                Err("not bound".to_owned())
            })
        })
        .await
    }
}

#[async_trait(?Send)]
impl Scenario for Grow {
    fn name(&self) -> &'static str {
        "grow"
    }

    async fn prepare(&self, world: &World) -> Result<()> {
        let class = json!({"storage": {"storageClassName": "expandable"}});
        served(world, self.pods(), class).await?;
        Self::bind(world).await?;
        // The binding is no part of what follows.
        let controller = Controller::start(world).await?;
        world
            .condition("StorageReady", "True", "ClaimsBound")
            .await?;
        controller.quiet().await?;
        controller.stop().await
    }

    async fn act(&self, world: &World) -> Result<()> {
        world
            .change(json!({"spec": {"storage": {"metadataSize": GROWN}}}))
            .await?;
        let claim = names::Volume::Metadata.claim(SERVER);
        let claims = world.api::<PersistentVolumeClaim>();
        until("the claim asks for more", async || {
            let live = serde_json::to_value(claims.get(&claim).await?)?;
            let size = &live["spec"]["resources"]["requests"]["storage"];
            Ok(if *size == GROWN {
                Ok(())
            } else {
                Err(size.to_string())
            })
        })
        .await?;
        let capacity = json!({"capacity": {"storage": GROWN}});
        let parameters = PatchParams::default();
        let volume = Self::volume(world, &claim);
        Self::volumes(world)
            .patch(
                &volume,
                &parameters,
                &Patch::Merge(json!({"spec": capacity})),
            )
            .await?;
        claims
            .patch_status(
                &claim,
                &parameters,
                &Patch::Merge(json!({"status": capacity})),
            )
            .await?;
        until("the StatefulSet agrees", async || {
            let set = world.find(Child::StatefulSet).await?;
            let pointer = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage";
            let size = set.and_then(|set| set.data.pointer(pointer).cloned());
            Ok(if size == Some(json!(GROWN)) {
                Ok(())
            } else {
                Err(format!("{size:?}"))
            })
        })
        .await
    }

    async fn finished(&self, world: &World) -> Result<()> {
        world
            .condition("StorageReady", "True", "ClaimsBound")
            .await?;
        Ok(())
    }

    async fn clean(&self, world: &World) -> Result<()> {
        for volume in names::Volume::ALL {
            let name = Self::volume(world, &volume.claim(SERVER));
            let gone = Self::volumes(world)
                .delete(&name, &DeleteParams::background())
                .await;
            match gone {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Secrets that the server reads at its start are rotated, the key that signs tokens last: the
/// digest of the others depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Rotate(pub Pods);

impl Rotate {
    async fn rotate(world: &World, secret: &str, value: &str) -> Result<()> {
        let digest = || async {
            let set = world.child(Child::StatefulSet).await?;
            let pointer = "/spec/template/metadata/annotations/dittofs.io~1restart-digest";
            let digest = set.data.pointer(pointer).cloned();
            digest.context("a StatefulSet without a digest")
        };
        let before = digest().await?;
        let patch = json!({"stringData": {"value": value}});
        world
            .api::<Secret>()
            .patch(secret, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        until("the digest follows", async || {
            Ok(if digest().await? == before {
                Err("the old one".to_owned())
            } else {
                Ok(())
            })
        })
        .await
    }
}

#[async_trait(?Send)]
impl Scenario for Rotate {
    fn name(&self) -> &'static str {
        "rotate"
    }

    fn pods(&self) -> Pods {
        self.0
    }

    async fn prepare(&self, world: &World) -> Result<()> {
        let key = "0123456789abcdef0123456789abcdef";
        world.secret("tokens", json!({"value": key})).await?;
        world.secret("scraper", json!({"value": "first"})).await?;
        let spec = json!({
            "identity": {"jwt": {"secretRef": {"name": "tokens", "key": "value"}}},
            "metrics": {"enabled": true, "bearerTokenSecret": {"name": "scraper", "key": "value"}},
        });
        served(world, self.pods(), spec).await
    }

    async fn act(&self, world: &World) -> Result<()> {
        for (name, value) in [
            ("scraper", "second"),
            ("tokens", "fedcba9876543210fedcba9876543210"),
        ] {
            if self.pods() == Pods::None {
                Self::rotate(world, name, value).await?;
                continue;
            }
            let before = pod_of(world, SERVER).await?.uid();
            Self::rotate(world, name, value).await?;
            // The status may still speak of the pod before.
            another_pod(world, SERVER, before.as_deref()).await?;
            running(world).await?;
        }
        Ok(())
    }
}

/// A server is deleted and made anew.
#[derive(Clone, Copy, Debug)]
pub struct Recreate {
    /// `Retain` or `Delete`.
    pub when_deleted: &'static str,
    /// Whether its pod runs.
    pub pods: Pods,
}

impl Recreate {
    fn spec(self) -> Value {
        json!({"storage": {"retentionPolicy": {"whenDeleted": self.when_deleted}}})
    }
}

#[async_trait(?Send)]
impl Scenario for Recreate {
    fn name(&self) -> &'static str {
        "recreate"
    }

    fn pods(&self) -> Pods {
        self.pods
    }

    async fn prepare(&self, world: &World) -> Result<()> {
        served(world, self.pods, self.spec()).await
    }

    async fn act(&self, world: &World) -> Result<()> {
        let servers = world.api::<api_types::DittoServer>();
        servers.delete(SERVER, &DeleteParams::background()).await?;
        until("the server and what goes with it are gone", async || {
            let mut left: Vec<String> = servers
                .get_opt(SERVER)
                .await?
                .iter()
                .map(ResourceExt::name_any)
                .collect();
            for child in Child::APPLIED.into_iter().chain([Child::Jwt]) {
                left.extend(world.find(child).await?.map(|object| object.name_any()));
            }
            let pods = world.api::<k8s_openapi::api::core::v1::Pod>();
            left.extend(
                pods.list(&ListParams::default())
                    .await?
                    .iter()
                    .map(ResourceExt::name_any),
            );
            Ok(if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            })
        })
        .await?;
        let claims = world.api::<PersistentVolumeClaim>();
        let claims = claims.list(&ListParams::default()).await?.items.len();
        let expected = if self.when_deleted == "Delete" { 0 } else { 3 };
        anyhow::ensure!(claims == expected, "{claims} claims are left");
        world.serve(self.spec()).await?;
        Ok(())
    }

    async fn finished(&self, world: &World) -> Result<()> {
        made(world).await?;
        if self.pods == Pods::Run {
            running(world).await?;
        }
        Ok(())
    }
}

/// A server of the Go operator is taken over.
#[derive(Clone, Copy, Debug)]
pub struct TakeOver(pub Pods);

impl TakeOver {
    fn features(self) -> Features {
        Features {
            metrics: true,
            // Its pod is refused where pods run.
            percona: self.0 == Pods::None,
            early: false,
        }
    }
}

#[async_trait(?Send)]
impl Scenario for TakeOver {
    fn name(&self) -> &'static str {
        "take-over"
    }

    fn pods(&self) -> Pods {
        self.0
    }

    async fn prepare(&self, world: &World) -> Result<()> {
        Definition(Provider::Percona).install(&world.admin).await?;
        predecessor::serve(world, self.features()).await?;
        claims_made(world).await?;
        if self.0 == Pods::Run {
            until("the predecessor's pod serves", async || {
                let set = world.child(Child::StatefulSet).await?;
                let ready = set.data["status"]["readyReplicas"].clone();
                Ok(if ready == 1 {
                    Ok(())
                } else {
                    Err(ready.to_string())
                })
            })
            .await?;
        }
        Ok(())
    }

    async fn act(&self, _world: &World) -> Result<()> {
        Ok(())
    }

    async fn finished(&self, world: &World) -> Result<()> {
        until("nothing of the predecessor is left", async || {
            let traces = predecessor::traces(world).await?;
            Ok(if traces.is_empty() {
                Ok(())
            } else {
                Err(traces.join("\n"))
            })
        })
        .await?;
        if self.0 == Pods::Run {
            running(world).await?;
        }
        Ok(())
    }
}
