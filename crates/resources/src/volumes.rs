//! The pod's volumes and where they are mounted.

use api_types::DittoServerSpec;
use api_types::names::{self, Volume as Claim};
use api_types::reference::SecretKeyRef;
use api_types::v1alpha1::{Kerberos, Metrics};
use configgen::paths;
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, SecretVolumeSource, Volume, VolumeMount,
};

use percona_bridge::Wiring;

use crate::{Instance, extras};

/// Volumes of a pod and their mounts, in the same order.
pub(crate) struct Mounted {
    pub(crate) volumes: Vec<Volume>,
    pub(crate) mounts: Vec<VolumeMount>,
}

/// The claims that a server with this spec has.
pub fn volumes_of(spec: &DittoServerSpec) -> Vec<Claim> {
    Claim::ALL
        .into_iter()
        .filter(|volume| *volume != Claim::Content || spec.storage.content_size.is_some())
        .collect()
}

/// Everything that the server's container mounts; `claims` are those that the StatefulSet has.
pub(crate) fn mounted(instance: &Instance<'_>, database: &Wiring, claims: &[Claim]) -> Mounted {
    let mut mounts: Vec<VolumeMount> = claims
        .iter()
        .map(|claim| mount(claim.name(), claim.mount_path(), false))
        .collect();
    let mut volumes = vec![
        Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: names::config(instance.name),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        // SQLite spills large sorts to a temporary file, and the root file system is read-only.
        Volume {
            name: "tmp".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        },
    ];
    mounts.push(mount("config", paths::CONFIG, true));
    mounts.push(mount("tmp", "/tmp", false));
    // Only the certificate: the Secret may hold the database server's key too.
    let ca = database.ca.as_ref().map(|ca| {
        let volume = key("database-ca", ca, "ca.crt", None);
        (volume, paths::DATABASE_CA)
    });
    for (volume, path) in secrets(instance.spec).into_iter().chain(ca) {
        mounts.push(mount(&volume.name, path, true));
        volumes.push(volume);
    }
    if let Some(pod) = &instance.spec.pod {
        volumes.extend(pod.volumes.iter().map(extras::volume));
        mounts.extend(pod.volume_mounts.iter().cloned());
    }
    Mounted { volumes, mounts }
}

fn secrets(spec: &DittoServerSpec) -> Vec<(Volume, &'static str)> {
    let mut found = Vec::new();
    let control_plane = &spec.control_plane;
    if let Some(name) = &control_plane.cert_secret_name {
        found.push((secret("tls-cert", &name.0, None, None), paths::TLS));
        if let Some(name) = &control_plane.client_ca_secret_name {
            found.push((
                secret("tls-client-ca", &name.0, None, None),
                paths::CLIENT_CA,
            ));
        }
    }
    let nfs = spec.adapters.as_ref().and_then(|all| all.nfs.as_ref());
    if let Some(tls) = nfs.and_then(|nfs| nfs.tls.as_ref()) {
        let mut volume = secret("nfs-tls", &tls.secret_name.0, None, None);
        if let Some(source) = &mut volume.secret {
            // A pod that is made anew while somebody has deleted the Secret serves the other
            // protocols, and its API, all the same.
            source.optional = Some(true);
        }
        found.push((volume, paths::NFS_TLS));
    }
    if let Some(metrics) = spec.metrics.as_ref().filter(|metrics| metrics.enabled) {
        found.extend(metrics_secrets(metrics));
    }
    if let Some(kerberos) = spec
        .identity
        .as_ref()
        .and_then(|identity| identity.kerberos.as_ref())
        .filter(|kerberos| kerberos.enabled == Some(true))
    {
        found.extend(kerberos_secrets(kerberos));
    }
    found
}

fn metrics_secrets(metrics: &Metrics) -> impl Iterator<Item = (Volume, &'static str)> {
    let token = metrics.bearer_token_secret.as_ref();
    let token = token.map(|token| {
        let volume = key("metrics-token", token, "token", None);
        (volume, paths::METRICS_TOKEN)
    });
    let certificate = metrics.cert_secret_name.as_ref();
    let certificate = certificate.map(|name| {
        let volume = secret("metrics-tls", &name.0, None, None);
        (volume, paths::METRICS_TLS)
    });
    token.into_iter().chain(certificate)
}

fn kerberos_secrets(kerberos: &Kerberos) -> Vec<(Volume, &'static str)> {
    /// Keytabs are readable by the server's group only.
    const KEYTAB_MODE: i32 = 0o440;
    let machine = kerberos
        .machine_account
        .as_ref()
        .filter(|account| account.enabled == Some(true))
        .and_then(|account| account.keytab_secret_ref.as_ref());
    [
        (
            "kerberos-keytab",
            kerberos.keytab_secret_ref.as_ref(),
            "dittofs.keytab",
            Some(KEYTAB_MODE),
            paths::KEYTAB,
        ),
        (
            "kerberos-krb5",
            kerberos.krb5_conf_secret_ref.as_ref(),
            "krb5.conf",
            None,
            paths::KRB5,
        ),
        (
            "kerberos-machine-keytab",
            machine,
            "machine.keytab",
            Some(KEYTAB_MODE),
            paths::MACHINE_KEYTAB,
        ),
    ]
    .into_iter()
    .filter_map(|(name, reference, file, mode, path)| {
        Some((key(name, reference?, file, mode), path))
    })
    .collect()
}

fn key(volume: &str, reference: &SecretKeyRef, file: &str, mode: Option<i32>) -> Volume {
    let item = KeyToPath {
        key: reference.key.0.clone(),
        path: file.to_owned(),
        mode: None,
    };
    secret(volume, &reference.name.0, Some(vec![item]), mode)
}

fn secret(volume: &str, name: &str, items: Option<Vec<KeyToPath>>, mode: Option<i32>) -> Volume {
    Volume {
        name: volume.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(name.to_owned()),
            items,
            default_mode: mode,
            optional: None,
        }),
        ..Volume::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}
