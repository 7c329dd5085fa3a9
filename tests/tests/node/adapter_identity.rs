//! `spec.identity.ldap` and `spec.identity.kerberos` in a real server.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::names;
use api_types::v1alpha1::AdapterKind::Nfs;
use api_types::v1alpha1::KERBEROS_IN_USE;
use cluster_tests::adapters::{Admin, address, served};
use cluster_tests::pods::{another_pod, container_of, pod_of};
use cluster_tests::{Outcome, PodLog, Pods, SERVER, World, scenario, until};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UdpSocket};

use crate::restart_table::keytab;

const LDAP: &str = "/identity-providers/ldap/config";
const KERBEROS: &str = "/identity-providers/kerberos/config";

/// Waits until the server has this value in a provider.
async fn has(admin: &Admin, provider: &str, field: &str, expected: Value) -> Result<()> {
    until(&format!("{provider} has {field} {expected}"), async || {
        let found = admin.get(provider).await;
        Ok(match found {
            Ok(found) if found[field] == expected => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await
}

/// What the status says was pushed.
async fn pushed(world: &World, what: &str) -> Result<Option<String>> {
    let status = world.server().await?.status.unwrap_or_default();
    let mut pushed = status.pushed.unwrap_or_default().into_iter();
    let found = pushed.find(|pushed| pushed.what == what);
    Ok(found.map(|pushed| format!("{} {}", pushed.secret_uid, pushed.resource_version)))
}

/// Waits until the server binds at `directory` with this password; it is asked to try.
async fn binds(admin: &Admin, directory: &TcpListener, password: &str) -> Result<()> {
    let shown = until("the server binds with the password", async || {
        // With the password that the server has.
        let config = admin.get(LDAP).await?;
        let heard = async {
            let (mut connection, _) = directory.accept().await?;
            let mut bytes = vec![0; 4096];
            let length = connection.read(&mut bytes).await?;
            anyhow::Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
        };
        let limit = Duration::from_secs(15);
        let heard = tokio::time::timeout(limit, heard);
        let tried = admin.post("/identity-providers/ldap/test", config);
        let (heard, tried) = tokio::join!(heard, tried);
        Ok(match heard {
            Ok(Ok(heard)) if heard.contains(password) => Ok(heard),
            other => Err(format!("{other:?} {tried:?}")),
        })
    });
    shown.await.map(|_| ())
}

#[test]
fn adapter_identity_ldap_is_pushed_live_and_its_password_again_when_it_changes() -> Outcome {
    scenario("ldap", Pods::Run, async |world| {
        let (_servers, _adapters, admin) = served(world, json!({})).await?;
        let pods = PodLog::watch(world);
        let nfs = address(world, Nfs).await?;
        let directory = TcpListener::bind("0.0.0.0:0").await?;
        // The address of this machine on its way to the pod.
        let pod = pod_of(world, SERVER).await?.status.unwrap_or_default();
        let pod: IpAddr = pod.pod_ip.context("the pod has no address")?.parse()?;
        let way = UdpSocket::bind("0.0.0.0:0").await?;
        way.connect((pod, 9)).await?;
        let here = way.local_addr()?.ip();
        let url = format!("ldap://{here}:{}", directory.local_addr()?.port());
        world
            .secret("ldap", json!({"password": "first-secret-word"}))
            .await?;
        let section = json!({"enabled": true, "url": url, "allowPlaintext": true, "baseDN": "dc=example",
            "bindDN": "cn=files", "bindPasswordSecretRef": {"name": "ldap", "key": "password"}});
        world
            .change(json!({"spec": {"identity": {"ldap": section}}}))
            .await?;
        has(&admin, LDAP, "url", json!(url)).await?;
        has(&admin, LDAP, "base_dn", json!("dc=example")).await?;
        binds(&admin, &directory, "first-secret-word").await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        let what = "identity.ldap.bindPasswordSecretRef";
        let first = pushed(world, what).await?.context("nothing is noted")?;

        // What people change is put back; what has no field is theirs.
        let mut config = admin.get(LDAP).await?;
        config["base_dn"] = json!("dc=other");
        config["timeout"] = json!("33s");
        admin.put(LDAP, config).await?;
        has(&admin, LDAP, "base_dn", json!("dc=example")).await?;
        has(&admin, LDAP, "timeout", json!("33s")).await?;

        // Another password: pushed, though it cannot be compared.
        let data = Patch::Merge(json!({"stringData": {"password": "second-secret-word"}}));
        world
            .api::<Secret>()
            .patch("ldap", &Default::default(), &data)
            .await?;
        binds(&admin, &directory, "second-secret-word").await?;
        until("it is noted", async || {
            let second = pushed(world, what).await?;
            Ok(if second.is_some() && second.as_ref() != Some(&first) {
                Ok(())
            } else {
                Err(format!("{second:?}"))
            })
        })
        .await?;

        // Withdrawn: nothing is touched any more.
        world.change(json!({"spec": {"identity": null}})).await?;
        until("nothing is noted", async || {
            let left = pushed(world, what).await?;
            Ok(if left.is_none() {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            })
        })
        .await?;
        has(&admin, LDAP, "enabled", json!(true)).await?;
        world.condition("Ready", "True", "AllReady").await?;
        ensure!(pods.count(SERVER) == 1, "{} pods", pods.count(SERVER));
        ensure!(address(world, Nfs).await? == nfs, "another address");
        Ok(())
    })
}

#[test]
fn adapter_identity_kerberos_waits_for_a_start_and_goes_before_its_keytab() -> Outcome {
    scenario("kerberos", Pods::Run, async |world| {
        let conf = ByteString(b"[libdefaults]\n default_realm = EXAMPLE.ORG\n".to_vec());
        let data = json!({"keytab": ByteString(keytab(1)), "conf": conf});
        let secret = json!({"metadata": {"name": "krb"}, "data": data});
        world.create_json::<Secret>(secret).await?;
        let section = json!({"enabled": true, "servicePrincipal": "nfs/files.example.org@EXAMPLE.ORG",
            "keytabSecretRef": {"name": "krb", "key": "keytab"}, "krb5ConfSecretRef": {"name": "krb", "key": "conf"}});
        let spec = json!({"identity": {"kerberos": section}});
        // A server that was made with it has it, and nothing waits.
        let (_servers, _adapters, admin) = served(world, spec).await?;
        let pods = PodLog::watch(world);
        let nfs = address(world, Nfs).await?;
        has(&admin, KERBEROS, "realm", json!("EXAMPLE.ORG")).await?;
        until("that the keytab is in use is noted", async || {
            let noted = pushed(world, KERBEROS_IN_USE).await?;
            Ok(noted.map(|_| ()).ok_or_else(|| "nothing".to_owned()))
        })
        .await?;

        // Changed: stored, and taken with the next start.
        let change = json!({"spec": {"identity": {"kerberos": {"netbiosDomain": "EXAMPLE"}}}});
        world.change(change).await?;
        has(&admin, KERBEROS, "netbios_domain", json!("EXAMPLE")).await?;
        let message = world
            .condition("AdaptersReady", "False", "RestartAwaited")
            .await?;
        ensure!(
            message.contains("identity.kerberos.netbios_domain"),
            "{message}"
        );
        ensure!(!message.contains("realm"), "{message}");
        let uid = pod_of(world, SERVER).await?.uid();
        world
            .api::<Pod>()
            .delete(&names::pod(SERVER), &DeleteParams::default())
            .await?;
        another_pod(world, SERVER, uid.as_deref()).await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;

        // Removed: with Kerberos on and its keytab gone the server would not start.
        let uid = pod_of(world, SERVER).await?.uid();
        world.change(json!({"spec": {"identity": null}})).await?;
        another_pod(world, SERVER, uid.as_deref()).await?;
        world.condition("Ready", "True", "AllReady").await?;
        has(&admin, KERBEROS, "enabled", json!(false)).await?;
        ensure!(
            pushed(world, KERBEROS_IN_USE).await?.is_none(),
            "still noted"
        );
        let pod = pod_of(world, SERVER).await?;
        ensure!(container_of(&pod)?.restart_count == 0, "it did not start");
        let volumes = serde_json::to_string(&pod.spec.and_then(|spec| spec.volumes))?;
        ensure!(!volumes.contains("kerberos-keytab"), "{volumes}");
        ensure!(pods.count(SERVER) == 3, "{} pods", pods.count(SERVER));
        ensure!(address(world, Nfs).await? == nfs, "another address");
        Ok(())
    })
}
