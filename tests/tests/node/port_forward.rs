//! A controller outside the cluster reaches a server's REST API through the Kubernetes API.

use std::time::Duration;

use adapter_client::{Account, Client, Timeouts};
use anyhow::{Context, ensure};
use cluster_tests::rest::password;
use cluster_tests::{Controller, Outcome, Pods, SERVER, scenario};
use controller_runtime::rest::{ApiTransport, RestSettings, Servers};
use controller_runtime::{Layers, Scope, client_from};
use serde_json::json;

#[test]
fn the_api_is_reached_by_port_forward_under_the_name_in_its_url() -> Outcome {
    scenario("forward", Pods::Run, async |world| {
        let _controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.condition("Available", "True", "PodServing").await?;
        let kubernetes = client_from(
            world.cluster.config.clone(),
            "port-forward",
            Layers::default(),
        )?;
        let context = controller_runtime::Context::for_test(kubernetes, Scope::Cluster);
        let settings = RestSettings {
            api_transport: ApiTransport::PortForward,
        };
        let servers = Servers::new(&context, settings);
        let pod = api_types::names::pod(SERVER);
        // What is tried here is not speed: twenty connections at once take their time on a busy machine.
        let connect = Duration::from_secs(60);
        let timeouts = Timeouts {
            connect,
            quick: Duration::from_secs(120),
            ..Timeouts::default()
        };
        let client = |port: u16| {
            let transport = servers.transport(&world.namespace, &pod, None, connect)?;
            // No name of this machine leads there: only the forward does.
            Client::builder(format!("http://{SERVER}-api.invalid:{port}"))
                .transport(transport)
                .timeouts(timeouts)
                .build()
        };

        let account = Account::new("admin", password(world).await?);
        let admin = client(8080)?.with_account(account);
        let users = admin.users().list().await?;
        ensure!(
            users.iter().any(|user| user.username == "admin"),
            "no admin among {users:?}"
        );
        // Many at once share the connections that stand.
        let calls = (0..20).map(|_| {
            let admin = admin.clone();
            async move { admin.adapters().list().await }
        });
        let adapters = futures::future::try_join_all(calls).await?;
        ensure!(adapters.iter().all(|list| !list.is_empty()), "{adapters:?}");

        let nobody = client(9)?
            .server()
            .health()
            .await
            .err()
            .context("nobody listens there")?;
        let text = nobody.to_string();
        ensure!(text.contains("refused"), "{text}");
        let gone = servers.transport(&world.namespace, "nothing-0", None, connect)?;
        let gone = Client::builder("http://gone.invalid:8080")
            .transport(gone)
            .build()?;
        let text = gone
            .server()
            .health()
            .await
            .err()
            .context("there is no such pod")?
            .to_string();
        ensure!(text.contains("not found"), "{text}");
        Ok(())
    })
}
