//! The configuration file is one that the real server reads.

use anyhow::{Context, ensure};
use cluster_tests::world::run;
use cluster_tests::{Outcome, kubectl, random};
use serde_json::{Value, json};
use tokio::process::Command;

fn specs() -> Vec<Value> {
    let reference = json!({"name": "secret", "key": "key"});
    vec![
        json!({"storage": {"metadataSize": "1Gi"}}),
        json!({
            "storage": {"metadataSize": "1Gi"},
            "database": {"type": "postgres", "postgresSecretRef": reference},
            "controlPlane": {"port": 8443, "certSecretName": "cert", "clientCASecretName": "ca"},
            "logging": {"level": "DEBUG", "format": "text", "output": "/data/controlplane/dfs.log"},
            "metrics": {"enabled": true, "port": 9191, "path": "/m", "bearerTokenSecret": reference},
            "shutdownTimeout": "15s",
            "identity": {
                "jwt": {"accessTokenDuration": "5m", "refreshTokenDuration": "1h"},
                "ldap": {"enabled": true, "url": "ldaps://dc", "baseDN": "dc=x: #y", "bindDN": "cn='y\"", "userAttr": "uid",
                    "realm": "X", "bindPasswordSecretRef": reference, "idmap": "rid", "nestedGroups": true,
                    "insecureSkipVerify": true, "caCertFile": "/etc/ca.pem"},
                "kerberos": {"enabled": true, "servicePrincipal": "nfs/x@Y", "realm": "Y", "netbiosDomain": "Y", "dnsDomain": "y",
                    "keytabSecretRef": reference, "krb5ConfSecretRef": reference,
                    "machineAccount": {"enabled": true, "accountName": "F$", "secretRef": reference, "keytabSecretRef": reference,
                        "dcAddress": ["10.0.0.1"]}},
            },
        }),
    ]
}

#[test]
fn the_real_server_reads_every_key_of_the_configuration_file() -> Outcome {
    Ok(run(async || {
        let program = std::env::var_os("DITTOFS_DFS")
            .map(std::path::PathBuf::from)
            .or_else(|| kubectl::built("dfs", "dfs"))
            .context("no dfs: hack/cluster build makes one, or name one in DITTOFS_DFS")?;
        for spec in specs() {
            let spec: api_types::DittoServerSpec = serde_json::from_value(spec)?;
            let source = percona_bridge::source("files", &spec, false)
                .map_err(|error| anyhow::anyhow!("{error}"))?;
            let text = configgen::config_file(&spec, &source)?;
            let folder = std::env::temp_dir().join(format!("dittofs-test-{}", random::suffix()?));
            std::fs::create_dir(&folder)?;
            let file = folder.join("config.yaml");
            std::fs::write(&file, &text)?;
            let mut command = Command::new(&program);
            command.args(["config", "validate", "--config"]).arg(&file);
            // Nothing of the machine's own settings.
            command.env_clear().env("HOME", &folder).env(
                "DITTOFS_CONTROLPLANE_SECRET",
                "0123456789abcdef0123456789abcdef",
            );
            // What the pod gets from Secrets.
            command.env("DITTOFS_LDAP_BIND_PASSWORD", "password");
            for (name, value) in [
                ("HOST", "value"),
                ("PORT", "5432"),
                ("DATABASE", "value"),
                ("USER", "value"),
                ("PASSWORD", "value"),
                ("SSLMODE", "require"),
            ] {
                command.env(format!("DITTOFS_DATABASE_POSTGRES_{name}"), value);
            }
            let outcome = kubectl::run(&mut command, "").await;
            std::fs::remove_dir_all(&folder)?;
            let said = outcome.with_context(|| text.clone())?;
            ensure!(!said.to_lowercase().contains("unknown"), "{said}\n{text}");
        }
        Ok(())
    })?)
}
