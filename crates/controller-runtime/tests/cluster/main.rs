//! The runtime against a real API server. Run with
//! `KUBECONFIG=... cargo test -p controller-runtime --test cluster -- --ignored`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod apply;
mod run;

use std::sync::Arc;

use controller_runtime::{
    Applied, Applier, Context, Layers, Readable, Scope, WatchOptions, Watched, Writable,
    client_from, seam::Counter,
};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Field manager of these tests.
const MANAGER: &str = "dittofs-runtime-test";

struct World {
    context: Context,
    counter: Arc<Counter>,
    namespace: String,
    applier: Applier,
}

impl World {
    async fn new(purpose: &str) -> Self {
        let counter = Arc::new(Counter::new());
        let layers = Layers {
            seam: Some(counter.clone()),
            ..Layers::default()
        };
        let client = client_from(Config::infer().await.unwrap(), "runtime-test/0", layers).unwrap();
        let namespace = format!("runtime-{purpose}-{}", std::process::id());
        let spaces: Api<Namespace> = Api::all(client.clone());
        let space = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        spaces.create(&PostParams::default(), &space).await.unwrap();
        let context = Context::for_test(client.clone(), Scope::Namespaces(vec![namespace.clone()]));
        counter.reset();
        Self {
            context,
            counter,
            namespace,
            applier: Applier::new(client, MANAGER),
        }
    }

    fn client(&self) -> Client {
        self.context.client.clone()
    }

    fn object<K: DeserializeOwned>(&self, name: &str, more: Value) -> K {
        let mut object = json!({"metadata": {
            "name": name, "namespace": self.namespace,
            "labels": {"app.kubernetes.io/managed-by": "dittofs-operator"}}});
        for (field, value) in more.as_object().unwrap() {
            object[field] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    /// A store whose watch runs in the background.
    async fn watched<K: Readable>(&self) -> Watched<K> {
        let (watched, triggers) = Watched::<K>::start::<ConfigMap>(
            &self.context,
            WatchOptions::owned(&[MANAGER]),
            |_| Vec::new(),
        );
        tokio::spawn(triggers.for_each(|_| std::future::ready(())));
        watched.synced().await;
        watched
    }

    /// Applies twice; the second time must send nothing.
    async fn settles<K: Writable>(&self, desired: K) {
        let kind = K::kind(&()).into_owned();
        let name = desired.meta().name.clone().unwrap();
        let watched = self.watched::<K>().await;
        let live = watched.get(&self.namespace, &name).await.unwrap();
        let made = self
            .applier
            .apply(&watched, &desired, live.as_deref())
            .await
            .unwrap();
        assert!(matches!(made, Applied::Created(_)), "{kind}");
        // Another process knows nothing of the first write.
        let other = Applier::new(self.client(), MANAGER);
        let api: Api<K> = Api::namespaced(self.client(), &self.namespace);
        let live = api.get(&name).await.unwrap();
        self.counter.reset();
        let again = other.apply(&watched, &desired, Some(&live)).await.unwrap();
        assert!(matches!(again, Applied::Unchanged(_)), "{kind}");
        assert_eq!(self.counter.writes(), 0, "{kind}");
    }

    async fn down(self) {
        let spaces: Api<Namespace> = Api::all(self.client());
        spaces
            .delete(&self.namespace, &DeleteParams::background())
            .await
            .unwrap();
    }
}
